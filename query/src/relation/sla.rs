//! `sla.NAME`: a row for each reporting period and target, with what was attained and what is owed.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Builder, RecordBatch, StringBuilder, TimestampNanosecondBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::error::DataFusionError;

use crate::analysis::duration::Span;
use crate::analysis::period::{Instants, Period};
use crate::analysis::sla::{Credits, Status};
use crate::analysis::sli::{Tallies, WHOLE};
use crate::catalog::{Definitions, Object, Reference};
use crate::dialect::{Definition, Kind, Percent, Sla};
use crate::lower::Lowering;
use crate::ops::adjustment;
use crate::ops::seal::seals;
use crate::{Database, Error, Result};

use super::computed::Computed;
use super::promise::{Settings, calendar, events_plan, periods_of, settings, tallies};

/// How long after its end a period takes late data in, when the SLA does not say.
const SEAL_AFTER: &str = "5 days";

/// What an SLA is judged by.
struct Agreement {
    period: Period,
    targets: Vec<Target>,
    credits: Credits,
    min_coverage: u64,
    /// The one period that is asked for; all of them without.
    only: Option<Instants>,
    /// Where seals are, and of which SLA.
    database: Database,
    name: String,
    /// As it was known at this moment; now without.
    as_of_ns: Option<i64>,
    /// Whether what is sealed is told as it would come out now.
    is_unsealed: bool,
}

/// What is asked of an SLA.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    /// The name of the one period that is asked for; all of them without.
    pub(super) only: Option<&'a str>,
    /// As it was known at this moment, in nanoseconds since the Unix epoch; now without.
    pub(super) as_of_ns: Option<i64>,
    /// Whether what is sealed is told as it would come out with the rows of now.
    pub(super) is_unsealed: bool,
}

struct Target {
    slo: String,
    required: Percent,
    settings: Settings,
    /// The tables of its rows of which something is expected.
    expecting: Vec<String>,
    /// Why it is not known what it was at the moment that is asked about, if it is not.
    unknown: Option<String>,
    /// How long before that moment buckets had to begin to be complete by then, in nanoseconds.
    behind_ns: i64,
}

fn schema(time_zone: &Arc<str>) -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Nanosecond, Some(time_zone.clone()));
    Arc::new(Schema::new(vec![
        Field::new("period_start", time(), false),
        Field::new("period_end", time(), false),
        Field::new("target", DataType::Utf8, false),
        Field::new("attained", DataType::Float64, true),
        Field::new("required", DataType::Float64, false),
        Field::new("status", DataType::Utf8, false),
        Field::new("coverage", DataType::Float64, true),
        Field::new("credit", DataType::Float64, true),
        Field::new("sealed_at", time(), true),
        Field::new("quality", DataType::Utf8, true),
        Field::new("adjustments", DataType::Utf8, true),
    ]))
}

/// The relation of an SLA, or the part of it that is one period.
///
/// # Errors
/// [`Error::Definition`] for a period that is none, and whatever has become wrong with the definitions.
pub(super) fn relation(object: &Object, sla: &Sla, asked: Asked<'_>, lowering: &Lowering<'_>) -> Result<Computed> {
    let Asked { only, as_of_ns, is_unsealed } = asked;
    let refused = |what: String| Error::definition("KP003", what);
    let (period, _) = terms(object, sla, lowering)?;
    let calendar = sla.calendar.as_ref().map(|name| calendar(name, lowering)).transpose()?;
    let option = |name: &str| object.definition.option_text(name);
    let credits = option("credits").map_or(Ok(Credits::default()), Credits::parse).map_err(refused)?;
    let coverage = option("min_coverage").and_then(|text| text.parse::<f64>().ok());
    let min_coverage = coverage.map_or(0, |share| (share * WHOLE as f64).round() as u64);
    let only = only.map(|name| period.named(name)).transpose().map_err(refused)?;
    let (mut targets, mut plans) = (Vec::new(), Vec::new());
    for target in &sla.targets {
        let object = lowering.definitions.get(Kind::Slo, &target.slo)?;
        let Definition::Slo(slo) = &object.definition else {
            return Err(Error::Internal("an SLO that is none".to_owned()));
        };
        let mut settings = settings(object, slo, lowering)?;
        if let Some(calendar) = &calendar {
            settings.outside.calendar = Some(calendar.clone());
        }
        settings.outside.adjusted.sla = Some(sla.name.clone());
        plans.push(events_plan(slo, lowering)?);
        let expecting = crate::quality::expecting(object, lowering);
        let past_ns = as_of_ns.filter(|at_ns| *at_ns < crate::plan::now_ns(lowering.state));
        let known = past_ns.map(|at_ns| known_then(object, at_ns, lowering)).transpose()?.unwrap_or(Ok(0));
        let step_ns = settings.rules.slice_ns().or(settings.rules.step_ns).unwrap_or(1);
        let behind_ns = match past_ns {
            Some(_) => known.clone().unwrap_or(0).saturating_add(step_ns).saturating_sub(1),
            None => 0,
        };
        let unknown = known.err();
        targets.push(Target {
            slo: target.slo.clone(),
            required: target.at_least,
            settings,
            expecting,
            unknown,
            behind_ns,
        });
    }
    let zone = lowering.settings.time_zone.clone();
    let schema = schema(&zone);
    let (database, name) = (lowering.database.clone(), object.name.clone());
    let agreement = Agreement { period, targets, credits, min_coverage, only, database, name, as_of_ns, is_unsealed };
    Ok(Computed::new(format!("sla.{}", sla.name), schema.clone(), plans, Vec::new(), move |inputs, now_ns| {
        agreement.rows(&inputs, agreement.as_of_ns.unwrap_or(now_ns), &zone, &schema)
    }))
}

