//! What a table keeps: tiers, each coarser and kept longer than the one before, the legal hold, and how many series it takes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::SchemaError;

/// Most tiers of a table, raw data counted in.
pub const TIERS_MAX: usize = 8;

const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;

/// Options of a table that may be changed at any time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableOptions {
    /// What is kept for how long; `None` keeps raw data for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// While it is on, nothing of the table expires and nothing can be deleted.
    #[serde(default)]
    pub legal_hold: bool,
    /// Points of further series are refused when there are so many; `None` takes any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_series: Option<u32>,
}

impl TableOptions {
    /// True when nothing differs from what a new table has.
    pub(crate) fn is_default(&self) -> bool {
        *self == TableOptions::default()
    }
}

/// Which options to change, and to what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OptionsChange {
    /// `Some(None)` takes the retention away.
    pub retention: Option<Option<Retention>>,
    /// Whether nothing may expire or be deleted.
    pub legal_hold: Option<bool>,
    /// `Some(None)` takes the limit away.
    pub max_series: Option<Option<u32>>,
}

impl OptionsChange {
    /// The options after the change.
    pub fn apply(&self, options: &TableOptions) -> TableOptions {
        TableOptions {
            retention: self.retention.clone().unwrap_or_else(|| options.retention.clone()),
            legal_hold: self.legal_hold.unwrap_or(options.legal_hold),
            max_series: self.max_series.unwrap_or(options.max_series),
        }
    }
}

/// How fine, and for how long: raw data first, then rollups.
///
/// Invariants, checked by [`Retention::new`]
/// - The first tier is raw, the others have widths. A width divides the UTC day and is a multiple of the one before.
/// - Each tier is kept longer than the one before; only the last may be kept for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Tier>", into = "Vec<Tier>")]
pub struct Retention {
    tiers: Vec<Tier>,
}

/// One tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// Length of a bucket; `None` for raw data.
    pub width_ns: Option<i64>,
    /// How long it is kept; `None` for ever.
    pub keep_ns: Option<i64>,
}

impl Retention {
    /// Checks the tiers against one another.
    ///
    /// # Errors
    /// [`SchemaError::Retention`] with the number of the tier that does not fit.
    pub fn new(tiers: Vec<Tier>) -> Result<Retention, SchemaError> {
        let wrong = |tier: usize, why: String| Err(SchemaError::Retention { tier, why });
        if tiers.is_empty() {
            return wrong(0, "a retention needs a tier".to_owned());
        }
        if tiers.len() > TIERS_MAX {
            return wrong(TIERS_MAX, format!("a table has at most {TIERS_MAX} tiers"));
        }
        for (nth, tier) in tiers.iter().enumerate() {
            let why = match nth {
                0 => misfit_of_raw(tier),
                _ => misfit(&tiers[nth - 1], tier),
            };
            if let Some(why) = why {
                return wrong(nth, why);
            }
        }
        Ok(Retention { tiers })
    }

    /// Raw data only, kept for this long.
    ///
    /// # Errors
    /// As [`Retention::new`].
    pub fn raw(keep_ns: i64) -> Result<Retention, SchemaError> {
        Retention::new(vec![Tier { width_ns: None, keep_ns: Some(keep_ns) }])
    }

    /// The tiers, raw data first.
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// How long raw data is kept; `None` for ever.
    pub(crate) fn raw_keep_ns(&self) -> Option<i64> {
        self.tiers[0].keep_ns
    }

    /// Width and keep of the rollups, finest first.
    pub(crate) fn rollups(&self) -> impl Iterator<Item = (i64, Option<i64>)> {
        self.tiers.iter().filter_map(|tier| Some((tier.width_ns?, tier.keep_ns)))
    }
}

impl Tier {
    /// `raw`, or the width.
    pub fn name(&self) -> String {
        self.width_ns.map_or_else(|| "raw".to_owned(), |width_ns| Duration(width_ns).to_string())
    }

    /// How long it is kept, or `forever`.
    pub fn keep(&self) -> String {
        self.keep_ns.map_or_else(|| "forever".to_owned(), |keep_ns| Duration(keep_ns).to_string())
    }
}

fn misfit_of_raw(tier: &Tier) -> Option<String> {
    match tier {
        Tier { width_ns: Some(_), .. } => Some("the first tier is raw data".to_owned()),
        Tier { keep_ns: Some(keep_ns), .. } if *keep_ns <= 0 => Some("a tier is kept for some time".to_owned()),
        _ => None,
    }
}

