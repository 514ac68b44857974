//! Functions that ask of what is defined: `sli`, `burn_rate`, `error_budget`, `slo_report`, `sla_report`, `coverage`, `gaps`.
//!
//! Each is a table function. Those that give one number stand for it in expressions as well: there a call is read as
//! `(SELECT function FROM function(...))`.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::Query;

use crate::analysis::duration::Span;
use crate::analysis::period::Period;
use crate::analysis::sli::{Tallies, WHOLE, number_of};
use crate::dialect::{self, Definition, Kind, quoted, text_literal};
use crate::lower::{Lowering, Reader};
use crate::ops::audit;
use crate::ops::incident::of_system;
use crate::privilege::On;
use crate::{Error, Result};

use super::computed::Computed;
use super::promise::{Extent, Settings, events_plan, settings, tallies};
use super::slo::RECENT_NS;
use super::{gaps, sla};

/// Functions that give one number.
pub(crate) const SCALARS: [&str; 3] = ["burn_rate", "coverage", "sli"];

/// Each function, and what its arguments are.
const SIGNATURES: [(&str, &str); 30] = [
    ("alert_dry_run", "alert_dry_run(alert, length of time [, at])"),
    ("aliasing_report", "aliasing_report(kpi)"),
    ("attribution", "attribution(kpi, from, to)"),
    ("audit_head", "audit_head()"),
    ("audit_verify", "audit_verify([from, to])"),
    ("backtest_alert", "backtest_alert(alert, from, to [, query of incidents [, sweep [, options]]])"),
    ("backtest_baseline", "backtest_baseline(baseline, from, to)"),
    ("baseline_explain", "baseline_explain(kpi, time)"),
    ("benchmark", "benchmark(taxonomy, from, to)"),
    ("burn_rate", "burn_rate(slo, length of time [, at])"),
    ("cab_packet", "cab_packet(problem)"),
    ("change_impact", "change_impact(change)"),
    ("chronic", "chronic(alert, service or key, length of time, times)"),
    ("coverage", "coverage(kpi, from, to)"),
    ("decommission_candidates", "decommission_candidates(length of time, utilisation below)"),
    ("downtime_cost", "downtime_cost(service, from, to)"),
    ("error_budget", "error_budget(slo [, at])"),
    ("gaps", "gaps(kpi, from, to)"),
    ("incident_report", "incident_report(incident)"),
    ("kpi_breaches", "kpi_breaches(kpi, slo or sla [, unknown_resets])"),
    ("kpi_conflict", "kpi_conflict([kpi [, other kpi [, length of a period]]])"),
    ("kpi_periods", "kpi_periods(kpi, slo or sla)"),
    ("match_known_errors", "match_known_errors(incident)"),
    ("significant", "significant(kpi, from, to, other from, other to)"),
    ("sla_report", "sla_report(sla, period [, as of])"),
    ("sla_restated", "sla_restated(sla [, period])"),
    ("sli", "sli(slo, from, to)"),
    ("slo_burn", "slo_burn(slo, long time, short time)"),
    ("slo_report", "slo_report(slo, period)"),
    ("suggest_target", "suggest_target(kpi [, length of a period])"),
];

/// True for the name of one of these functions.
pub(crate) fn is_function(name: &str) -> bool {
    SIGNATURES.iter().any(|(known, _)| *known == name)
}

/// What kind of definition the first argument of such a function names.
pub(crate) fn asks_of(function: &str) -> Option<Kind> {
    is_function(function).then_some(match function {
        "alert_dry_run" | "backtest_alert" => Kind::Alert,
        "aliasing_report" | "baseline_explain" | "coverage" | "gaps" | "significant" | "suggest_target" => Kind::Kpi,
        "backtest_baseline" => Kind::Baseline,
        "downtime_cost" => Kind::Service,
        "sla_report" | "sla_restated" => Kind::Sla,
        // These ask of several kinds, or of facts.
        "attribution"
        | "audit_head"
        | "audit_verify"
        | "benchmark"
        | "cab_packet"
        | "change_impact"
        | "chronic"
        | "decommission_candidates"
        | "incident_report"
        | "kpi_breaches"
        | "kpi_conflict"
        | "kpi_periods"
        | "match_known_errors" => {
            return None;
        }
        _ => Kind::Slo,
    })
}

