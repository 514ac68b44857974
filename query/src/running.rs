//! The statements that are running, for whoever wants to see them.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::Stream;

use crate::Statement;

/// The statements of a database that are running now.
#[derive(Debug, Default)]
pub(crate) struct Running {
    next: AtomicU64,
    statements: Mutex<BTreeMap<u64, RunningStatement>>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct RunningStatement {
    pub(crate) statement: Statement,
    /// Whose it is.
    pub(crate) session: Arc<str>,
    pub(crate) started_ns: i64,
}

impl Running {
    /// Notes a statement, until what this gives is dropped.
    pub(crate) fn enter(self: &Arc<Running>, statement: &Statement, session: &Arc<str>, started_ns: i64) -> Entry {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (statement, session) = (statement.clone(), session.clone());
        self.lock().insert(id, RunningStatement { statement, session, started_ns });
        Entry { running: self.clone(), id }
    }

    /// All of them with their numbers, oldest first.
    pub(crate) fn list(&self) -> Vec<(u64, RunningStatement)> {
        self.lock().iter().map(|(id, statement)| (*id, statement.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, RunningStatement>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The note of one statement.
#[derive(Debug)]
pub(crate) struct Entry {
    running: Arc<Running>,
    id: u64,
}

impl Entry {
    /// Keeps the note until the rows have been read or are no longer wanted.
    pub(crate) fn until_the_end_of(self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        Box::pin(Noted { rows, _entry: self })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.running.lock().remove(&self.id);
    }
}

struct Noted {
    rows: SendableRecordBatchStream,
    _entry: Entry,
}

impl Stream for Noted {
    type Item = datafusion::common::Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.rows.as_mut().poll_next(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl RecordBatchStream for Noted {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
