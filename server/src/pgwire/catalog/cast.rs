//! Conversions between types, at plan time for literals and row by row for the rest.

use super::{
    Context,
    datum::{Array, Datum},
    error::{CatalogError, Result},
    functions::time,
    objects,
    text::{int_range, truncated_name},
    types::{self, Class, oid},
};
use std::sync::Arc;

/// Whether values keep their form, so that only the type's name changes.
pub(crate) fn same_shape(from: u32, to: u32) -> bool {
    match (types::class(from), types::class(to)) {
        (Class::Int, Class::Int) => {
            int_range(to).contains(int_range(from).start()) && int_range(to).contains(int_range(from).end())
        }
        (Class::Text, Class::Text) => to != oid::NAME,
        (Class::Float, Class::Float) | (Class::Time, Class::Time) => to != oid::DATE && to != oid::FLOAT4 && from == to,
        _ => false,
    }
}

/// Whether an explicit cast between the types is known.
pub(crate) fn exists(from: u32, to: u32) -> bool {
    if types::converts_silently(from, to) {
        return true;
    }
    match (types::class(from), types::class(to)) {
        // Everything has text, and text can be read as anything but a record.
        (_, Class::Text) => true,
        (Class::Text, to) => to != Class::Record,
        (Class::Int | Class::Float | Class::Numeric, Class::Int | Class::Float | Class::Numeric) => true,
        (Class::Bool, Class::Int) | (Class::Int, Class::Bool) => true,
        (Class::Int, Class::Char) | (Class::Char, Class::Int) => true,
        (Class::Int | Class::Reg, Class::Int | Class::Reg) => true,
        (Class::Time, Class::Time) => true,
        (Class::Array(a), Class::Array(b)) => exists(a, b),
        _ => false,
    }
}

/// An untyped literal read as `target`.
pub(crate) fn from_unknown(context: &Context<'_>, value: &Datum, target: u32) -> Result<Datum> {
    match value {
        Datum::Text(text) => read(context, text, target),
        other => Ok(other.clone()),
    }
}

fn read(context: &Context<'_>, text: &str, target: u32) -> Result<Datum> {
    match types::class(target) {
        Class::Reg => objects::from_text(context, target, text),
        Class::Array(element) if types::class(element) == Class::Reg => {
            let names = Datum::from_text(oid::TEXT_ARRAY, text)?;
            cast(context, names, oid::TEXT_ARRAY, target)
        }
        Class::Time if target == oid::TIMESTAMPTZ => match Datum::from_text(target, text)? {
            Datum::Time(micros, _) => Ok(time::instant(context, micros)),
            other => Ok(other),
        },
        _ => Datum::from_text(target, text),
    }
}

/// `value`, which is of type `from`, as a value of type `to`.
pub(crate) fn cast(context: &Context<'_>, value: Datum, from: u32, to: u32) -> Result<Datum> {
    if value.is_null() {
        return Ok(Datum::Null);
    }
    let not_castable =
        || CatalogError::new("42846", format!("cannot cast type {} to {}", types::sql_name(from), types::sql_name(to)));
    Ok(match (value, types::class(to)) {
        (value @ Datum::Text(_), Class::Text) if to != oid::NAME => value,
        (value, Class::Text) => {
            let text = value.text(from).unwrap_or_default();
            // A boolean casts to a word, though it prints as a letter.
            let text = match value {
                Datum::Bool(true) => "true".to_owned(),
                Datum::Bool(false) => "false".to_owned(),
                _ => text,
            };
            if to == oid::NAME { Datum::from(truncated_name(&text)) } else { Datum::from(text) }
        }
        (Datum::Text(text), _) => read(context, &text, to)?,
        (Datum::Char(byte), Class::Int) => Datum::Int(i64::from(byte as i8)),
        (Datum::Int(value), Class::Char) => Datum::Char(value as u8),
        (Datum::Bool(value), Class::Int) => Datum::Int(value.into()),
        (Datum::Int(value), Class::Bool) => Datum::Bool(value != 0),
        (Datum::Int(value), Class::Reg) => {
            let oid = u32::try_from(value).map_err(|_| CatalogError::new("22003", "OID out of range"))?;
            objects::from_oid(context, to, oid)
        }
        (Datum::Reg(oid, _), Class::Reg) => objects::from_oid(context, to, oid),
        (Datum::Reg(oid, _), Class::Int) => Datum::Int(oid.into()),
        (Datum::Int(value), Class::Int) => in_range(value, to)?,
        (Datum::Float(value), Class::Int) => {
            let rounded = value.round_ties_even();
            let fits = rounded.is_finite() && rounded.abs() < 9.3e18;
            if fits {
                in_range(rounded as i64, to)?
            } else {
                return Err(CatalogError::out_of_range(&types::sql_name(to)));
            }
        }
        (Datum::Numeric(value), Class::Int) => {
            in_range(value.to_i64().ok_or_else(|| CatalogError::out_of_range(&types::sql_name(to)))?, to)?
        }
        (Datum::Int(value), Class::Float) => Datum::Float(value as f64),
        (Datum::Numeric(value), Class::Float) => Datum::Float(value.as_f64()),
        (Datum::Float(value), Class::Float) if to == oid::FLOAT4 => Datum::Float((value as f32).into()),
        (value @ (Datum::Float(_) | Datum::Bool(_) | Datum::Numeric(_) | Datum::Char(_) | Datum::Bytes(_)), class)
            if types::class(from) == class =>
        {
            value
        }
        (Datum::Int(value), Class::Numeric) => Datum::Numeric(value.into()),
        (Datum::Float(value), Class::Numeric) => {
            let text = Datum::Float(value).text(oid::FLOAT8).unwrap_or_default();
            Datum::from_text(oid::NUMERIC, &text)?
        }
        (Datum::Time(micros, offset_s), Class::Time) => time_as(context, micros, offset_s, from, to),
        (Datum::Array(array), Class::Array(element)) => {
            let items = array.items.iter().map(|item| cast(context, item.clone(), array.element, element));
            let lower = if matches!(to, oid::INT2VECTOR | oid::OIDVECTOR) { 0 } else { array.lower };
            Datum::Array(Arc::new(Array { element, lower, items: items.collect::<Result<_>>()? }))
        }
        _ => return Err(not_castable()),
    })
}

fn in_range(value: i64, type_oid: u32) -> Result<Datum> {
    if int_range(type_oid).contains(&value) {
        Ok(Datum::Int(value))
    } else {
        Err(CatalogError::out_of_range(&types::sql_name(type_oid)))
    }
}

/// `timestamptz` is an instant, the others a local date and time.
fn time_as(context: &Context<'_>, micros: i64, offset_s: i32, from: u32, to: u32) -> Datum {
    const SECOND_US: i64 = 1_000_000;
    const DAY_US: i64 = 86_400 * SECOND_US;
    let local = if from == oid::TIMESTAMPTZ { micros + i64::from(offset_s) * SECOND_US } else { micros };
    match to {
        oid::TIMESTAMPTZ if from == to => Datum::Time(micros, offset_s),
        oid::TIMESTAMPTZ => match time::instant(context, local) {
            Datum::Time(at, offset_s) => time::instant(context, at - i64::from(offset_s) * SECOND_US),
            other => other,
        },
        oid::DATE => Datum::Time(local.div_euclid(DAY_US) * DAY_US, 0),
        _ => Datum::Time(local, 0),
    }
}
