//! From a parsed statement to a planned one: whose it is, then its parameters and columns.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{Declare, Statement};
use plimsoll_query::{CopyOptions, CopyOut, Prepared};

use super::command::Command;
use super::cursor::{Declaration, Fetch, declared as declared_cursor};
use super::session::Session;
use super::sqlstate::{SqlError, code};
use super::statement::{Column, Parameter, Plan, Planned, query_columns};
use super::system::{self, Times};
use super::types::{oid, parameter_oid, parameter_type};

/// Plans a statement that was parsed from `text`. `declared` are the types of the first parameters, 0 where they are to be
/// inferred.
///
/// # Errors
/// Whatever is wrong with the statement; 25P02 in a failed transaction.
pub(super) fn plan(
    session: &Session,
    statement: &plimsoll_query::Statement,
    text: &Arc<str>,
    declared: &[u32],
    times: Times,
) -> Result<Planned, SqlError> {
    let command = statement.ast().map(Command::of).transpose()?.flatten();
    session.check_not_failed(command.as_ref())?;
    let text = Arc::clone(text);
    if let Some(command) = command {
        let columns = command_columns(&command);
        return Ok(Planned { text, plan: Plan::Command(command), parameters: Vec::new(), columns });
    }
    if let Some(ast) = statement.ast() {
        if system::concerns(ast) {
            let (parameters, columns) = system::describe(session, ast, &text, declared, times)?;
            return Ok(Planned {
                text,
                plan: Plan::Catalog(Box::new(ast.clone())),
                parameters,
                columns: Some(columns),
            });
        }
        if let Some(plan) = over_a_query(session, statement, &text, declared, times)? {
            let parameters = match &plan {
                Plan::CopyOut { query, .. } | Plan::Declare(Declaration { query, .. }) => query.parameters.clone(),
                _ => Vec::new(),
            };
            return Ok(Planned { text, plan, parameters, columns: None });
        }
        if let Some(fetch) = Fetch::of(ast)? {
            let cursor = session.portals.get(&fetch.cursor).filter(|_| !fetch.moves);
            let columns = cursor.and_then(|cursor| cursor.planned.columns.clone());
            return Ok(Planned { text, plan: Plan::Fetch(fetch), parameters: Vec::new(), columns });
        }
        if let Some(target) = session.query.copy_in(ast)? {
            return Ok(Planned { text, plan: Plan::Copy(Box::new(target)), parameters: Vec::new(), columns: None });
        }
    }
    let types = declared.iter().map(|declared| parameter_type(*declared)).collect::<Result<Vec<_>, u32>>();
    let types =
        types.map_err(|type_oid| SqlError::unsupported(format!("parameters of type {type_oid} are not supported")))?;
    let mut prepared = session.query.prepare(statement, &types, times.now_ns)?;
    if declared.contains(&oid::NUMERIC) {
        // As a float a number beside unsigned integers would be another one beyond 2^53.
        let exact = unsigned_beside(declared, &types, |types| session.query.prepare(statement, types, times.now_ns))?;
        prepared = exact.unwrap_or(prepared);
    }
    let parameters = parameters(prepared.parameters(), declared);
    let columns = query_columns(&prepared);
    let is_copied = statement.is_copied_subscription();
    let planned = Planned { text, plan: Plan::Query { statement: statement.clone(), prepared }, parameters, columns };
    if is_copied {
        let (text, parameters) = (planned.text.clone(), planned.parameters.clone());
        let plan = Plan::CopyOut { query: Arc::new(planned), options: CopyOptions::default() };
        return Ok(Planned { text, plan, parameters, columns: None });
    }
    Ok(planned)
}

/// The statement planned with unsigned integers for the numerics whose places ask for them; `None` where none does.
fn unsigned_beside(
    declared: &[u32],
    types: &[Option<DataType>],
    prepare: impl Fn(&[Option<DataType>]) -> plimsoll_query::Result<Prepared>,
) -> Result<Option<Prepared>, SqlError> {
    let is_numeric = |at: usize| declared.get(at) == Some(&oid::NUMERIC);
    let open: Vec<_> = types.iter().enumerate().map(|(at, known)| known.clone().filter(|_| !is_numeric(at))).collect();
    let Ok(asked) = prepare(&open) else { return Ok(None) };
    let is_unsigned = |(at, asked): &(usize, &DataType)| is_numeric(*at) && **asked == DataType::UInt64;
    let unsigned: Vec<usize> = asked.parameters().iter().enumerate().filter(is_unsigned).map(|(at, _)| at).collect();
    if unsigned.is_empty() {
        return Ok(None);
    }
    let mut exact = types.to_vec();
    unsigned.into_iter().for_each(|at| exact[at] = Some(DataType::UInt64));
    Ok(Some(prepare(&exact)?))
}

/// The plan of a statement that does something with the rows of a query inside of it: COPY to the client, a cursor.
fn over_a_query(
    session: &Session,
    statement: &plimsoll_query::Statement,
    text: &Arc<str>,
    declared: &[u32],
    times: Times,
) -> Result<Option<Plan>, SqlError> {
    let inner = |query: &plimsoll_query::Statement| {
        let planned = plan(session, query, text, declared, times)?;
        let gives_rows = planned.columns.is_some() && !planned.is_subscription();
        if gives_rows {
            Ok(Arc::new(planned))
        } else {
            Err(SqlError::unsupported("only the rows of a query are read so"))
        }
    };
    if let Some(CopyOut { query, options }) = CopyOut::read(statement)? {
        return Ok(Some(Plan::CopyOut { query: inner(&query)?, options }));
    }
    let Some(Statement::Declare { stmts }) = statement.ast() else { return Ok(None) };
    let [Declare { for_query: Some(query), .. }] = stmts.as_slice() else { return Ok(None) };
    let (name, hold) = declared_cursor(&stmts[0])?;
    Ok(Some(Plan::Declare(Declaration { name, hold, query: inner(&statement.with_query(query.clone()))? })))
}

/// What the client declares stays; the rest is told as inferred.
fn parameters(inferred: &[DataType], declared: &[u32]) -> Vec<Parameter> {
    let parameter = |(at, data_type): (usize, &DataType)| {
        let declared = declared.get(at).copied().filter(|declared| !matches!(*declared, 0 | oid::UNKNOWN));
        Parameter { type_oid: declared.unwrap_or_else(|| parameter_oid(data_type)), data_type: data_type.clone() }
    };
    inferred.iter().enumerate().map(parameter).collect()
}

fn command_columns(command: &Command) -> Option<Vec<Column>> {
    let column = |name: &str| Column { name: name.to_owned(), type_oid: oid::TEXT };
    match command {
        Command::Show { name } => Some(vec![column(super::settings::find(name).map_or(name, |found| found.name))]),
        Command::ShowAll => Some(["name", "setting", "description"].map(column).to_vec()),
        _ => None,
    }
}

/// More statements than one where there can be but one.
pub(super) fn too_many_statements() -> SqlError {
    SqlError::new(code::SYNTAX_ERROR, "cannot insert multiple commands into a prepared statement")
}
