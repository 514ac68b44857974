//! What is asked of KPIs before something is promised or changed: what could be kept, what a change did, what it costs, whether a
//! baseline fits.

use std::sync::Arc;

use datafusion::catalog::TableProvider;

use super::downtime::seconds_open;
use super::planned;
use crate::catalog::Object;
use crate::dialect::{Baseline, Definition, Kind, Season, quoted, text_literal};
use crate::lower::Lowering;
use crate::ops::incident::rfc3339;
use crate::ops::{Named, incident};
use crate::{Error, Result};

/// Objectives that are tried.
const OBJECTIVES: [&str; 8] = ["0.9", "0.95", "0.98", "0.99", "0.995", "0.999", "0.9995", "0.9999"];

/// Shares of values that a threshold is to hold.
const SHARES: [&str; 5] = ["0.9", "0.95", "0.98", "0.99", "0.999"];

/// The share of past periods that a suggested objective would have been kept in.
const KEPT: &str = "0.9";

/// An instant as SQL.
pub(super) fn instant(ns: i64) -> String {
    format!("{}::timestamptz", text_literal(&rfc3339(ns)))
}

/// A KPI, and whether it is good ones among all.
pub(super) fn kpi_of<'a>(name: &str, lowering: &'a Lowering<'_>) -> Result<(&'a Arc<Object>, bool)> {
    let object = lowering.definitions.get(Kind::Kpi, name)?;
    Ok((object, object.columns.iter().any(|(column, _)| column == "total")))
}

/// The dimensions of a KPI as one text, by SQL.
pub(super) fn series_of(object: &Object) -> String {
    let names: Vec<&String> = crate::relation::dimensions(object).collect();
    match names.as_slice() {
        [] => "''".to_owned(),
        names => {
            let part = |name: &&String| format!("'{}=', {}", name.replace('\'', "''"), quoted(name));
            format!("concat({})", names.iter().map(part).collect::<Vec<_>>().join(", ', ', "))
        }
    }
}

/// `suggest_target`: what could have been promised of a KPI, by periods of the past. For good ones among all a row for each
/// objective, with the periods that would have kept it, and the highest one that nine of ten did is recommended; for a value a row
/// for each share of values, with the threshold that holds it.
///
/// # Errors
/// [`Error::UndefinedObject`].
pub(crate) fn suggest_target(name: &str, period_ns: i64, lowering: &Lowering<'_>) -> Result<Arc<dyn TableProvider>> {
    let (object, is_ratio) = kpi_of(name, lowering)?;
    let kpi = quoted(name);
    let text = if is_ratio {
        let seconds = period_ns / 1_000_000_000;
        let candidates: Vec<String> = OBJECTIVES.iter().map(|objective| format!("({objective}::float8)")).collect();
        format!(
            "SELECT 'objective' AS kind, target, periods, met, share_met, met > 0 AND share_met >= {KEPT} AND target = \
             max(CASE WHEN share_met >= {KEPT} THEN target END) OVER () AS recommended FROM ( \
             SELECT target, count(*) AS periods, count(*) FILTER (WHERE share >= target) AS met, \
             (count(*) FILTER (WHERE share >= target))::float8 / count(*)::float8 AS share_met FROM ( \
             SELECT time_bucket('{seconds} seconds', time) AS period, sum(good)::float8 / NULLIF(sum(total)::float8, 0) AS share \
             FROM kpi.{kpi} GROUP BY 1) AS periods CROSS JOIN (VALUES {}) AS c(target) WHERE share IS NOT NULL GROUP BY target) \
             AS tried ORDER BY target",
            candidates.join(", ")
        )
    } else {
        let is_low = object.definition.option_text("better") != Some("high");
        let one = |share: &&str| {
            let quantile = if is_low { (*share).to_owned() } else { format!("1 - {share}") };
            let sign = if is_low { "<=" } else { ">=" };
            format!(
                "SELECT 'threshold' AS kind, t.target, count(v.value) AS periods, count(v.value) FILTER (WHERE v.value {sign} t.target) \
                 AS met, (count(v.value) FILTER (WHERE v.value {sign} t.target))::float8 / NULLIF(count(v.value), 0)::float8 AS share_met, \
                 {} AS recommended FROM kpi.{kpi} AS v CROSS JOIN (SELECT approx_percentile({quantile}, value) AS target FROM kpi.{kpi}) \
                 AS t GROUP BY t.target",
                **share == *"0.99"
            )
        };
        let all: Vec<String> = SHARES.iter().map(one).collect();
        format!("SELECT * FROM ({}) AS tried ORDER BY share_met", all.join(" UNION ALL "))
    };
    planned("suggest_target", text, lowering)
}

