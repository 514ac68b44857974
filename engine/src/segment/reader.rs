//! Reading a segment: open checks the frame, a read touches the vectors that hold matching rows and no others.
//!
//! Heads and directories are kept once read, and a vector's checksum is compared once: see `cache`.

mod picked;
mod series;

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

use super::cache::{Checked, Slot};
use super::format::{ChunkInfo, ChunkTable, Field, Header, TAIL_BYTES, Tail};
use super::head::{Head, Place, SectionBytes, Times, take_places, take_statistics};
use super::output::{self, Output};
use super::stats::Stats;
use super::vector::{Decoded, Vector, VectorBuffer};
pub(crate) use picked::Picked;

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
    /// One per chunk.
    parsed: Vec<Slot<Parsed>>,
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
            parsed: contents.chunks.iter().map(|_| Slot::empty()).collect(),
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

    /// The bytes of a chunk.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(super) fn chunk_bytes(&self, nth: usize) -> Result<&[u8]> {
        let info = &self.chunks()[nth];
        let bytes = usize::try_from(info.offset).ok().and_then(|start| {
            let end = start.checked_add(usize::try_from(info.length).ok()?)?;
            self.0.bytes.get(start..end)
        });
        bytes.ok_or_else(|| Error::corrupt(&self.0.path, info.offset, format!("chunk {nth}: lies behind the end")))
    }

    /// Positions of the chunks that may hold rows of these series and times, in order.
    pub(crate) fn chunks_for(&self, select: &Selection<'_>) -> Vec<usize> {
        let chunks = self.chunks();
        let in_time = |nth: &usize| chunks[*nth].time.overlaps(&select.time);
        match select.series {
            Some(series) if series.len() < chunks.len() as u64 / 8 => {
                let mut found = Vec::new();
                for id in series {
                    let start = chunks.partition_point(|c| c.series_last.0 < id);
                    let start = start.max(found.last().map_or(0, |last| last + 1));
                    let end = start + chunks[start..].partition_point(|c| c.series_first.0 <= id);
                    found.extend(start..end);
                }
                found.retain(in_time);
                found
            }
            series => (0..chunks.len()).filter(in_time).filter(|nth| may_hold(&chunks[*nth], series)).collect(),
        }
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
        chunk.rows(columns, chunk.pick(select)?)
    }

    /// The n-th chunk with its head read.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn chunk(&self, nth: usize) -> Result<Chunk<'_>> {
        let inner = &*self.0;
        let info = &inner.contents.chunks[nth];
        let parse = || {
            inner.parse(info).map(|parsed| {
                let held = parsed.bytes();
                (parsed, held)
            })
        };
        let parsed =
            inner.parsed[nth].get(parse).map_err(|e| inner.corrupt(info.offset, format!("chunk {nth}, head"), e))?;
        Ok(Chunk { segment: inner, nth, info, parsed })
    }
}

fn may_hold(info: &ChunkInfo, series: Option<&RoaringBitmap>) -> bool {
    series.is_none_or(|s| s.range_cardinality(info.series_first.0..=info.series_last.0) > 0)
}

impl Inner {
    fn parse(&self, info: &ChunkInfo) -> Result<Parsed, Malformed> {
        let place = Place { length: info.head_length, checksum: info.head_checksum };
        let head = Head::take(self.checked(info.offset, place)?, info, &self.contents.fields)?;
        Ok(Parsed::new(head, info))
    }

    fn bytes(&self, offset: u64, length: u32) -> Result<&[u8], Malformed> {
        let start = usize::try_from(offset).map_err(|_| Malformed("lies behind the end"))?;
        let end = start.checked_add(length as usize).ok_or(Malformed("lies behind the end"))?;
        self.bytes.get(start..end).ok_or(Malformed("lies behind the end"))
    }

    /// Bytes whose checksum holds.
    fn checked(&self, offset: u64, place: Place) -> Result<&[u8], Malformed> {
        let bytes = self.bytes(offset, place.length)?;
        if crc32fast::hash(bytes) == place.checksum { Ok(bytes) } else { Err(Malformed("checksum mismatch")) }
    }

