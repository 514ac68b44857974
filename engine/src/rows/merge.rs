//! Merging sources in storage order that may hold the same point.
//!
//! Two points of the same series and time merge field by field: the value of the newest source that has one wins.
//! Sources are given oldest first.
//!
//! First it is found out where each row of the result comes from, as *pieces*: ranges of rows of one source, copied as they
//! are, and groups of rows with one key. Then every column is put together piece by piece. Sources of a time series rarely hold
//! the same times of a series, so pieces are as long as a series is in its source.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, ScalarBuffer};
use arrow_schema::DataType;
use arrow_select::concat::concat as concat_arrays;
use arrow_select::interleave::interleave;

use super::Rows;
use crate::model::SeriesId;

/// Merges ordered sources, oldest first, into one.
pub(crate) fn merge(mut sources: Vec<Rows>) -> Rows {
    if sources.len() > 1 {
        let empty = sources.iter().find(|s| s.len() == 0).cloned();
        sources.retain(|s| s.len() > 0);
        if sources.is_empty() {
            return empty.unwrap_or_default();
        }
    }
    if sources.len() <= 1 {
        return sources.pop().unwrap_or_default();
    }
    if sources.windows(2).all(|pair| pair[0].bounds().map(|b| b.1) < pair[1].bounds().map(|b| b.0)) {
        return concat(&sources);
    }
    let mut plan = Plan::of(&sources);
    let columns = (0..sources[0].columns.len()).map(|nth| plan.column(&sources, nth)).collect();
    Rows { series: std::mem::take(&mut plan.series), times: std::mem::take(&mut plan.times), columns }
}

/// Joins sources that are already in order and do not overlap.
pub(super) fn concat(sources: &[Rows]) -> Rows {
    let mut joined = Rows::default();
    for source in sources {
        let offset = joined.times.len();
        joined.times.extend_from_slice(&source.times);
        for (id, end) in &source.series {
            match joined.series.last_mut() {
                Some((last, last_end)) if last == id => *last_end = offset + end,
                _ => joined.series.push((*id, offset + end)),
            }
        }
    }
    joined.columns = (0..sources[0].columns.len())
        .map(|c| {
            let arrays: Vec<&dyn Array> = sources.iter().map(|s| s.columns[c].as_ref()).collect();
            concat_arrays(&arrays).expect("sources have the same column types")
        })
        .collect();
    joined
}

/// Where the rows of a merge come from.
#[derive(Default)]
struct Plan {
    series: Vec<(SeriesId, usize)>,
    times: Vec<i64>,
    pieces: Vec<Piece>,
    /// The rows of all groups.
    grouped: Vec<Place>,
}

/// One or more rows of the result.
enum Piece {
    /// Rows of a source as they are.
    Rows(usize, Range<usize>),
    /// One row out of several with the same key: a range of `Plan::grouped`, oldest first.
    Group(Range<usize>),
}

/// One row of one source.
#[derive(Clone, Copy)]
struct Place {
    source: usize,
    row: usize,
}

impl Plan {
    fn of(sources: &[Rows]) -> Plan {
        let mut plan = Plan { times: Vec::with_capacity(sources.iter().map(Rows::len).sum()), ..Plan::default() };
        let mut next = vec![0; sources.len()];
        // Of each source its next series; the least series comes first, and of one series the oldest source.
        let first = |(nth, source): (usize, &Rows)| source.series.first().map(|(id, _)| Reverse((*id, nth)));
        let mut heap: BinaryHeap<_> = sources.iter().enumerate().filter_map(first).collect();
        let mut having = Vec::new();
        while let Some(Reverse((id, source))) = heap.pop() {
            having.clear();
            having.push(source);
            while let Some(Reverse((_, other))) = heap.peek().copied().filter(|Reverse((other, _))| *other == id) {
                heap.pop();
                having.push(other);
            }
            if having.len() == 1 {
                let until = heap.peek().map(|Reverse((other, _))| *other);
                plan.take_alone(source, &sources[source], &mut next[source], until);
            } else {
                plan.take_shared(id, sources, &having, &mut next);
            }
            for source in &having {
                let rest = sources[*source].series.get(next[*source]);
                heap.extend(rest.map(|(id, _)| Reverse((*id, *source))));
            }
        }
        plan
    }

    /// Takes series that no other source has: from the next one up to `until`, exclusive.
    fn take_alone(&mut self, source: usize, rows: &Rows, next: &mut usize, until: Option<SeriesId>) {
        let start = rows.range(*next).start;
        let base = self.times.len();
        while let Some((id, end)) = rows.series.get(*next).filter(|(id, _)| until.is_none_or(|until| *id < until)) {
            self.series.push((*id, base + end - start));
            *next += 1;
        }
        self.copy(source, rows, start..rows.series[*next - 1].1);
    }

