//! A body of line protocol into the engine, batch by batch, and what to tell its sender.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use plimsoll_engine::{Engine, Error, Point, Write};
use plimsoll_query::{Guard, Writer};

use super::line_protocol::{BatchLimits, LineError, Reader};
use super::remembered::Remembered;
use super::rows::{Lines, Report, Times, Watched};

/// Bounds the memory that a batch takes: it is written before the next is parsed.
const BATCH: BatchLimits = BatchLimits { lines_max: 20_000, bytes_max: 8 << 20 };

/// Refused lines that one answer lists.
const LISTED_MAX: usize = 20;

/// How long a write waits for a flush when unflushed data has reached its limit.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often it looks.
const ROOM_POLL: Duration = Duration::from_millis(10);

/// Who writes, where there is no user.
const ACTOR: &str = "line protocol";

/// What ends a body.
pub(super) type Failure = plimsoll_query::Error;

/// Where bodies go.
#[derive(Debug)]
pub(super) struct Store<'a> {
    pub(super) engine: &'a Engine,
    pub(super) remembered: &'a Remembered,
    /// The expectations of tables, where there can be some.
    pub(super) guard: Option<&'a Guard>,
    /// Who brings them.
    pub(super) writer: &'a Writer,
    pub(super) times: Times,
}

/// What became of a body.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Points that are durable and visible.
    pub(super) accepted: usize,
    /// Lines that are not, because of what they hold.
    pub(super) refused: Refused,
    /// Why the rest of the body was not looked at.
    pub(super) failure: Option<Failure>,
}

/// The refused lines of a body.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// All of them.
    pub(super) lines: usize,
    /// Those among them whose sender may not write into their table.
    pub(super) denied: usize,
    /// Those among them that are points, but do not fit their table.
    dropped: usize,
    /// The body held points.
    any_point: bool,
    /// The first few, described.
    pub(super) listed: Vec<RefusedLine>,
}

/// A line that is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// Counted from 1 at the start of the body.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
    /// Behind the reason where the line's number stands too, such as `, column 9`.
    place: String,
}

impl Display for RefusedLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (line {}{})", self.reason, self.line, self.place)
    }
}

