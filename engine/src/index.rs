//! The tag index of one table: which series there are, and which of them a matcher selects.
//!
//! The values of each tag are dictionary-coded; for each (tag, value) the series that have it are known (its *postings*).
//! Series are only ever added, so a reader may use a newer index than its snapshot: the extra series have no rows there.

mod dictionary;
pub(crate) mod file;
mod matcher;
mod postings;
mod series;

use roaring::RoaringBitmap;

use crate::model::SeriesId;
use dictionary::Code;
use postings::Postings;
use series::SeriesTags;

/// Position of a tag in the table's schema.
pub(crate) type TagPosition = u32;

/// Series of one table by tags.
#[derive(Debug, Default)]
pub(crate) struct TagIndex {
    series: SeriesTags,
    /// By position in the schema; `None` where a column is no tag, or no series has it.
    tags: Vec<Option<Box<Postings>>>,
    key: Vec<(TagPosition, Code)>,
}

impl TagIndex {
    /// Number of series.
    pub(crate) fn len(&self) -> u32 {
        self.series.len()
    }

    /// Memory held, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.series.memory_bytes() + self.tags.iter().flatten().map(|p| p.memory_bytes()).sum::<usize>()
    }

    /// The series with exactly these tags, if there is one. Tags are ordered by position, values are not empty.
    pub(crate) fn find(&self, tags: &[(TagPosition, &str)]) -> Option<SeriesId> {
        // A stack buffer serves nearly every table; more tags than that take the heap.
        let mut short = [(0, 0); 24];
        let mut long = Vec::new();
        let key = if tags.len() <= short.len() {
            &mut short[..tags.len()]
        } else {
            long.resize(tags.len(), (0, 0));
            &mut long[..]
        };
        for (slot, (position, value)) in key.iter_mut().zip(tags) {
            *slot = (*position, self.postings(*position)?.values.code(value)?);
        }
        self.series.find(key)
    }

    /// The series with exactly these tags, made if it is new.
    pub(crate) fn find_or_add(&mut self, tags: &[(TagPosition, &str)]) -> SeriesId {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        key.extend(tags.iter().map(|(position, value)| (*position, self.postings_mut(*position).values.intern(value))));
        let id = self.find_or_add_codes(&key);
        self.key = key;
        id
    }

    /// The series with the tags of these codes, made if it is new.
    fn find_or_add_codes(&mut self, key: &[(TagPosition, Code)]) -> SeriesId {
        if let Some(id) = self.series.find(key) {
            return id;
        }
        let id = self.series.add(key);
        for (position, code) in key {
            self.postings_mut(*position).add(*code, id);
        }
        id
    }

    /// The tags of a series, by position.
    pub(crate) fn tags_of(&self, id: SeriesId) -> impl Iterator<Item = (TagPosition, &str)> {
        let text = |position, code| self.postings(position).expect("a series has the tag").values.text(code);
        self.series.tags(id).map(move |(position, code)| (position, text(position, code)))
    }

    /// The value of one tag of a series.
    pub(crate) fn tag_of(&self, id: SeriesId, tag: TagPosition) -> Option<&str> {
        self.code_of(id, tag).map(|code| self.text(tag, code))
    }

    /// The code of the value of one tag of a series; equal values of a tag have equal codes.
    pub(crate) fn code_of(&self, id: SeriesId, tag: TagPosition) -> Option<Code> {
        self.series.code(id, tag)
    }

    /// The value of a tag that a code of it stands for.
    pub(crate) fn text(&self, tag: TagPosition, code: Code) -> &str {
        self.postings(tag).expect("a code is of a tag that has values").values.text(code)
    }

    /// The codes of the distinct values of a tag that some series have, and whether one of them lacks the tag.
    pub(crate) fn values_of(&self, tag: TagPosition, series: &RoaringBitmap) -> (Vec<Code>, bool) {
        match self.postings(tag) {
            // Asking each of a few series is less work than asking each of many values.
            Some(postings) if series.len() < postings.values.len() as u64 / 4 => {
                let codes = series.iter().map(|id| self.code_of(SeriesId(id), tag));
                let distinct: std::collections::BTreeSet<_> = codes.collect();
                (distinct.iter().copied().flatten().collect(), distinct.contains(&None))
            }
            Some(postings) => (postings.values_of(series), !series.is_subset(&postings.present)),
            None => (Vec::new(), !series.is_empty()),
        }
    }

    /// How many values of a tag came with the newest so many series.
    pub(crate) fn new_values(&self, tag: TagPosition, newest: u32) -> usize {
        let first = self.len().saturating_sub(newest);
        self.postings(tag).map_or(0, |postings| postings.values_since(first))
    }

    fn postings(&self, tag: TagPosition) -> Option<&Postings> {
        self.tags.get(tag as usize)?.as_deref()
    }

    fn postings_mut(&mut self, tag: TagPosition) -> &mut Postings {
        let tag = tag as usize;
        if tag >= self.tags.len() {
            self.tags.resize_with(tag + 1, || None);
        }
        self.tags[tag].get_or_insert_default()
    }
}
