//! Functions of windows that tell what is unusual, without anything being defined.
//!
//! `anomaly_score`, `anomaly_onset`, `level_shift` and `baseline_expected`, `_lower`, `_upper` run over the rows of a partition in their
//! order;
//! `zscore`, `hampel`, `mad` and `tukey` compare a row with the rows of its frame.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, TimeUnit, TimestampNanosecondType};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl};
use datafusion::physical_expr::PhysicalExpr;

use super::no_such_function;
use crate::Error;
use crate::analysis::anomaly::onset::Onset;
use crate::analysis::anomaly::signs::{Runs, Shift};
use crate::analysis::anomaly::{Method, Model, Season, Settings, Verdict};
use crate::analysis::robust::{hampel, mad, tukey, zscore};

type Result<T> = datafusion::common::Result<T>;

/// For how long a row counts.
const HISTORY_NS: i64 = 56 * 86_400_000_000_000;

/// The share of values that a band holds when it is not said.
const BAND: f64 = 0.99;

/// What is told of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Told {
    Score,
    Onset,
    LevelShift,
    Expected,
    Lower,
    Upper,
    ZScore,
    Hampel,
    Mad,
    Tukey,
}

const ALL: [(&str, Told); 10] = [
    ("anomaly_score", Told::Score),
    ("anomaly_onset", Told::Onset),
    ("level_shift", Told::LevelShift),
    ("baseline_expected", Told::Expected),
    ("baseline_lower", Told::Lower),
    ("baseline_upper", Told::Upper),
    ("zscore", Told::ZScore),
    ("hampel", Told::Hampel),
    ("mad", Told::Mad),
    ("tukey", Told::Tukey),
];

/// All of the functions.
pub(super) fn windows() -> impl Iterator<Item = WindowUDF> {
    ALL.into_iter().map(|(name, told)| {
        WindowUDF::from(Unusual { name, told, signature: Signature::user_defined(Volatility::Immutable) })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Unusual {
    name: &'static str,
    told: Told,
    signature: Signature,
}

impl Unusual {
    fn is_modelled(&self) -> bool {
        matches!(self.told, Told::Score | Told::Onset | Told::LevelShift | Told::Expected | Told::Lower | Told::Upper)
    }
}

impl WindowUDFImpl for Unusual {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let none = || no_such_function(self.name, types);
        let is_number = |data_type: &DataType| data_type.is_numeric() || data_type.is_null();
        let is_text = |data_type: &DataType| data_type.is_string() || data_type.is_null();
        let (_, rest) = types.split_first().filter(|(value, _)| is_number(value)).ok_or_else(none)?;
        let mut coerced = vec![DataType::Float64];
        match (self.told, rest) {
            (Told::ZScore | Told::Mad | Told::Tukey, []) => {}
            (Told::Hampel, [] | [_]) if rest.iter().all(DataType::is_integer) => {
                coerced.extend(rest.iter().map(|_| DataType::Int64));
            }
            (Told::Score | Told::Onset, [DataType::Timestamp(_, zone), options @ ..])
                if options.len() <= 2 && options.iter().all(is_text) =>
            {
                coerced.push(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()));
                coerced.extend(options.iter().map(|_| DataType::Utf8));
            }
            (Told::LevelShift, [DataType::Timestamp(_, zone)]) => {
                coerced.push(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()));
            }
            (Told::Expected | Told::Lower | Told::Upper, [DataType::Timestamp(_, zone), options @ ..])
                if options.len() <= 2
                    && options.first().is_none_or(is_text)
                    && options.get(1).is_none_or(is_number) =>
            {
                coerced.push(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()));
                coerced.extend([DataType::Utf8, DataType::Float64].into_iter().take(options.len()));
            }
            _ => return Err(none()),
        }
        Ok(coerced)
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Float64, true)))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        match self.is_modelled() {
            true => Ok(Box::new(Modelled { told: self.told, arguments: args.input_exprs().len() })),
            false => Ok(Box::new(Compared { told: self.told, arguments: args.input_exprs().len(), row: 0 })),
        }
    }

    fn limit_effect(&self, _args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::Unknown
    }
}

fn refused(message: String, hint: &str) -> DataFusionError {
    let error = Error::InvalidOption { message, position: None, hint: Some(hint.to_owned()) };
    DataFusionError::External(Box::new(error))
}

/// The rows of a partition through a model.
#[derive(Debug)]
struct Modelled {
    told: Told,
    /// How many arguments there are; what is sorted by may follow them.
    arguments: usize,
}

