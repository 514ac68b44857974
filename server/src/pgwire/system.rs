//! Statements about the catalogue, brought to its interpreter: what it has to know of the session, and how its errors are told.

use std::hash::{Hash, Hasher};

use datafusion::arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::Statement;
use plimsoll_engine::{ColumnKind, TableSchema};
use plimsoll_query::{DefinedRelation, OpsTable, SystemTable, View, ops_tables, system_tables};

use super::catalog::{self, Answer, Context, Datum, Table, TableColumn};
use super::columns::Format;
use super::session::Session;
use super::settings::{DEFINITIONS, Scope};
use super::sqlstate::{SqlError, code};
use super::statement::{Column, Parameter};
use super::types::column_oid;

pub(crate) use super::catalog::concerns;

/// Where PostgreSQL's object ids of user tables begin.
const FIRST_USER_OID: u32 = 16_384;

/// Where ours of views begin.
const FIRST_VIEW_OID: u32 = 1 << 31;

/// Where ours of system tables begin, below those of users.
const FIRST_SYSTEM_OID: u32 = 15_000;

/// Where ours of the tables begin whose rows the schema `ops` keeps.
const FIRST_OPS_OID: u32 = 15_500;

/// When a statement runs, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) now_ns: i64,
    /// The start of the server.
    pub(crate) started_ns: i64,
}

/// Parameters and columns of a statement that was parsed from `text`. `declared` are the types that the client named, 0
/// where it left one open.
///
/// # Errors
/// What PostgreSQL would refuse when it parses the statement.
pub(crate) fn describe(
    session: &Session,
    statement: &Statement,
    text: &str,
    declared: &[u32],
    times: Times,
) -> Result<(Vec<Parameter>, Vec<Column>), SqlError> {
    let description = in_context(session, times, |context| catalog::describe(statement, context, declared));
    let description = description.map_err(|error| SqlError::catalog(error, text))?;
    let column = |(name, type_oid)| Column { name, type_oid };
    let parameter = |type_oid| Parameter { type_oid, data_type: DataType::Null };
    Ok((
        description.parameters.into_iter().map(parameter).collect(),
        description.columns.into_iter().map(column).collect(),
    ))
}

/// Runs a statement that was parsed from `text`, with parameters of the types that [`describe`] gave.
///
/// # Errors
/// What PostgreSQL would refuse when it runs the statement, and limits of the interpreter.
pub(crate) fn execute(
    session: &mut Session,
    statement: &Statement,
    text: &str,
    parameters: &[Parameter],
    arguments: &[Datum],
    times: Times,
) -> Result<Answer, SqlError> {
    let types: Vec<u32> = parameters.iter().map(|parameter| parameter.type_oid).collect();
    let answer = in_context(session, times, |context| catalog::execute(statement, context, &types, arguments));
    let answer = answer.map_err(|error| SqlError::catalog(error, text))?;
    for (name, value) in &answer.settings {
        session.set(name, &[value], Scope::Session)?;
    }
    for (channel, payload) in &answer.notifications {
        session.notify(channel, payload)?;
    }
    Ok(answer)
}

/// Reads a parameter of a type that [`describe`] gave.
///
/// # Errors
/// 22P02, 22P03 and their kin, when the bytes are not of the type.
pub(crate) fn read(bytes: Option<&[u8]>, format: Format, type_oid: u32) -> Result<Datum, SqlError> {
    let Some(bytes) = bytes else { return Ok(Datum::Null) };
    let value = match format {
        Format::Binary => Datum::from_binary(type_oid, bytes),
        Format::Text => {
            let invalid = |_| SqlError::new(code::NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\"");
            Datum::from_text(type_oid, std::str::from_utf8(bytes).map_err(invalid)?)
        }
    };
    value.map_err(|error| SqlError::catalog(error, ""))
}

