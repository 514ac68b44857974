//! Lengths of time as people write them: `5 min`, `30 days`, `1 month`, `1 hour 30 min`.

use std::fmt;

use chrono::{DateTime, Days, Months, NaiveDateTime, TimeZone};
use chrono_tz::Tz;

/// A length of time. Months and days are as long as the calendar makes them; a fixed part comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) months: u32,
    pub(crate) days: u32,
    pub(crate) ns: i64,
}

const NS: i64 = 1_000_000_000;
const NS_PER_DAY: i64 = 86_400 * NS;

/// What a unit is made of: months, days, nanoseconds.
const UNITS: [(&[&str], u32, u32, i64); 10] = [
    (&["ns", "nanosecond", "nanoseconds"], 0, 0, 1),
    (&["us", "microsecond", "microseconds"], 0, 0, 1_000),
    (&["ms", "millisecond", "milliseconds"], 0, 0, 1_000_000),
    (&["s", "sec", "secs", "second", "seconds"], 0, 0, NS),
    (&["m", "min", "mins", "minute", "minutes"], 0, 0, 60 * NS),
    (&["h", "hour", "hours"], 0, 0, 3_600 * NS),
    (&["d", "day", "days"], 0, 1, 0),
    (&["w", "week", "weeks"], 0, 7, 0),
    (&["mon", "month", "months"], 1, 0, 0),
    (&["y", "year", "years"], 12, 0, 0),
];

/// A quarter is three months; it is read besides [`UNITS`] and never printed.
const QUARTERS: [&str; 2] = ["quarter", "quarters"];

impl Span {
    /// Reads a text: numbers, each with its unit.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Span, String> {
        let wrong = || format!("'{text}' is no length of time such as '5 min' or '30 days'");
        let mut span = Span::default();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let count: u32 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = rest[digits..].trim_start();
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let unit = rest[..letters].to_ascii_lowercase();
            rest = rest[letters..].trim_start();
            let (months, days, ns) = match unit.as_str() {
                "" => return Err(format!("'{text}' has no unit: write '{} min', for example", text.trim())),
                unit if QUARTERS.contains(&unit) => (3, 0, 0),
                unit => {
                    let found = UNITS.iter().find(|(names, ..)| names.contains(&unit));
                    let (_, months, days, ns) = found.ok_or_else(|| format!("'{unit}' is no unit of time"))?;
                    (*months, *days, *ns)
                }
            };
            span = span.plus(count, months, days, ns).ok_or_else(|| format!("'{text}' is too long"))?;
        }
        match span == Span::default() {
            true => Err(format!("'{text}' is no time at all")),
            false => Ok(span),
        }
    }

    /// How long it is in nanoseconds, or about how long where the calendar decides: the length of the first months of 1970.
    pub(crate) fn about_ns(self) -> Option<i64> {
        self.fixed_ns().or_else(|| self.after(0, 1, chrono_tz::UTC))
    }

    fn plus(self, count: u32, months: u32, days: u32, ns: i64) -> Option<Span> {
        /// A thousand years.
        const MONTHS_MAX: u32 = 12_000;
        const DAYS_MAX: u32 = 366_000;
        let months = self.months.checked_add(count.checked_mul(months)?).filter(|months| *months <= MONTHS_MAX)?;
        let days = self.days.checked_add(count.checked_mul(days)?).filter(|days| *days <= DAYS_MAX)?;
        let ns = self.ns.checked_add(ns.checked_mul(i64::from(count))?)?;
        Some(Span { months, days, ns })
    }

    /// Its nanoseconds, a day being 24 hours; `None` with months, or where it does not fit.
    pub(crate) fn fixed_ns(self) -> Option<i64> {
        let days = i64::from(self.days).checked_mul(NS_PER_DAY)?;
        (self.months == 0).then(|| days.checked_add(self.ns)).flatten()
    }

    /// The instant that is this much after another, `times` over, on the clocks of a zone. Instants are nanoseconds since the
    /// Unix epoch. `None` out of their range.
    pub(crate) fn after(self, start_ns: i64, times: u32, zone: Tz) -> Option<i64> {
        let local = DateTime::from_timestamp_nanos(start_ns).with_timezone(&zone).naive_local();
        let moved = local
            .checked_add_months(Months::new(self.months.checked_mul(times)?))?
            .checked_add_days(Days::new(u64::from(self.days) * u64::from(times)))?;
        let day = match moved == local {
            true => start_ns,
            false => instant(moved, zone)?,
        };
        day.checked_add(self.ns.checked_mul(i64::from(times))?)
    }
}

