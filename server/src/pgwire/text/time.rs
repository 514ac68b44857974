//! Text form of dates, times, timestamps and intervals, in microseconds as PostgreSQL has them (style `ISO`, interval
//! style `postgres`).

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

use crate::pgwire::zone::Zone;

/// Microseconds in a second.
pub(crate) const SECOND_US: i64 = 1_000_000;
/// Microseconds in a day.
pub(crate) const DAY_US: i64 = 86_400 * SECOND_US;

/// Nanoseconds to the nearest microsecond, halves up, as PostgreSQL rounds on input.
pub(crate) fn round_to_us(ns: i64) -> i64 {
    ns.div_euclid(1000) + i64::from(ns.rem_euclid(1000) >= 500)
}

/// Appends a `timestamp`: `us` microseconds since 1970-01-01 on a clock without a zone.
pub(crate) fn put_timestamp(us: i64, out: &mut BytesMut) {
    if put_infinity(us, out) {
        return;
    }
    let date = Date::of(us.div_euclid(DAY_US));
    date.put(out);
    out.put_u8(b' ');
    put_time(us.rem_euclid(DAY_US), out);
    date.put_era(out);
}

/// Appends a `timestamptz`: `us` microseconds since the Unix epoch, shown in `zone`.
pub(crate) fn put_timestamptz(us: i64, zone: &Zone, out: &mut BytesMut) {
    if put_infinity(us, out) {
        return;
    }
    let offset_s = zone.offset_s(us.div_euclid(SECOND_US));
    let local_us = us.saturating_add(i64::from(offset_s) * SECOND_US);
    let date = Date::of(local_us.div_euclid(DAY_US));
    date.put(out);
    out.put_u8(b' ');
    put_time(local_us.rem_euclid(DAY_US), out);
    put_offset(offset_s, out);
    date.put_era(out);
}

/// Appends a `date`: days since 1970-01-01.
pub(crate) fn put_date(days: i64, out: &mut BytesMut) {
    let date = Date::of(days);
    date.put(out);
    date.put_era(out);
}

/// Appends a `time`: microseconds since midnight, up to `24:00:00`.
pub(crate) fn put_time(us: i64, out: &mut BytesMut) {
    let (seconds, fraction_us) = (us / SECOND_US, us % SECOND_US);
    put_clock(seconds, out);
    put_fraction(fraction_us, out);
}

/// Appends an `interval`. The three parts keep their own signs.
pub(crate) fn put_interval(months: i32, days: i32, us: i64, out: &mut BytesMut) {
    let mut parts = IntervalParts { out, any: false, negative_before: false };
    parts.put(i64::from(months / 12), "year");
    parts.put(i64::from(months % 12), "mon");
    parts.put(i64::from(days), "day");
    let IntervalParts { out, any, negative_before } = parts;
    if us == 0 && any {
        return;
    }
    if any {
        out.put_u8(b' ');
    }
    if us < 0 {
        out.put_u8(b'-');
    } else if negative_before {
        out.put_u8(b'+');
    }
    let us = us.unsigned_abs();
    put_clock((us / SECOND_US.unsigned_abs()) as i64, out);
    put_fraction((us % SECOND_US.unsigned_abs()) as i64, out);
}

struct IntervalParts<'a> {
    out: &'a mut BytesMut,
    any: bool,
    negative_before: bool,
}

impl IntervalParts<'_> {
    /// A positive part after a negative one gets a sign, so that the reader does not carry the minus on.
    fn put(&mut self, value: i64, unit: &str) {
        if value == 0 {
            return;
        }
        let space = if self.any { " " } else { "" };
        let sign = if self.negative_before && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        let _ = write!(self.out, "{space}{sign}{value} {unit}{plural}");
        self.any = true;
        self.negative_before = value < 0;
    }
}

fn put_infinity(us: i64, out: &mut BytesMut) -> bool {
    match us {
        i64::MAX => out.put_slice(b"infinity"),
        i64::MIN => out.put_slice(b"-infinity"),
        _ => return false,
    }
    true
}

