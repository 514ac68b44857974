//! What SLOs and SLAs have in common: the events that they count, the time that they leave out, the rules they judge by.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampNanosecondType,
};
use datafusion::common::Column;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use crate::analysis::calendar::{ALWAYS, Calendar};
use crate::analysis::duration::Span;
use crate::analysis::intervals::Intervals;
use crate::analysis::period::Period;
use crate::analysis::sli::{Budgeting, Event, Missing, ONE, Rules, Tallies, WHOLE, count_of};
use crate::catalog::{Definitions, Object, Reference};
use crate::dialect::{Definition, Kind, Slo, Window};
use crate::lower::Lowering;
use crate::ops::{adjustment, holidays, maintenance};
use crate::{Database, Error, Result};

use super::kpi::TIME;
use super::plan_text;
use super::step::step_ns;

/// What time an SLO is about.
#[derive(Debug, Clone)]
pub(super) enum Extent {
    /// This many nanoseconds before each moment.
    Rolling(i64),
    Calendar(Period),
}

/// How an SLO counts and judges.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) rules: Rules,
    pub(super) extent: Extent,
    pub(super) outside: Outside,
    /// How long after its end a slice without events counts as missing, in nanoseconds.
    pub(super) lateness_ns: i64,
}

/// Time that does not count.
#[derive(Debug, Clone)]
pub(super) struct Outside {
    /// Only its working time counts.
    pub(super) calendar: Option<Calendar>,
    /// The service whose maintenance does not count, as it stands in the database when it is asked.
    pub(super) maintenance_of: Option<(Database, String)>,
    /// What was signed off not to count.
    pub(super) adjusted: Adjusted,
}

/// Whose adjustments leave time out.
#[derive(Debug, Clone)]
pub(super) struct Adjusted {
    database: Database,
    slo: String,
    /// The SLA that it is a target of, where that is asked.
    pub(super) sla: Option<String>,
}

impl Outside {
    /// The time in `[start, end)` that does not count, as it was known at a moment.
    pub(super) fn between(&self, start_ns: i64, end_ns: i64, now_ns: i64) -> Intervals {
        let closed = match &self.calendar {
            Some(calendar) => calendar.open_between(start_ns, end_ns).complement(start_ns, end_ns),
            None => Intervals::default(),
        };
        // A rule that came into the table is one that can be followed.
        let entered = self.maintenance_of.as_ref().map(|(database, service)| maintenance(database, service, "budget"));
        let windows = entered.iter().flatten().filter_map(|window| window.between(start_ns, end_ns).ok());
        let Adjusted { database, slo, sla } = &self.adjusted;
        let adjusted = adjustment::excluded(database, slo, sla.as_deref(), now_ns);
        windows.fold(closed.union(&adjusted), |all, window| all.union(&window))
    }
}

/// Reads what an SLO says.
///
/// # Errors
/// [`Error::Definition`], KP003 for values that mean nothing, KP001 for a query without its columns.
pub(crate) fn check_slo(object: &Object, slo: &Slo, lowering: &Lowering<'_>) -> Result<()> {
    settings(object, slo, lowering)?;
    events_plan(slo, lowering).map(|_| ())
}

