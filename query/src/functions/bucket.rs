//! The arithmetic of time buckets: which bucket holds a timestamp. No SQL types here beyond the interval.
//!
//! A width and an origin cut a time line into buckets at *boundaries*. Without a time zone that line is UTC. With one it is what
//! the zone's clocks show, and a bucket begins at each instant at which the clocks
//!
//! - show a boundary, unless they were set back and have shown it before and the bucket is longer than they were set back, or
//! - are set forward over a boundary.
//!
//! So every bucket begins at one instant and ends where the next begins, however the clocks are set: a day has 23 or 25 hours, the
//! hours of a stretch that comes twice are buckets of their own each time, and what the clocks skip has no bucket.

use std::sync::Arc;

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::datatypes::IntervalMonthDayNano;

use super::clocks::Clocks;
use crate::{Error, Result};

const NS_PER_DAY: i64 = 86_400_000_000_000;

/// 2000-01-03 00:00 UTC, a Monday, so that weeks begin on Mondays.
const ORIGIN_NS: i64 = 946_857_600_000_000_000;

/// 2000-01-01 00:00 UTC, for buckets of months.
const ORIGIN_MONTHS_NS: i64 = 946_684_800_000_000_000;

/// How long a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// A fixed length in nanoseconds, above zero.
    Fixed(i64),
    /// Calendar months, above zero.
    Months(i32),
}

impl Width {
    /// The width that an interval names.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] when it is not above zero, or mixes months with days or time.
    pub(crate) fn new(interval: IntervalMonthDayNano) -> Result<Width> {
        let invalid = |message: &str| Error::InvalidParameter { name: "width".to_owned(), message: message.to_owned() };
        let IntervalMonthDayNano { months, days, nanoseconds } = interval;
        let ns = i64::from(days).checked_mul(NS_PER_DAY).and_then(|ns| ns.checked_add(nanoseconds));
        let ns = ns.ok_or_else(|| invalid("bucket width out of range"))?;
        match (months, ns) {
            (0, 1..) => Ok(Width::Fixed(ns)),
            (1.., 0) => Ok(Width::Months(months)),
            (1.., _) => Err(invalid("bucket width in months cannot have a day or time part")),
            _ => Err(invalid("bucket width must be greater than zero")),
        }
    }

    /// Where buckets of this width are aligned when nothing else is asked for, in nanoseconds since the Unix epoch.
    pub(crate) fn default_origin_ns(self) -> i64 {
        match self {
            Width::Fixed(_) => ORIGIN_NS,
            Width::Months(_) => ORIGIN_MONTHS_NS,
        }
    }

    /// The last boundary that is not after `time_ns`, where one is at `origin_ns`; `None` when it is before the first timestamp
    /// there is.
    fn boundary_ns(self, time_ns: i64, origin_ns: i64) -> Option<i64> {
        match self {
            Width::Fixed(width) => {
                let shift = origin_ns.rem_euclid(width);
                let from_shift = time_ns.checked_sub(shift)?;
                from_shift.checked_sub(from_shift.rem_euclid(width))?.checked_add(shift)
            }
            Width::Months(months) => boundary_of_months(months, 0, time_ns, origin_ns),
        }
    }

    /// The boundary after one.
    fn next_ns(self, boundary_ns: i64, origin_ns: i64) -> Option<i64> {
        match self {
            Width::Fixed(width) => boundary_ns.checked_add(width),
            Width::Months(months) => boundary_of_months(months, 1, boundary_ns, origin_ns),
        }
    }

    /// About how long a bucket is, at least.
    fn shortest_ns(self) -> i64 {
        match self {
            Width::Fixed(width) => width,
            Width::Months(months) => i64::from(months).saturating_mul(28 * NS_PER_DAY),
        }
    }

    /// True when a bucket lasts longer than `ns`, which is at most a day.
    fn is_longer_than(self, ns: i64) -> bool {
        match self {
            Width::Fixed(width) => width > ns,
            Width::Months(_) => true,
        }
    }
}

/// Instants at equal distances: `origin_ns + n * width_ns`, where the origin is less than the width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) width_ns: i64,
    pub(crate) origin_ns: i64,
}

