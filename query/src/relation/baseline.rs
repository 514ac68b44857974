//! The columns that a baseline adds to its KPI: what was expected, the band around it, how unlikely the value is.

use std::collections::BTreeMap;
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

use crate::analysis::anomaly::{Band, Method, Model, Rebase, Season, Settings, Verdict, WARN};
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
pub(crate) const FIELDS: [(&str, DataType); 5] = [
    ("expected", DataType::Float64),
    ("lower", DataType::Float64),
    ("upper", DataType::Float64),
    ("score", DataType::Float64),
    ("band", DataType::Utf8),
];

/// How far back a baseline looks when it does not say.
const HISTORY: &str = "8 weeks";

/// For how long levels stand still outside of the band when the baseline does not say: this, and at least so many rows.
const HOLD_NS: i64 = 43_200_000_000_000;
const HOLD_ROWS: i64 = 12;

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
    let hold_ns = match baseline.option_text("hold") {
        None => HOLD_NS.max(step_ns.saturating_mul(HOLD_ROWS)),
        Some(hold) => {
            let ns = Span::parse(hold).ok().and_then(Span::fixed_ns);
            let ns = ns.ok_or_else(|| refused(format!("a hold of '{hold}' is no fixed length of time")))?;
            if ns < step_ns { 0 } else { ns }
        }
    };
    Ok(Settings { seasons: seasons(baseline), step_ns, history_ns, hold_ns, method, band, zone })
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

/// The KPI's rows with the columns of its baseline, computed from all of its rows.
pub(super) fn relation(plan: LogicalPlan, shape: &Shape, kpi: &Kpi, scoring: &Arc<Scoring>) -> Result<Computed> {
    let sorted = in_order(plan, shape)?;
    let (name, schema, scoring) = (format!("kpi.{}", kpi.name), scoring.schema.clone(), scoring.clone());
    Ok(Computed::new(name, schema, vec![sorted], shape.dimensions.clone(), move |mut inputs, _now| {
        scoring.scored(&inputs.pop().unwrap_or_default(), &Models::new(), &Given::new())
    }))
}

/// Rows by dimensions and time, as they are scored.
pub(crate) fn in_order(plan: LogicalPlan, shape: &Shape) -> Result<LogicalPlan> {
    let names = shape.dimensions.iter().map(String::as_str).chain([TIME]);
    let order = names.map(|name| {
        let field = plan.schema().qualified_field_with_unqualified_name(name)?;
        Ok(Expr::Column(Column::from(field)).sort(true, false))
    });
    let order = order.collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlanBuilder::from(plan).sort(order)?.build()?)
}

/// The models of series, by their dimensions as texts.
pub(crate) type Models = BTreeMap<Vec<Option<String>>, Arc<Model>>;

/// Verdicts by dimensions and time.
pub(crate) type Given = BTreeMap<(Vec<Option<String>>, i64), Verdict>;

/// How the values of one KPI are modelled, whatever its rows are.
pub(crate) struct Course {
    pub(crate) settings: Settings,
    /// The service whose maintenance is not learned.
    unlearned: Option<(Database, String)>,
    /// Days that are not learned.
    holidays: Intervals,
    /// When something else became normal, in the order of time.
    rebased: Vec<(i64, Rebase)>,
}

impl Course {
    /// Reads a baseline.
    ///
    /// # Errors
    /// Those of [`settings`].
    pub(crate) fn new(kpi: &Kpi, baseline: &Baseline, lowering: &Lowering<'_>) -> Result<Course> {
        // Maintenance is not what is normal, unless it is said to be.
        let learns = baseline.option_text("learn_in_maintenance") == Some("true");
        let unlearned = kpi.service.clone().filter(|_| !learns).map(|service| (lowering.database.clone(), service));
        let rebased = crate::ops::rebased(lowering.database, &baseline.name);
        let holidays = match baseline.option_text("holidays") {
            Some(name) => super::calendar_of(name, lowering.definitions, lowering.database)?.holidays(),
            None => Intervals::default(),
        };
        Ok(Course { settings: settings(baseline, lowering)?, unlearned, holidays, rebased })
    }

