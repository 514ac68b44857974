//! Query expressions: WITH, VALUES, UNION and their kin, ORDER BY, LIMIT.

use super::{
    super::{
        error::{CatalogError, Result},
        plan::{Body, Column, Cte, Expr, Item, Kind, Leaf, Node, Order, Query, Select, SetOperation, SubQuery},
        types::{self, oid},
    },
    Binder, BoundQuery, VisibleCte,
    coerce::mismatch,
    folded, relation_of,
    scope::Scope,
};
use datafusion::sql::sqlparser::ast::{
    self, Expr as Ast, LimitClause, OrderByExpr, OrderByKind, SetExpr, SetOperator, SetQuantifier, Spanned, Value,
};
use std::{cell::OnceCell, rc::Rc};

/// A bound body, before LIMIT and the CTEs are put around it.
pub(super) struct Level {
    pub body: Body,
    pub columns: Vec<Column>,
    pub order: Vec<Order>,
    pub distinct_on: Vec<usize>,
    pub escapes: bool,
}

impl Binder<'_> {
    pub(super) fn query(&mut self, ast: &ast::Query) -> Result<BoundQuery> {
        self.deeper(|binder| {
            let visible = binder.ctes.len();
            let bound = binder.query_here(ast);
            binder.ctes.truncate(visible);
            bound
        })
    }

    fn query_here(&mut self, ast: &ast::Query) -> Result<BoundQuery> {
        let (mut ctes, mut escapes) = (Vec::new(), false);
        for cte in ast.with.iter().flat_map(|with| &with.cte_tables) {
            let recursive = ast.with.as_ref().is_some_and(|with| with.recursive);
            let (cte, cte_escapes) = self.cte(cte, recursive)?;
            ctes.push(cte);
            escapes |= cte_escapes;
        }
        let level = self.level(&ast.body, order_keys(ast)?)?;
        let (limit, offset) = self.limits(ast)?;
        let query = Query {
            ctes,
            body: level.body,
            order: level.order,
            distinct_on: level.distinct_on,
            limit,
            offset,
            columns: level.columns,
        };
        Ok(BoundQuery { query, escapes: escapes || level.escapes })
    }

    fn cte(&mut self, ast: &ast::Cte, recursive: bool) -> Result<(Cte, bool)> {
        let name = folded(&ast.alias.name);
        let aliases: Vec<String> = ast.alias.columns.iter().map(|column| folded(&column.name)).collect();
        let id = self.next_cte;
        self.next_cte += 1;
        if recursive
            && let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right } =
                ast.query.body.as_ref()
        {
            let all = *set_quantifier == SetQuantifier::All;
            return self.recursive_cte(id, name, &aliases, left, right, all);
        }
        let mut bound = self.query(&ast.query)?;
        self.settle_unknown_columns(&mut bound.query)?;
        rename(&mut bound.query.columns, &aliases);
        self.ctes.push(VisibleCte { name, id, columns: bound.query.columns.clone(), working_since: None });
        Ok((Cte { id, query: Rc::new(bound.query), recursive: None }, bound.escapes))
    }

    /// The first branch gives the columns; the second sees them under the expression's own name.
    fn recursive_cte(
        &mut self,
        id: usize,
        name: String,
        aliases: &[String],
        first: &SetExpr,
        second: &SetExpr,
        all: bool,
    ) -> Result<(Cte, bool)> {
        let first = self.level(first, &[])?;
        let mut escapes = first.escapes;
        let mut first = closed(first);
        self.settle_unknown_columns(&mut first)?;
        rename(&mut first.columns, aliases);
        let working_since = Some(self.scopes.len());
        self.ctes.push(VisibleCte { name, id, columns: first.columns.clone(), working_since });
        let second = self.level(second, &[])?;
        escapes |= second.escapes;
        let mut second = closed(second);
        if second.columns.len() != first.columns.len() {
            return Err(unequal_columns("UNION"));
        }
        for index in 0..first.columns.len() {
            let target = first.columns[index].type_oid;
            if second.columns[index].type_oid != target {
                self.coerce_column(&mut second, index, target)?;
            }
        }
        if let Some(visible) = self.ctes.last_mut() {
            visible.working_since = None;
        }
        Ok((Cte { id, query: Rc::new(first), recursive: Some((Rc::new(second), all)) }, escapes))
    }

    fn level(&mut self, body: &SetExpr, order: &[OrderByExpr]) -> Result<Level> {
        self.deeper(|binder| match body {
            SetExpr::Select(select) => binder.select(select, order),
            SetExpr::Values(values) => binder.values(values, order),
            SetExpr::Query(query) => binder.parenthesised(query, order),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                binder.set_operation(*op, *set_quantifier, left, right, order)
            }
            SetExpr::Table(table) => binder.table_statement(table, order),
            _ => Err(CatalogError::unsupported("a statement that writes")),
        })
    }

    /// The wrapper around the parentheses is a level of its own, with nothing in reach.
    fn parenthesised(&mut self, query: &ast::Query, order: &[OrderByExpr]) -> Result<Level> {
        self.scopes.push(Scope::default());
        let inner = self.query(query);
        let escapes = self.scopes.pop().is_some_and(|scope| scope.escapes);
        let inner = inner?;
        let columns = inner.query.columns.clone();
        let order = order_by_output(order, &columns)?;
        let query = SubQuery { query: Rc::new(inner.query), correlated: inner.escapes, once: OnceCell::new() };
        Ok(Level { body: whole(Item::Query(query), &columns), columns, order, distinct_on: Vec::new(), escapes })
    }

    fn table_statement(&mut self, table: &ast::Table, order: &[OrderByExpr]) -> Result<Level> {
        let idents = [&table.schema_name, &table.table_name].into_iter().flatten().map(|n| ast::Ident::new(n.clone()));
        let relation = relation_of(&ast::ObjectName::from(idents.collect::<Vec<_>>()))?;
        let columns: Vec<Column> =
            relation.visible().map(|c| Column { name: c.name.to_owned(), type_oid: c.type_oid, fields: &[] }).collect();
        let order = order_by_output(order, &columns)?;
        let body = whole(Item::Relation(relation), &columns);
        Ok(Level { body, columns, order, distinct_on: Vec::new(), escapes: false })
    }

    fn set_operation(
        &mut self,
        op: SetOperator,
        quantifier: SetQuantifier,
        left: &SetExpr,
        right: &SetExpr,
        order: &[OrderByExpr],
    ) -> Result<Level> {
        let operation = match op {
            SetOperator::Union => SetOperation::Union,
            SetOperator::Intersect => SetOperation::Intersect,
            SetOperator::Except | SetOperator::Minus => SetOperation::Except,
        };
        let (left, right) = (self.level(left, &[])?, self.level(right, &[])?);
        let escapes = left.escapes || right.escapes;
        let (mut left, mut right) = (closed(left), closed(right));
        let name = op.to_string();
        if left.columns.len() != right.columns.len() {
            return Err(unequal_columns(&name));
        }
        for index in 0..left.columns.len() {
            let pair = [left.columns[index].type_oid, right.columns[index].type_oid];
            // Two unknowns stay so: a branch further out may still know.
            let common = match pair {
                [oid::UNKNOWN, oid::UNKNOWN] => oid::UNKNOWN,
                _ => types::common(pair).ok_or_else(|| mismatch(&name, pair.into_iter()))?,
            };
            self.coerce_column(&mut left, index, common)?;
            self.coerce_column(&mut right, index, common)?;
        }
        let columns = left.columns.clone();
        let order = order_by_output(order, &columns)?;
        let all = quantifier == SetQuantifier::All;
        let body = Body::Set { operation, all, left: Box::new(left), right: Box::new(right) };
        Ok(Level { body, columns, order, distinct_on: Vec::new(), escapes })
    }

    fn values(&mut self, values: &ast::Values, order: &[OrderByExpr]) -> Result<Level> {
        self.scopes.push(Scope::default());
        let rows =
            values.rows.iter().map(|row| row.content.iter().map(|e| self.expr(e)).collect()).collect::<Result<_>>();
        let escapes = self.scopes.pop().is_some_and(|scope| scope.escapes);
        let mut rows: Vec<Vec<Expr>> = rows?;
        let width = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != width) {
            return Err(CatalogError::new("42601", "VALUES lists must all be the same length"));
        }
        let mut columns = Vec::with_capacity(width);
        for index in 0..width {
            let known = rows.iter().any(|row| row[index].type_oid != oid::UNKNOWN);
            let of_column = || rows.iter().map(|row| row[index].type_oid);
            let type_oid = match known {
                true => types::common(of_column()).ok_or_else(|| mismatch("VALUES", of_column()))?,
                false => oid::UNKNOWN,
            };
            for row in &mut rows {
                row[index] = self.coerce(row[index].clone(), type_oid)?;
            }
            columns.push(Column { name: format!("column{}", index + 1), type_oid, fields: &[] });
        }
        let order = order_by_output(order, &columns)?;
        Ok(Level { body: Body::Values(rows), columns, order, distinct_on: Vec::new(), escapes })
    }

    fn limits(&mut self, ast: &ast::Query) -> Result<(Option<Expr>, Option<Expr>)> {
        let (limit, offset) = match &ast.limit_clause {
            None => (ast.fetch.as_ref().and_then(|fetch| fetch.quantity.as_ref()), None),
            Some(LimitClause::LimitOffset { limit, offset, .. }) => (limit.as_ref(), offset.as_ref().map(|o| &o.value)),
            Some(LimitClause::OffsetCommaLimit { .. }) => return Err(CatalogError::unsupported("LIMIT a, b")),
        };
        self.scopes.push(Scope::default());
        let mut count = |ast: Option<&Ast>| {
            let bound = ast.map(|ast| self.expr(ast)).transpose()?;
            bound.map(|expr| self.coerce(expr, oid::INT8)).transpose()
        };
        let limits = count(limit).and_then(|limit| Ok((limit, count(offset)?)));
        self.scopes.pop();
        limits
    }
}

