//! Values as text: PostgreSQL's output formats, and the input side for types that need no catalogue.

use super::{
    datum::{Array, Datum},
    decimal::Decimal,
    error::{CatalogError, Result},
    types::{self, Class, oid},
};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta};
use std::sync::Arc;

impl Datum {
    /// The value in PostgreSQL's text format as a value of type `type_oid`; `None` for NULL.
    #[must_use]
    pub fn text(&self, type_oid: u32) -> Option<String> {
        Some(match self {
            Datum::Null => return None,
            Datum::Bool(value) => if *value { "t" } else { "f" }.to_owned(),
            Datum::Int(value) => value.to_string(),
            Datum::Float(value) if type_oid == oid::FLOAT4 => float_text(*value, *value as f32, 6),
            Datum::Float(value) => float_text(*value, *value, 15),
            Datum::Numeric(value) => value.to_string(),
            Datum::Text(text) | Datum::Reg(_, text) => text.to_string(),
            Datum::Char(0) => String::new(),
            Datum::Char(byte) => char::from(*byte).to_string(),
            Datum::Time(micros, offset_s) => time_text(*micros, *offset_s, type_oid),
            Datum::Bytes(bytes) => bytes.iter().fold("\\x".to_owned(), |text, b| text + &format!("{b:02x}")),
            Datum::Array(array) if matches!(type_oid, oid::INT2VECTOR | oid::OIDVECTOR) => vector_text(array),
            Datum::Array(array) => array_text(array),
            Datum::Record(fields) => record_text(fields),
        })
    }

    /// Reads a value of type `type_oid` from PostgreSQL's text format. A `reg*` value stays text: what it names is
    /// looked up when the statement runs.
    ///
    /// # Errors
    /// 22P02 and its kin when the text is not of the type.
    pub fn from_text(type_oid: u32, text: &str) -> Result<Datum> {
        let invalid = || CatalogError::invalid_text(&types::sql_name(type_oid), text);
        Ok(match types::class(type_oid) {
            Class::Bool => Datum::Bool(parse_bool(text).ok_or_else(invalid)?),
            Class::Int => parse_int(type_oid, text)?,
            Class::Reg => Datum::text_of(text),
            Class::Float => Datum::Float(parse_float(text.trim()).ok_or_else(invalid)?),
            Class::Numeric => Datum::Numeric(text.trim().parse::<Decimal>().map_err(|()| invalid())?),
            Class::Char => Datum::Char(text.bytes().next().unwrap_or(0)),
            Class::Time => parse_time(type_oid, text)?,
            Class::Bytes => Datum::Bytes(parse_bytes(text).ok_or_else(invalid)?.into()),
            Class::Array(element) => parse_array(type_oid, element, text)?,
            Class::Record => return Err(CatalogError::unsupported("reading a record from text")),
            Class::Text | Class::Unknown if type_oid == oid::NAME => Datum::text_of(truncated_name(text)),
            Class::Text | Class::Unknown => Datum::text_of(text),
        })
    }
}

/// A name keeps at most 63 bytes, cut between characters.
pub(crate) fn truncated_name(text: &str) -> &str {
    &text[..text.floor_char_boundary(63)]
}

/// Shortest digits that read back the same; scientific from 1e15 (float8) or 1e6 (float4) and below 1e-4.
fn float_text<F: std::fmt::LowerExp>(value: f64, shortest: F, positional_digits: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{shortest:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..positional_digits).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let digits = digits.replace('.', "");
    let point = exponent + 1;
    if point <= 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize));
    }
    let point = point as usize;
    if digits.len() <= point {
        return format!("{sign}{digits:0<point$}");
    }
    format!("{sign}{}.{}", &digits[..point], &digits[point..])
}

fn time_text(micros: i64, offset_s: i32, type_oid: u32) -> String {
    let shown = if type_oid == oid::TIMESTAMPTZ { offset_s } else { 0 };
    let Some(at) = DateTime::from_timestamp_micros(micros)
        .and_then(|at| at.naive_utc().checked_add_signed(TimeDelta::seconds(shown.into())))
    else {
        return if micros > 0 { "infinity" } else { "-infinity" }.to_owned();
    };
    if type_oid == oid::DATE {
        return at.format("%Y-%m-%d").to_string();
    }
    let mut text = at.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    if type_oid == oid::TIMESTAMPTZ { text + &offset_text(offset_s) } else { text }
}

