//! Carrying out what retention asks for: one day rolled up, or one expiry, at a time.
//!
//! New rollups are written and synced, then their directory, then the manifest names them and no longer names what they
//! replace; only then do reads see them. A crash anywhere leaves the old state or the new one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use super::{Engine, State, Table};
use crate::error::{Error, Result};
use crate::files;
use crate::maintain::remove_files;
use crate::maintain::retain::{Expiry, Kept, RollDay, Upkeep};
use crate::maintain::roll::{DayToRoll, roll_day};
use crate::model::{ColumnKind, FieldRef, TableId};
use crate::partition::{self, Partition};
use crate::table::LiveSegment;
use crate::tiers::{Day, Rollup, Tiers};

/// Rows of complete days are flushed for their rollups at most this often.
const FLUSH_EVERY_NS: i64 = 3_600_000_000_000;

/// What is to be done for one table.
struct Due {
    table: String,
    id: TableId,
    upkeep: Upkeep,
}

impl Engine {
    /// Does one thing that the retention of some table asks for; true when it did, so that there may be more.
    pub(super) fn keep_tiers(&self, now_ns: i64) -> Result<bool> {
        let dues = self.due(now_ns);
        let Some(due) = dues.iter().find(|due| due.upkeep != Upkeep::Flush) else {
            return if dues.is_empty() { Ok(false) } else { self.flush_for_tiers(now_ns) };
        };
        let _one_at_a_time = self.flushing.lock().expect("a flush does not panic");
        // A flush, a drop or another maintenance may have come first.
        let Some(due) = self.due(now_ns).into_iter().find(|again| again.id == due.id) else { return Ok(true) };
        match &due.upkeep {
            Upkeep::Roll(roll) => self.roll(&due, roll).inspect_err(|error| self.give_up(&due, roll, error))?,
            Upkeep::Expire(expiry) => self.expire(&due, expiry)?,
            Upkeep::Flush => {}
        }
        Ok(true)
    }

    /// A day with a damaged file cannot be rolled up, and never expires; the others go on.
    fn give_up(&self, due: &Due, roll: &RollDay, error: &Error) {
        if matches!(error, Error::Corrupt { .. }) {
            self.damaged_days().insert((due.id, roll.day));
        }
    }

