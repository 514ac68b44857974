//! `sys.objects` and `sys.versions`: what is defined in the dialect, and what was.

use super::{Cell, Kind, Row, SystemColumn, SystemTable};
use crate::catalog::Object;
use crate::{Database, Result};

pub(super) const TABLES: &[SystemTable] = &[
    SystemTable {
        name: "objects",
        about: "a service, calendar, KPI, baseline, SLO or SLA",
        columns: &[
            SystemColumn::new("kind", Kind::Text, "what it is"),
            SystemColumn::new("name", Kind::Text, "its name"),
            SystemColumn::new("version", Kind::Integer, "which definition of that name it is, from 1"),
            SystemColumn::new("defined_at", Kind::Time, "when this version was made"),
            SystemColumn::new("actor", Kind::Text, "who made it"),
            SystemColumn::new("definition", Kind::Text, "the statement that makes it"),
            SystemColumn::new("comment", Kind::Text, "what COMMENT ON says of it"),
        ],
        rows: objects,
    },
    SystemTable {
        name: "versions",
        about: "a definition that holds or once held",
        columns: &[
            SystemColumn::new("kind", Kind::Text, "what it is"),
            SystemColumn::new("name", Kind::Text, "its name"),
            SystemColumn::new("version", Kind::Integer, "which definition of that name it is, from 1"),
            SystemColumn::new("defined_at", Kind::Time, "when it was made"),
            SystemColumn::new("actor", Kind::Text, "who made it"),
            SystemColumn::new("definition", Kind::Text, "the statement that makes it"),
        ],
        rows: versions,
    },
];

fn objects(database: &Database) -> Result<Vec<Row>> {
    let row = |object: &std::sync::Arc<Object>| {
        vec![
            Cell::text(object.kind().word()),
            Cell::text(&object.name),
            Cell::count(object.version),
            Cell::Time(Some(object.defined_ns)),
            Cell::text(&object.actor),
            Cell::text(object.text()),
            Cell::Text(object.comment.clone()),
        ]
    };
    Ok(database.catalog().definitions().objects().map(row).collect())
}

fn versions(database: &Database) -> Result<Vec<Row>> {
    let versions = database.catalog().versions()?;
    let row = |version: crate::catalog::Version| {
        vec![
            Cell::text(version.kind.word()),
            Cell::text(version.name),
            Cell::count(version.version),
            Cell::Time(Some(version.defined_ns)),
            Cell::text(version.actor),
            Cell::text(version.text),
        ]
    };
    Ok(versions.into_iter().map(row).collect())
}
