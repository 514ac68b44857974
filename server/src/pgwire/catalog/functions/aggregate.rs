//! Aggregates: `count`, `sum`, `min`, `max`, `avg`, arrays, strings, booleans, JSON.

use super::{
    super::{
        datum::{Datum, compare},
        decimal::Decimal,
        error::{CatalogError, Result},
        plan::Expr,
        run::TEXT_BYTES_MAX,
        types::oid::*,
    },
    Aggregate, json, signature,
};
use std::cmp::Ordering;

const fn aggregate(
    name: &'static str,
    arguments: &'static [u32],
    result: u32,
    body: fn(&[Vec<Datum>], &[Expr]) -> Result<Datum>,
) -> Aggregate {
    Aggregate { signature: signature(name, arguments, result), keeps_nulls: false, body }
}

const fn with_nulls(
    name: &'static str,
    arguments: &'static [u32],
    result: u32,
    body: fn(&[Vec<Datum>], &[Expr]) -> Result<Datum>,
) -> Aggregate {
    Aggregate { signature: signature(name, arguments, result), keeps_nulls: true, body }
}

pub(super) static AGGREGATES: &[Aggregate] = &[
    aggregate("count", &[], INT8, count),
    aggregate("count", &[ANY], INT8, count),
    aggregate("sum", &[INT2], INT8, sum),
    aggregate("sum", &[INT4], INT8, sum),
    aggregate("sum", &[INT8], NUMERIC, sum_exact),
    aggregate("sum", &[FLOAT8], FLOAT8, sum_float),
    aggregate("sum", &[NUMERIC], NUMERIC, sum_exact),
    aggregate("avg", &[INT8], NUMERIC, average),
    aggregate("avg", &[NUMERIC], NUMERIC, average),
    aggregate("avg", &[FLOAT8], FLOAT8, average_float),
    aggregate("min", &[ANYELEMENT], ANYELEMENT, |rows, _| Ok(extreme(rows, Ordering::is_lt))),
    aggregate("max", &[ANYELEMENT], ANYELEMENT, |rows, _| Ok(extreme(rows, Ordering::is_gt))),
    aggregate("bool_and", &[BOOL], BOOL, |rows, _| Ok(truth(rows, true))),
    aggregate("every", &[BOOL], BOOL, |rows, _| Ok(truth(rows, true))),
    aggregate("bool_or", &[BOOL], BOOL, |rows, _| Ok(truth(rows, false))),
    with_nulls("array_agg", &[ANYELEMENT], ANYARRAY, array_agg),
    aggregate("string_agg", &[TEXT, TEXT], TEXT, string_agg),
    with_nulls("json_agg", &[ANY], JSON, json_agg),
    with_nulls("jsonb_agg", &[ANY], JSONB, json_agg),
    with_nulls("json_object_agg", &[ANY, ANY], JSON, json_object_agg),
];

fn firsts(rows: &[Vec<Datum>]) -> impl Iterator<Item = &Datum> {
    rows.iter().filter_map(|row| row.first())
}

fn count(rows: &[Vec<Datum>], _: &[Expr]) -> Result<Datum> {
    Ok(Datum::Int(rows.len() as i64))
}

fn sum(rows: &[Vec<Datum>], _: &[Expr]) -> Result<Datum> {
    let total = firsts(rows).filter_map(Datum::as_int).try_fold(0i64, i64::checked_add);
    let total = total.ok_or_else(|| CatalogError::out_of_range("bigint"))?;
    Ok(if rows.is_empty() { Datum::Null } else { Datum::Int(total) })
}

fn exact_total(rows: &[Vec<Datum>]) -> Result<Decimal> {
    firsts(rows).try_fold(Decimal::from(0), |total, value| match value {
        Datum::Int(value) => total.checked_add(Decimal::from(*value)),
        Datum::Numeric(value) => total.checked_add(*value),
        _ => Ok(total),
    })
}

fn sum_exact(rows: &[Vec<Datum>], _: &[Expr]) -> Result<Datum> {
    if rows.is_empty() { Ok(Datum::Null) } else { exact_total(rows).map(Datum::Numeric) }
}

fn float_total(rows: &[Vec<Datum>]) -> f64 {
    firsts(rows).map(|value| if let Datum::Float(value) = value { *value } else { 0.0 }).sum()
}

fn sum_float(rows: &[Vec<Datum>], _: &[Expr]) -> Result<Datum> {
    Ok(if rows.is_empty() { Datum::Null } else { Datum::Float(float_total(rows)) })
}

fn average(rows: &[Vec<Datum>], _: &[Expr]) -> Result<Datum> {
    let mean = exact_total(rows)?.checked_div(Decimal::from(rows.len() as i64))?;
    Ok(mean.map_or(Datum::Null, Datum::Numeric))
}

fn average_float(rows: &[Vec<Datum>], _: &[Expr]) -> Result<Datum> {
    Ok(if rows.is_empty() { Datum::Null } else { Datum::Float(float_total(rows) / rows.len() as f64) })
}

fn extreme(rows: &[Vec<Datum>], better: fn(Ordering) -> bool) -> Datum {
    let best = firsts(rows).reduce(|best, next| if better(compare(next, best)) { next } else { best });
    best.cloned().unwrap_or(Datum::Null)
}

fn truth(rows: &[Vec<Datum>], all: bool) -> Datum {
    if rows.is_empty() {
        return Datum::Null;
    }
    let mut values = firsts(rows).map(|value| matches!(value, Datum::Bool(true)));
    Datum::Bool(if all { values.all(|v| v) } else { values.any(|v| v) })
}

fn array_agg(rows: &[Vec<Datum>], arguments: &[Expr]) -> Result<Datum> {
    let element = arguments.first().map_or(TEXT, |argument| argument.type_oid);
    Ok(if rows.is_empty() { Datum::Null } else { Datum::array(element, firsts(rows).cloned().collect()) })
}

fn string_agg(rows: &[Vec<Datum>], _: &[Expr]) -> Result<Datum> {
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        if number > 0 {
            text.push_str(row.get(1).and_then(Datum::as_str).unwrap_or(""));
        }
        text.push_str(row.first().and_then(Datum::as_str).unwrap_or(""));
        if text.len() > TEXT_BYTES_MAX {
            return Err(CatalogError::too_much("a string"));
        }
    }
    Ok(if rows.is_empty() { Datum::Null } else { Datum::from(text) })
}

fn json_agg(rows: &[Vec<Datum>], arguments: &[Expr]) -> Result<Datum> {
    let type_oid = arguments.first().map_or(TEXT, |argument| argument.type_oid);
    let items: Vec<String> = firsts(rows).map(|value| json::value(value, type_oid)).collect();
    Ok(if rows.is_empty() { Datum::Null } else { Datum::from(format!("[{}]", items.join(", "))) })
}

fn json_object_agg(rows: &[Vec<Datum>], arguments: &[Expr]) -> Result<Datum> {
    let type_of = |index: usize| arguments.get(index).map_or(TEXT, |argument| argument.type_oid);
    let member = |row: &Vec<Datum>| {
        let key = json::string(&row[0].text(type_of(0)).unwrap_or_default());
        format!("{key} : {}", json::value(&row[1], type_of(1)))
    };
    let members: Vec<String> = rows.iter().filter(|row| row.len() == 2).map(member).collect();
    Ok(if rows.is_empty() { Datum::Null } else { Datum::from(format!("{{ {} }}", members.join(", "))) })
}
