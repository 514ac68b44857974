//! Facts that operations teams enter.
use crate::Database;
use crate::analysis::recurrence::Recurring;
use chrono::NaiveDate;
pub(crate) fn maintenance(_database: &Database, _service: &str, _affects: &str) -> Vec<Recurring> {
    Vec::new()
}
pub(crate) fn holidays(_database: &Database, _calendar: &str) -> Vec<NaiveDate> {
    Vec::new()
}
