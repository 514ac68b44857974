//! One [`Config`], put together once at start: defaults, then the file, then the environment, then the flags.
//!
//! Every key is one row of the table in `keys`: its name, what it means, what it may be. The file, the environment
//! (`PLIMSOLL_QUERY_MEMORY_LIMIT` is `query.memory_limit`) and the flags all go through that table, so that a wrong value
//! gets the same answer wherever it was written.

mod keys;
mod source;
mod units;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use plimsoll_engine::Durability;

pub use source::{Origin, Setting};
pub use units::{Size, parse_duration, parse_size};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Whether SQL clients encrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// As the client likes.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Always.
    Require,
}

/// Everything that an operator can set.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// Where SQL clients connect (PostgreSQL's protocol).
    pub pg: SocketAddr,
    /// Where line protocol and `/metrics` are served.
    pub http: SocketAddr,
    /// Whether SQL clients encrypt.
    pub tls: TlsMode,
    /// The certificate, with its chain, as PEM; one of our own making without.
    pub tls_cert: Option<PathBuf>,
    /// Its key as PEM.
    pub tls_key: Option<PathBuf>,
    /// How log lines look.
    pub log: LogFormat,
    /// Which log lines are written, in the syntax of `tracing-subscriber`'s filter.
    pub log_level: String,
    /// How long a graceful stop waits for requests that are under way.
    pub stop_timeout: Duration,
    /// The engine's part.
    pub storage: StorageConfig,
    /// The query layer's part.
    pub query: QueryConfig,
    /// The write path's part.
    pub ingest: IngestConfig,
    /// The SQL front end's part.
    pub sql: SqlConfig,
}

/// What concerns the files.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageConfig {
    /// When a write is acknowledged.
    pub durability: Durability,
    /// Unflushed bytes at which a flush begins.
    pub memtable_flush: Size,
    /// Unflushed bytes at which writes wait, and are answered with "busy" when it takes too long.
    pub memtable_limit: Size,
    /// Size at which a log file is closed and the next one begun.
    pub wal_file: Size,
    /// Where log files are kept after they are done with; nowhere without.
    pub archive: Option<PathBuf>,
    /// How soon a log file is closed and archived.
    pub archive_interval: Duration,
}

/// What concerns queries.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryConfig {
    /// Memory that all running queries may hold together before they spill to disk.
    pub memory_limit: Size,
    /// Disk that spilling queries may take.
    pub spill_limit: Size,
    /// Threads that run queries; 0 means one per core.
    pub threads: usize,
}

/// What concerns writes over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestConfig {
    /// Largest body of one request, as sent and after decompression.
    pub body_limit: Size,
    /// Bytes of bodies that may be in work at the same time; more are answered with 429 or 503.
    pub queue_limit: Size,
    /// Requests that may be in work at the same time; more are answered with 429 or 503.
    pub requests: usize,
    /// Where line protocol is taken over TCP; nowhere without.
    pub line_tcp: Option<SocketAddr>,
    /// Where line protocol is taken over UDP; nowhere without.
    pub line_udp: Option<SocketAddr>,
    /// Whose rights senders over TCP and UDP have once users have passwords.
    pub line_user: String,
}

/// What concerns SQL clients.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlConfig {
    /// Clients that may be connected at the same time.
    pub connections: usize,
    /// Largest message of a client, such as a statement with its values.
    pub message_limit: Size,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data: PathBuf::from("./data"),
            pg: loopback(5433),
            http: loopback(8086),
            tls: TlsMode::Auto,
            tls_cert: None,
            tls_key: None,
            log: LogFormat::Text,
            log_level: "info".to_owned(),
            stop_timeout: Duration::from_secs(10),
            storage: StorageConfig {
                durability: Durability::Synced,
                memtable_flush: Size::Bytes(64 << 20),
                memtable_limit: Size::Bytes(256 << 20),
                wal_file: Size::Bytes(64 << 20),
                archive: None,
                archive_interval: Duration::from_secs(60),
            },
            query: QueryConfig { memory_limit: Size::Percent(50), spill_limit: Size::Bytes(16 << 30), threads: 0 },
            ingest: IngestConfig {
                body_limit: Size::Bytes(64 << 20),
                queue_limit: Size::Bytes(256 << 20),
                requests: 512,
                line_tcp: None,
                line_udp: None,
                line_user: String::new(),
            },
            sql: SqlConfig { connections: 200, message_limit: Size::Bytes(256 << 20) },
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Why a configuration is refused; says where it was written and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read config file {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        why: String,
    },
    /// The file is not TOML.
    #[error("{}:{line}: {why}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What the parser met.
        why: String,
    },
    /// No such key.
    #[error("{origin}: unknown key {key}{}", did_you_mean(suggestion.as_deref()))]
    UnknownKey {
        /// Where it was written.
        origin: Origin,
        /// As it was written.
        key: String,
        /// The key that was probably meant.
        suggestion: Option<String>,
    },
    /// The key cannot have this value.
    #[error("{origin}: {key} cannot be {value:?}; it has to be {allowed}")]
    Value {
        /// Where it was written.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The value as written.
        value: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// Each value is fine, but not together.
    #[error("{0}")]
    Conflict(String),
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    match suggestion {
        Some(key) => format!("; did you mean {key}?"),
        None => "; `plimsoll serve --print-config` lists all keys".to_owned(),
    }
}

