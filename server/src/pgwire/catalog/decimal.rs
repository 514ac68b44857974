//! A small exact decimal: enough for the `numeric` values that catalogue statements meet.

use super::error::{CatalogError, Result};
use std::{cmp::Ordering, fmt, str::FromStr};

/// `mantissa / 10^scale`. Equality and order are by value, so `1.0` equals `1.00`.
#[derive(Debug, Clone, Copy)]
// Aligned as everything else in a `Datum`, which would double otherwise.
#[repr(Rust, packed(8))]
pub struct Decimal {
    mantissa: i128,
    scale: u32,
}

/// PostgreSQL divides to at least this many significant digits.
const QUOTIENT_DIGITS: u32 = 16;

impl Decimal {
    pub(crate) fn as_f64(self) -> f64 {
        self.mantissa as f64 / 10f64.powi(self.scale as i32)
    }

    pub(crate) fn checked_add(self, other: Self) -> Result<Self> {
        let (a, b, scale) = align(self, other)?;
        a.checked_add(b).map(|mantissa| Decimal { mantissa, scale }).ok_or_else(overflow)
    }

    pub(crate) fn checked_sub(self, other: Self) -> Result<Self> {
        self.checked_add(Decimal { mantissa: -other.mantissa, scale: other.scale })
    }

    pub(crate) fn checked_mul(self, other: Self) -> Result<Self> {
        let mantissa = self.mantissa.checked_mul(other.mantissa).ok_or_else(overflow)?;
        Ok(Decimal { mantissa, scale: self.scale + other.scale })
    }

    /// `None` when the divisor is zero.
    pub(crate) fn checked_div(self, other: Self) -> Result<Option<Self>> {
        if other.mantissa == 0 {
            return Ok(None);
        }
        let scale = self.scale.max(other.scale).max(QUOTIENT_DIGITS);
        let shifted = scaled(self.mantissa, scale + other.scale - self.scale)?;
        Ok(Some(Decimal { mantissa: divide_rounded(shifted, other.mantissa), scale }))
    }

    pub(crate) fn checked_rem(self, other: Self) -> Result<Option<Self>> {
        let (a, b, scale) = align(self, other)?;
        Ok((b != 0).then(|| Decimal { mantissa: a % b, scale }))
    }

    /// Half away from zero; a negative `digits` rounds left of the point.
    pub(crate) fn round(self, digits: i32) -> Result<Self> {
        let drop = i64::from(self.scale) - i64::from(digits);
        if drop <= 0 {
            let scale = u32::try_from(digits).unwrap_or(0);
            return Ok(Decimal { mantissa: scaled(self.mantissa, scale - self.scale)?, scale });
        }
        let unit = scaled(1, u32::try_from(drop).map_err(|_| overflow())?)?;
        let kept = divide_rounded(self.mantissa, unit);
        match u32::try_from(digits) {
            Ok(scale) => Ok(Decimal { mantissa: kept, scale }),
            Err(_) => Ok(Decimal { mantissa: scaled(kept, digits.unsigned_abs())?, scale: 0 }),
        }
    }

    pub(crate) fn floor(self) -> Self {
        let unit = 10i128.checked_pow(self.scale).unwrap_or(i128::MAX);
        Decimal { mantissa: self.mantissa.div_euclid(unit), scale: 0 }
    }

    /// The nearest integer, halves away from zero.
    pub(crate) fn to_i64(self) -> Option<i64> {
        i64::try_from(self.round(0).ok()?.mantissa).ok()
    }

    /// Without trailing zeros: equal values have equal text, which makes it a hash key.
    pub(crate) fn normal_text(self) -> String {
        let text = self.to_string();
        if !text.contains('.') {
            return text;
        }
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Decimal { mantissa: i128::from(value), scale: 0 }
    }
}

impl FromStr for Decimal {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().map_err(|_| ())?),
            None => (text, 0),
        };
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, digits.strip_prefix('+').unwrap_or(digits)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = [whole, fraction].concat();
        if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
            return Err(());
        }
        let mantissa: i128 = all.parse().map_err(|_| ())?;
        let scale = i32::try_from(fraction.len()).map_err(|_| ())?.checked_sub(exponent).ok_or(())?;
        match u32::try_from(scale) {
            Ok(scale) if scale <= 30 => Ok(Decimal { mantissa: sign * mantissa, scale }),
            Ok(_) => Err(()),
            Err(_) => {
                Ok(Decimal { mantissa: scaled(sign * mantissa, scale.unsigned_abs()).map_err(|_| ())?, scale: 0 })
            }
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.mantissa.unsigned_abs().to_string();
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let scale = self.scale as usize;
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match align(*self, *other) {
            Ok((a, b, _)) => a.cmp(&b),
            Err(_) => self.as_f64().total_cmp(&other.as_f64()),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

fn align(a: Decimal, b: Decimal) -> Result<(i128, i128, u32)> {
    let scale = a.scale.max(b.scale);
    Ok((scaled(a.mantissa, scale - a.scale)?, scaled(b.mantissa, scale - b.scale)?, scale))
}

fn scaled(mantissa: i128, digits: u32) -> Result<i128> {
    10i128.checked_pow(digits).and_then(|unit| mantissa.checked_mul(unit)).ok_or_else(overflow)
}

fn divide_rounded(value: i128, divisor: i128) -> i128 {
    let (quotient, remainder) = (value / divisor, value % divisor);
    if remainder.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2) {
        quotient + if (value < 0) == (divisor < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}

fn overflow() -> CatalogError {
    CatalogError::new("22003", "value overflows numeric format")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn keeps_scale_and_rounds_half_away_from_zero() {
        assert_eq!(decimal("1.50").to_string(), "1.50");
        assert_eq!(decimal("-0.05").to_string(), "-0.05");
        assert_eq!(decimal("2.5").round(0).unwrap().to_string(), "3");
        assert_eq!(decimal("-2.5").round(0).unwrap().to_string(), "-3");
        assert_eq!(decimal("1234").round(-2).unwrap().to_string(), "1200");
        assert_eq!(decimal("1").checked_div(decimal("3")).unwrap().unwrap().to_string(), "0.3333333333333333");
        assert_eq!(decimal("1.10"), decimal("1.1"));
        assert_eq!(decimal("1.10").normal_text(), "1.1");
    }
}
