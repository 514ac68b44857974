//! What an answer means for an event, and when the next attempt is due. Pure: no clock, no network.

use std::time::{Duration, UNIX_EPOCH};

/// The full wait after the first, the second, ... failed attempt; from then on it stays at the last.
const WAITS: [Duration; 7] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(60 * 60),
];

/// The smallest part of a wait: a chance of nought would try again at the same instant.
const LEAST_PART: f64 = 0.05;

/// Longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// What the status of an HTTP answer means for the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The receiver has it.
    Done,
    /// It may take it later.
    Later,
    /// It will never take this one.
    Dead,
    /// It takes nothing any more.
    Gone,
}

/// Judges an HTTP status. A redirection is not followed and so means a wrong URL.
pub(super) fn judge(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Done,
        408 | 425 | 429 | 500..=599 => Verdict::Later,
        410 => Verdict::Gone,
        _ => Verdict::Dead,
    }
}

/// How long the header `Retry-After` asks to wait: seconds or an HTTP date, at most an hour. A date that has passed asks
/// for no wait; what cannot be read is none.
pub(super) fn retry_after(header: &str, now_ns: i64) -> Option<Duration> {
    let header = header.trim();
    let asked = if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a very long time.
        Duration::from_secs(header.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(header).ok()?;
        let now = UNIX_EPOCH.checked_add(Duration::from_nanos(u64::try_from(now_ns).ok()?))?;
        date.duration_since(now).unwrap_or_default()
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

/// The time after which no attempt follows a failed one.
pub(super) fn deadline_ns(created_ns: i64, max_age: Duration) -> i64 {
    created_ns.saturating_add(nanos(max_age))
}

/// When to try again, after `failures` attempts (at least 1) of which the last was at `now_ns`; `None` when it was the
/// last one. `random`, from 0 to 1, spreads the attempts over the whole wait. Not earlier than the receiver `asked` for,
/// except that the last attempt is made at the deadline.
pub(super) fn next_attempt_ns(
    failures: u32,
    asked: Option<Duration>,
    now_ns: i64,
    deadline_ns: i64,
    random: f64,
) -> Option<i64> {
    if now_ns >= deadline_ns {
        return None;
    }
    let step = usize::try_from(failures.saturating_sub(1)).map_or(WAITS.len(), |step| step.min(WAITS.len() - 1));
    let full = WAITS.get(step).copied().unwrap_or(RETRY_AFTER_MAX);
    let part = if random.is_finite() { random.clamp(LEAST_PART, 1.0) } else { 1.0 };
    let wait = full.mul_f64(part).max(asked.unwrap_or_default());
    Some(now_ns.saturating_add(nanos(wait)).min(deadline_ns))
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const HOUR: i64 = 3600 * SECOND;

    #[test]
    fn statuses_are_judged_by_what_can_still_happen() {
        for status in [200, 201, 202, 204] {
            assert_eq!(judge(status), Verdict::Done, "{status}");
        }
        for status in [408, 425, 429, 500, 501, 502, 503, 504, 599] {
            assert_eq!(judge(status), Verdict::Later, "{status}");
        }
        for status in [100, 301, 302, 304, 307, 308, 400, 401, 403, 404, 409, 413, 422, 600] {
            assert_eq!(judge(status), Verdict::Dead, "{status}");
        }
        assert_eq!(judge(410), Verdict::Gone);
    }

    #[test]
    fn the_waits_grow_to_an_hour() {
        let wait = |failures| next_attempt_ns(failures, None, 0, 24 * HOUR, 1.0).map(|at| at / SECOND);
        let waits: Vec<Option<i64>> = (1..=9).map(wait).collect();
        assert_eq!(waits, [1, 5, 30, 120, 600, 1800, 3600, 3600, 3600].map(Some));
        assert_eq!(wait(u32::MAX), Some(3600));
        assert_eq!(wait(0), Some(1), "a caller that counts from nought does no harm");
    }

    #[test]
    fn chance_spreads_an_attempt_over_the_whole_wait() {
        let at = |random| next_attempt_ns(4, None, 0, 24 * HOUR, random);
        assert_eq!(at(0.5), Some(60 * SECOND));
        assert_eq!(at(0.0), Some(6 * SECOND));
        assert_eq!(at(7.0), Some(120 * SECOND));
        assert_eq!(at(f64::NAN), Some(120 * SECOND));
    }

    #[test]
    fn what_the_receiver_asks_for_is_kept_to() {
        let at = |failures, asked| {
            next_attempt_ns(failures, Some(Duration::from_secs(asked)), 0, 24 * HOUR, 1.0).map(|at| at / SECOND)
        };
        assert_eq!(at(1, 60), Some(60));
        assert_eq!(at(4, 60), Some(120), "the schedule is the longer one");
    }

    #[test]
    fn the_last_attempt_is_at_the_deadline() {
        let deadline = deadline_ns(5 * SECOND, Duration::from_secs(3600));
        assert_eq!(deadline, 3605 * SECOND);
        let asked = Some(Duration::from_secs(1800));
        assert_eq!(next_attempt_ns(3, asked, 3000 * SECOND, deadline, 1.0), Some(deadline));
        assert_eq!(next_attempt_ns(4, None, deadline, deadline, 1.0), None);
        assert_eq!(deadline_ns(SECOND, Duration::MAX), i64::MAX);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now_ns = 784_111_717 * SECOND; // a minute before the date below
        let seconds = |header| retry_after(header, now_ns).map(|wait| wait.as_secs());
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("0"), Some(0));
        assert_eq!(seconds("86400"), Some(3600));
        assert_eq!(seconds("99999999999999999999999"), Some(3600));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(60));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:49:37 GMT"), Some(60));
        assert_eq!(seconds("Fri, 04 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(seconds("Fri, 31 Dec 2049 23:59:59 GMT"), Some(3600));
        for unreadable in ["", "-1", "1.5", "soon", "١"] {
            assert_eq!(seconds(unreadable), None, "{unreadable:?}");
        }
    }

    proptest! {
        #[test]
        fn an_attempt_is_never_in_the_past_nor_past_the_deadline(
            failures: u32, asked in proptest::option::of(any::<u64>()), now: i64, deadline: i64, random: f64,
        ) {
            match next_attempt_ns(failures, asked.map(Duration::from_nanos), now, deadline, random) {
                Some(at) => prop_assert!(at > now && at <= deadline),
                None => prop_assert!(now >= deadline),
            }
        }

        #[test]
        fn any_header_is_read_or_passed_over(header in ".{0,40}", now: i64) {
            if let Some(wait) = retry_after(&header, now) {
                prop_assert!(wait <= RETRY_AFTER_MAX);
            }
        }
    }
}
