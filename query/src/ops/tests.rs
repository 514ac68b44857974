//! Changes of rows: none is lost, all of a transaction's or none, and a number is given once.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::Session;

fn session(dir: &Path) -> Session {
    Session::open(dir).unwrap()
}

fn integers(session: &Session, query: &str) -> Vec<i64> {
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::Int64Type;
    let batches = session.execute(query, 0).unwrap();
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[test]
fn two_that_count_at_once_count_twice() {
    let dir = tempfile::tempdir().unwrap();
    let session = session(dir.path());
    session.execute("INSERT INTO ops.incident (title) VALUES ('a')", 0).unwrap();
    let count = || {
        for _ in 0..25 {
            session.execute("UPDATE ops.incident SET reopened = reopened + 1", 0).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(count);
        scope.spawn(count);
    });
    assert_eq!(integers(&session, "SELECT reopened FROM ops.incident"), [50]);
}

#[test]
fn a_number_is_given_once() {
    let dir = tempfile::tempdir().unwrap();
    {
        let session = session(dir.path());
        session.execute("INSERT INTO ops.incident (title) VALUES ('a'), ('b'); DELETE FROM ops.incident", 0).unwrap();
    }
    let session = session(dir.path());
    session.execute("INSERT INTO ops.incident (title) VALUES ('c')", 0).unwrap();
    assert_eq!(integers(&session, "SELECT id FROM ops.incident"), [3]);
    session.execute("INSERT INTO ops.incident (id, title) VALUES (9223372036854775807, 'last')", 0).unwrap();
    let error = session.execute("INSERT INTO ops.incident (title) VALUES ('more')", 0).unwrap_err();
    assert!(matches!(error, Error::Check { .. }), "{error}");
}

#[test]
fn keys_are_not_null_and_numbers_are_finite() {
    let dir = tempfile::tempdir().unwrap();
    let session = session(dir.path());
    let null = session.execute("INSERT INTO ops.priority_matrix (impact, priority) VALUES (4, 1)", 0).unwrap_err();
    assert!(matches!(null, Error::NotNull { .. }), "{null}");
    let nan = session.execute("UPDATE ops.tier_policy SET score = 'NaN'", 0).unwrap_err();
    assert!(matches!(nan, Error::Check { .. }), "{nan}");
    let near = session.execute("SELECT * FROM ops.incidnet", 0).unwrap_err();
    assert_eq!(near.hint(), Some("Did you mean \"ops.incident\"?"));
}

#[test]
fn a_key_may_go_from_row_to_row() {
    let dir = tempfile::tempdir().unwrap();
    let session = session(dir.path());
    session.execute("UPDATE ops.tier_policy SET tier = 3 - tier", 0).unwrap();
    assert_eq!(integers(&session, "SELECT for_seconds FROM ops.tier_policy ORDER BY tier"), [1_800, 600, 300, 120]);
    let twice = session.execute("UPDATE ops.tier_policy SET tier = 1 WHERE tier < 3", 0).unwrap_err();
    assert!(matches!(twice, Error::DuplicateKey { .. }), "{twice}");
}

#[test]
fn a_transaction_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ops = Ops::open(dir.path()).unwrap();
    let (incident, change) = (find("incident").unwrap(), find("change").unwrap());
    let actor: Arc<str> = "me".into();
    let title = |text: &str| [("title", Some(Value::Text(text.to_owned())))];
    let failed = ops.transaction(&actor, 1, |transaction| {
        transaction.insert(incident, &title("a"))?;
        transaction.insert(incident, &[("priority", Some(Value::Integer(99)))])
    });
    assert!(failed.is_err());
    assert!(ops.rows(incident).is_empty() && ops.rows(change).is_empty());
    ops.transaction(&actor, 1, |transaction| {
        let number = transaction.insert(incident, &title("a"))?;
        transaction.set(incident, number, &title("b"))?;
        assert_eq!(transaction.changed(incident), [(number, None)]);
        Ok(())
    })
    .unwrap();
    drop(ops);
    let ops = Ops::open(dir.path()).unwrap();
    let rows = ops.rows(incident);
    let (_, row) = rows.get_min().unwrap();
    assert_eq!(Named { table: incident, row }.text("title"), Some("b"));
}

#[derive(Debug, Clone)]
enum Step {
    Insert(i64, i64),
    Set(usize, i64),
    Remove(usize),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_i64..6, 1_i64..6).prop_map(|(a, b)| Step::Insert(a, b)),
        3 => (0_usize..8, 1_i64..6).prop_map(|(at, to)| Step::Set(at, to)),
        2 => (0_usize..8).prop_map(Step::Remove),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The rows are those of a map that does the same, over any number of reopenings.
    #[test]
    fn rows_are_those_of_a_map(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut ops = Ops::open(dir.path()).unwrap();
        let table = find("priority_matrix").unwrap();
        let integers = |row: &Row| row.iter().map(|value| match value {
            Some(Value::Integer(number)) => *number,
            _ => 0,
        }).collect::<Vec<_>>();
        let mut model: BTreeMap<u64, Vec<i64>> =
            ops.rows(table).iter().map(|(number, row)| (*number, integers(row))).collect();
        let actor: Arc<str> = "me".into();
        let named = |impact: i64, urgency: i64, priority: i64| {
            [("impact", impact), ("urgency", urgency), ("priority", priority)]
                .map(|(name, number)| (name, Some(Value::Integer(number))))
        };
        for step in steps {
            let numbers: Vec<u64> = model.keys().copied().collect();
            match step {
                Step::Insert(impact, urgency) => {
                    let taken = model.values().any(|row| row[..2] == [impact, urgency]);
                    let done = ops.transaction(&actor, 0, |t| t.insert(table, &named(impact, urgency, 1)));
                    prop_assert_eq!(done.is_err(), taken);
                    if let Ok(number) = done {
                        prop_assert!(model.insert(number, vec![impact, urgency, 1]).is_none());
                    }
                }
                Step::Set(at, to) => {
                    let Some(number) = numbers.get(at).copied() else { continue };
                    let old = model[&number].clone();
                    let taken = model.iter().any(|(other, row)| *other != number && row[..2] == [to, old[1]]);
                    let done = ops.transaction(&actor, 0, |t| t.set(table, number, &named(to, old[1], old[2])));
                    prop_assert_eq!(done.is_err(), taken);
                    if done.is_ok() {
                        model.insert(number, vec![to, old[1], old[2]]);
                    }
                }
                Step::Remove(at) => {
                    let Some(number) = numbers.get(at).copied() else { continue };
                    prop_assert!(ops.transaction(&actor, 0, |t| Ok(t.remove(table, number))).unwrap());
                    model.remove(&number);
                }
                Step::Reopen => {
                    drop(ops);
                    ops = Ops::open(dir.path()).unwrap();
                }
            }
            let now: BTreeMap<u64, Vec<i64>> =
                ops.rows(table).iter().map(|(number, row)| (*number, integers(row))).collect();
            prop_assert_eq!(&now, &model);
        }
    }
}
