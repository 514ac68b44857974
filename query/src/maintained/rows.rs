//! The rows of a KPI as they are kept: in an internal table of the engine, dimensions as tags, what is measured as fields.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewBuilder, TimestampNanosecondArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, Schema, TimeUnit, TimestampNanosecondType,
};
use datafusion::error::DataFusionError;
use plimsoll_engine::{
    Column, ColumnKind, CompareOp, Engine, FieldPredicate, FieldTest, FieldType, Point, ScanRequest, Snapshot,
    TimeRange, Value,
};

use crate::relation::{Measure, Shape, TIME};
use crate::{Error, OutputColumn, Result};

/// The column that every row has a value in, so that one without a value is kept too.
const VERSION: &str = "version";

/// A tag cannot be empty; this stands for an empty dimension.
pub(super) const EMPTY: &str = "\u{1}";

/// A number as it is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    Float(f64),
}

impl Number {
    /// The same but for rounding, which depends on the order in which numbers were added.
    fn is_about(self, other: Number) -> bool {
        match (self, other) {
            (Number::Float(a), Number::Float(b)) => {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
            }
            _ => self == other,
        }
    }

    pub(super) fn json(self) -> serde_json::Value {
        match self {
            Number::Integer(number) => number.into(),
            Number::Float(number) => number.into(),
        }
    }
}

/// Time in nanoseconds since the Unix epoch, and dimensions as texts.
pub(super) type Key = (i64, Vec<Option<String>>);

/// What was measured, in the order of the columns of the [`Layout`].
pub(super) type Measured = Vec<Option<Number>>;

pub(super) type Rows = BTreeMap<Key, Measured>;

/// How the rows of a KPI are laid out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub(super) dimensions: Vec<String>,
    /// Names and types of what is measured.
    pub(super) measures: Vec<(String, FieldType)>,
}

impl Layout {
    /// Reads the columns of a KPI's query.
    ///
    /// # Errors
    /// A part of a sentence that says what cannot be kept.
    pub(super) fn new(shape: &Shape, types: impl Fn(&str) -> Option<DataType>) -> Result<Layout, String> {
        let measures = match shape.measure {
            Measure::Value => vec![("value".to_owned(), FieldType::Float)],
            Measure::Ratio => {
                ["good", "total"].map(|name| field(name, types(name))).into_iter().collect::<Result<_, _>>()?
            }
        };
        Ok(Layout { dimensions: shape.dimensions.clone(), measures })
    }

    /// Reads the columns of a view: those that `is_dimension` is true of tell its rows of one time apart.
    ///
    /// # Errors
    /// A part of a sentence that says what cannot be kept.
    pub(super) fn of_view(columns: &[OutputColumn], is_dimension: impl Fn(&str) -> bool) -> Result<Layout, String> {
        let mut layout = Layout { dimensions: Vec::new(), measures: Vec::new() };
        let ours: Vec<String> = super::scores::columns().map(|column| column.name).collect();
        for column in columns.iter().filter(|column| column.name != TIME) {
            if column.name == VERSION || ours.contains(&column.name) {
                return Err(format!("its column \"{}\" needs another name", column.name));
            }
            match is_dimension(&column.name) {
                true => layout.dimensions.push(column.name.clone()),
                false => layout.measures.push(field(&column.name, Some(column.data_type.clone()))?),
            }
        }
        Ok(layout)
    }

    pub(super) fn columns(&self) -> Vec<Column> {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let tags = self.dimensions.iter().map(|name| column(name, ColumnKind::Tag));
        let fields = self.measures.iter().map(|(name, kind)| column(name, ColumnKind::Field(*kind)));
        let version = column(VERSION, ColumnKind::Field(FieldType::Integer));
        tags.chain(fields).chain([version]).chain(super::scores::columns()).collect()
    }