fn order_keys(ast: &ast::Query) -> Result<&[OrderByExpr]> {
    match ast.order_by.as_ref().map(|order| &order.kind) {
        None => Ok(&[]),
        Some(OrderByKind::Expressions(keys)) => Ok(keys),
        Some(OrderByKind::All(_)) => Err(CatalogError::unsupported("ORDER BY ALL")),
    }
}

/// Sort keys over a result whose inputs are out of sight: names and positions only.
fn order_by_output(keys: &[OrderByExpr], columns: &[Column]) -> Result<Vec<Order>> {
    keys.iter()
        .map(|key| {
            let output = match position(&key.expr) {
                Some(number) => checked_position(number, columns.len(), "ORDER BY")?,
                None => named_output(&key.expr, columns).ok_or_else(|| {
                    CatalogError::new("0A000", "invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
                        .hint("Add the expression/function to every SELECT, or move the UNION into a FROM clause.")
                        .at(key.expr.span())
                })?,
            };
            Ok(sorted_by(output, key))
        })
        .collect()
}

pub(super) fn sorted_by(output: usize, key: &OrderByExpr) -> Order {
    let descending = key.options.asc == Some(false);
    Order { output, descending, nulls_first: key.options.nulls_first.unwrap_or(descending) }
}

pub(super) fn position(key: &Ast) -> Option<&str> {
    match key {
        Ast::Value(value) => match &value.value {
            Value::Number(digits, _) => Some(digits),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn checked_position(digits: &str, outputs: usize, clause: &str) -> Result<usize> {
    let number = digits.parse::<usize>().ok().filter(|n| (1..=outputs).contains(n));
    number
        .map(|n| n - 1)
        .ok_or_else(|| CatalogError::new("42P10", format!("{clause} position {digits} is not in select list")))
}

pub(super) fn named_output(key: &Ast, columns: &[Column]) -> Option<usize> {
    let Ast::Identifier(ident) = key else { return None };
    let name = folded(ident);
    columns.iter().position(|column| column.name == name)
}

fn rename(columns: &mut [Column], aliases: &[String]) {
    for (column, alias) in columns.iter_mut().zip(aliases) {
        column.name.clone_from(alias);
    }
}

fn closed(level: Level) -> Query {
    Query {
        ctes: Vec::new(),
        body: level.body,
        order: level.order,
        distinct_on: level.distinct_on,
        limit: None,
        offset: None,
        columns: level.columns,
    }
}

/// `SELECT * FROM item`.
fn whole(item: Item, columns: &[Column]) -> Body {
    let width = columns.len();
    let output =
        |(index, column): (usize, &Column)| Expr { kind: Kind::Column { depth: 0, index }, type_oid: column.type_oid };
    Body::Select(Box::new(Select {
        from: Node::Leaf(Leaf { item, offset: 0, width, lookup: None, filters: Vec::new() }),
        width,
        conditions: Vec::new(),
        group: None,
        windows: Vec::new(),
        sets: Vec::new(),
        slots: 0,
        outputs: columns.iter().enumerate().map(output).collect(),
        visible: width,
        distinct: false,
    }))
}

fn unequal_columns(operation: &str) -> CatalogError {
    CatalogError::new("42601", format!("each {operation} query must have the same number of columns"))
}
