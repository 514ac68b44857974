//! Backups: what is restored is what was there at that instant, a damaged or half backup is told from a whole one, and an archive
//! of the log takes one on to any later instant.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plimsoll_engine::env::sim::{Random, SimClock, SimFileSystem};
use plimsoll_engine::env::{FileBytes, FileSystem};
use plimsoll_engine::naive::Naive;
use plimsoll_engine::{
    ArchiveOptions, Backup, BackupPoint, BackupReport, Engine, Error, Options, Point, RestoreReport, RestoreRequest,
    Value, verify, verify_archive,
};

use crate::check::{Dump, Names};
use crate::driver::{Driver, Stop, dir};
use crate::history::{START_NS, Sizes, Step, World, history, points};
use crate::seeds::{for_seeds, shortest};

const SECOND_NS: i64 = 1_000_000_000;

/// A file that is no part of the engine, as a query layer has some.
const ATTACHED: (&str, &[u8]) = ("catalog.redb", b"definitions");

fn backup_dir(nth: usize) -> PathBuf {
    PathBuf::from(format!("/srv/backups/{nth:03}"))
}

fn restored() -> &'static Path {
    Path::new("/srv/restored/data")
}

fn archive() -> &'static Path {
    Path::new("/srv/archive")
}

fn open(fs: &SimFileSystem, dir: &Path) -> Result<Backup, Error> {
    Backup::open(fs, dir)
}

fn write(fs: &SimFileSystem, point: BackupPoint, nth: usize, base: Option<&Backup>) -> Result<BackupReport, Error> {
    let mut point = point;
    point.attach(ATTACHED.0, FileBytes::new(ATTACHED.1.to_vec()));
    point.write(fs, &backup_dir(nth), base, &mut |_| {})
}

fn back_up(engine: &Engine, fs: &SimFileSystem, nth: usize, base: Option<&Backup>) -> Result<BackupReport, Error> {
    write(fs, engine.backup_point(base, START_NS)?, nth, base)
}

fn restore(
    fs: &SimFileSystem,
    backup: &Backup,
    until_ns: Option<i64>,
    archive: Option<&Path>,
) -> Result<RestoreReport, Error> {
    let fs: Arc<dyn FileSystem> = Arc::new(fs.clone());
    backup.restore(&fs, &RestoreRequest { to: restored(), archive, until_ns }, &mut |_| {})
}

/// Opens what was restored and compares it.
fn compare(fs: &SimFileSystem, expected: &Naive, names: Names) -> Result<(), String> {
    let engine = Engine::open(restored(), Sizes::large().on(fs.clone())).map_err(|e| format!("open: {e}"))?;
    let found = Dump::read(&engine.snapshot()).map_err(|e| format!("scan: {e}"))?;
    drop(engine);
    let report = verify(fs, restored(), &mut |_| {}).map_err(|e| format!("verify: {e}"))?;
    if let Some(damage) = report.damages.first() {
        return Err(format!("verify: {damage}"));
    }
    found.differs_in(&Dump::of(expected), names).map_or(Ok(()), Err)
}

/// A copy of the disk is restored to, so that each restore finds an empty place.
fn restores(fs: &SimFileSystem, nth: usize, expected: &Naive, names: Names) -> Result<(), String> {
    let fs = fs.kill();
    let backup = open(&fs, &backup_dir(nth)).map_err(|e| format!("backup {nth}: {e}"))?;
    let checked = backup.verify(&fs, &mut |_| {});
    if let Some(damage) = checked.damages.first() {
        return Err(format!("backup {nth}: {damage}"));
    }
    restore(&fs, &backup, None, None).map_err(|e| format!("restore of {nth}: {e}"))?;
    if fs.read_all(&restored().join(ATTACHED.0)).ok().as_deref() != Some(ATTACHED.1) {
        return Err("the attached file is not there".to_owned());
    }
    compare(&fs, expected, names).map_err(|why| format!("restore of {nth}: {why}"))
}

