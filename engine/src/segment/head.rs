//! The head of a chunk and the directory of a field section: what is where, and what is known of it.

use crate::bytes::{Cursor, put_varint, put_zigzag};
use crate::codec::{self, Malformed};
use crate::model::SeriesId;

use super::format::{CHUNK_ROWS_MAX, ChunkInfo, Field, VECTOR_ROWS_MAX};
use super::stats::Stats;

/// Runs are told in groups of this many, each an encoded vector.
const RUNS_GROUP: usize = codec::VALUES_MAX;

/// Timestamps of consecutive rows: of the first and last, the smallest and greatest. Nanoseconds, or ticks of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
}

impl Times {
    /// The times of at least one row.
    pub(super) fn of(times: &[i64]) -> Times {
        let (min, max) = times.iter().fold((i64::MAX, i64::MIN), |(min, max), &t| (min.min(t), max.max(t)));
        Times { first: times[0], last: times[times.len() - 1], min, max }
    }

    pub(super) fn edges(&self) -> (i64, i64) {
        (self.first, self.last)
    }

    fn map(&self, map: impl Fn(i64) -> i64) -> Times {
        Times { first: map(self.first), last: map(self.last), min: map(self.min), max: map(self.max) }
    }
}

/// How a chunk counts time: tick 0 is its smallest timestamp, and every timestamp is a whole number of ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticks {
    pub(super) origin_ns: i64,
    pub(super) unit_ns: u64,
}

impl Ticks {
    /// The longest tick that fits all of these timestamps.
    pub(super) fn of(times: &[i64]) -> Ticks {
        let origin_ns = times.iter().copied().min().unwrap_or(0);
        let unit_ns = codec::common_divisor(times.iter().map(|t| t.wrapping_sub(origin_ns) as u64));
        Ticks { origin_ns, unit_ns }
    }

    pub(super) fn tick(&self, time_ns: i64) -> i64 {
        (time_ns.wrapping_sub(self.origin_ns) as u64 / self.unit_ns) as i64
    }

    pub(super) fn time_ns(&self, tick: i64) -> i64 {
        self.origin_ns.wrapping_add(self.span_ns(tick))
    }

    /// Nanoseconds of a number of ticks.
    pub(super) fn span_ns(&self, ticks: i64) -> i64 {
        (ticks as u64).wrapping_mul(self.unit_ns) as i64
    }
}

/// Length and checksum of a stretch of bytes; where it begins follows from those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) length: u32,
    pub(super) checksum: u32,
}

impl Place {
    /// The place of bytes.
    pub(super) fn of(bytes: &[u8]) -> Place {
        let length = u32::try_from(bytes.len()).expect("a vector or directory stays below 4 GiB");
        Place { length, checksum: crc32fast::hash(bytes) }
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.length));
        out.extend_from_slice(&self.checksum.to_le_bytes());
    }

    fn take(cursor: &mut Cursor<'_>) -> Result<Place, Malformed> {
        Ok(Place { length: cursor.varint_max(u32::MAX as usize)? as u32, checksum: cursor.u32()? })
    }
}

/// What the head says of the n-th vector of time and of every field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VectorInfo {
    pub(super) rows: u32,
    /// Where its timestamps are.
    pub(super) place: Place,
    /// Nanoseconds.
    pub(super) times: Times,
}

/// What the head says of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SectionInfo {
    pub(super) stats: Stats,
    /// `None` where every value is NULL.
    pub(super) bytes: Option<SectionBytes>,
}

/// A field section: a directory, then vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SectionBytes {
    pub(super) length: u64,
    pub(super) directory: Place,
}

/// The head of a chunk.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    pub(super) ticks: Ticks,
    /// Each series with its number of rows.
    pub(super) runs: Vec<(SeriesId, u32)>,
    pub(super) vectors: Vec<VectorInfo>,
    /// One per field of the segment.
    pub(super) sections: Vec<SectionInfo>,
}

impl Head {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.ticks.unit_ns);
        for group in self.runs.chunks(RUNS_GROUP) {
            put_integers(group.iter().map(|run| i64::from(run.0.0)), out);
            put_integers(group.iter().map(|run| i64::from(run.1)), out);
        }
        put_varint(out, self.vectors.len() as u64);
        let mut before = 0;
        for vector in &self.vectors {
            put_varint(out, u64::from(vector.rows));
            vector.place.put(out);
            let ticks = vector.times.map(|t| self.ticks.tick(t));
            put_zigzag(out, ticks.first.wrapping_sub(before));
            put_zigzag(out, ticks.last.wrapping_sub(ticks.first));
            put_varint(out, ticks.first.wrapping_sub(ticks.min) as u64);
            put_varint(out, ticks.max.wrapping_sub(ticks.last) as u64);
            before = ticks.last;
        }
        let edges = self.edges();
        for section in &self.sections {
            section.stats.put(edges, out);
            if let Some(bytes) = section.bytes {
                put_varint(out, bytes.length);
                bytes.directory.put(out);
            }
        }
    }

    /// The head, and nothing but the head, of a chunk.
    pub(super) fn take(bytes: &[u8], chunk: &ChunkInfo, fields: &[Field]) -> Result<Head, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let ticks = Ticks { origin_ns: chunk.time.min_ns, unit_ns: cursor.varint()? };
        if ticks.unit_ns == 0 {
            return Err(Malformed("unit of time is zero"));
        }
        let runs = take_runs(chunk, &mut cursor)?;
        let vectors = take_vectors(chunk.rows, ticks, &mut cursor)?;
        let mut head = Head { ticks, runs, vectors, sections: Vec::new() };
        let edges = head.edges();
        for field in fields {
            let stats = Stats::take(field.kind, chunk.rows, edges, &mut cursor)?;
            let bytes = match stats.count() {
                0 => None,
                _ => Some(SectionBytes { length: cursor.varint()?, directory: Place::take(&mut cursor)? }),
            };
            head.sections.push(SectionInfo { stats, bytes });
        }
        codec::finish(&cursor)?;
        if head.length_of_rest() != chunk.length.checked_sub(bytes.len() as u64) {
            return Err(Malformed("sections do not fill the chunk"));
        }
        Ok(head)
    }

    /// Timestamps of the first and last row.
    pub(super) fn edges(&self) -> (i64, i64) {
        let first = self.vectors.first().map_or(0, |v| v.times.first);
        (first, self.vectors.last().map_or(0, |v| v.times.last))
    }

    /// Bytes of all time vectors.
    pub(super) fn times_length(&self) -> u64 {
        self.vectors.iter().map(|v| u64::from(v.place.length)).sum()
    }

    fn length_of_rest(&self) -> Option<u64> {
        let sections = self.sections.iter().filter_map(|s| s.bytes);
        sections.map(|s| s.length).try_fold(self.times_length(), u64::checked_add)
    }
}

