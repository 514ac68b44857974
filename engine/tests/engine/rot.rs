//! Rot: whatever happens to the bytes of a closed database, the engine names the damaged file or answers exactly.
//!
//! One loss cannot be told from a crash: the log ends in a torn record when power fails before the record is acknowledged,
//! and a damaged last record looks the same. So damage to the end of the last log, after which nothing in it is whole, may
//! cost the writes whose records it hit, and the later ones; everything else must be reported or be harmless.

use std::ops::Range;
use std::path::{Path, PathBuf};

use plimsoll_engine::env::sim::{Random, SECTOR_BYTES, SimFileSystem};
use plimsoll_engine::naive::Naive;
use plimsoll_engine::{Engine, Error, verify};

use crate::check::Dump;
use crate::driver::{Driver, Stop, dir};
use crate::history::{Sizes, Step, World, history, points};
use crate::seeds::{caught, for_seeds};

/// Damages per database.
const DAMAGES: usize = 150;

/// A change at the end of the last log: where its record is, and what the database held before it.
struct Tail {
    file: PathBuf,
    record: Range<usize>,
    before: Dump,
}

/// A closed database.
struct Closed {
    fs: SimFileSystem,
    sizes: Sizes,
    whole: Dump,
    tails: Vec<Tail>,
}

/// A database with segments and with writes that are in the log alone.
fn database(seed: u64) -> Result<Closed, String> {
    let random = &mut Random::new(seed);
    let fs = SimFileSystem::new();
    let sizes = Sizes { memtable_flush_bytes: 8 << 10, memtable_limit_bytes: 64 << 20, ..Sizes::random(random) };
    let mut driver = Driver::closed(&fs, sizes, Naive::default());
    driver.open().map_err(|e| e.to_string())?;
    let mut steps = history(random, 14, World::Rough);
    let writes = random.below(6);
    steps.extend((0..writes).map(|_| Step::Write(points(random, World::Rough))));
    let mut tails = Vec::new();
    for step in steps {
        let (before, files) = (Dump::of(&driver.naive), fs.files());
        driver.step(&step).map_err(Stop::text)?;
        tails.extend(grown(&files, &fs.files()).map(|(file, record)| Tail { file, record, before }));
    }
    let whole = Dump::of(&driver.naive);
    let last = fs.files().into_iter().map(|(path, _)| path).filter(|path| is_log(path)).max();
    let kept = tails.iter().rposition(|tail| Some(&tail.file) != last.as_ref()).map_or(0, |at| at + 1);
    Ok(Closed { fs: fs.kill(), sizes, whole, tails: tails.split_off(kept) })
}

/// The log that a write made longer, and by which bytes.
fn grown(before: &[(PathBuf, usize)], after: &[(PathBuf, usize)]) -> Option<(PathBuf, Range<usize>)> {
    let length = |path: &Path| before.iter().find(|(name, _)| name == path).map_or(0, |(_, length)| *length);
    let grown = after.iter().filter(|(path, _)| is_log(path)).map(|(path, now)| (path.clone(), length(path)..*now));
    grown.filter(|(_, record)| !record.is_empty()).max_by(|one, other| one.0.cmp(&other.0))
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wal")
}

/// What happens to a file, and which of its bytes that changes.
#[derive(Debug)]
enum Damage {
    FlipBit(usize),
    Zero(Range<usize>),
    Swap {
        block_bytes: usize,
        one: usize,
        other: usize,
    },
    Cut(usize),
    Longer(usize),
    /// The bytes of another file of the same kind.
    Misplaced(PathBuf),
    Removed,
}

impl Damage {
    fn random(closed: &Closed, file: &Path, length: usize, random: &mut Random) -> Damage {
        let block_bytes = *random.pick(&[8, 64, SECTOR_BYTES, 4096]);
        let block = |random: &mut Random| random.below(length.div_ceil(block_bytes));
        match random.below(16) {
            0 | 1 => {
                let start = block(random) * block_bytes;
                Damage::Zero(start..(start + block_bytes).min(length))
            }
            2 | 3 => Damage::Swap { block_bytes, one: block(random), other: block(random) },
            4 => Damage::Cut(random.below(length)),
            5 => Damage::Longer(1 + random.below(600)),
            6 => {
                let files = closed.fs.files().into_iter().map(|(path, _)| path);
                let alike: Vec<_> = files.filter(|path| path.extension() == file.extension()).collect();
                Damage::Misplaced(random.pick(&alike).clone())
            }
            7 if !is_log(file) => Damage::Removed,
            8 | 9 => Damage::FlipBit(random.below(length.min(64) * 8)),
            10 | 11 => Damage::FlipBit((length - 1 - random.below(length.min(64))) * 8 + random.below(8)),
            _ => Damage::FlipBit(random.below(length * 8)),
        }
    }

    fn apply(&self, fs: &SimFileSystem, file: &Path) -> std::io::Result<()> {
        match self {
            Damage::FlipBit(bit) => fs.flip_bit(file, *bit),
            Damage::Zero(range) => fs.damage(file, |bytes| bytes[range.clone()].fill(0)),
            Damage::Swap { block_bytes, one, other } => fs.swap_blocks(file, *block_bytes, *one, *other),
            Damage::Cut(length) => fs.damage(file, |bytes| bytes.truncate(*length)),
            Damage::Longer(by) => fs.damage(file, |bytes| bytes.extend((0..*by).map(|at| at as u8))),
            Damage::Misplaced(other) => {
                let other = fs.read_all(other)?;
                fs.damage(file, |bytes| *bytes = other)
            }
            Damage::Removed => plimsoll_engine::env::FileSystem::remove(fs, file),
        }
    }
}

