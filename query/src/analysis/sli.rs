//! Service level indicators: how much of what was counted was good, over any stretch of time, exactly.
//!
//! Events are counted, or the time slices that they fall into (OpenSLO's `Occurrences`, `Timeslices` and `RatioTimeslices`). Counts
//! are integers of millionths, so sums do not depend on how the data is cut, and comparisons with an objective are exact.

use super::intervals::Intervals;

/// Millionths: what counts are kept in.
pub(crate) const ONE: i128 = 1_000_000;

/// What shares are kept in: hundred-millionths of the whole.
pub(crate) const WHOLE: u64 = 100_000_000;

/// Largest count of an event; sums of it and products with [`WHOLE`] stay within 128 bits.
const COUNT_MAX: f64 = 1e17;

/// Good ones and all at a moment, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) time_ns: i64,
    pub(crate) good: i128,
    pub(crate) total: i128,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Budgeting {
    /// Events.
    Occurrences,
    /// Slices of time; one is good when at least this share of its events is, in parts of [`WHOLE`].
    Timeslices { slice_ns: i64, target: u64 },
    /// Slices of time, each as good as its events are.
    RatioTimeslices { slice_ns: i64 },
}

/// What a slice of time without events counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing; it lowers the coverage.
    Unknown,
    Bad,
    Good,
}

/// How an objective is judged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rules {
    /// In parts of [`WHOLE`], neither 0 nor all of it.
    pub(crate) objective: u64,
    pub(crate) budgeting: Budgeting,
    pub(crate) missing: Missing,
    /// Fewer events than this, in millionths, tell nothing.
    pub(crate) min_events: i128,
    /// Less of the time with data than this, in parts of [`WHOLE`], tells nothing.
    pub(crate) min_coverage: u64,
    /// The width of the buckets that events come in, where it is known.
    pub(crate) step_ns: Option<i64>,
}

/// What was counted in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Count {
    pub(crate) good: i128,
    pub(crate) total: i128,
    /// The share of the time that counts for which there is data; `None` where the width of buckets is not known.
    pub(crate) coverage: Option<f64>,
}

/// How an objective stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Ok,
    /// The budget is being spent faster than it lasts.
    Burning,
    /// Nothing of the budget is left.
    Exhausted,
    /// There is too little to tell.
    Unknown,
}

/// A number as a count; `None` when it is negative, not finite or too large. Whole numbers are exact, fractions are rounded to
/// the nearest millionth.
pub(crate) fn count_of(number: f64) -> Option<i128> {
    // The whole part apart: the product of a large number with a million is no longer exact.
    let exact = || number.trunc() as i128 * ONE + (number.fract() * ONE as f64).round() as i128;
    (number.is_finite() && (0.0..=COUNT_MAX).contains(&number)).then(exact)
}

/// A count as a number.
pub(crate) fn number_of(count: i128) -> f64 {
    if count % ONE == 0 { (count / ONE) as f64 } else { count as f64 / ONE as f64 }
}

/// What is counted, by time, ready to be summed over any stretch.
#[derive(Debug, Clone)]
pub(crate) struct Tallies {
    /// Where each counted thing begins, ascending, each moment once.
    times: Vec<i64>,
    /// Sums of all before each, one more than times.
    good: Vec<i128>,
    total: Vec<i128>,
    /// The moments for which there is data, each once.
    seen: Vec<i64>,
    /// The width of what is counted, where it is known.
    step_ns: Option<i64>,
    /// From the beginning of what is counted to the point that decides whether it is excluded.
    to_point: i64,
    /// Where data is expected; `None` without any data or where the width is not known.
    expected: Option<Grid>,
}

/// Moments in even steps, outside of some time.
#[derive(Debug, Clone)]
struct Grid {
    /// One of the moments.
    origin: i64,
    step: i64,
    /// For each excluded interval, ascending: how many moments are before its start, before its end, and how many of those are
    /// inside of it and of all before.
    excluded: Vec<(i128, i128, i128)>,
}

impl Grid {
    fn new(origin: i64, step: i64, excluded: &Intervals) -> Grid {
        let mut grid = Grid { origin, step, excluded: Vec::new() };
        let mut inside = 0;
        let intervals = excluded.iter().map(|(start, end)| {
            let (first, last) = (grid.before(start), grid.before(end));
            inside += last - first;
            (first, last, inside)
        });
        grid.excluded = intervals.collect();
        grid
    }

