//! The leaf of every physical plan: reads the parts of an engine scan, one partition each.
//!
//! A batch is decoded in the stream itself, which yields between batches; a dropped stream reads no further.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimestampNanosecondType};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use futures::Stream;
use plimsoll_engine::{ScanPart, ScanRequest, Snapshot};

use super::engine_error;
use super::shown::ShownFilter;

type Result<T> = datafusion::common::Result<T>;

/// A scan of one table of one snapshot.
#[derive(Debug)]
pub(super) struct ScanExec {
    snapshot: Snapshot,
    request: ScanRequest,
    /// Parts not yet handed to a stream; a partition that is run again begins its scan anew.
    parts: Mutex<Vec<Option<ScanPart>>>,
    /// Rows that each part may hold, roughly.
    rows_about: Vec<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ScanExec {
    pub(super) fn new(snapshot: Snapshot, request: ScanRequest, parts: Vec<ScanPart>, schema: SchemaRef) -> ScanExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(parts.len().max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        ScanExec {
            snapshot,
            request,
            rows_about: parts.iter().map(ScanPart::rows_about).collect(),
            parts: Mutex::new(parts.into_iter().map(Some).collect()),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The part of a partition; `None` for the one partition of a scan without parts.
    fn part(&self, partition: usize) -> Result<Option<ScanPart>> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        match parts.get_mut(partition).map(Option::take) {
            None if parts.is_empty() => Ok(None),
            None => internal_err!("a scan has no partition {partition}"),
            Some(Some(part)) => Ok(Some(part)),
            Some(None) => {
                let again = self.snapshot.scan(&self.request).map_err(engine_error)?;
                Ok(again.into_iter().nth(partition))
            }
        }
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &'static str {
        "ScanExec"
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

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(Box::pin(ScanStream {
            schema: self.schema(),
            part: self.part(partition)?,
            metrics: BaselineMetrics::new(&self.metrics, partition),
        }))
    }

    /// An estimate of the rows, so that a join holds the smaller side in memory.
    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        arguments: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let rows = match arguments.partition() {
            Some(partition) => self.rows_about.get(partition).copied().unwrap_or(0),
            None => self.rows_about.iter().sum(),
        };
        let unknown = Statistics::new_unknown(&self.schema());
        Ok(Arc::new(unknown.with_num_rows(Precision::Inexact(rows))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _type: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.request;
        write!(f, "ScanExec: table={}, columns=[{}]", request.table, request.columns.join(", "))?;
        write!(f, "{}", ShownFilter { time: &request.time, tags: &request.tags, predicates: &request.predicates })?;
        if let Some(limit) = request.limit {
            write!(f, ", limit={limit}")?;
        }
        Ok(())
    }
}

/// The batches of one part.
struct ScanStream {
    schema: SchemaRef,
    part: Option<ScanPart>,
    metrics: BaselineMetrics,
}

impl ScanStream {
    fn next_batch(&mut self) -> Option<Result<RecordBatch>> {
        let _timer = self.metrics.elapsed_compute().timer();
        let batch = match self.part.as_mut()?.next()? {
            Ok(batch) => batch,
            Err(error) => {
                self.part = None;
                return Some(Err(engine_error(error)));
            }
        };
        Some(label(&batch, &self.schema))
    }
}

/// Gives the time column the session's time zone; the instants stay as they are.
pub(super) fn label(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let labelled = |(column, field): (&ArrayRef, &Arc<datafusion::arrow::datatypes::Field>)| match field.data_type() {
        DataType::Timestamp(_, Some(zone)) if column.data_type() != field.data_type() => {
            let times = column.as_primitive::<TimestampNanosecondType>().clone();
            Arc::new(times.with_timezone(zone.clone())) as ArrayRef
        }
        _ => column.clone(),
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(labelled).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

impl Stream for ScanStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.next_batch();
        self.metrics.record_poll(Poll::Ready(next))
    }
}

impl RecordBatchStream for ScanStream {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
