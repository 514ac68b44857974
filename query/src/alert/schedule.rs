//! Whose turn it is. Pure.

use std::time::Duration;

/// After so long a look leaves alerts of the least important tier for the next one, and after twice as long those of tier 2.
const SHED_AFTER: Duration = Duration::from_secs(5);

/// The least important tier.
const TIER_LAST: u8 = 3;

/// The least important tier that is never left for later.
const TIER_KEPT: u8 = 1;

/// An alert that may have its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) name: String,
    /// The tier of its service.
    pub(super) tier: u8,
    pub(super) is_enabled: bool,
    /// How often it is evaluated; 0 for as often as there is something new.
    pub(super) every_ns: i64,
    /// When it last was.
    pub(super) evaluated_ns: i64,
}

/// The alerts that are due, in the order of their turns: important tiers first, within one those that have waited longest. So what
/// was left for later comes first of its tier, and one that is slow waits longest for its next turn.
pub(super) fn due(turns: impl IntoIterator<Item = Turn>, now_ns: i64) -> Vec<Turn> {
    let is_due = |turn: &Turn| {
        turn.is_enabled && (turn.every_ns == 0 || now_ns >= turn.evaluated_ns.saturating_add(turn.every_ns))
    };
    let mut due: Vec<Turn> = turns.into_iter().filter(is_due).collect();
    due.sort_by(|a, b| (a.tier, a.evaluated_ns, &a.name).cmp(&(b.tier, b.evaluated_ns, &b.name)));
    due
}

/// True when an alert of a tier is left for the next look, since this one has taken so long.
pub(super) fn is_shed(tier: u8, taken: Duration) -> bool {
    tier > TIER_KEPT && taken > SHED_AFTER * u32::from((TIER_LAST + 1).saturating_sub(tier))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(name: &str, tier: u8, every_ns: i64, evaluated_ns: i64) -> Turn {
        Turn { name: name.to_owned(), tier, is_enabled: true, every_ns, evaluated_ns }
    }

    fn names(turns: &[Turn]) -> Vec<&str> {
        turns.iter().map(|turn| turn.name.as_str()).collect()
    }

    #[test]
    fn important_tiers_come_first_and_within_one_who_has_waited_longest() {
        let all =
            [turn("c", 3, 0, 0), turn("b", 1, 0, 50), turn("a", 1, 0, 60), turn("d", 0, 0, 99), turn("e", 1, 0, 50)];
        assert_eq!(names(&due(all, 100)), ["d", "b", "e", "a", "c"]);
    }

    #[test]
    fn nobody_comes_before_their_time_or_when_switched_off() {
        let off = Turn { is_enabled: false, ..turn("off", 0, 0, 0) };
        let all = [turn("now", 2, 60, 40), turn("later", 2, 60, 41), turn("new", 2, 60, i64::MIN), off];
        assert_eq!(names(&due(all, 100)), ["new", "now"]);
    }

    #[test]
    fn the_least_important_are_left_first_and_the_most_important_never() {
        let shed = |seconds| [0, 1, 2, 3].map(|tier| is_shed(tier, Duration::from_secs(seconds)));
        assert_eq!(shed(5), [false; 4]);
        assert_eq!(shed(6), [false, false, false, true]);
        assert_eq!(shed(11), [false, false, true, true]);
        assert_eq!(shed(3600), [false, false, true, true]);
    }

    #[test]
    fn whoever_was_left_has_the_first_turn_of_the_next_look() {
        let mut all = vec![turn("a", 3, 0, 0), turn("b", 3, 0, 0), turn("c", 3, 0, 0)];
        let mut looked = Vec::new();
        for now_ns in 1..=6 {
            // There is time for one of them.
            let first = due(all.clone(), now_ns).remove(0).name;
            let one = all.iter_mut().find(|turn| turn.name == first).unwrap();
            one.evaluated_ns = now_ns;
            looked.push(first);
        }
        assert_eq!(looked, ["a", "b", "c", "a", "b", "c"]);
    }
}
