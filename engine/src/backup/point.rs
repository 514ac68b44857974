//! Taking a backup: what is to be copied is held as it is at one instant, and copied while everything goes on.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::chain::{Backup, identities};
use super::format::{self, BackupManifest, BaseEntry, FileEntry};
use crate::engine;
use crate::env::{FileBytes, FileLock, FileSystem};
use crate::manifest::{self, MANIFEST_NAME, Manifest, remove_if_exists};
use crate::segment::Segment;
use crate::wal::{self, LogFile, Lsn, record};
use crate::{Error, Result, files};

/// Bytes that are written at a time.
const PIECE_BYTES: usize = 1 << 20;

/// What a backup copies, held as it was at one instant: files that are removed meanwhile are still there to read.
#[derive(Debug)]
pub struct BackupPoint {
    taken_ns: i64,
    lsn: Lsn,
    base: Option<BaseEntry>,
    manifest: Manifest,
    files: Vec<Held>,
    /// Of a directory that nobody has open.
    _lock: Option<Box<dyn FileLock>>,
}

#[derive(Debug)]
struct Held {
    name: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The first so many bytes of these.
    Bytes(FileBytes, usize),
    /// The base has it.
    Known(FileEntry),
}

/// What a backup holds, and what it took.
#[derive(Debug, Default)]
pub struct BackupReport {
    /// Number of the last log record that is in it.
    pub lsn: u64,
    /// Files that it holds, with those of its base.
    pub files: u64,
    /// Files that were copied.
    pub copied_files: u64,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Bytes that were copied.
    pub copied_bytes: u64,
    /// Segments that were damaged already when they were copied.
    pub damages: Vec<Error>,
}

impl BackupPoint {
    /// Holds a data directory that no process has open, as of `now_ns`. `base` is what need not be copied.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Corrupt`], [`Error::Version`], [`Error::Io`].
    pub fn at_rest(fs: &dyn FileSystem, dir: &Path, base: Option<&Backup>, now_ns: i64) -> Result<BackupPoint> {
        fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
        super::refuse(fs, dir)?;
        if manifest::load(fs, dir)?.is_none() {
            return Err(Error::directory(dir, format!("is no data directory: it has no {MANIFEST_NAME}")));
        }
        let lock = engine::lock(fs, dir)?;
        let (bytes, manifest) = read_manifest(fs, dir)?;
        let mut decode = |_, payload: &[u8]| record::decode(payload).map(|_| ()).map_err(|_| "malformed record");
        let log = wal::check(fs, &dir.join(files::WAL_DIR), manifest.flushed_lsn, &mut decode)?;
        let log_files = log.files.iter().filter(|file| !file.is_empty());
        let mut point = BackupPoint::hold(fs, dir, (bytes, manifest), base, now_ns)?;
        point.hold_log(fs, dir, log_files, log.next_lsn - 1)?;
        Ok(BackupPoint { _lock: Some(lock), ..point })
    }

    /// Holds the files of a manifest. Nobody may remove one meanwhile.
    pub(crate) fn hold(
        fs: &dyn FileSystem,
        dir: &Path,
        (bytes, manifest): (FileBytes, Manifest),
        base: Option<&Backup>,
        now_ns: i64,
    ) -> Result<BackupPoint> {
        let mut known = match base {
            Some(base) => base.known(fs)?,
            None => HashMap::new(),
        };
        let base = base.map(|base| BaseEntry { sha256: base.digest().clone(), path: base.dir().to_owned() });
        let length = bytes.len();
        let mut held = vec![Held { name: MANIFEST_NAME.to_owned(), source: Source::Bytes(bytes, length) }];
        for (name, said) in identities(&manifest) {
            let source = match known.remove(&name).filter(|(_, known)| *known == said) {
                Some((entry, _)) => Source::Known(entry),
                None => {
                    let path = dir.join(&name);
                    let bytes = fs.read(&path).map_err(|e| Error::io("read", path, e))?;
                    let length = bytes.len();
                    Source::Bytes(bytes, length)
                }
            };
            held.push(Held { name, source });
        }
        let lsn = manifest.flushed_lsn;
        Ok(BackupPoint { taken_ns: now_ns, lsn, base, manifest, files: held, _lock: None })
    }

