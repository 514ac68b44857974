//! Reading: a snapshot, what to read of it, and the parts that can be read in parallel.

mod aggregate;
mod effort;
mod last;
mod numbers;
mod output;
mod plan;
mod predicate;
mod proof;
mod read;
mod shortcuts;
mod sieve;
mod tags;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::model::{TableSchema, TimeRange};
use crate::partition;
use crate::table::TableView;
use crate::{Result, SchemaError};
pub use aggregate::{
    Aggregate, AggregateFunction, AggregatePart, AggregateRequest, Aggregation, Bucket, BucketLimit, Partial,
    Shortfall, TierUsed,
};
use effort::Tally;
pub use effort::{Effort, Share};
pub(crate) use last::LastPoints;
pub use last::LastRequest;
use output::Output;
pub use predicate::{CompareOp, FieldPredicate, FieldTest};
use read::{Reader, Unit, Wanted};
pub use shortcuts::Shortcuts;

/// A test on one tag of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct TagMatcher {
    /// The tag.
    pub tag: String,
    /// What must hold for its value.
    pub test: TagTest,
}

/// What a tag's value is tested for. As in SQL, an absent tag fails every test but `IsNull`.
#[derive(Debug, Clone, PartialEq)]
pub enum TagTest {
    /// The value is this one.
    Equals(String),
    /// The tag is present and its value is not this one.
    NotEquals(String),
    /// The value is one of these.
    In(Vec<String>),
    /// The tag is present and its value is none of these.
    NotIn(Vec<String>),
    /// The value begins with this text.
    Prefix(String),
    /// The value matches this regular expression somewhere (crate `regex` syntax; a dot is any character).
    Regex(String),
    /// The tag is absent.
    IsNull,
    /// The tag is present.
    IsNotNull,
}

/// The order in which a scan hands out rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScanOrder {
    /// None is promised between batches. Within a batch a series is in one piece and its times ascend.
    #[default]
    Unordered,
    /// Series after series, each wholly and by ascending time, through all batches of a part and through the parts.
    SeriesTime,
    /// By ascending time through all batches; there is one part.
    Time,
    /// By descending time through all batches; there is one part.
    TimeDescending,
}

/// What to read of one table.
#[derive(Debug, Clone)]
pub struct ScanRequest {
    /// The table.
    pub table: String,
    /// Columns wanted, in this order; none is allowed and gives batches that only count rows.
    pub columns: Vec<String>,
    /// Only rows of this time range.
    pub time: TimeRange,
    /// Only series for which all of these hold. A tag that the table does not have counts as absent from every series.
    pub tags: Vec<TagMatcher>,
    /// Only rows for which all of these hold.
    pub predicates: Vec<FieldPredicate>,
    /// How the rows are ordered.
    pub order: ScanOrder,
    /// Most rows that one part hands out: the first ones in the order asked for.
    pub limit: Option<usize>,
    /// Largest number of parts wanted, at least 1.
    pub parts_max: usize,
}

impl ScanRequest {
    /// All rows of a table, unordered, in one part.
    pub fn new(table: impl Into<String>, columns: impl IntoIterator<Item = impl Into<String>>) -> ScanRequest {
        ScanRequest {
            table: table.into(),
            columns: columns.into_iter().map(Into::into).collect(),
            time: TimeRange::ALL,
            tags: Vec::new(),
            predicates: Vec::new(),
            order: ScanOrder::Unordered,
            limit: None,
            parts_max: 1,
        }
    }
}

/// One state of the whole database: later writes, flushes and drops do not change what it reads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot {
    tables: Arc<BTreeMap<String, Arc<TableView>>>,
    /// The last record that is in it.
    lsn: u64,
    shortcuts: Shortcuts,
    tally: Arc<Tally>,
}

impl Snapshot {
    pub(crate) fn new(tables: impl Iterator<Item = TableView>, lsn: u64) -> Snapshot {
        Snapshot {
            tables: Arc::new(tables.map(|t| (t.schema.name.clone(), Arc::new(t))).collect()),
            lsn,
            shortcuts: Shortcuts::ALL,
            tally: Arc::default(),
        }
    }

    /// The same state, read with these shortcuts and no others.
    #[must_use]
    pub fn with_shortcuts(&self, shortcuts: Shortcuts) -> Snapshot {
        Snapshot { tables: self.tables.clone(), lsn: self.lsn, shortcuts, tally: Arc::default() }
    }

    /// The number of the last log record whose effect is in it.
    pub fn last_record(&self) -> u64 {
        self.lsn
    }

    /// What the reads of this snapshot, which its clones share, have taken since [`Snapshot::with_shortcuts`].
    pub fn effort(&self) -> Effort {
        self.tally.effort()
    }

