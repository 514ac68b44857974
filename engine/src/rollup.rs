//! Rollups: what is kept of the rows of one series in one bucket.
//!
//! A rollup is stored as ordinary rows of an ordinary segment: the time of a row is the start of its bucket, the series is
//! that of the raw rows, and the columns are those of [`columns`].
//!
//! Rolling up is merging: a row is the smallest summary there is, a bucket the summary of its rows, a coarser bucket the
//! summary of finer ones. Integers are summed exactly, floats in the order of time.

mod columns;
mod sketch;
mod summary;

/// The parts that a rollup keeps of a field.
pub(crate) mod part {
    pub(crate) use super::columns::{
        PART_COUNT as COUNT, PART_FIRST as FIRST, PART_FIRST_TIME as FIRST_TIME, PART_LAST as LAST,
        PART_LAST_TIME as LAST_TIME, PART_MAX as MAX, PART_MIN as MIN, PART_SKETCH as SKETCH, PART_SUM as SUM,
        PART_SUM_HIGH as SUM_HIGH, parts_of, position_of,
    };
}

pub(crate) use columns::{from_rows, rollup_fields, to_rows};
pub use sketch::Bins;
pub(crate) use summary::BucketSummary;

use crate::model::FieldRef;
use crate::rows::Rows;

/// The start of the bucket that a time is in. Widths divide the day, so buckets begin at the Unix epoch.
pub(crate) fn bucket_of(time_ns: i64, width_ns: i64) -> i64 {
    // The first bucket of all begins before the first timestamp there is; it is called by that.
    time_ns.div_euclid(width_ns).checked_mul(width_ns).unwrap_or(i64::MIN)
}

/// Rolls rows up that come in the order of (series, time), in pieces of any size.
#[derive(Debug)]
pub(crate) struct Roller {
    width_ns: i64,
    fields: Vec<FieldRef>,
    open: Option<BucketSummary>,
    done: Vec<BucketSummary>,
}

impl Roller {
    /// `fields` are the columns of the rows to come.
    pub(crate) fn new(width_ns: i64, fields: &[FieldRef]) -> Roller {
        Roller { width_ns, fields: fields.to_vec(), open: None, done: Vec::new() }
    }

    /// Adds raw rows.
    pub(crate) fn add_rows(&mut self, rows: &Rows) {
        for nth in 0..rows.series.len() {
            let range = rows.range(nth);
            let mut start = range.start;
            while start < range.end {
                let bucket_ns = bucket_of(rows.times[start], self.width_ns);
                let in_bucket = |time: &i64| bucket_of(*time, self.width_ns) == bucket_ns;
                let end = start + rows.times[start..range.end].partition_point(in_bucket);
                let open = self.bucket(rows.series[nth].0, bucket_ns);
                open.add_rows(&rows.times[start..end], &rows.columns, start..end);
                start = end;
            }
        }
    }

    /// Adds finer buckets.
    pub(crate) fn add_buckets(&mut self, finer: &[BucketSummary]) {
        for bucket in finer {
            let open = self.bucket(bucket.series, bucket_of(bucket.bucket_ns, self.width_ns));
            open.merge(bucket);
        }
    }

    /// The buckets that are complete: the next rows are of a later one.
    pub(crate) fn take(&mut self) -> Vec<BucketSummary> {
        std::mem::take(&mut self.done)
    }

    /// All that is left.
    pub(crate) fn finish(&mut self) -> Vec<BucketSummary> {
        self.done.extend(self.open.take());
        self.take()
    }

    fn bucket(&mut self, series: crate::model::SeriesId, bucket_ns: i64) -> &mut BucketSummary {
        let is_open = |open: &BucketSummary| open.series == series && open.bucket_ns == bucket_ns;
        if !self.open.as_ref().is_some_and(is_open) {
            self.done.extend(self.open.take());
        }
        self.open.get_or_insert_with(|| BucketSummary::new(series, bucket_ns, &self.fields))
    }
}

#[cfg(test)]
mod tests;
