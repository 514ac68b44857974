//! The story of an incident: what whoever is called has to know, put together when it is opened.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::known_error::{KnownError, Seen};
use super::machine::Instance;
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

/// How many values of dimensions are named.
const DIMENSIONS_MAX: usize = 5;

/// How many incidents like it are named.
const SIMILAR_MAX: usize = 5;

/// What queries tell for a story, gathered before anything is changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathered {
    points: Vec<Json>,
    /// What the baseline of the KPI said of the last point.
    band: Band,
    /// Which values of dimensions the deviation comes from, and their shares of it, the largest first.
    shares: Vec<(String, f64)>,
    pub(super) slo: Option<Slo>,
}

/// What was expected.
#[derive(Debug, Clone, Copy, Default)]
struct Band {
    lower: Option<f64>,
    expected: Option<f64>,
    upper: Option<f64>,
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
    let (band, shares) = deviation(watch, labels, at_ns, session, definitions, now_ns).await.unwrap_or_default();
    Gathered { points, band, shares, slo: slo(watch, session, definitions, now_ns).await }
}

/// The band of the instance in the bucket that ends at an instant, and which values of dimensions account for how much of what is
/// beyond what was expected, over all rows of the KPI then; without a baseline, of the whole value.
async fn deviation(
    watch: &Watch,
    labels: &Labels,
    at_ns: i64,
    session: &Session,
    definitions: &Definitions,
    now_ns: i64,
) -> Result<(Band, Vec<(String, f64)>)> {
    use datafusion::arrow::array::{Array, AsArray};
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::{DataType, Float64Type};
    let nothing = || Ok((Band::default(), Vec::new()));
    let Some(object) = watch.kpi.as_deref().and_then(|kpi| definitions.find(Kind::Kpi, kpi)) else { return nothing() };
    let Definition::Kpi(kpi) = &object.definition else { return nothing() };
    let dimensions: Vec<&String> = crate::relation::dimensions(object).collect();
    if !object.columns.iter().any(|(name, _)| name == "value") || watch.rule.step_ns == 0 {
        return nothing();
    }
    let has_band = crate::relation::has_baseline(&kpi.name, Kind::Kpi, definitions);
    let band = if has_band {
        "lower, expected, upper"
    } else {
        "NULL::float8 AS lower, NULL::float8 AS expected, NULL::float8 AS upper"
    };
    let columns: String = dimensions.iter().map(|name| format!(", {}::text", crate::dialect::quoted(name))).collect();
    let text = format!(
        "SELECT value, {band}{columns} FROM kpi.{} WHERE time >= '{}' AND time < '{}'",
        crate::dialect::quoted(&kpi.name),
        rfc3339(at_ns.saturating_sub(watch.rule.step_ns)),
        rfc3339(at_ns)
    );
    let (mut mine, mut beyond) = (Band::default(), std::collections::BTreeMap::<String, f64>::new());
    let mut whole = 0.0;
    for batch in session.rows_of(&text, now_ns).await? {
        let numbers =
            (0..4).map(|at| cast(batch.column(at), &DataType::Float64)).collect::<std::result::Result<Vec<_>, _>>();
        let texts = (4..batch.num_columns()).map(|at| cast(batch.column(at), &DataType::Utf8));
        let texts = texts.collect::<std::result::Result<Vec<_>, _>>();
        let (Ok(numbers), Ok(texts)) = (numbers, texts) else { continue };
        for row in 0..batch.num_rows() {
            let number = |at: usize| {
                let column = numbers[at].as_primitive::<Float64Type>();
                column.is_valid(row).then(|| column.value(row)).filter(|number| number.is_finite())
            };
            let named: Vec<(&String, &str)> = dimensions
                .iter()
                .zip(&texts)
                .filter(|(_, column)| column.is_valid(row))
                .map(|(name, column)| (*name, column.as_string::<i32>().value(row)))
                .collect();
            if labels.iter().all(|(name, value)| named.iter().all(|(other, text)| *other != name || text == value)) {
                mine = Band { lower: number(1), expected: number(2), upper: number(3) };
            }
            let Some(value) = number(0) else { continue };
            let deviation = (value - number(2).unwrap_or(0.0)).abs();
            whole += deviation;
            for (name, text) in named {
                *beyond.entry(format!("{name}={text}")).or_default() += deviation;
            }
        }
    }
    let mut shares: Vec<(String, f64)> =
        beyond.into_iter().filter(|_| whole > 0.0).map(|(label, part)| (label, part / whole)).collect();
    shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    shares.truncate(DIMENSIONS_MAX);
    Ok((mine, shares))
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
    // What the alert does not read, its KPI tells.
    let band = gathered.band;
    let own = labels.iter().map(|(name, value)| (format!("{name}={value}"), 1.0));
    let shares = if gathered.shares.is_empty() { own.collect() } else { gathered.shares.clone() };
    let shares: Vec<Json> = shares.iter().map(|(label, share)| json!({ "label": label, "share": share })).collect();
    let baseline = watch.kpi.as_deref().and_then(|kpi| crate::relation::baseline_of(kpi, definitions));
    let baseline = baseline.map(|(object, baseline)| {
        let at_ns = tracked.instance.since_ns.saturating_sub(watch.rule.step_ns);
        json!({
            "name": object.name,
            "slot": crate::relation::slot(baseline, at_ns),
            "model": object.version,
            "override": override_text(&object.name, labels, at_ns, database),
        })
    });
    let signal = json!({
        "alert": watch.name(),
        "alert_version": watch.object.version,
        "kpi": watch.kpi,
        "version": kpi.map(|kpi| kpi.version),
        "unit": option("unit"),
        "labels": labels,
        "value": number("value").or_else(|| tracked.values.values().next().copied()),
        "lower": number("lower").or(band.lower),
        "expected": number("expected").or(band.expected),
        "upper": number("upper").or(band.upper),
        "baseline": baseline,
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
        "recent_changes": changes(watch, &tracked.instance, definitions, database)?,
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

/// What people have put in place of a baseline at an instant; `None` when nobody has.
pub(super) fn override_text(baseline: &str, labels: &Labels, at_ns: i64, database: &Database) -> Option<String> {
    let overrides = crate::ops::overrides(database, baseline);
    let is_in_force = |changed: &&crate::ops::Overriding| {
        (changed.start_ns..changed.end_ns).contains(&at_ns)
            && changed.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
    };
    let changed = overrides.iter().rev().find(is_in_force)?;
    let bounds = [("lower", changed.lower), ("upper", changed.upper), ("score_threshold", changed.score_threshold)];
    let bounds = bounds.iter().filter_map(|(name, bound)| bound.map(|bound| format!("{name} = {bound}")));
    Some(format!("{} until {}", bounds.collect::<Vec<_>>().join(", "), rfc3339(changed.end_ns)))
}

/// Changes of the service and of what it stands on, shortly before; the latest first.
fn changes(watch: &Watch, instance: &Instance, definitions: &Definitions, database: &Database) -> Result<Vec<Json>> {
    let Some(service) = watch.service() else { return Ok(Vec::new()) };
    // What was changed while it got worse may be the reason as well.
    let (began_ns, until_ns) = (instance.began_ns, instance.since_ns.max(instance.began_ns + super::MINUTE_NS));
    let mut services = hard_dependencies(service, definitions);
    services.insert(service.to_owned());
    let table = incident::built_in("change")?;
    let mut found = Vec::new();
    for row in database.ops().rows(table).values() {
        let row = Named::new(table, row);
        let (Some(of), Some(at_ns)) = (row.text("service"), row.time_ns("starts_at")) else { continue };
        if services.contains(of) && at_ns <= until_ns && began_ns.saturating_sub(at_ns) <= CHANGES_NS {
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
