//! Tests of field values, as SQL has them.

use std::cmp::Ordering;

use crate::model::Value;

/// A test that the value of a field must pass.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldPredicate {
    /// The field.
    pub field: String,
    /// What must hold for its value.
    pub test: FieldTest,
}

/// What a field's value is tested for. NULL fails every test but `IsNull`.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldTest {
    /// The value compares so with this one.
    Compare(CompareOp, Value<'static>),
    /// The value is one of these.
    In(Vec<Value<'static>>),
    /// There is no value.
    IsNull,
    /// There is a value.
    IsNotNull,
}

/// How two values compare. Floats compare as in PostgreSQL: NaN equals NaN and is greater than every other value, −0.0 equals 0.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl CompareOp {
    /// True when an order of left to right is what the operator asks for.
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            CompareOp::Equal => order.is_eq(),
            CompareOp::NotEqual => order.is_ne(),
            CompareOp::Less => order.is_lt(),
            CompareOp::LessOrEqual => order.is_le(),
            CompareOp::Greater => order.is_gt(),
            CompareOp::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl FieldTest {
    /// True when the value, if there is one, passes.
    pub(crate) fn holds(&self, value: Option<&Value<'_>>) -> bool {
        match (self, value) {
            (FieldTest::IsNull, value) => value.is_none(),
            (_, None) => false,
            (FieldTest::IsNotNull, Some(_)) => true,
            (FieldTest::Compare(op, other), Some(value)) => compare(value, other).is_some_and(|o| op.holds(o)),
            (FieldTest::In(list), Some(value)) => list.iter().any(|v| compare(value, v).is_some_and(Ordering::is_eq)),
        }
    }
}

/// The order of two values; `None` for types that do not compare. An integer meets a float as a float.
pub(crate) fn compare(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => Some(a.cmp(b)),
        (Value::Unsigned(a), Value::Unsigned(b)) => Some(a.cmp(b)),
        (Value::Integer(a), Value::Unsigned(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Unsigned(a), Value::Integer(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Boolean(a), Value::Boolean(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (a, b) => Some(compare_floats(as_float(a)?, as_float(b)?)),
    }
}

fn as_float(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Float(v) => Some(*v),
        Value::Integer(v) => Some(*v as f64),
        Value::Unsigned(v) => Some(*v as f64),
        Value::Boolean(_) | Value::Text(_) => None,
    }
}

/// The order of PostgreSQL.
pub(crate) fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}
