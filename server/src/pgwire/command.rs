//! Statements that belong to the connection, not to the data: settings, transactions, prepared statements, channels.
//!
//! They are told by their parsed form. What they do is in `session`.

use datafusion::sql::sqlparser::ast::{
    CloseCursor, ContextModifier, DiscardObject, Expr, Ident, ObjectName, ObjectType, Reset, Set,
    SetSessionAuthorizationParamKind, Statement, TransactionAccessMode, TransactionMode, UnaryOperator, Value,
};

use super::settings::Scope;
use super::sqlstate::{SqlError, code};
use super::zone::Zone;

/// A statement that the connection carries out itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    Set {
        name: String,
        arguments: Vec<String>,
        scope: Scope,
    },
    /// `RESET name`, or `SET name TO DEFAULT`.
    Reset {
        name: String,
        scope: Scope,
        tag: &'static str,
    },
    ResetAll,
    Show {
        name: String,
    },
    ShowAll,
    /// Modes of the transaction that is open, or of all that the session will open.
    SetTransaction {
        modes: Modes,
        scope: Scope,
    },
    /// Accepted without effect, with the tag of the answer.
    Accept(&'static str),
    /// `LISTEN channel`
    Listen(String),
    /// `UNLISTEN channel`; all without one
    Unlisten(Option<String>),
    /// `NOTIFY channel, 'payload'`
    Notify {
        channel: String,
        payload: String,
    },
    Begin {
        modes: Modes,
        tag: &'static str,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    DiscardAll,
    /// `None` is ALL.
    Deallocate(Option<String>),
    /// `None` is ALL.
    Close(Option<String>),
}

/// Modes of a transaction, as far as they are named.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Modes {
    pub(crate) isolation: Option<String>,
    pub(crate) read_only: Option<bool>,
}

impl Command {
    /// The connection's command that a statement is, if it is one.
    ///
    /// # Errors
    /// For spellings that PostgreSQL has and this server does not.
    pub(crate) fn of(statement: &Statement) -> Result<Option<Command>, SqlError> {
        Ok(Some(match statement {
            Statement::Set(set) => self::set(set)?,
            Statement::Reset(reset) => match &reset.reset {
                Reset::ALL => Command::ResetAll,
                Reset::ConfigurationParameter(name) => {
                    Command::Reset { name: object_name(name), scope: Scope::Session, tag: "RESET" }
                }
            },
            Statement::ShowVariable { variable } => show(variable),
            Statement::StartTransaction { modes, begin, statements, .. } if statements.is_empty() => {
                Command::Begin { modes: self::modes(modes), tag: if *begin { "BEGIN" } else { "START TRANSACTION" } }
            }
            Statement::Commit { chain, .. } => Command::Commit { chain: *chain },
            Statement::Rollback { chain, savepoint: None } => Command::Rollback { chain: *chain },
            Statement::Rollback { savepoint: Some(name), .. } => Command::RollbackTo(identifier(name)),
            Statement::Savepoint { name } => Command::Savepoint(identifier(name)),
            Statement::ReleaseSavepoint { name } => Command::Release(identifier(name)),
            Statement::Discard { object_type } => match object_type {
                DiscardObject::ALL => Command::DiscardAll,
                DiscardObject::PLANS => Command::Accept("DISCARD PLANS"),
                DiscardObject::SEQUENCES => Command::Accept("DISCARD SEQUENCES"),
                DiscardObject::TEMP => Command::Accept("DISCARD TEMP"),
            },
            Statement::Deallocate { name, .. } => Command::Deallocate(all_or(name)),
            Statement::Close { cursor: CloseCursor::All } => Command::Close(None),
            Statement::Close { cursor: CloseCursor::Specific { name } } => Command::Close(Some(identifier(name))),
            Statement::LISTEN { channel } => Command::Listen(identifier(channel)),
            Statement::UNLISTEN { channel } if channel.value == "*" => Command::Unlisten(None),
            Statement::UNLISTEN { channel } => Command::Unlisten(Some(identifier(channel))),
            Statement::NOTIFY { channel, payload } => {
                Command::Notify { channel: identifier(channel), payload: payload.clone().unwrap_or_default() }
            }
            _ => return Ok(None),
        }))
    }

    /// Whether it may run in a transaction that has failed: only what ends the failure.
    pub(crate) fn ends_failure(&self) -> bool {
        matches!(self, Command::Commit { .. } | Command::Rollback { .. } | Command::RollbackTo(_))
    }

