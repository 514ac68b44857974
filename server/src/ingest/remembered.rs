//! What earlier lines taught: which series the bytes before a line's fields name, and which fields a table's lines have.
//!
//! Of a line of line protocol about half are its tags, and they are the same in every point of a series. Once such bytes have
//! been parsed and resolved they need not be again: the same bytes always name the same series, as long as its table lives.
//!
//! Invariants
//! - Only bytes that were parsed and resolved without an error are kept, so what is found here would be accepted again.
//! - Memory is bounded: beyond it some of what is known is forgotten, and learnt again when it is met.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, RwLock};

use foldhash::fast::RandomState;
use plimsoll_engine::{SeriesRef, TableId};

/// Bytes of the series that are remembered, all together; some 300,000 of them.
const SERIES_BYTES_MAX: usize = 64 << 20;

/// Memory of one entry besides its bytes, roughly.
const ENTRY_BYTES: usize = 48;

/// Series are kept in this many maps, so that writers rarely wait for each other.
const SHARDS: usize = 64;

/// Tables whose fields are remembered.
const TABLES_MAX: usize = 10_000;

/// What all writers of a server share.
#[derive(Debug)]
pub(super) struct Remembered {
    hasher: RandomState,
    shards: Vec<RwLock<Shard>>,
    fields: RwLock<HashMap<TableId, Arc<FieldNames>>>,
}

#[derive(Debug, Default)]
struct Shard {
    series: HashMap<Box<[u8]>, SeriesRef, RandomState>,
    bytes: usize,
}

/// The names of a table's fields as lines spell them, in the order in which they were met.
#[derive(Debug, Clone, Default)]
pub(super) struct FieldNames {
    names: Vec<Box<[u8]>>,
    numbers: HashMap<Box<[u8]>, usize, RandomState>,
}

impl Default for Remembered {
    fn default() -> Remembered {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Remembered { hasher: RandomState::default(), shards, fields: RwLock::default() }
    }
}

impl Remembered {
    /// The series that bytes from the start of a line up to its fields name.
    pub(super) fn series(&self, key: &[u8]) -> Option<SeriesRef> {
        let shard = self.shard(key).read().expect("a map is changed without panics");
        shard.series.get(key).copied()
    }

    /// Remembers the series that such bytes name.
    pub(super) fn remember_series(&self, key: &[u8], series: SeriesRef) {
        let mut shard = self.shard(key).write().expect("a map is changed without panics");
        if shard.bytes > SERIES_BYTES_MAX / SHARDS {
            *shard = Shard::default();
        }
        if shard.series.insert(key.into(), series).is_none() {
            shard.bytes += key.len() + ENTRY_BYTES;
        }
    }

    /// The fields that lines of a table had.
    pub(super) fn fields(&self, table: TableId) -> Arc<FieldNames> {
        let fields = self.fields.read().expect("a map is changed without panics");
        fields.get(&table).cloned().unwrap_or_default()
    }

    /// Remembers the fields of a table.
    pub(super) fn remember_fields(&self, table: TableId, names: &Arc<FieldNames>) {
        let mut fields = self.fields.write().expect("a map is changed without panics");
        if fields.len() >= TABLES_MAX {
            fields.clear();
        }
        fields.insert(table, Arc::clone(names));
    }

    fn shard(&self, key: &[u8]) -> &RwLock<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl FieldNames {
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The name with a number.
    pub(super) fn name(&self, number: usize) -> Option<&[u8]> {
        self.names.get(number).map(|name| &**name)
    }

    /// The number of a name.
    pub(super) fn number(&self, name: &[u8]) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// Adds a name that is not there yet.
    pub(super) fn add(&mut self, name: &[u8]) {
        self.numbers.insert(name.into(), self.names.len());
        self.names.push(name.into());
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_engine::SeriesId;

    use super::*;

    #[test]
    fn memory_is_bounded() {
        let remembered = Remembered::default();
        let series = |n: u32| SeriesRef { table: TableId(1), series: SeriesId(n) };
        let key = |n: u32| format!("{n:01000}");
        for n in 0..100_000 {
            remembered.remember_series(key(n).as_bytes(), series(n));
            assert_eq!(remembered.series(key(n).as_bytes()), Some(series(n)));
        }
        let held: usize = remembered.shards.iter().map(|shard| shard.read().unwrap().bytes).sum();
        assert!(held <= SERIES_BYTES_MAX + SHARDS * (1000 + ENTRY_BYTES));
        let known = (0..100_000).filter(|n| remembered.series(key(*n).as_bytes()).is_some()).count();
        assert!(known > 10_000, "{known}");
    }

    #[test]
    fn field_names_have_numbers() {
        let mut names = FieldNames::default();
        names.add(b"a");
        names.add(b"b");
        assert_eq!(
            (names.name(1), names.number(b"b"), names.number(b"c"), names.len()),
            (Some(&b"b"[..]), Some(1), None, 2)
        );
    }
}
