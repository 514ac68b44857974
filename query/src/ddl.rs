//! `CREATE TABLE` and `DROP TABLE`.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, ColumnDef, ColumnOption, CreateTable, CreateTableOptions, DataType, Expr, ObjectName, ObjectType, Spanned,
    TableConstraint, TimezoneInfo,
};
use plimsoll_engine::{Column, ColumnKind, Engine, FieldType, SchemaError, TableId, TableOptions, TableSchema};

use crate::lower::{Lowering, folded};
use crate::options::created_options;
use crate::quality::NewRules;
use crate::session::blocking;
use crate::statement::span_position;
use crate::{Command, Database, Error, Result, Statement};

/// A table to be made.
///
/// Which columns are tags follows from the statement:
/// - `time timestamptz` is the time column; it is added when it is left out.
/// - Without a primary key every `text` or `varchar` column is a tag.
/// - With `PRIMARY KEY (time, a, b)` exactly `a` and `b` are tags, and other `text` columns are text fields. A key names a
///   row, so it must hold `time`.
/// - `real`, `float` and `double precision` are float fields, the integer types integer fields, `bigint unsigned` is an
///   unsigned field, `boolean` a boolean field. Other types are refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewTable {
    name: String,
    columns: Vec<Column>,
    options: TableOptions,
    rules: NewRules,
    if_not_exists: bool,
}

/// Tables to be removed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DroppedTables {
    names: Vec<String>,
    if_exists: bool,
    cascade: bool,
}

impl NewTable {
    /// Reads a statement.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for clauses and types that tables here cannot have.
    pub(crate) fn read(create: &CreateTable, statement: &Statement) -> Result<NewTable> {
        refuse_clauses(create)?;
        let (key, rules) = constraints(create, statement)?;
        let mut columns = Vec::new();
        for column in &create.columns {
            check_options(column)?;
            let name = folded(&column.name);
            let kind = column_kind(column, &name, key.as_ref())?;
            columns.push(Column { name, kind });
        }
        for (nth, column) in columns.iter().enumerate() {
            if columns[..nth].iter().any(|other| other.name == column.name) {
                let message = format!("column \"{}\" specified more than once", column.name);
                return Err(Error::Type {
                    message,
                    position: span_position(create.columns[nth].name.span),
                    hint: None,
                });
            }
        }
        columns.retain(|column| column.kind != ColumnKind::Time);
        if let Some(unknown) = key.iter().flatten().find(|k| !create.columns.iter().any(|c| folded(&c.name) == **k)) {
            let position = span_position(create.name.span());
            return Err(Error::UndefinedColumn { name: unknown.clone(), position, hint: None });
        }
        let options = created_options(&create.table_options)?.unwrap_or_default();
        let (name, if_not_exists) = (table_name(&create.name)?, create.if_not_exists);
        Ok(NewTable { name, columns, options, rules, if_not_exists })
    }

    /// Checks its expectations against its columns.
    ///
    /// # Errors
    /// Whatever is wrong with them.
    pub(crate) fn check(&self, lowering: &Lowering<'_>) -> Result<()> {
        let time = Column { name: TableSchema::TIME.to_owned(), kind: ColumnKind::Time };
        let columns = [time].into_iter().chain(self.columns.iter().cloned()).collect();
        let schema = TableSchema { id: TableId(u32::MAX), name: self.name.clone(), columns };
        self.rules.check(&Arc::new(schema), lowering)
    }

    /// Makes the table.
    ///
    /// # Errors
    /// [`Error::DuplicateTable`], [`Error::Engine`].
    pub(crate) async fn run(self, database: Database) -> Result<Command> {
        if database.catalog().definitions().views.contains_key(&self.name) {
            return Err(Error::DuplicateTable { name: self.name });
        }
        blocking(move || match self.create(&database) {
            Err(Error::DuplicateTable { .. }) if self.if_not_exists => Ok(Command::CreateTable),
            other => other.map(|()| Command::CreateTable),
        })
        .await
    }

    fn create(&self, database: &Database) -> Result<()> {
        let engine = database.engine();
        let create = || match engine.create_table_with(&self.name, &self.columns, &self.options) {
            Err(plimsoll_engine::Error::Schema(SchemaError::TableExists(name))) => Err(Error::DuplicateTable { name }),
            other => Ok(other?),
        };
        match self.rules.is_empty() {
            true => create(),
            false if engine.table(&self.name).is_some() => Err(Error::DuplicateTable { name: self.name.clone() }),
            false => self.rules.create(&self.name, database, create),
        }
    }
}

impl DroppedTables {
    /// What is dropped.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for names with a foreign schema.
    fn read(names: &[ObjectName], if_exists: bool, cascade: bool) -> Result<DroppedTables> {
        Ok(DroppedTables { names: names.iter().map(table_name).collect::<Result<_>>()?, if_exists, cascade })
    }

