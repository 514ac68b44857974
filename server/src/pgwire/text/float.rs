//! Text form of `float8` and `float4`: the shortest digits that read back as the same number, laid out as PostgreSQL does.
//!
//! The digits are Ryu's, with one more rule: digits that lie exactly half way between two numbers do not count as reading
//! back, since not every reader rounds to even, so 1e23 is `9.999999999999999e+22`. The exponent form is used below 1e-4,
//! and from 1e15 (`float8`) or 1e6 (`float4`) on.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

/// Longest form of an `f64` that is taken apart: sign, 17 digits, point and `e-308`.
const TEXT_BYTES_MAX: usize = 32;

/// Appends a `float8`.
pub(crate) fn put_f64(x: f64, out: &mut BytesMut) {
    if put_special(x, out) {
        return;
    }
    let mut buffer = ryu::Buffer::new();
    let digits = buffer.format_finite(x);
    if (1e-4..1e15).contains(&x.abs()) {
        return put_positional(digits, out);
    }
    let mut shortest = Scientific::parse(digits.as_bytes());
    let bits = x.to_bits();
    let binary = Binary::new(bits & ((1 << 52) - 1), (bits >> 52) & 0x7ff, 52, 1075);
    if binary.is_halfway(&shortest) {
        shortest = longer(|digits| Scientific::formatted(format_args!("{x:.digits$e}")), &binary, &shortest, 16);
    }
    shortest.put(out);
}

/// Appends a `float4`.
pub(crate) fn put_f32(x: f32, out: &mut BytesMut) {
    if put_special(f64::from(x), out) {
        return;
    }
    let mut buffer = ryu::Buffer::new();
    let digits = buffer.format_finite(x);
    if (1e-4..1e6).contains(&x.abs()) {
        return put_positional(digits, out);
    }
    let mut shortest = Scientific::parse(digits.as_bytes());
    let bits = u64::from(x.to_bits());
    let binary = Binary::new(bits & ((1 << 23) - 1), (bits >> 23) & 0xff, 23, 150);
    if binary.is_halfway(&shortest) {
        shortest = longer(|digits| Scientific::formatted(format_args!("{x:.digits$e}")), &binary, &shortest, 8);
    }
    shortest.put(out);
}

/// Ryu's form of a number of everyday size is PostgreSQL's but for the `.0` of whole numbers. None of these is so large that
/// its digits could be half way to a neighbour.
fn put_positional(digits: &str, out: &mut BytesMut) {
    out.put_slice(digits.strip_suffix(".0").unwrap_or(digits).as_bytes());
}

/// Appends what has no digits to find; false for every other number.
fn put_special(x: f64, out: &mut BytesMut) -> bool {
    let text: &[u8] = match x.is_sign_negative() {
        _ if x.is_nan() => b"NaN",
        false if x.is_infinite() => b"Infinity",
        true if x.is_infinite() => b"-Infinity",
        false if x == 0.0 => b"0",
        true if x == 0.0 => b"-0",
        _ => return false,
    };
    out.put_slice(text);
    true
}

/// The first correctly rounded form with more digits than `shortest` that is not half way to a neighbour. It reads back:
/// rounding to more digits cannot be further off than `shortest` is.
fn longer(
    rounded: impl Fn(usize) -> Scientific,
    binary: &Binary,
    shortest: &Scientific,
    fraction_digits_max: usize,
) -> Scientific {
    (shortest.digits..=fraction_digits_max).map(rounded).find(|form| !binary.is_halfway(form)).unwrap_or(*shortest)
}

/// Decimal digits without their point, and the power of ten of the first one.
#[derive(Clone, Copy)]
struct Scientific {
    negative: bool,
    digit: [u8; TEXT_BYTES_MAX],
    digits: usize,
    exponent: i32,
}

impl Scientific {
    fn formatted(form: std::fmt::Arguments<'_>) -> Scientific {
        let mut text = Line { bytes: [0; TEXT_BYTES_MAX], len: 0 };
        let _ = text.write_fmt(form);
        Scientific::parse(&text.bytes[..text.len])
    }

    /// Takes a decimal apart: `-12.5`, `0.0012`, `1.2e-7`. Zeros at either end are not kept.
    fn parse(text: &[u8]) -> Scientific {
        let mut it = Scientific { negative: false, digit: [0; TEXT_BYTES_MAX], digits: 0, exponent: -1 };
        let mut bytes = text.iter();
        let mut before_point = true;
        for &byte in bytes.by_ref() {
            match byte {
                b'-' => it.negative = true,
                b'.' => before_point = false,
                b'e' => break,
                b'0' if it.digits == 0 => it.exponent -= i32::from(!before_point),
                digit => {
                    it.digit[it.digits] = digit;
                    it.digits += 1;
                    it.exponent += i32::from(before_point);
                }
            }
        }
        it.exponent += written_exponent(bytes.as_slice());
        while it.digits > 1 && it.digit[it.digits - 1] == b'0' {
            it.digits -= 1;
        }
        it
    }

    fn digits(&self) -> &[u8] {
        &self.digit[..self.digits]
    }

    /// The digits as a whole number, and the power of ten to multiply it with.
    fn integer(&self) -> (u64, i32) {
        let all = self.digits().iter().fold(0u64, |all, digit| all * 10 + u64::from(digit - b'0'));
        (all, self.exponent + 1 - self.digits as i32)
    }

    /// Appends the exponent form.
    fn put(&self, out: &mut BytesMut) {
        if self.negative {
            out.put_u8(b'-');
        }
        let (first, fraction) = self.digits().split_at(1);
        out.put_slice(first);
        if !fraction.is_empty() {
            out.put_u8(b'.');
            out.put_slice(fraction);
        }
        let sign = if self.exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "e{sign}{:02}", self.exponent.abs());
    }
}

