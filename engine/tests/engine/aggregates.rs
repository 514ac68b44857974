//! Aggregates and scans: every way to answer gives what the plain way gives, over random data and requests.

use std::sync::Arc;

use arrow_array::RecordBatch;
use plimsoll_engine::env::sim::{Random, SimFileSystem};
use plimsoll_engine::{
    Aggregate, AggregateFunction, AggregateRequest, Bucket, BucketLimit, CompareOp, Engine, Error, FieldPredicate,
    FieldTest, Options, Point, ScanOrder, ScanRequest, Shortcuts, Snapshot, TagMatcher, TagTest, TimeRange, Value,
};

use crate::check::{Cell, rows};
use crate::driver::dir;
use crate::history::START_NS;
use crate::seeds::for_seeds;

const SECOND_NS: i64 = 1_000_000_000;
const HOSTS: [&str; 7] = ["a", "b", "host_1", "host_10", "host_2", "ü", ""];
const REGIONS: [&str; 3] = ["eu", "us", ""];
/// Sums of `dyadic` are exact in any order; those of `noisy` are not.
const FIELDS: [&str; 7] = ["dyadic", "noisy", "int", "big", "unsigned", "up", "state"];
const REQUESTS: usize = 25;

fn open() -> Engine {
    Engine::open(dir(), Options { fs: Arc::new(SimFileSystem::new()), ..Options::default() }).unwrap()
}

fn float(random: &mut Random) -> f64 {
    match random.below(40) {
        0 => f64::NAN,
        1 => *random.pick(&[f64::INFINITY, f64::NEG_INFINITY]),
        2 | 3 => *random.pick(&[0.0, -0.0]),
        _ => (random.below(4000) as f64 - 2000.0) / 4.0,
    }
}

fn value(field: &str, random: &mut Random) -> Value<'static> {
    match field {
        "dyadic" => Value::Float(float(random)),
        "noisy" => Value::Float(random.below(1_000_000) as f64 / 97.0),
        "int" => Value::Integer(random.below(100) as i64 - 20),
        "big" => Value::Integer(match random.below(4) {
            0 => *random.pick(&[i64::MIN, i64::MAX]),
            _ => random.bits() as i64,
        }),
        "unsigned" => Value::Unsigned(if random.one_in(9) { u64::MAX } else { random.below(50) as u64 }),
        "up" => Value::Boolean(random.one_in(3)),
        _ => Value::Text(match random.below(30) {
            0 => "long ".repeat(30).into(),
            _ => (*random.pick(&["ok", "bad", "", "degraded"])).into(),
        }),
    }
}

/// A point; most have most fields, so that vectors without NULL are common.
fn point(host: &str, region: &str, time_ns: i64, sparse: bool, random: &mut Random) -> Point<'static> {
    let mut fields: Vec<_> = FIELDS.iter().filter(|_| !sparse || random.one_in(2)).copied().collect();
    if fields.is_empty() {
        fields.push("int");
    }
    Point {
        table: "cpu".into(),
        tags: vec![("host".into(), host.to_owned().into()), ("region".into(), region.to_owned().into())],
        fields: fields.into_iter().map(|f| (f.into(), value(f, random))).collect(),
        time_ns,
    }
}

fn some_time(random: &mut Random) -> i64 {
    START_NS + (random.below(3 * 86_400) as i64 - 86_400) * SECOND_NS
}

/// A batch: some series at a steady pace, or points all over.
fn batch(random: &mut Random) -> Vec<Point<'static>> {
    let sparse = random.one_in(3);
    let mut points = Vec::new();
    if random.one_in(3) {
        for _ in 0..random.below(60) {
            let (host, region) = (*random.pick(&HOSTS), *random.pick(&REGIONS));
            let time_ns = some_time(random) + if random.one_in(4) { random.below(1000) as i64 } else { 0 };
            points.push(point(host, region, time_ns, sparse, random));
        }
        return points;
    }
    let (start_ns, step_ns) = (some_time(random), *random.pick(&[1, 10, 10, 60, 3600]) * SECOND_NS);
    let length = *random.pick(&[1, 20, 20, 300, 1500]);
    for host in HOSTS.iter().filter(|_| random.one_in(2)).collect::<Vec<_>>() {
        let region = *random.pick(&REGIONS);
        points.extend((0..length).map(|nth| point(host, region, start_ns + nth * step_ns, sparse, random)));
    }
    points
}

/// A database with rows in several segments and in the memtable, some of them written more than once.
fn filled(random: &mut Random) -> Engine {
    let engine = open();
    for _ in 0..1 + random.below(6) {
        engine.write(&batch(random)).unwrap();
        if random.one_in(2) {
            engine.flush().unwrap();
        }
    }
    if random.one_in(12) {
        let far = [i64::MIN, i64::MAX].map(|time_ns| point("a", "eu", time_ns, false, random));
        engine.write(&far).unwrap();
    }
    // Whatever was random: the table and its columns exist.
    engine.write(&[point("a", "eu", START_NS, false, random)]).unwrap();
    engine
}

