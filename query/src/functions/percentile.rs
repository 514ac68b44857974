//! `approx_percentile(fraction, value)`: a quantile from a sketch that is 1 % wide, the sketch that rollups keep.
//!
//! Sketches of parts are merged by adding counts, so the answer does not depend on how rows were cut into parts. NULL, NaN and
//! infinities are left out.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use plimsoll_engine::Bins;

use super::no_such_function;
use crate::Error;

type Result<T> = datafusion::common::Result<T>;

/// Bytes that a bin takes in memory, about.
const BIN_BYTES: usize = 16;

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ApproxPercentile {
    of: Of,
    signature: Signature,
}

impl ApproxPercentile {
    pub(crate) fn new() -> ApproxPercentile {
        ApproxPercentile { of: Of::Values, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// The same of values that are sketched already, each sketch a text of [`Bins::to_text`].
    pub(crate) fn of_sketches() -> ApproxPercentile {
        ApproxPercentile { of: Of::Sketches, ..ApproxPercentile::new() }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Of {
    Values,
    Sketches,
}

impl AggregateUDFImpl for ApproxPercentile {
    fn name(&self) -> &'static str {
        "approx_percentile"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_number = |t: &DataType| t.is_numeric() || t.is_null();
        match types {
            [fraction, sketch] if self.of == Of::Sketches && is_number(fraction) && sketch.is_string() => {
                Ok(vec![DataType::Float64, DataType::Utf8])
            }
            [fraction, value] if is_number(fraction) && is_number(value) => Ok(vec![DataType::Float64; 2]),
            _ => Err(no_such_function(self.name(), types)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "bins"), DataType::Utf8, false))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let literal = args.exprs.first().and_then(|expr| expr.downcast_ref::<Literal>());
        let fraction = match literal.map(Literal::value) {
            Some(ScalarValue::Float64(fraction)) => fraction.ok_or_else(|| refused("NULL"))?,
            _ => return Err(refused("an expression over rows")),
        };
        match fraction {
            0.0..=1.0 => Ok(Box::new(Sketch { of: self.of, fraction, bins: Bins::default() })),
            _ => Err(refused(&fraction.to_string())),
        }
    }
}

fn refused(given: &str) -> DataFusionError {
    let message = format!("the fraction of approx_percentile() is a constant from 0 to 1, and not {given}");
    let hint = Some("The fraction comes first: approx_percentile(0.95, value).".to_owned());
    DataFusionError::External(Box::new(Error::InvalidOption { message, position: None, hint }))
}

/// The values of one group.
#[derive(Debug)]
struct Sketch {
    of: Of,
    fraction: f64,
    bins: Bins,
}

impl Sketch {
    fn each(values: &[ArrayRef], take: impl FnMut(f64)) {
        let Some(values) = values.get(1) else { return };
        values.as_primitive::<Float64Type>().iter().flatten().for_each(take);
    }

    fn add_sketches(&mut self, sketches: &ArrayRef) -> Result<()> {
        for text in sketches.as_string::<i32>().iter().flatten() {
            let damaged = || DataFusionError::Internal("a sketch cannot be read".to_owned());
            self.bins.merge(&Bins::from_text(text).ok_or_else(damaged)?);
        }
        Ok(())
    }
}

impl Accumulator for Sketch {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match self.of {
            Of::Values => Sketch::each(values, |value| self.bins.add(value)),
            Of::Sketches => self.add_sketches(&values[1])?,
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        Sketch::each(values, |value| self.bins.remove(value));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.of == Of::Values
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.add_sketches(&states[0])
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Utf8(Some(self.bins.to_text()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.bins.quantile(self.fraction)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bins.len() * BIN_BYTES
    }
}
