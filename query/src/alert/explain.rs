//! `EXPLAIN ALERT`: why an alert was in the state that it was in at a moment.
//!
//! Its rows of the time before are looked at anew, and what was found when it was looked at then stands beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;

use super::backtest::{instant, rows_plan};
use super::evaluate::{self, Found, added};
use super::replay::Replay;
use super::{Instances, Labels, Watch, suppress, threshold};
use crate::catalog::{Definitions, Object};
use crate::dialect::{Baseline, Kind};
use crate::lower::Lowering;
use crate::ops::incident::rfc3339;
use crate::ops::{Named, incident};
use crate::relation::Computed;
use crate::{Database, Error, Result};

/// How much of the past is looked at anew besides what the rule asks for, in nanoseconds.
const LOOKBACK_NS: i64 = 24 * 60 * super::MINUTE_NS;

/// How many changes of state are told as they were found then.
const RECORDED_MAX: usize = 5;

/// A row of the answer.
struct Line {
    instance: Option<String>,
    part: &'static str,
    item: String,
    value: String,
}

/// What is explained.
struct Question {
    watch: Watch,
    /// What each column that was added is, in words.
    terms: BTreeMap<String, (&'static str, String)>,
    from_ns: i64,
    at_ns: i64,
    definitions: Arc<Definitions>,
    database: Database,
}

/// The relation of an explanation: instance, part, item, value, all of them texts.
///
/// # Errors
/// [`Error::UndefinedObject`], KP020 for an instant that is none.
pub(crate) fn relation(name: &str, at: &str, lowering: &Lowering<'_>) -> Result<Computed> {
    let object = lowering.definitions.get(Kind::Alert, name)?;
    let watch = Watch::new(object, lowering.definitions)?;
    let at_ns = instant(at, lowering)?.min(crate::plan::now_ns(lowering.state));
    let step_ns = watch.rule.step_ns.max(1);
    let at_ns = at_ns.saturating_sub(at_ns.rem_euclid(step_ns));
    let rule = &watch.rule;
    let asked_ns = [rule.hold_ns, rule.clear_hold_ns, rule.keep_firing_ns].into_iter().fold(0, i64::saturating_add);
    let from_ns = at_ns.saturating_sub(LOOKBACK_NS).saturating_sub(asked_ns.saturating_mul(2));
    let alert = watch.alert();
    let (mut more, mut terms) = (Vec::new(), BTreeMap::new());
    let clear = alert.clear.as_ref().map(|clear| ("clear when", &clear.when.text));
    for (part, text) in [Some(("when", &alert.when.text)), clear].into_iter().flatten() {
        for (at, term) in threshold::terms(text)?.into_iter().enumerate() {
            let column = format!("{part} {at:02}");
            more.push((column.clone(), format!("({term})::boolean")));
            terms.insert(column, (part, term));
        }
    }
    let plan = rows_plan(&watch, std::slice::from_ref(&alert.when.text), &more, from_ns, at_ns, lowering)?;
    let question = Question {
        watch,
        terms,
        from_ns,
        at_ns,
        definitions: lowering.definitions.clone(),
        database: lowering.database.clone(),
    };
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let fields = vec![text("instance", true), text("part", false), text("item", false), text("value", true)];
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    Ok(Computed::new("explain_alert", schema.clone(), vec![plan], Vec::new(), move |inputs, _now_ns| {
        let lines = question.lines(&inputs[0])?;
        let column = |of: &dyn Fn(&Line) -> Option<String>| -> ArrayRef {
            Arc::new(StringArray::from_iter(lines.iter().map(of)))
        };
        let columns: Vec<ArrayRef> = vec![
            column(&|line| line.instance.clone()),
            column(&|line| Some(line.part.to_owned())),
            column(&|line| Some(line.item.clone())),
            column(&|line| Some(line.value.clone())),
        ];
        Ok(RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?)
    }))
}

impl Question {
    fn lines(&self, batches: &[RecordBatch]) -> Result<Vec<Line>> {
        let step_ns = self.watch.rule.step_ns;
        let mut rows = Vec::new();
        for batch in batches {
            evaluate::read(batch, self.watch.alert(), 0, &mut rows)?;
        }
        let last_ns = self.last_bucket(&rows);
        let cut = rows.partition_point(|row: &Found| row.time_ns < last_ns);
        let mut replay = Replay::new(&self.watch, self.watch.rule.clone(), self.from_ns, &self.database);
        replay.take(&rows[..cut], self.at_ns.min(last_ns.saturating_add(step_ns)).saturating_sub(step_ns.max(1)))?;
        let before = replay.instances.clone();
        replay.take(&rows[cut..], self.at_ns)?;
        let after = replay.instances;
        let mut lines = self.head(last_ns);
        let inputs = self.inputs(batches, last_ns)?;
        let mut labels: Vec<&Labels> = inputs.keys().chain(before.keys()).chain(after.keys()).collect();
        labels.sort();
        labels.dedup();
        if labels.is_empty() {
            lines.push(Line::new(None, "input", "rows", "none in that bucket"));
        }
        for labels in labels {
            let instance = serde_json::to_string(labels).map_err(|e| Error::Internal(e.to_string()))?;
            match inputs.get(labels) {
                Some(found) => lines.extend(found.iter().map(|(part, item, value)| Line {
                    instance: Some(instance.clone()),
                    part,
                    item: item.clone(),
                    value: value.clone(),
                })),
                None => lines.push(Line::new(Some(&instance), "input", "rows", "none in that bucket")),
            }
            lines.extend(self.overrides(&instance, labels, last_ns));
            lines.extend(self.states(&instance, labels, &before, &after)?);
            lines.extend(self.recorded(&instance)?);
        }
        Ok(lines)
    }