/// True for a function that is given a query: what this reads is read with the rights of whoever asks.
pub(crate) fn reads_as_asked(function: &str) -> bool {
    function == "backtest_alert"
}

/// Who reads what a function reads: what is SQL in other words shows the rows that whoever asks may see.
pub(crate) fn reader_of(function: &str) -> Reader {
    if REPORTS.contains(&function) { Reader::BuiltIn } else { Reader::Definition }
}

/// Checks the right to ask a function of what its first argument names.
///
/// # Errors
/// [`Error::Denied`].
pub(crate) fn check_may_ask(function: &str, arguments: &[Expr], lowering: &Lowering<'_>) -> Result<()> {
    if !is_function(function) {
        return Ok(());
    }
    let name = match arguments.first() {
        Some(Expr::Literal(value, _)) => value.try_as_str().flatten().unwrap_or_default(),
        _ => "",
    };
    let on = match (asks_of(function), function) {
        (Some(kind), _) => On::object(kind, name),
        (None, "attribution" | "kpi_breaches" | "kpi_periods") => On::object(Kind::Kpi, name),
        (None, "audit_head" | "audit_verify") => On::named(crate::system::SCHEMA, "audit"),
        (None, "cab_packet") => On::named(crate::ops::SCHEMA, "problem"),
        (None, "chronic" | "incident_report" | "match_known_errors") => On::named(crate::ops::SCHEMA, "incident"),
        // The others look at all KPIs.
        (None, _) => On::Schema(Kind::Kpi.word().to_owned()),
    };
    if function == "alert_dry_run" {
        lowering.check_sees_all(Kind::Alert, name)?;
    }
    match reader_of(function) {
        // These tell of one incident or problem, whoever may see it.
        _ if matches!(function, "incident_report" | "cab_packet") => {
            lowering.check_may_read(&on)?;
            lowering.check_may_read_whole(&On::named(crate::ops::SCHEMA, "incident"))
        }
        Reader::Definition => lowering.check_may_read_whole(&on),
        _ => lowering.check_may_read(&on),
    }
}

/// The answer of a function; `None` when it is none of these.
///
/// # Errors
/// [`Error::UndefinedFunction`] for other arguments, [`Error::UndefinedObject`], and whatever is wrong with the definitions.
pub(crate) fn function(
    name: &str,
    arguments: &[Expr],
    lowering: &Lowering<'_>,
) -> Option<Result<Arc<dyn TableProvider>>> {
    let (name, signature) = SIGNATURES.iter().find(|(known, _)| *known == name)?;
    let arguments = Arguments { name, signature, given: arguments, lowering };
    if let Some(report) = report(&arguments) {
        return Some(report);
    }
    let answer = match *name {
        "alert_dry_run" => dry_run(&arguments),
        "audit_head" => audit_head(&arguments),
        "audit_verify" => audit_verify(&arguments),
        "backtest_alert" => backtest(&arguments),
        "burn_rate" => burn_rate(&arguments),
        "coverage" => gaps::coverage(&arguments),
        "error_budget" => error_budget(&arguments),
        "gaps" => gaps::gaps(&arguments),
        "kpi_periods" => kpi_periods(&arguments),
        "match_known_errors" => known_errors(&arguments),
        "sla_report" => sla_report(&arguments),
        "sla_restated" => sla_restated(&arguments),
        "sli" => sli(&arguments),
        "slo_burn" => slo_burn(&arguments),
        _ => slo_report(&arguments),
    };
    Some(answer.map(|computed| Arc::new(computed) as Arc<dyn TableProvider>))
}

