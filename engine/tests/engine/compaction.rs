//! Compaction as seen from outside: segments stay few whatever the writes are, a quiet day becomes one segment, and deleted
//! rows give their space back.

use std::collections::BTreeMap;

use plimsoll_engine::env::sim::{Random, SimFileSystem};
use plimsoll_engine::{Engine, Point, ScanRequest, TagMatcher, TagTest, TimeRange, Value};

use crate::driver::dir;
use crate::history::{START_NS, Sizes};

const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;

/// A value that takes its bytes in every encoding.
fn value(time_ns: i64) -> Value<'static> {
    Value::Integer(((time_ns as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24) as i64)
}

fn point(host: usize, time_ns: i64) -> Point<'static> {
    Point {
        table: "cpu".into(),
        tags: vec![("host".into(), format!("host_{host}").into())],
        fields: vec![("usage".into(), value(time_ns))],
        time_ns,
    }
}

fn open(fs: &SimFileSystem) -> Engine {
    Engine::open(dir(), Sizes::large().on(fs.clone())).unwrap()
}

fn maintain(engine: &Engine, now_ns: i64) {
    for _ in 0..100_000 {
        if !engine.maintain(now_ns).unwrap().more {
            return;
        }
    }
    panic!("maintenance never ends");
}

fn rows(engine: &Engine) -> usize {
    let request = ScanRequest::new("cpu", Vec::<String>::new());
    let parts = engine.snapshot().scan(&request).unwrap();
    parts.into_iter().flatten().map(|batch| batch.unwrap().num_rows()).sum()
}

/// Segments and the level of the largest, by day.
fn days(engine: &Engine) -> BTreeMap<i64, (usize, u32)> {
    let mut days = BTreeMap::new();
    for segment in engine.segments() {
        let (count, level) = days.entry(segment.time.min_ns.div_euclid(DAY_NS)).or_insert((0, 0));
        (*count, *level) = (*count + 1, segment.level.max(*level));
    }
    days
}

/// The formula of `docs/design.md`.
fn check_bound(engine: &Engine) {
    for (day, (count, level)) in days(engine) {
        assert!(count <= 3 * (level as usize + 1), "day {day} has {count} segments, the largest of level {level}");
    }
}

/// No file is left that no segment is made of.
fn check_files(fs: &SimFileSystem, engine: &Engine) {
    let is_segment = |path: &std::path::Path| path.extension().is_some_and(|e| e == "seg" || e == "del");
    let files = fs.files().into_iter().filter(|(path, _)| is_segment(path)).count();
    assert_eq!(files, engine.segments().len());
}

#[test]
fn tiny_writes_leave_few_segments() {
    let writes = if std::env::var_os("PLIMSOLL_LONG").is_some() { 1_000_000 } else { 40_000 };
    let fs = SimFileSystem::new();
    let engine = open(&fs);
    for write in 0..writes {
        engine.write(&[point(write % 7, START_NS + write as i64 * 80_000_000)]).unwrap();
        if write % 100 == 99 {
            engine.flush().unwrap();
            maintain(&engine, START_NS);
            check_bound(&engine);
        }
    }
    assert_eq!(rows(&engine), writes);
    maintain(&engine, START_NS + 3600 * SECOND_NS);
    assert!(days(&engine).values().all(|(count, _)| *count == 1), "{:?}", days(&engine));
    assert_eq!(rows(&engine), writes);
    check_files(&fs, &engine);
    drop(engine);
    assert_eq!(rows(&open(&fs)), writes);
}

/// A year in random order: each flush touches every day.
#[test]
fn a_backfill_leaves_few_segments() {
    const DAYS: usize = 365;
    let fs = SimFileSystem::new();
    let engine = open(&fs);
    let random = &mut Random::new(1);
    let mut times: Vec<i64> = (0..DAYS * 20).map(|nth| START_NS + nth as i64 * (DAY_NS / 20)).collect();
    for at in (1..times.len()).rev() {
        times.swap(at, random.below(at + 1));
    }
    for batch in times.chunks(DAYS) {
        engine.write(&batch.iter().map(|time_ns| point(1, *time_ns)).collect::<Vec<_>>()).unwrap();
        engine.flush().unwrap();
        maintain(&engine, START_NS);
        check_bound(&engine);
    }
    assert_eq!(rows(&engine), times.len());
    maintain(&engine, START_NS + 3600 * SECOND_NS);
    assert_eq!(engine.segments().len(), DAYS);
    assert_eq!(rows(&engine), times.len());
    check_files(&fs, &engine);
}

#[test]
fn deleted_rows_give_their_space_back() {
    let fs = SimFileSystem::new();
    let engine = open(&fs);
    for host in 0..10 {
        let points: Vec<_> = (0..1000).map(|nth| point(host, START_NS + nth * SECOND_NS)).collect();
        engine.write(&points).unwrap();
    }
    engine.flush().unwrap();
    let before = engine.stats().segment_bytes;
    let hosts = (0..9).map(|host| format!("host_{host}")).collect();
    let nine = [TagMatcher { tag: "host".to_owned(), test: TagTest::In(hosts) }];
    let deleted = engine.delete("cpu", TimeRange::ALL, &nine, &[]).unwrap();
    assert_eq!((deleted, rows(&engine)), (9000, 1000));
    engine.flush().unwrap();
    assert_eq!(engine.stats().segments_to_purge, 1);
    drop(engine);
    let engine = open(&fs);
    assert_eq!(rows(&engine), 1000);
    maintain(&engine, START_NS);
    assert_eq!((engine.stats().segment_rows, engine.stats().segments_to_purge, rows(&engine)), (1000, 0, 1000));
    assert!(engine.stats().segment_bytes * 4 < before);
    assert_eq!(engine.delete("cpu", TimeRange::ALL, &[], &[]).unwrap(), 1000);
    engine.flush().unwrap();
    maintain(&engine, START_NS);
    assert_eq!((engine.segments().len(), rows(&engine)), (0, 0));
    engine.write(&[point(3, START_NS)]).unwrap();
    engine.flush().unwrap();
    check_files(&fs, &engine);
    assert_eq!(rows(&engine), 1);
}
