//! PostgreSQL's built-in types: oids, names, classes, and which converts silently into which.

use std::{collections::HashMap, sync::LazyLock};

/// Type oids that the interpreter names.
pub(crate) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const CHAR: u32 = 18;
    pub(crate) const NAME: u32 = 19;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT2VECTOR: u32 = 22;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const REGPROC: u32 = 24;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const OID: u32 = 26;
    pub(crate) const XID: u32 = 28;
    pub(crate) const CID: u32 = 29;
    pub(crate) const OIDVECTOR: u32 = 30;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const PG_NODE_TREE: u32 = 194;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const UNKNOWN: u32 = 705;
    pub(crate) const INET: u32 = 869;
    pub(crate) const TEXT_ARRAY: u32 = 1009;
    pub(crate) const NAME_ARRAY: u32 = 1003;
    pub(crate) const INT2_ARRAY: u32 = 1005;
    pub(crate) const OID_ARRAY: u32 = 1028;
    pub(crate) const ACLITEM: u32 = 1033;
    pub(crate) const ACLITEM_ARRAY: u32 = 1034;
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIME: u32 = 1083;
    pub(crate) const TIMESTAMP: u32 = 1114;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const INTERVAL: u32 = 1186;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const REGPROCEDURE: u32 = 2202;
    pub(crate) const REGOPER: u32 = 2203;
    pub(crate) const REGOPERATOR: u32 = 2204;
    pub(crate) const REGCLASS: u32 = 2205;
    pub(crate) const REGTYPE: u32 = 2206;
    pub(crate) const RECORD: u32 = 2249;
    pub(crate) const ANY: u32 = 2276;
    pub(crate) const ANYARRAY: u32 = 2277;
    pub(crate) const VOID: u32 = 2278;
    pub(crate) const ANYELEMENT: u32 = 2283;
    pub(crate) const REGCONFIG: u32 = 3734;
    pub(crate) const REGDICTIONARY: u32 = 3769;
    pub(crate) const JSONB: u32 = 3802;
    pub(crate) const REGNAMESPACE: u32 = 4089;
    pub(crate) const REGROLE: u32 = 4096;
    pub(crate) const REGCOLLATION: u32 = 4191;
}

/// One row of PostgreSQL's `pg_type`, base types only.
#[derive(Debug)]
pub(crate) struct Type {
    pub oid: u32,
    pub name: &'static str,
    pub length: i16,
    pub by_value: bool,
    /// Element type of an array, else 0.
    pub element: u32,
    /// Type of arrays of this type, else 0.
    pub array: u32,
    pub alignment: char,
    pub storage: char,
    pub collation: u32,
    /// All fields in the order of `types.txt`, for the relation itself.
    pub fields: Vec<&'static str>,
}

struct Types {
    list: Vec<Type>,
    by_oid: HashMap<u32, usize>,
    by_name: HashMap<&'static str, usize>,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let list: Vec<Type> = include_str!("relations/types.txt").lines().filter_map(parse_type).collect();
    let by_oid = list.iter().enumerate().map(|(i, t)| (t.oid, i)).collect();
    let by_name = list.iter().enumerate().map(|(i, t)| (t.name, i)).collect();
    Types { list, by_oid, by_name }
});

fn parse_type(line: &'static str) -> Option<Type> {
    let fields: Vec<&'static str> = line.split(' ').collect();
    let character = |i: usize| fields.get(i).and_then(|f| f.chars().next());
    Some(Type {
        oid: fields.first()?.parse().ok()?,
        name: fields.get(1)?,
        length: fields.get(2)?.parse().ok()?,
        by_value: *fields.get(3)? == "t",
        element: fields.get(9)?.parse().ok()?,
        array: fields.get(10)?.parse().ok()?,
        alignment: character(18)?,
        storage: character(19)?,
        collation: fields.get(20)?.parse().ok()?,
        fields,
    })
}

/// Every built-in type, by oid.
pub(crate) fn all() -> &'static [Type] {
    &TYPES.list
}

pub(crate) fn by_oid(oid: u32) -> Option<&'static Type> {
    TYPES.by_oid.get(&oid).map(|i| &TYPES.list[*i])
}

pub(crate) fn by_internal_name(name: &str) -> Option<&'static Type> {
    TYPES.by_name.get(name).map(|i| &TYPES.list[*i])
}