    /// Holds closed log files, of which `lsn` is the last record.
    pub(crate) fn hold_log<'a>(
        &mut self,
        fs: &dyn FileSystem,
        dir: &Path,
        log: impl Iterator<Item = &'a LogFile>,
        lsn: Lsn,
    ) -> Result<()> {
        for file in log {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("{}/{name}", files::WAL_DIR);
            let path = dir.join(&name);
            let bytes = fs.read(&path).map_err(|e| Error::io("read", path, e))?;
            let length = usize::try_from(file.bytes).unwrap_or(usize::MAX).min(bytes.len());
            self.files.push(Held { name, source: Source::Bytes(bytes, length) });
        }
        self.lsn = lsn;
        Ok(())
    }

    /// Adds a file that is no part of the engine, by its name in the data directory.
    pub fn attach(&mut self, name: &str, bytes: FileBytes) {
        let length = bytes.len();
        self.files.push(Held { name: name.to_owned(), source: Source::Bytes(bytes, length) });
    }

    /// Writes the backup into a directory that is new or empty. `base` is that which was given when it was held. `progress` is
    /// told each file before it is written.
    ///
    /// # Errors
    /// [`Error::Directory`] when something is in the directory, [`Error::DiskFull`], [`Error::Io`]. The directory is no backup
    /// then, and what was written is removed, if possible.
    pub fn write(
        self,
        fs: &dyn FileSystem,
        to: &Path,
        base: Option<&Backup>,
        progress: &mut dyn FnMut(&Path),
    ) -> Result<BackupReport> {
        fs.create_dir_all(to).map_err(|e| Error::io("create", to, e))?;
        if !fs.list(to).map_err(|e| Error::io("list", to, e))?.is_empty() {
            return Err(Error::directory(to, "is not empty; a backup wants a directory of its own"));
        }
        let mut written = Vec::new();
        self.write_files(fs, to, base, &mut written, progress).inspect_err(|_| {
            for path in &written {
                let _left_over = remove_if_exists(fs, path);
            }
            for path in &written {
                path.parent().into_iter().filter(|dir| *dir != to).for_each(|dir| drop(fs.remove_dir(dir)));
            }
        })
    }

    fn write_files(
        self,
        fs: &dyn FileSystem,
        to: &Path,
        base: Option<&Backup>,
        written: &mut Vec<PathBuf>,
        progress: &mut dyn FnMut(&Path),
    ) -> Result<BackupReport> {
        let in_base: HashMap<&str, &(FileEntry, PathBuf)> = match base {
            Some(base) => base.files().iter().map(|listed| (listed.0.name.as_str(), listed)).collect(),
            None => HashMap::new(),
        };
        let mut report = BackupReport { lsn: self.lsn, ..BackupReport::default() };
        let mut listed = Vec::new();
        let mut dirs = BTreeSet::new();
        for Held { name, source } in self.files {
            let entry = match source {
                Source::Known(entry) => {
                    in_base.get(entry.name.as_str()).map_or(Ok(()), |(file, path)| check_length(fs, file, path))?;
                    entry
                }
                Source::Bytes(bytes, length) => {
                    let bytes = &bytes[..length];
                    let sha256 = format::digest(bytes);
                    let entry = FileEntry { name, bytes: length as u64, sha256, in_base: false };
                    match in_base.get(entry.name.as_str()).filter(|(known, _)| known.is_same(&entry)) {
                        Some(_) => FileEntry { in_base: true, ..entry },
                        None => {
                            let path = entry.kept_at(to);
                            progress(&path);
                            written.push(path.clone());
                            make_dirs(fs, to, &path, &mut dirs)?;
                            write_file(fs, &path, bytes)?;
                            report.copied_files += 1;
                            report.copied_bytes += entry.bytes;
                            entry
                        }
                    }
                }
            };
            report.files += 1;
            report.bytes += entry.bytes;
            listed.push(entry);
        }
        report.damages = check_segments(fs, to, &self.manifest, &listed);
        for dir in dirs.iter().map(PathBuf::as_path).chain([to]).chain(to.ancestors().skip(1)) {
            sync_dir(fs, dir)?;
        }
        let manifest = BackupManifest { taken_ns: self.taken_ns, lsn: self.lsn, base: self.base, files: listed };
        written.push(to.join(format::BACKUP_NAME));
        format::store(fs, to, &manifest)?;
        Ok(report)
    }
}

