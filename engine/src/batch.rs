//! Rows of one table in order of arrival: what a write turns into, what the log carries and what a memtable takes.

use std::mem::size_of;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray, UInt64Array};

use crate::model::{FieldRef, FieldType, SeriesId, Value};
use crate::rows::{Rows, Source, order};

/// Values of one field, one for each row, NULL where a point had none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldValues {
    Float(Vec<Option<f64>>),
    Integer(Vec<Option<i64>>),
    Unsigned(Vec<Option<u64>>),
    Boolean(Vec<Option<bool>>),
    Text(Vec<Option<Box<str>>>),
}

/// Applies the same expression to the vector of whichever type.
macro_rules! each {
    ($values:expr, $v:ident => $body:expr) => {
        match $values {
            FieldValues::Float($v) => $body,
            FieldValues::Integer($v) => $body,
            FieldValues::Unsigned($v) => $body,
            FieldValues::Boolean($v) => $body,
            FieldValues::Text($v) => $body,
        }
    };
}

impl FieldValues {
    /// `rows` values, all NULL.
    pub(crate) fn nulls(kind: FieldType, rows: usize) -> FieldValues {
        match kind {
            FieldType::Float => FieldValues::Float(vec![None; rows]),
            FieldType::Integer => FieldValues::Integer(vec![None; rows]),
            FieldType::Unsigned => FieldValues::Unsigned(vec![None; rows]),
            FieldType::Boolean => FieldValues::Boolean(vec![None; rows]),
            FieldType::Text => FieldValues::Text(vec![None; rows]),
        }
    }

    pub(crate) fn field_type(&self) -> FieldType {
        match self {
            FieldValues::Float(_) => FieldType::Float,
            FieldValues::Integer(_) => FieldType::Integer,
            FieldValues::Unsigned(_) => FieldType::Unsigned,
            FieldValues::Boolean(_) => FieldType::Boolean,
            FieldValues::Text(_) => FieldType::Text,
        }
    }

    pub(crate) fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    /// Adds NULLs until there are `rows` values.
    pub(crate) fn pad(&mut self, rows: usize) {
        each!(self, v => v.resize(rows, None));
    }

    /// Adds a value; an integer widens in a float field. The caller has checked the type against the schema.
    fn push(&mut self, value: &Value<'_>) {
        match (self, value) {
            (FieldValues::Float(v), Value::Float(x)) => v.push(Some(*x)),
            (FieldValues::Float(v), Value::Integer(x)) => v.push(Some(*x as f64)),
            (FieldValues::Integer(v), Value::Integer(x)) => v.push(Some(*x)),
            (FieldValues::Unsigned(v), Value::Unsigned(x)) => v.push(Some(*x)),
            (FieldValues::Boolean(v), Value::Boolean(x)) => v.push(Some(*x)),
            (FieldValues::Text(v), Value::Text(x)) => v.push(Some((**x).into())),
            (column, value) => unreachable!("a {:?} was not checked against {:?}", value, column.field_type()),
        }
    }

    fn extend(&mut self, other: &FieldValues) {
        match (self, other) {
            (FieldValues::Float(a), FieldValues::Float(b)) => a.extend_from_slice(b),
            (FieldValues::Integer(a), FieldValues::Integer(b)) => a.extend_from_slice(b),
            (FieldValues::Unsigned(a), FieldValues::Unsigned(b)) => a.extend_from_slice(b),
            (FieldValues::Boolean(a), FieldValues::Boolean(b)) => a.extend_from_slice(b),
            (FieldValues::Text(a), FieldValues::Text(b)) => a.extend_from_slice(b),
            (a, b) => unreachable!("field of type {:?} joined to {:?}", b.field_type(), a.field_type()),
        }
    }

    fn to_array(&self) -> ArrayRef {
        match self {
            FieldValues::Float(v) => Arc::new(Float64Array::from(v.clone())),
            FieldValues::Integer(v) => Arc::new(Int64Array::from(v.clone())),
            FieldValues::Unsigned(v) => Arc::new(UInt64Array::from(v.clone())),
            FieldValues::Boolean(v) => Arc::new(BooleanArray::from(v.clone())),
            FieldValues::Text(v) => Arc::new(v.iter().map(Option::as_deref).collect::<StringViewArray>()),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            FieldValues::Text(v) => {
                v.iter().flatten().map(|t| t.len()).sum::<usize>() + v.len() * size_of::<Box<str>>()
            }
            other => other.len() * 9,
        }
    }
}

/// Rows of one table in order of arrival. Fields are named by their position in the table's schema.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Batch {
    pub(crate) series: Vec<SeriesId>,
    pub(crate) times: Vec<i64>,
    /// Every column has one value for each row, except while a row is being added.
    pub(crate) fields: Vec<(u32, FieldValues)>,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Adds a row with the given fields: position, column type and value of each.
    pub(crate) fn push<'a>(
        &mut self,
        series: SeriesId,
        time_ns: i64,
        fields: impl Iterator<Item = (u32, FieldType, &'a Value<'a>)>,
    ) {
        let rows = self.len();
        for (nth, (position, kind, value)) in fields.enumerate() {
            let column = self.column(position, kind, nth);
            column.pad(rows);
            column.push(value);
        }
        self.series.push(series);
        self.times.push(time_ns);
    }

    /// Fills the columns that the last rows did not mention. To be called after the last `push`.
    pub(crate) fn finish(&mut self) {
        let rows = self.len();
        for (_, values) in &mut self.fields {
            values.pad(rows);
        }
    }

    /// Adds the rows of another batch of the same table; both are finished.
    pub(crate) fn append(&mut self, other: &Batch) {
        let rows = self.len();
        for (nth, (position, values)) in other.fields.iter().enumerate() {
            let column = self.column(*position, values.field_type(), nth);
            column.pad(rows);
            column.extend(values);
        }
        self.series.extend_from_slice(&other.series);
        self.times.extend_from_slice(&other.times);
        self.finish();
    }

    /// The rows in storage order, equal keys merged, with the fields that the columns are.
    pub(crate) fn to_rows(&self) -> (Vec<FieldRef>, Rows) {
        let fields = self.fields.iter().map(|(position, values)| (*position, values.field_type())).collect();
        let columns: Vec<ArrayRef> = self.fields.iter().map(|(_, values)| values.to_array()).collect();
        let source = Source { series: self.series.clone(), times: &self.times, columns: &columns };
        (fields, order(&[source]))
    }

    /// Memory held, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.len() * 12 + self.fields.iter().map(|(_, values)| values.memory_bytes()).sum::<usize>()
    }

    /// The column of a field, made if it is new. Points repeat their fields in the same order, so `hint` is usually its place.
    fn column(&mut self, position: u32, kind: FieldType, hint: usize) -> &mut FieldValues {
        let at = match self.fields.get(hint) {
            Some((p, _)) if *p == position => hint,
            _ => self.fields.iter().position(|(p, _)| *p == position).unwrap_or_else(|| {
                self.fields.push((position, FieldValues::nulls(kind, 0)));
                self.fields.len() - 1
            }),
        };
        &mut self.fields[at].1
    }
}
