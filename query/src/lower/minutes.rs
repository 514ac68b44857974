//! `'2024-01-01 00:01'` is a timestamp in PostgreSQL; the parser under the planner asks for seconds as well.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan};

use super::gapfill::any_expression;

type Result<T> = datafusion::common::Result<T>;

/// Adds the seconds to literals that are cast to timestamps, in a plan in which every cast is written out.
///
/// # Errors
/// Those of the plan's own checks.
pub(super) fn add_seconds(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !any_expression(&plan, |expr| with_seconds(expr).is_some())? {
        return Ok(plan);
    }
    let added = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(Transformed::yes(name.restore(add_seconds_to(expr)?)))
        })
    })?;
    Ok(added.data)
}

/// An expression with the seconds added to such literals.
///
/// # Errors
/// None that an expression of the planner's can cause.
pub(super) fn add_seconds_to(expr: Expr) -> Result<Expr> {
    let added = expr.transform_up(|inner| {
        Ok(match with_seconds(&inner) {
            Some(added) => Transformed::yes(added),
            None => Transformed::no(inner),
        })
    })?;
    Ok(added.data)
}

/// A cast of a literal that ends with the minute, with the seconds.
fn with_seconds(expr: &Expr) -> Option<Expr> {
    let Expr::Cast(Cast { expr: literal, field }) = expr else { return None };
    let Expr::Literal(ScalarValue::Utf8(Some(text)), metadata) = literal.as_ref() else { return None };
    if !field.data_type().is_temporal() {
        return None;
    }
    let literal = Expr::Literal(ScalarValue::Utf8(Some(complete(text)?)), metadata.clone());
    Some(Expr::Cast(Cast { expr: Box::new(literal), field: field.clone() }))
}

/// The instant that a constant stands for where text is read in a time zone, in nanoseconds since the Unix epoch; `None` for NULL.
///
/// # Errors
/// When it stands for none.
pub(crate) fn instant(value: &ScalarValue, time_zone: &Arc<str>) -> Result<Option<i64>> {
    let completed = value.try_as_str().flatten().and_then(complete).map(|text| ScalarValue::Utf8(Some(text)));
    let data_type = DataType::Timestamp(TimeUnit::Nanosecond, Some(time_zone.clone()));
    match completed.as_ref().unwrap_or(value).cast_to(&data_type)? {
        ScalarValue::TimestampNanosecond(ns, _) => Ok(ns),
        _ => Ok(None),
    }
}

/// `2024-01-01 00:01+02` as `2024-01-01 00:01:00+02`; `None` for text of any other form.
fn complete(text: &str) -> Option<String> {
    const FORM: &[u8] = b"dddd-dd-dd dd:dd";
    let (start, zone) = text.split_at_checked(FORM.len())?;
    let fits = |(byte, form): (u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        b' ' => matches!(byte, b' ' | b'T'),
        other => byte == *other,
    };
    let ends = zone.is_empty() || zone.starts_with(['+', '-', 'Z', ' ']);
    (ends && start.bytes().zip(FORM).all(fits)).then(|| format!("{start}:00{zone}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_with_the_minute_gets_seconds() {
        let check = |text: &str, expected: &str| assert_eq!(complete(text).as_deref().unwrap_or("-"), expected);
        check("2024-01-01 00:01", "2024-01-01 00:01:00");
        check("2024-01-01T00:01Z", "2024-01-01T00:01:00Z");
        check("2024-01-01 00:01+02:30", "2024-01-01 00:01:00+02:30");
        check("2024-01-01 00:01 Europe/Berlin", "2024-01-01 00:01:00 Europe/Berlin");
        check("2024-01-01 00:01:02", "-");
        check("2024-01-01", "-");
        check("2024-01-01 0a:01", "-");
        check("grüße an die Welt", "-");
    }
}
