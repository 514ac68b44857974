//! What the system is spelled in: types, functions, languages, access methods, collations.

use super::{
    super::{
        Context,
        datum::{Datum, Row},
        objects::{self, ROLE},
        types::{self, oid},
    },
    Fill, Rows, find,
};
use std::sync::LazyLock;

pub(super) const FILLS: &[(&str, Fill)] = &[
    ("pg_type", kinds),
    ("pg_proc", procedures),
    ("pg_range", ranges),
    ("pg_am", access_methods),
    ("pg_language", languages),
    ("pg_collation", collations),
];

const PG_CATALOG: u32 = 11;

/// Position in `types.txt` and column of `pg_type`, where the text is the value.
const TYPE_FIELDS: &[(usize, &str)] = &[
    (0, "oid"),
    (1, "typname"),
    (2, "typlen"),
    (3, "typbyval"),
    (4, "typtype"),
    (5, "typcategory"),
    (6, "typispreferred"),
    (7, "typdelim"),
    (9, "typelem"),
    (10, "typarray"),
    (18, "typalign"),
    (19, "typstorage"),
    (20, "typcollation"),
];

/// Likewise, where the text is the name of a function.
const TYPE_FUNCTIONS: &[(usize, &str)] = &[
    (11, "typinput"),
    (12, "typoutput"),
    (13, "typreceive"),
    (14, "typsend"),
    (15, "typmodin"),
    (16, "typmodout"),
    (17, "typanalyze"),
    (21, "typsubscript"),
];

/// Drivers read all of `pg_type` when they connect: it is made once.
static TYPES: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let Some(relation) = find("pg_catalog", "pg_type") else { return Vec::new() };
    let mut rows = Rows::of(relation);
    let place = |name: &str| relation.columns.iter().position(|column| column.name == name);
    for of_type in types::all() {
        let mut row = rows.blank.clone();
        let mut put = |name: &str, value: Datum| {
            if let Some(place) = place(name) {
                row[place] = value;
            }
        };
        for (field, name) in TYPE_FIELDS {
            let type_oid = place(name).map_or(oid::TEXT, |place| relation.columns[place].type_oid);
            put(name, Datum::from_text(type_oid, of_type.fields[*field]).unwrap_or(Datum::Null));
        }
        for (field, name) in TYPE_FUNCTIONS {
            put(name, objects::procedure_datum(of_type.fields[*field]));
        }
        put("typnamespace", PG_CATALOG.into());
        put("typowner", ROLE.into());
        put("typisdefined", true.into());
        put("typtypmod", Datum::Int(-1));
        rows.rows.push(row.into());
    }
    rows.rows
});

fn kinds(_: &Context<'_>, rows: &mut Rows) {
    rows.rows.extend(TYPES.iter().cloned());
}

fn procedures(_: &Context<'_>, rows: &mut Rows) {
    for procedure in objects::procedures() {
        let arguments = procedure.arguments.iter().map(|t| Datum::from(*t)).collect();
        let arguments = super::super::datum::Array { element: oid::OID, lower: 0, items: arguments };
        rows.push([
            ("oid", procedure.oid.into()),
            ("proname", procedure.name.into()),
            ("pronamespace", PG_CATALOG.into()),
            ("proowner", ROLE.into()),
            // Language `internal`.
            ("prolang", Datum::Int(12)),
            ("procost", Datum::Float(1.0)),
            ("prokind", procedure.kind.into()),
            ("proisstrict", true.into()),
            ("proretset", procedure.returns_set.into()),
            ("provolatile", procedure.volatility.into()),
            ("proparallel", 's'.into()),
            ("pronargs", Datum::Int(procedure.arguments.len() as i64)),
            ("prorettype", procedure.result.into()),
            ("proargtypes", Datum::Array(arguments.into())),
            ("prosrc", procedure.name.into()),
        ]);
    }
}

/// Range type, its element, its multirange.
const RANGES: &[(u32, u32, u32)] = &[
    (3904, oid::INT4, 4451),
    (3906, oid::NUMERIC, 4532),
    (3908, oid::TIMESTAMP, 4533),
    (3910, oid::TIMESTAMPTZ, 4534),
    (3912, oid::DATE, 4535),
    (3926, oid::INT8, 4536),
];

fn ranges(_: &Context<'_>, rows: &mut Rows) {
    for (range, element, multirange) in RANGES {
        rows.push([
            ("rngtypid", (*range).into()),
            ("rngsubtype", (*element).into()),
            ("rngmultitypid", (*multirange).into()),
        ]);
    }
}

fn access_methods(_: &Context<'_>, rows: &mut Rows) {
    for (oid, name, kind) in [(2u32, "heap", 't'), (403, "btree", 'i')] {
        rows.push([("oid", oid.into()), ("amname", name.into()), ("amtype", kind.into())]);
    }
}

fn languages(_: &Context<'_>, rows: &mut Rows) {
    for (oid, name) in [(12u32, "internal"), (13, "c"), (14, "sql")] {
        rows.push([
            ("oid", oid.into()),
            ("lanname", name.into()),
            ("lanowner", ROLE.into()),
            ("lanpltrusted", (name == "sql").into()),
        ]);
    }
}

/// Oid, name, provider, encoding, and the locale it stands for.
const COLLATIONS: &[(u32, &str, char, i64, Option<&str>)] =
    &[(100, "default", 'd', -1, None), (950, "C", 'c', -1, Some("C")), (951, "POSIX", 'c', -1, Some("POSIX"))];

fn collations(_: &Context<'_>, rows: &mut Rows) {
    for (oid, name, provider, encoding, locale) in COLLATIONS {
        rows.push([
            ("oid", (*oid).into()),
            ("collname", (*name).into()),
            ("collnamespace", PG_CATALOG.into()),
            ("collowner", ROLE.into()),
            ("collprovider", (*provider).into()),
            ("collisdeterministic", true.into()),
            ("collencoding", (*encoding).into()),
            ("collcollate", (*locale).into()),
            ("collctype", (*locale).into()),
        ]);
    }
}

pub(crate) fn collation_name(oid: u32) -> Option<&'static str> {
    COLLATIONS.iter().find(|collation| collation.0 == oid).map(|collation| collation.1)
}

pub(crate) fn collation_oid(name: &str) -> Option<u32> {
    COLLATIONS.iter().find(|collation| collation.1 == name).map(|collation| collation.0)
}
