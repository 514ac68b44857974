//! Periods of the calendar that promises are reported on: months, weeks, quarters, in a time zone.

use std::ops::Range;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, TimeDelta};
use chrono_tz::Tz;

use super::duration::{Span, instant};

/// A row of periods that follow one another without gap.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Period {
    length: Length,
    zone: Tz,
    /// A day on which a period begins.
    anchor: NaiveDate,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Length {
    Months(u32),
    Days(u32),
}

/// Instants in nanoseconds since the Unix epoch.
pub(crate) type Instants = Range<i64>;

/// Most periods that are listed at once.
const PERIODS_MAX: usize = 20_000;

impl Period {
    /// Reads a length such as `1 month`, `2 weeks` or `1 quarter`. Without an anchor, weeks begin on Monday, months, quarters and
    /// years with the first of January.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(text: &str, zone: &str, anchor: Option<NaiveDate>) -> Result<Period, String> {
        let zone: Tz = zone.parse().map_err(|_| format!("time zone \"{zone}\" is not known"))?;
        let length = match Span::parse(text)? {
            Span { months, days: 0, ns: 0 } => Length::Months(months),
            Span { months: 0, days, ns: 0 } => Length::Days(days),
            _ => return Err(format!("'{text}' is no period: it is a number of days, weeks, months or years")),
        };
        let first = match length {
            Length::Months(_) => NaiveDate::from_ymd_opt(1970, 1, 1),
            // A Monday.
            Length::Days(_) => NaiveDate::from_ymd_opt(1970, 1, 5),
        };
        Ok(Period { length, zone, anchor: anchor.or(first).unwrap_or_default() })
    }

    pub(crate) fn zone(&self) -> Tz {
        self.zone
    }

    /// The period that holds an instant; `None` at the ends of time.
    pub(crate) fn containing(&self, instant_ns: i64) -> Option<Instants> {
        let day = DateTime::from_timestamp_nanos(instant_ns).with_timezone(&self.zone).date_naive();
        let mut number = match self.length {
            Length::Months(months) => {
                let ahead = i64::from(day.year() - self.anchor.year()) * 12 + i64::from(day.month0())
                    - i64::from(self.anchor.month0());
                ahead.div_euclid(i64::from(months))
            }
            Length::Days(days) => (day - self.anchor).num_days().div_euclid(i64::from(days)),
        };
        // The day of the month may come before the anchor's, and midnight may be left out by the clocks.
        loop {
            let range = self.begin(number)?..self.begin(number + 1)?;
            match () {
                () if instant_ns < range.start => number -= 1,
                () if instant_ns >= range.end => number += 1,
                () => return Some(range),
            }
        }
    }

    /// The periods that hold a part of `[start, end)`, in order.
    pub(crate) fn between(&self, start_ns: i64, end_ns: i64) -> Vec<Instants> {
        let mut all = Vec::new();
        let mut next = start_ns;
        while next < end_ns && all.len() < PERIODS_MAX {
            let Some(range) = self.containing(next) else { break };
            next = range.end;
            all.push(range);
        }
        all
    }

    /// The period of a name: `2026`, `2026-Q3`, `2026-10`, `2026-W40` or `2026-10-05`, the one that holds the beginning of what
    /// is named.
    ///
    /// # Errors
    /// A sentence that says what is wrong, also when the name is that of a longer time than a period: it holds several.
    pub(crate) fn named(&self, name: &str) -> Result<Instants, String> {
        let wrong =
            || format!("'{name}' is no period such as '2026-10', '2026-W40', '2026-Q3', '2026' or '2026-10-05'");
        let (day, named) = first_day(name.trim()).ok_or_else(wrong)?;
        if named.days() > self.length.days() {
            return Err(format!("'{name}' is longer than the period: name one of the periods in it"));
        }
        // A name of a shorter time than the period's names the period that it lies in.
        let noon = instant(day.and_time(NaiveTime::MIN) + TimeDelta::hours(12), self.zone).ok_or_else(wrong)?;
        self.containing(noon).ok_or_else(wrong)
    }

    /// The instant at which a period begins, by its number from the anchor.
    fn begin(&self, number: i64) -> Option<i64> {
        let day = match self.length {
            Length::Months(months) => {
                let ahead = number.checked_mul(i64::from(months))?;
                let by = Months::new(u32::try_from(ahead.unsigned_abs()).ok()?);
                if ahead < 0 { self.anchor.checked_sub_months(by)? } else { self.anchor.checked_add_months(by)? }
            }
            Length::Days(days) => {
                self.anchor.checked_add_signed(TimeDelta::try_days(number.checked_mul(i64::from(days))?)?)?
            }
        };
        instant(day.and_time(NaiveTime::MIN), self.zone)
    }
}

