//! Which KPIs can be kept up: those whose rows of one time come of rows of about that time, and of nothing else.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Volatility};

use super::rows::Layout;
use crate::relation::TIME;
use crate::source::SnapshotTable;
use crate::{OutputColumn, Result};

/// Functions that give the start of a bucket.
const BUCKETS: [&str; 2] = ["time_bucket", "date_bin"];

/// Aggregates that go by the time of a row.
const BY_TIME: [&str; 6] = ["first", "last", "first_value", "last_value", "rate", "increase"];

/// How much longer than its width a bucket of days in a time zone can be: two changes of the clock.
const CLOCK_CHANGES_NS: i64 = 2 * 3_600_000_000_000;

const DAY_NS: i64 = 86_400_000_000_000;

/// What the rows of a KPI come of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// The table.
    pub(super) table: String,
    /// Rows of a time `t` come of rows of the table in `[t, t + reach_ns]`.
    pub(super) reach_ns: i64,
}

/// Reads the analysed plan of a KPI's query. The outer error is none of the query's; the inner one is the reason, a part of a
/// sentence, why its rows cannot be kept up.
///
/// # Errors
/// Those of DataFusion.
pub(super) fn source(plan: &LogicalPlan) -> Result<Result<Source, String>> {
    let mut found = Found::default();
    plan.apply_with_subqueries(|node| {
        match found.look_at(node)? {
            Ok(()) => return Ok(TreeNodeRecursion::Continue),
            Err(why) => found.refused = Some(why),
        }
        Ok(TreeNodeRecursion::Stop)
    })?;
    if let Some(why) = found.refused {
        return Ok(Err(why));
    }
    Ok(match (found.tables.as_slice(), found.widths.as_slice()) {
        ([table], []) => Ok(Source { table: table.clone(), reach_ns: 0 }),
        ([table], [reach_ns]) => Ok(Source { table: table.clone(), reach_ns: *reach_ns }),
        ([_], _) => Err("it cuts time into buckets more than once".to_owned()),
        _ => Err("it does not read one table of time series".to_owned()),
    })
}

/// Reads the plan of a view: what its rows come of, and how they are laid out. The inner error is the reason, a part of a sentence,
/// why they cannot be kept up.
///
/// # Errors
/// Those of DataFusion.
pub(super) fn of_view(plan: &LogicalPlan, columns: &[OutputColumn]) -> Result<Result<(Source, Layout), String>> {
    let source = match source(plan)? {
        Ok(source) => source,
        Err(why) => return Ok(Err(why)),
    };
    let is_time =
        |column: &&OutputColumn| column.name == TIME && matches!(column.data_type, DataType::Timestamp(_, Some(_)));
    if columns.iter().find(is_time).is_none() {
        return Ok(Err("it has no column time of the type timestamptz".to_owned()));
    }
    let Some(groups) = groups(plan) else { return Ok(Err("it does not group its rows".to_owned())) };
    let is_dimension = |name: &str| {
        let of = columns.iter().find(|column| column.name == name).map(|column| &column.data_type);
        groups.contains(name) || !of.is_some_and(DataType::is_numeric)
    };
    Ok(Layout::of_view(columns, is_dimension).map(|layout| (source, layout)))
}

/// The names of columns that are what a plan groups by, as they are; `None` for a plan that does not group.
fn groups(plan: &LogicalPlan) -> Option<BTreeSet<String>> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let names = aggregate.group_expr.iter().map(|expr| expr.qualified_name().1);
            Some(names.collect())
        }
        LogicalPlan::Projection(projection) => {
            let inner = groups(&projection.input)?;
            let kept = projection.expr.iter().filter_map(|expr| {
                let plain = expr.clone().unalias();
                let (Expr::Column(column), name) = (&plain, expr.qualified_name().1) else { return None };
                inner.contains(&column.name).then_some(name)
            });
            Some(kept.collect())
        }
        LogicalPlan::Filter(filter) => groups(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => groups(&alias.input),
        _ => None,
    }
}

