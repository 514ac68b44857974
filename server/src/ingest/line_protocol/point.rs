//! The grammar of one point, over a [`Cursor`].

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use plimsoll_engine::{Point, Value};

use super::Precision;
use super::cursor::{Cursor, Fail, Quoted, Skip, Token};
use super::value::{self, BadTime, Invalid};

/// Most tags and fields of one point. Bounds the memory of a line, which may be as long as a body.
pub(super) const COLUMNS_MAX: usize = 10_000;

/// Names up to which repetition is found without hashing.
const FEW_NAMES: usize = 32;

impl<'a> Cursor<'a> {
    /// Parses the point that begins here into an empty one that holds its default time. Ends at the line's end.
    pub(super) fn point(&mut self, point: &mut Point<'a>, precision: Precision) -> Result<(), Fail> {
        point.table = self.table()?;
        self.tags(&mut point.tags)?;
        self.skip_spaces();
        self.fields(&mut point.fields, COLUMNS_MAX.saturating_sub(point.tags.len()))?;
        if let Some(time_ns) = self.timestamp(precision)? {
            point.time_ns = time_ns;
        }
        Ok(())
    }

    fn table(&mut self) -> Result<Cow<'a, str>, Fail> {
        let start = self.at;
        let table = self.token(Token::Table).map_err(|(at, reason)| in_tags(at, start, reason))?;
        if table.is_empty() {
            return Err(self.in_tags_here("missing measurement"));
        }
        match self.peek() {
            Some(b',' | b' ') => Ok(table),
            _ => Err(self.in_tags_here("missing fields")),
        }
    }

    fn tags(&mut self, tags: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Result<(), Fail> {
        let mut names = Names::default();
        while self.peek() == Some(b',') {
            self.at += 1;
            let start = self.at;
            if tags.len() == COLUMNS_MAX {
                return Err(in_tags(start, start, too_many()));
            }
            let name = self.tag_name()?;
            let value = self.tag_value()?;
            if names.holds(&name, tags) {
                return Err(in_tags(start, self.at, format!("duplicate tags: \"{name}\" is given twice")));
            }
            tags.push((name, value));
        }
        Ok(())
    }

    fn tag_name(&mut self) -> Result<Cow<'a, str>, Fail> {
        let start = self.at;
        let name = self.token(Token::Key).map_err(|(at, reason)| in_tags(at, start, reason))?;
        if name.is_empty() {
            return Err(self.in_tags_here("missing tag key"));
        }
        if self.peek() != Some(b'=') {
            return Err(self.in_tags_here("missing tag value"));
        }
        self.at += 1;
        Ok(name)
    }

    fn tag_value(&mut self) -> Result<Cow<'a, str>, Fail> {
        let start = self.at;
        let value = self.token(Token::Key).map_err(|(at, reason)| in_tags(at, start, reason))?;
        match self.peek() {
            Some(b'=') => Err(self.in_tags_here("invalid tag format")),
            _ if value.is_empty() => Err(self.in_tags_here("missing tag value")),
            Some(b',' | b' ') => Ok(value),
            _ => Err(self.in_tags_here("missing fields")),
        }
    }

    fn fields(&mut self, fields: &mut Vec<(Cow<'a, str>, Value<'a>)>, fields_max: usize) -> Result<(), Fail> {
        if self.at_line_end() {
            return Err(self.in_fields_here("missing fields"));
        }
        let mut names = Names::default();
        loop {
            let start = self.at;
            if fields.len() == fields_max {
                return Err(in_fields(start, start, too_many()));
            }
            let name = self.field_name()?;
            let value = self.field_value()?;
            if names.holds(&name, fields) {
                return Err(in_fields(start, self.at, format!("duplicate fields: \"{name}\" is given twice")));
            }
            fields.push((name, value));
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b' ' | b'\t') => return Ok(()),
                _ if self.at_line_end() => return Ok(()),
                _ => return Err(self.in_fields_here("invalid field format")),
            }
        }
    }

    fn field_name(&mut self) -> Result<Cow<'a, str>, Fail> {
        let start = self.at;
        let name = self.token(Token::Key).map_err(|(at, reason)| in_fields(at, start, reason))?;
        match self.peek() {
            Some(b'=') if name.is_empty() => Err(self.in_fields_here("missing field key")),
            Some(b'=') => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.in_fields_here("invalid field format")),
        }
    }

    fn field_value(&mut self) -> Result<Value<'a>, Fail> {
        let start = self.at;
        if self.peek() == Some(b'"') {
            return self.string_value();
        }
        let scalar = self.scalar();
        if scalar.is_empty() {
            return Err(in_fields(start, start, "missing field value"));
        }
        value::scalar(scalar).map_err(|invalid| in_fields(start, self.at, invalid.reason(scalar)))
    }

    fn string_value(&mut self) -> Result<Value<'a>, Fail> {
        let open = self.at;
        match self.quoted(open) {
            Quoted::Closed { close, escaped } => {
                let text = self.string(open + 1, close, escaped);
                self.at = close + 1;
                text.map(Value::Text).map_err(|(at, reason)| in_fields(at, self.at, reason))
            }
            Quoted::Trailed(at) => Err(in_fields(at, at, "invalid field format")),
            Quoted::Unbalanced(skip) => Err(Fail { at: open, reason: "unbalanced quotes".into(), skip }),
        }
    }

    fn timestamp(&mut self, precision: Precision) -> Result<Option<i64>, Fail> {
        self.skip_spaces();
        if self.at_line_end() {
            return Ok(None);
        }
        let start = self.at;
        let written = self.scalar();
        let time_ns =
            value::timestamp(written, precision).map_err(|bad| in_fields(start, self.at, bad.reason(written)))?;
        self.skip_spaces();
        if self.at_line_end() {
            Ok(Some(time_ns))
        } else {
            Err(self.in_fields_here("point is invalid: text after its timestamp"))
        }
    }

    fn in_tags_here(&self, reason: &'static str) -> Fail {
        in_tags(self.at, self.at, reason)
    }

    fn in_fields_here(&self, reason: &'static str) -> Fail {
        in_fields(self.at, self.at, reason)
    }
}

