//! Casts from fractions to integers round, as in PostgreSQL, where DataFusion's would cut the fraction off.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

type Result<T> = datafusion::common::Result<T>;

/// Puts [`RoundHalfEven`] under every cast from float to integer.
#[derive(Debug)]
pub(crate) struct IntegersByRounding {
    round: Arc<ScalarUDF>,
}

impl IntegersByRounding {
    pub(crate) fn new() -> IntegersByRounding {
        let signature = Signature::uniform(1, vec![DataType::Float64, DataType::Float32], Volatility::Immutable);
        IntegersByRounding { round: Arc::new(ScalarUDF::from(RoundHalfEven { signature })) }
    }
}

impl FunctionRewrite for IntegersByRounding {
    fn name(&self) -> &'static str {
        "integers_by_rounding"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::Cast(cast) if cast.field.data_type().is_integer() && cast.expr.get_type(schema)?.is_floating() => {
                let rounded = self.round.call(vec![*cast.expr]);
                Ok(Transformed::yes(Expr::Cast(Cast { expr: Box::new(rounded), ..cast })))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// The nearest whole number; of two equally near the even one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RoundHalfEven {
    signature: Signature,
}

impl ScalarUDFImpl for RoundHalfEven {
    fn name(&self) -> &'static str {
        "rint"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Float64))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let rounded: ArrayRef = match args.return_type() {
            DataType::Float32 => {
                Arc::new(arrays[0].as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::round_ties_even))
            }
            _ => Arc::new(arrays[0].as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::round_ties_even)),
        };
        match args.args.as_slice() {
            [ColumnarValue::Scalar(_)] => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&rounded, 0)?)),
            _ => Ok(ColumnarValue::Array(rounded)),
        }
    }
}
