//! The plain twin of every decoder: one value at a time, straight from the format page, wide arithmetic, no care for speed.

use crate::model::FieldType;

use super::prefix::BOOKS;
use super::{Encoding, Malformed, Texts, Values, finish};
use crate::bytes::Cursor;

/// As [`super::decode`].
pub(super) fn decode(kind: FieldType, bytes: &[u8], count: usize) -> Result<Values, Malformed> {
    if let Some((&16, rest)) = bytes.split_first() {
        let mut cursor = Cursor::new(rest);
        let length = cursor.varint_max(16 << 20)?;
        let plain = zstd::bulk::decompress(cursor.take_rest(), length).map_err(|_| Malformed("zstd"))?;
        let once_only = plain.len() == length && plain.first() != Some(&16);
        return if once_only { decode(kind, &plain, count) } else { Err(Malformed("compressed")) };
    }
    let cursor = &mut Cursor::new(bytes);
    let values = match kind {
        FieldType::Float => Values::Float(floats(cursor, count)?),
        FieldType::Integer => Values::Integer(integers(cursor, count)?),
        FieldType::Unsigned => {
            let flip = |v: i64| (i128::from(v) + (1 << 63)) as u64;
            Values::Unsigned(integers(cursor, count)?.into_iter().map(flip).collect())
        }
        FieldType::Boolean => Values::Boolean(booleans(cursor, count)?),
        FieldType::Text => Values::Text(texts(cursor, count)?),
    };
    finish(cursor)?;
    Ok(values)
}

/// Values at one width, bit by bit.
pub(super) fn pack(values: &[u64], width: u32) -> Vec<u8> {
    let mut bytes = vec![0; (values.len() * width as usize).div_ceil(8)];
    for (i, value) in values.iter().enumerate() {
        for bit in 0..width as usize {
            let at = i * width as usize + bit;
            bytes[at / 8] |= ((value >> bit & 1) as u8) << (at % 8);
        }
    }
    bytes
}

/// The inverse of [`pack`].
pub(super) fn unpack(bytes: &[u8], width: u32, count: usize) -> Vec<u64> {
    let bit = |at: usize| u64::from(bytes[at / 8] >> (at % 8) & 1);
    let value = |i: usize| (0..width as usize).map(|b| bit(i * width as usize + b) << b).sum();
    (0..count).map(value).collect()
}

fn packed(cursor: &mut Cursor<'_>, width: u32, count: usize) -> Result<Vec<u64>, Malformed> {
    Ok(unpack(cursor.take((count * width as usize).div_ceil(8))?, width, count))
}