    fn corrupt(&self, offset: u64, what: impl AsRef<str>, why: Malformed) -> Error {
        Error::corrupt(&self.path, offset, format!("{}: {}", what.as_ref(), why.0))
    }
}

/// The head of a chunk, and where things are that follow from it.
#[derive(Debug)]
struct Parsed {
    head: Head,
    /// First row of each run.
    run_starts: Vec<u32>,
    /// First row of each vector, and where its timestamps are.
    vector_starts: Vec<(u32, u64)>,
    /// Where each field section is.
    section_offsets: Vec<u64>,
    /// The directory of each field section.
    sections: Vec<Slot<Directory>>,
    /// Which vectors are checked: those of time, then those of each field.
    checked: Checked,
}

/// The directory of a field section.
#[derive(Debug)]
struct Directory {
    /// Offset and place of each vector.
    vectors: Vec<(u64, Place)>,
    /// Where the statistics are among the bytes of the directory.
    statistics_at: usize,
    statistics: Slot<Vec<Stats>>,
}

impl Parsed {
    fn new(head: Head, info: &ChunkInfo) -> Parsed {
        let starts = |rows: &mut dyn Iterator<Item = u32>| -> Vec<u32> {
            rows.scan(0, |end, rows| Some(std::mem::replace(end, *end + rows))).collect()
        };
        let run_starts = starts(&mut head.runs.iter().map(|run| run.1));
        let mut vector_starts = Vec::with_capacity(head.vectors.len());
        let (mut row, mut offset) = (0, info.offset + u64::from(info.head_length));
        for vector in &head.vectors {
            vector_starts.push((row, offset));
            row += vector.rows;
            offset += u64::from(vector.place.length);
        }
        let mut section_offsets = Vec::with_capacity(head.sections.len());
        for section in &head.sections {
            section_offsets.push(offset);
            offset += section.bytes.map_or(0, |bytes| bytes.length);
        }
        let sections = head.sections.iter().map(|_| Slot::empty()).collect();
        let checked = Checked::none(head.vectors.len() * (1 + head.sections.len()));
        Parsed { head, run_starts, vector_starts, section_offsets, sections, checked }
    }

    /// Memory held, roughly.
    fn bytes(&self) -> usize {
        let sections = size_of_val(&*self.head.sections) + size_of_val(&*self.sections);
        let vectors = size_of_val(&*self.head.vectors) + size_of_val(&*self.vector_starts);
        let runs = size_of_val(&*self.head.runs) + size_of_val(&*self.run_starts);
        size_of::<Parsed>() + sections + vectors + runs + self.checked.bytes()
    }
}

/// A chunk whose head was read and checked.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    segment: &'a Inner,
    nth: usize,
    pub(crate) info: &'a ChunkInfo,
    parsed: Arc<Parsed>,
}

/// A field section whose directory was read and checked.
#[derive(Debug)]
pub(crate) struct Section {
    nth: usize,
    field: Field,
    directory: Arc<Directory>,
    offset: u64,
}

impl Section {
    /// Position of its column in the schema of the table.
    pub(super) fn position(&self) -> u32 {
        self.field.position
    }

    /// Offset and place of each vector.
    #[cfg(test)]
    pub(super) fn vectors(&self) -> &[(u64, Place)] {
        &self.directory.vectors
    }

    /// Where it begins in the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }
}

/// The timestamps of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VectorTimes {
    /// Row *i* is at first + *i* × step.
    Stride {
        /// Timestamp of the first row.
        first_ns: i64,
        /// Distance of two rows.
        step_ns: i64,
    },
    /// One by one, in the buffer that was handed in.
    Listed,
}

