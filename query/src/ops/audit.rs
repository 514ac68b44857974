//! `sys.audit`: who changed what by hand, each entry bound to the one before it.
//!
//! The hash of an entry is SHA-256 over the hash of the one before and the entry itself as a JSON array, so nobody can change, remove
//! or insert an entry without changing all hashes behind it. Whoever keeps the last hash elsewhere ([`head`]) can tell. Precedents
//! are the ledgers of SQL Server, Oracle and immudb.

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::incident::{of_system, rfc3339};
use super::schema::{SCHEMA, Table};
use super::transaction::Transaction;
use super::{Held, Named, Row, Rows, Value};
use crate::Result;

/// Tables of what happened rather than of what somebody decided: new rows of them are no entry, changes by hand are.
const HAPPENINGS: [&str; 5] = ["incident", "incident_event", "change", "service_edge", "problem"];

/// Tables of our own that tell of themselves.
const OURS: [&str; 3] = ["alert", "alert_event", "escalation"];

/// The hash before the first entry.
const START: &str = "";

/// Something that was done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deed {
    /// What, in a word or two: `update`, `CREATE KPI`.
    pub(crate) action: String,
    /// Of what.
    pub(crate) object: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) reason: Option<String>,
}

/// What is wrong with a chain, or that nothing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Entries that were looked at.
    pub(crate) entries: i64,
    /// The first one that is not as it was written.
    pub(crate) broken_at: Option<i64>,
    pub(crate) why: Option<&'static str>,
}

/// Adds an entry at the end.
///
/// # Errors
/// Those of the table.
pub(crate) fn enter(transaction: &mut Transaction<'_>, deed: &Deed) -> Result<()> {
    let table = of_system("audit")?;
    let held = transaction.held(table);
    let (seq, prev) = head_of(&held, table);
    let (at_ns, actor) = (transaction.now_ns(), transaction.actor().to_string());
    let seq = seq + 1;
    let hash = hash(&prev, &entry(seq, at_ns, &actor, deed));
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let maybe = |text: &Option<String>| text.clone().map(Value::Text);
    let values = [
        ("seq", Some(Value::Integer(seq))),
        ("at", Some(Value::Time(at_ns))),
        ("actor", text(&actor)),
        ("action", text(&deed.action)),
        ("object", text(&deed.object)),
        ("before", maybe(&deed.before)),
        ("after", maybe(&deed.after)),
        ("reason", maybe(&deed.reason)),
        ("prev_hash", text(&prev)),
        ("hash", text(&hash)),
    ];
    transaction.insert(table, &values).map(|_| ())
}

/// The entry that a change of a row by hand makes; `None` for one that makes none.
pub(super) fn of_change(table: &'static Table, number: u64, before: Option<&Row>, after: Option<&Row>) -> Option<Deed> {
    let action = match (before, after) {
        (None, Some(_)) => "insert",
        (Some(_), Some(_)) => "update",
        (Some(_), None) => "delete",
        (None, None) => return None,
    };
    let is_happening = HAPPENINGS.contains(&table.name) && before.is_none();
    if table.schema != SCHEMA || OURS.contains(&table.name) || is_happening || before == after {
        return None;
    }
    let reason = after.or(before).and_then(|row| Named::new(table, row).text("reason").map(str::to_owned));
    let json = |row: Option<&Row>| row.map(|row| row_json(table, row).to_string());
    let named = after.or(before).and_then(|row| first_key(table, row)).unwrap_or_else(|| number.to_string());
    let object = format!("{}.{} {named}", table.schema, table.name);
    Some(Deed { action: action.to_owned(), object, before: json(before), after: json(after), reason })
}

/// The values of the key of a row.
fn first_key(table: &Table, row: &Row) -> Option<String> {
    let key = table.unique.first()?;
    let values = key.iter().filter_map(|name| row.get(table.position(name)?)?.as_ref());
    let shown: Vec<String> = values.map(|value| value_json(value).to_string().trim_matches('"').to_owned()).collect();
    (!shown.is_empty()).then(|| shown.join("/"))
}

fn row_json(table: &Table, row: &Row) -> Json {
    let columns = table.columns.iter().zip(row.iter());
    let values = columns.filter_map(|(column, value)| Some((column.name.to_owned(), value_json(value.as_ref()?))));
    Json::Object(values.collect())
}