    /// The number of the first moment that is not before an instant.
    fn before(&self, instant: i64) -> i128 {
        let (ahead, step) = (i128::from(instant) - i128::from(self.origin), i128::from(self.step));
        (ahead + step - 1).div_euclid(step)
    }

    /// How many moments of `[start, end)` are not excluded.
    fn count(&self, start: i64, end: i64) -> i128 {
        let (first, last) = (self.before(start), self.before(end).max(self.before(start)));
        last - first - (self.excluded_before(last) - self.excluded_before(first))
    }

    /// How many excluded moments have a smaller number.
    fn excluded_before(&self, number: i128) -> i128 {
        let at = self.excluded.partition_point(|(_, last, _)| *last <= number);
        let whole = at.checked_sub(1).map_or(0, |last| self.excluded[last].2);
        whole + self.excluded.get(at).map_or(0, |(first, ..)| (number - first).max(0))
    }
}

impl Tallies {
    /// Counts events, in any order, outside of the excluded time. Slices without events up to `now_ns` count as the rules say.
    pub(crate) fn new(events: &[Event], rules: &Rules, excluded: Intervals, now_ns: i64) -> Tallies {
        let slice_ns = rules.slice_ns();
        let start = |time_ns: i64| slice_ns.map_or(time_ns, |slice| time_ns.saturating_sub(time_ns.rem_euclid(slice)));
        // A slice is where its middle is, an event where it happened.
        let middle = |start: i64| slice_ns.map_or(start, |slice| start.saturating_add(slice / 2));
        let mut sums: std::collections::BTreeMap<i64, (i128, i128)> = std::collections::BTreeMap::new();
        for event in events.iter().filter(|event| !excluded.contains(middle(start(event.time_ns)))) {
            let (good, total) = sums.entry(start(event.time_ns)).or_default();
            *good += event.good;
            *total += event.total;
        }
        let seen: Vec<i64> = sums.keys().copied().collect();
        let mut counted: Vec<(i64, i128, i128)> = sums
            .into_iter()
            .filter_map(|(time, (good, total))| match rules.budgeting {
                Budgeting::Occurrences => Some((time, good, total)),
                _ if total <= 0 => None,
                Budgeting::Timeslices { target, .. } => {
                    Some((time, if reaches(good, total, target) { ONE } else { 0 }, ONE))
                }
                Budgeting::RatioTimeslices { .. } => Some((time, good.saturating_mul(ONE) / total, ONE)),
            })
            .collect();
        if let (Some(slice), false) = (slice_ns, rules.missing == Missing::Unknown) {
            let good = if rules.missing == Missing::Good { ONE } else { 0 };
            counted = with_missing(&counted, slice, start(now_ns), good, |time| excluded.contains(middle(time)));
        }
        let times = counted.iter().map(|(time, ..)| *time).collect();
        let sums = |of: fn(&(i64, i128, i128)) -> i128| {
            let mut sum = 0;
            let mut all = vec![0];
            all.extend(counted.iter().map(|counted| {
                sum += of(counted);
                sum
            }));
            all
        };
        let (good, total) = (sums(|counted| counted.1), sums(|counted| counted.2));
        let step_ns = slice_ns.or(rules.step_ns);
        // The grid is of the points that decide about exclusion: middles of slices, beginnings of buckets.
        let expected = step_ns.zip(seen.first()).map(|(step, first)| Grid::new(middle(*first), step.max(1), &excluded));
        let to_point = slice_ns.map_or(0, |slice| slice / 2);
        Tallies { times, good, total, seen, step_ns, expected, to_point }
    }

    /// What was counted in `[start, end)`. Time before the first data counts for nothing.
    pub(crate) fn between(&self, start_ns: i64, end_ns: i64) -> Count {
        let at = |of: &[i64], ns: i64| of.partition_point(|time| *time < ns);
        let (first, last) = (at(&self.times, start_ns), at(&self.times, end_ns).max(at(&self.times, start_ns)));
        let coverage = self.expected.as_ref().and_then(|grid| {
            let begin = start_ns.max(*self.seen.first()?);
            let point = |start: i64| start.saturating_add(self.to_point);
            let expected = grid.count(point(begin), point(end_ns));
            let seen = at(&self.seen, end_ns).saturating_sub(at(&self.seen, begin));
            (expected > 0).then(|| (seen as f64 / expected as f64).min(1.0))
        });
        Count { good: self.good[last] - self.good[first], total: self.total[last] - self.total[first], coverage }
    }

