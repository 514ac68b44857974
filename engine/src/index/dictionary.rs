//! Texts by number: each distinct tag value of a table is held once.

use std::collections::HashMap;
use std::sync::Arc;

/// Distinct texts, numbered in order of first appearance.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    texts: Vec<Arc<str>>,
    codes: HashMap<Arc<str>, u32>,
}

impl Dictionary {
    /// The number of a text that is known.
    pub(super) fn code(&self, text: &str) -> Option<u32> {
        self.codes.get(text).copied()
    }

    /// The number of a text, which becomes known.
    pub(super) fn intern(&mut self, text: &str) -> u32 {
        if let Some(code) = self.code(text) {
            return code;
        }
        let code = self.texts.len() as u32;
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.codes.insert(text, code);
        code
    }

    /// The text with a number that this dictionary gave out.
    pub(super) fn text(&self, code: u32) -> &str {
        &self.texts[code as usize]
    }
}
