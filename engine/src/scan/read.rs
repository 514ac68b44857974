//! Reading one unit: the rows of every source within its keys and times, merged.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use roaring::RoaringBitmap;

use super::ScanOrder;
use super::effort::{Effort, Tally};
use super::output::Output;
use super::predicate::FieldTest;
use super::sieve;
use crate::memtable::{Bounds, Run};
use crate::model::{FieldRef, TimeRange};
use crate::rows::{Key, Rows, merge};
use crate::segment::{Chunk, ChunkInfo, Picked, Selection};
use crate::table::TableView;
use crate::{Error, Result};

/// What all units of a scan share.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) view: Arc<TableView>,
    output: Output,
    pub(super) wanted: Wanted,
    pub(super) tally: Arc<Tally>,
}

/// Which rows a scan wants, and in which order.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) time: TimeRange,
    /// `None` for all.
    pub(super) series: Option<RoaringBitmap>,
    /// Tests with the number of their field in `Output::fields`.
    pub(super) predicates: Vec<(usize, FieldTest)>,
    pub(super) order: ScanOrder,
    /// Whether statistics and predicates may leave out rows before these are read in full.
    pub(super) prunes: bool,
}

/// A range of keys of one time partition. Units of a scan never overlap.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) time: TimeRange,
    /// Oldest first.
    pub(super) sources: Vec<Source>,
    pub(super) lo: Key,
    /// Exclusive; `None` for no end.
    pub(super) hi: Option<Key>,
    /// Rows that the unit may hold, roughly.
    pub(super) rows_about: usize,
}

/// Something that holds rows.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Some chunks of the n-th segment of the view.
    Segment { nth: usize, chunks: Vec<usize> },
    /// Unflushed rows.
    Run(Arc<Run>),
}

impl Source {
    /// All of its rows lie within.
    pub(super) fn time(&self, view: &TableView) -> TimeRange {
        match self {
            Source::Segment { nth, .. } => {
                let entry = &view.segments[*nth].entry;
                TimeRange { min_ns: entry.min_ns, max_ns: entry.max_ns }
            }
            Source::Run(run) => run.time,
        }
    }
}

impl Wanted {
    /// The rows for which these predicates hold, in the order asked for; `None` for all of them as they are.
    fn pick(&self, rows: &Rows, predicates: &[(usize, FieldTest)]) -> Option<UInt32Array> {
        let masks = predicates.iter().map(|(field, test)| test.mask(&rows.columns[*field]));
        let mask = masks.reduce(|all, one| &all & &one);
        let by_time = matches!(self.order, ScanOrder::Time | ScanOrder::TimeDescending);
        if mask.is_none() && !by_time {
            return None;
        }
        let mut picked: Vec<u32> = match mask {
            Some(mask) => mask.set_indices().map(|row| row as u32).collect(),
            None => (0..rows.len() as u32).collect(),
        };
        let time = |row: &u32| rows.times[*row as usize];
        match self.order {
            ScanOrder::Time => picked.sort_by_key(time),
            ScanOrder::TimeDescending => picked.sort_by_key(|row| Reverse(time(row))),
            ScanOrder::Unordered | ScanOrder::SeriesTime => {}
        }
        Some(picked.into())
    }
}

impl Reader {
    pub(super) fn new(view: Arc<TableView>, output: Output, wanted: Wanted, tally: Arc<Tally>) -> Reader {
        Reader { view, output, wanted, tally }
    }

    /// True when a chunk may hold wanted rows.
    pub(super) fn wants_chunk(&self, chunk: &ChunkInfo) -> bool {
        let series = chunk.series_first.0..=chunk.series_last.0;
        chunk.time.overlaps(&self.wanted.time)
            && self.wanted.series.as_ref().is_none_or(|s| s.range_cardinality(series) > 0)
    }