    /// Each counted thing: when it begins, its good ones and all.
    pub(crate) fn each(&self) -> impl Iterator<Item = (i64, i128, i128)> {
        let difference = |sums: &[i128], at: usize| sums[at + 1] - sums[at];
        self.times
            .iter()
            .enumerate()
            .map(move |(at, time)| (*time, difference(&self.good, at), difference(&self.total, at)))
    }

    /// The moment at which what begins at `time_ns` is over.
    pub(crate) fn end_of(&self, time_ns: i64) -> i64 {
        time_ns.saturating_add(self.step_ns.unwrap_or(1))
    }

    /// From the first counted thing to the end of the last.
    pub(crate) fn extent(&self) -> Option<(i64, i64)> {
        Some((*self.times.first()?, self.end_of(*self.times.last()?)))
    }
}

/// Most slices that can be counted where those without events count.
const SLICES_MAX: i64 = 10_000_000;

impl Rules {
    /// The length of the slices that are counted; `None` where events are.
    pub(crate) fn slice_ns(&self) -> Option<i64> {
        match self.budgeting {
            Budgeting::Occurrences => None,
            Budgeting::Timeslices { slice_ns, .. } | Budgeting::RatioTimeslices { slice_ns } => Some(slice_ns.max(1)),
        }
    }

    /// True when there are more slices from the first event to now than can be counted one by one, and they have to be.
    pub(crate) fn has_too_many_slices(&self, first_ns: i64, now_ns: i64) -> bool {
        match self.budgeting {
            Budgeting::Timeslices { slice_ns, .. } | Budgeting::RatioTimeslices { slice_ns } => {
                self.missing != Missing::Unknown && now_ns.saturating_sub(first_ns) / slice_ns.max(1) > SLICES_MAX
            }
            Budgeting::Occurrences => false,
        }
    }
}

/// What is counted, and the slices between that have no events, up to that of now, which is not over.
fn with_missing(
    counted: &[(i64, i128, i128)],
    slice: i64,
    now: i64,
    good: i128,
    is_excluded: impl Fn(i64) -> bool,
) -> Vec<(i64, i128, i128)> {
    let Some((first, ..)) = counted.first() else { return Vec::new() };
    let end = counted.last().map_or(now, |(last, ..)| now.max(last.saturating_add(1)));
    if end.saturating_sub(*first) / slice > SLICES_MAX {
        return counted.to_vec();
    }
    let mut all = Vec::with_capacity(counted.len());
    let mut next = *first;
    let mut known = counted.iter().peekable();
    while next < end {
        match known.next_if(|(time, ..)| *time == next) {
            Some(known) => all.push(*known),
            None if is_excluded(next) => {}
            None => all.push((next, good, ONE)),
        }
        next = next.saturating_add(slice);
    }
    all
}

/// True when at least a share, in parts of [`WHOLE`], is good.
pub(crate) fn reaches(good: i128, total: i128, share: u64) -> bool {
    good.saturating_mul(i128::from(WHOLE)) >= total.saturating_mul(i128::from(share))
}

impl Count {
    /// The share of good ones; `None` without any.
    pub(crate) fn share(&self) -> Option<f64> {
        (self.total > 0).then(|| self.good as f64 / self.total as f64)
    }
}

impl Rules {
    /// The indicator; `None` when there are too few events to tell.
    pub(crate) fn sli(&self, count: &Count) -> Option<f64> {
        count.share().filter(|_| count.total >= self.min_events)
    }

    fn allowed_parts(&self) -> i128 {
        i128::from(WHOLE - self.objective)
    }

    /// How many may be bad.
    pub(crate) fn allowed(&self, count: &Count) -> f64 {
        count.total.saturating_mul(self.allowed_parts()) as f64 / WHOLE as f64 / ONE as f64
    }

    /// What is left of the budget, as a share of it; below 0 when more is spent. `None` without events.
    pub(crate) fn remaining(&self, count: &Count) -> Option<f64> {
        let allowed = count.total.saturating_mul(self.allowed_parts());
        let spent = (count.total - count.good).saturating_mul(i128::from(WHOLE));
        (allowed > 0).then(|| (allowed - spent) as f64 / allowed as f64)
    }

