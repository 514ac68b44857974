//! The function of windows behind ASOF JOIN: the last row of the other side that came before a row.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDFImpl};
use datafusion::physical_expr::PhysicalExpr;

use super::no_such_function;

type Result<T> = datafusion::common::Result<T>;

/// `last_of_other(is_other, time, other) OVER (PARTITION BY keys ORDER BY time)`: `other` of the last row for which `is_other`
/// holds. Rows for which it holds, and rows without a time, get NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct LastOfOther {
    signature: Signature,
}

impl LastOfOther {
    pub(crate) fn new() -> LastOfOther {
        LastOfOther { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl WindowUDFImpl for LastOfOther {
    fn name(&self) -> &'static str {
        "last_of_other"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let other = args.get_input_field(2).ok_or_else(|| no_such_function(self.name(), &[]))?;
        Ok(Arc::new(Field::new(args.name(), other.data_type().clone(), true)))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let other = args.input_fields().get(2).ok_or_else(|| no_such_function(self.name(), &[]))?;
        let none = ScalarValue::try_from(other.data_type())?;
        Ok(Box::new(Rows { last: none.clone(), none }))
    }

    fn limit_effect(&self, _args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::None
    }
}

/// The rows with the same keys, in order.
#[derive(Debug)]
struct Rows {
    last: ScalarValue,
    none: ScalarValue,
}

impl PartitionEvaluator for Rows {
    fn is_causal(&self) -> bool {
        true
    }

    fn supports_bounded_execution(&self) -> bool {
        true
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let [is_other, times, others] = values else { return Err(no_such_function("last_of_other", &[])) };
        let row = range.start;
        if is_other.as_boolean().value(row) {
            self.last = ScalarValue::try_from_array(others, row)?;
            return Ok(self.none.clone());
        }
        Ok(if times.is_null(row) { self.none.clone() } else { self.last.clone() })
    }
}