#[derive(Default)]
struct Found {
    tables: Vec<String>,
    widths: Vec<i64>,
    refused: Option<String>,
}

type Checked = std::result::Result<(), String>;

impl Found {
    fn look_at(&mut self, node: &LogicalPlan) -> Result<Checked, DataFusionError> {
        match node {
            LogicalPlan::TableScan(scan) => match SnapshotTable::of(&scan.source) {
                Some(table) if scan.filters.is_empty() && scan.fetch.is_none() => {
                    self.tables.push(table.name.clone());
                    return Ok(Ok(()));
                }
                _ => return Ok(Err("it reads something else than tables of time series".to_owned())),
            },
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::SubqueryAlias(_) => {}
            _ => return Ok(Err("it joins, sorts, limits or compares rows".to_owned())),
        }
        let inputs = node.inputs();
        let Some(input) = inputs.first() else { return Ok(Err("it reads nothing".to_owned())) };
        for expr in node.expressions() {
            if let Err(why) = self.expression(&expr, input.schema(), true)? {
                return Ok(Err(why));
            }
        }
        Ok(Ok(()))
    }

    /// Checks an expression over the columns of a schema; `may_be_time` says whether an instant may stand there as it is.
    fn expression(&mut self, expr: &Expr, schema: &DFSchema, may_be_time: bool) -> Result<Checked, DataFusionError> {
        let is_instant =
            |expr: &Expr| Ok::<_, DataFusionError>(matches!(expr.get_type(schema)?, DataType::Timestamp(..)));
        let inner = match expr {
            Expr::Column(_) => {
                let fits = may_be_time || !is_instant(expr)?;
                return Ok(if fits { Ok(()) } else { Err("it computes with the time of rows".to_owned()) });
            }
            Expr::Alias(_) => may_be_time,
            Expr::Cast(cast) => match (is_instant(expr)?, is_instant(&cast.expr)?) {
                (true, true) => may_be_time,
                (true, false) => return Ok(Err("it makes instants".to_owned())),
                _ => false,
            },
            Expr::ScalarFunction(call) if BUCKETS.contains(&call.func.name()) => {
                let Some(width_ns) = call.args.first().and_then(fixed_width) else {
                    return Ok(Err("its buckets are not all of one width".to_owned()));
                };
                let slack_ns = if call.args.len() > 2 { CLOCK_CHANGES_NS } else { 0 };
                let reach_ns = width_ns.saturating_add(slack_ns);
                // The same expression stands in a plan more than once.
                if !self.widths.contains(&reach_ns) {
                    self.widths.push(reach_ns);
                }
                true
            }
            Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
                return Ok(Err(format!("what {}() says changes", call.func.name())));
            }
            Expr::AggregateFunction(call) if BY_TIME.contains(&call.func.name()) && !is_instant(expr)? => true,
            Expr::AggregateFunction(_) if is_instant(expr)? => return Ok(Err("it computes an instant".to_owned())),
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::WindowFunction(_) => {
                return Ok(Err("it joins, sorts, limits or compares rows".to_owned()));
            }
            _ => false,
        };
        let mut checked = Ok(());
        expr.apply_children(|child| {
            checked = self.expression(child, schema, inner)?;
            Ok(if checked.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })?;
        Ok(checked)
    }
}

/// The width of buckets in nanoseconds; none for months and for what is no literal.
fn fixed_width(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(width)), _) if width.months == 0 => {
            let days_ns = i64::from(width.days).checked_mul(DAY_NS)?;
            days_ns.checked_add(width.nanoseconds).filter(|ns| *ns > 0)
        }
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => {
            crate::analysis::duration::Span::parse(text).ok()?.fixed_ns().filter(|ns| *ns > 0)
        }
        Expr::Cast(cast) => fixed_width(&cast.expr),
        Expr::Alias(alias) => fixed_width(&alias.expr),
        _ => None,
    }
}
