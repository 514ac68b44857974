//! Roles: who there is, who may log in and how.
//!
//! Everything here is decided from an immutable set of roles; keeping them is the catalogue's business, talking to clients the
//! server's.
//!
//! Invariants
//! - While there is a role, one of them is a superuser who may log in; while one has a password, so does such a superuser.
//! - What is kept of a password is never shown, neither by a statement nor by `Debug`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

mod verifier;

pub(crate) use verifier::Proved;
pub use verifier::Verifier;

use crate::dialect::{Attributes, RoleStatement, Secret};
use crate::privilege::{self, Grant, Privilege, RowPolicy};
use crate::{Error, Result};

/// The shipped roles: they are there without being made, nobody logs in as one of them, and users are made members of them.
pub(crate) const SHIPPED: [&str; 7] =
    ["admin", "auditor", "responder", "service_owner", "sre_lead", "steward", "viewer"];

/// The shipped role whose members are superusers.
pub(crate) const ADMIN: &str = "admin";

/// Longest name, as PostgreSQL has it.
const NAME_BYTES_MAX: usize = 63;

/// Longest password: longer ones only cost time.
const PASSWORD_BYTES_MAX: usize = 1024;

/// A role; a user is one that may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) login: bool,
    pub(crate) superuser: bool,
    pub(crate) verifier: Option<Verifier>,
    /// The roles whose rights it has as well.
    pub(crate) member_of: BTreeSet<String>,
    /// What it may do beside that.
    pub(crate) grants: BTreeSet<Grant>,
    /// Which rows it sees of relations of which not everybody sees all.
    pub(crate) policies: BTreeSet<RowPolicy>,
}

/// A role as the store keeps it.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    login: bool,
    superuser: bool,
    password: Option<String>,
    member_of: BTreeSet<String>,
    #[serde(default)]
    grants: BTreeSet<Grant>,
    #[serde(default)]
    policies: BTreeSet<RowPolicy>,
}

impl Role {
    pub(crate) fn to_stored(&self) -> String {
        let stored = Stored {
            login: self.login,
            superuser: self.superuser,
            password: self.verifier.as_ref().map(Verifier::to_stored),
            member_of: self.member_of.clone(),
            grants: self.grants.clone(),
            policies: self.policies.clone(),
        };
        serde_json::to_string(&stored).expect("a role is plain data")
    }

    /// # Errors
    /// [`Error::Internal`] for a text that no version of ours has written.
    pub(crate) fn from_stored(name: &str, text: &str) -> Result<Role> {
        let damaged = |what: &str| Error::Internal(format!("stored role \"{name}\": {what}"));
        let Stored { login, superuser, password, member_of, grants, policies } =
            serde_json::from_str(text).map_err(|e| damaged(&e.to_string()))?;
        let verifier = match password {
            None => None,
            Some(text) => {
                Some(Verifier::parse(&text).ok_or_else(|| damaged("what is kept of its password is damaged"))?)
            }
        };
        Ok(Role { name: name.to_owned(), login, superuser, verifier, member_of, grants, policies })
    }
}

/// How somebody gets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// No role has a password: whoever comes from this machine is taken by the name that he gives.
    Trusted,
    /// By proving that he knows a password; of nobody's, where the name has none, so that the answer does not tell.
    Password(Verifier),
    /// Not at all, and why: a sentence for him.
    Refused(String),
}

/// All roles that were made, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Roles(BTreeMap<String, Arc<Role>>);

impl FromIterator<Role> for Roles {
    fn from_iter<T: IntoIterator<Item = Role>>(roles: T) -> Roles {
        Roles(roles.into_iter().map(|role| (role.name.clone(), Arc::new(role))).collect())
    }
}

impl Roles {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.0.values()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Role>> {
        self.0.get(name)
    }

    /// # Errors
    /// [`Error::UndefinedObject`], with a name that may have been meant.
    fn get(&self, name: &str) -> Result<&Arc<Role>> {
        self.find(name).ok_or_else(|| self.undefined(name))
    }

    fn undefined(&self, name: &str) -> Error {
        let names = self.0.keys().map(String::as_str).chain(SHIPPED);
        let hint = crate::functions::most_similar(name, names).map(|similar| format!("Did you mean \"{similar}\"?"));
        Error::UndefinedObject { kind: "role", name: name.to_owned(), position: None, hint }
    }

    /// True once log-ins need a password.
    pub(crate) fn have_passwords(&self) -> bool {
        self.all().any(|role| role.verifier.is_some())
    }

    /// How somebody of this name gets in. `secret` is the server's own.
    pub(crate) fn login(&self, name: &str, secret: &[u8; 32]) -> Login {
        if self.have_passwords() {
            let verifier = self.find(name).filter(|role| role.login).and_then(|role| role.verifier.clone());
            return Login::Password(verifier.unwrap_or_else(|| Verifier::of_nobody(name, secret)));
        }
        match self.find(name) {
            _ if self.is_empty() => Login::Trusted,
            Some(role) if role.login => Login::Trusted,
            Some(_) => Login::Refused(format!("role \"{name}\" is not permitted to log in")),
            None => Login::Refused(format!("role \"{name}\" does not exist")),
        }
    }

