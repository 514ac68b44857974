//! Adding a chunk to cells: by its statistics, by those of its vectors, or by their values.

use std::sync::Arc;

use super::column::Column;
use super::parts::Scope;
use super::spans::{Span, Stretch, Times};
use super::worker::{Block, Source, Test, Todo, Told, Whole, Worker};
use crate::Result;
use crate::model::{FieldRef, TimeRange};
use crate::scan::proof::{Proof, prove};
use crate::segment::{Chunk, Section, Segment, Stats, VectorBuffer, VectorTimes};

/// A chunk being added.
struct Reading<'c> {
    chunk: &'c Chunk<'c>,
    opened: Vec<Opened>,
    /// The vector whose values are read.
    vector: usize,
    /// Kept for their memory.
    times: Vec<i64>,
    buffer: VectorBuffer,
}

/// A field of a chunk that was needed.
struct Opened {
    field: FieldRef,
    /// `None` where every value is NULL.
    section: Option<Section>,
    stats: Option<Arc<Vec<Stats>>>,
}

impl Worker<'_> {
    /// Adds the rows of a chunk that are wanted and not merged.
    pub(super) fn add_chunk(&mut self, segment: &Segment, nth: usize, scope: &Scope) -> Result<()> {
        let chunk = &segment.chunk(nth)?;
        let runs = chunk.runs();
        let stretches = self.stretches(runs.len(), |n| runs[n].0, scope, |n| chunk.run_rows(n));
        if stretches.is_empty() {
            return Ok(());
        }
        let of_chunk = |field: FieldRef| Ok(chunk.field_stats(field.0, field.1)?.map(Told::Borrowed));
        let Some(tests) = self.unproven(self.plan.predicates.iter(), of_chunk)? else {
            self.effort.chunks.pruned += 1;
            return Ok(());
        };
        let mut todo = Todo::all(self.plan);
        if tests.is_empty() && self.plan.shortcuts.statistics {
            let (first, last) = (chunk.vector_times(0), chunk.vector_times(chunk.vectors() - 1));
            let whole = Whole::new(chunk.info.rows as usize, chunk.info.time, (first.first, last.last), &stretches);
            if let Some(cell) = self.only_cell(&stretches, scope.time, &whole) {
                self.add_known(cell, &whole, &mut todo, of_chunk)?;
            }
        }
        if todo.is_done() {
            self.effort.chunks.known += 1;
            return Ok(());
        }
        self.effort.chunks.read += 1;
        let reading = &mut Reading::new(chunk);
        self.add_vectors(reading, &stretches, scope.time, &tests, &todo)
    }

    /// The tests that statistics leave open; `None` when they prove that no row passes.
    fn unproven<'t, 's>(
        &self,
        tests: impl Iterator<Item = &'t Test>,
        mut stats: impl FnMut(FieldRef) -> Result<Option<Told<'s>>>,
    ) -> Result<Option<Vec<&'t Test>>> {
        let mut open = Vec::new();
        for test in tests {
            let proof = match self.plan.shortcuts.pruning {
                true => prove(&test.1, stats(test.0)?.as_ref().map(Told::stats)),
                false => Proof::Unknown,
            };
            match proof {
                Proof::All => {}
                Proof::Nothing => return Ok(None),
                Proof::Unknown => open.push(test),
            }
        }
        Ok(Some(open))
    }

    /// Adds what is left to do of the vectors that hold wanted rows.
    fn add_vectors(
        &mut self,
        reading: &mut Reading<'_>,
        stretches: &[Stretch],
        time: TimeRange,
        tests: &[&Test],
        todo: &Todo,
    ) -> Result<()> {
        let mut inside = Vec::new();
        let (mut next, mut vector) = (0, 0);
        while let Some(stretch) = stretches.get(next) {
            // Rows before this vector are done.
            vector = reading.chunk.vector_of(stretch.rows.start).max(vector);
            let rows = reading.chunk.vector_rows(vector);
            inside.clear();
            for stretch in &stretches[next..] {
                let clipped = stretch.rows.start.max(rows.start)..stretch.rows.end.min(rows.end);
                if clipped.is_empty() {
                    break;
                }
                let rows = clipped.start - rows.start..clipped.end - rows.start;
                inside.push(Stretch { rows, ..stretch.clone() });
            }
            let times = reading.chunk.vector_times(vector);
            if time.overlaps(&TimeRange { min_ns: times.min, max_ns: times.max }) {
                reading.vector = vector;
                self.add_vector(reading, &inside, time, tests, todo)?;
            }
            next += inside.len();
            // The last one may go on in the next vector.
            next -= usize::from(stretches[next - 1].rows.end > rows.end);
            vector += 1;
        }
        Ok(())
    }

    fn add_vector(
        &mut self,
        reading: &mut Reading<'_>,
        stretches: &[Stretch],
        time: TimeRange,
        tests: &[&Test],
        todo: &Todo,
    ) -> Result<()> {
        let vector = reading.vector;
        let open = self.unproven(tests.iter().copied(), |field| reading.stats(field))?;
        let Some(tests) = open else {
            self.effort.vectors.pruned += 1;
            return Ok(());
        };
        let times = reading.chunk.vector_times(vector);
        let extent = TimeRange { min_ns: times.min, max_ns: times.max };
        let rows = reading.chunk.vector_rows(vector).len();
        let whole = Whole::new(rows, extent, (times.first, times.last), stretches);
        let is_apart = whole.series.is_some() || !self.plan.is_ordered();
        match self.only_cell(stretches, time, &whole) {
            Some(cell) if tests.is_empty() && is_apart => {
                let mut todo = todo.clone();
                if self.plan.shortcuts.statistics {
                    self.add_known(cell, &whole, &mut todo, |field| reading.stats(field))?;
                }
                match todo.is_done() {
                    true => self.effort.vectors.known += 1,
                    false => self.effort.vectors.read += 1,
                }
                let span = Span { cell, start: 0, end: rows, series: whole.series.unwrap_or(0) };
                let ends = Times::Ends { first_ns: times.first, last_ns: times.last };
                self.add_spans(&[span], ends, &todo, reading, None)
            }
            _ => {
                self.effort.vectors.read += 1;
                self.add_values(reading, stretches, time, &tests, todo)
            }
        }
    }

    fn add_values(
        &mut self,
        reading: &mut Reading<'_>,
        stretches: &[Stretch],
        time: TimeRange,
        tests: &[&Test],
        todo: &Todo,
    ) -> Result<()> {
        let vector = reading.vector;
        let mut listed = std::mem::take(&mut reading.times);
        let times = match reading.chunk.times(vector, &mut listed)? {
            VectorTimes::Stride { first_ns, step_ns } => Times::Stride { first_ns, step_ns },
            VectorTimes::Listed => Times::Listed(&listed),
        };
        let chunk = reading.chunk;
        let misplaced = || chunk.times_differ(vector);
        let block = Block { times, stretches, time };
        let added = self.add_block(&block, tests, todo, reading, &misplaced);
        reading.times = listed;
        added
    }
}