impl Grid {
    /// A grid through an instant; the width is above zero.
    fn new(width_ns: i64, through_ns: i128) -> Grid {
        let origin_ns = through_ns.rem_euclid(i128::from(width_ns)) as i64;
        Grid { width_ns, origin_ns }
    }

    /// The coarsest grid that has the instants of both.
    pub(crate) fn and(self, other: Grid) -> Grid {
        let apart = i64::abs(self.origin_ns - other.origin_ns);
        Grid::new(gcd(gcd(self.width_ns, other.width_ns), apart), i128::from(self.origin_ns))
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Which bucket holds an instant: a width, where a boundary is, and the clocks that boundaries are read from.
#[derive(Debug, Clone)]
pub(crate) struct Bucketing {
    width: Width,
    origin_ns: i64,
    clocks: Option<Arc<Clocks>>,
}

impl Bucketing {
    /// Buckets in UTC; `origin_ns` is a boundary.
    pub(crate) fn new(width: Width, origin_ns: i64) -> Bucketing {
        Bucketing { width, origin_ns, clocks: None }
    }

    /// Buckets in a time zone; `origin_ns` is what its clocks show at a boundary. `None` when that is out of range.
    pub(crate) fn in_zone(width: Width, origin_ns: i64, clocks: Arc<Clocks>) -> Option<Bucketing> {
        match (width, clocks.is_fixed()) {
            (Width::Fixed(_), true) => {
                let origin_ns = origin_ns.checked_sub(clocks.stretch(0).offset_ns)?;
                Some(Bucketing { width, origin_ns, clocks: None })
            }
            _ => Some(Bucketing { width, origin_ns, clocks: Some(clocks) }),
        }
    }

    /// Width and origin in nanoseconds when all buckets are equally long, whatever clocks say: a bucket starts at
    /// `origin + floor((time - origin) / width) * width`.
    #[cfg(test)]
    pub(crate) fn fixed(&self) -> Option<(i64, i64)> {
        match (self.width, &self.clocks) {
            (Width::Fixed(width_ns), None) => Some((width_ns, self.origin_ns)),
            _ => None,
        }
    }

    /// The coarsest grid that every bucket that begins from one instant to another begins on.
    pub(crate) fn grid(&self, from_ns: i64, to_ns: i64) -> Grid {
        let width_ns = match self.width {
            Width::Fixed(width_ns) => width_ns,
            Width::Months(_) => NS_PER_DAY,
        };
        let Some(clocks) = &self.clocks else { return Grid::new(width_ns, i128::from(self.origin_ns)) };
        let places = clocks.place(from_ns)..=clocks.place(to_ns);
        let grids = places.map(|place| {
            let stretch = clocks.stretch(place);
            let shown = Grid::new(width_ns, i128::from(self.origin_ns) - i128::from(stretch.offset_ns));
            // Where clocks are set, a bucket may begin.
            match stretch.start_ns > from_ns {
                true => shown.and(Grid::new(width_ns, i128::from(stretch.start_ns))),
                false => shown,
            }
        });
        grids.reduce(Grid::and).unwrap_or(Grid { width_ns: 1, origin_ns: 0 })
    }

    /// About how long a bucket is, at least; when clocks are set it may be shorter.
    pub(crate) fn shortest_ns(&self) -> i64 {
        self.width.shortest_ns()
    }

    /// The start of the bucket that holds an instant; `None` when it is before the first timestamp there is.
    pub(crate) fn start_ns(&self, time_ns: i64) -> Option<i64> {
        match &self.clocks {
            None => self.width.boundary_ns(time_ns, self.origin_ns),
            Some(clocks) => self.start_by(clocks, time_ns),
        }
    }

    /// The start of the bucket after the one that holds an instant; `None` when it is after the last timestamp there is.
    pub(crate) fn end_ns(&self, time_ns: i64) -> Option<i64> {
        match &self.clocks {
            None => self.width.next_ns(self.width.boundary_ns(time_ns, self.origin_ns)?, self.origin_ns),
            Some(clocks) => self.end_by(clocks, time_ns),
        }
    }

    /// Goes back through the stretches of the clocks to the last instant at which a bucket begins.
    fn start_by(&self, clocks: &Clocks, mut time_ns: i64) -> Option<i64> {
        for place in (0..=clocks.place(time_ns)).rev() {
            let stretch = clocks.stretch(place);
            let boundary = self.width.boundary_ns(time_ns.checked_add(stretch.offset_ns)?, self.origin_ns)?;
            let start = boundary.checked_sub(stretch.offset_ns)?;
            if place == 0 {
                return Some(start);
            }
            let shown_before = stretch.start_ns.checked_add(stretch.offset_before_ns)?;
            let set_back = stretch.offset_before_ns - stretch.offset_ns;
            if start >= stretch.start_ns {
                if boundary >= shown_before || !self.width.is_longer_than(set_back) {
                    return Some(start);
                }
            } else if boundary >= shown_before {
                return Some(stretch.start_ns);
            }
            time_ns = stretch.start_ns - 1;
        }
        None
    }

    /// Goes on through the stretches of the clocks to the next instant at which a bucket begins.
    fn end_by(&self, clocks: &Clocks, mut time_ns: i64) -> Option<i64> {
        for place in clocks.place(time_ns).. {
            let stretch = clocks.stretch(place);
            let boundary = self.width.boundary_ns(time_ns.checked_add(stretch.offset_ns)?, self.origin_ns)?;
            let mut next = self.width.next_ns(boundary, self.origin_ns)?;
            let set_back = stretch.offset_before_ns - stretch.offset_ns;
            if place > 0 && self.width.is_longer_than(set_back) {
                let shown_before = stretch.start_ns.checked_add(stretch.offset_before_ns)?;
                while next < shown_before {
                    next = self.width.next_ns(next, self.origin_ns)?;
                }
            }
            let next = next.checked_sub(stretch.offset_ns)?;
            let Some(end_ns) = stretch.end_ns else { return Some(next) };
            if next < end_ns {
                return Some(next);
            }
            if self.start_by(clocks, end_ns)? == end_ns {
                return Some(end_ns);
            }
            time_ns = end_ns;
        }
        None
    }

    /// A reader of many instants that are near one another.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor { bucketing: self, start_ns: 0, length_ns: 0 }
    }
}

/// Remembers the last bucket: times come in order, mostly, and many of them share a bucket.
pub(crate) struct Cursor<'a> {
    bucketing: &'a Bucketing,
    start_ns: i64,
    length_ns: u64,
}

