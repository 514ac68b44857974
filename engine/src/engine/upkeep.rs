//! Upkeep: asks the plan what is due and does a bounded part of it.
//!
//! A compaction goes on over many steps. When a much smaller one becomes due meanwhile, it is done first, so a large one keeps
//! nobody from joining what small flushes leave behind. Nothing here holds a lock that readers or writers wait for.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::publish::Replacement;
use super::{Engine, Maintained, SegmentInfo};
use crate::error::{Error, Result, SchemaError};
use crate::files;
use crate::maintain::plan::{Action, Compaction, Deleted, SegmentFacts, Situation, TableFacts, level, plan};
use crate::maintain::{Compacted, FlushedTable, Job, TableToFlush, flush_table, remove_files};
use crate::manifest::FileNumber;
use crate::table::{LiveSegment, Table};
use crate::wal::Lsn;

/// A flush begins when the log is this many files long, so that a restart has a bounded amount to replay.
const LOG_FILES_MAX: u64 = 4;

/// Rows that one step of compaction writes, roughly.
const STEP_ROWS: u64 = 128 * 1024;

/// Compactions that one step finishes at most; they share one manifest.
const STEP_JOBS_MAX: usize = 64;

/// Compactions that are under way at the same time.
const JOBS_MAX: usize = 4;

/// A compaction goes before another that has this many times its bytes left.
const SMALLER_BY: u64 = 8;

/// How long compaction rests after it failed.
const REST_AFTER_FAILURE_NS: i64 = 30 * 1_000_000_000;

/// What upkeep remembers from step to step.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    /// Compactions under way; the last one is the smallest, and is the one that goes on.
    jobs: Vec<Job>,
    /// Compaction failed at this time.
    failed_ns: Option<i64>,
    /// Segments that turned out to be damaged.
    unreadable: HashSet<FileNumber>,
    /// The last record seen, and since when it is the last.
    last_write: (Lsn, i64),
}

impl Upkeep {
    /// Time since the last write, as far as steps of upkeep have seen it.
    fn calm_ns(&mut self, applied_lsn: Lsn, now_ns: i64) -> i64 {
        if self.last_write.0 != applied_lsn || self.last_write.1 > now_ns {
            self.last_write = (applied_lsn, now_ns);
        }
        now_ns.saturating_sub(self.last_write.1)
    }

    fn rests(&self, now_ns: i64) -> bool {
        self.failed_ns.is_some_and(|at| (at..at.saturating_add(REST_AFTER_FAILURE_NS)).contains(&now_ns))
    }

    fn is_taken(&self, file: FileNumber) -> bool {
        self.unreadable.contains(&file) || self.jobs.iter().any(|job| job.compaction.inputs.contains(&file))
    }
}

impl Engine {
    /// Does one bounded step of upkeep (sync of the log, files of it archived, flush, a day rolled up, an expiry, compaction) and says whether more waits.
    ///
    /// # Errors
    /// As [`Engine::write`]; what failed for want of space is tried again by a later call. [`Error::Corrupt`] when a segment
    /// that was to be compacted is damaged: it is left as it is from then on.
    pub fn maintain(&self, now_ns: i64) -> Result<Maintained> {
        // An archive that cannot be written to must not keep the rest from being done.
        let archived = self.archive_old(now_ns);
        let done = self.maintain_once(now_ns)?;
        archived.map(|()| done)
    }

    fn maintain_once(&self, now_ns: i64) -> Result<Maintained> {
        self.now_ns.store(now_ns, Ordering::Relaxed);
        if self.has_unsynced.swap(false, Ordering::AcqRel) {
            let synced = self.log().sync();
            synced.map_err(|e| self.write_error(e))?;
        }
        if self.poison.get().is_some() {
            return Ok(Maintained { more: false });
        }
        let Ok(mut upkeep) = self.upkeep.try_lock() else {
            // Another thread is at it; only a full memtable cannot wait for it.
            if self.state().memtable_bytes >= self.options.memtable_limit_bytes {
                self.flush()?;
            }
            return Ok(Maintained { more: true });
        };
        let actions = plan(&self.situation(&mut upkeep, now_ns));
        if !matches!(actions.first(), Some(Action::Flush)) && self.keep_tiers(now_ns)? {
            return Ok(Maintained { more: true });
        }
        let may_compact = !upkeep.rests(now_ns);
        match actions.first() {
            Some(Action::Drop { table, segments }) => {
                self.replace(vec![Replacement { table: *table, replaced: segments.clone(), made: None }], &[])?;
            }
            Some(Action::Flush) => self.flush()?,
            Some(Action::Compact(_)) if may_compact => {
                let compactions = actions.into_iter().filter_map(Action::compaction);
                self.compact(&mut upkeep, compactions.collect(), now_ns)?;
            }
            None if may_compact && !upkeep.jobs.is_empty() => self.compact(&mut upkeep, Vec::new(), now_ns)?,
            Some(Action::Compact(_)) | None => return Ok(Maintained { more: false }),
        }
        Ok(Maintained { more: self.poison.get().is_none() })
    }

