//! Summaries as columns of a segment, and back.
//!
//! The column that holds one part of the summary of a field stands at the field's position × [`PARTS`] + the part. The parts
//! of position 0, which is the time column's, are about the rows themselves.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray, UInt64Array};

use super::Bins;
use super::summary::{BucketSummary, FieldSummary, Sum};
use crate::model::{FieldRef, FieldType, Value};
use crate::rows::Rows;

/// Columns set aside for each column of the table.
pub(crate) const PARTS: u32 = 16;

/// Values that are not NULL; of position 0: rows.
pub(crate) const PART_COUNT: u32 = 0;
/// Sum: of floats itself, of integers its low 64 bits.
pub(crate) const PART_SUM: u32 = 1;
/// Smallest value.
pub(crate) const PART_MIN: u32 = 2;
/// Greatest value.
pub(crate) const PART_MAX: u32 = 3;
/// First value.
pub(crate) const PART_FIRST: u32 = 4;
/// Last value.
pub(crate) const PART_LAST: u32 = 5;
/// Time of the first value, NULL where it is the first row; of position 0: of the first row. Counted from the bucket's start.
pub(crate) const PART_FIRST_TIME: u32 = 6;
/// Time of the last value, NULL where it is the last row; of position 0: of the last row. Counted from the bucket's start.
pub(crate) const PART_LAST_TIME: u32 = 7;
/// Sketch as text, NULL where all values are in the bin of the smallest.
pub(crate) const PART_SKETCH: u32 = 8;
/// High 64 bits of the sum of integers, NULL where the low ones say it all.
pub(crate) const PART_SUM_HIGH: u32 = 9;

/// Position of one part of a field in the segments of rollups.
pub(crate) fn position_of(field: u32, part: u32) -> u32 {
    field * PARTS + part
}

/// The columns about the rows.
pub(crate) fn bucket_fields() -> [FieldRef; 3] {
    [PART_COUNT, PART_FIRST_TIME, PART_LAST_TIME].map(|part| (position_of(0, part), FieldType::Integer))
}

/// All columns of a rollup of these fields, by position.
pub(crate) fn rollup_fields(fields: &[FieldRef]) -> Vec<FieldRef> {
    let of_field = |(position, kind): (u32, FieldType)| {
        parts_of(kind).map(move |(part, kind)| (position_of(position, part), kind))
    };
    bucket_fields().into_iter().chain(fields.iter().copied().flat_map(of_field)).collect()
}

/// What is kept of a field of this type: parts in ascending order, and their types.
pub(crate) fn parts_of(kind: FieldType) -> impl Iterator<Item = (u32, FieldType)> {
    let is_number = !matches!(kind, FieldType::Boolean | FieldType::Text);
    let is_integer = matches!(kind, FieldType::Integer | FieldType::Unsigned);
    let sum = if is_integer { FieldType::Integer } else { FieldType::Float };
    [
        (true, PART_COUNT, FieldType::Integer),
        (is_number, PART_SUM, sum),
        (is_number, PART_MIN, kind),
        (is_number, PART_MAX, kind),
        (true, PART_FIRST, kind),
        (true, PART_LAST, kind),
        (true, PART_FIRST_TIME, FieldType::Integer),
        (true, PART_LAST_TIME, FieldType::Integer),
        (is_number, PART_SKETCH, FieldType::Text),
        (is_integer, PART_SUM_HIGH, FieldType::Integer),
    ]
    .into_iter()
    .filter_map(|(is_kept, part, kind)| is_kept.then_some((part, kind)))
}