impl Cursor<'_> {
    /// As [`Bucketing::start_ns`].
    pub(crate) fn start_ns(&mut self, time_ns: i64) -> Option<i64> {
        if time_ns >= self.start_ns && time_ns.abs_diff(self.start_ns) < self.length_ns {
            return Some(self.start_ns);
        }
        self.start_ns = self.bucketing.start_ns(time_ns)?;
        let end_ns = self.bucketing.end_ns(time_ns);
        self.length_ns = end_ns.map_or(0, |end| end.abs_diff(self.start_ns));
        Some(self.start_ns)
    }
}

/// The boundary `ahead` boundaries after the last one that is not after a time. They are on the origin's day of the month and at
/// its time of day.
fn boundary_of_months(months: i32, ahead: i32, time_ns: i64, origin_ns: i64) -> Option<i64> {
    let origin = utc(origin_ns);
    let first = origin.date().with_day(1)?.and_time(chrono::NaiveTime::MIN);
    let into_month = origin - first;
    let time = utc(time_ns).checked_sub_signed(into_month)?;
    let index = |date: NaiveDate| date.year() * 12 + date.month0() as i32;
    let (at, base) = (index(time.date()), index(first.date()));
    let step = (at - base).div_euclid(months).checked_add(ahead)?;
    let start = step.checked_mul(months).and_then(|ns| ns.checked_add(base))?;
    let date = NaiveDate::from_ymd_opt(start.div_euclid(12), start.rem_euclid(12) as u32 + 1, 1)?;
    ns(date.and_time(chrono::NaiveTime::MIN).checked_add_signed(into_month)?)
}

