//! The latest row of each series, and of each combination of tags.
//!
//! ```text
//! segments ─► last row of each series, kept in memory ┐
//! memtable ─► last row of each series of each run     ┴► merged field by field ─► the latest per combination of tags
//! ```
//!
//! What is kept is a function of the live segments alone: it is used only for exactly those segments, with exactly those
//! deletes, and new segments behind them are added to it. A flush adds; a compaction or a delete starts anew. So nothing has
//! to be told to it, and a snapshot never sees a later write.

use std::sync::{Arc, Mutex, Weak};

use arrow_array::{RecordBatch, UInt32Array, new_null_array};
use arrow_select::take::take;
use roaring::RoaringBitmap;

use super::numbers::{Numbers, number};
use super::output::Output;
use super::tags::tag_position;
use super::{Snapshot, TagMatcher, plan};
use crate::index::{TagIndex, TagPosition};
use crate::memtable::Bounds;
use crate::model::{ColumnKind, FieldRef, SeriesId, TimeRange};
use crate::rows::{Rows, merge};
use crate::segment::Selection;
use crate::table::{LiveSegment, TableView};
use crate::{Error, Result};

/// The latest row of each combination of tags.
#[derive(Debug, Clone)]
pub struct LastRequest {
    /// The table.
    pub table: String,
    /// Columns wanted, in this order.
    pub columns: Vec<String>,
    /// Only series for which all of these hold.
    pub tags: Vec<TagMatcher>,
    /// The tags whose combinations get a row each; none for one row.
    pub by: Vec<String>,
    /// Only rows of this time range.
    pub time: TimeRange,
}

/// Most memory that a table keeps for its last rows; with more they are read anew each time.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// The last rows of some segments, kept from one question to the next.
#[derive(Debug, Default)]
pub(crate) struct LastPoints(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    /// Held weakly, so that a file can go when the segment is replaced.
    segments: Vec<Weak<LiveSegment>>,
    fields: Vec<FieldRef>,
    rows: Arc<Rows>,
}

impl Snapshot {
    /// The latest row of each combination of tags that has rows; where two series have one of the same time, that of the later
    /// series. Ordered by the tags, NULL last.
    ///
    /// # Errors
    /// [`crate::SchemaError`], [`Error::Pattern`], [`Error::Corrupt`].
    pub fn last_points(&self, request: &LastRequest) -> Result<RecordBatch> {
        let view = self.view(&request.table)?;
        let output = Output::new(view, &request.columns)?;
        let by = request.by.iter().map(|tag| tag_position(view, tag)).collect::<Result<Vec<_>>>()?;
        let selected = plan::select_series(view, &request.tags)?;
        let time = view.tiers.visible(&request.time);
        let wanted = Wanted { time, series: selected.as_ref() };
        let mut found = vec![self.last_of_segments(view, &output.fields, &wanted)?];
        for run in view.memtable.runs().filter(|run| run.time.overlaps(&time)) {
            let bounds = Bounds { time, selected: wanted.series, ..Bounds::ALL };
            found.push(last_of_each(&run.read(&bounds, &output.fields)));
        }
        let rows = last_of_each(&merge(found));
        let index = view.core.index();
        let pick = latest_by(&rows, &index, &by);
        Ok(output.batch(&rows, &index, Some(&pick)))
    }

    fn last_of_segments(&self, view: &TableView, fields: &[FieldRef], wanted: &Wanted<'_>) -> Result<Rows> {
        if !self.shortcuts.last_points {
            return read_all(view, fields, wanted);
        }
        // The last row of a series is older than what is kept only if all its rows are.
        let is_all = view.tiers.visible(&TimeRange::ALL) == wanted.time;
        if !is_all {
            return read(&view.segments, fields, wanted, Vec::new());
        }
        let all = view.core.last_points.get(view)?;
        let (kept_fields, rows) = &all;
        let column = |field: &FieldRef| match kept_fields.iter().position(|kept| kept == field) {
            Some(at) => rows.columns[at].clone(),
            None => new_null_array(&field.1.arrow(), rows.len()),
        };
        let rows = Rows { columns: fields.iter().map(column).collect(), ..shape_of(rows) };
        if wanted.series.is_none() && wanted.time == TimeRange::ALL {
            return Ok(rows);
        }
        let is_wanted = |row: &u32| {
            let row = *row as usize;
            let of_series = wanted.series.is_none_or(|series| series.contains(rows.series[row].0.0));
            of_series && wanted.time.contains(rows.times[row])
        };
        Ok(take_rows(&rows, &(0..rows.len() as u32).filter(is_wanted).collect::<Vec<_>>()))
    }
}

