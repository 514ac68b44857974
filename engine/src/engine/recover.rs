//! Opening a data directory: the lock, the manifest, series and segments, then the log.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use super::delete::Deletion;
use super::{Engine, Options, Recovery, State, manifest_files};
use crate::backup;
use crate::env::{FileLock, FileSystem, LockAttempt};
use crate::error::{Error, Result, WriteError};
use crate::files;
use crate::index::{self, TagIndex};
use crate::manifest::{self, FileNumber, MANIFEST_NAME, MANIFEST_TMP_NAME, Manifest, SegmentEntry, TableEntry};
use crate::memtable::{Insert, Run};
use crate::model::{TableId, TableSchema};
use crate::resolve::resolve_logged;
use crate::segment::Segment;
use crate::table::{ColumnSet, LiveSegment, Table, TableCore};
use crate::tiers::Tiers;
use crate::tombstone::{self, Tombstones};
use crate::touched::{Ranges, Touched};
use crate::wal::archive;
use crate::wal::group::Group;
use crate::wal::record::{self, Record};
use crate::wal::{self, Log, LogOptions, Lsn};

pub(super) fn open(dir: &Path, options: Options) -> Result<Engine> {
    let fs = options.fs.clone();
    let lock = prepare(&*fs, dir)?;
    let manifest = load_or_begin(&*fs, dir)?;
    remove_orphans(&*fs, dir, &manifest_files(&manifest))?;
    manifest::remove_if_exists(&*fs, &dir.join(MANIFEST_TMP_NAME))?;

    let mut recovery = Recovery::default();
    let mut state = State { next_table: manifest.next_table, flushed_lsn: manifest.flushed_lsn, ..State::default() };
    for entry in &manifest.tables {
        state.tables.insert(entry.name.clone(), open_table(&*fs, dir, entry, &mut recovery)?);
    }
    let wal_dir = dir.join(files::WAL_DIR);
    let replayed = wal::replay(&*fs, &wal_dir, manifest.flushed_lsn, &mut |lsn, payload| state.replay(lsn, payload))?;
    state.applied_lsn = replayed.next_lsn - 1;
    if let Some(archive) = &options.archive {
        archive::check_belongs(&*fs, &archive.dir, state.applied_lsn)?;
    }
    recovery.records_replayed = replayed.records;
    recovery.torn_tail.clone_from(&replayed.torn);
    Ok(Engine {
        dir: dir.to_owned(),
        recovery,
        definitions: RwLock::default(),
        upkeep: Mutex::default(),
        flushing: Mutex::default(),
        publishing: Mutex::default(),
        archiving: Mutex::default(),
        group: Group::default(),
        log: Mutex::new(Log::new(fs, &wal_dir, log_options(&options), &replayed)),
        state: RwLock::new(state),
        next_file: AtomicU64::new(manifest.next_file),
        has_unsynced: AtomicBool::new(false),
        flushed_for_tiers_ns: AtomicI64::new(i64::MIN),
        damaged_days: Mutex::default(),
        now_ns: AtomicI64::new(i64::MIN),
        poison: OnceLock::new(),
        options,
        _lock: lock,
    })
}

fn log_options(options: &Options) -> LogOptions {
    LogOptions {
        file_bytes_max: options.wal_file_bytes,
        clock: options.clock.clone(),
        is_archived: options.archive.is_some(),
    }
}

/// Makes the directories and takes the lock.
fn prepare(fs: &dyn FileSystem, dir: &Path) -> Result<Box<dyn FileLock>> {
    backup::refuse(fs, dir)?;
    fs.create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
    for above in dir.ancestors().skip(1) {
        match fs.sync_dir(named(above)) {
            // A directory that we may not read was not made by us.
            Err(e) if e.kind() != io::ErrorKind::PermissionDenied => return Err(Error::io("sync", above, e)),
            _ => {}
        }
    }
    let lock = lock(fs, dir)?;
    for name in [files::WAL_DIR, files::SERIES_DIR, files::SEGMENTS_DIR] {
        let sub = dir.join(name);
        fs.create_dir_all(&sub).map_err(|e| Error::io("create", &sub, e))?;
    }
    fs.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))?;
    Ok(lock)
}

