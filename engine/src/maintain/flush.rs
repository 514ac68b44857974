//! Writing the frozen rows of one table into segments, one for each time partition, its new series into a series file, and
//! what was deleted of its older segments into a tombstone file.
//!
//! Rows are parted by time partition once, so that a flush of many partitions costs little more than one of a single.
//! Nothing here is live until the caller publishes it in the manifest; files of a flush that failed are removed again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take;

use crate::Result;
use crate::env::FileSystem;
use crate::files;
use crate::index;
use crate::manifest::{FileNumber, SegmentEntry, SeriesFileEntry, TombstoneFileEntry, remove_if_exists, write_file};
use crate::memtable::{Bounds, Run, union_of_fields};
use crate::model::FieldRef;
use crate::partition::{self, Partition};
use crate::rows::{Key, Rows, merge};
use crate::segment::{Segment, SegmentWriter};
use crate::table::{LiveSegment, TableCore};
use crate::tombstone::{self, Tombstone, Tombstones};
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
    /// What was deleted up to `lsn` and stands in segments, oldest first.
    pub(crate) tombstones: Vec<Arc<Tombstone>>,
    pub(crate) tombstone_file: Option<TombstoneFileEntry>,
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
    /// The tombstone file from now on, if a new one was written.
    pub(crate) tombstone_file: Option<TombstoneFileEntry>,
    /// Files that were written.
    pub(crate) written: Vec<PathBuf>,
    /// Files that these replace.
    pub(crate) replaced: Vec<PathBuf>,
}

impl TableToFlush {
    /// The record of the newest tombstone that has to be stored.
    pub(crate) fn newest_unstored(&self) -> Option<Lsn> {
        let newest = self.tombstones.last()?.lsn;
        self.tombstone_file.is_none_or(|file| file.lsn < newest).then_some(newest)
    }
}

/// Writes the files of one table and syncs them; the directories are the caller's to sync. `next_file` gives unused numbers.
///
/// # Errors
/// [`crate::Error::DiskFull`], [`crate::Error::Io`]: no file is left then.
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
        tombstone_file: None,
        written: Vec::new(),
        replaced: Vec::new(),
    };
    let written = write_segments(fs, dir, table, next_file, &mut flushed)
        .and_then(|()| write_tombstones(fs, dir, table, next_file, &mut flushed))
        .and_then(|()| write_series(fs, dir, table, next_file, &mut flushed));
    if written.is_err() {
        remove_files(fs, &flushed.written);
    }
    written.map(|()| flushed)
}

/// Removes files that nothing names; what cannot be removed is left for the next open.
pub(crate) fn remove_files(fs: &dyn FileSystem, paths: &[PathBuf]) {
    for path in paths {
        let _left_for_the_next_open = remove_if_exists(fs, path);
    }
}

fn write_segments(
    fs: &dyn FileSystem,
    dir: &Path,
    table: &TableToFlush,
    next_file: &mut dyn FnMut() -> FileNumber,
    flushed: &mut FlushedTable,
) -> Result<()> {
    let fields: Vec<FieldRef> = union_of_fields(table.runs.iter());
    for (_, sources) in by_partition(&table.runs, &fields) {
        let number = next_file();
        let path = files::segment_path(dir, number);
        flushed.written.push(path.clone());
        let entry = write_segment(fs, &path, table, &fields, &sources)?;
        let entry = SegmentEntry { file: number, lsn: table.lsn, ..entry };
        let file = Segment::open(fs, &path, &entry.published(table.core.id))?;
        let (deleted, changed_ns) = (Tombstones::default(), table.now_ns);
        flushed.segments.push(Arc::new(LiveSegment { entry, path, file: Ok(file), deleted, changed_ns }));
    }
    Ok(())
}

/// The rows of all runs that are not deleted, parted by time partition; oldest first in each.
fn by_partition(runs: &[Arc<Run>], fields: &[FieldRef]) -> BTreeMap<Partition, Vec<Rows>> {
    let mut parted: BTreeMap<Partition, Vec<Rows>> = BTreeMap::new();
    for run in runs {
        let rows = run.read(&Bounds::ALL, fields);
        match run.partitions() {
            _ if rows.len() == 0 => {}
            [partition] => parted.entry(*partition).or_default().push(rows),
            _ => part(&rows).into_iter().for_each(|(partition, rows)| parted.entry(partition).or_default().push(rows)),
        }
    }
    parted
}

