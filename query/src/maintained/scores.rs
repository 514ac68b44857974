//! Verdicts of baselines, given once: rows that have become complete are scored in the order of time, and what is said of them is
//! kept beside them.
//!
//! A row that comes late changes its value and not what was said of it: those who were told of a score find it where it was. Models
//! are saved now and then; after a restart rows since then are scored again, which gives the same bits.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plimsoll_engine::{Column, ColumnKind, Engine, FieldType, Point, Value};

use super::rows::{Key, Layout, Measured, Number, Rows};
use crate::analysis::anomaly::{Model, Settings, Verdict};
use crate::relation::{Course, Models, VERDICT};
use crate::{Error, Result};

/// How much is scored between two times that models are saved, in rows of each series.
const SAVE_EVERY: i64 = 360;

/// The column that tells which definition of the baseline a verdict is of. No dimension has its first character.
pub(super) const JUDGE: &str = "\u{1}baseline";

/// First bytes of a file of models.
const MAGIC: &[u8; 8] = b"PLIMSMOD";

/// How far verdicts of a baseline are kept, and what its models have come to by then.
#[derive(Debug, Clone)]
pub(super) struct Scores {
    /// Which definition of the KPI, and which of the baseline.
    pub(super) kpi: u64,
    pub(super) baseline: u64,
    /// The time of the first row that has no verdict.
    pub(super) until_ns: i64,
    pub(super) models: Arc<Models>,
    /// The verdicts are in snapshots that have this record.
    pub(super) written: u64,
    /// It has not been up to date yet: some rows that come may be judged already.
    pub(super) is_behind: bool,
    /// How far it was when the models were last saved.
    pub(super) saved_ns: i64,
}

/// Where rows are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shelf<'a> {
    pub(super) layout: &'a Layout,
    pub(super) store: &'a str,
    pub(super) engine: &'a Engine,
}

impl Scores {
    /// Before the first row.
    pub(super) fn new(kpi: u64, baseline: u64) -> Scores {
        Scores {
            kpi,
            baseline,
            until_ns: i64::MIN,
            models: Arc::default(),
            written: 0,
            is_behind: true,
            saved_ns: i64::MIN,
        }
    }

    pub(super) fn is_of(&self, kpi: u64, baseline: u64) -> bool {
        (self.kpi, self.baseline) == (kpi, baseline)
    }

    /// True for rows of which so many are behind what the model of their series has learned that it is to learn anew.
    pub(super) fn is_history(&self, late: &Rows) -> bool {
        let mut behind: BTreeMap<&[Option<String>], usize> = BTreeMap::new();
        for (time_ns, dimensions) in late.keys() {
            if self.models.get(dimensions).is_some_and(|model| !model.is_next(*time_ns)) {
                *behind.entry(dimensions).or_default() += 1;
            }
        }
        behind.values().any(|rows| *rows > super::LATE_MAX)
    }

    /// Scores rows, and keeps the verdicts beside them, but for rows that are `judged` already. A row that comes after later ones of
    /// its series gets none.
    ///
    /// # Errors
    /// Those of the engine: nothing has happened then.
    pub(super) fn go_on(
        &self,
        rows: &Rows,
        judged: &BTreeSet<Key>,
        until_ns: i64,
        course: &Course,
        shelf: &Shelf<'_>,
    ) -> Result<Scores> {
        let Shelf { layout, store, engine } = shelf;
        let mut models = (*self.models).clone();
        let (first, last) = (rows.first_key_value(), rows.last_key_value());
        let maintenance = match first.zip(last) {
            Some(((first, _), (last, _))) => course.maintenance(first.0, last.0),
            None => return Ok(Scores { until_ns, ..self.clone() }),
        };
        let mut write = engine.begin_internal_write().map_err(Error::Engine)?;
        for (key @ (time_ns, dimensions), measured) in rows {
            let new = || Arc::new(Model::new(&course.settings));
            let model = models.entry(dimensions.clone()).or_insert_with(new);
            if !model.is_next(*time_ns) {
                continue;
            }
            let model = Arc::make_mut(model);
            let value = value(measured).unwrap_or(f64::NAN);
            let verdict = course.observe(model, *time_ns, value, &maintenance);
            if !judged.contains(key) {
                let point = point(*time_ns, dimensions, &verdict, self.baseline, layout, store);
                write.add(&point).map_err(Error::Engine)?;
            }
        }
        write.commit().map_err(Error::Engine)?;
        let written = engine.snapshot().last_record();
        Ok(Scores { until_ns, models: Arc::new(models), written, ..self.clone() })
    }

    /// True when the models are to be saved.
    pub(super) fn is_to_be_saved(&self, step_ns: i64) -> bool {
        self.until_ns > self.saved_ns.saturating_add(step_ns.saturating_mul(SAVE_EVERY))
    }

