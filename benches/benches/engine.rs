//! How quickly the engine stores, flushes, reopens and scans. Each timing is printed with the rate it means, and each answer is checked.
//!
//! `cargo bench -p plimsoll-benches`. Times mean little alone on a shared machine: compare with another commit in the same run.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::path::Path;
use std::time::Instant;

use plimsoll_benches::{FIELDS, STEP_NS, hosts, points, walk};
use plimsoll_engine::{Engine, Options, ScanRequest, TagMatcher, TagTest, TimeRange};

const HOSTS: usize = 200;
const STEPS: i64 = 2_000;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rows = HOSTS as u64 * STEPS as u64;
    let engine = open(dir.path());
    timed("write, 10 steps a batch", rows, || {
        let hosts = hosts(HOSTS);
        for first in (0..STEPS).step_by(10) {
            let batch: Vec<_> = (first..first + 10).flat_map(|step| points(&hosts, step)).collect();
            let written = engine.write(&batch).expect("the batch is stored");
            assert_eq!(written.accepted, batch.len());
        }
    });
    scans("memtable", &engine, rows);
    timed("flush", rows, || engine.flush().expect("the flush succeeds"));
    println!("{:>28} {:>10.3} bytes a value", "segments", bytes_per_value(&engine, rows));
    drop(engine);
    let engine = timed("open", rows, || open(dir.path()));
    scans("segments", &engine, rows);
}

fn open(dir: &Path) -> Engine {
    Engine::open(dir, Options::default()).expect("the directory opens")
}

fn scans(of: &str, engine: &Engine, rows: u64) {
    let all = TimeRange::ALL;
    timed(&format!("{of}: one field of all"), rows, || {
        assert_eq!(sum(engine, &FIELDS[..1], all, Vec::new()), expected(0..HOSTS, 0..STEPS));
    });
    timed(&format!("{of}: one host"), STEPS as u64, || {
        let only = TagMatcher { tag: "hostname".into(), test: TagTest::Equals("host_7".into()) };
        assert_eq!(sum(engine, &FIELDS[..1], all, vec![only]), expected(7..8, 0..STEPS));
    });
    timed(&format!("{of}: an hour of all"), HOSTS as u64 * 360, || {
        let hour = TimeRange { min_ns: 0, max_ns: 360 * STEP_NS - 1 };
        assert_eq!(sum(engine, &FIELDS[..1], hour, Vec::new()), expected(0..HOSTS, 0..360));
    });
}

/// The sum of some integer fields over a scan.
fn sum(engine: &Engine, fields: &[&str], time: TimeRange, tags: Vec<TagMatcher>) -> i64 {
    let request = ScanRequest { time, tags, ..ScanRequest::new("cpu", fields.iter().copied()) };
    let mut sum = 0;
    for part in engine.snapshot().scan(&request).expect("the scan is planned") {
        for batch in part {
            let batch = batch.expect("the batch is read");
            for column in batch.columns() {
                let values = arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(column);
                sum += values.values().iter().sum::<i64>();
            }
        }
    }
    sum
}

fn expected(hosts: std::ops::Range<usize>, steps: std::ops::Range<i64>) -> i64 {
    hosts.flat_map(|host| steps.clone().map(move |step| walk(host, 0, step))).sum()
}

fn bytes_per_value(engine: &Engine, rows: u64) -> f64 {
    engine.stats().segment_bytes as f64 / (rows * FIELDS.len() as u64) as f64
}

fn timed<T>(what: &str, rows: u64, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    let seconds = start.elapsed().as_secs_f64();
    println!("{what:>28} {:>10.3} ms {:>12.0} rows/s", seconds * 1e3, rows as f64 / seconds);
    result
}
