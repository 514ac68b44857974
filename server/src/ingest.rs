//! Points from outside: line protocol, and the HTTP endpoints that take it.
//!
//! ```text
//! request ─► body (bounded, gunzipped) ─► rows ─► Engine::begin_write ... commit ─► answer: what was stored, what not
//!            admission: requests and      │ known series and fields: straight into columns
//!            bytes in flight              └ all others: line_protocol, then remembered
//! ```
//!
//! There is one database. Clients name databases, buckets and organisations; every name is accepted, and all lead to it.

mod admission;
pub mod http;
pub mod line_protocol;
mod remembered;
mod rows;
mod store;

use std::sync::Arc;
use std::time::Duration;

use plimsoll_engine::env::Clock;
use plimsoll_query::Database;

use line_protocol::Precision;
use remembered::Remembered;
use rows::Times;
use store::Store;

/// What the ingest endpoints work on.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// Where points go.
    pub database: Database,
    /// Gives points without a timestamp theirs.
    pub clock: Arc<dyn Clock>,
    /// Bounds of what is taken on at once.
    pub limits: IngestLimits,
}

/// Bounds of what the ingest endpoints take on. Beyond them they answer 413 (one body too large), 429 (too much at once; 503 where
/// InfluxDB 1 is spoken) or 408 (too slow), and nothing of the request is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestLimits {
    /// Bytes of one body as it is sent.
    pub body_bytes_max: usize,
    /// Bytes of one body after decompression.
    pub decompressed_bytes_max: usize,
    /// Requests whose bodies have arrived and that wait or are at work.
    pub requests_max: usize,
    /// Requests at work at once: decompressing, parsing, writing. The others wait their turn. Each may hold some ten megabytes of
    /// columns besides its body.
    pub writers_max: usize,
    /// Bytes of all bodies held at once, as sent and decompressed. Raised to what one request may hold, if it is less.
    pub in_flight_bytes_max: usize,
    /// Time in which one body has to arrive.
    pub receive_max: Duration,
}

impl Default for IngestLimits {
    fn default() -> IngestLimits {
        IngestLimits {
            body_bytes_max: 64 << 20,
            decompressed_bytes_max: 64 << 20,
            requests_max: 512,
            writers_max: 16,
            in_flight_bytes_max: 256 << 20,
            receive_max: Duration::from_secs(60),
        }
    }
}

/// Takes bodies of line protocol in without any protocol around them. Shared by reference between threads.
#[derive(Debug)]
pub struct Loader {
    database: Database,
    remembered: Remembered,
}

/// What became of a body.
#[derive(Debug)]
pub struct Loaded {
    /// Points that are durable and visible.
    pub accepted: usize,
    /// Lines that are not, because of what they hold.
    pub rejected: usize,
    /// What to tell the sender about those lines, in influxd's words.
    pub refused: Option<String>,
    /// Why the rest of the body was not looked at.
    pub failure: Option<plimsoll_query::Error>,
}

impl Loader {
    /// A loader that knows nothing yet.
    pub fn new(database: Database) -> Loader {
        Loader { database, remembered: Remembered::default() }
    }

    /// Stores the points of a body; returns when they are durable and visible. Points without a timestamp get `default_time_ns`,
    /// `precision` is the unit of the others. Blocks the thread, for some seconds where memory is full.
    pub fn load(&self, body: &[u8], default_time_ns: i64, precision: Precision) -> Loaded {
        let times = Times { default_ns: default_time_ns, precision };
        let guard = self.database.guard(default_time_ns);
        let engine = self.database.engine();
        let stored = Store { engine, remembered: &self.remembered, guard: Some(&guard), times }.store(body);
        let (rejected, refused) = (stored.refused.lines, stored.refused.message());
        Loaded { accepted: stored.accepted, rejected, refused, failure: stored.failure }
    }
}
