//! What a value usually is at this time of the day, of the week, of the month.

use chrono::{DateTime, Datelike, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

use super::Season;

/// Slots of a day.
const PER_DAY: usize = 96;

const SECONDS_PER_SLOT: i64 = 900;

/// The least days, weeks and months of data before the time of each matters.
const DAYS_MIN: i64 = 3;
const WEEKS_MIN: i64 = 3;
const MONTHS_MIN: i64 = 3;

/// Means of slots.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slots {
    means: Vec<f32>,
    counts: Vec<u32>,
    /// When values of a slot were last strange: twice the day, and one more if the time before that they were as well.
    strange: Vec<u32>,
}

impl Slots {
    fn new(slots: usize) -> Slots {
        Slots { means: vec![0.0; slots], counts: vec![0; slots], strange: vec![0; slots] }
    }

    fn mean(&self, slot: usize) -> Option<f64> {
        let known = self.counts.get(slot).is_some_and(|count| *count > 0);
        known.then(|| f64::from(self.means[slot]))
    }

    /// Moves the mean towards a value; the newest `memory` values weigh most.
    fn learn(&mut self, slot: usize, value: f64, memory: f64) {
        let count = self.counts[slot].saturating_add(1);
        self.counts[slot] = count;
        let weight = (1.0 / f64::from(count)).max(1.0 / memory);
        let mean = f64::from(self.means[slot]);
        self.means[slot] = (mean + weight * (value - mean)) as f32;
    }

    /// Takes in that a value of a slot is strange on a day; true if they were the time before, so many `days` ago.
    fn recurs(&mut self, slot: usize, day: u32, days: u32) -> bool {
        let (last, again) = (self.strange[slot] >> 1, self.strange[slot] & 1 == 1);
        if last == day {
            return again;
        }
        let again = last != 0 && last.saturating_add(days) == day;
        self.strange[slot] = (day << 1) | u32::from(again);
        again
    }

    /// The means, how many values each is of, and when they were strange.
    pub(super) fn parts(&self) -> (&[f32], [&[u32]; 2]) {
        (&self.means, [&self.counts, &self.strange])
    }

    pub(super) fn from_parts(means: Vec<f32>, counts: Vec<u32>, strange: Vec<u32>) -> Option<Slots> {
        let fits = means.len() == counts.len() && means.len() == strange.len();
        (fits && means.iter().all(|mean| mean.is_finite())).then_some(Slots { means, counts, strange })
    }
}

/// The usual course of a series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seasons {
    /// By time of the day, of the week, and by day of the month; each if it was asked for.
    pub(super) day: Option<Slots>,
    pub(super) week: Option<Slots>,
    pub(super) month: Option<Slots>,
}

/// Where an instant is in each season.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Days since 1970.
    date: u32,
    day: usize,
    week: usize,
    month: usize,
}

impl Place {
    pub(super) fn of(time_ns: i64, zone: Tz) -> Place {
        let utc = DateTime::from_timestamp_nanos(time_ns);
        let offset = match zone {
            Tz::UTC => 0,
            zone => i64::from(zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc()),
        };
        let seconds = time_ns.div_euclid(1_000_000_000).saturating_add(offset);
        let days = seconds.div_euclid(86_400);
        let day = (seconds.rem_euclid(86_400) / SECONDS_PER_SLOT) as usize;
        // The first day of 1970 was a Thursday.
        let weekday = (days + 3).rem_euclid(7) as usize;
        let month = match zone {
            Tz::UTC => utc.day0(),
            zone => utc.with_timezone(&zone).day0(),
        };
        debug_assert!(utc.hour() < 24);
        let date = u32::try_from(days).unwrap_or(0) & (u32::MAX >> 1);
        Place { date, day, week: weekday * PER_DAY + day, month: month as usize }
    }
}

impl Seasons {
    pub(super) fn new(seasons: &[Season]) -> Seasons {
        let has = |season| seasons.contains(&season);
        Seasons {
            day: (has(Season::HourOfDay) || has(Season::HourOfWeek)).then(|| Slots::new(PER_DAY)),
            week: has(Season::HourOfWeek).then(|| Slots::new(7 * PER_DAY)),
            month: has(Season::DayOfMonth).then(|| Slots::new(31)),
        }
    }

    /// What is usual at a place, once that is known from the days of data there are.
    pub(super) fn usual(&self, place: Place, days: i64) -> Option<f64> {
        self.course(place, days, DAYS_MIN)
    }

    /// The same as soon as there is a day of data, for what does not need to be right.
    pub(super) fn early(&self, place: Place, days: i64) -> Option<f64> {
        self.course(place, days, 1)
    }

    fn course(&self, place: Place, days: i64, days_min: i64) -> Option<f64> {
        let of = |slots: &Option<Slots>, slot: usize, is_known: bool| {
            slots.as_ref().filter(|_| is_known).and_then(|slots| slots.mean(slot))
        };
        let course =
            of(&self.week, place.week, days >= WEEKS_MIN * 7).or_else(|| of(&self.day, place.day, days >= days_min));
        // The day of the month moves the course of the day by as much as that day usually is off.
        let by_month = of(&self.month, place.month, days >= MONTHS_MIN * 30);
        match (course, by_month) {
            (Some(course), Some(off)) => Some(course + off),
            (None, Some(off)) => Some(off),
            (course, None) => course,
        }
    }

    /// Learns a value; `days_of_history` is for how long one counts, `per_slot` how many points come into a slot at a time. Of strange
    /// ones only what comes again: that is a season, and what comes once an outage.
    pub(super) fn learn(&mut self, place: Place, value: f64, days_of_history: f64, per_slot: f64, is_strange: bool) {
        let base = self.week.as_ref().and_then(|week| week.mean(place.week));
        let base = base.or_else(|| self.day.as_ref().and_then(|day| day.mean(place.day)));
        let fits = |slots: &mut Slots, slot, days| !is_strange || slots.recurs(slot, place.date, days);
        if let Some(day) = &mut self.day
            && fits(day, place.day, 1)
        {
            day.learn(place.day, value, (days_of_history.min(21.0) * per_slot).max(2.0));
        }
        if let Some(week) = &mut self.week
            && fits(week, place.week, 7)
        {
            week.learn(place.week, value, (days_of_history / 7.0 * per_slot).max(2.0));
        }
        if let Some(month) = &mut self.month {
            let off = base.map_or(value, |base| value - base);
            month.learn(place.month, off, (days_of_history / 30.0 * per_slot * PER_DAY as f64).max(2.0));
        }
    }
}

/// How many points of a step come into a slot.
pub(super) fn points_per_slot(step_ns: i64) -> f64 {
    ((SECONDS_PER_SLOT * 1_000_000_000) as f64 / step_ns.max(1) as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_clocks_of_the_zone() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp_nanos_opt().unwrap();
        let place = |text: &str, zone| {
            let place = Place::of(at(text), zone);
            (place.day, place.week / PER_DAY, place.month)
        };
        // A Monday, nine o'clock.
        assert_eq!(place("2026-03-02T09:00:00Z", Tz::UTC), (36, 0, 1));
        // Sunday the 29th, after the clocks went forward.
        assert_eq!(place("2026-03-29T07:10:00Z", Tz::Europe__Berlin), (36, 6, 28));
        assert_eq!(place("2026-03-28T08:00:00Z", Tz::Europe__Berlin), (36, 5, 27));
    }
}
