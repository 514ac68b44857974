//! Who may open a data directory: one process at a time, and no program that is older than its files.

use std::sync::Arc;

use plimsoll_engine::env::RealFileSystem;
use plimsoll_engine::env::sim::SimFileSystem;
use plimsoll_engine::naive::Naive;
use plimsoll_engine::{Engine, Error, Options, Point, Value};

use crate::driver::{Driver, Stop, dir};
use crate::history::{START_NS, Sizes, Step};

#[test]
fn a_second_engine_is_refused_until_the_first_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { fs: Arc::new(RealFileSystem), ..Options::default() };
    let first = Engine::open(dir.path(), options()).unwrap();
    match Engine::open(dir.path(), options()) {
        Err(Error::Locked { path, holder }) => {
            assert_eq!(path, dir.path());
            assert_eq!(holder, Some(std::process::id()));
        }
        other => panic!("opened twice: {other:?}"),
    }
    drop(first);
    Engine::open(dir.path(), options()).unwrap();
}

/// A closed database whose one write is in the log.
fn database() -> SimFileSystem {
    let fs = SimFileSystem::new();
    let mut driver = Driver::closed(&fs, Sizes::large(), Naive::default());
    driver.open().unwrap();
    let fields = vec![("usage".into(), Value::Float(0.5))];
    let point = Point { table: "cpu".into(), tags: Vec::new(), fields, time_ns: START_NS };
    driver.step(&Step::Write(vec![point])).map_err(Stop::text).unwrap();
    fs
}

/// Opening after the version at bytes 8 to 11 of a file became one more than `known`, and whatever else `mend` changes.
fn open_newer(name: &str, known: u32, mend: impl FnOnce(&mut [u8])) {
    let fs = database();
    let path = dir().join(name);
    let newer = |bytes: &mut Vec<u8>| {
        bytes[8..12].copy_from_slice(&(known + 1).to_le_bytes());
        mend(bytes);
    };
    fs.damage(&path, newer).unwrap();
    let before = fs.files();
    match Engine::open(dir(), Sizes::large().on(fs.clone())) {
        Err(Error::Version { path: named, found, supported }) => {
            assert_eq!((named, found, supported), (path, known + 1, known));
        }
        other => panic!("a newer {name} gives {other:?}"),
    }
    assert_eq!(fs.files(), before, "a newer directory is left alone");
}

#[test]
fn a_newer_manifest_is_refused() {
    open_newer("MANIFEST", 1, |_| {});
}

#[test]
fn a_newer_log_is_refused() {
    open_newer("wal/00000000000000000001.wal", 2, |bytes| {
        let checksum = crc32fast::hash(&bytes[..20]);
        bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
    });
}

#[test]
fn what_is_flushed_and_has_no_manifest_is_not_taken_for_new() {
    let fs = database();
    Engine::open(dir(), Sizes::large().on(fs.clone())).unwrap().flush().unwrap();
    plimsoll_engine::env::FileSystem::remove(&fs, &dir().join("MANIFEST")).unwrap();
    let before = fs.files();
    let opened = Engine::open(dir(), Sizes::large().on(fs.clone()));
    assert!(matches!(opened, Err(Error::Corrupt { path, .. }) if path == dir().join("MANIFEST")));
    assert_eq!(fs.files(), before);
}
