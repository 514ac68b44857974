//! `ALTER BASELINE ... OVERRIDE`, entered as a row of `ops.override`.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::ScalarValue;

use crate::analysis::duration::Span;
use crate::dialect::{Definition, Kind, Override};
use crate::ops::{Value, find};
use crate::relation::Shape;
use crate::{Database, Error, Result};

/// The longest that an override may last when the baseline does not say.
const LONGEST: &str = "90 days";

/// Checks and enters an override.
///
/// # Errors
/// [`Error::UndefinedObject`], [`Error::UndefinedColumn`] for what is no dimension, KP010 without a reason or for too long.
pub(super) fn enter(
    changed: &Override,
    actor: &Arc<str>,
    time_zone: &Arc<str>,
    now_ns: i64,
    database: &Database,
) -> Result<()> {
    let refused = |what: String| Error::definition("KP010", what);
    let definitions = database.catalog().definitions();
    let object = definitions.get(Kind::Baseline, &changed.baseline)?;
    let Definition::Baseline(baseline) = &object.definition else {
        return Err(Error::Internal("a baseline that is none".to_owned()));
    };
    let kpi = definitions.get(Kind::Kpi, &baseline.kpi)?;
    let dimensions = Shape::dimensions_of(&kpi.columns);
    if let Some((name, _)) = changed.labels.iter().find(|(name, _)| !dimensions.contains(&name.as_str())) {
        let hint = Some(format!("The dimensions of KPI \"{}\" are {}.", baseline.kpi, dimensions.join(", ")));
        return Err(Error::UndefinedColumn { name: name.clone(), position: None, hint });
    }
    if changed.reason.trim().is_empty() {
        return Err(refused("an override needs a reason".to_owned()));
    }
    let until_ns = instant(&changed.until, time_zone)?;
    let longest = baseline.option_text("max_override").unwrap_or(LONGEST);
    let last = Span::parse(longest).ok().and_then(|span| span.after(now_ns, 1, chrono_tz::UTC));
    if until_ns <= now_ns {
        return Err(refused(format!("the override would be over: '{}' is past", changed.until)));
    }
    if last.is_some_and(|last| until_ns > last) {
        let hint = "max_override is an option of the baseline.";
        return Err(refused(format!("an override lasts {longest} at most")).hinted(hint));
    }
    let labels: BTreeMap<&str, &str> =
        changed.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let labels = serde_json::to_string(&labels).map_err(|e| Error::Internal(e.to_string()))?;
    let number = |name: &str| {
        let written = changed.set.iter().find(|(field, _)| field == name).map(|(_, number)| number);
        written.map(|number| number.parse().map(Value::Float).map_err(|_| refused(format!("{number} is no number"))))
    };
    let values = [
        ("baseline", Some(Value::Text(changed.baseline.clone()))),
        ("labels", Some(Value::Text(labels))),
        ("lower", number("lower").transpose()?),
        ("upper", number("upper").transpose()?),
        ("score_threshold", number("score_threshold").transpose()?),
        ("reason", Some(Value::Text(changed.reason.clone()))),
        ("until", Some(Value::Time(until_ns))),
    ];
    let table = find("override").ok_or_else(|| Error::Internal("no table of overrides".to_owned()))?;
    database.ops().transaction(actor, now_ns, |transaction| transaction.insert(table, &values).map(|_| ()))
}

/// Reads an instant or a day as the session's zone has it.
fn instant(text: &str, time_zone: &Arc<str>) -> Result<i64> {
    match crate::lower::instant(&ScalarValue::Utf8(Some(text.to_owned())), time_zone) {
        Ok(Some(ns)) => Ok(ns),
        _ => {
            let message = format!("invalid input syntax for type timestamp with time zone: \"{text}\"");
            Err(Error::InvalidDateTime { message })
        }
    }
}
