//! Data quality on the way in: tags that rows get, expectations of tables, and what becomes of rows that violate them.
//!
//! ```text
//!  INSERT, COPY ──► points ─┐               ┌─► kept: the writer stores them
//!                           ├─► Guard ──────┼─► refused: the writer says so
//!  line protocol ─► points ─┘   admit       └─► left out, or kept in `quarantine.TABLE`
//!                                 └─► what was violated when: `sys.expectation`, `quality` of `kpi.NAME`
//! ```
//!
//! There is one door for all ways in: a writer asks [`Guard::watches`] for each table, and shows the points of those that are to
//! [`Guard::admit`]. A table without expectations costs that one question.
//!
//! Invariants
//! - What is quarantined, and that something was violated, is durable before the rows that are kept are stored: a writer that
//!   fails in between writes the same rows again, which changes nothing.
//! - A row is judged by the columns that its table has; a row that does not fit them is the table's to refuse.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use plimsoll_engine::{Engine, Point, TableSchema};

mod ddl;
mod judge;
mod kept;
mod rules;
mod tags;
mod tainted;
mod tally;
mod whole;

pub(crate) use ddl::{ChangedRules, NewRules, forget_tables};
pub(crate) use kept::{SCHEMA as QUARANTINE, delete_target, quarantine};
pub(crate) use rules::{Action, Rules, TableRules, lateness_ns};
pub(crate) use tainted::{expecting, marked};
pub(crate) use tally::Expected;
pub(crate) use whole::look;

use crate::catalog::Definitions;
use crate::lower::Lowering;
use crate::stack::on_deep_stack;
use crate::{Database, Error, Result};
use judge::Compiled;
use tags::TagRules;
use tally::Tallies;

/// What all sessions and writers of a database share of it.
pub(crate) struct Quality {
    /// Planned expectations, one entry for each table.
    compiled: Mutex<Vec<Arc<Compiled>>>,
    tallies: Tallies,
    /// Rules of tags as they were read last.
    tags: Mutex<Option<Arc<TagRules>>>,
    /// When tables were last looked at as a whole.
    looked_ns: Mutex<i64>,
    /// Held to read while rows go into quarantine, and to write while they are moved out of it.
    moving: RwLock<()>,
}

impl Quality {
    /// True where rows of one of some tables with a time in `[start, end)`, to the minute, were not as they are expected to be.
    pub(crate) fn is_tainted(&self, tables: &[String], start_ns: i64, end_ns: i64) -> bool {
        self.tallies.is_tainted(tables, start_ns, end_ns)
    }

    /// Reads what was violated before.
    ///
    /// # Errors
    /// Those of the engine.
    pub(crate) fn open(engine: &Engine) -> Result<Quality> {
        let (compiled, looked_ns) = (Mutex::default(), Mutex::new(i64::MIN));
        Ok(Quality {
            compiled,
            tallies: Tallies::open(engine)?,
            tags: Mutex::default(),
            looked_ns,
            moving: RwLock::default(),
        })
    }

    fn compiled(
        &self,
        rules: &Arc<TableRules>,
        table: &Arc<TableSchema>,
        database: &Database,
        now_ns: i64,
    ) -> Result<Arc<Compiled>> {
        let held = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |compiled: &&Arc<Compiled>| Arc::ptr_eq(&compiled.rules, rules) && compiled.table == *table;
        if let Some(compiled) = held().iter().find(fits) {
            return Ok(compiled.clone());
        }
        let compiled = |lowering: &Lowering<'_>| on_deep_stack(|| Compiled::new(rules, table, lowering));
        let compiled = database.session().lowered(now_ns, compiled)?;
        let compiled = Arc::new(compiled);
        let mut all = held();
        all.retain(|other| other.table.name != table.name);
        all.push(compiled.clone());
        Ok(compiled)
    }
}

impl fmt::Debug for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quality").finish_non_exhaustive()
    }
}

