//! Filters on buckets of time become filters on times, which a scan can prune by.
//!
//! A view or a KPI groups by `time_bucket(...)`; a filter on its column reaches the table as one on that call. Functions know which
//! times a bucket has (`preimage`), but DataFusion asks them only before filters are moved to where they are needed.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan};
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};

type Result<T> = datafusion::common::Result<T>;

/// The functions whose comparisons are turned round.
const BUCKETS: [&str; 2] = ["time_bucket", "date_bin"];

/// Rewrites filters that stand over a scan.
#[derive(Debug)]
struct TimesOfBuckets;

/// The rules of DataFusion's optimizer with this one among them, where filters have arrived and are not yet cut into parts.
pub(crate) fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let after = rules.iter().position(|rule| rule.name() == PushDownFilter::new().name());
    rules.insert(after.map_or(rules.len(), |at| at + 1), Arc::new(TimesOfBuckets));
    rules
}

impl OptimizerRule for TimesOfBuckets {
    fn name(&self) -> &'static str {
        "times_of_buckets"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
        if !matches!(&*filter.input, LogicalPlan::TableScan(_))
            || !filter.predicate.exists(|part| Ok(is_bucket(part)))?
        {
            return Ok(Transformed::no(plan));
        }
        let context = SimplifyContext::builder().with_schema(filter.input.schema().clone()).build();
        let simplified = ExprSimplifier::new(context).simplify(filter.predicate.clone())?;
        if simplified == filter.predicate {
            return Ok(Transformed::no(plan));
        }
        let moved = LogicalPlan::Filter(Filter::try_new(simplified, filter.input.clone())?);
        Ok(Transformed::yes(PushDownFilter::new().rewrite(moved, config)?.data))
    }
}

fn is_bucket(part: &Expr) -> bool {
    matches!(part, Expr::ScalarFunction(call) if BUCKETS.contains(&call.func.name()))
}
