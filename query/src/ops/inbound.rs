//! Tickets of a service desk, as incidents: entered anew or brought up to date, by the names that the desk has for them.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{Named, Table, Type, Value, incident};
use crate::{Database, Error, Result};

/// A ticket as it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The number of the incident.
    pub id: i64,
    /// The desk's name for it.
    pub external_id: String,
    /// How far it is now.
    pub state: String,
    /// It was not known before.
    pub is_new: bool,
}

/// Columns of `ops.incident` that a service desk may say.
const SAID: [&str; 17] = [
    "external_id",
    "key",
    "service",
    "title",
    "state",
    "priority",
    "impact",
    "urgency",
    "opened_at",
    "acknowledged_at",
    "resolved_at",
    "closed_at",
    "made_sla",
    "assignee",
    "resolution",
    "problem_id",
    "known_error_id",
];

impl Database {
    /// Takes tickets in, all or none of them: each is an object whose members are columns of `ops.incident`, `external_id` among
    /// them; times are texts of RFC 3339. What follows from a change of state follows as it does from SQL.
    ///
    /// # Errors
    /// [`Error::Ticket`] with the place of the ticket, counted from 0, and what is wrong with it; [`Error::Catalog`].
    pub fn take_tickets(&self, tickets: &[Json], actor: &str, now_ns: i64) -> Result<Vec<Taken>> {
        let (table, definitions) = (incident::tables()?.incident, self.catalog().definitions());
        self.ops().transaction(&Arc::from(actor), now_ns, |transaction| {
            let mut taken = Vec::with_capacity(tickets.len());
            for (at, ticket) in tickets.iter().enumerate() {
                let refused = |error: Error| {
                    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                    Error::Ticket { at, message: format!("{error}{hint}") }
                };
                let values = said(table, ticket).map_err(|message| Error::Ticket { at, message })?;
                let external_id = values.iter().find_map(|(name, value)| match (name.as_str(), value) {
                    ("external_id", Some(Value::Text(text))) if !text.is_empty() => Some(text.clone()),
                    _ => None,
                });
                let Some(external_id) = external_id else {
                    let message = "\"external_id\" is missing: the service desk's name for the ticket".to_owned();
                    return Err(Error::Ticket { at, message });
                };
                let named: Vec<(&str, Option<Value>)> =
                    values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                let key = [Value::Text(external_id.clone())];
                let known = transaction.held(table).find(&["external_id"], &key).map(|(number, _)| number);
                let number = match known {
                    Some(number) => {
                        transaction.set(table, number, &named).map_err(refused)?;
                        number
                    }
                    None => transaction.insert(table, &named).map_err(refused)?,
                };
                let held = transaction.held(table);
                let Some(row) = held.rows().get(&number) else { continue };
                let row = Named::new(table, row);
                let (id, state) = (row.integer("id").unwrap_or(0), row.text("state").unwrap_or("new").to_owned());
                super::check::references(transaction, table, &definitions).map_err(refused)?;
                taken.push(Taken { id, external_id, state, is_new: known.is_none() });
            }
            Ok(taken)
        })
    }
}

/// What a ticket says, by column.
fn said(table: &'static Table, ticket: &Json) -> Result<Vec<(String, Option<Value>)>, String> {
    let Json::Object(ticket) = ticket else { return Err("a ticket is an object".to_owned()) };
    let value = |(name, json): (&String, &Json)| -> Result<(String, Option<Value>), String> {
        if !SAID.contains(&name.as_str()) {
            let near = crate::functions::most_similar(name, SAID.into_iter());
            let hint =
                near.map_or_else(|| format!("it has {}", SAID.join(", ")), |near| format!("did you mean \"{near}\"?"));
            return Err(format!("a ticket has no \"{name}\": {hint}"));
        }
        let column = table.columns.iter().find(|column| column.name == name);
        let data_type = column.map_or(Type::Text, |column| column.data_type);
        let value = of_type(data_type, json).map_err(|what| format!("\"{name}\": {what}"))?;
        Ok((name.clone(), value))
    };
    Map::iter(ticket).map(value).collect()
}

fn of_type(data_type: Type, json: &Json) -> Result<Option<Value>, String> {
    let value = match (data_type, json) {
        (_, Json::Null) => return Ok(None),
        (Type::Text, Json::String(text)) => Some(Value::Text(text.clone())),
        (Type::Text, Json::Number(number)) => Some(Value::Text(number.to_string())),
        (Type::Integer, Json::Number(number)) => number.as_i64().map(Value::Integer),
        (Type::Float, Json::Number(number)) => number.as_f64().map(Value::Float),
        (Type::Boolean, Json::Bool(truth)) => Some(Value::Boolean(*truth)),
        (Type::Time, Json::String(text)) => {
            chrono::DateTime::parse_from_rfc3339(text).ok().and_then(|time| time.timestamp_nanos_opt()).map(Value::Time)
        }
        _ => None,
    };
    let wanted = match data_type {
        Type::Text => "a text",
        Type::Integer => "a whole number",
        Type::Float => "a number",
        Type::Boolean => "true or false",
        Type::Time => "a time such as \"2026-05-01T10:07:00Z\"",
    };
    value.map(Some).ok_or_else(|| format!("{json} is not {wanted}"))
}
