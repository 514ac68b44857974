//! Roles: who there is, and what each may do.

use std::fmt;

use super::cursor::Cursor;
use super::expression::take_until;
use super::lexer::TokenKind;
use super::{SyntaxError, joined, quoted};
use crate::privilege::{Grant, On, Privilege, RowPolicy, SCHEMAS};

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

/// A statement about roles.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RoleStatement {
    /// `CREATE ROLE | USER name [WITH] attributes`; a user may log in unless it is said.
    Create { is_user: bool, name: String, attributes: Attributes },
    /// `ALTER ROLE | USER name [WITH] attributes`
    Alter { name: String, attributes: Attributes },
    /// `DROP ROLE | USER [IF EXISTS] name, ...`
    Drop { names: Vec<String>, if_exists: bool },
    /// `GRANT role, ... TO role, ...`
    GrantRoles { roles: Vec<String>, to: Vec<String> },
    /// `REVOKE role, ... FROM role, ...`
    RevokeRoles { roles: Vec<String>, from: Vec<String> },
    /// `GRANT privilege, ... [ON ...] TO role, ...`
    Grant { privileges: Privileges, to: Vec<String> },
    /// `REVOKE privilege, ... [ON ...] FROM role, ...`
    Revoke { privileges: Privileges, from: Vec<String> },
    /// `CREATE POLICY name ON relation [FOR SELECT] TO role, ... USING (condition)`
    CreatePolicy { policy: RowPolicy, to: Vec<String> },
    /// `DROP POLICY [IF EXISTS] name ON relation`
    DropPolicy { name: String, on: On, if_exists: bool },
}

/// Privileges on things.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Privileges {
    /// `None` is ALL.
    privileges: Option<Vec<Privilege>>,
    on: Vec<On>,
}

/// What is said of a role; what is not said stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Attributes {
    pub(crate) login: Option<bool>,
    pub(crate) superuser: Option<bool>,
    /// A password or what is kept of one; `PASSWORD NULL` takes it away.
    pub(crate) password: Option<Option<Secret>>,
}

/// A text that is not shown.
#[derive(Clone, PartialEq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

const ATTRIBUTES: [&str; 6] = ["login", "nologin", "superuser", "nosuperuser", "encrypted", "password"];

impl RoleStatement {
    /// Its command tag; a user is a role.
    pub(crate) fn tag(&self) -> &'static str {
        match self {
            RoleStatement::Create { .. } => "CREATE ROLE",
            RoleStatement::Alter { .. } => "ALTER ROLE",
            RoleStatement::Drop { .. } => "DROP ROLE",
            RoleStatement::GrantRoles { .. } => "GRANT ROLE",
            RoleStatement::RevokeRoles { .. } => "REVOKE ROLE",
            RoleStatement::Grant { .. } => "GRANT",
            RoleStatement::Revoke { .. } => "REVOKE",
            RoleStatement::CreatePolicy { .. } => "CREATE POLICY",
            RoleStatement::DropPolicy { .. } => "DROP POLICY",
        }
    }

    /// The roles that it changes.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            RoleStatement::Create { name, .. } | RoleStatement::Alter { name, .. } => std::slice::from_ref(name),
            RoleStatement::Drop { names, .. } => names,
            RoleStatement::CreatePolicy { to, .. } => to,
            RoleStatement::DropPolicy { name, .. } => std::slice::from_ref(name),
            RoleStatement::GrantRoles { to, .. } | RoleStatement::Grant { to, .. } => to,
            RoleStatement::RevokeRoles { from, .. } | RoleStatement::Revoke { from, .. } => from,
        }
    }

    /// What follows `CREATE`, `ALTER` or `DROP`, if it is about a role.
    pub(super) fn after_verb(verb: &str, cursor: &mut Cursor<'_>) -> Option<Result<RoleStatement>> {
        if verb != "alter" && cursor.eat("policy") {
            return Some(if verb == "create" { create_policy(cursor) } else { drop_policy(cursor) });
        }
        let is_user = cursor.is_word("user");
        if !is_user && !cursor.is_word("role") {
            return None;
        }
        cursor.advance();
        Some(match verb {
            "create" => role_name(cursor)
                .and_then(|name| Ok(RoleStatement::Create { is_user, name, attributes: Attributes::parse(cursor)? })),
            "alter" => role_name(cursor)
                .and_then(|name| Ok(RoleStatement::Alter { name, attributes: Attributes::parse(cursor)? })),
            _ => drop_roles(cursor),
        })
    }

    /// What follows `GRANT`.
    pub(super) fn grant(cursor: &mut Cursor<'_>) -> Result<RoleStatement> {
        if let Some(privileges) = Privileges::parse(cursor)? {
            cursor.expect("to")?;
            let to = role_names(cursor)?;
            cursor.expect_end(&[])?;
            return Ok(RoleStatement::Grant { privileges, to });
        }
        let roles = role_names(cursor)?;
        cursor.expect("to")?;
        let to = role_names(cursor)?;
        cursor.expect_end(&[])?;
        Ok(RoleStatement::GrantRoles { roles, to })
    }

    /// What follows `REVOKE`.
    pub(super) fn revoke(cursor: &mut Cursor<'_>) -> Result<RoleStatement> {
        if let Some(privileges) = Privileges::parse(cursor)? {
            cursor.expect("from")?;
            let from = role_names(cursor)?;
            cursor.expect_end(&[])?;
            return Ok(RoleStatement::Revoke { privileges, from });
        }
        let roles = role_names(cursor)?;
        cursor.expect("from")?;
        let from = role_names(cursor)?;
        cursor.expect_end(&[])?;
        Ok(RoleStatement::RevokeRoles { roles, from })
    }
}

