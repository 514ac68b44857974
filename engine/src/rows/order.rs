//! Bringing rows into storage order, and merging sources that may hold the same point.
//!
//! Two points of the same series and time merge field by field: the value of the newest source that has one wins.
//! Sources are given oldest first; within a source a later row is newer.

use arrow_array::{Array, ArrayRef};
use arrow_select::concat::concat as concat_arrays;
use arrow_select::interleave::interleave;

use super::Rows;
use crate::model::SeriesId;

/// Rows in any order: the series and time of each, and the columns.
pub(crate) struct Source<'a> {
    /// Series of each row.
    pub(crate) series: Vec<SeriesId>,
    /// Timestamp of each row.
    pub(crate) times: &'a [i64],
    /// The same columns in every source.
    pub(crate) columns: &'a [ArrayRef],
}

/// One row of one source, with its place in storage order.
#[derive(Clone, Copy)]
struct Place {
    series: SeriesId,
    time_ns: i64,
    source: u32,
    row: u32,
}

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
    let unordered: Vec<_> =
        sources.iter().map(|s| Source { series: s.series_of_rows(), times: &s.times, columns: &s.columns }).collect();
    order(&unordered)
}

/// Orders the rows of all sources, oldest source first, and merges equal keys.
pub(crate) fn order(sources: &[Source<'_>]) -> Rows {
    let places = sorted_places(sources);
    let groups = group_ends(&places);
    let columns = match sources.first() {
        Some(source) => (0..source.columns.len()).map(|c| pick_column(sources, c, &places, &groups)).collect(),
        None => Vec::new(),
    };
    let mut rows = Rows { series: Vec::new(), times: Vec::with_capacity(groups.len()), columns };
    for end in groups {
        let place = places[end - 1];
        rows.times.push(place.time_ns);
        match rows.series.last_mut() {
            Some((id, series_end)) if *id == place.series => *series_end = rows.times.len(),
            _ => rows.series.push((place.series, rows.times.len())),
        }
    }
    rows
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

/// All rows by (series, time), equal keys in order of age: the sort is stable.
fn sorted_places(sources: &[Source<'_>]) -> Vec<Place> {
    let mut places = Vec::with_capacity(sources.iter().map(|s| s.times.len()).sum());
    for (n, source) in sources.iter().enumerate() {
        let rows = source.series.iter().zip(source.times).enumerate();
        places.extend(rows.map(|(row, (series, time_ns))| Place {
            series: *series,
            time_ns: *time_ns,
            source: n as u32,
            row: row as u32,
        }));
    }
    places.sort_by_key(|p| (p.series, p.time_ns));
    places
}

/// Ends (exclusive) of the runs of equal keys.
fn group_ends(places: &[Place]) -> Vec<usize> {
    let key = |p: &Place| (p.series, p.time_ns);
    let mut ends = Vec::with_capacity(places.len());
    for at in 1..=places.len() {
        if at == places.len() || key(&places[at]) != key(&places[at - 1]) {
            ends.push(at);
        }
    }
    ends
}

/// For each group the newest value that is not NULL.
fn pick_column(sources: &[Source<'_>], column: usize, places: &[Place], groups: &[usize]) -> ArrayRef {
    let arrays: Vec<&dyn Array> = sources.iter().map(|s| s.columns[column].as_ref()).collect();
    let mut picks = Vec::with_capacity(groups.len());
    let mut start = 0;
    for &end in groups {
        let group = &places[start..end];
        let newest = group[group.len() - 1];
        let has_value = |p: &&Place| arrays[p.source as usize].is_valid(p.row as usize);
        let pick = if group.len() == 1 { newest } else { *group.iter().rev().find(has_value).unwrap_or(&newest) };
        picks.push((pick.source as usize, pick.row as usize));
        start = end;
    }
    interleave(&arrays, &picks).expect("sources have the same column types")
}