fn request(random: &mut Random) -> AggregateRequest {
    use AggregateFunction::{Avg, Count, CountRows, First, Last, Max, Min, Sum};
    let mut aggregates = Vec::new();
    for _ in 0..random.below(5) {
        let function = *random.pick(&[CountRows, Count, Sum, Avg, Min, Max, First, Last]);
        let field = match function {
            CountRows => None,
            Sum | Avg => Some(*random.pick(&FIELDS[..5])),
            Count | Min | Max | First | Last if random.one_in(8) => Some("time"),
            _ => Some(*random.pick(&FIELDS)),
        };
        aggregates.push(Aggregate { function, field: field.map(str::to_owned) });
    }
    let (one, other) = (some_time(random), some_time(random));
    let mut request = AggregateRequest::new("cpu", aggregates);
    request.time = match random.below(4) {
        0 => TimeRange::ALL,
        1 => TimeRange { min_ns: one, max_ns: i64::MAX },
        _ => TimeRange { min_ns: one.min(other), max_ns: one.max(other) },
    };
    request.tags = (0..random.below(2)).map(|_| matcher(random)).collect();
    request.predicates = (0..random.below(4) / 2).map(|_| predicate(random)).collect();
    let tags = *random.pick(&[&[] as &[&str], &["host"], &["region", "host"], &["region"]]);
    request.group_tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    if random.one_in(2) {
        let width_ns = *random.pick(&[60, 360, 3600, 86_400, 7 * 86_400]) * SECOND_NS;
        request.bucket = Some(Bucket { width_ns, origin_ns: random.below(1000) as i64 * SECOND_NS });
        if random.one_in(3) {
            request.limit = Some(BucketLimit { descending: random.one_in(2), buckets: random.below(7) });
        }
    }
    request.parts_max = 1 + random.below(4);
    request
}

fn matcher(random: &mut Random) -> TagMatcher {
    let host = |random: &mut Random| (*random.pick(&HOSTS)).to_owned();
    let (tag, test) = match random.below(5) {
        0 => ("region", TagTest::IsNull),
        1 => ("host", TagTest::In((0..3).map(|_| host(random)).collect())),
        2 => ("host", TagTest::Prefix("host".to_owned())),
        3 => ("region", TagTest::NotEquals("eu".to_owned())),
        _ => ("host", TagTest::Equals(host(random))),
    };
    TagMatcher { tag: tag.to_owned(), test }
}

fn predicate(random: &mut Random) -> FieldPredicate {
    use CompareOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let field = *random.pick(&FIELDS);
    let test = match random.below(8) {
        0 => FieldTest::IsNull,
        1 => FieldTest::IsNotNull,
        2 => FieldTest::In((0..random.below(4)).map(|_| value(field, random)).collect()),
        _ => {
            let op = *random.pick(&[Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual]);
            FieldTest::Compare(op, value(field, random))
        }
    };
    FieldPredicate { field: field.to_owned(), test }
}

fn answer(snapshot: &Snapshot, request: &AggregateRequest, shortcuts: Shortcuts) -> Result<RecordBatch, Error> {
    snapshot.with_shortcuts(shortcuts).aggregate(request)?.run()
}

/// Says where two answers differ. Sums of floats may differ by rounding.
fn differ(found: &RecordBatch, expected: &RecordBatch) -> Option<String> {
    if found.schema() != expected.schema() {
        return Some(format!("{:?} instead of {:?}", found.schema(), expected.schema()));
    }
    let (found, expected, schema) = (rows(found), rows(expected), expected.schema());
    if found.len() != expected.len() {
        return Some(format!("{} rows instead of {}", found.len(), expected.len()));
    }
    for (nth, (one, other)) in found.iter().zip(&expected).enumerate() {
        for (at, field) in schema.fields().iter().enumerate() {
            let is_sum = field.name().starts_with("sum(") || field.name().starts_with("avg(");
            let same = match (&one[at], &other[at]) {
                (Cell::Float(a), Cell::Float(b)) if is_sum => near(f64::from_bits(*a), f64::from_bits(*b)),
                (a, b) => a == b,
            };
            if !same {
                return Some(format!("row {nth}, {}: {:?} instead of {:?}", field.name(), one, other));
            }
        }
    }
    None
}

fn near(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
}

/// Shortcuts on and off, alone and together.
fn ways() -> Vec<Shortcuts> {
    let quick = Shortcuts { kernels: true, ..Shortcuts::NONE };
    vec![
        Shortcuts::ALL,
        quick,
        Shortcuts { statistics: true, ..quick },
        Shortcuts { pruning: true, ..quick },
        Shortcuts { statistics: false, ..Shortcuts::ALL },
    ]
}

