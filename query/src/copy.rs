//! `COPY table [(columns)] FROM STDIN`: where rows go and in what form they come; `COPY ... TO STDOUT`: the query whose rows
//! leave. Reading and writing the bytes is the server's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast::{
    CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Expr, Ident, ObjectName, Query,
    SelectItem, SetExpr, Statement, TableFactor,
};
use plimsoll_engine::{ColumnKind, TableSchema};

use crate::ddl::table_name;
use crate::functions::most_similar;
use crate::insert::{Into, Target, target_schema};
use crate::lower::{PUBLIC, dotted, folded};
use crate::ops;
use crate::privilege::{On, Privilege};
use crate::statement::span_position;
use crate::{Database, Error, Result, Session};

/// A COPY into a table, ready to take rows.
#[derive(Debug, Clone)]
pub struct CopyIn {
    target: Into,
    schema: SchemaRef,
    database: Database,
    /// Rows that came before.
    rows: Arc<AtomicU64>,
    /// How rows come.
    pub options: CopyOptions,
}

/// The form of the rows, with PostgreSQL's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// Which of the three forms.
    pub format: CopyFormat,
    /// The byte between two values of a row.
    pub delimiter: u8,
    /// What stands for NULL.
    pub null: String,
    /// The first line holds names and is passed over.
    pub header: bool,
    /// CSV: the byte around a value.
    pub quote: u8,
    /// CSV: the byte before a quote inside of quotes.
    pub escape: u8,
}

impl Default for CopyOptions {
    /// Lines of values, without names.
    fn default() -> CopyOptions {
        let (format, delimiter, null) = (CopyFormat::Text, b'\t', "\\N".to_owned());
        CopyOptions { format, delimiter, null, header: false, quote: b'"', escape: b'"' }
    }
}

/// The three forms of COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// Lines of values with backslash escapes.
    Text,
    /// RFC 4180, as PostgreSQL reads it.
    Csv,
    /// PostgreSQL's binary form.
    Binary,
}

impl CopyIn {
    /// The name of the table.
    pub fn table_name(&self) -> &str {
        match &self.target {
            Into::Table(target) => &target.table().name,
            Into::Ops(writer) => writer.table.name,
        }
    }

    /// Names and types of the values of a row, in order. Batches for [`CopyIn::write`] have this schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Stores rows; returns when they are durable and visible, how many are. Waits for the disk.
    ///
    /// # Errors
    /// [`Error::NotNull`], [`Error::Expectation`], [`Error::Engine`]; rows of the batch may be stored by then.
    pub fn write(&self, batch: &RecordBatch, now_ns: i64) -> Result<u64> {
        let first_row = self.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        match &self.target {
            Into::Table(target) => target.write(&self.database.guard(now_ns), batch, first_row),
            Into::Ops(writer) => writer.insert(std::slice::from_ref(batch), &self.database, now_ns),
        }
    }
}

/// A COPY out of the database.
#[derive(Debug, Clone)]
pub struct CopyOut {
    /// The query whose rows leave.
    pub query: crate::Statement,
    /// How they leave.
    pub options: CopyOptions,
}

impl CopyOut {
    /// What a statement copies out; `None` when it is no COPY to the client.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for COPY to files and options that are not offered, [`Error::InvalidParameter`].
    pub fn read(statement: &crate::Statement) -> Result<Option<CopyOut>> {
        let Some(Statement::Copy { source, to: true, target, options, legacy_options, .. }) = statement.ast() else {
            return Ok(None);
        };
        if *target != CopyTarget::Stdout {
            return Err(unsupported("COPY to files or programs"));
        }
        let query = match source {
            CopySource::Query(query) => query.clone(),
            CopySource::Table { table_name, columns } => all_of(table_name, columns)?,
        };
        Ok(Some(CopyOut { query: statement.with_query(query), options: read_options(options, legacy_options)? }))
    }
}

/// `SELECT columns FROM table`, with the names where they stand in the statement.
fn all_of(table: &ObjectName, columns: &[Ident]) -> Result<Box<Query>> {
    let mut query = crate::statement::query("SELECT * FROM t")?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        if let Some(TableFactor::Table { name, .. }) = select.from.first_mut().map(|from| &mut from.relation) {
            name.clone_from(table);
        }
        if !columns.is_empty() {
            let column = |ident: &Ident| SelectItem::UnnamedExpr(Expr::Identifier(ident.clone()));
            select.projection = columns.iter().map(column).collect();
        }
    }
    Ok(query)
}

