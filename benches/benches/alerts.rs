//! What it costs to look at many alerts: 1,000 of them over 10,000 series, with buckets of a minute, beside the rows that come in.
//!
//! `cargo bench -p plimsoll-benches --bench alerts [ALERTS]`. Time is virtual; a minute of it is: six rows of each series are
//! written, and alerts are looked at once. Half of the alerts read a KPI, half the table; one in a hundred fires. Printed are
//! seconds of processor time for a minute, of writing and of looking; below 60 a core keeps up.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use plimsoll_benches::timing::process_seconds;
use plimsoll_engine::{Durability, Engine, Options, Point, Value};
use plimsoll_query::{Database, DatabaseOptions};

const ALERTS: usize = 1_000;
const SERIES_PER_ALERT: usize = 10;
const MINUTES: i64 = 8;
const ROWS_PER_MINUTE: i64 = 6;
const NS: i64 = 1_000_000_000;

/// What came before the first minute that is counted, in minutes: enough for an alert to have fired.
const WARM: i64 = 3;

fn main() {
    let alerts = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(ALERTS);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options { durability: Durability::Interval, ..Options::default() };
    let engine = Arc::new(Engine::open(dir.path(), options).expect("the directory opens"));
    let database = Database::new(engine.clone(), &DatabaseOptions::default()).expect("the database opens");
    define(&database, alerts);
    println!("{alerts} alerts, {} series", alerts * SERIES_PER_ALERT);
    let (mut writing, mut looking, mut longest) = (0.0, 0.0, 0.0_f64);
    let mut evaluated = 0;
    for minute in 0..WARM + MINUTES {
        let before = process_seconds();
        let batch = rows(alerts, minute);
        assert_eq!(engine.write(&batch).expect("the batch is stored").accepted, batch.len());
        let written = process_seconds();
        let started = Instant::now();
        // The rows of the minute are there, and those of the next have begun.
        let tick = database.tick_blocking((minute + 1) * 60 * NS).expect("alerts are looked at");
        if minute >= WARM {
            writing += written - before;
            looking += process_seconds() - written;
            longest = longest.max(started.elapsed().as_secs_f64());
            evaluated += tick.evaluated;
            assert_eq!(tick.shed, 0, "nothing is left for later");
        }
    }
    let session = database.session();
    let firing = session.execute("SELECT count(*) FROM ops.alert WHERE state = 'firing'", 0).expect("a count");
    let firing = firing[0].column(0).as_any().downcast_ref::<arrow_array::Int64Array>().expect("a number").value(0);
    assert_eq!(usize::try_from(firing).expect("a count"), alerts.div_ceil(100), "one alert in a hundred fires");
    let minutes = MINUTES as f64;
    println!("writing   {:8.2} s of processor time a minute", writing / minutes);
    println!("looking   {:8.2} s of processor time a minute", looking / minutes);
    println!("longest look {longest:5.2} s; {:.2} ms an evaluation", 1e3 * looking / evaluated as f64);
}

fn define(database: &Database, alerts: usize) {
    let session = database.session();
    let run = |text: &str| {
        session.execute(text, 0).unwrap_or_else(|error| panic!("{error}: {text}"));
    };
    run(
        "CREATE TABLE m (time timestamptz NOT NULL, grp text, host text, v double precision, PRIMARY KEY (time, grp, host))",
    );
    run("CREATE SERVICE s TIER 1 OWNER o");
    run("CREATE KPI load ON SERVICE s AS SELECT time_bucket('1 min', time) AS time, grp, host, avg(v) AS value \
         FROM m GROUP BY 1, 2, 3 WITH (unit = 'percent', better = 'low')");
    for alert in 0..alerts {
        let query = match alert % 2 {
            0 => format!("SELECT time, host, value FROM kpi.load WHERE grp = 'g{alert}'"),
            _ => format!(
                "SELECT time_bucket('1 min', time) AS time, host, avg(v) AS value FROM m WHERE grp = 'g{alert}' GROUP BY 1, 2"
            ),
        };
        run(&format!("CREATE ALERT a{alert} ON SERVICE s AS {query} WHEN value > 90 FOR '2 min' SEVERITY 'major'"));
    }
}

/// The rows of a minute: of one group in a hundred, one series is too high.
fn rows(alerts: usize, minute: i64) -> Vec<Point<'static>> {
    let mut all = Vec::new();
    for row in 0..ROWS_PER_MINUTE {
        let time_ns = (minute * 60 + row * 60 / ROWS_PER_MINUTE) * NS;
        for group in 0..alerts {
            for host in 0..SERIES_PER_ALERT {
                let value = if group % 100 == 0 && host == 0 { 95.0 } else { (host * 7 + group) as f64 % 50.0 };
                all.push(Point {
                    table: Cow::Borrowed("m"),
                    tags: vec![("grp".into(), format!("g{group}").into()), ("host".into(), format!("h{host}").into())],
                    fields: vec![("v".into(), Value::Float(value))],
                    time_ns,
                });
            }
        }
    }
    all
}
