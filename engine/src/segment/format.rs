//! The bytes of a segment's frame: header, chunk table, tail. Constants have the names of the format page.

use std::path::Path;

use crate::bytes::Cursor;
use crate::codec::{self, Malformed};
use crate::model::{FieldType, SeriesId, TableId, TimeRange};
use crate::{Error, Result};

pub(super) const SEGMENT_MAGIC: [u8; 8] = *b"PLIMSEGB";
pub(super) const SEGMENT_END_MAGIC: [u8; 8] = *b"PLIMSEGE";
pub(super) const SEGMENT_VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 32;
pub(super) const TAIL_BYTES: usize = 32;
pub(super) const CHUNK_ENTRY_BYTES: usize = 48;
pub(super) const VECTOR_ROWS_MAX: usize = 1024;
pub(super) const CHUNK_ROWS_MAX: usize = 65536;
pub(super) const STATS_TEXT_BYTES_MAX: usize = 64;

pub(super) const TIER_RAW: u8 = 0;

/// The tier of rollups.
pub(super) const TIER_ROLLUP: u8 = 1;

pub(super) const TYPE_FLOAT: u8 = 0;
pub(super) const TYPE_INTEGER: u8 = 1;
pub(super) const TYPE_UNSIGNED: u8 = 2;
pub(super) const TYPE_BOOLEAN: u8 = 3;
pub(super) const TYPE_TEXT: u8 = 4;

pub(super) const VALIDITY_ALL: u8 = 0;
pub(super) const VALIDITY_BITMAP: u8 = 1;
pub(super) const VALIDITY_NONE: u8 = 2;

pub(super) const STATS_ALL_NULL: u8 = 1;
pub(super) const STATS_NULLS: u8 = 2;
pub(super) const STATS_NANS: u8 = 4;
pub(super) const STATS_RANGE: u8 = 8;
pub(super) const STATS_SUM: u8 = 16;
pub(super) const STATS_EDGES: u8 = 32;
pub(super) const STATS_EDGE_TIMES: u8 = 64;
pub(super) const STATS_CONSTANT: u8 = 128;

// How the writer cuts.
pub(super) const RUN_VECTOR_ROWS: usize = 256;
pub(super) const CHUNK_ROWS_FULL: usize = 16384;
pub(super) const CHUNK_BYTES_FULL: usize = 8388608;

/// A time range that holds nothing and that any timestamp widens.
pub(super) const TIME_NONE: TimeRange = TimeRange { min_ns: i64::MAX, max_ns: i64::MIN };

/// The first bytes of a segment; of the same form in every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) table: TableId,
    pub(super) tier: u8,
}

impl Header {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&SEGMENT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.table.0.to_le_bytes());
        out.push(self.tier);
        out.extend_from_slice(&[0; 11]);
        put_checksum(start, out);
    }

    pub(super) fn take(path: &Path, bytes: &[u8]) -> Result<Header> {
        let corrupt = |what: &str| Error::corrupt(path, 0, format!("segment header: {what}"));
        let header = bytes.get(..HEADER_BYTES).ok_or_else(|| corrupt("file is too short"))?;
        if header[..8] != SEGMENT_MAGIC {
            return Err(corrupt("not a segment"));
        }
        let mut cursor = checked(header).map_err(|e| corrupt(e.0))?;
        let (version, header) = Header::take_fields(&mut cursor).map_err(|e| corrupt(e.0))?;
        match version {
            SEGMENT_VERSION if header.tier <= TIER_ROLLUP => Ok(header),
            SEGMENT_VERSION => Err(corrupt("unknown tier")),
            0 => Err(corrupt("unknown version 0")),
            found => Err(Error::Version { path: path.to_owned(), found, supported: SEGMENT_VERSION }),
        }
    }

    fn take_fields(cursor: &mut Cursor<'_>) -> Result<(u32, Header), Malformed> {
        cursor.take(8)?;
        Ok((cursor.u32()?, Header { table: TableId(cursor.u32()?), tier: cursor.u8()? }))
    }
}

/// The last bytes of a segment: where the chunk table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) table_offset: u64,
    pub(super) table_length: u64,
    pub(super) table_checksum: u32,
}

