//! Adding pieces of work to cells: rows in memory here, chunks in `chunk`.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::ArrayRef;
use roaring::RoaringBitmap;

use super::cells::{Cells, Known};
use super::column::Column;
use super::filter::{all_rows, keep, within};
use super::overlap::{Rows as PieceRows, wanted};
use super::parts::{Item, Scope, What};
use super::plan::Plan;
use super::spans::{Cutter, Misplaced, Span, Stretch, Times, Window};
use crate::memtable::Bounds;
use crate::model::{FieldRef, SeriesId, TimeRange};
use crate::rows::{Rows, merge};
use crate::scan::FieldTest;
use crate::scan::effort::Effort;
use crate::segment::{Edge, Scalar, Selection, Stats};
use crate::{Error, Result};

/// Adds up the work of one window.
pub(super) struct Worker<'p> {
    pub(super) plan: &'p Plan,
    cells: Cells,
    pub(super) effort: Effort,
}

/// The fields that are left to aggregate, and whether the rows are left to count.
#[derive(Debug, Clone)]
pub(super) struct Todo {
    pub(super) fields: Vec<usize>,
    pub(super) rows: bool,
}

impl<'p> Worker<'p> {
    pub(super) fn new(plan: &'p Plan, window: Window) -> Worker<'p> {
        Worker { plan, cells: Cells::new(window, &plan.fields), effort: Effort::default() }
    }

    pub(super) fn finish(self) -> Cells {
        self.plan.tally.add(&self.effort);
        self.cells
    }

    pub(super) fn add(&mut self, item: &Item) -> Result<()> {
        match &item.what {
            What::Piece(nth) => match &item.scope.pieces[*nth].rows {
                PieceRows::Chunk { segment, nth } => self.add_chunk(segment, *nth, &item.scope),
                PieceRows::Run(run) => {
                    let column = |field: &FieldRef| run.column(field.0).cloned();
                    let stretches = self.stretches(
                        run.rows.series.len(),
                        |n| run.rows.series[n].0,
                        &item.scope,
                        |n| run.rows.range(n),
                    );
                    self.add_rows(&run.rows, stretches, item.scope.time, &column)
                }
            },
            What::Merged(series) => self.add_merged(series, &item.scope),
        }
    }

    /// The wanted series of a piece that are not merged.
    pub(super) fn stretches(
        &self,
        length: usize,
        series: impl Fn(usize) -> SeriesId,
        scope: &Scope,
        rows: impl Fn(usize) -> Range<usize>,
    ) -> Vec<Stretch> {
        let stretch = |nth: usize| {
            let id = series(nth);
            let group = self.plan.groups.of(id).filter(|_| !scope.merged.contains(id.0))?;
            Some(Stretch { series: id.0, group, rows: rows(nth) })
        };
        wanted(length, &series, self.plan.selected.as_ref()).into_iter().filter_map(stretch).collect()
    }

    /// Merges the rows of some series of all pieces, and adds them.
    fn add_merged(&mut self, series: &RoaringBitmap, scope: &Scope) -> Result<()> {
        let mut fields: Vec<FieldRef> = self.plan.fields.iter().filter_map(|f| f.field).collect();
        fields.extend(self.plan.predicates.iter().map(|(field, _)| *field));
        fields.sort_unstable_by_key(|field| field.0);
        fields.dedup();
        let mut found = Vec::new();
        for piece in &scope.pieces {
            let selected = Some(series);
            found.push(match &piece.rows {
                PieceRows::Chunk { segment, nth } => {
                    self.effort.chunks.read += 1;
                    let rows = segment.read(*nth, &fields, &Selection { time: scope.time, series: selected })?;
                    piece.deleted.apply(rows)
                }
                PieceRows::Run(run) => run.read(&Bounds { time: scope.time, selected, ..Bounds::ALL }, &fields),
            });
        }
        let rows = merge(found);
        let column = |field: &FieldRef| Some(rows.columns[fields.iter().position(|f| f == field)?].clone());
        let stretch = |nth: usize| {
            let id = rows.series[nth].0;
            Some(Stretch { series: id.0, group: self.plan.groups.of(id)?, rows: rows.range(nth) })
        };
        let stretches = (0..rows.series.len()).filter_map(stretch).collect();
        self.add_rows(&rows, stretches, scope.time, &column)
    }

    /// Adds stretches of rows in memory.
    fn add_rows(
        &mut self,
        rows: &Rows,
        mut stretches: Vec<Stretch>,
        time: TimeRange,
        column: &dyn Fn(&FieldRef) -> Option<ArrayRef>,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (stretches.first(), stretches.last()) else { return Ok(()) };
        // Few series of many are looked at without the rows around them.
        let (start, end) = (first.rows.start, last.rows.end);
        let times = &rows.times[start..end];
        stretches.iter_mut().for_each(|s| s.rows = s.rows.start - start..s.rows.end - start);
        let mut source = InMemory { times, column, rows: start..end };
        let block = Block { times: Times::Listed(times), stretches: &stretches, time };
        let tests: Vec<&Test> = self.plan.predicates.iter().collect();
        let misplaced = || unreachable!("the rows of a source are within its times");
        self.add_block(&block, &tests, &Todo::all(self.plan), &mut source, &misplaced)
    }

    /// Adds the rows of a block that pass the tests.
    pub(super) fn add_block(
        &mut self,
        block: &Block<'_>,
        tests: &[&Test],
        todo: &Todo,
        source: &mut dyn Source,
        misplaced: &dyn Fn() -> Error,
    ) -> Result<()> {
        if tests.is_empty() {
            let spans = self.cut(block).map_err(|Misplaced| misplaced())?;
            return self.add_spans(&spans, block.times, todo, source, None);
        }
        let mut rows = Vec::new();
        all_rows(block.stretches, &mut rows);
        for (field, test) in tests {
            source.with(Some(*field), &mut |column| keep(test, &column, &mut rows))?;
        }
        let times: Vec<i64> = rows.iter().map(|row| block.times.at(*row as usize)).collect();
        let stretches = within(block.stretches, &rows);
        let picked = Block { times: Times::Listed(&times), stretches: &stretches, time: block.time };
        let spans = self.cut(&picked).map_err(|Misplaced| misplaced())?;
        self.add_spans(&spans, picked.times, todo, source, Some(&rows))
    }

    fn cut(&self, block: &Block<'_>) -> Result<Vec<Span>, Misplaced> {
        let Plan { clock, .. } = self.plan;
        let cutter = Cutter { clock, window: self.cells.window, time: block.time, is_ordered: self.plan.is_ordered() };
        let mut spans = Vec::with_capacity(block.stretches.len());
        for stretch in block.stretches {
            cutter.cut(stretch, block.times, &mut spans)?;
        }
        Ok(spans)
    }

    /// Adds spans of rows, or of the picked ones among them.
    pub(super) fn add_spans(
        &mut self,
        spans: &[Span],
        times: Times<'_>,
        todo: &Todo,
        source: &mut dyn Source,
        picked: Option<&[u32]>,
    ) -> Result<()> {
        if spans.is_empty() {
            return Ok(());
        }
        if todo.rows {
            spans.iter().for_each(|span| self.cells.rows[span.cell] += (span.end - span.start) as u64);
        }
        for &nth in &todo.fields {
            let cells = &mut self.cells.fields[nth];
            source.with(self.plan.fields[nth].field, &mut |column| match picked {
                None => cells.add(&column, spans, times),
                Some(rows) => cells.add(&column.pick(rows), spans, times),
            })?;
        }
        Ok(())
    }

    /// The one cell that rows as a whole belong to, if all of them are wanted and there is one.
    pub(super) fn only_cell(&self, stretches: &[Stretch], time: TimeRange, whole: &Whole) -> Option<usize> {
        let first = stretches.first()?;
        let extent = whole.extent;
        let is_inside = time.min_ns <= extent.min_ns && extent.max_ns <= time.max_ns;
        let is_whole = stretches.iter().map(|s| s.rows.len()).sum::<usize>() == whole.rows;
        if !is_inside || !is_whole || stretches.iter().any(|s| s.group != first.group) {
            return None;
        }
        let bucket = self.plan.clock.bucket(extent.min_ns);
        let is_one = self.plan.clock.last_ns(bucket) >= extent.max_ns;
        self.cells.window.cell(first.group, bucket).filter(|_| is_one)
    }

    /// Adds rows of one cell by their statistics, and takes from `todo` what that settled.
    pub(super) fn add_known<'s>(
        &mut self,
        cell: usize,
        whole: &Whole,
        todo: &mut Todo,
        mut stats: impl FnMut(FieldRef) -> Result<Option<Told<'s>>>,
    ) -> Result<()> {
        if todo.rows {
            self.cells.rows[cell] += whole.rows as u64;
            todo.rows = false;
        }
        let mut left = Vec::new();
        for &nth in &todo.fields {
            let told = match self.plan.fields[nth].field {
                Some(field) => stats(field)?,
                None => Some(Told::Made(Box::new(whole.stats_of_time()))),
            };
            let known = Known { stats: told.as_ref().map(Told::stats), ends_ns: whole.ends_ns, series: whole.series };
            if !self.cells.fields[nth].add_known(cell, known) {
                left.push(nth);
            }
        }
        todo.fields = left;
        Ok(())
    }
}