/// The instant at which clocks of a zone show a time: the first of two, and for one that is left out the moment at which the
/// clocks jump over it.
pub(super) fn instant(local: NaiveDateTime, zone: Tz) -> Option<i64> {
    if let Some(found) = zone.from_local_datetime(&local).earliest() {
        return found.timestamp_nanos_opt();
    }
    // The clocks jump: what they showed before the gap tells how far they were ahead of UTC.
    let before = local.checked_sub_signed(chrono::TimeDelta::hours(25))?;
    let offset = chrono::Offset::fix(zone.from_local_datetime(&before).earliest()?.offset());
    let mut jump = local.checked_sub_offset(offset)?.and_utc().timestamp_nanos_opt()?;
    // As long as the clocks are past the wanted time, an earlier moment may be the jump itself.
    while let Some(earlier) = jump.checked_sub(60 * NS) {
        let shown = DateTime::from_timestamp_nanos(earlier).with_timezone(&zone).naive_local();
        if shown < local {
            break;
        }
        jump = earlier;
    }
    Some(jump)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut part = |count: i64, one: &str| match count {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            _ => parts.push(format!("{count} {one}s")),
        };
        part(i64::from(self.months / 12), "year");
        part(i64::from(self.months % 12), "month");
        part(i64::from(self.days), "day");
        part(self.ns / (3_600 * NS), "hour");
        part(self.ns / (60 * NS) % 60, "minute");
        part(self.ns / NS % 60, "second");
        part(self.ns % NS, "nanosecond");
        f.write_str(&parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_people_write_them() {
        let shown =
            |text: &str| Span::parse(text).map(|span| span.to_string()).unwrap_or_else(|why| format!("! {why}"));
        let cases = [
            ("5 min", "5 minutes"),
            ("1h30m", "1 hour 30 minutes"),
            ("30 days", "30 days"),
            ("2 weeks", "14 days"),
            ("1 quarter", "3 months"),
            (" 1  Year 2 MONTHS ", "1 year 2 months"),
            ("90s", "1 minute 30 seconds"),
            ("250 ms", "250000000 nanoseconds"),
            ("", "! '' is no length of time such as '5 min' or '30 days'"),
            ("soon", "! 'soon' is no length of time such as '5 min' or '30 days'"),
            ("5", "! '5' has no unit: write '5 min', for example"),
            ("5 fortnights", "! 'fortnights' is no unit of time"),
            ("-5 min", "! '-5 min' is no length of time such as '5 min' or '30 days'"),
            ("0 s", "! '0 s' is no time at all"),
            ("99999999999 h", "! '99999999999 h' is no length of time such as '5 min' or '30 days'"),
            ("4000000000 h", "! '4000000000 h' is too long"),
            ("9999 years", "! '9999 years' is too long"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn months_and_days_follow_the_clocks() {
        let zone = chrono_tz::Europe::Berlin;
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp_nanos_opt().unwrap();
        let day = Span::parse("1 day").unwrap();
        assert_eq!(day.after(at("2026-03-28T12:00:00+01:00"), 1, zone), Some(at("2026-03-29T12:00:00+02:00")));
        let month = Span::parse("1 month").unwrap();
        assert_eq!(month.after(at("2026-01-31T00:00:00+01:00"), 1, zone), Some(at("2026-02-28T00:00:00+01:00")));
        // 02:30 is left out on that day: the clocks go from 02:00 to 03:00.
        assert_eq!(day.after(at("2026-03-28T02:30:00+01:00"), 1, zone), Some(at("2026-03-29T03:00:00+02:00")));
        // 02:30 comes twice on that day: the first one counts.
        assert_eq!(day.after(at("2026-10-24T02:30:00+02:00"), 1, zone), Some(at("2026-10-25T02:30:00+02:00")));
    }
}