impl<'c> Reading<'c> {
    fn new(chunk: &'c Chunk<'c>) -> Reading<'c> {
        Reading { chunk, opened: Vec::new(), vector: 0, times: Vec::new(), buffer: VectorBuffer::default() }
    }

    fn opened(&mut self, field: FieldRef) -> Result<usize> {
        let at = match self.opened.iter().position(|opened| opened.field == field) {
            Some(at) => at,
            None => {
                let section = self.chunk.field(field.0, field.1)?;
                self.opened.push(Opened { field, section, stats: None });
                self.opened.len() - 1
            }
        };
        Ok(at)
    }

    /// The statistics of the vector; `None` where every value of the chunk is NULL.
    fn stats<'s>(&mut self, field: FieldRef) -> Result<Option<Told<'s>>> {
        let at = self.opened(field)?;
        let opened = &mut self.opened[at];
        let Some(section) = &opened.section else { return Ok(None) };
        let stats = match &opened.stats {
            Some(stats) => stats.clone(),
            None => opened.stats.insert(self.chunk.read_statistics(section)?).clone(),
        };
        Ok(Some(Told::Shared(stats, self.vector)))
    }
}

impl Source for Reading<'_> {
    fn with(&mut self, field: Option<FieldRef>, then: &mut dyn FnMut(Column<'_>)) -> Result<()> {
        let Some(field) = field else {
            then(Column::of_times(&self.chunk.read_times(self.vector)?));
            return Ok(());
        };
        let at = self.opened(field)?;
        match &self.opened[at].section {
            Some(section) => then(self.chunk.decode_vector(section, self.vector, &mut self.buffer)?.into()),
            None => then(Column::NOTHING),
        }
        Ok(())
    }
}