    /// What a model says of a row before it learns it.
    pub(crate) fn observe(&self, model: &mut Model, time_ns: i64, value: f64, maintenance: &Intervals) -> Verdict {
        for (at_ns, how) in self.rebased.iter().filter(|(at_ns, _)| *at_ns <= time_ns) {
            model.rebase(*at_ns, *how);
        }
        model.observe(time_ns, value, !maintenance.contains(time_ns))
    }

    /// When nothing is learned, as far as that matters to rows from `first_ns` to `last_ns`: on holidays, and while the service is
    /// worked on.
    pub(crate) fn maintenance(&self, first_ns: i64, last_ns: i64) -> Intervals {
        let Some((database, service)) = &self.unlearned else { return self.holidays.clone() };
        let windows = crate::ops::maintenance(database, service, "baseline");
        let windows = windows.iter().filter_map(|window| window.between(first_ns, last_ns.saturating_add(1)).ok());
        windows.fold(self.holidays.clone(), |all, window| all.union(&window))
    }
}

/// Where the columns of a KPI are, and how it is modelled.
pub(crate) struct Scoring {
    pub(crate) schema: SchemaRef,
    keys: Vec<usize>,
    time: usize,
    value: usize,
    course: Course,
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
    /// How the rows of a plan are scored.
    ///
    /// # Errors
    /// Those of [`settings`].
    pub(super) fn new(
        plan: &LogicalPlan,
        shape: &Shape,
        kpi: &Kpi,
        baseline: &Baseline,
        lowering: &Lowering<'_>,
    ) -> Result<Scoring> {
        let course = Course::new(kpi, baseline, lowering)?;
        let known = |field: &Arc<Field>| Arc::new(Field::new(field.name(), field.data_type().clone(), true));
        let added = FIELDS.iter().map(|(name, data_type)| Arc::new(Field::new(*name, data_type.clone(), true)));
        let fields = plan.schema().fields().iter().map(known).chain(added);
        let position = |name: &str| {
            let at = plan.schema().index_of_column_by_name(None, name);
            at.ok_or_else(|| Error::Internal(format!("no column {name}")))
        };
        Ok(Scoring {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            keys: shape.dimensions.iter().map(|name| position(name)).collect::<Result<Vec<_>>>()?,
            time: position(TIME)?,
            value: position("value")?,
            course,
            database: lowering.database.clone(),
            baseline: baseline.name.clone(),
        })
    }

