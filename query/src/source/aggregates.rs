//! Aggregates in plans of DataFusion's that the engine computes, from statistics, kernels and rollups instead of rows.
//!
//! ```text
//! Aggregate by keys                     Projection
//!   Projection ...            ─►          Aggregate by keys, which joins
//!     TableScan                             TableScan of an AggregateRequest by grid and tags
//! ```
//!
//! A key may be any expression over tags and over functions of time that are constant between the points of a grid: days in a time
//! zone, months, the hour of the day. The engine groups by the grid and by the tags that the keys mention.
//!
//! Invariants
//! - What is not understood exactly stays as it is, and so does what the engine refuses for its size.
//! - The columns' names and types are those of the aggregate that is replaced.

mod exec;
mod join;
mod keys;
mod resolve;

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, TableReference, internal_err};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Aggregate as AggregateNode, Expr, LogicalPlan, LogicalPlanBuilder, cast};
use plimsoll_engine::{AggregateRequest, Snapshot};

use super::shortfall::Shortfalls;
use super::{SnapshotTable, filter};
use exec::EngineAggregates;
use join::Joins;
use keys::Keys;
use resolve::{leaf, resolved};

type Result<T> = datafusion::common::Result<T>;

/// What a rewrite may use.
pub(crate) struct Pushing<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) threads: usize,
    /// Filled with what rollups cannot answer.
    pub(crate) shortfalls: &'a Shortfalls,
}

impl Pushing<'_> {
    /// The plan with every aggregate that the engine can compute handed to it.
    ///
    /// # Errors
    /// Those of rebuilding a plan.
    pub(crate) fn push(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let pushed = plan.transform_up_with_subqueries(|node| match &node {
            LogicalPlan::Aggregate(aggregate) => match self.replaced(aggregate) {
                Some(plan) => Ok(Transformed::yes(plan)),
                None => Ok(Transformed::no(node)),
            },
            _ => Ok(Transformed::no(node)),
        })?;
        if !pushed.transformed {
            return Ok(pushed.data);
        }
        Ok(pushed.data.transform_up_with_subqueries(|node| Ok(Transformed::yes(node.recompute_schema()?)))?.data)
    }

    /// What an aggregate becomes; `None` when it stays.
    fn replaced(&self, aggregate: &AggregateNode) -> Option<LogicalPlan> {
        if !self.snapshot.shortcuts().pushdown {
            return None;
        }
        let scan = leaf(&aggregate.input)?;
        let table = SnapshotTable::of(&scan.source)?;
        let pushed = filter::push_exactly(&scan.filters, &table)?;
        let time_type =
            scan.source.schema().field(table.position(plimsoll_engine::TableSchema::TIME)?).data_type().clone();
        let group: Vec<Expr> =
            aggregate.group_expr.iter().map(|key| resolved(key, &aggregate.input)).collect::<Option<_>>()?;
        let extent = self.snapshot.extent(&table.name).map(|extent| extent.intersect(&pushed.time));
        let keys = Keys::read(&group, &table, &time_type, extent)?;
        let is_tiered = self.snapshot.is_tiered(&table.name);
        let mut joins = Joins::new(&table, is_tiered);
        for call in &aggregate.aggr_expr {
            joins.add(&resolved(call, &aggregate.input)?)?;
        }
        let request = AggregateRequest {
            time: pushed.time,
            tags: pushed.tags,
            predicates: pushed.predicates,
            group_tags: keys.tags.clone(),
            bucket: keys.bucket(),
            parts_max: self.threads,
            ..AggregateRequest::new(&*table.name, joins.asked())
        };
        let aggregation = self.snapshot.aggregate(&request).ok()?;
        if let Some(shortfall) = aggregation.shortfall() {
            self.shortfalls.add(shortfall);
        }
        let engine = EngineAggregates::new(self.snapshot.clone(), request, aggregation, &time_type);
        rebuilt(aggregate, &table.name, engine, &keys, &group, &joins).ok()
    }
}

/// The engine's answer grouped by the keys, under the names and types of the aggregate that it stands for.
fn rebuilt(
    aggregate: &AggregateNode,
    table: &str,
    engine: EngineAggregates,
    keys: &Keys,
    group: &[Expr],
    joins: &Joins,
) -> Result<LogicalPlan> {
    let name = TableReference::bare(table);
    let column = |at: usize| Expr::Column(Column::new(Some(name.clone()), at.to_string()));
    let group = group.iter().map(|key| keys.over_answer(key, &column)).collect::<Result<Vec<_>>>()?;
    let first = keys.columns();
    let (calls, outputs) = joins.over_answer(|nth| column(first + nth));
    let keys_len = group.len();
    let columns = keys_len + calls.len();
    let scan = LogicalPlanBuilder::scan(name.clone(), provider_as_source(Arc::new(engine)), None)?;
    let grouped = scan.aggregate(group, calls)?.build()?;
    if grouped.schema().fields().len() != columns {
        return internal_err!("keys that are one over the table");
    }
    let joined = |at: usize| Expr::Column(Column::from(grouped.schema().qualified_field(at)));
    let values =
        (0..keys_len).map(joined).chain(outputs.iter().map(|output| output.value(|nth| joined(keys_len + nth))));
    let renamed = values.zip(aggregate.schema.iter()).map(|(value, (qualifier, field))| {
        cast(value, field.data_type().clone()).alias_qualified(qualifier.cloned(), field.name())
    });
    let renamed: Vec<Expr> = renamed.collect();
    LogicalPlanBuilder::from(grouped).project(renamed)?.build()
}
