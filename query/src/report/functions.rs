//! Reports on one thing: an incident, what comes again, a problem for those who decide on changes.

use std::sync::Arc;

use datafusion::catalog::TableProvider;

use super::downtime::seconds_open;
use super::planned;
use crate::dialect::{Definition, Kind, quoted, text_literal};
use crate::lower::Lowering;
use crate::ops::incident::rfc3339;
use crate::ops::{Named, Row, incident};
use crate::{Error, Result};

/// How long before and after an incident the values of its KPI are compared, as SQL.
const AROUND: &str = "INTERVAL '1 hour'";

/// `chronic`: what has come again at least so often in the time before now; a row for each service, alert and key. `of` is the
/// name of an alert or a service, or the key of incidents. Its time is when the last one was noticed, so that an alert can watch it.
///
/// # Errors
/// None, unless a built-in table is missing.
pub(crate) fn chronic(
    of: &str,
    window_ns: i64,
    times_min: i64,
    lowering: &Lowering<'_>,
) -> Result<Arc<dyn TableProvider>> {
    let of = text_literal(of);
    let seconds = window_ns / 1_000_000_000;
    planned(
        "chronic",
        format!(
            "SELECT max(COALESCE(seen_at, ingested_at)) AS time, service, alert, key, count(*) + sum(reopened)::bigint AS recurrences, \
             min(opened_at) AS first_opened_at, sum(extract(epoch FROM COALESCE(resolved_at, now()) - opened_at)) / 60 AS minutes, \
             string_agg(id::text, ', ') AS incidents, max(problem_id) AS problem_id, max(known_error_id) AS known_error_id \
             FROM ops.incident LEFT JOIN (SELECT incident_id, max(ingested_at) AS seen_at FROM ops.incident_event \
             WHERE event IN ('opened', 'reopened') GROUP BY incident_id) AS e ON e.incident_id = id \
             WHERE (alert = {of} OR service = {of} OR key = {of}) \
             AND opened_at > now() - INTERVAL '{seconds} seconds' GROUP BY service, alert, key \
             HAVING count(*) + sum(reopened) >= {times_min}"
        ),
        lowering,
    )
}

