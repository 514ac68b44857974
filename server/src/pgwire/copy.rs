//! `COPY ... FROM STDIN`: the rows of a stream of `CopyData` messages into a table. The other direction is in `out`.
//!
//! ```text
//!  CopyData ─► split: text, csv or binary ─► columns ─► batch ─► the table
//! ```
//!
//! Rows are stored batch by batch while more arrive: memory is bounded, and a copy of any size goes through. A copy that
//! fails half way has stored the batches before; its error says how many rows that is.

mod binary;
mod columns;
mod lines;
pub(crate) mod out;

use bytes::Bytes;
use plimsoll_query::{CopyFormat, CopyIn};
use tokio::task::JoinHandle;

use super::sqlstate::{SqlError, code};
use super::zone::Zone;
use binary::BinaryRows;
use columns::Columns;
use lines::LineRows;

/// Rows that are stored at a time.
const BATCH_ROWS: usize = 16_384;

/// Longest row, in bytes.
const ROW_BYTES_MAX: usize = 64 << 20;

/// A copy under way.
pub(crate) struct Copying {
    target: CopyIn,
    rows: Rows,
    columns: Columns,
    /// When it began.
    now_ns: i64,
    /// The batch being stored while the next one fills.
    storing: Option<JoinHandle<Result<u64, plimsoll_query::Error>>>,
    stored: u64,
}

enum Rows {
    Lines(LineRows),
    Binary(BinaryRows),
}

/// One row as it came: each value as bytes, `None` for NULL.
#[derive(Debug, Default)]
struct Record {
    bytes: Vec<u8>,
    values: Vec<Option<std::ops::Range<usize>>>,
}

impl Record {
    fn clear(&mut self) {
        self.bytes.clear();
        self.values.clear();
    }

    fn value(&self, nth: usize) -> Option<&[u8]> {
        self.values[nth].clone().map(|range| &self.bytes[range])
    }
}

impl Copying {
    pub(crate) fn new(target: &CopyIn, zone: &Zone, now_ns: i64) -> Copying {
        let rows = match target.options.format {
            CopyFormat::Binary => Rows::Binary(BinaryRows::default()),
            _ => Rows::Lines(LineRows::new(&target.options)),
        };
        let columns = Columns::new(target.schema(), zone);
        Copying { target: target.clone(), rows, columns, now_ns, storing: None, stored: 0 }
    }

    /// Takes more bytes of the stream.
    ///
    /// # Errors
    /// Those of malformed rows, with their line, and of the table.
    pub(crate) async fn feed(&mut self, bytes: &Bytes) -> Result<(), SqlError> {
        match &mut self.rows {
            Rows::Lines(lines) => lines.feed(bytes),
            Rows::Binary(rows) => rows.feed(bytes),
        }
        self.take_rows(false).await
    }

    /// Takes the end of the stream. Gives the number of rows stored.
    ///
    /// # Errors
    /// As [`Copying::feed`].
    pub(crate) async fn finish(mut self) -> Result<u64, SqlError> {
        self.take_rows(true).await?;
        self.store().await?;
        self.wait().await?;
        Ok(self.stored)
    }

    /// Stores what was begun, and says in an error how far that is.
    pub(crate) async fn explain(mut self, error: SqlError) -> SqlError {
        // A batch that fails as well is not counted; the first error is the one that is told.
        let _first_error_counts = self.wait().await;
        match self.stored {
            0 => error,
            rows => error.with_hint(format!("The first {rows} rows are stored. Storing a row again changes nothing.")),
        }
    }

    async fn take_rows(&mut self, at_end: bool) -> Result<(), SqlError> {
        let mut record = Record::default();
        loop {
            let found = match &mut self.rows {
                Rows::Lines(lines) => lines.next(at_end, &mut record),
                Rows::Binary(rows) => rows.next(at_end, &mut record),
            };
            if !found.map_err(|error| self.at_line(error))? {
                return Ok(());
            }
            self.take(&record)?;
            if self.columns.rows() >= BATCH_ROWS {
                self.store().await?;
            }
        }
    }

    fn take(&mut self, record: &Record) -> Result<(), SqlError> {
        let (found, wanted) = (record.values.len(), self.columns.len());
        if found != wanted {
            return Err(self.at_line(wrong_width(found, wanted, &self.target)));
        }
        let is_binary = matches!(self.rows, Rows::Binary(_));
        self.columns.push(record, is_binary).map_err(|refused| {
            let (nth, error) = *refused;
            let line = self.line();
            let (table, column) = (self.target.table_name(), self.target.schema().field(nth).name());
            let place = format!("COPY {table}, line {line}, column {column}");
            let shown = record.value(nth).filter(|_| !is_binary).map(String::from_utf8_lossy);
            let shown = shown.map(|text| format!(": \"{}\"", text.chars().take(100).collect::<String>()));
            error.with_context(format!("{place}{}", shown.unwrap_or_default()))
        })
    }

    /// Hands the rows gathered to the table, once it has taken those before.
    async fn store(&mut self) -> Result<(), SqlError> {
        self.wait().await?;
        if self.columns.rows() > 0 {
            let batch = self.columns.finish().map_err(|error| SqlError::new(code::INTERNAL, error.to_string()))?;
            let (target, now_ns) = (self.target.clone(), self.now_ns);
            self.storing = Some(tokio::task::spawn_blocking(move || target.write(&batch, now_ns)));
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), SqlError> {
        if let Some(storing) = self.storing.take() {
            let stored = storing.await.map_err(|error| SqlError::new(code::INTERNAL, error.to_string()))?;
            self.stored += stored?;
        }
        Ok(())
    }

    fn line(&self) -> u64 {
        match &self.rows {
            Rows::Lines(lines) => lines.line(),
            Rows::Binary(rows) => rows.row(),
        }
    }

    fn at_line(&self, error: SqlError) -> SqlError {
        error.with_context(format!("COPY {}, line {}", self.target.table_name(), self.line()))
    }
}

fn wrong_width(found: usize, wanted: usize, target: &CopyIn) -> SqlError {
    if found > wanted {
        return malformed("extra data after last expected column");
    }
    let name = target.schema().field(found.min(wanted - 1)).name();
    malformed(format!("missing data for column \"{name}\""))
}

/// Bytes that are not of the form that was announced.
fn malformed(message: impl Into<String>) -> SqlError {
    SqlError::new(code::BAD_COPY_FORMAT, message)
}

fn too_long() -> SqlError {
    SqlError::new(code::LIMIT_EXCEEDED, format!("row is longer than the limit of {ROW_BYTES_MAX} bytes"))
}