#[cold]
fn in_tags(at: usize, skip_from: usize, reason: impl Into<Cow<'static, str>>) -> Fail {
    Fail { at, reason: reason.into(), skip: Skip::Tags(skip_from) }
}

#[cold]
fn in_fields(at: usize, skip_from: usize, reason: impl Into<Cow<'static, str>>) -> Fail {
    Fail { at, reason: reason.into(), skip: Skip::Fields(skip_from) }
}

fn too_many() -> String {
    format!("too many tags and fields, limit {COLUMNS_MAX}")
}

/// Names met so far in one section of a point. Few names are told apart by one bit each, many by their hashes; only names
/// that look alike are compared.
#[derive(Default)]
struct Names {
    bits: u64,
    hashes: Option<(RandomState, HashSet<u64>)>,
}

impl Names {
    /// True when `earlier`, all of which went through here, holds the name.
    #[inline]
    fn holds<T>(&mut self, name: &str, earlier: &[(Cow<'_, str>, T)]) -> bool {
        let alike = if earlier.len() < FEW_NAMES { self.same_bit(name) } else { self.same_hash(name, earlier) };
        alike && earlier.iter().any(|(known, _)| known == name)
    }

    #[inline]
    fn same_bit(&mut self, name: &str) -> bool {
        let ends =
            [name.as_bytes().first(), name.as_bytes().last()].map(|byte| byte.map_or(0, |&byte| u64::from(byte)));
        let bit = 1 << ((ends[0] ^ ends[1].wrapping_mul(37) ^ (name.len() as u64).wrapping_mul(11)) % 64);
        let alike = self.bits & bit != 0;
        self.bits |= bit;
        alike
    }

    #[cold]
    fn same_hash<T>(&mut self, name: &str, earlier: &[(Cow<'_, str>, T)]) -> bool {
        let (state, hashes) = self.hashes.get_or_insert_with(|| {
            let state = RandomState::new();
            let hashes = earlier.iter().map(|(known, _)| state.hash_one(known.as_ref())).collect();
            (state, hashes)
        });
        !hashes.insert(state.hash_one(name))
    }
}

impl Invalid {
    /// What a field value's error says, in influxd's words.
    fn reason(self, written: &[u8]) -> String {
        match self {
            Invalid::Number => "invalid number".to_owned(),
            Invalid::Boolean => "invalid boolean".to_owned(),
            Invalid::FloatRange => format!("invalid float: {}: value out of range", cut(written)),
            Invalid::IntegerRange => {
                format!("unable to parse integer {}: value out of range", cut(&written[..written.len() - 1]))
            }
        }
    }
}

impl BadTime {
    /// What a timestamp's error says.
    fn reason(self, written: &[u8]) -> String {
        match self {
            BadTime::Syntax => "bad timestamp".to_owned(),
            BadTime::Range => {
                format!("bad timestamp: {}: time outside range {} - {} ns", cut(written), i64::MIN, i64::MAX)
            }
        }
    }
}

/// The digits that an error quotes: the first forty characters.
fn cut(written: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&written[..written.len().min(40)])
}
