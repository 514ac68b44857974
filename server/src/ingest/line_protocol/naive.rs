//! The plainest parser of line protocol: the grammar in nom, byte by byte, everything copied. The oracle that the real one is
//! tested against.

use std::borrow::Cow;

use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::combinator::verify;
use nom::error::{ErrorKind, ParseError};
use nom::multi::{fold_many0, many0};
use nom::number::complete::u8 as any_byte;
use nom::sequence::{delimited, preceded};
use nom::{Err, IResult, Parser};
use plimsoll_engine::{Point, Value};

use super::point::COLUMNS_MAX;
use super::{LineError, Parsed, Precision, shorten};

/// Gives the same as [`super::parse`], slowly: time may grow with the square of the body.
pub fn parse(body: &[u8], default_time_ns: i64, precision: Precision) -> Parsed<'static> {
    let mut parsed = Parsed::default();
    let mut at = 0;
    while let Some(start) = after_blank(body, at) {
        let line = 1 + line_ends(&body[..start]);
        match point(&body[start..], default_time_ns, precision) {
            Ok((rest, point)) => {
                at = body.len() - rest.len();
                parsed.points.push(point);
                parsed.lines.push(line);
            }
            Err(Err::Failure(refused) | Err::Error(refused)) => {
                at = refused_end(body, body.len() - refused.from.len(), refused.section);
                let column = String::from_utf8_lossy(&body[start..body.len() - refused.at.len()]).chars().count() + 1;
                let text = shorten(&body[start..at]);
                parsed.errors.push(LineError { line, text, column, reason: refused.reason });
            }
            Err(Err::Incomplete(_)) => unreachable!("complete parsers never ask for more"),
        }
    }
    parsed
}

type Parse<'a, T> = IResult<&'a [u8], T, Refused<'a>>;

/// Why a line is refused, what is left of the body where it is wrong, and from where its end is sought.
#[derive(Debug)]
struct Refused<'a> {
    reason: String,
    at: &'a [u8],
    from: &'a [u8],
    section: Section,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Section {
    Tags,
    Fields,
    OpenString,
}

impl<'a> ParseError<&'a [u8]> for Refused<'a> {
    fn from_error_kind(input: &'a [u8], kind: ErrorKind) -> Refused<'a> {
        Refused { reason: format!("{kind:?}"), at: input, from: input, section: Section::Fields }
    }

    fn append(_input: &'a [u8], _kind: ErrorKind, other: Refused<'a>) -> Refused<'a> {
        other
    }
}

fn refuse<'a, T>(at: &'a [u8], from: &'a [u8], section: Section, reason: impl Into<String>) -> Parse<'a, T> {
    Err(Err::Failure(Refused { reason: reason.into(), at, from, section }))
}

fn point(input: &[u8], default_time_ns: i64, precision: Precision) -> Parse<'_, Point<'static>> {
    let (input, table) = table(input)?;
    let (input, tags) = tags(input)?;
    let (input, _) = spaces(input)?;
    let (input, fields) = fields(input, COLUMNS_MAX - tags.len())?;
    let (input, time_ns) = timestamp(input, precision)?;
    Ok((input, Point { table: Cow::Owned(table), tags, fields, time_ns: time_ns.unwrap_or(default_time_ns) }))
}

fn table(input: &[u8]) -> Parse<'_, String> {
    let (rest, table) = name(input, b", ", Section::Tags)?;
    match rest.first() {
        _ if table.is_empty() => refuse(rest, rest, Section::Tags, "missing measurement"),
        Some(b',' | b' ') => Ok((rest, table)),
        _ => refuse(rest, rest, Section::Tags, "missing fields"),
    }
}

type Tag = (Cow<'static, str>, Cow<'static, str>);
type Field = (Cow<'static, str>, Value<'static>);

fn tags(input: &[u8]) -> Parse<'_, Vec<Tag>> {
    let (mut input, mut tags) = (input, Vec::<Tag>::new());
    while let Some(start) = input.strip_prefix(b",") {
        if tags.len() == COLUMNS_MAX {
            return refuse(start, start, Section::Tags, format!("too many tags and fields, limit {COLUMNS_MAX}"));
        }
        let (rest, (name, value)) = tag_pair(start)?;
        if tags.iter().any(|(known, _)| *known == name) {
            return refuse(start, rest, Section::Tags, format!("duplicate tags: \"{name}\" is given twice"));
        }
        tags.push((Cow::Owned(name), Cow::Owned(value)));
        input = rest;
    }
    Ok((input, tags))
}

