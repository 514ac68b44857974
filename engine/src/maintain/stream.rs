//! Rows of several sources as one ordered stream, in bounded memory: each source is read chunk by chunk, and what is handed
//! out are the rows up to the first key at which some source has to be read further.
//!
//! Deleted rows are left out. Each chunk is read once.

use std::collections::VecDeque;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::Result;
use crate::memtable::{Bounds, Run};
use crate::model::{FieldRef, SeriesId, TimeRange};
use crate::rows::{Key, Rows, merge};
use crate::segment::{ChunkInfo, Segment, Selection};
use crate::table::LiveSegment;

/// Rows of one table between two times.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Oldest first.
    inputs: Vec<Input>,
    fields: Vec<FieldRef>,
    wanted: Wanted,
}

/// Which rows are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) time: TimeRange,
    /// `None` for all series.
    pub(crate) series: Option<RoaringBitmap>,
}

/// A source, as far as it was read.
#[derive(Debug)]
struct Input {
    /// A segment, with its chunks that are still to be read.
    segment: Option<(Arc<LiveSegment>, VecDeque<usize>)>,
    /// Rows that were read and not handed out yet.
    rows: Rows,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Rows in storage order, all of them after those before.
    Rows(Rows),
    /// A chunk of a segment as it is: no other source has rows between its keys, and none of its rows is deleted.
    Chunk(Segment, usize),
}

impl Wanted {
    /// Every row.
    pub(crate) const ALL: Wanted = Wanted { time: TimeRange::ALL, series: None };

    fn may_be_in(&self, chunk: &ChunkInfo) -> bool {
        let series = chunk.series_first.0..=chunk.series_last.0;
        chunk.time.overlaps(&self.time) && self.series.as_ref().is_none_or(|s| s.range_cardinality(series) > 0)
    }

    fn is_all_of(&self, chunk: &ChunkInfo) -> bool {
        let series = chunk.series_first.0..=chunk.series_last.0;
        let all = u64::from(chunk.series_last.0 - chunk.series_first.0) + 1;
        self.time.min_ns <= chunk.time.min_ns
            && chunk.time.max_ns <= self.time.max_ns
            && self.series.as_ref().is_none_or(|s| s.range_cardinality(series) == all)
    }
}

