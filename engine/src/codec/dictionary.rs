//! Dictionary: each distinct text once, in order of first appearance, and a packed code per value.

use std::collections::HashMap;

use super::Malformed;
use super::bits;
use super::text::{Lengths, Texts, utf8};
use crate::bytes::{Cursor, put_varint, varint_size};

#[derive(Debug)]
pub(super) struct Dictionary<'a> {
    entries: Vec<&'a str>,
    codes: Vec<u32>,
}

impl<'a> Dictionary<'a> {
    pub(super) fn of(texts: &'a Texts) -> Dictionary<'a> {
        let mut entries = Vec::new();
        let mut code_of = HashMap::new();
        let codes = texts.iter().map(|text| {
            *code_of.entry(text).or_insert_with(|| {
                entries.push(text);
                entries.len() as u32 - 1
            })
        });
        let codes = codes.collect();
        Dictionary { entries, codes }
    }

    /// The one text that all of them are.
    pub(super) fn only(&self) -> Option<&'a str> {
        match self.entries[..] {
            [text] => Some(text),
            _ => None,
        }
    }

    pub(super) fn size(&self) -> usize {
        let lengths = Lengths::of(self.entries.iter().copied());
        let codes = bits::packed_size(self.codes.len(), code_width(self.entries.len()));
        varint_size(self.entries.len() as u64) + lengths.size() + lengths.total() + codes
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.entries.len() as u64);
        Lengths::of(self.entries.iter().copied()).put(out);
        self.entries.iter().for_each(|e| out.extend_from_slice(e.as_bytes()));
        bits::pack(self.codes.iter().map(|&c| u64::from(c)), code_width(self.entries.len()), out);
    }

    pub(super) fn take(cursor: &mut Cursor<'_>, count: usize) -> Result<Texts, Malformed> {
        let entries = cursor.varint_max(count)?;
        let lengths = Lengths::take(cursor, entries)?;
        let entries = Texts::split(utf8(cursor.take(lengths.total())?)?, &lengths.0)?;
        let width = code_width(entries.len());
        let mut codes = Vec::with_capacity(count);
        bits::unpack(cursor.take(bits::packed_size(count, width))?, width, count, &mut codes, |c| c as u32)?;
        entries.pick(&codes)
    }
}

fn code_width(entries: usize) -> u32 {
    bits::width_of(entries.saturating_sub(1) as u64)
}
