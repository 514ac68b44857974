//! `plimsoll restore`: makes a data directory of a backup, as it was then or at a later instant.

use std::sync::Arc;

use chrono::DateTime;
use plimsoll_engine::env::{FileSystem, RealFileSystem};
use plimsoll_engine::{Backup, RestoreReport, RestoreRequest};

use super::verify::Progress;
use super::{RestoreArgs, say};
use crate::config::Size;
use crate::{Error, Result};

pub(super) fn run(args: &RestoreArgs) -> Result<()> {
    let fs: Arc<dyn FileSystem> = Arc::new(RealFileSystem);
    let backup = Backup::open(&*fs, &args.from)?;
    if let Some(at_ns) = args.at.filter(|at_ns| *at_ns < backup.taken_ns()) {
        let (from, taken, at) = (args.from.display(), shown(backup.taken_ns()), shown(at_ns));
        return Err(Error::Usage(format!("{from} was taken at {taken}, after {at}: an earlier backup is needed")));
    }
    let mut progress = Progress::new();
    let request = RestoreRequest { to: &args.to, archive: args.archive.as_deref(), until_ns: args.at };
    let restored = backup.restore(&fs, &request, &mut |file| progress.show(file));
    progress.clear();
    say(&text(args, backup.taken_ns(), &restored?))
}

fn text(args: &RestoreArgs, taken_ns: i64, report: &RestoreReport) -> String {
    let RestoreReport { files, bytes, replayed_records, last_ns, is_complete, .. } = report;
    let (to, size) = (args.to.display(), Size::Bytes(*bytes));
    let mut text = format!("{to}: {files} files, {size}, as of {}", shown(taken_ns));
    if args.archive.is_some() {
        text += &format!("\nthe archive: {replayed_records} records");
        text += &last_ns.map(|last_ns| format!(", the last of {}", shown(last_ns))).unwrap_or_default();
        if args.at.is_some() && !is_complete {
            text += "\nthe archive ends before that instant: nothing was written after it, or it was not archived";
        }
        text += "\ngive the server an archive of its own from here on";
    }
    text
}

/// An instant as people write it.
pub(super) fn shown(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).format("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
}