fn role_name(cursor: &mut Cursor<'_>) -> Result<String> {
    cursor.name("the name of a role")
}

fn role_names(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut names = vec![role_name(cursor)?];
    while cursor.eat_sign(',') {
        names.push(role_name(cursor)?);
    }
    Ok(names)
}

fn drop_roles(cursor: &mut Cursor<'_>) -> Result<RoleStatement> {
    let if_exists = cursor.eat_all(&["if", "exists"]);
    let names = role_names(cursor)?;
    cursor.expect_end(&[])?;
    Ok(RoleStatement::Drop { names, if_exists })
}

/// What follows `CREATE POLICY`.
fn create_policy(cursor: &mut Cursor<'_>) -> Result<RoleStatement> {
    let name = cursor.name("the name of a policy")?;
    cursor.expect("on")?;
    cursor.eat("table");
    let on = table(cursor)?;
    if cursor.eat("for") {
        cursor.expect("select")?;
    }
    cursor.expect("to")?;
    let to = role_names(cursor)?;
    cursor.expect("using")?;
    cursor.expect_sign('(')?;
    let condition = take_until(cursor, "a condition over the columns", |_, _| false)?.text;
    cursor.expect_sign(')')?;
    cursor.expect_end(&[])?;
    Ok(RoleStatement::CreatePolicy { policy: RowPolicy { name, on, condition }, to })
}

/// What follows `DROP POLICY`.
fn drop_policy(cursor: &mut Cursor<'_>) -> Result<RoleStatement> {
    let if_exists = cursor.eat_all(&["if", "exists"]);
    let name = cursor.name("the name of a policy")?;
    cursor.expect("on")?;
    cursor.eat("table");
    let on = table(cursor)?;
    cursor.expect_end(&[])?;
    Ok(RoleStatement::DropPolicy { name, on, if_exists })
}

/// What grants on definitions name them by.
const KINDS: [(&str, &str); 4] = [("kpi", "kpi"), ("slo", "slo"), ("sla", "sla"), ("baseline", "baseline")];

