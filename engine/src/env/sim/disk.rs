//! The simulated disk: names and bytes, what is live and what is durable.
//!
//! Invariants
//! - The first `synced` bytes of a file are durable but for `lost` ranges; the others may be there after a power loss or not.
//! - `durable` holds the names that a power loss leaves for certain; `live` is `durable` with all `pending` edits applied.
//! - Edits of one pending entry happen together or not at all (a rename is old or new).

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// What a disk writes in one piece; a torn write ends at a multiple of it.
pub const SECTOR_BYTES: usize = 512;

/// Place of a file's bytes in [`Disk::files`].
pub(super) type FileId = usize;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    File(FileId),
}

/// The bytes of one file.
#[derive(Debug, Clone, Default)]
pub(super) struct File {
    /// What a reader sees.
    pub(super) live: Arc<Vec<u8>>,
    /// Length that a power loss leaves for certain.
    pub(super) synced: usize,
    /// Ends of the appends since the last sync: a power loss may cut there, inside a sector.
    pub(super) append_ends: Vec<usize>,
    /// Bytes whose sync failed. The system has forgotten that they were never written, so no later sync writes them.
    pub(super) lost: Vec<Range<usize>>,
    /// The bytes before a truncation that is not durable yet.
    pub(super) before_truncate: Option<Arc<Vec<u8>>>,
    /// Open append handles.
    pub(super) writers: usize,
}

impl File {
    /// A file that is wholly on disk.
    pub(super) fn durable(bytes: Vec<u8>) -> File {
        File { synced: bytes.len(), live: Arc::new(bytes), ..File::default() }
    }
}

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// The directory whose sync makes it durable.
    pub(super) dir: PathBuf,
    /// Names and what they stand for afterwards.
    pub(super) edits: Vec<(PathBuf, Option<Node>)>,
}

/// Names and bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    pub(super) files: Vec<File>,
    pub(super) live: BTreeMap<PathBuf, Node>,
    pub(super) durable: BTreeMap<PathBuf, Node>,
    pub(super) pending: Vec<Pending>,
    pub(super) capacity_bytes: Option<u64>,
}

/// The path without `.` components; the empty path is the root of relative ones.
pub(super) fn plain(path: &Path) -> PathBuf {
    path.components().filter(|c| *c != Component::CurDir).collect()
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

/// True for the directories that always exist.
pub(super) fn is_root(path: &Path) -> bool {
    path.parent().is_none()
}

impl Disk {
    pub(super) fn has_dir(&self, dir: &Path) -> bool {
        is_root(dir) || self.live.get(dir) == Some(&Node::Dir)
    }

    /// The file that a name stands for.
    pub(super) fn file(&self, path: &Path) -> io::Result<FileId> {
        match self.live.get(path) {
            Some(Node::File(file)) => Ok(*file),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        if self.has_dir(dir) {
            return Ok(());
        }
        if self.live.contains_key(dir) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.create_dir_all(&parent(dir))?;
        self.change(&parent(dir), vec![(dir.to_owned(), Some(Node::Dir))]);
        Ok(())
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if !self.has_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = self.live.keys().filter(|path| !is_root(path) && parent(path) == dir);
        Ok(inside.filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned()).collect())
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<FileId> {
        if self.live.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !self.has_dir(&parent(path)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = self.files.len();
        self.files.push(File::default());
        self.change(&parent(path), vec![(path.to_owned(), Some(Node::File(file)))]);
        Ok(file)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.live.get(from) == Some(&Node::Dir) {
            return self.rename_dir(from, to);
        }
        let file = self.file(from)?;
        if self.live.get(to) == Some(&Node::Dir) || !self.has_dir(&parent(to)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if from != to {
            self.change(&parent(to), vec![(from.to_owned(), None), (to.to_owned(), Some(Node::File(file)))]);
        }
        Ok(())
    }

    /// Renames a directory with all that is in it, in place of an empty one.
    fn rename_dir(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.live.contains_key(to) && !self.list(to)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if !self.has_dir(&parent(to)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = self.live.iter().filter_map(|(path, node)| Some((path, path.strip_prefix(from).ok()?, *node)));
        let new = |rest: &Path| if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
        let edits = inside.flat_map(|(path, rest, node)| [(path.clone(), None), (new(rest), Some(node))]);
        self.change(&parent(to), edits.collect());
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        self.change(&parent(path), vec![(path.to_owned(), None)]);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, dir: &Path) -> io::Result<()> {
        if !self.list(dir)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.change(&parent(dir), vec![(dir.to_owned(), None)]);
        Ok(())
    }

    fn change(&mut self, dir: &Path, edits: Vec<(PathBuf, Option<Node>)>) {
        apply(&mut self.live, &edits);
        self.pending.push(Pending { dir: dir.to_owned(), edits });
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        if !self.has_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let synced = change.dir == dir;
            if synced {
                apply(durable, &change.edits);
            }
            !synced
        });
        Ok(())
    }

    /// Adds as many bytes as there is room for.
    pub(super) fn append(&mut self, file: FileId, bytes: &[u8]) -> io::Result<()> {
        let room = self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes()));
        let fits = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let file = &mut self.files[file];
        Arc::make_mut(&mut file.live).extend_from_slice(&bytes[..fits]);
        file.append_ends.push(file.live.len());
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let sizes = self.live.values().map(|node| match node {
            Node::File(file) => self.files[*file].live.len() as u64,
            Node::Dir => 0,
        });
        sizes.sum()
    }

    pub(super) fn sync(&mut self, file: FileId) {
        let file = &mut self.files[file];
        file.synced = file.live.len();
        file.append_ends.clear();
        file.before_truncate = None;
    }

    /// A sync of the file that fails.
    pub(super) fn lose(&mut self, file: FileId) {
        let file = &mut self.files[file];
        file.lost.push(file.synced..file.live.len());
        file.synced = file.live.len();
        file.append_ends.clear();
    }

    pub(super) fn truncate(&mut self, file: FileId, len: usize) {
        let file = &mut self.files[file];
        if len < file.live.len() {
            file.before_truncate.get_or_insert_with(|| file.live.clone());
            Arc::make_mut(&mut file.live).truncate(len);
            file.synced = file.synced.min(len);
            file.append_ends.retain(|end| *end <= len);
            file.lost.iter_mut().for_each(|range| *range = range.start.min(len)..range.end.min(len));
        }
    }
}

/// Applies edits to names.
pub(super) fn apply(names: &mut BTreeMap<PathBuf, Node>, edits: &[(PathBuf, Option<Node>)]) {
    for (path, node) in edits {
        match node {
            Some(node) => names.insert(path.clone(), *node),
            None => names.remove(path),
        };
    }
}