/// `baseline_explain`: why a KPI was judged as it was at a time: a row for each series, with the slot of the season, what its parts would
/// score on their own (spikes and steps, values never seen, values that stay the same, rows that are missing), how much was learned
/// before, and the overrides and rebaselines that were in force.
///
/// # Errors
/// [`Error::UndefinedObject`], KP003 for a KPI without a baseline.
pub(crate) fn baseline_explain(name: &str, at_ns: i64, lowering: &Lowering<'_>) -> Result<Arc<dyn TableProvider>> {
    let (object, _) = kpi_of(name, lowering)?;
    let (its, baseline) = its_baseline(name, lowering)?;
    let (kpi, at, of) = (quoted(name), instant(at_ns), text_literal(&baseline.name));
    let slot = text_literal(&crate::relation::slot(baseline, at_ns));
    let option = |option: &str, default: &str| text_literal(baseline.option_text(option).unwrap_or(default));
    let season = match baseline.season.as_slice() {
        [Season::HourOfDay] => "1 day",
        [Season::None] => "none",
        _ => "1 week",
    };
    let parts: Vec<String> = ["residual", "novelty", "flat", "gap"]
        .map(|method| {
            format!(
                "anomaly_score(value, time, '{method}', '{season}') OVER (PARTITION BY of_series ORDER BY time) AS {method}"
            )
        })
        .into();
    planned(
        "baseline_explain",
        format!(
            "SELECT k.time, {series} AS series, k.value, k.expected, k.lower, k.upper, k.score, k.band, \
             f.residual, f.novelty, f.flat, f.gap, {slot} AS slot, \
             {method} AS method, {version} AS version, p.samples, p.learned_until, \
             (SELECT string_agg(concat('#', id, ' ', reason, ' (', actor, ')'), '; ') FROM ops.override WHERE baseline = {of} \
             AND starts_at <= {at} AND until > {at}) AS overrides, \
             (SELECT string_agg(concat(mode, ' at ', at::text), '; ') FROM ops.rebaseline WHERE baseline = {of} AND at <= {at}) \
             AS rebaselines FROM kpi.{kpi} AS k LEFT JOIN (SELECT {series} AS of_series, count(value) AS samples, \
             max(time) FILTER (WHERE value IS NOT NULL) AS learned_until FROM kpi.{kpi} WHERE time < {at} GROUP BY 1) AS p \
             ON p.of_series = {series} LEFT JOIN (SELECT * FROM (SELECT of_series, time, {parts} FROM (SELECT {series} AS of_series, time, value \
             FROM kpi.{kpi} WHERE time <= {at}) AS v) AS w WHERE time = {at}) AS f ON f.of_series = {series} \
             WHERE k.time = {at} ORDER BY 2",
            parts = parts.join(", "),
            series = series_of(object),
            method = option("method", "auto"),
            version = its.version,
        ),
        lowering,
    )
}

/// The baseline of a KPI.
fn its_baseline<'a>(kpi: &str, lowering: &'a Lowering<'_>) -> Result<(&'a Object, &'a Baseline)> {
    let found = crate::relation::baseline_of(kpi, lowering.definitions);
    found.ok_or_else(|| {
        let hint = format!("CREATE BASELINE {kpi}_b ON KPI {kpi} gives it one.");
        Error::definition("KP003", format!("KPI \"{kpi}\" has no baseline")).hinted(&hint)
    })
}