/// Gives the values of fields for the rows of a block.
pub(super) trait Source {
    /// Hands the values of a field, or the times, to `then`.
    fn with(&mut self, field: Option<FieldRef>, then: &mut dyn FnMut(Column<'_>)) -> Result<()>;
}

/// Some rows of a run, or of what a merge gave.
struct InMemory<'a> {
    times: &'a [i64],
    column: &'a dyn Fn(&FieldRef) -> Option<ArrayRef>,
    rows: Range<usize>,
}

impl Source for InMemory<'_> {
    fn with(&mut self, field: Option<FieldRef>, then: &mut dyn FnMut(Column<'_>)) -> Result<()> {
        match field {
            None => then(Column::of_times(self.times)),
            Some(field) => match (self.column)(&field) {
                Some(array) => then(Column::from(&array.slice(self.rows.start, self.rows.len()))),
                None => then(Column::NOTHING),
            },
        }
        Ok(())
    }
}

/// A predicate of the plan.
pub(super) type Test = (FieldRef, FieldTest);

/// Rows to cut into spans.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) times: Times<'a>,
    pub(super) stretches: &'a [Stretch],
    pub(super) time: TimeRange,
}

/// Rows that are known as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    pub(super) rows: usize,
    pub(super) extent: TimeRange,
    /// Times of the first and last row.
    pub(super) ends_ns: (i64, i64),
    /// The series of all rows; `None` when there are several.
    pub(super) series: Option<u32>,
}

