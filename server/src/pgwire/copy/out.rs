//! `COPY ... TO STDOUT`: rows as `DataRow` has them, written as lines or as PostgreSQL's binary form.
//!
//! The body of a `DataRow` is the binary form of a row; lines are made of its values as text.

use bytes::{BufMut, BytesMut};
use plimsoll_query::{CopyFormat, CopyOptions};

use super::super::columns::put_sized;

const COPY_DATA: u8 = b'd';

/// Signature, flags and length of the extension of the binary form.
const BINARY_START: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The number of values of a row that ends the binary form.
const BINARY_END: i16 = -1;

/// Appends the line of names, where one is wanted.
pub(crate) fn put_names<'a>(names: impl Iterator<Item = &'a str>, options: &CopyOptions, out: &mut BytesMut) {
    if options.header && options.format != CopyFormat::Binary {
        put_data(out, |out| put_line(names.map(|name| Some(name.as_bytes())), options, out));
    }
}

/// Appends `DataRow` messages as rows of the copy, `before` of which are sent. The start of the binary form goes into the
/// message of the first row, where drivers look for it.
pub(crate) fn put_rows(mut messages: &[u8], options: &CopyOptions, mut before: u64, out: &mut BytesMut) {
    while let Some((body, rest)) = split_message(messages) {
        messages = rest;
        put_data(out, |out| match options.format {
            CopyFormat::Binary => {
                put_binary_start(before, out);
                out.put_slice(body);
            }
            _ => put_line(Values(&body[2..]), options, out),
        });
        before += 1;
    }
}

/// Appends what comes after the last of all rows.
pub(crate) fn put_end(options: &CopyOptions, rows: u64, out: &mut BytesMut) {
    if options.format == CopyFormat::Binary {
        put_data(out, |out| {
            put_binary_start(rows, out);
            out.put_i16(BINARY_END);
        });
    }
    out.put_u8(b'c');
    put_sized(out, |_| {});
}

fn put_binary_start(before: u64, out: &mut BytesMut) {
    if before == 0 {
        out.put_slice(BINARY_START);
    }
}

fn put_data(out: &mut BytesMut, put: impl FnOnce(&mut BytesMut)) {
    out.put_u8(COPY_DATA);
    put_sized(out, put);
}

/// The body of the first message, and those after it. They are our own, and whole.
fn split_message(messages: &[u8]) -> Option<(&[u8], &[u8])> {
    let size = u32::from_be_bytes(*messages.get(1..)?.first_chunk()?);
    let (message, rest) = messages.split_at_checked(1 + size as usize)?;
    Some((&message[5..], rest))
}

/// The values of a `DataRow`.
struct Values<'a>(&'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let (value, rest) = rest.split_at_checked(length.unwrap_or(0))?;
        self.0 = rest;
        Some(length.map(|_| value))
    }
}

fn put_line<'a>(values: impl Iterator<Item = Option<&'a [u8]>>, options: &CopyOptions, out: &mut BytesMut) {
    let is_csv = options.format == CopyFormat::Csv;
    let start = out.len();
    for (nth, value) in values.enumerate() {
        if nth > 0 {
            out.put_u8(options.delimiter);
        }
        match value {
            None => out.put_slice(options.null.as_bytes()),
            Some(value) if is_csv => put_csv(value, options, out),
            Some(value) => put_text(value, options.delimiter, out),
        }
    }
    // A line of its own that would end the copy.
    if is_csv && &out[start..] == b"\\." {
        out.truncate(start);
        out.put_slice(&[options.quote, b'\\', b'.', options.quote]);
    }
    out.put_u8(b'\n');
}

fn put_text(value: &[u8], delimiter: u8, out: &mut BytesMut) {
    for byte in value {
        let letter = match byte {
            b'\\' => b'\\',
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            other if *other == delimiter => delimiter,
            other => {
                out.put_u8(*other);
                continue;
            }
        };
        out.put_slice(&[b'\\', letter]);
    }
}

fn put_csv(value: &[u8], options: &CopyOptions, out: &mut BytesMut) {
    let needs_quotes =
        |byte: &u8| *byte == options.delimiter || *byte == options.quote || matches!(byte, b'\n' | b'\r');
    if value != options.null.as_bytes() && !value.iter().any(needs_quotes) {
        out.put_slice(value);
        return;
    }
    out.put_u8(options.quote);
    for byte in value {
        if *byte == options.quote || *byte == options.escape {
            out.put_u8(options.escape);
        }
        out.put_u8(*byte);
    }
    out.put_u8(options.quote);
}
