//! What was deleted and may still stand in segments or runs.
//!
//! A tombstone is the effect of one DELETE on one table: series in a range of times, or single points. It says nothing about
//! rows that were written later. So it is not asked of the table but of each source of rows: when a DELETE is applied, its
//! tombstone is attached to the segments and runs that hold older rows and that it may touch, and to nothing else. A source
//! without tombstones, which is nearly every one, is read as if there were none.
//!
//! Invariants
//! - Rows of a source for which one of its tombstones holds are never handed out, counted, or written again.
//! - A segment made at record `lsn` (see `SegmentEntry`) has had all tombstones up to `lsn` applied, and carries later ones.

use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::model::{SeriesId, TimeRange};
use crate::rows::Rows;
use crate::wal::Lsn;

/// The effect of one DELETE on one table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tombstone {
    /// The record that says so.
    pub(crate) lsn: Lsn,
    /// No row outside of these times is deleted.
    pub(crate) time: TimeRange,
    pub(crate) rows: DeletedRows,
}

/// Which rows are deleted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum DeletedRows {
    /// Every row within the times.
    All,
    /// Those of these series within the times.
    OfSeries(RoaringBitmap),
    /// Single points: series ascending, the times of each ascending.
    Points(Vec<(SeriesId, Vec<i64>)>),
}

impl Tombstone {
    /// False when no row of these series and times is deleted; true when some may be.
    pub(crate) fn touches(&self, series: (SeriesId, SeriesId), time: &TimeRange) -> bool {
        self.time.overlaps(time)
            && match &self.rows {
                DeletedRows::All => true,
                DeletedRows::OfSeries(ids) => ids.range_cardinality(series.0.0..=series.1.0) > 0,
                DeletedRows::Points(points) => {
                    let from = points.partition_point(|(id, _)| *id < series.0);
                    let to = points.partition_point(|(id, _)| *id <= series.1);
                    let is_in = |times: &[i64]| {
                        times.get(times.partition_point(|t| *t < time.min_ns)).is_some_and(|t| *t <= time.max_ns)
                    };
                    // Asking every series could cost more than reading the rows.
                    to - from > POINT_LISTS_ASKED || points[from..to].iter().any(|(_, times)| is_in(times))
                }
            }
    }

    /// True when every row of these series and times is deleted.
    pub(crate) fn covers(&self, series: (SeriesId, SeriesId), time: &TimeRange) -> bool {
        self.time.min_ns <= time.min_ns
            && time.max_ns <= self.time.max_ns
            && match &self.rows {
                DeletedRows::All => true,
                DeletedRows::OfSeries(ids) => {
                    let (first, last) = (u64::from(series.0.0), u64::from(series.1.0));
                    last < first || ids.range_cardinality(series.0.0..=series.1.0) == last - first + 1
                }
                DeletedRows::Points(_) => false,
            }
    }

    /// The rows of one series that are not deleted, as ranges within `range`, whose times these are.
    fn kept(&self, series: SeriesId, times: &[i64], range: Range<usize>, out: &mut Vec<Range<usize>>) {
        match &self.rows {
            DeletedRows::OfSeries(ids) if !ids.contains(series.0) => push(out, range),
            DeletedRows::All | DeletedRows::OfSeries(_) => {
                let of_range = &times[range.clone()];
                let from = range.start + of_range.partition_point(|t| *t < self.time.min_ns);
                let to = range.start + of_range.partition_point(|t| *t <= self.time.max_ns);
                push(out, range.start..from);
                push(out, to.max(from)..range.end);
            }
            DeletedRows::Points(points) => match points.binary_search_by_key(&series, |(id, _)| *id) {
                Ok(nth) => keep_other_times(&points[nth].1, times, range, out),
                Err(_) => push(out, range),
            },
        }
    }
}

/// Series whose points are looked at one by one to tell whether a tombstone touches some rows.
const POINT_LISTS_ASKED: usize = 64;

/// The rows of `range` whose time is not among `deleted`.
fn keep_other_times(deleted: &[i64], times: &[i64], range: Range<usize>, out: &mut Vec<Range<usize>>) {
    let mut start = range.start;
    let first = times[range.start];
    for time_ns in &deleted[deleted.partition_point(|t| *t < first)..] {
        let at = start + times[start..range.end].partition_point(|t| t < time_ns);
        if at == range.end {
            break;
        }
        if times[at] == *time_ns {
            push(out, start..at);
            start = at + 1;
        }
    }
    push(out, start..range.end);
}

fn push(out: &mut Vec<Range<usize>>, range: Range<usize>) {
    match out.last_mut() {
        _ if range.is_empty() => {}
        Some(last) if last.end == range.start => last.end = range.end,
        _ => out.push(range),
    }
}

/// The tombstones of one source of rows, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tombstones(Vec<Arc<Tombstone>>);

