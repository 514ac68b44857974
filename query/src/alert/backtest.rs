//! `BACKTEST ALERT`: what an alert would have done over a time that is past, for each of some settings, beside what had happened
//! indeed. `alert_dry_run` gives the alarms themselves.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, IntervalMonthDayNanoArray, RecordBatch,
    StringArray, TimestampNanosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Field, Int64Type, IntervalMonthDayNano, IntervalUnit, Schema, SchemaRef, TimeUnit,
    TimestampNanosecondType,
};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;

use super::replay::{Alarm, Replay, stretches};
use super::{DRY_RUN, Watch, evaluate, session, span_ns, threshold};
use crate::analysis::backtest::{Figures, Goal, Incident, Tolerance, Tried, recommended};
use crate::dialect::{Backtest, Definition, Kind, Query, quoted, text_literal};
use crate::lower::Lowering;
use crate::ops::{Named, Value, incident};
use crate::relation::{Computed, plan_text};
use crate::{Database, Error, Result};

/// How late an alarm still catches an incident when the statement does not say.
const DELAY_MAX: &str = "15 min";

/// How early an alarm already belongs to an incident when the statement does not say.
const LEAD: &str = "30 min";

/// Most combinations of settings.
const COMBINATIONS_MAX: usize = 1_000;

const DAY_NS: f64 = 86_400e9;

/// What is tried: lengths of time in nanoseconds, and which condition.
#[derive(Debug, Clone)]
struct Combination {
    threshold: Option<f64>,
    /// The number of its condition.
    condition: usize,
    hold_ns: i64,
    clear_hold_ns: i64,
    keep_firing_ns: i64,
}

/// All that it takes to compute a backtest.
struct Test {
    watch: Watch,
    combinations: Vec<Combination>,
    conditions: usize,
    /// Which parameters are swept, by their places among all of them.
    swept: [bool; 4],
    /// What is usual for the tier: the threshold, and for how long.
    usual: [Option<f64>; 4],
    start_ns: i64,
    end_ns: i64,
    is_compared: bool,
    tolerance: Tolerance,
    goal: Goal,
    database: Database,
}

/// The relation of a backtest: a row for each combination of what is swept.
///
/// # Errors
/// [`Error::UndefinedObject`], KP020 for a time that is none, KP021 for a threshold that the condition does not have, and whatever is
/// wrong with the query behind AGAINST.
pub(crate) fn relation(backtest: &Backtest, lowering: &Lowering<'_>) -> Result<Computed> {
    let object = lowering.definitions.get(Kind::Alert, &backtest.alert)?;
    let watch = Watch::new(object, lowering.definitions)?;
    let (start_ns, end_ns) = (instant(&backtest.start, lowering)?, instant(&backtest.end, lowering)?);
    if end_ns <= start_ns {
        let what = format!("a backtest ends after it begins, not at {} and {}", backtest.end, backtest.start);
        return Err(Error::definition("KP020", what));
    }
    let (conditions, combinations) = combinations(backtest, &watch)?;
    let is_swept = |name: &str| backtest.sweep.iter().any(|(parameter, _)| parameter == name);
    let span = |name: &str, default: &str| span_ns(name, backtest.option_text(name).unwrap_or(default));
    let test = Test {
        usual: usual(watch.tier, lowering.database)?,
        conditions: conditions.len(),
        combinations,
        swept: ["score_threshold", "for_duration", "clear_for", "keep_firing"].map(is_swept),
        start_ns,
        end_ns,
        is_compared: backtest.against.is_some(),
        tolerance: Tolerance { delay_max_ns: span("max_delay", DELAY_MAX)?, lead_ns: span("lead", LEAD)? },
        goal: match backtest.option_text("score") {
            Some("precision") => Goal::Precision,
            Some("recall") => Goal::Recall,
            _ => Goal::F1,
        },
        database: lowering.database.clone(),
        watch,
    };
    let mut plans = vec![rows_plan(&test.watch, &conditions, &[], start_ns, end_ns, lowering)?];
    if let Some(against) = &backtest.against {
        let plan = plan_text(against, lowering)?.0;
        if plan.schema().index_of_column_by_name(None, OPENED_AT).is_none() {
            let error = Error::definition("KP022", "the query behind AGAINST gives a column \"opened_at\"");
            return Err(
                error.hinted("AGAINST (SELECT opened_at, resolved_at FROM ops.incident WHERE ...), for example.")
            );
        }
        plans.push(plan);
    }
    let schema = schema();
    Ok(Computed::new("backtest", schema.clone(), plans, Vec::new(), move |inputs, now_ns| {
        test.rows(&inputs, now_ns, &schema)
    }))
}

