//! The manifest: which tables there are, which series files and segments are live, and up to where the log is in them.
//!
//! One file, replaced as a whole: the new text is written beside it, synced, renamed over it, and the directory synced.
//! A file that the manifest does not name does not exist: it is left over from a crash and is removed on open.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::env::FileSystem;
use crate::error::WriteError;
use crate::model::{Column, TableId, TableOptions, TimeRange};
use crate::partition::{self, Partition};
use crate::segment::Published;
use crate::tiers::TiersEntry;
use crate::touched::TouchedEntry;
use crate::wal::Lsn;
use crate::{Error, Result, files, frame};

/// Name of the manifest in the data directory.
pub(crate) const MANIFEST_NAME: &str = "MANIFEST";

/// Name under which a new manifest is written before it replaces the old.
pub(crate) const MANIFEST_TMP_NAME: &str = "MANIFEST.tmp";

/// First bytes of the manifest.
pub(crate) const MANIFEST_MAGIC: &[u8; 8] = b"PLIMSMAN";

/// Version of the manifest that this program writes, and with it of the data directory.
pub(crate) const MANIFEST_VERSION: u32 = 1;

/// Number of a series file or segment, from which its name is made; never used twice.
pub(crate) type FileNumber = u64;

/// The live state of a data directory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Every record up to this one is in segments.
    pub(crate) flushed_lsn: Lsn,
    /// Id of the next table to be created.
    pub(crate) next_table: u32,
    /// Number of the next file to be created.
    pub(crate) next_file: FileNumber,
    pub(crate) tables: Vec<TableEntry>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TableEntry {
    pub(crate) id: TableId,
    /// The record that made it. Earlier ones that name it are about a table that was dropped.
    pub(crate) created_lsn: Lsn,
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    /// Positions of columns that no logged write has named yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) hidden: Vec<usize>,
    /// Series files in order of series ids.
    pub(crate) series_files: Vec<SeriesFileEntry>,
    /// What was deleted and may still stand in the segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tombstones: Option<TombstoneFileEntry>,
    /// Segments, oldest first: where two hold the same point, the later one wins.
    pub(crate) segments: Vec<SegmentEntry>,
    #[serde(default, skip_serializing_if = "TableOptions::is_default")]
    pub(crate) options: TableOptions,
    #[serde(default, skip_serializing_if = "TiersEntry::is_default")]
    pub(crate) tiers: TiersEntry,
    /// Times that were touched, where somebody keeps up with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) touched: Option<TouchedEntry>,
}

/// One series file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct SeriesFileEntry {
    pub(crate) file: FileNumber,
    /// Series in all files up to and including this one.
    pub(crate) series_end: u32,
    /// Checksum of the whole file, so that it is this file and no other.
    pub(crate) checksum: u32,
}

/// One tombstone file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct TombstoneFileEntry {
    pub(crate) file: FileNumber,
    /// The record of the newest tombstone in it.
    pub(crate) lsn: Lsn,
    /// Checksum of the whole file, so that it is this file and no other.
    pub(crate) checksum: u32,
}

/// One segment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct SegmentEntry {
    pub(crate) file: FileNumber,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Earliest timestamp, ns.
    pub(crate) min_ns: i64,
    /// Latest timestamp, ns.
    pub(crate) max_ns: i64,
    /// The rows are those after this record: a DELETE up to it is done, a later one may still touch them.
    #[serde(default)]
    pub(crate) lsn: Lsn,
    /// How fine the data is: 0 is as it was written, 1 is rolled up.
    #[serde(default)]
    pub(crate) tier: u8,
    /// Checksum of its chunk table, so that it is this segment and no other.
    pub(crate) checksum: u32,
}

impl SegmentEntry {
    /// The time partition of all its rows.
    pub(crate) fn partition(&self) -> Partition {
        partition::of(self.min_ns)
    }

    /// What a segment of a table has to be to be this one.
    pub(crate) fn published(&self, table: TableId) -> Published {
        let time = TimeRange { min_ns: self.min_ns, max_ns: self.max_ns };
        Published { table, rows: self.rows, time, checksum: self.checksum }
    }
}

