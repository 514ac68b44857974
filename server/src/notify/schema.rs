//! The shape of `incident_v1` that is shipped, checked with as much of JSON Schema as it uses.

use serde_json::{Value, json};

use super::story::tests::{later, opened};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/incident_v1.schema.json")).expect("the schema is JSON")
}

/// What is wrong with a value, each with its place.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (word, wanted) in schema.as_object().expect("a schema is an object") {
        let fault = |true_when: bool| (!true_when).then(|| format!("{at}: {word} {wanted}, not {value}"));
        match word.as_str() {
            "$ref" => {
                let pointer = wanted.as_str().and_then(|text| text.strip_prefix('#')).expect("a place in this schema");
                faults.extend(self::faults(root, root.pointer(pointer).expect(pointer), value, at));
            }
            "type" => {
                let wanted = wanted.as_array().map_or_else(|| vec![wanted], |many| many.iter().collect());
                faults.extend(fault(wanted.iter().any(|wanted| is_type(value, wanted.as_str().expect("a name")))));
            }
            "const" => faults.extend(fault(value == wanted)),
            "enum" => faults.extend(fault(wanted.as_array().expect("a list").contains(value))),
            "minimum" => faults.extend(fault(value.as_f64() >= wanted.as_f64() || value.is_null())),
            "maximum" => faults.extend(fault(value.as_f64() <= wanted.as_f64())),
            "minLength" => faults.extend(fault(value.as_str().is_none_or(|text| !text.is_empty()))),
            "minItems" | "maxItems" => {
                let length = value.as_array().map(|items| items.len() as u64);
                let wanted = wanted.as_u64().expect("a number");
                let holds = |length: u64| if word == "minItems" { length >= wanted } else { length <= wanted };
                faults.extend(fault(length.is_none_or(holds)));
            }
            "pattern" => {
                // The one pattern of the schema, without a library for it.
                assert_eq!(wanted, r"^incident\.[a-z_]+$");
                let verb = value.as_str().and_then(|text| text.strip_prefix("incident."));
                let plain = |verb: &str| !verb.is_empty() && verb.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                faults.extend(fault(verb.is_some_and(plain)));
            }
            "required" => {
                let names = wanted.as_array().expect("a list").iter().filter_map(Value::as_str);
                let missing = names.filter(|name| value.is_object() && value.get(name).is_none());
                faults.extend(missing.map(|name| format!("{at}: {name} is missing")));
            }
            "properties" => {
                for (name, schema) in wanted.as_object().expect("an object") {
                    let inner = value.get(name).map(|value| self::faults(root, schema, value, &format!("{at}/{name}")));
                    faults.extend(inner.unwrap_or_default());
                }
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    faults.extend(self::faults(root, wanted, item, &format!("{at}/*")));
                }
            }
            "prefixItems" => {
                let schemas = wanted.as_array().expect("a list");
                for (schema, item) in schemas.iter().zip(value.as_array().into_iter().flatten()) {
                    faults.extend(self::faults(root, schema, item, &format!("{at}/*")));
                }
            }
            "$schema" | "$id" | "$defs" | "title" | "description" | "format" => {}
            other => panic!("{other} of JSON Schema is not checked here"),
        }
    }
    faults
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}

/// What is wrong with an event.
fn check(event: &Value) -> Vec<String> {
    let schema = schema();
    faults(&schema, &schema, event, "")
}

/// Names of the event that the schema does not list.
fn unknown(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let fields = value.as_object().into_iter().flatten();
    let fields = fields.flat_map(|(name, value)| match schema.pointer(&format!("/properties/{name}")) {
        Some(schema) => unknown(schema, value, &format!("{at}/{name}")),
        None => vec![format!("{at}/{name}")],
    });
    let empty = Value::Null;
    let items = value.as_array().into_iter().flatten();
    let schema = schema.get("items").unwrap_or(&empty);
    fields.chain(items.flat_map(|item| unknown(schema, item, &format!("{at}/*")))).collect()
}

#[test]
fn events_follow_the_schema_and_it_knows_every_field_of_them() {
    for event in [opened(), later("priority_changed", "awaiting_vendor", 3), later("resolved", "resolved", 4)] {
        assert_eq!(check(&event), Vec::<String>::new());
        assert_eq!(unknown(&schema(), &event, ""), Vec::<String>::new());
    }
}

#[test]
fn what_is_not_known_is_null() {
    let mut event = opened();
    for part in ["service", "signal", "slo", "context"] {
        let fields = event[part].as_object_mut().expect("an object");
        fields.values_mut().for_each(|value| *value = Value::Null);
        assert_eq!(check(&event), Vec::<String>::new(), "{part} of nulls");
        event[part] = Value::Null;
        assert_eq!(check(&event), Vec::<String>::new(), "{part} is null");
    }
}

#[test]
fn the_schema_refuses_what_is_none_of_it() {
    let with = |pointer: &str, value: Value| {
        let mut event = opened();
        *event.pointer_mut(pointer).expect(pointer) = value;
        check(&event).len()
    };
    assert_eq!(with("/schema", json!("incident_v2")), 1);
    assert_eq!(with("/event", json!("alert.fired")), 1);
    assert_eq!(with("/sequence", json!(0)), 1);
    assert_eq!(with("/incident/state", json!("lost")), 1);
    assert_eq!(with("/incident/priority", json!(6)), 1);
    assert_eq!(with("/signal/value", json!("2310")), 1);
    assert_eq!(with("/signal/points", json!([["2026-05-01T09:37:00Z"]])), 1);
    assert_eq!(with("/incident", json!({})), 5);
}
