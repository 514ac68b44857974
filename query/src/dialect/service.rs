//! `CREATE SERVICE`: what is run for somebody, how important it is, and what it stands on.

use std::fmt;

use super::cursor::Cursor;
use super::lexer::TokenKind;
use super::statement::Kind;
use super::{Options, SyntaxError, joined, quoted};

/// Least important tier; 0 is the most important.
pub(crate) const TIER_MAX: u8 = 3;

/// The tier of a service that names none.
const TIER: u8 = 2;

/// A service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Service {
    pub(crate) name: String,
    /// From 0, the most important, to 3.
    pub(crate) tier: u8,
    /// Who answers for it.
    pub(crate) owner: Option<String>,
    /// Services that it uses; they may be defined later, or never.
    pub(crate) depends: Vec<Dependency>,
    pub(crate) options: Options,
}

/// A service that another one uses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dependency {
    pub(crate) service: String,
    /// True when the user cannot work without it.
    pub(crate) is_hard: bool,
}

impl Service {
    pub(super) fn parse(name: String, cursor: &mut Cursor<'_>) -> Result<Service, SyntaxError> {
        let mut service = Service { name, tier: TIER, owner: None, depends: Vec::new(), options: Options::default() };
        if cursor.eat("tier") {
            service.tier = tier(cursor)?;
        }
        if cursor.eat("owner") {
            service.owner = Some(cursor.name("the name of an owner")?);
        }
        if cursor.eat("depends") {
            cursor.expect("on")?;
            service.depends = cursor.list(dependency)?;
        }
        service.options = Options::parse_with(cursor, Kind::Service)?;
        cursor.expect_end(&["tier", "owner", "depends", "with"])?;
        Ok(service)
    }

    /// Sets and takes away options, `tier` and `owner` among them: a tier taken away is the usual one again.
    pub(super) fn change(&mut self, set: &Options, reset: &[String]) {
        let mut set = set.clone();
        let is_reset = |name: &str| reset.iter().any(|reset| reset == name);
        if is_reset("tier") {
            self.tier = TIER;
        }
        if is_reset("owner") {
            self.owner = None;
        }
        if let Some(tier) = set.take("tier").and_then(|digits| digits.parse().ok()) {
            self.tier = tier;
        }
        if let Some(owner) = set.take("owner") {
            self.owner = Some(owner);
        }
        self.options.change(&set, reset);
    }
}

fn tier(cursor: &mut Cursor<'_>) -> Result<u8, SyntaxError> {
    let tier = match &cursor.peek().kind {
        TokenKind::Number(digits) => digits.parse().ok().filter(|tier| *tier <= TIER_MAX),
        _ => None,
    };
    let hint = || Some(format!("It is a number from 0, the most important, to {TIER_MAX}."));
    let tier = tier.ok_or_else(|| cursor.error("invalid tier", hint()))?;
    cursor.advance();
    Ok(tier)
}

fn dependency(cursor: &mut Cursor<'_>) -> Result<Dependency, SyntaxError> {
    let service = cursor.name("the name of a service")?;
    let is_hard = match cursor.is_sign(',') || cursor.is_sign(')') {
        true => true,
        false => cursor.expect_any(&["hard", "soft"])? == "hard",
    };
    Ok(Dependency { service, is_hard })
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} TIER {}", quoted(&self.name), self.tier)?;
        if let Some(owner) = &self.owner {
            write!(f, " OWNER {}", quoted(owner))?;
        }
        if !self.depends.is_empty() {
            write!(f, " DEPENDS ON ({})", joined(&self.depends, ", "))?;
        }
        write!(f, "{}", self.options)
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", quoted(&self.service), if self.is_hard { "HARD" } else { "SOFT" })
    }
}
