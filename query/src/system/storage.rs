//! `sys.tables`, `sys.columns` and `sys.wal`: what is stored.

use plimsoll_engine::{ColumnKind, TableStats};

use super::{Cell, Kind, Row, SystemColumn, SystemTable};
use crate::{Database, Result};

pub(super) const TABLES: &[SystemTable] = &[
    SystemTable {
        name: "tables",
        about: "a table",
        columns: &[
            SystemColumn::new("table_name", Kind::Text, "its name"),
            SystemColumn::new("series", Kind::Integer, "distinct sets of tags that were ever written"),
            SystemColumn::new("segments", Kind::Integer, "live segment files"),
            SystemColumn::new("segment_rows", Kind::Integer, "rows in them; a point in two of them counts twice"),
            SystemColumn::new("segment_bytes", Kind::Integer, "their size"),
            SystemColumn::new("memtable_bytes", Kind::Integer, "memory of its rows that are not in a segment yet"),
            SystemColumn::new("first_time", Kind::Time, "earliest time in a segment"),
            SystemColumn::new("last_time", Kind::Time, "latest time in a segment"),
        ],
        rows: tables,
    },
    SystemTable {
        name: "columns",
        about: "a column of a table",
        columns: &[
            SystemColumn::new("table_name", Kind::Text, "its table"),
            SystemColumn::new("column_name", Kind::Text, "its name"),
            SystemColumn::new("position", Kind::Integer, "its place in SELECT *, from 1"),
            SystemColumn::new("kind", Kind::Text, "time, tag or field"),
            SystemColumn::new("type", Kind::Text, "type of a field's values"),
        ],
        rows: columns,
    },
    SystemTable {
        name: "wal",
        about: "the log (one row)",
        columns: &[
            SystemColumn::new("wal_bytes", Kind::Integer, "size of its files"),
            SystemColumn::new("memtable_bytes", Kind::Integer, "memory of all rows that are not in a segment yet"),
            SystemColumn::new("is_read_only", Kind::Boolean, "writes are refused until the directory is opened again"),
        ],
        rows: wal,
    },
];

fn tables(database: &Database) -> Result<Vec<Row>> {
    let row = |table: TableStats| {
        vec![
            Cell::text(table.name),
            Cell::count(table.series),
            Cell::count(table.segments),
            Cell::count(table.segment_rows),
            Cell::count(table.segment_bytes),
            Cell::count(table.memtable_bytes),
            Cell::Time(table.time.map(|time| time.min_ns)),
            Cell::Time(table.time.map(|time| time.max_ns)),
        ]
    };
    Ok(database.engine().table_stats().into_iter().map(row).collect())
}

fn columns(database: &Database) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for table in database.engine().tables() {
        for (position, column) in (1..).zip(&table.columns) {
            let (kind, of_type) = match column.kind {
                ColumnKind::Time => ("time", None),
                ColumnKind::Tag => ("tag", None),
                ColumnKind::Field(of_type) => ("field", Some(of_type.name().to_owned())),
            };
            rows.push(vec![
                Cell::text(&table.name),
                Cell::text(&column.name),
                Cell::Integer(Some(position)),
                Cell::text(kind),
                Cell::Text(of_type),
            ]);
        }
    }
    Ok(rows)
}

fn wal(database: &Database) -> Result<Vec<Row>> {
    let stats = database.engine().stats();
    Ok(vec![vec![Cell::count(stats.wal_bytes), Cell::count(stats.memtable_bytes), Cell::Boolean(stats.is_read_only)]])
}
