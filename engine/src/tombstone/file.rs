//! Tombstone files: what was deleted of one table up to a flush and may still stand in its segments.
//!
//! The body of the frame is packed; its form is in `docs/file-format.md`.

use std::path::Path;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{DeletedRows, Tombstone};
use crate::bytes::{Cursor, Short, put_varint, put_zigzag};
use crate::env::FileSystem;
use crate::manifest::TombstoneFileEntry;
use crate::model::{SeriesId, TimeRange};
use crate::pack::{pack, unpack};
use crate::{Error, Result, frame};

/// First bytes of a tombstone file.
pub(crate) const TOMBSTONE_MAGIC: &[u8; 8] = b"PLIMSDEL";

/// Version of tombstone files that this program writes.
pub(crate) const TOMBSTONE_VERSION: u32 = 1;

const ROWS_ALL: u8 = 0;
const ROWS_OF_SERIES: u8 = 1;
const ROWS_POINTS: u8 = 2;

/// Tombstone files are small and soon replaced.
const ZSTD_LEVEL: i32 = 1;

/// The bytes of a file with these tombstones.
pub(crate) fn encode(tombstones: &[Arc<Tombstone>]) -> Vec<u8> {
    let mut body = Vec::new();
    put_varint(&mut body, tombstones.len() as u64);
    for tombstone in tombstones {
        put_varint(&mut body, tombstone.lsn);
        put_zigzag(&mut body, tombstone.time.min_ns);
        put_zigzag(&mut body, tombstone.time.max_ns);
        put_rows(&mut body, &tombstone.rows);
    }
    frame::encode(TOMBSTONE_MAGIC, TOMBSTONE_VERSION, &pack(&body, ZSTD_LEVEL))
}

fn put_rows(body: &mut Vec<u8>, rows: &DeletedRows) {
    match rows {
        DeletedRows::All => body.push(ROWS_ALL),
        DeletedRows::OfSeries(ids) => {
            body.push(ROWS_OF_SERIES);
            put_varint(body, ids.serialized_size() as u64);
            ids.serialize_into(&mut *body).expect("a vector takes any bytes");
        }
        DeletedRows::Points(points) => {
            body.push(ROWS_POINTS);
            put_varint(body, points.len() as u64);
            for (series, times) in points {
                put_varint(body, u64::from(series.0));
                put_times(body, times);
            }
        }
    }
}

/// Writes ascending times: their number, the first, and each one's distance to the one before.
pub(crate) fn put_times(body: &mut Vec<u8>, times: &[i64]) {
    put_varint(body, times.len() as u64);
    let Some(first) = times.first() else { return };
    put_zigzag(body, *first);
    for pair in times.windows(2) {
        put_varint(body, pair[1].wrapping_sub(pair[0]) as u64);
    }
}

/// Reads ascending times.
pub(crate) fn take_times(cursor: &mut Cursor<'_>) -> Result<Vec<i64>, Short> {
    let count = cursor.count(1)?;
    let mut times: Vec<i64> = Vec::with_capacity(count);
    for _ in 0..count {
        let time_ns = match times.last() {
            None => cursor.zigzag()?,
            Some(before) => before.checked_add_unsigned(cursor.varint()?).filter(|t| t > before).ok_or(Short)?,
        };
        times.push(time_ns);
    }
    Ok(times)
}

/// The tombstones of the file that a manifest entry names, oldest first.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::Version`], [`Error::Io`].
pub(crate) fn load(fs: &dyn FileSystem, path: &Path, entry: &TombstoneFileEntry) -> Result<Vec<Arc<Tombstone>>> {
    let file = fs.read(path).map_err(|e| Error::io("read", path, e))?;
    if crc32fast::hash(&file) != entry.checksum {
        return Err(Error::corrupt(path, 0, "checksum mismatch"));
    }
    let packed = frame::decode(path, &file, TOMBSTONE_MAGIC, TOMBSTONE_VERSION)?;
    let tombstones = unpack(packed).and_then(|body| take(&body));
    tombstones.map_err(|Short| Error::corrupt(path, frame::FRAME_HEADER_BYTES as u64, "malformed tombstones"))
}

fn take(body: &[u8]) -> Result<Vec<Arc<Tombstone>>, Short> {
    let mut cursor = Cursor::new(body);
    let mut tombstones: Vec<Arc<Tombstone>> = Vec::new();
    for _ in 0..cursor.count(4)? {
        let lsn = cursor.varint()?;
        let time = TimeRange { min_ns: cursor.zigzag()?, max_ns: cursor.zigzag()? };
        let rows = take_rows(&mut cursor)?;
        if tombstones.last().is_some_and(|before| before.lsn >= lsn) {
            return Err(Short);
        }
        tombstones.push(Arc::new(Tombstone { lsn, time, rows }));
    }
    if cursor.remaining() == 0 { Ok(tombstones) } else { Err(Short) }
}

fn take_rows(cursor: &mut Cursor<'_>) -> Result<DeletedRows, Short> {
    match cursor.u8()? {
        ROWS_ALL => Ok(DeletedRows::All),
        ROWS_OF_SERIES => {
            let length = cursor.count(1)?;
            let bytes = cursor.take(length)?;
            RoaringBitmap::deserialize_from(bytes).map(DeletedRows::OfSeries).map_err(|_| Short)
        }
        ROWS_POINTS => {
            let mut points: Vec<(SeriesId, Vec<i64>)> = Vec::new();
            for _ in 0..cursor.count(2)? {
                let series = SeriesId(u32::try_from(cursor.varint()?).map_err(|_| Short)?);
                if points.last().is_some_and(|(before, _)| *before >= series) {
                    return Err(Short);
                }
                points.push((series, take_times(cursor)?));
            }
            Ok(DeletedRows::Points(points))
        }
        _ => Err(Short),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Vec<Arc<Tombstone>> {
        let time = TimeRange::ALL;
        let points = vec![(SeriesId(2), vec![i64::MIN, -1, 7, i64::MAX]), (SeriesId(9), vec![0])];
        let rows = [DeletedRows::All, DeletedRows::OfSeries((3..9).collect()), DeletedRows::Points(points)];
        (5..).zip(rows).map(|(lsn, rows)| Arc::new(Tombstone { lsn, time, rows })).collect()
    }

    fn body(file: &[u8]) -> Vec<u8> {
        let packed = frame::decode(Path::new("x.del"), file, TOMBSTONE_MAGIC, TOMBSTONE_VERSION).unwrap();
        unpack(packed).unwrap()
    }

    #[test]
    fn tombstones_come_back() {
        assert_eq!(take(&body(&encode(&sample()))), Ok(sample()));
        assert_eq!(take(&body(&encode(&[]))), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>) {
            let _any_answer_will_do = take(&bytes);
        }

        #[test]
        fn damaged_bodies_are_safe(at: prop::sample::Index, flip in 1u8..) {
            let mut body = body(&encode(&sample()));
            let at = at.index(body.len());
            body[at] ^= flip;
            let _any_answer_will_do = take(&body);
        }
    }
}
