//! Which group a series belongs to. Groups are numbered in the order of the answer: by their tags, NULL last.

use arrow_array::{ArrayRef, StringViewArray, UInt32Array};
use arrow_select::take::take;
use roaring::RoaringBitmap;

use crate::model::SeriesId;
use crate::scan::numbers::{Numbers, number};
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
        let ids: Vec<SeriesId> = all.iter().map(|id| SeriesId(*id)).collect();
        let Numbers { of_nth, first } = number(&index, &positions, &ids);
        let values = |tag: &u32| first.iter().map(|id| index.tag_of(*id, *tag)).collect();
        let tags = positions.iter().map(values).collect();
        Groups { of_series: by_series(&all, of_nth), tags, count: first.len() }
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
