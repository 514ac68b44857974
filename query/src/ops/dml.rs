//! UPDATE and DELETE on tables of the schema `ops`: each is the query of the rows that it concerns, with their numbers.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::sql::sqlparser::ast::{
    self, AssignmentTarget, Expr, FromTable, Ident, ObjectName, ObjectNamePart, Query, SelectItem, SetExpr, Spanned,
    TableFactor, TableWithJoins,
};

use super::schema::{SCHEMA, Table, Type, find_in};
use super::source::WITH_ID;
use super::{Held, Writer, undefined};
use crate::lower::folded;
use crate::statement::{query, span_position};
use crate::{Database, Error, Result};

/// A planned UPDATE or DELETE.
#[derive(Debug, Clone)]
pub(crate) struct Changing {
    pub(crate) table: &'static Table,
    /// The columns that an UPDATE sets, by position; `None` for a DELETE.
    set: Option<Vec<usize>>,
    actor: Arc<str>,
}

impl Changing {
    /// The statement, and the query of the numbers of its rows and of the new values of their columns; `None` for a table of
    /// another schema.
    ///
    /// # Errors
    /// [`Error::UndefinedTable`], [`Error::UndefinedColumn`], [`Error::Unsupported`] for clauses that are not offered.
    pub(crate) fn update(update: &ast::Update, actor: &Arc<str>) -> Result<Option<(Changing, Query)>> {
        let Some(table) = target(&update.table)? else { return Ok(None) };
        if update.from.is_some() || update.returning.is_some() || update.limit.is_some() {
            return Err(unsupported("UPDATE with FROM, RETURNING or LIMIT", "Use UPDATE ... SET ... WHERE ..."));
        }
        let mut columns = Vec::new();
        let mut items = vec![SelectItem::UnnamedExpr(Expr::Identifier(Ident::with_quote('"', WITH_ID)))];
        for assignment in &update.assignments {
            let AssignmentTarget::ColumnName(name) = &assignment.target else {
                return Err(unsupported("UPDATE of several columns at once", "Write SET a = ..., b = ..."));
            };
            let at = column_of(table, name)?;
            if columns.contains(&at) {
                let message = format!("multiple assignments to same column \"{}\"", table.columns[at].name);
                let position = span_position(name.span()).unwrap_or(1);
                return Err(Error::Syntax { message, position, hint: None });
            }
            columns.push(at);
            items.push(SelectItem::ExprWithAlias {
                expr: cast(assignment.value.clone(), table.columns[at].data_type),
                alias: Ident::with_quote('"', table.columns[at].name),
            });
        }
        let query = rows_query(&update.table, update.selection.as_ref(), items)?;
        Ok(Some((Changing { table, set: Some(columns), actor: actor.clone() }, query)))
    }

    /// The statement, and the query of the numbers of its rows; `None` for a table of another schema.
    ///
    /// # Errors
    /// As [`Changing::update`].
    pub(crate) fn delete(delete: &ast::Delete, actor: &Arc<str>) -> Result<Option<(Changing, Query)>> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let [one] = from.as_slice() else { return Ok(None) };
        let Some(table) = target(one)? else { return Ok(None) };
        if delete.using.is_some() || delete.returning.is_some() || delete.limit.is_some() {
            return Err(unsupported("DELETE with USING, RETURNING or LIMIT", "Use DELETE FROM ... WHERE ..."));
        }
        let items = vec![SelectItem::UnnamedExpr(Expr::Identifier(Ident::with_quote('"', WITH_ID)))];
        let query = rows_query(one, delete.selection.as_ref(), items)?;
        Ok(Some((Changing { table, set: None, actor: actor.clone() }, query)))
    }
}

/// What a statement has read and is about to change.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) batches: Vec<RecordBatch>,
    /// The table as it was before it was read.
    pub(crate) before: Arc<Held>,
    pub(crate) now_ns: i64,
}

impl Changing {
    /// True for an UPDATE.
    pub(crate) fn is_update(&self) -> bool {
        self.set.is_some()
    }

