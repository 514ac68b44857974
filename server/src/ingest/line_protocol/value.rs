//! Numbers, booleans and timestamps.

use plimsoll_engine::Value;

use super::Precision;

/// Decimal digits that always fit a `u64`.
const SAFE_DIGITS: usize = 19;

/// Why an unquoted value is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalid {
    Number,
    Boolean,
    FloatRange,
    IntegerRange,
}

/// Why a timestamp is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadTime {
    Syntax,
    Range,
}

/// Parses an unquoted field value, which is not empty.
#[inline]
pub(crate) fn scalar(written: &[u8]) -> Result<Value<'static>, Invalid> {
    match written[0] {
        b'0'..=b'9' | b'-' | b'.' => number(written),
        // NaN and infinity, which influxd refuses as numbers.
        b'n' | b'N' | b'i' | b'I' | b'+' => Err(Invalid::Number),
        _ => boolean(written),
    }
}

/// Parses a timestamp of the given unit; nanoseconds since the Unix epoch.
#[inline]
pub(crate) fn timestamp(written: &[u8], precision: Precision) -> Result<i64, BadTime> {
    let time = integer(written).map_err(|invalid| match invalid {
        Invalid::IntegerRange => BadTime::Range,
        _ => BadTime::Syntax,
    })?;
    time.checked_mul(precision.unit_ns(time.into())).ok_or(BadTime::Range)
}

#[inline]
fn number(written: &[u8]) -> Result<Value<'static>, Invalid> {
    match written {
        [digits @ .., b'i'] => integer(digits).map(Value::Integer),
        [digits @ .., b'u'] => magnitude(digits).map(Value::Unsigned),
        _ => float(written).map(Value::Float),
    }
}

fn boolean(written: &[u8]) -> Result<Value<'static>, Invalid> {
    match written {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok(Value::Boolean(true)),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok(Value::Boolean(false)),
        _ => Err(Invalid::Boolean),
    }
}

#[inline]
fn integer(written: &[u8]) -> Result<i64, Invalid> {
    match written {
        [b'-', digits @ ..] => 0i64.checked_sub_unsigned(magnitude(digits)?).ok_or(Invalid::IntegerRange),
        digits => i64::try_from(magnitude(digits)?).map_err(|_| Invalid::IntegerRange),
    }
}

#[inline]
fn magnitude(digits: &[u8]) -> Result<u64, Invalid> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Invalid::Number);
    }
    let digit = |byte: &u8| u64::from(byte - b'0');
    if digits.len() <= SAFE_DIGITS {
        return Ok(digits.iter().fold(0, |value, byte| value * 10 + digit(byte)));
    }
    let shifted = |value: u64, byte: &u8| value.checked_mul(10)?.checked_add(digit(byte));
    digits.iter().try_fold(0, shifted).ok_or(Invalid::IntegerRange)
}

/// Digits with an optional fraction and exponent. The standard library knows the rest of the grammar, and its other
/// spellings (`inf`, `nan`) have letters that are refused here.
fn float(written: &[u8]) -> Result<f64, Invalid> {
    if !written.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')) {
        return Err(Invalid::Number);
    }
    let text = std::str::from_utf8(written).map_err(|_| Invalid::Number)?;
    let value: f64 = text.parse().map_err(|_| Invalid::Number)?;
    if value.is_finite() { Ok(value) } else { Err(Invalid::FloatRange) }
}
