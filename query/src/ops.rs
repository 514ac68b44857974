//! Facts that operations teams enter and services write: the tables of the schema `ops`.
//!
//! They are small, their rows change, and they have keys: what tables of time series are not. Rows are kept in one `redb` file and
//! in memory; readers take an immutable list of a table's rows.
//!
//! Invariants
//! - A row is in a list only after it is durable; a statement changes all of its rows or none.
//! - One transaction runs at a time; whoever has it holds the store.
//! - An UPDATE or DELETE changes the rows that it has read: when one of them has changed meanwhile, it reads again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use chrono::NaiveDate;
use datafusion::arrow::datatypes::DataType;

pub(crate) mod adjustment;
pub(crate) mod audit;
mod change;
mod check;
mod dml;
mod held;
mod inbound;
pub(crate) mod incident;
#[cfg(test)]
mod itsm;
mod schema;
pub(crate) mod seal;
mod source;
pub(crate) mod store;
#[cfg(test)]
mod tests;
mod transaction;

pub(crate) use change::{Conflict, Writer};
pub(crate) use dml::{Changing, Touched, column_of, named};
pub(crate) use held::{Held, Rows};
pub use inbound::Taken;
pub(crate) use schema::{Column, SCHEMA, TABLES, Table, Type, find, find_in};
pub(crate) use source::{OpsSource, WITH_ID};
pub(crate) use transaction::Transaction;

use crate::analysis::anomaly::Rebase;
use crate::analysis::recurrence::Recurring;
use crate::notify::Listeners;
use crate::{Database, Error, Result};
use store::Store;

/// A table of the schema `ops` or `sys` whose rows are kept here, as a catalogue lists it.
#[derive(Debug, Clone)]
pub struct OpsTable {
    /// The schema that it is in.
    pub schema: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What a row of it is.
    pub about: &'static str,
    /// Its columns.
    pub columns: Vec<OpsColumn>,
}

/// A column of such a table.
#[derive(Debug, Clone)]
pub struct OpsColumn {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub data_type: DataType,
    /// What it tells.
    pub about: &'static str,
}

/// All tables whose rows are kept here.
pub fn ops_tables() -> impl Iterator<Item = OpsTable> {
    let zone = "UTC".into();
    TABLES.iter().map(move |table| {
        let column = |column: &Column| OpsColumn {
            name: column.name,
            data_type: column.data_type.arrow(&zone),
            about: column.about,
        };
        OpsTable {
            schema: table.schema,
            name: table.name,
            about: table.about,
            columns: table.columns.iter().map(column).collect(),
        }
    })
}

/// A value.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// Nanoseconds since the Unix epoch.
    Time(i64),
}

/// The values of a row, in the order of the table's columns; rows that are older than a column are shorter.
pub(crate) type Row = Vec<Option<Value>>;

/// The tables of one database.
pub(crate) struct Ops {
    store: Mutex<Store>,
    tables: RwLock<Tables>,
    listeners: Listeners,
    /// The row of `sys.restatement` up to which sealed periods were looked at.
    restated: Mutex<u64>,
}

/// The rows of each table, by schema and name.
type Tables = BTreeMap<(&'static str, &'static str), Arc<Held>>;

impl Ops {
    /// Opens the tables of a data directory. Nothing is written until a row is.
    ///
    /// # Errors
    /// [`Error::Catalog`] when the file is there and cannot be read.
    pub(crate) fn open(dir: &Path) -> Result<Ops> {
        let mut store = Store::new(dir);
        let mut tables = BTreeMap::new();
        for table in TABLES {
            let (rows, next) = store.load(table)?.unwrap_or_else(|| (held::at_first(table), 0));
            tables.insert(table.id(), Arc::new(Held::new(table, rows, next)?));
        }
        Ok(Ops {
            store: Mutex::new(store),
            tables: RwLock::new(tables),
            listeners: Listeners::default(),
            restated: Mutex::new(0),
        })
    }

    /// Those who are told of what is written.
    pub(crate) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// A table now.
    pub(crate) fn held(&self, table: &'static Table) -> Arc<Held> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(&table.id()).cloned().unwrap_or_else(|| unreachable!("all tables are opened together"))
    }

    /// The rows of a table now.
    pub(crate) fn rows(&self, table: &'static Table) -> Rows {
        self.held(table).rows().clone()
    }

    /// Changes rows of any tables, all or none of them. No other transaction runs meanwhile.
    ///
    /// # Errors
    /// Those of `work`, and [`Error::Catalog`]; then nothing has changed.
    pub(crate) fn transaction<T>(
        &self,
        actor: &Arc<str>,
        now_ns: i64,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut transaction = Transaction::new(self, self.store(), actor, now_ns);
        let answer = work(&mut transaction)?;
        incident::follow(&mut transaction)?;
        adjustment::follow(&mut transaction)?;
        transaction.audit()?;
        transaction.commit()?;
        Ok(answer)
    }

    /// The buckets of the rows of `sys.restatement` that are new since this was asked last, in nanoseconds since the Unix epoch.
    /// All are new once.
    ///
    /// # Errors
    /// None: the table is there.
    pub(crate) fn newly_restated(&self) -> Result<Vec<i64>> {
        let table = incident::of_system("restatement")?;
        let rows = self.rows(table);
        let mut known = self.restated.lock().unwrap_or_else(PoisonError::into_inner);
        let new = rows.range(*known..).filter_map(|(_, row)| Named::new(table, row).time_ns("bucket")).collect();
        *known = rows.keys().next_back().map_or(*known, |last| last + 1);
        Ok(new)
    }

