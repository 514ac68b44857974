//! `coverage` and `gaps`: for how much of the time a KPI has values, and for which it has none.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringBuilder, TimestampNanosecondBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Schema, TimestampNanosecondType};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Column;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};

use crate::analysis::intervals::Intervals;
use crate::dialect::{Definition, Kind};
use crate::{Error, Result};

use super::computed::Computed;
use super::functions::{Arguments, number, numbers, time_field};
use super::kpi::{self, TIME};
use super::promise::calendar;
use super::step::known_step_ns;

/// The buckets of a KPI that have a value, by its dimensions.
struct Seen {
    /// Dimensions as texts, and the starts of their buckets, ascending.
    series: BTreeMap<Vec<Option<String>>, Vec<i64>>,
}

/// What is asked: the buckets that begin in `[start, end)`, outside of the time that the KPI's calendar leaves out.
struct Asked {
    start: i64,
    end: i64,
    step: i64,
    closed: Intervals,
}

impl Asked {
    /// Starts of the buckets that there should be.
    fn first(&self) -> i64 {
        self.from(self.start)
    }

    /// The first bucket that begins at an instant or later.
    fn from(&self, instant: i64) -> i64 {
        let over = instant.rem_euclid(self.step);
        if over == 0 { instant } else { instant.saturating_add(self.step - over) }
    }

    /// How many begin in `[start, end)`.
    fn within(&self, start: i64, end: i64) -> i64 {
        let first = self.from(start);
        if first >= end { 0 } else { (end - 1 - first) / self.step + 1 }
    }

    fn expected(&self) -> i64 {
        let closed: i64 = self.closed.iter().map(|(start, end)| self.within(start, end)).sum();
        self.within(self.start, self.end) - closed
    }

    fn counts(&self, time: i64) -> bool {
        !self.closed.contains(time)
    }
}

/// The share of the buckets between two instants that have a value, over all dimensions that have any.
pub(super) fn coverage(arguments: &Arguments<'_>) -> Result<Computed> {
    let schema = Arc::new(Schema::new(numbers(&["coverage"])));
    let given = schema.clone();
    of_kpi(arguments, schema, move |seen, asked| {
        let of_all = asked.expected() as f64 * seen.series.len().max(1) as f64;
        let found = seen.series.values().flatten().filter(|time| asked.counts(**time)).count();
        let share = (of_all > 0.0).then(|| (found as f64 / of_all).min(1.0));
        RecordBatch::try_new(given.clone(), vec![number(share)])
    })
}

/// The stretches of time without a value, for each row of dimensions that has any.
pub(super) fn gaps(arguments: &Arguments<'_>) -> Result<Computed> {
    let zone = arguments.zone();
    let schema = Arc::new(Schema::new(vec![
        Field::new("series", DataType::Utf8, true),
        time_field("gap_start", &zone),
        time_field("gap_end", &zone),
    ]));
    let given = schema.clone();
    of_kpi(arguments, schema, move |seen, asked| {
        let instants = || TimestampNanosecondBuilder::new().with_timezone(zone.clone());
        let (mut names, mut starts, mut ends) = (StringBuilder::new(), instants(), instants());
        let count = asked.within(asked.start, asked.end);
        let last = asked.first().saturating_add(count.saturating_mul(asked.step));
        for (dimensions, times) in &seen.series {
            let name: Vec<&str> = dimensions.iter().flatten().map(String::as_str).collect();
            let mut next = asked.first();
            for time in times.iter().chain([&last]) {
                if *time > next {
                    for (start, end) in asked.closed.complement(next, *time).iter() {
                        names.append_value(name.join(","));
                        starts.append_value(start);
                        ends.append_value(end);
                    }
                }
                next = time.saturating_add(asked.step);
            }
        }
        let columns: Vec<ArrayRef> = vec![Arc::new(names.finish()), Arc::new(starts.finish()), Arc::new(ends.finish())];
        RecordBatch::try_new(given.clone(), columns)
    })
}

fn of_kpi(
    arguments: &Arguments<'_>,
    schema: Arc<Schema>,
    answer: impl Fn(&Seen, &Asked) -> datafusion::arrow::error::Result<RecordBatch> + Send + Sync + 'static,
) -> Result<Computed> {
    arguments.check_count(3, 3)?;
    let lowering = arguments.lowering;
    let object = lowering.definitions.get(Kind::Kpi, arguments.text(0)?)?;
    let Definition::Kpi(definition) = &object.definition else {
        return Err(Error::Internal("a KPI that is none".to_owned()));
    };
    let step = known_step_ns(definition, lowering.definitions)?;
    let (start, end) = (arguments.instant(1)?, arguments.instant(2)?);
    let closed = match definition.option_text("calendar") {
        Some(name) if start < end => calendar(name, lowering)?.open_between(start, end).complement(start, end),
        _ => Intervals::default(),
    };
    let asked = Asked { start, end, step, closed };
    let (plan, shape) = kpi::plan(object, definition, lowering)?;
    let column = |name: &str| {
        let field = plan.schema().qualified_field_with_unqualified_name(name)?;
        Ok::<_, Error>(Expr::Column(Column::from(field)))
    };
    let mut projection = vec![column(TIME)?, column("value")?];
    for dimension in &shape.dimensions {
        projection.push(column(dimension)?);
    }
    let instant = |ns| {
        Expr::Literal(
            datafusion::common::ScalarValue::TimestampNanosecond(Some(ns), Some(lowering.settings.time_zone.clone())),
            None,
        )
    };
    let time = column(TIME)?;
    let within = time.clone().gt_eq(instant(start)).and(time.clone().lt(instant(end)));
    let plan = LogicalPlanBuilder::from(plan.clone()).filter(within)?.project(projection)?.build()?;
    let plan = LogicalPlanBuilder::from(plan).sort_by(vec![time])?.build()?;
    let name = object.name.clone();
    Ok(Computed::new(name, schema, vec![lowering.analyze(plan)?], Vec::new(), move |inputs, _now| {
        Ok(answer(&seen(&inputs[0])?, &asked).map_err(DataFusionError::from)?)
    }))
}

/// Reads `time`, `value` and dimensions, ascending by time.
fn seen(batches: &[RecordBatch]) -> Result<Seen> {
    let mut series: BTreeMap<Vec<Option<String>>, Vec<i64>> = BTreeMap::new();
    let options = FormatOptions::default();
    for batch in batches {
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>();
        let values = batch.column(1).as_primitive::<Float64Type>();
        let dimensions = batch.columns()[2..].iter();
        let formats = dimensions.clone().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let formats = formats.collect::<Result<Vec<_>, _>>().map_err(DataFusionError::from)?;
        for row in (0..batch.num_rows()).filter(|row| times.is_valid(*row) && values.is_valid(*row)) {
            let key = dimensions
                .clone()
                .zip(&formats)
                .map(|(column, format)| column.is_valid(row).then(|| format.value(row).to_string()));
            let known = series.entry(key.collect()).or_default();
            if known.last() != Some(&times.value(row)) {
                known.push(times.value(row));
            }
        }
    }
    Ok(Seen { series })
}
