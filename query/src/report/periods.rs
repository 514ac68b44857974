//! `kpi_breaches`: the reporting periods that are over, and how many bad ones had come one after the other.

use std::sync::Arc;

use datafusion::catalog::TableProvider;

use super::planned;
use crate::catalog::{Definitions, Object, Reference};
use crate::dialect::{self, Definition, Kind, Slo, Statement, Window, quoted, text_literal};
use crate::lower::Lowering;
use crate::{Error, Result};

/// The length of periods where nothing says it.
const PERIOD: &str = "1 month";

/// The relation of the breaches of an SLA, of an SLO, or of the SLOs that read a KPI.
///
/// A period that is `unknown` neither ends a run nor adds to it, unless `unknown_resets`.
///
/// # Errors
/// [`Error::UndefinedObject`], KP023 for a KPI that nothing has been promised of.
pub(crate) fn breaches(name: &str, unknown_resets: bool, lowering: &Lowering<'_>) -> Result<Arc<dyn TableProvider>> {
    contract(name, lowering.definitions)?;
    let periods = format!("kpi_periods({})", text_literal(name));
    let resets = if unknown_resets { "('met', 'unknown')" } else { "('met')" };
    let text = format!(
        "SELECT period_start, period_end, {} AS kpi, target, attained, required, status, \
         sum(CASE WHEN status = 'breach' THEN 1 ELSE 0 END) OVER (PARTITION BY target, run ORDER BY period_start) AS consecutive \
         FROM (SELECT *, sum(CASE WHEN status IN {resets} THEN 1 ELSE 0 END) OVER (PARTITION BY target ORDER BY period_start) AS run \
         FROM {periods} WHERE period_end <= now()) AS runs ORDER BY period_start, target",
        text_literal(name)
    );
    planned("kpi_breaches", text, lowering)
}

/// What a name promises: an SLA as it is; for an SLO, or the SLOs that read a KPI, a contract that nobody has signed, by which
/// each has to reach its objective in each period.
///
/// # Errors
/// As [`breaches`].
pub(crate) fn contract(name: &str, definitions: &Definitions) -> Result<Object> {
    if let Some(sla) = definitions.find(Kind::Sla, name) {
        return Ok((**sla).clone());
    }
    if let Some(object) = definitions.find(Kind::Slo, name)
        && let Definition::Slo(slo) = &object.definition
    {
        return promised(name, &[slo], &Defaults::default());
    }
    let kpi = definitions.get(Kind::Kpi, name)?;
    let of = Reference::Object(Kind::Kpi, name.to_owned());
    let slos = definitions.of_kind(Kind::Slo).filter(|object| object.reads.contains(&of));
    let slos: Vec<&Slo> = slos
        .filter_map(|object| match &object.definition {
            Definition::Slo(slo) => Some(slo),
            _ => None,
        })
        .collect();
    if slos.is_empty() {
        let error = Error::definition("KP023", format!("nothing has been promised of KPI \"{name}\""));
        return Err(error.hinted("CREATE SLO ... AS SELECT time, good, total FROM kpi.NAME says what is."));
    }
    let option = |name: &str| kpi.definition.option_text(name);
    let calendar = option("calendar");
    let of_calendar =
        calendar.and_then(|name| definitions.find(Kind::Calendar, name)?.definition.option_text("period"));
    let period = option("period").or(of_calendar);
    promised(name, &slos, &Defaults { period, calendar, min_coverage: option("min_coverage") })
}

/// What holds where SLOs do not say it.
#[derive(Default)]
struct Defaults<'a> {
    period: Option<&'a str>,
    calendar: Option<&'a str>,
    min_coverage: Option<&'a str>,
}

fn promised(name: &str, slos: &[&Slo], defaults: &Defaults<'_>) -> Result<Object> {
    let calendar = slos.iter().find_map(|slo| slo.options.text("calendar")).or(defaults.calendar);
    let own = slos.iter().find_map(|slo| match &slo.window {
        Window::Calendar { period, .. } => Some(period.as_str()),
        Window::Rolling(_) => None,
    });
    let period = defaults.period.or(own).unwrap_or(PERIOD);
    let targets: Vec<String> = slos.iter().map(|slo| format!("{} >= {}", quoted(&slo.name), slo.objective)).collect();
    let calendar = calendar.map(|name| format!(" CALENDAR {}", quoted(name))).unwrap_or_default();
    let coverage = slos.iter().find_map(|slo| slo.options.text("min_coverage")).or(defaults.min_coverage);
    let coverage = coverage.map(|share| format!(" WITH (min_coverage = {share})")).unwrap_or_default();
    let text = format!(
        "CREATE SLA {} FOR CUSTOMER '' PERIOD {}{calendar} ({}){coverage}",
        quoted(name),
        text_literal(period),
        targets.join(", ")
    );
    match dialect::parse_statement(&text) {
        Some(Ok(Statement::Create { object, .. })) => Object::new(*object, 0, 0, ""),
        _ => Err(Error::Internal(format!("a promise that is none: {text}"))),
    }
}