/// The manifest of a data directory, its bytes and what they say.
pub(crate) fn read_manifest(fs: &dyn FileSystem, dir: &Path) -> Result<(FileBytes, Manifest)> {
    let path = dir.join(MANIFEST_NAME);
    let bytes = fs.read(&path).map_err(|e| Error::io("read", &path, e))?;
    let manifest = manifest::decode(&path, &bytes)?;
    Ok((bytes, manifest))
}

/// Looks whether a file is still in the base, without reading it.
fn check_length(fs: &dyn FileSystem, file: &FileEntry, path: &Path) -> Result<()> {
    match fs.read(path) {
        Ok(bytes) if bytes.len() as u64 == file.bytes => Ok(()),
        Ok(bytes) => {
            let what = format!("file of {} bytes in the base, {} were written", bytes.len(), file.bytes);
            Err(Error::corrupt(path, file.bytes.min(bytes.len() as u64), what))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Error::corrupt(path, 0, "missing in the base")),
        Err(e) => Err(Error::io("read", path, e)),
    }
}

/// Makes the directories above a file, up to `root`.
pub(super) fn make_dirs(fs: &dyn FileSystem, root: &Path, file: &Path, made: &mut BTreeSet<PathBuf>) -> Result<()> {
    for dir in file.ancestors().skip(1).take_while(|dir| *dir != root) {
        if made.insert(dir.to_owned()) {
            fs.create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
        }
    }
    Ok(())
}

/// Writes a new file in pieces, and syncs it.
pub(super) fn write_file(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = fs.create(path)?;
        bytes.chunks(PIECE_BYTES).try_for_each(|piece| file.append(piece))?;
        file.sync()
    };
    write().map_err(|e| Error::io("write", path, e))
}

/// Syncs a directory, unless we may not read it: then it was not made by us.
pub(crate) fn sync_dir(fs: &dyn FileSystem, dir: &Path) -> Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    match fs.sync_dir(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::PermissionDenied => Err(Error::io("sync", dir, e)),
        _ => Ok(()),
    }
}

/// Reads the segments that were copied back and decodes every vector: what was damaged before is copied as it is.
fn check_segments(fs: &dyn FileSystem, to: &Path, manifest: &Manifest, listed: &[FileEntry]) -> Vec<Error> {
    let copied: BTreeSet<PathBuf> = listed.iter().filter(|f| !f.in_base).map(|f| f.kept_at(to)).collect();
    let mut damages = Vec::new();
    for table in &manifest.tables {
        for entry in table.segments.iter().chain(table.tiers.segments()) {
            let path = files::segment_path(to, entry.file);
            if copied.contains(&path) {
                match Segment::open(fs, &path, &entry.published(table.id)) {
                    Ok(segment) => damages.extend(segment.verify()),
                    Err(error) => damages.push(error),
                }
            }
        }
    }
    damages
}

/// Copies a file while it checks that the bytes are those that are listed.
pub(super) fn copy_checked(fs: &dyn FileSystem, entry: &FileEntry, from: &Path, to: &Path) -> Result<()> {
    let bytes = fs.read(from).map_err(|e| Error::io("read", from, e))?;
    let mut hasher = Sha256::new();
    let mut write = || -> std::io::Result<()> {
        let mut file = fs.create(to)?;
        for piece in bytes.chunks(PIECE_BYTES) {
            hasher.update(piece);
            file.append(piece)?;
        }
        file.sync()
    };
    write().map_err(|e| Error::io("write", to, e))?;
    match format::hex(hasher.finalize().as_slice()) == entry.sha256 {
        true => Ok(()),
        false => Err(Error::corrupt(from, 0, "the file has changed since it was checked")),
    }
}
