//! Least and greatest floats as PostgreSQL orders them: NaN is greater than every other value. DataFusion passes over NaN.

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, ExprSchemable, GroupsAccumulator, Signature, Volatility,
};

use super::no_such_function;

type Result<T> = datafusion::common::Result<T>;

/// `min` of floats.
pub(crate) fn least_float() -> Arc<AggregateUDF> {
    static LEAST: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Extreme::udaf(Side::Least));
    LEAST.clone()
}

/// `max` of floats.
pub(crate) fn greatest_float() -> Arc<AggregateUDF> {
    static GREATEST: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Extreme::udaf(Side::Greatest));
    GREATEST.clone()
}

/// Puts [`least_float`] and [`greatest_float`] in the place of DataFusion's, but for windows, which have to take values back.
#[derive(Debug)]
pub(crate) struct OrderedFloats;

impl FunctionRewrite for OrderedFloats {
    fn name(&self) -> &'static str {
        "ordered_floats"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let is_float = |args: &[Expr]| matches!(args, [arg] if matches!(arg.get_type(schema), Ok(DataType::Float64)));
        match expr {
            Expr::AggregateFunction(mut call) if is_float(&call.params.args) => {
                call.func = match call.func.name() {
                    "min" => least_float(),
                    "max" => greatest_float(),
                    _ => return Ok(Transformed::no(Expr::AggregateFunction(call))),
                };
                // The least of different values is the least of all.
                call.params.distinct = false;
                Ok(Transformed::yes(Expr::AggregateFunction(call)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Least,
    Greatest,
}

impl Side {
    fn better(self, a: f64, b: f64) -> f64 {
        let order = match (a.is_nan(), b.is_nan()) {
            (false, false) => a.total_cmp(&b),
            (a, b) => a.cmp(&b),
        };
        match (self, order) {
            (Side::Least, Ordering::Less | Ordering::Equal) | (Side::Greatest, Ordering::Greater | Ordering::Equal) => {
                a
            }
            _ => b,
        }
    }

    fn of_all(self, values: &ArrayRef) -> Option<f64> {
        values.as_primitive::<Float64Type>().iter().flatten().reduce(|a, b| self.better(a, b))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    side: Side,
    signature: Signature,
}

impl Extreme {
    fn udaf(side: Side) -> Arc<AggregateUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::from(Extreme { side, signature }))
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &'static str {
        match self.side {
            Side::Least => "min",
            Side::Greatest => "max",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Float64] => Ok(types.to_vec()),
            _ => Err(no_such_function(self.name(), types)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, self.name()), DataType::Float64, true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One { side: self.side, found: None }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Many { side: self.side, found: Vec::new() }))
    }
}

/// One group.
#[derive(Debug)]
struct One {
    side: Side,
    found: Option<f64>,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.found = self.found.into_iter().chain(self.side.of_all(&values[0])).reduce(|a, b| self.side.better(a, b));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Float64(self.found)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.found))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// All groups at once.
#[derive(Debug)]
struct Many {
    side: Side,
    found: Vec<Option<f64>>,
}

impl GroupsAccumulator for Many {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.found.resize(total_num_groups, None);
        let values = values[0].as_primitive::<Float64Type>();
        let is_wanted = |row: usize| {
            values.is_valid(row) && opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
        };
        for (row, group) in group_indices.iter().enumerate().filter(|(row, _)| is_wanted(*row)) {
            let value = values.value(row);
            let found = &mut self.found[*group];
            *found = Some(found.map_or(value, |found| self.side.better(found, value)));
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(emit_to.take_needed(&mut self.found).into_iter().collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut alone = Many { side: self.side, found: Vec::new() };
        let rows: Vec<usize> = (0..values[0].len()).collect();
        alone.update_batch(values, &rows, opt_filter, rows.len())?;
        alone.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.found.capacity() * size_of::<Option<f64>>()
    }
}
