//! Service level agreements: what a reporting period comes to, and what is owed for it.

use serde::Deserialize;

use super::sli::{Count, WHOLE, reaches};

/// What a target of a period came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Met,
    Breach,
    /// The period is open, and the target is missed so far; it can still be reached.
    AtRisk,
    /// There is too little data to tell.
    Unknown,
}

impl Status {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Met => "met",
            Status::Breach => "breach",
            Status::AtRisk => "at_risk",
            Status::Unknown => "unknown",
        }
    }

    /// Judges what was counted in a period so far. `elapsed` is the share of the period that is over, 1 for a closed one.
    ///
    /// An open period is a breach when more is bad than would be allowed at its end, if as much were counted in the rest of it as
    /// so far.
    pub(crate) fn of(count: &Count, required: u64, min_coverage: u64, elapsed: f64) -> Status {
        let least = min_coverage as f64 / WHOLE as f64;
        if count.total <= 0 || count.coverage.is_some_and(|coverage| coverage < least) {
            return Status::Unknown;
        }
        if reaches(count.good, count.total, required) {
            return Status::Met;
        }
        let bad = (count.total - count.good) as f64;
        let allowed = count.total as f64 * (WHOLE - required.min(WHOLE)) as f64 / WHOLE as f64;
        if elapsed < 1.0 && bad <= allowed / elapsed.max(f64::MIN_POSITIVE) { Status::AtRisk } else { Status::Breach }
    }
}

/// What is given back when less was attained than promised.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Credits(Vec<Credit>);

/// One step of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credit {
    /// Applies below this many percent.
    below: f64,
    /// Percent of the price.
    pct: f64,
}

impl Credits {
    /// Reads `[{"below": 99.9, "pct": 10}, ...]`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Credits, String> {
        let credits: Vec<Credit> = serde_json::from_str(text).map_err(|e| format!("no list of credits: {e}"))?;
        let is_percent = |number: f64| (0.0..=100.0).contains(&number);
        match credits.iter().find(|credit| !is_percent(credit.below) || !is_percent(credit.pct)) {
            Some(credit) => Err(format!("below {} and pct {} are percentages from 0 to 100", credit.below, credit.pct)),
            None => Ok(Credits(credits)),
        }
    }

    /// The largest credit that applies to a period, in percent of the price; 0 where none does.
    pub(crate) fn of(&self, count: &Count) -> f64 {
        let below =
            |credit: &&Credit| !reaches(count.good, count.total, (credit.below / 100.0 * WHOLE as f64).round() as u64);
        self.0.iter().filter(below).map(|credit| credit.pct).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(good: i128, total: i128) -> Count {
        Count { good, total, coverage: Some(0.95) }
    }

    #[test]
    fn periods_are_judged() {
        let of = |good, total, elapsed| Status::of(&count(good, total), 99_000_000, 90_000_000, elapsed);
        assert_eq!(of(990, 1000, 1.0), Status::Met);
        assert_eq!(of(989, 1000, 1.0), Status::Breach);
        assert_eq!(of(0, 0, 1.0), Status::Unknown);
        // Half of the period has two bad in a hundred: as many more good ones make up for them.
        assert_eq!(of(98, 100, 0.5), Status::AtRisk);
        assert_eq!(of(97, 100, 0.5), Status::Breach);
        assert_eq!(Status::of(&count(990, 1000), 99_000_000, 96_000_000, 1.0), Status::Unknown);
    }

    #[test]
    fn the_largest_credit_applies() {
        let credits = Credits::parse(r#"[{"below":99.9,"pct":10},{"below":99.0,"pct":25}]"#).unwrap();
        assert_eq!(credits.of(&count(999, 1000)), 0.0);
        assert_eq!(credits.of(&count(995, 1000)), 10.0);
        assert_eq!(credits.of(&count(900, 1000)), 25.0);
        for wrong in [
            "",
            "{}",
            r#"[{"below":99.9}]"#,
            r#"[{"below":"x","pct":1}]"#,
            r#"[{"below":990,"pct":1}]"#,
            r#"[{"below":99,"pct":1,"each":2}]"#,
        ] {
            assert!(Credits::parse(wrong).is_err(), "{wrong}");
        }
    }
}
