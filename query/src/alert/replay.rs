//! What an alert would have done: its own state machine over rows of the past. Nothing is sent, nothing is opened.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::array::RecordBatch;

use super::evaluate::{self, Found, Happened};
use super::machine::Rule;
use super::{Instances, Labels, Watch, suppress};
use crate::{Database, Result};

/// What would have been one incident: from when the first instance of a key fired until the last one was over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alarm {
    pub(super) key: String,
    /// The dimensions of the instance that fired first.
    pub(super) labels: Labels,
    /// When its condition became true.
    pub(super) began_ns: i64,
    pub(super) fired_ns: i64,
    /// `None` while it fires.
    pub(super) over_ns: Option<i64>,
    pub(super) severity: Option<String>,
    pub(super) value: Option<f64>,
    pub(super) score: Option<f64>,
    /// Why nobody would have been told: maintenance, or a silence.
    pub(super) suppressed_by: Option<String>,
}

/// An alert at work on the past.
pub(super) struct Replay<'a> {
    watch: &'a Watch,
    rule: Rule,
    database: &'a Database,
    pub(super) instances: Instances,
    until_ns: i64,
    /// The instances that fire, by key.
    firing: BTreeMap<String, BTreeSet<Labels>>,
    alarms: Vec<Alarm>,
}

impl<'a> Replay<'a> {
    /// Begins with nothing known, and with the bucket that ends after a time.
    pub(super) fn new(watch: &'a Watch, rule: Rule, from_ns: i64, database: &'a Database) -> Replay<'a> {
        Replay {
            watch,
            rule,
            database,
            instances: Instances::new(),
            until_ns: from_ns,
            firing: BTreeMap::new(),
            alarms: Vec::new(),
        }
    }

    /// Takes the rows of the buckets that end by a time, all there are since the last ones. Gives the steps that follow.
    ///
    /// # Errors
    /// None, unless a built-in table is missing.
    pub(super) fn take(&mut self, rows: &[Found], until_ns: i64) -> Result<Vec<Happened>> {
        let happened = evaluate::fold(&mut self.instances, &self.rule, self.until_ns, until_ns, rows);
        self.until_ns = self.until_ns.max(until_ns);
        for one @ Happened { labels, step, .. } in &happened {
            if step.to.is_open() && !step.from.is_open() {
                self.fire(one)?;
            } else if step.from.is_open() && !step.to.is_open() {
                self.end(labels, step.at_ns);
            }
        }
        Ok(happened)
    }

    /// What has fired, in the order in which it did.
    pub(super) fn finish(self) -> Vec<Alarm> {
        self.alarms
    }

    fn fire(&mut self, happened: &Happened) -> Result<()> {
        let (labels, at_ns) = (&happened.labels, happened.step.at_ns);
        let key = self.watch.key(labels);
        let members = self.firing.entry(key.clone()).or_default();
        let is_joined = !members.is_empty();
        members.insert(labels.clone());
        if is_joined {
            return Ok(());
        }
        let reopen_ns = self.watch.reopen_ns;
        let last = self.alarms.iter_mut().rev().find(|alarm| alarm.key == key);
        let is_recent =
            |over_ns: Option<i64>| over_ns.is_some_and(|over_ns| at_ns.saturating_sub(over_ns) <= reopen_ns);
        if let Some(last) = last.filter(|last| is_recent(last.over_ns)) {
            last.over_ns = None;
            return Ok(());
        }
        let number = |name: &str| happened.values.get(name).copied();
        self.alarms.push(Alarm {
            key,
            labels: labels.clone(),
            began_ns: happened.began_ns,
            fired_ns: at_ns,
            over_ns: None,
            severity: happened.severity.clone(),
            value: number("value"),
            score: number("score"),
            suppressed_by: suppress::quiet(self.watch, labels, at_ns, self.database)?,
        });
        Ok(())
    }

    fn end(&mut self, labels: &Labels, at_ns: i64) {
        let key = self.watch.key(labels);
        let Some(members) = self.firing.get_mut(&key) else { return };
        members.remove(labels);
        if members.is_empty()
            && let Some(alarm) = self.alarms.iter_mut().rev().find(|alarm| alarm.key == key)
        {
            alarm.over_ns = Some(at_ns);
        }
    }
}

/// Cuts rows, which are in the order of their times, into stretches of whole buckets, and does something with each and the end
/// of its last bucket; `until_ns` ends the last one.
///
/// # Errors
/// None, unless a type of the query has changed.
pub(super) fn stretches(
    batches: &[RecordBatch],
    watch: &Watch,
    condition: usize,
    until_ns: i64,
    mut work: impl FnMut(&[Found], i64) -> Result<()>,
) -> Result<()> {
    let mut rows: Vec<Found> = Vec::new();
    for batch in batches {
        evaluate::read(batch, watch.alert(), condition, &mut rows)?;
        let Some(last_ns) = rows.last().map(|row| row.time_ns) else { continue };
        let whole = rows.partition_point(|row| row.time_ns < last_ns);
        if whole > 0 {
            let end_ns = rows[whole - 1].time_ns.saturating_add(watch.rule.step_ns);
            work(&rows[..whole], end_ns.min(until_ns))?;
            rows.drain(..whole);
        }
    }
    work(&rows, until_ns)
}
