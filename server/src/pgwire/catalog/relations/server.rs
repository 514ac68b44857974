//! The server: databases, roles, schemas, tablespaces, settings, sessions, time zones.

use super::{
    super::{
        Context,
        datum::Datum,
        functions::{UTF8, time::instant, timezone_rows},
        objects::{DATABASE_OWNER, NAMESPACES, ROLE},
        types::oid,
    },
    Fill, Rows,
};

pub(super) const FILLS: &[(&str, Fill)] = &[
    ("pg_database", databases),
    ("pg_stat_database", database_activity),
    ("pg_namespace", namespaces),
    ("pg_tablespace", tablespaces),
    ("pg_roles", roles),
    ("pg_authid", roles),
    ("pg_user", users),
    ("pg_shadow", users),
    ("pg_settings", settings),
    ("pg_stat_activity", sessions),
    ("pg_timezone_names", timezones),
];

const DATABASE: u32 = 5;
const DEFAULT_TABLESPACE: u32 = 1663;
/// Strings compare by code point.
const LOCALE: &str = "C.UTF-8";

fn databases(context: &Context<'_>, rows: &mut Rows) {
    rows.push([
        ("oid", DATABASE.into()),
        ("datname", context.database.into()),
        ("datdba", ROLE.into()),
        ("encoding", UTF8.into()),
        ("datlocprovider", 'c'.into()),
        ("datallowconn", true.into()),
        ("datconnlimit", Datum::Int(-1)),
        ("dattablespace", DEFAULT_TABLESPACE.into()),
        ("datcollate", LOCALE.into()),
        ("datctype", LOCALE.into()),
    ]);
}

fn database_activity(context: &Context<'_>, rows: &mut Rows) {
    rows.push([("datid", DATABASE.into()), ("datname", context.database.into()), ("numbackends", Datum::Int(1))]);
}

fn namespaces(context: &Context<'_>, rows: &mut Rows) {
    for (oid, name) in NAMESPACES {
        let owner = if *name == "public" { DATABASE_OWNER } else { ROLE };
        rows.push([
            ("oid", (*oid).into()),
            ("nspname", (*name).into()),
            ("nspowner", owner.into()),
            ("nspacl", schema_rights(context, name)),
        ]);
    }
}

/// Everybody may look into the catalogue's schemas and into `public`.
fn schema_rights(context: &Context<'_>, schema: &str) -> Datum {
    let owner = match schema {
        "public" => "pg_database_owner",
        "pg_catalog" | "information_schema" => context.user,
        _ => return Datum::Null,
    };
    let items = [format!("{owner}=UC/{owner}"), format!("=U/{owner}")];
    Datum::array(oid::ACLITEM, items.iter().map(|item| item.as_str().into()).collect())
}

fn tablespaces(_: &Context<'_>, rows: &mut Rows) {
    for (oid, name) in [(DEFAULT_TABLESPACE, "pg_default"), (1664, "pg_global")] {
        rows.push([("oid", oid.into()), ("spcname", name.into()), ("spcowner", ROLE.into())]);
    }
}

fn roles(context: &Context<'_>, rows: &mut Rows) {
    for (oid, name, real) in [(ROLE, context.user, true), (DATABASE_OWNER, "pg_database_owner", false)] {
        rows.push([
            ("oid", oid.into()),
            ("rolname", name.into()),
            ("rolsuper", real.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", real.into()),
            ("rolcreatedb", real.into()),
            ("rolcanlogin", real.into()),
            ("rolreplication", real.into()),
            ("rolbypassrls", real.into()),
            ("rolconnlimit", Datum::Int(-1)),
            ("rolpassword", "********".into()),
        ]);
    }
}

fn users(context: &Context<'_>, rows: &mut Rows) {
    rows.push([
        ("usename", context.user.into()),
        ("usesysid", ROLE.into()),
        ("usecreatedb", true.into()),
        ("usesuper", true.into()),
        ("userepl", true.into()),
        ("usebypassrls", true.into()),
        ("passwd", "********".into()),
    ]);
}

fn settings(context: &Context<'_>, rows: &mut Rows) {
    for (name, value) in context.all_settings {
        let is_bool = matches!(value.as_str(), "on" | "off");
        let vartype = if is_bool {
            "bool"
        } else if value.parse::<i64>().is_ok() {
            "integer"
        } else {
            "string"
        };
        rows.push([
            ("name", name.as_str().into()),
            ("setting", value.as_str().into()),
            ("category", "Settings".into()),
            ("short_desc", "".into()),
            ("context", "user".into()),
            ("vartype", vartype.into()),
            ("source", "session".into()),
            ("boot_val", value.as_str().into()),
            ("reset_val", value.as_str().into()),
            ("pending_restart", false.into()),
        ]);
    }
}

/// A session sees itself.
fn sessions(context: &Context<'_>, rows: &mut Rows) {
    let now = instant(context, context.now_ns.div_euclid(1000));
    rows.push([
        ("datid", DATABASE.into()),
        ("datname", context.database.into()),
        ("pid", context.backend_pid.into()),
        ("usesysid", ROLE.into()),
        ("usename", context.user.into()),
        ("application_name", (context.settings)("application_name").into()),
        ("query_start", now.clone()),
        ("state_change", now),
        ("state", "active".into()),
        ("backend_type", "client backend".into()),
    ]);
}

fn timezones(context: &Context<'_>, rows: &mut Rows) {
    for row in timezone_rows(context) {
        if let Ok([name, abbrev, utc_offset, is_dst]) = <[Datum; 4]>::try_from(row) {
            rows.push([("name", name), ("abbrev", abbrev), ("utc_offset", utc_offset), ("is_dst", is_dst)]);
        }
    }
}
