//! Making the rollups of one day, as new segments that nothing names yet.
//!
//! Rows are read in the order of (series, time), a bounded number at a time, and each coarser tier is made from the finer one
//! while that is being written. A day whose raw rows were dropped keeps its buckets: what came since is added to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::retain::RollDay;
use crate::env::FileSystem;
use crate::error::{Error, Result};
use crate::files;
use crate::manifest::{FileNumber, SegmentEntry};
use crate::model::{FieldRef, SeriesId, TableId, TimeRange};
use crate::partition;
use crate::rollup::{BucketSummary, Roller, from_rows, rollup_fields, to_rows};
use crate::rows::{Key, Rows, merge};
use crate::segment::{Segment, SegmentWriter, Selection};
use crate::table::LiveSegment;
use crate::tiers::{Day, Rollup};
use crate::tombstone::Tombstones;

/// Rows that are read at a time.
const STEP_ROWS: usize = 32 * 1024;

/// What rolling up a day needs to know.
#[derive(Debug)]
pub(crate) struct DayToRoll {
    pub(crate) table: TableId,
    pub(crate) roll: RollDay,
    /// The segments with raw rows of the day, oldest first.
    pub(crate) raw: Vec<Arc<LiveSegment>>,
    /// The rollups that the day has.
    pub(crate) before: Option<Day>,
    /// The fields of the table.
    pub(crate) fields: Vec<FieldRef>,
}

/// Writes the rollups of a day and syncs them; the directory is the caller's to sync. On an error no file is left.
pub(crate) fn roll_day(
    fs: &dyn FileSystem,
    dir: &Path,
    day: &DayToRoll,
    next_file: &mut dyn FnMut() -> FileNumber,
) -> Result<Vec<Rollup>> {
    let mut output = Output { fs, dir, table: day.table, fields: &day.fields, files: Vec::new() };
    let widths = &day.roll.widths;
    let tiers = widths.iter().map(|width_ns| output.tier(*width_ns, next_file())).collect();
    let raw_gone = day.before.as_ref().is_some_and(|before| before.raw_gone);
    let rolled = match raw_gone {
        true => add_to_tiers(day, &mut output, tiers),
        false => roll_raw(day, &mut output, tiers),
    };
    let rolled = rolled.and_then(|tiers| tiers.into_iter().map(|tier| output.finish(tier)).collect());
    if rolled.is_err() {
        for path in &output.files {
            let _left_for_the_next_open = fs.remove(path);
        }
    }
    rolled
}

/// Every tier from the raw rows of the day.
fn roll_raw(day: &DayToRoll, output: &mut Output<'_>, mut tiers: Vec<Tier>) -> Result<Vec<Tier>> {
    let time = partition::range(day.roll.day);
    let mut rollers: Vec<Roller> = day.roll.widths.iter().map(|width| Roller::new(*width, &day.fields)).collect();
    for (lo, hi) in key_ranges(&day.raw)? {
        let rows = read(&day.raw, &day.fields, time, lo, hi)?;
        rollers[0].add_rows(&rows);
        let buckets = rollers[0].take();
        pass_on(buckets, &mut rollers[1..], output, &mut tiers)?;
    }
    for nth in 0..rollers.len() {
        let rest = rollers[nth].finish();
        pass_on(rest, &mut rollers[nth + 1..], output, &mut tiers[nth..])?;
    }
    Ok(tiers)
}

/// Writes buckets to the first tier, and what they complete of the coarser ones to those.
fn pass_on(
    mut buckets: Vec<BucketSummary>,
    coarser: &mut [Roller],
    output: &mut Output<'_>,
    tiers: &mut [Tier],
) -> Result<()> {
    for (nth, tier) in tiers.iter_mut().enumerate() {
        output.append(tier, &buckets)?;
        let Some(roller) = coarser.get_mut(nth) else { break };
        roller.add_buckets(&buckets);
        buckets = roller.take();
    }
    Ok(())
}