impl LastPoints {
    /// The last row of each series over the segments of a view, with the fields that these are.
    fn get(&self, view: &TableView) -> Result<(Vec<FieldRef>, Arc<Rows>)> {
        let segments = &view.segments;
        let everything = Wanted { time: TimeRange::ALL, series: None };
        let mut kept = self.0.lock().expect("last rows are kept without panics");
        let known = kept.as_ref().filter(|kept| kept.segments.len() <= segments.len() && kept.agrees(segments));
        if let Some(known) = known.filter(|known| known.segments.len() == segments.len()) {
            return Ok((known.fields.clone(), known.rows.clone()));
        }
        let fields = fields_of(view);
        let (before, from) = match known {
            // A field that came later is NULL in what was there before.
            Some(known) if fields.starts_with(&known.fields) => {
                (vec![known.with_fields(&fields)], known.segments.len())
            }
            _ => (Vec::new(), 0),
        };
        let rows = Arc::new(read(&segments[from..], &fields, &everything, before)?);
        // What an older snapshot sees does not take the place of what the next question asks for.
        let is_older = kept.as_ref().is_some_and(|kept| kept.segments.len() > segments.len() && kept.agrees(segments));
        if rows.memory_bytes() <= KEPT_BYTES_MAX && !is_older {
            let segments = segments.iter().map(Arc::downgrade).collect();
            *kept = Some(Kept { segments, fields: fields.clone(), rows: rows.clone() });
        }
        Ok((fields, rows))
    }
}

impl Kept {
    /// True when one of the two lists of segments begins with the other.
    fn agrees(&self, segments: &[Arc<LiveSegment>]) -> bool {
        self.segments.iter().zip(segments).all(|(kept, live)| kept.as_ptr() == Arc::as_ptr(live))
    }

    fn with_fields(&self, fields: &[FieldRef]) -> Rows {
        let mut rows = (*self.rows).clone();
        let more = fields[self.fields.len()..].iter().map(|(_, kind)| new_null_array(&kind.arrow(), rows.len()));
        let more: Vec<_> = more.collect();
        rows.columns.extend(more);
        rows
    }
}

/// All fields of a table.
fn fields_of(view: &TableView) -> Vec<FieldRef> {
    let field = |(at, column): (usize, &crate::model::Column)| match column.kind {
        ColumnKind::Field(kind) => Some((at as u32, kind)),
        ColumnKind::Time | ColumnKind::Tag => None,
    };
    view.shape.schema.columns.iter().enumerate().filter_map(field).collect()
}

/// Which rows may be the last.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    time: TimeRange,
    series: Option<&'a RoaringBitmap>,
}

/// The plain way: reads every row, and takes the last of each series.
fn read_all(view: &TableView, fields: &[FieldRef], wanted: &Wanted<'_>) -> Result<Rows> {
    let mut found = vec![none(fields)];
    for live in view.segments.iter() {
        let segment = live.file.as_ref().map_err(Error::again)?;
        for chunk in 0..segment.chunks().len() {
            let selection = Selection { time: wanted.time, series: wanted.series };
            found.push(live.deleted.apply(segment.read(chunk, fields, &selection)?));
        }
    }
    Ok(last_of_each(&merge(found)))
}

/// The last row of each series over some segments, oldest first, and over the rows `before` them. Segments are visited from
/// the latest times on, and chunks whose series all have a later row are left out.
fn read(segments: &[Arc<LiveSegment>], fields: &[FieldRef], wanted: &Wanted<'_>, before: Vec<Rows>) -> Result<Rows> {
    let mut known = Known::default();
    before.iter().for_each(|rows| known.add(rows));
    let mut latest_first: Vec<usize> = (0..segments.len()).collect();
    latest_first.sort_by_key(|nth| std::cmp::Reverse(segments[*nth].entry.max_ns));
    let mut found = Vec::new();
    for nth in latest_first {
        let live = &segments[nth];
        let time = TimeRange { min_ns: live.entry.min_ns, max_ns: live.entry.max_ns };
        if time.overlaps(&wanted.time) {
            let rows = last_of_segment(live, fields, wanted, &known)?;
            known.add(&rows);
            found.push((nth, rows));
        }
    }
    found.sort_by_key(|(nth, _)| *nth);
    let mut sources = vec![none(fields)];
    sources.extend(before);
    sources.extend(found.into_iter().map(|(_, rows)| rows));
    Ok(last_of_each(&merge(sources)))
}