/// The expectations of all tables and the rules of tags as they are at one moment, kept against points on their way in.
#[derive(Debug, Clone)]
pub struct Guard {
    database: Database,
    definitions: Arc<Definitions>,
    /// `None` where they cannot be read, which is never.
    tags: Option<Arc<TagRules>>,
    now_ns: i64,
}

/// What became of points.
#[derive(Debug)]
pub struct Admitted<'p> {
    /// Those that are to be stored, with their numbers among those given.
    pub kept: Vec<(usize, Point<'p>)>,
    /// Those that are refused.
    pub refused: Vec<(usize, Refusal)>,
}

/// Why a point is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its table.
    pub table: String,
    /// The expectation that it violates.
    pub rule: String,
    /// The condition.
    pub expression: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { table, rule, expression } = self;
        write!(f, "point for table \"{table}\" violates expectation \"{rule}\": {expression}")
    }
}

impl Refusal {
    /// The same as an error about a row, numbered from 0.
    pub(crate) fn of_row(self, row: u64) -> Error {
        let Refusal { table, rule, expression } = self;
        Error::Expectation { table, rule, row: row + 1, expression }
    }
}

impl Database {
    /// The expectations as they are now; `now_ns` is what `now()` gives in them.
    pub fn guard(&self, now_ns: i64) -> Guard {
        let definitions = self.catalog().definitions();
        let mut known = self.quality().tags.lock().unwrap_or_else(PoisonError::into_inner);
        let tags = TagRules::of(self, &definitions, known.as_ref()).ok();
        known.clone_from(&tags);
        drop(known);
        Guard { database: self.clone(), definitions, tags, now_ns }
    }
}

impl Guard {
    /// Where points are stored.
    pub(crate) fn engine(&self) -> &Engine {
        self.database.engine()
    }

    /// True for a table whose points have to be shown to [`Guard::admit`].
    pub fn watches(&self, table: &str) -> bool {
        let has_rules = !self.definitions.rules.is_empty();
        (has_rules && self.definitions.rules.get(table).is_some_and(|rules| rules.judge_rows()))
            || self.tags(table).is_some()
    }

    /// The rules of tags, where some are for a table.
    fn tags(&self, table: &str) -> Option<&TagRules> {
        self.tags.as_deref().filter(|tags| tags.watches(table))
    }

