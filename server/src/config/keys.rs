//! The table of keys: the one place that knows their names, their meaning and what they may be.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use plimsoll_engine::Durability;
use toml::Value;

use super::units::{parse_duration, parse_size, print_duration};
use super::{Config, LogFormat, TlsMode};

pub(super) struct Key {
    /// As in the file; a dot separates the section.
    pub name: &'static str,
    /// What it is for: the comment of `--print-config`.
    pub about: &'static str,
    /// Ends the sentence "it has to be ...".
    pub allowed: &'static str,
    /// Sets it; `None` when the text is not allowed.
    pub set: fn(&mut Config, &str) -> Option<()>,
    /// The value as the file has it.
    pub show: fn(&Config) -> Value,
}

const ADDRESS: &str = "an address of this machine with a port, such as 127.0.0.1:5433 or localhost:5433";
const OPTIONAL_ADDRESS: &str = "an address of this machine with a port, such as 127.0.0.1:8094, or nothing";
const SIZE: &str = "a size such as 512MiB or 2GiB, or a share of the memory such as 50%";

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "data",
        about: "The data directory; created if missing. One process at a time.",
        allowed: "a directory",
        set: |c, v| set(&mut c.data, (!v.is_empty()).then(|| PathBuf::from(v))),
        show: |c| text(c.data.to_string_lossy()),
    },
    Key {
        name: "pg",
        about: "Where SQL clients connect (PostgreSQL's protocol). While no user has a password, only loopback.",
        allowed: ADDRESS,
        set: |c, v| set(&mut c.pg, address(v)),
        show: |c| text(c.pg),
    },
    Key {
        name: "http",
        about: "Where line protocol is written and /metrics is read. While no user has a password, only loopback.",
        allowed: ADDRESS,
        set: |c, v| set(&mut c.http, address(v)),
        show: |c| text(c.http),
    },
    Key {
        name: "tls",
        about: "Whether SQL clients encrypt: auto = as they like, require = all of them, off = none.",
        allowed: "auto, off or require",
        set: |c, v| set(&mut c.tls, one_of(v, &TLS_MODES)),
        show: |c| text(TLS_MODES.iter().find(|(_, mode)| *mode == c.tls).map_or("auto", |(name, _)| name)),
    },
    Key {
        name: "tls_cert",
        about: "The certificate with its chain (PEM); empty = one that the server makes and keeps in the data directory.",
        allowed: "a file",
        set: |c, v| set(&mut c.tls_cert, Some(file(v))),
        show: |c| path(c.tls_cert.as_deref()),
    },
    Key {
        name: "tls_key",
        about: "The key of tls_cert (PEM).",
        allowed: "a file",
        set: |c, v| set(&mut c.tls_key, Some(file(v))),
        show: |c| path(c.tls_key.as_deref()),
    },
    Key {
        name: "log",
        about: "How log lines look: text, or json (one object per line). They go to standard error.",
        allowed: "text or json",
        set: |c, v| set(&mut c.log, one_of(v, &[("text", LogFormat::Text), ("json", LogFormat::Json)])),
        show: |c| text(if c.log == LogFormat::Json { "json" } else { "text" }),
    },
    Key {
        name: "log_level",
        about: "Which log lines are written: error, warn, info, debug or trace; also by module: info,plimsoll::ingest=debug.",
        allowed: "error, warn, info, debug or trace, or a list such as info,plimsoll::ingest=debug",
        set: |c, v| set(&mut c.log_level, filter(v)),
        show: |c| text(&c.log_level),
    },
    Key {
        name: "stop_timeout",
        about: "How long a graceful stop waits for requests that are under way.",
        allowed: "a duration such as 10s",
        set: |c, v| set(&mut c.stop_timeout, parse_duration(v)),
        show: |c| text(print_duration(c.stop_timeout)),
    },
    Key {
        name: "storage.durability",
        about: "When a write is acknowledged: synced = it is on the disk; interval = it is handed to the operating\n\
                system and synced several times a second (a power loss may lose what came since).",
        allowed: "synced or interval",
        set: |c, v| {
            let known = [("synced", Durability::Synced), ("interval", Durability::Interval)];
            set(&mut c.storage.durability, one_of(v, &known))
        },
        show: |c| text(if c.storage.durability == Durability::Synced { "synced" } else { "interval" }),
    },
    Key {
        name: "storage.memtable_flush",
        about: "Unflushed data in memory at which it is written out as segments.",
        allowed: SIZE,
        set: |c, v| set(&mut c.storage.memtable_flush, parse_size(v)),
        show: |c| text(c.storage.memtable_flush),
    },
    Key {
        name: "storage.memtable_limit",
        about: "Unflushed data in memory at which writes wait for a flush, and are refused (429 or 503) after some seconds.",
        allowed: SIZE,
        set: |c, v| set(&mut c.storage.memtable_limit, parse_size(v)),
        show: |c| text(c.storage.memtable_limit),
    },
    Key {
        name: "storage.wal_file",
        about: "Size at which a log file is closed and the next one begun.",
        allowed: SIZE,
        set: |c, v| set(&mut c.storage.wal_file, parse_size(v)),
        show: |c| text(c.storage.wal_file),
    },
    Key {
        name: "storage.archive",
        about: "Where log files are kept after they are done with, to restore a backup to a later instant; empty = nowhere.\n\
                For the log of this database alone, best on another disk.",
        allowed: "a directory",
        set: |c, v| set(&mut c.storage.archive, Some(file(v))),
        show: |c| path(c.storage.archive.as_deref()),
    },
    Key {
        name: "storage.archive_interval",
        about: "How soon a log file is closed and archived, however small it is: so much is lost with the disk at most.",
        allowed: "a duration such as 1m",
        set: |c, v| set(&mut c.storage.archive_interval, parse_duration(v)),
        show: |c| text(print_duration(c.storage.archive_interval)),
    },
    Key {
        name: "query.memory_limit",
        about: "Memory that all running queries may hold together; beyond it they spill to DATA/tmp, or fail alone.",
        allowed: SIZE,
        set: |c, v| set(&mut c.query.memory_limit, parse_size(v)),
        show: |c| text(c.query.memory_limit),
    },
    Key {
        name: "query.spill_limit",
        about: "Disk that spilling queries may take together.",
        allowed: SIZE,
        set: |c, v| set(&mut c.query.spill_limit, parse_size(v)),
        show: |c| text(c.query.spill_limit),
    },
    Key {
        name: "query.threads",
        about: "Threads that run queries; 0 = one per core.",
        allowed: "a number from 0 to 1024",
        set: |c, v| set(&mut c.query.threads, number(v, 0, 1024)),
        show: |c| Value::Integer(c.query.threads as i64),
    },
    Key {
        name: "ingest.body_limit",
        about: "Largest body of one write request, as sent and after decompression; larger ones are answered with 413.",
        allowed: SIZE,
        set: |c, v| set(&mut c.ingest.body_limit, parse_size(v)),
        show: |c| text(c.ingest.body_limit),
    },
    Key {
        name: "ingest.queue_limit",
        about: "Bodies of write requests in work at the same time, together; beyond it requests are answered with 429 or 503.",
        allowed: SIZE,
        set: |c, v| set(&mut c.ingest.queue_limit, parse_size(v)),
        show: |c| text(c.ingest.queue_limit),
    },
    Key {
        name: "ingest.requests",
        about: "Write requests in work at the same time; beyond it requests are answered with 429 or 503.",
        allowed: "a number from 1 to 100000",
        set: |c, v| set(&mut c.ingest.requests, number(v, 1, 100_000)),
        show: |c| Value::Integer(c.ingest.requests as i64),
    },
    Key {
        name: "ingest.line_tcp",
        about: "Where line protocol is taken over plain TCP, a line each with its newline; empty = nowhere. No answers:\n\
                refused lines are logged. Whoever reaches it may write what ingest.line_user may.",
        allowed: OPTIONAL_ADDRESS,
        set: |c, v| set(&mut c.ingest.line_tcp, optional_address(v)),
        show: |c| text(c.ingest.line_tcp.map(|addr| addr.to_string()).unwrap_or_default()),
    },
    Key {
        name: "ingest.line_udp",
        about: "Where line protocol is taken over UDP; empty = nowhere. A datagram that finds no room is lost.",
        allowed: OPTIONAL_ADDRESS,
        set: |c, v| set(&mut c.ingest.line_udp, optional_address(v)),
        show: |c| text(c.ingest.line_udp.map(|addr| addr.to_string()).unwrap_or_default()),
    },
    Key {
        name: "ingest.line_user",
        about: "Whose rights all senders over ingest.line_tcp and ingest.line_udp have; needed once a user has a password.",
        allowed: "a user",
        set: |c, v| set(&mut c.ingest.line_user, Some(v.to_owned())),
        show: |c| text(&c.ingest.line_user),
    },
    Key {
        name: "sql.connections",
        about: "SQL clients connected at the same time; further ones are refused.",
        allowed: "a number from 1 to 100000",
        set: |c, v| set(&mut c.sql.connections, number(v, 1, 100_000)),
        show: |c| Value::Integer(c.sql.connections as i64),
    },
    Key {
        name: "sql.message_limit",
        about: "Largest message of a SQL client: a statement with its values.",
        allowed: SIZE,
        set: |c, v| set(&mut c.sql.message_limit, parse_size(v)),
        show: |c| text(c.sql.message_limit),
    },
];

