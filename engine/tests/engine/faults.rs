//! Failing operations and full disks: an error to the caller, never a false acknowledgement, and reads go on.

use plimsoll_engine::env::sim::{Fault, Operation, OperationKind, Random, SimFileSystem};
use plimsoll_engine::naive::Naive;
use plimsoll_engine::{Error, Point, Value};

use crate::check::{Dump, Names};
use crate::crash::Candidates;
use crate::driver::{Driver, Stop, apply};
use crate::history::{START_NS, Sizes, Step, World, history, points};
use crate::seeds::{for_seeds, shortest};

/// A run in which one operation fails.
struct Faulty {
    driver: Driver,
    number: usize,
    /// What a reopen may find: refused writes that failed on the way may be there or not.
    states: Vec<Naive>,
    /// A sync failed, so bytes that a reopened engine reads may still vanish with the power.
    sync_failed: bool,
}

impl Faulty {
    fn has_failed(&self) -> bool {
        self.driver.fs.operation_count() > self.number
    }

    fn open(&mut self) -> Result<(), String> {
        match self.driver.open() {
            Err(Error::Io { .. } | Error::DiskFull { .. } | Error::Poisoned { .. }) if self.has_failed() => {
                self.driver.open().map_err(|e| format!("open after a failed open: {e}"))?;
            }
            opened => opened.map_err(|e| format!("open: {e}"))?,
        }
        self.settle()
    }

    /// The engine was opened and shows one of the states.
    fn settle(&mut self) -> Result<(), String> {
        if matches!(self.driver.dump(), Err(Error::Io { .. } | Error::DiskFull { .. })) && self.has_failed() {
            self.driver.open().map_err(|e| format!("open for a segment that could not be opened: {e}"))?;
        }
        self.driver.naive = Candidates::of(self.states.clone()).find(&self.driver)?;
        if !self.sync_failed {
            self.states = vec![self.driver.naive.clone()];
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        if matches!(step, Step::Restart) {
            return self.open();
        }
        let had_failed = self.has_failed();
        match self.driver.step(step) {
            Ok(()) => self.states.iter_mut().for_each(|state| drop(apply(state, step))),
            Err(Stop::Failed(error)) if self.has_failed() => self.refused(step, &error, !had_failed)?,
            Err(stop) => return Err(stop.text()),
        }
        if !had_failed && self.has_failed() && is_log_sync(&self.driver.fs.operations()[self.number]) {
            self.is_poisoned()?;
        }
        self.reads()
    }

    /// A refused step has left nothing behind, unless it is the one that failed on its way to the disk.
    fn refused(&mut self, step: &Step, error: &Error, is_first: bool) -> Result<(), String> {
        match error {
            Error::DiskFull { .. } => {}
            Error::Poisoned { .. } if !is_first => {}
            Error::Io { .. } | Error::Poisoned { .. } => {
                for state in self.states.clone() {
                    self.states.push(state);
                    self.states.last_mut().map(|after| apply(after, step));
                }
            }
            other => return Err(format!("an operation failed, but the engine says: {other}")),
        }
        Ok(())
    }

    /// After a failed sync of the log nothing more is acknowledged.
    fn is_poisoned(&self) -> Result<(), String> {
        match self.driver.engine().write(&[one_point()]) {
            Err(Error::Poisoned { .. }) => Ok(()),
            other => Err(format!("a write after a failed sync of the log was answered {other:?}")),
        }
    }

    /// The engine reads what was acknowledged. A segment that could not be opened is opened with the next open of the engine.
    fn reads(&mut self) -> Result<(), String> {
        let found = match self.driver.dump() {
            Err(Error::Io { .. } | Error::DiskFull { .. }) if self.has_failed() => {
                self.open()?;
                self.driver.dump()
            }
            found => found,
        };
        let found = found.map_err(|e| format!("scan: {e}"))?;
        found.differs_in(&Dump::of(&self.driver.naive), Names::AtLeast).map_or(Ok(()), Err)
    }
}

/// A driver of an engine that is not open yet, and of which refused writes may leave names behind.
fn lenient(fs: &SimFileSystem, sizes: Sizes) -> Driver {
    let mut driver = Driver::closed(fs, sizes, Naive::default());
    driver.names = Names::AtLeast;
    driver
}

/// Opens what was left and finds one of the states there.
fn recover(fs: &SimFileSystem, sizes: Sizes, candidates: &Candidates) -> Result<(), String> {
    let mut driver = lenient(fs, sizes);
    driver.open().map_err(|e| format!("it does not open: {e}"))?;
    candidates.find(&driver).map(drop)
}

fn one_point() -> Point<'static> {
    Point { table: "after".into(), tags: Vec::new(), fields: vec![("x".into(), Value::Integer(1))], time_ns: START_NS }
}

