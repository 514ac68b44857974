//! The bytes of log files. Described in `docs/file-format.md`.

use std::path::Path;

use crate::bytes::Cursor;
use crate::{Error, Result};

use super::Lsn;

/// First bytes of a log file.
pub(super) const WAL_MAGIC: &[u8; 8] = b"PLIMSWAL";

/// Version of log files that this program writes. Since 2 there are records that tell the time.
pub(super) const WAL_VERSION: u32 = 2;

/// Size of a file's header: magic, version, first record number, checksum.
pub(super) const WAL_HEADER_BYTES: usize = 24;

/// Size of a record's header: payload length, checksum, record number, number of the last synced record.
pub(super) const WAL_RECORD_HEADER_BYTES: usize = 24;

/// Ending of the names of log files.
const SUFFIX: &str = ".wal";

/// Name of the file that begins with a record. Names sort as numbers do.
pub(super) fn file_name(first_lsn: Lsn) -> String {
    format!("{first_lsn:020}{SUFFIX}")
}

/// True for names of log files.
pub(super) fn is_file_name(name: &str) -> bool {
    name.strip_suffix(SUFFIX).is_some_and(|digits| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
}

pub(super) fn file_header(first_lsn: Lsn) -> Vec<u8> {
    let mut header = Vec::with_capacity(WAL_HEADER_BYTES);
    header.extend_from_slice(WAL_MAGIC);
    header.extend_from_slice(&WAL_VERSION.to_le_bytes());
    header.extend_from_slice(&first_lsn.to_le_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    header
}

/// The number of the first record of a file; `None` when the header is not whole.
pub(super) fn read_file_header(path: &Path, file: &[u8]) -> Result<Option<Lsn>> {
    let Some((header, _)) = file.split_first_chunk::<WAL_HEADER_BYTES>() else { return Ok(None) };
    let mut cursor = Cursor::new(header);
    let fields = (cursor.array::<8>(), cursor.u32(), cursor.u64(), cursor.u32());
    let (Ok(magic), Ok(version), Ok(first_lsn), Ok(crc)) = fields else { return Ok(None) };
    if crc32fast::hash(&header[..WAL_HEADER_BYTES - 4]) != crc || magic != *WAL_MAGIC {
        return Ok(None);
    }
    if version > WAL_VERSION {
        return Err(Error::Version { path: path.to_owned(), found: version, supported: WAL_VERSION });
    }
    Ok(Some(first_lsn))
}

pub(super) fn put_record(out: &mut Vec<u8>, lsn: Lsn, synced_lsn: Lsn, payload: &[u8]) {
    let len = u32::try_from(payload.len()).expect("a write is split long before 4 GiB");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&record_checksum(len, lsn, synced_lsn, payload).to_le_bytes());
    out.extend_from_slice(&lsn.to_le_bytes());
    out.extend_from_slice(&synced_lsn.to_le_bytes());
    out.extend_from_slice(payload);
}

/// A whole record found in a file.
pub(super) struct FoundRecord<'a> {
    pub(super) synced_lsn: Lsn,
    pub(super) payload: &'a [u8],
}

/// The record that begins at the start of `bytes` and whose number `wanted` accepts; `None` when there is no such whole record.
pub(super) fn read_record(bytes: &[u8], wanted: impl Fn(Lsn) -> bool) -> Option<FoundRecord<'_>> {
    let mut cursor = Cursor::new(bytes);
    let (len, crc) = (cursor.u32().ok()?, cursor.u32().ok()?);
    let (lsn, synced_lsn) = (cursor.u64().ok()?, cursor.u64().ok()?);
    if !wanted(lsn) {
        return None;
    }
    let payload = cursor.take(len as usize).ok()?;
    (record_checksum(len, lsn, synced_lsn, payload) == crc).then_some(FoundRecord { synced_lsn, payload })
}

fn record_checksum(len: u32, lsn: Lsn, synced_lsn: Lsn, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len.to_le_bytes());
    hasher.update(&lsn.to_le_bytes());
    hasher.update(&synced_lsn.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}