impl Tail {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.table_offset.to_le_bytes());
        out.extend_from_slice(&self.table_length.to_le_bytes());
        out.extend_from_slice(&self.table_checksum.to_le_bytes());
        out.extend_from_slice(&SEGMENT_END_MAGIC);
        put_checksum(start, out);
    }

    /// The tail of a file of `file_length` bytes, whose last bytes these are.
    pub(super) fn take(bytes: &[u8], file_length: u64) -> Result<Tail, Malformed> {
        let mut cursor = checked(bytes)?;
        let (table_offset, table_length) = (cursor.u64()?, cursor.u64()?);
        let tail = Tail { table_offset, table_length, table_checksum: cursor.u32()? };
        if cursor.array()? != SEGMENT_END_MAGIC {
            return Err(Malformed("not the end of a segment"));
        }
        let end = table_offset.checked_add(table_length).and_then(|end| end.checked_add(TAIL_BYTES as u64));
        if end != Some(file_length) || table_offset < HEADER_BYTES as u64 {
            return Err(Malformed("does not fit the length of the file"));
        }
        Ok(tail)
    }
}

fn put_checksum(start: usize, out: &mut Vec<u8>) {
    let checksum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// The bytes before a checksum at the end, which has to be theirs.
fn checked(bytes: &[u8]) -> Result<Cursor<'_>, Malformed> {
    let (covered, checksum) = bytes.split_last_chunk().ok_or(Malformed("ends too early"))?;
    if crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
        return Err(Malformed("checksum mismatch"));
    }
    Ok(Cursor::new(covered))
}

/// A field that a segment stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    /// Position of the column in the schema of the table.
    pub(crate) position: u32,
    /// Type of the column.
    pub(crate) kind: FieldType,
}

/// What the chunk table says of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkInfo {
    /// Where it begins in the file.
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) head_length: u32,
    pub(super) head_checksum: u32,
    /// Rows, at least one.
    pub(crate) rows: u32,
    /// Stretches of rows of one series; as many as there are series.
    pub(crate) runs: u32,
    /// Smallest series.
    pub(crate) series_first: SeriesId,
    /// Greatest series.
    pub(crate) series_last: SeriesId,
    /// Smallest and greatest timestamp.
    pub(crate) time: TimeRange,
}

/// What a segment holds and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChunkTable {
    pub(super) rows: u64,
    pub(super) time: TimeRange,
    pub(super) series_min: SeriesId,
    pub(super) series_max: SeriesId,
    pub(super) fields: Vec<Field>,
    pub(super) chunks: Vec<ChunkInfo>,
}

impl ChunkTable {
    /// The table of a segment without rows.
    pub(super) fn new(fields: Vec<Field>) -> ChunkTable {
        let (series_min, series_max) = (SeriesId(u32::MAX), SeriesId(0));
        ChunkTable { rows: 0, time: TIME_NONE, series_min, series_max, fields, chunks: Vec::new() }
    }

    pub(super) fn push(&mut self, chunk: ChunkInfo) {
        self.rows += u64::from(chunk.rows);
        self.time.min_ns = self.time.min_ns.min(chunk.time.min_ns);
        self.time.max_ns = self.time.max_ns.max(chunk.time.max_ns);
        self.series_min = self.series_min.min(chunk.series_first);
        self.series_max = self.series_max.max(chunk.series_last);
        self.chunks.push(chunk);
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let count = |n: usize| u32::try_from(n).expect("a segment has fewer than 2^32 fields and chunks").to_le_bytes();
        out.extend_from_slice(&self.rows.to_le_bytes());
        put_time(self.time, out);
        out.extend_from_slice(&self.series_min.0.to_le_bytes());
        out.extend_from_slice(&self.series_max.0.to_le_bytes());
        out.extend_from_slice(&count(self.fields.len()));
        for field in &self.fields {
            out.extend_from_slice(&field.position.to_le_bytes());
            out.push(type_byte(field.kind));
        }
        out.extend_from_slice(&count(self.chunks.len()));
        self.chunks.iter().for_each(|c| put_chunk(c, out));
    }

