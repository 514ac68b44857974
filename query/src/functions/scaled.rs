//! `interval * number`, `number * interval`, `interval / number`, and intervals beside texts that are written as literals, as in
//! PostgreSQL. DataFusion takes the number for an interval.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, IntervalMonthDayNanoArray};
use datafusion::arrow::datatypes::{
    DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::interval::parse_interval;
use super::no_such_function;
use crate::Error;
use crate::relation::external;

type Result<T> = datafusion::common::Result<T>;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

const NS_PER_DAY: f64 = 86_400e9;
const DAYS_PER_MONTH: f64 = 30.0;

/// Plans these operations.
#[derive(Debug)]
pub(crate) struct IntervalOperators {
    scaled: Arc<ScalarUDF>,
}

impl IntervalOperators {
    pub(crate) fn new() -> IntervalOperators {
        let types = vec![INTERVAL, DataType::Float64, DataType::Boolean];
        let signature = Signature::exact(types, Volatility::Immutable);
        IntervalOperators { scaled: Arc::new(ScalarUDF::from(Scaled { signature })) }
    }

    fn scaled(&self, interval: Expr, number: Expr, divides: bool) -> PlannerResult<RawBinaryExpr> {
        PlannerResult::Planned(self.scaled.call(vec![interval, number, lit(divides)]))
    }
}

impl ExprPlanner for IntervalOperators {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let type_of = |expr: &Expr| expr.get_type(schema).ok();
        let is_number = |data_type: &Option<DataType>| data_type.as_ref().is_some_and(DataType::is_numeric);
        let (left, right) = (type_of(&raw.left), type_of(&raw.right));
        Ok(match (&raw.op, left == Some(INTERVAL), right == Some(INTERVAL)) {
            (BinaryOperator::Multiply, true, _) if is_number(&right) => self.scaled(raw.left, raw.right, false),
            (BinaryOperator::Multiply, _, true) if is_number(&left) => self.scaled(raw.right, raw.left, false),
            (BinaryOperator::Divide, true, _) if is_number(&right) => self.scaled(raw.left, raw.right, true),
            (op, true, false) if compares(op) => {
                PlannerResult::Original(RawBinaryExpr { right: as_interval(raw.right)?, ..raw })
            }
            (op, false, true) if compares(op) => {
                PlannerResult::Original(RawBinaryExpr { left: as_interval(raw.left)?, ..raw })
            }
            _ => PlannerResult::Original(raw),
        })
    }
}

fn compares(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// A text that is written as a literal is an interval beside one.
fn as_interval(expr: Expr) -> Result<Expr> {
    match &expr {
        Expr::Literal(value, _) => match value.try_as_str() {
            Some(Some(text)) => {
                let interval = parse_interval(text).map_err(external)?;
                Ok(Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), None))
            }
            _ => Ok(expr),
        },
        _ => Ok(expr),
    }
}

/// An interval times a number, or over it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Scaled {
    signature: Signature,
}

impl ScalarUDFImpl for Scaled {
    fn name(&self) -> &'static str {
        "interval_scaled"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [intervals, numbers, divides] = arrays.as_slice() else { return Err(no_such_function(self.name(), &[])) };
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let (numbers, divides) = (numbers.as_primitive::<Float64Type>(), divides.as_boolean());
        let row = |row: usize| {
            if intervals.is_null(row) || numbers.is_null(row) {
                return Ok(None);
            }
            let number = numbers.value(row);
            match divides.value(row) {
                true if number == 0.0 => Err(external(Error::DivisionByZero)),
                true => scaled(intervals.value(row), |part| part / number).map(Some),
                false => scaled(intervals.value(row), |part| part * number).map(Some),
            }
        };
        let rows = (0..intervals.len()).map(row).collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(Arc::new(IntervalMonthDayNanoArray::from(rows))))
    }
}

/// Each part by the number; what is left of a month goes to the days, what is left of a day to the time.
fn scaled(interval: IntervalMonthDayNano, by: impl Fn(f64) -> f64) -> Result<IntervalMonthDayNano> {
    // What is as good as whole is whole.
    let whole = |number: f64| if (number - number.round()).abs() < 1e-9 { number.round() } else { number };
    let months = whole(by(f64::from(interval.months)));
    let days = whole(by(f64::from(interval.days)) + months.fract() * DAYS_PER_MONTH);
    let ns = by(interval.nanoseconds as f64) + days.fract() * NS_PER_DAY;
    let fits = |number: f64, most: f64| number.is_finite() && number.abs() <= most;
    let most = f64::from(i32::MAX);
    if !(fits(months, most) && fits(days, most) && fits(ns, 9.2e18)) {
        return Err(external(Error::NumericRange { message: "interval out of range".to_owned() }));
    }
    Ok(IntervalMonthDayNano::new(months.trunc() as i32, days.trunc() as i32, ns.round() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_part_goes_to_the_next() {
        let of = |months, days, ns, by: f64| {
            scaled(IntervalMonthDayNano::new(months, days, ns), |part| part * by).expect("it fits")
        };
        let second = 1_000_000_000_i64;
        assert_eq!(of(0, 0, 30 * second, 7.0), IntervalMonthDayNano::new(0, 0, 210 * second));
        assert_eq!(of(1, 0, 0, 0.5), IntervalMonthDayNano::new(0, 15, 0));
        assert_eq!(of(0, 1, 0, 0.5), IntervalMonthDayNano::new(0, 0, 43_200 * second));
        assert_eq!(of(1, 1, second, -2.0), IntervalMonthDayNano::new(-2, -2, -2 * second));
        let third = scaled(IntervalMonthDayNano::new(0, 1, 0), |part| part / 3.0).expect("it fits");
        assert_eq!(third, IntervalMonthDayNano::new(0, 0, 28_800 * second));
        assert!(scaled(IntervalMonthDayNano::new(i32::MAX, 0, 0), |part| part * 2.0).is_err());
        assert!(scaled(IntervalMonthDayNano::new(0, 1, 0), |_| f64::NAN).is_err());
    }
}
