//! The catalogue: what users define besides tables: views, and the objects of the dialect.
//!
//! Readers take an immutable set of all definitions, so a statement is planned against one state of the catalogue.
//!
//! Invariants
//! - A definition is in the set only after it is durable in the store.
//! - Definitions are changed one at a time; whoever changes them holds the store.
//! - What a definition reads is defined: nothing is dropped that another definition depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use plimsoll_engine::Snapshot;

mod object;
pub(crate) mod store;
mod view;

pub(crate) use object::{Object, Version};
pub use view::{View, ViewColumn};
pub(crate) use view::{asks_functions, plan_query, relations};

use crate::dialect::{Kind, RoleStatement};
use crate::quality::{Rules, TableRules};
use crate::roles::Roles;
use crate::{Error, Result};
use store::{Change, Store};

/// All views, by name.
pub(crate) type Views = BTreeMap<String, Arc<View>>;

/// Something that a definition can read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reference {
    /// A table or a view of the schema `public`.
    Relation(String),
    /// An object of the dialect.
    Object(Kind, String),
}

impl Reference {
    /// What a relation of a query refers to; `None` for those that cannot be dropped.
    pub(crate) fn of_relation(schema: Option<&str>, name: &str) -> Option<Reference> {
        match schema {
            None | Some("public") => Some(Reference::Relation(name.to_owned())),
            Some(schema) => Some(Reference::Object(Kind::of_schema(schema)?, name.to_owned())),
        }
    }
}

/// Everything that is defined at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Definitions {
    pub(crate) views: Views,
    objects: BTreeMap<(Kind, String), Arc<Object>>,
    /// What rows have to satisfy.
    pub(crate) rules: Rules,
    pub(crate) roles: Roles,
}

impl Definitions {
    /// An object by its name.
    pub(crate) fn find(&self, kind: Kind, name: &str) -> Option<&Arc<Object>> {
        self.objects.get(&(kind, name.to_owned()))
    }

    /// An object by its name.
    ///
    /// # Errors
    /// [`Error::UndefinedObject`], with a name that may have been meant.
    pub(crate) fn get(&self, kind: Kind, name: &str) -> Result<&Arc<Object>> {
        self.find(kind, name).ok_or_else(|| {
            let names = self.of_kind(kind).map(|object| object.name.as_str());
            let hint =
                crate::functions::most_similar(name, names).map(|similar| format!("Did you mean \"{similar}\"?"));
            Error::UndefinedObject { kind: kind.word(), name: name.to_owned(), position: None, hint }
        })
    }

