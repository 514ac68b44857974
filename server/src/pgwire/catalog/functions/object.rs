//! Objects by oid: names, definitions, comments, visibility, privileges, sizes.

use super::{
    super::{
        datum::Datum,
        error::{CatalogError, Result},
        objects, relations,
        types::{self, oid::*},
    },
    Call, Function, f,
};

pub(super) static FUNCTIONS: &[Function] = &[
    f("format_type", &[OID, INT4], TEXT, format_type).lenient(),
    f("pg_typeof", &[ANY], REGTYPE, |call| {
        let type_oid = call.type_of(0);
        Ok(Datum::Reg(type_oid, types::sql_name(type_oid).into()))
    })
    .lenient(),
    // Definitions: there are no expressions, rules, indexes, constraints or triggers to print.
    f("pg_get_expr", &[PG_NODE_TREE, OID], TEXT, expression),
    f("pg_get_expr", &[PG_NODE_TREE, OID, BOOL], TEXT, expression),
    f("pg_get_viewdef", &[OID], TEXT, view_definition),
    f("pg_get_viewdef", &[OID, BOOL], TEXT, view_definition),
    f("pg_get_viewdef", &[TEXT], TEXT, nothing),
    f("pg_get_ruledef", &[OID], TEXT, nothing),
    f("pg_get_ruledef", &[OID, BOOL], TEXT, nothing),
    f("pg_get_indexdef", &[OID], TEXT, nothing),
    f("pg_get_indexdef", &[OID, INT4, BOOL], TEXT, nothing),
    f("pg_get_constraintdef", &[OID], TEXT, nothing),
    f("pg_get_constraintdef", &[OID, BOOL], TEXT, nothing),
    f("pg_get_triggerdef", &[OID], TEXT, nothing),
    f("pg_get_triggerdef", &[OID, BOOL], TEXT, nothing),
    f("pg_get_partkeydef", &[OID], TEXT, nothing),
    f("pg_get_statisticsobjdef_columns", &[OID], TEXT, nothing),
    f("pg_get_statisticsobjdef", &[OID], TEXT, nothing),
    f("pg_get_functiondef", &[OID], TEXT, nothing),
    f("pg_get_function_sqlbody", &[OID], TEXT, nothing),
    f("pg_get_function_result", &[OID], TEXT, function_result),
    f("pg_get_function_arguments", &[OID], TEXT, function_arguments),
    f("pg_get_function_identity_arguments", &[OID], TEXT, function_arguments),
    f("pg_get_serial_sequence", &[TEXT, TEXT], TEXT, nothing),
    f("pg_get_replica_identity_index", &[REGCLASS], REGCLASS, nothing),
    f("pg_describe_object", &[OID, OID, INT4], TEXT, nothing),
    f("pg_get_userbyid", &[OID], NAME, user_by_id),
    f("pg_encoding_max_length", &[INT4], INT4, |_| Ok(Datum::Int(4))),
    // Comments.
    f("obj_description", &[OID, NAME], TEXT, comment),
    f("obj_description", &[OID], TEXT, nothing),
    f("shobj_description", &[OID, NAME], TEXT, nothing),
    f("col_description", &[OID, INT4], TEXT, column_comment),
    // Visibility: what stands in pg_catalog or public is found without a schema.
    f("pg_table_is_visible", &[OID], BOOL, table_is_visible),
    f("pg_type_is_visible", &[OID], BOOL, visible),
    f("pg_function_is_visible", &[OID], BOOL, visible),
    f("pg_operator_is_visible", &[OID], BOOL, visible),
    f("pg_opclass_is_visible", &[OID], BOOL, visible),
    f("pg_opfamily_is_visible", &[OID], BOOL, visible),
    f("pg_collation_is_visible", &[OID], BOOL, visible),
    f("pg_conversion_is_visible", &[OID], BOOL, visible),
    f("pg_statistics_obj_is_visible", &[OID], BOOL, visible),
    f("pg_ts_config_is_visible", &[OID], BOOL, visible),
    f("pg_ts_dict_is_visible", &[OID], BOOL, visible),
    f("pg_ts_parser_is_visible", &[OID], BOOL, visible),
    f("pg_ts_template_is_visible", &[OID], BOOL, visible),
    f("pg_relation_is_publishable", &[REGCLASS], BOOL, |call| {
        Ok(Datum::Bool(call.runtime.context.tables.iter().any(|table| table.oid == call.oid(0))))
    }),
    // Privileges: the one role may do everything.
    f("has_table_privilege", &[ANY, TEXT], BOOL, visible),
    f("has_table_privilege", &[ANY, ANY, TEXT], BOOL, visible),
    f("has_any_column_privilege", &[ANY, TEXT], BOOL, visible),
    f("has_any_column_privilege", &[ANY, ANY, TEXT], BOOL, visible),
    f("has_column_privilege", &[ANY, ANY, TEXT], BOOL, visible),
    f("has_column_privilege", &[ANY, ANY, ANY, TEXT], BOOL, visible),
    f("has_schema_privilege", &[ANY, TEXT], BOOL, visible),
    f("has_schema_privilege", &[ANY, ANY, TEXT], BOOL, visible),
    f("has_database_privilege", &[ANY, TEXT], BOOL, visible),
    f("has_database_privilege", &[ANY, ANY, TEXT], BOOL, visible),
    f("has_function_privilege", &[ANY, TEXT], BOOL, visible),
    f("has_function_privilege", &[ANY, ANY, TEXT], BOOL, visible),
    f("has_sequence_privilege", &[ANY, TEXT], BOOL, visible),
    f("has_tablespace_privilege", &[ANY, TEXT], BOOL, visible),
    f("has_type_privilege", &[ANY, TEXT], BOOL, visible),
    f("has_language_privilege", &[ANY, TEXT], BOOL, visible),
    f("has_server_privilege", &[ANY, TEXT], BOOL, visible),
    f("has_foreign_data_wrapper_privilege", &[ANY, TEXT], BOOL, visible),
    f("pg_has_role", &[ANY, TEXT], BOOL, visible),
    f("pg_has_role", &[ANY, ANY, TEXT], BOOL, visible),
    f("row_security_active", &[ANY], BOOL, |_| Ok(Datum::Bool(false))),
    // Sizes: a table's share of the disk is not kept apart, so it is not known here.
    f("pg_table_size", &[REGCLASS], INT8, size),
    f("pg_relation_size", &[REGCLASS], INT8, size),
    f("pg_relation_size", &[REGCLASS, TEXT], INT8, size),
    f("pg_total_relation_size", &[REGCLASS], INT8, size),
    f("pg_indexes_size", &[REGCLASS], INT8, size),
    f("pg_database_size", &[ANY], INT8, size),
    f("pg_tablespace_size", &[ANY], INT8, size),
    f("pg_size_pretty", &[INT8], TEXT, size_pretty),
    f("pg_size_pretty", &[NUMERIC], TEXT, size_pretty),
    f("pg_tablespace_location", &[OID], TEXT, |_| Ok(Datum::from(""))),
    f("pg_relation_filenode", &[REGCLASS], OID, nothing),
    f("pg_filenode_relation", &[OID, OID], REGCLASS, nothing),
    f("pg_stat_get_numscans", &[OID], INT8, |_| Ok(Datum::Int(0))),
    f("pg_stat_get_live_tuples", &[OID], INT8, |_| Ok(Datum::Int(0))),
    f("pg_relation_is_updatable", &[REGCLASS, BOOL], INT4, |_| Ok(Datum::Int(8))),
    f("pg_column_is_updatable", &[REGCLASS, INT2, BOOL], BOOL, |_| Ok(Datum::Bool(false))),
    f("pg_sequence_last_value", &[REGCLASS], INT8, nothing),
    f("pg_index_column_has_property", &[REGCLASS, INT4, TEXT], BOOL, nothing),
    f("pg_indexam_has_property", &[OID, TEXT], BOOL, nothing),
    f("acldefault", &[CHAR, OID], ACLITEM_ARRAY, nothing),
    f("age", &[XID], INT4, |_| Ok(Datum::Int(0))),
    // Names to oids, NULL where there is no such object.
    f("to_regclass", &[TEXT], REGCLASS, |call| to_reg(call, REGCLASS)),
    f("to_regtype", &[TEXT], REGTYPE, |call| to_reg(call, REGTYPE)),
    f("to_regproc", &[TEXT], REGPROC, |call| to_reg(call, REGPROC)),
    f("to_regprocedure", &[TEXT], REGPROCEDURE, |call| to_reg(call, REGPROCEDURE)),
    f("to_regnamespace", &[TEXT], REGNAMESPACE, |call| to_reg(call, REGNAMESPACE)),
    f("to_regrole", &[TEXT], REGROLE, |call| to_reg(call, REGROLE)),
    f("to_regcollation", &[TEXT], REGCOLLATION, |call| to_reg(call, REGCOLLATION)),
];