/// Summaries, in the order of (series, time), as rows with the columns of [`rollup_fields`].
pub(crate) fn to_rows(buckets: &[BucketSummary], fields: &[FieldRef]) -> Rows {
    let mut rows = Rows { times: buckets.iter().map(|b| b.bucket_ns).collect(), ..Rows::default() };
    for (nth, bucket) in buckets.iter().enumerate() {
        match rows.series.last_mut() {
            Some((series, end)) if *series == bucket.series => *end = nth + 1,
            _ => rows.series.push((bucket.series, nth + 1)),
        }
    }
    let integers = |value: &dyn Fn(&BucketSummary) -> Option<i64>| -> ArrayRef {
        Arc::new(buckets.iter().map(value).collect::<Int64Array>())
    };
    let offset = |bucket: &BucketSummary, time_ns: i64| Some(time_ns.wrapping_sub(bucket.bucket_ns));
    rows.columns.push(integers(&|b| Some(b.rows as i64)));
    rows.columns.push(integers(&|b| offset(b, b.first_ns)));
    rows.columns.push(integers(&|b| offset(b, b.last_ns)));
    for (nth, (_, kind)) in fields.iter().enumerate() {
        for (part, part_kind) in parts_of(*kind) {
            let column = match part {
                PART_COUNT => integers(&|b| Some(b.fields[nth].count as i64)),
                PART_SUM_HIGH => integers(&|b| sum_high(b.fields[nth].sum)),
                PART_SUM if part_kind == FieldType::Integer => integers(&|b| sum_low(b.fields[nth].sum)),
                PART_FIRST_TIME => integers(&|b| {
                    let first_ns = b.fields[nth].first.as_ref()?.0;
                    if first_ns == b.first_ns { None } else { offset(b, first_ns) }
                }),
                PART_LAST_TIME => integers(&|b| {
                    let last_ns = b.fields[nth].last.as_ref()?.0;
                    if last_ns == b.last_ns { None } else { offset(b, last_ns) }
                }),
                PART_SKETCH => Arc::new(buckets.iter().map(|b| sketch(&b.fields[nth])).collect::<StringViewArray>()),
                _ => values(part_kind, buckets.iter().map(|b| value_part(&b.fields[nth], part))),
            };
            rows.columns.push(column);
        }
    }
    rows
}

/// Reads [`to_rows`] back; `None` when the columns do not go together.
pub(crate) fn from_rows(rows: &Rows, fields: &[FieldRef]) -> Option<Vec<BucketSummary>> {
    let mut columns = rows.columns.iter();
    let mut integers = || columns.next().map(|column| column.as_primitive::<Int64Type>().clone());
    let (counts, firsts, lasts) = (integers()?, integers()?, integers()?);
    let series = rows.series_of_rows();
    let mut buckets = Vec::with_capacity(rows.len());
    for (row, bucket_ns) in rows.times.iter().enumerate() {
        let time = |offsets: &Int64Array| integer(offsets, row).map(|offset| bucket_ns.wrapping_add(offset));
        let mut bucket = BucketSummary::new(series[row], *bucket_ns, fields);
        bucket.rows = u64::try_from(integer(&counts, row)?).ok()?;
        (bucket.first_ns, bucket.last_ns) = (time(&firsts)?, time(&lasts)?);
        buckets.push(bucket);
    }
    for (nth, (_, kind)) in fields.iter().enumerate() {
        for (part, _) in parts_of(*kind) {
            let column = columns.next()?;
            for (row, bucket) in buckets.iter_mut().enumerate() {
                let times = (bucket.bucket_ns, bucket.first_ns, bucket.last_ns);
                take_part(&mut bucket.fields[nth], times, part, column, row)?;
            }
        }
    }
    Some(buckets)
}

