//! Random histories over a small world, where the same tables, series and times are met again and again.

use plimsoll_engine::env::sim::Random;
use plimsoll_engine::{
    Column, ColumnKind, CompareOp, Durability, FieldPredicate, FieldTest, FieldType, Options, Point, TableSchema,
    TagMatcher, TagTest, TimeRange, Value,
};

const TABLES: [&str; 3] = ["cpu", "disk io", "Wärme"];
const TAGS: [&str; 3] = ["host", "region", "Rack"];
const TAG_VALUES: [&str; 6] = ["a", "b", "ab", "", "ü", "a b,c=\"d\""];
/// Fields with the type that they mostly have.
const FIELDS: [(&str, FieldType); 6] = [
    ("usage", FieldType::Float),
    ("free", FieldType::Integer),
    ("total", FieldType::Unsigned),
    ("up", FieldType::Boolean),
    ("state", FieldType::Text),
    ("idle", FieldType::Float),
];
const TYPES: [FieldType; 5] =
    [FieldType::Float, FieldType::Integer, FieldType::Unsigned, FieldType::Boolean, FieldType::Text];
const SECOND_NS: i64 = 1_000_000_000;
/// 2026-01-01 00:00:00 UTC.
pub(crate) const START_NS: i64 = 1_767_225_600 * SECOND_NS;

/// How orderly the writers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum World {
    /// Every column is always of one kind.
    Tame,
    /// Columns are at times used as another kind.
    Rough,
    /// As rough, with large batches.
    Bulky,
}

/// One call of a user of the engine.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Write(Vec<Point<'static>>),
    CreateTable(String, Vec<Column>),
    AddColumns(String, Vec<Column>),
    DropTable(String),
    Delete(Deleting),
    Flush,
    /// Maintenance until nothing more waits.
    Maintain,
    /// One step of maintenance.
    MaintainOnce,
    /// Time goes on, so that maintenance finds rows and partitions that were left alone.
    Wait,
    Restart,
    /// Takes a snapshot that is read after every later step.
    Hold,
    /// Lets the oldest snapshot go.
    Release,
}

/// What is to be deleted.
#[derive(Debug, Clone)]
pub(crate) struct Deleting {
    pub(crate) table: String,
    pub(crate) time: TimeRange,
    pub(crate) tags: Vec<TagMatcher>,
    pub(crate) predicates: Vec<FieldPredicate>,
}

/// How an engine of the test is opened, but for its disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) durability: Durability,
    pub(crate) memtable_flush_bytes: u64,
    pub(crate) memtable_limit_bytes: u64,
    pub(crate) wal_file_bytes: u64,
}

impl Sizes {
    /// Sizes of which some make flushes, full memtables and new log files frequent.
    pub(crate) fn random(random: &mut Random) -> Sizes {
        let memtable_flush_bytes = *random.pick(&[1, 500, 4 << 10, 64 << 20]);
        Sizes {
            durability: Durability::Synced,
            memtable_flush_bytes,
            memtable_limit_bytes: memtable_flush_bytes * 4 + 2048,
            wal_file_bytes: *random.pick(&[1, 300, 2 << 10, 64 << 20]),
        }
    }

    /// Sizes at which nothing happens by itself.
    pub(crate) fn large() -> Sizes {
        let plain = Options::default();
        Sizes {
            durability: Durability::Synced,
            memtable_flush_bytes: plain.memtable_flush_bytes,
            memtable_limit_bytes: plain.memtable_limit_bytes,
            wal_file_bytes: plain.wal_file_bytes,
        }
    }

    /// Options of an engine on a disk.
    pub(crate) fn on(&self, fs: impl plimsoll_engine::env::FileSystem + 'static) -> Options {
        Options {
            fs: std::sync::Arc::new(fs),
            durability: self.durability,
            memtable_flush_bytes: self.memtable_flush_bytes,
            memtable_limit_bytes: self.memtable_limit_bytes,
            wal_file_bytes: self.wal_file_bytes,
            ..Options::default()
        }
    }
}

