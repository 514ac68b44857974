//! Arrays and the set-returning functions over them.

use super::{
    super::{
        datum::{Array, Datum, compare_nulls_last},
        error::{CatalogError, Result},
        run::ROWS_MAX,
        types::oid::*,
    },
    Call, Function, SetFunction, f, set,
};
use std::sync::Arc;

pub(super) static FUNCTIONS: &[Function] = &[
    f("array_length", &[ANYARRAY, INT4], INT4, |call| Ok(first_dimension(call, |a| a.items.len() as i64))),
    f("array_lower", &[ANYARRAY, INT4], INT4, |call| Ok(first_dimension(call, |a| a.lower.into()))),
    f("array_upper", &[ANYARRAY, INT4], INT4, |call| Ok(first_dimension(call, upper))),
    f("array_ndims", &[ANYARRAY], INT4, |call| Ok(if call.items(0).is_empty() { Datum::Null } else { Datum::Int(1) })),
    f("cardinality", &[ANYARRAY], INT4, |call| Ok(Datum::Int(call.items(0).len() as i64))),
    f("array_position", &[ANYARRAY, ANYELEMENT], INT4, position).lenient(),
    f("array_append", &[ANYARRAY, ANYELEMENT], ANYARRAY, |call| Ok(joined(call, &[], call.values.get(1)))).lenient(),
    f("array_prepend", &[ANYELEMENT, ANYARRAY], ANYARRAY, prepend).lenient(),
    f("array_cat", &[ANYARRAY, ANYARRAY], ANYARRAY, concatenate).lenient(),
    f("array_remove", &[ANYARRAY, ANYELEMENT], ANYARRAY, remove).lenient(),
    f("arraycontains", &[ANYARRAY, ANYARRAY], BOOL, |call| {
        Ok(Datum::Bool(call.items(1).iter().all(|item| call.items(0).contains(item))))
    }),
    f("arrayoverlap", &[ANYARRAY, ANYARRAY], BOOL, |call| {
        Ok(Datum::Bool(call.items(1).iter().any(|item| call.items(0).contains(item))))
    }),
];

pub(super) static SETS: &[SetFunction] = &[
    set("unnest", &[ANYARRAY], ANYELEMENT, |call| Ok(call.items(0).to_vec())),
    set("generate_series", &[INT4, INT4], INT4, |call| series(call.int(0), call.int(1), 1)),
    set("generate_series", &[INT4, INT4, INT4], INT4, |call| series(call.int(0), call.int(1), call.int(2))),
    set("generate_series", &[INT8, INT8], INT8, |call| series(call.int(0), call.int(1), 1)),
    set("generate_series", &[INT8, INT8, INT8], INT8, |call| series(call.int(0), call.int(1), call.int(2))),
    set("generate_subscripts", &[ANYARRAY, INT4], INT4, |call| match &call.values[0] {
        Datum::Array(array) if call.int(1) == 1 => series(array.lower.into(), upper(array), 1),
        _ => Ok(Vec::new()),
    }),
    set("_pg_expandarray", &[ANYARRAY], RECORD, |call| {
        let pair = |(item, number): (&Datum, i64)| Datum::Record([item.clone(), Datum::Int(number)].into());
        Ok(call.items(0).iter().zip(1..).map(pair).collect())
    })
    .columns(&[("x", INT4), ("n", INT4)]),
];

fn upper(array: &Array) -> i64 {
    i64::from(array.lower) + array.items.len() as i64 - 1
}

fn first_dimension(call: &Call<'_>, of: fn(&Array) -> i64) -> Datum {
    match &call.values[0] {
        Datum::Array(array) if call.int(1) == 1 && !array.items.is_empty() => Datum::Int(of(array)),
        _ => Datum::Null,
    }
}

fn position(call: &Call<'_>) -> Result<Datum> {
    let found = call.items(0).iter().position(|item| compare_nulls_last(item, &call.values[1]).is_eq());
    Ok(found.map_or(Datum::Null, |index| Datum::Int(index as i64 + 1)))
}

fn element(call: &Call<'_>) -> u32 {
    let array = call.values.iter().find_map(|value| if let Datum::Array(array) = value { Some(array) } else { None });
    array.map_or(TEXT, |array| array.element)
}

/// The first argument's items, then `more`, then `last`.
fn joined(call: &Call<'_>, more: &[Datum], last: Option<&Datum>) -> Datum {
    let items = call.items(0).iter().chain(more).chain(last).cloned().collect();
    Datum::array(element(call), items)
}

fn prepend(call: &Call<'_>) -> Result<Datum> {
    let items = std::iter::once(&call.values[0]).chain(call.items(1)).cloned().collect();
    Ok(Datum::array(element(call), items))
}

fn concatenate(call: &Call<'_>) -> Result<Datum> {
    Ok(match (&call.values[0], &call.values[1]) {
        (Datum::Null, other) | (other, Datum::Null) => other.clone(),
        _ => joined(call, call.items(1), None),
    })
}

fn remove(call: &Call<'_>) -> Result<Datum> {
    let Datum::Array(array) = &call.values[0] else { return Ok(Datum::Null) };
    let keep = |item: &&Datum| !compare_nulls_last(item, &call.values[1]).is_eq();
    let items = array.items.iter().filter(keep).cloned().collect();
    Ok(Datum::Array(Arc::new(Array { element: array.element, lower: array.lower, items })))
}

fn series(from: i64, to: i64, step: i64) -> Result<Vec<Datum>> {
    if step == 0 {
        return Err(CatalogError::new("22023", "step size cannot equal zero"));
    }
    let mut values = Vec::new();
    let mut next = Some(from);
    while let Some(value) = next.filter(|value| if step > 0 { *value <= to } else { *value >= to }) {
        if values.len() >= ROWS_MAX {
            return Err(CatalogError::too_much("the number of rows of generate_series"));
        }
        values.push(Datum::Int(value));
        next = value.checked_add(step);
    }
    Ok(values)
}
