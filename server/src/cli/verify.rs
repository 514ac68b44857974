//! `plimsoll verify`: reads and checks every byte of a data directory, a backup or an archive, and names what is damaged.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use plimsoll_engine::env::RealFileSystem;
use plimsoll_engine::{Backup, Checked, VerifyReport, is_archive, is_backup, verify, verify_archive};

use super::restore::shown;
use super::{VerifyArgs, say};
use crate::config::Size;
use crate::{Error, Result, storage};

pub(super) fn run(args: &VerifyArgs) -> Result<()> {
    let (fs, dir) = (&RealFileSystem, args.data.as_path());
    let mut progress = Progress::new();
    let (text, is_whole) = if is_backup(fs, dir)? {
        match Backup::open(fs, dir) {
            Ok(backup) => {
                let checked = backup.verify(fs, &mut |file| progress.show(file));
                progress.clear();
                (backup_text(&backup, &checked), checked.damages.is_empty())
            }
            Err(error) => (format!("damaged: {error}"), false),
        }
    } else if is_archive(fs, dir)? {
        let checked = verify_archive(fs, dir, &mut |file| progress.show(file));
        progress.clear();
        let checked = checked?;
        (checked_text(&checked, "log files of an archive"), checked.damages.is_empty())
    } else {
        let report = verify(fs, dir, &mut |file| progress.show(file));
        progress.clear();
        let report = report.map_err(|source| storage::open_error(dir, source))?;
        let stores = plimsoll_query::verify_stores(dir)?;
        let lines: Vec<String> = stores.iter().map(|damage| format!("damaged: {damage}")).collect();
        let text = lines.into_iter().chain([text(&report)]).collect::<Vec<_>>().join("\n");
        (text, report.damages.is_empty() && stores.is_empty())
    };
    say(&text)?;
    if is_whole { Ok(()) } else { Err(Error::Reported) }
}

fn backup_text(backup: &Backup, checked: &Checked) -> String {
    let what = match backup.dirs().count() {
        1 => "files of a backup".to_owned(),
        links => format!("files of a chain of {links} backups"),
    };
    let (taken, lsn) = (shown(backup.taken_ns()), backup.lsn());
    format!("taken {taken}, up to record {lsn} of the log\n{}", checked_text(checked, &what))
}

/// A line per damage, then the sum.
fn checked_text(checked: &Checked, what: &str) -> String {
    let mut lines: Vec<String> = checked.damages.iter().map(|damage| format!("damaged: {damage}")).collect();
    let (files, size, found) = (checked.files, Size::Bytes(checked.bytes), found(checked.damages.len()));
    lines.push(format!("{files} {what}, {size} checked: {found}"));
    lines.join("\n")
}

fn found(damages: usize) -> String {
    match damages {
        0 => "everything is as it was written".to_owned(),
        1 => "1 damage".to_owned(),
        many => format!("{many} damages"),
    }
}

/// What was found: a line per damage, then the sum.
fn text(report: &VerifyReport) -> String {
    let mut lines: Vec<String> = report.damages.iter().map(|damage| format!("damaged: {damage}")).collect();
    if let Some(torn) = &report.torn_tail {
        lines.push(format!(
            "not damaged: {} ends with {} bytes of a write that was never acknowledged, at {}",
            torn.path.display(),
            torn.bytes,
            torn.offset
        ));
    }
    let found = found(report.damages.len());
    let (files, rows, size) = (report.files, report.rows, Size::Bytes(report.bytes));
    lines.push(format!("{files} files, {size}, {rows} rows of segments checked: {found}"));
    lines.join("\n")
}

/// The file being read, on a terminal, always on the same line.
pub(super) struct Progress {
    terminal: bool,
    files: u64,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { terminal: io::stderr().is_terminal(), files: 0 }
    }

    pub(super) fn show(&mut self, file: &Path) {
        self.files += 1;
        self.put(&format!("{}: {}", self.files, file.display()));
    }

    pub(super) fn clear(&self) {
        self.put("");
    }

    fn put(&self, text: &str) {
        if self.terminal {
            let _only_decoration = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_engine::{Error as EngineError, TornTail};

    use super::*;

    #[test]
    fn every_damage_is_named() {
        let corrupt = |offset| EngineError::Corrupt {
            path: "segments/0000000042.seg".into(),
            offset,
            what: "checksum mismatch".to_owned(),
        };
        let report =
            VerifyReport { files: 3, bytes: 2048, damages: vec![corrupt(8192), corrupt(0)], ..VerifyReport::default() };
        expect_test::expect![[r#"
            damaged: segments/0000000042.seg: checksum mismatch at 8192
            damaged: segments/0000000042.seg: checksum mismatch at 0
            3 files, 2KiB, 0 rows of segments checked: 2 damages"#]]
        .assert_eq(&text(&report));
    }

    #[test]
    fn a_torn_end_of_the_log_is_no_damage() {
        let torn_tail = Some(TornTail { path: "wal/1.wal".into(), offset: 100, bytes: 7 });
        let report = VerifyReport { files: 1, bytes: 107, rows: 5, torn_tail, ..VerifyReport::default() };
        expect_test::expect![[r#"
            not damaged: wal/1.wal ends with 7 bytes of a write that was never acknowledged, at 100
            1 files, 107B, 5 rows of segments checked: everything is as it was written"#]]
        .assert_eq(&text(&report));
    }
}
