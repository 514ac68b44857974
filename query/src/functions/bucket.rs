//! The arithmetic of time buckets: which bucket holds a timestamp. No SQL types here beyond the interval.

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::datatypes::IntervalMonthDayNano;

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

    /// The start of the bucket that holds `time_ns`, for buckets of which one starts at `origin_ns`; `None` when it is
    /// before the first timestamp there is.
    pub(crate) fn start_ns(self, time_ns: i64, origin_ns: i64) -> Option<i64> {
        match self {
            Width::Fixed(width) => {
                let shift = origin_ns.rem_euclid(width);
                let from_shift = time_ns.checked_sub(shift)?;
                from_shift.checked_sub(from_shift.rem_euclid(width))?.checked_add(shift)
            }
            Width::Months(months) => start_of_months(months, time_ns, origin_ns),
        }
    }
}

/// Buckets of months begin on the origin's day of the month and time of day.
fn start_of_months(months: i32, time_ns: i64, origin_ns: i64) -> Option<i64> {
    let origin = utc(origin_ns);
    let first = origin.date().with_day(1)?.and_time(chrono::NaiveTime::MIN);
    let into_month = origin - first;
    let time = utc(time_ns).checked_sub_signed(into_month)?;
    let index = |date: NaiveDate| date.year() * 12 + date.month0() as i32;
    let (at, base) = (index(time.date()), index(first.date()));
    let start = base + (at - base).div_euclid(months) * months;
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
        assert_eq!(show(day.start_ns(at("2024-02-29 23:59:59"), ORIGIN_NS)), "2024-02-29 00:00:00");
        assert_eq!(show(day.start_ns(at("1969-12-31 23:59:59"), ORIGIN_NS)), "1969-12-31 00:00:00");
        assert_eq!(show(day.start_ns(at("1969-12-31 00:00:00"), ORIGIN_NS)), "1969-12-31 00:00:00");
        let week = Width::Fixed(7 * NS_PER_DAY);
        assert_eq!(show(week.start_ns(at("2024-02-29 12:00:00"), ORIGIN_NS)), "2024-02-26 00:00:00");
        assert_eq!(Width::Fixed(10).start_ns(-1, 3), Some(-7));
        assert_eq!(Width::Fixed(10).start_ns(3, 3), Some(3));
    }

    #[test]
    fn the_ends_of_time_do_not_wrap() {
        assert_eq!(Width::Fixed(7).start_ns(i64::MAX, 0), Some(i64::MAX - i64::MAX.rem_euclid(7)));
        assert_eq!(Width::Fixed(7).start_ns(i64::MIN, 0), None);
        assert_eq!(Width::Fixed(1).start_ns(i64::MIN, 0), Some(i64::MIN));
        assert_eq!(Width::Fixed(i64::MAX).start_ns(i64::MAX, ORIGIN_NS), Some(ORIGIN_NS));
        assert_eq!(Width::Months(1).start_ns(i64::MIN, ORIGIN_MONTHS_NS), None);
        assert!(Width::Months(i32::MAX).start_ns(i64::MAX, ORIGIN_MONTHS_NS).is_some());
    }

    #[test]
    fn months_follow_the_calendar() {
        let start = |months, text| show(Width::Months(months).start_ns(at(text), ORIGIN_MONTHS_NS));
        assert_eq!(start(1, "2024-02-29 23:00:00"), "2024-02-01 00:00:00");
        assert_eq!(start(3, "2024-05-31 00:00:00"), "2024-04-01 00:00:00");
        assert_eq!(start(12, "1969-12-31 23:59:59"), "1969-01-01 00:00:00");
        let tenth = at("2000-01-10 06:00:00");
        assert_eq!(show(Width::Months(1).start_ns(at("2024-03-10 05:59:59"), tenth)), "2024-02-10 06:00:00");
        assert_eq!(show(Width::Months(1).start_ns(at("2024-03-10 06:00:00"), tenth)), "2024-03-10 06:00:00");
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
}