/// Functions that are SQL in other words.
const REPORTS: [&str; 15] = [
    "aliasing_report",
    "attribution",
    "backtest_baseline",
    "baseline_explain",
    "benchmark",
    "cab_packet",
    "change_impact",
    "chronic",
    "decommission_candidates",
    "downtime_cost",
    "incident_report",
    "kpi_breaches",
    "kpi_conflict",
    "significant",
    "suggest_target",
];

/// The answer of a function that is SQL in other words; `None` when it is none of these.
fn report(arguments: &Arguments<'_>) -> Option<Result<Arc<dyn TableProvider>>> {
    let lowering = arguments.lowering;
    const DAY_NS: i64 = 86_400_000_000_000;
    const WEEK_NS: i64 = 7 * DAY_NS;
    let span = || Ok::<_, Error>((arguments.instant(1)?, arguments.instant(2)?));
    let answer = || match arguments.name {
        "aliasing_report" => {
            arguments.check_count(1, 1)?;
            crate::report::aliasing(arguments.text(0)?, lowering)
        }
        "decommission_candidates" => {
            arguments.check_count(2, 2)?;
            crate::report::decommission(arguments.length_ns(0)?, arguments.float(1)?, lowering)
        }
        "significant" => {
            arguments.check_count(5, 5)?;
            let other = (arguments.instant(3)?, arguments.instant(4)?);
            crate::report::significant(arguments.text(0)?, span()?, other, lowering)
        }
        "attribution" => {
            arguments.check_count(3, 3)?;
            let (start_ns, end_ns) = span()?;
            crate::report::attribution(arguments.text(0)?, start_ns, end_ns, lowering)
        }
        "backtest_baseline" => {
            arguments.check_count(3, 3)?;
            let (start_ns, end_ns) = span()?;
            crate::report::backtest_baseline(arguments.text(0)?, start_ns, end_ns, lowering)
        }
        "baseline_explain" => {
            arguments.check_count(2, 2)?;
            crate::report::baseline_explain(arguments.text(0)?, arguments.instant(1)?, lowering)
        }
        "benchmark" => {
            arguments.check_count(3, 3)?;
            let (start_ns, end_ns) = span()?;
            crate::report::benchmark(arguments.text(0)?, start_ns, end_ns, lowering)
        }
        "change_impact" => {
            arguments.check_count(1, 1)?;
            crate::report::change_impact(arguments.text(0)?, lowering)
        }
        "downtime_cost" => {
            arguments.check_count(3, 3)?;
            let (start_ns, end_ns) = span()?;
            crate::report::downtime_cost(arguments.text(0)?, start_ns, end_ns, lowering)
        }
        "kpi_conflict" => {
            arguments.check_count(0, 3)?;
            let other = || if arguments.given.len() > 1 { arguments.text(1).map(Some) } else { Ok(None) };
            match arguments.given.len() {
                0 => crate::report::kpi_conflict(lowering),
                given => {
                    let period_ns = if given > 2 { arguments.length_ns(2)? } else { DAY_NS };
                    crate::report::counter_conflict(arguments.text(0)?, other()?, period_ns, lowering)
                }
            }
        }
        "suggest_target" => {
            arguments.check_count(1, 2)?;
            let period_ns = if arguments.given.len() > 1 { arguments.length_ns(1)? } else { WEEK_NS };
            crate::report::suggest_target(arguments.text(0)?, period_ns, lowering)
        }
        "cab_packet" => {
            arguments.check_count(1, 1)?;
            crate::report::packet(arguments.integer(0)?, lowering)
        }
        "chronic" => {
            arguments.check_count(3, 3)?;
            crate::report::chronic(arguments.text(0)?, arguments.length_ns(1)?, arguments.integer(2)?, lowering)
        }
        "incident_report" => {
            arguments.check_count(1, 1)?;
            crate::report::incident_report(arguments.integer(0)?, lowering)
        }
        _ => {
            arguments.check_count(1, 2)?;
            let unknown_resets = arguments.given.len() > 1 && arguments.truth(1)?;
            crate::report::breaches(arguments.text(0)?, unknown_resets, lowering)
        }
    };
    REPORTS.contains(&arguments.name).then(answer)
}

