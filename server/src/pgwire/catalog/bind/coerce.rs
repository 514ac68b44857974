//! Silent conversions: literals and parameters of unknown type take the type their place asks for.

use super::{
    super::{
        cast,
        datum::Datum,
        error::{CatalogError, Result},
        plan::{Body, Expr, Kind, Query},
        types::{self, oid},
    },
    Binder,
};

impl Binder<'_> {
    /// Brings `expr` to `target`, which `converts_silently` or an explicit cast allowed before.
    pub(super) fn coerce(&mut self, mut expr: Expr, target: u32) -> Result<Expr> {
        let from = expr.type_oid;
        if from == target || matches!(target, oid::ANY | oid::ANYELEMENT | oid::ANYARRAY) {
            return Ok(expr);
        }
        match expr.kind {
            Kind::Const(Datum::Null) => Ok(Expr::constant(Datum::Null, target)),
            Kind::Const(value) if from == oid::UNKNOWN => {
                Ok(Expr::constant(cast::from_unknown(self.context, &value, target)?, target))
            }
            Kind::Parameter(index) if from == oid::UNKNOWN => {
                self.parameters[index] = target;
                expr.type_oid = target;
                Ok(expr)
            }
            // An array of unknown literals converts item by item.
            Kind::Array(items) if types::element_of(target).is_some() => {
                let element = types::element_of(target).unwrap_or(oid::TEXT);
                let items = items.into_iter().map(|item| self.coerce(item, element)).collect::<Result<_>>()?;
                Ok(Expr { kind: Kind::Array(items), type_oid: target })
            }
            _ if cast::same_shape(from, target) => {
                expr.type_oid = target;
                Ok(expr)
            }
            _ => Ok(Expr { kind: Kind::Cast { from, value: Box::new(expr) }, type_oid: target }),
        }
    }

    /// Several expressions brought to the type they agree on.
    pub(super) fn unify(&mut self, what: &str, exprs: Vec<Expr>) -> Result<(Vec<Expr>, u32)> {
        let common = types::common(exprs.iter().map(|expr| expr.type_oid))
            .ok_or_else(|| mismatch(what, exprs.iter().map(|expr| expr.type_oid)))?;
        let exprs = exprs.into_iter().map(|expr| self.coerce(expr, common)).collect::<Result<_>>()?;
        Ok((exprs, common))
    }

    /// Columns still of unknown type are text.
    pub(super) fn settle_unknown_columns(&mut self, query: &mut Query) -> Result<()> {
        for index in 0..query.columns.len() {
            if query.columns[index].type_oid == oid::UNKNOWN {
                self.coerce_column(query, index, oid::TEXT)?;
            }
        }
        Ok(())
    }

    /// Brings one output column of a query to `target`, in every branch of it.
    pub(super) fn coerce_column(&mut self, query: &mut Query, index: usize, target: u32) -> Result<()> {
        match &mut query.body {
            Body::Select(select) => self.replace(&mut select.outputs[index], target)?,
            Body::Values(rows) => {
                for row in rows {
                    self.replace(&mut row[index], target)?;
                }
            }
            Body::Set { left, right, .. } => {
                self.coerce_column(left, index, target)?;
                self.coerce_column(right, index, target)?;
            }
        }
        query.columns[index].type_oid = target;
        Ok(())
    }

    fn replace(&mut self, place: &mut Expr, target: u32) -> Result<()> {
        let expr = std::mem::replace(place, Expr::constant(Datum::Null, oid::UNKNOWN));
        *place = self.coerce(expr, target)?;
        Ok(())
    }
}

pub(super) fn mismatch(what: &str, type_oids: impl Iterator<Item = u32>) -> CatalogError {
    let mut names: Vec<String> = type_oids.filter(|t| *t != oid::UNKNOWN).map(types::sql_name).collect();
    names.dedup();
    CatalogError::new("42804", format!("{what} types {} cannot be matched", names.join(" and ")))
}
