//! Line protocol over plain sockets: lines over a TCP connection, or in datagrams of UDP.
//!
//! Neither gives an answer. What is refused is counted and logged with its line and sender; timestamps are in nanoseconds.
//!
//! Invariants
//! - A line over TCP counts once its newline has come: a connection that is cut leaves no half of a line behind.
//! - A TCP connection is not read while what came by it is being written, or waits for room. A datagram has nobody to wait.
//! - When a TCP connection is closed by its client, and the server closes it in turn, all of its lines are durable or logged.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use metrics::counter;
use plimsoll_engine::Error;
use plimsoll_engine::env::Clock;
use plimsoll_query::Database;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::line_protocol::{Precision, whole_lines};
use super::{Loaded, Loader};

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 256;

/// Writes at once.
const WRITERS_MAX: usize = 4;

/// Bytes that are read ahead of a connection.
const READ_BYTES: usize = 256 << 10;

/// Longest line, strings with newlines included.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Bytes of datagrams that are written together.
const GATHERED_BYTES_MAX: usize = 1 << 20;

/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// Time after which a write is tried again that found no room.
const RETRY: Duration = Duration::from_secs(1);

/// What the sockets work on. Shared by all connections.
#[derive(Debug)]
pub(crate) struct LineSockets {
    loader: Arc<Loader>,
    database: Database,
    clock: Arc<dyn Clock>,
    user: String,
    writers: Semaphore,
}

/// Why a connection is not read on.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    Failed(plimsoll_query::Error),
    #[error("a line is longer than {LINE_BYTES_MAX} bytes")]
    LongLine,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the server stops")]
    Stopping,
}

impl LineSockets {
    /// `user` is the role whose rights all senders have once roles have passwords.
    pub(crate) fn new(database: Database, clock: Arc<dyn Clock>, user: String) -> LineSockets {
        let loader = Arc::new(Loader::new(database.clone()));
        LineSockets { loader, database, clock, user, writers: Semaphore::new(WRITERS_MAX) }
    }

    /// Takes connections until it is told to stop.
    pub(crate) async fn serve_tcp(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, peer)) => {
                    let (sockets, stop) = (Arc::clone(&self), stop.clone());
                    connections.spawn(async move {
                        let _place = place;
                        sockets.connection(stream, peer, &stop).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection for line protocol was not accepted");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        while connections.join_next().await.is_some() {}
        Ok(())
    }

    async fn connection(&self, mut stream: TcpStream, peer: SocketAddr, stop: &CancellationToken) {
        if let Err(error) = self.read_lines(&mut stream, peer, stop).await {
            counter!("plimsoll_ingest_socket_errors_total", "transport" => "tcp").increment(1);
            tracing::warn!(%peer, %error, "a connection with line protocol is closed");
        }
    }

    async fn read_lines(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        stop: &CancellationToken,
    ) -> Result<(), Ended> {
        let mut buffer = BytesMut::new();
        let mut lines_before = 0;
        loop {
            buffer.reserve(READ_BYTES);
            let read = tokio::select! {
                () = stop.cancelled() => return Err(Ended::Stopping),
                read = stream.read_buf(&mut buffer) => read?,
            };
            if read == 0 {
                return self.end(&buffer, peer, lines_before);
            }
            let end = whole_lines(&buffer);
            if end > 0 {
                let lines = buffer.split_to(end).freeze();
                let count = memchr::memchr_iter(b'\n', &lines).count();
                let loaded = self.write(lines.into(), stop).await?;
                report("tcp", &loaded, |line| (peer, lines_before + line));
                lines_before += count;
            }
            if buffer.len() > LINE_BYTES_MAX {
                return Err(Ended::LongLine);
            }
        }
    }

    /// What a client leaves behind when it goes: nothing, or a line that is not whole.
    fn end(&self, rest: &[u8], peer: SocketAddr, lines_before: usize) -> Result<(), Ended> {
        if !rest.is_empty() {
            counter!("plimsoll_ingest_rejected_points_total").increment(1);
            let line = lines_before + 1;
            tracing::warn!(%peer, line, "a line without its newline, at the end of a connection, is not stored");
        }
        Ok(())
    }

    /// Writes, and waits for room as long as there is none.
    async fn write(&self, lines: Vec<u8>, stop: &CancellationToken) -> Result<Loaded, Ended> {
        let lines = Arc::new(lines);
        loop {
            match self.load(Arc::clone(&lines)).await {
                Loaded { failure: Some(error), .. } if passes(&error) => {
                    tracing::warn!(%error, "line protocol waits for room");
                    tokio::select! {
                        () = stop.cancelled() => return Err(Ended::Stopping),
                        () = tokio::time::sleep(RETRY) => {}
                    }
                }
                Loaded { failure: Some(error), .. } => return Err(Ended::Failed(error)),
                loaded => return Ok(loaded),
            }
        }
    }

    async fn load(&self, lines: Arc<Vec<u8>>) -> Loaded {
        let _turn = self.writers.acquire().await.expect("the semaphore is never closed");
        let user = self.database.has_passwords().then_some(self.user.as_str());
        let writer = self.database.writer(user);
        let (loader, now_ns) = (Arc::clone(&self.loader), self.clock.now_ns());
        let bytes = lines.len();
        let loading =
            tokio::task::spawn_blocking(move || loader.load_for(&writer, &lines, now_ns, Precision::Nanosecond));
        let loaded = loading.await.expect("loading does not panic");
        counter!("plimsoll_ingest_bytes_total").increment(bytes as u64);
        counter!("plimsoll_ingest_points_total").increment(loaded.accepted as u64);
        loaded
    }

    /// Takes datagrams until it is told to stop.
    pub(crate) async fn serve_udp(self: Arc<Self>, socket: UdpSocket, stop: CancellationToken) -> io::Result<()> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let received = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                received = socket.recv_from(&mut buffer) => received,
            };
            let Ok((length, peer)) = received else { continue };
            let mut gathered = Gathered::default();
            let mut alone = gathered.add(&buffer[..length], peer);
            while alone.is_none() && gathered.bytes.len() < GATHERED_BYTES_MAX {
                let Ok((length, peer)) = socket.try_recv_from(&mut buffer) else { break };
                alone = gathered.add(&buffer[..length], peer);
            }
            for gathered in [Some(gathered), alone].into_iter().flatten() {
                self.write_datagrams(gathered).await;
            }
        }
    }

    async fn write_datagrams(&self, Gathered { bytes, senders }: Gathered) {
        let loaded = self.load(Arc::new(bytes)).await;
        report("udp", &loaded, |line| {
            let at = senders.partition_point(|(first, _)| *first <= line).saturating_sub(1);
            senders
                .get(at)
                .map_or((SocketAddr::from(([0, 0, 0, 0], 0)), line), |(first, peer)| (*peer, line - first + 1))
        });
        if let Some(error) = &loaded.failure {
            counter!("plimsoll_ingest_socket_errors_total", "transport" => "udp").increment(1);
            tracing::warn!(%error, datagrams = senders.len(), "datagrams are lost");
        }
    }
}

