//! Expectations in CREATE TABLE, and `ALTER TABLE ... ADD CONSTRAINT`, `DROP CONSTRAINT`.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, AlterTable, AlterTableOperation, CheckConstraint, TableConstraint};
use plimsoll_engine::{Engine, TableSchema};

use super::rules::{About, Action, Rule, TableRules};
use super::{judge, kept, whole};
use crate::ddl::table_name;
use crate::lower::{Lowering, folded};
use crate::session::blocking;
use crate::statement::span_position;
use crate::{Command, Database, Error, Result, Statement};

/// Expectations of a statement.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct NewRules {
    rules: Vec<(Rule, ast::Expr)>,
}

impl NewRules {
    /// Takes a constraint; false when it is no expectation.
    ///
    /// # Errors
    /// [`Error::DuplicateObject`].
    pub(crate) fn take(&mut self, constraint: &TableConstraint, statement: &Statement) -> Result<bool> {
        let TableConstraint::Check(check) = constraint else { return Ok(false) };
        let Some(rule) = read(check, statement)? else { return Ok(false) };
        if self.rules.iter().any(|(other, _)| other.name == rule.0.name) {
            return Err(Error::DuplicateObject { kind: "constraint", name: rule.0.name });
        }
        self.rules.push(rule);
        Ok(true)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Checks them against the columns of a table.
    ///
    /// # Errors
    /// Whatever is wrong with them.
    pub(crate) fn check(&self, table: &Arc<TableSchema>, lowering: &Lowering<'_>) -> Result<()> {
        self.rules.iter().try_for_each(|(rule, condition)| match rule.about {
            About::Row => judge::condition(condition, table, lowering).map(|_| ()),
            About::Table => whole::check(condition, lowering),
            About::Watermark { .. } => Ok(()),
        })
    }

    /// Puts them in force, then does something that makes the table.
    ///
    /// # Errors
    /// Those of the catalogue and of `then`: then nothing has changed.
    pub(crate) fn create<T>(&self, table: &str, database: &Database, then: impl FnOnce() -> Result<T>) -> Result<T> {
        let rules: Vec<Rule> = self.rules.iter().map(|(rule, _)| rule.clone()).collect();
        make_room(table, &rules, database.engine())?;
        database.catalog().change_rules(table, |_| Ok(TableRules { rules }), then)
    }
}

/// An expectation and its condition; `None` for a constraint of another kind.
///
/// # Errors
/// [`Error::Unsupported`].
fn read(check: &CheckConstraint, statement: &Statement) -> Result<Option<(Rule, ast::Expr)>> {
    let named = check.name.as_ref().and_then(|name| Some((folded(name), statement.action_of(name)?)));
    let Some((name, action)) = named else { return Ok(None) };
    let about = whole::about(&name, &check.expr, action)?;
    let rule = Rule { name, expression: check.expr.to_string(), action, about };
    Ok(Some((rule, (*check.expr).clone())))
}

fn make_room(table: &str, rules: &[Rule], engine: &Engine) -> Result<()> {
    match rules.iter().any(|rule| rule.action == Action::Quarantine) {
        true => kept::prepare(table, engine),
        false => Ok(()),
    }
}

/// A change of the expectations of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChangedRules {
    table: String,
    if_exists: bool,
    added: NewRules,
    dropped: Vec<Dropped>,
}

#[derive(Debug, Clone, PartialEq)]
struct Dropped {
    name: String,
    if_exists: bool,
    position: Option<usize>,
}

impl ChangedRules {
    /// Reads a statement; `None` for other changes of a table.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for names with a foreign schema, [`Error::DuplicateObject`].
    pub(crate) fn read(alter: &AlterTable, statement: &Statement) -> Result<Option<ChangedRules>> {
        let (mut added, mut dropped) = (NewRules::default(), Vec::new());
        for operation in &alter.operations {
            match operation {
                AlterTableOperation::AddConstraint { constraint, not_valid: false }
                    if added.take(constraint, statement)? => {}
                AlterTableOperation::DropConstraint { if_exists, name, drop_behavior: None } => {
                    let position = span_position(name.span);
                    dropped.push(Dropped { name: folded(name), if_exists: *if_exists, position });
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(ChangedRules { table: table_name(&alter.name)?, if_exists: alter.if_exists, added, dropped }))
    }

    /// Checks the conditions against the columns of the table.
    ///
    /// # Errors
    /// Whatever is wrong with them.
    pub(crate) fn check(&self, lowering: &Lowering<'_>) -> Result<()> {
        match lowering.snapshot.table(&self.table) {
            Some(table) => self.added.check(&table, lowering),
            None => Ok(()),
        }
    }

    /// Makes the change. Rows that are there already are not looked at.
    ///
    /// # Errors
    /// [`Error::UndefinedTable`], [`Error::UndefinedObject`], [`Error::DuplicateObject`], [`Error::Catalog`].
    pub(crate) async fn run(self, database: Database) -> Result<Command> {
        blocking(move || {
            let engine = database.engine();
            if engine.table(&self.table).is_none() {
                return match self.if_exists {
                    true => Ok(Command::AlterTable),
                    false => Err(Error::UndefinedTable { name: self.table, position: None, hint: None }),
                };
            }
            let added: Vec<Rule> = self.added.rules.iter().map(|(rule, _)| rule.clone()).collect();
            make_room(&self.table, &added, engine)?;
            database.catalog().change_rules(&self.table, |before| self.changed(before), || Ok(()))?;
            for dropped in self.dropped.iter().filter(|dropped| !added.iter().any(|rule| rule.name == dropped.name)) {
                database.quality().tallies.forget(&self.table, Some(&dropped.name), engine)?;
            }
            Ok(Command::AlterTable)
        })
        .await
    }

    fn changed(&self, before: &TableRules) -> Result<TableRules> {
        let mut after = before.clone();
        for Dropped { name, if_exists, position } in &self.dropped {
            if after.find(name).is_none() && !if_exists {
                let (name, position) = (name.clone(), *position);
                return Err(Error::UndefinedObject { kind: "constraint", name, position, hint: None });
            }
            after.rules.retain(|rule| rule.name != *name);
        }
        for (rule, _) in &self.added.rules {
            if after.find(&rule.name).is_some() {
                return Err(Error::DuplicateObject { kind: "constraint", name: rule.name.clone() });
            }
            after.rules.push(rule.clone());
        }
        Ok(after)
    }
}

/// Forgets all about tables that are gone.
///
/// # Errors
/// Those of the engine.
pub(crate) fn forget_tables(names: &[String], database: &Database) -> Result<()> {
    let engine = database.engine();
    for name in names.iter().filter(|name| engine.table(name).is_none()) {
        kept::discard(name, engine)?;
        database.quality().tallies.forget(name, None, engine)?;
    }
    Ok(())
}
