//! The columns that a baseline adds to its KPI: what was expected, the band around it, how unlikely the value is.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Float64Builder, RecordBatch, RecordBatchOptions, StringBuilder,
};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, TimestampNanosecondType};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::Column;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use crate::analysis::anomaly::{Band, Method, Model, Season, Settings, Verdict, WARN};
use crate::analysis::duration::Span;
use crate::analysis::intervals::Intervals;
use crate::catalog::{Definitions, Object};
use crate::dialect::{Baseline, Definition, Kind, Kpi};
use crate::lower::Lowering;
use crate::ops::Overriding;
use crate::{Database, Error, Result};

use super::computed::Computed;
use super::kpi::{Shape, TIME};
use super::step::known_step_ns;

/// The columns.
pub(super) const FIELDS: [(&str, DataType); 5] = [
    ("expected", DataType::Float64),
    ("lower", DataType::Float64),
    ("upper", DataType::Float64),
    ("score", DataType::Float64),
    ("band", DataType::Utf8),
];

/// How far back a baseline looks when it does not say.
const HISTORY: &str = "8 weeks";

/// The share of values that the band holds when the baseline does not say.
const BAND: f64 = 0.99;

/// The baseline of a KPI.
pub(super) fn of<'a>(kpi: &str, definitions: &'a Definitions) -> Option<&'a Baseline> {
    definitions.of_kind(Kind::Baseline).find_map(|object: &Arc<Object>| match &object.definition {
        Definition::Baseline(baseline) if baseline.kpi == kpi => Some(baseline),
        _ => None,
    })
}

/// How a baseline models its KPI.
///
/// # Errors
/// [`Error::Definition`], KP003 for values that mean nothing, KP007 when the width of the KPI's buckets is not known.
pub(crate) fn settings(baseline: &Baseline, lowering: &Lowering<'_>) -> Result<Settings> {
    let refused = |what: String| Error::definition("KP003", what);
    let object = lowering.definitions.get(Kind::Kpi, &baseline.kpi)?;
    let Definition::Kpi(kpi) = &object.definition else {
        return Err(Error::Internal("a KPI that is none".to_owned()));
    };
    let step_ns = known_step_ns(kpi, lowering.definitions)?;
    let history = baseline.option_text("history").unwrap_or(HISTORY);
    let history_ns = Span::parse(history).ok().and_then(Span::fixed_ns).filter(|ns| *ns > 0);
    let history_ns =
        history_ns.ok_or_else(|| refused(format!("a history of '{history}' is no fixed length of time")))?;
    let band = match baseline.option_text("band") {
        None => BAND,
        Some(text) => text.parse().ok().filter(|band| *band > 0.0 && *band < 1.0).ok_or_else(|| {
            refused(format!("a band of {text} is no share of values")).hinted("It is a number between 0 and 1.")
        })?,
    };
    let zone = baseline.option_text("timezone").unwrap_or("UTC");
    let zone = zone.parse().map_err(|_| refused(format!("time zone \"{zone}\" is not known")))?;
    let method = match baseline.option_text("method") {
        Some("residual") => Method::Residual,
        Some("novelty") => Method::Novelty,
        _ => Method::Auto,
    };
    Ok(Settings { seasons: seasons(baseline), step_ns, history_ns, method, band, zone })
}

pub(super) fn seasons(baseline: &Baseline) -> Vec<Season> {
    use crate::dialect::Season as Written;
    let season = |written: &Written| match written {
        Written::HourOfWeek => Some(Season::HourOfWeek),
        Written::HourOfDay => Some(Season::HourOfDay),
        Written::DayOfMonth => Some(Season::DayOfMonth),
        Written::None => None,
    };
    match baseline.season.is_empty() {
        true => vec![Season::HourOfWeek],
        false => baseline.season.iter().filter_map(season).collect(),
    }
}

