//! Working hours: which instants are inside of them, and how much of a stretch of time is.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Weekday};
use chrono_tz::Tz;

use super::duration::instant;
use super::intervals::Intervals;

/// When somebody is at work, by the clocks of a zone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calendar {
    zone: Tz,
    windows: Vec<Window>,
    /// Days on which nobody is, whatever the weekday.
    holidays: BTreeSet<NaiveDate>,
}

/// Hours of some days of the week.
#[derive(Debug, Clone, PartialEq)]
struct Window {
    /// From Monday.
    days: [bool; 7],
    from: NaiveTime,
    /// The next midnight when it is not after `from`, and beyond it the time of the next day.
    to: NaiveTime,
}

/// The window that is all of the week, and the name of a calendar that nobody has to define.
pub(crate) const ALWAYS: &str = "24x7";

const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/// Most days that a question may span: over two hundred years.
const DAYS_MAX: usize = 80_000;

impl Calendar {
    /// Reads windows such as `MO-FR 08:00-18:00`, `SA,SU 10:00-14:00` or `24x7`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(zone: &str, windows: &[String], holidays: Vec<NaiveDate>) -> Result<Calendar, String> {
        let zone = zone.parse().map_err(|_| format!("time zone \"{zone}\" is not known"))?;
        let windows = windows.iter().map(|text| Window::parse(text)).collect::<Result<_, _>>()?;
        Ok(Calendar { zone, windows, holidays: holidays.into_iter().collect() })
    }

    pub(crate) fn zone(&self) -> Tz {
        self.zone
    }

    /// The working time in `[start, end)`.
    pub(crate) fn open_between(&self, start_ns: i64, end_ns: i64) -> Intervals {
        if start_ns >= end_ns {
            return Intervals::default();
        }
        let date = |ns: i64| DateTime::from_timestamp_nanos(ns).with_timezone(&self.zone).date_naive();
        // A window of the day before may reach into the first one.
        let first = date(start_ns).pred_opt().unwrap_or(NaiveDate::MIN);
        let days = first.iter_days().take(DAYS_MAX).take_while(|day| *day <= date(end_ns));
        let open = days.filter(|day| !self.holidays.contains(day)).flat_map(|day| {
            let of_day = self.windows.iter().filter(move |window| window.is_on(day.weekday()));
            of_day.filter_map(move |window| window.on(day, self.zone))
        });
        Intervals::new(open.map(|(from, to)| (from.max(start_ns), to.min(end_ns))))
    }

    /// Its holidays, each from midnight to midnight.
    pub(crate) fn holidays(&self) -> Intervals {
        let midnight = |day: NaiveDate| instant(day.and_time(NaiveTime::MIN), self.zone);
        let days = self.holidays.iter().filter_map(|day| Some((midnight(*day)?, midnight(day.succ_opt()?)?)));
        Intervals::new(days)
    }

    /// Nanoseconds of working time in `[start, end)` that are in none of the pauses.
    pub(crate) fn business_time_ns(&self, start_ns: i64, end_ns: i64, pauses: &Intervals) -> i64 {
        self.open_between(start_ns, end_ns).subtract(pauses).length_ns()
    }
}

impl Window {
    fn parse(text: &str) -> Result<Window, String> {
        let wrong = |why: &str| format!("'{text}' is no window such as 'MO-FR 08:00-18:00' or '24x7': {why}");
        let upper = text.trim().to_ascii_uppercase();
        if upper.eq_ignore_ascii_case(ALWAYS) {
            return Ok(Window { days: [true; 7], from: NaiveTime::MIN, to: NaiveTime::MIN });
        }
        let (days, hours) = upper.split_once(' ').ok_or_else(|| wrong("it has no hours"))?;
        let (from, to) = hours.trim().split_once('-').ok_or_else(|| wrong("its hours have no end"))?;
        let time = |text: &str| match text.trim() {
            "24:00" => Ok(NaiveTime::MIN),
            text => NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| wrong(&format!("'{text}' is no time of day"))),
        };
        if from.trim() == "24:00" {
            return Err(wrong("it begins at 24:00, which is 00:00 of the next day"));
        }
        let (from, to) = (time(from)?, time(to)?);
        let mut on = [false; 7];
        let day = |name: &str| {
            let found = DAYS.iter().position(|known| *known == name.trim());
            found.ok_or_else(|| wrong(&format!("'{}' is no day: they are {}", name.trim(), DAYS.join(", "))))
        };
        for part in days.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (mut at, last) = (day(first)?, day(last)?);
            on[at] = true;
            while at != last {
                at = (at + 1) % 7;
                on[at] = true;
            }
        }
        Ok(Window { days: on, from, to })
    }

    fn is_on(&self, weekday: Weekday) -> bool {
        self.days[weekday.num_days_from_monday() as usize]
    }

    /// Its instants on a day.
    fn on(&self, day: NaiveDate, zone: Tz) -> Option<(i64, i64)> {
        let last = match self.to <= self.from {
            true => day.checked_add_days(Days::new(1))?,
            false => day,
        };
        Some((instant(day.and_time(self.from), zone)?, instant(last.and_time(self.to), zone)?))
    }
}