    /// Rows that have verdicts, with overrides.
    pub(crate) fn overridden(&self, batches: &[RecordBatch]) -> Result<RecordBatch> {
        let rows = concat_batches(&self.schema, batches).map_err(DataFusionError::from)?;
        let overrides = self.overrides(&rows)?;
        let known = rows.num_columns() - FIELDS.len();
        let times = rows.column(self.time).as_primitive::<TimestampNanosecondType>();
        let mut columns = Columns::with_capacity(rows.num_rows());
        for (row, verdict) in self.verdicts(&rows).into_iter().enumerate() {
            let verdict = verdict.unwrap_or_else(|| unknown(rows.column(self.value).is_null(row)));
            columns.push(&overridden(&overrides, times.value(row), row, verdict));
        }
        let all = rows.columns()[..known].iter().cloned().chain(columns.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), all, &options).map_err(DataFusionError::from)?)
    }

    /// The verdicts that rows have; `None` for a row that came when those after it had been scored.
    fn verdicts(&self, rows: &RecordBatch) -> Vec<Option<Verdict>> {
        let known = rows.num_columns() - FIELDS.len();
        let number = |at: usize| rows.column(known + at).as_primitive::<Float64Type>();
        let (numbers, bands) = ([0, 1, 2, 3].map(number), rows.column(known + 4).as_string::<i32>());
        let verdict = |row: usize| {
            let number = |at: usize| {
                let number = numbers[at].is_valid(row).then(|| numbers[at].value(row));
                number.filter(|number| !number.is_nan())
            };
            let [expected, lower, upper, score] = [0, 1, 2, 3].map(number);
            let band = bands.is_valid(row).then(|| Band::of_word(bands.value(row))).flatten()?;
            Some(Verdict { expected, lower, upper, score, band })
        };
        (0..rows.num_rows()).map(verdict).collect()
    }

    /// The verdicts of rows that have one, by dimensions and time.
    ///
    /// # Errors
    /// [`Error::Internal`] for dimensions that are no texts.
    pub(crate) fn given(&self, batches: &[RecordBatch]) -> Result<Given> {
        let mut given = Given::new();
        for rows in batches {
            let (times, texts) = (rows.column(self.time), self.texts(rows)?);
            let times = times.as_primitive::<TimestampNanosecondType>();
            for (row, verdict) in self.verdicts(rows).into_iter().enumerate() {
                let Some(verdict) = verdict else { continue };
                given.insert((key(&texts, row), times.value(row)), verdict);
            }
        }
        Ok(given)
    }

    /// The dimensions of rows as texts.
    fn texts(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let texts = self.keys.iter().map(|at| cast(rows.column(*at), &DataType::Utf8).map_err(DataFusionError::from));
        Ok(texts.collect::<Result<Vec<_>, _>>()?)
    }

    /// Rows, by dimensions and time, with what the model of their dimensions says of each before it learns it. Models begin as
    /// those that are known, and rows whose verdicts are given have these.
    pub(crate) fn scored(&self, batches: &[RecordBatch], known: &Models, given: &Given) -> Result<RecordBatch> {
        let Some(first) = batches.first() else { return Ok(RecordBatch::new_empty(self.schema.clone())) };
        let rows = concat_batches(&first.schema(), batches).map_err(DataFusionError::from)?;
        let times = rows.column(self.time).as_primitive::<TimestampNanosecondType>();
        let values = rows.column(self.value).as_primitive::<Float64Type>();
        let starts = self.series_starts(&rows)?;
        let (first, last) = (times.values().iter().min(), times.values().iter().max());
        let maintenance =
            first.zip(last).map_or_else(Intervals::default, |(first, last)| self.course.maintenance(*first, *last));
        let texts = if known.is_empty() && given.is_empty() { Vec::new() } else { self.texts(&rows)? };
        let fresh = |row: usize| {
            let model = known.get(&key(&texts, row));
            model.map_or_else(|| Model::new(&self.course.settings), |model| (**model).clone())
        };
        let overrides = self.overrides(&rows)?;
        let mut columns = Columns::with_capacity(rows.num_rows());
        let mut model = Model::new(&self.course.settings);
        for (row, is_start) in starts.iter().enumerate() {
            if *is_start || row == 0 {
                model = fresh(row);
            }
            let value = if values.is_null(row) { f64::NAN } else { values.value(row) };
            let time_ns = times.value(row);
            let verdict = match given.is_empty() {
                false => given.get(&(key(&texts, row), time_ns)).copied(),
                true => None,
            };
            let verdict = verdict.unwrap_or_else(|| match model.is_next(time_ns) || known.is_empty() {
                true => self.course.observe(&mut model, time_ns, value, &maintenance),
                false => unknown(value.is_nan()),
            });
            columns.push(&overridden(&overrides, time_ns, row, verdict));
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

/// What is said of a row under the override that holds for it, if one does.
fn overridden(overrides: &[Overridden], time_ns: i64, row: usize, verdict: Verdict) -> Verdict {
    match overrides.iter().rev().find(|changed| changed.holds(time_ns, row)) {
        Some(changed) => changed.applied(verdict),
        None => verdict,
    }
}

/// What is said of a row that came when those after it had been scored.
fn unknown(is_empty: bool) -> Verdict {
    let band = if is_empty { Band::NoData } else { Band::Learning };
    Verdict { expected: None, lower: None, upper: None, score: None, band }
}

fn key(texts: &[ArrayRef], row: usize) -> Vec<Option<String>> {
    let text = |column: &ArrayRef| {
        let column = column.as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    texts.iter().map(text).collect()
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
