//! Rows that are durable in the log and not yet in segments.
//!
//! A memtable is a list of immutable *runs* in storage order, oldest first, and one small *active* batch in order of
//! arrival. Small writes gather in the active batch; when it is full it is sealed into a run. Large writes become runs at once.
//! Many runs of about one size are joined into one of the next, so that a reader meets few, and each row is copied a few times.
//!
//! Invariants
//! - A later run is newer than an earlier one, and the active batch is the newest: that order decides which value wins.
//! - A DELETE seals the active batch and attaches its tombstone to the runs, so it touches no row that comes later.
//! - Runs never change. A view shares the active batch, and the next write copies it first, so a view never changes either.
//! - Joining takes runs that follow each other and puts one in their place; it is done outside of every lock.

mod run;

use std::sync::{Arc, OnceLock};

use crate::batch::Batch;
use crate::tombstone::Tombstone;
pub(crate) use run::{Bounds, Run, union_of_fields};

/// Rows at which the active batch is sealed, and a write becomes a run of its own.
const ACTIVE_ROWS_MAX: usize = 4096;

/// Runs of one level that are joined, and how many times larger each level is than the one before.
const JOINED_RUNS: usize = 8;

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
    /// Memory of all runs.
    runs_bytes: usize,
    is_joining: bool,
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
        self.runs_bytes -= self.frozen.drain(..).map(|run| run.memory_bytes).sum::<usize>();
    }

    /// Memory held, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.runs_bytes + self.active.memory_bytes()
    }

    /// Runs to be joined now, if there are enough of them. Whoever gets some has to call [`Memtable::end_join`].
    pub(crate) fn begin_join(&mut self) -> Option<Vec<Arc<Run>>> {
        if self.is_joining {
            return None;
        }
        // A run is worth the level of the largest after it, so that small ones between large ones are not left over.
        let levels = self.runs.iter().rev().scan(0, |least, run| {
            *least = level(run).max(*least);
            Some(*least)
        });
        let levels: Vec<u32> = levels.collect();
        let mut end = self.runs.len();
        for same in levels.chunk_by(|a, b| a == b) {
            let start = end - same.len();
            if same.len() >= JOINED_RUNS {
                self.is_joining = true;
                return Some(self.runs[start..end].to_vec());
            }
            end = start;
        }
        None
    }

    /// Puts the joined run in the place of those it was made of (nothing, where all rows were deleted), unless a flush has taken
    /// them or a DELETE has touched them meanwhile.
    pub(crate) fn end_join(&mut self, old: &[Arc<Run>], joined: Option<Arc<Run>>) {
        self.is_joining = false;
        let is_old = |runs: &[Arc<Run>]| runs.iter().zip(old).all(|(run, old)| Arc::ptr_eq(run, old));
        if let Some(start) = self.runs.windows(old.len()).position(is_old) {
            self.runs_bytes += joined.as_ref().map_or(0, |run| run.memory_bytes);
            let replaced = self.runs.splice(start..start + old.len(), joined);
            self.runs_bytes -= replaced.map(|run| run.memory_bytes).sum::<usize>();
        }
    }

    fn seal(&mut self) {
        let active = std::mem::take(&mut self.active);
        if let Some(run) = Run::new(&active) {
            self.push(run);
        }
    }

    fn push(&mut self, run: Arc<Run>) {
        self.runs_bytes += run.memory_bytes;
        self.runs.push(run);
    }
}

/// How often runs of the smallest size have to be joined for one of this size.
fn level(run: &Run) -> u32 {
    (run.rows.len() / ACTIVE_ROWS_MAX).checked_ilog(JOINED_RUNS).unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FieldType, SeriesId, Value};

    fn large(first: i64, rows: usize) -> Insert {
        let mut batch = Batch::default();
        for row in 0..rows as i64 {
            let field = (1, FieldType::Integer, &Value::Integer(row));
            batch.push(SeriesId(row as u32 % 10), first + row / 10, std::iter::once(field));
        }
        batch.finish();
        Insert::new(batch).unwrap()
    }

    fn rows(memtable: &Memtable) -> usize {
        memtable.view().runs().map(|run| run.rows.len()).sum()
    }

    /// Runs stay few whatever their sizes are, and small ones between large ones are not left over.
    #[test]
    fn many_runs_become_few() {
        let mut memtable = Memtable::default();
        let mut written = 0;
        for nth in 0..200 {
            let size = ACTIVE_ROWS_MAX * if nth % 7 == 6 { 9 } else { 1 };
            memtable.insert(large(nth * 1_000_000, size));
            written += size;
            while let Some(runs) = memtable.begin_join() {
                assert!(memtable.begin_join().is_none(), "one at a time");
                let joined = Run::join(&runs);
                memtable.end_join(&runs, joined);
            }
            assert!(memtable.runs.len() <= 3 * (JOINED_RUNS - 1), "{} runs", memtable.runs.len());
            assert_eq!(memtable.runs_bytes, memtable.runs.iter().map(|run| run.memory_bytes).sum::<usize>());
        }
        assert_eq!(rows(&memtable), written);
    }

    /// What a flush has taken meanwhile is not there twice.
    #[test]
    fn a_join_that_comes_too_late_changes_nothing() {
        let mut memtable = Memtable::default();
        (0..JOINED_RUNS as i64).for_each(|nth| memtable.insert(large(nth * 1_000_000, ACTIVE_ROWS_MAX)));
        let runs = memtable.begin_join().unwrap();
        memtable.freeze();
        memtable.end_join(&runs, Run::join(&runs));
        assert_eq!(rows(&memtable), JOINED_RUNS * ACTIVE_ROWS_MAX);
        memtable.thaw();
        assert_eq!((rows(&memtable), memtable.memory_bytes()), (0, 0));
    }
}
