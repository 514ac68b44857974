//! The columns of a write record: integers in whichever simple form is smallest, floats, booleans, texts and NULLs.
//!
//! The log is written while writers wait and read once after a crash, so the forms are those that cost next to nothing: whole
//! bytes per value, and runs of equal steps. Segments are for small bytes.
//!
//! Reading never panics, and allocates no more than its caller allows by the number of rows.

use std::borrow::Cow;

use crate::batch::{FieldValues, Texts, Values};
use crate::bytes::{Cursor, Short, put_varint, put_zigzag, varint_size, zigzag_size};
use crate::model::FieldType;
use crate::pack::{pack, unpack};

use super::record::ZSTD_LEVEL;

/// Integers as a base and, for each, the difference to it in a fixed number of bytes.
const FORM_FRAME: u8 = 0;

/// The first integer, then runs of equal steps from one to the next.
const FORM_RUNS: u8 = 1;

/// The first integer, then the steps from one to the next as a frame.
const FORM_STEPS: u8 = 2;

/// Floats that are whole numbers, as integers.
const FORM_WHOLE: u8 = 0;

/// Floats byte by byte: the first bytes of all, then the second bytes of all, and so on, packed.
const FORM_PLANES: u8 = 1;

/// Fewest bytes of a run of equal steps.
const RUN_BYTES_MIN: usize = 2;

/// Writes integers; their number is known from outside.
pub(super) fn put_integers(out: &mut Vec<u8>, values: &[i64]) {
    let frame = Frame::of(values);
    let steps: Vec<i64> = match frame.width {
        0 => Vec::new(),
        _ => values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect(),
    };
    let of_steps = Frame::of(&steps);
    let best = (frame.width * values.len()).min(of_steps.width * steps.len() + 1);
    let runs = steps.chunk_by(|a, b| a == b).count();
    let has_short_runs = runs * RUN_BYTES_MIN < best && {
        let size = |run: &[i64]| zigzag_size(run[0]) + varint_size(run.len() as u64);
        steps.chunk_by(|a, b| a == b).map(size).sum::<usize>() < best
    };
    if steps.is_empty() || !has_short_runs && frame.width <= of_steps.width {
        out.push(FORM_FRAME);
        frame.put(out, values);
        return;
    }
    out.push(if has_short_runs { FORM_RUNS } else { FORM_STEPS });
    put_zigzag(out, values[0]);
    if !has_short_runs {
        of_steps.put(out, &steps);
        return;
    }
    put_varint(out, runs as u64);
    for run in steps.chunk_by(|a, b| a == b) {
        put_zigzag(out, run[0]);
        put_varint(out, run.len() as u64);
    }
}

