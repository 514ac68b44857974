//! The log: what was acknowledged and is not in segments yet.
//!
//! ┌───────────┬──────────┬──────────┬───┐      record: ┌───────┬───────┬───────┬──────────────┬─────────┐
//! │ header 24 │ record 1 │ record 2 │ … │              │ len 4 │ crc 4 │ lsn 8 │ synced lsn 8 │ payload │
//! └───────────┴──────────┴──────────┴───┘              └───────┴───────┴───────┴──────────────┴─────────┘
//!
//! Invariants
//! - Records are numbered without gaps over all files; a file is named by the number of its first record.
//! - A file is begun only after the one before is synced whole. So only the last file can have a torn tail.
//! - Each record says up to which record the log was synced when it was written. A damaged record is torn (never
//!   acknowledged) unless a later one says that it was synced; then it is corruption, and the log is not read past it.
//! - A sync that failed is never tried again: the writer is broken until the log is read anew.
//! - With a clock, the first record of a file tells the time, and so does one before every record that is written
//!   [`STAMP_STEP_NS`] or more after the last that did, or before it: clocks are set back.
//! - Where files are archived, one goes only after a copy of it is in the archive.

pub(crate) mod archive;
mod columns;
mod format;
pub(crate) mod group;
pub(crate) mod record;
mod replay;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::env::{AppendFile, Clock, FileSystem};
use crate::error::WriteError;
use crate::{Error, Result};

pub use replay::TornTail;
pub(crate) use replay::{Replayed, check, replay};

/// Number of a record, counted from 1 over the life of the database.
pub(crate) type Lsn = u64;

/// To how much the log knows when a record was written.
pub(crate) const STAMP_STEP_NS: i64 = 10_000_000;

/// How a log is kept.
#[derive(Debug, Clone)]
pub(crate) struct LogOptions {
    pub(crate) file_bytes_max: u64,
    /// Tells when records are written.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    /// Files go only after they were archived.
    pub(crate) is_archived: bool,
}

/// The writing end of the log.
#[derive(Debug)]
pub(crate) struct Log {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    options: LogOptions,
    /// Files that hold records, oldest first; the last may be open.
    files: VecDeque<LogFile>,
    open: Option<Box<dyn AppendFile>>,
    next_lsn: Lsn,
    synced_lsn: Lsn,
    /// The time that the last record of the open file told that told one.
    stamped_ns: Option<i64>,
    /// When somebody first asked whether the open file is old.
    open_since_ns: Option<i64>,
}

/// One file of the log.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    pub(crate) path: PathBuf,
    pub(crate) first_lsn: Lsn,
    pub(crate) bytes: u64,
    /// A copy of it is in the archive.
    pub(crate) is_archived: bool,
}

impl LogFile {
    /// True for one without records.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes <= format::WAL_HEADER_BYTES as u64
    }
}

/// A file of the log that nothing is added to any more, and its last record.
pub(crate) type Sealed = (LogFile, Lsn);

impl Log {
    /// Goes on after what was replayed, in a new file.
    pub(crate) fn new(fs: Arc<dyn FileSystem>, dir: &Path, options: LogOptions, replayed: &Replayed) -> Log {
        Log {
            fs,
            dir: dir.to_owned(),
            options,
            files: replayed.files.clone().into(),
            open: None,
            next_lsn: replayed.next_lsn,
            synced_lsn: replayed.next_lsn - 1,
            stamped_ns: None,
            open_since_ns: None,
        }
    }

    /// Adds records; they are not durable before [`Log::sync`]. Returns the number of the last one.
    pub(crate) fn append<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Result<Lsn, WriteError> {
        // A file without records would have the name of the next one.
        let is_full = |file: &LogFile| file.bytes >= self.options.file_bytes_max && file.first_lsn < self.next_lsn;
        if self.open.is_none() || self.files.back().is_some_and(is_full) {
            self.begin_file()?;
        }
        let mut bytes = Vec::new();
        let mut lsn = self.next_lsn;
        let stamp_ns = self.options.clock.as_ref().map(|clock| clock.now_ns()).filter(|now| self.is_stamp_due(*now));
        if let Some(now_ns) = stamp_ns {
            format::put_record(&mut bytes, lsn, self.synced_lsn, &record::time(now_ns));
            lsn += 1;
        }
        for payload in payloads {
            format::put_record(&mut bytes, lsn, self.synced_lsn, payload);
            lsn += 1;
        }
        let (Some(open), Some(file)) = (&mut self.open, self.files.back_mut()) else {
            unreachable!("a file was just begun");
        };
        if let Err(e) = open.append(&bytes) {
            let error = Error::io("write", &file.path, e);
            return Err(match self.fs.truncate(&file.path, file.bytes) {
                Ok(()) => WriteError::Refused(error),
                Err(_) => WriteError::Broken(error),
            });
        }
        file.bytes += bytes.len() as u64;
        self.next_lsn = lsn;
        self.stamped_ns = stamp_ns.or(self.stamped_ns);
        Ok(lsn - 1)
    }

