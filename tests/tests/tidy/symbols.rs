//! Symbols that documents name in backticks: `Type::method` or `path::name`.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

use super::tree::Source;

static NAMED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"`((?:[A-Za-z_]\w*::)+[A-Za-z_]\w*)(?:\([^`]*\))?!?`").expect("a valid pattern"));

static DEFINED: LazyLock<Regex> = LazyLock::new(|| {
    let items = r"\b(?:fn|struct|enum|trait|mod|const|static|type|union|macro_rules!)\s+(?:mut\s+)?([A-Za-z_]\w*)";
    let variants_and_fields = r"^\s*(?:pub(?:\([^)]*\))?\s+)?([A-Za-z_]\w*)\s*(?:[({,:=]|$)";
    Regex::new(&format!("(?m){items}|{variants_and_fields}")).expect("a valid pattern")
});

/// Roots of paths into other people's crates.
const FOREIGN: [&str; 12] = [
    "std",
    "core",
    "tokio",
    "datafusion",
    "arrow",
    "axum",
    "metrics",
    "tracing",
    "pgwire",
    "clap",
    "proptest",
    "sqllogictest",
];

/// What the documents name and no source defines: page and symbol.
pub(crate) fn missing(documents: &[(String, String)], sources: &[Source]) -> Vec<String> {
    let defined = definitions(sources);
    let mut missing = Vec::new();
    for (page, text) in documents {
        for symbol in NAMED.captures_iter(text).map(|found| found[1].to_owned()) {
            let parts: Vec<&str> = symbol.split("::").collect();
            let ours = !FOREIGN.contains(&parts[0]);
            if ours && parts.iter().any(|part| !defined.contains(*part)) {
                missing.push(format!("{page}: {symbol}"));
            }
        }
    }
    missing
}

/// Every name that the sources define: items, variants, fields, files and crates.
fn definitions(sources: &[Source]) -> HashSet<String> {
    let mut names: HashSet<String> =
        ["crate", "self", "plimsoll", "plimsoll_engine", "plimsoll_query", "plimsoll_fuzz"].map(str::to_owned).into();
    for source in sources {
        names.extend(source.path.trim_end_matches(".rs").split('/').map(str::to_owned));
        for found in DEFINED.captures_iter(&source.text) {
            names.extend(found.iter().skip(1).flatten().map(|name| name.as_str().to_owned()));
        }
    }
    names
}

#[test]
fn a_symbol_that_is_gone_is_named() {
    let source = Source {
        path: "engine/src/segment/format.rs".to_owned(),
        text: "pub struct Header {\n    pub version: u32,\n}\nimpl Header {\n    fn decode() {}\n}\nenum Kind {\n    Constant,\n}\n"
            .to_owned(),
    };
    let page = "`Header::decode` `Header::decode()` `format::Header` `Kind::Constant` `std::fs::File` plain::text `Header::encode` `Trailer::decode`";
    let found = missing(&[("docs/a.md".to_owned(), page.to_owned())], &[source]);
    assert_eq!(found, ["docs/a.md: Header::encode", "docs/a.md: Trailer::decode"]);
}