/// The last entry of the audit: to be kept elsewhere, it tells later whether anything before it has changed.
fn audit_head(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(0, 0)?;
    let fields = vec![Field::new("seq", DataType::Int64, false), Field::new("hash", DataType::Utf8, false)];
    let (schema, database) = (Arc::new(Schema::new(fields)), arguments.lowering.database.clone());
    Ok(Computed::new(arguments.name, schema.clone(), Vec::new(), Vec::new(), move |_, _| {
        let (seq, hash) = audit::head(&database.ops().held(of_system("audit")?))?;
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![seq])), text(&hash)];
        Ok(RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?)
    }))
}

/// Whether the audit is as it was written.
fn audit_verify(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(0, 2)?;
    let bound = |at: usize, open: i64| if at < arguments.given.len() { arguments.integer(at) } else { Ok(open) };
    let (from, to) = (bound(0, 1)?, bound(1, i64::MAX)?);
    let schema = Arc::new(Schema::new(vec![
        Field::new("is_whole", DataType::Boolean, false),
        Field::new("entries", DataType::Int64, false),
        Field::new("broken_at", DataType::Int64, true),
        Field::new("why", DataType::Utf8, true),
    ]));
    let database = arguments.lowering.database.clone();
    Ok(Computed::new(arguments.name, schema.clone(), Vec::new(), Vec::new(), move |_, _| {
        let verified = audit::verify(&database.ops().rows(of_system("audit")?), from, to)?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(BooleanArray::from(vec![verified.broken_at.is_none()])),
            Arc::new(Int64Array::from(vec![verified.entries])),
            Arc::new(Int64Array::from(vec![verified.broken_at])),
            Arc::new(StringArray::from(vec![verified.why])),
        ];
        Ok(RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?)
    }))
}

/// The known errors that an incident looks like.
fn known_errors(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(1, 1)?;
    crate::report::matches(arguments.integer(0)?, arguments.lowering)
}

/// The reporting periods of what is promised of a KPI.
fn kpi_periods(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(1, 1)?;
    let object = crate::report::contract(arguments.text(0)?, arguments.lowering.definitions)?;
    match &object.definition {
        Definition::Sla(sla) => sla::relation(&object, sla, sla::Asked::default(), arguments.lowering),
        _ => Err(Error::Internal(format!("{} is no SLA", quoted(&object.name)))),
    }
}

/// `EVALUATE SLA` or `BACKTEST BASELINE` as a query.
///
/// # Errors
/// None for a statement that the dialect's parser gave.
pub(crate) fn evaluation(statement: &dialect::Statement) -> Result<Query> {
    let text = match statement {
        dialect::Statement::EvaluateSla { name, period, as_of } => {
            let as_of = as_of.as_ref().map(|at| format!(", {}", text_literal(at))).unwrap_or_default();
            format!("SELECT * FROM sla_report({}, {}{as_of})", text_literal(name), text_literal(period))
        }
        dialect::Statement::BacktestBaseline { name, start, end } => format!(
            "SELECT * FROM backtest_baseline({}, {}, {})",
            text_literal(name),
            text_literal(start),
            text_literal(end)
        ),
        _ => return Err(Error::Internal("no statement that is a query".to_owned())),
    };
    Ok(*crate::statement::query(&text)?)
}

/// The arguments of a call.
pub(super) struct Arguments<'a> {
    name: &'static str,
    signature: &'static str,
    given: &'a [Expr],
    pub(super) lowering: &'a Lowering<'a>,
}

