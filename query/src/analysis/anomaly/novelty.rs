//! How far a value is from every value seen before: bins that were touched, and the nearest of them.

use std::collections::BTreeMap;

/// Most bins that are remembered; beyond it each two become one.
const BINS_MAX: usize = 6_000;

/// The values seen, in bins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// Bins per unit.
    resolution: f64,
    /// Touched bins, and when each was touched last.
    bins: BTreeMap<i64, i64>,
}

impl Seen {
    pub(super) fn new(resolution: f64) -> Seen {
        Seen { resolution, bins: BTreeMap::new() }
    }

    fn bin(&self, value: f64) -> i64 {
        (value * self.resolution).round() as i64
    }

    /// Units to the nearest value seen; 0 before any.
    pub(super) fn distance(&self, value: f64) -> f64 {
        let at = self.bin(value);
        let below = self.bins.range(..=at).next_back().map(|(bin, _)| at.abs_diff(*bin));
        if below == Some(0) {
            return 0.0;
        }
        let above = self.bins.range(at..).next().map(|(bin, _)| bin.abs_diff(at));
        let nearest = below.into_iter().chain(above).min();
        nearest.map_or(0.0, |bins| bins as f64 / self.resolution)
    }

    /// Remembers a value seen at a time, in any unit.
    pub(super) fn learn(&mut self, value: f64, time: i64) {
        let at = self.bin(value);
        self.bins.insert(at, time);
        if self.bins.len() > BINS_MAX {
            self.resolution /= 2.0;
            let halved = std::mem::take(&mut self.bins);
            for (bin, time) in halved {
                let latest = self.bins.entry(bin.div_euclid(2)).or_insert(time);
                *latest = time.max(*latest);
            }
        }
    }

    pub(super) fn parts(&self) -> (f64, impl ExactSizeIterator<Item = (i64, i64)>) {
        (self.resolution, self.bins.iter().map(|(bin, time)| (*bin, *time)))
    }

    /// From what [`Seen::parts`] gave; `None` when that is not what it could have given.
    pub(super) fn from_parts(resolution: f64, bins: Vec<(i64, i64)>) -> Option<Seen> {
        let fits = resolution.is_finite() && resolution > 0.0 && bins.len() <= BINS_MAX;
        fits.then(|| Seen { resolution, bins: bins.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_to_the_nearest_value_seen() {
        let mut seen = Seen::new(100.0);
        assert_eq!(seen.distance(5.0), 0.0);
        seen.learn(1.0, 1);
        seen.learn(2.0, 2);
        assert_eq!(seen.distance(1.0), 0.0);
        assert_eq!(seen.distance(1.25), 0.25);
        assert_eq!(seen.distance(3.0), 1.0);
        assert_eq!(seen.distance(-1.0), 2.0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut seen = Seen::new(1000.0);
        (0..100_000).for_each(|n| seen.learn(f64::from(n) / 3.0, i64::from(n)));
        assert!(seen.parts().1.len() <= BINS_MAX);
        assert!(seen.distance(20_000.0) < 10.0);
    }
}