impl PartitionEvaluator for Modelled {
    fn evaluate_all(&mut self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let given = &arguments[..self.arguments.min(arguments.len())];
        let [values, times, options @ ..] = given else { return Err(no_such_function("anomaly_score", &[])) };
        let (values, times) = (values.as_primitive::<Float64Type>(), times.as_primitive::<TimestampNanosecondType>());
        let text = |at: usize| {
            let array = options.get(at).filter(|array| *array.data_type() == DataType::Utf8 && !array.is_empty())?;
            let array = array.as_string::<i32>();
            array.is_valid(0).then(|| array.value(0).to_lowercase())
        };
        let (method, season) = match self.told {
            Told::Score | Told::Onset => (text(0), text(1)),
            _ => (None, text(0)),
        };
        let step_ns = step_of(times.values());
        let placed = (0..rows).map(|row| {
            let value = if values.is_null(row) { f64::NAN } else { values.value(row) };
            (times.is_valid(row).then(|| times.value(row)), value)
        });
        if self.told == Told::LevelShift {
            let mut shift = Shift::default();
            let moved = |(time, value): (Option<i64>, f64)| time.and_then(|_| shift.observe(value));
            return Ok(Arc::new(placed.map(moved).collect::<Float64Array>()));
        }
        let mut onset = Onset::new(step_ns);
        let mut heard = |score: Option<f64>| match self.told {
            Told::Onset => onset.observe(score),
            _ => score,
        };
        let sign = match method.as_deref() {
            Some("flat") => Some(Sign::Flat),
            Some("gap") => Some(Sign::Gap),
            _ => None,
        };
        if let Some(sign) = sign {
            let mut watch = SignOf { sign, runs: Runs::default(), before: None, step_ns };
            let score = |(time, value): (Option<i64>, f64)| heard(time.map(|time_ns| watch.observe(time_ns, value)));
            return Ok(Arc::new(placed.map(score).collect::<Float64Array>()));
        }
        let method = match method.as_deref() {
            None | Some("auto") => Method::Auto,
            Some("residual") => Method::Residual,
            Some("novelty") => Method::Novelty,
            Some(other) => {
                let hint = "It is 'auto', 'residual', 'novelty', 'flat' or 'gap'.";
                return Err(refused(format!("\"{other}\" is no method"), hint));
            }
        };
        let seasons = match season.as_deref() {
            None | Some("1 week" | "7 days" | "week") => vec![Season::HourOfWeek],
            Some("1 day" | "24 hours" | "day") => vec![Season::HourOfDay],
            Some("none") => Vec::new(),
            Some(other) => {
                return Err(refused(format!("\"{other}\" is no season"), "It is '1 week', '1 day' or 'none'."));
            }
        };
        let band = match options.get(1).filter(|_| !matches!(self.told, Told::Score | Told::Onset)) {
            Some(array) if !array.is_empty() && array.is_valid(0) => array.as_primitive::<Float64Type>().value(0),
            _ => BAND,
        };
        if !(band > 0.0 && band < 1.0) {
            return Err(refused(format!("a band of {band} is no share of values"), "It is a number between 0 and 1."));
        }
        let settings =
            Settings { seasons, step_ns, history_ns: HISTORY_NS, hold_ns: 0, method, band, zone: chrono_tz::UTC };
        let mut model = Model::new(&settings);
        let told = |verdict: Verdict| match self.told {
            Told::Score | Told::Onset => verdict.score,
            Told::Expected => verdict.expected,
            Told::Lower => verdict.lower,
            _ => verdict.upper,
        };
        let answers = placed.map(|(time, value)| {
            let verdict = time.map(|time_ns| model.observe(time_ns, value, true));
            heard(verdict.and_then(told))
        });
        Ok(Arc::new(answers.collect::<Float64Array>()))
    }
}

/// What a model does not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// A value that stays the same.
    Flat,
    /// Points that do not come.
    Gap,
}

/// How long it goes on beside how long it did before.
struct SignOf {
    sign: Sign,
    runs: Runs,
    before: Option<(i64, f64)>,
    step_ns: i64,
}

impl SignOf {
    /// Missing points between two rows that are looked at, at most.
    const MISSING_MAX: i64 = 10_000;

    fn observe(&mut self, time_ns: i64, value: f64) -> f64 {
        let before = self.before.replace((time_ns, value));
        match (self.sign, before) {
            (Sign::Flat, Some((_, last))) => self.runs.observe(value == last),
            (Sign::Gap, Some((last_ns, _))) => {
                let missing = time_ns.saturating_sub(last_ns) / self.step_ns.max(1) - 1;
                let scores = (0..missing.clamp(0, SignOf::MISSING_MAX)).map(|_| self.runs.observe(true));
                let most = scores.fold(0.0, f64::max);
                self.runs.observe(false);
                most
            }
            (_, None) => 0.0,
        }
    }
}

/// The time between most rows.
fn step_of(times: &[i64]) -> i64 {
    let mut steps: Vec<i64> =
        times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).filter(|step| *step > 0).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(60_000_000_000)
}

/// Each row beside the rows of its frame.
#[derive(Debug)]
struct Compared {
    told: Told,
    /// How many arguments there are; what is sorted by may follow them.
    arguments: usize,
    /// The row whose turn it is.
    row: usize,
}

impl PartitionEvaluator for Compared {
    fn uses_window_frame(&self) -> bool {
        true
    }

    fn evaluate(&mut self, arguments: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let row = self.row;
        self.row += 1;
        let Some(values) = arguments.first().map(AsArray::as_primitive::<Float64Type>) else {
            return Err(no_such_function("zscore", &[]));
        };
        let mut range = range.clone();
        if let Some(size) = arguments.get(1).filter(|_| self.arguments > 1) {
            let size = size.as_primitive::<datafusion::arrow::datatypes::Int64Type>();
            let size = usize::try_from(size.value(row)).ok().filter(|size| *size > 0);
            let size = size.ok_or_else(|| refused("a window of no rows".to_owned(), "It has at least one row."))?;
            range.start = range.start.max((row + 1).saturating_sub(size));
        }
        let frame: Vec<f64> = range.filter(|at| values.is_valid(*at)).map(|at| values.value(at)).collect();
        let value = if values.is_null(row) { f64::NAN } else { values.value(row) };
        Ok(ScalarValue::Float64(match self.told {
            Told::ZScore => zscore(&frame, value),
            Told::Hampel => hampel(&frame, value),
            Told::Mad => mad(&frame),
            _ => tukey(&frame, value),
        }))
    }
}