/// A step of a history, and what is done about backups before it.
#[derive(Debug, Clone)]
enum Move {
    Step(Step),
    /// Takes a backup, based on an earlier one where there is one and `incremental`, and finishes it after so many steps.
    BackUp {
        is_incremental: bool,
        lasts: usize,
    },
}

fn walk(seed: u64, sizes: Sizes, moves: &[Move]) -> Result<(), String> {
    let fs = SimFileSystem::new();
    let mut driver = Driver::closed(&fs, sizes, Naive::default());
    driver.open().map_err(|e| e.to_string())?;
    let mut taken: Vec<Naive> = Vec::new();
    let mut under_way: Option<(BackupPoint, Option<Backup>, Naive, usize)> = None;
    for (at, step) in moves.iter().enumerate() {
        match step {
            Move::Step(step) => driver.step(step).map_err(Stop::text).map_err(|why| format!("move {at}: {why}"))?,
            Move::BackUp { is_incremental, lasts } if under_way.is_none() => {
                let base = taken.len().checked_sub(1).filter(|_| *is_incremental);
                let base = base.map(|nth| open(&fs, &backup_dir(nth))).transpose().map_err(|e| e.to_string())?;
                let point = driver.engine().backup_point(base.as_ref(), START_NS).map_err(|e| e.to_string())?;
                under_way = Some((point, base, driver.naive.clone(), *lasts));
            }
            Move::BackUp { .. } => {}
        }
        match under_way.take() {
            Some((point, base, naive, 0)) => {
                write(&fs, point, taken.len(), base.as_ref()).map_err(|e| format!("move {at}: {e}"))?;
                taken.push(naive);
            }
            Some((point, base, naive, left)) => under_way = Some((point, base, naive, left - 1)),
            None => {}
        }
    }
    driver.check(&mut Random::new(seed))?;
    driver.close();
    taken.iter().enumerate().try_for_each(|(nth, naive)| restores(&fs, nth, naive, driver.names))
}

#[test]
fn a_restored_backup_is_the_model_of_that_instant() {
    for_seeds(60, |seed| {
        let random = &mut Random::new(seed);
        let sizes = Sizes::random(random);
        let length = 10 + random.below(30);
        let mut moves = Vec::new();
        for step in history(random, length, World::Rough) {
            if random.one_in(5) {
                moves.push(Move::BackUp { is_incremental: !random.one_in(3), lasts: random.below(6) });
            }
            moves.push(Move::Step(step));
        }
        moves.push(Move::BackUp { is_incremental: random.one_in(2), lasts: 0 });
        shortest(moves, |moves| walk(seed, sizes, moves))
    });
}

/// A database with segments of two flushes, and rows in the log; a full backup, and one based on it after more was written.
fn chain() -> (SimFileSystem, Driver, Naive) {
    let fs = SimFileSystem::new();
    let mut driver = Driver::closed(&fs, Sizes::large(), Naive::default());
    driver.open().unwrap();
    let random = &mut Random::new(7);
    let mut go = |driver: &mut Driver, steps: &[bool]| {
        for is_flush in steps {
            let step = if *is_flush { Step::Flush } else { Step::Write(points(random, World::Tame)) };
            driver.step(&step).map_err(Stop::text).unwrap();
        }
    };
    go(&mut driver, &[false, true, false, true, false]);
    back_up(driver.engine(), &fs, 0, None).unwrap();
    let before = driver.naive.clone();
    go(&mut driver, &[false, true, false]);
    let base = open(&fs, &backup_dir(0)).unwrap();
    let report = back_up(driver.engine(), &fs, 1, Some(&base)).unwrap();
    assert!(report.copied_files < report.files, "an incremental backup copies what is new: {report:?}");
    (fs, driver, before)
}

fn files_in(fs: &SimFileSystem, dir: &Path) -> Vec<PathBuf> {
    fs.files().into_iter().map(|(path, _)| path).filter(|path| path.starts_with(dir)).collect()
}

