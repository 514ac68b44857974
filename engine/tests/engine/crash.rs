//! Power loss and killed processes at every operation: what was acknowledged is there, what was not is whole or absent,
//! and the engine opens by itself, also when recovery is cut short.

use plimsoll_engine::Durability;
use plimsoll_engine::env::FileSystem;
use plimsoll_engine::env::sim::{Random, SimFileSystem};
use plimsoll_engine::naive::Naive;

use crate::check::Dump;
use crate::driver::{Driver, Stop, apply};
use crate::history::{Sizes, Step, World, history, points};
use crate::seeds::{for_seeds, shortest};

/// States of which one must be found; the last ones are the likeliest.
pub(crate) struct Candidates(Vec<(Naive, Dump)>);

impl Candidates {
    pub(crate) fn of(states: Vec<Naive>) -> Candidates {
        Candidates(states.into_iter().map(|naive| (naive.clone(), Dump::of(&naive))).collect())
    }

    /// The state that the engine shows.
    pub(crate) fn find(&self, driver: &Driver) -> Result<Naive, String> {
        let found = driver.dump().map_err(|e| format!("scan: {e}"))?;
        if let Some((naive, _)) = self.0.iter().find(|(_, dump)| found.differs_in(dump, driver.names).is_none()) {
            return Ok(naive.clone());
        }
        let differences = self.0.iter().rev().take(3).filter_map(|(_, dump)| found.differs_in(dump, driver.names));
        Err(format!("none of {} possible states: {}", self.0.len(), differences.collect::<Vec<_>>().join("\nnor: ")))
    }
}

/// How far a history came.
struct Ran {
    /// States of which power loss leaves one: the last durable one and all after it.
    after_power_loss: Vec<Naive>,
    /// States of which a killed process leaves one.
    after_kill: Vec<Naive>,
}

/// Runs a history until the machine goes down or the steps end.
fn run(fs: &SimFileSystem, down_at: usize, sizes: Sizes, steps: &[Step]) -> Result<Ran, String> {
    fs.crash_at(down_at);
    let mut driver = Driver::closed(fs, sizes, Naive::default());
    let mut states = vec![Naive::default()];
    match driver.open() {
        Err(_) if fs.is_down() => return Ok(Ran { after_power_loss: states.clone(), after_kill: states }),
        opened => opened.map_err(|e| format!("open: {e}"))?,
    }
    for step in steps {
        match driver.step(step) {
            Ok(()) => {
                if sizes.durability == Durability::Synced || matches!(step, Step::Flush | Step::Maintain) {
                    states.clear();
                }
                states.push(driver.naive.clone());
            }
            Err(Stop::Failed(_)) if fs.is_down() => {
                let mut after = driver.naive.clone();
                apply(&mut after, step);
                states.push(after.clone());
                return Ok(Ran { after_power_loss: states, after_kill: vec![driver.naive, after] });
            }
            Err(stop) => return Err(stop.text()),
        }
    }
    Ok(Ran { after_power_loss: states, after_kill: vec![driver.naive] })
}

/// Opens what was left, finds one of the states there, and says how many operations that took.
fn recover(fs: &SimFileSystem, sizes: Sizes, candidates: &Candidates) -> Result<(Driver, usize), String> {
    let mut driver = Driver::closed(fs, sizes, Naive::default());
    driver.open().map_err(|e| format!("it does not open: {e}"))?;
    let operations = fs.operation_count();
    driver.naive = candidates.find(&driver)?;
    Ok((driver, operations))
}

/// A recovery that is cut short leaves what a whole one finds.
fn recover_twice(disk: impl Fn() -> SimFileSystem, sizes: Sizes, cut: usize, found: &Naive) -> Result<(), String> {
    let fs = disk();
    fs.crash_at(cut);
    let _cut_short = Driver::closed(&fs, sizes, Naive::default()).open();
    let again = recover(&fs.crash(cut as u64), sizes, &Candidates::of(vec![found.clone()]));
    again.map(drop).map_err(|why| format!("power loss at operation {cut} of recovery: {why}"))
}

