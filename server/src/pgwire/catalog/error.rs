//! What goes wrong in a catalogue statement, in PostgreSQL's codes and words.

use datafusion::sql::sqlparser::tokenizer::{Location, Span};
use std::fmt;

/// The answer of every step of the interpreter.
pub(crate) type Result<T> = std::result::Result<T, CatalogError>;

/// A refused catalogue statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogError {
    /// Five characters, as PostgreSQL would give them.
    pub sqlstate: &'static str,
    /// PostgreSQL's wording.
    pub message: String,
    /// Line and column (both from 1, in characters) in the text that the statement was parsed from.
    pub location: Option<Location>,
    /// What the user could do instead.
    pub hint: Option<String>,
}

impl CatalogError {
    /// The 1-based character position of the error in `text`, the text that the statement was parsed from.
    #[must_use]
    pub fn position_in(&self, text: &str) -> Option<usize> {
        let location = self.location?;
        let lines_before = usize::try_from(location.line).ok()?.checked_sub(1)?;
        let before: usize = text.split_inclusive('\n').take(lines_before).map(|line| line.chars().count()).sum();
        Some(before + usize::try_from(location.column).ok()?)
    }

    pub(crate) fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        CatalogError { sqlstate, message: message.into(), location: None, hint: None }
    }

    /// Keeps the first (innermost) location: an outer construct never hides it.
    pub(crate) fn at(mut self, span: Span) -> Self {
        if self.location.is_none() && span.start.line > 0 {
            self.location = Some(span.start);
        }
        self
    }

    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }

    pub(crate) fn undefined_table(name: &str) -> Self {
        Self::new("42P01", format!("relation \"{name}\" does not exist"))
    }

    pub(crate) fn undefined_column(name: &str) -> Self {
        Self::new("42703", format!("column {name} does not exist"))
    }

    pub(crate) fn ambiguous_column(name: &str) -> Self {
        Self::new("42702", format!("column reference \"{name}\" is ambiguous"))
    }

    pub(crate) fn undefined_function(signature: &str) -> Self {
        Self::new("42883", format!("function {signature} does not exist"))
            .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
    }

    pub(crate) fn undefined_operator(signature: &str) -> Self {
        Self::new("42883", format!("operator does not exist: {signature}"))
            .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
    }

    pub(crate) fn invalid_text(type_name: &str, text: &str) -> Self {
        Self::new("22P02", format!("invalid input syntax for type {type_name}: \"{text}\""))
    }

    pub(crate) fn out_of_range(type_name: &str) -> Self {
        Self::new("22003", format!("{type_name} out of range"))
    }

    pub(crate) fn unsupported(what: &str) -> Self {
        Self::new("0A000", format!("{what} is not supported in catalogue statements"))
    }

    pub(crate) fn too_deep() -> Self {
        Self::new("54001", "stack depth limit exceeded").hint("Nest the expressions of the statement less deeply.")
    }

    pub(crate) fn too_much(what: &str) -> Self {
        Self::new("54000", format!("{what} exceeds the limit of a catalogue statement"))
    }
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CatalogError {}