    /// Changes or removes the rows that the query gave. Gives how many there were; `None` when they have to be read again,
    /// because somebody else has changed them meanwhile.
    ///
    /// # Errors
    /// [`Error::NotNull`], [`Error::Check`], [`Error::DuplicateKey`], [`Error::Catalog`]; then nothing has changed.
    pub(crate) fn run(&self, touched: &Touched, database: &Database) -> Result<Option<u64>> {
        let Touched { batches, before, now_ns } = touched;
        let columns = self.set.clone().unwrap_or_default();
        let writer = Writer { table: self.table, columns, conflict: None, actor: self.actor.clone() };
        match self.is_update() {
            true => writer.update(&numbers(batches), batches, before, database, *now_ns),
            false => writer.delete(&numbers(batches), before, database, *now_ns),
        }
    }
}

/// The numbers of rows, from the first column of batches.
fn numbers(batches: &[RecordBatch]) -> Vec<u64> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt64Type>().values().iter().copied()).collect()
}

/// The table of the schema `ops` that a statement names, if it names one.
fn target(from: &TableWithJoins) -> Result<Option<&'static Table>> {
    let TableFactor::Table { name, .. } = &from.relation else { return Ok(None) };
    if !from.joins.is_empty() {
        return Ok(None);
    }
    named(name)
}

/// The table of a name whose rows a statement may change; `None` for one that is not kept here.
///
/// # Errors
/// [`Error::UndefinedTable`], [`Error::Unsupported`] for one whose rows come of what happens.
pub(crate) fn named(name: &ObjectName) -> Result<Option<&'static Table>> {
    let parts: Vec<String> = name.0.iter().filter_map(ObjectNamePart::as_ident).map(folded).collect();
    let [schema, table] = parts.as_slice() else { return Ok(None) };
    let position = span_position(name.span());
    match find_in(schema, table) {
        Some(table) if table.is_kept => {
            let what = format!("\"{schema}.{}\" is kept by the database: it can be read and not changed", table.name);
            Err(Error::Unsupported { what, position, hint: None })
        }
        Some(table) => Ok(Some(table)),
        None if schema == SCHEMA && crate::system::find(schema, table).is_none() => {
            Err(undefined(schema, table, position))
        }
        None => Ok(None),
    }
}

/// The position of a column.
///
/// # Errors
/// [`Error::UndefinedColumn`].
pub(crate) fn column_of(table: &Table, name: &ObjectName) -> Result<usize> {
    let ident = name.0.last().and_then(ObjectNamePart::as_ident).map(folded).unwrap_or_default();
    table.position(&ident).ok_or_else(|| {
        let similar = crate::functions::most_similar(&ident, table.columns.iter().map(|column| column.name));
        let hint = similar.map(|similar| format!("Did you mean \"{similar}\"?"));
        Error::UndefinedColumn { name: ident, position: span_position(name.span()), hint }
    })
}

/// `SELECT items FROM table WHERE condition`, from the table with the numbers of its rows.
fn rows_query(from: &TableWithJoins, condition: Option<&Expr>, items: Vec<SelectItem>) -> Result<Query> {
    let mut query = *query("SELECT 1")?;
    let SetExpr::Select(select) = &mut *query.body else { unreachable!("it is written as a SELECT") };
    let mut from = from.clone();
    if let TableFactor::Table { name, .. } = &mut from.relation
        && let Some(ObjectNamePart::Identifier(schema)) = name.0.first_mut()
    {
        *schema = Ident { value: WITH_ID.to_owned(), quote_style: Some('"'), span: schema.span };
    }
    select.projection = items;
    select.from = vec![from];
    select.selection = condition.cloned();
    Ok(query)
}

fn cast(expr: Expr, data_type: Type) -> Expr {
    let data_type = match data_type {
        Type::Text => ast::DataType::Text,
        Type::Integer => ast::DataType::BigInt(None),
        Type::Float => ast::DataType::DoublePrecision,
        Type::Boolean => ast::DataType::Boolean,
        Type::Time => ast::DataType::Timestamp(None, ast::TimezoneInfo::Tz),
    };
    let (expr, kind) = (Box::new(expr), ast::CastKind::Cast);
    Expr::Cast { kind, expr, data_type, array: false, format: None }
}

fn unsupported(what: &str, hint: &str) -> Error {
    let what = format!("{what} is not supported");
    Error::Unsupported { what, position: None, hint: Some(hint.to_owned()) }
}
