//! InfluxDB line protocol: `table[,tag=value]* field=value[,field=value]* [timestamp]`, one point a line.
//!
//! ```text
//! weather,city=Oslo,site=roof\ 2 celsius=-3.5,readings=12i,note="snow, \"a lot\"" 1700000000000000000
//! ─┬───── ─┬─────────────────────┬──────────────────────────────────────────────┬ ─┬─────────────────
//! table   tags                   fields                                           timestamp
//! ```
//!
//! - Escapes: `\,` and `\ ` in a table name; `\,`, `\=` and `\ ` in tag names, tag values and field names; `\"` and `\\`
//!   in a string. Any other backslash stands for itself, so that `\n` in a tag stays two characters.
//! - Values: `1` `-.5` `1e5` float, `1i` integer, `1u` unsigned, `t T true True TRUE f F false False FALSE` boolean, `"..."`
//!   text, which may hold raw line ends. Not-a-number and infinity cannot be written.
//! - Blank lines, `#` comments, CRLF and repeated spaces between sections are fine. No timestamp means the given time.
//! - A tag or field that is given twice refuses its line: which of the two was meant cannot be known.
//! - Every name and text is UTF-8. A line that is not is refused alone.
//!
//! Invariants
//! - A bad line costs only itself: its points' neighbours are parsed as if it were not there. A quote that is never closed, or
//!   closed lines later in the middle of something else, spoils the line that opened it.
//! - Text inside a properly quoted string is never read as points, whatever is wrong elsewhere in its line.
//! - Points borrow from the body; only names and strings with escapes are copied.
//! - Work is linear in the body, whatever its bytes.

mod cursor;
pub mod naive;
mod point;
mod print;
mod value;
mod whole;

use std::borrow::Cow;
use std::str::FromStr;

use plimsoll_engine::Point;

use cursor::{Cursor, Fail};
pub use print::print;
pub(super) use value::{scalar, timestamp};
pub(super) use whole::whole_lines;

/// Characters of a refused line that its error keeps.
const TEXT_CHARS_MAX: usize = 160;

/// Parses a whole body. Points without a timestamp get `default_time_ns`; `precision` is the unit of the timestamps given.
///
/// A large body is better read piece by piece, with [`Reader`].
pub fn parse(body: &[u8], default_time_ns: i64, precision: Precision) -> Parsed<'_> {
    let everything = BatchLimits { lines_max: usize::MAX, bytes_max: usize::MAX };
    Reader::new(body, default_time_ns, precision).next_batch(everything).unwrap_or_default()
}

/// The unit of timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 1 ns.
    #[default]
    Nanosecond,
    /// 1,000 ns.
    Microsecond,
    /// 1,000,000 ns.
    Millisecond,
    /// 1,000,000,000 ns.
    Second,
    /// 60 s.
    Minute,
    /// 3,600 s.
    Hour,
    /// What makes the time of each point lie nearest to our days, as InfluxDB 3 guesses it: seconds below 5·10⁹, then
    /// milliseconds, microseconds, nanoseconds, each for a thousand times more.
    Auto,
}

impl Precision {
    /// Nanoseconds in the unit of this timestamp.
    pub fn unit_ns(self, timestamp: i128) -> i64 {
        match self {
            Precision::Auto => match timestamp.unsigned_abs() / 5_000_000_000 {
                0 => 1_000_000_000,
                1..1_000 => 1_000_000,
                1_000..1_000_000 => 1_000,
                _ => 1,
            },
            Precision::Nanosecond => 1,
            Precision::Microsecond => 1_000,
            Precision::Millisecond => 1_000_000,
            Precision::Second => 1_000_000_000,
            Precision::Minute => 60_000_000_000,
            Precision::Hour => 3_600_000_000_000,
        }
    }
}

/// A word that names no precision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid precision \"{0}\"")]
pub struct UnknownPrecision(String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    /// Reads the short names that InfluxDB's clients send: `ns n us u µ ms s m h`.
    fn from_str(word: &str) -> Result<Precision, UnknownPrecision> {
        Ok(match word {
            "ns" | "n" => Precision::Nanosecond,
            "us" | "u" | "µ" => Precision::Microsecond,
            "ms" => Precision::Millisecond,
            "s" => Precision::Second,
            "m" => Precision::Minute,
            "h" => Precision::Hour,
            _ => return Err(UnknownPrecision(word.chars().take(40).collect())),
        })
    }
}

/// What a body, or a piece of one, held.
#[derive(Debug, Default)]
pub struct Parsed<'a> {
    /// The points, in order.
    pub points: Vec<Point<'a>>,
    /// For each point the line it begins on, counted from 1 at the start of the body.
    pub lines: Vec<usize>,
    /// The lines that hold no point but should, in order.
    pub errors: Vec<LineError>,
}

