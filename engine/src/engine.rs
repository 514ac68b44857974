//! The engine: open and recover, write, snapshot, maintain, close. Wiring only; the work is in the modules it calls.
//!
//! Locks, in the order in which they may be taken
//! - `definitions`: read while a write is under way, written by CREATE and DROP. So a table never changes under a write.
//! - `flushing`: held by the one flush.
//! - the group's queue, then `log`: held by the leader of a group commit while it appends and syncs.
//! - `state`: tables and counters; held for moments, never over input or output.
//! - a table's schema and index (see `TableCore`).

mod options;
mod recover;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::env::FileLock;
use crate::error::{SchemaError, WriteError};
use crate::files;
use crate::maintain::{FlushedTable, TableToFlush, flush_table};
use crate::manifest::{self, FileNumber, Manifest};
use crate::memtable::{Insert, Run};
use crate::model::{Column, ColumnKind, TableId, TableSchema};
use crate::scan::Snapshot;
use crate::table::{ColumnSet, LiveSegment, Table, TableCore};
use crate::wal::group::{Entry, Group, Waiter};
use crate::wal::{Log, Lsn, record};
use crate::{Error, Result};

pub use options::{Durability, Maintained, Options, Recovery, Rejected, Stats, TableStats, Written};
pub(crate) use recover::lock;
pub use write::{Row, SeriesRef, Write};

/// A database in one directory. Shared by reference between threads; every method may be called from any of them.
#[derive(Debug)]
pub struct Engine {
    dir: PathBuf,
    options: Options,
    recovery: Recovery,
    definitions: RwLock<()>,
    flushing: Mutex<()>,
    group: Group<Change>,
    log: Mutex<Log>,
    state: RwLock<State>,
    next_file: AtomicU64,
    has_unsynced: AtomicBool,
    /// When upkeep last ran.
    now_ns: AtomicI64,
    /// Why writes are refused until the directory is opened again.
    poison: OnceLock<String>,
    _lock: Box<dyn FileLock>,
}

/// What the engine's lock guards.
#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<String, Table>,
    next_table: u32,
    /// Every record up to this one is in the memtables or in segments.
    applied_lsn: Lsn,
    /// Every record up to this one is in segments.
    flushed_lsn: Lsn,
    /// Up to where the frozen rows of the memtables go, while a flush is under way or has failed.
    frozen_lsn: Option<Lsn>,
    memtable_bytes: u64,
}

/// What a log record does to the state once it is durable.
#[derive(Debug)]
enum Change {
    Insert(Vec<TableChange>),
    Create(Box<TableCore>),
    Drop(String),
}

/// Rows for one table, and the columns that they name.
#[derive(Debug)]
struct TableChange {
    core: Arc<TableCore>,
    insert: Insert,
    columns: ColumnSet,
}

impl Engine {
    /// Opens a data directory, creating it if need be, and recovers what was acknowledged.
    ///
    /// A segment that cannot be read does not keep the rest from opening: reads that need it report it.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Version`], [`Error::Corrupt`] for a damaged manifest, series file or log, [`Error::Io`].
    pub fn open(dir: &Path, options: Options) -> Result<Engine> {
        recover::open(dir, options)
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What was found when the directory was opened.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Creates a table with the given columns besides `time`.
    ///
    /// # Errors
    /// [`SchemaError::TableExists`], [`SchemaError::Name`], [`SchemaError::Duplicate`], and those of [`Engine::write`].
    pub fn create_table(&self, name: &str, columns: &[Column]) -> Result<()> {
        self.check_writable()?;
        let _alone = self.definitions.write().expect("definitions are guarded without panics");
        if self.table(name).is_some() {
            return Err(SchemaError::TableExists(name.to_owned()).into());
        }
        let core = TableCore::new(TableId(u32::MAX), name)?;
        for (nth, column) in columns.iter().enumerate() {
            let same = |other: &Column| other.name == column.name;
            if columns[..nth].iter().any(same) || column.name == TableSchema::TIME {
                return Err(SchemaError::Duplicate(column.name.clone()).into());
            }
        }
        core.grow(&kinds(columns))?;
        let core = TableCore::new(self.new_table_id(), name)?;
        core.grow(&kinds(columns))?;
        self.commit(record::create_table(name, columns), Change::Create(Box::new(core)))
    }

    /// Removes a table and all its data.
    ///
    /// # Errors
    /// [`SchemaError::NoTable`], and those of [`Engine::write`].
    pub fn drop_table(&self, name: &str) -> Result<()> {
        self.check_writable()?;
        let _no_flush = self.flushing.lock().expect("a flush does not panic");
        {
            let _alone = self.definitions.write().expect("definitions are guarded without panics");
            if self.table(name).is_none() {
                return Err(SchemaError::NoTable(name.to_owned()).into());
            }
            self.commit(record::drop_table(name), Change::Drop(name.to_owned()))?;
        }
        // The drop is in the log. Space comes back now, or with the next flush if this fails.
        let flushed_lsn = self.state().flushed_lsn;
        let published = self.publish(&self.manifest(flushed_lsn));
        let _later = published.and_then(|()| self.remove_orphans());
        Ok(())
    }

    /// The tables, by name.
    pub fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.state().tables.values().filter_map(|t| t.schema().cloned()).collect()
    }

