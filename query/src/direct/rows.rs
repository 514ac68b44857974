//! Rows as they are stored: columns of a range, the latest row of each combination of tags, the combinations themselves.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::sql::sqlparser::ast::{Expr, OrderByOptions, SelectItem, WildcardAdditionalOptions};
use plimsoll_engine::ColumnKind;
use super::agreed::ScanOrder;

use super::names::{OrderKey, order_key};
use super::output::{Key, Output, sort_options};
use super::scope::Scope;
use super::shape::Shape;
use crate::lower::item_name;

/// Columns to read, each once, and how the result is made of them.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    pub(super) output: Output,
}

/// Reads a SELECT of columns, with the order in which the engine is to give the rows.
pub(super) fn scan(shape: &Shape<'_>, scope: &Scope<'_>) -> Option<(Columns, ScanOrder)> {
    let reader = Reader::of(shape, scope)?;
    let order = match shape.order_by {
        [] => ScanOrder::Unordered,
        [key] => {
            let at = reader.order_column(&key.expr, shape, scope)?;
            match (scope.table.columns[at].kind, key.options.asc) {
                (ColumnKind::Time, Some(false)) => ScanOrder::TimeDescending,
                (ColumnKind::Time, _) => ScanOrder::Time,
                _ => return None,
            }
        }
        _ => return None,
    };
    Some((reader.finish(Vec::new()), order))
}

/// Reads `SELECT DISTINCT` of tags, or tags grouped without aggregates.
pub(super) fn values(shape: &Shape<'_>, scope: &Scope<'_>) -> Option<Columns> {
    let mut reader = Reader::of(shape, scope)?;
    let tags_only = reader.positions.iter().all(|at| scope.table.columns[*at].kind == ColumnKind::Tag);
    let keys = tags_only.then(|| reader.tag_keys(shape, scope))??;
    Some(reader.finish(keys))
}

/// Reads `SELECT DISTINCT ON (tags) ... ORDER BY tags, time DESC`. Gives also the tags.
pub(super) fn latest(shape: &Shape<'_>, on: &[Expr], scope: &Scope<'_>) -> Option<(Columns, Vec<String>)> {
    let mut reader = Reader::of(shape, scope)?;
    let by = on.iter().map(|expr| tag(expr, scope)).collect::<Option<Vec<_>>>()?;
    let (time, tags) = shape.order_by.split_last()?;
    let newest_first = time.options.asc == Some(false);
    let last = reader.order_column(&time.expr, shape, scope)?;
    if !newest_first || scope.table.columns[last].kind != ColumnKind::Time {
        return None;
    }
    let mut keys = Vec::new();
    let mut sorted = Vec::new();
    for key in tags {
        let at = reader.order_column(&key.expr, shape, scope)?;
        sorted.push(at);
        keys.push(reader.key(at, &key.options));
    }
    let same = by.iter().all(|at| sorted.contains(at)) && sorted.iter().all(|at| by.contains(at));
    let name = |at: &usize| scope.table.columns[*at].name.clone();
    let distinct = (1..by.len()).all(|nth| !by[..nth].contains(&by[nth]));
    (same && distinct && !by.is_empty()).then(|| (reader.finish(keys), by.iter().map(name).collect()))
}

struct Reader<'a> {
    scope: &'a Scope<'a>,
    /// For each item of the result its column in the table.
    positions: Vec<usize>,
    fields: Vec<Field>,
    /// The columns to read.
    wanted: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn of(shape: &Shape<'_>, scope: &'a Scope<'a>) -> Option<Reader<'a>> {
        let mut reader = Reader { scope, positions: Vec::new(), fields: Vec::new(), wanted: Vec::new() };
        for item in shape.items {
            match item {
                SelectItem::Wildcard(options) if *options == WildcardAdditionalOptions::default() => {
                    for (at, column) in scope.table.columns.iter().enumerate() {
                        reader.add(at, &column.name);
                    }
                }
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    reader.add(scope.column(expr)?.0, &item_name(item)?);
                }
                _ => return None,
            }
        }
        (!reader.positions.is_empty()).then_some(reader)
    }

    fn add(&mut self, at: usize, name: &str) {
        let kind = self.scope.table.columns[at].kind;
        let data_type = if kind == ColumnKind::Time { self.scope.time_type() } else { kind.arrow() };
        self.fields.push(Field::new(name, data_type, kind != ColumnKind::Time));
        self.positions.push(at);
        self.place(at);
    }

    /// Where a column of the table is among those that are read.
    fn place(&mut self, at: usize) -> usize {
        self.wanted.iter().position(|wanted| *wanted == at).unwrap_or_else(|| {
            self.wanted.push(at);
            self.wanted.len() - 1
        })
    }

    fn key(&mut self, at: usize, options: &OrderByOptions) -> Key {
        let name = self.scope.table.columns[at].name.clone();
        Key { at: self.place(at), options: sort_options(options), name }
    }

    /// The column of the table that a key of ORDER BY means. Numbers count items, so wildcards leave them to the long way.
    fn order_column(&self, key: &Expr, shape: &Shape<'_>, scope: &Scope<'_>) -> Option<usize> {
        match order_key(key, shape.items, scope)? {
            OrderKey::Item(at) if self.positions.len() == shape.items.len() => Some(self.positions[at]),
            OrderKey::Item(_) => None,
            OrderKey::Expression(expr) => scope.column(expr).map(|(at, _)| at),
        }
    }

    /// ORDER BY of tags that are part of the result.
    fn tag_keys(&mut self, shape: &Shape<'_>, scope: &Scope<'_>) -> Option<Vec<Key>> {
        let mut keys = Vec::new();
        for key in shape.order_by {
            let at = self.order_column(&key.expr, shape, scope)?;
            self.wanted.contains(&at).then_some(())?;
            keys.push(self.key(at, &key.options));
        }
        Some(keys)
    }

    fn finish(self, keys: Vec<Key>) -> Columns {
        let place = |at: &usize| self.wanted.iter().position(|wanted| wanted == at).expect("every item is read");
        let columns = self.positions.iter().map(place).collect();
        let names = self.wanted.iter().map(|at| self.scope.table.columns[*at].name.clone()).collect();
        let schema = Arc::new(Schema::new(self.fields));
        Columns { names, output: Output { columns, keys, schema } }
    }
}

fn tag(expr: &Expr, scope: &Scope<'_>) -> Option<usize> {
    let (at, column) = scope.column(expr)?;
    (column.kind == ColumnKind::Tag).then_some(at)
}
