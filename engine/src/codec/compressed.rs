//! Compressed: any encoded vector once more through zstd, where that pays; for data that is kept long and read rarely.

use std::borrow::Cow;

use super::{Encoding, Malformed};
use crate::bytes::{Cursor, put_varint};

/// Longest vector that is compressed: bounds what a decoder allocates.
pub(super) const COMPRESSED_BYTES_MAX: usize = 16 << 20;
/// Shorter ones are not worth a frame.
const TRIED_BYTES: usize = 64;
const LEVEL: i32 = 9;
/// A frame has to save at least one byte in this many.
const SAVED_SHARE: usize = 32;

/// Replaces the encoded vector at `start` by a compressed one, where that is clearly smaller.
pub(super) fn squeeze(start: usize, out: &mut Vec<u8>) {
    let plain = &out[start..];
    if !(TRIED_BYTES..=COMPRESSED_BYTES_MAX).contains(&plain.len()) {
        return;
    }
    let mut squeezed = vec![Encoding::Compressed as u8];
    put_varint(&mut squeezed, plain.len() as u64);
    squeezed.extend(zstd::bulk::compress(plain, LEVEL).unwrap_or_else(|_| plain.to_vec()));
    if squeezed.len() + plain.len() / SAVED_SHARE < plain.len() {
        out.truncate(start);
        out.extend_from_slice(&squeezed);
    }
}

/// The bytes of a vector that is not compressed.
pub(super) fn expand(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Malformed> {
    if bytes.first() != Some(&(Encoding::Compressed as u8)) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut cursor = Cursor::new(&bytes[1..]);
    let length = cursor.varint_max(COMPRESSED_BYTES_MAX)?;
    let plain = zstd::bulk::decompress(cursor.take_rest(), length).map_err(|_| Malformed("bad zstd frame"))?;
    match plain.len() == length {
        true => Ok(Cow::Owned(plain)),
        false => Err(Malformed("zstd frame has another length")),
    }
}
