//! Rows that statements write.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{Float64Type, Int64Type, TimestampNanosecondType};

use datafusion::error::DataFusionError;

use super::{Held, Row, Table, Transaction, Type, Value};
use crate::{Database, Result};

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
        let (batches, definitions) = (self.typed(batches)?, database.catalog().definitions());
        database.ops().transaction(&self.actor, now_ns, |transaction| {
            let mut written = 0;
            for batch in &batches {
                for at in 0..batch.num_rows() {
                    written += u64::from(self.insert_one(self.values(batch, at), transaction)?);
                }
            }
            super::check::references(transaction, self.table, &definitions)?;
            Ok(written)
        })
    }

    /// Inserts one row, the values of the writer's columns. Gives whether it was inserted or changed one.
    fn insert_one(&self, values: Row, transaction: &mut Transaction<'_>) -> Result<bool> {
        let mut row = vec![None; self.table.columns.len()];
        for (column, value) in self.columns.iter().zip(values) {
            row[*column] = value;
        }
        let given = |at| self.columns.contains(&at);
        let Some(conflict) = &self.conflict else {
            return transaction.insert_row(self.table, row, &given).map(|_| true);
        };
        // A number that the table gives is nobody's yet: a key is looked for among what the statement names.
        let held = transaction.held(self.table);
        let Some(number) = held.holder_of(&row, &conflict.key) else {
            return transaction.insert_row(self.table, row, &given).map(|_| true);
        };
        if conflict.set.is_empty() {
            return Ok(false);
        }
        let mut changed = held.rows().get(&number).map(|old| (**old).clone()).unwrap_or_default();
        changed.resize(self.table.columns.len(), None);
        for column in &conflict.set {
            changed[*column].clone_from(&row[*column]);
        }
        transaction.replace(self.table, number, changed)?;
        Ok(true)
    }

    /// Changes rows: batches hold the numbers of the rows, then the new values of the columns. `before` are the rows as they were
    /// when the statement began to read them. Gives how many there were; `None` when one of them has changed since, so that
    /// what was made of it no longer holds.
    ///
    /// # Errors
    /// As [`Writer::insert`].
    pub(crate) fn update(
        &self,
        numbers: &[u64],
        batches: &[RecordBatch],
        before: &Held,
        database: &Database,
        now_ns: i64,
    ) -> Result<Option<u64>> {
        let (batches, definitions) = (self.typed(batches)?, database.catalog().definitions());
        database.ops().transaction(&self.actor, now_ns, |transaction| {
            let held = transaction.held(self.table);
            if !unchanged(numbers, before, &held) {
                return Ok(None);
            }
            let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |at| (batch, at)));
            // Keys may move from row to row, so those of all go first.
            let mut changed = Vec::new();
            for (number, (batch, at)) in numbers.iter().zip(rows) {
                let mut row = held.rows().get(number).map(|old| (**old).clone()).unwrap_or_default();
                row.resize(self.table.columns.len(), None);
                for (column, value) in self.columns.iter().zip(self.values(batch, at)) {
                    row[*column] = value;
                }
                changed.push((*number, row));
            }
            let written = changed.len() as u64;
            transaction.replace_all(self.table, changed)?;
            super::check::references(transaction, self.table, &definitions)?;
            Ok(Some(written))
        })
    }

    /// Removes rows by their numbers. Gives how many there were, as [`Writer::update`] does.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub(crate) fn delete(
        &self,
        numbers: &[u64],
        before: &Held,
        database: &Database,
        now_ns: i64,
    ) -> Result<Option<u64>> {
        database.ops().transaction(&self.actor, now_ns, |transaction| {
            if !unchanged(numbers, before, &transaction.held(self.table)) {
                return Ok(None);
            }
            let removed = numbers.iter().filter(|number| transaction.remove(self.table, **number)).count();
            Ok(Some(removed as u64))
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
}

/// Whether rows are still those that a statement has read.
fn unchanged(numbers: &[u64], before: &Held, now: &Held) -> bool {
    numbers.iter().all(|number| before.rows().get(number) == now.rows().get(number))
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
