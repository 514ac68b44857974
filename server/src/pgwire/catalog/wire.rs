//! Values in PostgreSQL's binary format, both ways.

use super::{
    datum::{Array, Datum},
    error::{CatalogError, Result},
    text::int_range,
    types::{self, Class, oid},
};
use std::sync::Arc;

/// Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;
const DAY_US: i64 = 86_400_000_000;

impl Datum {
    /// The value in PostgreSQL's binary format as a value of type `type_oid`; `None` for NULL and for types whose
    /// binary format is not written (`numeric`, `interval`, records), which are then refused by the caller.
    #[must_use]
    pub fn binary(&self, type_oid: u32) -> Option<Vec<u8>> {
        Some(match self {
            Datum::Null | Datum::Numeric(_) | Datum::Record(_) => return None,
            Datum::Bool(value) => vec![u8::from(*value)],
            Datum::Int(value) => int_bytes(*value, type_oid),
            Datum::Reg(oid, _) => oid.to_be_bytes().to_vec(),
            Datum::Float(value) if type_oid == oid::FLOAT4 => (*value as f32).to_be_bytes().to_vec(),
            Datum::Float(value) => value.to_be_bytes().to_vec(),
            Datum::Text(_) if type_oid == oid::INTERVAL => return None,
            Datum::Text(text) if type_oid == oid::JSONB => [&[1], text.as_bytes()].concat(),
            Datum::Text(text) => text.as_bytes().to_vec(),
            Datum::Char(byte) => vec![*byte],
            Datum::Time(micros, _) if type_oid == oid::DATE => {
                i32::try_from((micros - POSTGRES_EPOCH_US).div_euclid(DAY_US)).ok()?.to_be_bytes().to_vec()
            }
            Datum::Time(micros, _) => (micros - POSTGRES_EPOCH_US).to_be_bytes().to_vec(),
            Datum::Bytes(bytes) => bytes.to_vec(),
            Datum::Array(array) => array_bytes(array)?,
        })
    }

    /// Reads a value of type `type_oid` from PostgreSQL's binary format.
    ///
    /// # Errors
    /// 22P03 when the bytes are not of the type, 0A000 for types whose binary format is not read.
    pub fn from_binary(type_oid: u32, bytes: &[u8]) -> Result<Datum> {
        let wrong =
            || CatalogError::new("22P03", format!("incorrect binary data for type {}", types::sql_name(type_oid)));
        Ok(match types::class(type_oid) {
            Class::Bool => Datum::Bool(bytes.first().ok_or_else(wrong)? != &0),
            Class::Int => int_from(type_oid, bytes).ok_or_else(wrong)?,
            Class::Reg => match int_from(oid::OID, bytes).and_then(|oid| oid.as_oid()) {
                Some(oid) => Datum::Reg(oid, oid.to_string().into()),
                None => return Err(wrong()),
            },
            Class::Float if type_oid == oid::FLOAT4 => {
                Datum::Float(f32::from_be_bytes(bytes.try_into().map_err(|_| wrong())?).into())
            }
            Class::Float => Datum::Float(f64::from_be_bytes(bytes.try_into().map_err(|_| wrong())?)),
            Class::Char => Datum::Char(bytes.first().copied().unwrap_or(0)),
            Class::Text | Class::Unknown => Datum::text_of(std::str::from_utf8(bytes).map_err(|_| wrong())?),
            Class::Bytes => Datum::Bytes(bytes.into()),
            Class::Time if type_oid == oid::DATE => {
                let days = i32::from_be_bytes(bytes.try_into().map_err(|_| wrong())?);
                Datum::Time(i64::from(days) * DAY_US + POSTGRES_EPOCH_US, 0)
            }
            Class::Time => {
                let micros = i64::from_be_bytes(bytes.try_into().map_err(|_| wrong())?);
                Datum::Time(micros.saturating_add(POSTGRES_EPOCH_US), 0)
            }
            Class::Array(_) => array_from(bytes).ok_or_else(wrong)?,
            Class::Numeric | Class::Record => {
                return Err(CatalogError::unsupported(&format!("binary input of type {}", types::sql_name(type_oid))));
            }
        })
    }
}

fn int_bytes(value: i64, type_oid: u32) -> Vec<u8> {
    match type_oid {
        oid::INT2 => (value as i16).to_be_bytes().to_vec(),
        oid::INT8 => value.to_be_bytes().to_vec(),
        // int4 and the unsigned four-byte types have the same bits.
        _ => (value as i32).to_be_bytes().to_vec(),
    }
}