    /// How many times as fast as it lasts the budget is spent; `None` when there are too few events to tell.
    pub(crate) fn burn_rate(&self, count: &Count) -> Option<f64> {
        let bad = (count.total - count.good).saturating_mul(i128::from(WHOLE));
        let allowed = count.total.saturating_mul(self.allowed_parts());
        (allowed > 0 && count.total >= self.min_events).then(|| bad as f64 / allowed as f64)
    }

    /// True when there is too little to tell.
    pub(crate) fn is_unknown(&self, count: &Count) -> bool {
        let least = self.min_coverage as f64 / WHOLE as f64;
        self.sli(count).is_none() || count.coverage.is_some_and(|coverage| coverage < least)
    }

    /// How the objective stands over its window, with what was counted of late.
    pub(crate) fn standing(&self, window: &Count, recent: &Count) -> Standing {
        match () {
            () if self.is_unknown(window) => Standing::Unknown,
            () if self.remaining(window).is_some_and(|left| left <= 0.0) => Standing::Exhausted,
            () if self.burn_rate(recent).is_some_and(|rate| rate > 1.0) => Standing::Burning,
            () => Standing::Ok,
        }
    }

    /// When the budget is spent, if it goes on as in the stretch of time that `recent` was counted in and that ended at `at_ns`.
    /// `None` when nothing is being spent or nothing is left.
    pub(crate) fn exhausted_at(&self, window: &Count, recent: &Count, recent_ns: i64, at_ns: i64) -> Option<i64> {
        let left = self.allowed(window) - number_of(window.total - window.good);
        let per_ns = number_of(recent.total - recent.good) / recent_ns as f64;
        let after = left / per_ns;
        (left > 0.0 && per_ns > 0.0 && after < (i64::MAX - at_ns.max(0)) as f64)
            .then(|| at_ns.saturating_add(after as i64))
    }
}

impl Standing {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Standing::Ok => "ok",
            Standing::Burning => "burning",
            Standing::Exhausted => "exhausted",
            Standing::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(budgeting: Budgeting, missing: Missing) -> Rules {
        Rules { objective: 99_900_000, budgeting, missing, min_events: 0, min_coverage: 0, step_ns: Some(10) }
    }

    fn event(time_ns: i64, good: i128, total: i128) -> Event {
        Event { time_ns, good: good * ONE, total: total * ONE }
    }

    #[test]
    fn budgets_are_exact() {
        let rules = rules(Budgeting::Occurrences, Missing::Unknown);
        let count = |good, total| Count { good: good * ONE, total: total * ONE, coverage: None };
        // 99.9% of 240,000 allows 240 to be bad.
        let month = count(239_800, 240_000);
        assert_eq!(rules.allowed(&month), 240.0);
        assert_eq!(rules.remaining(&month), Some(40.0 / 240.0));
        assert!(reaches(999, 1000, rules.objective));
        assert!(!reaches(998_999, 1_000_000, rules.objective));
        assert_eq!(rules.burn_rate(&count(800, 1000)), Some(200.0));
        assert_eq!(rules.sli(&count(0, 0)), None);
        assert_eq!(rules.burn_rate(&count(0, 0)), None);
        assert_eq!(rules.standing(&count(999, 1000), &count(10, 10)), Standing::Exhausted);
        assert_eq!(rules.standing(&count(9_999, 10_000), &count(9, 10)), Standing::Burning);
        assert_eq!(rules.standing(&count(9_999, 10_000), &count(10, 10)), Standing::Ok);
        assert_eq!(rules.standing(&count(0, 0), &count(10, 10)), Standing::Unknown);
        // 40 are left, and 20 were spent in the last hundred.
        assert_eq!(rules.exhausted_at(&month, &count(80, 100), 100, 1_000), Some(1_200));
        let few = Rules { min_events: 10 * ONE, ..rules };
        assert_eq!((few.sli(&count(5, 9)), few.burn_rate(&count(5, 9))), (None, None));
    }

