//! Reading: a snapshot, what to read of it, and the parts that can be read in parallel.

mod aggregate;
mod output;
mod plan;
mod predicate;
mod read;
mod shortcuts;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::model::{TableSchema, TimeRange};
use crate::table::TableView;
use crate::{Result, SchemaError};
pub use aggregate::{
    Aggregate, AggregateFunction, AggregatePart, AggregateRequest, Aggregation, Bucket, BucketLimit, Partial,
};
use output::Output;
pub use predicate::{CompareOp, FieldPredicate, FieldTest};
use read::{Reader, Unit};
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
    /// The value matches this regular expression somewhere (crate `regex` syntax).
    Regex(String),
    /// The tag is absent.
    IsNull,
    /// The tag is present.
    IsNotNull,
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
    /// Largest number of parts wanted, at least 1.
    pub parts_max: usize,
}

/// One state of the whole database: later writes, flushes and drops do not change what it reads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot {
    tables: Arc<BTreeMap<String, Arc<TableView>>>,
    shortcuts: Shortcuts,
}

impl Snapshot {
    pub(crate) fn new(tables: impl Iterator<Item = TableView>) -> Snapshot {
        Snapshot {
            tables: Arc::new(tables.map(|t| (t.schema.name.clone(), Arc::new(t))).collect()),
            shortcuts: Shortcuts::ALL,
        }
    }

    /// The same state, read with these shortcuts and no others.
    #[must_use]
    pub fn with_shortcuts(&self, shortcuts: Shortcuts) -> Snapshot {
        Snapshot { tables: self.tables.clone(), shortcuts }
    }

    /// The shortcuts that reads of this snapshot may take.
    pub fn shortcuts(&self) -> Shortcuts {
        self.shortcuts
    }

    /// The tables, by name.
    pub fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.tables.values().map(|t| t.schema.clone()).collect()
    }

    /// One table.
    pub fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        self.tables.get(name).map(|t| t.schema.clone())
    }

    /// Splits a scan into at most `parts_max` parts that may be read in parallel. Rows of different parts never overlap; no
    /// order is promised between batches, within a batch rows are ordered by (series, time).
    ///
    /// # Errors
    /// [`SchemaError::NoTable`], [`SchemaError::NoColumn`], [`crate::Error::Pattern`], and
    /// [`crate::Error::Corrupt`] when a segment that holds wanted rows cannot be opened.
    pub fn scan(&self, request: &ScanRequest) -> Result<Vec<ScanPart>> {
        let view = self.tables.get(&request.table).ok_or_else(|| SchemaError::NoTable(request.table.clone()))?;
        let output = Output::new(view, &request.columns)?;
        let schema = output.schema();
        let selected = plan::select_series(view, &request.tags)?;
        let reader = Arc::new(Reader::new(view.clone(), output, request.time, selected));
        let units = plan::units(&reader)?;
        let parts = request.parts_max.clamp(1, units.len().max(1));
        let mut shares = vec![VecDeque::new(); parts];
        for (nth, unit) in units.into_iter().enumerate() {
            shares[nth % parts].push_back(unit);
        }
        let part = |units| ScanPart { reader: reader.clone(), schema: schema.clone(), units, batch: None };
        Ok(shares.into_iter().map(part).collect())
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
}

/// Rows of a batch that a scan hands out.
const BATCH_ROWS_MAX: usize = 8192;

impl ScanPart {
    /// Rows that the part may hold: an estimate for planners, no bound.
    pub fn rows_about(&self) -> usize {
        self.units.iter().map(|unit| unit.rows_about).sum()
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
            if let Some((batch, at)) = &mut self.batch
                && *at < batch.num_rows()
            {
                let rows = BATCH_ROWS_MAX.min(batch.num_rows() - *at);
                let slice = batch.slice(*at, rows);
                *at += rows;
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
