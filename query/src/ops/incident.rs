//! The life of an incident: what follows from a change of its row, whoever made it.
//!
//! ```text
//! new ─► acknowledged ─► in_progress ⇄ awaiting_* ─► resolved ─► closed
//!  ▲                                                     │
//!  └──────────────────── reopened ◄──────────────────────┘
//! ```
//! Any open state may follow any other; what is closed stays closed. Times are filled in, a step is written for each change, and
//! whoever was told of the incident is told of it too.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::{Named, Row, Table, Transaction, Value, find};
use crate::{Error, Result};

const RESOLVED: &str = "resolved";
const CLOSED: &str = "closed";
const REOPENED: &str = "reopened";

/// True while somebody has to do something.
pub(crate) fn is_open(state: &str) -> bool {
    !matches!(state, RESOLVED | CLOSED)
}

/// The tables that an incident is spread over.
pub(crate) struct Tables {
    pub(crate) incident: &'static Table,
    pub(crate) event: &'static Table,
    pub(crate) escalation: &'static Table,
    pub(crate) delivery: &'static Table,
    pub(crate) review: &'static Table,
}

/// # Errors
/// None: the tables are built in.
pub(crate) fn tables() -> Result<Tables> {
    Ok(Tables {
        incident: built_in("incident")?,
        event: built_in("incident_event")?,
        escalation: built_in("escalation")?,
        delivery: of_system("delivery")?,
        review: built_in("review")?,
    })
}

/// A table of the schema `ops` that there is.
pub(crate) fn built_in(name: &str) -> Result<&'static Table> {
    find(name).ok_or_else(missing)
}

/// A table of the schema `sys` that there is.
pub(crate) fn of_system(name: &str) -> Result<&'static Table> {
    super::find_in(crate::system::SCHEMA, name).ok_or_else(missing)
}

fn missing() -> Error {
    Error::Internal("a built-in table is missing".to_owned())
}

/// Does what follows from the changes of incidents in a transaction.
///
/// # Errors
/// [`Error::Check`] for a step that there is not, and for closing a priority 1 without a review.
pub(super) fn follow(transaction: &mut Transaction<'_>) -> Result<()> {
    let tables = tables()?;
    let begun = begun(transaction, &tables);
    for (number, before) in transaction.changed(tables.incident) {
        let Some(after) = transaction.held(tables.incident).rows().get(&number).cloned() else { continue };
        match before {
            Some(before) => changed(transaction, &tables, number, &before, &after)?,
            None => entered(transaction, &tables, number, &after, &begun)?,
        }
    }
    Ok(())
}

/// The incidents whose opening is written down in a transaction.
fn begun(transaction: &Transaction<'_>, tables: &Tables) -> BTreeSet<i64> {
    let held = transaction.held(tables.event);
    let numbers = transaction.changed(tables.event).into_iter().map(|(number, _)| number);
    let events = numbers.filter_map(|number| Some(Named::new(tables.event, held.rows().get(&number)?)));
    events
        .filter(|event| event.text("event") == Some("opened"))
        .filter_map(|event| event.integer("incident_id"))
        .collect()
}

/// Writes down what is known of the course of an incident that comes in from elsewhere: that it was opened, and how far it is.
fn entered(
    transaction: &mut Transaction<'_>,
    tables: &Tables,
    number: u64,
    row: &Arc<Row>,
    begun: &BTreeSet<i64>,
) -> Result<()> {
    let row = Named::new(tables.incident, row);
    let id = row.integer("id").unwrap_or(0);
    if begun.contains(&id) {
        return Ok(());
    }
    let (state, now) = (row.text("state").unwrap_or("new"), Some(Value::Time(transaction.now_ns())));
    let external_id = row.text("external_id").map_or_else(|| json!({}), |name| json!({ "external_id": name }));
    record_at(transaction, tables, id, "opened", &external_id, row.time_ns("opened_at"))?;
    if state == "new" {
        return Ok(());
    }
    record_at(transaction, tables, id, state, &json!({ "to": state }), time_of(&row, state))?;
    let mut set: Vec<(&str, Option<Value>)> = Vec::new();
    if !is_open(state) && row.time_ns("resolved_at").is_none() {
        set.push(("resolved_at", later(&row, &row.time_ns("closed_at").map(Value::Time).or_else(|| now.clone()))));
    }
    if state == CLOSED && row.time_ns("closed_at").is_none() {
        set.push(("closed_at", later(&row, &now)));
    }
    transaction.set(tables.incident, number, &set)
}

