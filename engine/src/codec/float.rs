//! The chooser for floats.

use super::decimal::{self, Decimal};
use super::integer::{self, Plan};
use super::split::{self, Split};
use super::{Encoding, Malformed, VALUES_MAX, constant, raw};
use crate::bytes::Cursor;

/// A decimal form of more bytes a value than this is compared with other ways.
const DECIMAL_BYTES_GOOD: usize = 3;

enum Choice {
    Decimal(Decimal),
    Split(Split),
    /// The bits as integers.
    Pattern(Plan, Vec<i64>),
    Raw(usize),
}

impl Choice {
    fn size(&self) -> usize {
        match self {
            Choice::Decimal(decimal) => decimal.size(),
            Choice::Split(split) => split.size(),
            Choice::Pattern(plan, _) => plan.size(),
            Choice::Raw(count) => count * 8,
        }
    }
}

pub(super) fn put(values: &[f64], out: &mut Vec<u8>) {
    if let Some(value) = constant::of(values, f64::to_bits) {
        out.push(Encoding::Constant as u8);
        constant::put_float(value, out);
        return;
    }
    match choose(values) {
        Choice::Decimal(decimal) => {
            out.push(Encoding::Decimal as u8);
            decimal.put(out);
        }
        Choice::Split(split) => {
            out.push(Encoding::Split as u8);
            split.put(values, out);
        }
        Choice::Pattern(plan, bits) => {
            out.push(Encoding::Pattern as u8);
            plan.put(&bits, out);
        }
        Choice::Raw(_) => {
            out.push(Encoding::Raw as u8);
            raw::put(values.iter().map(|v| v.to_bits()), out);
        }
    }
}

fn choose(values: &[f64]) -> Choice {
    let decimal = Decimal::of(values);
    if let Some(decimal) = decimal {
        if decimal.size() <= values.len() * DECIMAL_BYTES_GOOD {
            return Choice::Decimal(decimal);
        }
        return smallest(Choice::Decimal(decimal), values);
    }
    smallest(Choice::Raw(values.len()), values)
}

/// The smallest of a choice and of what needs no decimal form.
fn smallest(choice: Choice, values: &[f64]) -> Choice {
    let patterns: Vec<i64> = values.iter().map(|v| v.to_bits() as i64).collect();
    let pattern = Plan::compound(&patterns).map(|plan| Choice::Pattern(plan, patterns));
    let others = [Choice::Raw(values.len()), Choice::Split(Split::of(values))].into_iter().chain(pattern);
    others.fold(choice, |best, other| if other.size() < best.size() { other } else { best })
}

/// Reads as many values as `out` has room for.
pub(super) fn take(cursor: &mut Cursor<'_>, scratch: &mut [i64], out: &mut [f64]) -> Result<(), Malformed> {
    let scratch = &mut scratch[..out.len()];
    match Encoding::take(cursor)? {
        Encoding::Constant => out.fill(constant::take_float(cursor)?),
        Encoding::Decimal => decimal::take(cursor, scratch, out)?,
        Encoding::Split => {
            let mut rears = [0; VALUES_MAX];
            split::take(cursor, [scratch, &mut rears[..out.len()]], out)?;
        }
        Encoding::Pattern => {
            integer::take(cursor, scratch)?;
            out.iter_mut().zip(scratch).for_each(|(slot, bits)| *slot = f64::from_bits(*bits as u64));
        }
        Encoding::Raw => raw::take(cursor, out, f64::from_bits)?,
        _ => return Err(Malformed("encoding does not store floats")),
    }
    Ok(())
}
