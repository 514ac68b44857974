//! FROM: items, joins and their columns.

use super::{
    super::{
        error::{CatalogError, Result},
        plan::{Expr, Fields, Item, JoinKind, Leaf, Node},
        types::oid,
    },
    Binder,
    call::TableFunction,
    folded, parts, relation_of,
    scope::ScopeColumn,
    select::conjuncts,
};
use datafusion::sql::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, JoinConstraint, JoinOperator, ObjectName, Spanned, TableAlias, TableFactor,
    TableWithJoins,
};
use std::ops::Range;

/// A statement joins at most this many FROM items: a set of them is the bits of one word.
const LEAVES_MAX: usize = 64;

/// A column that an item brings: name, type, and fields when it is a record.
type ItemColumn = (String, u32, Fields);

impl Binder<'_> {
    pub(super) fn from(&mut self, tables: &[TableWithJoins]) -> Result<Node> {
        let mut node = Node::Nothing;
        for table in tables {
            let next = self.joined(table)?;
            node = match node {
                Node::Nothing => next,
                node => join(node, next),
            };
        }
        Ok(node)
    }

    fn joined(&mut self, table: &TableWithJoins) -> Result<Node> {
        let mut node = self.factor(&table.relation)?;
        for join in &table.joins {
            let left = self.scope().columns.len();
            let right = self.factor(&join.relation)?;
            node = self.join(node, right, left, &join.join_operator)?;
        }
        Ok(node)
    }

    /// `left_columns`: how many columns were in reach before the right side.
    fn join(&mut self, left: Node, right: Node, left_columns: usize, operator: &JoinOperator) -> Result<Node> {
        use JoinOperator as Op;
        let (kind, constraint, swap) = match operator {
            Op::Join(c) | Op::Inner(c) | Op::CrossJoin(c) => (JoinKind::Inner, c, false),
            Op::Left(c) | Op::LeftOuter(c) => (JoinKind::Outer, c, false),
            Op::Right(c) | Op::RightOuter(c) => (JoinKind::Outer, c, true),
            Op::FullOuter(c) => (JoinKind::Full, c, false),
            _ => return Err(CatalogError::unsupported("this kind of join")),
        };
        let on = match constraint {
            JoinConstraint::None => Vec::new(),
            JoinConstraint::On(condition) => conjuncts(self.condition(condition, "JOIN/ON")?),
            JoinConstraint::Using(names) => {
                let names: Vec<String> = names.iter().filter_map(|name| parts(name).pop()).collect();
                self.using(&names, left_columns, swap)?
            }
            JoinConstraint::Natural => {
                let columns = &self.scope().columns;
                let (left, right) = columns.split_at(left_columns);
                let shared = left.iter().filter(|l| !l.merged && !l.hidden && right.iter().any(|r| r.name == l.name));
                let names: Vec<String> = shared.map(|column| column.name.clone()).collect();
                self.using(&names, left_columns, swap)?
            }
        };
        let (left, right) = if swap { (right, left) } else { (left, right) };
        Ok(Node::Join { kind, left: Box::new(left), right: Box::new(right), on, after: Vec::new() })
    }

    /// Equalities of the named columns; the optional side's column gives way to the other's.
    fn using(&mut self, names: &[String], left_columns: usize, swap: bool) -> Result<Vec<Expr>> {
        let mut on = Vec::new();
        for name in names {
            let columns = &self.scope().columns;
            let find = |range: Range<usize>| {
                range
                    .clone()
                    .find(|i| columns[*i].name == *name && !columns[*i].merged)
                    .ok_or_else(|| CatalogError::undefined_column(&format!("\"{name}\" specified in USING clause")))
            };
            let (l, r) = (find(0..left_columns)?, find(left_columns..columns.len())?);
            let (left, right) = (columns[l].reference(0), columns[r].reference(0));
            self.scope().columns[if swap { l } else { r }].merged = true;
            on.push(self.operator("=", left, right)?);
        }
        Ok(on)
    }

    fn factor(&mut self, factor: &TableFactor) -> Result<Node> {
        self.deeper(|binder| binder.factor_here(factor))
    }

    fn factor_here(&mut self, factor: &TableFactor) -> Result<Node> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => self.table(name, alias.as_ref()),
            TableFactor::Table { name, alias, args: Some(arguments), with_ordinality, .. } => {
                self.function_item(name, &arguments.args, *with_ordinality, alias.as_ref())
            }
            TableFactor::Function { name, args, alias, with_ordinality, .. } => {
                self.function_item(name, args, *with_ordinality, alias.as_ref())
            }
            TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
                let arguments: Vec<FunctionArg> =
                    array_exprs.iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e.clone()))).collect();
                let name = ObjectName::from(vec![ast::Ident::new("unnest")]);
                self.function_item(&name, &arguments, *with_ordinality, alias.as_ref())
            }
            TableFactor::Derived { lateral, subquery, alias, .. } => self.derived(subquery, *lateral, alias.as_ref()),
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.joined(table_with_joins),
            other => Err(CatalogError::unsupported("this FROM item").at(other.span())),
        }
    }

    fn table(&mut self, name: &ObjectName, alias: Option<&TableAlias>) -> Result<Node> {
        let path = parts(name);
        if let [only] = path.as_slice()
            && let Some(cte) = self.ctes.iter().rev().find(|cte| cte.name == *only).cloned()
        {
            if let Some(since) = cte.working_since {
                // The rows change from round to round: nothing that reads them may be kept.
                self.scopes.iter_mut().skip(since).for_each(|scope| scope.escapes = true);
            }
            let columns = cte.columns.into_iter().map(|c| (c.name, c.type_oid, c.fields)).collect();
            return self.leaf(Item::Cte(cte.id), None, only, columns, alias);
        }
        let relation = relation_of(name)?;
        let columns = relation.columns.iter().map(|c| (c.name.to_owned(), c.type_oid, &[] as Fields)).collect();
        let node = self.leaf(Item::Relation(relation), Some(relation.schema), relation.name, columns, alias)?;
        let (scope, hidden) = (self.scope(), relation.columns.iter().rev().take_while(|c| c.hidden).count());
        scope.columns.iter_mut().rev().take(hidden).for_each(|column| column.hidden = true);
        Ok(node)
    }

    fn derived(&mut self, query: &ast::Query, lateral: bool, alias: Option<&TableAlias>) -> Result<Node> {
        self.scope().veiled = !lateral;
        let bound = self.subquery(query);
        self.scope().veiled = false;
        let query = bound?;
        let columns = query.query.columns.iter().map(|c| (c.name.clone(), c.type_oid, c.fields)).collect();
        self.leaf(Item::Query(query), None, "", columns, alias)
    }

    fn function_item(
        &mut self,
        name: &ObjectName,
        arguments: &[FunctionArg],
        ordinality: bool,
        alias: Option<&TableAlias>,
    ) -> Result<Node> {
        let function_name = parts(name).pop().unwrap_or_default();
        // A single column is named after the alias, else after the function.
        let single = alias.map_or_else(|| function_name.clone(), |alias| folded(&alias.name));
        let found = self.table_function(name, arguments).map_err(|e| e.at(name.span()))?;
        let (item, mut columns) = match found {
            TableFunction::Set { function, arguments, result } => {
                let columns = match function.columns {
                    [] => vec![(single, result, &[] as Fields)],
                    columns => columns.iter().map(|(name, t)| ((*name).to_owned(), *t, &[] as Fields)).collect(),
                };
                (Item::Function { function, arguments, ordinality }, columns)
            }
            TableFunction::Scalar(value) => {
                let columns = vec![(single, value.type_oid, self.fields_of(&value))];
                (Item::Scalar { value, ordinality }, columns)
            }
        };
        if ordinality {
            columns.push(("ordinality".to_owned(), oid::INT8, &[]));
        }
        self.leaf(item, None, &function_name, columns, alias)
    }

    /// Adds an item's columns to the flat row and to what is in reach.
    fn leaf(
        &mut self,
        item: Item,
        schema: Option<&'static str>,
        name: &str,
        columns: Vec<ItemColumn>,
        alias: Option<&TableAlias>,
    ) -> Result<Node> {
        let table = alias.map_or_else(|| name.to_owned(), |alias| folded(&alias.name));
        let schema = schema.filter(|_| alias.is_none());
        let aliases: Vec<String> = alias.iter().flat_map(|a| &a.columns).map(|column| folded(&column.name)).collect();
        if aliases.len() > columns.len() {
            let (have, want) = (columns.len(), aliases.len());
            let message = format!("table \"{table}\" has {have} columns available but {want} columns specified");
            return Err(CatalogError::new("42P10", message));
        }
        let scope = self.scope();
        if scope.leaves.len() >= LEAVES_MAX {
            return Err(CatalogError::too_much("the number of FROM items"));
        }
        if !table.is_empty() && scope.columns.iter().any(|c| c.table == table && c.schema == schema) {
            let message = format!("table name \"{table}\" specified more than once");
            return Err(CatalogError::new("42712", message));
        }
        let (offset, width) = (scope.width, columns.len());
        for (index, (name, type_oid, fields)) in columns.into_iter().enumerate() {
            let name = aliases.get(index).cloned().unwrap_or(name);
            let column = ScopeColumn {
                schema,
                table: table.clone(),
                name,
                type_oid,
                fields,
                index: offset + index,
                merged: false,
                hidden: false,
            };
            scope.columns.push(column);
        }
        scope.width += width;
        scope.leaves.push(offset..offset + width);
        Ok(Node::Leaf(Leaf { item, offset, width, lookup: None, filters: Vec::new() }))
    }
}

/// The comma of FROM.
pub(super) fn join(left: Node, right: Node) -> Node {
    let (left, right) = (Box::new(left), Box::new(right));
    Node::Join { kind: JoinKind::Inner, left, right, on: Vec::new(), after: Vec::new() }
}