/// When an incident was opened, and when it was over.
const OPENED_AT: &str = "opened_at";
const RESOLVED_AT: &str = "resolved_at";

/// The plan of an alert's rows of the buckets that end after a time and not after another.
pub(super) fn rows_plan(
    watch: &Watch,
    conditions: &[String],
    more: &[(String, String)],
    from_ns: i64,
    until_ns: i64,
    lowering: &Lowering<'_>,
) -> Result<LogicalPlan> {
    let text = evaluate::text(watch, conditions, more, from_ns, until_ns);
    Ok(plan_text(&Query { text, offset: 0 }, lowering)?.0)
}

pub(super) fn instant(text: &str, lowering: &Lowering<'_>) -> Result<i64> {
    let found = crate::lower::instant(&ScalarValue::Utf8(Some(text.to_owned())), &lowering.settings.time_zone)?;
    found.ok_or_else(|| Error::definition("KP020", format!("'{text}' is no instant")))
}

/// The conditions that are asked, and each combination of parameters, those that come last changing first.
fn combinations(backtest: &Backtest, watch: &Watch) -> Result<(Vec<String>, Vec<Combination>)> {
    let values = |name: &str| backtest.sweep.iter().find(|(known, _)| known == name).map(|(_, values)| values);
    let spans = |name: &str, usual: i64| match values(name) {
        Some(values) => values.iter().map(|text| span_ns(name, text)).collect::<Result<Vec<i64>>>(),
        None => Ok(vec![usual]),
    };
    let rule = &watch.rule;
    let holds = spans("for_duration", rule.hold_ns)?;
    let clears = spans("clear_for", rule.clear_hold_ns)?;
    let keeps = spans("keep_firing", rule.keep_firing_ns)?;
    let when = &watch.alert().when.text;
    let (conditions, thresholds) = match values("score_threshold") {
        None => (vec![when.clone()], vec![threshold::threshold_of(when)]),
        Some(values) => {
            let with = |value: &String| threshold::with_threshold(when, value);
            let conditions = values.iter().map(with).collect::<Result<Vec<String>>>()?;
            (conditions, values.iter().map(|value| value.parse().ok()).collect())
        }
    };
    let count = [thresholds.len(), holds.len(), clears.len(), keeps.len()].into_iter().fold(1, usize::saturating_mul);
    if count > COMBINATIONS_MAX {
        let what = format!("a backtest tries {COMBINATIONS_MAX} combinations at most, and these are {count}");
        return Err(Error::definition("KP021", what).hinted("Sweep fewer parameters at once."));
    }
    let mut all = Vec::with_capacity(count);
    for (condition, threshold) in thresholds.iter().enumerate() {
        for hold_ns in &holds {
            for clear_hold_ns in &clears {
                for keep_firing_ns in &keeps {
                    all.push(Combination {
                        threshold: *threshold,
                        condition,
                        hold_ns: *hold_ns,
                        clear_hold_ns: *clear_hold_ns,
                        keep_firing_ns: *keep_firing_ns,
                    });
                }
            }
        }
    }
    Ok((conditions, all))
}

impl Combination {
    /// Its parameters as numbers: a score, and seconds.
    fn parameters(&self) -> [f64; 4] {
        let seconds = |ns: i64| ns as f64 / 1e9;
        let threshold = self.threshold.unwrap_or(f64::NAN);
        [threshold, seconds(self.hold_ns), seconds(self.clear_hold_ns), seconds(self.keep_firing_ns)]
    }
}

/// What the policy of a tier says of each parameter.
fn usual(tier: u8, database: &Database) -> Result<[Option<f64>; 4]> {
    let table = incident::built_in("tier_policy")?;
    let held = database.ops().held(table);
    let Some((_, row)) = held.find(&["tier"], &[Value::Integer(i64::from(tier))]) else { return Ok([None; 4]) };
    let row = Named::new(table, row);
    Ok([row.number("score"), row.integer("for_seconds").map(|seconds| seconds as f64), None, None])
}

