//! Arithmetic and rounding. Integers that do not fit are refused, as PostgreSQL does.

use super::{
    super::{
        datum::{Datum, compare},
        decimal::Decimal,
        error::{CatalogError, Result},
        text::int_range,
        types::{self, oid::*},
    },
    Call, Function, f,
};
use std::cmp::Ordering;

pub(super) static FUNCTIONS: &[Function] = &[
    f("op+", &[ANYELEMENT, ANYELEMENT], ANYELEMENT, |call| arithmetic(call, '+')),
    f("op-", &[ANYELEMENT, ANYELEMENT], ANYELEMENT, |call| arithmetic(call, '-')),
    f("op*", &[ANYELEMENT, ANYELEMENT], ANYELEMENT, |call| arithmetic(call, '*')),
    f("op/", &[ANYELEMENT, ANYELEMENT], ANYELEMENT, |call| arithmetic(call, '/')),
    f("op%", &[ANYELEMENT, ANYELEMENT], ANYELEMENT, |call| arithmetic(call, '%')),
    f("op&", &[ANYELEMENT, ANYELEMENT], ANYELEMENT, |call| bits(call, |a, b| a & b)),
    f("op|", &[ANYELEMENT, ANYELEMENT], ANYELEMENT, |call| bits(call, |a, b| a | b)),
    f("op#", &[ANYELEMENT, ANYELEMENT], ANYELEMENT, |call| bits(call, |a, b| a ^ b)),
    f("op<<", &[ANYELEMENT, ANYELEMENT], ANYELEMENT, |call| bits(call, |a, b| a.wrapping_shl(b as u32))),
    f("op>>", &[ANYELEMENT, ANYELEMENT], ANYELEMENT, |call| bits(call, |a, b| a.wrapping_shr(b as u32))),
    f("mod", &[ANYELEMENT, ANYELEMENT], ANYELEMENT, |call| arithmetic(call, '%')),
    f("abs", &[ANYELEMENT], ANYELEMENT, absolute),
    f("round", &[FLOAT8], FLOAT8, |call| Ok(float(call, f64::round_ties_even))),
    f("round", &[NUMERIC], NUMERIC, |call| round(call, 0)),
    f("round", &[NUMERIC, INT4], NUMERIC, |call| round(call, call.int(1))),
    f("floor", &[FLOAT8], FLOAT8, |call| Ok(float(call, f64::floor))),
    f("floor", &[NUMERIC], NUMERIC, |call| Ok(decimal(call, 0).map_or(Datum::Null, |d| Datum::Numeric(d.floor())))),
    f("ceil", &[FLOAT8], FLOAT8, |call| Ok(float(call, f64::ceil))),
    f("greatest", &[ANYELEMENT], ANYELEMENT, |call| Ok(extreme(call, Ordering::is_gt))).variadic().lenient(),
    f("least", &[ANYELEMENT], ANYELEMENT, |call| Ok(extreme(call, Ordering::is_lt))).variadic().lenient(),
];

fn arithmetic(call: &Call<'_>, operator: char) -> Result<Datum> {
    Ok(match (&call.values[0], &call.values[1]) {
        (Datum::Int(a), Datum::Int(b)) => {
            let type_oid = call.type_of(0);
            let overflow = || CatalogError::out_of_range(&types::sql_name(type_oid));
            if matches!(operator, '/' | '%') && *b == 0 {
                return Err(division_by_zero());
            }
            let value = match operator {
                '+' => a.checked_add(*b),
                '-' => a.checked_sub(*b),
                '*' => a.checked_mul(*b),
                '/' => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            Datum::Int(value.filter(|value| int_range(type_oid).contains(value)).ok_or_else(overflow)?)
        }
        (Datum::Float(a), Datum::Float(b)) => Datum::Float(match operator {
            '+' => a + b,
            '-' => a - b,
            '*' => a * b,
            '/' if *b == 0.0 => return Err(division_by_zero()),
            '/' => a / b,
            _ => return Err(CatalogError::undefined_operator("double precision % double precision")),
        }),
        (Datum::Numeric(a), Datum::Numeric(b)) => Datum::Numeric(match operator {
            '+' => a.checked_add(*b)?,
            '-' => a.checked_sub(*b)?,
            '*' => a.checked_mul(*b)?,
            '/' => a.checked_div(*b)?.ok_or_else(division_by_zero)?,
            _ => a.checked_rem(*b)?.ok_or_else(division_by_zero)?,
        }),
        _ => Datum::Null,
    })
}

fn bits(call: &Call<'_>, apply: fn(i64, i64) -> i64) -> Result<Datum> {
    let (Datum::Int(a), Datum::Int(b)) = (&call.values[0], &call.values[1]) else {
        let name = types::sql_name(call.type_of(0));
        return Err(CatalogError::undefined_operator(&format!("bit operator on {name}")));
    };
    // The bits beyond the type's width fall away.
    Ok(Datum::Int(match call.type_of(0) {
        INT2 => i64::from(apply(*a, *b) as i16),
        INT4 => i64::from(apply(*a, *b) as i32),
        _ => apply(*a, *b),
    }))
}

fn division_by_zero() -> CatalogError {
    CatalogError::new("22012", "division by zero")
}

fn absolute(call: &Call<'_>) -> Result<Datum> {
    Ok(match &call.values[0] {
        Datum::Int(value) => Datum::Int(
            value.checked_abs().ok_or_else(|| CatalogError::out_of_range(&types::sql_name(call.type_of(0))))?,
        ),
        Datum::Float(value) => Datum::Float(value.abs()),
        Datum::Numeric(value) if *value < Decimal::from(0) => Datum::Numeric(Decimal::from(0).checked_sub(*value)?),
        other => other.clone(),
    })
}

fn decimal(call: &Call<'_>, index: usize) -> Option<Decimal> {
    match call.values.get(index) {
        Some(Datum::Numeric(value)) => Some(*value),
        _ => None,
    }
}

fn round(call: &Call<'_>, digits: i64) -> Result<Datum> {
    let digits = i32::try_from(digits.clamp(-30, 30)).unwrap_or(0);
    decimal(call, 0).map_or(Ok(Datum::Null), |value| value.round(digits).map(Datum::Numeric))
}

fn float(call: &Call<'_>, apply: fn(f64) -> f64) -> Datum {
    match call.values[0] {
        Datum::Float(value) => Datum::Float(apply(value)),
        _ => Datum::Null,
    }
}

fn extreme(call: &Call<'_>, better: fn(Ordering) -> bool) -> Datum {
    let known = call.values.iter().filter(|value| !value.is_null());
    known.reduce(|best, next| if better(compare(next, best)) { next } else { best }).cloned().unwrap_or(Datum::Null)
}
