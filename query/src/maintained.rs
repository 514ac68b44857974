//! KPIs, and views like them, that are kept up: their rows are computed once, when the data of a bucket is complete, and again where rows come late.
//!
//! ```text
//! writes ─► engine: which times were touched ─┐
//! rows up to the watermark ───────────────────┴─► refresh: the query over these times ─► kept rows ─► `kpi.NAME`
//!                                                          what was kept and is other now ─► `sys.restatement`
//! ```
//!
//! A reader gets what the query would give now, always: kept rows where they hold, and the query itself for times that are not kept
//! yet, are not complete, or were touched since. So keeping up is a matter of speed alone, and the query is its test oracle. What a
//! reader gets beyond that are rows whose raw data has expired.
//!
//! Invariants
//! - Kept rows of `[from, until)` are those of the query at record `record` of the log.
//! - `record` is remembered after the rows are durable: a crash in between computes some of them once more.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use plimsoll_engine::{TableSchema, TimeRange};

mod fitness;
mod rows;
mod scored;
mod scores;
mod source;
mod subject;

use crate::alert::{ACTOR, Watermarks, session};
use crate::catalog::{Object, View};
use crate::dialect::{Definition, quoted};
use crate::lower::Lowering;
use crate::ops::incident::{of_system, rfc3339};
use crate::ops::{Transaction, Value};
use crate::relation::{Computed, Course, Scoring, Shape, TIME, baseline_of};
use crate::session::{Session, blocking};
use crate::{Database, Error, OutputColumn, Result};
use fitness::Source;
use rows::{Change, Difference, Layout, Measured};
use scored::ScoredKpi;
use scores::{Scores, Shelf};
use source::{Columns, KeptKpi};
use subject::{Of, Subject};

/// Rows that one step of a backfill aims at.
const STEP_ROWS: usize = 100_000;

/// How much of the past the first step of a backfill takes, in buckets.
const STEP_BUCKETS: i64 = 240;

/// How long a look may spend on backfills.
const BACKFILL: Duration = Duration::from_millis(200);

/// Changes of one refresh that are each told in `sys.restatement`; of more, only how many.
const RESTATED_MAX: usize = 1_000;

/// Restatements that are kept.
const RESTATEMENTS_MAX: usize = 100_000;

/// A touch of so many steps of a backfill is a backfill.
const TOUCHED_STEPS_MAX: i64 = 16;

/// More rows of a series than this, behind what its model has learned, are a history that it should have learned from.
const LATE_MAX: usize = 100;

/// What is kept of all KPIs.
#[derive(Default)]
pub(crate) struct Maintained {
    kept: RwLock<BTreeMap<String, Arc<Kept>>>,
    /// Verdicts of their baselines, by KPI.
    scores: RwLock<BTreeMap<String, Arc<Scores>>>,
    /// Held by the one refresh.
    work: tokio::sync::Mutex<BTreeMap<String, Work>>,
}

/// What is kept of a KPI.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    version: u64,
    /// The table that it reads.
    table: String,
    /// Rows of a time `t` come of rows of the table in `[t, t + reach_ns]`.
    reach_ns: i64,
    /// The width of its buckets.
    span_ns: i64,
    /// The internal table of its rows.
    store: String,
    /// The time of the first row that is kept; `i64::MIN` when all are.
    from_ns: i64,
    /// The time of the first row that is not.
    until_ns: i64,
    /// What records up to this one of the log touched is dealt with.
    record: u64,
    /// The rows are in snapshots that have this record.
    written: u64,
}

impl Kept {
    /// The time of the first row that is not complete, where buckets are complete that end by `complete_ns`, whatever they are
    /// aligned to.
    fn until_ns(complete_ns: i64, span_ns: i64) -> i64 {
        complete_ns.saturating_sub(span_ns).saturating_add(1)
    }

    /// The end of the last bucket that is complete.
    fn complete_ns(&self) -> i64 {
        self.until_ns.saturating_sub(1).saturating_add(self.span_ns)
    }

    /// Stretches `[start, end)` of kept time in which some touched rows lie; those whose raw rows have expired stay as they are.
    fn stale(&self, touched: &[TimeRange], raw_from_ns: i64) -> Vec<(i64, i64)> {
        let first_ns = match raw_from_ns {
            i64::MIN => self.from_ns,
            raw_from_ns => self.from_ns.max(raw_from_ns),
        };
        let mut stale: Vec<(i64, i64)> = Vec::new();
        for range in touched {
            let start_ns = range.min_ns.saturating_sub(self.reach_ns).max(first_ns);
            let end_ns = range.max_ns.saturating_add(1).min(self.until_ns);
            match stale.last_mut() {
                _ if start_ns >= end_ns => {}
                Some(last) if start_ns <= last.1 => last.1 = last.1.max(end_ns),
                _ => stale.push((start_ns, end_ns)),
            }
        }
        stale
    }
}

