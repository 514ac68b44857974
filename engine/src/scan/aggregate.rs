//! Aggregates by tags and time buckets, computed where the data is.
//!
//! ```text
//! request ─► Aggregation ─► parts ─► (each on its own thread) Partial ─► Aggregation::finish ─► rows
//! ```
//!
//! Meaning, the same on every way
//! - A row counts when it is in the time range, its series passes the tag matchers and its fields pass the predicates.
//! - Rows are grouped by bucket and group tags. Without either there is one group, which is there even without rows.
//! - NULLs are left out, but by `CountRows`, `First` and `Last`. A NaN is a value, greater than every other.
//! - Sums and averages of integers are exact. Those of floats are added in an order that the layout of the data decides.
//! - `Sketch` leaves NaN and infinities out as well.
//! - `First` and `Last` take the row with the smallest or greatest time, NULL or not; among equals that of the smallest or greatest series.

mod cells;
mod chunk;
mod column;
mod filter;
mod finish;
mod groups;
mod kernels;
mod narrow;
mod output;
mod overlap;
mod parts;
mod plain;
mod plan;
mod spans;
mod tiered;
mod worker;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::{FieldPredicate, Snapshot, TagMatcher};
use crate::model::TimeRange;
use crate::{Error, Result, SchemaError};
use cells::Cells;
use output::Answer;
use parts::Part;
use plain::Plain;
use plan::Plan;
use tiered::{Outlook, TierPart, Tiered};
pub use tiered::{Shortfall, TierUsed};

/// What to compute of one table.
#[derive(Debug, Clone)]
pub struct AggregateRequest {
    /// The table.
    pub table: String,
    /// Only rows of this time range.
    pub time: TimeRange,
    /// Only series for which all of these hold.
    pub tags: Vec<TagMatcher>,
    /// Only rows for which all of these hold.
    pub predicates: Vec<FieldPredicate>,
    /// Rows are grouped by the values of these tags.
    pub group_tags: Vec<String>,
    /// Rows are grouped by time.
    pub bucket: Option<Bucket>,
    /// Only the first or last buckets that have rows.
    pub limit: Option<BucketLimit>,
    /// What to compute of each group.
    pub aggregates: Vec<Aggregate>,
    /// Largest number of parts wanted, at least 1.
    pub parts_max: usize,
}

impl AggregateRequest {
    /// Everything of a table in one group.
    pub fn new(table: impl Into<String>, aggregates: Vec<Aggregate>) -> AggregateRequest {
        AggregateRequest {
            table: table.into(),
            time: TimeRange::ALL,
            tags: Vec::new(),
            predicates: Vec::new(),
            group_tags: Vec::new(),
            bucket: None,
            limit: None,
            aggregates,
            parts_max: 1,
        }
    }
}

/// Stretches of time of one width. A timestamp is in the bucket that starts at origin + ⌊(time − origin) / width⌋ × width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Width, at least 1.
    pub width_ns: i64,
    /// Where a bucket begins.
    pub origin_ns: i64,
}

impl Bucket {
    /// Number of the bucket of a timestamp, counted from the one at the origin.
    fn number(&self, time_ns: i64) -> i128 {
        (i128::from(time_ns) - i128::from(self.origin_ns)).div_euclid(i128::from(self.width_ns))
    }

    /// First timestamp of a bucket.
    fn start(&self, number: i128) -> i128 {
        i128::from(self.origin_ns) + number * i128::from(self.width_ns)
    }
}

/// Which buckets to keep of those that have rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketLimit {
    /// True for the latest buckets, which then come first; false for the earliest.
    pub descending: bool,
    /// How many.
    pub buckets: usize,
}

/// One column of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    /// What to compute.
    pub function: AggregateFunction,
    /// Of which field; `time` for some functions, nothing for `CountRows`.
    pub field: Option<String>,
}

/// What is computed of the rows of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// Rows; takes no field.
    CountRows,
    /// Values that are not NULL, of any column.
    Count,
    /// Sum of a number; of integers as a decimal, which cannot overflow.
    Sum,
    /// Mean of a number, as a float.
    Avg,
    /// Smallest value of a field or of `time`.
    Min,
    /// Greatest value of a field or of `time`.
    Max,
    /// Value of the earliest row.
    First,
    /// Value of the latest row.
    Last,
    /// The sketch of a number, as [`Bins::to_text`](crate::Bins::to_text) writes it; empty without values.
    Sketch,
}

impl AggregateFunction {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            AggregateFunction::CountRows | AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Avg => "avg",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
            AggregateFunction::First => "first",
            AggregateFunction::Last => "last",
            AggregateFunction::Sketch => "sketch",
        }
    }
}

/// An aggregation that is planned: parts to run, and how their results become the answer.
#[derive(Debug)]
pub struct Aggregation {
    answer: Arc<Answer>,
    /// `None` when the rows of a scan are aggregated.
    plan: Option<Arc<Plan>>,
    /// Set when rollups take part; then there is nothing else.
    tiered: Option<Tiered>,
    shortfall: Option<Shortfall>,
    parts: Vec<AggregatePart>,
}

/// A share of the work; parts may run on different threads.
#[derive(Debug)]
pub struct AggregatePart(Work);

#[derive(Debug)]
enum Work {
    Quick(Part),
    Plain(Plain),
    /// Rollups.
    Tier(TierPart),
    /// A part of the n-th stretch of raw rows beside rollups.
    Stretch(usize, Box<AggregatePart>),
}

/// What a part found.
#[derive(Debug)]
pub struct Partial(Found);

#[derive(Debug)]
enum Found {
    Quick(Vec<Cells>),
    Plain(plain::Groups),
    Tier(plain::Groups),
    Stretch(usize, Box<Partial>),
}

