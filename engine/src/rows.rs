//! Rows in storage order: what memtables hold, segments store and merges produce.

mod merge;
mod order;

use std::ops::Range;

use arrow_array::ArrayRef;

use crate::model::{SeriesId, TimeRange};

pub(crate) use merge::merge;
pub(crate) use order::Order;

/// Rows ordered by (series, time), each pair at most once.
///
/// Invariants
/// - `series` is ascending by id; its ends are ascending and the last one is `times.len()`.
/// - Within one series `times` is strictly ascending.
/// - Every column has `times.len()` values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    /// Each series with the end (exclusive) of its rows; they begin where the series before ends.
    pub(crate) series: Vec<(SeriesId, usize)>,
    /// Timestamps, ns.
    pub(crate) times: Vec<i64>,
    /// One array per field asked for, in the order asked for, of the type `FieldType::arrow` names.
    pub(crate) columns: Vec<ArrayRef>,
}

/// A place in storage order: rows are compared by series first, then by time.
pub(crate) type Key = (SeriesId, i64);

impl Rows {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// The rows of the n-th series of this value.
    pub(crate) fn range(&self, nth: usize) -> Range<usize> {
        let start = if nth == 0 { 0 } else { self.series[nth - 1].1 };
        start..self.series[nth].1
    }

    /// First and last key; `None` without rows.
    pub(crate) fn bounds(&self) -> Option<(Key, Key)> {
        let (first, last) = (self.series.first()?.0, self.series.last()?.0);
        Some(((first, *self.times.first()?), (last, *self.times.last()?)))
    }

    /// Earliest and latest timestamp; `None` without rows.
    pub(crate) fn time_range(&self) -> Option<TimeRange> {
        let min_ns = *self.times.iter().min()?;
        let max_ns = *self.times.iter().max()?;
        Some(TimeRange { min_ns, max_ns })
    }

    /// Position of the first row at or after `key`.
    pub(crate) fn lower_bound(&self, key: Key) -> usize {
        let nth = self.series.partition_point(|(id, _)| *id < key.0);
        match self.series.get(nth) {
            Some((id, _)) if *id == key.0 => {
                let range = self.range(nth);
                range.start + self.times[range].partition_point(|t| *t < key.1)
            }
            Some(_) => self.range(nth).start,
            None => self.len(),
        }
    }

    /// The rows of several ascending, disjoint ranges, with other columns of the same length in place of its own.
    pub(crate) fn select(&self, ranges: &[Range<usize>], columns: &[ArrayRef]) -> Rows {
        match ranges {
            [] => self.slice(0..0, columns),
            [range] => self.slice(range.clone(), columns),
            _ => merge::concat(&ranges.iter().map(|r| self.slice(r.clone(), columns)).collect::<Vec<_>>()),
        }
    }

    /// The rows of one contiguous range; the columns are shared, not copied.
    fn slice(&self, range: Range<usize>, columns: &[ArrayRef]) -> Rows {
        let mut series = Vec::new();
        let first = self.series.partition_point(|(_, end)| *end <= range.start);
        for nth in first..self.series.len() {
            let of_series = self.range(nth);
            if of_series.start >= range.end {
                break;
            }
            series.push((self.series[nth].0, of_series.end.min(range.end) - range.start));
        }
        let times = self.times[range.clone()].to_vec();
        let columns = columns.iter().map(|c| c.slice(range.start, range.len())).collect();
        Rows { series, times, columns }
    }

    /// Memory held, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(|c| c.get_buffer_memory_size()).sum();
        columns + self.times.len() * 8 + self.series.len() * 16
    }

    /// The series of every row, one entry per row.
    pub(crate) fn series_of_rows(&self) -> Vec<SeriesId> {
        let mut ids = Vec::with_capacity(self.len());
        for (id, end) in &self.series {
            ids.resize(*end, *id);
        }
        ids
    }
}
