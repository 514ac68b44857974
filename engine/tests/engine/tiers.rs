//! Retention: raw rows expire, rollups stay, late rows reach them, and no crash loses what was rolled up.

use arrow_array::RecordBatch;
use plimsoll_engine::env::sim::{Random, SimFileSystem};
use plimsoll_engine::{
    Aggregate, AggregateFunction, AggregateRequest, Bucket, BucketLimit, Column, ColumnKind, Engine, Error, FieldType,
    OptionsChange, Point, Retention, ScanRequest, SchemaError, Shortfall, TableOptions, TagMatcher, TagTest, Tier,
    TimeRange, Value,
};

use crate::driver::dir;
use crate::history::Sizes;
use crate::seeds::for_seeds;

const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const DAY_NS: i64 = 24 * HOUR_NS;

/// Raw 2 days, 1 min 5 days, 1 hour for ever.
pub(crate) fn retention() -> Retention {
    let tier = |width_ns, keep_days: Option<i64>| Tier { width_ns, keep_ns: keep_days.map(|days| days * DAY_NS) };
    Retention::new(vec![tier(None, Some(2)), tier(Some(MINUTE_NS), Some(5)), tier(Some(HOUR_NS), None)]).unwrap()
}

fn open(fs: &SimFileSystem) -> Engine {
    Engine::open(dir(), Sizes::large().on(fs.clone())).unwrap()
}

fn create(engine: &Engine, retention: Option<Retention>) {
    let columns = [
        Column { name: "host".into(), kind: ColumnKind::Tag },
        Column { name: "usage".into(), kind: ColumnKind::Field(FieldType::Float) },
    ];
    engine
        .create_table_with("cpu", &columns, &TableOptions { retention, legal_hold: false, ..TableOptions::default() })
        .unwrap();
}

