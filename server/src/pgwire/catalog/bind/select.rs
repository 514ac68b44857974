//! One SELECT: FROM and WHERE, the SELECT list, GROUP BY and HAVING, DISTINCT, its sort keys.

use super::{
    super::{
        error::{CatalogError, Result},
        plan::{Body, Column, Expr, Group, Kind, Node, Order, Select},
        types::oid,
    },
    Binder, folded,
    name::output_name,
    parts,
    place::settle,
    query::{Level, checked_position, named_output, position, sorted_by},
    scope::{Clause, Scope, ScopeColumn},
};
use datafusion::sql::sqlparser::ast::{
    self, Distinct, Expr as Ast, GroupByExpr, OrderByExpr, SelectItem, SelectItemQualifiedWildcardKind, Spanned,
};

impl Binder<'_> {
    pub(super) fn select(&mut self, select: &ast::Select, order: &[OrderByExpr]) -> Result<Level> {
        self.scopes.push(Scope::default());
        let level = self.select_here(select, order);
        let escapes = self.scopes.pop().is_some_and(|scope| scope.escapes);
        Ok(Level { escapes, ..level? })
    }

    fn select_here(&mut self, select: &ast::Select, order: &[OrderByExpr]) -> Result<Level> {
        if select.into.is_some() || select.qualify.is_some() || !select.named_window.is_empty() {
            return Err(CatalogError::unsupported("this SELECT clause"));
        }
        let from = self.from(&select.from)?;
        let (from, conditions) = self.selection(select.selection.as_ref(), from)?;
        self.scope().clause = Clause::Output;
        let (mut outputs, columns) = self.projection(&select.projection)?;
        let keys = self.group_keys(&select.group_by, &outputs, &columns)?;
        let having = select.having.as_ref().map(|having| self.condition(having, "HAVING")).transpose()?;
        let visible = outputs.len();
        let order = self.order(order, &mut outputs, &columns)?;
        let (distinct, distinct_on) = match &select.distinct {
            None | Some(Distinct::All) => (false, Vec::new()),
            Some(Distinct::Distinct) => (true, Vec::new()),
            Some(Distinct::On(keys)) => {
                let keys =
                    keys.iter().map(|key| self.output_position(key, &mut outputs, &columns)).collect::<Result<_>>()?;
                (false, keys)
            }
        };
        let scope = std::mem::take(self.scope());
        let group = if keys.is_empty() && scope.aggregates.is_empty() && having.is_none() {
            None
        } else {
            outputs.iter().chain(&having).try_for_each(|expr| grouped(expr, &keys, &scope))?;
            Some(Group { keys, aggregates: scope.aggregates, having })
        };
        let body = Body::Select(Box::new(Select {
            from,
            width: scope.width,
            conditions,
            group,
            windows: scope.windows,
            sets: scope.sets,
            slots: scope.slots,
            outputs,
            visible,
            distinct,
        }));
        self.scope().escapes = scope.escapes;
        Ok(Level { body, columns, order, distinct_on, escapes: false })
    }

    /// WHERE goes into FROM as deep as it can; what looks at no item is given back.
    fn selection(&mut self, selection: Option<&Ast>, from: Node) -> Result<(Node, Vec<Expr>)> {
        self.scope().clause = Clause::Where;
        let condition = selection.map(|selection| self.condition(selection, "WHERE")).transpose()?;
        Ok(settle(from, condition.map(conjuncts).unwrap_or_default(), &self.scope().leaves))
    }

    fn projection(&mut self, items: &[SelectItem]) -> Result<(Vec<Expr>, Vec<Column>)> {
        let (mut outputs, mut columns) = (Vec::new(), Vec::new());
        for item in items {
            let (expr, name) = match item {
                SelectItem::UnnamedExpr(ast) => (self.expr(ast)?, output_name(ast)),
                SelectItem::ExprWithAlias { expr, alias } => (self.expr(expr)?, folded(alias)),
                SelectItem::Wildcard(_) => {
                    let all: Vec<ScopeColumn> =
                        self.scope().columns.iter().filter(|c| !c.merged && !c.hidden).cloned().collect();
                    if all.is_empty() {
                        return Err(CatalogError::new("42601", "SELECT * with no tables specified is not valid"));
                    }
                    expand(all, &mut outputs, &mut columns);
                    continue;
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), _) => {
                    let path = parts(table);
                    let of_table = self.scope().of_table(&path);
                    if of_table.is_empty() {
                        let message = format!("missing FROM-clause entry for table \"{}\"", path.join("."));
                        return Err(CatalogError::new("42P01", message).at(table.span()));
                    }
                    expand(of_table, &mut outputs, &mut columns);
                    continue;
                }
                _ => return Err(CatalogError::unsupported("this SELECT item")),
            };
            columns.push(Column { name, type_oid: expr.type_oid, fields: self.fields_of(&expr) });
            outputs.push(expr);
        }
        Ok((outputs, columns))
    }

    /// GROUP BY: positions, input columns before output names, expressions.
    fn group_keys(&mut self, group_by: &GroupByExpr, outputs: &[Expr], columns: &[Column]) -> Result<Vec<Expr>> {
        let GroupByExpr::Expressions(keys, modifiers) = group_by else {
            return Err(CatalogError::unsupported("GROUP BY ALL"));
        };
        if !modifiers.is_empty() {
            return Err(CatalogError::unsupported("this GROUP BY"));
        }
        self.scope().clause = Clause::GroupBy;
        let mut bound = Vec::with_capacity(keys.len());
        for key in keys {
            bound.push(match position(key) {
                Some(number) => outputs[checked_position(number, outputs.len(), "GROUP BY")?].clone(),
                None => match self.expr(key) {
                    Ok(expr) => expr,
                    Err(error) => match named_output(key, columns) {
                        Some(index) => outputs[index].clone(),
                        None => return Err(error),
                    },
                },
            });
        }
        self.scope().clause = Clause::Output;
        Ok(bound)
    }

    fn order(&mut self, keys: &[OrderByExpr], outputs: &mut Vec<Expr>, columns: &[Column]) -> Result<Vec<Order>> {
        keys.iter().map(|key| Ok(sorted_by(self.output_position(&key.expr, outputs, columns)?, key))).collect()
    }

    /// Where a sort key stands among the outputs: by position, by name, or as an output added for it.
    fn output_position(&mut self, key: &Ast, outputs: &mut Vec<Expr>, columns: &[Column]) -> Result<usize> {
        if let Some(number) = position(key) {
            return checked_position(number, columns.len(), "ORDER BY");
        }
        if let Some(index) = named_output(key, columns) {
            return Ok(index);
        }
        let expr = self.expr(key)?;
        let expr = if expr.type_oid == oid::UNKNOWN { self.coerce(expr, oid::TEXT)? } else { expr };
        outputs.push(expr);
        Ok(outputs.len() - 1)
    }
}