impl Arguments<'_> {
    fn refused(&self) -> Error {
        let hint = Some(format!("It is called as {}.", self.signature));
        Error::UndefinedFunction { signature: format!("{}()", self.name), position: None, hint }
    }

    /// # Errors
    /// For another number of arguments.
    pub(super) fn check_count(&self, least: usize, most: usize) -> Result<()> {
        if (least..=most).contains(&self.given.len()) { Ok(()) } else { Err(self.refused()) }
    }

    fn literal(&self, at: usize) -> Result<&ScalarValue> {
        match self.given.get(at) {
            Some(Expr::Literal(value, _)) => Ok(value),
            Some(other) => {
                let what = format!("the arguments of {} are constants, and {other} is none", self.name);
                Err(Error::Unsupported { what, position: None, hint: None })
            }
            None => Err(self.refused()),
        }
    }

    pub(super) fn text(&self, at: usize) -> Result<&str> {
        match self.literal(at)? {
            ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => {
                Ok(text)
            }
            _ => Err(self.refused()),
        }
    }

    fn integer(&self, at: usize) -> Result<i64> {
        match self.literal(at)?.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(number))) => Ok(number),
            _ => Err(self.refused()),
        }
    }

    fn float(&self, at: usize) -> Result<f64> {
        match self.literal(at)?.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(number))) if number.is_finite() => Ok(number),
            _ => Err(self.refused()),
        }
    }

    fn truth(&self, at: usize) -> Result<bool> {
        match self.literal(at)? {
            ScalarValue::Boolean(Some(truth)) => Ok(*truth),
            _ => Err(self.refused()),
        }
    }

    /// An instant, in nanoseconds since the Unix epoch.
    pub(super) fn instant(&self, at: usize) -> Result<i64> {
        let found = crate::lower::instant(self.literal(at)?, &self.lowering.settings.time_zone)?;
        found.ok_or_else(|| self.refused())
    }

    /// A length of time in nanoseconds.
    fn length_ns(&self, at: usize) -> Result<i64> {
        let refused = |what: String| Error::InvalidParameter { name: self.name.to_owned(), message: what };
        let length = match self.literal(at)? {
            ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => i64::from(interval.days)
                .checked_mul(86_400_000_000_000)
                .and_then(|ns| ns.checked_add(interval.nanoseconds)),
            ScalarValue::IntervalMonthDayNano(_) => None,
            _ => Span::parse(self.text(at)?).map_err(refused)?.fixed_ns(),
        };
        length
            .filter(|ns| *ns > 0)
            .ok_or_else(|| refused("it takes a fixed length of time, such as '1 hour'".to_owned()))
    }

    /// An instant that may be left out: then it is the time of the statement.
    fn optional_instant(&self, at: usize) -> Result<Option<i64>> {
        if at < self.given.len() { self.instant(at).map(Some) } else { Ok(None) }
    }

    /// A relation computed from the events of the SLO that the first argument names.
    fn of_slo(
        &self,
        schema: SchemaRef,
        compute: impl Fn(&Tallies, &Settings, i64) -> Result<Vec<ArrayRef>> + Send + Sync + 'static,
    ) -> Result<Computed> {
        let object = self.lowering.definitions.get(Kind::Slo, self.text(0)?)?;
        let Definition::Slo(slo) = &object.definition else {
            return Err(Error::Internal("an SLO that is none".to_owned()));
        };
        let settings = settings(object, slo, self.lowering)?;
        let plan = events_plan(slo, self.lowering)?;
        Ok(Computed::new(self.name, schema.clone(), vec![plan], Vec::new(), move |inputs, now_ns| {
            let columns = compute(&tallies(&inputs[0], &settings, now_ns)?, &settings, now_ns)?;
            Ok(RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?)
        }))
    }

    pub(super) fn zone(&self) -> Arc<str> {
        self.lowering.settings.time_zone.clone()
    }
}

pub(super) fn number(value: Option<f64>) -> ArrayRef {
    Arc::new(Float64Array::from(vec![value]))
}

