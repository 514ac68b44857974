//! `sys.objects` and `sys.versions`: what is defined in the dialect, and what was; `sys.dead_letter`.

use super::{Cell, Kind, Row, SystemColumn, SystemTable};
use crate::catalog::Object;
use crate::dialect::{Definition, Kind as DialectKind};
use crate::privilege::{On, RowPolicy};
use crate::{Database, Result};

pub(super) const TABLES: &[SystemTable] = &[
    SystemTable {
        schema: super::SCHEMA,
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
        schema: super::SCHEMA,
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
    SystemTable {
        schema: super::SCHEMA,
        name: "expectation",
        about: "what the rows of a table are expected to satisfy",
        columns: &[
            SystemColumn::new("table_name", Kind::Text, "the table"),
            SystemColumn::new("rule", Kind::Text, "its name"),
            SystemColumn::new("expression", Kind::Text, "the condition"),
            SystemColumn::new("action", Kind::Text, "WARN, QUARANTINE, DROP ROW or FAIL"),
            SystemColumn::new("checked", Kind::Integer, "rows that were looked at since the database was opened"),
            SystemColumn::new("violated", Kind::Integer, "rows that violated it; those refused since it was opened"),
            SystemColumn::new("last_at", Kind::Time, "when a row violated it last"),
        ],
        rows: expectations,
    },
    SystemTable {
        schema: super::SCHEMA,
        name: "row_policy",
        about: "a policy for the rows that a role sees of a relation",
        columns: &[
            SystemColumn::new("policy", Kind::Text, "its name"),
            SystemColumn::new("schema_name", Kind::Text, "the schema of the relation"),
            SystemColumn::new("relation", Kind::Text, "the relation"),
            SystemColumn::new("role", Kind::Text, "who sees its rows by it"),
            SystemColumn::new("condition", Kind::Text, "what holds for these rows"),
        ],
        rows: row_policies,
    },
];

fn row_policies(database: &Database) -> Result<Vec<Row>> {
    let definitions = database.catalog().definitions();
    let mut rows = Vec::new();
    for role in definitions.roles.all() {
        for RowPolicy { name, on, condition } in &role.policies {
            let On::Named { schema, name: relation } = on else { continue };
            rows.push([name, schema, relation, &role.name, condition].map(Cell::text).into());
        }
    }
    Ok(rows)
}

fn expectations(database: &Database) -> Result<Vec<Row>> {
    let row = |expected: crate::quality::Expected| {
        vec![
            Cell::text(expected.table),
            Cell::text(expected.rule),
            Cell::text(expected.expression),
            Cell::text(expected.action),
            Cell::count(expected.checked),
            Cell::count(expected.violated),
            Cell::Time(expected.last_ns),
        ]
    };
    Ok(database.expectations().into_iter().map(row).collect())
}

/// Events that were given up.
pub(super) const DEAD_LETTERS: &[SystemTable] = &[SystemTable {
    schema: super::SCHEMA,
    name: "dead_letter",
    about: "an event that was given up: CALL redeliver(event_id) tries it again",
    columns: &[
        SystemColumn::new("event_id", Kind::Text, "its name"),
        SystemColumn::new("sink", Kind::Text, "who was to be told"),
        SystemColumn::new("incident_id", Kind::Integer, "the incident"),
        SystemColumn::new("event", Kind::Text, "what happened"),
        SystemColumn::new("created_at", Kind::Time, "when it happened"),
        SystemColumn::new("settled_at", Kind::Time, "when it was given up"),
        SystemColumn::new("attempts", Kind::Integer, "how often it was tried"),
        SystemColumn::new("answer", Kind::Text, "what the sink said last"),
        SystemColumn::new("body", Kind::Text, "what was to be told"),
    ],
    rows: dead_letters,
}];

fn dead_letters(database: &Database) -> Result<Vec<Row>> {
    let table = crate::ops::incident::tables()?.delivery;
    let rows = database.ops().rows(table);
    let dead =
        rows.values().map(|row| crate::ops::Named::new(table, row)).filter(|row| row.text("state") == Some("dead"));
    let row = |row: crate::ops::Named<'_>| {
        let text = |name: &str| Cell::Text(row.text(name).map(str::to_owned));
        vec![
            text("event_id"),
            text("sink"),
            Cell::Integer(row.integer("incident_id")),
            text("event"),
            Cell::Time(row.time_ns("created_at")),
            Cell::Time(row.time_ns("settled_at")),
            Cell::Integer(row.integer("attempts")),
            text("answer"),
            text("body"),
        ]
    };
    Ok(dead.map(row).collect())
}

/// What `CREATE SERVICE` defines, as operations teams ask for it.
pub(super) const OPS_TABLES: &[SystemTable] = &[
    SystemTable {
        schema: crate::ops::SCHEMA,
        name: "service",
        about: "a service that is defined",
        columns: &[
            SystemColumn::new("name", Kind::Text, "its name"),
            SystemColumn::new("tier", Kind::Integer, "how important it is, 0 is the most"),
            SystemColumn::new("owner", Kind::Text, "who answers for it"),
            SystemColumn::new("cost_per_minute", Kind::Text, "what it costs when it does not work"),
            SystemColumn::new("currency", Kind::Text, "in what that is counted"),
            SystemColumn::new("match", Kind::Text, "which series belong to it"),
            SystemColumn::new("escalation", Kind::Text, "who is told when it does not work"),
            SystemColumn::new("comment", Kind::Text, "what COMMENT ON says of it"),
        ],
        rows: services,
    },
    SystemTable {
        schema: crate::ops::SCHEMA,
        name: "service_edge",
        about: "a service that another one uses",
        columns: &[
            SystemColumn::new("service", Kind::Text, "the one that uses"),
            SystemColumn::new("depends_on", Kind::Text, "the one that is used"),
            SystemColumn::new("kind", Kind::Text, "hard or soft"),
            SystemColumn::new("is_defined", Kind::Boolean, "whether that one is defined"),
        ],
        rows: edges,
    },
];

fn services(database: &Database) -> Result<Vec<Row>> {
    let definitions = database.catalog().definitions();
    let row = |object: &std::sync::Arc<Object>| {
        let Definition::Service(service) = &object.definition else { return None };
        let option = |name: &str| Cell::Text(service.options.text(name).map(str::to_owned));
        Some(vec![
            Cell::text(&service.name),
            Cell::count(service.tier),
            Cell::Text(service.owner.clone()),
            option("cost_per_minute"),
            option("currency"),
            option("match"),
            option("escalation"),
            Cell::Text(object.comment.clone()),
        ])
    };
    Ok(definitions.of_kind(DialectKind::Service).filter_map(row).collect())
}

fn edges(database: &Database) -> Result<Vec<Row>> {
    let definitions = database.catalog().definitions();
    let mut rows = Vec::new();
    for object in definitions.of_kind(DialectKind::Service) {
        let Definition::Service(service) = &object.definition else { continue };
        for dependency in &service.depends {
            rows.push(vec![
                Cell::text(&service.name),
                Cell::text(&dependency.service),
                Cell::text(if dependency.is_hard { "hard" } else { "soft" }),
                Cell::Boolean(definitions.find(DialectKind::Service, &dependency.service).is_some()),
            ]);
        }
    }
    Ok(rows)
}

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
