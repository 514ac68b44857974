//! Finds where a name stands in a statement, for errors whose place the planner does not know.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, Spanned, Visit, Visitor};

use super::names::{folded, last_part};
use crate::Error;
use crate::statement::span_position;

/// Gives an error that names something without its place the place of the first such name.
pub(crate) fn locate(error: Error, statement: &impl Visit) -> Error {
    match error {
        Error::UndefinedTable { name, position: None, hint } => {
            let position = find(statement, Wanted::Table(&name));
            Error::UndefinedTable { name, position, hint }
        }
        Error::UndefinedColumn { name, position: None, hint } => {
            let position = find(statement, Wanted::Column(&name));
            Error::UndefinedColumn { name, position, hint }
        }
        Error::AmbiguousColumn { name, position: None } => {
            let position = find(statement, Wanted::Column(&name));
            Error::AmbiguousColumn { name, position }
        }
        Error::UndefinedFunction { signature, position: None, hint } => {
            let name = signature.split('(').next().unwrap_or(&signature);
            let position = find(statement, Wanted::Function(name));
            Error::UndefinedFunction { signature, position, hint }
        }
        other => other,
    }
}

enum Wanted<'a> {
    Table(&'a str),
    Column(&'a str),
    Function(&'a str),
}

fn find(statement: &impl Visit, wanted: Wanted<'_>) -> Option<usize> {
    match statement.visit(&mut Finder(wanted)) {
        ControlFlow::Break(position) => Some(position),
        ControlFlow::Continue(()) => None,
    }
}

struct Finder<'a>(Wanted<'a>);

impl Visitor for Finder<'_> {
    type Break = usize;

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<usize> {
        match self.0 {
            Wanted::Table(name) if dotted(relation) == name => found(span_position(relation.span())),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<usize> {
        match (&self.0, expr) {
            (Wanted::Column(name), Expr::Identifier(ident)) if folded(ident) == *name => {
                found(span_position(ident.span))
            }
            (Wanted::Column(name), Expr::CompoundIdentifier(parts)) if joined(parts.iter()) == *name => {
                found(parts.first().and_then(|part| span_position(part.span)))
            }
            (Wanted::Function(name), Expr::Function(function)) => match last_part(&function.name) {
                Some(ident) if folded(ident) == *name => found(span_position(function.name.span())),
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

fn found(position: Option<usize>) -> ControlFlow<usize> {
    position.map_or(ControlFlow::Continue(()), ControlFlow::Break)
}

/// A dotted name as messages show it: folded, without quotes.
pub(crate) fn dotted(name: &ObjectName) -> String {
    joined(name.0.iter().filter_map(|part| part.as_ident()))
}

fn joined<'a>(parts: impl Iterator<Item = &'a Ident>) -> String {
    parts.map(folded).collect::<Vec<_>>().join(".")
}