const TLS_MODES: [(&str, TlsMode); 3] = [("auto", TlsMode::Auto), ("off", TlsMode::Off), ("require", TlsMode::Require)];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key that was probably meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let last = |key: &'static str| key.rsplit('.').next().unwrap_or(key);
    let distance = |key: &'static str| edits(name, key).min(edits(name, last(key)) + 1);
    let best = KEYS.iter().map(|key| (distance(key.name), key.name)).min()?;
    (best.0 <= name.len().div_ceil(3)).then_some(best.1)
}

/// The file that gives `config`, with comments.
pub(super) fn print(config: &Config) -> String {
    let mut out = String::from(
        "# Plimsoll's configuration: `plimsoll serve --config FILE`. A key left out has its default.\n\
         # The environment (PLIMSOLL_HTTP, PLIMSOLL_QUERY_MEMORY_LIMIT, ...) overrides the file, flags override both.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != section {
            out.push_str(&format!("\n[{of}]\n"));
            section = of;
        }
        let comment = key.about.replace('\n', "\n# ");
        out.push_str(&format!("\n# {comment}\n{name} = {}\n", (key.show)(config)));
    }
    out
}

fn set<T>(target: &mut T, value: Option<T>) -> Option<()> {
    *target = value?;
    Some(())
}

