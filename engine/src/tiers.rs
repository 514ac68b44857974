//! What a table has rolled up, and up to where its data has expired.
//!
//! Raw rows and rollups are both cut at the UTC day, so a day's rollups are made from a day's raw rows, and each is dropped
//! as whole files.
//!
//! ```text
//!   floor         raw_from
//!     │ rollups only  │ raw rows, and rollups of complete days                 now
//! ────┼───────────────┼────────────────────────────────────────────────────────┼──►
//! ```
//!
//! Invariants
//! - Raw rows before `raw_from_ns` are invisible to scans. It only moves when maintenance says so, and is in the manifest.
//! - A day whose raw rows were dropped (`raw_gone`) has every row of them in each of its rollups, once.
//! - Raw rows of such a day that are still there came later; they are in none of its rollups. So the day is what its
//!   rollups and its raw rows say together.
//! - Any other day with rollups that is not stale has all its flushed rows in each rollup.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::RollupStats;
use crate::manifest::{FileNumber, SegmentEntry};
use crate::model::TimeRange;
use crate::partition::{self, Partition};
use crate::table::LiveSegment;

/// The rollups of a table and how far it has expired.
#[derive(Debug, Clone)]
pub(crate) struct Tiers {
    /// Raw rows before this have expired.
    pub(crate) raw_from_ns: i64,
    /// How long raw rows were kept when that was decided.
    pub(crate) raw_keep_ns: Option<i64>,
    /// Nothing before this is kept in any tier.
    pub(crate) floor_ns: i64,
    pub(crate) days: BTreeMap<Partition, Day>,
}

/// The rollups of one UTC day.
#[derive(Debug, Clone, Default)]
pub(crate) struct Day {
    /// The raw rows that these were made of have been dropped.
    pub(crate) raw_gone: bool,
    /// Raw rows came or went since these were made, as often as this.
    pub(crate) changes: u64,
    /// By width, finest first. A tier that expired, or was asked for later, is missing.
    pub(crate) rollups: Vec<Rollup>,
}

/// One day in one tier.
#[derive(Debug, Clone)]
pub(crate) struct Rollup {
    pub(crate) width_ns: i64,
    /// Without a file when the day had no rows.
    pub(crate) segment: Option<Arc<LiveSegment>>,
}

impl Default for Tiers {
    fn default() -> Tiers {
        Tiers { raw_from_ns: i64::MIN, raw_keep_ns: None, floor_ns: i64::MIN, days: BTreeMap::new() }
    }
}

impl Day {
    pub(crate) fn is_stale(&self) -> bool {
        self.changes > 0
    }

    pub(crate) fn rollup(&self, width_ns: i64) -> Option<&Rollup> {
        self.rollups.iter().find(|rollup| rollup.width_ns == width_ns)
    }
}

impl Tiers {
    /// The part of a time range in which raw rows are visible.
    pub(crate) fn visible(&self, time: &TimeRange) -> TimeRange {
        TimeRange { min_ns: time.min_ns.max(self.raw_from_ns), max_ns: time.max_ns }
    }

    /// Figures by width, finest first.
    pub(crate) fn stats(&self) -> Vec<RollupStats> {
        let mut by_width: BTreeMap<i64, RollupStats> = BTreeMap::new();
        for (day, of_day) in &self.days {
            let time = partition::range(*day);
            for rollup in &of_day.rollups {
                let new = || RollupStats { width_ns: rollup.width_ns, days: 0, days_alone: 0, rows: 0, bytes: 0, time };
                let stats = by_width.entry(rollup.width_ns).or_insert_with(new);
                stats.days += 1;
                stats.days_alone += u64::from(of_day.raw_gone);
                stats.rows += rollup.segment.as_ref().map_or(0, |s| s.entry.rows);
                stats.bytes += rollup.segment.as_ref().map_or(0, |s| s.entry.bytes);
                stats.time.max_ns = time.max_ns;
            }
        }
        by_width.into_values().collect()
    }

    /// True for a table that never had a retention.
    pub(crate) fn is_untouched(&self) -> bool {
        self.days.is_empty() && self.raw_from_ns == i64::MIN && self.raw_keep_ns.is_none()
    }

    /// Notes that raw rows of a day came or went.
    pub(crate) fn changed(&mut self, day: Partition) {
        if let Some(day) = self.days.get_mut(&day) {
            day.changes += 1;
        }
    }

    pub(crate) fn entry(&self) -> TiersEntry {
        let rollup = |r: &Rollup| RollupEntry { width_ns: r.width_ns, segment: r.segment.as_ref().map(|s| s.entry) };
        let day = |(day, of_day): (&Partition, &Day)| DayEntry {
            day: *day,
            raw_gone: of_day.raw_gone,
            stale: of_day.is_stale(),
            rollups: of_day.rollups.iter().map(rollup).collect(),
        };
        TiersEntry {
            raw_from_ns: self.raw_from_ns,
            raw_keep_ns: self.raw_keep_ns,
            floor_ns: self.floor_ns,
            days: self.days.iter().map(day).collect(),
        }
    }

    /// Opens what a manifest names; damaged files are told to `damaged`, and every read that needs one reports it.
    pub(crate) fn open(
        entry: &TiersEntry,
        open: &mut dyn FnMut(SegmentEntry) -> crate::Result<LiveSegment>,
    ) -> crate::Result<Tiers> {
        let TiersEntry { raw_from_ns, raw_keep_ns, floor_ns, .. } = *entry;
        let mut tiers = Tiers { raw_from_ns, raw_keep_ns, floor_ns, days: BTreeMap::new() };
        for of_day in &entry.days {
            let mut day = Day { raw_gone: of_day.raw_gone, changes: u64::from(of_day.stale), rollups: Vec::new() };
            for rollup in &of_day.rollups {
                let segment = rollup.segment.map(&mut *open).transpose()?;
                day.rollups.push(Rollup { width_ns: rollup.width_ns, segment: segment.map(Arc::new) });
            }
            tiers.days.insert(of_day.day, day);
        }
        Ok(tiers)
    }
}

/// [`Tiers`] in the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TiersEntry {
    pub(crate) raw_from_ns: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) raw_keep_ns: Option<i64>,
    pub(crate) floor_ns: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) days: Vec<DayEntry>,
}

impl Default for TiersEntry {
    fn default() -> TiersEntry {
        Tiers::default().entry()
    }
}

impl TiersEntry {
    pub(crate) fn is_default(&self) -> bool {
        *self == TiersEntry::default()
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &SegmentEntry> {
        self.days.iter().flat_map(|day| day.rollups.iter().filter_map(|rollup| rollup.segment.as_ref()))
    }

    /// The numbers of all its files.
    pub(crate) fn files(&self) -> impl Iterator<Item = FileNumber> {
        self.segments().map(|s| s.file)
    }
}

/// [`Day`] in the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DayEntry {
    pub(crate) day: Partition,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) raw_gone: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) stale: bool,
    pub(crate) rollups: Vec<RollupEntry>,
}

/// [`Rollup`] in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct RollupEntry {
    pub(crate) width_ns: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) segment: Option<SegmentEntry>,
}

fn is_false(value: &bool) -> bool {
    !value
}
