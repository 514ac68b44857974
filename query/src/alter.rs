//! `ALTER TABLE ... ADD COLUMN`: columns that a table gets; rows that it has already have NULL in them.
//!
//! Which of them are tags follows from the statement, as in CREATE TABLE: without a primary key every `text` column is one, with
//! `ADD PRIMARY KEY (time, a, b)` beside them those that it names.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{AlterTable, AlterTableOperation, ColumnDef, Spanned, TableConstraint};
use plimsoll_engine::{Column, Engine, SchemaError, TableSchema};

use crate::ddl::{check_options, column_kind, key_columns, no_key_without_time, table_name};
use crate::lower::folded;
use crate::session::blocking;
use crate::statement::span_position;
use crate::{Command, Error, Result};

/// Columns to be added.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewColumns {
    table: String,
    if_exists: bool,
    columns: Vec<NewColumn>,
    /// Names in the primary key that are not among the columns: they have to be there already.
    key: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct NewColumn {
    column: Column,
    if_not_exists: bool,
    position: Option<usize>,
}

impl NewColumns {
    /// The table.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Reads a statement; `None` for other changes of a table.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for clauses and types that tables here cannot have.
    pub(crate) fn read(alter: &AlterTable) -> Result<Option<NewColumns>> {
        let adds = |operation: &AlterTableOperation| matches!(operation, AlterTableOperation::AddColumn { .. });
        if !alter.operations.iter().any(adds) {
            return Ok(None);
        }
        let mut key = None;
        for operation in &alter.operations {
            match operation {
                AlterTableOperation::AddColumn { column_position: None, .. } => {}
                AlterTableOperation::AddConstraint {
                    constraint: constraint @ TableConstraint::PrimaryKey(primary),
                    ..
                } => {
                    let named = key_columns(primary).filter(|key| key.contains(TableSchema::TIME));
                    key = Some(named.ok_or_else(|| no_key_without_time(span_position(constraint.span())))?);
                }
                other => return Err(beside(other)),
            }
        }
        let mut columns: Vec<NewColumn> = Vec::new();
        for operation in &alter.operations {
            if let AlterTableOperation::AddColumn { if_not_exists, column_def, .. } = operation {
                let column = NewColumn::read(column_def, *if_not_exists, key.as_ref())?;
                if columns.iter().any(|other| other.column.name == column.column.name) {
                    return Err(column.exists(&table_name(&alter.name)?));
                }
                columns.push(column);
            }
        }
        let mut key = key.unwrap_or_default();
        key.retain(|name| !columns.iter().any(|column| column.column.name == *name));
        Ok(Some(NewColumns { table: table_name(&alter.name)?, if_exists: alter.if_exists, columns, key }))
    }

    /// Adds the columns, all or none.
    ///
    /// # Errors
    /// [`Error::UndefinedTable`], [`Error::Type`] for a column that is there already, [`Error::Engine`].
    pub(crate) async fn run(self, engine: Arc<Engine>) -> Result<Command> {
        blocking(move || {
            let Some(table) = engine.table(&self.table) else { return self.no_table() };
            if let Some(name) = self.key.iter().find(|name| table.position(name).is_none()) {
                return Err(Error::UndefinedColumn { name: name.clone(), position: None, hint: None });
            }
            let mut wanted = Vec::new();
            for column in &self.columns {
                match table.position(&column.column.name) {
                    None => wanted.push(column.column.clone()),
                    Some(_) if column.if_not_exists => {}
                    Some(_) => return Err(column.exists(&self.table)),
                }
            }
            match engine.add_columns(&self.table, &wanted) {
                Err(plimsoll_engine::Error::Schema(SchemaError::NoTable(_))) => self.no_table(),
                other => Ok(other.map(|()| Command::AlterTable)?),
            }
        })
        .await
    }

    fn no_table(&self) -> Result<Command> {
        match self.if_exists {
            true => Ok(Command::AlterTable),
            false => Err(Error::UndefinedTable { name: self.table.clone(), position: None, hint: None }),
        }
    }
}

impl NewColumn {
    fn read(column: &ColumnDef, if_not_exists: bool, key: Option<&BTreeSet<String>>) -> Result<NewColumn> {
        check_options(column)?;
        let name = folded(&column.name);
        let kind = column_kind(column, &name, key)?;
        let position = span_position(column.name.span);
        Ok(NewColumn { column: Column { name, kind }, if_not_exists, position })
    }

    fn exists(&self, table: &str) -> Error {
        let message = format!("column \"{}\" of relation \"{table}\" already exists", self.column.name);
        Error::Type { message, position: self.position, hint: Some("Use ADD COLUMN IF NOT EXISTS.".to_owned()) }
    }
}

fn beside(operation: &AlterTableOperation) -> Error {
    let what = format!("\"{operation}\" beside ADD COLUMN is not supported");
    let hint = Some("ADD COLUMN name type [, ADD COLUMN ...] [, ADD PRIMARY KEY (time, tag, ...)] is.".to_owned());
    Error::Unsupported { what, position: None, hint }
}
