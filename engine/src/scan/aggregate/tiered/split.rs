//! Which tier answers which stretch of a request's time range.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::super::AggregateRequest;
use super::super::output::Answer;
use super::is_kept;
use super::shortfall::Shortfall;
use crate::model::{Duration, TimeRange};
use crate::partition::{self, Partition};
use crate::rollup::bucket_of;
use crate::table::{LiveSegment, TableView};
use crate::tiers::{Day, Rollup};

/// A tier that takes part in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierUsed {
    /// Length of its buckets.
    pub width_ns: i64,
    /// Days that it answers for.
    pub days: usize,
}

impl fmt::Display for TierUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = if self.days == 1 { "day" } else { "days" };
        write!(f, "{} ({} {days})", Duration(self.width_ns), self.days)
    }
}

/// What is read for a request.
#[derive(Debug, Default)]
pub(super) struct Split {
    /// Stretches of raw rows.
    pub(super) raw: Vec<TimeRange>,
    pub(super) tiers: Vec<Stretch>,
    /// The stretches say it all; otherwise the request is answered by the raw rows that are visible.
    pub(super) is_exact: bool,
    pub(super) used: Vec<TierUsed>,
    /// What is asked for and not kept.
    pub(super) shortfall: Option<Shortfall>,
}

/// Some buckets of one tier.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    /// Times of whole buckets.
    pub(super) time: TimeRange,
    pub(super) segment: Arc<LiveSegment>,
}

/// Shares a request out. Without a tier that is exact, there is nothing to share.
pub(super) fn split(view: &TableView, request: &AggregateRequest, answer: &Answer) -> Split {
    if view.tiers.is_untouched() || request.time.is_empty() {
        return Split::default();
    }
    let is_exact = |width_ns: &i64| {
        request.bucket.is_none_or(|b| b.width_ns % width_ns == 0 && b.origin_ns.rem_euclid(*width_ns) == 0)
    };
    let made = view.tiers.days.values().flat_map(|day| day.rollups.iter().map(|rollup| rollup.width_ns));
    let asked = view.options.retention.iter().flat_map(|r| r.rollups().map(|(width_ns, _)| width_ns));
    let widths: BTreeSet<i64> = made.chain(asked).collect();
    let all_kept = answer.columns.iter().all(|c| is_kept(c.function, c.argument.as_ref().map(|(_, kind)| *kind)));
    let may_answer = request.predicates.is_empty() && all_kept;
    let widths: BTreeSet<i64> = widths.into_iter().filter(|w| may_answer && is_exact(w)).collect();
    Sharing { view, time: request.time, widths, split: Split::default(), days: BTreeMap::new(), lost: Vec::new() }.run()
}

struct Sharing<'a> {
    view: &'a TableView,
    time: TimeRange,
    /// Widths of the tiers that are exact.
    widths: BTreeSet<i64>,
    split: Split,
    /// Days by width.
    days: BTreeMap<i64, usize>,
    /// What no tier and no raw row answers.
    lost: Vec<TimeRange>,
}

