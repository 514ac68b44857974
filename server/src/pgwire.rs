//! SQL out: the server's end of PostgreSQL's protocol, version 3.
//!
//! ```text
//! socket ─► wire ─► startup ─► connection ─► simple, extended ─► planning ─► session   SET, SHOW, BEGIN, ...
//!           messages                                                     ├─► system    pg_catalog, information_schema
//!                                                                        └─► query     everything else, over plimsoll_query
//! socket ◄─ wire ◄─ columns ◄─ rows   a batch at a time, no further ahead than the client reads
//! ```
//!
//! Messages are `pgwire`'s; the loop, the encoders and the errors are ours. Until users have passwords everyone is trusted,
//! which is why the caller hands in a listener on a loopback address only.
//!
//! Invariants
//! - A connection's state is its own: nothing that one client sets is seen by another.
//! - Nothing that a client sends, and no statement that fails or panics, ends another connection or the server.
//! - Results are never held whole: memory per connection is one batch and one send buffer.

mod binary;
mod cancel;
pub mod catalog;
mod columns;
mod command;
mod connection;
mod copy;
mod extended;
mod parameters;
mod planning;
mod rows;
mod session;
mod settings;
mod simple;
mod sqlstate;
mod startup;
mod statement;
mod system;
mod telemetry;
mod text;
mod types;
mod wire;
mod zone;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_engine::env::Clock;
use plimsoll_query::Database;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use cancel::Backends;
use connection::Connection;
use sqlstate::{SqlError, code};
use startup::{Client, Purpose};
use system::Times;
use wire::{Reader, WireError, Writer};

pub(crate) use columns::{Format, RowEncoder};
pub(crate) use zone::Zone;

/// The reading half of a client's socket, encrypted or not.
type Input = Box<dyn AsyncRead + Send + Unpin>;

/// The writing half of a client's socket, encrypted or not.
type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// Bounds of the front end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgLimits {
    /// Sessions at a time; further clients are refused with 53300.
    pub connections_max: usize,
    /// Bytes of one message from a client.
    pub message_bytes_max: usize,
    /// Prepared statements of one connection.
    pub statements_max: usize,
    /// Portals of one connection.
    pub portals_max: usize,
    /// How long a client may take until its session begins.
    pub startup_timeout: Duration,
    /// How long a running statement may go on when the server stops.
    pub grace: Duration,
    /// How long a client may take to read that its connection ends.
    pub farewell: Duration,
}

impl Default for PgLimits {
    fn default() -> PgLimits {
        PgLimits {
            connections_max: 200,
            message_bytes_max: 256 << 20,
            statements_max: 10_000,
            portals_max: 1_000,
            startup_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            farewell: Duration::from_secs(1),
        }
    }
}

/// Clients that may be on their way to a session at a time, besides those that have one.
const ARRIVALS_MAX: usize = 64;

/// What the connections share.
pub(crate) struct Shared {
    database: Database,
    clock: Arc<dyn Clock>,
    started_ns: i64,
    limits: PgLimits,
    backends: Arc<Backends>,
    sessions: Arc<Semaphore>,
    /// Idle connections end.
    stopping: CancellationToken,
    /// Running statements end too.
    killed: CancellationToken,
}

impl Shared {
    fn times(&self) -> Times {
        Times { now_ns: self.clock.now_ns(), started_ns: self.started_ns }
    }
}

/// Serves SQL clients on `listener`, which should be on a loopback address, until `shutdown` is cancelled. Then no more are
/// accepted, idle ones are told and closed, running statements get [`PgLimits::grace`] to finish, and it returns.
///
/// # Errors
/// None today: a client that cannot be accepted is logged, and the next one is waited for.
pub async fn serve(
    listener: TcpListener,
    database: Database,
    clock: Arc<dyn Clock>,
    limits: PgLimits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let shared = Arc::new(Shared {
        database,
        started_ns: clock.now_ns(),
        clock,
        backends: Arc::default(),
        sessions: Arc::new(Semaphore::new(limits.connections_max)),
        stopping: shutdown.clone(),
        killed: CancellationToken::new(),
        limits,
    });
    let arrivals = Arc::new(Semaphore::new(ARRIVALS_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            arrival = accept(&listener, &arrivals) => {
                connections.spawn(arrive(arrival.0, arrival.1, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    stop(connections, &shared).await;
    Ok(())
}

/// The next client, as soon as there is room for one more.
async fn accept(
    listener: &TcpListener,
    arrivals: &Arc<Semaphore>,
) -> (TcpStream, Option<tokio::sync::OwnedSemaphorePermit>) {
    let place = Arc::clone(arrivals).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                // Most often the process is out of file descriptors, and a connection that ends brings one back.
                tracing::warn!(%error, "a SQL client could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn stop(mut connections: JoinSet<()>, shared: &Shared) {
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(shared.limits.grace, all).await.is_ok() {
        return;
    }
    shared.killed.cancel();
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(shared.limits.farewell * 2, all).await.is_err() {
        connections.shutdown().await;
    }
}

/// One client, from its first byte to its last. Its place among the arrivals is free once it has a session.
async fn arrive(stream: TcpStream, place: Option<tokio::sync::OwnedSemaphorePermit>, shared: Arc<Shared>) {
    // Small answers must not wait for more.
    let _ = stream.set_nodelay(true);
    let (input, output) = stream.into_split();
    let mut reader = Reader::new(Box::new(input) as Input, shared.limits.message_bytes_max);
    let mut writer = Writer::new(Box::new(output) as Output);
    let negotiation = tokio::time::timeout(shared.limits.startup_timeout, startup::negotiate(&mut reader, &mut writer));
    let negotiated = tokio::select! {
        negotiated = negotiation => negotiated,
        () = shared.stopping.cancelled() => return,
    };
    match negotiated {
        Ok(Ok(Some(Purpose::Session(client)))) => {
            drop(place);
            session(reader, writer, &client, shared).await;
        }
        Ok(Ok(Some(Purpose::Cancel { pid, secret }))) => shared.backends.cancel(pid, &secret),
        Ok(Err(WireError::Protocol(error))) => refuse(writer, &error, &shared).await,
        // Left, or took too long.
        Ok(Ok(None) | Err(_)) | Err(_) => {}
    }
}

async fn session(reader: Reader<Input>, writer: Writer<Output>, client: &Client, shared: Arc<Shared>) {
    let Ok(_place) = Arc::clone(&shared.sessions).try_acquire_owned() else {
        let error = SqlError::fatal(code::TOO_MANY_CONNECTIONS, "sorry, too many clients already");
        return refuse(writer, &error, &shared).await;
    };
    let _counted = telemetry::Connected::enter();
    let cancel = shared.backends.enter(client.secret_bytes());
    Connection::new(reader, writer, client, cancel, shared).serve().await;
}

async fn refuse(mut writer: Writer<Output>, error: &SqlError, shared: &Shared) {
    writer.put(&error.response());
    let _ = tokio::time::timeout(shared.limits.farewell, writer.flush()).await;
    let _ = writer.shutdown().await;
}
