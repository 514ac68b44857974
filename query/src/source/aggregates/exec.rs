//! An aggregation of the engine as a table, and the leaf of a plan that runs it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use plimsoll_engine::{AggregateRequest, Aggregation, Snapshot};

use crate::direct::{finished, shown_request};
use crate::source::{engine_error, label};

type Result<T> = datafusion::common::Result<T>;

/// An aggregation of one snapshot, planned. Its columns are named by their place.
#[derive(Debug)]
pub(super) struct EngineAggregates(Arc<Planned>);

#[derive(Debug)]
struct Planned {
    snapshot: Snapshot,
    request: AggregateRequest,
    schema: SchemaRef,
    /// Rollups that take part.
    tiers: Vec<String>,
    /// Taken by the first run; a second one plans anew.
    aggregation: Mutex<Option<Aggregation>>,
}

impl EngineAggregates {
    /// `time_type` is what times are called in the plan.
    pub(super) fn new(
        snapshot: Snapshot,
        request: AggregateRequest,
        aggregation: Aggregation,
        time_type: &DataType,
    ) -> EngineAggregates {
        let field = |(at, field): (usize, &Arc<Field>)| {
            let data_type = match field.data_type() {
                DataType::Timestamp(..) => time_type.clone(),
                other => other.clone(),
            };
            Field::new(at.to_string(), data_type, field.is_nullable())
        };
        let fields: Vec<_> = aggregation.schema().fields().iter().enumerate().map(field).collect();
        let tiers = aggregation.tiers_used().iter().map(ToString::to_string).collect();
        let aggregation = Mutex::new(Some(aggregation));
        EngineAggregates(Arc::new(Planned {
            snapshot,
            request,
            schema: Arc::new(Schema::new(fields)),
            tiers,
            aggregation,
        }))
    }
}

#[async_trait]
impl TableProvider for EngineAggregates {
    fn schema(&self) -> SchemaRef {
        self.0.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.0.schema.fields().len()).collect());
        let schema = Arc::new(self.0.schema.project(&columns)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Arc::new(EngineAggregateExec { planned: self.0.clone(), columns, properties: Arc::new(properties) }))
    }
}

/// Runs the aggregation.
#[derive(Debug)]
struct EngineAggregateExec {
    planned: Arc<Planned>,
    columns: Vec<usize>,
    properties: Arc<PlanProperties>,
}

impl ExecutionPlan for EngineAggregateExec {
    fn name(&self) -> &'static str {
        "EngineAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (planned, columns, schema) = (self.planned.clone(), self.columns.clone(), self.schema());
        let answer = async move {
            let taken = planned.aggregation.lock().unwrap_or_else(PoisonError::into_inner).take();
            let aggregation = match taken {
                Some(aggregation) => aggregation,
                None => planned.snapshot.aggregate(&planned.request).map_err(engine_error)?,
            };
            let batch = finished(aggregation, planned.request.parts_max).await;
            let batch = batch.map_err(|error| DataFusionError::External(Box::new(error)))?;
            label(&batch.project(&columns)?, &schema)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), futures::stream::once(answer))))
    }
}

impl DisplayAs for EngineAggregateExec {
    fn fmt_as(&self, _type: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EngineAggregateExec: {}", shown_request(&self.planned.request))?;
        if !self.planned.tiers.is_empty() {
            write!(f, ", rollups=[{}]", self.planned.tiers.join(", "))?;
        }
        Ok(())
    }
}
