//! From DataFusion's errors to ours: by variant wherever there is one, by text only in [`from_text`].

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use plimsoll_engine::Error as EngineError;

use super::Error;
use crate::functions::most_similar;

/// The error that a user sees for one of DataFusion's.
pub(crate) fn convert(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(inner) => convert(*inner),
                Err(other) => Error::Internal(other.to_string()),
            },
        },
        DataFusionError::Context(_, inner) => convert(*inner),
        DataFusionError::Diagnostic(diagnostic, inner) => at(convert(*inner), &diagnostic),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => convert(first),
            None => Error::Internal("an empty list of errors".to_owned()),
        },
        DataFusionError::Shared(shared) => match Arc::try_unwrap(shared) {
            Ok(inner) => convert(inner),
            Err(shared) => convert_shared(&shared),
        },
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        DataFusionError::SchemaError(inner, _) => from_schema(&inner),
        DataFusionError::ResourcesExhausted(message) => Error::OutOfMemory { message },
        DataFusionError::NotImplemented(message) => {
            Error::Unsupported { what: sentence(&message), position: None, hint: None }
        }
        DataFusionError::Plan(message) => from_text(&message).unwrap_or_else(|| Error::Type {
            message: sentence(&message),
            position: None,
            hint: None,
        }),
        DataFusionError::Execution(message) => from_text(&message)
            .unwrap_or_else(|| Error::InvalidParameter { name: String::new(), message: sentence(&message) }),
        DataFusionError::IoError(inner) => Error::OutOfMemory { message: format!("spill file: {inner}") },
        other => Error::Internal(other.strip_backtrace()),
    }
}

/// An error that several readers hold; they all get it, so it is said again.
fn convert_shared(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(ours) => again(ours),
            None => Error::Internal(inner.to_string()),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => convert_shared(inner),
        DataFusionError::Shared(inner) => convert_shared(inner),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ExternalError(inner) => match (inner.downcast_ref::<DataFusionError>(), inner.downcast_ref()) {
                (Some(inner), _) => convert_shared(inner),
                (None, Some(ours)) => again(ours),
                (None, None) => Error::Internal(inner.to_string()),
            },
            ArrowError::DivideByZero => Error::DivisionByZero,
            ArrowError::ArithmeticOverflow(message) => overflow(message),
            other => from_arrow_text(&arrow_text(other)),
        },
        DataFusionError::ResourcesExhausted(message) => Error::OutOfMemory { message: message.clone() },
        DataFusionError::NotImplemented(message) => convert(DataFusionError::NotImplemented(message.clone())),
        DataFusionError::Plan(message) => convert(DataFusionError::Plan(message.clone())),
        DataFusionError::Execution(message) => convert(DataFusionError::Execution(message.clone())),
        other => Error::Internal(other.strip_backtrace()),
    }
}

/// Errors that can come up while rows flow, once more; the rest by text.
fn again(error: &Error) -> Error {
    match error {
        Error::InvalidText { message } => Error::InvalidText { message: message.clone() },
        Error::InvalidDateTime { message } => Error::InvalidDateTime { message: message.clone() },
        Error::NumericRange { message } => Error::NumericRange { message: message.clone() },
        Error::DivisionByZero => Error::DivisionByZero,
        Error::InvalidParameter { name, message } => {
            Error::InvalidParameter { name: name.clone(), message: message.clone() }
        }
        Error::OutOfMemory { message } => Error::OutOfMemory { message: message.clone() },
        Error::Engine(EngineError::Corrupt { path, offset, what }) => {
            Error::Engine(EngineError::Corrupt { path: path.clone(), offset: *offset, what: what.clone() })
        }
        Error::Engine(EngineError::Pattern(pattern)) => Error::Engine(EngineError::Pattern(pattern.clone())),
        Error::Engine(EngineError::Io { action, path, source }) => {
            let source = std::io::Error::new(source.kind(), source.to_string());
            Error::Engine(EngineError::Io { action, path: path.clone(), source })
        }
        other => Error::Internal(other.to_string()),
    }
}

