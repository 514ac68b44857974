//! A place in a body of line protocol: tokens, strings, and the way past a refused line.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2};

/// Bytes that a look-ahead for a closing quote may waste per body besides the body's own length.
const WASTED_BYTES_FREE: usize = 1 << 20;

const NAME_END: u8 = 1;
const KEY_END: u8 = 2;
const BACKSLASH: u8 = 4;

/// What a byte means to an unquoted token.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    class[b',' as usize] = NAME_END | KEY_END;
    class[b' ' as usize] = NAME_END | KEY_END;
    class[b'\n' as usize] = NAME_END | KEY_END;
    class[b'=' as usize] = KEY_END;
    class[b'\\' as usize] = BACKSLASH;
    class
};

/// Why and where a line is refused, and from where its end is to be sought.
#[derive(Debug)]
pub(super) struct Fail {
    /// Offset in the body of what is wrong.
    pub(super) at: usize,
    pub(super) reason: Cow<'static, str>,
    pub(super) skip: Skip,
}

/// How to find the end of a refused line, from an offset on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Skip {
    /// Inside the table's name or the tags, where quotes are ordinary characters.
    Tags(usize),
    /// Inside the fields or behind them, where strings may hold line ends.
    Fields(usize),
    /// The next line end, whatever comes before it.
    Line(usize),
}

/// What an unquoted token is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Token {
    /// Ends at a comma or space; both can be escaped.
    Table,
    /// Tag name, tag value, field name: ends at an equals sign, too.
    Key,
}

/// A string that opens a line's string value.
#[derive(Debug)]
pub(super) enum Quoted {
    /// Its closing quote is at `close`, and what follows may follow; `escaped` says whether it holds a backslash.
    Closed { close: usize, escaped: bool },
    /// Its closing quote is on its own line, but something stands right behind it, at this offset.
    Trailed(usize),
    /// It has no closing quote, or one lines later that belongs to something else.
    Unbalanced(Skip),
}

