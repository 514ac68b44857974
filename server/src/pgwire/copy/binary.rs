//! PostgreSQL's binary form of COPY: a signature, then rows of values with their lengths.

use bytes::Buf;

use super::super::sqlstate::SqlError;
use super::{ROW_BYTES_MAX, Record, malformed, too_long};

/// What every stream begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Bytes of the signature, the flags and the length of the extension.
const HEADER_BYTES: usize = 19;

/// A flag that would put object ids before the values; no PostgreSQL since 12 has them.
const HAS_OIDS: u32 = 1 << 16;

/// Cuts the stream into values.
#[derive(Debug, Default)]
pub(super) struct BinaryRows {
    buffer: Vec<u8>,
    /// Where what is not read yet begins in the buffer.
    next: usize,
    has_header: bool,
    ended: bool,
    row: u64,
}

impl BinaryRows {
    /// The number of the row taken last, from 1.
    pub(super) fn row(&self) -> u64 {
        self.row.max(1)
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
        let too_early = || if at_end { Err(malformed("unexpected EOF in COPY data")) } else { Ok(false) };
        if !self.has_header && !self.take_header()? {
            return too_early();
        }
        let rest = &self.buffer[self.next..];
        if self.ended {
            return if rest.is_empty() { Ok(false) } else { Err(malformed("received copy data after EOF marker")) };
        }
        record.clear();
        match take_row(rest, record)? {
            Taken::Nothing if rest.len() > ROW_BYTES_MAX => Err(too_long()),
            Taken::Nothing => too_early(),
            Taken::End(bytes) => {
                self.next += bytes;
                self.ended = true;
                self.next(at_end, record)
            }
            Taken::Row(bytes) => {
                self.next += bytes;
                self.row += 1;
                Ok(true)
            }
        }
    }

    fn take_header(&mut self) -> Result<bool, SqlError> {
        let Some((header, rest)) = self.buffer.split_at_checked(HEADER_BYTES) else {
            let common = self.buffer.len().min(SIGNATURE.len());
            return if self.buffer[..common] == SIGNATURE[..common] { Ok(false) } else { Err(no_signature()) };
        };
        if !header.starts_with(SIGNATURE) {
            return Err(no_signature());
        }
        let mut numbers = &header[SIGNATURE.len()..];
        let (flags, extension) = (numbers.get_u32(), numbers.get_u32() as usize);
        if flags & HAS_OIDS != 0 || flags >> 17 != 0 {
            return Err(malformed("unrecognized critical flags in COPY file header"));
        }
        if extension > ROW_BYTES_MAX {
            return Err(malformed("invalid COPY file header (wrong length)"));
        }
        if rest.len() < extension {
            return Ok(false);
        }
        self.next = HEADER_BYTES + extension;
        self.has_header = true;
        Ok(true)
    }
}

enum Taken {
    /// Not all of it is there.
    Nothing,
    /// A row of so many bytes.
    Row(usize),
    /// The end of the rows, of so many bytes.
    End(usize),
}

fn take_row(bytes: &[u8], record: &mut Record) -> Result<Taken, SqlError> {
    let mut rest = bytes;
    let Ok(values) = rest.try_get_i16() else { return Ok(Taken::Nothing) };
    if values == -1 {
        return Ok(Taken::End(bytes.len() - rest.len()));
    }
    for _ in 0..values {
        let Ok(length) = rest.try_get_i32() else { return Ok(Taken::Nothing) };
        if length == -1 {
            record.values.push(None);
            continue;
        }
        let length = usize::try_from(length).map_err(|_| malformed("invalid field size"))?;
        if length > ROW_BYTES_MAX {
            return Err(too_long());
        }
        let Some((value, after)) = rest.split_at_checked(length) else { return Ok(Taken::Nothing) };
        let start = record.bytes.len();
        record.bytes.extend_from_slice(value);
        record.values.push(Some(start..record.bytes.len()));
        rest = after;
    }
    Ok(Taken::Row(bytes.len() - rest.len()))
}

fn no_signature() -> SqlError {
    malformed("COPY file signature not recognized")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 2, 9, 9]);
        bytes.extend([0, 2, 0, 0, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff]);
        bytes.extend([0, 1, 0, 0, 0, 0]);
        bytes.extend([0xff, 0xff]);
        bytes
    }

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<Vec<Option<Vec<u8>>>>, String> {
        let mut rows = BinaryRows::default();
        let mut record = Record::default();
        let mut found = Vec::new();
        let mut pieces: Vec<(&[u8], bool)> = bytes.chunks(piece).map(|piece| (piece, false)).collect();
        pieces.push((&[], true));
        for (piece, at_end) in pieces {
            rows.feed(piece);
            while rows.next(at_end, &mut record).map_err(|error| error.message)? {
                found.push((0..record.values.len()).map(|nth| record.value(nth).map(<[u8]>::to_vec)).collect());
            }
        }
        Ok(found)
    }

    #[test]
    fn rows_come_in_pieces_of_any_size() {
        let expected = vec![vec![Some(b"a".to_vec()), None], vec![Some(Vec::new())]];
        for piece in 1..60 {
            assert_eq!(read(&stream(), piece), Ok(expected.clone()), "in pieces of {piece} bytes");
        }
    }

    #[test]
    fn what_is_no_copy_is_told() {
        let refused = |bytes: &[u8]| read(bytes, 7).unwrap_err();
        assert_eq!(refused(b"time,host\n1,a\n2,b\n"), "COPY file signature not recognized");
        for length in 0..stream().len() {
            let cut = read(&stream()[..length], 7);
            assert_eq!(cut.unwrap_err(), "unexpected EOF in COPY data", "after {length} bytes");
        }
        assert_eq!(refused(&[&stream()[..], b"x"].concat()), "received copy data after EOF marker");
    }
}
