//! Writing a segment from front to back: rows are cut into vectors, vectors fill a chunk, a full chunk is appended.

use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow_array::{Array, StringViewArray};

use crate::codec::{self, Compression};
use crate::env::{AppendFile, FileSystem};
use crate::model::{FieldType, SeriesId, TableId, TimeRange};
use crate::rows::Rows;
use crate::{Error, Result};

use super::format::{
    CHUNK_BYTES_FULL, CHUNK_ROWS_FULL, CHUNK_ROWS_MAX, ChunkInfo, ChunkTable, Field, Header, RUN_VECTOR_ROWS, TIER_RAW,
    Tail, VECTOR_ROWS_MAX,
};
use super::head::{DirectoryEntry, Head, Place, SectionBytes, SectionInfo, Ticks, Times, VectorInfo, put_directory};
use super::stats::Stats;
use super::vector::Vector;

/// A vector ends before its texts grow beyond this, unless a single one does.
const VECTOR_TEXT_BYTES: usize = 16 << 20;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentSummary {
    /// Rows stored.
    pub(crate) rows: u64,
    /// Length of the file.
    pub(crate) bytes: u64,
    /// Smallest and greatest timestamp; empty when there are no rows.
    pub(crate) time: TimeRange,
    /// Smallest series.
    pub(crate) series_min: SeriesId,
    /// Greatest series; less than `series_min` when there are no rows.
    pub(crate) series_max: SeriesId,
    /// Checksum of the chunk table, and through the checksums there of everything.
    pub(crate) checksum: u32,
}

/// A segment being written. Dropped without [`SegmentWriter::finish`] it leaves a file that no reader accepts.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    path: PathBuf,
    file: Box<dyn AppendFile>,
    offset: u64,
    table: ChunkTable,
    chunk: ChunkBuilder,
    last: Option<(SeriesId, i64)>,
}

impl SegmentWriter {
    /// Creates a segment for the fields at these positions of the table's schema, in ascending order.
    ///
    /// # Errors
    /// [`Error::DiskFull`], [`Error::Io`]; the name must be new.
    pub(crate) fn create(
        fs: &dyn FileSystem,
        path: &Path,
        table: TableId,
        fields: &[(u32, FieldType)],
    ) -> Result<SegmentWriter> {
        assert!(fields.windows(2).all(|w| w[0].0 < w[1].0), "fields of a segment are in the order of the schema");
        let fields: Vec<Field> = fields.iter().map(|&(position, kind)| Field { position, kind }).collect();
        let chunk = ChunkBuilder::new(&fields, Compression::of_tier(TIER_RAW));
        let file = fs.create(path).map_err(|e| Error::io("create", path, e))?;
        let table_of_chunks = ChunkTable::new(fields);
        let mut writer =
            SegmentWriter { path: path.to_owned(), file, offset: 0, table: table_of_chunks, chunk, last: None };
        let mut header = Vec::new();
        Header { table, tier: TIER_RAW }.put(&mut header);
        writer.append_bytes(&header)?;
        Ok(writer)
    }

    /// Appends rows that follow all rows so far in the order of (series, time); one column per field.
    ///
    /// # Errors
    /// [`Error::DiskFull`], [`Error::Io`]: the file is of no use then.
    pub(crate) fn append(&mut self, rows: &Rows) -> Result<()> {
        assert_eq!(rows.columns.len(), self.table.fields.len(), "rows have the fields of the segment");
        for nth in 0..rows.series.len() {
            self.append_run(rows.series[nth].0, rows, rows.range(nth))?;
        }
        Ok(())
    }

    /// Writes what is left, the table and the tail, and syncs the file; its name is the caller's to sync and publish.
    ///
    /// # Errors
    /// As [`SegmentWriter::append`].
    pub(crate) fn finish(mut self) -> Result<SegmentSummary> {
        self.finish_chunk()?;
        let mut end = Vec::new();
        self.table.put(&mut end);
        let (table_offset, table_length) = (self.offset, end.len() as u64);
        let checksum = crc32fast::hash(&end);
        Tail { table_offset, table_length, table_checksum: checksum }.put(&mut end);
        self.append_bytes(&end)?;
        self.file.sync().map_err(|e| Error::io("sync", &self.path, e))?;
        let ChunkTable { rows, time, series_min, series_max, .. } = self.table;
        Ok(SegmentSummary { rows, bytes: self.offset, time, series_min, series_max, checksum })
    }

