//! What a KPI is worth as a signal: whether two times differ, what a coarser step would miss, and services that nobody needs.

use std::sync::Arc;

use datafusion::catalog::TableProvider;

use super::planned;
use super::study::{instant, kpi_of, series_of};
use crate::dialect::{Definition, Kind, quoted, text_literal};
use crate::lower::Lowering;
use crate::{Error, Result};

/// A stretch of time in nanoseconds since the Unix epoch, the end apart.
pub(crate) type Stretch = (i64, i64);

/// `significant`: whether the mean of a KPI differs between two stretches of time, for each series: by how many standard errors
/// (Welch 1947), and whether that is more than in one of a hundred comparisons of what is the same. Values that follow one another
/// closely are alike, so that they tell less than as many independent ones would.
///
/// # Errors
/// [`Error::UndefinedObject`].
pub(crate) fn significant(
    name: &str,
    first: Stretch,
    second: Stretch,
    lowering: &Lowering<'_>,
) -> Result<Arc<dyn TableProvider>> {
    /// Standard errors: the quantile of the normal distribution for one in a hundred on both sides.
    const LIMIT: f64 = 2.576;
    /// Values of each side, below which nothing is said.
    const LEAST: usize = 10;
    let (object, _) = kpi_of(name, lowering)?;
    let side = |(start_ns, end_ns): Stretch| {
        format!(
            "SELECT {} AS series, count(value) AS n, avg(value) AS mean, var_samp(value) AS spread FROM kpi.{} \
             WHERE time >= {} AND time < {} GROUP BY 1",
            series_of(object),
            quoted(name),
            instant(start_ns),
            instant(end_ns)
        )
    };
    let text = format!(
        "SELECT series, n_before, n_after, mean_before, mean_after, errors, CASE WHEN n_before < {LEAST} OR n_after < {LEAST} \
         THEN NULL WHEN mean_before = mean_after THEN false WHEN errors IS NULL THEN true ELSE abs(errors) > {LIMIT} END \
         AS is_significant FROM (SELECT a.series, a.n AS n_before, b.n AS n_after, a.mean AS mean_before, b.mean AS mean_after, \
         (b.mean - a.mean) / NULLIF(sqrt(a.spread / a.n + b.spread / b.n), 0) AS errors FROM ({}) AS a JOIN ({}) AS b \
         ON a.series = b.series) AS compared ORDER BY series",
        side(first),
        side(second)
    );
    planned("significant", text, lowering)
}

/// `aliasing_report`: what would be known of a KPI that is measured at every second, fifth or tenth of its buckets alone: how far
/// its figures are from what they are, how many critical ones nobody would have seen, and how much later the others.
///
/// # Errors
/// [`Error::UndefinedObject`], KP007 where the width of buckets is not known.
pub(crate) fn aliasing(name: &str, lowering: &Lowering<'_>) -> Result<Arc<dyn TableProvider>> {
    let (object, _) = kpi_of(name, lowering)?;
    let Definition::Kpi(kpi) = &object.definition else {
        return Err(Error::Internal("a KPI that is none".to_owned()));
    };
    let step_ns = crate::relation::known_step_of(kpi, lowering.definitions)?;
    let has_band = crate::relation::has_baseline(name, Kind::Kpi, lowering.definitions);
    let is_critical = if has_band { "band = 'critical'" } else { "false" };
    let bucket = |factor: i64| {
        let seconds = step_ns.saturating_mul(factor) as f64 / 1e9;
        format!("time_bucket('{seconds} seconds', time)")
    };
    let one = |factor: i64| {
        format!(
            "SELECT {factor} AS factor, {seconds}::float8 AS step_seconds, count(*) FILTER (WHERE is_kept) AS rows_kept, \
             (count(*) FILTER (WHERE is_kept))::float8 / NULLIF(count(*), 0)::float8 AS share_of_bytes, \
             avg(value) AS mean, avg(value) FILTER (WHERE is_kept) AS mean_seen, \
             approx_percentile(0.95, value) AS p95, approx_percentile(0.95, CASE WHEN is_kept THEN value END) AS p95_seen, \
             max(value) AS most, max(value) FILTER (WHERE is_kept) AS most_seen, \
             count(*) FILTER (WHERE is_critical) AS critical, count(*) FILTER (WHERE is_critical AND NOT is_kept) AS critical_missed, \
             avg(CASE WHEN is_critical THEN CASE WHEN is_kept THEN 0::float8 ELSE {seconds}::float8 - late END END) AS delay_seconds \
             FROM (SELECT value, {is_critical} AS is_critical, time = {bucket} AS is_kept, \
             extract(epoch FROM time - {bucket})::float8 AS late FROM kpi.{kpi} WHERE value IS NOT NULL) AS rows_{factor}",
            seconds = step_ns.saturating_mul(factor) as f64 / 1e9,
            bucket = bucket(factor),
            kpi = quoted(name),
        )
    };
    let text = [2, 5, 10].map(one).join(" UNION ALL ");
    planned("aliasing_report", format!("SELECT * FROM ({text}) AS reports ORDER BY factor"), lowering)
}

/// `decommission_candidates`: services that are hardly used: the mean of each of their KPIs of the taxonomy `utilisation` over a
/// length of time, where it is below a limit; with what they cost and who depends on them.
///
/// # Errors
/// None.
pub(crate) fn decommission(length_ns: i64, below: f64, lowering: &Lowering<'_>) -> Result<Arc<dyn TableProvider>> {
    const TAXONOMY: &str = "utilisation";
    let seconds = length_ns as f64 / 1e9;
    let kpis = lowering.definitions.of_kind(Kind::Kpi).filter_map(|object| match &object.definition {
        Definition::Kpi(kpi) => {
            let taxonomy = kpi.option_text("taxonomy")?;
            let is_of = taxonomy == TAXONOMY || taxonomy.starts_with("utilisation.");
            is_of.then_some((kpi.service.as_deref()?, kpi.name.as_str()))
        }
        _ => None,
    });
    let used = |(service, kpi): (&str, &str)| {
        format!(
            "SELECT {} AS service, {} AS kpi, avg(value) AS utilisation, count(value) AS rows FROM kpi.{} \
             WHERE time >= now() - INTERVAL '{seconds} seconds'",
            text_literal(service),
            text_literal(kpi),
            quoted(kpi)
        )
    };
    let mut parts: Vec<String> = kpis.map(used).collect();
    if parts.is_empty() {
        parts.push("SELECT '' AS service, '' AS kpi, NULL::float8 AS utilisation, 0::bigint AS rows".to_owned());
    }
    let text = format!(
        "SELECT u.service, h.tier, h.owner, u.kpi, u.utilisation, u.rows, h.dependents, h.incidents_30d, h.minutes_down, h.cost, \
         h.currency FROM ({}) AS u JOIN ops.service_health AS h ON h.service = u.service WHERE u.utilisation < {below}::float8 \
         ORDER BY h.dependents, u.utilisation, u.service, u.kpi",
        parts.join(" UNION ALL ")
    );
    planned("decommission_candidates", text, lowering)
}