    /// Removes the tables; none, if one of them does not exist.
    ///
    /// # Errors
    /// [`Error::UndefinedTable`], [`Error::Dependents`], [`Error::Engine`].
    pub(crate) async fn run(self, database: Database) -> Result<Command> {
        blocking(move || {
            let engine = database.engine();
            if !self.if_exists
                && let Some(name) = self.names.iter().find(|name| engine.table(name).is_none())
            {
                return Err(Error::UndefinedTable { name: name.clone(), position: None, hint: None });
            }
            let done = database.catalog().drop_tables(&self.names, self.cascade, || self.drop_from(engine))?;
            crate::quality::forget_tables(&self.names, &database)?;
            Ok(done)
        })
        .await
    }

    fn drop_from(&self, engine: &Engine) -> Result<Command> {
        for name in &self.names {
            match engine.drop_table(name) {
                Err(plimsoll_engine::Error::Schema(SchemaError::NoTable(_))) => {}
                other => other?,
            }
        }
        Ok(Command::DropTable)
    }

    /// Checks that views are of the kind that the statement says.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub(crate) fn check_kind(&self, kind: ObjectType, lowering: &crate::lower::Lowering<'_>) -> Result<()> {
        let is_continuous = kind == ObjectType::MaterializedView;
        for view in self.names.iter().filter_map(|name| lowering.definitions.views.get(name)) {
            if view.is_continuous != is_continuous {
                let (is_not, hint) = match is_continuous {
                    true => ("materialized view", "Use DROP VIEW to remove a view."),
                    false => ("view", "Use DROP MATERIALIZED VIEW to remove a materialized view."),
                };
                let what = format!("\"{}\" is not a {is_not}", view.name);
                return Err(Error::Unsupported { what, position: None, hint: Some(hint.to_owned()) });
            }
        }
        Ok(())
    }

    /// Removes the views; none, if one of them does not exist.
    ///
    /// # Errors
    /// [`Error::UndefinedTable`], [`Error::Dependents`], [`Error::Catalog`].
    pub(crate) async fn run_on_views(self, database: Database) -> Result<Command> {
        blocking(move || {
            let is_continuous =
                |name: &String| database.catalog().definitions().views.get(name).is_some_and(|view| view.is_continuous);
            let are_continuous = self.names.iter().any(is_continuous);
            database.catalog().drop_views(&self.names, self.if_exists, self.cascade)?;
            Ok(if are_continuous { Command::DropMaterializedView } else { Command::DropView })
        })
        .await
    }
}

/// The tables or views that a DROP names; anything else that can be dropped is refused.
///
/// # Errors
/// [`Error::Unsupported`] for names with a foreign schema.
pub(crate) fn dropped(statement: &ast::Statement) -> Result<Option<(ObjectType, DroppedTables)>> {
    match statement {
        ast::Statement::Drop {
            object_type: object_type @ (ObjectType::Table | ObjectType::View | ObjectType::MaterializedView),
            if_exists,
            names,
            cascade,
            temporary: false,
            ..
        } => Ok(Some((*object_type, DroppedTables::read(names, *if_exists, *cascade)?))),
        _ => Ok(None),
    }
}

/// The bare name of a table; only the schema `public` holds tables.
///
/// # Errors
/// [`Error::Unsupported`] for a name with another schema.
pub(crate) fn table_name(name: &ObjectName) -> Result<String> {
    let mut parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
    let table = parts.pop().unwrap_or_default();
    match parts.pop() {
        Some(schema) if schema == crate::system::SCHEMA => {
            let what = format!("\"{schema}.{table}\" is a system table: it can be read and not changed");
            Err(Error::Unsupported { what, position: span_position(name.span()), hint: None })
        }
        Some(schema) if schema == crate::ops::SCHEMA => {
            let what = format!("\"{schema}.{table}\" is no table that this statement can work on");
            let hint = "Tables of the schema ops are built in: their rows can be inserted, updated and deleted.";
            let position = span_position(name.span());
            Err(Error::Unsupported { what, position, hint: Some(hint.to_owned()) })
        }
        Some(schema) if schema != "public" => {
            let what = format!("schema \"{schema}\" does not exist");
            let hint = Some("Tables live in the schema public.".to_owned());
            Err(Error::Unsupported { what, position: span_position(name.span()), hint })
        }
        _ if TableSchema::is_internal_name(&table) => {
            let what = "the name of a table begins with no control character".to_owned();
            Err(Error::Unsupported { what, position: span_position(name.span()), hint: None })
        }
        _ => Ok(table),
    }
}