/// The tiers as they were, with the raw rows that came since; a tier that is new is made from the finest one that it can be.
fn add_to_tiers(day: &DayToRoll, output: &mut Output<'_>, mut tiers: Vec<Tier>) -> Result<Vec<Tier>> {
    let before = day.before.as_ref().expect("a day without raw rows has rollups");
    let stored: Vec<Arc<LiveSegment>> = before.rollups.iter().filter_map(|r| r.segment.clone()).collect();
    let raw: &[Arc<LiveSegment>] = if day.roll.adds { &day.raw } else { &[] };
    let columns = rollup_fields(&day.fields);
    let all: Vec<Arc<LiveSegment>> = stored.iter().chain(raw).cloned().collect();
    for (lo, hi) in series_ranges(&all)? {
        let rows = read(raw, &day.fields, partition::range(day.roll.day), lo, hi)?;
        for tier in &mut tiers {
            let source = before
                .rollup(tier.width_ns)
                .or_else(|| before.rollups.iter().find(|finer| tier.width_ns % finer.width_ns == 0));
            let kept = match source.and_then(|rollup| rollup.segment.as_ref()) {
                Some(segment) => {
                    let rows = read(std::slice::from_ref(segment), &columns, TimeRange::ALL, lo, hi)?;
                    let malformed = || Error::corrupt(&segment.path, 0, "columns of a rollup do not go together");
                    coarsen(&from_rows(&rows, &day.fields).ok_or_else(malformed)?, tier.width_ns, &day.fields)
                }
                None => Vec::new(),
            };
            let mut roller = Roller::new(tier.width_ns, &day.fields);
            roller.add_rows(&rows);
            output.append(tier, &joined(kept, roller.finish()))?;
        }
    }
    Ok(tiers)
}

fn coarsen(buckets: &[BucketSummary], width_ns: i64, fields: &[FieldRef]) -> Vec<BucketSummary> {
    let mut roller = Roller::new(width_ns, fields);
    roller.add_buckets(buckets);
    roller.finish()
}

/// Two lists of buckets in order as one; those of the same series and time become one.
fn joined(older: Vec<BucketSummary>, newer: Vec<BucketSummary>) -> Vec<BucketSummary> {
    let key = |bucket: &BucketSummary| (bucket.series, bucket.bucket_ns);
    let mut both = older;
    both.extend(newer);
    both.sort_by_key(key);
    both.dedup_by(|later, kept| {
        let is_same = key(later) == key(kept);
        if is_same {
            kept.merge(later);
        }
        is_same
    });
    both
}

/// A range of keys; no end is `None`.
type KeyRange = (Key, Option<Key>);

/// Ranges of keys that hold about [`STEP_ROWS`] rows each.
fn key_ranges(segments: &[Arc<LiveSegment>]) -> Result<Vec<KeyRange>> {
    ranges(segments, |series, from_ns, one_series| (series, if one_series { from_ns } else { i64::MIN }))
}

/// As [`key_ranges`], but a series is never cut.
fn series_ranges(segments: &[Arc<LiveSegment>]) -> Result<Vec<KeyRange>> {
    ranges(segments, |series, _, _| (series, i64::MIN))
}

fn ranges(segments: &[Arc<LiveSegment>], start: impl Fn(SeriesId, i64, bool) -> Key) -> Result<Vec<KeyRange>> {
    let mut steps: Vec<(Key, usize)> = Vec::new();
    for live in segments {
        let chunks = opened(live)?.chunks().iter();
        steps.extend(chunks.map(|c| {
            let one_series = c.series_first == c.series_last;
            (start(c.series_first, c.time.min_ns, one_series), c.rows as usize)
        }));
    }
    steps.sort_unstable_by_key(|(key, _)| *key);
    let mut cuts = vec![(SeriesId(0), i64::MIN)];
    let mut rows = 0;
    for (key, more) in steps {
        if rows > 0 && rows + more > STEP_ROWS && cuts.last() != Some(&key) {
            cuts.push(key);
            rows = 0;
        }
        rows += more;
    }
    let ends = cuts.iter().skip(1).copied().map(Some).chain([None]);
    Ok(cuts.iter().copied().zip(ends).collect())
}

