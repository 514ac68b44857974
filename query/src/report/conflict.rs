//! KPIs that are weighed against one another, and services that answer for one together.

use std::sync::Arc;

use datafusion::catalog::TableProvider;

use super::planned;
use super::study::{instant, kpi_of};
use crate::catalog::{Object, Reference};
use crate::dialect::{Definition, Kind, quoted, text_literal};
use crate::lower::Lowering;
use crate::{Error, Result};

/// `kpi_conflict` of one KPI: the periods in which it became better and the KPI that counters it worse, or the other way round. What
/// a period came to is the mean of its values; each is compared with the period before.
///
/// # Errors
/// [`Error::UndefinedObject`]; KP003 where no KPI counters it, or one of the two does not say what is better.
pub(crate) fn counter_conflict(
    name: &str,
    other: Option<&str>,
    period_ns: i64,
    lowering: &Lowering<'_>,
) -> Result<Arc<dyn TableProvider>> {
    let (object, _) = kpi_of(name, lowering)?;
    let counter = other.or(object.definition.option_text("counter_kpi")).ok_or_else(|| {
        let what = format!("no KPI counters KPI \"{name}\"");
        Error::definition("KP003", what).hinted("Its option counter_kpi says which one does, or the second argument.")
    })?;
    let (countering, _) = kpi_of(counter, lowering)?;
    let seconds = period_ns.div_euclid(1_000_000_000).max(1);
    let means = |object: &Object| -> Result<String> {
        let sign = match object.definition.option_text("better") {
            Some("low") => "-1",
            Some(_) => "1",
            None => {
                let what = format!("KPI \"{}\" does not say which values are better", object.name);
                return Err(Error::definition("KP003", what).hinted("ALTER KPI ... SET (better = 'low') says so."));
            }
        };
        Ok(format!(
            "SELECT period, value, value - lag(value) OVER (ORDER BY period) AS change, \
             {sign} * (value - lag(value) OVER (ORDER BY period)) AS gain FROM (SELECT time_bucket('{seconds} seconds', time) \
             AS period, avg(value) AS value FROM kpi.{} GROUP BY 1) AS means WHERE value IS NOT NULL",
            quoted(&object.name)
        ))
    };
    let text = format!(
        "SELECT a.period AS period_start, {} AS kpi, a.value, a.change, {} AS other, b.value AS other_value, \
         b.change AS other_change, CASE WHEN a.gain > 0 THEN 'better' ELSE 'worse' END AS moved \
         FROM ({}) AS a JOIN ({}) AS b ON a.period = b.period WHERE a.gain * b.gain < 0 ORDER BY 1",
        text_literal(name),
        text_literal(counter),
        means(object)?,
        means(countering)?,
    );
    planned("kpi_conflict", text, lowering)
}

/// `attribution`: for how many minutes between two instants a KPI was bad, and how they are split among the services that answer
/// for it. A bucket is bad that misses the highest objective of the SLOs that read the KPI, or, of a KPI with a baseline that is
/// no ratio, one with `band = 'critical'`; time outside of the calendar of the KPI does not count. Services with an open incident in a bucket share it by their weights; without any, all do.
///
/// # Errors
/// [`Error::UndefinedObject`]; KP003 without `contributors`, KP007 where the width of buckets is not known, KP023 where neither a
/// promise nor a baseline says what is bad.
pub(crate) fn attribution(
    name: &str,
    start_ns: i64,
    end_ns: i64,
    lowering: &Lowering<'_>,
) -> Result<Arc<dyn TableProvider>> {
    let (object, is_ratio) = kpi_of(name, lowering)?;
    let Definition::Kpi(kpi) = &object.definition else {
        return Err(Error::Internal("a KPI that is none".to_owned()));
    };
    let option = kpi.option_text("contributors").ok_or_else(|| {
        let what = format!("no services answer for KPI \"{name}\" together");
        Error::definition("KP003", what).hinted("Its option contributors says which: '{\"payments\": 2, \"cart\": 1}'.")
    })?;
    let weights: Vec<String> = crate::relation::contributors(option)?
        .iter()
        .map(|(service, weight)| format!("({}, {weight:?}::float8)", text_literal(service)))
        .collect();
    let step_ns = crate::relation::known_step_of(kpi, lowering.definitions)?;
    let seconds = step_ns as f64 / 1e9;
    let bad = bad(object, is_ratio, lowering)?;
    let open = kpi.option_text("calendar").map_or(String::new(), |calendar| {
        let calendar = text_literal(calendar);
        format!(" AND business_time(time, time + INTERVAL '{seconds} seconds', {calendar}) > INTERVAL '0 seconds'")
    });
    let text = format!(
        "SELECT service, weight, sum(CASE WHEN whole > 0 THEN part / whole * {seconds}::float8 / 60 ELSE 0 END) AS minutes, \
         sum(open) * {seconds}::float8 / 60 AS incident_minutes FROM (SELECT service, weight, open, \
         CASE WHEN max(open) OVER (PARTITION BY time) = 0 OR open = 1 THEN bad * weight ELSE 0 END AS part, \
         sum(CASE WHEN open = 1 THEN weight ELSE 0 END) OVER (PARTITION BY time) + CASE WHEN max(open) OVER (PARTITION BY time) = 0 \
         THEN sum(weight) OVER (PARTITION BY time) ELSE 0 END AS whole FROM (SELECT b.time, b.bad, c.service, c.weight, \
         max(CASE WHEN i.id IS NULL THEN 0 ELSE b.bad END) AS open FROM (SELECT time, 1 AS bad FROM kpi.{kpi} \
         WHERE time >= {from} AND time < {to} AND {bad}{open} GROUP BY time UNION ALL SELECT {from} AS time, 0 AS bad) AS b \
         CROSS JOIN (VALUES {weights}) AS c(service, weight) LEFT JOIN ops.incident AS i ON i.service = c.service \
         AND i.opened_at < b.time + INTERVAL '{seconds} seconds' AND COALESCE(i.resolved_at, now()) > b.time \
         GROUP BY 1, 2, 3, 4) AS split) AS shared GROUP BY 1, 2 ORDER BY 3 DESC, 1",
        kpi = quoted(name),
        from = instant(start_ns),
        to = instant(end_ns),
        weights = weights.join(", "),
    );
    planned("attribution", text, lowering)
}

/// What makes a bucket of a KPI bad, as SQL.
fn bad(object: &Object, is_ratio: bool, lowering: &Lowering<'_>) -> Result<String> {
    let of = Reference::Object(Kind::Kpi, object.name.clone());
    let objectives = lowering.definitions.of_kind(Kind::Slo).filter_map(|slo| match &slo.definition {
        Definition::Slo(promise) if slo.reads.contains(&of) => Some(promise.objective.parts()),
        _ => None,
    });
    let has_band = crate::relation::has_baseline(&object.name, Kind::Kpi, lowering.definitions);
    match objectives.max() {
        Some(parts) if is_ratio => Ok(format!("value < {}::float8", parts as f64 / crate::analysis::sli::WHOLE as f64)),
        _ if has_band => Ok("band = 'critical'".to_owned()),
        _ => {
            let what = format!("nothing says when KPI \"{}\" is bad", object.name);
            let hint = "CREATE SLO over good and total, or CREATE BASELINE, says so.";
            Err(Error::definition("KP023", what).hinted(hint))
        }
    }
}
