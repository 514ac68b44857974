//! Summaries of rows, and how they merge.

use std::borrow::Cow;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef};

use super::Bins;
use crate::model::{FieldRef, FieldType, SeriesId, Value};

/// The rows of one series in one bucket; at least one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BucketSummary {
    pub(crate) series: SeriesId,
    /// Start of the bucket.
    pub(crate) bucket_ns: i64,
    pub(crate) rows: u64,
    /// Times of the first and last row.
    pub(crate) first_ns: i64,
    pub(crate) last_ns: i64,
    pub(crate) fields: Vec<FieldSummary>,
}

/// The values of one field in some rows of one series; NULLs do not count.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldSummary {
    pub(crate) field: FieldRef,
    pub(crate) count: u64,
    /// Of numbers.
    pub(crate) sum: Sum,
    /// Of numbers, NaN being the greatest.
    pub(crate) min: Option<Value<'static>>,
    pub(crate) max: Option<Value<'static>>,
    /// First and last value in the order of time, and the times of their rows.
    pub(crate) first: Option<(i64, Value<'static>)>,
    pub(crate) last: Option<(i64, Value<'static>)>,
    /// Of numbers.
    pub(crate) bins: Bins,
}

/// A sum; integers are exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sum {
    None,
    Float(f64),
    Integer(i128),
}

impl BucketSummary {
    /// A bucket without rows, to which some are added.
    pub(crate) fn new(series: SeriesId, bucket_ns: i64, fields: &[FieldRef]) -> BucketSummary {
        let fields = fields.iter().map(|field| FieldSummary::new(*field)).collect();
        BucketSummary { series, bucket_ns, rows: 0, first_ns: i64::MAX, last_ns: i64::MIN, fields }
    }

    /// Adds rows with these times, which are later than any so far; `columns` has them at `range`.
    pub(super) fn add_rows(&mut self, times: &[i64], columns: &[ArrayRef], range: Range<usize>) {
        self.rows += times.len() as u64;
        self.first_ns = self.first_ns.min(times[0]);
        self.last_ns = self.last_ns.max(times[times.len() - 1]);
        for (field, column) in self.fields.iter_mut().zip(columns) {
            field.add_values(times, column, range.clone());
        }
    }

    /// Adds the rows of another bucket with the same fields.
    pub(crate) fn merge(&mut self, other: &BucketSummary) {
        self.rows += other.rows;
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
        for (field, more) in self.fields.iter_mut().zip(&other.fields) {
            field.merge(more);
        }
    }
}

impl FieldSummary {
    pub(super) fn new(field: FieldRef) -> FieldSummary {
        FieldSummary {
            field,
            count: 0,
            sum: Sum::None,
            min: None,
            max: None,
            first: None,
            last: None,
            bins: Bins::default(),
        }
    }

    fn add_values(&mut self, times: &[i64], column: &ArrayRef, range: Range<usize>) {
        let start = range.start;
        for row in range {
            if column.is_valid(row) {
                self.add(times[row - start], value_at(column, self.field.1, row));
            }
        }
    }

    fn add(&mut self, time_ns: i64, value: Value<'static>) {
        self.count += 1;
        if let Some((number, sketched)) = number(&value) {
            self.sum = self.sum.plus(number);
            self.bins.add(sketched);
            if self.min.as_ref().is_none_or(|min| less(&value, min)) {
                self.min = Some(value.clone());
            }
            if self.max.as_ref().is_none_or(|max| greater(&value, max)) {
                self.max = Some(value.clone());
            }
        }
        if self.first.is_none() {
            self.first = Some((time_ns, value.clone()));
        }
        self.last = Some((time_ns, value));
    }

    fn merge(&mut self, other: &FieldSummary) {
        self.count += other.count;
        self.sum = self.sum.plus(other.sum);
        self.bins.merge(&other.bins);
        take_if(&mut self.min, &other.min, less);
        take_if(&mut self.max, &other.max, greater);
        take_if(&mut self.first, &other.first, |a, b| a.0 < b.0);
        take_if(&mut self.last, &other.last, |a, b| a.0 >= b.0);
    }
}

fn take_if<T: Clone>(mine: &mut Option<T>, other: &Option<T>, is_better: impl Fn(&T, &T) -> bool) {
    if let Some(other) = other
        && mine.as_ref().is_none_or(|mine| is_better(other, mine))
    {
        *mine = Some(other.clone());
    }
}

impl Sum {
    pub(crate) fn plus(self, other: Sum) -> Sum {
        match (self, other) {
            (Sum::Float(a), Sum::Float(b)) => Sum::Float(a + b),
            (Sum::Integer(a), Sum::Integer(b)) => Sum::Integer(a + b),
            (Sum::None, other) => other,
            (sum, _) => sum,
        }
    }
}

fn value_at(column: &ArrayRef, kind: FieldType, row: usize) -> Value<'static> {
    match kind {
        FieldType::Float => Value::Float(column.as_primitive::<Float64Type>().value(row)),
        FieldType::Integer => Value::Integer(column.as_primitive::<Int64Type>().value(row)),
        FieldType::Unsigned => Value::Unsigned(column.as_primitive::<UInt64Type>().value(row)),
        FieldType::Boolean => Value::Boolean(column.as_boolean().value(row)),
        FieldType::Text => Value::Text(Cow::Owned(column.as_string_view().value(row).to_owned())),
    }
}

/// A number as a sum, and as sketches take it; `None` for booleans and text.
fn number(value: &Value<'_>) -> Option<(Sum, f64)> {
    match value {
        Value::Float(v) => Some((Sum::Float(*v), *v)),
        Value::Integer(v) => Some((Sum::Integer(i128::from(*v)), *v as f64)),
        Value::Unsigned(v) => Some((Sum::Integer(i128::from(*v)), *v as f64)),
        Value::Boolean(_) | Value::Text(_) => None,
    }
}

/// The order of numbers: NaN is the greatest, −0.0 is less than +0.0.
pub(crate) fn less(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => !a.is_nan() && (b.is_nan() || a.total_cmp(b).is_lt()),
        (Value::Integer(a), Value::Integer(b)) => a < b,
        (Value::Unsigned(a), Value::Unsigned(b)) => a < b,
        _ => false,
    }
}

/// As [`less`], the other way round.
pub(crate) fn greater(a: &Value<'_>, b: &Value<'_>) -> bool {
    less(b, a)
}
