//! The simulated [`FileSystem`]: numbers operations, stops or fails at chosen ones, loses power, rots.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, FileId, Node, SECTOR_BYTES, plain};
use super::power_loss;
use super::random::Random;
use crate::env::{AppendFile, FileBytes, FileLock, FileSystem, LockAttempt};

/// Process id that the holder of a simulated lock leaves in the file.
const HOLDER_PID: u32 = 1;

/// What a program asked the file system to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named for the operations")]
pub enum OperationKind {
    CreateDir,
    List,
    Create,
    Read,
    Rename,
    Remove,
    RemoveDir,
    Truncate,
    SyncDir,
    Lock,
    Append,
    Sync,
}

/// One operation that a program performed, or tried to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub kind: OperationKind,
    /// On which file or directory; the old name of a rename.
    pub path: PathBuf,
}

impl Operation {
    /// True when it may change what is on the disk.
    pub fn changes(&self) -> bool {
        !matches!(self.kind, OperationKind::List | OperationKind::Read)
    }
}

/// How an operation fails. A fault that does not fit the operation is an input/output error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An input/output error. Of an append an unknown part is written; a sync fails as with `FailedSync`.
    Eio,
    /// No space left on the device. Of an append an unknown part is written; a sync fails as with `FailedSync`.
    Enospc,
    /// Half of an append is written, then it fails.
    ShortWrite,
    /// A sync fails. The bytes that it was to make durable never will be: later syncs of the file succeed without them. Names
    /// that the sync of a directory was to make durable stay as they are, for file systems keep those in a journal.
    FailedSync,
    /// A rename fails; the names are as before.
    FailedRename,
}

/// A file system in memory that a test can crash, fill, fail and damage. Clones are the same file system.
#[derive(Clone, Default)]
pub struct SimFileSystem(Arc<Mutex<Machine>>);

impl Debug for SimFileSystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimFileSystem({} operations)", self.operation_count())
    }
}

#[derive(Debug, Default)]
struct Machine {
    disk: Disk,
    operations: Vec<Operation>,
    down_at: Option<usize>,
    faults: BTreeMap<usize, Fault>,
    locks: BTreeSet<PathBuf>,
}

impl SimFileSystem {
    /// An empty disk of unlimited size.
    pub fn new() -> SimFileSystem {
        SimFileSystem::default()
    }

    /// The machine that comes up after power loss at this moment: what was synced, and by seed some of what was not. This
    /// one stays as it is.
    pub fn crash(&self, seed: u64) -> SimFileSystem {
        SimFileSystem::with(power_loss::image(&self.machine().disk, seed))
    }

    /// The same machine after the process was killed: everything written is there to read, but not one byte more is durable.
    /// This one stays as it is.
    pub fn kill(&self) -> SimFileSystem {
        let mut disk = self.machine().disk.clone();
        disk.files.iter_mut().for_each(|file| file.writers = 0);
        SimFileSystem::with(disk)
    }

    fn with(disk: Disk) -> SimFileSystem {
        SimFileSystem(Arc::new(Mutex::new(Machine { disk, ..Machine::default() })))
    }

    /// Lets operations before `number` pass (they count from 0) and all from it on fail without effect.
    pub fn crash_at(&self, number: usize) {
        self.machine().down_at = Some(number);
    }

    /// True when the next operation would come after the crash.
    pub fn is_down(&self) -> bool {
        let machine = self.machine();
        machine.down_at.is_some_and(|down_at| machine.operations.len() >= down_at)
    }

    /// Lets one operation fail.
    pub fn fail_at(&self, number: usize, fault: Fault) {
        self.machine().faults.insert(number, fault);
    }

    /// Every operation so far, in order: the n-th has the number n.
    pub fn operations(&self) -> Vec<Operation> {
        self.machine().operations.clone()
    }

    /// Number of operations so far, which is the number of the next one.
    pub fn operation_count(&self) -> usize {
        self.machine().operations.len()
    }

