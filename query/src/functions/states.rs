//! States of aggregates that keep every value: lists.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;

fn item(data_type: DataType) -> Field {
    Field::new_list_field(data_type, true)
}

/// The field of a list.
pub(super) fn list_field(name: String, data_type: DataType) -> FieldRef {
    Arc::new(Field::new_list(name, item(data_type), false))
}

/// Values as one list.
pub(super) fn list(values: ArrayRef) -> ScalarValue {
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    ScalarValue::List(Arc::new(ListArray::new(Arc::new(item(values.data_type().clone())), offsets, values, None)))
}
