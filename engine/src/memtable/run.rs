//! Immutable rows in storage order, and which of them a reader wants.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, new_null_array};
use roaring::RoaringBitmap;

use crate::batch::Batch;
use crate::model::{FieldRef, SeriesId, TimeRange};
use crate::partition::{self, Partition};
use crate::rows::{Key, Rows, merge};
use crate::tombstone::{Tombstone, Tombstones};

/// Immutable rows in storage order.
#[derive(Debug)]
pub(crate) struct Run {
    /// Position in the schema and type of each column, in the order of `rows.columns`.
    fields: Vec<FieldRef>,
    /// In storage order, with rows that were deleted since: readers take [`Run::read`].
    pub(crate) rows: Arc<Rows>,
    pub(crate) time: TimeRange,
    partitions: Vec<Partition>,
    pub(super) memory_bytes: usize,
    deleted: Tombstones,
}

impl Run {
    /// Orders the rows of a write; `None` without rows.
    pub(crate) fn new(batch: &Batch) -> Option<Arc<Run>> {
        let (fields, rows) = batch.to_rows();
        Run::of(fields, rows)
    }

    /// One run with the rows of several, oldest first.
    pub(crate) fn join(runs: &[Arc<Run>]) -> Option<Arc<Run>> {
        let fields = union_of_fields(runs.iter());
        let rows = merge(runs.iter().map(|run| run.read(&Bounds::ALL, &fields)).collect());
        Run::of(fields, rows)
    }

    fn of(fields: Vec<FieldRef>, rows: Rows) -> Option<Arc<Run>> {
        let time = rows.time_range()?;
        let memory_bytes = rows.memory_bytes();
        let partitions = partition::all_of(&rows.times);
        let deleted = Tombstones::default();
        Some(Arc::new(Run { fields, rows: Arc::new(rows), time, partitions, memory_bytes, deleted }))
    }

    /// The time partitions that have rows here, in order.
    pub(crate) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// Some of the rows with just the wanted columns, in the wanted order; a column this run lacks is all NULL.
    pub(crate) fn read(&self, bounds: &Bounds<'_>, fields: &[FieldRef]) -> Rows {
        let column = |(position, kind): &FieldRef| match self.fields.iter().position(|(p, _)| p == position) {
            Some(at) => self.rows.columns[at].clone(),
            None => new_null_array(&kind.arrow(), self.rows.len()),
        };
        let rows = self.rows.select(&bounds.ranges_of(self), &fields.iter().map(column).collect::<Vec<_>>());
        self.deleted.apply(rows)
    }

    /// What was deleted of this run since it was made.
    pub(crate) fn deleted(&self) -> &Tombstones {
        &self.deleted
    }

    /// The same run with one more tombstone, if that may touch it.
    pub(super) fn without(self: &Arc<Run>, tombstone: &Arc<Tombstone>) -> Arc<Run> {
        let (Some((first, _)), Some((last, _))) = (self.rows.series.first(), self.rows.series.last()) else {
            return self.clone();
        };
        if !tombstone.touches((*first, *last), &self.time) {
            return self.clone();
        }
        let Run { fields, rows, time, partitions, memory_bytes, deleted } = &**self;
        let mut deleted = deleted.clone();
        deleted.add(tombstone);
        let (fields, partitions) = (fields.clone(), partitions.clone());
        Arc::new(Run { fields, rows: rows.clone(), time: *time, partitions, memory_bytes: *memory_bytes, deleted })
    }

    /// The column of the field at a position of the table's schema; `None` where every value is NULL.
    pub(crate) fn column(&self, position: u32) -> Option<&ArrayRef> {
        self.fields.iter().position(|(p, _)| *p == position).map(|at| &self.rows.columns[at])
    }

    /// The columns that this run has.
    pub(crate) fn fields(&self) -> &[FieldRef] {
        &self.fields
    }
}

/// Which rows of a run are wanted.
pub(crate) struct Bounds<'a> {
    pub(crate) time: TimeRange,
    pub(crate) lo: Key,
    /// Exclusive; `None` for no end.
    pub(crate) hi: Option<Key>,
    /// `None` for all series.
    pub(crate) selected: Option<&'a RoaringBitmap>,
}

impl Bounds<'_> {
    /// Every row.
    pub(crate) const ALL: Bounds<'static> =
        Bounds { time: TimeRange::ALL, lo: (SeriesId(0), i64::MIN), hi: None, selected: None };

    /// Ascending, disjoint ranges of rows.
    fn ranges_of(&self, run: &Run) -> Vec<Range<usize>> {
        let rows = &run.rows;
        let start = rows.lower_bound(self.lo);
        let end = self.hi.map_or(rows.len(), |hi| rows.lower_bound(hi));
        let all_times = self.time.min_ns <= run.time.min_ns && run.time.max_ns <= self.time.max_ns;
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut add = |range: Range<usize>| {
            let range = range.start.max(start)..range.end.min(end);
            match ranges.last_mut() {
                _ if range.is_empty() => {}
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        };
        let within_times = |series: Range<usize>| {
            let times = &rows.times[series.clone()];
            let from = times.partition_point(|t| *t < self.time.min_ns);
            let to = times.partition_point(|t| *t <= self.time.max_ns);
            series.start + from..series.start + to
        };
        match self.selected {
            None if all_times => add(0..rows.len()),
            None => (0..rows.series.len()).for_each(|nth| add(within_times(rows.range(nth)))),
            Some(selected) if selected.len() < rows.series.len() as u64 / 8 => {
                for id in selected {
                    if let Ok(nth) = rows.series.binary_search_by_key(&id, |(series, _)| series.0) {
                        add(within_times(rows.range(nth)));
                    }
                }
            }
            Some(selected) => {
                let wanted = |nth: &usize| selected.contains(rows.series[*nth].0.0);
                (0..rows.series.len()).filter(wanted).for_each(|nth| add(within_times(rows.range(nth))));
            }
        }
        ranges
    }
}

/// All columns of some runs, each once, by position.
pub(crate) fn union_of_fields<'a>(runs: impl Iterator<Item = &'a Arc<Run>>) -> Vec<FieldRef> {
    let mut fields: Vec<FieldRef> = runs.flat_map(|r| r.fields()).copied().collect();
    fields.sort_unstable_by_key(|(position, _)| *position);
    fields.dedup();
    fields
}
