//! A vector of one field: values with NULLs, to and from bytes, and from Arrow arrays.

use std::borrow::Cow;
use std::ops::Range;

use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray, UInt64Array};

use crate::bytes::Cursor;
use crate::codec::{self, Buffer, Compression, Malformed, Slice, Texts, Values};
use crate::model::FieldType;

use super::format::{VALIDITY_ALL, VALIDITY_BITMAP, VALIDITY_NONE};

/// Values of consecutive rows of one field.
#[derive(Debug, Clone)]
pub(super) struct Vector {
    /// One value per row; where it is NULL any value stands.
    pub(super) values: Values,
    /// Which rows have a value; empty while all have.
    pub(super) valid: Vec<bool>,
}

impl Vector {
    pub(super) fn new(kind: FieldType) -> Vector {
        Vector { values: Values::new(kind), valid: Vec::new() }
    }

    pub(super) fn rows(&self) -> usize {
        self.values.len()
    }

    /// Bytes of its texts; nothing for other types.
    pub(super) fn text_bytes(&self) -> usize {
        match &self.values {
            Values::Text(texts) => texts.shared_bytes(),
            _ => 0,
        }
    }

    /// Appends rows of an array, whose type is that of this vector.
    pub(super) fn extend(&mut self, array: &ArrayRef, range: Range<usize>) {
        match &mut self.values {
            Values::Float(out) => out.extend_from_slice(&of_type::<Float64Array>(array).values()[range.clone()]),
            Values::Integer(out) => out.extend_from_slice(&of_type::<Int64Array>(array).values()[range.clone()]),
            Values::Unsigned(out) => out.extend_from_slice(&of_type::<UInt64Array>(array).values()[range.clone()]),
            Values::Boolean(out) => {
                let bits = of_type::<BooleanArray>(array).values();
                out.extend(range.clone().map(|row| bits.value(row)));
            }
            Values::Text(out) => {
                let texts = of_type::<StringViewArray>(array);
                range.clone().for_each(|row| out.push(if texts.is_null(row) { "" } else { texts.value(row) }));
            }
        }
        self.extend_valid(array, range);
    }

    fn extend_valid(&mut self, array: &ArrayRef, range: Range<usize>) {
        let before = self.rows() - range.len();
        match array.nulls().filter(|nulls| nulls.slice(range.start, range.len()).null_count() > 0) {
            Some(nulls) => {
                self.valid.resize(before, true);
                self.valid.extend(range.map(|row| nulls.is_valid(row)));
            }
            None if !self.valid.is_empty() => self.valid.resize(self.rows(), true),
            None => {}
        }
    }

    /// The values that are not NULL.
    pub(super) fn present(&self) -> Cow<'_, Values> {
        if self.valid.is_empty() {
            return Cow::Borrowed(&self.values);
        }
        Cow::Owned(match &self.values {
            Values::Float(v) => Values::Float(gather(v, &self.valid)),
            Values::Integer(v) => Values::Integer(gather(v, &self.valid)),
            Values::Unsigned(v) => Values::Unsigned(gather(v, &self.valid)),
            Values::Boolean(v) => Values::Boolean(gather(v, &self.valid)),
            Values::Text(v) => {
                let mut texts = Texts::default();
                v.iter().zip(&self.valid).filter(|(_, valid)| **valid).for_each(|(t, _)| texts.push(t));
                Values::Text(texts)
            }
        })
    }

    /// Appends the bytes of this vector, of which `present` are the values that are not NULL.
    pub(super) fn put(&self, present: &Values, compression: Compression, out: &mut Vec<u8>) {
        if present.len() == self.rows() {
            out.push(VALIDITY_ALL);
        } else if present.len() == 0 {
            out.push(VALIDITY_NONE);
            return;
        } else {
            out.push(VALIDITY_BITMAP);
            codec::put_bits(&self.valid, out);
        }
        codec::encode(present, compression, out);
    }

    /// The vector of `rows` rows that fills `bytes`.
    pub(super) fn take(kind: FieldType, rows: usize, bytes: &[u8]) -> Result<Vector, Malformed> {
        let mut cursor = Cursor::new(bytes);
        match cursor.u8()? {
            VALIDITY_ALL => Ok(Vector { values: codec::decode(kind, cursor.take_rest(), rows)?, valid: Vec::new() }),
            VALIDITY_BITMAP => {
                let mut valid = Vec::with_capacity(rows);
                codec::take_bits(&mut cursor, rows, &mut valid)?;
                let count = valid.iter().filter(|&&v| v).count();
                let present = codec::decode(kind, cursor.take_rest(), count)?;
                Ok(Vector { values: spread(present, &valid), valid })
            }
            VALIDITY_NONE => {
                codec::finish(&cursor)?;
                let valid = vec![false; rows];
                Ok(Vector { values: spread(Values::new(kind), &valid), valid })
            }
            _ => Err(Malformed("unknown validity")),
        }
    }
}

