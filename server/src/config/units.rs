//! Sizes and durations as people write them: `512MiB`, `50%`, `10s`.

use std::fmt;
use std::time::Duration;

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

const DURATION_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// An amount of bytes, or a share of the machine's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Bytes.
    Bytes(u64),
    /// Percent of the memory that this process may use, 1 to 100.
    Percent(u8),
}

impl Size {
    /// In bytes, on a machine (or in a container) with `memory_bytes` of memory.
    pub fn bytes(self, memory_bytes: u64) -> u64 {
        match self {
            Size::Bytes(bytes) => bytes,
            Size::Percent(percent) => memory_bytes / 100 * u64::from(percent),
        }
    }
}

impl fmt::Display for Size {
    /// In the largest unit that keeps the number whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Size::Percent(percent) => write!(f, "{percent}%"),
            Size::Bytes(0) => write!(f, "0"),
            Size::Bytes(bytes) => {
                let exact = |(_, factor): &&(&str, u64)| bytes.is_multiple_of(*factor);
                let (unit, factor) = SIZE_UNITS.iter().find(exact).expect("every number is a multiple of 1");
                write!(f, "{}{unit}", bytes / factor)
            }
        }
    }
}

/// Reads a size above zero: a number of bytes, a number with a unit, or a percentage of memory.
pub fn parse_size(text: &str) -> Option<Size> {
    let text = text.trim();
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u8 = percent.trim().parse().ok()?;
        return (1..=100).contains(&percent).then_some(Size::Percent(percent));
    }
    let bytes = match SIZE_UNITS.iter().find_map(|(unit, factor)| Some((strip_unit(text, unit)?, *factor))) {
        Some((number, factor)) => scaled(number, factor)?,
        None => text.parse().ok()?,
    };
    (bytes > 0).then_some(Size::Bytes(bytes))
}

/// Reads a duration above zero: a number with one of the units ms, s, m, h.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, factor) = DURATION_UNITS.iter().find_map(|(unit, factor)| Some((strip_unit(text, unit)?, *factor)))?;
    let millis = scaled(number, factor)?;
    (millis > 0).then(|| Duration::from_millis(millis))
}

/// In the largest unit that keeps the number whole; [`parse_duration`] reads it back.
pub(super) fn print_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let exact = |(_, factor): &&(&str, u64)| millis.is_multiple_of(*factor);
    let (unit, factor) = DURATION_UNITS.iter().rev().find(exact).expect("every number is a multiple of 1");
    format!("{}{unit}", millis / factor)
}

/// The number before a unit; a unit of one letter does not match the end of a longer one.
fn strip_unit<'a>(text: &'a str, unit: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(unit.len()).filter(|at| text.is_char_boundary(*at))?;
    let (number, found) = text.split_at(at);
    let number = number.trim_end();
    (found.eq_ignore_ascii_case(unit) && number.ends_with(|c: char| c.is_ascii_digit())).then_some(number)
}

/// `number` times `factor`, where the number may have decimals.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let decimal: f64 = number.parse().ok()?;
    let product = decimal * factor as f64;
    (0.0..1e18).contains(&product).then_some(product as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, size) in [
            ("1", Size::Bytes(1)),
            ("512MiB", Size::Bytes(512 << 20)),
            ("2 gib", Size::Bytes(2 << 30)),
            ("1.5GiB", Size::Bytes(3 << 29)),
            ("10kB", Size::Bytes(10_000)),
            ("50%", Size::Percent(50)),
        ] {
            assert_eq!(parse_size(text), Some(size), "{text}");
        }
        for text in ["", "0", "-1", "MiB", "1XB", "0%", "101%", "1e3MiB%", "99999999TiB", "é"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("10m"), Some(Duration::from_secs(600)));
        for text in ["", "10", "0s", "s", "-1s", "10 parsecs", "1d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for bytes in [1, 1000, 1 << 20, 3 << 29, 12_345_678] {
            let size = Size::Bytes(bytes);
            assert_eq!(parse_size(&size.to_string()), Some(size));
        }
        for millis in [1, 1500, 60_000, 3_600_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&print_duration(duration)), Some(duration));
        }
    }
}
