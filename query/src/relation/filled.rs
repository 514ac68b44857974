//! What stands in for missing buckets of a KPI where its definition says so: `on_missing = 'zero'` or `'interpolate'`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array,
};
use datafusion::arrow::compute::{cast, concat_batches, take};
use datafusion::arrow::datatypes::{Float64Type, Schema, SchemaRef, TimestampNanosecondType};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlanBuilder, TableSource};

use crate::analysis::duration::Span;
use crate::catalog::Object;
use crate::dialect::Kpi;
use crate::lower::Lowering;
use crate::{Error, Result};

use super::baseline::FIELDS;
use super::computed::Computed;
use super::kpi::{Measure, Shape, TIME};
use super::step::known_step_ns;

/// How long a gap may be that is filled, when the KPI does not say.
const HOLD: &str = "1 day";

/// Rows that one reading fills in, at most.
const FILLED_MAX: usize = 5_000_000;

/// What stands in for a bucket without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    /// 0, as soon as the bucket is over, for as long after a value as `hold_ns` says.
    Zero,
    /// What lies on the line between the values around, where they are no further apart than that.
    Interpolate,
}

impl Fill {
    /// What a KPI fills gaps with; `None` where it leaves them.
    pub(super) fn of(kpi: &Kpi) -> Option<Fill> {
        match kpi.option_text("on_missing") {
            Some("zero") => Some(Fill::Zero),
            Some("interpolate") => Some(Fill::Interpolate),
            _ => None,
        }
    }

    /// What `quality` says of such a row.
    fn word(self) -> &'static str {
        match self {
            Fill::Zero => "zero",
            Fill::Interpolate => "interpolated",
        }
    }
}

/// How the gaps of a KPI are filled. Lengths of time are in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Filling {
    fill: Fill,
    step_ns: i64,
    hold_ns: i64,
    lateness_ns: i64,
}

/// Checks what a KPI says of its gaps.
///
/// # Errors
/// [`Error::Definition`]: KP003 for a ratio, whose missing buckets have nothing to count, and for lengths of time that are none;
/// KP007 where the width of buckets is not known.
pub(super) fn check(kpi: &Kpi, shape: &Shape, lowering: &Lowering<'_>) -> Result<()> {
    filling(kpi, shape, lowering).map(|_| ())
}

fn filling(kpi: &Kpi, shape: &Shape, lowering: &Lowering<'_>) -> Result<Option<Filling>> {
    let refused = |what: String| Error::definition("KP003", what);
    let Some(fill) = Fill::of(kpi) else {
        return match kpi.option_text("max_hold") {
            Some(_) => Err(refused("max_hold says how long a gap may be that is filled, and none is".to_owned())
                .hinted("Say on_missing = 'zero' or 'interpolate' as well.")),
            None => Ok(None),
        };
    };
    if shape.measure == Measure::Ratio {
        let what = "good ones among all cannot be filled in: a bucket without any has nothing to count".to_owned();
        return Err(refused(what).hinted("Use on_missing = 'bad', 'good' or 'unknown'."));
    }
    let span = |name: &str, default: Option<&str>| match kpi.option_text(name).or(default) {
        Some(text) => Span::parse(text)
            .map_err(refused)?
            .fixed_ns()
            .ok_or_else(|| refused(format!("'{text}' is no fixed length of time")).hinted("Use days.")),
        None => Ok(0),
    };
    Ok(Some(Filling {
        fill,
        step_ns: known_step_ns(kpi, lowering.definitions)?.max(1),
        hold_ns: span("max_hold", Some(HOLD))?,
        lateness_ns: span("lateness", None)?,
    }))
}

/// The relation of a KPI without the gaps that it fills; the same one where it leaves them.
///
/// # Errors
/// Those of [`check`], and those of planning.
pub(super) fn filled(
    object: &Object,
    kpi: &Kpi,
    shape: &Shape,
    rows: Arc<dyn TableSource>,
    lowering: &Lowering<'_>,
) -> Result<Arc<dyn TableSource>> {
    let Some(filling) = filling(kpi, shape, lowering)? else { return Ok(rows) };
    if filling.fill == Fill::Interpolate && lowering.is_counting.get() {
        return Ok(rows);
    }
    let plan = LogicalPlanBuilder::scan(object.name.as_str(), rows, None)?.build()?;
    let plan = lowering.analyze(plan)?;
    let fields = plan.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let (given, dimensions) = (schema.clone(), shape.dimensions.clone());
    let reach_ns = filling.hold_ns.saturating_add(filling.step_ns);
    let name = format!("kpi.{}", object.name);
    let relation = Computed::new(name, schema, vec![plan], shape.dimensions.clone(), move |inputs, now_ns| {
        let whole = concat_batches(&given, inputs.iter().flatten()).map_err(DataFusionError::from)?;
        filling.apply(&whole, &dimensions, now_ns)
    });
    Ok(super::computed(relation.reaching(reach_ns, reach_ns)))
}

