//! The rules of the house that no compiler checks. A case here is a rule; `docs/ARCHITECTURE.md` says why.

mod constants;
mod symbols;
pub(crate) mod tree;

use std::fs;
use std::path::Path;

use tree::{Source, root};

/// What may stand at the top of the repository, besides dot files and what `.gitignore` names.
const TOP_LEVEL: [&str; 9] =
    ["Cargo.toml", "Cargo.lock", "engine", "query", "server", "benches", "fuzz", "tests", "docs"];

/// Crates that a crate must not depend on, directly.
const LAYERS: [(&str, &[&str]); 2] = [
    ("engine", &["datafusion", "tokio", "futures", "nom", "pgwire", "axum", "plimsoll-query", "plimsoll"]),
    ("query", &["pgwire", "axum", "reqwest", "clap", "plimsoll"]),
];

/// Fails with every violation at once.
fn none(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}

/// This file names what the others must not.
fn lists_needles(path: &str) -> bool {
    path == "tests/tests/tidy.rs"
}

#[test]
fn nothing_points_the_wrong_way() {
    let mut violations = Vec::new();
    for (layer, forbidden) in LAYERS {
        let manifest = tree::read(&root().join(layer).join("Cargo.toml"));
        for name in forbidden {
            if manifest.lines().any(|line| dependency(line) == Some(name)) {
                violations.push(format!("{layer}/Cargo.toml depends on {name}"));
            }
        }
        for source in tree::sources().iter().filter(|source| source.path.starts_with(&format!("{layer}/"))) {
            let uses = |name: &&str| source.text.contains(&format!("{}::", name.replace('-', "_")));
            let found = forbidden.iter().filter(|name| **name != "plimsoll" && uses(name));
            violations.extend(found.map(|name| format!("{} uses {name}", source.path)));
        }
    }
    none("engine knows no query layer, query knows no server", &violations);
}

/// The crate that a line of a manifest depends on.
fn dependency(line: &str) -> Option<&str> {
    let end = line.find(['.', ' ', '='])?;
    line.starts_with(|c: char| c.is_ascii_lowercase()).then_some(&line[..end])
}

#[test]
fn the_dialect_and_the_analysis_know_no_datafusion() {
    let plain =
        |source: &&Source| ["query/src/dialect", "query/src/analysis"].iter().any(|dir| source.path.starts_with(dir));
    let sources = tree::sources();
    let found = sources.iter().filter(plain).filter(|source| source.text.contains("datafusion"));
    none("plain modules know no DataFusion", &found.map(|source| source.path.clone()).collect::<Vec<_>>());
}

#[test]
fn every_file_says_what_it_is() {
    let sources = tree::sources();
    let silent = sources.iter().filter(|source| !source.text.starts_with("//! "));
    none("every .rs file opens with //!", &silent.map(|source| source.path.clone()).collect::<Vec<_>>());
}

#[test]
fn the_top_level_is_closed() {
    let ignored = tree::read(&root().join(".gitignore"));
    let known = |name: &str| {
        name == "README.md"
            || name.starts_with('.')
            || TOP_LEVEL.contains(&name)
            || ignored.lines().any(|line| line.trim_matches('/') == name)
    };
    let names = fs::read_dir(root()).expect("the root can be read").map(|entry| entry.expect("and listed").file_name());
    let strange: Vec<String> =
        names.map(|name| name.to_string_lossy().into_owned()).filter(|name| !known(name)).collect();
    none("the top level is a closed list", &strange);
}

#[test]
fn tests_do_not_wait_on_time() {
    let needles = ["thread::sleep", "time::sleep", "sleep_until"];
    let mut violations = Vec::new();
    for source in tree::sources().iter().filter(|source| !lists_needles(&source.path)) {
        for (number, line) in source.test_lines() {
            if needles.iter().any(|needle| line.contains(needle)) {
                violations.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    none("a test waits on an event, not on time", &violations);
}

#[test]
fn nothing_is_left_for_later() {
    let needles = ["TODO", "FIXME", "#[ignore", "#[should_panic"];
    let mut violations = Vec::new();
    for source in tree::sources().iter().filter(|source| !lists_needles(&source.path)) {
        for (number, line) in (1..).zip(source.text.lines()) {
            if needles.iter().any(|needle| line.contains(needle)) {
                violations.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    none("no work is left for later, no test is switched off", &violations);
}

#[test]
fn nothing_depends_on_one_machine() {
    let needles = ["home", "root", "work", "tmp"].map(|folder| format!("/{folder}/"));
    let mut violations = Vec::new();
    for (path, text) in tree::texts().iter().filter(|(path, _)| !lists_needles(path)) {
        for (number, line) in (1..).zip(text.lines()) {
            if needles.iter().any(|needle| line.contains(needle)) {
                violations.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    none("no path of one machine", &violations);
}

#[test]
fn symbols_in_documents_exist() {
    none("a document names a symbol that is gone", &symbols::missing(&tree::documents(), &tree::sources()));
}

#[test]
fn constants_in_the_file_format_are_those_of_the_code() {
    let page = tree::read(&root().join("docs/file-format.md"));
    let in_engine = |source: &Source| source.path.starts_with("engine/src/");
    let engine: Vec<Source> = tree::sources().into_iter().filter(in_engine).collect();
    none("docs/file-format.md and the code disagree", &constants::different(&page, &engine));
}

/// Cargo is told which files are tests, so a file that nobody names would never run.
#[test]
fn every_test_file_is_run() {
    let (manifest, main) =
        (tree::read(&root().join("tests/Cargo.toml")), tree::read(&root().join("tests/tests/main.rs")));
    let forgotten = |name: &&str| {
        !manifest.contains(&format!("path = \"tests/{name}.rs\"")) && !main.contains(&format!("mod {name};"))
    };
    let sources = tree::sources();
    let names = sources.iter().filter_map(|source| source.path.strip_prefix("tests/tests/")?.strip_suffix(".rs"));
    let forgotten = names.filter(|name| !name.contains('/')).filter(forgotten);
    none(
        "a test file is neither a [[test]] nor a module of main.rs",
        &forgotten.map(str::to_owned).collect::<Vec<_>>(),
    );
}

#[test]
fn every_crate_takes_the_lint_table() {
    let crates = ["engine", "query", "server", "benches", "fuzz", "tests"];
    let lax = |name: &&str| !tree::read(&root().join(name).join("Cargo.toml")).contains("[lints]\nworkspace = true");
    let lax: Vec<String> = crates.iter().filter(|name| lax(name)).map(|name| (*name).to_owned()).collect();
    none("every crate takes the workspace's lints", &lax);
    assert!(Path::new(&root()).join(".ci/run").is_file(), "there is one command for everything");
}
