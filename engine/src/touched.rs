//! Which times of a table were written to or deleted, for whoever keeps something that is computed from its rows.
//!
//! A reader asks what was touched after a record, and gets ranges that cover it: never too little, sometimes more. What all
//! readers have dealt with is forgotten. It is kept from the moment that somebody asks; a reader that asks about an earlier record,
//! or about another table of that name, is told that nothing is known.
//!
//! Survives a crash: the manifest carries it, and records that are replayed touch the same times again.

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::model::TimeRange;
use crate::wal::Lsn;

/// Ranges begin and end at whole minutes: rows of now come every few seconds, and would be a range each.
const GRAIN_NS: i64 = 60_000_000_000;

/// Most ranges of one entry; beyond that neighbours are joined.
const RANGES_MAX: usize = 64;

/// Most entries; beyond that the oldest are joined, and whoever lags behind does more than it would have to.
const ENTRIES_MAX: usize = 64;

/// Ranges that ascend and do not meet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<TimeRange>);

impl Ranges {
    /// The ranges that the rows of a batch lie in.
    pub(crate) fn of(batch: &Batch) -> Ranges {
        let mut grains: Vec<i64> = Vec::new();
        for time_ns in &batch.times {
            let grain = time_ns.div_euclid(GRAIN_NS);
            if grains.last() != Some(&grain) {
                grains.push(grain);
            }
        }
        grains.sort_unstable();
        grains.dedup();
        let range = |grain: i64| {
            let min_ns = grain.saturating_mul(GRAIN_NS);
            TimeRange { min_ns, max_ns: min_ns.saturating_add(GRAIN_NS - 1) }
        };
        let mut ranges = Ranges::default();
        grains.into_iter().for_each(|grain| ranges.push(range(grain)));
        ranges.bounded()
    }

    /// One range.
    pub(crate) fn one(range: TimeRange) -> Ranges {
        Ranges(Vec::from_iter(Some(range).filter(|range| !range.is_empty())))
    }

    /// Adds a range that begins no earlier than the last one.
    fn push(&mut self, range: TimeRange) {
        match self.0.last_mut() {
            Some(last) if range.min_ns <= last.max_ns.saturating_add(1) => last.max_ns = last.max_ns.max(range.max_ns),
            _ => self.0.push(range),
        }
    }

    fn union(&mut self, other: &Ranges) {
        if other.0.iter().all(|new| self.0.iter().any(|old| old.min_ns <= new.min_ns && new.max_ns <= old.max_ns)) {
            return;
        }
        let mut all = [std::mem::take(&mut self.0), other.0.clone()].concat();
        all.sort_unstable_by_key(|range| range.min_ns);
        let mut ranges = Ranges::default();
        all.into_iter().for_each(|range| ranges.push(range));
        *self = ranges.bounded();
    }

    /// Joins neighbours, those closest to each other first, until there are few.
    fn bounded(mut self) -> Ranges {
        if self.0.len() <= RANGES_MAX {
            return self;
        }
        let gap = |pair: &[TimeRange]| pair[1].min_ns.saturating_sub(pair[0].max_ns);
        let mut gaps: Vec<i64> = self.0.windows(2).map(gap).collect();
        gaps.sort_unstable();
        let (least_kept, mut joined) = (gaps[self.0.len() - RANGES_MAX - 1], Ranges::default());
        for range in std::mem::take(&mut self.0) {
            match joined.0.last_mut() {
                Some(last) if range.min_ns.saturating_sub(last.max_ns) <= least_kept => last.max_ns = range.max_ns,
                _ => joined.0.push(range),
            }
        }
        joined
    }
}

/// What was touched by the records up to one, after those of the entry before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    lsn: Lsn,
    ranges: Ranges,
}

/// What is known of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Touched {
    /// Everything that later records touched is known.
    since: Lsn,
    /// In the order of records.
    entries: Vec<Entry>,
    /// Somebody has been told of the last entry, so what comes is another one.
    is_told: bool,
}

/// The same in the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TouchedEntry {
    since: Lsn,
    /// Records, and the first and last times of ranges.
    entries: Vec<(Lsn, Vec<(i64, i64)>)>,
}

impl Touched {
    /// Nothing, from a record on.
    pub(crate) fn new(since: Lsn) -> Touched {
        Touched { since, entries: Vec::new(), is_told: false }
    }

