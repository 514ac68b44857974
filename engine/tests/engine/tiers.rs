//! Retention: raw rows expire, rollups stay, late rows reach them, and no crash loses what was rolled up.

use plimsoll_engine::env::sim::SimFileSystem;
use plimsoll_engine::{
    Column, ColumnKind, Engine, Error, FieldType, OptionsChange, Point, Retention, ScanRequest, SchemaError,
    TableOptions, Tier, TimeRange, Value,
};

use crate::driver::dir;
use crate::history::Sizes;

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
    engine.create_table_with("cpu", &columns, &TableOptions { retention, legal_hold: false }).unwrap();
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
    let request = ScanRequest {
        table: "cpu".into(),
        columns: vec!["time".into()],
        time: TimeRange::ALL,
        tags: Vec::new(),
        parts_max: 1,
    };
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
    engine.alter_table("cpu", &OptionsChange { retention: longer, legal_hold: None }).unwrap();
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
    engine.alter_table("cpu", &OptionsChange { retention: None, legal_hold: Some(true) }).unwrap();
    fill(&engine, 0..5);
    engine.flush().unwrap();
    maintain(&engine, 30 * DAY_NS);
    assert_eq!(raw(&engine).0, 2 * 5 * 144);
    assert!(matches!(engine.drop_table("cpu"), Err(Error::Schema(SchemaError::LegalHold(_)))));
    drop(engine);
    let engine = open(&fs);
    assert!(engine.table_options("cpu").unwrap().legal_hold);
    engine.alter_table("cpu", &OptionsChange { retention: None, legal_hold: Some(false) }).unwrap();
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
    let change = OptionsChange { retention: Some(Some(retention())), legal_hold: None };
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