fn names(error: &Error, file: &Path) -> bool {
    let text = error.to_string();
    text.contains(&*file.to_string_lossy()) || text.contains(&*file.parent().unwrap().to_string_lossy())
}

/// What is done to a file.
type Damage = fn(&SimFileSystem, &Path);

const DAMAGES: [(&str, Damage); 4] = [
    ("a bit flipped", |fs, file| fs.flip_bit(file, fs.read_all(file).unwrap().len() * 4).unwrap()),
    ("cut short", |fs, file| fs.damage(file, |bytes| bytes.truncate(bytes.len() - 1)).unwrap()),
    ("grown", |fs, file| fs.damage(file, |bytes| bytes.push(0)).unwrap()),
    ("removed", |fs, file| fs.remove(file).unwrap()),
];

#[test]
fn every_damaged_file_is_named_and_nothing_is_restored() {
    let (disk, mut driver, _) = chain();
    driver.close();
    let files = [files_in(&disk, &backup_dir(0)), files_in(&disk, &backup_dir(1))].concat();
    assert!(files.len() > 8, "{files:?}");
    let needed: Vec<PathBuf> = {
        let mut read = Vec::new();
        let backup = open(&disk, &backup_dir(1)).unwrap();
        backup
            .restore(
                &(Arc::new(disk.kill()) as Arc<dyn FileSystem>),
                &RestoreRequest { to: restored(), archive: None, until_ns: None },
                &mut |file| read.push(file.to_owned()),
            )
            .unwrap();
        read
    };
    for file in &files {
        for (what, damage) in DAMAGES {
            let fs = disk.kill();
            damage(&fs, file);
            let is_list = file.ends_with("BACKUP");
            let backup = match open(&fs, &backup_dir(1)) {
                Ok(backup) => backup,
                Err(error) => {
                    assert!(is_list && names(&error, file), "{what}: {}: {error}", file.display());
                    continue;
                }
            };
            assert!(!is_list, "{what}: {} is not missed", file.display());
            let damages = backup.verify(&fs, &mut |_| {}).damages;
            assert!(
                damages.len() == 1 && damages[0].to_string().contains(&*file.to_string_lossy()),
                "{what}: {damages:?}"
            );
            let is_needed = needed.contains(file);
            match restore(&fs, &backup, None, None) {
                Ok(_) => assert!(!is_needed, "{what}: {} was restored", file.display()),
                Err(error) => {
                    assert!(is_needed && error.to_string().contains(&*file.to_string_lossy()), "{what}: {error}");
                    assert!(files_in(&fs, Path::new("/srv/restored")).is_empty(), "{what}: something was written");
                }
            }
        }
    }
}

#[test]
fn another_backup_is_not_taken_for_the_base() {
    let (fs, driver, _) = chain();
    // A full backup in place of the one that the second is based on.
    for file in files_in(&fs, &backup_dir(0)) {
        fs.remove(&file).unwrap();
    }
    back_up(driver.engine(), &fs, 9, None).unwrap();
    for file in files_in(&fs, &backup_dir(9)) {
        let to = backup_dir(0).join(file.strip_prefix(backup_dir(9)).unwrap());
        fs.rename(&file, &to).unwrap();
    }
    let error = open(&fs, &backup_dir(1)).unwrap_err().to_string();
    assert!(error.contains("/srv/backups/000: is not the backup that /srv/backups/001 is based on"), "{error}");
}

/// A base of which a file is gone is good for nothing, and who builds on it is told.
#[test]
fn a_base_that_lacks_a_file_is_refused() {
    let (fs, driver, _) = chain();
    let segment = files_in(&fs, &backup_dir(0).join("segments")).remove(0);
    fs.remove(&segment).unwrap();
    let base = open(&fs, &backup_dir(0)).unwrap();
    let error = back_up(driver.engine(), &fs, 2, Some(&base)).unwrap_err().to_string();
    assert!(error.contains(&*segment.to_string_lossy()) && error.contains("missing in the base"), "{error}");
    assert!(files_in(&fs, &backup_dir(2)).is_empty());
}