impl Session {
    /// What a statement copies into; `None` when it is no COPY.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for COPY from elsewhere and options that are not offered, [`Error::UndefinedTable`],
    /// [`Error::UndefinedColumn`], [`Error::InvalidParameter`].
    pub fn copy_in(&self, statement: &Statement) -> Result<Option<CopyIn>> {
        let Statement::Copy { source, to, target, options, legacy_options, values } = statement else {
            return Ok(None);
        };
        let CopySource::Table { table_name: name, columns } = source else {
            return Err(unsupported("COPY from a query"));
        };
        if *to || *target != CopyTarget::Stdin {
            return Err(unsupported("COPY from files or programs"));
        }
        if !values.is_empty() {
            return Err(unsupported("COPY with rows in the statement"));
        }
        if let Some(table) = ops::named(name)? {
            return self.copy_into_ops(table, columns, read_options(options, legacy_options)?).map(Some);
        }
        let snapshot = self.database().engine().snapshot();
        let position = span_position(datafusion::sql::sqlparser::ast::Spanned::span(name));
        let missing = || Error::UndefinedTable { name: dotted(name), position, hint: None };
        let table = snapshot.table(&table_name(name)?).ok_or_else(missing)?;
        let rights = self.rights(&self.database().catalog().definitions());
        rights.check(Privilege::Insert, &On::named(PUBLIC, &table.name))?;
        let target = Target::new(&table, &named(&table, columns)?, self.user());
        if !target.columns().iter().any(|column| column.kind == ColumnKind::Time) {
            return Err(Error::NotNull { column: TableSchema::TIME.to_owned(), table: table.name.clone() });
        }
        let schema = target_schema(target.columns(), self.time_zone())?;
        let schema = Arc::new(schema.as_arrow().clone());
        let options = read_options(options, legacy_options)?;
        let (target, database) = (Into::Table(target), self.database().clone());
        Ok(Some(CopyIn { target, schema, database, rows: Arc::default(), options }))
    }

    /// The same into a table of the schema `ops`.
    fn copy_into_ops(&self, table: &'static ops::Table, columns: &[Ident], options: CopyOptions) -> Result<CopyIn> {
        let on = On::named(ops::SCHEMA, table.name);
        let rights = self.rights(&self.database().catalog().definitions());
        rights.check(Privilege::Insert, &on)?;
        let mut positions: Vec<usize> = Vec::new();
        for ident in columns {
            let at = ops::column_of(table, &ObjectName::from(vec![ident.clone()]))?;
            if positions.contains(&at) {
                let message = format!("column \"{}\" specified more than once", table.columns[at].name);
                return Err(Error::Syntax { message, position: span_position(ident.span).unwrap_or(1), hint: None });
            }
            positions.push(at);
        }
        if positions.is_empty() {
            positions = (0..table.columns.len()).collect();
        }
        let writer = ops::Writer { table, columns: positions, conflict: None, actor: self.user().clone() };
        let target = Into::Ops(writer);
        let schema = Arc::new(target.copied(self.time_zone()));
        Ok(CopyIn { target, schema, database: self.database().clone(), rows: Arc::default(), options })
    }
}

/// The positions of the columns that are named, or of all.
fn named(table: &TableSchema, columns: &[Ident]) -> Result<Vec<usize>> {
    if columns.is_empty() {
        return Ok((0..table.columns.len()).collect());
    }
    let mut positions = Vec::new();
    for ident in columns {
        let (name, position) = (folded(ident), span_position(ident.span));
        let Some(at) = table.position(&name) else {
            let similar = most_similar(&name, table.columns.iter().map(|column| column.name.as_str()));
            let hint = similar.map(|other| format!("Perhaps you meant the column \"{other}\"."));
            return Err(Error::UndefinedColumn { name, position, hint });
        };
        if positions.contains(&at) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(Error::Syntax { message, position: position.unwrap_or(1), hint: None });
        }
        positions.push(at);
    }
    Ok(positions)
}

/// Options as they were written, before the defaults.
#[derive(Default)]
struct Given {
    format: Option<CopyFormat>,
    delimiter: Option<char>,
    null: Option<String>,
    header: bool,
    quote: Option<char>,
    escape: Option<char>,
}

