//! The value of an expression.

use super::{
    super::{
        cast,
        datum::{self, Array, Datum, compare},
        error::{CatalogError, Result},
        functions::Call,
        plan::{Comparison, Expr, Kind, Quantified, RowSet, SubQuery},
        types,
    },
    Frame, ROWS_MAX, Runtime, TEXT_BYTES_MAX,
};
use std::{cmp::Ordering, rc::Rc, sync::Arc};

impl Runtime<'_> {
    pub(super) fn eval(&self, expr: &Expr, frame: &Frame<'_>) -> Result<Datum> {
        Ok(match &expr.kind {
            Kind::Const(value) => value.clone(),
            Kind::Column { depth, index } => column(frame, *depth, *index),
            Kind::Parameter(index) => self.parameters.get(*index).cloned().unwrap_or(Datum::Null),
            Kind::Slot(slot) => frame.slots.get(*slot).cloned().unwrap_or(Datum::Null),
            Kind::And(list) => self.logic(list, frame, false)?,
            Kind::Or(list) => self.logic(list, frame, true)?,
            Kind::Not(inner) => match self.eval(inner, frame)? {
                Datum::Bool(value) => Datum::Bool(!value),
                _ => Datum::Null,
            },
            Kind::IsNull(inner) => Datum::Bool(is_null(&self.eval(inner, frame)?)),
            Kind::Is(inner, what) => Datum::Bool(match (self.eval(inner, frame)?, what) {
                (Datum::Bool(value), Some(what)) => value == *what,
                (value, None) => value.is_null(),
                _ => false,
            }),
            Kind::Compare(comparison, a, b) => compared(*comparison, &self.eval(a, frame)?, &self.eval(b, frame)?),
            Kind::Same(a, b) => {
                let (a, b) = (self.eval(a, frame)?, self.eval(b, frame)?);
                Datum::Bool(datum::compare_nulls_last(&a, &b).is_eq())
            }
            Kind::Call(function, arguments) => {
                let values = self.all(arguments, frame)?;
                if function.strict && values.iter().any(Datum::is_null) {
                    return Ok(Datum::Null);
                }
                let result = (function.body)(&Call { values: &values, exprs: arguments, runtime: self })?;
                match &result {
                    Datum::Text(text) if text.len() > TEXT_BYTES_MAX => return Err(CatalogError::too_much("a string")),
                    Datum::Array(array) if array.items.len() > ROWS_MAX => {
                        return Err(CatalogError::too_much("an array"));
                    }
                    _ => result,
                }
            }
            Kind::Cast { from, value } => cast::cast(self.context, self.eval(value, frame)?, *from, expr.type_oid)?,
            Kind::Case { branches, otherwise } => {
                for (condition, result) in branches {
                    if self.holds(condition, frame)? {
                        return self.eval(result, frame);
                    }
                }
                otherwise.as_ref().map_or(Ok(Datum::Null), |e| self.eval(e, frame))?
            }
            Kind::Coalesce(list) => {
                for member in list {
                    let value = self.eval(member, frame)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Datum::Null
            }
            Kind::Array(items) => {
                let element = types::element_of(expr.type_oid).unwrap_or(types::oid::TEXT);
                Datum::array(element, self.all(items, frame)?)
            }
            Kind::Row(fields) => Datum::Record(self.all(fields, frame)?.into()),
            Kind::Subscript(array, index) => match (self.eval(array, frame)?, self.eval(index, frame)?) {
                (Datum::Array(array), Datum::Int(index)) => item(&array, index),
                _ => Datum::Null,
            },
            Kind::Field(record, index) => match self.eval(record, frame)? {
                Datum::Record(fields) => fields.get(*index).cloned().unwrap_or(Datum::Null),
                _ => Datum::Null,
            },
            Kind::Quantified { comparison, all, value, array } => {
                let value = self.eval(value, frame)?;
                match self.eval(array, frame)? {
                    Datum::Array(array) => self.quantified(*comparison, *all, &value, array.items.iter().cloned())?,
                    _ => Datum::Null,
                }
            }
            Kind::QuantifiedQuery { comparison, all, value, query } => {
                let value = self.eval(value, frame)?;
                self.quantified_query(*comparison, *all, &value, query, frame)?
            }
            Kind::Scalar(query) => {
                let rows = self.subquery(query, frame)?;
                match rows.rows.as_slice() {
                    [] => Datum::Null,
                    [row] => row[0].clone(),
                    _ => {
                        let message = "more than one row returned by a subquery used as an expression";
                        return Err(CatalogError::new("21000", message));
                    }
                }
            }
            Kind::Exists(query) => Datum::Bool(!self.subquery(query, frame)?.rows.is_empty()),
            Kind::ArrayOf(query) => {
                let element = types::element_of(expr.type_oid).unwrap_or(types::oid::TEXT);
                Datum::array(element, self.subquery(query, frame)?.rows.iter().map(|row| row[0].clone()).collect())
            }
        })
    }

    /// Whether a condition is true: neither false nor NULL.
    pub(super) fn holds(&self, condition: &Expr, frame: &Frame<'_>) -> Result<bool> {
        Ok(matches!(self.eval(condition, frame)?, Datum::Bool(true)))
    }

    pub(super) fn all_hold(&self, conditions: &[Expr], frame: &Frame<'_>) -> Result<bool> {
        for condition in conditions {
            if !self.holds(condition, frame)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn all(&self, exprs: &[Expr], frame: &Frame<'_>) -> Result<Vec<Datum>> {
        exprs.iter().map(|expr| self.eval(expr, frame)).collect()
    }

    /// AND or OR: `decisive` is the value that settles it, NULL beats its opposite.
    fn logic(&self, list: &[Expr], frame: &Frame<'_>, decisive: bool) -> Result<Datum> {
        let mut result = Datum::Bool(!decisive);
        for member in list {
            match self.eval(member, frame)? {
                Datum::Bool(value) if value == decisive => return Ok(Datum::Bool(decisive)),
                Datum::Bool(_) => {}
                _ => result = Datum::Null,
            }
        }
        Ok(result)
    }

    /// `value op ANY (items)`, or `ALL`.
    fn quantified(
        &self,
        operator: Quantified,
        all: bool,
        value: &Datum,
        items: impl Iterator<Item = Datum>,
    ) -> Result<Datum> {
        let mut result = Datum::Bool(all);
        for item in items {
            let tested = match operator {
                Quantified::Compare(comparison) => compared(comparison, value, &item),
                Quantified::Call(_) if value.is_null() || item.is_null() => Datum::Null,
                Quantified::Call(function) => {
                    (function.body)(&Call { values: &[value.clone(), item], exprs: &[], runtime: self })?
                }
            };
            match tested {
                Datum::Bool(tested) if tested != all => return Ok(Datum::Bool(!all)),
                Datum::Bool(_) => {}
                _ => result = Datum::Null,
            }
        }
        Ok(result)
    }

    fn quantified_query(
        &self,
        operator: Quantified,
        all: bool,
        value: &Datum,
        query: &SubQuery,
        frame: &Frame<'_>,
    ) -> Result<Datum> {
        let rows = self.subquery(query, frame)?;
        if let Datum::Record(fields) = value {
            let items = rows.rows.iter().map(|row| Datum::Record(row[..fields.len().min(row.len())].into()));
            return self.quantified(operator, all, value, items);
        }
        // Equality over rows that stay is a look-up; a miss among NULLs is NULL.
        if !all && !query.correlated && matches!(operator, Quantified::Compare(Comparison::Equal)) {
            if value.is_null() {
                return Ok(if rows.rows.is_empty() { Datum::Bool(false) } else { Datum::Null });
            }
            if rows.index(0).contains_key(&value.key()) {
                return Ok(Datum::Bool(true));
            }
            let has_null = rows.rows.iter().any(|row| row[0].is_null());
            return Ok(if has_null { Datum::Null } else { Datum::Bool(false) });
        }
        self.quantified(operator, all, value, rows.rows.iter().map(|row| row[0].clone()))
    }

    /// The rows of a sub-query for this frame; those that depend on nothing outside are made once.
    pub(super) fn subquery(&self, subquery: &SubQuery, frame: &Frame<'_>) -> Result<Rc<RowSet>> {
        if !subquery.correlated
            && let Some(rows) = subquery.once.get()
        {
            return Ok(rows.clone());
        }
        let rows = RowSet::new(self.query(&subquery.query, Some(frame))?);
        if !subquery.correlated {
            let _ = subquery.once.set(rows.clone());
        }
        Ok(rows)
    }
}

fn column(frame: &Frame<'_>, depth: usize, index: usize) -> Datum {
    let mut frame = frame;
    for _ in 0..depth {
        match frame.outer {
            Some(outer) => frame = outer,
            None => return Datum::Null,
        }
    }
    frame.row.get(index).cloned().unwrap_or(Datum::Null)
}

fn is_null(value: &Datum) -> bool {
    match value {
        Datum::Record(fields) => fields.iter().all(Datum::is_null),
        value => value.is_null(),
    }
}

pub(super) fn compared(comparison: Comparison, a: &Datum, b: &Datum) -> Datum {
    if a.is_null() || b.is_null() {
        return Datum::Null;
    }
    let order = compare(a, b);
    Datum::Bool(match comparison {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    })
}

fn item(array: &Arc<Array>, index: i64) -> Datum {
    let position = index.checked_sub(i64::from(array.lower)).and_then(|p| usize::try_from(p).ok());
    position.and_then(|p| array.items.get(p)).cloned().unwrap_or(Datum::Null)
}
