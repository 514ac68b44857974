//! The work of an aggregation: what to read, shared out into parts of about equal size.
//!
//! Rows of one time partition are in chunks of segments and in runs of the memtable. Series whose rows in these may share a point
//! are merged; the rest of each chunk and run is aggregated by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::cells::{Cells, cell_bytes};
use super::overlap::{Piece, Rows, to_merge};
use super::plan::Plan;
use super::spans::Window;
use super::worker::Worker;
use crate::model::{SeriesId, TimeRange};
use crate::partition::{self, Partition};
use crate::scan::effort::{Effort, Share};
use crate::segment::Selection;
use crate::{Error, Result};

/// Rows that are worth a part of their own.
const PART_ROWS_MIN: usize = 64 * 1024;

/// Rows that are merged at once, about.
const MERGED_ROWS: usize = 64 * 1024;

/// Most bytes that the cells of all parts may take.
const CELLS_BYTES_MAX: u128 = 256 << 20;

/// A share of the work.
#[derive(Debug)]
pub(super) struct Part {
    plan: Arc<Plan>,
    windows: Vec<(Window, Vec<Item>)>,
    pub(super) rows_about: usize,
}

/// A piece of work.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) scope: Arc<Scope>,
    pub(super) what: What,
    rows_about: usize,
}

/// What the pieces of a partition share.
#[derive(Debug)]
pub(super) struct Scope {
    partition: Partition,
    pub(super) time: TimeRange,
    /// Series that are merged, and not to be taken from a piece by itself.
    pub(super) merged: RoaringBitmap,
    pub(super) pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    /// The n-th piece of the scope, without the merged series.
    Piece(usize),
    /// These series of all pieces, merged.
    Merged(RoaringBitmap),
}

impl Part {
    /// Does the work; `None` when it was told to stop.
    pub(super) fn run(self, go_on: &dyn Fn() -> bool) -> Result<Option<Vec<Cells>>> {
        let mut found = Vec::new();
        for (window, items) in self.windows {
            let mut worker = Worker::new(&self.plan, window);
            for item in items {
                if !go_on() {
                    return Ok(None);
                }
                worker.add(&item)?;
            }
            found.push(worker.finish());
        }
        Ok(Some(found))
    }
}

/// Shares the work out into at most `parts_max` parts, at least one.
pub(super) fn parts(plan: &Arc<Plan>, parts_max: usize) -> Result<Vec<Part>> {
    let items = items(plan)?;
    let rows: usize = items.iter().map(|item| item.rows_about).sum();
    let count = parts_max.clamp(1, (rows / PART_ROWS_MIN).max(1));
    let mut shares: Vec<(Vec<Item>, usize)> = vec![(Vec::new(), 0); count];
    let mut before = 0;
    for item in items {
        // Neighbours stay together: the n-th share ends where n / count of all rows are dealt out.
        let nth = (before as u128 * count as u128 / (rows as u128).max(1)) as usize;
        let share = &mut shares[nth.min(count - 1)];
        before += item.rows_about;
        share.1 += item.rows_about;
        share.0.push(item);
    }
    windows(plan, shares)
}

/// Gives every share its cells: one window for all of it, or one for each partition where that would be too large.
fn windows(plan: &Arc<Plan>, shares: Vec<(Vec<Item>, usize)>) -> Result<Vec<Part>> {
    let bytes = |items: &[Item]| match window(plan, items) {
        Some((buckets, ..)) => buckets * plan.groups.count() as u128 * cell_bytes(&plan.fields) as u128,
        None => 0,
    };
    let whole: u128 = shares.iter().map(|(items, _)| bytes(items)).sum();
    let of_share = |(items, rows_about): (Vec<Item>, usize)| {
        let split: Vec<Vec<Item>> = match whole <= CELLS_BYTES_MAX {
            true => vec![items],
            false => items.chunk_by(|a, b| a.scope.partition == b.scope.partition).map(<[Item]>::to_vec).collect(),
        };
        (split, rows_about)
    };
    let shares: Vec<_> = shares.into_iter().map(of_share).collect();
    let total: u128 = shares.iter().flat_map(|(split, _)| split).map(|items| bytes(items)).sum();
    if total > CELLS_BYTES_MAX {
        let found = u64::try_from(total).unwrap_or(u64::MAX);
        return Err(Error::Limit {
            what: "memory of an aggregation's groups and buckets",
            found,
            limit: CELLS_BYTES_MAX as u64,
        });
    }
    let with_window = |items: Vec<Item>| {
        let (buckets, first_bucket) = window(plan, &items).unwrap_or((0, 0));
        (Window { first_bucket, buckets: buckets as usize, groups: plan.groups.count() }, items)
    };
    let part = |(split, rows_about): (Vec<Vec<Item>>, usize)| Part {
        plan: plan.clone(),
        windows: split.into_iter().map(with_window).collect(),
        rows_about,
    };
    Ok(shares.into_iter().map(part).collect())
}

/// Number of buckets that some items may meet, and the first of them.
fn window(plan: &Plan, items: &[Item]) -> Option<(u128, u64)> {
    let time = |item: &Item| match item.what {
        What::Piece(nth) => item.scope.pieces[nth].time,
        What::Merged(_) => item.scope.time,
    };
    let first = items.iter().map(|item| plan.clock.bucket(time(item).min_ns)).min()?;
    let last = items.iter().map(|item| plan.clock.bucket(time(item).max_ns)).max()?;
    Some((u128::from(last) - u128::from(first) + 1, first))
}