/// The KPI's rows with the columns of its baseline.
pub(super) fn relation(
    plan: LogicalPlan,
    shape: &Shape,
    kpi: &Kpi,
    baseline: &Baseline,
    lowering: &Lowering<'_>,
) -> Result<Computed> {
    let settings = settings(baseline, lowering)?;
    let fields = plan.schema().fields().iter().cloned();
    let added = FIELDS.iter().map(|(name, data_type)| Arc::new(Field::new(*name, data_type.clone(), true)));
    let schema: SchemaRef = Arc::new(Schema::new(fields.chain(added).collect::<Vec<_>>()));
    let position = |name: &str| {
        let at = plan.schema().index_of_column_by_name(None, name);
        at.ok_or_else(|| Error::Internal(format!("no column {name}")))
    };
    let keys = shape.dimensions.iter().map(|name| position(name)).collect::<Result<Vec<_>>>()?;
    let (time, value) = (position(TIME)?, position("value")?);
    let column = |at: &usize| Expr::Column(Column::from(plan.schema().qualified_field(*at)));
    let order = keys.iter().chain([&time]).map(|at| column(at).sort(true, false)).collect::<Vec<_>>();
    let sorted = LogicalPlanBuilder::from(plan.clone()).sort(order)?.build()?;
    // Maintenance is not what is normal, unless it is said to be.
    let learns = baseline.option_text("learn_in_maintenance") == Some("true");
    let unlearned = kpi.service.clone().filter(|_| !learns).map(|service| (lowering.database.clone(), service));
    let (database, baseline) = (lowering.database.clone(), baseline.name.clone());
    let scoring = Scoring { schema: schema.clone(), keys, time, value, settings, unlearned, database, baseline };
    let name = format!("kpi.{}", kpi.name);
    Ok(Computed::new(name, schema, vec![sorted], shape.dimensions.clone(), move |mut inputs, _now| {
        scoring.scored(&inputs.pop().unwrap_or_default())
    }))
}

/// Where the columns of a KPI are, and how it is modelled.
struct Scoring {
    schema: SchemaRef,
    keys: Vec<usize>,
    time: usize,
    value: usize,
    settings: Settings,
    /// The service whose maintenance is not learned.
    unlearned: Option<(Database, String)>,
    /// Where overrides are, and of which baseline.
    database: Database,
    baseline: String,
}

/// An override, and the rows whose dimensions it is about.
struct Overridden {
    changed: Overriding,
    rows: Vec<bool>,
}

impl Overridden {
    fn holds(&self, time_ns: i64, row: usize) -> bool {
        (self.changed.start_ns..self.changed.end_ns).contains(&time_ns) && self.rows[row]
    }

    /// What is said of a row under the override.
    fn applied(&self, verdict: Verdict) -> Verdict {
        let band = match (self.changed.score_threshold, verdict.score) {
            (Some(threshold), Some(score)) if score >= threshold => Band::Critical,
            (Some(threshold), Some(score)) if score >= WARN.min(threshold) => Band::Warn,
            (Some(_), Some(_)) => Band::Normal,
            _ => verdict.band,
        };
        let lower = self.changed.lower.or(verdict.lower);
        Verdict { lower, upper: self.changed.upper.or(verdict.upper), band, ..verdict }
    }
}

