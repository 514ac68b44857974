//! A backup with those that it is based on, and where each of its files is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::format::{self, BACKUP_NAME, BackupManifest, Digest, FileEntry};
use crate::env::FileSystem;
use crate::manifest::{self, MANIFEST_NAME, Manifest};
use crate::{Error, Result};

/// A backup that can be read: it, its base, the base of that, and so on.
#[derive(Debug)]
pub struct Backup {
    /// The backup itself, then each one's base.
    links: Vec<Link>,
    /// Its files, and where each is.
    files: Vec<(FileEntry, PathBuf)>,
}

#[derive(Debug)]
struct Link {
    dir: PathBuf,
    manifest: BackupManifest,
    digest: Digest,
}

/// The files that a backup lists, by name.
type Listed<'a> = HashMap<&'a str, &'a FileEntry>;

/// What was read and found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Everything that is not what was written, by file.
    pub damages: Vec<Error>,
}

impl Backup {
    /// Opens a backup and finds those that it is based on: where they were, or else beside it.
    ///
    /// # Errors
    /// [`Error::Directory`] for a directory that is no backup, and for a base that is not there or is another one;
    /// [`Error::Corrupt`], [`Error::Version`], [`Error::Io`].
    pub fn open(fs: &dyn FileSystem, dir: &Path) -> Result<Backup> {
        let mut links = vec![Link::load(fs, dir)?];
        while let Some(base) = links.last().and_then(|link| link.base(fs)) {
            links.push(base?);
        }
        let listed: Vec<Listed<'_>> = links.iter().map(Link::listed).collect();
        let files = links[0].manifest.files.iter().map(|file| Ok((file.clone(), place(&links, &listed, file)?)));
        let files = files.collect::<Result<_>>()?;
        Ok(Backup { links, files })
    }

    /// When it was taken, in ns since the Unix epoch.
    pub fn taken_ns(&self) -> i64 {
        self.links[0].manifest.taken_ns
    }

    /// Number of the last log record that is in it.
    pub fn lsn(&self) -> u64 {
        self.links[0].manifest.lsn
    }

    /// The directories of the backup, of its base, and so on.
    pub fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.links.iter().map(|link| link.dir.as_path())
    }

    /// Its `BACKUP`, by which others name it as their base.
    pub(super) fn digest(&self) -> &Digest {
        &self.links[0].digest
    }

    /// Its files, and where each is.
    pub(super) fn files(&self) -> &[(FileEntry, PathBuf)] {
        &self.files
    }

    /// Reads and checks every file of the backup and of all that it is based on, be it needed or not. `progress` is told each
    /// file before it is read.
    pub fn verify(&self, fs: &dyn FileSystem, progress: &mut dyn FnMut(&Path)) -> Checked {
        let mut checked = Checked::default();
        for link in &self.links {
            for file in link.manifest.files.iter().filter(|file| !file.in_base) {
                checked.add(file, read(fs, file, &file.kept_at(&link.dir), progress));
            }
        }
        checked
    }

    /// Reads and checks the files that are needed to restore it.
    pub(super) fn check(&self, fs: &dyn FileSystem, progress: &mut dyn FnMut(&Path)) -> Checked {
        let mut checked = Checked::default();
        for (file, path) in &self.files {
            checked.add(file, read(fs, file, path, progress));
        }
        checked
    }

    /// What the manifest in it says of each of the immutable files, by number, to tell them from others of that name.
    pub(super) fn known(&self, fs: &dyn FileSystem) -> Result<HashMap<String, (FileEntry, String)>> {
        let found = self.files.iter().find(|(file, _)| file.name == MANIFEST_NAME);
        let (entry, path) =
            found.ok_or_else(|| Error::corrupt(self.links[0].dir.join(BACKUP_NAME), 0, "no manifest"))?;
        read(fs, entry, path, &mut |_| {})?;
        let bytes = fs.read(path).map_err(|e| Error::io("read", path, e))?;
        let manifest = manifest::decode(path, &bytes)?;
        let mut said: HashMap<String, String> = identities(&manifest).collect();
        let files = self.files.iter().filter_map(|(file, _)| Some((file, said.remove(&file.name)?)));
        let known = |file: &FileEntry| FileEntry { in_base: true, ..file.clone() };
        Ok(files.map(|(file, said)| (file.name.clone(), (known(file), said))).collect())
    }

    /// Its own directory.
    pub(super) fn dir(&self) -> &Path {
        &self.links[0].dir
    }
}

