//! Names of output columns by PostgreSQL's rules: a column's own name, a function's name, a type's name, or `?column?`.

use datafusion::sql::sqlparser::ast::{
    CeilFloorKind, DataType, Expr, Function, Ident, ObjectName, ObjectNamePart, Query, SelectItem, SetExpr,
    TimezoneInfo, TrimWhereField,
};

/// What PostgreSQL calls an expression without a better name.
const NAMELESS: &str = "?column?";

/// Names of the columns that a query returns, `None` for each wildcard.
pub(crate) fn output_names(query: &Query) -> Vec<Option<String>> {
    body_names(&query.body)
}

/// Names of the columns of a query's body: those of its leftmost SELECT.
pub(crate) fn body_names(body: &SetExpr) -> Vec<Option<String>> {
    match body {
        SetExpr::Select(select) => select.projection.iter().map(item_name).collect(),
        SetExpr::Query(query) => body_names(&query.body),
        SetExpr::SetOperation { left, .. } => body_names(left),
        SetExpr::Values(values) => {
            let width = values.rows.first().map_or(0, |row| row.content.len());
            (1..=width).map(|n| Some(format!("column{n}"))).collect()
        }
        _ => vec![None],
    }
}

/// The name of one item; `None` for a wildcard.
pub(crate) fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(expression_name(expr)),
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => None,
    }
}

/// An identifier as PostgreSQL reads it: lower case unless quoted.
pub(crate) fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

/// The last part of a dotted name.
pub(crate) fn last_part(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(ObjectNamePart::as_ident)
}

fn expression_name(expr: &Expr) -> String {
    named(expr).map_or_else(|| NAMELESS.to_owned(), |named| named.name)
}

/// A name, and whether it is only the name of a type or a construct, which an inner name is preferred to.
struct Named {
    name: String,
    weak: bool,
}

fn strong(name: impl Into<String>) -> Option<Named> {
    Some(Named { name: name.into(), weak: false })
}

fn weak(name: impl Into<String>) -> Option<Named> {
    Some(Named { name: name.into(), weak: true })
}

fn named(expr: &Expr) -> Option<Named> {
    match expr {
        Expr::Identifier(ident) => strong(folded(ident)),
        Expr::CompoundIdentifier(parts) => strong(folded(parts.last()?)),
        Expr::Function(function) => function_name(function),
        Expr::Cast { expr, data_type, .. } => match named(expr) {
            Some(inner) if !inner.weak => Some(inner),
            _ => weak(type_name(data_type)),
        },
        Expr::TypedString(typed) => weak(type_name(&typed.data_type)),
        Expr::Interval(_) => weak("interval"),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(named) {
            Some(inner) if !inner.weak => Some(inner),
            _ => weak("case"),
        },
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => named(inner),
        Expr::CompoundFieldAccess { root, .. } => named(root),
        Expr::Subquery(query) => output_names(query).into_iter().next().flatten().and_then(strong),
        Expr::Exists { .. } => strong("exists"),
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Ceil { field: CeilFloorKind::DateTimeField(_) | CeilFloorKind::Scale(_), .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        _ => None,
    }
}

fn function_name(function: &Function) -> Option<Named> {
    let ident = last_part(&function.name)?;
    strong(match folded(ident).as_str() {
        "ceiling" => "ceiling",
        other => return strong(other),
    })
}

/// The name that PostgreSQL has for a type internally.
fn type_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::SmallInt(_) | DataType::Int2(_) => "int2",
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4",
        DataType::BigInt(_) | DataType::Int8(_) => "int8",
        DataType::Real | DataType::Float4 => "float4",
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float(_) => "float8",
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric",
        DataType::Boolean | DataType::Bool => "bool",
        DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::CharVarying(_) => "varchar",
        DataType::Char(_) | DataType::Character(_) => "bpchar",
        DataType::Text => "text",
        DataType::Date => "date",
        DataType::Interval { .. } => "interval",
        DataType::Time(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => "timetz",
        DataType::Time(..) => "time",
        DataType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => "timestamptz",
        DataType::Timestamp(..) => "timestamp",
        other => return other.to_string().to_ascii_lowercase(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use datafusion::sql::sqlparser::ast::Statement;

    use super::*;

    fn check(sql: &str, expected: &Expect) {
        let statements = crate::parse(sql).unwrap();
        let Some(Statement::Query(query)) = statements[0].ast() else { panic!("not a query: {sql}") };
        let names: Vec<_> = output_names(query).into_iter().map(|n| n.unwrap_or_else(|| "*".to_owned())).collect();
        expected.assert_eq(&names.join(" "));
    }

    #[test]
    fn columns_and_functions_name_themselves() {
        check(
            "SELECT a, t.B, \"C\", count(*), AVG(x), pg_catalog.version(), now()",
            &expect!["a b C count avg version now"],
        );
        check("SELECT *, t.*, 1 AS One, 2 AS \"Two\"", &expect!["* * one Two"]);
        check("SELECT coalesce(a, 1), greatest(a, b), row_number() OVER ()", &expect!["coalesce greatest row_number"]);
    }

    #[test]
    fn constructs_have_names_of_their_own() {
        check(
            "SELECT extract(epoch FROM t), t AT TIME ZONE 'UTC', EXISTS (SELECT 1), ARRAY[1]",
            &expect!["extract timezone exists array"],
        );
        check("SELECT substring(a FROM 1 FOR 2), trim(a), position('a' IN b)", &expect!["substring btrim position"]);
        check("SELECT CASE WHEN a THEN 1 END, CASE WHEN a THEN 1 ELSE b END", &expect!["case b"]);
        check("SELECT (SELECT max(x) FROM t), (SELECT 1)", &expect!["max ?column?"]);
        check("SELECT current_date, current_timestamp", &expect!["current_date current_timestamp"]);
    }

    #[test]
    fn casts_prefer_the_inner_name() {
        check("SELECT cpu::int, '1'::int, 1::float8, CAST(max(x) AS text)", &expect!["cpu int4 float8 max"]);
        check(
            "SELECT '1'::int::text, INTERVAL '1 day', timestamptz '2024-01-01'",
            &expect!["text interval timestamptz"],
        );
    }

    #[test]
    fn the_rest_is_nameless() {
        check(
            "SELECT 1, 'a', a + b, -a, a IS NULL, NOT a, a LIKE 'x'",
            &expect!["?column? ?column? ?column? ?column? ?column? ?column? ?column?"],
        );
    }

    #[test]
    fn set_operations_take_the_left_names() {
        check("SELECT max(a) FROM t UNION ALL SELECT min(b) FROM t", &expect!["max"]);
        check("VALUES (1, 2), (3, 4)", &expect!["column1 column2"]);
        check("(SELECT a)", &expect!["a"]);
    }
}
