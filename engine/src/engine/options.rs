//! How an engine is opened, and what its calls report.

use std::sync::Arc;

use crate::Error;
use crate::env::{FileSystem, RealFileSystem};
use crate::model::TimeRange;
use crate::wal::TornTail;

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After its log record is synced to disk.
    #[default]
    Synced,
    /// After its log record is handed to the operating system; [`Engine::maintain`](crate::Engine::maintain) syncs. A power
    /// loss may lose what was written since the last call.
    Interval,
}

/// How an engine is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where files live.
    pub fs: Arc<dyn FileSystem>,
    /// When a write is acknowledged.
    pub durability: Durability,
    /// Unflushed bytes at which [`Engine::maintain`](crate::Engine::maintain) flushes.
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
    /// Its position in the slice handed to [`Engine::write`](crate::Engine::write).
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

/// What was found when a data directory was opened.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Log records that were read again.
    pub records_replayed: u64,
    /// An unfinished end of the log that was cut off: a write that was never acknowledged.
    pub torn_tail: Option<TornTail>,
    /// Segments that cannot be read; reads that need them report it.
    pub damaged_segments: Vec<Error>,
}

/// Figures of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStats {
    /// Its name.
    pub name: String,
    /// Number of series that were ever written.
    pub series: u64,
    /// Number of live segments.
    pub segments: u64,
    /// Rows in segments; a point that is in several of them counts in each.
    pub segment_rows: u64,
    /// Bytes of segments.
    pub segment_bytes: u64,
    /// Bytes of unflushed rows in memory.
    pub memtable_bytes: u64,
    /// Earliest and latest time in segments; `None` without segments.
    pub time: Option<TimeRange>,
}

/// Figures of an open engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Number of tables.
    pub tables: u64,
    /// Number of series over all tables.
    pub series: u64,
    /// Number of live segments.
    pub segments: u64,
    /// Rows in segments.
    pub segment_rows: u64,
    /// Bytes of segments.
    pub segment_bytes: u64,
    /// Segments that cannot be read.
    pub damaged_segments: u64,
    /// Bytes of unflushed rows in memory.
    pub memtable_bytes: u64,
    /// Bytes of log files.
    pub wal_bytes: u64,
    /// Writes are refused until the directory is opened again.
    pub is_read_only: bool,
}
