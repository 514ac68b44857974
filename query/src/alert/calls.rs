//! What `CALL` can do: take an incident up, resolve it, deliver again, release rows from quarantine.

use std::sync::Arc;

use serde_json::json;

use super::{escalation, outbox};
use crate::dialect::{Call, Kind, Literal};
use crate::ops::{Named, Transaction, Value, adjustment, incident, seal};
use crate::privilege::On;
use crate::{Database, Error, Result};

/// A procedure: its name, its arguments and which of them have to be given.
struct Known {
    name: &'static str,
    arguments: &'static [(&'static str, Takes)],
    required: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Integer,
    Text,
}

const KNOWN: [Known; 17] = [
    Known { name: "acknowledge", arguments: &[("id", Takes::Integer), ("note", Takes::Text)], required: 1 },
    Known { name: "resolve", arguments: &[("id", Takes::Integer), ("resolution", Takes::Text)], required: 1 },
    Known { name: "close", arguments: &[("id", Takes::Integer), ("note", Takes::Text)], required: 1 },
    Known { name: "reopen", arguments: &[("id", Takes::Integer), ("note", Takes::Text)], required: 1 },
    Known {
        name: "set_priority",
        arguments: &[("id", Takes::Integer), ("priority", Takes::Integer), ("reason", Takes::Text)],
        required: 3,
    },
    Known { name: "note", arguments: &[("id", Takes::Integer), ("text", Takes::Text)], required: 2 },
    Known { name: "reescalate", arguments: &[("id", Takes::Integer), ("policy", Takes::Text)], required: 1 },
    Known {
        name: "reseal",
        arguments: &[("sla", Takes::Text), ("period", Takes::Text), ("reason", Takes::Text)],
        required: 3,
    },
    Known { name: "approve_adjustment", arguments: &[("id", Takes::Integer), ("reason", Takes::Text)], required: 2 },
    Known { name: "reject_adjustment", arguments: &[("id", Takes::Integer), ("reason", Takes::Text)], required: 2 },
    Known { name: "approve_change", arguments: &[("id", Takes::Integer), ("reason", Takes::Text)], required: 2 },
    Known { name: "reject_change", arguments: &[("id", Takes::Integer), ("reason", Takes::Text)], required: 2 },
    Known {
        name: "rebaseline",
        arguments: &[
            ("baseline", Takes::Text),
            ("mode", Takes::Text),
            ("change", Takes::Text),
            ("reason", Takes::Text),
        ],
        required: 1,
    },
    Known { name: "redeliver", arguments: &[("event_id", Takes::Text)], required: 1 },
    Known { name: "enable_sink", arguments: &[("sink", Takes::Text)], required: 1 },
    Known { name: "release", arguments: &[("table", Takes::Text), ("rule", Takes::Text)], required: 2 },
    Known { name: "purge_quarantine", arguments: &[("table", Takes::Text), ("rule", Takes::Text)], required: 1 },
];

/// A call whose arguments are read.
#[derive(Debug, Clone)]
pub(crate) struct Procedure {
    known: usize,
    values: Vec<Option<Value>>,
}

impl Procedure {
    /// Reads a call.
    ///
    /// # Errors
    /// [`Error::UndefinedFunction`] for a name or arguments that there are not.
    pub(crate) fn read(call: &Call) -> Result<Procedure> {
        let position = Some(call.offset + 1);
        let undefined =
            |hint: Option<String>| Error::UndefinedFunction { signature: format!("{}()", call.name), position, hint };
        let Some(at) = KNOWN.iter().position(|known| known.name == call.name) else {
            let near = crate::functions::most_similar(&call.name, KNOWN.iter().map(|known| known.name));
            let names = KNOWN.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
            let hint = near.map_or_else(|| format!("Procedures are {names}."), |near| format!("Did you mean {near}?"));
            return Err(undefined(Some(hint)));
        };
        let known = &KNOWN[at];
        let usage = || {
            let arguments = known.arguments.iter().enumerate().map(|(at, (name, _))| match at < known.required {
                true => (*name).to_owned(),
                false => format!("[{name}]"),
            });
            format!("It is CALL {}({}).", known.name, arguments.collect::<Vec<_>>().join(", "))
        };
        let mut values: Vec<Option<Value>> = vec![None; known.arguments.len()];
        for (place, argument) in call.arguments.iter().enumerate() {
            let slot = match &argument.name {
                Some(name) => known.arguments.iter().position(|(known, _)| known == name),
                None => (place < known.arguments.len()).then_some(place),
            };
            let slot = slot.filter(|slot| values[*slot].is_none()).ok_or_else(|| undefined(Some(usage())))?;
            values[slot] = match (&argument.value, known.arguments[slot].1) {
                (Literal::Null, _) => None,
                (Literal::Text(text), Takes::Text) => Some(Value::Text(text.clone())),
                (Literal::Number(digits), Takes::Integer) => {
                    Some(Value::Integer(digits.parse().map_err(|_| undefined(Some(usage())))?))
                }
                (Literal::Text(digits), Takes::Integer) if digits.parse::<i64>().is_ok() => {
                    Some(Value::Integer(digits.parse().unwrap_or(0)))
                }
                _ => return Err(undefined(Some(usage()))),
            };
        }
        match values.iter().take(known.required).all(Option::is_some) {
            true => Ok(Procedure { known: at, values }),
            false => Err(undefined(Some(usage()))),
        }
    }

