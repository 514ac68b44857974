//! The catalogue: what users define besides tables. Today that is views.
//!
//! Readers take an immutable list of all definitions, so a statement is planned against one state of the catalogue.
//!
//! Invariants
//! - A definition is in the list only after it is durable in the store.
//! - Definitions are changed one at a time; whoever changes them holds the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use plimsoll_engine::Snapshot;

mod store;
mod view;

pub use view::{View, ViewColumn};

use crate::{Error, Result};
use store::Store;

/// All views, by name.
pub(crate) type Views = BTreeMap<String, Arc<View>>;

/// The definitions of one database.
#[derive(Debug)]
pub(crate) struct Catalog {
    store: Mutex<Store>,
    views: RwLock<Arc<Views>>,
}

impl Catalog {
    /// Opens the catalogue of a data directory. Nothing is written until something is defined.
    ///
    /// # Errors
    /// [`Error::Catalog`] when the file is there and cannot be read.
    pub(crate) fn open(dir: &Path) -> Result<Catalog> {
        let mut store = Store::new(dir);
        let views = store.load()?.into_iter().map(|view| (view.name.clone(), Arc::new(view))).collect();
        Ok(Catalog { store: Mutex::new(store), views: RwLock::new(Arc::new(views)) })
    }

    /// The views now.
    pub(crate) fn views(&self) -> Arc<Views> {
        self.views.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Defines a view, in place of one of that name if `or_replace`.
    ///
    /// # Errors
    /// [`Error::DuplicateTable`], [`Error::Type`] when a replaced view would lose or change columns or read itself,
    /// [`Error::Catalog`].
    pub(crate) fn create_view(&self, view: View, or_replace: bool, snapshot: &Snapshot) -> Result<()> {
        let mut store = self.store();
        let views = self.views();
        match views.get(&view.name) {
            _ if snapshot.table(&view.name).is_some() => return Err(Error::DuplicateTable { name: view.name }),
            Some(_) if !or_replace => return Err(Error::DuplicateTable { name: view.name }),
            Some(old) => view.check_replaces(old)?,
            None => {}
        }
        if reads(&view, &view.name, &views) {
            let message = format!("infinite recursion detected in rules for relation \"{}\"", view.name);
            return Err(Error::Type { message, position: None, hint: None });
        }
        store.put(&view)?;
        let mut views = (*views).clone();
        views.insert(view.name.clone(), Arc::new(view));
        self.publish(views);
        Ok(())
    }

    /// Removes views, and with `cascade` those that read them.
    ///
    /// # Errors
    /// [`Error::UndefinedTable`], [`Error::Dependents`], [`Error::Catalog`]; then nothing is removed.
    pub(crate) fn drop_views(&self, names: &[String], if_exists: bool, cascade: bool) -> Result<()> {
        let mut store = self.store();
        let views = self.views();
        let missing = names.iter().find(|name| !views.contains_key(*name));
        if let (Some(name), false) = (missing, if_exists) {
            return Err(Error::UndefinedTable { name: name.clone(), position: None });
        }
        let named: Vec<String> = names.iter().filter(|name| views.contains_key(*name)).cloned().collect();
        let dependents = dependents_of(&named, &views);
        if let (Some(first), false, false) = (named.first(), dependents.is_empty(), cascade) {
            return Err(refused("view", first, &named, &dependents, &views));
        }
        let gone: BTreeSet<String> = named.into_iter().chain(dependents).collect();
        self.remove(&mut store, &views, &gone)
    }

    /// Does something that removes tables, unless views read them; with `cascade` these views go first.
    ///
    /// # Errors
    /// [`Error::Dependents`], [`Error::Catalog`], and those of `drop`.
    pub(crate) fn drop_tables<T>(
        &self,
        names: &[String],
        cascade: bool,
        drop: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let mut store = self.store();
        let views = self.views();
        let dependents = dependents_of(names, &views);
        if let (Some(first), false, false) = (names.first(), dependents.is_empty(), cascade) {
            return Err(refused("table", first, names, &dependents, &views));
        }
        if !dependents.is_empty() {
            self.remove(&mut store, &views, &dependents.into_iter().collect())?;
        }
        drop()
    }

    fn remove(&self, store: &mut Store, views: &Views, gone: &BTreeSet<String>) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        store.remove(gone)?;
        let kept = views.iter().filter(|(name, _)| !gone.contains(*name));
        self.publish(kept.map(|(name, view)| (name.clone(), view.clone())).collect());
        Ok(())
    }

    fn publish(&self, views: Views) {
        *self.views.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(views);
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True when a view reads a relation, be it through other views.
fn reads(view: &View, relation: &str, views: &Views) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<&str> = view.relations.iter().map(String::as_str).collect();
    while let Some(name) = waiting.pop() {
        if name == relation {
            return true;
        }
        if seen.insert(name)
            && let Some(inner) = views.get(name)
        {
            waiting.extend(inner.relations.iter().map(String::as_str));
        }
    }
    false
}

/// The views that read any of some relations, be it through other views; without those named themselves.
fn dependents_of(names: &[String], views: &Views) -> Vec<String> {
    let depends = |view: &&Arc<View>| !names.contains(&view.name) && names.iter().any(|name| reads(view, name, views));
    views.values().filter(depends).map(|view| view.name.clone()).collect()
}

fn refused(kind: &'static str, first: &str, names: &[String], dependents: &[String], views: &Views) -> Error {
    let on = |view: &String| {
        let direct = views[view].relations.iter().find(|relation| names.contains(relation));
        match direct {
            Some(relation) => format!("view {view} depends on {kind} {relation}"),
            None => format!("view {view} depends on a view of these"),
        }
    };
    Error::Dependents { kind, name: first.to_owned(), dependents: dependents.iter().map(on).collect() }
}
