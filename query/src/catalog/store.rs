//! Where definitions are kept: one `redb` file in the data directory, made when something is first defined.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::View;
use crate::{Error, Result};

/// Name of the file in the data directory.
pub(crate) const CATALOG_NAME: &str = "catalog.redb";

/// Views: name to definition, as JSON.
const VIEWS: TableDefinition<'_, &str, &str> = TableDefinition::new("views");

/// Memory for its pages: definitions are few and small.
const CACHE_BYTES: usize = 1 << 20;

/// The open file, once there is one.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    database: Option<Database>,
}

impl Store {
    pub(super) fn new(dir: &Path) -> Store {
        Store { path: dir.join(CATALOG_NAME), database: None }
    }

    /// All views.
    pub(super) fn load(&mut self) -> Result<Vec<View>> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let failed = failure(&self.path, "read");
        let read = self.database()?.begin_read().map_err(|e| failed(&e))?;
        let table = match read.open_table(VIEWS) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            other => other.map_err(|e| failed(&e))?,
        };
        let mut views = Vec::new();
        for entry in table.iter().map_err(|e| failed(&e))? {
            let (name, text) = entry.map_err(|e| failed(&e))?;
            views.push(View::from_stored(name.value(), text.value()).map_err(|e| failed(&e))?);
        }
        Ok(views)
    }

    /// Stores a view durably.
    pub(super) fn put(&mut self, view: &View) -> Result<()> {
        self.change(|table| table.insert(view.name.as_str(), view.to_stored().as_str()).map(|_old| ()))
    }

    /// Removes views durably, all or none.
    pub(super) fn remove(&mut self, names: &BTreeSet<String>) -> Result<()> {
        self.change(|table| names.iter().try_for_each(|name| table.remove(name.as_str()).map(|_old| ())))
    }

    fn change(
        &mut self,
        change: impl FnOnce(&mut redb::Table<'_, &'static str, &'static str>) -> Result<(), redb::StorageError>,
    ) -> Result<()> {
        let failed = failure(&self.path, "write");
        let write = self.database()?.begin_write().map_err(|e| failed(&e))?;
        {
            let mut table = write.open_table(VIEWS).map_err(|e| failed(&e))?;
            change(&mut table).map_err(|e| failed(&e))?;
        }
        write.commit().map_err(|e| failed(&e))
    }

    fn database(&mut self) -> Result<&Database> {
        if self.database.is_none() {
            let opened = Database::builder().set_cache_size(CACHE_BYTES).create(&self.path);
            self.database = Some(opened.map_err(|e| failure(&self.path, "open")(&e))?);
        }
        Ok(self.database.as_ref().expect("just opened"))
    }
}

fn failure(path: &Path, action: &'static str) -> impl Fn(&dyn Display) -> Error + use<> {
    let path = path.to_owned();
    move |error| Error::Catalog { action, path: path.clone(), message: error.to_string() }
}
