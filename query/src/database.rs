//! A database: the engine, and what all sessions share: memory, spill files and functions.

use std::path::PathBuf;
use std::sync::Arc;

use plimsoll_engine::Engine;

use crate::{Result, Session};

/// Limits of all queries of a database together.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// Memory for sorts, groups and joins, in bytes; beyond it they spill to disk or end with [`crate::Error::OutOfMemory`].
    pub memory_limit_bytes: u64,
    /// Where spill files go; `None` is `spill` in the data directory.
    pub spill_dir: Option<PathBuf>,
    /// Most bytes of spill files at one time.
    pub spill_limit_bytes: u64,
    /// Partitions that a query is cut into, at least 1.
    pub threads: usize,
}

impl Default for DatabaseOptions {
    fn default() -> DatabaseOptions {
        DatabaseOptions {
            memory_limit_bytes: 1 << 30,
            spill_dir: None,
            spill_limit_bytes: 16 << 30,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// A database that sessions are opened on. Cheap to clone: clones share everything.
#[derive(Debug, Clone)]
pub struct Database {
    engine: Arc<Engine>,
}

impl Database {
    /// Puts the query layer over an engine.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] when the spill directory cannot be made.
    pub fn new(engine: Arc<Engine>, _options: &DatabaseOptions) -> Result<Database> {
        Ok(Database { engine })
    }

    /// The engine underneath, to write and to maintain.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// A new session with default settings.
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }
}
