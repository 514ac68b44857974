//! Rows as they are stored: some columns of a range.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::sql::sqlparser::ast::{SelectItem, WildcardAdditionalOptions};
use plimsoll_engine::ColumnKind;

use super::output::Output;
use super::scope::Scope;
use super::shape::Shape;
use crate::lower::item_name;

/// Columns to read, each once, and how the result is made of them.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    pub(super) output: Output,
}

/// Reads a SELECT of columns whose order is left open.
pub(super) fn scan(shape: &Shape<'_>, scope: &Scope<'_>) -> Option<Columns> {
    let reader = Reader::of(shape, scope)?;
    shape.order_by.is_empty().then(|| reader.finish())
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

    fn finish(self) -> Columns {
        let place = |at: &usize| self.wanted.iter().position(|wanted| wanted == at).expect("every item is read");
        let columns = self.positions.iter().map(place).collect();
        let names = self.wanted.iter().map(|at| self.scope.table.columns[*at].name.clone()).collect();
        let schema = Arc::new(Schema::new(self.fields));
        Columns { names, output: Output { columns, keys: Vec::new(), schema } }
    }
}