/// Backups that were moved together find each other.
#[test]
fn a_chain_may_be_moved() {
    let (fs, mut driver, _) = chain();
    driver.close();
    fs.rename(Path::new("/srv/backups"), Path::new("/srv/elsewhere")).unwrap();
    let backup = open(&fs, Path::new("/srv/elsewhere/001")).unwrap();
    restore(&fs, &backup, None, None).unwrap();
    compare(&fs, &driver.naive, Names::Exact).unwrap();
}

#[test]
fn nothing_is_written_over() {
    let (fs, driver, _) = chain();
    let error = back_up(driver.engine(), &fs, 0, None).unwrap_err().to_string();
    assert!(error.contains("/srv/backups/000: is not empty"), "{error}");
    let backup = open(&fs, &backup_dir(1)).unwrap();
    fs.create_dir_all(restored()).unwrap();
    drop(fs.create(&restored().join("something")).unwrap());
    let error = restore(&fs, &backup, None, None).unwrap_err().to_string();
    assert!(error.contains("/srv/restored/data: is not empty"), "{error}");
    let error = Engine::open(&backup_dir(1), Sizes::large().on(fs.clone())).unwrap_err().to_string();
    assert!(error.contains("/srv/backups/001: is a backup"), "{error}");
}

/// A backup that is cut short at any operation is none, or it is whole; the database goes on either way.
#[test]
fn a_crash_leaves_no_half_backup() {
    let (disk, mut driver, _) = chain();
    driver.step(&Step::Write(points(&mut Random::new(3), World::Tame))).map_err(Stop::text).unwrap();
    driver.close();
    let naive = driver.naive.clone();
    let run = |fs: &SimFileSystem| -> Result<(), Error> {
        let engine = Engine::open(dir(), Sizes::large().on(fs.clone()))?;
        let base = open(fs, &backup_dir(1))?;
        back_up(&engine, fs, 2, Some(&base)).map(drop)
    };
    let whole = disk.kill();
    run(&whole).unwrap();
    let (mut found, mut absent) = (0, 0);
    for (number, operation) in whole.operations().iter().enumerate().filter(|(_, operation)| operation.changes()) {
        let fs = disk.kill();
        fs.crash_at(number);
        run(&fs).unwrap_err();
        for image in 0..3 {
            let after = fs.crash(image);
            let looked = match open(&after, &backup_dir(2)) {
                Ok(_) => {
                    found += 1;
                    restores(&after, 2, &naive, Names::Exact)
                }
                Err(Error::Directory { .. } | Error::Io { .. }) => {
                    absent += 1;
                    let half = Engine::open(&backup_dir(2), Sizes::large().on(after.kill()));
                    let is_refused = half.is_err() || files_in(&after, &backup_dir(2)).is_empty();
                    if is_refused { Ok(()) } else { Err("half a backup is opened".to_owned()) }
                }
                Err(error) => Err(error.to_string()),
            };
            looked.unwrap_or_else(|why| panic!("down at {number}, {operation:?}: {why}"));
            let engine = Engine::open(dir(), Sizes::large().on(after.clone())).expect("the database opens");
            let dump = Dump::read(&engine.snapshot()).expect("and is read");
            assert_eq!(dump.differs(&Dump::of(&naive)), None, "down at {number}, {operation:?}");
        }
    }
    assert!(found > 0 && absent > 0, "{found} found, {absent} absent");
}

