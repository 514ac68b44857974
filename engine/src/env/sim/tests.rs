//! The rules of the simulated disk, one by one, and two small log writers, of which the careless one must be caught.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::*;
use crate::env::{AppendFile, FileSystem, LockAttempt};

const SEEDS: u64 = 400;

fn dir() -> &'static Path {
    Path::new("/data")
}

/// A disk with a durable directory.
fn disk() -> SimFileSystem {
    let fs = SimFileSystem::new();
    fs.create_dir_all(dir()).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs
}

/// Creates a file with durable bytes and a durable name.
fn put(fs: &SimFileSystem, name: &str, bytes: &[u8]) -> Box<dyn AppendFile> {
    let mut file = fs.create(&dir().join(name)).unwrap();
    file.append(bytes).unwrap();
    file.sync().unwrap();
    fs.sync_dir(dir()).unwrap();
    file
}

/// What a file holds after each of many power losses.
fn found(fs: &SimFileSystem, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS).map(|seed| fs.crash(seed).read_all(&dir().join(name)).ok()).collect()
}

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|e| e.kind())
}

#[test]
fn synced_bytes_stay_and_others_may_not() {
    let fs = disk();
    let mut file = put(&fs, "a", b"kept");
    file.append(b" maybe").unwrap();
    assert_eq!(fs.read_all(&dir().join("a")).unwrap(), b"kept maybe");
    let found = found(&fs, "a");
    assert!(found.iter().all(|bytes| bytes.as_ref().unwrap().starts_with(b"kept")));
    for possible in [&b"kept"[..], b"kept maybe", b"kept\0\0\0\0\0\0"] {
        assert!(found.contains(&Some(possible.to_vec())), "{possible:?}");
    }
    file.sync().unwrap();
    assert_eq!(self::found(&fs, "a"), BTreeSet::from([Some(b"kept maybe".to_vec())]));
}

#[test]
fn unsynced_bytes_tear_at_sectors_and_lose_their_order() {
    let fs = disk();
    let mut file = put(&fs, "a", &[1; 100]);
    file.append(&[2; 2000]).unwrap();
    let (mut torn, mut later_without_earlier, mut garbage) = (false, false, false);
    for bytes in found(&fs, "a").into_iter().flatten() {
        assert!(bytes[..100] == [1; 100]);
        assert!(bytes.len() == 2100 || bytes.len() == 100 || bytes.len().is_multiple_of(SECTOR_BYTES));
        torn |= bytes.len() < 2100 && bytes.len() > 100;
        later_without_earlier |= bytes.len() > 1024 && bytes[512..1024] == [0; 512] && bytes[1024] == 2;
        garbage |= bytes[100..].iter().any(|b| *b > 2);
        assert!(bytes[100..bytes.len().min(512)].iter().all(|b| *b == 0 || *b == 2), "one sector, one of two states");
    }
    assert!(torn && later_without_earlier && garbage);
}

#[test]
fn a_power_loss_may_cut_between_two_appends_in_one_sector() {
    let fs = disk();
    let mut file = put(&fs, "a", b"");
    file.append(b"one").unwrap();
    file.append(b"two").unwrap();
    assert!(found(&fs, "a").contains(&Some(b"one".to_vec())));
}

#[test]
fn a_name_is_durable_when_its_directory_is_synced() {
    let fs = disk();
    let mut file = fs.create(&dir().join("a")).unwrap();
    file.append(b"x").unwrap();
    file.sync().unwrap();
    assert_eq!(found(&fs, "a"), BTreeSet::from([None, Some(b"x".to_vec())]));
    fs.sync_dir(dir()).unwrap();
    assert_eq!(found(&fs, "a"), BTreeSet::from([Some(b"x".to_vec())]));
    fs.remove(&dir().join("a")).unwrap();
    assert_eq!(found(&fs, "a"), BTreeSet::from([None, Some(b"x".to_vec())]));
    fs.sync_dir(dir()).unwrap();
    assert_eq!(found(&fs, "a"), BTreeSet::from([None]));
}

