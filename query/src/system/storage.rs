//! `sys.tables`, `sys.columns`, `sys.rollups`, `sys.tags`, `sys.segments`, `sys.encodings` and `sys.wal`: what is stored.

use plimsoll_engine::{ColumnEncoding, ColumnKind, RollupStats, SegmentInfo, TableSchema, TableStats, Tier};

use super::{Cell, Kind, Row, SystemColumn, SystemTable};
use crate::{Database, Result};

pub(super) const TABLES: &[SystemTable] = &[
    SystemTable {
        schema: super::SCHEMA,
        name: "tables",
        about: "a table",
        columns: &[
            SystemColumn::new("table_name", Kind::Text, "its name"),
            SystemColumn::new("series", Kind::Integer, "distinct sets of tags that were ever written"),
            SystemColumn::new("index_bytes", Kind::Integer, "memory of the index of these series"),
            SystemColumn::new("segments", Kind::Integer, "live segment files"),
            SystemColumn::new("segment_rows", Kind::Integer, "rows in them; a point in two of them counts twice"),
            SystemColumn::new("segment_bytes", Kind::Integer, "their size"),
            SystemColumn::new("memtable_bytes", Kind::Integer, "memory of its rows that are not in a segment yet"),
            SystemColumn::new("first_time", Kind::Time, "earliest time in a segment"),
            SystemColumn::new("last_time", Kind::Time, "latest time in a segment"),
            SystemColumn::new("retention", Kind::Text, "what is kept for how long; NULL keeps everything"),
            SystemColumn::new("legal_hold", Kind::Boolean, "nothing expires, nothing can be deleted"),
            SystemColumn::new("raw_from", Kind::Time, "raw rows before this have expired"),
            SystemColumn::new(
                "max_series",
                Kind::Integer,
                "points of further series are refused; NULL takes any number",
            ),
        ],
        rows: tables,
    },
    SystemTable {
        schema: super::SCHEMA,
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
        schema: super::SCHEMA,
        name: "rollups",
        about: "the rollups of a table at one width",
        columns: &[
            SystemColumn::new("table_name", Kind::Text, "the table"),
            SystemColumn::new("width", Kind::Text, "length of a bucket"),
            SystemColumn::new("days", Kind::Integer, "UTC days that are rolled up"),
            SystemColumn::new("days_alone", Kind::Integer, "those of which the raw rows are gone"),
            SystemColumn::new("rollup_rows", Kind::Integer, "one for each series and bucket with rows"),
            SystemColumn::new("rollup_bytes", Kind::Integer, "their size"),
            SystemColumn::new("first_time", Kind::Time, "start of the first day"),
            SystemColumn::new("last_time", Kind::Time, "end of the last day"),
        ],
        rows: rollups,
    },
    SystemTable {
        schema: super::SCHEMA,
        name: "tags",
        about: "a tag of a table",
        columns: &[
            SystemColumn::new("table_name", Kind::Text, "its table"),
            SystemColumn::new("tag", Kind::Text, "its name"),
            SystemColumn::new("values", Kind::Integer, "distinct values that rows have; NULL is none"),
            SystemColumn::new(
                "new_values",
                Kind::Integer,
                "those that came with the newest 1,000 series: it is what grows",
            ),
        ],
        rows: tags,
    },
    SystemTable {
        schema: super::SCHEMA,
        name: "segments",
        about: "a segment file",
        columns: &[
            SystemColumn::new("table_name", Kind::Text, "whose rows it holds"),
            SystemColumn::new("path", Kind::Text, "where it is"),
            SystemColumn::new("tier", Kind::Integer, "0 for rows as they were written, 1 for rollups"),
            SystemColumn::new("level", Kind::Integer, "its size class, by which segments are joined"),
            SystemColumn::new("rows", Kind::Integer, "rows in it, deleted ones as well"),
            SystemColumn::new("bytes", Kind::Integer, "its size"),
            SystemColumn::new("first_time", Kind::Time, "earliest time in it"),
            SystemColumn::new("last_time", Kind::Time, "latest time in it"),
            SystemColumn::new("has_deleted_rows", Kind::Boolean, "some rows are deleted and wait for compaction"),
            SystemColumn::new("is_damaged", Kind::Boolean, "it cannot be read"),
        ],
        rows: segments,
    },
    SystemTable {
        schema: super::SCHEMA,
        name: "encodings",
        about: "a column of a segment and a way in which vectors of it are encoded",
        columns: &[
            SystemColumn::new("table_name", Kind::Text, "the table"),
            SystemColumn::new("segment", Kind::Text, "the file"),
            SystemColumn::new("column_name", Kind::Text, "the column"),
            SystemColumn::new("encoding", Kind::Text, "the way, as the page of the file format calls it"),
            SystemColumn::new("vectors", Kind::Integer, "vectors encoded so, of 1,024 rows at most"),
            SystemColumn::new("bytes", Kind::Integer, "their size"),
        ],
        rows: encodings,
    },
    SystemTable {
        schema: super::SCHEMA,
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
            Cell::count(table.index_bytes),
            Cell::count(table.segments),
            Cell::count(table.segment_rows),
            Cell::count(table.segment_bytes),
            Cell::count(table.memtable_bytes),
            Cell::Time(table.time.map(|time| time.min_ns)),
            Cell::Time(table.time.map(|time| time.max_ns)),
            Cell::Text(table.options.retention.as_ref().map(ToString::to_string)),
            Cell::Boolean(table.options.legal_hold),
            Cell::Time(table.raw_from_ns),
            Cell::Integer(table.options.max_series.map(i64::from)),
        ]
    };
    Ok(database.engine().table_stats().into_iter().map(row).collect())
}

