//! The plain way: reads the rows of a scan one by one. What the quick way is tested against, and what it leaves to this one.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, StringViewBuilder, UInt64Builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, TimestampNanosecondArray};
use arrow_schema::DataType;

use super::output::{Answer, Column};
use super::{AggregateFunction, AggregateRequest};
use crate::model::{ColumnKind, FieldType, TableSchema, Value};
use crate::rollup::Bins;
use crate::scan::{FieldPredicate, ScanPart, ScanRequest, Snapshot};
use crate::{Error, Result};

/// The scan to read.
#[derive(Debug)]
pub(super) struct Plain {
    answer: Arc<Answer>,
    predicates: Vec<FieldPredicate>,
    /// Positions of what is needed among the columns of the scan.
    tags: Vec<usize>,
    fields: Vec<usize>,
    arguments: Vec<Option<usize>>,
    parts: Vec<ScanPart>,
}

/// Groups by bucket and tags; the order of keys is that of the answer.
pub(super) type Groups = BTreeMap<Key, Vec<State>>;

/// Number of the bucket, and the values of the tags.
type Key = (Option<i128>, Vec<Tag>);

/// A tag value; NULL is last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tag {
    Present(String),
    Absent,
}

/// What is known of one aggregate of one group.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) rows: i64,
    pub(super) count: i64,
    pub(super) exact: i128,
    pub(super) float: Option<f64>,
    pub(super) min: Option<Value<'static>>,
    pub(super) max: Option<Value<'static>>,
    pub(super) first: Option<(i64, Option<Value<'static>>)>,
    pub(super) last: Option<(i64, Option<Value<'static>>)>,
    /// Filled when it is asked for.
    pub(super) bins: Bins,
}

impl Plain {
    pub(super) fn new(snapshot: &Snapshot, request: &AggregateRequest, answer: Arc<Answer>) -> Result<Plain> {
        let mut columns = vec![TableSchema::TIME.to_owned()];
        let mut place = |name: &String| match columns.iter().position(|c| c == name) {
            Some(at) => at,
            None => {
                columns.push(name.clone());
                columns.len() - 1
            }
        };
        let tags = request.group_tags.iter().map(&mut place).collect();
        let fields = request.predicates.iter().map(|p| place(&p.field)).collect();
        let arguments = answer.columns.iter().map(|c| c.argument.as_ref().map(|(name, _)| place(name))).collect();
        let scan = ScanRequest {
            time: request.time,
            tags: request.tags.clone(),
            ..ScanRequest::new(&*request.table, columns)
        };
        let parts = snapshot.scan(&scan)?;
        Ok(Plain { answer, predicates: request.predicates.clone(), tags, fields, arguments, parts })
    }

    pub(super) fn run(mut self, go_on: &dyn Fn() -> bool) -> Result<Option<Groups>> {
        let mut groups = Groups::new();
        for part in std::mem::take(&mut self.parts) {
            for batch in part {
                if !go_on() {
                    return Ok(None);
                }
                let batch = batch?;
                (0..batch.num_rows()).for_each(|row| self.add(&batch, row, &mut groups));
            }
        }
        Ok(Some(groups))
    }

    pub(super) fn rows_about(&self) -> usize {
        self.parts.iter().map(ScanPart::rows_about).sum()
    }

    fn add(&self, batch: &RecordBatch, row: usize, groups: &mut Groups) {
        let value = |column: usize| value(batch.column(column), row);
        let passes = |(test, column): (&FieldPredicate, &usize)| test.test.holds(value(*column).as_ref());
        if !self.predicates.iter().zip(&self.fields).all(passes) {
            return;
        }
        let time_ns = batch.column(0).as_primitive::<TimestampNanosecondType>().value(row);
        let bucket = self.answer.bucket.map(|b| b.number(time_ns));
        let tag = |column: &usize| match value(*column) {
            Some(Value::Text(text)) => Tag::Present(text.into_owned()),
            _ => Tag::Absent,
        };
        let key = (bucket, self.tags.iter().map(tag).collect());
        let states = groups.entry(key).or_insert_with(|| vec![State::default(); self.arguments.len().max(1)]);
        for (nth, state) in states.iter_mut().enumerate() {
            let argument = self.arguments.get(nth).copied().flatten();
            let value = argument.and_then(value);
            if self.answer.columns.get(nth).is_some_and(|c| c.function == AggregateFunction::Sketch) {
                value.as_ref().and_then(Value::as_number).into_iter().for_each(|number| state.bins.add(number));
            }
            state.add(time_ns, value);
        }
    }
}

impl State {
    fn add(&mut self, time_ns: i64, value: Option<Value<'static>>) {
        self.rows += 1;
        if self.first.as_ref().is_none_or(|first| time_ns < first.0) {
            self.first = Some((time_ns, value.clone()));
        }
        if self.last.as_ref().is_none_or(|last| time_ns >= last.0) {
            self.last = Some((time_ns, value.clone()));
        }
        let Some(value) = value else { return };
        self.count += 1;
        match &value {
            Value::Float(v) => self.float = Some(self.float.map_or(*v, |sum| sum + v)),
            Value::Integer(v) => self.exact += i128::from(*v),
            Value::Unsigned(v) => self.exact += i128::from(*v),
            Value::Boolean(_) | Value::Text(_) => {}
        }
        if self.min.as_ref().is_none_or(|min| order(&value, min).is_lt()) {
            self.min = Some(value.clone());
        }
        if self.max.as_ref().is_none_or(|max| order(&value, max).is_gt()) {
            self.max = Some(value);
        }
    }

    /// Adds the rows of another state. Times being equal, its first row counts for later and its last one too.
    pub(super) fn merge(&mut self, other: State) {
        self.rows += other.rows;
        self.count += other.count;
        self.exact += other.exact;
        self.float = match (self.float, other.float) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        self.bins.merge(&other.bins);
        take_if(&mut self.min, other.min, |a, b| order(a, b).is_lt());
        take_if(&mut self.max, other.max, |a, b| order(a, b).is_gt());
        take_if(&mut self.first, other.first, |a, b| a.0 < b.0);
        take_if(&mut self.last, other.last, |a, b| a.0 >= b.0);
    }

    fn answer(&self, column: &Column) -> Option<Datum> {
        use AggregateFunction::{Avg, Count, CountRows, First, Last, Max, Min, Sketch, Sum};
        let is_float = matches!(column.argument, Some((_, ColumnKind::Field(FieldType::Float))));
        let has_value = self.count > 0;
        match column.function {
            CountRows => Some(Datum::Value(Value::Integer(self.rows))),
            Count => Some(Datum::Value(Value::Integer(self.count))),
            Sum if is_float => self.float.map(|sum| Datum::Value(Value::Float(one_nan(sum)))),
            Sum => has_value.then_some(Datum::Decimal(self.exact)),
            Avg if is_float => {
                self.float.map(|sum| Datum::Value(Value::Float(average(sum, self.count.unsigned_abs()))))
            }
            Avg => has_value.then(|| Datum::Value(Value::Float(self.exact as f64 / self.count as f64))),
            Sketch => Some(Datum::Value(Value::Text(self.bins.to_text().into()))),
            Min => self.min.clone().map(|v| Datum::Value(same_nan(v))),
            Max => self.max.clone().map(|v| Datum::Value(same_nan(v))),
            First => self.first.clone().and_then(|(_, value)| value).map(Datum::Value),
            Last => self.last.clone().and_then(|(_, value)| value).map(Datum::Value),
        }
    }
}

fn take_if<T>(mine: &mut Option<T>, other: Option<T>, is_better: impl Fn(&T, &T) -> bool) {
    if let Some(other) = other
        && mine.as_ref().is_none_or(|mine| is_better(&other, mine))
    {
        *mine = Some(other);
    }
}

/// Adds groups to others.
pub(super) fn merge(groups: &mut Groups, more: Groups) {
    for (key, states) in more {
        match groups.entry(key) {
            Entry::Occupied(mut place) => {
                place.get_mut().iter_mut().zip(states).for_each(|(mine, other)| mine.merge(other));
            }
            Entry::Vacant(place) => {
                place.insert(states);
            }
        }
    }
}

/// Takes a sum from an answer.
pub(super) fn set_sum(state: &mut State, column: &ArrayRef, row: usize) {
    if column.is_null(row) {
        return;
    }
    match column.as_primitive_opt::<Float64Type>() {
        Some(sums) => state.float = Some(sums.value(row)),
        None => state.exact = column.as_primitive::<Decimal128Type>().value(row),
    }
}

/// One value of an answer.
enum Datum {
    Value(Value<'static>),
    Decimal(i128),
}

/// The order of min and max: NaN is the greatest, −0.0 comes before 0.0.
fn order(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => one_nan(*a).total_cmp(&one_nan(*b)),
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Unsigned(a), Value::Unsigned(b)) => a.cmp(b),
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        _ => unreachable!("values of one column have one type"),
    }
}

