//! `\d` and `\d NAME`: the tables, and the columns of one.

use std::io::{self, Write};

use plimsoll_engine::{ColumnKind, Engine, FieldType, TableSchema};

use super::print::{Format, Heading, Printer};
use super::values::Kind;

/// Lists the tables with the number of their columns by kind.
pub(super) fn tables(engine: &Engine, out: &mut impl Write) -> io::Result<()> {
    let headings = [("Table", Kind::Text), ("Tags", Kind::Number), ("Fields", Kind::Number)];
    let mut printer = Printer::new(Format::Table, headings.map(|(name, kind)| Heading::new(name, kind)).to_vec(), out);
    for table in engine.tables() {
        let tags = table.columns.iter().filter(|column| column.kind == ColumnKind::Tag).count();
        let fields = table.columns.len() - tags - 1;
        printer.push(vec![Some(table.name.clone()), Some(tags.to_string()), Some(fields.to_string())])?;
    }
    printer.finish()
}

/// Lists the columns of a table.
pub(super) fn table(table: &TableSchema, out: &mut impl Write) -> io::Result<()> {
    let headings = ["Column", "Type", "Nullable", "Kind"].map(|name| Heading::new(name, Kind::Text)).to_vec();
    writeln!(out, "Table \"{}\"", table.name)?;
    let mut printer = Printer::new(Format::Table, headings, out);
    for column in &table.columns {
        let nullable = if column.kind == ColumnKind::Time { "not null" } else { "" };
        let cells = [column.name.as_str(), sql_type(column.kind), nullable, column.kind.name()];
        printer.push(cells.map(|cell| Some(cell.to_owned())).to_vec())?;
    }
    printer.finish()
}

fn sql_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Time => "timestamp with time zone",
        ColumnKind::Tag | ColumnKind::Field(FieldType::Text) => "text",
        ColumnKind::Field(FieldType::Float) => "double precision",
        ColumnKind::Field(FieldType::Integer) => "bigint",
        ColumnKind::Field(FieldType::Unsigned) => "numeric",
        ColumnKind::Field(FieldType::Boolean) => "boolean",
    }
}
