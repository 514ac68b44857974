//! How long SQL takes beside the engine: planning by the direct plan and by the optimizer, and whole queries inside of a program.
//! Each answer is checked.
//!
//! `cargo bench -p plimsoll-benches --bench sql [HOSTS]`; without a number, 100 hosts of one day. With `PLIMSOLL_DATA=DIR` the
//! queries also run over the table `cpu` of a data directory that is there, such as one that a server has loaded and left.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use futures::TryStreamExt;
use plimsoll_benches::{FIELDS, hosts, points, walk};
use plimsoll_engine::{Durability, Engine, Options, Shortcuts};
use plimsoll_query::{Database, DatabaseOptions, Outcome, Session, parse};
use tokio::runtime::Runtime;

const HOSTS: usize = 100;
const STEPS: i64 = 8640;
const RUNS: usize = 15;

fn main() {
    let count = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(HOSTS);
    let runtime = Runtime::new().expect("threads can be started");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let engine = filled(dir.path(), count);
    println!("{count} hosts x {STEPS} steps x {} fields", FIELDS.len());
    planning(&runtime, &engine);
    let high = (0..count).map(|host| (0..STEPS).filter(|step| walk(host, 0, *step) > 90).count()).sum();
    queries(&runtime, &engine, Some(Expected { high, hosts: count }));
    if let Some(dir) = std::env::var_os("PLIMSOLL_DATA") {
        println!("{}", dir.display());
        let engine = Engine::open(Path::new(&dir), Options::default()).expect("the directory opens");
        queries(&runtime, &Arc::new(engine), None);
    }
}

fn filled(dir: &Path, count: usize) -> Arc<Engine> {
    let options = Options { durability: Durability::Interval, ..Options::default() };
    let engine = Engine::open(dir, options).expect("the directory opens");
    let names = hosts(count);
    for first in (0..STEPS).step_by(10) {
        let batch: Vec<_> = (first..first + 10).flat_map(|step| points(&names, step)).collect();
        assert_eq!(engine.write(&batch).expect("the batch is stored").accepted, batch.len());
    }
    engine.vacuum(None, 0, &|| true).expect("it is made compact");
    Arc::new(engine)
}

fn session(engine: &Arc<Engine>, shortcuts: Shortcuts) -> Session {
    let options = DatabaseOptions { shortcuts, ..DatabaseOptions::default() };
    Database::new(engine.clone(), &options).expect("the database opens").session()
}

/// What a statement costs before its first row is read.
fn planning(runtime: &Runtime, engine: &Arc<Engine>) {
    let minute = "SELECT time_bucket('60 seconds', time) AS bucket, max(usage_user) FROM cpu WHERE hostname = 'host_7' \
                  AND time >= '1970-01-01 03:00:00' AND time < '1970-01-01 04:00:00' GROUP BY bucket ORDER BY bucket";
    let long_way = Shortcuts { direct_plan: false, ..Shortcuts::ALL };
    for (name, shortcuts) in [("direct plan", Shortcuts::ALL), ("optimizer", long_way)] {
        let session = session(engine, shortcuts);
        timed(&format!("parse and prepare, {name}"), || {
            let statement = parse(minute).expect("it is SQL").remove(0);
            let prepared = session.prepare(&statement, &[], 0).expect("it is planned");
            assert_eq!(prepared.columns().len(), 2);
        });
        let rows = timed(&format!("one host, 1 h by minute, {name}"), || rows(runtime, &session, minute));
        assert_eq!(rows, 60);
    }
}

/// What the data is known to hold.
struct Expected {
    /// Rows with more than 90.
    high: usize,
    hosts: usize,
}

/// Queries of the TSBS "devops" set with large answers or many rows.
fn queries(runtime: &Runtime, engine: &Arc<Engine>, expected: Option<Expected>) {
    let session = session(engine, Shortcuts::ALL);
    let run = |name: &str, sql: &str| timed(name, || rows(runtime, &session, sql));
    let columns = FIELDS.join(", ");
    let found = run("high-cpu-all", &format!("SELECT time, hostname, {columns} FROM cpu WHERE usage_user > 90"));
    println!("  {found} rows");
    let last = format!("SELECT DISTINCT ON (hostname) hostname, time, {columns} FROM cpu ORDER BY hostname, time DESC");
    let latest = run("lastpoint", &last);
    let means: Vec<_> = FIELDS.iter().map(|field| format!("avg({field})")).collect();
    let double = format!(
        "SELECT time_bucket('1 hour', time) AS hour, hostname, {} FROM cpu GROUP BY hour, hostname ORDER BY hour, hostname",
        means.join(", ")
    );
    let groups = run("double-groupby-all, whole range", &double);
    if let Some(Expected { high, hosts }) = expected {
        assert_eq!((found, latest, groups), (high, hosts, hosts * 24));
    }
}

/// Number of rows of the answer.
fn rows(runtime: &Runtime, session: &Session, sql: &str) -> usize {
    let statement = parse(sql).expect("it is SQL").remove(0);
    runtime.block_on(async {
        let prepared = session.prepare(&statement, &[], 0).expect("it is planned");
        let outcome = session.run(&prepared, &[], 0).await.expect("it runs");
        let Outcome::Rows { stream, .. } = outcome else { panic!("a query gives rows") };
        let batches: Vec<RecordBatch> = stream.try_collect().await.expect("it is answered");
        batches.iter().map(RecordBatch::num_rows).sum()
    })
}

/// Runs something some times and prints the median.
fn timed<T>(name: &str, mut run: impl FnMut() -> T) -> T {
    let mut last = run();
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        last = run();
        times.push(started.elapsed());
    }
    times.sort_unstable();
    println!("{name:<44} {:>10.3} ms", times[RUNS / 2].as_secs_f64() * 1e3);
    last
}
