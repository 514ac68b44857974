//! What names, literals and parameters of a statement mean: columns of the one table, times in the session's zone.

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, Interval, TimezoneInfo, TypedString, UnaryOperator, Value, ValueWithSpan,
};
use plimsoll_engine::{Column, ColumnKind, TableSchema};

use super::operand::{Instant, Operand};
use crate::functions::parse_interval;
use crate::lower::folded;

const NS_PER_DAY: i64 = 86_400_000_000_000;

/// Zones in which a day always has 24 hours and begins with the UTC day.
const UTC: [&str; 5] = ["UTC", "Etc/UTC", "GMT", "+00:00", "Z"];

/// The names that a statement can use.
pub(super) struct Scope<'a> {
    pub(super) table: &'a Arc<TableSchema>,
    pub(super) qualifier: &'a str,
    pub(super) time_zone: &'a Arc<str>,
    /// Types of the parameters as far as they are declared or their places tell.
    pub(super) parameters: RefCell<Vec<Option<DataType>>>,
}

impl<'a> Scope<'a> {
    /// The column that an expression is, with its position in the table.
    pub(super) fn column(&self, expr: &Expr) -> Option<(usize, &'a Column)> {
        let name = match expr {
            Expr::Identifier(name) => name,
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [qualifier, name] if folded(qualifier) == self.qualifier => name,
                _ => return None,
            },
            Expr::Nested(inner) => return self.column(inner),
            _ => return None,
        };
        self.named(name)
    }

    /// The column of a name.
    pub(super) fn named(&self, name: &Ident) -> Option<(usize, &'a Column)> {
        let at = self.table.position(&folded(name))?;
        Some((at, &self.table.columns[at]))
    }

    /// True when the expression is the time column.
    pub(super) fn is_time(&self, expr: &Expr) -> bool {
        self.column(expr).is_some_and(|(_, column)| column.kind == ColumnKind::Time)
    }

    /// The type of the time column.
    pub(super) fn time_type(&self) -> DataType {
        DataType::Timestamp(TimeUnit::Nanosecond, Some(self.time_zone.clone()))
    }

    /// True when days of the session's zone are days of UTC.
    pub(super) fn is_utc(&self) -> bool {
        UTC.contains(&&**self.time_zone)
    }

    /// The number of a parameter, counted from zero, in a place that wants this type.
    pub(super) fn parameter(&self, expr: &Expr, wanted: &DataType) -> Option<usize> {
        let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = expr else { return None };
        let at = usize::from(name.strip_prefix('$')?.parse::<u16>().ok()?).checked_sub(1)?;
        let mut types = self.parameters.borrow_mut();
        let len = types.len().max(at + 1);
        types.resize(len, None);
        match &types[at] {
            None => types[at] = Some(wanted.clone()),
            Some(known) if serves(known, wanted) => {}
            Some(_) => return None,
        }
        Some(at)
    }

    /// A point in time that is known before the rows are read.
    pub(super) fn instant(&self, expr: &Expr) -> Option<Operand<Instant>> {
        match expr {
            Expr::Nested(inner) => self.instant(inner),
            Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. }) => {
                self.parameter(expr, &self.time_type()).map(Operand::Parameter)
            }
            Expr::Function(call) if is_now(call) => Some(Operand::Literal(Instant::Now { offset_ns: 0 })),
            Expr::BinaryOp { left, op, right } => {
                let Operand::Literal(instant) = self.instant(left)? else { return None };
                let length = self.interval_ns(right)?;
                let moved = match op {
                    BinaryOperator::Plus => instant.plus(length),
                    BinaryOperator::Minus => instant.plus(length.checked_neg()?),
                    _ => None,
                };
                moved.map(Operand::Literal)
            }
            other => self.literal_ns(other).map(|ns| Operand::Literal(Instant::At(ns))),
        }
    }

    /// Nanoseconds of a literal point in time.
    pub(super) fn literal_ns(&self, expr: &Expr) -> Option<i64> {
        match expr {
            Expr::Nested(inner) => self.literal_ns(inner),
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }) => {
                self.typed_ns(text_of(&value.value)?, data_type)
            }
            Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr,
                data_type,
                array: false,
                format: None,
            } => self.typed_ns(literal_text(expr)?, data_type),
            other => self.text_ns(literal_text(other)?),
        }
    }

    fn typed_ns(&self, text: &str, data_type: &ast::DataType) -> Option<i64> {
        match data_type {
            ast::DataType::Timestamp(None, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => self.text_ns(text),
            // Without an offset in the text both types name the same instant.
            ast::DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"-:. ".contains(&byte));
                let dashes = text.bytes().filter(|byte| *byte == b'-').count();
                (plain && dashes == 2).then(|| self.text_ns(text))?
            }
            _ => None,
        }
    }

    /// Text as the planner would read it, next to a column of the table's time.
    fn text_ns(&self, text: &str) -> Option<i64> {
        match ScalarValue::Utf8(Some(text.to_owned())).cast_to(&self.time_type()) {
            Ok(ScalarValue::TimestampNanosecond(ns, Some(_))) => ns,
            _ => None,
        }
    }

    /// A literal interval of a fixed length.
    fn interval_ns(&self, expr: &Expr) -> Option<i64> {
        let IntervalMonthDayNano { months, days, nanoseconds } = literal_interval(expr)?;
        let fixed = months == 0 && (days == 0 || self.is_utc());
        let days_ns = fixed.then(|| i64::from(days).checked_mul(NS_PER_DAY))??;
        days_ns.checked_add(nanoseconds)
    }
}