    /// All objects, by kind and name.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// All objects of a kind, by name.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values().filter(move |object| object.kind() == kind)
    }

    /// The same with one more object, or another one in its place.
    pub(crate) fn with(&self, object: Object) -> Definitions {
        let mut all = self.clone();
        all.objects.insert((object.kind(), object.name.clone()), Arc::new(object));
        all
    }

    /// What depends on some of the definitions, be it through others; without those named themselves.
    pub(crate) fn dependents_of(&self, of: &[Reference]) -> Vec<Reference> {
        let views = self.views.values().map(|view| (Reference::Relation(view.name.clone()), &view.reads));
        let objects = self.objects.values().map(|object| (object.reference(), &object.reads));
        let all: Vec<(Reference, &BTreeSet<Reference>)> = views.chain(objects).collect();
        let mut found: BTreeSet<Reference> = BTreeSet::new();
        loop {
            let hit = |read: &Reference| of.contains(read) || found.contains(read);
            let new: Vec<Reference> = all
                .iter()
                .filter(|(who, reads)| !of.contains(who) && !found.contains(who) && reads.iter().any(hit))
                .map(|(who, _)| who.clone())
                .collect();
            if new.is_empty() {
                return found.into_iter().collect();
            }
            found.extend(new);
        }
    }

    /// What a definition reads at first hand; nothing for a table.
    pub(crate) fn reads_of(&self, of: &Reference) -> Option<&BTreeSet<Reference>> {
        match of {
            Reference::Relation(name) => self.views.get(name).map(|view| &view.reads),
            Reference::Object(kind, name) => self.find(*kind, name).map(|object| &object.reads),
        }
    }

    /// True when a definition reads another, be it through others.
    pub(crate) fn depends(&self, who: &Reference, on: &Reference) -> bool {
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<&Reference> = self.reads_of(who).into_iter().flatten().collect();
        while let Some(next) = waiting.pop() {
            if next == on {
                return true;
            }
            if seen.insert(next) {
                waiting.extend(self.reads_of(next).into_iter().flatten());
            }
        }
        false
    }

    /// The alerts that the option `burn_alerts` of an SLO has made, and nobody has made theirs.
    pub(crate) fn burn_alerts(&self, slo: &str) -> impl Iterator<Item = &Arc<Object>> {
        let of = Reference::Object(Kind::Slo, slo.to_owned());
        let is_made = |object: &Object| object.definition.option_text(BURN_TEMPLATE).is_some();
        self.of_kind(Kind::Alert).filter(move |object| is_made(object) && object.reads.contains(&of))
    }

    /// True for an alert that one of some SLOs has made, and that goes with it.
    fn is_owned(&self, reference: &Reference, by: &[Reference]) -> bool {
        by.iter().any(|by| match by {
            Reference::Object(Kind::Slo, slo) => self.burn_alerts(slo).any(|object| object.reference() == *reference),
            _ => false,
        })
    }

    /// What a reference is called in a message: `view v`, `kpi k`, `table t`.
    fn called(&self, reference: &Reference) -> String {
        match reference {
            Reference::Relation(name) if self.views.contains_key(name) => format!("view {name}"),
            Reference::Relation(name) => format!("table {name}"),
            Reference::Object(kind, name) => format!("{} {name}", kind.word()),
        }
    }

    fn refused(&self, kind: &'static str, named: &[Reference], dependents: &[Reference]) -> Error {
        let on = |dependent: &Reference| {
            let reads = self.reads_of(dependent);
            let direct = reads.into_iter().flatten().find(|read| named.contains(read) || dependents.contains(read));
            let who = self.called(dependent);
            direct.map_or_else(|| who.clone(), |read| format!("{who} depends on {}", self.called(read)))
        };
        let name = named.first().map(|first| first.name().to_owned()).unwrap_or_default();
        Error::Dependents { kind, name, dependents: dependents.iter().map(on).collect() }
    }

    fn without(&self, gone: &[Reference]) -> Definitions {
        let is_kept = |reference: &Reference| !gone.contains(reference);
        let views = self.views.iter().filter(|(name, _)| is_kept(&Reference::Relation((*name).clone())));
        let objects = self.objects.iter().filter(|(_, object)| is_kept(&object.reference()));
        Definitions {
            views: views.map(|(name, view)| (name.clone(), view.clone())).collect(),
            objects: objects.map(|(name, object)| (name.clone(), object.clone())).collect(),
            rules: self.rules.clone(),
            roles: self.roles.clone(),
        }
    }
}

impl Reference {
    fn name(&self) -> &str {
        match self {
            Reference::Relation(name) | Reference::Object(_, name) => name,
        }
    }
}

/// What a statement changes: objects, new or in place of their last version, and what is removed.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) put: Vec<Object>,
    pub(crate) gone: Vec<Reference>,
}

impl From<Object> for Changed {
    fn from(object: Object) -> Changed {
        Changed { put: vec![object], gone: Vec::new() }
    }
}

/// The option of an alert that an SLO has made by a template: which one.
pub(crate) const BURN_TEMPLATE: &str = "burn_template";

/// The definitions of one database.
pub(crate) struct Catalog {
    store: Mutex<Store>,
    definitions: RwLock<Arc<Definitions>>,
}

impl Catalog {
    /// Opens the catalogue of a data directory. Nothing is written until something is defined.
    ///
    /// # Errors
    /// [`Error::Catalog`] when the file is there and cannot be read.
    pub(crate) fn open(dir: &Path) -> Result<Catalog> {
        let mut store = Store::new(dir);
        let (views, objects, rules, roles) = store.load()?;
        let views = views.into_iter().map(|view| (view.name.clone(), Arc::new(view))).collect();
        let objects = objects.into_iter().map(|object| ((object.kind(), object.name.clone()), Arc::new(object)));
        let definitions = Definitions { views, objects: objects.collect(), rules, roles: roles.into_iter().collect() };
        Ok(Catalog { store: Mutex::new(store), definitions: RwLock::new(Arc::new(definitions)) })
    }

