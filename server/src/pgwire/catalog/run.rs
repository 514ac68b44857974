//! Evaluation, one row at a time: the tables are tiny, and every value is exact.
//!
//! Invariants
//! - Three-valued logic: a condition holds only when it is true; NULL never finds a hash partner.
//! - Every row made costs a step; a statement that runs out of steps is refused, whatever it asks for.

mod eval;
mod join;
mod select;

use super::{
    Context,
    datum::{Datum, Row},
    error::{CatalogError, Result},
    plan::{Query, RowSet},
    relations::{self, Relation},
};
use regex::Regex;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

/// Steps that a statement may take: one for each row it makes, some for each run of a sub-query.
const STEPS_MAX: u64 = 5_000_000;
const QUERY_STEPS: u64 = 10;
/// Rows that one function may give.
pub(crate) const ROWS_MAX: usize = 250_000;
/// Values that a statement may keep, all its rows together; one takes 32 bytes, a string more by its length.
const WEIGHT_MAX: usize = 8_000_000;
/// Bytes that one string may take.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 20;

/// What a statement needs while it runs.
pub(crate) struct Runtime<'a> {
    pub context: &'a Context<'a>,
    parameters: &'a [Datum],
    relations: RefCell<HashMap<u32, Rc<RowSet>>>,
    ctes: RefCell<HashMap<usize, Rc<RowSet>>>,
    regexes: RefCell<HashMap<(String, bool), Rc<Regex>>>,
    steps: Cell<u64>,
    weight: Cell<usize>,
    /// What `set_config` asked for.
    pub settings: RefCell<Vec<(String, String)>>,
    /// What `pg_notify` asked for.
    pub notifications: RefCell<Vec<(String, String)>>,
    /// How long `pg_sleep` asked to wait, in seconds.
    pub sleep_s: Cell<f64>,
}

/// The rows in reach of an expression: this level's, and the one around it.
pub(crate) struct Frame<'a> {
    row: &'a [Datum],
    slots: &'a [Datum],
    outer: Option<&'a Frame<'a>>,
}

impl<'a> Runtime<'a> {
    pub(crate) fn new(context: &'a Context<'a>, parameters: &'a [Datum]) -> Self {
        Runtime {
            context,
            parameters,
            relations: RefCell::default(),
            ctes: RefCell::default(),
            regexes: RefCell::default(),
            steps: Cell::new(0),
            weight: Cell::new(0),
            settings: RefCell::default(),
            notifications: RefCell::default(),
            sleep_s: Cell::default(),
        }
    }

    /// The rows of a whole statement.
    pub(crate) fn run(&self, query: &Query) -> Result<Vec<Row>> {
        self.query(query, None)
    }

    /// Rows of a system relation, made once per statement.
    pub(crate) fn relation(&self, relation: &'static Relation) -> Rc<RowSet> {
        if let Some(rows) = self.relations.borrow().get(&relation.oid) {
            return rows.clone();
        }
        let rows = RowSet::new(relations::rows(relation, self.context));
        self.relations.borrow_mut().insert(relation.oid, rows.clone());
        rows
    }

    /// A compiled pattern, kept for the rows to come.
    pub(crate) fn regex(&self, pattern: &str, ignore_case: bool) -> Result<Rc<Regex>> {
        let key = (pattern.to_owned(), ignore_case);
        if let Some(regex) = self.regexes.borrow().get(&key) {
            return Ok(regex.clone());
        }
        let regex = Rc::new(super::functions::pattern::compile(pattern, ignore_case)?);
        self.regexes.borrow_mut().insert(key, regex.clone());
        Ok(regex)
    }

    fn step(&self) -> Result<()> {
        self.take_steps(1)
    }

    fn take_steps(&self, count: u64) -> Result<()> {
        let steps = self.steps.get() + count;
        self.steps.set(steps);
        if steps > STEPS_MAX { Err(CatalogError::too_much("the work")) } else { Ok(()) }
    }

    /// Counts values that stay in memory.
    fn keep(&self, values: &[Datum]) -> Result<()> {
        let weight = self.weight.get() + values.iter().map(weight).sum::<usize>();
        self.weight.set(weight);
        if weight > WEIGHT_MAX { Err(CatalogError::too_much("the memory")) } else { Ok(()) }
    }
}

fn weight(value: &Datum) -> usize {
    1 + match value {
        Datum::Text(text) => text.len() / size_of::<Datum>(),
        Datum::Array(array) => array.items.iter().map(weight).sum(),
        Datum::Record(fields) => fields.iter().map(weight).sum(),
        _ => 0,
    }
}
