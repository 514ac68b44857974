//! What an alert's query and conditions give for a stretch of time, and what follows for each instance.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampNanosecondType};
use datafusion::error::DataFusionError;

use super::machine::{Instance, Rule, Sample, Step};
use super::{Instances, Labels, Tracked, Watch, of};
use crate::catalog::Object;
use crate::dialect::{Alert, Query};
use crate::lower::Lowering;
use crate::session::Session;
use crate::{Error, OutputColumn, Result};

/// Columns that are put behind those of the query. The first two have a number behind, where one alert is asked several ways.
const WHEN: &str = "\u{1f}when";
const CLEAR: &str = "\u{1f}clear";
const SEVERITY: &str = "\u{1f}severity";

/// What the names of such columns begin with.
const ADDED: char = '\u{1f}';

/// Columns of KPIs that are texts and tell nothing apart.
const NO_LABELS: [&str; 3] = ["band", "quality", "status"];

/// A row of the query with what the conditions say of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) time_ns: i64,
    pub(crate) labels: Labels,
    pub(crate) values: BTreeMap<String, f64>,
    pub(crate) when: Option<bool>,
    pub(crate) clear: Option<bool>,
    pub(crate) severity: Option<String>,
}

/// A step of an instance, and what was known of it then.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Happened {
    pub(crate) labels: Labels,
    pub(crate) step: Step,
    pub(crate) began_ns: i64,
    pub(crate) values: BTreeMap<String, f64>,
    pub(crate) severity: Option<String>,
}

/// The statement that gives the rows of the buckets that end after `from_ns` and not after `until_ns`, by time, with what each of
/// some conditions says of them. `more` are columns besides, expressions under names.
pub(super) fn text(
    watch: &Watch,
    conditions: &[String],
    more: &[(String, String)],
    from_ns: i64,
    until_ns: i64,
) -> String {
    let (alert, step_ns) = (watch.alert(), watch.rule.step_ns);
    let mut added = String::new();
    for (at, when) in conditions.iter().enumerate() {
        let clear = match &alert.clear {
            Some(clear) => clear.when.text.clone(),
            None => format!("NOT ({when}\n)"),
        };
        added += &format!(", ({when}\n)::boolean AS \"{WHEN}{at}\", ({clear}\n)::boolean AS \"{CLEAR}{at}\"");
    }
    for (name, expression) in more {
        added += &format!(", ({expression}\n) AS \"{ADDED}{name}\"");
    }
    let severity = alert.severity.as_ref().map_or("NULL", |severity| severity.text.as_str());
    let (query, instant) = (&alert.query.text, crate::ops::incident::rfc3339);
    format!(
        "SELECT *{added}, ({severity}\n)::text AS \"{SEVERITY}\"\nFROM ({query}\n) AS signal \
         WHERE time > '{}' AND time <= '{}' ORDER BY time",
        instant(from_ns.saturating_sub(step_ns)),
        instant(until_ns.saturating_sub(step_ns))
    )
}

/// What a column besides is called, of those that were asked for under a name.
pub(super) fn added(name: &str) -> Option<&str> {
    name.strip_prefix(ADDED)
}

/// Checks what an alert means, and gives the tables of time series that it reads.
///
/// # Errors
/// Whatever is wrong with its query or its conditions, where it stands in its statement.
pub(crate) fn check(object: &Object, lowering: &Lowering<'_>) -> Result<()> {
    let alert = of(object)?;
    let columns_of = |text: &str| {
        let query = Query { text: text.to_owned(), offset: 0 };
        crate::relation::plan_text(&query, lowering).map(|(_, columns)| columns)
    };
    let columns = columns_of(&alert.query.text).map_err(|error| error.shifted(alert.query.offset))?;
    let instant = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let is_time = |data_type: &DataType| matches!((data_type, &instant), (DataType::Timestamp(a, Some(_)), DataType::Timestamp(b, _)) if a == b);
    if !columns.iter().any(|column| column.name == "time" && is_time(&column.data_type)) {
        let error = Error::definition("KP001", "the query of an alert gives a column \"time\" of type timestamptz");
        return Err(error.hinted("Name it with AS time."));
    }
    check_ticket(alert, &columns)?;
    for name in alert.labels.iter().flatten() {
        if !columns.iter().any(|column| column.name == *name) {
            let similar = crate::functions::most_similar(name, columns.iter().map(|column| column.name.as_str()));
            let hint = similar.map(|near| format!("Did you mean \"{near}\"?"));
            return Err(Error::UndefinedColumn { name: name.clone(), position: None, hint });
        }
    }
    let conditions = [Some((&alert.when, "WHEN")), alert.clear.as_ref().map(|clear| (&clear.when, "CLEAR WHEN"))];
    let severity = alert.severity.as_ref().map(|severity| (severity, "SEVERITY"));
    for (expression, clause) in conditions.into_iter().flatten().chain(severity) {
        let before = "SELECT (";
        let text = format!("{before}{}\n) FROM ({}\n) AS signal", expression.text, alert.query.text);
        let planned = columns_of(&text).and_then(|columns| match columns.first() {
            Some(column) if clause != "SEVERITY" => is_truth(clause, &column.data_type),
            _ => Ok(()),
        });
        planned.map_err(|error| {
            // The text stands behind some of ours here, and elsewhere in its statement.
            match error.position() {
                Some(at) if at > before.len() && at <= before.len() + expression.text.chars().count() + 1 => {
                    error.moved(before.len(), expression.offset)
                }
                _ => error,
            }
        })?;
    }
    Ok(())
}