fn in_context<T>(session: &Session, times: Times, ask: impl FnOnce(&Context<'_>) -> T) -> T {
    let (tables, listening) = (relations(session), session.listening());
    let setting = |name: &str| session.settings.get(name).map(str::to_owned);
    let all_settings: Vec<(String, String)> = DEFINITIONS
        .iter()
        .map(|definition| (definition.name.to_owned(), setting(definition.name).unwrap_or_default()))
        .collect();
    ask(&Context {
        tables: &tables,
        database: &session.database_name,
        user: &session.user,
        backend_pid: session.pid,
        listening: &listening,
        settings: &setting,
        all_settings: &all_settings,
        now_ns: times.now_ns,
        started_ns: times.started_ns,
    })
}

/// Tables and views of users, and the system tables.
fn relations(session: &Session) -> Vec<Table> {
    let tables = session.database.engine().tables();
    let views = session.database.views();
    let ours = tables.iter().map(|schema| table(schema)).chain(views.iter().map(|defined| view(defined)));
    let defined = session.database.relations();
    let ours = ours.chain(defined.iter().map(defined_relation));
    let ours = ours.chain(ops_tables().zip(FIRST_OPS_OID..).map(|(known, oid)| ops_table(&known, oid)));
    ours.chain(system_tables().zip(FIRST_SYSTEM_OID..).map(|(known, oid)| system_table(known, oid))).collect()
}

fn view(view: &View) -> Table {
    let column = |column: &plimsoll_query::ViewColumn| TableColumn {
        name: column.name.clone(),
        type_oid: column_oid(&column.data_type),
        not_null: false,
        comment: None,
    };
    Table {
        schema: "public",
        definition: Some(view.query.clone()),
        is_materialized: view.is_continuous,
        oid: oid_of_name(&view.name),
        name: view.name.clone(),
        columns: view.columns.iter().map(column).collect(),
    }
}

fn defined_relation(relation: &DefinedRelation) -> Table {
    let column = |(name, data_type): &(String, DataType)| TableColumn {
        name: name.clone(),
        type_oid: column_oid(data_type),
        not_null: false,
        comment: None,
    };
    Table {
        schema: relation.schema,
        definition: Some(relation.definition.clone()),
        is_materialized: false,
        oid: oid_of_name(&format!("{}.{}", relation.schema, relation.name)),
        name: relation.name.clone(),
        columns: relation.columns.iter().map(column).collect(),
    }
}

/// A number that comes from a name, for what has none of its own; numbers of tables stay far below.
fn oid_of_name(name: &str) -> u32 {
    let mut hasher = std::hash::DefaultHasher::new();
    name.hash(&mut hasher);
    FIRST_VIEW_OID | hasher.finish() as u32
}

fn ops_table(table: &OpsTable, oid: u32) -> Table {
    let column = |column: &plimsoll_query::OpsColumn| TableColumn {
        name: column.name.to_owned(),
        type_oid: column_oid(&column.data_type),
        not_null: false,
        comment: Some(column.about.to_owned()),
    };
    let columns = table.columns.iter().map(column).collect();
    Table { schema: table.schema, definition: None, is_materialized: false, oid, name: table.name.to_owned(), columns }
}

fn system_table(table: &SystemTable, oid: u32) -> Table {
    let zone = "UTC".into();
    let column = |column: &plimsoll_query::SystemColumn| TableColumn {
        name: column.name.to_owned(),
        type_oid: column_oid(&column.data_type(&zone)),
        not_null: false,
        comment: Some(column.about.to_owned()),
    };
    Table {
        schema: table.schema,
        definition: Some(format!("built in: {}", table.about)),
        is_materialized: false,
        oid,
        name: table.name.to_owned(),
        columns: table.columns.iter().map(column).collect(),
    }
}

fn table(schema: &TableSchema) -> Table {
    let column = |column: &plimsoll_engine::Column| TableColumn {
        name: column.name.clone(),
        type_oid: column_oid(&column.kind.arrow()),
        not_null: column.kind == ColumnKind::Time,
        comment: Some(column.kind.name().to_owned()),
    };
    Table {
        schema: "public",
        definition: None,
        is_materialized: false,
        oid: FIRST_USER_OID.saturating_add(schema.id.0),
        name: schema.name.clone(),
        columns: schema.columns.iter().map(column).collect(),
    }
}