/// The mean of floats. As in PostgreSQL it is never -0.0, which a sum of nothing else is.
pub(super) fn average(sum: f64, count: u64) -> f64 {
    one_nan((sum + 0.0) / count as f64)
}

/// Any NaN as the one that answers give.
pub(super) fn one_nan(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

fn same_nan(value: Value<'static>) -> Value<'static> {
    match value {
        Value::Float(v) => Value::Float(one_nan(v)),
        other => other,
    }
}

/// The value of a cell of a scan; a timestamp as an integer.
pub(super) fn value(column: &ArrayRef, row: usize) -> Option<Value<'static>> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Timestamp(..) => Value::Integer(column.as_primitive::<TimestampNanosecondType>().value(row)),
        DataType::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Int64 => Value::Integer(column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => Value::Unsigned(column.as_primitive::<UInt64Type>().value(row)),
        DataType::Boolean => Value::Boolean(column.as_boolean().value(row)),
        DataType::Utf8View => Value::Text(Cow::Owned(column.as_string_view().value(row).to_owned())),
        other => unreachable!("no column of a scan is of type {other}"),
    })
}

/// The answer from the groups of the one part.
pub(super) fn finish(answer: &Answer, parts: impl Iterator<Item = Groups>) -> Result<RecordBatch> {
    let mut groups: Groups = parts.flatten().collect();
    if answer.is_single() {
        groups.entry((None, Vec::new())).or_insert_with(|| vec![State::default(); answer.columns.len()]);
    }
    let rows = limited(answer, &groups);
    let mut arrays: Vec<ArrayRef> = Vec::new();
    if let Some(bucket) = answer.bucket {
        let start = |row: &(&Key, &Vec<State>)| start_ns(bucket.start(row.0.0.expect("every group has a bucket")));
        let starts = rows.iter().map(start).collect::<Result<Vec<_>>>()?;
        arrays.push(Arc::new(TimestampNanosecondArray::from(starts).with_timezone("UTC")));
    }
    for nth in 0..answer.group_tags.len() {
        let mut values = StringViewBuilder::new();
        rows.iter().for_each(|(key, _)| match &key.1[nth] {
            Tag::Present(text) => values.append_value(text),
            Tag::Absent => values.append_null(),
        });
        arrays.push(Arc::new(values.finish()));
    }
    for (nth, column) in answer.columns.iter().enumerate() {
        let field = answer.schema().field(arrays.len()).data_type().clone();
        arrays.push(array(&field, rows.iter().map(|(_, states)| states[nth].answer(column))));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(answer.schema(), arrays, &options).expect("arrays are built to the schema"))
}

