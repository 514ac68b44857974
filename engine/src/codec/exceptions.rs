//! Exceptions: the few values that would widen all the others, told by position.

use super::Malformed;
use super::bits::{self, GROUP};
use crate::bytes::{Cursor, put_varint, varint_size};

/// Positions and amounts; what an amount means is for the encoding to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Exceptions {
    positions: Vec<u16>,
    amounts: Vec<u64>,
}

impl Exceptions {
    pub(super) fn push(&mut self, position: usize, amount: u64) {
        self.positions.push(position as u16);
        self.amounts.push(amount);
    }

    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    /// Bytes of this many exceptions among `count` values, with amounts of at most `width` bits.
    pub(super) fn size_of(exceptions: usize, count: usize, width: u32) -> usize {
        match exceptions {
            0 => 1,
            _ => {
                let positions = bits::packed_size(exceptions, position_width(count));
                varint_size(exceptions as u64) + 1 + positions + bits::packed_size(exceptions, width)
            }
        }
    }

    /// Bytes that [`Exceptions::put`] writes.
    pub(super) fn size(&self, count: usize) -> usize {
        Exceptions::size_of(self.len(), count, self.width())
    }

    fn width(&self) -> u32 {
        bits::width_of(self.amounts.iter().fold(0, |all, amount| all | amount))
    }

    pub(super) fn put(&self, count: usize, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        if self.len() > 0 {
            let width = self.width();
            out.push(width as u8);
            bits::pack(self.positions.iter().map(|&p| u64::from(p)), position_width(count), out);
            bits::pack(self.amounts.iter().copied(), width, out);
        }
    }
}

/// Exceptions as they lie in bytes.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    len: usize,
    positions: Cursor<'a>,
    position_width: u32,
    amounts: Cursor<'a>,
    amount_width: u32,
}

impl<'a> Taken<'a> {
    /// Reads where the exceptions among `count` values are.
    pub(super) fn take(cursor: &mut Cursor<'a>, count: usize) -> Result<Taken<'a>, Malformed> {
        let len = cursor.varint_max(count)?;
        let amount_width = if len == 0 { 0 } else { u32::from(cursor.u8()?) };
        let position_width = position_width(count);
        let positions = Cursor::new(cursor.take(bits::packed_size(len, position_width))?);
        let amounts = Cursor::new(cursor.take(bits::packed_size(len, amount_width))?);
        Ok(Taken { len, positions, position_width, amounts, amount_width })
    }

    /// Puts what each amount means at its position.
    pub(super) fn apply<T>(mut self, out: &mut [T], value: impl Fn(u64) -> T) -> Result<(), Malformed> {
        let (mut positions, mut amounts) = ([0; GROUP], [0; GROUP]);
        while self.len > 0 {
            let group = self.len.min(GROUP);
            bits::take(&mut self.positions, self.position_width, &mut positions[..group])?;
            bits::take(&mut self.amounts, self.amount_width, &mut amounts[..group])?;
            for (&position, &amount) in positions[..group].iter().zip(&amounts) {
                let slot = out.get_mut(position as usize).ok_or(Malformed("exception is not among the values"))?;
                *slot = value(amount as u64);
            }
            self.len -= group;
        }
        Ok(())
    }
}

/// Bits of a position among `count` values.
fn position_width(count: usize) -> u32 {
    bits::width_of(count.saturating_sub(1) as u64)
}
