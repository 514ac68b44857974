//! Stride: each value is the one before plus the same step.

use super::Malformed;
use crate::bytes::{Cursor, put_zigzag, zigzag_size};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stride {
    first: i64,
    step: i64,
}

impl Stride {
    /// The stride that gives these values, if one does.
    pub(super) fn of(values: &[i64]) -> Option<Stride> {
        let &[first, second, ..] = values else { return None };
        let step = second.wrapping_sub(first);
        values.windows(2).all(|w| w[1].wrapping_sub(w[0]) == step).then_some(Stride { first, step })
    }

    pub(super) fn size(&self) -> usize {
        zigzag_size(self.first) + zigzag_size(self.step)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_zigzag(out, self.first);
        put_zigzag(out, self.step);
    }

    pub(super) fn take(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
        let (first, step) = Stride::take_parts(cursor)?;
        out.extend((0..count as i64).map(|i| first.wrapping_add(i.wrapping_mul(step))));
        Ok(())
    }

    /// First value and step.
    pub(super) fn take_parts(cursor: &mut Cursor<'_>) -> Result<(i64, i64), Malformed> {
        Ok((cursor.zigzag()?, cursor.zigzag()?))
    }
}