    /// Makes all added records durable.
    pub(crate) fn sync(&mut self) -> Result<(), WriteError> {
        if self.synced_lsn + 1 == self.next_lsn {
            return Ok(());
        }
        let (Some(open), Some(file)) = (&mut self.open, self.files.back()) else {
            unreachable!("records that are not synced are in the open file");
        };
        open.sync().map_err(|e| WriteError::Broken(Error::io("sync", &file.path, e)))?;
        self.synced_lsn = self.next_lsn - 1;
        Ok(())
    }

    /// Closes the open file, so that its records are durable and the next one begins another. Gives all files that hold
    /// records, oldest first, and the number of the last record.
    pub(crate) fn seal(&mut self) -> Result<(Vec<Sealed>, Lsn), WriteError> {
        self.sync()?;
        // A file without records would stand where the next one is begun.
        if self.files.back().is_some_and(|file| file.first_lsn < self.next_lsn) {
            self.open = None;
        }
        let files = self.files.iter().filter(|file| file.first_lsn < self.next_lsn).enumerate();
        Ok((files.map(|(nth, file)| (file.clone(), self.end_of(nth) - 1)).collect(), self.next_lsn - 1))
    }

    /// Closes the open file if it has had records for longer than `age_ns`, as far as it was asked.
    pub(crate) fn seal_old(&mut self, now_ns: i64, age_ns: i64) -> Result<(), WriteError> {
        let has_records = self.files.back().is_some_and(|file| file.first_lsn < self.next_lsn);
        if self.open.is_none() || !has_records {
            return Ok(());
        }
        let since_ns = *self.open_since_ns.get_or_insert(now_ns);
        match (since_ns..since_ns.saturating_add(age_ns)).contains(&now_ns) {
            true => Ok(()),
            false => self.seal().map(drop),
        }
    }

    /// The files that nothing is added to any more and that are not in the archive.
    pub(crate) fn to_archive(&self) -> Vec<Sealed> {
        let closed = self.files.len() - usize::from(self.open.is_some());
        let files = self.files.iter().take(closed).enumerate().filter(|(_, file)| !file.is_archived);
        let files = files.filter(|(_, file)| file.first_lsn < self.next_lsn);
        files.map(|(nth, file)| (file.clone(), self.end_of(nth) - 1)).collect()
    }

    /// Remembers that a copy of the file that begins with a record is in the archive.
    pub(crate) fn is_archived(&mut self, first_lsn: Lsn) {
        self.files.iter_mut().filter(|file| file.first_lsn == first_lsn).for_each(|file| file.is_archived = true);
    }

    /// Bytes of the files with records after one: what a restart reads again.
    pub(crate) fn bytes_after(&self, lsn: Lsn) -> u64 {
        let files = self.files.iter().enumerate().filter(|(nth, _)| self.end_of(*nth) > lsn + 1);
        files.map(|(_, file)| file.bytes).sum()
    }

    /// Number of the record after the last one of a file.
    fn end_of(&self, nth: usize) -> Lsn {
        self.files.get(nth + 1).map_or(self.next_lsn, |next| next.first_lsn)
    }

    fn is_stamp_due(&self, now_ns: i64) -> bool {
        self.stamped_ns.is_none_or(|at| !(at..at.saturating_add(STAMP_STEP_NS)).contains(&now_ns))
    }

    /// Removes files whose records are all numbered up to `lsn`: they are in segments now.
    ///
    /// # Errors
    /// A file that could not be removed stays and is tried again next time.
    pub(crate) fn forget(&mut self, lsn: Lsn) -> Result<()> {
        self.synced_lsn = self.synced_lsn.max(lsn);
        if self.next_lsn == lsn + 1 {
            self.open = None;
        }
        while let Some(file) = self.files.front() {
            let after = self.end_of(0);
            let is_open = self.files.len() == 1 && self.open.is_some();
            let waits = self.options.is_archived && !file.is_archived && file.first_lsn < after;
            if after > lsn + 1 || is_open || waits {
                break;
            }
            self.fs.remove(&file.path).map_err(|e| Error::io("remove", &file.path, e))?;
            self.files.pop_front();
        }
        Ok(())
    }

    /// Number of files that hold records.
    pub(crate) fn files(&self) -> u64 {
        self.files.len() as u64
    }

    /// Bytes of the files that hold records.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    fn begin_file(&mut self) -> Result<(), WriteError> {
        self.sync()?;
        self.open = None;
        let path = self.dir.join(format::file_name(self.next_lsn));
        let header = format::file_header(self.next_lsn);
        let refused = |e| WriteError::Refused(Error::io("create", &path, e));
        let mut file = self.fs.create(&path).map_err(refused)?;
        if let Err(e) = file.append(&header) {
            return Err(match self.fs.remove(&path) {
                Ok(()) => refused(e),
                Err(_) => WriteError::Broken(Error::io("write", &path, e)),
            });
        }
        // Synced by itself, so that a damaged header is never taken for one that was not written yet.
        file.sync().map_err(|e| WriteError::Broken(Error::io("sync", &path, e)))?;
        self.fs.sync_dir(&self.dir).map_err(|e| WriteError::Broken(Error::io("sync", &self.dir, e)))?;
        self.open = Some(file);
        (self.stamped_ns, self.open_since_ns) = (None, None);
        let (first_lsn, bytes) = (self.next_lsn, header.len() as u64);
        self.files.push_back(LogFile { path, first_lsn, bytes, is_archived: false });
        Ok(())
    }
}