fn instant(value: Option<i64>, zone: &Arc<str>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(vec![value]).with_timezone(zone.clone()))
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

pub(super) fn numbers(names: &[&str]) -> Vec<Field> {
    names.iter().map(|name| Field::new(*name, DataType::Float64, true)).collect()
}

pub(super) fn time_field(name: &str, zone: &Arc<str>) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Nanosecond, Some(zone.clone())), true)
}

/// The share of good ones between two instants.
fn sli(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(3, 3)?;
    let (start, end) = (arguments.instant(1)?, arguments.instant(2)?);
    let schema = Arc::new(Schema::new(numbers(&["sli"])));
    arguments
        .of_slo(schema, move |tallies, settings, _| Ok(vec![number(settings.rules.sli(&tallies.between(start, end)))]))
}

/// How many times as fast as it lasts the budget was spent in the time before a moment.
fn burn_rate(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(2, 3)?;
    let (length, at) = (arguments.length_ns(1)?, arguments.optional_instant(2)?);
    let schema = Arc::new(Schema::new(numbers(&["burn_rate"])));
    arguments.of_slo(schema, move |tallies, settings, now| {
        let at = at.unwrap_or(now);
        Ok(vec![number(settings.rules.burn_rate(&tallies.between(at.saturating_sub(length), at)))])
    })
}

/// How fast the budget was spent before the end of each bucket, over two lengths of time.
fn slo_burn(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(3, 3)?;
    let object = arguments.lowering.definitions.get(Kind::Slo, arguments.text(0)?)?;
    let Definition::Slo(slo) = &object.definition else {
        return Err(Error::Internal("an SLO that is none".to_owned()));
    };
    super::slo::burn(object, slo, arguments.length_ns(1)?, arguments.length_ns(2)?, arguments.lowering)
}

/// What is left to spend at a moment, and until when it lasts.
fn error_budget(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(1, 2)?;
    let (at, zone) = (arguments.optional_instant(1)?, arguments.zone());
    let mut fields = numbers(&["allowed", "spent", "remaining"]);
    fields.push(time_field("exhausted_at", &zone));
    arguments.of_slo(Arc::new(Schema::new(fields)), move |tallies, settings, now| {
        let (at, rules) = (at.unwrap_or(now), &settings.rules);
        let (window, recent) = settings.counts_at(tallies, at);
        Ok(vec![
            number(Some(rules.allowed(&window))),
            number(Some(number_of(window.total - window.good))),
            number(rules.remaining(&window)),
            instant(rules.exhausted_at(&window, &recent, RECENT_NS, at), &zone),
        ])
    })
}

/// What an SLO came to in a period: one of its own, or one of the calendar for a rolling one.
fn slo_report(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(2, 2)?;
    let (name, label, zone) = (arguments.text(0)?.to_owned(), arguments.text(1)?.to_owned(), arguments.zone());
    let mut fields = vec![Field::new("slo", DataType::Utf8, false)];
    fields.extend([time_field("period_start", &zone), time_field("period_end", &zone)]);
    fields.extend(numbers(&[
        "good",
        "total",
        "sli",
        "objective",
        "budget_allowed",
        "budget_spent",
        "budget_remaining",
    ]));
    fields.extend([Field::new("status", DataType::Utf8, false), Field::new("coverage", DataType::Float64, true)]);
    arguments.of_slo(Arc::new(Schema::new(fields)), move |tallies, settings, now| {
        let refused = |what: String| Error::definition("KP003", what);
        let period = match &settings.extent {
            Extent::Calendar(period) => period.clone(),
            Extent::Rolling(_) => Period::parse(length_of(&label), &zone, None).map_err(refused)?,
        };
        let (range, rules) = (period.named(&label).map_err(refused)?, &settings.rules);
        let count = tallies.between(range.start, range.end.min(now.max(range.start)));
        let is_met = crate::analysis::sli::reaches(count.good, count.total, rules.objective);
        let status = match () {
            () if rules.is_unknown(&count) => "unknown",
            () if is_met => "met",
            () => "breach",
        };
        Ok(vec![
            text(&name),
            instant(Some(range.start), &zone),
            instant(Some(range.end), &zone),
            number(Some(number_of(count.good))),
            number(Some(number_of(count.total))),
            number(rules.sli(&count)),
            number(Some(rules.objective as f64 / WHOLE as f64)),
            number(Some(rules.allowed(&count))),
            number(Some(number_of(count.total - count.good))),
            number(rules.remaining(&count)),
            text(status),
            number(count.coverage),
        ])
    })
}

