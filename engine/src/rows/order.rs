//! Bringing rows that arrived in any order into storage order.

use std::borrow::Cow;

use crate::model::SeriesId;

/// Series ids are sorted by counting while they spread over at most this many times the rows.
const SPREAD_MAX: usize = 8;

/// The storage order of some rows: their numbers by (series, time), and which of them share a key.
#[derive(Debug, PartialEq)]
pub(crate) struct Order {
    /// Row numbers by (series, time); equal keys in order of arrival.
    rows: Vec<u32>,
    /// Ends (exclusive) in `rows` of the rows with one key; empty while every key occurs once.
    ends: Vec<usize>,
}

impl Order {
    /// Orders rows, of which a later one is newer.
    pub(crate) fn of(series: &[SeriesId], times: &[i64]) -> Order {
        let mut rows = by_series(series);
        let mut is_unique = true;
        let mut start = 0;
        while start < rows.len() {
            let id = series[rows[start] as usize];
            let same = rows[start..].iter().take_while(|row| series[**row as usize] == id).count();
            let of_series = &mut rows[start..start + same];
            let time = |row: &u32| times[*row as usize];
            if !of_series.is_sorted_by(|a, b| time(a) < time(b)) {
                of_series.sort_by_key(time);
                is_unique &= of_series.is_sorted_by(|a, b| time(a) < time(b));
            }
            start += same;
        }
        let key = |row: &u32| (series[*row as usize], times[*row as usize]);
        let ends = if is_unique { Vec::new() } else { ends_of(&rows, |a, b| key(a) == key(b)) };
        Order { rows, ends }
    }

    /// For each key the number of its newest row.
    pub(crate) fn newest(&self) -> Cow<'_, [u32]> {
        if self.ends.is_empty() {
            return Cow::Borrowed(&self.rows);
        }
        self.ends.iter().map(|end| self.rows[end - 1]).collect()
    }

    /// For each key the number of its newest row for which `has_value` holds, or of its newest if it holds for none.
    pub(crate) fn newest_with(&self, has_value: impl Fn(u32) -> bool) -> Cow<'_, [u32]> {
        let mut start = 0;
        let pick = |end: &usize| {
            let same = &self.rows[start..*end];
            start = *end;
            *same.iter().rev().find(|row| has_value(**row)).unwrap_or(&same[same.len() - 1])
        };
        if self.ends.is_empty() { Cow::Borrowed(&self.rows) } else { self.ends.iter().map(pick).collect() }
    }
}

/// Row numbers by series, those of one series in order of arrival.
fn by_series(series: &[SeriesId]) -> Vec<u32> {
    let count = u32::try_from(series.len()).expect("a batch is far smaller than four billion rows");
    let (min, max) = series.iter().fold((u32::MAX, 0), |(min, max), id| (min.min(id.0), max.max(id.0)));
    let spread = (max.saturating_sub(min)) as usize + 1;
    if spread / SPREAD_MAX > series.len() {
        let mut keys: Vec<u64> =
            (0..count).map(|row| u64::from(series[row as usize].0) << 32 | u64::from(row)).collect();
        keys.sort_unstable();
        return keys.into_iter().map(|key| key as u32).collect();
    }
    let mut next = vec![0u32; spread + 1];
    series.iter().for_each(|id| next[(id.0 - min) as usize + 1] += 1);
    (1..next.len()).for_each(|at| next[at] += next[at - 1]);
    let mut rows = vec![0; series.len()];
    for row in 0..count {
        let place = &mut next[(series[row as usize].0 - min) as usize];
        rows[*place as usize] = row;
        *place += 1;
    }
    rows
}

/// Ends (exclusive) of the runs of equal items.
fn ends_of<T>(items: &[T], same: impl Fn(&T, &T) -> bool) -> Vec<usize> {
    let mut end = 0;
    let runs = items.chunk_by(same);
    runs.map(|run| {
        end += run.len();
        end
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fast_is_plain(
            keys in prop::collection::vec((prop_oneof![0u32..5, any::<u32>()], 0i64..5, any::<bool>()), 0..60),
        ) {
            let series: Vec<_> = keys.iter().map(|key| SeriesId(key.0)).collect();
            let times: Vec<_> = keys.iter().map(|key| key.1).collect();
            let order = Order::of(&series, &times);
            let mut plain: Vec<u32> = (0..keys.len() as u32).collect();
            plain.sort_by_key(|row| (series[*row as usize], times[*row as usize]));
            prop_assert_eq!(&order.rows, &plain);

            let same = |a: &u32, b: &u32| keys[*a as usize].0 == keys[*b as usize].0 && times[*a as usize] == times[*b as usize];
            let groups: Vec<&[u32]> = plain.chunk_by(same).collect();
            let newest: Vec<u32> = groups.iter().map(|group| group[group.len() - 1]).collect();
            prop_assert_eq!(order.newest().into_owned(), newest);
            let has_value = |row: u32| keys[row as usize].2;
            let with = |group: &&[u32]| *group.iter().rev().find(|row| has_value(**row)).unwrap_or(&group[group.len() - 1]);
            prop_assert_eq!(order.newest_with(has_value).into_owned(), groups.iter().map(with).collect::<Vec<_>>());
        }
    }
}