/// What a combination came to.
struct Outcome {
    figures: Figures,
    suppressed: usize,
}

impl Test {
    fn rows(&self, inputs: &[Vec<RecordBatch>], now_ns: i64, schema: &SchemaRef) -> Result<RecordBatch> {
        let until_ns = self.end_ns.min(now_ns);
        let seen_ns = self.seen_from(&inputs[0])?;
        let incidents = match inputs.get(1) {
            Some(batches) => incidents(batches, seen_ns, until_ns)?,
            None => Vec::new(),
        };
        let mut outcomes: Vec<Option<Outcome>> = self.combinations.iter().map(|_| None).collect();
        for condition in 0..self.conditions {
            let mut at_work: Vec<(usize, Replay<'_>)> = self
                .combinations
                .iter()
                .enumerate()
                .filter(|(_, combination)| combination.condition == condition)
                .map(|(at, combination)| {
                    let mut rule = self.watch.rule.clone();
                    rule.hold_ns = combination.hold_ns;
                    rule.clear_hold_ns = combination.clear_hold_ns;
                    rule.keep_firing_ns = combination.keep_firing_ns;
                    (at, Replay::new(&self.watch, rule, self.start_ns, &self.database))
                })
                .collect();
            stretches(&inputs[0], &self.watch, condition, until_ns, |rows, end_ns| {
                at_work.iter_mut().try_for_each(|(_, replay)| replay.take(rows, end_ns).map(|_| ()))
            })?;
            for (at, replay) in at_work {
                outcomes[at] = Some(self.outcome(&replay.finish(), &incidents, until_ns));
            }
        }
        let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
        let days = until_ns.saturating_sub(seen_ns) as f64 / DAY_NS;
        self.batch(&outcomes, days, schema)
    }

    /// From when on there is something to look at.
    fn seen_from(&self, batches: &[RecordBatch]) -> Result<i64> {
        let mut rows = Vec::new();
        let mut first_ns = None;
        let mut is_answered = false;
        for batch in batches {
            rows.clear();
            evaluate::read(batch, self.watch.alert(), 0, &mut rows)?;
            first_ns = first_ns.or(rows.first().map(|row| row.time_ns));
            is_answered |= rows.iter().any(|row| row.when.is_some());
            if is_answered {
                break;
            }
        }
        let name = self.watch.name();
        match first_ns {
            None => {
                let what = format!("alert \"{name}\" has no rows in that time");
                Err(Error::definition("KP020", what).hinted("A backtest needs data of the time that it looks at."))
            }
            Some(_) if !is_answered => {
                let what = format!("the condition of alert \"{name}\" is unknown for all of that time");
                let hint = "A baseline that is still learning has no score: begin later, or give it more history.";
                Err(Error::definition("KP020", what).hinted(hint))
            }
            Some(first_ns) => Ok(first_ns.max(self.start_ns)),
        }
    }

    fn outcome(&self, alarms: &[Alarm], incidents: &[Incident], until_ns: i64) -> Outcome {
        let heard = alarms.iter().filter(|alarm| alarm.suppressed_by.is_none());
        let heard: Vec<_> = heard.map(|alarm| alarm.fired_ns..alarm.over_ns.unwrap_or(until_ns)).collect();
        Outcome { suppressed: alarms.len() - heard.len(), figures: Figures::new(&heard, incidents, self.tolerance) }
    }

    /// Of something for each parameter, those of the parameters that are swept.
    fn swept<T>(&self, all: [T; 4]) -> Vec<T> {
        all.into_iter().zip(self.swept).filter(|(_, is_swept)| *is_swept).map(|(one, _)| one).collect()
    }

    fn batch(&self, outcomes: &[Outcome], days: f64, schema: &SchemaRef) -> Result<RecordBatch> {
        let tried: Vec<Tried> = self
            .combinations
            .iter()
            .zip(outcomes)
            .map(|(combination, outcome)| Tried {
                parameters: self.swept(combination.parameters()),
                figures: outcome.figures.clone(),
            })
            .collect();
        let best = if self.is_compared { recommended(&tried, &self.swept(self.usual), self.goal) } else { None };
        // Without incidents to compare with, there is nothing to be said of them.
        let compared = |number: Option<f64>| number.filter(|_| self.is_compared);
        let numbers = |of: &dyn Fn(&Figures) -> Option<f64>| -> ArrayRef {
            Arc::new(Float64Array::from_iter(outcomes.iter().map(|outcome| of(&outcome.figures))))
        };
        let counts = |of: &dyn Fn(&Outcome) -> Option<usize>| -> ArrayRef {
            let count = |outcome| of(outcome).and_then(|count| i64::try_from(count).ok());
            Arc::new(Int64Array::from_iter(outcomes.iter().map(count)))
        };
        let compared_count = |count: usize| self.is_compared.then_some(count);
        let lengths = |of: &dyn Fn(&Figures) -> Option<i64>| intervals(outcomes.iter().map(|one| of(&one.figures)));
        let parameters =
            |of: &dyn Fn(&Combination) -> i64| intervals(self.combinations.iter().map(|one| Some(of(one))));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from_iter(self.combinations.iter().map(|combination| combination.threshold))),
            parameters(&|combination| combination.hold_ns),
            parameters(&|combination| combination.clear_hold_ns),
            parameters(&|combination| combination.keep_firing_ns),
            counts(&|outcome| compared_count(outcome.figures.incidents)),
            counts(&|outcome| compared_count(outcome.figures.caught)),
            counts(&|outcome| compared_count(outcome.figures.incidents - outcome.figures.caught)),
            counts(&|outcome| Some(outcome.figures.alarms)),
            counts(&|outcome| Some(outcome.suppressed)),
            numbers(&|figures| compared((days > 0.0).then(|| figures.false_alarms as f64 / days))),
            numbers(&|figures| compared(figures.precision())),
            numbers(&|figures| compared(figures.precision_between().map(|(low, _)| low))),
            numbers(&|figures| compared(figures.precision_between().map(|(_, high)| high))),
            numbers(&|figures| figures.recall()),
            numbers(&|figures| figures.recall_between().map(|(low, _)| low)),
            numbers(&|figures| figures.recall_between().map(|(_, high)| high)),
            numbers(&|figures| figures.f1()),
            lengths(&|figures| figures.delay_ns),
            lengths(&|figures| figures.lead_ns),
            numbers(&|figures| compared(Some(figures.noise_ns as f64 / 1e9))),
            Arc::new(BooleanArray::from_iter((0..outcomes.len()).map(|at| best.map(|best| best == at)))),
        ];
        Ok(RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?)
    }
}

