//! The settings of one session (PostgreSQL's GUCs): values, their validation, and what transactions do to them.
//!
//! A value set inside a transaction goes away with a rollback; one set with `SET LOCAL` goes away with the transaction.

mod definitions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use definitions::{DEFINITIONS, Definition, REPORTED, find};
use definitions::{boolean, milliseconds};

use super::sqlstate::{SqlError, code};
use super::zone::Zone;

/// Values by lower-case name, where they differ from the default.
type Values = BTreeMap<String, String>;

/// How long a value set by a statement lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Until the session ends.
    Session,
    /// Until the transaction ends.
    Transaction,
}

/// The settings of a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// What `RESET` goes back to: what the client asked for at the start.
    initial: Values,
    /// What stays when the transaction commits.
    session: Values,
    /// What holds now; a new value of the pointer with each change.
    effective: Arc<Values>,
}

/// The values at a point of a transaction, to go back to.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    session: Values,
    effective: Values,
}

impl Settings {
    /// The value of a setting as `SHOW` prints it. Names are looked up in any case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        if let Some(value) = self.effective.get(&name) {
            return Some(value);
        }
        // A transaction that is told nothing is as the session's transactions are.
        match name.strip_prefix("transaction_") {
            Some(mode) if matches!(mode, "isolation" | "read_only" | "deferrable") => {
                self.get(&format!("default_transaction_{mode}"))
            }
            _ => find(&name).map(|definition| definition.default),
        }
    }

    /// What holds now, to tell whether anything has changed since. Whoever keeps it sees a new pointer after each change.
    pub(crate) fn effective(&self) -> &Arc<BTreeMap<String, String>> {
        &self.effective
    }

    /// The value of a setting that exists.
    fn known(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Takes a value from the startup packet.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub(crate) fn set_initial(&mut self, name: &str, value: &str) -> Result<(), SqlError> {
        let value = match find(name) {
            Some(definition) => definition.accept_text(value)?,
            None => custom(name).map(|()| value.to_owned())?,
        };
        self.force(name, value);
        Ok(())
    }

    /// Gives a setting that no client can change its value for this session.
    pub(crate) fn force(&mut self, name: &str, value: String) {
        let name = name.to_ascii_lowercase();
        self.initial.insert(name.clone(), value.clone());
        self.session.insert(name.clone(), value.clone());
        Arc::make_mut(&mut self.effective).insert(name, value);
    }

    /// Performs `SET name = arguments`.
    ///
    /// # Errors
    /// 42704 for a name that does not exist and has no dot; 22023, 0A000 or 55P02 for the value.
    pub(crate) fn set(&mut self, name: &str, arguments: &[&str], scope: Scope) -> Result<(), SqlError> {
        let value = match find(name) {
            Some(definition) => definition.accept(arguments)?,
            None => custom(name).map(|()| arguments.join(", "))?,
        };
        self.put(&name.to_ascii_lowercase(), Some(&value), scope);
        Ok(())
    }

    /// Performs `RESET name`.
    ///
    /// # Errors
    /// 42704 for a name that does not exist.
    pub(crate) fn reset(&mut self, name: &str, scope: Scope) -> Result<(), SqlError> {
        if self.get(name).is_none() {
            custom(name)?;
        }
        let name = name.to_ascii_lowercase();
        let value = self.initial.get(&name).cloned();
        self.put(&name, value.as_deref(), scope);
        Ok(())
    }

    /// Performs `RESET ALL`. What belongs to the current transaction stays.
    pub(crate) fn reset_all(&mut self) {
        let of_transaction = |name: &String| name.starts_with("transaction_");
        let kept: Values = self.effective.iter().filter(|(name, _)| of_transaction(name)).map(owned).collect();
        self.session = self.initial.clone();
        self.effective = Arc::new(self.initial.iter().map(owned).chain(kept).collect());
    }

    fn put(&mut self, name: &str, value: Option<&str>, scope: Scope) {
        let scope = if name.starts_with("transaction_") { Scope::Transaction } else { scope };
        let targets = match scope {
            Scope::Session => [Some(&mut self.session), Some(Arc::make_mut(&mut self.effective))],
            Scope::Transaction => [Some(Arc::make_mut(&mut self.effective)), None],
        };
        for values in targets.into_iter().flatten() {
            match value {
                Some(value) => values.insert(name.to_owned(), value.to_owned()),
                None => values.remove(name),
            };
        }
    }

    /// The values as they are now.
    pub(crate) fn mark(&self) -> Mark {
        Mark { session: self.session.clone(), effective: Values::clone(&self.effective) }
    }

    /// Goes back to what `mark` saw.
    pub(crate) fn roll_back_to(&mut self, mark: Mark) {
        self.session = mark.session;
        self.effective = Arc::new(mark.effective);
    }

    /// Ends a transaction: what was set for it alone goes away.
    pub(crate) fn end_transaction(&mut self) {
        self.effective = Arc::new(self.session.clone());
    }

    /// The zone in which timestamps are shown.
    pub(crate) fn zone(&self) -> Zone {
        Zone::parse(self.known("TimeZone")).unwrap_or_default()
    }

    /// How long a statement may run, if that is limited.
    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        let ms = milliseconds(self.known("statement_timeout")).and_then(|ms| u64::try_from(ms).ok());
        ms.filter(|ms| *ms > 0).map(Duration::from_millis)
    }

    /// Whether warnings are sent.
    pub(crate) fn warnings_are_wanted(&self) -> bool {
        self.known("client_min_messages") != "error"
    }

    /// The value of an on/off setting.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        boolean(self.known(name)).unwrap_or(false)
    }
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