fn text(value: impl Display) -> Value {
    Value::String(value.to_string())
}

/// A file that may be left out.
fn file(value: &str) -> Option<PathBuf> {
    (!value.is_empty()).then(|| PathBuf::from(value))
}

fn path(path: Option<&std::path::Path>) -> Value {
    text(path.unwrap_or(std::path::Path::new("")).display())
}

fn number(value: &str, min: usize, max: usize) -> Option<usize> {
    value.parse().ok().filter(|number| (min..=max).contains(number))
}

fn address(value: &str) -> Option<SocketAddr> {
    match value.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
        None => value.parse().ok(),
    }
}

/// An address that may be left out.
fn optional_address(value: &str) -> Option<Option<SocketAddr>> {
    if value.is_empty() { Some(None) } else { address(value).map(Some) }
}

fn filter(value: &str) -> Option<String> {
    let filter = tracing_subscriber::EnvFilter::builder().parse(value).ok()?;
    // A bare word that is no level reads as the name of a module: almost always a misspelt level.
    let misspelt =
        |part: &str| !part.contains(['=', ':', '[']) && part.parse::<tracing::Level>().is_err() && part != "off";
    (!value.is_empty() && !value.split(',').any(|part| misspelt(part.trim()))).then(|| filter.to_string())?;
    Some(value.to_owned())
}

fn one_of<T: Copy>(value: &str, known: &[(&str, T)]) -> Option<T> {
    known.iter().find(|(name, _)| *name == value).map(|(_, value)| *value)
}

/// Levenshtein's distance: how many letters to add, drop or change.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