fn tag_pair(input: &[u8]) -> Parse<'_, (String, String)> {
    let (rest, key) = name(input, b",= ", Section::Tags)?;
    let rest = match rest.strip_prefix(b"=") {
        _ if key.is_empty() => return refuse(rest, rest, Section::Tags, "missing tag key"),
        None => return refuse(rest, rest, Section::Tags, "missing tag value"),
        Some(rest) => rest,
    };
    let (rest, value) = name(rest, b",= ", Section::Tags)?;
    match rest.first() {
        Some(b'=') => refuse(rest, rest, Section::Tags, "invalid tag format"),
        _ if value.is_empty() => refuse(rest, rest, Section::Tags, "missing tag value"),
        Some(b',' | b' ') => Ok((rest, (key, value))),
        _ => refuse(rest, rest, Section::Tags, "missing fields"),
    }
}

fn fields(input: &[u8], fields_max: usize) -> Parse<'_, Vec<Field>> {
    if line_end(input) {
        return refuse(input, input, Section::Fields, "missing fields");
    }
    let (mut input, mut fields) = (input, Vec::<Field>::new());
    loop {
        if fields.len() == fields_max {
            return refuse(input, input, Section::Fields, format!("too many tags and fields, limit {COLUMNS_MAX}"));
        }
        let (rest, (name, value)) = field_pair(input)?;
        if fields.iter().any(|(known, _)| *known == name) {
            return refuse(input, rest, Section::Fields, format!("duplicate fields: \"{name}\" is given twice"));
        }
        fields.push((Cow::Owned(name), value));
        match rest {
            [b',', rest @ ..] => input = rest,
            [b' ' | b'\t', ..] => return Ok((rest, fields)),
            rest if line_end(rest) => return Ok((rest, fields)),
            rest => return refuse(rest, rest, Section::Fields, "invalid field format"),
        }
    }
}

fn field_pair(input: &[u8]) -> Parse<'_, (String, Value<'static>)> {
    let (rest, key) = name(input, b",= ", Section::Fields)?;
    let Some(start) = rest.strip_prefix(b"=") else {
        return refuse(rest, rest, Section::Fields, "invalid field format");
    };
    if key.is_empty() {
        return refuse(rest, rest, Section::Fields, "missing field key");
    }
    if start.starts_with(b"\"") {
        let (rest, text) = string_value(start)?;
        return Ok((rest, (key, Value::Text(Cow::Owned(text)))));
    }
    let (rest, written) = scalar(start)?;
    match value(&written) {
        Ok(value) => Ok((rest, (key, value))),
        Err(reason) => refuse(start, rest, Section::Fields, reason),
    }
}

fn string_value(input: &[u8]) -> Parse<'_, String> {
    let Some((rest, content)) = string(input) else {
        return refuse(input, input, Section::OpenString, "unbalanced quotes");
    };
    let raw = &input[1..input.len() - rest.len() - 1];
    match rest.first() {
        None | Some(b',' | b' ' | b'\t' | b'\r' | b'\n') => match String::from_utf8(content) {
            Ok(text) => Ok((rest, text)),
            Err(_) => refuse(after_valid(input, 1), rest, Section::Fields, "invalid UTF-8"),
        },
        _ if raw.contains(&b'\n') => refuse(input, input, Section::OpenString, "unbalanced quotes"),
        _ => refuse(rest, rest, Section::Fields, "invalid field format"),
    }
}

/// A string from its opening quote on: what is left behind it, and its bytes.
fn string(input: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let escaped = preceded(tag(&b"\\"[..]), verify(any_byte, |byte| matches!(byte, b'"' | b'\\')));
    let ordinary = verify(any_byte, |byte| *byte != b'"');
    let content = fold_many0(alt((escaped, ordinary)), Vec::new, push);
    let parsed: Parse<'_, Vec<u8>> = delimited(tag(&b"\""[..]), content, tag(&b"\""[..])).parse(input);
    parsed.ok()
}

/// A name up to one of the bytes that end it, each of which may be escaped, or a line end, which may not.
fn name<'a>(input: &'a [u8], ends: &'static [u8], section: Section) -> Parse<'a, String> {
    let escaped = preceded(tag(&b"\\"[..]), verify(any_byte, |byte| ends.contains(byte)));
    let ordinary = verify(any_byte, |byte| !ends.contains(byte) && *byte != b'\n');
    let (rest, name) = fold_many0(alt((escaped, ordinary)), Vec::new, push).parse(input)?;
    match String::from_utf8(name) {
        Ok(name) => Ok((rest, name)),
        Err(_) => refuse(after_valid(input, 0), input, section, "invalid UTF-8"),
    }
}

/// The input from the first byte after `skip` on that is not UTF-8.
fn after_valid(input: &[u8], skip: usize) -> &[u8] {
    let valid = match std::str::from_utf8(&input[skip..]) {
        Ok(text) => text.len(),
        Err(error) => error.valid_up_to(),
    };
    &input[skip + valid..]
}

fn scalar(input: &[u8]) -> Parse<'_, Vec<u8>> {
    many0(verify(any_byte, |byte| !matches!(byte, b',' | b' ' | b'\r' | b'\n'))).parse(input)
}