/// The length of the period that a name names: `2026` a year, `2026-Q3` a quarter, `2026-W40` a week, `2026-10-05` a day.
fn length_of(label: &str) -> &'static str {
    let rest = label.trim().split_once('-').map(|(_, rest)| rest);
    match rest {
        None => "1 year",
        Some(rest) if rest.starts_with(['Q', 'q']) => "1 quarter",
        Some(rest) if rest.starts_with(['W', 'w']) => "1 week",
        Some(rest) if rest.contains('-') => "1 day",
        Some(_) => "1 month",
    }
}

/// What an SLA came to in a period.
fn sla_report(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(2, 3)?;
    let as_of_ns = arguments.optional_instant(2)?;
    of_sla(arguments, sla::Asked { only: Some(arguments.text(1)?), as_of_ns, is_unsealed: false })
}

/// What its periods, or one of them, would come to with the rows of now, sealed or not.
fn sla_restated(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(1, 2)?;
    let only = if arguments.given.len() > 1 { Some(arguments.text(1)?) } else { None };
    of_sla(arguments, sla::Asked { only, as_of_ns: None, is_unsealed: true })
}

fn of_sla(arguments: &Arguments<'_>, asked: sla::Asked<'_>) -> Result<Computed> {
    let object = arguments.lowering.definitions.get(Kind::Sla, arguments.text(0)?)?;
    match &object.definition {
        Definition::Sla(sla) => sla::relation(object, sla, asked, arguments.lowering),
        _ => Err(Error::Internal(format!("{} is no SLA", quoted(&object.name)))),
    }
}

/// What an alert would have opened in the time before a moment.
fn dry_run(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(2, 3)?;
    let end_ns = arguments.optional_instant(2)?.unwrap_or_else(|| crate::plan::now_ns(arguments.lowering.state));
    let start_ns = end_ns.saturating_sub(arguments.length_ns(1)?);
    crate::alert::dry_run(arguments.text(0)?, start_ns, end_ns, arguments.lowering)
}

/// `BACKTEST ALERT` for whoever can only send SELECT: the same parts as texts.
fn backtest(arguments: &Arguments<'_>) -> Result<Computed> {
    arguments.check_count(3, 6)?;
    let mut text = format!("BACKTEST ALERT {} BETWEEN", quoted(arguments.text(0)?));
    text += &format!(" {} AND {}", text_literal(arguments.text(1)?), text_literal(arguments.text(2)?));
    for (at, clause) in [(3, "AGAINST"), (4, "SWEEP"), (5, "WITH")] {
        if at < arguments.given.len() && !arguments.text(at)?.trim().is_empty() {
            text += &format!(" {clause} ({}\n)", arguments.text(at)?);
        }
    }
    let parsed = dialect::parse_statement(&text).transpose().map_err(|error| {
        let hint = error.hint.map(|hint| format!(". {hint}")).unwrap_or_default();
        let message = format!("{}{hint}", error.message);
        Error::InvalidParameter { name: arguments.name.to_owned(), message }
    })?;
    match parsed {
        Some(dialect::Statement::Backtest(backtest)) => crate::alert::backtest(&backtest, arguments.lowering),
        _ => Err(arguments.refused()),
    }
}
