//! Many threads: counts never fall or double, batches are whole, and one sync may acknowledge many writers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use plimsoll_engine::env::sim::{Random, SimFileSystem};
use plimsoll_engine::{Engine, Error, Point, ScanRequest, Snapshot, Value};

use crate::driver::dir;
use crate::history::{START_NS, Sizes};
use crate::seeds::for_seeds;

const WRITERS: usize = 4;
const READERS: usize = 2;
const BATCH_POINTS: usize = 5;

/// A batch of one writer: points of two tables and several series that all carry the batch's number.
fn batch(writer: usize, number: usize) -> Vec<Point<'static>> {
    let point = |at: usize| Point {
        table: if at == 0 { "side".into() } else { "main".into() },
        tags: vec![("writer".into(), writer.to_string().into()), ("lane".into(), (at % 2).to_string().into())],
        fields: vec![
            ("batch".into(), Value::Integer(number as i64)),
            ("writer_number".into(), Value::Integer(writer as i64)),
        ],
        time_ns: START_NS + (number * BATCH_POINTS + at) as i64,
    };
    (0..BATCH_POINTS).map(point).collect()
}

/// Points found per (writer, batch).
fn counts(snapshot: &Snapshot) -> Result<BTreeMap<(usize, usize), usize>, String> {
    let mut counts = BTreeMap::new();
    for table in snapshot.tables() {
        let columns = vec!["writer_number".to_owned(), "batch".to_owned()];
        let request = ScanRequest { parts_max: 2, ..ScanRequest::new(&*table.name, columns) };
        for batch in snapshot.scan(&request).map_err(|e| e.to_string())?.into_iter().flatten() {
            let batch = batch.map_err(|e| e.to_string())?;
            let column = |at: usize| batch.column(at).as_primitive::<Int64Type>().values();
            for (writer, number) in column(0).iter().zip(column(1)) {
                *counts.entry((*writer as usize, *number as usize)).or_default() += 1;
            }
        }
    }
    Ok(counts)
}

/// Every batch found is whole, and all that were acknowledged are found.
fn check(counts: &BTreeMap<(usize, usize), usize>, acknowledged: &[usize]) -> Result<(), String> {
    if let Some((batch, count)) = counts.iter().find(|(_, count)| **count != BATCH_POINTS) {
        return Err(format!("{count} points of (writer, batch) {batch:?}"));
    }
    for (writer, batches) in acknowledged.iter().enumerate() {
        if let Some(number) = (0..*batches).find(|number| !counts.contains_key(&(writer, *number))) {
            return Err(format!("batch {number} of writer {writer} is missing, {batches} were acknowledged"));
        }
    }
    Ok(())
}

/// Writes batches until the machine goes down; a full memtable waits for maintenance.
fn write(engine: &Engine, writer: usize, batches: usize, acknowledged: &AtomicUsize) -> Result<(), Error> {
    for number in 0..batches {
        loop {
            match engine.write(&batch(writer, number)) {
                Err(Error::Busy { .. }) => drop(engine.maintain(START_NS)?),
                other => break assert_eq!(other?.accepted, BATCH_POINTS),
            }
        }
        acknowledged.store(number + 1, Ordering::SeqCst);
    }
    Ok(())
}

/// What is acknowledged before a snapshot is in it, and nothing that was seen is gone.
fn read(engine: &Engine, acknowledged: &[AtomicUsize], done: &AtomicBool) -> Result<(), String> {
    let mut seen = 0;
    while !done.load(Ordering::SeqCst) {
        let before: Vec<usize> = acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        let counts = counts(&engine.snapshot())?;
        check(&counts, &before)?;
        if counts.len() < seen {
            return Err(format!("{} batches, {seen} before", counts.len()));
        }
        seen = counts.len();
    }
    Ok(())
}

/// Maintains and flushes for as long as others write.
fn maintain(engine: &Engine, done: &AtomicBool) -> Result<(), Error> {
    let mut random = Random::new(0);
    while !done.load(Ordering::SeqCst) {
        if random.one_in(5) {
            engine.flush()?;
        }
        engine.maintain(START_NS)?;
        std::thread::yield_now();
    }
    Ok(())
}

/// All threads at once; gives the batches acknowledged per writer, and the first thing that was wrong.
fn run(fs: &SimFileSystem, sizes: Sizes, batches: usize) -> (Vec<usize>, Result<(), String>) {
    let acknowledged: Vec<AtomicUsize> = (0..WRITERS).map(|_| AtomicUsize::new(0)).collect();
    let counts = || acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect();
    let is_down = || fs.is_down();
    let (done, engine) = match Engine::open(dir(), sizes.on(fs.clone())) {
        Ok(engine) => (AtomicBool::new(false), engine),
        Err(_) if is_down() => return (counts(), Ok(())),
        Err(e) => return (counts(), Err(e.to_string())),
    };
    let unless_down = |answer: Result<(), Error>| if is_down() { Ok(()) } else { answer.map_err(|e| e.to_string()) };
    let result = std::thread::scope(|scope| {
        let (engine, done, acknowledged) = (&engine, &done, &acknowledged);
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(|| read(engine, acknowledged, done))).collect();
        let maintainer = scope.spawn(|| maintain(engine, done));
        let write = |writer: usize| move || write(engine, writer, batches, &acknowledged[writer]);
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(write(writer))).collect();
        let written: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::SeqCst);
        written.into_iter().try_for_each(|writer| unless_down(writer.expect("a writer panicked")))?;
        unless_down(maintainer.join().expect("maintenance panicked"))?;
        readers.into_iter().try_for_each(|reader| reader.join().expect("a reader panicked"))
    });
    (counts(), result)
}

fn reopened(fs: &SimFileSystem, sizes: Sizes, acknowledged: &[usize]) -> Result<(), String> {
    let engine = Engine::open(dir(), sizes.on(fs.clone())).map_err(|e| format!("it does not open: {e}"))?;
    check(&counts(&engine.snapshot())?, acknowledged)
}

#[test]
fn counts_never_fall_or_double() {
    for_seeds(6, |seed| {
        let fs = SimFileSystem::new();
        let sizes = Sizes::random(&mut Random::new(seed));
        let (acknowledged, result) = run(&fs, sizes, 60);
        result?;
        if acknowledged != [60; WRITERS] {
            return Err(format!("acknowledged {acknowledged:?}"));
        }
        reopened(&fs, sizes, &acknowledged)
    });
}

#[test]
fn acknowledged_by_a_shared_sync_survives() {
    for_seeds(60, |seed| {
        let random = &mut Random::new(seed);
        let (fs, sizes) = (SimFileSystem::new(), Sizes::random(random));
        fs.crash_at(random.below(400));
        let (acknowledged, result) = run(&fs, sizes, 40);
        result?;
        reopened(&fs.crash(seed), sizes, &acknowledged).map_err(|why| format!("power loss: {why}"))?;
        reopened(&fs.kill(), sizes, &acknowledged).map_err(|why| format!("killed: {why}"))
    });
}
