//! Which part of the season a time falls into, in words.

use chrono::{DateTime, Datelike, Timelike, Weekday};
use chrono_tz::Tz;

use crate::analysis::anomaly::Season;
use crate::dialect::Baseline;

use super::baseline::seasons;

/// The slots of a baseline at an instant (nanoseconds since the Unix epoch), such as `FRI 10h`; empty without a season.
pub(crate) fn slot(baseline: &Baseline, at_ns: i64) -> String {
    let zone: Tz = baseline.option_text("timezone").and_then(|zone| zone.parse().ok()).unwrap_or(chrono_tz::UTC);
    let at = DateTime::from_timestamp_nanos(at_ns).with_timezone(&zone);
    let day = match at.weekday() {
        Weekday::Mon => "MON",
        Weekday::Tue => "TUE",
        Weekday::Wed => "WED",
        Weekday::Thu => "THU",
        Weekday::Fri => "FRI",
        Weekday::Sat => "SAT",
        Weekday::Sun => "SUN",
    };
    let words = seasons(baseline).into_iter().map(|season| match season {
        Season::HourOfWeek => format!("{day} {:02}h", at.hour()),
        Season::HourOfDay => format!("{:02}h", at.hour()),
        Season::DayOfMonth => format!("day {}", at.day()),
    });
    words.collect::<Vec<_>>().join(", ")
}
