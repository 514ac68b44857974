//! The chooser for floats.

use super::decimal::{self, Decimal};
use super::{Encoding, Malformed, constant, raw};
use crate::bytes::Cursor;

pub(super) fn put(values: &[f64], out: &mut Vec<u8>) {
    if let Some(value) = constant::of(values, f64::to_bits) {
        out.push(Encoding::Constant as u8);
        constant::put_float(value, out);
    } else if let Some(decimal) = Decimal::of(values).filter(|d| d.size() < values.len() * 8) {
        out.push(Encoding::Decimal as u8);
        decimal.put(out);
    } else {
        out.push(Encoding::Raw as u8);
        raw::put(values.iter().map(|v| v.to_bits()), out);
    }
}

/// Appends the decoded values to `out`.
pub(super) fn take(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<f64>) -> Result<(), Malformed> {
    match Encoding::take(cursor)? {
        Encoding::Constant => constant::take_float(cursor, count, out),
        Encoding::Decimal => decimal::take(cursor, count, out),
        Encoding::Raw => raw::take(cursor, count, out, f64::from_bits),
        _ => Err(Malformed("encoding does not store floats")),
    }
}
