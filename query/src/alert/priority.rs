//! How much an incident matters. Pure.
//!
//! Impact comes of the tier of the service and of what stands on it, urgency of the severity and of how fast the error budget is
//! spent; `ops.priority_matrix` makes a priority of both, and `ops.tier_policy` says how high it may be.

/// A budget that is spent so many times faster than it is granted is urgent: the fast window of the SRE workbook, chapter 5.
const BURN_URGENT: f64 = 14.4;

/// Likewise for the slow window.
const BURN_SOON: f64 = 6.0;

/// What counts for the impact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reach {
    /// The tier of the service.
    pub(super) tier: u8,
    /// The least tier among services that cannot do without it.
    pub(super) dependent_tier: Option<u8>,
}

/// 1 to 3, 1 is the highest.
pub(super) fn impact(reach: Reach) -> i64 {
    match reach.dependent_tier.map_or(reach.tier, |tier| tier.min(reach.tier)) {
        0 => 1,
        1 | 2 => 2,
        _ => 3,
    }
}

/// 1 to 3, 1 is the highest. `burn_rate` is that of the last hour.
pub(super) fn urgency(severity: Option<&str>, burn_rate: Option<f64>) -> i64 {
    let of_severity = match severity.map(str::to_lowercase).as_deref() {
        Some("critical" | "fatal" | "page" | "emergency") => 1,
        Some("minor" | "warning" | "warn" | "info" | "low") => 3,
        _ => 2,
    };
    let of_burning = match burn_rate {
        Some(rate) if rate >= BURN_URGENT => 1,
        Some(rate) if rate >= BURN_SOON => 2,
        _ => 3,
    };
    of_severity.min(of_burning)
}

/// The priority that a matrix has for both, and 4 where it has none, but none higher than `highest`.
pub(super) fn priority(impact: i64, urgency: i64, matrix: &[(i64, i64, i64)], highest: Option<i64>) -> i64 {
    let found = matrix.iter().find(|(of, at, _)| (*of, *at) == (impact, urgency));
    let priority = found.map_or(4, |(_, _, priority)| *priority);
    highest.map_or(priority, |highest| priority.max(highest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_stand_on_has_the_impact_of_the_most_important_of_them() {
        assert_eq!(impact(Reach { tier: 0, dependent_tier: None }), 1);
        assert_eq!(impact(Reach { tier: 2, dependent_tier: None }), 2);
        assert_eq!(impact(Reach { tier: 3, dependent_tier: Some(0) }), 1);
        assert_eq!(impact(Reach { tier: 3, dependent_tier: Some(3) }), 3);
    }

    #[test]
    fn a_burning_budget_makes_it_urgent() {
        assert_eq!(urgency(Some("critical"), None), 1);
        assert_eq!(urgency(None, None), 2);
        assert_eq!(urgency(Some("Warning"), Some(1.0)), 3);
        assert_eq!(urgency(Some("warning"), Some(20.0)), 1);
        assert_eq!(urgency(Some("warning"), Some(7.0)), 2);
    }

    #[test]
    fn the_matrix_says_and_the_tier_bounds() {
        let matrix = [(1, 1, 1), (1, 2, 2), (2, 2, 3)];
        assert_eq!(priority(1, 1, &matrix, None), 1);
        assert_eq!(priority(1, 1, &matrix, Some(2)), 2);
        assert_eq!(priority(3, 3, &matrix, Some(2)), 4);
    }
}
