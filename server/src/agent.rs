//! The agent: the host's own metrics as line protocol, with a buffer on disk while the server is away.
//!
//! ```text
//! collect ─► spool (files, oldest first) ─► send ─► POST /api/v2/write
//!   every interval                           retried in order, with backoff
//! ```
//!
//! Two loops share the spool. The collecting one never waits for the network, so a server that hangs costs no sample. A
//! batch leaves the spool when the server has taken it or has said that it never will; sending one twice is harmless,
//! because points of the same series and time replace each other.

mod collect;
mod lines;
mod proc_stat;
mod retry;
mod send;
mod spool;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use plimsoll_engine::env::Clock;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::Result;
use collect::Collector;
use retry::Backoff;
pub(crate) use send::chain;
use send::{Delivery, Sender};
use spool::Spool;

/// How an agent runs.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The server, such as `http://127.0.0.1:8086`.
    pub to: String,
    /// The bucket named in the request.
    pub bucket: String,
    /// Time between two samples.
    pub interval: Duration,
    /// Directory of the batches that are not delivered yet.
    pub buffer: PathBuf,
    /// Bytes that the buffer may take; beyond it the oldest batches are dropped.
    pub buffer_limit_bytes: u64,
    /// Value of the tag `hostname`; `None` asks the operating system.
    pub hostname: Option<String>,
}

/// An agent that is ready to run.
#[derive(Debug)]
pub struct Agent {
    interval: Duration,
    collector: Arc<Mutex<Collector>>,
    sender: Sender,
    buffer: Arc<Buffer>,
    delivered: watch::Sender<u64>,
}

/// The spool, and the bell that says something is in it.
#[derive(Debug)]
struct Buffer {
    spool: Mutex<Spool>,
    filled: Notify,
}

impl Agent {
    /// Checks the configuration, opens the buffer and takes the first reading, against which the next is measured.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] for a URL that cannot be used, [`crate::Error::Io`] for a buffer that cannot, [`crate::Error::InUse`] when another agent has it.
    pub fn new(config: &AgentConfig) -> Result<Agent> {
        let sender = Sender::new(&config.to, &config.bucket)?;
        let spool = Spool::open(&config.buffer, config.buffer_limit_bytes)?;
        Ok(Agent {
            interval: config.interval,
            collector: Arc::new(Mutex::new(Collector::new(config.hostname.as_deref()))),
            sender,
            buffer: Arc::new(Buffer { spool: Mutex::new(spool), filled: Notify::new() }),
            delivered: watch::Sender::new(0),
        })
    }

    /// Counts the batches that the server has taken.
    pub fn delivered(&self) -> watch::Receiver<u64> {
        self.delivered.subscribe()
    }

    /// Collects and sends until `stop`. What is not delivered by then stays in the buffer for the next run.
    pub async fn run(self, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let collecting = collect_loop(self.collector, self.interval, &self.buffer, clock.as_ref());
        let sending = send_loop(&self.sender, &self.buffer, Backoff::default(), &self.delivered);
        tokio::select! {
            () = collecting => {}
            () = sending => {}
            () = stop.cancelled() => {}
        }
    }
}

impl Buffer {
    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().expect("no thread panics while it holds the spool")
    }

    fn push(&self, lines: &str) {
        match self.spool().push(lines) {
            Ok(0) => {}
            Ok(dropped) => tracing::warn!(dropped, "the buffer is full: dropped the oldest batches"),
            Err(error) => tracing::error!(%error, "lost a batch: it cannot be written to the buffer"),
        }
        self.filled.notify_one();
    }
}

async fn collect_loop(collector: Arc<Mutex<Collector>>, interval: Duration, buffer: &Buffer, clock: &dyn Clock) {
    loop {
        let now_ns = clock.now_ns();
        let due_ns = next_tick(now_ns, interval);
        tokio::time::sleep(Duration::from_nanos(due_ns.abs_diff(now_ns))).await;
        let collector = Arc::clone(&collector);
        let reading = move || collector.lock().expect("no thread panics while it reads the host").collect(due_ns);
        match tokio::task::spawn_blocking(reading).await {
            Ok(lines) => buffer.push(&lines),
            Err(error) => tracing::error!(%error, "could not read the host"),
        }
    }
}

/// The next multiple of the interval after `now_ns`, so that the samples of all hosts share their timestamps.
fn next_tick(now_ns: i64, interval: Duration) -> i64 {
    let interval_ns = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX).max(1);
    now_ns.saturating_sub(now_ns.rem_euclid(interval_ns)).saturating_add(interval_ns)
}

async fn send_loop(sender: &Sender, buffer: &Buffer, backoff: Backoff, delivered: &watch::Sender<u64>) {
    let mut failures = 0;
    loop {
        let oldest = buffer.spool().oldest();
        let Some((batch, lines)) = oldest else {
            buffer.filled.notified().await;
            continue;
        };
        match sender.deliver(&lines).await {
            Delivery::Later { after, why } => {
                failures += 1;
                if failures == 1 {
                    tracing::warn!(why, "the server does not take batches; they wait in the buffer");
                }
                tokio::time::sleep(backoff.delay(failures, after, retry::random_unit())).await;
                continue;
            }
            Delivery::Refused { why } => tracing::error!(why, "dropped a batch that the server refused"),
            Delivery::Done => delivered.send_modify(|count| *count += 1),
        }
        if failures > 0 {
            tracing::info!(attempts = failures, waiting = buffer.spool().len(), "the server takes batches again");
            failures = 0;
        }
        if let Err(error) = buffer.spool().remove(batch) {
            tracing::error!(%error, "a delivered batch cannot be removed from the buffer");
        }
    }
}

/// `part` of `whole` in percent, to two decimals: the sources are no finer, and round numbers are stored in less space.
fn percent(part: f64, whole: f64) -> f64 {
    (10_000.0 * part / whole).round() / 100.0
}

#[cfg(test)]
mod tests;
