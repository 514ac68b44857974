//! Walks the engine and its plain twin through a history, side by side.

use std::collections::BTreeSet;
use std::path::Path;

use plimsoll_engine::env::sim::{Random, SimFileSystem};
use plimsoll_engine::naive::Naive;
use plimsoll_engine::{Engine, Error, Point, Snapshot, TableId, Written};

use crate::check::{self, Dump, Names};
use crate::history::{Deleting, START_NS, Sizes, Step};

/// Steps of maintenance after which there must be none left for so small a world.
const MAINTENANCE_MAX: usize = 10_000;

/// How far the clock goes on at a time: longer than small partitions have to rest before they settle.
const WAIT_NS: i64 = 70 * 1_000_000_000;

/// The data directory of every test.
pub(crate) fn dir() -> &'static Path {
    Path::new("/srv/plimsoll/data")
}

/// Why a step did not end well.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The engine refused; the plain twin was left as it was.
    Failed(Error),
    /// The engine did something else than the plain twin.
    Wrong(String),
}

impl Stop {
    /// For histories in which nothing may fail.
    pub(crate) fn text(self) -> String {
        match self {
            Stop::Failed(error) => format!("the engine failed: {error:?}"),
            Stop::Wrong(why) => why,
        }
    }
}

/// An engine on a simulated disk, and what it should hold.
pub(crate) struct Driver {
    pub(crate) fs: SimFileSystem,
    pub(crate) naive: Naive,
    /// Which names the engine must show.
    pub(crate) names: Names,
    sizes: Sizes,
    engine: Option<Engine>,
    held: Vec<(Snapshot, Naive)>,
    dropped: BTreeSet<TableId>,
    now_ns: i64,
}

impl Driver {
    /// A driver of an engine that is not open yet.
    pub(crate) fn closed(fs: &SimFileSystem, sizes: Sizes, naive: Naive) -> Driver {
        let (held, dropped) = (Vec::new(), BTreeSet::new());
        Driver { fs: fs.clone(), naive, names: Names::Exact, sizes, engine: None, held, dropped, now_ns: START_NS }
    }

    /// Opens the engine, after closing it when it is open.
    pub(crate) fn open(&mut self) -> Result<(), Error> {
        self.close();
        self.engine = Some(Engine::open(dir(), self.sizes.on(self.fs.clone()))?);
        Ok(())
    }

    pub(crate) fn close(&mut self) {
        self.engine = None;
    }

