//! A column being read: ranges of vectors in, one Arrow array out.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, UInt64Array, new_null_array};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBufferBuilder};

use crate::codec::{Slice, Texts};
use crate::model::FieldType;

use super::vector::Decoded;

/// Values gathered so far.
#[derive(Debug)]
pub(super) struct Output {
    values: OutputValues,
    nulls: NullBufferBuilder,
}

#[derive(Debug)]
enum OutputValues {
    Float(Vec<f64>),
    Integer(Vec<i64>),
    Unsigned(Vec<u64>),
    Boolean(BooleanBufferBuilder),
    Text(StringViewBuilder),
}

/// An array of NULLs: what a field is that a segment or chunk does not have.
pub(super) fn nulls(kind: FieldType, rows: usize) -> ArrayRef {
    new_null_array(&kind.arrow(), rows)
}

impl Output {
    /// Room for `rows` values.
    pub(super) fn new(kind: FieldType, rows: usize) -> Output {
        let values = match kind {
            FieldType::Float => OutputValues::Float(Vec::with_capacity(rows)),
            FieldType::Integer => OutputValues::Integer(Vec::with_capacity(rows)),
            FieldType::Unsigned => OutputValues::Unsigned(Vec::with_capacity(rows)),
            FieldType::Boolean => OutputValues::Boolean(BooleanBufferBuilder::new(rows)),
            FieldType::Text => OutputValues::Text(StringViewBuilder::with_capacity(rows)),
        };
        Output { values, nulls: NullBufferBuilder::new(rows) }
    }

    /// Appends ranges of a vector of the type of this column.
    pub(super) fn extend(&mut self, vector: Decoded<'_>, ranges: &[Range<usize>]) {
        let Decoded { values, valid } = vector;
        match (&mut self.values, values) {
            (OutputValues::Float(out), Slice::Float(v)) => copy(v, ranges, out),
            (OutputValues::Integer(out), Slice::Integer(v)) => copy(v, ranges, out),
            (OutputValues::Unsigned(out), Slice::Unsigned(v)) => copy(v, ranges, out),
            (OutputValues::Boolean(out), Slice::Boolean(v)) => {
                ranges.iter().for_each(|r| out.append_slice(&v[r.clone()]));
            }
            (OutputValues::Text(out), Slice::Text(v)) => copy_texts(v, valid, ranges, out),
            _ => unreachable!("a vector is decoded to the type of its column"),
        }
        for range in ranges {
            match valid.is_empty() {
                true => self.nulls.append_n_non_nulls(range.len()),
                false => self.nulls.append_slice(&valid[range.clone()]),
            }
        }
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        let nulls = self.nulls.finish();
        match self.values {
            OutputValues::Float(v) => Arc::new(Float64Array::new(v.into(), nulls)),
            OutputValues::Integer(v) => Arc::new(Int64Array::new(v.into(), nulls)),
            OutputValues::Unsigned(v) => Arc::new(UInt64Array::new(v.into(), nulls)),
            OutputValues::Boolean(mut v) => Arc::new(BooleanArray::new(v.finish(), nulls)),
            OutputValues::Text(mut v) => Arc::new(v.finish()),
        }
    }
}

fn copy<T: Copy>(values: &[T], ranges: &[Range<usize>], out: &mut Vec<T>) {
    ranges.iter().for_each(|r| out.extend_from_slice(&values[r.clone()]));
}

/// Copies the texts, or shares their bytes where copies would take more.
fn copy_texts(texts: &Texts, valid: &[bool], ranges: &[Range<usize>], out: &mut StringViewBuilder) {
    let rows = || ranges.iter().flat_map(Clone::clone);
    let is_valid = |row: usize| valid.get(row).copied().unwrap_or(true);
    let copied_bytes: usize = rows().map(|row| texts.get(row).len()).sum();
    if copied_bytes <= texts.shared_bytes() / 2 {
        rows().for_each(|row| out.append_option(is_valid(row).then(|| texts.get(row))));
        return;
    }
    let (bytes, spans) = texts.parts();
    let shared = out.append_block(Buffer::from_vec(bytes.as_bytes().to_vec()));
    for row in rows() {
        let (start, end) = spans[row];
        match is_valid(row) {
            true => out.try_append_view(shared, start, end - start).expect("a span of texts lies between characters"),
            false => out.append_null(),
        }
    }
}
