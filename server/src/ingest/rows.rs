//! From the lines of a body to the rows of a write.
//!
//! A line of a known series with known fields goes the short way: its tags are looked up as bytes, its fields are matched with
//! those of the line before, and its values go straight into columns. Any other line, and every line with anything unusual in
//! it, goes the long way: it is parsed as a point and resolved by name, which is also how errors get their words. The long
//! way teaches the short one.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use memchr::memchr2;
use plimsoll_engine::{Error, Point, Row, SeriesRef, TableId, Write};
use plimsoll_query::{Guard, Writer};

use super::line_protocol::{BatchLimits, LineError, Precision, Reader, scalar, timestamp};
use super::remembered::{FieldNames, Remembered};

/// Most digits that the short way reads: what fits any integer.
const DIGITS_MAX: usize = 18;

/// Takes what a batch of lines holds.
pub(super) trait Report {
    /// A point was read from a line, whether or not it fits its table.
    fn point(&mut self);
    /// A line is no point.
    fn malformed(&mut self, error: &LineError);
    /// A point may not be written by whoever brings it, or not under its name.
    fn unfit(&mut self, line: usize, error: &plimsoll_query::Error);
    /// A point does not fit its table.
    fn misfit(&mut self, line: usize, error: &dyn Display);
}

/// What a body's lines say about points without a timestamp and the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// The time of points without one.
    pub(super) default_ns: i64,
    /// The unit of the others.
    pub(super) precision: Precision,
}

/// The rows of one batch of lines on their way into a write.
pub(super) struct Lines<'a, 'e, 'b> {
    write: Write<'e>,
    remembered: &'a Remembered,
    guard: Option<&'a Guard>,
    writer: &'a Writer,
    /// The points of tables that have expectations.
    watched: Vec<Watched<'b>>,
    times: Times,
    tables: Vec<Table>,
    /// The table of the line before.
    current: usize,
}

/// A point that is to be looked at before it is written, and its line.
pub(super) struct Watched<'b> {
    pub(super) line: usize,
    pub(super) point: Point<'b>,
}

/// A table in a write.
struct Table {
    id: TableId,
    number: usize,
    /// Its points are to be looked at, or refused.
    is_watched: bool,
    names: Arc<FieldNames>,
    /// For each name the number of the field in this write, once it is met.
    fields: Vec<Option<usize>>,
}

impl<'a, 'e, 'b> Lines<'a, 'e, 'b> {
    pub(super) fn new(
        write: Write<'e>,
        remembered: &'a Remembered,
        guard: Option<&'a Guard>,
        writer: &'a Writer,
        times: Times,
    ) -> Lines<'a, 'e, 'b> {
        Lines { write, remembered, guard, writer, watched: Vec::new(), times, tables: Vec::new(), current: 0 }
    }

    /// Reads lines up to the limits or the end of the body; false when there was none.
    pub(super) fn read(&mut self, reader: &mut Reader<'b>, limits: BatchLimits, report: &mut impl Report) -> bool {
        let bytes_at_end = reader.rest().len().saturating_sub(limits.bytes_max);
        let mut lines = 0;
        while lines < limits.lines_max && (lines == 0 || reader.rest().len() > bytes_at_end) && reader.skip_blank() {
            lines += 1;
            match self.known_row(reader.rest()) {
                Some(bytes) => {
                    reader.pass_line(bytes);
                    report.point();
                }
                None => self.any_row(reader, report),
            }
        }
        lines > 0
    }

    /// Stores the rows. Gives how many there are, and the points that have to be looked at before they are stored.
    ///
    /// # Errors
    /// Those of [`plimsoll_engine::Engine::write`]: nothing is stored.
    pub(super) fn commit(self) -> Result<(usize, Vec<Watched<'b>>), Error> {
        Ok((self.write.commit()?, self.watched))
    }

    /// The long way.
    fn any_row(&mut self, reader: &mut Reader<'b>, report: &mut impl Report) {
        let text: &'b [u8] = reader.rest();
        let line = reader.line();
        let point = match reader.next_point() {
            Ok(point) => point,
            Err(error) => return report.malformed(&error),
        };
        report.point();
        if let Err(error) = self.writer.check(&point.table) {
            return report.unfit(line, &error);
        }
        if self.guard.is_some_and(|guard| guard.watches(&point.table)) {
            return self.watched.push(Watched { line, point });
        }
        match self.write.add(&point) {
            Ok(series) => self.learn(text, &point, series),
            Err(error) => report.misfit(line, &error),
        }
    }

    /// Remembers the series and the fields of a line that was taken.
    fn learn(&mut self, text: &[u8], point: &Point<'_>, series: SeriesRef) {
        if let Some(end) = end_of_tags(text) {
            self.remembered.remember_series(&text[..end], series);
        }
        let Some(at) = self.table(series.table) else { return };
        let table = &mut self.tables[at];
        // A name without escapes is borrowed: it is spelt as it is.
        let spelt = point.fields.iter().filter_map(|(name, _)| match name {
            Cow::Borrowed(name) => Some(name.as_bytes()),
            Cow::Owned(_) => None,
        });
        let new: Vec<&[u8]> = spelt.filter(|name| table.names.number(name).is_none()).collect();
        if !new.is_empty() {
            let names = Arc::make_mut(&mut table.names);
            new.into_iter().for_each(|name| names.add(name));
            table.fields.resize(names.len(), None);
            self.remembered.remember_fields(series.table, &table.names);
        }
    }

    /// The short way: adds the line at the start of `text` and gives its length, or adds nothing.
    fn known_row(&mut self, text: &[u8]) -> Option<usize> {
        let end = end_of_tags(text)?;
        let series = self.remembered.series(&text[..end])?;
        let at = self.table(series.table)?;
        if self.tables[at].is_watched {
            return None;
        }
        loop {
            let table = &self.tables[at];
            let mut row = self.write.row(table.number);
            let mut line = KnownLine { table, text, at: end + 1 };
            match line.fields(&mut row).and_then(|()| line.time(self.times)) {
                Ok(time_ns) => {
                    // What is too old is refused by the long way, which says so.
                    return row.end(series, time_ns).then_some(line.at);
                }
                Err(Stop::Unusual) => return None,
                Err(Stop::FirstMet(nth)) => {
                    drop(row);
                    let name = std::str::from_utf8(self.tables[at].names.name(nth)?).ok()?;
                    let field = self.write.field(self.tables[at].number, name)?;
                    self.tables[at].fields[nth] = Some(field);
                }
            }
        }
    }

    /// The place of a table in `tables`; none when it is gone.
    fn table(&mut self, id: TableId) -> Option<usize> {
        if self.tables.get(self.current).is_none_or(|table| table.id != id) {
            self.current = match self.tables.iter().position(|table| table.id == id) {
                Some(known) => known,
                None => {
                    let number = self.write.table(id)?;
                    let name = self.write.table_name(number);
                    let is_watched =
                        self.guard.is_some_and(|guard| guard.watches(name)) || self.writer.check(name).is_err();
                    let names = self.remembered.fields(id);
                    self.tables.push(Table { id, number, is_watched, fields: vec![None; names.len()], names });
                    self.tables.len() - 1
                }
            };
        }
        Some(self.current)
    }
}