fn items(plan: &Plan) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let partitions = pieces_by_partition(plan)?;
    plan.tally.add(&pruned(plan, &partitions));
    for (partition, pieces) in partitions {
        let time = partition::range(partition).intersect(&plan.time);
        let merged = to_merge(plan, &pieces)?;
        let scope = Arc::new(Scope { partition, time, merged, pieces });
        for (nth, piece) in scope.pieces.iter().enumerate() {
            items.push(Item { scope: scope.clone(), what: What::Piece(nth), rows_about: rows_about(plan, piece) });
        }
        items.extend(merged_items(plan, &scope));
    }
    Ok(items)
}

/// The chunks that hold no wanted rows.
fn pruned(plan: &Plan, partitions: &BTreeMap<Partition, Vec<Piece>>) -> Effort {
    let all = plan.view.segments.iter().filter_map(|live| live.file.as_ref().ok()).map(|s| s.chunks().len());
    let kept = partitions.values().flatten().filter(|piece| matches!(piece.rows, Rows::Chunk { .. })).count();
    let pruned = all.sum::<usize>().saturating_sub(kept) as u64;
    Effort { chunks: Share { pruned, ..Share::default() }, ..Effort::default() }
}

/// Everything that may hold wanted rows, by partition and from old to new.
pub(super) fn pieces_by_partition(plan: &Plan) -> Result<BTreeMap<Partition, Vec<Piece>>> {
    let mut partitions: BTreeMap<Partition, Vec<Piece>> = BTreeMap::new();
    let mut source = 0;
    for live in plan.view.segments.iter() {
        let time = TimeRange { min_ns: live.entry.min_ns, max_ns: live.entry.max_ns }.intersect(&plan.time);
        if time.is_empty() {
            continue;
        }
        let segment = live.file.as_ref().map_err(Error::again)?;
        let chunks = match plan.shortcuts.pruning {
            true => segment.chunks_for(&Selection { time, series: plan.selected.as_ref() }),
            false => (0..segment.chunks().len()).filter(|nth| segment.chunks()[*nth].time.overlaps(&time)).collect(),
        };
        let piece = |nth: usize| {
            let info = &segment.chunks()[nth];
            let rows = Rows::Chunk { segment: segment.clone(), nth };
            let (first, last, time) = (info.series_first, info.series_last, info.time.intersect(&time));
            Piece { source, first, last, time, rows, deleted: live.deleted.clone() }
        };
        partitions.entry(partition::of(time.min_ns)).or_default().extend(chunks.into_iter().map(piece));
        source += 1;
    }
    for run in plan.view.memtable.runs() {
        for partition in run.partitions() {
            let time = partition::range(*partition).intersect(&run.time).intersect(&plan.time);
            let (Some(first), Some(last), false) = (run.rows.series.first(), run.rows.series.last(), time.is_empty())
            else {
                continue;
            };
            let (rows, deleted) = (Rows::Run(run.clone()), run.deleted().clone());
            let piece = Piece { source, first: first.0, last: last.0, time, rows, deleted };
            partitions.entry(*partition).or_default().push(piece);
        }
        source += 1;
    }
    Ok(partitions)
}

/// The merged series of a scope in shares of bounded size.
fn merged_items(plan: &Plan, scope: &Arc<Scope>) -> Vec<Item> {
    if scope.merged.is_empty() {
        return Vec::new();
    }
    let rows: usize = scope.pieces.iter().map(|piece| rows_about(plan, piece)).sum();
    let series = plan.selected.as_ref().map_or(plan.view.core.index().len().into(), RoaringBitmap::len).max(1);
    let rows_of_one = (rows / series as usize).max(1);
    let ids: Vec<u32> = scope.merged.iter().collect();
    let item = |ids: &[u32]| Item {
        scope: scope.clone(),
        what: What::Merged(ids.iter().copied().collect()),
        // A merge takes several times as long as reading.
        rows_about: ids.len() * rows_of_one * 4,
    };
    ids.chunks((MERGED_ROWS / rows_of_one).max(1)).map(item).collect()
}

/// Rows that a piece may hold, with the share of time and series that is wanted.
fn rows_about(plan: &Plan, piece: &Piece) -> usize {
    let (rows, series, time) = match &piece.rows {
        Rows::Chunk { segment, nth } => {
            let info = &segment.chunks()[*nth];
            (info.rows as usize, info.runs as usize, info.time)
        }
        Rows::Run(run) => (run.rows.len(), run.rows.series.len(), run.time),
    };
    let span = |time: TimeRange| (i128::from(time.max_ns) - i128::from(time.min_ns) + 1) as f64;
    let of_time = (span(piece.time) / span(time)).min(1.0);
    let wanted = plan.selected.as_ref().map_or(series as u64, |s| wanted_between(s, piece.first, piece.last));
    let of_series = wanted.min(series as u64) as f64 / series.max(1) as f64;
    (rows as f64 * of_time * of_series) as usize + 1
}

fn wanted_between(selected: &RoaringBitmap, first: SeriesId, last: SeriesId) -> u64 {
    selected.range_cardinality(first.0..=last.0)
}