/// Reads `count` integers.
pub(super) fn take_integers(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<i64>, Short> {
    match cursor.u8()? {
        FORM_FRAME => Frame::take(cursor, count),
        FORM_RUNS if count > 0 => {
            let mut values = Vec::with_capacity(count);
            let mut last = cursor.zigzag()?;
            values.push(last);
            for _ in 0..cursor.count(2)? {
                let step = cursor.zigzag()?;
                for _ in 0..cursor.varint_max(count - values.len())? {
                    last = last.wrapping_add(step);
                    values.push(last);
                }
            }
            if values.len() == count { Ok(values) } else { Err(Short) }
        }
        FORM_STEPS if count > 0 => {
            let mut values = Vec::with_capacity(count);
            let mut last = cursor.zigzag()?;
            values.push(last);
            for step in Frame::take(cursor, count - 1)? {
                last = last.wrapping_add(step);
                values.push(last);
            }
            Ok(values)
        }
        _ => Err(Short),
    }
}

/// The least of some integers, and the bytes that their differences to it need: 0, 1, 2, 4 or 8.
struct Frame {
    base: i64,
    width: usize,
}

impl Frame {
    fn of(values: &[i64]) -> Frame {
        let (min, max) = values.iter().fold((i64::MAX, i64::MIN), |(min, max), v| (min.min(*v), max.max(*v)));
        let width = match max.wrapping_sub(min) as u64 {
            _ if values.is_empty() => 0,
            0 => 0,
            1..0x100 => 1,
            0x100..0x1_0000 => 2,
            0x1_0000..0x1_0000_0000 => 4,
            _ => 8,
        };
        Frame { base: if values.is_empty() { 0 } else { min }, width }
    }

    fn put(&self, out: &mut Vec<u8>, values: &[i64]) {
        put_zigzag(out, self.base);
        out.push(self.width as u8);
        let offsets = values.iter().map(|v| v.wrapping_sub(self.base));
        match self.width {
            0 => {}
            1 => out.extend(offsets.map(|v| v as u8)),
            2 => offsets.for_each(|v| out.extend_from_slice(&(v as u16).to_le_bytes())),
            4 => offsets.for_each(|v| out.extend_from_slice(&(v as u32).to_le_bytes())),
            _ => offsets.for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
        }
    }

    fn take(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<i64>, Short> {
        let base = cursor.zigzag()?;
        let width = usize::from(cursor.u8()?);
        if !matches!(width, 0 | 1 | 2 | 4 | 8) {
            return Err(Short);
        }
        let bytes = cursor.take(count.checked_mul(width).ok_or(Short)?)?;
        let value = |offset: i64| base.wrapping_add(offset);
        Ok(match width {
            0 => vec![base; count],
            1 => bytes.iter().map(|byte| value(i64::from(*byte))).collect(),
            2 => bytes.as_chunks().0.iter().map(|two| value(i64::from(u16::from_le_bytes(*two)))).collect(),
            4 => bytes.as_chunks().0.iter().map(|four| value(i64::from(u32::from_le_bytes(*four)))).collect(),
            _ => bytes.as_chunks().0.iter().map(|eight| value(i64::from_le_bytes(*eight))).collect(),
        })
    }
}

/// Writes which rows have a value, then the values that are there.
pub(super) fn put_values(out: &mut Vec<u8>, values: &FieldValues) {
    let all = values.valid.iter().all(|valid| *valid);
    out.push(u8::from(!all));
    if !all {
        put_bits(out, &values.valid);
    }
    let valid = if all { &[][..] } else { &values.valid[..] };
    match &values.values {
        Values::Float(v) => put_floats(out, &present(v, valid)),
        Values::Integer(v) => put_integers(out, &present(v, valid)),
        Values::Unsigned(v) => {
            let signed: Vec<i64> = present(v, valid).iter().map(|v| *v as i64).collect();
            put_integers(out, &signed);
        }
        Values::Boolean(v) => put_bits(out, &present(v, valid)),
        Values::Text(v) => put_texts(out, v, &values.valid),
    }
}

/// Reads the values of `rows` rows of a field.
pub(super) fn take_values(cursor: &mut Cursor<'_>, kind: FieldType, rows: usize) -> Result<FieldValues, Short> {
    let valid = match cursor.u8()? {
        0 => Vec::new(),
        1 => take_bits(cursor, rows)?,
        _ => return Err(Short),
    };
    let count = if valid.is_empty() { rows } else { valid.iter().filter(|valid| **valid).count() };
    let values = match kind {
        FieldType::Float => Values::Float(spread(take_floats(cursor, count)?, &valid)),
        FieldType::Integer => Values::Integer(spread(take_integers(cursor, count)?, &valid)),
        FieldType::Unsigned => {
            let unsigned = take_integers(cursor, count)?.into_iter().map(|v| v as u64).collect();
            Values::Unsigned(spread(unsigned, &valid))
        }
        FieldType::Boolean => Values::Boolean(spread(take_bits(cursor, count)?, &valid)),
        FieldType::Text => Values::Text(take_texts(cursor, count, &valid)?),
    };
    Ok(FieldValues { values, valid })
}

/// The values that are there; all of them without `valid`.
fn present<'a, T: Copy>(values: &'a [T], valid: &[bool]) -> Cow<'a, [T]> {
    if valid.is_empty() {
        return Cow::Borrowed(values);
    }
    values.iter().zip(valid).filter(|(_, valid)| **valid).map(|(v, _)| *v).collect()
}