    /// The word by which the command is counted.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Command::Set { .. } | Command::Reset { .. } | Command::ResetAll | Command::SetTransaction { .. } => "set",
            Command::Show { .. } | Command::ShowAll => "show",
            Command::Begin { .. }
            | Command::Commit { .. }
            | Command::Rollback { .. }
            | Command::Savepoint(_)
            | Command::Release(_)
            | Command::RollbackTo(_) => "transaction",
            _ => "session",
        }
    }
}

/// The tag that PostgreSQL answers a statement with that returns rows without being a query.
pub(crate) fn rows_tag(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::Explain { .. } | Statement::ExplainTable { .. } => Some("EXPLAIN"),
        Statement::ShowVariable { .. } => Some("SHOW"),
        _ => None,
    }
}

/// The word for a statement that writes, as PostgreSQL names it where writing is refused.
pub(crate) fn writes(statement: &plimsoll_query::Statement) -> Option<&'static str> {
    let Some(statement) = statement.ast() else {
        return statement.dialect_tag().filter(|tag| !matches!(*tag, "SHOW" | "SELECT" | "SUBSCRIBE"));
    };
    Some(match statement {
        Statement::Insert(_) => "INSERT",
        Statement::Update(_) => "UPDATE",
        Statement::Delete(_) => "DELETE",
        Statement::CreateTable(_) => "CREATE TABLE",
        Statement::CreateView(view) if view.materialized => "CREATE MATERIALIZED VIEW",
        Statement::CreateView(_) => "CREATE VIEW",
        Statement::Drop { object_type: ObjectType::MaterializedView, .. } => "DROP MATERIALIZED VIEW",
        Statement::Drop { object_type: ObjectType::View, .. } => "DROP VIEW",
        Statement::Drop { .. } => "DROP TABLE",
        Statement::AlterTable(_) => "ALTER TABLE",
        Statement::Truncate(_) => "TRUNCATE TABLE",
        _ => return None,
    })
}

fn set(set: &Set) -> Result<Command, SqlError> {
    match set {
        Set::SingleAssignment { scope, variable, values, .. } => assignment(object_name(variable), values, *scope),
        Set::SetTimeZone { local, value } => {
            let scope = if *local { Some(ContextModifier::Local) } else { None };
            assignment("TimeZone".to_owned(), std::slice::from_ref(value), scope)
        }
        Set::SetNames { charset_name, .. } => Ok(Command::Set {
            name: "client_encoding".to_owned(),
            arguments: vec![charset_name.value.clone()],
            scope: Scope::Session,
        }),
        Set::SetNamesDefault {} => {
            Ok(Command::Reset { name: "client_encoding".to_owned(), scope: Scope::Session, tag: "SET" })
        }
        Set::SetTransaction { modes, session, snapshot: None } => {
            let scope = if *session { Scope::Session } else { Scope::Transaction };
            Ok(Command::SetTransaction { modes: self::modes(modes), scope })
        }
        Set::SetRole { role_name: None, .. } => Ok(Command::Accept("SET")),
        Set::SetSessionAuthorization(param) if matches!(param.kind, SetSessionAuthorizationParamKind::Default) => {
            Ok(Command::Accept("SET"))
        }
        other => Err(SqlError::unsupported(format!("{other} is not supported"))),
    }
}

fn assignment(name: String, values: &[Expr], scope: Option<ContextModifier>) -> Result<Command, SqlError> {
    let scope = if matches!(scope, Some(ContextModifier::Local)) { Scope::Transaction } else { Scope::Session };
    let is_zone = name.eq_ignore_ascii_case("TimeZone");
    if let [Expr::Identifier(word)] = values
        && word.quote_style.is_none()
        && (word.value.eq_ignore_ascii_case("DEFAULT") || is_zone && word.value.eq_ignore_ascii_case("LOCAL"))
    {
        return Ok(Command::Reset { name, scope, tag: "SET" });
    }
    let argument = |value: &Expr| {
        let wrong = || SqlError::new(code::SYNTAX_ERROR, format!("{value} is not a value for parameter \"{name}\""));
        if is_zone { zone_argument(value) } else { argument(value) }.ok_or_else(wrong)
    };
    let arguments = values.iter().map(argument).collect::<Result<_, _>>()?;
    Ok(Command::Set { name, arguments, scope })
}

/// The text of a value: a literal, a number with its sign, or a bare word.
fn argument(value: &Expr) -> Option<String> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => Some(number.to_string()),
            Value::Boolean(on) => Some(on.to_string()),
            other => other.clone().into_string(),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => argument(expr).map(|number| format!("-{number}")),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => argument(expr),
        Expr::Identifier(word) => Some(identifier(word)),
        // A bare word such as `UTF8` or `a.b`.
        Expr::CompoundIdentifier(words) => Some(words.iter().map(identifier).collect::<Vec<_>>().join(".")),
        _ => None,
    }
}