    /// The change of a definition that is decided, whether it is approved, and why; `None` for other calls.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] without a reason.
    pub(crate) fn decision(&self) -> Result<Option<(i64, bool, String)>> {
        let name = KNOWN[self.known].name;
        if !matches!(name, "approve_change" | "reject_change") {
            return Ok(None);
        }
        let reason = given(self.text(1).unwrap_or_default(), "reason")?;
        Ok(Some((self.integer(0), name == "approve_change", reason.to_owned())))
    }

    fn integer(&self, at: usize) -> i64 {
        match self.values.get(at) {
            Some(Some(Value::Integer(number))) => *number,
            _ => 0,
        }
    }

    fn text(&self, at: usize) -> Option<&str> {
        match self.values.get(at) {
            Some(Some(Value::Text(text))) => Some(text),
            _ => None,
        }
    }

    /// Checks that a role sees the incident that it is about: for whoever does not, there is none.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`], [`Error::Denied`].
    pub(crate) async fn check_may_touch(&self, role: &str, database: &Database, now_ns: i64) -> Result<()> {
        let is_of_incident = KNOWN[self.known].arguments.first().is_some_and(|(name, _)| *name == "id");
        let mut session = database.session();
        session.set_role(role);
        let rights = session.rights(&database.catalog().definitions());
        if !is_of_incident || rights.rows(&On::named(crate::ops::SCHEMA, "incident")).is_none() {
            return Ok(());
        }
        let id = self.integer(0);
        let rows = session.rows_of(&format!("SELECT id FROM ops.incident WHERE id = {id}"), now_ns).await?;
        match rows.iter().any(|batch| batch.num_rows() > 0) {
            true => Ok(()),
            false => Err(no_incident(id)),
        }
    }

    /// Does it; gives what whoever asked should know of it.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for what there is not, [`Error::Check`] for a step that an incident cannot take.
    pub(crate) fn run(&self, actor: &Arc<str>, now_ns: i64, database: &Database) -> Result<Option<String>> {
        let name = KNOWN[self.known].name;
        let (first, rule) = (self.text(0).unwrap_or_default(), self.text(1));
        let rows = |rows: u64| if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
        match name {
            "release" => {
                let released = database.release(first, rule.unwrap_or_default())?;
                Ok(Some(format!("{} released to \"{first}\"", rows(released))))
            }
            "purge_quarantine" => {
                let purged = database.purge_quarantine(first, rule)?;
                Ok(Some(format!("{} deleted from quarantine.{first}", rows(purged))))
            }
            _ => self.change(name, actor, now_ns, database).map(|()| None),
        }
    }

    fn change(&self, name: &str, actor: &Arc<str>, now_ns: i64, database: &Database) -> Result<()> {
        database.ops().transaction(actor, now_ns, |transaction| match name {
            "redeliver" => outbox::redeliver(transaction, self.text(0).unwrap_or_default()).map(|_| ()),
            "enable_sink" => {
                let sink = self.text(0).unwrap_or_default();
                database.catalog().definitions().get(Kind::Sink, sink)?;
                outbox::enable(transaction, sink).map(|_| ())
            }
            "reseal" => self.reseal(transaction, database),
            "approve_adjustment" | "reject_adjustment" => {
                let reason = given(self.text(1).unwrap_or_default(), "reason")?;
                adjustment::decide(transaction, database, self.integer(0), name == "approve_adjustment", reason)
            }
            "rebaseline" => self.rebaseline(transaction, database),
            "reescalate" => self.reescalate(transaction, database),
            _ => self.change_incident(name, transaction),
        })
    }

