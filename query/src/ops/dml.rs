//! UPDATE and DELETE on tables of the schema `ops`: each is the query of the rows that it concerns, with their numbers.

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::sql::sqlparser::ast::{
    self, AssignmentTarget, Expr, FromTable, Ident, ObjectName, ObjectNamePart, Query, SelectItem, SetExpr, Spanned,
    TableFactor, TableWithJoins,
};

use super::schema::{SCHEMA, Table, Type, find};
use super::source::WITH_ID;
use super::{Writer, undefined};
use crate::lower::folded;
use crate::statement::{query, span_position};
use crate::{Database, Error, Result};

/// A planned UPDATE.
#[derive(Debug, Clone)]
pub(crate) struct Updating {
    pub(crate) table: &'static Table,
    /// The columns that are set, by position.
    pub(crate) columns: Vec<usize>,
}

/// A planned DELETE.
#[derive(Debug, Clone)]
pub(crate) struct Deleting {
    pub(crate) table: &'static Table,
}

impl Updating {
    /// The statement, and the query of the numbers of its rows and of the new values of their columns; `None` for a table of
    /// another schema.
    ///
    /// # Errors
    /// [`Error::UndefinedTable`], [`Error::UndefinedColumn`], [`Error::Unsupported`] for clauses that are not offered.
    pub(crate) fn read(update: &ast::Update) -> Result<Option<(Updating, Query)>> {
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
        Ok(Some((Updating { table, columns }, query)))
    }
}

impl Deleting {
    /// The statement, and the query of the numbers of its rows; `None` for a table of another schema.
    ///
    /// # Errors
    /// As [`Updating::read`].
    pub(crate) fn read(delete: &ast::Delete) -> Result<Option<(Deleting, Query)>> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let [one] = from.as_slice() else { return Ok(None) };
        let Some(table) = target(one)? else { return Ok(None) };
        if delete.using.is_some() || delete.returning.is_some() || delete.limit.is_some() {
            return Err(unsupported("DELETE with USING, RETURNING or LIMIT", "Use DELETE FROM ... WHERE ..."));
        }
        let items = vec![SelectItem::UnnamedExpr(Expr::Identifier(Ident::with_quote('"', WITH_ID)))];
        Ok(Some((Deleting { table }, rows_query(one, delete.selection.as_ref(), items)?)))
    }
}

impl Updating {
    /// Changes the rows that the query gave. Gives how many there were.
    ///
    /// # Errors
    /// [`Error::NotNull`], [`Error::Check`], [`Error::DuplicateKey`]; then nothing has changed.
    pub(crate) fn run(&self, batches: &[RecordBatch], database: &Database) -> Result<u64> {
        let (columns, actor) = (self.columns.clone(), "".into());
        Writer { table: self.table, columns, conflict: None, actor }.update(&ids(batches), batches, database)
    }
}

impl Deleting {
    /// Removes the rows that the query gave. Gives how many there were.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub(crate) fn run(&self, batches: &[RecordBatch], database: &Database) -> Result<u64> {
        Writer::delete(self.table, &ids(batches), database)
    }
}

/// The numbers of rows, from the first column of batches.
fn ids(batches: &[RecordBatch]) -> Vec<u64> {
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

/// The table of the schema `ops` of a name; `None` for another schema.
///
/// # Errors
/// [`Error::UndefinedTable`].
pub(crate) fn named(name: &ObjectName) -> Result<Option<&'static Table>> {
    let parts: Vec<String> = name.0.iter().filter_map(ObjectNamePart::as_ident).map(folded).collect();
    match parts.as_slice() {
        [schema, table] if schema == SCHEMA => {
            find(table).map(Some).ok_or_else(|| undefined(table, span_position(name.span())))
        }
        _ => Ok(None),
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