    /// The roles whose rights a role has: itself, those that it is a member of, and so on.
    pub(crate) fn closure_of(&self, name: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![name.to_owned()];
        while let Some(next) = waiting.pop() {
            if let Some(role) = self.find(&next) {
                waiting.extend(role.member_of.iter().filter(|of| !found.contains(*of)).cloned());
            }
            found.insert(next);
        }
        found
    }

    /// True for a role that may do everything; for everybody while there is no role.
    pub(crate) fn is_superuser(&self, name: &str) -> bool {
        let is_superuser = |role: &String| role == ADMIN || self.find(role).is_some_and(|role| role.superuser);
        self.is_empty() || self.closure_of(name).iter().any(is_superuser)
    }

    /// The roles that a statement changes, and those that it takes away.
    ///
    /// # Errors
    /// [`Error::UndefinedObject`], [`Error::DuplicateObject`], [`Error::Denied`] when `actor` may not do that,
    /// [`Error::InvalidParameter`] for a name or a password that cannot be, and for a change after which nobody could be let in
    /// to change it back.
    pub(crate) fn changed(&self, statement: &RoleStatement, actor: Option<&str>) -> Result<(Vec<Role>, Vec<String>)> {
        self.check_may(statement, actor)?;
        let (put, gone) = self.change(statement)?;
        self.with(put.clone(), &gone).check_somebody_rules()?;
        Ok((put, gone))
    }

    /// The same with some roles, new or in place of those of their names, and without others.
    pub(crate) fn with(&self, put: Vec<Role>, gone: &[String]) -> Roles {
        let mut all = self.0.clone();
        all.retain(|name, _| !gone.contains(name));
        all.extend(put.into_iter().map(|role| (role.name.clone(), Arc::new(role))));
        Roles(all)
    }

    /// Superusers may do everything, others change their own password.
    fn check_may(&self, statement: &RoleStatement, actor: Option<&str>) -> Result<()> {
        let Some(actor) = actor.filter(|actor| !self.is_superuser(actor)) else { return Ok(()) };
        match statement {
            RoleStatement::Alter { name, attributes: Attributes { login: None, superuser: None, .. } }
                if name == actor =>
            {
                Ok(())
            }
            _ => Err(Error::Denied { what: format!("permission denied: {} is for superusers", statement.tag()) }),
        }
    }

    fn change(&self, statement: &RoleStatement) -> Result<(Vec<Role>, Vec<String>)> {
        match statement {
            RoleStatement::Create { is_user, name, attributes } => {
                check_name(name)?;
                if self.find(name).is_some() || is_shipped(name) {
                    return Err(Error::DuplicateObject { kind: "role", name: name.clone() });
                }
                let role = Role {
                    name: name.clone(),
                    login: *is_user,
                    superuser: false,
                    verifier: None,
                    member_of: BTreeSet::new(),
                    grants: BTreeSet::new(),
                    policies: BTreeSet::new(),
                };
                Ok((vec![with(role, attributes)?], Vec::new()))
            }
            RoleStatement::Alter { name, attributes } => {
                let role = self.made(name)?;
                Ok((vec![with(role, attributes)?], Vec::new()))
            }
            RoleStatement::Drop { names, if_exists } => {
                let gone = names.iter().filter(|name| !*if_exists || self.find(name).is_some());
                let gone = gone.map(|name| self.unbound(name)).collect::<Result<Vec<_>>>()?;
                let left = self.all().filter(|role| role.member_of.iter().any(|of| gone.contains(of)));
                let without = left.filter(|role| !gone.contains(&role.name)).map(|role| {
                    let mut role = (**role).clone();
                    role.member_of.retain(|of| !gone.contains(of));
                    role
                });
                Ok((without.collect(), gone))
            }
            RoleStatement::GrantRoles { roles, to } => {
                for role in roles.iter().filter(|role| !is_shipped(role)) {
                    self.get(role)?;
                    if let Some(member) = to.iter().find(|to| self.closure_of(role).contains(*to)) {
                        let message = format!("role \"{role}\" is a member of role \"{member}\"");
                        return Err(Error::InvalidParameter { name: "role".to_owned(), message });
                    }
                }
                self.each(to, |role| role.member_of.extend(roles.iter().cloned()))
            }
            RoleStatement::RevokeRoles { roles, from } => {
                roles.iter().filter(|role| !is_shipped(role)).try_for_each(|role| self.get(role).map(|_| ()))?;
                self.each(from, |role| role.member_of.retain(|of| !roles.contains(of)))
            }
            RoleStatement::Grant { privileges, to } => {
                let grants = privileges.grants();
                // What a shipped role has need not be granted to it.
                let to: Vec<String> =
                    to.iter().filter(|name| !privilege::is_shipped_with(name, &grants)).cloned().collect();
                self.each(&to, |role| role.grants.extend(grants.iter().cloned()))
            }
            RoleStatement::CreatePolicy { policy, to } => {
                let is_it = |known: &RowPolicy| known.name == policy.name && known.on == policy.on;
                if self.all().any(|role| role.policies.iter().any(is_it)) {
                    return Err(Error::DuplicateObject { kind: "policy", name: policy.name.clone() });
                }
                self.each(to, |role| role.policies.extend([policy.clone()]))
            }
            RoleStatement::DropPolicy { name, on, if_exists } => {
                let is_it = |known: &RowPolicy| known.name == *name && known.on == *on;
                let with = self.all().filter(|role| role.policies.iter().any(is_it));
                let names: Vec<String> = with.map(|role| role.name.clone()).collect();
                if names.is_empty() && !if_exists {
                    return Err(Error::UndefinedObject {
                        kind: "policy",
                        name: name.clone(),
                        position: None,
                        hint: None,
                    });
                }
                self.each(&names, |role| role.policies.retain(|known| !is_it(known)))
            }
            RoleStatement::Revoke { privileges, from } => {
                let gone = privileges.grants();
                self.each(from, |role| role.grants.retain(|grant| !gone.contains(grant)))
            }
        }
    }