    fn change_incident(&self, name: &str, transaction: &mut Transaction<'_>) -> Result<()> {
        let tables = incident::tables()?;
        let id = self.integer(0);
        let Some((number, row)) = escalation::find(transaction, id)? else { return Err(no_incident(id)) };
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let state = Named::new(tables.incident, &row).text("state").unwrap_or("new").to_owned();
        let note = self.text(1);
        let set = match name {
            "acknowledge" if !incident::is_open(&state) => {
                let message = format!("incident {id} is {state}");
                return Err(Error::InvalidParameter { name: "id".to_owned(), message });
            }
            "acknowledge" => vec![
                ("state", text("acknowledged")),
                (
                    "assignee",
                    Named::new(tables.incident, &row).text("assignee").map_or_else(|| text(transaction.actor()), text),
                ),
            ],
            "resolve" => vec![("state", text("resolved")), ("resolution", note.and_then(text))],
            "close" => vec![("state", text("closed"))],
            "reopen" => vec![("state", text("reopened"))],
            "set_priority" => vec![("priority", Some(Value::Integer(self.integer(1))))],
            _ => Vec::new(),
        };
        transaction.set(tables.incident, number, &set)?;
        let said = match name {
            "set_priority" => self.text(2),
            "resolve" => None,
            _ => note,
        };
        match said {
            Some(said) => incident::record(transaction, &tables, id, "note", &json!({ "text": said })),
            None => Ok(()),
        }
    }

    /// Opens a sealed period, so that it is computed and sealed once more.
    fn reseal(&self, transaction: &mut Transaction<'_>, database: &Database) -> Result<()> {
        let text = |at: usize| self.text(at).unwrap_or_default();
        let definitions = database.catalog().definitions();
        let object = definitions.get(Kind::Sla, text(0))?;
        let reason = given(text(2), "reason")?;
        let start_ns = crate::relation::period_start(object, text(1), &definitions, database)?;
        seal::open_again(transaction, database, text(0), start_ns, reason)
    }

    /// Enters that what is normal has changed.
    fn rebaseline(&self, transaction: &mut Transaction<'_>, database: &Database) -> Result<()> {
        let text = |at: usize| self.text(at).map(|text| Some(Value::Text(text.to_owned()))).unwrap_or_default();
        let baseline = self.text(0).unwrap_or_default();
        database.catalog().definitions().get(Kind::Baseline, baseline)?;
        let mode = self.text(1).unwrap_or("shift");
        let table = incident::built_in("rebaseline")?;
        let values = [
            ("baseline", text(0)),
            ("mode", Some(Value::Text(mode.to_owned()))),
            ("change_id", text(2)),
            ("reason", text(3)),
        ];
        transaction.insert(table, &values).map(|_| ())
    }

    /// Begins the escalation of an incident anew, by its policy as it is now or by another one.
    fn reescalate(&self, transaction: &mut Transaction<'_>, database: &Database) -> Result<()> {
        let tables = incident::tables()?;
        let id = self.integer(0);
        let Some((number, row)) = escalation::find(transaction, id)? else { return Err(no_incident(id)) };
        let row = Named::new(tables.incident, &row);
        let Some(policy) = self.text(1).or_else(|| row.text("policy")) else {
            let message = format!("incident {id} has no escalation policy");
            return Err(Error::InvalidParameter { name: "policy".to_owned(), message });
        };
        let definitions = database.catalog().definitions();
        definitions.get(Kind::Policy, policy)?;
        let round = row.integer("reopened").unwrap_or(0);
        let held = transaction.held(tables.escalation);
        let mut cycle = 0;
        for (step, values) in held.rows() {
            let values = Named::new(tables.escalation, values);
            if values.integer("incident_id") != Some(id) {
                continue;
            }
            cycle = cycle.max(values.integer("cycle").unwrap_or(0).saturating_add(1));
            if values.text("state") == Some("waiting") {
                let set = [
                    ("state", Some(Value::Text("stopped".to_owned()))),
                    ("done_at", Some(Value::Time(transaction.now_ns()))),
                ];
                transaction.set(tables.escalation, *step, &set)?;
            }
        }
        let now_ns = transaction.now_ns();
        transaction.set(tables.incident, number, &[("policy", Some(Value::Text(policy.to_owned())))])?;
        escalation::plan(transaction, id, round, cycle, policy, now_ns, &definitions)
    }
}

/// A text that is not empty.
fn given<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    match text.trim().is_empty() {
        false => Ok(text),
        true => Err(Error::InvalidParameter { name: name.to_owned(), message: "it is empty".to_owned() }),
    }
}

fn no_incident(id: i64) -> Error {
    Error::InvalidParameter { name: "id".to_owned(), message: format!("there is no incident {id}") }
}
