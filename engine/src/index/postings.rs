//! The postings of one tag: for each of its values the series that have it.
//!
//! Most values of a tag that tells series apart belong to one series or a few; these are listed plainly, because a bitmap
//! takes ten times their memory.

use roaring::{MultiOps, RoaringBitmap};

use super::dictionary::{Code, Dictionary, grow};
use crate::model::SeriesId;

/// Series of a value that are listed before they become a bitmap.
const LISTED_MAX: usize = 16;

/// One tag: its values, and which series have them.
#[derive(Debug, Default)]
pub(super) struct Postings {
    pub(super) values: Dictionary,
    /// The series that have any value.
    pub(super) present: RoaringBitmap,
    /// By code of the value.
    of_values: Vec<OfValue>,
    lists: Vec<Vec<u32>>,
    /// Places in `lists` that are free.
    free_lists: Vec<u32>,
    bitmaps: Vec<RoaringBitmap>,
}

/// The series that have a value.
#[derive(Debug, Clone, Copy)]
enum OfValue {
    One(u32),
    /// A place in `lists`.
    Listed(u32),
    /// A place in `bitmaps`.
    Bitmap(u32),
}

impl Postings {
    /// How many values came with a series from `first` on. Codes are in the order in which values came.
    pub(super) fn values_since(&self, first: u32) -> usize {
        self.of_values.len() - self.of_values.partition_point(|of_value| self.first_of(*of_value) < first)
    }

    fn first_of(&self, of_value: OfValue) -> u32 {
        let first = match of_value {
            OfValue::One(id) => Some(id),
            OfValue::Listed(at) => self.lists[at as usize].first().copied(),
            OfValue::Bitmap(at) => self.bitmaps[at as usize].min(),
        };
        first.unwrap_or(0)
    }

    /// Adds a series, whose id is above those before.
    pub(super) fn add(&mut self, code: Code, id: SeriesId) {
        push(&mut self.present, id.0);
        let Some(of_value) = self.of_values.get(code as usize).copied() else {
            assert_eq!(code as usize, self.of_values.len(), "codes are counted up, and each gets a series");
            grow(&mut self.of_values);
            self.of_values.push(OfValue::One(id.0));
            return;
        };
        match of_value {
            OfValue::One(first) => self.of_values[code as usize] = self.list(vec![first, id.0]),
            OfValue::Listed(at) if self.lists[at as usize].len() < LISTED_MAX => {
                let list = &mut self.lists[at as usize];
                list.reserve_exact(usize::from(list.len() == list.capacity()) * 2);
                list.push(id.0);
            }
            OfValue::Listed(at) => {
                self.free_lists.push(at);
                let list = std::mem::take(&mut self.lists[at as usize]);
                self.of_values[code as usize] = OfValue::Bitmap(self.bitmaps.len() as u32);
                self.bitmaps.push(list.into_iter().chain([id.0]).collect());
            }
            OfValue::Bitmap(at) => push(&mut self.bitmaps[at as usize], id.0),
        }
    }

    fn list(&mut self, list: Vec<u32>) -> OfValue {
        match self.free_lists.pop() {
            Some(at) => {
                self.lists[at as usize] = list;
                OfValue::Listed(at)
            }
            None => {
                grow(&mut self.lists);
                self.lists.push(list);
                OfValue::Listed(self.lists.len() as u32 - 1)
            }
        }
    }

    /// The series that have one of these values.
    pub(super) fn union(&self, codes: impl Iterator<Item = Code>) -> RoaringBitmap {
        let mut ids = Vec::new();
        let mut bitmaps = Vec::new();
        for code in codes {
            match self.of_values[code as usize] {
                OfValue::One(id) => ids.push(id),
                OfValue::Listed(at) => ids.extend_from_slice(&self.lists[at as usize]),
                OfValue::Bitmap(at) => bitmaps.push(&self.bitmaps[at as usize]),
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let listed = RoaringBitmap::from_sorted_iter(ids).expect("sorted, each once");
        if bitmaps.is_empty() { listed } else { bitmaps.union() | listed }
    }

    /// The values that one of these series has.
    pub(super) fn values_of(&self, series: &RoaringBitmap) -> Vec<Code> {
        let codes = 0..self.values.len() as Code;
        if self.present.is_subset(series) {
            return codes.collect();
        }
        codes.filter(|code| self.has_any(*code, series)).collect()
    }

    fn has_any(&self, code: Code, series: &RoaringBitmap) -> bool {
        match self.of_values[code as usize] {
            OfValue::One(id) => series.contains(id),
            OfValue::Listed(at) => self.lists[at as usize].iter().any(|id| series.contains(*id)),
            OfValue::Bitmap(at) => !self.bitmaps[at as usize].is_disjoint(series),
        }
    }

    /// Memory held, roughly.
    pub(super) fn memory_bytes(&self) -> usize {
        let lists = self.lists.iter().map(|l| l.capacity() * 4).sum::<usize>() + self.lists.capacity() * 24;
        let bitmaps: usize = self.bitmaps.iter().chain([&self.present]).map(bitmap_bytes).sum();
        let values = self.of_values.capacity() * size_of::<OfValue>() + self.values.memory_bytes();
        values + lists + bitmaps + self.free_lists.capacity() * 4
    }
}

/// Ids come in order; the same one again changes nothing.
fn push(bitmap: &mut RoaringBitmap, id: u32) {
    if bitmap.try_push(id).is_err() {
        bitmap.insert(id);
    }
}

/// Containers take more than their contents.
fn bitmap_bytes(bitmap: &RoaringBitmap) -> usize {
    const CONTAINER_BYTES: usize = 48;
    let statistics = bitmap.statistics();
    let containers = statistics.n_containers as usize * CONTAINER_BYTES + size_of::<RoaringBitmap>();
    let contents = statistics.n_bytes_array_containers + statistics.n_bytes_run_containers;
    containers + usize::try_from(contents + statistics.n_bytes_bitset_containers).unwrap_or(usize::MAX)
}
