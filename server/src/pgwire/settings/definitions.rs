//! The settings there are, what values they take, and how a value is shown. Names, defaults and words are PostgreSQL 15's.

use super::super::catalog::SERVER_VERSION;
use super::super::sqlstate::{SqlError, code};
use super::super::zone::Zone;

/// One setting.
pub(crate) struct Definition {
    /// Its name as shown; looked up in any case.
    pub(crate) name: &'static str,
    /// Its value until it is set.
    pub(crate) default: &'static str,
    pub(super) kind: Kind,
    /// One sentence for `SHOW ALL`.
    pub(crate) description: &'static str,
}

/// Which values a setting takes.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Anything.
    Text,
    /// A list of names, shown with quotes where they need them.
    Names,
    /// `on` or `off`.
    Bool,
    /// A whole number.
    Integer(i64, i64),
    /// A number.
    Real,
    /// A duration; a bare number is in milliseconds.
    Milliseconds,
    /// A size, kept as written.
    Size,
    /// One of these words.
    Words(&'static [&'static str]),
    /// One of these words, of which only the first is offered here.
    First(&'static [&'static str]),
    Encoding,
    DateStyle,
    Zone,
    /// Cannot be set.
    Fixed,
}

const ISOLATION: &[&str] = &["serializable", "repeatable read", "read committed", "read uncommitted"];
const MESSAGES: &[&str] = &["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];

/// Settings whose value a client is told at the start and whenever it changes.
pub(crate) const REPORTED: &[&str] = &[
    "server_version",
    "server_encoding",
    "client_encoding",
    "DateStyle",
    "TimeZone",
    "integer_datetimes",
    "standard_conforming_strings",
    "IntervalStyle",
    "is_superuser",
    "session_authorization",
    "application_name",
    "in_hot_standby",
    "default_transaction_read_only",
];

/// All settings, by name. Those that steer PostgreSQL's planner or storage are taken and have no effect.
pub(crate) const DEFINITIONS: &[Definition] = &[
    define("application_name", "", Kind::Text, "Sets the application name to be reported in statistics and logs."),
    define("bytea_output", "hex", Kind::First(&["hex", "escape"]), "Sets the output format for bytea."),
    define("check_function_bodies", "on", Kind::Bool, "Accepted, without effect."),
    define("client_encoding", "UTF8", Kind::Encoding, "Sets the client's character set encoding."),
    define(
        "client_min_messages",
        "notice",
        Kind::Words(MESSAGES),
        "Sets the message levels that are sent to the client.",
    ),
    define("constraint_exclusion", "partition", Kind::Words(&["partition", "on", "off"]), "Accepted, without effect."),
    define("cursor_tuple_fraction", "0.1", Kind::Real, "Accepted, without effect."),
    define("DateStyle", "ISO, MDY", Kind::DateStyle, "Sets the display format for date and time values."),
    define("default_table_access_method", "heap", Kind::Text, "Accepted, without effect."),
    define("default_tablespace", "", Kind::Text, "Accepted, without effect."),
    define(
        "default_transaction_deferrable",
        "off",
        Kind::Bool,
        "Sets the default deferrable status of new transactions.",
    ),
    define(
        "default_transaction_isolation",
        "read committed",
        Kind::Words(ISOLATION),
        "Sets the transaction isolation level of each new transaction.",
    ),
    define(
        "default_transaction_read_only",
        "off",
        Kind::Bool,
        "Sets the default read-only status of new transactions.",
    ),
    define("effective_cache_size", "4GB", Kind::Size, "Accepted, without effect."),
    define("enable_bitmapscan", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_hashagg", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_hashjoin", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_incremental_sort", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_indexonlyscan", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_indexscan", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_material", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_memoize", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_mergejoin", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_nestloop", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_partition_pruning", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_seqscan", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_sort", "on", Kind::Bool, "Accepted, without effect."),
    define("enable_tidscan", "on", Kind::Bool, "Accepted, without effect."),
    define("escape_string_warning", "on", Kind::Bool, "Accepted, without effect."),
    define(
        "extra_float_digits",
        "1",
        Kind::Integer(-15, 3),
        "Accepted; floating-point values are always shown with the digits that read back exactly.",
    ),
    define("from_collapse_limit", "8", Kind::Integer(1, 2_147_483_647), "Accepted, without effect."),
    define("geqo", "on", Kind::Bool, "Accepted, without effect."),
    define("idle_in_transaction_session_timeout", "0", Kind::Milliseconds, "Accepted, without effect."),
    define("idle_session_timeout", "0", Kind::Milliseconds, "Accepted, without effect."),
    define("in_hot_standby", "off", Kind::Fixed, "Shows whether hot standby is currently active."),
    define("integer_datetimes", "on", Kind::Fixed, "Shows whether datetimes are integer based."),
    define(
        "IntervalStyle",
        "postgres",
        Kind::First(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
        "Sets the display format for interval values.",
    ),
    define("is_superuser", "on", Kind::Fixed, "Shows whether the current user is a superuser."),
    define("jit", "off", Kind::Bool, "Accepted, without effect."),
    define("join_collapse_limit", "8", Kind::Integer(1, 2_147_483_647), "Accepted, without effect."),
    define("lc_collate", "C", Kind::Fixed, "Shows the collation order locale."),
    define("lc_ctype", "C", Kind::Fixed, "Shows the character classification and case conversion locale."),
    define(
        "lc_messages",
        "C",
        Kind::Words(&["C", "POSIX", "C.UTF-8", "en_US.UTF-8"]),
        "Sets the language of messages.",
    ),
    define("lc_monetary", "C", Kind::Text, "Accepted, without effect."),
    define("lc_numeric", "C", Kind::Text, "Accepted, without effect."),
    define("lc_time", "C", Kind::Text, "Accepted, without effect."),
    define("lock_timeout", "0", Kind::Milliseconds, "Accepted, without effect: nothing waits for locks."),
    define("maintenance_work_mem", "64MB", Kind::Size, "Accepted, without effect."),
    define("max_identifier_length", "63", Kind::Fixed, "Shows the maximum identifier length."),
    define("max_index_keys", "32", Kind::Fixed, "Shows the maximum number of index keys."),
    define("max_parallel_workers_per_gather", "2", Kind::Integer(0, 1024), "Accepted, without effect."),
    define(
        "password_encryption",
        "scram-sha-256",
        Kind::First(&["scram-sha-256", "md5"]),
        "Chooses how passwords are stored.",
    ),
    define(
        "plan_cache_mode",
        "auto",
        Kind::Words(&["auto", "force_generic_plan", "force_custom_plan"]),
        "Accepted, without effect.",
    ),
    define("quote_all_identifiers", "off", Kind::Bool, "Accepted, without effect."),
    define("random_page_cost", "4", Kind::Real, "Accepted, without effect."),
    define("row_security", "on", Kind::Bool, "Accepted, without effect."),
    define(
        "search_path",
        "\"$user\", public",
        Kind::Names,
        "Sets the schema search order for names that are not schema-qualified.",
    ),
    define("seq_page_cost", "1", Kind::Real, "Accepted, without effect."),
    define("server_encoding", "UTF8", Kind::Fixed, "Shows the server (database) character set encoding."),
    define("server_version", SERVER_VERSION, Kind::Fixed, "Shows the server version."),
    define("server_version_num", "150000", Kind::Fixed, "Shows the server version as an integer."),
    define("session_authorization", "", Kind::Fixed, "Shows the current session user name."),
    define(
        "session_replication_role",
        "origin",
        Kind::Words(&["origin", "replica", "local"]),
        "Accepted, without effect.",
    ),
    define(
        "standard_conforming_strings",
        "on",
        Kind::First(&["on", "off"]),
        "Causes '...' strings to treat backslashes literally.",
    ),
    define("statement_timeout", "0", Kind::Milliseconds, "Sets the maximum allowed duration of any statement."),
    define(
        "synchronous_commit",
        "on",
        Kind::Text,
        "Accepted, without effect: the server's durability holds for every session.",
    ),
    define("synchronize_seqscans", "on", Kind::Bool, "Accepted, without effect."),
    define("tcp_keepalives_count", "0", Kind::Integer(0, 2_147_483_647), "Accepted, without effect."),
    define("tcp_keepalives_idle", "0", Kind::Integer(0, 2_147_483_647), "Accepted, without effect."),
    define("tcp_keepalives_interval", "0", Kind::Integer(0, 2_147_483_647), "Accepted, without effect."),
    define("temp_buffers", "8MB", Kind::Size, "Accepted, without effect."),
    define("TimeZone", "UTC", Kind::Zone, "Sets the time zone for displaying and interpreting time stamps."),
    define("timezone_abbreviations", "Default", Kind::Text, "Accepted, without effect."),
    define("track_activities", "on", Kind::Bool, "Accepted, without effect."),
    define("transaction_deferrable", "off", Kind::Bool, "Sets whether the current transaction may be deferred."),
    define(
        "transaction_isolation",
        "read committed",
        Kind::Words(ISOLATION),
        "Sets the current transaction's isolation level.",
    ),
    define("transaction_read_only", "off", Kind::Bool, "Sets the current transaction's read-only status."),
    define("transform_null_equals", "off", Kind::First(&["off", "on"]), "Treats \"expr=NULL\" as \"expr IS NULL\"."),
    define(
        "work_mem",
        "4MB",
        Kind::Size,
        "Accepted, without effect: the server limits the memory of all queries together.",
    ),
    define("xmloption", "content", Kind::Words(&["content", "document"]), "Accepted, without effect."),
];

const fn define(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Definition {
    Definition { name, default, kind, description }
}

/// The setting of that name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name.eq_ignore_ascii_case(name))
}

impl Definition {
    /// Checks the arguments of `SET` and gives the value as it is shown.
    ///
    /// # Errors
    /// 22023 for a value that the setting does not take, 0A000 for one that is not offered here, 55P02 where none can be set.
    pub(super) fn accept(&self, arguments: &[&str]) -> Result<String, SqlError> {
        match (self.kind, arguments) {
            (Kind::Fixed, _) => Err(SqlError::new(
                code::CANT_CHANGE_PARAMETER,
                format!("parameter \"{}\" cannot be changed", self.name),
            )),
            (Kind::Names, names) => Ok(names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")),
            (Kind::DateStyle, words) => self.date_style(&words.join(",")),
            (_, [value]) => self.accept_one(value),
            _ => {
                let message = format!("SET {} takes only one argument", self.name);
                Err(SqlError::new(code::INVALID_PARAMETER_VALUE, message))
            }
        }
    }

    /// As [`Definition::accept`], for a value that comes as one text, as in a startup packet.
    pub(super) fn accept_text(&self, value: &str) -> Result<String, SqlError> {
        match self.kind {
            Kind::Names => Ok(value.to_owned()),
            _ => self.accept(&[value]),
        }
    }

    fn accept_one(&self, value: &str) -> Result<String, SqlError> {
        match self.kind {
            Kind::Bool => match boolean(value) {
                Some(true) => Ok("on".to_owned()),
                Some(false) => Ok("off".to_owned()),
                None => {
                    let message = format!("parameter \"{}\" requires a Boolean value", self.name);
                    Err(SqlError::new(code::INVALID_PARAMETER_VALUE, message))
                }
            },
            Kind::Integer(min, max) => {
                let number = value.trim().parse().map_err(|_| self.invalid(value))?;
                self.in_range(number, min, max, "").map(|number| number.to_string())
            }
            Kind::Real => value.trim().parse::<f64>().map(|_| value.trim().to_owned()).map_err(|_| self.invalid(value)),
            Kind::Milliseconds => self.milliseconds(value),
            Kind::Words(words) => self.word(value, words).map(str::to_owned),
            Kind::First(words) => match boolean(value).filter(|_| words.contains(&"on")) {
                Some(on) => self.offered(if on { "on" } else { "off" }, words),
                None => self.offered(self.word(value, words)?, words),
            },
            Kind::Encoding => self.encoding(value),
            Kind::Zone => Zone::parse(value).map(|zone| zone.shown().to_owned()).ok_or_else(|| self.invalid(value)),
            Kind::Text | Kind::Size | Kind::Names | Kind::DateStyle | Kind::Fixed => Ok(value.to_owned()),
        }
    }

    fn invalid(&self, value: &str) -> SqlError {
        let message = format!("invalid value for parameter \"{}\": \"{value}\"", self.name);
        SqlError::new(code::INVALID_PARAMETER_VALUE, message)
    }

    fn in_range(&self, number: i64, min: i64, max: i64, unit: &str) -> Result<i64, SqlError> {
        if (min..=max).contains(&number) {
            return Ok(number);
        }
        let message =
            format!("{number}{unit} is outside the valid range for parameter \"{}\" ({min} .. {max})", self.name);
        Err(SqlError::new(code::INVALID_PARAMETER_VALUE, message))
    }

    fn word(&self, value: &str, words: &'static [&'static str]) -> Result<&'static str, SqlError> {
        let found = words.iter().find(|word| word.eq_ignore_ascii_case(value)).copied();
        found.ok_or_else(|| self.invalid(value).with_hint(format!("Available values: {}.", words.join(", "))))
    }

    fn offered(&self, word: &'static str, words: &'static [&'static str]) -> Result<String, SqlError> {
        if word == words[0] {
            return Ok(word.to_owned());
        }
        let message = format!("{} = {word} is not supported", self.name);
        Err(SqlError::unsupported(message).with_hint(format!("The value is always {}.", words[0])))
    }

    fn milliseconds(&self, value: &str) -> Result<String, SqlError> {
        let ms = milliseconds(value).ok_or_else(|| {
            let units = "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".";
            self.invalid(value).with_hint(units)
        })?;
        let ms = self.in_range(ms, 0, 2_147_483_647, " ms")?;
        let unit = UNITS_MS.iter().rev().find(|(_, unit_ms)| *unit_ms >= 1.0 && ms % *unit_ms as i64 == 0);
        Ok(match unit {
            Some((unit, unit_ms)) if ms != 0 => format!("{}{unit}", ms / *unit_ms as i64),
            _ => "0".to_owned(),
        })
    }

    /// Text leaves as UTF-8. A client that names no character set of its own (`SQL_ASCII`) gets the same bytes.
    fn encoding(&self, value: &str) -> Result<String, SqlError> {
        let name: String = value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
        match name.as_str() {
            "UTF8" | "UNICODE" => Ok("UTF8".to_owned()),
            "SQLASCII" => Ok("SQL_ASCII".to_owned()),
            _ if KNOWN_ENCODINGS.iter().any(|known| name.starts_with(known)) => {
                let message = format!("conversion between {value} and UTF8 is not supported");
                Err(SqlError::unsupported(message).with_hint("Set client_encoding to UTF8."))
            }
            _ => Err(self.invalid(value)),
        }
    }

    /// Output is always ISO; the order of day and month steers only how input is read.
    fn date_style(&self, value: &str) -> Result<String, SqlError> {
        let mut order = "MDY";
        for word in value.split(',').map(str::trim) {
            match word.to_ascii_uppercase().as_str() {
                "ISO" | "DEFAULT" => {}
                "MDY" | "US" | "NONEURO" | "NONEUROPEAN" => order = "MDY",
                "DMY" | "EURO" | "EUROPEAN" => order = "DMY",
                "YMD" => order = "YMD",
                "SQL" | "GERMAN" | "POSTGRES" => {
                    let message = format!("DateStyle {word} is not supported");
                    return Err(SqlError::unsupported(message).with_hint("The style is always ISO."));
                }
                _ => return Err(self.invalid(value).with_detail(format!("Unrecognized key word: \"{word}\"."))),
            }
        }
        Ok(format!("ISO, {order}"))
    }
}

/// Beginnings of names of character sets that PostgreSQL converts.
const KNOWN_ENCODINGS: &[&str] =
    &["LATIN", "ISO8859", "WIN", "KOI8", "EUC", "SJIS", "SHIFTJIS", "BIG5", "GB", "UHC", "JOHAB", "MULEINTERNAL"];

const UNITS_MS: &[(&str, f64)] =
    &[("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("min", 60_000.0), ("h", 3_600_000.0), ("d", 86_400_000.0)];

/// Reads a duration such as `90s`, `1.5 min` or `250`, in milliseconds.
pub(super) fn milliseconds(value: &str) -> Option<i64> {
    let value = value.trim();
    let unit_at = value.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(value.len());
    let (number, unit) = value.split_at(unit_at);
    let unit_ms = match unit {
        "" => 1.0,
        unit => UNITS_MS.iter().find(|(name, _)| *name == unit)?.1,
    };
    let ms = number.trim().parse::<f64>().ok()? * unit_ms;
    ms.is_finite().then(|| ms.round() as i64)
}

/// PostgreSQL takes every beginning of a Boolean word that is not the beginning of another.
pub(super) fn boolean(value: &str) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    match value.as_str() {
        "1" => Some(true),
        "0" => Some(false),
        _ if begins("true", 1) || begins("yes", 1) || begins("on", 2) => Some(true),
        _ if begins("false", 1) || begins("no", 1) || begins("off", 2) => Some(false),
        _ => None,
    }
}

fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}