    /// The shortcuts that reads of this snapshot may take.
    pub fn shortcuts(&self) -> Shortcuts {
        self.shortcuts
    }

    /// The times between which all that is kept of a table lies, raw rows and rollups; `None` without any, or without the table.
    pub fn extent(&self, table: &str) -> Option<TimeRange> {
        let view = self.tables.get(table)?;
        let days = view.tiers.days.keys().map(|day| partition::range(*day));
        let extent = days.fold(view.extent(), |all, day| all.hull(&day));
        (!extent.is_empty()).then_some(extent)
    }

    /// From when on the raw rows of a table are kept, ns since the Unix epoch; all of them when it is `i64::MIN`.
    pub fn raw_from_ns(&self, table: &str) -> i64 {
        self.tables.get(table).map_or(i64::MIN, |view| view.tiers.raw_from_ns)
    }

    /// True when rollups of a table take part in answers, or its raw rows expire.
    pub fn is_tiered(&self, table: &str) -> bool {
        self.shortcuts.rollups && self.tables.get(table).is_some_and(|view| !view.tiers.is_untouched())
    }

    /// The tables, by name, without internal ones.
    pub fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.tables.values().map(|t| t.schema.clone()).filter(|t| !t.is_internal()).collect()
    }

    /// One table.
    pub fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        self.tables.get(name).map(|t| t.schema.clone())
    }

    /// Splits a scan into at most `parts_max` parts that may be read in parallel. Rows of different parts never overlap.
    ///
    /// # Errors
    /// [`SchemaError::NoTable`], [`SchemaError::NoColumn`], [`SchemaError::ColumnKind`] for a predicate on another column than
    /// a field, [`crate::Error::Pattern`], and
    /// [`crate::Error::Corrupt`] when a segment that holds wanted rows cannot be opened.
    pub fn scan(&self, request: &ScanRequest) -> Result<Vec<ScanPart>> {
        let view = self.view(&request.table)?;
        let mut output = Output::new(view, &request.columns)?;
        let schema = output.schema();
        let predicates = output.predicates(view, &request.predicates)?;
        let series = plan::select_series(view, &request.tags)?;
        let time = view.tiers.visible(&request.time);
        let prunes = self.shortcuts.pruning;
        let wanted = Wanted { time, series, predicates, order: request.order, prunes };
        let reader = Arc::new(Reader::new(view.clone(), output, wanted, self.tally.clone()));
        let units = plan::units(&reader)?;
        let parts = match request.order {
            ScanOrder::Time | ScanOrder::TimeDescending => 1,
            ScanOrder::Unordered | ScanOrder::SeriesTime => request.parts_max.clamp(1, units.len().max(1)),
        };
        let part = |units| ScanPart {
            reader: reader.clone(),
            schema: schema.clone(),
            units,
            batch: None,
            rows_left: request.limit.unwrap_or(usize::MAX),
        };
        Ok(plan::shares(units, parts, request.order).into_iter().map(part).collect())
    }

    fn view(&self, table: &str) -> Result<&Arc<TableView>> {
        Ok(self.tables.get(table).ok_or_else(|| SchemaError::NoTable(table.to_owned()))?)
    }
}

/// A stream of record batches, in the columns and order asked for.
#[derive(Debug)]
pub struct ScanPart {
    reader: Arc<Reader>,
    schema: SchemaRef,
    units: VecDeque<Unit>,
    /// The unit being handed out, and how far it is.
    batch: Option<(RecordBatch, usize)>,
    rows_left: usize,
}

/// Rows of a batch that a scan hands out.
const BATCH_ROWS_MAX: usize = 8192;

impl ScanPart {
    /// Rows that the part may hold: an estimate for planners, no bound.
    pub fn rows_about(&self) -> usize {
        self.units.iter().map(|unit| unit.rows_about).sum::<usize>().min(self.rows_left)
    }

    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

impl Iterator for ScanPart {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        loop {
            if self.rows_left == 0 {
                self.units.clear();
                self.batch = None;
            }
            if let Some((batch, at)) = &mut self.batch
                && *at < batch.num_rows()
            {
                let rows = BATCH_ROWS_MAX.min(batch.num_rows() - *at).min(self.rows_left);
                let slice = batch.slice(*at, rows);
                *at += rows;
                self.rows_left -= rows;
                return Some(Ok(slice));
            }
            let unit = self.units.pop_front()?;
            match self.reader.read(&unit) {
                Ok(batch) => self.batch = Some((batch, 0)),
                Err(error) => {
                    self.units.clear();
                    self.batch = None;
                    return Some(Err(error));
                }
            }
        }
    }
}