    fn append_run(&mut self, series: SeriesId, rows: &Rows, mut range: Range<usize>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.check_order(series, &rows.times[range.clone()]);
        if self.chunk.changes_series(series) {
            self.chunk.end_run(range.len());
            if self.chunk.rows() >= CHUNK_ROWS_FULL {
                self.finish_chunk()?;
            }
        }
        while !range.is_empty() {
            let piece = self.chunk.fitting(rows, range.clone());
            if piece.is_empty() {
                self.chunk.cut();
            } else {
                range.start = piece.end;
                self.chunk.push(series, rows, piece);
            }
            if self.chunk.is_full() {
                self.finish_chunk()?;
            }
        }
        Ok(())
    }

    fn check_order(&mut self, series: SeriesId, times: &[i64]) {
        assert!(times.is_sorted_by(|a, b| a < b), "times of a series ascend");
        let follows = self.last.is_none_or(|last| last < (series, times[0]));
        assert!(follows, "rows of a segment are appended in the order of (series, time)");
        self.last = times.last().map(|&time| (series, time));
    }

    fn finish_chunk(&mut self) -> Result<()> {
        if self.chunk.rows() == 0 {
            return Ok(());
        }
        let empty = ChunkBuilder::new(&self.table.fields, self.chunk.compression);
        let (bytes, info) = std::mem::replace(&mut self.chunk, empty).finish(self.offset);
        self.append_bytes(&bytes)?;
        self.table.push(info);
        Ok(())
    }

    fn append_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.append(bytes).map_err(|e| Error::io("write", &self.path, e))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

/// The chunk being filled.
#[derive(Debug)]
struct ChunkBuilder {
    runs: Vec<(SeriesId, u32)>,
    /// Timestamps of all rows; encoded at the end, when their common unit is known.
    times: Vec<i64>,
    /// Ends of the vectors that are cut, as row numbers of the chunk.
    cuts: Vec<usize>,
    sections: Vec<SectionBuilder>,
    encoded_bytes: usize,
    compression: Compression,
}

/// One field of the chunk being filled.
#[derive(Debug)]
struct SectionBuilder {
    kind: FieldType,
    /// Rows after the last cut.
    open: Vector,
    entries: Vec<DirectoryEntry>,
    stats: Stats,
    bytes: Vec<u8>,
}

impl ChunkBuilder {
    fn new(fields: &[Field], compression: Compression) -> ChunkBuilder {
        let section = |field: &Field| SectionBuilder {
            kind: field.kind,
            open: Vector::new(field.kind),
            entries: Vec::new(),
            stats: Stats::none(),
            bytes: Vec::new(),
        };
        let sections = fields.iter().map(section).collect();
        ChunkBuilder { runs: Vec::new(), times: Vec::new(), cuts: Vec::new(), sections, encoded_bytes: 0, compression }
    }

    fn rows(&self) -> usize {
        self.times.len()
    }

    /// Rows after the last cut.
    fn open_rows(&self) -> usize {
        self.rows() - self.last_cut()
    }

    fn last_cut(&self) -> usize {
        self.cuts.last().copied().unwrap_or(0)
    }

    fn is_full(&self) -> bool {
        self.rows() == CHUNK_ROWS_MAX || (self.open_rows() == 0 && self.encoded_bytes >= CHUNK_BYTES_FULL)
    }

    fn changes_series(&self, series: SeriesId) -> bool {
        self.runs.last().is_some_and(|run| run.0 != series)
    }

    /// Cuts where the series changes if a series alone is worth a vector.
    fn end_run(&mut self, next_rows: usize) {
        let rows = self.runs.last().map_or(0, |run| run.1 as usize);
        if rows >= RUN_VECTOR_ROWS || next_rows >= RUN_VECTOR_ROWS {
            self.cut();
        }
    }

    /// The front of these rows that fits the open vector; at least one row if it has none.
    fn fitting(&self, rows: &Rows, range: Range<usize>) -> Range<usize> {
        let room = (VECTOR_ROWS_MAX - self.open_rows()).min(CHUNK_ROWS_MAX - self.rows());
        let most = range.start..range.end.min(range.start + room);
        let texts = self.sections.iter().zip(&rows.columns).filter_map(|(section, column)| {
            let texts = column.as_any().downcast_ref::<StringViewArray>()?;
            Some(fitting_texts(section.open.text_bytes(), texts, most.clone()))
        });
        let least = range.start + usize::from(self.open_rows() == 0);
        range.start..texts.min().unwrap_or(most.end).max(least)
    }