    /// The table, and nothing but the table, of a segment whose chunks end at `chunks_end`.
    pub(super) fn take(bytes: &[u8], chunks_end: u64) -> Result<ChunkTable, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let rows = cursor.u64()?;
        let time = take_time(&mut cursor)?;
        let (series_min, series_max) = (SeriesId(cursor.u32()?), SeriesId(cursor.u32()?));
        let fields = take_fields(&mut cursor)?;
        let mut table = ChunkTable::new(fields);
        let mut offset = HEADER_BYTES as u64;
        for _ in 0..cursor.u32()? {
            let chunk = take_chunk(offset, &mut cursor)?;
            offset = offset.checked_add(chunk.length).ok_or(Malformed("chunk is too long"))?;
            table.push(chunk);
        }
        codec::finish(&cursor)?;
        if offset != chunks_end {
            return Err(Malformed("chunks do not end where the table begins"));
        }
        if (table.rows, table.time, table.series_min, table.series_max) != (rows, time, series_min, series_max) {
            return Err(Malformed("does not add up"));
        }
        Ok(table)
    }
}

fn take_fields(cursor: &mut Cursor<'_>) -> Result<Vec<Field>, Malformed> {
    let mut fields: Vec<Field> = Vec::new();
    for _ in 0..cursor.u32()? {
        let field = Field { position: cursor.u32()?, kind: take_type(cursor)? };
        if fields.last().is_some_and(|last| last.position >= field.position) {
            return Err(Malformed("fields are not in order"));
        }
        fields.push(field);
    }
    Ok(fields)
}

fn put_chunk(chunk: &ChunkInfo, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&chunk.length.to_le_bytes());
    for number in [chunk.head_length, chunk.head_checksum, chunk.rows, chunk.runs] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&chunk.series_first.0.to_le_bytes());
    out.extend_from_slice(&chunk.series_last.0.to_le_bytes());
    put_time(chunk.time, out);
    debug_assert_eq!(out.len() - start, CHUNK_ENTRY_BYTES);
}

fn take_chunk(offset: u64, cursor: &mut Cursor<'_>) -> Result<ChunkInfo, Malformed> {
    let chunk = ChunkInfo {
        offset,
        length: cursor.u64()?,
        head_length: cursor.u32()?,
        head_checksum: cursor.u32()?,
        rows: cursor.u32()?,
        runs: cursor.u32()?,
        series_first: SeriesId(cursor.u32()?),
        series_last: SeriesId(cursor.u32()?),
        time: take_time(cursor)?,
    };
    let rows_fit = (1..=CHUNK_ROWS_MAX as u32).contains(&chunk.rows) && (1..=chunk.rows).contains(&chunk.runs);
    if !rows_fit || u64::from(chunk.head_length) > chunk.length {
        return Err(Malformed("chunk entry is out of range"));
    }
    Ok(chunk)
}

fn put_time(time: TimeRange, out: &mut Vec<u8>) {
    out.extend_from_slice(&time.min_ns.to_le_bytes());
    out.extend_from_slice(&time.max_ns.to_le_bytes());
}

fn take_time(cursor: &mut Cursor<'_>) -> Result<TimeRange, Malformed> {
    Ok(TimeRange { min_ns: cursor.i64()?, max_ns: cursor.i64()? })
}

fn type_byte(kind: FieldType) -> u8 {
    match kind {
        FieldType::Float => TYPE_FLOAT,
        FieldType::Integer => TYPE_INTEGER,
        FieldType::Unsigned => TYPE_UNSIGNED,
        FieldType::Boolean => TYPE_BOOLEAN,
        FieldType::Text => TYPE_TEXT,
    }
}

fn take_type(cursor: &mut Cursor<'_>) -> Result<FieldType, Malformed> {
    match cursor.u8()? {
        TYPE_FLOAT => Ok(FieldType::Float),
        TYPE_INTEGER => Ok(FieldType::Integer),
        TYPE_UNSIGNED => Ok(FieldType::Unsigned),
        TYPE_BOOLEAN => Ok(FieldType::Boolean),
        TYPE_TEXT => Ok(FieldType::Text),
        _ => Err(Malformed("unknown field type")),
    }
}
