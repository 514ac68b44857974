//! Tests of field values, as SQL has them: on one value, which is the plain meaning, and on an array.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;

use crate::codec::Slice;
use crate::model::Value;
use crate::segment::Decoded;

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

    /// For each row of an array whether the test holds.
    pub(crate) fn mask(&self, array: &ArrayRef) -> BooleanBuffer {
        let valid = match array.logical_nulls() {
            Some(nulls) => nulls.into_inner(),
            None => BooleanBuffer::new_set(array.len()),
        };
        self.mask_where(valid, |op, with| compare_array(array, op, with))
    }

    /// For each row of a vector whether the test holds.
    pub(crate) fn mask_of_vector(&self, vector: Decoded<'_>) -> BooleanBuffer {
        let valid = match vector.valid {
            [] => BooleanBuffer::new_set(vector.values.len()),
            valid => BooleanBuffer::from(valid),
        };
        self.mask_where(valid, |op, with| compare_slice(vector.values, op, with))
    }

    /// For each row whether the test holds, with what tells which have a value and how the values compare.
    fn mask_where(
        &self,
        valid: BooleanBuffer,
        compare: impl Fn(CompareOp, &Value<'_>) -> BooleanBuffer,
    ) -> BooleanBuffer {
        match self {
            FieldTest::IsNull => !&valid,
            FieldTest::IsNotNull => valid,
            FieldTest::Compare(op, with) => &compare(*op, with) & &valid,
            FieldTest::In(list) => {
                let none = BooleanBuffer::new_unset(valid.len());
                let any = list.iter().fold(none, |any, value| &any | &compare(CompareOp::Equal, value));
                &any & &valid
            }
        }
    }
}

/// How each value of an array compares; what stands where the array is NULL does not matter.
fn compare_array(array: &ArrayRef, op: CompareOp, with: &Value<'_>) -> BooleanBuffer {
    match array.data_type() {
        DataType::Float64 => compare_slice(Slice::Float(array.as_primitive::<Float64Type>().values()), op, with),
        DataType::Int64 => compare_slice(Slice::Integer(array.as_primitive::<Int64Type>().values()), op, with),
        DataType::UInt64 => compare_slice(Slice::Unsigned(array.as_primitive::<UInt64Type>().values()), op, with),
        _ => {
            let holds = |row| compare(&value_at(array, row), with).is_some_and(|o| op.holds(o));
            BooleanBuffer::collect_bool(array.len(), holds)
        }
    }
}

/// How each value of a slice compares.
fn compare_slice(values: Slice<'_>, op: CompareOp, with: &Value<'_>) -> BooleanBuffer {
    match (values, with) {
        (Slice::Float(values), Value::Float(with)) => compare_floats_with(values, op, *with),
        (Slice::Float(values), Value::Integer(with)) => compare_floats_with(values, op, *with as f64),
        (Slice::Integer(values), Value::Integer(with)) => each(values, op, *with),
        (Slice::Unsigned(values), Value::Unsigned(with)) => each(values, op, *with),
        _ => {
            let holds = |row| compare(&values.value(row), with).is_some_and(|o| op.holds(o));
            BooleanBuffer::collect_bool(values.len(), holds)
        }
    }
}

fn each<T: Copy + PartialOrd>(values: &[T], op: CompareOp, with: T) -> BooleanBuffer {
    let collect = |holds: &dyn Fn(T) -> bool| BooleanBuffer::collect_bool(values.len(), |row| holds(values[row]));
    match op {
        CompareOp::Equal => BooleanBuffer::collect_bool(values.len(), |row| values[row] == with),
        CompareOp::NotEqual => collect(&|v| v != with),
        CompareOp::Less => BooleanBuffer::collect_bool(values.len(), |row| values[row] < with),
        CompareOp::LessOrEqual => BooleanBuffer::collect_bool(values.len(), |row| values[row] <= with),
        CompareOp::Greater => BooleanBuffer::collect_bool(values.len(), |row| values[row] > with),
        CompareOp::GreaterOrEqual => BooleanBuffer::collect_bool(values.len(), |row| values[row] >= with),
    }
}

fn compare_floats_with(values: &[f64], op: CompareOp, with: f64) -> BooleanBuffer {
    let rows = values.len();
    if with.is_nan() {
        return BooleanBuffer::collect_bool(rows, |row| op.holds(compare_floats(values[row], with)));
    }
    // What holds for a NaN is decided by negating the opposite comparison, which is false for a NaN.
    match op {
        CompareOp::Equal | CompareOp::Less | CompareOp::LessOrEqual | CompareOp::NotEqual => each(values, op, with),
        CompareOp::Greater => !&each(values, CompareOp::LessOrEqual, with),
        CompareOp::GreaterOrEqual => !&each(values, CompareOp::Less, with),
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

/// The value of a row that is not NULL.
pub(crate) fn value_at(array: &ArrayRef, row: usize) -> Value<'_> {
    match array.data_type() {
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Int64 => Value::Integer(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => Value::Unsigned(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        DataType::Utf8View => Value::Text(array.as_string_view().value(row).into()),
        other => unreachable!("no field is of type {other}"),
    }
}
