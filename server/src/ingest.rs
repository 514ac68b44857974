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
mod socket;
mod store;

use std::sync::Arc;
use std::time::Duration;

use plimsoll_engine::Point;
use plimsoll_engine::env::Clock;
use plimsoll_query::{Database, Writer};

use line_protocol::Precision;
use remembered::Remembered;
use rows::{Times, Watched};
pub(crate) use socket::LineSockets;
pub use store::RefusedLine;
use store::{Store, Stored};

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
    /// Those among them that their sender may not write.
    pub denied: usize,
    /// What to tell the sender about those lines, in influxd's words.
    pub refused: Option<String>,
    /// The first of those lines.
    pub listed: Vec<RefusedLine>,
    /// Why the rest of the body was not looked at.
    pub failure: Option<plimsoll_query::Error>,
}

impl Loader {
    /// A loader that knows nothing yet.
    pub fn new(database: Database) -> Loader {
        Loader { database, remembered: Remembered::default() }
    }

    /// Stores the points of a body, for whoever may write everything; returns when they are durable and visible. Points without a
    /// timestamp get `default_time_ns`, `precision` is the unit of the others. Blocks the thread, for some seconds where memory is
    /// full.
    pub fn load(&self, body: &[u8], default_time_ns: i64, precision: Precision) -> Loaded {
        self.load_for(&Writer::ANYBODY, body, default_time_ns, precision)
    }

    /// Stores what `writer` may write of a body, as [`Loader::load`] does.
    pub fn load_for(&self, writer: &Writer, body: &[u8], default_time_ns: i64, precision: Precision) -> Loaded {
        self.with_store(writer, default_time_ns, precision, |store| store.store(body))
    }

    /// Stores what `writer` may write of these points, each with its number; `now_ns` is the time of the write.
    pub fn load_points(&self, writer: &Writer, points: Vec<(usize, Point<'_>)>, now_ns: i64) -> Loaded {
        let points = points.into_iter().map(|(line, point)| Watched { line, point }).collect();
        self.with_store(writer, now_ns, Precision::Nanosecond, |store| store.store_points(points))
    }

    fn with_store(
        &self,
        writer: &Writer,
        default_ns: i64,
        precision: Precision,
        store: impl FnOnce(&Store<'_>) -> Stored,
    ) -> Loaded {
        let times = Times { default_ns, precision };
        let guard = self.database.guard(default_ns);
        let engine = self.database.engine();
        let stored = store(&Store { engine, remembered: &self.remembered, guard: Some(&guard), writer, times });
        let message = stored.refused.message();
        let refused = stored.refused;
        Loaded {
            accepted: stored.accepted,
            rejected: refused.lines,
            denied: refused.denied,
            refused: message,
            listed: refused.listed,
            failure: stored.failure,
        }
    }
}