/// What the clocks of a zone show at an instant, as if it were UTC. `None` when that cannot be named.
pub(crate) fn to_wall_ns(instant_ns: i64, zone: &Tz) -> Option<i64> {
    let offset = zone.offset_from_utc_datetime(&utc(instant_ns)).fix();
    instant_ns.checked_add(i64::from(offset.local_minus_utc()).checked_mul(1_000_000_000)?)
}

/// The instant at which the clocks of a zone show something. As in PostgreSQL, a time that comes twice is the later one (standard time),
/// and one that is skipped is read with the offset from before the jump.
pub(crate) fn from_wall_ns(wall_ns: i64, zone: &Tz) -> Option<i64> {
    let wall = utc(wall_ns);
    let offset = match zone.offset_from_local_datetime(&wall) {
        LocalResult::Single(offset) => offset.fix(),
        LocalResult::Ambiguous(_, later) => later.fix(),
        LocalResult::None => {
            let before = wall.checked_sub_signed(TimeDelta::days(1))?;
            zone.offset_from_local_datetime(&before).earliest()?.fix()
        }
    };
    wall_ns.checked_sub(i64::from(offset.local_minus_utc()).checked_mul(1_000_000_000)?)
}

fn utc(ns: i64) -> NaiveDateTime {
    DateTime::<Utc>::from_timestamp_nanos(ns).naive_utc()
}

fn ns(time: NaiveDateTime) -> Option<i64> {
    time.and_utc().timestamp_nanos_opt()
}

#[cfg(test)]
mod tests {
    use super::super::clocks::tests::every_zone;
    use super::*;

    fn at(text: &str) -> i64 {
        ns(NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap()).unwrap()
    }

    fn show(ns: Option<i64>) -> String {
        ns.map_or("none".to_owned(), |ns| utc(ns).to_string())
    }

    #[test]
    fn fixed_widths_floor_on_both_sides_of_the_origin() {
        let day = Width::Fixed(NS_PER_DAY);
        assert_eq!(show(day.boundary_ns(at("2024-02-29 23:59:59"), ORIGIN_NS)), "2024-02-29 00:00:00");
        assert_eq!(show(day.boundary_ns(at("1969-12-31 23:59:59"), ORIGIN_NS)), "1969-12-31 00:00:00");
        assert_eq!(show(day.boundary_ns(at("1969-12-31 00:00:00"), ORIGIN_NS)), "1969-12-31 00:00:00");
        let week = Width::Fixed(7 * NS_PER_DAY);
        assert_eq!(show(week.boundary_ns(at("2024-02-29 12:00:00"), ORIGIN_NS)), "2024-02-26 00:00:00");
        assert_eq!(Width::Fixed(10).boundary_ns(-1, 3), Some(-7));
        assert_eq!(Width::Fixed(10).boundary_ns(3, 3), Some(3));
    }

    #[test]
    fn the_ends_of_time_do_not_wrap() {
        assert_eq!(Width::Fixed(7).boundary_ns(i64::MAX, 0), Some(i64::MAX - i64::MAX.rem_euclid(7)));
        assert_eq!(Width::Fixed(7).boundary_ns(i64::MIN, 0), None);
        assert_eq!(Width::Fixed(1).boundary_ns(i64::MIN, 0), Some(i64::MIN));
        assert_eq!(Width::Fixed(i64::MAX).boundary_ns(i64::MAX, ORIGIN_NS), Some(ORIGIN_NS));
        assert_eq!(Width::Months(1).boundary_ns(i64::MIN, ORIGIN_MONTHS_NS), None);
        assert!(Width::Months(i32::MAX).boundary_ns(i64::MAX, ORIGIN_MONTHS_NS).is_some());
    }

    #[test]
    fn months_follow_the_calendar() {
        let start = |months, text| show(Width::Months(months).boundary_ns(at(text), ORIGIN_MONTHS_NS));
        assert_eq!(start(1, "2024-02-29 23:00:00"), "2024-02-01 00:00:00");
        assert_eq!(start(3, "2024-05-31 00:00:00"), "2024-04-01 00:00:00");
        assert_eq!(start(12, "1969-12-31 23:59:59"), "1969-01-01 00:00:00");
        let tenth = at("2000-01-10 06:00:00");
        assert_eq!(show(Width::Months(1).boundary_ns(at("2024-03-10 05:59:59"), tenth)), "2024-02-10 06:00:00");
        assert_eq!(show(Width::Months(1).boundary_ns(at("2024-03-10 06:00:00"), tenth)), "2024-03-10 06:00:00");
    }