    /// Sets the size of the disk in bytes, also below what is used; `None` is unlimited.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.machine().disk.capacity_bytes = bytes;
    }

    /// Bytes in files.
    pub fn used_bytes(&self) -> u64 {
        self.machine().disk.used_bytes()
    }

    /// Every file with its size in bytes, by path.
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        let machine = self.machine();
        let names = machine.disk.live.iter().filter_map(|(path, node)| match node {
            Node::File(file) => Some((path.clone(), machine.disk.files[*file].live.len())),
            Node::Dir => None,
        });
        names.collect()
    }

    /// The bytes of a file. Not an operation.
    ///
    /// # Errors
    /// The file does not exist.
    pub fn read_all(&self, path: &Path) -> io::Result<Vec<u8>> {
        let machine = self.machine();
        let file = machine.disk.file(&plain(path))?;
        Ok(machine.disk.files[file].live.to_vec())
    }

    /// Changes a file behind the program's back, durably. Bytes that were read before stay as they were. Not an operation.
    ///
    /// # Errors
    /// The file does not exist.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut machine = self.machine();
        let file = machine.disk.file(&plain(path))?;
        change(Arc::make_mut(&mut machine.disk.files[file].live));
        machine.disk.sync(file);
        Ok(())
    }

    /// Flips one bit, counted from the lowest bit of the first byte.
    ///
    /// # Errors
    /// The file does not exist.
    pub fn flip_bit(&self, path: &Path, offset_bit: usize) -> io::Result<()> {
        self.damage(path, |bytes| {
            if let Some(byte) = bytes.get_mut(offset_bit / 8) {
                *byte ^= 1 << (offset_bit % 8);
            }
        })
    }

    /// Fills one sector with zeros.
    ///
    /// # Errors
    /// The file does not exist.
    pub fn zero_sector(&self, path: &Path, sector: usize) -> io::Result<()> {
        self.damage(path, |bytes| {
            let start = (sector * SECTOR_BYTES).min(bytes.len());
            let end = (start + SECTOR_BYTES).min(bytes.len());
            bytes[start..end].fill(0);
        })
    }

    /// Exchanges two blocks of `block_bytes` bytes, as far as the file has them whole.
    ///
    /// # Errors
    /// The file does not exist.
    pub fn swap_blocks(&self, path: &Path, block_bytes: usize, one: usize, other: usize) -> io::Result<()> {
        self.damage(path, |bytes| {
            let (first, second) = (one.min(other) * block_bytes, one.max(other) * block_bytes);
            if first + block_bytes <= second && second + block_bytes <= bytes.len() {
                let (head, tail) = bytes.split_at_mut(second);
                head[first..first + block_bytes].swap_with_slice(&mut tail[..block_bytes]);
            }
        })
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().expect("no thread panics while it holds the simulated machine")
    }
}

impl Machine {
    /// Numbers an operation and says how it is to fail.
    fn begin(&mut self, kind: OperationKind, path: &Path) -> io::Result<Option<Fault>> {
        let number = self.operations.len();
        if self.down_at.is_some_and(|down_at| number >= down_at) {
            return Err(io::Error::other("the machine is down"));
        }
        self.operations.push(Operation { kind, path: path.to_owned() });
        Ok(self.faults.get(&number).copied())
    }

    /// As `begin`, for operations that fail without any effect.
    fn begin_whole(&mut self, kind: OperationKind, path: &Path) -> io::Result<()> {
        self.begin(kind, path)?.map_or(Ok(()), |fault| Err(error(fault)))
    }

    fn append(&mut self, path: &Path, file: FileId, bytes: &[u8]) -> io::Result<()> {
        let fault = self.begin(OperationKind::Append, path)?;
        let written = match fault {
            None => bytes.len(),
            Some(Fault::ShortWrite) => bytes.len() / 2,
            Some(_) => Random::new(self.operations.len() as u64).below(bytes.len() + 1),
        };
        self.disk.append(file, &bytes[..written])?;
        fault.map_or(Ok(()), |fault| Err(error(fault)))
    }

