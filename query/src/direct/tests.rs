//! Direct plan on = direct plan off = nothing pushed down, for random statements over random data; and which statements have one.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use futures::TryStreamExt;
use plimsoll_engine::env::sim::Random;
use plimsoll_engine::{Engine, Options, Point, Shortcuts, Value};
use tempfile::TempDir;

use crate::{Database, DatabaseOptions, Error, Outcome, OutputColumn, Result, Session};

const SECOND_NS: i64 = 1_000_000_000;

/// 2024-03-30 20:00 UTC, hours before the clocks of Berlin go forward.
const START_NS: i64 = 1_711_828_800 * SECOND_NS;

/// The time of every run.
const NOW_NS: i64 = START_NS + 6 * 3600 * SECOND_NS;

/// A database that three sessions look at: one takes every shortcut, one has no direct plans, and to one the engine gives rows
/// and nothing else.
struct Pair {
    _dir: TempDir,
    engine: Arc<Engine>,
    direct: Session,
    planned: Session,
    long: Session,
}

impl Pair {
    fn new() -> Pair {
        let dir = tempfile::tempdir().unwrap();
        let engine = Arc::new(Engine::open(dir.path(), Options::default()).unwrap());
        let session = |shortcuts| {
            let options = DatabaseOptions { threads: 2, shortcuts, ..DatabaseOptions::default() };
            Database::new(engine.clone(), &options).unwrap().session()
        };
        let direct = session(Shortcuts::ALL);
        let planned = session(Shortcuts { direct_plan: false, ..Shortcuts::ALL });
        let long = session(Shortcuts { direct_plan: false, pushdown: false, ..Shortcuts::ALL });
        Pair { _dir: dir, engine, direct, planned, long }
    }

    fn set_time_zone(&mut self, zone: &str) {
        for session in [&mut self.direct, &mut self.planned, &mut self.long] {
            session.set_time_zone(zone).unwrap();
        }
    }
}

fn statement(sql: &str) -> crate::Statement {
    crate::parse(sql).unwrap_or_else(|e| panic!("{sql}: {e}")).remove(0)
}

/// The columns, and the rows as text, or the error.
#[tokio::main(flavor = "current_thread")]
async fn answer(session: &Session, sql: &str, values: &[ScalarValue]) -> Result<(Vec<OutputColumn>, Vec<Vec<String>>)> {
    let prepared = session.prepare(&statement(sql), &[], NOW_NS)?;
    let Outcome::Rows { stream, .. } = session.run(&prepared, values, NOW_NS).await? else {
        panic!("{sql} gives rows")
    };
    let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(Error::from)?;
    for batch in &batches {
        for (field, column) in batch.schema().fields().iter().zip(prepared.columns()) {
            assert_eq!((field.name(), field.data_type()), (&column.name, &column.data_type), "{sql}");
        }
    }
    Ok((prepared.columns().to_vec(), batches.iter().flat_map(rows).collect()))
}

fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let shown = |column: &Arc<dyn Array>, row| match column.data_type() {
        // Sums of floats depend on their order in the last digits.
        DataType::Float64 if column.is_valid(row) => format!("{:.9e}", column.as_primitive::<Float64Type>().value(row)),
        _ => ArrayFormatter::try_new(column.as_ref(), &options).unwrap().value(row).to_string(),
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| shown(column, row)).collect()).collect()
}

/// Whether the two ways can be told apart.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// The rows come in one order only.
    Total,
    /// In any order.
    Any,
    /// Any rows may come, so many.
    Count,
}

fn check(pair: &Pair, sql: &str, values: &[ScalarValue], order: Order) {
    same(&pair.direct, &pair.long, sql, values, order);
    same(&pair.planned, &pair.long, sql, values, order);
}

fn same(direct: &Session, long: &Session, sql: &str, values: &[ScalarValue], order: Order) {
    let (direct, long) = (answer(direct, sql, values), answer(long, sql, values));
    let (direct, long) = match (direct, long) {
        (Ok(direct), Ok(long)) => (direct, long),
        (Err(direct), Err(long)) => return assert_eq!(direct.to_string(), long.to_string(), "{sql}"),
        (direct, long) => panic!("{sql}\ndirect: {direct:?}\nlong: {long:?}"),
    };
    assert_eq!(direct.0, long.0, "{sql}");
    let (mut direct, mut long) = (direct.1, long.1);
    assert_eq!(direct.len(), long.len(), "{sql}");
    if order == Order::Any {
        direct.sort();
        long.sort();
    }
    if order != Order::Count {
        for (direct, long) in direct.iter().zip(&long) {
            assert_eq!(direct, long, "{sql}");
        }
    }
}

