//! The score that a condition compares with.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, SelectItem, SetExpr, Value, visit_expressions_mut};

use crate::lower::folded;
use crate::{Error, Result};

/// The column.
const SCORE: &str = "score";

/// A condition with another score to compare with, wherever it says `score >= ...` or the like.
///
/// # Errors
/// KP021 when it compares no score with anything.
pub(super) fn with_threshold(condition: &str, threshold: &str) -> Result<String> {
    let mut expression = parsed(condition)?;
    let number = Expr::Value(Value::Number(threshold.to_owned(), false).into());
    let mut found = 0;
    each_threshold(&mut expression, |other| {
        found += 1;
        *other = number.clone();
    });
    match found {
        0 => {
            let what = format!("there is no score_threshold in the condition {condition}");
            Err(Error::definition("KP021", what).hinted("A condition such as score >= 2.5 has one."))
        }
        _ => Ok(expression.to_string()),
    }
}

/// The number that a condition compares the score with; `None` when it is none, or there are several.
pub(super) fn threshold_of(condition: &str) -> Option<f64> {
    let mut expression = parsed(condition).ok()?;
    let mut numbers = Vec::new();
    each_threshold(&mut expression, |other| numbers.push(other.to_string().parse().ok()));
    match numbers.as_slice() {
        [number] => *number,
        _ => None,
    }
}

/// The parts of a condition, all of which have to be true, or one of which has to be; the whole where it has no parts.
pub(super) fn terms(condition: &str) -> Result<Vec<String>> {
    fn split(expression: &Expr, by: &BinaryOperator, parts: &mut Vec<String>) {
        match expression {
            Expr::BinaryOp { left, op, right } if op == by => {
                split(left, by, parts);
                split(right, by, parts);
            }
            other => parts.push(other.to_string()),
        }
    }
    let mut expression = parsed(condition)?;
    while let Expr::Nested(inner) = expression {
        expression = *inner;
    }
    let mut parts = Vec::new();
    let by = match &expression {
        Expr::BinaryOp { op: BinaryOperator::Or, .. } => BinaryOperator::Or,
        _ => BinaryOperator::And,
    };
    split(&expression, &by, &mut parts);
    Ok(parts)
}

fn parsed(condition: &str) -> Result<Expr> {
    let query = crate::statement::query(&format!("SELECT ({condition}\n)"))?;
    let none = || Error::Internal("a condition that is none".to_owned());
    let SetExpr::Select(select) = &*query.body else { return Err(none()) };
    match select.projection.first() {
        Some(SelectItem::UnnamedExpr(Expr::Nested(expression))) => Ok((**expression).clone()),
        _ => Err(none()),
    }
}

fn each_threshold(expression: &mut Expr, mut work: impl FnMut(&mut Expr)) {
    let _: ControlFlow<()> = visit_expressions_mut(expression, |part| {
        if let Expr::BinaryOp { left, op, right } = part {
            match op {
                BinaryOperator::Gt | BinaryOperator::GtEq if is_score(left) => work(right),
                BinaryOperator::Lt | BinaryOperator::LtEq if is_score(right) => work(left),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    });
}

fn is_score(expression: &Expr) -> bool {
    match expression {
        Expr::Identifier(name) => folded(name) == SCORE,
        Expr::CompoundIdentifier(names) => names.last().is_some_and(|name| folded(name) == SCORE),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_put_in_place_of_what_the_score_is_compared_with() {
        let with = |condition: &str| with_threshold(condition, "2.5").unwrap();
        assert_eq!(with("score >= tier_threshold('a') AND value > upper"), "score >= 2.5 AND value > upper");
        assert_eq!(with("4 < t.score OR (signal.score > 3)"), "2.5 < t.score OR (signal.score > 2.5)");
        assert_eq!(with("score > 1 -- as always"), "score > 2.5");
        let refused = with_threshold("value > 5 AND \"Score\" > 3 AND score < 9", "2.5").unwrap_err();
        assert!(refused.to_string().contains("no score_threshold"), "{refused}");
        assert_eq!(threshold_of("score >= 3.5 AND value > 1"), Some(3.5));
        assert_eq!(threshold_of("score >= tier_threshold('a')"), None);
    }

    #[test]
    fn conditions_have_terms() {
        assert_eq!(terms("(a > 1 AND (b OR c) AND d)").unwrap(), ["a > 1", "(b OR c)", "d"]);
        assert_eq!(terms("a OR b AND c").unwrap(), ["a", "b AND c"]);
        assert_eq!(terms("value > 5").unwrap(), ["value > 5"]);
    }
}
