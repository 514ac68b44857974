//! `SHOW CREATE`: the statement that makes what there is.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use plimsoll_engine::{ColumnKind, FieldType, TableSchema};

use crate::catalog::Definitions;
use crate::dialect::{Shown, quoted};
use crate::quality::TableRules;
use crate::{Database, Error, Result};

/// The one column of the answer.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("create_statement", DataType::Utf8, false)]))
}

/// The statement.
///
/// # Errors
/// [`Error::UndefinedObject`], [`Error::UndefinedTable`].
pub(super) fn text(of: Shown, name: &str, definitions: &Definitions, database: &Database) -> Result<String> {
    let missing = || Error::UndefinedTable { name: name.to_owned(), position: None, hint: None };
    match of {
        Shown::Object(kind) => Ok(definitions.get(kind, name)?.text()),
        Shown::View => {
            let view = definitions.views.get(name).ok_or_else(missing)?;
            Ok(view.text())
        }
        Shown::Table => {
            let schema = database.engine().table(name).ok_or_else(missing)?;
            let options = database.engine().table_options(name).unwrap_or_default();
            let rules = definitions.rules.get(name).cloned().unwrap_or_default();
            Ok(table(&schema, &crate::options::shown(&options), &rules))
        }
    }
}

fn table(schema: &TableSchema, options: &[(&'static str, String)], rules: &TableRules) -> String {
    let column = |column: &plimsoll_engine::Column| {
        let data_type = match column.kind {
            ColumnKind::Time => "timestamptz NOT NULL",
            ColumnKind::Tag | ColumnKind::Field(FieldType::Text) => "text",
            ColumnKind::Field(FieldType::Float) => "double precision",
            ColumnKind::Field(FieldType::Integer) => "bigint",
            ColumnKind::Field(FieldType::Unsigned) => "bigint unsigned",
            ColumnKind::Field(FieldType::Boolean) => "boolean",
        };
        format!("  {} {data_type}", quoted(&column.name))
    };
    let mut lines: Vec<String> = schema.columns.iter().map(column).collect();
    let tags = schema.columns.iter().filter(|column| column.kind == ColumnKind::Tag);
    let key: Vec<String> =
        std::iter::once(TableSchema::TIME.to_owned()).chain(tags.map(|tag| quoted(&tag.name))).collect();
    lines.push(format!("  PRIMARY KEY ({})", key.join(", ")));
    lines.extend(rules.rules.iter().map(|rule| format!("  {rule}")));
    let mut text = format!("CREATE TABLE {} (\n{}\n)", quoted(&schema.name), lines.join(",\n"));
    if !options.is_empty() {
        let option = |(name, value): &(&str, String)| format!("{name} = {value}");
        text.push_str(&format!(" WITH ({})", options.iter().map(option).collect::<Vec<_>>().join(", ")));
    }
    text
}
