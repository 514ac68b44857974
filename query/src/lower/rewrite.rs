//! Changes to the parsed form before planning, where PostgreSQL means something that DataFusion would refuse or read
//! differently. Each is a small rule; together they let DataFusion plan the statement as PostgreSQL would.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, DuplicateTreatment, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, Interval, LimitClause,
    ObjectName, ObjectNamePart, OrderByExpr, OrderByKind, OrderByOptions, Query, Select, SelectItem, SetExpr,
    TableAlias, TableAliasColumnDef, TableFactor, TimezoneInfo, Value, ValueWithSpan, VisitMut, VisitorMut, WindowSpec,
    WindowType,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::arrays::{array_of_text, quantified};
use super::asof::{nest_asof_joins, nest_asof_joins_in};
use super::names::{body_names, folded, item_name, last_part};
use crate::functions::{Asked, BUSINESS_TIME, Functions, argument_names, most_similar, parse_interval, step_name};
use crate::relation::{SCALARS, is_function};
use crate::statement::query as written_query;
use crate::{Error, Result};

/// Separates a name from the number that makes it unique; no one writes this character in a name.
pub(crate) const HIDDEN: char = '\u{1f}';

/// Rewrites a query in place. Gives the placeholders that stand in LIMIT and OFFSET, whose type nothing else tells.
///
/// # Errors
/// [`Error::Unsupported`] for clauses that have no meaning here, [`Error::InvalidDateTime`] for an interval that is none.
pub(crate) fn rewrite(query: &mut Query, functions: &Functions) -> Result<Vec<String>> {
    let mut rewriter = Rewriter { functions, depth: 0, subqueries: 0, asof_joins: 0, limits: Vec::new() };
    match query.visit(&mut rewriter) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(rewriter.limits),
    }
}

/// Most subqueries that may stand in one another's expressions; planning takes twice as long for each.
const SUBQUERIES_MAX: usize = 8;

/// Most ASOF JOINs in a statement: each one nests the plan deeper, and carries the columns of those before it.
const ASOF_JOINS_MAX: usize = 16;

/// Begins a pattern whose dots stand for any character.
pub(crate) const DOT_IS_ANY: &str = "(?s)";

struct Rewriter<'a> {
    functions: &'a Functions,
    depth: usize,
    subqueries: usize,
    asof_joins: usize,
    limits: Vec<String>,
}

type Flow = ControlFlow<Box<Error>>;

