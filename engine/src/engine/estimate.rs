//! What a retention would take up, judged by what is stored.

use super::{Engine, Table};
use crate::error::{Result, SchemaError};
use crate::model::{Retention, Tier, TimeRange};

const DAY_NS: f64 = 86_400e9;

/// Less time than this says nothing about a day.
const SPAN_NS_MIN: f64 = 60e9;

/// Bytes of a rollup's row, in raw rows, until one has been made: it holds eight values in place of one, and a sketch.
const ROLLUP_ROWS: f64 = 8.0;

/// How much smaller rows get on their way from memory to a segment, until one has been written.
const MEMORY_TO_SEGMENT: f64 = 8.0;

/// What one tier would hold.
#[derive(Debug, Clone, PartialEq)]
pub struct TierEstimate {
    /// The tier.
    pub tier: Tier,
    /// Rows that a day adds.
    pub rows_per_day: u64,
    /// Bytes that a day adds.
    pub bytes_per_day: u64,
    /// Bytes when as much time has passed as is kept; `None` when it is kept for ever.
    pub bytes: Option<u64>,
}

/// Rows and bytes, and the time that they are of.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    rows: f64,
    bytes: f64,
    span_ns: f64,
}

impl Measured {
    fn rows_per_day(&self) -> f64 {
        self.rows / self.span_ns.max(SPAN_NS_MIN) * DAY_NS
    }

    fn bytes_per_row(&self) -> Option<f64> {
        (self.rows > 0.0).then(|| self.bytes / self.rows)
    }
}

impl Engine {
    /// Estimates what a table would take up under a retention, tier by tier, if writes go on as they did.
    ///
    /// # Errors
    /// [`SchemaError::NoTable`].
    pub fn estimate_storage(&self, table: &str, retention: &Retention) -> Result<Vec<TierEstimate>> {
        let state = self.state();
        let found = state.tables.get(table).filter(|t| t.schema().is_some());
        let found = found.ok_or_else(|| SchemaError::NoTable(table.to_owned()))?;
        Ok(retention.tiers().iter().map(|tier| estimate(found, tier)).collect())
    }
}

fn estimate(table: &Table, tier: &Tier) -> TierEstimate {
    let raw = raw(table);
    let raw_bytes = raw.bytes_per_row().unwrap_or(0.0);
    let (rows, bytes_per_row) = match tier.width_ns {
        None => (raw.rows_per_day(), raw_bytes),
        Some(width_ns) => {
            let made = rollups(table, Some(width_ns));
            let buckets = f64::from(table.core.index().len()) * (DAY_NS / width_ns as f64);
            let rows = if made.rows > 0.0 { made.rows_per_day() } else { raw.rows_per_day().min(buckets) };
            let alike = made.bytes_per_row().or_else(|| rollups(table, None).bytes_per_row());
            (rows, alike.unwrap_or(raw_bytes * ROLLUP_ROWS))
        }
    };
    let bytes_per_day = rows * bytes_per_row;
    TierEstimate {
        tier: *tier,
        rows_per_day: rows.round() as u64,
        bytes_per_day: bytes_per_day.round() as u64,
        bytes: tier.keep_ns.map(|keep_ns| (bytes_per_day * (keep_ns as f64 / DAY_NS)).round() as u64),
    }
}

/// Raw rows, in segments and in memory.
fn raw(table: &Table) -> Measured {
    let mut time: Option<TimeRange> = None;
    let mut stored = Measured::default();
    for segment in table.segments.iter() {
        stored.rows += segment.entry.rows as f64;
        stored.bytes += segment.entry.bytes as f64;
        time = join(time, TimeRange { min_ns: segment.entry.min_ns, max_ns: segment.entry.max_ns });
    }
    let mut unflushed = 0.0;
    for run in table.memtable.view().runs() {
        unflushed += run.rows.len() as f64;
        time = join(time, run.time);
    }
    let in_memory = table.memtable.memory_bytes() as f64 / MEMORY_TO_SEGMENT;
    stored.bytes += stored.bytes_per_row().map_or(in_memory, |bytes| bytes * unflushed);
    stored.rows += unflushed;
    stored.span_ns = time.map_or(0.0, |t| t.max_ns as f64 - t.min_ns as f64);
    stored
}

/// Rollups of one width, or of any.
fn rollups(table: &Table, width_ns: Option<i64>) -> Measured {
    let mut made = Measured::default();
    for day in table.tiers().days.values() {
        for rollup in day.rollups.iter().filter(|r| width_ns.is_none_or(|width_ns| r.width_ns == width_ns)) {
            made.span_ns += DAY_NS;
            let Some(segment) = &rollup.segment else { continue };
            made.rows += segment.entry.rows as f64;
            made.bytes += segment.entry.bytes as f64;
        }
    }
    made
}

fn join(time: Option<TimeRange>, other: TimeRange) -> Option<TimeRange> {
    let both = |t: TimeRange| TimeRange { min_ns: t.min_ns.min(other.min_ns), max_ns: t.max_ns.max(other.max_ns) };
    Some(time.map_or(other, both))
}
