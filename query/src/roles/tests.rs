//! Who may become what: changes of roles one after the other, and who gets in then.

use super::*;
use crate::dialect::Statement;

fn apply(roles: &Roles, text: &str, actor: Option<&str>) -> Result<Roles, String> {
    let Some(Ok(Statement::Role(statement))) = crate::dialect::parse_statement(text) else { panic!("no role: {text}") };
    let (put, gone) = roles.changed(&statement, actor).map_err(|error| error.to_string())?;
    Ok(roles.with(put, &gone))
}

fn after(texts: &[&str]) -> Roles {
    texts.iter().fold(Roles::default(), |roles, text| {
        apply(&roles, text, None).unwrap_or_else(|error| panic!("{text}: {error}"))
    })
}

const SECRET: [u8; 32] = [1; 32];

#[test]
fn nobody_is_locked_out() {
    let none = Roles::default();
    for first in ["CREATE ROLE a", "CREATE USER a PASSWORD 'x'", "CREATE ROLE a SUPERUSER"] {
        assert!(apply(&none, first, None).unwrap_err().contains("superuser who may log in"), "{first}");
    }
    let one = after(&["CREATE USER root SUPERUSER PASSWORD 'x'", "CREATE USER b PASSWORD 'y'"]);
    for last in [
        "DROP USER root",
        "ALTER USER root NOLOGIN",
        "ALTER USER root NOSUPERUSER",
        "ALTER USER root PASSWORD NULL",
        "CREATE USER admin",
    ] {
        assert!(apply(&one, last, None).is_err(), "{last}");
    }
    let two = apply(&one, "GRANT admin TO b", None).unwrap();
    let b = apply(&two, "DROP USER root", None).unwrap();
    assert!(b.is_superuser("b") && apply(&b, "REVOKE admin FROM b", None).is_err());
    assert!(apply(&b, "DROP USER IF EXISTS b, nobody", None).unwrap().is_empty());
}

#[test]
fn a_log_in_depends_on_the_passwords_there_are() {
    assert_eq!(Roles::default().login("anybody", &SECRET), Login::Trusted);
    let trusting = after(&["CREATE ROLE root LOGIN SUPERUSER", "CREATE ROLE team"]);
    assert_eq!(trusting.login("root", &SECRET), Login::Trusted);
    assert!(matches!(trusting.login("team", &SECRET), Login::Refused(why) if why.contains("not permitted")));
    assert!(matches!(trusting.login("eve", &SECRET), Login::Refused(why) if why.contains("does not exist")));
    let closed = after(&["CREATE USER root SUPERUSER PASSWORD 'x'", "CREATE ROLE team PASSWORD 'y'"]);
    let fits = |name: &str, password: &str| match closed.login(name, &SECRET) {
        Login::Password(verifier) => verifier.fits(password),
        other => panic!("{other:?}"),
    };
    assert!(fits("root", "x"));
    assert!(!fits("root", "y") && !fits("team", "y") && !fits("eve", "x"));
}

#[test]
fn only_superusers_change_more_than_their_own_password() {
    let roles = after(&["CREATE USER root SUPERUSER PASSWORD 'x'", "CREATE USER bob PASSWORD 'y'", "CREATE ROLE team"]);
    let bob = |text| apply(&roles, text, Some("bob"));
    assert!(bob("ALTER USER bob PASSWORD 'z'").is_ok());
    for denied in [
        "ALTER USER bob SUPERUSER",
        "ALTER USER root PASSWORD 'z'",
        "GRANT admin TO bob",
        "CREATE USER c",
        "DROP ROLE team",
    ] {
        assert!(bob(denied).unwrap_err().contains("superusers"), "{denied}");
    }
    assert!(apply(&roles, "GRANT team TO bob", Some("root")).is_ok());
}

#[test]
fn members_have_what_their_roles_have_and_never_in_a_circle() {
    let roles = after(&[
        "CREATE USER root SUPERUSER",
        "CREATE ROLE a",
        "CREATE ROLE b",
        "CREATE USER u",
        "GRANT a TO b",
        "GRANT b, viewer TO u",
    ]);
    assert_eq!(roles.closure_of("u").into_iter().collect::<Vec<_>>(), ["a", "b", "u", "viewer"]);
    assert!(apply(&roles, "GRANT u TO a", None).unwrap_err().contains("is a member of"));
    assert!(apply(&roles, "GRANT a TO a", None).is_err());
    assert!(apply(&roles, "GRANT nobody TO a", None).unwrap_err().contains("does not exist"));
    let without = apply(&roles, "DROP ROLE a", None).unwrap();
    assert!(without.find("b").unwrap().member_of.is_empty());
}

#[test]
fn secrets_are_kept_and_not_shown() {
    let roles = after(&["CREATE USER root WITH LOGIN SUPERUSER ENCRYPTED PASSWORD 'hunter2'"]);
    let root = roles.find("root").unwrap();
    assert_eq!(Role::from_stored("root", &root.to_stored()).unwrap(), **root);
    assert!(!root.to_stored().contains("hunter2"));
    assert!(!format!("{roles:?}").contains("SCRAM"));
    let Some(Ok(statement)) = crate::dialect::parse_statement("CREATE USER \"A b\" PASSWORD 'hunter2'") else {
        panic!()
    };
    assert_eq!(statement.to_string(), "CREATE USER \"A b\" PASSWORD '***'");
    assert!(!format!("{statement:?}").contains("hunter2"));
    for wrong in ["''", "'md50123456789abcdef0123456789abcdef'", "'SCRAM-SHA-256$x'"] {
        assert!(apply(&roles, &format!("ALTER USER root PASSWORD {wrong}"), None).is_err(), "{wrong}");
    }
}