fn expand(from: Vec<ScopeColumn>, outputs: &mut Vec<Expr>, columns: &mut Vec<Column>) {
    for column in from {
        outputs.push(column.reference(0));
        columns.push(Column { name: column.name, type_oid: column.type_oid, fields: column.fields });
    }
}

/// `a AND b AND c` as a list.
pub(super) fn conjuncts(condition: Expr) -> Vec<Expr> {
    match condition.kind {
        Kind::And(list) => list.into_iter().flat_map(conjuncts).collect(),
        _ => vec![condition],
    }
}

/// Refuses a column that is neither grouped nor aggregated.
fn grouped(expr: &Expr, keys: &[Expr], scope: &Scope) -> Result<()> {
    // Equal plans print equally, and plans print all they are.
    let printed = format!("{:?}", expr.kind);
    if keys.iter().any(|key| format!("{:?}", key.kind) == printed) {
        return Ok(());
    }
    if let Kind::Column { depth: 0, index } = expr.kind {
        let Some(column) = scope.columns.iter().find(|c| c.index == index) else { return Ok(()) };
        // A catalogue's other columns depend on its oid, so grouping by oid frees them.
        let by_oid = scope.columns.iter().any(|c| {
            let is_key = |key: &Expr| matches!(key.kind, Kind::Column { depth: 0, index } if index == c.index);
            c.table == column.table && c.name == "oid" && keys.iter().any(is_key)
        });
        if by_oid {
            return Ok(());
        }
        let message = format!(
            "column \"{}.{}\" must appear in the GROUP BY clause or be used in an aggregate function",
            column.table, column.name
        );
        return Err(CatalogError::new("42803", message));
    }
    let mut result = Ok(());
    expr.children(&mut |child| {
        if result.is_ok() {
            result = grouped(child, keys, scope);
        }
    });
    result
}
