//! Aggregates from rollups: which tier answers which stretch of time, and how that joins what raw rows answer.
//!
//! A tier answers when it is exact: the width of the request's buckets is a multiple of its own and they begin where its own
//! do, no field is tested, and everything asked for is kept. For each day the coarsest such tier is taken. Edges of the time
//! range that cut a bucket of the tier are read from raw rows, as are days without rollups, and days with rows that are not
//! in theirs; but rows that came after the raw rows of a day were dropped are added to its rollups.

mod shortfall;
mod split;
mod tier;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{Array, RecordBatch};

use super::output::Answer;
use super::plain::{self, Groups, State, Tag};
use super::{Aggregate, AggregateFunction, AggregatePart, AggregateRequest, Aggregation, Partial};
use crate::Result;
use crate::model::{ColumnKind, TableSchema, TimeRange, Value};
use crate::rollup::Bins;
use crate::scan::{Shortcuts, Snapshot};
use crate::table::TableView;
pub use shortfall::Shortfall;
pub use split::TierUsed;
use split::{Split, split};
pub(super) use tier::TierPart;

/// An aggregation that rollups take part in.
#[derive(Debug)]
pub(super) struct Tiered {
    answer: Arc<Answer>,
    /// The aggregates that raw rows are asked for, and where each of ours finds its parts among them.
    places: Vec<Places>,
    /// One for each stretch of raw rows.
    raw: Vec<Aggregation>,
    tiers: Vec<TierPart>,
    used: Vec<TierUsed>,
    shortfall: Option<Shortfall>,
}

/// Where the parts of one aggregate are among those asked of raw rows.
#[derive(Debug, Clone, Copy, Default)]
struct Places {
    value: usize,
    /// Number of values, for the mean; time of the row, for first and last.
    beside: Option<usize>,
}

/// What rollups can do for a request.
#[derive(Debug)]
pub(super) enum Outlook {
    /// They take part.
    Tiered(Tiered),
    /// Raw rows answer alone. There is something to say when the request asks for more than they are.
    Raw(Option<Shortfall>),
}

/// Says how far rollups answer a request.
pub(super) fn plan(
    snapshot: &Snapshot,
    view: &Arc<TableView>,
    request: &AggregateRequest,
    answer: &Arc<Answer>,
) -> Result<Outlook> {
    let Split { raw, tiers, is_exact, used, shortfall } = match snapshot.shortcuts().rollups {
        true => split(view, request, answer),
        false => Split::default(),
    };
    if !is_exact {
        return Ok(Outlook::Raw(shortfall));
    }
    let (aggregates, places) = raw_aggregates(request);
    let rows = snapshot.with_all_rows_of(view);
    let of_range = |time: &TimeRange| {
        let aggregates = aggregates.clone();
        rows.aggregate(&AggregateRequest { time: *time, aggregates, limit: None, ..request.clone() })
    };
    let raw = raw.iter().map(of_range).collect::<Result<Vec<_>>>()?;
    let tiers = tier::parts(view, request, answer, tiers)?;
    Ok(Outlook::Tiered(Tiered { answer: answer.clone(), places, raw, tiers, used, shortfall }))
}

/// What raw rows are asked for, so that it can be joined with rollups.
fn raw_aggregates(request: &AggregateRequest) -> (Vec<Aggregate>, Vec<Places>) {
    use AggregateFunction::{Avg, Count, First, Last, Max, Min, Sum};
    let mut asked: Vec<Aggregate> = Vec::new();
    let mut place = |function, field: Option<String>| {
        let aggregate = Aggregate { function, field };
        asked.iter().position(|a| *a == aggregate).unwrap_or_else(|| {
            asked.push(aggregate);
            asked.len() - 1
        })
    };
    let time = || Some(TableSchema::TIME.to_owned());
    let places = request.aggregates.iter().map(|Aggregate { function, field }| {
        let (value, beside) = match function {
            Avg => (place(Sum, field.clone()), Some(place(Count, field.clone()))),
            First => (place(First, field.clone()), Some(place(Min, time()))),
            Last => (place(Last, field.clone()), Some(place(Max, time()))),
            other => (place(*other, field.clone()), None),
        };
        Places { value, beside }
    });
    let places = places.collect();
    (asked, places)
}

impl Tiered {
    /// The tiers that answer, coarsest first.
    pub(super) fn used(&self) -> &[TierUsed] {
        &self.used
    }

    pub(super) fn take_shortfall(&mut self) -> Option<Shortfall> {
        self.shortfall.take()
    }

