//! Figures of processes: how soon somebody answers (`mtta`), how soon it is mended (`mttr`), how long it holds (`mtbf`), how much
//! is open, comes back, or misses its promise. Rows without an end are left out of times; `open_count` counts them.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;

use super::no_such_function;
use super::states::{list, list_field};
use crate::Error;

type Result<T> = datafusion::common::Result<T>;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// Which figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Figure {
    /// The mean time from the first to the second argument.
    Mean(&'static str),
    /// A quantile of it, by linear interpolation.
    Quantile(&'static str),
    /// The mean time from an end to the next start.
    Between,
    /// How many have no end.
    Open,
    /// The share that is true.
    Breach,
    /// The share that is above 0.
    Reopened,
}

const FIGURES: [Figure; 8] = [
    Figure::Mean("mtta"),
    Figure::Mean("mttr"),
    Figure::Quantile("mtta_p"),
    Figure::Quantile("mttr_p"),
    Figure::Between,
    Figure::Open,
    Figure::Breach,
    Figure::Reopened,
];

/// All of the aggregates.
pub(super) fn aggregates() -> impl Iterator<Item = AggregateUDF> {
    let signature = || Signature::user_defined(Volatility::Immutable);
    FIGURES.into_iter().map(move |figure| AggregateUDF::from(Process { figure, signature: signature() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Process {
    figure: Figure,
    signature: Signature,
}

impl AggregateUDFImpl for Process {
    fn name(&self) -> &'static str {
        match self.figure {
            Figure::Mean(name) | Figure::Quantile(name) => name,
            Figure::Between => "mtbf",
            Figure::Open => "open_count",
            Figure::Breach => "breach_rate",
            Figure::Reopened => "reopen_rate",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let time = |data_type: &DataType| match data_type {
            DataType::Timestamp(_, zone) => Some(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())),
            DataType::Null => Some(DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))),
            _ => None,
        };
        let fits = match (self.figure, types) {
            (Figure::Mean(_) | Figure::Between, [start, end]) => time(start).zip(time(end)).map(|(a, b)| vec![a, b]),
            (Figure::Quantile(_), [share, start, end]) if share.is_numeric() => {
                time(start).zip(time(end)).map(|(a, b)| vec![DataType::Float64, a, b])
            }
            (Figure::Open, [end]) => time(end).map(|end| vec![end]),
            (Figure::Breach, [DataType::Boolean | DataType::Null]) => Some(vec![DataType::Boolean]),
            (Figure::Reopened, [count]) if count.is_integer() || count.is_null() => Some(vec![DataType::Int64]),
            _ => None,
        };
        fits.ok_or_else(|| no_such_function(self.name(), types))
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(match self.figure {
            Figure::Mean(_) | Figure::Quantile(_) | Figure::Between => INTERVAL,
            Figure::Open => DataType::Int64,
            Figure::Breach | Figure::Reopened => DataType::Float64,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |what: &str| list_field(format_state_name(args.name, what), DataType::Int64);
        Ok(vec![list("starts"), list("ends")])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let mut share = 0.5;
        if let Figure::Quantile(name) = self.figure {
            let literal = args.exprs.first().and_then(|expr| expr.downcast_ref::<Literal>());
            share = match literal.map(Literal::value) {
                Some(ScalarValue::Float64(Some(share))) if (0.0..=1.0).contains(share) => *share,
                _ => {
                    let message = format!("the fraction of {name}() is a constant from 0 to 1");
                    let hint = Some(format!("The fraction comes first: {name}(0.9, opened_at, resolved_at)."));
                    let error = Error::InvalidOption { message, position: None, hint };
                    return Err(DataFusionError::External(Box::new(error)));
                }
            };
        }
        Ok(Box::new(Pairs { figure: self.figure, share, starts: Vec::new(), ends: Vec::new() }))
    }
}

/// The rows of a group: starts and ends in nanoseconds, or, for the figures of one argument, what there is to count.
#[derive(Debug)]
struct Pairs {
    figure: Figure,
    share: f64,
    starts: Vec<i64>,
    ends: Vec<i64>,
}

impl Pairs {
    fn durations(&self) -> Vec<i64> {
        self.starts.iter().zip(&self.ends).map(|(start, end)| end.saturating_sub(*start)).collect()
    }

    fn share_above_0(&self) -> Option<f64> {
        let above = self.starts.iter().filter(|count| **count > 0).count();
        (!self.starts.is_empty()).then(|| above as f64 / self.starts.len() as f64)
    }

    /// The times from each end to the next start; overlapping ones leave none.
    fn gaps(&self) -> Vec<i64> {
        let mut pairs: Vec<(i64, i64)> = self.starts.iter().copied().zip(self.ends.iter().copied()).collect();
        pairs.sort_unstable();
        let mut gaps = Vec::new();
        let mut last: Option<i64> = None;
        for (start, end) in pairs {
            if let Some(before) = last {
                gaps.push(start.saturating_sub(before).max(0));
            }
            last = Some(last.map_or(end, |before| before.max(end)));
        }
        gaps
    }
}

fn nanoseconds(array: &ArrayRef) -> Result<Int64Array> {
    Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn mean(durations: &[i64]) -> Option<i64> {
    let sum: i128 = durations.iter().map(|duration| i128::from(*duration)).sum();
    let count = i128::try_from(durations.len()).ok().filter(|count| *count > 0)?;
    i64::try_from(sum / count).ok()
}

fn quantile(mut durations: Vec<i64>, share: f64) -> Option<i64> {
    durations.sort_unstable();
    let last = durations.len().checked_sub(1)?;
    let at = share * last as f64;
    let (below, above) = (durations[at as usize], durations[(at.ceil() as usize).min(last)]);
    Some(below.saturating_add((above.saturating_sub(below) as f64 * at.fract()).round() as i64))
}

fn interval(ns: Option<i64>) -> ScalarValue {
    ScalarValue::IntervalMonthDayNano(ns.map(|ns| IntervalMonthDayNano::new(0, 0, ns)))
}

impl Accumulator for Pairs {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match (self.figure, values) {
            (Figure::Mean(_) | Figure::Between, [starts, ends]) | (Figure::Quantile(_), [_, starts, ends]) => {
                let (starts, ends) = (nanoseconds(starts)?, nanoseconds(ends)?);
                for (start, end) in starts.iter().zip(ends.iter()) {
                    if let (Some(start), Some(end)) = (start, end) {
                        self.starts.push(start);
                        self.ends.push(end);
                    }
                }
            }
            (Figure::Open, [ends]) => self.starts.push(i64::try_from(ends.null_count()).unwrap_or(i64::MAX)),
            (Figure::Breach, [flags]) => self.starts.extend(flags.as_boolean().iter().flatten().map(i64::from)),
            (Figure::Reopened, [counts]) => self.starts.extend(counts.as_primitive::<Int64Type>().iter().flatten()),
            (_, other) => {
                let types: Vec<_> = other.iter().map(|array| array.data_type().clone()).collect();
                return Err(no_such_function("process figure", &types));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (state, into) in states.iter().zip([&mut self.starts, &mut self.ends]) {
            for part in state.as_list::<i32>().iter().flatten() {
                into.extend(part.as_primitive::<Int64Type>().iter().flatten());
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |values: &[i64]| list(Arc::new(Int64Array::from(values.to_vec())));
        Ok(vec![list(&self.starts), list(&self.ends)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(match self.figure {
            Figure::Mean(_) => interval(mean(&self.durations())),
            Figure::Quantile(_) => interval(quantile(self.durations(), self.share)),
            Figure::Between => interval(mean(&self.gaps())),
            Figure::Open => ScalarValue::Int64(Some(self.starts.iter().sum())),
            Figure::Breach | Figure::Reopened => ScalarValue::Float64(self.share_above_0()),
        })
    }

    fn size(&self) -> usize {
        size_of_val(self) + (self.starts.capacity() + self.ends.capacity()) * size_of::<i64>()
    }
}
