//! Why nobody is told: maintenance, silences, and what is broken upstream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::machine::Phase;
use super::{Labels, Watch};
use crate::analysis::recurrence::Recurring;
use crate::catalog::Definitions;
use crate::dialect::{Definition, Kind};
use crate::ops::{Named, Row, incident};
use crate::{Database, Result};

/// Why an instance is not heard.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cause {
    pub(super) text: String,
    /// The incident that it is part of.
    pub(super) parent: Option<i64>,
}

/// Why an instance is not heard now; `None` when it is.
///
/// # Errors
/// None, unless a built-in table is missing.
pub(super) fn cause(
    watch: &Watch,
    labels: &Labels,
    began_ns: i64,
    now_ns: i64,
    definitions: &Definitions,
    database: &Database,
) -> Result<Option<Cause>> {
    match quiet(watch, labels, now_ns, database)? {
        Some(text) => Ok(Some(Cause { text, parent: None })),
        None if watch.inhibited => upstream(watch, began_ns, definitions, database),
        None => Ok(None),
    }
}

/// The maintenance or the silence because of which nobody hears of an instance at a moment.
///
/// # Errors
/// None, unless a built-in table is missing.
pub(super) fn quiet(watch: &Watch, labels: &Labels, at_ns: i64, database: &Database) -> Result<Option<String>> {
    if let Some(service) = watch.service() {
        let windows = crate::ops::maintenance(database, service, "alert");
        if windows.iter().any(|window| holds(window, at_ns)) {
            return Ok(Some(format!("maintenance of {service}")));
        }
    }
    let table = incident::built_in("silence")?;
    let rows = database.ops().rows(table);
    let silence = rows.values().map(|row| Named::new(table, row)).find(|row| is_silenced(watch, labels, at_ns, row));
    Ok(silence.map(|row| {
        let reason = row.text("reason").unwrap_or_default();
        format!("silence {}: {reason}", row.integer("id").unwrap_or(0))
    }))
}

fn holds(window: &Recurring, now_ns: i64) -> bool {
    window.between(now_ns, now_ns.saturating_add(1)).is_ok_and(|found| found.contains(now_ns))
}

fn is_silenced(watch: &Watch, labels: &Labels, now_ns: i64, row: &Named<'_>) -> bool {
    let named = |column: &str, name: Option<&str>| row.text(column).is_none_or(|wanted| Some(wanted) == name);
    let wanted: BTreeMap<String, String> =
        row.text("labels").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    named("alert", Some(watch.name()))
        && named("service", watch.service())
        && wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
        && row.window().is_some_and(|window| holds(&window, now_ns))
}

/// The services that one cannot do without, be it through others.
pub(super) fn hard_dependencies(service: &str, definitions: &Definitions) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![service.to_owned()];
    while let Some(next) = waiting.pop() {
        let Some(object) = definitions.find(Kind::Service, &next) else { continue };
        let Definition::Service(service) = &object.definition else { continue };
        for dependency in service.depends.iter().filter(|dependency| dependency.is_hard) {
            if found.insert(dependency.service.clone()) {
                waiting.push(dependency.service.clone());
            }
        }
    }
    found.remove(service);
    found
}

/// The open alerts of some services: the service, the alert, its row.
pub(super) fn open_alerts(services: &BTreeSet<String>, database: &Database) -> Result<Vec<(String, String, Arc<Row>)>> {
    let table = incident::built_in("alert")?;
    let mut open = Vec::new();
    for row in database.ops().rows(table).values() {
        let named = Named::new(table, row);
        let is_open = named.text("state").is_some_and(Phase::is_open_word);
        if let (true, Some(service), Some(alert)) = (is_open, named.text("service"), named.text("alert"))
            && services.contains(service)
        {
            open.push((service.to_owned(), alert.to_owned(), row.clone()));
        }
    }
    Ok(open)
}

/// An alert on something that the service cannot do without, which began to fire at about the same time or before.
fn upstream(watch: &Watch, began_ns: i64, definitions: &Definitions, database: &Database) -> Result<Option<Cause>> {
    let Some(service) = watch.service() else { return Ok(None) };
    let table = incident::built_in("alert")?;
    for (service, alert, row) in open_alerts(&hard_dependencies(service, definitions), database)? {
        let row = Named::new(table, &row);
        let fired_ns = row.time_ns("began_at").unwrap_or(i64::MAX);
        if fired_ns <= began_ns.saturating_add(watch.correlation_ns) {
            let parent = row.integer("incident_id");
            let of = parent.map(|id| format!(" (incident {id})")).unwrap_or_default();
            return Ok(Some(Cause { text: format!("upstream: {alert} on {service}{of}"), parent }));
        }
    }
    Ok(None)
}
