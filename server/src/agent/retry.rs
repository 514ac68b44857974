//! What to do after an answer, and how long to wait before the next try. Pure: no clock, no network.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Longest wait that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What an HTTP answer means for the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is stored.
    Done,
    /// It may be taken later, not before `after`.
    Later { after: Option<Duration>, why: String },
    /// It is too large: two halves may be taken.
    Split,
    /// It will never be taken.
    Refused { why: String },
}

/// Judges an answer. `retry_after` is the header of that name, `body` begins with the server's reason.
pub(super) fn judge(status: u16, retry_after: Option<&str>, body: &str) -> Verdict {
    let why = || format!("{status} {}", body.trim().chars().take(300).collect::<String>());
    match status {
        200..=299 => Verdict::Done,
        413 => Verdict::Split,
        // A redirection means that the URL is wrong: whoever sets it right finds the data still there.
        300..=399 | 429 | 500..=599 => Verdict::Later { after: retry_after.and_then(seconds), why: why() },
        _ => Verdict::Refused { why: why() },
    }
}

/// The header's other form, a date, is not worth a clock: the backoff serves as well.
fn seconds(retry_after: &str) -> Option<Duration> {
    let seconds = retry_after.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// Waits that double from try to try, up to a bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait after so many failures in a row (at least 1). `random`, from 0 to 1, spreads many agents over the second half
    /// of the wait, so that they do not come back all at once. What the server asked for is kept to.
    pub(super) fn delay(&self, failures: u32, asked: Option<Duration>, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        let spread = full.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0));
        match asked {
            Some(asked) => asked.max(spread),
            None => spread,
        }
    }
}

/// A number from 0 to 1 that differs from agent to agent.
pub(super) fn random_unit() -> f64 {
    let random = RandomState::new().hash_one(0_u8);
    random as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_by_what_can_still_happen() {
        assert_eq!(judge(204, None, ""), Verdict::Done);
        assert_eq!(judge(413, None, "too large"), Verdict::Split);
        for status in [307, 429, 500, 503, 507] {
            let after = Some(Duration::from_secs(7));
            assert_eq!(judge(status, Some(" 7 "), "busy\n"), Verdict::Later { after, why: format!("{status} busy") });
        }
        for status in [400, 401, 404, 422] {
            assert_eq!(judge(status, None, "no"), Verdict::Refused { why: format!("{status} no") });
        }
    }

    #[test]
    fn what_the_server_asks_for_is_bounded() {
        let after = |header| match judge(503, Some(header), "") {
            Verdict::Later { after, .. } => after,
            other => panic!("503 is {other:?}"),
        };
        assert_eq!(after("999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(after("-1"), None);
    }

    #[test]
    fn waits_double_up_to_the_bound_and_are_spread() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(10) };
        let waits: Vec<u64> = (1..=6).map(|failures| backoff.delay(failures, None, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff.delay(2, None, 0.0), Duration::from_secs(1));
        assert_eq!(backoff.delay(u32::MAX, None, 1.0), Duration::from_secs(10));
        assert_eq!(backoff.delay(1, Some(Duration::from_secs(60)), 0.5), Duration::from_secs(60));
        assert!((0.0..=1.0).contains(&random_unit()));
    }
}