    #[test]
    fn slices_count_as_the_rules_say() {
        let events = [event(1, 9, 10), event(5, 10, 10), event(12, 5, 10), event(41, 10, 10)];
        let slices = |missing| {
            let budgeting = Budgeting::Timeslices { slice_ns: 10, target: 95_000_000 };
            let tallies = Tallies::new(&events, &rules(budgeting, missing), Intervals::new([(20, 30)]), 60);
            tallies.each().map(|(time, good, total)| (time, good / ONE, total / ONE)).collect::<Vec<_>>()
        };
        assert_eq!(slices(Missing::Unknown), [(0, 1, 1), (10, 0, 1), (40, 1, 1)]);
        assert_eq!(slices(Missing::Bad), [(0, 1, 1), (10, 0, 1), (30, 0, 1), (40, 1, 1), (50, 0, 1)]);
        assert_eq!(slices(Missing::Good), [(0, 1, 1), (10, 0, 1), (30, 1, 1), (40, 1, 1), (50, 1, 1)]);
        let ratio = rules(Budgeting::RatioTimeslices { slice_ns: 10 }, Missing::Unknown);
        let tallies = Tallies::new(&events, &ratio, Intervals::default(), 60);
        assert_eq!(tallies.between(0, 60).good, 950_000 + 500_000 + 1_000_000);
    }

    #[test]
    fn coverage_is_the_share_of_time_with_data() {
        let events = [event(100, 1, 1), event(110, 1, 1), event(140, 1, 1)];
        let tallies =
            Tallies::new(&events, &rules(Budgeting::Occurrences, Missing::Unknown), Intervals::default(), 200);
        assert_eq!(tallies.between(0, 150).coverage, Some(0.6));
        assert_eq!(tallies.between(100, 120).coverage, Some(1.0));
        let without =
            Tallies::new(&events, &rules(Budgeting::Occurrences, Missing::Unknown), Intervals::new([(120, 140)]), 200);
        assert_eq!(without.between(0, 150).coverage, Some(1.0));
    }

    #[test]
    fn whole_numbers_are_counted_exactly() {
        for whole in [0, 1, 600_000_000_001, 1_000_000_000_001, 9_007_199_254_740_991, 99_999_999_999_999_984] {
            assert_eq!(count_of(whole as f64), Some(whole * ONE));
        }
        assert_eq!(count_of(123.456_789), Some(123_456_789));
        assert_eq!((count_of(0.1), count_of(0.999_999_9)), (Some(100_000), Some(ONE)));
        assert_eq!([-1.0, f64::NAN, f64::INFINITY, 1e18].map(count_of), [None; 4]);
    }

    #[test]
    fn coverage_of_complete_data_is_whole_whatever_is_excluded() {
        let events: Vec<Event> = (0..24).map(|hour| event(hour * 60, 1, 1)).collect();
        for budgeting in [Budgeting::Occurrences, Budgeting::RatioTimeslices { slice_ns: 60 }] {
            for excluded in [(0, 30), (130, 160), (160, 200), (61, 119), (100, 700)] {
                let rules = Rules { step_ns: Some(60), ..rules(budgeting, Missing::Unknown) };
                let whole = Tallies::new(&events, &rules, Intervals::new([excluded]), 1_440);
                assert_eq!(whole.between(0, 1_440).coverage, Some(1.0), "{budgeting:?} without {excluded:?}");
                let half = Tallies::new(&events[..12], &rules, Intervals::new([(61, 62)]), 1_440);
                assert_eq!(half.between(0, 1_440).coverage, Some(0.5));
            }
        }
    }

    #[test]
    fn rows_at_the_ends_of_time_do_no_harm() {
        let budgeting = Budgeting::Timeslices { slice_ns: 60_000_000_000, target: 1 };
        for missing in [Missing::Unknown, Missing::Bad] {
            let events = [i64::MIN, i64::MIN + 5, 0, i64::MAX].map(|time_ns| event(time_ns, 1, 1));
            let tallies = Tallies::new(&events, &rules(budgeting, missing), Intervals::default(), i64::MAX);
            assert!(tallies.between(i64::MIN, i64::MAX).total > 0);
        }
    }

