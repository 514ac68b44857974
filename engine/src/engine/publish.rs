//! Making another set of files the live one: the manifest names it, the state takes it over, and what it replaces is removed.
//!
//! Flushes, compactions and DROP TABLE meet here. Each holds `publishing` from the moment it makes a manifest until the state
//! agrees with it, so no one's change is lost, and nobody holds it for longer than a small file takes to write.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use super::Engine;
use crate::error::Error;
use crate::files;
use crate::maintain::{Compacted, FlushedTable, remove_files};
use crate::manifest::{self, FileNumber, Manifest};
use crate::model::TableId;
use crate::table::{LiveSegment, Table};
use crate::wal::Lsn;
use crate::{Result, engine::State};

/// The right to publish, with the files to be removed once that is done.
pub(super) type Publishing<'a> = MutexGuard<'a, Vec<PathBuf>>;

/// Segments of one table that take the place of others.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) table: TableId,
    pub(super) replaced: Vec<FileNumber>,
    pub(super) made: Option<Arc<LiveSegment>>,
}

impl Engine {
    pub(super) fn new_file(&self) -> FileNumber {
        self.next_file.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn publishing(&self) -> Publishing<'_> {
        self.publishing.lock().expect("a manifest is published without panics")
    }

    /// Makes what a flush wrote the live state, with the log up to `lsn` in it. If it fails, nothing of it is left.
    pub(super) fn publish_flushed(&self, lsn: Lsn, flushed: Vec<FlushedTable>) -> Result<()> {
        let mut publishing = self.publishing();
        self.forget_tombstones(&mut publishing);
        let written: Vec<PathBuf> = flushed.iter().flat_map(|t| t.written.iter().cloned()).collect();
        self.publish_or_remove(&self.manifest_with(lsn, &flushed), &mut publishing, &written)?;
        let mut useless = Vec::new();
        self.take_over(lsn, flushed, &mut useless);
        remove_files(&*self.options.fs, &useless);
        Ok(())
    }

    /// Makes what compactions wrote the live state. One whose inputs are gone meanwhile is dropped.
    pub(super) fn publish_compacted(&self, compacted: Vec<Compacted>) -> Result<()> {
        let (mut written, mut replacements) = (Vec::new(), Vec::new());
        for Compacted { compaction, path, segment } in compacted {
            written.extend(segment.is_some().then_some(path));
            replacements.push(Replacement {
                table: compaction.table,
                replaced: compaction.inputs,
                made: segment.map(Arc::new),
            });
        }
        self.replace(replacements, &written)
    }

    /// Publishes replacements, of which `written` are the files; if it fails, nothing of them is left.
    pub(super) fn replace(&self, mut replacements: Vec<Replacement>, written: &[PathBuf]) -> Result<()> {
        if !written.is_empty() {
            let dir = self.dir.join(files::SEGMENTS_DIR);
            self.options.fs.sync_dir(&dir).map_err(|e| self.poisoned(&Error::io("sync", &dir, e)))?;
        }
        let mut publishing = self.publishing();
        self.forget_tombstones(&mut publishing);
        let (useless, manifest) = {
            let state = self.state();
            let useless = replacements.extract_if(.., |r| !r.is_of(&state)).filter_map(|r| r.made);
            let useless: Vec<PathBuf> = useless.map(|s| s.path.clone()).collect();
            let mut manifest = self.manifest_of(&state, state.flushed_lsn);
            replacements.iter().for_each(|replacement| replacement.enter(&mut manifest));
            (useless, manifest)
        };
        remove_files(&*self.options.fs, &useless);
        if replacements.is_empty() {
            return Ok(());
        }
        let replaced = replacements.iter().flat_map(|r| &r.replaced).map(|file| files::segment_path(&self.dir, *file));
        let replaced: Vec<PathBuf> = replaced.collect();
        self.publish_or_remove(&manifest, &mut publishing, written)?;
        {
            let mut state = self.state_mut();
            for Replacement { table, replaced, made } in replacements {
                if let Some(table) = state.tables.values_mut().find(|t| t.core.id == table) {
                    table.replace(&replaced, made);
                }
            }
        }
        remove_files(&*self.options.fs, &replaced);
        Ok(())
    }

    /// Files that the state does not name any more; they are removed once the next manifest is published.
    pub(super) fn is_obsolete(files: impl IntoIterator<Item = PathBuf>, publishing: &mut Publishing<'_>) {
        publishing.extend(files);
    }

