//! A body of line protocol into the engine, batch by batch, and what to tell its sender.

use std::fmt::Write;

use plimsoll_engine::{Engine, Error};

use super::line_protocol::{BatchLimits, Parsed, Precision, Reader};

/// Bounds the memory that parsed points take: a batch is written before the next is parsed.
const BATCH: BatchLimits = BatchLimits { lines_max: 10_000, bytes_max: 4 << 20 };

/// Refused lines that one answer lists.
const LISTED_MAX: usize = 20;

/// What became of a body.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Points that are durable and visible.
    pub(super) accepted: usize,
    /// Lines that are not, because of what they hold.
    pub(super) refused: Refused,
    /// Why the rest of the body was not looked at.
    pub(super) failure: Option<Error>,
}

/// The refused lines of a body.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// All of them.
    pub(super) lines: usize,
    /// Those among them that are points, but do not fit their table.
    dropped: usize,
    /// The body held points.
    any_point: bool,
    /// The first few, described.
    listed: Vec<String>,
}

/// Writes the points of a body in order. Lines that are no points or do not fit are left out; the first batch that the engine
/// cannot take ends it.
pub(super) fn store(engine: &Engine, body: &[u8], now_ns: i64, precision: Precision) -> Stored {
    let mut reader = Reader::new(body, now_ns, precision);
    let mut stored = Stored::default();
    while let Some(batch) = reader.next_batch(BATCH) {
        match write_batch(engine, &batch, &mut stored.refused) {
            Ok(accepted) => {
                stored.accepted += accepted;
                reader.recycle(batch);
            }
            Err(error) => {
                stored.failure = Some(error);
                break;
            }
        }
    }
    stored
}

fn write_batch(engine: &Engine, batch: &Parsed<'_>, refused: &mut Refused) -> Result<usize, Error> {
    refused.any_point |= !batch.points.is_empty();
    let written = if batch.points.is_empty() { Default::default() } else { engine.write(&batch.points)? };
    refused.lines += batch.errors.len() + written.rejected.len();
    refused.dropped += written.rejected.len();
    let room = LISTED_MAX - refused.listed.len();
    let malformed = batch.errors.iter().take(room).map(|error| {
        let (line, column) = (error.line, error.column);
        (line, format!("unable to parse '{}': {} (line {line}, column {column})", error.text, error.reason))
    });
    let misfits = written.rejected.iter().take(room).map(|rejected| {
        let line = batch.lines[rejected.point];
        (line, format!("{} (line {line})", rejected.error))
    });
    let mut listed: Vec<_> = malformed.chain(misfits).collect();
    listed.sort_by_key(|(line, _)| *line);
    refused.listed.extend(listed.into_iter().take(room).map(|(_, text)| text));
    Ok(written.accepted)
}

impl Refused {
    /// What to tell the sender, as influxd tells it, with our line numbers: none if every line was stored.
    pub(super) fn message(&self) -> Option<String> {
        if self.lines == 0 {
            return None;
        }
        let mut message = self.listed.join("\n");
        let more = self.lines - self.listed.len();
        if more > 0 {
            let lines = if more == 1 { "line" } else { "lines" };
            write!(message, "\nand {more} more {lines}").expect("a string takes every text");
        }
        // influxd says "partial write" when it parsed at least one point, and "dropped" counts points, not broken lines.
        Some(if self.any_point { format!("partial write: {message} dropped={}", self.dropped) } else { message })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use plimsoll_engine::Options;

    use super::*;

    fn check(body: &str, expected: &Expect) {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), Options::default()).unwrap();
        let stored = store(&engine, body.as_bytes(), 7, Precision::Nanosecond);
        assert!(stored.failure.is_none());
        expected.assert_eq(&format!("{} stored\n{}", stored.accepted, stored.refused.message().unwrap_or_default()));
    }

    #[test]
    fn all_good() {
        check(
            "m f=1 1\nm f=2 2\n",
            &expect![[r#"
            2 stored
        "#]],
        );
        check(
            "# nothing\n",
            &expect![[r#"
            0 stored
        "#]],
        );
    }

    #[test]
    fn some_malformed() {
        check(
            "bad line\nm f=1 1\nm f=1 x",
            &expect![[r#"
            1 stored
            partial write: unable to parse 'bad line': invalid field format (line 1, column 9)
            unable to parse 'm f=1 x': bad timestamp (line 3, column 7) dropped=0"#]],
        );
    }

    #[test]
    fn all_malformed() {
        check(
            "bad line\nm f=1 x",
            &expect![[r#"
            0 stored
            unable to parse 'bad line': invalid field format (line 1, column 9)
            unable to parse 'm f=1 x': bad timestamp (line 2, column 7)"#]],
        );
    }

    #[test]
    fn some_do_not_fit() {
        check(
            "m f=1 1\nm f=\"x\" 2\nm f=3i 3\nbad\nm f=t 4",
            &expect![[r#"
            2 stored
            partial write: field type conflict: input field "f" on measurement "m" is type string, already exists as type float (line 2)
            unable to parse 'bad': missing fields (line 4, column 4)
            field type conflict: input field "f" on measurement "m" is type boolean, already exists as type float (line 5) dropped=2"#]],
        );
    }

    #[test]
    fn many_refused() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), Options::default()).unwrap();
        let message = |body: &str| store(&engine, body.as_bytes(), 7, Precision::Nanosecond).refused.message().unwrap();
        let mixed = message(&format!("m f=1 1\n{}", "m f=t\nbad\n".repeat(15)));
        let lines: Vec<_> = mixed.lines().collect();
        assert_eq!(lines.len(), LISTED_MAX + 1);
        for (line, text) in (2..).zip(&lines[..LISTED_MAX]) {
            assert!(text.contains(&format!("(line {line}")), "{text}");
        }
        assert_eq!(lines[LISTED_MAX], "and 10 more lines dropped=15");
        let malformed = message(&"bad\n".repeat(21));
        assert!(malformed.starts_with("unable to parse 'bad': missing fields (line 1, column 4)\n"));
        assert!(malformed.ends_with("\nunable to parse 'bad': missing fields (line 20, column 4)\nand 1 more line"));
    }

    #[test]
    fn several_batches() {
        let mut body = String::new();
        for time in 0..25_000 {
            writeln!(body, "m f=1 {time}").unwrap();
        }
        body.push_str("bad\nm f=t");
        check(
            &body,
            &expect![[r#"
            25000 stored
            partial write: unable to parse 'bad': missing fields (line 25001, column 4)
            field type conflict: input field "f" on measurement "m" is type boolean, already exists as type float (line 25002) dropped=1"#]],
        );
    }
}
