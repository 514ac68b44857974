//! Tables as DataFusion sees them: a schema at planning, a scan of the run's own snapshot at execution.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session as DataFusionSession, TableProvider};
use datafusion::common::internal_datafusion_err;
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableSource, TableType};
use datafusion::physical_plan::ExecutionPlan;
use plimsoll_engine::{ColumnKind, ScanRequest, Snapshot, TableSchema};

mod aggregates;
mod filter;
mod scan;
mod shortfall;
mod shown;

pub(crate) use aggregates::Pushing;
pub(crate) use filter::Pushed;
use scan::{ScanExec, label};
pub(crate) use shortfall::{Shortfalls, sentence};
pub(crate) use shown::ShownFilter;

use crate::Error;

/// The snapshot of one run, carried in the session configuration of that run, so that a prepared plan reads what is there
/// when it runs; and what the run turns out to ask for that is no longer kept.
#[derive(Debug)]
pub(crate) struct RunSnapshot {
    pub(crate) snapshot: Snapshot,
    pub(crate) shortfalls: Shortfalls,
}

/// One table by its schema. It holds no data: [`TableProvider::scan`] finds the snapshot in the run's configuration.
#[derive(Debug)]
pub(crate) struct SnapshotTable {
    table: Arc<TableSchema>,
    schema: SchemaRef,
}

impl SnapshotTable {
    /// `time_zone` is the session's; the time column is labelled with it, so that text is read and days begin there.
    pub(crate) fn new(table: Arc<TableSchema>, time_zone: &Arc<str>) -> SnapshotTable {
        let field = |column: &plimsoll_engine::Column| match column.kind {
            ColumnKind::Time => {
                Field::new(&column.name, DataType::Timestamp(TimeUnit::Nanosecond, Some(time_zone.clone())), false)
            }
            other => Field::new(&column.name, other.arrow(), true),
        };
        let schema = Arc::new(Schema::new(table.columns.iter().map(field).collect::<Vec<_>>()));
        SnapshotTable { table, schema }
    }

    /// The table behind a source, if it is one of ours.
    pub(crate) fn of(source: &Arc<dyn TableSource>) -> Option<Arc<TableSchema>> {
        let provider = source_as_provider(source).ok()?;
        let any: &dyn std::any::Any = provider.as_ref();
        any.downcast_ref::<SnapshotTable>().map(|table| table.table.clone())
    }
}

/// What an optimized plan narrows its one table by, when it does nothing else and the engine gives the very rows that pass its
/// filters.
pub(crate) fn scan_of(plan: &LogicalPlan) -> Option<Pushed> {
    match plan {
        LogicalPlan::Projection(projection) => scan_of(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => scan_of(&alias.input),
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
            let table = SnapshotTable::of(&scan.source)?;
            filter::push_exactly(&scan.filters, &table)
        }
        _ => None,
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::common::Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters.iter().map(|filter| filter::support(filter, &self.table)).collect())
    }

    async fn scan(
        &self,
        state: &dyn DataFusionSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let missing = || internal_datafusion_err!("a run has no snapshot");
        let run = state.config().get_extension::<RunSnapshot>().ok_or_else(missing)?;
        let snapshot = run.snapshot.clone();
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        let Pushed { time, tags, predicates } = filter::push(filters, &self.table);
        // A limit comes here only when every filter is applied by the engine.
        let request = ScanRequest {
            time,
            tags,
            predicates,
            limit,
            parts_max: state.config().target_partitions().max(1),
            ..ScanRequest::new(&*self.table.name, schema.fields().iter().map(|f| f.name().as_str()))
        };
        if let Some(shortfall) = snapshot.shortfall(&request) {
            run.shortfalls.add(&shortfall);
        }
        let begin = {
            let (snapshot, request) = (snapshot.clone(), request.clone());
            move || snapshot.scan(&request)
        };
        let parts = tokio::task::spawn_blocking(begin)
            .await
            .map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))?
            .map_err(engine_error)?;
        Ok(Arc::new(ScanExec::new(snapshot, request, parts, schema)))
    }
}

/// An error of the engine on its way through DataFusion.
pub(crate) fn engine_error(error: plimsoll_engine::Error) -> DataFusionError {
    DataFusionError::External(Box::new(Error::Engine(error)))
}
