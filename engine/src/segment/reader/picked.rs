//! Which rows of a chunk are read.

use std::iter::Peekable;
use std::ops::Range;

use crate::Result;
use crate::model::{SeriesId, TimeRange};

/// Rows of a chunk, to be read column by column.
#[derive(Debug, Default)]
pub(crate) struct Picked {
    pub(super) series: Vec<(SeriesId, usize)>,
    pub(super) times: Vec<i64>,
    /// Vectors with matching rows, and which rows of theirs match.
    pub(super) vectors: Vec<(usize, Vec<Range<usize>>)>,
}

impl Picked {
    /// Number of vectors that hold the rows.
    pub(crate) fn vectors(&self) -> usize {
        self.vectors.len()
    }

    /// Keeps some of the rows: `keep` is asked for each vector which of its rows, given as ranges, are kept, also as ranges
    /// within these. A vector none of whose rows is kept is not read any more.
    ///
    /// # Errors
    /// Those of `keep`.
    pub(crate) fn retain(
        &mut self,
        mut keep: impl FnMut(usize, &[Range<usize>]) -> Result<Option<Vec<Range<usize>>>>,
    ) -> Result<()> {
        let mut left = Picked::default();
        // Where the rows of the vector begin among those that were picked.
        let mut start = 0;
        let mut series = self.series.iter().peekable();
        for (vector, ranges) in self.vectors.drain(..) {
            let kept = keep(vector, &ranges)?;
            for range in &ranges {
                let within = kept.as_ref().map_or_else(|| std::slice::from_ref(range), |kept| overlapping(kept, range));
                for kept in within {
                    let rows = start + kept.start - range.start..start + kept.end - range.start;
                    left.take(&self.times, rows, &mut series);
                }
                start += range.len();
            }
            match kept {
                None => left.vectors.push((vector, ranges)),
                Some(kept) if kept.is_empty() => {}
                Some(kept) => left.vectors.push((vector, kept)),
            }
        }
        *self = left;
        Ok(())
    }

    /// Adds rows out of the times of others, whose series, from that of the first row on, follow.
    fn take<'s>(
        &mut self,
        times: &[i64],
        rows: Range<usize>,
        series: &mut Peekable<impl Iterator<Item = &'s (SeriesId, usize)>>,
    ) {
        let mut at = rows.start;
        while at < rows.end {
            let Some((id, end)) = series.peek().copied().copied() else { return };
            if end <= at {
                series.next();
                continue;
            }
            let until = end.min(rows.end);
            self.times.extend_from_slice(&times[at..until]);
            match self.series.last_mut().filter(|last| last.0 == id) {
                Some(last) => last.1 = self.times.len(),
                None => self.series.push((id, self.times.len())),
            }
            at = until;
        }
    }

    /// Adds the rows of a vector that lie in the parts of wanted series and in the time range.
    pub(super) fn add(&mut self, vector: usize, times: &[i64], parts: Vec<(SeriesId, Range<usize>)>, time: TimeRange) {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (series, part) in parts {
            let run = &times[part.clone()];
            let skipped = run.partition_point(|&t| t < time.min_ns);
            let kept = run[skipped..].partition_point(|&t| t <= time.max_ns);
            if kept == 0 {
                continue;
            }
            let range = part.start + skipped..part.start + skipped + kept;
            self.times.extend_from_slice(&times[range.clone()]);
            let end = self.times.len();
            match self.series.last_mut().filter(|last| last.0 == series) {
                Some(last) => last.1 = end,
                None => self.series.push((series, end)),
            }
            match ranges.last_mut().filter(|last| last.end == range.start) {
                Some(last) => last.end = range.end,
                None => ranges.push(range),
            }
        }
        if !ranges.is_empty() {
            self.vectors.push((vector, ranges));
        }
    }
}

/// Those of ascending ranges that lie within `range`; none lies partly within.
fn overlapping<'r>(ranges: &'r [Range<usize>], range: &Range<usize>) -> &'r [Range<usize>] {
    let first = ranges.partition_point(|r| r.end <= range.start);
    let last = ranges.partition_point(|r| r.start < range.end);
    &ranges[first..last.max(first)]
}
