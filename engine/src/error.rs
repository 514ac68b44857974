//! The one error type of the engine: variants are named for what the caller can do about them.

use std::io;
use std::path::PathBuf;

/// Result of an engine call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and what the caller can do: wait, fix the input, restore, or reopen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Wait and try again: unflushed data has reached its limit and maintenance has to catch up.
    #[error("busy: {what} holds {held_bytes} bytes, limit {limit_bytes}")]
    Busy {
        /// What is full.
        what: &'static str,
        /// Bytes held now.
        held_bytes: u64,
        /// The configured limit.
        limit_bytes: u64,
    },
    /// Fix the input: it does not fit the schema of the table.
    #[error("{0}")]
    Schema(#[from] SchemaError),
    /// Fix the input: a named bound was exceeded.
    #[error("{what} is {found}, limit {limit}")]
    Limit {
        /// What is bounded.
        what: &'static str,
        /// What was asked for.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// Fix the input: a tag pattern is not a valid regular expression.
    #[error("invalid regular expression: {0}")]
    Pattern(String),
    /// Free space, then try again: nothing of the refused write was stored.
    #[error("disk full: {}", path.display())]
    DiskFull {
        /// The file or directory that could not grow.
        path: PathBuf,
    },
    /// Restore: bytes on disk are not what was written.
    #[error("{}: {what} at {offset}", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Byte offset of the damaged structure.
        offset: u64,
        /// What does not hold.
        what: String,
    },
    /// Use a newer program: the file was written by a later version.
    #[error("{}: format version {found} is newer than this program reads ({supported}); use a newer plimsoll", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version this program reads.
        supported: u32,
    },
    /// Name another directory, or mend this one: it is not what it was taken for.
    #[error("{}: {why}", path.display())]
    Directory {
        /// The directory, or the file in it that tells.
        path: PathBuf,
        /// What it should be, or what is wrong with it.
        why: String,
    },
    /// Stop the other process, or use it: the data directory is open elsewhere.
    #[error("data directory {} is in use by another process{}", path.display(), holder.map(|p| format!(" (pid {p})")).unwrap_or_default())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// Process id written in the lock file, where it could be read.
        holder: Option<u32>,
    },
    /// Reopen: an earlier write to disk failed, so writes are refused; reads go on.
    #[error("writes are refused since {cause}; restart to recover")]
    Poisoned {
        /// The first failure.
        cause: String,
    },
    /// Look at the machine: the operating system refused.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Why a point, a table definition or a scan does not fit the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The table does not exist.
    #[error("table \"{0}\" does not exist")]
    NoTable(String),
    /// The table exists already.
    #[error("table \"{0}\" already exists")]
    TableExists(String),
    /// The column does not exist.
    #[error("column \"{column}\" of table \"{table}\" does not exist")]
    NoColumn {
        /// The table.
        table: String,
        /// The missing column.
        column: String,
    },
    /// A field was given with another type than it has.
    #[error(
        "field type conflict: input field \"{field}\" on measurement \"{table}\" is type {found}, already exists as type {expected}"
    )]
    FieldType {
        /// The table.
        table: String,
        /// The field.
        field: String,
        /// Type of the input.
        found: &'static str,
        /// Type of the stored column.
        expected: &'static str,
    },
    /// A name is used as a tag and as a field.
    #[error("column \"{column}\" of table \"{table}\" is a {exists}, not a {wanted}")]
    ColumnKind {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What it is.
        exists: &'static str,
        /// What the input used it as.
        wanted: &'static str,
    },
    /// A name that cannot be used: empty, too long, or `time`.
    #[error("invalid name \"{name}\": {why}")]
    Name {
        /// The name.
        name: String,
        /// Why it is refused.
        why: &'static str,
    },
    /// A point needs at least one field.
    #[error("point of table \"{0}\" has no field")]
    NoField(String),
    /// The tiers of a retention do not fit together.
    #[error("tier {}: {why}", tier + 1)]
    Retention {
        /// Which tier, counted from zero.
        tier: usize,
        /// Why it does not fit.
        why: String,
    },
    /// The table is under legal hold: nothing of it may be removed.
    #[error("table \"{0}\" is under legal hold")]
    LegalHold(String),
    /// The point is older than anything that the table keeps.
    #[error("point of table \"{table}\" at {time_ns} ns is older than the table keeps (from {from_ns} ns)")]
    Expired {
        /// The table.
        table: String,
        /// Time of the point.
        time_ns: i64,
        /// The earliest time that is kept.
        from_ns: i64,
    },
    /// The table has as many series as it may have, and the point is of another one.
    #[error(
        "table \"{table}\" has {series} series, and its option max_series is {limit}: a point of a new one is refused"
    )]
    SeriesLimit {
        /// The table.
        table: String,
        /// The series that it has.
        series: u32,
        /// The most that it may have.
        limit: u32,
    },
    /// A tag or field is given twice in one point.
    #[error("column \"{0}\" is given twice")]
    Duplicate(String),
}

/// Why something was not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// Nothing changed; the next try may work.
    Refused(Error),
    /// It is not known what is on disk: no more writes until the directory is opened again.
    Broken(Error),
}

impl WriteError {
    /// The cause, for callers that give up either way.
    pub(crate) fn into_error(self) -> Error {
        let (WriteError::Refused(error) | WriteError::Broken(error)) = self;
        error
    }
}

impl Error {
    /// Wraps an operating-system error; a full disk becomes [`Error::DiskFull`].
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Error {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::DiskFull { path },
            _ => Error::Io { action, path, source },
        }
    }

    /// A structure at `offset` of `path` that is not what was written.
    pub(crate) fn corrupt(path: impl Into<PathBuf>, offset: u64, what: impl Into<String>) -> Error {
        Error::Corrupt { path: path.into(), offset, what: what.into() }
    }

    /// A directory that is not what it was taken for.
    pub(crate) fn directory(path: impl Into<PathBuf>, why: impl Into<String>) -> Error {
        Error::Directory { path: path.into(), why: why.into() }
    }

    /// The same error once more, for the next caller that meets the same cause.
    pub(crate) fn again(&self) -> Error {
        match self {
            Error::Busy { what, held_bytes, limit_bytes } => {
                Error::Busy { what, held_bytes: *held_bytes, limit_bytes: *limit_bytes }
            }
            Error::Schema(e) => Error::Schema(e.clone()),
            Error::Limit { what, found, limit } => Error::Limit { what, found: *found, limit: *limit },
            Error::Pattern(what) => Error::Pattern(what.clone()),
            Error::DiskFull { path } => Error::DiskFull { path: path.clone() },
            Error::Corrupt { path, offset, what } => Error::corrupt(path, *offset, what),
            Error::Version { path, found, supported } => {
                Error::Version { path: path.clone(), found: *found, supported: *supported }
            }
            Error::Directory { path, why } => Error::directory(path, why),
            Error::Locked { path, holder } => Error::Locked { path: path.clone(), holder: *holder },
            Error::Poisoned { cause } => Error::Poisoned { cause: cause.clone() },
            Error::Io { action, path, source } => {
                let source = io::Error::new(source.kind(), source.to_string());
                Error::Io { action, path: path.clone(), source }
            }
        }
    }
}
