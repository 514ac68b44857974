//! The name of an output column that has no alias, by PostgreSQL's rules.

use super::{super::types, data_type::type_named, folded, parts};
use datafusion::sql::sqlparser::ast::{AccessExpr, Expr, SelectItem, SetExpr, TrimWhereField};

/// The name, `?column?` when nothing in the expression suggests one.
pub(super) fn output_name(expr: &Expr) -> String {
    suggested(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// A name and whether it is a strong one: a cast or CASE keeps a strong name of what it wraps, not a weak one.
fn suggested(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_owned(), true));
    match expr {
        Expr::Identifier(ident) => Some((folded(ident), true)),
        Expr::CompoundIdentifier(idents) => idents.last().map(|ident| (folded(ident), true)),
        Expr::Function(function) => parts(&function.name).pop().map(|name| (name, true)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => suggested(inner),
        Expr::Cast { expr, data_type, .. } => match suggested(expr) {
            Some((name, true)) => Some((name, true)),
            _ => type_named(data_type).ok().map(|(oid, _)| (type_column_name(oid), false)),
        },
        Expr::TypedString(typed) => type_named(&typed.data_type).ok().map(|(oid, _)| (type_column_name(oid), false)),
        Expr::Interval(_) => Some(("interval".to_owned(), false)),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(suggested) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".to_owned(), false)),
        },
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some((folded(ident), true)),
                _ => None,
            });
            field.or_else(|| suggested(root))
        }
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => suggested(expr),
                SelectItem::ExprWithAlias { alias, .. } => Some((folded(alias), true)),
                _ => None,
            },
            _ => None,
        },
        Expr::Array(_) => strong("array"),
        Expr::Exists { .. } => strong("exists"),
        Expr::Tuple(_) => strong("row"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Position { .. } => strong("position"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        _ => None,
    }
}

fn type_column_name(type_oid: u32) -> String {
    types::by_oid(type_oid)
        .map_or("?column?", |t| if t.element != 0 && t.name.starts_with('_') { &t.name[1..] } else { t.name })
        .to_owned()
}
