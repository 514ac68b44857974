//! Decimal: floats that are whole numbers divided by a power of ten, as most measured values are. The few that are not are exceptions.
//!
//! The idea is that of ALP (adaptive lossless floating point). Dividing by an exact power of ten rounds once, and so gives
//! back more values than multiplying by an inexact one; a common factor of the whole numbers is for their packing to find.

use super::Malformed;
use super::exceptions::{Exceptions, Taken};
use super::integer::{self, Plan};
use crate::bytes::Cursor;

/// Powers of ten that a float holds exactly.
pub(super) const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Whole numbers up to here are exact as floats.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
/// Adding and taking away this rounds a number of up to [`ROUNDED_MAX`] to a whole one.
const ROUNDING: f64 = 6_755_399_441_055_744.0;
const ROUNDED_MAX: f64 = 2_251_799_813_685_248.0;

/// Values looked at to find the exponent.
const SAMPLE: usize = 32;
/// With more exceptions than one in this many it is another encoding's turn.
const EXCEPTIONS_SHARE: usize = 8;
/// Bits that an exception costs, and that a step of the exponent adds to a value; for comparing exponents.
const EXCEPTION_BITS: usize = 76;
const TENTH_BITS: f64 = 3.3;

/// Values as integers with a common exponent of ten.
#[derive(Debug)]
pub(super) struct Decimal {
    exponent: u8,
    exceptions: Exceptions,
    wholes: Vec<i64>,
    plan: Plan,
}

impl Decimal {
    /// The integers that give these values, but for few exceptions; `None` where there would be many.
    pub(super) fn of(values: &[f64]) -> Option<Decimal> {
        let exponent = exponent_of(values)?;
        let mut exceptions = Exceptions::default();
        let mut before = values.iter().find_map(|&v| whole(v, exponent))?;
        let mut wholes = Vec::with_capacity(values.len());
        for (at, &value) in values.iter().enumerate() {
            match whole(value, exponent) {
                Some(whole) => before = whole,
                None => exceptions.push(at, value.to_bits()),
            }
            wholes.push(before);
        }
        if exceptions.len() * EXCEPTIONS_SHARE > values.len() {
            return None;
        }
        let plan = Plan::of(&wholes);
        Some(Decimal { exponent: exponent as u8, exceptions, wholes, plan })
    }

    pub(super) fn size(&self) -> usize {
        1 + self.exceptions.size(self.wholes.len()) + self.plan.size()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.exponent);
        self.exceptions.put(self.wholes.len(), out);
        self.plan.put(&self.wholes, out);
    }
}

/// Reads as many values as `out` has room for; `wholes` has the same.
pub(super) fn take(cursor: &mut Cursor<'_>, wholes: &mut [i64], out: &mut [f64]) -> Result<(), Malformed> {
    let exponent = usize::from(cursor.u8()?);
    let power = *POWERS.get(exponent).ok_or(Malformed("exponent is above 22"))?;
    let exceptions = Taken::take(cursor, out.len())?;
    integer::take(cursor, wholes)?;
    match exponent {
        0 => out.iter_mut().zip(wholes).for_each(|(slot, w)| *slot = *w as f64),
        _ => out.iter_mut().zip(wholes).for_each(|(slot, w)| *slot = *w as f64 / power),
    }
    exceptions.apply(out, f64::from_bits)
}

/// The exponent that costs least by a sample.
fn exponent_of(values: &[f64]) -> Option<usize> {
    let mut sampled = 0;
    let mut least = [0_usize; POWERS.len()];
    for &value in values.iter().step_by(values.len().div_ceil(SAMPLE).max(1)) {
        sampled += 1;
        if let Some(exponent) = (0..POWERS.len()).find(|&e| whole(value, e).is_some()) {
            least[exponent] += 1;
        }
    }
    let cost = |exponent: usize| {
        let fit: usize = least[..=exponent].iter().sum();
        let digits = TENTH_BITS * exponent as f64 * fit as f64;
        (fit > 0).then_some((sampled - fit) * EXCEPTION_BITS + digits as usize)
    };
    (0..POWERS.len()).filter(|&e| least[e] > 0).min_by_key(|&e| cost(e))
}

/// The integer that divided by ten to the `exponent` gives exactly the bits of `value`.
fn whole(value: f64, exponent: usize) -> Option<i64> {
    let scaled = value * POWERS[exponent];
    let size = scaled.abs();
    let rounded = if size < ROUNDED_MAX {
        (scaled + ROUNDING) - ROUNDING
    } else if size <= WHOLE_MAX {
        scaled.round_ties_even()
    } else {
        return None;
    };
    let whole = rounded as i64;
    ((whole as f64 / POWERS[exponent]).to_bits() == value.to_bits()).then_some(whole)
}