    /// The start of the bucket that ended last; where rows are moments, the time of the last one.
    fn last_bucket(&self, rows: &[Found]) -> i64 {
        match self.watch.rule.step_ns {
            0 => rows.last().map_or(self.at_ns, |row| row.time_ns),
            step_ns => self.at_ns.saturating_sub(step_ns),
        }
    }

    /// What is the same for all instances.
    fn head(&self, last_ns: i64) -> Vec<Line> {
        let alert = self.watch.alert();
        let mut lines = vec![
            Line::new(None, "alert", "version", &self.watch.object.version.to_string()),
            Line::new(None, "alert", "when", &alert.when.text),
            Line::new(None, "bucket", "start", &rfc3339(last_ns)),
            Line::new(None, "bucket", "end", &rfc3339(self.at_ns)),
            Line::new(None, "bucket", "looked at from", &rfc3339(self.from_ns)),
        ];
        let lengths = [("for", &alert.hold), ("keep firing for", &alert.keep_firing)];
        for (item, length) in lengths {
            lines.extend(length.as_ref().map(|length| Line::new(None, "alert", item, length)));
        }
        if let Some(clear) = &alert.clear {
            let hold = clear.hold.as_ref().map(|hold| format!(" for {hold}")).unwrap_or_default();
            lines.push(Line::new(None, "alert", "clear when", &format!("{}{hold}", clear.when.text)));
        }
        if let Some(kpi) = self.watch.kpi.as_deref().and_then(|kpi| self.definitions.find(Kind::Kpi, kpi)) {
            lines.push(Line::new(None, "kpi", "name", &kpi.name));
            lines.push(Line::new(None, "kpi", "version", &kpi.version.to_string()));
        }
        if let Some((object, baseline)) = self.baseline() {
            lines.push(Line::new(None, "baseline", "name", &object.name));
            lines.push(Line::new(None, "baseline", "version", &object.version.to_string()));
            lines.push(Line::new(None, "baseline", "method", baseline.option_text("method").unwrap_or("auto")));
            lines.push(Line::new(None, "baseline", "slot", &crate::relation::slot(baseline, last_ns)));
        }
        lines
    }

    fn baseline(&self) -> Option<(&Object, &Baseline)> {
        crate::relation::baseline_of(self.watch.kpi.as_deref()?, &self.definitions)
    }

    /// The columns of the rows of a bucket and what the terms of the conditions say of them, by instance.
    #[expect(clippy::type_complexity, reason = "part, item and value of each line")]
    fn inputs(
        &self,
        batches: &[RecordBatch],
        start_ns: i64,
    ) -> Result<BTreeMap<Labels, Vec<(&'static str, String, String)>>> {
        let mut all = BTreeMap::new();
        let options = FormatOptions::default().with_null("NULL");
        let failed = |error: datafusion::arrow::error::ArrowError| DataFusionError::from(error);
        for batch in batches {
            let schema = batch.schema();
            let mut columns = Vec::with_capacity(batch.num_columns());
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                columns.push((field, column, ArrayFormatter::try_new(column, &options).map_err(failed)?));
            }
            // A row each: the statement gives none without a time.
            let mut rows = Vec::with_capacity(batch.num_rows());
            evaluate::read(batch, self.watch.alert(), 0, &mut rows)?;
            for (row, found) in rows.into_iter().enumerate().filter(|(_, found)| found.time_ns == start_ns) {
                let mut lines = Vec::new();
                for (field, column, formatter) in &columns {
                    let text = formatter.value(row).to_string();
                    match added(field.name()) {
                        None => lines.push(("input", field.name().clone(), text)),
                        Some(name) => {
                            if let Some((part, term)) = self.terms.get(name) {
                                lines.push((*part, term.clone(), truth(column, row, text)));
                            }
                        }
                    }
                }
                let word = |answer: Option<bool>| answer.map_or("unknown".to_owned(), |answer| answer.to_string());
                lines.push(("condition", "when".to_owned(), word(found.when)));
                lines.push(("condition", "clear when".to_owned(), word(found.clear)));
                lines.extend(found.severity.map(|severity| ("condition", "severity".to_owned(), severity)));
                all.insert(found.labels, lines);
            }
        }
        Ok(all)
    }