/// A name with a dot belongs to some extension or application and may be set to anything.
fn custom(name: &str) -> Result<(), SqlError> {
    if name.contains('.') {
        return Ok(());
    }
    Err(SqlError::new(code::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Result<String, String> {
        let mut settings = Settings::default();
        match settings.set(name, &[value], Scope::Session) {
            Ok(()) => Ok(settings.get(name).unwrap().to_owned()),
            Err(error) => Err(format!("{} {}", error.code, error.message)),
        }
    }

    /// What PostgreSQL 15 showed, or said.
    #[test]
    fn values_as_postgresql_15() {
        for (name, value, shown) in [
            ("statement_timeout", "5s", "5s"),
            ("statement_timeout", "1500", "1500ms"),
            ("statement_timeout", "90000", "90s"),
            ("statement_timeout", "0", "0"),
            ("timezone", "europe/berlin", "Europe/Berlin"),
            ("client_encoding", "utf-8", "UTF8"),
            ("client_encoding", "UNICODE", "UTF8"),
            ("datestyle", "ISO", "ISO, MDY"),
            ("datestyle", "iso, dmy", "ISO, DMY"),
            ("jit", "of", "off"),
            ("jit", "T", "on"),
            ("extra_float_digits", "3", "3"),
            ("standard_conforming_strings", "true", "on"),
            ("search_path", "B c", "\"B c\""),
            ("default_transaction_isolation", "Serializable", "serializable"),
            ("foo.bar", "x", "x"),
        ] {
            assert_eq!(set(name, value).as_deref(), Ok(shown), "{name} = {value}");
        }
        for (name, value, said) in [
            ("foo", "1", "42704 unrecognized configuration parameter \"foo\""),
            ("timezone", "Bogus/Zone", "22023 invalid value for parameter \"TimeZone\": \"Bogus/Zone\""),
            (
                "statement_timeout",
                "-1",
                "22023 -1 ms is outside the valid range for parameter \"statement_timeout\" (0 .. 2147483647)",
            ),
            ("statement_timeout", "abc", "22023 invalid value for parameter \"statement_timeout\": \"abc\""),
            (
                "extra_float_digits",
                "7",
                "22023 7 is outside the valid range for parameter \"extra_float_digits\" (-15 .. 3)",
            ),
            ("jit", "o", "22023 parameter \"jit\" requires a Boolean value"),
            ("server_version", "x", "55P02 parameter \"server_version\" cannot be changed"),
            ("client_encoding", "xx", "22023 invalid value for parameter \"client_encoding\": \"xx\""),
            ("client_encoding", "latin1", "0A000 conversion between latin1 and UTF8 is not supported"),
            ("standard_conforming_strings", "0", "0A000 standard_conforming_strings = off is not supported"),
        ] {
            assert_eq!(set(name, value).err().as_deref(), Some(said), "{name} = {value}");
        }
    }

    #[test]
    fn transactions_take_values_back() {
        let mut settings = Settings::default();
        settings.set_initial("application_name", "app").unwrap();
        let begin = settings.mark();
        settings.set("timezone", &["Asia/Kolkata"], Scope::Session).unwrap();
        settings.set("application_name", &["local"], Scope::Transaction).unwrap();
        assert_eq!(settings.get("application_name"), Some("local"));
        settings.end_transaction();
        assert_eq!(settings.get("application_name"), Some("app"));
        assert_eq!(settings.get("TIMEZONE"), Some("Asia/Kolkata"));
        settings.roll_back_to(begin);
        assert_eq!(settings.get("TimeZone"), Some("UTC"));
        settings.set("application_name", &["x"], Scope::Session).unwrap();
        settings.reset_all();
        assert_eq!(settings.get("application_name"), Some("app"));
    }

    #[test]
    fn every_default_is_a_value() {
        for definition in DEFINITIONS {
            let taken = definition.accept_text(definition.default).ok();
            let fixed = matches!(definition.kind, definitions::Kind::Fixed);
            assert!(fixed || taken.as_deref() == Some(definition.default), "{}", definition.name);
        }
        assert!(REPORTED.iter().all(|name| find(name).is_some()));
    }
}
