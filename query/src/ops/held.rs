//! The rows of one table in memory, with their keys. Cheap to copy: copies share what is the same.

use std::sync::Arc;

use imbl::OrdMap;

use super::schema::{Column, Default, First, Table, Type};
use super::{Row, Value, check};
use crate::{Error, Result};

/// Rows by their number. Numbers are given in order and none is given twice.
pub(crate) type Rows = OrdMap<u64, Arc<Row>>;

/// What tells a row from others, in the order of the columns of the key.
type Key = Vec<String>;

/// The rows of a table.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    table: &'static Table,
    rows: Rows,
    /// Who holds which key, for each of the table's.
    keys: Vec<OrdMap<Key, u64>>,
    /// The number of the next row.
    next: u64,
    /// The largest of the numbers that the table gives to its rows itself.
    last_id: i64,
}

impl Held {
    /// The rows of a table. `next` is above all numbers that rows ever had.
    ///
    /// # Errors
    /// [`Error::DuplicateKey`].
    pub(super) fn new(table: &'static Table, rows: Rows, next: u64) -> Result<Held> {
        let next = rows.get_max().map_or(next, |(last, _)| next.max(last.saturating_add(1)));
        let keys = vec![OrdMap::new(); table.unique.len()];
        let mut held = Held { table, rows: Rows::new(), keys, next, last_id: 0 };
        for (number, row) in rows {
            held.take_keys(number, &row)?;
            held.enter(number, row);
        }
        Ok(held)
    }

    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Fills a row that the caller began with what the table gives by itself: `given` says which columns were named.
    ///
    /// # Errors
    /// [`Error::Check`] when no number is left.
    pub(super) fn fill(&self, row: &mut Row, given: &dyn Fn(usize) -> bool, actor: &str, now_ns: i64) -> Result<()> {
        for (at, column) in self.table.columns.iter().enumerate() {
            if row[at].is_some() || (given(at) && column.default != Default::NextId) {
                continue;
            }
            row[at] = match column.default {
                Default::Null | Default::Required => None,
                Default::NextId => Some(Value::Integer(self.next_id(column)?)),
                Default::Now => Some(Value::Time(now_ns)),
                Default::Actor => Some(Value::Text(actor.to_owned())),
                Default::Text(text) => Some(Value::Text(text.to_owned())),
                Default::Integer(number) => Some(Value::Integer(number)),
            };
        }
        Ok(())
    }

    /// A number that no row has had.
    fn next_id(&self, column: &Column) -> Result<i64> {
        let rows = i64::try_from(self.next).unwrap_or(i64::MAX);
        self.last_id.max(rows).checked_add(1).ok_or_else(|| Error::Check {
            table: self.table.name.to_owned(),
            column: column.name.to_owned(),
            hint: "No number is left: a row has the largest one there is.".to_owned(),
        })
    }

    /// Adds a row. Gives its number.
    ///
    /// # Errors
    /// [`Error::NotNull`], [`Error::Check`], [`Error::DuplicateKey`]; then nothing has changed.
    pub(super) fn insert(&mut self, row: Row) -> Result<u64> {
        check::row(self.table, &row)?;
        let number = self.next;
        self.take_keys(number, &row)?;
        self.enter(number, Arc::new(row));
        Ok(number)
    }

    /// Puts another row in the place of one that is there.
    ///
    /// # Errors
    /// As [`Held::insert`].
    pub(super) fn replace(&mut self, number: u64, row: Row) -> Result<()> {
        match self.rows.contains_key(&number) {
            true => self.replace_all(vec![(number, row)]),
            false => Ok(()),
        }
    }

