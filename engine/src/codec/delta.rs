//! Delta: the first value, and the packed differences of neighbours.

use super::Malformed;
use super::frame::Frame;
use crate::bytes::{Cursor, put_zigzag, zigzag_size};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delta {
    first: i64,
    deltas: Vec<i64>,
    frame: Frame,
}

impl Delta {
    /// The differences of these values; `None` for no values.
    pub(super) fn of(values: &[i64]) -> Option<Delta> {
        let &first = values.first()?;
        let deltas: Vec<i64> = values.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
        let frame = Frame::of(&deltas);
        Some(Delta { first, deltas, frame })
    }

    pub(super) fn size(&self) -> usize {
        zigzag_size(self.first) + self.frame.size(self.deltas.len())
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_zigzag(out, self.first);
        self.frame.put(&self.deltas, out);
    }

    pub(super) fn take(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
        let deltas = count.checked_sub(1).ok_or(Malformed("no values have differences"))?;
        let start = out.len();
        out.push(cursor.zigzag()?);
        Frame::take(cursor, deltas, out)?;
        let mut value = 0_i64;
        for slot in &mut out[start..] {
            value = value.wrapping_add(*slot);
            *slot = value;
        }
        Ok(())
    }
}