/// A row of the answer: one that was there, or one like it at another time.
#[derive(Debug, Clone, Copy)]
struct Row {
    of: usize,
    filled: Option<(i64, f64)>,
}

impl Filling {
    fn apply(&self, rows: &RecordBatch, dimensions: &[String], now_ns: i64) -> Result<RecordBatch> {
        let column = |name: &str| {
            rows.column_by_name(name).ok_or_else(|| Error::Internal(format!("a KPI without the column {name}")))
        };
        let times = column(TIME)?.as_primitive::<TimestampNanosecondType>().clone();
        let values = column("value")?.as_primitive::<Float64Type>().clone();
        let mut out: Vec<Row> = Vec::with_capacity(rows.num_rows());
        for series in series(rows, dimensions, &times)?.values() {
            let known: Vec<(i64, f64, usize)> = series
                .iter()
                .filter(|row| values.is_valid(**row))
                .map(|row| (times.value(*row), values.value(*row), *row))
                .collect();
            let mut made = BTreeSet::new();
            for (at, (time_ns, value, of)) in known.iter().enumerate() {
                let next = known.get(at + 1).map(|(time_ns, value, _)| (*time_ns, *value));
                for filled in self.between((*time_ns, *value), next, now_ns) {
                    made.insert(filled.0);
                    out.push(Row { of: *of, filled: Some(filled) });
                    if out.len() > FILLED_MAX {
                        let what = "a KPI has too many missing buckets to fill them in";
                        return Err(Error::definition("KP008", what).hinted("Ask for less time, or lower max_hold."));
                    }
                }
            }
            let is_kept = |row: &&usize| values.is_valid(**row) || !made.contains(&times.value(**row));
            out.extend(series.iter().filter(is_kept).map(|row| Row { of: *row, filled: None }));
        }
        out.sort_by_key(|row| row.filled.map_or_else(|| times.value(row.of), |(time_ns, _)| time_ns));
        self.columns(rows, &out, &times, &values)
    }

    /// The buckets after one with a value that have none, and what stands in for it.
    fn between(&self, from: (i64, f64), next: Option<(i64, f64)>, now_ns: i64) -> Vec<(i64, f64)> {
        let (start_ns, value) = from;
        let hold_ns = start_ns.saturating_add(self.hold_ns);
        let end_ns = match (self.fill, next) {
            (Fill::Interpolate, None) => start_ns,
            (Fill::Interpolate, Some((next_ns, _))) if next_ns > hold_ns => start_ns,
            (Fill::Interpolate, Some((next_ns, _))) => next_ns,
            (Fill::Zero, next) => {
                // The last bucket that is over: one that begins before this.
                let open_ns = now_ns.saturating_sub(self.lateness_ns).saturating_sub(self.step_ns).saturating_add(1);
                let next_ns = next.map_or(open_ns, |(next_ns, _)| next_ns);
                next_ns.min(hold_ns.saturating_add(1))
            }
        };
        let times = std::iter::successors(start_ns.checked_add(self.step_ns), |time| time.checked_add(self.step_ns));
        let times = times.take_while(|time| *time < end_ns).take(FILLED_MAX + 1);
        let stand_in = |time_ns: i64| match (self.fill, next) {
            (Fill::Interpolate, Some((next_ns, other))) => {
                value + (other - value) * ((time_ns - start_ns) as f64 / (next_ns - start_ns) as f64)
            }
            _ => 0.0,
        };
        times.map(|time_ns| (time_ns, stand_in(time_ns))).collect()
    }

