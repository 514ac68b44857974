//! Batches on disk that are not delivered yet: a directory with one gzip file per batch, named by its number.
//!
//! Invariants
//! - A file has its name only when it is whole: it is written beside and renamed. A crash leaves a `.part`, removed at the next open.
//! - Numbers only grow, so that the order of names is the order of time, over restarts too.
//! - One agent owns the directory: it holds a lock on the file `lock`.
//!
//! Files are not synced one by one: they survive the end of the agent, not necessarily a power loss of its host. A file that a
//! power loss has torn is dropped with a message.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::{Error, Result};

const FINISHED: &str = "lp.gz";
const PART: &str = "part";

/// The number of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BatchId(u64);

/// The directory, and what is known to be in it.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    limit_bytes: u64,
    batches: VecDeque<Waiting>,
    next: u64,
    /// Held for its lock.
    _lock: File,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    id: BatchId,
    bytes: u64,
}

impl Spool {
    /// Opens the directory, creating it if need be, and lists what an earlier run left.
    pub(super) fn open(dir: &Path, limit_bytes: u64) -> Result<Spool> {
        let refused = |action| move |source| Error::io(action, dir, source);
        fs::create_dir_all(dir).map_err(refused("create agent buffer"))?;
        let lock = lock(dir)?;
        let batches = list(dir).map_err(refused("read agent buffer"))?;
        let next = batches.back().map_or(0, |last| last.id.0 + 1);
        Ok(Spool { dir: dir.to_owned(), limit_bytes, batches, next, _lock: lock })
    }

    /// Number of batches that wait.
    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }

    /// Adds a batch and makes room for it; returns how many of the oldest were dropped.
    pub(super) fn push(&mut self, lines: &str) -> io::Result<usize> {
        if lines.is_empty() {
            return Ok(0);
        }
        let packed = compress(lines)?;
        let bytes = packed.len() as u64;
        let dropped = overflow(self.batches.iter().map(|waiting| waiting.bytes), bytes, self.limit_bytes);
        for _ in 0..dropped {
            self.drop_oldest()?;
        }
        let id = BatchId(self.next);
        let part = self.dir.join(format!("{:020}.{PART}", id.0));
        File::create(&part)?.write_all(&packed)?;
        fs::rename(&part, self.path(id))?;
        self.next += 1;
        self.batches.push_back(Waiting { id, bytes });
        Ok(dropped)
    }

    /// The batch that waits longest. Files that cannot be read are dropped on the way, with a message.
    pub(super) fn oldest(&mut self) -> Option<(BatchId, String)> {
        loop {
            let id = self.batches.front()?.id;
            let path = self.path(id);
            match read(&path) {
                Ok(lines) => return Some((id, lines)),
                Err(error) => tracing::error!(file = %path.display(), %error, "dropped a batch that cannot be read"),
            }
            let _leave_it_for_the_next_open = self.drop_oldest();
        }
    }

    /// Removes a batch that was delivered, unless it was dropped meanwhile.
    pub(super) fn remove(&mut self, id: BatchId) -> io::Result<()> {
        match self.batches.front() {
            Some(waiting) if waiting.id == id => self.drop_oldest(),
            _ => Ok(()),
        }
    }

    fn drop_oldest(&mut self) -> io::Result<()> {
        match self.batches.pop_front() {
            Some(waiting) => fs::remove_file(self.path(waiting.id)),
            None => Ok(()),
        }
    }

    fn path(&self, id: BatchId) -> PathBuf {
        self.dir.join(format!("{:020}.{FINISHED}", id.0))
    }
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|e| Error::io("create", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let ask = Some("; choose another with --buffer".to_owned());
            Err(Error::InUse { what: "agent buffer", dir: dir.to_owned(), holder: None, ask })
        }
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &path, source)),
    }
}

