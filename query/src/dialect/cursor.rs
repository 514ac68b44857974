//! A place among the tokens of a statement, and what may be taken there.

use super::SyntaxError;
use super::lexer::{Token, TokenKind, tokens};

/// Where parsing is.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
}

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

impl<'a> Cursor<'a> {
    /// # Errors
    /// For quotes and comments that are not closed.
    pub(super) fn new(text: &'a str) -> Result<Cursor<'a>> {
        Ok(Cursor { text, tokens: tokens(text)?, at: 0 })
    }

    /// The token `ahead` of the next one; the end stays the end.
    pub(super) fn peek_at(&self, ahead: usize) -> &Token {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + ahead).min(last)]
    }

    pub(super) fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    pub(super) fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// Takes a word if it comes next.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let is_next = self.is_word(word);
        if is_next {
            self.advance();
        }
        is_next
    }

    /// Takes some words if all of them come next.
    pub(super) fn eat_all(&mut self, words: &[&str]) -> bool {
        let are_next = words.iter().enumerate().all(|(ahead, word)| self.is_word_at(ahead, word));
        if are_next {
            self.at += words.len();
        }
        are_next
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.is_word_at(0, word)
    }

    pub(super) fn is_word_at(&self, ahead: usize, word: &str) -> bool {
        matches!(&self.peek_at(ahead).kind, TokenKind::Word(found) if found == word)
    }

    pub(super) fn is_sign_at(&self, ahead: usize, sign: char) -> bool {
        self.peek_at(ahead).kind == TokenKind::Sign(sign)
    }

    pub(super) fn is_sign(&self, sign: char) -> bool {
        self.is_sign_at(0, sign)
    }

    pub(super) fn eat_sign(&mut self, sign: char) -> bool {
        let is_next = self.is_sign(sign);
        if is_next {
            self.advance();
        }
        is_next
    }

    /// # Errors
    /// When another word or none comes next.
    pub(super) fn expect(&mut self, word: &str) -> Result<()> {
        self.expect_any(&[word]).map(|_| ())
    }

    /// Takes one of some words.
    ///
    /// # Errors
    /// When none of them comes next.
    pub(super) fn expect_any<'w>(&mut self, words: &[&'w str]) -> Result<&'w str> {
        match words.iter().find(|word| self.is_word(word)) {
            Some(word) => {
                self.advance();
                Ok(word)
            }
            None => Err(self.unexpected(&listed(words.iter().map(|word| word.to_uppercase())), words)),
        }
    }

    /// # Errors
    /// When it does not come next.
    pub(super) fn expect_sign(&mut self, sign: char) -> Result<()> {
        match self.eat_sign(sign) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("\"{sign}\""), &[])),
        }
    }

    /// Takes a name, bare or in double quotes; any word can be one.
    ///
    /// # Errors
    /// When something else comes next, or the name has a schema.
    pub(super) fn name(&mut self, what: &str) -> Result<String> {
        let (TokenKind::Word(name) | TokenKind::Name(name)) = &self.peek().kind else {
            return Err(self.unexpected(what, &[]));
        };
        let name = name.clone();
        if name.is_empty() {
            return Err(self.error("a name cannot be empty", None));
        }
        if self.peek_at(1).kind == TokenKind::Sign('.') {
            self.advance();
            return Err(self.unexpected_with("Names of definitions have no schema: write the last part alone."));
        }
        self.advance();
        Ok(name)
    }

    /// Takes a text in quotes.
    ///
    /// # Errors
    /// When something else comes next.
    pub(super) fn quoted_text(&mut self, what: &str) -> Result<String> {
        match &self.peek().kind {
            TokenKind::Text(text) => {
                let text = text.clone();
                self.advance();
                Ok(text)
            }
            _ => Err(self.unexpected(what, &[])),
        }
    }

    /// Takes a list of things between parentheses.
    ///
    /// # Errors
    /// Those of `thing`, and when the list does not go on or end.
    pub(super) fn list<T>(&mut self, mut thing: impl FnMut(&mut Cursor<'a>) -> Result<T>) -> Result<Vec<T>> {
        self.expect_sign('(')?;
        let mut all = vec![thing(self)?];
        loop {
            if self.eat_sign(',') {
                all.push(thing(self)?);
            } else if self.eat_sign(')') {
                return Ok(all);
            } else {
                return Err(self.unexpected("\",\" or \")\"", &[]));
            }
        }
    }

    /// # Errors
    /// When the statement goes on.
    pub(super) fn expect_end(&mut self, also: &[&str]) -> Result<()> {
        match self.peek().kind {
            TokenKind::End => Ok(()),
            _ if also.is_empty() => Err(self.unexpected("the end of the statement", &[])),
            _ => {
                let words =
                    listed(also.iter().map(|word| word.to_uppercase()).chain(["the end of the statement".into()]));
                Err(self.unexpected(&words, also))
            }
        }
    }

    /// The text from a token to the end of another.
    pub(super) fn between(&self, from: &Token, to: &Token) -> &'a str {
        &self.text[from.start..to.end]
    }

    /// Characters before a token.
    pub(super) fn offset_of(&self, token: &Token) -> usize {
        self.text[..token.start].chars().count()
    }

    /// The error for a token that no rule takes. `words` are those that could have stood here.
    pub(super) fn unexpected(&self, expected: &str, words: &[&str]) -> SyntaxError {
        let near = match &self.peek().kind {
            TokenKind::Word(found) => crate::functions::most_similar(found, words.iter().copied()),
            _ => None,
        };
        match near {
            Some(word) => self.unexpected_with(&format!("Expected {expected}: did you mean {}?", word.to_uppercase())),
            None => self.unexpected_with(&format!("Expected {expected}.")),
        }
    }

    fn unexpected_with(&self, hint: &str) -> SyntaxError {
        let token = self.peek();
        let message = match token.kind {
            TokenKind::End => "syntax error at end of input".to_owned(),
            _ => format!("syntax error at or near \"{}\"", &self.text[token.start..token.end]),
        };
        SyntaxError { message, offset: self.offset_of(token), hint: Some(hint.to_owned()) }
    }

    /// An error at the next token.
    pub(super) fn error(&self, message: &str, hint: Option<String>) -> SyntaxError {
        self.error_at(self.peek(), message, hint)
    }

    pub(super) fn error_at(&self, token: &Token, message: &str, hint: Option<String>) -> SyntaxError {
        SyntaxError { message: message.to_owned(), offset: self.offset_of(token), hint }
    }
}

/// `A, B or C`.
pub(super) fn listed(things: impl Iterator<Item = String>) -> String {
    let mut things: Vec<String> = things.collect();
    match (things.pop(), things.is_empty()) {
        (Some(last), true) => last,
        (Some(last), false) => format!("{} or {last}", things.join(", ")),
        (None, _) => String::new(),
    }
}
