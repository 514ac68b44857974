//! Writing the frozen rows of one table into segments, one for each time partition, and its new series into a series file.
//!
//! Nothing here is live until the caller publishes it in the manifest; files of a flush that failed are removed again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Result;
use crate::env::FileSystem;
use crate::files;
use crate::index;
use crate::manifest::{FileNumber, SegmentEntry, SeriesFileEntry, remove_if_exists, write_file};
use crate::memtable::{Bounds, Run, union_of_fields};
use crate::model::{FieldRef, SeriesId};
use crate::partition::{self, Partition};
use crate::rows::{Key, merge};
use crate::segment::{Segment, SegmentWriter};
use crate::table::{LiveSegment, TableCore};
use crate::tombstone::Tombstones;
use crate::wal::Lsn;

/// Rows that are merged at a time.
const STEP_ROWS: usize = 64 * 1024;

/// Series files are joined when a table has this many.
const SERIES_FILES_MAX: usize = 8;

/// What a flush needs to know of a table.
#[derive(Debug)]
pub(crate) struct TableToFlush {
    pub(crate) core: Arc<TableCore>,
    pub(crate) runs: Vec<Arc<Run>>,
    pub(crate) series_files: Vec<SeriesFileEntry>,
    /// The last record that is in the runs or older.
    pub(crate) lsn: Lsn,
    /// When upkeep last ran.
    pub(crate) now_ns: i64,
}

/// What a flush wrote for a table.
#[derive(Debug)]
pub(crate) struct FlushedTable {
    pub(crate) core: Arc<TableCore>,
    pub(crate) segments: Vec<Arc<LiveSegment>>,
    /// All series files from now on.
    pub(crate) series_files: Vec<SeriesFileEntry>,
    /// Series files that these replace.
    pub(crate) replaced: Vec<FileNumber>,
}

/// Writes the files of one table and syncs them; the directories are the caller's to sync. `next_file` gives unused numbers.
pub(crate) fn flush_table(
    fs: &dyn FileSystem,
    dir: &Path,
    table: &TableToFlush,
    next_file: &mut dyn FnMut() -> FileNumber,
) -> Result<FlushedTable> {
    let mut flushed = FlushedTable {
        core: table.core.clone(),
        segments: Vec::new(),
        series_files: table.series_files.clone(),
        replaced: Vec::new(),
    };
    let written = write_all(fs, dir, table, next_file, &mut flushed);
    if written.is_err() {
        for segment in &flushed.segments {
            let _left_for_the_next_open = fs.remove(&segment.path);
        }
    }
    written.map(|()| flushed)
}

fn write_all(
    fs: &dyn FileSystem,
    dir: &Path,
    table: &TableToFlush,
    next_file: &mut dyn FnMut() -> FileNumber,
    flushed: &mut FlushedTable,
) -> Result<()> {
    let partitions: BTreeSet<Partition> = table.runs.iter().flat_map(|r| r.partitions()).copied().collect();
    for partition in partitions {
        let runs: Vec<_> = table.runs.iter().filter(|r| r.partitions().contains(&partition)).cloned().collect();
        let number = next_file();
        let path = files::segment_path(dir, number);
        match write_segment(fs, &path, table, partition, &runs) {
            Ok(entry) => {
                let entry = SegmentEntry { file: number, lsn: table.lsn, ..entry };
                if let Some(segment) = open(fs, path, table, entry)? {
                    flushed.segments.push(Arc::new(segment));
                }
            }
            Err(error) => {
                let _left_for_the_next_open = fs.remove(&path);
                return Err(error);
            }
        }
    }
    write_series(fs, dir, table, next_file, flushed)
}

/// Opens what was written; without rows, because all were deleted, there is nothing to keep.
fn open(fs: &dyn FileSystem, path: PathBuf, table: &TableToFlush, entry: SegmentEntry) -> Result<Option<LiveSegment>> {
    if entry.rows == 0 {
        remove_if_exists(fs, &path)?;
        return Ok(None);
    }
    let file = Segment::open(fs, &path, &entry.published(table.core.id))?;
    let (deleted, changed_ns) = (Tombstones::default(), table.now_ns);
    Ok(Some(LiveSegment { entry, path, file: Ok(file), deleted, changed_ns }))
}

fn write_segment(
    fs: &dyn FileSystem,
    path: &Path,
    table: &TableToFlush,
    partition: Partition,
    runs: &[Arc<Run>],
) -> Result<SegmentEntry> {
    let fields: Vec<FieldRef> = union_of_fields(runs.iter());
    let mut writer = SegmentWriter::create(fs, path, table.core.id, &fields)?;
    let mut lo: Key = (SeriesId(0), i64::MIN);
    let cuts = cuts(runs);
    for hi in cuts.into_iter().map(Some).chain([None]) {
        let bounds = Bounds { time: partition::range(partition), lo, hi, selected: None };
        let rows = merge(runs.iter().map(|run| run.read(&bounds, &fields)).collect());
        writer.append(&rows)?;
        lo = hi.unwrap_or(lo);
    }
    let summary = writer.finish()?;
    Ok(SegmentEntry {
        file: 0,
        lsn: 0,
        tier: 0,
        rows: summary.rows,
        bytes: summary.bytes,
        min_ns: summary.time.min_ns,
        max_ns: summary.time.max_ns,
        checksum: summary.checksum,
    })
}

/// Keys between which the runs hold about [`STEP_ROWS`] rows together.
fn cuts(runs: &[Arc<Run>]) -> Vec<Key> {
    let step = (STEP_ROWS / runs.len().max(1)).max(256);
    let mut keys: Vec<Key> = Vec::new();
    for run in runs {
        let series = run.rows.series_of_rows();
        keys.extend((step..run.rows.len()).step_by(step).map(|row| (series[row], run.rows.times[row])));
    }
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().step_by(runs.len().max(1)).collect()
}

/// Writes the series that no file has yet; joins the files when there are many.
fn write_series(
    fs: &dyn FileSystem,
    dir: &Path,
    table: &TableToFlush,
    next_file: &mut dyn FnMut() -> FileNumber,
    flushed: &mut FlushedTable,
) -> Result<()> {
    let index = table.core.index();
    let stored = table.series_files.last().map_or(0, |f| f.series_end);
    let series_end = index.len();
    if series_end == stored {
        return Ok(());
    }
    let join = table.series_files.len() + 1 >= SERIES_FILES_MAX;
    let first = if join { 0 } else { stored };
    let bytes = index::file::encode(&index, first, series_end);
    drop(index);
    let number = next_file();
    let path = files::series_path(dir, number);
    write_file(fs, &path, &bytes)?;
    if join {
        flushed.replaced = flushed.series_files.drain(..).map(|f| f.file).collect();
    }
    flushed.series_files.push(SeriesFileEntry { file: number, series_end, checksum: crc32fast::hash(&bytes) });
    Ok(())
}