/// What a configuration is made from. The environment is an argument, so that reading it is the caller's business.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file, if one was named.
    pub file: Option<PathBuf>,
    /// Environment variables, name and value; those without our prefix are skipped.
    pub environment: Vec<(String, String)>,
    /// Flags as (flag, key, value), in the order given.
    pub flags: Vec<(String, String, String)>,
}

impl Config {
    /// Puts the configuration together and checks it.
    ///
    /// Environment variables that have the prefix but name no key are no error (a container platform sets some of its
    /// own); they are returned, so that the caller can warn.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong.
    pub fn load(base: Config, sources: &Sources) -> Result<(Config, Vec<String>), ConfigError> {
        let mut config = base;
        let (from_environment, unknown) = source::environment(&sources.environment);
        let file = match &sources.file {
            Some(path) => source::file(path)?,
            None => Vec::new(),
        };
        let flags = sources.flags.iter().map(|(flag, key, value)| source::flag(flag, key, value));
        for setting in file.into_iter().chain(from_environment).chain(flags) {
            config.apply(&setting)?;
        }
        config.check()?;
        Ok((config, unknown))
    }

    fn apply(&mut self, setting: &Setting) -> Result<(), ConfigError> {
        let Some(key) = keys::find(&setting.key) else {
            return Err(ConfigError::UnknownKey {
                origin: setting.origin.clone(),
                key: setting.key.clone(),
                suggestion: keys::nearest(&setting.key).map(str::to_owned),
            });
        };
        (key.set)(self, &setting.value).ok_or_else(|| ConfigError::Value {
            origin: setting.origin.clone(),
            key: key.name,
            value: setting.value.clone(),
            allowed: key.allowed,
        })
    }

    /// Refuses values that are fine one by one but not together.
    fn check(&self) -> Result<(), ConfigError> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            let message =
                "tls_cert and tls_key belong together: name both, or none for a certificate of the server's own";
            return Err(ConfigError::Conflict(message.to_owned()));
        }
        if self.pg == self.http && self.pg.port() != 0 {
            return Err(ConfigError::Conflict(format!("pg and http cannot both listen on {}", self.pg)));
        }
        self.check_memtable()
    }

    /// Refuses addresses that other machines reach while everybody is let in.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`].
    pub(crate) fn check_reach(&self, has_passwords: bool) -> Result<(), ConfigError> {
        let sockets = [("ingest.line_tcp", self.ingest.line_tcp), ("ingest.line_udp", self.ingest.line_udp)];
        let sockets: Vec<_> = sockets.into_iter().filter_map(|(key, addr)| Some((key, addr?))).collect();
        if let Some((key, _)) = sockets.first().filter(|_| has_passwords && self.ingest.line_user.is_empty()) {
            let message = format!(
                "{key} needs ingest.line_user: users have passwords, and lines over TCP and UDP come with none; \
                 name the user whose rights they are to have"
            );
            return Err(ConfigError::Conflict(message));
        }
        let listening = [("pg", self.pg), ("http", self.http)].into_iter().chain(sockets);
        let mut open = listening.filter(|(_, addr)| !addr.ip().is_loopback());
        match open.next() {
            Some((key, addr)) if !has_passwords => Err(ConfigError::Conflict(not_loopback(key, addr))),
            _ => Ok(()),
        }
    }

    fn check_memtable(&self) -> Result<(), ConfigError> {
        let (flush, limit) = (self.storage.memtable_flush, self.storage.memtable_limit);
        let wrong = match (flush, limit) {
            (Size::Bytes(flush), Size::Bytes(limit)) => flush > limit,
            (Size::Percent(flush), Size::Percent(limit)) => flush > limit,
            _ => false,
        };
        if wrong {
            return Err(ConfigError::Conflict(format!(
                "storage.memtable_flush ({flush}) is larger than storage.memtable_limit ({limit}): \
                 a flush has to begin before writes are refused"
            )));
        }
        Ok(())
    }

    /// The whole configuration as a TOML file with a comment for every key. Reading it again gives the same configuration.
    pub fn to_toml(&self) -> String {
        keys::print(self)
    }
}

fn not_loopback(key: &str, addr: SocketAddr) -> String {
    format!(
        "{key} cannot listen on {addr}: no user has a password, so only this machine is trusted; \
         listen on 127.0.0.1:{port} and give one (CREATE USER name SUPERUSER PASSWORD '...'), then listen where you like",
        port = addr.port()
    )
}

#[cfg(test)]
mod tests;