/// Checks that what an alert opens can be told apart and escalated as it says.
fn check_ticket(alert: &Alert, columns: &[OutputColumn]) -> Result<()> {
    let ticket = alert.option_text("ticket").unwrap_or("incident");
    if let Some(policy) = alert.escalate.as_deref().filter(|_| ticket != "incident") {
        let what = format!("an alert with ticket = '{ticket}' opens no incident that \"{policy}\" could escalate");
        return Err(Error::definition("KP003", what).hinted("Leave ESCALATE TO out, or the option ticket."));
    }
    let labels = columns.iter().filter(|column| is_label(alert, &column.name, &column.data_type));
    let time = (!matches!(ticket, "incident" | "none")).then_some("time");
    let known: Vec<&str> =
        labels.map(|column| column.name.as_str()).chain(["alert", "service", "kpi"]).chain(time).collect();
    let pattern = alert.option_text("dedup_key").unwrap_or_default();
    let named = pattern.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    for name in named {
        if !known.contains(&name) {
            let what =
                format!("\"dedup_key\": {{{name}}} is neither a dimension of the alert nor alert, service or kpi");
            return Err(Error::definition("KP003", what).hinted(&format!("It may name {}.", known.join(", "))));
        }
    }
    Ok(())
}

/// True for a column whose values tell the instances of an alert apart.
fn is_label(alert: &Alert, name: &str, data_type: &DataType) -> bool {
    match &alert.labels {
        Some(labels) => labels.iter().any(|label| label == name),
        None => {
            let is_text = !data_type.is_numeric() && !matches!(data_type, DataType::Timestamp(..));
            is_text && !NO_LABELS.contains(&name)
        }
    }
}

/// Checks that an expression of a clause is true or false.
///
/// # Errors
/// [`Error::Type`].
pub(super) fn is_truth(clause: &str, data_type: &DataType) -> Result<()> {
    match data_type {
        DataType::Boolean | DataType::Null => Ok(()),
        other => {
            let name = crate::error::type_name(other);
            let message = format!("argument of {clause} must be type boolean, not type {name}");
            Err(Error::Type { message, position: None, hint: Some("Compare it with something: value > 5.".to_owned()) })
        }
    }
}

/// The rows of the buckets that end after `from_ns` and not after `until_ns`, by time.
///
/// # Errors
/// Those of the query.
pub(crate) async fn rows(
    watch: &Watch,
    from_ns: i64,
    until_ns: i64,
    session: &Session,
    now_ns: i64,
) -> Result<Vec<Found>> {
    let text = text(watch, std::slice::from_ref(&watch.alert().when.text), &[], from_ns, until_ns);
    let batches = session.rows_of(&text, now_ns).await?;
    let mut all = Vec::new();
    for batch in &batches {
        read(batch, watch.alert(), 0, &mut all)?;
    }
    Ok(all)
}

/// The tables of time series that an alert reads.
///
/// # Errors
/// Those of planning.
pub(crate) fn tables(watch: &Watch, session: &Session, now_ns: i64) -> Result<Vec<String>> {
    let statements = crate::parse(&watch.alert().query.text)?;
    let Some(statement) = statements.first() else { return Ok(Vec::new()) };
    session.tables_of(statement, now_ns)
}

/// Reads rows, with what the condition with a number says of them.
///
/// # Errors
/// None, unless a type of the query has changed.
pub(super) fn read(batch: &RecordBatch, alert: &Alert, condition: usize, all: &mut Vec<Found>) -> Result<()> {
    read_columns(batch, alert, condition, all).map_err(|error| DataFusionError::from(error).into())
}

