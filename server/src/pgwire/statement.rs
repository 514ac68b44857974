//! A statement, planned: who carries it out, the parameters it takes, the columns it gives.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast;
use pgwire::messages::data::{FieldDescription, RowDescription};
use plimsoll_query::{CopyIn, CopyOptions, Prepared, Statement};

use super::columns::Format;
use super::command::Command;
use super::cursor::{Declaration, Fetch};
use super::types::{column_oid, size_bytes};

/// A statement that was parsed and planned, good for any number of runs.
#[derive(Debug)]
pub(crate) struct Planned {
    /// The text that it was parsed from, which positions in errors count along.
    pub(crate) text: Arc<str>,
    pub(crate) plan: Plan,
    pub(crate) parameters: Vec<Parameter>,
    /// `None` for a statement that gives no rows.
    pub(crate) columns: Option<Vec<Column>>,
}

/// Who carries a statement out.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Nobody: blanks, comments, a lone semicolon.
    Empty,
    /// The connection.
    Command(Command),
    /// The interpreter over the system catalogue.
    Catalog(Box<ast::Statement>),
    /// COPY: rows from the client into a table.
    Copy(Box<CopyIn>),
    /// COPY: the rows of another statement to the client.
    CopyOut { query: Arc<Planned>, options: CopyOptions },
    /// A cursor over another statement's rows.
    Declare(Declaration),
    /// Rows of a cursor.
    Fetch(Fetch),
    /// The query layer.
    Query { statement: Statement, prepared: Prepared },
}

/// One parameter, as the client was told and as the statement takes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) type_oid: u32,
    pub(crate) data_type: DataType,
}

/// One column of the result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
}

impl Planned {
    /// What blanks, comments and a lone semicolon come to.
    pub(crate) fn empty() -> Planned {
        Planned { text: "".into(), plan: Plan::Empty, parameters: Vec::new(), columns: None }
    }

    /// True when its parameters go to the catalogue's interpreter.
    pub(crate) fn asks_catalog(&self) -> bool {
        match &self.plan {
            Plan::Catalog(_) => true,
            Plan::CopyOut { query, .. } | Plan::Declare(Declaration { query, .. }) => query.asks_catalog(),
            _ => false,
        }
    }

    /// True for rows that come as something happens, and are sent as they come.
    pub(crate) fn is_subscription(&self) -> bool {
        matches!(&self.plan, Plan::Query { statement, .. } if statement.dialect_tag() == Some("SUBSCRIBE"))
    }

    /// The word by which it is counted.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.plan {
            Plan::Empty => "empty",
            Plan::Command(command) => command.kind(),
            Plan::Catalog(_) => "catalog",
            Plan::Copy(_) | Plan::CopyOut { .. } => "copy",
            Plan::Declare(_) | Plan::Fetch(_) => "cursor",
            Plan::Query { statement, .. } => match statement.ast() {
                None if !matches!(statement.dialect_tag(), Some("SHOW" | "SELECT" | "SUBSCRIBE")) => "ddl",
                Some(ast::Statement::Query(_)) => "select",
                Some(ast::Statement::Insert(_)) => "insert",
                Some(ast::Statement::Explain { .. } | ast::Statement::ExplainTable { .. }) => "explain",
                Some(ast::Statement::CreateTable(_) | ast::Statement::CreateView(_) | ast::Statement::Drop { .. }) => {
                    "ddl"
                }
                _ => "other",
            },
        }
    }
}

/// The columns of a query, by the types that stand for theirs.
pub(crate) fn query_columns(prepared: &Prepared) -> Option<Vec<Column>> {
    let column = |column: &plimsoll_query::OutputColumn| Column {
        name: column.name.clone(),
        type_oid: column_oid(&column.data_type),
    };
    prepared.returns_rows().then(|| prepared.columns().iter().map(column).collect())
}

/// The message that describes the rows to come. The table of a column is not told, which is always safe.
pub(crate) fn row_description(columns: &[Column], formats: &[Format]) -> RowDescription {
    let field = |(column, format): (&Column, &Format)| {
        let format = match format {
            Format::Text => 0,
            Format::Binary => 1,
        };
        FieldDescription::new(column.name.clone(), 0, 0, column.type_oid, size_bytes(column.type_oid), -1, format)
    };
    RowDescription::new(columns.iter().zip(formats).map(field).collect())
}