#[test]
fn a_rename_is_old_or_new() {
    let fs = disk();
    put(&fs, "a", b"old");
    put(&fs, "b", b"new");
    fs.rename(&dir().join("b"), &dir().join("a")).unwrap();
    let names = |seed| {
        let after = fs.crash(seed);
        (after.read_all(&dir().join("a")).unwrap(), after.read_all(&dir().join("b")).ok())
    };
    let found: BTreeSet<_> = (0..SEEDS).map(names).collect();
    assert_eq!(found, BTreeSet::from([(b"old".to_vec(), Some(b"new".to_vec())), (b"new".to_vec(), None)]));
    fs.sync_dir(dir()).unwrap();
    assert_eq!(self::found(&fs, "a"), BTreeSet::from([Some(b"new".to_vec())]));
}

#[test]
fn directory_changes_lose_their_order() {
    let fs = disk();
    fs.create(&dir().join("first")).unwrap();
    fs.create(&dir().join("second")).unwrap();
    let found: BTreeSet<_> = (0..SEEDS).map(|seed| fs.crash(seed).list(dir()).unwrap().len() * 10).collect();
    assert_eq!(found, BTreeSet::from([0, 10, 20]));
    assert!((0..SEEDS).any(|seed| fs.crash(seed).list(dir()).unwrap() == ["second"]));
}

#[test]
fn a_directory_that_was_not_synced_takes_its_files_along() {
    let fs = SimFileSystem::new();
    fs.create_dir_all(&dir().join("wal")).unwrap();
    let mut file = fs.create(&dir().join("wal/1")).unwrap();
    file.append(b"x").unwrap();
    file.sync().unwrap();
    fs.sync_dir(&dir().join("wal")).unwrap();
    fs.sync_dir(dir()).unwrap();
    assert!((0..SEEDS).any(|seed| fs.crash(seed).files().is_empty()));
    fs.sync_dir(Path::new("/")).unwrap();
    assert!((0..SEEDS).all(|seed| fs.crash(seed).files().len() == 1));
}

#[test]
fn a_truncation_is_durable_when_it_returns() {
    let fs = disk();
    drop(put(&fs, "a", b"long"));
    let before = fs.operation_count();
    fs.crash_at(before + 1);
    assert!(fs.truncate(&dir().join("a"), 1).is_err());
    assert_eq!(found(&fs, "a"), BTreeSet::from([Some(b"l".to_vec()), Some(b"long".to_vec())]));
    let fs = fs.kill();
    fs.truncate(&dir().join("a"), 1).unwrap();
    assert_eq!(found(&fs, "a"), BTreeSet::from([Some(b"l".to_vec())]));
}

#[test]
fn one_seed_is_one_disk() {
    let fs = disk();
    let mut file = put(&fs, "a", b"");
    file.append(&[7; 5000]).unwrap();
    for seed in 0..50 {
        assert_eq!(
            fs.crash(seed).read_all(&dir().join("a")).unwrap(),
            fs.crash(seed).read_all(&dir().join("a")).unwrap()
        );
    }
}

#[test]
fn everything_fails_from_the_crash_on() {
    let fs = disk();
    let mut file = put(&fs, "a", b"x");
    let numbers = fs.operation_count();
    fs.crash_at(numbers + 1);
    file.append(b"y").unwrap();
    assert!(file.sync().is_err());
    assert!(file.append(b"z").is_err() && fs.list(dir()).is_err() && fs.remove(&dir().join("a")).is_err());
    assert_eq!(fs.operation_count(), numbers + 1);
    assert_eq!(fs.crash(1).operation_count(), 0);
    assert!(fs.crash(1).list(dir()).is_ok());
}

#[test]
fn a_killed_process_leaves_its_bytes_to_be_read_but_not_synced() {
    let fs = disk();
    let mut file = put(&fs, "a", b"x");
    file.append(b"y").unwrap();
    let after = fs.kill();
    assert_eq!(&*after.read(&dir().join("a")).unwrap(), b"xy");
    assert!(found(&after, "a").contains(&Some(b"x".to_vec())));
}

