//! Integer arithmetic that does not wrap: PostgreSQL ends with an error where DataFusion would go on with a wrong number.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Datum};
use datafusion::arrow::compute::kernels::numeric::{add, mul, sub};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};

use crate::Error;

type Result<T> = datafusion::common::Result<T>;

/// Puts checked functions in the place of `+`, `-` and `*` between signed integers, and of the minus before one.
#[derive(Debug)]
pub(crate) struct CheckedIntegers {
    functions: [Arc<ScalarUDF>; 3],
}

impl CheckedIntegers {
    pub(crate) fn new() -> CheckedIntegers {
        let function = |operator| Arc::new(ScalarUDF::from(Checked::new(operator)));
        CheckedIntegers { functions: [Operator::Plus, Operator::Minus, Operator::Multiply].map(function) }
    }
}

impl FunctionRewrite for CheckedIntegers {
    fn name(&self) -> &'static str {
        "checked_integers"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let (left, op, right) = match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => (left, op, right),
            Expr::Negative(of) if matches!(of.get_type(schema), Ok(DataType::Int64)) => {
                return Ok(Transformed::yes(self.functions[1].call(vec![lit(0i64), *of])));
            }
            other => return Ok(Transformed::no(other)),
        };
        let function = match op {
            Operator::Plus => Some(&self.functions[0]),
            Operator::Minus => Some(&self.functions[1]),
            Operator::Multiply => Some(&self.functions[2]),
            _ => None,
        };
        let signed = |side: &Expr| side.get_type(schema).is_ok_and(|t| t.is_signed_integer());
        match function.filter(|_| signed(&left) && signed(&right)) {
            Some(function) => Ok(Transformed::yes(function.call(vec![*left, *right]))),
            None => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
        }
    }
}

/// One operator as a function, called as PostgreSQL's own.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operator: Operator,
    signature: Signature,
}

impl Checked {
    fn new(operator: Operator) -> Checked {
        Checked { operator, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &'static str {
        match self.operator {
            Operator::Plus => "int8pl",
            Operator::Minus => "int8mi",
            _ => "int8mul",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Sums of integers, integers where the operator was read, are decimals by now: then it is the operator of decimals.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [left, right] if left.is_signed_integer() && right.is_signed_integer() => Ok(vec![DataType::Int64; 2]),
            [left, right] => {
                let (left, right) = BinaryTypeCoercer::new(left, &self.operator, right).get_input_types()?;
                Ok(vec![left, right])
            }
            other => Err(super::no_such_function(self.name(), other)),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [left, right] if left.is_signed_integer() && right.is_signed_integer() => Ok(DataType::Int64),
            [left, right] => BinaryTypeCoercer::new(left, &self.operator, right).get_result_type(),
            other => Err(super::no_such_function(self.name(), other)),
        }
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kernel = match self.operator {
            Operator::Plus => add,
            Operator::Minus => sub,
            _ => mul,
        };
        let [left, right] = args.args.as_slice() else {
            return Err(super::no_such_function(self.name(), &[]));
        };
        let apply = |left: &dyn Datum, right: &dyn Datum| kernel(left, right).map_err(out_of_range);
        match (left, right) {
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => Ok(ColumnarValue::Array(apply(left, right)?)),
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => {
                Ok(ColumnarValue::Array(apply(left, &right.to_scalar()?)?))
            }
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
                Ok(ColumnarValue::Array(apply(&left.to_scalar()?, right)?))
            }
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let result: ArrayRef = apply(&left.to_scalar()?, &right.to_scalar()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?))
            }
        }
    }
}

fn out_of_range(error: ArrowError) -> DataFusionError {
    match error {
        ArrowError::ArithmeticOverflow(_) => {
            let message = "bigint out of range".to_owned();
            DataFusionError::External(Box::new(Error::NumericRange { message }))
        }
        other => other.into(),
    }
}
