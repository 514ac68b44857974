//! The state of one connection between its messages: settings, transaction, prepared statements, portals.
//!
//! Transactions here are PostgreSQL's in form. Each read sees the snapshot of its statement (`read committed`), and each
//! write commits by itself, so writes inside an explicit block are refused rather than promised a rollback.

mod transaction;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::common::ScalarValue;
use pgwire::messages::response::{NotificationResponse, TransactionStatus};
use plimsoll_query::{Database, Errand, Notification, PAYLOAD_BYTES_MAX};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::catalog::{Answer, Datum};
use super::columns::Format;
use super::command::Command;
use super::rows::Rows;
use super::settings::{DEFINITIONS, REPORTED, Scope, Settings, find};
use super::sqlstate::{SqlError, code};
use super::startup::Client;
use super::statement::Planned;
use super::types::oid;
use super::zone::Zone;
use transaction::Transaction;

/// One connection's state.
pub(crate) struct Session {
    pub(crate) database: Database,
    pub(crate) query: plimsoll_query::Session,
    pub(crate) settings: Settings,
    /// The zone of `settings`.
    pub(crate) zone: Zone,
    pub(crate) user: String,
    pub(crate) database_name: String,
    pub(crate) pid: i32,
    pub(crate) statements: HashMap<String, Arc<Planned>>,
    pub(crate) portals: HashMap<String, Portal>,
    transaction: Transaction,
    /// Warnings that are still to be sent.
    notices: Vec<SqlError>,
    /// The channels that the client listens on, and what has come in since it began to.
    listening: BTreeSet<String>,
    pub(super) inbox: Option<Receiver<Arc<Notification>>>,
    /// What the client was last told of the settings that are reported.
    told: HashMap<&'static str, String>,
    /// The settings that `told` was taken from.
    told_of: Option<Arc<BTreeMap<String, String>>>,
}

/// A statement with its parameters, about to run, running, or done.
pub(crate) struct Portal {
    pub(crate) planned: Arc<Planned>,
    pub(crate) arguments: Arguments,
    pub(crate) formats: Vec<Format>,
    pub(crate) progress: Progress,
    pub(crate) life: Life,
}

/// How long a portal stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Until its transaction ends.
    Transaction,
    /// Beyond its transaction, should that commit.
    HeldIfCommitted,
    /// As long as the session.
    Session,
}

/// Values of the parameters, as the one who carries the statement out takes them.
#[derive(Debug, Clone)]
pub(crate) enum Arguments {
    Query(Vec<ScalarValue>),
    Catalog(Vec<Datum>),
}

/// How far a portal is.
pub(crate) enum Progress {
    Bound,
    Running(Rows),
    /// Of a FETCH: how many rows it may still take from its cursor, and how many it took.
    Fetching {
        left: u64,
        taken: u64,
    },
    Finished,
}

/// The answer to a command of the connection.
pub(crate) struct Reply {
    pub(crate) tag: String,
    pub(crate) answer: Option<Answer>,
}

impl Reply {
    fn tag(tag: &str) -> Reply {
        Reply { tag: tag.to_owned(), answer: None }
    }
}

impl Session {
    pub(crate) fn new(database: Database, client: &Client, pid: i32) -> Session {
        let mut session = Session {
            query: database.session(),
            database,
            settings: client.settings.clone(),
            zone: Zone::default(),
            user: client.user.clone(),
            database_name: client.database.clone(),
            pid,
            statements: HashMap::new(),
            portals: HashMap::new(),
            transaction: Transaction::None,
            notices: Vec::new(),
            listening: BTreeSet::new(),
            inbox: None,
            told: HashMap::new(),
            told_of: None,
        };
        let name = format!("{} {}", session.pid, session.user);
        session.query.set_name(&name);
        session.query.set_user(&session.user);
        session.query.set_role(&session.user);
        session.follow_zone();
        session.news();
        session
    }

    /// The byte that tells the client where it stands.
    pub(crate) fn status(&self) -> TransactionStatus {
        match self.transaction {
            Transaction::None => TransactionStatus::Idle,
            Transaction::Open(_) => TransactionStatus::Transaction,
            Transaction::Failed(_) => TransactionStatus::Error,
        }
    }

