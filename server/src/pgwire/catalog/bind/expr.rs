//! Expressions: literals, columns, predicates, CASE, arrays, casts, sub-queries.

use super::{
    super::{
        datum::Datum,
        error::{CatalogError, Result},
        plan::{Expr, Kind, Query, SubQuery},
        types::{self, oid},
    },
    Binder,
    data_type::type_named,
    folded,
};
use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, CaseWhen, DataType, Expr as Ast, Spanned, Subscript, TrimWhereField, UnaryOperator, Value,
};
use std::{cell::OnceCell, rc::Rc};

impl Binder<'_> {
    pub(super) fn expr(&mut self, ast: &Ast) -> Result<Expr> {
        self.deeper(|binder| binder.expr_here(ast))
    }

    fn expr_here(&mut self, ast: &Ast) -> Result<Expr> {
        match ast {
            Ast::Identifier(ident) => self.column(std::slice::from_ref(ident)),
            Ast::CompoundIdentifier(idents) => self.column(idents),
            Ast::Value(value) => self.literal(&value.value).map_err(|e| e.at(value.span)),
            Ast::TypedString(typed) => {
                let literal = self.literal(&typed.value.value)?;
                self.cast(literal, &typed.data_type)
            }
            Ast::Interval(interval) => {
                let value = self.expr(&interval.value)?;
                self.coerce(value, oid::INTERVAL)
            }
            Ast::Nested(inner) | Ast::Collate { expr: inner, .. } => self.expr(inner),
            Ast::BinaryOp { left, op, right } => self.binary(left, op, right),
            Ast::UnaryOp { op, expr } => self.unary(*op, expr),
            Ast::Cast { expr, data_type, .. } => {
                let value = self.expr(expr)?;
                self.cast(value, data_type).map_err(|e| e.at(expr.span()))
            }
            Ast::IsNull(e) => self.is_null(e),
            Ast::IsNotNull(e) => self.is_null(e).map(not),
            Ast::IsTrue(e) => self.is(e, Some(true)),
            Ast::IsNotTrue(e) => self.is(e, Some(true)).map(not),
            Ast::IsFalse(e) => self.is(e, Some(false)),
            Ast::IsNotFalse(e) => self.is(e, Some(false)).map(not),
            Ast::IsUnknown(e) => self.is(e, None),
            Ast::IsNotUnknown(e) => self.is(e, None).map(not),
            Ast::IsDistinctFrom(a, b) => self.same(a, b).map(not),
            Ast::IsNotDistinctFrom(a, b) => self.same(a, b),
            Ast::InList { expr, list, negated } => self.in_list(expr, list).map(|e| negate_if(e, *negated)),
            Ast::InSubquery { expr, subquery, negated } => {
                let value = self.expr(expr)?;
                self.quantified_query(value, "=", subquery, false).map(|e| negate_if(e, *negated))
            }
            Ast::Between { expr, negated, low, high } => self.between(expr, low, high).map(|e| negate_if(e, *negated)),
            Ast::Like { negated, expr, pattern, escape_char, .. } => {
                self.like("like", expr, pattern, escape_char.as_ref()).map(|e| negate_if(e, *negated))
            }
            Ast::ILike { negated, expr, pattern, escape_char, .. } => {
                self.like("ilike", expr, pattern, escape_char.as_ref()).map(|e| negate_if(e, *negated))
            }
            Ast::AnyOp { left, compare_op, right, .. } => self.quantified(left, compare_op, right, false),
            Ast::AllOp { left, compare_op, right } => self.quantified(left, compare_op, right, true),
            Ast::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Ast::Exists { subquery, negated } => {
                let query = self.subquery(subquery)?;
                Ok(negate_if(Expr { kind: Kind::Exists(query), type_oid: oid::BOOL }, *negated))
            }
            Ast::Subquery(query) => self.scalar_subquery(query),
            Ast::Array(array) => self.array(&array.elem),
            Ast::Tuple(items) => self.row(items),
            Ast::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Ast::Function(function) => self.function(function).map_err(|e| e.at(function.name.span())),
            Ast::Extract { field, expr, .. } => {
                let field = Expr::constant(Datum::from(field.to_string().to_lowercase()), oid::TEXT);
                let value = self.expr(expr)?;
                self.call("extract", vec![field, value])
            }
            Ast::Floor { expr, .. } => self.call_on("floor", &[expr]),
            Ast::Ceil { expr, .. } => self.call_on("ceil", &[expr]),
            Ast::Position { expr, r#in } => self.call_on("strpos", &[r#in, expr]),
            Ast::Substring { expr, substring_from, substring_for, .. } => {
                self.substring(expr, substring_from.as_deref(), substring_for.as_deref())
            }
            Ast::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                let what = trim_what.as_deref().or_else(|| trim_characters.as_ref().and_then(|c| c.first()));
                let arguments: Vec<&Ast> = std::iter::once(expr.as_ref()).chain(what).collect();
                self.call_on(name, &arguments)
            }
            Ast::AtTimeZone { timestamp, time_zone } => self.call_on("timezone", &[time_zone, timestamp]),
            other => {
                let kind = format!("the expression {other}");
                Err(CatalogError::unsupported(&kind).at(other.span()))
            }
        }
    }

    /// A condition: boolean, or unknown made boolean.
    pub(super) fn condition(&mut self, ast: &Ast, place: &str) -> Result<Expr> {
        let expr = self.expr(ast)?;
        if !matches!(expr.type_oid, oid::BOOL | oid::UNKNOWN) {
            let found = types::sql_name(expr.type_oid);
            let message = format!("argument of {place} must be type boolean, not type {found}");
            return Err(CatalogError::new("42804", message).at(ast.span()));
        }
        self.coerce(expr, oid::BOOL)
    }

    fn literal(&mut self, value: &Value) -> Result<Expr> {
        Ok(match value {
            Value::Null => Expr::constant(Datum::Null, oid::UNKNOWN),
            Value::Boolean(value) => Expr::constant(Datum::Bool(*value), oid::BOOL),
            Value::Number(digits, _) => number(digits)?,
            Value::Placeholder(name) => return self.parameter(name),
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text)
            | Value::NationalStringLiteral(text) => Expr::constant(Datum::from(text.as_str()), oid::UNKNOWN),
            Value::DollarQuotedString(text) => Expr::constant(Datum::from(text.value.as_str()), oid::UNKNOWN),
            other => return Err(CatalogError::unsupported(&format!("the literal {other}"))),
        })
    }

    fn parameter(&mut self, name: &str) -> Result<Expr> {
        let missing = || CatalogError::new("42P02", format!("there is no parameter {name}"));
        let number: usize = name.strip_prefix('$').and_then(|n| n.parse().ok()).ok_or_else(missing)?;
        // The protocol counts parameters in 16 bits.
        let index = number.checked_sub(1).filter(|i| *i < usize::from(u16::MAX)).ok_or_else(missing)?;
        if self.parameters.len() <= index {
            self.parameters.resize(index + 1, 0);
        }
        let type_oid = if self.parameters[index] == 0 { oid::UNKNOWN } else { self.parameters[index] };
        Ok(Expr { kind: Kind::Parameter(index), type_oid })
    }

    fn unary(&mut self, op: UnaryOperator, ast: &Ast) -> Result<Expr> {
        match op {
            UnaryOperator::Not => self.condition(ast, "NOT").map(not),
            UnaryOperator::Plus => self.expr(ast),
            UnaryOperator::Minus => {
                let value = self.expr(ast)?;
                if let Kind::Const(Datum::Int(number)) = value.kind {
                    return Ok(Expr::constant(Datum::Int(-number), value.type_oid));
                }
                self.operator("-", Expr::constant(Datum::Int(0), oid::INT4), value)
            }
            other => Err(CatalogError::unsupported(&format!("the operator {other}"))),
        }
    }

    fn is_null(&mut self, ast: &Ast) -> Result<Expr> {
        let value = self.expr(ast)?;
        Ok(boolean(Kind::IsNull(Box::new(value))))
    }

    fn is(&mut self, ast: &Ast, what: Option<bool>) -> Result<Expr> {
        let value = self.condition(ast, "IS")?;
        Ok(boolean(Kind::Is(Box::new(value), what)))
    }

    fn same(&mut self, a: &Ast, b: &Ast) -> Result<Expr> {
        let (a, b) = (self.expr(a)?, self.expr(b)?);
        let (a, b) = self.comparable("=", a, b)?;
        Ok(boolean(Kind::Same(Box::new(a), Box::new(b))))
    }

    fn in_list(&mut self, value: &Ast, list: &[Ast]) -> Result<Expr> {
        let value = self.expr(value)?;
        let mut tests = Vec::with_capacity(list.len());
        for item in list {
            let item = self.expr(item)?;
            tests.push(self.operator("=", value.clone(), item)?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { boolean(Kind::Or(tests)) })
    }

    fn between(&mut self, value: &Ast, low: &Ast, high: &Ast) -> Result<Expr> {
        let (value, low, high) = (self.expr(value)?, self.expr(low)?, self.expr(high)?);
        let above = self.operator(">=", value.clone(), low)?;
        let below = self.operator("<=", value, high)?;
        Ok(boolean(Kind::And(vec![above, below])))
    }

    fn like(&mut self, name: &str, value: &Ast, pattern: &Ast, escape: Option<&ast::ValueWithSpan>) -> Result<Expr> {
        let mut arguments = vec![self.expr(value)?, self.expr(pattern)?];
        if let Some(escape) = escape {
            arguments.push(self.literal(&escape.value)?);
        }
        self.call(name, arguments)
    }

    fn case(&mut self, operand: Option<&Ast>, conditions: &[CaseWhen], otherwise: Option<&Ast>) -> Result<Expr> {
        let operand = operand.map(|operand| self.expr(operand)).transpose()?;
        let (mut tests, mut results) = (Vec::new(), Vec::new());
        for when in conditions {
            tests.push(match &operand {
                Some(operand) => {
                    let value = self.expr(&when.condition)?;
                    self.operator("=", operand.clone(), value)?
                }
                None => self.condition(&when.condition, "CASE/WHEN")?,
            });
            results.push(self.expr(&when.result)?);
        }
        let has_else = otherwise.is_some();
        if let Some(otherwise) = otherwise {
            results.push(self.expr(otherwise)?);
        }
        let (mut results, type_oid) = self.unify("CASE", results)?;
        let otherwise = if has_else { results.pop().map(Box::new) } else { None };
        Ok(Expr { kind: Kind::Case { branches: tests.into_iter().zip(results).collect(), otherwise }, type_oid })
    }

    fn array(&mut self, items: &[Ast]) -> Result<Expr> {
        let items = items.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>>>()?;
        // Unknown literals stay unknown here, so that a later cast or comparison can still type them.
        if items.iter().all(|item| item.type_oid == oid::UNKNOWN) {
            return Ok(Expr { kind: Kind::Array(items), type_oid: oid::TEXT_ARRAY });
        }
        let (items, element) = self.unify("ARRAY", items)?;
        Ok(Expr { kind: Kind::Array(items), type_oid: types::array_of(element) })
    }

    fn row(&mut self, items: &[Ast]) -> Result<Expr> {
        let items = items.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>>>()?;
        Ok(Expr { kind: Kind::Row(items), type_oid: oid::RECORD })
    }

    fn access(&mut self, root: &Ast, chain: &[AccessExpr]) -> Result<Expr> {
        // `t.c[1]` arrives as `t` with `.c` and `[1]` behind it: the names at its head are one path.
        let mut path: Vec<ast::Ident> = match root {
            Ast::Identifier(ident) => vec![ident.clone()],
            Ast::CompoundIdentifier(idents) => idents.clone(),
            _ => Vec::new(),
        };
        let mut chain = chain;
        while let ([AccessExpr::Dot(Ast::Identifier(ident)), rest @ ..], false) = (chain, path.is_empty()) {
            path.push(ident.clone());
            chain = rest;
        }
        let mut value = if path.is_empty() { self.expr(root)? } else { self.column(&path)? };
        for access in chain {
            value = match access {
                AccessExpr::Dot(Ast::Identifier(field)) => self.field(value, &folded(field))?,
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let index = self.expr(index)?;
                    let index = self.coerce(index, oid::INT4)?;
                    let Some(element) = types::element_of(value.type_oid) else {
                        let name = types::sql_name(value.type_oid);
                        let message = format!("cannot subscript type {name} because it does not support subscripting");
                        return Err(CatalogError::new("42804", message));
                    };
                    Expr { kind: Kind::Subscript(Box::new(value), Box::new(index)), type_oid: element }
                }
                _ => return Err(CatalogError::unsupported("this subscript").at(root.span())),
            };
        }
        Ok(value)
    }

    fn field(&mut self, value: Expr, name: &str) -> Result<Expr> {
        let fields = self.fields_of(&value);
        let Some(position) = fields.iter().position(|(field, _)| *field == name) else {
            return Err(CatalogError::new(
                "42703",
                format!("could not identify column \"{name}\" in record data type"),
            ));
        };
        Ok(Expr { kind: Kind::Field(Box::new(value), position), type_oid: fields[position].1 })
    }

    fn substring(&mut self, value: &Ast, from: Option<&Ast>, length: Option<&Ast>) -> Result<Expr> {
        let mut arguments = vec![self.expr(value)?];
        arguments.push(match from {
            Some(from) => self.expr(from)?,
            None => Expr::constant(Datum::Int(1), oid::INT4),
        });
        if let Some(length) = length {
            arguments.push(self.expr(length)?);
        }
        self.call("substring", arguments)
    }

    pub(super) fn cast(&mut self, value: Expr, data_type: &DataType) -> Result<Expr> {
        let (target, length) = type_named(data_type)?;
        let value = self.cast_to(value, target)?;
        match length {
            Some(length) if matches!(target, oid::BPCHAR | oid::VARCHAR) => {
                let length = Expr::constant(Datum::Int(length), oid::INT4);
                self.call("left", vec![value, length]).map(|e| Expr { type_oid: target, ..e })
            }
            _ => Ok(value),
        }
    }

    pub(super) fn cast_to(&mut self, value: Expr, target: u32) -> Result<Expr> {
        let from = value.type_oid;
        let array_of_unknown = matches!(value.kind, Kind::Array(_)) && types::element_of(target).is_some();
        if array_of_unknown || super::super::cast::exists(from, target) {
            return self.coerce(value, target);
        }
        let message = format!("cannot cast type {} to {}", types::sql_name(from), types::sql_name(target));
        Err(CatalogError::new("42846", message))
    }

    /// A query inside an expression.
    pub(super) fn subquery(&mut self, query: &ast::Query) -> Result<SubQuery> {
        let mut bound = self.query(query)?;
        self.settle_unknown_columns(&mut bound.query)?;
        Ok(SubQuery { query: Rc::new(bound.query), correlated: bound.escapes, once: OnceCell::new() })
    }

    fn scalar_subquery(&mut self, query: &ast::Query) -> Result<Expr> {
        let query = self.subquery(query)?;
        let type_oid = only_column(&query.query)?;
        Ok(Expr { kind: Kind::Scalar(query), type_oid })
    }

    pub(super) fn array_subquery(&mut self, query: &ast::Query) -> Result<Expr> {
        let query = self.subquery(query)?;
        let type_oid = types::array_of(only_column(&query.query)?);
        Ok(Expr { kind: Kind::ArrayOf(query), type_oid })
    }
}

pub(super) fn boolean(kind: Kind) -> Expr {
    Expr { kind, type_oid: oid::BOOL }
}

pub(super) fn not(expr: Expr) -> Expr {
    boolean(Kind::Not(Box::new(expr)))
}

pub(super) fn negate_if(expr: Expr, negated: bool) -> Expr {
    if negated { not(expr) } else { expr }
}

fn only_column(query: &Query) -> Result<u32> {
    match query.columns.as_slice() {
        [column] => Ok(column.type_oid),
        _ => Err(CatalogError::new("42601", "subquery must return only one column")),
    }
}

/// An integer literal is the smallest of int4, int8 and numeric that holds it.
fn number(digits: &str) -> Result<Expr> {
    if let Ok(value) = digits.parse::<i64>() {
        let type_oid = if i32::try_from(value).is_ok() { oid::INT4 } else { oid::INT8 };
        return Ok(Expr::constant(Datum::Int(value), type_oid));
    }
    let value = Datum::from_text(oid::NUMERIC, digits)?;
    Ok(Expr::constant(value, oid::NUMERIC))
}