/// A day of the Gregorian calendar, also before there was one.
struct Date {
    year: i64,
    month: u8,
    day: u8,
}

impl Date {
    /// Counts in years that begin in March, so that the leap day comes last, and in cycles of 400 years.
    fn of(days_since_1970: i64) -> Date {
        const CYCLE_DAYS: i64 = 146_097;
        let days = days_since_1970 + 719_468;
        let (cycle, day) = (days.div_euclid(CYCLE_DAYS), days.rem_euclid(CYCLE_DAYS));
        let year = (day - day / 1_460 + day / 36_524 - day / (CYCLE_DAYS - 1)) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Date { year: cycle * 400 + year + i64::from(month <= 2), month: month as u8, day: day as u8 }
    }

    /// The year 0 of the calendar is 1 BC.
    fn put(&self, out: &mut BytesMut) {
        let year = if self.year > 0 { self.year } else { 1 - self.year };
        match u16::try_from(year) {
            Ok(year) if year < 10_000 => {
                put_two((year / 100) as u8, out);
                put_two((year % 100) as u8, out);
            }
            _ => drop(write!(out, "{year}")),
        }
        out.put_u8(b'-');
        put_two(self.month, out);
        out.put_u8(b'-');
        put_two(self.day, out);
    }

    fn put_era(&self, out: &mut BytesMut) {
        if self.year <= 0 {
            out.put_slice(b" BC");
        }
    }
}

fn put_clock(seconds: i64, out: &mut BytesMut) {
    match seconds / 3600 {
        hours @ 0..100 => put_two(hours as u8, out),
        hours => drop(write!(out, "{hours}")),
    }
    out.put_u8(b':');
    put_two((seconds / 60 % 60) as u8, out);
    out.put_u8(b':');
    put_two((seconds % 60) as u8, out);
}

fn put_fraction(us: i64, out: &mut BytesMut) {
    if us == 0 {
        return;
    }
    let (mut rest, mut digits) = (us, 6);
    while rest % 10 == 0 {
        rest /= 10;
        digits -= 1;
    }
    let _ = write!(out, ".{rest:0digits$}");
}

fn put_offset(offset_s: i32, out: &mut BytesMut) {
    out.put_u8(if offset_s < 0 { b'-' } else { b'+' });
    let offset_s = offset_s.unsigned_abs();
    put_two((offset_s / 3600) as u8, out);
    if !offset_s.is_multiple_of(3600) {
        out.put_u8(b':');
        put_two((offset_s / 60 % 60) as u8, out);
    }
    if !offset_s.is_multiple_of(60) {
        out.put_u8(b':');
        put_two((offset_s % 60) as u8, out);
    }
}

fn put_two(value: u8, out: &mut BytesMut) {
    out.put_slice(&[b'0' + value / 10 % 10, b'0' + value % 10]);
}

/// Writes timestamps quickly: what changes by the hour is kept from one to the next.
pub(crate) struct HourClock<'a> {
    zone: &'a Zone,
    /// The minute whose offset is kept, in minutes since the Unix epoch.
    minute: i64,
    offset_s: i32,
    /// The hour whose text is kept, in hours since 1970 on the zone's clocks.
    hour: i64,
    date_and_hour: [u8; DATE_AND_HOUR_BYTES],
    offset: [u8; OFFSET_BYTES],
    offset_bytes: usize,
}

/// `2024-01-01 05:`
const DATE_AND_HOUR_BYTES: usize = 14;

/// Longest form of an offset, `+00:44:30`.
const OFFSET_BYTES: usize = 9;

/// The times that are written quickly: years have four digits, and offsets change at whole minutes.
const QUICK_US: std::ops::Range<i64> = 100_000_000 * SECOND_US..100_000_000_000 * SECOND_US;