    /// The same from the events alone, each question anew.
    fn naive(events: &[Event], rules: &Rules, excluded: &Intervals, now: i64, start: i64, end: i64) -> (i128, i128) {
        let (slice, ratio, target) = match rules.budgeting {
            Budgeting::Occurrences => {
                let counts =
                    events.iter().filter(|e| (start..end).contains(&e.time_ns) && !excluded.contains(e.time_ns));
                return counts.fold((0, 0), |(good, total), e| (good + e.good, total + e.total));
            }
            Budgeting::Timeslices { slice_ns, target } => (slice_ns, false, target),
            Budgeting::RatioTimeslices { slice_ns } => (slice_ns, true, 0),
        };
        let counts = |time: i64| !excluded.contains(time + slice / 2);
        let in_slice = |time: i64| -> Vec<&Event> {
            events.iter().filter(|e| e.time_ns.div_euclid(slice) == time.div_euclid(slice)).collect()
        };
        let has_events = |time: i64| in_slice(time).iter().map(|e| e.total).sum::<i128>() > 0;
        let (mut good, mut total) = (0, 0);
        let with_events = || (0..1_000).map(|n| n * slice).filter(|time| counts(*time) && has_events(*time));
        for time in (0..1_000).map(|n| n * slice).filter(|time| (start..end).contains(time) && counts(*time)) {
            let all: i128 = in_slice(time).iter().map(|e| e.total).sum();
            let fine: i128 = in_slice(time).iter().map(|e| e.good).sum();
            if all > 0 {
                total += ONE;
                good += match ratio {
                    true => fine * ONE / all,
                    false if fine * i128::from(WHOLE) >= all * i128::from(target) => ONE,
                    false => 0,
                };
            } else if rules.missing != Missing::Unknown {
                let is_known = with_events().next().is_some_and(|first| first < time);
                let is_over = time < now - now.rem_euclid(slice) || with_events().any(|later| later > time);
                if is_known && is_over {
                    total += ONE;
                    good += if rules.missing == Missing::Good { ONE } else { 0 };
                }
            }
        }
        (good, total)
    }

    proptest! {
        #[test]
        fn sums_agree_with_the_naive_twin(
            events in prop::collection::vec((0i64..300, 0i128..5, 0i128..5), 0..60),
            budgeting in prop_oneof![
                Just(Budgeting::Occurrences),
                (1i64..30, 50_000_000u64..100_000_000).prop_map(|(slice_ns, target)| Budgeting::Timeslices { slice_ns, target }),
                (1i64..30).prop_map(|slice_ns| Budgeting::RatioTimeslices { slice_ns }),
            ],
            missing in prop_oneof![Just(Missing::Unknown), Just(Missing::Bad), Just(Missing::Good)],
            excluded in prop::collection::vec((0i64..300, 0i64..300), 0..3),
            now in 0i64..320, start in 0i64..320, length in 0i64..320,
        ) {
            let mut events: Vec<Event> = events.into_iter().map(|(time, good, more)| event(time, good, good + more)).collect();
            let (rules, excluded) = (rules(budgeting, missing), Intervals::new(excluded));
            let (end, expected) = (start + length, naive(&events, &rules, &excluded, now, start, start + length));
            let count = Tallies::new(&events, &rules, excluded.clone(), now).between(start, end);
            prop_assert_eq!((count.good, count.total), expected);
            // Of the points at which data is expected, one by one.
            if let Some(step) = Tallies::new(&events, &rules, excluded.clone(), now).step_ns {
                let (slice, half) = match rules.budgeting {
                    Budgeting::Occurrences => (1, 0),
                    _ => (step, step / 2),
                };
                let starts: std::collections::BTreeSet<i64> = events.iter().map(|e| e.time_ns.div_euclid(slice) * slice).collect();
                let seen: Vec<i64> = starts.into_iter().filter(|time| !excluded.contains(time + half)).collect();
                let points = || (0..700).map(|n| seen[0] + n * step).filter(|time| (start..end).contains(time));
                let expected = if seen.is_empty() { 0 } else { points().filter(|time| !excluded.contains(time + half)).count() };
                let found = seen.iter().filter(|time| (start..end).contains(*time)).count();
                let share = (expected > 0).then(|| (found as f64 / expected as f64).min(1.0));
                prop_assert_eq!(count.coverage, share);
            }
            // The order and the cut of the events make no difference.
            events.reverse();
            let halves: Vec<Event> = events
                .iter()
                .flat_map(|e| {
                    let (good, total) = (e.good / 2, e.total / 2);
                    [Event { good, total, ..*e }, Event { good: e.good - good, total: e.total - total, ..*e }]
                })
                .collect();
            let again = Tallies::new(&halves, &rules, excluded, now).between(start, end);
            prop_assert_eq!((again.good, again.total), expected);
        }
    }
}