/// `backtest_baseline`: how a baseline would have judged the past: a row for each series, with the share of values within the band
/// beside the one that was asked for, and how often scores as high as some came, beside how often they should.
///
/// # Errors
/// [`Error::UndefinedObject`].
pub(crate) fn backtest_baseline(
    name: &str,
    start_ns: i64,
    end_ns: i64,
    lowering: &Lowering<'_>,
) -> Result<Arc<dyn TableProvider>> {
    let object = lowering.definitions.get(Kind::Baseline, name)?;
    let Definition::Baseline(baseline) = &object.definition else {
        return Err(Error::Internal("a baseline that is none".to_owned()));
    };
    let (kpi, _) = kpi_of(&baseline.kpi, lowering)?;
    let wanted = baseline.option_text("band").unwrap_or("0.99");
    let days = (end_ns.saturating_sub(start_ns)) as f64 / 86_400e9;
    let above =
        |score: &str| format!("(count(*) FILTER (WHERE score >= {score}))::float8 / NULLIF(count(score), 0)::float8");
    planned(
        "backtest_baseline",
        format!(
            "SELECT {series} AS series, count(*) AS rows, count(score) AS judged, {wanted}::float8 AS band_wanted, \
             (count(*) FILTER (WHERE score IS NOT NULL AND value >= lower AND value <= upper))::float8 / NULLIF(count(score), 0)::float8 \
             AS band_held, {} AS score_1_share, {} AS score_2_share, {} AS score_3_share, \
             (count(*) FILTER (WHERE band = 'warn'))::float8 / {days}::float8 AS warnings_a_day, \
             (count(*) FILTER (WHERE band = 'critical'))::float8 / {days}::float8 AS criticals_a_day, \
             avg(abs(value - expected)) AS mean_error FROM kpi.{kpi} WHERE time >= {} AND time < {} GROUP BY 1 ORDER BY 1",
            above("1"),
            above("2"),
            above("3"),
            instant(start_ns),
            instant(end_ns),
            series = series_of(kpi),
            kpi = quoted(&baseline.kpi),
        ),
        lowering,
    )
}

