//! The files of the repository, as far as rules look at them.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold sources.
const CRATES: [&str; 6] = ["engine", "query", "server", "benches", "fuzz", "tests"];

/// Kinds of text files.
const TEXTS: [&str; 6] = ["rs", "md", "toml", "py", "slt", "sh"];

/// A Rust file.
pub(crate) struct Source {
    /// From the root of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Lines of tests, with their numbers: all of a test file, or what follows `#[cfg(test)]`.
    pub(crate) fn test_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let whole = self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.ends_with("tests.rs");
        let start = if whole { Some(0) } else { self.text.lines().position(|line| line.trim() == "#[cfg(test)]") };
        (1..).zip(self.text.lines()).skip(start.unwrap_or(usize::MAX))
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the repository").to_owned()
}

/// The text of a file that has to be there.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every Rust file of every crate.
pub(crate) fn sources() -> Vec<Source> {
    let files = CRATES.iter().flat_map(|name| files(&root().join(name)));
    let rust = files.filter(|path| extension(path) == "rs");
    rust.map(|path| Source { text: read(&path), path: relative(&path) }).collect()
}

/// Every Markdown page: path and text.
pub(crate) fn documents() -> Vec<(String, String)> {
    texts().into_iter().filter(|(path, _)| path.ends_with(".md")).collect()
}

/// Every text file: path and text.
pub(crate) fn texts() -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> =
        CRATES.iter().chain(&["docs", ".ci"]).flat_map(|name| files(&root().join(name))).collect();
    paths.extend(["README.md", "Cargo.toml"].map(|name| root().join(name)).into_iter().filter(|path| path.exists()));
    paths.retain(|path| TEXTS.contains(&extension(path).as_str()) || path.ends_with(".ci/run"));
    paths.into_iter().map(|path| (relative(&path), read(&path))).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("the directory can be listed").path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        match path.is_dir() {
            true if !hidden && !path.ends_with("target") => found.extend(files(&path)),
            false => found.push(path),
            true => {}
        }
    }
    found.sort();
    found
}

fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().into_owned()).unwrap_or_default()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("the file is below the root").to_string_lossy().into_owned()
}