impl Stream {
    /// The rows of some segments, oldest first, and of runs that are newer, with these columns.
    pub(crate) fn new(
        segments: &[Arc<LiveSegment>],
        runs: &[Arc<Run>],
        fields: Vec<FieldRef>,
        wanted: Wanted,
    ) -> Result<Stream> {
        let mut inputs = Vec::new();
        for live in segments {
            let segment = live.file.as_ref().map_err(crate::Error::again)?;
            let chunks = (0..segment.chunks().len()).filter(|nth| wanted.may_be_in(&segment.chunks()[*nth]));
            inputs.push(Input { segment: Some((live.clone(), chunks.collect())), rows: Rows::default() });
        }
        for run in runs {
            let bounds =
                Bounds { time: wanted.time, lo: (SeriesId(0), i64::MIN), hi: None, selected: wanted.series.as_ref() };
            inputs.push(Input { segment: None, rows: run.read(&bounds, &fields) });
        }
        Ok(Stream { inputs, fields, wanted })
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub(crate) fn next_rows(&mut self) -> Result<Option<Rows>> {
        for input in &mut self.inputs {
            input.fill(&self.fields, &self.wanted)?;
        }
        let frontier =
            self.inputs.iter().filter(|i| i.chunks_left() > 0).filter_map(|i| Some(i.rows.bounds()?.1)).min();
        let mut found = Vec::new();
        for input in self.inputs.iter_mut().filter(|i| i.rows.len() > 0) {
            let taken = input.take(frontier);
            if taken.len() > 0 {
                found.push(taken);
            }
        }
        Ok(if found.is_empty() { None } else { Some(merge(found)) })
    }

    /// The next rows, or a chunk as it is where that is possible and it has at least `chunk_rows_min` rows.
    ///
    /// # Errors
    /// As [`Stream::next_rows`].
    pub(crate) fn next_piece(&mut self, chunk_rows_min: usize) -> Result<Option<Piece>> {
        if let Some((nth, chunk)) = self.chunk_as_it_is(chunk_rows_min) {
            let (live, chunks) = self.inputs[nth].segment.as_mut().expect("it was just looked at");
            chunks.pop_front();
            let segment = live.file.as_ref().map_err(crate::Error::again)?;
            return Ok(Some(Piece::Chunk(segment.clone(), chunk)));
        }
        Ok(self.next_rows()?.map(Piece::Rows))
    }

    /// The number of rows, which is known for many chunks without reading them.
    ///
    /// # Errors
    /// As [`Stream::next_rows`].
    pub(crate) fn count(mut self) -> Result<u64> {
        let mut count = 0;
        loop {
            match self.next_piece(0)? {
                None => return Ok(count),
                Some(Piece::Rows(rows)) => count += rows.len() as u64,
                Some(Piece::Chunk(segment, chunk)) => count += u64::from(segment.chunks()[chunk].rows),
            }
        }
    }

    /// The input whose next chunk comes next as a whole.
    fn chunk_as_it_is(&self, rows_min: usize) -> Option<(usize, usize)> {
        let first_keys: Vec<Option<Key>> = self.inputs.iter().map(Input::first_key).collect();
        let (nth, _) =
            first_keys.iter().enumerate().filter_map(|(n, key)| Some((n, (*key)?))).min_by_key(|(_, k)| *k)?;
        let input = &self.inputs[nth];
        let (live, chunks) = input.segment.as_ref().filter(|_| input.rows.len() == 0)?;
        let segment = live.file.as_ref().ok()?;
        let (at, info) = chunks.front().map(|at| (*at, &segment.chunks()[*at]))?;
        let last = last_key_at_most(info);
        let is_alone = first_keys.iter().enumerate().all(|(n, key)| n == nth || key.is_none_or(|key| last < key));
        let is_whole = self.wanted.is_all_of(info)
            && !live.deleted.touch((info.series_first, info.series_last), &info.time)
            && info.rows as usize >= rows_min;
        // A series that goes on in the next chunk of this segment is behind this chunk's last key.
        (is_alone && is_whole).then_some((nth, at))
    }
}

/// No row of a chunk is before this key.
fn first_key_at_least(info: &ChunkInfo) -> Key {
    let is_one = info.series_first == info.series_last;
    (info.series_first, if is_one { info.time.min_ns } else { i64::MIN })
}

/// No row of a chunk is after this key.
fn last_key_at_most(info: &ChunkInfo) -> Key {
    let is_one = info.series_first == info.series_last;
    (info.series_last, if is_one { info.time.max_ns } else { i64::MAX })
}

impl Input {
    fn chunks_left(&self) -> usize {
        self.segment.as_ref().map_or(0, |(_, chunks)| chunks.len())
    }

    /// No row that is left is before this key; `None` when none is left.
    fn first_key(&self) -> Option<Key> {
        if let Some((first, _)) = self.rows.bounds() {
            return Some(first);
        }
        let (live, chunks) = self.segment.as_ref()?;
        let segment = live.file.as_ref().ok()?;
        chunks.front().map(|at| first_key_at_least(&segment.chunks()[*at]))
    }

    /// Reads on until there are rows, or to the end.
    fn fill(&mut self, fields: &[FieldRef], wanted: &Wanted) -> Result<()> {
        let Some((live, chunks)) = &mut self.segment else { return Ok(()) };
        let segment = live.file.as_ref().map_err(crate::Error::again)?;
        let selection = Selection { time: wanted.time, series: wanted.series.as_ref() };
        while self.rows.len() == 0 {
            let Some(chunk) = chunks.pop_front() else { break };
            self.rows = live.deleted.apply(segment.read(chunk, fields, &selection)?);
        }
        Ok(())
    }

    /// Parts with the rows up to a key, or with all.
    fn take(&mut self, up_to: Option<Key>) -> Rows {
        let end = match up_to {
            Some(key) => self.rows.lower_bound(after(key)),
            None => self.rows.len(),
        };
        if end == self.rows.len() {
            return std::mem::take(&mut self.rows);
        }
        let part = |range| self.rows.select(std::slice::from_ref(&range), &self.rows.columns);
        let (taken, left) = (part(0..end), part(end..self.rows.len()));
        self.rows = left;
        taken
    }
}

/// The key right after another.
fn after((series, time_ns): Key) -> Key {
    match time_ns.checked_add(1) {
        Some(next) => (series, next),
        None => (SeriesId(series.0.saturating_add(1)), i64::MIN),
    }
}
