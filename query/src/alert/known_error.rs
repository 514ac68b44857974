//! Which known errors a signal looks like.
//!
//! A signature is JSON, each part of it optional:
//! `{"alert": "...", "service": "...", "labels": {...}, "direction": "above" | "below", "score_min": n, "score_max": n,
//! "co_firing": ["alert", ...]}`. The alert (`*` stands for anything in it) and the service have to fit; the confidence is the share
//! of all parts that do, times how often those who looked found such a likeness to be right, and below a half there is none.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::machine::Phase;
use super::{Labels, Tracked, Watch};
use crate::ops::{Named, incident};
use crate::{Database, Result};

/// Below this there is no likeness.
const CONFIDENCE_MIN: f64 = 0.5;

/// What has been seen: of an instance of an alert, or of an incident.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    alert: Option<String>,
    service: Option<String>,
    labels: Labels,
    value: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    score: Option<f64>,
}

/// A known error that it looks like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KnownError {
    pub(crate) id: Option<i64>,
    pub(crate) title: Option<String>,
    /// From 0.5 to 1.
    pub(crate) confidence: f64,
    /// Incidents that were this error, and those that only looked like it.
    pub(crate) right: i64,
    pub(crate) wrong: i64,
    pub(crate) workaround: Option<String>,
    pub(crate) problem_id: Option<i64>,
}

impl KnownError {
    /// As a story tells it.
    pub(super) fn told(&self) -> Json {
        json!({
            "id": self.id, "title": self.title, "confidence": self.confidence,
            "workaround": self.workaround, "problem_id": self.problem_id,
        })
    }
}

impl Seen {
    pub(super) fn of(watch: &Watch, labels: &Labels, tracked: &Tracked) -> Seen {
        let number = |name: &str| tracked.values.get(name).copied();
        Seen {
            alert: Some(watch.name().to_owned()),
            service: watch.service().map(str::to_owned),
            labels: labels.clone(),
            value: number("value"),
            lower: number("lower"),
            upper: number("upper"),
            score: number("score"),
        }
    }

    /// What an incident tells, by its columns and its story.
    pub(crate) fn of_incident(row: &Named<'_>) -> Seen {
        let story: Json = row.text("story").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let signal = &story["signal"];
        let number = |name: &str| signal[name].as_f64();
        Seen {
            alert: row.text("alert").map(str::to_owned),
            service: row.text("service").map(str::to_owned),
            labels: serde_json::from_value(signal["labels"].clone()).unwrap_or_default(),
            value: number("value"),
            lower: number("lower"),
            upper: number("upper"),
            score: number("score"),
        }
    }

    /// The known errors whose signature fits, the likeliest first.
    ///
    /// # Errors
    /// None, unless a built-in table is missing.
    pub(crate) fn known_errors(&self, database: &Database) -> Result<Vec<KnownError>> {
        let table = incident::built_in("known_error")?;
        let (firing, feedback) = (firing(database)?, feedback(database)?);
        let mut found = Vec::new();
        for row in database.ops().rows(table).values() {
            let row = Named::new(table, row);
            let signature = row.text("signature").and_then(|text| serde_json::from_str::<Map<String, Json>>(text).ok());
            let (Some("open"), Some(signature)) = (row.text("state"), signature) else { continue };
            let (right, wrong) = row.integer("id").and_then(|id| feedback.get(&id)).copied().unwrap_or_default();
            let fit = self.fit(&signature, &firing).map(|fit| fit * precision(right, wrong));
            if let Some(confidence) = fit.filter(|confidence| *confidence >= CONFIDENCE_MIN) {
                found.push(KnownError {
                    id: row.integer("id"),
                    title: row.text("title").map(str::to_owned),
                    confidence,
                    right,
                    wrong,
                    workaround: row.text("workaround").map(str::to_owned),
                    problem_id: row.integer("problem_id"),
                });
            }
        }
        found.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        Ok(found)
    }