fn written_exponent(text: &[u8]) -> i32 {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value = digits.iter().fold(0, |value, digit| value * 10 + i32::from(digit - b'0'));
    if negative { -value } else { value }
}

/// A finite number as `fraction * 2^exponent`.
struct Binary {
    fraction: u64,
    exponent: i32,
    /// The next smaller number is nearer than the next greater one.
    closer_below: bool,
}

impl Binary {
    fn new(stored_fraction: u64, stored_exponent: u64, fraction_bits: u32, bias: i32) -> Binary {
        match stored_exponent {
            0 => Binary { fraction: stored_fraction, exponent: 1 - bias, closer_below: false },
            _ => Binary {
                fraction: stored_fraction | 1 << fraction_bits,
                exponent: stored_exponent as i32 - bias,
                closer_below: stored_fraction == 0 && stored_exponent > 1,
            },
        }
    }

    /// Whether the decimal is exactly the middle between this number and a neighbour. That needs a power of five which
    /// divides an integer of the size of a fraction, so it happens to large whole numbers only.
    fn is_halfway(&self, decimal: &Scientific) -> bool {
        let Some((odd, twos)) = odd_and_twos(decimal) else { return false };
        let above = odd == 2 * self.fraction + 1 && twos == self.exponent - 1;
        let below = match self.closer_below {
            true => odd == 4 * self.fraction - 1 && twos == self.exponent - 2,
            false => odd == 2 * self.fraction - 1 && twos == self.exponent - 1,
        };
        above || below
    }
}

/// The decimal as `odd * 2^twos`, if it is a whole number whose odd part fits.
fn odd_and_twos(decimal: &Scientific) -> Option<(u64, i32)> {
    let (integer, tens) = decimal.integer();
    let power = 5u64.checked_pow(u32::try_from(tens).ok()?)?;
    let twos = integer.trailing_zeros() as i32;
    let odd = (integer >> twos).checked_mul(power)?;
    Some((odd, twos + tens))
}

/// A short text on the stack.
struct Line {
    bytes: [u8; TEXT_BYTES_MAX],
    len: usize,
}

impl std::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let free = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(std::fmt::Error)?;
        free.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn f64_text(x: f64) -> String {
        let mut out = BytesMut::new();
        put_f64(x, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn f32_text(x: f32) -> String {
        let mut out = BytesMut::new();
        put_f32(x, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    /// The plain form: try every number of digits, parse each back, lay the first that fits out by string operations.
    /// Numbers of a size whose shortest digits may lie half way between two numbers are left to the captured table.
    fn plain(x: f64) -> String {
        let form = (0..=16).map(|digits| format!("{x:.digits$e}")).find(|form| form.parse() == Ok(x)).unwrap();
        let (mantissa, exponent) = form.split_once('e').unwrap();
        let exponent: i32 = exponent.parse().unwrap();
        if (-4..15).contains(&exponent) {
            let fraction_digits = (mantissa.trim_start_matches('-').len() as i32 - 2 - exponent).max(0) as usize;
            let text = format!("{x:.fraction_digits$}");
            return if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text };
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn f64_is_as_the_plain_form(x in prop_oneof![
            any::<f64>().prop_filter("compared below", |x| x.is_finite() && *x != 0.0 && !(9e15..1e41).contains(&x.abs())),
            -9e15..9e15f64,
            -2.0..2.0f64,
            any::<i32>().prop_map(|n| f64::from(n) / 100.0).prop_filter("not zero", |x| *x != 0.0),
        ]) {
            prop_assert_eq!(f64_text(x), plain(x));
        }

        #[test]
        fn f64_reads_back(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            let read: f64 = f64_text(x).replace("Infinity", "inf").parse().unwrap();
            prop_assert!(read == x || x.is_nan() && read.is_nan());
        }

        #[test]
        fn f32_reads_back(bits in any::<u32>()) {
            let x = f32::from_bits(bits);
            let read: f32 = f32_text(x).replace("Infinity", "inf").parse().unwrap();
            prop_assert!(read == x || x.is_nan() && read.is_nan());
        }
    }

    /// Each pair is what PostgreSQL 15 printed for the number.
    #[test]
    fn f64_as_postgresql_15() {
        for (x, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-10, "1.5e-10"),
            (123456.789, "123456.789"),
            (1e14, "100000000000000"),
            (123456789012345.0, "123456789012345"),
            (999999999999999.0, "999999999999999"),
            (1e15, "1e+15"),
            (9007199254740991.0, "9.007199254740991e+15"),
            (9007199254740992.0, "9.007199254740992e+15"),
            (1e22, "1e+22"),
            (1e23, "9.999999999999999e+22"),
            (1e100, "1e+100"),
            (-6.172446915696602e16, "-6.1724469156966016e+16"),
            (5_303_491_769_863_498.0 / 8.0, "662936471232937.2"),
            (2f64.powi(-25), "2.9802322387695312e-08"),
            (5e-324, "5e-324"),
            (2.2250738585072014e-308, "2.2250738585072014e-308"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(f64_text(x), text);
        }
    }

    #[test]
    fn f32_as_postgresql_15() {
        for (x, text) in [
            (0.0f32, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1e5, "100000"),
            (999999.0, "999999"),
            (1e6, "1e+06"),
            (1234567.0, "1.234567e+06"),
            (8388608.0, "8.388608e+06"),
            (16777216.0, "1.6777216e+07"),
            (33554432.0, "3.3554432e+07"),
            (3.4028235e38, "3.4028235e+38"),
            (1e-45, "1e-45"),
            (f32::INFINITY, "Infinity"),
        ] {
            assert_eq!(f32_text(x), text);
        }
    }
}