    /// True inside of an explicit block.
    pub(crate) fn in_block(&self) -> bool {
        !matches!(self.transaction, Transaction::None)
    }

    /// Notes that a statement failed: an open block fails with it.
    pub(crate) fn fail(&mut self) {
        self.transaction = match std::mem::replace(&mut self.transaction, Transaction::None) {
            Transaction::Open(block) => Transaction::Failed(block),
            as_it_is => as_it_is,
        };
        self.follow_zone();
    }

    /// Refuses all but the end of a failed block.
    ///
    /// # Errors
    /// 25P02.
    pub(crate) fn check_not_failed(&self, command: Option<&Command>) -> Result<(), SqlError> {
        if matches!(self.transaction, Transaction::Failed(_)) && !command.is_some_and(Command::ends_failure) {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(SqlError::new(code::IN_FAILED_TRANSACTION, message));
        }
        Ok(())
    }

    /// Refuses a write where it could not be undone or is not allowed.
    ///
    /// # Errors
    /// 25006 in a read-only transaction, 0A000 in an explicit block.
    pub(crate) fn check_may_write(&self, word: &str) -> Result<(), SqlError> {
        if self.settings.is_on("transaction_read_only") {
            let message = format!("cannot execute {word} in a read-only transaction");
            return Err(SqlError::new(code::READ_ONLY_TRANSACTION, message));
        }
        if self.in_block() {
            let hint = "Each write commits by itself: leave out BEGIN, or turn the client's autocommit mode on.";
            return Err(
                SqlError::unsupported(format!("{word} inside a transaction block is not supported")).with_hint(hint)
            );
        }
        Ok(())
    }

    /// Carries out a command of the connection.
    ///
    /// # Errors
    /// PostgreSQL's, for what cannot be set or does not exist.
    pub(crate) fn perform(&mut self, command: &Command) -> Result<Reply, SqlError> {
        let reply = match command {
            Command::Set { name, arguments, scope } => {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                self.check_local(*scope, "SET LOCAL");
                self.set(name, &arguments, *scope)?;
                Reply::tag("SET")
            }
            Command::Reset { name, scope, tag } => {
                self.settings.reset(name, *scope)?;
                Reply::tag(tag)
            }
            Command::ResetAll => {
                self.settings.reset_all();
                Reply::tag("RESET")
            }
            Command::SetTransaction { modes, scope } => self.set_transaction(modes, *scope)?,
            Command::Show { name } => self.show(name)?,
            Command::ShowAll => self.show_all(),
            Command::Accept(tag) => Reply::tag(tag),
            Command::Listen(channel) => {
                self.database.check_errand(&self.user, Errand::FollowEvents)?;
                self.listening.insert(channel.clone());
                self.inbox.get_or_insert_with(|| self.database.notifications());
                Reply::tag("LISTEN")
            }
            Command::Unlisten(channel) => {
                self.unlisten(channel.as_deref());
                Reply::tag("UNLISTEN")
            }
            Command::Notify { channel, payload } => self.notify(channel, payload)?,
            Command::Begin { modes, tag } => self.begin(modes, tag)?,
            Command::Commit { chain } => self.commit(*chain)?,
            Command::Rollback { chain } => self.rollback(*chain)?,
            Command::Savepoint(name) => self.savepoint(name)?,
            Command::Release(name) => self.release(name)?,
            Command::RollbackTo(name) => self.roll_back_to(name)?,
            Command::DiscardAll => self.discard_all()?,
            Command::Deallocate(name) => self.deallocate(name.as_deref())?,
            Command::Close(name) => self.close(name.as_deref())?,
        };
        self.follow_zone();
        Ok(reply)
    }

