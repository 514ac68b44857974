//! Arrays within a column: `{a,"b c",NULL}` as text, dimensions and elements in binary.

use std::ops::Range;

use bytes::{BufMut, BytesMut};

use super::{Column, Format, Values};
use crate::pgwire::text;
use crate::pgwire::zone::Zone;

impl Column {
    pub(super) fn put_array_text(&self, rows: Range<usize>, zone: &Zone, out: &mut BytesMut) {
        out.put_u8(b'{');
        for (at, row) in rows.enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            match &self.values {
                _ if self.is_null(row) => out.put_slice(b"NULL"),
                Values::List(lists, elements, _) => elements.put_array_text(lists.range(row), zone, out),
                _ => {
                    let mut element = BytesMut::new();
                    self.put_text(row, zone, &mut element);
                    text::put_array_element(&element, out);
                }
            }
        }
        out.put_u8(b'}');
    }

    pub(super) fn put_array_binary(&self, rows: Range<usize>, element_oid: u32, zone: &Zone, out: &mut BytesMut) {
        let mut dimensions = Vec::new();
        if !rows.is_empty() {
            self.array_dimensions(&rows, &mut dimensions);
        }
        out.put_i32(dimensions.len() as i32);
        out.put_i32(i32::from(self.has_null(&rows)));
        out.put_u32(element_oid);
        for length in dimensions {
            out.put_i32(length);
            out.put_i32(1);
        }
        self.put_elements_binary(rows, zone, out);
    }

    /// Lengths along each dimension, outermost first, as those of the first element: PostgreSQL's arrays are rectangular.
    fn array_dimensions(&self, rows: &Range<usize>, dimensions: &mut Vec<i32>) {
        dimensions.push(rows.len() as i32);
        if let (Values::List(lists, elements, _), false) = (&self.values, rows.is_empty()) {
            elements.array_dimensions(&lists.range(rows.start), dimensions);
        }
    }

    fn has_null(&self, rows: &Range<usize>) -> bool {
        rows.clone().any(|row| match &self.values {
            _ if self.is_null(row) => true,
            Values::List(lists, elements, _) => elements.has_null(&lists.range(row)),
            _ => false,
        })
    }

    fn put_elements_binary(&self, rows: Range<usize>, zone: &Zone, out: &mut BytesMut) {
        for row in rows {
            match &self.values {
                Values::List(lists, elements, _) if !self.is_null(row) => {
                    elements.put_elements_binary(lists.range(row), zone, out);
                }
                _ => self.put_field(row, Format::Binary, zone, out),
            }
        }
    }
}