    fn sync(&mut self, path: &Path, file: FileId) -> io::Result<()> {
        if let Some(fault) = self.begin(OperationKind::Sync, path)? {
            self.disk.lose(file);
            return Err(error(fault));
        }
        self.disk.sync(file);
        Ok(())
    }
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::Enospc => io::ErrorKind::StorageFull.into(),
        Fault::ShortWrite => io::ErrorKind::WriteZero.into(),
        Fault::Eio | Fault::FailedSync | Fault::FailedRename => io::Error::other("simulated input/output error"),
    }
}

impl FileSystem for SimFileSystem {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let (mut machine, dir) = (self.machine(), plain(dir));
        machine.begin_whole(OperationKind::CreateDir, &dir)?;
        machine.disk.create_dir_all(&dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let (mut machine, dir) = (self.machine(), plain(dir));
        machine.begin_whole(OperationKind::List, &dir)?;
        machine.disk.list(&dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let (mut machine, path) = (self.machine(), plain(path));
        machine.begin_whole(OperationKind::Create, &path)?;
        let file = machine.disk.create(&path)?;
        machine.disk.files[file].writers += 1;
        Ok(Box::new(SimAppendFile { fs: self.clone(), path, file }))
    }

    fn read(&self, path: &Path) -> io::Result<FileBytes> {
        let (mut machine, path) = (self.machine(), plain(path));
        machine.begin_whole(OperationKind::Read, &path)?;
        let file = machine.disk.file(&path)?;
        let file = &machine.disk.files[file];
        if file.writers > 0 {
            drop(machine);
            panic!("{} is mapped while it is appended to", path.display());
        }
        Ok(FileBytes::new(Shared(file.live.clone())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut machine, from, to) = (self.machine(), plain(from), plain(to));
        machine.begin_whole(OperationKind::Rename, &from)?;
        machine.disk.rename(&from, &to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (mut machine, path) = (self.machine(), plain(path));
        machine.begin_whole(OperationKind::Remove, &path)?;
        machine.disk.remove(&path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let (mut machine, dir) = (self.machine(), plain(dir));
        machine.begin_whole(OperationKind::RemoveDir, &dir)?;
        machine.disk.remove_dir(&dir)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let (mut machine, path) = (self.machine(), plain(path));
        machine.begin_whole(OperationKind::Truncate, &path)?;
        let file = machine.disk.file(&path)?;
        machine.disk.truncate(file, usize::try_from(len).unwrap_or(usize::MAX));
        machine.sync(&path, file)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let (mut machine, dir) = (self.machine(), plain(dir));
        machine.begin_whole(OperationKind::SyncDir, &dir)?;
        machine.disk.sync_dir(&dir)
    }

    fn lock(&self, path: &Path) -> io::Result<LockAttempt> {
        let (mut machine, path) = (self.machine(), plain(path));
        machine.begin_whole(OperationKind::Lock, &path)?;
        let file = machine.disk.file(&path).or_else(|_absent| machine.disk.create(&path))?;
        if !machine.locks.insert(path.clone()) {
            return Ok(LockAttempt::Taken(Some(HOLDER_PID)));
        }
        machine.disk.truncate(file, 0);
        let _no_room_for_the_pid = machine.disk.append(file, HOLDER_PID.to_string().as_bytes());
        Ok(LockAttempt::Held(Box::new(SimLock { fs: self.clone(), path })))
    }
}

/// Bytes as they were when they were read.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Debug)]
struct SimAppendFile {
    fs: SimFileSystem,
    path: PathBuf,
    file: FileId,
}

impl AppendFile for SimAppendFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.fs.machine().append(&self.path, self.file, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.fs.machine().sync(&self.path, self.file)
    }
}

impl Drop for SimAppendFile {
    fn drop(&mut self) {
        self.fs.machine().disk.files[self.file].writers -= 1;
    }
}

#[derive(Debug)]
struct SimLock {
    fs: SimFileSystem,
    path: PathBuf,
}

impl FileLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.fs.machine().locks.remove(&self.path);
    }
}