impl Store<'_> {
    /// Writes the points of a body in order. Lines that are no points or do not fit are left out; the first batch that the engine
    /// cannot take ends it.
    pub(super) fn store(&self, body: &[u8]) -> Stored {
        let mut reader = Reader::new(body, self.times.default_ns, self.times.precision);
        let mut stored = Stored::default();
        while reader.skip_blank() {
            if let Err(error) = self.write_batch(&mut reader, &mut stored) {
                stored.failure = Some(error);
                break;
            }
        }
        stored
    }

    fn write_batch(&self, reader: &mut Reader<'_>, stored: &mut Stored) -> Result<(), Failure> {
        let write = begin_when_there_is_room(self.engine)?;
        let mut lines = Lines::new(write, self.remembered, self.guard, self.writer, self.times);
        lines.read(reader, BATCH, &mut stored.refused);
        let (accepted, watched) = lines.commit()?;
        stored.accepted += accepted;
        match self.guard {
            Some(guard) if !watched.is_empty() => {
                stored.accepted += self.write_watched(watched, guard, &mut stored.refused)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes points with their numbers, batch by batch, as [`Store::store`] writes lines.
    pub(super) fn store_points(&self, mut points: Vec<Watched<'_>>) -> Stored {
        let mut stored = Stored::default();
        while !points.is_empty() {
            let rest = points.split_off(points.len().min(BATCH.lines_max));
            match self.write_points(std::mem::replace(&mut points, rest), &mut stored.refused) {
                Ok(accepted) => stored.accepted += accepted,
                Err(error) => {
                    stored.failure = Some(error);
                    break;
                }
            }
        }
        stored
    }

    fn write_points(&self, points: Vec<Watched<'_>>, refused: &mut Refused) -> Result<usize, Failure> {
        let mut watched = Vec::new();
        let mut write = begin_when_there_is_room(self.engine)?;
        for Watched { line, point } in points {
            refused.point();
            if let Err(error) = self.writer.check(&point.table) {
                refused.unfit(line, &error);
            } else if self.guard.is_some_and(|guard| guard.watches(&point.table)) {
                watched.push(Watched { line, point });
            } else if let Err(error) = write.add(&point) {
                refused.misfit(line, &error);
            }
        }
        let accepted = write.commit()?;
        match self.guard {
            Some(guard) if !watched.is_empty() => Ok(accepted + self.write_watched(watched, guard, refused)?),
            _ => Ok(accepted),
        }
    }

    /// Writes the points of tables that have expectations.
    fn write_watched(&self, watched: Vec<Watched<'_>>, guard: &Guard, refused: &mut Refused) -> Result<usize, Failure> {
        let mut by_table: BTreeMap<String, (Vec<usize>, Vec<Point<'_>>)> = BTreeMap::new();
        for Watched { line, point } in watched {
            let (lines, points) = by_table.entry(point.table.to_string()).or_default();
            lines.push(line);
            points.push(point);
        }
        let mut kept: Vec<Watched<'_>> = Vec::new();
        let mut misfits: Vec<(usize, String)> = Vec::new();
        for (table, (lines, points)) in by_table {
            let admitted = guard.admit(&table, points, ACTOR)?;
            kept.extend(admitted.kept.into_iter().map(|(at, point)| Watched { line: lines[at], point }));
            misfits.extend(admitted.refused.into_iter().map(|(at, refusal)| (lines[at], refusal.to_string())));
        }
        let mut write = begin_when_there_is_room(self.engine)?;
        for Watched { line, point } in &kept {
            if let Err(error) = write.add(point) {
                misfits.push((*line, error.to_string()));
            }
        }
        misfits.sort_unstable();
        misfits.iter().for_each(|(line, why)| refused.misfit(*line, why));
        Ok(write.commit()?)
    }
}

/// Begins a write. Where unflushed data has reached its limit a flush is under way that takes a second or so, and to wait for it
/// costs less than to send the body again. Longer than a client's patience it does not wait.
fn begin_when_there_is_room(engine: &Engine) -> Result<Write<'_>, Error> {
    let begun = engine.begin_write();
    if !matches!(begun, Err(Error::Busy { .. })) {
        return begun;
    }
    let patience = Instant::now() + ROOM_WAIT_MAX;
    loop {
        thread::sleep(ROOM_POLL);
        match engine.begin_write() {
            Err(Error::Busy { .. }) if Instant::now() < patience => {}
            begun => return begun,
        }
    }
}

impl Report for Refused {
    fn point(&mut self) {
        self.any_point = true;
    }

    fn malformed(&mut self, error: &LineError) {
        let (text, reason, line, column) = (&error.text, &error.reason, error.line, error.column);
        self.lines += 1;
        let place = format!(", column {column}");
        self.list(|| RefusedLine { line, reason: format!("unable to parse '{text}': {reason}"), place });
    }

    fn unfit(&mut self, line: usize, error: &plimsoll_query::Error) {
        self.denied += usize::from(matches!(error, plimsoll_query::Error::Denied { .. }));
        self.misfit(line, error);
    }

    fn misfit(&mut self, line: usize, error: &dyn Display) {
        self.lines += 1;
        self.dropped += 1;
        self.list(|| RefusedLine { line, reason: error.to_string(), place: String::new() });
    }
}

impl Refused {
    fn list(&mut self, line: impl FnOnce() -> RefusedLine) {
        if self.listed.len() < LISTED_MAX {
            self.listed.push(line());
        }
    }

    /// What to tell the sender, as influxd tells it, with our line numbers: none if every line was stored.
    pub(super) fn message(&self) -> Option<String> {
        if self.lines == 0 {
            return None;
        }
        let listed: Vec<String> = self.listed.iter().map(RefusedLine::to_string).collect();
        let mut message = listed.join("\n");
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

    use super::super::line_protocol::Precision;
    use super::*;

    fn store(engine: &Engine, body: &str) -> Stored {
        let times = Times { default_ns: 7, precision: Precision::Nanosecond };
        Store { engine, remembered: &Remembered::default(), guard: None, writer: &Writer::ANYBODY, times }
            .store(body.as_bytes())
    }

    fn check(body: &str, expected: &Expect) {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), Options::default()).unwrap();
        let stored = store(&engine, body);
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
        let message = |body: &str| store(&engine, body).refused.message().unwrap();
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