    /// One table.
    pub fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        self.state().tables.get(name).and_then(|t| t.schema().cloned())
    }

    /// The state of the database now: everything acknowledged before this call, nothing half done.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.state().tables.values().filter_map(Table::view))
    }

    /// Does one bounded step of upkeep (sync of the log, flush) and says whether more waits.
    ///
    /// # Errors
    /// As [`Engine::write`]; a flush that failed for want of space is tried again by the next call.
    pub fn maintain(&self, _now_ns: i64) -> Result<Maintained> {
        if self.has_unsynced.swap(false, Ordering::AcqRel) {
            let synced = self.log().sync();
            synced.map_err(|e| self.write_error(e))?;
        }
        let (bytes, is_frozen) = {
            let state = self.state();
            (state.memtable_bytes, state.frozen_lsn.is_some())
        };
        let log_is_long = self.log().bytes() > LOG_FILES_MAX * self.options.wal_file_bytes;
        if self.poison.get().is_none() && (bytes >= self.options.memtable_flush_bytes || is_frozen || log_is_long) {
            self.flush()?;
        }
        let is_flushable = self.poison.get().is_none();
        Ok(Maintained { more: is_flushable && self.state().memtable_bytes >= self.options.memtable_flush_bytes })
    }

    /// Flushes everything written so far to segments, so that the next open replays nothing.
    ///
    /// # Errors
    /// As [`Engine::write`]. What was to be flushed stays readable, and is flushed by the next call.
    pub fn flush(&self) -> Result<()> {
        self.check_not_poisoned()?;
        let _one_at_a_time = self.flushing.lock().expect("a flush does not panic");
        let (lsn, tables) = self.freeze();
        let first_file = self.next_file.load(Ordering::Relaxed);
        let mut write = |table| flush_table(&*self.options.fs, &self.dir, &table, &mut || self.new_file());
        let written: Result<Vec<FlushedTable>> = tables.into_iter().map(&mut write).collect();
        let flushed = written.inspect_err(|_| {
            // What was written of other tables takes up space that may be short.
            let _later = recover::remove_files(&*self.options.fs, &self.dir, |number| number >= first_file);
        })?;
        if flushed.is_empty() && lsn == self.state().flushed_lsn {
            self.state_mut().frozen_lsn = None;
            return Ok(());
        }
        for dir in [files::SEGMENTS_DIR, files::SERIES_DIR] {
            let dir = self.dir.join(dir);
            self.options.fs.sync_dir(&dir).map_err(|e| self.poisoned(&Error::io("sync", &dir, e)))?;
        }
        self.publish(&self.manifest_with(lsn, &flushed))?;
        self.take_over(lsn, flushed);
        self.log().forget(lsn)?;
        self.remove_orphans()
    }

    /// Figures for an operator.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats { wal_bytes: self.log().bytes(), ..Stats::default() };
        let state = self.state();
        stats.memtable_bytes = state.memtable_bytes;
        stats.is_read_only = self.poison.get().is_some();
        for table in state.tables.values().filter(|t| t.schema().is_some()) {
            stats.tables += 1;
            stats.series += u64::from(table.core.index().len());
            stats.segments += table.segments.len() as u64;
            stats.segment_bytes += table.segments.iter().map(|s| s.entry.bytes).sum::<u64>();
            stats.segment_rows += table.segments.iter().map(|s| s.entry.rows).sum::<u64>();
            stats.damaged_segments += table.segments.iter().filter(|s| s.file.is_err()).count() as u64;
        }
        stats
    }

    /// Figures of each table, by name.
    pub fn table_stats(&self) -> Vec<TableStats> {
        self.state().tables.values().filter_map(Table::stats).collect()
    }

    fn check_writable(&self) -> Result<()> {
        self.check_not_poisoned()?;
        let (held_bytes, limit_bytes) = (self.state().memtable_bytes, self.options.memtable_limit_bytes);
        if held_bytes >= limit_bytes {
            return Err(Error::Busy { what: "unflushed data", held_bytes, limit_bytes });
        }
        Ok(())
    }

    fn check_not_poisoned(&self) -> Result<()> {
        self.poison.get().map_or(Ok(()), |cause| Err(Error::Poisoned { cause: cause.clone() }))
    }

    /// Logs a change and applies it, together with those of other writers.
    fn commit(&self, payload: Vec<u8>, change: Change) -> Result<()> {
        self.group.commit(payload, change, |entries| self.lead(entries))
    }

    /// Makes the records of a group durable and applies their changes, or tells all of them why not.
    fn lead(&self, entries: Vec<Entry<Change>>) {
        let logged = self.check_not_poisoned().and_then(|()| self.log_group(&entries));
        let (changes, waiters): (Vec<Change>, Vec<Waiter>) = entries.into_iter().map(Entry::split).unzip();
        if let Ok(last_lsn) = logged {
            let mut state = self.state_mut();
            let first_lsn = last_lsn + 1 - changes.len() as Lsn;
            for (lsn, change) in (first_lsn..).zip(changes) {
                state.apply(lsn, change);
            }
            state.applied_lsn = last_lsn;
        }
        for waiter in waiters {
            waiter.tell(logged.as_ref().map(|_| ()).map_err(Error::again));
        }
    }

    fn log_group(&self, entries: &[Entry<Change>]) -> Result<Lsn> {
        let mut log = self.log();
        let last_lsn = log.append(entries.iter().map(|e| e.payload.as_slice())).map_err(|e| self.write_error(e))?;
        match self.options.durability {
            Durability::Synced => log.sync().map_err(|e| self.write_error(e))?,
            Durability::Interval => self.has_unsynced.store(true, Ordering::Release),
        }
        Ok(last_lsn)
    }

    fn write_error(&self, error: WriteError) -> Error {
        match error {
            WriteError::Refused(error) => error,
            WriteError::Broken(error) => self.poisoned(&error),
        }
    }

    /// Refuses writes from now on, because of `cause`.
    fn poisoned(&self, cause: &Error) -> Error {
        let cause = self.poison.get_or_init(|| cause.to_string());
        Error::Poisoned { cause: cause.clone() }
    }

    fn find_table(&self, name: &str) -> Option<Arc<TableCore>> {
        self.state().tables.get(name).map(|table| table.core.clone())
    }

    fn table_or_new(&self, name: &str) -> Result<Arc<TableCore>> {
        let mut state = self.state_mut();
        let next = state.next_table;
        let table = match state.tables.entry(name.to_owned()) {
            std::collections::btree_map::Entry::Occupied(table) => return Ok(table.get().core.clone()),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(Table::new(TableCore::new(TableId(next), name)?)).core.clone()
            }
        };
        state.next_table = next + 1;
        Ok(table)
    }

    fn new_table_id(&self) -> TableId {
        let mut state = self.state_mut();
        state.next_table += 1;
        TableId(state.next_table - 1)
    }

    fn new_file(&self) -> FileNumber {
        self.next_file.fetch_add(1, Ordering::Relaxed)
    }

    /// Sets the rows of all tables aside, unless an earlier flush that failed has done so.
    fn freeze(&self) -> (Lsn, Vec<TableToFlush>) {
        let mut state = self.state_mut();
        let lsn = match state.frozen_lsn {
            Some(lsn) => lsn,
            None => {
                state.tables.values_mut().for_each(|t| t.memtable.freeze());
                state.applied_lsn
            }
        };
        state.frozen_lsn = Some(lsn);
        let is_needed = |table: &&Table| {
            let has_new_series = table.core.index().len() > table.series_stored();
            !table.memtable.frozen().is_empty() || table.schema().is_some() && has_new_series
        };
        let to_flush = |table: &Table| TableToFlush {
            core: table.core.clone(),
            runs: table.memtable.frozen().to_vec(),
            series_files: table.series_files.clone(),
            lsn,
            now_ns: self.now_ns.load(Ordering::Relaxed),
        };
        (lsn, state.tables.values().filter(is_needed).map(to_flush).collect())
    }

    /// Joins runs of a table's memtable, if there are many of one size. Readers and writers go on meanwhile.
    fn join_runs(&self, core: &TableCore) {
        let begin = || {
            let mut state = self.state_mut();
            let table = state.tables.get_mut(&core.name).filter(|table| table.core.id == core.id)?;
            table.memtable.begin_join()
        };
        while let Some(runs) = begin() {
            let joined = Run::join(&runs);
            let mut state = self.state_mut();
            if let Some(table) = state.tables.get_mut(&core.name).filter(|table| table.core.id == core.id) {
                let before = table.memtable.memory_bytes() as u64;
                table.memtable.end_join(&runs, joined);
                let after = table.memtable.memory_bytes() as u64;
                state.memtable_bytes = state.memtable_bytes + after - before;
            }
        }
    }

    /// The manifest that names the state as it is.
    fn manifest(&self, flushed_lsn: Lsn) -> Manifest {
        let state = self.state();
        Manifest {
            flushed_lsn,
            next_table: state.next_table,
            next_file: self.next_file.load(Ordering::Relaxed),
            tables: state.tables.values().filter(|t| t.schema().is_some()).map(Table::entry).collect(),
        }
    }

    /// The manifest that names the state as it will be with what a flush wrote.
    fn manifest_with(&self, flushed_lsn: Lsn, flushed: &[FlushedTable]) -> Manifest {
        let mut manifest = self.manifest(flushed_lsn);
        for table in flushed {
            if let Some(entry) = manifest.tables.iter_mut().find(|e| e.id == table.core.id) {
                entry.segments.extend(table.segments.iter().map(|s| s.entry));
                entry.series_files.clone_from(&table.series_files);
            }
        }
        manifest
    }

    /// Makes a manifest the live one. It may name tables and columns of any record that is applied, so these are synced first.
    fn publish(&self, manifest: &Manifest) -> Result<()> {
        self.log().sync().map_err(|e| self.write_error(e))?;
        manifest::store(&*self.options.fs, &self.dir, manifest).map_err(|e| self.write_error(e))
    }

    /// Reads from segments, from now on, what a flush wrote.
    fn take_over(&self, lsn: Lsn, flushed: Vec<FlushedTable>) {
        let mut state = self.state_mut();
        for table in flushed {
            if let Some(live) = state.tables.get_mut(&table.core.name).filter(|t| t.core.id == table.core.id) {
                let mut segments: Vec<Arc<LiveSegment>> = live.segments.to_vec();
                segments.extend(table.segments);
                live.segments = Arc::new(segments);
                live.series_files = table.series_files;
            }
        }
        state.tables.values_mut().for_each(|t| t.memtable.thaw());
        state.frozen_lsn = None;
        state.flushed_lsn = lsn;
        state.count_memtables();
    }

    /// Removes series files and segments that the state does not name. Only while `flushing` is held.
    fn remove_orphans(&self) -> Result<()> {
        let live = manifest_files(&self.manifest(0));
        recover::remove_orphans(&*self.options.fs, &self.dir, &live)
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("the state is changed without panics")
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("the state is changed without panics")
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("the log is written without panics")
    }
}

