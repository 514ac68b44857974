//! DELETE: which rows there are to delete is found while no write is under way, then logged by name and applied as a tombstone.
//!
//! A test of tags and times alone is logged as it is: replayed on any state it means the same older rows, because the tags of
//! a series never change. What a test of field values chooses depends on the state, so the chosen points are logged.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use roaring::RoaringBitmap;

use super::{Change, Engine, Result};
use crate::error::{Error, SchemaError};
use crate::maintain::{Stream, Wanted};
use crate::memtable::Run;
use crate::model::{ColumnKind, FieldRef, FieldType, SeriesId, TableSchema, TimeRange, Value};
use crate::partition::{self, Partition};
use crate::rows::Rows;
use crate::scan::{FieldPredicate, TagMatcher};
use crate::table::{LiveSegment, TableCore, TableView};
use crate::tombstone::{DeletedRows, Tombstone};
use crate::wal::Lsn;
use crate::wal::record::delete::{self, LoggedDelete, LoggedPoints};

/// A DELETE on one table, before its record has a number.
#[derive(Debug)]
pub(super) struct Deletion {
    time: TimeRange,
    rows: DeletedRows,
}

/// Points by series, times ascending.
type Points = BTreeMap<SeriesId, Vec<i64>>;

impl Engine {
    /// Most points that one DELETE picks one by one: bounds its memory and its log record.
    pub const DELETED_POINTS_MAX: u64 = 16 << 20;

    /// Deletes the points of a time range whose tags and fields pass all tests, and says how many there were. What is written
    /// later is not touched, be it the same points. Writes wait while the points are looked for.
    ///
    /// # Errors
    /// [`SchemaError::NoTable`], [`SchemaError::NoColumn`], [`Error::Pattern`], [`Error::Limit`] for too many points chosen by
    /// their fields, [`Error::Corrupt`] when rows cannot be read, and those of [`Engine::write`]: nothing is deleted then.
    pub fn delete(
        &self,
        table: &str,
        time: TimeRange,
        tags: &[TagMatcher],
        predicates: &[FieldPredicate],
    ) -> Result<u64> {
        self.check_not_poisoned()?;
        let _alone = self.definitions.write().expect("definitions are guarded without panics");
        let view = self.view(table)?;
        let wanted = Wanted { time, series: select(&view.core, tags)? };
        let tests = tests(&view, predicates)?;
        if tests.is_empty() {
            let logged = LoggedDelete::OfSeries { time, tags: tags.to_vec() };
            let rows = wanted.series.clone().map_or(DeletedRows::All, DeletedRows::OfSeries);
            return self.commit_delete(&view, count(&view, &wanted)?, &logged, Deletion { time, rows });
        }
        let fields: Vec<FieldRef> = tests.iter().map(|(field, _)| *field).collect();
        let passes = |rows: &Rows, row: usize| {
            let mut tests = tests.iter().zip(&rows.columns);
            tests.all(|(((_, kind), predicate), column)| predicate.test.holds(value(column, *kind, row).as_ref()))
        };
        let points = find_points(&view, &wanted, &fields, passes)?;
        self.delete_found(&view, points)
    }

    /// Deletes single points, named by their time and all their tags, and says how many of them there were. Each batch has
    /// the column `time` and one for each tag of the table by its name; a tag without a column is absent.
    ///
    /// # Errors
    /// As [`Engine::delete`].
    pub fn delete_points(&self, table: &str, points: &[RecordBatch]) -> Result<u64> {
        self.check_not_poisoned()?;
        let _alone = self.definitions.write().expect("definitions are guarded without panics");
        let view = self.view(table)?;
        let named = named_points(&view, points)?;
        let min_ns = named.values().filter_map(|times| times.first()).min().copied().unwrap_or(i64::MAX);
        let max_ns = named.values().filter_map(|times| times.last()).max().copied().unwrap_or(i64::MIN);
        let series = named.keys().map(|series| series.0).collect();
        let wanted = Wanted { time: TimeRange { min_ns, max_ns }, series: Some(series) };
        let is_named = |series: SeriesId, time_ns: i64| {
            named.get(&series).is_some_and(|times| times.binary_search(&time_ns).is_ok())
        };
        let mut found = Points::new();
        for_each_row(&view, &wanted, &[], |rows, series, row| {
            if is_named(series, rows.times[row]) {
                found.entry(series).or_default().push(rows.times[row]);
            }
            Ok(())
        })?;
        self.delete_found(&view, found)
    }

    fn view(&self, table: &str) -> Result<TableView> {
        let state = self.state();
        let view = state.tables.get(table).and_then(crate::table::Table::view);
        let view = view.ok_or_else(|| SchemaError::NoTable(table.to_owned()))?;
        if view.options.legal_hold {
            return Err(SchemaError::LegalHold(table.to_owned()).into());
        }
        Ok(view)
    }

