//! An SLO, and what time it is about.

use chrono::{Datelike as _, NaiveDate, NaiveDateTime, NaiveTime};
use plimsoll_query::{quoted, text_literal};
use serde_json::{Map, Value as Json};

use super::indicator::Shape;
use super::place::{At, Left};
use super::{Work, ours, with};

/// Fields of an objective.
const FIELDS: [&str; 10] = [
    "displayName",
    "op",
    "value",
    "target",
    "targetPercent",
    "timeSliceTarget",
    "timeSliceWindow",
    "indicator",
    "indicatorRef",
    "compositeWeight",
];

impl<'a> Work<'a> {
    /// Makes the SLOs of a document, one for each objective, and the alerts of each.
    pub(super) fn objectives(&mut self, at: &At<'a>) -> Result<(), Left> {
        let spec = at.need("spec")?;
        let name = self.sql_name(at)?;
        let objectives = spec.need("objectives")?;
        let items = objectives.items();
        if items.is_empty() {
            return Err(objectives.left("an SLO needs an objective"));
        }
        if let Some(composite) = items.iter().find_map(|item| item.get("indicator").or(item.get("indicatorRef"))) {
            return Err(composite.left("a composite SLO is not translatable: CREATE SLO ... AS COMPOSITE says it"));
        }
        let service = spec.get("service").map(|service| self.service_named(&service)).transpose()?;
        let window = self.window(&spec)?;
        let (source, shape) = self.source(at, &spec, service.as_deref())?;
        for (index, objective) in items.iter().enumerate() {
            self.unknown(objective, &FIELDS);
            let mut kept = Map::new();
            let name = match items.len() {
                1 => name.clone(),
                _ => {
                    kept.insert("objective".to_owned(), Json::from(index + 1));
                    format!("{name}_{}", index + 1)
                }
            };
            let query = self.query(objective, &source, shape)?;
            let percent = self.percent(objective)?;
            let options = self.budgeting(&spec, objective)?;
            let on = service.as_ref().map(|service| format!(" ON SERVICE {}", quoted(service))).unwrap_or_default();
            let text = format!(
                "CREATE OR REPLACE SLO {}{on} OBJECTIVE {percent}% OVER {window} AS {query}{}",
                quoted(&name),
                with(options, at)
            );
            self.make("slo", &name, text, at)?;
            if let Some(shown) = objective.get("displayName") {
                kept.insert("objectiveName".to_owned(), Json::from(shown.need_text()?));
            }
            let start = spec.get("timeWindow").and_then(|list| list.items().first()?.get("calendar")?.get("startTime"));
            if let Some(start) =
                start.and_then(|start| start.node.text()).filter(|start| *start != super::super::export::START)
            {
                kept.insert("startTime".to_owned(), Json::from(start));
            }
            self.comment("slo", &name, at, kept)?;
            for policy in spec.get("alertPolicies").map(|list| list.items()).unwrap_or_default() {
                if let Err(left) = self.alert(&policy, &name, service.as_deref()) {
                    self.left(left);
                }
            }
        }
        Ok(())
    }

    /// What an SLO reads: a relation, or a query as it is, and what its rows are.
    fn source(&mut self, at: &At<'a>, spec: &At<'a>, service: Option<&str>) -> Result<(Source, Option<Shape>), Left> {
        match (spec.get("indicator"), spec.get("indicatorRef")) {
            (Some(inline), None) if ours(&inline, "inline").is_some() => {
                let (query, shape, _) = self.indicator_query(&inline)?;
                Ok((Source::Query(query), Some(shape)))
            }
            (Some(inline), None) => {
                if inline.get("metadata").and_then(|metadata| metadata.get("name")).is_none() {
                    return Err(inline.left("the indicator needs metadata.name: it becomes a KPI of that name"));
                }
                let (name, shape) = self.indicator(&inline, service)?;
                Ok((Source::Kpi(name), Some(shape)))
            }
            (None, Some(reference)) => {
                let of = reference.need_text()?;
                let name = self.reference("SLI", of);
                match self.documents.get(&("SLI", of.to_owned())).cloned() {
                    Some(_) if !self.made.contains_key(&("kpi", name.clone())) => {
                        Err(reference.left(format!("the SLI {of} is left out, so this SLO is too")))
                    }
                    Some(document) => Ok((Source::Kpi(name), self.shape(&document))),
                    None => {
                        self.note(&reference, format!("no file defines this SLI: the KPI {name} has to be there"));
                        Ok((Source::Kpi(name), None))
                    }
                }
            }
            _ => Err(at.left("exactly one of spec.indicator and spec.indicatorRef is needed")),
        }
    }

