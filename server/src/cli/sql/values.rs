//! Values as text by PostgreSQL's rules: the very bytes that a client would be sent, read back from the message.

use bytes::{Buf, BytesMut};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;

use super::print::Cell;
use crate::pgwire::{Format, RowEncoder, Zone};

/// Bytes of a `DataRow` message before its first field: tag, size, number of fields.
const ROW_HEADER_BYTES: usize = 7;

/// What the values of a column are, as far as printing cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Boolean,
}

/// What values of a type are.
pub(super) fn kind(data_type: &DataType) -> Kind {
    match data_type {
        DataType::Boolean => Kind::Boolean,
        data_type if data_type.is_numeric() => Kind::Number,
        _ => Kind::Text,
    }
}

/// The rows of a batch.
pub(in crate::cli) struct Values<'a> {
    encoder: RowEncoder<'a>,
    rows: usize,
}

impl<'a> Values<'a> {
    /// # Errors
    /// A sentence, when a column is of a type that has no text form.
    pub(in crate::cli) fn new(batch: &RecordBatch, zone: &'a Zone) -> Result<Values<'a>, String> {
        let formats = vec![Format::Text; batch.num_columns()];
        Ok(Values { encoder: RowEncoder::new(batch, &formats, zone)?, rows: batch.num_rows() })
    }

    pub(in crate::cli) fn rows(&self) -> impl Iterator<Item = Vec<Cell>> {
        let mut message = BytesMut::new();
        (0..self.rows).map(move |row| {
            message.clear();
            self.encoder.put_row(row, &mut message);
            cells(&message[ROW_HEADER_BYTES..])
        })
    }
}

/// Fields of a message: a length, -1 for NULL, and as many bytes.
fn cells(mut fields: &[u8]) -> Vec<Cell> {
    let mut cells = Vec::new();
    while fields.has_remaining() {
        let length = usize::try_from(fields.get_i32()).ok();
        cells.push(length.map(|length| {
            let (field, rest) = fields.split_at(length);
            fields = rest;
            String::from_utf8_lossy(field).into_owned()
        }));
    }
    cells
}