fn nothing(_: &Call<'_>) -> Result<Datum> {
    Ok(Datum::Null)
}

fn visible(_: &Call<'_>) -> Result<Datum> {
    Ok(Datum::Bool(true))
}

fn format_type(call: &Call<'_>) -> Result<Datum> {
    if call.values[0].is_null() {
        return Ok(Datum::Null);
    }
    Ok(Datum::from(types::format_type(call.oid(0), call.values[1].as_int().unwrap_or(-1))))
}

/// Stored expressions are kept as the text they print as.
fn expression(call: &Call<'_>) -> Result<Datum> {
    Ok(call.values[0].clone())
}

fn function_result(call: &Call<'_>) -> Result<Datum> {
    Ok(objects::procedure(call.oid(0)).map(|p| types::sql_name(p.result)).into())
}

fn function_arguments(call: &Call<'_>) -> Result<Datum> {
    let shown = |p: &objects::Procedure| p.arguments.iter().map(|t| types::sql_name(*t)).collect::<Vec<_>>().join(", ");
    Ok(objects::procedure(call.oid(0)).map(shown).into())
}

fn user_by_id(call: &Call<'_>) -> Result<Datum> {
    let oid = call.oid(0);
    Ok(Datum::from(objects::role_name(call.runtime.context, oid).unwrap_or_else(|| format!("unknown (OID={oid})"))))
}

