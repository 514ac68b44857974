//! Backups of an open engine, and the archive of its log.

use super::Engine;
use crate::Result;
use crate::backup::{Backup, BackupPoint};
use crate::error::Error;
use crate::wal::archive;

impl Engine {
    /// Holds what a backup has to copy: everything acknowledged before this call, and nothing that is begun after it. Writers
    /// wait for as long as a sync of the log takes, readers not at all. `base` is what need not be copied.
    ///
    /// # Errors
    /// As [`Engine::write`], and those of reading the base.
    pub fn backup_point(&self, base: Option<&Backup>, now_ns: i64) -> Result<BackupPoint> {
        self.check_not_poisoned()?;
        let fs = &*self.options.fs;
        // As long as no manifest is published, none of the files goes that the last one names.
        let _none_is_removed = self.publishing();
        let manifest = crate::backup::read_manifest(fs, &self.dir)?;
        let mut point = BackupPoint::hold(fs, &self.dir, manifest, base, now_ns)?;
        // Nor do log files go that it needs, and as long as the log is held, none at all.
        let mut log = self.log();
        let (sealed, lsn) = log.seal().map_err(|e| self.write_error(e))?;
        point.hold_log(fs, &self.dir, sealed.iter().map(|(file, _)| file), lsn)?;
        Ok(point)
    }

    /// Closes the log file that is written to and archives all that are not yet in the archive; does nothing without one.
    ///
    /// # Errors
    /// [`Error::Directory`] when the archive is that of another database, [`Error::DiskFull`], [`Error::Io`]. The log keeps its
    /// files until they are archived.
    pub fn archive(&self) -> Result<()> {
        if self.options.archive.is_some() && self.poison.get().is_none() {
            self.log().seal().map_err(|e| self.write_error(e))?;
        }
        self.archive_sealed()
    }

    /// Archives the log files that are closed, after closing one that is old.
    pub(super) fn archive_old(&self, now_ns: i64) -> Result<()> {
        let Some(options) = &self.options.archive else { return Ok(()) };
        if self.poison.get().is_none() {
            self.log().seal_old(now_ns, options.interval_ns).map_err(|e| self.write_error(e))?;
        }
        self.archive_sealed()
    }

    fn archive_sealed(&self) -> Result<()> {
        let Some(options) = &self.options.archive else { return Ok(()) };
        // One at a time: none is removed while it is copied.
        let Ok(_alone) = self.archiving.try_lock() else { return Ok(()) };
        let sealed = self.log().to_archive();
        if sealed.is_empty() {
            return Ok(());
        }
        let fs = &*self.options.fs;
        fs.create_dir_all(&options.dir).map_err(|e| Error::io("create", &options.dir, e))?;
        options.dir.ancestors().skip(1).try_for_each(|above| crate::backup::sync_dir(fs, above))?;
        for file in &sealed {
            archive::keep(fs, &options.dir, file)?;
            self.log().is_archived(file.0.first_lsn);
        }
        let flushed_lsn = self.state().flushed_lsn;
        self.log().forget(flushed_lsn)
    }
}
