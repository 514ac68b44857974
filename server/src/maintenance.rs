//! The thread that keeps the engine in shape: flushes when due, syncs the log, until it is told to stop.
//!
//! The engine owns no thread and no timer; this is where both come from.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use metrics::{counter, gauge};
use plimsoll_engine::env::Clock;
use plimsoll_engine::{Engine, Error};
use tokio_util::sync::CancellationToken;

/// How long the thread rests when nothing waits: short enough that a burst of writes does not fill the memtable meanwhile.
const REST: Duration = Duration::from_millis(200);

/// How long it rests at most when more waits.
const REST_BETWEEN_STEPS_MAX: Duration = Duration::from_millis(100);

/// How long it rests after a failure, before it tries again.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The running thread. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub(crate) struct Maintenance {
    signals: Arc<Signals>,
    ended: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Signals {
    stop: Mutex<bool>,
    changed: Condvar,
}

impl Maintenance {
    /// Starts the thread.
    pub(crate) fn start(engine: Arc<Engine>, clock: Arc<dyn Clock>) -> std::io::Result<Maintenance> {
        let signals = Arc::new(Signals::default());
        let ended = CancellationToken::new();
        let (theirs, end) = (Arc::clone(&signals), ended.clone().drop_guard());
        let body = move || {
            let _said_even_after_a_panic = end;
            run(&engine, clock.as_ref(), &theirs);
        };
        let thread = thread::Builder::new().name("maintenance".to_owned()).spawn(body)?;
        Ok(Maintenance { signals, ended, thread: Some(thread) })
    }

    /// Returns when the thread has ended, which before [`Maintenance::stop`] means that it panicked.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Stops after the step under way and waits for it.
    pub(crate) fn stop(mut self) {
        self.signals.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the maintenance thread had panicked");
        }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.signals.stop();
    }
}

impl Signals {
    fn stop(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    /// Waits until the rest is over or until it has to stop; false means stop.
    fn rest(&self, rest: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), rest, |stop| !*stop);
        !*waited.expect("no thread panics while it holds the signals").0
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.stop.lock().expect("no thread panics while it holds the signals")
    }
}

fn since(started_ns: i64, now_ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(now_ns.saturating_sub(started_ns)).unwrap_or(0))
}

fn run(engine: &Engine, clock: &dyn Clock, signals: &Signals) {
    let mut failure = Failure::default();
    loop {
        let started_ns = clock.now_ns();
        let step = engine.maintain(started_ns);
        counter!("plimsoll_maintenance_steps_total").increment(1);
        failure.note(step.as_ref().err());
        let rest = match step {
            // Half of the time at most, so that a long compaction leaves room for what clients want.
            Ok(done) if done.more => REST_BETWEEN_STEPS_MAX.min(since(started_ns, clock.now_ns())),
            Ok(_) => REST,
            Err(_) => REST_AFTER_FAILURE,
        };
        if !signals.rest(rest) {
            return;
        }
    }
}

/// The failure that is going on, so that each cause is logged once and not every second.
#[derive(Debug, Default)]
struct Failure(Option<String>);

impl Failure {
    fn note(&mut self, error: Option<&Error>) {
        gauge!("plimsoll_maintenance_failing").set(if error.is_some() { 1.0 } else { 0.0 });
        if error.is_some() {
            counter!("plimsoll_maintenance_errors_total").increment(1);
        }
        match self.changed(error.map(ToString::to_string)) {
            Some(Some(cause)) => tracing::error!(error = cause, "upkeep failed; trying again every second"),
            Some(None) => tracing::info!("upkeep works again"),
            None => {}
        }
    }

    /// What to say, if anything: a new cause, or that it is over.
    fn changed(&mut self, now: Option<String>) -> Option<Option<String>> {
        if self.0 == now {
            return None;
        }
        self.0.clone_from(&now);
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_said_once() {
        let mut failure = Failure::default();
        let cause = |text: &str| Some(text.to_owned());
        assert_eq!(failure.changed(None), None);
        assert_eq!(failure.changed(cause("disk full")), Some(cause("disk full")));
        assert_eq!(failure.changed(cause("disk full")), None);
        assert_eq!(failure.changed(cause("poisoned")), Some(cause("poisoned")));
        assert_eq!(failure.changed(None), Some(None));
        assert_eq!(failure.changed(None), None);
    }
}
