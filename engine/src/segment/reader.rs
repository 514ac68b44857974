//! Reading a segment: open checks the frame, a read touches the vectors that hold matching rows and no others.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::ArrayRef;
use roaring::RoaringBitmap;

use crate::bytes::Cursor;
use crate::codec::{self, Malformed};
use crate::env::{FileBytes, FileSystem};
use crate::model::{FieldType, SeriesId, TableId, TimeRange};
use crate::rows::Rows;
use crate::{Error, Result};

use super::format::{ChunkInfo, ChunkTable, Field, Header, TAIL_BYTES, Tail};
use super::head::{Head, Place, SectionBytes, VectorInfo, take_places, take_statistics};
use super::output::{self, Output};
use super::stats::Stats;
use super::vector::{Decoded, Vector, VectorBuffer};

/// What the manifest knows of a segment: another file under its name must not be read in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Published {
    /// The table whose rows these are.
    pub(crate) table: TableId,
    /// Number of rows.
    pub(crate) rows: u64,
    /// Smallest and greatest timestamp.
    pub(crate) time: TimeRange,
    /// Checksum of the chunk table, and through the checksums there of everything.
    pub(crate) checksum: u32,
}

/// Which rows to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection<'a> {
    /// Only rows of these timestamps.
    pub(crate) time: TimeRange,
    /// Only rows of these series; `None` for all.
    pub(crate) series: Option<&'a RoaringBitmap>,
}

/// An open segment; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Segment(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    bytes: FileBytes,
    table: TableId,
    contents: ChunkTable,
    checksum: u32,
}

impl Segment {
    /// Opens a published segment: checks header, tail and table, and touches nothing else.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Version`], [`Error::Io`].
    pub(crate) fn open(fs: &dyn FileSystem, path: &Path, published: &Published) -> Result<Segment> {
        let segment = Segment::from_bytes(path, fs.read(path).map_err(|e| Error::io("read", path, e))?)?;
        if segment.published() != *published {
            return Err(Error::corrupt(path, 0, "segment header: not the segment that the manifest names"));
        }
        Ok(segment)
    }

    /// Opens the bytes of whatever segment is at a path.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub(crate) fn from_bytes(path: &Path, bytes: FileBytes) -> Result<Segment> {
        let header = Header::take(path, &bytes)?;
        let length = bytes.len() as u64;
        let tail_offset = bytes.len().saturating_sub(TAIL_BYTES);
        let corrupt = |offset: u64, what: &str, e: Malformed| Error::corrupt(path, offset, format!("{what}: {}", e.0));
        let tail =
            Tail::take(&bytes[tail_offset..], length).map_err(|e| corrupt(tail_offset as u64, "segment tail", e))?;
        let table_bytes = &bytes[tail.table_offset as usize..tail_offset];
        let contents = match crc32fast::hash(table_bytes) == tail.table_checksum {
            true => ChunkTable::take(table_bytes, tail.table_offset),
            false => Err(Malformed("checksum mismatch")),
        };
        let contents = contents.map_err(|e| corrupt(tail.table_offset, "chunk table", e))?;
        Ok(Segment(Arc::new(Inner {
            path: path.to_owned(),
            bytes,
            table: header.table,
            contents,
            checksum: tail.table_checksum,
        })))
    }

    /// What the manifest should know of this segment.
    pub(super) fn published(&self) -> Published {
        let Inner { table, contents, checksum, .. } = &*self.0;
        Published { table: *table, rows: contents.rows, time: contents.time, checksum: *checksum }
    }

    /// The fields stored, by position; any other is NULL in every row.
    pub(crate) fn fields(&self) -> &[Field] {
        &self.0.contents.fields
    }

    /// Smallest and greatest series; the greatest is less when there are no rows.
    pub(crate) fn series(&self) -> (SeriesId, SeriesId) {
        (self.0.contents.series_min, self.0.contents.series_max)
    }

    /// The chunks, in the order of (series, time).
    pub(crate) fn chunks(&self) -> &[ChunkInfo] {
        &self.0.contents.chunks
    }

    /// The rows of a chunk that match, with the columns at these positions of the table's schema.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn read(&self, chunk: usize, columns: &[(u32, FieldType)], select: &Selection<'_>) -> Result<Rows> {
        let info = &self.chunks()[chunk];
        if !info.time.overlaps(&select.time) || !may_hold(info, select.series) {
            let columns = columns.iter().map(|&(_, kind)| output::nulls(kind, 0)).collect();
            return Ok(Rows { series: Vec::new(), times: Vec::new(), columns });
        }
        let chunk = self.chunk(chunk)?;
        let picked = chunk.pick(select)?;
        let columns = columns.iter().map(|&(position, kind)| chunk.read_column(position, kind, &picked));
        let columns = columns.collect::<Result<_>>()?;
        Ok(Rows { series: picked.series, times: picked.times, columns })
    }

    /// The n-th chunk with its head read.
    pub(super) fn chunk(&self, nth: usize) -> Result<Chunk<'_>> {
        let inner = &*self.0;
        let info = &inner.contents.chunks[nth];
        let place = Place { length: info.head_length, checksum: info.head_checksum };
        let what = || format!("chunk {nth}, head");
        let bytes = inner.checked(info.offset, place).map_err(|e| inner.corrupt(info.offset, what(), e))?;
        let head =
            Head::take(bytes, info, &inner.contents.fields).map_err(|e| inner.corrupt(info.offset, what(), e))?;
        Ok(Chunk { segment: inner, nth, info, head })
    }
}

