//! The system catalogue: statements over `pg_catalog` and `information_schema`, and about the server itself, with
//! PostgreSQL 15's semantics.
//!
//! ```text
//!  parsed statement ─► route: is it ours? ─► bind: names, types ─► plan ─► run: row by row ─► answer
//!                                              │                            │
//!                                              └── types, functions, relations: what the catalogue holds
//! ```
//!
//! Invariants
//! - A statement is ours by what it mentions, never by its text; unqualified names mean `pg_catalog` first.
//! - Binding alone gives the columns and parameters, so that a statement can be described before it is run.
//! - Nothing here blocks, waits or writes; nesting, rows and work are bounded.

mod bind;
mod cast;
mod datum;
mod decimal;
mod error;
mod functions;
mod objects;
mod plan;
mod relations;
mod route;
mod run;
#[cfg(test)]
mod tests;
mod text;
mod types;
mod wire;

pub use self::{
    datum::{Array, Datum},
    decimal::Decimal,
    error::CatalogError,
};
use datafusion::sql::sqlparser::ast::Statement;

/// PostgreSQL's version number and ours, as `server_version` reports them.
pub const SERVER_VERSION: &str = functions::SERVER_VERSION;

/// A table or view that is not of PostgreSQL's own catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The schema that it lives in: `public` or `sys`.
    pub schema: &'static str,
    /// The query of a view; `None` for a table.
    pub definition: Option<String>,
    /// Whether the rows of a view are kept.
    pub is_materialized: bool,
    /// Stable while the server runs.
    pub oid: u32,
    /// As stored, not quoted.
    pub name: String,
    /// In the order of `SELECT *`.
    pub columns: Vec<TableColumn>,
}

impl Table {
    /// Its kind, as `pg_class` tells it.
    fn kind(&self) -> char {
        match self.definition {
            Some(_) if self.is_materialized => 'm',
            Some(_) => 'v',
            None => 'r',
        }
    }
}

/// A column of a user table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// As stored, not quoted.
    pub name: String,
    /// A built-in PostgreSQL type: 1184 `timestamptz`, 701 `float8`, 20 `int8`, 1700 `numeric`, 16 `bool`, 25 `text`.
    pub type_oid: u32,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// What `\d+` shows as its description.
    pub comment: Option<String>,
}

/// What the catalogue is asked in: the session and the tables it sees.
pub struct Context<'a> {
    /// The user tables.
    pub tables: &'a [Table],
    /// The connected database.
    pub database: &'a str,
    /// The connected user.
    pub user: &'a str,
    /// The number by which the session can be cancelled.
    pub backend_pid: i32,
    /// The channels that it listens on.
    pub listening: &'a [String],
    /// A setting's value by its lower-case name, `search_path` and `timezone` among them.
    pub settings: &'a dyn Fn(&str) -> Option<String>,
    /// Names and values of all settings, for `pg_settings`.
    pub all_settings: &'a [(String, String)],
    /// The time of the statement (ns since the Unix epoch, UTC).
    pub now_ns: i64,
    /// When the server started (ns since the Unix epoch, UTC).
    pub started_ns: i64,
}

/// The shape of a statement's result, and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Names and type oids of the columns; names may repeat.
    pub columns: Vec<(String, u32)>,
    /// Type oids of `$1`, `$2`, ...
    pub parameters: Vec<u32>,
}

/// A statement's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Names and type oids of the columns; names may repeat.
    pub columns: Vec<(String, u32)>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<Datum>>,
    /// Settings that `set_config` asked to change, in order: for the session to apply.
    pub settings: Vec<(String, String)>,
    /// Channels and payloads that `pg_notify` asked to tell of, in order: for the session to tell.
    pub notifications: Vec<(String, String)>,
    /// How long to wait before the rows are sent, in seconds.
    pub sleep_s: f64,
}

/// Whether the statement is answered here: all its relations are system relations, or it has none and asks for
/// something that only the catalogue knows.
#[must_use]
pub fn concerns(statement: &Statement) -> bool {
    route::concerns(statement)
}

/// Columns and parameters of a statement. `parameter_types` holds the oids the client declared, 0 for each it left open.
///
/// # Errors
/// What PostgreSQL would refuse when parsing: unknown names, types that do not fit, and what is not supported.
pub fn describe(
    statement: &Statement,
    context: &Context<'_>,
    parameter_types: &[u32],
) -> Result<Description, CatalogError> {
    let bound = bind::bind(statement, context, parameter_types)?;
    Ok(Description { columns: columns(&bound.query), parameters: bound.parameters })
}

/// Runs a statement with the values of its parameters, which are of the types that [`describe`] gave for the same
/// `parameter_types`.
///
/// # Errors
/// Those of [`describe`], and what PostgreSQL would refuse when running: bad values, limits.
pub fn execute(
    statement: &Statement,
    context: &Context<'_>,
    parameter_types: &[u32],
    parameters: &[Datum],
) -> Result<Answer, CatalogError> {
    let bound = bind::bind(statement, context, parameter_types)?;
    if parameters.len() < bound.parameters.len() {
        let (given, needed) = (parameters.len(), bound.parameters.len());
        let message = format!("bind message supplies {given} parameters, but the statement requires {needed}");
        return Err(CatalogError::new("08P01", message));
    }
    let parameters = parameters
        .iter()
        .zip(bound.parameters.iter().chain(std::iter::repeat(&0)))
        .map(|(value, type_oid)| objects::resolved(context, value, *type_oid))
        .collect::<Result<Vec<_>, _>>()?;
    let runtime = run::Runtime::new(context, &parameters);
    let rows = runtime.run(&bound.query)?.iter().map(|row| row.to_vec()).collect();
    let (settings, notifications) = (runtime.settings.take(), runtime.notifications.take());
    let (columns, sleep_s) = (columns(&bound.query), runtime.sleep_s.get());
    Ok(Answer { columns, rows, settings, notifications, sleep_s })
}

fn columns(query: &plan::Query) -> Vec<(String, u32)> {
    query.columns.iter().map(|column| (column.name.clone(), column.type_oid)).collect()
}
