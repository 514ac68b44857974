//! OpenSLO: service level objectives as YAML documents, into the dialect's statements and back.
//!
//! ```text
//! YAML ─► documents, each value with its line ─► statements and findings      import
//! rows of sys.objects ─► documents ─► YAML, and findings                      export
//! ```
//!
//! Both ways are pure. What cannot be translated is a [`Finding`] with its place; nothing is left out in silence.

mod export;
mod import;
#[cfg(test)]
mod tests;
mod yaml;

use std::fmt;

pub(crate) use export::{Existing, export};
pub(crate) use import::{Translated, import};

/// Before what belongs to us alone among the annotations of a document.
const PREFIX: &str = "plimsoll/";

/// Before what a comment keeps of a document, in JSON, on its last line.
const KEPT: &str = "openslo: ";

/// Something that was left out, or that has become something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Where: a file with document, line and path, or an object.
    pub(crate) place: String,
    pub(crate) message: String,
    /// True when something was left out, false when it is only told.
    pub(crate) is_left_out: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_left_out { "left out" } else { "note" };
        write!(f, "{word}: {}: {}", self.place, self.message)
    }
}
