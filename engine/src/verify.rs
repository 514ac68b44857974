//! Reading every byte of a data directory and checking it.

use std::path::Path;

use crate::engine;
use crate::env::FileSystem;
use crate::files;
use crate::index::{self, TagIndex};
use crate::manifest::{self, MANIFEST_NAME, Manifest, TableEntry};
use crate::segment::Segment;
use crate::wal::{self, TornTail, record};
use crate::{Error, Result};

/// What [`verify`] read and found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Rows of segments that were decoded and compared with their statistics.
    pub rows: u64,
    /// Everything that is not what was written, by file.
    pub damages: Vec<Error>,
    /// An unfinished end of the log: not damage, but a write that was never acknowledged.
    pub torn_tail: Option<TornTail>,
}

/// Checks a data directory that no process has open; changes nothing in it. `progress` is told each file before it is read.
///
/// # Errors
/// [`Error::Locked`], [`Error::Io`] when there is no such directory. Damage is not an error of this call: it is in the report.
pub fn verify(fs: &dyn FileSystem, dir: &Path, progress: &mut dyn FnMut(&Path)) -> Result<VerifyReport> {
    fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let _lock = engine::lock(fs, dir)?;
    let mut report = VerifyReport::default();
    progress(&dir.join(MANIFEST_NAME));
    let manifest = match manifest::load(fs, dir) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            report.damages.push(Error::corrupt(dir.join(MANIFEST_NAME), 0, "missing"));
            return Ok(report);
        }
        Err(error) => {
            report.damages.push(error);
            return Ok(report);
        }
    };
    report.count(fs, &dir.join(MANIFEST_NAME));
    for table in &manifest.tables {
        report.check_series(fs, dir, table, progress);
        report.check_segments(fs, dir, table, progress);
    }
    report.check_log(fs, dir, &manifest, progress);
    Ok(report)
}

impl VerifyReport {
    fn check_series(&mut self, fs: &dyn FileSystem, dir: &Path, table: &TableEntry, progress: &mut dyn FnMut(&Path)) {
        let mut index = TagIndex::default();
        for file in &table.series_files {
            let path = files::series_path(dir, file.file);
            progress(&path);
            let loaded = index::file::read(fs, &path, file);
            let loaded = loaded.and_then(|bytes| index::file::load(&path, &bytes, &mut index));
            self.count(fs, &path);
            if let Err(error) = loaded {
                self.damages.push(error);
                return;
            }
        }
    }

    fn check_segments(&mut self, fs: &dyn FileSystem, dir: &Path, table: &TableEntry, progress: &mut dyn FnMut(&Path)) {
        for entry in table.segments.iter().chain(table.tiers.segments()) {
            let path = files::segment_path(dir, entry.file);
            progress(&path);
            self.count(fs, &path);
            match Segment::open(fs, &path, &entry.published(table.id)) {
                Ok(segment) => {
                    let damages = segment.verify();
                    self.rows += if damages.is_empty() { entry.rows } else { 0 };
                    self.damages.extend(damages);
                }
                Err(error) => self.damages.push(error),
            }
        }
    }

    fn check_log(&mut self, fs: &dyn FileSystem, dir: &Path, manifest: &Manifest, progress: &mut dyn FnMut(&Path)) {
        let wal_dir = dir.join(files::WAL_DIR);
        progress(&wal_dir);
        let mut decode = |_, payload: &[u8]| record::decode(payload).map(|_| ()).map_err(|_| "malformed record");
        match wal::check(fs, &wal_dir, manifest.flushed_lsn, &mut decode) {
            Ok(replayed) => {
                for file in &replayed.files {
                    self.count(fs, &file.path);
                }
                self.torn_tail = replayed.torn;
            }
            Err(error) => self.damages.push(error),
        }
    }

    fn count(&mut self, fs: &dyn FileSystem, path: &Path) {
        self.files += 1;
        self.bytes += fs.read(path).map_or(0, |bytes| bytes.len() as u64);
    }
}