    /// Sets a value, and what follows from it.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub(crate) fn set(&mut self, name: &str, arguments: &[&str], scope: Scope) -> Result<(), SqlError> {
        let mut settings = self.settings.clone();
        settings.set(name, arguments, scope)?;
        self.keep(settings, scope);
        self.follow_zone();
        Ok(())
    }

    /// The names and values of reported settings that changed since the client was last told.
    pub(crate) fn news(&mut self) -> Vec<(&'static str, String)> {
        let mut news = Vec::new();
        if self.told_of.as_ref().is_some_and(|told_of| Arc::ptr_eq(told_of, self.settings.effective())) {
            return news;
        }
        self.told_of = Some(self.settings.effective().clone());
        for name in REPORTED {
            let value = self.settings.get(name).unwrap_or_default();
            if self.told.get(name).map(String::as_str) != Some(value) {
                self.told.insert(name, value.to_owned());
                news.push((*name, value.to_owned()));
            }
        }
        news
    }

    fn unlisten(&mut self, channel: Option<&str>) {
        match channel {
            Some(channel) => drop(self.listening.remove(channel)),
            None => self.listening.clear(),
        }
        if self.listening.is_empty() {
            self.inbox = None;
        }
    }

    /// The channels that it listens on.
    pub(super) fn listening(&self) -> Vec<String> {
        self.listening.iter().cloned().collect()
    }

    /// Tells whoever listens on a channel.
    ///
    /// # Errors
    /// 22023 for a payload that is too long, 42501 for a channel of the database's own.
    pub(super) fn notify(&self, channel: &str, payload: &str) -> Result<Reply, SqlError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(SqlError::new(code::INVALID_PARAMETER_VALUE, "payload string too long"));
        }
        if matches!(channel, "alert" | "incident") {
            let message = format!("permission denied: channel \"{channel}\" is the database's own");
            return Err(SqlError::new(code::INSUFFICIENT_PRIVILEGE, message));
        }
        let (channel, payload) = (channel.to_owned(), payload.to_owned());
        self.database.notify(Notification { pid: self.pid, channel, payload });
        Ok(Reply::tag("NOTIFY"))
    }

    /// What the client is told of something that has come in; `None` when it does not listen on that channel. Losses are told
    /// by a warning.
    pub(super) fn heard(&mut self, came: Result<Arc<Notification>, RecvError>) -> Option<NotificationResponse> {
        match came {
            // A right may have been taken away since.
            Ok(_) if self.database.check_errand(&self.user, Errand::FollowEvents).is_err() => {
                if !self.listening.is_empty() {
                    self.unlisten(None);
                    self.warn(code::WARNING, "LISTEN is over: the right SUBSCRIBE was taken away");
                }
                None
            }
            Ok(notification) if self.listening.contains(&notification.channel) => {
                let Notification { pid, channel, payload } = (*notification).clone();
                Some(NotificationResponse::new(pid, channel, payload))
            }
            Ok(_) => None,
            Err(RecvError::Lagged(lost)) => {
                self.warn(
                    code::WARNING,
                    &format!("{lost} notifications were lost: they came faster than they were read"),
                );
                None
            }
            Err(RecvError::Closed) => {
                self.inbox = None;
                None
            }
        }
    }

    /// Makes a portal that runs already a cursor.
    ///
    /// # Errors
    /// 42P03 when the name is taken, 54000 when there are too many.
    pub(crate) fn add_cursor(&mut self, name: &str, portal: Portal, portals_max: usize) -> Result<(), SqlError> {
        self.check_cursor(name, portals_max)?;
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// Refuses a cursor that cannot be made.
    ///
    /// # Errors
    /// As [`Session::add_cursor`].
    pub(crate) fn check_cursor(&self, name: &str, portals_max: usize) -> Result<(), SqlError> {
        if self.portals.contains_key(name) {
            return Err(SqlError::new(code::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")));
        }
        if self.portals.len() >= portals_max {
            let message = format!("too many portals on one connection, limit {portals_max}");
            return Err(SqlError::new(code::LIMIT_EXCEEDED, message));
        }
        Ok(())
    }

    /// How long a cursor stays that is declared now.
    ///
    /// # Errors
    /// 25P01 outside of a transaction block, unless it is held.
    pub(crate) fn life_of_cursor(&self, hold: bool) -> Result<Life, SqlError> {
        match (self.in_block(), hold) {
            (true, true) => Ok(Life::HeldIfCommitted),
            (true, false) => Ok(Life::Transaction),
            (false, true) => Ok(Life::Session),
            (false, false) => {
                let message = "DECLARE CURSOR can only be used in transaction blocks";
                Err(SqlError::new(code::NO_ACTIVE_TRANSACTION, message))
            }
        }
    }

    /// Takes the warnings that are still to be sent.
    pub(crate) fn take_notices(&mut self) -> Vec<SqlError> {
        let notices = std::mem::take(&mut self.notices);
        if self.settings.warnings_are_wanted() { notices } else { Vec::new() }
    }

    /// Ends the implicit transaction around a `Sync` or a simple query: portals go, unless a block is open.
    pub(crate) fn end_implicit(&mut self) {
        if !self.in_block() {
            self.portals.retain(|_, portal| portal.life == Life::Session);
        }
    }

    /// The zone in force is the zone of output and of the query layer's input.
    fn follow_zone(&mut self) {
        let zone = self.settings.zone();
        if zone != self.zone {
            // Both layers read the same names; one that only this one knows would keep the other at its last zone.
            if let Err(error) = self.query.set_time_zone(&zone.iso()) {
                tracing::warn!(zone = zone.shown(), %error, "the query layer does not take the time zone");
            }
            self.zone = zone;
        }
    }

    pub(super) fn warn(&mut self, code: &'static str, message: &str) {
        self.notices.push(SqlError::warning(code, message));
    }

    fn check_local(&mut self, scope: Scope, what: &str) {
        if scope == Scope::Transaction && !self.in_block() {
            self.warn(code::NO_ACTIVE_TRANSACTION, &format!("{what} can only be used in transaction blocks"));
        }
    }

    /// What is set for a transaction outside of one is checked and forgotten.
    fn keep(&mut self, settings: Settings, scope: Scope) {
        if scope == Scope::Session || self.in_block() {
            self.settings = settings;
        }
    }

    fn show(&self, name: &str) -> Result<Reply, SqlError> {
        let unknown =
            || SqlError::new(code::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""));
        let value = self.settings.get(name).ok_or_else(unknown)?;
        let shown_name = find(name).map_or(name, |definition| definition.name);
        let answer = Answer {
            columns: vec![(shown_name.to_owned(), oid::TEXT)],
            rows: vec![vec![Datum::from(value)]],
            settings: Vec::new(),
            notifications: Vec::new(),
            sleep_s: 0.0,
        };
        Ok(Reply { tag: "SHOW".to_owned(), answer: Some(answer) })
    }

    fn show_all(&self) -> Reply {
        let columns = ["name", "setting", "description"].map(|name| (name.to_owned(), oid::TEXT)).to_vec();
        let row = |definition: &super::settings::Definition| {
            let value = self.settings.get(definition.name).unwrap_or_default();
            vec![Datum::from(definition.name), Datum::from(value), Datum::from(definition.description)]
        };
        let answer = Answer {
            columns,
            rows: DEFINITIONS.iter().map(row).collect(),
            settings: Vec::new(),
            notifications: Vec::new(),
            sleep_s: 0.0,
        };
        Reply { tag: "SHOW".to_owned(), answer: Some(answer) }
    }

    fn discard_all(&mut self) -> Result<Reply, SqlError> {
        if self.in_block() {
            let message = "DISCARD ALL cannot run inside a transaction block";
            return Err(SqlError::new(code::ACTIVE_TRANSACTION, message));
        }
        self.settings.reset_all();
        self.statements.clear();
        self.portals.clear();
        self.unlisten(None);
        Ok(Reply::tag("DISCARD ALL"))
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<Reply, SqlError> {
        let Some(name) = name else {
            self.statements.clear();
            return Ok(Reply::tag("DEALLOCATE ALL"));
        };
        match self.statements.remove(name) {
            Some(_) => Ok(Reply::tag("DEALLOCATE")),
            None => Err(no_statement(name)),
        }
    }

    fn close(&mut self, name: Option<&str>) -> Result<Reply, SqlError> {
        let Some(name) = name else {
            self.portals.clear();
            return Ok(Reply::tag("CLOSE CURSOR ALL"));
        };
        match self.portals.remove(name) {
            Some(_) => Ok(Reply::tag("CLOSE CURSOR")),
            None => Err(super::cursor::no_cursor(name)),
        }
    }
}

/// A prepared statement that is not there.
pub(crate) fn no_statement(name: &str) -> SqlError {
    let message = match name {
        "" => "unnamed prepared statement does not exist".to_owned(),
        name => format!("prepared statement \"{name}\" does not exist"),
    };
    SqlError::new(code::INVALID_STATEMENT_NAME, message)
}
