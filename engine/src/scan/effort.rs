//! What reading took: which chunks and vectors were left out, answered from their statistics, or read.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the reads of a snapshot have taken so far. Rows that are not in a segment yet are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// Chunks of segments.
    pub chunks: Share,
    /// Vectors of the chunks that were read.
    pub vectors: Share,
}

/// How many things were dealt with in each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Left out: by time, series, or because statistics prove that no row passes.
    pub pruned: u64,
    /// Answered by statistics.
    pub known: u64,
    /// Read.
    pub read: u64,
}

impl Share {
    fn is_nothing(&self) -> bool {
        *self == Share::default()
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chunks: {}", self.chunks)?;
        match self.vectors.is_nothing() {
            true => Ok(()),
            false => write!(f, "; vectors: {}", self.vectors),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} read, {} answered from statistics, {} pruned", self.read, self.known, self.pruned)
    }
}

/// Adds up the effort of all parts of all reads of a snapshot.
#[derive(Debug, Default)]
pub(super) struct Tally {
    chunks: Counters,
    vectors: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    pruned: AtomicU64,
    known: AtomicU64,
    read: AtomicU64,
}

impl Tally {
    pub(super) fn add(&self, effort: &Effort) {
        self.chunks.add(&effort.chunks);
        self.vectors.add(&effort.vectors);
    }

    pub(super) fn effort(&self) -> Effort {
        Effort { chunks: self.chunks.share(), vectors: self.vectors.share() }
    }
}

impl Counters {
    fn add(&self, share: &Share) {
        for (counter, more) in [(&self.pruned, share.pruned), (&self.known, share.known), (&self.read, share.read)] {
            if more > 0 {
                counter.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    fn share(&self) -> Share {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Share { pruned: get(&self.pruned), known: get(&self.known), read: get(&self.read) }
    }
}