/// `incident_report`: all there is to say of an incident, in the order of sections and times: section, at, item, value.
///
/// # Errors
/// [`Error::UndefinedObject`] without such an incident.
pub(crate) fn incident_report(id: i64, lowering: &Lowering<'_>) -> Result<Arc<dyn TableProvider>> {
    let table = incident::tables()?.incident;
    let row = row_of(table, "incident", id, lowering)?;
    let row = Named::new(table, &row);
    let mut parts: Vec<String> = Vec::new();
    // Each part is one row: a section with its place, a time, an item and a value.
    let mut from_incident = |section: &str, at: &str, item: &str, value: &str| {
        parts.push(format!(
            "SELECT {section} AS section, {at} AS at, {} AS item, ({value})::text AS value FROM ops.incident AS i \
             LEFT JOIN ops.service AS s ON s.name = i.service WHERE i.id = {id}",
            text_literal(item)
        ));
    };
    for column in ["title", "key", "service", "alert", "severity", "state", "priority", "impact", "urgency", "assignee"]
    {
        from_incident("'1 incident'", "NULL::timestamptz", column, &format!("i.{column}"));
    }
    from_incident("'1 incident'", "NULL::timestamptz", "owner", "s.owner");
    let since_opened = |at: &str| format!("round((extract(epoch FROM {at} - i.opened_at) / 60)::numeric, 1)");
    from_incident("'3 time'", "i.acknowledged_at", "minutes to acknowledge", &since_opened("i.acknowledged_at"));
    from_incident("'3 time'", "i.resolved_at", "minutes to restore", &since_opened("i.resolved_at"));
    from_incident("'3 time'", "i.ingested_at", "minutes to detect", &since_opened("i.ingested_at"));
    from_incident("'3 time'", "NULL::timestamptz", "reopened", "i.reopened");
    let minutes = "extract(epoch FROM COALESCE(i.resolved_at, now()) - i.opened_at) / 60";
    from_incident("'4 cost'", "NULL::timestamptz", "minutes", &format!("round(({minutes})::numeric, 1)"));
    let cost = format!("round(({minutes} * s.cost_per_minute::float8)::numeric, 2)");
    from_incident("'4 cost'", "NULL::timestamptz", "cost", &format!("concat({cost}, ' ', s.currency)"));
    from_incident("'4 cost'", "NULL::timestamptz", "budget remaining", "i.budget_remaining");
    from_incident("'8 learned'", "i.closed_at", "resolution", "i.resolution");
    parts.push(format!(
        "SELECT '2 timeline' AS section, at, event AS item, \
         concat(actor, CASE WHEN detail IS NULL THEN '' ELSE concat(' ', detail) END, \
         CASE WHEN ingested_at > at + INTERVAL '1 minute' THEN concat(' (entered ', ingested_at::text, ')') ELSE '' END) AS value \
         FROM ops.incident_event WHERE incident_id = {id}"
    ));
    parts.push(format!(
        "SELECT '2 timeline' AS section, done_at AS at, concat('escalation step ', step, ' ', state) AS item, notify AS value \
         FROM ops.escalation WHERE incident_id = {id} AND done_at IS NOT NULL"
    ));
    if let Some(kpi) = kpi_of(row.text("alert"), lowering) {
        parts.extend(values(&kpi, &row));
    }
    let service = row.text("service").map_or("NULL::text".to_owned(), text_literal);
    let opened = text_literal(&rfc3339(row.time_ns("opened_at").unwrap_or(0)));
    parts.push(format!(
        "SELECT '6 before' AS section, starts_at AS at, concat('change ', id) AS item, \
         concat(kind, CASE WHEN description IS NULL THEN '' ELSE concat(': ', description) END) AS value FROM ops.change \
         WHERE service IN (SELECT depends_on FROM ops.service_edge WHERE service = {service} UNION ALL SELECT {service}) \
         AND starts_at > {opened}::timestamptz - INTERVAL '24 hours' AND starts_at <= {opened}::timestamptz + INTERVAL '1 minute'"
    ));
    let key = row.text("key").map_or("NULL::text".to_owned(), text_literal);
    parts.push(format!(
        "SELECT '7 like it' AS section, opened_at AS at, concat('incident ', id) AS item, concat(state, \
         CASE WHEN resolution IS NULL THEN '' ELSE concat(': ', resolution) END) AS value FROM ops.incident \
         WHERE key = {key} AND id <> {id}"
    ));
    let known_error = row.integer("known_error_id").map_or("NULL".to_owned(), |id| id.to_string());
    parts.push(format!(
        "SELECT '7 like it' AS section, NULL::timestamptz AS at, concat('known error ', id, ': ', title) AS item, \
         workaround AS value FROM ops.known_error WHERE id = {known_error}"
    ));
    let problem = row.integer("problem_id").map_or("NULL".to_owned(), |id| id.to_string());
    parts.push(format!(
        "SELECT '8 learned' AS section, opened_at AS at, concat('problem ', id, ' ', state) AS item, title AS value \
         FROM ops.problem WHERE id = {problem}"
    ));
    parts.push(format!(
        "SELECT '8 learned' AS section, at, concat('cause', CASE WHEN category IS NULL THEN '' ELSE concat(', ', category) END) \
         AS item, cause AS value FROM ops.rca WHERE incident_id = {id} OR problem_id = {problem}"
    ));
    parts.push(format!(
        "SELECT '8 learned' AS section, at, concat('review by ', actor) AS item, summary AS value FROM ops.review \
         WHERE incident_id = {id}"
    ));
    parts.push(format!(
        "SELECT '9 to do' AS section, due_at AS at, concat('action plan ', id, ' of ', owner, ', ', state) AS item, \
         COALESCE(plan, kpi) AS value FROM ops.action_plan WHERE service = {service} AND state IN ('open', 'submitted')"
    ));
    let all = parts.join(" UNION ALL ");
    planned(
        "incident_report",
        format!(
            "SELECT substr(section, 3) AS section, at, item, value FROM (SELECT section AS place, * FROM ({all}) AS parts) AS placed \
             WHERE value <> '' ORDER BY place, at NULLS FIRST, item"
        ),
        lowering,
    )
}

