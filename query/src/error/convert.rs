//! From DataFusion's errors to ours: by variant wherever there is one, by text only in `text`.

use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use plimsoll_engine::Error as EngineError;

use super::Error;
use super::text::from_text;
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
        Error::InvalidOption { message, position, hint } => {
            Error::InvalidOption { message: message.clone(), position: *position, hint: hint.clone() }
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
        Error::UndefinedTable { name, position: None, hint } => Error::UndefinedTable { name, position: place, hint },
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