/// A zone can also be an interval east of Greenwich: `INTERVAL '-08:30' HOUR TO MINUTE`.
fn zone_argument(value: &Expr) -> Option<String> {
    match value {
        Expr::Interval(interval) => {
            let text = argument(&interval.value)?;
            let (sign, clock) = match text.strip_prefix('-') {
                Some(clock) => (-1.0, clock),
                None => (1.0, text.strip_prefix('+').unwrap_or(&text)),
            };
            let (hours, minutes) = clock.split_once(':').unwrap_or((clock, "0"));
            let hours: u8 = hours.trim().parse().ok()?;
            let minutes: u8 = minutes.trim().parse().ok()?;
            let seconds = sign * (f64::from(hours) * 3600.0 + f64::from(minutes) * 60.0);
            Zone::east(seconds).map(|zone| zone.shown().to_owned())
        }
        // Folded words would still be found: zones are looked up in any case.
        other => argument(other),
    }
}

fn show(variable: &[Ident]) -> Command {
    let words: Vec<String> = variable.iter().map(identifier).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let name = match words.as_slice() {
        ["all"] => return Command::ShowAll,
        ["time", "zone"] => "TimeZone".to_owned(),
        ["transaction", "isolation", "level"] => "transaction_isolation".to_owned(),
        ["session", "authorization"] | ["authorization"] => "session_authorization".to_owned(),
        words => words.join("."),
    };
    Command::Show { name }
}

fn modes(modes: &[TransactionMode]) -> Modes {
    let mut all = Modes::default();
    for mode in modes {
        match mode {
            TransactionMode::AccessMode(mode) => all.read_only = Some(*mode == TransactionAccessMode::ReadOnly),
            TransactionMode::IsolationLevel(level) => all.isolation = Some(level.to_string().to_ascii_lowercase()),
        }
    }
    all
}

fn all_or(name: &Ident) -> Option<String> {
    let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("ALL");
    (!all).then(|| identifier(name))
}

