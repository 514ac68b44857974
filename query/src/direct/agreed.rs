//! What the engine is still to offer.
use plimsoll_engine::{TagMatcher, TimeRange};
#[derive(Debug, Clone)]
pub(super) struct LastRequest {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    pub(super) tags: Vec<TagMatcher>,
    pub(super) by: Vec<String>,
    pub(super) time: TimeRange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanOrder { Unordered, SeriesTime, Time, TimeDescending }
