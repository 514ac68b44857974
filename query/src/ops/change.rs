//! Rows that are written: defaults, checks, keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{Float64Type, Int64Type, TimestampNanosecondType};

use datafusion::error::DataFusionError;

use super::schema::{Check, Column, Default};
use super::{Row, Rows, Table, Type, Value};
use crate::analysis::recurrence::Recurring;
use crate::{Database, Error, Result};

/// Writes rows of one statement.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) table: &'static Table,
    /// The columns that rows are given for, by position.
    pub(crate) columns: Vec<usize>,
    pub(crate) conflict: Option<Conflict>,
    pub(crate) actor: Arc<str>,
}

/// What to do with a row whose key is there already.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Conflict {
    /// The columns of the key; any key without.
    pub(crate) key: Vec<usize>,
    /// The columns that are taken from the new row; none leaves the old one as it is.
    pub(crate) set: Vec<usize>,
}

impl Writer {
    /// Inserts rows. Gives how many were inserted or changed.
    ///
    /// # Errors
    /// [`Error::NotNull`], [`Error::Check`], [`Error::DuplicateKey`]; then nothing has changed.
    pub(crate) fn insert(&self, batches: &[RecordBatch], database: &Database, now_ns: i64) -> Result<u64> {
        let batches = self.typed(batches)?;
        let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |at| self.values(batch, at)));
        self.insert_rows(rows, database, now_ns)
    }

    /// Inserts rows, each the values of the writer's columns. Gives how many were inserted or changed.
    ///
    /// # Errors
    /// As [`Writer::insert`].
    pub(super) fn insert_rows(
        &self,
        given: impl Iterator<Item = Row>,
        database: &Database,
        now_ns: i64,
    ) -> Result<u64> {
        database.ops().change(self.table, |old| {
            let mut rows = old.clone();
            let mut keys = Keys::of(self.table, &rows)?;
            let mut largest = largest_ids(self.table, &rows);
            let mut written = 0;
            for values in given {
                let mut row = vec![None; self.table.columns.len()];
                for (column, value) in self.columns.iter().zip(values) {
                    row[*column] = value;
                }
                self.fill(&mut row, now_ns, &mut largest);
                let Some(held) = keys.holder_of(self.table, &row, self.conflict.as_ref()) else {
                    check(self.table, &row)?;
                    let next = rows.keys().next_back().map_or(0, |last| last + 1);
                    keys.add(self.table, next, &row)?;
                    rows.insert(next, row);
                    written += 1;
                    continue;
                };
                let set: Vec<usize> = self.conflict.iter().flat_map(|conflict| conflict.set.iter().copied()).collect();
                if set.is_empty() {
                    continue;
                }
                let mut changed = rows.get(&held).cloned().unwrap_or_default();
                changed.resize(self.table.columns.len(), None);
                for column in set {
                    changed[column].clone_from(&row[column]);
                }
                check(self.table, &changed)?;
                keys.remove(self.table, &rows[&held]);
                keys.add(self.table, held, &changed)?;
                rows.insert(held, changed);
                written += 1;
            }
            Ok((rows, written))
        })
    }

    /// Changes rows: batches hold the numbers of the rows, then the new values of the columns. Gives how many there were.
    ///
    /// # Errors
    /// As [`Writer::insert`].
    pub(crate) fn update(&self, ids: &[u64], batches: &[RecordBatch], database: &Database) -> Result<u64> {
        database.ops().change(self.table, |old| {
            let mut rows = old.clone();
            let mut written = 0;
            let mut ids = ids.iter();
            for batch in &self.typed(batches)? {
                for at in 0..batch.num_rows() {
                    // A row that is gone since it was read is not changed.
                    let Some(row) = ids.next().and_then(|id| rows.get_mut(id)) else { continue };
                    row.resize(self.table.columns.len(), None);
                    for (column, value) in self.columns.iter().zip(self.values(batch, at)) {
                        row[*column] = value;
                    }
                    check(self.table, row)?;
                    written += 1;
                }
            }
            Keys::of(self.table, &rows)?;
            Ok((rows, written))
        })
    }

    /// Removes rows by their numbers. Gives how many there were.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub(crate) fn delete(table: &'static Table, ids: &[u64], database: &Database) -> Result<u64> {
        database.ops().change(table, |old| {
            let mut rows = old.clone();
            let removed = ids.iter().filter(|id| rows.remove(id).is_some()).count();
            Ok((rows, removed as u64))
        })
    }

    /// The columns that are given, each in the type that its values are read from.
    fn typed(&self, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        let zone = "UTC".into();
        let one = |batch: &RecordBatch| {
            let given = batch.columns().iter().skip(batch.num_columns() - self.columns.len());
            let columns = given.zip(&self.columns).map(|(array, at)| {
                let column = &self.table.columns[*at];
                Ok((column.name, cast(array, &column.data_type.arrow(&zone))?))
            });
            let columns = columns.collect::<datafusion::arrow::error::Result<Vec<_>>>()?;
            RecordBatch::try_from_iter(columns)
        };
        batches.iter().map(|batch| Ok(one(batch).map_err(DataFusionError::from)?)).collect()
    }

    fn values(&self, batch: &RecordBatch, at: usize) -> Vec<Option<Value>> {
        let cells = batch.columns().iter().zip(&self.columns);
        cells.map(|(array, column)| value(array, at, self.table.columns[*column].data_type)).collect()
    }

    /// Gives columns that are NULL their defaults.
    fn fill(&self, row: &mut Row, now_ns: i64, largest: &mut [i64]) {
        for (at, column) in self.table.columns.iter().enumerate() {
            let is_given = self.columns.contains(&at);
            if row[at].is_none() && (!is_given || column.default == Default::NextId) {
                row[at] = match column.default {
                    Default::Null | Default::Required => None,
                    Default::NextId => Some(Value::Integer(largest[at] + 1)),
                    Default::Now => Some(Value::Time(now_ns)),
                    Default::Actor => Some(Value::Text(self.actor.to_string())),
                    Default::Text(text) => Some(Value::Text(text.to_owned())),
                    Default::Integer(number) => Some(Value::Integer(number)),
                };
            }
            if let Some(Value::Integer(number)) = row[at] {
                largest[at] = number.max(largest[at]);
            }
        }
    }
}

