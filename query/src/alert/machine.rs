//! The state machine of one instance of an alert. Pure: what was found of a bucket goes in, a step comes out.
//!
//! ```text
//!            WHEN                 true for FOR            CLEAR WHEN              true for its FOR, and
//!  inactive ─────► pending ─────────────────────► firing ───────────► clearing ─────────────────────────► resolved
//!      ▲              │                             ▲ │                   │        KEEP FIRING is over        │
//!      └── no longer ─┘                             │ └ often: flapping   └── no longer                       │
//!                                                   └──────────────────────────◄──────────────────────────────┘
//! ```
//!
//! Times are event times: the ends of buckets, not when they were looked at. The same buckets give the same steps, however they
//! are cut into runs.

use serde::{Deserialize, Serialize};

/// How far back a change counts as flapping, and how long a flapping instance has to be quiet, in nanoseconds.
const FLAP_WINDOW_NS: i64 = 3_600_000_000_000;

/// After so many buckets without a value an instance has no data.
const MISSING_BUCKETS: i64 = 3;

/// What an alert asks of the values it watches. Lengths of time are in nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    /// The width of a bucket; 0 where rows are moments.
    pub(crate) step_ns: i64,
    /// For how long WHEN has to be true.
    pub(crate) hold_ns: i64,
    /// For how long CLEAR WHEN has to be true.
    pub(crate) clear_hold_ns: i64,
    /// How long after WHEN was last true it fires on.
    pub(crate) keep_firing_ns: i64,
    /// How often an instance may begin to fire within an hour before it flaps.
    pub(crate) flap_max: usize,
    pub(crate) on_missing: Missing,
}

/// What a bucket without an answer stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing: the state stays.
    Unknown,
    /// The answer before.
    Hold,
    /// WHEN is true.
    Bad,
    /// WHEN is false.
    Good,
}

/// Where an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Inactive,
    Pending,
    Firing,
    Clearing,
    Flapping,
    Resolved,
}

/// What was found of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    /// Whether WHEN is true; `None` without data.
    pub(crate) when: Option<bool>,
    /// Whether CLEAR WHEN is true, or WHEN is not where there is none.
    pub(crate) clear: Option<bool>,
}

/// A change of phase, or that data stops or comes again (then both phases are the same).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) from: Phase,
    pub(crate) to: Phase,
    pub(crate) at_ns: i64,
    pub(crate) no_data: bool,
}

/// The state of one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) phase: Phase,
    /// When the phase began.
    pub(crate) since_ns: i64,
    /// When WHEN became true, of the latest time that it did.
    pub(crate) began_ns: i64,
    /// The end of the last bucket for which WHEN was true.
    pub(crate) true_until_ns: i64,
    /// When CLEAR WHEN became true, while it is.
    clear_since_ns: Option<i64>,
    /// The end of the last bucket with data.
    seen_until_ns: i64,
    /// No bucket has had data for a while.
    pub(crate) no_data: bool,
    /// The answers to the last bucket with data.
    last: (bool, bool),
    /// When it began to fire, as far as that counts as flapping.
    fired_ns: Vec<i64>,
}

impl Phase {
    const OPEN: [Phase; 3] = [Phase::Firing, Phase::Clearing, Phase::Flapping];

    /// Its word, as tables show it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Phase::Inactive => "inactive",
            Phase::Pending => "pending",
            Phase::Firing => "firing",
            Phase::Clearing => "clearing",
            Phase::Flapping => "flapping",
            Phase::Resolved => "resolved",
        }
    }

    /// True from the first notification to the last.
    pub(crate) fn is_open(self) -> bool {
        Phase::OPEN.contains(&self)
    }

    /// The same for the word of a phase, as tables show it.
    pub(crate) fn is_open_word(word: &str) -> bool {
        Phase::OPEN.iter().any(|phase| phase.word() == word)
    }
}

impl Instance {
    /// An instance of which nothing is known, from the start of its first bucket.
    pub(crate) fn new(start_ns: i64) -> Instance {
        Instance {
            phase: Phase::Inactive,
            since_ns: start_ns,
            began_ns: start_ns,
            true_until_ns: i64::MIN,
            clear_since_ns: None,
            seen_until_ns: start_ns,
            no_data: false,
            last: (false, true),
            fired_ns: Vec::new(),
        }
    }

    /// True when forgetting it would change nothing.
    pub(crate) fn is_blank(&self) -> bool {
        self.phase == Phase::Inactive && !self.no_data
    }

