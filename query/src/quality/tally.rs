//! What was violated, and when: counts in memory, and in an internal table for each minute of the rows' time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{Int64Type, TimestampNanosecondType};
use plimsoll_engine::{Engine, Point, ScanRequest, TableSchema, TagMatcher, TagTest, TimeRange, Value};

use super::Judged;
use super::rules::{About, Action};
use crate::{Database, Error, Result};

const MINUTE_NS: i64 = 60_000_000_000;

/// Columns of the internal table.
const TABLE: &str = "table";
const RULE: &str = "rule";
const ROWS: &str = "rows";
const LAST: &str = "last";

/// All counts, by table and expectation.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    all: Mutex<BTreeMap<String, BTreeMap<String, Tally>>>,
}

#[derive(Debug, Default)]
struct Tally {
    /// Rows that were looked at since the database was opened.
    checked: u64,
    violated: u64,
    /// When a row violated it last.
    last_ns: Option<i64>,
    /// Rows that violated it and were not refused, by the minute of their time.
    minutes: BTreeMap<i64, i64>,
}

/// The count of a minute that has changed.
#[derive(Debug)]
pub(super) struct Violation {
    rule: String,
    minute_ns: i64,
    rows: i64,
    last_ns: i64,
}

/// An expectation and what is known of it.
pub(crate) struct Expected {
    pub(crate) table: String,
    pub(crate) rule: String,
    pub(crate) expression: String,
    pub(crate) action: &'static str,
    pub(crate) checked: u64,
    pub(crate) violated: u64,
    pub(crate) last_ns: Option<i64>,
}

/// The internal table.
fn store_name() -> String {
    TableSchema::internal_name("violation")
}

fn minute_of(time_ns: i64) -> i64 {
    time_ns.div_euclid(MINUTE_NS).saturating_mul(MINUTE_NS)
}

impl Violation {
    pub(super) fn point<'a>(&'a self, table: &'a str) -> Point<'a> {
        Point {
            table: Cow::Owned(store_name()),
            tags: vec![
                (Cow::Borrowed(TABLE), Cow::Borrowed(table)),
                (Cow::Borrowed(RULE), Cow::Borrowed(self.rule.as_str())),
            ],
            fields: vec![
                (Cow::Borrowed(ROWS), Value::Integer(self.rows)),
                (Cow::Borrowed(LAST), Value::Integer(self.last_ns)),
            ],
            time_ns: self.minute_ns,
        }
    }
}