    /// The rows of a unit, in the order asked for.
    pub(super) fn read(&self, unit: &Unit) -> Result<RecordBatch> {
        let all = &self.wanted.predicates[..];
        let early = if self.sifts(unit) { all } else { &[] };
        let has_runs = unit.sources.iter().any(|source| matches!(source, Source::Run(_)));
        let late = if early.is_empty() || has_runs { all } else { &[] };
        let mut found = Vec::new();
        for source in &unit.sources {
            match source {
                Source::Segment { nth, chunks } => self.read_chunks(*nth, chunks, unit, early, &mut found)?,
                Source::Run(run) => {
                    let bounds =
                        Bounds { time: unit.time, lo: unit.lo, hi: unit.hi, selected: self.wanted.series.as_ref() };
                    found.push(run.read(&bounds, &self.output.fields));
                }
            }
        }
        if found.is_empty() {
            let none = |(_, kind): &FieldRef| arrow_array::new_empty_array(&kind.arrow());
            found.push(Rows { columns: self.output.fields.iter().map(none).collect(), ..Rows::default() });
        }
        let rows = merge(found);
        let pick = self.wanted.pick(&rows, late);
        Ok(self.output.batch(&rows, &self.view.core.index(), pick.as_ref()))
    }

    /// Whether predicates can be tested chunk by chunk: no row of a source takes values from another source.
    fn sifts(&self, unit: &Unit) -> bool {
        if self.wanted.predicates.is_empty() || !self.wanted.prunes {
            return false;
        }
        let mut times: Vec<TimeRange> = unit.sources.iter().map(|source| source.time(&self.view)).collect();
        times.sort_unstable_by_key(|time| time.min_ns);
        times.windows(2).all(|pair| pair[0].max_ns < pair[1].min_ns)
    }

    /// The rows of a chunk for which these predicates hold.
    fn read_chunk(
        &self,
        chunk: &Chunk<'_>,
        selection: &Selection<'_>,
        predicates: &[(usize, FieldTest)],
        effort: &mut Effort,
    ) -> Result<Rows> {
        let fields = &self.output.fields;
        for (field, test) in predicates {
            if !sieve::may_pass(chunk, fields[*field], test)? {
                effort.chunks.pruned += 1;
                return chunk.rows(fields, Picked::default());
            }
        }
        let mut picked = chunk.pick(selection)?;
        for (field, test) in predicates {
            sieve::keep_passing(chunk, fields[*field], test, &mut picked, effort)?;
        }
        effort.chunks.read += 1;
        effort.vectors.read += picked.vectors() as u64;
        chunk.rows(fields, picked)
    }

    /// The rows of some chunks within a unit for which these predicates hold.
    fn read_chunks(
        &self,
        nth: usize,
        chunks: &[usize],
        unit: &Unit,
        predicates: &[(usize, FieldTest)],
        found: &mut Vec<Rows>,
    ) -> Result<()> {
        let live = &self.view.segments[nth];
        let segment = live.file.as_ref().map_err(Error::again)?;
        let selection = Selection { time: unit.time, series: self.wanted.series.as_ref() };
        let mut effort = Effort::default();
        for chunk in chunks {
            let info = &segment.chunks()[*chunk];
            let one_series = info.series_first == info.series_last;
            let first = (info.series_first, if one_series { info.time.min_ns } else { i64::MIN });
            let last = (info.series_last, if one_series { info.time.max_ns } else { i64::MAX });
            if last < unit.lo || unit.hi.is_some_and(|hi| hi <= first) {
                continue;
            }
            let rows = self.read_chunk(&segment.chunk(*chunk)?, &selection, predicates, &mut effort)?;
            let rows = live.deleted.apply(rows);
            let start = rows.lower_bound(unit.lo);
            let end = unit.hi.map_or(rows.len(), |hi| rows.lower_bound(hi));
            let whole = start == 0 && end == rows.len();
            found.push(if whole { rows } else { rows.select(std::slice::from_ref(&(start..end)), &rows.columns) });
        }
        self.tally.add(&effort);
        Ok(())
    }
}
