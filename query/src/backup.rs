//! Backups of the whole data directory: the engine's files, and beside them the definitions and the rows of `ops`.
//!
//! All three are held at one instant, while no definition and no row of `ops` changes and the log is closed at a record. So what
//! is restored is what a power loss at that instant would have left, which every part recovers from, and the parts agree as they
//! do after one.

use std::path::Path;

use plimsoll_engine::env::{FileBytes, FileSystem, RealFileSystem};
use plimsoll_engine::{Backup, BackupPoint, BackupReport};
use redb::StorageBackend as _;
use redb::backends::InMemoryBackend;

use crate::catalog::store::CATALOG_NAME;
use crate::ops::store::OPS_NAME;
use crate::{Database, Error, Result};

/// The files of this layer.
const STORES: [&str; 2] = [CATALOG_NAME, OPS_NAME];

impl Database {
    /// Writes a backup of everything into a directory that is new or empty; of what `base` has not, if one is given. Blocks as
    /// long as that takes; writers wait for a sync of the log, and those who change definitions or `ops` for a read of these.
    /// `progress` is told each file before it is written.
    ///
    /// # Errors
    /// [`Error::Engine`], [`Error::Catalog`]. The directory is no backup then.
    pub fn back_up(
        &self,
        to: &Path,
        base: Option<&Path>,
        now_ns: i64,
        progress: &mut dyn FnMut(&Path),
    ) -> Result<BackupReport> {
        let base = base.map(|base| Backup::open(&RealFileSystem, base)).transpose()?;
        let hold = || {
            let mut point = self.engine().backup_point(base.as_ref(), now_ns)?;
            attach(&mut point, self.engine().dir())?;
            Ok::<_, Error>(point)
        };
        // Whoever changes both may hold one and wait for the other: nobody waits for the second while he holds the first.
        let point = loop {
            match self.catalog().at_rest(|| self.ops().at_rest(hold)) {
                Some(point) => break point?,
                None => self.ops().wait(),
            }
        };
        Ok(point.write(&RealFileSystem, to, base.as_ref(), progress)?)
    }
}

/// As [`Database::back_up`], of a data directory that no process has open.
///
/// # Errors
/// [`Error::Engine`], [`Error::Catalog`].
pub fn back_up_at_rest(
    data: &Path,
    to: &Path,
    base: Option<&Path>,
    now_ns: i64,
    progress: &mut dyn FnMut(&Path),
) -> Result<BackupReport> {
    let base = base.map(|base| Backup::open(&RealFileSystem, base)).transpose()?;
    let mut point = BackupPoint::at_rest(&RealFileSystem, data, base.as_ref(), now_ns)?;
    attach(&mut point, data)?;
    Ok(point.write(&RealFileSystem, to, base.as_ref(), progress)?)
}

/// Reads the files of this layer, as far as there are any. Nobody may write to them meanwhile.
fn attach(point: &mut BackupPoint, dir: &Path) -> Result<()> {
    for name in STORES {
        if let Some(bytes) = read(&dir.join(name))? {
            point.attach(name, FileBytes::new(bytes));
        }
    }
    Ok(())
}

/// The files of this layer that are not what was written, each with the reason; none is changed. No process may have the
/// directory open.
///
/// # Errors
/// [`Error::Catalog`] when one cannot be read.
pub fn verify_stores(dir: &Path) -> Result<Vec<String>> {
    let mut damages = Vec::new();
    for name in STORES {
        let path = dir.join(name);
        if let Some(bytes) = read(&path)?
            && let Err(why) = check(&bytes)
        {
            damages.push(format!("{}: {why}", path.display()));
        }
    }
    Ok(damages)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match RealFileSystem.read(path) {
        Ok(bytes) => Ok(Some(bytes.to_vec())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::Catalog { action: "read", path: path.to_owned(), message: e.to_string() }),
    }
}

/// Opens a copy in memory, which recovers what a killed process has left, and checks the sums of all pages.
fn check(bytes: &[u8]) -> Result<(), String> {
    let damaged = |e: &dyn std::fmt::Display| format!("damaged: {e}");
    let looked = std::panic::catch_unwind(|| {
        let backend = InMemoryBackend::new();
        backend.set_len(bytes.len() as u64).and_then(|()| backend.write(0, bytes)).map_err(|e| damaged(&e))?;
        let mut database = redb::Database::builder().create_with_backend(backend).map_err(|e| damaged(&e))?;
        match database.check_integrity() {
            Ok(_) => Ok(()),
            Err(e) => Err(damaged(&e)),
        }
    });
    looked.unwrap_or_else(|_| Err("damaged: the library that reads it gives up".to_owned()))
}
