//! What the clocks of a time zone show: the stretches of time over which they keep one distance from UTC.
//!
//! The database of zones answers for one instant at a time. Buckets need to know when the answer changes, so the stretches of a
//! zone are found once, by probing, and remembered.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use chrono::{DateTime, Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;

const NS_PER_SECOND: i64 = 1_000_000_000;
const NS_PER_DAY: i64 = 86_400 * NS_PER_SECOND;

/// How far probes are apart. No zone sets its clocks twice in as little as that; a test looks.
const STEP_NS: i64 = 5 * NS_PER_DAY;

/// 1840 and 2200: no zone sets its clocks before or after.
const PROBED_NS: [i64; 2] = [-47_477 * NS_PER_DAY, 84_006 * NS_PER_DAY];

/// The stretches of one zone, in order, over all of time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Clocks {
    /// When each stretch begins; the first at the beginning of time.
    starts_ns: Vec<i64>,
    /// What to add to UTC in each stretch.
    offsets_ns: Vec<i64>,
}

/// One stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Its first instant.
    pub(crate) start_ns: i64,
    /// The first instant of the next one; none for the last.
    pub(crate) end_ns: Option<i64>,
    /// What the clocks show less UTC.
    pub(crate) offset_ns: i64,
    /// The same in the stretch before; in the first one its own.
    pub(crate) offset_before_ns: i64,
}

impl Clocks {
    /// The clocks of a zone, by its name.
    ///
    /// # Errors
    /// When there is no such zone.
    pub(crate) fn of(name: &str) -> Result<Arc<Clocks>, ()> {
        static KNOWN: LazyLock<RwLock<HashMap<String, Arc<Clocks>>>> = LazyLock::new(RwLock::default);
        if let Some(clocks) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(clocks.clone());
        }
        let zone: Tz = name.parse().map_err(|_| ())?;
        let clocks = Arc::new(Clocks::read(&zone));
        // Offsets such as +05:30 are quick to read and there are many of them.
        if !clocks.is_fixed() {
            let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
            known.insert(name.to_owned(), clocks.clone());
        }
        Ok(clocks)
    }

    fn read(zone: &Tz) -> Clocks {
        let offset = |ns: i64| {
            let utc = DateTime::from_timestamp_nanos(ns).naive_utc();
            i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * NS_PER_SECOND
        };
        let [first, last] = PROBED_NS;
        let mut clocks = Clocks { starts_ns: vec![i64::MIN], offsets_ns: vec![offset(first)] };
        if zone.to_string().starts_with(['+', '-']) {
            return clocks;
        }
        let (mut at, mut now) = (first, offset(first));
        while at < last {
            let next = at + STEP_NS;
            let then = offset(next);
            if then != now {
                clocks.starts_ns.push(first_with(at, next, |ns| offset(ns) != now));
                clocks.offsets_ns.push(then);
            }
            (at, now) = (next, then);
        }
        clocks
    }

    /// True when the clocks are never set.
    pub(crate) fn is_fixed(&self) -> bool {
        self.starts_ns.len() == 1
    }

    /// The place of the stretch that holds an instant.
    pub(crate) fn place(&self, ns: i64) -> usize {
        self.starts_ns.partition_point(|&start| start <= ns) - 1
    }

    /// The stretch at a place.
    pub(crate) fn stretch(&self, place: usize) -> Stretch {
        Stretch {
            start_ns: self.starts_ns[place],
            end_ns: self.starts_ns.get(place + 1).copied(),
            offset_ns: self.offsets_ns[place],
            offset_before_ns: self.offsets_ns[place.saturating_sub(1)],
        }
    }

    /// What the clocks show at an instant, as if it were UTC. `None` when that cannot be named.
    pub(crate) fn shown_ns(&self, ns: i64) -> Option<i64> {
        ns.checked_add(self.offsets_ns[self.place(ns)])
    }
}

/// The first whole second after `low` and up to `high` for which the test holds; it fails for `low` and holds for `high`.
fn first_with(mut low: i64, mut high: i64, test: impl Fn(i64) -> bool) -> i64 {
    while high - low > NS_PER_SECOND {
        let middle = low + (high - low) / NS_PER_SECOND / 2 * NS_PER_SECOND;
        if test(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The clocks of every zone there is, each kind once: many names are of one zone.
    pub(crate) fn every_zone() -> Vec<(&'static str, Arc<Clocks>)> {
        let mut zones: Vec<(&str, Arc<Clocks>)> = Vec::new();
        for zone in chrono_tz::TZ_VARIANTS {
            let clocks = Clocks::of(zone.name()).unwrap();
            if !zones.iter().any(|(_, known)| *known == clocks) {
                zones.push((zone.name(), clocks));
            }
        }
        zones
    }

    #[test]
    fn stretches_say_what_the_database_of_zones_says() {
        for (name, clocks) in every_zone() {
            let zone: Tz = name.parse().unwrap();
            let check = |ns: i64| {
                let utc = DateTime::from_timestamp_nanos(ns).naive_utc();
                let offset = i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc());
                assert_eq!(clocks.shown_ns(ns), Some(ns + offset * NS_PER_SECOND), "{name} at {utc}");
            };
            for &start in &clocks.starts_ns[1..] {
                check(start - 1);
                check(start);
            }
            // Days without a change, at an hour that moves through the day.
            for day in (0..70 * 365).step_by(2) {
                check(day * NS_PER_DAY + day % 24 * 3_600 * NS_PER_SECOND);
            }
        }
    }

    #[test]
    fn offsets_and_utc_are_never_set() {
        assert!(Clocks::of("UTC").unwrap().is_fixed());
        assert_eq!(Clocks::of("+05:30").unwrap().shown_ns(0), Some(19_800 * NS_PER_SECOND));
        assert!(Clocks::of("Mars/Olympus").is_err());
        assert_eq!(Clocks::of("Europe/Berlin").unwrap().shown_ns(i64::MAX), None);
    }
}
