//! What a definition has to satisfy beyond its grammar.

use crate::alert::SinkOptions;
use crate::analysis::calendar::Calendar;
use crate::analysis::duration::Span;
use crate::analysis::period::Period;
use crate::analysis::sla::Credits;
use crate::catalog::{Object, Reference};
use crate::dialect::{Definition, Kind};
use crate::lower::Lowering;
use crate::{Error, Result, relation};

/// Options that hold a length of time.
const SPANS: [&str; 7] = ["lateness", "step", "history", "max_override", "slice", "seal_after", "max_hold"];

/// Checks that all that a definition reads is there.
///
/// # Errors
/// [`Error::UndefinedObject`], [`Error::UndefinedTable`].
pub(super) fn references(object: &Object, lowering: &Lowering<'_>) -> Result<()> {
    for reference in &object.reads {
        if let Reference::Object(kind, name) = reference {
            lowering.definitions.get(*kind, name)?;
        }
    }
    Ok(())
}

/// Checks what a definition means: lengths of time, zones, periods, and, one by one, what its kind asks for.
///
/// # Errors
/// [`Error::Definition`], KP003 for a value that means nothing.
pub(super) fn meaning(object: &Object, lowering: &Lowering<'_>) -> Result<()> {
    let definition = &object.definition;
    let refused = |what: String| Error::definition("KP003", what);
    for name in SPANS {
        if let Some(text) = definition.option_text(name) {
            Span::parse(text).map_err(|why| refused(format!("option \"{name}\": {why}")))?;
        }
    }
    if let Some(text) = definition.option_text("period") {
        Period::parse(text, "UTC", None).map_err(|why| refused(format!("option \"period\": {why}")))?;
    }
    match definition {
        Definition::Service(service) => {
            let named = service.depends.iter().map(|dependency| &dependency.service);
            if let Some(name) = repeated(named) {
                return Err(refused(format!("the service \"{name}\" is named twice")));
            }
            if let Some(text) = definition.option_text("match") {
                serde_json::from_str::<std::collections::BTreeMap<String, String>>(text).map_err(|why| {
                    refused(format!("option \"match\" is no JSON of tags and patterns: {why}"))
                        .hinted("It is like '{\"app\": \"checkout*\"}'.")
                })?;
            }
        }
        Definition::Calendar(calendar) => {
            Calendar::parse(&calendar.zone, &calendar.windows, Vec::new()).map_err(refused)?;
            if let Some(text) = definition.option_text("period_anchor") {
                let what = || refused(format!("option \"period_anchor\": '{text}' is no day such as '2026-04-01'"));
                text.parse::<chrono::NaiveDate>().map_err(|_| what())?;
            }
        }
        Definition::Kpi(kpi) => relation::check_kpi(object, kpi, lowering)?,
        Definition::Sink(sink) => {
            check_sink(sink)?;
            let found = lowering.database.check_sink(&SinkOptions::new(&sink.options));
            found.map_err(|why| refused(format!("sink \"{}\": {why}", sink.name)))?;
        }
        Definition::Policy(policy) => {
            crate::alert::check_policy(policy, &session(lowering), crate::plan::now_ns(lowering.state))?;
        }
        Definition::Alert(alert) => {
            let object = std::sync::Arc::new(object.clone());
            crate::alert::Watch::new(&object, lowering.definitions)?;
            if let Some(text) = alert.option_text("annotations") {
                serde_json::from_str::<serde::de::IgnoredAny>(text)
                    .map_err(|why| refused(format!("option \"annotations\" is no JSON: {why}")))?;
            }
            crate::alert::check(&object, lowering)?;
        }
        Definition::Baseline(baseline) => {
            if let Some(season) = repeated(baseline.season.iter()) {
                return Err(refused(format!("the season {season} is named twice")));
            }
            let mut others = lowering.definitions.of_kind(Kind::Baseline);
            let other = others.find(|other| {
                other.name != object.name
                    && matches!(&other.definition, Definition::Baseline(other) if other.kpi == baseline.kpi)
            });
            if let Some(other) = other {
                let what = format!("KPI \"{}\" has the baseline \"{}\"", baseline.kpi, other.name);
                return Err(
                    Error::definition("KP005", what).hinted("A KPI has one baseline: replace or drop that one.")
                );
            }
            relation::baseline_settings(baseline, lowering)?;
        }
        Definition::Slo(slo) => {
            relation::check_slo(object, slo, lowering)?;
        }
        Definition::Sla(sla) => {
            relation::periods_of(&sla.period, sla.calendar.as_deref(), lowering.definitions, lowering.database)?;
            if let Some(text) = definition.option_text("credits") {
                Credits::parse(text).map_err(|why| refused(format!("option \"credits\": {why}")))?;
            }
        }
    }
    Ok(())
}