fn offset_text(offset_s: i32) -> String {
    let sign = if offset_s < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset_s.abs() / 3600, offset_s.abs() / 60 % 60);
    if minutes == 0 { format!("{sign}{hours:02}") } else { format!("{sign}{hours:02}:{minutes:02}") }
}

fn vector_text(array: &Array) -> String {
    array.items.iter().filter_map(|item| item.text(array.element)).collect::<Vec<_>>().join(" ")
}

pub(crate) fn array_text(array: &Array) -> String {
    let items: Vec<String> = array
        .items
        .iter()
        .map(|item| match (item, item.text(array.element)) {
            (_, None) => "NULL".to_owned(),
            (Datum::Array(_), Some(text)) => text,
            (_, Some(text)) if array_item_needs_quotes(&text) => quote_with_backslash(&text),
            (_, Some(text)) => text,
        })
        .collect();
    let bounds = match array.lower {
        1 => String::new(),
        _ if items.is_empty() => String::new(),
        lower => format!("[{lower}:{}]=", i64::from(lower) + items.len() as i64 - 1),
    };
    format!("{bounds}{{{}}}", items.join(","))
}

fn array_item_needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text.eq_ignore_ascii_case("null")
        || text.contains(|c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace())
}

fn quote_with_backslash(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn record_text(fields: &[Datum]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|field| {
            let text = field.text(natural_type(field)).unwrap_or_default();
            let special = |c: char| matches!(c, '(' | ')' | ',' | '"' | '\\') || c.is_ascii_whitespace();
            if !field.is_null() && (text.is_empty() || text.contains(special)) {
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""))
            } else {
                text
            }
        })
        .collect();
    format!("({})", fields.join(","))
}

/// The type a value is shown as when nothing better is known.
fn natural_type(value: &Datum) -> u32 {
    match value {
        Datum::Time(..) => oid::TIMESTAMPTZ,
        Datum::Float(_) => oid::FLOAT8,
        _ => oid::TEXT,
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    let begins = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    match text.as_str() {
        "1" => Some(true),
        "0" => Some(false),
        _ if begins("true", 1) || begins("yes", 1) || text == "on" => Some(true),
        _ if begins("false", 1) || begins("no", 1) || begins("off", 2) => Some(false),
        _ => None,
    }
}

fn parse_int(type_oid: u32, text: &str) -> Result<Datum> {
    let name = types::sql_name(type_oid);
    let digits = text.trim();
    let value: i64 = digits.parse().map_err(|_| {
        let number = digits.strip_prefix(['-', '+']).unwrap_or(digits);
        if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
            CatalogError::new("22003", format!("value \"{text}\" is out of range for type {name}"))
        } else {
            CatalogError::invalid_text(&name, text)
        }
    })?;
    // An oid may be written as the negative number with the same bits.
    let value =
        if type_oid == oid::OID && (i64::from(i32::MIN)..0).contains(&value) { value + (1 << 32) } else { value };
    if !int_range(type_oid).contains(&value) {
        return Err(CatalogError::new("22003", format!("value \"{text}\" is out of range for type {name}")));
    }
    Ok(Datum::Int(value))
}

/// The values that an integer type can hold.
pub(crate) fn int_range(type_oid: u32) -> std::ops::RangeInclusive<i64> {
    match type_oid {
        oid::INT2 => i64::from(i16::MIN)..=i64::from(i16::MAX),
        oid::INT4 => i64::from(i32::MIN)..=i64::from(i32::MAX),
        oid::INT8 => i64::MIN..=i64::MAX,
        _ => 0..=i64::from(u32::MAX),
    }
}

fn parse_float(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "infinity" | "inf" | "+infinity" | "+inf" => Some(f64::INFINITY),
        "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
        _ if plain => text.parse().ok(),
        _ => None,
    }
}

