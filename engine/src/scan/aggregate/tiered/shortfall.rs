//! What is asked for and no longer kept.

use crate::model::TimeRange;
use crate::partition;
use crate::scan::{ScanRequest, Snapshot};
use crate::tiers::Tiers;

/// What a request asks for and a table no longer keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortfall {
    /// Raw rows before this time have expired, and nothing is kept in their place.
    Expired {
        /// The table.
        table: String,
        /// Nanoseconds since the Unix epoch.
        before_ns: i64,
    },
    /// Of some days only rollups are left, and none of them answers exactly.
    Coarser {
        /// The table.
        table: String,
        /// Days that are missing in the answer.
        days: usize,
        /// Days of the time range that have rollups.
        of_days: usize,
    },
}

impl Snapshot {
    /// What a request for rows asks for beyond the raw rows that are visible. One without a beginning asks for all that is kept.
    pub fn shortfall(&self, request: &ScanRequest) -> Option<Shortfall> {
        let view = self.tables.get(&request.table)?;
        of_rows(&view.schema.name, &view.tiers, &request.time)
    }
}

fn of_rows(table: &str, tiers: &Tiers, time: &TimeRange) -> Option<Shortfall> {
    if time.is_empty() || time.min_ns >= tiers.raw_from_ns {
        return None;
    }
    let table = table.to_owned();
    let asked = || tiers.days.range(partition::of(time.min_ns)..=partition::of(time.max_ns));
    match asked().filter(|(_, day)| day.raw_gone).count() {
        0 if time.min_ns == i64::MIN => None,
        0 => Some(Shortfall::Expired { table, before_ns: tiers.raw_from_ns }),
        days => Some(Shortfall::Coarser { table, days, of_days: asked().count() }),
    }
}
