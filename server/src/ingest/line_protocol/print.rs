//! Points as line protocol: what parsing undoes.

use std::fmt::Write;

use plimsoll_engine::{Point, Value};

/// Appends a point as one line, its timestamp in nanoseconds and with a line end.
///
/// [`super::parse`] gives the same point back, as long as it can be written at all: names and tag values that are empty, end in a
/// backslash or hold a line end cannot, nor floats that are not finite, and a table's name cannot begin with `#`, a tab or a carriage return.
pub fn print(point: &Point<'_>, out: &mut String) {
    escape(&point.table, &[',', ' '], out);
    for (name, value) in point.tags.iter().filter(|(_, value)| !value.is_empty()) {
        out.push(',');
        escape(name, &[',', '=', ' '], out);
        out.push('=');
        escape(value, &[',', '=', ' '], out);
    }
    for (at, (name, value)) in point.fields.iter().enumerate() {
        out.push(if at == 0 { ' ' } else { ',' });
        escape(name, &[',', '=', ' '], out);
        out.push('=');
        print_value(value, out);
    }
    let printed = writeln!(out, " {}", point.time_ns);
    printed.expect("a string takes every text");
}

fn print_value(value: &Value<'_>, out: &mut String) {
    let printed = match value {
        // Debug form, because it writes great and small floats with an exponent.
        Value::Float(v) => write!(out, "{v:?}"),
        Value::Integer(v) => write!(out, "{v}i"),
        Value::Unsigned(v) => write!(out, "{v}u"),
        Value::Boolean(v) => write!(out, "{v}"),
        Value::Text(text) => {
            out.push('"');
            escape(text, &['"', '\\'], out);
            out.push('"');
            Ok(())
        }
    };
    printed.expect("a string takes every text");
}

fn escape(text: &str, special: &[char], out: &mut String) {
    for character in text.chars() {
        if special.contains(&character) {
            out.push('\\');
        }
        out.push(character);
    }
}