    fn damaged_days(&self) -> MutexGuard<'_, BTreeSet<(TableId, Partition)>> {
        self.damaged_days.lock().expect("days are noted without panics")
    }

    fn flush_for_tiers(&self, now_ns: i64) -> Result<bool> {
        let last_ns = self.flushed_for_tiers_ns.load(Ordering::Relaxed);
        if last_ns != i64::MIN && now_ns.saturating_sub(last_ns) < FLUSH_EVERY_NS {
            return Ok(false);
        }
        self.flush()?;
        self.flushed_for_tiers_ns.store(now_ns, Ordering::Relaxed);
        Ok(true)
    }

    /// What each table asks for next.
    fn due(&self, now_ns: i64) -> Vec<Due> {
        let damaged = self.damaged_days().clone();
        let state = self.state();
        let due = |(name, table): (&String, &Table)| {
            let of_table = damaged.iter().filter(|(id, _)| *id == table.core.id).map(|(_, day)| *day);
            let upkeep = next(table, of_table.collect(), now_ns)?;
            Some(Due { table: name.clone(), id: table.core.id, upkeep })
        };
        state.tables.iter().filter_map(due).collect()
    }

    /// Makes the rollups of a day and has the manifest name them.
    fn roll(&self, due: &Due, roll: &RollDay) -> Result<()> {
        let Some((day, changes)) = self.day_to_roll(due, roll) else { return Ok(()) };
        let rollups = roll_day(&*self.options.fs, &self.dir, &day, &mut || self.new_file())?;
        let dir = self.dir.join(files::SEGMENTS_DIR);
        self.options.fs.sync_dir(&dir).map_err(|e| self.poisoned(&Error::io("sync", &dir, e)))?;
        // Once rows are only in a rollup, no DELETE reaches them. So none may be under way when they go there, and none may
        // have come since they were read; else the day is rolled up again later. Tried and not waited for: the lock comes
        // before those that are held here.
        let no_delete = if roll.adds { self.definitions.try_read().ok() } else { None };
        if roll.adds && (no_delete.is_none() || !self.has_as_it_was(due, &day)) {
            let made = rollups.iter().filter_map(|rollup| rollup.segment.as_ref().map(|segment| segment.path.clone()));
            remove_files(&*self.options.fs, &made.collect::<Vec<_>>());
            return Ok(());
        }
        let gone = if roll.adds { BTreeSet::from([roll.day]) } else { BTreeSet::new() };
        self.change_tiers(due, &gone, &|tiers| {
            let of_day = tiers.days.entry(roll.day).or_default();
            // What changed while the day was rolled up makes it stale again.
            of_day.changes -= changes;
            of_day.rollups.clone_from(&rollups);
        })
    }

    /// True when the raw rows of a day are the very ones that were read, with the same deletes.
    fn has_as_it_was(&self, due: &Due, day: &DayToRoll) -> bool {
        let state = self.state();
        let Some(table) = live(&state, due) else { return false };
        let now: Vec<_> = raw_of(table, day.roll.day).collect();
        now.len() == day.raw.len() && now.iter().zip(&day.raw).all(|(now, read)| Arc::ptr_eq(now, read))
    }

    fn day_to_roll(&self, due: &Due, roll: &RollDay) -> Option<(DayToRoll, u64)> {
        let state = self.state();
        let table = live(&state, due)?;
        let before = table.tiers().days.get(&roll.day).cloned();
        let changes = before.as_ref().map_or(0, |day| day.changes);
        let day = DayToRoll {
            table: due.id,
            roll: roll.clone(),
            raw: raw_of(table, roll.day).cloned().collect(),
            before,
            fields: fields_of(table),
        };
        Some((day, changes))
    }

    /// Moves the horizon and gives up what is before it.
    fn expire(&self, due: &Due, expiry: &Expiry) -> Result<()> {
        let gone: BTreeSet<Partition> = expiry.raw_days.iter().copied().collect();
        self.change_tiers(due, &gone, &|tiers| {
            (tiers.raw_from_ns, tiers.floor_ns) = (expiry.raw_from_ns, expiry.floor_ns);
            tiers.raw_keep_ns = expiry.raw_keep_ns;
            for day in &expiry.raw_days {
                if let Some(of_day) = tiers.days.get_mut(day) {
                    of_day.raw_gone = true;
                    of_day.changes = 0;
                }
            }
            for (day, width_ns) in &expiry.rollups {
                if let Some(of_day) = tiers.days.get_mut(day) {
                    of_day.rollups.retain(|rollup: &Rollup| rollup.width_ns != *width_ns);
                }
            }
            tiers.days.retain(|_, of_day: &mut Day| !of_day.rollups.is_empty());
        })
    }

    /// Publishes a change of a table's tiers together with the loss of the raw segments of some days, then lets reads see it.
    fn change_tiers(&self, due: &Due, gone: &BTreeSet<Partition>, change: &dyn Fn(&mut Tiers)) -> Result<()> {
        let is_gone = |min_ns: i64| gone.contains(&partition::of(min_ns));
        let mut publishing = self.publishing();
        let (manifest, before, after) = {
            let state = self.state();
            let Some(table) = live(&state, due) else { return Ok(()) };
            let mut tiers = (**table.tiers()).clone();
            change(&mut tiers);
            let mut manifest = self.manifest_of(&state, state.flushed_lsn);
            let Some(entry) = manifest.tables.iter_mut().find(|entry| entry.id == due.id) else { return Ok(()) };
            let before = entry.files(&self.dir);
            entry.tiers = tiers.entry();
            entry.segments.retain(|segment| !is_gone(segment.min_ns));
            let after = entry.files(&self.dir);
            (manifest, before, after)
        };
        let not_in = |files: &[PathBuf], others: &[PathBuf]| -> Vec<PathBuf> {
            files.iter().filter(|file| !others.contains(file)).cloned().collect()
        };
        self.publish_or_remove(&manifest, &mut publishing, &not_in(&after, &before))?;
        if let Some(table) = live_mut(&mut self.state_mut(), due) {
            let mut tiers = (**table.tiers()).clone();
            change(&mut tiers);
            table.set_tiers(tiers);
            let kept = table.segments.iter().filter(|segment| !is_gone(segment.entry.min_ns));
            table.segments = Arc::new(kept.cloned().collect());
        }
        remove_files(&*self.options.fs, &not_in(&before, &after));
        Ok(())
    }
}

/// The table, unless it was dropped since.
fn live<'a>(state: &'a State, due: &Due) -> Option<&'a Table> {
    state.tables.get(&due.table).filter(|table| table.core.id == due.id)
}

/// As [`live`], to be changed.
fn live_mut<'a>(state: &'a mut State, due: &Due) -> Option<&'a mut Table> {
    state.tables.get_mut(&due.table).filter(|table| table.core.id == due.id)
}

/// What a table asks for next.
fn next(table: &Table, damaged: BTreeSet<Partition>, now_ns: i64) -> Option<Upkeep> {
    table.schema()?;
    let tiers = table.tiers();
    if table.options.retention.is_none() && tiers.is_untouched() {
        return None;
    }
    let kept = Kept {
        options: &table.options,
        tiers,
        stored: table.segments.iter().map(|segment| partition::of(segment.entry.min_ns)).collect(),
        unflushed: table.memtable.view().runs().flat_map(|run| run.partitions().to_vec()).collect(),
        damaged,
    };
    kept.next(now_ns)
}

fn raw_of(table: &Table, day: Partition) -> impl Iterator<Item = &Arc<LiveSegment>> {
    table.segments.iter().filter(move |segment| partition::of(segment.entry.min_ns) == day)
}

fn fields_of(table: &Table) -> Vec<FieldRef> {
    let shape = table.core.shape();
    let field = |(at, column): (usize, &crate::model::Column)| match column.kind {
        ColumnKind::Field(kind) => Some((at as u32, kind)),
        _ => None,
    };
    shape.schema.columns.iter().enumerate().filter_map(field).collect()
}