    fn query(&self, objective: &At<'a>, source: &Source, shape: Option<Shape>) -> Result<String, Left> {
        let kpi = match source {
            Source::Query(query) if shape == Some(Shape::Ratio) => return Ok(query.clone()),
            Source::Query(query) => format!("({query}) AS q"),
            Source::Kpi(name) => format!("kpi.{}", quoted(name)),
        };
        let compares = objective.get("op").is_some() || objective.get("value").is_some();
        let shape = shape.unwrap_or(if compares { Shape::Value } else { Shape::Ratio });
        Ok(match shape {
            Shape::Ratio => format!("SELECT time, good, total FROM {kpi}"),
            Shape::Share { is_good } => {
                let good = if is_good { "value" } else { "1 - value" };
                format!("SELECT time, {good} AS good, 1 AS total FROM {kpi} WHERE value IS NOT NULL")
            }
            Shape::Value => {
                let op = objective.need("op")?;
                let sign = sign(&op)?;
                let value = objective.need("value")?;
                value.number()?;
                let value = value.need_text()?;
                format!(
                    "SELECT time, CASE WHEN value {sign} {value} THEN 1 ELSE 0 END AS good, 1 AS total FROM {kpi} \
                     WHERE value IS NOT NULL"
                )
            }
        })
    }

    /// The objective in percent, with six digits at most.
    fn percent(&mut self, objective: &At<'a>) -> Result<String, Left> {
        let (at, share) = match (objective.get("target"), objective.get("targetPercent")) {
            (Some(target), None) => (target.clone(), target.number()? * 100.0),
            (None, Some(percent)) => (percent.clone(), percent.number()?),
            _ => return Err(objective.left("exactly one of target and targetPercent is needed")),
        };
        if !(share > 0.0 && share < 100.0) {
            return Err(at.left("a target leaves room for some failure: it is more than nothing and less than all"));
        }
        let digits = format!("{share:.6}");
        if digits.parse::<f64>().is_ok_and(|rounded| (rounded - share).abs() > 1e-9) {
            self.note(&at, format!("rounded to {digits}%"));
        }
        Ok(digits.trim_end_matches('0').trim_end_matches('.').to_owned())
    }

    fn budgeting(&self, spec: &At<'a>, objective: &At<'a>) -> Result<Vec<String>, Left> {
        let method = spec.get("budgetingMethod");
        let word = match &method {
            Some(method) => method.need_text()?,
            None => "Occurrences",
        };
        let slice = || -> Result<String, Left> {
            let at = objective.need("timeSliceWindow")?;
            let text = at.need_text()?;
            // A bare number is one of minutes.
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            let text = if is_number { format!("{text}m") } else { text.to_owned() };
            Ok(format!("slice = {}", text_literal(&length(&text).ok_or_else(|| wrong_length(&at))?)))
        };
        match (word, method) {
            ("Occurrences", _) => Ok(Vec::new()),
            ("Timeslices", _) => {
                let target = objective.need("timeSliceTarget")?;
                target.number()?;
                let target = format!("slice_target = {}", target.need_text()?);
                Ok(vec!["budgeting = 'timeslices'".to_owned(), slice()?, target])
            }
            ("RatioTimeslices", _) => Ok(vec!["budgeting = 'ratio_timeslices'".to_owned(), slice()?]),
            (_, method) => Err(method
                .unwrap_or_else(|| spec.clone())
                .left("budgetingMethod is Occurrences, Timeslices or RatioTimeslices")),
        }
    }

