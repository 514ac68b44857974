//! Which group a series belongs to. Groups are numbered in the order of the answer: by their tags, NULL last.

use std::collections::HashMap;

use arrow_array::{Array, ArrayRef, StringViewArray, UInt32Array};
use arrow_select::take::take;
use roaring::RoaringBitmap;
use std::sync::Arc;

use crate::index::TagIndex;
use crate::model::SeriesId;
use crate::table::TableView;

/// The groups of an aggregation.
#[derive(Debug)]
pub(super) struct Groups {
    of_series: OfSeries,
    /// For each group tag the value of every group.
    tags: Vec<StringViewArray>,
    count: usize,
}

#[derive(Debug)]
enum OfSeries {
    /// All series are in one group.
    One,
    /// Few series of many: by series.
    Sparse(Vec<(u32, u32)>),
    /// By series, from the first one wanted.
    Dense { first: u32, groups: Vec<u32> },
}

/// No group: the series is not wanted.
const NO_GROUP: u32 = u32::MAX;

impl Groups {
    /// Groups the wanted series of a table by these tags, which it has.
    pub(super) fn new(view: &TableView, tags: &[String], selected: Option<&RoaringBitmap>) -> Groups {
        if tags.is_empty() {
            return Groups { of_series: OfSeries::One, tags: Vec::new(), count: 1 };
        }
        let index = view.core.index();
        let position = |tag: &String| view.shape.column(tag, None).expect("the tag was looked up before").0;
        let positions: Vec<u32> = tags.iter().map(position).collect();
        let all: Vec<u32> = match selected {
            Some(selected) => selected.iter().collect(),
            None => (0..index.len()).collect(),
        };
        let keys: Vec<TagRanks> = positions.iter().map(|tag| TagRanks::new(&index, *tag, &all)).collect();
        let (of_nth, values) = number(&keys, all.len());
        let count = values.first().map_or(0, Array::len);
        Groups { of_series: by_series(&all, of_nth), tags: values, count }
    }

    /// Number of groups; there may be one without rows.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The group of a series; `None` if it is not wanted.
    pub(super) fn of(&self, series: SeriesId) -> Option<u32> {
        match &self.of_series {
            OfSeries::One => Some(0),
            OfSeries::Sparse(pairs) => pairs.binary_search_by_key(&series.0, |pair| pair.0).ok().map(|at| pairs[at].1),
            OfSeries::Dense { first, groups } => {
                let nth = series.0.checked_sub(*first)? as usize;
                groups.get(nth).copied().filter(|group| *group != NO_GROUP)
            }
        }
    }

    /// One array per group tag with the values of these groups.
    pub(super) fn values(&self, groups: &UInt32Array) -> Vec<ArrayRef> {
        let of_tag = |values| take(values, groups, None).expect("every group has values");
        self.tags.iter().map(|values| of_tag(values)).collect()
    }
}

/// The values of one tag: a rank for each series, and the texts by rank; NULL has the last one.
struct TagRanks {
    of_nth: Vec<u32>,
    texts: Vec<Option<Arc<str>>>,
}

impl TagRanks {
    fn new(index: &TagIndex, tag: u32, series: &[u32]) -> TagRanks {
        let mut codes: HashMap<&str, u32> = HashMap::new();
        let mut texts: Vec<&str> = Vec::new();
        let mut of_nth = Vec::with_capacity(series.len());
        for &id in series {
            of_nth.push(index.tag_of(SeriesId(id), tag).map(|text| {
                *codes.entry(text).or_insert_with(|| {
                    texts.push(text);
                    texts.len() as u32 - 1
                })
            }));
        }
        let order = sorted(&texts);
        let mut ranks = vec![0; texts.len()];
        for (rank, code) in order.iter().enumerate() {
            ranks[*code as usize] = rank as u32;
        }
        let null_rank = texts.len() as u32;
        let of_nth = of_nth.iter().map(|code| code.map_or(null_rank, |code| ranks[code as usize])).collect();
        let mut texts: Vec<Option<Arc<str>>> = order.iter().map(|code| Some(texts[*code as usize].into())).collect();
        texts.push(None);
        TagRanks { of_nth, texts }
    }
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

/// The group of each series, and for each tag the values by group.
fn number(keys: &[TagRanks], series: usize) -> (Vec<u32>, Vec<StringViewArray>) {
    let ranks_of = |nth: usize| keys.iter().map(|key| key.of_nth[nth]).collect::<Vec<_>>();
    if let [only] = keys {
        let mut used = vec![false; only.texts.len()];
        only.of_nth.iter().for_each(|rank| used[*rank as usize] = true);
        let mut groups = 0..;
        let number: Vec<u32> =
            used.iter().map(|used| if *used { groups.next().unwrap_or(NO_GROUP) } else { NO_GROUP }).collect();
        let texts = only.texts.iter().zip(&used).filter(|(_, used)| **used).map(|(text, _)| text.as_deref());
        return (only.of_nth.iter().map(|rank| number[*rank as usize]).collect(), vec![texts.collect()]);
    }
    let mut order: Vec<(Vec<u32>, usize)> = (0..series).map(|nth| (ranks_of(nth), nth)).collect();
    order.sort_unstable();
    let mut of_nth = vec![NO_GROUP; series];
    let mut distinct: Vec<&Vec<u32>> = Vec::new();
    for (ranks, nth) in &order {
        if distinct.last() != Some(&ranks) {
            distinct.push(ranks);
        }
        of_nth[*nth] = distinct.len() as u32 - 1;
    }
    let values = keys.iter().enumerate().map(|(tag, key)| {
        distinct.iter().map(|ranks| key.texts[ranks[tag] as usize].as_deref()).collect::<StringViewArray>()
    });
    (of_nth, values.collect())
}

fn by_series(all: &[u32], of_nth: Vec<u32>) -> OfSeries {
    let (Some(first), Some(last)) = (all.first().copied(), all.last()) else { return OfSeries::Sparse(Vec::new()) };
    let spanned = (last - first) as usize + 1;
    if all.len() * 8 < spanned {
        return OfSeries::Sparse(all.iter().copied().zip(of_nth).collect());
    }
    let mut groups = vec![NO_GROUP; spanned];
    for (id, group) in all.iter().zip(of_nth) {
        groups[(id - first) as usize] = group;
    }
    OfSeries::Dense { first, groups }
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
    }
}