/// The directory that an empty relative path means.
fn named(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Becomes the only user of a data directory.
pub(crate) fn lock(fs: &dyn FileSystem, dir: &Path) -> Result<Box<dyn FileLock>> {
    match fs.lock(&dir.join(files::LOCK_NAME)).map_err(|e| Error::io("lock", dir, e))? {
        LockAttempt::Held(lock) => Ok(lock),
        LockAttempt::Taken(holder) => Err(Error::Locked { path: dir.to_owned(), holder }),
    }
}

/// The manifest, written first if the directory is new. Files without a manifest are not a new directory.
fn load_or_begin(fs: &dyn FileSystem, dir: &Path) -> Result<Manifest> {
    if let Some(manifest) = manifest::load(fs, dir)? {
        return Ok(manifest);
    }
    for name in [files::WAL_DIR, files::SERIES_DIR, files::SEGMENTS_DIR] {
        let sub = dir.join(name);
        if !fs.list(&sub).map_err(|e| Error::io("list", &sub, e))?.is_empty() {
            return Err(Error::corrupt(dir.join(MANIFEST_NAME), 0, format!("missing, but {name}/ holds files")));
        }
    }
    let manifest = Manifest::default();
    manifest::store(fs, dir, &manifest).map_err(WriteError::into_error)?;
    Ok(manifest)
}

/// Removes files that no manifest names: they are left over from a flush that did not finish.
pub(crate) fn remove_orphans(fs: &dyn FileSystem, dir: &Path, live: &HashSet<FileNumber>) -> Result<()> {
    remove_files(fs, dir, |number| !live.contains(&number))
}

/// Removes the series files and segments with certain numbers.
pub(crate) fn remove_files(fs: &dyn FileSystem, dir: &Path, is_removed: impl Fn(FileNumber) -> bool) -> Result<()> {
    for name in [files::SERIES_DIR, files::SEGMENTS_DIR] {
        let sub = dir.join(name);
        for file in fs.list(&sub).map_err(|e| Error::io("list", &sub, e))? {
            if files::number_of(&file).is_some_and(&is_removed) {
                manifest::remove_if_exists(fs, &sub.join(file))?;
            }
        }
    }
    Ok(())
}

fn open_table(fs: &dyn FileSystem, dir: &Path, entry: &TableEntry, recovery: &mut Recovery) -> Result<Table> {
    let mut index = TagIndex::default();
    for file in &entry.series_files {
        let path = files::series_path(dir, file.file);
        let bytes = index::file::read(fs, &path, file)?;
        index::file::load(&path, &bytes, &mut index)?;
    }
    let schema = TableSchema { id: entry.id, name: entry.name.clone(), columns: entry.columns.clone() };
    let mut table = Table::new(TableCore::with_schema(schema, index));
    let mut visible = ColumnSet::default();
    (0..entry.columns.len()).filter(|at| !entry.hidden.contains(at)).for_each(|at| visible.insert(at as u32));
    table.show(&visible);
    table.created_lsn = entry.created_lsn;
    table.series_files.clone_from(&entry.series_files);
    let mut segments = Vec::new();
    for segment in &entry.segments {
        let path = files::segment_path(dir, segment.file);
        let file = Segment::open(fs, &path, &segment.published(entry.id));
        if let Err(error @ Error::Version { .. }) = file {
            return Err(error);
        }
        recovery.damaged_segments.extend(file.as_ref().err().map(Error::again));
        segments.push(Arc::new(LiveSegment {
            entry: *segment,
            path,
            file,
            deleted: Tombstones::default(),
            changed_ns: i64::MIN,
        }));
    }
    table.segments = Arc::new(segments);
    if let Some(file) = &entry.tombstones {
        let tombstones = tombstone::file::load(fs, &files::tombstone_path(dir, file.file), file)?;
        table.attach(&tombstones);
        table.tombstones = tombstones;
        table.tombstone_file = Some(*file);
    }
    table.set_options(entry.options.clone());
    let mut open = |segment: SegmentEntry| {
        let path = files::segment_path(dir, segment.file);
        let file = Segment::open(fs, &path, &segment.published(entry.id));
        if let Err(error @ Error::Version { .. }) = file {
            return Err(error);
        }
        recovery.damaged_segments.extend(file.as_ref().err().map(Error::again));
        Ok(LiveSegment { entry: segment, path, file, deleted: Tombstones::default(), changed_ns: i64::MIN })
    };
    table.set_tiers(Tiers::open(&entry.tiers, &mut open)?);
    if let Some(touched) = &entry.touched {
        table.watch(Touched::from_entry(touched));
    }
    Ok(table)
}

impl State {
    /// Does again what a record says; doing it twice changes nothing. The manifest may be of a later time than the record: of
    /// a table that was dropped and made anew since, it names the new one, and the record is about the old one.
    fn replay(&mut self, lsn: Lsn, payload: &[u8]) -> Result<(), &'static str> {
        match record::decode(payload).map_err(|_| "malformed record")? {
            Record::Write(tables) => {
                for rows in tables {
                    let Some(table) = self.replayed_table(&rows.table, lsn)? else { continue };
                    let resolved = resolve_logged(&table.core, rows).map_err(|_| "record does not fit the schema")?;
                    let (batch, columns) = resolved;
                    table.show(&columns);
                    if table.touched().is_some() {
                        table.touch(lsn, Some(&Ranges::of(&batch)));
                    }
                    if let Some(insert) = Insert::new(batch) {
                        table.memtable.insert(insert);
                    }
                    while let Some(runs) = table.memtable.begin_join() {
                        let joined = Run::join(&runs);
                        table.memtable.end_join(&runs, joined);
                    }
                }
                self.count_memtables();
            }
            Record::CreateTable { name, columns, options } => {
                let Some(table) = self.replayed_table(&name, lsn)? else { return Ok(()) };
                let grown = table.core.grow(&super::kinds(&columns)).map_err(|_| "record does not fit the schema")?;
                let mut named = ColumnSet::default();
                columns.iter().filter_map(|c| grown.column(&c.name, None)).for_each(|(at, _)| named.insert(at));
                table.show(&named);
                table.set_options(options);
            }
            Record::SetOptions { name, options } => {
                if let Some(table) = self.tables.get_mut(&name).filter(|table| table.created_lsn <= lsn) {
                    table.set_options(options);
                }
            }
            Record::Delete { table, deleted } => {
                if let Some(table) = self.tables.get_mut(&table).filter(|table| table.created_lsn <= lsn) {
                    let deletion = Deletion::logged(&table.core, deleted).map_err(|_| "malformed test of a tag")?;
                    table.delete(Arc::new(deletion.tombstone(lsn)));
                }
                self.count_memtables();
            }
            Record::DropTable { name } => {
                if self.tables.get(&name).is_some_and(|table| table.created_lsn <= lsn) {
                    self.tables.remove(&name);
                }
                self.count_memtables();
            }
            Record::Time { .. } => {}
        }
        Ok(())
    }

    /// The table that a record is about; `None` when it is gone.
    fn replayed_table(&mut self, name: &str, lsn: Lsn) -> Result<Option<&mut Table>, &'static str> {
        if !self.tables.contains_key(name) {
            let core = TableCore::new(TableId(self.next_table), name).map_err(|_| "record names no valid table")?;
            self.next_table += 1;
            let mut table = Table::new(core);
            table.created_lsn = lsn;
            self.tables.insert(name.to_owned(), table);
        }
        let table = self.tables.get_mut(name).expect("just inserted");
        Ok(Some(table).filter(|table| table.created_lsn <= lsn))
    }
}
