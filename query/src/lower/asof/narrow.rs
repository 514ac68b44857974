//! Takes conditions on an ASOF JOIN to the tables that it reads, where the planner underneath does not.
//!
//! Conditions on columns of the left choose among its rows, one for one. A row that is left takes no row of the right beyond
//! its own time, so a bound of the left's time on that side bounds the right's as well.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Union, WindowFunctionDefinition,
};

use super::super::gapfill::any_expression;
use super::TIME;
use crate::functions::LastOfOther;

type Result<T> = datafusion::common::Result<T>;

/// Narrows every ASOF JOIN that a condition stands directly over.
///
/// # Errors
/// Those of the plan's own checks.
pub(in super::super) fn narrow_asof_joins(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !any_expression(&plan, |expr| last_of_other(expr).is_some())? {
        return Ok(plan);
    }
    let narrowed = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::Filter(filter) = &node else { return Ok(Transformed::no(node)) };
        match narrow(filter)? {
            Some(input) => {
                let narrowed = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
                Ok(Transformed::yes(LogicalPlan::Filter(narrowed)))
            }
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(narrowed.data)
}

/// The function of windows behind an ASOF JOIN.
fn last_of_other(expr: &Expr) -> Option<&WindowFunction> {
    let Expr::WindowFunction(call) = expr else { return None };
    let WindowFunctionDefinition::WindowUDF(function) = &call.fun else { return None };
    function.inner().downcast_ref::<LastOfOther>().map(|_| call.as_ref())
}

/// The ASOF JOIN under a filter, reading less; `None` when there is none, or nothing to be left out.
fn narrow(filter: &Filter) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Projection(columns) = filter.input.as_ref() else { return Ok(None) };
    let LogicalPlan::Filter(of_left) = columns.input.as_ref() else { return Ok(None) };
    let LogicalPlan::Window(window) = of_left.input.as_ref() else { return Ok(None) };
    let Some(call) = window.window_expr.first().and_then(last_of_other) else { return Ok(None) };
    let LogicalPlan::Union(Union { inputs, .. }) = window.input.as_ref() else { return Ok(None) };
    let [left, right] = inputs.as_slice() else { return Ok(None) };
    let (LogicalPlan::Projection(left), LogicalPlan::Projection(right)) = (left.as_ref(), right.as_ref()) else {
        return Ok(None);
    };
    let conditions: Vec<&Expr> = split_conjunction(&filter.predicate);
    let conditions = conditions.into_iter().filter(|condition| is_of(condition, left));
    let conditions: Vec<Expr> = conditions.cloned().collect();
    if conditions.is_empty() {
        return Ok(None);
    }
    let ascending = call.params.order_by.first().is_some_and(|key| key.asc);
    let bounds = match (time_of(left), time_of(right)) {
        (Some(of_left), Some(of_right)) => {
            let bound = |condition: &Expr| bound_of_right(condition, of_left, of_right, ascending);
            conditions.iter().filter_map(bound).collect()
        }
        _ => Vec::new(),
    };
    let union = LogicalPlanBuilder::from(with_filter(left, conditions)?).union(with_filter(right, bounds)?)?.build()?;
    let rows = LogicalPlanBuilder::from(union).window(window.window_expr.clone())?;
    Ok(Some(rows.filter(of_left.predicate.clone())?.project(columns.expr.clone())?.build()?))
}

/// True for a condition that is about columns of the left alone, and says the same wherever it is asked.
fn is_of(condition: &Expr, left: &Projection) -> bool {
    let columns = condition.column_refs();
    let schema = left.input.schema();
    let has_subquery = condition.exists(|inner| {
        Ok(matches!(inner, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)))
    });
    !columns.is_empty()
        && columns.into_iter().all(|column| schema.has_column(column))
        && !condition.is_volatile()
        && !has_subquery.unwrap_or(true)
}

/// What a side calls its time.
fn time_of(side: &Projection) -> Option<&Expr> {
    side.expr.iter().find_map(|expr| match expr {
        Expr::Alias(alias) if alias.name == TIME => Some(alias.expr.as_ref()),
        _ => None,
    })
}

/// What a bound of the left's time says of the right's.
fn bound_of_right(condition: &Expr, of_left: &Expr, of_right: &Expr, ascending: bool) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (op, bound) = match () {
        () if left.as_ref() == of_left => (*op, right),
        () if right.as_ref() == of_left => (op.swap()?, left),
        () => return None,
    };
    let is_beyond = match op {
        Operator::Lt | Operator::LtEq => ascending,
        Operator::Gt | Operator::GtEq => !ascending,
        _ => false,
    };
    let compared = || BinaryExpr::new(Box::new(of_right.clone()), op, bound.clone());
    (is_beyond && bound.column_refs().is_empty()).then(|| Expr::BinaryExpr(compared()))
}

fn with_filter(side: &Projection, conditions: Vec<Expr>) -> Result<LogicalPlan> {
    let mut input = LogicalPlanBuilder::from(side.input.as_ref().clone());
    if let Some(conditions) = conjunction(conditions) {
        input = input.filter(conditions)?;
    }
    input.project(side.expr.clone())?.build()
}