/// Adds the place that a diagnostic knows.
fn at(error: Error, diagnostic: &Diagnostic) -> Error {
    let span = diagnostic.span.or_else(|| diagnostic.notes.iter().find_map(|note| note.span));
    let place = span.and_then(|span| usize::try_from(span.start.column).ok());
    match error {
        Error::UndefinedColumn { name, position: None, hint } => Error::UndefinedColumn { name, position: place, hint },
        Error::UndefinedTable { name, position: None } => Error::UndefinedTable { name, position: place },
        Error::UndefinedFunction { signature, position: None, hint } => {
            Error::UndefinedFunction { signature, position: place, hint }
        }
        Error::AmbiguousColumn { name, position: None } => Error::AmbiguousColumn { name, position: place },
        Error::Grouping { message, position: None } => Error::Grouping { message, position: place },
        Error::Type { message, position: None, hint } => Error::Type { message, position: place, hint },
        Error::Unsupported { what, position: None, hint } => Error::Unsupported { what, position: place, hint },
        other => other,
    }
}

fn from_schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => Error::UndefinedColumn {
            name: shown(field),
            position: place(field),
            hint: column_hint(&field.name, valid_fields),
        },
        SchemaError::AmbiguousReference { field } => {
            Error::AmbiguousColumn { name: field.name.clone(), position: place(field) }
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::AmbiguousColumn { name: name.clone(), position: None }
        }
    }
}

fn shown(column: &Column) -> String {
    match &column.relation {
        Some(relation) => format!("{}.{}", relation.table(), column.name),
        None => column.name.clone(),
    }
}

fn place(column: &Column) -> Option<usize> {
    column.spans().first().and_then(|span| usize::try_from(span.start.column).ok())
}

fn column_hint(name: &str, valid: &[Column]) -> Option<String> {
    let meant = most_similar(name, valid.iter().map(|c| c.name.as_str()))?;
    let column = valid.iter().find(|c| c.name == meant)?;
    let quoted = if meant.eq_ignore_ascii_case(name) { " Names with capital letters need quotes." } else { "" };
    Some(format!("Perhaps you meant to reference the column \"{}\".{quoted}", shown(column)))
}

fn from_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::DivideByZero => Error::DivisionByZero,
        ArrowError::ArithmeticOverflow(message) => overflow(&message),
        ArrowError::ExternalError(inner) => convert(DataFusionError::External(inner)),
        ArrowError::MemoryError(message) => Error::OutOfMemory { message },
        ArrowError::NotYetImplemented(what) => Error::Unsupported { what: sentence(&what), position: None, hint: None },
        other => from_arrow_text(&arrow_text(&other)),
    }
}

fn arrow_text(error: &ArrowError) -> String {
    match error {
        ArrowError::CastError(text)
        | ArrowError::ParseError(text)
        | ArrowError::ComputeError(text)
        | ArrowError::InvalidArgumentError(text) => text.clone(),
        other => other.to_string(),
    }
}

fn from_arrow_text(text: &str) -> Error {
    from_text(text).unwrap_or_else(|| Error::InvalidText { message: sentence(text) })
}

fn overflow(message: &str) -> Error {
    from_text(message).unwrap_or_else(|| Error::NumericRange { message: "bigint out of range".to_owned() })
}

