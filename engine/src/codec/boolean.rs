//! Booleans: constant, in runs, or one bit a value.

use super::runs::{self, Runs};
use super::{Encoding, Malformed, bits, constant};
use crate::bytes::Cursor;

/// Runs are tried where they have this many values on average.
const RUN_VALUES_MIN: usize = 8;

pub(super) fn put(values: &[bool], out: &mut Vec<u8>) {
    if let Some(value) = constant::of(values, |v| v) {
        out.push(Encoding::Constant as u8);
        constant::put_boolean(value, out);
    } else if let Some(runs) = runs_of(values).filter(|runs| runs.size() < bits::packed_size(values.len(), 1)) {
        out.push(Encoding::Runs as u8);
        runs.put(out);
    } else {
        out.push(Encoding::Bits as u8);
        put_bits(values, out);
    }
}

fn runs_of(values: &[bool]) -> Option<Runs> {
    let changes = values.windows(2).filter(|w| w[0] != w[1]).count();
    let long = changes * RUN_VALUES_MIN <= values.len();
    long.then(|| Runs::of(&values.iter().map(|&v| i64::from(v)).collect::<Vec<_>>()))
}

/// Reads as many values as `out` has room for.
pub(super) fn take(cursor: &mut Cursor<'_>, out: &mut [bool]) -> Result<(), Malformed> {
    match Encoding::take(cursor)? {
        Encoding::Constant => out.fill(constant::take_boolean(cursor)?),
        Encoding::Runs => runs::take(cursor, out, |value| match value {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("boolean is neither 0 nor 1")),
        })?,
        Encoding::Bits => unpack_bits(cursor, out)?,
        _ => return Err(Malformed("encoding does not store booleans")),
    }
    Ok(())
}

/// A bitmap, as it also tells NULLs apart.
pub(crate) fn put_bits(values: &[bool], out: &mut Vec<u8>) {
    bits::pack(values.iter().map(|&v| u64::from(v)), 1, out);
}

/// The bitmap of `count` values.
pub(crate) fn take_bits(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<bool>) -> Result<(), Malformed> {
    let start = out.len();
    out.resize(start + count, false);
    unpack_bits(cursor, &mut out[start..])
}

fn unpack_bits(cursor: &mut Cursor<'_>, out: &mut [bool]) -> Result<(), Malformed> {
    let bitmap = cursor.take(bits::packed_size(out.len(), 1))?;
    for (values, byte) in out.chunks_mut(8).zip(bitmap) {
        values.iter_mut().enumerate().for_each(|(bit, value)| *value = byte >> bit & 1 == 1);
    }
    Ok(())
}