fn point(host: &'static str, time_ns: i64, usage: f64) -> Point<'static> {
    Point {
        table: "cpu".into(),
        tags: vec![("host".into(), host.into())],
        fields: vec![("usage".into(), Value::Float(usage))],
        time_ns,
    }
}

/// A row every ten minutes for some days.
fn fill(engine: &Engine, days: std::ops::Range<i64>) {
    let times = (days.start * DAY_NS..days.end * DAY_NS).step_by(10 * MINUTE_NS as usize);
    let points: Vec<_> = times.flat_map(|t| [point("a", t, 1.0), point("b", t, 2.0)]).collect();
    assert_eq!(engine.write(&points).unwrap().accepted, points.len());
}

fn maintain(engine: &Engine, now_ns: i64) {
    while engine.maintain(now_ns).unwrap().more {}
}

/// The times of all raw rows that a scan shows: how many, the first and the last.
fn raw(engine: &Engine) -> (usize, i64, i64) {
    let request = ScanRequest::new("cpu", ["time"]);
    let mut times = Vec::new();
    for part in engine.snapshot().scan(&request).unwrap() {
        for batch in part {
            use arrow_array::cast::AsArray;
            use arrow_array::types::TimestampNanosecondType;
            times.extend(batch.unwrap().column(0).as_primitive::<TimestampNanosecondType>().values().iter().copied());
        }
    }
    (times.len(), times.iter().min().copied().unwrap_or(0), times.iter().max().copied().unwrap_or(0))
}

#[test]
fn raw_rows_expire_and_do_not_come_back() {
    let fs = SimFileSystem::new();
    let engine = open(&fs);
    create(&engine, Some(Retention::raw(2 * DAY_NS).unwrap()));
    fill(&engine, 0..5);
    engine.flush().unwrap();
    let held = engine.snapshot();
    maintain(&engine, 5 * DAY_NS + HOUR_NS / 2);
    assert_eq!(raw(&engine), (2 * 2 * 144, 3 * DAY_NS, 5 * DAY_NS - 10 * MINUTE_NS));
    assert_eq!(engine.stats().segments, 2);
    maintain(&engine, 5 * DAY_NS + 7 * HOUR_NS);
    assert_eq!(raw(&engine), (2 * (2 * 144 - 42), 3 * DAY_NS + 7 * HOUR_NS, 5 * DAY_NS - 10 * MINUTE_NS));
    assert_eq!(engine.stats().segments, 2);
    // A snapshot reads on what it had.
    assert_eq!(held.table("cpu").unwrap().columns.len(), 3);
    drop(engine);
    let engine = open(&fs);
    assert_eq!(raw(&engine).1, 3 * DAY_NS + 7 * HOUR_NS);
    // An earlier clock brings nothing back.
    maintain(&engine, DAY_NS);
    assert_eq!(raw(&engine).1, 3 * DAY_NS + 7 * HOUR_NS);
    let written = engine.write(&[point("a", 3 * DAY_NS, 1.0), point("a", 5 * DAY_NS, 1.0)]).unwrap();
    assert_eq!(written.accepted, 1);
    assert!(
        matches!(written.rejected[0].error, Error::Schema(SchemaError::Expired { time_ns, .. }) if time_ns == 3 * DAY_NS)
    );
    // A longer retention shows what is still there of the last day.
    let longer = Some(Some(Retention::raw(20 * DAY_NS).unwrap()));
    engine
        .alter_table("cpu", &OptionsChange { retention: longer, legal_hold: None, ..OptionsChange::default() })
        .unwrap();
    maintain(&engine, 5 * DAY_NS + 8 * HOUR_NS);
    assert_eq!(raw(&engine).1, 3 * DAY_NS);
    assert_eq!(engine.write(&[point("a", DAY_NS, 1.0)]).unwrap().accepted, 1);
    assert_eq!(raw(&engine).1, DAY_NS);
}

#[test]
fn a_legal_hold_refuses_to_drop_and_keeps_all() {
    let fs = SimFileSystem::new();
    let engine = open(&fs);
    create(&engine, Some(Retention::raw(2 * DAY_NS).unwrap()));
    engine
        .alter_table("cpu", &OptionsChange { retention: None, legal_hold: Some(true), ..OptionsChange::default() })
        .unwrap();
    fill(&engine, 0..5);
    engine.flush().unwrap();
    maintain(&engine, 30 * DAY_NS);
    assert_eq!(raw(&engine).0, 2 * 5 * 144);
    assert!(matches!(engine.drop_table("cpu"), Err(Error::Schema(SchemaError::LegalHold(_)))));
    drop(engine);
    let engine = open(&fs);
    assert!(engine.table_options("cpu").unwrap().legal_hold);
    engine
        .alter_table("cpu", &OptionsChange { retention: None, legal_hold: Some(false), ..OptionsChange::default() })
        .unwrap();
    maintain(&engine, 30 * DAY_NS);
    assert_eq!((raw(&engine).0, engine.stats().segments), (0, 0));
    engine.drop_table("cpu").unwrap();
}

#[test]
fn options_are_there_after_a_restart_and_a_crash() {
    let fs = SimFileSystem::new();
    let engine = open(&fs);
    engine.write(&[point("a", 0, 1.0)]).unwrap();
    assert_eq!(*engine.table_options("cpu").unwrap(), TableOptions::default());
    let change = OptionsChange { retention: Some(Some(retention())), legal_hold: None, ..OptionsChange::default() };
    engine.alter_table("cpu", &change).unwrap();
    let found = |engine: &Engine| engine.table_options("cpu").unwrap().retention.as_ref().map(ToString::to_string);
    let expected = Some("raw 2 days, 1 min 5 days, 1 hour forever".to_owned());
    assert_eq!(found(&engine), expected);
    drop(engine);
    let fs = fs.crash(1);
    let engine = open(&fs);
    assert_eq!(found(&engine), expected);
    engine.flush().unwrap();
    drop(engine);
    assert_eq!(found(&open(&fs)), expected);
}

/// Everything that rollups keep, over all times, by bucket and host.
fn requests() -> Vec<AggregateRequest> {
    use AggregateFunction::{Avg, Count, CountRows, First, Last, Max, Min, Sketch, Sum};
    let aggregate = |function, field: &str| Aggregate { function, field: Some(field.to_owned()) };
    let mut all = vec![Aggregate { function: CountRows, field: None }];
    for field in ["usage", "n"] {
        all.extend([Count, Sum, Avg, Min, Max, First, Last, Sketch].map(|function| aggregate(function, field)));
    }
    all.extend([Count, Min, Max, First, Last].map(|function| aggregate(function, "time")));
    all.extend([Count, First, Last].map(|function| aggregate(function, "state")));
    let whole = AggregateRequest::new("cpu", all);
    let by = |width_ns: Option<i64>, tags: &[&str]| AggregateRequest {
        bucket: width_ns.map(|width_ns| Bucket { width_ns, origin_ns: 0 }),
        group_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        parts_max: 3,
        ..whole.clone()
    };
    let mut some = by(Some(6 * HOUR_NS), &["host"]);
    some.time = TimeRange { min_ns: 26 * HOUR_NS, max_ns: 200 * HOUR_NS - 1 };
    some.limit = Some(BucketLimit { descending: true, buckets: 5 });
    some.tags = vec![TagMatcher { tag: "host".into(), test: TagTest::Equals("a".into()) }];
    vec![by(None, &[]), by(Some(HOUR_NS), &["host"]), by(Some(DAY_NS), &[]), some]
}

fn answers(engine: &Engine) -> Vec<(usize, RecordBatch)> {
    let snapshot = engine.snapshot();
    let answer = |request: &AggregateRequest| {
        let aggregation = snapshot.aggregate(request).unwrap();
        assert_eq!(aggregation.shortfall(), None);
        (aggregation.tiers_used().len(), aggregation.run().unwrap())
    };
    requests().iter().map(answer).collect()
}

/// Some rows of a day, at times that no other call gives.
fn some_rows(random: &mut Random, day: i64, salt: i64) -> Vec<Point<'static>> {
    let count = 1 + random.below(30);
    let one = |nth: i64| {
        let time_ns = day * DAY_NS + random.below(1440) as i64 * MINUTE_NS + salt * 100 + nth;
        let mut fields = vec![("n".into(), Value::Integer(random.below(1000) as i64 - 500))];
        if random.one_in(2) {
            fields.push(("usage".into(), Value::Float(random.below(100) as f64)));
        }
        if random.one_in(3) {
            fields.push(("state".into(), Value::Text(["up", "down"][random.below(2)].into())));
        }
        let host = ["a", "b", "c"][random.below(3)];
        Point { table: "cpu".into(), tags: vec![("host".into(), host.into())], fields, time_ns }
    };
    (0..count as i64).map(one).collect()
}

