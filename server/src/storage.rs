//! Opens the data directory: the engine with its limits, and the query layer on top.
//!
//! `DATA/tmp` is ours alone: queries spill there, and a running server notes there where it listens. It is emptied by
//! whoever opens the directory, after the engine's lock is held.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plimsoll_engine::env::Clock;
use plimsoll_engine::{ArchiveOptions, Engine, Error as EngineError, Options, Recovery};
use plimsoll_query::{Database, DatabaseOptions};
use sysinfo::{MemoryRefreshKind, System};

use crate::config::{Config, Size};
use crate::{Error, Result};

const TMP: &str = "tmp";
const SPILL: &str = "spill";
const LISTENING: &str = "listening";

/// Opens the engine; blocks while the log is replayed.
///
/// # Errors
/// [`Error::InUse`], [`Error::Open`].
pub(crate) fn open_engine(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<Engine>> {
    let memory = memory_bytes();
    let archive = config.storage.archive.as_ref().map(|dir| ArchiveOptions {
        dir: dir.clone(),
        interval_ns: i64::try_from(config.storage.archive_interval.as_nanos()).unwrap_or(i64::MAX),
    });
    let options = Options {
        durability: config.storage.durability,
        memtable_flush_bytes: config.storage.memtable_flush.bytes(memory),
        memtable_limit_bytes: config.storage.memtable_limit.bytes(memory),
        wal_file_bytes: config.storage.wal_file.bytes(memory),
        // Only an archive is ever asked when a record was written.
        clock: archive.is_some().then(|| Arc::clone(clock)),
        archive,
        ..Options::default()
    };
    let dir = &config.data;
    let engine = Engine::open(dir, options).map_err(|source| open_error(dir, source))?;
    say_recovered(engine.recovery());
    Ok(Arc::new(engine))
}

/// Flushes, so that the next start replays nothing, and archives the log. What cannot be archived stays in the log until it can.
///
/// # Errors
/// Those of the flush.
pub(crate) fn settle(engine: &Engine) -> Result<(), EngineError> {
    let flushed = engine.flush();
    if let Err(error) = engine.archive() {
        tracing::error!(%error, "the log is not archived; the next start tries again");
    }
    flushed
}

/// Why a data directory cannot be opened; where a server holds it, with the way to ask that.
pub(crate) fn open_error(dir: &Path, source: EngineError) -> Error {
    match source {
        EngineError::Locked { holder, .. } => {
            Error::InUse { what: "data directory", dir: dir.to_owned(), holder, ask: ask_server(dir) }
        }
        source => Error::Open { dir: dir.to_owned(), source },
    }
}

/// What an operator should know about the last end: nothing after a graceful stop.
fn say_recovered(recovery: &Recovery) {
    if recovery.records_replayed > 0 {
        tracing::info!(records = recovery.records_replayed, "replayed the log");
    }
    if let Some(torn) = &recovery.torn_tail {
        let (file, at) = (torn.path.display(), torn.offset);
        tracing::warn!(%file, at, bytes = torn.bytes, "cut off the end of a write that was never acknowledged");
    }
    for damage in &recovery.damaged_segments {
        tracing::error!(%damage, "damaged: queries that need this segment fail, all others are answered");
    }
}

/// Empties the directory for temporary files and puts the query layer on the engine.
///
/// # Errors
/// [`Error::Io`], [`Error::Query`].
pub(crate) fn open_database(config: &Config, engine: &Arc<Engine>) -> Result<Database> {
    let tmp = config.data.join(TMP);
    if tmp.exists() {
        fs::remove_dir_all(&tmp).map_err(|e| Error::io("empty", &tmp, e))?;
    }
    let spill = tmp.join(SPILL);
    fs::create_dir_all(&spill).map_err(|e| Error::io("create", &spill, e))?;
    let memory = memory_bytes();
    let options = DatabaseOptions {
        memory_limit_bytes: config.query.memory_limit.bytes(memory),
        spill_dir: Some(spill),
        spill_limit_bytes: config.query.spill_limit.bytes(memory),
        threads: threads(config),
        check_sink: Some(crate::notify::check),
        ..DatabaseOptions::default()
    };
    Ok(Database::new(Arc::clone(engine), &options)?)
}

fn threads(config: &Config) -> usize {
    match config.query.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// A size on this machine.
pub(crate) fn size_bytes(size: Size) -> usize {
    usize::try_from(size.bytes(memory_bytes())).unwrap_or(usize::MAX)
}

/// Memory that this process may use, in bytes: the machine's, or the container's where that is less.
fn memory_bytes() -> u64 {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let container = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    system.total_memory().min(container)
}

/// Notes where the server on `dir` listens, for the message that another process gives when it finds the directory taken.
pub(crate) fn note_listening(dir: &Path, pg: SocketAddr, http: SocketAddr) -> Result<()> {
    let path = listening(dir);
    fs::write(&path, format!("{pg} {http}\n")).map_err(|e| Error::io("write", &path, e))
}

/// Takes the note away.
pub(crate) fn clear_listening(dir: &Path) {
    let _already_gone = fs::remove_file(listening(dir));
}

/// How to ask the server that holds `dir`, if one said where it listens.
fn ask_server(dir: &Path) -> Option<String> {
    let note = fs::read_to_string(listening(dir)).ok()?;
    let pg = note.split_whitespace().next()?.parse().ok()?;
    Some(format!("; a server runs on it, ask it with {}", psql_line(pg)))
}

fn listening(dir: &Path) -> PathBuf {
    dir.join(TMP).join(LISTENING)
}

/// The shell line that connects `psql` to a server.
pub(crate) fn psql_line(pg: SocketAddr) -> String {
    format!("psql 'host={} port={} user=postgres dbname=postgres'", pg.ip(), pg.port())
}
