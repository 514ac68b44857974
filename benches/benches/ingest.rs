//! How quickly line protocol becomes stored rows: parsed, written without and with a sync, flushed, replayed after a crash.
//! Each timing is printed with the rates it means, and what was stored is read back and checked.
//!
//! `cargo bench -p plimsoll-benches --bench ingest`. Lines are those of the TSBS "devops" set: ten tags, ten integer fields.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use plimsoll::ingest::Loader;
use plimsoll::ingest::line_protocol::{Precision, parse};
use plimsoll_benches::{FIELDS, line, walk};
use plimsoll_engine::{Durability, Engine, Options, ScanRequest};
use plimsoll_query::{Database, DatabaseOptions};

/// Lines of one body.
const BODY_LINES: usize = 10_000;

fn main() {
    run("1,000 hosts, 300 points each", 1_000, 300);
    run("30,000 hosts, 10 points each", 30_000, 10);
}

fn run(what: &str, hosts: usize, steps: i64) {
    println!("{what}");
    let bodies = bodies(hosts, steps);
    let size = Size { rows: hosts * steps as usize, bytes: bodies.iter().map(Vec::len).sum() };
    timed("parse into points", size, || {
        let points: usize = bodies.iter().map(|body| parse(body, 0, Precision::Nanosecond).points.len()).sum();
        assert_eq!(points, size.rows);
    });
    for (name, durability) in [("write, no sync", Durability::Interval), ("write, synced", Durability::Synced)] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let engine = open(dir.path(), durability);
        timed(name, size, || write(&engine, &bodies));
        check(&engine, hosts, steps);
        drop(engine);
        let engine = timed("open and replay", size, || open(dir.path(), durability));
        check(&engine, hosts, steps);
        timed("flush", size, || engine.flush().expect("the flush succeeds"));
        check(&engine, hosts, steps);
    }
}

/// All points in order of time, in bodies of equal size.
fn bodies(hosts: usize, steps: i64) -> Vec<Vec<u8>> {
    let mut bodies = vec![Vec::new()];
    let mut lines = 0;
    for step in 0..steps {
        for host in 0..hosts {
            if lines == BODY_LINES {
                bodies.push(Vec::new());
                lines = 0;
            }
            line(host, step, bodies.last_mut().expect("there is one"));
            lines += 1;
        }
    }
    bodies
}

/// Writes the bodies from two threads, as two connections would.
fn write(engine: &Arc<Engine>, bodies: &[Vec<u8>]) {
    let database = Database::new(Arc::clone(engine), &DatabaseOptions::default()).expect("the catalogue opens");
    let loader = Loader::new(database);
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
            let loaded = loader.load(body, 0, Precision::Nanosecond);
            assert!(loaded.failure.is_none() && loaded.refused.is_none());
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
}

fn open(dir: &Path, durability: Durability) -> Arc<Engine> {
    let limits = Options { memtable_flush_bytes: 1 << 30, memtable_limit_bytes: 1 << 30, ..Options::default() };
    Arc::new(Engine::open(dir, Options { durability, ..limits }).expect("the directory opens"))
}

/// Reads one field back and compares its number and sum.
fn check(engine: &Engine, hosts: usize, steps: i64) {
    let request = ScanRequest::new("cpu", [FIELDS[3]]);
    let (mut rows, mut sum) = (0, 0);
    for part in engine.snapshot().scan(&request).expect("the scan is planned") {
        for batch in part {
            let batch = batch.expect("the batch is read");
            rows += batch.num_rows();
            sum += batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
        }
    }
    assert_eq!(rows, hosts * steps as usize);
    let expected: i64 = (0..hosts).flat_map(|host| (0..steps).map(move |step| walk(host, 3, step))).sum();
    assert_eq!(sum, expected);
}

#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    bytes: usize,
}

fn timed<T>(what: &str, size: Size, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    let seconds = start.elapsed().as_secs_f64();
    let (rows, gigabytes) = (size.rows as f64 / seconds, size.bytes as f64 / seconds / 1e9);
    println!("{what:>28} {:>10.3} ms {rows:>12.0} rows/s {gigabytes:>8.3} GB/s of lines", seconds * 1e3);
    result
}
