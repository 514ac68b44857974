//! The engine: open and recover, write, snapshot, maintain, close.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::env::{FileSystem, RealFileSystem};
use crate::model::{Column, Point, TableSchema};
use crate::naive::Naive;
use crate::scan::Snapshot;
use crate::{Error, Result};

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After its log record is synced to disk.
    #[default]
    Synced,
    /// After its log record is handed to the operating system; [`Engine::maintain`] syncs. A power loss may lose the last interval.
    Interval,
}

/// How an engine is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where files live.
    pub fs: Arc<dyn FileSystem>,
    /// When a write is acknowledged.
    pub durability: Durability,
    /// Unflushed bytes at which [`Engine::maintain`] flushes.
    pub memtable_flush_bytes: u64,
    /// Unflushed bytes at which writes answer [`Error::Busy`].
    pub memtable_limit_bytes: u64,
    /// Size at which a log file is closed and the next one begun.
    pub wal_file_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            fs: Arc::new(RealFileSystem),
            durability: Durability::default(),
            memtable_flush_bytes: 64 << 20,
            memtable_limit_bytes: 256 << 20,
            wal_file_bytes: 64 << 20,
        }
    }
}

/// A point that was not stored.
#[derive(Debug)]
pub struct Rejected {
    /// Its position in the slice handed to [`Engine::write`].
    pub point: usize,
    /// Why.
    pub error: Error,
}

/// What became of a write: the points not named in `rejected` are durable and visible.
#[derive(Debug, Default)]
pub struct Written {
    /// Points stored.
    pub accepted: usize,
    /// Points refused, in order of position.
    pub rejected: Vec<Rejected>,
}

/// What a step of maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Another step has work to do now.
    pub more: bool,
}

/// A database in one directory. Shared by reference between threads; every method may be called from any of them.
#[derive(Debug)]
pub struct Engine {
    dir: PathBuf,
    state: Mutex<Naive>,
}

impl Engine {
    /// Opens a data directory, creating it if need be, and recovers what was acknowledged.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Version`], [`Error::Corrupt`], [`Error::Io`].
    pub fn open(dir: &Path, _options: Options) -> Result<Engine> {
        Ok(Engine { dir: dir.to_owned(), state: Mutex::default() })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stores points; returns when they are durable and visible. Points that do not fit the schema are refused one by one.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::DiskFull`], [`Error::Poisoned`], [`Error::Io`]: nothing of the batch is acknowledged.
    pub fn write(&self, points: &[Point<'_>]) -> Result<Written> {
        Ok(self.lock().write(points))
    }

    /// Creates a table with the given columns besides `time`.
    ///
    /// # Errors
    /// [`crate::SchemaError::TableExists`], [`crate::SchemaError::Name`], [`crate::SchemaError::Duplicate`].
    pub fn create_table(&self, name: &str, columns: &[Column]) -> Result<()> {
        self.lock().create_table(name, columns)
    }

    /// Removes a table and all its data.
    ///
    /// # Errors
    /// [`crate::SchemaError::NoTable`].
    pub fn drop_table(&self, name: &str) -> Result<()> {
        self.lock().drop_table(name)
    }

    /// The tables, by name.
    pub fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.lock().tables()
    }

    /// One table.
    pub fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        self.lock().table(name)
    }

    /// The state of the database now: everything acknowledged before this call, nothing half done.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { inner: Arc::new(self.lock().clone()) }
    }

    /// Does one bounded step of upkeep (sync of the log, flush) and says whether more waits. `now_ns` is the current time.
    ///
    /// # Errors
    /// As [`Engine::write`].
    pub fn maintain(&self, _now_ns: i64) -> Result<Maintained> {
        Ok(Maintained::default())
    }

    /// Flushes everything written so far to segments, so that the next open replays nothing.
    ///
    /// # Errors
    /// As [`Engine::write`].
    pub fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Naive> {
        self.state.lock().expect("no thread panics while it holds the engine's state")
    }
}
