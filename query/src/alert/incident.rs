//! What firing instances open: incidents, action plans, problems. And how it ends.

use serde_json::{Value as Json, json};

use super::machine::Phase;
use super::priority::{self, Reach};
use super::story::{Gathered, service_of};
use super::{Labels, Ticket, Tracked, Watch, span_ns};
use crate::Result;
use crate::catalog::Definitions;
use crate::dialect::{Definition, Kind};
use crate::ops::{Named, Transaction, Value, incident};

fn text(text: &str) -> Option<Value> {
    Some(Value::Text(text.to_owned()))
}

/// What an instance has opened or joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// A new incident.
    Incident(i64),
    /// One that had been resolved.
    Reopened(i64),
    /// One that was open.
    Joined(i64),
    /// Something else than an incident, or nothing new.
    Other,
}

/// Opens, reopens or joins what an instance that fires asks for. One thing is open for each key.
///
/// # Errors
/// Those of the store.
pub(super) fn open(
    transaction: &mut Transaction<'_>,
    watch: &Watch,
    labels: &Labels,
    tracked: &Tracked,
    story: &Json,
    gathered: &Gathered,
    definitions: &Definitions,
) -> Result<Opened> {
    match watch.ticket {
        Ticket::Incident => open_incident(transaction, watch, labels, tracked, story, gathered, definitions),
        Ticket::ActionPlan => open_plan(transaction, watch, labels, tracked, definitions),
        Ticket::Problem => open_problem(transaction, watch, labels, tracked),
        Ticket::None => Ok(Opened::Other),
    }
}

fn open_incident(
    transaction: &mut Transaction<'_>,
    watch: &Watch,
    labels: &Labels,
    tracked: &Tracked,
    story: &Json,
    gathered: &Gathered,
    definitions: &Definitions,
) -> Result<Opened> {
    let tables = incident::tables()?;
    let key = watch.key(labels);
    let now_ns = transaction.now_ns();
    let held = transaction.held(tables.incident);
    let of_key = |row: &Named<'_>| row.text("key") == Some(key.as_str()) && row.text("alert").is_some();
    let rows = held.rows().iter().rev();
    let last = rows.map(|(number, row)| (*number, Named::new(tables.incident, row))).find(|(_, row)| of_key(row));
    let (impact, urgency, rank) = ranks(transaction, watch, tracked, gathered, definitions)?;
    let problem_id = last.as_ref().and_then(|(_, row)| row.integer("problem_id"));
    let problem_id = problem_id.filter(|id| is_open_problem(transaction, *id));
    if let Some((number, row)) = last {
        let (id, state) = (row.integer("id").unwrap_or(0), row.text("state").unwrap_or("new"));
        if incident::is_open(state) {
            let members = row.integer("members").unwrap_or(0).saturating_add(1);
            let mut set = vec![("members", Some(Value::Integer(members)))];
            // While it fires the priority only rises by itself.
            if row.integer("priority").is_none_or(|old| rank < old) {
                set.extend([("priority", Some(Value::Integer(rank))), ("urgency", Some(Value::Integer(urgency)))]);
            }
            transaction.set(tables.incident, number, &set)?;
            let detail = json!({ "alert": watch.name(), "labels": labels });
            incident::record(transaction, &tables, id, "joined", &detail)?;
            return Ok(Opened::Joined(id));
        }
        let resolved_ns = row.time_ns("resolved_at").unwrap_or(i64::MIN);
        if state == "resolved" && now_ns.saturating_sub(resolved_ns) <= watch.reopen_ns {
            let set = [
                ("state", text("reopened")),
                ("members", Some(Value::Integer(1))),
                ("story", text(&story.to_string())),
            ];
            transaction.set(tables.incident, number, &set)?;
            return Ok(Opened::Reopened(id));
        }
    }
    let policy = policy_of(watch, definitions);
    let known = story["context"]["known_errors"][0]["id"].as_i64();
    let title = match watch.service() {
        Some(service) => format!("{} on {service}", watch.name()),
        None => watch.name().to_owned(),
    };
    let integer = |number: i64| Some(Value::Integer(number));
    let values = [
        ("key", text(&key)),
        ("service", watch.service().and_then(text)),
        ("title", text(&title)),
        ("priority", integer(rank)),
        ("impact", integer(impact)),
        ("urgency", integer(urgency)),
        ("opened_at", Some(Value::Time(tracked.instance.since_ns))),
        ("alert", text(watch.name())),
        ("severity", tracked.severity.as_deref().and_then(text)),
        ("policy", policy.as_deref().and_then(text)),
        ("members", integer(1)),
        ("assignee", watch.alert().option_text("assignee").and_then(|name| assignee(name, watch, definitions))),
        ("story", text(&story.to_string())),
        ("known_error_id", known.map(Value::Integer)),
        ("problem_id", problem_id.map(Value::Integer)),
        ("budget_remaining", gathered.slo.as_ref().and_then(|slo| slo.budget_remaining).map(Value::Float)),
    ];
    let detail = json!({ "alert": watch.name(), "labels": labels });
    let (_, id) = incident::enter(transaction, &tables, &values, &detail)?;
    if let Some(policy) = policy {
        let from_ns = now_ns.saturating_add(watch.group_wait_ns);
        super::escalation::plan(transaction, id, 0, 0, &policy, from_ns, definitions)?;
    }
    Ok(Opened::Incident(id))
}

