//! What retention asks for next, decided from the state of one table and the time: a day to roll up, or what has expired.
//!
//! Pure: nothing is read or written here.
//!
//! The rule that everything else serves: raw rows, or a rollup, are only given up when every coarser tier that should have
//! the day has it, made of all rows that are flushed, and none is unflushed. Until then the horizon waits.

use std::collections::BTreeSet;

use crate::model::{Retention, TableOptions};
use crate::partition::{self, Partition};
use crate::rollup::bucket_of;
use crate::tiers::{Day, Tiers};

const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;

/// What the plan looks at.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) options: &'a TableOptions,
    pub(crate) tiers: &'a Tiers,
    /// Days that have raw rows in segments.
    pub(crate) stored: BTreeSet<Partition>,
    /// Days that have raw rows in memory.
    pub(crate) unflushed: BTreeSet<Partition>,
    /// Days that cannot be rolled up, because a file is damaged.
    pub(crate) damaged: BTreeSet<Partition>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Upkeep {
    /// Make the rollups of a day.
    Roll(RollDay),
    /// Give up what has expired.
    Expire(Expiry),
    /// Rows of complete days wait in memory.
    Flush,
}

/// The rollups of one day to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RollDay {
    pub(crate) day: Partition,
    /// Which tiers the day has afterwards, finest first.
    pub(crate) widths: Vec<i64>,
    /// True when raw rows came after those that the rollups were made of were dropped: they are added, and dropped as well.
    pub(crate) adds: bool,
}

/// How far a table has expired, and what goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Expiry {
    pub(crate) raw_from_ns: i64,
    pub(crate) floor_ns: i64,
    /// The time that raw rows were kept when this was decided.
    pub(crate) raw_keep_ns: Option<i64>,
    /// Days whose raw rows go.
    pub(crate) raw_days: Vec<Partition>,
    /// Days and widths whose rollups go.
    pub(crate) rollups: Vec<(Partition, i64)>,
}