fn may_hold(info: &ChunkInfo, series: Option<&RoaringBitmap>) -> bool {
    series.is_none_or(|s| s.range_cardinality(info.series_first.0..=info.series_last.0) > 0)
}

impl Inner {
    /// Bytes whose checksum holds.
    fn checked(&self, offset: u64, place: Place) -> Result<&[u8], Malformed> {
        let start = usize::try_from(offset).map_err(|_| Malformed("lies behind the end"))?;
        let end = start.checked_add(place.length as usize).ok_or(Malformed("lies behind the end"))?;
        let bytes = self.bytes.get(start..end).ok_or(Malformed("lies behind the end"))?;
        if crc32fast::hash(bytes) == place.checksum { Ok(bytes) } else { Err(Malformed("checksum mismatch")) }
    }

    fn corrupt(&self, offset: u64, what: impl AsRef<str>, why: Malformed) -> Error {
        Error::corrupt(&self.path, offset, format!("{}: {}", what.as_ref(), why.0))
    }
}

/// A chunk whose head was read and checked.
#[derive(Debug)]
pub(super) struct Chunk<'a> {
    segment: &'a Inner,
    nth: usize,
    pub(super) info: &'a ChunkInfo,
    pub(super) head: Head,
}

/// The rows that match.
#[derive(Debug)]
struct Picked {
    series: Vec<(SeriesId, usize)>,
    times: Vec<i64>,
    /// Vectors with matching rows, and which rows of theirs match.
    vectors: Vec<(usize, Vec<Range<usize>>)>,
}

/// A field section whose directory was read and checked.
#[derive(Debug)]
pub(super) struct Section<'a> {
    field: Field,
    /// Offset and place of each vector.
    vectors: Vec<(u64, Place)>,
    statistics: Cursor<'a>,
    offset: u64,
}

impl Section<'_> {
    /// Position of its column in the schema of the table.
    pub(super) fn position(&self) -> u32 {
        self.field.position
    }

    /// Offset and place of each vector.
    #[cfg(test)]
    pub(super) fn vectors(&self) -> &[(u64, Place)] {
        &self.vectors
    }

    /// Where it begins in the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }
}

