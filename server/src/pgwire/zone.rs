//! The time zone of a session: what `SET TimeZone` accepts, how `SHOW` prints it, and its offset at a given second.
//!
//! PostgreSQL reads a bare number as hours east of Greenwich, but a signed offset in a zone text by the POSIX rule, where
//! positive is west: `SET TimeZone = 2` is two hours ahead, `'UTC+2'` and `'+02:00'` are two hours behind.

use chrono::{DateTime, NaiveDateTime, Offset as _, TimeZone as _};
use chrono_tz::Tz;

/// Furthest offset from UTC that PostgreSQL accepts, in hours.
const HOURS_MAX: f64 = 168.0;

/// A time zone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Zone {
    /// A zone of the IANA database.
    Named(Tz),
    /// A constant offset.
    Fixed {
        /// Seconds east of Greenwich.
        east_s: i32,
        /// How `SHOW` prints it.
        shown: String,
    },
}

impl Default for Zone {
    fn default() -> Zone {
        Zone::Named(Tz::UTC)
    }
}

impl Zone {
    /// Reads a value of the `TimeZone` setting: a name in any case, hours east, or a POSIX text such as `UTC+2`.
    pub(crate) fn parse(text: &str) -> Option<Zone> {
        if let Ok(hours) = text.trim().parse::<f64>() {
            return Zone::east(hours * 3600.0);
        }
        let named = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(text));
        named.map(|zone| Zone::Named(*zone)).or_else(|| posix(text))
    }

    /// An offset of so many seconds east of Greenwich, as `SET TIME ZONE INTERVAL` names it.
    pub(crate) fn east(seconds: f64) -> Option<Zone> {
        if !seconds.is_finite() || seconds.abs() > HOURS_MAX * 3600.0 {
            return None;
        }
        let east_s = seconds.round() as i32;
        let (east, west) = if east_s < 0 { ('-', '+') } else { ('+', '-') };
        let clock = clock(east_s);
        Some(Zone::Fixed { east_s, shown: format!("<{east}{clock}>{west}{clock}") })
    }

    /// Seconds to add to UTC at `utc_s` seconds since the Unix epoch.
    pub(crate) fn offset_s(&self, utc_s: i64) -> i32 {
        match self {
            Zone::Named(Tz::UTC) => 0,
            Zone::Named(zone) => {
                let utc = DateTime::from_timestamp(utc_s, 0).map_or(NaiveDateTime::MAX, |time| time.naive_utc());
                zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()
            }
            Zone::Fixed { east_s, .. } => *east_s,
        }
    }

    /// How `SHOW TimeZone` prints it.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Zone::Named(zone) => zone.name(),
            Zone::Fixed { shown, .. } => shown,
        }
    }

    /// The name or ISO offset (`+05:30`, positive is east) that the query layer reads.
    pub(crate) fn iso(&self) -> String {
        match self {
            Zone::Named(zone) => zone.name().to_owned(),
            Zone::Fixed { east_s, .. } => {
                let sign = if *east_s < 0 { '-' } else { '+' };
                let minutes = east_s.unsigned_abs() / 60;
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

/// `02`, `05:30` or `00:43:08`.
fn clock(offset_s: i32) -> String {
    let s = offset_s.unsigned_abs();
    match (s / 60 % 60, s % 60) {
        (0, 0) => format!("{:02}", s / 3600),
        (minutes, 0) => format!("{:02}:{minutes:02}", s / 3600),
        (minutes, seconds) => format!("{:02}:{minutes:02}:{seconds:02}", s / 3600),
    }
}

/// A POSIX zone without daylight rules: `UTC+2`, `<+02>-02`, `+05:30`. Its offset counts west.
fn posix(text: &str) -> Option<Zone> {
    let offset = match text.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?.1,
        None => text.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
    };
    let (sign, digits) = match offset.strip_prefix(['+', '-']) {
        Some(digits) if offset.starts_with('-') => (1, digits),
        Some(digits) => (-1, digits),
        None => (-1, offset),
    };
    let mut seconds = 0;
    let mut unit_s = 3600;
    for part in digits.split(':') {
        if unit_s == 0 {
            return None;
        }
        let all_digits = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        let value: i32 = all_digits.then(|| part.parse().ok())??;
        let limit = if unit_s == 3600 { 167 } else { 59 };
        seconds += (0..=limit).contains(&value).then_some(value * unit_s)?;
        unit_s /= 60;
    }
    (unit_s < 3600).then(|| Zone::Fixed { east_s: sign * seconds, shown: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row is what PostgreSQL 15 showed, and its offset on 2024-01-01.
    #[test]
    fn zones_as_postgresql_15() {
        for (text, shown, offset_s) in [
            ("utc", "UTC", 0),
            ("europe/berlin", "Europe/Berlin", 3600),
            ("Asia/Kolkata", "Asia/Kolkata", 19_800),
            ("EST5EDT", "EST5EDT", -18_000),
            ("+02", "<+02>-02", 7200),
            ("-7", "<-07>+07", -25_200),
            ("5.5", "<+05:30>-05:30", 19_800),
            ("0", "<+00>-00", 0),
            ("+05:30", "+05:30", -19_800),
            ("UTC+2", "UTC+2", -7200),
            ("GMT-03:00", "GMT-03:00", 10_800),
            ("<+02>-02", "<+02>-02", 7200),
        ] {
            let zone = Zone::parse(text).unwrap_or_else(|| panic!("{text} is a zone"));
            assert_eq!((zone.shown(), zone.offset_s(1_704_067_200)), (shown, offset_s), "{text}");
        }
    }

    #[test]
    fn what_is_no_zone() {
        for text in ["", "z", "Bogus/Zone", "UTC+", "UTC+2:99", "1:2:3:4", "200", "nan", "<+02", "é+1"] {
            assert_eq!(Zone::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_query_layer_gets_iso_offsets() {
        assert_eq!(Zone::parse("GMT-03:30").unwrap().iso(), "+03:30");
        assert_eq!(Zone::parse("-7").unwrap().iso(), "-07:00");
    }
}