/// The largest integers of each column, 0 where there are none.
fn largest_ids(table: &Table, rows: &Rows) -> Vec<i64> {
    let largest = |at| {
        let of_row = |row: &Row| match row.get(at) {
            Some(Some(Value::Integer(number))) => Some(*number),
            _ => None,
        };
        rows.values().filter_map(of_row).max().unwrap_or(0)
    };
    (0..table.columns.len()).map(largest).collect()
}

fn value(array: &dyn Array, at: usize, data_type: Type) -> Option<Value> {
    if array.is_null(at) {
        return None;
    }
    Some(match data_type {
        Type::Text => Value::Text(array.as_string::<i32>().value(at).to_owned()),
        Type::Integer => Value::Integer(array.as_primitive::<Int64Type>().value(at)),
        Type::Float => Value::Float(array.as_primitive::<Float64Type>().value(at)),
        Type::Boolean => Value::Boolean(array.as_boolean().value(at)),
        Type::Time => Value::Time(array.as_primitive::<TimestampNanosecondType>().value(at)),
    })
}

/// Checks each value of a row.
fn check(table: &Table, row: &Row) -> Result<()> {
    for (column, value) in table.columns.iter().zip(row) {
        let Some(value) = value else {
            if matches!(column.default, Default::Required | Default::NextId) {
                return Err(Error::NotNull { column: column.name.to_owned(), table: table.name.to_owned() });
            }
            continue;
        };
        if let Some(hint) = violated(table, column, value, row) {
            let (table, column) = (table.name.to_owned(), column.name.to_owned());
            return Err(Error::Check { table, column, hint });
        }
    }
    Ok(())
}

