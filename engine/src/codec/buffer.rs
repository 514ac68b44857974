//! Decoding without allocation: values land in a buffer that the caller keeps from vector to vector.

use super::stride::Stride;
use super::{
    Encoding, Malformed, Texts, VALUES_MAX, boolean, check_count, compressed, constant, finish, float, integer, text,
    to_unsigned,
};
use crate::bytes::Cursor;
use crate::model::{FieldType, Value};

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

impl Slice<'_> {
    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        match self {
            Slice::Float(v) => v.len(),
            Slice::Integer(v) => v.len(),
            Slice::Unsigned(v) => v.len(),
            Slice::Boolean(v) => v.len(),
            Slice::Text(v) => v.len(),
        }
    }

    /// The n-th value.
    pub(crate) fn value(&self, nth: usize) -> Value<'_> {
        match self {
            Slice::Float(v) => Value::Float(v[nth]),
            Slice::Integer(v) => Value::Integer(v[nth]),
            Slice::Unsigned(v) => Value::Unsigned(v[nth]),
            Slice::Boolean(v) => Value::Boolean(v[nth]),
            Slice::Text(v) => Value::Text(v.get(nth).into()),
        }
    }
}

/// As [`super::decode`], into a buffer.
pub(crate) fn decode_into<'b>(
    kind: FieldType,
    bytes: &[u8],
    count: usize,
    buffer: &'b mut Buffer,
) -> Result<Slice<'b>, Malformed> {
    check_count(count)?;
    let bytes = compressed::expand(bytes)?;
    let mut cursor = Cursor::new(&bytes);
    match kind {
        FieldType::Float => {
            let out = room(&mut buffer.floats, count);
            float::take(&mut cursor, room(&mut buffer.integers, count), out)?;
        }
        FieldType::Integer => integer::take(&mut cursor, room(&mut buffer.integers, count))?,
        FieldType::Unsigned => {
            let signed = room(&mut buffer.integers, count);
            integer::take(&mut cursor, signed)?;
            room(&mut buffer.unsigned, count).iter_mut().zip(signed).for_each(|(slot, v)| *slot = to_unsigned(*v));
        }
        FieldType::Boolean => boolean::take(&mut cursor, room(&mut buffer.booleans, count))?,
        FieldType::Text => buffer.texts = text::take(&mut cursor, count)?,
    }
    finish(&cursor)?;
    Ok(buffer.slice(kind, count))
}

/// Room for `count` values, whatever is in it.
fn room<T: Clone + Default>(values: &mut Vec<T>, count: usize) -> &mut [T] {
    if values.len() < count {
        values.resize(VALUES_MAX, T::default());
    }
    &mut values[..count]
}

impl Buffer {
    fn slice(&self, kind: FieldType, count: usize) -> Slice<'_> {
        match kind {
            FieldType::Float => Slice::Float(&self.floats[..count]),
            FieldType::Integer => Slice::Integer(&self.integers[..count]),
            FieldType::Unsigned => Slice::Unsigned(&self.unsigned[..count]),
            FieldType::Boolean => Slice::Boolean(&self.booleans[..count]),
            FieldType::Text => Slice::Text(&self.texts),
        }
    }
}

/// First value and step of an encoded integer vector that is regular, which needs no decoding: value *i* is
/// first + *i* × step, wrapping around. `None` where it is not, and where its bytes are malformed.
pub(crate) fn stride_of(bytes: &[u8]) -> Option<(i64, i64)> {
    let mut cursor = Cursor::new(bytes);
    let Stride { first, step } = match Encoding::take(&mut cursor).ok()? {
        Encoding::Constant => Stride { first: constant::take_integer(&mut cursor).ok()?, step: 0 },
        Encoding::Stride => Stride::take(&mut cursor).ok()?,
        _ => return None,
    };
    finish(&cursor).ok().map(|()| (first, step))
}
