//! What a single score does not see: a value that does not change, points that do not come, a level that has moved.

use super::Level;
use super::calibration::SCORE_MAX;

/// How long something goes on that seldom does: a value that stays the same, points that are missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Runs {
    points: u64,
    times: u64,
    run: u64,
    /// The longest run that has ended.
    longest: u64,
}

impl Runs {
    /// The score after a point, or after a step without one: 0 as long as there was a run as long before; from then on each further
    /// point adds minus the logarithm of how often it happens, one at most.
    pub(crate) fn observe(&mut self, happens: bool) -> f64 {
        // The rule of succession: little is said while little is known.
        let share = (self.times as f64 + 1.0) / (self.points as f64 + 2.0);
        self.points += 1;
        if !happens {
            self.longest = self.longest.max(self.run);
            self.run = 0;
            return 0.0;
        }
        self.times += 1;
        self.run += 1;
        let beyond = self.run.saturating_sub(self.longest.max(1)) as f64;
        (beyond * -share.clamp(0.1, 1.0).log10()).clamp(0.0, SCORE_MAX)
    }
}

/// Whether a level has moved for good: cumulative sums (Page 1954) of what is beyond a deviation on each side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shift {
    before: Level,
    up: Side,
    down: Side,
}

/// Deviations that a point counts as at most: one alone is no shift.
const MOST: f64 = 4.0;

#[derive(Debug, Clone, Default, PartialEq)]
struct Side {
    /// In usual deviations.
    sum: f64,
    /// The mean of the points since the sum was 0, and how many they are.
    mean: f64,
    points: u64,
}

impl Side {
    fn observe(&mut self, far: f64, value: f64) {
        const SLACK: f64 = 1.0;
        self.sum = (self.sum + far.min(MOST) - SLACK).max(0.0);
        self.points = if self.sum > 0.0 { self.points + 1 } else { 0 };
        self.mean += (value - self.mean) / self.points.max(1) as f64;
    }
}

impl Default for Shift {
    fn default() -> Shift {
        /// How fast the level before follows.
        const BEFORE: f64 = 0.005;
        Shift { before: Level::new(BEFORE), up: Side::default(), down: Side::default() }
    }
}

impl Shift {
    /// By how much the level has moved, told once, after some ten points or more; what follows is measured by the new level. The
    /// values are best without their season. Missing and infinite ones are left out.
    pub(crate) fn observe(&mut self, value: f64) -> Option<f64> {
        /// The sum from which it is a shift, and the points before one is looked for.
        const SHIFT: f64 = 30.0;
        const POINTS_MIN: u64 = 30;
        /// Differences of larger values are not finite.
        const LARGEST: f64 = 1e300;
        if value.is_nan() || value.abs() > LARGEST {
            return None;
        }
        let mut learned = value;
        if self.before.count >= POINTS_MIN {
            let most = MOST * self.before.scale();
            learned = value.max(self.before.level - most).min(self.before.level + most);
            let far = self.before.residual(value) / self.before.scale();
            self.up.observe(far, value);
            self.down.observe(-far, value);
            let moved = [&self.up, &self.down].into_iter().find(|side| side.sum >= SHIFT).map(|side| side.mean);
            if let Some(level) = moved {
                let by = level - self.before.level;
                self.before.level = level;
                (self.up, self.down) = (Side::default(), Side::default());
                return Some(by);
            }
        }
        self.before.learn(learned);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(at: u64) -> f64 {
        ((at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / (1u64 << 24) as f64 - 0.5
    }

    #[test]
    fn a_sensor_that_is_stuck_is_told() {
        let mut flat = Runs::default();
        (0..200).for_each(|_| assert_eq!(flat.observe(false), 0.0));
        let scores: Vec<f64> = (0..20).map(|_| flat.observe(true)).collect();
        assert_eq!(scores[0], 0.0);
        assert!(scores.windows(2).all(|pair| pair[0] <= pair[1]) && scores[4] > 2.5, "{scores:?}");
        assert!(scores[19] <= SCORE_MAX);
        // Where it is usual, the same is nothing.
        assert_eq!(flat.observe(false), 0.0);
        (0..20).for_each(|_| assert_eq!(flat.observe(true), 0.0));
    }

    #[test]
    fn what_is_always_so_is_never_told() {
        let mut flat = Runs::default();
        assert!((0..10_000).all(|_| flat.observe(true) < 2.5));
    }

    #[test]
    fn a_shift_is_told_once_and_a_spike_is_none() {
        let mut shift = Shift::default();
        let mut told = Vec::new();
        for at in 0..3_000u64 {
            let level = if at < 1_000 { 100.0 } else { 104.0 } + if at == 500 { 1e6 } else { 0.0 };
            told.extend(shift.observe(level + noise(at)).map(|by| (at, by)));
        }
        assert_eq!(told.len(), 1, "{told:?}");
        assert!((1_005..1_020).contains(&told[0].0) && (told[0].1 - 4.0).abs() < 0.5, "{told:?}");
        assert_eq!(shift.observe(f64::NAN), None);
    }

    #[test]
    fn a_shift_down_is_told_and_odd_values_do_no_harm() {
        let mut shift = Shift::default();
        let shifts = (0..400u64).filter_map(|at| shift.observe(noise(at) - if at < 200 { 0.0 } else { 5.0 }));
        let shifts: Vec<f64> = shifts.collect();
        assert!(shifts.len() == 1 && (shifts[0] + 5.0).abs() < 0.5, "{shifts:?}");
        let odd = [0.0, f64::MAX, f64::MIN, f64::INFINITY, 1e-300, -0.0];
        assert!((0..1_000).all(|at| shift.observe(odd[at % odd.len()]).is_none_or(|by| !by.is_nan())));
    }
}
