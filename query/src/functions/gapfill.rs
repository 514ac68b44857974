//! `time_bucket_gapfill`, `locf` and `interpolate` as the planner sees them. They are planned and never run: `lower::gapfill`
//! puts `time_bucket` and [`Fill`](super::Fill) in their place, where they stand as they can.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::no_such_function;
use crate::Error;

type Result<T> = datafusion::common::Result<T>;

/// One of the three functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Gap {
    /// `time_bucket_gapfill(width, time)`, with `start, finish`, `timezone` or `timezone, start, finish`, or with
    /// `start, finish, timezone, origin, offset`.
    Buckets,
    /// `locf(value [, prev, treat_null_as_missing])`.
    Locf,
    /// `interpolate(value)`.
    Interpolate,
}

impl Gap {
    pub(crate) const ALL: [Gap; 3] = [Gap::Buckets, Gap::Locf, Gap::Interpolate];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Gap::Buckets => "time_bucket_gapfill",
            Gap::Locf => "locf",
            Gap::Interpolate => "interpolate",
        }
    }

    /// The error for a call in any other place than the one it is for.
    pub(crate) fn misplaced(self) -> DataFusionError {
        let hint = match self {
            Gap::Buckets => {
                "It is a key of GROUP BY, and stands in the SELECT list: \
                 SELECT time_bucket_gapfill('1 hour', time), avg(v) FROM t WHERE time >= ... AND time < ... GROUP BY 1."
            }
            Gap::Locf | Gap::Interpolate => {
                "It stands around an aggregate in the SELECT list of a query that groups by time_bucket_gapfill()."
            }
        };
        refused(format!("{}() cannot be used in this place", self.name()), hint)
    }
}

/// An error with a way out.
pub(crate) fn refused(what: String, hint: &str) -> DataFusionError {
    DataFusionError::External(Box::new(Error::Unsupported { what, position: None, hint: Some(hint.to_owned()) }))
}

/// A function that is planned and never run.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct GapFunction {
    pub(crate) gap: Gap,
    signature: Signature,
}

impl GapFunction {
    pub(crate) fn new(gap: Gap) -> GapFunction {
        GapFunction { gap, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for GapFunction {
    fn name(&self) -> &'static str {
        self.gap.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let none = || no_such_function(self.name(), types);
        let mut coerced = types.to_vec();
        match (self.gap, types) {
            (Gap::Buckets, [_, time, rest @ ..]) if matches!(rest.len(), 0..=3 | 5) => {
                coerced[1] = timestamp(time).ok_or_else(none)?;
            }
            (Gap::Locf, [_] | [_, _] | [_, _, DataType::Boolean | DataType::Null]) => {}
            (Gap::Interpolate, [value]) if value.is_numeric() || value.is_null() => coerced[0] = DataType::Float64,
            _ => return Err(none()),
        }
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let at = usize::from(self.gap == Gap::Buckets);
        types.get(at).cloned().ok_or_else(|| no_such_function(self.name(), types))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(self.gap.misplaced())
    }
}

fn timestamp(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(_, zone) => Some(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())),
        DataType::Date32 => Some(DataType::Timestamp(TimeUnit::Nanosecond, None)),
        _ => None,
    }
}
