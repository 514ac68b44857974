//! Which output column a name, a number or an expression of GROUP BY and ORDER BY means.

use datafusion::sql::sqlparser::ast::{Expr, SelectItem};

use super::scope::{Scope, literal_number};
use crate::lower::{folded, item_name};

/// The expression of a select item; `None` for wildcards.
pub(super) fn expression(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// What a key of GROUP BY is: the item of a number or, where no column has that name, of a name; else the key itself.
pub(super) fn group_key<'a>(key: &'a Expr, items: &'a [SelectItem], scope: &Scope<'_>) -> Option<&'a Expr> {
    match key {
        Expr::Identifier(name) if scope.named(name).is_none() => {
            only(items, &folded(name)).and_then(|at| expression(&items[at]))
        }
        other => match numbered(other, items) {
            Some(at) => expression(&items[at?]),
            None => Some(other),
        },
    }
}

/// A key of ORDER BY.
pub(super) enum OrderKey<'a> {
    /// The n-th item.
    Item(usize),
    /// Something that is computed for the order alone, if no item is the same.
    Expression(&'a Expr),
}

/// What a key of ORDER BY is. A name is an item's first; `None` where a column of another meaning has it too.
pub(super) fn order_key<'a>(key: &'a Expr, items: &[SelectItem], scope: &Scope<'_>) -> Option<OrderKey<'a>> {
    if let Expr::Identifier(name) = key {
        let folded = folded(name);
        if items.iter().any(|item| item_name(item).as_ref() == Some(&folded)) {
            let at = only(items, &folded)?;
            let column = scope.named(name).map(|(column, _)| column);
            let of_item = expression(&items[at]).and_then(|expr| scope.column(expr)).map(|(column, _)| column);
            return (column.is_none() || column == of_item).then_some(OrderKey::Item(at));
        }
    }
    match numbered(key, items) {
        Some(at) => at.map(OrderKey::Item),
        None => Some(OrderKey::Expression(key)),
    }
}

/// The item with this name, if it is the only one.
fn only(items: &[SelectItem], name: &str) -> Option<usize> {
    let mut found = (0..items.len()).filter(|at| item_name(&items[*at]).as_deref() == Some(name));
    match (found.next(), found.next()) {
        (Some(at), None) => Some(at),
        _ => None,
    }
}

/// The item that a number stands for; `Some(None)` for a number without one.
fn numbered(key: &Expr, items: &[SelectItem]) -> Option<Option<usize>> {
    let (negative, digits) = literal_number(key)?;
    let at = digits.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    Some(at.filter(|at| !negative && *at < items.len()))
}
