//! Where things are in a data directory.
//!
//! ```text
//! LOCK  MANIFEST  wal/NNNNNNNNNNNNNNNNNNNN.wal  series/NNNNNNNNNN.ser  segments/NNNNNNNNNN.seg
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

pub(crate) fn series_path(dir: &Path, number: FileNumber) -> PathBuf {
    dir.join(SERIES_DIR).join(format!("{number:010}{SERIES_SUFFIX}"))
}

pub(crate) fn segment_path(dir: &Path, number: FileNumber) -> PathBuf {
    dir.join(SEGMENTS_DIR).join(format!("{number:010}{SEGMENT_SUFFIX}"))
}

/// The number in the name of a series file or segment.
pub(crate) fn number_of(name: &str) -> Option<FileNumber> {
    let digits = name.strip_suffix(SERIES_SUFFIX).or_else(|| name.strip_suffix(SEGMENT_SUFFIX))?;
    digits.parse().ok()
}
