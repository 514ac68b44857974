//! The way back: a backup becomes a data directory, and an archive of the log takes it on to a later instant.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain::Backup;
use super::point::{copy_checked, make_dirs, sync_dir};
use crate::env::FileSystem;
use crate::wal::Lsn;
use crate::wal::archive::{self, Part};
use crate::{Engine, Error, Options, Result, files};

/// Bytes of log that are replayed before they are flushed: bounds the memory that it takes.
const REPLAY_BYTES: u64 = 128 << 20;

/// What a restore makes, and of what besides the backup.
#[derive(Debug, Clone, Copy)]
pub struct RestoreRequest<'a> {
    /// The data directory: new, or empty.
    pub to: &'a Path,
    /// The archive of the log, to go on from the backup.
    pub archive: Option<&'a Path>,
    /// The instant up to which to go on, in ns since the Unix epoch; without it, as far as the archive goes.
    pub until_ns: Option<i64>,
}

/// What was restored.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// Files of the backup.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Number of the last log record that is in the database now.
    pub lsn: u64,
    /// Records of the archive that were replayed.
    pub replayed_records: u64,
    /// The last time that the archive tells, up to the instant asked for: later records are not there, or are of a later time.
    pub last_ns: Option<i64>,
    /// The archive goes on after the instant asked for: everything up to it was there.
    pub is_complete: bool,
}

impl Backup {
    /// Restores the backup into a directory that is new or empty, and replays an archive on top. The whole chain, as far as it
    /// is needed, and all of the archive from the backup on, is read and checked before anything is written. `progress` is told
    /// each file before it is read.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for the first file that is damaged or missing; [`Error::Directory`] when something is in the directory
    /// or beside it in the way, and when the backup is of a later instant; [`Error::DiskFull`], [`Error::Io`]. The directory is
    /// then as it was.
    pub fn restore(
        &self,
        fs: &Arc<dyn FileSystem>,
        request: &RestoreRequest<'_>,
        progress: &mut dyn FnMut(&Path),
    ) -> Result<RestoreReport> {
        let RestoreRequest { to, archive, until_ns } = *request;
        let beside = beside(to);
        check_place(&**fs, to, &beside)?;
        if let Some(until_ns) = until_ns {
            self.check_instant(archive, until_ns)?;
        }
        let checked = self.check(&**fs, progress);
        if let Some(damage) = checked.damages.into_iter().next() {
            return Err(damage);
        }
        let parts = match archive {
            Some(dir) => parts(&**fs, dir, self.lsn() + 1, until_ns, progress)?,
            None => Vec::new(),
        };
        let last = parts.last();
        let report = RestoreReport {
            files: checked.files,
            bytes: checked.bytes,
            lsn: last.map_or(self.lsn(), |part| part.end_lsn - 1),
            replayed_records: parts.iter().map(|part| part.end_lsn - part.first_lsn).sum(),
            last_ns: parts.iter().filter_map(|part| part.last_ns).next_back(),
            is_complete: last.is_some_and(|part| part.is_cut),
        };
        let made = self.make(fs, &beside, &parts).and_then(|()| self.put(&**fs, &beside, to));
        made.inspect_err(|_| remove(&**fs, &beside)).map(|()| report)
    }

    fn check_instant(&self, archive: Option<&Path>, until_ns: i64) -> Result<()> {
        let refuse = |why| Err(Error::directory(self.dir(), why));
        match archive {
            None => refuse("can be brought to a later instant only with an archive of the log"),
            Some(_) if until_ns < self.taken_ns() => {
                refuse("was taken after the instant that is asked for; an earlier backup is needed")
            }
            Some(_) => Ok(()),
        }
    }