/// Unquoted names fold to lower case.
fn identifier(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn object_name(name: &ObjectName) -> String {
    let parts = name.0.iter().filter_map(|part| part.as_ident()).map(identifier);
    parts.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Result<Command, String> {
        let statements = plimsoll_query::parse(text).map_err(|error| error.to_string())?;
        assert_eq!(statements.len(), 1, "{text}");
        let command = Command::of(statements[0].ast().expect("SQL")).map_err(|error| error.message)?;
        command.ok_or_else(|| format!("no command: {text}"))
    }

    fn set(name: &str, arguments: &[&str]) -> Command {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Command::Set { name: name.to_owned(), arguments, scope: Scope::Session }
    }

    #[test]
    fn settings() {
        for (text, expected) in [
            ("SET extra_float_digits = 3", set("extra_float_digits", &["3"])),
            ("SET extra_float_digits TO -3", set("extra_float_digits", &["-3"])),
            ("SET application_name = 'My App'", set("application_name", &["My App"])),
            ("SET application_name TO Abc", set("application_name", &["abc"])),
            ("SET search_path = a, \"B c\", public", set("search_path", &["a", "B c", "public"])),
            ("SET search_path TO \"$user\"", set("search_path", &["$user"])),
            ("SET SESSION my.key = 'x'", set("my.key", &["x"])),
            ("SET jit = off", set("jit", &["off"])),
            ("SET jit = on", set("jit", &["on"])),
            ("SET jit TO true", set("jit", &["true"])),
            ("SET DateStyle = ISO, MDY", set("datestyle", &["iso", "mdy"])),
            ("SET NAMES 'UTF8'", set("client_encoding", &["UTF8"])),
            ("SET client_encoding = 'UTF8'", set("client_encoding", &["UTF8"])),
            ("SET TIME ZONE 'Europe/Berlin'", set("TimeZone", &["Europe/Berlin"])),
            ("set time zone \"Etc/UTC\"", set("TimeZone", &["Etc/UTC"])),
            ("SET TIME ZONE -7", set("TimeZone", &["-7"])),
            ("SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE", set("TimeZone", &["<+00>-00"])),
            ("SET TIME ZONE INTERVAL '-08:30' HOUR TO MINUTE", set("TimeZone", &["<-08:30>+08:30"])),
            ("SET SESSION TIMEZONE TO 'UTC'", set("timezone", &["UTC"])),
            ("SET timezone = 'UTC'", set("timezone", &["UTC"])),
        ] {
            let got = command(text);
            assert_eq!(got.as_ref().map(folded), Ok(folded(&expected)), "{text}");
        }
        let reset = |name: &str, scope, tag| Command::Reset { name: name.to_owned(), scope, tag };
        assert_eq!(command("SET TIME ZONE LOCAL"), Ok(reset("TimeZone", Scope::Session, "SET")));
        assert_eq!(command("SET LOCAL jit TO DEFAULT"), Ok(reset("jit", Scope::Transaction, "SET")));
        assert_eq!(command("RESET jit"), Ok(reset("jit", Scope::Session, "RESET")));
        assert_eq!(command("RESET ALL"), Ok(Command::ResetAll));
        assert!(command("SET jit = 1 + 1").is_err());
    }

    /// Names of settings are looked up in any case.
    fn folded(command: &Command) -> Command {
        match command.clone() {
            Command::Set { name, arguments, scope } => Command::Set { name: name.to_lowercase(), arguments, scope },
            other => other,
        }
    }

    #[test]
    fn shows() {
        for (text, name) in [
            ("SHOW timezone", "timezone"),
            ("SHOW TIME ZONE", "TimeZone"),
            ("SHOW TRANSACTION ISOLATION LEVEL", "transaction_isolation"),
            ("SHOW server_version", "server_version"),
            ("SHOW \"DateStyle\"", "DateStyle"),
            ("show my.key", "my.key"),
        ] {
            assert_eq!(command(text), Ok(Command::Show { name: name.to_owned() }), "{text}");
        }
        assert_eq!(command("SHOW ALL"), Ok(Command::ShowAll));
    }

    #[test]
    fn transactions() {
        let begin = |isolation: Option<&str>, read_only, tag| {
            Ok(Command::Begin { modes: Modes { isolation: isolation.map(str::to_owned), read_only }, tag })
        };
        assert_eq!(command("BEGIN"), begin(None, None, "BEGIN"));
        assert_eq!(command("begin transaction"), begin(None, None, "BEGIN"));
        assert_eq!(command("BEGIN READ ONLY"), begin(None, Some(true), "BEGIN"));
        assert_eq!(
            command("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE"),
            begin(Some("repeatable read"), Some(false), "START TRANSACTION")
        );
        assert_eq!(command("COMMIT"), Ok(Command::Commit { chain: false }));
        assert_eq!(command("END"), Ok(Command::Commit { chain: false }));
        assert_eq!(command("COMMIT AND CHAIN"), Ok(Command::Commit { chain: true }));
        assert_eq!(command("ROLLBACK"), Ok(Command::Rollback { chain: false }));
        assert_eq!(command("ROLLBACK TO SAVEPOINT \"_EXEC\""), Ok(Command::RollbackTo("_EXEC".to_owned())));
        assert_eq!(command("SAVEPOINT A"), Ok(Command::Savepoint("a".to_owned())));
        assert_eq!(command("RELEASE SAVEPOINT a"), Ok(Command::Release("a".to_owned())));
        let modes = Modes { isolation: Some("serializable".to_owned()), read_only: None };
        assert_eq!(
            command("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
            Ok(Command::SetTransaction { modes: modes.clone(), scope: Scope::Session })
        );
        assert_eq!(
            command("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
            Ok(Command::SetTransaction { modes, scope: Scope::Transaction })
        );
    }

    #[test]
    fn what_pools_send_to_clean_up() {
        assert_eq!(command("DISCARD ALL"), Ok(Command::DiscardAll));
        assert_eq!(command("DEALLOCATE ALL"), Ok(Command::Deallocate(None)));
        assert_eq!(command("DEALLOCATE PREPARE \"_pg3_1\""), Ok(Command::Deallocate(Some("_pg3_1".to_owned()))));
        assert_eq!(command("CLOSE ALL"), Ok(Command::Close(None)));
        assert_eq!(command("UNLISTEN *"), Ok(Command::Unlisten(None)));
        assert_eq!(command("UNLISTEN Jobs"), Ok(Command::Unlisten(Some("jobs".to_owned()))));
        assert_eq!(command("LISTEN jobs"), Ok(Command::Listen("jobs".to_owned())));
        let (channel, payload) = ("jobs".to_owned(), "it's done".to_owned());
        assert_eq!(command("NOTIFY jobs, 'it''s done'"), Ok(Command::Notify { channel, payload }));
        assert_eq!(command("SET SESSION AUTHORIZATION DEFAULT"), Ok(Command::Accept("SET")));
        assert_eq!(command("SET ROLE NONE"), Ok(Command::Accept("SET")));
    }
}