    fn each(&self, names: &[String], change: impl Fn(&mut Role)) -> Result<(Vec<Role>, Vec<String>)> {
        let changed = names.iter().map(|name| {
            let mut role = self.made(name)?;
            change(&mut role);
            Ok(role)
        });
        Ok((changed.collect::<Result<_>>()?, Vec::new()))
    }

    /// The name of a role that can be dropped: not one with a policy, without which others might see more than before.
    fn unbound(&self, name: &str) -> Result<String> {
        let role = self.made(name)?;
        match role.policies.first() {
            None => Ok(role.name),
            Some(RowPolicy { name: policy, on, .. }) => {
                let message = format!("role \"{name}\" cannot be dropped: a policy is for it");
                let hint = Some(format!("DROP POLICY {}{on}", crate::dialect::quoted(policy)));
                Err(Error::InvalidOption { message, position: None, hint })
            }
        }
    }

    /// A role that was made, to be changed.
    fn made(&self, name: &str) -> Result<Role> {
        if is_shipped(name) {
            let message = format!("role \"{name}\" is shipped with the server and cannot be changed");
            return Err(Error::InvalidParameter { name: "role".to_owned(), message });
        }
        Ok((**self.get(name)?).clone())
    }

    fn check_somebody_rules(&self) -> Result<()> {
        let rules = |role: &&Arc<Role>| role.login && self.is_superuser(&role.name);
        let can_get_in = |role: &Arc<Role>| role.verifier.is_some() || !self.have_passwords();
        if self.is_empty() || self.all().filter(rules).any(can_get_in) {
            return Ok(());
        }
        let with = if self.have_passwords() { " with a password" } else { "" };
        let message = format!("there has to be a superuser who may log in{with}, else nobody could change this back");
        let hint = Some("Begin with CREATE USER name SUPERUSER PASSWORD '...'.".to_owned());
        Err(Error::InvalidOption { message, position: None, hint })
    }
}

fn is_shipped(name: &str) -> bool {
    SHIPPED.contains(&name)
}

fn check_name(name: &str) -> Result<()> {
    let is_reserved = ["all", "current_user", "none", "public", "session_user"].contains(&name)
        || Privilege::of_word(name).is_some()
        || name.starts_with("pg_");
    let message = match name.len() {
        _ if is_reserved => format!("role name \"{name}\" is reserved"),
        bytes if bytes > NAME_BYTES_MAX => format!("the name of a role has at most {NAME_BYTES_MAX} bytes"),
        _ if name.chars().any(char::is_control) => "the name of a role has no control characters".to_owned(),
        _ => return Ok(()),
    };
    Err(Error::InvalidParameter { name: "role".to_owned(), message })
}

/// A role with what a statement says of it.
fn with(mut role: Role, attributes: &Attributes) -> Result<Role> {
    role.login = attributes.login.unwrap_or(role.login);
    role.superuser = attributes.superuser.unwrap_or(role.superuser);
    match &attributes.password {
        None => {}
        Some(None) => role.verifier = None,
        Some(Some(Secret(password))) => role.verifier = Some(verifier(password)?),
    }
    Ok(role)
}

/// What to keep of a password; clients may send that instead.
fn verifier(password: &str) -> Result<Verifier> {
    if let Some(verifier) = Verifier::parse(password) {
        return Ok(verifier);
    }
    let is_other_form = password.starts_with("SCRAM-SHA-256$")
        || (password.len() == 35
            && password.starts_with("md5")
            && password[3..].chars().all(|c| c.is_ascii_hexdigit()));
    let message = match password.len() {
        0 => "a password cannot be empty".to_owned(),
        bytes if bytes > PASSWORD_BYTES_MAX => format!("a password has at most {PASSWORD_BYTES_MAX} bytes"),
        _ if is_other_form => "this is no password but something made of one that is not taken; only \
                               SCRAM-SHA-256 is"
            .to_owned(),
        _ => return Ok(Verifier::new(password)),
    };
    Err(Error::InvalidParameter { name: "password".to_owned(), message })
}

#[cfg(test)]
mod tests;
