//! The story of an incident: what whoever is called has to know, put together when it is opened.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::known_error::{KnownError, Seen};
use super::suppress::{hard_dependencies, open_alerts};
use super::{Labels, Tracked, Watch};
use crate::catalog::Definitions;
use crate::dialect::{Definition, Kind, Service, text_literal};
use crate::ops::incident::rfc3339;
use crate::ops::{Named, incident};
use crate::session::Session;
use crate::{Database, Result};

/// How far back the points go that are told, in nanoseconds.
const POINTS_NS: i64 = 30 * super::MINUTE_NS;

/// Most points.
const POINTS_MAX: usize = 60;

/// How far before its beginning a change may have to do with an incident, in nanoseconds.
const CHANGES_NS: i64 = 24 * 60 * super::MINUTE_NS;

/// How many incidents like it are named.
const SIMILAR_MAX: usize = 5;

/// What queries tell for a story, gathered before anything is changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathered {
    points: Vec<Json>,
    pub(super) slo: Option<Slo>,
}

/// How the promise of a service stands.
#[derive(Debug, Clone)]
pub(super) struct Slo {
    name: String,
    pub(super) budget_remaining: Option<f64>,
    pub(super) burn_rate: Option<f64>,
}

/// Asks for what a story tells besides facts. What cannot be told is left out.
pub(super) async fn gather(
    watch: &Watch,
    labels: &Labels,
    at_ns: i64,
    session: &Session,
    definitions: &Definitions,
    now_ns: i64,
) -> Gathered {
    let points = points(watch, labels, at_ns, session, now_ns).await.unwrap_or_default();
    Gathered { points, slo: slo(watch, session, definitions, now_ns).await }
}

async fn points(watch: &Watch, labels: &Labels, at_ns: i64, session: &Session, now_ns: i64) -> Result<Vec<Json>> {
    let Some(kpi) = &watch.kpi else { return Ok(Vec::new()) };
    let dimensions: Vec<String> = session
        .database()
        .catalog()
        .definitions()
        .find(Kind::Kpi, kpi)
        .map(|object| object.columns.iter().map(|(name, _)| name.clone()).collect())
        .unwrap_or_default();
    let tests = labels.iter().filter(|(name, _)| dimensions.contains(name));
    let tests =
        tests.map(|(name, value)| format!(" AND {}::text = {}", crate::dialect::quoted(name), text_literal(value)));
    let text = format!(
        "SELECT time, value FROM kpi.{} WHERE time > '{}' AND time < '{}'{} ORDER BY time DESC LIMIT {POINTS_MAX}",
        crate::dialect::quoted(kpi),
        rfc3339(at_ns.saturating_sub(POINTS_NS)),
        rfc3339(at_ns),
        tests.collect::<String>()
    );
    let mut points = Vec::new();
    for batch in session.rows_of(&text, now_ns).await? {
        use datafusion::arrow::array::{Array, AsArray};
        use datafusion::arrow::datatypes::{Float64Type, TimestampNanosecondType};
        let (times, values) =
            (batch.column(0).as_primitive::<TimestampNanosecondType>(), batch.column(1).as_primitive::<Float64Type>());
        for row in 0..batch.num_rows() {
            let value = values.is_valid(row).then(|| values.value(row));
            points.push(json!([rfc3339(times.value(row)), value]));
        }
    }
    points.reverse();
    Ok(points)
}

/// The promise of the service that is nearest to being broken.
async fn slo(watch: &Watch, session: &Session, definitions: &Definitions, now_ns: i64) -> Option<Slo> {
    use datafusion::arrow::array::{Array, AsArray};
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::{DataType, Float64Type};
    let service = watch.service()?;
    let mut worst: Option<Slo> = None;
    for object in definitions.of_kind(Kind::Slo) {
        let Definition::Slo(slo) = &object.definition else { continue };
        if slo.service.as_deref() != Some(service) {
            continue;
        }
        let text = format!(
            "SELECT budget_remaining, burn_rate FROM slo.{} ORDER BY time DESC LIMIT 1",
            crate::dialect::quoted(&object.name)
        );
        let Ok(batches) = session.rows_of(&text, now_ns).await else { continue };
        let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { continue };
        let number = |at: usize| {
            let column = cast(batch.column(at), &DataType::Float64).ok()?;
            let column = column.as_primitive::<Float64Type>();
            column.is_valid(0).then(|| column.value(0))
        };
        let found = Slo { name: object.name.clone(), budget_remaining: number(0), burn_rate: number(1) };
        let left = |slo: &Slo| slo.budget_remaining.unwrap_or(f64::INFINITY);
        if worst.as_ref().is_none_or(|worst| left(&found) < left(worst)) {
            worst = Some(found);
        }
    }
    worst
}

/// The service of an alert.
pub(super) fn service_of<'a>(watch: &Watch, definitions: &'a Definitions) -> Option<&'a Service> {
    match &definitions.find(Kind::Service, watch.service()?)?.definition {
        Definition::Service(service) => Some(service),
        _ => None,
    }
}

