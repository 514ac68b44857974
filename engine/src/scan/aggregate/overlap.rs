//! Which series have rows in sources that may hold the same point, or rows that were deleted. These are merged; all others are
//! aggregated source by source.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::plan::Plan;
use crate::Result;
use crate::memtable::Run;
use crate::model::{SeriesId, TimeRange};
use crate::segment::Segment;
use crate::tombstone::Tombstones;

/// Some rows of one source.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Number of the source; a later one is newer. Pieces of one source share no point.
    pub(super) source: usize,
    pub(super) first: SeriesId,
    pub(super) last: SeriesId,
    pub(super) time: TimeRange,
    pub(super) rows: Rows,
    /// What was deleted of the source since it was made.
    pub(super) deleted: Tombstones,
}

/// Where the rows are.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    Chunk { segment: Segment, nth: usize },
    Run(Arc<Run>),
}

/// Times of one series in one source.
struct Extent {
    series: u32,
    time: TimeRange,
    source: usize,
}

/// The series that have to be merged.
pub(super) fn to_merge(plan: &Plan, pieces: &[Piece]) -> Result<RoaringBitmap> {
    let mut extents = Vec::new();
    let mut merged = RoaringBitmap::new();
    for piece in overlapping(pieces) {
        let before = extents.len();
        add_extents(plan, piece, &mut extents)?;
        if !piece.deleted.is_empty() {
            let is_touched = |e: &&Extent| piece.deleted.touch((SeriesId(e.series), SeriesId(e.series)), &e.time);
            merged.extend(extents[before..].iter().filter(is_touched).map(|e| e.series));
        }
    }
    extents.sort_unstable_by_key(|e| (e.series, e.time.min_ns));
    for of_series in extents.chunk_by(|a, b| a.series == b.series) {
        if share_time(of_series) {
            merged.insert(of_series[0].series);
        }
    }
    Ok(merged)
}

/// The pieces that share series and times with a piece of another source, and those of which something may be deleted.
fn overlapping(pieces: &[Piece]) -> Vec<&Piece> {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_unstable_by_key(|nth| pieces[*nth].first);
    let mut marked: Vec<bool> = pieces.iter().map(|p| p.deleted.touch((p.first, p.last), &p.time)).collect();
    let mut open: Vec<usize> = Vec::new();
    for nth in order {
        let piece = &pieces[nth];
        open.retain(|other| pieces[*other].last >= piece.first);
        for other in &open {
            if pieces[*other].source != piece.source && pieces[*other].time.overlaps(&piece.time) {
                (marked[nth], marked[*other]) = (true, true);
            }
        }
        open.push(nth);
    }
    pieces.iter().zip(marked).filter(|(_, marked)| *marked).map(|(piece, _)| piece).collect()
}

fn add_extents(plan: &Plan, piece: &Piece, extents: &mut Vec<Extent>) -> Result<()> {
    let mut add = |series: SeriesId, time: TimeRange| {
        let time = time.intersect(&piece.time);
        if !time.is_empty() {
            extents.push(Extent { series: series.0, time, source: piece.source });
        }
    };
    match &piece.rows {
        Rows::Run(run) => {
            for nth in wanted(run.rows.series.len(), |nth| run.rows.series[nth].0, plan.selected.as_ref()) {
                let times = &run.rows.times[run.rows.range(nth)];
                add(run.rows.series[nth].0, TimeRange { min_ns: times[0], max_ns: times[times.len() - 1] });
            }
        }
        Rows::Chunk { segment, nth } => {
            let chunk = segment.chunk(*nth)?;
            for nth in wanted(chunk.runs().len(), |nth| chunk.runs()[nth].0, plan.selected.as_ref()) {
                let rows = chunk.run_rows(nth);
                // Of a series that shares vectors with others, the times of the vectors bound its own.
                let (first, last) = (chunk.vector_of(rows.start), chunk.vector_of(rows.end - 1));
                let times = |vector: usize| chunk.vector_times(vector);
                let min_ns = (first..=last).map(|v| times(v).min).min().unwrap_or(i64::MIN);
                let max_ns = (first..=last).map(|v| times(v).max).max().unwrap_or(i64::MAX);
                add(chunk.runs()[nth].0, TimeRange { min_ns, max_ns });
            }
        }
    }
    Ok(())
}

/// The positions of wanted series in a list of series that ascends; `None` wants all.
pub(super) fn wanted(
    length: usize,
    series: impl Fn(usize) -> SeriesId,
    selected: Option<&RoaringBitmap>,
) -> Vec<usize> {
    let Some(selected) = selected else { return (0..length).collect() };
    if length == 0 || selected.len() >= length as u64 / 8 {
        return (0..length).filter(|nth| selected.contains(series(*nth).0)).collect();
    }
    let mut found = Vec::new();
    let mut start = 0;
    for id in selected.range(series(0).0..=series(length - 1).0) {
        let mut end = length;
        while start < end {
            let middle = start + (end - start) / 2;
            if series(middle).0 < id { start = middle + 1 } else { end = middle }
        }
        if start < length && series(start).0 == id {
            found.push(start);
        }
    }
    found
}

/// True when extents of different sources share a time. They are ordered by their beginning.
fn share_time(extents: &[Extent]) -> bool {
    // The two latest ends so far, of different sources: one of them is not of the source that comes next.
    let mut ends: [Option<(i64, usize)>; 2] = [None, None];
    for extent in extents {
        let reaches = |end: &Option<(i64, usize)>| {
            end.is_some_and(|(max_ns, source)| source != extent.source && max_ns >= extent.time.min_ns)
        };
        if ends.iter().any(reaches) {
            return true;
        }
        let this = (extent.time.max_ns, extent.source);
        let same = ends.iter().position(|end| end.is_some_and(|end| end.1 == this.1));
        let slot = same.unwrap_or(usize::from(ends[1] < ends[0]));
        if ends[slot].is_none_or(|end| end.0 <= this.0) {
            ends[slot] = Some(this);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shared_times_are_found(list in proptest::collection::vec((0_i64..40, 0_i64..8, 0_usize..4), 0..8)) {
            let extent = |&(min_ns, length, source): &(i64, i64, usize)| {
                Extent { series: 0, time: TimeRange { min_ns, max_ns: min_ns + length }, source }
            };
            let mut extents: Vec<Extent> = list.iter().map(extent).collect();
            extents.sort_by_key(|e| e.time.min_ns);
            let pair = |a: &Extent, b: &Extent| a.source != b.source && a.time.overlaps(&b.time);
            let expected = extents.iter().any(|a| extents.iter().any(|b| pair(a, b)));
            prop_assert_eq!(share_time(&extents), expected);
        }
    }
}
