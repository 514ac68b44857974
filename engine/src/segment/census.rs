//! How the columns of a segment are encoded, by a look at the first bytes of each vector.

use std::collections::BTreeMap;

use super::reader::Segment;
use super::vector;
use crate::Result;
use crate::codec;

/// The vectors of one column that are encoded in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// Position of the column in the schema of the table; `None` for the timestamps.
    pub(crate) position: Option<u32>,
    /// As on the format page.
    pub(crate) encoding: String,
    pub(crate) vectors: u64,
    pub(crate) bytes: u64,
}

impl Segment {
    /// The encodings of each column, in the order of the columns, the most frequent first.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub(crate) fn census(&self) -> Result<Vec<Encoded>> {
        let mut found: BTreeMap<(Option<u32>, String), (u64, u64)> = BTreeMap::new();
        let mut add = |position: Option<u32>, encoding: String, bytes: usize| {
            let (vectors, total) = found.entry((position, encoding)).or_default();
            *vectors += 1;
            *total += bytes as u64;
        };
        for nth in 0..self.chunks().len() {
            let chunk = self.chunk(nth)?;
            for vector in 0..chunk.vectors() {
                let bytes = chunk.times_of_vector(vector)?;
                add(None, codec::encoding_name(bytes), bytes.len());
            }
            for field in 0..self.fields().len() {
                let Some(section) = chunk.section(field)? else { continue };
                for nth in 0..chunk.vectors() {
                    let bytes = chunk.bytes_of_vector(&section, nth)?;
                    let rows = chunk.vector_rows(nth).len();
                    add(Some(section.position()), vector::encoding_name(bytes, rows), bytes.len());
                }
            }
        }
        let encoded = |((position, encoding), (vectors, bytes))| Encoded { position, encoding, vectors, bytes };
        let mut all: Vec<Encoded> = found.into_iter().map(encoded).collect();
        all.sort_by_key(|e| (e.position, std::cmp::Reverse(e.vectors)));
        Ok(all)
    }
}