    /// The same as far back as rows may have come late, of series that had rows later, since the models were saved.
    pub(super) fn looking_back(self, step_ns: i64) -> Scores {
        let least = self.models.values().filter_map(|model| model.last_ns()).min().unwrap_or(i64::MIN);
        let far_ns = self.until_ns.saturating_sub(step_ns.saturating_mul(4 * SAVE_EVERY));
        Scores { until_ns: self.until_ns.min(least.max(far_ns)), ..self }
    }

    /// Saves the models, in place of those that were saved before.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub(super) fn save(&self, path: &Path) -> Result<Scores> {
        let failed = |e: std::io::Error| failure("write", path, &e);
        let mut bytes = MAGIC.to_vec();
        for number in [self.kpi, self.baseline, self.until_ns.cast_unsigned()] {
            bytes.extend(number.to_le_bytes());
        }
        for (dimensions, model) in &*self.models {
            let key = serde_json::to_vec(dimensions).map_err(|e| failed(e.into()))?;
            for part in [key, model.save()] {
                bytes.extend((part.len() as u64).to_le_bytes());
                bytes.extend(part);
            }
        }
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        let beside = path.with_extension("tmp");
        let mut file = std::fs::File::create(&beside).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)?;
        Ok(Scores { saved_ns: self.until_ns, ..self.clone() })
    }

    /// What was saved of these definitions; `None` when there is nothing, or nothing that can be used: then all is scored again.
    pub(super) fn restore(path: &Path, kpi: u64, baseline: u64, settings: &Settings) -> Option<Scores> {
        let bytes = std::fs::read(path).ok()?;
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        let (found_kpi, found_baseline, until) = (number(&mut rest)?, number(&mut rest)?, number(&mut rest)?);
        let mut models = Models::new();
        while !rest.is_empty() {
            let key = serde_json::from_slice(part(&mut rest)?).ok()?;
            models.insert(key, Arc::new(Model::restore(part(&mut rest)?, settings).ok()?));
        }
        let until_ns = until.cast_signed();
        let scores = Scores { until_ns, models: Arc::new(models), saved_ns: until_ns, ..Scores::new(kpi, baseline) };
        (found_kpi == kpi && found_baseline == baseline).then_some(scores)
    }
}

/// Where the models of a KPI's baseline are saved. Names of KPIs may hold anything, those of files may not.
pub(super) fn path(dir: &Path, kpi: &str) -> PathBuf {
    let named = |byte: u8| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        other => format!("-{other:02x}"),
    };
    let name: String = kpi.bytes().map(named).collect();
    dir.join("models").join(name).with_extension("bin")
}

/// The columns that verdicts are kept in.
pub(super) fn columns() -> impl Iterator<Item = Column> {
    let verdict = VERDICT.iter().map(|(name, data_type)| {
        let kind = if data_type.is_numeric() { FieldType::Float } else { FieldType::Text };
        Column { name: (*name).to_owned(), kind: ColumnKind::Field(kind) }
    });
    let judge = Column { name: JUDGE.to_owned(), kind: ColumnKind::Field(FieldType::Integer) };
    verdict.chain([judge])
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*first))
}

fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(bytes)?).ok()?;
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

/// The value of a row: what was measured, or the share of good ones.
fn value(measured: &Measured) -> Option<f64> {
    let float = |number: &Option<Number>| match (*number)? {
        Number::Integer(number) => Some(number as f64),
        Number::Float(number) => Some(number),
    };
    match measured.as_slice() {
        [value] => float(value),
        [good, total] => float(total).filter(|total| *total != 0.0).and_then(|total| Some(float(good)? / total)),
        _ => None,
    }
}

fn point<'a>(
    time_ns: i64,
    dimensions: &'a [Option<String>],
    verdict: &Verdict,
    baseline: u64,
    layout: &'a Layout,
    store: &'a str,
) -> Point<'a> {
    let numbers = [verdict.expected, verdict.lower, verdict.upper, verdict.score];
    // A verdict takes the place of another one, also where it says nothing.
    let numbers = VERDICT.iter().zip(numbers);
    let numbers = numbers.map(|((name, _), number)| (Cow::Borrowed(*name), Value::Float(number.unwrap_or(f64::NAN))));
    let band = (Cow::Borrowed(VERDICT[4].0), Value::Text(Cow::Borrowed(verdict.band.word())));
    let judge = (Cow::Borrowed(JUDGE), Value::Integer(baseline.cast_signed()));
    let fields = numbers.chain([band, judge]).collect();
    Point { table: Cow::Borrowed(store), tags: layout.tags(dimensions), fields, time_ns }
}

fn failure(action: &'static str, path: &Path, error: &std::io::Error) -> Error {
    Error::Catalog { action, path: path.to_owned(), message: error.to_string() }
}