impl Scoring {
    /// Rows, by dimensions and time, with what the model of their dimensions says of each before it learns it.
    fn scored(&self, batches: &[RecordBatch]) -> Result<RecordBatch> {
        let Some(first) = batches.first() else { return Ok(RecordBatch::new_empty(self.schema.clone())) };
        let rows = concat_batches(&first.schema(), batches).map_err(DataFusionError::from)?;
        let times = rows.column(self.time).as_primitive::<TimestampNanosecondType>();
        let values = rows.column(self.value).as_primitive::<Float64Type>();
        let starts = self.series_starts(&rows)?;
        let maintenance = self.maintenance(times.values());
        let overrides = self.overrides(&rows)?;
        let mut columns = Columns::with_capacity(rows.num_rows());
        let mut model = Model::new(&self.settings);
        for (row, is_start) in starts.iter().enumerate() {
            if *is_start && row > 0 {
                model = Model::new(&self.settings);
            }
            let value = if values.is_null(row) { f64::NAN } else { values.value(row) };
            let time_ns = times.value(row);
            let verdict = model.observe(time_ns, value, !maintenance.contains(time_ns));
            columns.push(&match overrides.iter().rev().find(|changed| changed.holds(time_ns, row)) {
                Some(changed) => changed.applied(verdict),
                None => verdict,
            });
        }
        let mut all: Vec<ArrayRef> = rows.columns().to_vec();
        all.extend(columns.finish());
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), all, &options).map_err(DataFusionError::from)?)
    }

    /// The overrides of the baseline, with the rows that they are about.
    fn overrides(&self, rows: &RecordBatch) -> Result<Vec<Overridden>> {
        let mut all = Vec::new();
        for changed in crate::ops::overrides(&self.database, &self.baseline) {
            let mut about = vec![true; rows.num_rows()];
            for (name, value) in &changed.labels {
                let Some(column) = rows.column_by_name(name) else { continue };
                let texts = cast(column, &DataType::Utf8).map_err(DataFusionError::from)?;
                let texts = texts.as_string::<i32>();
                for (row, about) in about.iter_mut().enumerate() {
                    *about &= texts.is_valid(row) && texts.value(row) == value;
                }
            }
            all.push(Overridden { changed, rows: about });
        }
        Ok(all)
    }

    /// When the service is worked on, as far as that matters to rows of these times.
    fn maintenance(&self, times: &[i64]) -> Intervals {
        let Some((database, service)) = &self.unlearned else { return Intervals::default() };
        let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else { return Intervals::default() };
        let windows = crate::ops::maintenance(database, service, "baseline");
        let windows = windows.iter().filter_map(|window| window.between(*first, last.saturating_add(1)).ok());
        windows.fold(Intervals::default(), |all, window| all.union(&window))
    }

    /// Whether each row is the first one of its dimensions.
    fn series_starts(&self, rows: &RecordBatch) -> Result<Vec<bool>> {
        let mut starts = vec![false; rows.num_rows()];
        if self.keys.is_empty() {
            return Ok(starts);
        }
        let keys: Vec<ArrayRef> = self.keys.iter().map(|at| rows.column(*at).clone()).collect();
        let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(DataFusionError::from)?;
        let keys = converter.convert_columns(&keys).map_err(DataFusionError::from)?;
        for (row, is_start) in starts.iter_mut().enumerate().skip(1) {
            *is_start = keys.row(row) != keys.row(row - 1);
        }
        Ok(starts)
    }
}

/// The columns as they are filled.
struct Columns {
    numbers: [Float64Builder; 4],
    bands: StringBuilder,
}

impl Columns {
    fn with_capacity(rows: usize) -> Columns {
        let numbers = std::array::from_fn(|_| Float64Builder::with_capacity(rows));
        Columns { numbers, bands: StringBuilder::with_capacity(rows, rows * 8) }
    }

    fn push(&mut self, verdict: &Verdict) {
        let of = [verdict.expected, verdict.lower, verdict.upper, verdict.score];
        for (builder, number) in self.numbers.iter_mut().zip(of) {
            builder.append_option(number);
        }
        self.bands.append_value(verdict.band.word());
    }

    fn finish(mut self) -> Vec<ArrayRef> {
        let numbers: Vec<Float64Array> = self.numbers.iter_mut().map(Float64Builder::finish).collect();
        let mut all: Vec<ArrayRef> = numbers.into_iter().map(|array| Arc::new(array) as ArrayRef).collect();
        all.push(Arc::new(self.bands.finish()));
        all
    }
}
