//! The outbox as whoever delivers it sees it: what is due, and what became of it.
//!
//! Events of one incident go to one sink in their order: the next is due when the one before is delivered or given up.

use std::collections::BTreeSet;

use super::ACTOR;
use super::internal::{self, Ailing};
use crate::dialect::{Definition, Kind};
use crate::ops::incident::of_system as table;
use crate::ops::{Named, Table, Transaction, Value};
use crate::{Database, Error, Result};

/// An event for one sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its name, the same over all attempts and sinks.
    pub event_id: String,
    /// The sink.
    pub sink: String,
    /// What is told: `incident_v1`.
    pub body: String,
    /// When it happened, in nanoseconds since the Unix epoch.
    pub created_ns: i64,
    /// How often it was tried before.
    pub attempts: u32,
    /// The options of the sink, secrets among them.
    pub options: SinkOptions,
}

/// The options of a sink. Their values do not show in `Debug`.
#[derive(Clone, PartialEq)]
pub struct SinkOptions(crate::dialect::Options);

impl SinkOptions {
    pub(crate) fn new(options: &crate::dialect::Options) -> SinkOptions {
        SinkOptions(options.clone())
    }

    /// The value of an option as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.text(name)
    }
}

impl std::fmt::Debug for SinkOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SinkOptions").finish_non_exhaustive()
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Settled {
    /// It arrived. With what the sink answered.
    Delivered(String),
    /// It is tried again, not before a time in nanoseconds since the Unix epoch.
    Later(i64, String),
    /// It is given up: a dead letter.
    Dead(String),
    /// It is given up, and the sink is switched off.
    Gone(String),
}

/// After so many attempts at one event, that a sink fails is an incident of its own.
const FAILING_AFTER: u32 = 5;

impl Database {
    /// The events that are due: of each incident and sink the oldest that is not settled.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn deliveries(&self, now_ns: i64) -> Result<Vec<Delivery>> {
        let (table, states) = (table("delivery")?, table("sink_state")?);
        let definitions = self.catalog().definitions();
        let off = self.ops().rows(states);
        let off: BTreeSet<&str> = off.values().filter_map(|row| Named::new(states, row).text("sink")).collect();
        let mut begun: BTreeSet<(String, Option<i64>)> = BTreeSet::new();
        let mut due = Vec::new();
        for row in self.ops().rows(table).values() {
            let row = Named::new(table, row);
            let (Some("waiting"), Some(sink)) = (row.text("state"), row.text("sink")) else { continue };
            let is_first = begun.insert((sink.to_owned(), row.integer("incident_id")));
            if !is_first || off.contains(sink) || row.time_ns("next_at").is_some_and(|next_ns| next_ns > now_ns) {
                continue;
            }
            let Some(object) = definitions.find(Kind::Sink, sink) else { continue };
            let Definition::Sink(definition) = &object.definition else { continue };
            due.push(Delivery {
                event_id: row.text("event_id").unwrap_or_default().to_owned(),
                sink: sink.to_owned(),
                body: row.text("body").unwrap_or_default().to_owned(),
                created_ns: row.time_ns("created_at").unwrap_or(now_ns),
                attempts: row.integer("attempts").and_then(|times| u32::try_from(times).ok()).unwrap_or(0),
                options: SinkOptions::new(&definition.options),
            });
        }
        Ok(due)
    }

    /// Notes what became of an attempt.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub fn settle(&self, delivery: &Delivery, settled: &Settled, now_ns: i64) -> Result<()> {
        let definitions = self.catalog().definitions();
        let (table, states) = (table("delivery")?, table("sink_state")?);
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        self.ops().transaction(&ACTOR.into(), now_ns, |transaction| {
            let key = [Value::Text(delivery.event_id.clone()), Value::Text(delivery.sink.clone())];
            let held = transaction.held(table);
            let Some((number, _)) = held.find(&["event_id", "sink"], &key) else { return Ok(()) };
            let attempts = Some(Value::Integer(i64::from(delivery.attempts).saturating_add(1)));
            let now = Some(Value::Time(now_ns));
            let set = match settled {
                Settled::Delivered(answer) => {
                    [("state", text("delivered")), ("answer", text(answer)), ("settled_at", now), ("next_at", None)]
                }
                Settled::Later(at_ns, why) => [
                    ("state", text("waiting")),
                    ("answer", text(why)),
                    ("settled_at", None),
                    ("next_at", Some(Value::Time(*at_ns))),
                ],
                Settled::Dead(why) | Settled::Gone(why) => {
                    [("state", text("dead")), ("answer", text(why)), ("settled_at", now), ("next_at", None)]
                }
            };
            transaction.set(table, number, &set)?;
            transaction.set(table, number, &[("attempts", attempts)])?;
            if let Settled::Gone(why) = settled {
                switch_off(transaction, states, &delivery.sink, why)?;
            }
            let ailing = Ailing::Sink(&delivery.sink);
            let title = match settled {
                Settled::Delivered(_) => return internal::over(transaction, ailing),
                Settled::Later(_, why) if delivery.attempts.saturating_add(1) == FAILING_AFTER => {
                    format!("sink {} has failed {FAILING_AFTER} times: {why}", delivery.sink)
                }
                Settled::Later(..) => return Ok(()),
                Settled::Dead(why) => format!("sink {} has a dead letter: {why}", delivery.sink),
                Settled::Gone(why) => format!("sink {} is switched off: {why}", delivery.sink),
            };
            internal::raise(transaction, ailing, &title, None, &definitions)
        })
    }
}

fn switch_off(transaction: &mut Transaction<'_>, states: &'static Table, sink: &str, why: &str) -> Result<()> {
    let held = transaction.held(states);
    match held.find(&["sink"], &[Value::Text(sink.to_owned())]) {
        Some(_) => Ok(()),
        None => {
            let values = [("sink", Some(Value::Text(sink.to_owned()))), ("reason", Some(Value::Text(why.to_owned())))];
            transaction.insert(states, &values).map(|_| ())
        }
    }
}

/// Makes a dead letter wait again. Gives for how many sinks.
///
/// # Errors
/// [`Error::InvalidParameter`] when there is none of that name.
pub(super) fn redeliver(transaction: &mut Transaction<'_>, event_id: &str) -> Result<u64> {
    let table = table("delivery")?;
    let held = transaction.held(table);
    let mut again = 0;
    for (number, row) in held.rows() {
        let row = Named::new(table, row);
        if row.text("event_id") == Some(event_id) && row.text("state") == Some("dead") {
            let now = Some(Value::Time(transaction.now_ns()));
            let waiting = Some(Value::Text("waiting".to_owned()));
            let set = [("state", waiting), ("next_at", now.clone()), ("settled_at", None), ("created_at", now)];
            transaction.set(table, *number, &set)?;
            again += 1;
        }
    }
    match again {
        0 => {
            let message = format!("no dead letter has the event_id '{event_id}'");
            Err(Error::InvalidParameter { name: "event_id".to_owned(), message })
        }
        again => Ok(again),
    }
}

/// Switches a sink on again. Gives whether it was off.
///
/// # Errors
/// Those of the store.
pub(super) fn enable(transaction: &mut Transaction<'_>, sink: &str) -> Result<bool> {
    let states = table("sink_state")?;
    let held = transaction.held(states);
    let found = held.find(&["sink"], &[Value::Text(sink.to_owned())]).map(|(number, _)| number);
    Ok(found.is_some_and(|number| transaction.remove(states, number)))
}