    /// What people have put in place of the baseline then.
    fn overrides(&self, instance: &str, labels: &Labels, at_ns: i64) -> Vec<Line> {
        let Some((object, _)) = self.baseline() else { return Vec::new() };
        let text = super::story::override_text(&object.name, labels, at_ns, &self.database);
        text.map(|text| Line::new(Some(instance), "baseline", "override", &text)).into_iter().collect()
    }

    fn states(&self, instance: &str, labels: &Labels, before: &Instances, after: &Instances) -> Result<Vec<Line>> {
        let word = |all: &Instances| all.get(labels).map_or("inactive", |tracked| tracked.instance.phase.word());
        let mut lines = vec![
            Line::new(Some(instance), "state", "before", word(before)),
            Line::new(Some(instance), "state", "after", word(after)),
        ];
        let Some(tracked) = after.get(labels) else { return Ok(lines) };
        lines.push(Line::new(Some(instance), "state", "since", &rfc3339(tracked.instance.since_ns)));
        if tracked.instance.no_data {
            lines.push(Line::new(Some(instance), "state", "data", "none for a while"));
        }
        if tracked.instance.phase.is_open() {
            let cause = suppress::quiet(&self.watch, labels, self.at_ns, &self.database)?;
            let cause = match cause {
                Some(cause) => Some(cause),
                None => self.recorded_cause(instance, tracked.instance.began_ns)?,
            };
            lines.push(Line::new(Some(instance), "suppression", "cause", cause.as_deref().unwrap_or("none")));
        }
        Ok(lines)
    }

    /// Why nobody heard of it when the alert was looked at: what was broken upstream then is no longer to be seen.
    fn recorded_cause(&self, instance: &str, began_ns: i64) -> Result<Option<String>> {
        const TELLING: [&str; 4] = ["suppressed", "firing", "opened", "joined"];
        self.recorded_rows(instance, |mut rows| {
            let told = |row: &Named<'_>| row.time_ns("at").is_some_and(|at_ns| at_ns >= began_ns);
            let last = Iterator::find(&mut rows, |row| row.text("event").is_some_and(|event| TELLING.contains(&event)));
            let suppressed = last.filter(|row| told(row) && row.text("event") == Some("suppressed"));
            suppressed.and_then(|row| row.text("cause").map(str::to_owned))
        })
    }

    /// What was found when the alert was looked at then; the latest first.
    fn recorded(&self, instance: &str) -> Result<Vec<Line>> {
        let line = |row: Named<'_>| {
            let at = row.time_ns("at").map(rfc3339).unwrap_or_default();
            let cause = row.text("cause").map(|cause| format!(" ({cause})")).unwrap_or_default();
            let event = row.text("event").unwrap_or_default();
            Line::new(Some(instance), "recorded", &at, &format!("{event}{cause}"))
        };
        self.recorded_rows(instance, |rows| rows.take(RECORDED_MAX).map(line).collect())
    }

    /// Reads the events of an instance up to then, the latest first.
    fn recorded_rows<T>(
        &self,
        instance: &str,
        read: impl FnOnce(&mut dyn Iterator<Item = Named<'_>>) -> T,
    ) -> Result<T> {
        let table = incident::built_in("alert_event")?;
        let rows = self.database.ops().rows(table);
        let is_of = |row: &Named<'_>| {
            row.text("alert") == Some(self.watch.name())
                && row.text("labels") == Some(instance)
                && row.time_ns("at").is_some_and(|at_ns| at_ns <= self.at_ns)
        };
        Ok(read(&mut rows.values().rev().map(|row| Named::new(table, row)).filter(is_of)))
    }
}

fn truth(column: &ArrayRef, row: usize, text: String) -> String {
    if column.is_valid(row) { text } else { "unknown".to_owned() }
}

impl Line {
    fn new(instance: Option<&str>, part: &'static str, item: &str, value: &str) -> Line {
        Line { instance: instance.map(str::to_owned), part, item: item.to_owned(), value: value.to_owned() }
    }
}