/// A history of `length` steps.
pub(crate) fn history(random: &mut Random, length: usize, world: World) -> Vec<Step> {
    (0..length).map(|_| step(random, world)).collect()
}

fn step(random: &mut Random, world: World) -> Step {
    match random.below(30) {
        0 => Step::CreateTable(table(random), columns(random)),
        1 if random.one_in(2) => Step::DropTable(table(random)),
        1 => Step::AddColumns(table(random), columns(random)),
        2 | 3 => Step::Flush,
        4..=6 => Step::Maintain,
        7 | 8 => Step::Restart,
        9 => Step::Hold,
        10 => Step::Release,
        11 | 12 => Step::Delete(deleting(random, world)),
        13 | 14 => Step::MaintainOnce,
        15 | 16 => Step::Wait,
        _ => Step::Write(points(random, world)),
    }
}

fn deleting(random: &mut Random, world: World) -> Deleting {
    let (one, other) = (time(random), time(random));
    let time = match random.below(4) {
        0 => TimeRange::ALL,
        1 => TimeRange { min_ns: one, max_ns: one },
        _ => TimeRange { min_ns: one.min(other), max_ns: one.max(other) },
    };
    let tags = (0..random.below(2)).map(|_| TagMatcher { tag: any_tag(random).to_owned(), test: any_test(random) });
    let tags = tags.collect();
    let predicates = (0..random.below(3).saturating_sub(1)).map(|_| predicate(random, world)).collect();
    Deleting { table: name(random, &TABLES).to_owned(), time, tags, predicates }
}

fn predicate(random: &mut Random, world: World) -> FieldPredicate {
    let (name, value) = field(random, world);
    let test = match random.below(5) {
        0 => FieldTest::IsNull,
        1 => FieldTest::IsNotNull,
        2 => FieldTest::Compare(CompareOp::Equal, value),
        3 => FieldTest::Compare(CompareOp::LessOrEqual, value),
        _ => FieldTest::Compare(CompareOp::Greater, value),
    };
    FieldPredicate { field: name.into_owned(), test }
}

/// A test of a tag.
pub(crate) fn any_test(random: &mut Random) -> TagTest {
    let value = |random: &mut Random| any_tag_value(random).to_owned();
    let list = |random: &mut Random| (0..random.below(4)).map(|_| value(random)).collect();
    match random.below(8) {
        0 => TagTest::Equals(value(random)),
        1 => TagTest::NotEquals(value(random)),
        2 => TagTest::In(list(random)),
        3 => TagTest::NotIn(list(random)),
        4 => TagTest::Prefix(value(random)),
        5 => TagTest::Regex((*random.pick(&["^a", "b$", "a|ü", "", "x.*"])).to_owned()),
        6 => TagTest::IsNull,
        _ => TagTest::IsNotNull,
    }
}

/// A batch.
pub(crate) fn points(random: &mut Random, world: World) -> Vec<Point<'static>> {
    let count = match random.below(12) {
        0 => 0,
        1 if world == World::Bulky => 300 + random.below(1500),
        2 => 40,
        _ => 1 + random.below(6),
    };
    (0..count).map(|_| point(random, world)).collect()
}

fn table(random: &mut Random) -> String {
    match random.below(60) {
        0 => String::new(),
        1 => "n".repeat(256),
        2 => "../cpu".to_owned(),
        _ => name(random, &TABLES).to_owned(),
    }
}

fn columns(random: &mut Random) -> Vec<Column> {
    let column = |random: &mut Random| match random.below(12) {
        0 => Column { name: TableSchema::TIME.to_owned(), kind: ColumnKind::Tag },
        1..=4 => Column { name: name(random, &TAGS).to_owned(), kind: ColumnKind::Tag },
        _ => {
            let (name, kind) = *random.pick(&FIELDS);
            Column { name: name.to_owned(), kind: ColumnKind::Field(kind) }
        }
    };
    (0..random.below(4)).map(|_| column(random)).collect()
}

