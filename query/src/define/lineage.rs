//! `SHOW LINEAGE` and `EXPLAIN (LINEAGE)`: what a definition or a query is computed from, down to the tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::catalog::{Definitions, Reference};
use crate::dialect::Kind;
use crate::privilege::{On, Privilege, Rights};
use crate::{Database, Result};

/// One step down.
pub(super) struct Line {
    depth: i64,
    kind: &'static str,
    name: String,
    version: Option<i64>,
    /// When it was defined, or, for a table, the time of its newest row.
    newest_ns: Option<i64>,
    definition: Option<String>,
    /// What it takes a right to read.
    on: On,
}

impl Line {
    /// The same for somebody: what he may not read has a name and no definition.
    pub(super) fn seen_with(self, rights: &Rights) -> Line {
        let may = rights.allow(Privilege::Select, &self.on);
        Line { definition: self.definition.filter(|_| may), newest_ns: self.newest_ns.filter(|_| may), ..self }
    }
}

pub(super) fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("depth", DataType::Int64, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("object", DataType::Utf8, false),
        Field::new("version", DataType::Int64, true),
        Field::new("data_until", time, true),
        Field::new("definition", DataType::Utf8, true),
    ]))
}

/// The object itself at depth 0, then what it reads, deeper by one each step; each but once in a branch.
///
/// # Errors
/// [`crate::Error::UndefinedObject`].
pub(super) fn lines(kind: Kind, name: &str, definitions: &Definitions, database: &Database) -> Result<Vec<Line>> {
    definitions.get(kind, name)?;
    let mut lines = Vec::new();
    let mut branch = BTreeSet::new();
    descend(&Reference::Object(kind, name.to_owned()), 0, definitions, database, &mut branch, &mut lines);
    Ok(lines)
}

/// What a query reads at depth 1, and what that reads, deeper by one each step.
pub(super) fn of_query(reads: &BTreeSet<Reference>, definitions: &Definitions, database: &Database) -> Vec<Line> {
    let mut lines = Vec::new();
    for read in reads {
        descend(read, 1, definitions, database, &mut BTreeSet::new(), &mut lines);
    }
    lines
}

fn descend(
    at: &Reference,
    depth: i64,
    definitions: &Definitions,
    database: &Database,
    branch: &mut BTreeSet<Reference>,
    lines: &mut Vec<Line>,
) {
    if !branch.insert(at.clone()) {
        return;
    }
    lines.push(line(at, depth, definitions, database));
    // The baseline of a KPI reads it, and its columns stand beside the KPI's: it belongs to where they come from.
    for read in definitions.reads_of(at).into_iter().flatten() {
        descend(read, depth + 1, definitions, database, branch, lines);
    }
    branch.remove(at);
}

fn line(at: &Reference, depth: i64, definitions: &Definitions, database: &Database) -> Line {
    let bare = |kind, name: &str| Line {
        depth,
        kind,
        name: name.to_owned(),
        version: None,
        newest_ns: None,
        definition: None,
        on: On::read(at),
    };
    match at {
        Reference::Object(kind, name) => match definitions.find(*kind, name) {
            Some(object) => Line {
                version: i64::try_from(object.version).ok(),
                definition: Some(object.text()),
                ..bare(kind.word(), name)
            },
            None => bare(kind.word(), name),
        },
        Reference::Relation(name) => match definitions.views.get(name) {
            Some(view) => Line { definition: Some(view.query.clone()), ..bare("view", name) },
            None => {
                let snapshot = database.engine().snapshot();
                let newest_ns = snapshot.extent(name).map(|extent| extent.max_ns);
                Line { newest_ns, ..bare("table", name) }
            }
        },
    }
}

pub(super) fn batch(lines: &[Line]) -> datafusion::arrow::error::Result<RecordBatch> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(lines.iter().map(|line| Some(line.depth)).collect::<Int64Array>()),
        Arc::new(lines.iter().map(|line| Some(line.kind)).collect::<StringArray>()),
        Arc::new(lines.iter().map(|line| Some(&line.name)).collect::<StringArray>()),
        Arc::new(lines.iter().map(|line| line.version).collect::<Int64Array>()),
        Arc::new(lines.iter().map(|line| line.newest_ns).collect::<TimestampNanosecondArray>().with_timezone("UTC")),
        Arc::new(lines.iter().map(|line| line.definition.as_ref()).collect::<StringArray>()),
    ];
    RecordBatch::try_new(schema(), columns)
}