/// Whether what an SLO was at a moment is known: all that it reads are KPIs whose rows were kept then, and none of what it goes by
/// has changed since. Gives how late their rows may come, in nanoseconds, or a part of a sentence that says what is not known.
fn known_then(slo: &Object, at_ns: i64, lowering: &Lowering<'_>) -> Result<std::result::Result<i64, String>> {
    if slo.defined_ns > at_ns {
        return Ok(Err(format!("SLO \"{}\" was defined later", slo.name)));
    }
    let (mut late_ns, mut kpis) = (0, 0);
    for read in &slo.reads {
        let (kind, name) = match read {
            Reference::Object(kind, name) => (*kind, name),
            Reference::Relation(name) => {
                return Ok(Err(format!("rows of \"{name}\" are not kept with the time at which they came")));
            }
        };
        let object = lowering.definitions.get(kind, name)?;
        if object.defined_ns > at_ns {
            return Ok(Err(format!("{} \"{name}\" was defined later", kind.word())));
        }
        let known = match kind {
            Kind::Kpi => {
                let lateness = object.definition.option_text("lateness").and_then(|text| Span::parse(text).ok());
                let lateness_ns = lateness.and_then(Span::fixed_ns).unwrap_or(0);
                crate::maintained::known_at(object, at_ns, lowering.database)?.map(|()| lateness_ns)
            }
            Kind::Slo => known_then(object, at_ns, lowering)?,
            _ => continue,
        };
        match known {
            Ok(lateness_ns) => late_ns = late_ns.max(lateness_ns),
            Err(why) => return Ok(Err(why)),
        }
        kpis += 1;
    }
    if kpis == 0 {
        return Ok(Err("it reads no KPI".to_owned()));
    }
    let table = crate::ops::incident::of_system("audit")?;
    let entered = |row: &Arc<crate::ops::Row>| {
        let row = crate::ops::Named::new(table, row);
        let is_of = |object: &str| object.starts_with("ops.maintenance ") || object.starts_with("ops.holiday ");
        row.time_ns("at").is_some_and(|ns| ns > at_ns) && row.text("object").is_some_and(is_of)
    };
    match lowering.database.ops().rows(table).values().any(entered) {
        true => Ok(Err("maintenance or holidays have been entered since".to_owned())),
        false => Ok(Ok(late_ns)),
    }
}

/// Its periods, and how long after its end one takes late data in.
fn terms(object: &Object, sla: &Sla, lowering: &Lowering<'_>) -> Result<(Period, Span)> {
    let refused = |what: String| Error::definition("KP003", what);
    let period = periods_of(&sla.period, sla.calendar.as_deref(), lowering.definitions, lowering.database)?;
    let seal_after = object.definition.option_text("seal_after").unwrap_or(SEAL_AFTER);
    Ok((period, Span::parse(seal_after).map_err(refused)?))
}

/// The beginning of a period of an SLA, by its name.
///
/// # Errors
/// [`Error::Definition`] for a name that names none.
pub(crate) fn period_start(
    object: &Object,
    label: &str,
    definitions: &Definitions,
    database: &Database,
) -> Result<i64> {
    let refused = |what: String| Error::definition("KP003", what);
    let Definition::Sla(sla) = &object.definition else {
        return Err(Error::Internal("an SLA that is none".to_owned()));
    };
    let period = periods_of(&sla.period, sla.calendar.as_deref(), definitions, database)?;
    Ok(period.named(label).map_err(refused)?.start)
}