impl Privileges {
    /// Reads privileges and what they are on; `None` where names of roles come.
    fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Privileges>> {
        let privileges = match () {
            () if cursor.eat("all") => {
                cursor.eat("privileges");
                None
            }
            () => {
                let mut privileges = Vec::new();
                while let Some(privilege) = privilege(cursor) {
                    cursor.advance();
                    privileges.push(privilege);
                    if !cursor.eat_sign(',') {
                        break;
                    }
                    if self::privilege(cursor).is_none() {
                        return Err(cursor.unexpected("a privilege", &[]));
                    }
                }
                if privileges.is_empty() {
                    return Ok(None);
                }
                Some(privileges)
            }
        };
        let begin = cursor.peek().clone();
        let on = match cursor.eat("on") {
            true => targets(cursor)?,
            false => vec![On::Everything],
        };
        let privileges = Privileges { privileges, on };
        if let Some((privilege, on)) = privileges.misfit() {
            let message = match on {
                On::Everything => format!("{} is granted ON something", privilege.word().to_uppercase()),
                on => format!("{} is no privilege{on}", privilege.word().to_uppercase()),
            };
            return Err(cursor.error_at(&begin, &message, None));
        }
        Ok(Some(privileges))
    }

    /// A privilege that there is not on what it is said to be on.
    fn misfit(&self) -> Option<(Privilege, &On)> {
        let given = self.privileges.iter().flatten();
        let mut asked = given.flat_map(|privilege| self.on.iter().map(move |on| (*privilege, on)));
        let all_of_nothing = || {
            let everything = self.on.iter().find(|on| **on == On::Everything);
            everything.filter(|_| self.privileges.is_none()).map(|on| (Privilege::Select, on))
        };
        asked.find(|(privilege, on)| !privilege.fits(on)).or_else(all_of_nothing)
    }

    /// One by one.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        let mut grants = Vec::new();
        for on in &self.on {
            let all = || Privilege::ALL.into_iter().filter(|one| *one != Privilege::Create && one.fits(on)).collect();
            let privileges = self.privileges.clone().unwrap_or_else(all);
            grants.extend(privileges.into_iter().map(|privilege| Grant { privilege, on: on.clone() }));
        }
        grants
    }

    /// What has to be there.
    pub(crate) fn on(&self) -> &[On] {
        &self.on
    }
}

fn privilege(cursor: &Cursor<'_>) -> Option<Privilege> {
    match &cursor.peek().kind {
        TokenKind::Word(word) => Privilege::of_word(word),
        _ => None,
    }
}

/// What follows ON.
fn targets(cursor: &mut Cursor<'_>) -> Result<Vec<On>> {
    let mut all = Vec::new();
    if cursor.eat_all(&["all", "tables", "in", "schema"]) || cursor.eat("schema") {
        loop {
            let token = cursor.peek().clone();
            let schema = cursor.name("the name of a schema")?;
            if !SCHEMAS.contains(&schema.as_str()) {
                let hint = Some(format!("Schemas are {}.", SCHEMAS.join(", ")));
                return Err(cursor.error_at(&token, &format!("schema \"{schema}\" does not exist"), hint));
            }
            all.push(On::Schema(schema));
            if !cursor.eat_sign(',') {
                return Ok(all);
            }
        }
    }
    let of_kind =
        KINDS.iter().find(|(word, _)| cursor.is_word(word) && !matches!(cursor.peek_at(1).kind, TokenKind::Sign(_)));
    match of_kind {
        Some(_) => drop(cursor.advance()),
        None => {
            cursor.eat("table");
        }
    }
    loop {
        all.push(match of_kind {
            Some((_, schema)) => On::named(schema, &cursor.name("a name")?),
            None => table(cursor)?,
        });
        if !cursor.eat_sign(',') {
            return Ok(all);
        }
    }
}

/// A table, with its schema if it has one.
fn table(cursor: &mut Cursor<'_>) -> Result<On> {
    let schema = match (&cursor.peek().kind, &cursor.peek_at(1).kind) {
        (TokenKind::Word(schema), TokenKind::Sign('.')) => Some(schema.clone()),
        _ => None,
    };
    let Some(schema) = schema else { return Ok(On::named("public", &cursor.name("the name of a table")?)) };
    let token = cursor.advance();
    if !["public", "ops", "sys", "kpi", "slo", "sla"].contains(&schema.as_str()) {
        return Err(cursor.error_at(&token, &format!("schema \"{schema}\" does not exist"), None));
    }
    cursor.expect_sign('.')?;
    Ok(On::named(&schema, &cursor.name("the name of a table")?))
}