#[test]
fn operations_are_numbered_and_named() {
    let fs = disk();
    drop(put(&fs, "a", b"x"));
    let kinds: Vec<_> = fs.operations().iter().map(|o| o.kind).collect();
    use OperationKind::*;
    assert_eq!(kinds, [CreateDir, SyncDir, Create, Append, Sync, SyncDir]);
    assert_eq!(fs.operations()[3].path, dir().join("a"));
    assert!(fs.operations().iter().all(Operation::changes));
}

#[test]
fn operations_fail_as_told() {
    let fs = disk();
    let mut file = put(&fs, "a", b"x");
    let fail_next = |fault| fs.fail_at(fs.operation_count(), fault);
    fail_next(Fault::Enospc);
    assert_eq!(kind(file.append(&[1; 100])), Some(io::ErrorKind::StorageFull));
    fail_next(Fault::Eio);
    assert_eq!(kind(fs.list(dir())), Some(io::ErrorKind::Other));
    fail_next(Fault::FailedRename);
    assert!(fs.rename(&dir().join("a"), &dir().join("b")).is_err());
    assert_eq!(fs.list(dir()).unwrap(), ["a"]);
    let before = fs.files()[0].1;
    fail_next(Fault::ShortWrite);
    assert!(file.append(&[1; 100]).is_err());
    assert_eq!(fs.files()[0].1, before + 50);
}

#[test]
fn after_a_failed_sync_the_next_one_lies() {
    let fs = disk();
    let mut file = put(&fs, "a", b"first");
    file.append(b"lost?").unwrap();
    fs.fail_at(fs.operation_count(), Fault::FailedSync);
    assert!(file.sync().is_err());
    file.append(b"later").unwrap();
    file.sync().unwrap();
    let found = found(&fs, "a");
    assert_eq!(found, BTreeSet::from([Some(b"first\0\0\0\0\0later".to_vec()), Some(b"firstlost?later".to_vec())]));
}

#[test]
fn a_failed_directory_sync_makes_nothing_durable() {
    let fs = disk();
    fs.create(&dir().join("a")).unwrap();
    fs.fail_at(fs.operation_count(), Fault::FailedSync);
    assert!(fs.sync_dir(dir()).is_err());
    assert!((0..SEEDS).any(|seed| fs.crash(seed).files().is_empty()));
    fs.sync_dir(dir()).unwrap();
    assert!((0..SEEDS).all(|seed| fs.crash(seed).files().len() == 1));
}

#[test]
fn a_full_disk_takes_what_fits_and_can_be_freed() {
    let fs = disk();
    let mut file = put(&fs, "a", &[0; 60]);
    drop(put(&fs, "b", &[0; 30]));
    fs.set_capacity(Some(100));
    assert_eq!(kind(file.append(&[0; 20])), Some(io::ErrorKind::StorageFull));
    assert_eq!(fs.used_bytes(), 100);
    fs.remove(&dir().join("b")).unwrap();
    file.append(&[0; 20]).unwrap();
    fs.set_capacity(Some(10));
    assert_eq!(kind(file.append(&[0; 1])), Some(io::ErrorKind::StorageFull));
    fs.set_capacity(None);
    file.append(&[0; 1000]).unwrap();
}

#[test]
fn files_rot() {
    let fs = disk();
    let bytes: Vec<u8> = (0..1200).map(|at| (at / 100) as u8).collect();
    drop(put(&fs, "a", &bytes));
    let path = dir().join("a");
    let held = fs.read(&path).unwrap();
    fs.flip_bit(&path, 8 * 1100 + 7).unwrap();
    assert_eq!(fs.read_all(&path).unwrap()[1100], 11 | 128);
    fs.flip_bit(&path, 8 * 1100 + 7).unwrap();
    fs.swap_blocks(&path, 512, 1, 0).unwrap();
    assert_eq!(fs.read_all(&path).unwrap()[512..1024], bytes[..512]);
    fs.zero_sector(&path, 2).unwrap();
    assert_eq!(fs.read_all(&path).unwrap()[1024..], [0; 176]);
    fs.zero_sector(&path, 3).unwrap();
    assert_eq!(*held, *bytes, "what was read stays");
    assert_eq!(fs.crash(1).read_all(&path).unwrap(), fs.read_all(&path).unwrap(), "rot is durable");
    assert!(fs.flip_bit(&dir().join("no"), 0).is_err());
}

