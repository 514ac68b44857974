//! The server and the session: version, names, settings, process, and calls that clients expect to succeed.

use super::{
    super::{
        Context,
        datum::Datum,
        error::{CatalogError, Result},
        types::oid::*,
    },
    Call, Function, SetFunction, f, set,
    time::instant,
};
use chrono::{Offset, TimeZone};
use chrono_tz::{OffsetComponents, OffsetName, TZ_VARIANTS};

/// The PostgreSQL version whose behaviour is offered.
pub(crate) const SERVER_VERSION: &str = concat!("15.0 (Plimsoll ", env!("CARGO_PKG_VERSION"), ")");

pub(super) static FUNCTIONS: &[Function] = &[
    f("version", &[], TEXT, |_| Ok(Datum::from(version()))),
    f("current_database", &[], NAME, database),
    f("current_catalog", &[], NAME, database),
    f("current_user", &[], NAME, user),
    f("session_user", &[], NAME, user),
    f("user", &[], NAME, user),
    f("current_role", &[], NAME, user),
    f("system_user", &[], TEXT, |_| Ok(Datum::Null)),
    f("current_schema", &[], NAME, |call| Ok(search_path(call).first().map(String::as_str).into())),
    f("current_schemas", &[BOOL], NAME_ARRAY, current_schemas),
    f("current_setting", &[TEXT], TEXT, current_setting),
    f("current_setting", &[TEXT, BOOL], TEXT, current_setting),
    f("set_config", &[TEXT, TEXT, BOOL], TEXT, set_config),
    f("pg_backend_pid", &[], INT4, |call| Ok(Datum::from(call.runtime.context.backend_pid))),
    f("pg_is_in_recovery", &[], BOOL, |_| Ok(Datum::Bool(false))),
    f("pg_postmaster_start_time", &[], TIMESTAMPTZ, start_time),
    f("pg_conf_load_time", &[], TIMESTAMPTZ, start_time),
    f("pg_my_temp_schema", &[], OID, |_| Ok(Datum::Int(0))),
    f("pg_is_other_temp_schema", &[OID], BOOL, |_| Ok(Datum::Bool(false))),
    f("pg_cancel_backend", &[INT4], BOOL, |_| Ok(Datum::Bool(false))),
    f("pg_terminate_backend", &[INT4], BOOL, |_| Ok(Datum::Bool(false))),
    f("pg_sleep", &[FLOAT8], VOID, pg_sleep),
    f("pg_advisory_unlock_all", &[], VOID, |_| Ok(Datum::from(""))),
    f("pg_advisory_lock", &[INT8], VOID, |_| Ok(Datum::from(""))),
    f("pg_advisory_unlock", &[INT8], BOOL, |_| Ok(Datum::Bool(true))),
    f("pg_try_advisory_lock", &[INT8], BOOL, |_| Ok(Datum::Bool(true))),
    f("pg_export_snapshot", &[], TEXT, |_| Ok(Datum::from("00000003-00000001-1"))),
    f("pg_client_encoding", &[], NAME, |_| Ok(Datum::from("UTF8"))),
    f("getdatabaseencoding", &[], NAME, |_| Ok(Datum::from("UTF8"))),
    f("pg_encoding_to_char", &[INT4], NAME, |call| Ok(Datum::from(if call.int(0) == UTF8 { "UTF8" } else { "" }))),
    f("pg_char_to_encoding", &[NAME], INT4, |call| {
        let utf8 = matches!(call.text(0).to_ascii_uppercase().as_str(), "UTF8" | "UTF-8" | "UNICODE");
        Ok(Datum::Int(if utf8 { UTF8 } else { -1 }))
    }),
    f("inet_server_addr", &[], INET, |_| Ok(Datum::Null)),
    f("inet_server_port", &[], INT4, |_| Ok(Datum::Null)),
    f("inet_client_addr", &[], INET, |_| Ok(Datum::Null)),
    f("inet_client_port", &[], INT4, |_| Ok(Datum::Null)),
    f("txid_current", &[], INT8, |_| Ok(Datum::Int(TRANSACTION))),
    f("pg_current_xact_id", &[], INT8, |_| Ok(Datum::Int(TRANSACTION))),
    f("pg_notify", &[TEXT, TEXT], VOID, notify),
];

/// # Errors
/// 22023 without a channel.
fn notify(call: &Call<'_>) -> Result<Datum> {
    let (channel, payload) = (call.text(0).to_owned(), call.text(1).to_owned());
    if channel.is_empty() {
        return Err(CatalogError::new("22023", "channel name cannot be empty"));
    }
    call.runtime.notifications.borrow_mut().push((channel, payload));
    Ok(Datum::from(""))
}

/// PostgreSQL's number of the one encoding there is.
pub(crate) const UTF8: i64 = 6;
/// There are no transactions to number: all see this one.
const TRANSACTION: i64 = 3;