/// The comment on an object of a class: schemas have some.
fn comment(call: &Call<'_>) -> Result<Datum> {
    let of_schema = call.text(1) == "pg_namespace";
    let found = relations::SCHEMA_DESCRIPTIONS.iter().find(|(oid, _)| of_schema && *oid == call.oid(0));
    Ok(found.map(|(_, description)| *description).into())
}

fn column_comment(call: &Call<'_>) -> Result<Datum> {
    let table = call.runtime.context.tables.iter().find(|table| table.oid == call.oid(0));
    let index = usize::try_from(call.int(1) - 1).ok();
    let column = table.zip(index).and_then(|(table, index)| table.columns.get(index));
    Ok(column.and_then(|column| column.comment.as_deref()).into())
}

/// The query of a view, as PostgreSQL prints it: with a semicolon.
fn view_definition(call: &Call<'_>) -> Result<Datum> {
    let view = call.runtime.context.tables.iter().find(|table| table.oid == call.oid(0));
    Ok(view.and_then(|view| view.definition.as_ref()).map(|query| format!(" {query};")).into())
}

fn table_is_visible(call: &Call<'_>) -> Result<Datum> {
    let found = objects::relation_name(call.runtime.context, call.oid(0));
    Ok(found.map(|(schema, _)| matches!(schema, "pg_catalog" | "public")).into())
}

fn size(_: &Call<'_>) -> Result<Datum> {
    Ok(Datum::Int(0))
}

/// Bytes below 10 KiB, then the first unit that needs fewer than 10240 of it, halves rounded up.
fn size_pretty(call: &Call<'_>) -> Result<Datum> {
    let bytes = match &call.values[0] {
        Datum::Numeric(value) => value.to_i64().ok_or_else(|| CatalogError::out_of_range("bigint"))?,
        value => value.as_int().unwrap_or(0),
    };
    if bytes.unsigned_abs() < 10_240 {
        return Ok(Datum::from(format!("{bytes} bytes")));
    }
    let mut halves = bytes >> 9;
    let units = ["kB", "MB", "GB", "TB", "PB"];
    for (index, unit) in units.iter().enumerate() {
        if halves.unsigned_abs() < 2 * 10_240 - 1 || index + 1 == units.len() {
            let rounded = (halves + if halves < 0 { -1 } else { 1 }) / 2;
            return Ok(Datum::from(format!("{rounded} {unit}")));
        }
        halves >>= 10;
    }
    Ok(Datum::Null)
}

/// A name that is no number and no object is NULL, where a cast would be an error.
fn to_reg(call: &Call<'_>, type_oid: u32) -> Result<Datum> {
    let name = call.text(0);
    match objects::from_text(call.runtime.context, type_oid, name) {
        Ok(found) => Ok(found),
        Err(error) if error.sqlstate.starts_with("42") || error.sqlstate == "3F000" => Ok(Datum::Null),
        Err(error) => Err(error),
    }
}
