//! Bit packing: values of one width, one after the other, least significant bit first.

use super::Malformed;

/// Smallest width that holds `value`.
pub(crate) fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// Bytes of `count` values of `width` bits.
pub(crate) fn packed_size(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Packs values, each below 2^`width`.
pub(crate) fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
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

/// Unpacks `count` values and hands each to `map`; the bytes have to be exactly those of `count` values.
pub(crate) fn unpack<T>(
    bytes: &[u8],
    width: u32,
    count: usize,
    out: &mut Vec<T>,
    map: impl Fn(u64) -> T,
) -> Result<(), Malformed> {
    if width > 64 {
        return Err(Malformed("width is above 64 bits"));
    }
    if bytes.len() != packed_size(count, width) {
        return Err(Malformed("packed values have another length"));
    }
    if width == 0 {
        out.extend((0..count).map(|_| map(0)));
        return Ok(());
    }
    let mask = u64::MAX >> (64 - width);
    let width = width as usize;
    let quick = quick_count(bytes.len(), width, count);
    out.extend((0..quick).map(|i| {
        let bit = i * width;
        let window = &bytes[bit >> 3..(bit >> 3) + 8];
        map(u64::from_le_bytes(window.try_into().expect("the window has 8 bytes")) >> (bit & 7) & mask)
    }));
    out.extend((quick..count).map(|i| map(wide_window(bytes, i * width) & mask)));
    Ok(())
}

/// How many leading values lie in one 8-byte window that starts at their first byte and ends within the bytes.
fn quick_count(len: usize, width: usize, count: usize) -> usize {
    match len.checked_sub(8) {
        Some(last_start) if width <= 57 => count.min((last_start * 8 + 7) / width + 1),
        _ => 0,
    }
}

/// The 64 bits from `bit` on, zeros after the end.
fn wide_window(bytes: &[u8], bit: usize) -> u64 {
    let rest = &bytes[bit >> 3..];
    let mut window = [0; 16];
    let len = rest.len().min(16);
    window[..len].copy_from_slice(&rest[..len]);
    (u128::from_le_bytes(window) >> (bit & 7)) as u64
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
            let mut unpacked = Vec::new();
            prop_assert_eq!(unpack(&bytes, width, values.len(), &mut unpacked, |v| v), Ok(()));
            prop_assert_eq!(&unpacked, &values);
            prop_assert_eq!(naive::unpack(&bytes, width, values.len()), values);
        }
    }

    #[test]
    fn other_lengths_are_refused() {
        let mut out = Vec::new();
        assert!(unpack(&[0; 3], 8, 4, &mut out, |v| v).is_err());
        assert!(unpack(&[0; 5], 8, 4, &mut out, |v| v).is_err());
        assert!(unpack(&[0; 9], 65, 1, &mut out, |v| v).is_err());
        assert!(out.is_empty());
    }
}
