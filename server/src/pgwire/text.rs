//! Text forms of values, as PostgreSQL 15 prints them.

pub(crate) mod float;
pub(crate) mod time;

use std::fmt::{Display, Write as _};

use bytes::{BufMut, BytesMut};

/// Appends a value whose Rust form is PostgreSQL's: whole numbers, text.
pub(crate) fn put_display(value: impl Display, out: &mut BytesMut) {
    let _ = write!(out, "{value}");
}

/// Appends bytes in the `hex` form.
pub(crate) fn put_bytea(value: &[u8], out: &mut BytesMut) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(2 + 2 * value.len());
    out.put_slice(b"\\x");
    for byte in value {
        out.put_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Appends one element of an array, quoted where a reader would take it for something else.
pub(crate) fn put_array_element(element: &[u8], out: &mut BytesMut) {
    let special = |byte: &u8| matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\' | b' ' | b'\t'..=b'\r');
    if !element.is_empty() && !element.iter().any(special) && !element.eq_ignore_ascii_case(b"null") {
        return out.put_slice(element);
    }
    out.put_u8(b'"');
    for byte in element {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_hexadecimal() {
        let mut out = BytesMut::new();
        put_bytea(&[0xde, 0xad, 0x00], &mut out);
        assert_eq!(&out[..], b"\\xdead00");
    }

    #[test]
    fn array_elements_are_quoted_where_needed() {
        for (element, shown) in [
            ("a", "a"),
            ("", r#""""#),
            ("b c", r#""b c""#),
            (r#"d"e"#, r#""d\"e""#),
            (r"f\g", r#""f\\g""#),
            ("NULL", r#""NULL""#),
            ("null", r#""null""#),
            ("h,i", r#""h,i""#),
            ("2024-01-01 00:00:00+00", r#""2024-01-01 00:00:00+00""#),
        ] {
            let mut out = BytesMut::new();
            put_array_element(element.as_bytes(), &mut out);
            assert_eq!(std::str::from_utf8(&out), Ok(shown));
        }
    }
}
