//! What makes alerts go: a look at what is due twice a second, and the delivery of what is in the outbox.
//!
//! Looking and delivering are two tasks, so that a receiver that is slow holds no alert up. Each sink has a turn of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use plimsoll_engine::env::Clock;
use plimsoll_query::{Database, Settled, Tick};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::notify::{Breaker, Courier, Delivery, Outcome, Target};

/// How often alerts are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often the outbox is.
const DELIVER_EVERY: Duration = Duration::from_millis(250);

/// Attempts that are under way at one time, and those at one sink: one that is slow leaves room for the others.
const ATTEMPTS_MAX: usize = 64;
const ATTEMPTS_PER_SINK_MAX: usize = 8;

/// Evaluates alerts until it has to stop.
pub(crate) async fn look(
    database: Database,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
) -> std::io::Result<()> {
    let mut failing = false;
    while !rest(LOOK_EVERY, &stopping).await {
        let started_ns = clock.now_ns();
        let done = database.tick(started_ns).await;
        histogram!("plimsoll_alert_look_seconds").record(seconds(started_ns, clock.now_ns()));
        match done {
            Ok(tick) => {
                if failing {
                    tracing::info!("alerts are evaluated again");
                }
                failing = false;
                note(&tick);
            }
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "alerts cannot be evaluated");
                }
                failing = true;
            }
        }
        gauge!("plimsoll_alerts_failing").set(if failing { 1.0 } else { 0.0 });
    }
    Ok(())
}

fn note(tick: &Tick) {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    counter!("plimsoll_alert_evaluations_total").increment(count(tick.evaluated));
    counter!("plimsoll_alert_evaluations_shed_total").increment(count(tick.shed));
    counter!("plimsoll_alert_steps_total").increment(count(tick.steps));
    counter!("plimsoll_escalation_steps_total").increment(count(tick.escalated));
    if tick.shed > 0 {
        tracing::warn!(alerts = tick.shed, "alerts of lower tiers were left for later: evaluation takes too long");
    }
}

/// What delivers the outbox.
pub(crate) struct Desk {
    database: Database,
    clock: Arc<dyn Clock>,
    courier: Arc<Courier>,
    breakers: Arc<Mutex<BTreeMap<String, Breaker>>>,
    under_way: JoinSet<()>,
    /// The events that are under way, with their sinks: the outbox gives them out until they are settled.
    in_hand: BTreeMap<tokio::task::Id, (String, String)>,
}

impl Desk {
    /// # Errors
    /// When there is no way to send anything.
    pub(crate) fn new(database: Database, clock: Arc<dyn Clock>) -> std::io::Result<Desk> {
        let courier = Arc::new(Courier::new().map_err(std::io::Error::other)?);
        let (under_way, in_hand) = (JoinSet::new(), BTreeMap::new());
        Ok(Desk { database, clock, courier, breakers: Arc::default(), under_way, in_hand })
    }

    /// Begins an attempt at each event that is due and whose sink takes any, and waits for none. Gives how many there were. Attempts
    /// that are dropped are made again.
    pub(crate) fn begin(&mut self) -> usize {
        while let Some(ended) = self.under_way.try_join_next_with_id() {
            self.put_down(&ended);
        }
        // Only now, so that what was settled meanwhile is not given out again.
        let due = match self.database.deliveries(self.clock.now_ns()) {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read");
                return 0;
            }
        };
        let mut begun = 0;
        for delivery in due {
            let event = (delivery.sink.clone(), delivery.event_id.clone());
            let is_full = self.under_way.len() >= ATTEMPTS_MAX
                || self.in_hand.values().filter(|(sink, _)| *sink == event.0).count() >= ATTEMPTS_PER_SINK_MAX;
            if is_full || self.in_hand.values().any(|known| *known == event) {
                continue;
            }
            let now_ns = self.clock.now_ns();
            if lock(&self.breakers).entry(delivery.sink.clone()).or_default().allows(now_ns).is_err() {
                continue;
            }
            let (database, clock) = (self.database.clone(), Arc::clone(&self.clock));
            let (courier, breakers) = (Arc::clone(&self.courier), Arc::clone(&self.breakers));
            let attempt = async move { attempt(&delivery, &courier, &breakers, &database, clock.as_ref()).await };
            self.in_hand.insert(self.under_way.spawn(attempt).id(), event);
            begun += 1;
        }
        begun
    }

    /// As [`Desk::begin`], and waits until all attempts have ended.
    pub(crate) async fn round(&mut self) -> usize {
        let begun = self.begin();
        while let Some(ended) = self.under_way.join_next_with_id().await {
            self.put_down(&ended);
        }
        begun
    }

    fn put_down(&mut self, ended: &Result<(tokio::task::Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        self.in_hand.remove(&id);
    }
}