/// What a refresh knows of a KPI.
struct Work {
    subject: Subject,
    /// What it reads, or why it is not kept up.
    fitness: std::result::Result<Fit, String>,
    error: Option<String>,
    /// Rows that have come for times that are scored.
    late: rows::Rows,
    /// Why its verdicts are not kept.
    score_error: Option<String>,
}

/// A KPI that is kept up.
struct Fit {
    /// Its query.
    query: String,
    source: Source,
    layout: Layout,
    step_ns: i64,
    lateness_ns: i64,
    idle_ns: i64,
    /// How long the next step of the backfill is.
    chunk_ns: i64,
}

impl Fit {
    fn span_ns(&self) -> i64 {
        self.source.reach_ns.max(self.step_ns)
    }
}

/// The relation of a KPI: its kept rows, if it is kept up, with `live` for all others.
///
/// # Errors
/// Those of planning.
pub(crate) fn read(object: &Object, live: LogicalPlan, shape: &Shape, lowering: &Lowering<'_>) -> Result<LogicalPlan> {
    if lowering.database.maintained().of(&object.name, object.version).is_none() {
        return Ok(live);
    }
    let kept: Arc<dyn TableProvider> =
        Arc::new(KeptKpi::new(&object.name, object.version, &live, Columns::Kpi(shape.clone()), lowering));
    Ok(LogicalPlanBuilder::scan(object.name.clone(), provider_as_source(kept), None)?.build()?)
}

/// The rows of a view that is kept up, with `live` for those that are not.
///
/// # Errors
/// Those of planning.
pub(crate) fn read_view(view: &View, live: LogicalPlan, lowering: &Lowering<'_>) -> Result<LogicalPlan> {
    let (key, version) = (subject::key_of(&view.name), view.version());
    if lowering.database.maintained().of(&key, version).is_none() {
        return Ok(live);
    }
    let Ok((_, layout)) = fitness::of_view(&live, &subject::columns_of(view))? else { return Ok(live) };
    let kept: Arc<dyn TableProvider> = Arc::new(KeptKpi::new(&key, version, &live, Columns::View(layout), lowering));
    Ok(LogicalPlanBuilder::scan(view.name.clone(), provider_as_source(kept), None)?.build()?)
}

/// Checks that the rows of a query can be kept up.
///
/// # Errors
/// [`Error::Unsupported`].
pub(crate) fn check_view(plan: &LogicalPlan, columns: &[OutputColumn]) -> Result<()> {
    match fitness::of_view(plan, columns)? {
        Ok(_) => Ok(()),
        Err(why) => {
            let hint = "Its query has one table, a column time that is time_bucket(..., time), and GROUP BY.";
            let what = format!("a materialized view is not kept up when {why}");
            Err(Error::Unsupported { what, position: None, hint: Some(hint.to_owned()) })
        }
    }
}

/// Forgets the rows that are kept of a view, so that the next refresh computes them anew: until then its query answers.
///
/// # Errors
/// [`Error::UndefinedTable`] where there is no such view, and those of the stores.
pub(crate) async fn recompute(name: &str, database: &Database, now_ns: i64) -> Result<()> {
    let is_there = database.catalog().definitions().views.get(name).is_some_and(|view| view.is_continuous);
    if !is_there {
        return Err(Error::UndefinedTable { name: name.to_owned(), position: None, hint: None });
    }
    let key = subject::key_of(name);
    let mut work = database.maintained().work.lock().await;
    work.remove(&key);
    database.maintained().publish(|all| drop(all.remove(&key)));
    forget(std::slice::from_ref(&key), database, now_ns).await
}

/// The relation of a KPI with a baseline: verdicts as they were given, as far as they are kept; `whole` computes all of them.
pub(crate) fn scored(
    object: &Object,
    baseline: u64,
    live: LogicalPlan,
    shape: &Shape,
    whole: Computed,
    scoring: Arc<Scoring>,
    lowering: &Lowering<'_>,
) -> Arc<dyn TableProvider> {
    let kept = KeptKpi::new(&object.name, object.version, &live, Columns::Kpi(shape.clone()), lowering);
    Arc::new(ScoredKpi { kept, version: baseline, shape: shape.clone(), whole, scoring })
}

/// The plan of the query of a relation that [`read`] or [`scored`] made.
pub(crate) fn live(provider: &dyn Any) -> Option<&LogicalPlan> {
    let kept = provider.downcast_ref::<KeptKpi>().map(KeptKpi::live);
    kept.or_else(|| provider.downcast_ref::<ScoredKpi>().map(ScoredKpi::live))
}

