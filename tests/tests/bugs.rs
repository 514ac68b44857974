//! The list of bugs that are put into the engine keeps up with the engine. Putting them in takes an hour: `tests/bugs/run.py`.

use std::collections::BTreeSet;

use crate::tidy::tree::{read, root, sources};

#[derive(serde::Deserialize)]
struct List {
    bug: Vec<Bug>,
}

#[derive(serde::Deserialize)]
struct Bug {
    name: String,
    /// The test that catches it, once it was put in.
    caught_by: Option<String>,
    file: String,
    find: String,
    put: String,
}

#[test]
fn each_bug_has_its_place_and_the_test_that_catches_it_is_there() {
    let List { bug: bugs } = toml::from_str(&read(&root().join("tests/bugs/bugs.toml"))).expect("a list of bugs");
    assert!(bugs.len() >= 50, "{}", bugs.len());
    let names: BTreeSet<&str> = bugs.iter().map(|bug| bug.name.as_str()).collect();
    assert_eq!(names.len(), bugs.len(), "a name stands twice");
    let sources = sources();
    for Bug { name, caught_by, file, find, put } in &bugs {
        assert_ne!(find, put, "{name} changes nothing");
        assert_eq!(read(&root().join(file)).matches(find.as_str()).count(), 1, "the place of {name} in {file}");
        let Some(caught_by) = caught_by else { continue };
        let test = format!("fn {}(", caught_by.rsplit("::").next().unwrap_or_default());
        let is_there = sources.iter().any(|source| source.path.starts_with("engine/") && source.text.contains(&test));
        assert!(is_there, "{name} is caught by {caught_by}, which there is not");
    }
}
