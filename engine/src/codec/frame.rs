//! Frame of reference: each value is a base plus a small multiple of a common divisor, bit-packed.

use super::Malformed;
use super::bits;
use crate::bytes::{Cursor, put_varint, put_zigzag, varint_size, zigzag_size};

/// A *packing* of the format page: how integers are brought to few bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    base: i64,
    divisor: u64,
    width: u32,
}

impl Frame {
    /// The frame with the fewest bits: the smallest value, and the greatest common divisor of all distances to it.
    pub(super) fn of(values: &[i64]) -> Frame {
        let base = values.iter().copied().min().unwrap_or(0);
        let offset_max = values.iter().map(|v| v.wrapping_sub(base) as u64).max().unwrap_or(0);
        let divisor = common_divisor(values.iter().map(|v| v.wrapping_sub(base) as u64));
        Frame { base, divisor, width: bits::width_of(offset_max / divisor) }
    }

    pub(super) fn size(&self, count: usize) -> usize {
        zigzag_size(self.base) + varint_size(self.divisor) + 1 + bits::packed_size(count, self.width)
    }

    /// Writes the values that this frame was made of.
    pub(super) fn put(&self, values: &[i64], out: &mut Vec<u8>) {
        put_zigzag(out, self.base);
        put_varint(out, self.divisor);
        out.push(self.width as u8);
        let offsets = values.iter().map(|v| v.wrapping_sub(self.base) as u64);
        match self.divisor {
            1 => bits::pack(offsets, self.width, out),
            divisor => bits::pack(offsets.map(|o| o / divisor), self.width, out),
        }
    }

    pub(super) fn take(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
        let base = cursor.zigzag()?;
        let divisor = cursor.varint()?;
        if divisor == 0 {
            return Err(Malformed("divisor is zero"));
        }
        let width = u32::from(cursor.u8()?);
        if width > 64 {
            return Err(Malformed("width is above 64 bits"));
        }
        let packed = cursor.take(bits::packed_size(count, width))?;
        match divisor {
            1 => bits::unpack(packed, width, count, out, |o| base.wrapping_add(o as i64)),
            _ => bits::unpack(packed, width, count, out, |o| base.wrapping_add(o.wrapping_mul(divisor) as i64)),
        }
    }
}

/// The greatest number that divides all of these; 1 when all are zero.
pub(crate) fn common_divisor(offsets: impl Iterator<Item = u64>) -> u64 {
    let mut divisor = 0;
    for offset in offsets {
        if divisor == 0 {
            divisor = offset;
        } else if offset % divisor != 0 {
            divisor = greatest_common_divisor(divisor, offset);
        }
        if divisor == 1 {
            break;
        }
    }
    divisor.max(1)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
