//! `sla.NAME`: a row for each reporting period and target, with what was attained and what is owed.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Builder, RecordBatch, StringBuilder, TimestampNanosecondBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::error::DataFusionError;

use crate::analysis::duration::Span;
use crate::analysis::period::{Instants, Period};
use crate::analysis::sla::{Credits, Status};
use crate::analysis::sli::{Tallies, WHOLE};
use crate::catalog::Object;
use crate::dialect::{Definition, Kind, Percent, Sla};
use crate::lower::Lowering;
use crate::{Error, Result};

use super::computed::Computed;
use super::promise::{Settings, calendar, events_plan, settings, tallies, zone_of};

/// How long after its end a period takes late data in, when the SLA does not say.
const SEAL_AFTER: &str = "5 days";

/// What an SLA is judged by.
struct Agreement {
    period: Period,
    targets: Vec<Target>,
    credits: Credits,
    seal_after: Span,
    min_coverage: u64,
    /// The one period that is asked for; all of them without.
    only: Option<Instants>,
}

struct Target {
    slo: String,
    required: Percent,
    settings: Settings,
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
    ]))
}

/// The relation of an SLA, or the part of it that is one period.
///
/// # Errors
/// [`Error::Definition`] for a period that is none, and whatever has become wrong with the definitions.
pub(super) fn relation(object: &Object, sla: &Sla, only: Option<&str>, lowering: &Lowering<'_>) -> Result<Computed> {
    let refused = |what: String| Error::definition("KP003", what);
    let zone = zone_of(sla.calendar.as_deref(), lowering)?;
    let period = Period::parse(&sla.period, &zone, None).map_err(refused)?;
    let calendar = sla.calendar.as_ref().map(|name| calendar(name, lowering)).transpose()?;
    let option = |name: &str| object.definition.option_text(name);
    let seal_after = Span::parse(option("seal_after").unwrap_or(SEAL_AFTER)).map_err(refused)?;
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
        plans.push(events_plan(slo, lowering)?);
        targets.push(Target { slo: target.slo.clone(), required: target.at_least, settings });
    }
    let zone = lowering.settings.time_zone.clone();
    let schema = schema(&zone);
    let agreement = Agreement { period, targets, credits, seal_after, min_coverage, only };
    Ok(Computed::new(format!("sla.{}", sla.name), schema.clone(), plans, Vec::new(), move |inputs, now_ns| {
        agreement.rows(&inputs, now_ns, &zone, &schema)
    }))
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
        for period in &periods {
            let is_closed = period.end <= now_ns;
            let elapsed = (now_ns - period.start) as f64 / (period.end - period.start) as f64;
            let seals_at = self.seal_after.after(period.end, 1, self.period.zone());
            for (target, tallies) in self.targets.iter().zip(&tallied) {
                let count = tallies.between(period.start, period.end.min(now_ns.max(period.start)));
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
                sealed.append_option(seals_at.filter(|at| *at <= now_ns));
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
        ];
        Ok(RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?)
    }
}
