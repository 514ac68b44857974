//! The frame of small files: magic, version, length, checksum, then one body.
//!
//! ┌─────────┬───────────┬────────────┬───────────────┬──────┐
//! │ magic 8 │ version 4 │ body len 8 │ body crc32 4  │ body │
//! └─────────┴───────────┴────────────┴───────────────┴──────┘

use std::path::Path;

use crate::bytes::Cursor;
use crate::{Error, Result};

/// Size of everything before the body.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;

/// Frames a body.
pub(crate) fn encode(magic: &[u8; 8], version: u32, body: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(FRAME_HEADER_BYTES + body.len());
    file.extend_from_slice(magic);
    file.extend_from_slice(&version.to_le_bytes());
    file.extend_from_slice(&(body.len() as u64).to_le_bytes());
    file.extend_from_slice(&checksum(version, body).to_le_bytes());
    file.extend_from_slice(body);
    file
}

/// The body of a framed file, checked.
pub(crate) fn decode<'a>(path: &Path, file: &'a [u8], magic: &[u8; 8], supported: u32) -> Result<&'a [u8]> {
    let short = |_| Error::corrupt(path, 0, format!("file of {} bytes is too short", file.len()));
    let mut cursor = Cursor::new(file);
    if cursor.array::<8>().map_err(short)? != *magic {
        return Err(Error::corrupt(path, 0, "wrong magic bytes"));
    }
    let found = cursor.u32().map_err(short)?;
    if found > supported {
        return Err(Error::Version { path: path.to_owned(), found, supported });
    }
    let len = cursor.u64().map_err(short)?;
    let crc = cursor.u32().map_err(short)?;
    if cursor.remaining() as u64 != len {
        let what = format!("body of {} bytes, header says {len}", cursor.remaining());
        return Err(Error::corrupt(path, 12, what));
    }
    let body = &file[FRAME_HEADER_BYTES..];
    if checksum(found, body) != crc {
        return Err(Error::corrupt(path, FRAME_HEADER_BYTES as u64, "checksum mismatch"));
    }
    Ok(body)
}

/// Covers the version too, so that a flipped bit there is not taken for another format.
fn checksum(version: u32, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&version.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}