    /// Does at once what upkeep would do in time: flushes what is in memory, joins the segments of each day, and gives back the
    /// space of deleted rows; of one table, or of all. Asks between bounded steps whether to go on. Readers and writers do not
    /// wait for it.
    ///
    /// # Errors
    /// [`SchemaError::NoTable`], and as [`Engine::maintain`].
    pub fn vacuum(&self, table: Option<&str>, now_ns: i64, go_on: &dyn Fn() -> bool) -> Result<()> {
        let only = match table {
            None => None,
            Some(name) => {
                let schema = self.snapshot().table(name).ok_or_else(|| SchemaError::NoTable(name.to_owned()))?;
                Some(schema.id)
            }
        };
        self.flush()?;
        let mut upkeep = self.upkeep.lock().expect("upkeep is done without panics");
        while go_on() {
            let mut situation = self.situation(&mut upkeep, now_ns);
            situation.tables.retain(|facts| only.is_none_or(|only| only == facts.table));
            let segments = situation.tables.iter_mut().flat_map(|facts| &mut facts.segments);
            segments.for_each(|segment| segment.rest_ns = i64::MAX);
            let actions = plan(&situation);
            if let Some(Action::Drop { table, segments }) = actions.first() {
                self.replace(vec![Replacement { table: *table, replaced: segments.clone(), made: None }], &[])?;
                continue;
            }
            let compactions: Vec<_> = actions.into_iter().filter_map(Action::compaction).collect();
            if compactions.is_empty() && upkeep.jobs.is_empty() {
                break;
            }
            self.compact(&mut upkeep, compactions, now_ns)?;
        }
        Ok(())
    }

    /// Flushes everything written so far to segments, so that the next open replays nothing.
    ///
    /// # Errors
    /// As [`Engine::write`]. What was to be flushed stays readable, and is flushed by the next call.
    pub fn flush(&self) -> Result<()> {
        self.check_not_poisoned()?;
        let _one_at_a_time = self.flushing.lock().expect("a flush does not panic");
        let (lsn, tables) = self.freeze();
        let fs = &*self.options.fs;
        let mut flushed: Vec<FlushedTable> = Vec::new();
        for table in tables {
            match flush_table(fs, &self.dir, &table, &mut || self.new_file()) {
                Ok(table) => flushed.push(table),
                Err(error) => {
                    // What was written of other tables takes up space that may be short.
                    flushed.iter().for_each(|table| remove_files(fs, &table.written));
                    return Err(error);
                }
            }
        }
        if flushed.is_empty() && lsn == self.state().flushed_lsn {
            self.state_mut().frozen_lsn = None;
            return Ok(());
        }
        for dir in [files::SEGMENTS_DIR, files::SERIES_DIR] {
            let dir = self.dir.join(dir);
            fs.sync_dir(&dir).map_err(|e| self.poisoned(&Error::io("sync", &dir, e)))?;
        }
        self.publish_flushed(lsn, flushed)?;
        self.log().forget(lsn)
    }