    #[test]
    fn walls_follow_daylight_saving() {
        let zone: Tz = "Europe/Berlin".parse().unwrap();
        assert_eq!(show(to_wall_ns(at("2024-07-01 12:00:00"), &zone)), "2024-07-01 14:00:00");
        assert_eq!(show(from_wall_ns(at("2024-07-01 14:00:00"), &zone)), "2024-07-01 12:00:00");
        assert_eq!(show(from_wall_ns(at("2024-10-27 02:30:00"), &zone)), "2024-10-27 01:30:00");
        assert_eq!(show(from_wall_ns(at("2024-03-31 02:30:00"), &zone)), "2024-03-31 01:30:00");
    }

    #[test]
    fn widths_that_make_no_buckets_are_refused() {
        let refused =
            |months, days, ns| Width::new(IntervalMonthDayNano::new(months, days, ns)).unwrap_err().to_string();
        assert_eq!(refused(0, 0, 0), "bucket width must be greater than zero");
        assert_eq!(refused(0, -1, 0), "bucket width must be greater than zero");
        assert_eq!(refused(1, 1, 0), "bucket width in months cannot have a day or time part");
        assert_eq!(refused(0, i32::MAX, 0), "bucket width out of range");
    }
    const MINUTE: i64 = 60_000_000_000;

    /// Widths of buckets that people ask for, and some that fit nothing.
    fn widths() -> Vec<Width> {
        let minutes = [1, 15, 60, 360, 1_440, 10_080, 50];
        minutes.into_iter().map(|n| Width::Fixed(n * MINUTE)).chain([1, 3, 12].map(Width::Months)).collect()
    }

    #[track_caller]
    fn check_partition(bucketing: &Bucketing, time_ns: i64) {
        let context = || format!("{} in {:?}", utc(time_ns), bucketing.width);
        let start = bucketing.start_ns(time_ns).unwrap();
        let end = bucketing.end_ns(time_ns).unwrap();
        assert!(start <= time_ns && time_ns < end, "{}: [{}, {})", context(), utc(start), utc(end));
        // Both ends are ends of one bucket only.
        assert_eq!(bucketing.start_ns(start), Some(start), "{}", context());
        assert_eq!(bucketing.end_ns(start), Some(end), "{}", context());
        assert_eq!(bucketing.start_ns(end - 1), Some(start), "{}", context());
        assert_eq!(bucketing.start_ns(end), Some(end), "{}", context());
        assert_eq!(bucketing.end_ns(start - 1), Some(start), "{}", context());
    }

    /// Every bucket near every time that clocks were or will be set, in every zone: they hold their times and neither overlap
    /// nor leave gaps.
    #[test]
    fn buckets_partition_time_in_every_zone() {
        for (_, clocks) in every_zone() {
            for width in widths() {
                let origin_ns = width.default_origin_ns();
                let bucketing = Bucketing::in_zone(width, origin_ns, clocks.clone()).unwrap();
                let from = clocks.place(0);
                let until = clocks.place(at("2041-01-01 00:00:00"));
                for set_ns in (from..until).filter_map(|place| clocks.stretch(place).end_ns) {
                    for near in [-90 * MINUTE, -1, 0, 29 * MINUTE] {
                        check_partition(&bucketing, set_ns + near);
                    }
                }
            }
        }
    }

