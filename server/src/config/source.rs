//! Where settings come from: the TOML file, the environment, flags. Each becomes a list of (key, value, origin).

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, keys};

const PREFIX: &str = "PLIMSOLL_";

/// The agent reads its own flags and variables; they are no keys of the server.
const OTHERS: [&str; 2] = ["PLIMSOLL_AGENT_", "PLIMSOLL_CONFIG"];

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, counted from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::Flag(name) => write!(f, "{name}"),
        }
    }
}

/// A value for a key, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Name with dots.
    pub key: String,
    /// As text, whatever its type was in the file.
    pub value: String,
    /// Where it was written.
    pub origin: Origin,
}

/// The settings of a flag.
pub(super) fn flag(flag: &str, key: &str, value: &str) -> Setting {
    Setting { key: key.to_owned(), value: value.to_owned(), origin: Origin::Flag(flag.to_owned()) }
}

/// The settings of the environment, and the variables with our prefix that name no key (with what they may have meant).
pub(super) fn environment(variables: &[(String, String)]) -> (Vec<Setting>, Vec<String>) {
    let (mut settings, mut unknown) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        if !name.starts_with(PREFIX) || OTHERS.iter().any(|other| name.starts_with(other)) {
            continue;
        }
        match keys::KEYS.iter().find(|key| variable(key.name) == *name) {
            Some(key) => settings.push(Setting {
                key: key.name.to_owned(),
                value: value.clone(),
                origin: Origin::Environment(name.clone()),
            }),
            None => unknown.push(name.clone()),
        }
    }
    (settings, unknown)
}

/// The environment variable of a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// The settings of a TOML file.
pub(super) fn file(path: &Path) -> Result<Vec<Setting>, ConfigError> {
    let unreadable = |why: String| ConfigError::Unreadable { path: path.to_owned(), why };
    let text = fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
    toml_text(path, &text)
}

fn toml_text(path: &Path, text: &str) -> Result<Vec<Setting>, ConfigError> {
    let table = DeTable::parse(text).map_err(|e| ConfigError::Syntax {
        path: path.to_owned(),
        line: line_of(text, e.span().unwrap_or_default()),
        why: e.message().to_owned(),
    })?;
    let mut settings = Vec::new();
    collect(path, text, "", table.get_ref(), &mut settings);
    // The file's order, so that the first wrong line is the one that is named.
    settings.sort_by_key(|(at, _)| *at);
    Ok(settings.into_iter().map(|(_, setting)| setting).collect())
}

fn collect(path: &Path, text: &str, section: &str, table: &DeTable<'_>, settings: &mut Vec<(usize, Setting)>) {
    for (name, value) in table {
        let key = if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) };
        let line = line_of(text, name.span());
        match value.get_ref() {
            DeValue::Table(inner) if keys::find(&key).is_none() && !inner.is_empty() => {
                collect(path, text, &key, inner, settings);
            }
            _ => {
                let origin = Origin::File(path.to_owned(), line);
                settings.push((name.span().start, Setting { key, value: as_text(text, value), origin }));
            }
        }
    }
}

/// A string without its quotes; anything else as it stands in the file.
fn as_text(text: &str, value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        DeValue::String(string) => string.to_string(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().to_owned(),
        _ => text.get(value.span()).unwrap_or_default().to_owned(),
    }
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    1 + text.bytes().take(span.start).filter(|b| *b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, String)> {
        let settings = toml_text(Path::new("p.toml"), text).expect("the text is TOML");
        settings.into_iter().map(|s| (s.key, s.value, s.origin.to_string())).collect()
    }

    #[test]
    fn every_value_comes_with_its_line() {
        let found = read("# a comment\nhttp = \"127.0.0.1:1\"\n\n[query]\nthreads = 1_0\nmemory_limit = [1]\n");
        let wanted = [
            ("http", "127.0.0.1:1", "p.toml:2"),
            ("query.threads", "10", "p.toml:5"),
            ("query.memory_limit", "[1]", "p.toml:6"),
        ];
        assert_eq!(found, wanted.map(|(k, v, o)| (k.to_owned(), v.to_owned(), o.to_owned())));
    }

    #[test]
    fn dotted_and_inline_tables_are_the_same_keys() {
        assert_eq!(read("query.threads = 1")[0].0, "query.threads");
        assert_eq!(read("query = { threads = 1 }")[0].0, "query.threads");
    }

    #[test]
    fn broken_toml_names_the_line() {
        let error = toml_text(Path::new("p.toml"), "data = \"x\"\nhttp = \n").expect_err("no value");
        assert!(error.to_string().starts_with("p.toml:2: "), "{error}");
    }

    #[test]
    fn the_environment_gives_keys_and_names_what_it_does_not_know() {
        let variables = [
            ("PLIMSOLL_QUERY_MEMORY_LIMIT", "1GiB"),
            ("PLIMSOLL_SERVICE_HOST", "10.0.0.1"),
            ("PLIMSOLL_AGENT_TO", "http://h"),
            ("PATH", "/bin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (settings, unknown) = environment(&variables);
        assert_eq!(settings.len(), 1);
        assert_eq!((settings[0].key.as_str(), settings[0].value.as_str()), ("query.memory_limit", "1GiB"));
        assert_eq!(unknown, ["PLIMSOLL_SERVICE_HOST"]);
    }
}
