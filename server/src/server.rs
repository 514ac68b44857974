//! The running server: engine, query layer, both listeners and the maintenance thread, started and stopped in order.
//!
//! ```text
//! start:  data directory ─► ports ─► maintenance ─► HTTP, SQL
//! stop:   HTTP, SQL accept no more and finish ─► maintenance ─► flush ─► data directory released
//! ```
//!
//! Invariants
//! - Nothing listens before the data directory is open and its log is replayed.
//! - After [`Server::stop`] the next start replays nothing, and another process can open the directory.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use plimsoll_engine::Engine;
use plimsoll_engine::env::Clock;
use plimsoll_query::Database;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, TlsMode};
use crate::gate::{self, Gate};
use crate::ingest::{Ingest, IngestLimits, LineSockets};
use crate::maintenance::Maintenance;
use crate::pgwire::{PgLimits, Security};
use crate::{Error, Result, alerting, api, ingest, pgwire, storage, telemetry, tls};

/// Time that the listeners get to close connections after their requests had theirs.
const FAREWELL: Duration = Duration::from_secs(3);

/// A server that runs until [`Server::stop`].
#[derive(Debug)]
pub struct Server {
    /// Where SQL clients connect.
    pub pg_addr: SocketAddr,
    /// Where line protocol and `/metrics` are served.
    pub http_addr: SocketAddr,
    /// Where line protocol is taken over TCP, if anywhere.
    pub line_tcp_addr: Option<SocketAddr>,
    /// Where line protocol is taken over UDP, if anywhere.
    pub line_udp_addr: Option<SocketAddr>,
    data: PathBuf,
    stop_timeout: Duration,
    engine: Arc<Engine>,
    database: Database,
    /// The listeners, and what makes alerts go.
    listeners: JoinSet<std::io::Result<()>>,
    stopping: CancellationToken,
    maintenance: Maintenance,
}

impl Server {
    /// Opens the data directory, listens, and serves. Port 0 takes a free port.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Open`], [`Error::Listen`], [`Error::Io`], [`Error::Query`].
    pub async fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Server> {
        let (engine, database) = open(config.clone(), Arc::clone(&clock)).await?;
        config.check_reach(database.has_passwords())?;
        let security = Security {
            tls: tls::server_config(config)?,
            tls_required: config.tls == TlsMode::Require,
            ..Security::default()
        };
        let pg = listen("pg", config.pg).await?;
        let http = listen("http", config.http).await?;
        let (pg_addr, http_addr) = (local_addr("pg", &pg)?, local_addr("http", &http)?);
        let line_tcp = match config.ingest.line_tcp {
            Some(addr) => Some(listen("ingest.line_tcp", addr).await?),
            None => None,
        };
        let line_udp = match config.ingest.line_udp {
            Some(addr) => Some(bind_udp("ingest.line_udp", addr).await?),
            None => None,
        };
        let line_tcp_addr = line_tcp.as_ref().and_then(|listener| listener.local_addr().ok());
        let line_udp_addr = line_udp.as_ref().and_then(|socket| socket.local_addr().ok());
        storage::note_listening(&config.data, pg_addr, http_addr)?;
        let maintenance = Maintenance::start(Arc::clone(&engine), Arc::clone(&clock))
            .map_err(|e| Error::Internal(format!("cannot start the maintenance thread: {e}")))?;
        let stopping = CancellationToken::new();
        let api = api::router(database.clone(), Arc::clone(&clock), stopping.clone());
        let (gate_clock, throttle) = (Arc::clone(&clock), Arc::clone(&security.throttle));
        let gate = Gate { database: database.clone(), throttle, clock: gate_clock };
        let guarded = axum::middleware::from_fn_with_state(gate, gate::guard);
        let router = router(config, &database, &clock).merge(api).layer(guarded);
        let mut listeners = JoinSet::new();
        listeners.spawn(serve_http(http, router, stopping.clone()));
        listeners.spawn(alerting::look(database.clone(), Arc::clone(&clock), stopping.clone()));
        listeners.spawn(alerting::deliver(database.clone(), Arc::clone(&clock), stopping.clone()));
        let user = config.ingest.line_user.clone();
        let sockets = Arc::new(LineSockets::new(database.clone(), Arc::clone(&clock), user));
        if let Some(listener) = line_tcp {
            listeners.spawn(Arc::clone(&sockets).serve_tcp(listener, stopping.clone()));
        }
        if let Some(socket) = line_udp {
            listeners.spawn(sockets.serve_udp(socket, stopping.clone()));
        }
        listeners.spawn(pgwire::serve(pg, database.clone(), clock, pg_limits(config), security, stopping.clone()));
        let (data, stop_timeout) = (config.data.clone(), config.stop_timeout);
        Ok(Server {
            pg_addr,
            http_addr,
            line_tcp_addr,
            line_udp_addr,
            data,
            stop_timeout,
            engine,
            database,
            listeners,
            stopping,
            maintenance,
        })
    }