/// The escalation policy of an alert: its own, or that of its service.
pub(super) fn policy_of(watch: &Watch, definitions: &Definitions) -> Option<String> {
    watch.alert().escalate.clone().or_else(|| {
        let service = service_of(watch, definitions)?;
        service.options.text("escalation").map(str::to_owned)
    })
}

/// The owner of the service for `owner`, else the name itself.
fn assignee(name: &str, watch: &Watch, definitions: &Definitions) -> Option<Value> {
    match name {
        "owner" => service_of(watch, definitions)?.owner.as_deref().and_then(text),
        name => text(name),
    }
}

/// Impact, urgency and priority.
fn ranks(
    transaction: &Transaction<'_>,
    watch: &Watch,
    tracked: &Tracked,
    gathered: &Gathered,
    definitions: &Definitions,
) -> Result<(i64, i64, i64)> {
    let dependents = definitions.of_kind(Kind::Service).filter_map(|object| match &object.definition {
        Definition::Service(service) => Some(service),
        _ => None,
    });
    let needs_it = |name: &str| {
        watch.service().is_some_and(|service| super::suppress::hard_dependencies(name, definitions).contains(service))
    };
    let dependent_tier = dependents.filter(|service| needs_it(&service.name)).map(|service| service.tier).min();
    let impact = priority::impact(Reach { tier: watch.tier, dependent_tier });
    let burn_rate = gathered.slo.as_ref().and_then(|slo| slo.burn_rate);
    let urgency = priority::urgency(tracked.severity.as_deref(), burn_rate);
    let (matrix, tiers) = (incident::built_in("priority_matrix")?, incident::built_in("tier_policy")?);
    let held = transaction.held(matrix);
    let cells: Vec<(i64, i64, i64)> = held
        .rows()
        .values()
        .map(|row| Named::new(matrix, row))
        .filter_map(|row| Some((row.integer("impact")?, row.integer("urgency")?, row.integer("priority")?)))
        .collect();
    let held = transaction.held(tiers);
    let policy = held.find(&["tier"], &[Value::Integer(i64::from(watch.tier))]);
    let highest = policy.and_then(|(_, row)| Named::new(tiers, row).integer("max_priority"));
    Ok((impact, urgency, priority::priority(impact, urgency, &cells, highest)))
}

fn open_plan(
    transaction: &mut Transaction<'_>,
    watch: &Watch,
    labels: &Labels,
    tracked: &Tracked,
    definitions: &Definitions,
) -> Result<Opened> {
    let table = incident::built_in("action_plan")?;
    let key = key_at(watch, labels, tracked);
    if transaction.held(table).find(&["key"], &[Value::Text(key.clone())]).is_some() {
        return Ok(Opened::Other);
    }
    let due_ns = match watch.alert().option_text("due") {
        Some(span) => Some(transaction.now_ns().saturating_add(span_ns("due", span)?)),
        None => None,
    };
    let owner = assignee(watch.alert().option_text("assignee").unwrap_or("owner"), watch, definitions);
    let kpi = watch.kpi.as_deref().or_else(|| labels.get("kpi").map(String::as_str));
    let values = [
        ("service", watch.service().and_then(text)),
        ("kpi", kpi.and_then(text)),
        ("owner", owner),
        ("due_at", due_ns.map(Value::Time)),
        ("key", text(&key)),
        ("alert", text(watch.name())),
    ];
    transaction.insert(table, &values)?;
    Ok(Opened::Other)
}

fn open_problem(
    transaction: &mut Transaction<'_>,
    watch: &Watch,
    labels: &Labels,
    tracked: &Tracked,
) -> Result<Opened> {
    let table = incident::built_in("problem")?;
    let key = key_at(watch, labels, tracked);
    if transaction.held(table).find(&["key"], &[Value::Text(key.clone())]).is_some() {
        return Ok(Opened::Other);
    }
    let of: Vec<&str> = labels.values().map(String::as_str).collect();
    let title = if of.is_empty() { watch.name().to_owned() } else { format!("{}: {}", watch.name(), of.join(", ")) };
    let values = [
        ("title", text(&title)),
        ("service", watch.service().and_then(text)),
        ("key", text(&key)),
        ("alert", text(watch.name())),
    ];
    let number = transaction.insert(table, &values)?;
    let held = transaction.held(table);
    let id = held.rows().get(&number).and_then(|row| Named::new(table, row).integer("id"));
    if let Some(id) = id {
        tie(transaction, id, watch, labels)?;
    }
    Ok(Opened::Other)
}

