//! Where things are in a data directory.
//!
//! ```text
//! LOCK  MANIFEST  wal/NNNNNNNNNNNNNNNNNNNN.wal  series/NNNNNNNNNN.ser  segments/NNNNNNNNNN.seg
//! segments/NNNNNNNNNN.del
//! ```

use std::path::{Path, PathBuf};

use crate::manifest::FileNumber;

/// Held by the process that has the directory open.
pub(crate) const LOCK_NAME: &str = "LOCK";
/// Directory of the log.
pub(crate) const WAL_DIR: &str = "wal";
/// Directory of series files.
pub(crate) const SERIES_DIR: &str = "series";
/// Directory of segments.
pub(crate) const SEGMENTS_DIR: &str = "segments";

const SERIES_SUFFIX: &str = ".ser";
const SEGMENT_SUFFIX: &str = ".seg";
const TOMBSTONE_SUFFIX: &str = ".del";

pub(crate) fn series_path(dir: &Path, number: FileNumber) -> PathBuf {
    dir.join(SERIES_DIR).join(format!("{number:010}{SERIES_SUFFIX}"))
}

pub(crate) fn segment_path(dir: &Path, number: FileNumber) -> PathBuf {
    dir.join(SEGMENTS_DIR).join(format!("{number:010}{SEGMENT_SUFFIX}"))
}

pub(crate) fn tombstone_path(dir: &Path, number: FileNumber) -> PathBuf {
    dir.join(SEGMENTS_DIR).join(format!("{number:010}{TOMBSTONE_SUFFIX}"))
}

/// The number in the name of a series file, segment or tombstone file.
pub(crate) fn number_of(name: &str) -> Option<FileNumber> {
    let suffixes = [SERIES_SUFFIX, SEGMENT_SUFFIX, TOMBSTONE_SUFFIX];
    let digits = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix))?;
    digits.parse().ok()
}
