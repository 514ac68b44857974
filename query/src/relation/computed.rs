//! Relations whose rows are computed in whole from those of other plans, when they are read.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session as DataFusionSession, TableProvider};
use datafusion::common::{Column, ScalarValue, internal_datafusion_err};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::TryStreamExt;

use crate::plan::{now_ns, physical};
use crate::session::blocking;
use crate::{Error, Result};

use super::kpi::TIME;

/// Makes the rows from the batches of the inputs, in their order, at the time of the statement (nanoseconds since the Unix
/// epoch).
pub(crate) type Compute = dyn Fn(Vec<Vec<RecordBatch>>, i64) -> Result<RecordBatch> + Send + Sync;

/// Such a relation.
pub(crate) struct Computed {
    name: String,
    schema: SchemaRef,
    inputs: Vec<LogicalPlan>,
    /// Columns that the first input has under the same names, and by which rows are computed apart from one another: what
    /// tests only these may be tested there.
    apart: Vec<String>,
    /// How far before and after its time, in nanoseconds, a row's inputs lie in the first input, where both have a column
    /// `time`: what tests the time may be tested there, that much wider.
    reach_ns: Option<(i64, i64)>,
    compute: Arc<Compute>,
}

impl Computed {
    pub(crate) fn new(
        name: impl Into<String>,
        schema: SchemaRef,
        inputs: Vec<LogicalPlan>,
        apart: Vec<String>,
        compute: impl Fn(Vec<Vec<RecordBatch>>, i64) -> Result<RecordBatch> + Send + Sync + 'static,
    ) -> Computed {
        Computed { name: name.into(), schema, inputs, apart, reach_ns: None, compute: Arc::new(compute) }
    }

    /// The rows of a plan in its order, which a view that is planned into its reader does not keep.
    pub(crate) fn ordered(name: impl Into<String>, plan: LogicalPlan) -> Computed {
        let schema = plan.schema().inner().clone();
        Computed::new(name, schema.clone(), vec![plan], Vec::new(), move |inputs, _| {
            let rows = concat_batches(&schema, inputs.iter().flatten()).map_err(DataFusionError::from)?;
            Ok(rows)
        })
    }

    /// The same, whose rows come of what the first input has in the time before and after theirs.
    pub(crate) fn reaching(self, before_ns: i64, after_ns: i64) -> Computed {
        Computed { reach_ns: Some((before_ns, after_ns)), ..self }
    }

    /// The plans that it reads.
    pub(crate) fn inputs(&self) -> &[LogicalPlan] {
        &self.inputs
    }

    /// True for a test by which whole series of rows are left out.
    pub(crate) fn is_apart(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        !columns.is_empty() && !filter.is_volatile() && columns.iter().all(|column| self.apart.contains(&column.name))
    }

    /// What a test of the time says of the first input; `None` for other tests.
    fn reached(&self, filter: &Expr) -> Option<Expr> {
        let (before_ns, after_ns) = self.reach_ns?;
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
        let (Expr::Column(column), Expr::Literal(ScalarValue::TimestampNanosecond(Some(at_ns), zone), _)) =
            (&**left, &**right)
        else {
            return None;
        };
        let (op, at_ns) = match op {
            Operator::Gt | Operator::GtEq => (Operator::GtEq, at_ns.saturating_sub(before_ns)),
            Operator::Lt | Operator::LtEq => (Operator::LtEq, at_ns.saturating_add(after_ns)),
            _ => return None,
        };
        let bound = Expr::Literal(ScalarValue::TimestampNanosecond(Some(at_ns), zone.clone()), None);
        (column.name == TIME).then(|| Expr::BinaryExpr(BinaryExpr::new(left.clone(), op, Box::new(bound))))
    }

    async fn rows(&self, state: &SessionState, filters: &[Expr]) -> Result<RecordBatch> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        let reservation = MemoryConsumer::new(self.name.clone()).register(&state.runtime_env().memory_pool);
        for (at, input) in self.inputs.iter().enumerate() {
            let input = match at {
                0 => {
                    let reached: Vec<Expr> = filters.iter().filter_map(|filter| self.reached(filter)).collect();
                    let apart = filters.iter().filter(|filter| self.is_apart(filter));
                    narrowed(input.clone(), apart.chain(&reached))?
                }
                _ => input.clone(),
            };
            let mut stream = execute_stream(physical(input, state).await?, state.task_ctx())?;
            let mut batches = Vec::new();
            while let Some(batch) = stream.try_next().await? {
                reservation.try_grow(batch.get_array_memory_size())?;
                batches.push(batch);
            }
            inputs.push(batches);
        }
        let (compute, now_ns) = (self.compute.clone(), now_ns(state));
        blocking(move || compute(inputs, now_ns)).await
    }
}

/// A plan with tests of its columns, which are named without their relation.
pub(crate) fn narrowed<'a>(plan: LogicalPlan, filters: impl Iterator<Item = &'a Expr>) -> Result<LogicalPlan> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let mut builder = LogicalPlanBuilder::from(plan);
    for filter in filters {
        let schema = builder.schema().clone();
        let bare = filter.clone().transform(|expr| match expr {
            Expr::Column(column) => {
                let (relation, field) = schema.qualified_field_with_unqualified_name(&column.name)?;
                Ok(Transformed::yes(Expr::Column(Column::from((relation, field)))))
            }
            other => Ok(Transformed::no(other)),
        })?;
        builder = builder.filter(bare.data)?;
    }
    Ok(builder.build()?)
}

#[async_trait]
impl TableProvider for Computed {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::common::Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.is_apart(filter) {
            true => TableProviderFilterPushDown::Exact,
            false if self.reached(filter).is_some() => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn DataFusionSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let full = session_state(state, &self.name)?;
        let batch = Box::pin(self.rows(full, filters)).await.map_err(external)?;
        MemTable::try_new(self.schema.clone(), vec![vec![batch]])?.scan(state, projection, &[], None).await
    }
}

/// The state of the session in which a relation is read.
///
/// # Errors
/// An internal error where there is none.
pub(crate) fn session_state<'a>(
    session: &'a dyn DataFusionSession,
    relation: &str,
) -> datafusion::common::Result<&'a SessionState> {
    let any: &dyn std::any::Any = session.as_any();
    any.downcast_ref().ok_or_else(|| internal_datafusion_err!("{relation} is read outside of a session"))
}

/// An error of ours on its way through DataFusion.
pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl fmt::Debug for Computed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Computed").field("name", &self.name).finish_non_exhaustive()
    }
}
