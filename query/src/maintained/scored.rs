//! A KPI with a baseline whose verdicts are kept, as DataFusion sees it.
//!
//! Kept verdicts are read with their rows; the few rows that came since are scored by the models as they stand. Where verdicts are not
//! kept up to where the rows are, everything is computed.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session as DataFusionSession, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::source::{KeptKpi, Split};
use crate::Result;
use crate::relation::{Computed, Models, Scoring, Shape, TIME, external, in_order, narrowed, session_state};
use crate::source::RunSnapshot;

/// The relation of such a KPI.
pub(super) struct ScoredKpi {
    pub(super) kept: KeptKpi,
    /// Which definition of the baseline it is.
    pub(super) version: u64,
    pub(super) shape: Shape,
    /// Everything computed from all rows.
    pub(super) whole: Computed,
    pub(super) scoring: Arc<Scoring>,
}

impl ScoredKpi {
    /// The relation where verdicts are kept up; `None` where they are not.
    fn quick(&self, state: &SessionState, filters: &[Expr]) -> Result<Option<Computed>> {
        let Some(run) = state.config().get_extension::<RunSnapshot>() else { return Ok(None) };
        let snapshot = &run.snapshot;
        let analyzed = |plan| state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {});
        let Some(scores) = self.kept.scores(self.version, snapshot) else { return Ok(None) };
        let Some(Split { scored, later, stale }) = self.kept.split(&scores, snapshot)? else { return Ok(None) };
        // Rows that are scored come one after the other, so only the last of them can be left out, and whole series.
        let (at_once, in_turn): (Vec<&Expr>, Vec<&Expr>) = (
            filters.iter().filter(|filter| self.is_of_time_or_series(filter)).collect(),
            filters.iter().filter(|filter| self.whole.is_apart(filter)).collect(),
        );
        let scored = in_order(narrowed(analyzed(scored)?, at_once.into_iter())?, &self.shape)?;
        let later = in_order(narrowed(analyzed(later)?, in_turn.into_iter())?, &self.shape)?;
        let stale = analyzed(stale)?;
        let (scoring, models, name) = (self.scoring.clone(), scores.models.clone(), self.kept.name().to_owned());
        let compute = move |inputs: Vec<Vec<RecordBatch>>, _now: i64| both(&scoring, &inputs, &models);
        Ok(Some(Computed::new(name, self.scoring.schema.clone(), vec![scored, later, stale], Vec::new(), compute)))
    }

    /// True for a test that is as good before rows are put together.
    fn is_of_time_or_series(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        let fits = |name: &str| name == TIME || self.shape.dimensions.iter().any(|dimension| dimension == name);
        !columns.is_empty() && !filter.is_volatile() && columns.iter().all(|column| fits(&column.name))
    }
}

fn both(scoring: &Scoring, inputs: &[Vec<RecordBatch>], models: &Models) -> Result<RecordBatch> {
    let empty = Vec::new();
    let kept = scoring.overridden(inputs.first().unwrap_or(&empty))?;
    let given = scoring.given(inputs.get(2).unwrap_or(&empty))?;
    let later = scoring.scored(inputs.get(1).unwrap_or(&empty), models, &given)?;
    Ok(concat_batches(&scoring.schema, [&kept, &later]).map_err(DataFusionError::from)?)
}

#[async_trait]
impl TableProvider for ScoredKpi {
    fn schema(&self) -> SchemaRef {
        self.scoring.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::common::Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.is_of_time_or_series(filter) {
            true => TableProviderFilterPushDown::Inexact,
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
        let full = session_state(state, self.kept.name())?;
        match self.quick(full, filters).map_err(external)? {
            Some(quick) => quick.scan(state, projection, &[], None).await,
            None => {
                let apart: Vec<Expr> = filters.iter().filter(|filter| self.whole.is_apart(filter)).cloned().collect();
                self.whole.scan(state, projection, &apart, None).await
            }
        }
    }
}

impl ScoredKpi {
    /// The plan of the query of the KPI.
    pub(super) fn live(&self) -> &LogicalPlan {
        self.kept.live()
    }
}

impl fmt::Debug for ScoredKpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScoredKpi").field("kept", &self.kept).finish_non_exhaustive()
    }
}
