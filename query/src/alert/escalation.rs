//! Who is told next of an incident. Due times are absolute and stored, so they survive a restart.

use std::collections::BTreeSet;

use super::{ACTOR, span_ns};
use crate::catalog::Definitions;
use crate::dialect::{Definition, Kind, Policy};
use crate::ops::{Named, Row, Transaction, Value, incident};
use crate::session::Session;
use crate::{Database, Error, Result};

/// The pause between two cycles of a policy that has one step.
const CYCLE_NS: i64 = 30 * super::MINUTE_NS;

fn policy<'a>(name: &str, definitions: &'a Definitions) -> Option<(&'a Policy, u64)> {
    let object = definitions.find(Kind::Policy, name)?;
    match &object.definition {
        Definition::Policy(policy) => Some((policy, object.version)),
        _ => None,
    }
}

/// The steps of a policy, planned for an incident from a time on.
///
/// # Errors
/// Those of the store.
pub(super) fn plan(
    transaction: &mut Transaction<'_>,
    incident_id: i64,
    round: i64,
    cycle: i64,
    name: &str,
    from_ns: i64,
    definitions: &Definitions,
) -> Result<()> {
    let tables = incident::tables()?;
    let Some((policy, version)) = policy(name, definitions) else { return Ok(()) };
    for (at, step) in policy.steps.iter().enumerate() {
        let due_ns = from_ns.saturating_add(span_ns("AFTER", &step.after)?);
        let integer = |number: i64| Some(Value::Integer(number));
        let values = [
            ("incident_id", integer(incident_id)),
            ("policy", Some(Value::Text(name.to_owned()))),
            ("version", integer(i64::try_from(version).unwrap_or(i64::MAX))),
            ("round", integer(round)),
            ("cycle", integer(cycle)),
            ("step", integer(i64::try_from(at).unwrap_or(i64::MAX))),
            ("due_at", Some(Value::Time(due_ns))),
            ("notify", Some(Value::Text(step.notify.join(",")))),
            ("condition", step.when.as_ref().map(|when| Value::Text(when.text.clone()))),
        ];
        transaction.insert(tables.escalation, &values)?;
    }
    Ok(())
}

/// A step that is due.
struct Due {
    number: u64,
    incident_id: i64,
    policy: String,
    notify: BTreeSet<String>,
    condition: Option<String>,
}

/// Takes the steps that are due. Gives how many, and when the next one is.
///
/// # Errors
/// Those of the store; a condition that fails counts as true, so that somebody hears of it.
pub(super) async fn take(session: &Session, now_ns: i64) -> Result<(usize, Option<i64>)> {
    let database = session.database().clone();
    let tables = incident::tables()?;
    let definitions = database.catalog().definitions();
    let mut due = Vec::new();
    let mut next_ns: Option<i64> = None;
    for (number, row) in &database.ops().rows(tables.escalation) {
        let row = Named::new(tables.escalation, row);
        let (Some("waiting"), Some(due_ns)) = (row.text("state"), row.time_ns("due_at")) else { continue };
        if due_ns > now_ns || !is_open_now(row.text("policy").unwrap_or_default(), now_ns, &definitions, &database) {
            next_ns = Some(next_ns.map_or(due_ns, |next: i64| next.min(due_ns)));
            continue;
        }
        let notify = row.text("notify").unwrap_or_default();
        due.push((
            due_ns,
            Due {
                number: *number,
                incident_id: row.integer("incident_id").unwrap_or(0),
                policy: row.text("policy").unwrap_or_default().to_owned(),
                notify: notify.split(',').map(str::to_owned).collect(),
                condition: row.text("condition").map(str::to_owned),
            },
        ));
    }
    due.sort_by_key(|(due_ns, step)| (*due_ns, step.number));
    let taken = due.len();
    for (_, step) in due {
        let holds = match &step.condition {
            Some(condition) => holds(condition, step.incident_id, session, now_ns).await,
            None => Ok(true),
        };
        database.ops().transaction(&ACTOR.into(), now_ns, |transaction| settle(transaction, &step, &holds))?;
    }
    Ok((taken, next_ns))
}

