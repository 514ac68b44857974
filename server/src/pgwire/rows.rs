//! The rows of a running statement, and their way to the client: a batch is asked for when the one before it is sent.

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt as _;
use plimsoll_query::CopyOptions;

use super::Output;
use super::catalog::{Answer, Datum};
use super::columns::{Format, RowEncoder, put_null, put_sized, put_value};
use super::copy::out;
use super::sqlstate::{SqlError, code};
use super::statement::Column;
use super::types::column_oid;
use super::wire::{SEND_BYTES, Writer};
use super::zone::Zone;

/// Rows that are still to be sent.
pub(crate) enum Rows {
    /// From the query layer.
    Stream {
        stream: SendableRecordBatchStream,
        /// The batch that is being sent, and its next row.
        batch: Option<(RecordBatch, usize)>,
    },
    /// From the connection or the catalogue: few, and at hand.
    Answer { answer: Answer, next: usize },
}

/// How rows are sent.
pub(crate) struct Sending<'a> {
    pub(crate) columns: &'a [Column],
    pub(crate) formats: &'a [Format],
    pub(crate) zone: &'a Zone,
    /// Most rows to send now.
    pub(crate) rows_max: u64,
    /// Rows are sent as they come, not when there are enough of them.
    pub(crate) is_eager: bool,
    /// Rows are sent as those of a COPY.
    pub(crate) copy: Option<&'a CopyOptions>,
}

/// How far the sending went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) rows: u64,
    /// There is nothing left.
    pub(crate) finished: bool,
}

/// Why the sending stopped.
pub(crate) enum SendError {
    /// The statement failed.
    Sql(SqlError),
    /// The client is gone.
    Closed,
}

impl From<SqlError> for SendError {
    fn from(error: SqlError) -> SendError {
        SendError::Sql(error)
    }
}

impl Rows {
    /// Rows of a query.
    pub(crate) fn stream(stream: SendableRecordBatchStream) -> Rows {
        Rows::Stream { stream, batch: None }
    }

    /// Rows at hand.
    pub(crate) fn answer(answer: Answer) -> Rows {
        Rows::Answer { answer, next: 0 }
    }

    /// Sends rows until there are no more or `rows_max` are sent. Dropping it half way leaves whole messages to be sent.
    pub(crate) async fn send(&mut self, how: &Sending<'_>, writer: &mut Writer<Output>) -> Result<Sent, SendError> {
        let mut rows = 0;
        let mut scratch = BytesMut::new();
        while rows < how.rows_max {
            let put = match self {
                Rows::Stream { stream, batch } => {
                    if batch.is_none() {
                        if how.is_eager {
                            writer.flush().await.map_err(|_| SendError::Closed)?;
                        }
                        *batch = next_batch(stream, how.columns).await?;
                    }
                    let out = if how.copy.is_some() { &mut scratch } else { &mut writer.out };
                    put_batch(batch, how, how.rows_max - rows, out)?
                }
                Rows::Answer { answer, next } => {
                    let out = if how.copy.is_some() { &mut scratch } else { &mut writer.out };
                    put_answer(answer, next, how, how.rows_max - rows, out)?
                }
            };
            if let Some(options) = how.copy {
                out::put_rows(&scratch, options, rows, &mut writer.out);
                scratch.clear();
            }
            if put == 0 {
                return Ok(Sent { rows, finished: true });
            }
            rows += put;
            writer.flush_if_full().await.map_err(|_| SendError::Closed)?;
        }
        Ok(Sent { rows, finished: false })
    }