    fn delete_found(&self, view: &TableView, points: Points) -> Result<u64> {
        let count = points.values().map(|times| times.len() as u64).sum();
        let min_ns = points.values().filter_map(|times| times.first()).min().copied().unwrap_or(i64::MAX);
        let max_ns = points.values().filter_map(|times| times.last()).max().copied().unwrap_or(i64::MIN);
        let logged = LoggedDelete::Points(points.iter().map(|(series, times)| logged(view, *series, times)).collect());
        let rows = DeletedRows::Points(points.into_iter().collect());
        self.commit_delete(view, count, &logged, Deletion { time: TimeRange { min_ns, max_ns }, rows })
    }

    /// Logs and applies a DELETE of `count` rows, if that are any.
    fn commit_delete(&self, view: &TableView, count: u64, logged: &LoggedDelete, deletion: Deletion) -> Result<u64> {
        if count > 0 {
            let payload = delete::encode(&view.core.name, logged);
            self.commit(payload, Change::Delete(view.core.clone(), deletion))?;
        }
        Ok(count)
    }
}

impl Deletion {
    /// What a record says, in the numbers of the table as it is now.
    pub(super) fn logged(core: &TableCore, logged: LoggedDelete) -> Result<Deletion> {
        Ok(match logged {
            LoggedDelete::OfSeries { time, tags } => {
                let rows = select(core, &tags)?.map_or(DeletedRows::All, DeletedRows::OfSeries);
                Deletion { time, rows }
            }
            LoggedDelete::Points(logged) => {
                let mut points = Points::new();
                for LoggedPoints { tags, times } in logged {
                    let tags: Vec<(&str, &str)> = tags.iter().map(|(tag, value)| (&**tag, &**value)).collect();
                    // A series that is not there has no older rows.
                    if let Some(series) = find_series(core, &tags) {
                        points.insert(series, times);
                    }
                }
                Deletion { time: TimeRange::ALL, rows: DeletedRows::Points(points.into_iter().collect()) }
            }
        })
    }

    pub(super) fn tombstone(self, lsn: Lsn) -> Tombstone {
        Tombstone { lsn, time: self.time, rows: self.rows }
    }
}

/// The series that pass all tests; `None` for all.
fn select(core: &TableCore, matchers: &[TagMatcher]) -> Result<Option<RoaringBitmap>> {
    if matchers.is_empty() {
        return Ok(None);
    }
    let shape = core.shape();
    let position = |tag: &str| match shape.column(tag, None) {
        Some((position, ColumnKind::Tag)) => Some(position),
        _ => None,
    };
    let tests: Vec<_> = matchers.iter().map(|matcher| (position(&matcher.tag), &matcher.test)).collect();
    core.index().select(&tests).map(Some)
}

/// The fields that are tested, each with its test.
fn tests<'a>(view: &TableView, predicates: &'a [FieldPredicate]) -> Result<Vec<(FieldRef, &'a FieldPredicate)>> {
    let is_visible = |name: &str| view.schema.position(name).is_some();
    let test = |predicate: &'a FieldPredicate| match view.shape.column(&predicate.field, None) {
        Some((position, ColumnKind::Field(kind))) if is_visible(&predicate.field) => Ok(((position, kind), predicate)),
        _ => {
            let (table, column) = (view.core.name.clone(), predicate.field.clone());
            Err(Error::from(SchemaError::NoColumn { table, column }))
        }
    };
    predicates.iter().map(test).collect()
}

/// What has rows of a time partition, oldest first.
#[derive(Default)]
struct Sources {
    segments: Vec<Arc<LiveSegment>>,
    runs: Vec<Arc<Run>>,
}

fn sources(view: &TableView, time: &TimeRange) -> BTreeMap<Partition, Sources> {
    let mut parted: BTreeMap<Partition, Sources> = BTreeMap::new();
    for live in view.segments.iter().filter(|s| s.entry.tier == 0 && s.time().overlaps(time)) {
        parted.entry(live.entry.partition()).or_default().segments.push(live.clone());
    }
    for run in view.memtable.runs().filter(|run| run.time.overlaps(time)) {
        for partition in run.partitions().iter().filter(|p| partition::range(**p).overlaps(time)) {
            parted.entry(*partition).or_default().runs.push(run.clone());
        }
    }
    parted
}

/// The wanted rows with some fields, as a stream for each partition.
fn streams(view: &TableView, wanted: &Wanted, fields: &[FieldRef]) -> impl Iterator<Item = Result<Stream>> {
    sources(view, &wanted.time).into_iter().map(|(partition, Sources { segments, runs })| {
        let time = partition::range(partition).intersect(&wanted.time);
        Stream::new(&segments, &runs, fields.to_vec(), Wanted { time, series: wanted.series.clone() })
    })
}

fn count(view: &TableView, wanted: &Wanted) -> Result<u64> {
    let mut count = 0;
    for stream in streams(view, wanted, &[]) {
        count += stream?.count()?;
    }
    Ok(count)
}

