//! A KPI that is kept up, as DataFusion sees it: its kept rows where they hold, and its query for all other times.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session as DataFusionSession, TableProvider};
use datafusion::common::{Column, ScalarValue, internal_datafusion_err};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, cast, lit, when,
};
use datafusion::physical_plan::ExecutionPlan;
use plimsoll_engine::Snapshot;

use super::Kept;
use super::rows::{EMPTY, Layout};
use super::scores::Scores;
use crate::lower::Lowering;
use crate::plan::physical;
use crate::relation::{Measure, Shape, TIME, VERDICT, external, known, narrowed, session_state};
use crate::source::{RunSnapshot, SnapshotTable};
use crate::{Database, Result};

/// The rows of a KPI with a baseline.
pub(super) struct Split {
    /// Those that hold and have verdicts, with these.
    pub(super) scored: LogicalPlan,
    /// All others, as they are now.
    pub(super) later: LogicalPlan,
    /// Those that were touched since, as they were, with the verdicts that they had.
    pub(super) stale: LogicalPlan,
}

/// Rows without a verdict that a reader scores itself, in buckets; with more of them it computes everything.
const LAG_BUCKETS: i64 = 1_440;

/// What the columns of its query are.
pub(super) enum Columns {
    Kpi(Shape),
    View(Layout),
}

/// The relation of such a KPI, or of a view that is kept up like one.
pub(super) struct KeptKpi {
    name: String,
    version: u64,
    /// The rows as its query gives them.
    live: LogicalPlan,
    columns: Columns,
    schema: SchemaRef,
    database: Database,
    time_zone: Arc<str>,
}

impl KeptKpi {
    pub(super) fn new(
        name: &str,
        version: u64,
        live: &LogicalPlan,
        columns: Columns,
        lowering: &Lowering<'_>,
    ) -> KeptKpi {
        let field = |field: &Arc<Field>| Arc::new(Field::new(field.name(), field.data_type().clone(), true));
        KeptKpi {
            name: name.to_owned(),
            version,
            live: live.clone(),
            columns,
            schema: Arc::new(Schema::new(live.schema().fields().iter().map(field).collect::<Vec<_>>())),
            database: lowering.database.clone(),
            time_zone: lowering.settings.time_zone.clone(),
        }
    }

