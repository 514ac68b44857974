//! The same rows and the same SQL in a real PostgreSQL: both must give the same text.
//!
//! Numbers are multiples of a quarter and small, so that sums of floats are exact in any order.
//! Without PostgreSQL's server programs the test says so and passes, unless `PLIMSOLL_REQUIRE_CLIENTS=1`.

use std::fmt::Write as _;

use rand::prelude::*;

use super::postgres::Postgres;
use super::server::{PgServer, text_rows};

/// Queries of one run.
const QUERIES: usize = 400;

const CREATE: &str =
    "CREATE TABLE m (time timestamptz NOT NULL, host text, region text, f float8, n bigint, ok boolean";

/// Rows as one INSERT each for both: several hosts, some values missing, times of two days in steps of 10 s.
fn rows(random: &mut StdRng) -> Vec<String> {
    let mut rows = Vec::new();
    for host in 0..6 {
        let mut second = random.random_range(0..60);
        while second < 2 * 86_400 {
            let region = ["'eu'", "'us'", "NULL"][host % 3];
            let f = if random.random_bool(0.1) {
                "NULL".to_owned()
            } else {
                (f64::from(random.random_range(-400..400)) / 4.0).to_string()
            };
            let n = if random.random_bool(0.1) { "NULL".to_owned() } else { random.random_range(-50..50).to_string() };
            let ok = ["true", "false", "NULL"][random.random_range(0..3)];
            let (f, n, ok) = if f == "NULL" && n == "NULL" { ("0", "0", "true") } else { (f.as_str(), n.as_str(), ok) };
            rows.push(format!("(timestamptz '2024-03-30 00:00:00+00' + interval '{second} seconds', 'h{host}', {region}, {f}, {n}, {ok})"));
            second += random.random_range(1..400) * 10;
        }
    }
    rows
}

/// A query that both understand, with an order that leaves nothing open.
fn query(random: &mut StdRng) -> String {
    let condition = condition(random);
    match random.random_range(0..8) {
        0 => format!(
            "SELECT time, host, region, f, n, ok FROM m WHERE {condition} ORDER BY time, host LIMIT {}",
            random.random_range(0..50)
        ),
        1 => format!(
            "SELECT host, time, f FROM m WHERE {condition} ORDER BY time DESC, host DESC LIMIT 7 OFFSET {}",
            random.random_range(0..5)
        ),
        2 => format!("SELECT DISTINCT ON (host) host, time, f, n FROM m WHERE {condition} ORDER BY host, time DESC"),
        3 => format!(
            "SELECT DISTINCT {} FROM m WHERE {condition} ORDER BY 1",
            ["host", "region", "ok"].choose(random).unwrap()
        ),
        4 => format!("SELECT {} FROM m WHERE {condition}", aggregates(random)),
        5 => {
            let tags = ["host", "region", "host, region"].choose(random).unwrap();
            format!("SELECT {tags}, {} FROM m WHERE {condition} GROUP BY {tags} ORDER BY {tags}", aggregates(random))
        }
        _ => {
            let bucket = bucket(random);
            let tags = ["", ", host", ", region", ", host, region"].choose(random).unwrap();
            let order = if random.random_bool(0.5) { "" } else { " DESC" };
            let limit = if random.random_bool(0.3) { " LIMIT 5" } else { "" };
            format!(
                "SELECT {bucket} AS bucket{tags}, {} FROM m WHERE {condition} GROUP BY bucket{tags} ORDER BY bucket{order}{tags}{limit}",
                aggregates(random)
            )
        }
    }
}

fn bucket(random: &mut StdRng) -> &'static str {
    [
        "date_trunc('minute', time)",
        "date_trunc('hour', time)",
        "date_trunc('day', time)",
        "date_bin('15 minutes', time, TIMESTAMPTZ '2000-01-01 00:00:00+00')",
        "date_bin('7 hours', time, TIMESTAMPTZ '2024-03-30 00:03:00+00')",
        "date_bin('90 seconds', time, TIMESTAMPTZ '2000-01-01 00:00:00+00')",
    ]
    .choose(random)
    .unwrap()
}

fn aggregates(random: &mut StdRng) -> String {
    let all = [
        "count(*)",
        "count(f)",
        "count(n)",
        "sum(f)",
        "sum(n)",
        "min(f)",
        "max(f)",
        "min(n)",
        "max(n)",
        "avg(f)",
        "min(time)",
        "max(time)",
        "count(DISTINCT host)",
        "bool_or(ok)",
        "sum(f) FILTER (WHERE n > 0)",
        "max(f) - min(f)",
    ];
    let count = random.random_range(1..4);
    all.choose_multiple(random, count).copied().collect::<Vec<_>>().join(", ")
}

fn condition(random: &mut StdRng) -> String {
    let start = random.random_range(0..48 * 60);
    let minutes = random.random_range(1..24 * 60);
    let at = |minute: i32| format!("'2024-03-{} {:02}:{:02}:00'", 30 + minute / 1440, minute / 60 % 24, minute % 60);
    let end = (start + minutes).min(2 * 1440 - 1);
    let mut text = match random.random_range(0..4) {
        0 => "true".to_owned(),
        1 => format!("time >= {}", at(start)),
        2 => format!("time BETWEEN {} AND {}", at(start), at(end)),
        _ => format!("time >= {} AND time < {}", at(start), at(end)),
    };
    let more = [
        "host = 'h1'",
        "host IN ('h0', 'h3', 'h9')",
        "host <> 'h2'",
        "host NOT IN ('h2', 'h4')",
        "host LIKE 'h%'",
        "host ~ '[24]$'",
        "region IS NULL",
        "region = 'eu'",
        "region IS NOT NULL AND region <> 'us'",
        "f > 50",
        "f <= -12.25",
        "n BETWEEN -10 AND 10",
        "n IN (1, 2, 3)",
        "n IS NULL",
        "f IS NOT NULL",
        "ok",
        "NOT ok",
        "(f > 90 OR n = 7)",
        "host = 'nowhere'",
    ];
    let count = random.random_range(0..3);
    for condition in more.choose_multiple(random, count) {
        write!(text, " AND {condition}").unwrap();
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_gives_the_same_rows() {
    let Some(postgres) = Postgres::start_or_skip().await else { return };
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut random = StdRng::seed_from_u64(seed);
    let server = PgServer::start().await;
    let (theirs, ours) = (postgres.connect().await, server.connect().await);
    theirs.batch_execute(&format!("{CREATE})")).await.unwrap();
    ours.batch_execute(&format!("{CREATE}, PRIMARY KEY (time, host, region))")).await.unwrap();
    for (nth, rows) in rows(&mut random).chunks(500).enumerate() {
        let insert = format!("INSERT INTO m VALUES {}", rows.join(", "));
        theirs.batch_execute(&insert).await.unwrap();
        ours.batch_execute(&insert).await.unwrap();
        // Some rows come from segments, some from the memtable.
        if nth < 2 {
            server.engine.flush().unwrap();
        }
    }
    for nth in 0..QUERIES {
        let query = query(&mut random);
        let (expected, found) = (text_rows(&theirs, &query).await, text_rows(&ours, &query).await);
        assert_eq!(found, expected, "query {nth} of seed {seed}: {query}");
    }
}
