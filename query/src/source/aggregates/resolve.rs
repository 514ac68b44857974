//! Expressions over what a plan gives, as expressions over the columns of the one table underneath.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};

/// The table under projections and aliases; `None` when there is anything else between.
pub(super) fn leaf(plan: &LogicalPlan) -> Option<&TableScan> {
    match plan {
        LogicalPlan::Projection(projection) => leaf(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => leaf(&alias.input),
        LogicalPlan::TableScan(scan) => Some(scan).filter(|scan| scan.fetch.is_none()),
        _ => None,
    }
}

/// An expression over the output of a plan that [`leaf`] goes through, over the table's own columns, without an alias.
pub(super) fn resolved(expr: &Expr, plan: &LogicalPlan) -> Option<Expr> {
    let over_table = expr.clone().unalias_nested().data.transform(|part| match &part {
        Expr::Column(column) => {
            let at = plan.schema().index_of_column(column)?;
            let found = output(plan, at).ok_or_else(|| DataFusionError::Internal("no such column".to_owned()))?;
            // What is put in stands over the table already.
            Ok(Transformed::new(found, true, datafusion::common::tree_node::TreeNodeRecursion::Jump))
        }
        _ => Ok(Transformed::no(part)),
    });
    over_table.ok().map(|over_table| over_table.data)
}

/// What a column of a plan's output is.
fn output(plan: &LogicalPlan, at: usize) -> Option<Expr> {
    match plan {
        LogicalPlan::Projection(projection) => resolved(projection.expr.get(at)?, &projection.input),
        LogicalPlan::SubqueryAlias(alias) => output(&alias.input, at),
        LogicalPlan::TableScan(scan) => {
            Some(Expr::Column(Column::new_unqualified(scan.projected_schema.fields().get(at)?.name())))
        }
        _ => None,
    }
}