fn intervals(lengths: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let interval = |ns: i64| IntervalMonthDayNano::new(0, 0, ns);
    Arc::new(IntervalMonthDayNanoArray::from_iter(lengths.map(|length| length.map(interval))))
}

/// The columns.
fn schema() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let count = |name: &str| Field::new(name, DataType::Int64, true);
    let length = |name: &str| Field::new(name, DataType::Interval(IntervalUnit::MonthDayNano), true);
    let mut fields =
        vec![number("score_threshold"), length("for_duration"), length("clear_for"), length("keep_firing")];
    fields.extend(["incidents", "caught", "missed", "alarms", "suppressed"].map(count));
    fields.extend(["false_alarms_per_day", "precision", "precision_low", "precision_high"].map(number));
    fields.extend(["recall", "recall_low", "recall_high", "f1"].map(number));
    fields.extend([length("median_delay"), length("median_lead"), number("noise_seconds")]);
    fields.push(Field::new("recommended", DataType::Boolean, true));
    Arc::new(Schema::new(fields))
}

/// What had happened, of what was opened from a time on and before another.
fn incidents(batches: &[RecordBatch], from_ns: i64, until_ns: i64) -> Result<Vec<Incident>> {
    let times = |batch: &RecordBatch, name: &str| -> Result<Option<TimestampNanosecondArray>> {
        let Some(column) = batch.column_by_name(name) else { return Ok(None) };
        let column = cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, None)).map_err(DataFusionError::from)?;
        Ok(Some(column.as_primitive::<TimestampNanosecondType>().clone()))
    };
    let mut all = Vec::new();
    for batch in batches {
        let Some(opened) = times(batch, OPENED_AT)? else { continue };
        let resolved = times(batch, RESOLVED_AT)?;
        for row in (0..batch.num_rows()).filter(|row| opened.is_valid(*row)) {
            let opened_ns = opened.value(row);
            let resolved_ns = resolved.as_ref().filter(|times| times.is_valid(row)).map(|times| times.value(row));
            if (from_ns..until_ns).contains(&opened_ns) {
                all.push(Incident { opened_ns, resolved_ns: resolved_ns.unwrap_or(until_ns).max(opened_ns) });
            }
        }
    }
    all.sort_by_key(|incident| incident.opened_ns);
    Ok(all)
}

