//! How an engine is opened, and what its calls report.

use std::path::PathBuf;
use std::sync::Arc;

use crate::Error;
use crate::env::{Clock, FileSystem, RealFileSystem};
use crate::model::{TableOptions, TimeRange};
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
    /// Tells when records are written to the log. Without it, an archive of the log cannot be replayed up to an instant.
    pub clock: Option<Arc<dyn Clock>>,
    /// Where files of the log are kept after they are done with.
    pub archive: Option<ArchiveOptions>,
}

/// Where files of the log are kept, and how soon they come there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveOptions {
    /// The directory; made if missing. For the log of one database alone.
    pub dir: PathBuf,
    /// A log file is closed and archived after this time, however small it is.
    pub interval_ns: i64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            fs: Arc::new(RealFileSystem),
            durability: Durability::default(),
            memtable_flush_bytes: 64 << 20,
            memtable_limit_bytes: 256 << 20,
            wal_file_bytes: 64 << 20,
            clock: None,
            archive: None,
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

/// A segment of an open engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The table whose rows it holds.
    pub table: String,
    /// Its file.
    pub path: PathBuf,
    /// How fine its data is; 0 is as it was written.
    pub tier: u8,
    /// Its smallest and greatest timestamp.
    pub time: TimeRange,
    /// Rows stored, with those deleted since.
    pub rows: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Level of compaction: a segment of the next one is four times as large.
    pub level: u32,
    /// Some of its rows may be deleted; compaction writes it anew without them.
    pub has_deleted_rows: bool,
    /// It cannot be read.
    pub is_damaged: bool,
}

/// Figures of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStats {
    /// Its name.
    pub name: String,
    /// Number of series that were ever written.
    pub series: u64,
    /// Memory of the tag index, bytes.
    pub index_bytes: u64,
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
    /// What is kept, and whether it may expire.
    pub options: Arc<TableOptions>,
    /// Raw rows before this have expired; `None` when none have.
    pub raw_from_ns: Option<i64>,
    /// Rollups by width, finest first.
    pub rollups: Vec<RollupStats>,
}

/// Figures of the rollups of one table at one width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupStats {
    /// Length of a bucket.
    pub width_ns: i64,
    /// Days that are rolled up.
    pub days: u64,
    /// Days of which the raw rows are gone.
    pub days_alone: u64,
    /// Rows: one for each series and bucket.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Start of the first day and end of the last.
    pub time: TimeRange,
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
    /// Segments that hold deleted rows until they are written anew.
    pub segments_to_purge: u64,
    /// Bytes of unflushed rows in memory.
    pub memtable_bytes: u64,
    /// Bytes of log files.
    pub wal_bytes: u64,
    /// Number of log files.
    pub wal_files: u64,
    /// Number of the last record of the log.
    pub wal_last_record: u64,
    /// Number of the last record that is whole in segments: a restart replays the later ones.
    pub wal_flushed_record: u64,
    /// Writes are refused until the directory is opened again.
    pub is_read_only: bool,
}