/// The rows of some segments, oldest first, within a range of keys, merged.
fn read(segments: &[Arc<LiveSegment>], fields: &[FieldRef], time: TimeRange, lo: Key, hi: Option<Key>) -> Result<Rows> {
    let mut series = RoaringBitmap::new();
    series.insert_range(lo.0.0..=hi.map_or(u32::MAX, |hi| hi.0.0));
    let selection = Selection { time, series: Some(&series) };
    let mut found = vec![Rows { columns: fields.iter().map(none_of).collect(), ..Rows::default() }];
    for live in segments {
        let segment = opened(live)?;
        for (nth, chunk) in segment.chunks().iter().enumerate() {
            let is_after = hi.is_some_and(|hi| hi <= (chunk.series_first, i64::MIN));
            if is_after || chunk.series_last < lo.0 {
                continue;
            }
            let rows = live.deleted.apply(segment.read(nth, fields, &selection)?);
            let (start, end) = (rows.lower_bound(lo), hi.map_or(rows.len(), |hi| rows.lower_bound(hi)));
            found.push(rows.select(std::slice::from_ref(&(start..end)), &rows.columns));
        }
    }
    Ok(merge(found))
}

fn none_of((_, kind): &FieldRef) -> arrow_array::ArrayRef {
    arrow_array::new_empty_array(&kind.arrow())
}

fn opened(live: &LiveSegment) -> Result<&Segment> {
    live.file.as_ref().map_err(Error::again)
}

/// Where rollups go.
struct Output<'a> {
    fs: &'a dyn FileSystem,
    dir: &'a Path,
    table: TableId,
    fields: &'a [FieldRef],
    /// Files begun.
    files: Vec<PathBuf>,
}

/// One tier of the day being written; its file begins with the first bucket.
struct Tier {
    width_ns: i64,
    number: FileNumber,
    path: PathBuf,
    writer: Option<SegmentWriter>,
}

impl Output<'_> {
    fn tier(&self, width_ns: i64, number: FileNumber) -> Tier {
        Tier { width_ns, number, path: files::segment_path(self.dir, number), writer: None }
    }

    fn append(&mut self, tier: &mut Tier, buckets: &[BucketSummary]) -> Result<()> {
        if buckets.is_empty() {
            return Ok(());
        }
        if tier.writer.is_none() {
            self.files.push(tier.path.clone());
            let columns = rollup_fields(self.fields);
            tier.writer = Some(SegmentWriter::create_rollup(self.fs, &tier.path, self.table, &columns)?);
        }
        let writer = tier.writer.as_mut().expect("just begun");
        writer.append(&to_rows(buckets, self.fields))
    }

    fn finish(&mut self, tier: Tier) -> Result<Rollup> {
        let Some(writer) = tier.writer else { return Ok(Rollup { width_ns: tier.width_ns, segment: None }) };
        let summary = writer.finish()?;
        let entry = SegmentEntry {
            file: tier.number,
            lsn: 0,
            tier: 1,
            rows: summary.rows,
            bytes: summary.bytes,
            min_ns: summary.time.min_ns,
            max_ns: summary.time.max_ns,
            checksum: summary.checksum,
        };
        let file = Segment::open(self.fs, &tier.path, &entry.published(self.table))?;
        let segment = LiveSegment {
            entry,
            path: tier.path,
            file: Ok(file),
            deleted: Tombstones::default(),
            changed_ns: i64::MIN,
        };
        Ok(Rollup { width_ns: tier.width_ns, segment: Some(Arc::new(segment)) })
    }
}