    /// Takes in a bucket, which begins where the one before ended or later. Gives the steps that follow from it, in order.
    pub(crate) fn observe(&mut self, rule: &Rule, sample: &Sample) -> Vec<Step> {
        let mut steps = Vec::new();
        let answers = match (sample.when, rule.on_missing) {
            (Some(when), _) => {
                if self.no_data {
                    self.no_data = false;
                    steps.push(self.notice(sample.start_ns));
                }
                self.seen_until_ns = sample.end_ns;
                self.last = (when, sample.clear.unwrap_or(!when));
                Some(self.last)
            }
            (None, missing) => {
                let quiet_ns = sample.end_ns.saturating_sub(self.seen_until_ns);
                if !self.no_data && quiet_ns >= rule.step_ns.max(1).saturating_mul(MISSING_BUCKETS) {
                    self.no_data = true;
                    steps.push(self.notice(sample.end_ns));
                }
                match missing {
                    Missing::Unknown => None,
                    Missing::Hold => Some(self.last),
                    Missing::Bad => Some((true, false)),
                    Missing::Good => Some((false, true)),
                }
            }
        };
        if let Some((when, clear)) = answers {
            steps.extend(self.answered(rule, sample, when, clear));
        }
        steps
    }

    fn answered(&mut self, rule: &Rule, sample: &Sample, when: bool, clear: bool) -> Option<Step> {
        let (start_ns, end_ns) = (sample.start_ns, sample.end_ns);
        if when {
            self.true_until_ns = end_ns;
        }
        match self.phase {
            Phase::Inactive | Phase::Resolved if when => {
                self.began_ns = start_ns;
                match end_ns.saturating_sub(start_ns) >= rule.hold_ns {
                    true => Some(self.fire(rule, end_ns)),
                    false => Some(self.go(Phase::Pending, start_ns)),
                }
            }
            Phase::Inactive | Phase::Resolved => None,
            Phase::Pending if !when => Some(self.go(Phase::Inactive, end_ns)),
            Phase::Pending if end_ns.saturating_sub(self.began_ns) >= rule.hold_ns => Some(self.fire(rule, end_ns)),
            Phase::Pending => None,
            phase @ (Phase::Firing | Phase::Clearing | Phase::Flapping) => {
                if when || !clear {
                    self.clear_since_ns = None;
                    return (phase == Phase::Clearing).then(|| self.go(Phase::Firing, end_ns));
                }
                let since_ns = *self.clear_since_ns.get_or_insert(start_ns);
                let quiet_ns = if phase == Phase::Flapping { FLAP_WINDOW_NS } else { 0 };
                let is_clear = end_ns.saturating_sub(since_ns) >= rule.clear_hold_ns.max(quiet_ns);
                let is_kept = end_ns.saturating_sub(self.true_until_ns) < rule.keep_firing_ns;
                match () {
                    () if is_clear && !is_kept => {
                        self.clear_since_ns = None;
                        Some(self.go(Phase::Resolved, end_ns))
                    }
                    () if phase == Phase::Firing => Some(self.go(Phase::Clearing, end_ns)),
                    () => None,
                }
            }
        }
    }

    fn fire(&mut self, rule: &Rule, at_ns: i64) -> Step {
        self.fired_ns.retain(|fired_ns| at_ns.saturating_sub(*fired_ns) < FLAP_WINDOW_NS);
        self.fired_ns.push(at_ns);
        self.clear_since_ns = None;
        let flaps = rule.flap_max > 0 && self.fired_ns.len() > rule.flap_max;
        self.go(if flaps { Phase::Flapping } else { Phase::Firing }, at_ns)
    }

    fn go(&mut self, to: Phase, at_ns: i64) -> Step {
        let step = Step { from: self.phase, to, at_ns, no_data: self.no_data };
        (self.phase, self.since_ns) = (to, at_ns);
        step
    }