/// The values of the incident's KPI before, during and after it, and whether they are within their band again.
fn values(kpi: &Kpi, row: &Named<'_>) -> Vec<String> {
    let Some(opened_ns) = row.time_ns("opened_at") else { return Vec::new() };
    let opened = format!("{}::timestamptz", text_literal(&rfc3339(opened_ns)));
    let resolved = match row.time_ns("resolved_at") {
        Some(resolved_ns) => format!("{}::timestamptz", text_literal(&rfc3339(resolved_ns))),
        None => "now()".to_owned(),
    };
    let spans = [
        ("before", format!("time >= {opened} - {AROUND} AND time < {opened}")),
        ("during", format!("time >= {opened} AND time < {resolved}")),
        ("after", format!("time >= {resolved} AND time < {resolved} + {AROUND}")),
    ];
    let name = quoted(&kpi.name);
    let distribution = |(item, test): &(&str, String)| {
        format!(
            "SELECT '5 values' AS section, min(time) AS at, '{item}' AS item, CASE WHEN count(value) = 0 THEN NULL ELSE \
             concat(count(value), ' values of {}, median ', round(approx_percentile(0.5, value)::numeric, 3), ', p90 ', \
             round(approx_percentile(0.9, value)::numeric, 3)) END AS value FROM kpi.{name} WHERE {test}",
            kpi.unit.replace('\'', "''")
        )
    };
    let mut parts: Vec<String> = spans.iter().map(distribution).collect();
    if kpi.has_band {
        parts.push(format!(
            "SELECT '5 values' AS section, max(time) AS at, 'after, within its band' AS item, \
             CASE WHEN count(band) = 0 THEN NULL ELSE concat(count(*) FILTER (WHERE band = 'normal'), ' of ', count(band)) END AS value \
             FROM kpi.{name} WHERE {}",
            spans[2].1
        ));
    }
    parts
}

/// What a report says of a KPI.
struct Kpi {
    name: String,
    unit: String,
    has_band: bool,
}

/// The KPI with values that an alert reads.
fn kpi_of(alert: Option<&str>, lowering: &Lowering<'_>) -> Option<Kpi> {
    let object = lowering.definitions.find(Kind::Alert, alert?)?;
    let Definition::Alert(alert) = &object.definition else { return None };
    let name = crate::relation::kpi_of(&alert.query.text)?;
    let kpi = lowering.definitions.find(Kind::Kpi, &name)?;
    let has_value = kpi.columns.iter().any(|(column, _)| column == "value");
    has_value.then(|| Kpi {
        unit: kpi.definition.option_text("unit").unwrap_or("").to_owned(),
        has_band: crate::relation::has_baseline(&name, Kind::Kpi, lowering.definitions),
        name,
    })
}

