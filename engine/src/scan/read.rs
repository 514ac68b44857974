//! Reading one unit: the rows of every source within its keys and times, merged.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use roaring::RoaringBitmap;

use super::ScanOrder;
use super::output::Output;
use super::predicate::FieldTest;
use crate::memtable::{Bounds, Run};
use crate::model::{FieldRef, TimeRange};
use crate::rows::{Key, Rows, merge};
use crate::segment::{ChunkInfo, Selection};
use crate::table::TableView;
use crate::{Error, Result};

/// What all units of a scan share.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) view: Arc<TableView>,
    output: Output,
    pub(super) wanted: Wanted,
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

impl Wanted {
    /// The rows for which all predicates hold, in the order asked for; `None` for all of them as they are.
    fn pick(&self, rows: &Rows) -> Option<UInt32Array> {
        let masks = self.predicates.iter().map(|(field, test)| test.mask(&rows.columns[*field]));
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
    pub(super) fn new(view: Arc<TableView>, output: Output, wanted: Wanted) -> Reader {
        Reader { view, output, wanted }
    }

    /// True when a chunk may hold wanted rows.
    pub(super) fn wants_chunk(&self, chunk: &ChunkInfo) -> bool {
        let series = chunk.series_first.0..=chunk.series_last.0;
        chunk.time.overlaps(&self.wanted.time)
            && self.wanted.series.as_ref().is_none_or(|s| s.range_cardinality(series) > 0)
    }

    /// The rows of a unit, in the order asked for.
    pub(super) fn read(&self, unit: &Unit) -> Result<RecordBatch> {
        let mut found = Vec::new();
        for source in &unit.sources {
            match source {
                Source::Segment { nth, chunks } => self.read_chunks(*nth, chunks, unit, &mut found)?,
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
        let pick = self.wanted.pick(&rows);
        Ok(self.output.batch(&rows, &self.view.core.index(), pick.as_ref()))
    }

    fn read_chunks(&self, nth: usize, chunks: &[usize], unit: &Unit, found: &mut Vec<Rows>) -> Result<()> {
        let live = &self.view.segments[nth];
        let segment = live.file.as_ref().map_err(Error::again)?;
        let selection = Selection { time: unit.time, series: self.wanted.series.as_ref() };
        for chunk in chunks {
            let info = &segment.chunks()[*chunk];
            let one_series = info.series_first == info.series_last;
            let first = (info.series_first, if one_series { info.time.min_ns } else { i64::MIN });
            let last = (info.series_last, if one_series { info.time.max_ns } else { i64::MAX });
            if last < unit.lo || unit.hi.is_some_and(|hi| hi <= first) {
                continue;
            }
            let rows = live.deleted.apply(segment.read(*chunk, &self.output.fields, &selection)?);
            let start = rows.lower_bound(unit.lo);
            let end = unit.hi.map_or(rows.len(), |hi| rows.lower_bound(hi));
            let whole = start == 0 && end == rows.len();
            found.push(if whole { rows } else { rows.select(std::slice::from_ref(&(start..end)), &rows.columns) });
        }
        Ok(())
    }
}
