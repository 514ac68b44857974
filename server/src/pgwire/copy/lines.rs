//! Text and CSV: bytes in pieces of any size, rows out. The rules are PostgreSQL's.

use memchr::{memchr2, memchr3};
use plimsoll_query::{CopyFormat, CopyOptions};

use super::super::sqlstate::SqlError;
use super::{ROW_BYTES_MAX, Record, malformed, too_long};

/// Cuts lines into values.
#[derive(Debug)]
pub(super) struct LineRows {
    options: CopyOptions,
    buffer: Vec<u8>,
    /// Where the next row begins in the buffer.
    next: usize,
    /// Lines taken so far.
    line: u64,
    /// The line at which the row taken last begins.
    row_line: u64,
    /// The first line is still to be passed over.
    skips_header: bool,
    /// `\.` came: what follows is passed over.
    ended: bool,
}

impl LineRows {
    pub(super) fn new(options: &CopyOptions) -> LineRows {
        let skips_header = options.header;
        let options = options.clone();
        LineRows { options, buffer: Vec::new(), next: 0, line: 0, row_line: 0, skips_header, ended: false }
    }

    /// The line of the row taken last, from 1.
    pub(super) fn line(&self) -> u64 {
        self.row_line.max(1)
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.next > 0 {
            self.buffer.drain(..self.next);
            self.next = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Reads the next row, if all of it has come. `at_end`: nothing more will come.
    pub(super) fn next(&mut self, at_end: bool, record: &mut Record) -> Result<bool, SqlError> {
        loop {
            if self.ended || self.next == self.buffer.len() {
                return Ok(false);
            }
            let rest = &self.buffer[self.next..];
            let is_csv = self.options.format == CopyFormat::Csv;
            let end = if is_csv { csv_end(rest, &self.options) } else { text_end(rest) };
            self.row_line = self.line + 1;
            let (length, taken) = match end {
                Some(at) => (at, at + 1),
                None if rest.len() > ROW_BYTES_MAX => return Err(too_long()),
                None if !at_end => return Ok(false),
                None => (rest.len(), rest.len()),
            };
            let row = &rest[..length];
            let lines = memchr::memchr_iter(b'\n', row).count() as u64 + 1;
            let row = row.strip_suffix(b"\r").unwrap_or(row);
            self.next += taken;
            self.line += lines;
            if std::mem::take(&mut self.skips_header) {
                continue;
            }
            if row == b"\\." {
                self.ended = true;
                return Ok(false);
            }
            record.clear();
            match is_csv {
                true => split_csv(row, &self.options, record)?,
                false => split_text(row, &self.options, record)?,
            }
            return Ok(true);
        }
    }
}

/// The line break that ends a row: one that no backslash stands before.
fn text_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'\n', b'\\', bytes.get(at..)?)?;
        match bytes[at] {
            b'\n' => return Some(at),
            _ => at += 2,
        }
    }
}

/// The line break that ends a row: one outside of quotes.
fn csv_end(bytes: &[u8], options: &CopyOptions) -> Option<usize> {
    let (quote, escape) = (options.quote, options.escape);
    let mut at = 0;
    let mut is_quoted = false;
    loop {
        at += memchr3(b'\n', quote, escape, bytes.get(at..)?)?;
        let byte = bytes[at];
        let next = bytes.get(at + 1);
        if is_quoted && byte == escape && next.is_some_and(|next| *next == quote || *next == escape) {
            at += 2;
        } else if byte == quote {
            is_quoted = !is_quoted;
            at += 1;
        } else if byte == b'\n' && !is_quoted {
            return Some(at);
        } else {
            at += 1;
        }
    }
}

fn split_text(row: &[u8], options: &CopyOptions, record: &mut Record) -> Result<(), SqlError> {
    let mut at = 0;
    loop {
        let start = at;
        while at < row.len() && row[at] != options.delimiter {
            at += if row[at] == b'\\' { 2 } else { 1 };
        }
        let end = at.min(row.len());
        put_text(&row[start..end], options, record)?;
        if at >= row.len() {
            return Ok(());
        }
        at += 1;
    }
}

fn put_text(raw: &[u8], options: &CopyOptions, record: &mut Record) -> Result<(), SqlError> {
    if raw == options.null.as_bytes() {
        record.values.push(None);
        return Ok(());
    }
    let start = record.bytes.len();
    if memchr::memchr(b'\\', raw).is_none() {
        record.bytes.extend_from_slice(raw);
    } else {
        unescape(raw, &mut record.bytes)?;
    }
    record.values.push(Some(start..record.bytes.len()));
    Ok(())
}

