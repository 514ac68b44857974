//! `sys.queries` and `sys.views`: what runs, and what is defined.

use super::{Cell, Kind, Row, SystemColumn, SystemTable};
use crate::{Database, Result};

pub(super) const TABLES: &[SystemTable] = &[
    SystemTable {
        schema: super::SCHEMA,
        name: "queries",
        about: "a statement that is running",
        columns: &[
            SystemColumn::new("id", Kind::Integer, "number of the statement since the start"),
            SystemColumn::new(
                "session",
                Kind::Text,
                "whose it is: the number by which it can be cancelled, and the user",
            ),
            SystemColumn::new("started", Kind::Time, "when it began"),
            SystemColumn::new("statement", Kind::Text, "its text"),
        ],
        rows: queries,
    },
    SystemTable {
        schema: super::SCHEMA,
        name: "views",
        about: "a view",
        columns: &[
            SystemColumn::new("view_name", Kind::Text, "its name"),
            SystemColumn::new("columns", Kind::Integer, "number of its columns"),
            SystemColumn::new("definition", Kind::Text, "its query"),
        ],
        rows: views,
    },
];

fn queries(database: &Database) -> Result<Vec<Row>> {
    let row = |(id, running): (u64, crate::running::RunningStatement)| {
        vec![
            Cell::count(id),
            Cell::text(&*running.session),
            Cell::Time(Some(running.started_ns)),
            Cell::text(running.statement.text_shown()),
        ]
    };
    Ok(database.running().list().into_iter().map(row).collect())
}

fn views(database: &Database) -> Result<Vec<Row>> {
    let row = |view: &std::sync::Arc<crate::View>| {
        vec![Cell::text(&view.name), Cell::count(view.columns.len()), Cell::text(&view.query)]
    };
    Ok(database.views().iter().map(row).collect())
}
