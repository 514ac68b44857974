//! `increase`, `rate` and `delta`: how far a counter or a gauge has moved.
//!
//! ```text
//! samples of a series    10   14    3    8
//! steps                   .    4    3    5      of a counter, which began anew at 0 before the 3
//!                         .    4  -11    5      of a gauge
//! ```
//!
//! A step is how far a sample is from the one before it in its series, and belongs to the later one. An increase is a sum of
//! steps; so those of neighbouring buckets add up to that of both. `Step` is the function of windows that gives the steps;
//! the aggregates stand in a plan only until `lower::counters` has put sums of steps in their place.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type, TimeUnit, TimestampNanosecondType, UInt64Type,
};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::function::{
    AccumulatorArgs, PartitionEvaluatorArgs, StateFieldsArgs, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, ColumnarValue, LimitEffect, PartitionEvaluator, ScalarFunctionArgs, ScalarUDFImpl,
    Signature, Volatility, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

use super::{SUM_OF_INTEGERS, no_such_function};
use crate::Error;

type Result<T> = datafusion::common::Result<T>;

/// A step of integers: any difference of two 64-bit integers.
const STEP_OF_INTEGERS: DataType = DataType::Decimal128(20, 0);

/// What is asked of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    /// How far it has counted.
    Increase,
    /// How fast, per second.
    Rate,
    /// How far a gauge has moved, up or down.
    Delta,
}

impl Asked {
    pub(crate) const ALL: [Asked; 3] = [Asked::Increase, Asked::Rate, Asked::Delta];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Asked::Increase => "increase",
            Asked::Rate => "rate",
            Asked::Delta => "delta",
        }
    }
}

/// The arguments as they are computed with: integers of 64 bits or floats, and nanoseconds.
fn coerced(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let none = || no_such_function(name, types);
    let [value, time] = types else { return Err(none()) };
    let value = match value {
        DataType::Int64 | DataType::UInt64 => value.clone(),
        other if other.is_integer() => DataType::Int64,
        other if other.is_numeric() || other.is_null() => DataType::Float64,
        _ => return Err(none()),
    };
    let DataType::Timestamp(_, zone) = time else { return Err(none()) };
    Ok(vec![value, DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())])
}

/// An aggregate that is planned and never run.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Counter {
    pub(crate) asked: Asked,
    signature: Signature,
}

impl Counter {
    pub(crate) fn new(asked: Asked) -> Counter {
        Counter { asked, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Counter {
    fn name(&self) -> &'static str {
        self.asked.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerced(self.name(), types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (self.asked, types.first()) {
            (Asked::Increase | Asked::Delta, Some(value)) if value.is_integer() => Ok(SUM_OF_INTEGERS),
            _ => Ok(DataType::Float64),
        }
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(Vec::new())
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let what = format!("{}() cannot be used in this place", self.name());
        let hint = Some("Use it in the SELECT list or HAVING of a query with GROUP BY.".to_owned());
        Err(DataFusionError::External(Box::new(Error::Unsupported { what, position: None, hint })))
    }
}

/// What a function of windows gives for each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The increase, rate or delta from the sample before.
    From(Asked),
    /// The time of the sample before.
    Since,
}

/// `step(value, time) OVER (PARTITION BY series ORDER BY time)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Steps {
    step: Step,
    signature: Signature,
}

impl Steps {
    pub(crate) fn new(step: Step) -> Steps {
        Steps { step, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl WindowUDFImpl for Steps {
    fn name(&self) -> &'static str {
        match self.step {
            Step::From(asked) => step_name(asked),
            Step::Since => "step_since",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let name = match self.step {
            Step::From(asked) => asked.name(),
            Step::Since => self.name(),
        };
        coerced(name, types)
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let [value, time] = args.input_fields() else { return Err(no_such_function(self.name(), &[])) };
        let data_type = match self.step {
            Step::From(Asked::Rate) => DataType::Float64,
            Step::From(_) if value.data_type().is_integer() => STEP_OF_INTEGERS,
            Step::From(_) => DataType::Float64,
            Step::Since => time.data_type().clone(),
        };
        Ok(Arc::new(Field::new(args.name(), data_type, true)))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let zone = args.input_fields().get(1).and_then(|time| match time.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        });
        Ok(Box::new(Series { step: self.step, zone, before: None }))
    }

    fn limit_effect(&self, _args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::None
    }
}

/// What the steps of `increase(...) OVER (...)` are called between the parser and the planner, which would take the
/// aggregate for its name.
pub(crate) fn step_name(asked: Asked) -> &'static str {
    match asked {
        Asked::Increase => "step_of_increase",
        Asked::Rate => "step_of_rate",
        Asked::Delta => "step_of_delta",
    }
}

/// A value, so that differences are exact.
#[derive(Debug, Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

/// The rows of one series, one after the other.
#[derive(Debug)]
struct Series {
    step: Step,
    zone: Option<Arc<str>>,
    /// The sample before.
    before: Option<(Number, i64)>,
}

impl PartitionEvaluator for Series {
    fn is_causal(&self) -> bool {
        true
    }

