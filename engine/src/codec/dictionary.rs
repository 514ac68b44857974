//! Dictionary: each distinct text once, in order of first appearance, and for every value which one it is.

use std::collections::HashMap;

use super::Malformed;
use super::integer::{self, Simple};
use super::text::{Lengths, Texts, put_bytes, take_bytes};
use crate::bytes::{Cursor, put_varint, varint_size};

#[derive(Debug)]
pub(super) struct Dictionary<'a> {
    entries: Vec<&'a str>,
    codes: Vec<i64>,
    plan: Simple,
    /// Bytes of the entries, and before them how they are stored.
    bytes: Vec<u8>,
}

impl<'a> Dictionary<'a> {
    /// The dictionary of these texts; `None` where it would hold nearly all of them.
    pub(super) fn of(texts: &'a Texts, zstd_level: i32) -> Option<Dictionary<'a>> {
        let mut entries = Vec::new();
        let mut code_of = HashMap::new();
        let codes: Vec<i64> = texts
            .iter()
            .map(|text| {
                *code_of.entry(text).or_insert_with(|| {
                    entries.push(text);
                    entries.len() as i64 - 1
                })
            })
            .collect();
        if entries.len() * 4 > texts.len() * 3 {
            return None;
        }
        let plan = Simple::of(&codes);
        let mut bytes = Vec::new();
        put_bytes(&entries.concat(), zstd_level, &mut bytes);
        Some(Dictionary { entries, codes, plan, bytes })
    }

    pub(super) fn size(&self) -> usize {
        let lengths = Lengths::of(self.entries.iter().copied());
        varint_size(self.entries.len() as u64) + lengths.size() + self.bytes.len() + self.plan.size()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.entries.len() as u64);
        Lengths::of(self.entries.iter().copied()).put(out);
        out.extend_from_slice(&self.bytes);
        self.plan.put(&self.codes, out);
    }
}

pub(super) fn take(cursor: &mut Cursor<'_>, count: usize) -> Result<Texts, Malformed> {
    let entries = cursor.varint_max(count)?;
    let lengths = Lengths::take(cursor, entries)?;
    let entries = Texts::split(take_bytes(cursor, lengths.total())?, &lengths.0)?;
    let mut codes = vec![0; count];
    integer::take_simple(cursor, &mut codes)?;
    entries.pick(&codes)
}