    /// Puts other rows in the place of some that are there, all at once: a key may go from one of them to another.
    ///
    /// # Errors
    /// As [`Held::insert`].
    pub(super) fn replace_all(&mut self, rows: Vec<(u64, Row)>) -> Result<()> {
        rows.iter().try_for_each(|(_, row)| check::row(self.table, row))?;
        let mut changed = self.clone();
        for (number, _) in &rows {
            if let Some(old) = self.rows.get(number) {
                changed.give_keys_back(*number, old);
            }
        }
        for (number, row) in rows {
            changed.take_keys(number, &row)?;
            changed.enter(number, Arc::new(row));
        }
        *self = changed;
        Ok(())
    }

    /// Takes a row away. Gives whether there was one.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let Some(old) = self.rows.remove(&number) else { return false };
        self.give_keys_back(number, &old);
        true
    }

    /// The row that holds a key that a new row would have; `columns` is the key that is meant, any if empty.
    pub(super) fn holder_of(&self, row: &Row, columns: &[usize]) -> Option<u64> {
        self.keys.iter().zip(self.table.unique).find_map(|(held, names)| {
            let positions: Vec<usize> = names.iter().filter_map(|name| self.table.position(name)).collect();
            let is_meant = columns.is_empty() || columns == positions;
            is_meant.then(|| held.get(&key(self.table, names, row)?).copied()).flatten()
        })
    }

    /// The row with these values of one of the table's keys.
    pub(crate) fn find(&self, columns: &[&str], values: &[Value]) -> Option<(u64, &Arc<Row>)> {
        let at = self.table.unique.iter().position(|names| *names == columns)?;
        let key: Key = values.iter().map(key_part).collect();
        let number = self.keys[at].get(&key)?;
        Some((*number, self.rows.get(number)?))
    }

    fn enter(&mut self, number: u64, row: Arc<Row>) {
        self.next = self.next.max(number.saturating_add(1));
        for (column, value) in self.table.columns.iter().zip(row.iter()) {
            if let (Default::NextId, Some(Value::Integer(id))) = (column.default, value) {
                self.last_id = self.last_id.max(*id);
            }
        }
        self.rows.insert(number, row);
    }

    /// # Errors
    /// [`Error::DuplicateKey`]; then no key is taken.
    fn take_keys(&mut self, number: u64, row: &Row) -> Result<()> {
        for (held, names) in self.keys.iter().zip(self.table.unique) {
            let holder = key(self.table, names, row).and_then(|key| held.get(&key).copied());
            if holder.is_some_and(|holder| holder != number) {
                let (table, columns) = (self.table.name.to_owned(), names.join(", "));
                return Err(Error::DuplicateKey { table, columns });
            }
        }
        for (held, names) in self.keys.iter_mut().zip(self.table.unique) {
            if let Some(key) = key(self.table, names, row) {
                held.insert(key, number);
            }
        }
        Ok(())
    }

    fn give_keys_back(&mut self, number: u64, row: &Row) {
        for (held, names) in self.keys.iter_mut().zip(self.table.unique) {
            if let Some(key) = key(self.table, names, row)
                && held.get(&key) == Some(&number)
            {
                held.remove(&key);
            }
        }
    }
}

/// A row's values of a key; `None` where one of them is NULL, which is like no other.
fn key(table: &Table, names: &[&str], row: &Row) -> Option<Key> {
    let value = |name: &&str| row.get(table.position(name)?)?.as_ref().map(key_part);
    names.iter().map(value).collect()
}

fn key_part(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) | Value::Time(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
    }
}

/// The rows that a table begins with.
pub(super) fn at_first(table: &'static Table) -> Rows {
    let value = |(column, first): (&Column, &First)| match (column.data_type, first) {
        (Type::Integer, First::Number(number)) => Some(Value::Integer(*number as i64)),
        (_, First::Number(number)) => Some(Value::Float(*number)),
        (_, First::Text(text)) => Some(Value::Text((*text).to_owned())),
    };
    let row = |firsts: &&[First]| -> Row { table.columns.iter().zip(*firsts).map(value).collect() };
    (0u64..).zip(table.first.iter().map(|numbers| Arc::new(row(numbers)))).collect()
}
