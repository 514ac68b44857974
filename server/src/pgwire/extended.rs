//! The extended protocol: parse, bind, describe, execute and close as separate messages, up to `Sync`.

use std::sync::Arc;

use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, TARGET_TYPE_BYTE_STATEMENT,
};

use super::columns::Format;
use super::connection::{Connection, Stop, formats};
use super::parameters::read;
use super::planning::too_many_statements;
use super::session::{Arguments, Life, Portal, Progress, no_statement};
use super::sqlstate::{SqlError, code};
use super::statement::{Plan, Planned, row_description};
use super::system;

impl Connection {
    pub(super) fn parse(&mut self, parse: Parse) -> Result<(), SqlError> {
        let name = parse.name.unwrap_or_default();
        let text: Arc<str> = parse.query.into();
        let statements = plimsoll_query::parse(&text)?;
        let planned = match statements.as_slice() {
            [] => Planned::empty(),
            [statement] => self.plan(statement, &text, &parse.type_oids)?,
            _ => return Err(too_many_statements()),
        };
        let statements = &mut self.session.statements;
        if !name.is_empty() && statements.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(SqlError::new(code::DUPLICATE_STATEMENT, message));
        }
        check_room(statements.len(), self.shared.limits.statements_max, "prepared statements")?;
        statements.insert(name, Arc::new(planned));
        self.writer.put(&ParseComplete::new());
        Ok(())
    }

    pub(super) fn bind(&mut self, bind: &Bind) -> Result<(), SqlError> {
        let name = bind.portal_name.clone().unwrap_or_default();
        let statement = bind.statement_name.as_deref().unwrap_or_default();
        let planned = self.session.statements.get(statement).cloned().ok_or_else(|| no_statement(statement))?;
        if let Plan::Command(command) = &planned.plan {
            self.session.check_not_failed(Some(command))?;
        } else if !matches!(planned.plan, Plan::Empty) {
            self.session.check_not_failed(None)?;
        }
        if !name.is_empty() && self.session.portals.contains_key(&name) {
            let message = format!("cursor \"{name}\" already exists");
            return Err(SqlError::new(code::DUPLICATE_CURSOR, message));
        }
        check_room(self.session.portals.len(), self.shared.limits.portals_max, "portals")?;
        let arguments = self.arguments(bind, statement, &planned)?;
        let formats = formats(&bind.result_column_format_codes, planned.columns.as_ref().map_or(0, Vec::len))?;
        self.session
            .portals
            .insert(name, Portal { planned, arguments, formats, progress: Progress::Bound, life: Life::Transaction });
        self.writer.put(&BindComplete::new());
        Ok(())
    }

    fn arguments(&self, bind: &Bind, statement: &str, planned: &Planned) -> Result<Arguments, SqlError> {
        let (given, wanted) = (bind.parameters.len(), planned.parameters.len());
        if given != wanted {
            let message = format!(
                "bind message supplies {given} parameters, but prepared statement \"{statement}\" requires {wanted}"
            );
            return Err(SqlError::new(code::PROTOCOL_VIOLATION, message));
        }
        let formats = parameter_formats(&bind.parameter_format_codes, given)?;
        let values = bind.parameters.iter().map(|value| value.as_deref()).zip(formats).zip(&planned.parameters);
        if planned.asks_catalog() {
            let values = values.map(|((bytes, format), parameter)| system::read(bytes, format, parameter.type_oid));
            return values.collect::<Result<_, _>>().map(Arguments::Catalog);
        }
        let zone = &self.session.zone;
        let values = values
            .map(|((bytes, format), parameter)| read(bytes, format, parameter.type_oid, &parameter.data_type, zone));
        values.collect::<Result<_, _>>().map(Arguments::Query)
    }

    pub(super) fn describe(&mut self, describe: &Describe) -> Result<(), SqlError> {
        let name = describe.name.as_deref().unwrap_or_default();
        if describe.target_type == TARGET_TYPE_BYTE_STATEMENT {
            let planned = self.session.statements.get(name).ok_or_else(|| no_statement(name))?;
            let types = planned.parameters.iter().map(|parameter| parameter.type_oid).collect();
            self.writer.put(&ParameterDescription::new(types));
            let formats = vec![Format::Text; planned.columns.as_ref().map_or(0, Vec::len)];
            put_columns(&mut self.writer, planned, &formats);
        } else {
            let portal = self.session.portals.get(name).ok_or_else(|| no_portal(name))?;
            put_columns(&mut self.writer, &portal.planned, &portal.formats);
        }
        Ok(())
    }

    pub(super) async fn execute_portal(&mut self, execute: &Execute) -> Result<(), Stop> {
        let name = execute.name.as_deref().unwrap_or_default();
        // Out of its place while it runs, so that an error leaves no portal that is half way.
        let mut portal = self.session.portals.remove(name).ok_or_else(|| no_portal(name))?;
        let rows_max = u64::try_from(execute.max_rows).ok().filter(|rows| *rows > 0).unwrap_or(u64::MAX);
        let completion = self.execute(&mut portal, rows_max).await?;
        self.put_completion(completion);
        if !ends_portals(&portal.planned) {
            self.session.portals.insert(name.to_owned(), portal);
        }
        Ok(())
    }

    /// Closing what is not there is no error.
    pub(super) fn close(&mut self, close: &Close) {
        let name = close.name.as_deref().unwrap_or_default();
        if close.target_type == TARGET_TYPE_BYTE_STATEMENT {
            self.session.statements.remove(name);
        } else {
            self.session.portals.remove(name);
        }
        self.writer.put(&CloseComplete::new());
    }
}

fn put_columns(writer: &mut super::wire::Writer<super::Output>, planned: &Planned, formats: &[Format]) {
    match &planned.columns {
        Some(columns) => writer.put(&row_description(columns, formats)),
        None => writer.put(&NoData::new()),
    }
}

/// Commands that close all portals close their own.
fn ends_portals(planned: &Planned) -> bool {
    use super::command::Command;
    let Plan::Command(command) = &planned.plan else { return false };
    matches!(command, Command::Commit { .. } | Command::Rollback { .. } | Command::DiscardAll | Command::Close(None))
}

fn no_portal(name: &str) -> SqlError {
    SqlError::new(code::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

fn check_room(there: usize, limit: usize, what: &str) -> Result<(), SqlError> {
    if there < limit {
        return Ok(());
    }
    Err(SqlError::new(code::LIMIT_EXCEEDED, format!("too many {what} on one connection, limit {limit}")))
}

/// The format of each parameter: none is text, one is for all.
fn parameter_formats(codes: &[i16], parameters: usize) -> Result<Vec<Format>, SqlError> {
    if codes.len() > 1 && codes.len() != parameters {
        let message = format!("bind message has {} parameter formats but {parameters} parameters", codes.len());
        return Err(SqlError::new(code::PROTOCOL_VIOLATION, message));
    }
    formats(codes, parameters)
}