    /// Makes the data directory, under another name.
    fn make(&self, fs: &Arc<dyn FileSystem>, dir: &Path, parts: &[Part]) -> Result<()> {
        let mut dirs = BTreeSet::new();
        fs.create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
        for (entry, path) in self.files() {
            let to = dir.join(&entry.name);
            make_dirs(&**fs, dir, &to, &mut dirs)?;
            copy_checked(&**fs, entry, path, &to)?;
        }
        let wal_dir = dir.join(files::WAL_DIR);
        fs.create_dir_all(&wal_dir).map_err(|e| Error::io("create", &wal_dir, e))?;
        let open = || Engine::open(dir, Options { fs: fs.clone(), ..Options::default() });
        let mut waiting = 0;
        for part in parts.iter().filter(|part| part.first_lsn < part.end_lsn) {
            archive::place(&**fs, &wal_dir, part)?;
            waiting += part.bytes();
            if waiting >= REPLAY_BYTES {
                open()?.flush()?;
                waiting = 0;
            }
        }
        // Opened in any case: what does not open is not put where it is wanted.
        open()?.flush()?;
        dirs.iter().map(PathBuf::as_path).chain([dir]).try_for_each(|dir| sync_dir(&**fs, dir))
    }

    fn put(&self, fs: &dyn FileSystem, beside: &Path, to: &Path) -> Result<()> {
        fs.rename(beside, to).map_err(|e| Error::io("rename", beside, e))?;
        to.ancestors().skip(1).try_for_each(|dir| sync_dir(fs, dir))
    }
}

/// Where a data directory is made before it gets its name.
fn beside(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    to.with_file_name(name)
}

fn check_place(fs: &dyn FileSystem, to: &Path, beside: &Path) -> Result<()> {
    let is_free = |dir: &Path| match fs.list(dir) {
        Ok(names) => Ok(names.is_empty()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(Error::io("list", dir, e)),
    };
    if to.file_name().is_none() {
        return Err(Error::directory(to, "has no name to give to a restored database"));
    }
    if !is_free(to)? {
        return Err(Error::directory(to, "is not empty; a backup is restored into a directory of its own"));
    }
    match is_free(beside)? {
        true => Ok(()),
        false => Err(Error::directory(beside, "is left over from a restore that was cut short; remove it")),
    }
}

/// The parts of an archive that go on from a record, without a gap.
fn parts(
    fs: &dyn FileSystem,
    dir: &Path,
    from_lsn: Lsn,
    until_ns: Option<i64>,
    progress: &mut dyn FnMut(&Path),
) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut next_lsn = from_lsn;
    for file in archive::list(fs, dir)?.iter().filter(|file| file.last_lsn >= from_lsn) {
        if file.first_lsn > next_lsn {
            return Err(gap(&file.path, next_lsn, file.first_lsn));
        }
        if file.last_lsn < next_lsn {
            continue;
        }
        progress(&file.path);
        let part = archive::read(fs, file, next_lsn, until_ns)?;
        let tells_time = part.last_ns.is_some() || part.is_cut || parts.iter().any(|part| part.last_ns.is_some());
        if until_ns.is_some() && !tells_time {
            return Err(Error::directory(&file.path, "does not tell when its records were written"));
        }
        next_lsn = part.end_lsn;
        let is_last = part.is_cut;
        parts.push(part);
        if is_last {
            break;
        }
    }
    Ok(parts)
}

/// An archive from which files are missing.
pub(super) fn gap(path: &Path, wanted: Lsn, found: Lsn) -> Error {
    let dir = path.parent().unwrap_or(path);
    Error::directory(dir, format!("records {wanted} to {} are missing before {}", found - 1, named(path)))
}

fn named(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Removes what was made of a data directory, if possible.
fn remove(fs: &dyn FileSystem, dir: &Path) {
    let subs = [files::WAL_DIR, files::SERIES_DIR, files::SEGMENTS_DIR];
    for dir in subs.iter().map(|sub| dir.join(sub)).chain([dir.to_owned()]) {
        for name in fs.list(&dir).unwrap_or_default() {
            let _left_for_the_operator = fs.remove(&dir.join(name));
        }
        let _not_empty = fs.remove_dir(&dir);
    }
}
