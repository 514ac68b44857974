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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use plimsoll_engine::{Engine, Options, RestoreRequest};

    use super::*;
    use crate::DatabaseOptions;

    fn open(dir: &Path) -> Database {
        let engine = Engine::open(dir, Options::default()).unwrap();
        Database::new(Arc::new(engine), &DatabaseOptions::default()).unwrap()
    }

    fn texts(database: &Database, query: &str) -> Vec<String> {
        use datafusion::arrow::array::AsArray;
        let batches = database.session().execute(query, 0).unwrap();
        let texts = |batch: &datafusion::arrow::array::RecordBatch| {
            let column =
                datafusion::arrow::compute::cast(batch.column(0), &datafusion::arrow::datatypes::DataType::Utf8);
            column.unwrap().as_string::<i32>().iter().map(|text| text.unwrap_or("").to_owned()).collect::<Vec<_>>()
        };
        batches.iter().flat_map(texts).collect()
    }

    /// Backups are taken while tables, views of them and incidents that name these are made one after the other. In none of them
    /// is there a later one of these without the one before.
    #[test]
    fn what_was_made_later_is_not_there_without_what_was_made_before() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let database = open(&at("data"));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (database, stop) = (&database, &stop);
                scope.spawn(move || {
                    for n in (thread..).step_by(2).take_while(|_| !stop.load(Ordering::Relaxed)) {
                        let made = format!(
                            "CREATE TABLE t{n} (time timestamptz, v bigint); INSERT INTO t{n} VALUES (now(), {n}); \
                             CREATE VIEW v{n} AS SELECT v FROM t{n}; INSERT INTO ops.incident (title) VALUES ('v{n}')"
                        );
                        database.session().execute(&made, 0).unwrap();
                    }
                });
            }
            for n in 0..6_u32 {
                let base = n.checked_sub(1).map(|before| at(&format!("b{before}")));
                database.back_up(&at(&format!("b{n}")), base.as_deref(), i64::from(n), &mut |_| {}).unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
        let fs: Arc<dyn FileSystem> = Arc::new(RealFileSystem);
        let mut views_before = 0;
        for n in 0..6 {
            let (from, to) = (at(&format!("b{n}")), at(&format!("r{n}")));
            let request = RestoreRequest { to: &to, archive: None, until_ns: None };
            Backup::open(&*fs, &from).unwrap().restore(&fs, &request, &mut |_| {}).unwrap();
            assert_eq!(verify_stores(&to).unwrap(), Vec::<String>::new());
            let restored = open(&to);
            let views: Vec<String> = restored.views().iter().map(|view| view.name.clone()).collect();
            for view in &views {
                assert_eq!(texts(&restored, &format!("SELECT v FROM {view}")), [view[1..].to_owned()], "backup {n}");
            }
            for title in texts(&restored, "SELECT title FROM ops.incident") {
                assert!(views.contains(&title), "backup {n} has an incident of {title}, which is not defined");
            }
            assert!(views.len() >= views_before, "backup {n} has fewer views than the one before");
            views_before = views.len();
        }
    }

    #[test]
    fn a_damaged_store_is_named() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).session().execute("INSERT INTO ops.incident (title) VALUES ('a')", 0).unwrap();
        assert_eq!(verify_stores(dir.path()).unwrap(), Vec::<String>::new());
        let path = dir.path().join(OPS_NAME);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[64..4096].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        let damages = verify_stores(dir.path()).unwrap();
        assert!(damages.len() == 1 && damages[0].starts_with(&*path.to_string_lossy()), "{damages:?}");
    }
}
