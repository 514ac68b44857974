//! The tag index of one table: which series there are, and which of them a matcher selects.
//!
//! Tag values are dictionary-coded; for each (tag, value) a roaring bitmap holds the series that have it (its *postings*).
//! Series are only ever added, so a reader may use a newer index than its snapshot: the extra series have no rows there.

mod dictionary;
pub(crate) mod file;
mod matcher;

use std::collections::HashMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::model::SeriesId;
use dictionary::Dictionary;

/// Position of a tag in the table's schema.
pub(crate) type TagPosition = u32;

/// Code of a tag value in the dictionary.
type ValueCode = u32;

/// The tags of a series: (position, value), by position; an absent tag is not listed.
type TagCodes = Arc<[(TagPosition, ValueCode)]>;

/// Series of one table by tags.
#[derive(Debug, Default)]
pub(crate) struct TagIndex {
    values: Dictionary,
    /// Tags of each series, by id.
    series: Vec<TagCodes>,
    ids: HashMap<TagCodes, SeriesId>,
    tags: HashMap<TagPosition, TagPostings>,
    key: Vec<(TagPosition, ValueCode)>,
}

/// The series that have a tag, all of them and by value.
#[derive(Debug, Default)]
struct TagPostings {
    present: RoaringBitmap,
    by_value: HashMap<ValueCode, RoaringBitmap>,
}

impl TagIndex {
    /// Number of series.
    pub(crate) fn len(&self) -> u32 {
        self.series.len() as u32
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
            *slot = (*position, self.values.code(value)?);
        }
        self.ids.get(&*key).copied()
    }

    /// The series with exactly these tags, made if it is new.
    pub(crate) fn find_or_add(&mut self, tags: &[(TagPosition, &str)]) -> SeriesId {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        key.extend(tags.iter().map(|(position, value)| (*position, self.values.intern(value))));
        let id = match self.ids.get(&*key) {
            Some(id) => *id,
            None => self.add(&key),
        };
        self.key = key;
        id
    }

    fn add(&mut self, key: &[(TagPosition, ValueCode)]) -> SeriesId {
        let id = SeriesId(self.len());
        let tags: TagCodes = key.into();
        for (position, value) in key {
            let postings = self.tags.entry(*position).or_default();
            postings.present.insert(id.0);
            postings.by_value.entry(*value).or_default().insert(id.0);
        }
        self.ids.insert(tags.clone(), id);
        self.series.push(tags);
        id
    }

    /// The tags of a series, by position.
    pub(crate) fn tags_of(&self, id: SeriesId) -> impl Iterator<Item = (TagPosition, &str)> {
        self.series[id.0 as usize].iter().map(|(position, value)| (*position, self.values.text(*value)))
    }

    /// The value of one tag of a series.
    pub(crate) fn tag_of(&self, id: SeriesId, tag: TagPosition) -> Option<&str> {
        self.tags_of(id).find(|(position, _)| *position == tag).map(|(_, value)| value)
    }
}
