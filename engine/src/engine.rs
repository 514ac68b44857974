//! The engine: open and recover, write, snapshot, maintain, close. Wiring only; the work is in the modules it calls.
//!
//! Locks, in the order in which they may be taken
//! - `definitions`: read while a write is under way, written by CREATE and DROP. So a table never changes under a write.
//! - `upkeep`: held by the one thread that does a step of upkeep.
//! - `flushing`: held by the one flush.
//! - `publishing`: held while a manifest is made and published, so that none is lost. Never while rows are read or written.
//! - `archiving`: held while closed log files are copied to the archive.
//! - the group's queue, then `log`: held by the leader of a group commit while it appends and syncs.
//! - `state`: tables and counters; held for moments, never over input or output.
//! - a table's schema and index (see `TableCore`).

mod backup;
mod census;
mod delete;
mod estimate;
mod options;
mod publish;
mod recover;
mod retain;
mod touch;
mod upkeep;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::env::FileLock;
use crate::error::{SchemaError, WriteError};
use crate::memtable::{Insert, Run};
use crate::model::{Column, ColumnKind, OptionsChange, TableId, TableOptions, TableSchema};
use crate::partition::Partition;
use crate::scan::Snapshot;
use crate::table::{ColumnSet, Table, TableCore};
use crate::touched::Ranges;
use crate::wal::group::{Entry, Group, Waiter};
use crate::wal::{Log, Lsn, record};
use crate::{Error, Result};

pub use census::ColumnEncoding;
use delete::Deletion;
pub use estimate::TierEstimate;
pub use options::{
    ArchiveOptions, Durability, Maintained, Options, Recovery, Rejected, RollupStats, SegmentInfo, Stats, TableStats,
    Written,
};
pub(crate) use publish::manifest_files;
pub(crate) use recover::lock;
pub use touch::Touches;
use upkeep::Upkeep;
pub use write::{Row, SeriesRef, Write};

/// A database in one directory. Shared by reference between threads; every method may be called from any of them.
#[derive(Debug)]
pub struct Engine {
    dir: PathBuf,
    options: Options,
    recovery: Recovery,
    definitions: RwLock<()>,
    upkeep: Mutex<Upkeep>,
    flushing: Mutex<()>,
    /// Files that no manifest names any more once the next one is published.
    publishing: Mutex<Vec<PathBuf>>,
    /// Held while log files are archived.
    archiving: Mutex<()>,
    group: Group<Change>,
    log: Mutex<Log>,
    state: RwLock<State>,
    next_file: AtomicU64,
    has_unsynced: AtomicBool,
    /// When rows were last flushed only so that they can be rolled up.
    flushed_for_tiers_ns: AtomicI64,
    /// Days that could not be rolled up.
    damaged_days: Mutex<BTreeSet<(TableId, Partition)>>,
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
    Create(Box<TableCore>, TableOptions),
    Drop(String),
    Columns(String, ColumnSet),
    Options(String, TableOptions),
    Delete(Arc<TableCore>, Deletion),
}