/// When an incident came into its state, as far as its row says so.
fn time_of(row: &Named<'_>, state: &str) -> Option<i64> {
    match state {
        "acknowledged" => row.time_ns("acknowledged_at"),
        RESOLVED => row.time_ns("resolved_at"),
        CLOSED => row.time_ns("closed_at"),
        _ => None,
    }
}

fn changed(
    transaction: &mut Transaction<'_>,
    tables: &Tables,
    number: u64,
    before: &Arc<Row>,
    after: &Arc<Row>,
) -> Result<()> {
    let (old, new) = (Named::new(tables.incident, before), Named::new(tables.incident, after));
    let (was, is) = (old.text("state").unwrap_or("new").to_owned(), new.text("state").unwrap_or("new").to_owned());
    let id = new.integer("id").unwrap_or(0);
    if was != is {
        allowed(transaction, tables, &was, &is, &new)?;
        let now = Some(Value::Time(transaction.now_ns()));
        let mut set: Vec<(&str, Option<Value>)> = Vec::new();
        let is_taken_up = is_open(&is) && is != "new" && is != REOPENED;
        if is_taken_up && new.time_ns("acknowledged_at").is_none() {
            set.push(("acknowledged_at", later(&new, &now)));
        }
        if !is_open(&is) && new.time_ns("resolved_at").is_none() {
            set.push(("resolved_at", later(&new, &now)));
        }
        if is == CLOSED && new.time_ns("closed_at").is_none() {
            set.push(("closed_at", later(&new, &now)));
        }
        if is == REOPENED {
            let times = new.integer("reopened").unwrap_or(0);
            if new.integer("reopened") == old.integer("reopened") {
                set.push(("reopened", Some(Value::Integer(times.saturating_add(1)))));
            }
            set.extend([("resolved_at", None), ("closed_at", None), ("acknowledged_at", None)]);
        }
        if let Some(paused) = paused(new.text("paused"), &was, &is, transaction.now_ns()) {
            set.push(("paused", Some(Value::Text(paused))));
        }
        transaction.set(tables.incident, number, &set)?;
        if !is_open(&is) {
            stop_escalation(transaction, tables, id)?;
        }
        let detail = json!({ "from": was, "to": is });
        // The desk may say when it was.
        let said_ns = time_of(&new, &is).filter(|at_ns| time_of(&old, &is) != Some(*at_ns));
        record_at(transaction, tables, id, &is, &detail, said_ns)?;
        tell_all(transaction, tables, number, &format!("incident.{is}"))?;
    }
    if was == CLOSED && is == CLOSED && old.integer("priority") != new.integer("priority") {
        reviewed(transaction, tables, &new)?;
    }
    let ranks = ["priority", "impact", "urgency"];
    if ranks.iter().any(|rank| old.integer(rank) != new.integer(rank)) && is_open(&is) {
        let of = |row: &Named<'_>| ranks.map(|rank| (rank.to_owned(), json!(row.integer(rank)))).into_iter();
        let detail = json!({ "from": of(&old).collect::<Map<_, _>>(), "to": of(&new).collect::<Map<_, _>>() });
        record(transaction, tables, id, "priority_changed", &detail)?;
        if old.integer("priority") != new.integer("priority") {
            tell_all(transaction, tables, number, "incident.priority_changed")?;
        }
    }
    Ok(())
}

/// True while the clock of a promise stands still: others have to act.
fn pauses(state: &str) -> bool {
    matches!(state, "awaiting_user" | "awaiting_vendor")
}

/// The pauses of an incident after a change of its state; `None` when they stay as they are.
fn paused(before: Option<&str>, was: &str, is: &str, now_ns: i64) -> Option<String> {
    let now = rfc3339(now_ns);
    let before = before.unwrap_or("{}");
    match (pauses(was), pauses(is)) {
        (false, true) => {
            let ranges = before.strip_suffix('}')?;
            let comma = if ranges.ends_with('{') { "" } else { "," };
            Some(format!("{ranges}{comma}[{now},)}}"))
        }
        (true, false) => Some(format!("{}{now})}}", before.strip_suffix(")}")?)),
        _ => None,
    }
}

