//! Delta: the first value and the packed differences of neighbours; delta of delta: the same once more.

use super::Malformed;
use super::packing::{self, Packing, Scale};
use crate::bytes::{Cursor, put_zigzag, zigzag_size};

/// Differences of neighbours.
pub(super) fn differences(values: &[i64]) -> Vec<i64> {
    values.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect()
}

/// Differences as they will be written, after the numbers that they begin from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delta {
    /// The first value, and for delta of delta the first difference.
    firsts: Vec<i64>,
    differences: Vec<i64>,
    packing: Packing,
}

impl Delta {
    pub(super) fn new(firsts: Vec<i64>, differences: Vec<i64>) -> Delta {
        let packing = Packing::of(&differences);
        Delta { firsts, differences, packing }
    }

    pub(super) fn size(&self) -> usize {
        self.firsts_size() + self.packing.size()
    }

    /// As [`Packing::cost`].
    pub(super) fn cost(&self) -> usize {
        self.firsts_size() + self.packing.cost()
    }

    fn firsts_size(&self) -> usize {
        self.firsts.iter().map(|&first| zigzag_size(first)).sum()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        self.firsts.iter().for_each(|&first| put_zigzag(out, first));
        self.packing.put(&self.differences, out);
    }
}

/// Reads values told by their differences.
pub(super) fn take(cursor: &mut Cursor<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    let [first, rest @ ..] = out else { return Err(Malformed("no values have differences")) };
    *first = cursor.zigzag()?;
    let Scale { base, divisor } = packing::take_multiples(cursor, rest)?;
    let mut value = *first;
    match divisor {
        1 => rest.iter_mut().for_each(|slot| {
            value = value.wrapping_add(base.wrapping_add(*slot));
            *slot = value;
        }),
        _ => rest.iter_mut().for_each(|slot| {
            value = value.wrapping_add(base.wrapping_add(divisor.wrapping_mul(*slot)));
            *slot = value;
        }),
    }
    Ok(())
}

/// Reads values told by the differences of their differences.
pub(super) fn take_second(cursor: &mut Cursor<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    let [first, second, rest @ ..] = out else { return Err(Malformed("too few values have second differences")) };
    *first = cursor.zigzag()?;
    let mut difference = cursor.zigzag()?;
    *second = first.wrapping_add(difference);
    packing::take(cursor, rest)?;
    let mut value = *second;
    for slot in rest {
        difference = difference.wrapping_add(*slot);
        value = value.wrapping_add(difference);
        *slot = value;
    }
    Ok(())
}