    fn forget_tombstones(&self, publishing: &mut Publishing<'_>) {
        let mut state = self.state_mut();
        let flushed_lsn = state.flushed_lsn;
        let useless = state.tables.values_mut().filter_map(|table| table.forget_tombstones(flushed_lsn));
        publishing.extend(useless.map(|file| files::tombstone_path(&self.dir, file)));
    }

    /// The manifest that names the state as it is.
    pub(super) fn manifest(&self, flushed_lsn: Lsn) -> Manifest {
        self.manifest_of(&self.state(), flushed_lsn)
    }

    pub(super) fn manifest_of(&self, state: &State, flushed_lsn: Lsn) -> Manifest {
        Manifest {
            flushed_lsn,
            next_table: state.next_table,
            next_file: self.next_file.load(Ordering::Relaxed),
            tables: state.tables.values().filter(|t| t.schema().is_some()).map(Table::entry).collect(),
        }
    }

    /// The manifest that names the state as it will be with what a flush wrote.
    fn manifest_with(&self, flushed_lsn: Lsn, flushed: &[FlushedTable]) -> Manifest {
        let mut manifest = self.manifest(flushed_lsn);
        for table in flushed {
            if let Some(entry) = manifest.tables.iter_mut().find(|e| e.id == table.core.id) {
                entry.segments.extend(table.segments.iter().map(|s| s.entry));
                entry.series_files.clone_from(&table.series_files);
                entry.tombstones = table.tombstone_file.or(entry.tombstones);
            }
        }
        manifest
    }

    /// Publishes a manifest. If the old one stays the live one, the files written for the new one are removed.
    pub(super) fn publish_or_remove(
        &self,
        manifest: &Manifest,
        publishing: &mut Publishing<'_>,
        written: &[PathBuf],
    ) -> Result<()> {
        self.publish(manifest, publishing).inspect_err(|error| {
            if !matches!(error, Error::Poisoned { .. }) {
                remove_files(&*self.options.fs, written);
            }
        })
    }

    /// Makes a manifest the live one. It may name tables and columns of any record that is applied, so these are synced first.
    pub(super) fn publish(&self, manifest: &Manifest, publishing: &mut Publishing<'_>) -> Result<()> {
        self.check_not_poisoned()?;
        self.log().sync().map_err(|e| self.write_error(e))?;
        manifest::store(&*self.options.fs, &self.dir, manifest).map_err(|e| self.write_error(e))?;
        remove_files(&*self.options.fs, publishing);
        publishing.clear();
        Ok(())
    }

    /// Reads from segments, from now on, what a flush wrote. Of a table that is gone it is useless.
    fn take_over(&self, lsn: Lsn, flushed: Vec<FlushedTable>, useless: &mut Vec<PathBuf>) {
        let mut state = self.state_mut();
        for table in flushed {
            match state.tables.get_mut(&table.core.name).filter(|t| t.core.id == table.core.id) {
                Some(live) => {
                    live.replace(&[], table.segments);
                    live.series_files = table.series_files;
                    live.tombstone_file = table.tombstone_file.or(live.tombstone_file);
                    useless.extend(table.replaced);
                }
                None => useless.extend(table.written),
            }
        }
        state.tables.values_mut().for_each(|t| t.memtable.thaw());
        state.frozen_lsn = None;
        state.flushed_lsn = lsn;
        state.count_memtables();
    }
}

impl Replacement {
    /// True while the table and all segments to be replaced are live.
    fn is_of(&self, state: &State) -> bool {
        let is_live = |table: &Table, file: &FileNumber| table.segments.iter().any(|s| s.entry.file == *file);
        let table = state.tables.values().find(|t| t.core.id == self.table);
        table.is_some_and(|table| self.replaced.iter().all(|file| is_live(table, file)))
    }

    fn enter(&self, manifest: &mut Manifest) {
        let Some(table) = manifest.tables.iter_mut().find(|t| t.id == self.table) else { return };
        let at = table.segments.iter().position(|s| self.replaced.contains(&s.file)).unwrap_or(table.segments.len());
        table.segments.splice(at..at, self.made.iter().map(|s| s.entry));
        table.segments.retain(|s| !self.replaced.contains(&s.file));
    }
}

/// The numbers of all files that a manifest names.
pub(crate) fn manifest_files(manifest: &Manifest) -> HashSet<FileNumber> {
    manifest.tables.iter().flat_map(manifest::TableEntry::file_numbers).collect()
}