fn is_log_sync(operation: &Operation) -> bool {
    operation.kind == OperationKind::Sync && operation.path.extension().is_some_and(|extension| extension == "wal")
}

/// The ways in which an operation may fail.
fn faults(kind: OperationKind) -> &'static [Fault] {
    match kind {
        OperationKind::Append => &[Fault::Eio, Fault::Enospc, Fault::ShortWrite],
        OperationKind::Sync | OperationKind::SyncDir => &[Fault::FailedSync, Fault::Enospc],
        OperationKind::Rename => &[Fault::FailedRename, Fault::Enospc],
        _ => &[Fault::Eio, Fault::Enospc],
    }
}

/// Runs a history in which one operation fails, then reopens it three ways.
fn fail(seed: u64, number: usize, fault: Fault, sizes: Sizes, steps: &[Step]) -> Result<(), String> {
    let fs = SimFileSystem::new();
    fs.fail_at(number, fault);
    let driver = lenient(&fs, sizes);
    let mut faulty = Faulty { driver, number, states: vec![Naive::default()], sync_failed: false };
    faulty.sync_failed = fault == Fault::FailedSync || fault == Fault::Enospc;
    faulty.open()?;
    for (at, step) in steps.iter().enumerate() {
        faulty.step(step).map_err(|why| format!("step {at}: {why}"))?;
    }
    let candidates = Candidates::of(faulty.states.clone());
    recover(&fs.crash(seed), sizes, &candidates).map_err(|why| format!("power loss: {why}"))?;
    recover(&fs.kill(), sizes, &candidates).map_err(|why| format!("killed: {why}"))?;
    faulty.open()?;
    let step = Step::Write(vec![one_point()]);
    faulty.step(&step).map_err(|why| format!("after reopening: {why}"))?;
    recover(&fs.crash(seed + 1), sizes, &Candidates::of(faulty.states)).map_err(|why| format!("in the end: {why}"))
}

