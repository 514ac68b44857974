//! Booleans: constant, or one bit a value.

use super::{Encoding, Malformed, bits, constant};
use crate::bytes::Cursor;

pub(super) fn put(values: &[bool], out: &mut Vec<u8>) {
    if let Some(value) = constant::of(values, |v| v) {
        out.push(Encoding::Constant as u8);
        constant::put_boolean(value, out);
    } else {
        out.push(Encoding::Bits as u8);
        put_bits(values, out);
    }
}

/// Appends the decoded values to `out`.
pub(super) fn take(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<bool>) -> Result<(), Malformed> {
    match Encoding::take(cursor)? {
        Encoding::Constant => constant::take_boolean(cursor, count, out),
        Encoding::Bits => take_bits(cursor, count, out),
        _ => Err(Malformed("encoding does not store booleans")),
    }
}

/// A bitmap, as it also tells NULLs apart.
pub(crate) fn put_bits(values: &[bool], out: &mut Vec<u8>) {
    bits::pack(values.iter().map(|&v| u64::from(v)), 1, out);
}

/// The bitmap of `count` values.
pub(crate) fn take_bits(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<bool>) -> Result<(), Malformed> {
    let bitmap = cursor.take(bits::packed_size(count, 1))?;
    out.extend((0..count).map(|i| bitmap[i >> 3] >> (i & 7) & 1 == 1));
    Ok(())
}