/// A time that is not before the incident's beginning: the clock of a service desk may be ahead of ours.
fn later(incident: &Named<'_>, now: &Option<Value>) -> Option<Value> {
    match (incident.time_ns("opened_at"), now) {
        (Some(opened_ns), Some(Value::Time(now_ns))) => Some(Value::Time(opened_ns.max(*now_ns))),
        _ => now.clone(),
    }
}

fn allowed(transaction: &Transaction<'_>, tables: &Tables, was: &str, is: &str, row: &Named<'_>) -> Result<()> {
    let refused = |hint: String| {
        let (table, column) = (tables.incident.name.to_owned(), "state".to_owned());
        Err(Error::Check { table, column, hint })
    };
    if was == CLOSED {
        return refused("What is closed stays closed: a new incident is opened instead.".to_owned());
    }
    if is == REOPENED && is_open(was) {
        return refused(format!("It is {was}: only what is resolved can be reopened."));
    }
    if was == RESOLVED && is_open(is) && is != REOPENED {
        return refused("It is resolved: it can be closed or reopened.".to_owned());
    }
    if is == CLOSED { reviewed(transaction, tables, row) } else { Ok(()) }
}

/// Checks that an incident of priority 1 was reviewed.
fn reviewed(transaction: &Transaction<'_>, tables: &Tables, row: &Named<'_>) -> Result<()> {
    let id = row.integer("id");
    let reviews = transaction.held(tables.review);
    let mut reviews = reviews.rows().values().map(|review| Named::new(tables.review, review));
    if row.integer("priority") != Some(1) || reviews.any(|review| review.integer("incident_id") == id) {
        return Ok(());
    }
    let hint = format!(
        "An incident of priority 1 is closed after a review: INSERT INTO ops.review (incident_id, summary) VALUES ({}, '...').",
        id.unwrap_or(0)
    );
    Err(Error::Check { table: tables.incident.name.to_owned(), column: "state".to_owned(), hint })
}

fn stop_escalation(transaction: &mut Transaction<'_>, tables: &Tables, id: i64) -> Result<()> {
    let held = transaction.held(tables.escalation);
    let now = Some(Value::Time(transaction.now_ns()));
    for (number, row) in held.rows() {
        let row = Named::new(tables.escalation, row);
        if row.integer("incident_id") == Some(id) && row.text("state") == Some("waiting") {
            let stopped = Some(Value::Text("stopped".to_owned()));
            transaction.set(tables.escalation, *number, &[("state", stopped), ("done_at", now.clone())])?;
        }
    }
    Ok(())
}

/// Enters an incident, with the step that opens it. Gives the number of its row, and its own.
///
/// # Errors
/// Those of an insert.
pub(crate) fn enter(
    transaction: &mut Transaction<'_>,
    tables: &Tables,
    values: &[(&str, Option<Value>)],
    detail: &Json,
) -> Result<(u64, i64)> {
    let number = transaction.insert(tables.incident, values)?;
    let held = transaction.held(tables.incident);
    let id = held.rows().get(&number).and_then(|row| Named::new(tables.incident, row).integer("id")).unwrap_or(0);
    record(transaction, tables, id, "opened", detail)?;
    Ok((number, id))
}

/// Writes down a step in the course of an incident.
///
/// # Errors
/// Those of an insert.
pub(crate) fn record(
    transaction: &mut Transaction<'_>,
    tables: &Tables,
    incident_id: i64,
    event: &str,
    detail: &Json,
) -> Result<()> {
    record_at(transaction, tables, incident_id, event, detail, None)
}

/// The same, with when it was where that is not now.
fn record_at(
    transaction: &mut Transaction<'_>,
    tables: &Tables,
    incident_id: i64,
    event: &str,
    detail: &Json,
    at_ns: Option<i64>,
) -> Result<()> {
    let mut values = vec![
        ("incident_id", Some(Value::Integer(incident_id))),
        ("event", Some(Value::Text(event.to_owned()))),
        ("detail", Some(Value::Text(detail.to_string()))),
    ];
    values.extend(at_ns.map(|at_ns| ("at", Some(Value::Time(at_ns)))));
    transaction.insert(tables.event, &values).map(|_| ())
}