    fn columns(
        &self,
        rows: &RecordBatch,
        out: &[Row],
        times: &TimestampNanosecondArray,
        values: &Float64Array,
    ) -> Result<RecordBatch> {
        let like = UInt64Array::from_iter_values(out.iter().map(|row| row.of as u64));
        let known = UInt64Array::from_iter(out.iter().map(|row| row.filled.is_none().then_some(row.of as u64)));
        let either = |column: &ArrayRef, word: &str| -> Result<ArrayRef> {
            let texts = cast(column, &datafusion::arrow::datatypes::DataType::Utf8).map_err(DataFusionError::from)?;
            let texts = texts.as_string::<i32>();
            let text = |row: &Row| match row.filled {
                Some(_) => Some(word),
                None => texts.is_valid(row.of).then(|| texts.value(row.of)),
            };
            Ok(Arc::new(out.iter().map(text).collect::<StringArray>()))
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(rows.num_columns());
        for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
            let taken = |indices| take(column, indices, None).map_err(DataFusionError::from);
            let made: ArrayRef = match field.name().as_str() {
                TIME => {
                    let time = |row: &Row| row.filled.map_or_else(|| times.value(row.of), |(time_ns, _)| time_ns);
                    Arc::new(TimestampNanosecondArray::from_iter_values(out.iter().map(time)))
                }
                "value" => {
                    let value = |row: &Row| match row.filled {
                        Some((_, value)) => Some(value),
                        None => values.is_valid(row.of).then(|| values.value(row.of)),
                    };
                    Arc::new(out.iter().map(value).collect::<Float64Array>())
                }
                "coverage" => {
                    let shares = column.as_primitive::<Float64Type>();
                    let share = |row: &Row| if row.filled.is_some() { 0.0 } else { shares.value(row.of) };
                    Arc::new(Float64Array::from_iter_values(out.iter().map(share)))
                }
                "quality" => either(column, self.fill.word())?,
                "band" => either(column, "no_data")?,
                name if FIELDS.iter().any(|(known, _)| *known == name) => taken(&known)?,
                _ => taken(&like)?,
            };
            columns.push(cast(&made, field.data_type()).map_err(DataFusionError::from)?);
        }
        Ok(RecordBatch::try_new(rows.schema(), columns).map_err(DataFusionError::from)?)
    }
}

/// The rows of each series in the order of time, by its dimensions as texts.
fn series(
    rows: &RecordBatch,
    dimensions: &[String],
    times: &TimestampNanosecondArray,
) -> Result<BTreeMap<Vec<Option<String>>, Vec<usize>>> {
    let options = FormatOptions::default();
    let columns: Vec<&ArrayRef> = dimensions.iter().filter_map(|name| rows.column_by_name(name)).collect();
    let formats = columns.iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let formats = formats.collect::<Result<Vec<_>, _>>().map_err(DataFusionError::from)?;
    let mut series: BTreeMap<Vec<Option<String>>, Vec<usize>> = BTreeMap::new();
    for row in (0..rows.num_rows()).filter(|row| times.is_valid(*row)) {
        let text = |(column, format): (&&ArrayRef, &ArrayFormatter<'_>)| {
            column.is_valid(row).then(|| format.value(row).to_string())
        };
        series.entry(columns.iter().zip(&formats).map(text).collect()).or_default().push(row);
    }
    series.values_mut().for_each(|rows| rows.sort_by_key(|row| times.value(*row)));
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_as_long_as_they_may_be() {
        let of = |fill| Filling { fill, step_ns: 10, hold_ns: 30, lateness_ns: 5 };
        let zero =
            |from, next, now| of(Fill::Zero).between(from, next, now).into_iter().map(|(t, _)| t).collect::<Vec<_>>();
        assert_eq!(zero((0, 1.0), Some((20, 1.0)), 1_000), [10]);
        assert_eq!(zero((0, 1.0), Some((90, 1.0)), 1_000), [10, 20, 30]);
        // A bucket is filled when it is over and no row is waited for.
        assert_eq!(zero((0, 1.0), None, 24), [] as [i64; 0]);
        assert_eq!(zero((0, 1.0), None, 25), [10]);
        assert_eq!(of(Fill::Interpolate).between((0, 1.0), Some((30, 4.0)), 0), [(10, 2.0), (20, 3.0)]);
        assert_eq!(of(Fill::Interpolate).between((0, 1.0), Some((40, 5.0)), 0), []);
        assert_eq!(of(Fill::Interpolate).between((0, 1.0), None, 1_000), []);
    }
}
