//! How quickly stored values are scanned, filtered and aggregated, on one thread: a day of hosts in one segment. Each answer is checked.
//!
//! `cargo bench -p plimsoll-benches --bench scan [HOSTS]`; without a number, 200 hosts. GB/s counts 8 bytes a value.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use plimsoll_benches::{FIELDS, STEP_NS, hosts, points, walk};
use plimsoll_engine::{
    Aggregate, AggregateFunction, AggregateRequest, Bucket, BucketLimit, CompareOp, Durability, Engine, FieldPredicate,
    FieldTest, Options, ScanRequest, Snapshot, TagMatcher, TagTest, TimeRange, Value,
};

const HOSTS: usize = 200;
const STEPS: i64 = 8640;
const HOUR: i64 = 360;
const RUNS: usize = 7;

fn main() {
    let count = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(HOSTS);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let large = 64 << 30;
    let options = Options {
        durability: Durability::Interval,
        memtable_flush_bytes: large,
        memtable_limit_bytes: large,
        ..Options::default()
    };
    let engine = Engine::open(dir.path(), options).expect("the directory opens");
    let names = hosts(count);
    for first in (0..STEPS).step_by(10) {
        let batch: Vec<_> = (first..first + 10).flat_map(|step| points(&names, step)).collect();
        assert_eq!(engine.write(&batch).expect("the batch is stored").accepted, batch.len());
    }
    println!("{count} hosts x {STEPS} steps x {} fields, in the memtable", FIELDS.len());
    queries(&engine.snapshot(), count);
    engine.flush().expect("the flush succeeds");
    let bytes = engine.stats().segment_bytes as f64 / (count as f64 * STEPS as f64 * FIELDS.len() as f64);
    println!("in a segment, {bytes:.3} bytes a value");
    queries(&engine.snapshot(), count);
}

fn queries(snapshot: &Snapshot, count: usize) {
    let rows = count as u64 * STEPS as u64;
    let aggregate = |request: &AggregateRequest| {
        snapshot.aggregate(request).and_then(plimsoll_engine::Aggregation::run).expect("it is answered")
    };

    timed("scan: one field of all", rows, || scan(snapshot), |sum| assert_eq!(*sum, total(count)));

    let hour = TimeRange { min_ns: 3 * HOUR * STEP_NS, max_ns: 4 * HOUR * STEP_NS - 1 };
    let mut one = request(AggregateFunction::Max, 1, hour, HOUR / 60);
    one.tags = vec![TagMatcher { tag: "hostname".into(), test: TagTest::Equals("host_7".into()) }];
    timed(
        "max by minute: one host, 1 h, 1 field",
        HOUR as u64,
        || aggregate(&one),
        |batch| {
            assert_eq!(batch.num_rows(), 60);
            assert_eq!(integer(batch, 1, 5), (3 * HOUR + 30..3 * HOUR + 36).map(|s| walk(7, 0, s)).max().unwrap());
        },
    );

    let half_day = TimeRange { min_ns: 6 * HOUR * STEP_NS, max_ns: 18 * HOUR * STEP_NS - 1 };
    for fields in [1, 5, 10] {
        let mut double = request(AggregateFunction::Avg, fields, half_day, HOUR);
        double.group_tags = vec!["hostname".into()];
        let what = format!("avg by host and hour: all, 12 h, {fields} fields");
        timed(
            &what,
            rows / 2 * fields as u64,
            || aggregate(&double),
            |batch| {
                assert_eq!(batch.num_rows(), count * 12);
                let expected = (6 * HOUR..7 * HOUR).map(|s| walk(0, 0, s)).sum::<i64>() as f64 / HOUR as f64;
                assert!((batch.column(2).as_primitive::<Float64Type>().value(0) - expected).abs() < 1e-9);
            },
        );
    }

    let until = TimeRange { min_ns: i64::MIN, max_ns: 20 * HOUR * STEP_NS - 1 };
    let mut newest = request(AggregateFunction::Max, 1, until, 6);
    newest.limit = Some(BucketLimit { descending: true, buckets: 5 });
    timed(
        "max by minute: all, newest 5 minutes",
        count as u64 * 30,
        || aggregate(&newest),
        |batch| {
            assert_eq!(batch.num_rows(), 5);
            let steps = 20 * HOUR - 6..20 * HOUR;
            let expected = (0..count).flat_map(|host| steps.clone().map(move |s| walk(host, 0, s))).max().unwrap();
            assert_eq!(integer(batch, 1, 0), expected);
        },
    );

    let whole = AggregateRequest::new("cpu", aggregates(AggregateFunction::Max, 10));
    timed(
        "max: all, the whole day, 10 fields",
        rows * 10,
        || aggregate(&whole),
        |batch| {
            assert_eq!(integer(batch, 9, 0), 100);
        },
    );

    let mut high = AggregateRequest::new("cpu", aggregates(AggregateFunction::Avg, 1));
    high.aggregates.push(Aggregate { function: AggregateFunction::CountRows, field: None });
    let test = FieldTest::Compare(CompareOp::Greater, Value::Integer(90));
    high.predicates = vec![FieldPredicate { field: FIELDS[0].into(), test }];
    let expected = (0..count).map(|h| (0..STEPS).filter(|s| walk(h, 0, *s) > 90).count() as i64).sum::<i64>();
    timed(
        "count where > 90: all, the whole day",
        rows,
        || aggregate(&high),
        |batch| {
            assert_eq!(integer(batch, 1, 0), expected);
        },
    );
}

fn aggregates(function: AggregateFunction, fields: usize) -> Vec<Aggregate> {
    FIELDS[..fields].iter().map(|field| Aggregate { function, field: Some((*field).into()) }).collect()
}

/// Aggregates of fields by a bucket of some steps.
fn request(function: AggregateFunction, fields: usize, time: TimeRange, steps: i64) -> AggregateRequest {
    let mut request = AggregateRequest::new("cpu", aggregates(function, fields));
    request.time = time;
    request.bucket = Some(Bucket { width_ns: steps * STEP_NS, origin_ns: 0 });
    request
}

fn integer(batch: &RecordBatch, column: usize, row: usize) -> i64 {
    batch.column(column).as_primitive::<Int64Type>().value(row)
}

fn scan(snapshot: &Snapshot) -> i64 {
    let columns = vec![FIELDS[0].to_owned()];
    let request = ScanRequest { table: "cpu".into(), columns, time: TimeRange::ALL, tags: Vec::new(), parts_max: 1 };
    let parts = snapshot.scan(&request).expect("the scan is planned").into_iter().flatten();
    let sum = |batch: RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
    parts.map(|batch| sum(batch.expect("the batch is read"))).sum()
}

fn total(count: usize) -> i64 {
    (0..count).flat_map(|host| (0..STEPS).map(move |step| walk(host, 0, step))).sum()
}

/// Prints the median of some runs, after one that warms up.
fn timed<T>(what: &str, values: u64, run: impl Fn() -> T, check: impl Fn(&T)) {
    let mut took: Vec<Duration> = (0..=RUNS)
        .map(|_| {
            let start = Instant::now();
            let result = run();
            let took = start.elapsed();
            check(&result);
            took
        })
        .collect();
    took.remove(0);
    took.sort();
    let seconds = took[RUNS / 2].as_secs_f64();
    let rate = values as f64 / seconds;
    println!("{what:>46} {:>9.3} ms {:>9.1} M values/s {:>6.2} GB/s", seconds * 1e3, rate / 1e6, rate * 8.0 / 1e9);
}