/// `change_impact`: what the KPIs of a service were before a change and after it, for as long as the change took or an hour; and the
/// incidents of the service in the day after.
///
/// # Errors
/// [`Error::UndefinedObject`] without such a change.
pub(crate) fn change_impact(id: &str, lowering: &Lowering<'_>) -> Result<Arc<dyn TableProvider>> {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let table = incident::built_in("change")?;
    let held = lowering.database.ops().held(table);
    let missing = || Error::UndefinedObject { kind: "change", name: id.to_owned(), position: None, hint: None };
    let (_, row) = held.find(&["id"], &[crate::ops::Value::Text(id.to_owned())]).ok_or_else(missing)?;
    let row = Named::new(table, row);
    let start_ns = row.time_ns("starts_at").ok_or_else(missing)?;
    let end_ns = row.time_ns("ends_at").unwrap_or(start_ns).max(start_ns);
    let span_ns = end_ns.saturating_sub(start_ns).max(HOUR_NS);
    let service = row.text("service").unwrap_or_default();
    let of_service = lowering.definitions.of_kind(Kind::Kpi).filter(|object| match &object.definition {
        Definition::Kpi(kpi) => kpi.service.as_deref() == Some(service),
        _ => false,
    });
    let (before, from, after) = (instant(start_ns.saturating_sub(span_ns)), instant(start_ns), instant(end_ns));
    let until = instant(end_ns.saturating_add(span_ns));
    let one = |object: &Arc<Object>| {
        let has_band = crate::relation::has_baseline(&object.name, Kind::Kpi, lowering.definitions);
        let is_before = format!("time >= {before} AND time < {from}");
        let is_after = format!("time >= {after} AND time < {until}");
        let criticals = |when: &str| match has_band {
            true => format!("count(*) FILTER (WHERE {when} AND band = 'critical')"),
            false => "NULL::bigint".to_owned(),
        };
        // A median is what a value usually was; of shares the mean tells more, since most are 1.
        let usual = |when: &str| match object.columns.iter().any(|(column, _)| column == "total") {
            true => format!("avg(value) FILTER (WHERE {when})"),
            false => format!("approx_percentile(0.5, CASE WHEN {when} THEN value END)"),
        };
        format!(
            "SELECT {name} AS kpi, {series} AS series, {} AS before, {} AS after, \
             count(value) FILTER (WHERE {is_before}) AS rows_before, count(value) FILTER (WHERE {is_after}) AS rows_after, \
             {} AS critical_before, {} AS critical_after, {better} AS better \
             FROM kpi.{kpi} WHERE time >= {before} AND time < {until} GROUP BY 2",
            usual(&is_before),
            usual(&is_after),
            criticals(&is_before),
            criticals(&is_after),
            name = text_literal(&object.name),
            series = series_of(object),
            better = object.definition.option_text("better").map_or("NULL::text".to_owned(), text_literal),
            kpi = quoted(&object.name),
        )
    };
    let parts: Vec<String> = of_service.map(one).collect();
    if parts.is_empty() {
        let what = format!("service \"{service}\" of change \"{id}\" has no KPI");
        return Err(Error::definition("KP003", what).hinted("CREATE KPI ... ON SERVICE gives it one."));
    }
    planned(
        "change_impact",
        format!(
            "SELECT kpi, series, before, after, (after - before) / NULLIF(abs(before), 0) AS change, \
             CASE WHEN better IS NULL OR after = before THEN NULL WHEN better = 'low' THEN after < before ELSE after > before END \
             AS is_better, rows_before, rows_after, critical_before, critical_after, \
             (SELECT count(*) FROM ops.incident WHERE service = {} AND opened_at >= {from} \
             AND opened_at < {after} + INTERVAL '1 day') AS incidents FROM ({}) AS compared ORDER BY kpi, series",
            text_literal(service),
            parts.join(" UNION ALL ")
        ),
        lowering,
    )
}

/// `downtime_cost`: for how many minutes a service had open incidents between two instants, each minute once, and what that cost.
///
/// # Errors
/// [`Error::UndefinedObject`].
pub(crate) fn downtime_cost(
    service: &str,
    start_ns: i64,
    end_ns: i64,
    lowering: &Lowering<'_>,
) -> Result<Arc<dyn TableProvider>> {
    let object = lowering.definitions.get(Kind::Service, service)?;
    let option = |name: &str| object.definition.option_text(name);
    let cost = option("cost_per_minute").map_or("NULL".to_owned(), str::to_owned);
    let currency = option("currency").map_or("NULL::text".to_owned(), text_literal);
    let test = format!("i.service = {}", text_literal(service));
    planned(
        "downtime_cost",
        format!(
            "SELECT {name} AS service, COALESCE(sum(incidents), 0)::bigint AS incidents, COALESCE(sum(seconds), 0)::float8 / 60 AS minutes, \
             COALESCE(sum(seconds), 0)::float8 / 60 * {cost}::float8 AS cost, {currency} AS currency FROM ({open}) AS parts",
            name = text_literal(service),
            open = seconds_open("i.service", &instant(start_ns), &instant(end_ns), &test),
        ),
        lowering,
    )
}

