//! `time_weighted_avg(value, time [, method])`: an average in which a value counts for as long as it stood.
//!
//! ```text
//! locf      ▁▁▁▁▔▔▔▔▔▔▔▔▂     a value stands until the next sample
//! linear    ▁▂▃▄▅▆▇▇▆▅▄▃▂     between samples the value is on the line between them
//! ```
//!
//! The average is that from the first to the last sample. The last one ends the range: with `locf` it has no weight.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, TimeUnit, TimestampNanosecondType};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;

use super::no_such_function;
use crate::Error;

type Result<T> = datafusion::common::Result<T>;

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimeWeightedAverage {
    signature: Signature,
}

impl TimeWeightedAverage {
    pub(crate) fn new() -> TimeWeightedAverage {
        TimeWeightedAverage { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for TimeWeightedAverage {
    fn name(&self) -> &'static str {
        "time_weighted_avg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let none = || no_such_function(self.name(), types);
        let ([value, time] | [value, time, _]) = types else { return Err(none()) };
        let DataType::Timestamp(_, zone) = time else { return Err(none()) };
        if !value.is_numeric() && !value.is_null() {
            return Err(none());
        }
        let mut coerced = vec![DataType::Float64, DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())];
        match types.get(2) {
            None => {}
            Some(DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null) => {
                coerced.push(DataType::Utf8);
            }
            Some(_) => return Err(none()),
        }
        Ok(coerced)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "samples"), DataType::Binary, false))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let method = match args.exprs.get(2).map(|expr| expr.downcast_ref::<Literal>().map(Literal::value)) {
            None | Some(Some(ScalarValue::Utf8(None))) => Method::Locf,
            Some(Some(ScalarValue::Utf8(Some(name)))) => Method::named(name)?,
            Some(_) => return Err(no_method("an expression over rows")),
        };
        Ok(Box::new(Samples { method, samples: VecDeque::new() }))
    }
}

/// What the value is between two samples.
#[derive(Debug, Clone, Copy)]
enum Method {
    Locf,
    Linear,
}

impl Method {
    fn named(name: &str) -> Result<Method> {
        match name.to_ascii_lowercase().as_str() {
            "locf" => Ok(Method::Locf),
            "linear" => Ok(Method::Linear),
            _ => Err(no_method(&format!("'{name}'"))),
        }
    }

    fn between(self, before: f64, after: f64) -> f64 {
        match self {
            Method::Locf => before,
            Method::Linear => before / 2.0 + after / 2.0,
        }
    }
}

fn no_method(given: &str) -> DataFusionError {
    let message = format!("the method of time_weighted_avg() is a constant, and not {given}");
    let hint = Some("Methods are 'locf', where a value stands until the next, and 'linear'.".to_owned());
    DataFusionError::External(Box::new(Error::InvalidOption { message, position: None, hint }))
}

/// The samples of one group, in the order in which they came: time and value.
#[derive(Debug)]
struct Samples {
    method: Method,
    samples: VecDeque<(i64, f64)>,
}

/// Bytes of a sample in a state: time and value.
const SAMPLE_BYTES: usize = 16;

impl Accumulator for Samples {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.samples.extend(samples(values)?);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let gone = samples(values)?.count().min(self.samples.len());
        self.samples.drain(..gone);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for state in states[0].as_binary::<i32>().iter().flatten() {
            let (samples, _) = state.as_chunks::<SAMPLE_BYTES>();
            self.samples.extend(samples.iter().map(from_bytes));
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state: Vec<u8> = self.samples.iter().flat_map(to_bytes).collect();
        Ok(vec![ScalarValue::Binary(Some(state))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut samples: Vec<_> = self.samples.iter().copied().collect();
        samples.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        Ok(ScalarValue::Float64(average(self.method, &samples)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.samples.capacity() * SAMPLE_BYTES
    }
}

/// The samples of a batch; a row without a value or a time has none.
fn samples(values: &[ArrayRef]) -> Result<impl Iterator<Item = (i64, f64)>> {
    let [values, times, ..] = values else { return Err(no_such_function("time_weighted_avg", &[])) };
    let (values, times) = (values.as_primitive::<Float64Type>(), times.as_primitive::<TimestampNanosecondType>());
    Ok(values.iter().zip(times.iter()).filter_map(|(value, time)| Some((time?, value?))))
}

fn to_bytes((time_ns, value): &(i64, f64)) -> [u8; SAMPLE_BYTES] {
    let mut bytes = [0; SAMPLE_BYTES];
    bytes[..8].copy_from_slice(&time_ns.to_le_bytes());
    bytes[8..].copy_from_slice(&value.to_le_bytes());
    bytes
}

fn from_bytes(bytes: &[u8; SAMPLE_BYTES]) -> (i64, f64) {
    let [a, b, c, d, e, f, g, h, value @ ..] = *bytes;
    (i64::from_le_bytes([a, b, c, d, e, f, g, h]), f64::from_le_bytes(value))
}

/// The average of samples in the order of time.
fn average(method: Method, samples: &[(i64, f64)]) -> Option<f64> {
    let ((first_ns, _), (last_ns, _)) = (samples.first()?, samples.last()?);
    let seconds = |from_ns: i64, until_ns: i64| (i128::from(until_ns) - i128::from(from_ns)) as f64 / 1e9;
    if first_ns == last_ns {
        return Some(samples.iter().map(|(_, value)| value).sum::<f64>() / samples.len() as f64);
    }
    let stretch = |pair: &[(i64, f64)]| match *pair {
        // A value that stood for no time counts nothing, be it infinite.
        [(from_ns, before), (until_ns, after)] if until_ns > from_ns => {
            method.between(before, after) * seconds(from_ns, until_ns)
        }
        _ => 0.0,
    };
    Some(samples.windows(2).map(stretch).sum::<f64>() / seconds(*first_ns, *last_ns))
}