fn for_each_row(
    view: &TableView,
    wanted: &Wanted,
    fields: &[FieldRef],
    mut look: impl FnMut(&Rows, SeriesId, usize) -> Result<()>,
) -> Result<()> {
    for stream in streams(view, wanted, fields) {
        let mut stream = stream?;
        while let Some(rows) = stream.next_rows()? {
            for nth in 0..rows.series.len() {
                rows.range(nth).try_for_each(|row| look(&rows, rows.series[nth].0, row))?;
            }
        }
    }
    Ok(())
}

fn find_points(
    view: &TableView,
    wanted: &Wanted,
    fields: &[FieldRef],
    passes: impl Fn(&Rows, usize) -> bool,
) -> Result<Points> {
    let (mut points, mut found) = (Points::new(), 0);
    for_each_row(view, wanted, fields, |rows, series, row| {
        if passes(rows, row) {
            found += 1;
            check_points(found)?;
            points.entry(series).or_default().push(rows.times[row]);
        }
        Ok(())
    })?;
    Ok(points)
}

fn check_points(found: u64) -> Result<()> {
    if found <= Engine::DELETED_POINTS_MAX {
        return Ok(());
    }
    Err(Error::Limit {
        what: "number of points that one DELETE picks one by one",
        found,
        limit: Engine::DELETED_POINTS_MAX,
    })
}

/// The points that batches name, of series that there are.
fn named_points(view: &TableView, batches: &[RecordBatch]) -> Result<Points> {
    check_points(batches.iter().map(|batch| batch.num_rows() as u64).sum())?;
    let no_column = |column: &str| {
        let (table, column) = (view.core.name.clone(), column.to_owned());
        Error::from(SchemaError::NoColumn { table, column })
    };
    let mut points = Points::new();
    for batch in batches {
        let schema = batch.schema();
        let time = batch.column_by_name(TableSchema::TIME).ok_or_else(|| no_column(TableSchema::TIME))?;
        let times = time.as_primitive_opt::<TimestampNanosecondType>().ok_or_else(|| no_column(TableSchema::TIME))?;
        let mut tags: Vec<(&str, &ArrayRef)> = Vec::new();
        for (field, column) in
            schema.fields().iter().zip(batch.columns()).filter(|(f, _)| f.name() != TableSchema::TIME)
        {
            match view.shape.column(field.name(), None) {
                Some((_, ColumnKind::Tag)) if *column.data_type() == DataType::Utf8View => {
                    tags.push((field.name(), column));
                }
                _ => return Err(no_column(field.name())),
            }
        }
        for row in (0..batch.num_rows()).filter(|row| times.is_valid(*row)) {
            let present = tags.iter().filter(|(_, column)| column.is_valid(row));
            let present: Vec<_> = present.map(|(tag, column)| (*tag, column.as_string_view().value(row))).collect();
            if let Some(series) = find_series(&view.core, &present) {
                points.entry(series).or_default().push(times.value(row));
            }
        }
    }
    for times in points.values_mut() {
        times.sort_unstable();
        times.dedup();
    }
    Ok(points)
}

/// The series with exactly these tags, by names.
fn find_series(core: &TableCore, tags: &[(&str, &str)]) -> Option<SeriesId> {
    let shape = core.shape();
    let position = |(tag, value): &(&str, &str)| match shape.column(tag, None) {
        Some((position, ColumnKind::Tag)) => Some((position, value.to_string())),
        _ => None,
    };
    let mut tags = tags.iter().map(position).collect::<Option<Vec<_>>>()?;
    tags.sort_unstable();
    let tags: Vec<_> = tags.iter().map(|(position, value)| (*position, value.as_str())).collect();
    core.index().find(&tags)
}

/// Points of a series as the log names them.
fn logged(view: &TableView, series: SeriesId, times: &[i64]) -> LoggedPoints {
    let name = |position: u32| view.shape.schema.columns[position as usize].name.clone();
    let index = view.core.index();
    let tags = index.tags_of(series).map(|(position, value)| (name(position), value.to_owned())).collect();
    LoggedPoints { tags, times: times.to_vec() }
}

/// A value of a field; `None` for NULL.
fn value(column: &ArrayRef, kind: FieldType, row: usize) -> Option<Value<'_>> {
    if column.is_null(row) {
        return None;
    }
    Some(match kind {
        FieldType::Float => Value::Float(column.as_primitive::<Float64Type>().value(row)),
        FieldType::Integer => Value::Integer(column.as_primitive::<Int64Type>().value(row)),
        FieldType::Unsigned => Value::Unsigned(column.as_primitive::<UInt64Type>().value(row)),
        FieldType::Boolean => Value::Boolean(column.as_boolean().value(row)),
        FieldType::Text => Value::Text(Cow::Borrowed(column.as_string_view().value(row))),
    })
}
