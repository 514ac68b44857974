//! What the front end counts about itself.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

/// Counts a session for as long as it lasts.
pub(crate) struct Connected;

impl Connected {
    pub(crate) fn enter() -> Connected {
        gauge!("plimsoll_pg_connections").increment(1.0);
        Connected
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        gauge!("plimsoll_pg_connections").decrement(1.0);
    }
}

/// Counts one execution of a statement.
pub(crate) fn statement(kind: &'static str, ok: bool, took: Duration) {
    let status = if ok { "ok" } else { "error" };
    counter!("plimsoll_pg_statements_total", "kind" => kind, "status" => status).increment(1);
    histogram!("plimsoll_pg_statement_seconds", "kind" => kind).record(took.as_secs_f64());
}

/// Counts rows that were sent.
pub(crate) fn rows(rows: u64) {
    counter!("plimsoll_pg_rows_total").increment(rows);
}
