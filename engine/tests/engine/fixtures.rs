//! A data directory as version 1 writes it is opened for ever, and holds what was written.
//!
//! `PLIMSOLL_WRITE_FIXTURES=1 cargo test -p plimsoll-engine` writes it. It is never written again once a version is
//! released; a new version gets a directory of its own.

use std::path::{Path, PathBuf};

use plimsoll_engine::naive::Naive;
use plimsoll_engine::{Engine, Options, Point, Value, verify};

use crate::check::Dump;

/// 2026-01-01, late in the day: a flush writes one segment for each of two days.
const START_NS: i64 = 1_767_308_400_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
/// Points of each series that are in segments, and further ones that are in the log alone.
const FLUSHED: i64 = 600;
const LOGGED: i64 = 40;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1/data")
}

/// Points of three series that take every type and leave some values out.
fn points(steps: std::ops::Range<i64>) -> Vec<Point<'static>> {
    steps.flat_map(|step| (0..3).map(move |series| point(series, step))).collect()
}

fn point(series: i64, step: i64) -> Point<'static> {
    let n = series * 31 + step * 7;
    let mut fields = vec![
        ("level".into(), Value::Integer(n * n % 101)),
        ("load".into(), Value::Float((n % 1000) as f64 / 10.0)),
        ("exact".into(), Value::Float(if n % 13 == 0 { f64::NAN } else { (n as f64).sqrt() })),
        ("bytes".into(), Value::Unsigned(u64::MAX - (step * 1500) as u64)),
        ("up".into(), Value::Boolean(step % 50 != 0)),
    ];
    if n % 5 != 0 {
        fields.push(("state".into(), Value::Text(format!("state {} é", n % 4).into())));
    }
    let mut tags = vec![("host".into(), format!("host-{series}").into())];
    if series == 2 {
        tags.push(("region".into(), "north".into()));
    }
    Point { table: "machine".into(), tags, fields, time_ns: START_NS + step * 10 * SECOND_NS }
}

/// Writes what the fixture holds; `flush` is called between what goes into segments and what stays in the log.
fn fill(mut write: impl FnMut(&[Point<'static>]), flush: impl FnOnce()) {
    for first in (0..FLUSHED).step_by(100) {
        write(&points(first..first + 100));
    }
    flush();
    write(&points(FLUSHED..FLUSHED + LOGGED));
}

fn expected() -> Dump {
    let mut naive = Naive::default();
    fill(|points| assert!(naive.write(points).rejected.is_empty()), || {});
    Dump::of(&naive)
}

#[expect(clippy::disallowed_methods, reason = "fixtures are files beside the sources")]
fn write_fixture() {
    let _nothing_there_yet = std::fs::remove_dir_all(directory());
    std::fs::create_dir_all(directory()).expect("the directory can be made");
    let engine = Engine::open(&directory(), Options::default()).expect("a new directory opens");
    fill(
        |points| assert!(engine.write(points).expect("points are written").rejected.is_empty()),
        || engine.flush().expect("the flush succeeds"),
    );
    drop(engine);
    let _not_part_of_it = std::fs::remove_file(directory().join("LOCK"));
}

/// A copy, because opening a directory writes to it.
#[expect(clippy::disallowed_methods, reason = "fixtures are files beside the sources")]
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the directory can be made");
    for entry in std::fs::read_dir(from).expect("the fixture is there") {
        let entry = entry.expect("and its files");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("and what they are").is_dir() {
            true => copy(&entry.path(), &target),
            false => std::mem::drop(std::fs::copy(entry.path(), target).expect("and can be copied")),
        }
    }
}

#[test]
fn a_data_directory_of_version_1_is_opened() {
    if std::env::var_os("PLIMSOLL_WRITE_FIXTURES").is_some() {
        write_fixture();
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    copy(&directory(), dir.path());
    for opened in ["at first", "after it was flushed"] {
        let engine = Engine::open(dir.path(), Options::default()).expect("the fixture opens");
        let found = Dump::read(&engine.snapshot()).expect("it is read");
        assert_eq!(found.differs(&expected()), None, "{opened}");
        engine.flush().expect("what is in its log is flushed");
        drop(engine);
        let report = verify(&*Options::default().fs, dir.path(), &mut |_| {}).expect("it is verified");
        assert!(report.damages.is_empty(), "{opened}: {:?}", report.damages);
    }
}