impl Length {
    /// About how many days.
    fn days(self) -> u32 {
        match self {
            Length::Months(months) => months.saturating_mul(30),
            Length::Days(days) => days,
        }
    }
}

/// The first day of what a name names, and how long that is.
fn first_day(name: &str) -> Option<(NaiveDate, Length)> {
    let (year, rest) = match name.split_once('-') {
        Some((year, rest)) => (year, Some(rest)),
        None => (name, None),
    };
    let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    let year: i32 = year.parse().ok().filter(|_| is_year)?;
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (day, length) = match rest {
        None => (NaiveDate::from_ymd_opt(year, 1, 1), Length::Months(12)),
        Some(rest) => match (rest.strip_prefix(['Q', 'q']), rest.strip_prefix(['W', 'w']), rest.split_once('-')) {
            (Some(quarter), ..) => {
                let quarter = number(quarter).filter(|quarter| (1..=4).contains(quarter))?;
                (NaiveDate::from_ymd_opt(year, quarter * 3 - 2, 1), Length::Months(3))
            }
            (_, Some(week), _) => {
                (NaiveDate::from_isoywd_opt(year, number(week)?, chrono::Weekday::Mon), Length::Days(7))
            }
            (_, _, Some((month, day))) => {
                (NaiveDate::from_ymd_opt(year, number(month)?, number(day)?), Length::Days(1))
            }
            _ => (NaiveDate::from_ymd_opt(year, number(rest)?, 1), Length::Months(1)),
        },
    };
    Some((day?, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(range: &Instants, zone: &str) -> String {
        let zone: Tz = zone.parse().unwrap();
        let at = |ns: i64| DateTime::from_timestamp_nanos(ns).with_timezone(&zone).format("%F %T").to_string();
        format!("{} to {}", at(range.start), at(range.end))
    }

    #[test]
    fn periods_have_names() {
        let cases = [
            ("1 month", "2026-10", "2026-10-01 00:00:00 to 2026-11-01 00:00:00"),
            ("1 month", "2026-10-17", "2026-10-01 00:00:00 to 2026-11-01 00:00:00"),
            ("1 week", "2026-W40", "2026-09-28 00:00:00 to 2026-10-05 00:00:00"),
            ("1 quarter", "2026-Q3", "2026-07-01 00:00:00 to 2026-10-01 00:00:00"),
            ("1 year", "2026", "2026-01-01 00:00:00 to 2027-01-01 00:00:00"),
            ("1 day", "2026-03-29", "2026-03-29 00:00:00 to 2026-03-30 00:00:00"),
        ];
        for (length, name, expected) in cases {
            let period = Period::parse(length, "Europe/Berlin", None).unwrap();
            let range = period.named(name).unwrap();
            assert_eq!(shown(&range, "Europe/Berlin"), expected);
        }
        let period = Period::parse("1 month", "UTC", NaiveDate::from_ymd_opt(2026, 1, 15)).unwrap();
        assert_eq!(shown(&period.named("2026-10").unwrap(), "UTC"), "2026-09-15 00:00:00 to 2026-10-15 00:00:00");
        for wrong in ["", "soon", "2026-13", "2026-Q5", "2026-W60", "26", "2026-02-30", "+026", "2026-+1"] {
            assert!(period.named(wrong).is_err(), "{wrong}");
        }
        assert!(Period::parse("5 hours", "UTC", None).is_err());
        for longer in ["2026", "2026-Q3"] {
            let why = format!("'{longer}' is longer than the period: name one of the periods in it");
            assert_eq!(period.named(longer), Err(why));
        }
    }

    proptest! {
        #[test]
        fn periods_follow_one_another(
            at in -2_000_000_000i64..4_000_000_000,
            length in prop_oneof![Just("1 day"), Just("1 week"), Just("10 days"), Just("1 month"), Just("1 quarter"), Just("5 months")],
            zone in prop::sample::select(&["Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "Africa/Cairo", "Asia/Kathmandu"]),
            anchor in prop::option::of(0u64..40_000),
        ) {
            let at = at * 1_000_000_000;
            let anchor = anchor.map(|days| NaiveDate::from_ymd_opt(1950, 1, 1).unwrap() + chrono::Days::new(days));
            let period = Period::parse(length, zone, anchor).unwrap();
            let range = period.containing(at).unwrap();
            prop_assert!(range.contains(&at));
            prop_assert_eq!(period.containing(range.start), Some(range.clone()));
            prop_assert_eq!(period.containing(range.end - 1), Some(range.clone()));
            prop_assert_eq!(period.containing(range.end).unwrap().start, range.end);
            prop_assert_eq!(period.between(range.start, range.end), vec![range.clone()]);
        }
    }
}