fn fail_everywhere(seed: u64, sizes: Sizes, steps: &[Step]) -> Result<(), String> {
    let whole = SimFileSystem::new();
    let mut driver = Driver::closed(&whole, sizes, Naive::default());
    driver.open().map_err(|e| e.to_string())?;
    steps.iter().try_for_each(|step| driver.step(step)).map_err(Stop::text)?;
    drop(driver);
    for (number, operation) in whole.operations().iter().enumerate() {
        for fault in faults(operation.kind) {
            let failed = fail(seed, number, *fault, sizes, steps);
            failed.map_err(|why| format!("{fault:?} at {number}, {operation:?}: {why}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_failing_operation_is_told_and_costs_nothing_acknowledged() {
    for_seeds(5, |seed| {
        let random = &mut Random::new(seed);
        let sizes = Sizes::random(random);
        shortest(history(random, 12, World::Tame), |steps| fail_everywhere(seed, sizes, steps))
    });
}

/// A step, or a change of the room left on the disk in bytes.
#[derive(Debug, Clone)]
enum Chore {
    Step(Step),
    Room(Option<u64>),
}

/// Walks through a history on a disk that is full at times.
fn fill(seed: u64, sizes: Sizes, chores: &[Chore]) -> Result<(), String> {
    let random = &mut Random::new(seed);
    let fs = SimFileSystem::new();
    let mut driver = lenient(&fs, sizes);
    driver.open().map_err(|e| e.to_string())?;
    let mut is_tight = false;
    for (at, chore) in chores.iter().enumerate() {
        let done = match chore {
            Chore::Room(room) => {
                fs.set_capacity(room.map(|room| fs.used_bytes() + room));
                is_tight = room.is_some();
                if is_tight { Ok(()) } else { resumes(&mut driver) }
            }
            Chore::Step(step) => match driver.step(step) {
                Err(Stop::Failed(Error::DiskFull { .. })) if is_tight => {
                    if matches!(step, Step::Restart) {
                        is_tight = false;
                        fs.set_capacity(None);
                        driver.open().map_err(|e| format!("open with room again: {e}"))?;
                    }
                    Ok(())
                }
                other => other.map_err(Stop::text),
            },
        };
        done.and_then(|()| driver.check(random)).map_err(|why| format!("chore {at}: {why}"))?;
    }
    fs.set_capacity(None);
    let candidates = Candidates::of(vec![driver.naive.clone()]);
    recover(&fs.crash(seed), sizes, &candidates).map_err(|why| format!("power loss: {why}"))?;
    recover(&fs.kill(), sizes, &candidates).map_err(|why| format!("killed: {why}"))
}

/// With room on the disk again, the next write succeeds, at the latest after maintenance.
fn resumes(driver: &mut Driver) -> Result<(), String> {
    let step = Step::Write(vec![one_point()]);
    match driver.step(&step) {
        Err(Stop::Failed(Error::DiskFull { .. })) => {
            driver.maintain().map_err(Stop::text)?;
            driver.step(&step).map_err(Stop::text)
        }
        other => other.map_err(Stop::text),
    }
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    for_seeds(150, |seed| {
        let random = &mut Random::new(seed);
        let sizes = Sizes::random(random);
        let mut chores: Vec<Chore> = history(random, 30, World::Tame).into_iter().map(Chore::Step).collect();
        for _ in 0..8 {
            let room = if random.one_in(3) { None } else { Some(random.below(2000) as u64) };
            chores.insert(random.below(chores.len() + 1), Chore::Room(room));
        }
        shortest(chores, |chores| fill(seed, sizes, chores))
    });
}

#[test]
fn a_write_that_does_not_fit_says_so() {
    let fs = SimFileSystem::new();
    let mut driver = lenient(&fs, Sizes::large());
    driver.open().unwrap();
    let random = &mut Random::new(1);
    driver.step(&Step::Write(points(random, World::Tame))).map_err(Stop::text).unwrap();
    fs.set_capacity(Some(fs.used_bytes()));
    for _ in 0..3 {
        assert!(matches!(driver.engine().write(&[one_point()]), Err(Error::DiskFull { .. })));
        driver.check(random).unwrap();
    }
    fs.set_capacity(None);
    resumes(&mut driver).unwrap();
    driver.check(random).unwrap();
}

/// A log file that is full by its header alone was begun a second time, under the name that it already had.
#[test]
fn a_log_file_without_records_is_used_when_there_is_room() {
    let fs = SimFileSystem::new();
    let mut driver = lenient(&fs, Sizes { wal_file_bytes: 1, ..Sizes::large() });
    driver.open().unwrap();
    fs.set_capacity(Some(fs.used_bytes() + 30));
    for _ in 0..2 {
        assert!(matches!(driver.engine().write(&[one_point()]), Err(Error::DiskFull { .. })));
    }
    fs.set_capacity(None);
    driver.step(&Step::Write(vec![one_point()])).map_err(Stop::text).unwrap();
    driver.check(&mut Random::new(1)).unwrap();
}