/// Backslash sequences: control characters, octal and hexadecimal bytes; any other character stands for itself.
fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<(), SqlError> {
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'\\' {
            out.push(raw[at]);
            at += 1;
            continue;
        }
        let Some(&escaped) = raw.get(at + 1) else {
            return Err(malformed("backslash at the end of a value"));
        };
        at += 2;
        let digits = |from: usize, most: usize, radix: u32| {
            let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
            raw[from..].iter().take(most).take_while(is_digit).count()
        };
        let number = |from: usize, count: usize, radix: u32| {
            let digit = |byte: &u8| char::from(*byte).to_digit(radix).unwrap_or(0);
            raw[from..from + count].iter().fold(0, |sum, byte| sum * radix + digit(byte)) as u8
        };
        match escaped {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'0'..=b'7' => {
                let count = digits(at - 1, 3, 8);
                out.push(number(at - 1, count, 8));
                at += count - 1;
            }
            b'x' if digits(at, 2, 16) > 0 => {
                let count = digits(at, 2, 16);
                out.push(number(at, count, 16));
                at += count;
            }
            other => out.push(other),
        }
    }
    Ok(())
}

fn split_csv(row: &[u8], options: &CopyOptions, record: &mut Record) -> Result<(), SqlError> {
    let mut at = 0;
    loop {
        let start = record.bytes.len();
        let mut has_quotes = false;
        let mut is_quoted = false;
        while let Some(&byte) = row.get(at) {
            let next = row.get(at + 1);
            if is_quoted && byte == options.escape && next.is_some_and(|n| *n == options.quote || *n == options.escape)
            {
                record.bytes.push(row[at + 1]);
                at += 1;
            } else if byte == options.quote {
                is_quoted = !is_quoted;
                has_quotes = true;
            } else if byte == options.delimiter && !is_quoted {
                break;
            } else {
                record.bytes.push(byte);
            }
            at += 1;
        }
        if is_quoted {
            return Err(malformed("unterminated CSV quoted field"));
        }
        let is_null = !has_quotes && record.bytes[start..] == *options.null.as_bytes();
        record.values.push(if is_null { None } else { Some(start..record.bytes.len()) });
        if at >= row.len() {
            return Ok(());
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn options(format: CopyFormat) -> CopyOptions {
        let is_csv = format == CopyFormat::Csv;
        CopyOptions {
            format,
            delimiter: if is_csv { b',' } else { b'\t' },
            null: if is_csv { String::new() } else { "\\N".to_owned() },
            header: false,
            quote: b'"',
            escape: b'"',
        }
    }

    /// The rows of a text that comes in pieces of a size.
    fn rows(text: &[u8], options: &CopyOptions, piece: usize) -> String {
        let mut lines = LineRows::new(options);
        let mut record = Record::default();
        let mut out = String::new();
        let mut take = |lines: &mut LineRows, at_end: bool| loop {
            match lines.next(at_end, &mut record) {
                Ok(false) => return true,
                Ok(true) => {
                    let value = |nth| {
                        record.value(nth).map_or("NULL".to_owned(), |v| format!("{:?}", String::from_utf8_lossy(v)))
                    };
                    let values: Vec<_> = (0..record.values.len()).map(value).collect();
                    out += &format!("{}: {}\n", lines.line(), values.join(" "));
                }
                Err(error) => {
                    out += &format!("{}: {}\n", lines.line(), error.message);
                    return false;
                }
            }
        };
        let fed = text.chunks(piece).all(|piece| {
            lines.feed(piece);
            take(&mut lines, false)
        });
        if fed {
            take(&mut lines, true);
        }
        out
    }

    fn check(text: &str, options: &CopyOptions, expected: &Expect) {
        let whole = rows(text.as_bytes(), options, usize::MAX);
        expected.assert_eq(&whole);
        for piece in 1..8 {
            assert_eq!(rows(text.as_bytes(), options, piece), whole, "in pieces of {piece} bytes");
        }
    }

    #[test]
    fn text_has_escapes_and_null() {
        check(
            "a\t\\N\t\nb\\tc\t\\\\N\t\\101\\x42\\q\r\nx\\\ny\t1\t2\n\\.\nignored",
            &options(CopyFormat::Text),
            &expect![[r#"
                1: "a" NULL ""
                2: "b\tc" "\\N" "ABq"
                3: "x\ny" "1" "2"
            "#]],
        );
    }

    #[test]
    fn csv_tells_null_from_empty() {
        check(
            "a,,\"\"\n\"x \"\"y\"\"\",\"1\n2\",3\r\nlast,,",
            &options(CopyFormat::Csv),
            &expect![[r#"
                1: "a" NULL ""
                2: "x \"y\"" "1\n2" "3"
                4: "last" NULL NULL
            "#]],
        );
    }

    #[test]
    fn options_are_heeded() {
        let odd = CopyOptions {
            header: true,
            delimiter: b';',
            null: "-".to_owned(),
            quote: b'\'',
            escape: b'\\',
            ..options(CopyFormat::Csv)
        };
        check(
            "h;i\n-;'-'\n'it\\'s';\\\n",
            &odd,
            &expect![[r#"
                2: NULL "-"
                3: "it's" "\\"
            "#]],
        );
    }

    #[test]
    fn a_quote_that_stays_open_is_told() {
        check(
            "a,b\nc,\"d\ne",
            &options(CopyFormat::Csv),
            &expect![[r#"
            1: "a" "b"
            2: unterminated CSV quoted field
        "#]],
        );
    }
}
