//! Rows as objects of JSON.

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use serde_json::{Map, Value as Json};

use crate::Result;

/// The rows of a batch, each with a member for each column: numbers and truths as such, all else as text.
///
/// # Errors
/// For types that have no text.
pub fn objects(batch: &RecordBatch) -> Result<Vec<Map<String, Json>>> {
    let options = FormatOptions::default();
    let schema = batch.schema();
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let formatter = ArrayFormatter::try_new(column, &options).map_err(DataFusionError::from)?;
        columns.push((field, column, formatter));
    }
    let mut rows = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let mut object = Map::new();
        for (field, column, formatter) in &columns {
            let text = || formatter.value(row).to_string();
            let value = match field.data_type() {
                _ if column.is_null(row) => Json::Null,
                data_type if data_type.is_numeric() => {
                    let text = text();
                    serde_json::from_str(&text).unwrap_or(Json::String(text))
                }
                DataType::Boolean => Json::Bool(text() == "true"),
                _ => Json::String(text()),
            };
            object.insert(field.name().clone(), value);
        }
        rows.push(object);
    }
    Ok(rows)
}
