//! Where definitions are kept: one `redb` file in the data directory, made when something is first defined.
//!
//! A change is one transaction: after a crash at any point all of it is there or nothing.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::object::{Object, Stored, Version};
use super::{Reference, View};
use crate::dialect::{self, Kind};
use crate::quality::{Rules, TableRules};
use crate::roles::Role;
use crate::{Error, Result};

/// Name of the file in the data directory.
pub(crate) const CATALOG_NAME: &str = "catalog.redb";

/// Views: name to definition, as JSON.
const VIEWS: TableDefinition<'_, &str, &str> = TableDefinition::new("views");

/// Objects as they are now: kind and name to definition, as JSON.
const OBJECTS: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("objects");

/// Every version that an object has had: kind, name and version to definition, as JSON. They outlive the object.
const VERSIONS: TableDefinition<'_, (&str, &str, u64), &str> = TableDefinition::new("object_versions");

/// What rows of a table have to satisfy: name of the table to its expectations, as JSON.
const RULES: TableDefinition<'_, &str, &str> = TableDefinition::new("rules");
/// Roles: name to what is known of it, as JSON.
const ROLES: TableDefinition<'_, &str, &str> = TableDefinition::new("roles");

/// Memory for its pages: definitions are few and small.
const CACHE_BYTES: usize = 1 << 20;

/// The open file, once there is one.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    database: Option<Database>,
}