    /// The clause behind `OVER`.
    fn window(&mut self, spec: &At<'a>) -> Result<String, Left> {
        let Some(list) = spec.get("timeWindow") else {
            self.note(spec, "no timeWindow: four weeks, rolling");
            return Ok("ROLLING '28 days'".to_owned());
        };
        let items = list.items();
        let [window] = items.as_slice() else { return Err(list.left("timeWindow has exactly one item")) };
        let duration = window.need("duration")?;
        let text = duration.need_text()?;
        let period = length(text).ok_or_else(|| wrong_length(&duration))?;
        let calendar = window.get("calendar");
        let is_rolling = window.get("isRolling").map(|at| at.truth()).transpose()?.unwrap_or(calendar.is_none());
        match calendar {
            _ if is_rolling => {
                let (count, days) = match text.split_at(text.len() - 1) {
                    (count, "M") => (count, 30),
                    (count, "Q") => (count, 90),
                    (count, "Y") => (count, 365),
                    _ => return Ok(format!("ROLLING {}", text_literal(&period))),
                };
                let days = count.parse::<u64>().unwrap_or(1).saturating_mul(days);
                self.note(&duration, format!("a rolling window has a fixed length: {days} days"));
                Ok(format!("ROLLING '{days} days'"))
            }
            None => Err(window.left("a window that is not rolling needs calendar")),
            Some(calendar) => {
                if matches!(text.as_bytes().last(), Some(b'm' | b'h')) {
                    return Err(duration.left("a calendar window is of days, weeks, months, quarters or years"));
                }
                if let Some(start) = calendar.get("startTime")
                    && !is_aligned(start.need_text()?, text)
                {
                    self.note(&start, format!("windows begin with the calendar's own periods of {period}, not then"));
                }
                let zone = calendar.get("timeZone").map(|zone| zone.need_text()).transpose()?;
                let zone =
                    zone.filter(|zone| *zone != "UTC").map(|zone| format!(" AT TIME ZONE {}", text_literal(zone)));
                Ok(format!("{}{}", text_literal(&period), zone.unwrap_or_default()))
            }
        }
    }
}

/// What an SLO reads.
enum Source {
    Kpi(String),
    Query(String),
}

/// The sign of an operator.
pub(super) fn sign(at: &At<'_>) -> Result<&'static str, Left> {
    match at.need_text()? {
        "lte" => Ok("<="),
        "lt" => Ok("<"),
        "gte" => Ok(">="),
        "gt" => Ok(">"),
        _ => Err(at.left("op is lte, lt, gte or gt")),
    }
}

pub(super) fn wrong_length(at: &At<'_>) -> Left {
    at.left("this has to be a number with m, h, d, w, M, Q or Y, such as 4w")
}

/// A duration-shorthand as the dialect writes it.
pub(super) fn length(text: &str) -> Option<String> {
    let count = text.get(..text.len().checked_sub(1)?)?;
    let number: u32 = count.parse().ok().filter(|_| count.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (one, many) = match text.as_bytes().last()? {
        b'm' => ("min", "min"),
        b'h' => ("hour", "hours"),
        b'd' => ("day", "days"),
        b'w' => ("week", "weeks"),
        b'M' => ("month", "months"),
        b'Q' => ("quarter", "quarters"),
        b'Y' => ("year", "years"),
        _ => return None,
    };
    Some(format!("{number} {}", if number == 1 { one } else { many }))
}

/// True when a period of such a length, counted as the dialect does, begins at a time.
fn is_aligned(start: &str, length: &str) -> bool {
    let time = NaiveDateTime::parse_from_str(&start.replace('T', " "), "%Y-%m-%d %H:%M:%S");
    let (Ok(time), Some(epoch)) = (time, NaiveDate::from_ymd_opt(1970, 1, 5)) else { return false };
    let (count, unit) = length.split_at(length.len().saturating_sub(1));
    let count = count.parse::<i64>().unwrap_or(1).max(1);
    let months = i64::from(time.year()) * 12 + i64::from(time.month0()) - 1970 * 12;
    let days = time.date().signed_duration_since(epoch).num_days();
    let each_months = |each: i64| time.day() == 1 && months % (count.saturating_mul(each)) == 0;
    time.time() == NaiveTime::MIN
        && match unit {
            "d" => days % count == 0,
            "w" => days % (count.saturating_mul(7)) == 0,
            "M" => each_months(1),
            "Q" => each_months(3),
            _ => each_months(12),
        }
}
