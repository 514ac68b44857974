//! Ranges of timestamps. A timestamp is nanoseconds since the Unix epoch, UTC, as `i64`.

/// Timestamps from `min_ns` to `max_ns`, both included, so that every `i64` can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First timestamp of the range.
    pub min_ns: i64,
    /// Last timestamp of the range.
    pub max_ns: i64,
}

impl TimeRange {
    /// Every timestamp there is.
    pub const ALL: TimeRange = TimeRange { min_ns: i64::MIN, max_ns: i64::MAX };

    /// No timestamp.
    pub(crate) const NONE: TimeRange = TimeRange { min_ns: i64::MAX, max_ns: i64::MIN };

    /// True when no timestamp is in the range.
    pub fn is_empty(&self) -> bool {
        self.min_ns > self.max_ns
    }

    /// True when `time_ns` is in the range.
    pub fn contains(&self, time_ns: i64) -> bool {
        self.min_ns <= time_ns && time_ns <= self.max_ns
    }

    /// True when the two ranges share a timestamp.
    pub fn overlaps(&self, other: &TimeRange) -> bool {
        self.min_ns <= other.max_ns && other.min_ns <= self.max_ns
    }

    /// The shortest range that both are in.
    pub(crate) fn hull(&self, other: &TimeRange) -> TimeRange {
        TimeRange { min_ns: self.min_ns.min(other.min_ns), max_ns: self.max_ns.max(other.max_ns) }
    }

    /// The timestamps that are in both.
    pub fn intersect(&self, other: &TimeRange) -> TimeRange {
        TimeRange { min_ns: self.min_ns.max(other.min_ns), max_ns: self.max_ns.min(other.max_ns) }
    }
}
