//! Series by the values of some tags: equal values have one number, and numbers are in the order of the values, NULL last.

use hashbrown::HashMap;

use crate::index::{TagIndex, TagPosition};
use crate::model::SeriesId;

/// Numbers of some series.
#[derive(Debug, PartialEq)]
pub(super) struct Numbers {
    /// For each series its number.
    pub(super) of_nth: Vec<u32>,
    /// For each number the first series that has it.
    pub(super) first: Vec<SeriesId>,
}

/// Numbers series by these tags; without tags, all have one number.
pub(super) fn number(index: &TagIndex, tags: &[TagPosition], series: &[SeriesId]) -> Numbers {
    let mut of_nth = vec![0; series.len()];
    for (nth, tag) in tags.iter().enumerate() {
        let ranks = ranks(index, *tag, series);
        of_nth = match nth {
            0 => ranks,
            _ => refined(&of_nth, &ranks),
        };
    }
    let count = of_nth.iter().max().map_or(0, |max| *max as usize + 1);
    let mut first = vec![None; count];
    for (number, id) in of_nth.iter().zip(series) {
        first[*number as usize].get_or_insert(*id);
    }
    // Every number is that of a series.
    Numbers { of_nth, first: first.into_iter().flatten().collect() }
}

/// For each series the rank of its value of a tag among the values that there are.
fn ranks(index: &TagIndex, tag: TagPosition, series: &[SeriesId]) -> Vec<u32> {
    let mut seen: HashMap<u32, u32> = HashMap::new();
    let mut texts: Vec<&str> = Vec::new();
    let mut number = |code: u32| {
        *seen.entry(code).or_insert_with(|| {
            texts.push(index.text(tag, code));
            texts.len() as u32 - 1
        })
    };
    let of_nth: Vec<Option<u32>> = series.iter().map(|id| index.code_of(*id, tag).map(&mut number)).collect();
    let mut ranks = vec![0; texts.len()];
    for (rank, nth) in (0..).zip(sorted(&texts)) {
        ranks[nth as usize] = rank;
    }
    let null_rank = texts.len() as u32;
    of_nth.iter().map(|nth| nth.map_or(null_rank, |nth| ranks[nth as usize])).collect()
}

/// Numbers by two keys, the first before the second.
fn refined(numbers: &[u32], ranks: &[u32]) -> Vec<u32> {
    let key = |(number, rank): (&u32, &u32)| u64::from(*number) << 32 | u64::from(*rank);
    let mut keys: Vec<(u64, u32)> = numbers.iter().zip(ranks).map(key).zip(0..).collect();
    keys.sort_unstable();
    let mut of_nth = vec![0; keys.len()];
    for (number, same) in (0..).zip(keys.chunk_by(|a, b| a.0 == b.0)) {
        same.iter().for_each(|(_, nth)| of_nth[*nth as usize] = number);
    }
    of_nth
}

/// Positions of distinct texts in the order of their bytes.
fn sorted(texts: &[&str]) -> Vec<u32> {
    let common = common_prefix(texts);
    // Names of hosts mostly differ within the eight bytes after what they share: one comparison of numbers.
    let key = |text: &&str| {
        let rest = &text.as_bytes()[common..];
        let mut bytes = [0; 8];
        let length = rest.len().min(8);
        bytes[..length].copy_from_slice(&rest[..length]);
        u64::from_be_bytes(bytes)
    };
    let mut order: Vec<(u64, u32)> = texts.iter().map(key).zip(0..).collect();
    order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| texts[a.1 as usize].cmp(texts[b.1 as usize])));
    order.into_iter().map(|(_, nth)| nth).collect()
}

/// Bytes that all texts begin with.
fn common_prefix(texts: &[&str]) -> usize {
    let Some(first) = texts.first() else { return 0 };
    texts.iter().fold(first.len(), |common, text| {
        first.bytes().take(common).zip(text.bytes()).take_while(|(a, b)| a == b).count()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_sorted_by_their_bytes(texts in proptest::collection::hash_set("host_[0-9a-b]{0,10}", 0..50)) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let found: Vec<&str> = sorted(&texts).into_iter().map(|nth| texts[nth as usize]).collect();
            let mut expected = texts.clone();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn numbers_are_those_of_the_sorted_distinct_values(
            values in proptest::collection::vec(("[ab]?", "[a-d]{0,2}"), 0..40),
            tags in prop_oneof![Just(vec![]), Just(vec![1]), Just(vec![2]), Just(vec![1, 2]), Just(vec![2, 1])],
        ) {
            let mut index = TagIndex::default();
            let ids = values.iter().map(|(one, other)| {
                // An empty value is no value.
                let all = [(1, one.as_str()), (2, other.as_str())];
                index.find_or_add(&all.into_iter().filter(|(_, text)| !text.is_empty()).collect::<Vec<_>>())
            });
            let mut ids: Vec<SeriesId> = ids.collect();
            ids.sort_unstable();
            ids.dedup();
            // NULL last: no value is after every value.
            let key = |id: &SeriesId| tags.iter().map(|tag| {
                let text = index.tag_of(*id, *tag);
                (text.is_none(), text)
            }).collect::<Vec<_>>();
            let mut distinct: Vec<_> = ids.iter().map(key).collect();
            distinct.sort_unstable();
            distinct.dedup();
            let numbers = number(&index, &tags, &ids);
            let expected: Vec<u32> = ids.iter().map(|id| distinct.binary_search(&key(id)).unwrap() as u32).collect();
            prop_assert_eq!(&numbers.of_nth, &expected);
            prop_assert_eq!(numbers.first.iter().map(key).collect::<Vec<_>>(), distinct);
        }
    }
}
