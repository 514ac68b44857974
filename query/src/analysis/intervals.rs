//! Sets of instants as rows of half-open intervals, in nanoseconds since the Unix epoch.

/// A set of instants. Its intervals are ascending, apart from one another, and none is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Intervals(Vec<(i64, i64)>);

impl Intervals {
    /// The union of `[start, end)` intervals in any order; those that end before they begin hold nothing.
    pub(crate) fn new(intervals: impl IntoIterator<Item = (i64, i64)>) -> Intervals {
        let mut all: Vec<(i64, i64)> = intervals.into_iter().filter(|(start, end)| start < end).collect();
        all.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(all.len());
        for (start, end) in all {
            match joined.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                _ => joined.push((start, end)),
            }
        }
        Intervals(joined)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().copied()
    }

    pub(crate) fn union(&self, other: &Intervals) -> Intervals {
        Intervals::new(self.iter().chain(other.iter()))
    }

    pub(crate) fn intersect(&self, other: &Intervals) -> Intervals {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = Vec::new();
        while let (Some((a_start, a_end)), Some((b_start, b_end))) = (a.peek(), b.peek()) {
            let (start, end) = ((*a_start).max(*b_start), (*a_end).min(*b_end));
            if start < end {
                common.push((start, end));
            }
            if a_end < b_end {
                a.next()
            } else {
                b.next()
            };
        }
        Intervals(common)
    }

    /// What of `[start, end)` is not in the set.
    pub(crate) fn complement(&self, start: i64, end: i64) -> Intervals {
        let mut outside = Vec::new();
        let mut from = start;
        for (inner_start, inner_end) in self.iter() {
            outside.push((from, inner_start.min(end)));
            from = from.max(inner_end);
        }
        outside.push((from, end));
        Intervals::new(outside)
    }

    pub(crate) fn subtract(&self, other: &Intervals) -> Intervals {
        match (self.0.first(), self.0.last()) {
            (Some((start, _)), Some((_, end))) => self.intersect(&other.complement(*start, *end)),
            _ => Intervals::default(),
        }
    }

    pub(crate) fn contains(&self, instant: i64) -> bool {
        let at = self.0.partition_point(|(_, end)| *end <= instant);
        self.0.get(at).is_some_and(|(start, _)| *start <= instant)
    }

    /// Nanoseconds in the set.
    pub(crate) fn length_ns(&self) -> i64 {
        self.iter().fold(0i64, |sum, (start, end)| sum.saturating_add(end.saturating_sub(start)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same as a row of points.
    fn points(of: &Intervals) -> Vec<bool> {
        (0..40).map(|at| of.iter().any(|(start, end)| (start..end).contains(&at))).collect()
    }

    fn intervals() -> impl Strategy<Value = Intervals> {
        prop::collection::vec((0i64..40, 0i64..40), 0..6).prop_map(Intervals::new)
    }

    proptest! {
        #[test]
        fn sets_agree_with_points(a in intervals(), b in intervals()) {
            let (in_a, in_b) = (points(&a), points(&b));
            let by = |f: fn(bool, bool) -> bool| -> Vec<bool> { in_a.iter().zip(&in_b).map(|(a, b)| f(*a, *b)).collect() };
            prop_assert_eq!(points(&a.union(&b)), by(|a, b| a || b));
            prop_assert_eq!(points(&a.intersect(&b)), by(|a, b| a && b));
            prop_assert_eq!(points(&a.subtract(&b)), by(|a, b| a && !b));
            prop_assert_eq!(points(&a.complement(0, 40)), by(|a, _| !a));
            prop_assert_eq!(a.length_ns(), in_a.iter().filter(|a| **a).count() as i64);
            for (at, inside) in in_a.iter().enumerate() {
                prop_assert_eq!(a.contains(at as i64), *inside);
            }
            for set in [a.union(&b), a.intersect(&b), a.subtract(&b)] {
                let all: Vec<_> = set.iter().collect();
                prop_assert!(all.iter().all(|(start, end)| start < end));
                prop_assert!(all.windows(2).all(|pair| pair[0].1 < pair[1].0));
            }
        }
    }
}