    /// Does something while no transaction runs; `None` when one runs now.
    pub(crate) fn at_rest<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let _held = match self.store.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(work())
    }

    /// Waits until no transaction runs.
    pub(crate) fn wait(&self) {
        drop(self.store());
    }

    fn publish(&self, changed: Tables) {
        self.tables.write().unwrap_or_else(PoisonError::into_inner).extend(changed);
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Ops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ops").finish_non_exhaustive()
    }
}

/// A row of a table, read by the names of its columns.
pub(crate) struct Named<'a> {
    table: &'static Table,
    row: &'a Row,
}

impl<'a> Named<'a> {
    pub(crate) fn new(table: &'static Table, row: &'a Row) -> Named<'a> {
        Named { table, row }
    }

    pub(crate) fn integer(&self, column: &str) -> Option<i64> {
        match self.value(column)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn boolean(&self, column: &str) -> Option<bool> {
        match self.value(column)? {
            Value::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    fn value(&self, column: &str) -> Option<&'a Value> {
        self.row.get(self.table.position(column)?)?.as_ref()
    }

    pub(crate) fn text(&self, column: &str) -> Option<&'a str> {
        match self.value(column)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, column: &str) -> Option<f64> {
        match self.value(column)? {
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn time_ns(&self, column: &str) -> Option<i64> {
        match self.value(column)? {
            Value::Time(ns) => Some(*ns),
            _ => None,
        }
    }
}

impl Named<'_> {
    /// The stretch of time that `starts_at`, `ends_at`, `rrule` and `zone` tell.
    pub(crate) fn window(&self) -> Option<Recurring> {
        let zone = self.text("zone").and_then(|zone| zone.parse().ok()).unwrap_or(chrono_tz::UTC);
        let (start_ns, end_ns) = (self.time_ns("starts_at")?, self.time_ns("ends_at")?);
        Some(Recurring { start_ns, end_ns, rule: self.text("rrule").map(str::to_owned), zone })
    }
}

/// What somebody knows better of a baseline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Overriding {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) lower: Option<f64>,
    pub(crate) upper: Option<f64>,
    pub(crate) score_threshold: Option<f64>,
    /// Nanoseconds since the Unix epoch, the end apart.
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
}

/// The overrides of a baseline, the latest last.
pub(crate) fn overrides(database: &Database, baseline: &str) -> Vec<Overriding> {
    let Some(table) = find("override") else { return Vec::new() };
    let rows = database.ops().rows(table);
    let read = |row: &Arc<Row>| {
        let row = Named { table, row };
        let labels = row.text("labels").map_or(Some(BTreeMap::new()), |text| serde_json::from_str(text).ok())?;
        let (start_ns, end_ns) = (row.time_ns("starts_at")?, row.time_ns("until")?);
        let number = |column| row.number(column);
        (row.text("baseline") == Some(baseline)).then(|| Overriding {
            labels,
            lower: number("lower"),
            upper: number("upper"),
            score_threshold: number("score_threshold"),
            start_ns,
            end_ns,
        })
    };
    rows.values().filter_map(read).collect()
}

/// When something else became normal for a baseline, in the order of time.
pub(crate) fn rebased(database: &Database, baseline: &str) -> Vec<(i64, Rebase)> {
    let Some(table) = find("rebaseline") else { return Vec::new() };
    let rows = database.ops().rows(table);
    let read = |row: &Arc<Row>| {
        let row = Named { table, row };
        let how = match row.text("mode")? {
            "widen" => Rebase::Widen,
            "reset" => Rebase::Reset,
            _ => Rebase::Shift,
        };
        Some((row.time_ns("at")?, how)).filter(|_| row.text("baseline") == Some(baseline))
    };
    let mut all: Vec<(i64, Rebase)> = rows.values().filter_map(read).collect();
    all.sort_by_key(|(at_ns, _)| *at_ns);
    all
}

/// The windows of maintenance of a service that affect something: `budget`, `alert`, `baseline` or `availability_report`.
pub(crate) fn maintenance(database: &Database, service: &str, affects: &str) -> Vec<Recurring> {
    let Some(table) = find("maintenance") else { return Vec::new() };
    let rows = database.ops().rows(table);
    let window = |row: &Arc<Row>| {
        let row = Named { table, row };
        let of_service = row.text("service") == Some(service);
        let applies = row.text("affects").is_some_and(|all| all.split(',').any(|one| one.trim() == affects));
        row.window().filter(|_| of_service && applies)
    };
    rows.values().filter_map(window).collect()
}

/// The holidays of a calendar.
pub(crate) fn holidays(database: &Database, calendar: &str) -> Vec<NaiveDate> {
    let Some(table) = find("holiday") else { return Vec::new() };
    let rows = database.ops().rows(table);
    let named = rows.values().map(|row| Named { table, row });
    let of_calendar = named.filter(|row| row.text("calendar") == Some(calendar));
    of_calendar.filter_map(|row| row.text("day")?.parse().ok()).collect()
}

/// The error for a table that there is not.
pub(crate) fn undefined(schema: &str, name: &str, position: Option<usize>) -> Error {
    let kept = TABLES.iter().map(|table| (table.schema, table.name));
    let names = kept.chain(crate::system::system_tables().map(|table| (table.schema, table.name)));
    let names = names.filter(|(of, _)| *of == schema).map(|(_, name)| name);
    let hint = crate::functions::most_similar(name, names).map(|near| format!("Did you mean \"{schema}.{near}\"?"));
    Error::UndefinedTable { name: format!("{schema}.{name}"), position, hint }
}