fn value_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => Json::from(text.as_str()),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Boolean(truth) => Json::from(*truth),
        Value::Time(ns) => Json::from(rfc3339(*ns)),
    }
}

/// The number and the hash of the last entry; 0 and an empty text without any.
pub(crate) fn head(held: &Held) -> Result<(i64, String)> {
    Ok(head_of(held, of_system("audit")?))
}

fn head_of(held: &Held, table: &'static Table) -> (i64, String) {
    let last = held.rows().get_max().map(|(_, row)| Named::new(table, row));
    let of = |row: Named<'_>| Some((row.integer("seq")?, row.text("hash")?.to_owned()));
    last.and_then(of).unwrap_or((0, START.to_owned()))
}

/// Computes the hashes of the entries again whose numbers are from `from` to `to`.
///
/// # Errors
/// When there is no such table.
pub(crate) fn verify(rows: &Rows, from: i64, to: i64) -> Result<Verified> {
    let table = of_system("audit")?;
    let mut verified = Verified { entries: 0, broken_at: None, why: None };
    let (mut prev, mut expected): (String, i64) = (START.to_owned(), 1);
    for row in rows.values() {
        let row = Named::new(table, row);
        let text = |name: &str| row.text(name).map(str::to_owned);
        let seq = row.integer("seq").unwrap_or(0);
        let deed = Deed {
            action: text("action").unwrap_or_default(),
            object: text("object").unwrap_or_default(),
            before: text("before"),
            after: text("after"),
            reason: text("reason"),
        };
        let at_ns = row.time_ns("at").unwrap_or(0);
        let computed = hash(&prev, &entry(seq, at_ns, row.text("actor").unwrap_or_default(), &deed));
        let why = match () {
            () if seq != expected => Some("an entry is missing before it"),
            () if row.text("prev_hash").unwrap_or_default() != prev => Some("it does not follow the entry before it"),
            () if row.text("hash") != Some(&computed) => Some("it is not what was written"),
            () => None,
        };
        if (from..=to).contains(&seq) {
            verified.entries += 1;
            if why.is_some() && verified.broken_at.is_none() {
                (verified.broken_at, verified.why) = (Some(seq), why);
            }
        }
        prev = row.text("hash").unwrap_or_default().to_owned();
        expected = seq + 1;
    }
    Ok(verified)
}

/// What the hash of an entry is over, besides the hash before it.
fn entry(seq: i64, at_ns: i64, actor: &str, deed: &Deed) -> String {
    let Deed { action, object, before, after, reason } = deed;
    json!([seq, rfc3339(at_ns), actor, action, object, before, after, reason]).to_string()
}

fn hash(prev: &str, entry: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(prev.as_bytes());
    digest.update(entry.as_bytes());
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_changed_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let ops = super::super::Ops::open(dir.path()).unwrap();
        let actor: Arc<str> = "alice".into();
        for number in 1..=4 {
            let deed = Deed { action: "note".to_owned(), object: format!("o{number}"), ..Deed::default() };
            ops.transaction(&actor, number, |transaction| enter(transaction, &deed)).unwrap();
        }
        let table = of_system("audit").unwrap();
        let rows = ops.rows(table);
        let whole = verify(&rows, 1, i64::MAX).unwrap();
        assert_eq!(whole, Verified { entries: 4, broken_at: None, why: None });
        assert_eq!(head(&ops.held(table)).unwrap().0, 4);
        let column = |name: &str| table.position(name).unwrap();
        let numbers: Vec<u64> = rows.keys().copied().collect();
        let changed = |at: usize, name: &str, value: Value| {
            let mut row = (*rows[&numbers[at]]).clone();
            row[column(name)] = Some(value);
            rows.update(numbers[at], Arc::new(row))
        };
        let broken = |rows: &Rows| verify(rows, 1, i64::MAX).unwrap().broken_at;
        assert_eq!(broken(&changed(1, "object", Value::Text("other".to_owned()))), Some(2));
        assert_eq!(broken(&changed(2, "at", Value::Time(99))), Some(3));
        assert_eq!(broken(&changed(0, "hash", Value::Text("0".to_owned()))), Some(1));
        assert_eq!(broken(&rows.without(&numbers[2])), Some(4));
    }
}