    fn push(&mut self, series: SeriesId, rows: &Rows, range: Range<usize>) {
        match self.runs.last_mut().filter(|run| run.0 == series) {
            Some(run) => run.1 += range.len() as u32,
            None => self.runs.push((series, range.len() as u32)),
        }
        self.times.extend_from_slice(&rows.times[range.clone()]);
        for (section, column) in self.sections.iter_mut().zip(&rows.columns) {
            section.open.extend(column, range.clone());
        }
        let full_of_text = self.sections.iter().any(|s| s.open.text_bytes() >= VECTOR_TEXT_BYTES);
        if self.open_rows() == VECTOR_ROWS_MAX || full_of_text {
            self.cut();
        }
    }

    /// Ends the open vector.
    fn cut(&mut self) {
        let times = &self.times[self.last_cut()..];
        if times.is_empty() {
            return;
        }
        for section in &mut self.sections {
            self.encoded_bytes += section.cut(times, self.compression);
        }
        self.cuts.push(self.times.len());
    }

    /// The bytes of the chunk, which has at least one row, and its entry in the table.
    fn finish(mut self, offset: u64) -> (Vec<u8>, ChunkInfo) {
        self.cut();
        let ticks = Ticks::of(&self.times);
        let mut time_bytes = Vec::new();
        let mut vectors = Vec::new();
        let mut start = 0;
        for &end in &self.cuts {
            vectors.push(put_times(&self.times[start..end], ticks, &mut time_bytes));
            start = end;
        }
        let mut section_bytes = Vec::new();
        let sections = self.sections.into_iter().map(|s| s.finish(&vectors, &mut section_bytes)).collect();
        let head = Head { ticks, runs: self.runs, vectors, sections };
        let mut bytes = Vec::new();
        head.put(&mut bytes);
        let place = Place::of(&bytes);
        bytes.extend_from_slice(&time_bytes);
        bytes.extend_from_slice(&section_bytes);
        let times = Times::of(&self.times);
        let info = ChunkInfo {
            offset,
            length: bytes.len() as u64,
            head_length: place.length,
            head_checksum: place.checksum,
            rows: self.times.len() as u32,
            runs: head.runs.len() as u32,
            series_first: head.runs[0].0,
            series_last: head.runs[head.runs.len() - 1].0,
            time: TimeRange { min_ns: times.min, max_ns: times.max },
        };
        (bytes, info)
    }
}

/// Where these rows have to end to keep the texts of a vector within bounds, which has some bytes already.
fn fitting_texts(mut bytes: usize, texts: &StringViewArray, range: Range<usize>) -> usize {
    // The low half of a view is the length of its text.
    let fits = |&row: &usize| {
        bytes += texts.views()[row] as u32 as usize;
        bytes <= VECTOR_TEXT_BYTES
    };
    range.clone().take_while(fits).count() + range.start
}

/// Appends the time vector of these rows.
fn put_times(times: &[i64], ticks: Ticks, out: &mut Vec<u8>) -> VectorInfo {
    let first = ticks.tick(times[0]);
    let relative: Vec<i64> = times.iter().map(|&t| ticks.tick(t).wrapping_sub(first)).collect();
    let start = out.len();
    codec::encode_integers(&relative, out);
    VectorInfo { rows: times.len() as u32, place: Place::of(&out[start..]), times: Times::of(times) }
}

impl SectionBuilder {
    /// Encodes the open vector, of rows with these timestamps; says how many bytes it took.
    fn cut(&mut self, times: &[i64], compression: Compression) -> usize {
        let vector = std::mem::replace(&mut self.open, Vector::new(self.kind));
        let present = vector.present();
        let stats = Stats::of(&vector, &present, times);
        let start = self.bytes.len();
        vector.put(&present, compression, &mut self.bytes);
        self.stats.add(&stats);
        self.entries.push(DirectoryEntry { place: Place::of(&self.bytes[start..]), stats });
        self.bytes.len() - start
    }

    /// Appends the section, if there is any value.
    fn finish(self, vectors: &[VectorInfo], out: &mut Vec<u8>) -> SectionInfo {
        if self.stats.count() == 0 {
            return SectionInfo { stats: self.stats, bytes: None };
        }
        let start = out.len();
        put_directory(&self.entries, vectors, out);
        let directory = Place::of(&out[start..]);
        out.extend_from_slice(&self.bytes);
        SectionInfo { stats: self.stats, bytes: Some(SectionBytes { length: (out.len() - start) as u64, directory }) }
    }
}
