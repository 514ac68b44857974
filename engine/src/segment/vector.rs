//! A vector of one field: values with NULLs, to and from bytes, and from Arrow arrays.

use std::borrow::Cow;
use std::ops::Range;

use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray, UInt64Array};

use crate::bytes::Cursor;
use crate::codec::{self, Malformed, Texts, Values};
use crate::model::FieldType;

use super::format::{VALIDITY_ALL, VALIDITY_BITMAP, VALIDITY_NONE};

/// Values of consecutive rows of one field.
#[derive(Debug, Clone)]
pub(crate) struct Vector {
    /// One value per row; where it is NULL any value stands.
    pub(crate) values: Values,
    /// Which rows have a value; empty while all have.
    pub(crate) valid: Vec<bool>,
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
    pub(super) fn put(&self, present: &Values, out: &mut Vec<u8>) {
        if present.len() == self.rows() {
            out.push(VALIDITY_ALL);
        } else if present.len() == 0 {
            out.push(VALIDITY_NONE);
            return;
        } else {
            out.push(VALIDITY_BITMAP);
            codec::put_bits(&self.valid, out);
        }
        codec::encode(present, out);
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