/// A refused line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// The line, counted from 1 at the start of the body; for a point of several lines, its first.
    pub line: usize,
    /// The line itself, cut to a sane length, with U+FFFD for bytes that are not UTF-8.
    pub text: String,
    /// The character at which parsing stopped, counted from 1 at the start of the line.
    pub column: usize,
    /// What is wrong, in influxd's words where it has some.
    pub reason: String,
}

/// How much [`Reader::next_batch`] takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Points and refused lines, at least 1.
    pub lines_max: usize,
    /// Bytes of the body after which no further line is begun.
    pub bytes_max: usize,
}

/// Reads a body batch by batch, so that what is parsed at one time stays small.
#[derive(Debug)]
pub struct Reader<'a> {
    cursor: Cursor<'a>,
    /// Line number of the cursor, from 1.
    line: usize,
    default_time_ns: i64,
    precision: Precision,
    /// Points of earlier batches, for their memory.
    spare: Vec<Point<'a>>,
    /// Tags and fields of the point before: neighbours tend to have the same shape.
    shape: (usize, usize),
}

impl<'a> Reader<'a> {
    /// A reader at the start of `body`; the arguments are those of [`parse`].
    pub fn new(body: &'a [u8], default_time_ns: i64, precision: Precision) -> Reader<'a> {
        let cursor = Cursor::new(body);
        Reader { cursor, line: 1, default_time_ns, precision, spare: Vec::new(), shape: (0, 0) }
    }

    /// The next points and refused lines; none at the end of the body.
    pub fn next_batch(&mut self, limits: BatchLimits) -> Option<Parsed<'a>> {
        let mut parsed = Parsed::default();
        let stop = self.cursor.at.saturating_add(limits.bytes_max);
        while parsed.points.len() + parsed.errors.len() < limits.lines_max && self.cursor.at < stop && self.skip_blank()
        {
            let line = self.line;
            match self.next_point() {
                Ok(point) => {
                    parsed.points.push(point);
                    parsed.lines.push(line);
                }
                Err(error) => parsed.errors.push(error),
            }
        }
        (!parsed.points.is_empty() || !parsed.errors.is_empty()).then_some(parsed)
    }

    /// The line that begins here, which is neither blank nor a comment, as a point; the reader stands behind it then.
    pub(super) fn next_point(&mut self) -> Result<Point<'a>, LineError> {
        let start = self.cursor.at;
        let mut point = self.blank_point();
        let result = match self.cursor.point(&mut point, self.precision) {
            Ok(()) => {
                self.shape = (point.tags.len(), point.fields.len());
                Ok(point)
            }
            Err(fail) => Err(self.refuse(start, fail)),
        };
        self.cursor.pass_line_end();
        self.line += self.cursor.line_ends(start);
        result
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.cursor.body[self.cursor.at..]
    }

    /// The number of the line that begins here.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Steps over a line of so many bytes, of which somebody else has made sense, and over its end.
    pub(super) fn pass_line(&mut self, bytes: usize) {
        let start = self.cursor.at + bytes;
        self.cursor.at = start;
        self.cursor.pass_line_end();
        self.line += self.cursor.line_ends(start);
    }

    /// Takes back a batch that is done with. The next batch reuses its memory.
    pub fn recycle(&mut self, batch: Parsed<'a>) {
        self.spare = batch.points;
    }

    fn blank_point(&mut self) -> Point<'a> {
        let (tags, fields) = self.shape;
        let mut point = self.spare.pop().unwrap_or_else(|| Point {
            table: Cow::Borrowed(""),
            tags: Vec::with_capacity(tags),
            fields: Vec::with_capacity(fields),
            time_ns: 0,
        });
        point.tags.clear();
        point.fields.clear();
        point.time_ns = self.default_time_ns;
        point
    }

    /// Skips blank lines and comments; false at the end of the body.
    pub(super) fn skip_blank(&mut self) -> bool {
        let start = self.cursor.at;
        let more = self.cursor.skip_blank();
        self.line += self.cursor.line_ends(start);
        more
    }

    /// Moves to the end of a refused line and describes it.
    fn refuse(&mut self, start: usize, fail: Fail) -> LineError {
        self.cursor.skip_refused(fail.skip);
        let line = &self.cursor.body[start..self.cursor.at];
        let before = self.cursor.body.get(start..fail.at).unwrap_or_default();
        LineError {
            line: self.line,
            text: shorten(line),
            column: String::from_utf8_lossy(before).chars().count() + 1,
            reason: fail.reason.into_owned(),
        }
    }
}

/// The start of a refused line, in characters, without the carriage return of its end.
fn shorten(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // A character has at most four bytes, and a bad byte becomes one character.
    let start = String::from_utf8_lossy(&line[..line.len().min(4 * TEXT_CHARS_MAX + 4)]);
    let mut text: String = start.chars().take(TEXT_CHARS_MAX).collect();
    if text.len() < start.len() || line.len() > 4 * TEXT_CHARS_MAX + 4 {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests;