    /// The rows of batches that have `time`, the dimensions and what is measured among their columns.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when two rows have the same time and dimensions, [`Error::NumericRange`] for a count beyond 64 bits.
    pub(super) fn rows(&self, batches: &[RecordBatch]) -> Result<Rows> {
        let mut rows = Rows::new();
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            let column = |name: &str| {
                let column = batch.column_by_name(name);
                column.ok_or_else(|| Error::Internal(format!("no column {name}")))
            };
            let zone = match column("time")?.data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            let times = as_type(column("time")?, &DataType::Timestamp(TimeUnit::Nanosecond, zone))?;
            let times = times.as_primitive::<TimestampNanosecondType>();
            let texts = self.dimensions.iter().map(|name| as_type(column(name)?, &DataType::Utf8));
            let texts = texts.collect::<Result<Vec<_>>>()?;
            let measures = self.measures.iter().map(|(name, kind)| match kind {
                FieldType::Integer => as_type(column(name)?, &DataType::Int64),
                _ => as_type(column(name)?, &DataType::Float64),
            });
            let measures = measures.collect::<Result<Vec<_>>>()?;
            for row in (0..batch.num_rows()).filter(|row| times.is_valid(*row)) {
                let text = |column: &ArrayRef| {
                    let column = column.as_string::<i32>();
                    column.is_valid(row).then(|| column.value(row).to_owned())
                };
                let number = |column: &ArrayRef| match column.data_type() {
                    _ if column.is_null(row) => None,
                    DataType::Int64 => Some(Number::Integer(column.as_primitive::<Int64Type>().value(row))),
                    _ => Some(Number::Float(column.as_primitive::<Float64Type>().value(row))),
                };
                let key = (times.value(row), texts.iter().map(text).collect());
                if rows.insert(key, measures.iter().map(number).collect()).is_some() {
                    let what = "two rows have the same time and dimensions".to_owned();
                    return Err(Error::Unsupported { what, position: None, hint: None });
                }
            }
        }
        Ok(rows)
    }

    /// The rows that are kept of `[start, end)`.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) fn kept(&self, table: &str, snapshot: &Snapshot, start_ns: i64, end_ns: i64) -> Result<Rows> {
        self.read(table, snapshot, start_ns, end_ns, None)
    }

    /// Which of them have a verdict of a definition of their baseline.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) fn judged(
        &self,
        table: &str,
        snapshot: &Snapshot,
        start_ns: i64,
        end_ns: i64,
        baseline: u64,
    ) -> Result<BTreeSet<Key>> {
        let is_this = FieldPredicate {
            field: super::scores::JUDGE.to_owned(),
            test: FieldTest::Compare(CompareOp::Equal, Value::Integer(baseline.cast_signed())),
        };
        Ok(self.read(table, snapshot, start_ns, end_ns, Some(is_this))?.into_keys().collect())
    }

    fn read(
        &self,
        table: &str,
        snapshot: &Snapshot,
        start_ns: i64,
        end_ns: i64,
        test: Option<FieldPredicate>,
    ) -> Result<Rows> {
        let names = self.dimensions.iter().map(String::as_str);
        let columns = ["time"].into_iter().chain(names).chain(self.measures.iter().map(|(name, _)| name.as_str()));
        let request = ScanRequest {
            time: TimeRange { min_ns: start_ns, max_ns: end_ns.saturating_sub(1) },
            predicates: test.into_iter().collect(),
            ..ScanRequest::new(table, columns)
        };
        let mut batches = Vec::new();
        for part in snapshot.scan(&request).map_err(Error::Engine)? {
            for batch in part {
                batches.push(batch.map_err(Error::Engine)?);
            }
        }
        let full = |text: Option<String>| text.map(|text| if text == EMPTY { String::new() } else { text });
        let rows = self.rows(&batches)?.into_iter();
        Ok(rows.map(|((time_ns, of), row)| ((time_ns, of.into_iter().map(full).collect()), row)).collect())
    }

    /// Makes the kept rows of a time what they should be, durably.
    ///
    /// # Errors
    /// Those of the engine; some of the changes may be made then.
    pub(super) fn put(&self, table: &str, version: i64, difference: &Difference, engine: &Engine) -> Result<()> {
        if !difference.gone.is_empty() {
            engine.delete_points(table, &[self.points(&difference.gone)?]).map_err(Error::Engine)?;
        }
        if difference.put.is_empty() {
            return Ok(());
        }
        let mut write = engine.begin_internal_write().map_err(Error::Engine)?;
        for ((time_ns, dimensions), measured) in &difference.put {
            let measures = self.measures.iter().zip(measured).filter_map(|((name, _), number)| {
                let value = match (*number)? {
                    Number::Integer(number) => Value::Integer(number),
                    Number::Float(number) => Value::Float(number),
                };
                Some((Cow::Borrowed(name.as_str()), value))
            });
            let version = (Cow::Borrowed(VERSION), Value::Integer(version));
            let point = Point {
                table: Cow::Borrowed(table),
                tags: self.tags(dimensions),
                fields: measures.chain([version]).collect(),
                time_ns: *time_ns,
            };
            write.add(&point).map_err(Error::Engine)?;
        }
        write.commit().map_err(Error::Engine)?;
        Ok(())
    }

    /// Dimensions as the tags of a point.
    pub(super) fn tags<'a>(&'a self, dimensions: &'a [Option<String>]) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
        let tags = self.dimensions.iter().zip(dimensions).filter_map(|(name, text)| {
            let text = text.as_deref()?;
            Some((Cow::Borrowed(name.as_str()), Cow::Borrowed(if text.is_empty() { EMPTY } else { text })))
        });
        tags.collect()
    }

    fn points(&self, keys: &[Key]) -> Result<RecordBatch> {
        let times: TimestampNanosecondArray = keys.iter().map(|(time_ns, _)| Some(*time_ns)).collect();
        let mut fields = vec![Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, None), false)];
        let mut columns: Vec<ArrayRef> = vec![std::sync::Arc::new(times)];
        for (at, name) in self.dimensions.iter().enumerate() {
            let mut texts = StringViewBuilder::new();
            for (_, dimensions) in keys {
                texts.append_option(dimensions[at].as_deref().map(|text| if text.is_empty() { EMPTY } else { text }));
            }
            fields.push(Field::new(name, DataType::Utf8View, true));
            columns.push(std::sync::Arc::new(texts.finish()));
        }
        let batch = RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns);
        Ok(batch.map_err(DataFusionError::from)?)
    }
}