impl Maintained {
    /// What is kept of a version of a KPI.
    fn of(&self, name: &str, version: u64) -> Option<Arc<Kept>> {
        let all = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        all.get(name).filter(|kept| kept.version == version).cloned()
    }

    /// How far verdicts of a KPI's baseline are kept.
    fn scores(&self, kpi: &str) -> Option<Arc<Scores>> {
        self.scores.read().unwrap_or_else(PoisonError::into_inner).get(kpi).cloned()
    }

    fn publish_scores(&self, kpi: &str, scores: Option<Scores>) {
        let mut all = self.scores.write().unwrap_or_else(PoisonError::into_inner);
        match scores {
            Some(scores) => drop(all.insert(kpi.to_owned(), Arc::new(scores))),
            None => drop(all.remove(kpi)),
        }
    }

    fn publish(&self, change: impl FnOnce(&mut BTreeMap<String, Arc<Kept>>)) {
        let mut all = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut all);
    }
}

/// Whether what a KPI was at a moment is known: its rows have been kept since, and none of them is another one now. What is not known
/// is told in a part of a sentence.
///
/// # Errors
/// None: the tables are there.
pub(crate) fn known_at(object: &Object, at_ns: i64, database: &Database) -> Result<std::result::Result<(), String>> {
    let name = &object.name;
    let table = of_system("watermark")?;
    let held = database.ops().held(table);
    let row = held.find(&["object"], &[Value::Text(name.clone())]).map(|(_, row)| row);
    let since = row.and_then(|row| {
        let row = crate::ops::Named::new(table, row);
        let is_same = row.integer("version") == i64::try_from(object.version).ok();
        row.time_ns("kept_since").filter(|_| is_same)
    });
    match since {
        None => return Ok(Err(format!("rows of KPI \"{name}\" are not kept with the time at which they came"))),
        Some(since) if since > at_ns => {
            return Ok(Err(format!("rows of KPI \"{name}\" are kept since {} alone", rfc3339(since))));
        }
        Some(_) => {}
    }
    let table = of_system("restatement")?;
    let rows = database.ops().rows(table);
    let oldest = rows.values().next().and_then(|row| crate::ops::Named::new(table, row).time_ns("at"));
    let is_cut = rows.len() >= RESTATEMENTS_MAX && oldest.is_some_and(|oldest| oldest > at_ns);
    let is_later = |row: &Arc<crate::ops::Row>| {
        let row = crate::ops::Named::new(table, row);
        let is_of = row.text("object") == Some(name.as_str());
        is_of && row.time_ns("at").is_some_and(|at| at > at_ns) && row.time_ns("bucket").is_some_and(|ns| ns < at_ns)
    };
    match is_cut || rows.values().any(is_later) {
        true => Ok(Err(format!("rows of KPI \"{name}\" have been restated since"))),
        false => Ok(Ok(())),
    }
}

/// Brings all KPIs up to date, and their history as far as there is time. One refresh runs at a time.
///
/// # Errors
/// Those of the store of facts. What is wrong with a KPI stands in `sys.watermark`, and the others go on.
pub(crate) async fn refresh(database: &Database, now_ns: i64) -> Result<()> {
    let session = session(database);
    let mut work = database.maintained().work.lock().await;
    follow_definitions(&mut work, &session, now_ns).await?;
    let mut watermarks = Watermarks::new(&session, now_ns);
    let mut notes = Vec::new();
    for (name, one) in work.iter_mut() {
        let Ok(fit) = &mut one.fitness else { continue };
        let before = database.maintained().of(name, one.subject.version);
        let done = bring_up(&one.subject, fit, before.as_deref(), &session, &mut watermarks, now_ns).await;
        note(name, one, before.as_deref(), done, database, &mut notes);
    }
    let started = Instant::now();
    for (name, one) in work.iter_mut() {
        while started.elapsed() < BACKFILL {
            let Ok(fit) = &mut one.fitness else { break };
            let Some(before) = database.maintained().of(name, one.subject.version) else { break };
            if before.from_ns == i64::MIN || one.error.is_some() {
                break;
            }
            let done = go_back(&one.subject, fit, &before, &session, now_ns).await;
            note(name, one, Some(&before), done, database, &mut notes);
        }
    }
    write_down(&notes, database, now_ns)?;
    for (name, one) in work.iter_mut() {
        let Ok(fit) = &one.fitness else { continue };
        let late = std::mem::take(&mut one.late);
        let Of::Kpi(object) = &one.subject.of else { continue };
        if let Err(error) = score(object, fit, late, &session, started, now_ns).await {
            // Until that works it is scored when it is read.
            database.maintained().publish_scores(name, None);
            let error = format!("verdicts of its baseline are not kept: {error}");
            if one.score_error.as_ref() != Some(&error) {
                one.score_error = Some(error.clone());
                let version = one.subject.version;
                let kept = database.maintained().of(name, version).map(|kept| (*kept).clone());
                let note = Note { name: name.clone(), version, kept, error: Some(error), restated: Vec::new() };
                write_down(&[note], database, now_ns)?;
            }
        }
    }
    Ok(())
}