fn settle(transaction: &mut Transaction<'_>, step: &Due, holds: &Result<bool>) -> Result<()> {
    let tables = incident::tables()?;
    let escalations = transaction.held(tables.escalation);
    let still = escalations.rows().get(&step.number).map(|row| Named::new(tables.escalation, row));
    if still.is_none_or(|row| row.text("state") != Some("waiting")) {
        return Ok(());
    }
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let done = |state: &str, note: Option<String>| {
        [("state", text(state)), ("done_at", Some(Value::Time(transaction.now_ns()))), ("note", note.map(Value::Text))]
    };
    let set = match holds {
        Ok(true) => done("sent", None),
        Ok(false) => done("skipped", Some("its condition did not hold".to_owned())),
        Err(error) => done("sent", Some(format!("its condition failed: {error}"))),
    };
    transaction.set(tables.escalation, step.number, &set)?;
    if matches!(holds, Ok(false)) {
        return Ok(());
    }
    let Some((number, row)) = find(transaction, step.incident_id)? else { return Ok(()) };
    let is_new = Named::new(tables.incident, &row).integer("sequence") == Some(0);
    let event = if is_new { "incident.opened" } else { "incident.escalated" };
    let detail = serde_json::json!({ "policy": step.policy, "notify": step.notify });
    incident::record(transaction, &tables, step.incident_id, "escalated", &detail)?;
    incident::tell(transaction, &tables, number, event, &step.notify)
}

/// An incident by its id.
pub(super) fn find(transaction: &Transaction<'_>, id: i64) -> Result<Option<(u64, std::sync::Arc<Row>)>> {
    let tables = incident::tables()?;
    let held = transaction.held(tables.incident);
    Ok(held.find(&["id"], &[Value::Integer(id)]).map(|(number, row)| (number, row.clone())))
}

/// Whether a condition holds of an incident. NULL does not hold.
async fn holds(condition: &str, incident_id: i64, session: &Session, now_ns: i64) -> Result<bool> {
    use datafusion::arrow::array::{Array, AsArray};
    let batches = session.rows_of(&condition_text(condition, &format!("id = {incident_id}")), now_ns).await?;
    let first = batches.iter().find(|batch| batch.num_rows() > 0);
    Ok(first.is_some_and(|batch| {
        batch.column(0).as_boolean_opt().is_some_and(|column| column.is_valid(0) && column.value(0))
    }))
}

/// The query of a condition. Besides the columns of `ops.incident` it can use `acknowledged` and `resolved`.
fn condition_text(condition: &str, which: &str) -> String {
    format!(
        "SELECT ({condition}\n) FROM (SELECT *, acknowledged_at IS NOT NULL AS acknowledged, \
         resolved_at IS NOT NULL AS resolved FROM ops.incident WHERE {which}) AS incident"
    )
}

/// Checks the conditions, lengths of time and calendar of a policy.
///
/// # Errors
/// Whatever is wrong with them, where it stands in the statement.
pub(crate) fn check(policy: &Policy, session: &Session, now_ns: i64) -> Result<()> {
    for step in &policy.steps {
        span_ns("AFTER", &step.after)?;
        let Some(when) = &step.when else { continue };
        let text = condition_text(&when.text, "false");
        let planned = crate::parse(&text).and_then(|statements| match statements.as_slice() {
            [statement] => {
                let planned = session.prepare(statement, &[], now_ns)?;
                planned.columns().iter().try_for_each(|column| super::evaluate::is_truth("WHEN", &column.data_type))
            }
            _ => Err(Error::definition("KP001", "a condition is one expression")),
        });
        planned.map_err(|error| error.moved("SELECT (".len(), when.offset))?;
    }
    Ok(())
}

/// Whether a policy works at a time: always without a calendar.
fn is_open_now(name: &str, now_ns: i64, definitions: &Definitions, database: &Database) -> bool {
    let Some((policy, _)) = policy(name, definitions) else { return true };
    let Some(calendar) = policy.options.text("calendar") else { return true };
    match crate::relation::calendar_of(calendar, definitions, database) {
        Ok(calendar) => calendar.open_between(now_ns, now_ns.saturating_add(1)).contains(now_ns),
        Err(_) => true,
    }
}