impl Tombstones {
    /// True when nothing of the source was deleted: nearly always.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Tombstone>> {
        self.0.iter()
    }

    /// Adds one that is newer than those there.
    pub(crate) fn add(&mut self, tombstone: &Arc<Tombstone>) {
        if self.0.last().is_none_or(|last| last.lsn < tombstone.lsn) {
            self.0.push(tombstone.clone());
        }
    }

    /// May a row of these series (first and last) and times be deleted? If not, statistics over them hold as they are.
    pub(crate) fn touch(&self, series: (SeriesId, SeriesId), time: &TimeRange) -> bool {
        self.0.iter().any(|tombstone| tombstone.touches(series, time))
    }

    /// Is every row of these series and times deleted, by a single DELETE?
    pub(crate) fn cover(&self, series: (SeriesId, SeriesId), time: &TimeRange) -> bool {
        self.0.iter().any(|tombstone| tombstone.covers(series, time))
    }

    /// The rows of the source that are not deleted.
    pub(crate) fn apply(&self, mut rows: Rows) -> Rows {
        for tombstone in &self.0 {
            rows = without(rows, tombstone);
        }
        rows
    }
}

fn without(rows: Rows, tombstone: &Tombstone) -> Rows {
    let mut kept = Vec::new();
    for (nth, (series, _)) in rows.series.iter().enumerate() {
        let range = rows.range(nth);
        if !range.is_empty() {
            tombstone.kept(*series, &rows.times, range, &mut kept);
        }
    }
    if let [range] = kept.as_slice()
        && *range == (0..rows.len())
    {
        return rows;
    }
    rows.select(&kept, &rows.columns)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(keys: &std::collections::BTreeSet<(u32, i64)>) -> Rows {
        let mut rows = Rows::default();
        for (series, time_ns) in keys {
            rows.times.push(*time_ns);
            match rows.series.last_mut() {
                Some((id, end)) if id.0 == *series => *end = rows.times.len(),
                _ => rows.series.push((SeriesId(*series), rows.times.len())),
            }
        }
        rows
    }

    fn keys(rows: &Rows) -> Vec<(u32, i64)> {
        rows.series_of_rows().iter().map(|id| id.0).zip(rows.times.iter().copied()).collect()
    }

    fn tombstone() -> impl Strategy<Value = Tombstone> {
        let points = prop::collection::btree_map(0u32..6, prop::collection::btree_set(0i64..20, 1..6), 0..4);
        let points = points.prop_map(|points| {
            let list =
                |(id, times): (u32, std::collections::BTreeSet<i64>)| (SeriesId(id), times.into_iter().collect());
            DeletedRows::Points(points.into_iter().map(list).collect())
        });
        let series =
            prop::collection::vec(0u32..6, 0..4).prop_map(|ids| DeletedRows::OfSeries(ids.into_iter().collect()));
        let rows = prop_oneof![Just(DeletedRows::All), series, points];
        (rows, 0i64..20, 0i64..20).prop_map(|(rows, one, other)| {
            let time = match rows {
                DeletedRows::Points(_) => TimeRange { min_ns: 0, max_ns: 19 },
                _ => TimeRange { min_ns: one.min(other), max_ns: one.max(other) },
            };
            Tombstone { lsn: 1, time, rows }
        })
    }

    fn deletes(tombstone: &Tombstone, series: u32, time_ns: i64) -> bool {
        tombstone.time.contains(time_ns)
            && match &tombstone.rows {
                DeletedRows::All => true,
                DeletedRows::OfSeries(ids) => ids.contains(series),
                DeletedRows::Points(points) => {
                    points.iter().any(|(id, times)| id.0 == series && times.contains(&time_ns))
                }
            }
    }

    proptest! {
        #[test]
        fn exactly_the_deleted_rows_are_left_out(
            stored in prop::collection::btree_set((0u32..6, 0i64..20), 0..60),
            deleted in prop::collection::vec(tombstone(), 0..4),
        ) {
            let mut tombstones = Tombstones::default();
            for (lsn, tombstone) in (1..).zip(&deleted) {
                tombstones.add(&Arc::new(Tombstone { lsn, ..tombstone.clone() }));
            }
            let is_kept = |key: &&(u32, i64)| !deleted.iter().any(|t| deletes(t, key.0, key.1));
            let expected: Vec<_> = stored.iter().filter(is_kept).copied().collect();
            prop_assert_eq!(keys(&tombstones.apply(rows(&stored))), expected);
        }

        #[test]
        fn what_is_not_touched_is_whole_and_what_is_covered_is_gone(
            stored in prop::collection::btree_set((0u32..6, 0i64..20), 1..10),
            deleted in tombstone(),
        ) {
            let rows = rows(&stored);
            let ((first, _), (last, _)) = rows.bounds().unwrap();
            let time = rows.time_range().unwrap();
            let mut tombstones = Tombstones::default();
            tombstones.add(&Arc::new(deleted));
            let left = keys(&tombstones.apply(rows)).len();
            prop_assert!(tombstones.touch((first, last), &time) || left == stored.len());
            prop_assert!(!tombstones.cover((first, last), &time) || left == 0);
        }
    }
}