impl Kept<'_> {
    /// What to do next, if anything.
    pub(crate) fn next(&self, now_ns: i64) -> Option<Upkeep> {
        let expire = self.expiry(now_ns).map(Upkeep::Expire);
        expire.or_else(|| self.day_to_roll(now_ns).map(Upkeep::Roll)).or_else(|| {
            let waits = self.unflushed.iter().any(|day| *day < partition::of(now_ns) && self.has_rollups());
            waits.then_some(Upkeep::Flush)
        })
    }

    fn has_rollups(&self) -> bool {
        self.rollups().next().is_some()
    }

    fn rollups(&self) -> impl Iterator<Item = (i64, Option<i64>)> {
        self.options.retention.iter().flat_map(Retention::rollups)
    }

    /// Widths that a day should have, finest first.
    fn wanted(&self, day: Partition, now_ns: i64) -> Vec<i64> {
        let is_kept = |keep_ns: Option<i64>| keep_ns.is_none_or(|keep| !is_past(day, now_ns.saturating_sub(keep)));
        self.rollups().filter(|(_, keep)| is_kept(*keep)).map(|(width, _)| width).collect()
    }

    /// The oldest day that lacks a rollup that can be made.
    fn day_to_roll(&self, now_ns: i64) -> Option<RollDay> {
        let today = partition::of(now_ns);
        let days: BTreeSet<Partition> = self.stored.iter().chain(self.tiers.days.keys()).copied().collect();
        let can_be = |day: &Partition| *day < today && !self.unflushed.contains(day) && !self.damaged.contains(day);
        days.into_iter().filter(can_be).find_map(|day| {
            let wanted = self.wanted(day, now_ns);
            let of_day = self.tiers.days.get(&day);
            match of_day.filter(|of_day| of_day.raw_gone) {
                Some(gone) => self.roll_gone(day, gone, wanted),
                None if !self.stored.contains(&day) && of_day.is_none() => None,
                None if wanted.is_empty() => None,
                None => self.lacks(day, &wanted).then_some(RollDay { day, widths: wanted, adds: false }),
            }
        })
    }

    /// What to make of a day whose raw rows were dropped: rows that came since are added, tiers asked for since are made.
    fn roll_gone(&self, day: Partition, gone: &Day, wanted: Vec<i64>) -> Option<RollDay> {
        let adds = self.stored.contains(&day) && !self.options.legal_hold;
        let can_be_made = |width: &i64| gone.rollups.iter().any(|finer| width % finer.width_ns == 0);
        let mut widths: Vec<i64> = gone.rollups.iter().map(|r| r.width_ns).collect();
        let before = widths.len();
        widths.extend(wanted.into_iter().filter(|w| gone.rollup(*w).is_none() && can_be_made(w)));
        widths.sort_unstable();
        (adds || widths.len() > before).then_some(RollDay { day, widths, adds })
    }

    /// True when a day with raw rows lacks a rollup, or has one that is stale.
    fn lacks(&self, day: Partition, wanted: &[i64]) -> bool {
        match self.tiers.days.get(&day) {
            None => true,
            Some(of_day) => of_day.is_stale() || wanted.iter().any(|width| of_day.rollup(*width).is_none()),
        }
    }

    /// What expires now; `None` when nothing changes.
    fn expiry(&self, now_ns: i64) -> Option<Expiry> {
        if self.options.legal_hold {
            return None;
        }
        let raw_keep_ns = self.options.retention.as_ref().and_then(Retention::raw_keep_ns);
        let raw_from_ns = self.raw_from(raw_keep_ns, now_ns);
        let expiry = Expiry {
            raw_from_ns,
            floor_ns: self.floor(raw_from_ns, now_ns),
            raw_keep_ns,
            raw_days: self.raw_days_before(raw_from_ns, now_ns),
            rollups: self.rollups_to_drop(now_ns),
        };
        let moves = (expiry.raw_from_ns, expiry.floor_ns, expiry.raw_keep_ns)
            != (self.tiers.raw_from_ns, self.tiers.floor_ns, self.tiers.raw_keep_ns);
        (moves || !expiry.raw_days.is_empty() || !expiry.rollups.is_empty()).then_some(expiry)
    }

    /// From where raw rows are visible. It does not go back, unless the retention was changed: then it goes back as far as
    /// raw rows are still there.
    fn raw_from(&self, keep_ns: Option<i64>, now_ns: i64) -> i64 {
        let horizon = keep_ns.map_or(i64::MIN, |keep| self.horizon(keep, now_ns));
        let waits_for = |day: &&Partition| {
            let is_gone = self.tiers.days.get(day).is_some_and(|d| d.raw_gone);
            let wanted = self.wanted(**day, now_ns);
            !is_gone && !wanted.is_empty() && (self.unflushed.contains(day) || self.lacks(**day, &wanted))
        };
        let mut days = self.stored.iter().chain(&self.unflushed).filter(|day| partition::range(**day).min_ns < horizon);
        // Days before the horizon that have moved past it already keep waiting where they are.
        let blocked = days.by_ref().filter(waits_for).map(|day| partition::range(*day).min_ns).min();
        let reached = blocked.map_or(horizon, |blocked| blocked.min(horizon));
        if keep_ns == self.tiers.raw_keep_ns {
            return reached.max(self.tiers.raw_from_ns);
        }
        let gone = self.tiers.days.iter().filter(|(_, of_day)| of_day.raw_gone).map(|(day, _)| end_of(*day)).max();
        reached.max(gone.unwrap_or(i64::MIN))
    }

    /// The horizon of raw rows. It moves in steps, so that the manifest is not written for every second that passes, and
    /// stands at the edge of a bucket of the finest rollup, so that no bucket is half raw.
    fn horizon(&self, keep_ns: i64, now_ns: i64) -> i64 {
        let step_ns = if keep_ns < DAY_NS { 60 * SECOND_NS } else { 3_600 * SECOND_NS };
        let horizon = bucket_of(now_ns.saturating_sub(keep_ns), step_ns);
        self.rollups().next().map_or(horizon, |(width_ns, _)| bucket_of(horizon, width_ns))
    }

    /// Before this no tier keeps anything.
    fn floor(&self, raw_from_ns: i64, now_ns: i64) -> i64 {
        match self.rollups().last() {
            None if self.tiers.days.is_empty() => raw_from_ns,
            None | Some((_, None)) => i64::MIN,
            Some((_, Some(keep))) => partition::range(partition::of(now_ns.saturating_sub(keep))).min_ns,
        }
    }

    /// Days whose raw rows have expired whole and are in every rollup that should have them.
    fn raw_days_before(&self, raw_from_ns: i64, now_ns: i64) -> Vec<Partition> {
        let can_go = |day: &&Partition| {
            let wanted = self.wanted(**day, now_ns);
            let is_rolled_up = wanted.is_empty() || !self.lacks(**day, &wanted);
            // What came after the raw rows were dropped is added to the rollups, and goes with that.
            let is_gone = self.tiers.days.get(day).is_some_and(|of_day| of_day.raw_gone);
            is_past(**day, raw_from_ns) && !self.unflushed.contains(day) && is_rolled_up && !is_gone
        };
        self.stored.iter().filter(can_go).copied().collect()
    }

    /// Rollups that are past their time, or that no tier asks for, once what should follow them is there.
    fn rollups_to_drop(&self, now_ns: i64) -> Vec<(Partition, i64)> {
        let mut dropped = Vec::new();
        for (day, of_day) in &self.tiers.days {
            if of_day.is_stale() || self.unflushed.contains(day) || of_day.raw_gone && self.stored.contains(day) {
                continue;
            }
            let wanted = self.wanted(*day, now_ns);
            for rollup in &of_day.rollups {
                let width_ns = rollup.width_ns;
                let is_named = self.rollups().any(|(width, _)| width == width_ns);
                let mut coarser = wanted.iter().filter(|w| **w > width_ns && *w % width_ns == 0).peekable();
                // What nobody asks for any more stays when it is all there is.
                let goes = !wanted.contains(&width_ns) && (is_named || !of_day.raw_gone || coarser.peek().is_some());
                if goes && coarser.all(|w| of_day.rollup(*w).is_some()) {
                    dropped.push((*day, width_ns));
                }
            }
        }
        dropped
    }
}

fn end_of(day: Partition) -> i64 {
    partition::range(day).max_ns.saturating_add(1)
}

/// True when the whole day is before a time.
fn is_past(day: Partition, time_ns: i64) -> bool {
    partition::range(day).max_ns < time_ns
}

#[cfg(test)]
mod tests;
