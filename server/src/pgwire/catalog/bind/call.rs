//! Calls: overloads, aggregates, window functions, set-returning functions, and the names that look like functions.

use super::{
    super::{
        error::{CatalogError, Result},
        functions::{self, Signature},
        plan::{AggregateCall, Expr, Kind, Ranking, SetCall, SortKey, Window},
        types::{self, Class, oid},
    },
    Binder, parts,
    scope::Clause,
};
use datafusion::sql::sqlparser::ast::{
    self, DuplicateTreatment, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    OrderByExpr, WindowType,
};

impl Binder<'_> {
    pub(super) fn function(&mut self, function: &ast::Function) -> Result<Expr> {
        let name = function_name(&function.name)?;
        let list = match &function.args {
            FunctionArguments::None => return self.call(&name, Vec::new()),
            FunctionArguments::Subquery(query) if name == "array" => return self.array_subquery(query),
            FunctionArguments::Subquery(_) => return Err(CatalogError::unsupported("a sub-query as argument")),
            FunctionArguments::List(list) => list,
        };
        if let Some(over) = &function.over {
            return self.window(&name, over);
        }
        if functions::is_aggregate(&name) {
            return self.aggregate(&name, function, list);
        }
        let arguments = self.arguments(&list.args)?;
        match name.as_str() {
            "coalesce" => {
                let (arguments, type_oid) = self.unify("COALESCE", arguments)?;
                Ok(Expr { kind: Kind::Coalesce(arguments), type_oid })
            }
            "nullif" => self.nullif(arguments),
            "greatest" | "least" => {
                let (arguments, type_oid) = self.unify(&name.to_uppercase(), arguments)?;
                self.call(&name, arguments).map(|e| Expr { type_oid, ..e })
            }
            "row" => Ok(Expr { kind: Kind::Row(arguments), type_oid: oid::RECORD }),
            _ => self.call(&name, arguments),
        }
    }

    pub(super) fn arguments(&mut self, arguments: &[FunctionArg]) -> Result<Vec<Expr>> {
        arguments.iter().map(|argument| self.expr(plain_argument(argument)?)).collect()
    }

    /// `NULLIF(a, b)` is `CASE WHEN a = b THEN NULL ELSE a END`.
    fn nullif(&mut self, arguments: Vec<Expr>) -> Result<Expr> {
        let [a, b]: [Expr; 2] =
            arguments.try_into().map_err(|_| CatalogError::new("42601", "NULLIF takes two arguments"))?;
        let a = if a.type_oid == oid::UNKNOWN { self.coerce(a, oid::TEXT)? } else { a };
        let equal = self.operator("=", a.clone(), b)?;
        let null = Expr::constant(super::super::datum::Datum::Null, a.type_oid);
        let type_oid = a.type_oid;
        Ok(Expr { kind: Kind::Case { branches: vec![(equal, null)], otherwise: Some(Box::new(a)) }, type_oid })
    }

    pub(super) fn call_on(&mut self, name: &str, arguments: &[&Ast]) -> Result<Expr> {
        let arguments = arguments.iter().map(|argument| self.expr(argument)).collect::<Result<_>>()?;
        self.call(name, arguments)
    }

    /// A call of the best overload of a scalar or set-returning function.
    pub(super) fn call(&mut self, name: &str, arguments: Vec<Expr>) -> Result<Expr> {
        let given = type_oids(&arguments);
        if let Some(function) = best(functions::scalars(name), &given, |f| &f.signature) {
            let (arguments, result) = self.fit(&function.signature, arguments)?;
            return Ok(Expr { kind: Kind::Call(function, arguments), type_oid: result });
        }
        let Some(function) = best(functions::sets(name), &given, |f| &f.signature) else {
            return self.call_as_cast(name, arguments).unwrap_or_else(|| Err(no_function(name, &given)));
        };
        if self.scope().clause != Clause::Output {
            let message = format!("set-returning functions are not allowed in {}", self.clause_name());
            return Err(CatalogError::new("0A000", message));
        }
        let (arguments, result) = self.fit(&function.signature, arguments)?;
        let scope = self.scope();
        let slot = scope.new_slot();
        scope.sets.push(SetCall { slot, function, arguments });
        Ok(Expr { kind: Kind::Slot(slot), type_oid: result })
    }

    /// `text(x)`, `int4(x)`: a type's name called with one argument is a cast.
    fn call_as_cast(&mut self, name: &str, mut arguments: Vec<Expr>) -> Option<Result<Expr>> {
        let target = types::by_internal_name(name).filter(|_| arguments.len() == 1)?.oid;
        let value = arguments.pop()?;
        super::super::cast::exists(value.type_oid, target).then(|| self.coerce(value, target))
    }

    /// Arguments brought to the signature's types, and the type of the result.
    pub(super) fn fit(&mut self, signature: &Signature, arguments: Vec<Expr>) -> Result<(Vec<Expr>, u32)> {
        let mut polymorphic = None;
        for (index, argument) in arguments.iter().enumerate() {
            let declared = signature.argument(index);
            if argument.type_oid != oid::UNKNOWN && matches!(declared, oid::ANYARRAY | oid::ANYELEMENT) {
                let element = match types::class(argument.type_oid) {
                    Class::Array(element) if declared == oid::ANYARRAY => element,
                    _ => argument.type_oid,
                };
                polymorphic.get_or_insert(element);
            }
        }
        let element = polymorphic.unwrap_or(oid::TEXT);
        let mut fitted = Vec::with_capacity(arguments.len());
        for (index, argument) in arguments.into_iter().enumerate() {
            let target = match signature.argument(index) {
                oid::ANYARRAY if argument.type_oid == oid::UNKNOWN => types::array_of(element),
                oid::ANYELEMENT => element,
                oid::ANY if argument.type_oid == oid::UNKNOWN => oid::TEXT,
                declared => declared,
            };
            fitted.push(self.coerce(argument, target)?);
        }
        let result = match signature.result {
            oid::ANYELEMENT => element,
            oid::ANYARRAY => types::array_of(element),
            declared => declared,
        };
        Ok((fitted, result))
    }

    fn aggregate(&mut self, name: &str, call: &ast::Function, list: &ast::FunctionArgumentList) -> Result<Expr> {
        let allowed = self.scope().clause;
        if allowed != Clause::Output {
            let message = match allowed {
                Clause::AggregateArgument => "aggregate function calls cannot be nested".to_owned(),
                _ => format!("aggregate functions are not allowed in {}", self.clause_name()),
            };
            return Err(CatalogError::new("42803", message));
        }
        self.scope().clause = Clause::AggregateArgument;
        let result = self.aggregate_here(name, call, list);
        self.scope().clause = Clause::Output;
        result
    }

    fn aggregate_here(&mut self, name: &str, call: &ast::Function, list: &ast::FunctionArgumentList) -> Result<Expr> {
        let star = matches!(list.args.as_slice(), [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]);
        let arguments = if star { Vec::new() } else { self.arguments(&list.args)? };
        let given = type_oids(&arguments);
        let function =
            best(functions::aggregates(name), &given, |f| &f.signature).ok_or_else(|| no_function(name, &given))?;
        let (arguments, result) = self.fit(&function.signature, arguments)?;
        let filter = call.filter.as_deref().map(|filter| self.condition(filter, "FILTER")).transpose()?;
        let mut order = Vec::new();
        for clause in &list.clauses {
            if let FunctionArgumentClause::OrderBy(keys) = clause {
                order = self.sort_keys(keys)?;
            }
        }
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        let scope = self.scope();
        let slot = scope.new_slot();
        scope.aggregates.push(AggregateCall { slot, function, arguments, distinct, filter, order });
        Ok(Expr { kind: Kind::Slot(slot), type_oid: result })
    }

    fn window(&mut self, name: &str, over: &WindowType) -> Result<Expr> {
        let function = match name {
            "row_number" => Ranking::RowNumber,
            "rank" => Ranking::Rank,
            "dense_rank" => Ranking::DenseRank,
            _ => return Err(CatalogError::unsupported(&format!("the window function {name}"))),
        };
        let WindowType::WindowSpec(window) = over else {
            return Err(CatalogError::unsupported("a named window"));
        };
        let partition = window.partition_by.iter().map(|key| self.expr(key)).collect::<Result<_>>()?;
        let order = self.sort_keys(&window.order_by)?;
        let scope = self.scope();
        let slot = scope.new_slot();
        scope.windows.push(Window { slot, function, partition, order });
        Ok(Expr { kind: Kind::Slot(slot), type_oid: oid::INT8 })
    }

    fn sort_keys(&mut self, keys: &[OrderByExpr]) -> Result<Vec<SortKey>> {
        keys.iter()
            .map(|key| {
                let descending = key.options.asc == Some(false);
                let nulls_first = key.options.nulls_first.unwrap_or(descending);
                Ok(SortKey { expr: self.expr(&key.expr)?, descending, nulls_first })
            })
            .collect()
    }

    fn clause_name(&mut self) -> &'static str {
        match self.scope().clause {
            Clause::From => "FROM",
            Clause::Where => "WHERE",
            Clause::GroupBy => "GROUP BY",
            Clause::Output => "SELECT",
            Clause::AggregateArgument => "an aggregate",
        }
    }

    /// A set-returning or plain function in FROM, with its arguments fitted.
    pub(super) fn table_function(
        &mut self,
        name: &ast::ObjectName,
        arguments: &[FunctionArg],
    ) -> Result<TableFunction> {
        let name = function_name(name)?;
        let arguments = self.arguments(arguments)?;
        let given = type_oids(&arguments);
        match best(functions::sets(&name), &given, |f| &f.signature) {
            Some(function) => {
                let (arguments, result) = self.fit(&function.signature, arguments)?;
                Ok(TableFunction::Set { function, arguments, result })
            }
            None => self.call(&name, arguments).map(TableFunction::Scalar),
        }
    }
}

