//! Decimal: floats that are whole numbers divided by a small power of ten, as most measured values are.

use super::Malformed;
use super::integer::{self, Plan};
use crate::bytes::Cursor;

/// Powers of ten that a float holds exactly, up to the greatest exponent used.
const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Whole numbers up to here are exact as floats.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Values as integers with a common exponent of ten.
#[derive(Debug)]
pub(super) struct Decimal {
    exponent: u8,
    wholes: Vec<i64>,
    plan: Plan,
}

impl Decimal {
    /// The integers that give exactly these values, with the smallest exponent that does; `None` where none does.
    pub(super) fn of(values: &[f64]) -> Option<Decimal> {
        let mut exponent = 0;
        for &value in values {
            while whole(value, exponent).is_none() {
                exponent += 1;
                if exponent == POWERS.len() {
                    return None;
                }
            }
        }
        // An exponent found for a later value has to hold for the ones before, too.
        let wholes = values.iter().map(|&v| whole(v, exponent)).collect::<Option<Vec<i64>>>()?;
        let plan = Plan::of(&wholes);
        Some(Decimal { exponent: exponent as u8, wholes, plan })
    }

    pub(super) fn size(&self) -> usize {
        1 + self.plan.size(self.wholes.len())
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.exponent);
        self.plan.put(&self.wholes, out);
    }
}

/// Appends the decoded values to `out`.
pub(super) fn take(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<f64>) -> Result<(), Malformed> {
    let exponent = usize::from(cursor.u8()?);
    let power = *POWERS.get(exponent).ok_or(Malformed("exponent is above 15"))?;
    let mut wholes = Vec::with_capacity(count);
    integer::take(cursor, count, &mut wholes)?;
    out.extend(wholes.iter().map(|&w| w as f64 / power));
    Ok(())
}

/// The integer that divided by ten to the `exponent` gives exactly the bits of `value`.
fn whole(value: f64, exponent: usize) -> Option<i64> {
    let scaled = (value * POWERS[exponent]).round_ties_even();
    if scaled.is_nan() || scaled.abs() > WHOLE_MAX {
        return None;
    }
    let whole = scaled as i64;
    (to_bits(whole, exponent) == value.to_bits()).then_some(whole)
}

fn to_bits(whole: i64, exponent: usize) -> u64 {
    (whole as f64 / POWERS[exponent]).to_bits()
}
