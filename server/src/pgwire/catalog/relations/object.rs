//! Tables and their columns: ours, and the system relations themselves.

use super::{
    super::{
        Context,
        datum::{Datum, Row},
        objects::{ROLE, namespace_oid},
        types,
    },
    Fill, Rows, all, find,
};
use std::sync::LazyLock;

pub(super) const FILLS: &[(&str, Fill)] = &[
    ("pg_class", classes),
    ("pg_attribute", attributes),
    ("pg_description", descriptions),
    ("pg_tables", tables),
    ("pg_matviews", materialized_views),
    ("pg_views", views),
    ("pg_stat_user_tables", user_tables),
    ("pg_stat_all_tables", user_tables),
    ("pg_statio_user_tables", user_tables),
    ("pg_statio_all_tables", user_tables),
];

/// Oid of `pg_class` in `pg_class`: the class that a table's comments belong to.
const PG_CLASS: u32 = 1259;
const PG_NAMESPACE: u32 = 2615;

/// What PostgreSQL says of its schemas.
pub(crate) const SCHEMA_DESCRIPTIONS: &[(u32, &str)] =
    &[(11, "system catalog schema"), (99, "reserved schema for TOAST tables"), (2200, "standard public schema")];

/// Access method `heap`.
const HEAP: u32 = 2;
/// Collations: system columns sort by byte, the others by the database's rule.
const C: u32 = 950;
const DEFAULT: u32 = 100;

fn classes(context: &Context<'_>, rows: &mut Rows) {
    for table in context.tables {
        let namespace = namespace_oid(table.schema).unwrap_or(0);
        let identity = if table.kind() == 'r' { 'd' } else { 'n' };
        push_class(rows, table.oid, namespace, &table.name, table.kind(), identity, table.columns.len());
    }
    for relation in all() {
        let namespace = namespace_oid(relation.schema).unwrap_or(0);
        push_class(rows, relation.oid, namespace, relation.name, relation.kind, 'n', relation.visible().count());
    }
}

fn push_class(rows: &mut Rows, oid: u32, namespace: u32, name: &str, kind: char, identity: char, columns: usize) {
    rows.push([
        ("oid", oid.into()),
        ("relname", name.into()),
        ("relnamespace", namespace.into()),
        ("relowner", ROLE.into()),
        ("relam", if kind == 'r' { HEAP } else { 0 }.into()),
        ("relfilenode", if kind == 'r' { oid } else { 0 }.into()),
        ("reltuples", Datum::Float(-1.0)),
        // A view is a rule.
        ("relhasrules", matches!(kind, 'v' | 'm').into()),
        ("relpersistence", 'p'.into()),
        ("relkind", kind.into()),
        ("relnatts", Datum::Int(columns as i64)),
        ("relispopulated", true.into()),
        ("relreplident", identity.into()),
    ]);
}

/// The system relations' columns never change.
static SYSTEM_ATTRIBUTES: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let Some(attributes) = find("pg_catalog", "pg_attribute") else { return Vec::new() };
    let mut rows = Rows::of(attributes);
    for relation in all() {
        for (number, column) in (1..).zip(relation.visible()) {
            push_attribute(&mut rows, relation.oid, (number, column.name), column.type_oid, column.not_null, C);
        }
    }
    rows.rows
});

fn attributes(context: &Context<'_>, rows: &mut Rows) {
    for table in context.tables {
        for (number, column) in (1..).zip(&table.columns) {
            push_attribute(rows, table.oid, (number, &column.name), column.type_oid, column.not_null, DEFAULT);
        }
    }
    rows.rows.extend(SYSTEM_ATTRIBUTES.iter().cloned());
}

fn push_attribute(
    rows: &mut Rows,
    relation: u32,
    (number, name): (i64, &str),
    type_oid: u32,
    not_null: bool,
    collation: u32,
) {
    let Some(of_type) = types::by_oid(type_oid) else { return };
    rows.push([
        ("attrelid", relation.into()),
        ("attname", name.into()),
        ("atttypid", type_oid.into()),
        ("attstattarget", Datum::Int(-1)),
        ("attlen", Datum::Int(of_type.length.into())),
        ("attnum", number.into()),
        ("attndims", Datum::Int((of_type.element != 0).into())),
        ("attcacheoff", Datum::Int(-1)),
        ("atttypmod", Datum::Int(-1)),
        ("attbyval", of_type.by_value.into()),
        ("attalign", of_type.alignment.into()),
        ("attstorage", of_type.storage.into()),
        ("attnotnull", not_null.into()),
        ("attislocal", true.into()),
        ("attcollation", if of_type.collation == 0 { 0 } else { collation }.into()),
    ]);
}

fn descriptions(context: &Context<'_>, rows: &mut Rows) {
    for (oid, description) in SCHEMA_DESCRIPTIONS {
        rows.push([
            ("objoid", (*oid).into()),
            ("classoid", PG_NAMESPACE.into()),
            ("description", (*description).into()),
        ]);
    }
    for table in context.tables {
        for (number, column) in (1i64..).zip(&table.columns) {
            let Some(comment) = &column.comment else { continue };
            rows.push([
                ("objoid", table.oid.into()),
                ("classoid", PG_CLASS.into()),
                ("objsubid", number.into()),
                ("description", comment.as_str().into()),
            ]);
        }
    }
}

fn tables(context: &Context<'_>, rows: &mut Rows) {
    let ours =
        context.tables.iter().filter(|table| table.kind() == 'r').map(|table| (table.schema, table.name.as_str()));
    let system = all().iter().filter(|relation| relation.kind == 'r').map(|relation| (relation.schema, relation.name));
    for (schema, name) in ours.chain(system) {
        rows.push([
            ("schemaname", schema.into()),
            ("tablename", name.into()),
            ("tableowner", context.user.into()),
            ("hasindexes", false.into()),
            ("hasrules", false.into()),
            ("hastriggers", false.into()),
            ("rowsecurity", false.into()),
        ]);
    }
}

fn views(context: &Context<'_>, rows: &mut Rows) {
    for table in context.tables.iter().filter(|table| table.kind() == 'v') {
        let Some(definition) = &table.definition else { continue };
        rows.push([
            ("schemaname", table.schema.into()),
            ("viewname", table.name.as_str().into()),
            ("viewowner", context.user.into()),
            ("definition", definition.as_str().into()),
        ]);
    }
    for relation in all().iter().filter(|relation| relation.kind == 'v') {
        let (schema, name) = (relation.schema.into(), relation.name.into());
        rows.push([("schemaname", schema), ("viewname", name), ("viewowner", context.user.into())]);
    }
}

fn materialized_views(context: &Context<'_>, rows: &mut Rows) {
    for table in context.tables.iter().filter(|table| table.kind() == 'm') {
        let Some(definition) = &table.definition else { continue };
        rows.push([
            ("schemaname", table.schema.into()),
            ("matviewname", table.name.as_str().into()),
            ("matviewowner", context.user.into()),
            ("hasindexes", false.into()),
            ("ispopulated", true.into()),
            ("definition", format!(" {definition};").into()),
        ]);
    }
}

fn user_tables(context: &Context<'_>, rows: &mut Rows) {
    for table in context.tables.iter().filter(|table| table.kind() == 'r') {
        rows.push([
            ("relid", table.oid.into()),
            ("schemaname", table.schema.into()),
            ("relname", table.name.as_str().into()),
        ]);
    }
}