impl Link {
    fn load(fs: &dyn FileSystem, dir: &Path) -> Result<Link> {
        let (manifest, digest) = format::load(fs, dir)?;
        Ok(Link { dir: dir.to_owned(), manifest, digest })
    }

    fn listed(&self) -> Listed<'_> {
        self.manifest.files.iter().map(|file| (file.name.as_str(), file)).collect()
    }

    /// The backup that this one is based on; `None` for a full one.
    fn base(&self, fs: &dyn FileSystem) -> Option<Result<Link>> {
        let base = self.manifest.base.as_ref()?;
        let beside = base.path.file_name().and_then(|name| Some(self.dir.parent()?.join(name)));
        let mut first_error = None;
        for dir in beside.into_iter().chain([base.path.clone()]) {
            match Link::load(fs, &dir) {
                Ok(link) if link.digest == base.sha256 => return Some(Ok(link)),
                Ok(_) => {
                    let why = format!(
                        "is not the backup that {} is based on: it was changed, or is another one",
                        self.dir.display()
                    );
                    first_error.get_or_insert(Error::directory(dir, why));
                }
                Err(error @ (Error::Corrupt { .. } | Error::Version { .. })) => drop(first_error.get_or_insert(error)),
                Err(_) => {}
            }
        }
        let missing = || Error::directory(&base.path, format!("is not there; {} is based on it", self.dir.display()));
        Some(Err(first_error.unwrap_or_else(missing)))
    }
}

/// Where a file of the first backup is.
fn place(links: &[Link], listed: &[Listed<'_>], file: &FileEntry) -> Result<PathBuf> {
    for (link, listed) in links.iter().zip(listed) {
        match listed.get(file.name.as_str()).filter(|other| other.is_same(file)) {
            Some(found) if !found.in_base => return Ok(found.kept_at(&link.dir)),
            Some(_) => {}
            None => {
                let what = format!("does not list {} as the backup that is based on it does", file.name);
                return Err(Error::corrupt(link.dir.join(BACKUP_NAME), 0, what));
            }
        }
    }
    let what = format!("{} is in no backup of the chain", file.name);
    Err(Error::corrupt(links[0].dir.join(BACKUP_NAME), 0, what))
}

/// Reads a file of a backup and checks that it is what was written.
fn read(fs: &dyn FileSystem, file: &FileEntry, path: &Path, progress: &mut dyn FnMut(&Path)) -> Result<()> {
    progress(path);
    let bytes = match fs.read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Error::corrupt(path, 0, "missing")),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    if bytes.len() as u64 != file.bytes {
        let what = format!("file of {} bytes, {} were written", bytes.len(), file.bytes);
        return Err(Error::corrupt(path, file.bytes.min(bytes.len() as u64), what));
    }
    match format::digest(&bytes) == file.sha256 {
        true => Ok(()),
        false => Err(Error::corrupt(path, 0, "the bytes are not those that were written: checksum mismatch")),
    }
}

/// Each immutable file that a manifest names, and what it says of it.
pub(super) fn identities(manifest: &Manifest) -> impl Iterator<Item = (String, String)> {
    manifest.tables.iter().flat_map(manifest::TableEntry::identities)
}

impl Checked {
    fn add(&mut self, file: &FileEntry, read: Result<()>) {
        self.files += 1;
        self.bytes += if read.is_ok() { file.bytes } else { 0 };
        self.damages.extend(read.err());
    }
}