/// Why a tier cannot follow another.
fn misfit(before: &Tier, tier: &Tier) -> Option<String> {
    let Some(width_ns) = tier.width_ns else { return Some("only the first tier is raw data".to_owned()) };
    let shown = Duration(width_ns);
    if width_ns <= 0 || DAY_NS % width_ns != 0 {
        return Some(format!("the width {shown} does not divide a day"));
    }
    if let Some(finer) = before.width_ns
        && (width_ns <= finer || width_ns % finer != 0)
    {
        return Some(format!("the width {shown} is not a multiple of the finer tier's {}", Duration(finer)));
    }
    match (before.keep_ns, tier.keep_ns) {
        (None, _) => Some("the tier before is kept for ever, so nothing would ever be only here".to_owned()),
        (Some(shorter), Some(keep)) if keep <= shorter => {
            Some(format!("{} is not longer than the finer tier's {}", Duration(keep), Duration(shorter)))
        }
        _ => None,
    }
}

impl TryFrom<Vec<Tier>> for Retention {
    type Error = SchemaError;

    fn try_from(tiers: Vec<Tier>) -> Result<Retention, SchemaError> {
        Retention::new(tiers)
    }
}

impl From<Retention> for Vec<Tier> {
    fn from(retention: Retention) -> Vec<Tier> {
        retention.tiers
    }
}

/// As it is written in SQL: `raw 14 days, 1 min 90 days, 1 hour 3 years`.
impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, tier) in self.tiers.iter().enumerate() {
            if nth > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{} {}", tier.name(), tier.keep())?;
        }
        Ok(())
    }
}

/// A duration in the largest unit that it is a whole number of. A year is 365.25 days, as PostgreSQL counts it.
pub(crate) struct Duration(pub(crate) i64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(i64, &str, &str); 8] = [
            (DAY_NS * 1461 / 4, "year", "years"),
            (DAY_NS, "day", "days"),
            (3_600 * SECOND_NS, "hour", "hours"),
            (60 * SECOND_NS, "min", "min"),
            (SECOND_NS, "s", "s"),
            (1_000_000, "ms", "ms"),
            (1_000, "us", "us"),
            (1, "ns", "ns"),
        ];
        let fits = |(unit, ..): &&(i64, &str, &str)| self.0 % unit == 0;
        let (unit, one, many) = UNITS.iter().find(fits).expect("every duration is a whole number of nanoseconds");
        let count = self.0 / unit;
        write!(f, "{count} {}", if count == 1 { one } else { many })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const HOUR_NS: i64 = 3_600 * SECOND_NS;

    fn check(tiers: &[(Option<i64>, Option<i64>)], expected: &Expect) {
        let tiers = tiers.iter().map(|(width_ns, keep_ns)| Tier { width_ns: *width_ns, keep_ns: *keep_ns }).collect();
        let shown = match Retention::new(tiers) {
            Ok(retention) => retention.to_string(),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn tiers_get_coarser_and_longer() {
        let minute = Some(60 * SECOND_NS);
        let (hour, year) = (Some(HOUR_NS), DAY_NS * 1461 / 4);
        let days = |n: i64| Some(n * DAY_NS);
        check(
            &[(None, days(14)), (minute, days(90)), (hour, Some(3 * year))],
            &expect!["raw 14 days, 1 min 90 days, 1 hour 3 years"],
        );
        check(&[(None, days(1)), (hour, None)], &expect!["raw 1 day, 1 hour forever"]);
        check(&[(minute, days(1))], &expect!["tier 1: the first tier is raw data"]);
        check(&[(None, Some(0))], &expect!["tier 1: a tier is kept for some time"]);
        check(
            &[(None, days(1)), (hour, days(2)), (minute, days(3))],
            &expect!["tier 3: the width 1 min is not a multiple of the finer tier's 1 hour"],
        );
        check(
            &[(None, days(1)), (minute, days(2)), (Some(90 * SECOND_NS), days(3))],
            &expect!["tier 3: the width 90 s is not a multiple of the finer tier's 1 min"],
        );
        check(
            &[(None, days(1)), (Some(7 * HOUR_NS), days(2))],
            &expect!["tier 2: the width 7 hours does not divide a day"],
        );
        check(
            &[(None, days(9)), (minute, days(9))],
            &expect!["tier 2: 9 days is not longer than the finer tier's 9 days"],
        );
        check(
            &[(None, None), (minute, days(9))],
            &expect!["tier 2: the tier before is kept for ever, so nothing would ever be only here"],
        );
        check(&[], &expect!["tier 1: a retention needs a tier"]);
    }
}