impl Tallies {
    /// Reads what was counted before.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) fn open(engine: &Engine) -> Result<Tallies> {
        let tallies = Tallies::default();
        let store = store_name();
        if engine.table(&store).is_none() {
            return Ok(tallies);
        }
        let request = ScanRequest::new(store.as_str(), [TableSchema::TIME, TABLE, RULE, ROWS, LAST]);
        for part in engine.snapshot().scan(&request)? {
            for batch in part {
                let batch = batch?;
                let column =
                    |name: &str| batch.column_by_name(name).ok_or_else(|| Error::Internal(format!("no column {name}")));
                let times = column(TableSchema::TIME)?.as_primitive::<TimestampNanosecondType>();
                let (tables, rules) = (column(TABLE)?.as_string_view(), column(RULE)?.as_string_view());
                let rows = column(ROWS)?.as_primitive::<Int64Type>();
                let last = column(LAST)?.as_primitive::<Int64Type>();
                let mut all = tallies.lock();
                for row in (0..batch.num_rows()).filter(|row| rows.is_valid(*row) && last.is_valid(*row)) {
                    let of_table = all.entry(tables.value(row).to_owned()).or_default();
                    let tally = of_table.entry(rules.value(row).to_owned()).or_default();
                    tally.violated += rows.value(row).unsigned_abs();
                    tally.last_ns = tally.last_ns.max(Some(last.value(row)));
                    tally.minutes.insert(times.value(row), rows.value(row));
                }
            }
        }
        Ok(tallies)
    }

    /// Counts what was judged; gives the counts that have to be kept.
    pub(super) fn count(&self, table: &str, judged: &Judged, points: &[Point<'_>], now_ns: i64) -> Vec<Violation> {
        let mut all = self.lock();
        let of_table = all.entry(table.to_owned()).or_default();
        let mut changed = Vec::new();
        for (rule, rows) in judged.rules.rules.iter().zip(&judged.violated) {
            if rule.about != About::Row {
                continue;
            }
            let tally = of_table.entry(rule.name.clone()).or_default();
            tally.checked += points.len() as u64;
            let mut minutes: BTreeMap<i64, i64> = BTreeMap::new();
            for at in (0..points.len()).filter(|at| rows[*at]) {
                tally.violated += 1;
                tally.last_ns = Some(now_ns);
                // A row that is refused is not missing: its writer knows.
                if judged.verdict(at) != Some(Action::Fail) {
                    *minutes.entry(minute_of(points[at].time_ns)).or_default() += 1;
                }
            }
            for (minute_ns, more) in minutes {
                let rows = tally.minutes.entry(minute_ns).or_default();
                *rows += more;
                changed.push(Violation { rule: rule.name.clone(), minute_ns, rows: *rows, last_ns: now_ns });
            }
        }
        changed
    }

    /// Counts a look at a whole table; gives the count that has to be kept, if it is not as it should be.
    pub(super) fn look(&self, table: &str, rule: &str, is_violated: bool, now_ns: i64) -> Option<Violation> {
        let mut all = self.lock();
        let tally = all.entry(table.to_owned()).or_default().entry(rule.to_owned()).or_default();
        tally.checked += 1;
        if !is_violated {
            return None;
        }
        tally.violated += 1;
        tally.last_ns = Some(now_ns);
        let minute_ns = minute_of(now_ns);
        let rows = tally.minutes.entry(minute_ns).or_default();
        *rows += 1;
        Some(Violation { rule: rule.to_owned(), minute_ns, rows: *rows, last_ns: now_ns })
    }

    /// True when rows of a table with a time in `[start, end)` have violated something that lets them in or leaves them out.
    pub(super) fn is_tainted(&self, tables: &[String], start_ns: i64, end_ns: i64) -> bool {
        let all = self.lock();
        let (from_ns, until_ns) = (minute_of(start_ns), end_ns.max(start_ns.saturating_add(1)));
        let hit = |tally: &Tally| tally.minutes.range(from_ns..until_ns).next().is_some();
        from_ns < until_ns && tables.iter().filter_map(|table| all.get(table)).any(|of| of.values().any(hit))
    }

    /// Forgets an expectation, or all of a table.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) fn forget(&self, table: &str, rule: Option<&str>, engine: &Engine) -> Result<()> {
        let mut all = self.lock();
        match (rule, all.get_mut(table)) {
            (None, _) => drop(all.remove(table)),
            (Some(rule), Some(of_table)) => drop(of_table.remove(rule)),
            (Some(_), None) => {}
        }
        drop(all);
        delete(table, rule, engine)
    }

    /// Forgets when an expectation was violated; how often stays.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) fn absolve(&self, table: &str, rule: &str, engine: &Engine) -> Result<()> {
        if let Some(tally) = self.lock().get_mut(table).and_then(|of_table| of_table.get_mut(rule)) {
            tally.minutes.clear();
        }
        delete(table, Some(rule), engine)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<String, Tally>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deletes what is kept of an expectation, or of all of a table.
fn delete(table: &str, rule: Option<&str>, engine: &Engine) -> Result<()> {
    let store = store_name();
    if engine.table(&store).is_none() {
        return Ok(());
    }
    let is = |tag: &str, value: &str| TagMatcher { tag: tag.to_owned(), test: TagTest::Equals(value.to_owned()) };
    let tests: Vec<TagMatcher> = [is(TABLE, table)].into_iter().chain(rule.map(|rule| is(RULE, rule))).collect();
    engine.delete(&store, TimeRange::ALL, &tests, &[])?;
    Ok(())
}

impl Database {
    /// All expectations, by table, with what is known of them.
    pub(crate) fn expectations(&self) -> Vec<Expected> {
        let definitions = self.catalog().definitions();
        let all = self.quality().tallies.lock();
        let rules =
            definitions.rules.iter().flat_map(|(table, rules)| rules.rules.iter().map(move |rule| (table, rule)));
        let expected = |(table, rule): (&String, &super::rules::Rule)| {
            let tally = all.get(table).and_then(|of_table| of_table.get(&rule.name));
            Expected {
                table: table.clone(),
                rule: rule.name.clone(),
                expression: rule.expression.clone(),
                action: rule.action.text(),
                checked: tally.map_or(0, |tally| tally.checked),
                violated: tally.map_or(0, |tally| tally.violated),
                last_ns: tally.and_then(|tally| tally.last_ns),
            }
        };
        let expects = |(_, rule): &(&String, &super::rules::Rule)| !matches!(rule.about, About::Watermark { .. });
        rules.filter(expects).map(expected).collect()
    }
}