fn point(random: &mut Random, world: World) -> Point<'static> {
    let tags =
        (0..random.below(3)).map(|_| (tag_name(random, world).into(), name(random, &TAG_VALUES).into())).collect();
    let fields = match random.below(50) {
        0 => 0,
        _ => 1 + random.below(3),
    };
    let fields = (0..fields).map(|_| field(random, world)).collect();
    Point { table: table(random).into(), tags, fields, time_ns: time(random) }
}

fn tag_name(random: &mut Random, world: World) -> &'static str {
    match random.below(80) {
        0 if world != World::Tame => FIELDS[0].0,
        1 => "time",
        2 => "",
        _ => name(random, &TAGS),
    }
}

fn field(random: &mut Random, world: World) -> (std::borrow::Cow<'static, str>, Value<'static>) {
    let (name, mostly) = *random.pick(&FIELDS);
    match random.below(40) {
        0 if world != World::Tame => (name.into(), any_value(*random.pick(&TYPES), random)),
        1 if world != World::Tame => (TAGS[0].into(), any_value(mostly, random)),
        2 => (format!("extra {} {name}", random.below(2)).into(), any_value(mostly, random)),
        _ => (name.into(), any_value(mostly, random)),
    }
}

/// A value of a type, at times a rare one.
pub(crate) fn any_value(kind: FieldType, random: &mut Random) -> Value<'static> {
    match kind {
        FieldType::Float => Value::Float(match random.below(8) {
            0 => f64::from_bits(random.bits()),
            1 => *random.pick(&[f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE / 2.0]),
            2 => f64::from_bits(0x7ff8_0000_0000_0000 | random.below(9) as u64),
            _ => random.below(1000) as f64 / 10.0,
        }),
        FieldType::Integer => Value::Integer(match random.below(8) {
            0 => random.bits() as i64,
            1 => *random.pick(&[i64::MIN, i64::MAX, 0, -1]),
            _ => random.below(100) as i64,
        }),
        FieldType::Unsigned => Value::Unsigned(match random.below(8) {
            0 => random.bits(),
            1 => u64::MAX,
            _ => random.below(100) as u64,
        }),
        FieldType::Boolean => Value::Boolean(random.one_in(2)),
        FieldType::Text => Value::Text(match random.below(30) {
            0 => "long ".repeat(random.below(1000)).into(),
            1 => "".into(),
            2 => "\0\n\u{10ffff}".into(),
            _ => name(random, &["ok", "bad", "unknown", "degraded, see log"]).into(),
        }),
    }
}

/// Mostly one of sixty seconds, so that points meet; at times another day, another year, or the ends of time.
pub(crate) fn time(random: &mut Random) -> i64 {
    match random.below(40) {
        0 => *random.pick(&[i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX]),
        1..=4 => START_NS + (random.below(800) as i64 - 400) * 86_400 * SECOND_NS,
        5 => START_NS + random.below(1000) as i64,
        _ => START_NS + random.below(60) as i64 * SECOND_NS,
    }
}

/// A name of a table of this world.
pub(crate) fn any_table(random: &mut Random) -> &'static str {
    name(random, &TABLES)
}

/// A name of a tag of this world, or of none.
pub(crate) fn any_tag(random: &mut Random) -> &'static str {
    name(random, &["host", "region", "Rack", "nowhere"])
}

/// A tag value of this world, or of none.
pub(crate) fn any_tag_value(random: &mut Random) -> &'static str {
    name(random, &["a", "b", "ab", "", "ü", "a b,c=\"d\"", "zzz"])
}

fn name(random: &mut Random, names: &[&'static str]) -> &'static str {
    names[random.below(names.len())]
}