impl Chunk<'_> {
    /// The head.
    pub(super) fn head(&self) -> &Head {
        &self.parsed.head
    }

    /// Each series with its number of rows.
    pub(crate) fn runs(&self) -> &[(SeriesId, u32)] {
        &self.parsed.head.runs
    }

    /// The rows of the n-th run, counted from the first row of the chunk.
    pub(crate) fn run_rows(&self, nth: usize) -> Range<usize> {
        let start = self.parsed.run_starts[nth] as usize;
        start..start + self.parsed.head.runs[nth].1 as usize
    }

    /// Number of vectors.
    pub(crate) fn vectors(&self) -> usize {
        self.parsed.head.vectors.len()
    }

    /// The rows of the n-th vector, counted from the first row of the chunk.
    pub(crate) fn vector_rows(&self, nth: usize) -> Range<usize> {
        let start = self.parsed.vector_starts[nth].0 as usize;
        start..start + self.parsed.head.vectors[nth].rows as usize
    }

    /// The vector that holds a row of the chunk.
    pub(crate) fn vector_of(&self, row: usize) -> usize {
        self.parsed.vector_starts.partition_point(|start| start.0 as usize <= row) - 1
    }

    /// First, last, smallest and greatest timestamp of the n-th vector.
    pub(crate) fn vector_times(&self, nth: usize) -> Times {
        self.parsed.head.vectors[nth].times
    }

    /// Timestamps of the n-th vector.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn read_times(&self, nth: usize) -> Result<Vec<i64>> {
        let mut times = Vec::with_capacity(self.parsed.head.vectors[nth].rows as usize);
        self.times_into(nth, &mut times).map_err(|e| self.corrupt_times(nth, e))?;
        Ok(times)
    }

    /// Timestamps of the n-th vector: as a stride if they are one, else in `buffer`, whose contents are replaced.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn times(&self, nth: usize, buffer: &mut Vec<i64>) -> Result<VectorTimes> {
        let bytes = self.times_bytes(nth).map_err(|e| self.corrupt_times(nth, e))?;
        if let Some((first_ns, step_ns)) = self.stride(nth, bytes) {
            return Ok(VectorTimes::Stride { first_ns, step_ns });
        }
        buffer.clear();
        self.times_into(nth, buffer).map_err(|e| self.corrupt_times(nth, e))?;
        Ok(VectorTimes::Listed)
    }

    fn times_into(&self, nth: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
        let vector = &self.head().vectors[nth];
        let bytes = self.times_bytes(nth)?;
        if let Some((first, step)) = self.stride(nth, bytes) {
            out.extend((0..i64::from(vector.rows)).map(|nth| first.wrapping_add(nth.wrapping_mul(step))));
            return Ok(());
        }
        codec::decode_integers(bytes, vector.rows as usize, out)?;
        let ticks = self.head().ticks;
        for time in out {
            *time = vector.times.first.wrapping_add(ticks.span_ns(*time));
        }
        Ok(())
    }

    /// First timestamp and distance of the n-th vector, of which these are the bytes, if it is regular.
    fn stride(&self, nth: usize, bytes: &[u8]) -> Option<(i64, i64)> {
        let (first, step) = codec::stride_of(bytes)?;
        let ticks = self.head().ticks;
        Some((self.vector_times(nth).first.wrapping_add(ticks.span_ns(first)), ticks.span_ns(step)))
    }

    /// The bytes of the timestamps of the n-th vector.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(super) fn times_of_vector(&self, nth: usize) -> Result<&[u8]> {
        self.times_bytes(nth).map_err(|e| self.corrupt_times(nth, e))
    }

    /// The bytes of the n-th vector of a field.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(super) fn bytes_of_vector(&self, section: &Section, nth: usize) -> Result<&[u8]> {
        self.vector_bytes(section, nth).map_err(|e| self.corrupt_vector(section, nth, e))
    }

    fn times_bytes(&self, nth: usize) -> Result<&[u8], Malformed> {
        self.once_checked(nth, self.parsed.vector_starts[nth].1, self.head().vectors[nth].place)
    }

    /// Bytes whose checksum holds, or held when it was compared before.
    fn once_checked(&self, nth: usize, offset: u64, place: Place) -> Result<&[u8], Malformed> {
        if self.parsed.checked.contains(nth) {
            return self.segment.bytes(offset, place.length);
        }
        let bytes = self.segment.checked(offset, place)?;
        self.parsed.checked.insert(nth);
        Ok(bytes)
    }

    /// Where the timestamps of the n-th vector are.
    pub(super) fn times_offset(&self, nth: usize) -> u64 {
        self.parsed.vector_starts[nth].1
    }

    /// The error that timestamps of the n-th vector are not those that the head tells of.
    pub(crate) fn times_differ(&self, nth: usize) -> Error {
        self.corrupt_times(nth, Malformed("differs from the head"))
    }

    fn corrupt_times(&self, nth: usize, why: Malformed) -> Error {
        self.corrupt(self.times_offset(nth), &format!("time vector {nth}"), why)
    }

    /// Finds the matching rows: by series and by the times in the head, then by the timestamps themselves.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn pick(&self, select: &Selection<'_>) -> Result<Picked> {
        let mut picked = Picked::default();
        let wanted = self.wanted_runs(select.series);
        let Some(first) = wanted.first().map(|(_, rows)| self.vector_of(rows.start)) else { return Ok(picked) };
        let mut wanted = wanted.iter().peekable();
        let mut buffer = Vec::new();
        for nth in first..self.vectors() {
            let Range { start, end } = self.vector_rows(nth);
            let mut parts = Vec::new();
            while let Some((series, rows)) = wanted.peek().filter(|(_, rows)| rows.start < end) {
                parts.push((*series, rows.start.max(start) - start..rows.end.min(end) - start));
                if rows.end > end {
                    break;
                }
                wanted.next();
            }
            let times = self.vector_times(nth);
            let time = TimeRange { min_ns: times.min, max_ns: times.max };
            if !parts.is_empty() && time.overlaps(&select.time) {
                buffer.clear();
                self.times_into(nth, &mut buffer).map_err(|e| self.corrupt_times(nth, e))?;
                picked.add(nth, &buffer, parts, select.time);
            }
            if wanted.peek().is_none() {
                break;
            }
        }
        Ok(picked)
    }

    /// The runs of wanted series, as rows of the chunk.
    fn wanted_runs(&self, series: Option<&RoaringBitmap>) -> Vec<(SeriesId, Range<usize>)> {
        let runs = self.runs();
        let run = |nth: usize| (runs[nth].0, self.run_rows(nth));
        match series {
            None => (0..runs.len()).map(run).collect(),
            Some(series) if series.len() < runs.len() as u64 / 8 => {
                let find = |id: u32| runs.binary_search_by_key(&id, |run| run.0.0).ok();
                series.range(self.info.series_first.0..=self.info.series_last.0).filter_map(find).map(run).collect()
            }
            Some(series) => (0..runs.len()).filter(|nth| series.contains(runs[*nth].0.0)).map(run).collect(),
        }
    }

    /// Some rows, with the columns at these positions of the table's schema.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn rows(&self, columns: &[(u32, FieldType)], picked: Picked) -> Result<Rows> {
        let columns = columns.iter().map(|&(position, kind)| self.read_column(position, kind, &picked));
        let columns = columns.collect::<Result<_>>()?;
        Ok(Rows { series: picked.series, times: picked.times, columns })
    }

    fn read_column(&self, position: u32, kind: FieldType, picked: &Picked) -> Result<ArrayRef> {
        let Some(section) = self.field(position, kind)? else { return Ok(output::nulls(kind, picked.times.len())) };
        let mut output = Output::new(kind, picked.times.len());
        let mut buffer = VectorBuffer::default();
        for (vector, ranges) in &picked.vectors {
            output.extend(self.decode_vector(&section, *vector, &mut buffer)?, ranges);
        }
        Ok(output.finish())
    }

    /// The section of the field at a position of the table's schema; `None` where every value is NULL.
    ///
    /// # Errors
    /// [`Error::Corrupt`], also when the field is stored as another type.
    pub(crate) fn field(&self, position: u32, kind: FieldType) -> Result<Option<Section>> {
        let Some(nth) = self.field_nth(position, kind)? else { return Ok(None) };
        self.section(nth)
    }

    /// Statistics of the field at a position of the table's schema over the whole chunk; `None` where every value is NULL.
    ///
    /// # Errors
    /// As [`Chunk::field`].
    pub(crate) fn field_stats(&self, position: u32, kind: FieldType) -> Result<Option<&Stats>> {
        let nth = self.field_nth(position, kind)?;
        Ok(nth.map(|nth| &self.head().sections[nth]).filter(|s| s.bytes.is_some()).map(|section| &section.stats))
    }

    fn field_nth(&self, position: u32, kind: FieldType) -> Result<Option<usize>> {
        let fields = &self.segment.contents.fields;
        let Ok(nth) = fields.binary_search_by_key(&position, |f| f.position) else { return Ok(None) };
        if fields[nth].kind != kind {
            let why = Malformed("is stored as another type");
            return Err(self.corrupt(self.info.offset, &format!("column {position}"), why));
        }
        Ok(Some(nth))
    }

    /// The section of the n-th field; `None` where every value is NULL.
    pub(super) fn section(&self, nth: usize) -> Result<Option<Section>> {
        let Some(bytes) = self.head().sections[nth].bytes else { return Ok(None) };
        let offset = self.parsed.section_offsets[nth];
        let field = self.segment.contents.fields[nth];
        let directory = self.parsed.sections[nth]
            .get(|| self.open_section(offset, bytes))
            .map_err(|e| self.corrupt(offset, &format!("column {}, directory", field.position), e))?;
        Ok(Some(Section { nth, field, directory, offset }))
    }

    fn open_section(&self, offset: u64, bytes: SectionBytes) -> Result<(Directory, usize), Malformed> {
        let directory = self.segment.checked(offset, bytes.directory)?;
        let mut cursor = Cursor::new(directory);
        let places = take_places(self.vectors(), &mut cursor)?;
        let mut end = offset + u64::from(bytes.directory.length);
        let mut vectors = Vec::with_capacity(places.len());
        for place in places {
            vectors.push((end, place));
            end += u64::from(place.length);
        }
        if end - offset != bytes.length {
            return Err(Malformed("vectors do not fill the section"));
        }
        let held = size_of::<Directory>() + size_of_val(&*vectors);
        let statistics_at = directory.len() - cursor.remaining();
        Ok((Directory { vectors, statistics_at, statistics: Slot::empty() }, held))
    }

    /// The n-th vector of a field, in a buffer.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn decode_vector<'b>(
        &self,
        section: &Section,
        nth: usize,
        buffer: &'b mut VectorBuffer,
    ) -> Result<Decoded<'b>> {
        let rows = self.head().vectors[nth].rows as usize;
        let bytes = self.vector_bytes(section, nth);
        let decoded = bytes.and_then(|bytes| buffer.take(section.field.kind, rows, bytes));
        decoded.map_err(|e| self.corrupt_vector(section, nth, e))
    }

    /// The n-th vector of a field.
    pub(super) fn read_vector(&self, section: &Section, nth: usize) -> Result<Vector> {
        let rows = self.head().vectors[nth].rows as usize;
        let bytes = self.vector_bytes(section, nth);
        let vector = bytes.and_then(|bytes| Vector::take(section.field.kind, rows, bytes));
        vector.map_err(|e| self.corrupt_vector(section, nth, e))
    }

    fn vector_bytes(&self, section: &Section, nth: usize) -> Result<&[u8], Malformed> {
        let (offset, place) = section.directory.vectors[nth];
        self.once_checked(self.vectors() * (1 + section.nth) + nth, offset, place)
    }

    fn corrupt_vector(&self, section: &Section, nth: usize, why: Malformed) -> Error {
        let (offset, _) = section.directory.vectors[nth];
        self.corrupt(offset, &format!("column {}, vector {nth}", section.field.position), why)
    }

    /// The statistics of every vector of a field.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn read_statistics(&self, section: &Section) -> Result<Arc<Vec<Stats>>> {
        let take = || {
            let length = self.head().sections[section.nth].bytes.map_or(0, |bytes| bytes.directory.length);
            let directory = self.segment.bytes(section.offset, length)?;
            let mut cursor = Cursor::new(&directory[section.directory.statistics_at..]);
            let statistics = take_statistics(section.field, &self.head().vectors, &mut cursor)?;
            let held = size_of_val(&*statistics);
            Ok((statistics, held))
        };
        section
            .directory
            .statistics
            .get(take)
            .map_err(|e| self.corrupt(section.offset, &format!("column {}, statistics", section.field.position), e))
    }

    /// A structure of this chunk that is not what was written.
    pub(super) fn corrupt(&self, offset: u64, what: &str, why: Malformed) -> Error {
        self.segment.corrupt(offset, format!("chunk {}, {what}", self.nth), why)
    }
}