impl Closed {
    /// True for what an engine may hold after a file has changed from `before` to `now`.
    fn allows(&self, found: &Dump, file: &Path, before: &[u8], now: &[u8]) -> bool {
        if *found == self.whole {
            return true;
        }
        let is_hit = |tail: &Tail| tail.file == file && now.get(tail.record.clone()) != before.get(tail.record.clone());
        let hit = self.tails.iter().rev().take_while(|tail| is_hit(tail)).count();
        self.tails[self.tails.len() - hit..].iter().any(|tail| tail.before == *found)
    }

    /// Damages one file and looks at what the engine makes of it.
    fn damage(&self, random: &mut Random) -> Result<(), String> {
        let files: Vec<_> = self.fs.files().into_iter().filter(|(_, length)| *length > 0).collect();
        let (file, length) = random.pick(&files);
        let damage = Damage::random(self, file, *length, random);
        let fs = self.fs.kill();
        let before = fs.read_all(file).map_err(|e| e.to_string())?;
        damage.apply(&fs, file).map_err(|e| e.to_string())?;
        let now = fs.read_all(file).unwrap_or_default();
        let looked = caught(|| self.look(&fs, file, &before, &now));
        looked.map_err(|why| format!("{damage:?} in {} of {length} bytes: {why}", file.display()))
    }

    fn look(&self, fs: &SimFileSystem, file: &Path, before: &[u8], now: &[u8]) -> Result<(), String> {
        let report = verify(&fs.kill(), dir(), &mut |_| {}).map_err(|e| format!("verify: {e}"))?;
        for error in &report.damages {
            names(error, file).map_err(|why| format!("verify: {why}"))?;
        }
        if report.damages.is_empty() && report.torn_tail.is_none() {
            let whole = self.is_whole(fs, file, before, now);
            return whole.map_err(|why| format!("verify finds nothing, but: {why}"));
        }
        let engine = match Engine::open(dir(), self.sizes.on(fs.clone())) {
            Ok(engine) => engine,
            Err(error) => return names(&error, file).map_err(|why| format!("open: {why}")),
        };
        self.read(&engine, file, before, now)?;
        match engine.flush().and_then(|()| engine.maintain(0)) {
            Ok(_) => self.read(&engine, file, before, now).map_err(|why| format!("after a flush: {why}")),
            Err(error) => names(&error, file).map_err(|why| format!("flush: {why}")),
        }
    }

    /// Nothing is lost, unless the last log was cut off right where a record ends, which nothing tells.
    fn is_whole(&self, fs: &SimFileSystem, file: &Path, before: &[u8], now: &[u8]) -> Result<(), String> {
        let engine = Engine::open(dir(), self.sizes.on(fs.clone())).map_err(|e| e.to_string())?;
        let found = Dump::read(&engine.snapshot()).map_err(|e| e.to_string())?;
        let was_cut = before.starts_with(now) && self.allows(&found, file, before, now);
        if was_cut { Ok(()) } else { found.differs(&self.whole).map_or(Ok(()), Err) }
    }

    fn read(&self, engine: &Engine, file: &Path, before: &[u8], now: &[u8]) -> Result<(), String> {
        match Dump::read(&engine.snapshot()) {
            Err(error) => names(&error, file).map_err(|why| format!("scan: {why}")),
            Ok(found) if self.allows(&found, file, before, now) => Ok(()),
            Ok(found) => Err(format!("a wrong answer: {}", found.differs(&self.whole).unwrap_or_default())),
        }
    }
}

/// True when the error is about this file.
fn names(error: &Error, file: &Path) -> Result<(), String> {
    match error {
        Error::Corrupt { path, .. } | Error::Version { path, .. } if path == file => Ok(()),
        Error::Io { path, source, .. } if path == file && source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => Err(format!("does not name the file: {other}")),
    }
}

#[test]
fn damage_is_named_or_harmless() {
    for_seeds(12, |seed| {
        let closed = database(seed)?;
        let random = &mut Random::new(seed);
        (0..DAMAGES).try_for_each(|at| closed.damage(random).map_err(|why| format!("damage {at}: {why}")))
    });
}

/// Records that no file has any more cannot be replayed, and those after them must not stand for all there were.
#[test]
fn a_log_file_that_is_missing_is_told() {
    let fs = SimFileSystem::new();
    let sizes = Sizes { wal_file_bytes: 1, ..Sizes::large() };
    let mut driver = Driver::closed(&fs, sizes, Naive::default());
    driver.open().expect("an empty directory opens");
    let random = &mut Random::new(1);
    let logs = || fs.files().into_iter().map(|(path, _)| path).filter(|path| is_log(path)).collect::<Vec<_>>();
    while logs().len() < 4 {
        driver.step(&Step::Write(points(random, World::Rough))).map_err(Stop::text).expect("written");
    }
    let fs = fs.kill();
    let mut logs: Vec<PathBuf> = fs.files().into_iter().map(|(path, _)| path).filter(|path| is_log(path)).collect();
    logs.sort();
    plimsoll_engine::env::FileSystem::remove(&fs, &logs[1]).expect("removed");
    let error = Engine::open(dir(), sizes.on(fs)).expect_err("a gap in the log");
    assert!(matches!(&error, Error::Corrupt { path, .. } if *path == logs[0]), "{error}");
}