/// Datagrams that are written together.
#[derive(Debug, Default)]
struct Gathered {
    bytes: Vec<u8>,
    /// The first line of each datagram, and whose it is.
    senders: Vec<(usize, SocketAddr)>,
}

impl Gathered {
    /// Adds a datagram, or gives it back to be written alone: a string that does not end in it must not swallow those behind it.
    fn add(&mut self, datagram: &[u8], peer: SocketAddr) -> Option<Gathered> {
        let mut lines = datagram.to_vec();
        if lines.last() != Some(&b'\n') {
            lines.push(b'\n');
        }
        if whole_lines(&lines) < lines.len() {
            return Some(Gathered { bytes: lines, senders: vec![(1, peer)] });
        }
        let first = memchr::memchr_iter(b'\n', &self.bytes).count() + 1;
        self.senders.push((first, peer));
        self.bytes.append(&mut lines);
        None
    }
}

/// True for what goes away by itself, or when somebody makes room.
fn passes(error: &plimsoll_query::Error) -> bool {
    matches!(error, plimsoll_query::Error::Engine(Error::Busy { .. } | Error::DiskFull { .. }))
}

/// Counts and logs the lines that are refused; `place` gives the sender of a line and its number there.
fn report(transport: &'static str, loaded: &Loaded, place: impl Fn(usize) -> (SocketAddr, usize)) {
    if loaded.rejected == 0 {
        return;
    }
    counter!("plimsoll_ingest_rejected_points_total").increment(loaded.rejected as u64);
    for refused in &loaded.listed {
        let (peer, line) = place(refused.line);
        tracing::warn!(transport, %peer, line, reason = refused.reason, "a line is not stored");
    }
    let more = loaded.rejected - loaded.listed.len();
    if more > 0 {
        tracing::warn!(transport, more, "more lines are not stored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_joined_unless_one_does_not_end() {
        let (a, b) = (SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 2], 2)));
        let mut gathered = Gathered::default();
        assert!(gathered.add(b"m f=1\nm f=2", a).is_none());
        assert!(gathered.add(b"m f=3\n", b).is_none());
        let alone = gathered.add(b"m s=\"open", a).expect("not joined");
        assert_eq!(gathered.bytes, b"m f=1\nm f=2\nm f=3\n");
        assert_eq!(gathered.senders, [(1, a), (3, b)]);
        assert_eq!((alone.bytes.as_slice(), alone.senders.as_slice()), (&b"m s=\"open\n"[..], &[(1, a)][..]));
    }
}
