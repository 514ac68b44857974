//! What the values of a row have to be.

use super::schema::{Check, Column, Default};
use super::{Row, Table, Transaction, Value};
use crate::analysis::period::Period;
use crate::analysis::recurrence::Recurring;
use crate::catalog::Definitions;
use crate::{Error, Result};

/// Checks each value of a row.
///
/// # Errors
/// [`Error::NotNull`], [`Error::Check`].
pub(super) fn row(table: &Table, row: &Row) -> Result<()> {
    let in_key = |name: &str| table.unique.first().is_some_and(|key| key.contains(&name));
    for (column, value) in table.columns.iter().zip(row) {
        let Some(value) = value else {
            if matches!(column.default, Default::Required | Default::NextId) || in_key(column.name) {
                return Err(Error::NotNull { column: column.name.to_owned(), table: table.name.to_owned() });
            }
            continue;
        };
        if matches!(value, Value::Float(number) if !number.is_finite()) {
            let (table, column) = (table.name.to_owned(), column.name.to_owned());
            return Err(Error::Check { table, column, hint: "It is a number.".to_owned() });
        }
        if let Some(hint) = violated(table, column, value, row) {
            let (table, column) = (table.name.to_owned(), column.name.to_owned());
            return Err(Error::Check { table, column, hint });
        }
    }
    Ok(())
}

/// Checks that what the rows of a table name is there that were written in a transaction, at its end: a statement may enter both.
///
/// # Errors
/// [`Error::Check`].
pub(super) fn references(
    transaction: &Transaction<'_>,
    table: &'static Table,
    definitions: &Definitions,
) -> Result<()> {
    let held = transaction.held(table);
    for (number, before) in transaction.changed(table) {
        let Some(row) = held.rows().get(&number) else { continue };
        for (at, (column, value)) in table.columns.iter().zip(row.iter()).enumerate() {
            let is_old = before.as_ref().is_some_and(|before| before.get(at) == Some(value));
            let Some(value) = value.as_ref().filter(|_| !is_old) else { continue };
            let missing = match (column.check, value) {
                (Check::Of(other), Value::Integer(id)) => {
                    let other = super::find(other).ok_or_else(|| Error::Internal(format!("no table ops.{other}")))?;
                    let is_there = transaction.held(other).find(&["id"], &[Value::Integer(*id)]).is_some();
                    (!is_there).then(|| format!("There is no row {id} in ops.{}.", other.name))
                }
                (Check::Defined(kind), Value::Text(name)) if definitions.find(kind, name).is_none() => {
                    let known = definitions.of_kind(kind).map(|object| object.name.as_str());
                    let near = crate::functions::most_similar(name, known);
                    let near = near.map(|near| format!(" Did you mean \"{near}\"?")).unwrap_or_default();
                    Some(format!("There is no {} \"{name}\".{near}", kind.word()))
                }
                _ => None,
            };
            if let Some(hint) = missing {
                let (table, column) = (table.name.to_owned(), column.name.to_owned());
                return Err(Error::Check { table, column, hint });
            }
        }
    }
    Ok(())
}

/// What is wrong with a value.
fn violated(table: &Table, column: &Column, value: &Value, row: &Row) -> Option<String> {
    let one_of = |words: &[&str]| format!("It is one of {}.", words.join(", "));
    match (column.check, value) {
        (Check::OneOf(words), Value::Text(text)) => (!words.contains(&text.as_str())).then(|| one_of(words)),
        (Check::SomeOf(words), Value::Text(text)) => {
            let all = text.split(',').all(|word| words.contains(&word.trim()));
            (!all).then(|| format!("It is some of {}, with commas between.", words.join(", ")))
        }
        (Check::Between(least, most), Value::Integer(number)) => {
            (!(least..=most).contains(number)).then(|| match most {
                i64::MAX => format!("It is at least {least}."),
                most => format!("It is from {least} to {most}."),
            })
        }
        (Check::NotBefore(first), Value::Time(ns)) => match table.position(first).and_then(|at| row[at].as_ref()) {
            Some(Value::Time(earlier)) if ns < earlier => Some(format!("It is not before {first}.")),
            _ => None,
        },
        (Check::Json, Value::Text(text)) => {
            serde_json::from_str::<serde::de::IgnoredAny>(text).err().map(|error| format!("It is JSON: {error}."))
        }
        (Check::Tags, Value::Text(text)) => {
            let tags = serde_json::from_str::<std::collections::BTreeMap<String, String>>(text);
            let is_fine = tags.is_ok_and(|tags| tags.keys().all(|name| !name.is_empty() && name != "time"));
            (!is_fine).then(|| "It is JSON of tags and texts, such as {\"region\": \"eu\"}.".to_owned())
        }
        (Check::Zone, Value::Text(text)) => text
            .parse::<chrono_tz::Tz>()
            .err()
            .map(|_| "It is the name of a time zone, such as Europe/Berlin.".to_owned()),
        (Check::Day, Value::Text(text)) => {
            text.parse::<chrono::NaiveDate>().err().map(|_| "It is a day such as 2026-12-25.".to_owned())
        }
        (Check::Period, Value::Text(text)) => Period::parse(text, "UTC", None).err().map(|why| format!("{why}.")),
        (Check::Query, Value::Text(text)) => {
            crate::statement::query(&text.replace("{from}", "now()").replace("{to}", "now()")).err().map(|error| {
                match error {
                    Error::Internal(_) => "It is one query.".to_owned(),
                    error => format!("It is one query: {error}."),
                }
            })
        }
        (Check::Recurrence, Value::Text(rule)) => {
            let start_ns = match table.position("starts_at").and_then(|at| row[at].as_ref()) {
                Some(Value::Time(ns)) => *ns,
                _ => 0,
            };
            let rule = Some(rule.clone());
            Recurring { start_ns, end_ns: start_ns, rule, zone: chrono_tz::UTC }.check().err()
        }
        _ => None,
    }
}