/// Parts rows by time partition.
fn part(rows: &Rows) -> BTreeMap<Partition, Rows> {
    let mut picks: BTreeMap<Partition, (Vec<u32>, Rows)> = BTreeMap::new();
    for (nth, (series, _)) in rows.series.iter().enumerate() {
        let mut range = rows.range(nth);
        while !range.is_empty() {
            let partition = partition::of(rows.times[range.start]);
            let max_ns = partition::range(partition).max_ns;
            let end = range.start + rows.times[range.clone()].partition_point(|t| *t <= max_ns);
            let (picked, parted) = picks.entry(partition).or_default();
            picked.extend(range.start as u32..end as u32);
            parted.times.extend_from_slice(&rows.times[range.start..end]);
            parted.series.push((*series, parted.times.len()));
            range.start = end;
        }
    }
    let with_columns = |(partition, (picked, mut parted)): (Partition, (Vec<u32>, Rows))| {
        let picked = UInt32Array::from(picked);
        let column = |column: &ArrayRef| take(column, &picked, None).expect("the rows are in the column");
        parted.columns = rows.columns.iter().map(column).collect();
        (partition, parted)
    };
    picks.into_iter().map(with_columns).collect()
}

fn write_segment(
    fs: &dyn FileSystem,
    path: &Path,
    table: &TableToFlush,
    fields: &[FieldRef],
    sources: &[Rows],
) -> Result<SegmentEntry> {
    let mut writer = SegmentWriter::create(fs, path, table.core.id, fields)?;
    let mut starts = vec![0; sources.len()];
    for hi in cuts(sources).into_iter().map(Some).chain([None]) {
        let mut found = Vec::new();
        for (rows, start) in sources.iter().zip(&mut starts) {
            let end = hi.map_or(rows.len(), |hi| rows.lower_bound(hi));
            found.push(rows.select(std::slice::from_ref(&(*start..end)), &rows.columns));
            *start = end;
        }
        writer.append(&merge(found))?;
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

/// Keys between which the sources hold about [`STEP_ROWS`] rows together.
fn cuts(sources: &[Rows]) -> Vec<Key> {
    if sources.iter().map(Rows::len).sum::<usize>() <= STEP_ROWS {
        return Vec::new();
    }
    let step = (STEP_ROWS / sources.len().max(1)).max(256);
    let mut keys: Vec<Key> = Vec::new();
    for rows in sources {
        let series = rows.series_of_rows();
        keys.extend((step..rows.len()).step_by(step).map(|row| (series[row], rows.times[row])));
    }
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().step_by(sources.len().max(1)).collect()
}

/// Writes the tombstones of the table's segments if there are new ones. Later writes of the same series are no concern of
/// theirs: what they say is as of their record.
fn write_tombstones(
    fs: &dyn FileSystem,
    dir: &Path,
    table: &TableToFlush,
    next_file: &mut dyn FnMut() -> FileNumber,
    flushed: &mut FlushedTable,
) -> Result<()> {
    let Some(newest) = table.newest_unstored() else { return Ok(()) };
    let bytes = tombstone::file::encode(&table.tombstones);
    let number = next_file();
    let path = files::tombstone_path(dir, number);
    write_file(fs, &path, &bytes)?;
    flushed.written.push(path);
    flushed.replaced.extend(table.tombstone_file.map(|file| files::tombstone_path(dir, file.file)));
    let checksum = crc32fast::hash(&bytes);
    flushed.tombstone_file = Some(TombstoneFileEntry { file: number, lsn: newest, checksum });
    Ok(())
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
    flushed.written.push(path);
    if join {
        flushed.replaced.extend(flushed.series_files.drain(..).map(|f| files::series_path(dir, f.file)));
    }
    flushed.series_files.push(SeriesFileEntry { file: number, series_end, checksum: crc32fast::hash(&bytes) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SeriesId;

    #[test]
    fn rows_are_parted_by_day() {
        const DAY_NS: i64 = 24 * 60 * 60 * 1_000_000_000;
        let rows = Rows {
            series: vec![(SeriesId(3), 3), (SeriesId(5), 5)],
            times: vec![-1, 0, DAY_NS, 1, 2],
            columns: vec![Arc::new(arrow_array::Int64Array::from(vec![10, 11, 12, 13, 14]))],
        };
        let parted: Vec<_> =
            part(&rows).into_iter().map(|(p, r)| (p, r.series, r.times, r.columns[0].clone())).collect();
        let column =
            |values: &[i64]| -> arrow_array::ArrayRef { Arc::new(arrow_array::Int64Array::from(values.to_vec())) };
        let expected = vec![
            (-1, vec![(SeriesId(3), 1)], vec![-1], column(&[10])),
            (0, vec![(SeriesId(3), 1), (SeriesId(5), 3)], vec![0, 1, 2], column(&[11, 13, 14])),
            (1, vec![(SeriesId(3), 1)], vec![DAY_NS], column(&[12])),
        ];
        assert_eq!(parted, expected);
    }
}
