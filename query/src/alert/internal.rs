//! What the database has to say of itself: an alert that cannot be evaluated, a sink that takes nothing. Each is an incident like
//! any other, one for each cause, which is over by itself when the cause is gone.

use std::collections::BTreeSet;

use serde_json::json;

use crate::Result;
use crate::catalog::Definitions;
use crate::dialect::{Definition, Kind};
use crate::ops::{Named, Transaction, Value, incident};

/// What is not as it should be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ailing<'a> {
    Alert(&'a str),
    Sink(&'a str),
}

impl Ailing<'_> {
    fn key(self) -> String {
        match self {
            Ailing::Alert(name) => format!("plimsoll/alert/{name}"),
            Ailing::Sink(name) => format!("plimsoll/sink/{name}"),
        }
    }
}

/// Opens an incident, unless one of the same cause is open. Those are told whom the policy names, or for a sink all others that
/// stand in a policy with it.
///
/// # Errors
/// Those of the store.
pub(super) fn raise(
    transaction: &mut Transaction<'_>,
    ailing: Ailing<'_>,
    title: &str,
    policy: Option<&str>,
    definitions: &Definitions,
) -> Result<()> {
    if open(transaction, ailing)?.is_some() {
        return Ok(());
    }
    let tables = incident::tables()?;
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let integer = |number: i64| Some(Value::Integer(number));
    let values = [
        ("key", text(&ailing.key())),
        ("title", text(title)),
        ("severity", text("major")),
        ("priority", integer(2)),
        ("policy", policy.and_then(text)),
        ("opened_at", Some(Value::Time(transaction.now_ns()))),
    ];
    let (number, id) = incident::enter(transaction, &tables, &values, &json!({ "cause": title }))?;
    match (ailing, policy) {
        (Ailing::Sink(sink), _) => {
            incident::tell(transaction, &tables, number, "incident.opened", &beside(sink, definitions))
        }
        (Ailing::Alert(_), Some(policy)) => {
            let now_ns = transaction.now_ns();
            super::escalation::plan(transaction, id, 0, 0, policy, now_ns, definitions)
        }
        (Ailing::Alert(_), None) => Ok(()),
    }
}

/// Notes that all is well again.
///
/// # Errors
/// Those of the store.
pub(super) fn over(transaction: &mut Transaction<'_>, ailing: Ailing<'_>) -> Result<()> {
    let Some(number) = open(transaction, ailing)? else { return Ok(()) };
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let set = [("state", text("resolved")), ("resolution", text("it works again"))];
    transaction.set(incident::tables()?.incident, number, &set)
}

/// The row of the incident of a cause, while it is open.
fn open(transaction: &Transaction<'_>, ailing: Ailing<'_>) -> Result<Option<u64>> {
    let table = incident::tables()?.incident;
    let key = ailing.key();
    let held = transaction.held(table);
    let rows = held.rows().iter().rev().map(|(number, row)| (*number, Named::new(table, row)));
    let is_it =
        |row: &Named<'_>| row.text("key") == Some(key.as_str()) && row.text("state").is_some_and(incident::is_open);
    Ok(rows.into_iter().find(|(_, row)| is_it(row)).map(|(number, _)| number))
}

/// The other sinks of the policies that a sink stands in.
fn beside(sink: &str, definitions: &Definitions) -> BTreeSet<String> {
    let mut others = BTreeSet::new();
    for object in definitions.of_kind(Kind::Policy) {
        let Definition::Policy(policy) = &object.definition else { continue };
        let all: BTreeSet<&String> = policy.steps.iter().flat_map(|step| &step.notify).collect();
        if all.iter().any(|name| *name == sink) {
            others.extend(all.into_iter().filter(|name| *name != sink).cloned());
        }
    }
    others
}