/// True when a statement has a direct plan.
fn is_direct(session: &Session, sql: &str) -> bool {
    session.prepare(&statement(sql), &[], NOW_NS).is_ok_and(|prepared| prepared.inner.plan.is_direct())
}

fn fill(pair: &Pair, random: &mut Random) {
    for round in 0..6 {
        for _ in 0..random.below(4) {
            let points: Vec<_> = (0..random.below(200)).map(|_| point(random)).collect();
            pair.engine.write(&points).unwrap();
        }
        if round < 4 && random.below(3) > 0 {
            pair.engine.flush().unwrap();
        }
    }
}

fn point(random: &mut Random) -> Point<'static> {
    let mut tags = Vec::new();
    if random.below(8) > 0 {
        tags.push(("host".into(), format!("h{}", random.below(5)).into()));
    }
    if random.below(3) > 0 {
        tags.push(("region".into(), ["eu", "us", "ü'x"][random.below(3)].into()));
    }
    let mut fields = vec![("n".into(), Value::Integer(integer(random)))];
    if random.below(4) > 0 {
        fields.push(("v".into(), Value::Float(random.below(2_000) as f64 / 8.0 - 100.0)));
    }
    if random.below(4) == 0 {
        fields.push(("u".into(), Value::Unsigned(random.below(50) as u64)));
    }
    if random.below(2) == 0 {
        fields.push(("ok".into(), Value::Boolean(random.below(2) == 0)));
    }
    if random.below(2) == 0 {
        fields.push(("note".into(), Value::Text(["up", "down", ""][random.below(3)].into())));
    }
    if random.below(5) == 0 {
        fields.remove(0);
    }
    if fields.is_empty() {
        fields.push(("v".into(), Value::Float(-0.0)));
    }
    let time_ns = START_NS + random.below(6 * 360) as i64 * 10 * SECOND_NS;
    Point { table: "cpu".into(), tags, fields, time_ns }
}

fn integer(random: &mut Random) -> i64 {
    match random.below(20) {
        0 => i64::MAX,
        1 => i64::MIN,
        _ => random.below(100) as i64,
    }
}

fn pick<'a>(random: &mut Random, of: &[&'a str]) -> &'a str {
    of[random.below(of.len())]
}

const BUCKETS: [&str; 8] = [
    "time_bucket('10 minutes', time)",
    "time_bucket(INTERVAL '1 hour', time)",
    "time_bucket('1 day', time)",
    "date_bin('15 minutes', time, TIMESTAMP '2000-01-01')",
    "date_bin('7 minutes', time, '2024-03-30 00:00:03')",
    "date_trunc('hour', time)",
    "date_trunc('minute', time)",
    "date_trunc('day', time)",
];

const AGGREGATES: [&str; 17] = [
    "count(*)",
    "count(v)",
    "count(note)",
    "sum(n)",
    "sum(v)",
    "sum(u)",
    "avg(n)",
    "avg(v)",
    "min(n)",
    "max(n)",
    "min(v)",
    "max(v)",
    "max(u)",
    "min(time)",
    "max(time)",
    "avg(u)",
    "count(1)",
];

fn condition(random: &mut Random) -> String {
    let at = |random: &mut Random| {
        let s = random.below(7 * 3600);
        format!("2024-03-30 {:02}:{:02}:{:02}", 19 + s / 3600 % 5, s / 60 % 60, s % 60)
    };
    match random.below(18) {
        0 => format!("time >= '{}'", at(random)),
        1 => format!("time < '{}'", at(random)),
        2 => format!("time BETWEEN '{}' AND '{}'", at(random), at(random)),
        3 => format!("'{}' <= time", at(random)),
        4 => "time > now() - INTERVAL '4 hours'".to_owned(),
        5 => "time <= now() - '90 minutes'::interval".to_owned(),
        6 => format!("host = 'h{}'", random.below(6)),
        7 => format!("host IN ('h{}', 'h1', 'none')", random.below(6)),
        8 => "host <> 'h2'".to_owned(),
        9 => "(host = 'h0' OR host = 'h3')".to_owned(),
        10 => "region IS NULL".to_owned(),
        11 => "region IS NOT NULL AND cpu.host LIKE 'h%'".to_owned(),
        12 => format!("n > {}", random.below(100)),
        13 => format!("v <= {}", pick(random, &["50", "-12.5", "0"])),
        14 => "v IS NOT NULL".to_owned(),
        15 => "note = 'down'".to_owned(),
        16 => "n BETWEEN -3 AND 60".to_owned(),
        _ => "host NOT IN ('h1', 'h4')".to_owned(),
    }
}