/// What makes kept rows the ones that they should be.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Difference {
    /// Rows that are new or other ones.
    pub(super) put: Vec<(Key, Measured)>,
    /// Rows that are not there any more.
    pub(super) gone: Vec<Key>,
    pub(super) changed: Vec<Change>,
}

/// What changed of a row; `None` where there is no row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) before: Option<Measured>,
    pub(super) after: Option<Measured>,
}

impl Difference {
    pub(super) fn of(kept: &Rows, computed: Rows) -> Difference {
        let mut difference = Difference::default();
        for (key, before) in kept.iter().filter(|(key, _)| !computed.contains_key(*key)) {
            difference.gone.push(key.clone());
            difference.changed.push(Change { key: key.clone(), before: Some(before.clone()), after: None });
        }
        for (key, after) in computed {
            let before = kept.get(&key);
            let is_same = |before: &Measured| {
                before.iter().zip(&after).all(|pair| match pair {
                    (Some(before), Some(after)) => before.is_about(*after),
                    (before, after) => before.is_none() && after.is_none(),
                })
            };
            if before.is_some_and(is_same) {
                continue;
            }
            // A value that became unknown leaves its field in the point, unless the point goes first.
            if before.is_some_and(|before| before.iter().zip(&after).any(|(old, new)| old.is_some() && new.is_none())) {
                difference.gone.push(key.clone());
            }
            let change = Change { key: key.clone(), before: before.cloned(), after: Some(after.clone()) };
            difference.changed.push(change);
            difference.put.push((key, after));
        }
        difference
    }
}

/// How a number is kept.
fn field(name: &str, data_type: Option<DataType>) -> Result<(String, FieldType), String> {
    let kind = match data_type {
        Some(DataType::Decimal128(_, 0)) => FieldType::Integer,
        Some(DataType::UInt64) => return Err(format!("{name} may be beyond 64 bits")),
        Some(data_type) if data_type.is_integer() => FieldType::Integer,
        Some(DataType::Decimal128(..)) => return Err(format!("{name} is a decimal with a fraction")),
        _ => FieldType::Float,
    };
    Ok((name.to_owned(), kind))
}

fn as_type(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, data_type, &options).map_err(|error| Error::from(DataFusionError::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_what_is_new_other_or_gone() {
        let key = |time_ns: i64, name: &str| (time_ns, vec![Some(name.to_owned())]);
        let one = |value: f64| vec![Some(Number::Float(value))];
        let kept = Rows::from([
            (key(1, "same"), one(0.1 + 0.2)),
            (key(1, "other"), one(1.0)),
            (key(2, "gone"), one(2.0)),
            (key(2, "unknown"), one(3.0)),
        ]);
        let computed = Rows::from([
            (key(1, "same"), one(0.3)),
            (key(1, "other"), one(1.5)),
            (key(2, "new"), one(4.0)),
            (key(2, "unknown"), vec![None]),
        ]);
        let difference = Difference::of(&kept, computed);
        let put: Vec<_> = difference.put.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(put, [key(1, "other"), key(2, "new"), key(2, "unknown")]);
        assert_eq!(difference.gone, [key(2, "gone"), key(2, "unknown")]);
        assert_eq!(difference.changed.len(), 4);
    }
}
