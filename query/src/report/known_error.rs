//! `match_known_errors`: which known errors an incident looks like.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::DataFusionError;

use crate::alert::{KnownError, Seen};
use crate::lower::Lowering;
use crate::ops::{Named, incident};
use crate::relation::Computed;
use crate::{Error, Result};

/// The relation: the known errors, the likeliest first.
///
/// # Errors
/// [`Error::UndefinedObject`] without such an incident.
pub(crate) fn matches(id: i64, lowering: &Lowering<'_>) -> Result<Computed> {
    let table = incident::tables()?.incident;
    let row = super::functions::row_of(table, "incident", id, lowering)?;
    let seen = Seen::of_incident(&Named::new(table, &row));
    let database = lowering.database.clone();
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("title", DataType::Utf8, true),
        Field::new("confidence", DataType::Float64, false),
        Field::new("workaround", DataType::Utf8, true),
        Field::new("problem_id", DataType::Int64, true),
        Field::new("right", DataType::Int64, false),
        Field::new("wrong", DataType::Int64, false),
    ]));
    Ok(Computed::new("match_known_errors", schema.clone(), Vec::new(), Vec::new(), move |_, _| {
        let found = seen.known_errors(&database)?;
        let texts = |of: fn(&KnownError) -> Option<&str>| -> ArrayRef {
            Arc::new(StringArray::from_iter(found.iter().map(of)))
        };
        let numbers =
            |of: fn(&KnownError) -> Option<i64>| -> ArrayRef { Arc::new(Int64Array::from_iter(found.iter().map(of))) };
        let columns: Vec<ArrayRef> = vec![
            numbers(|error| error.id),
            texts(|error| error.title.as_deref()),
            Arc::new(Float64Array::from_iter_values(found.iter().map(|error| error.confidence))),
            texts(|error| error.workaround.as_deref()),
            numbers(|error| error.problem_id),
            numbers(|error| Some(error.right)),
            numbers(|error| Some(error.wrong)),
        ];
        RecordBatch::try_new(schema.clone(), columns).map_err(|error| Error::from(DataFusionError::from(error)))
    }))
}