    /// The segments, by table and age.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let info = |table: &Table, live: &LiveSegment| SegmentInfo {
            table: table.core.name.clone(),
            path: live.path.clone(),
            tier: live.entry.tier,
            time: live.time(),
            rows: live.entry.rows,
            bytes: live.entry.bytes,
            level: level(live.entry.bytes),
            has_deleted_rows: !live.deleted.is_empty(),
            is_damaged: live.file.is_err(),
        };
        let state = self.state();
        let of_table = |table: &Table| table.segments.iter().map(|s| info(table, s)).collect::<Vec<_>>();
        state.tables.values().filter(|t| t.schema().is_some()).flat_map(of_table).collect()
    }

    fn situation(&self, upkeep: &mut Upkeep, now_ns: i64) -> Situation {
        let flushed_lsn = self.state().flushed_lsn;
        let log_is_long = self.log().bytes_after(flushed_lsn) > LOG_FILES_MAX * self.options.wal_file_bytes;
        let state = self.state();
        let calm_ns = upkeep.calm_ns(state.applied_lsn, now_ns);
        let segment = |live: &Arc<LiveSegment>| SegmentFacts {
            file: live.entry.file,
            tier: live.entry.tier,
            partition: live.entry.partition(),
            bytes: live.entry.bytes,
            rest_ns: now_ns.saturating_sub(live.changed_ns),
            deleted: match &live.deleted {
                none if none.is_empty() => Deleted::Nothing,
                some if some.cover(live.series(), &live.time()) => Deleted::Everything,
                _ => Deleted::Some,
            },
            is_fixed: live.file.is_err() || upkeep.is_taken(live.entry.file),
        };
        let table =
            |table: &Table| TableFacts { table: table.core.id, segments: table.segments.iter().map(segment).collect() };
        Situation {
            memtable_bytes: state.memtable_bytes,
            memtable_flush_bytes: self.options.memtable_flush_bytes,
            has_frozen: state.frozen_lsn.is_some(),
            log_is_long: log_is_long && state.applied_lsn > state.flushed_lsn,
            calm_ns,
            tables: state.tables.values().map(table).collect(),
        }
    }

    /// Goes on with the compactions under way and begins those that are due, the smallest first.
    fn compact(&self, upkeep: &mut Upkeep, due: Vec<Compaction>, now_ns: i64) -> Result<()> {
        let mut compacted = Vec::new();
        let done = self.compact_some(upkeep, due, now_ns, &mut compacted);
        let published = if compacted.is_empty() { Ok(()) } else { self.publish_compacted(compacted) };
        let result = done.and(published);
        upkeep.failed_ns = result.is_err().then_some(now_ns);
        result
    }

    fn compact_some(
        &self,
        upkeep: &mut Upkeep,
        due: Vec<Compaction>,
        now_ns: i64,
        compacted: &mut Vec<Compacted>,
    ) -> Result<()> {
        let fs = &*self.options.fs;
        let mut due = due.into_iter().peekable();
        let mut rows = 0;
        while rows < STEP_ROWS && compacted.len() < STEP_JOBS_MAX {
            let smallest_left = upkeep.jobs.last().map_or(u64::MAX, Job::bytes_left);
            let goes_first = |next: &Compaction| next.bytes.saturating_mul(SMALLER_BY) < smallest_left;
            if upkeep.jobs.len() < JOBS_MAX
                && let Some(next) = due.next_if(goes_first)
            {
                upkeep.jobs.extend(self.begin(next)?);
                continue;
            }
            let Some(mut job) = upkeep.jobs.pop() else {
                break;
            };
            let before = job.rows_done();
            match job.step(STEP_ROWS - rows) {
                Ok(is_done) => {
                    rows += job.rows_done() - before;
                    if is_done {
                        compacted.push(job.finish(fs, now_ns)?);
                    } else {
                        upkeep.jobs.push(job);
                    }
                }
                Err(error) => {
                    if let Error::Corrupt { .. } = error {
                        upkeep.unreadable.extend(&job.compaction.inputs);
                    }
                    job.give_up(fs);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Begins a compaction, of the segments as they are now; `None` when one of them is gone.
    fn begin(&self, compaction: Compaction) -> Result<Option<Job>> {
        let (inputs, lsn) = {
            let state = self.state();
            let Some(table) = state.tables.values().find(|t| t.core.id == compaction.table) else { return Ok(None) };
            let segment = |file: &FileNumber| table.segments.iter().find(|s| s.entry.file == *file).cloned();
            let Some(inputs) = compaction.inputs.iter().map(segment).collect::<Option<Vec<_>>>() else {
                return Ok(None);
            };
            (inputs, state.applied_lsn)
        };
        Job::begin(&*self.options.fs, &self.dir, compaction, inputs, lsn, self.new_file()).map(Some)
    }

    /// Sets the rows of all tables aside, unless an earlier flush that failed has done so.
    fn freeze(&self) -> (Lsn, Vec<TableToFlush>) {
        let mut state = self.state_mut();
        let lsn = match state.frozen_lsn {
            Some(lsn) => lsn,
            None => {
                state.tables.values_mut().for_each(|t| t.memtable.freeze());
                state.applied_lsn
            }
        };
        state.frozen_lsn = Some(lsn);
        for table in state.tables.values_mut() {
            let days: Vec<_> = table.memtable.frozen().iter().flat_map(|run| run.partitions()).copied().collect();
            table.days_changed(days.into_iter());
        }
        let to_flush = |table: &Table| TableToFlush {
            core: table.core.clone(),
            runs: table.memtable.frozen().to_vec(),
            series_files: table.series_files.clone(),
            tombstones: table.tombstones_carried(lsn),
            tombstone_file: table.tombstone_file,
            lsn,
            now_ns: self.now_ns.load(Ordering::Relaxed),
        };
        let is_needed = |table: &Table, to_flush: &TableToFlush| {
            let has_new_series = table.core.index().len() > table.series_stored();
            !to_flush.runs.is_empty()
                || to_flush.newest_unstored().is_some()
                || table.schema().is_some() && has_new_series
        };
        let tables = state.tables.values().map(|table| (table, to_flush(table)));
        (lsn, tables.filter(|(table, to_flush)| is_needed(table, to_flush)).map(|(_, to_flush)| to_flush).collect())
    }
}
