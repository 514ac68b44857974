//! Reading the log after a restart: every whole record in order, a torn tail cut off, damage reported.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::format::{
    WAL_HEADER_BYTES, WAL_RECORD_HEADER_BYTES, file_name, is_file_name, read_file_header, read_record,
};
use super::{LogFile, Lsn};
use crate::env::{FileBytes, FileSystem};
use crate::manifest::write_file;
use crate::{Error, Result};

/// Farthest that the number of a record behind a damaged one can lie ahead.
const RECORDS_AHEAD_MAX: u64 = 1 << 24;

/// Name under which the last log file is written anew.
const COPY_NAME: &str = "copy.tmp";

/// What a log held.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// Files that are still there, oldest first.
    pub(crate) files: Vec<LogFile>,
    /// Number of the next record to write.
    pub(crate) next_lsn: Lsn,
    /// Records handed to the visitor.
    pub(crate) records: u64,
    /// A tail that was not whole; [`replay`] has cut it off.
    pub(crate) torn: Option<TornTail>,
    /// Number of the record after the last one read.
    end_lsn: Option<Lsn>,
}

/// The end of the last log file that was being written when the process or the machine died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The log file.
    pub path: PathBuf,
    /// Where the last whole record ends.
    pub offset: u64,
    /// Bytes after it.
    pub bytes: u64,
}

/// What takes the payload of each record; it may find it malformed.
pub(crate) type Visit<'a> = dyn FnMut(Lsn, &[u8]) -> std::result::Result<(), &'static str> + 'a;

/// Hands every record after `flushed_lsn` to `visit`, and cuts a torn tail off.
///
/// What it read is durable when it returns, for the records to come will say that it is. A process that was killed may have
/// left records that were never synced, or whose sync has failed; a sync that failed cannot be tried again, so the last file
/// is written anew.
pub(crate) fn replay(fs: &dyn FileSystem, dir: &Path, flushed_lsn: Lsn, visit: &mut Visit<'_>) -> Result<Replayed> {
    let mut replayed = check(fs, dir, flushed_lsn, visit)?;
    // A file without records would stand where the next one is begun.
    while let Some(file) = replayed.files.pop_if(|file| file.is_empty()) {
        fs.remove(&file.path).map_err(|e| Error::io("remove", &file.path, e))?;
    }
    if let Some(last) = replayed.files.last() {
        renew(fs, dir, last)?;
    }
    fs.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))?;
    Ok(replayed)
}

/// Replaces a log file by a copy of its whole records, which is synced before it takes the name.
fn renew(fs: &dyn FileSystem, dir: &Path, file: &LogFile) -> Result<()> {
    let bytes = fs.read(&file.path).map_err(|e| Error::io("read", &file.path, e))?;
    let whole = bytes.get(..file.bytes as usize).unwrap_or(&bytes);
    let copy = dir.join(COPY_NAME);
    match write_file(fs, &copy, whole) {
        Ok(()) => fs.rename(&copy, &file.path).map_err(|e| Error::io("rename", &copy, e)),
        // Without room for a copy the file itself has to do.
        Err(Error::DiskFull { .. }) => {
            drop(bytes);
            fs.truncate(&file.path, file.bytes).map_err(|e| Error::io("truncate", &file.path, e))
        }
        Err(error) => Err(error),
    }
}

/// Reads and checks a log without changing it.
pub(crate) fn check(fs: &dyn FileSystem, dir: &Path, flushed_lsn: Lsn, visit: &mut Visit<'_>) -> Result<Replayed> {
    let mut replayed = Replayed { files: Vec::new(), next_lsn: flushed_lsn + 1, records: 0, torn: None, end_lsn: None };
    let names: Vec<String> =
        fs.list(dir).map_err(|e| Error::io("list", dir, e))?.into_iter().filter(|n| is_file_name(n)).collect();
    for (nth, name) in names.iter().enumerate() {
        let path = dir.join(name);
        let bytes = fs.read(&path).map_err(|e| Error::io("read", &path, e))?;
        let file = File { path, bytes, is_last: nth + 1 == names.len() };
        file.read(flushed_lsn, &mut replayed, visit)?;
    }
    Ok(replayed)
}

/// One file being read.
struct File {
    path: PathBuf,
    bytes: FileBytes,
    is_last: bool,
}

impl File {
    fn read(&self, flushed_lsn: Lsn, replayed: &mut Replayed, visit: &mut Visit<'_>) -> Result<()> {
        // A header that was not synced may be what an older file left in its place.
        let is_named = |first_lsn: &Lsn| self.path.ends_with(file_name(*first_lsn));
        let Some(first_lsn) = read_file_header(&self.path, &self.bytes)?.filter(is_named) else {
            replayed.torn = Some(self.torn_at(0, 0..Lsn::MAX, 0)?);
            let first_lsn = replayed.next_lsn;
            replayed.files.push(LogFile { path: self.path.clone(), first_lsn, bytes: 0, is_archived: false });
            return Ok(());
        };
        // Records may be missing between two files if they are in segments: a tail that was never synced, but flushed.
        let end = replayed.end_lsn.unwrap_or(0);
        let missing = end.max(flushed_lsn + 1);
        if first_lsn < end || first_lsn > missing {
            let what = format!("record {missing} is missing, the next one is {first_lsn}");
            // What is missing is the end of the file before, or a whole file.
            let (path, offset) = replayed.files.last().map_or((&self.path, 0), |before| (&before.path, before.bytes));
            return Err(Error::corrupt(path, offset, what));
        }
        let mut expected = first_lsn;
        let mut at = WAL_HEADER_BYTES;
        while at < self.bytes.len() {
            let Some(record) = read_record(&self.bytes[at..], |lsn| lsn == expected) else {
                let ahead = expected..expected.saturating_add(RECORDS_AHEAD_MAX);
                replayed.torn = Some(self.torn_at(at, ahead, expected)?);
                break;
            };
            if expected > flushed_lsn {
                visit(expected, record.payload).map_err(|what| Error::corrupt(&self.path, at as u64, what))?;
                replayed.records += 1;
            }
            at += WAL_RECORD_HEADER_BYTES + record.payload.len();
            expected += 1;
        }
        replayed.end_lsn = Some(expected);
        replayed.next_lsn = replayed.next_lsn.max(expected);
        replayed.files.push(LogFile { path: self.path.clone(), first_lsn, bytes: at as u64, is_archived: false });
        Ok(())
    }

    /// Decides what it means that no whole record (or header) stands at `at`: the unsynced end of the log, or damage.
    /// It is damage if any later record, with a number in `ahead`, says that the log was synced up to `expected`.
    fn torn_at(&self, at: usize, ahead: Range<Lsn>, expected: Lsn) -> Result<TornTail> {
        let later = |from| read_record(&self.bytes[from..], |lsn| ahead.contains(&lsn));
        let was_synced = || (at + 1..self.bytes.len()).filter_map(later).any(|r| r.synced_lsn >= expected);
        if !self.is_last || was_synced() {
            let what = if at == 0 { "header is damaged".to_owned() } else { format!("record {expected} is damaged") };
            return Err(Error::corrupt(&self.path, at as u64, what));
        }
        Ok(TornTail { path: self.path.clone(), offset: at as u64, bytes: (self.bytes.len() - at) as u64 })
    }
}
