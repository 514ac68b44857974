//! What can end a command, and the exit code that it gives.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::ConfigError;

/// Result of a command or of the server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in one sentence that names what and where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fix the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Fix the command line, where `clap` could not know it.
    #[error("{0}")]
    Usage(String),
    /// Free the port, or choose another.
    #[error("{key} cannot listen on {addr}: {}", listen_hint(source, key))]
    Listen {
        /// The configuration key: `pg` or `http`.
        key: &'static str,
        /// The address.
        addr: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Stop the other process, or ask it.
    #[error("{what} {} is in use by another process{}{}", dir.display(), pid(*holder), ask.as_deref().unwrap_or_default())]
    InUse {
        /// What the directory is.
        what: &'static str,
        /// The directory.
        dir: PathBuf,
        /// The other process.
        holder: Option<u32>,
        /// What to do instead; begins with a separator.
        ask: Option<String>,
    },
    /// See the engine's own words.
    #[error("cannot open data directory {}: {source}", dir.display())]
    Open {
        /// The data directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: plimsoll_engine::Error,
    },
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] plimsoll_engine::Error),
    /// A statement failed.
    #[error(transparent)]
    Query(#[from] plimsoll_query::Error),
    /// The operating system refused.
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
    /// Output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// A second signal came before the first one's stop was done.
    #[error("stopped at once by a second signal; the log is replayed at the next start")]
    Interrupted,
    /// What was wrong has been said already.
    #[error("failed")]
    Reported,
    /// A part of the server ended that must not.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Wraps an operating-system error.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Error {
        Error::Io { action, path: path.into(), source }
    }

    /// 2 when the command or its configuration was wrong and nothing was tried, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config(_) | Error::Usage(_) => 2,
            _ => 1,
        }
    }
}

fn pid(holder: Option<u32>) -> String {
    holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

fn listen_hint(source: &io::Error, key: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!("the port is in use; stop what listens there, or choose another with --{key} 127.0.0.1:PORT")
        }
        _ => source.to_string(),
    }
}
