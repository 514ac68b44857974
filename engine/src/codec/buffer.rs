//! Decoding without allocation: values land in a buffer that the caller keeps from vector to vector.

use super::stride::Stride;
use super::{Encoding, Malformed, Texts, boolean, check_count, constant, finish, float, integer, text, to_unsigned};
use crate::bytes::Cursor;
use crate::model::FieldType;

/// Room for one decoded vector of each type; grows once and is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    floats: Vec<f64>,
    integers: Vec<i64>,
    unsigned: Vec<u64>,
    booleans: Vec<bool>,
    texts: Texts,
}

/// Decoded values, as they lie in a [`Buffer`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Slice<'a> {
    /// 64-bit floats.
    Float(&'a [f64]),
    /// 64-bit signed integers.
    Integer(&'a [i64]),
    /// 64-bit unsigned integers.
    Unsigned(&'a [u64]),
    /// True or false.
    Boolean(&'a [bool]),
    /// UTF-8 text.
    Text(&'a Texts),
}

/// As [`super::decode`], into a buffer.
pub(crate) fn decode_into<'b>(
    kind: FieldType,
    bytes: &[u8],
    count: usize,
    buffer: &'b mut Buffer,
) -> Result<Slice<'b>, Malformed> {
    check_count(count)?;
    let mut cursor = Cursor::new(bytes);
    buffer.take(kind, &mut cursor, count)?;
    finish(&cursor)?;
    Ok(buffer.slice(kind))
}

impl Buffer {
    fn take(&mut self, kind: FieldType, cursor: &mut Cursor<'_>, count: usize) -> Result<(), Malformed> {
        match kind {
            FieldType::Float => {
                self.floats.clear();
                float::take(cursor, count, &mut self.floats)
            }
            FieldType::Integer => {
                self.integers.clear();
                integer::take(cursor, count, &mut self.integers)
            }
            FieldType::Unsigned => {
                self.integers.clear();
                integer::take(cursor, count, &mut self.integers)?;
                self.unsigned.clear();
                self.unsigned.extend(self.integers.iter().map(|&v| to_unsigned(v)));
                Ok(())
            }
            FieldType::Boolean => {
                self.booleans.clear();
                boolean::take(cursor, count, &mut self.booleans)
            }
            FieldType::Text => {
                self.texts = text::take(cursor, count)?;
                Ok(())
            }
        }
    }

    fn slice(&self, kind: FieldType) -> Slice<'_> {
        match kind {
            FieldType::Float => Slice::Float(&self.floats),
            FieldType::Integer => Slice::Integer(&self.integers),
            FieldType::Unsigned => Slice::Unsigned(&self.unsigned),
            FieldType::Boolean => Slice::Boolean(&self.booleans),
            FieldType::Text => Slice::Text(&self.texts),
        }
    }
}

/// First value and step of an encoded integer vector that is regular, which needs no decoding: value *i* is
/// first + *i* × step, wrapping around. `None` where it is not, and where its bytes are malformed.
pub(crate) fn stride_of(bytes: &[u8]) -> Option<(i64, i64)> {
    let mut cursor = Cursor::new(bytes);
    let stride = match Encoding::take(&mut cursor).ok()? {
        Encoding::Constant => (constant::take_integer_value(&mut cursor).ok()?, 0),
        Encoding::Stride => Stride::take_parts(&mut cursor).ok()?,
        _ => return None,
    };
    finish(&cursor).ok().map(|()| stride)
}