pub(super) fn settings(object: &Object, slo: &Slo, lowering: &Lowering<'_>) -> Result<Settings> {
    let refused = |what: String| Error::definition("KP003", what);
    let option = |name: &str| object.definition.option_text(name);
    let fixed = |text: &str| {
        let span = Span::parse(text).map_err(refused)?;
        span.fixed_ns().ok_or_else(|| refused(format!("'{text}' is no fixed length of time")).hinted("Use days."))
    };
    let share = |name: &str, default: Option<String>| {
        option(name).map(str::to_owned).or(default).map_or(Ok(None), |text| match text.parse::<f64>() {
            Ok(share) => Ok(Some((share * WHOLE as f64).round() as u64)),
            Err(_) => Err(refused(format!("{name} of {text} is no share"))),
        })
    };
    let slice_ns = fixed(option("slice").unwrap_or(Slo::SLICE))?;
    let budgeting = match option("budgeting") {
        Some("timeslices") => {
            let target = share("slice_target", None)?.unwrap_or(slo.objective.parts());
            Budgeting::Timeslices { slice_ns, target }
        }
        Some("ratio_timeslices") => Budgeting::RatioTimeslices { slice_ns },
        _ => Budgeting::Occurrences,
    };
    let of_kpi = |name: &str| {
        let kpi = lowering.definitions.find(Kind::Kpi, &super::kpi_of(&slo.query.text)?)?;
        kpi.definition.option_text(name).map(str::to_owned)
    };
    let missing = match option("on_missing").map(str::to_owned).or_else(|| of_kpi("on_missing")).as_deref() {
        Some("bad") => Missing::Bad,
        Some("good") => Missing::Good,
        _ => Missing::Unknown,
    };
    let min_events = option("min_events").and_then(|text| text.parse().ok()).and_then(count_of).unwrap_or(0);
    let step_ns = match option("step") {
        Some(text) => Some(fixed(text)?),
        None if !slo.parts.is_empty() => Some(fixed(option("slice").unwrap_or(Slo::SLICE))?),
        None => step_of(object, lowering),
    };
    let rules = Rules {
        objective: slo.objective.parts(),
        budgeting,
        missing,
        min_events,
        min_coverage: share("min_coverage", of_kpi("min_coverage"))?.unwrap_or(0),
        step_ns,
    };
    let extent = match &slo.window {
        Window::Rolling(text) => Extent::Rolling(fixed(text)?),
        Window::Calendar { period, zone } => {
            Extent::Calendar(Period::parse(period, zone.as_deref().unwrap_or("UTC"), None).map_err(refused)?)
        }
    };
    let calendar = option("calendar").map(str::to_owned).or_else(|| of_kpi("calendar"));
    let calendar = calendar.map(|name| self::calendar(&name, lowering)).transpose()?;
    let lateness_ns = option("lateness").map_or(Ok(0), fixed)?;
    let maintenance_of = match (option("exclude"), &slo.service) {
        (Some("maintenance"), Some(service)) => Some((lowering.database.clone(), service.clone())),
        (Some("maintenance"), None) => {
            let hint = "Say ON SERVICE name: maintenance is entered for services.";
            return Err(refused("an SLO that excludes maintenance needs a service".to_owned()).hinted(hint));
        }
        _ => None,
    };
    let adjusted = Adjusted { database: lowering.database.clone(), slo: slo.name.clone(), sla: None };
    Ok(Settings { rules, extent, outside: Outside { calendar, maintenance_of, adjusted }, lateness_ns })
}

/// The width of the buckets that an SLO counts: that of the one KPI that it reads.
fn step_of(object: &Object, lowering: &Lowering<'_>) -> Option<i64> {
    let mut kpis = object.reads.iter().filter_map(|read| match read {
        Reference::Object(Kind::Kpi, name) => lowering.definitions.find(Kind::Kpi, name),
        _ => None,
    });
    match (kpis.next().map(|kpi| &kpi.definition), kpis.next()) {
        (Some(Definition::Kpi(kpi)), None) => step_ns(kpi, lowering.definitions),
        _ => None,
    }
}

/// A calendar by its name, with its holidays.
///
/// # Errors
/// [`Error::UndefinedObject`].
pub(crate) fn calendar_of(name: &str, definitions: &Definitions, database: &Database) -> Result<Calendar> {
    let refused = |why| Error::definition("KP003", why);
    if name == ALWAYS {
        return Calendar::parse("UTC", &[ALWAYS.to_owned()], Vec::new()).map_err(refused);
    }
    let object = definitions.get(Kind::Calendar, name)?;
    let Definition::Calendar(calendar) = &object.definition else {
        return Err(Error::Internal("a calendar that is none".to_owned()));
    };
    let holidays = holidays(database, calendar.options.text("holidays").unwrap_or(name));
    Calendar::parse(&calendar.zone, &calendar.windows, holidays).map_err(refused)
}

pub(super) fn calendar(name: &str, lowering: &Lowering<'_>) -> Result<Calendar> {
    calendar_of(name, lowering.definitions, lowering.database)
}

/// Periods of a length: in the zone of a calendar, from its anchor; in UTC without one.
///
/// # Errors
/// [`Error::UndefinedObject`], and [`Error::Definition`], KP003, for a length that is no period.
pub(crate) fn periods_of(
    length: &str,
    calendar: Option<&str>,
    definitions: &Definitions,
    database: &Database,
) -> Result<Period> {
    let refused = |what: String| Error::definition("KP003", what);
    let Some(name) = calendar else { return Period::parse(length, "UTC", None).map_err(refused) };
    let zone = calendar_of(name, definitions, database)?.zone().name().to_owned();
    let object = definitions.find(Kind::Calendar, name);
    let anchor = object.and_then(|object| object.definition.option_text("period_anchor")?.parse().ok());
    Period::parse(length, &zone, anchor).map_err(refused)
}

