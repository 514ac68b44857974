//! The parser's type names as type oids.

use super::{
    super::{
        error::{CatalogError, Result},
        types::{self, oid},
    },
    parts,
};
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, ObjectName, Spanned, TimezoneInfo,
};

/// The oid of a type as the parser names it, and the length of `char(n)` and `varchar(n)`.
pub(crate) fn type_named(data_type: &DataType) -> Result<(u32, Option<i64>)> {
    let length = |length: &Option<CharacterLength>| match length {
        Some(CharacterLength::IntegerLength { length, .. }) => i64::try_from(*length).ok(),
        _ => None,
    };
    Ok(match data_type {
        DataType::Character(n) | DataType::Char(n) => (oid::BPCHAR, length(n).or(Some(1))),
        DataType::CharacterVarying(n) | DataType::CharVarying(n) | DataType::Varchar(n) => (oid::VARCHAR, length(n)),
        DataType::Float(ExactNumberInfo::Precision(..=24)) => (oid::FLOAT4, None),
        DataType::Float(_) | DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 => (oid::FLOAT8, None),
        DataType::Real | DataType::Float4 => (oid::FLOAT4, None),
        DataType::SmallInt(_) | DataType::Int2(_) => (oid::INT2, None),
        DataType::Int(_) | DataType::Int4(_) | DataType::Integer(_) => (oid::INT4, None),
        DataType::BigInt(_) | DataType::Int8(_) => (oid::INT8, None),
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => (oid::NUMERIC, None),
        DataType::Bool | DataType::Boolean => (oid::BOOL, None),
        DataType::Text => (oid::TEXT, None),
        DataType::Bytea => (oid::BYTEA, None),
        DataType::Date => (oid::DATE, None),
        DataType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => (oid::TIMESTAMPTZ, None),
        DataType::Timestamp(..) => (oid::TIMESTAMP, None),
        DataType::Interval { .. } => (oid::INTERVAL, None),
        DataType::JSON => (oid::JSON, None),
        DataType::JSONB => (oid::JSONB, None),
        DataType::Regclass => (oid::REGCLASS, None),
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => {
            // Every dimension of PostgreSQL's arrays is the same type.
            let (element, _) = type_named(element)?;
            (if types::element_of(element).is_some() { element } else { types::array_of(element) }, None)
        }
        DataType::Custom(name, _) => (custom_type(name)?, None),
        other => (types::by_sql_name(&other.to_string()).ok_or_else(|| no_type(&other.to_string()))?, None),
    })
}

fn custom_type(name: &ObjectName) -> Result<u32> {
    let parts = parts(name);
    let known = match parts.as_slice() {
        [only] => types::by_internal_name(only).map(|t| t.oid).or_else(|| types::by_sql_name(only)),
        [schema, only] if schema == "pg_catalog" => types::by_internal_name(only).map(|t| t.oid),
        // The domains of information_schema, by what they are made of.
        [schema, only] if schema == "information_schema" => match only.as_str() {
            "cardinal_number" => Some(oid::INT4),
            "character_data" | "yes_or_no" => Some(oid::VARCHAR),
            "sql_identifier" => Some(oid::NAME),
            "time_stamp" => Some(oid::TIMESTAMPTZ),
            _ => None,
        },
        _ => None,
    };
    known.ok_or_else(|| no_type(&parts.join(".")).at(name.span()))
}

fn no_type(name: &str) -> CatalogError {
    CatalogError::new("42704", format!("type \"{name}\" does not exist"))
}
