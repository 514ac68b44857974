//! `increase`, `rate` and `delta` of a group as sums of steps, so that what neighbouring groups give adds up.
//!
//! ```text
//! Aggregate: bucket, host, increase(v, time)
//! ─►
//! Projection: bucket, host, sum(step) AS increase(v, time)
//!   Aggregate: bucket, host, sum(step)
//!     Window: step(v, time) PARTITION BY series ORDER BY time
//! ```
//!
//! The series of a table's rows are told by its tags. Rows of anything else are of one series where they agree in what the
//! query groups by, but for what it makes of time.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DataFusionError, TableReference};
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, ScalarUDF, WindowUDF, when,
};
use plimsoll_engine::ColumnKind;

use super::gapfill::any_expression;
use crate::Error;
use crate::functions::{Asked, Counter, PerSecond, Step, Steps};
use crate::source::SnapshotTable;

type Result<T> = datafusion::common::Result<T>;

/// Puts sums of steps in the place of counters, everywhere in a plan.
///
/// # Errors
/// [`Error::Unsupported`] for DISTINCT.
pub(super) fn lower_counters(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !any_expression(&plan, |expr| asked(expr).is_some())? {
        return Ok(plan);
    }
    let lowered = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().any(|call| asked(call).is_some()) => {
            Ok(Transformed::yes(lower(&aggregate)?))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(lowered.data)
}

/// A call of one of the aggregates.
fn asked(expr: &Expr) -> Option<(Asked, &AggregateFunction)> {
    let Expr::AggregateFunction(call) = expr else { return None };
    let counter = call.func.inner().downcast_ref::<Counter>()?;
    Some((counter.asked, call))
}

fn lower(aggregate: &Aggregate) -> Result<LogicalPlan> {
    let mut steps = Vec::new();
    let mut sums = Vec::new();
    let mut outputs = Vec::new();
    for call in &aggregate.aggr_expr {
        let output = match asked(call) {
            Some((asked, function)) => of_steps(asked, function, aggregate, &mut steps, &mut sums)?,
            None => column_of(add(&mut sums, call.clone())),
        };
        outputs.push(output.alias(call.schema_name().to_string()));
    }
    let keys = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
    let keys = (0..keys).map(|at| Expr::Column(Column::from(aggregate.schema.qualified_field(at))));
    let plan = LogicalPlanBuilder::from(aggregate.input.as_ref().clone()).window(steps)?.build()?;
    let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(plan), aggregate.group_expr.clone(), sums)?);
    LogicalPlanBuilder::from(plan).project(keys.chain(outputs))?.build()
}

/// A counter by its steps: adds to `steps` what windows have to give, to `sums` what is made of that, and gives the rest.
fn of_steps(
    asked: Asked,
    call: &AggregateFunction,
    aggregate: &Aggregate,
    steps: &mut Vec<Expr>,
    sums: &mut Vec<Expr>,
) -> Result<Expr> {
    let ([value, time], false, [], None) = (
        call.params.args.as_slice(),
        call.params.distinct,
        call.params.order_by.as_slice(),
        call.params.null_treatment,
    ) else {
        let what = format!("DISTINCT in {}() is not supported", asked.name());
        return Err(DataFusionError::External(Box::new(Error::Unsupported { what, position: None, hint: None })));
    };
    let value = match &call.params.filter {
        Some(filter) => when(filter.as_ref().clone(), value.clone()).end()?,
        None => value.clone(),
    };
    let mut step = |step: Step| -> Result<Expr> {
        let function = Arc::new(WindowUDF::from(Steps::new(step)));
        let call = function.call(vec![value.clone(), time.clone()]);
        let window = call.partition_by(series(aggregate, time)?).order_by(vec![time.clone().sort(true, false)]);
        Ok(column_of(add(steps, window.build()?)))
    };
    let moved = match asked {
        Asked::Increase | Asked::Rate => step(Step::From(Asked::Increase))?,
        Asked::Delta => step(Step::From(Asked::Delta))?,
    };
    let moved = column_of(add(sums, sum(moved)));
    if asked != Asked::Rate {
        return Ok(moved);
    }
    let since = step(Step::Since)?;
    let until = when(since.clone().is_not_null(), time.clone()).end()?;
    let since = column_of(add(sums, min(since)));
    let until = column_of(add(sums, max(until)));
    Ok(ScalarUDF::from(PerSecond::new()).call(vec![moved, since, until]))
}

/// Adds an expression that is not there yet.
fn add(exprs: &mut Vec<Expr>, expr: Expr) -> &Expr {
    let at = exprs.iter().position(|other| *other == expr).unwrap_or_else(|| {
        exprs.push(expr);
        exprs.len() - 1
    });
    &exprs[at]
}

/// The column that a node gives for an expression.
fn column_of(expr: &Expr) -> Expr {
    Expr::Column(Column::from_name(expr.schema_name().to_string()))
}

/// What rows of one series have in common.
fn series(aggregate: &Aggregate, time: &Expr) -> Result<Vec<Expr>> {
    if let Some(tags) = tags_of(&aggregate.input, None) {
        return Ok(tags);
    }
    let times: HashSet<&Column> = time.column_refs();
    let is_of_time = |key: &Expr| key.column_refs().iter().any(|column| times.contains(column));
    let keys = grouping_set_to_exprlist(&aggregate.group_expr)?;
    Ok(keys.into_iter().filter(|key| !is_of_time(key)).cloned().collect())
}

/// The tags of the one table that a plan reads, when it does no more than choose rows of it.
fn tags_of(plan: &LogicalPlan, alias: Option<&TableReference>) -> Option<Vec<Expr>> {
    match plan {
        LogicalPlan::Filter(filter) => tags_of(&filter.input, alias),
        LogicalPlan::SubqueryAlias(of) => tags_of(&of.input, alias.or(Some(&of.alias))),
        LogicalPlan::TableScan(scan) => {
            let table = SnapshotTable::of(&scan.source)?;
            let name = alias.unwrap_or(&scan.table_name);
            let tags = table.columns.iter().filter(|column| column.kind == ColumnKind::Tag);
            Some(tags.map(|tag| Expr::Column(Column::new(Some(name.clone()), &tag.name))).collect())
        }
        _ => None,
    }
}
