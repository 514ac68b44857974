//! An SLI becomes a KPI.

use plimsoll_query::quoted;
use serde_json::{Map, Value as Json};

use super::place::{At, Left};
use super::{Work, ours, with};

/// What the rows of an indicator are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `good` and `total`.
    Ratio,
    /// A value, compared with that of an objective.
    Value,
    /// A share of good events, or of bad ones.
    Share { is_good: bool },
}

/// Types of sources whose queries are SQL of ours.
const TYPES: [&str; 2] = ["plimsoll", "sql"];

/// A query of a metric and the column that is meant.
struct Metric {
    query: String,
    column: Option<String>,
}

impl<'a> Work<'a> {
    /// Makes the KPI of an SLI; of one that stands in an SLO, on its service.
    pub(super) fn indicator(&mut self, at: &At<'a>, service: Option<&str>) -> Result<(String, Shape), Left> {
        let name = self.sql_name(at)?;
        let (query, shape, step) = self.indicator_query(at)?;
        let service = ours(at, "service").or(service.map(str::to_owned));
        let on = service.map(|service| format!(" ON SERVICE {}", quoted(&service))).unwrap_or_default();
        let options = with(step.map(|step| format!("step = {step}")).into_iter().collect(), at);
        let text = format!("CREATE OR REPLACE KPI {}{on} AS {query}{options}", quoted(&name));
        self.make("kpi", &name, text, at)?;
        let mut kept = Map::new();
        if let Shape::Share { is_good } = shape {
            kept.insert("rawType".to_owned(), Json::from(if is_good { "success" } else { "failure" }));
        }
        self.comment("kpi", &name, at, kept)?;
        Ok((name, shape))
    }

    /// The query of an indicator, what its rows are, and the width of its buckets when the query does not show it.
    pub(super) fn indicator_query(&mut self, at: &At<'a>) -> Result<(String, Shape, Option<String>), Left> {
        let spec = at.need("spec")?;
        match (spec.get("thresholdMetric"), spec.get("ratioMetric")) {
            (Some(metric), None) => Ok((valued(self.metric(&metric)?), Shape::Value, None)),
            (None, Some(ratio)) => self.ratio(&ratio),
            _ => Err(spec.left("exactly one of thresholdMetric and ratioMetric is needed")),
        }
    }

    /// What the rows of an SLI are.
    pub(super) fn shape(&self, at: &At<'a>) -> Option<Shape> {
        let spec = at.get("spec")?;
        let Some(ratio) = spec.get("ratioMetric") else { return Some(Shape::Value) };
        let is_good = ratio.get("rawType").is_none_or(|word| word.node.text() != Some("failure"));
        Some(if ratio.get("raw").is_some() { Shape::Share { is_good } } else { Shape::Ratio })
    }

    fn ratio(&mut self, at: &At<'a>) -> Result<(String, Shape, Option<String>), Left> {
        if let Some(raw) = at.get("raw") {
            let word = at.need("rawType")?;
            let is_good = match word.need_text()? {
                "success" => true,
                "failure" => false,
                _ => return Err(word.left("rawType is success or failure")),
            };
            return Ok((valued(self.metric(&raw)?), Shape::Share { is_good }, None));
        }
        let total = self.metric(&at.need("total")?)?;
        let (part, is_good) = match (at.get("good"), at.get("bad")) {
            (Some(good), None) => (self.metric(&good)?, true),
            (None, Some(bad)) => (self.metric(&bad)?, false),
            _ => return Err(at.left("exactly one of good and bad is needed beside total")),
        };
        let is_counter = at.get("counter").map(|counter| counter.truth()).transpose()?.unwrap_or(false);
        if part.query == total.query && !is_counter {
            let of = |metric: &Metric, usual: &str| metric.column.clone().unwrap_or(usual.to_owned());
            let (counted, all) = (of(&part, if is_good { "good" } else { "bad" }), of(&total, "total"));
            if is_good && counted == "good" && all == "total" {
                return Ok((total.query, Shape::Ratio, None));
            }
            let (counted, all) = (quoted(&counted), quoted(&all));
            let good = if is_good { counted } else { format!("{all} - {counted}") };
            let query = format!("SELECT time, {good} AS good, {all} AS total FROM ({}) AS q", closed(&total.query));
            return Ok((query, Shape::Ratio, width(&total.query)));
        }
        let good = if is_good { "coalesce(p.value, 0)" } else { "t.value - coalesce(p.value, 0)" };
        let query = format!(
            "SELECT t.time AS time, {good} AS good, t.value AS total FROM ({}) AS t LEFT JOIN ({}) AS p ON p.time = t.time",
            counted(&total, is_counter),
            counted(&part, is_counter)
        );
        Ok((query, Shape::Ratio, width(&total.query)))
    }

    fn metric(&mut self, at: &At<'a>) -> Result<Metric, Left> {
        let source = at.need("metricSource")?;
        let named = source.get("metricSourceRef");
        let of_reference = match &named {
            Some(reference) => {
                let name = reference.need_text()?.to_owned();
                let document = self.documents.get(&("DataSource", name));
                document.and_then(|at| at.get("spec")?.get("type"))
            }
            None => None,
        };
        let Some(kind) = source.get("type").or(of_reference) else {
            return Err(match named {
                Some(reference) => reference.left("no file has this DataSource, and no type is given beside it"),
                None => source.left("metricSource.type is missing, so it is not known whose query this is"),
            });
        };
        let word = kind.need_text()?.to_owned();
        let spec = source.need("spec")?;
        if !TYPES.contains(&word.to_lowercase().as_str()) {
            return Err(
                spec.left(format!("a query of type {word} is not translatable: types are {}", TYPES.join(" and ")))
            );
        }
        self.unknown(&spec, &["query", "column"]);
        let query = spec.need("query")?.need_text()?.trim().trim_end_matches(';').trim_end().to_owned();
        let column = spec.get("column").map(|column| column.need_text().map(str::to_owned)).transpose()?;
        Ok(Metric { query, column })
    }
}

/// A query to stand in parentheses: a comment at its end must not hide what closes it.
fn closed(query: &str) -> String {
    if query.contains("--") { format!("{query}\n") } else { query.to_owned() }
}

/// A query with `time` and `value`.
fn valued(metric: Metric) -> String {
    match metric.column.as_deref() {
        None | Some("value") => metric.query,
        Some(column) => {
            format!("SELECT time, {} AS value FROM ({}) AS q", quoted(column), closed(&metric.query))
        }
    }
}

/// `time` and `value` of a metric, a row for each time; of a counter, by how much it has grown.
fn counted(metric: &Metric, is_counter: bool) -> String {
    let column = quoted(metric.column.as_deref().unwrap_or("value"));
    let sums = format!("SELECT time, sum({column}) AS value FROM ({}) AS q GROUP BY time", closed(&metric.query));
    match is_counter {
        false => sums,
        // A counter that is smaller than before has begun anew.
        true => format!(
            "SELECT time, CASE WHEN before IS NULL THEN 0 WHEN value < before THEN value ELSE value - before END AS value \
             FROM (SELECT time, value, lag(value) OVER (ORDER BY time) AS before FROM ({sums}) AS s) AS c"
        ),
    }
}

/// The literal of the width of buckets in a query.
fn width(query: &str) -> Option<String> {
    let at = query.find("time_bucket('")? + "time_bucket(".len();
    let end = query[at + 1..].find('\'')?;
    query.get(at..at + end + 2).map(str::to_owned)
}
