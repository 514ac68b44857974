//! A write under way: rows are gathered by table, then logged and made visible together.

use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLockReadGuard};

use super::{Change, Engine, TableChange, Written};
use crate::batch::Batch;
use crate::error::SchemaError;
use crate::memtable::Insert;
use crate::model::{ColumnKind, Point, SeriesId, TableId, TableSchema, Value};
use crate::resolve::{Resolved, Scratch, TableRows};
use crate::touched::Ranges;
use crate::wal::record::{RECORD_VALUES_MAX, WriteRecord};
use crate::{Error, Rejected, Result};

/// Most bytes of text in one write: reading its record back takes as much memory.
const TEXT_BYTES_MAX: usize = 1 << 29;

/// Rows under way. They are stored by [`Write::commit`], all or none, and forgotten when this is dropped.
///
/// While it lives no table can be dropped or created by name: its thread must not call [`Engine::create_table`] or
/// [`Engine::drop_table`].
#[derive(Debug)]
pub struct Write<'e> {
    engine: &'e Engine,
    /// It may write to internal tables, and to no others.
    is_internal: bool,
    _no_table_is_dropped: RwLockReadGuard<'e, ()>,
    rows: Resolved,
}

/// A series that was written to, for writing to it again without naming its tags. It never comes to mean another series; when its
/// table is dropped, [`Write::table`] says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesRef {
    /// The table.
    pub table: TableId,
    /// The series in it.
    pub series: SeriesId,
}

/// A row being added to one table of a write, value by value. Dropped before [`Row::end`] it leaves nothing.
#[derive(Debug)]
pub struct Row<'w> {
    batch: &'w mut Batch,
    table: TableId,
    /// Nothing older is kept.
    floor_ns: i64,
    is_ended: bool,
}

impl Engine {
    /// Begins a write.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Poisoned`].
    pub fn begin_write(&self) -> Result<Write<'_>> {
        self.check_writable()?;
        let guard = self.definitions.read().expect("definitions are guarded without panics");
        Ok(Write { engine: self, is_internal: false, _no_table_is_dropped: guard, rows: Resolved::default() })
    }

    /// As [`Engine::begin_write`], for internal tables (see [`TableSchema::is_internal`]) alone.
    ///
    /// # Errors
    /// Those of [`Engine::begin_write`].
    pub fn begin_internal_write(&self) -> Result<Write<'_>> {
        Ok(Write { is_internal: true, ..self.begin_write()? })
    }

    /// Stores points; returns when they are durable and visible. Points that do not fit the schema are refused one by one.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::DiskFull`], [`Error::Poisoned`], [`Error::Io`], [`Error::Limit`]: nothing of the batch is
    /// acknowledged.
    pub fn write(&self, points: &[Point<'_>]) -> Result<Written> {
        let mut write = self.begin_write()?;
        let mut rejected = Vec::new();
        let mut scratch = Scratch::default();
        for (at, point) in points.iter().enumerate() {
            if let Err(error) = write.add_with(point, &mut scratch) {
                rejected.push(Rejected { point: at, error });
            }
        }
        Ok(Written { accepted: write.commit()?, rejected })
    }
}