/// Ties the incidents to a problem that it was opened for: those of its service, with the alert and the key that its dimensions
/// name. Without either it is not known which these are.
fn tie(transaction: &mut Transaction<'_>, problem_id: i64, watch: &Watch, labels: &Labels) -> Result<()> {
    let tables = incident::tables()?;
    let named = |name: &str| labels.get(name).map(String::as_str);
    if named("alert").or(named("key")).is_none() {
        return Ok(());
    }
    let of = [("service", named("service").or(watch.service())), ("alert", named("alert")), ("key", named("key"))];
    let belongs = |row: &Named<'_>| {
        row.integer("problem_id").is_none()
            && of.iter().all(|(name, wanted)| wanted.is_none() || row.text(name) == *wanted)
    };
    let held = transaction.held(tables.incident);
    let rows = held.rows().iter().map(|(number, row)| (*number, Named::new(tables.incident, row)));
    let numbers: Vec<u64> = rows.filter(|(_, row)| belongs(row)).map(|(number, _)| number).collect();
    let set = [("problem_id", Some(Value::Integer(problem_id)))];
    numbers.into_iter().try_for_each(|number| transaction.set(tables.incident, number, &set))
}

fn is_open_problem(transaction: &Transaction<'_>, id: i64) -> bool {
    let Ok(table) = incident::built_in("problem") else { return false };
    let held = transaction.held(table);
    let found = held.find(&["id"], &[Value::Integer(id)]);
    found.is_some_and(|(_, row)| !matches!(Named::new(table, row).text("state"), Some("resolved" | "closed")))
}

/// A key in which `{time}` is the bucket for which the condition became true.
fn key_at(watch: &Watch, labels: &Labels, tracked: &Tracked) -> String {
    watch.key(labels).replace("{time}", &incident::rfc3339(tracked.instance.began_ns))
}

/// Resolves an incident when none of its instances is open any longer. Gives whether it did.
///
/// # Errors
/// Those of the store.
pub(super) fn resolve_if_over(transaction: &mut Transaction<'_>, id: i64, at_ns: i64) -> Result<bool> {
    let tables = incident::tables()?;
    let alerts = incident::built_in("alert")?;
    let held = transaction.held(alerts);
    let mut members = held.rows().values().map(|row| Named::new(alerts, row));
    let is_open = |row: &Named<'_>| row.text("state").is_some_and(Phase::is_open_word);
    // A child is part of it while it lasts, and does not make it last.
    let is_child = |row: &Named<'_>| row.text("suppressed_by").is_some();
    if members.any(|row| row.integer("incident_id") == Some(id) && is_open(&row) && !is_child(&row)) {
        return Ok(false);
    }
    let Some((number, row)) = super::escalation::find(transaction, id)? else { return Ok(false) };
    let row = Named::new(tables.incident, &row);
    if !row.text("state").is_some_and(incident::is_open) {
        return Ok(false);
    }
    let at_ns = row.time_ns("opened_at").map_or(at_ns, |opened_ns| opened_ns.max(at_ns));
    let set = [
        ("state", text("resolved")),
        ("resolved_at", Some(Value::Time(at_ns))),
        ("resolution", text("its alert is over")),
    ];
    transaction.set(tables.incident, number, &set)?;
    Ok(true)
}

/// Tells those who know of an incident of what has joined since, and of those that nobody has taken up for long.
///
/// # Errors
/// Those of the store.
pub(super) fn remind<'w>(transaction: &mut Transaction<'_>, watches: &dyn Fn(&str) -> Option<&'w Watch>) -> Result<()> {
    let tables = incident::tables()?;
    let events = transaction.held(tables.event);
    let now_ns = transaction.now_ns();
    for (number, row) in transaction.held(tables.incident).rows() {
        let row = Named::new(tables.incident, row);
        let (Some(state), Some(told_ns)) = (row.text("state"), row.time_ns("notified_at")) else { continue };
        let Some(watch) = row.text("alert").filter(|_| incident::is_open(state)).and_then(watches) else { continue };
        let id = row.integer("id");
        let has_joined = || {
            let of = events.rows().values().rev().map(|event| Named::new(tables.event, event));
            let mut of = of.filter(|event| event.integer("incident_id") == id && event.text("event") == Some("joined"));
            of.next().and_then(|event| event.time_ns("ingested_at")).is_some_and(|joined_ns| joined_ns > told_ns)
        };
        let event = match () {
            () if now_ns >= told_ns.saturating_add(watch.group_interval_ns) && has_joined() => "incident.updated",
            () if watch.repeat_ns > 0
                && row.time_ns("acknowledged_at").is_none()
                && now_ns >= told_ns.saturating_add(watch.repeat_ns) =>
            {
                "incident.reminder"
            }
            () => continue,
        };
        incident::tell_all(transaction, &tables, *number, event)?;
    }
    Ok(())
}