impl<'a> Chunk<'a> {
    /// Timestamps of the n-th vector, whose bytes begin at `offset`.
    pub(super) fn read_times(&self, nth: usize, offset: u64) -> Result<Vec<i64>> {
        let vector = &self.head.vectors[nth];
        let mut times = Vec::with_capacity(vector.rows as usize);
        self.decode_times(vector, offset, &mut times)
            .map_err(|e| self.corrupt(offset, &format!("time vector {nth}"), e))?;
        Ok(times)
    }

    fn decode_times(&self, vector: &VectorInfo, offset: u64, out: &mut Vec<i64>) -> Result<(), Malformed> {
        let bytes = self.segment.checked(offset, vector.place)?;
        let ticks = self.head.ticks;
        if let Some((first, step)) = codec::stride_of(bytes) {
            let (first, step) = (vector.times.first.wrapping_add(ticks.span_ns(first)), ticks.span_ns(step));
            out.extend((0..i64::from(vector.rows)).map(|nth| first.wrapping_add(nth.wrapping_mul(step))));
            return Ok(());
        }
        codec::decode_integers(bytes, vector.rows as usize, out)?;
        for time in out {
            *time = vector.times.first.wrapping_add(ticks.span_ns(*time));
        }
        Ok(())
    }

    /// Where the time vectors begin.
    pub(super) fn times_offset(&self) -> u64 {
        self.info.offset + u64::from(self.info.head_length)
    }

    /// Finds the matching rows: by series and by the times in the head, then by the timestamps themselves.
    fn pick(&self, select: &Selection<'_>) -> Result<Picked> {
        let mut picked = Picked { series: Vec::new(), times: Vec::new(), vectors: Vec::new() };
        let wanted = self.wanted_runs(select.series);
        let mut wanted = wanted.iter().peekable();
        let mut offset = self.times_offset();
        let mut start = 0;
        for (nth, vector) in self.head.vectors.iter().enumerate() {
            let end = start + vector.rows as usize;
            let mut parts = Vec::new();
            while let Some((series, rows)) = wanted.peek().filter(|(_, rows)| rows.start < end) {
                parts.push((*series, rows.start.max(start) - start..rows.end.min(end) - start));
                if rows.end > end {
                    break;
                }
                wanted.next();
            }
            let time = TimeRange { min_ns: vector.times.min, max_ns: vector.times.max };
            if !parts.is_empty() && time.overlaps(&select.time) {
                let times = self.read_times(nth, offset)?;
                picked.add(nth, &times, parts, select.time);
            }
            offset += u64::from(vector.place.length);
            start = end;
        }
        Ok(picked)
    }

    /// The runs of wanted series, as rows of the chunk.
    fn wanted_runs(&self, series: Option<&RoaringBitmap>) -> Vec<(SeriesId, Range<usize>)> {
        let mut start = 0;
        let mut wanted = Vec::new();
        for &(id, rows) in &self.head.runs {
            let end = start + rows as usize;
            if series.is_none_or(|s| s.contains(id.0)) {
                wanted.push((id, start..end));
            }
            start = end;
        }
        wanted
    }

    fn read_column(&self, position: u32, kind: FieldType, picked: &Picked) -> Result<ArrayRef> {
        let fields = &self.segment.contents.fields;
        let Some(nth) = fields.iter().position(|f| f.position == position) else {
            return Ok(output::nulls(kind, picked.times.len()));
        };
        if fields[nth].kind != kind {
            let why = Malformed("is stored as another type");
            return Err(self.corrupt(self.info.offset, &format!("column {position}"), why));
        }
        let Some(section) = self.section(nth)? else { return Ok(output::nulls(kind, picked.times.len())) };
        let mut output = Output::new(kind, picked.times.len());
        let mut buffer = VectorBuffer::default();
        for (vector, ranges) in &picked.vectors {
            output.extend(self.decode_vector(&section, *vector, &mut buffer)?, ranges);
        }
        Ok(output.finish())
    }

