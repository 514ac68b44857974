//! Ordinary life: whatever is written, flushed and reopened, the engine reads as its plain twin does.

use std::path::Path;

use plimsoll_engine::env::sim::{Random, SimFileSystem};
use plimsoll_engine::naive::Naive;
use plimsoll_engine::{
    Durability, Engine, Error, OptionsChange, Point, ScanRequest, TableOptions, TagMatcher, TagTest, Value,
};

use crate::driver::{Driver, Stop};
use crate::history::{START_NS, Sizes, Step, World, history};
use crate::seeds::{for_seeds, shortest};

/// Walks through the steps and compares after each one.
fn walk(seed: u64, sizes: Sizes, steps: &[Step]) -> Result<(), String> {
    let random = &mut Random::new(seed);
    let mut driver = Driver::closed(&SimFileSystem::new(), sizes, Naive::default());
    driver.open().map_err(|e| e.to_string())?;
    for (at, step) in steps.iter().enumerate() {
        let done = driver.step(step).map_err(Stop::text).and_then(|()| driver.check(random));
        done.map_err(|why| format!("step {at}: {why}"))?;
    }
    Ok(())
}

#[test]
fn reads_as_the_plain_twin() {
    for_seeds(100, |seed| {
        let random = &mut Random::new(seed);
        let mut sizes = Sizes::random(random);
        if random.one_in(4) {
            sizes.durability = Durability::Interval;
        }
        let length = 10 + random.below(40);
        let world = if random.one_in(12) { World::Bulky } else { World::Rough };
        shortest(history(random, length, world), |steps| walk(seed, sizes, steps))
    });
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    let mut driver = Driver::closed(&SimFileSystem::new(), Sizes::large(), Naive::default());
    driver.open().unwrap();
    driver.step(&Step::CreateTable("cpu".to_owned(), Vec::new())).map_err(Stop::text).unwrap();
    let tags = vec![TagMatcher { tag: "host".to_owned(), test: TagTest::Regex("(".to_owned()) }];
    let request = ScanRequest { tags, ..ScanRequest::new("cpu", ["time"]) };
    assert!(matches!(driver.engine().snapshot().scan(&request), Err(Error::Pattern(_))));
}

#[test]
fn two_engines_do_not_share_a_directory() {
    let fs = SimFileSystem::new();
    let mut first = Driver::closed(&fs, Sizes::large(), Naive::default());
    let mut second = Driver::closed(&fs, Sizes::large(), Naive::default());
    first.open().unwrap();
    assert!(matches!(second.open(), Err(Error::Locked { .. })));
    first.close();
    second.open().unwrap();
}

/// The manifest that a drop publishes names tables of later records than it covers. Replay took the rows of a dropped table
/// for rows of the new one of that name, whose column had another type: the database did not open.
#[test]
fn a_table_made_anew_is_not_mixed_up_with_the_old_one() {
    let write = |table: &'static str, value: Value<'static>| {
        let fields = vec![("x".into(), value)];
        Step::Write(vec![Point { table: table.into(), tags: Vec::new(), fields, time_ns: START_NS }])
    };
    let steps = [
        write("other", Value::Boolean(true)),
        write("cpu", Value::Integer(1)),
        Step::DropTable("cpu".to_owned()),
        write("cpu", Value::Text("new".into())),
        Step::DropTable("other".to_owned()),
        Step::Restart,
    ];
    walk(0, Sizes::large(), &steps).unwrap();
}

/// Writes large enough to be runs of their own, and enough of them to be joined: over the same points again and again, with
/// fields that come and go.
#[test]
fn large_writes_are_joined_and_the_later_one_wins() {
    let random = &mut Random::new(1);
    let mut driver = Driver::closed(&SimFileSystem::new(), Sizes::large(), Naive::default());
    driver.open().unwrap();
    for _ in 0..17 {
        let point = |_| {
            let field = ["a", "b", "c"][random.below(3)];
            let value = if field == "c" { Value::Text("x".into()) } else { Value::Integer(random.below(1000) as i64) };
            Point {
                table: "cpu".into(),
                tags: vec![("host".into(), ["x", "y", "z"][random.below(3)].into())],
                fields: vec![(field.into(), value)],
                time_ns: START_NS + random.below(1500) as i64,
            }
        };
        let points = (0..4200).map(point).collect();
        driver.step(&Step::Write(points)).map_err(Stop::text).unwrap();
    }
    for step in [Step::Maintain, Step::Restart, Step::Flush, Step::Restart] {
        driver.check(random).unwrap();
        driver.step(&step).map_err(Stop::text).unwrap();
    }
    driver.check(random).unwrap();
}

/// A limit of series counts those that there are, over flushes and restarts; points of these are stored all the same.
#[test]
fn points_of_further_series_are_refused() {
    let fs = SimFileSystem::new();
    let open = || Engine::open(Path::new("/srv/limited"), Sizes::large().on(fs.clone())).unwrap();
    let write = |engine: &Engine, host: &'static str| {
        let fields = vec![("usage".into(), Value::Float(1.0))];
        let point = Point { table: "cpu".into(), tags: vec![("host".into(), host.into())], fields, time_ns: START_NS };
        engine.write(&[point]).unwrap().rejected.into_iter().next().map(|rejected| rejected.error.to_string())
    };
    let engine = open();
    let options = TableOptions { max_series: Some(2), ..TableOptions::default() };
    engine.create_table_with("cpu", &[], &options).unwrap();
    assert_eq!((write(&engine, "a"), write(&engine, "b")), (None, None));
    let wanted = "table \"cpu\" has 2 series, and its option max_series is 2: a point of a new one is refused";
    assert_eq!(write(&engine, "c").as_deref(), Some(wanted));
    assert_eq!(write(&engine, "a"), None);
    drop(engine);
    for _ in 0..2 {
        let engine = open();
        assert_eq!(write(&engine, "c").as_deref(), Some(wanted));
        engine.flush().unwrap();
    }
    let engine = open();
    engine.alter_table("cpu", &OptionsChange { max_series: Some(None), ..OptionsChange::default() }).unwrap();
    assert_eq!(write(&engine, "c"), None);
    assert_eq!(engine.new_tag_values("cpu"), [("host".to_owned(), 3)]);
}
