//! What it costs to keep a KPI over 10,000 series up with buckets of a minute, and to score points.
//!
//! `cargo bench -p plimsoll-benches --bench kpis [SERIES]`. Time is virtual; a minute of it is: six rows of each series are written,
//! and KPIs are brought up to date once. Printed are seconds of processor time for a minute, of writing and of keeping up; below 60
//! a core keeps up. Then millions of points that one core scores in a second, by each method, over one series in memory.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::borrow::Cow;
use std::sync::Arc;

use plimsoll_benches::timing::process_seconds;
use plimsoll_engine::{Durability, Engine, Options, Point, Value};
use plimsoll_query::{Database, DatabaseOptions, Session};

const SERIES: usize = 10_000;
const MINUTES: i64 = 8;
const ROWS_PER_MINUTE: i64 = 6;
const NS: i64 = 1_000_000_000;

/// Minutes before the first that is counted.
const WARM: i64 = 3;

/// Points that are scored.
const POINTS: i64 = 500_000;

fn main() {
    let series = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(SERIES);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options { durability: Durability::Interval, ..Options::default() };
    let engine = Arc::new(Engine::open(dir.path(), options).expect("the directory opens"));
    // One thread, so that what is counted is what one core does.
    let database = Database::new(engine.clone(), &DatabaseOptions { threads: 1, ..DatabaseOptions::default() });
    let database = database.expect("the database opens");
    keep_up(&engine, &database, series);
    score(&engine, &database.session());
}

fn keep_up(engine: &Engine, database: &Database, series: usize) {
    let session = database.session();
    run(
        &session,
        "CREATE TABLE m (time timestamptz NOT NULL, host text, v double precision, PRIMARY KEY (time, host))",
    );
    run(
        &session,
        "CREATE KPI load AS SELECT time_bucket('1 min', time) AS time, host, avg(v) AS value FROM m GROUP BY 1, 2",
    );
    let (mut writing, mut keeping) = (0.0, 0.0);
    for minute in 0..WARM + MINUTES {
        let before = process_seconds();
        let batch = rows(series, minute);
        assert_eq!(engine.write(&batch).expect("the batch is stored").accepted, batch.len());
        let written = process_seconds();
        database.tick_blocking((minute + 1) * 60 * NS).expect("KPIs are kept up");
        if minute >= WARM {
            writing += written - before;
            keeping += process_seconds() - written;
        }
    }
    let kept = single(&session, "SELECT count(*) FROM kpi.load");
    assert_eq!(kept, (WARM + MINUTES) * i64::try_from(series).expect("a count"), "each series has each bucket");
    println!("a KPI over {series} series, buckets of a minute");
    println!("writing    {:8.2} s of processor time a minute", writing / MINUTES as f64);
    println!("keeping up {:8.2} s of processor time a minute", keeping / MINUTES as f64);
}

fn score(engine: &Engine, session: &Session) {
    run(session, "CREATE TABLE s (time timestamptz NOT NULL, v double precision)");
    let points: Vec<Point<'_>> = (0..POINTS)
        .map(|n| Point {
            table: Cow::Borrowed("s"),
            tags: Vec::new(),
            fields: vec![("v".into(), Value::Float((n % 1_440) as f64 / 10.0 + (n * 7_919 % 1_009) as f64 / 100.0))],
            time_ns: n * 60 * NS,
        })
        .collect();
    points.chunks(50_000).for_each(|chunk| drop(engine.write(chunk).expect("the points are stored")));
    let count = |of: &str| format!("SELECT count(score) FROM (SELECT {of} AS score FROM s) AS scored");
    let seconds = |text: &str| {
        let before = process_seconds();
        assert!(single(session, text) > POINTS / 2, "most points have a score");
        process_seconds() - before
    };
    let reading = seconds(&count("lag(v) OVER (ORDER BY time)"));
    // What a method computes for a point: residuals (fast, slow, of the season, of a line), novelty (of the value, of what is left
    // without the season, of the recent mean).
    for (method, features) in [("auto", 7), ("residual", 4), ("novelty", 3), ("flat", 1), ("gap", 1)] {
        let spent =
            seconds(&count(&format!("anomaly_score(v, time, '{method}', '1 day') OVER (ORDER BY time)"))) - reading;
        let millions = POINTS as f64 / 1e6 / spent.max(1e-9);
        println!(
            "{method:10} {millions:8.2} M points/s, {:8.2} M points/s for each of {features} features",
            millions * f64::from(features)
        );
    }
}

fn rows(series: usize, minute: i64) -> Vec<Point<'static>> {
    let mut all = Vec::with_capacity(series * 6);
    for row in 0..ROWS_PER_MINUTE {
        let time_ns = (minute * 60 + row * 60 / ROWS_PER_MINUTE) * NS;
        all.extend((0..series).map(|host| Point {
            table: Cow::Borrowed("m"),
            tags: vec![("host".into(), format!("h{host}").into())],
            fields: vec![("v".into(), Value::Float((host * 7) as f64 % 50.0))],
            time_ns,
        }));
    }
    all
}

fn run(session: &Session, text: &str) {
    session.execute(text, 0).unwrap_or_else(|error| panic!("{error}: {text}"));
}

fn single(session: &Session, text: &str) -> i64 {
    let answer = session.execute(text, 0).unwrap_or_else(|error| panic!("{error}: {text}"));
    let column = answer[0].column(0).as_any().downcast_ref::<arrow_array::Int64Array>().expect("a number");
    column.value(0)
}
