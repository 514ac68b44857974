//! Which rows go into which cell: stretches of rows of one series are cut where a bucket ends.

use std::ops::Range;

use super::plan::Clock;
use crate::model::TimeRange;

/// Rows of one series that follow each other, and the group that they belong to.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) series: u32,
    pub(super) group: u32,
    pub(super) rows: Range<usize>,
}

/// Rows that follow each other and belong to one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) cell: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    /// The series; of a span that was joined from several, the last one.
    pub(super) series: u32,
}

/// Timestamps of rows; ascending within a stretch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Times<'a> {
    /// Row *i* is at first + *i* × step.
    Stride {
        first_ns: i64,
        step_ns: i64,
    },
    Listed(&'a [i64]),
    /// Only those of the first and last row are known.
    Ends {
        first_ns: i64,
        last_ns: i64,
    },
}

impl Times<'_> {
    pub(super) fn at(&self, row: usize) -> i64 {
        match self {
            Times::Stride { first_ns, step_ns } => first_ns.wrapping_add(step_ns.wrapping_mul(row as i64)),
            Times::Listed(times) => times[row],
            Times::Ends { first_ns, .. } if row == 0 => *first_ns,
            Times::Ends { last_ns, .. } => *last_ns,
        }
    }

    /// The first row of a range at or after a time; the end of the range if there is none.
    fn lower_bound(&self, rows: Range<usize>, time_ns: i64) -> usize {
        match *self {
            Times::Stride { first_ns, step_ns } if step_ns > 0 => {
                let distance = i128::from(time_ns) - i128::from(first_ns);
                if distance <= 0 {
                    return rows.start;
                }
                // The distance of two timestamps fits 64 bits without sign.
                let row = (distance as u64).div_ceil(step_ns as u64);
                usize::try_from(row).unwrap_or(usize::MAX).clamp(rows.start, rows.end)
            }
            Times::Listed(times) => gallop(&times[rows.clone()], time_ns) + rows.start,
            _ => (rows.start..rows.end).find(|row| self.at(*row) >= time_ns).unwrap_or(rows.end),
        }
    }
}

/// The first position at or after a time, looked for from the front in steps that double.
fn gallop(times: &[i64], time_ns: i64) -> usize {
    let mut end = 8;
    while end < times.len() && times[end] < time_ns {
        end *= 2;
    }
    let start = if end == 8 { 0 } else { end / 2 };
    let end = end.min(times.len());
    start + times[start..end].partition_point(|t| *t < time_ns)
}

/// Where cells are: group-major, and within a group by bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Number of the first bucket, counted from the first of the plan.
    pub(super) first_bucket: u64,
    pub(super) buckets: usize,
    pub(super) groups: usize,
}

impl Window {
    pub(super) fn cells(&self) -> usize {
        self.buckets * self.groups
    }

    /// The cell of a group and a bucket; `None` for a bucket outside.
    pub(super) fn cell(&self, group: u32, bucket: u64) -> Option<usize> {
        let nth = bucket.wrapping_sub(self.first_bucket);
        (nth < self.buckets as u64).then(|| group as usize * self.buckets + nth as usize)
    }
}

/// How stretches become spans.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cutter<'a> {
    pub(super) clock: &'a Clock,
    pub(super) window: Window,
    pub(super) time: TimeRange,
    /// Spans of different series stay apart, because the first and last row of each matter.
    pub(super) is_ordered: bool,
}

/// A row whose bucket is none of the window's: its time is not what the file says elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misplaced;

impl Cutter<'_> {
    /// Appends the spans of a stretch, of the rows within the time range.
    pub(super) fn cut(&self, stretch: &Stretch, times: Times<'_>, spans: &mut Vec<Span>) -> Result<(), Misplaced> {
        let Range { start, end } = stretch.rows;
        if start == end {
            return Ok(());
        }
        let mut row = match times.at(start) < self.time.min_ns {
            true => times.lower_bound(start..end, self.time.min_ns),
            false => start,
        };
        let end = match times.at(end - 1) > self.time.max_ns {
            true => times.lower_bound(row..end, self.time.max_ns.saturating_add(1)),
            false => end,
        };
        while row < end {
            let bucket = self.clock.bucket(times.at(row));
            let cell = self.window.cell(stretch.group, bucket).ok_or(Misplaced)?;
            let next = match self.clock.last_ns(bucket) {
                last_ns if last_ns >= times.at(end - 1) => end,
                last_ns => times.lower_bound(row + 1..end, last_ns + 1),
            };
            self.push(Span { cell, start: row, end: next, series: stretch.series }, spans);
            row = next;
        }
        Ok(())
    }

    fn push(&self, span: Span, spans: &mut Vec<Span>) {
        match spans.last_mut() {
            Some(last) if !self.is_ordered && last.cell == span.cell && last.end == span.start => {
                last.end = span.end;
                last.series = span.series;
            }
            _ => spans.push(span),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Bucket;
    use super::*;

    proptest! {
        /// The spans of a regular series are those of its listed times, and hold the very rows that a look at each row finds.
        #[test]
        fn spans_are_where_each_row_belongs(
            first_ns in -500_i64..500, step_ns in 1_i64..40, rows in 1_usize..80, width_ns in 1_i64..100,
            origin_ns in -300_i64..300, min_ns in -600_i64..2000, length in 0_i64..3000,
        ) {
            let listed: Vec<i64> = (0..rows as i64).map(|i| first_ns + i * step_ns).collect();
            let extent = TimeRange { min_ns: listed[0], max_ns: listed[rows - 1] };
            let clock = Clock::new(Some(Bucket { width_ns, origin_ns }), extent).unwrap();
            let buckets = clock.bucket(extent.max_ns) as usize + 1;
            let window = Window { first_bucket: 0, buckets, groups: 2 };
            let time = TimeRange { min_ns, max_ns: min_ns + length };
            let cutter = Cutter { clock: &clock, window, time, is_ordered: true };
            let stretch = Stretch { series: 7, group: 1, rows: 0..rows };
            let (mut one, mut other) = (Vec::new(), Vec::new());
            prop_assert_eq!(cutter.cut(&stretch, Times::Stride { first_ns, step_ns }, &mut one), Ok(()));
            prop_assert_eq!(cutter.cut(&stretch, Times::Listed(&listed), &mut other), Ok(()));
            prop_assert_eq!(&one, &other);
            let cell_of = |row: usize| one.iter().find(|s| (s.start..s.end).contains(&row)).map(|s| s.cell);
            for (row, &t) in listed.iter().enumerate() {
                let bucket = (t - origin_ns).div_euclid(width_ns) - (extent.min_ns - origin_ns).div_euclid(width_ns);
                let expected = time.contains(t).then(|| buckets + bucket as usize);
                prop_assert_eq!(cell_of(row), expected);
            }
        }
    }
}
