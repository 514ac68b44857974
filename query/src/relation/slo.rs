//! `slo.NAME`: a row for each bucket, with the indicator, the budget and how fast it is spent; and questions about one moment.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Builder, RecordBatch, StringBuilder, TimestampNanosecondBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::error::DataFusionError;

use crate::Result;
use crate::analysis::sli::{Count, Missing, Tallies, number_of};
use crate::catalog::Object;
use crate::dialect::Slo;
use crate::lower::Lowering;

use super::computed::Computed;
use super::promise::{Extent, Settings, events_plan, settings, tallies};

/// Of how much time the burn rate is.
pub(super) const RECENT_NS: i64 = 3_600_000_000_000;

/// The columns.
fn schema(time_zone: &Arc<str>) -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let numbers =
        ["good", "total", "sli", "objective", "budget_allowed", "budget_spent", "budget_remaining", "burn_rate"];
    let mut fields =
        vec![Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, Some(time_zone.clone())), false)];
    fields.extend(numbers.map(number));
    fields.push(Field::new("status", DataType::Utf8, false));
    Arc::new(Schema::new(fields))
}

/// The relation of an SLO.
///
/// # Errors
/// Whatever has become wrong with its definition.
pub(super) fn relation(object: &Object, slo: &Slo, lowering: &Lowering<'_>) -> Result<Computed> {
    let settings = settings(object, slo, lowering)?;
    let plan = events_plan(slo, lowering)?;
    let zone = lowering.settings.time_zone.clone();
    let schema = schema(&zone);
    Ok(Computed::new(format!("slo.{}", slo.name), schema.clone(), vec![plan], Vec::new(), move |inputs, now_ns| {
        let tallies = tallies(&inputs[0], &settings, now_ns)?;
        rows(&tallies, &settings, &zone, &schema)
    }))
}

/// `slo_burn`: for each bucket how fast the budget was spent in a long and in a short time that end with it.
///
/// # Errors
/// Whatever has become wrong with the definition of the SLO.
pub(super) fn burn(
    object: &Object,
    slo: &Slo,
    long_ns: i64,
    short_ns: i64,
    lowering: &Lowering<'_>,
) -> Result<Computed> {
    let settings = settings(object, slo, lowering)?;
    let plan = events_plan(slo, lowering)?;
    let zone = lowering.settings.time_zone.clone();
    let rate = |name: &str| Field::new(name, DataType::Float64, true);
    let time = Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, Some(zone.clone())), false);
    let schema: SchemaRef = Arc::new(Schema::new(vec![time, rate("long_burn"), rate("short_burn")]));
    let reach = settings.burn_reach_ns(long_ns.max(short_ns));
    let computed = Computed::new("slo_burn", schema.clone(), vec![plan], Vec::new(), move |inputs, now_ns| {
        let tallies = tallies(&inputs[0], &settings, now_ns)?;
        let mut times = TimestampNanosecondBuilder::new().with_timezone(zone.clone());
        let mut rates = [Float64Builder::new(), Float64Builder::new()];
        for (time, ..) in tallies.each() {
            let end_ns = tallies.end_of(time);
            times.append_value(time);
            for (builder, length_ns) in rates.iter_mut().zip([long_ns, short_ns]) {
                let count = tallies.between(end_ns.saturating_sub(length_ns), end_ns);
                builder.append_option(settings.rules.burn_rate(&count));
            }
        }
        let [mut long, mut short] = rates;
        let columns: Vec<ArrayRef> = vec![Arc::new(times.finish()), Arc::new(long.finish()), Arc::new(short.finish())];
        Ok(RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?)
    });
    Ok(match reach {
        Some((before_ns, after_ns)) => computed.reaching(before_ns, after_ns),
        None => computed,
    })
}

impl Settings {
    /// How far before and after its time the events lie that a burn rate over a length of time counts; `None` where slices
    /// without events count, and so what was before.
    pub(super) fn burn_reach_ns(&self, length_ns: i64) -> Option<(i64, i64)> {
        let slice_ns = self.rules.slice_ns().or(self.rules.step_ns).unwrap_or(0);
        (self.rules.missing == Missing::Unknown).then(|| (length_ns.saturating_add(slice_ns), slice_ns))
    }

    /// The stretch of time that the objective is about at a moment.
    pub(super) fn window_at(&self, at_ns: i64) -> (i64, i64) {
        match &self.extent {
            Extent::Rolling(length) => (at_ns.saturating_sub(*length), at_ns),
            // A moment is the end of what it tells of.
            Extent::Calendar(period) => match period.containing(at_ns.saturating_sub(1)) {
                Some(range) => (range.start, at_ns),
                None => (at_ns, at_ns),
            },
        }
    }

    /// What was counted in that time, and in the last hour.
    pub(super) fn counts_at(&self, tallies: &Tallies, at_ns: i64) -> (Count, Count) {
        let (start, end) = self.window_at(at_ns);
        (tallies.between(start, end), tallies.between(at_ns.saturating_sub(RECENT_NS), at_ns))
    }
}

fn rows(tallies: &Tallies, settings: &Settings, zone: &Arc<str>, schema: &SchemaRef) -> Result<RecordBatch> {
    let rules = &settings.rules;
    let mut times = TimestampNanosecondBuilder::new().with_timezone(zone.clone());
    let mut numbers: [Float64Builder; 8] = std::array::from_fn(|_| Float64Builder::new());
    let mut statuses = StringBuilder::new();
    for (time, good, total) in tallies.each() {
        let (window, recent) = settings.counts_at(tallies, tallies.end_of(time));
        times.append_value(time);
        let of_row = [
            Some(number_of(good)),
            Some(number_of(total)),
            rules.sli(&window),
            Some(rules.objective as f64 / crate::analysis::sli::WHOLE as f64),
            Some(rules.allowed(&window)),
            Some(number_of(window.total - window.good)),
            rules.remaining(&window),
            rules.burn_rate(&recent),
        ];
        for (builder, number) in numbers.iter_mut().zip(of_row) {
            builder.append_option(number);
        }
        statuses.append_value(rules.standing(&window, &recent).word());
    }
    let mut columns: Vec<ArrayRef> = vec![Arc::new(times.finish())];
    columns.extend(numbers.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
    columns.push(Arc::new(statuses.finish()));
    Ok(RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?)
}
