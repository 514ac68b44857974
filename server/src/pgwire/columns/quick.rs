//! The commonest columns, quickly: whole rows into one piece of memory, each small number with a single store.
//!
//! The plain form of every value is the one that [`Column::put_field`] writes; this module writes the same bytes.

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::{Int64Array, StringViewArray};
use datafusion::arrow::datatypes::TimeUnit;

use super::{Column, DATA_ROW, Format, RowEncoder, Values, to_us};
use crate::pgwire::text::time::HourClock;
use crate::pgwire::{binary, text};

/// Integers from zero up to here are looked up.
const SMALL: usize = 1_000;

/// Bytes of a row before its first field: tag, size, number of fields.
const HEADER_BYTES: usize = 7;

/// Room for a value of any type but text: its length and at most as many digits as a float or a time can have.
const FIELD_BYTES: usize = 4 + 48;

/// The fields of small integers: length and digits.
static SMALL_FIELDS: [[u8; 8]; SMALL] = small_fields();

const fn small_fields() -> [[u8; 8]; SMALL] {
    let mut fields = [[0; 8]; SMALL];
    let mut n = 0;
    while n < SMALL {
        let digits = [b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
        let skipped = if n >= 100 {
            0
        } else if n >= 10 {
            1
        } else {
            2
        };
        fields[n][3] = 3 - skipped as u8;
        let mut at = skipped;
        while at < 3 {
            fields[n][4 + at - skipped] = digits[at];
            at += 1;
        }
        n += 1;
    }
    fields
}

/// Rows that are being written.
struct Page {
    /// Zeros where nothing is written yet.
    bytes: Vec<u8>,
    at: usize,
}

impl Page {
    /// Makes room for so many bytes more.
    fn reserve(&mut self, more: usize) {
        if self.bytes.len() < self.at + more {
            self.bytes.resize((self.at + more).max(2 * self.bytes.len()), 0);
        }
    }

    /// Writes eight bytes, of which only the first count.
    fn put_word(&mut self, word: [u8; 8], used: usize) {
        self.bytes[self.at..self.at + 8].copy_from_slice(&word);
        self.at += used;
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn put_length(&mut self, length: usize) {
        self.put(&(length as u32).to_be_bytes());
    }

    fn put_null(&mut self) {
        self.put(&(-1i32).to_be_bytes());
    }

    fn put_integer(&mut self, value: i64) {
        match usize::try_from(value).ok().and_then(|at| SMALL_FIELDS.get(at)) {
            Some(field) => self.put_word(*field, 4 + usize::from(field[3])),
            None => {
                let mut digits = itoa::Buffer::new();
                let digits = digits.format(value).as_bytes();
                self.put_length(digits.len());
                self.put(digits);
            }
        }
    }
}

/// A column whose values are written here, and how.
enum Quick<'a> {
    Int64Text(&'a Int64Array),
    Int64Binary(&'a Int64Array),
    Float64Text(&'a [f64]),
    Float64Binary(&'a [f64]),
    TimestamptzText(&'a Int64Array, TimeUnit, HourClock<'a>),
    TimestampBinary(&'a Int64Array, TimeUnit),
    Text(&'a StringViewArray),
    /// As [`Column::put_field`] writes it.
    Plain(Format),
}

impl RowEncoder<'_> {
    /// Appends rows from `first` on: at most `rows_max`, and no further row once there are `bytes_max` bytes. Gives their number.
    pub(crate) fn put_rows(&self, first: usize, rows_max: usize, bytes_max: usize, out: &mut BytesMut) -> usize {
        let mut quick: Vec<Quick<'_>> =
            self.columns.iter().map(|(column, format)| self.quick(column, *format)).collect();
        let end = first + rows_max.min(self.rows - first);
        let row_bytes = HEADER_BYTES + self.columns.len() * FIELD_BYTES;
        let room = bytes_max.saturating_sub(out.len());
        let mut page = Page { bytes: vec![0; (room + row_bytes).min(row_bytes * (end - first))], at: 0 };
        let mut scratch = BytesMut::new();
        let mut row = first;
        while row < end && (page.at < room || row == first) {
            page.reserve(row_bytes);
            self.put_quick_row(row, &mut quick, &mut page, &mut scratch);
            row += 1;
        }
        out.put_slice(&page.bytes[..page.at]);
        row - first
    }

    fn quick<'a>(&'a self, column: &'a Column, format: Format) -> Quick<'a> {
        match (&column.values, format) {
            (Values::Int64(array), Format::Text) => Quick::Int64Text(array),
            (Values::Int64(array), Format::Binary) => Quick::Int64Binary(array),
            (Values::Float64(array), Format::Text) => Quick::Float64Text(array.values()),
            (Values::Float64(array), Format::Binary) => Quick::Float64Binary(array.values()),
            (Values::Timestamptz(array, unit), Format::Text) => {
                Quick::TimestamptzText(array, *unit, HourClock::new(self.zone))
            }
            (Values::Timestamptz(array, unit) | Values::Timestamp(array, unit), Format::Binary) => {
                Quick::TimestampBinary(array, *unit)
            }
            (Values::Utf8View(array), _) => Quick::Text(array),
            (_, format) => Quick::Plain(format),
        }
    }

    fn put_quick_row(&self, row: usize, quick: &mut [Quick<'_>], page: &mut Page, scratch: &mut BytesMut) {
        let start = page.at;
        page.at += HEADER_BYTES;
        for ((column, _), quick) in self.columns.iter().zip(quick) {
            if column.is_null(row) {
                page.put_null();
            } else {
                self.put_quick_field(row, column, quick, page, scratch);
            }
        }
        let size = (page.at - start - 1) as u32;
        let header = &mut page.bytes[start..start + HEADER_BYTES];
        header[0] = DATA_ROW;
        header[1..5].copy_from_slice(&size.to_be_bytes());
        header[5..7].copy_from_slice(&(self.columns.len() as u16).to_be_bytes());
    }

    fn put_quick_field(
        &self,
        row: usize,
        column: &Column,
        quick: &mut Quick<'_>,
        page: &mut Page,
        scratch: &mut BytesMut,
    ) {
        match quick {
            Quick::Int64Text(array) => page.put_integer(array.value(row)),
            Quick::Int64Binary(array) => {
                page.put_length(8);
                page.put(&array.value(row).to_be_bytes());
            }
            Quick::Float64Text(values) => match whole(values[row]) {
                Some(value) => page.put_integer(value),
                None => {
                    scratch.clear();
                    text::float::put_f64(values[row], scratch);
                    page.put_length(scratch.len());
                    page.put(scratch);
                }
            },
            Quick::Float64Binary(values) => {
                page.put_length(8);
                page.put(&values[row].to_be_bytes());
            }
            Quick::TimestamptzText(array, unit, clock) => {
                let us = to_us(array.value(row), *unit);
                let start = page.at + 4;
                match clock.write(us, &mut page.bytes[start..]) {
                    Some(length) => {
                        page.put_length(length);
                        page.at += length;
                    }
                    None => self.put_plain(row, column, Format::Text, page, scratch),
                }
            }
            Quick::TimestampBinary(array, unit) => {
                page.put_length(8);
                page.put(&binary::since_2000_us(to_us(array.value(row), *unit)).to_be_bytes());
            }
            Quick::Text(array) => {
                let text = array.value(row).as_bytes();
                page.reserve(text.len() + self.columns.len() * FIELD_BYTES);
                page.put_length(text.len());
                page.put(text);
            }
            Quick::Plain(format) => self.put_plain(row, column, *format, page, scratch),
        }
    }

    fn put_plain(&self, row: usize, column: &Column, format: Format, page: &mut Page, scratch: &mut BytesMut) {
        scratch.clear();
        column.put_field(row, format, self.zone, scratch);
        page.reserve(scratch.len() + self.columns.len() * FIELD_BYTES);
        page.put(scratch);
    }
}

/// The integer that a float prints as, if it does.
fn whole(x: f64) -> Option<i64> {
    let value = x as i64;
    (value as f64 == x && x.abs() < 1e15 && (value != 0 || x.is_sign_positive())).then_some(value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray};
    use proptest::prelude::*;

    use super::*;
    use crate::pgwire::zone::Zone;

    fn integers() -> impl Strategy<Value = Option<i64>> {
        prop_oneof![Just(None), (-1_100..1_100i64).prop_map(Some), any::<i64>().prop_map(Some)]
    }

    fn floats() -> impl Strategy<Value = Option<f64>> {
        let special = prop::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, 1e15, -1e15, 1e16, 0.5, -2.0]);
        prop_oneof![
            Just(None),
            special.prop_map(Some),
            any::<f64>().prop_map(Some),
            (-500..500i32).prop_map(|n| Some(f64::from(n)))
        ]
    }

    fn times() -> impl Strategy<Value = Option<i64>> {
        let near = (0..500_000i64).prop_map(|s| 1_711_846_000_000_000_000 + s * 1_000_000_000);
        let fine = (0..4_000_000_000_000i64).prop_map(|ns| 1_711_846_000_000_000_000 + ns);
        prop_oneof![Just(None), near.prop_map(Some), fine.prop_map(Some), any::<i64>().prop_map(Some)]
    }

    fn zones() -> impl Strategy<Value = Zone> {
        let names = [
            "UTC",
            "Europe/Berlin",
            "Asia/Kolkata",
            "Australia/Lord_Howe",
            "America/St_Johns",
            "Africa/Monrovia",
            "-7",
            "5.5",
        ];
        prop::sample::select(names.to_vec()).prop_map(|name| Zone::parse(name).unwrap())
    }

    proptest! {
        /// What is written quickly is what is written plainly, however the rows are cut.
        #[test]
        fn quick_is_as_plain(
            rows in prop::collection::vec((integers(), floats(), times(), prop::option::of("[a-zé]{0,40}")), 1..60),
            zone in zones(),
            is_binary in any::<bool>(),
            bytes_max in 1..4_000usize,
        ) {
            let texts: Vec<_> = rows.iter().map(|row| row.3.clone()).collect();
            let columns: [(&str, ArrayRef); 5] = [
                ("i", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0)))),
                ("f", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1)))),
                ("t", Arc::new(TimestampNanosecondArray::from_iter(rows.iter().map(|row| row.2)).with_timezone("UTC"))),
                ("v", Arc::new(StringViewArray::from(texts.clone()))),
                ("s", Arc::new(StringArray::from(texts))),
            ];
            let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
            let formats = [if is_binary { Format::Binary } else { Format::Text }; 5];
            let encoder = RowEncoder::new(&batch, &formats, &zone).unwrap();
            let (mut plain, mut quick) = (BytesMut::new(), BytesMut::new());
            (0..rows.len()).for_each(|row| encoder.put_row(row, &mut plain));
            let mut next = 0;
            while next < rows.len() {
                let mut piece = BytesMut::new();
                next += encoder.put_rows(next, usize::MAX, bytes_max, &mut piece);
                quick.extend_from_slice(&piece);
            }
            prop_assert_eq!(quick, plain);
        }
    }
}