fn filter(random: &mut Random) -> String {
    let conditions: Vec<_> = (0..random.below(4)).map(|_| condition(random)).collect();
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

/// A grouped statement.
fn grouped(random: &mut Random) -> (String, Order) {
    let bucket = (random.below(3) > 0).then(|| pick(random, &BUCKETS));
    let tags: &[&str] = match random.below(4) {
        0 => &["host"],
        1 => &["region", "host"],
        _ => &[],
    };
    let mut items: Vec<String> = bucket.iter().map(|bucket| format!("{bucket} AS b")).collect();
    items.extend(tags.iter().map(|tag| (*tag).to_owned()));
    let mut keys: Vec<String> = bucket.iter().map(|_| "b".to_owned()).collect();
    keys.extend(tags.iter().map(|tag| (*tag).to_owned()));
    if random.below(3) == 0 && !keys.is_empty() {
        keys.iter_mut().enumerate().for_each(|(at, key)| *key = (at + 1).to_string());
    }
    let aggregates = 1 + random.below(3);
    items.extend((0..aggregates).map(|nth| format!("{} AS a{nth}", pick(random, &AGGREGATES))));
    let mut sql = format!("SELECT {} FROM cpu{}", items.join(", "), filter(random));
    if keys.is_empty() {
        return (sql, Order::Total);
    }
    sql += &format!(" GROUP BY {}", keys.join(", "));
    match random.below(4) {
        0 => return (sql, Order::Any),
        1 => keys.reverse(),
        _ => {}
    }
    let directions = ["", " DESC", " ASC", " NULLS FIRST", " DESC NULLS LAST"];
    let keys: Vec<_> = keys.iter().map(|key| format!("{key}{}", pick(random, &directions))).collect();
    sql += &format!(" ORDER BY {}", keys.join(", "));
    if random.below(2) == 0 {
        sql += &format!(" LIMIT {}", random.below(8));
    }
    (sql, Order::Total)
}

const KEYS: [&str; 13] = [
    "time_bucket('1 month', time)",
    "time_bucket('1 day', time, 'America/New_York')",
    "time_bucket('1 hour', time, 'Asia/Kolkata')",
    "time_bucket('2 hours', time, 'Europe/Berlin')",
    "date_trunc('month', time)",
    "date_trunc('hour', time)",
    "extract(hour FROM time)",
    "extract(dow FROM time)",
    "time::date",
    "upper(host)",
    "coalesce(region, host)",
    "CASE WHEN host IN ('h1', 'h2') THEN 'few' ELSE region END",
    "region",
];

const EXPRESSIONS: [&str; 8] = [
    "max(v) - min(v)",
    "avg(v) * 2",
    "sum(n) / 2",
    "count(*) + count(u)",
    "greatest(max(n), 50)",
    "max(time) - min(time)",
    "avg(n) + 1",
    "min(u)",
];

/// A statement that only the planner understands. What `first` and `last` take among equal times is theirs to choose.
fn expressions(random: &mut Random) -> (String, Order) {
    let keys: Vec<_> = (0..1 + random.below(2)).map(|_| pick(random, &KEYS)).collect();
    let names = ["k0", "k1"];
    let mut items: Vec<_> = keys.iter().zip(names).map(|(key, name)| format!("{key} AS {name}")).collect();
    items.extend((0..1 + random.below(3)).map(|nth| {
        let of = if random.below(2) == 0 { pick(random, &AGGREGATES) } else { pick(random, &EXPRESSIONS) };
        format!("{of} AS a{nth}")
    }));
    let by = names[..keys.len()].join(", ");
    let mut sql = format!("SELECT {} FROM cpu{} GROUP BY {by}", items.join(", "), filter(random));
    if random.below(2) == 0 {
        sql += &format!(" HAVING {} > {}", pick(random, &["count(*)", "max(n)", "sum(v)"]), random.below(40));
    }
    if random.below(3) == 0 {
        sql = format!("WITH x AS ({sql}) SELECT count(*), max(a0), min(k0) FROM x");
    }
    (sql, Order::Any)
}

/// A statement that gives rows as they are stored.
fn plain(random: &mut Random) -> (String, Order) {
    let filter = filter(random);
    match random.below(7) {
        0 => (format!("SELECT * FROM cpu{filter}"), Order::Any),
        1 => (format!("SELECT time, host, n, v FROM cpu{filter} LIMIT {}", random.below(50)), Order::Count),
        2 => (format!("SELECT time FROM cpu{filter} ORDER BY time{}", pick(random, &["", " DESC"])), Order::Total),
        3 => {
            let limit = random.below(30);
            (
                format!(
                    "SELECT c.time AS at FROM cpu AS c{} ORDER BY c.time DESC LIMIT {limit}",
                    filter.replace("cpu.", "c.")
                ),
                Order::Total,
            )
        }
        4 => (format!("SELECT DISTINCT region, host FROM cpu{filter} ORDER BY 2 DESC, region"), Order::Total),
        5 => (format!("SELECT note, v, n AS v, ok FROM cpu{filter}"), Order::Any),
        _ => (format!("SELECT DISTINCT ON (host) host, time FROM cpu{filter} ORDER BY host, time DESC"), Order::Total),
    }
}

#[test]
fn direct_is_as_the_long_way() {
    let mut direct = 0;
    let mut all = 0;
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let mut pair = Pair::new();
        fill(&pair, &mut random);
        for zone in ["UTC", "Europe/Berlin", "+05:30"] {
            pair.set_time_zone(zone);
            for _ in 0..60 {
                let (sql, order) = if random.below(3) > 0 { grouped(&mut random) } else { plain(&mut random) };
                check(&pair, &sql, &[], order);
                all += 1;
                direct += usize::from(is_direct(&pair.direct, &sql));
            }
        }
    }
    assert!(direct * 10 > all * 6, "only {direct} of {all} statements had a direct plan");
}