    /// The parts: those over rollups, and those over raw rows with the number of their stretch.
    pub(super) fn take_parts(&mut self) -> (Vec<TierPart>, Vec<(usize, AggregatePart)>) {
        let mut raw = Vec::new();
        for (nth, aggregation) in self.raw.iter_mut().enumerate() {
            raw.extend(aggregation.take_parts().into_iter().map(|part| (nth, part)));
        }
        (std::mem::take(&mut self.tiers), raw)
    }

    /// The answer, from what the parts found.
    pub(super) fn finish(&self, tiers: Vec<Groups>, raw: Vec<(usize, Partial)>) -> Result<RecordBatch> {
        let mut of_stretch: BTreeMap<usize, Vec<Partial>> = BTreeMap::new();
        raw.into_iter().for_each(|(nth, partial)| of_stretch.entry(nth).or_default().push(partial));
        let mut groups = Groups::new();
        tiers.into_iter().for_each(|found| plain::merge(&mut groups, found));
        for (nth, partials) in of_stretch {
            let batch = self.raw[nth].finish(partials)?;
            plain::merge(&mut groups, self.groups(&batch));
        }
        plain::finish(&self.answer, std::iter::once(groups))
    }

    /// The answer of a stretch of raw rows as groups.
    fn groups(&self, batch: &RecordBatch) -> Groups {
        let buckets = usize::from(self.answer.bucket.is_some());
        let tags = self.answer.group_tags.len();
        let mut groups = Groups::new();
        for row in 0..batch.num_rows() {
            let bucket = self
                .answer
                .bucket
                .map(|bucket| bucket.number(batch.column(0).as_primitive::<TimestampNanosecondType>().value(row)));
            let tag = |nth: usize| match plain::value(batch.column(buckets + nth), row) {
                Some(Value::Text(text)) => Tag::Present(text.into_owned()),
                _ => Tag::Absent,
            };
            let key = (bucket, (0..tags).map(tag).collect());
            let states = self.places.iter().zip(&self.answer.columns);
            let state = |(places, column): (&Places, &super::output::Column)| {
                let at = |nth: usize| batch.column(buckets + tags + nth);
                raw_state(column.function, at(places.value), places.beside.map(at), row)
            };
            let mut states: Vec<State> = states.map(state).collect();
            if states.is_empty() {
                states.push(State::default());
            }
            groups.insert(key, states);
        }
        groups
    }
}

/// What raw rows say of one aggregate of one group.
fn raw_state(
    function: AggregateFunction,
    column: &Arc<dyn Array>,
    beside: Option<&Arc<dyn Array>>,
    row: usize,
) -> State {
    use AggregateFunction::{Avg, Count, CountRows, First, Last, Max, Min, Sketch, Sum};
    let integer = |value: Option<Value<'static>>| match value {
        Some(Value::Integer(v)) => v,
        _ => 0,
    };
    let mut state = State::default();
    match function {
        CountRows => state.rows = integer(plain::value(column, row)),
        Count => state.count = integer(plain::value(column, row)),
        Sum | Avg => {
            // A sum is there when there was a value; its count is only needed for the mean.
            state.count = beside.map_or_else(|| i64::from(column.is_valid(row)), |c| integer(plain::value(c, row)));
            plain::set_sum(&mut state, column, row);
        }
        Sketch => {
            if let Some(Value::Text(text)) = plain::value(column, row) {
                state.bins = Bins::from_text(&text).expect("the sketch was written here");
            }
        }
        Min => state.min = plain::value(column, row),
        Max => state.max = plain::value(column, row),
        First | Last => {
            let end = match beside.and_then(|times| plain::value(times, row)) {
                Some(Value::Integer(time_ns)) => Some((time_ns, plain::value(column, row))),
                _ => None,
            };
            if function == First { state.first = end } else { state.last = end }
        }
    }
    state
}

/// True when rollups keep what an aggregate needs.
fn is_kept(function: AggregateFunction, kind: Option<ColumnKind>) -> bool {
    use AggregateFunction::{Max, Min};
    let is_number = |kind: ColumnKind| match kind {
        ColumnKind::Time => true,
        ColumnKind::Field(kind) => kind.is_number(),
        ColumnKind::Tag => false,
    };
    match function {
        Min | Max => kind.is_some_and(is_number),
        _ => true,
    }
}

impl Snapshot {
    /// One table, also with the raw rows that have expired and are not dropped yet, and without rollups.
    fn with_all_rows_of(&self, view: &Arc<TableView>) -> Snapshot {
        let whole = TableView { tiers: Arc::default(), ..(**view).clone() };
        let tables = BTreeMap::from([(view.schema.name.clone(), Arc::new(whole))]);
        let shortcuts = Shortcuts { rollups: false, ..self.shortcuts };
        Snapshot { tables: Arc::new(tables), lsn: self.lsn, shortcuts, tally: self.tally.clone() }
    }
}