/// The start of a bucket as a timestamp.
pub(super) fn start_ns(start: i128) -> Result<i64> {
    let out_of_range = |_| Error::Limit { what: "ns by which a bucket starts before all time", found: 1, limit: 0 };
    i64::try_from(start).map_err(out_of_range)
}

/// The groups of the buckets that are asked for, in order.
fn limited<'a>(answer: &Answer, groups: &'a Groups) -> Vec<(&'a Key, &'a Vec<State>)> {
    let Some(limit) = answer.limit else { return groups.iter().collect() };
    let buckets: BTreeSet<Option<i128>> = groups.keys().map(|key| key.0).collect();
    let kept: Vec<_> = match limit.descending {
        true => buckets.into_iter().rev().take(limit.buckets).collect(),
        false => buckets.into_iter().take(limit.buckets).collect(),
    };
    kept.iter().flat_map(|bucket| groups.iter().filter(move |(key, _)| key.0 == *bucket)).collect()
}

fn array(kind: &DataType, data: impl Iterator<Item = Option<Datum>>) -> ArrayRef {
    macro_rules! collect {
        ($builder:expr, $datum:pat => $value:expr) => {{
            let mut builder = $builder;
            for datum in data {
                match datum {
                    Some($datum) => builder.append_value($value),
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    match kind {
        DataType::Float64 => collect!(Float64Builder::new(), Datum::Value(Value::Float(v)) => v),
        DataType::UInt64 => collect!(UInt64Builder::new(), Datum::Value(Value::Unsigned(v)) => v),
        DataType::Boolean => collect!(BooleanBuilder::new(), Datum::Value(Value::Boolean(v)) => v),
        DataType::Utf8View => collect!(StringViewBuilder::new(), Datum::Value(Value::Text(v)) => v),
        DataType::Decimal128(..) => {
            collect!(Decimal128Builder::new().with_data_type(kind.clone()), Datum::Decimal(v) => v)
        }
        DataType::Timestamp(..) => {
            let times = data.map(|datum| match datum {
                Some(Datum::Value(Value::Integer(v))) => Some(v),
                _ => None,
            });
            Arc::new(times.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
        }
        _ => collect!(Int64Builder::new(), Datum::Value(Value::Integer(v)) => v),
    }
}
