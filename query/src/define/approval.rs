//! Two persons for a change: what says `approval = 'two_person'` is changed when somebody else than who asked for it agrees.

use std::sync::Arc;

use crate::catalog::{Definitions, Reference};
use crate::dialect::{Kind, Statement, parse_statement};
use crate::ops::incident::built_in;
use crate::ops::{Named, Value};
use crate::{Database, Error, Result};

/// What a statement changes that needs a second person; `None` where one is enough.
pub(super) fn needed(statement: &Statement, definitions: &Definitions) -> Option<(Kind, String)> {
    let needs = |kind: Kind, name: &str| {
        let object = definitions.find(kind, name)?;
        (object.definition.option_text("approval") == Some("two_person")).then(|| (kind, name.to_owned()))
    };
    match statement {
        Statement::Create { or_replace: true, object, .. } => needs(object.kind(), object.name()),
        Statement::AlterSet { kind, name, .. } => needs(*kind, name),
        Statement::Drop { kind, names, cascade, .. } => {
            let named = names.iter().find_map(|name| needs(*kind, name));
            let roots: Vec<Reference> =
                names.iter().map(|name| Reference::Object(*kind, name.clone())).filter(|_| *cascade).collect();
            named.or_else(|| {
                definitions.dependents_of(&roots).iter().find_map(|dependent| match dependent {
                    Reference::Object(kind, name) => needs(*kind, name),
                    Reference::Relation(_) => None,
                })
            })
        }
        _ => None,
    }
}

/// Keeps a change until somebody else agrees. Gives what whoever asked for it should know.
///
/// # Errors
/// Those of the table.
pub(super) fn propose(
    statement: &Statement,
    (kind, name): (Kind, String),
    actor: &Arc<str>,
    now_ns: i64,
    database: &Database,
) -> Result<String> {
    let table = built_in("definition_change")?;
    database.ops().transaction(actor, now_ns, |transaction| {
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let values = [
            ("kind", text(kind.word())),
            ("name", text(&name)),
            ("statement", text(&statement.to_string())),
            ("state", text("proposed")),
        ];
        let number = transaction.insert(table, &values)?;
        let held = transaction.held(table);
        let id = held.rows().get(&number).and_then(|row| Named::new(table, row).integer("id")).unwrap_or(0);
        Ok(format!("{kind} \"{name}\" is changed when somebody else agrees: CALL approve_change({id}, 'reason')"))
    })
}

/// The statement of a change that waits, for somebody who did not ask for it.
///
/// # Errors
/// [`Error::InvalidParameter`] for a change that there is not or that is decided, [`Error::Denied`] for one's own.
pub(super) fn waiting(id: i64, actor: &str, database: &Database) -> Result<Statement> {
    let table = built_in("definition_change")?;
    let wrong = |message: String| Error::InvalidParameter { name: "id".to_owned(), message };
    let held = database.ops().held(table);
    let found = held.find(&["id"], &[Value::Integer(id)]).map(|(_, row)| row);
    let row = Named::new(table, found.ok_or_else(|| wrong(format!("there is no change {id}")))?);
    match row.text("state").unwrap_or_default() {
        "proposed" => {}
        state => return Err(wrong(format!("change {id} is {state}"))),
    }
    if row.text("requested_by") == Some(actor) {
        let what = format!("permission denied: change {id} is approved by somebody else than who asked for it");
        return Err(Error::Denied { what });
    }
    match row.text("statement").and_then(parse_statement) {
        Some(Ok(statement)) => Ok(statement),
        _ => Err(Error::Internal(format!("the statement of change {id} is none"))),
    }
}

/// Notes what was decided.
///
/// # Errors
/// Those of the table.
pub(super) fn decided(
    id: i64,
    is_approved: bool,
    reason: &str,
    actor: &Arc<str>,
    now_ns: i64,
    database: &Database,
) -> Result<()> {
    let table = built_in("definition_change")?;
    database.ops().transaction(actor, now_ns, |transaction| {
        let held = transaction.held(table);
        let Some((number, _)) = held.find(&["id"], &[Value::Integer(id)]) else { return Ok(()) };
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let values = [
            ("state", text(if is_approved { "approved" } else { "rejected" })),
            ("decided_by", text(actor)),
            ("decided_at", Some(Value::Time(now_ns))),
            ("reason", text(reason)),
        ];
        transaction.set(table, number, &values)
    })
}
