//! Compressing a body as a whole: packing byte (0 as it is, 1 zstd), unpacked length as varint, bytes.

use crate::bytes::{Cursor, Short, put_varint};

/// Bodies smaller than this are not worth compressing.
const PACK_BYTES_MIN: usize = 256;

/// Refuses to unpack more than this: far above any real body, far below what would hurt.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;

/// Packs a body at a zstd level.
pub(crate) fn pack(body: &[u8], level: i32) -> Vec<u8> {
    let packed = if body.len() >= PACK_BYTES_MIN { zstd::bulk::compress(body, level).ok() } else { None };
    let (packing, bytes) = packed.as_deref().map_or((0, body), |packed| (1, packed));
    let mut out = Vec::with_capacity(bytes.len() + 6);
    out.push(packing);
    put_varint(&mut out, body.len() as u64);
    out.extend_from_slice(bytes);
    out
}

/// Gives the body back.
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<u8>, Short> {
    let mut cursor = Cursor::new(packed);
    let packing = cursor.u8()?;
    let len = cursor.varint()?;
    let bytes = cursor.take(cursor.remaining())?;
    let body = match packing {
        0 => bytes.to_vec(),
        1 if len <= UNPACKED_BYTES_MAX => zstd::bulk::decompress(bytes, len as usize).map_err(|_| Short)?,
        _ => return Err(Short),
    };
    if body.len() as u64 == len { Ok(body) } else { Err(Short) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bodies_come_back(body: Vec<u8>, repeat in 1usize..50) {
            let body = body.repeat(repeat);
            prop_assert_eq!(unpack(&pack(&body, 1)), Ok(body));
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>) {
            let _any_answer_will_do = unpack(&bytes);
        }
    }
}