/// `benchmark`: the KPIs of a taxonomy beside each other between two instants, the best first.
///
/// # Errors
/// [`Error::Definition`], KP003 when no KPI is of that taxonomy.
pub(crate) fn benchmark(
    taxonomy: &str,
    start_ns: i64,
    end_ns: i64,
    lowering: &Lowering<'_>,
) -> Result<Arc<dyn TableProvider>> {
    let is_of = |object: &&Arc<Object>| {
        let its = object.definition.option_text("taxonomy").unwrap_or_default();
        its == taxonomy || its.strip_prefix(taxonomy).is_some_and(|rest| rest.starts_with('.'))
    };
    let one = |object: &Arc<Object>| {
        let option = |name: &str| object.definition.option_text(name).map_or("NULL::text".to_owned(), text_literal);
        let service = match &object.definition {
            Definition::Kpi(kpi) => kpi.service.as_deref().map_or("NULL::text".to_owned(), text_literal),
            _ => "NULL::text".to_owned(),
        };
        let sign = if object.definition.option_text("better") == Some("high") { "-" } else { "" };
        format!(
            "SELECT {} AS kpi, {service} AS service, {} AS taxonomy, {} AS unit, count(value) AS rows, \
             approx_percentile(0.5, value) AS median, approx_percentile(0.95, value) AS p95, avg(value) AS mean, \
             {sign}approx_percentile(0.5, value) AS place FROM kpi.{} WHERE time >= {} AND time < {}",
            text_literal(&object.name),
            option("taxonomy"),
            option("unit"),
            quoted(&object.name),
            instant(start_ns),
            instant(end_ns),
        )
    };
    let parts: Vec<String> = lowering.definitions.of_kind(Kind::Kpi).filter(is_of).map(one).collect();
    if parts.is_empty() {
        let what = format!("no KPI is of the taxonomy \"{taxonomy}\"");
        return Err(Error::definition("KP003", what).hinted("The option taxonomy of a KPI says what it is of."));
    }
    let all = parts.join(" UNION ALL ");
    planned(
        "benchmark",
        format!(
            "SELECT rank() OVER (PARTITION BY unit ORDER BY place NULLS LAST) AS rank, kpi, service, taxonomy, unit, rows, median, p95, \
             mean FROM ({all}) AS compared ORDER BY unit, 1, kpi"
        ),
        lowering,
    )
}

/// `kpi_conflict`: pairs of KPIs that claim to measure the same and do not say the same of it.
///
/// # Errors
/// None.
pub(crate) fn kpi_conflict(lowering: &Lowering<'_>) -> Result<Arc<dyn TableProvider>> {
    let kpis: Vec<&Arc<Object>> = lowering.definitions.of_kind(Kind::Kpi).collect();
    let mut rows = Vec::new();
    for (at, one) in kpis.iter().enumerate() {
        for other in &kpis[at + 1..] {
            let option = |object: &Object, name: &str| object.definition.option_text(name).map(str::to_owned);
            let taxonomy = option(one, "taxonomy");
            let (Definition::Kpi(a), Definition::Kpi(b)) = (&one.definition, &other.definition) else { continue };
            if taxonomy.is_none() || taxonomy != option(other, "taxonomy") || a.service != b.service {
                continue;
            }
            let differs = |name: &str| option(one, name) != option(other, name);
            let options = ["unit", "better", "kind", "calendar", "on_missing"].into_iter().filter(|name| differs(name));
            let mut what: Vec<&str> = options.collect();
            if a.query.text.split_whitespace().ne(b.query.text.split_whitespace()) {
                what.push("query");
            }
            if what.is_empty() {
                what.push("nothing: one of them is not needed");
            }
            rows.push(format!(
                "({}, {}, {}, {}, {})",
                text_literal(taxonomy.as_deref().unwrap_or_default()),
                a.service.as_deref().map_or("NULL::text".to_owned(), text_literal),
                text_literal(&one.name),
                text_literal(&other.name),
                text_literal(&what.join(", ")),
            ));
        }
    }
    let none = rows.is_empty();
    if none {
        rows.push("('', NULL::text, '', '', '')".to_owned());
    }
    planned(
        "kpi_conflict",
        format!(
            "SELECT * FROM (VALUES {}) AS c(taxonomy, service, kpi, other, differs) WHERE {} ORDER BY 1, 3, 4",
            rows.join(", "),
            !none
        ),
        lowering,
    )
}