fn put_integers(values: impl Iterator<Item = i64>, out: &mut Vec<u8>) {
    let mut encoded = Vec::new();
    codec::encode_integers(&values.collect::<Vec<_>>(), &mut encoded);
    put_varint(out, encoded.len() as u64);
    out.extend_from_slice(&encoded);
}

fn take_integers(count: usize, cursor: &mut Cursor<'_>, out: &mut Vec<i64>) -> Result<(), Malformed> {
    let length = cursor.varint_max(u32::MAX as usize)?;
    codec::decode_integers(cursor.take(length)?, count, out)
}

/// The runs of a chunk, in order, with rows that add up.
fn take_runs(chunk: &ChunkInfo, cursor: &mut Cursor<'_>) -> Result<Vec<(SeriesId, u32)>, Malformed> {
    let (mut ids, mut rows) = (Vec::new(), Vec::new());
    while ids.len() < chunk.runs as usize {
        let count = RUNS_GROUP.min(chunk.runs as usize - ids.len());
        take_integers(count, cursor, &mut ids)?;
        take_integers(count, cursor, &mut rows)?;
    }
    let in_order = ids.windows(2).all(|w| w[0] < w[1]);
    let ends = (ids.first().copied(), ids.last().copied());
    if !in_order || ends != (Some(i64::from(chunk.series_first.0)), Some(i64::from(chunk.series_last.0))) {
        return Err(Malformed("series are not in order"));
    }
    let rows_fit = rows.iter().all(|r| (1..=CHUNK_ROWS_MAX as i64).contains(r));
    if !rows_fit || rows.iter().sum::<i64>() != i64::from(chunk.rows) {
        return Err(Malformed("runs do not add up to the rows of the chunk"));
    }
    Ok(ids.iter().zip(&rows).map(|(&id, &rows)| (SeriesId(id as u32), rows as u32)).collect())
}

fn take_vectors(rows: u32, ticks: Ticks, cursor: &mut Cursor<'_>) -> Result<Vec<VectorInfo>, Malformed> {
    let mut vectors = Vec::new();
    let mut before = 0_i64;
    for _ in 0..cursor.varint_max(rows as usize)? {
        let rows = cursor.varint_max(VECTOR_ROWS_MAX)? as u32;
        let place = Place::take(cursor)?;
        let first = before.wrapping_add(cursor.zigzag()?);
        let last = first.wrapping_add(cursor.zigzag()?);
        let min = first.wrapping_sub(cursor.varint()? as i64);
        let max = last.wrapping_add(cursor.varint()? as i64);
        let times = Times { first, last, min, max }.map(|t| ticks.time_ns(t));
        vectors.push(VectorInfo { rows, place, times });
        before = last;
    }
    if vectors.iter().any(|v| v.rows == 0) || vectors.iter().map(|v| v.rows).sum::<u32>() != rows {
        return Err(Malformed("vectors do not add up to the rows of the chunk"));
    }
    Ok(vectors)
}

/// What the directory of a field section says of one vector.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DirectoryEntry {
    pub(super) place: Place,
    pub(super) stats: Stats,
}

pub(super) fn put_directory(entries: &[DirectoryEntry], vectors: &[VectorInfo], out: &mut Vec<u8>) {
    entries.iter().for_each(|e| e.place.put(out));
    for (entry, vector) in entries.iter().zip(vectors) {
        entry.stats.put(vector.times.edges(), out);
    }
}

/// The places at the front of a directory: all that reading values needs.
pub(super) fn take_places(count: usize, cursor: &mut Cursor<'_>) -> Result<Vec<Place>, Malformed> {
    (0..count).map(|_| Place::take(cursor)).collect()
}

/// The statistics behind the places.
pub(super) fn take_statistics(
    field: Field,
    vectors: &[VectorInfo],
    cursor: &mut Cursor<'_>,
) -> Result<Vec<Stats>, Malformed> {
    let stats = |v: &VectorInfo| Stats::take(field.kind, v.rows, v.times.edges(), cursor);
    let stats = vectors.iter().map(stats).collect::<Result<_, _>>()?;
    codec::finish(cursor)?;
    Ok(stats)
}