    /// Takes one series that several sources have.
    fn take_shared(&mut self, id: SeriesId, sources: &[Rows], having: &[usize], next: &mut [usize]) {
        let mut ranges: Vec<(usize, Range<usize>)> = Vec::with_capacity(having.len());
        for source in having {
            ranges.push((*source, sources[*source].range(next[*source])));
            next[*source] += 1;
        }
        let first = |(source, range): &(usize, Range<usize>)| sources[*source].times[range.start];
        let last = |(source, range): &(usize, Range<usize>)| sources[*source].times[range.end - 1];
        let follow = |pair: &[(usize, Range<usize>)]| last(&pair[0]) < first(&pair[1]);
        if !ranges.windows(2).all(follow) {
            ranges.sort_by_key(first);
        }
        if ranges.windows(2).all(follow) {
            ranges.into_iter().for_each(|(source, range)| self.copy(source, &sources[source], range));
        } else {
            self.interleave(sources, &ranges);
        }
        self.series.push((id, self.times.len()));
    }

    /// Takes rows of one series whose times overlap.
    fn interleave(&mut self, sources: &[Rows], ranges: &[(usize, Range<usize>)]) {
        let rows = |(source, range): &(usize, Range<usize>)| {
            let source = *source;
            range.clone().map(move |row| (sources[source].times[row], source, row))
        };
        let mut rows: Vec<_> = ranges.iter().flat_map(rows).collect();
        // A source has a time of a series once, so equal times are in order of age.
        rows.sort_unstable();
        for same in rows.chunk_by(|a, b| a.0 == b.0) {
            if let [(_, source, row)] = *same {
                self.copy(source, &sources[source], row..row + 1);
                continue;
            }
            let start = self.grouped.len();
            self.grouped.extend(same.iter().map(|(_, source, row)| Place { source: *source, row: *row }));
            self.pieces.push(Piece::Group(start..self.grouped.len()));
            self.times.push(same[0].0);
        }
    }

    fn copy(&mut self, source: usize, rows: &Rows, range: Range<usize>) {
        self.times.extend_from_slice(&rows.times[range.clone()]);
        match self.pieces.last_mut() {
            Some(Piece::Rows(last, before)) if *last == source && before.end == range.start => before.end = range.end,
            _ => self.pieces.push(Piece::Rows(source, range)),
        }
    }

    fn column(&self, sources: &[Rows], nth: usize) -> ArrayRef {
        let arrays: Vec<&dyn Array> = sources.iter().map(|s| s.columns[nth].as_ref()).collect();
        match arrays[0].data_type() {
            DataType::Float64 => self.numbers::<Float64Type>(&arrays),
            DataType::Int64 => self.numbers::<Int64Type>(&arrays),
            DataType::UInt64 => self.numbers::<UInt64Type>(&arrays),
            DataType::Boolean => self.booleans(&arrays),
            _ => self.others(&arrays),
        }
    }

