//! What a statement asks for and a table no longer keeps, as those who asked are told.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, SecondsFormat};
use plimsoll_engine::Shortfall;

/// The sentence about one table.
pub(crate) fn sentence(shortfall: &Shortfall) -> String {
    match shortfall {
        Shortfall::Expired { table, before_ns } => {
            let before = DateTime::from_timestamp_nanos(*before_ns).to_rfc3339_opts(SecondsFormat::AutoSi, true);
            format!("raw rows of table \"{table}\" before {before} have expired")
        }
        Shortfall::Coarser { table, days, of_days } => {
            format!(
                "raw rows of table \"{table}\" have expired, and no rollup answers {days} of {of_days} days exactly"
            )
        }
    }
}

/// What is found while a plan is made: each sentence once.
#[derive(Debug, Default)]
pub(crate) struct Shortfalls(Mutex<BTreeSet<String>>);

impl Shortfalls {
    pub(crate) fn add(&self, shortfall: &Shortfall) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(sentence(shortfall));
    }

    /// All of them as one text, and none is left.
    pub(crate) fn take(&self) -> Option<String> {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        (!all.is_empty()).then(|| all.into_iter().collect::<Vec<_>>().join("; "))
    }
}