/// `cab_packet`: what those who decide on changes have to know of a problem: item, value.
///
/// # Errors
/// [`Error::UndefinedObject`] without such a problem.
pub(crate) fn packet(id: i64, lowering: &Lowering<'_>) -> Result<Arc<dyn TableProvider>> {
    let table = incident::built_in("problem")?;
    let row = row_of(table, "problem", id, lowering)?;
    let row = Named::new(table, &row);
    let service = row.text("service").map_or("NULL::text".to_owned(), text_literal);
    let alert = row.text("alert").map_or("NULL::text".to_owned(), text_literal);
    let of = format!("(i.problem_id = {id} OR (i.service = {service} AND i.alert = {alert}))");
    let open = seconds_open("0", "'1700-01-01'::timestamptz", "now()", &of);
    let counted = |place: usize, item: &str, value: &str| {
        format!("SELECT {place} AS place, '{item}' AS item, ({value})::text AS value FROM ops.incident AS i WHERE {of}")
    };
    let cost = format!(
        "SELECT 6 AS place, 'cost' AS item, concat(round((o.seconds / 60 * s.cost_per_minute::float8)::numeric, 2), ' ', s.currency) \
         AS value FROM ({open}) AS o CROSS JOIN ops.service AS s WHERE s.name = {service} AND s.cost_per_minute IS NOT NULL"
    );
    let mut parts = vec![
        format!("SELECT 0 AS place, 'problem' AS item, title AS value FROM ops.problem WHERE id = {id}"),
        format!("SELECT 1 AS place, 'state' AS item, state AS value FROM ops.problem WHERE id = {id}"),
        format!("SELECT 2 AS place, 'service' AS item, service AS value FROM ops.problem WHERE id = {id}"),
        counted(3, "recurrences", "count(*) + COALESCE(sum(i.reopened), 0)"),
        counted(4, "incidents", "string_agg(i.id::text, ', ')"),
        format!(
            "SELECT 5 AS place, 'minutes' AS item, round((o.seconds / 60)::numeric, 1)::text AS value FROM ({open}) AS o"
        ),
        cost,
        counted(7, "least budget remaining", "min(i.budget_remaining)"),
        counted(8, "first", "min(i.opened_at)"),
        counted(9, "last", "max(i.opened_at)"),
        format!(
            "SELECT 11 AS place, 'known error' AS item, concat(title, CASE WHEN workaround IS NULL THEN '' \
             ELSE concat(': ', workaround) END) AS value FROM ops.known_error WHERE problem_id = {id}"
        ),
        format!("SELECT 12 AS place, 'cause' AS item, cause AS value FROM ops.rca WHERE problem_id = {id}"),
        format!(
            "SELECT 13 AS place, 'candidate change' AS item, concat(id, CASE WHEN description IS NULL THEN '' \
             ELSE concat(': ', description) END) AS value FROM ops.change WHERE service = {service} AND starts_at > now()"
        ),
    ];
    for customer in customers(row.text("service"), lowering) {
        parts.push(format!("SELECT 10 AS place, 'customer' AS item, {} AS value", text_literal(&customer)));
    }
    let all = parts.join(" UNION ALL ");
    planned(
        "cab_packet",
        format!("SELECT item, value FROM ({all}) AS parts WHERE value IS NOT NULL ORDER BY parts.place, value"),
        lowering,
    )
}

/// Whose contracts are about a service.
fn customers(service: Option<&str>, lowering: &Lowering<'_>) -> Vec<String> {
    let is_of = |slo: &str| {
        let object = lowering.definitions.find(Kind::Slo, slo);
        object.is_some_and(
            |object| matches!(&object.definition, Definition::Slo(slo) if slo.service.as_deref() == service),
        )
    };
    let customer = |object: &Arc<crate::catalog::Object>| match &object.definition {
        Definition::Sla(sla) if service.is_some() && sla.targets.iter().any(|target| is_of(&target.slo)) => {
            Some(format!("{} ({})", sla.customer, sla.name))
        }
        _ => None,
    };
    lowering.definitions.of_kind(Kind::Sla).filter_map(customer).collect()
}

/// The row of a number in a table of the schema `ops`.
pub(super) fn row_of(
    table: &'static crate::ops::Table,
    kind: &'static str,
    id: i64,
    lowering: &Lowering<'_>,
) -> Result<Arc<Row>> {
    let held = lowering.database.ops().held(table);
    let found = held.find(&["id"], &[crate::ops::Value::Integer(id)]).map(|(_, row)| row.clone());
    found.ok_or_else(|| Error::UndefinedObject { kind, name: id.to_string(), position: None, hint: None })
}
