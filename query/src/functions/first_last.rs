//! `first(value, time)` and `last(value, time)`: the value of the row with the smallest or largest time.
//!
//! As in TimescaleDB, rows without a time are skipped and rows without a value are not: `last(v, time)` is NULL when the
//! newest row has no `v`. `last(v, time) FILTER (WHERE v IS NOT NULL)` asks for the newest value there is. When several rows
//! share that time, any of them may be taken.

use std::mem::size_of_val;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, make_comparator};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Expr, Signature, Volatility};

use super::no_such_function;

type Result<T> = datafusion::common::Result<T>;

/// Which end of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum End {
    First,
    Last,
}

/// The aggregate. Plain uses are planned as DataFusion's `first_value(value ORDER BY time)`, which keeps many groups
/// cheaply; windows use the accumulator here.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct FirstLast {
    end: End,
    signature: Signature,
}

impl FirstLast {
    pub(crate) fn new(end: End) -> FirstLast {
        FirstLast { end, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for FirstLast {
    fn name(&self) -> &'static str {
        match self.end {
            End::First => "first",
            End::Last => "last",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [_, _] => Ok(types.to_vec()),
            _ => Err(no_such_function(self.name(), types)),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| no_such_function(self.name(), types))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |name, data_type: &DataType| {
            Arc::new(Field::new(format_state_name(args.name, name), data_type.clone(), true))
        };
        let time = args.input_fields.get(1).map_or(&DataType::Null, |f| f.data_type());
        Ok(vec![field("value", args.return_type()), field("time", time)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let time = args.expr_fields.get(1).map_or(&DataType::Null, |f| f.data_type());
        Ok(Box::new(Newest {
            end: self.end,
            value: ScalarValue::try_from(args.return_type())?,
            time: ScalarValue::try_from(time)?,
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let end = self.end;
        Some(Box::new(move |call, context| by_order(end, call, context)))
    }
}

/// `first(value, time)` as `first_value(value ORDER BY time) FILTER (WHERE time IS NOT NULL)`.
fn by_order(end: End, call: AggregateFunction, context: &SimplifyContext) -> Result<Expr> {
    let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } = &call.params;
    let ([value, time], false, [], None) = (args.as_slice(), *distinct, order_by.as_slice(), null_treatment) else {
        return Ok(Expr::AggregateFunction(call));
    };
    let function = match end {
        End::First => first_value_udaf(),
        End::Last => last_value_udaf(),
    };
    let timed = context.nullable(time)?.then(|| time.clone().is_not_null());
    let filter = match (filter.as_deref().cloned(), timed) {
        (Some(filter), Some(timed)) => Some(Box::new(filter.and(timed))),
        (filter, timed) => filter.or(timed).map(Box::new),
    };
    let order = vec![time.clone().sort(true, false)];
    Ok(Expr::AggregateFunction(AggregateFunction::new_udf(function, vec![value.clone()], false, filter, order, None)))
}

/// The value so far and its time; a NULL time means none so far.
#[derive(Debug)]
struct Newest {
    end: End,
    value: ScalarValue,
    time: ScalarValue,
}

impl Accumulator for Newest {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values, times] = values else { return Ok(()) };
        let Some(row) = extreme(self.end, times)? else { return Ok(()) };
        let time = ScalarValue::try_from_array(times, row)?;
        let better = match (self.time.is_null(), time.partial_cmp(&self.time)) {
            (true, _) => true,
            (false, Some(order)) => self.end.prefers(order),
            (false, None) => false,
        };
        if better {
            self.time = time.compacted();
            self.value = ScalarValue::try_from_array(values, row)?.compacted();
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.time.clone()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) - size_of_val(&self.value) + self.value.size() - size_of_val(&self.time) + self.time.size()
    }
}

impl End {
    fn prefers(self, order: std::cmp::Ordering) -> bool {
        match self {
            End::First => order.is_lt(),
            End::Last => order.is_gt(),
        }
    }
}

/// The row with the smallest or largest time that is not NULL; the first of several.
fn extreme(end: End, times: &ArrayRef) -> Result<Option<usize>> {
    let compare = make_comparator(times, times, SortOptions::default())?;
    let timed = (0..times.len()).filter(|&row| times.is_valid(row));
    Ok(timed.reduce(|best, row| if end.prefers(compare(row, best)) { row } else { best }))
}