fn read_options(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<CopyOptions> {
    let mut given = Given::default();
    for option in options {
        match option {
            CopyOption::Format(name) => given.format = Some(format(&folded(name))?),
            CopyOption::Delimiter(delimiter) => given.delimiter = Some(*delimiter),
            CopyOption::Null(null) => given.null = Some(null.clone()),
            CopyOption::Header(header) => given.header = *header,
            CopyOption::Quote(quote) => given.quote = Some(*quote),
            CopyOption::Escape(escape) => given.escape = Some(*escape),
            CopyOption::Freeze(_) => {}
            CopyOption::Encoding(name) if is_utf8(name) => {}
            other => return Err(unsupported(&format!("COPY option {other}"))),
        }
    }
    for option in legacy {
        match option {
            CopyLegacyOption::Binary => given.format = Some(CopyFormat::Binary),
            CopyLegacyOption::Csv(options) => {
                given.format = Some(CopyFormat::Csv);
                for option in options {
                    match option {
                        CopyLegacyCsvOption::Header => given.header = true,
                        CopyLegacyCsvOption::Quote(quote) => given.quote = Some(*quote),
                        CopyLegacyCsvOption::Escape(escape) => given.escape = Some(*escape),
                        other => return Err(unsupported(&format!("COPY option {other}"))),
                    }
                }
            }
            CopyLegacyOption::Delimiter(delimiter) => given.delimiter = Some(*delimiter),
            CopyLegacyOption::Null(null) => given.null = Some(null.clone()),
            CopyLegacyOption::Header => given.header = true,
            other => return Err(unsupported(&format!("COPY option {other}"))),
        }
    }
    given.complete()
}

impl Given {
    fn complete(self) -> Result<CopyOptions> {
        let format = self.format.unwrap_or(CopyFormat::Text);
        let (is_csv, is_binary) = (format == CopyFormat::Csv, format == CopyFormat::Binary);
        let refused = [
            (
                is_binary && (self.delimiter.is_some() || self.null.is_some() || self.header),
                "a delimiter, NULL or header in BINARY mode",
            ),
            (!is_csv && self.quote.is_some(), "COPY quote available only in CSV mode"),
            (!is_csv && self.escape.is_some(), "COPY escape available only in CSV mode"),
        ];
        if let Some((_, what)) = refused.into_iter().find(|(is_wrong, _)| *is_wrong) {
            return Err(Error::InvalidParameter { name: "COPY".to_owned(), message: (*what).to_owned() });
        }
        let quote = one_byte("quote", self.quote.unwrap_or('"'))?;
        Ok(CopyOptions {
            format,
            delimiter: one_byte("delimiter", self.delimiter.unwrap_or(if is_csv { ',' } else { '\t' }))?,
            null: self.null.unwrap_or_else(|| if is_csv { String::new() } else { "\\N".to_owned() }),
            header: self.header,
            quote,
            escape: self.escape.map_or(Ok(quote), |escape| one_byte("escape", escape))?,
        })
    }
}

fn format(name: &str) -> Result<CopyFormat> {
    match name {
        "text" => Ok(CopyFormat::Text),
        "csv" => Ok(CopyFormat::Csv),
        "binary" => Ok(CopyFormat::Binary),
        other => Err(Error::InvalidParameter {
            name: "FORMAT".to_owned(),
            message: format!("COPY format \"{other}\" not recognized"),
        }),
    }
}

fn is_utf8(name: &str) -> bool {
    name.eq_ignore_ascii_case("utf8") || name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("unicode")
}

fn one_byte(what: &str, character: char) -> Result<u8> {
    let is_allowed = character.is_ascii() && !matches!(character, '\n' | '\r' | '\0');
    u8::try_from(character).ok().filter(|_| is_allowed).ok_or_else(|| Error::InvalidParameter {
        name: "COPY".to_owned(),
        message: format!("COPY {what} must be a single one-byte character"),
    })
}

fn unsupported(what: &str) -> Error {
    let hint = Some(
        "COPY table [(columns)] FROM STDIN and COPY ... TO STDOUT [WITH (FORMAT text | csv | binary, ...)] are."
            .to_owned(),
    );
    Error::Unsupported { what: format!("{what} is not supported"), position: None, hint }
}