/// True when values of a declared type may stand where another is wanted, without a change of what they mean.
fn serves(declared: &DataType, wanted: &DataType) -> bool {
    use DataType::{Int16, Int32, Int64, Timestamp, Utf8};
    match (declared, wanted) {
        (Timestamp(TimeUnit::Nanosecond, Some(_)), Timestamp(TimeUnit::Nanosecond, Some(_))) => true,
        (Int16 | Int32, Int64) => true,
        (Utf8, Utf8) => true,
        (declared, wanted) => declared == wanted,
    }
}

/// An interval that is written out, with or without the word.
pub(super) fn literal_interval(expr: &Expr) -> Option<IntervalMonthDayNano> {
    match expr {
        Expr::Nested(inner) => literal_interval(inner),
        Expr::Interval(Interval {
            value,
            leading_field,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        }) => {
            let text = literal_text(value)?;
            match leading_field {
                Some(field) => parse_interval(&format!("{text} {field}")).ok(),
                None => parse_interval(text).ok(),
            }
        }
        Expr::Cast {
            kind: CastKind::Cast | CastKind::DoubleColon,
            expr,
            data_type: ast::DataType::Interval { fields: None, precision: None },
            array: false,
            format: None,
        } => parse_interval(literal_text(expr)?).ok(),
        _ => None,
    }
}

/// The text of a string literal.
pub(super) fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value, .. }) => text_of(value),
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text) => Some(text),
        _ => None,
    }
}

/// The digits of a number literal and whether a minus stands before them.
pub(super) fn literal_number(expr: &Expr) -> Option<(bool, &str)> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, false), .. }) => Some((false, digits)),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match literal_number(expr)? {
            (false, digits) => Some((true, digits)),
            _ => None,
        },
        _ => None,
    }
}

/// The name and the arguments of a call that has nothing but these; no arguments for a bare word.
pub(super) fn plain_call(call: &Function) -> Option<(String, &[FunctionArg])> {
    let Function { name, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } = call;
    let plain = !uses_odbc_syntax && matches!(parameters, FunctionArguments::None) && filter.is_none();
    let plain = plain && null_treatment.is_none() && over.is_none() && within_group.is_empty();
    let ([name], true) = (name.0.as_slice(), plain) else { return None };
    let args = match args {
        FunctionArguments::None => &[],
        FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses })
            if clauses.is_empty() =>
        {
            args.as_slice()
        }
        _ => return None,
    };
    Some((folded(name.as_ident()?), args))
}

/// An argument that is an expression and goes by its position.
pub(super) fn argument(arg: &FunctionArg) -> Option<&Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn is_now(call: &Function) -> bool {
    matches!(plain_call(call), Some((name, [])) if name == "now" || name == "current_timestamp")
}
