//! Where rows are kept: one `redb` file, made when the first row is written. A transaction of ours is one of its.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase, TableDefinition};

use super::held::{Held, Rows};
use super::{Row, Table};
use crate::{Error, Result};

/// Name of the file in the data directory.
pub(crate) const OPS_NAME: &str = "ops.redb";

/// Rows: table and number to values, as JSON.
const ROWS: TableDefinition<'_, (&str, u64), &str> = TableDefinition::new("rows");

/// Tables that rows were ever written to: others have the rows that they begin with.
const WRITTEN: TableDefinition<'_, &str, ()> = TableDefinition::new("written");

/// The number of the next row of each table.
const NEXT: TableDefinition<'_, &str, u64> = TableDefinition::new("next");

/// Memory for its pages; all rows are in memory besides.
const CACHE_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    database: Option<Database>,
}

/// What is to be written of a table.
pub(super) struct Written<'a> {
    pub(super) table: &'static Table,
    /// Its rows as they shall be.
    pub(super) held: &'a Held,
    /// The numbers of those that are not what they were.
    pub(super) changed: &'a BTreeSet<u64>,
}

impl Store {
    pub(super) fn new(dir: &Path) -> Store {
        Store { path: dir.join(OPS_NAME), database: None }
    }

    /// The rows of a table and the number of the next; `None` when it was never written to.
    pub(super) fn load(&mut self, table: &Table) -> Result<Option<(Rows, u64)>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let failed = failure(&self.path, "read");
        let read = self.database()?.begin_read().map_err(|e| failed(&e))?;
        let written = match read.open_table(WRITTEN) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            other => other.map_err(|e| failed(&e))?,
        };
        let name = table.stored_name();
        if written.get(name.as_str()).map_err(|e| failed(&e))?.is_none() {
            return Ok(None);
        }
        let next = match read.open_table(NEXT) {
            Err(redb::TableError::TableDoesNotExist(_)) => 0,
            other => {
                let next = other.map_err(|e| failed(&e))?;
                next.get(name.as_str()).map_err(|e| failed(&e))?.map_or(0, |next| next.value())
            }
        };
        let stored = read.open_table(ROWS).map_err(|e| failed(&e))?;
        let mut rows = Rows::new();
        for entry in stored.range((name.as_str(), 0)..=(name.as_str(), u64::MAX)).map_err(|e| failed(&e))? {
            let (key, text) = entry.map_err(|e| failed(&e))?;
            let row: Row = serde_json::from_str(text.value()).map_err(|e| failed(&e))?;
            rows.insert(key.value().1, Arc::new(row));
        }
        Ok(Some((rows, next)))
    }

    /// Makes changes durable, all of them or nothing.
    pub(super) fn write<'w>(&mut self, all: impl Iterator<Item = Written<'w>>) -> Result<()> {
        let failed = failure(&self.path, "write");
        let write = self.database()?.begin_write().map_err(|e| failed(&e))?;
        {
            let mut written = write.open_table(WRITTEN).map_err(|e| failed(&e))?;
            let mut next = write.open_table(NEXT).map_err(|e| failed(&e))?;
            let mut rows = write.open_table(ROWS).map_err(|e| failed(&e))?;
            for Written { table, held, changed } in all {
                let name = table.stored_name();
                let name = name.as_str();
                next.insert(name, held.next()).map_err(|e| failed(&e))?;
                let is_first = written.insert(name, ()).map_err(|e| failed(&e))?.is_none();
                let numbers: Box<dyn Iterator<Item = &u64>> = match is_first {
                    true => Box::new(held.rows().keys()),
                    false => Box::new(changed.iter()),
                };
                for number in numbers {
                    match held.rows().get(number) {
                        Some(row) => {
                            let text = serde_json::to_string(&**row).map_err(|e| failed(&e))?;
                            rows.insert((name, *number), text.as_str()).map_err(|e| failed(&e))?;
                        }
                        None => {
                            rows.remove((name, *number)).map_err(|e| failed(&e))?;
                        }
                    }
                }
            }
        }
        write.commit().map_err(|e| failed(&e))
    }

    fn database(&mut self) -> Result<&Database> {
        if self.database.is_none() {
            let opened = crate::catalog::store::open_private(&self.path, CACHE_BYTES);
            self.database = Some(opened.map_err(|e| failure(&self.path, "open")(&e))?);
        }
        self.database.as_ref().ok_or_else(|| Error::Internal("the file is not open".to_owned()))
    }
}

fn failure(path: &Path, action: &'static str) -> impl Fn(&dyn Display) -> Error + use<> {
    let path = path.to_owned();
    move |error| Error::Catalog { action, path: path.clone(), message: error.to_string() }
}