    fn supports_bounded_execution(&self) -> bool {
        true
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let [values, times] = values else { return Err(no_such_function("step", &[])) };
        let is_integer = values.data_type().is_integer();
        let Some(now) = sample(values, times, range.start) else { return Ok(self.answer(None, is_integer)) };
        let step = self.before.replace(now).map(|before| (before, now));
        match step {
            Some(((_, before_ns), (_, now_ns))) if now_ns < before_ns => Err(out_of_order()),
            step => Ok(self.answer(step, is_integer)),
        }
    }
}

impl Series {
    fn answer(&self, step: Option<((Number, i64), (Number, i64))>, is_integer: bool) -> ScalarValue {
        let way = |asked| step.map(|((before, _), (now, _))| moved(asked, before, now));
        match self.step {
            Step::Since => ScalarValue::TimestampNanosecond(step.map(|((_, ns), _)| ns), self.zone.clone()),
            Step::From(Asked::Rate) => {
                let times = step.map(|((_, from_ns), (_, until_ns))| (from_ns, until_ns));
                let rate = way(Asked::Rate).zip(times);
                ScalarValue::Float64(rate.and_then(|(way, (from, until))| per_second(as_float(way), from, until)))
            }
            Step::From(asked) if is_integer => ScalarValue::Decimal128(way(asked).and_then(as_integer), 20, 0),
            Step::From(asked) => ScalarValue::Float64(way(asked).map(as_float)),
        }
    }
}

/// The sample of a row; a row without a value or a time has none.
fn sample(values: &ArrayRef, times: &ArrayRef, row: usize) -> Option<(Number, i64)> {
    if values.is_null(row) || times.is_null(row) {
        return None;
    }
    let value = match values.data_type() {
        DataType::Int64 => Number::Integer(values.as_primitive::<Int64Type>().value(row).into()),
        DataType::UInt64 => Number::Integer(values.as_primitive::<UInt64Type>().value(row).into()),
        _ => Number::Float(values.as_primitive::<Float64Type>().value(row)),
    };
    Some((value, times.as_primitive::<TimestampNanosecondType>().value(row)))
}

/// A counter that is lower than before has begun anew at zero.
fn moved(asked: Asked, before: Number, now: Number) -> Number {
    let is_anew = match (before, now) {
        (Number::Integer(before), Number::Integer(now)) => now < before,
        _ => as_float(now) < as_float(before),
    };
    match asked {
        Asked::Increase | Asked::Rate if is_anew => now,
        _ => difference(before, now),
    }
}

fn difference(before: Number, now: Number) -> Number {
    match (before, now) {
        (Number::Integer(before), Number::Integer(now)) => Number::Integer(now - before),
        _ => Number::Float(as_float(now) - as_float(before)),
    }
}

fn as_float(number: Number) -> f64 {
    match number {
        Number::Integer(number) => number as f64,
        Number::Float(number) => number,
    }
}

fn as_integer(number: Number) -> Option<i128> {
    match number {
        Number::Integer(number) => Some(number),
        Number::Float(_) => None,
    }
}

/// `None` when no time has gone by.
fn per_second(increase: f64, from_ns: i64, until_ns: i64) -> Option<f64> {
    let ns = i128::from(until_ns) - i128::from(from_ns);
    (ns > 0).then(|| increase / (ns as f64 / 1e9))
}

fn out_of_order() -> DataFusionError {
    let message = "the rows of a counter have to come in the order of time".to_owned();
    let hint = Some("Use OVER (PARTITION BY ... ORDER BY time).".to_owned());
    DataFusionError::External(Box::new(Error::InvalidOption { message, position: None, hint }))
}

/// `per_second(increase, since, until)`: the rate of a group, from the sum of its steps and the time that they took.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PerSecond {
    signature: Signature,
}

impl PerSecond {
    pub(crate) fn new() -> PerSecond {
        PerSecond { signature: Signature::any(3, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for PerSecond {
    fn name(&self) -> &'static str {
        "per_second"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [increases, since, until] = arrays.as_slice() else { return Err(no_such_function(self.name(), &[])) };
        let (since, until) =
            (since.as_primitive::<TimestampNanosecondType>(), until.as_primitive::<TimestampNanosecondType>());
        let increases: Vec<Option<f64>> = match increases.data_type() {
            DataType::Float64 => increases.as_primitive::<Float64Type>().iter().collect(),
            _ => increases.as_primitive::<Decimal128Type>().iter().map(|sum| sum.map(|sum| sum as f64)).collect(),
        };
        let rates = increases.into_iter().zip(since.iter().zip(until.iter()));
        let rates = rates.map(|(increase, times)| match (increase, times) {
            (Some(increase), (Some(since), Some(until))) => per_second(increase, since, until),
            _ => None,
        });
        Ok(ColumnarValue::Array(Arc::new(rates.collect::<datafusion::arrow::array::Float64Array>())))
    }
}