/// The last period that is to be sealed by a moment.
///
/// # Errors
/// Whatever has become wrong with the definition.
pub(crate) fn due(object: &Object, sla: &Sla, now_ns: i64, lowering: &Lowering<'_>) -> Result<Option<Instants>> {
    /// Periods that wait for late data at one time, at most.
    const WAITING_MAX: usize = 1_000;
    let (period, seal_after) = terms(object, sla, lowering)?;
    let mut last = period.containing(now_ns);
    for _ in 0..WAITING_MAX {
        let Some(found) = last else { return Ok(None) };
        if seal_after.after(found.end, 1, period.zone()).is_some_and(|at| at <= now_ns) {
            return Ok(Some(found));
        }
        last = period.containing(found.start.saturating_sub(1));
    }
    Ok(None)
}

impl Agreement {
    fn rows(
        &self,
        inputs: &[Vec<RecordBatch>],
        now_ns: i64,
        zone: &Arc<str>,
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        let instants = || TimestampNanosecondBuilder::new().with_timezone(zone.clone());
        let (mut starts, mut ends, mut sealed) = (instants(), instants(), instants());
        let (mut names, mut statuses) = (StringBuilder::new(), StringBuilder::new());
        let (mut qualities, mut adjusted) = (StringBuilder::new(), StringBuilder::new());
        let mut numbers: [Float64Builder; 4] = std::array::from_fn(|_| Float64Builder::new());
        let mut tallied = Vec::new();
        for (target, batches) in self.targets.iter().zip(inputs) {
            tallied.push(tallies(batches, &target.settings, now_ns)?);
        }
        let extents = || tallied.iter().filter_map(Tallies::extent);
        let periods = match (&self.only, extents().map(|(start, _)| start).min()) {
            (Some(only), _) => vec![only.clone()],
            (None, None) => Vec::new(),
            (None, Some(first)) => {
                let last = extents().map(|(_, end)| end).max().unwrap_or(first).max(now_ns);
                self.period.between(first, last)
            }
        };
        let seals = match self.is_unsealed {
            true => std::collections::BTreeMap::new(),
            false => seals(&self.database, &self.name, now_ns),
        };
        let adjustments = adjustment::approved(&self.database, now_ns);
        for period in &periods {
            let is_closed = period.end <= now_ns;
            let elapsed = (now_ns - period.start) as f64 / (period.end - period.start) as f64;
            for (target, tallies) in self.targets.iter().zip(&tallied) {
                if let Some(seal) = seals.get(&(period.start, target.slo.clone())) {
                    starts.append_value(period.start);
                    ends.append_value(period.end);
                    names.append_value(&target.slo);
                    statuses.append_value(&seal.status);
                    let of_row = [seal.attained, seal.required, seal.coverage, seal.credit];
                    for (builder, number) in numbers.iter_mut().zip(of_row) {
                        builder.append_option(number);
                    }
                    sealed.append_value(seal.sealed_ns);
                    qualities.append_option(seal.quality.as_deref());
                    adjusted.append_option(seal.adjustments.as_deref());
                    continue;
                }
                if let Some(why) = &target.unknown {
                    let what = format!("what \"{}\" was at that time is not known: {why}", target.slo);
                    let hint = "Sealed periods are told as of any time, others where all that is read are KPIs that were kept up.";
                    return Err(Error::definition("KP024", what).hinted(hint));
                }
                let until_ns = now_ns.saturating_sub(target.behind_ns).max(period.start);
                let count = tallies.between(period.start, period.end.min(until_ns));
                let required = target.required.parts();
                let status = Status::of(&count, required, self.min_coverage, if is_closed { 1.0 } else { elapsed });
                let credit = match status {
                    Status::Breach if is_closed => Some(self.credits.of(&count)),
                    Status::Met if is_closed => Some(0.0),
                    _ => None,
                };
                starts.append_value(period.start);
                ends.append_value(period.end);
                names.append_value(&target.slo);
                statuses.append_value(status.word());
                let of_row = [count.share(), Some(required as f64 / WHOLE as f64), count.coverage, credit];
                for (builder, number) in numbers.iter_mut().zip(of_row) {
                    builder.append_option(number);
                }
                sealed.append_null();
                let is_tainted = self.database.quality().is_tainted(&target.expecting, period.start, period.end);
                qualities.append_value(if is_tainted { "tainted" } else { "good" });
                let told = adjustment::told(&adjustments, &self.name, &target.slo, period.start, period.end);
                adjusted.append_option(told);
            }
        }
        let [mut attained, mut required, mut coverage, mut credit] = numbers;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(starts.finish()),
            Arc::new(ends.finish()),
            Arc::new(names.finish()),
            Arc::new(attained.finish()),
            Arc::new(required.finish()),
            Arc::new(statuses.finish()),
            Arc::new(coverage.finish()),
            Arc::new(credit.finish()),
            Arc::new(sealed.finish()),
            Arc::new(qualities.finish()),
            Arc::new(adjusted.finish()),
        ];
        Ok(RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?)
    }
}