/// Rows for one table, and the columns that they name.
#[derive(Debug)]
struct TableChange {
    core: Arc<TableCore>,
    insert: Insert,
    columns: ColumnSet,
    /// The times of the rows, if somebody keeps up with them.
    touched: Option<Ranges>,
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
        self.create_table_with(name, columns, &TableOptions::default())
    }

    /// As [`Engine::create_table`], with options.
    ///
    /// # Errors
    /// As [`Engine::create_table`].
    pub fn create_table_with(&self, name: &str, columns: &[Column], options: &TableOptions) -> Result<()> {
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
        let change = Change::Create(Box::new(core), options.clone());
        self.commit(record::create_table(name, columns, options), change)
    }

    /// Adds columns to a table, all or none. The rows that it has already have NULL in them.
    ///
    /// # Errors
    /// [`SchemaError::NoTable`], [`SchemaError::Duplicate`] for a column that is there already, and those of
    /// [`Engine::create_table`].
    pub fn add_columns(&self, name: &str, columns: &[Column]) -> Result<()> {
        self.check_writable()?;
        let _alone = self.definitions.write().expect("definitions are guarded without panics");
        let no_table = || SchemaError::NoTable(name.to_owned());
        let (schema, options) = self.table(name).zip(self.table_options(name)).ok_or_else(no_table)?;
        for (nth, column) in columns.iter().enumerate() {
            let same = |other: &Column| other.name == column.name;
            if columns[..nth].iter().any(same) || schema.columns.iter().any(same) {
                return Err(SchemaError::Duplicate(column.name.clone()).into());
            }
        }
        if columns.is_empty() {
            return Ok(());
        }
        let core = self.find_table(name).ok_or_else(no_table)?;
        let shape = core.grow(&kinds(columns))?;
        let mut named = ColumnSet::default();
        columns.iter().filter_map(|c| shape.column(&c.name, None)).for_each(|(at, _)| named.insert(at));
        self.commit(record::create_table(name, columns, &options), Change::Columns(name.to_owned(), named))
    }

    /// Changes the options of a table. Maintenance acts on them; only the legal hold has an effect at once.
    ///
    /// # Errors
    /// [`SchemaError::NoTable`], and those of [`Engine::write`].
    pub fn alter_table(&self, name: &str, change: &OptionsChange) -> Result<()> {
        self.check_writable()?;
        let _alone = self.definitions.write().expect("definitions are guarded without panics");
        let before = self.table_options(name).ok_or_else(|| SchemaError::NoTable(name.to_owned()))?;
        let options = change.apply(&before);
        if options == *before {
            return Ok(());
        }
        self.commit(record::set_options(name, &options), Change::Options(name.to_owned(), options))
    }

    /// The options of a table.
    pub fn table_options(&self, name: &str) -> Option<Arc<TableOptions>> {
        self.state().tables.get(name).filter(|t| t.schema().is_some()).map(|t| t.options.clone())
    }

    /// Removes a table and all its data.
    ///
    /// # Errors
    /// [`SchemaError::NoTable`], [`SchemaError::LegalHold`], and those of [`Engine::write`].
    pub fn drop_table(&self, name: &str) -> Result<()> {
        self.check_writable()?;
        let _alone = self.definitions.write().expect("definitions are guarded without panics");
        let options = self.table_options(name).ok_or_else(|| SchemaError::NoTable(name.to_owned()))?;
        if options.legal_hold {
            return Err(SchemaError::LegalHold(name.to_owned()).into());
        }
        let mut publishing = self.publishing();
        let files = self.state().tables.get(name).map(|table| table.entry().files(&self.dir));
        self.commit(record::drop_table(name), Change::Drop(name.to_owned()))?;
        // The drop is in the log. Space comes back now, or with the next manifest if this fails.
        Engine::is_obsolete(files.into_iter().flatten(), &mut publishing);
        let flushed_lsn = self.state().flushed_lsn;
        let _later = self.publish(&self.manifest(flushed_lsn), &mut publishing);
        Ok(())
    }

    /// The tables, by name, without internal ones.
    pub fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.state().tables.values().filter_map(|t| t.schema().cloned()).filter(|t| !t.is_internal()).collect()
    }

    /// One table.
    pub fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        self.state().tables.get(name).and_then(|t| t.schema().cloned())
    }

    /// The state of the database now: everything acknowledged before this call, nothing half done.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot::new(state.tables.values().filter_map(Table::view), state.applied_lsn)
    }

    /// Figures for an operator.
    pub fn stats(&self) -> Stats {
        let mut stats = {
            let log = self.log();
            Stats { wal_bytes: log.bytes(), wal_files: log.files(), ..Stats::default() }
        };
        let state = self.state();
        (stats.wal_last_record, stats.wal_flushed_record) = (state.applied_lsn, state.flushed_lsn);
        stats.memtable_bytes = state.memtable_bytes;
        stats.is_read_only = self.poison.get().is_some();
        for table in state.tables.values().filter(|t| t.schema().is_some()) {
            stats.tables += 1;
            stats.series += u64::from(table.core.index().len());
            stats.segments += table.segments.len() as u64;
            stats.segment_bytes += table.segments.iter().map(|s| s.entry.bytes).sum::<u64>();
            stats.segment_rows += table.segments.iter().map(|s| s.entry.rows).sum::<u64>();
            stats.segments_to_purge += table.segments.iter().filter(|s| !s.deleted.is_empty()).count() as u64;
            stats.damaged_segments += table.segments.iter().filter(|s| s.file.is_err()).count() as u64;
        }
        stats
    }

    /// Figures of each table, by name, without internal ones.
    pub fn table_stats(&self) -> Vec<TableStats> {
        let state = self.state();
        state.tables.values().filter_map(Table::stats).filter(|t| !TableSchema::is_internal_name(&t.name)).collect()
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

impl State {
    fn apply(&mut self, lsn: Lsn, change: Change) {
        match change {
            Change::Insert(inserts) => {
                for TableChange { core, insert, columns, touched } in inserts {
                    let table = self.tables.get_mut(&core.name).expect("no table is dropped under a write");
                    if table.schema().is_none() {
                        table.created_lsn = lsn;
                    }
                    table.show(&columns);
                    table.touch(lsn, touched.as_ref());
                    let before = table.memtable.memory_bytes() as u64;
                    table.memtable.insert(insert);
                    self.memtable_bytes += table.memtable.memory_bytes() as u64;
                    self.memtable_bytes -= before;
                }
            }
            Change::Create(core, options) => {
                let columns = ColumnSet::first(core.shape().schema.columns.len());
                let mut table = Table::new(*core);
                table.created_lsn = lsn;
                table.set_options(options);
                table.show(&columns);
                self.tables.insert(table.core.name.clone(), table);
            }
            Change::Columns(name, columns) => {
                let table = self.tables.get_mut(&name).expect("no table is dropped while it is altered");
                table.show(&columns);
            }
            Change::Options(name, options) => {
                let table = self.tables.get_mut(&name).expect("no table is dropped while it is altered");
                table.set_options(options);
            }
            Change::Drop(name) => {
                self.tables.remove(&name);
                self.count_memtables();
            }
            Change::Delete(core, deletion) => {
                let table = self.tables.get_mut(&core.name).expect("no table is dropped under a delete");
                table.delete(Arc::new(deletion.tombstone(lsn)));
                self.count_memtables();
            }
        }
    }

    fn count_memtables(&mut self) {
        self.memtable_bytes = self.tables.values().map(|t| t.memtable.memory_bytes() as u64).sum();
    }
}

fn kinds(columns: &[Column]) -> Vec<(&str, ColumnKind)> {
    columns.iter().map(|c| (c.name.as_str(), c.kind)).collect()
}
