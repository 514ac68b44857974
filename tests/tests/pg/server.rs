//! A SQL server in the test's own process, on a free port, with data and a clock that stands still.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plimsoll::pgwire::{PgLimits, Security, serve};
use plimsoll_engine::env::Clock;
use plimsoll_engine::{Engine, Options, Point, Value};
use plimsoll_query::{Database, DatabaseOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

/// 2024-01-01 00:00:00 UTC.
pub(crate) const NEW_YEAR_NS: i64 = 1_704_067_200_000_000_000;

/// A running server; stopped when dropped.
pub(crate) struct PgServer {
    pub(crate) addr: SocketAddr,
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Arc<StandingClock>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
    _dir: tempfile::TempDir,
}

impl Drop for PgServer {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Stands still, until it is broken: then whoever asks it panics.
#[derive(Debug, Default)]
pub(crate) struct StandingClock {
    pub(crate) broken: AtomicBool,
}

impl Clock for StandingClock {
    fn now_ns(&self) -> i64 {
        assert!(!self.broken.load(Ordering::Relaxed), "the clock is broken");
        NEW_YEAR_NS + 3_600_000_000_000
    }
}

impl PgServer {
    /// A server with the default limits and no data.
    pub(crate) async fn start() -> PgServer {
        PgServer::start_with(PgLimits::default()).await
    }

    pub(crate) async fn start_with(limits: PgLimits) -> PgServer {
        PgServer::start_secured(limits, Security::default()).await
    }

    pub(crate) async fn start_secured(limits: PgLimits, security: Security) -> PgServer {
        let dir = tempfile::tempdir().unwrap();
        let engine = Arc::new(Engine::open(dir.path(), Options::default()).unwrap());
        let database = Database::new(Arc::clone(&engine), &DatabaseOptions::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let clock = Arc::new(StandingClock::default());
        let served = tokio::spawn(serve(listener, database, clock.clone(), limits, security, shutdown.clone()));
        PgServer { addr, engine, clock, shutdown, served, _dir: dir }
    }

    /// A server with the table `cpu`: tag `host` (a, b), float `usage`, integer `cores`, three minutes from the new year on.
    pub(crate) async fn with_cpu() -> PgServer {
        let server = PgServer::start().await;
        let mut points = Vec::new();
        for minute in 0..3 {
            for (host, base) in [("a", 0.5), ("b", 10.0)] {
                points.push(Point {
                    table: Cow::Borrowed("cpu"),
                    tags: vec![(Cow::Borrowed("host"), Cow::Borrowed(host))],
                    fields: vec![
                        (Cow::Borrowed("usage"), Value::Float(base + f64::from(minute))),
                        (Cow::Borrowed("cores"), Value::Integer(8)),
                    ],
                    time_ns: NEW_YEAR_NS + i64::from(minute) * 60_000_000_000,
                });
            }
        }
        server.write(&points);
        server
    }

    /// Adds the table `numbers` with an integer column `n`, 0 up to `count`.
    pub(crate) fn write_numbers(&self, count: i64) {
        let point = |n: i64| Point {
            table: Cow::Borrowed("numbers"),
            tags: Vec::new(),
            fields: vec![(Cow::Borrowed("n"), Value::Integer(n))],
            time_ns: NEW_YEAR_NS + n,
        };
        self.write(&(0..count).map(point).collect::<Vec<_>>());
    }

    fn write(&self, points: &[Point<'_>]) {
        let written = self.engine.write(points).unwrap();
        assert!(written.rejected.is_empty(), "{:?}", written.rejected);
    }

    /// A client over tokio-postgres.
    pub(crate) async fn connect(&self) -> Client {
        self.connect_with("").await
    }

    /// A client with further words of a connection string.
    pub(crate) async fn connect_with(&self, words: &str) -> Client {
        let text = format!("host=127.0.0.1 port={} user=postgres dbname=postgres {words}", self.addr.port());
        let (client, connection) = tokio_postgres::connect(&text, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

/// SQLSTATE, message and position of an error that the server sent.
pub(crate) fn said(error: &tokio_postgres::Error) -> (String, String, Option<u32>) {
    let error = error.as_db_error().unwrap_or_else(|| panic!("not from the server: {error}"));
    let position = match error.position() {
        Some(tokio_postgres::error::ErrorPosition::Original(position)) => Some(*position),
        _ => None,
    };
    (error.code().code().to_owned(), error.message().to_owned(), position)
}

/// The rows of a simple query as text, `NULL` for NULL, columns joined by `|`.
pub(crate) async fn text_rows(client: &Client, query: &str) -> Vec<String> {
    use tokio_postgres::SimpleQueryMessage;
    let messages = client.simple_query(query).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|at| row.get(at).unwrap_or("NULL").to_owned());
            Some(values.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}