fn last_of_segment(live: &LiveSegment, fields: &[FieldRef], wanted: &Wanted<'_>, known: &Known) -> Result<Rows> {
    let segment = live.file.as_ref().map_err(Error::again)?;
    let mut found = vec![none(fields)];
    for (nth, info) in segment.chunks().iter().enumerate() {
        let series = info.series_first.0..=info.series_last.0;
        let is_wanted = wanted.series.is_none_or(|s| s.range_cardinality(series.clone()) > 0);
        if !info.time.overlaps(&wanted.time) || !is_wanted || known.all_after(series, info.time.max_ns) {
            continue;
        }
        let is_whole = wanted.time.min_ns <= info.time.min_ns && info.time.max_ns <= wanted.time.max_ns;
        found.push(if is_whole && !live.deleted.touch((info.series_first, info.series_last), &info.time) {
            segment.read_last(nth, fields, wanted.series)?
        } else {
            let selection = Selection { time: wanted.time, series: wanted.series };
            last_of_each(&live.deleted.apply(segment.read(nth, fields, &selection)?))
        });
    }
    Ok(last_of_each(&merge(found)))
}

/// The latest time known of each series.
#[derive(Default)]
struct Known(Vec<Option<i64>>);

impl Known {
    fn add(&mut self, rows: &Rows) {
        for (nth, (id, _)) in rows.series.iter().enumerate() {
            let at = id.0 as usize;
            if at >= self.0.len() {
                self.0.resize(at + 1, None);
            }
            self.0[at] = self.0[at].max(rows.times[rows.range(nth)].last().copied());
        }
    }

    /// True when all of these series have a row after `time_ns`.
    fn all_after(&self, series: std::ops::RangeInclusive<u32>, time_ns: i64) -> bool {
        let range = *series.start() as usize..*series.end() as usize + 1;
        self.0.get(range).is_some_and(|known| known.iter().all(|last| last.is_some_and(|last| last > time_ns)))
    }
}

/// The last row of each series.
fn last_of_each(rows: &Rows) -> Rows {
    if rows.series.len() == rows.len() {
        return rows.clone();
    }
    take_rows(rows, &rows.series.iter().map(|(_, end)| *end as u32 - 1).collect::<Vec<_>>())
}

/// Some rows, ascending, of which no two are of one series.
fn take_rows(rows: &Rows, picked: &[u32]) -> Rows {
    let (mut series, mut nth) = (Vec::with_capacity(picked.len()), 0);
    for (at, row) in picked.iter().enumerate() {
        while rows.series[nth].1 <= *row as usize {
            nth += 1;
        }
        series.push((rows.series[nth].0, at + 1));
    }
    let times = picked.iter().map(|row| rows.times[*row as usize]).collect();
    let picked = UInt32Array::from(picked.to_vec());
    let columns = rows.columns.iter().map(|c| take(c, &picked, None).expect("picked rows exist")).collect();
    Rows { series, times, columns }
}

/// The series and times of rows, without their columns.
fn shape_of(rows: &Rows) -> Rows {
    Rows { series: rows.series.clone(), times: rows.times.clone(), columns: Vec::new() }
}

/// No rows of these fields.
fn none(fields: &[FieldRef]) -> Rows {
    Rows { columns: fields.iter().map(|(_, kind)| new_null_array(&kind.arrow(), 0)).collect(), ..Rows::default() }
}

/// Of rows with one of each series, the latest of each combination of tags, ordered by these.
fn latest_by(rows: &Rows, index: &TagIndex, by: &[TagPosition]) -> UInt32Array {
    let ids: Vec<SeriesId> = rows.series.iter().map(|(id, _)| *id).collect();
    let Numbers { of_nth, first } = number(index, by, &ids);
    let mut latest: Vec<Option<u32>> = vec![None; first.len()];
    for (row, number) in (0..).zip(&of_nth) {
        let best = latest[*number as usize].get_or_insert(row);
        if rows.times[row as usize] >= rows.times[*best as usize] {
            *best = row;
        }
    }
    latest.into_iter().flatten().collect::<Vec<_>>().into()
}
