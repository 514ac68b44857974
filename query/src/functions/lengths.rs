//! Comparisons of intervals by their length, a month being 30 days and a day 24 hours, as in PostgreSQL. DataFusion compares
//! months first.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::datatypes::{
    DataType, DurationNanosecondType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    Between, BinaryExpr, ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::no_such_function;

type Result<T> = datafusion::common::Result<T>;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const DURATION: DataType = DataType::Duration(TimeUnit::Nanosecond);
const LENGTH: DataType = DataType::Decimal128(38, 0);

const NS_PER_DAY: i128 = 86_400_000_000_000;
const DAYS_PER_MONTH: i128 = 30;

/// Puts lengths in the place of intervals that are compared.
#[derive(Debug)]
pub(crate) struct IntervalsByLength {
    length: Arc<ScalarUDF>,
}

impl IntervalsByLength {
    pub(crate) fn new() -> IntervalsByLength {
        let signature = Signature::user_defined(Volatility::Immutable);
        IntervalsByLength { length: Arc::new(ScalarUDF::from(LengthOf { signature })) }
    }

    fn of(&self, expr: Expr) -> Box<Expr> {
        Box::new(self.length.call(vec![expr]))
    }
}

impl FunctionRewrite for IntervalsByLength {
    fn name(&self) -> &'static str {
        "intervals_by_length"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let are_intervals = |sides: &[&Expr]| {
            let types: Vec<_> = sides.iter().filter_map(|side| side.get_type(schema).ok()).collect();
            let fits = |data_type: &DataType| *data_type == INTERVAL || *data_type == DURATION;
            types.len() == sides.len() && types.iter().all(fits) && types.contains(&INTERVAL)
        };
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if op.supports_propagation() && are_intervals(&[&left, &right]) =>
            {
                let compared = BinaryExpr { left: self.of(*left), op, right: self.of(*right) };
                Ok(Transformed::yes(Expr::BinaryExpr(compared)))
            }
            Expr::Between(Between { expr, negated, low, high }) if are_intervals(&[&expr, &low, &high]) => {
                let compared = Between { expr: self.of(*expr), negated, low: self.of(*low), high: self.of(*high) };
                Ok(Transformed::yes(Expr::Between(compared)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// The length of an interval in nanoseconds.
#[derive(Debug, PartialEq, Eq, Hash)]
struct LengthOf {
    signature: Signature,
}

impl ScalarUDFImpl for LengthOf {
    fn name(&self) -> &'static str {
        "interval_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [kind] if *kind == INTERVAL || *kind == DURATION => Ok(types.to_vec()),
            other => Err(no_such_function(self.name(), other)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(LENGTH)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [values] = arrays.as_slice() else { return Err(no_such_function(self.name(), &[])) };
        let lengths: Decimal128Array = match values.data_type() {
            DataType::Duration(_) => {
                values.as_primitive::<DurationNanosecondType>().iter().map(|ns| ns.map(i128::from)).collect()
            }
            _ => {
                let length = |v: datafusion::arrow::datatypes::IntervalMonthDayNano| {
                    let days = i128::from(v.months) * DAYS_PER_MONTH + i128::from(v.days);
                    days * NS_PER_DAY + i128::from(v.nanoseconds)
                };
                values.as_primitive::<IntervalMonthDayNanoType>().iter().map(|v| v.map(length)).collect()
            }
        };
        let lengths: ArrayRef = Arc::new(lengths.with_data_type(LENGTH));
        match args.args.as_slice() {
            [ColumnarValue::Scalar(_)] => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&lengths, 0)?)),
            _ => Ok(ColumnarValue::Array(lengths)),
        }
    }
}
