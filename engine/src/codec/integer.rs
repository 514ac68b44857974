//! The chooser for integers and time: each encoding says its exact size, and the smallest one writes.

use super::delta::Delta;
use super::frame::Frame;
use super::stride::Stride;
use super::{Encoding, Malformed, constant, raw, repeat};
use crate::bytes::{Cursor, put_varint, varint_size, zigzag_size};

/// Below this many bytes looking for a period is not worth its time.
const REPEAT_TRIED_BYTES: usize = 32;

/// How given values will be written.
#[derive(Debug)]
pub(super) enum Plan {
    Constant(i64),
    Stride(Stride),
    Frame(Frame),
    Delta(Delta),
    Repeat { period: usize, inner: Box<Plan> },
    Raw,
}

impl Plan {
    /// The smallest of all encodings.
    pub(super) fn of(values: &[i64]) -> Plan {
        let single = Plan::without_repeat(values);
        if single.size(values.len()) <= REPEAT_TRIED_BYTES {
            return single;
        }
        let Some(period) = repeat::period_of(values) else { return single };
        let inner = Box::new(Plan::without_repeat(&values[..period]));
        smaller(single, Plan::Repeat { period, inner }, values.len())
    }

    fn without_repeat(values: &[i64]) -> Plan {
        if let Some(value) = constant::of(values, |v| v) {
            return Plan::Constant(value);
        }
        if let Some(stride) = Stride::of(values) {
            return Plan::Stride(stride);
        }
        let Some(delta) = Delta::of(values) else { return Plan::Raw };
        let packed = smaller(Plan::Frame(Frame::of(values)), Plan::Delta(delta), values.len());
        smaller(packed, Plan::Raw, values.len())
    }

    /// Bytes that [`Plan::put`] writes.
    pub(super) fn size(&self, count: usize) -> usize {
        1 + match self {
            Plan::Constant(value) => zigzag_size(*value),
            Plan::Stride(stride) => stride.size(),
            Plan::Frame(frame) => frame.size(count),
            Plan::Delta(delta) => delta.size(),
            Plan::Repeat { period, inner } => varint_size(*period as u64) + inner.size(*period),
            Plan::Raw => count * 8,
        }
    }

    /// Writes the values that this plan was made of.
    pub(super) fn put(&self, values: &[i64], out: &mut Vec<u8>) {
        out.push(self.encoding() as u8);
        match self {
            Plan::Constant(value) => constant::put_integer(*value, out),
            Plan::Stride(stride) => stride.put(out),
            Plan::Frame(frame) => frame.put(values, out),
            Plan::Delta(delta) => delta.put(out),
            Plan::Repeat { period, inner } => {
                put_varint(out, *period as u64);
                inner.put(&values[..*period], out);
            }
            Plan::Raw => raw::put(values.iter().map(|&v| v as u64), out),
        }
    }

    fn encoding(&self) -> Encoding {
        match self {
            Plan::Constant(_) => Encoding::Constant,
            Plan::Stride(_) => Encoding::Stride,
            Plan::Frame(_) => Encoding::Frame,
            Plan::Delta(_) => Encoding::Delta,
            Plan::Repeat { .. } => Encoding::Repeat,
            Plan::Raw => Encoding::Raw,
        }
    }
}

/// The first of two plans unless the second is smaller.
fn smaller(a: Plan, b: Plan, count: usize) -> Plan {
    if b.size(count) < a.size(count) { b } else { a }
}

/// Appends the decoded values to `out`.
pub(super) fn take(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
    match Encoding::take(cursor)? {
        Encoding::Repeat => {
            let period = cursor.varint_max(count)?;
            repeat::check(period, count)?;
            let start = out.len();
            take_without_repeat(Encoding::take(cursor)?, cursor, period, out)?;
            repeat::unfold(start, period, count, out);
            Ok(())
        }
        encoding => take_without_repeat(encoding, cursor, count, out),
    }
}

fn take_without_repeat(
    encoding: Encoding,
    cursor: &mut Cursor<'_>,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), Malformed> {
    match encoding {
        Encoding::Constant => constant::take_integer(cursor, count, out),
        Encoding::Stride => Stride::take(cursor, count, out),
        Encoding::Frame => Frame::take(cursor, count, out),
        Encoding::Delta => Delta::take(cursor, count, out),
        Encoding::Raw => raw::take(cursor, count, out, |v| v as i64),
        _ => Err(Malformed("encoding does not store integers")),
    }
}