/// A restore that is cut short at any operation leaves nothing at its destination, or all of it.
#[test]
fn a_crash_leaves_no_half_restore() {
    let (disk, mut driver, _) = chain();
    driver.close();
    let run = |fs: &SimFileSystem| restore(fs, &open(fs, &backup_dir(1))?, None, None).map(drop);
    let whole = disk.kill();
    run(&whole).unwrap();
    for (number, operation) in whole.operations().iter().enumerate().filter(|(_, operation)| operation.changes()) {
        let fs = disk.kill();
        fs.crash_at(number);
        run(&fs).unwrap_err();
        for image in 0..3 {
            let after = fs.crash(image);
            if !files_in(&after, restored()).is_empty() {
                let compared = compare(&after, &driver.naive, Names::Exact);
                compared.unwrap_or_else(|why| panic!("down at {number}, {operation:?}: {why}"));
            }
        }
    }
}

/// A full disk ends a backup, and gives back what it took.
#[test]
fn a_full_disk_ends_a_backup_and_nothing_else() {
    let (fs, mut driver, _) = chain();
    fs.set_capacity(Some(fs.used_bytes() + 100));
    let before = files_in(&fs, Path::new("/srv/backups"));
    assert!(matches!(back_up(driver.engine(), &fs, 2, None), Err(Error::DiskFull { .. })));
    assert_eq!(files_in(&fs, Path::new("/srv/backups")), before);
    fs.set_capacity(None);
    driver.step(&Step::Write(points(&mut Random::new(5), World::Tame))).map_err(Stop::text).unwrap();
    back_up(driver.engine(), &fs, 2, None).unwrap();
    driver.close();
    restores(&fs, 2, &driver.naive, Names::Exact).unwrap();
}

/// A directory at rest, also after its process was killed, is backed up without a change to it.
#[test]
fn a_directory_at_rest_is_backed_up() {
    let (fs, mut driver, _) = chain();
    let error = BackupPoint::at_rest(&fs, dir(), None, START_NS).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    driver.close();
    let fs = fs.kill();
    let base = open(&fs, &backup_dir(1)).unwrap();
    let before = files_in(&fs, dir());
    let point = BackupPoint::at_rest(&fs, dir(), Some(&base), START_NS).unwrap();
    let report = write(&fs, point, 2, Some(&base)).unwrap();
    assert!(report.copied_files < report.files);
    assert_eq!(files_in(&fs, dir()), before);
    restores(&fs, 2, &driver.naive, Names::Exact).unwrap();
    let error = BackupPoint::at_rest(&fs, Path::new("/srv"), None, START_NS).unwrap_err().to_string();
    assert!(error.contains("/srv: is no data directory"), "{error}");
}

/// A database with an archive, written to for some time: what it held at each instant, and one backup from early on.
struct Archived {
    fs: SimFileSystem,
    backup: Backup,
    states: Vec<(i64, Naive)>,
}

fn options(fs: &SimFileSystem, clock: &SimClock, sizes: Sizes) -> Options {
    let archive = ArchiveOptions { dir: archive().to_owned(), interval_ns: 3 * SECOND_NS };
    Options { clock: Some(Arc::new(clock.clone())), archive: Some(archive), ..sizes.on(fs.clone()) }
}

