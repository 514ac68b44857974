//! Reading rollups into groups.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use roaring::RoaringBitmap;

use super::super::output::Answer;
use super::super::plain::{self, Groups, State, Tag};
use super::super::{AggregateFunction, AggregateRequest};
use super::split::Stretch;
use crate::index::TagPosition;
use crate::model::{ColumnKind, FieldRef, FieldType, Value};
use crate::rollup::Bins;
use crate::rollup::part::{
    COUNT, FIRST, FIRST_TIME, LAST, LAST_TIME, MAX, MIN, SKETCH, SUM, SUM_HIGH, parts_of, position_of,
};
use crate::rows::Rows;
use crate::scan::plan::select_series;
use crate::segment::Selection;
use crate::table::TableView;
use crate::{Error, Result};

/// A share of the buckets that an aggregation reads.
#[derive(Debug)]
pub(in crate::scan::aggregate) struct TierPart {
    shared: Arc<Shared>,
    stretches: Vec<Stretch>,
}

/// What all parts have in common.
#[derive(Debug)]
struct Shared {
    view: Arc<TableView>,
    answer: Arc<Answer>,
    selected: Option<RoaringBitmap>,
    tags: Vec<TagPosition>,
    /// The columns to read, by position, each once.
    columns: Vec<FieldRef>,
    sources: Vec<Source>,
}

/// One aggregate, and where its parts are among the columns.
#[derive(Debug)]
struct Source {
    function: AggregateFunction,
    /// `None` for `time`, and for rows.
    field: Option<FieldType>,
    is_time: bool,
    rows: usize,
    row_times: [usize; 2],
    /// By part.
    parts: [Option<usize>; PARTS],
}

/// Parts that aggregates are made of.
const PARTS: usize = SUM_HIGH as usize + 1;

/// Shares stretches out to parts.
pub(super) fn parts(
    view: &Arc<TableView>,
    request: &AggregateRequest,
    answer: &Arc<Answer>,
    stretches: Vec<Stretch>,
) -> Result<Vec<TierPart>> {
    let mut columns = Columns::default();
    let sources = answer.columns.iter().map(|column| {
        let argument = column.argument.as_ref();
        let field = argument.and_then(|(name, _)| match view.shape.column(name, None) {
            Some((position, ColumnKind::Field(kind))) => Some((position, kind)),
            _ => None,
        });
        let is_time = argument.is_some_and(|(_, kind)| *kind == ColumnKind::Time);
        columns.source(column.function, field, is_time)
    });
    let sources = sources.collect();
    let position = |tag: &String| match view.shape.column(tag, None) {
        Some((position, ColumnKind::Tag)) => position,
        _ => unreachable!("the answer was made for this table"),
    };
    let shared = Arc::new(Shared {
        view: view.clone(),
        answer: answer.clone(),
        selected: select_series(view, &request.tags)?,
        tags: request.group_tags.iter().map(position).collect(),
        columns: columns.0,
        sources,
    });
    let parts = request.parts_max.clamp(1, stretches.len().max(1));
    let per_part = stretches.len().div_ceil(parts).max(1);
    let part = |share: &[Stretch]| TierPart { shared: shared.clone(), stretches: share.to_vec() };
    Ok(stretches.chunks(per_part).map(part).collect())
}

/// The columns wanted so far.
#[derive(Default)]
struct Columns(Vec<FieldRef>);

impl Columns {
    fn source(&mut self, function: AggregateFunction, field: Option<FieldRef>, is_time: bool) -> Source {
        use AggregateFunction::{Avg, Count, CountRows, First, Last, Max, Min, Sketch, Sum};
        let rows = self.place((position_of(0, COUNT), FieldType::Integer));
        let row_times = [FIRST_TIME, LAST_TIME].map(|part| self.place((position_of(0, part), FieldType::Integer)));
        let mut parts = [None; PARTS];
        let wanted: &[u32] = match function {
            CountRows => &[],
            Count => &[COUNT],
            Sum | Avg => &[COUNT, SUM, SUM_HIGH],
            Min => &[COUNT, MIN],
            Max => &[COUNT, MAX],
            First => &[COUNT, FIRST, FIRST_TIME],
            Last => &[COUNT, LAST, LAST_TIME],
            Sketch => &[COUNT, MIN, SKETCH],
        };
        if let Some((position, kind)) = field {
            for (part, kind) in parts_of(kind).filter(|(part, _)| wanted.contains(part)) {
                parts[part as usize] = Some(self.place((position_of(position, part), kind)));
            }
        }
        Source { function, field: field.map(|(_, kind)| kind), is_time, rows, row_times, parts }
    }

    fn place(&mut self, column: FieldRef) -> usize {
        self.0.iter().position(|c| *c == column).unwrap_or_else(|| {
            self.0.push(column);
            self.0.len() - 1
        })
    }
}

impl TierPart {
    /// Rows that the part reads, roughly.
    pub(in crate::scan::aggregate) fn rows_about(&self) -> usize {
        self.stretches.iter().map(|s| usize::try_from(s.segment.entry.rows).unwrap_or(usize::MAX)).sum()
    }