/// Gives verdicts on rows that are kept, as far as there is time.
async fn score(
    object: &Object,
    fit: &Fit,
    late: rows::Rows,
    session: &Session,
    started: Instant,
    now_ns: i64,
) -> Result<()> {
    let database = session.database();
    let definitions = database.catalog().definitions();
    let (name, maintained) = (&object.name, database.maintained());
    let Some(kept) = maintained.of(name, object.version).filter(|kept| kept.from_ns == i64::MIN) else { return Ok(()) };
    let (Some((its, baseline)), Definition::Kpi(kpi)) = (baseline_of(name, &definitions), &object.definition) else {
        maintained.publish_scores(name, None);
        return Ok(());
    };
    let known = maintained.scores(name).filter(|scores| scores.is_of(object.version, its.version));
    let is_scored = known.as_ref().is_some_and(|scores| scores.until_ns >= kept.until_ns);
    if is_scored && late.is_empty() {
        return Ok(());
    }
    let course = Arc::new(session.lowered(now_ns, |lowering| Course::new(kpi, baseline, lowering))?);
    let path = scores::path(database.engine().dir(), name);
    let mut scores = match known {
        Some(known) => (*known).clone(),
        None => {
            let (path, course, versions) = (path.clone(), course.clone(), (object.version, its.version));
            let restore = move || Ok(Scores::restore(&path, versions.0, versions.1, &course.settings));
            let restored = blocking(restore).await?.map(|scores| scores.looking_back(fit.step_ns));
            restored.unwrap_or_else(|| Scores::new(object.version, its.version))
        }
    };
    let (engine, layout, store) = (database.engine().clone(), Arc::new(fit.layout.clone()), kept.store.clone());
    if scores.is_history(&late) {
        // Models learn from it in its turn; what was said stays.
        let _none_to_remove = std::fs::remove_file(&path);
        scores = Scores::new(object.version, its.version);
    } else if !late.is_empty() {
        let (engine, layout, store, course) = (engine.clone(), layout.clone(), store.clone(), course.clone());
        scores = blocking(move || {
            let shelf = Shelf { layout: &layout, store: &store, engine: &engine };
            let until_ns = scores.until_ns;
            let late = late.into_iter().filter(|((time_ns, _), _)| *time_ns < until_ns).collect();
            scores.go_on(&late, &BTreeSet::new(), until_ns, &course, &shelf)
        })
        .await?;
    }
    let mut step_ns = fit.step_ns.saturating_mul(STEP_BUCKETS);
    while scores.until_ns < kept.until_ns {
        let (engine, layout, store, course) = (engine.clone(), layout.clone(), store.clone(), course.clone());
        let until_ns = kept.until_ns;
        let (rows, gone_on) = blocking(move || {
            let shelf = Shelf { layout: &layout, store: &store, engine: &engine };
            let snapshot = engine.snapshot();
            let first_ns = snapshot.extent(&store).map_or(until_ns, |extent| extent.min_ns);
            let start_ns = scores.until_ns.max(first_ns);
            let end_ns = start_ns.saturating_add(step_ns).min(until_ns);
            let rows = layout.kept(&store, &snapshot, start_ns, end_ns)?;
            // After a restart models learn again what has been judged before; what was said stays.
            let judged = match scores.is_behind {
                true => layout.judged(&store, &snapshot, start_ns, end_ns, scores.baseline)?,
                false => BTreeSet::new(),
            };
            Ok((rows.len(), scores.go_on(&rows, &judged, end_ns, &course, &shelf)?))
        })
        .await?;
        scores = gone_on;
        step_ns = if rows < STEP_ROWS / 4 { step_ns.saturating_mul(2) } else { step_ns };
        if started.elapsed() > BACKFILL {
            break;
        }
    }
    scores.is_behind &= scores.until_ns < kept.until_ns;
    if scores.is_to_be_saved(fit.step_ns) {
        scores = blocking(move || scores.save(&path)).await?;
    }
    maintained.publish_scores(name, Some(scores));
    Ok(())
}

/// What a step did: what is kept now, and what changed of what was kept.
struct Done {
    kept: Kept,
    changed: Vec<Change>,
    cause: &'static str,
}

