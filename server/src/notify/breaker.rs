//! The circuit breaker of a sink: while a receiver is down, one event asks for it now and then instead of all of them.
//! Pure: no clock.

/// Failures in a row that open the circuit.
const FAILURES: u32 = 5;
/// The first pause, and the longest, in nanoseconds; each failed probe doubles it.
const PAUSE_NS: i64 = 30 * 1_000_000_000;
const PAUSE_MAX_NS: i64 = 600 * 1_000_000_000;
/// A probe whose end nobody recorded, as after a cancelled attempt, does not keep the circuit closed for ever.
const PROBE_NS: i64 = 600 * 1_000_000_000;

/// The state of one sink. It lives in memory: after a restart the receiver is asked afresh.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breaker {
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// Events go through; so many failed in a row.
    Closed { failures: u32 },
    /// None goes through until then.
    Open { until_ns: i64, pause_ns: i64 },
    /// One is on its way; the others wait for what becomes of it, at most until then.
    Probing { until_ns: i64, pause_ns: i64 },
}

impl Default for State {
    fn default() -> State {
        State::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether an attempt may be made at `now_ns`. After the pause the first who asks makes the probe, and owes a
    /// [`record`](Breaker::record).
    ///
    /// # Errors
    /// With the time before which it is no use to ask again, in nanoseconds UTC.
    pub(crate) fn allows(&mut self, now_ns: i64) -> Result<(), i64> {
        match self.state {
            State::Closed { .. } => Ok(()),
            State::Open { until_ns, .. } | State::Probing { until_ns, .. } if now_ns < until_ns => Err(until_ns),
            State::Open { pause_ns, .. } | State::Probing { pause_ns, .. } => {
                self.state = State::Probing { until_ns: now_ns.saturating_add(PROBE_NS), pause_ns };
                Ok(())
            }
        }
    }

    /// Whether events wait for a probe to succeed.
    pub(crate) fn is_paused(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// What became of an attempt that ended at `now_ns`. A success is whatever
    /// [settles](super::Outcome::is_settled) the event: a receiver that refuses one is at work.
    pub(crate) fn record(&mut self, success: bool, now_ns: i64) {
        self.state = match self.state {
            _ if success => State::default(),
            State::Closed { failures } if failures.saturating_add(1) < FAILURES => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } => open(now_ns, PAUSE_NS),
            State::Probing { pause_ns, .. } => open(now_ns, pause_ns.saturating_mul(2).min(PAUSE_MAX_NS)),
            // An attempt that began before the circuit opened says nothing new.
            State::Open { until_ns, pause_ns } => State::Open { until_ns, pause_ns },
        };
    }

    /// Whether events have to wait.
    #[cfg(test)]
    fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }
}

fn open(now_ns: i64, pause_ns: i64) -> State {
    State::Open { until_ns: now_ns.saturating_add(pause_ns), pause_ns }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn failed(times: u32, now_ns: i64) -> Breaker {
        let mut breaker = Breaker::default();
        (0..times).for_each(|_| breaker.record(false, now_ns));
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it() {
        assert_eq!(failed(4, 0).allows(0), Ok(()));
        let mut breaker = failed(4, 0);
        breaker.record(true, 0);
        breaker.record(false, 0);
        assert_eq!(breaker.allows(0), Ok(()), "a success in between counts anew");
        let mut breaker = failed(5, 0);
        assert!(breaker.is_open());
        assert_eq!(breaker.allows(29 * SECOND), Err(30 * SECOND));
    }

    #[test]
    fn one_probe_goes_out_after_the_pause() {
        let mut breaker = failed(5, 0);
        assert_eq!(breaker.allows(30 * SECOND), Ok(()));
        assert_eq!(breaker.allows(31 * SECOND), Err(630 * SECOND), "the others wait for the probe");
        breaker.record(true, 32 * SECOND);
        assert_eq!(breaker.allows(32 * SECOND), Ok(()));
        assert!(!breaker.is_open());
    }

    #[test]
    fn the_pause_grows_to_ten_minutes() {
        let mut breaker = failed(5, 0);
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let until = breaker.allows(now).expect_err("open");
            pauses.push((until - now) / SECOND);
            now = until;
            assert_eq!(breaker.allows(now), Ok(()));
            breaker.record(false, now);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 600, 600]);
    }

    #[test]
    fn stragglers_do_not_prolong_the_pause() {
        let mut breaker = failed(5, 0);
        breaker.record(false, 10 * SECOND);
        assert_eq!(breaker.allows(20 * SECOND), Err(30 * SECOND));
    }

    #[test]
    fn a_lost_probe_is_replaced() {
        let mut breaker = failed(5, 0);
        assert_eq!(breaker.allows(30 * SECOND), Ok(()));
        assert_eq!(breaker.allows(630 * SECOND), Ok(()));
    }

    proptest! {
        #[test]
        fn whoever_has_to_wait_is_let_through_at_the_time_it_was_told(
            steps in prop::collection::vec((any::<bool>(), 0..1000 * SECOND), 0..40),
        ) {
            let mut breaker = Breaker::default();
            let mut now = 0;
            for (success, later) in steps {
                now += later;
                match breaker.allows(now) {
                    Ok(()) => breaker.record(success, now),
                    Err(at) => {
                        prop_assert!(at > now && at - now <= PROBE_NS);
                        prop_assert_eq!(breaker.clone().allows(at), Ok(()));
                    }
                }
            }
        }
    }
}