/// Finished batches by number; removes what a crash left half written.
fn list(dir: &Path) -> io::Result<VecDeque<Waiting>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match name.split_once('.') {
            Some((number, FINISHED)) if number.parse::<u64>().is_ok() => {
                let id = BatchId(number.parse().unwrap_or_default());
                found.push(Waiting { id, bytes: entry.metadata()?.len() });
            }
            Some((_, PART)) => fs::remove_file(entry.path())?,
            _ => {}
        }
    }
    found.sort_by_key(|waiting| waiting.id);
    Ok(found.into())
}

/// How many of the oldest have to go so that `incoming` bytes fit into `limit` with the rest.
fn overflow(waiting: impl ExactSizeIterator<Item = u64> + Clone, incoming: u64, limit: u64) -> usize {
    let mut held: u64 = waiting.clone().sum();
    let count = waiting.len();
    for (dropped, bytes) in waiting.enumerate() {
        if held + incoming <= limit {
            return dropped;
        }
        held -= bytes;
    }
    count
}

/// Packs lines as they are stored and sent.
pub(super) fn compress(lines: &str) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(lines.as_bytes())?;
    encoder.finish()
}

fn read(path: &Path) -> io::Result<String> {
    let mut lines = String::new();
    GzDecoder::new(File::open(path)?).read_to_string(&mut lines)?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(spool: &mut Spool) -> Vec<String> {
        let mut all = Vec::new();
        while let Some((id, lines)) = spool.oldest() {
            spool.remove(id).expect("the file is there");
            all.push(lines);
        }
        all
    }

    #[test]
    fn batches_come_back_in_order_over_restarts() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut spool = Spool::open(dir.path(), 1 << 20).expect("opens");
        spool.push("a 1").expect("stored");
        spool.push("").expect("nothing to store");
        spool.push("b 2").expect("stored");
        drop(spool);
        fs::write(dir.path().join("00000000000000000007.part"), "torn").expect("a file");
        let mut spool = Spool::open(dir.path(), 1 << 20).expect("opens again");
        spool.push("c 3").expect("stored");
        assert_eq!(drain(&mut spool), ["a 1", "b 2", "c 3"]);
        drop(spool);
        assert_eq!(Spool::open(dir.path(), 1 << 20).expect("opens again").len(), 0);
        assert!(!dir.path().join("00000000000000000007.part").exists());
    }

    #[test]
    fn the_oldest_make_room() {
        assert_eq!(overflow([10, 10, 10].into_iter(), 10, 40), 0);
        assert_eq!(overflow([10, 10, 10].into_iter(), 15, 40), 1);
        assert_eq!(overflow([10, 10, 10].into_iter(), 35, 40), 3);
        assert_eq!(overflow([10, 10, 10].into_iter(), 99, 40), 3);
        assert_eq!(overflow([].into_iter(), 99, 40), 0);
        let dir = tempfile::tempdir().expect("a directory");
        let mut spool = Spool::open(dir.path(), 60).expect("opens");
        let dropped: usize = ["a 1", "b 2", "c 3"].map(|lines| spool.push(lines).expect("stored")).iter().sum();
        assert_eq!((dropped, drain(&mut spool)), (1, vec!["b 2".to_owned(), "c 3".to_owned()]));
    }

    #[test]
    fn a_damaged_batch_does_not_hold_up_the_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut spool = Spool::open(dir.path(), 1 << 20).expect("opens");
        spool.push("a 1").expect("stored");
        spool.push("b 2").expect("stored");
        fs::write(spool.path(BatchId(0)), "not gzip").expect("a file");
        assert_eq!(drain(&mut spool), ["b 2"]);
    }

    #[test]
    fn one_agent_per_buffer() {
        let dir = tempfile::tempdir().expect("a directory");
        let _first = Spool::open(dir.path(), 1).expect("opens");
        let error = Spool::open(dir.path(), 1).expect_err("taken");
        assert!(error.to_string().contains("is in use by another process"), "{error}");
    }
}
