//! The plain twin of every decoder: one value at a time, straight from the format page, wide arithmetic, no care for speed.

use crate::model::FieldType;

use super::{Encoding, Malformed, Texts, Values, finish};
use crate::bytes::Cursor;

/// As [`super::decode`].
pub(super) fn decode(kind: FieldType, bytes: &[u8], count: usize) -> Result<Values, Malformed> {
    let cursor = &mut Cursor::new(bytes);
    let values = match kind {
        FieldType::Float => Values::Float(floats(cursor, count)?),
        FieldType::Integer => Values::Integer(integers(cursor, count, true)?),
        FieldType::Unsigned => {
            let flip = |v: i64| (i128::from(v) + (1 << 63)) as u64;
            Values::Unsigned(integers(cursor, count, true)?.into_iter().map(flip).collect())
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
            let wholes = integers(cursor, count, true)?;
            if exponent > 15 {
                return Err(Malformed("exponent"));
            }
            Ok(wholes.into_iter().map(|w| w as f64 / format!("1e{exponent}").parse::<f64>().unwrap()).collect())
        }
        _ => Err(Malformed("encoding")),
    }
}

fn integers(cursor: &mut Cursor<'_>, count: usize, repeat_allowed: bool) -> Result<Vec<i64>, Malformed> {
    let wrap = |v: i128| v as i64;
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
            let mut values = vec![first];
            for delta in deltas {
                values.push(wrap(i128::from(values[values.len() - 1]) + i128::from(delta)));
            }
            Ok(values)
        }
        Encoding::Repeat if repeat_allowed => {
            let period = cursor.varint()?;
            if period < 1 || period >= count as u64 {
                return Err(Malformed("period"));
            }
            let round = integers(cursor, period as usize, false)?;
            Ok((0..count).map(|i| round[i % period as usize]).collect())
        }
        Encoding::Raw => (0..count).map(|_| Ok(cursor.i64()?)).collect(),
        _ => Err(Malformed("encoding")),
    }
}

fn packing(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<i64>, Malformed> {
    let base = i128::from(cursor.zigzag()?);
    let divisor = i128::from(cursor.varint()?);
    let width = u32::from(cursor.u8()?);
    if divisor == 0 || width > 64 {
        return Err(Malformed("packing"));
    }
    let offsets = packed(cursor, width, count)?;
    Ok(offsets.into_iter().map(|o| base.wrapping_add(divisor.wrapping_mul(i128::from(o))) as i64).collect())
}

fn booleans(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<bool>, Malformed> {
    match Encoding::take(cursor)? {
        Encoding::Constant => match cursor.u8()? {
            byte @ 0..=1 => Ok(vec![byte == 1; count]),
            _ => Err(Malformed("boolean")),
        },
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
        Encoding::Raw => {
            let lengths = lengths(cursor, count)?;
            split(cursor, &lengths)
        }
        Encoding::Zstd => {
            let lengths = lengths(cursor, count)?;
            let total: u64 = lengths.iter().sum();
            if total > 16 << 20 {
                return Err(Malformed("zstd"));
            }
            let bytes = zstd::bulk::decompress(cursor.take_rest(), total as usize).map_err(|_| Malformed("zstd"))?;
            let mut inner = Cursor::new(&bytes);
            let texts = split(&mut inner, &lengths)?;
            finish(&inner)?;
            Ok(texts)
        }
        Encoding::Dictionary => {
            let entries = cursor.varint_max(count)?;
            let lengths = lengths(cursor, entries)?;
            let entries = split(cursor, &lengths)?;
            let width = (0..).find(|&w| 1_usize << w >= entries.len().max(1)).unwrap();
            let codes = packed(cursor, width, count)?;
            if codes.iter().any(|&c| c >= entries.len() as u64) {
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
