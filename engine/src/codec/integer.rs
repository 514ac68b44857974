//! The chooser for integers and time: encodings are judged by size, and by what reading them costs; the best one writes.

use super::delta::{self, Delta, differences};
use super::distinct::{self, Distinct};
use super::packing::{self, Packing, Widths, middle_of};
use super::runs::{self, Runs};
use super::stride::Stride;
use super::{Encoding, Malformed, constant, raw, repeat};
use crate::bytes::{Cursor, put_varint, varint_size, zigzag_size};

/// At this size looking for structure in the whole vector is not worth its time.
const COMPOUND_TRIED_BYTES: usize = 32;
/// A sample is this many pieces of consecutive values.
const SAMPLE_PIECES: usize = 4;
const SAMPLE_PIECE: usize = 64;
/// Differences are packed where they take less even with this factor.
const ORDER_HANDICAP: f64 = 1.03;
/// Runs are looked for where they have this many values on average.
const RUN_VALUES_MIN: usize = 4;
/// A dictionary is looked for where a value takes more bits than this.
const DISTINCT_TRIED_BITS: usize = 4;

/// How given values will be written; nothing in it is a vector again.
#[derive(Debug)]
pub(super) enum Simple {
    Constant(i64),
    Stride(Stride),
    Frame(Packing),
    Delta(Delta),
    DeltaOfDelta(Delta),
    Raw(usize),
}

impl Simple {
    /// The best for these values.
    pub(super) fn of(values: &[i64]) -> Simple {
        let &[first, ref rest @ ..] = values else { return Simple::Raw(0) };
        let deltas = differences(values);
        let Some((&step, steps)) = deltas.split_first() else { return Simple::Constant(first) };
        if steps.iter().all(|&s| s == step) {
            return if step == 0 { Simple::Constant(first) } else { Simple::Stride(Stride { first, step }) };
        }
        let plain = Simple::Frame(Packing::plain(values));
        let packed = match Order::of(values) {
            Order::Values => Simple::Frame(Packing::of(values)),
            Order::Differences => Simple::Delta(Delta::new(vec![first], deltas)),
            Order::SecondDifferences => Simple::DeltaOfDelta(Delta::new(vec![first, step], differences(&deltas))),
        };
        [packed, plain, Simple::Raw(1 + rest.len())].into_iter().min_by_key(Simple::cost).expect("there are three")
    }

    /// Bytes that [`Simple::put`] writes.
    pub(super) fn size(&self) -> usize {
        1 + match self {
            Simple::Constant(value) => zigzag_size(*value),
            Simple::Stride(stride) => stride.size(),
            Simple::Frame(packing) => packing.size(),
            Simple::Delta(delta) | Simple::DeltaOfDelta(delta) => delta.size(),
            Simple::Raw(count) => count * 8,
        }
    }

    /// Its size, and what reading it costs, as bytes.
    fn cost(&self) -> usize {
        match self {
            Simple::Frame(packing) => 1 + packing.cost(),
            Simple::Delta(delta) | Simple::DeltaOfDelta(delta) => 1 + delta.cost(),
            simple => simple.size(),
        }
    }

    /// Writes the values that this plan was made of.
    pub(super) fn put(&self, values: &[i64], out: &mut Vec<u8>) {
        out.push(self.encoding() as u8);
        match self {
            Simple::Constant(value) => constant::put_integer(*value, out),
            Simple::Stride(stride) => stride.put(out),
            Simple::Frame(packing) => packing.put(values, out),
            Simple::Delta(delta) | Simple::DeltaOfDelta(delta) => delta.put(out),
            Simple::Raw(_) => raw::put(values.iter().map(|&v| v as u64), out),
        }
    }

    fn encoding(&self) -> Encoding {
        match self {
            Simple::Constant(_) => Encoding::Constant,
            Simple::Stride(_) => Encoding::Stride,
            Simple::Frame(_) => Encoding::Frame,
            Simple::Delta(_) => Encoding::Delta,
            Simple::DeltaOfDelta(_) => Encoding::DeltaOfDelta,
            Simple::Raw(_) => Encoding::Raw,
        }
    }
}

/// What of given values is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Values,
    Differences,
    SecondDifferences,
}

