//! What a scan has to touch: series by matchers, segments and runs by time, cut into units of bounded size.
//!
//! A unit is a range of keys within one time partition. Every source that may hold rows of it is read and merged for it, so
//! units are independent, and one unit holds about [`UNIT_ROWS`] rows at most (more only when sources overlap).

use std::collections::{BTreeMap, VecDeque};

use roaring::RoaringBitmap;

use super::effort::Effort;
use super::read::{Reader, Source, Unit};
use super::{ScanOrder, TagMatcher};
use crate::Result;
use crate::model::{ColumnKind, SeriesId, TimeRange};
use crate::partition::{self, Partition};
use crate::rows::Key;
use crate::table::TableView;

/// Rows that a unit should hold.
const UNIT_ROWS: usize = 64 * 1024;

/// Most units that the rows of one partition are cut into by time.
const SLICES_MAX: usize = 4096;

/// Rows of a run between two places where it can be cut.
const RUN_STEP_ROWS: usize = 8 * 1024;

/// The series that match, or `None` for all of them.
pub(super) fn select_series(view: &TableView, matchers: &[TagMatcher]) -> Result<Option<RoaringBitmap>> {
    if matchers.is_empty() {
        return Ok(None);
    }
    let position = |tag: &str| match view.shape.column(tag, None) {
        Some((position, ColumnKind::Tag)) => Some(position),
        _ => None,
    };
    let tests: Vec<_> = matchers.iter().map(|matcher| (position(&matcher.tag), &matcher.test)).collect();
    view.core.index().select(&tests).map(Some)
}

/// The units of a scan, in the order asked for.
pub(super) fn units(reader: &Reader) -> Result<Vec<Unit>> {
    let sources = sources(reader)?;
    let mut units = Vec::new();
    match reader.wanted.order {
        ScanOrder::SeriesTime => cut(reader, reader.wanted.time, sources, &mut units),
        ScanOrder::Unordered => {
            for (partition, sources) in by_partition(reader, sources) {
                cut(reader, partition::range(partition).intersect(&reader.wanted.time), sources, &mut units);
            }
        }
        ScanOrder::Time | ScanOrder::TimeDescending => {
            for (partition, sources) in by_partition(reader, sources) {
                let time = partition::range(partition).intersect(&reader.wanted.time);
                slice(reader, time, sources, &mut units);
            }
        }
    }
    if reader.wanted.order == ScanOrder::TimeDescending {
        units.reverse();
    }
    Ok(units)
}

/// Cuts the rows of sources into units by time.
fn slice(reader: &Reader, time: TimeRange, sources: Vec<Source>, units: &mut Vec<Unit>) {
    let join =
        |a: TimeRange, b: TimeRange| TimeRange { min_ns: a.min_ns.min(b.min_ns), max_ns: a.max_ns.max(b.max_ns) };
    let held = sources.iter().map(|source| source.time(&reader.view)).reduce(join);
    let Some(time) = held.map(|held| held.intersect(&time)).filter(|time| !time.is_empty()) else { return };
    let rows = rows_about(reader, &sources);
    let count = rows.div_ceil(UNIT_ROWS).clamp(1, SLICES_MAX) as i128;
    let span = i128::from(time.max_ns) - i128::from(time.min_ns) + 1;
    let edge = |nth: i128| i128::from(time.min_ns) + span * nth / count;
    for nth in 0..count {
        let (start, end) = (edge(nth), edge(nth + 1));
        if start < end {
            let time = TimeRange { min_ns: start as i64, max_ns: (end - 1) as i64 };
            let rows_about = rows / count as usize;
            units.push(Unit { time, sources: sources.clone(), lo: START, hi: None, rows_about });
        }
    }
}

/// Deals units out to parts.
pub(super) fn shares(units: Vec<Unit>, parts: usize, order: ScanOrder) -> Vec<VecDeque<Unit>> {
    let count = units.len().max(1);
    let mut shares = vec![VecDeque::new(); parts];
    for (nth, unit) in units.into_iter().enumerate() {
        let part = if order == ScanOrder::Unordered { nth % parts } else { nth * parts / count };
        shares[part].push_back(unit);
    }
    shares
}

/// The first key there is.
const START: Key = (SeriesId(0), i64::MIN);

/// Cuts the rows of sources into units by key.
fn cut(reader: &Reader, time: TimeRange, sources: Vec<Source>, units: &mut Vec<Unit>) {
    let mut lo = START;
    let cuts = cuts(reader, &sources, &time);
    let rows_about = rows_about(reader, &sources) / (cuts.len() + 1);
    for hi in cuts {
        units.push(Unit { time, sources: sources.clone(), lo, hi: Some(hi), rows_about });
        lo = hi;
    }
    units.push(Unit { time, sources, lo, hi: None, rows_about });
}

