//! Raw: eight bytes a value.

use super::Malformed;
use crate::bytes::Cursor;

pub(super) fn put(bits: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
    for value in bits {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

pub(super) fn take<T>(cursor: &mut Cursor<'_>, out: &mut [T], map: impl Fn(u64) -> T) -> Result<(), Malformed> {
    let (values, _) = cursor.take(out.len() * 8)?.as_chunks();
    out.iter_mut().zip(values).for_each(|(slot, &v)| *slot = map(u64::from_le_bytes(v)));
    Ok(())
}
