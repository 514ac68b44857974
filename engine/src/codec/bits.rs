//! Bit packing: values of one width, one after the other, least significant bit first.
//!
//! 64 values of any width fill whole words, so unpacking goes by groups of 64 with every shift known when compiled.

use super::Malformed;
use crate::bytes::Cursor;

/// Values whose bits fill whole words at every width.
pub(super) const GROUP: usize = 64;

/// Smallest width that holds `value`.
pub(super) fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// Bytes of `count` values of `width` bits.
pub(super) fn packed_size(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Packs values, each below 2^`width`.
pub(super) fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let mut word = 0_u64;
    let mut used = 0;
    for value in values {
        debug_assert!(width_of(value) <= width, "a packed value fits its width");
        word |= value.checked_shl(used).unwrap_or(0);
        used += width;
        if used >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            used -= 64;
            word = value.checked_shr(width - used).unwrap_or(0);
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..used.div_ceil(8) as usize]);
}

/// Reads as many values of `width` bits as `out` has room for.
pub(super) fn take(cursor: &mut Cursor<'_>, width: u32, out: &mut [i64]) -> Result<(), Malformed> {
    if width > 64 {
        return Err(Malformed("width is above 64 bits"));
    }
    let bytes = cursor.take(packed_size(out.len(), width))?;
    unpack(bytes, width, out);
    Ok(())
}

/// As [`take`], with a byte before that tells the width.
pub(super) fn take_with_width(cursor: &mut Cursor<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    let width = u32::from(cursor.u8()?);
    take(cursor, width, out)
}

/// Unpacks values from exactly their bytes.
fn unpack(bytes: &[u8], width: u32, out: &mut [i64]) {
    let width = width as usize;
    let (groups, rest) = out.as_chunks_mut::<GROUP>();
    let (words, rest_bytes) = bytes.split_at(groups.len() * width * (GROUP / 8));
    unpack_groups(words, width, groups);
    for (i, value) in rest.iter_mut().enumerate() {
        *value = window(rest_bytes, i * width, width);
    }
}

/// The `width` bits from `bit` on.
fn window(bytes: &[u8], bit: usize, width: usize) -> i64 {
    if width == 0 {
        return 0;
    }
    let rest = &bytes[bit >> 3..];
    let mut window = [0; 16];
    let len = rest.len().min(16);
    window[..len].copy_from_slice(&rest[..len]);
    ((u128::from_le_bytes(window) >> (bit & 7)) as u64 & (u64::MAX >> (64 - width))) as i64
}

macro_rules! by_width {
    ($bytes:ident, $width:ident, $groups:ident, $($w:literal)*) => {
        match $width {
            0 => $groups.as_flattened_mut().fill(0),
            $($w => groups_of::<$w, { $w * 8 }>($bytes, $groups),)*
            64 => {
                let (words, _) = $bytes.as_chunks();
                for (value, word) in $groups.as_flattened_mut().iter_mut().zip(words) {
                    *value = i64::from_le_bytes(*word);
                }
            }
            _ => unreachable!("a width is at most 64"),
        }
    };
}

fn unpack_groups(bytes: &[u8], width: usize, groups: &mut [[i64; GROUP]]) {
    by_width!(bytes, width, groups,
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
}

fn groups_of<const W: usize, const BYTES: usize>(bytes: &[u8], groups: &mut [[i64; GROUP]]) {
    let (packed, _) = bytes.as_chunks::<BYTES>();
    for (packed, group) in packed.iter().zip(groups) {
        unpack_group::<W, BYTES>(packed, group);
    }
}

macro_rules! unrolled {
    ($value:ident, $($i:literal)*) => { [$($value($i)),*] };
}

#[inline(always)]
fn unpack_group<const W: usize, const BYTES: usize>(packed: &[u8; BYTES], group: &mut [i64; GROUP]) {
    let (words, _) = packed.as_chunks::<8>();
    let mask = u64::MAX >> (64 - W);
    let value = |i: usize| -> i64 {
        let (word, shift) = (i * W / 64, i * W % 64);
        let low = u64::from_le_bytes(words[word]) >> shift;
        let bits = if shift + W > 64 { low | u64::from_le_bytes(words[word + 1]) << (64 - shift) } else { low };
        (bits & mask) as i64
    };
    *group = unrolled!(value,
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
        32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::naive;

    proptest! {
        #[test]
        fn packing_equals_the_plain_twin(values in proptest::collection::vec(any::<u64>(), 0..200), width in 0_u32..=64) {
            let mask = u64::MAX.checked_shr(64 - width).unwrap_or(0);
            let values: Vec<u64> = values.into_iter().map(|v| v & mask).collect();
            let mut bytes = Vec::new();
            pack(values.iter().copied(), width, &mut bytes);
            prop_assert_eq!(&bytes, &naive::pack(&values, width));
            let mut unpacked = vec![7; values.len()];
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(take(&mut cursor, width, &mut unpacked), Ok(()));
            prop_assert_eq!(cursor.remaining(), 0);
            prop_assert_eq!(unpacked.iter().map(|&v| v as u64).collect::<Vec<_>>(), values.clone());
            prop_assert_eq!(naive::unpack(&bytes, width, values.len()), values);
        }
    }

    #[test]
    fn too_few_bytes_are_refused() {
        assert!(take(&mut Cursor::new(&[0; 3]), 8, &mut [0; 4]).is_err());
        assert!(take(&mut Cursor::new(&[0; 9]), 65, &mut [0; 1]).is_err());
    }
}
