//! Definitions that are made at once, and what is there when the database is opened again.

use std::path::Path;

use crate::{Error, Session};

fn statement(session: &Session, text: &str) -> Result<(), Error> {
    session.execute(text, 0).map(|_| ())
}

fn kpi(name: &str, reads: &str) -> String {
    format!("CREATE OR REPLACE KPI {name} AS SELECT time, v AS value FROM {reads} WITH (step = '1 min')")
}

/// What is defined, as kinds, names and versions.
fn defined(session: &Session) -> Vec<(String, String, u64)> {
    let definitions = session.database().catalog().definitions();
    definitions.objects().map(|object| (object.kind().to_string(), object.name.clone(), object.version)).collect()
}

fn opened(dir: &Path) -> Session {
    Session::open(dir).unwrap()
}

#[test]
fn connections_that_define_at_once_see_one_another() {
    const CONNECTIONS: u64 = 4;
    const TIMES: u64 = 8;
    let dir = tempfile::tempdir().unwrap();
    let session = opened(dir.path());
    statement(&session, "CREATE TABLE t (time timestamptz, v double precision)").unwrap();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let session = session.database().session();
            scope.spawn(move || {
                for _ in 0..TIMES {
                    statement(&session, &kpi("shared", "t")).unwrap();
                    statement(&session, &kpi(&format!("own_{connection}"), "t")).unwrap();
                }
            });
        }
    });
    let mut versions: Vec<u64> = session
        .database()
        .catalog()
        .versions()
        .unwrap()
        .into_iter()
        .filter(|v| v.name == "shared")
        .map(|v| v.version)
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=CONNECTIONS * TIMES).collect::<Vec<_>>());
    let before = defined(&session);
    assert_eq!(before.len() as u64, CONNECTIONS + 1);
    drop(session);
    assert_eq!(defined(&opened(dir.path())), before);
}

#[test]
fn what_is_dropped_while_it_is_being_read_is_refused_or_gone_whole() {
    let dir = tempfile::tempdir().unwrap();
    let session = opened(dir.path());
    statement(&session, "CREATE TABLE t (time timestamptz, v double precision)").unwrap();
    for _ in 0..10 {
        statement(&session, &kpi("base", "t")).unwrap();
        let (one, other) = (session.database().session(), session.database().session());
        let (defined_it, dropped_it) = std::thread::scope(|scope| {
            let defining = "CREATE OR REPLACE KPI reader AS SELECT time, value FROM kpi.base WITH (step = '1 min')";
            let defining = scope.spawn(move || statement(&one, defining));
            let dropping = scope.spawn(move || statement(&other, "DROP KPI base"));
            (defining.join().unwrap(), dropping.join().unwrap())
        });
        let definitions = session.database().catalog().definitions();
        let is_there = |name| definitions.find(crate::dialect::Kind::Kpi, name).is_some();
        match (defined_it, dropped_it) {
            (Ok(()), Err(Error::Dependents { .. })) => assert!(is_there("reader") && is_there("base")),
            (Err(_), Ok(())) => assert!(!is_there("reader") && !is_there("base")),
            other => panic!("{other:?}"),
        }
        statement(&session, "DROP KPI IF EXISTS base CASCADE").unwrap();
    }
}
