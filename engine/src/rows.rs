//! Rows in storage order: what memtables hold, segments store and merges produce.

use std::ops::Range;

use arrow_array::ArrayRef;

use crate::model::SeriesId;

/// Rows ordered by (series, time), each pair at most once.
///
/// Invariants
/// - `series` is ascending by id; its ends are ascending and the last one is `times.len()`.
/// - Within one series `times` is strictly ascending.
/// - Every column has `times.len()` values.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    /// Each series with the end (exclusive) of its rows; they begin where the series before ends.
    pub(crate) series: Vec<(SeriesId, usize)>,
    /// Timestamps, ns.
    pub(crate) times: Vec<i64>,
    /// One array per field asked for, in the order asked for, of the type `FieldType::arrow` names.
    pub(crate) columns: Vec<ArrayRef>,
}

impl Rows {
    /// The rows of the n-th series of this value.
    pub(crate) fn range(&self, nth: usize) -> Range<usize> {
        let start = if nth == 0 { 0 } else { self.series[nth - 1].1 };
        start..self.series[nth].1
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }
}
