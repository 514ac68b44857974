//! Binary forms of values that are not plain big-endian numbers, both ways.

use bytes::{Buf, BufMut, BytesMut};

use super::text::time::DAY_US;

/// 2000-01-01, where PostgreSQL begins to count, in days since 1970-01-01.
const EPOCH_2000_DAYS: i32 = 10_957;

/// Sign words of a numeric.
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Microseconds since 2000-01-01 from microseconds since 1970-01-01. The infinities stay what they are.
pub(crate) fn since_2000_us(since_1970_us: i64) -> i64 {
    match since_1970_us {
        i64::MAX | i64::MIN => since_1970_us,
        us => us.saturating_sub(i64::from(EPOCH_2000_DAYS) * DAY_US),
    }
}

/// The way back; `None` where it does not fit.
pub(crate) fn since_1970_us(since_2000_us: i64) -> Option<i64> {
    since_2000_us.checked_add(i64::from(EPOCH_2000_DAYS) * DAY_US)
}

/// Days since 2000-01-01 from days since 1970-01-01.
pub(crate) fn since_2000_days(since_1970_days: i32) -> i32 {
    since_1970_days.saturating_sub(EPOCH_2000_DAYS)
}

/// The way back; `None` where it does not fit.
pub(crate) fn since_1970_days(since_2000_days: i32) -> Option<i32> {
    since_2000_days.checked_add(EPOCH_2000_DAYS)
}

/// The type of the elements of an array of one dimension, and the bytes of each, `None` for NULL; `None` for what is no such array.
/// Dimensions, a flag for NULLs and the type come first, then length and lower bound of each dimension.
pub(crate) fn array(mut bytes: &[u8]) -> Option<(u32, Vec<Option<&[u8]>>)> {
    let (dimensions, _has_nulls) = (bytes.try_get_i32().ok()?, bytes.try_get_i32().ok()?);
    let element = bytes.try_get_u32().ok()?;
    let length = match dimensions {
        0 => 0,
        1 => {
            let length = usize::try_from(bytes.try_get_i32().ok()?).ok()?;
            bytes.try_get_i32().ok()?;
            length
        }
        _ => return None,
    };
    // Each element has four bytes at least.
    let mut items = Vec::with_capacity(length.min(bytes.len() / 4));
    for _ in 0..length {
        items.push(match bytes.try_get_i32().ok()? {
            -1 => None,
            length => {
                let (item, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
                bytes = rest;
                Some(item)
            }
        });
    }
    bytes.is_empty().then_some((element, items))
}

/// Appends a numeric given as plain decimal text (`-12.50`): groups of four digits, the weight of the first group in
/// powers of 10,000, the sign, and the number of digits to show after the point.
pub(crate) fn put_numeric(decimal: &str, out: &mut BytesMut) {
    let (sign, digits) = match decimal.strip_prefix('-') {
        Some(digits) => (NEGATIVE, digits),
        None => (POSITIVE, decimal),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let mut groups = Vec::with_capacity(whole.len() / 4 + fraction.len() / 4 + 2);
    let first = whole.len() % 4;
    if first > 0 {
        groups.push(group(&whole.as_bytes()[..first], 0));
    }
    groups.extend(whole.as_bytes()[first..].chunks(4).map(|digits| group(digits, 0)));
    let mut weight = groups.len() as i16 - 1;
    groups.extend(fraction.as_bytes().chunks(4).map(|digits| group(digits, 4 - digits.len())));
    let leading_zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading_zeros);
    weight -= leading_zeros as i16;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    out.put_i16(groups.len() as i16);
    out.put_i16(weight);
    out.put_u16(if groups.is_empty() { POSITIVE } else { sign });
    out.put_u16(fraction.len() as u16);
    groups.into_iter().for_each(|group| out.put_i16(group));
}

fn group(digits: &[u8], missing_zeros: usize) -> i16 {
    let value = digits.iter().fold(0, |value, digit| value * 10 + i16::from(digit - b'0'));
    value * 10i16.pow(missing_zeros as u32)
}

/// Reads a numeric as decimal text; `None` when the bytes are not one.
pub(crate) fn numeric(mut bytes: &[u8]) -> Option<String> {
    if bytes.len() < 8 {
        return None;
    }
    let (count, weight) = (usize::from(bytes.get_u16()), i32::from(bytes.get_i16()));
    let (sign, scale) = (bytes.get_u16(), usize::from(bytes.get_u16()));
    let prefix = match sign {
        POSITIVE => "",
        NEGATIVE => "-",
        NAN => return Some("NaN".to_owned()),
        INFINITY => return Some("Infinity".to_owned()),
        NEGATIVE_INFINITY => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    if bytes.len() != count * 2 {
        return None;
    }
    let groups: Vec<u16> = std::iter::repeat_with(|| bytes.get_u16()).take(count).collect();
    if groups.iter().any(|group| *group > 9999) {
        return None;
    }
    let group = |at: i32| usize::try_from(at).ok().and_then(|at| groups.get(at)).copied().unwrap_or(0);
    let whole: String = (0..=weight).map(|at| format!("{:04}", group(at))).collect();
    let fraction_groups = scale.div_ceil(4) as i32;
    let fraction: String = (weight + 1..weight + 1 + fraction_groups).map(|at| format!("{:04}", group(at))).collect();
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let point = if scale > 0 { "." } else { "" };
    Some(format!("{prefix}{whole}{point}{}", &fraction[..scale]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(decimal: &str) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_numeric(decimal, &mut out);
        out.to_vec()
    }

    /// Bytes that PostgreSQL 15 sent (`numeric_send`).
    #[test]
    fn numerics_as_postgresql_15() {
        for (decimal, words) in [
            ("0", &[0u16, 0, 0, 0][..]),
            ("0.00", &[0, 0, 0, 2]),
            ("1", &[1, 0, 0, 0, 1]),
            ("-12.50", &[2, 0, 0x4000, 2, 12, 5000]),
            ("10000", &[1, 1, 0, 0, 1]),
            ("0.0001", &[1, 0xffff, 0, 4, 1]),
            ("0.00001", &[1, 0xfffe, 0, 5, 1000]),
            ("18446744073709551615", &[5, 4, 0, 0, 1844, 6744, 737, 955, 1615]),
            ("100000000.5", &[4, 2, 0, 1, 1, 0, 0, 5000]),
        ] {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            assert_eq!(encoded(decimal), bytes, "{decimal}");
            assert_eq!(numeric(&bytes).as_deref(), Some(decimal));
        }
    }

    #[test]
    fn timestamps_count_from_2000() {
        assert_eq!(since_2000_us(946_684_800_000_000), 0);
        assert_eq!(since_1970_us(0), Some(946_684_800_000_000));
        assert_eq!(since_1970_us(i64::MAX), None);
        assert_eq!((since_2000_days(10_957), since_1970_days(-10_957)), (0, Some(0)));
    }

    proptest! {
        #[test]
        fn numerics_come_back(value in any::<i128>(), scale in 0usize..30) {
            let digits = value.unsigned_abs().to_string();
            let digits = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let sign = if value < 0 { "-" } else { "" };
            let decimal = if scale > 0 { format!("{sign}{whole}.{fraction}") } else { format!("{sign}{whole}") };
            prop_assert_eq!(numeric(&encoded(&decimal)), Some(decimal));
        }

        #[test]
        fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = numeric(&bytes);
        }
    }
}
