//! The dialect: statements of ours beside SQL's, from text to meaning and back.
//!
//! ```text
//! text ─► lexer ─► grammar, a file for each family of statements ─► Statement ─► Display: the canonical text
//! ```
//!
//! Every word of it stays usable as a name. A statement's canonical text parses to the same statement; the catalogue keeps
//! definitions as such texts.

use std::fmt;

mod alerting;
mod backtest;
mod calendar;
mod call;
mod cursor;
mod expression;
mod indicator;
mod lexer;
mod options;
mod overriding;
mod parts;
mod promise;
mod role;
mod service;
mod statement;
#[cfg(test)]
mod tests;

pub(crate) use alerting::{Alert, Policy, Sink};
pub(crate) use backtest::Backtest;
pub(crate) use calendar::Calendar;
pub(crate) use call::{Call, Literal};
pub(crate) use indicator::{Baseline, Kpi, Query, Season};
#[cfg(test)]
use options::OptionValue;
pub(crate) use options::Options;
pub(crate) use overriding::Override;
pub use parts::{Over, Parts, parts};
#[cfg(test)]
use promise::Target;
pub(crate) use promise::{Percent, Sla, Slo, Window};
pub(crate) use role::{Attributes, RoleStatement, Secret};
#[cfg(test)]
use service::Dependency;
pub(crate) use service::{Service, TIER_MAX};
pub(crate) use statement::{Definition, Kind, Shown, Statement};

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    /// Characters before the place.
    pub(crate) offset: usize,
    pub(crate) hint: Option<String>,
}

/// Parses one statement; `None` when its first words are none of the dialect's, and it is SQL.
pub(crate) fn parse_statement(text: &str) -> Option<Result<Statement, SyntaxError>> {
    statement::parse(text)
}

/// A name as it has to be written: bare where it can be.
pub fn quoted(name: &str) -> String {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    match begins && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// A text as it has to be written.
pub fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Things with something between them.
fn joined<T: fmt::Display>(things: impl IntoIterator<Item = T>, between: &str) -> String {
    let texts: Vec<String> = things.into_iter().map(|thing| thing.to_string()).collect();
    texts.join(between)
}
