//! Writing neighbouring segments of one partition as one, without their deleted rows, in steps of bounded size.
//!
//! Nothing here is live until the caller publishes it; the file of a compaction that is given up is removed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::plan::Compaction;
use super::stream::{Piece, Stream, Wanted};
use crate::Result;
use crate::env::FileSystem;
use crate::files;
use crate::manifest::{FileNumber, SegmentEntry};
use crate::model::FieldRef;
use crate::segment::{Segment, SegmentWriter};
use crate::table::LiveSegment;
use crate::tombstone::Tombstones;
use crate::wal::Lsn;

/// Chunks of at least this many rows are copied as they are where that is possible; smaller ones are filled up.
const CHUNK_ROWS_COPIED: usize = 8 * 1024;

/// A compaction that is under way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) compaction: Compaction,
    inputs: Vec<Arc<LiveSegment>>,
    /// All that was deleted up to this record is left out.
    lsn: Lsn,
    number: FileNumber,
    path: PathBuf,
    stream: Stream,
    writer: SegmentWriter,
    rows_done: u64,
}

/// What a compaction made.
#[derive(Debug)]
pub(crate) struct Compacted {
    pub(crate) compaction: Compaction,
    pub(crate) path: PathBuf,
    /// `None` when every row was deleted.
    pub(crate) segment: Option<LiveSegment>,
}

impl Job {
    /// Begins to write the segments, which are given as of the record `lsn`.
    ///
    /// # Errors
    /// [`crate::Error::DiskFull`], [`crate::Error::Io`].
    pub(crate) fn begin(
        fs: &dyn FileSystem,
        dir: &Path,
        compaction: Compaction,
        inputs: Vec<Arc<LiveSegment>>,
        lsn: Lsn,
        number: FileNumber,
    ) -> Result<Job> {
        let fields = fields(&inputs)?;
        let stream = Stream::new(&inputs, &[], fields.clone(), Wanted::ALL)?;
        let path = files::segment_path(dir, number);
        let writer = SegmentWriter::create(fs, &path, compaction.table, &fields);
        let writer = writer.inspect_err(|_| remove(fs, &path))?;
        Ok(Job { compaction, inputs, lsn, number, path, stream, writer, rows_done: 0 })
    }

    /// Writes at least `rows_min` rows more, unless that is the end; says whether it is.
    ///
    /// # Errors
    /// As [`Job::begin`], and [`crate::Error::Corrupt`] for an input: then the job has to be given up.
    pub(crate) fn step(&mut self, rows_min: u64) -> Result<bool> {
        let until = self.rows_done.saturating_add(rows_min);
        while self.rows_done < until {
            match self.stream.next_piece(CHUNK_ROWS_COPIED)? {
                None => return Ok(true),
                Some(Piece::Rows(rows)) => {
                    self.writer.append(&rows)?;
                    self.rows_done += rows.len() as u64;
                }
                Some(Piece::Chunk(segment, chunk)) => {
                    self.writer.append_chunk(&segment, chunk)?;
                    self.rows_done += u64::from(segment.chunks()[chunk].rows);
                }
            }
        }
        Ok(false)
    }

    /// Rows written so far.
    pub(crate) fn rows_done(&self) -> u64 {
        self.rows_done
    }

    /// Bytes of the inputs that are left to be written, roughly.
    pub(crate) fn bytes_left(&self) -> u64 {
        let rows: u64 = self.inputs.iter().map(|s| s.entry.rows).sum();
        let left = rows.saturating_sub(self.rows_done);
        (u128::from(self.compaction.bytes) * u128::from(left) / u128::from(rows.max(1))) as u64
    }

    /// Syncs the file and opens it; the directory is the caller's to sync.
    ///
    /// # Errors
    /// As [`Job::begin`]: no file is left then.
    pub(crate) fn finish(self, fs: &dyn FileSystem, now_ns: i64) -> Result<Compacted> {
        let Job { compaction, inputs, lsn, number, path, writer, .. } = self;
        let made: Result<Option<LiveSegment>> = (|| {
            let summary = writer.finish()?;
            if summary.rows == 0 {
                fs.remove(&path).map_err(|e| crate::Error::io("remove", &path, e))?;
                return Ok(None);
            }
            let entry = SegmentEntry {
                file: number,
                rows: summary.rows,
                bytes: summary.bytes,
                min_ns: summary.time.min_ns,
                max_ns: summary.time.max_ns,
                lsn,
                tier: inputs[0].entry.tier,
                checksum: summary.checksum,
            };
            let file = Segment::open(fs, &path, &entry.published(compaction.table))?;
            let (path, deleted) = (path.clone(), Tombstones::default());
            Ok(Some(LiveSegment { entry, path, file: Ok(file), deleted, changed_ns: now_ns }))
        })();
        let segment = made.inspect_err(|_| remove(fs, &path))?;
        Ok(Compacted { compaction, path, segment })
    }

    /// Removes what was written.
    pub(crate) fn give_up(self, fs: &dyn FileSystem) {
        remove(fs, &self.path);
    }
}

fn remove(fs: &dyn FileSystem, path: &Path) {
    let _left_for_the_next_open = fs.remove(path);
}

/// The fields of all segments, each once, by position.
fn fields(inputs: &[Arc<LiveSegment>]) -> Result<Vec<FieldRef>> {
    let mut fields: Vec<FieldRef> = Vec::new();
    for live in inputs {
        let segment = live.file.as_ref().map_err(crate::Error::again)?;
        fields.extend(segment.fields().iter().map(|f| (f.position, f.kind)));
    }
    fields.sort_unstable_by_key(|(position, _)| *position);
    fields.dedup();
    Ok(fields)
}