    fn numbers<T: ArrowPrimitiveType>(&self, arrays: &[&dyn Array]) -> ArrayRef {
        let values: Vec<&[T::Native]> = arrays.iter().map(|a| &a.as_primitive::<T>().values()[..]).collect();
        let mut out: Vec<T::Native> = Vec::with_capacity(self.times.len());
        for piece in &self.pieces {
            match piece {
                Piece::Rows(source, range) => out.extend_from_slice(&values[*source][range.clone()]),
                Piece::Group(group) => {
                    let place = self.newest(arrays, group);
                    out.push(values[place.source][place.row]);
                }
            }
        }
        Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(out), self.nulls(arrays)))
    }

    fn booleans(&self, arrays: &[&dyn Array]) -> ArrayRef {
        let values: Vec<_> = arrays.iter().map(|a| a.as_boolean().values()).collect();
        let mut out = BooleanBufferBuilder::new(self.times.len());
        for piece in &self.pieces {
            match piece {
                Piece::Rows(source, range) => out.append_buffer(&values[*source].slice(range.start, range.len())),
                Piece::Group(group) => {
                    let place = self.newest(arrays, group);
                    out.append(values[place.source].value(place.row));
                }
            }
        }
        Arc::new(BooleanArray::new(out.finish(), self.nulls(arrays)))
    }

    fn others(&self, arrays: &[&dyn Array]) -> ArrayRef {
        let mut picks = Vec::with_capacity(self.times.len());
        for piece in &self.pieces {
            match piece {
                Piece::Rows(source, range) => picks.extend(range.clone().map(|row| (*source, row))),
                Piece::Group(group) => {
                    let place = self.newest(arrays, group);
                    picks.push((place.source, place.row));
                }
            }
        }
        interleave(arrays, &picks).expect("sources have the same column types")
    }

    fn nulls(&self, arrays: &[&dyn Array]) -> Option<NullBuffer> {
        let nulls: Vec<_> = arrays.iter().map(|a| a.nulls().filter(|nulls| nulls.null_count() > 0)).collect();
        if nulls.iter().all(Option::is_none) {
            return None;
        }
        let mut out = BooleanBufferBuilder::new(self.times.len());
        for piece in &self.pieces {
            match piece {
                Piece::Rows(source, range) => match nulls[*source] {
                    Some(nulls) => out.append_buffer(&nulls.inner().slice(range.start, range.len())),
                    None => out.append_n(range.len(), true),
                },
                Piece::Group(group) => {
                    let place = self.newest(arrays, group);
                    out.append(arrays[place.source].is_valid(place.row));
                }
            }
        }
        Some(NullBuffer::new(out.finish()))
    }

    /// The row of a group with the newest value that is not NULL.
    fn newest(&self, arrays: &[&dyn Array], group: &Range<usize>) -> Place {
        let places = &self.grouped[group.clone()];
        let has_value = |place: &&Place| arrays[place.source].is_valid(place.row);
        *places.iter().rev().find(has_value).unwrap_or(&places[places.len() - 1])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow_array::builder::StringViewBuilder;
    use arrow_array::{Float64Array, Int64Array};
    use proptest::prelude::*;

    use super::*;

    type Fields = (Option<i64>, Option<f64>, Option<bool>, Option<String>);
    type Plain = BTreeMap<(SeriesId, i64), Fields>;

    fn rows(plain: &Plain) -> Rows {
        let mut rows = Rows::default();
        let mut texts = StringViewBuilder::new();
        for ((id, time_ns), fields) in plain {
            rows.times.push(*time_ns);
            match rows.series.last_mut() {
                Some((last, end)) if last == id => *end = rows.times.len(),
                _ => rows.series.push((*id, rows.times.len())),
            }
            texts.append_option(fields.3.as_deref());
        }
        rows.columns = vec![
            Arc::new(plain.values().map(|f| f.0).collect::<Int64Array>()),
            Arc::new(plain.values().map(|f| f.1).collect::<Float64Array>()),
            Arc::new(plain.values().map(|f| f.2).collect::<BooleanArray>()),
            Arc::new(texts.finish()),
        ];
        rows
    }

    fn plain(rows: &Rows) -> Plain {
        let ids = rows.series_of_rows();
        let fields = |row: usize| {
            let column = |nth: usize| rows.columns[nth].is_valid(row).then_some(&rows.columns[nth]);
            (
                column(0).map(|a| a.as_primitive::<Int64Type>().value(row)),
                column(1).map(|a| a.as_primitive::<Float64Type>().value(row)),
                column(2).map(|a| a.as_boolean().value(row)),
                column(3).map(|a| a.as_string_view().value(row).to_owned()),
            )
        };
        (0..rows.len()).map(|row| ((ids[row], rows.times[row]), fields(row))).collect()
    }

    /// The plain twin: later sources put their values over those of earlier ones.
    fn merge_plainly(sources: &[Plain]) -> Plain {
        let mut all = Plain::new();
        for (key, (a, b, c, d)) in sources.iter().flatten() {
            let row = all.entry(*key).or_default();
            row.0 = a.or(row.0);
            row.1 = b.or(row.1);
            row.2 = c.or(row.2);
            row.3 = d.clone().or(row.3.take());
        }
        all
    }

    fn any_source() -> impl Strategy<Value = Plain> {
        let key = (0u32..4, prop_oneof![0i64..6, 1000i64..1010]).prop_map(|(id, time_ns)| (SeriesId(id), time_ns));
        let fields =
            (any::<Option<i64>>(), prop::option::of(-1e9..1e9f64), any::<Option<bool>>(), any::<Option<String>>());
        prop::collection::btree_map(key, fields, 0..12)
    }

    proptest! {
        #[test]
        fn fast_is_plain(sources in prop::collection::vec(any_source(), 0..6)) {
            let merged = merge(sources.iter().map(rows).collect());
            prop_assert_eq!(plain(&merged), merge_plainly(&sources));
            let lasts: Vec<_> = merged.series.iter().map(|(_, end)| *end).collect();
            prop_assert!(lasts.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(lasts.last().copied().unwrap_or(0), merged.len());
        }
    }
}
