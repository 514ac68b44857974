//! Rows that are durable in the log and not yet in segments.
//!
//! A memtable is a list of immutable *runs* in storage order, oldest first, and one small *active* batch in order of
//! arrival. Small writes gather in the active batch; when it is full it is sealed into a run. Large writes become runs at once.
//!
//! Invariants
//! - A later run is newer than an earlier one, and the active batch is the newest: that order decides which value wins.
//! - A DELETE seals the active batch and attaches its tombstone to the runs, so it touches no row that comes later.
//! - Runs never change. A view shares the active batch, and the next write copies it first, so a view never changes either.

mod run;

use std::sync::{Arc, OnceLock};

use crate::batch::Batch;
use crate::tombstone::Tombstone;
pub(crate) use run::{Bounds, Run, union_of_fields};

/// Rows at which the active batch is sealed, and a write becomes a run of its own.
const ACTIVE_ROWS_MAX: usize = 4096;

/// Neighbouring runs are joined while the result is at most this large: bounds their number after many small writes.
const JOINED_ROWS_MAX: usize = 32 * 1024;

/// What a write adds to a memtable, prepared before any lock is taken.
#[derive(Debug)]
pub(crate) enum Insert {
    /// Few rows: they join the active batch.
    Small(Batch),
    /// Many rows, ordered already.
    Large(Arc<Run>),
}

impl Insert {
    /// Prepares the rows of a write; `None` without rows.
    pub(crate) fn new(batch: Batch) -> Option<Insert> {
        match batch.len() {
            0 => None,
            rows if rows < ACTIVE_ROWS_MAX => Some(Insert::Small(batch)),
            _ => Run::new(&batch).map(Insert::Large),
        }
    }
}

/// The unflushed rows of one table.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    /// Runs that a flush under way is writing out; older than `runs`.
    frozen: Vec<Arc<Run>>,
    runs: Vec<Arc<Run>>,
    active: Arc<Batch>,
}

impl Memtable {
    /// Takes the rows of a write.
    pub(crate) fn insert(&mut self, insert: Insert) {
        match insert {
            Insert::Small(batch) => {
                Arc::make_mut(&mut self.active).append(&batch);
                if self.active.len() >= ACTIVE_ROWS_MAX {
                    self.seal();
                }
            }
            Insert::Large(run) => {
                self.seal();
                self.push(run);
            }
        }
    }

    /// Takes a DELETE of everything older.
    pub(crate) fn delete(&mut self, tombstone: &Arc<Tombstone>) {
        self.seal();
        for run in self.frozen.iter_mut().chain(&mut self.runs) {
            *run = run.without(tombstone);
        }
    }

    /// What can be read now; later inserts do not change it.
    pub(crate) fn view(&self) -> MemtableView {
        let runs = self.frozen.iter().chain(&self.runs).cloned().collect();
        MemtableView { runs, active: self.active.clone(), sealed: OnceLock::new() }
    }

    /// Sets everything aside for a flush. Until [`Memtable::thaw`] it stays readable.
    pub(crate) fn freeze(&mut self) {
        self.seal();
        self.frozen.append(&mut self.runs);
    }

    /// The rows that a flush has to write, oldest first.
    pub(crate) fn frozen(&self) -> &[Arc<Run>] {
        &self.frozen
    }

    /// Forgets what was set aside: it can be read from segments now.
    pub(crate) fn thaw(&mut self) {
        self.frozen.clear();
    }

    /// Memory held, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        let runs = self.frozen.iter().chain(&self.runs).map(|r| r.memory_bytes).sum::<usize>();
        runs + self.active.memory_bytes()
    }

    fn seal(&mut self) {
        let active = std::mem::take(&mut self.active);
        if let Some(run) = Run::new(&active) {
            self.push(run);
        }
    }

    fn push(&mut self, run: Arc<Run>) {
        self.runs.push(run);
        while let [.., a, b] = self.runs.as_slice() {
            if a.rows.len() > 2 * b.rows.len() || a.rows.len() + b.rows.len() > JOINED_ROWS_MAX {
                break;
            }
            let joined = Run::join(a, b);
            self.runs.truncate(self.runs.len() - 2);
            self.runs.extend(joined);
        }
    }
}

/// The rows of a memtable at one moment.
#[derive(Debug)]
pub(crate) struct MemtableView {
    runs: Vec<Arc<Run>>,
    active: Arc<Batch>,
    /// The active batch in storage order, made by the first reader that needs it.
    sealed: OnceLock<Option<Arc<Run>>>,
}

impl MemtableView {
    /// All rows as runs, oldest first.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.runs.iter().chain(self.sealed.get_or_init(|| Run::new(&self.active)))
    }
}
