//! The first point of something unusual, and not each one after it.

use std::collections::VecDeque;

/// Points that an onset is quiet for, and the shortest such time.
const QUIET: usize = 100;
const QUIET_NS: i64 = 6_000_000_000_000;

/// Lets a score through that is larger than all of those shortly before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Onset {
    quiet: usize,
    at: usize,
    /// The scores that may still be the largest, falling, and where each was.
    largest: VecDeque<(usize, f64)>,
}

impl Onset {
    /// For a series with a point each `step_ns`: a hundred points, or as many as come in a fourteenth of a day where that is more.
    pub(crate) fn new(step_ns: i64) -> Onset {
        let points = usize::try_from(QUIET_NS / step_ns.max(1)).unwrap_or(QUIET);
        Onset { quiet: points.max(QUIET), at: 0, largest: VecDeque::new() }
    }

    /// The score, if it is an onset. `None`, a point without one, goes by like a score of 0.
    pub(crate) fn observe(&mut self, score: Option<f64>) -> Option<f64> {
        let score = score.filter(|score| score.is_finite()).unwrap_or(0.0);
        while self.largest.front().is_some_and(|(at, _)| at + self.quiet < self.at) {
            self.largest.pop_front();
        }
        let largest = self.largest.front().map_or(0.0, |(_, largest)| *largest);
        while self.largest.back().is_some_and(|(_, last)| *last <= score) {
            self.largest.pop_back();
        }
        self.largest.push_back((self.at, score));
        self.at += 1;
        (score > largest).then_some(score)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_onset_is_told_once() {
        let mut onset = Onset::new(300_000_000_000);
        assert_eq!(onset.observe(Some(3.0)), Some(3.0));
        assert_eq!(onset.observe(Some(2.9)), None);
        assert_eq!(onset.observe(None), None);
        assert_eq!(onset.observe(Some(5.0)), Some(5.0));
        (0..99).for_each(|_| assert_eq!(onset.observe(Some(4.0)), None));
        assert_eq!(onset.observe(Some(5.0)), None);
        (0..100).for_each(|_| assert_eq!(onset.observe(Some(0.0)), None));
        assert_eq!(onset.observe(Some(0.1)), Some(0.1));
    }

    #[test]
    fn many_points_are_quiet_as_long_as_few() {
        let mut onset = Onset::new(1_000_000_000);
        assert_eq!(onset.observe(Some(3.0)), Some(3.0));
        (0..6_000).for_each(|_| assert_eq!(onset.observe(Some(2.0)), None));
        assert_eq!(onset.observe(Some(2.5)), Some(2.5));
    }

    proptest! {
        #[test]
        fn an_onset_is_larger_than_all_of_the_hundred_before(scores in proptest::collection::vec(0.0..4.0f64, 0..500)) {
            let mut onset = Onset::new(i64::MAX);
            for (at, score) in scores.iter().enumerate() {
                let largest = scores[at.saturating_sub(100)..at].iter().copied().fold(0.0, f64::max);
                prop_assert_eq!(onset.observe(Some(*score)), (*score > largest).then_some(*score));
            }
        }
    }
}
