//! Split: floats without a decimal form, cut into their front bits, which are much alike, and the rest, which is noise.
//!
//! The idea is that of ALP-RD; the front bits are an integer vector, which finds what they have in common.

use super::integer::{self, Plan, Simple};
use super::{Malformed, bits};
use crate::bytes::Cursor;

/// Numbers of rear bits that are tried.
const REARS: [u32; 7] = [40, 44, 48, 50, 52, 54, 58];
/// Consecutive values that it is tried on.
const SAMPLE: usize = 64;

/// Values cut in two.
#[derive(Debug)]
pub(super) struct Split {
    rear: u32,
    fronts: Vec<i64>,
    plan: Plan,
}

impl Split {
    /// The best cut for these values.
    pub(super) fn of(values: &[f64]) -> Split {
        let middle = values.len().saturating_sub(SAMPLE) / 2;
        let sample = &values[middle..values.len().min(middle + SAMPLE)];
        let cost = |rear: u32| Simple::of(&fronts(sample, rear)).size() * 8 + sample.len() * rear as usize;
        let rear = REARS.into_iter().min_by_key(|&rear| cost(rear)).unwrap_or(REARS[0]);
        let fronts = fronts(values, rear);
        let plan = Plan::of(&fronts);
        Split { rear, fronts, plan }
    }

    pub(super) fn size(&self) -> usize {
        1 + self.plan.size() + bits::packed_size(self.fronts.len(), self.rear)
    }

    pub(super) fn put(&self, values: &[f64], out: &mut Vec<u8>) {
        out.push(self.rear as u8);
        self.plan.put(&self.fronts, out);
        bits::pack(values.iter().map(|v| v.to_bits() & ((1 << self.rear) - 1)), self.rear, out);
    }
}

fn fronts(values: &[f64], rear: u32) -> Vec<i64> {
    values.iter().map(|v| (v.to_bits() >> rear) as i64).collect()
}

/// Reads as many values as `out` has room for; `fronts` and `rears` have the same.
pub(super) fn take(
    cursor: &mut Cursor<'_>,
    [fronts, rears]: [&mut [i64]; 2],
    out: &mut [f64],
) -> Result<(), Malformed> {
    let rear = u32::from(cursor.u8()?);
    if !(1..64).contains(&rear) {
        return Err(Malformed("cut is not within a float"));
    }
    integer::take(cursor, fronts)?;
    bits::take(cursor, rear, rears)?;
    let parts = fronts.iter().zip(rears.iter());
    out.iter_mut().zip(parts).for_each(|(slot, (&f, &r))| *slot = f64::from_bits((f as u64) << rear | r as u64));
    Ok(())
}