/// Statistics, wherever they are kept.
pub(super) enum Told<'a> {
    Borrowed(&'a Stats),
    /// The n-th of some.
    Shared(Arc<Vec<Stats>>, usize),
    Made(Box<Stats>),
}

impl Told<'_> {
    pub(super) fn stats(&self) -> &Stats {
        match self {
            Told::Borrowed(stats) => stats,
            Told::Shared(all, nth) => &all[*nth],
            Told::Made(stats) => stats,
        }
    }
}

impl Whole {
    pub(super) fn new(rows: usize, extent: TimeRange, ends_ns: (i64, i64), stretches: &[Stretch]) -> Whole {
        let series = match stretches {
            [only] => Some(only.series),
            _ => None,
        };
        Whole { rows, extent, ends_ns, series }
    }

    fn stats_of_time(&self) -> Stats {
        let edge = |time_ns| Edge { time_ns, value: Scalar::Integer(time_ns) };
        Stats {
            rows: self.rows as u32,
            nulls: 0,
            nans: 0,
            range: Some((Scalar::Integer(self.extent.min_ns), Scalar::Integer(self.extent.max_ns))),
            sum: None,
            edges: Some((edge(self.ends_ns.0), edge(self.ends_ns.1))),
        }
    }
}

impl Todo {
    pub(super) fn all(plan: &Plan) -> Todo {
        Todo { fields: (0..plan.fields.len()).collect(), rows: true }
    }

    pub(super) fn is_done(&self) -> bool {
        self.fields.is_empty() && !self.rows
    }
}