/// Two engines live through the same: one keeps raw rows for ever, one rolls up, expires, restarts and crashes.
fn lives(seed: u64, crashes: bool) -> Result<(), String> {
    let random = &mut Random::new(seed);
    let columns = [
        Column { name: "host".into(), kind: ColumnKind::Tag },
        Column { name: "n".into(), kind: ColumnKind::Field(FieldType::Integer) },
        Column { name: "usage".into(), kind: ColumnKind::Field(FieldType::Float) },
        Column { name: "state".into(), kind: ColumnKind::Field(FieldType::Text) },
    ];
    let plain = open(&SimFileSystem::new());
    plain.create_table("cpu", &columns).unwrap();
    let mut fs = SimFileSystem::new();
    let mut engine = open(&fs);
    let options = TableOptions { retention: Some(retention()), legal_hold: false, ..TableOptions::default() };
    engine.create_table_with("cpu", &columns, &options).unwrap();
    let mut used = 0;
    for step in 0..40 {
        let today = step / 3;
        let now_ns = today * DAY_NS + random.below(24) as i64 * HOUR_NS;
        let day = if random.one_in(3) { random.below(today as usize + 1) as i64 } else { today };
        let rows = some_rows(random, day, step);
        plain.write(&rows).unwrap();
        let written = engine.write(&rows).unwrap();
        assert_eq!(written.accepted, rows.len(), "{written:?}");
        if random.one_in(3) {
            engine.flush().unwrap();
        }
        if crashes {
            fs.crash_at(fs.operation_count() + random.below(40));
        }
        while let Ok(done) = engine.maintain(now_ns) {
            if !done.more {
                break;
            }
        }
        if crashes {
            drop(engine);
            fs = if random.one_in(2) { fs.crash(random.bits()) } else { fs.kill() };
            engine = open(&fs);
        } else if random.one_in(5) {
            drop(engine);
            engine = open(&fs);
        }
        for (found, expected) in answers(&engine).into_iter().zip(answers(&plain)) {
            used += found.0;
            if found.1 != expected.1 {
                return Err(format!("step {step}, tiers {}: {:?}\nnot {:?}", found.0, found.1, expected.1));
            }
        }
    }
    let report = {
        drop(engine);
        plimsoll_engine::verify(&fs, dir(), &mut |_| ()).unwrap()
    };
    if used < 40 || !report.damages.is_empty() {
        return Err(format!("tiers answered {used} times, damages {:?}", report.damages));
    }
    Ok(())
}