    fn notice(&self, at_ns: i64) -> Step {
        Step { from: self.phase, to: self.phase, at_ns, no_data: self.no_data }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000_000_000;

    fn rule() -> Rule {
        Rule {
            step_ns: MINUTE,
            hold_ns: 0,
            clear_hold_ns: 0,
            keep_firing_ns: 0,
            flap_max: 6,
            on_missing: Missing::Unknown,
        }
    }

    fn sample(at: usize, answer: char) -> Sample {
        let start_ns = at as i64 * MINUTE;
        let (when, clear) = match answer {
            '!' => (Some(true), Some(false)),
            // Neither: between the two thresholds.
            '~' => (Some(false), Some(false)),
            '.' => (Some(false), Some(true)),
            _ => (None, None),
        };
        Sample { start_ns, end_ns: start_ns + MINUTE, when, clear }
    }

    /// The phases that begin, with the minute of each, for a bucket a minute.
    fn course(rule: &Rule, answers: &str) -> String {
        let mut instance = Instance::new(0);
        let mut text = Vec::new();
        for (at, answer) in answers.chars().enumerate() {
            for step in instance.observe(rule, &sample(at, answer)) {
                let what = match step.from == step.to {
                    true if step.no_data => "no data",
                    true => "data",
                    false => step.to.word(),
                };
                text.push(format!("{what} {}", step.at_ns / MINUTE));
            }
        }
        text.join(", ")
    }

    #[test]
    fn without_clauses_it_fires_and_resolves_at_once() {
        assert_eq!(course(&rule(), "..!!."), "firing 3, resolved 5");
    }

    #[test]
    fn for_asks_for_a_length_of_time() {
        let rule = Rule { hold_ns: 3 * MINUTE, ..rule() };
        assert_eq!(course(&rule, ".!!.!!!!."), "pending 1, inactive 4, pending 4, firing 7, resolved 9");
    }

    #[test]
    fn between_the_thresholds_it_fires_on() {
        let rule = Rule { clear_hold_ns: 2 * MINUTE, ..rule() };
        assert_eq!(course(&rule, "!~~.~.."), "firing 1, clearing 4, firing 5, clearing 6, resolved 7");
    }

    #[test]
    fn keep_firing_outlasts_the_condition() {
        let rule = Rule { keep_firing_ns: 3 * MINUTE, ..rule() };
        assert_eq!(course(&rule, "!..!...."), "firing 1, clearing 2, firing 4, clearing 5, resolved 7");
    }

    #[test]
    fn missing_data_neither_fires_nor_resolves() {
        assert_eq!(course(&rule(), "!????."), "firing 1, no data 4, data 5, resolved 6");
        assert_eq!(course(&Rule { on_missing: Missing::Good, ..rule() }, "!?"), "firing 1, resolved 2");
        assert_eq!(course(&Rule { on_missing: Missing::Bad, ..rule() }, ".?."), "firing 2, resolved 3");
        assert_eq!(course(&Rule { on_missing: Missing::Hold, ..rule() }, "!??."), "firing 1, resolved 4");
    }

    #[test]
    fn what_comes_and_goes_flaps_and_says_so_once() {
        let rule = Rule { flap_max: 2, ..rule() };
        let text = course(&rule, &format!("{}{}", "!.".repeat(10), ".".repeat(70)));
        assert_eq!(text, "firing 1, resolved 2, firing 3, resolved 4, flapping 5, resolved 79");
    }

    proptest! {
        /// What is seen of an instance does not depend on how often its state was written and read in between, phases follow one
        /// another as drawn, and time goes forward.
        #[test]
        fn steps_follow_one_another(answers in "[!~.?]{0,80}", hold in 0_i64..4, clear in 0_i64..4, keep in 0_i64..4, flaps in 0_usize..4) {
            let rule = Rule { hold_ns: hold * MINUTE, clear_hold_ns: clear * MINUTE, keep_firing_ns: keep * MINUTE, flap_max: flaps, ..rule() };
            let (mut whole, mut stored) = (Instance::new(0), Instance::new(0));
            let mut before = (Phase::Inactive, 0);
            for (at, answer) in answers.chars().enumerate() {
                let steps = whole.observe(&rule, &sample(at, answer));
                stored = serde_json::from_str(&serde_json::to_string(&stored).unwrap()).unwrap();
                prop_assert_eq!(&stored.observe(&rule, &sample(at, answer)), &steps);
                for step in steps {
                    prop_assert_eq!(step.from, before.0);
                    prop_assert!(step.at_ns >= before.1);
                    use Phase::{Clearing, Firing, Flapping, Inactive, Pending, Resolved};
                    let is_drawn = step.from == step.to || matches!((step.from, step.to),
                        (Inactive | Resolved, Pending | Firing | Flapping) | (Pending, Inactive | Firing | Flapping)
                        | (Firing, Clearing | Resolved) | (Clearing, Firing | Resolved) | (Flapping, Resolved));
                    prop_assert!(is_drawn, "{:?}", step);
                    before = (step.to, step.at_ns);
                }
            }
        }
    }
}
