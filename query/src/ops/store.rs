//! Where rows are kept: one `redb` file, made when the first row is written. A statement is one transaction.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, TableDefinition};

use super::{Row, Rows, Table};
use crate::{Error, Result};

/// Name of the file in the data directory.
const OPS_NAME: &str = "ops.redb";

/// Rows: table and number to values, as JSON.
const ROWS: TableDefinition<'_, (&str, u64), &str> = TableDefinition::new("rows");

/// Tables that rows were ever written to: others have the rows that they begin with.
const WRITTEN: TableDefinition<'_, &str, ()> = TableDefinition::new("written");

/// Memory for its pages; all rows are in memory besides.
const CACHE_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    database: Option<Database>,
}

impl Store {
    pub(super) fn new(dir: &Path) -> Store {
        Store { path: dir.join(OPS_NAME), database: None }
    }

    /// The rows of a table; `None` when it was never written to.
    pub(super) fn load(&mut self, table: &Table) -> Result<Option<Rows>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let failed = failure(&self.path, "read");
        let read = self.database()?.begin_read().map_err(|e| failed(&e))?;
        let written = match read.open_table(WRITTEN) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            other => other.map_err(|e| failed(&e))?,
        };
        if written.get(table.name).map_err(|e| failed(&e))?.is_none() {
            return Ok(None);
        }
        let stored = read.open_table(ROWS).map_err(|e| failed(&e))?;
        let mut rows = Rows::new();
        for entry in stored.range((table.name, 0)..=(table.name, u64::MAX)).map_err(|e| failed(&e))? {
            let (key, text) = entry.map_err(|e| failed(&e))?;
            let row: Row = serde_json::from_str(text.value()).map_err(|e| failed(&e))?;
            rows.insert(key.value().1, row);
        }
        Ok(Some(rows))
    }

    /// Makes the change from some rows to others durable, all of it or nothing.
    pub(super) fn replace(&mut self, table: &Table, old: &Rows, new: &Rows) -> Result<()> {
        let failed = failure(&self.path, "write");
        let write = self.database()?.begin_write().map_err(|e| failed(&e))?;
        {
            let mut written = write.open_table(WRITTEN).map_err(|e| failed(&e))?;
            let is_first = written.insert(table.name, ()).map_err(|e| failed(&e))?.is_none();
            let mut rows = write.open_table(ROWS).map_err(|e| failed(&e))?;
            for id in old.keys().filter(|id| !new.contains_key(id)) {
                rows.remove((table.name, *id)).map_err(|e| failed(&e))?;
            }
            for (id, row) in new.iter().filter(|(id, row)| is_first || old.get(id) != Some(row)) {
                let text = serde_json::to_string(row).map_err(|e| failed(&e))?;
                rows.insert((table.name, *id), text.as_str()).map_err(|e| failed(&e))?;
            }
        }
        write.commit().map_err(|e| failed(&e))
    }

    fn database(&mut self) -> Result<&Database> {
        if self.database.is_none() {
            let opened = Database::builder().set_cache_size(CACHE_BYTES).create(&self.path);
            self.database = Some(opened.map_err(|e| failure(&self.path, "open")(&e))?);
        }
        self.database.as_ref().ok_or_else(|| Error::Internal("the file is not open".to_owned()))
    }
}

fn failure(path: &Path, action: &'static str) -> impl Fn(&dyn Display) -> Error + use<> {
    let path = path.to_owned();
    move |error| Error::Catalog { action, path: path.clone(), message: error.to_string() }
}
