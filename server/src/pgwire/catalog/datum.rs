//! One value of a catalogue statement, and how values compare, sort and hash.

use super::decimal::Decimal;
use std::{cmp::Ordering, sync::Arc};

/// A value. Its exact type is known to the column or expression it comes from: every integer type is an `Int`,
/// every character type (and each type that is only ever shown) is a `Text`.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    /// SQL NULL.
    Null,
    /// `bool`.
    Bool(bool),
    /// `int2`, `int4`, `int8`, `oid`, `xid`.
    Int(i64),
    /// `float4`, `float8`.
    Float(f64),
    /// `numeric`.
    Numeric(Decimal),
    /// `text`, `name`, `varchar`, `json` and every type that has text only.
    Text(Arc<str>),
    /// `"char"`: one byte, 0 is the empty string.
    Char(u8),
    /// `regclass`, `regtype` and their kin: the oid and the name that it is shown by.
    Reg(u32, Arc<str>),
    /// `timestamptz`, `timestamp`, `date`: microseconds since the Unix epoch, and the offset from UTC it is shown with (s).
    Time(i64, i32),
    /// `bytea`.
    Bytes(Arc<[u8]>),
    /// Any array type.
    Array(Arc<Array>),
    /// A row value.
    Record(Arc<[Datum]>),
}

/// A one-dimensional array.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Type oid of the elements.
    pub element: u32,
    /// Index of the first element: 1, but 0 in `int2vector` and `oidvector`.
    pub lower: i32,
    /// The elements.
    pub items: Vec<Datum>,
}

/// A row of a relation or of an intermediate result.
pub(crate) type Row = Arc<[Datum]>;

/// A value as a hash key; two keys are equal when the values are equal (NULLs too: this is the grouping equality).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Null,
    Int(i64),
    Text(Arc<str>),
    List(Vec<Key>),
}

impl Datum {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    pub(crate) fn text_of(value: impl Into<Arc<str>>) -> Datum {
        Datum::Text(value.into())
    }

    pub(crate) fn array(element: u32, items: Vec<Datum>) -> Datum {
        Datum::Array(Arc::new(Array { element, lower: 1, items }))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Datum::Text(text) | Datum::Reg(_, text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Datum::Int(value) => Some(*value),
            Datum::Reg(oid, _) => Some(i64::from(*oid)),
            _ => None,
        }
    }

    pub(crate) fn as_oid(&self) -> Option<u32> {
        self.as_int().and_then(|value| u32::try_from(value).ok())
    }

    pub(crate) fn key(&self) -> Key {
        match self {
            Datum::Null => Key::Null,
            Datum::Bool(value) => Key::Int(i64::from(*value)),
            Datum::Int(value) | Datum::Time(value, _) => Key::Int(*value),
            Datum::Reg(oid, _) => Key::Int(i64::from(*oid)),
            Datum::Char(byte) => Key::Int(i64::from(*byte)),
            Datum::Float(value) => Key::Int((if *value == 0.0 { 0.0 } else { *value }).to_bits() as i64),
            Datum::Numeric(value) => Key::Text(value.normal_text().into()),
            Datum::Text(text) => Key::Text(text.clone()),
            Datum::Bytes(bytes) => Key::List(bytes.iter().map(|b| Key::Int(i64::from(*b))).collect()),
            Datum::Array(array) => Key::List(array.items.iter().map(Datum::key).collect()),
            Datum::Record(fields) => Key::List(fields.iter().map(Datum::key).collect()),
        }
    }
}

impl From<bool> for Datum {
    fn from(value: bool) -> Self {
        Datum::Bool(value)
    }
}

impl From<i64> for Datum {
    fn from(value: i64) -> Self {
        Datum::Int(value)
    }
}

impl From<i32> for Datum {
    fn from(value: i32) -> Self {
        Datum::Int(value.into())
    }
}

impl From<u32> for Datum {
    fn from(value: u32) -> Self {
        Datum::Int(value.into())
    }
}

impl From<&str> for Datum {
    fn from(value: &str) -> Self {
        Datum::Text(value.into())
    }
}

impl From<String> for Datum {
    fn from(value: String) -> Self {
        Datum::Text(value.into())
    }
}

impl From<char> for Datum {
    fn from(value: char) -> Self {
        Datum::Char(u8::try_from(value).unwrap_or(b'?'))
    }
}

impl<T: Into<Datum>> From<Option<T>> for Datum {
    fn from(value: Option<T>) -> Self {
        value.map_or(Datum::Null, Into::into)
    }
}

/// Order of two values that are not NULL and were brought to one type. NaN sorts last, as in PostgreSQL.
pub(crate) fn compare(a: &Datum, b: &Datum) -> Ordering {
    match (a, b) {
        (Datum::Bool(a), Datum::Bool(b)) => a.cmp(b),
        (Datum::Float(a), Datum::Float(b)) => a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
        (Datum::Numeric(a), Datum::Numeric(b)) => a.cmp(b),
        (Datum::Text(a), Datum::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Datum::Char(a), Datum::Char(b)) => a.cmp(b),
        (Datum::Time(a, _), Datum::Time(b, _)) => a.cmp(b),
        (Datum::Bytes(a), Datum::Bytes(b)) => a.cmp(b),
        (Datum::Array(a), Datum::Array(b)) => compare_lists(&a.items, &b.items),
        (Datum::Record(a), Datum::Record(b)) => compare_lists(a, b),
        _ => a.as_int().cmp(&b.as_int()),
    }
}

fn compare_lists(a: &[Datum], b: &[Datum]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| compare_nulls_last(a, b)).find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Order with NULL after everything, the default of `ORDER BY ... ASC`.
pub(crate) fn compare_nulls_last(a: &Datum, b: &Datum) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (false, false) => compare(a, b),
        (a, b) => a.cmp(&b),
    }
}