#[test]
fn what_the_engine_aggregates_in_a_plan_is_as_from_rows() {
    let mut pushed = 0;
    let mut all = 0;
    for seed in 10..14 {
        let mut random = Random::new(seed);
        let mut pair = Pair::new();
        fill(&pair, &mut random);
        for zone in ["UTC", "Europe/Berlin", "+05:30"] {
            pair.set_time_zone(zone);
            for _ in 0..40 {
                let (sql, order) = expressions(&mut random);
                same(&pair.planned, &pair.long, &sql, &[], order);
                let plan =
                    answer(&pair.planned, &format!("EXPLAIN {sql}"), &[]).map(|(_, lines)| lines.concat().join(" "));
                all += 1;
                pushed += usize::from(plan.is_ok_and(|plan| plan.contains("EngineAggregateExec")));
            }
        }
    }
    assert!(pushed * 10 > all * 6, "only {pushed} of {all} statements had an aggregate of the engine");
}

#[test]
fn special_floats_and_empty_tables() {
    let pair = Pair::new();
    pair.direct.execute("CREATE TABLE t (time timestamptz, host text, v float8, n bigint)", 0).unwrap();
    let all =
        ["count(*)", "count(v)", "sum(v)", "avg(v)", "min(v)", "max(v)", "sum(n)", "avg(n)", "max(time)"].join(", ");
    let statements = [
        format!("SELECT {all} FROM t"),
        format!("SELECT host, {all} FROM t GROUP BY host ORDER BY host"),
        format!("SELECT time_bucket('1 h', time) AS b, {all} FROM t GROUP BY b ORDER BY b"),
        "SELECT host, v FROM t WHERE v = 0".to_owned(),
        "SELECT host, v FROM t WHERE v > 1e300".to_owned(),
        "SELECT DISTINCT ON (host) * FROM t ORDER BY host, time DESC".to_owned(),
        "SELECT DISTINCT host FROM t".to_owned(),
    ];
    for sql in &statements {
        check(&pair, sql, &[], Order::Any);
    }
    let rows = "('2024-01-01', 'a', 'NaN', 1), ('2024-01-01 00:01:00', 'a', '-0.0', NULL), ('2024-01-01 00:02:00', 'a', '0.0', 3),
                ('2024-01-01', 'b', 'Infinity', NULL), ('2024-01-01 00:01:00', 'b', '-Infinity', NULL), ('2024-01-01', NULL, NULL, 4)";
    pair.direct.execute(&format!("INSERT INTO t VALUES {rows}"), 0).unwrap();
    for sql in &statements {
        check(&pair, sql, &[], Order::Any);
    }
    let (_, rows) =
        answer(&pair.direct, "SELECT host, max(v), min(v) FROM t GROUP BY host ORDER BY host", &[]).unwrap();
    assert_eq!(rows[0], ["a", "NaN", "-0.000000000e0"]);
}

