//! Reading: a snapshot, what to read of it, and the parts that can be read in parallel.

use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::model::{TableSchema, TimeRange};
use crate::{Result, SchemaError};

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
    /// Only series for which all of these hold.
    pub tags: Vec<TagMatcher>,
    /// Largest number of parts wanted, at least 1.
    pub parts_max: usize,
}

/// One state of the whole database: later writes, flushes and drops do not change what it reads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) inner: Arc<crate::naive::Naive>,
}

impl Snapshot {
    /// The tables, by name.
    pub fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.inner.tables()
    }

    /// One table.
    pub fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        self.inner.table(name)
    }

    /// Splits a scan into at most `parts_max` parts that may be read in parallel. Rows of different parts never overlap; no
    /// order is promised between batches, within a batch rows are ordered by (series, time).
    ///
    /// # Errors
    /// [`SchemaError::NoTable`], [`SchemaError::NoColumn`], [`crate::Error::Pattern`].
    pub fn scan(&self, request: &ScanRequest) -> Result<Vec<ScanPart>> {
        let table = self.table(&request.table).ok_or_else(|| SchemaError::NoTable(request.table.clone()))?;
        let batch = self.inner.read(&table, request)?;
        Ok(vec![ScanPart { batches: vec![batch].into_iter() }])
    }
}

/// A stream of record batches, in the columns and order asked for.
#[derive(Debug)]
pub struct ScanPart {
    batches: std::vec::IntoIter<RecordBatch>,
}

impl Iterator for ScanPart {
    type Item = Result<RecordBatch>;
    fn next(&mut self) -> Option<Result<RecordBatch>> {
        self.batches.next().map(Ok)
    }
}