    /// Does something while no definition changes, neither in memory nor in the file.
    pub(crate) fn at_rest<T>(&self, work: impl FnOnce() -> T) -> T {
        let _held = self.store();
        work()
    }

    /// What is defined now.
    pub(crate) fn definitions(&self) -> Arc<Definitions> {
        self.definitions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The versions that objects have had, by kind and name, oldest first.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub(crate) fn versions(&self) -> Result<Vec<Version>> {
        self.store().versions()
    }

    /// Defines a view, in place of one of that name if `or_replace`.
    ///
    /// # Errors
    /// [`Error::DuplicateTable`], [`Error::Type`] when a replaced view would lose or change columns or read itself,
    /// [`Error::Catalog`].
    pub(crate) fn create_view(&self, view: View, or_replace: bool, snapshot: &Snapshot) -> Result<()> {
        let mut store = self.store();
        let definitions = self.definitions();
        match definitions.views.get(&view.name) {
            _ if snapshot.table(&view.name).is_some() => return Err(Error::DuplicateTable { name: view.name }),
            Some(_) if !or_replace => return Err(Error::DuplicateTable { name: view.name }),
            Some(old) => view.check_replaces(old)?,
            None => {}
        }
        let view = Arc::new(view);
        let mut changed = (*definitions).clone();
        changed.views.insert(view.name.clone(), view.clone());
        let itself = Reference::Relation(view.name.clone());
        if changed.depends(&itself, &itself) {
            let message = format!("infinite recursion detected in rules for relation \"{}\"", view.name);
            return Err(Error::Type { message, position: None, hint: None });
        }
        store.change(&[Change::PutView(&view)])?;
        self.publish(changed);
        Ok(())
    }

    /// Defines objects. `make` gets what is defined now and tells the number of the next version of a name; no other
    /// definition changes meanwhile.
    ///
    /// # Errors
    /// Those of `make`, [`Error::Catalog`]; then nothing has changed.
    pub(crate) fn define(
        &self,
        make: impl FnOnce(&Arc<Definitions>, &mut dyn FnMut(Kind, &str) -> Result<u64>) -> Result<Changed>,
    ) -> Result<()> {
        let mut store = self.store();
        let definitions = self.definitions();
        let Changed { put, gone } = make(&definitions, &mut |kind, name| Ok(store.last_version(kind, name)? + 1))?;
        if put.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let mut changes = vec![Change::Remove(&gone)];
        changes.extend(put.iter().map(Change::PutObject));
        store.change(&changes)?;
        self.publish(put.into_iter().fold(definitions.without(&gone), |all, object| all.with(object)));
        Ok(())
    }

    /// Changes roles; `actor` is the role that does, nobody's in particular where there is none.
    ///
    /// # Errors
    /// As [`Roles::changed`], [`Error::Catalog`]; then nothing has changed.
    pub(crate) fn change_roles(&self, statement: &RoleStatement, actor: Option<&str>) -> Result<()> {
        let mut store = self.store();
        let definitions = self.definitions();
        let (put, gone) = definitions.roles.changed(statement, actor)?;
        let gone_changes = gone.iter().map(|name| Change::RemoveRole(name));
        let changes: Vec<Change<'_>> = put.iter().map(Change::PutRole).chain(gone_changes).collect();
        if changes.is_empty() {
            return Ok(());
        }
        store.change(&changes)?;
        let roles = definitions.roles.with(put, &gone);
        self.publish(Definitions { roles, ..(*definitions).clone() });
        Ok(())
    }

    /// Removes objects of one kind, and with `cascade` what depends on them.
    ///
    /// # Errors
    /// [`Error::UndefinedObject`], [`Error::Dependents`], [`Error::Catalog`]; then nothing is removed.
    pub(crate) fn drop_objects(&self, kind: Kind, names: &[String], if_exists: bool, cascade: bool) -> Result<()> {
        let mut store = self.store();
        let definitions = self.definitions();
        if !if_exists {
            names.iter().try_for_each(|name| definitions.get(kind, name).map(|_| ()))?;
        }
        let named = names.iter().filter(|name| definitions.find(kind, name).is_some());
        let named: Vec<Reference> = named.map(|name| Reference::Object(kind, name.clone())).collect();
        self.remove(&mut store, kind.word(), named, cascade, true)
    }

    /// Removes views, and with `cascade` what reads them.
    ///
    /// # Errors
    /// [`Error::UndefinedTable`], [`Error::Dependents`], [`Error::Catalog`]; then nothing is removed.
    pub(crate) fn drop_views(&self, names: &[String], if_exists: bool, cascade: bool) -> Result<()> {
        let mut store = self.store();
        let definitions = self.definitions();
        let missing = names.iter().find(|name| !definitions.views.contains_key(*name));
        if let (Some(name), false) = (missing, if_exists) {
            return Err(Error::UndefinedTable { name: name.clone(), position: None, hint: None });
        }
        let named = names.iter().filter(|name| definitions.views.contains_key(*name));
        let named: Vec<Reference> = named.map(|name| Reference::Relation(name.clone())).collect();
        self.remove(&mut store, "view", named, cascade, true)
    }

    /// Changes what the rows of a table have to satisfy, then does something; what it makes of its own failure is undone.
    /// `change` gets the expectations that there are.
    ///
    /// # Errors
    /// Those of `change` and of `then`, [`Error::Catalog`]; then nothing has changed.
    pub(crate) fn change_rules<T>(
        &self,
        table: &str,
        change: impl FnOnce(&TableRules) -> Result<TableRules>,
        then: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let mut store = self.store();
        let definitions = self.definitions();
        let before = definitions.rules.get(table).cloned().unwrap_or_default();
        let after = Arc::new(change(&before)?);
        let mut put = |rules: &Arc<TableRules>| {
            let mut changed = (*definitions).clone();
            store.change(&[Change::PutRules(table, rules)])?;
            match rules.rules.is_empty() {
                true => drop(changed.rules.remove(table)),
                false => drop(changed.rules.insert(table.to_owned(), rules.clone())),
            }
            self.publish(changed);
            Ok(())
        };
        if after == before {
            return then();
        }
        put(&after)?;
        then().or_else(|error| put(&before).and(Err(error)))
    }

    /// Forgets what the rows of tables have to satisfy that `is_gone`.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub(crate) fn forget_rules(&self, is_gone: impl Fn(&str) -> bool) -> Result<()> {
        let mut store = self.store();
        self.forget(&mut store, is_gone)
    }