#[test]
fn parameters() {
    let mut random = Random::new(7);
    let pair = Pair::new();
    fill(&pair, &mut random);
    let time = |ns| ScalarValue::TimestampNanosecond(ns, Some("UTC".into()));
    let text = |text: Option<&str>| ScalarValue::Utf8(text.map(str::to_owned));
    let sql = "SELECT host, count(*) FROM cpu WHERE time >= $1 AND host IN ($2, $3) AND n < $4 GROUP BY host ORDER BY host LIMIT $5";
    assert!(is_direct(&pair.direct, sql));
    let limit = ScalarValue::Int64(Some(3));
    let values = [
        time(Some(START_NS + 3600 * SECOND_NS)),
        text(Some("h1")),
        text(Some("h2")),
        ScalarValue::Int64(Some(50)),
        limit,
    ];
    check(&pair, sql, &values, Order::Total);
    let mut nulls = values.clone();
    for (at, null) in
        [time(None), text(None), text(None), ScalarValue::Int64(None), ScalarValue::Int64(None)].into_iter().enumerate()
    {
        nulls[at] = null;
        check(&pair, sql, &nulls, Order::Total);
    }
    check(&pair, sql, &values[..3], Order::Total);
}

#[test]
fn which_statements_are_direct() {
    let pair = Pair::new();
    fill(&pair, &mut Random::new(3));
    for sql in [
        "SELECT time_bucket('60 seconds', time) AS bucket, max(n) AS m FROM cpu WHERE host = 'h1' AND time >= '2024-03-30 08:00:00' AND time < '2024-03-30 20:00:00' GROUP BY bucket ORDER BY bucket",
        "SELECT date_trunc('hour', time) AS bucket, host, avg(v), avg(n) FROM cpu GROUP BY bucket, host ORDER BY bucket, host",
        "SELECT date_bin('60 seconds', time, TIMESTAMP '2000-01-01') AS bucket, max(n) FROM cpu WHERE time < '2024-03-30 23:00:00' GROUP BY bucket ORDER BY bucket DESC LIMIT 5",
        "SELECT time, host, n, v FROM cpu WHERE host <> 'h1' AND time >= '2024-03-30' LIMIT 10",
        "SELECT * FROM public.cpu",
        "SELECT count(*) FROM cpu",
        "SELECT host FROM cpu GROUP BY host",
        "SELECT host, max(v) FROM cpu GROUP BY 1 ORDER BY max(v) DESC LIMIT 3",
        "EXPLAIN SELECT count(*) FROM cpu",
    ] {
        assert!(is_direct(&pair.direct, sql), "{sql}");
        assert!(!is_direct(&pair.long, sql), "{sql}");
    }
    for sql in [
        "SELECT n + 1 FROM cpu",
        "SELECT count(DISTINCT host) FROM cpu",
        "SELECT max(v) FILTER (WHERE n > 1) FROM cpu",
        "SELECT host, max(v) FROM cpu GROUP BY host HAVING max(v) > 1",
        "SELECT time_bucket('1 month', time), max(v) FROM cpu GROUP BY 1",
        "SELECT a.n FROM cpu a JOIN cpu b ON a.time = b.time",
        "SELECT n FROM cpu WHERE n > 1.5",
        "SELECT n FROM cpu LIMIT 1 OFFSET 1",
        "SELECT time AS n FROM cpu ORDER BY n",
        "SELECT max(v) OVER () FROM cpu",
        "SELECT host, v FROM cpu ORDER BY v",
        "SELECT nosuch FROM cpu",
    ] {
        assert!(!is_direct(&pair.direct, sql), "{sql}");
    }
}