fn read_columns(
    batch: &RecordBatch,
    alert: &Alert,
    condition: usize,
    all: &mut Vec<Found>,
) -> datafusion::arrow::error::Result<()> {
    let schema = batch.schema();
    let instant = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let mut time = None;
    let mut labels: Vec<(&str, StringArray)> = Vec::new();
    let mut numbers: Vec<(&str, Float64Array)> = Vec::new();
    let (when_name, clear_name) = (format!("{WHEN}{condition}"), format!("{CLEAR}{condition}"));
    let (mut when, mut clear) = (None, None);
    let mut severity = None;
    let boolean = |column: &ArrayRef| -> Option<BooleanArray> { column.as_boolean_opt().cloned() };
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let name = field.name().as_str();
        let is_number = field.data_type().is_numeric();
        let is_label = is_label(alert, name, field.data_type());
        match name {
            "time" if time.is_none() => {
                time = Some(cast(column, &instant)?.as_primitive::<TimestampNanosecondType>().clone());
            }
            _ if name == when_name => when = boolean(column),
            _ if name == clear_name => clear = boolean(column),
            SEVERITY => severity = Some(cast(column, &DataType::Utf8)?.as_string::<i32>().clone()),
            _ if added(name).is_some() => {}
            _ if is_label => labels.push((name, cast(column, &DataType::Utf8)?.as_string::<i32>().clone())),
            _ if is_number => {
                let floats = cast(column, &DataType::Float64)?;
                numbers.push((name, floats.as_primitive::<datafusion::arrow::datatypes::Float64Type>().clone()));
            }
            _ => {}
        }
    }
    let Some(time) = time else { return Ok(()) };
    let truth = |column: &Option<BooleanArray>, row: usize| {
        column.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row))
    };
    for row in (0..batch.num_rows()).filter(|row| time.is_valid(*row)) {
        let label = |(name, column): &(&str, StringArray)| {
            column.is_valid(row).then(|| ((*name).to_owned(), column.value(row).to_owned()))
        };
        let number = |(name, column): &(&str, Float64Array)| {
            column.is_valid(row).then(|| ((*name).to_owned(), column.value(row)))
        };
        all.push(Found {
            time_ns: time.value(row),
            labels: labels.iter().filter_map(label).collect(),
            values: numbers.iter().filter_map(number).collect(),
            when: truth(&when, row),
            clear: truth(&clear, row),
            severity: severity
                .as_ref()
                .filter(|column| column.is_valid(row))
                .map(|column| column.value(row).to_owned()),
        });
    }
    Ok(())
}

/// Takes the buckets in that end after `from_ns` and not after `until_ns`, in order of time. Gives what happened, in order.
pub(crate) fn fold(
    instances: &mut Instances,
    rule: &Rule,
    from_ns: i64,
    until_ns: i64,
    rows: &[Found],
) -> Vec<Happened> {
    let step_ns = rule.step_ns;
    let mut by_time: BTreeMap<i64, BTreeMap<&Labels, &Found>> = BTreeMap::new();
    let is_due = |end_ns: i64| end_ns > from_ns && end_ns <= until_ns;
    for row in rows.iter().filter(|row| is_due(row.time_ns.saturating_add(step_ns))) {
        // Of several rows of one instance and bucket, the last one counts.
        by_time.entry(row.time_ns).or_default().insert(&row.labels, row);
    }
    let mut times: BTreeSet<i64> = by_time.keys().copied().collect();
    if step_ns > 0 && instances.values().any(|tracked| !tracked.instance.is_blank()) {
        // Buckets without any row count too, on the grid that rows are on.
        let first_ns = rows.first().map_or(0, |row| row.time_ns);
        let begin_ns = from_ns.saturating_sub(step_ns).saturating_add(1);
        let mut at_ns = begin_ns.saturating_add(first_ns.saturating_sub(begin_ns).rem_euclid(step_ns));
        while at_ns.saturating_add(step_ns) <= until_ns {
            times.insert(at_ns);
            at_ns += step_ns;
        }
    }
    let mut happened = Vec::new();
    for start_ns in times {
        let here = by_time.get(&start_ns);
        let end_ns = start_ns.saturating_add(step_ns);
        let missing = instances.keys().filter(|labels| here.is_none_or(|here| !here.contains_key(labels)));
        let missing: Vec<Labels> = if step_ns > 0 { missing.cloned().collect() } else { Vec::new() };
        for (labels, row) in here.into_iter().flatten() {
            let tracked = instances.entry((*labels).clone()).or_insert_with(|| Tracked::new(start_ns));
            let sample = Sample { start_ns, end_ns, when: row.when, clear: row.clear };
            let steps = tracked.instance.observe(rule, &sample);
            if row.when == Some(true) || tracked.values.is_empty() {
                tracked.values.clone_from(&row.values);
            }
            if row.when == Some(true) && row.severity.is_some() {
                tracked.severity.clone_from(&row.severity);
            }
            happened.extend(steps.into_iter().map(|step| tracked.happened(labels, step)));
        }
        for labels in missing {
            let Some(tracked) = instances.get_mut(&labels) else { continue };
            let steps = tracked.instance.observe(rule, &Sample { start_ns, end_ns, when: None, clear: None });
            happened.extend(steps.into_iter().map(|step| tracked.happened(&labels, step)));
        }
        instances.retain(|_, tracked| tracked.number.is_some() || !tracked.instance.is_blank());
    }
    happened
}

impl Tracked {
    fn new(start_ns: i64) -> Tracked {
        Tracked {
            instance: Instance::new(start_ns),
            values: BTreeMap::new(),
            severity: None,
            incident_id: None,
            suppressed_by: None,
            number: None,
        }
    }

    fn happened(&self, labels: &Labels, step: Step) -> Happened {
        let (values, severity) = (self.values.clone(), self.severity.clone());
        Happened { labels: labels.clone(), step, began_ns: self.instance.began_ns, values, severity }
    }
}