    /// The section of the n-th field; `None` where every value is NULL.
    pub(super) fn section(&self, nth: usize) -> Result<Option<Section<'a>>> {
        let Some(bytes) = self.head.sections[nth].bytes else { return Ok(None) };
        let before = self.head.sections[..nth].iter().filter_map(|s| s.bytes).map(|b| b.length).sum::<u64>();
        let offset = self.times_offset() + self.head.times_length() + before;
        let field = self.segment.contents.fields[nth];
        self.open_section(field, offset, bytes)
            .map(Some)
            .map_err(|e| self.corrupt(offset, &format!("column {}, directory", field.position), e))
    }

    fn open_section(&self, field: Field, offset: u64, bytes: SectionBytes) -> Result<Section<'a>, Malformed> {
        let mut statistics = Cursor::new(self.segment.checked(offset, bytes.directory)?);
        let places = take_places(self.head.vectors.len(), &mut statistics)?;
        let mut end = offset + u64::from(bytes.directory.length);
        let mut vectors = Vec::with_capacity(places.len());
        for place in places {
            vectors.push((end, place));
            end += u64::from(place.length);
        }
        if end - offset != bytes.length {
            return Err(Malformed("vectors do not fill the section"));
        }
        Ok(Section { field, vectors, statistics, offset })
    }

    /// The n-th vector of a field, in a buffer.
    fn decode_vector<'b>(
        &self,
        section: &Section<'_>,
        nth: usize,
        buffer: &'b mut VectorBuffer,
    ) -> Result<Decoded<'b>> {
        let (offset, place) = section.vectors[nth];
        let rows = self.head.vectors[nth].rows as usize;
        let decoded = self.segment.checked(offset, place).and_then(|b| buffer.take(section.field.kind, rows, b));
        decoded.map_err(|e| self.corrupt(offset, &format!("column {}, vector {nth}", section.field.position), e))
    }

    /// The n-th vector of a field.
    pub(super) fn read_vector(&self, section: &Section<'_>, nth: usize) -> Result<Vector> {
        let (offset, place) = section.vectors[nth];
        let rows = self.head.vectors[nth].rows as usize;
        let vector = self.segment.checked(offset, place).and_then(|b| Vector::take(section.field.kind, rows, b));
        vector.map_err(|e| self.corrupt(offset, &format!("column {}, vector {nth}", section.field.position), e))
    }

    /// The statistics of every vector of a field.
    pub(super) fn read_statistics(&self, section: &Section<'_>) -> Result<Vec<Stats>> {
        let mut cursor = section.statistics.clone();
        take_statistics(section.field, &self.head.vectors, &mut cursor)
            .map_err(|e| self.corrupt(section.offset, &format!("column {}, statistics", section.field.position), e))
    }

    /// A structure of this chunk that is not what was written.
    pub(super) fn corrupt(&self, offset: u64, what: &str, why: Malformed) -> Error {
        self.segment.corrupt(offset, format!("chunk {}, {what}", self.nth), why)
    }
}

impl Picked {
    /// Adds the rows of a vector that lie in the parts of wanted series and in the time range.
    fn add(&mut self, vector: usize, times: &[i64], parts: Vec<(SeriesId, Range<usize>)>, time: TimeRange) {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (series, part) in parts {
            let run = &times[part.clone()];
            let skipped = run.partition_point(|&t| t < time.min_ns);
            let kept = run[skipped..].partition_point(|&t| t <= time.max_ns);
            if kept == 0 {
                continue;
            }
            let range = part.start + skipped..part.start + skipped + kept;
            self.times.extend_from_slice(&times[range.clone()]);
            let end = self.times.len();
            match self.series.last_mut().filter(|last| last.0 == series) {
                Some(last) => last.1 = end,
                None => self.series.push((series, end)),
            }
            match ranges.last_mut().filter(|last| last.end == range.start) {
                Some(last) => last.end = range.end,
                None => ranges.push(range),
            }
        }
        if !ranges.is_empty() {
            self.vectors.push((vector, ranges));
        }
    }
}
