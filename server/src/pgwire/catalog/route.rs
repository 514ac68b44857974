//! Which statements are answered here: decided on the parsed statement, never on its text.

use super::{
    bind::{folded, parts, system_relation, type_named},
    functions,
    types::{self, Class, oid},
};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, ObjectName, Query, Statement, TableFactor, Visit, Visitor,
};
use std::ops::ControlFlow;

/// True when every relation is a system relation, or when there is none but something only the catalogue knows.
pub(super) fn concerns(statement: &Statement) -> bool {
    let Statement::Query(query) = statement else { return false };
    let mut survey = Survey::default();
    if query.visit(&mut survey).is_break() {
        return false;
    }
    let relations =
        survey.relations.iter().filter(|path| !matches!(path.as_slice(), [name] if survey.ctes.contains(name)));
    let (mut system, mut others) = (0u32, 0u32);
    for path in relations {
        let ours = path.iter().rev().nth(1).is_some_and(|s| s == "pg_catalog" || s == "information_schema");
        if ours || system_relation(path).is_some() { system += 1 } else { others += 1 }
    }
    match (system, others) {
        (_, 1..) => false,
        (1.., 0) => true,
        (0, 0) => survey.asks_system && !survey.unknown_function,
    }
}

/// What a statement mentions, at any depth.
#[derive(Default)]
struct Survey {
    relations: Vec<Vec<String>>,
    ctes: Vec<String>,
    /// A function or type that has meaning in the catalogue only.
    asks_system: bool,
    /// A function that is not answered here.
    unknown_function: bool,
}

impl Survey {
    fn function(&mut self, name: &ObjectName, is_bare: bool) {
        let path = parts(name);
        let Some(name) = path.last() else { return };
        let qualified =
            matches!(path.as_slice(), [schema, _] if schema == "pg_catalog" || schema == "information_schema");
        // A bare word such as CURRENT_TIMESTAMP has a meaning of its own everywhere.
        let plain = is_bare && !functions::is_system(name);
        self.asks_system |= functions::is_system(name) || qualified;
        self.unknown_function |= !plain && !qualified && !functions::is_known(name);
    }
}

impl Visitor for Survey {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.ctes.push(folded(&cte.alias.name));
        }
        if let datafusion::sql::sqlparser::ast::SetExpr::Table(table) = query.body.as_ref() {
            let path = [&table.schema_name, &table.table_name].into_iter().flatten().cloned();
            self.relations.push(path.collect());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: None, .. } => self.relations.push(parts(name)),
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                self.function(name, false);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(Function { name, args, .. }) => {
                self.function(name, matches!(args, FunctionArguments::None));
            }
            Expr::Identifier(ident) if ident.quote_style.is_none() => {
                self.asks_system |= functions::is_bare(&folded(ident));
            }
            Expr::Cast { data_type, .. } => {
                let system = |type_oid: u32| {
                    matches!(types::class(type_oid), Class::Reg | Class::Char)
                        || matches!(type_oid, oid::OID | oid::NAME)
                };
                let target = type_named(data_type).map(|(target, _)| types::element_of(target).unwrap_or(target));
                // Arrays are read from text there, and nowhere else.
                let array = type_named(data_type).is_ok_and(|(target, _)| types::element_of(target).is_some());
                self.asks_system |= array || target.is_ok_and(system);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
