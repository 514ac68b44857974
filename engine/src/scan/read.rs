//! Reading one unit: the rows of every source within its keys and times, merged.

use std::sync::Arc;

use arrow_array::RecordBatch;
use roaring::RoaringBitmap;

use super::output::Output;
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
    pub(super) time: TimeRange,
    /// The wanted series; `None` for all.
    pub(super) selected: Option<RoaringBitmap>,
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

impl Reader {
    pub(super) fn new(
        view: Arc<TableView>,
        output: Output,
        time: TimeRange,
        selected: Option<RoaringBitmap>,
    ) -> Reader {
        Reader { view, output, time, selected }
    }

    /// True when a chunk may hold wanted rows.
    pub(super) fn wants_chunk(&self, chunk: &ChunkInfo) -> bool {
        let series = chunk.series_first.0..=chunk.series_last.0;
        chunk.time.overlaps(&self.time) && self.selected.as_ref().is_none_or(|s| s.range_cardinality(series) > 0)
    }

    /// The rows of a unit, in storage order.
    pub(super) fn read(&self, unit: &Unit) -> Result<RecordBatch> {
        let mut found = Vec::new();
        for source in &unit.sources {
            match source {
                Source::Segment { nth, chunks } => self.read_chunks(*nth, chunks, unit, &mut found)?,
                Source::Run(run) => {
                    let bounds = Bounds { time: unit.time, lo: unit.lo, hi: unit.hi, selected: self.selected.as_ref() };
                    found.push(run.read(&bounds, &self.output.fields));
                }
            }
        }
        if found.is_empty() {
            let none = |(_, kind): &FieldRef| arrow_array::new_empty_array(&kind.arrow());
            found.push(Rows { columns: self.output.fields.iter().map(none).collect(), ..Rows::default() });
        }
        Ok(self.output.batch(&merge(found), &self.view.core.index()))
    }

    fn read_chunks(&self, nth: usize, chunks: &[usize], unit: &Unit, found: &mut Vec<Rows>) -> Result<()> {
        let live = &self.view.segments[nth];
        let segment = live.file.as_ref().map_err(Error::again)?;
        let selection = Selection { time: unit.time, series: self.selected.as_ref() };
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