/// What only a text tells. Every reading of a foreign message is here; an unknown one gives `None`.
fn from_text(text: &str) -> Option<Error> {
    let text = text.trim_start_matches("Arrow error: ").trim_start_matches("Error during planning: ");
    if text.contains("must appear in the GROUP BY clause") {
        let column = between(text, "column \"", "\"").or_else(|| between(text, "references: ", " must appear"));
        let message = match column {
            Some(column) => {
                let column = column.split(' ').next().unwrap_or(column);
                format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function")
            }
            None => sentence(text),
        };
        return Some(Error::Grouping { message, position: None });
    }
    if let Some(call) = between(text, "No function matches the given name and argument types '", "'. You") {
        let hint = Some(
            "No function matches the given name and argument types. You might need to add explicit type casts."
                .to_owned(),
        );
        return Some(Error::UndefinedFunction { signature: signature(call), position: None, hint });
    }
    if let Some(name) = between(text, "Failed to coerce arguments to satisfy a call to '", "' function") {
        let types = between(text, "coercion from ", " to the signature").unwrap_or_default();
        let hint = Some(
            "No function matches the given name and argument types. You might need to add explicit type casts."
                .to_owned(),
        );
        return Some(Error::UndefinedFunction {
            signature: signature(&format!("{name}({types})")),
            position: None,
            hint,
        });
    }
    if let Some(data_type) = text
        .strip_prefix("Cannot create filter with non-boolean predicate ")
        .and_then(|rest| rest.rsplit_once(" returning "))
    {
        let message = format!("argument of WHERE must be type boolean, not type {}", pg_name(data_type.1));
        return Some(Error::Type { message, position: None, hint: None });
    }
    let operation = text
        .split_once("Cannot infer common argument type for ")
        .and_then(|(_, rest)| rest.split_once("operation "))
        .map(|(_, operation)| operation)
        .or_else(|| between(text, "Cannot coerce arithmetic expression ", " to valid types"));
    if let Some(operation) = operation {
        let words: Vec<_> = operation.split(' ').map(pg_name).collect();
        let message = format!("operator does not exist: {}", words.join(" "));
        let hint = Some(
            "No operator matches the given name and argument types. You might need to add explicit type casts."
                .to_owned(),
        );
        return Some(Error::Type { message, position: None, hint });
    }
    if let Some(rest) = text.strip_prefix("Cannot cast string '")
        && let Some((value, rest)) = rest.rsplit_once("' to value of ")
    {
        return Some(invalid_text(&pg_name(rest.trim_end_matches(" type")), value));
    }
    if let Some(rest) = text.strip_prefix("Error parsing timestamp from '")
        && let Some((value, _)) = rest.rsplit_once("': ")
    {
        let message = format!("invalid input syntax for type timestamp with time zone: \"{value}\"");
        return Some(Error::InvalidDateTime { message });
    }
    if text.starts_with("The dates that can be represented as nanoseconds") || text.contains("timestamp_nanos") {
        return Some(Error::InvalidDateTime { message: "timestamp out of range".to_owned() });
    }
    if let Some(value) = between(text, "Invalid input syntax for type interval: \"", "\"") {
        let message = format!("invalid input syntax for type interval: \"{value}\"");
        return Some(Error::InvalidDateTime { message });
    }
    if let Some(zone) = between(text, "Invalid timezone \"", "\"") {
        let message = format!("time zone \"{zone}\" not recognized");
        return Some(Error::InvalidParameter { name: "timezone".to_owned(), message });
    }
    if text.starts_with("Can't cast value ")
        && let Some((_, data_type)) = text.rsplit_once(" to type ")
    {
        return Some(Error::NumericRange { message: format!("{} out of range", pg_name(data_type)) });
    }
    if text.contains("Overflow happened") || text.contains("overflow") {
        return Some(Error::NumericRange { message: "bigint out of range".to_owned() });
    }
    text.contains("Divide by zero").then_some(Error::DivisionByZero)
}

fn invalid_text(type_name: &str, value: &str) -> Error {
    let message = format!("invalid input syntax for type {type_name}: \"{value}\"");
    if type_name.starts_with("time") || type_name == "date" || type_name == "interval" {
        Error::InvalidDateTime { message }
    } else {
        Error::InvalidText { message }
    }
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

/// A foreign message in our tone: the first line, lower case at the start, no full stop.
fn sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end_matches('.');
    let mut characters = line.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => line.to_owned(),
    }
}
