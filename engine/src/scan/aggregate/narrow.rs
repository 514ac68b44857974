//! The first or last buckets: finds which have rows by the timestamps alone, so that only the time of these is read.

use super::BucketLimit;
use super::overlap::{Piece, Rows, wanted};
use super::parts::pieces_by_partition;
use super::plan::Plan;
use super::spans::{Cutter, Stretch, Times, Window};
use crate::Result;
use crate::model::TimeRange;
use crate::segment::{Segment, VectorTimes};

/// Most buckets that are looked at: when rows are rarer than that, everything is read.
const BUCKETS_MAX: u64 = 1 << 16;

/// Narrows the time of a plan to that of the buckets which a limit keeps, where timestamps tell them.
pub(super) fn narrow(plan: &mut Plan, limit: BucketLimit) -> Result<()> {
    if limit.buckets == 0 || !plan.predicates.is_empty() || !plan.shortcuts.pruning {
        return Ok(());
    }
    let pieces: Vec<Piece> = pieces_by_partition(plan)?.into_values().flatten().collect();
    let first = pieces.iter().map(|p| plan.clock.bucket(p.time.min_ns)).min();
    let last = pieces.iter().map(|p| plan.clock.bucket(p.time.max_ns)).max();
    let (Some(first), Some(last), false) = (first, last, pieces.iter().any(|p| !p.deleted.is_empty())) else {
        return Ok(());
    };
    let mut looked_at = limit.buckets as u64;
    while looked_at <= BUCKETS_MAX {
        let (from, to) = match limit.descending {
            true => (last.saturating_sub(looked_at - 1).max(first), last),
            false => (first, first.saturating_add(looked_at - 1).min(last)),
        };
        let seen = Probe::new(plan, from, to).run(&pieces)?;
        let mut with_rows: Vec<u64> = (from..=to).zip(&seen).filter(|(_, seen)| **seen).map(|(nth, _)| nth).collect();
        if limit.descending {
            with_rows.reverse();
        }
        if let Some(bucket) = with_rows.get(limit.buckets - 1) {
            match limit.descending {
                true => plan.time.min_ns = plan.time.min_ns.max(plan.clock.start_ns(*bucket)),
                false => plan.time.max_ns = plan.time.max_ns.min(plan.clock.last_ns(*bucket)),
            }
            return Ok(());
        }
        if (from, to) == (first, last) {
            return Ok(());
        }
        looked_at *= 8;
    }
    Ok(())
}

/// Looks for rows in some buckets.
struct Probe<'p> {
    plan: &'p Plan,
    cutter: Cutter<'p>,
    seen: Vec<bool>,
    left: usize,
}

impl<'p> Probe<'p> {
    fn new(plan: &'p Plan, from: u64, to: u64) -> Probe<'p> {
        let clock = &plan.clock;
        let time = TimeRange { min_ns: clock.start_ns(from), max_ns: clock.last_ns(to) }.intersect(&plan.time);
        let buckets = (to - from + 1) as usize;
        let window = Window { first_bucket: from, buckets, groups: 1 };
        let cutter = Cutter { clock, window, time, is_ordered: false };
        Probe { plan, cutter, seen: vec![false; buckets], left: buckets }
    }

    /// Which of the buckets have rows.
    fn run(mut self, pieces: &[Piece]) -> Result<Vec<bool>> {
        let time = self.cutter.time;
        for piece in pieces.iter().filter(|p| p.time.overlaps(&time)) {
            if self.left == 0 {
                break;
            }
            match &piece.rows {
                Rows::Chunk { segment, nth } => self.look_at_chunk(segment, *nth)?,
                Rows::Run(run) => {
                    let rows = &run.rows;
                    for nth in wanted(rows.series.len(), |nth| rows.series[nth].0, self.plan.selected.as_ref()) {
                        let stretch = Stretch { series: 0, group: 0, rows: rows.range(nth) };
                        self.look_at(&stretch, Times::Listed(&rows.times));
                    }
                }
            }
        }
        Ok(self.seen)
    }

    fn look_at_chunk(&mut self, segment: &Segment, nth: usize) -> Result<()> {
        let chunk = segment.chunk(nth)?;
        let mut listed = Vec::new();
        // Short series share vectors.
        let mut read: Option<(usize, VectorTimes)> = None;
        for nth in wanted(chunk.runs().len(), |nth| chunk.runs()[nth].0, self.plan.selected.as_ref()) {
            let rows = chunk.run_rows(nth);
            for vector in chunk.vector_of(rows.start)..=chunk.vector_of(rows.end - 1) {
                let ends = chunk.vector_times(vector);
                if self.left == 0 || !self.cutter.time.overlaps(&TimeRange { min_ns: ends.min, max_ns: ends.max }) {
                    continue;
                }
                let times = match read.filter(|(nth, _)| *nth == vector) {
                    Some((_, times)) => times,
                    None => chunk.times(vector, &mut listed)?,
                };
                read = Some((vector, times));
                let times = match times {
                    VectorTimes::Stride { first_ns, step_ns } => Times::Stride { first_ns, step_ns },
                    VectorTimes::Listed => Times::Listed(&listed),
                };
                let of_vector = chunk.vector_rows(vector);
                let (start, end) = (rows.start.max(of_vector.start), rows.end.min(of_vector.end));
                let rows = start - of_vector.start..end - of_vector.start;
                self.look_at(&Stretch { series: 0, group: 0, rows }, times);
            }
        }
        Ok(())
    }

    fn look_at(&mut self, stretch: &Stretch, times: Times<'_>) {
        if self.left == 0 {
            return;
        }
        let mut spans = Vec::new();
        // A row out of place is reported when its vector is read.
        let _reported_later = self.cutter.cut(stretch, times, &mut spans);
        for span in spans {
            if !self.seen[span.cell] {
                self.seen[span.cell] = true;
                self.left -= 1;
            }
        }
    }
}
