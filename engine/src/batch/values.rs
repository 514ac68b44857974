//! The values of one field in order of arrival: typed, with NULLs beside them.

use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, types};
use arrow_buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};

use crate::model::{FieldType, Value};
use crate::rows::Order;

/// Values of one field, one for each row, NULL where a point had none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldValues {
    /// One for each row; where there is none any value stands.
    pub(crate) values: Values,
    /// Which rows have a value; empty while all have.
    pub(crate) valid: Vec<bool>,
}

/// Values of one type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    Float(Vec<f64>),
    Integer(Vec<i64>),
    Unsigned(Vec<u64>),
    Boolean(Vec<bool>),
    Text(Texts),
}

/// Texts one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    pub(crate) fn get(&self, nth: usize) -> &str {
        let start = if nth == 0 { 0 } else { self.ends[nth - 1] };
        &self.text[start..self.ends[nth]]
    }

    fn resize(&mut self, len: usize) {
        self.ends.resize(len, self.text.len());
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

/// Applies the same expression to the values of whichever type.
macro_rules! each {
    ($values:expr, $v:ident => $body:expr) => {
        match $values {
            Values::Float($v) => $body,
            Values::Integer($v) => $body,
            Values::Unsigned($v) => $body,
            Values::Boolean($v) => $body,
            Values::Text($v) => $body,
        }
    };
}

impl Values {
    pub(crate) fn new(kind: FieldType) -> Values {
        match kind {
            FieldType::Float => Values::Float(Vec::new()),
            FieldType::Integer => Values::Integer(Vec::new()),
            FieldType::Unsigned => Values::Unsigned(Vec::new()),
            FieldType::Boolean => Values::Boolean(Vec::new()),
            FieldType::Text => Values::Text(Texts::default()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    /// Cuts values off, or adds some that mean nothing.
    fn resize(&mut self, len: usize) {
        match self {
            Values::Float(v) => v.resize(len, 0.0),
            Values::Integer(v) => v.resize(len, 0),
            Values::Unsigned(v) => v.resize(len, 0),
            Values::Boolean(v) => v.resize(len, false),
            Values::Text(v) => v.resize(len),
        }
    }

    /// Adds a value of this type, or an integer to floats; false for any other.
    #[inline]
    fn push(&mut self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Values::Float(v), Value::Float(x)) => v.push(*x),
            (Values::Float(v), Value::Integer(x)) => v.push(*x as f64),
            (Values::Integer(v), Value::Integer(x)) => v.push(*x),
            (Values::Unsigned(v), Value::Unsigned(x)) => v.push(*x),
            (Values::Boolean(v), Value::Boolean(x)) => v.push(*x),
            (Values::Text(v), Value::Text(x)) => v.push(x),
            _ => return false,
        }
        true
    }

    fn extend(&mut self, other: &Values) {
        match (self, other) {
            (Values::Float(a), Values::Float(b)) => a.extend_from_slice(b),
            (Values::Integer(a), Values::Integer(b)) => a.extend_from_slice(b),
            (Values::Unsigned(a), Values::Unsigned(b)) => a.extend_from_slice(b),
            (Values::Boolean(a), Values::Boolean(b)) => a.extend_from_slice(b),
            (Values::Text(a), Values::Text(b)) => (0..b.len()).for_each(|nth| a.push(b.get(nth))),
            _ => unreachable!("a field has one type"),
        }
    }
}

impl FieldValues {
    /// No values.
    pub(crate) fn new(kind: FieldType) -> FieldValues {
        FieldValues { values: Values::new(kind), valid: Vec::new() }
    }

    pub(crate) fn field_type(&self) -> FieldType {
        match self.values {
            Values::Float(_) => FieldType::Float,
            Values::Integer(_) => FieldType::Integer,
            Values::Unsigned(_) => FieldType::Unsigned,
            Values::Boolean(_) => FieldType::Boolean,
            Values::Text(_) => FieldType::Text,
        }
    }

    /// True where a row has a value.
    pub(crate) fn is_valid(&self, row: usize) -> bool {
        self.valid.is_empty() || self.valid[row]
    }

    pub(super) fn has_any(&self) -> bool {
        if self.valid.is_empty() { self.values.len() > 0 } else { self.valid.contains(&true) }
    }

    /// Adds NULLs until there are `rows` values.
    pub(super) fn pad(&mut self, rows: usize) {
        let len = self.values.len();
        if len < rows {
            self.valid.resize(len, true);
            self.valid.resize(rows, false);
            self.values.resize(rows);
        }
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        if self.values.len() > rows {
            self.values.resize(rows);
            self.valid.truncate(rows);
        }
    }

    /// Adds the value of row number `row`; see [`super::Batch::put`].
    #[inline]
    pub(super) fn put(&mut self, row: usize, value: &Value<'_>) -> bool {
        self.make_room(row) && self.values.push(value) && self.mark()
    }

    /// Adds an integer; see [`super::Batch::put_integer`].
    #[inline]
    pub(super) fn put_integer(&mut self, row: usize, value: i64) -> bool {
        if !self.make_room(row) {
            return false;
        }
        match &mut self.values {
            Values::Integer(v) => v.push(value),
            Values::Float(v) => v.push(value as f64),
            _ => return false,
        }
        self.mark()
    }

    /// Fills up to a row; false when it has a value already.
    #[inline]
    fn make_room(&mut self, row: usize) -> bool {
        let len = self.values.len();
        if len < row {
            self.pad(row);
        }
        len <= row
    }

    #[inline]
    fn mark(&mut self) -> bool {
        if !self.valid.is_empty() {
            self.valid.push(true);
        }
        true
    }

    pub(super) fn extend(&mut self, other: &FieldValues) {
        let rows = self.values.len();
        self.values.extend(&other.values);
        if !other.valid.is_empty() {
            self.valid.resize(rows, true);
            self.valid.extend_from_slice(&other.valid);
        } else if !self.valid.is_empty() {
            self.valid.resize(self.values.len(), true);
        }
    }

    /// For each key the newest value, in storage order.
    pub(super) fn to_array(&self, order: &Order) -> ArrayRef {
        let picks =
            if self.valid.is_empty() { order.newest() } else { order.newest_with(|row| self.valid[row as usize]) };
        let nulls = (!self.valid.is_empty())
            .then(|| NullBuffer::new(BooleanBuffer::collect_bool(picks.len(), |nth| self.valid[picks[nth] as usize])))
            .filter(|nulls| nulls.null_count() > 0);
        match &self.values {
            Values::Float(v) => numbers::<types::Float64Type>(v, &picks, nulls),
            Values::Integer(v) => numbers::<types::Int64Type>(v, &picks, nulls),
            Values::Unsigned(v) => numbers::<types::UInt64Type>(v, &picks, nulls),
            Values::Boolean(v) => {
                let bits = BooleanBuffer::collect_bool(picks.len(), |nth| v[picks[nth] as usize]);
                Arc::new(BooleanArray::new(bits, nulls))
            }
            Values::Text(v) => {
                let mut texts = StringViewBuilder::with_capacity(picks.len());
                for row in picks.iter().map(|row| *row as usize) {
                    texts.append_option(self.is_valid(row).then(|| v.get(row)));
                }
                Arc::new(texts.finish())
            }
        }
    }

    pub(super) fn text_bytes(&self) -> usize {
        if let Values::Text(v) = &self.values { v.text.len() } else { 0 }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let values = match &self.values {
            Values::Text(v) => v.text.len() + v.len() * size_of::<usize>(),
            Values::Boolean(v) => v.len(),
            other => other.len() * 8,
        };
        values + self.valid.len()
    }
}

fn numbers<T: types::ArrowPrimitiveType>(values: &[T::Native], picks: &[u32], nulls: Option<NullBuffer>) -> ArrayRef {
    let picked: Vec<T::Native> = picks.iter().map(|row| values[*row as usize]).collect();
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(picked), nulls))
}