fn int_from(type_oid: u32, bytes: &[u8]) -> Option<Datum> {
    let value = match (bytes.len(), type_oid) {
        (2, oid::INT2) => i64::from(i16::from_be_bytes(bytes.try_into().ok()?)),
        (4, oid::INT4) => i64::from(i32::from_be_bytes(bytes.try_into().ok()?)),
        (8, oid::INT8) => i64::from_be_bytes(bytes.try_into().ok()?),
        (4, oid::OID | oid::XID | oid::CID) => i64::from(u32::from_be_bytes(bytes.try_into().ok()?)),
        _ => return None,
    };
    int_range(type_oid).contains(&value).then_some(Datum::Int(value))
}

/// Header (dimensions, has NULL, element type), one dimension (length, lower bound), then the items with lengths.
fn array_bytes(array: &Array) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let dimensions = i32::from(!array.items.is_empty());
    out.extend(dimensions.to_be_bytes());
    out.extend(i32::from(array.items.iter().any(Datum::is_null)).to_be_bytes());
    out.extend(array.element.to_be_bytes());
    if dimensions == 1 {
        out.extend(i32::try_from(array.items.len()).ok()?.to_be_bytes());
        out.extend(array.lower.to_be_bytes());
    }
    for item in &array.items {
        if item.is_null() {
            out.extend((-1i32).to_be_bytes());
            continue;
        }
        let bytes = item.binary(array.element)?;
        out.extend(i32::try_from(bytes.len()).ok()?.to_be_bytes());
        out.extend(bytes);
    }
    Some(out)
}

fn array_from(bytes: &[u8]) -> Option<Datum> {
    let mut rest = bytes;
    let mut next = |length: usize| -> Option<&[u8]> {
        let (head, tail) = rest.split_at_checked(length)?;
        rest = tail;
        Some(head)
    };
    let mut next_int = |_: ()| Some(i32::from_be_bytes(next(4)?.try_into().ok()?));
    let dimensions = next_int(())?;
    next_int(())?;
    let element = next_int(())? as u32;
    // An array of arrays would nest as deep as the message is long.
    if matches!(types::class(element), Class::Array(_)) {
        return None;
    }
    if dimensions == 0 {
        return Some(Datum::array(element, Vec::new()));
    }
    let (count, lower) = (next_int(())?, next_int(())?);
    if dimensions != 1 || count < 0 || count as usize > bytes.len() {
        return None;
    }
    let mut items = Vec::new();
    for _ in 0..count {
        let (head, tail) = rest.split_at_checked(4)?;
        rest = tail;
        let item = match i32::from_be_bytes(head.try_into().ok()?) {
            -1 => Datum::Null,
            length => {
                let (item, tail) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                rest = tail;
                Datum::from_binary(element, item).ok()?
            }
        };
        items.push(item);
    }
    Some(Datum::Array(Arc::new(Array { element, lower, items })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_values_come_back() {
        for (type_oid, value) in [
            (oid::BOOL, Datum::Bool(true)),
            (oid::INT2, Datum::Int(-2)),
            (oid::INT4, Datum::Int(-70_000)),
            (oid::INT8, Datum::Int(i64::MIN)),
            (oid::OID, Datum::Int(4_000_000_000)),
            (oid::FLOAT8, Datum::Float(0.1)),
            (oid::TEXT, Datum::from("a")),
            (oid::CHAR, Datum::Char(b'r')),
            (oid::TIMESTAMPTZ, Datum::Time(1_704_067_200_000_000, 0)),
            (oid::DATE, Datum::Time(1_704_067_200_000_000, 0)),
            (oid::OID_ARRAY, Datum::array(oid::OID, vec![Datum::Int(1), Datum::Null])),
            (oid::TEXT_ARRAY, Datum::array(oid::TEXT, vec![])),
        ] {
            let bytes = value.binary(type_oid).unwrap();
            assert_eq!(Datum::from_binary(type_oid, &bytes).unwrap(), value, "{type_oid}");
        }
    }

    #[test]
    fn torn_arrays_are_refused() {
        let bytes = Datum::array(oid::OID, vec![Datum::Int(1), Datum::Int(2)]).binary(oid::OID_ARRAY).unwrap();
        for length in 0..bytes.len() {
            assert!(Datum::from_binary(oid::OID_ARRAY, &bytes[..length]).is_err(), "{length}");
        }
    }
}