/// The array type over `element`; text arrays stand in for types without one.
pub(crate) fn array_of(element: u32) -> u32 {
    match element {
        oid::UNKNOWN => oid::TEXT_ARRAY,
        _ => by_oid(element).map(|t| t.array).filter(|a| *a != 0).unwrap_or(oid::TEXT_ARRAY),
    }
}

/// The element type of an array type, `int2vector` and `oidvector` included.
pub(crate) fn element_of(array: u32) -> Option<u32> {
    by_oid(array).filter(|t| t.element != 0 && t.length == -1).map(|t| t.element)
}

/// How values of a type are held and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Bool,
    Int,
    Float,
    Numeric,
    Text,
    Char,
    Reg,
    Time,
    Bytes,
    Array(u32),
    Record,
    Unknown,
}

pub(crate) fn class(type_oid: u32) -> Class {
    use oid::*;
    match type_oid {
        BOOL => Class::Bool,
        INT2 | INT4 | INT8 | OID | XID | CID => Class::Int,
        FLOAT4 | FLOAT8 => Class::Float,
        NUMERIC => Class::Numeric,
        CHAR => Class::Char,
        REGPROC | REGPROCEDURE | REGOPER | REGOPERATOR | REGCLASS | REGTYPE | REGCONFIG | REGDICTIONARY
        | REGNAMESPACE | REGROLE | REGCOLLATION => Class::Reg,
        DATE | TIMESTAMP | TIMESTAMPTZ => Class::Time,
        BYTEA => Class::Bytes,
        RECORD => Class::Record,
        UNKNOWN => Class::Unknown,
        _ => element_of(type_oid).map_or(Class::Text, Class::Array),
    }
}

/// SQL's name of a type where it differs from the internal one.
const SQL_NAMES: &[(&str, &str)] = &[
    ("bool", "boolean"),
    ("int2", "smallint"),
    ("int4", "integer"),
    ("int8", "bigint"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("bpchar", "character"),
    ("varchar", "character varying"),
    ("varbit", "bit varying"),
    ("time", "time without time zone"),
    ("timetz", "time with time zone"),
    ("timestamp", "timestamp without time zone"),
    ("timestamptz", "timestamp with time zone"),
    ("char", "\"char\""),
];

/// Spellings that the type parser accepts besides internal and SQL names.
const ALIASES: &[(&str, &str)] = &[
    ("int", "int4"),
    ("decimal", "numeric"),
    ("dec", "numeric"),
    ("float", "float8"),
    ("char varying", "varchar"),
    ("time", "time"),
    ("timestamp", "timestamp"),
    ("character", "bpchar"),
];

/// The type's name as `format_type(oid, NULL)` shows it.
pub(crate) fn sql_name(type_oid: u32) -> String {
    match by_oid(type_oid) {
        None if type_oid == 0 => "-".to_owned(),
        None => "???".to_owned(),
        Some(t) if t.name.starts_with('_') && t.element != 0 => format!("{}[]", sql_name(t.element)),
        Some(t) => SQL_NAMES.iter().find(|(name, _)| *name == t.name).map_or(t.name, |(_, sql)| sql).to_owned(),
    }
}

/// The type's name with its modifier, `character varying(32)` for example.
pub(crate) fn format_type(type_oid: u32, modifier: i64) -> String {
    let Some(t) = by_oid(type_oid).filter(|_| modifier >= 0) else { return sql_name(type_oid) };
    if t.name.starts_with('_') && t.element != 0 {
        return format!("{}[]", format_type(t.element, modifier));
    }
    match (type_oid, modifier) {
        (oid::BPCHAR | oid::VARCHAR, 4..) => format!("{}({})", sql_name(type_oid), modifier - 4),
        (oid::NUMERIC, 4..) => format!("numeric({},{})", (modifier - 4) >> 16, (modifier - 4) & 0x7ff),
        (oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ, 0..) => {
            sql_name(type_oid).replacen(' ', &format!("({modifier}) "), 1)
        }
        _ => sql_name(type_oid),
    }
}

/// Reads a type name as `regtype` input does: SQL or internal names, `[]`, an optional `pg_catalog.`, quotes.
pub(crate) fn by_sql_name(text: &str) -> Option<u32> {
    let text = text.trim();
    if let Some(element) = text.strip_suffix("[]") {
        return by_sql_name(element).map(array_of);
    }
    let text = text.strip_prefix("pg_catalog.").unwrap_or(text);
    if let Some(quoted) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        return by_internal_name(quoted).map(|t| t.oid);
    }
    let bare = text.split('(').next().unwrap_or(text).trim().to_ascii_lowercase();
    if bare == "char" {
        return Some(oid::BPCHAR);
    }
    let sql = SQL_NAMES.iter().find(|(_, sql)| *sql == bare).map(|(name, _)| *name);
    let internal = sql.or_else(|| ALIASES.iter().find(|(a, _)| *a == bare).map(|(_, name)| *name));
    by_internal_name(internal.unwrap_or(&bare)).map(|t| t.oid)
}

