//! Windows of time that come again by a rule of RFC 5545, such as a maintenance each Tuesday night.

use chrono::DateTime;
use chrono_tz::Tz;
use rrule::{Frequency, RRule, RRuleSet, Unvalidated};

use super::intervals::Intervals;

/// Most times that a window comes in a day.
const TIMES_A_DAY: usize = 24;

/// Most times that a window is followed; it ends there, after more than a hundred years of the most there are in a day.
const TIMES_MAX: usize = 1_000_000;

/// A window, and how it comes again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recurring {
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    /// Such as `FREQ=WEEKLY;BYDAY=TU`; none for a window that comes once.
    pub(crate) rule: Option<String>,
    /// The zone by whose clocks it comes again.
    pub(crate) zone: Tz,
}

impl Recurring {
    /// The parts of `[start, end)` in which the window is open.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the rule.
    pub(crate) fn between(&self, start_ns: i64, end_ns: i64) -> Result<Intervals, String> {
        let length = self.end_ns.saturating_sub(self.start_ns);
        let Some(rule) = &self.rule else {
            return Ok(Intervals::new([(self.start_ns.max(start_ns), self.end_ns.min(end_ns))]));
        };
        let starts = self.set(rule)?.into_iter().take(TIMES_MAX).filter_map(|start| start.timestamp_nanos_opt());
        let starts = starts.take_while(|start| *start < end_ns);
        Ok(Intervals::new(starts.map(|start| (start.max(start_ns), start.saturating_add(length).min(end_ns)))))
    }

    /// # Errors
    /// A sentence that says what is wrong with the rule.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Some(rule) = &self.rule else { return Ok(()) };
        match self.set(rule)?.into_iter().next() {
            Some(_) => Ok(()),
            None => Err(wrong(rule, "no window ever comes by it")),
        }
    }

    fn set(&self, rule: &str) -> Result<RRuleSet, String> {
        let bare = rule.trim().trim_start_matches("RRULE:");
        let parsed: RRule<Unvalidated> = bare.parse().map_err(|e: rrule::RRuleError| wrong(rule, &e.to_string()))?;
        let named = |list: &[u8]| list.len().max(1);
        let an_hour = named(parsed.get_by_minute()) * named(parsed.get_by_second());
        let a_day = match parsed.get_freq() {
            Frequency::Minutely | Frequency::Secondly => return Err(wrong(rule, "a window comes at most each hour")),
            Frequency::Hourly => TIMES_A_DAY * an_hour,
            _ => named(parsed.get_by_hour()) * an_hour,
        };
        if a_day > TIMES_A_DAY {
            return Err(wrong(rule, "a window comes at most 24 times a day"));
        }
        let start = DateTime::from_timestamp_nanos(self.start_ns).with_timezone(&rrule::Tz::Tz(self.zone));
        Ok(parsed.build(start).map_err(|e| wrong(rule, &e.to_string()))?.limit())
    }
}

fn wrong(rule: &str, why: &str) -> String {
    format!("'{rule}' is no rule of RFC 5545 such as 'FREQ=WEEKLY;BYDAY=TU': {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_nanos_opt().unwrap()
    }

    fn patching(rule: Option<&str>) -> Recurring {
        Recurring {
            start_ns: at("2026-03-03T02:00:00+01:00"),
            end_ns: at("2026-03-03T04:00:00+01:00"),
            rule: rule.map(str::to_owned),
            zone: chrono_tz::Europe::Berlin,
        }
    }

    #[test]
    fn windows_come_again_by_the_clocks_of_their_zone() {
        let weekly = patching(Some("FREQ=WEEKLY;BYDAY=TU"));
        let april = weekly.between(at("2026-03-31T03:00:00+02:00"), at("2026-04-08T00:00:00+02:00")).unwrap();
        let expected = [
            (at("2026-03-31T03:00:00+02:00"), at("2026-03-31T04:00:00+02:00")),
            (at("2026-04-07T02:00:00+02:00"), at("2026-04-07T04:00:00+02:00")),
        ];
        assert_eq!(april.iter().collect::<Vec<_>>(), expected);
        let year = |recurring: Recurring| recurring.between(0, at("2027-03-03T00:00:00Z")).unwrap().iter().count();
        assert_eq!(year(patching(Some("RRULE:FREQ=MONTHLY;BYDAY=1TU;COUNT=5"))), 5);
        assert_eq!(year(patching(Some("FREQ=WEEKLY;UNTIL=20260320T000000Z"))), 3);
        assert_eq!(year(patching(None)), 1);
    }

    #[test]
    fn wrong_rules_say_why() {
        for rule in ["", "weekly", "FREQ=SOMETIMES", "FREQ=SECONDLY", "FREQ=WEEKLY;BYDAY=XX", "FREQ=WEEKLY;INTERVAL=-1"]
        {
            let why = patching(Some(rule)).check().unwrap_err();
            assert!(why.starts_with(&format!("'{rule}' is no rule of RFC 5545")), "{why}");
        }
        assert_eq!(patching(Some("FREQ=DAILY")).check(), Ok(()));
        assert_eq!(patching(Some("FREQ=DAILY;BYHOUR=2,14;BYMINUTE=0,30")).check(), Ok(()));
    }

    #[test]
    fn rules_that_never_come_or_come_too_often_are_refused() {
        let why = |rule: &str| patching(Some(rule)).check().unwrap_err();
        for rule in ["FREQ=DAILY;COUNT=0", "FREQ=DAILY;INTERVAL=0", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"] {
            assert!(why(rule).ends_with("no window ever comes by it"), "{rule}");
        }
        for rule in ["FREQ=HOURLY;BYMINUTE=0,30", "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,10,20;BYSECOND=0,20,40"] {
            assert!(why(rule).ends_with("a window comes at most 24 times a day"), "{rule}");
        }
    }

    #[test]
    fn a_window_that_began_long_ago_still_comes() {
        let start_ns = at("1975-01-01T02:00:00+01:00");
        let old = Recurring { start_ns, end_ns: start_ns + 600_000_000_000, ..patching(Some("FREQ=HOURLY")) };
        let day = old.between(at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z")).unwrap();
        assert_eq!(day.iter().count(), 24);
    }

    #[test]
    fn a_time_that_the_clocks_leave_out_comes_as_long_after_midnight() {
        let start_ns = at("2026-03-20T02:30:00+01:00");
        let daily = Recurring { start_ns, end_ns: start_ns + 1, ..patching(Some("FREQ=DAILY")) };
        let starts = daily.between(at("2026-03-28T00:00:00+01:00"), at("2026-03-31T00:00:00+02:00")).unwrap();
        let expected = ["2026-03-28T02:30:00+01:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"].map(at);
        assert_eq!(starts.iter().map(|(start, _)| start).collect::<Vec<_>>(), expected);
    }
}
