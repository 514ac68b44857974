//! Values of a statement that may not be known until it runs: parameters, and the current time.

use datafusion::common::ScalarValue;
use plimsoll_engine::Value;

/// Something that is written out, or the parameter with this number, counted from zero.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand<T> {
    Literal(T),
    Parameter(usize),
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Instant {
    /// Nanoseconds since the Unix epoch.
    At(i64),
    /// The time of the run, and so much later.
    Now { offset_ns: i64 },
}

impl Instant {
    pub(super) fn plus(self, ns: i64) -> Option<Instant> {
        Some(match self {
            Instant::At(at) => Instant::At(at.checked_add(ns)?),
            Instant::Now { offset_ns } => Instant::Now { offset_ns: offset_ns.checked_add(ns)? },
        })
    }
}

/// What a run brings: its time and the values of its parameters.
pub(super) struct Run<'a> {
    pub(super) now_ns: i64,
    pub(super) values: &'a [ScalarValue],
}

impl Run<'_> {
    /// Nanoseconds of a point in time; `None` for NULL and what is out of range.
    pub(super) fn instant(&self, operand: &Operand<Instant>) -> Option<i64> {
        match operand {
            Operand::Literal(Instant::At(ns)) => Some(*ns),
            Operand::Literal(Instant::Now { offset_ns }) => self.now_ns.checked_add(*offset_ns),
            Operand::Parameter(at) => match self.values.get(*at)? {
                ScalarValue::TimestampNanosecond(ns, Some(_)) => *ns,
                _ => None,
            },
        }
    }

    /// A text; `None` for NULL.
    pub(super) fn text(&self, operand: &Operand<String>) -> Option<String> {
        match operand {
            Operand::Literal(text) => Some(text.clone()),
            Operand::Parameter(at) => self.values.get(*at)?.try_as_str()?.map(str::to_owned),
        }
    }

    /// A value of a field; `None` for NULL.
    pub(super) fn value(&self, operand: &Operand<Value<'static>>) -> Option<Value<'static>> {
        match operand {
            Operand::Literal(value) => Some(value.clone()),
            Operand::Parameter(at) => match self.values.get(*at)? {
                ScalarValue::Int16(value) => value.map(|v| Value::Integer(v.into())),
                ScalarValue::Int32(value) => value.map(|v| Value::Integer(v.into())),
                ScalarValue::Int64(value) => value.map(Value::Integer),
                ScalarValue::UInt64(value) => value.map(Value::Unsigned),
                ScalarValue::Float64(value) => value.map(Value::Float),
                ScalarValue::Boolean(value) => value.map(Value::Boolean),
                ScalarValue::Utf8(value) => value.clone().map(|v| Value::Text(v.into())),
                _ => None,
            },
        }
    }

    /// A number of rows; `None` for NULL and what is negative.
    pub(super) fn count(&self, operand: &Operand<usize>) -> Option<usize> {
        match operand {
            Operand::Literal(rows) => Some(*rows),
            Operand::Parameter(at) => match self.values.get(*at)? {
                ScalarValue::Int16(rows) => usize::try_from((*rows)?).ok(),
                ScalarValue::Int32(rows) => usize::try_from((*rows)?).ok(),
                ScalarValue::Int64(rows) => usize::try_from((*rows)?).ok(),
                _ => None,
            },
        }
    }
}