impl HourClock<'_> {
    pub(crate) fn new(zone: &Zone) -> HourClock<'_> {
        HourClock {
            zone,
            minute: i64::MIN,
            offset_s: 0,
            hour: i64::MIN,
            date_and_hour: [0; DATE_AND_HOUR_BYTES],
            offset: [0; OFFSET_BYTES],
            offset_bytes: 0,
        }
    }

    /// Writes a `timestamptz` as [`put_timestamptz`] does, and gives its length. `None` for times far from ours; then nothing that
    /// counts is written. `out` has room for the longest form.
    pub(crate) fn write(&mut self, us: i64, out: &mut [u8]) -> Option<usize> {
        if !QUICK_US.contains(&us) {
            return None;
        }
        let (second, fraction_us) = (us / SECOND_US, us % SECOND_US);
        let offset_changed = self.follow_offset(second);
        let local_s = second + i64::from(self.offset_s);
        let (hour, in_hour) = (local_s / 3600, local_s % 3600);
        if hour != self.hour || offset_changed {
            self.follow_hour(hour);
        }
        out[..DATE_AND_HOUR_BYTES].copy_from_slice(&self.date_and_hour);
        let [m, n] = TWO_DIGITS[(in_hour / 60) as usize];
        let [s, t] = TWO_DIGITS[(in_hour % 60) as usize];
        out[DATE_AND_HOUR_BYTES..DATE_AND_HOUR_BYTES + 5].copy_from_slice(&[m, n, b':', s, t]);
        let mut at = DATE_AND_HOUR_BYTES + 5;
        if fraction_us != 0 {
            at += write_fraction(fraction_us, &mut out[at..]);
        }
        out[at..at + OFFSET_BYTES].copy_from_slice(&self.offset);
        Some(at + self.offset_bytes)
    }

    /// Looks up the offset where it may have changed. Says whether it has.
    fn follow_offset(&mut self, second: i64) -> bool {
        let minute = second / 60;
        if minute == self.minute {
            return false;
        }
        self.minute = minute;
        let before = std::mem::replace(&mut self.offset_s, self.zone.offset_s(second));
        before != self.offset_s
    }

    fn follow_hour(&mut self, hour: i64) {
        self.hour = hour;
        let mut text = BytesMut::new();
        put_timestamp(hour * 3600 * SECOND_US, &mut text);
        self.date_and_hour.copy_from_slice(&text[..DATE_AND_HOUR_BYTES]);
        text.clear();
        put_offset(self.offset_s, &mut text);
        self.offset_bytes = text.len();
        self.offset[..text.len()].copy_from_slice(&text);
    }
}

/// Writes a fraction of a second behind its point, without the zeros at its end.
fn write_fraction(us: i64, out: &mut [u8]) -> usize {
    let [a, b] = TWO_DIGITS[(us / 10_000) as usize];
    let [c, d] = TWO_DIGITS[(us / 100 % 100) as usize];
    let [e, f] = TWO_DIGITS[(us % 100) as usize];
    let text = [b'.', a, b, c, d, e, f];
    out[..text.len()].copy_from_slice(&text);
    text.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1)
}