    /// Passes over rows until there are no more or `rows_max` are passed.
    pub(crate) async fn pass(&mut self, columns: &[Column], rows_max: u64) -> Result<Sent, SendError> {
        let mut rows = 0;
        while rows < rows_max {
            let (there, next) = match self {
                Rows::Stream { stream, batch } => {
                    if batch.is_none() {
                        *batch = next_batch(stream, columns).await?;
                    }
                    let Some((there, next)) = batch else { return Ok(Sent { rows, finished: true }) };
                    (there.num_rows(), next)
                }
                Rows::Answer { answer, next } if *next < answer.rows.len() => (answer.rows.len(), next),
                Rows::Answer { .. } => return Ok(Sent { rows, finished: true }),
            };
            let passed = ((there - *next) as u64).min(rows_max - rows);
            *next += passed as usize;
            rows += passed;
            if let Rows::Stream { batch, .. } = self
                && batch.as_ref().is_some_and(|(there, next)| *next == there.num_rows())
            {
                *batch = None;
            }
        }
        Ok(Sent { rows, finished: false })
    }
}

/// The next batch that has rows.
async fn next_batch(
    stream: &mut SendableRecordBatchStream,
    columns: &[Column],
) -> Result<Option<(RecordBatch, usize)>, SqlError> {
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| SqlError::from(plimsoll_query::Error::from(error)))?;
        if batch.num_rows() > 0 {
            check_columns(&batch, columns)?;
            return Ok(Some((batch, 0)));
        }
    }
    Ok(None)
}

/// The client reads rows by what it was told before the first one.
fn check_columns(batch: &RecordBatch, columns: &[Column]) -> Result<(), SqlError> {
    let schema = batch.schema_ref();
    let found = schema.fields().iter().map(|field| column_oid(field.data_type()));
    if found.eq(columns.iter().map(|column| column.type_oid)) {
        return Ok(());
    }
    Err(SqlError::new(code::INTERNAL, "the rows have other columns than the statement was planned with"))
}

/// Appends rows of the batch until it ends, `rows_max` are there, or there is enough for a write. Says how many.
fn put_batch(
    batch: &mut Option<(RecordBatch, usize)>,
    how: &Sending<'_>,
    rows_max: u64,
    out: &mut BytesMut,
) -> Result<u64, SqlError> {
    let Some((rows, next)) = batch else { return Ok(0) };
    let encoder = RowEncoder::new(rows, how.formats, how.zone).map_err(|error| SqlError::new(code::INTERNAL, error))?;
    let rows_max = usize::try_from(rows_max).unwrap_or(usize::MAX);
    let put = encoder.put_rows(*next, rows_max, SEND_BYTES, out);
    *next += put;
    if *next == rows.num_rows() {
        *batch = None;
    }
    Ok(put as u64)
}

/// As [`put_batch`], for rows at hand.
fn put_answer(
    answer: &Answer,
    next: &mut usize,
    how: &Sending<'_>,
    rows_max: u64,
    out: &mut BytesMut,
) -> Result<u64, SqlError> {
    let first = *next;
    while *next < answer.rows.len() && ((*next - first) as u64) < rows_max && out.len() < SEND_BYTES {
        put_row(&answer.rows[*next], how, out)?;
        *next += 1;
    }
    Ok((*next - first) as u64)
}

fn put_row(row: &[Datum], how: &Sending<'_>, out: &mut BytesMut) -> Result<(), SqlError> {
    let before = out.len();
    let mut outcome = Ok(());
    out.put_u8(b'D');
    put_sized(out, |out| {
        out.put_u16(row.len() as u16);
        for (at, datum) in row.iter().enumerate() {
            outcome = outcome.clone().and(put_datum(datum, at, how, out));
        }
    });
    if outcome.is_err() {
        out.truncate(before);
    }
    outcome
}

fn put_datum(datum: &Datum, at: usize, how: &Sending<'_>, out: &mut BytesMut) -> Result<(), SqlError> {
    if matches!(datum, Datum::Null) {
        put_null(out);
        return Ok(());
    }
    let type_oid = how.columns.get(at).map_or(0, |column| column.type_oid);
    let value = match how.formats.get(at) {
        Some(Format::Binary) => datum.binary(type_oid),
        _ => datum.text(type_oid).map(String::into_bytes),
    };
    let unsupported = || SqlError::unsupported(format!("no binary output function available for type {type_oid}"));
    let value = value.ok_or_else(unsupported)?;
    put_value(out, |out| out.put_slice(&value));
    Ok(())
}