/// Goes on with incidents that nobody has taken up: plans steps where there are none yet, plans them again where a policy is
/// repeated, takes acknowledgements back that have run out, reminds. Gives whether anything changed.
///
/// # Errors
/// Those of the store.
pub(super) fn go_on(database: &Database, now_ns: i64) -> Result<bool> {
    let definitions = database.catalog().definitions();
    let tables = incident::tables()?;
    let open = |row: &Named<'_>| row.text("state").is_some_and(incident::is_open) && row.text("policy").is_some();
    let rows = database.ops().rows(tables.incident);
    let candidates: Vec<u64> =
        rows.iter().filter(|(_, row)| open(&Named::new(tables.incident, row))).map(|(number, _)| *number).collect();
    if candidates.is_empty() {
        return Ok(false);
    }
    database.ops().transaction(&ACTOR.into(), now_ns, |transaction| {
        let mut changed = false;
        for number in candidates {
            let Some(row) = transaction.held(tables.incident).rows().get(&number).cloned() else { continue };
            let row = Named::new(tables.incident, &row);
            if open(&row) {
                changed |= go_on_with(transaction, &tables, number, &row, &definitions)?;
            }
        }
        Ok(changed)
    })
}

fn go_on_with(
    transaction: &mut Transaction<'_>,
    tables: &incident::Tables,
    number: u64,
    row: &Named<'_>,
    definitions: &Definitions,
) -> Result<bool> {
    let now_ns = transaction.now_ns();
    let (Some(id), Some(name)) = (row.integer("id"), row.text("policy")) else { return Ok(false) };
    let Some((policy, _)) = policy(name, definitions) else { return Ok(false) };
    let round = row.integer("reopened").unwrap_or(0);
    let held = transaction.held(tables.escalation);
    let steps: Vec<Named<'_>> = held
        .rows()
        .values()
        .map(|step| Named::new(tables.escalation, step))
        .filter(|step| step.integer("incident_id") == Some(id) && step.integer("round") == Some(round))
        .collect();
    if steps.is_empty() {
        plan(transaction, id, round, 0, name, now_ns, definitions)?;
        return Ok(true);
    }
    if let (Some(timeout), Some("acknowledged"), Some(taken_ns)) =
        (policy.options.text("ack_timeout"), row.text("state"), row.time_ns("acknowledged_at"))
        && now_ns >= taken_ns.saturating_add(span_ns("ack_timeout", timeout)?)
    {
        let cycle = steps.iter().filter_map(|step| step.integer("cycle")).max().unwrap_or(0);
        let set = [("state", Some(Value::Text("new".to_owned()))), ("acknowledged_at", None)];
        transaction.set(tables.incident, number, &set)?;
        plan(transaction, id, round, cycle.saturating_add(1), name, now_ns, definitions)?;
        return Ok(true);
    }
    let is_taken_up = row.time_ns("acknowledged_at").is_some();
    let repeat: i64 = policy.options.text("repeat").and_then(|text| text.parse().ok()).unwrap_or(0);
    let last = steps.iter().max_by_key(|step| (step.integer("cycle"), step.integer("step")));
    let cycle = last.and_then(|step| step.integer("cycle")).unwrap_or(0);
    let is_through = steps.iter().all(|step| step.text("state") != Some("waiting"));
    if is_taken_up || !is_through || cycle >= repeat {
        return Ok(false);
    }
    let due_ns = last.and_then(|step| step.time_ns("due_at")).unwrap_or(now_ns);
    let from_ns = due_ns.saturating_add(pause_ns(policy)?);
    if now_ns < from_ns {
        return Ok(false);
    }
    plan(transaction, id, round, cycle + 1, name, from_ns.max(now_ns), definitions)?;
    Ok(true)
}

/// How long after its last step a policy begins anew: as long as the last step comes after the one before.
fn pause_ns(policy: &Policy) -> Result<i64> {
    let mut after = Vec::new();
    for step in &policy.steps {
        after.push(span_ns("AFTER", &step.after)?);
    }
    Ok(match after.as_slice() {
        [.., before, last] if last > before => last - before,
        _ => CYCLE_NS,
    })
}
