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

mod columns;
mod format;
pub(crate) mod group;
pub(crate) mod record;
mod replay;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::env::{AppendFile, FileSystem};
use crate::error::WriteError;
use crate::{Error, Result};

pub use replay::TornTail;
pub(crate) use replay::{Replayed, check, replay};

/// Number of a record, counted from 1 over the life of the database.
pub(crate) type Lsn = u64;

/// The writing end of the log.
#[derive(Debug)]
pub(crate) struct Log {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    file_bytes_max: u64,
    /// Files that hold records, oldest first; the last may be open.
    files: VecDeque<LogFile>,
    open: Option<Box<dyn AppendFile>>,
    next_lsn: Lsn,
    synced_lsn: Lsn,
}

/// One file of the log.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    pub(crate) path: PathBuf,
    pub(crate) first_lsn: Lsn,
    pub(crate) bytes: u64,
}

impl Log {
    /// Goes on after what was replayed, in a new file.
    pub(crate) fn new(fs: Arc<dyn FileSystem>, dir: &Path, file_bytes_max: u64, replayed: &Replayed) -> Log {
        Log {
            fs,
            dir: dir.to_owned(),
            file_bytes_max,
            files: replayed.files.clone().into(),
            open: None,
            next_lsn: replayed.next_lsn,
            synced_lsn: replayed.next_lsn - 1,
        }
    }

    /// Adds records; they are not durable before [`Log::sync`]. Returns the number of the last one.
    pub(crate) fn append<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Result<Lsn, WriteError> {
        // A file without records would have the name of the next one.
        let is_full = |file: &LogFile| file.bytes >= self.file_bytes_max && file.first_lsn < self.next_lsn;
        if self.open.is_none() || self.files.back().is_some_and(is_full) {
            self.begin_file()?;
        }
        let mut bytes = Vec::new();
        let mut lsn = self.next_lsn;
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
            let after = self.files.get(1).map_or(self.next_lsn, |next| next.first_lsn);
            let is_open = self.files.len() == 1 && self.open.is_some();
            if after > lsn + 1 || is_open {
                break;
            }
            self.fs.remove(&file.path).map_err(|e| Error::io("remove", &file.path, e))?;
            self.files.pop_front();
        }
        Ok(())
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
        self.files.push_back(LogFile { path, first_lsn: self.next_lsn, bytes: header.len() as u64 });
        Ok(())
    }
}
