//! Averages of integers: the exact sum divided once, where DataFusion would round each value and each step to a float.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
    WindowFunctionDefinition,
};

use super::no_such_function;
use super::sum::is_integer;

type Result<T> = datafusion::common::Result<T>;

/// What a sum so far is: 2^64 values of 64 bits need no more.
const SUM: DataType = DataType::Decimal128(38, 0);

/// Makes `avg(integer)` exact.
#[derive(Debug)]
pub(crate) struct ExactAverages(Arc<AggregateUDF>);

impl ExactAverages {
    pub(crate) fn new() -> ExactAverages {
        ExactAverages(Arc::new(AggregateUDF::from(Average {
            signature: Signature::user_defined(Volatility::Immutable),
        })))
    }
}

impl FunctionRewrite for ExactAverages {
    fn name(&self) -> &'static str {
        "exact_averages"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let is_integer = |args: &[Expr]| matches!(args, [argument] if is_integer(argument, schema));
        match expr {
            Expr::AggregateFunction(mut call)
                if call.func.name() == "avg" && !call.params.distinct && is_integer(&call.params.args) =>
            {
                call.func = self.0.clone();
                Ok(Transformed::yes(Expr::AggregateFunction(call)))
            }
            Expr::WindowFunction(mut call) if call.fun.name() == "avg" && is_integer(&call.params.args) => {
                call.fun = WindowFunctionDefinition::AggregateUDF(self.0.clone());
                Ok(Transformed::yes(Expr::WindowFunction(call)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Average {
    signature: Signature,
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &'static str {
        "avg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Int64 | DataType::UInt64] => Ok(types.to_vec()),
            _ => Err(no_such_function(self.name(), types)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |name, data_type| Arc::new(Field::new(format_state_name(args.name, name), data_type, true));
        Ok(vec![field("sum", SUM), field("count", DataType::UInt64)])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One::default()))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Many::default()))
    }
}

/// Hands every value that is not NULL to `take`, with its row.
fn each(values: &ArrayRef, mut take: impl FnMut(usize, i128)) {
    let valid = |row: &usize| values.is_valid(*row);
    let rows = (0..values.len()).filter(valid);
    match values.data_type() {
        DataType::UInt64 => {
            let values = values.as_primitive::<UInt64Type>();
            rows.for_each(|row| take(row, i128::from(values.value(row))));
        }
        _ => {
            let values = values.as_primitive::<Int64Type>();
            rows.for_each(|row| take(row, i128::from(values.value(row))));
        }
    }
}

fn is_wanted(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

fn average(sum: i128, count: u64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}

/// One group.
#[derive(Debug, Default)]
struct One {
    sum: i128,
    count: u64,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], |_, value| {
            self.sum += value;
            self.count += 1;
        });
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], |_, value| {
            self.sum -= value;
            self.count -= 1;
        });
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (sums, counts) = (states[0].as_primitive::<Decimal128Type>(), states[1].as_primitive::<UInt64Type>());
        self.sum += sums.iter().flatten().sum::<i128>();
        self.count += counts.iter().flatten().sum::<u64>();
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128(Some(self.sum), 38, 0), ScalarValue::UInt64(Some(self.count))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(average(self.sum, self.count)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// All groups at once.
#[derive(Debug, Default)]
struct Many {
    sums: Vec<i128>,
    counts: Vec<u64>,
}

impl Many {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
    }
}

impl GroupsAccumulator for Many {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        each(&values[0], |row, value| {
            if is_wanted(opt_filter, row) {
                self.sums[group_indices[row]] += value;
                self.counts[group_indices[row]] += 1;
            }
        });
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let (sums, counts) = (values[0].as_primitive::<Decimal128Type>(), values[1].as_primitive::<UInt64Type>());
        for (row, group) in group_indices.iter().enumerate() {
            self.sums[*group] += sums.value(row);
            self.counts[*group] += counts.value(row);
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        let averages = sums.into_iter().zip(counts).map(|(sum, count)| average(sum, count));
        Ok(Arc::new(averages.collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = Decimal128Array::from(emit_to.take_needed(&mut self.sums)).with_precision_and_scale(38, 0)?;
        Ok(vec![Arc::new(sums), Arc::new(UInt64Array::from(emit_to.take_needed(&mut self.counts)))])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut alone = Many::default();
        let rows: Vec<usize> = (0..values[0].len()).collect();
        alone.update_batch(values, &rows, opt_filter, rows.len())?;
        alone.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<u64>()
    }
}
