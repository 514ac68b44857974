//! `BACKUP`: what a backup holds. Described in `docs/file-format.md`.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::env::FileSystem;
use crate::manifest::{MANIFEST_NAME, write_file};
use crate::wal::Lsn;
use crate::{Error, Result, frame};

/// Name of the file that makes a directory a backup.
pub(super) const BACKUP_NAME: &str = "BACKUP";

/// Name under which it is written before it takes its own.
const BACKUP_TMP_NAME: &str = "BACKUP.tmp";

/// First bytes of it.
const BACKUP_MAGIC: &[u8; 8] = b"PLIMSBAK";

/// Version of it that this program writes.
const BACKUP_VERSION: u32 = 1;

/// Name under which the manifest of the database is kept, so that no half backup is taken for a data directory.
const KEPT_MANIFEST_NAME: &str = "MANIFEST.backup";

/// A SHA-256, in hexadecimal.
pub(super) type Digest = String;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct BackupManifest {
    /// When it was taken, in ns since the Unix epoch.
    pub(super) taken_ns: i64,
    /// Number of the last log record that is in it.
    pub(super) lsn: Lsn,
    /// The backup that has the files which are not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) base: Option<BaseEntry>,
    /// All files of the data directory.
    pub(super) files: Vec<FileEntry>,
}

/// The backup that another is based on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct BaseEntry {
    /// Of its `BACKUP`.
    pub(super) sha256: Digest,
    /// Where it was.
    pub(super) path: PathBuf,
}

/// One file of a data directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    /// Its path in a data directory, parts separated by `/`.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: Digest,
    /// The base has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) in_base: bool,
}

impl FileEntry {
    /// Where it is in the directory of the backup that has it.
    pub(super) fn kept_at(&self, backup: &Path) -> PathBuf {
        let name = if self.name == MANIFEST_NAME { KEPT_MANIFEST_NAME } else { &self.name };
        backup.join(name)
    }

    /// True for a file that has the same bytes.
    pub(super) fn is_same(&self, other: &FileEntry) -> bool {
        (&self.name, self.bytes, &self.sha256) == (&other.name, other.bytes, &other.sha256)
    }
}

/// Reads what a directory holds as a backup, with its own digest.
pub(super) fn load(fs: &dyn FileSystem, dir: &Path) -> Result<(BackupManifest, Digest)> {
    let path = dir.join(BACKUP_NAME);
    let file = match fs.read(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::directory(dir, "is no backup, or one that was not finished: it has no BACKUP"));
        }
        Err(e) => return Err(Error::io("read", path, e)),
    };
    let body = frame::decode(&path, &file, BACKUP_MAGIC, BACKUP_VERSION)?;
    let malformed = |what: String| Error::corrupt(&path, frame::FRAME_HEADER_BYTES as u64, what);
    let manifest: BackupManifest =
        serde_json::from_slice(body).map_err(|e| malformed(format!("malformed list of files: {e}")))?;
    match manifest.files.iter().find(|file| !is_inside(&file.name)) {
        Some(file) => Err(malformed(format!("{:?} is no file of a data directory", file.name))),
        None => Ok((manifest, digest(&file))),
    }
}

/// Makes a directory a backup. Everything else in it has to be durable.
pub(super) fn store(fs: &dyn FileSystem, dir: &Path, manifest: &BackupManifest) -> Result<()> {
    let body = serde_json::to_vec(manifest).expect("a list of files is plain data");
    let (path, tmp) = (dir.join(BACKUP_NAME), dir.join(BACKUP_TMP_NAME));
    write_file(fs, &tmp, &frame::encode(BACKUP_MAGIC, BACKUP_VERSION, &body))?;
    fs.rename(&tmp, &path).map_err(|e| Error::io("rename", &tmp, e))?;
    fs.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
}

pub(super) fn digest(bytes: &[u8]) -> Digest {
    hex(Sha256::digest(bytes).as_slice())
}

pub(super) fn hex(bytes: &[u8]) -> Digest {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// True for names that lead to nowhere outside.
fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_nowhere_else() {
        for name in ["", "/etc/passwd", "../data", "segments/../../x", "."] {
            assert!(!is_inside(name), "{name}");
        }
        assert!(is_inside("segments/0000000001.seg"));
    }
}