    pub(in crate::scan::aggregate) fn run(self, go_on: &dyn Fn() -> bool) -> Result<Option<Groups>> {
        let mut groups = Groups::new();
        for Stretch { time, segment: live } in &self.stretches {
            let segment = live.file.as_ref().map_err(Error::again)?;
            let selection = Selection { time: *time, series: self.shared.selected.as_ref() };
            for chunk in 0..segment.chunks().len() {
                if !go_on() {
                    return Ok(None);
                }
                let rows = segment.read(chunk, &self.shared.columns, &selection)?;
                let malformed = || Error::corrupt(&live.path, 0, "columns of a rollup do not go together");
                self.shared.add(&rows, &mut groups).ok_or_else(malformed)?;
            }
        }
        Ok(Some(groups))
    }
}

impl Shared {
    fn add(&self, rows: &Rows, groups: &mut Groups) -> Option<()> {
        let index = self.view.core.index();
        for (nth, (series, _)) in rows.series.iter().enumerate() {
            let tag = |tag: &TagPosition| match index.tag_of(*series, *tag) {
                Some(text) => Tag::Present(text.to_owned()),
                None => Tag::Absent,
            };
            let tags: Vec<Tag> = self.tags.iter().map(tag).collect();
            let range = rows.range(nth);
            let bucket_at = |row: usize| self.answer.bucket.map(|b| b.number(rows.times[row]));
            let mut start = range.start;
            while start < range.end {
                let bucket = bucket_at(start);
                let end = (start + 1..range.end).find(|row| bucket_at(*row) != bucket).unwrap_or(range.end);
                let states = groups
                    .entry((bucket, tags.clone()))
                    .or_insert_with(|| vec![State::default(); self.sources.len().max(1)]);
                for (source, state) in self.sources.iter().zip(states) {
                    for row in start..end {
                        state.merge(source.state(rows, row)?);
                    }
                }
                start = end;
            }
        }
        Some(())
    }
}

impl Source {
    /// What one rollup says; `None` when its columns do not go together.
    fn state(&self, rows: &Rows, row: usize) -> Option<State> {
        use AggregateFunction::{Avg, Count, CountRows, First, Last, Max, Min, Sketch, Sum};
        let integer = |column: usize| integer_at(&rows.columns[column], row);
        let count_rows = integer(self.rows)?;
        let row_times =
            [integer(self.row_times[0])?, integer(self.row_times[1])?].map(|t| rows.times[row].wrapping_add(t));
        let time_value = |nth: usize| Some(Value::Integer(row_times[nth]));
        let mut state = State { rows: count_rows, ..State::default() };
        let Some(kind) = self.field else {
            state.count = count_rows;
            state.min = time_value(0).filter(|_| self.is_time);
            state.max = time_value(1).filter(|_| self.is_time);
            state.first = Some((row_times[0], time_value(0).filter(|_| self.is_time)));
            state.last = Some((row_times[1], time_value(1).filter(|_| self.is_time)));
            return Some(state);
        };
        let part = |part: u32| self.parts[part as usize].map(|at| &rows.columns[at]);
        let value = |of: u32| part(of).and_then(|column| plain::value(column, row));
        state.count = part(COUNT).map_or(Some(0), |column| Some(integer_or(column, row, 0)))?;
        let has_value = state.count > 0;
        match self.function {
            CountRows | Count => {}
            Sum | Avg if !has_value => {}
            Sum | Avg if kind == FieldType::Float => {
                state.float = Some(part(SUM)?.as_primitive::<Float64Type>().value(row));
            }
            Sum | Avg => {
                let low = integer_or(part(SUM)?, row, 0);
                state.exact = match part(SUM_HIGH).and_then(|column| integer_at(column, row)) {
                    Some(high) => i128::from(high) << 64 | i128::from(low as u64),
                    None => i128::from(low),
                };
            }
            Sketch if !has_value => {}
            Sketch => state.bins = sketch(&value(MIN), &value(SKETCH), state.count.unsigned_abs())?,
            Min => state.min = value(MIN).filter(|_| has_value),
            Max => state.max = value(MAX).filter(|_| has_value),
            // The first row is what counts, and the first value may be of a later one.
            First => {
                let is_in_row = has_value && part(FIRST_TIME)?.is_null(row);
                state.first = Some((row_times[0], value(FIRST).filter(|_| is_in_row)));
            }
            Last => {
                let is_in_row = has_value && part(LAST_TIME)?.is_null(row);
                state.last = Some((row_times[1], value(LAST).filter(|_| is_in_row)));
            }
        }
        Some(state)
    }
}

/// The sketch of a rollup; one that is not stored has all values in the bin of the smallest.
fn sketch(min: &Option<Value<'_>>, text: &Option<Value<'_>>, count: u64) -> Option<Bins> {
    match text {
        Some(Value::Text(text)) => Bins::from_text(text),
        _ => {
            let mut bins = Bins::default();
            bins.add_many(min.as_ref()?.as_number()?, count);
            Some(bins)
        }
    }
}

fn integer_at(column: &ArrayRef, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.as_primitive::<Int64Type>().value(row))
}

fn integer_or(column: &ArrayRef, row: usize, default: i64) -> i64 {
    integer_at(column, row).unwrap_or(default)
}
