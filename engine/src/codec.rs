//! Encodings of a vector: up to 1,024 values of one type, none of them NULL, as few bytes.
//!
//! ```text
//! ┌──────────────┬─────────┐
//! │ encoding 1 B │ payload │      the number of values is known from outside
//! └──────────────┴─────────┘
//! ```
//!
//! Invariants
//! - Decoding gives back exactly the bits that were encoded: NaN payloads, −0.0 and every integer.
//! - Decoding arbitrary bytes gives values or an error, never a panic, and allocates no more than the values or 16 MiB.
//! - A type's file (`integer`, `float`, `boolean`, `text`) chooses; an encoding's file knows its payload and its size.
//!
//! When an encoding is added, add it to `docs/file-format.md` and to the plain twin in `naive`.

mod bits;
mod boolean;
mod buffer;
mod compressed;
mod constant;
mod decimal;
mod delta;
mod dictionary;
mod distinct;
mod exceptions;
mod float;
mod integer;
#[cfg(test)]
mod naive;
mod packing;
mod prefix;
mod raw;
mod repeat;
mod runs;
mod split;
mod stride;
mod text;

use crate::bytes::{Cursor, Short};
use crate::model::FieldType;

pub(crate) use boolean::{put_bits, take_bits};
pub(crate) use buffer::{Buffer, Slice, decode_into, stride_of};
pub(crate) use packing::common_divisor;
pub(crate) use text::Texts;

/// Most values of a vector.
pub(crate) const VALUES_MAX: usize = 1024;

/// Bytes that are not what an encoder writes; says what does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl From<Short> for Malformed {
    fn from(_: Short) -> Malformed {
        Malformed("ends too early or holds an impossible number")
    }
}

/// Refuses bytes that nothing asked for.
pub(crate) fn finish(cursor: &Cursor<'_>) -> Result<(), Malformed> {
    if cursor.remaining() == 0 { Ok(()) } else { Err(Malformed("has bytes left over")) }
}

/// The first byte of an encoded vector. Numbers are never used again for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Constant = 1,
    Stride = 2,
    Frame = 3,
    Delta = 4,
    Repeat = 5,
    Raw = 6,
    Decimal = 7,
    Bits = 8,
    Dictionary = 9,
    Joined = 10,
    DeltaOfDelta = 11,
    Runs = 12,
    Distinct = 13,
    Split = 14,
    Pattern = 15,
    Compressed = 16,
}

impl Encoding {
    const ALL: [Encoding; 16] = [
        Encoding::Constant,
        Encoding::Stride,
        Encoding::Frame,
        Encoding::Delta,
        Encoding::Repeat,
        Encoding::Raw,
        Encoding::Decimal,
        Encoding::Bits,
        Encoding::Dictionary,
        Encoding::Joined,
        Encoding::DeltaOfDelta,
        Encoding::Runs,
        Encoding::Distinct,
        Encoding::Split,
        Encoding::Pattern,
        Encoding::Compressed,
    ];

    fn take(cursor: &mut Cursor<'_>) -> Result<Encoding, Malformed> {
        let byte = cursor.u8()?;
        Encoding::ALL.into_iter().find(|&e| e as u8 == byte).ok_or(Malformed("unknown encoding"))
    }
}

/// Values of one type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// 64-bit floats.
    Float(Vec<f64>),
    /// 64-bit signed integers.
    Integer(Vec<i64>),
    /// 64-bit unsigned integers.
    Unsigned(Vec<u64>),
    /// True or false.
    Boolean(Vec<bool>),
    /// UTF-8 text.
    Text(Texts),
}

impl Values {
    /// No values, of the type of a field.
    pub(crate) fn new(kind: FieldType) -> Values {
        match kind {
            FieldType::Float => Values::Float(Vec::new()),
            FieldType::Integer => Values::Integer(Vec::new()),
            FieldType::Unsigned => Values::Unsigned(Vec::new()),
            FieldType::Boolean => Values::Boolean(Vec::new()),
            FieldType::Text => Values::Text(Texts::default()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Values::Float(v) => v.len(),
            Values::Integer(v) => v.len(),
            Values::Unsigned(v) => v.len(),
            Values::Boolean(v) => v.len(),
            Values::Text(v) => v.len(),
        }
    }
}

/// How hard a writer tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Small, and quick to read.
    Hot,
    /// Smaller still, for what is kept long and read rarely.
    Cold,
}

impl Compression {
    /// Tier 0 is data as it was written, those above it are kept longer.
    pub(crate) fn of_tier(tier: u8) -> Compression {
        if tier == 0 { Compression::Hot } else { Compression::Cold }
    }
}

/// Appends the best encoding of at most [`VALUES_MAX`] values.
pub(crate) fn encode(values: &Values, compression: Compression, out: &mut Vec<u8>) {
    assert!(values.len() <= VALUES_MAX, "a vector has at most 1,024 values");
    let start = out.len();
    match values {
        Values::Float(v) => float::put(v, out),
        Values::Integer(v) => encode_integers(v, out),
        Values::Unsigned(v) => encode_integers(&v.iter().map(|&v| to_signed(v)).collect::<Vec<_>>(), out),
        Values::Boolean(v) => boolean::put(v, out),
        Values::Text(v) => text::put(v, compression, out),
    }
    if compression == Compression::Cold {
        compressed::squeeze(start, out);
    }
}

/// Appends the best encoding of at most [`VALUES_MAX`] integers.
pub(crate) fn encode_integers(values: &[i64], out: &mut Vec<u8>) {
    assert!(values.len() <= VALUES_MAX, "a vector has at most 1,024 values");
    integer::Plan::of(values).put(values, out);
}

/// The `count` values of an encoded vector, which fills `bytes`.
pub(crate) fn decode(kind: FieldType, bytes: &[u8], count: usize) -> Result<Values, Malformed> {
    let mut buffer = Buffer::default();
    Ok(match decode_into(kind, bytes, count, &mut buffer)? {
        Slice::Float(v) => Values::Float(v.to_vec()),
        Slice::Integer(v) => Values::Integer(v.to_vec()),
        Slice::Unsigned(v) => Values::Unsigned(v.to_vec()),
        Slice::Boolean(v) => Values::Boolean(v.to_vec()),
        Slice::Text(v) => Values::Text(v.clone()),
    })
}

/// Appends the `count` integers of an encoded vector, which fills `bytes`.
pub(crate) fn decode_integers(bytes: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
    check_count(count)?;
    let bytes = compressed::expand(bytes)?;
    let mut cursor = Cursor::new(&bytes);
    let start = out.len();
    out.resize(start + count, 0);
    integer::take(&mut cursor, &mut out[start..])?;
    finish(&cursor)
}

fn check_count(count: usize) -> Result<(), Malformed> {
    if count <= VALUES_MAX { Ok(()) } else { Err(Malformed("vector has more than 1,024 values")) }
}

fn to_signed(value: u64) -> i64 {
    (value ^ 1 << 63) as i64
}

fn to_unsigned(value: i64) -> u64 {
    value as u64 ^ 1 << 63
}

#[cfg(test)]
mod tests;