/// Place of a numeric type on the ladder of silent widening.
fn rank(type_oid: u32) -> Option<u8> {
    use oid::*;
    [INT2, INT4, INT8, NUMERIC, FLOAT4, FLOAT8].iter().position(|t| *t == type_oid).map(|i| i as u8)
}

fn is_string(type_oid: u32) -> bool {
    matches!(type_oid, oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME)
}

/// Whether a value of one type becomes the other without being asked to. `unknown` becomes anything.
pub(crate) fn converts_silently(from: u32, to: u32) -> bool {
    use oid::*;
    if from == to || from == UNKNOWN {
        return true;
    }
    if let (Some(a), Some(b)) = (rank(from), rank(to)) {
        return a < b;
    }
    match (from, to) {
        (_, ANY | ANYELEMENT) => true,
        (_, ANYARRAY) => element_of(from).is_some(),
        (INT2 | INT4 | INT8, OID) | (OID, INT8) => true,
        (INT2 | INT4 | INT8 | OID, _) if class(to) == Class::Reg => true,
        (_, OID | INT8) if class(from) == Class::Reg => true,
        (TEXT | VARCHAR, REGCLASS) => true,
        (CHAR | PG_NODE_TREE, TEXT) => true,
        (INT2VECTOR, INT2_ARRAY) | (OIDVECTOR, OID_ARRAY) => true,
        (DATE, TIMESTAMP | TIMESTAMPTZ) | (TIMESTAMP, TIMESTAMPTZ) => true,
        _ if is_string(from) && is_string(to) => true,
        _ => match (class(from), class(to)) {
            (Class::Array(a), Class::Array(b)) => is_string(a) && is_string(b),
            _ => false,
        },
    }
}

/// The type that several branches (CASE, UNION, VALUES, ARRAY) agree on; `None` when they do not.
pub(crate) fn common(type_oids: impl IntoIterator<Item = u32>) -> Option<u32> {
    let mut result = oid::UNKNOWN;
    for next in type_oids {
        result = match (result, next) {
            (a, b) if a == b || b == oid::UNKNOWN => a,
            (oid::UNKNOWN, b) => b,
            // Strings that differ meet in text, the preferred one.
            (a, b) if is_string(a) && is_string(b) => oid::TEXT,
            (a, b) if converts_silently(a, b) => b,
            (a, b) if converts_silently(b, a) => a,
            _ => return None,
        };
    }
    Some(if result == oid::UNKNOWN { oid::TEXT } else { result })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_out_and_come_back() {
        for t in all().iter().filter(|t| t.element == 0 && t.fields[5] != "P") {
            assert_eq!(by_sql_name(&sql_name(t.oid)), Some(t.oid), "{}", t.name);
        }
        assert_eq!(sql_name(1185), "timestamp with time zone[]");
        assert_eq!(by_sql_name("pg_catalog.int4[]"), Some(1007));
        assert_eq!(format_type(oid::VARCHAR, 36), "character varying(32)");
        assert_eq!(format_type(oid::NUMERIC, 655_366), "numeric(10,2)");
        assert_eq!(format_type(oid::TIMESTAMPTZ, 3), "timestamp(3) with time zone");
    }

    #[test]
    fn branches_agree_as_in_postgres() {
        assert_eq!(common([oid::UNKNOWN, oid::INT4]), Some(oid::INT4));
        assert_eq!(common([oid::INT4, oid::INT8]), Some(oid::INT8));
        assert_eq!(common([oid::NAME, oid::TEXT]), Some(oid::TEXT));
        assert_eq!(common([oid::UNKNOWN]), Some(oid::TEXT));
        assert_eq!(common([oid::BOOL, oid::INT4]), None);
    }
}