/// What is wrong with a value.
fn violated(table: &Table, column: &Column, value: &Value, row: &Row) -> Option<String> {
    let one_of = |words: &[&str]| format!("It is one of {}.", words.join(", "));
    match (column.check, value) {
        (Check::OneOf(words), Value::Text(text)) => (!words.contains(&text.as_str())).then(|| one_of(words)),
        (Check::SomeOf(words), Value::Text(text)) => {
            let all = text.split(',').all(|word| words.contains(&word.trim()));
            (!all).then(|| format!("It is some of {}, with commas between.", words.join(", ")))
        }
        (Check::Between(least, most), Value::Integer(number)) => {
            (!(least..=most).contains(number)).then(|| match most {
                i64::MAX => format!("It is at least {least}."),
                most => format!("It is from {least} to {most}."),
            })
        }
        (Check::NotBefore(first), Value::Time(ns)) => match table.position(first).and_then(|at| row[at].as_ref()) {
            Some(Value::Time(earlier)) if ns < earlier => Some(format!("It is not before {first}.")),
            _ => None,
        },
        (Check::Json, Value::Text(text)) => {
            serde_json::from_str::<serde::de::IgnoredAny>(text).err().map(|error| format!("It is JSON: {error}."))
        }
        (Check::Zone, Value::Text(text)) => text
            .parse::<chrono_tz::Tz>()
            .err()
            .map(|_| "It is the name of a time zone, such as Europe/Berlin.".to_owned()),
        (Check::Day, Value::Text(text)) => {
            text.parse::<chrono::NaiveDate>().err().map(|_| "It is a day such as 2026-12-25.".to_owned())
        }
        (Check::Recurrence, Value::Text(rule)) => {
            let start_ns = match table.position("starts_at").and_then(|at| row[at].as_ref()) {
                Some(Value::Time(ns)) => *ns,
                _ => 0,
            };
            let rule = Some(rule.clone());
            Recurring { start_ns, end_ns: start_ns, rule, zone: chrono_tz::UTC }.check().err()
        }
        _ => None,
    }
}

/// Who holds which key.
struct Keys(Vec<BTreeMap<Vec<String>, u64>>);

impl Keys {
    fn of(table: &Table, rows: &Rows) -> Result<Keys> {
        let mut keys = Keys(vec![BTreeMap::new(); table.unique.len()]);
        rows.iter().try_for_each(|(id, row)| keys.add(table, *id, row))?;
        Ok(keys)
    }

    /// A row's values of a key; `None` where one of them is NULL, which is like no other.
    fn key(table: &Table, columns: &[&str], row: &Row) -> Option<Vec<String>> {
        let value = |name: &&str| row.get(table.position(name)?)?.as_ref().map(|value| format!("{value:?}"));
        columns.iter().map(value).collect()
    }

    fn add(&mut self, table: &Table, id: u64, row: &Row) -> Result<()> {
        for (held, columns) in self.0.iter_mut().zip(table.unique) {
            let Some(key) = Keys::key(table, columns, row) else { continue };
            if held.insert(key, id).is_some_and(|other| other != id) {
                let (table, columns) = (table.name.to_owned(), columns.join(", "));
                return Err(Error::DuplicateKey { table, columns });
            }
        }
        Ok(())
    }

    fn remove(&mut self, table: &Table, row: &Row) {
        for (held, columns) in self.0.iter_mut().zip(table.unique) {
            if let Some(key) = Keys::key(table, columns, row) {
                held.remove(&key);
            }
        }
    }

    /// The row that holds one of the keys of a new row, if that is to be dealt with.
    fn holder_of(&self, table: &Table, row: &Row, conflict: Option<&Conflict>) -> Option<u64> {
        let conflict = conflict?;
        self.0.iter().zip(table.unique).find_map(|(held, columns)| {
            let positions: Vec<usize> = columns.iter().filter_map(|name| table.position(name)).collect();
            let is_meant = conflict.key.is_empty() || conflict.key == positions;
            is_meant.then(|| held.get(&Keys::key(table, columns, row)?).copied()).flatten()
        })
    }
}
