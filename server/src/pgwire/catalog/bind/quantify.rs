//! `value op ANY (...)` and `ALL`, over arrays and sub-queries; `IN (SELECT ...)` is `= ANY`.

use super::{
    super::{
        datum::Datum,
        error::{CatalogError, Result},
        functions,
        plan::{Comparison, Expr, Kind, Quantified, SubQuery},
        types::{self, Class, oid},
    },
    Binder,
    expr::boolean,
    operator,
};
use datafusion::sql::sqlparser::ast::{self, Expr as Ast};
use std::{cell::OnceCell, rc::Rc};

impl Binder<'_> {
    pub(super) fn quantified(&mut self, left: &Ast, op: &ast::BinaryOperator, right: &Ast, all: bool) -> Result<Expr> {
        let value = self.expr(left)?;
        let symbol = operator::symbol(op);
        if let Ast::Subquery(query) = strip(right) {
            return self.quantified_query(value, &symbol, query, all);
        }
        let array = self.expr(right)?;
        let element = match types::class(array.type_oid) {
            Class::Array(_) if matches!(&array.kind, Kind::Array(items) if items.iter().all(|i| i.type_oid == oid::UNKNOWN)) => {
                oid::UNKNOWN
            }
            Class::Array(element) => element,
            Class::Unknown => oid::UNKNOWN,
            _ => return Err(CatalogError::new("42809", "op ANY/ALL (array) requires array on right side")),
        };
        let probe = Expr { kind: Kind::Const(Datum::Null), type_oid: element };
        let (value, comparison, common) = self.quantifier(value, &symbol, probe)?;
        let array = if types::class(array.type_oid) == Class::Unknown || element != common {
            self.cast_to(array, types::array_of(common))?
        } else {
            array
        };
        let (value, array) = (Box::new(value), Box::new(array));
        Ok(boolean(Kind::Quantified { comparison, all, value, array }))
    }

    pub(super) fn quantified_query(
        &mut self,
        value: Expr,
        symbol: &str,
        query: &ast::Query,
        all: bool,
    ) -> Result<Expr> {
        let mut bound = self.query(query)?;
        self.settle_unknown_columns(&mut bound.query)?;
        let columns: Vec<Expr> =
            bound.query.columns.iter().map(|c| Expr { kind: Kind::Const(Datum::Null), type_oid: c.type_oid }).collect();
        let (value, comparison) = match (value.kind, columns.len()) {
            // (a, b) IN (SELECT x, y ...)
            (Kind::Row(fields), count) if fields.len() == count && symbol == "=" => {
                let mut values = Vec::new();
                for (index, (field, column)) in fields.into_iter().zip(columns).enumerate() {
                    let (field, column) = self.comparable("=", field, column)?;
                    self.coerce_column(&mut bound.query, index, column.type_oid)?;
                    values.push(field);
                }
                let row = Expr { kind: Kind::Row(values), type_oid: oid::RECORD };
                (row, Quantified::Compare(Comparison::Equal))
            }
            (kind, 1) => {
                let probe = Expr { kind: Kind::Const(Datum::Null), type_oid: bound.query.columns[0].type_oid };
                let (value, comparison, common) =
                    self.quantifier(Expr { kind, type_oid: value.type_oid }, symbol, probe)?;
                self.coerce_column(&mut bound.query, 0, common)?;
                (value, comparison)
            }
            (Kind::Row(_), _) => return Err(CatalogError::new("42601", "unequal number of entries in row expression")),
            _ => return Err(CatalogError::new("42601", "subquery has too many columns")),
        };
        let query = SubQuery { query: Rc::new(bound.query), correlated: bound.escapes, once: OnceCell::new() };
        Ok(boolean(Kind::QuantifiedQuery { comparison, all, value: Box::new(value), query }))
    }

    /// The value, the operator and the element type that `value op element` needs.
    fn quantifier(&mut self, value: Expr, symbol: &str, element: Expr) -> Result<(Expr, Quantified, u32)> {
        if let Some(comparison) = operator::comparison(symbol) {
            let (value, element) = self.comparable(symbol, value, element)?;
            return Ok((value, Quantified::Compare(comparison), element.type_oid));
        }
        let value = self.coerce(value, oid::TEXT)?;
        let name =
            operator::pattern_function(symbol).ok_or_else(|| CatalogError::unsupported(&format!("{symbol} ANY")))?;
        let function = functions::scalar(name, 2).ok_or_else(|| CatalogError::undefined_function(name))?;
        Ok((value, Quantified::Call(function), oid::TEXT))
    }
}

fn strip(ast: &Ast) -> &Ast {
    match ast {
        Ast::Nested(inner) => strip(inner),
        other => other,
    }
}
