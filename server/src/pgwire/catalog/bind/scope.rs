//! What is in reach at one query level: the columns of FROM, and the calls collected into slots.

use super::{
    super::{
        error::{CatalogError, Result},
        functions,
        plan::{AggregateCall, Expr, Fields, Kind, SetCall, Window},
        types::oid,
    },
    Binder, folded,
};
use datafusion::sql::sqlparser::{ast::Ident, tokenizer::Span};

#[derive(Default)]
pub(super) struct Scope {
    pub columns: Vec<ScopeColumn>,
    /// Columns of the flat row so far.
    pub width: usize,
    /// Where each FROM item begins and ends in the flat row.
    pub leaves: Vec<std::ops::Range<usize>>,
    /// A derived table without LATERAL must not see its neighbours.
    pub veiled: bool,
    /// Something inside refers to a level around this one.
    pub escapes: bool,
    pub clause: Clause,
    pub aggregates: Vec<AggregateCall>,
    pub windows: Vec<Window>,
    pub sets: Vec<SetCall>,
    pub slots: usize,
}

/// The part of a SELECT being bound: it says which calls may stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Clause {
    #[default]
    From,
    Where,
    GroupBy,
    Output,
    AggregateArgument,
}

#[derive(Debug, Clone)]
pub(super) struct ScopeColumn {
    pub schema: Option<&'static str>,
    pub table: String,
    pub name: String,
    pub type_oid: u32,
    pub fields: Fields,
    pub index: usize,
    /// The other half of a `USING` pair: reachable by its qualified name only.
    pub merged: bool,
    /// Left out of `SELECT *`.
    pub hidden: bool,
}

impl Scope {
    pub(super) fn new_slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    fn matching(&self, path: &[String]) -> Vec<&ScopeColumn> {
        if self.veiled {
            return Vec::new();
        }
        let matches = |column: &&ScopeColumn| match path {
            [name] => column.name == *name && !column.merged,
            [table, name] => column.name == *name && column.table == *table,
            [schema, table, name] => {
                column.name == *name && column.table == *table && column.schema == Some(schema.as_str())
            }
            _ => false,
        };
        self.columns.iter().filter(matches).collect()
    }

    /// Columns of one FROM item, for `t.*`.
    pub(super) fn of_table(&self, path: &[String]) -> Vec<ScopeColumn> {
        let (schema, table) = match path {
            [table] => (None, table),
            [schema, table] => (Some(schema.as_str()), table),
            _ => return Vec::new(),
        };
        let matches = |c: &&ScopeColumn| c.table == *table && (schema.is_none() || c.schema == schema);
        self.columns.iter().filter(matches).filter(|c| !c.hidden).cloned().collect()
    }
}

impl ScopeColumn {
    pub(super) fn reference(&self, depth: usize) -> Expr {
        Expr { kind: Kind::Column { depth, index: self.index }, type_oid: self.type_oid }
    }
}

impl Binder<'_> {
    /// A column by its name, the innermost level first.
    pub(super) fn column(&mut self, idents: &[Ident]) -> Result<Expr> {
        let path: Vec<String> = idents.iter().map(folded).collect();
        let span = idents.first().map_or_else(Span::empty, |ident| ident.span);
        for (depth, scope) in self.scopes.iter().rev().enumerate() {
            match scope.matching(&path).as_slice() {
                [] => {}
                [column] => {
                    let expr = column.reference(depth);
                    self.mark_escape(depth);
                    return Ok(expr);
                }
                _ => return Err(CatalogError::ambiguous_column(&path.join(".")).at(span)),
            }
        }
        if let ([name], [Ident { quote_style: None, .. }]) = (path.as_slice(), idents)
            && functions::is_bare(name)
        {
            return self.call(name, Vec::new());
        }
        if let Some(row) = self.whole_row(&path) {
            return Ok(row);
        }
        Err(self.no_column(&path).at(span))
    }

    /// Levels between the reference and what it refers to cannot be kept across rows.
    pub(super) fn mark_escape(&mut self, depth: usize) {
        self.scopes.iter_mut().rev().take(depth).for_each(|scope| scope.escapes = true);
    }

    /// A table's name used as a value: its row.
    fn whole_row(&mut self, path: &[String]) -> Option<Expr> {
        let [table] = path else { return None };
        let found = self.scopes.iter().rev().enumerate().find_map(|(depth, scope)| {
            let columns = scope.of_table(std::slice::from_ref(table));
            (!columns.is_empty() && !scope.veiled).then_some((depth, columns))
        });
        let (depth, columns) = found?;
        self.mark_escape(depth);
        let fields = columns.iter().map(|column| column.reference(depth)).collect();
        Some(Expr { kind: Kind::Row(fields), type_oid: oid::RECORD })
    }

    fn no_column(&self, path: &[String]) -> CatalogError {
        let [.., table, name] = path else {
            return CatalogError::undefined_column(&format!("\"{}\"", path.join(".")));
        };
        let known = self.scopes.iter().any(|scope| scope.columns.iter().any(|c| c.table == *table));
        if known {
            return CatalogError::undefined_column(&format!("{table}.{name}"));
        }
        CatalogError::new("42P01", format!("missing FROM-clause entry for table \"{table}\""))
    }

    /// The fields of a record expression, when its shape is known.
    pub(super) fn fields_of(&self, expr: &Expr) -> Fields {
        match expr.kind {
            Kind::Column { depth, index } => self
                .scopes
                .iter()
                .rev()
                .nth(depth)
                .and_then(|scope| scope.columns.iter().find(|column| column.index == index))
                .map_or(&[], |column| column.fields),
            Kind::Slot(slot) => self
                .scopes
                .last()
                .and_then(|scope| scope.sets.iter().find(|set| set.slot == slot))
                .map_or(&[], |set| set.function.columns),
            _ => &[],
        }
    }
}