#[cfg(test)]
mod tests {
    use chrono::Timelike;
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000_000_000;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_nanos_opt().unwrap()
    }

    fn calendar(zone: &str, windows: &[&str]) -> Calendar {
        let windows: Vec<String> = windows.iter().map(|text| (*text).to_owned()).collect();
        Calendar::parse(zone, &windows, vec!["2026-05-01".parse().unwrap()]).unwrap()
    }

    #[test]
    fn working_hours_follow_the_clocks() {
        let support = calendar("Europe/Berlin", &["MO-FR 08:00-18:00"]);
        let hours =
            |from: &str, to: &str| support.business_time_ns(at(from), at(to), &Intervals::default()) / (60 * MINUTE);
        assert_eq!(hours("2026-03-06T17:00:00+01:00", "2026-03-09T09:00:00+01:00"), 2);
        // The week in which the clocks change has as many working hours as any.
        assert_eq!(hours("2026-03-23T00:00:00+01:00", "2026-03-30T00:00:00+02:00"), 50);
        // Friday, the first of May, is a holiday.
        assert_eq!(hours("2026-04-27T00:00:00+02:00", "2026-05-04T00:00:00+02:00"), 40);
        assert_eq!(hours("2026-03-09T09:00:00+01:00", "2026-03-06T17:00:00+01:00"), 0);
        let pause = Intervals::new([(at("2026-03-09T08:30:00+01:00"), at("2026-03-09T20:00:00+01:00"))]);
        let paused = support.business_time_ns(at("2026-03-09T00:00:00+01:00"), at("2026-03-10T00:00:00+01:00"), &pause);
        assert_eq!(paused, 30 * MINUTE);
    }

    #[test]
    fn windows_may_reach_over_midnight() {
        let night = calendar("UTC", &["SA 22:00-06:00"]);
        let open: Vec<_> = night.open_between(at("2026-03-08T00:00:00Z"), at("2026-03-09T00:00:00Z")).iter().collect();
        assert_eq!(open, [(at("2026-03-08T00:00:00Z"), at("2026-03-08T06:00:00Z"))]);
    }

    #[test]
    fn wrong_windows_say_why() {
        let why = |window: &str| Calendar::parse("UTC", &[window.to_owned()], Vec::new()).unwrap_err();
        let end = "is no window such as 'MO-FR 08:00-18:00' or '24x7'";
        assert_eq!(why("MO-FR"), format!("'MO-FR' {end}: it has no hours"));
        assert_eq!(why("MO-FR 8"), format!("'MO-FR 8' {end}: its hours have no end"));
        assert_eq!(why("MO 08:00-25:00"), format!("'MO 08:00-25:00' {end}: '25:00' is no time of day"));
        let midnight = "it begins at 24:00, which is 00:00 of the next day";
        assert_eq!(why("MO 24:00-06:00"), format!("'MO 24:00-06:00' {end}: {midnight}"));
        let days = "MO, TU, WE, TH, FR, SA, SU";
        assert_eq!(why("XX 08:00-18:00"), format!("'XX 08:00-18:00' {end}: 'XX' is no day: they are {days}"));
        assert_eq!(Calendar::parse("Mars/Base", &[], Vec::new()).unwrap_err(), "time zone \"Mars/Base\" is not known");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Each minute is asked of the clocks; windows begin and end outside of the hours that clocks skip or repeat.
        #[test]
        fn working_time_is_what_the_clocks_say(
            start in 0i64..40_000_000, length in 0i64..20_000, from in 4u32..23, hours in 1u32..20,
            zone in prop_oneof![Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("UTC")],
        ) {
            let to = (from + hours) % 24;
            prop_assume!(to >= 4);
            let window = format!("MO,WE-FR {from:02}:00-{to:02}:00");
            let calendar = calendar(zone, &[&window]);
            let (start, end) = (start * MINUTE, (start + length) * MINUTE);
            let open = (start..end).step_by(MINUTE as usize).filter(|ns| {
                let local = DateTime::from_timestamp_nanos(*ns).with_timezone(&calendar.zone).naive_local();
                let is_holiday = |day: NaiveDate| calendar.holidays.contains(&day);
                let works = |day: NaiveDate| day.weekday() != Weekday::Tue && day.weekday().num_days_from_monday() < 5 && !is_holiday(day);
                let yesterday = local.date().pred_opt().unwrap();
                match from < to {
                    true => works(local.date()) && (from..to).contains(&local.hour()),
                    false => (works(local.date()) && local.hour() >= from) || (works(yesterday) && local.hour() < to),
                }
            });
            prop_assert_eq!(calendar.business_time_ns(start, end, &Intervals::default()), open.count() as i64 * MINUTE);
        }
    }
}