/// The relation of a dry run: a row for each incident that an alert would have opened between two instants.
///
/// # Errors
/// [`Error::UndefinedObject`], KP020 for a time that is none.
pub(crate) fn dry_run(alert: &str, start_ns: i64, end_ns: i64, lowering: &Lowering<'_>) -> Result<Computed> {
    let object = lowering.definitions.get(Kind::Alert, alert)?;
    let watch = Watch::new(object, lowering.definitions)?;
    let plan = rows_plan(&watch, &[watch.alert().when.text.clone()], &[], start_ns, end_ns, lowering)?;
    let (database, zone) = (lowering.database.clone(), lowering.settings.time_zone.clone());
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Nanosecond, Some(zone.clone())), true);
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        text("key"),
        text("labels"),
        time("began_at"),
        time("fired_at"),
        time("resolved_at"),
        text("severity"),
        number("value"),
        number("score"),
        text("suppressed_by"),
    ]));
    Ok(Computed::new("alert_dry_run", schema.clone(), vec![plan], Vec::new(), move |inputs, now_ns| {
        let mut replay = Replay::new(&watch, watch.rule.clone(), start_ns, &database);
        stretches(&inputs[0], &watch, 0, end_ns.min(now_ns), |rows, end_ns| replay.take(rows, end_ns).map(|_| ()))?;
        let alarms = replay.finish();
        let texts = |of: &dyn Fn(&Alarm) -> Option<String>| -> ArrayRef {
            Arc::new(StringArray::from_iter(alarms.iter().map(of)))
        };
        let times = |of: &dyn Fn(&Alarm) -> Option<i64>| -> ArrayRef {
            Arc::new(TimestampNanosecondArray::from_iter(alarms.iter().map(of)).with_timezone(zone.clone()))
        };
        let numbers = |of: &dyn Fn(&Alarm) -> Option<f64>| -> ArrayRef {
            Arc::new(Float64Array::from_iter(alarms.iter().map(of)))
        };
        let columns: Vec<ArrayRef> = vec![
            texts(&|alarm| Some(alarm.key.clone())),
            texts(&|alarm| serde_json::to_string(&alarm.labels).ok()),
            times(&|alarm| Some(alarm.began_ns)),
            times(&|alarm| Some(alarm.fired_ns)),
            times(&|alarm| alarm.over_ns),
            texts(&|alarm| alarm.severity.clone()),
            numbers(&|alarm| alarm.value),
            numbers(&|alarm| alarm.score),
            texts(&|alarm| alarm.suppressed_by.clone()),
        ];
        Ok(RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?)
    }))
}

/// What is said of an alert that is not armed when it is made: what it would have opened.
pub(crate) async fn dry_run_notice(definition: &Definition, database: &Database, now_ns: i64) -> Option<String> {
    let Definition::Alert(alert) = definition else { return None };
    let length = alert.option_text(DRY_RUN)?;
    let call = format!("alert_dry_run({}, {})", text_literal(&alert.name), text_literal(length));
    let text = format!("SELECT count(*), count(suppressed_by), max(fired_at)::text FROM {call}");
    let arms = format!("ALTER ALERT {} RESET ({DRY_RUN}) arms it", quoted(&alert.name));
    let batches = match session(database).rows_of(&text, now_ns).await {
        Ok(batches) => batches,
        Err(error) => return Some(format!("not armed: {error}; {arms}")),
    };
    let batch = batches.first().filter(|batch| batch.num_rows() == 1)?;
    let count = |at: usize| batch.column(at).as_primitive::<Int64Type>().value(0);
    let last = cast(batch.column(2), &DataType::Utf8).ok()?;
    let last = last.as_string::<i32>();
    let last = if last.is_valid(0) { format!(", the last at {}", last.value(0)) } else { String::new() };
    let quiet = if count(1) > 0 { format!(", {} of them in silence", count(1)) } else { String::new() };
    let opened = format!("in the last {length} it would have opened {}{quiet}{last}", count(0));
    Some(format!("not armed: {opened}; SELECT * FROM {call} lists them, {arms}"))
}