/// The story of an instance: the parts of `incident_v1` beside the incident itself.
///
/// # Errors
/// None, unless a built-in table is missing.
pub(super) fn tell(
    watch: &Watch,
    labels: &Labels,
    tracked: &Tracked,
    gathered: &Gathered,
    complete_ns: i64,
    definitions: &Definitions,
    database: &Database,
) -> Result<Json> {
    let number = |name: &str| tracked.values.get(name).copied();
    let kpi = watch.kpi.as_deref().and_then(|name| definitions.find(Kind::Kpi, name));
    let option = |name: &str| kpi.and_then(|kpi| kpi.definition.option_text(name));
    let alert = watch.alert();
    let shares: Vec<Json> =
        labels.iter().map(|(name, value)| json!({ "label": format!("{name}={value}"), "share": 1.0 })).collect();
    let signal = json!({
        "alert": watch.name(),
        "alert_version": watch.object.version,
        "kpi": watch.kpi,
        "version": kpi.map(|kpi| kpi.version),
        "unit": option("unit"),
        "labels": labels,
        "value": number("value").or_else(|| tracked.values.values().next().copied()),
        "lower": number("lower"),
        "expected": number("expected"),
        "upper": number("upper"),
        "score": number("score"),
        "values": tracked.values,
        "when": alert.when.text,
        "for": alert.hold,
        "since": rfc3339(tracked.instance.began_ns),
        "points": gathered.points,
        "top_dimensions": shares,
    });
    let service = service_of(watch, definitions);
    let cost =
        service.and_then(|service| service.options.text("cost_per_minute")).and_then(|text| text.parse::<f64>().ok());
    let dependencies = match service {
        Some(service) => {
            let open = open_alerts(&hard_dependencies(&service.name, definitions), database)?;
            open.into_iter().map(|(service, ..)| service).collect::<BTreeSet<_>>()
        }
        None => BTreeSet::new(),
    };
    let told_service = service.map(|service| {
        json!({
            "name": service.name,
            "tier": service.tier,
            "owner": service.owner,
            "dependencies_firing": dependencies,
        })
    });
    let slo = gathered
        .slo
        .as_ref()
        .map(|slo| json!({ "name": slo.name, "budget_remaining": slo.budget_remaining, "burn_1h": slo.burn_rate }));
    let context = json!({
        "recent_changes": changes(watch, tracked.instance.began_ns, definitions, database)?,
        "known_errors": Seen::of(watch, labels, tracked).known_errors(database)?.iter().map(KnownError::told).collect::<Vec<_>>(),
        "similar_incidents": similar(watch, &watch.key(labels), database)?,
        "maintenance": null,
        "cost_per_minute": cost,
        "currency": service.and_then(|service| service.options.text("currency")),
        "data_complete_until": rfc3339(complete_ns),
    });
    let annotations = alert.option_text("annotations").and_then(|text| serde_json::from_str::<Json>(text).ok());
    let mut story = Map::new();
    story.insert("service".to_owned(), told_service.unwrap_or(Json::Null));
    story.insert("signal".to_owned(), signal);
    story.insert("slo".to_owned(), slo.unwrap_or(Json::Null));
    story.insert("context".to_owned(), context);
    story.insert("annotations".to_owned(), annotations.unwrap_or(Json::Null));
    Ok(Json::Object(story))
}

/// Changes of the service and of what it stands on, shortly before; the latest first.
fn changes(watch: &Watch, began_ns: i64, definitions: &Definitions, database: &Database) -> Result<Vec<Json>> {
    let Some(service) = watch.service() else { return Ok(Vec::new()) };
    let mut services = hard_dependencies(service, definitions);
    services.insert(service.to_owned());
    let table = incident::built_in("change")?;
    let mut found = Vec::new();
    for row in database.ops().rows(table).values() {
        let row = Named::new(table, row);
        let (Some(of), Some(at_ns)) = (row.text("service"), row.time_ns("starts_at")) else { continue };
        if services.contains(of)
            && at_ns <= began_ns.saturating_add(super::MINUTE_NS)
            && began_ns.saturating_sub(at_ns) <= CHANGES_NS
        {
            let minutes = began_ns.saturating_sub(at_ns).max(0) / super::MINUTE_NS;
            let change = json!({
                "id": row.text("id"), "service": of, "kind": row.text("kind"), "minutes_before": minutes,
            });
            found.push((at_ns, change));
        }
    }
    found.sort_by_key(|(at_ns, _)| std::cmp::Reverse(*at_ns));
    Ok(found.into_iter().map(|(_, change)| change).collect())
}

/// The ids of incidents of the same key or alert that are over, the latest first.
fn similar(watch: &Watch, key: &str, database: &Database) -> Result<Vec<i64>> {
    let tables = incident::tables()?;
    let rows = database.ops().rows(tables.incident);
    let like = |row: &Named<'_>| row.text("key") == Some(key) || row.text("alert") == Some(watch.name());
    let over = |row: &Named<'_>| !row.text("state").is_none_or(incident::is_open);
    let found = rows.values().rev().map(|row| Named::new(tables.incident, row));
    Ok(found.filter(|row| like(row) && over(row)).filter_map(|row| row.integer("id")).take(SIMILAR_MAX).collect())
}