impl Write<'_> {
    /// Adds a point; tables, columns and series that it names first are made.
    ///
    /// # Errors
    /// [`Error::Schema`], [`Error::Limit`]: the point does not fit, and nothing of it is kept.
    pub fn add(&mut self, point: &Point<'_>) -> Result<SeriesRef> {
        self.add_with(point, &mut Scratch::default())
    }

    fn add_with<'a>(&mut self, point: &'a Point<'a>, scratch: &mut Scratch<'a>) -> Result<SeriesRef> {
        let engine = self.engine;
        if TableSchema::is_internal_name(&point.table) != self.is_internal {
            let name = point.table.chars().take(40).collect();
            return Err(SchemaError::Name { name, why: "it begins with the character of internal tables" }.into());
        }
        let (find, create) = (|name: &str| engine.find_table(name), |name: &str| engine.table_or_new(name));
        let (table, series) = self.rows.add(point, scratch, find, create)?;
        Ok(SeriesRef { table, series })
    }

    /// The number that a table has in this write; none when it is gone.
    pub fn table(&mut self, id: TableId) -> Option<usize> {
        let known = self.rows.tables.iter().position(|rows| rows.core.id == id);
        known.or_else(|| {
            let core = self.engine.state().tables.values().find(|t| t.core.id == id)?.core.clone();
            Some(self.rows.add_table(core))
        })
    }

    /// The name of a table, given by its number in this write.
    pub fn table_name(&self, table: usize) -> &str {
        &self.rows.tables[table].core.name
    }

    /// The number that a field of a table has in this write; none when there is no such field.
    pub fn field(&mut self, table: usize, name: &str) -> Option<usize> {
        let rows = &mut self.rows.tables[table];
        match rows.core.shape().column(name, None) {
            Some((position, ColumnKind::Field(kind))) => Some(rows.batch.column(position, kind, usize::MAX)),
            _ => None,
        }
    }

    /// Begins a row of a table, given by its number in this write.
    #[inline]
    pub fn row(&mut self, table: usize) -> Row<'_> {
        let TableRows { core, batch } = &mut self.rows.tables[table];
        Row { batch, table: core.id, floor_ns: core.floor_ns(), is_ended: false }
    }

    /// Stores the rows; returns when they are durable and visible. Says how many there are.
    ///
    /// # Errors
    /// As [`Engine::write`].
    pub fn commit(self) -> Result<usize> {
        let tables = self.rows.finish();
        let accepted = tables.iter().map(|rows| rows.batch.len()).sum();
        if accepted == 0 {
            return Ok(0);
        }
        check_size(&tables)?;
        let mut record = WriteRecord::new(tables.len());
        let columns: Vec<_> = tables.iter().map(|rows| rows.log(&mut record)).collect();
        let cores: Vec<_> = tables.iter().map(|rows| Arc::clone(&rows.core)).collect();
        let change = |(TableRows { core, batch }, columns)| {
            let touched = core.is_watched.load(Ordering::Acquire).then(|| Ranges::of(&batch));
            Insert::new(batch).map(|insert| TableChange { core, insert, columns, touched })
        };
        let changes = tables.into_iter().zip(columns).filter_map(change).collect();
        self.engine.commit(record.finish(), Change::Insert(changes))?;
        cores.iter().for_each(|core| self.engine.join_runs(core));
        Ok(accepted)
    }
}

impl Row<'_> {
    /// Gives the row the value of a field, by its number in this write; an integer widens in a float field. False, and nothing is
    /// changed, when the row has one already or the field is of another type.
    #[inline]
    pub fn put(&mut self, field: usize, value: &Value<'_>) -> bool {
        self.batch.put(field, value)
    }

    /// As [`Row::put`] for an integer.
    #[inline]
    pub fn put_integer(&mut self, field: usize, value: i64) -> bool {
        self.batch.put_integer(field, value)
    }

    /// Ends the row, which has a value: it belongs to the write now. False, and the row is gone, when it is older than anything
    /// that the table keeps; [`Write::add`] tells that as an error.
    #[inline]
    #[must_use]
    pub fn end(mut self, series: SeriesRef, time_ns: i64) -> bool {
        assert_eq!(series.table, self.table, "a row is of a series of its table");
        if time_ns < self.floor_ns {
            return false;
        }
        self.batch.end_row(series.series, time_ns);
        self.is_ended = true;
        true
    }
}

impl Drop for Row<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_ended {
            self.batch.undo_row();
        }
    }
}

/// Refuses what could not be read back from the log.
fn check_size(tables: &[TableRows]) -> Result<()> {
    let bounds = [
        ("number of values of a write", RECORD_VALUES_MAX, tables.iter().map(|t| t.batch.cells()).sum::<usize>()),
        ("text of a write in bytes", TEXT_BYTES_MAX, tables.iter().map(|t| t.batch.text_bytes()).sum()),
    ];
    match bounds.into_iter().find(|(_, limit, found)| found > limit) {
        Some((what, limit, found)) => Err(Error::Limit { what, found: found as u64, limit: limit as u64 }),
        None => Ok(()),
    }
}
