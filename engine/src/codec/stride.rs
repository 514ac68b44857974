//! Stride: each value is the one before plus the same step.

use super::Malformed;
use crate::bytes::{Cursor, put_zigzag, zigzag_size};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stride {
    pub(super) first: i64,
    pub(super) step: i64,
}

impl Stride {
    pub(super) fn size(&self) -> usize {
        zigzag_size(self.first) + zigzag_size(self.step)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_zigzag(out, self.first);
        put_zigzag(out, self.step);
    }

    pub(super) fn take(cursor: &mut Cursor<'_>) -> Result<Stride, Malformed> {
        Ok(Stride { first: cursor.zigzag()?, step: cursor.zigzag()? })
    }

    /// Writes value after value.
    pub(super) fn fill(&self, out: &mut [i64]) {
        let mut value = self.first;
        for slot in out {
            *slot = value;
            value = value.wrapping_add(self.step);
        }
    }
}