impl Snapshot {
    /// Plans an aggregation. Its columns: the start of the bucket, if one is asked for, the group tags, the aggregates;
    /// its rows are ordered by bucket, then by tags with NULL last.
    ///
    /// # Errors
    /// [`SchemaError`] for what the table does not have or a function does not take, [`Error::Pattern`], [`Error::Corrupt`],
    /// and [`Error::Limit`] for a width below 1.
    pub fn aggregate(&self, request: &AggregateRequest) -> Result<Aggregation> {
        let view = self.tables.get(&request.table).ok_or_else(|| SchemaError::NoTable(request.table.clone()))?;
        if let Some(bucket) = request.bucket.filter(|b| b.width_ns < 1) {
            let found = bucket.width_ns.unsigned_abs();
            return Err(Error::Limit { what: "width of a bucket, which is at least 1 ns,", found, limit: 1 });
        }
        let answer = Arc::new(Answer::new(&view.schema, request)?);
        let shortfall = match tiered::plan(self, view, request, &answer)? {
            Outlook::Tiered(tiered) => return Ok(Aggregation::tiered(answer, tiered)),
            Outlook::Raw(shortfall) => shortfall,
        };
        let request = &AggregateRequest { time: view.tiers.visible(&request.time), ..request.clone() };
        let mut plan = match self.shortcuts.kernels {
            true => Plan::new(view.clone(), request, &answer, self.shortcuts, self.tally.clone())?,
            false => None,
        };
        if let (Some(plan), Some(limit), Some(_)) = (&mut plan, request.limit, request.bucket) {
            narrow::narrow(plan, limit)?;
        }
        let plan = plan.map(Arc::new);
        let parts = match &plan {
            Some(plan) => parts::parts(plan, request.parts_max)?.into_iter().map(Work::Quick).collect(),
            None => vec![Work::Plain(Plain::new(self, request, answer.clone())?)],
        };
        let parts = parts.into_iter().map(AggregatePart).collect();
        Ok(Aggregation { answer, plan, tiered: None, shortfall, parts })
    }
}

impl Aggregation {
    fn tiered(answer: Arc<Answer>, mut tiered: Tiered) -> Aggregation {
        let (tiers, raw) = tiered.take_parts();
        let raw = raw.into_iter().map(|(nth, part)| AggregatePart(Work::Stretch(nth, Box::new(part))));
        let parts = tiers.into_iter().map(|part| AggregatePart(Work::Tier(part))).chain(raw).collect();
        let shortfall = tiered.take_shortfall();
        Aggregation { answer, plan: None, tiered: Some(tiered), shortfall, parts }
    }

    /// The tiers of rollups that take part, coarsest first; none when raw rows answer alone.
    pub fn tiers_used(&self) -> &[TierUsed] {
        self.tiered.as_ref().map_or(&[], Tiered::used)
    }

    /// What the request asks for and the table no longer keeps, to be told to whoever asked.
    pub fn shortfall(&self) -> Option<&Shortfall> {
        self.shortfall.as_ref()
    }

    /// The schema of the answer.
    pub fn schema(&self) -> SchemaRef {
        self.answer.schema()
    }

    /// The parts, to be run once; there is at least one.
    pub fn take_parts(&mut self) -> Vec<AggregatePart> {
        std::mem::take(&mut self.parts)
    }

    /// The answer, from what all parts found.
    ///
    /// # Errors
    /// [`Error::Limit`] when a bucket starts before the first timestamp there is.
    pub fn finish(&self, partials: Vec<Partial>) -> Result<RecordBatch> {
        let (mut quick, mut plain, mut tiers, mut stretches) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for partial in partials {
            match partial.0 {
                Found::Quick(mut cells) => quick.append(&mut cells),
                Found::Plain(groups) => plain.push(groups),
                Found::Tier(groups) => tiers.push(groups),
                Found::Stretch(nth, partial) => stretches.push((nth, *partial)),
            }
        }
        if let Some(tiered) = &self.tiered {
            return tiered.finish(tiers, stretches);
        }
        match &self.plan {
            Some(plan) => finish::finish(plan, &self.answer, quick),
            None => plain::finish(&self.answer, plain.into_iter()),
        }
    }

    /// Runs the parts one after the other.
    ///
    /// # Errors
    /// Those of [`AggregatePart::run`] and [`Aggregation::finish`].
    pub fn run(mut self) -> Result<RecordBatch> {
        let parts = self.take_parts().into_iter();
        let partials = parts.filter_map(|part| part.run(&|| true).transpose()).collect::<Result<Vec<_>>>()?;
        self.finish(partials)
    }
}

impl AggregatePart {
    /// Rows that the part may look at: an estimate for planners, no bound.
    pub fn rows_about(&self) -> usize {
        match &self.0 {
            Work::Quick(part) => part.rows_about,
            Work::Plain(plain) => plain.rows_about(),
            Work::Tier(part) => part.rows_about(),
            Work::Stretch(_, part) => part.rows_about(),
        }
    }

    /// Does the work, and asks between small pieces of it whether to go on; `None` when it was told to stop.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`], [`Error::Limit`].
    pub fn run(self, go_on: &dyn Fn() -> bool) -> Result<Option<Partial>> {
        Ok(match self.0 {
            Work::Quick(part) => part.run(go_on)?.map(Found::Quick),
            Work::Plain(plain) => plain.run(go_on)?.map(Found::Plain),
            Work::Tier(part) => part.run(go_on)?.map(Found::Tier),
            Work::Stretch(nth, part) => part.run(go_on)?.map(|found| Found::Stretch(nth, Box::new(found))),
        }
        .map(Partial))
    }
}