    /// Away from the times that clocks are set, a bucket begins when the clocks show its boundary, as in TimescaleDB.
    #[test]
    fn buckets_begin_when_the_clocks_show_it() {
        for name in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"] {
            let zone: Tz = name.parse().unwrap();
            for width in widths() {
                let origin_ns = width.default_origin_ns();
                let bucketing = Bucketing::in_zone(width, origin_ns, Clocks::of(name).unwrap()).unwrap();
                for day in (0..25_000).step_by(17) {
                    let time = day * NS_PER_DAY + day * MINUTE;
                    let boundary = width.boundary_ns(to_wall_ns(time, &zone).unwrap(), origin_ns).unwrap();
                    let shown = matches!(zone.offset_from_local_datetime(&utc(boundary)), LocalResult::Single(_));
                    let start = bucketing.start_ns(time).unwrap();
                    assert!(!shown || Some(start) == from_wall_ns(boundary, &zone), "{name} {} {width:?}", utc(time));
                }
            }
        }
    }

    fn starts(name: &str, width: Width, times: &[&str]) -> String {
        let bucketing = Bucketing::in_zone(width, width.default_origin_ns(), Clocks::of(name).unwrap()).unwrap();
        times.iter().map(|time| show(bucketing.start_ns(at(time)))).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn clocks_set_back_repeat_short_buckets_and_lengthen_long_ones() {
        let times = ["2024-10-27 00:20:00", "2024-10-27 01:20:00"];
        let berlin = |minutes| starts("Europe/Berlin", Width::Fixed(minutes * MINUTE), &times);
        assert_eq!(berlin(15), "2024-10-27 00:15:00, 2024-10-27 01:15:00");
        assert_eq!(berlin(60), "2024-10-27 00:00:00, 2024-10-27 01:00:00");
        assert_eq!(berlin(120), "2024-10-27 00:00:00, 2024-10-27 00:00:00");
        assert_eq!(berlin(1_440), "2024-10-26 22:00:00, 2024-10-26 22:00:00");
        // Midnight comes twice in the Azores; the day begins with the first.
        let day = Width::Fixed(NS_PER_DAY);
        let azores = starts("Atlantic/Azores", day, &["2024-10-27 00:30:00", "2024-10-27 01:30:00"]);
        assert_eq!(azores, "2024-10-27 00:00:00, 2024-10-27 00:00:00");
    }

    #[test]
    fn clocks_set_forward_skip_buckets() {
        let hour = Width::Fixed(60 * MINUTE);
        let berlin = starts("Europe/Berlin", hour, &["2024-03-31 00:59:00", "2024-03-31 01:00:00"]);
        assert_eq!(berlin, "2024-03-31 00:00:00, 2024-03-31 01:00:00");
        // No midnight in São Paulo that day, no 30 December in Samoa that year.
        let day = Width::Fixed(NS_PER_DAY);
        assert_eq!(starts("America/Sao_Paulo", day, &["2018-11-04 12:00:00"]), "2018-11-04 03:00:00");
        let apia = starts("Pacific/Apia", day, &["2011-12-30 09:59:59", "2011-12-30 10:00:00"]);
        assert_eq!(apia, "2011-12-29 10:00:00, 2011-12-30 10:00:00");
    }

    #[test]
    fn a_cursor_gives_what_the_plain_way_gives() {
        let bucketing = Bucketing::in_zone(Width::Fixed(NS_PER_DAY), ORIGIN_NS, Clocks::of("Europe/Berlin").unwrap());
        for bucketing in [bucketing.unwrap(), Bucketing::new(Width::Months(1), ORIGIN_MONTHS_NS)] {
            let mut cursor = bucketing.cursor();
            let times = (0..2_000).map(|n| n * 7 * 60 * MINUTE).chain([i64::MAX, 0, -1, 1, i64::MIN]);
            for time in times {
                assert_eq!(cursor.start_ns(time), bucketing.start_ns(time), "{time}");
            }
        }
    }

    #[test]
    fn zones_that_never_set_their_clocks_have_fixed_buckets() {
        let hour = Width::Fixed(60 * MINUTE);
        let fixed = |name| Bucketing::in_zone(hour, 0, Clocks::of(name).unwrap()).unwrap().fixed();
        assert_eq!(fixed("+05:30"), Some((60 * MINUTE, -330 * MINUTE)));
        assert_eq!(fixed("Europe/Berlin"), None);
        assert_eq!(Bucketing::new(Width::Months(1), 0).fixed(), None);
    }
}
