//! Log files that are kept after the database is done with them: an earlier backup is brought to a later instant by them.
//!
//! A file is named by its first and last record, so that one that is missing, or was cut off, is told from one that never was.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::format::{WAL_HEADER_BYTES, WAL_RECORD_HEADER_BYTES, file_header, file_name, read_file_header, read_record};
use super::{Lsn, Sealed, record};
use crate::env::{FileBytes, FileSystem};
use crate::manifest::write_file;
use crate::{Error, Result};

/// Ending of the names of archived files.
const SUFFIX: &str = ".wal";

/// One file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Archived {
    pub(crate) first_lsn: Lsn,
    pub(crate) last_lsn: Lsn,
    pub(crate) path: PathBuf,
}

/// The part of an archived file that is wanted.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    pub(crate) first_lsn: Lsn,
    /// Number of the record after the last one.
    pub(crate) end_lsn: Lsn,
    range: Range<usize>,
    /// The last time that was told in it, or before it in the file.
    pub(crate) last_ns: Option<i64>,
    /// A record was met that is of a later time than was asked for.
    pub(crate) is_cut: bool,
}

impl Part {
    pub(crate) fn bytes(&self) -> u64 {
        self.range.len() as u64
    }
}

/// Puts a copy of a closed log file into an archive. A copy that is there already has to be the same.
pub(crate) fn keep(fs: &dyn FileSystem, dir: &Path, (file, last_lsn): &Sealed) -> Result<()> {
    let path = dir.join(format!("{:020}-{last_lsn:020}{SUFFIX}", file.first_lsn));
    let bytes = whole(fs, &file.path, file.bytes)?;
    match fs.read(&path) {
        Ok(found) if found[..] == bytes[..] => return Ok(()),
        Ok(_) => {
            let why =
                "holds other records than the log does; an archive is for the log of one database, from one restore on";
            return Err(Error::directory(path, why));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io("read", path, e)),
    }
    let tmp = path.with_extension("tmp");
    write_file(fs, &tmp, &bytes)?;
    fs.rename(&tmp, &path).map_err(|e| Error::io("rename", &tmp, e))?;
    fs.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
}

/// Refuses an archive that has later records than the log: those of another database, or of this one before it was restored to
/// an earlier instant. One that cannot be read now may be there later.
pub(crate) fn check_belongs(fs: &dyn FileSystem, dir: &Path, last_lsn: Lsn) -> Result<()> {
    let files = list(fs, dir).unwrap_or_default();
    match files.iter().map(|file| file.last_lsn).max() {
        Some(archived) if archived > last_lsn => {
            let why = format!(
                "holds records up to {archived}, but the database ends with {last_lsn}: it is the archive of another one, \
                 or of this one before it was restored; name a new one"
            );
            Err(Error::directory(dir, why))
        }
        _ => Ok(()),
    }
}

/// The first bytes of a log file: those of its whole records.
fn whole(fs: &dyn FileSystem, path: &Path, bytes: u64) -> Result<Vec<u8>> {
    let file = fs.read(path).map_err(|e| Error::io("read", path, e))?;
    let short = || Error::corrupt(path, file.len() as u64, format!("file of {} bytes, not of {bytes}", file.len()));
    Ok(file.get(..usize::try_from(bytes).unwrap_or(usize::MAX)).ok_or_else(short)?.to_vec())
}

/// The files of an archive, by first record. Others are passed over.
pub(crate) fn list(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<Archived>> {
    let names = fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let mut files: Vec<Archived> = names.iter().filter_map(|name| named(dir, name)).collect();
    files.sort();
    Ok(files)
}

fn named(dir: &Path, name: &str) -> Option<Archived> {
    let (first, last) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let number = |digits: &str| match digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()) {
        true => digits.parse::<Lsn>().ok(),
        false => None,
    };
    Some(Archived { first_lsn: number(first)?, last_lsn: number(last)?, path: dir.join(name) })
}

/// Reads and checks a whole archived file, and gives the part of it from a record on, up to an instant.
pub(crate) fn read(fs: &dyn FileSystem, file: &Archived, from_lsn: Lsn, until_ns: Option<i64>) -> Result<Part> {
    let path = &file.path;
    let bytes = fs.read(path).map_err(|e| Error::io("read", path, e))?;
    if read_file_header(path, &bytes)? != Some(file.first_lsn) {
        return Err(Error::corrupt(path, 0, "header is damaged"));
    }
    let mut part = Part {
        path: path.clone(),
        first_lsn: from_lsn.max(file.first_lsn),
        end_lsn: from_lsn.max(file.first_lsn),
        range: WAL_HEADER_BYTES..WAL_HEADER_BYTES,
        last_ns: None,
        is_cut: false,
    };
    let (mut expected, mut at) = (file.first_lsn, WAL_HEADER_BYTES);
    while at < bytes.len() {
        let Some(record) = read_record(&bytes[at..], |lsn| lsn == expected) else {
            return Err(Error::corrupt(path, at as u64, format!("record {expected} is damaged")));
        };
        let told_ns = record::time_in(record.payload);
        let is_later = told_ns.is_some_and(|told| until_ns.is_some_and(|until| told > until));
        part.is_cut |= is_later && expected >= from_lsn;
        if !part.is_cut {
            part.last_ns = told_ns.or(part.last_ns);
        }
        at += WAL_RECORD_HEADER_BYTES + record.payload.len();
        expected += 1;
        if expected <= from_lsn {
            part.range = at..at;
        } else if !part.is_cut {
            part.range.end = at;
            part.end_lsn = expected;
        }
    }
    match expected == file.last_lsn + 1 {
        true => Ok(part),
        false => {
            Err(Error::corrupt(path, at as u64, format!("the last record is {}, not {}", expected - 1, file.last_lsn)))
        }
    }
}

/// Writes a part as a file of the log.
pub(crate) fn place(fs: &dyn FileSystem, wal_dir: &Path, part: &Part) -> Result<()> {
    let bytes: FileBytes = fs.read(&part.path).map_err(|e| Error::io("read", &part.path, e))?;
    let changed = || Error::corrupt(&part.path, 0, "the file has changed since it was checked");
    let records = bytes.get(part.range.clone()).ok_or_else(changed)?;
    let file = [file_header(part.first_lsn).as_slice(), records].concat();
    write_file(fs, &wal_dir.join(file_name(part.first_lsn)), &file)
}