    fn fit(&self, signature: &Map<String, Json>, firing: &BTreeSet<String>) -> Option<f64> {
        let (mut parts, mut fitting) = (0.0, 0.0);
        let mut part = |fits: bool| {
            parts += 1.0;
            fitting += f64::from(u8::from(fits));
        };
        let bounded = |bound: &Json, holds: fn(f64, f64) -> bool| matches!((self.score, bound.as_f64()), (Some(score), Some(bound)) if holds(score, bound));
        for (name, value) in signature {
            match (name.as_str(), value) {
                ("alert", Json::String(pattern))
                    if !self.alert.as_deref().is_some_and(|alert| like(alert, pattern)) =>
                {
                    return None;
                }
                ("service", Json::String(service)) if Some(service) != self.service.as_ref() => return None,
                ("alert" | "service", Json::String(_)) => part(true),
                ("labels", Json::Object(wanted)) => {
                    for (label, value) in wanted {
                        part(self.labels.get(label).map(String::as_str) == value.as_str());
                    }
                }
                ("direction", Json::String(direction)) => part(match direction.as_str() {
                    "above" => matches!((self.value, self.upper), (Some(value), Some(upper)) if value > upper),
                    "below" => matches!((self.value, self.lower), (Some(value), Some(lower)) if value < lower),
                    _ => false,
                }),
                ("score_min", bound) => part(bounded(bound, |score, bound| score >= bound)),
                ("score_max", bound) => part(bounded(bound, |score, bound| score <= bound)),
                ("co_firing", Json::Array(others)) => {
                    for other in others.iter().filter_map(Json::as_str) {
                        part(firing.contains(other));
                    }
                }
                _ => {}
            }
        }
        (parts > 0.0 && fitting / parts >= CONFIDENCE_MIN).then(|| fitting / parts)
    }
}

/// How often a likeness is right, where one that was is assumed before the first: from 0 to 1.
fn precision(right: i64, wrong: i64) -> f64 {
    let right = right as f64 + 1.0;
    right / (right + wrong as f64)
}

/// How often each known error was the one, and how often not.
fn feedback(database: &Database) -> Result<BTreeMap<i64, (i64, i64)>> {
    let table = incident::built_in("known_error_feedback")?;
    let mut all: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for row in database.ops().rows(table).values() {
        let row = Named::new(table, row);
        let (Some(id), Some(is_right)) = (row.integer("known_error_id"), row.boolean("is_right")) else { continue };
        let (right, wrong) = all.entry(id).or_default();
        *if is_right { right } else { wrong } += 1;
    }
    Ok(all)
}

/// The alerts of which an instance is open.
fn firing(database: &Database) -> Result<BTreeSet<String>> {
    let table = incident::built_in("alert")?;
    let rows = database.ops().rows(table);
    let open = rows.values().map(|row| Named::new(table, row));
    let open = open.filter(|row| row.text("state").is_some_and(Phase::is_open_word));
    Ok(open.filter_map(|row| row.text("alert").map(str::to_owned)).collect())
}

/// True when a text has the parts of a pattern that stand between its stars, in their order.
pub(crate) fn like(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_what_has_its_parts_in_order() {
        let fits = |pattern| like("checkout_slow_eu", pattern);
        assert!(
            fits("checkout_slow_eu")
                && fits("checkout*")
                && fits("*eu")
                && fits("*slow*")
                && fits("c*_*u")
                && fits("*")
        );
        assert!(!fits("checkout") && !fits("*us") && !fits("eu*") && !fits("*eu*slow*"));
        assert!(!like("ab", "ab*b"), "the end is not counted twice");
    }

    #[test]
    fn one_wrong_likeness_halves_the_confidence_and_right_ones_restore_it() {
        assert_eq!(precision(0, 0), 1.0);
        assert_eq!(precision(0, 1), 0.5);
        assert_eq!(precision(3, 1), 0.8);
    }

    #[test]
    fn the_confidence_is_the_share_of_the_parts_that_fit() {
        let seen = Seen {
            alert: Some("slow".to_owned()),
            service: Some("checkout".to_owned()),
            labels: Labels::from([("region".to_owned(), "eu".to_owned())]),
            value: Some(900.0),
            lower: Some(100.0),
            upper: Some(300.0),
            score: Some(5.0),
        };
        let fit = |signature: Json, firing: &[&str]| {
            let firing = firing.iter().map(|name| (*name).to_owned()).collect();
            seen.fit(signature.as_object().unwrap(), &firing)
        };
        assert_eq!(fit(json!({"alert": "sl*", "labels": {"region": "eu"}}), &[]), Some(1.0));
        assert_eq!(fit(json!({"alert": "slow", "labels": {"region": "us"}}), &[]), Some(0.5));
        assert_eq!(fit(json!({"alert": "other"}), &[]), None);
        assert_eq!(fit(json!({"service": "payments", "direction": "above"}), &[]), None);
        let all = json!({"alert": "slow", "direction": "above", "score_min": 4, "score_max": 4.5, "co_firing": ["db", "queue"]});
        assert_eq!(fit(all.clone(), &["db"]), Some(4.0 / 6.0));
        assert_eq!(fit(all, &[]), Some(0.5));
        assert_eq!(fit(json!({"score_min": 6}), &[]), None);
        assert_eq!(fit(json!({}), &[]), None);
    }
}