    /// Gives points of a table their tags.
    fn enrich(&self, table: &str, points: &mut [Point<'_>]) {
        let Some(tags) = self.tags(table) else { return };
        let schema = self.database.engine().table(table);
        points.iter_mut().for_each(|point| tags.enrich(point, schema.as_deref()));
    }

    /// True for a table that may refuse points.
    pub(crate) fn may_refuse(&self, table: &str) -> bool {
        self.definitions.rules.get(table).is_some_and(|rules| rules.has(Action::Fail))
    }

    /// Why the first of the points of a table that is refused would be; nothing follows of it but a count.
    ///
    /// # Errors
    /// Those of planning.
    pub(crate) fn first_refused(&self, table: &str, points: &[Point<'_>]) -> Result<Option<(usize, Refusal)>> {
        let mut points = points.to_vec();
        self.enrich(table, &mut points);
        let Some(judged) = self.judge(table, &points)? else { return Ok(None) };
        let refused = (0..points.len()).find_map(|at| Some((at, judged.refusal(table, at)?)));
        if refused.is_some() {
            self.database.quality().tallies.count(table, &judged.only(Action::Fail), &points, self.now_ns);
        }
        Ok(refused)
    }

    /// Gives the points of a table their tags and judges them: those that violate an expectation are counted, kept aside, left out or refused, as it says.
    /// Waits for the disk. Must not be called while a write of the engine is under way in the same thread.
    ///
    /// # Errors
    /// Those of planning and of the engine.
    pub fn admit<'p>(&self, table: &str, mut points: Vec<Point<'p>>, actor: &str) -> Result<Admitted<'p>> {
        let quality = self.database.quality();
        self.enrich(table, &mut points);
        let Some(judged) = self.judge(table, &points)? else {
            return Ok(Admitted { kept: points.into_iter().enumerate().collect(), refused: Vec::new() });
        };
        let changed = quality.tallies.count(table, &judged, &points, self.now_ns);
        let aside: Vec<(&str, &Point<'_>)> =
            points.iter().enumerate().filter_map(|(at, point)| Some((judged.quarantined(at)?, point))).collect();
        if !changed.is_empty() || !aside.is_empty() {
            let _rows_stay = quality.moving.read().unwrap_or_else(PoisonError::into_inner);
            let mut write = self.database.engine().begin_internal_write()?;
            for (rule, point) in aside {
                write.add(&kept::aside(table, rule, point, actor, self.now_ns))?;
            }
            for violation in &changed {
                write.add(&violation.point(table))?;
            }
            write.commit()?;
        }
        let (mut kept, mut refused) = (Vec::new(), Vec::new());
        for (at, point) in points.into_iter().enumerate() {
            match (judged.verdict(at), judged.refusal(table, at)) {
                (_, Some(refusal)) => refused.push((at, refusal)),
                (Some(Action::Quarantine | Action::Drop), None) => {}
                _ => kept.push((at, point)),
            }
        }
        Ok(Admitted { kept, refused })
    }

    /// What the points of a table violate; `None` where there is nothing to violate.
    fn judge(&self, table: &str, points: &[Point<'_>]) -> Result<Option<Judged>> {
        let Some(rules) = self.definitions.rules.get(table) else { return Ok(None) };
        let Some(schema) = self.database.engine().table(table) else { return Ok(None) };
        let compiled = self.database.quality().compiled(rules, &schema, &self.database, self.now_ns)?;
        let mut violated =
            self.database.session().lowered(self.now_ns, |lowering| compiled.violations(points, lowering.state))?;
        for (at, point) in points.iter().enumerate() {
            if !judge::fits(point, &schema) {
                violated.iter_mut().for_each(|rows| rows[at] = false);
            }
        }
        Ok(Some(Judged { rules: rules.clone(), violated }))
    }
}

/// Which points violate which expectations.
struct Judged {
    rules: Arc<TableRules>,
    /// For each expectation, each point.
    violated: Vec<Vec<bool>>,
}

impl Judged {
    /// The strictest action among the expectations that a point violates.
    fn verdict(&self, at: usize) -> Option<Action> {
        self.of(at).map(|rule| rule.action).max()
    }

    /// The expectations that a point violates.
    fn of(&self, at: usize) -> impl Iterator<Item = &rules::Rule> {
        self.rules.rules.iter().zip(&self.violated).filter(move |(_, rows)| rows[at]).map(|(rule, _)| rule)
    }

    /// The expectation that puts a point into quarantine.
    fn quarantined(&self, at: usize) -> Option<&str> {
        let is_aside = self.verdict(at) == Some(Action::Quarantine);
        self.of(at).find(|rule| is_aside && rule.action == Action::Quarantine).map(|rule| rule.name.as_str())
    }

    fn refusal(&self, table: &str, at: usize) -> Option<Refusal> {
        let rule = self.of(at).find(|rule| rule.action == Action::Fail)?;
        Some(Refusal { table: table.to_owned(), rule: rule.name.clone(), expression: rule.expression.clone() })
    }

    /// The same for the expectations of one action alone.
    fn only(&self, action: Action) -> Judged {
        let rows = |(rule, rows): (&rules::Rule, &Vec<bool>)| match rule.action == action {
            true => rows.clone(),
            false => vec![false; rows.len()],
        };
        Judged { rules: self.rules.clone(), violated: self.rules.rules.iter().zip(&self.violated).map(rows).collect() }
    }
}