fn parse_time(type_oid: u32, text: &str) -> Result<Datum> {
    let text = text.trim();
    let zoned = ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z"];
    if let Some(at) = zoned.iter().find_map(|format| DateTime::parse_from_str(text, format).ok()) {
        return Ok(Datum::Time(at.timestamp_micros(), 0));
    }
    let plain = text.trim_end_matches(['Z', 'z']);
    let local = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let at = local.iter().find_map(|format| NaiveDateTime::parse_from_str(plain, format).ok());
    let day = || NaiveDate::parse_from_str(plain, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    at.or_else(day).map(|at| Datum::Time(at.and_utc().timestamp_micros(), 0)).ok_or_else(|| {
        CatalogError::new("22007", format!("invalid input syntax for type {}: \"{text}\"", types::sql_name(type_oid)))
    })
}

fn parse_bytes(text: &str) -> Option<Vec<u8>> {
    let Some(hex) = text.strip_prefix("\\x") else { return Some(text.as_bytes().to_vec()) };
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn parse_array(type_oid: u32, element: u32, text: &str) -> Result<Datum> {
    if matches!(type_oid, oid::INT2VECTOR | oid::OIDVECTOR) {
        let items = text.split_ascii_whitespace().map(|item| Datum::from_text(element, item)).collect::<Result<_>>()?;
        return Ok(Datum::Array(Arc::new(Array { element, lower: 0, items })));
    }
    let items = plimsoll_query::array_items(text)
        .ok_or_else(|| CatalogError::new("22P02", format!("malformed array literal: \"{text}\"")))?
        .into_iter()
        .map(|item| item.map_or(Ok(Datum::Null), |item| Datum::from_text(element, &item)))
        .collect::<Result<_>>()?;
    Ok(Datum::array(element, items))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_as_postgres_writes_them() {
        for (value, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (1e-5, "1e-05"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
            (-0.0, "-0"),
            (1234.5, "1234.5"),
        ] {
            assert_eq!(Datum::Float(value).text(oid::FLOAT8).unwrap(), text);
        }
        assert_eq!(Datum::Float(-1.0).text(oid::FLOAT4).unwrap(), "-1");
    }

    #[test]
    fn arrays_quote_what_needs_it_and_read_back() {
        let items = ["a", "b c", "d\"e", "NULL", ""].map(Datum::from).to_vec();
        let array = Datum::array(oid::TEXT, [items, vec![Datum::Null]].concat());
        let text = array.text(oid::TEXT_ARRAY).unwrap();
        assert_eq!(text, r#"{a,"b c","d\"e","NULL","",NULL}"#);
        assert_eq!(Datum::from_text(oid::TEXT_ARRAY, &text).unwrap(), array);
        for bad in ["", "{", "{a,}", "{a}b", "{{a}}", "{\"a}"] {
            assert_eq!(Datum::from_text(oid::TEXT_ARRAY, bad).unwrap_err().sqlstate, "22P02", "{bad}");
        }
    }

    #[test]
    fn times_show_their_zone() {
        let at = Datum::from_text(oid::TIMESTAMPTZ, "2024-01-01T00:00:00.1Z").unwrap();
        assert_eq!(at.text(oid::TIMESTAMPTZ).unwrap(), "2024-01-01 00:00:00.1+00");
        let Datum::Time(micros, _) = at else { panic!("a time") };
        assert_eq!(Datum::Time(micros, 19_800).text(oid::TIMESTAMPTZ).unwrap(), "2024-01-01 05:30:00.1+05:30");
        assert_eq!(Datum::Time(micros, 0).text(oid::DATE).unwrap(), "2024-01-01");
    }

    #[test]
    fn an_oid_is_refused_when_it_does_not_fit() {
        assert_eq!(Datum::from_text(oid::OID, "4294967296").unwrap_err().sqlstate, "22003");
        assert_eq!(
            Datum::from_text(oid::INT4, "x").unwrap_err().message,
            "invalid input syntax for type integer: \"x\""
        );
    }
}
