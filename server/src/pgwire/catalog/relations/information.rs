//! `information_schema`, in the SQL standard's words.

use super::{
    super::{
        Context,
        datum::Datum,
        objects::NAMESPACES,
        types::{self, oid},
    },
    Fill, Rows, all,
};

pub(super) const FILLS: &[(&str, Fill)] = &[
    ("tables", tables),
    ("columns", columns),
    ("schemata", schemata),
    ("character_sets", character_sets),
    ("information_schema_catalog_name", catalog_name),
    ("enabled_roles", enabled_roles),
    ("applicable_roles", applicable_roles),
    ("table_privileges", table_privileges),
];

fn tables(context: &Context<'_>, rows: &mut Rows) {
    let ours = context.tables.iter().map(|table| (table.schema, table.name.as_str(), table.kind()));
    let system = all().iter().map(|relation| (relation.schema, relation.name, relation.kind));
    for (schema, name, kind) in ours.chain(system) {
        let insertable = if schema == "public" && kind == 'r' { "YES" } else { "NO" };
        rows.push([
            ("table_catalog", context.database.into()),
            ("table_schema", schema.into()),
            ("table_name", name.into()),
            ("table_type", if kind == 'r' { "BASE TABLE" } else { "VIEW" }.into()),
            ("is_insertable_into", insertable.into()),
            ("is_typed", "NO".into()),
        ]);
    }
}

fn columns(context: &Context<'_>, rows: &mut Rows) {
    for table in context.tables {
        for (number, column) in (1..).zip(&table.columns) {
            let path = (table.schema, table.name.as_str(), column.name.as_str());
            push_column(context, rows, path, number, column.type_oid, column.not_null);
        }
    }
    for relation in all() {
        for (number, column) in (1..).zip(relation.visible()) {
            let path = (relation.schema, relation.name, column.name);
            push_column(context, rows, path, number, column.type_oid, column.not_null);
        }
    }
}

fn push_column(
    context: &Context<'_>,
    rows: &mut Rows,
    (schema, table, column): (&str, &str, &str),
    number: i64,
    type_oid: u32,
    not_null: bool,
) {
    let Some(of_type) = types::by_oid(type_oid) else { return };
    let data_type =
        if of_type.element != 0 && of_type.length == -1 { "ARRAY".to_owned() } else { types::sql_name(type_oid) };
    // Bits and base of integers and floats; a numeric without a precision has only its base.
    let (precision, radix, scale) = match type_oid {
        oid::INT2 => (Some(16i64), Some(2i64), Some(0i64)),
        oid::INT4 => (Some(32), Some(2), Some(0)),
        oid::INT8 => (Some(64), Some(2), Some(0)),
        oid::FLOAT4 => (Some(24), Some(2), None),
        oid::FLOAT8 => (Some(53), Some(2), None),
        oid::NUMERIC => (None, Some(10), None),
        _ => (None, None, None),
    };
    let time_digits = match type_oid {
        oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::TIME | oid::INTERVAL => Some(6i64),
        oid::DATE => Some(0),
        _ => None,
    };
    // A gigabyte, the most a string can hold.
    let octets = matches!(type_oid, oid::TEXT | oid::VARCHAR).then_some(1_073_741_824i64);
    let yes_no = |yes: bool| Datum::from(if yes { "YES" } else { "NO" });
    rows.push([
        ("table_catalog", context.database.into()),
        ("table_schema", schema.into()),
        ("table_name", table.into()),
        ("column_name", column.into()),
        ("ordinal_position", number.into()),
        ("is_nullable", yes_no(!not_null)),
        ("data_type", data_type.into()),
        ("character_octet_length", octets.into()),
        ("numeric_precision", precision.into()),
        ("numeric_precision_radix", radix.into()),
        ("numeric_scale", scale.into()),
        ("datetime_precision", time_digits.into()),
        ("udt_catalog", context.database.into()),
        ("udt_schema", "pg_catalog".into()),
        ("udt_name", of_type.name.into()),
        ("dtd_identifier", number.to_string().into()),
        ("is_self_referencing", yes_no(false)),
        ("is_identity", yes_no(false)),
        ("identity_cycle", yes_no(false)),
        ("is_generated", "NEVER".into()),
        ("is_updatable", yes_no(schema == "public")),
    ]);
}

fn schemata(context: &Context<'_>, rows: &mut Rows) {
    for (_, name) in NAMESPACES {
        let owner = if *name == "public" { "pg_database_owner" } else { context.user };
        rows.push([
            ("catalog_name", context.database.into()),
            ("schema_name", (*name).into()),
            ("schema_owner", owner.into()),
        ]);
    }
}

fn character_sets(context: &Context<'_>, rows: &mut Rows) {
    rows.push([
        ("character_set_name", "UTF8".into()),
        ("character_repertoire", "UCS".into()),
        ("form_of_use", "UTF8".into()),
        ("default_collate_catalog", context.database.into()),
        ("default_collate_schema", "pg_catalog".into()),
        ("default_collate_name", "default".into()),
    ]);
}

fn catalog_name(context: &Context<'_>, rows: &mut Rows) {
    rows.push([("catalog_name", context.database.into())]);
}

fn enabled_roles(context: &Context<'_>, rows: &mut Rows) {
    rows.push([("role_name", context.user.into())]);
}

fn applicable_roles(context: &Context<'_>, rows: &mut Rows) {
    let user = || Datum::from(context.user);
    rows.push([("grantee", user()), ("role_name", user()), ("is_grantable", "YES".into())]);
}

fn table_privileges(context: &Context<'_>, rows: &mut Rows) {
    for table in context.tables {
        for privilege in ["INSERT", "SELECT"].into_iter().filter(|p| *p == "SELECT" || table.kind() == 'r') {
            rows.push([
                ("grantor", context.user.into()),
                ("grantee", context.user.into()),
                ("table_catalog", context.database.into()),
                ("table_schema", table.schema.into()),
                ("table_name", table.name.as_str().into()),
                ("privilege_type", privilege.into()),
                ("is_grantable", "YES".into()),
                ("with_hierarchy", if privilege == "SELECT" { "YES" } else { "NO" }.into()),
            ]);
        }
    }
}