fn archived(seed: u64, sizes: Sizes) -> Result<Archived, String> {
    let random = &mut Random::new(seed);
    let (mut fs, clock) = (SimFileSystem::new(), SimClock::new(START_NS));
    let mut engine = Engine::open(dir(), options(&fs, &clock, sizes)).map_err(|e| e.to_string())?;
    let mut naive = Naive::default();
    let mut states = Vec::new();
    let mut backup = None;
    for at in 0..30 {
        clock.advance(SECOND_NS);
        let points = points(random, World::Tame);
        let mut written = engine.write(&points);
        while matches!(written, Err(Error::Busy { .. })) {
            engine.maintain(states.len() as i64).map_err(|e| e.to_string())?;
            written = engine.write(&points);
        }
        written.map_err(|e| e.to_string())?;
        naive.write(&points);
        let now_ns = plimsoll_engine::env::Clock::now_ns(&clock);
        if at == 4 {
            let point = engine.backup_point(None, now_ns).map_err(|e| e.to_string())?;
            write(&fs, point, 0, None).map_err(|e| e.to_string())?;
            backup = Some(open(&fs, &backup_dir(0)).map_err(|e| e.to_string())?);
        }
        if backup.is_some() {
            states.push((now_ns, naive.clone()));
        }
        match random.below(4) {
            0 => engine.flush().map_err(|e| e.to_string())?,
            1 => drop(engine.maintain(now_ns).map_err(|e| e.to_string())?),
            2 if random.one_in(3) => {
                // The process is killed, or power fails, and the next one goes on.
                fs = if random.one_in(2) { fs.kill() } else { fs.crash(random.bits()) };
                drop(engine);
                engine = Engine::open(dir(), options(&fs, &clock, sizes)).map_err(|e| e.to_string())?;
            }
            _ => {}
        }
    }
    engine.archive().map_err(|e| e.to_string())?;
    drop(engine);
    Ok(Archived { fs: fs.kill(), backup: backup.ok_or("no backup")?, states })
}

#[test]
fn an_archive_takes_a_backup_to_any_later_instant() {
    for_seeds(15, |seed| {
        let sizes = Sizes { memtable_limit_bytes: 64 << 20, ..Sizes::random(&mut Random::new(seed)) };
        let Archived { fs, backup, states } = archived(seed, sizes)?;
        let checked = verify_archive(&fs, archive(), &mut |_| {}).map_err(|e| e.to_string())?;
        if let Some(damage) = checked.damages.first() {
            return Err(damage.to_string());
        }
        for (nth, (at_ns, naive)) in states.iter().enumerate() {
            let fs = fs.kill();
            let restored = restore(&fs, &backup, Some(at_ns + SECOND_NS / 2), Some(archive()));
            let report = restored.map_err(|e| format!("to {at_ns}: {e}"))?;
            // Writes of which nothing was taken leave no record.
            let is_last = states[nth..].iter().all(|(_, later)| Dump::of(later) == Dump::of(naive));
            if report.is_complete && is_last || !report.is_complete && !is_last {
                return Err(format!("to {at_ns}: {report:?}"));
            }
            compare(&fs, naive, Names::Exact).map_err(|why| format!("to {at_ns}: {why}"))?;
        }
        let (_, last) = states.last().ok_or("no state")?;
        restore(&fs, &backup, None, Some(archive())).map_err(|e| e.to_string())?;
        compare(&fs, last, Names::Exact)
    });
}

#[test]
fn a_broken_archive_is_found_before_anything_is_written() {
    let sizes = Sizes { wal_file_bytes: 300, ..Sizes::large() };
    let Archived { fs: disk, backup, states } = archived(1, sizes).unwrap();
    let files = files_in(&disk, archive());
    assert!(files.len() > 5, "{files:?}");
    let first_lsn = |file: &Path| file.file_name().unwrap().to_string_lossy()[..20].parse::<u64>().unwrap();
    let needed: Vec<&PathBuf> = files.iter().filter(|file| first_lsn(file) > backup.lsn()).collect();
    for (nth, file) in needed.iter().enumerate() {
        for (what, damage) in DAMAGES {
            let is_last = nth + 1 == needed.len();
            if is_last && what == "removed" {
                continue;
            }
            let fs = disk.kill();
            damage(&fs, file);
            let checked = verify_archive(&fs, archive(), &mut |_| {}).unwrap();
            let name = file.file_name().unwrap().to_string_lossy();
            let next = needed.get(nth + 1).map(|file| file.file_name().unwrap().to_string_lossy());
            let told = |error: &Error| {
                let text = error.to_string();
                text.contains(&*name) || what == "removed" && next.as_ref().is_some_and(|next| text.contains(&**next))
            };
            assert!(checked.damages.iter().any(told), "{what}: {name}: {:?}", checked.damages);
            let error = restore(&fs, &backup, None, Some(archive())).unwrap_err();
            assert!(told(&error), "{what}: {name}: {error}");
            assert!(files_in(&fs, Path::new("/srv/restored")).is_empty(), "{what}: something was written");
        }
    }
    let refused = |until_ns, archive| restore(&disk.kill(), &backup, Some(until_ns), archive).unwrap_err().to_string();
    let early = refused(states[0].0 - 1, Some(archive()));
    assert!(early.contains("was taken after the instant"), "{early}");
    let alone = refused(states[0].0 + 1, None);
    assert!(alone.contains("only with an archive"), "{alone}");
}