impl fmt::Display for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.privileges {
            None => f.write_str("ALL")?,
            Some(some) => f.write_str(&joined(some.iter().map(|one| one.word().to_uppercase()), ", "))?,
        }
        let mut last = String::new();
        for on in &self.on {
            let text = on.to_string();
            // `ON TABLE a, b`: the words before the name are said once.
            let words = text.rfind(' ').map_or(0, |at| at + 1);
            match !last.is_empty() && last == text[..words] {
                true => write!(f, ", {}", &text[words..])?,
                false => f.write_str(&text)?,
            }
            last = text[..words].to_owned();
        }
        Ok(())
    }
}

impl Attributes {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Attributes> {
        cursor.eat("with");
        let mut attributes = Attributes::default();
        while cursor.peek().kind != TokenKind::End {
            let token = cursor.peek().clone();
            let given_twice = match cursor.expect_any(&ATTRIBUTES)? {
                word @ ("login" | "nologin") => attributes.login.replace(word == "login").is_some(),
                word @ ("superuser" | "nosuperuser") => attributes.superuser.replace(word == "superuser").is_some(),
                word => {
                    if word == "encrypted" {
                        cursor.expect("password")?;
                    }
                    let password = match cursor.eat("null") {
                        true => None,
                        false => Some(Secret(cursor.quoted_text("a password in quotes, or NULL")?)),
                    };
                    attributes.password.replace(password).is_some()
                }
            };
            if given_twice {
                return Err(cursor.error_at(&token, "conflicting or redundant options", None));
            }
        }
        Ok(attributes)
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(login) = self.login {
            f.write_str(if login { " LOGIN" } else { " NOLOGIN" })?;
        }
        if let Some(superuser) = self.superuser {
            f.write_str(if superuser { " SUPERUSER" } else { " NOSUPERUSER" })?;
        }
        match &self.password {
            None => Ok(()),
            Some(None) => f.write_str(" PASSWORD NULL"),
            Some(Some(_)) => f.write_str(" PASSWORD '***'"),
        }
    }
}

/// What a policy is on, as a query names it.
struct Relation<'a>(&'a On);

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            On::Named { schema, name } => write!(f, "{schema}.{}", quoted(name)),
            On::Schema(_) | On::Everything => Ok(()),
        }
    }
}

/// As it may be shown: without its secrets.
impl fmt::Display for RoleStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |names: &[String]| joined(names.iter().map(|name| quoted(name)), ", ");
        match self {
            RoleStatement::Create { is_user, name, attributes } => {
                write!(f, "CREATE {} {}{attributes}", if *is_user { "USER" } else { "ROLE" }, quoted(name))
            }
            RoleStatement::Alter { name, attributes } => write!(f, "ALTER ROLE {}{attributes}", quoted(name)),
            RoleStatement::Drop { names: gone, if_exists } => {
                write!(f, "DROP ROLE {}{}", if *if_exists { "IF EXISTS " } else { "" }, names(gone))
            }
            RoleStatement::CreatePolicy { policy: RowPolicy { name, on, condition }, to } => {
                write!(f, "CREATE POLICY {} ON {} TO {} USING ({condition})", quoted(name), Relation(on), names(to))
            }
            RoleStatement::DropPolicy { name, on, if_exists } => {
                let if_exists = if *if_exists { "IF EXISTS " } else { "" };
                write!(f, "DROP POLICY {if_exists}{} ON {}", quoted(name), Relation(on))
            }
            RoleStatement::GrantRoles { roles, to } => write!(f, "GRANT {} TO {}", names(roles), names(to)),
            RoleStatement::RevokeRoles { roles, from } => write!(f, "REVOKE {} FROM {}", names(roles), names(from)),
            RoleStatement::Grant { privileges, to } => write!(f, "GRANT {privileges} TO {}", names(to)),
            RoleStatement::Revoke { privileges, from } => write!(f, "REVOKE {privileges} FROM {}", names(from)),
        }
    }
}