    /// The open engine.
    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("opened")
    }

    /// Everything that the engine reads now.
    pub(crate) fn dump(&self) -> Result<Dump, Error> {
        Dump::read(&self.engine().snapshot())
    }

    /// Compares the engine and every held snapshot with their plain twins.
    pub(crate) fn check(&self, random: &mut Random) -> Result<(), String> {
        check::same(&self.engine().snapshot(), &self.naive, self.names, random)?;
        for (snapshot, naive) in &self.held {
            check::same(snapshot, naive, self.names, random).map_err(|why| format!("snapshot held: {why}"))?;
        }
        Ok(())
    }

    /// Performs one step on both.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), Stop> {
        let mut after = self.naive.clone();
        let expected = apply(&mut after, step);
        match step {
            Step::Write(points) => self.write(points, &expected)?,
            Step::CreateTable(name, columns) => {
                self.same_refusal(self.when_not_busy(|engine| engine.create_table(name, columns))?, &expected)?;
            }
            Step::AddColumns(name, columns) => {
                self.same_refusal(self.when_not_busy(|engine| engine.add_columns(name, columns))?, &expected)?;
            }
            Step::DropTable(name) => self.drop_table(name, &expected)?,
            Step::Delete(deleting) => self.delete(deleting, &expected)?,
            Step::Flush => self.engine().flush().map_err(Stop::Failed)?,
            Step::Maintain => self.maintain()?,
            Step::MaintainOnce => drop(self.engine().maintain(self.now_ns).map_err(Stop::Failed)?),
            Step::Wait => self.now_ns += WAIT_NS,
            Step::Restart => self.open().map_err(Stop::Failed)?,
            Step::Hold => self.held.push((self.engine().snapshot(), self.naive.clone())),
            Step::Release => drop(self.held.drain(..1.min(self.held.len()))),
        }
        self.naive = after;
        match self.engine().tables().iter().find(|table| self.dropped.contains(&table.id)) {
            Some(table) => Err(Stop::Wrong(format!("{:?} of a dropped table is given to {:?}", table.id, table.name))),
            None => Ok(()),
        }
    }

    fn delete(&self, deleting: &Deleting, expected: &Expected) -> Result<(), Stop> {
        let Deleting { table, time, tags, predicates } = deleting;
        let found = match self.engine().delete(table, *time, tags, predicates) {
            Ok(rows) => Expected { accepted: rows as usize, refusals: Vec::new() },
            Err(error @ Error::Schema(_)) => Expected { accepted: 0, refusals: vec![(0, error.to_string())] },
            Err(error) => return Err(Stop::Failed(error)),
        };
        // A name that a refused write left behind is no error, and no row has a value there.
        let is_unknown = expected.refusals.first().is_some_and(|(_, why)| why.contains("does not exist"));
        if found == *expected || is_unknown && found.accepted == 0 {
            return Ok(());
        }
        Err(Stop::Wrong(format!("the delete was answered {found:?}, not {expected:?}")))
    }

    fn drop_table(&mut self, name: &str, expected: &Expected) -> Result<(), Stop> {
        let table = self.engine().table(name);
        self.same_refusal(self.when_not_busy(|engine| engine.drop_table(name))?, expected)?;
        self.dropped.extend(table.map(|table| table.id));
        Ok(())
    }

    /// Calls the engine; a full memtable is flushed first.
    fn when_not_busy<T>(&self, call: impl Fn(&Engine) -> Result<T, Error>) -> Result<Result<T, Error>, Stop> {
        let answer = call(self.engine());
        if !matches!(answer, Err(Error::Busy { .. })) {
            return Ok(answer);
        }
        self.maintain()?;
        Ok(call(self.engine()))
    }

    fn write(&mut self, points: &[Point<'_>], expected: &Expected) -> Result<(), Stop> {
        let answer = self.when_not_busy(|engine| engine.write(points))?;
        let found = Expected::of(&answer.map_err(Stop::Failed)?);
        if found == *expected {
            return Ok(());
        }
        Err(Stop::Wrong(format!("the write was answered\n  {found:?}\nnot\n  {expected:?}")))
    }

    /// Maintenance until nothing more waits.
    pub(crate) fn maintain(&self) -> Result<(), Stop> {
        for _ in 0..MAINTENANCE_MAX {
            if !self.engine().maintain(self.now_ns).map_err(Stop::Failed)?.more {
                return Ok(());
            }
        }
        Err(Stop::Wrong("maintenance never ends".to_owned()))
    }

    fn same_refusal(&self, answer: Result<(), Error>, expected: &Expected) -> Result<(), Stop> {
        let found = match answer {
            Err(error @ Error::Schema(_)) => Expected { accepted: 0, refusals: vec![(0, error.to_string())] },
            other => other.map(|()| Expected::default()).map_err(Stop::Failed)?,
        };
        if found == *expected {
            return Ok(());
        }
        Err(Stop::Wrong(format!("answered {found:?}, not {expected:?}")))
    }
}

/// What a step answers: points accepted, and refusals by position.
///
/// A point that is wrong in two ways may be refused for either: a column given twice, or something else.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    accepted: usize,
    refusals: Vec<(usize, String)>,
}

impl PartialEq for Expected {
    fn eq(&self, other: &Expected) -> bool {
        let alike = |one: &(usize, String), other: &(usize, String)| {
            let is_doubled = |refusal: &(usize, String)| refusal.1.ends_with("is given twice");
            one.0 == other.0 && (one.1 == other.1 || is_doubled(one) || is_doubled(other))
        };
        self.accepted == other.accepted
            && self.refusals.len() == other.refusals.len()
            && self.refusals.iter().zip(&other.refusals).all(|(one, other)| alike(one, other))
    }
}

impl Expected {
    fn of(written: &Written) -> Expected {
        let refusals = written.rejected.iter().map(|rejected| (rejected.point, rejected.error.to_string()));
        Expected { accepted: written.accepted, refusals: refusals.collect() }
    }
}

/// Performs one step on the plain twin.
pub(crate) fn apply(naive: &mut Naive, step: &Step) -> Expected {
    let refused = |answer: Result<(), Error>| match answer {
        Ok(()) => Expected::default(),
        Err(error) => Expected { accepted: 0, refusals: vec![(0, error.to_string())] },
    };
    match step {
        Step::Write(points) => Expected::of(&naive.write(points)),
        Step::CreateTable(name, columns) => refused(naive.create_table(name, columns)),
        Step::AddColumns(name, columns) => refused(naive.add_columns(name, columns)),
        Step::DropTable(name) => refused(naive.drop_table(name)),
        Step::Delete(Deleting { table, time, tags, predicates }) => {
            match naive.delete(table, *time, tags, predicates) {
                Ok(rows) => Expected { accepted: rows as usize, refusals: Vec::new() },
                Err(error) => refused(Err(error)),
            }
        }
        Step::Flush | Step::Maintain | Step::MaintainOnce | Step::Wait | Step::Restart | Step::Hold | Step::Release => {
            Expected::default()
        }
    }
}
