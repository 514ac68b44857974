//! Transaction blocks: how they begin and end, and what that does to the settings.

use super::{Life, Reply, Session};
use crate::pgwire::command::Modes;
use crate::pgwire::settings::{Mark, Scope, Settings};
use crate::pgwire::sqlstate::{SqlError, code};

/// Most savepoints of one transaction.
const SAVEPOINTS_MAX: usize = 1_000;

/// Where a session stands.
pub(super) enum Transaction {
    None,
    Open(Block),
    Failed(Block),
}

/// An explicit transaction block.
pub(super) struct Block {
    begin: Mark,
    savepoints: Vec<(String, Mark)>,
}

impl Session {
    pub(super) fn set_transaction(&mut self, modes: &Modes, scope: Scope) -> Result<Reply, SqlError> {
        let prefix = if scope == Scope::Session { "default_transaction" } else { "transaction" };
        self.check_local(scope, "SET TRANSACTION");
        let mut settings = self.settings.clone();
        set_modes(&mut settings, modes, prefix, scope)?;
        self.keep(settings, scope);
        Ok(Reply::tag("SET"))
    }

    pub(super) fn begin(&mut self, modes: &Modes, tag: &str) -> Result<Reply, SqlError> {
        if self.in_block() {
            self.warn(code::ACTIVE_TRANSACTION, "there is already a transaction in progress");
            return Ok(Reply::tag(tag));
        }
        let begin = self.settings.mark();
        set_modes(&mut self.settings, modes, "transaction", Scope::Transaction)?;
        self.transaction = Transaction::Open(Block { begin, savepoints: Vec::new() });
        Ok(Reply::tag(tag))
    }

    pub(super) fn commit(&mut self, chain: bool) -> Result<Reply, SqlError> {
        if matches!(self.transaction, Transaction::Failed(_)) {
            return self.rollback(chain);
        }
        self.check_chain(chain, "COMMIT AND CHAIN")?;
        if !self.in_block() {
            self.warn(code::NO_ACTIVE_TRANSACTION, "there is no transaction in progress");
        }
        let modes = self.modes();
        self.settings.end_transaction();
        for portal in self.portals.values_mut().filter(|portal| portal.life == Life::HeldIfCommitted) {
            portal.life = Life::Session;
        }
        self.end_block(chain.then_some(modes))?;
        Ok(Reply::tag("COMMIT"))
    }

    pub(super) fn rollback(&mut self, chain: bool) -> Result<Reply, SqlError> {
        self.check_chain(chain, "ROLLBACK AND CHAIN")?;
        let modes = self.modes();
        match std::mem::replace(&mut self.transaction, Transaction::None) {
            Transaction::None => self.warn(code::NO_ACTIVE_TRANSACTION, "there is no transaction in progress"),
            Transaction::Open(block) | Transaction::Failed(block) => self.settings.roll_back_to(block.begin),
        }
        self.end_block(chain.then_some(modes))?;
        Ok(Reply::tag("ROLLBACK"))
    }

    fn check_chain(&self, chain: bool, what: &str) -> Result<(), SqlError> {
        if chain && !self.in_block() {
            let message = format!("{what} can only be used in transaction blocks");
            return Err(SqlError::new(code::NO_ACTIVE_TRANSACTION, message));
        }
        Ok(())
    }

    /// The modes of the open block, for the one that is chained to it.
    fn modes(&self) -> Modes {
        Modes {
            isolation: self.settings.get("transaction_isolation").map(str::to_owned),
            read_only: Some(self.settings.is_on("transaction_read_only")),
        }
    }

    fn end_block(&mut self, next: Option<Modes>) -> Result<(), SqlError> {
        self.transaction = Transaction::None;
        self.portals.retain(|_, portal| portal.life == Life::Session);
        match next {
            Some(modes) => self.begin(&modes, "").map(drop),
            None => Ok(()),
        }
    }

    fn block(&mut self, what: &str) -> Result<&mut Block, SqlError> {
        match &mut self.transaction {
            Transaction::Open(block) | Transaction::Failed(block) => Ok(block),
            Transaction::None => {
                let message = format!("{what} can only be used in transaction blocks");
                Err(SqlError::new(code::NO_ACTIVE_TRANSACTION, message))
            }
        }
    }

    pub(super) fn savepoint(&mut self, name: &str) -> Result<Reply, SqlError> {
        let mark = self.settings.mark();
        let block = self.block("SAVEPOINT")?;
        if block.savepoints.len() >= SAVEPOINTS_MAX {
            return Err(SqlError::new(code::LIMIT_EXCEEDED, format!("too many savepoints, limit {SAVEPOINTS_MAX}")));
        }
        block.savepoints.push((name.to_owned(), mark));
        Ok(Reply::tag("SAVEPOINT"))
    }

    pub(super) fn release(&mut self, name: &str) -> Result<Reply, SqlError> {
        let block = self.block("RELEASE SAVEPOINT")?;
        let at = find_savepoint(block, name)?;
        block.savepoints.truncate(at);
        Ok(Reply::tag("RELEASE"))
    }

    /// The savepoint itself stays.
    pub(super) fn roll_back_to(&mut self, name: &str) -> Result<Reply, SqlError> {
        let block = self.block("ROLLBACK TO SAVEPOINT")?;
        let at = find_savepoint(block, name)?;
        block.savepoints.truncate(at + 1);
        let mark = block.savepoints[at].1.clone();
        self.settings.roll_back_to(mark);
        self.transaction = match std::mem::replace(&mut self.transaction, Transaction::None) {
            Transaction::Failed(block) => Transaction::Open(block),
            as_it_is => as_it_is,
        };
        Ok(Reply::tag("ROLLBACK"))
    }
}

/// The newest of that name counts.
fn find_savepoint(block: &Block, name: &str) -> Result<usize, SqlError> {
    let at = block.savepoints.iter().rposition(|(savepoint, _)| savepoint == name);
    at.ok_or_else(|| SqlError::new(code::INVALID_SAVEPOINT, format!("savepoint \"{name}\" does not exist")))
}

fn set_modes(settings: &mut Settings, modes: &Modes, prefix: &str, scope: Scope) -> Result<(), SqlError> {
    if let Some(isolation) = &modes.isolation {
        settings.set(&format!("{prefix}_isolation"), &[isolation], scope)?;
    }
    if let Some(read_only) = modes.read_only {
        settings.set(&format!("{prefix}_read_only"), &[if read_only { "on" } else { "off" }], scope)?;
    }
    Ok(())
}