/// The plan of an SLO's events, analysed: `time`, `good`, `total`.
///
/// # Errors
/// [`Error::Definition`], KP001 when its query gives something else, and whatever else is wrong with it.
pub(super) fn events_plan(slo: &Slo, lowering: &Lowering<'_>) -> Result<LogicalPlan> {
    let (inner, columns) = lowering.counting(|| plan_text(&slo.query, lowering))?;
    let missing = |what: String| {
        Error::definition("KP001", what).hinted("The query of an SLO gives time, good and total: good ones among all.")
    };
    let column = |name: &str, fits: fn(&DataType) -> bool| {
        let at = columns.iter().position(|column| column.name == name);
        let at = at.ok_or_else(|| missing(format!("an SLO needs a column {name}")))?;
        match fits(&columns[at].data_type) {
            true => Ok(Expr::Column(Column::from(inner.schema().qualified_field(at))).alias(name)),
            false => Err(missing(format!("the column {name} of an SLO has the wrong type"))),
        }
    };
    let time = column(TIME, |data_type| matches!(data_type, DataType::Timestamp(_, Some(_))))?;
    let projection = vec![time, column("good", DataType::is_numeric)?, column("total", DataType::is_numeric)?];
    lowering.analyze(LogicalPlanBuilder::from(inner.clone()).project(projection)?.build()?)
}

/// The events of a plan of [`events_plan`]. Rows without a time or a total count nothing.
///
/// # Errors
/// [`Error::NumericRange`] for a count that is negative, not finite or too large, or more good ones than all.
pub(super) fn events(batches: &[RecordBatch]) -> Result<Vec<Event>> {
    let mut events = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        let zone = match batch.column(0).data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let times = cast(batch.column(0), &DataType::Timestamp(TimeUnit::Nanosecond, zone));
        let times = times.map_err(DataFusionError::from)?;
        let times = times.as_primitive::<TimestampNanosecondType>();
        let (good, total) = (counts(batch.column(1))?, counts(batch.column(2))?);
        for row in (0..batch.num_rows()).filter(|row| times.is_valid(*row)) {
            let Some(total) = total[row] else { continue };
            let (time_ns, good) = (times.value(row), good[row].unwrap_or(0));
            if good > total {
                let message = "an SLO counts more good ones than there are in all".to_owned();
                return Err(Error::NumericRange { message });
            }
            events.push(Event { time_ns, good, total });
        }
    }
    Ok(events)
}

/// A column as counts.
fn counts(column: &ArrayRef) -> Result<Vec<Option<i128>>> {
    let wrong = || Error::NumericRange { message: "an SLO counts what is not negative and below 10^17".to_owned() };
    let checked = |count: Option<i128>| count.filter(|count| (0..=ONE * 100_000_000_000_000_000).contains(count));
    let exact = |count: i128| checked(count.checked_mul(ONE)).ok_or_else(wrong);
    match column.data_type() {
        DataType::Decimal128(_, 0) => {
            column.as_primitive::<Decimal128Type>().iter().map(|count| count.map(exact).transpose()).collect()
        }
        data_type if data_type.is_integer() && *data_type != DataType::UInt64 => {
            let whole = cast(column, &DataType::Int64).map_err(DataFusionError::from)?;
            let whole = whole.as_primitive::<Int64Type>();
            whole.iter().map(|count| count.map(|count| exact(i128::from(count))).transpose()).collect()
        }
        _ => {
            let floats = cast(column, &DataType::Float64).map_err(DataFusionError::from)?;
            let floats = floats.as_primitive::<Float64Type>();
            floats.iter().map(|count| count.map(|count| count_of(count).ok_or_else(wrong)).transpose()).collect()
        }
    }
}

/// What an SLO counts, from the batches of its events.
///
/// # Errors
/// Those of [`events`].
pub(super) fn tallies(batches: &[RecordBatch], settings: &Settings, now_ns: i64) -> Result<Tallies> {
    let events = events(batches)?;
    let times = || events.iter().map(|event| event.time_ns);
    /// A slice may reach over its events by as much.
    const MARGIN_NS: i64 = 400 * 86_400 * 1_000_000_000;
    let (start, end) = (times().min().unwrap_or(now_ns), times().max().unwrap_or(now_ns).max(now_ns));
    if settings.rules.has_too_many_slices(start, end) {
        let what = "an SLO counts too many slices without events between its first event and now";
        return Err(Error::definition("KP008", what).hinted("Make the slices longer, or set on_missing = 'unknown'."));
    }
    let outside = settings.outside.between(start.saturating_sub(MARGIN_NS), end.saturating_add(MARGIN_NS), now_ns);
    Ok(Tallies::new(&events, &settings.rules, outside, now_ns.saturating_sub(settings.lateness_ns)))
}