/// Writes after a recovery hold over the next power loss.
fn live_on(mut driver: Driver, sizes: Sizes, random: &mut Random) -> Result<(), String> {
    for _ in 0..1 + random.below(3) {
        let step = if random.one_in(4) { Step::Flush } else { Step::Write(points(random, World::Rough)) };
        driver.step(&step).map_err(Stop::text).map_err(|why| format!("after recovery: {why}"))?;
    }
    driver.check(random).map_err(|why| format!("after recovery: {why}"))?;
    if sizes.durability == Durability::Interval {
        driver.step(&Step::Maintain).map_err(Stop::text)?;
    }
    let candidates = Candidates::of(vec![driver.naive.clone()]);
    let again = recover(&driver.fs.crash(random.bits()), sizes, &candidates);
    again.map(drop).map_err(|why| format!("power loss after recovery: {why}"))
}

/// Cuts a history at one operation and looks at some of the disks that may be found.
fn cut(seed: u64, down_at: usize, sizes: Sizes, steps: &[Step]) -> Result<(), String> {
    let random = &mut Random::new(seed ^ (down_at as u64) << 32);
    let fs = SimFileSystem::new();
    let ran = run(&fs, down_at, sizes, steps)?;
    let after_power_loss = Candidates::of(ran.after_power_loss);
    for image in [random.bits(), random.bits()] {
        let (driver, operations) = recover(&fs.crash(image), sizes, &after_power_loss)?;
        recover_twice(|| fs.crash(image), sizes, random.below(operations), &driver.naive)?;
        live_on(driver, sizes, random)?;
    }
    let (driver, _) =
        recover(&fs.kill(), sizes, &Candidates::of(ran.after_kill)).map_err(|why| format!("killed: {why}"))?;
    live_on(driver, sizes, random).map_err(|why| format!("killed: {why}"))
}

/// Cuts a history at every operation that changes the disk.
fn cut_everywhere(seed: u64, sizes: Sizes, steps: &[Step]) -> Result<(), String> {
    let whole = SimFileSystem::new();
    run(&whole, usize::MAX, sizes, steps)?;
    for (number, operation) in whole.operations().iter().enumerate().filter(|(_, operation)| operation.changes()) {
        cut(seed, number, sizes, steps).map_err(|why| format!("down at {number}, {operation:?}: {why}"))?;
    }
    cut(seed, usize::MAX, sizes, steps)
}

fn survives(seed: u64, durability: Durability) -> Result<(), String> {
    let random = &mut Random::new(seed);
    let sizes = Sizes { durability, ..Sizes::random(random) };
    shortest(history(random, 12, World::Rough), |steps| cut_everywhere(seed, sizes, steps))
}

#[test]
fn acknowledged_writes_survive() {
    for_seeds(8, |seed| survives(seed, Durability::Synced));
}

/// What is lost of writes that were acknowledged before their sync are the last ones, and whole batches.
#[test]
fn interval_durability_loses_only_the_end() {
    for_seeds(4, |seed| survives(seed, Durability::Interval));
}

/// The disk may show what an older file had there in place of a header that was not synced when power failed. That file was
/// taken for a log with a gap, and the database did not open.
#[test]
fn a_header_of_an_older_log_file_is_none() {
    let fs = SimFileSystem::new();
    let mut driver = Driver::closed(&fs, Sizes::large(), Naive::default());
    driver.open().unwrap();
    let write = Step::Write(points(&mut Random::new(1), World::Tame));
    driver.step(&write).map_err(Stop::text).unwrap();
    driver.close();
    let log = |number: usize| crate::driver::dir().join(format!("wal/{number:020}.wal"));
    let header = fs.read_all(&log(1)).unwrap()[..24].to_vec();
    FileSystem::create(&fs, &log(2)).unwrap().append(&header).unwrap();
    recover(&fs, Sizes::large(), &Candidates::of(vec![driver.naive.clone()])).unwrap();
}
