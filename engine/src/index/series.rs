//! The tags of every series as codes of their values, and the series of some tags.
//!
//! Most series of a table have the same tags, so which tags those are is held once for all of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::TagPosition;
use super::dictionary::{Code, grow};
use crate::model::SeriesId;

/// Series by id and by tags.
#[derive(Debug, Default)]
pub(super) struct SeriesTags {
    /// The distinct lists of tags that series have.
    sets: Vec<Box<[TagPosition]>>,
    set_numbers: HashMap<Box<[TagPosition]>, u32>,
    places: Vec<Place>,
    /// Codes of all tags of all series, series after series.
    codes: Vec<Code>,
    /// The ids, hashed by tags.
    ids: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// Which tags a series has, and where their codes begin.
#[derive(Debug, Clone, Copy)]
struct Place {
    set: u32,
    start: u32,
}

/// Tags with the codes of their values, by position.
pub(super) type Tags<'a> = &'a [(TagPosition, Code)];

impl SeriesTags {
    pub(super) fn len(&self) -> u32 {
        self.places.len() as u32
    }

    /// The series with exactly these tags.
    pub(super) fn find(&self, tags: Tags<'_>) -> Option<SeriesId> {
        let hash = hash(&self.hasher, tags.iter().copied());
        self.ids.find(hash, |id| self.is(*id, tags)).map(|id| SeriesId(*id))
    }

    /// Adds a series with tags that none has yet.
    pub(super) fn add(&mut self, tags: Tags<'_>) -> SeriesId {
        let id = self.len();
        let set = self.set_number(tags);
        let start = u32::try_from(self.codes.len()).expect("the tags of all series of a table are fewer than 2^32");
        if self.codes.capacity() - self.codes.len() < tags.len() {
            self.codes.reserve_exact((self.codes.len() / 8).max(tags.len()));
        }
        self.codes.extend(tags.iter().map(|(_, code)| *code));
        grow(&mut self.places);
        self.places.push(Place { set, start });
        let SeriesTags { sets, places, codes, ids, hasher, .. } = self;
        let hash_of = |id: &u32| hash(hasher, tags_at(sets, codes, places[*id as usize]));
        ids.insert_unique(hash_of(&id), id, hash_of);
        SeriesId(id)
    }

    /// The tags of a series, by position.
    pub(super) fn tags(&self, id: SeriesId) -> impl Iterator<Item = (TagPosition, Code)> {
        tags_at(&self.sets, &self.codes, self.places[id.0 as usize])
    }

    /// The value of one tag of a series.
    pub(super) fn code(&self, id: SeriesId, tag: TagPosition) -> Option<Code> {
        let place = self.places[id.0 as usize];
        let nth = self.sets[place.set as usize].iter().position(|position| *position == tag)?;
        Some(self.codes[place.start as usize + nth])
    }

    /// Memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        let sets: usize = self.sets.iter().map(|set| set.len() * 8 + 64).sum();
        let places = self.places.capacity() * size_of::<Place>();
        sets + places + self.codes.capacity() * size_of::<Code>() + self.ids.allocation_size()
    }

    fn is(&self, id: u32, tags: Tags<'_>) -> bool {
        let place = self.places[id as usize];
        let set = &self.sets[place.set as usize];
        let codes = &self.codes[place.start as usize..][..set.len()];
        set.len() == tags.len() && tags.iter().zip(set.iter().zip(codes)).all(|(a, b)| (a.0, a.1) == (*b.0, *b.1))
    }

    fn set_number(&mut self, tags: Tags<'_>) -> u32 {
        // Series usually have the tags of the one before.
        let is_set = |set: &[TagPosition]| set.len() == tags.len() && set.iter().zip(tags).all(|(a, b)| *a == b.0);
        if let Some(last) = self.places.last().filter(|last| is_set(&self.sets[last.set as usize])) {
            return last.set;
        }
        let set: Box<[TagPosition]> = tags.iter().map(|(position, _)| *position).collect();
        let next = self.sets.len() as u32;
        let number = *self.set_numbers.entry(set.clone()).or_insert(next);
        if number == next {
            self.sets.push(set);
        }
        number
    }
}

fn tags_at(sets: &[Box<[TagPosition]>], codes: &[Code], place: Place) -> impl Iterator<Item = (TagPosition, Code)> {
    let set = &sets[place.set as usize];
    set.iter().copied().zip(codes[place.start as usize..][..set.len()].iter().copied())
}

fn hash(hasher: &DefaultHashBuilder, tags: impl Iterator<Item = (TagPosition, Code)>) -> u64 {
    let mut state = hasher.build_hasher();
    for (position, code) in tags {
        state.write_u32(position);
        state.write_u32(code);
    }
    state.finish()
}
