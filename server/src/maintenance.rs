//! The thread that keeps the engine in shape: flushes when due, syncs the log, until it is told to stop.
//!
//! The engine owns no thread and no timer; this is where both come from.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use metrics::{counter, gauge};
use plimsoll_engine::env::Clock;
use plimsoll_engine::{Engine, Error};

/// How long the thread rests when nothing waits.
const REST: Duration = Duration::from_secs(1);

/// The running thread. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub(crate) struct Maintenance {
    signals: Arc<Signals>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Signals {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    stop: bool,
    woken: bool,
}

impl Maintenance {
    /// Starts the thread.
    pub(crate) fn start(engine: Arc<Engine>, clock: Arc<dyn Clock>) -> std::io::Result<Maintenance> {
        let signals = Arc::new(Signals::default());
        let theirs = Arc::clone(&signals);
        let body = move || run(&engine, clock.as_ref(), &theirs);
        let thread = thread::Builder::new().name("maintenance".to_owned()).spawn(body)?;
        Ok(Maintenance { signals, thread: Some(thread) })
    }

    /// Stops after the step under way and waits for it.
    pub(crate) fn stop(mut self) {
        self.signals.set(State { stop: true, woken: true });
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the maintenance thread had panicked");
        }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.signals.set(State { stop: true, woken: true });
    }
}

impl Signals {
    fn set(&self, state: State) {
        *self.lock() = state;
        self.changed.notify_all();
    }

    /// Waits until woken or until the rest is over; false means stop.
    fn rest(&self) -> bool {
        let idle = |state: &mut State| !state.woken;
        let waited = self.changed.wait_timeout_while(self.lock(), REST, idle);
        let mut state = waited.expect("no thread panics while it holds the signals").0;
        state.woken = false;
        !state.stop
    }

    fn stopped(&self) -> bool {
        self.lock().stop
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the signals")
    }
}

fn run(engine: &Engine, clock: &dyn Clock, signals: &Signals) {
    let mut failure = Failure::default();
    loop {
        let step = engine.maintain(clock.now_ns());
        counter!("plimsoll_maintenance_steps_total").increment(1);
        failure.note(step.as_ref().err());
        let more = step.is_ok_and(|done| done.more);
        let go_on = if more { !signals.stopped() } else { signals.rest() };
        if !go_on {
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