/// What is to be written down of a KPI.
struct Note {
    name: String,
    version: u64,
    kept: Option<Kept>,
    error: Option<String>,
    restated: Vec<Restated>,
}

/// A row that is not what it was.
struct Restated {
    bucket_ns: i64,
    dimensions: Option<String>,
    before: Option<String>,
    after: Option<String>,
    cause: String,
}

/// Takes KPIs in that are new or changed, and leaves those that are gone.
async fn follow_definitions(work: &mut BTreeMap<String, Work>, session: &Session, now_ns: i64) -> Result<()> {
    let database = session.database();
    let definitions = database.catalog().definitions();
    let subjects = subject::all(&definitions);
    let table = of_system("watermark")?;
    let mut gone: Vec<String> = Vec::new();
    for row in database.ops().rows(table).values() {
        let row = crate::ops::Named::new(table, row);
        gone.extend(row.text("object").filter(|name| !subjects.contains_key(*name)).map(str::to_owned));
    }
    work.retain(|name, _| subjects.contains_key(name));
    for name in &gone {
        database.maintained().publish(|all| drop(all.remove(name)));
        database.maintained().publish_scores(name, None);
    }
    forget(&gone, database, now_ns).await?;
    for (name, subject) in subjects {
        let is_known = work.get(&name).is_some_and(|one| one.subject.is_same(&subject) && one.error.is_none());
        if is_known {
            continue;
        }
        let fitness = match fitness_of(&subject, session, now_ns) {
            Ok(fitness) => fitness,
            Err(error) => Err(error.to_string()),
        };
        let kept = stored(&subject, fitness.as_ref().ok(), database)?;
        if kept.is_none() {
            database.maintained().publish(|all| drop(all.remove(&name)));
            drop_store(database, &store_name(&name)).await?;
        }
        if let Some(kept) = kept {
            database.maintained().publish(|all| drop(all.insert(name.clone(), Arc::new(kept))));
        } else if let Err(why) = &fitness {
            let error = Some(why.clone());
            let note = Note { name: name.clone(), version: subject.version, kept: None, error, restated: Vec::new() };
            write_down(&[note], database, now_ns)?;
        }
        work.insert(name, Work { subject, fitness, error: None, late: rows::Rows::new(), score_error: None });
    }
    Ok(())
}

/// Forgets what is kept under some names.
async fn forget(names: &[String], database: &Database, now_ns: i64) -> Result<()> {
    for name in names {
        drop_store(database, &store_name(name)).await?;
    }
    if names.is_empty() {
        return Ok(());
    }
    let table = of_system("watermark")?;
    database.ops().transaction(&ACTOR.into(), now_ns, |transaction| {
        for name in names {
            if let Some((number, _)) = transaction.held(table).find(&["object"], &[Value::Text(name.clone())]) {
                transaction.remove(table, number);
            }
        }
        Ok(())
    })
}

fn store_name(kpi: &str) -> String {
    TableSchema::internal_name(&format!("kpi.{kpi}"))
}

async fn drop_store(database: &Database, store: &str) -> Result<()> {
    if database.engine().table(store).is_none() {
        return Ok(());
    }
    let (engine, store) = (database.engine().clone(), store.to_owned());
    blocking(move || engine.drop_table(&store).map_err(Error::Engine)).await
}

/// What was kept of a version of a KPI when it was last written down, if its rows are there still.
fn stored(subject: &Subject, fit: Option<&Fit>, database: &Database) -> Result<Option<Kept>> {
    let Some(fit) = fit else { return Ok(None) };
    let table = of_system("watermark")?;
    let held = database.ops().held(table);
    let Some((_, row)) = held.find(&["object"], &[Value::Text(subject.name.clone())]) else { return Ok(None) };
    let row = crate::ops::Named::new(table, row);
    let store = store_name(&subject.name);
    let is_same = row.integer("version") == i64::try_from(subject.version).ok()
        && row.text("source") == Some(&fit.source.table)
        && database.engine().table(&store).is_some();
    let (Some(complete_ns), Some(record), true) = (row.time_ns("watermark"), row.integer("record"), is_same) else {
        return Ok(None);
    };
    Ok(Some(Kept {
        version: subject.version,
        table: fit.source.table.clone(),
        reach_ns: fit.source.reach_ns,
        span_ns: fit.span_ns(),
        store,
        from_ns: row.time_ns("kept_from").unwrap_or(i64::MIN),
        until_ns: Kept::until_ns(complete_ns, fit.span_ns()),
        record: record.cast_unsigned(),
        written: 0,
    }))
}