impl VisitorMut for Rewriter<'_> {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &mut Query) -> Flow {
        self.depth += 1;
        if !query.locks.is_empty() {
            return refuse("locking rows is not supported", "Leave out FOR UPDATE or FOR SHARE.");
        }
        if let SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) = *query.body {
            return refuse("changing data inside a query is not supported", "Use INSERT as a statement of its own.");
        }
        fetch_is_limit(query)?;
        self.limits.extend(limit_placeholders(query));
        order_by_output_name(query);
        if self.depth > 1 {
            name_columns(&mut query.body);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> Flow {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Flow {
        if select.into.is_some() {
            return refuse("SELECT INTO is not supported", "Use CREATE TABLE and INSERT INTO ... SELECT.");
        }
        select.from.iter_mut().for_each(nest_asof_joins);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> Flow {
        hide_duplicates(&mut select.projection);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> Flow {
        name_series_column(factor);
        if let Err(error) = tell_calls_apart(factor) {
            return ControlFlow::Break(Box::new(error));
        }
        self.asof_joins += usize::from(nest_asof_joins_in(factor));
        if self.asof_joins > ASOF_JOINS_MAX {
            let hint = format!("A statement may have {ASOF_JOINS_MAX}; INSERT what some of them give into a table.");
            return refuse("there are too many ASOF JOINs", &hint);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        self.subqueries += usize::from(has_subquery(expr));
        if self.subqueries > SUBQUERIES_MAX {
            return refuse("subqueries are nested too deeply", "Use WITH to name the inner ones.");
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        self.subqueries -= usize::from(has_subquery(expr));
        let outcome = match expr {
            Expr::Function(function) if counts_unsigned(function) => {
                *expr = bigint(expr.clone());
                Ok(None)
            }
            Expr::Function(function) if asks_for_a_number(function) => answer_of(function).map(|query| {
                *expr = Expr::Subquery(query);
                None
            }),
            Expr::Function(function) => function_call(function, self.functions).map(|new| new.map(|f| *expr = f)),
            Expr::Interval(interval) => literal_interval(interval).map(Some),
            Expr::BinaryOp { op, right, .. } if is_regex(op) => {
                Ok(literal_text(right).map(any_character).map(|pattern| **right = string(pattern)))
            }
            Expr::SimilarTo { negated, expr: of, pattern, escape_char: None } => {
                Ok(similar_to(of, pattern, *negated).map(|like| *expr = like))
            }
            Expr::Cast { data_type, .. } => {
                float_is_double(data_type);
                match array_of_text(expr) {
                    Some(array) => {
                        *expr = array;
                        Ok(None)
                    }
                    None => cast_to_interval(expr).map(|new| new.map(|i| *expr = i)),
                }
            }
            Expr::AnyOp { .. } | Expr::AllOp { .. } => quantified(expr, call).map(|new| new.map(|list| *expr = list)),
            Expr::AtTimeZone { timestamp, time_zone } => {
                *expr = call("timezone", vec![(**time_zone).clone(), (**timestamp).clone()]);
                Ok(None)
            }
            Expr::Collate { expr: inner, .. } => {
                *expr = (**inner).clone();
                Ok(None)
            }
            _ => Ok(None),
        };
        match outcome {
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

/// `float` alone, and with more than 24 binary digits, is `double precision`.
fn float_is_double(data_type: &mut DataType) {
    if let DataType::Float(digits) = data_type
        && !matches!(digits, ExactNumberInfo::Precision(1..=24))
    {
        *data_type = DataType::DoublePrecision;
    }
}

fn has_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
}

fn refuse(what: &str, hint: &str) -> Flow {
    ControlFlow::Break(Box::new(Error::Unsupported {
        what: what.to_owned(),
        position: None,
        hint: Some(hint.to_owned()),
    }))
}

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n`.
fn fetch_is_limit(query: &mut Query) -> Flow {
    let Some(fetch) = query.fetch.take() else { return ControlFlow::Continue(()) };
    if fetch.with_ties || fetch.percent {
        return refuse("FETCH FIRST WITH TIES is not supported", "Use rank() in a subquery.");
    }
    let quantity = fetch.quantity.unwrap_or_else(|| number(1));
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, .. }) => *limit = Some(quantity),
        other => *other = Some(LimitClause::LimitOffset { limit: Some(quantity), offset: None, limit_by: Vec::new() }),
    }
    ControlFlow::Continue(())
}

fn limit_placeholders(query: &Query) -> Vec<String> {
    let exprs = match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => vec![limit.as_ref(), offset.as_ref().map(|o| &o.value)],
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => vec![Some(limit), Some(offset)],
        None => Vec::new(),
    };
    let placeholder = |expr: &Expr| match expr {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) => Some(name.clone()),
        _ => None,
    };
    exprs.into_iter().flatten().filter_map(placeholder).collect()
}

/// `ORDER BY count` after `SELECT host, count(*)` means the second column. DataFusion has another name for it, so both
/// places get a hidden one.
fn order_by_output_name(query: &mut Query) {
    let names = body_names(&query.body);
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|o| &mut o.kind) else { return };
    let Some(SetExpr::Select(select)) = leftmost(&mut query.body) else { return };
    for key in keys {
        let Expr::Identifier(ident) = &mut key.expr else { continue };
        let name = folded(ident);
        let mut matching = (0..names.len()).filter(|&at| names[at].as_ref() == Some(&name));
        let (Some(at), None) = (matching.next(), matching.next()) else { continue };
        if let SelectItem::UnnamedExpr(expr) = &select.projection[at]
            && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        {
            let hidden = Ident::with_quote('"', format!("{name}{HIDDEN}{at}"));
            *ident = hidden.clone();
            select.projection[at] = SelectItem::ExprWithAlias { expr: expr.clone(), alias: hidden };
        }
    }
}

/// Inside another query a column is known by its name, so computed ones get PostgreSQL's.
fn name_columns(body: &mut SetExpr) {
    let Some(SetExpr::Select(select)) = leftmost(body) else { return };
    for item in &mut select.projection {
        let name = item_name(item);
        if let (SelectItem::UnnamedExpr(expr), Some(name)) = (&*item, name)
            && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
        }
    }
}

/// A cast of a column has the column's name in DataFusion as well, where the two get in each other's way.
fn named_after_column(expr: &Expr) -> bool {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => {
            matches!(**expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) || named_after_column(expr)
        }
        _ => false,
    }
}

fn leftmost(body: &mut SetExpr) -> Option<&mut SetExpr> {
    match body {
        SetExpr::Select(_) => Some(body),
        SetExpr::Query(query) => leftmost(&mut query.body),
        SetExpr::SetOperation { left, .. } => leftmost(left),
        _ => None,
    }
}

/// PostgreSQL lets two columns have one name, DataFusion does not: later ones get a hidden name. Names of the result are
/// laid over by position.
fn hide_duplicates(projection: &mut [SelectItem]) {
    let wildcard =
        projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut seen: Vec<(Option<String>, String)> = Vec::new();
    for (at, item) in projection.iter_mut().enumerate() {
        let Some(key) = planner_name(item) else { continue };
        let repeated = |other: &(Option<String>, String)| {
            other.1 == key.1 && (other.0.is_none() || key.0.is_none() || other.0 == key.0)
        };
        let column = matches!(item, SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_)));
        let cast = matches!(item, SelectItem::UnnamedExpr(expr) if !column && named_after_column(expr));
        if seen.iter().any(repeated) || (wildcard && column) || cast {
            let name = format!("{}{HIDDEN}{at}", item_name(item).unwrap_or_default());
            let alias = Ident::with_quote('"', name);
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        seen.push(key);
    }
}

/// What DataFusion will call an item, as (qualifier, name).
fn planner_name(item: &SelectItem) -> Option<(Option<String>, String)> {
    match item {
        SelectItem::UnnamedExpr(expr) => expression_key(expr),
        SelectItem::ExprWithAlias { alias, .. } => Some((None, folded(alias))),
        _ => None,
    }
}

fn expression_key(expr: &Expr) -> Option<(Option<String>, String)> {
    match expr {
        Expr::Identifier(ident) => Some((None, folded(ident))),
        Expr::CompoundIdentifier(parts) => {
            let (last, qualifier) = parts.split_last()?;
            Some((Some(qualifier.iter().map(folded).collect::<Vec<_>>().join(".")), folded(last)))
        }
        Expr::Subquery(_) => Some((None, "(<subquery>)".to_owned())),
        // A cast is called what its inside is called.
        Expr::Cast { expr, .. } | Expr::Nested(expr) => expression_key(expr),
        other => Some((None, other.to_string().to_lowercase())),
    }
}

/// `sla_report('a', 'b')` as a subquery over the call under a name with its arguments in it: the planner takes two scans of one
/// name for the same.
fn tell_calls_apart(factor: &mut TableFactor) -> Result<()> {
    let TableFactor::Table { name, alias, args: Some(given), .. } = factor else { return Ok(()) };
    let Some(function) = last_part(name).cloned() else { return Ok(()) };
    if !is_function(&folded(&function)) || alias.as_ref().is_some_and(|alias| alias.name.value.contains(HIDDEN)) {
        return Ok(());
    }
    let mut query = written_query("SELECT * FROM f()")?;
    let named = |name| TableAlias { explicit: true, name, columns: Vec::new(), at: None };
    let outer = alias.take().unwrap_or_else(|| named(function.clone()));
    let arguments: Vec<String> = given.args.iter().map(ToString::to_string).collect();
    let inner = format!("{}{HIDDEN}{}", folded(&function), arguments.join(","));
    *alias = Some(named(Ident::with_quote('"', inner)));
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(table) = select.from.first_mut()
    {
        table.relation = factor.clone();
    }
    *factor = TableFactor::Derived { lateral: false, subquery: query, alias: Some(outer), sample: None };
    Ok(())
}

/// The one column of `generate_series(1, 3) AS n` is called `n`, or like the function.
fn name_series_column(factor: &mut TableFactor) {
    let TableFactor::Table { name, alias, args: Some(_), .. } = factor else { return };
    let Some(function) = last_part(name).cloned() else { return };
    if folded(&function) != "generate_series" {
        return;
    }
    let alias =
        alias.get_or_insert_with(|| TableAlias { explicit: true, name: function, columns: Vec::new(), at: None });
    if alias.columns.is_empty() {
        alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
}

/// Functions that PostgreSQL does not have and that the planner plans twice for each level of nesting.
const FOREIGN: [&str; 2] = ["map", "make_map"];

/// Functions of `pg_catalog` are called by their bare name, and aliases by the name they stand for: the planner
/// would write out all arguments for each alias. Some functions have argument forms that DataFusion's do not.
fn function_call(function: &mut Function, functions: &Functions) -> Result<Option<Expr>> {
    if let [schema, name] = function.name.0.as_slice()
        && let (Some(schema), Some(_)) = (schema.as_ident(), name.as_ident())
        && matches!(folded(schema).as_str(), "pg_catalog" | "public")
    {
        function.name.0.remove(0);
    }
    let Some(name) = last_part(&function.name).map(folded) else { return Ok(None) };
    if FOREIGN.contains(&name.as_str()) {
        return Err(Error::UndefinedFunction { signature: format!("{name}()"), position: None, hint: None });
    }
    if let [ObjectNamePart::Identifier(ident)] = function.name.0.as_mut_slice()
        && let Some(own) = functions.own_name(&name)
        && own != name
    {
        *ident = Ident { value: own.to_owned(), quote_style: Some('"'), span: ident.span };
    }
    let FunctionArguments::List(arguments) = &mut function.args else { return Ok(None) };
    name_to_position(&name, arguments)?;
    if let Some(asked) = Asked::ALL.into_iter().find(|asked| asked.name() == name) {
        counter_call(asked, function)?;
        return Ok(None);
    }
    match name.as_str() {
        "date_trunc" => Ok(date_trunc_in_zone(arguments)),
        "mod" => Ok(remainder(arguments)),
        "mtta" | "mttr" if arguments.args.len() == 3 => in_business_time(arguments),
        "mtta_p" | "mttr_p" if arguments.args.len() == 4 => in_business_time(arguments),
        _ => Ok(None),
    }
}

/// `mod(a, b)` as `(a) % (b)`.
fn remainder(arguments: &FunctionArgumentList) -> Option<Expr> {
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(a)), FunctionArg::Unnamed(FunctionArgExpr::Expr(b))] =
        arguments.args.as_slice()
    else {
        return None;
    };
    let nested = |expr: &Expr| Box::new(Expr::Nested(Box::new(expr.clone())));
    let remainder = Expr::BinaryOp { left: nested(a), op: BinaryOperator::Modulo, right: nested(b) };
    Some(Expr::Nested(Box::new(remainder)))
}

/// True for a call of a function that asks of what is defined and gives one number.
fn asks_for_a_number(function: &Function) -> bool {
    let name = last_part(&function.name).map(folded);
    function.name.0.len() == 1 && function.over.is_none() && name.is_some_and(|name| SCALARS.contains(&name.as_str()))
}

/// `sli(...)` as `(SELECT sli FROM sli(...))`.
fn answer_of(function: &mut Function) -> Result<Box<Query>> {
    let FunctionArguments::List(arguments) = &mut function.args else {
        let signature = format!("{}()", function.name);
        return Err(Error::UndefinedFunction { signature, position: None, hint: None });
    };
    let mut query = written_query("SELECT x FROM f()")?;
    let column = function.name.0.last().and_then(ObjectNamePart::as_ident).cloned();
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(table) = select.from.first_mut()
        && let TableFactor::Table { name, args: Some(given), .. } = &mut table.relation
    {
        *name = function.name.clone();
        select.projection = column.map(Expr::Identifier).map(SelectItem::UnnamedExpr).into_iter().collect();
        given.args = std::mem::take(&mut arguments.args);
        tell_calls_apart(&mut table.relation)?;
    }
    Ok(query)
}

/// `increase(v ORDER BY time)` is `increase(v, time)`. With OVER it is the function of windows, whose rows come in the order of
/// time if nothing else is said.
fn counter_call(asked: Asked, function: &mut Function) -> Result<()> {
    let FunctionArguments::List(arguments) = &mut function.args else { return Ok(()) };
    if let [FunctionArgumentClause::OrderBy(keys)] = arguments.clauses.as_slice() {
        let ([key], 1) = (keys.as_slice(), arguments.args.len()) else { return Err(no_order(asked)) };
        if key.options.asc == Some(false) || key.with_fill.is_some() {
            return Err(no_order(asked));
        }
        arguments.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(key.expr.clone())));
        arguments.clauses.clear();
    }
    let Some(over) = &mut function.over else { return Ok(()) };
    if let ([ObjectNamePart::Identifier(ident)], [_, FunctionArg::Unnamed(FunctionArgExpr::Expr(time))]) =
        (function.name.0.as_mut_slice(), arguments.args.as_slice())
    {
        *ident = Ident { value: step_name(asked).to_owned(), quote_style: Some('"'), span: ident.span };
        if let WindowType::WindowSpec(WindowSpec { window_name: None, order_by, .. }) = over
            && order_by.is_empty()
        {
            let options = OrderByOptions { asc: None, nulls_first: None };
            order_by.push(OrderByExpr { expr: time.clone(), options, with_fill: None });
        }
    }
    Ok(())
}

fn no_order(asked: Asked) -> Error {
    let name = asked.name();
    let what = format!("this order of the rows of {name}() is not supported");
    Error::Unsupported { what, position: None, hint: Some(format!("Use {name}(value ORDER BY time).")) }
}

/// Functions that give a bigint in PostgreSQL and an unsigned integer in DataFusion.
fn counts_unsigned(function: &Function) -> bool {
    let name = last_part(&function.name).map(folded).unwrap_or_default();
    matches!(name.as_str(), "row_number" | "rank" | "dense_rank" | "ntile" | "approx_distinct" | "regr_count")
}

fn bigint(expr: Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: DataType::BigInt(None),
        array: false,
        format: None,
    }
}

/// Brings `time_bucket(w, t, origin => o)` to the form in which all arguments are given in order.
fn name_to_position(function: &str, arguments: &mut FunctionArgumentList) -> Result<()> {
    let by_name = |arg: &FunctionArg| matches!(arg, FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. });
    let Some(names) = argument_names(function).filter(|_| arguments.args.iter().any(by_name)) else { return Ok(()) };
    let null = || FunctionArgExpr::Expr(Expr::Value(Value::Null.with_empty_span()));
    let mut places: Vec<Option<FunctionArgExpr>> = vec![None; names.len()];
    for (at, argument) in arguments.args.drain(..).enumerate() {
        let (name, arg) = match argument {
            FunctionArg::Unnamed(arg) => (names.get(at).map(|n| n[0].to_owned()), arg),
            FunctionArg::Named { name, arg, .. } => (Some(folded(&name)), arg),
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, .. } => (Some(folded(&name)), arg),
            FunctionArg::ExprNamed { arg, .. } => (None, arg),
        };
        let place = name.as_ref().and_then(|name| names.iter().position(|n| n.contains(&name.as_str())));
        match place.map(|place| &mut places[place]) {
            Some(empty @ None) => *empty = Some(arg),
            _ => return Err(no_such_argument(function, &name.unwrap_or_default(), names)),
        }
    }
    arguments.args = places.into_iter().map(|arg| FunctionArg::Unnamed(arg.unwrap_or_else(null))).collect();
    Ok(())
}

fn no_such_argument(function: &str, name: &str, names: &[&[&str]]) -> Error {
    let first: Vec<_> = names.iter().map(|names| names[0]).collect();
    let takes = format!("{function}() takes {}.", first.join(", "));
    let hint = match most_similar(name, names.iter().flat_map(|names| names.iter().copied())) {
        Some(similar) => format!("Did you mean {similar}? {takes}"),
        None => takes,
    };
    Error::UndefinedFunction { signature: format!("{function}({name} => unknown)"), position: None, hint: Some(hint) }
}

/// `mttr(start, end, calendar)` is that of ends as if all time were working hours: `mttr(start, start + business_time(...))`.
fn in_business_time(arguments: &mut FunctionArgumentList) -> Result<Option<Expr>> {
    let expr = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    if let [.., start, end, calendar] = arguments.args.as_slice()
        && let (Some(start), Some(end), Some(calendar)) = (expr(start), expr(end), expr(calendar))
    {
        let spent = call(BUSINESS_TIME, vec![start.clone(), end, calendar]);
        let end = Expr::BinaryOp { left: Box::new(start), op: BinaryOperator::Plus, right: Box::new(spent) };
        arguments.args.pop();
        if let Some(last) = arguments.args.last_mut() {
            *last = FunctionArg::Unnamed(FunctionArgExpr::Expr(end));
        }
    }
    Ok(None)
}

/// `date_trunc(field, time, zone)` cuts what the zone's clocks show.
fn date_trunc_in_zone(arguments: &FunctionArgumentList) -> Option<Expr> {
    let expression = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    let [field, time, zone] = arguments.args.as_slice() else { return None };
    let (field, time, zone) = (expression(field)?, expression(time)?, expression(zone)?);
    let Some(name) = literal_text(&zone).filter(|name| !name.contains(['"', '\\'])) else {
        let wall = call("timezone", vec![zone.clone(), time]);
        return Some(call("timezone", vec![zone, call("date_trunc", vec![field, wall])]));
    };
    // The instants stay the same; only what clocks show is cut, so that an hour that comes twice stays two.
    let there = string(format!("Timestamp(ns, \"{name}\")"));
    let there = call("arrow_cast", vec![with_time_zone(time), there]);
    Some(with_time_zone(call("date_trunc", vec![field, there])))
}

fn with_time_zone(expr: Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
        array: false,
        format: None,
    }
}

fn is_regex(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::PGRegexMatch
            | BinaryOperator::PGRegexIMatch
            | BinaryOperator::PGRegexNotMatch
            | BinaryOperator::PGRegexNotIMatch
    )
}

/// A pattern in which a dot stands for any character, as in PostgreSQL also for a line's end.
fn any_character(pattern: &str) -> String {
    format!("{DOT_IS_ANY}{pattern}")
}

/// `x SIMILAR TO pattern` as a match of the whole text with a regular expression.
fn similar_to(of: &Expr, pattern: &Expr, negated: bool) -> Option<Expr> {
    let pattern = literal_text(pattern)?;
    let mut regex = format!("{DOT_IS_ANY}^(?:");
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '.' | '^' | '$' => regex.extend(['\\', character]),
            '\\' => regex.extend(['\\', characters.next().unwrap_or('\\')]),
            other => regex.push(other),
        }
    }
    regex.push_str(")$");
    let op = if negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
    Some(Expr::BinaryOp { left: Box::new(of.clone()), op, right: Box::new(string(regex)) })
}

/// Brings an interval literal to a form that means the same to DataFusion.
fn literal_interval(interval: &mut Interval) -> Result<()> {
    let plain = interval.leading_precision.is_none()
        && interval.last_field.is_none()
        && interval.fractional_seconds_precision.is_none();
    let Some(text) = literal_text(&interval.value).filter(|_| plain) else { return Ok(()) };
    let parsed = match &interval.leading_field {
        Some(field) => parse_interval(&format!("{text} {field}"))?,
        None => parse_interval(text)?,
    };
    let value = format!("{} months {} days {} nanoseconds", parsed.months, parsed.days, parsed.nanoseconds);
    *interval.value = string(value);
    interval.leading_field = None;
    Ok(())
}

/// `'1h'::interval` is the literal `INTERVAL '1h'`.
fn cast_to_interval(expr: &Expr) -> Result<Option<Expr>> {
    let Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type: DataType::Interval { .. }, .. } =
        expr
    else {
        return Ok(None);
    };
    if literal_text(expr).is_none() {
        return Ok(None);
    }
    let mut interval = Interval {
        value: expr.clone(),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    };
    literal_interval(&mut interval)?;
    Ok(Some(Expr::Interval(interval)))
}

fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text),
        _ => None,
    }
}

fn string(text: String) -> Expr {
    Expr::Value(Value::SingleQuotedString(text).with_empty_span())
}

fn number(n: usize) -> Expr {
    Expr::Value(Value::Number(n.to_string(), false).with_empty_span())
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    let name = Ident { value: name.to_owned(), quote_style: None, span: Span::empty() };
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None::<DuplicateTreatment>,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