#[test]
fn every_way_gives_the_same_answer() {
    for_seeds(60, |seed| {
        let random = &mut Random::new(seed);
        let engine = filled(random);
        let snapshot = engine.snapshot();
        for _ in 0..REQUESTS {
            let request = request(random);
            let plain = answer(&snapshot, &request, Shortcuts::NONE);
            for shortcuts in ways() {
                let found = answer(&snapshot, &request, shortcuts);
                let why = match (found, &plain) {
                    (Err(Error::Limit { .. }), _) => None,
                    (Ok(found), Ok(plain)) => differ(&found, plain),
                    (Err(found), Err(plain)) if found.to_string() == plain.to_string() => None,
                    (found, plain) => Some(format!("{found:?} instead of {plain:?}")),
                };
                if let Some(why) = why {
                    return Err(format!("{why}\nto {request:?}\nby {shortcuts:?}"));
                }
            }
        }
        Ok(())
    });
}

/// A scan of some columns with tests of fields.
fn scan(random: &mut Random) -> ScanRequest {
    let columns = FIELDS.iter().filter(|_| random.one_in(2)).copied().collect::<Vec<_>>();
    let time = request(random).time;
    let tags = (0..random.below(2)).map(|_| matcher(random)).collect();
    let predicates = (0..=random.below(2)).map(|_| predicate(random)).collect();
    let columns = ["time", "host", "region"].into_iter().chain(columns);
    ScanRequest { time, tags, predicates, order: ScanOrder::SeriesTime, ..ScanRequest::new("cpu", columns) }
}

#[test]
fn scans_give_the_same_rows_whatever_is_left_out_unread() {
    let pruned = std::cell::Cell::new(0);
    for_seeds(60, |seed| {
        let random = &mut Random::new(seed);
        let engine = filled(random);
        let snapshot = engine.snapshot();
        for _ in 0..REQUESTS {
            let request = scan(random);
            let read = |shortcuts| {
                let snapshot = snapshot.with_shortcuts(shortcuts);
                let batches = snapshot.scan(&request)?.into_iter().flatten().collect::<Result<Vec<_>, Error>>()?;
                let effort = snapshot.effort();
                Ok::<_, Error>((batches.iter().flat_map(rows).collect::<Vec<_>>(), effort))
            };
            let (found, expected) = (read(Shortcuts::ALL).unwrap(), read(Shortcuts::NONE).unwrap());
            if found.0 != expected.0 {
                let counts = (found.0.len(), expected.0.len());
                return Err(format!("{counts:?} rows, found and expected, to {request:?}"));
            }
            pruned.set(pruned.get() + found.1.vectors.pruned);
        }
        Ok(())
    });
    assert!(pruned.get() > 0, "no vector was ever left out by its statistics");
}

#[test]
fn a_part_that_is_told_to_stop_gives_nothing() {
    let engine = open();
    engine.write(&[point("a", "eu", START_NS, false, &mut Random::new(0))]).unwrap();
    for shortcuts in [Shortcuts::ALL, Shortcuts::NONE] {
        let request = AggregateRequest::new("cpu", Vec::new());
        let mut aggregation = engine.snapshot().with_shortcuts(shortcuts).aggregate(&request).unwrap();
        for part in aggregation.take_parts() {
            assert!(part.run(&|| false).unwrap().is_none());
        }
    }
}

#[test]
fn too_many_groups_and_buckets_are_refused() {
    let engine = open();
    let random = &mut Random::new(0);
    let day_ns = 86_400 * SECOND_NS;
    engine.write(&[0, day_ns - 1].map(|at| point("a", "eu", START_NS + at, false, random))).unwrap();
    let mut request = AggregateRequest::new("cpu", Vec::new());
    request.bucket = Some(Bucket { width_ns: 1, origin_ns: 0 });
    let refused = engine.snapshot().aggregate(&request).map(drop);
    assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
    assert_eq!(answer(&engine.snapshot(), &request, Shortcuts::NONE).unwrap().num_rows(), 2);
}

#[test]
fn what_a_table_does_not_have_is_refused() {
    let engine = open();
    engine.write(&[point("a", "eu", START_NS, false, &mut Random::new(0))]).unwrap();
    let refusal = |change: &dyn Fn(&mut AggregateRequest)| {
        let mut request = AggregateRequest::new("cpu", Vec::new());
        change(&mut request);
        engine.snapshot().aggregate(&request).unwrap_err().to_string()
    };
    let of = |function, field: &str| Aggregate { function, field: Some(field.to_owned()) };
    assert_eq!(refusal(&|r| r.table = "gpu".into()), "table \"gpu\" does not exist");
    assert_eq!(
        refusal(&|r| r.aggregates = vec![of(AggregateFunction::Sum, "state")]),
        "column \"state\" of table \"cpu\" is a string, not a number",
    );
    assert_eq!(
        refusal(&|r| r.aggregates = vec![of(AggregateFunction::Max, "host")]),
        "column \"host\" of table \"cpu\" is a tag, not a field",
    );
    assert_eq!(
        refusal(&|r| r.group_tags = vec!["int".into()]),
        "column \"int\" of table \"cpu\" is a integer, not a tag",
    );
    assert_eq!(
        refusal(&|r| r.bucket = Some(Bucket { width_ns: 0, origin_ns: 0 })),
        "width of a bucket, which is at least 1 ns, is 0, limit 1",
    );
}