/// What may hold wanted rows, oldest first.
fn sources(reader: &Reader) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut effort = Effort::default();
    for (nth, live) in reader.view.segments.iter().enumerate() {
        let time = TimeRange { min_ns: live.entry.min_ns, max_ns: live.entry.max_ns };
        if !time.overlaps(&reader.wanted.time) {
            effort.chunks.pruned += live.file.as_ref().map_or(0, |segment| segment.chunks().len() as u64);
            continue;
        }
        let segment = live.file.as_ref().map_err(crate::Error::again)?;
        let wanted = |chunk: &usize| reader.wants_chunk(&segment.chunks()[*chunk]);
        let chunks: Vec<usize> = (0..segment.chunks().len()).filter(wanted).collect();
        effort.chunks.pruned += (segment.chunks().len() - chunks.len()) as u64;
        if !chunks.is_empty() {
            sources.push(Source::Segment { nth, chunks });
        }
    }
    reader.tally.add(&effort);
    let runs = reader.view.memtable.runs().filter(|run| run.time.overlaps(&reader.wanted.time));
    sources.extend(runs.cloned().map(Source::Run));
    Ok(sources)
}

/// For each partition in the time range, what may hold rows of it, oldest first.
fn by_partition(reader: &Reader, sources: Vec<Source>) -> BTreeMap<Partition, Vec<Source>> {
    let mut partitions: BTreeMap<Partition, Vec<Source>> = BTreeMap::new();
    for source in sources {
        match &source {
            Source::Segment { nth, .. } => {
                let partition = partition::of(reader.view.segments[*nth].entry.min_ns);
                partitions.entry(partition).or_default().push(source);
            }
            Source::Run(run) => {
                let wanted = run.partitions().iter().filter(|p| partition::range(**p).overlaps(&reader.wanted.time));
                wanted.for_each(|p| partitions.entry(*p).or_default().push(source.clone()));
            }
        }
    }
    partitions
}

/// Rows that the sources may hold, with the share of the series that is wanted.
fn rows_about(reader: &Reader, sources: &[Source]) -> usize {
    let in_source = |source: &Source| match source {
        Source::Segment { nth, chunks } => match &reader.view.segments[*nth].file {
            Ok(segment) => chunks.iter().map(|chunk| segment.chunks()[*chunk].rows as usize).sum(),
            Err(_) => 0,
        },
        Source::Run(run) => run.rows.len() / run.partitions().len().max(1),
    };
    let rows: usize = sources.iter().map(in_source).sum();
    let all = u64::from(reader.view.core.index().len()).max(1);
    let wanted = reader.wanted.series.as_ref().map_or(all, |s| s.len().min(all));
    usize::try_from(rows as u128 * u128::from(wanted) / u128::from(all)).unwrap_or(rows)
}

/// Keys at which the rows of the sources are cut into units.
fn cuts(reader: &Reader, sources: &[Source], time: &TimeRange) -> Vec<Key> {
    let mut steps: Vec<(Key, usize)> = Vec::new();
    for source in sources {
        match source {
            Source::Segment { nth, chunks } => {
                let Ok(segment) = &reader.view.segments[*nth].file else { continue };
                let step = |chunk: &usize| {
                    let info = &segment.chunks()[*chunk];
                    let one_series = info.series_first == info.series_last;
                    let from_ns = if one_series { info.time.min_ns } else { i64::MIN };
                    ((info.series_first, from_ns), info.rows as usize)
                };
                steps.extend(chunks.iter().map(step));
            }
            Source::Run(run) if reader.wanted.series.is_none() => {
                let series = run.rows.series_of_rows();
                let starts = (0..run.rows.len()).step_by(RUN_STEP_ROWS);
                let overlap = |row: &usize| time.contains(run.rows.times[*row]) || run.partitions().len() == 1;
                steps.extend(starts.filter(overlap).map(|row| ((series[row], run.rows.times[row]), RUN_STEP_ROWS)));
            }
            // Few series of a memtable are few rows.
            Source::Run(_) => {}
        }
    }
    steps.sort_unstable_by_key(|(key, _)| *key);
    let mut cuts = Vec::new();
    let mut rows = 0;
    for (key, more) in steps {
        if rows > 0 && rows + more > UNIT_ROWS && cuts.last() != Some(&key) {
            cuts.push(key);
            rows = 0;
        }
        rows += more;
    }
    cuts
}