/// Tells everybody who was told of the incident before.
///
/// # Errors
/// Those of an insert.
pub(crate) fn tell_all(transaction: &mut Transaction<'_>, tables: &Tables, number: u64, event: &str) -> Result<()> {
    let held = transaction.held(tables.incident);
    let Some(row) = held.rows().get(&number) else { return Ok(()) };
    let id = Named::new(tables.incident, row).integer("id");
    let deliveries = transaction.held(tables.delivery);
    let told = deliveries.rows().values().map(|row| Named::new(tables.delivery, row));
    let told = told.filter(|row| row.integer("incident_id") == id).filter_map(|row| row.text("sink"));
    let sinks: BTreeSet<String> = told.map(str::to_owned).collect();
    tell(transaction, tables, number, event, &sinks)
}

/// Puts an event of an incident into the outbox, for some sinks. Does nothing without any.
///
/// # Errors
/// Those of an insert.
pub(crate) fn tell(
    transaction: &mut Transaction<'_>,
    tables: &Tables,
    number: u64,
    event: &str,
    sinks: &BTreeSet<String>,
) -> Result<()> {
    let held = transaction.held(tables.incident);
    let Some(row) = held.rows().get(&number).filter(|_| !sinks.is_empty()) else { return Ok(()) };
    let incident = Named::new(tables.incident, row);
    let sequence = incident.integer("sequence").unwrap_or(0).saturating_add(1);
    let now_ns = transaction.now_ns();
    let event_id = event_id(now_ns);
    let body = body(&incident, event, &event_id, sequence).to_string();
    let of = incident.integer("id").map(|id| (id, sequence));
    for sink in sinks {
        post(transaction, sink, of, event, &event_id, &body)?;
    }
    let set = [("sequence", Some(Value::Integer(sequence))), ("notified_at", Some(Value::Time(now_ns)))];
    transaction.set(tables.incident, number, &set)
}

/// Puts an event into the outbox, for one sink; `of` is the incident that it is of and which of its events it is.
///
/// # Errors
/// Those of an insert.
pub(crate) fn post(
    transaction: &mut Transaction<'_>,
    sink: &str,
    of: Option<(i64, i64)>,
    event: &str,
    event_id: &str,
    body: &str,
) -> Result<()> {
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let values = [
        ("event_id", text(event_id)),
        ("sink", text(sink)),
        ("incident_id", of.map(|(id, _)| Value::Integer(id))),
        ("sequence", of.map(|(_, sequence)| Value::Integer(sequence))),
        ("event", text(event)),
        ("body", text(body)),
        ("next_at", Some(Value::Time(transaction.now_ns()))),
    ];
    transaction.insert(of_system("delivery")?, &values).map(|_| ())
}

/// A name of an event: a UUID of version 7 (RFC 9562), which sorts by time.
pub(crate) fn event_id(now_ns: i64) -> String {
    let now_ns = now_ns.max(0);
    let seconds = u64::try_from(now_ns / 1_000_000_000).unwrap_or(0);
    let nanos = u32::try_from(now_ns % 1_000_000_000).unwrap_or(0);
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)).to_string()
}

/// What is told of an incident: `incident_v1`.
fn body(incident: &Named<'_>, event: &str, event_id: &str, sequence: i64) -> Json {
    let time = |name: &str| incident.time_ns(name).map(rfc3339);
    let mut body = json!({
        "schema": "incident_v1",
        "event_id": event_id,
        "event": event,
        "sequence": sequence,
        "incident": {
            "id": incident.integer("id"),
            "external_id": incident.text("external_id"),
            "key": incident.text("key"),
            "title": incident.text("title"),
            "state": incident.text("state"),
            "severity": incident.text("severity"),
            "priority": incident.integer("priority"),
            "impact": incident.integer("impact"),
            "urgency": incident.integer("urgency"),
            "opened_at": time("opened_at"),
            "acknowledged_at": time("acknowledged_at"),
            "resolved_at": time("resolved_at"),
            "reopened": incident.integer("reopened"),
            "members": incident.integer("members"),
            "assignee": incident.text("assignee"),
        },
    });
    let story = incident.text("story").and_then(|text| serde_json::from_str::<Map<String, Json>>(text).ok());
    if let Some(all) = body.as_object_mut() {
        for part in ["service", "signal", "slo", "context", "annotations"] {
            let told = story.as_ref().and_then(|story| story.get(part)).cloned();
            all.insert(part.to_owned(), told.unwrap_or(Json::Null));
        }
    }
    body
}

/// An instant as RFC 3339 has it, in UTC, with as many digits as it needs.
pub(crate) fn rfc3339(ns: i64) -> String {
    chrono::DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