/// Whether something can be kept up, and how.
fn fitness_of(subject: &Subject, session: &Session, now_ns: i64) -> Result<std::result::Result<Fit, String>> {
    let (plan, columns) = session.plan_of(&subject.query, now_ns)?;
    let found = match &subject.of {
        Of::View(_) => fitness::of_view(&plan, &columns)?,
        Of::Kpi(_) => match fitness::source(&plan)? {
            Ok(source) => {
                let shape = Shape::of(&columns)?;
                let column = |name: &str| columns.iter().find(|column| column.name == name);
                let type_of = |name: &str| column(name).map(|column| column.data_type.clone());
                Layout::new(&shape, type_of).map(|layout| (source, layout))
            }
            Err(why) => Err(why),
        },
    };
    let (source, layout) = match found {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    let definitions = session.database().catalog().definitions();
    let step_ns = subject.step_ns(&definitions).unwrap_or(60_000_000_000).max(1);
    let lateness_ns = subject.span_ns("lateness").unwrap_or(0);
    let idle_ns = subject.span_ns("idle_after").unwrap_or((2 * step_ns).max(60_000_000_000));
    let chunk_ns = step_ns.saturating_mul(STEP_BUCKETS);
    let query = subject.query.clone();
    Ok(Ok(Fit { query, source, layout, step_ns, lateness_ns, idle_ns, chunk_ns }))
}

/// Computes what has become complete, and what was touched.
async fn bring_up(
    subject: &Subject,
    fit: &mut Fit,
    before: Option<&Kept>,
    session: &Session,
    watermarks: &mut Watermarks<'_>,
    now_ns: i64,
) -> Result<Option<Done>> {
    let engine = session.database().engine();
    let table = &fit.source.table;
    let touches = engine.take_touches(table, before.map_or(0, |kept| kept.record)).map_err(Error::Engine)?;
    let snapshot = engine.snapshot();
    let tables = std::slice::from_ref(table);
    let rules = &session.database().catalog().definitions().rules;
    let lateness_ns = fit.lateness_ns.max(crate::quality::lateness_ns(tables, rules));
    let complete_ns = watermarks.of(tables, &snapshot, lateness_ns, fit.idle_ns).await?;
    let whole_ns = complete_ns.saturating_sub(complete_ns.rem_euclid(fit.step_ns));
    let until_ns = Kept::until_ns(whole_ns, fit.span_ns());
    let fresh = Kept {
        version: subject.version,
        table: table.clone(),
        reach_ns: fit.source.reach_ns,
        span_ns: fit.span_ns(),
        store: store_name(&subject.name),
        from_ns: until_ns,
        until_ns,
        record: touches.up_to,
        written: 0,
    };
    let Some(before) = before else {
        if snapshot.extent(table).is_none() {
            return Ok(None);
        }
        let (making, store, columns) = (engine.clone(), fresh.store.clone(), fit.layout.columns());
        blocking(move || {
            if making.table(&store).is_none() {
                making.create_table(&store, &columns).map_err(Error::Engine)?;
            }
            Ok(())
        })
        .await?;
        let written = engine.snapshot().last_record();
        return Ok(Some(Done { kept: Kept { written, ..fresh }, changed: Vec::new(), cause: "" }));
    };
    let stale = touches.ranges.map(|ranges| before.stale(&ranges, snapshot.raw_from_ns(table)));
    let is_small = |stale: &Vec<(i64, i64)>| {
        let total: i64 = stale.iter().map(|(start, end)| end.saturating_sub(*start)).fold(0, i64::saturating_add);
        total <= fit.chunk_ns.saturating_mul(TOUCHED_STEPS_MAX)
    };
    let Some(stale) = stale.filter(is_small) else {
        // Everything is computed again, the newest first.
        return Ok(Some(Done { kept: Kept { written: before.written, ..fresh }, changed: Vec::new(), cause: "" }));
    };
    // What others have written since need not be written down.
    if stale.is_empty() && until_ns <= before.until_ns {
        return Ok(None);
    }
    let mut kept = Kept { record: touches.up_to, until_ns: before.until_ns.max(until_ns), ..before.clone() };
    let mut changed = Vec::new();
    for (start_ns, end_ns) in stale {
        changed.extend(reconcile(subject.version, fit, &kept.store, start_ns, end_ns, session, now_ns).await?.1);
    }
    let mut start_ns = before.until_ns;
    while start_ns < kept.until_ns {
        let end_ns = start_ns.saturating_add(fit.chunk_ns).min(kept.until_ns);
        reconcile(subject.version, fit, &kept.store, start_ns, end_ns, session, now_ns).await?;
        start_ns = end_ns;
    }
    kept.written = engine.snapshot().last_record();
    Ok(Some(Done { kept, changed, cause: "late rows" }))
}

/// Computes a stretch of history before what is kept.
async fn go_back(
    subject: &Subject,
    fit: &mut Fit,
    before: &Kept,
    session: &Session,
    now_ns: i64,
) -> Result<Option<Done>> {
    let engine = session.database().engine();
    let snapshot = engine.snapshot();
    let table = &fit.source.table;
    // Before the first raw row there is nothing to compute, and kept rows stay.
    let first_ns = snapshot.extent(table).map_or(i64::MAX, |extent| extent.min_ns).max(snapshot.raw_from_ns(table));
    let first_ns = first_ns.saturating_sub(fit.source.reach_ns);
    if before.from_ns <= first_ns {
        return Ok(Some(Done { kept: Kept { from_ns: i64::MIN, ..before.clone() }, changed: Vec::new(), cause: "" }));
    }
    let start_ns = before.from_ns.saturating_sub(fit.chunk_ns).max(first_ns);
    let (rows, changed) =
        reconcile(subject.version, fit, &before.store, start_ns, before.from_ns, session, now_ns).await?;
    if rows < STEP_ROWS / 4 {
        fit.chunk_ns = fit.chunk_ns.saturating_mul(2);
    } else if rows > STEP_ROWS {
        fit.chunk_ns = (fit.chunk_ns / 2).max(fit.step_ns);
    }
    let kept = Kept { from_ns: start_ns, written: engine.snapshot().last_record(), ..before.clone() };
    // A row that was not kept before is none that was restated.
    let changed = changed.into_iter().filter(|change| change.before.is_some()).collect();
    Ok(Some(Done { kept, changed, cause: "recomputed" }))
}

/// Makes the kept rows of `[start, end)` those of the query. Gives how many there are, and what changed.
async fn reconcile(
    version: u64,
    fit: &Fit,
    store: &str,
    start_ns: i64,
    end_ns: i64,
    session: &Session,
    now_ns: i64,
) -> Result<(usize, Vec<Change>)> {
    let names =
        fit.layout.dimensions.iter().chain(fit.layout.measures.iter().map(|(name, _)| name)).map(String::as_str);
    let columns: Vec<String> = names.map(quoted).collect();
    let mut text = format!("SELECT {TIME}, {} FROM ({}\n) AS kpi WHERE true", columns.join(", "), fit.query);
    if start_ns > i64::MIN {
        text += &format!(" AND {TIME} >= '{}'", rfc3339(start_ns));
    }
    text += &format!(" AND {TIME} < '{}'", rfc3339(end_ns));
    let batches = session.rows_of(&text, now_ns).await?;
    let (engine, layout, store) = (session.database().engine().clone(), fit.layout.clone(), store.to_owned());
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    blocking(move || {
        let computed = layout.rows(&batches)?;
        let kept = layout.kept(&store, &engine.snapshot(), start_ns, end_ns)?;
        let count = computed.len();
        let difference = Difference::of(&kept, computed);
        layout.put(&store, version, &difference, &engine)?;
        Ok((count, difference.changed))
    })
    .await
}

/// Takes the outcome of a step over.
fn note(
    name: &str,
    one: &mut Work,
    before: Option<&Kept>,
    done: Result<Option<Done>>,
    database: &Database,
    notes: &mut Vec<Note>,
) {
    let version = one.subject.version;
    let mut new = Note { name: name.to_owned(), version, kept: None, error: None, restated: Vec::new() };
    match done {
        Ok(None) if one.error.is_none() => return,
        Ok(None) => {}
        Ok(Some(Done { kept, changed, cause })) => {
            if before.is_some_and(|before| before.from_ns == i64::MIN && kept.from_ns > i64::MIN) {
                // Its history is another one now, so all of it is judged anew.
                database.maintained().publish_scores(name, None);
                let _none_to_remove = std::fs::remove_file(scores::path(database.engine().dir(), name));
            }
            let new_rows = changed.iter().filter(|change| change.before.is_none());
            one.late.extend(new_rows.filter_map(|change| Some((change.key.clone(), change.after.clone()?))));
            if let Ok(fit) = &one.fitness {
                new.restated = restated(&fit.layout, &changed, cause);
            }
            new.kept = Some(kept.clone());
            database.maintained().publish(|all| drop(all.insert(name.to_owned(), Arc::new(kept))));
        }
        Err(error) => {
            let error = error.to_string();
            if one.error.as_ref() == Some(&error) {
                return;
            }
            // What is kept may be half changed: until it is put right the query answers.
            database.maintained().publish(|all| drop(all.remove(name)));
            new.error = Some(error);
        }
    }
    one.error.clone_from(&new.error);
    new.kept = new.kept.or_else(|| before.filter(|_| new.error.is_none()).cloned());
    notes.push(new);
}

fn restated(layout: &Layout, changed: &[Change], cause: &str) -> Vec<Restated> {
    let text = |measured: &Option<Measured>| {
        let numbers = layout.measures.iter().zip(measured.as_ref()?);
        let object: serde_json::Map<String, serde_json::Value> = numbers
            .map(|((name, _), number)| (name.clone(), number.map_or(serde_json::Value::Null, rows::Number::json)))
            .collect();
        Some(serde_json::Value::Object(object).to_string())
    };
    let dimensions = |of: &[Option<String>]| {
        let all = layout.dimensions.iter().cloned().zip(of.iter().map(|text| text.clone().into()));
        serde_json::Value::Object(all.collect()).to_string()
    };
    let one = |Change { key: (time_ns, of), before, after }: &Change| Restated {
        bucket_ns: *time_ns,
        dimensions: Some(dimensions(of)),
        before: text(before),
        after: text(after),
        cause: cause.to_owned(),
    };
    let mut all: Vec<Restated> = changed.iter().take(RESTATED_MAX).map(one).collect();
    if let Some(first) = changed.get(RESTATED_MAX) {
        let cause = format!("{cause}, and {} rows more", changed.len() - RESTATED_MAX);
        all.push(Restated { bucket_ns: first.key.0, dimensions: None, before: None, after: None, cause });
    }
    all
}

/// Writes down how far KPIs are, and what was restated.
fn write_down(notes: &[Note], database: &Database, now_ns: i64) -> Result<()> {
    if notes.is_empty() {
        return Ok(());
    }
    let table = of_system("watermark")?;
    database.ops().transaction(&ACTOR.into(), now_ns, |transaction| {
        for note in notes {
            let key = Value::Text(note.name.clone());
            let found = transaction.held(table).find(&["object"], std::slice::from_ref(&key)).map(|(number, _)| number);
            let mut values = vec![
                ("version", Some(Value::Integer(i64::try_from(note.version).unwrap_or(i64::MAX)))),
                ("error", note.error.clone().map(Value::Text)),
                ("updated_at", Some(Value::Time(now_ns))),
            ];
            let kept = note.kept.as_ref();
            let time = |ns: i64| Some(Value::Time(ns)).filter(|_| ns > i64::MIN);
            values.extend([
                ("source", kept.map(|kept| Value::Text(kept.table.clone()))),
                ("watermark", kept.and_then(|kept| time(kept.complete_ns()))),
                ("kept_from", kept.and_then(|kept| time(kept.from_ns))),
                ("is_whole", kept.map(|kept| Value::Boolean(kept.from_ns == i64::MIN))),
                ("record", kept.map(|kept| Value::Integer(kept.record.cast_signed()))),
            ]);
            // What came before all rows are kept is not known.
            let is_whole = kept.is_some_and(|kept| kept.from_ns == i64::MIN);
            let held = transaction.held(table);
            let before = found.and_then(|number| held.rows().get(&number).cloned());
            let since = before.and_then(|row| {
                let row = crate::ops::Named::new(table, &row);
                let is_same = row.integer("version") == i64::try_from(note.version).ok();
                row.time_ns("kept_since").filter(|_| is_same && is_whole)
            });
            values.push(("kept_since", is_whole.then(|| Value::Time(since.unwrap_or(now_ns)))));
            match found {
                Some(number) => transaction.set(table, number, &values)?,
                None => {
                    values.push(("object", Some(key)));
                    transaction.insert(table, &values)?;
                }
            }
            restate(transaction, note)?;
        }
        Ok(())
    })?;
    // Every reader of a table knows what was touched up to the least of them.
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    for kept in database.maintained().kept.read().unwrap_or_else(PoisonError::into_inner).values() {
        let least = known.entry(kept.table.clone()).or_insert(u64::MAX);
        *least = (*least).min(kept.record);
    }
    known.iter().for_each(|(table, record)| database.engine().forget_touches(table, *record));
    Ok(())
}

fn restate(transaction: &mut Transaction<'_>, note: &Note) -> Result<()> {
    let table = of_system("restatement")?;
    for restated in &note.restated {
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        transaction.insert(
            table,
            &[
                ("object", Some(Value::Text(note.name.clone()))),
                ("bucket", Some(Value::Time(restated.bucket_ns))),
                ("dimensions", text(&restated.dimensions)),
                ("old", text(&restated.before)),
                ("new", text(&restated.after)),
                ("cause", Some(Value::Text(restated.cause.clone()))),
            ],
        )?;
    }
    if !note.restated.is_empty() {
        transaction.keep_newest(table, RESTATEMENTS_MAX);
    }
    Ok(())
}