pub(super) static SETS: &[SetFunction] = &[
    set("pg_timezone_names", &[], RECORD, timezone_names).columns(&[
        ("name", TEXT),
        ("abbrev", TEXT),
        ("utc_offset", INTERVAL),
        ("is_dst", BOOL),
    ]),
    set("pg_get_keywords", &[], RECORD, |_| Ok(Vec::new())).columns(&[
        ("word", TEXT),
        ("catcode", CHAR),
        ("barelabel", BOOL),
        ("catdesc", TEXT),
        ("baredesc", TEXT),
    ]),
    set("pg_available_extensions", &[], RECORD, |_| Ok(Vec::new())).columns(&[
        ("name", NAME),
        ("default_version", TEXT),
        ("comment", TEXT),
    ]),
    set("pg_options_to_table", &[TEXT_ARRAY], RECORD, options)
        .columns(&[("option_name", TEXT), ("option_value", TEXT)]),
    set("pg_listening_channels", &[], TEXT, |call| {
        Ok(call.runtime.context.listening.iter().map(|channel| Datum::from(channel.as_str())).collect())
    }),
    set("pg_partition_ancestors", &[REGCLASS], REGCLASS, |call| Ok(call.values.to_vec())),
    set("pg_partition_tree", &[REGCLASS], RECORD, |_| Ok(Vec::new())).columns(&[
        ("relid", REGCLASS),
        ("parentrelid", REGCLASS),
        ("isleaf", BOOL),
        ("level", INT4),
    ]),
    set("aclexplode", &[ACLITEM_ARRAY], RECORD, |_| Ok(Vec::new())).columns(&[
        ("grantor", OID),
        ("grantee", OID),
        ("privilege_type", TEXT),
        ("is_grantable", BOOL),
    ]),
];

/// What `version()` says: clients read the numbers, people the name.
pub(crate) fn version() -> String {
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("PostgreSQL {SERVER_VERSION} on {machine}-{system}, compiled by rustc, {}-bit", usize::BITS)
}

fn database(call: &Call<'_>) -> Result<Datum> {
    Ok(Datum::from(call.runtime.context.database))
}

fn user(call: &Call<'_>) -> Result<Datum> {
    Ok(Datum::from(call.runtime.context.user))
}

/// The schemas of the search path that exist, in order.
fn search_path(call: &Call<'_>) -> Vec<String> {
    let path = (call.runtime.context.settings)("search_path").unwrap_or_else(|| "\"$user\", public".to_owned());
    let names = path.split(',').map(|name| name.trim().trim_matches('"').to_owned());
    names.filter(|name| matches!(name.as_str(), "public" | "pg_catalog" | "information_schema")).collect()
}

fn current_schemas(call: &Call<'_>) -> Result<Datum> {
    let mut names = search_path(call);
    if call.is_true(0) && !names.iter().any(|name| name == "pg_catalog") {
        names.insert(0, "pg_catalog".to_owned());
    }
    Ok(Datum::array(NAME, names.into_iter().map(Datum::from).collect()))
}

fn current_setting(call: &Call<'_>) -> Result<Datum> {
    let name = call.text(0);
    match setting(call, &name.to_lowercase()) {
        Some(value) => Ok(Datum::from(value)),
        None if call.is_true(1) => Ok(Datum::Null),
        None => Err(CatalogError::new("42704", format!("unrecognized configuration parameter \"{name}\""))),
    }
}

fn setting(call: &Call<'_>, name: &str) -> Option<String> {
    let context = call.runtime.context;
    let listed = || context.all_settings.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    (context.settings)(name).or_else(|| listed().map(|(_, value)| value.clone()))
}

fn set_config(call: &Call<'_>) -> Result<Datum> {
    let (name, value) = (call.text(0).to_lowercase(), call.text(1));
    if setting(call, &name).is_none() && !name.contains('.') {
        return Err(CatalogError::new("42704", format!("unrecognized configuration parameter \"{name}\"")));
    }
    call.runtime.settings.borrow_mut().push((name, value.to_owned()));
    Ok(Datum::from(value))
}

/// Nothing here waits: who asked does, before the rows go out.
fn pg_sleep(call: &Call<'_>) -> Result<Datum> {
    if let Some(Datum::Float(seconds)) = call.values.first() {
        call.runtime.sleep_s.set(call.runtime.sleep_s.get() + seconds.max(0.0));
    }
    Ok(Datum::from(""))
}

fn start_time(call: &Call<'_>) -> Result<Datum> {
    Ok(instant(call.runtime.context, call.runtime.context.started_ns.div_euclid(1000)))
}

/// A row of `pg_timezone_names` for every zone.
pub(crate) fn timezone_rows(context: &Context<'_>) -> Vec<Vec<Datum>> {
    let Some(at) = chrono::DateTime::from_timestamp_micros(context.now_ns.div_euclid(1000)) else { return Vec::new() };
    let row = |zone: &chrono_tz::Tz| {
        let offset = zone.offset_from_utc_datetime(&at.naive_utc());
        let seconds = offset.fix().local_minus_utc();
        let sign = if seconds < 0 { "-" } else { "" };
        let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
        vec![
            Datum::from(zone.name()),
            Datum::from(offset.abbreviation().unwrap_or("")),
            Datum::from(format!("{sign}{hours:02}:{minutes:02}:00")),
            Datum::Bool(!offset.dst_offset().is_zero()),
        ]
    };
    TZ_VARIANTS.iter().map(row).collect()
}

fn timezone_names(call: &Call<'_>) -> Result<Vec<Datum>> {
    Ok(timezone_rows(call.runtime.context).into_iter().map(|row| Datum::Record(row.into())).collect())
}

fn options(call: &Call<'_>) -> Result<Vec<Datum>> {
    let row = |item: &Datum| {
        let (name, value) =
            item.as_str().unwrap_or("").split_once('=').map_or((item.as_str(), None), |(n, v)| (Some(n), Some(v)));
        Datum::Record([name.into(), value.into()].into())
    };
    Ok(call.items(0).iter().map(row).collect())
}