impl Order {
    /// What takes least bits in a sample.
    fn of(values: &[i64]) -> Order {
        let pieces = values.chunks(values.len().div_ceil(SAMPLE_PIECES).max(SAMPLE_PIECE));
        let (mut zeroth, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces.map(|piece| &piece[..piece.len().min(SAMPLE_PIECE)]) {
            let from = first.len();
            zeroth.extend_from_slice(piece);
            first.extend(piece.windows(2).map(|w| w[1].wrapping_sub(w[0])));
            let differences = first[from..].windows(2).map(|w| w[1].wrapping_sub(w[0]));
            second.extend(differences);
        }
        let [zeroth, first, second] = [zeroth, first, second].map(|numbers| bits_each(&numbers));
        // What is undone value by value has to be worth it.
        if second * ORDER_HANDICAP < first.min(zeroth) {
            Order::SecondDifferences
        } else if first * ORDER_HANDICAP < zeroth {
            Order::Differences
        } else {
            Order::Values
        }
    }
}

/// Bits of a number around the middle of all, on average.
fn bits_each(numbers: &[i64]) -> f64 {
    let middle = middle_of(numbers);
    let total = Widths::of(numbers.iter().map(|n| n.wrapping_sub(middle))).total();
    (total + 1) as f64 / numbers.len().max(1) as f64
}

/// How given values will be written.
#[derive(Debug)]
pub(super) enum Plan {
    Simple(Simple),
    Repeat { period: usize, round: Simple },
    Runs(Runs),
    Distinct(Distinct),
}

impl Plan {
    /// The best for these values.
    pub(super) fn of(values: &[i64]) -> Plan {
        let simple = Simple::of(values);
        let simple_cost = simple.cost();
        if simple_cost <= COMPOUND_TRIED_BYTES {
            return Plan::Simple(simple);
        }
        let dictionary_tried = simple_cost * 8 > values.len() * DISTINCT_TRIED_BITS;
        let best = Plan::with_structure(values, dictionary_tried);
        best.filter(|plan| plan.cost() < simple_cost).unwrap_or(Plan::Simple(simple))
    }

    /// The best of those that find structure in the whole vector, if any does.
    pub(super) fn compound(values: &[i64]) -> Option<Plan> {
        Plan::with_structure(values, true)
    }

    fn with_structure(values: &[i64], dictionary_tried: bool) -> Option<Plan> {
        let repeat =
            repeat::period_of(values).map(|period| Plan::Repeat { period, round: Simple::of(&values[..period]) });
        let changes = values.windows(2).filter(|w| w[0] != w[1]).count();
        let runs = (changes * RUN_VALUES_MIN <= values.len()).then(|| Plan::Runs(Runs::of(values)));
        let distinct = if dictionary_tried { Distinct::of(values).map(Plan::Distinct) } else { None };
        repeat.into_iter().chain(runs).chain(distinct).min_by_key(Plan::cost)
    }

    /// Bytes that [`Plan::put`] writes.
    pub(super) fn size(&self) -> usize {
        match self {
            Plan::Simple(simple) => simple.size(),
            Plan::Repeat { period, round } => 1 + varint_size(*period as u64) + round.size(),
            Plan::Runs(runs) => 1 + runs.size(),
            Plan::Distinct(distinct) => 1 + distinct.size(),
        }
    }

    fn cost(&self) -> usize {
        match self {
            Plan::Simple(simple) => simple.cost(),
            Plan::Distinct(_) => self.size() + self.size() / 16,
            _ => self.size(),
        }
    }

    /// Writes the values that this plan was made of.
    pub(super) fn put(&self, values: &[i64], out: &mut Vec<u8>) {
        match self {
            Plan::Simple(simple) => simple.put(values, out),
            Plan::Repeat { period, round } => {
                out.push(Encoding::Repeat as u8);
                put_varint(out, *period as u64);
                round.put(&values[..*period], out);
            }
            Plan::Runs(runs) => {
                out.push(Encoding::Runs as u8);
                runs.put(out);
            }
            Plan::Distinct(distinct) => {
                out.push(Encoding::Distinct as u8);
                distinct.put(out);
            }
        }
    }
}

/// Reads as many values as `out` has room for.
pub(super) fn take(cursor: &mut Cursor<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    match Encoding::take(cursor)? {
        Encoding::Repeat => {
            let period = cursor.varint_max(out.len())?;
            repeat::check(period, out.len())?;
            take_simple(cursor, &mut out[..period])?;
            repeat::unfold(period, out);
            Ok(())
        }
        Encoding::Runs => runs::take(cursor, out, Ok),
        Encoding::Distinct => distinct::take(cursor, out),
        encoding => take_encoding(encoding, cursor, out),
    }
}

/// As [`take`], but nothing that holds vectors again.
pub(super) fn take_simple(cursor: &mut Cursor<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    take_encoding(Encoding::take(cursor)?, cursor, out)
}

fn take_encoding(encoding: Encoding, cursor: &mut Cursor<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    match encoding {
        Encoding::Constant => out.fill(constant::take_integer(cursor)?),
        Encoding::Stride => Stride::take(cursor)?.fill(out),
        Encoding::Frame => packing::take(cursor, out)?,
        Encoding::Delta => delta::take(cursor, out)?,
        Encoding::DeltaOfDelta => delta::take_second(cursor, out)?,
        Encoding::Raw => raw::take(cursor, out, |v| v as i64)?,
        _ => return Err(Malformed("encoding does not store integers")),
    }
    Ok(())
}