    fn forget(&self, store: &mut Store, is_gone: impl Fn(&str) -> bool) -> Result<()> {
        let mut changed = (*self.definitions()).clone();
        let gone: Vec<String> = changed.rules.keys().filter(|table| is_gone(table)).cloned().collect();
        if gone.is_empty() {
            return Ok(());
        }
        let none = TableRules::default();
        store.change(&gone.iter().map(|table| Change::PutRules(table, &none)).collect::<Vec<_>>())?;
        gone.iter().for_each(|table| drop(changed.rules.remove(table)));
        self.publish(changed);
        Ok(())
    }

    /// Does something that removes tables, unless definitions read them; with `cascade` these go first.
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
        let named = names.iter().map(|name| Reference::Relation(name.clone())).collect();
        self.remove(&mut store, "table", named, cascade, false)?;
        let done = drop()?;
        self.forget(&mut store, |table| names.iter().any(|name| name == table))?;
        Ok(done)
    }

    /// Removes what depends on `named`, if that is allowed, and `named` itself if `with_named`.
    fn remove(
        &self,
        store: &mut Store,
        kind: &'static str,
        named: Vec<Reference>,
        cascade: bool,
        with_named: bool,
    ) -> Result<()> {
        let definitions = self.definitions();
        let dependents = definitions.dependents_of(&named);
        let (owned, others): (Vec<_>, Vec<_>) =
            dependents.into_iter().partition(|reference| definitions.is_owned(reference, &named));
        if !others.is_empty() && !cascade {
            return Err(definitions.refused(kind, &named, &others));
        }
        let mut gone = [owned, others].concat();
        if with_named {
            gone.extend(named);
        }
        if gone.is_empty() {
            return Ok(());
        }
        store.change(&[Change::Remove(&gone)])?;
        self.publish(definitions.without(&gone));
        Ok(())
    }

    fn publish(&self, definitions: Definitions) {
        *self.definitions.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(definitions);
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("definitions", &self.definitions()).finish_non_exhaustive()
    }
}