fn rollups(database: &Database) -> Result<Vec<Row>> {
    let row = |(table, rollup): (String, RollupStats)| {
        vec![
            Cell::text(table),
            Cell::text(Tier { width_ns: Some(rollup.width_ns), keep_ns: None }.name()),
            Cell::count(rollup.days),
            Cell::count(rollup.days_alone),
            Cell::count(rollup.rows),
            Cell::count(rollup.bytes),
            Cell::Time(Some(rollup.time.min_ns)),
            Cell::Time(Some(rollup.time.max_ns)),
        ]
    };
    let stats = database.engine().table_stats().into_iter();
    Ok(stats.flat_map(|t| t.rollups.into_iter().map(move |rollup| (t.name.clone(), rollup))).map(row).collect())
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

fn tags(database: &Database) -> Result<Vec<Row>> {
    let snapshot = database.engine().snapshot();
    let mut rows = Vec::new();
    for table in snapshot.tables() {
        let new_values = database.engine().new_tag_values(&table.name);
        for column in table.columns.iter().filter(|column| column.kind == ColumnKind::Tag) {
            let values = snapshot.tag_values(&table.name, &[&column.name], &[], None)?;
            let values = values.num_rows() - values.column(0).null_count();
            let new = new_values.iter().find(|(tag, _)| *tag == column.name).map_or(0, |(_, new)| *new);
            rows.push(vec![Cell::text(&table.name), Cell::text(&column.name), Cell::count(values), Cell::count(new)]);
        }
    }
    Ok(rows)
}

fn segments(database: &Database) -> Result<Vec<Row>> {
    let row = |segment: SegmentInfo| {
        vec![
            Cell::text(TableSchema::shown_name(&segment.table)),
            Cell::text(segment.path.display().to_string()),
            Cell::count(segment.tier),
            Cell::count(segment.level),
            Cell::count(segment.rows),
            Cell::count(segment.bytes),
            Cell::Time(Some(segment.time.min_ns)),
            Cell::Time(Some(segment.time.max_ns)),
            Cell::Boolean(segment.has_deleted_rows),
            Cell::Boolean(segment.is_damaged),
        ]
    };
    Ok(database.engine().segments().into_iter().map(row).collect())
}

fn encodings(database: &Database) -> Result<Vec<Row>> {
    let row = |found: ColumnEncoding| {
        vec![
            Cell::text(TableSchema::shown_name(&found.table)),
            Cell::text(found.segment),
            Cell::text(found.column),
            Cell::text(found.encoding),
            Cell::count(found.vectors),
            Cell::count(found.bytes),
        ]
    };
    Ok(database.engine().encodings()?.into_iter().map(row).collect())
}

fn wal(database: &Database) -> Result<Vec<Row>> {
    let stats = database.engine().stats();
    Ok(vec![vec![Cell::count(stats.wal_bytes), Cell::count(stats.memtable_bytes), Cell::Boolean(stats.is_read_only)]])
}
