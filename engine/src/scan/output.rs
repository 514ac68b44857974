//! From rows in storage order to the record batches that a scan hands out.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{
    Array, ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray, TimestampNanosecondArray, UInt32Array,
};
use arrow_schema::{Schema as ArrowSchema, SchemaRef};
use arrow_select::take::take;

use super::predicate::{FieldPredicate, FieldTest};
use crate::index::{TagIndex, TagPosition};
use crate::model::{ColumnKind, FieldRef};
use crate::rows::Rows;
use crate::table::TableView;
use crate::{Result, SchemaError};

/// Where each wanted column comes from.
#[derive(Debug)]
pub(super) struct Output {
    columns: Vec<From>,
    schema: SchemaRef,
    /// The fields that have to be read, each once.
    pub(super) fields: Vec<FieldRef>,
}

#[derive(Debug)]
enum From {
    Time,
    Tag(TagPosition),
    /// Number of the column in `Output::fields`.
    Field(usize),
}

impl Output {
    pub(super) fn new(view: &TableView, wanted: &[String]) -> Result<Output> {
        let schema = &view.schema;
        let arrow = schema.arrow();
        let mut output = Output { columns: Vec::new(), schema: arrow.clone(), fields: Vec::new() };
        let mut arrow_fields = Vec::new();
        for name in wanted {
            let missing = || SchemaError::NoColumn { table: schema.name.clone(), column: name.clone() };
            let (_, arrow_field) = arrow.column_with_name(name).ok_or_else(missing)?;
            arrow_fields.push(arrow_field.clone());
            let column = match view.shape.column(name, None).ok_or_else(missing)? {
                (_, ColumnKind::Time) => From::Time,
                (position, ColumnKind::Tag) => From::Tag(position),
                (position, ColumnKind::Field(kind)) => From::Field(output.field((position, kind))),
            };
            output.columns.push(column);
        }
        output.schema = Arc::new(ArrowSchema::new(arrow_fields));
        Ok(output)
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The tests of predicates, each with the number of its field, which is read from now on.
    pub(super) fn predicates(
        &mut self,
        view: &TableView,
        predicates: &[FieldPredicate],
    ) -> Result<Vec<(usize, FieldTest)>> {
        predicates.iter().map(|p| Ok((self.field(field_of(view, p)?), p.test.clone()))).collect()
    }

    /// Builds the batch; `rows` has the columns of `fields`, and `pick` says which of them to take, `None` for all.
    pub(super) fn batch(&self, rows: &Rows, index: &TagIndex, pick: Option<&UInt32Array>) -> RecordBatch {
        let picked = |array: ArrayRef| match pick {
            Some(pick) => take(&array, pick, None).expect("picked rows exist"),
            None => array,
        };
        let has_tags = self.columns.iter().any(|c| matches!(c, From::Tag(_)));
        let series_of_rows = has_tags.then(|| picked(Arc::new(nth_series_of_rows(rows))));
        let arrays = self.columns.iter().map(|column| -> ArrayRef {
            match column {
                From::Time => {
                    let times = TimestampNanosecondArray::from_iter_values(rows.times.iter().copied());
                    picked(Arc::new(times.with_timezone("UTC")))
                }
                From::Tag(tag) => {
                    let of_rows = series_of_rows.as_ref().expect("made when a tag is wanted");
                    let values: StringViewArray = rows.series.iter().map(|(id, _)| index.tag_of(*id, *tag)).collect();
                    take(&values, of_rows.as_primitive::<UInt32Type>(), None).expect("every row has a series")
                }
                From::Field(nth) => picked(rows.columns[*nth].clone()),
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(pick.map_or(rows.len(), Array::len)));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays.collect(), &options)
            .expect("arrays are built to the schema")
    }

    fn field(&mut self, field: FieldRef) -> usize {
        self.fields.iter().position(|f| *f == field).unwrap_or_else(|| {
            self.fields.push(field);
            self.fields.len() - 1
        })
    }
}

/// The field that a predicate is about, whose values it can be compared with.
fn field_of(view: &TableView, predicate: &FieldPredicate) -> Result<FieldRef> {
    let (table, column) = (view.schema.name.clone(), predicate.field.clone());
    let visible = view.schema.position(&column).and_then(|_| view.shape.column(&column, None));
    let Some((position, kind)) = visible else { return Err(SchemaError::NoColumn { table, column }.into()) };
    let ColumnKind::Field(kind) = kind else {
        return Err(SchemaError::ColumnKind { table, column, exists: kind.name(), wanted: "field" }.into());
    };
    Ok((position, kind))
}

/// For each row the number of its series in `rows.series`.
fn nth_series_of_rows(rows: &Rows) -> UInt32Array {
    let mut numbers = Vec::with_capacity(rows.len());
    for (nth, (_, end)) in rows.series.iter().enumerate() {
        numbers.resize(*end, nth as u32);
    }
    numbers.into()
}
