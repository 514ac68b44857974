//! `= ANY (...)`, `<> ALL (...)` and arrays that are written as texts: lists of values, as `IN` has them.

use datafusion::sql::sqlparser::ast::{
    Array, ArrayElemTypeDef, BinaryOperator, CastKind, DataType, Expr, UnaryOperator, Value, ValueWithSpan,
};

use crate::functions::{ARRAY_LIKE, array_items};
use crate::{Error, Result};

/// `x = ANY (array)` as `x IN (...)`, `x <> ALL (array)` as `x NOT IN (...)`, where the array is written or a parameter. `None` leaves
/// an expression as it is.
///
/// # Errors
/// [`Error::InvalidText`] for a text that is no array.
pub(super) fn quantified(expr: &Expr, call: fn(&str, Vec<Expr>) -> Expr) -> Result<Option<Expr>> {
    let (left, op, right, negated) = match expr {
        Expr::AnyOp { left, compare_op, right, .. } => (left, compare_op, right, false),
        Expr::AllOp { left, compare_op, right } => (left, compare_op, right, true),
        _ => return Ok(None),
    };
    let is_list = matches!((op, negated), (BinaryOperator::Eq, false) | (BinaryOperator::NotEq, true));
    if let Some(list) = elements(right)? {
        return Ok(match (is_list, list.is_empty()) {
            (true, true) => Some(Expr::Value(Value::Boolean(negated).with_empty_span())),
            (true, false) => Some(Expr::InList { expr: left.clone(), list, negated }),
            // What else is asked of each element is for the planner, to which an array is none while it is a text.
            (false, _) if !matches!(**right, Expr::Array(_)) => Some(with_array(expr, array(list))),
            (false, _) => None,
        });
    }
    let is_parameter = matches!(&**right, Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. }));
    if !is_parameter {
        return Ok(None);
    }
    let like = call(ARRAY_LIKE, vec![(**right).clone(), (**left).clone()]);
    Ok(Some(match (is_list, negated) {
        (true, true) => Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(Expr::Nested(Box::new(Expr::AnyOp {
                left: left.clone(),
                compare_op: BinaryOperator::Eq,
                right: Box::new(like),
                is_some: false,
            }))),
        },
        _ => with_array(expr, like),
    }))
}

fn with_array(expr: &Expr, array: Expr) -> Expr {
    let mut changed = expr.clone();
    if let Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } = &mut changed {
        **right = array;
    }
    changed
}

fn array(elem: Vec<Expr>) -> Expr {
    Expr::Array(Array { elem, named: true })
}

/// The elements of an array that is written as one, or as a text.
fn elements(expr: &Expr) -> Result<Option<Vec<Expr>>> {
    match expr {
        Expr::Array(Array { elem, .. }) => Ok(Some(elem.clone())),
        Expr::Nested(inner) => elements(inner),
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => {
            let items = array_items(text);
            let malformed = || Error::InvalidText { message: format!("malformed array literal: \"{text}\"") };
            Ok(Some(items.ok_or_else(malformed)?.into_iter().map(literal).collect()))
        }
        _ => Ok(None),
    }
}

fn literal(item: Option<String>) -> Expr {
    Expr::Value(item.map_or(Value::Null, Value::SingleQuotedString).with_empty_span())
}

/// `'{1,2}'::bigint[]` as an array of its elements.
pub(super) fn array_of_text(expr: &Expr) -> Option<Expr> {
    let Expr::Cast { expr: text, data_type: DataType::Array(element), .. } = expr else { return None };
    let (ArrayElemTypeDef::SquareBracket(of, _)
    | ArrayElemTypeDef::AngleBracket(of)
    | ArrayElemTypeDef::Parenthesis(of)) = element
    else {
        return None;
    };
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = &**text else { return None };
    let cast = |item| Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(literal(item)),
        data_type: (**of).clone(),
        array: false,
        format: None,
    };
    // An array without elements keeps its type by a cast that the planner knows.
    let items = array_items(text).filter(|items| !items.is_empty())?;
    Some(array(items.into_iter().map(cast).collect()))
}
