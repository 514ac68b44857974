//! Sums of integers are exact, as in PostgreSQL, where DataFusion's would wrap around at 64 bits.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{Expr, ExprSchemable, cast};

type Result<T> = datafusion::common::Result<T>;

/// Twenty digits hold every 64-bit integer; sums get ten more.
const EXACT: DataType = DataType::Decimal128(20, 0);

/// What the sum of integers is.
pub(crate) const SUM_OF_INTEGERS: DataType = DataType::Decimal128(30, 0);

/// Makes `sum(integer)` a sum of decimals.
#[derive(Debug)]
pub(crate) struct ExactSums;

impl FunctionRewrite for ExactSums {
    fn name(&self) -> &'static str {
        "exact_sums"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::AggregateFunction(mut call) if call.func.name() == "sum" => {
                let changed = make_exact(&mut call.params.args, schema);
                Ok(Transformed::new_transformed(Expr::AggregateFunction(call), changed))
            }
            Expr::WindowFunction(mut call) if call.fun.name() == "sum" => {
                let changed = make_exact(&mut call.params.args, schema);
                Ok(Transformed::new_transformed(Expr::WindowFunction(call), changed))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// True for an expression of integers of 64 bits. A CASE has the type of its first branch until types are settled, whatever the
/// others are: one that mixes integers with other numbers is none.
pub(super) fn is_integer(argument: &Expr, schema: &DFSchema) -> bool {
    let is_whole = |expr: &Expr| {
        expr.get_type(schema).is_ok_and(|data_type| data_type.is_integer() || data_type == DataType::Null)
    };
    let mixes = |expr: &Expr| match expr {
        Expr::Case(case) => {
            let branches = case.when_then_expr.iter().map(|(_, then)| &**then).chain(case.else_expr.as_deref());
            let (whole, others): (Vec<&Expr>, Vec<&Expr>) = branches.partition(|branch| is_whole(branch));
            !whole.is_empty() && !others.is_empty()
        }
        _ => false,
    };
    matches!(argument.get_type(schema), Ok(DataType::Int64 | DataType::UInt64))
        && !argument.exists(|expr| Ok(mixes(expr))).unwrap_or(true)
}

fn make_exact(args: &mut [Expr], schema: &DFSchema) -> bool {
    let [argument] = args else { return false };
    if !is_integer(argument, schema) {
        return false;
    }
    *argument = cast(argument.clone(), EXACT);
    true
}