impl TableEntry {
    /// The numbers of its files.
    pub(crate) fn file_numbers(&self) -> impl Iterator<Item = FileNumber> {
        let series = self.series_files.iter().map(|f| f.file);
        let segments = self.segments.iter().map(|s| s.file).chain(self.tiers.files());
        series.chain(segments).chain(self.tombstones.map(|t| t.file))
    }

    /// Its files by their path in a data directory, each with what tells it from any other of that name.
    pub(crate) fn identities(&self) -> Vec<(String, String)> {
        let named = |path: PathBuf| path.to_string_lossy().into_owned();
        let none = Path::new("");
        let series = self.series_files.iter().map(|f| {
            (named(files::series_path(none, f.file)), format!("{} {} {}", self.id.0, f.series_end, f.checksum))
        });
        let segments = self.segments.iter().chain(self.tiers.segments()).map(|s| {
            let said = format!("{} {} {} {} {} {}", self.id.0, s.rows, s.bytes, s.min_ns, s.max_ns, s.checksum);
            (named(files::segment_path(none, s.file)), said)
        });
        let tombstones = self
            .tombstones
            .iter()
            .map(|t| (named(files::tombstone_path(none, t.file)), format!("{} {} {}", self.id.0, t.lsn, t.checksum)));
        series.chain(segments).chain(tombstones).collect()
    }

    /// Its files in a data directory.
    pub(crate) fn files(&self, dir: &Path) -> Vec<PathBuf> {
        let series = self.series_files.iter().map(|f| files::series_path(dir, f.file));
        let segments = self.segments.iter().map(|s| s.file).chain(self.tiers.files());
        let segments = segments.map(|file| files::segment_path(dir, file));
        series.chain(segments).chain(self.tombstones.map(|t| files::tombstone_path(dir, t.file))).collect()
    }
}

/// Reads the manifest; `None` when there is none.
pub(crate) fn load(fs: &dyn FileSystem, dir: &Path) -> Result<Option<Manifest>> {
    let path = dir.join(MANIFEST_NAME);
    let file = match fs.read(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    decode(&path, &file).map(Some)
}

/// The manifest that is in a file.
pub(crate) fn decode(path: &Path, file: &[u8]) -> Result<Manifest> {
    let body = frame::decode(path, file, MANIFEST_MAGIC, MANIFEST_VERSION)?;
    let malformed = |e: serde_json::Error| {
        Error::corrupt(path, frame::FRAME_HEADER_BYTES as u64, format!("malformed manifest: {e}"))
    };
    serde_json::from_slice(body).map_err(malformed)
}

/// Replaces the manifest.
pub(crate) fn store(fs: &dyn FileSystem, dir: &Path, manifest: &Manifest) -> Result<(), WriteError> {
    let body = serde_json::to_vec(manifest).expect("a manifest is plain data");
    let (path, tmp) = (dir.join(MANIFEST_NAME), dir.join(MANIFEST_TMP_NAME));
    write_file(fs, &tmp, &frame::encode(MANIFEST_MAGIC, MANIFEST_VERSION, &body)).map_err(WriteError::Refused)?;
    fs.rename(&tmp, &path).map_err(|e| WriteError::Refused(Error::io("rename", &tmp, e)))?;
    fs.sync_dir(dir).map_err(|e| WriteError::Broken(Error::io("sync", dir, e)))
}

/// Writes a whole file and syncs it, in place of one of that name. On an error no file of that name is left, if possible.
pub(crate) fn write_file(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> Result<()> {
    remove_if_exists(fs, path)?;
    let write = || -> std::io::Result<()> {
        let mut file = fs.create(path)?;
        file.append(bytes)?;
        file.sync()
    };
    write().map_err(|e| {
        let _left_for_the_next_open = fs.remove(path);
        Error::io("write", path, e)
    })
}

/// Removes a file; fine if it is not there.
pub(crate) fn remove_if_exists(fs: &dyn FileSystem, path: &Path) -> Result<()> {
    match fs.remove(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}
