//! Predicates before anything else of a chunk is read: by statistics, then by the values of the vectors that these leave open.

use std::ops::Range;

use arrow_buffer::BooleanBuffer;

use super::FieldTest;
use super::effort::Effort;
use super::proof::{Proof, prove};
use crate::Result;
use crate::model::FieldRef;
use crate::segment::{Chunk, Picked, VectorBuffer};

/// False when the statistics of a chunk prove that no row of it passes.
pub(super) fn may_pass(chunk: &Chunk<'_>, (position, kind): FieldRef, test: &FieldTest) -> Result<bool> {
    Ok(prove(test, chunk.field_stats(position, kind)?) != Proof::Nothing)
}

/// Keeps the rows for which a test of a field holds.
pub(super) fn keep_passing(
    chunk: &Chunk<'_>,
    (position, kind): FieldRef,
    test: &FieldTest,
    picked: &mut Picked,
    effort: &mut Effort,
) -> Result<()> {
    let Some(section) = chunk.field(position, kind)? else {
        let all = test.holds(None);
        return picked.retain(|_, _| Ok((!all).then(Vec::new)));
    };
    let statistics = chunk.read_statistics(&section)?;
    let mut buffer = VectorBuffer::default();
    picked.retain(|vector, ranges| match prove(test, Some(&statistics[vector])) {
        Proof::All => Ok(None),
        Proof::Nothing => {
            effort.vectors.pruned += 1;
            Ok(Some(Vec::new()))
        }
        Proof::Unknown => {
            let mask = test.mask_of_vector(chunk.decode_vector(&section, vector, &mut buffer)?);
            Ok(Some(within(&mask, ranges)))
        }
    })
}

/// The rows that are set, within each of some ranges.
fn within(mask: &BooleanBuffer, ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let of_range = |range: &Range<usize>| {
        let start = range.start;
        let set: Vec<_> = mask.slice(start, range.len()).set_slices().collect();
        set.into_iter().map(move |(from, to)| start + from..start + to)
    };
    ranges.iter().flat_map(of_range).collect()
}
