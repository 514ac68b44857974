//! From points to batches: names become columns and series, and what does not fit the schema is refused point by point.
//!
//! The schema and the series grow here, before the write is logged. If logging fails, an empty column or a series without
//! rows may stay behind in memory; it is never logged and gone with the next restart.

use std::collections::HashSet;
use std::sync::Arc;

use crate::batch::Batch;
use crate::error::{Error, Result, SchemaError};
use crate::index::TagPosition;
use crate::model::{ColumnKind, FieldRef, Point, SeriesId, TableId, Value, check_name};
use crate::table::{ColumnSet, Shape, TableCore, check_kind};
use crate::wal::record::{LoggedRows, WriteRecord};

/// The rows of one write, by table.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) tables: Vec<TableRows>,
    /// The table of the point before: neighbours tend to share it.
    current: usize,
}

/// The rows of one write to one table.
#[derive(Debug)]
pub(crate) struct TableRows {
    pub(crate) core: Arc<TableCore>,
    pub(crate) batch: Batch,
}

impl Resolved {
    /// Adds a point. `find` gives the table of a name, `create` makes it if there is none.
    pub(crate) fn add<'a>(
        &mut self,
        point: &'a Point<'a>,
        scratch: &mut Scratch<'a>,
        find: impl Fn(&str) -> Option<Arc<TableCore>>,
        create: impl Fn(&str) -> Result<Arc<TableCore>>,
    ) -> Result<(TableId, SeriesId)> {
        let is_table = |rows: &TableRows| rows.core.name == *point.table;
        if !self.tables.get(self.current).is_some_and(is_table) {
            self.current = match self.tables.iter().position(is_table) {
                Some(known) => known,
                None => {
                    // A table is only made for a point that it can take.
                    let core = match find(&point.table) {
                        Some(core) => core,
                        None => fits_new_table(point).and_then(|()| create(&point.table))?,
                    };
                    self.add_table(core)
                }
            };
        }
        let rows = &mut self.tables[self.current];
        Ok((rows.core.id, scratch.add(rows, point)?))
    }

    /// Makes room for the rows of a table that has none here yet; gives its number.
    pub(crate) fn add_table(&mut self, core: Arc<TableCore>) -> usize {
        self.tables.push(TableRows { core, batch: Batch::default() });
        self.tables.len() - 1
    }

    /// The tables that have rows.
    pub(crate) fn finish(mut self) -> Vec<TableRows> {
        self.tables.iter_mut().for_each(|rows| rows.batch.finish());
        self.tables.retain(|rows| !rows.batch.is_empty());
        self.tables
    }
}

impl TableRows {
    /// Adds the rows to a log record; gives the columns that they name.
    pub(crate) fn log(&self, record: &mut WriteRecord) -> ColumnSet {
        let shape = self.core.shape();
        let index = self.core.index();
        let tags_of = |id, tell: &mut dyn FnMut(u32, _)| index.tags_of(id).for_each(|(at, value)| tell(at, value));
        let named = record.add(&self.core.name, &shape.schema.columns, tags_of, &self.batch);
        let mut columns = ColumnSet::default();
        named.into_iter().for_each(|position| columns.insert(position));
        columns
    }
}

fn fits_new_table(point: &Point<'_>) -> Result<()> {
    let empty = TableCore::new(TableId(u32::MAX), &point.table)?;
    first_error(&empty.shape(), point).map_or(Ok(()), |error| Err(error.into()))
}

/// What is wrong with a point, in the order in which it is written.
fn first_error(shape: &Shape, point: &Point<'_>) -> Option<SchemaError> {
    let mut seen = HashSet::new();
    let mut check = |name: &str, wanted: Option<ColumnKind>| {
        if wanted.is_some() {
            check_name(name)?;
        }
        if !seen.insert(name.to_owned()) {
            return Err(SchemaError::Duplicate(name.to_owned()));
        }
        match (shape.column(name, None), wanted) {
            (Some((position, _)), Some(wanted)) => check_kind(&shape.schema, position as usize, wanted),
            _ => Ok(()),
        }
    };
    let tag = |value: &str| if value.is_empty() { None } else { Some(ColumnKind::Tag) };
    let tags = point.tags.iter().map(|(name, value)| (name, tag(value)));
    let fields = point.fields.iter().map(|(name, value)| (name, Some(ColumnKind::Field(value.field_type()))));
    let columns = tags.chain(fields).find_map(|(name, wanted)| check(name, wanted).err());
    columns.or_else(|| point.fields.is_empty().then(|| SchemaError::NoField(point.table.to_string())))
}

