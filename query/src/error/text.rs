//! Errors that DataFusion and Arrow tell only in words. Every reading of a foreign message is here, one function for each;
//! a message that none of them knows stays what its variant says.

use datafusion::arrow::datatypes::DataType;

use super::{Error, NO_SUCH_FUNCTION, NO_SUCH_OPERATOR};

const READERS: [fn(&str) -> Option<Error>; 11] = [
    grouping,
    function,
    coercion,
    condition,
    operator,
    bad_value,
    bad_time,
    bad_interval,
    bad_pattern,
    bad_zone,
    arithmetic,
];

/// The error that a text tells of.
pub(super) fn from_text(text: &str) -> Option<Error> {
    let text = text.trim_start_matches("Arrow error: ").trim_start_matches("Error during planning: ");
    READERS.iter().find_map(|read| read(text))
}

fn grouping(text: &str) -> Option<Error> {
    if text.starts_with("Aggregate function calls cannot be nested") {
        let message = "aggregate function calls cannot be nested".to_owned();
        return Some(Error::Grouping { message, position: None });
    }
    if !text.contains("must appear in the GROUP BY clause") {
        return None;
    }
    let column = between(text, "column \"", "\"").or_else(|| between(text, "references: ", " must appear"))?;
    let column = column.split(' ').next().unwrap_or(column);
    let message = format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
    Some(Error::Grouping { message, position: None })
}

fn function(text: &str) -> Option<Error> {
    let call = between(text, "No function matches the given name and argument types '", "'. You")?;
    Some(no_such_function(call))
}

fn coercion(text: &str) -> Option<Error> {
    let name = between(text, "Failed to coerce arguments to satisfy a call to '", "' function")?;
    let types = between(text, "coercion from ", " to the signature").unwrap_or_default();
    Some(no_such_function(&format!("{name}({types})")))
}

fn no_such_function(call: &str) -> Error {
    Error::UndefinedFunction { signature: signature(call), position: None, hint: Some(NO_SUCH_FUNCTION.to_owned()) }
}

fn condition(text: &str) -> Option<Error> {
    let rest = text.strip_prefix("Cannot create filter with non-boolean predicate ")?;
    let (_, data_type) = rest.rsplit_once(" returning ")?;
    let message = format!("argument of WHERE must be type boolean, not type {}", pg_name(data_type));
    Some(Error::Type { message, position: None, hint: None })
}

fn operator(text: &str) -> Option<Error> {
    let inference = text.split_once("Cannot infer common argument type for ").map(|(_, rest)| rest);
    let operation = inference
        .and_then(|rest| rest.split_once("operation ").map(|(_, operation)| operation))
        .or_else(|| between(text, "Cannot coerce arithmetic expression ", " to valid types"))?;
    let words: Vec<_> = operation.split(' ').map(pg_name).collect();
    let message = format!("operator does not exist: {}", words.join(" "));
    Some(Error::Type { message, position: None, hint: Some(NO_SUCH_OPERATOR.to_owned()) })
}

fn bad_value(text: &str) -> Option<Error> {
    let value = text.strip_prefix("Cannot cast string '").or_else(|| text.strip_prefix("Cannot cast value '"))?;
    let (value, data_type) = value.rsplit_once("' to value of ")?;
    let data_type = pg_name(data_type.trim_end_matches(" type"));
    let message = format!("invalid input syntax for type {data_type}: \"{value}\"");
    let time = data_type.starts_with("time") || data_type == "date" || data_type == "interval";
    Some(if time { Error::InvalidDateTime { message } } else { Error::InvalidText { message } })
}

fn bad_time(text: &str) -> Option<Error> {
    if text.starts_with("The dates that can be represented as nanoseconds") || text.contains("timestamp_nanos") {
        return Some(Error::InvalidDateTime { message: "timestamp out of range".to_owned() });
    }
    let (value, _) = text.strip_prefix("Error parsing timestamp from '")?.rsplit_once("': ")?;
    let message = format!("invalid input syntax for type timestamp with time zone: \"{value}\"");
    Some(Error::InvalidDateTime { message })
}

fn bad_interval(text: &str) -> Option<Error> {
    let value = between(text, "Invalid input syntax for type interval: \"", "\"")?;
    Some(Error::InvalidDateTime { message: format!("invalid input syntax for type interval: \"{value}\"") })
}

fn bad_pattern(text: &str) -> Option<Error> {
    if !text.contains("regex parse error") && !text.starts_with("Regular expression did not compile") {
        return None;
    }
    let reason = text.rsplit_once("error: ").map_or("it does not compile", |(_, reason)| reason.trim());
    let message = format!("invalid regular expression: {reason}");
    Some(Error::InvalidParameter { name: "pattern".to_owned(), message })
}

fn bad_zone(text: &str) -> Option<Error> {
    let zone = between(text, "Invalid timezone \"", "\"")?;
    let message = format!("time zone \"{zone}\" not recognized");
    Some(Error::InvalidParameter { name: "timezone".to_owned(), message })
}

fn arithmetic(text: &str) -> Option<Error> {
    if let Some((_, data_type)) = text.strip_prefix("Can't cast value ").and_then(|rest| rest.rsplit_once(" to type "))
    {
        return Some(Error::NumericRange { message: format!("{} out of range", pg_name(data_type)) });
    }
    if text.contains("verflow") {
        return Some(Error::NumericRange { message: "bigint out of range".to_owned() });
    }
    text.contains("Divide by zero").then_some(Error::DivisionByZero)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// `f(Int64, Utf8)` with PostgreSQL's names of types.
fn signature(call: &str) -> String {
    let Some((name, arguments)) = call.strip_suffix(')').and_then(|call| call.split_once('(')) else {
        return call.to_owned();
    };
    let mut depth = 0;
    let outermost_comma = |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    };
    let arguments = arguments.split(outermost_comma).map(str::trim).filter(|argument| !argument.is_empty());
    format!("{name}({})", arguments.map(pg_name).collect::<Vec<_>>().join(", "))
}

/// A type's name in an Arrow message, as PostgreSQL names it; other words stay.
fn pg_name(word: &str) -> String {
    word.parse::<DataType>().map_or_else(|_| word.to_owned(), |data_type| type_name(&data_type))
}

/// PostgreSQL's name of a type, for messages.
pub(crate) fn type_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Null => "unknown",
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        DataType::Int64 | DataType::UInt32 => "bigint",
        DataType::UInt64 => "bigint unsigned",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            "numeric"
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "bytea",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            return format!("{}[]", type_name(item.data_type()));
        }
        other => return other.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: &Expect) {
        expected.assert_eq(&from_text(text).map_or_else(|| "-".to_owned(), |error| error.to_string()));
    }

    #[test]
    fn signatures_have_our_types() {
        check(
            "No function matches the given name and argument types 'f(Timestamp(ns, \"UTC\"), Utf8, Int64)'. You might",
            &expect!["function f(timestamp with time zone, text, bigint) does not exist"],
        );
        check(
            "No function matches the given name and argument types 'f()'. You might",
            &expect!["function f() does not exist"],
        );
    }

    #[test]
    fn values_are_quoted_back() {
        check(
            "Cannot cast string 'it's' to value of Int32 type",
            &expect![[r#"invalid input syntax for type integer: "it's""#]],
        );
        check(
            "Error parsing timestamp from 'x': error parsing date",
            &expect![[r#"invalid input syntax for type timestamp with time zone: "x""#]],
        );
        check("Can't cast value 300 to type Int8", &expect!["smallint out of range"]);
    }

    #[test]
    fn other_words_mean_nothing() {
        check("the moon is full", &expect!["-"]);
    }
}
