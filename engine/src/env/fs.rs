//! Files as the engine uses them: written once from front to back, then read as immutable bytes.
//!
//! Invariants
//! - A file is appended to by one writer and never changed after it is closed; only [`FileSystem::truncate`] shortens one.
//! - Data is durable after [`AppendFile::sync`]; a name is durable after [`FileSystem::sync_dir`] of its directory.
//! - A map is only made of a file that no one appends to any more.
//! - What is created is its owner's alone: directories and files are closed to all others.

#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the one place that touches files")]

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

/// A directory tree that survives crashes as far as it was synced.
pub trait FileSystem: Send + Sync + Debug {
    /// Creates a directory and its parents; fine if it exists.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Names of the entries of a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates a new file for appending; fails if the name exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;
    /// The bytes of a finished file.
    fn read(&self, path: &Path) -> io::Result<FileBytes>;
    /// Gives a file another name, replacing what had it; or a directory the name of none or of an empty one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Shortens a file to `len` bytes and syncs it.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Tries to become the only holder of a lock file.
    fn lock(&self, path: &Path) -> io::Result<LockAttempt>;
}

/// A file being written.
pub trait AppendFile: Send + Debug {
    /// Adds bytes at the end; they are not durable yet. After an error an unknown part of them was added.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes all appended bytes durable. After an error nothing is known about them, and it must not be tried again.
    fn sync(&mut self) -> io::Result<()>;
}

/// The bytes of an immutable file, mapped or held; cheap to clone.
#[derive(Clone)]
pub struct FileBytes(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl FileBytes {
    /// Wraps any shared bytes.
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> FileBytes {
        FileBytes(Arc::new(bytes))
    }
}

impl Deref for FileBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl Debug for FileBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileBytes({} bytes)", self.len())
    }
}

/// Held while the data directory is in use; dropping it releases the lock.
pub trait FileLock: Send + Sync + Debug {}

/// Outcome of [`FileSystem::lock`].
#[derive(Debug)]
pub enum LockAttempt {
    /// The lock is ours until the value is dropped.
    Held(Box<dyn FileLock>),
    /// Another process holds it; its process id where it could be read.
    Taken(Option<u32>),
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFileSystem;

impl FileSystem for RealFileSystem {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let mut options = OpenOptions::new();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.append(true).create_new(true).open(path)?;
        Ok(Box::new(RealAppendFile(file)))
    }

    fn read(&self, path: &Path) -> io::Result<FileBytes> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(FileBytes::new([]));
        }
        #[expect(unsafe_code, reason = "the file is immutable: nobody writes to it while it is mapped")]
        let map = unsafe { Mmap::map(&file)? };
        Ok(FileBytes::new(map))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<LockAttempt> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.seek(SeekFrom::Start(0))?;
                write!(file, "{}", std::process::id())?;
                Ok(LockAttempt::Held(Box::new(RealFileLock(file))))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _unreadable_is_unknown = file.read_to_string(&mut holder);
                Ok(LockAttempt::Taken(holder.trim().parse().ok()))
            }
            Err(TryLockError::Error(e)) => Err(e),
        }
    }
}

#[derive(Debug)]
struct RealAppendFile(File);

impl AppendFile for RealAppendFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// The open file is the lock: closing it gives the lock back.
#[derive(Debug)]
#[expect(dead_code, reason = "held for its lock alone")]
struct RealFileLock(File);

impl FileLock for RealFileLock {}
