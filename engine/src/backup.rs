//! Backups: a database as it was at one instant, in a directory of its own, whole or as what an earlier backup has not.
//!
//! ```text
//!  hold ─► write ─► BACKUP            check ─► copy beside DATA ─► replay the archive ─► DATA
//!  a moment, with   last, by rename   every byte that is needed     up to an instant     by rename
//!  locks held
//! ```
//!
//! Invariants
//! - What is held is what a power loss at that instant would have left, but for no log record being torn: the files of one
//!   manifest, and the log up to one record. So a restored database needs no rules of its own, it recovers.
//! - A directory is a backup when it has a `BACKUP`, which is written last; that names every file with size and digest.
//! - A backup names its base by the digest of the base's `BACKUP`, so no other one is taken for it.
//! - The destination of a restore is as before until the last step, a rename.

mod chain;
mod format;
mod point;
mod restore;

use std::path::Path;

use crate::env::FileSystem;
use crate::wal::archive;
use crate::{Error, Result};

pub use chain::{Backup, Checked};
use format::BACKUP_NAME;
pub use point::{BackupPoint, BackupReport};
pub(crate) use point::{read_manifest, sync_dir};
pub use restore::{RestoreReport, RestoreRequest};

/// True when a directory is a backup.
///
/// # Errors
/// [`Error::Io`] when there is no such directory.
pub fn is_backup(fs: &dyn FileSystem, dir: &Path) -> Result<bool> {
    Ok(fs.list(dir).map_err(|e| Error::io("list", dir, e))?.iter().any(|name| name == BACKUP_NAME))
}

/// True when a directory is an archive of the log.
///
/// # Errors
/// [`Error::Io`] when there is no such directory.
pub fn is_archive(fs: &dyn FileSystem, dir: &Path) -> Result<bool> {
    Ok(!archive::list(fs, dir)?.is_empty())
}

/// Refuses to take a backup for a data directory, which would change it.
pub(crate) fn refuse(fs: &dyn FileSystem, dir: &Path) -> Result<()> {
    match is_backup(fs, dir) {
        Ok(true) => Err(Error::directory(dir, "is a backup; restore it into a directory of its own")),
        _ => Ok(()),
    }
}

/// Reads and checks every file of an archive, and that none is missing between them. `progress` is told each file before it
/// is read.
///
/// # Errors
/// [`Error::Io`] when there is no such directory. Damage is in what is given.
pub fn verify_archive(fs: &dyn FileSystem, dir: &Path, progress: &mut dyn FnMut(&Path)) -> Result<Checked> {
    let mut checked = Checked::default();
    let mut next_lsn = None;
    for file in archive::list(fs, dir)? {
        progress(&file.path);
        checked.files += 1;
        if let Some(wanted) = next_lsn.filter(|wanted| *wanted < file.first_lsn) {
            checked.damages.push(restore::gap(&file.path, wanted, file.first_lsn));
        }
        next_lsn = next_lsn.max(Some(file.last_lsn.saturating_add(1)));
        match archive::read(fs, &file, 0, None) {
            Ok(part) => checked.bytes += part.bytes(),
            Err(error) => checked.damages.push(error),
        }
    }
    Ok(checked)
}