    /// The query layer, for questions from within the process.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Returns when a part has ended by itself, which none should.
    pub async fn failed(&mut self) -> Error {
        let ended = tokio::select! {
            ended = self.listeners.join_next() => ended,
            () = self.maintenance.ended() => return Error::Internal("the maintenance thread has ended".to_owned()),
        };
        match ended {
            Some(Ok(Err(error))) => Error::Internal(format!("a task failed: {error}")),
            Some(Err(error)) => Error::Internal(format!("a task failed: {error}")),
            Some(Ok(Ok(()))) | None => Error::Internal("a task ended by itself".to_owned()),
        }
    }

    /// Stops gracefully: accepts no more, lets requests under way finish (for as long as the configuration says), flushes, and
    /// releases the data directory.
    ///
    /// # Errors
    /// [`Error::Engine`] when the flush fails: what was acknowledged is in the log and is replayed at the next start.
    pub async fn stop(mut self) -> Result<()> {
        self.stopping.cancel();
        let finished = async { while self.listeners.join_next().await.is_some() {} };
        if tokio::time::timeout(self.stop_timeout + FAREWELL, finished).await.is_err() {
            tracing::warn!(waited = ?self.stop_timeout, "requests are still under way; closing their connections");
            self.listeners.shutdown().await;
        }
        drop(self.database);
        let closing = tokio::task::spawn_blocking(move || close(&self.data, self.engine, self.maintenance));
        closing.await.map_err(|e| Error::Internal(format!("closing failed: {e}")))?
    }
}

async fn open(config: Config, clock: Arc<dyn Clock>) -> Result<(Arc<Engine>, Database)> {
    let opening = tokio::task::spawn_blocking(move || {
        let engine = storage::open_engine(&config, &clock)?;
        let database = storage::open_database(&config, &engine)?;
        Ok((engine, database))
    });
    opening.await.map_err(|e| Error::Internal(format!("opening the data directory failed: {e}")))?
}

fn close(data: &std::path::Path, engine: Arc<Engine>, maintenance: Maintenance) -> Result<()> {
    maintenance.stop();
    let flushed = storage::settle(&engine);
    storage::clear_listening(data);
    drop(engine);
    Ok(flushed?)
}

async fn listen(key: &'static str, addr: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|source| Error::Listen { key, addr, source })
}

async fn bind_udp(key: &'static str, addr: SocketAddr) -> Result<UdpSocket> {
    UdpSocket::bind(addr).await.map_err(|source| Error::Listen { key, addr, source })
}

fn local_addr(key: &'static str, listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|e| Error::Internal(format!("{key} has no address: {e}")))
}

/// The telemetry comes first: it installs the recorder that the others describe their metrics to.
fn router(config: &Config, database: &Database, clock: &Arc<dyn Clock>) -> Router {
    let metrics = telemetry::router(Arc::clone(database.engine()), clock.as_ref());
    let limits = ingest_limits(config);
    let ingest = Ingest { database: database.clone(), clock: Arc::clone(clock), limits };
    ingest::http::router(ingest).merge(metrics)
}

fn ingest_limits(config: &Config) -> IngestLimits {
    let body_bytes_max = storage::size_bytes(config.ingest.body_limit);
    IngestLimits {
        body_bytes_max,
        decompressed_bytes_max: body_bytes_max,
        in_flight_bytes_max: storage::size_bytes(config.ingest.queue_limit),
        requests_max: config.ingest.requests,
        ..IngestLimits::default()
    }
}

fn pg_limits(config: &Config) -> PgLimits {
    PgLimits {
        connections_max: config.sql.connections,
        message_bytes_max: storage::size_bytes(config.sql.message_limit),
        grace: config.stop_timeout,
        ..PgLimits::default()
    }
}

async fn serve_http(listener: TcpListener, router: Router, stopping: CancellationToken) -> std::io::Result<()> {
    // Small answers must not wait for more.
    let listener = listener.tap_io(|stream| {
        let _slower_but_fine = stream.set_nodelay(true);
    });
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router).with_graceful_shutdown(stopping.cancelled_owned()).await
}