fn refuse_clauses(create: &CreateTable) -> Result<()> {
    let refused = [
        (create.query.is_some(), "CREATE TABLE AS", "Use CREATE TABLE and INSERT INTO ... SELECT."),
        (create.temporary, "CREATE TEMPORARY TABLE", "Tables are permanent; drop them when they are no longer needed."),
        (create.external, "CREATE EXTERNAL TABLE", "Data comes in by INSERT or line protocol."),
        (create.or_replace, "CREATE OR REPLACE TABLE", "Use DROP TABLE and CREATE TABLE."),
        (create.like.is_some(), "CREATE TABLE ... LIKE", "Name the columns."),
        (create.inherits.is_some(), "INHERITS", "Tables are not derived from one another."),
        (
            create.partition_by.is_some() || create.partition_of.is_some(),
            "PARTITION BY",
            "Data is partitioned by time without it.",
        ),
        (
            !matches!(create.table_options, CreateTableOptions::None | CreateTableOptions::With(_)),
            "options outside of WITH (...)",
            "Use WITH (retention = '...').",
        ),
        (create.on_commit.is_some(), "ON COMMIT", "Tables are permanent."),
    ];
    match refused.into_iter().find(|(given, ..)| *given) {
        None => Ok(()),
        Some((_, what, hint)) => Err(Error::Unsupported {
            what: format!("{what} is not supported"),
            position: None,
            hint: Some(hint.to_owned()),
        }),
    }
}

/// The columns of the primary key, which must hold `time`, `None` without one; and the expectations.
fn constraints(create: &CreateTable, statement: &Statement) -> Result<(Option<BTreeSet<String>>, NewRules)> {
    let mut key = None;
    let mut rules = NewRules::default();
    for constraint in &create.constraints {
        if rules.take(constraint, statement)? {
            continue;
        }
        let TableConstraint::PrimaryKey(primary) = constraint else {
            let what = "constraints other than PRIMARY KEY are not supported".to_owned();
            let hint = Some("There is CONSTRAINT name EXPECT (condition) ON VIOLATION action.".to_owned());
            return Err(Error::Unsupported { what, position: span_position(constraint.span()), hint });
        };
        key = key_columns(primary);
    }
    for column in &create.columns {
        if column.options.iter().any(|o| matches!(o.option, ColumnOption::PrimaryKey(_))) {
            key = Some(BTreeSet::from([folded(&column.name)]));
        }
    }
    match key {
        Some(key) if !key.contains(TableSchema::TIME) => Err(no_key_without_time(None)),
        other => Ok((other, rules)),
    }
}

/// The columns that a key names; `None` for a key of anything else.
pub(crate) fn key_columns(key: &ast::PrimaryKeyConstraint) -> Option<BTreeSet<String>> {
    let column = |index: &ast::IndexColumn| match &index.column.expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        _ => None,
    };
    key.columns.iter().map(column).collect()
}

/// The error for a key that names no row.
pub(crate) fn no_key_without_time(position: Option<usize>) -> Error {
    let what = "a primary key without the column time is not supported".to_owned();
    let hint = Some("Use PRIMARY KEY (time, tag, ...): a row is named by its time and its tags.".to_owned());
    Error::Unsupported { what, position, hint }
}

/// Refuses what a column cannot be asked.
///
/// # Errors
/// [`Error::Unsupported`].
pub(crate) fn check_options(column: &ColumnDef) -> Result<()> {
    for option in &column.options {
        let known = match &option.option {
            ColumnOption::Null | ColumnOption::PrimaryKey(_) => true,
            ColumnOption::NotNull => folded(&column.name) == TableSchema::TIME,
            _ => false,
        };
        if !known {
            let what = format!("{} on column \"{}\" is not supported", option.option, folded(&column.name));
            let hint = Some("Only time is NOT NULL; tags and fields may always be absent.".to_owned());
            return Err(Error::Unsupported { what, position: span_position(column.name.span), hint });
        }
    }
    Ok(())
}

/// What a column is, by its type and the primary key.
///
/// # Errors
/// [`Error::Unsupported`] for types that tables here cannot have.
pub(crate) fn column_kind(column: &ColumnDef, name: &str, key: Option<&BTreeSet<String>>) -> Result<ColumnKind> {
    let refused = |hint: &str| Error::Unsupported {
        what: format!("type {} is not supported for column \"{name}\"", column.data_type.to_string().to_lowercase()),
        position: span_position(column.name.span),
        hint: Some(hint.to_owned()),
    };
    let kind = field_type(&column.data_type);
    if name == TableSchema::TIME {
        return match column.data_type {
            DataType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => Ok(ColumnKind::Time),
            _ => Err(refused("The column time is a timestamptz.")),
        };
    }
    match (kind, key) {
        (Some(FieldType::Text), None) => Ok(ColumnKind::Tag),
        (Some(FieldType::Text), Some(key)) if key.contains(name) => Ok(ColumnKind::Tag),
        (Some(_), Some(key)) if key.contains(name) => Err(refused("Besides time only text columns can be in the key.")),
        (Some(kind), _) => Ok(ColumnKind::Field(kind)),
        (None, _) => {
            Err(refused("Use double precision, bigint, bigint unsigned, boolean or text; timestamptz only for time."))
        }
    }
}