pub(super) enum TableFunction {
    Set { function: &'static functions::SetFunction, arguments: Vec<Expr>, result: u32 },
    Scalar(Expr),
}

/// A function's name without its schema, which must be one that holds ours.
pub(super) fn function_name(name: &ast::ObjectName) -> Result<String> {
    let parts = parts(name);
    match parts.as_slice() {
        [name] => Ok(name.clone()),
        [schema, name] if schema == "pg_catalog" || schema == "information_schema" => Ok(name.clone()),
        _ => Err(CatalogError::undefined_function(&format!("{}()", parts.join(".")))),
    }
}

fn plain_argument(argument: &FunctionArg) -> Result<&Ast> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
        FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. } => Ok(expr),
        _ => Err(CatalogError::unsupported("this kind of argument")),
    }
}

fn type_oids(arguments: &[Expr]) -> Vec<u32> {
    arguments.iter().map(|argument| argument.type_oid).collect()
}

/// The overload that needs the fewest conversions; among equals the first listed.
fn best<T>(
    candidates: impl Iterator<Item = &'static T>,
    given: &[u32],
    signature: impl Fn(&'static T) -> &'static Signature,
) -> Option<&'static T> {
    candidates.filter_map(|c| Some((cost(signature(c), given)?, c))).min_by_key(|(cost, _)| *cost).map(|(_, c)| c)
}

fn cost(signature: &Signature, given: &[u32]) -> Option<usize> {
    if !signature.takes(given.len()) {
        return None;
    }
    let mut total = usize::from(signature.variadic);
    for (index, from) in given.iter().enumerate() {
        let to = signature.argument(index);
        total += match () {
            () if *from == to => 0,
            () if !types::converts_silently(*from, to) => return None,
            // An unknown literal likes text best.
            () if *from == oid::UNKNOWN => usize::from(to != oid::TEXT),
            () if matches!(to, oid::ANY | oid::ANYELEMENT | oid::ANYARRAY) => 3,
            () => 2,
        };
    }
    Some(total)
}

fn no_function(name: &str, given: &[u32]) -> CatalogError {
    let types: Vec<String> = given.iter().map(|t| types::sql_name(*t)).collect();
    CatalogError::undefined_function(&format!("{name}({})", types.join(", ")))
}