/// One value for each row again.
fn spread<T: Copy + Default>(present: Vec<T>, valid: &[bool]) -> Vec<T> {
    if valid.is_empty() {
        return present;
    }
    let mut present = present.into_iter();
    valid.iter().map(|valid| if *valid { present.next().unwrap_or_default() } else { T::default() }).collect()
}

fn put_bits(out: &mut Vec<u8>, bits: &[bool]) {
    let byte = |bits: &[bool]| bits.iter().enumerate().fold(0, |byte, (nth, bit)| byte | u8::from(*bit) << nth);
    out.extend(bits.chunks(8).map(byte));
}

fn take_bits(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<bool>, Short> {
    let bytes = cursor.take(count.div_ceil(8))?;
    Ok((0..count).map(|nth| bytes[nth / 8] >> (nth % 8) & 1 != 0).collect())
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    let whole = |v: &f64| (*v as i64 as f64).to_bits() == v.to_bits();
    if values.iter().all(whole) {
        out.push(FORM_WHOLE);
        let integers: Vec<i64> = values.iter().map(|v| *v as i64).collect();
        return put_integers(out, &integers);
    }
    out.push(FORM_PLANES);
    let mut planes = Vec::with_capacity(values.len() * 8);
    for shift in (0..64).step_by(8) {
        planes.extend(values.iter().map(|v| (v.to_bits() >> shift) as u8));
    }
    put_packed(out, &planes);
}

fn take_floats(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<f64>, Short> {
    match cursor.u8()? {
        FORM_WHOLE => Ok(take_integers(cursor, count)?.into_iter().map(|v| v as f64).collect()),
        FORM_PLANES => {
            let planes = take_packed(cursor)?;
            if planes.len() != count * 8 {
                return Err(Short);
            }
            let mut bits = vec![0u64; count];
            for (nth, plane) in planes.chunks_exact(count.max(1)).enumerate() {
                bits.iter_mut().zip(plane).for_each(|(bits, byte)| *bits |= u64::from(*byte) << (8 * nth));
            }
            Ok(bits.into_iter().map(f64::from_bits).collect())
        }
        _ => Err(Short),
    }
}

fn put_texts(out: &mut Vec<u8>, texts: &Texts, valid: &[bool]) {
    let rows = (0..texts.len()).filter(|row| valid.is_empty() || valid[*row]);
    let mut all = Vec::new();
    let mut lengths = Vec::new();
    for row in rows {
        let text = texts.get(row);
        all.extend_from_slice(text.as_bytes());
        lengths.push(text.len() as i64);
    }
    put_integers(out, &lengths);
    put_packed(out, &all);
}

fn take_texts(cursor: &mut Cursor<'_>, count: usize, valid: &[bool]) -> Result<Texts, Short> {
    let lengths = take_integers(cursor, count)?;
    let all = take_packed(cursor)?;
    let mut rest = Cursor::new(&all);
    let mut take = |length: i64| {
        let bytes = rest.take(usize::try_from(length).map_err(|_| Short)?)?;
        std::str::from_utf8(bytes).map_err(|_| Short)
    };
    let mut texts = Texts::default();
    let mut lengths = lengths.into_iter();
    for row in 0..if valid.is_empty() { count } else { valid.len() } {
        let is_there = valid.is_empty() || valid[row];
        texts.push(if is_there { take(lengths.next().ok_or(Short)?)? } else { "" });
    }
    if rest.remaining() == 0 { Ok(texts) } else { Err(Short) }
}

/// Writes bytes packed, with their packed length.
pub(crate) fn put_packed(out: &mut Vec<u8>, bytes: &[u8]) {
    let packed = pack(bytes, ZSTD_LEVEL);
    put_varint(out, packed.len() as u64);
    out.extend_from_slice(&packed);
}

/// Reads what [`put_packed`] wrote.
pub(crate) fn take_packed(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Short> {
    let length = cursor.count(1)?;
    unpack(cursor.take(length)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn integers_come_back(values: &[i64]) -> usize {
        let mut out = Vec::new();
        put_integers(&mut out, values);
        let mut cursor = Cursor::new(&out);
        assert_eq!(take_integers(&mut cursor, values.len()).as_deref(), Ok(values));
        assert_eq!(cursor.remaining(), 0);
        out.len()
    }

    fn values_come_back(values: &FieldValues) {
        let mut out = Vec::new();
        put_values(&mut out, values);
        let mut cursor = Cursor::new(&out);
        let back = take_values(&mut cursor, values.field_type(), values.values.len()).unwrap();
        assert_eq!(cursor.remaining(), 0);
        let is_same = |row: usize| match (&values.values, &back.values) {
            (Values::Float(a), Values::Float(b)) => a[row].to_bits() == b[row].to_bits(),
            (Values::Integer(a), Values::Integer(b)) => a[row] == b[row],
            (Values::Unsigned(a), Values::Unsigned(b)) => a[row] == b[row],
            (Values::Boolean(a), Values::Boolean(b)) => a[row] == b[row],
            (Values::Text(a), Values::Text(b)) => a.get(row) == b.get(row),
            _ => false,
        };
        for row in 0..values.values.len() {
            assert_eq!(values.is_valid(row), back.is_valid(row));
            assert!(!values.is_valid(row) || is_same(row), "{values:?} became {back:?}");
        }
    }

    #[test]
    fn regular_times_and_small_values_take_little() {
        let steps_of_all: Vec<i64> =
            (0..10_000).map(|row| 1_451_606_400_000_000_000 + row / 1_000 * 10_000_000_000).collect();
        assert!(integers_come_back(&steps_of_all) < 200);
        let jittered: Vec<i64> = (0..10_000).map(|row| row * 10_000_000_000 + row * row % 1_000_003 * 50).collect();
        assert!(integers_come_back(&jittered) < 45_000);
        let small: Vec<i64> = (0..10_000).map(|row| row * 7919 % 101).collect();
        assert!(integers_come_back(&small) < 10_010);
        assert!(integers_come_back(&[7; 10_000]) < 10);
    }

    proptest! {
        #[test]
        fn integers(values: Vec<i64>, small in prop::collection::vec(-300i64..300, 0..40), step: i64) {
            integers_come_back(&values);
            integers_come_back(&small);
            let strides: Vec<i64> = small.iter().enumerate().map(|(nth, v)| step.wrapping_mul(nth as i64 / 7).wrapping_add(*v / 299)).collect();
            integers_come_back(&strides);
        }

        #[test]
        fn values(
            rows in prop::collection::vec((any::<u64>(), any::<bool>(), any::<String>(), -3i64..3), 1..40),
            has_nulls: bool,
        ) {
            let valid = if has_nulls { rows.iter().map(|row| row.1).collect() } else { Vec::new() };
            let mut texts = Texts::default();
            rows.iter().for_each(|row| texts.push(&row.2));
            for values in [
                Values::Float(rows.iter().map(|row| f64::from_bits(row.0)).collect()),
                Values::Float(rows.iter().map(|row| row.3 as f64).collect()),
                Values::Integer(rows.iter().map(|row| row.0 as i64).collect()),
                Values::Unsigned(rows.iter().map(|row| row.0).collect()),
                Values::Boolean(rows.iter().map(|row| row.0 % 2 == 0).collect()),
                Values::Text(texts),
            ] {
                values_come_back(&FieldValues { values, valid: valid.clone() });
            }
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>, rows in 0usize..2000) {
            use FieldType::{Boolean, Float, Integer, Text, Unsigned};
            for kind in [Float, Integer, Unsigned, Boolean, Text] {
                let taken = take_values(&mut Cursor::new(&bytes), kind, rows);
                prop_assert!(taken.is_err() || taken.is_ok_and(|values| values.values.len() == rows));
            }
        }
    }
}