fn field_type(data_type: &DataType) -> Option<FieldType> {
    Some(match data_type {
        DataType::Text
        | DataType::Varchar(_)
        | DataType::CharacterVarying(_)
        | DataType::CharVarying(_)
        | DataType::String(_) => FieldType::Text,
        DataType::Real
        | DataType::Float(_)
        | DataType::Float4
        | DataType::Float8
        | DataType::Double(_)
        | DataType::DoublePrecision => FieldType::Float,
        DataType::SmallInt(_)
        | DataType::Int2(_)
        | DataType::Int(_)
        | DataType::Integer(_)
        | DataType::Int4(_)
        | DataType::BigInt(_)
        | DataType::Int8(_) => FieldType::Integer,
        DataType::BigIntUnsigned(_) | DataType::UBigInt => FieldType::Unsigned,
        DataType::Boolean | DataType::Bool => FieldType::Boolean,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(sql: &str, expected: &Expect) {
        let statements = crate::parse(sql).unwrap();
        let Some(ast::Statement::CreateTable(create)) = statements[0].ast() else { panic!("not CREATE TABLE: {sql}") };
        let shown = match NewTable::read(create, &statements[0]) {
            Ok(table) => {
                let column = |c: &Column| match c.kind {
                    ColumnKind::Field(kind) => format!("{}:{}", c.name, kind.name()),
                    other => format!("{}:{}", c.name, other.name()),
                };
                format!("{} {}", table.name, table.columns.iter().map(column).collect::<Vec<_>>().join(" "))
            }
            Err(error) => format!("{error} | {}", error.hint().unwrap_or("-")),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn text_columns_are_tags_without_a_key() {
        check(
            "CREATE TABLE Cpu (time timestamptz NOT NULL, host text, \"Region\" varchar(20), v double precision, n int, u bigint unsigned, ok bool)",
            &expect!["cpu host:tag Region:tag v:float n:integer u:unsigned ok:boolean"],
        );
        check("CREATE TABLE t (v real)", &expect!["t v:float"]);
    }

    #[test]
    fn a_key_names_the_tags() {
        check(
            "CREATE TABLE log (time timestamptz, host text, line text, PRIMARY KEY (time, host))",
            &expect!["log host:tag line:string"],
        );
        check("CREATE TABLE log (time timestamptz PRIMARY KEY, line text)", &expect!["log line:string"]);
        check(
            "CREATE TABLE log (host text PRIMARY KEY, v float8)",
            &expect![
                "a primary key without the column time is not supported | Use PRIMARY KEY (time, tag, ...): a row is named by its time and its tags."
            ],
        );
        check(
            "CREATE TABLE log (time timestamptz, v float8, PRIMARY KEY (time, v))",
            &expect![[
                r#"type float8 is not supported for column "v" | Besides time only text columns can be in the key."#
            ]],
        );
        check(
            "CREATE TABLE log (v float8, PRIMARY KEY (time, host))",
            &expect![[r#"column "host" does not exist | -"#]],
        );
    }

    #[test]
    fn what_a_table_cannot_have_is_refused() {
        check(
            "CREATE TABLE t (time timestamp, v float8)",
            &expect![[r#"type timestamp is not supported for column "time" | The column time is a timestamptz."#]],
        );
        check(
            "CREATE TABLE t (v numeric(10, 2))",
            &expect![[
                r#"type numeric(10,2) is not supported for column "v" | Use double precision, bigint, bigint unsigned, boolean or text; timestamptz only for time."#
            ]],
        );
        check(
            "CREATE TABLE t (v float8 NOT NULL)",
            &expect![[
                r#"NOT NULL on column "v" is not supported | Only time is NOT NULL; tags and fields may always be absent."#
            ]],
        );
        check(
            "CREATE TABLE t (v float8, UNIQUE (v))",
            &expect![
                "constraints other than PRIMARY KEY are not supported | There is CONSTRAINT name EXPECT (condition) ON VIOLATION action."
            ],
        );
        check(
            "CREATE TABLE t AS SELECT 1",
            &expect!["CREATE TABLE AS is not supported | Use CREATE TABLE and INSERT INTO ... SELECT."],
        );
        check(
            "CREATE TABLE other.t (v float8)",
            &expect![[r#"schema "other" does not exist | Tables live in the schema public."#]],
        );
        check(
            "CREATE TEMP TABLE t (v float8)",
            &expect![
                "CREATE TEMPORARY TABLE is not supported | Tables are permanent; drop them when they are no longer needed."
            ],
        );
    }
}