fn value(written: &[u8]) -> Result<Value<'static>, String> {
    let text = String::from_utf8_lossy(written);
    let boolean = match text.as_ref() {
        "" => return Err("missing field value".to_owned()),
        "t" | "T" | "true" | "True" | "TRUE" => return Ok(Value::Boolean(true)),
        "f" | "F" | "false" | "False" | "FALSE" => return Ok(Value::Boolean(false)),
        text => !text.starts_with(|c: char| "0123456789-.+nNiI".contains(c)),
    };
    if boolean {
        return Err("invalid boolean".to_owned());
    }
    let digits = &text[..text.len() - text.chars().next_back().map_or(0, char::len_utf8)];
    let cut: String = digits.chars().take(40).collect();
    let range = format!("unable to parse integer {cut}: value out of range");
    let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if text.ends_with('i') && plain(digits.strip_prefix('-').unwrap_or(digits)) {
        return digits.parse().map(Value::Integer).map_err(|_| range);
    }
    if text.ends_with('u') && plain(digits) {
        return digits.parse().map(Value::Unsigned).map_err(|_| range);
    }
    match text.parse::<f64>() {
        _ if text.starts_with('+') || text.contains(|c: char| c.is_alphabetic() && c != 'e' && c != 'E') => {
            Err("invalid number".to_owned())
        }
        Ok(value) if value.is_finite() => Ok(Value::Float(value)),
        Ok(_) => Err(format!("invalid float: {}: value out of range", text.chars().take(40).collect::<String>())),
        Err(_) => Err("invalid number".to_owned()),
    }
}

fn timestamp(input: &[u8], precision: Precision) -> Parse<'_, Option<i64>> {
    let (start, _) = spaces(input)?;
    if line_end(start) {
        return Ok((start, None));
    }
    let (rest, written) = scalar(start)?;
    let text = String::from_utf8_lossy(&written);
    let digits = text.strip_prefix('-').unwrap_or(&text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse(start, rest, Section::Fields, "bad timestamp");
    }
    let wide = text.parse::<i128>().ok().and_then(|time| time.checked_mul(i128::from(precision.unit_ns(time))));
    let Some(time_ns) = wide.and_then(|wide| i64::try_from(wide).ok()) else {
        let text: String = text.chars().take(40).collect();
        let reason = format!("bad timestamp: {text}: time outside range {} - {} ns", i64::MIN, i64::MAX);
        return refuse(start, rest, Section::Fields, reason);
    };
    let (rest, _) = spaces(rest)?;
    if line_end(rest) {
        return Ok((rest, Some(time_ns)));
    }
    refuse(rest, rest, Section::Fields, "point is invalid: text after its timestamp")
}

fn spaces(input: &[u8]) -> Parse<'_, ()> {
    fold_many0(verify(any_byte, |byte| matches!(byte, b' ' | b'\t')), || (), |(), _| ()).parse(input)
}

fn line_end(input: &[u8]) -> bool {
    let rest = input.strip_prefix(b"\r").unwrap_or(input);
    rest.is_empty() || rest.starts_with(b"\n")
}

/// Where the next line that is neither blank nor a comment begins.
fn after_blank(body: &[u8], at: usize) -> Option<usize> {
    let comment = preceded(tag(&b"#"[..]), fold_many0(verify(any_byte, |byte| *byte != b'\n'), || (), |(), _| ()));
    let blank = verify(any_byte, |byte| byte.is_ascii_whitespace() && *byte != b'\x0c').map(|_| ());
    let parsed: Parse<'_, ()> = fold_many0(alt((blank, comment)), || (), |(), ()| ()).parse(&body[at..]);
    let rest = parsed.map_or(&body[at..], |(rest, ())| rest);
    (!rest.is_empty()).then_some(body.len() - rest.len())
}

/// Where a refused line ends.
fn refused_end(body: &[u8], from: usize, section: Section) -> usize {
    let mut at = from;
    if section == Section::Tags {
        while at < body.len() && !matches!(body[at], b' ' | b'\n') {
            at += if body[at..].starts_with(b"\\ ") { 2 } else { 1 };
        }
    }
    let mut in_open_string = section == Section::OpenString;
    while at < body.len() && body[at] != b'\n' {
        if !in_open_string && body[at] == b'"' && at > 0 && body[at - 1] == b'=' {
            match string_value(&body[at..]) {
                Ok((rest, _)) => at = body.len() - rest.len(),
                Err(Err::Failure(refused)) if refused.section == Section::Fields => {
                    at = body.len() - refused.from.len();
                }
                Err(_) => in_open_string = true,
            }
        } else {
            at += 1;
        }
    }
    at
}

fn line_ends(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

fn push(mut all: Vec<u8>, byte: u8) -> Vec<u8> {
    all.push(byte);
    all
}
