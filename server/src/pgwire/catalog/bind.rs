//! From the parsed statement to a plan: names, types, overloads, silent conversions, parameters.
//!
//! Invariants
//! - `scopes` mirrors the nesting of query levels; the last one is the level being bound.
//! - A level that looks outside itself is marked `escapes`, so that its result is never kept for other rows.
//! - `depth` bounds the nesting of expressions and queries together: input nests no deeper than the stack allows.

mod call;
mod coerce;
mod data_type;
mod expr;
mod from;
mod name;
mod operator;
mod place;
mod quantify;
mod query;
mod scope;
mod select;

use self::scope::Scope;
use super::{
    Context,
    error::{CatalogError, Result},
    plan::{Column, Query},
    relations::{self, Relation},
    types::oid,
};
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Spanned, Statement};

pub(crate) use self::data_type::type_named;

/// Deepest nesting of expressions and queries; a level takes a few kilobytes of stack, twice.
const DEPTH_MAX: usize = 100;

/// A plan and the types its parameters turned out to have.
pub(crate) struct Bound {
    pub query: Query,
    pub parameters: Vec<u32>,
}

/// Resolves a statement. `parameter_types` holds what the client declared, 0 where it left the choice to us.
pub(crate) fn bind(statement: &Statement, context: &Context<'_>, parameter_types: &[u32]) -> Result<Bound> {
    let Statement::Query(query) = statement else {
        return Err(CatalogError::unsupported("this kind of statement"));
    };
    let mut binder = Binder {
        context,
        parameters: parameter_types.to_vec(),
        scopes: Vec::new(),
        ctes: Vec::new(),
        next_cte: 0,
        depth: 0,
    };
    let mut query = binder.query(query)?.query;
    binder.settle_unknown_columns(&mut query)?;
    let parameters = binder.parameters.iter().map(|t| if *t == 0 { oid::TEXT } else { *t }).collect();
    Ok(Bound { query, parameters })
}

struct Binder<'a> {
    context: &'a Context<'a>,
    /// Type of each parameter, 0 while unknown.
    parameters: Vec<u32>,
    scopes: Vec<Scope>,
    /// Common table expressions in reach, innermost last.
    ctes: Vec<VisibleCte>,
    next_cte: usize,
    depth: usize,
}

#[derive(Clone)]
struct VisibleCte {
    name: String,
    id: usize,
    columns: Vec<Column>,
    /// While the recursive part is bound: how many scopes were open where the expression stands.
    working_since: Option<usize>,
}

/// What a bound query looks at.
struct BoundQuery {
    query: Query,
    /// Refers to columns of a level around it.
    escapes: bool,
}

impl Binder<'_> {
    /// Runs `bind` one level deeper, and refuses to go deeper than the stack allows.
    fn deeper<T>(&mut self, bind: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEPTH_MAX {
            return Err(CatalogError::too_deep());
        }
        self.depth += 1;
        let result = bind(self);
        self.depth -= 1;
        result
    }

    fn scope(&mut self) -> &mut Scope {
        if self.scopes.is_empty() {
            self.scopes.push(Scope::default());
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }
}

/// A name's parts as PostgreSQL folds them.
pub(crate) fn parts(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => folded(ident),
            ObjectNamePart::Function(function) => folded(&function.name),
        })
        .collect()
}

/// Unquoted names are lower case.
pub(crate) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The system relation of that name, if the name can mean one: qualified, or visible because `pg_catalog` is always
/// searched first.
pub(crate) fn system_relation(name: &[String]) -> Option<&'static Relation> {
    match name {
        [table] => relations::find("pg_catalog", table),
        [schema, table] | [_, schema, table] => relations::find(schema, table),
        _ => None,
    }
}

fn relation_of(name: &ObjectName) -> Result<&'static Relation> {
    let parts = parts(name);
    system_relation(&parts).ok_or_else(|| CatalogError::undefined_table(&parts.join(".")).at(name.span()))
}