/// Buffers that are used again for each point, and the positions that the point before had.
#[derive(Default)]
pub(crate) struct Scratch<'a> {
    tags: Vec<(TagPosition, &'a str)>,
    fields: Vec<(FieldRef, &'a Value<'a>)>,
    new: Vec<(&'a str, ColumnKind)>,
    tag_hints: Vec<Option<u32>>,
    field_hints: Vec<Option<u32>>,
    positions: Vec<u32>,
}

impl<'a> Scratch<'a> {
    fn add(&mut self, rows: &mut TableRows, point: &'a Point<'a>) -> Result<SeriesId> {
        let core = &rows.core;
        core.check_kept(point.time_ns)?;
        let shape = core.shape();
        self.lay_out(&shape, point).map_err(|error| first_error(&shape, point).map_or(error, Error::from))?;
        if !self.new.is_empty() {
            let shape = core.grow(&self.new)?;
            self.lay_out(&shape, point)?;
        }
        let series = core.find_or_add_series(&self.tags)?;
        let fields = self.fields.iter().map(|((position, kind), value)| (*position, *kind, *value));
        rows.batch.push(series, point.time_ns, fields);
        Ok(series)
    }

    /// Finds the columns of a point; those that do not exist yet are in `new`.
    fn lay_out(&mut self, shape: &Shape, point: &'a Point<'a>) -> Result<()> {
        self.tags.clear();
        self.fields.clear();
        self.new.clear();
        self.tag_hints.resize(point.tags.len(), None);
        self.field_hints.resize(point.fields.len(), None);
        for (nth, (name, value)) in point.tags.iter().enumerate() {
            if value.is_empty() {
                continue;
            }
            let found = self.column(shape, name, ColumnKind::Tag, self.tag_hints[nth])?;
            self.tag_hints[nth] = found.map(|(position, _)| position);
            self.tags.extend(found.map(|(position, _)| (position, &**value)));
        }
        for (nth, (name, value)) in point.fields.iter().enumerate() {
            let found = self.column(shape, name, ColumnKind::Field(value.field_type()), self.field_hints[nth])?;
            self.field_hints[nth] = found.map(|(position, _)| position);
            if let Some((position, ColumnKind::Field(kind))) = found {
                self.fields.push(((position, kind), value));
            }
        }
        if point.fields.is_empty() {
            return Err(SchemaError::NoField(point.table.to_string()).into());
        }
        self.tags.sort_unstable_by_key(|(position, _)| *position);
        self.refuse_duplicates(shape, point)
    }

    fn column(
        &mut self,
        shape: &Shape,
        name: &'a str,
        wanted: ColumnKind,
        hint: Option<u32>,
    ) -> Result<Option<(u32, ColumnKind)>> {
        if let Some((position, kind)) = shape.column(name, hint) {
            check_kind(&shape.schema, position as usize, wanted)?;
            return Ok(Some((position, kind)));
        }
        check_name(name)?;
        self.new.push((name, wanted));
        Ok(None)
    }

    /// Positions tell when every name has one; otherwise the names themselves have to.
    fn refuse_duplicates(&mut self, shape: &Shape, point: &Point<'_>) -> Result<()> {
        let twice = |name: &str| Err(SchemaError::Duplicate(name.to_owned()).into());
        self.positions.clear();
        self.positions.extend(self.tags.iter().map(|(position, _)| *position));
        self.positions.extend(self.fields.iter().map(|((position, _), _)| *position));
        if self.positions.len() == point.tags.len() + point.fields.len() {
            self.positions.sort_unstable();
            return match self.positions.windows(2).find(|pair| pair[0] == pair[1]) {
                Some(pair) => twice(&shape.schema.columns[pair[0] as usize].name),
                None => Ok(()),
            };
        }
        let mut names: Vec<&str> = point.tags.iter().map(|t| &*t.0).chain(point.fields.iter().map(|f| &*f.0)).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => twice(pair[0]),
            None => Ok(()),
        }
    }
}

/// Resolves rows read back from the log; gives the columns that they name, too.
pub(crate) fn resolve_logged(core: &TableCore, logged: LoggedRows) -> Result<(Batch, ColumnSet)> {
    let wanted: Vec<_> = logged.columns.iter().map(|c| (c.name.as_str(), c.kind)).collect();
    let shape = core.grow(&wanted)?;
    let mut positions = Vec::with_capacity(wanted.len());
    let mut columns = ColumnSet::default();
    for (name, kind) in wanted {
        let (position, stored) = shape.column(name, None).expect("just grown");
        assert_eq!(stored, kind, "values are widened before they are logged");
        positions.push(position);
        columns.insert(position);
    }
    let mut index = core.index_mut();
    let mut series: Vec<SeriesId> = Vec::with_capacity(logged.series.len());
    let mut tags = Vec::new();
    for nth in 0..logged.series.len() {
        tags.clear();
        tags.extend(logged.series.tags(nth).map(|(tag, value)| (positions[tag], value)));
        tags.sort_unstable_by_key(|(position, _)| *position);
        series.push(index.find_or_add(&tags));
    }
    let fields = logged.fields.into_iter().map(|(column, values)| (positions[column], values)).collect();
    let series = logged.row_series.iter().map(|nth| series[*nth]).collect();
    Ok((Batch { series, times: logged.times, fields }, columns))
}
