//! A data directory as version 1 wrote it is opened for ever, and holds what was written; so is a backup as version 2 writes it,
//! with one that is based on it, and an archive of the log, whose files tell the time.
//!
//! `PLIMSOLL_WRITE_FIXTURES=1 cargo test -p plimsoll-engine` writes that of version 2. None is written again once a version is
//! released; a new version gets a directory of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plimsoll_engine::env::sim::SimClock;
use plimsoll_engine::env::{Clock as _, FileSystem, RealFileSystem};
use plimsoll_engine::naive::Naive;
use plimsoll_engine::{ArchiveOptions, Backup, Engine, Options, Point, RestoreRequest, Value, verify, verify_archive};

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

fn backups() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v2")
}

/// Two backups, the second based on the first, and what came later in an archive.
fn write_backups() {
    // Relative to the package, where tests run: a backup remembers where its base was.
    let dir = PathBuf::from("tests/fixtures/v2");
    let _nothing_there_yet = std::fs::remove_dir_all(&dir);
    let data = tempfile::tempdir().expect("a temporary directory");
    let archive = ArchiveOptions { dir: dir.join("archive"), interval_ns: 60 * SECOND_NS };
    let clock = Arc::new(SimClock::new(START_NS));
    let options = Options { clock: Some(clock.clone()), archive: Some(archive), ..Options::default() };
    let engine = Engine::open(data.path(), options).expect("a new directory opens");
    let write = |range| {
        clock.advance(SECOND_NS);
        assert!(engine.write(&points(range)).expect("points are written").rejected.is_empty());
    };
    let back_up = |name: &str, base: Option<&str>| {
        let fs = RealFileSystem;
        let base = base.map(|base| Backup::open(&fs, &dir.join(base)).expect("the base is whole"));
        let point = engine.backup_point(base.as_ref(), clock.now_ns()).expect("the point is held");
        point.write(&fs, &dir.join(name), base.as_ref(), &mut |_| {}).expect("the backup is written");
    };
    (0..FLUSHED).step_by(100).for_each(|first| write(first..first + 100));
    engine.flush().expect("the flush succeeds");
    back_up("full", None);
    write(FLUSHED..FLUSHED + LOGGED / 2);
    back_up("next", Some("full"));
    write(FLUSHED + LOGGED / 2..FLUSHED + LOGGED);
    engine.archive().expect("the log is archived");
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

#[test]
fn a_backup_of_version_2_is_restored() {
    if std::env::var_os("PLIMSOLL_WRITE_FIXTURES").is_some() {
        write_backups();
    }
    let fs: Arc<dyn FileSystem> = Arc::new(RealFileSystem);
    let backup = Backup::open(&*fs, &backups().join("next")).expect("the backup and its base are there");
    assert!(backup.verify(&*fs, &mut |_| {}).damages.is_empty());
    let archive = backups().join("archive");
    assert!(verify_archive(&*fs, &archive, &mut |_| {}).expect("the archive is there").damages.is_empty());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let to = dir.path().join("data");
    let until_ns = Some(START_NS + 3600 * SECOND_NS);
    let request = RestoreRequest { to: &to, archive: Some(&archive), until_ns };
    backup.restore(&fs, &request, &mut |_| {}).expect("it is restored");
    let engine = Engine::open(&to, Options::default()).expect("what was restored opens");
    let found = Dump::read(&engine.snapshot()).expect("it is read");
    assert_eq!(found.differs(&expected()), None);
}
