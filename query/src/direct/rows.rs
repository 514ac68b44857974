//! Rows as they are stored: some columns of a range, in the order of time or in none; the latest row of each combination of
//! tags; and the combinations of tags that have rows.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::sql::sqlparser::ast::{Expr, OrderByExpr, SelectItem, WildcardAdditionalOptions};
use plimsoll_engine::{ColumnKind, ScanOrder};

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

/// Reads a SELECT of columns whose order is that of time, or left open.
pub(super) fn scan(shape: &Shape<'_>, scope: &Scope<'_>) -> Option<(Columns, ScanOrder)> {
    let reader = Reader::of(shape, scope)?;
    let order = match shape.order_by {
        [] => ScanOrder::Unordered,
        // Without a limit a sort of everything is quicker than reading slice by slice.
        _ if shape.limit.is_none() => return None,
        // NULL is where it likes: no row is without a time.
        [key] if reader.is_time(reader.key(key, shape)?) => match sort_options(&key.options).descending {
            false => ScanOrder::Time,
            true => ScanOrder::TimeDescending,
        },
        _ => return None,
    };
    Some((reader.finish(Vec::new()), order))
}

/// Reads a `SELECT DISTINCT` of tags.
pub(super) fn tags(shape: &Shape<'_>, scope: &Scope<'_>) -> Option<Columns> {
    let reader = Reader::of(shape, scope)?;
    let is_tag = |at: &usize| scope.table.columns[*at].kind == ColumnKind::Tag;
    // What is not selected cannot be sorted by.
    let keys = keys(&reader, shape.order_by, shape)?;
    let is_selected = keys.iter().all(|(at, _)| reader.positions.contains(at));
    (shape.group_by.is_empty() && is_selected && reader.positions.iter().all(is_tag)).then(|| reader.finish(keys))
}

/// Reads a `SELECT DISTINCT ON (tags)` of the latest rows. Gives the tags as well.
pub(super) fn latest(shape: &Shape<'_>, on: &[Expr], scope: &Scope<'_>) -> Option<(Columns, Vec<String>)> {
    let mut reader = Reader::of(shape, scope)?;
    let mut keys = keys(&reader, shape.order_by, shape)?;
    let (time, options) = keys.pop()?;
    if !reader.is_time(time) || !options.descending || !shape.group_by.is_empty() {
        return None;
    }
    let mut on: Vec<usize> = on.iter().map(|expr| reader.position(expr, shape)).collect::<Option<_>>()?;
    let is_tag = |at: &usize| scope.table.columns[*at].kind == ColumnKind::Tag;
    let sorted: Vec<usize> = keys.iter().map(|(at, _)| *at).collect();
    let is_same = on.iter().all(|at| sorted.contains(at)) && sorted.iter().all(|at| on.contains(at));
    if !is_same || !on.iter().all(is_tag) {
        return None;
    }
    on.sort_unstable();
    on.dedup();
    for at in &on {
        reader.place(*at);
    }
    let names = on.iter().map(|at| scope.table.columns[*at].name.clone()).collect();
    Some((reader.finish(keys), names))
}

/// What to sort by, as columns of the table.
fn keys(reader: &Reader<'_>, order_by: &[OrderByExpr], shape: &Shape<'_>) -> Option<Vec<(usize, SortOptions)>> {
    order_by.iter().map(|key| Some((reader.key(key, shape)?, sort_options(&key.options)))).collect()
}

struct Reader<'a> {
    scope: &'a Scope<'a>,
    /// For each item of the result its column in the table.
    positions: Vec<usize>,
    fields: Vec<Field>,
    /// The columns to read.
    wanted: Vec<usize>,
    /// A wildcard is among the items, so they are not the columns of the result one by one.
    has_wildcard: bool,
}

impl<'a> Reader<'a> {
    fn of(shape: &Shape<'_>, scope: &'a Scope<'a>) -> Option<Reader<'a>> {
        let (positions, fields, wanted) = (Vec::new(), Vec::new(), Vec::new());
        let mut reader = Reader { scope, positions, fields, wanted, has_wildcard: false };
        for item in shape.items {
            match item {
                SelectItem::Wildcard(options) if *options == WildcardAdditionalOptions::default() => {
                    reader.has_wildcard = true;
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

    fn is_time(&self, at: usize) -> bool {
        self.scope.table.columns[at].kind == ColumnKind::Time
    }

    /// The column of the table that is sorted by.
    fn key(&self, key: &OrderByExpr, shape: &Shape<'_>) -> Option<usize> {
        self.position(&key.expr, shape)
    }

    /// The column of the table that an expression beside the select list means.
    fn position(&self, expr: &Expr, shape: &Shape<'_>) -> Option<usize> {
        if self.has_wildcard {
            return self.scope.column(expr).map(|(at, _)| at);
        }
        match order_key(expr, shape.items, self.scope)? {
            OrderKey::Item(at) => Some(self.positions[at]),
            OrderKey::Expression(expr) => self.scope.column(expr).map(|(at, _)| at),
        }
    }

    /// Where a column of the table is among those that are read.
    fn place(&mut self, at: usize) -> usize {
        self.wanted.iter().position(|wanted| *wanted == at).unwrap_or_else(|| {
            self.wanted.push(at);
            self.wanted.len() - 1
        })
    }

    fn finish(self, keys: Vec<(usize, SortOptions)>) -> Columns {
        let place = |at: &usize| self.wanted.iter().position(|wanted| wanted == at).expect("every item is read");
        let name = |at: usize| self.scope.table.columns[at].name.clone();
        let key = |(at, options): &(usize, SortOptions)| Key { at: place(at), options: *options, name: name(*at) };
        let keys = keys.iter().map(key).collect();
        let columns = self.positions.iter().map(place).collect();
        let names = self.wanted.iter().map(|at| name(*at)).collect();
        let schema = Arc::new(Schema::new(self.fields));
        Columns { names, output: Output { columns, keys, schema } }
    }
}