    /// The plan of its query.
    pub(super) fn live(&self) -> &LogicalPlan {
        &self.live
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What is kept, as far as it is in a snapshot: rows that were kept later are not.
    fn kept(&self, snapshot: &Snapshot) -> Option<Arc<Kept>> {
        let kept = self.database.maintained().of(&self.name, self.version);
        kept.filter(|kept| kept.written <= snapshot.last_record())
    }

    /// The rows that are kept, as they are kept.
    fn stored(&self, kept: &Kept, snapshot: &Snapshot) -> Result<Option<LogicalPlan>> {
        let Some(table) = snapshot.table(&kept.store) else { return Ok(None) };
        let provider = Arc::new(SnapshotTable::new(table, &self.time_zone));
        Ok(Some(LogicalPlanBuilder::scan(self.name.clone(), provider_as_source(provider), None)?.build()?))
    }

    /// Verdicts of a version of its baseline, as far as they are in a snapshot and stand beside all rows of their time.
    pub(super) fn scores(&self, baseline: u64, snapshot: &Snapshot) -> Option<Arc<Scores>> {
        let scores = self.database.maintained().scores(&self.name)?;
        let kept = self.kept(snapshot)?;
        let is_usable = scores.is_of(self.version, baseline)
            && scores.written <= snapshot.last_record()
            && kept.from_ns == i64::MIN
            && (kept.until_ns == i64::MIN || scores.until_ns > i64::MIN)
            && kept.until_ns.saturating_sub(scores.until_ns) <= LAG_BUCKETS * kept.span_ns;
        is_usable.then_some(scores)
    }

    /// The rows by what is known of their verdicts; `None` when it is not known which of them hold.
    pub(super) fn split(&self, scores: &Scores, snapshot: &Snapshot) -> Result<Option<Split>> {
        let Some(kept) = self.kept(snapshot) else { return Ok(None) };
        let (Some(stored), Some(stale)) = (self.stored(&kept, snapshot)?, self.stale(&kept, snapshot)) else {
            return Ok(None);
        };
        let time = column(&stored, TIME)?;
        let of = |test: Expr| Ok::<_, crate::Error>(LogicalPlanBuilder::from(stored.clone()).filter(test)?.build()?);
        let is_stale = stale.iter().map(|(start_ns, end_ns)| self.within(&time, *start_ns, *end_ns));
        let is_stale = is_stale.reduce(Expr::or).unwrap_or_else(|| lit(false));
        let holds = Expr::Not(Box::new(is_stale.clone()));
        let until_ns = scores.until_ns;
        let scored = self.within(&time, i64::MIN, until_ns).and(holds.clone());
        let waiting = self.within(&time, until_ns, kept.until_ns.max(until_ns)).and(holds);
        let mut later = LogicalPlanBuilder::from(self.as_live(of(waiting)?, &[])?);
        for (start_ns, end_ns) in stale.into_iter().chain([(kept.until_ns.max(until_ns), i64::MAX)]) {
            let since = self.within(&column(&self.live, TIME)?, start_ns, end_ns);
            later = later.union(LogicalPlanBuilder::from(self.live.clone()).filter(since)?.build()?)?;
        }
        Ok(Some(Split {
            scored: self.as_live(of(scored)?, &VERDICT)?,
            later: later.build()?,
            stale: self.as_live(of(is_stale)?, &VERDICT)?,
        }))
    }

    /// The plan of its rows as they are in a snapshot.
    fn plan(&self, snapshot: &Snapshot) -> Result<LogicalPlan> {
        let Some(kept) = self.kept(snapshot) else { return Ok(self.live.clone()) };
        let (Some(stored), Some(stale)) = (self.stored(&kept, snapshot)?, self.stale(&kept, snapshot)) else {
            return Ok(self.live.clone());
        };
        let stored_time = column(&stored, TIME)?;
        let mut holds = self.within(&stored_time, kept.from_ns, kept.until_ns);
        for (start_ns, end_ns) in &stale {
            let is_stale = self.within(&stored_time, *start_ns, *end_ns);
            holds = holds.and(Expr::Not(Box::new(is_stale)));
        }
        let stored = LogicalPlanBuilder::from(stored).filter(holds)?.build()?;
        let mut parts = vec![self.as_live(stored, &[])?];
        let time = column(&self.live, TIME)?;
        let gaps = [(i64::MIN, kept.from_ns), (kept.until_ns, i64::MAX)].into_iter().chain(stale);
        for (start_ns, end_ns) in gaps.filter(|(start_ns, end_ns)| start_ns < end_ns) {
            let live = LogicalPlanBuilder::from(self.live.clone()).filter(self.within(&time, start_ns, end_ns))?;
            parts.push(live.build()?);
        }
        let mut parts = parts.into_iter();
        let first = parts.next().ok_or_else(|| crate::Error::Internal("a union of nothing".to_owned()))?;
        let union = parts.try_fold(LogicalPlanBuilder::from(first), LogicalPlanBuilder::union)?;
        Ok(union.build()?)
    }

    /// The stretches of kept time in which rows have come or gone since; `None` when that is not known.
    fn stale(&self, kept: &Kept, snapshot: &Snapshot) -> Option<Vec<(i64, i64)>> {
        let touched = self.database.engine().touches(&kept.table, kept.record)?;
        Some(kept.stale(&touched, snapshot.raw_from_ns(&kept.table)))
    }

    /// A test for an instant in `[start, end)`.
    fn within(&self, time: &Expr, start_ns: i64, end_ns: i64) -> Expr {
        let instant =
            |ns| Expr::Literal(ScalarValue::TimestampNanosecond(Some(ns), Some(self.time_zone.clone())), None);
        let after = (start_ns > i64::MIN).then(|| time.clone().gt_eq(instant(start_ns)));
        let before = (end_ns < i64::MAX).then(|| time.clone().lt(instant(end_ns)));
        after.into_iter().chain(before).reduce(Expr::and).unwrap_or_else(|| lit(true))
    }

    /// Kept rows in the columns of the query's, and more behind them.
    fn as_live(&self, stored: LogicalPlan, more: &[(&str, DataType)]) -> Result<LogicalPlan> {
        let type_of = |name: &str| {
            let field = self.live.schema().field_with_unqualified_name(name)?;
            Ok::<_, DataFusionError>(field.data_type().clone())
        };
        let zoned = DataType::Timestamp(TimeUnit::Nanosecond, Some(self.time_zone.clone()));
        let time = cast(column(&stored, TIME)?, zoned).alias(TIME);
        let dimension = |name: &str| {
            let (tag, data_type) = (column(&stored, name)?, type_of(name)?);
            let is_text = !data_type.is_integer() && data_type != DataType::Boolean;
            let full = match is_text {
                true => when(tag.clone().eq(lit(EMPTY)), lit("")).otherwise(cast(tag, DataType::Utf8))?,
                false => tag,
            };
            Ok::<_, crate::Error>(cast(full, data_type).alias(name))
        };
        let shape = match &self.columns {
            Columns::Kpi(shape) => shape,
            Columns::View(layout) => {
                let fields = self.live.schema().fields().iter();
                let one = fields.map(|field| match field.name().as_str() {
                    TIME => Ok(time.clone()),
                    name if layout.dimensions.iter().any(|known| known == name) => dimension(name),
                    name => Ok(cast(column(&stored, name)?, field.data_type().clone()).alias(name)),
                });
                let projection = one.collect::<Result<Vec<_>>>()?;
                return Ok(LogicalPlanBuilder::from(stored.clone()).project(projection)?.build()?);
            }
        };
        let mut projection = vec![time];
        for name in &shape.dimensions {
            projection.push(dimension(name)?);
        }
        let value = match shape.measure {
            Measure::Value => column(&stored, "value")?,
            Measure::Ratio => {
                let good = cast(column(&stored, "good")?, type_of("good")?);
                let total = cast(column(&stored, "total")?, type_of("total")?);
                projection.extend([good.clone().alias("good"), total.clone().alias("total")]);
                crate::relation::share(good, total)?
            }
        };
        projection.extend(known(value, self.version)?);
        for (name, data_type) in more {
            projection.push(cast(column(&stored, name)?, data_type.clone()).alias(*name));
        }
        Ok(LogicalPlanBuilder::from(stored).project(projection)?.build()?)
    }
}

fn column(plan: &LogicalPlan, name: &str) -> Result<Expr> {
    let field = plan.schema().qualified_field_with_unqualified_name(name)?;
    Ok(Expr::Column(Column::from(field)))
}

#[async_trait]
impl TableProvider for KeptKpi {
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
        let support = |filter: &&Expr| match filter.is_volatile() {
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Exact,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn DataFusionSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let full = session_state(state, &self.name)?;
        let run = full.config().get_extension::<RunSnapshot>();
        let run = run.ok_or_else(|| internal_datafusion_err!("a run has no snapshot"))?;
        let plan = self.plan(&run.snapshot).and_then(|plan| narrowed(plan, filters.iter())).map_err(external)?;
        let mut builder = LogicalPlanBuilder::from(plan);
        if let Some(columns) = projection {
            let schema = builder.schema().clone();
            let picked = columns.iter().map(|at| Expr::Column(Column::from(schema.qualified_field(*at))));
            builder = builder.project(picked.collect::<Vec<_>>())?;
        }
        let plan = builder.limit(0, limit)?.build()?;
        let plan = full.analyzer().execute_and_check(plan, full.config_options(), |_, _| {})?;
        Box::pin(physical(plan, full)).await.map_err(external)
    }
}

impl fmt::Debug for KeptKpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptKpi").field("name", &self.name).finish_non_exhaustive()
    }
}
