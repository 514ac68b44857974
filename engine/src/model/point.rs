//! A point as a writer hands it in: names and values, borrowed from the request where possible.

use std::borrow::Cow;

use super::FieldType;

/// One value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// 64-bit float.
    Float(f64),
    /// 64-bit signed integer.
    Integer(i64),
    /// 64-bit unsigned integer.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// UTF-8 text.
    Text(Cow<'a, str>),
}

impl Value<'_> {
    /// A number as a float, rounded where it has to be; `None` for booleans and text.
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Value::Float(v) => Some(*v),
            Value::Integer(v) => Some(*v as f64),
            Value::Unsigned(v) => Some(*v as f64),
            Value::Boolean(_) | Value::Text(_) => None,
        }
    }

    /// The field type that stores this value.
    pub fn field_type(&self) -> FieldType {
        match self {
            Value::Float(_) => FieldType::Float,
            Value::Integer(_) => FieldType::Integer,
            Value::Unsigned(_) => FieldType::Unsigned,
            Value::Boolean(_) => FieldType::Boolean,
            Value::Text(_) => FieldType::Text,
        }
    }
}

/// One point: a table, the tags that name its series, at least one field, and a timestamp.
#[derive(Debug, Clone, PartialEq)]
pub struct Point<'a> {
    /// The table; created by its first point.
    pub table: Cow<'a, str>,
    /// Tag names and values in any order; an empty value counts as absent.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Field names and values in any order.
    pub fields: Vec<(Cow<'a, str>, Value<'a>)>,
    /// Nanoseconds since the Unix epoch, UTC.
    pub time_ns: i64,
}
