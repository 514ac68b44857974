//! Changes of several tables that happen together: all of them are durable, or none is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};

use super::held::Held;
use super::store::{Store, Written};
use super::{Ops, Row, Table, Value, audit};
use crate::Result;
use crate::notify::{self, Notification};

/// Changes that are not yet made. Whoever has one holds the store.
pub(crate) struct Transaction<'a> {
    ops: &'a Ops,
    store: MutexGuard<'a, Store>,
    drafts: BTreeMap<Name, Draft>,
    actor: Arc<str>,
    now_ns: i64,
    /// Adjustments that are being decided.
    decided: BTreeSet<u64>,
}

/// Schema and name of a table.
pub(super) type Name = (&'static str, &'static str);

struct Draft {
    table: &'static Table,
    held: Held,
    /// The rows that are not what they were.
    changed: BTreeSet<u64>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(ops: &'a Ops, store: MutexGuard<'a, Store>, actor: &Arc<str>, now_ns: i64) -> Transaction<'a> {
        Transaction { ops, store, drafts: BTreeMap::new(), actor: actor.clone(), now_ns, decided: BTreeSet::new() }
    }

    /// Who is at work.
    pub(crate) fn actor(&self) -> &Arc<str> {
        &self.actor
    }

    /// When, in nanoseconds since the Unix epoch.
    pub(crate) fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// Lets a row of `ops.adjustment` be decided, by its number.
    pub(super) fn decide(&mut self, number: u64) {
        self.decided.insert(number);
    }

    pub(super) fn is_decided(&self, number: u64) -> bool {
        self.decided.contains(&number)
    }

    /// The rows of a table as they will be.
    pub(crate) fn held(&self, table: &'static Table) -> Held {
        match self.drafts.get(&table.id()) {
            Some(draft) => draft.held.clone(),
            None => (*self.ops.held(table)).clone(),
        }
    }

    /// Inserts a row of the values given; columns that are not named get their defaults. Gives its number.
    ///
    /// # Errors
    /// [`Error::NotNull`](crate::Error::NotNull), [`Error::Check`](crate::Error::Check),
    /// [`Error::DuplicateKey`](crate::Error::DuplicateKey).
    pub(crate) fn insert(&mut self, table: &'static Table, values: &[(&str, Option<Value>)]) -> Result<u64> {
        let mut row: Row = vec![None; table.columns.len()];
        let mut given = BTreeSet::new();
        for (name, value) in values {
            if let Some(at) = table.position(name) {
                row[at].clone_from(value);
                given.insert(at);
            }
        }
        self.insert_row(table, row, &|at| given.contains(&at))
    }

    /// Inserts a row; `given` says which of its columns are named, the others get their defaults. Gives its number.
    ///
    /// # Errors
    /// As [`Transaction::insert`].
    pub(super) fn insert_row(
        &mut self,
        table: &'static Table,
        mut row: Row,
        given: &dyn Fn(usize) -> bool,
    ) -> Result<u64> {
        let (actor, now_ns) = (self.actor.clone(), self.now_ns);
        let draft = self.draft(table);
        draft.held.fill(&mut row, given, &actor, now_ns)?;
        let number = draft.held.insert(row)?;
        draft.changed.insert(number);
        Ok(number)
    }

    /// Sets some values of a row. Does nothing when it is gone.
    ///
    /// # Errors
    /// As [`Transaction::insert`].
    pub(crate) fn set(&mut self, table: &'static Table, number: u64, values: &[(&str, Option<Value>)]) -> Result<()> {
        let Some(row) = self.held(table).rows().get(&number).cloned() else { return Ok(()) };
        let mut row = (*row).clone();
        row.resize(table.columns.len(), None);
        for (name, value) in values {
            if let Some(at) = table.position(name) {
                row[at].clone_from(value);
            }
        }
        self.replace(table, number, row)
    }

    /// Puts another row in the place of one. Does nothing when it is gone.
    ///
    /// # Errors
    /// As [`Transaction::insert`].
    pub(super) fn replace(&mut self, table: &'static Table, number: u64, row: Row) -> Result<()> {
        let draft = self.draft(table);
        draft.held.replace(number, row)?;
        draft.changed.insert(number);
        Ok(())
    }

    /// Puts other rows in the place of some, all at once: a key may go from one to another of them.
    ///
    /// # Errors
    /// As [`Transaction::insert`].
    pub(super) fn replace_all(&mut self, table: &'static Table, rows: Vec<(u64, Row)>) -> Result<()> {
        let draft = self.draft(table);
        draft.changed.extend(rows.iter().map(|(number, _)| *number));
        draft.held.replace_all(rows)
    }

    /// Removes the oldest rows of a table beyond so many.
    pub(crate) fn keep_newest(&mut self, table: &'static Table, most: usize) {
        let held = self.held(table);
        let over = held.rows().len().saturating_sub(most);
        let oldest: Vec<u64> = held.rows().keys().take(over).copied().collect();
        for number in oldest {
            self.remove(table, number);
        }
    }

    /// Removes a row. Gives whether there was one.
    pub(crate) fn remove(&mut self, table: &'static Table, number: u64) -> bool {
        let draft = self.draft(table);
        let removed = draft.held.remove(number);
        if removed {
            draft.changed.insert(number);
        }
        removed
    }

    /// The rows of a table that were changed or inserted so far: their numbers, and what they were before.
    pub(crate) fn changed(&self, table: &'static Table) -> Vec<(u64, Option<Arc<Row>>)> {
        let before = self.ops.held(table);
        let draft = self.drafts.get(&table.id());
        let numbers = draft.iter().flat_map(|draft| draft.changed.iter());
        numbers.map(|number| (*number, before.rows().get(number).cloned())).collect()
    }

    /// Enters what was changed by hand in the audit.
    ///
    /// # Errors
    /// Those of its table.
    pub(super) fn audit(&mut self) -> Result<()> {
        if *self.actor == *crate::alert::ACTOR {
            return Ok(());
        }
        let mut deeds = Vec::new();
        for draft in self.drafts.values() {
            let before = self.ops.held(draft.table);
            for number in &draft.changed {
                let (before, after) = (before.rows().get(number), draft.held.rows().get(number));
                let [before, after] = [before, after].map(|row| row.map(|row| &**row));
                deeds.extend(audit::of_change(draft.table, *number, before, after));
            }
        }
        deeds.iter().try_for_each(|deed| audit::enter(self, deed))
    }

    /// Makes all changes.
    ///
    /// # Errors
    /// [`Error::Catalog`](crate::Error::Catalog); then nothing has changed.
    pub(super) fn commit(mut self) -> Result<()> {
        self.drafts.retain(|_, draft| !draft.changed.is_empty());
        if self.drafts.is_empty() {
            return Ok(());
        }
        let written = self.drafts.values().map(|draft| Written {
            table: draft.table,
            held: &draft.held,
            changed: &draft.changed,
        });
        self.store.write(written)?;
        let told = self.told();
        let changed = self.drafts.iter().map(|(name, draft)| (*name, Arc::new(draft.held.clone())));
        self.ops.publish(changed.collect());
        told.into_iter().for_each(|notification| self.ops.listeners().send(notification));
        Ok(())
    }

    /// What listeners are told of the rows that are new.
    fn told(&self) -> Vec<Notification> {
        if !self.ops.listeners().is_heard() {
            return Vec::new();
        }
        let mut told = Vec::new();
        for draft in self.drafts.values() {
            let before = self.ops.held(draft.table);
            let new = draft.changed.iter().filter(|number| !before.rows().contains_key(*number));
            told.extend(new.filter_map(|number| notify::of_row(draft.table, draft.held.rows().get(number)?)));
        }
        told
    }

    fn draft(&mut self, table: &'static Table) -> &mut Draft {
        let ops = self.ops;
        let new = || Draft { table, held: (*ops.held(table)).clone(), changed: BTreeSet::new() };
        self.drafts.entry(table.id()).or_insert_with(new)
    }
}