/// A line of a known series behind its tags.
struct KnownLine<'l> {
    table: &'l Table,
    text: &'l [u8],
    at: usize,
}

/// Why the short way ends.
enum Stop {
    /// The line has something that only the long way knows.
    Unusual,
    /// A field, by the number of its name, has no number in the write yet.
    FirstMet(usize),
}

impl KnownLine<'_> {
    /// Takes the fields; ends at the timestamp, or at the line's end.
    #[inline]
    fn fields(&mut self, row: &mut Row<'_>) -> Result<(), Stop> {
        let mut expected = 0;
        loop {
            let number = self.name(expected).ok_or(Stop::Unusual)?;
            let field = self.table.fields[number].ok_or(Stop::FirstMet(number))?;
            self.value(row, field).ok_or(Stop::Unusual)?;
            match self.text.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b' ') => {
                    self.at += 1;
                    return Ok(());
                }
                None | Some(b'\n') => return Ok(()),
                Some(_) => return Err(Stop::Unusual),
            }
            expected = number + 1;
        }
    }

    /// Takes the name of a field and its equals sign; gives its number. Fields tend to come in the same order.
    #[inline]
    fn name(&mut self, expected: usize) -> Option<usize> {
        let rest = &self.text[self.at..];
        if let Some(name) = self.table.names.name(expected)
            && let Some((b'=', _)) = rest.strip_prefix(name).and_then(<[u8]>::split_first)
        {
            self.at += name.len() + 1;
            return Some(expected);
        }
        let end = memchr2(b'=', b'\n', rest)?;
        let number = self.table.names.number(&rest[..end])?;
        self.at += end + 1;
        Some(number)
    }

    /// Takes a number or boolean.
    #[inline]
    fn value(&mut self, row: &mut Row<'_>, field: usize) -> Option<()> {
        let text = &self.text[self.at..];
        let is_negative = text.first() == Some(&b'-');
        let start = usize::from(is_negative);
        let mut magnitude = 0i64;
        let mut end = start;
        while let Some(digit) = text.get(end).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            magnitude = magnitude.wrapping_mul(10).wrapping_add(i64::from(digit));
            end += 1;
        }
        let is_short = (1..=DIGITS_MAX).contains(&(end - start));
        if is_short && text.get(end) == Some(&b'i') && ends_scalar(text.get(end + 1)) {
            self.at += end + 1;
            return row.put_integer(field, if is_negative { -magnitude } else { magnitude }).then_some(());
        }
        let written = self.scalar();
        let value = if written.is_empty() { None } else { scalar(written).ok() };
        row.put(field, &value?).then_some(())
    }

    /// Takes the timestamp, if there is one, and ends at the line's end.
    #[inline]
    fn time(&mut self, times: Times) -> Result<i64, Stop> {
        // Without a timestamp the fields end at the line's end; a space before a line's end is unusual.
        if matches!(self.text.get(self.at), None | Some(b'\n')) {
            let spaced = self.text[self.at - 1] == b' ';
            return if spaced { Err(Stop::Unusual) } else { Ok(times.default_ns) };
        }
        let time_ns = timestamp(self.scalar(), times.precision).map_err(|_| Stop::Unusual)?;
        match self.text.get(self.at) {
            None | Some(b'\n') => Ok(time_ns),
            Some(_) => Err(Stop::Unusual),
        }
    }

    /// Takes bytes up to a comma, space or line end.
    #[inline]
    fn scalar(&mut self) -> &[u8] {
        let text = &self.text[self.at..];
        let end = text.iter().position(|byte| ends_scalar(Some(byte))).unwrap_or(text.len());
        self.at += end;
        &text[..end]
    }
}

#[inline]
fn ends_scalar(byte: Option<&u8>) -> bool {
    matches!(byte, None | Some(b',' | b' ' | b'\n' | b'\r'))
}

/// Where the table and tags of a line end: at its first space that no backslash escapes. None when the line ends before it.
#[inline]
fn end_of_tags(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b' ', b'\n', &text[at..])?;
        if text[at] == b'\n' {
            return None;
        }
        if at == 0 || text[at - 1] != b'\\' {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests;