/// A change of what is stored.
pub(super) enum Change<'a> {
    PutView(&'a View),
    /// An object, new or in place of its last version.
    PutObject(&'a Object),
    Remove(&'a [Reference]),
    /// The expectations of a table in place of those before, be it none.
    PutRules(&'a str, &'a TableRules),
    /// A role, new or changed.
    PutRole(&'a Role),
    RemoveRole(&'a str),
}

impl Store {
    pub(super) fn new(dir: &Path) -> Store {
        Store { path: dir.join(CATALOG_NAME), database: None }
    }

    /// All views, objects, expectations and roles.
    #[expect(clippy::type_complexity, reason = "a list of each")]
    pub(super) fn load(&mut self) -> Result<(Vec<View>, Vec<Object>, Rules, Vec<Role>)> {
        let (mut views, mut objects, mut rules, mut roles) = (Vec::new(), Vec::new(), Rules::new(), Vec::new());
        if !self.path.exists() {
            return Ok((views, objects, rules, roles));
        }
        let failed = failure(&self.path, "read");
        let read = self.database()?.begin_read().map_err(|e| failed(&e))?;
        if let Some(table) = existing(read.open_table(VIEWS)).map_err(|e| failed(&e))? {
            for entry in table.iter().map_err(|e| failed(&e))? {
                let (name, text) = entry.map_err(|e| failed(&e))?;
                views.push(View::from_stored(name.value(), text.value()).map_err(|e| failed(&e))?);
            }
        }
        if let Some(table) = existing(read.open_table(OBJECTS)).map_err(|e| failed(&e))? {
            for entry in table.iter().map_err(|e| failed(&e))? {
                let (_, text) = entry.map_err(|e| failed(&e))?;
                objects.push(Object::from_stored(text.value()).map_err(|e| failed(&e))?);
            }
        }
        if let Some(table) = existing(read.open_table(RULES)).map_err(|e| failed(&e))? {
            for entry in table.iter().map_err(|e| failed(&e))? {
                let (name, text) = entry.map_err(|e| failed(&e))?;
                let of_table: TableRules = serde_json::from_str(text.value()).map_err(|e| failed(&e))?;
                rules.insert(name.value().to_owned(), Arc::new(of_table));
            }
        }
        if let Some(table) = existing(read.open_table(ROLES)).map_err(|e| failed(&e))? {
            for entry in table.iter().map_err(|e| failed(&e))? {
                let (name, text) = entry.map_err(|e| failed(&e))?;
                roles.push(Role::from_stored(name.value(), text.value()).map_err(|e| failed(&e))?);
            }
        }
        Ok((views, objects, rules, roles))
    }

    /// The number of the newest version that a name has had, be it dropped since; 0 without one.
    pub(super) fn last_version(&mut self, kind: Kind, name: &str) -> Result<u64> {
        if !self.path.exists() {
            return Ok(0);
        }
        let failed = failure(&self.path, "read");
        let read = self.database()?.begin_read().map_err(|e| failed(&e))?;
        let Some(table) = existing(read.open_table(VERSIONS)).map_err(|e| failed(&e))? else { return Ok(0) };
        let mut of_name =
            table.range((kind.word(), name, 0)..=(kind.word(), name, u64::MAX)).map_err(|e| failed(&e))?;
        let last = of_name.next_back().transpose().map_err(|e| failed(&e))?;
        Ok(last.map_or(0, |(key, _)| key.value().2))
    }

    /// The versions that objects have had, by kind and name, oldest first.
    pub(super) fn versions(&mut self) -> Result<Vec<Version>> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let failed = failure(&self.path, "read");
        let read = self.database()?.begin_read().map_err(|e| failed(&e))?;
        let Some(table) = existing(read.open_table(VERSIONS)).map_err(|e| failed(&e))? else { return Ok(Vec::new()) };
        let mut versions = Vec::new();
        for entry in table.iter().map_err(|e| failed(&e))? {
            let (key, text) = entry.map_err(|e| failed(&e))?;
            let (kind, name, version) = key.value();
            let stored: Stored = serde_json::from_str(text.value()).map_err(|e| failed(&e))?;
            let Some(kind) = Kind::of_word(kind) else { continue };
            let Stored { defined_ns, actor, .. } = stored;
            let text = shown(&stored.text);
            versions.push(Version { kind, name: name.to_owned(), version, defined_ns, actor, text });
        }
        Ok(versions)
    }

    /// Makes changes durable, all of them or nothing.
    pub(super) fn change(&mut self, changes: &[Change<'_>]) -> Result<()> {
        let failed = failure(&self.path, "write");
        let write = self.database()?.begin_write().map_err(|e| failed(&e))?;
        {
            let mut views = write.open_table(VIEWS).map_err(|e| failed(&e))?;
            let mut objects = write.open_table(OBJECTS).map_err(|e| failed(&e))?;
            let mut versions = write.open_table(VERSIONS).map_err(|e| failed(&e))?;
            let mut rules = write.open_table(RULES).map_err(|e| failed(&e))?;
            let mut roles = write.open_table(ROLES).map_err(|e| failed(&e))?;
            for change in changes {
                match change {
                    Change::PutView(view) => {
                        views.insert(view.name.as_str(), view.to_stored().as_str()).map_err(|e| failed(&e))?;
                    }
                    Change::PutObject(object) => {
                        let (kind, name, text) = (object.kind().word(), object.name.as_str(), object.to_stored());
                        objects.insert((kind, name), text.as_str()).map_err(|e| failed(&e))?;
                        versions.insert((kind, name, object.version), text.as_str()).map_err(|e| failed(&e))?;
                    }
                    Change::PutRules(table, of_table) if of_table.rules.is_empty() => {
                        rules.remove(*table).map_err(|e| failed(&e))?;
                    }
                    Change::PutRules(table, of_table) => {
                        let text = serde_json::to_string(of_table).map_err(|e| failed(&e))?;
                        rules.insert(*table, text.as_str()).map_err(|e| failed(&e))?;
                    }
                    Change::PutRole(role) => {
                        roles.insert(role.name.as_str(), role.to_stored().as_str()).map_err(|e| failed(&e))?;
                    }
                    Change::RemoveRole(name) => drop(roles.remove(*name).map_err(|e| failed(&e))?),
                    Change::Remove(gone) => {
                        for reference in *gone {
                            match reference {
                                Reference::Relation(name) => drop(views.remove(name.as_str()).map_err(|e| failed(&e))?),
                                Reference::Object(kind, name) => {
                                    drop(objects.remove((kind.word(), name.as_str())).map_err(|e| failed(&e))?);
                                }
                            }
                        }
                    }
                }
            }
        }
        write.commit().map_err(|e| failed(&e))
    }

    fn database(&mut self) -> Result<&Database> {
        if self.database.is_none() {
            let opened = open_private(&self.path, CACHE_BYTES);
            self.database = Some(opened.map_err(|e| failure(&self.path, "open")(&e))?);
        }
        Ok(self.database.as_ref().expect("just opened"))
    }
}

/// Opens a `redb` file, or makes it, that nobody but its owner can read: secrets of sinks are in it.
pub(crate) fn open_private(path: &Path, cache_bytes: usize) -> Result<Database, redb::DatabaseError> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    drop(file);
    Database::builder().set_cache_size(cache_bytes).create(path)
}

/// A table of the file, if something was ever put into it.
fn existing<T>(opened: Result<T, redb::TableError>) -> Result<Option<T>, redb::TableError> {
    match opened {
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        other => other.map(Some),
    }
}

fn failure(path: &Path, action: &'static str) -> impl Fn(&dyn Display) -> Error + use<> {
    let path = path.to_owned();
    move |error| Error::Catalog { action, path: path.clone(), message: error.to_string() }
}

/// A stored definition as it may be shown, without its secrets.
fn shown(text: &str) -> String {
    match dialect::parse_statement(text) {
        Some(Ok(dialect::Statement::Create { object, .. })) => object.masked().to_string(),
        _ => text.to_owned(),
    }
}