#[test]
fn a_lock_is_held_until_dropped_or_down() {
    let fs = disk();
    let path = dir().join("LOCK");
    let LockAttempt::Held(held) = fs.lock(&path).unwrap() else { panic!("nobody else has it") };
    assert!(matches!(fs.lock(&path).unwrap(), LockAttempt::Taken(Some(_))));
    assert!(matches!(fs.lock(&dir().join("OTHER")).unwrap(), LockAttempt::Held(_)));
    assert!(matches!(fs.crash(0).lock(&path).unwrap(), LockAttempt::Held(_)));
    assert!(matches!(fs.kill().lock(&path).unwrap(), LockAttempt::Held(_)));
    drop(held);
    assert!(matches!(fs.lock(&path).unwrap(), LockAttempt::Held(_)));
}

#[test]
fn names_are_checked() {
    let fs = disk();
    put(&fs, "a", b"");
    assert_eq!(kind(fs.create(&dir().join("a"))), Some(io::ErrorKind::AlreadyExists));
    assert_eq!(kind(fs.create(Path::new("/no/a"))), Some(io::ErrorKind::NotFound));
    assert_eq!(kind(fs.remove(&dir().join("b"))), Some(io::ErrorKind::NotFound));
    assert_eq!(kind(fs.list(Path::new("/no"))), Some(io::ErrorKind::NotFound));
    assert_eq!(kind(fs.sync_dir(Path::new("/no"))), Some(io::ErrorKind::NotFound));
    assert_eq!(kind(fs.read(dir())), Some(io::ErrorKind::IsADirectory));
    fs.create_dir_all(Path::new("./here/too")).unwrap();
    fs.create(Path::new("here/too/a")).unwrap();
    assert_eq!(fs.list(Path::new("here/./too")).unwrap(), ["a"]);
}

/// Which syncs a small log writer does.
#[derive(Clone, Copy)]
struct Care {
    bytes: bool,
    name: bool,
}

/// Writes records until the machine goes down; says how many it has acknowledged.
fn write_log(fs: &SimFileSystem, care: Care) -> usize {
    let write = |acknowledged: &mut usize| -> io::Result<()> {
        let mut file = fs.create(&dir().join("log"))?;
        if care.name {
            fs.sync_dir(dir())?;
        }
        for record in 1..=4 {
            file.append(&[record; 300])?;
            if care.bytes {
                file.sync()?;
            }
            *acknowledged += 1;
        }
        Ok(())
    };
    let mut acknowledged = 0;
    let _down = write(&mut acknowledged);
    acknowledged
}

/// Runs the writer with a power loss at every operation and counts the disks on which an acknowledged record is missing.
fn losses(care: Care) -> usize {
    let mut losses = 0;
    for number in 2..13 {
        for seed in 0..20 {
            let fs = disk();
            fs.crash_at(number);
            let acknowledged = write_log(&fs, care);
            let found = fs.crash(seed).read_all(&dir().join("log")).unwrap_or_default();
            let whole =
                found.chunks(300).enumerate().take_while(|(at, record)| **record == [*at as u8 + 1; 300]).count();
            losses += usize::from(whole < acknowledged);
        }
    }
    losses
}

#[test]
fn a_careful_writer_survives_and_careless_ones_are_caught() {
    assert_eq!(losses(Care { bytes: true, name: true }), 0);
    assert!(losses(Care { bytes: false, name: true }) > 0);
    assert!(losses(Care { bytes: true, name: false }) > 0);
}