/// A place in a body.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub(super) body: &'a [u8],
    /// The same bytes, if all of them are UTF-8; else each token is checked for itself.
    text: Option<&'a str>,
    pub(super) at: usize,
    /// Bytes looked at for closing quotes and given back, and how many may be, so that work stays linear.
    wasted: usize,
    wasted_max: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(body: &'a [u8]) -> Cursor<'a> {
        let wasted_max = body.len().saturating_add(WASTED_BYTES_FREE);
        Cursor { body, text: std::str::from_utf8(body).ok(), at: 0, wasted: 0, wasted_max }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    /// True at a line end: LF, CRLF or the end of the body.
    #[inline]
    pub(super) fn at_line_end(&self) -> bool {
        match self.peek() {
            None | Some(b'\n') => true,
            Some(b'\r') => matches!(self.body.get(self.at + 1), None | Some(b'\n')),
            Some(_) => false,
        }
    }

    /// Steps over spaces and tabs.
    #[inline]
    pub(super) fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Steps over LF, CRLF or nothing.
    pub(super) fn pass_line_end(&mut self) {
        if self.peek() == Some(b'\r') {
            self.at += 1;
        }
        if self.peek() == Some(b'\n') {
            self.at += 1;
        }
    }

    /// Steps over blank lines and comments; false at the end of the body.
    pub(super) fn skip_blank(&mut self) -> bool {
        loop {
            match self.peek() {
                None => return false,
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(b'#') => self.at = self.line_end(self.at),
                Some(_) => return true,
            }
        }
    }

    /// Line ends between an offset and here.
    pub(super) fn line_ends(&self, start: usize) -> usize {
        memchr_iter(b'\n', &self.body[start..self.at]).count()
    }

    /// Takes an unquoted token; what ends it is left in place.
    #[inline]
    pub(super) fn token(&mut self, token: Token) -> Result<Cow<'a, str>, (usize, &'static str)> {
        let stop = match token {
            Token::Table => NAME_END,
            Token::Key => KEY_END,
        };
        let (start, mut escaped) = (self.at, false);
        let mut at = start;
        while let Some(&byte) = self.body.get(at) {
            let class = CLASS[usize::from(byte)];
            if class & (stop | BACKSLASH) != 0 {
                if class & stop != 0 {
                    break;
                }
                if self.body.get(at + 1).is_some_and(|&next| can_be_escaped(next, stop)) {
                    escaped = true;
                    at += 1;
                }
            }
            at += 1;
        }
        self.at = at;
        let token = self.text(start, at)?;
        Ok(if escaped { Cow::Owned(unescape(token, |next| can_be_escaped(next, stop))) } else { Cow::Borrowed(token) })
    }

    /// Takes bytes up to a comma, space or line end: an unquoted value.
    #[inline]
    pub(super) fn scalar(&mut self) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(|byte| !matches!(byte, b',' | b' ' | b'\n' | b'\r')) {
            self.at += 1;
        }
        &self.body[start..self.at]
    }

    /// The characters of a string without its quotes.
    pub(super) fn string(
        &self,
        start: usize,
        close: usize,
        escaped: bool,
    ) -> Result<Cow<'a, str>, (usize, &'static str)> {
        let text = self.text(start, close)?;
        Ok(if escaped { Cow::Owned(unescape(text, |next| matches!(next, b'"' | b'\\'))) } else { Cow::Borrowed(text) })
    }

    /// Looks at the string whose opening quote is at `open`, without taking it.
    pub(super) fn quoted(&mut self, open: usize) -> Quoted {
        let (close, escaped) = self.closing_quote(open + 1);
        let follows = close.map(|close| self.body.get(close + 1).copied());
        if let (Some(close), Some(None | Some(b',' | b' ' | b'\t' | b'\r' | b'\n'))) = (close, follows) {
            return Quoted::Closed { close, escaped };
        }
        let end = close.map_or(self.body.len(), |close| close + 1);
        let line_end = self.line_end(open);
        if end <= line_end && close.is_some() {
            return Quoted::Trailed(end);
        }
        self.wasted = self.wasted.saturating_add(end - line_end);
        // Past the budget the lines that were looked at are given up together.
        Quoted::Unbalanced(Skip::Line(if self.wasted <= self.wasted_max { line_end } else { end }))
    }

    /// Moves to the end of a refused line, not over it.
    pub(super) fn skip_refused(&mut self, skip: Skip) {
        match skip {
            Skip::Line(from) => self.at = self.line_end(from),
            Skip::Tags(from) => {
                self.at = from;
                while let Some(byte) = self.peek().filter(|&byte| byte != b' ' && byte != b'\n') {
                    let escaped = byte == b'\\' && self.body.get(self.at + 1).is_some_and(|&next| next == b' ');
                    self.at += if escaped { 2 } else { 1 };
                }
                self.skip_fields();
            }
            Skip::Fields(from) => {
                self.at = from;
                self.skip_fields();
            }
        }
    }

    /// Moves to the end of a line from inside its fields, past line ends in strings.
    fn skip_fields(&mut self) {
        while let Some(found) = memchr2(b'"', b'\n', &self.body[self.at..]) {
            self.at += found;
            if self.body[self.at] == b'\n' {
                return;
            }
            let opens = self.at > 0 && self.body[self.at - 1] == b'=';
            match if opens { self.quoted(self.at) } else { Quoted::Trailed(self.at + 1) } {
                Quoted::Closed { close, .. } => self.at = close + 1,
                Quoted::Trailed(after) => self.at = after,
                Quoted::Unbalanced(skip) => return self.skip_refused(skip),
            }
        }
        self.at = self.body.len();
    }

    /// The first unescaped quote from an offset on, and whether backslashes come before it.
    fn closing_quote(&self, start: usize) -> (Option<usize>, bool) {
        let (mut at, mut escaped) = (start, false);
        while let Some(found) = self.body.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            at += found;
            if self.body[at] == b'"' {
                return (Some(at), escaped);
            }
            escaped = true;
            at += if matches!(self.body.get(at + 1), Some(b'"' | b'\\')) { 2 } else { 1 };
        }
        (None, escaped)
    }

    fn line_end(&self, from: usize) -> usize {
        memchr(b'\n', &self.body[from..]).map_or(self.body.len(), |found| from + found)
    }

    #[inline]
    fn text(&self, start: usize, end: usize) -> Result<&'a str, (usize, &'static str)> {
        match self.text.and_then(|text| text.get(start..end)) {
            Some(text) => Ok(text),
            None => std::str::from_utf8(&self.body[start..end]).map_err(|e| (start + e.valid_up_to(), "invalid UTF-8")),
        }
    }
}

fn can_be_escaped(byte: u8, stop: u8) -> bool {
    CLASS[usize::from(byte)] & stop != 0 && byte != b'\n'
}

/// Drops each backslash that stands before a byte that it can escape.
fn unescape(text: &str, escapes: impl Fn(u8) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = memchr(b'\\', rest.as_bytes()) {
        let (before, after) = rest.split_at(found);
        plain.push_str(before);
        let skipped = after.as_bytes().get(1).is_some_and(|&next| escapes(next));
        // What is kept is the escaped ASCII byte, or else the backslash itself.
        let (kept, after) = if skipped { after[1..].split_at(1) } else { after.split_at(1) };
        plain.push_str(kept);
        rest = after;
    }
    plain.push_str(rest);
    plain
}