impl Sharing<'_> {
    fn run(mut self) -> Split {
        let with_raw_rows = days_with_raw_rows(self.view);
        let unflushed: BTreeSet<Partition> =
            self.view.memtable.runs().flat_map(|run| run.partitions().iter().copied()).collect();
        let mut from_ns = Some(self.time.min_ns);
        let days = partition::of(self.time.min_ns)..=partition::of(self.time.max_ns);
        for (day, of_day) in self.view.tiers.days.range(days) {
            let has_rows = if of_day.raw_gone { &with_raw_rows } else { &unflushed }.contains(day);
            let time = partition::range(*day).intersect(&self.time);
            let answered = match of_day.raw_gone {
                true => self.gone_day(of_day, &time, has_rows),
                false => self.day(of_day, &time, has_rows),
            };
            // What lies between the stretches that are spoken for is read from raw rows.
            if let (Some(start), Some(answered)) = (from_ns, answered) {
                self.raw(start, answered.min_ns.checked_sub(1));
                from_ns = answered.max_ns.checked_add(1);
            }
        }
        if let Some(start) = from_ns {
            self.raw(start, Some(self.time.max_ns));
        }
        // Raw rows that have expired and are not in rollups yet count where rollups do.
        let reaches_back = self.time.min_ns < self.view.tiers.raw_from_ns;
        self.split.is_exact = !self.split.tiers.is_empty() || reaches_back && !self.widths.is_empty();
        self.split.used =
            self.days.iter().rev().map(|(width_ns, days)| TierUsed { width_ns: *width_ns, days: *days }).collect();
        self.split.shortfall = self.shortfall();
        self.split
    }

    /// A day whose raw rows are there: the times that a tier answers, none when rows are missing in the rollups.
    fn day(&mut self, day: &Day, time: &TimeRange, has_rows: bool) -> Option<TimeRange> {
        if day.is_stale() || has_rows {
            return None;
        }
        let (rollup, whole) = self.coarsest(day, time)?;
        self.take(rollup, whole);
        Some(whole)
    }

    /// A day whose raw rows are gone, all of which is spoken for: what no tier can answer is lost.
    fn gone_day(&mut self, day: &Day, time: &TimeRange, has_rows: bool) -> Option<TimeRange> {
        let Some((rollup, whole)) = self.coarsest(day, time) else {
            self.lost.push(*time);
            return Some(*time);
        };
        self.take(rollup, whole);
        if has_rows {
            self.split.raw.push(whole);
        }
        if whole != *time {
            self.lost.push(*time);
        }
        Some(*time)
    }

    fn take(&mut self, rollup: &Rollup, time: TimeRange) {
        *self.days.entry(rollup.width_ns).or_default() += 1;
        self.split.tiers.extend(rollup.segment.iter().map(|segment| Stretch { time, segment: segment.clone() }));
    }

    /// The coarsest tier that answers all of a stretch, else that which answers most of it; and the times of whole buckets.
    fn coarsest<'d>(&self, day: &'d Day, time: &TimeRange) -> Option<(&'d Rollup, TimeRange)> {
        let exact = day.rollups.iter().filter(|rollup| self.widths.contains(&rollup.width_ns));
        let with_times = exact.filter_map(|rollup| Some((rollup, whole_buckets(time, rollup.width_ns)?)));
        with_times.max_by_key(|(rollup, whole)| (i128::from(whole.max_ns) - i128::from(whole.min_ns), rollup.width_ns))
    }

    fn raw(&mut self, min_ns: i64, max_ns: Option<i64>) {
        let Some(max_ns) = max_ns.filter(|max_ns| min_ns <= *max_ns) else { return };
        self.split.raw.push(TimeRange { min_ns, max_ns });
    }

    /// Says what is lost. A request without a beginning asks for what there is.
    fn shortfall(&self) -> Option<Shortfall> {
        let tiers = &self.view.tiers;
        let names_expired = self.time.min_ns != i64::MIN && self.time.min_ns < tiers.raw_from_ns;
        let has_tiers = tiers.days.values().any(|day| day.raw_gone);
        let table = self.view.schema.name.clone();
        match self.lost.as_slice() {
            [] if self.widths.is_empty() && names_expired && !has_tiers => {
                Some(Shortfall::Expired { table, before_ns: tiers.raw_from_ns })
            }
            [] => None,
            lost => Some(Shortfall::Coarser {
                table,
                days: lost.len(),
                of_days: tiers.days.range(partition::of(self.time.min_ns)..=partition::of(self.time.max_ns)).count(),
            }),
        }
    }
}

/// The buckets of a width that lie within a stretch, if any does.
fn whole_buckets(time: &TimeRange, width_ns: i64) -> Option<TimeRange> {
    let first = bucket_of(time.min_ns, width_ns);
    let min_ns = if first == time.min_ns { first } else { first.checked_add(width_ns)? };
    let end_ns = bucket_of(time.max_ns.checked_add(1)?, width_ns);
    (min_ns < end_ns).then(|| TimeRange { min_ns, max_ns: end_ns - 1 })
}

fn days_with_raw_rows(view: &TableView) -> BTreeSet<Partition> {
    let stored = view.segments.iter().map(|segment| segment.entry.partition());
    stored.chain(view.memtable.runs().flat_map(|run| run.partitions().iter().copied())).collect()
}
