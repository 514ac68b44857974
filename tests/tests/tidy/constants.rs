//! Constants that the page of the file format gives as `NAME = value` or `module::NAME = value`.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::tree::Source;

static STATED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"((?:[a-z_]+::)*)([A-Z][A-Z0-9_]+) = (0x[0-9a-fA-F_]+|[0-9][0-9_]*(?: << [0-9]+)?|\*?b?"[^"]*")"#)
        .expect("a valid pattern")
});

static WRITTEN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)const ([A-Z][A-Z0-9_]+): [^=]+ =\s*([^;]+);").expect("a valid pattern"));

/// What the page states and the code has otherwise or not at all.
///
/// A constant that several files define with different values has to be named with its module.
pub(crate) fn different(page: &str, sources: &[Source]) -> Vec<String> {
    let mut different = Vec::new();
    for stated in STATED.captures_iter(page) {
        let (module, name, value) = (&stated[1], &stated[2], normal(&stated[3]));
        let in_module = sources.iter().filter(|source| is_in(source, module));
        let found: Vec<String> = in_module.filter_map(|source| values(source).remove(name)).collect();
        if found.is_empty() {
            different.push(format!("{module}{name} is not in the code"));
        } else if let Some(other) = found.iter().find(|found| **found != value) {
            different.push(format!("{module}{name} = {value} on the page, {other} in the code"));
        }
    }
    different
}

/// Whether a path such as `wal::` or `wal::format::` leads to the file.
fn is_in(source: &Source, module: &str) -> bool {
    let file = source.path.trim_end_matches(".rs");
    let module = module.trim_end_matches(':').replace("::", "/");
    module.is_empty() || file.ends_with(&format!("/{module}")) || file.contains(&format!("/{module}/"))
}

fn values(source: &Source) -> HashMap<String, String> {
    WRITTEN.captures_iter(&source.text).map(|found| (found[1].to_owned(), normal(&found[2]))).collect()
}

/// A value in one spelling: numbers in decimal, shifts carried out, byte strings as their text.
fn normal(value: &str) -> String {
    let plain = value.trim().trim_start_matches('*').trim_start_matches('b').replace('_', "");
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u128::from_str_radix(hex, 16).ok(),
        None => text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().ok(),
    };
    let shifted = plain.split_once(" << ").and_then(|(base, by)| Some(number(base)? << number(by)?));
    match shifted.or_else(|| number(&plain)) {
        Some(number) => number.to_string(),
        None => value.trim().trim_start_matches('*').trim_start_matches('b').to_owned(),
    }
}

#[test]
fn a_constant_that_differs_is_named() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let formats = [
        source("engine/src/wal/format.rs", "pub const VERSION: u32 = 1;\nconst MAGIC: &[u8; 4] = b\"PLWA\";"),
        source(
            "engine/src/segment/format.rs",
            "pub const VERSION: u32 = 2;\nconst CHUNK: usize = 1 << 10;\nconst K: u64 = 0x10;",
        ),
    ];
    let page = "`CHUNK = 1024`, `CHUNK = 1_024`, MAGIC = \"PLWA\", `K = 16`, `wal::VERSION = 1`, `segment::format::VERSION = 2`";
    assert_eq!(different(page, &formats), Vec::<String>::new());
    let wrong = different("`CHUNK = 512` `VERSION = 1` `GONE = 3`", &formats);
    assert_eq!(
        wrong,
        [
            "CHUNK = 512 on the page, 1024 in the code",
            "VERSION = 1 on the page, 2 in the code",
            "GONE is not in the code"
        ]
    );
}