/// An archive that cannot be written to keeps the log, and nothing else waits for it.
#[test]
fn the_log_waits_for_a_full_archive() {
    let (fs, clock) = (SimFileSystem::new(), SimClock::new(START_NS));
    let sizes = Sizes { wal_file_bytes: 1, ..Sizes::large() };
    let engine = Engine::open(dir(), options(&fs, &clock, sizes)).unwrap();
    let random = &mut Random::new(1);
    // A file where the archive should be.
    fs.create_dir_all(Path::new("/srv")).unwrap();
    drop(fs.create(archive()).unwrap());
    for _ in 0..5 {
        engine.write(&points(random, World::Tame)).unwrap();
        clock.advance(SECOND_NS);
    }
    engine.flush().unwrap();
    let kept = engine.stats().wal_files;
    assert!(kept >= 5, "{kept}");
    assert!(engine.maintain(START_NS).is_err());
    fs.remove(archive()).unwrap();
    engine.maintain(START_NS).unwrap();
    engine.archive().unwrap();
    assert_eq!(engine.stats().wal_files, 0);
    assert!(verify_archive(&fs, archive(), &mut |_| {}).unwrap().damages.is_empty());
}

/// A database that was restored to an earlier instant would write other records over those of the archive.
#[test]
fn a_restored_database_wants_an_archive_of_its_own() {
    let Archived { fs, backup, states } = archived(1, Sizes::large()).unwrap();
    restore(&fs, &backup, Some(states[3].0), Some(archive())).unwrap();
    let with_archive = |dir: &Path| {
        let archive = Some(ArchiveOptions { dir: dir.to_owned(), interval_ns: SECOND_NS });
        Engine::open(restored(), Options { archive, ..Sizes::large().on(fs.clone()) })
    };
    let error = with_archive(archive()).unwrap_err().to_string();
    assert!(error.contains("/srv/archive: holds records up to"), "{error}");
    with_archive(Path::new("/srv/second archive")).unwrap();
}

/// Two databases must not share an archive: the second is told, and nothing is overwritten.
#[test]
fn an_archive_is_that_of_one_database() {
    let (fs, clock) = (SimFileSystem::new(), SimClock::new(START_NS));
    let one = Engine::open(dir(), options(&fs, &clock, Sizes::large())).unwrap();
    let other = Engine::open(Path::new("/srv/other"), options(&fs, &clock, Sizes::large())).unwrap();
    for (engine, value) in [(&one, 1), (&other, 2)] {
        let fields = vec![("usage".into(), Value::Integer(value))];
        engine.write(&[Point { table: "cpu".into(), tags: Vec::new(), fields, time_ns: START_NS }]).unwrap();
    }
    one.archive().unwrap();
    let file = files_in(&fs, archive()).remove(0);
    let before = fs.read_all(&file).unwrap();
    let error = other.archive().unwrap_err().to_string();
    assert!(error.contains(&*file.to_string_lossy()) && error.contains("holds other records"), "{error}");
    assert_eq!(fs.read_all(&file).unwrap(), before);
    drop(other);
    let fresh = Engine::open(Path::new("/srv/fresh"), options(&fs, &clock, Sizes::large())).unwrap_err().to_string();
    assert!(fresh.contains("/srv/archive: holds records up to"), "{fresh}");
}