    /// Notes what a record touched.
    pub(crate) fn note(&mut self, lsn: Lsn, ranges: &Ranges) {
        match self.entries.last_mut() {
            Some(last) if !self.is_told => {
                last.lsn = last.lsn.max(lsn);
                last.ranges.union(ranges);
            }
            _ => self.entries.push(Entry { lsn, ranges: ranges.clone() }),
        }
        self.is_told = false;
        if self.entries.len() > ENTRIES_MAX {
            let oldest = self.entries.remove(0);
            self.entries[0].ranges.union(&oldest.ranges);
        }
    }

    /// What records after this one touched, ascending; `None` when that is not known.
    pub(crate) fn after(&self, lsn: Lsn) -> Option<Vec<TimeRange>> {
        if lsn < self.since {
            return None;
        }
        let mut all = Ranges::default();
        self.entries.iter().filter(|entry| entry.lsn > lsn).for_each(|entry| all.union(&entry.ranges));
        Some(all.0)
    }

    /// Keeps what was noted up to now apart from what comes.
    pub(crate) fn seal(&mut self) {
        self.is_told = true;
    }

    /// Forgets what records up to this one touched.
    pub(crate) fn forget(&mut self, lsn: Lsn) {
        self.since = self.since.max(lsn);
        self.entries.retain(|entry| entry.lsn > lsn);
    }

    pub(crate) fn entry(&self) -> TouchedEntry {
        let ranges = |ranges: &Ranges| ranges.0.iter().map(|range| (range.min_ns, range.max_ns)).collect();
        let entries = self.entries.iter().map(|entry| (entry.lsn, ranges(&entry.ranges))).collect();
        TouchedEntry { since: self.since, entries }
    }

    pub(crate) fn from_entry(stored: &TouchedEntry) -> Touched {
        let range = |(min_ns, max_ns): &(i64, i64)| TimeRange { min_ns: *min_ns, max_ns: *max_ns };
        let entry = |(lsn, ranges): &(Lsn, Vec<(i64, i64)>)| {
            let mut all = Ranges::default();
            ranges.iter().for_each(|pair| all.union(&Ranges::one(range(pair))));
            Entry { lsn: *lsn, ranges: all }
        };
        Touched { since: stored.since, entries: stored.entries.iter().map(entry).collect(), is_told: true }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = GRAIN_NS;

    fn batch(minutes: &[i64]) -> Batch {
        Batch { times: minutes.iter().map(|minute| minute * MINUTE + 7).collect(), ..Batch::default() }
    }

    #[test]
    fn readers_are_told_what_came_after_what_they_know() {
        let mut touched = Touched::new(10);
        touched.note(11, &Ranges::of(&batch(&[5, 6, 100])));
        assert_eq!(touched.after(9), None, "what came before is not known");
        let minutes = |ranges: Vec<TimeRange>| -> Vec<(i64, i64)> {
            ranges.iter().map(|range| (range.min_ns / MINUTE, (range.max_ns + 1) / MINUTE)).collect()
        };
        assert_eq!(minutes(touched.after(10).unwrap()), [(5, 7), (100, 101)]);
        touched.seal();
        touched.note(12, &Ranges::of(&batch(&[101])));
        assert_eq!(minutes(touched.after(11).unwrap()), [(101, 102)]);
        assert_eq!(minutes(touched.after(10).unwrap()), [(5, 7), (100, 102)]);
        assert_eq!(Touched::from_entry(&touched.entry()).after(11), touched.after(11));
        touched.forget(11);
        assert_eq!(touched.after(10), None);
        assert_eq!(minutes(touched.after(11).unwrap()), [(101, 102)]);
    }

    proptest! {
        /// Whatever was touched is in the ranges, and they are few.
        #[test]
        fn nothing_is_missed(
            writes in prop::collection::vec((prop::collection::vec(-500i64..500, 1..90), any::<bool>()), 1..200),
            asked in 0u64..200,
        ) {
            let mut touched = Touched::new(0);
            for (lsn, (minutes, seal)) in (1..).zip(&writes) {
                touched.note(lsn, &Ranges::of(&batch(minutes)));
                if *seal {
                    touched.seal();
                }
            }
            let ranges = touched.after(asked).unwrap();
            prop_assert!(ranges.len() <= RANGES_MAX && touched.entries.len() <= ENTRIES_MAX);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].max_ns < pair[1].min_ns));
            for (lsn, (minutes, _)) in (1..).zip(&writes) {
                for minute in minutes.iter().filter(|_| lsn > asked) {
                    prop_assert!(ranges.iter().any(|range| range.contains(minute * MINUTE + 7)));
                }
            }
        }
    }
}
