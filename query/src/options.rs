//! Options of tables: `CREATE TABLE ... WITH (...)`, `ALTER TABLE ... SET (...)` and `ALTER TABLE ... RESET (...)`.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    AlterTable, AlterTableOperation, CreateTableOptions, Expr, Ident, SqlOption, Value,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use plimsoll_engine::{Engine, OptionsChange, SchemaError, TableOptions};

use crate::ddl::table_name;
use crate::functions::distance;
use crate::lower::folded;
use crate::retention::parse_retention;
use crate::session::blocking;
use crate::statement::span_position;
use crate::{Command, Error, Result};

/// The options that there are.
const NAMES: [&str; 3] = ["legal_hold", "max_series", "retention"];

/// A change of a table's options.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChangedOptions {
    table: String,
    if_exists: bool,
    change: OptionsChange,
}

impl ChangedOptions {
    /// The table.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Reads `ALTER TABLE ... SET (...)`, which RESET becomes as well; `None` for other changes of a table.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], and [`Error::Unsupported`] for names with a foreign schema.
    pub(crate) fn read(alter: &AlterTable) -> Result<Option<ChangedOptions>> {
        let [AlterTableOperation::SetOptionsParens { options }] = alter.operations.as_slice() else { return Ok(None) };
        let change = read_options(options)?;
        Ok(Some(ChangedOptions { table: table_name(&alter.name)?, if_exists: alter.if_exists, change }))
    }

    /// Changes the options.
    ///
    /// # Errors
    /// [`Error::UndefinedTable`], [`Error::Engine`].
    pub(crate) async fn run(self, engine: Arc<Engine>) -> Result<Command> {
        blocking(move || match engine.alter_table(&self.table, &self.change) {
            Err(plimsoll_engine::Error::Schema(SchemaError::NoTable(_))) if self.if_exists => Ok(Command::AlterTable),
            Err(plimsoll_engine::Error::Schema(SchemaError::NoTable(name))) => {
                Err(Error::UndefinedTable { name, position: None, hint: None })
            }
            other => Ok(other.map(|()| Command::AlterTable)?),
        })
        .await
    }
}

/// The options that `CREATE TABLE` gives; `None` for a clause of another kind.
///
/// # Errors
/// [`Error::InvalidOption`].
pub(crate) fn created_options(options: &CreateTableOptions) -> Result<Option<TableOptions>> {
    match options {
        CreateTableOptions::None => Ok(Some(TableOptions::default())),
        CreateTableOptions::With(options) => Ok(Some(read_options(options)?.apply(&TableOptions::default()))),
        _ => Ok(None),
    }
}

/// Options as they are written in a statement; none for those that are as by default.
pub(crate) fn shown(options: &TableOptions) -> Vec<(&'static str, String)> {
    let retention = options.retention.as_ref().map(|retention| ("retention", format!("'{retention}'")));
    let legal_hold = options.legal_hold.then(|| ("legal_hold", "true".to_owned()));
    let max_series = options.max_series.map(|max| ("max_series", max.to_string()));
    retention.into_iter().chain(legal_hold).chain(max_series).collect()
}

fn read_options(options: &[SqlOption]) -> Result<OptionsChange> {
    let mut change = OptionsChange::default();
    let mut seen: Vec<String> = Vec::new();
    for option in options {
        let SqlOption::KeyValue { key, value } = option else {
            return Err(invalid(
                format!("invalid option \"{option}\""),
                None,
                Some("Options are name = value.".into()),
            ));
        };
        let name = folded(key);
        if seen.contains(&name) {
            return Err(invalid(format!("parameter \"{name}\" specified more than once"), at(key.span), None));
        }
        match name.as_str() {
            "retention" => change.retention = Some(retention(key, value)?),
            "max_series" => change.max_series = Some(count(key, value)?),
            "legal_hold" => change.legal_hold = Some(truth(key, value)?),
            _ => return Err(unknown(key, &name)),
        }
        seen.push(name);
    }
    Ok(change)
}

fn retention(key: &Ident, value: &Expr) -> Result<Option<plimsoll_engine::Retention>> {
    match literal(value) {
        Some((Value::Null, _)) => Ok(None),
        Some((Value::SingleQuotedString(text), span)) => match parse_retention(text) {
            Ok(retention) => Ok(Some(retention)),
            Err(misread) => {
                // The text begins after its quote.
                let before = text.get(..misread.at).map_or(0, |before| before.chars().count());
                let position = at(span).map(|start| start + 1 + before);
                Err(invalid(misread.message, position, Some(misread.hint)))
            }
        },
        _ => {
            let hint = "It is a text such as 'raw 14 days, 1 min 90 days'.".to_owned();
            Err(invalid("invalid value for option \"retention\"".to_owned(), at(key.span), Some(hint)))
        }
    }
}

fn count(key: &Ident, value: &Expr) -> Result<Option<u32>> {
    let number = match literal(value) {
        Some((Value::Null, _)) => return Ok(None),
        Some((Value::Number(number, _), _)) => number.parse::<u32>().ok(),
        _ => None,
    };
    number.map(Some).ok_or_else(|| {
        let hint = Some("It is a whole number such as 100000, or NULL for any number.".to_owned());
        invalid(format!("invalid value for option \"{}\"", folded(key)), at(key.span), hint)
    })
}

fn truth(key: &Ident, value: &Expr) -> Result<bool> {
    let word = match literal(value) {
        Some((Value::Null, _)) => return Ok(false),
        Some((Value::Boolean(truth), _)) => return Ok(*truth),
        Some((Value::SingleQuotedString(text), _)) => text.to_ascii_lowercase(),
        Some((Value::Number(number, _), _)) => number.clone(),
        _ => value.to_string().to_ascii_lowercase(),
    };
    match word.as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        other => {
            let message = format!("invalid value for boolean option \"{}\": {other}", folded(key));
            Err(invalid(message, at(key.span), Some("It is true or false.".to_owned())))
        }
    }
}

fn literal(value: &Expr) -> Option<(&Value, Span)> {
    match value {
        Expr::Value(value) => Some((&value.value, value.span)),
        _ => None,
    }
}

fn unknown(key: &Ident, name: &str) -> Error {
    let near = NAMES.iter().min_by_key(|known| distance(name, known)).filter(|known| distance(name, known) <= 3);
    let hint = match near {
        Some(known) => format!("Perhaps you meant \"{known}\"."),
        None => format!("Options are {}.", NAMES.join(", ")),
    };
    invalid(format!("unrecognized parameter \"{name}\""), at(key.span), Some(hint))
}

fn at(span: Span) -> Option<usize> {
    span_position(span)
}

fn invalid(message: String, position: Option<usize>, hint: Option<String>) -> Error {
    Error::InvalidOption { message, position, hint }
}
