//! Texts by number: each distinct value of a tag is held once, all of them one after the other.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Number of a text, counted from zero in order of first appearance.
pub(super) type Code = u32;

/// Distinct texts.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    /// All texts, without gaps.
    texts: String,
    /// Where each text ends.
    ends: Vec<u64>,
    /// The codes, hashed by their texts.
    codes: HashTable<Code>,
    hasher: DefaultHashBuilder,
}

impl Dictionary {
    /// Number of texts.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of a text that is known.
    pub(super) fn code(&self, text: &str) -> Option<Code> {
        self.codes.find(self.hasher.hash_one(text), |code| self.text(*code) == text).copied()
    }

    /// The number of a text, which becomes known.
    pub(super) fn intern(&mut self, text: &str) -> Code {
        let hash = self.hasher.hash_one(text);
        if let Some(code) = self.codes.find(hash, |code| self.text(*code) == text) {
            return *code;
        }
        let code = Code::try_from(self.len()).expect("a tag has fewer than 2^32 values: each one has a series");
        grow(&mut self.ends);
        if self.texts.capacity() - self.texts.len() < text.len() {
            self.texts.reserve_exact((self.texts.len() / 8).max(text.len()));
        }
        self.texts.push_str(text);
        self.ends.push(self.texts.len() as u64);
        let Dictionary { texts, ends, codes, hasher } = self;
        codes.insert_unique(hash, code, |code| hasher.hash_one(text_at(texts, ends, *code)));
        code
    }

    /// The text with a number that this dictionary gave out.
    pub(super) fn text(&self, code: Code) -> &str {
        text_at(&self.texts, &self.ends, code)
    }

    /// All texts, in the order of their numbers.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let text = &self.texts[start..end as usize];
            start = end as usize;
            text
        })
    }

    /// Memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.texts.capacity() + self.ends.capacity() * size_of::<u64>() + self.codes.allocation_size()
    }
}

fn text_at<'a>(texts: &'a str, ends: &[u64], code: Code) -> &'a str {
    let code = code as usize;
    let start = if code == 0 { 0 } else { ends[code - 1] };
    &texts[start as usize..ends[code] as usize]
}

/// Makes room for one more, in steps of an eighth: what is kept for ever should not be half empty.
pub(super) fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 8).max(4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_numbers() {
        let mut dictionary = Dictionary::default();
        let name = |n: u32| format!("host_{n}");
        for n in 0..10_000 {
            assert_eq!(dictionary.intern(&name(n)), n);
        }
        for n in 0..10_000 {
            assert_eq!(dictionary.intern(&name(n)), n);
            assert_eq!(dictionary.code(&name(n)), Some(n));
            assert_eq!(dictionary.text(n), name(n));
        }
        assert_eq!(dictionary.code(""), None);
        assert_eq!(dictionary.intern(""), 10_000);
        assert_eq!(dictionary.text(10_000), "");
        assert!(dictionary.texts().take(10_000).enumerate().all(|(n, text)| text == name(n as u32)));
    }
}