/// A flush begins when the log is this many files long, so that a restart has a bounded amount to replay.
const LOG_FILES_MAX: u64 = 4;

impl State {
    fn apply(&mut self, lsn: Lsn, change: Change) {
        match change {
            Change::Insert(inserts) => {
                for TableChange { core, insert, columns } in inserts {
                    let table = self.tables.get_mut(&core.name).expect("no table is dropped under a write");
                    if table.schema().is_none() {
                        table.created_lsn = lsn;
                    }
                    table.show(&columns);
                    let before = table.memtable.memory_bytes() as u64;
                    table.memtable.insert(insert);
                    self.memtable_bytes += table.memtable.memory_bytes() as u64;
                    self.memtable_bytes -= before;
                }
            }
            Change::Create(core) => {
                let columns = ColumnSet::first(core.shape().schema.columns.len());
                let mut table = Table::new(*core);
                table.created_lsn = lsn;
                table.show(&columns);
                self.tables.insert(table.core.name.clone(), table);
            }
            Change::Drop(name) => {
                self.tables.remove(&name);
                self.count_memtables();
            }
        }
    }

    fn count_memtables(&mut self) {
        self.memtable_bytes = self.tables.values().map(|t| t.memtable.memory_bytes() as u64).sum();
    }
}

/// The numbers of all files that a manifest names.
fn manifest_files(manifest: &Manifest) -> std::collections::HashSet<FileNumber> {
    let of_table = |t: &manifest::TableEntry| {
        let series: Vec<_> = t.series_files.iter().map(|f| f.file).collect();
        series.into_iter().chain(t.segments.iter().map(|s| s.file).collect::<Vec<_>>())
    };
    manifest.tables.iter().flat_map(of_table).collect()
}

fn kinds(columns: &[Column]) -> Vec<(&str, ColumnKind)> {
    columns.iter().map(|c| (c.name.as_str(), c.kind)).collect()
}