fn floats(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<f64>, Malformed> {
    match Encoding::take(cursor)? {
        Encoding::Constant => Ok(vec![f64::from_bits(cursor.u64()?); count]),
        Encoding::Raw => (0..count).map(|_| Ok(f64::from_bits(cursor.u64()?))).collect(),
        Encoding::Decimal => {
            let exponent = cursor.u8()?;
            let exceptions = exceptions(cursor, count)?;
            let wholes = integers(cursor, count)?;
            if exponent > 22 {
                return Err(Malformed("exponent"));
            }
            let power = format!("1e{exponent}").parse::<f64>().unwrap();
            let mut values: Vec<f64> = wholes.into_iter().map(|w| w as f64 / power).collect();
            exceptions.into_iter().for_each(|(position, amount)| values[position] = f64::from_bits(amount));
            Ok(values)
        }
        Encoding::Split => {
            let rear = u32::from(cursor.u8()?);
            if !(1..=63).contains(&rear) {
                return Err(Malformed("cut"));
            }
            let fronts = integers(cursor, count)?;
            let rears = packed(cursor, rear, count)?;
            let join = |(front, rear_bits): (i64, u64)| f64::from_bits(((front as u128) << rear) as u64 | rear_bits);
            Ok(fronts.into_iter().zip(rears).map(join).collect())
        }
        Encoding::Pattern => Ok(integers(cursor, count)?.into_iter().map(|v| f64::from_bits(v as u64)).collect()),
        _ => Err(Malformed("encoding")),
    }
}

fn wrap(value: i128) -> i64 {
    value as i64
}

fn integers(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<i64>, Malformed> {
    match Encoding::take(&mut cursor.clone())? {
        Encoding::Repeat => {
            cursor.u8()?;
            let period = cursor.varint()?;
            if period < 1 || period >= count as u64 {
                return Err(Malformed("period"));
            }
            let round = simple_integers(cursor, period as usize)?;
            Ok((0..count).map(|i| round[i % period as usize]).collect())
        }
        Encoding::Runs => {
            cursor.u8()?;
            runs(cursor, count)
        }
        Encoding::Distinct => {
            cursor.u8()?;
            let entries = cursor.varint_max(count)?;
            let entries = simple_integers(cursor, entries)?;
            let codes = simple_integers(cursor, count)?;
            let entry = |code: i64| entries.get(usize::try_from(code).ok()?).copied();
            codes.into_iter().map(|code| entry(code).ok_or(Malformed("code"))).collect()
        }
        _ => simple_integers(cursor, count),
    }
}

fn runs(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<i64>, Malformed> {
    let runs = cursor.varint_max(count)?;
    let values = simple_integers(cursor, runs)?;
    let lengths = simple_integers(cursor, runs)?;
    let mut all = Vec::new();
    for (value, length) in values.into_iter().zip(lengths) {
        if length < 1 || length > (count - all.len()) as i64 {
            return Err(Malformed("run"));
        }
        all.extend((0..length).map(|_| value));
    }
    if all.len() == count { Ok(all) } else { Err(Malformed("runs")) }
}

fn simple_integers(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<i64>, Malformed> {
    match Encoding::take(cursor)? {
        Encoding::Constant => Ok(vec![cursor.zigzag()?; count]),
        Encoding::Stride => {
            let (first, step) = (i128::from(cursor.zigzag()?), i128::from(cursor.zigzag()?));
            Ok((0..count as i128).map(|i| wrap(first + i * step)).collect())
        }
        Encoding::Frame => packing(cursor, count),
        Encoding::Delta => {
            let first = cursor.zigzag()?;
            let deltas = packing(cursor, count.checked_sub(1).ok_or(Malformed("count"))?)?;
            Ok(sums(first, &deltas))
        }
        Encoding::DeltaOfDelta => {
            let (first, difference) = (cursor.zigzag()?, cursor.zigzag()?);
            let seconds = packing(cursor, count.checked_sub(2).ok_or(Malformed("count"))?)?;
            Ok(sums(first, &sums(difference, &seconds)))
        }
        Encoding::Raw => (0..count).map(|_| Ok(cursor.i64()?)).collect(),
        _ => Err(Malformed("encoding")),
    }
}

/// The first, then each one more by the next difference.
fn sums(first: i64, differences: &[i64]) -> Vec<i64> {
    let mut values = vec![first];
    for &difference in differences {
        values.push(wrap(i128::from(values[values.len() - 1]) + i128::from(difference)));
    }
    values
}

fn packing(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<i64>, Malformed> {
    let base = i128::from(cursor.zigzag()?);
    let divisor = i128::from(cursor.varint()?);
    let form = cursor.u8()?;
    if divisor == 0 {
        return Err(Malformed("divisor"));
    }
    let multiples: Vec<i128> = match form {
        0..=64 => packed(cursor, u32::from(form), count)?.into_iter().map(i128::from).collect(),
        65..=128 => {
            let exceptions = exceptions(cursor, count)?;
            let fitting = packed(cursor, u32::from(form) - 65, count)?;
            patched(fitting.into_iter().map(i128::from).collect(), exceptions)
        }
        129..=131 => {
            let low = u32::from(cursor.u8()?);
            if low > 56 {
                return Err(Malformed("low"));
            }
            let exceptions = exceptions(cursor, count)?;
            let (first, second) = (cursor.varint_max(1024)?, cursor.varint_max(1024)?);
            let book = BOOKS[usize::from(form) - 129];
            let mut highs = coded(book, cursor.take(first)?, count - count / 2)?;
            highs.extend(coded(book, cursor.take(second)?, count / 2)?);
            let lows = packed(cursor, low, count)?;
            let joined =
                highs.into_iter().zip(lows).map(|(high, bits)| i128::from(high) * (1 << low) + i128::from(bits));
            patched(joined.collect(), exceptions)
        }
        _ => return Err(Malformed("form")),
    };
    Ok(multiples.into_iter().map(|m| base.wrapping_add(divisor.wrapping_mul(m)) as i64).collect())
}

fn patched(mut multiples: Vec<i128>, exceptions: Vec<(usize, u64)>) -> Vec<i128> {
    for (position, amount) in exceptions {
        let half = i128::from(amount / 2);
        multiples[position] = if amount % 2 == 0 { half } else { -half - 1 };
    }
    multiples
}

/// Position and amount of each.
fn exceptions(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<(usize, u64)>, Malformed> {
    let exceptions = cursor.varint_max(count)?;
    if exceptions == 0 {
        return Ok(Vec::new());
    }
    let width = u32::from(cursor.u8()?);
    let position_width = (0..).find(|&w| 1_usize << w >= count).unwrap();
    let positions = packed(cursor, position_width, exceptions)?;
    if width > 64 || positions.iter().any(|&p| p >= count as u64) {
        return Err(Malformed("exceptions"));
    }
    let amounts = packed(cursor, width, exceptions)?;
    Ok(positions.into_iter().map(|p| p as usize).zip(amounts).collect())
}

/// Numbers told by a canonical prefix code, bit by bit.
fn coded(lengths: &[u8], bytes: &[u8], count: usize) -> Result<Vec<i64>, Malformed> {
    let mut codes: Vec<(u8, u32, usize)> = Vec::new();
    let mut next = 0;
    for length in 1..=11 {
        for symbol in (0..lengths.len()).filter(|&s| lengths[s] == length) {
            codes.push((length, next, symbol));
            next += 1;
        }
        next *= 2;
    }
    let mut at = 0;
    let mut numbers = Vec::new();
    for _ in 0..count {
        let (mut length, mut code) = (0, 0);
        let symbol = loop {
            let byte = bytes.get(at / 8).ok_or(Malformed("codes"))?;
            (length, code, at) = (length + 1, code * 2 + u32::from(byte >> (at % 8) & 1), at + 1);
            if let Some(found) = codes.iter().find(|c| (c.0, c.1) == (length, code)) {
                break found.2 as i64;
            }
        };
        numbers.push(if symbol % 2 == 0 { symbol / 2 } else { -symbol / 2 - 1 });
    }
    if at.div_ceil(8) == bytes.len() { Ok(numbers) } else { Err(Malformed("codes")) }
}

fn booleans(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<bool>, Malformed> {
    match Encoding::take(cursor)? {
        Encoding::Constant => match cursor.u8()? {
            byte @ 0..=1 => Ok(vec![byte == 1; count]),
            _ => Err(Malformed("boolean")),
        },
        Encoding::Runs => runs(cursor, count)?
            .into_iter()
            .map(|value| if (0..2).contains(&value) { Ok(value == 1) } else { Err(Malformed("boolean")) })
            .collect(),
        Encoding::Bits => Ok(packed(cursor, 1, count)?.into_iter().map(|bit| bit == 1).collect()),
        _ => Err(Malformed("encoding")),
    }
}

fn texts(cursor: &mut Cursor<'_>, count: usize) -> Result<Texts, Malformed> {
    match Encoding::take(cursor)? {
        Encoding::Constant => {
            let text = utf8(cursor.take_rest())?;
            Ok(gather((0..count).map(|_| text)))
        }
        Encoding::Joined => {
            let lengths = lengths(cursor, count)?;
            joined(cursor, &lengths)
        }
        Encoding::Dictionary => {
            let entries = cursor.varint_max(count)?;
            let lengths = lengths(cursor, entries)?;
            let entries = joined(cursor, &lengths)?;
            let codes = simple_integers(cursor, count)?;
            if codes.iter().any(|&c| c < 0 || c >= entries.len() as i64) {
                return Err(Malformed("code"));
            }
            Ok(gather(codes.iter().map(|&c| entries.get(c as usize))))
        }
        _ => Err(Malformed("encoding")),
    }
}

fn lengths(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<u64>, Malformed> {
    match u32::from(cursor.u8()?) {
        width @ 0..=32 => packed(cursor, width, count),
        _ => Err(Malformed("width")),
    }
}

fn joined(cursor: &mut Cursor<'_>, lengths: &[u64]) -> Result<Texts, Malformed> {
    let total: u64 = lengths.iter().sum();
    match cursor.u8()? {
        0 => split(cursor, lengths),
        1 if total <= 16 << 20 => {
            let length = cursor.varint()?;
            let frame = cursor.take(usize::try_from(length).map_err(|_| Malformed("zstd"))?)?;
            let bytes = zstd::bulk::decompress(frame, total as usize).map_err(|_| Malformed("zstd"))?;
            let mut inner = Cursor::new(&bytes);
            let texts = split(&mut inner, lengths)?;
            finish(&inner)?;
            Ok(texts)
        }
        _ => Err(Malformed("bytes")),
    }
}

fn split(cursor: &mut Cursor<'_>, lengths: &[u64]) -> Result<Texts, Malformed> {
    let texts = lengths.iter().map(|&l| utf8(cursor.take(l as usize)?)).collect::<Result<Vec<_>, _>>()?;
    Ok(gather(texts.into_iter()))
}

fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("utf8"))
}

fn gather<'a>(texts: impl Iterator<Item = &'a str>) -> Texts {
    let mut gathered = Texts::default();
    texts.for_each(|t| gathered.push(t));
    gathered
}
