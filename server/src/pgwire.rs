//! SQL out: the server's end of PostgreSQL's protocol, version 3.
//!
//! ```text
//! socket ─► wire ─► startup ─► connection ─► simple, extended ─► planning ─► session   SET, SHOW, BEGIN, ...
//!           messages                                                     ├─► system    pg_catalog, information_schema
//!                                                                        └─► query     everything else, over plimsoll_query
//! socket ◄─ wire ◄─ columns ◄─ rows   a batch at a time, no further ahead than the client reads
//! ```
//!
//! Messages are `pgwire`'s; the loop, the encoders and the errors are ours. Until a user has a password everyone who comes from
//! this machine is trusted, and nobody else is let in.
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
mod cursor;
mod extended;
mod login;
mod parameters;
mod planning;
mod rows;
mod scram;
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
use std::net::{IpAddr, SocketAddr};
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
use login::Door;
use sqlstate::{SqlError, code};
use startup::{Asked, Client};
use system::Times;
use wire::{Reader, WireError, Writer};

use crate::throttle::Throttle;

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

/// How clients are kept apart from those who only say that they are.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// What encrypted connections are served with; without, none are.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Refuse clients that do not encrypt.
    pub tls_required: bool,
    /// Failed log-ins by address.
    pub(crate) throttle: Arc<Throttle>,
}

/// The first byte of a TLS handshake; no packet of PostgreSQL's protocol begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a client that is let in wants.
enum Purpose {
    Session(Box<Client>),
    Cancel { pid: i32, secret: Vec<u8> },
}

/// Clients that may be on their way to a session at a time, besides those that have one.
const ARRIVALS_MAX: usize = 64;

/// What the connections share.
pub(crate) struct Shared {
    database: Database,
    clock: Arc<dyn Clock>,
    started_ns: i64,
    limits: PgLimits,
    security: Security,
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

/// Serves SQL clients on `listener` until `shutdown` is cancelled. Then no more are
/// accepted, idle ones are told and closed, running statements get [`PgLimits::grace`] to finish, and it returns.
///
/// # Errors
/// None today: a client that cannot be accepted is logged, and the next one is waited for.
pub async fn serve(
    listener: TcpListener,
    database: Database,
    clock: Arc<dyn Clock>,
    limits: PgLimits,
    security: Security,
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
        security,
    });
    let arrivals = Arc::new(Semaphore::new(ARRIVALS_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            arrival = accept(&listener, &arrivals) => {
                let ((stream, from), place) = arrival;
                connections.spawn(arrive(stream, from.ip(), place, Arc::clone(&shared)));
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
) -> ((TcpStream, SocketAddr), Option<tokio::sync::OwnedSemaphorePermit>) {
    let place = Arc::clone(arrivals).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok(arrival) => return (arrival, place),
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
async fn arrive(
    stream: TcpStream,
    from: IpAddr,
    place: Option<tokio::sync::OwnedSemaphorePermit>,
    shared: Arc<Shared>,
) {
    // Small answers must not wait for more.
    let _ = stream.set_nodelay(true);
    let welcomed = tokio::time::timeout(shared.limits.startup_timeout, welcome(stream, from, &shared));
    let welcomed = tokio::select! {
        welcomed = welcomed => welcomed,
        () = shared.stopping.cancelled() => return,
    };
    // Else it left, or took too long.
    let Ok(Some((reader, mut writer, outcome))) = welcomed else { return };
    match outcome {
        Ok(Some(Purpose::Session(client))) => {
            drop(place);
            session(reader, writer, &client, shared).await;
        }
        Ok(Some(Purpose::Cancel { pid, secret })) => {
            shared.backends.cancel(pid, &secret);
            let _ = writer.shutdown().await;
        }
        Err(WireError::Protocol(error)) => refuse(writer, &error, &shared).await,
        Ok(None) | Err(_) => {}
    }
}

/// A client with the two halves of its connection, and what it turned out to want.
type Welcomed = (Reader<Input>, Writer<Output>, Result<Option<Purpose>, WireError>);

/// Encrypts if the client wants that, and finds out what it wants and whether it is who it says; `None` when it leaves.
async fn welcome(stream: TcpStream, from: IpAddr, shared: &Shared) -> Option<Welcomed> {
    let bytes_max = shared.limits.message_bytes_max;
    let mut first = [0];
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    let (mut reader, mut writer, is_encrypted, asked) = if first[0] == TLS_HANDSHAKE {
        // A client that encrypts from its first byte on has to say what for: the port is none of HTTPS.
        let encrypted = encrypt(stream, shared).await?;
        if encrypted.get_ref().1.alpn_protocol() != Some(crate::tls::ALPN) {
            return None;
        }
        let (reader, writer) = halves(tokio::io::split(encrypted), bytes_max);
        (reader, writer, true, None)
    } else {
        let (input, output) = stream.into_split();
        let (mut reader, mut writer) = (Reader::new(input, bytes_max), Writer::new(output));
        let offers_tls = shared.security.tls.is_some();
        match startup::negotiate(&mut reader, &mut writer, offers_tls).await {
            Ok(Some(Asked::Encryption)) => {
                let stream = reader.into_stream().reunite(writer.into_stream()).ok()?;
                let encrypted = encrypt(stream, shared).await?;
                let (reader, writer) = halves(tokio::io::split(encrypted), bytes_max);
                (reader, writer, true, None)
            }
            asked => (reader.boxed(), writer.boxed(), false, Some(asked)),
        }
    };
    let asked = match asked {
        Some(asked) => asked,
        None => startup::negotiate(&mut reader, &mut writer, false).await,
    };
    let outcome = match asked {
        Ok(Some(Asked::Session(client))) if shared.security.tls_required && !is_encrypted => {
            let message = format!("the server takes encrypted connections only, and user \"{}\" has none", client.user);
            let error = SqlError::fatal(code::INVALID_AUTHORIZATION, message);
            Err(WireError::Protocol(error.with_hint("Connect with sslmode=require.")))
        }
        Ok(Some(Asked::Session(client))) => {
            let door = Door { database: &shared.database, throttle: &shared.security.throttle, from };
            let now_ns = || shared.clock.now_ns();
            let entered = door.enter(&client.user, now_ns, &mut reader, &mut writer).await;
            entered.map(|entered| entered.then_some(Purpose::Session(client)))
        }
        Ok(Some(Asked::Cancel { pid, secret })) => Ok(Some(Purpose::Cancel { pid, secret })),
        Ok(Some(Asked::Encryption)) => {
            Err(WireError::Protocol(SqlError::protocol("the connection is encrypted already")))
        }
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    Some((reader, writer, outcome))
}

/// The TLS handshake; `None` when it fails.
async fn encrypt(stream: TcpStream, shared: &Shared) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let acceptor = tokio_rustls::TlsAcceptor::from(shared.security.tls.clone()?);
    match acceptor.accept(stream).await {
        Ok(encrypted) => Some(encrypted),
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}

fn halves<S>(
    (input, output): (tokio::io::ReadHalf<S>, tokio::io::WriteHalf<S>),
    bytes_max: usize,
) -> (Reader<Input>, Writer<Output>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    (Reader::new(Box::new(input), bytes_max), Writer::new(Box::new(output)))
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
