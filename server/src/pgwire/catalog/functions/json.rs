//! JSON building, as far as clients ask the catalogue for it.

use super::{
    super::{
        datum::Datum,
        error::{CatalogError, Result},
        types::{self, Class, oid::*},
    },
    Call, Function, f,
};

pub(super) static FUNCTIONS: &[Function] = &[
    f("json_build_object", &[ANY], JSON, build_object).variadic().lenient(),
    f("json_build_object", &[], JSON, build_object),
    f("jsonb_build_object", &[ANY], JSONB, build_object).variadic().lenient(),
    f("json_build_array", &[ANY], JSON, build_array).variadic().lenient(),
    f("to_json", &[ANY], JSON, |call| Ok(Datum::from(value(&call.values[0], call.type_of(0))))),
    f("to_jsonb", &[ANY], JSONB, |call| Ok(Datum::from(value(&call.values[0], call.type_of(0))))),
];

fn build_object(call: &Call<'_>) -> Result<Datum> {
    if !call.values.len().is_multiple_of(2) {
        return Err(CatalogError::new("22023", "argument list must have even number of elements"));
    }
    let mut members = Vec::new();
    for index in (0..call.values.len()).step_by(2) {
        let key = call.shown(index).ok_or_else(|| CatalogError::new("22023", "argument 1 cannot be null"))?;
        members.push(format!("{} : {}", string(&key), value(&call.values[index + 1], call.type_of(index + 1))));
    }
    Ok(Datum::from(format!("{{{}}}", members.join(", "))))
}

fn build_array(call: &Call<'_>) -> Result<Datum> {
    let items: Vec<String> = call.values.iter().enumerate().map(|(i, v)| value(v, call.type_of(i))).collect();
    Ok(Datum::from(format!("[{}]", items.join(", "))))
}

/// A value as JSON.
pub(super) fn value(datum: &Datum, type_oid: u32) -> String {
    let text = datum.text(type_oid).unwrap_or_default();
    match (datum, types::class(type_oid)) {
        (Datum::Null, _) => "null".to_owned(),
        (Datum::Bool(value), _) => value.to_string(),
        (Datum::Array(array), _) => {
            let items: Vec<String> = array.items.iter().map(|item| value(item, array.element)).collect();
            format!("[{}]", items.join(","))
        }
        (_, Class::Float) if text.contains(['N', 'I']) => string(&text),
        (Datum::Int(_) | Datum::Numeric(_) | Datum::Float(_), _) => text,
        _ if matches!(type_oid, JSON | JSONB) => text,
        _ => string(&text),
    }
}

pub(super) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