/// Delivers what is in the outbox until it has to stop; attempts under way then are made again after the next start.
pub(crate) async fn deliver(
    database: Database,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
) -> std::io::Result<()> {
    let mut desk = Desk::new(database, clock)?;
    while !rest(DELIVER_EVERY, &stopping).await {
        desk.begin();
    }
    Ok(())
}

fn lock(breakers: &Mutex<BTreeMap<String, Breaker>>) -> std::sync::MutexGuard<'_, BTreeMap<String, Breaker>> {
    breakers.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn attempt(
    due: &plimsoll_query::Delivery,
    courier: &Courier,
    breakers: &Mutex<BTreeMap<String, Breaker>>,
    database: &Database,
    clock: &dyn Clock,
) {
    let now_ns = clock.now_ns();
    let outcome = match Target::of(&due.options) {
        Ok(target) => {
            let delivery = Delivery {
                event_id: due.event_id.clone(),
                target,
                body: due.body.clone(),
                created_ns: due.created_ns,
                attempts: due.attempts,
            };
            courier.attempt(&delivery, now_ns, rand::random::<f64>()).await
        }
        Err(why) => Outcome::Dead { why },
    };
    let (was_paused, is_paused) = {
        let mut all = lock(breakers);
        let breaker = all.entry(due.sink.clone()).or_default();
        let was_paused = breaker.is_paused();
        breaker.record(outcome.is_settled(), clock.now_ns());
        (was_paused, breaker.is_paused())
    };
    gauge!("plimsoll_sink_paused", "sink" => due.sink.clone()).set(f64::from(u8::from(is_paused)));
    if is_paused != was_paused {
        let doing = if is_paused { "fails again and again: its events wait for a probe" } else { "works again" };
        tracing::warn!(sink = due.sink, "the sink {doing}");
    }
    let (word, settled) = match outcome {
        Outcome::Delivered { status } => ("delivered", Settled::Delivered(status)),
        Outcome::Later { at_ns, why } => ("later", Settled::Later(at_ns, why)),
        Outcome::Dead { why } => ("dead", Settled::Dead(why)),
        Outcome::Gone { why } => ("gone", Settled::Gone(why)),
    };
    counter!("plimsoll_deliveries_total", "outcome" => word).increment(1);
    match &settled {
        Settled::Delivered(_) => {}
        Settled::Later(_, why) => {
            tracing::warn!(sink = due.sink, event = due.event_id, why, "not delivered; tried again");
        }
        Settled::Dead(why) | Settled::Gone(why) => {
            tracing::error!(sink = due.sink, event = due.event_id, why, "a dead letter");
        }
    }
    let settling = {
        let (database, due) = (database.clone(), due.clone());
        let now_ns = clock.now_ns();
        tokio::task::spawn_blocking(move || database.settle(&due, &settled, now_ns)).await
    };
    match settling {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "what became of a delivery cannot be stored; it is made again"),
        Err(error) => tracing::error!(%error, "what became of a delivery cannot be stored; it is made again"),
    }
}

/// Rests; true means stop.
async fn rest(rest: Duration, stopping: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(rest) => false,
        () = stopping.cancelled() => true,
    }
}

fn seconds(started_ns: i64, now_ns: i64) -> f64 {
    Duration::from_nanos(u64::try_from(now_ns.saturating_sub(started_ns)).unwrap_or(0)).as_secs_f64()
}
