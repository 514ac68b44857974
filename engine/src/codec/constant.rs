//! Constant: every value is the same, told bit by bit.

use super::Malformed;
use crate::bytes::{Cursor, put_zigzag};

/// The value that all of them are, bit by bit; `None` for no values.
pub(super) fn of<T: Copy, B: PartialEq>(values: &[T], bits: impl Fn(T) -> B) -> Option<T> {
    let (&first, rest) = values.split_first()?;
    rest.iter().all(|&v| bits(v) == bits(first)).then_some(first)
}

pub(super) fn put_integer(value: i64, out: &mut Vec<u8>) {
    put_zigzag(out, value);
}

pub(super) fn take_integer(cursor: &mut Cursor<'_>) -> Result<i64, Malformed> {
    Ok(cursor.zigzag()?)
}

pub(super) fn put_float(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

pub(super) fn take_float(cursor: &mut Cursor<'_>) -> Result<f64, Malformed> {
    Ok(f64::from_bits(cursor.u64()?))
}

pub(super) fn put_boolean(value: bool, out: &mut Vec<u8>) {
    out.push(u8::from(value));
}

pub(super) fn take_boolean(cursor: &mut Cursor<'_>) -> Result<bool, Malformed> {
    match cursor.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("boolean is neither 0 nor 1")),
    }
}
