//! `period_detect(value, time)`: after how long a series repeats itself, as an interval.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, FieldRef, Float64Type, Int64Type, IntervalMonthDayNano, IntervalUnit, TimeUnit,
};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use super::no_such_function;
use super::states::{list, list_field};
use crate::analysis::robust::period;

type Result<T> = datafusion::common::Result<T>;

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PeriodDetect {
    signature: Signature,
}

impl PeriodDetect {
    pub(super) fn new() -> PeriodDetect {
        PeriodDetect { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for PeriodDetect {
    fn name(&self) -> &'static str {
        "period_detect"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [value, DataType::Timestamp(_, zone)] if value.is_numeric() || value.is_null() => {
                Ok(vec![DataType::Float64, DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())])
            }
            _ => Err(no_such_function(self.name(), types)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Interval(IntervalUnit::MonthDayNano))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |what: &str, data_type| list_field(format_state_name(args.name, what), data_type);
        Ok(vec![list("times", DataType::Int64), list("values", DataType::Float64)])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Samples { samples: Vec::new() }))
    }
}

/// Times in nanoseconds since the Unix epoch, and values.
#[derive(Debug)]
struct Samples {
    samples: Vec<(i64, f64)>,
}

impl Accumulator for Samples {
    fn update_batch(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        let [values, times] = arguments else { return Err(no_such_function("period_detect", &[])) };
        let times = cast(times, &DataType::Int64)?;
        let (values, times) = (values.as_primitive::<Float64Type>(), times.as_primitive::<Int64Type>());
        let rows = times.iter().zip(values.iter());
        self.samples.extend(rows.filter_map(|(time, value)| time.zip(value)));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [times, values] = states else { return Err(no_such_function("period_detect", &[])) };
        for (times, values) in times.as_list::<i32>().iter().zip(values.as_list::<i32>().iter()) {
            let (Some(times), Some(values)) = (times, values) else { continue };
            let (times, values) = (times.as_primitive::<Int64Type>(), values.as_primitive::<Float64Type>());
            self.samples.extend(times.values().iter().copied().zip(values.values().iter().copied()));
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let times: Int64Array = self.samples.iter().map(|(time, _)| Some(*time)).collect();
        let values: Float64Array = self.samples.iter().map(|(_, value)| Some(*value)).collect();
        Ok(vec![list(Arc::new(times)), list(Arc::new(values))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.samples.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut steps: Vec<i64> = self.samples.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0)).collect();
        steps.sort_unstable();
        let step = steps.get(steps.len() / 2).copied().filter(|step| *step > 0);
        let values: Vec<f64> = self.samples.iter().map(|(_, value)| *value).collect();
        let length = period(&values).zip(step).and_then(|(rows, step)| step.checked_mul(i64::try_from(rows).ok()?));
        Ok(ScalarValue::IntervalMonthDayNano(length.map(|ns| IntervalMonthDayNano::new(0, 0, ns))))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.samples.capacity() * size_of::<(i64, f64)>()
    }
}
