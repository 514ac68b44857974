//! From what the engine gives to what the statement asked for: order, limit, columns and their names.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{SortColumn, SortOptions, cast, lexsort_to_indices, take};
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef, TimestampNanosecondType};
use datafusion::sql::sqlparser::ast::OrderByOptions;

type Result<T> = datafusion::common::Result<T>;

/// The last step of a direct plan.
#[derive(Debug, Clone)]
pub(super) struct Output {
    /// For each column of the result its position in the engine's batch.
    pub(super) columns: Vec<usize>,
    /// What to sort by; nothing when the engine's order is the one asked for, or none is.
    pub(super) keys: Vec<Key>,
    pub(super) schema: SchemaRef,
}

/// A column of the engine's batch to sort by.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) at: usize,
    pub(super) options: SortOptions,
    /// What it is, for EXPLAIN.
    pub(super) name: String,
}

impl Output {
    /// The rows of the result.
    pub(super) fn finish(&self, batch: &RecordBatch, limit: Option<usize>) -> Result<RecordBatch> {
        let rows = limit.unwrap_or(usize::MAX).min(batch.num_rows());
        let picked = |at: &usize| batch.column(*at).clone();
        let arrays: Vec<ArrayRef> = if self.keys.is_empty() || batch.num_rows() < 2 {
            self.columns.iter().map(|at| picked(at).slice(0, rows)).collect()
        } else {
            let key = |key: &Key| SortColumn { values: picked(&key.at), options: Some(key.options) };
            let keys: Vec<_> = self.keys.iter().map(key).collect();
            let order = lexsort_to_indices(&keys, limit)?;
            self.columns.iter().map(|at| Ok(take(&picked(at), &order, None)?)).collect::<Result<_>>()?
        };
        self.label(arrays, rows)
    }

    /// A batch whose columns are those of the result already.
    pub(super) fn label(&self, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let labelled = arrays.into_iter().zip(self.schema.fields()).map(labelled).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), labelled, &options)?)
    }
}

/// A column under the type that the result has for it. Instants are the same in every zone.
fn labelled((column, field): (ArrayRef, &Arc<Field>)) -> Result<ArrayRef> {
    match (column.data_type(), field.data_type()) {
        (found, wanted) if found == wanted => Ok(column),
        (DataType::Timestamp(..), DataType::Timestamp(_, Some(zone))) => {
            let times = column.as_primitive::<TimestampNanosecondType>().clone();
            Ok(Arc::new(times.with_timezone(zone.clone())))
        }
        (_, wanted) => Ok(cast(&column, wanted)?),
    }
}

/// PostgreSQL takes NULL for the largest value.
pub(super) fn sort_options(options: &OrderByOptions) -> SortOptions {
    let descending = options.asc == Some(false);
    SortOptions { descending, nulls_first: options.nulls_first.unwrap_or(descending) }
}