/// `00` to `99`
static TWO_DIGITS: [[u8; 2]; 100] = {
    let mut digits = [[b'0'; 2]; 100];
    let mut n = 0;
    while n < 100 {
        digits[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeZone};
    use proptest::prelude::*;

    use super::*;

    fn text(put: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        put(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    /// The plain form of a timestamp with a zone of whole minutes and a year of four digits.
    fn plain(us: i64, zone: chrono_tz::Tz) -> String {
        let time = zone.from_utc_datetime(&DateTime::from_timestamp_micros(us).unwrap().naive_utc());
        let fraction = format!("{}", time.format("%.6f"));
        let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
        let offset = format!("{}", time.format("%:z"));
        format!("{}{fraction}{}", time.format("%Y-%m-%d %H:%M:%S"), offset.trim_end_matches(":00"))
    }

    proptest! {
        #[test]
        fn timestamptz_is_as_the_plain_form(
            us in 0..4_102_444_800_000_000i64,
            whole_seconds in any::<bool>(),
            zone in prop::sample::select(vec![
                chrono_tz::UTC,
                chrono_tz::Europe::Berlin,
                chrono_tz::Asia::Kolkata,
                chrono_tz::America::St_Johns,
                chrono_tz::Pacific::Chatham,
            ]),
        ) {
            let us = if whole_seconds { us / SECOND_US * SECOND_US } else { us };
            let shown = text(|out| put_timestamptz(us, &Zone::Named(zone), out));
            prop_assert_eq!(shown, plain(us, zone));
        }

        #[test]
        fn dates_are_as_the_plain_form(days in -700_000..2_900_000i32) {
            let day = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + chrono::TimeDelta::days(days.into());
            prop_assert_eq!(text(|out| put_date(days.into(), out)), day.format("%Y-%m-%d").to_string());
        }
    }

    #[test]
    fn nanoseconds_round_to_the_nearest_microsecond() {
        let shown = |ns: i64| text(|out| put_timestamp(round_to_us(ns), out));
        assert_eq!(shown(499), "1970-01-01 00:00:00");
        assert_eq!(shown(500), "1970-01-01 00:00:00.000001");
        assert_eq!(shown(-1), "1970-01-01 00:00:00");
        assert_eq!(shown(-501), "1969-12-31 23:59:59.999999");
        assert_eq!(shown(1_704_067_199_999_999_600), "2024-01-01 00:00:00");
        assert_eq!(shown(i64::MAX), "2262-04-11 23:47:16.854776");
        assert_eq!(shown(i64::MIN), "1677-09-21 00:12:43.145224");
    }

    /// Each pair is what PostgreSQL 15 printed.
    #[test]
    fn intervals_as_postgresql_15() {
        let hour = 3600 * SECOND_US;
        for (months, days, us, shown) in [
            (0, 0, 0, "00:00:00"),
            (0, 1, 2 * hour + 184_500_000, "1 day 02:03:04.5"),
            (1, 0, 0, "1 mon"),
            (0, 0, -hour, "-01:00:00"),
            (14, 3, 0, "1 year 2 mons 3 days"),
            (-10, -3, 4 * hour + 306_000_001, "-10 mons -3 days +04:05:06.000001"),
            (14, -2, 0, "1 year 2 mons -2 days"),
            (0, 0, 100 * hour, "100:00:00"),
            (0, 0, -500_000, "-00:00:00.5"),
            (0, 1, -SECOND_US, "1 day -00:00:01"),
            (-1, 1, 0, "-1 mons +1 day"),
            (0, -1, 2 * hour + 180 * SECOND_US, "-1 days +02:03:00"),
            (24, -1, SECOND_US, "2 years -1 days +00:00:01"),
            (1, 0, -100_000, "1 mon -00:00:00.1"),
        ] {
            assert_eq!(text(|out| put_interval(months, days, us, out)), shown);
        }
    }

    #[test]
    fn dates_and_times_as_postgresql_15() {
        assert_eq!(text(|out| put_date(-719_163, out)), "0001-12-31 BC");
        assert_eq!(text(|out| put_date(2_932_897, out)), "10000-01-01");
        assert_eq!(text(|out| put_time(7_384_500_000, out)), "02:03:04.5");
        assert_eq!(text(|out| put_time(DAY_US, out)), "24:00:00");
        assert_eq!(text(|out| put_timestamp(i64::MAX, out)), "infinity");
        let kolkata = Zone::Named(chrono_tz::Asia::Kolkata);
        assert_eq!(text(|out| put_timestamptz(1_704_067_200_000_000, &kolkata, out)), "2024-01-01 05:30:00+05:30");
        assert_eq!(
            text(|out| put_timestamptz(-63_517_845_208_000_000, &kolkata, out)),
            "0044-03-15 00:00:00+05:53:28 BC"
        );
        let monrovia = Zone::Named(chrono_tz::Africa::Monrovia);
        assert_eq!(text(|out| put_timestamptz(31_536_000_000_000, &monrovia, out)), "1970-12-31 23:15:30-00:44:30");
    }
}