/// What the vector of `rows` rows that fills `bytes` is encoded as.
pub(super) fn encoding_name(bytes: &[u8], rows: usize) -> String {
    let mut cursor = Cursor::new(bytes);
    match cursor.u8() {
        Ok(VALIDITY_ALL) => codec::encoding_name(cursor.take_rest()),
        Ok(VALIDITY_BITMAP) => match codec::take_bits(&mut cursor, rows, &mut Vec::new()) {
            Ok(()) => codec::encoding_name(cursor.take_rest()),
            Err(malformed) => malformed.0.to_owned(),
        },
        Ok(VALIDITY_NONE) => "null".to_owned(),
        Ok(_) => "unknown validity".to_owned(),
        Err(short) => Malformed::from(short).0.to_owned(),
    }
}

/// Room for one decoded vector, used again and again.
#[derive(Debug, Default)]
pub(crate) struct VectorBuffer {
    codec: Buffer,
    valid: Vec<bool>,
    /// Values with fillers where NULL is, for vectors that have some.
    floats: Vec<f64>,
    integers: Vec<i64>,
    unsigned: Vec<u64>,
    booleans: Vec<bool>,
    texts: Texts,
}

/// A vector as it lies in a [`VectorBuffer`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoded<'a> {
    /// One value per row; where it is NULL: zero, false or an empty text.
    pub(crate) values: Slice<'a>,
    /// Which rows have a value; empty if all have.
    pub(crate) valid: &'a [bool],
}

impl VectorBuffer {
    /// As [`Vector::take`], without allocation.
    pub(super) fn take(&mut self, kind: FieldType, rows: usize, bytes: &[u8]) -> Result<Decoded<'_>, Malformed> {
        let mut cursor = Cursor::new(bytes);
        self.valid.clear();
        match cursor.u8()? {
            VALIDITY_ALL => {
                let values = codec::decode_into(kind, cursor.take_rest(), rows, &mut self.codec)?;
                Ok(Decoded { values, valid: &[] })
            }
            VALIDITY_BITMAP => {
                codec::take_bits(&mut cursor, rows, &mut self.valid)?;
                self.spread(kind, cursor.take_rest())
            }
            VALIDITY_NONE => {
                codec::finish(&cursor)?;
                self.valid.resize(rows, false);
                self.spread_none(kind)
            }
            _ => Err(Malformed("unknown validity")),
        }
    }

    /// The present values, of which these are the bytes, each in its row.
    fn spread(&mut self, kind: FieldType, bytes: &[u8]) -> Result<Decoded<'_>, Malformed> {
        let valid = &self.valid;
        let count = valid.iter().filter(|&&v| v).count();
        let values = match codec::decode_into(kind, bytes, count, &mut self.codec)? {
            Slice::Float(v) => Slice::Float(spread_into(v, valid, &mut self.floats)),
            Slice::Integer(v) => Slice::Integer(spread_into(v, valid, &mut self.integers)),
            Slice::Unsigned(v) => Slice::Unsigned(spread_into(v, valid, &mut self.unsigned)),
            Slice::Boolean(v) => Slice::Boolean(spread_into(v, valid, &mut self.booleans)),
            Slice::Text(v) => {
                self.texts = v.clone().spread(valid);
                Slice::Text(&self.texts)
            }
        };
        Ok(Decoded { values, valid })
    }

    fn spread_none(&mut self, kind: FieldType) -> Result<Decoded<'_>, Malformed> {
        let valid = &self.valid;
        let values = match kind {
            FieldType::Float => Slice::Float(spread_into(&[], valid, &mut self.floats)),
            FieldType::Integer => Slice::Integer(spread_into(&[], valid, &mut self.integers)),
            FieldType::Unsigned => Slice::Unsigned(spread_into(&[], valid, &mut self.unsigned)),
            FieldType::Boolean => Slice::Boolean(spread_into(&[], valid, &mut self.booleans)),
            FieldType::Text => {
                self.texts = Texts::default().spread(valid);
                Slice::Text(&self.texts)
            }
        };
        Ok(Decoded { values, valid })
    }
}

fn spread_into<'a, T: Copy + Default>(present: &[T], valid: &[bool], out: &'a mut Vec<T>) -> &'a [T] {
    let mut present = present.iter().copied();
    out.clear();
    out.extend(valid.iter().map(|&valid| if valid { present.next().unwrap_or_default() } else { T::default() }));
    out
}

fn of_type<T: Array + 'static>(array: &ArrayRef) -> &T {
    array.as_any().downcast_ref().expect("a column of rows has the Arrow type of its field")
}

fn gather<T: Copy>(values: &[T], valid: &[bool]) -> Vec<T> {
    values.iter().zip(valid).filter(|(_, valid)| **valid).map(|(v, _)| *v).collect()
}

/// One value per row again: each to where a value is, a filler to where NULL is.
fn spread(present: Values, valid: &[bool]) -> Values {
    match present {
        Values::Float(v) => Values::Float(spread_numbers(&v, valid)),
        Values::Integer(v) => Values::Integer(spread_numbers(&v, valid)),
        Values::Unsigned(v) => Values::Unsigned(spread_numbers(&v, valid)),
        Values::Boolean(v) => Values::Boolean(spread_numbers(&v, valid)),
        Values::Text(v) => Values::Text(v.spread(valid)),
    }
}

fn spread_numbers<T: Copy + Default>(present: &[T], valid: &[bool]) -> Vec<T> {
    let mut present = present.iter().copied();
    valid.iter().map(|&valid| if valid { present.next().unwrap_or_default() } else { T::default() }).collect()
}