#[test]
fn rollups_answer_as_raw_rows_kept_for_ever_would() {
    for_seeds(3, |seed| lives(seed, false));
}

#[test]
fn nothing_expires_before_it_is_rolled_up_whenever_power_fails() {
    for_seeds(4, |seed| lives(seed, true));
}

#[test]
fn what_no_tier_answers_is_said() {
    let engine = open(&SimFileSystem::new());
    create(&engine, Some(retention()));
    fill(&engine, 0..10);
    engine.flush().unwrap();
    maintain(&engine, 10 * DAY_NS);
    let ask = |aggregate: AggregateFunction, bucket_ns: i64, from_ns: i64| {
        let aggregates = vec![Aggregate { function: aggregate, field: Some("usage".into()) }];
        let mut request = AggregateRequest::new("cpu", aggregates);
        request.bucket = Some(Bucket { width_ns: bucket_ns, origin_ns: 0 });
        request.time.min_ns = from_ns;
        let aggregation = engine.snapshot().aggregate(&request).unwrap();
        let used: Vec<String> = aggregation.tiers_used().iter().map(ToString::to_string).collect();
        let shortfall = match aggregation.shortfall() {
            Some(Shortfall::Coarser { days, of_days, .. }) => format!("{days} of {of_days} days missing"),
            other => format!("{other:?}"),
        };
        format!("{} | {shortfall} | {} rows", used.join(", "), aggregation.run().unwrap().num_rows())
    };
    use AggregateFunction::Max;
    let hours = ask(Max, HOUR_NS, i64::MIN);
    assert_eq!(hours, "1 hour (10 days) | None | 240 rows");
    assert_eq!(ask(Max, 10 * MINUTE_NS, 7 * DAY_NS), "1 min (3 days) | None | 432 rows");
    assert_eq!(ask(Max, 10 * MINUTE_NS, 4 * DAY_NS), "1 min (5 days) | 1 of 6 days missing | 720 rows");
    assert_eq!(ask(Max, 7 * SECOND_NS, 4 * DAY_NS), " | 4 of 6 days missing | 288 rows");
}

/// Rows of a host, raw or rolled up.
fn count(engine: &Engine, host: &TagMatcher) -> i64 {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    let all = vec![Aggregate { function: AggregateFunction::CountRows, field: None }];
    let request = AggregateRequest { tags: vec![host.clone()], ..AggregateRequest::new("cpu", all) };
    let found = engine.snapshot().aggregate(&request).unwrap().run().unwrap();
    found.column(0).as_primitive::<Int64Type>().values().iter().sum()
}

#[test]
fn rows_that_are_deleted_while_they_are_rolled_up_stay_deleted() {
    const LATE: i64 = 500;
    let engine = open(&SimFileSystem::new());
    create(&engine, Some(retention()));
    fill(&engine, 0..1);
    let now_ns = 4 * DAY_NS;
    maintain(&engine, now_ns);
    assert_eq!(raw(&engine).0, 0);
    let host = TagMatcher { tag: "host".into(), test: TagTest::Equals("late".into()) };
    let mut left = 0;
    for _ in 0..40 {
        let late: Vec<_> = (0..LATE).map(|nth| point("late", nth * SECOND_NS, 1.0)).collect();
        assert_eq!(engine.write(&late).unwrap().accepted, late.len());
        engine.flush().unwrap();
        let deleted = std::thread::scope(|threads| {
            let upkeep = threads.spawn(|| maintain(&engine, now_ns));
            let deleted = engine.delete("cpu", TimeRange::ALL, std::slice::from_ref(&host), &[]).unwrap();
            upkeep.join().unwrap();
            deleted as i64
        });
        maintain(&engine, now_ns);
        left += LATE - deleted;
        assert_eq!(count(&engine, &host), left, "rows that no DELETE has counted");
    }
}
