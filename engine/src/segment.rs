//! Segment file: rows of one table, one tier, one time partition. Immutable once published.
//!
//! ```text
//! ┌─────────────┬────────────────────────┬─────────────┬───────────┐
//! │ header 32 B │ chunks, (series, time) │ chunk table │ tail 32 B │
//! └─────────────┴────────────────────────┴─────────────┴───────────┘
//! chunk: head (runs, times, places, statistics) | time vectors | per field: directory | vectors
//! ```
//!
//! Invariants
//! - Rows are ordered by (series, time) through the whole file; no pair occurs twice.
//! - Every byte is covered by one checksum; a reader checks what it touches: header, tail, table, heads and vectors asked for.
//! - Statistics are exact by the rules of `docs/file-format.md`, or absent.
//!
//! A change of the bytes changes `format` (constants), `docs/file-format.md`, and the version.

mod cache;
mod census;
mod format;
mod head;
mod output;
mod reader;
mod stats;
mod vector;
mod verify;
mod writer;

pub(crate) use format::ChunkInfo;
pub(crate) use reader::{Chunk, Picked, Published, Section, Segment, Selection, VectorTimes};
pub(crate) use stats::{Edge, Scalar, Stats};
pub(crate) use vector::{Decoded, VectorBuffer};
pub(crate) use writer::SegmentWriter;

#[cfg(test)]
mod tests;