fn take_part(
    field: &mut FieldSummary,
    (bucket_ns, first_ns, last_ns): (i64, i64, i64),
    part: u32,
    column: &ArrayRef,
    row: usize,
) -> Option<()> {
    if part == PART_COUNT {
        let count = integer(column.as_primitive(), row).unwrap_or(0);
        field.count = u64::try_from(count).ok()?;
    }
    if field.count == 0 {
        return Some(());
    }
    let at = |default: i64| match integer(column.as_primitive(), row) {
        Some(offset) => bucket_ns.wrapping_add(offset),
        None => default,
    };
    match part {
        PART_COUNT => {}
        PART_SUM if field.field.1 == FieldType::Float => {
            field.sum = Sum::Float(column.as_primitive::<Float64Type>().value(row));
        }
        PART_SUM => field.sum = Sum::Integer(i128::from(integer(column.as_primitive(), row)?)),
        PART_SUM_HIGH => {
            if let (Sum::Integer(low), Some(high)) = (field.sum, integer(column.as_primitive(), row)) {
                field.sum = Sum::Integer(i128::from(high) << 64 | i128::from(low as u64));
            }
        }
        PART_MIN => field.min = Some(value(field.field.1, column, row)?),
        PART_MAX => field.max = Some(value(field.field.1, column, row)?),
        PART_FIRST => field.first = Some((0, value(field.field.1, column, row)?)),
        PART_LAST => field.last = Some((0, value(field.field.1, column, row)?)),
        PART_FIRST_TIME => field.first.as_mut()?.0 = at(first_ns),
        PART_LAST_TIME => field.last.as_mut()?.0 = at(last_ns),
        _ if column.is_valid(row) => {
            field.bins = Bins::from_text(column.as_string_view().value(row))?;
        }
        _ => field.bins.add_many(as_float(field.min.as_ref()?), field.count),
    }
    Some(())
}

fn integer(column: &Int64Array, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.value(row))
}

fn value(kind: FieldType, column: &ArrayRef, row: usize) -> Option<Value<'static>> {
    column.is_valid(row).then(|| match kind {
        FieldType::Float => Value::Float(column.as_primitive::<Float64Type>().value(row)),
        FieldType::Integer => Value::Integer(column.as_primitive::<Int64Type>().value(row)),
        FieldType::Unsigned => Value::Unsigned(column.as_primitive::<UInt64Type>().value(row)),
        FieldType::Boolean => Value::Boolean(column.as_boolean().value(row)),
        FieldType::Text => Value::Text(Cow::Owned(column.as_string_view().value(row).to_owned())),
    })
}

fn value_part(field: &FieldSummary, part: u32) -> Option<Value<'_>> {
    let value = match part {
        PART_SUM => match field.sum {
            Sum::Float(sum) => return Some(Value::Float(sum)),
            _ => return None,
        },
        PART_MIN => field.min.as_ref()?,
        PART_MAX => field.max.as_ref()?,
        PART_FIRST => &field.first.as_ref()?.1,
        _ => &field.last.as_ref()?.1,
    };
    Some(match value {
        Value::Text(text) => Value::Text(Cow::Borrowed(text)),
        other => other.clone(),
    })
}

fn sum_low(sum: Sum) -> Option<i64> {
    match sum {
        Sum::Integer(sum) => Some(sum as i64),
        _ => None,
    }
}

fn sum_high(sum: Sum) -> Option<i64> {
    match sum {
        Sum::Integer(sum) if i64::try_from(sum).is_err() => Some((sum >> 64) as i64),
        _ => None,
    }
}

fn sketch(field: &FieldSummary) -> Option<String> {
    (field.count > 0 && !field.bins.is_one_bin(field.count)).then(|| field.bins.to_text())
}

fn as_float(value: &Value<'_>) -> f64 {
    match value {
        Value::Float(v) => *v,
        Value::Integer(v) => *v as f64,
        Value::Unsigned(v) => *v as f64,
        Value::Boolean(_) | Value::Text(_) => f64::NAN,
    }
}

fn values<'a>(kind: FieldType, values: impl Iterator<Item = Option<Value<'a>>>) -> ArrayRef {
    macro_rules! collect {
        ($array:ty, $variant:path) => {
            Arc::new(
                values
                    .map(|value| match value {
                        Some($variant(v)) => Some(v),
                        _ => None,
                    })
                    .collect::<$array>(),
            )
        };
    }
    match kind {
        FieldType::Float => collect!(Float64Array, Value::Float),
        FieldType::Integer => collect!(Int64Array, Value::Integer),
        FieldType::Unsigned => collect!(UInt64Array, Value::Unsigned),
        FieldType::Boolean => collect!(BooleanArray, Value::Boolean),
        FieldType::Text => collect!(StringViewArray, Value::Text),
    }
}