/// A session in which expressions of a definition are planned.
fn session(lowering: &Lowering<'_>) -> crate::Session {
    lowering.database.session()
}

/// Checks that a sink says where it is.
fn check_sink(sink: &crate::dialect::Sink) -> Result<()> {
    let missing = |what: &str, hint: &str| {
        Err(Error::definition("KP003", format!("sink \"{}\" has no {what}", sink.name)).hinted(hint))
    };
    let has = |name: &str| sink.options.text(name).is_some_and(|text| !text.is_empty());
    if sink.options.text("connector") == Some("email") {
        return match () {
            () if !has("host") => {
                missing("host", "Say which mail server takes its messages: host = 'mail.example.org'.")
            }
            () if !has("from") => missing("from", "Say whom its messages come from: from = 'plimsoll@example.org'."),
            () if !has("to") => missing("to", "Say whom they go to: to = 'oncall@example.org'."),
            () => Ok(()),
        };
    }
    // PagerDuty has one address for all.
    match sink.options.text("url") {
        None if sink.options.text("format") == Some("pagerduty") => Ok(()),
        None => missing("url", "Say where it is told: url = 'https://...'."),
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => Ok(()),
        Some(url) => {
            let what = format!("\"{url}\" is no URL of a sink");
            Err(Error::definition("KP003", what).hinted("It begins with https:// or http://."))
        }
    }
}

/// The first thing that comes a second time.
fn repeated<T: PartialEq>(things: impl Iterator<Item = T> + Clone) -> Option<T> {
    let is_repeated = |(at, thing): &(usize, T)| things.clone().take(*at).any(|other| other == *thing);
    things.clone().enumerate().find(is_repeated).map(|(_, thing)| thing)
}

/// Checks that what reads a definition can still be planned.
///
/// # Errors
/// Those of the first that cannot, named.
pub(super) fn dependents(of: &Reference, lowering: &Lowering<'_>) -> Result<()> {
    for dependent in lowering.definitions.dependents_of(std::slice::from_ref(of)) {
        let planned = match &dependent {
            Reference::Relation(name) => match lowering.definitions.views.get(name) {
                Some(view) => view.plan(lowering).map(|_| ()),
                None => Ok(()),
            },
            Reference::Object(kind, name) => match lowering.definitions.get(*kind, name)?.definition {
                Definition::Alert(ref alert) => relation::check_query(&alert.query, lowering),
                Definition::Baseline(ref baseline) => relation::baseline_settings(baseline, lowering).map(|_| ()),
                Definition::Kpi(_) | Definition::Slo(_) | Definition::Sla(_) => {
                    relation::source(lowering, *kind, name).map(|_| ())
                }
                _ => Ok(()),
            },
        };
        if let Err(error) = planned {
            let (Reference::Relation(name) | Reference::Object(_, name)) = &dependent;
            let what = format!("\"{name}\", which reads it, would no longer work: {error}");
            return Err(Error::definition("KP006", what).hinted("Drop or change that one first."));
        }
    }
    Ok(())
}
