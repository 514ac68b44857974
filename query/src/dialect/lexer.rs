//! Text into tokens, each with its place: words, names, texts, numbers, signs.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_while, take_while_m_n, take_while1};
use nom::character::complete::{anychar, multispace1, one_of, satisfy};
use nom::combinator::{map_opt, opt, recognize};
use nom::sequence::{pair, preceded};
use nom::{IResult, Parser};

use super::SyntaxError;

/// A token and the bytes that it takes up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// A bare word, in lower case.
    Word(String),
    /// A name in double quotes.
    Name(String),
    /// A text in quotes.
    Text(String),
    /// A number without a sign.
    Number(String),
    /// Any other character.
    Sign(char),
    /// The end of the statement.
    End,
}

/// All tokens of a text; the last one is [`TokenKind::End`].
///
/// # Errors
/// For quotes and comments that are not closed.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = after_blanks(text, rest)?;
        let start = text.len() - rest.len();
        if rest.is_empty() {
            tokens.push(Token { kind: TokenKind::End, start, end: start });
            return Ok(tokens);
        }
        let (after, kind) = token(rest).map_err(|_| unclosed(text, start, rest))?;
        rest = after;
        tokens.push(Token { kind, start, end: text.len() - rest.len() });
    }
}

fn unclosed(text: &str, start: usize, rest: &str) -> SyntaxError {
    let what = match rest.chars().next() {
        Some('"') => "unterminated quoted identifier",
        Some('/') => "unterminated /* comment",
        Some('$') => "unterminated dollar-quoted string",
        _ => "unterminated quoted string",
    };
    let shown: String = rest.chars().take(60).collect();
    let message = format!("{what} at or near \"{shown}\"");
    SyntaxError { message, offset: text[..start].chars().count(), hint: None }
}

/// What follows white space and comments.
fn after_blanks<'a>(text: &str, mut rest: &'a str) -> Result<&'a str, SyntaxError> {
    loop {
        let before = rest;
        rest = match alt((multispace1::<&str, ()>, line_comment)).parse(rest) {
            Ok((after, _)) => after,
            Err(_) if rest.starts_with("/*") => match block_comment(rest) {
                Some(after) => after,
                None => return Err(unclosed(text, text.len() - rest.len(), rest)),
            },
            Err(_) => rest,
        };
        if rest.len() == before.len() {
            return Ok(rest);
        }
    }
}

fn line_comment(input: &str) -> IResult<&str, &str, ()> {
    recognize(pair(tag("--"), take_till(|c| c == '\n'))).parse(input)
}

/// What follows a comment, which may hold others.
fn block_comment(input: &str) -> Option<&str> {
    let mut depth = 0usize;
    let mut rest = input;
    loop {
        if let Some(after) = rest.strip_prefix("/*") {
            depth += 1;
            rest = after;
        } else if let Some(after) = rest.strip_prefix("*/") {
            depth -= 1;
            rest = after;
            if depth == 0 {
                return Some(rest);
            }
        } else {
            let mut characters = rest.chars();
            characters.next()?;
            rest = characters.as_str();
        }
    }
}

fn token(input: &str) -> IResult<&str, TokenKind, ()> {
    if input.starts_with('$')
        && let Some(found) = dollar_quoted(input)
    {
        let (rest, text) = found.ok_or(nom::Err::Failure(()))?;
        return Ok((rest, TokenKind::Text(text.to_owned())));
    }
    let is_open = input.starts_with(['\'', '"']) || input.starts_with("e'") || input.starts_with("E'");
    let quoted = alt((
        preceded(one_of("eE"), escaped_text).map(TokenKind::Text),
        quoted('\'').map(TokenKind::Text),
        quoted('"').map(TokenKind::Name),
    ))
    .parse(input);
    if quoted.is_ok() || is_open {
        return quoted;
    }
    alt((
        word.map(|word: &str| TokenKind::Word(word.to_lowercase())),
        number.map(|number: &str| TokenKind::Number(number.to_owned())),
        anychar.map(TokenKind::Sign),
    ))
    .parse(input)
}

fn word(input: &str) -> IResult<&str, &str, ()> {
    let begins = satisfy(|c| c.is_alphabetic() || c == '_');
    recognize(pair(begins, take_while(|c: char| c.is_alphanumeric() || c == '_' || c == '$'))).parse(input)
}

fn number(input: &str) -> IResult<&str, &str, ()> {
    let digits = || take_while1(|c: char| c.is_ascii_digit());
    let fraction = || pair(tag("."), take_while(|c: char| c.is_ascii_digit()));
    let exponent = || (one_of("eE"), opt(one_of("+-")), digits());
    alt((recognize((digits(), opt(fraction()), opt(exponent()))), recognize((tag("."), digits(), opt(exponent())))))
        .parse(input)
}

/// A text between two quotes, in which a quote is written twice.
fn quoted(quote: char) -> impl Fn(&str) -> IResult<&str, String, ()> {
    move |input| {
        let mut rest = input.strip_prefix(quote).ok_or(nom::Err::Error(()))?;
        let mut text = String::new();
        loop {
            let (after, part) = take_till(|c| c == quote).parse(rest)?;
            text.push_str(part);
            rest = after.strip_prefix(quote).ok_or(nom::Err::Failure(()))?;
            match rest.strip_prefix(quote) {
                Some(after) => {
                    text.push(quote);
                    rest = after;
                }
                None => return Ok((rest, text)),
            }
        }
    }
}

/// The text of `E'...'` without its `E`: the escapes are PostgreSQL's, of which `\x` and the octal ones stand for bytes of UTF-8.
fn escaped_text(input: &str) -> IResult<&str, String, ()> {
    let mut rest = input.strip_prefix('\'').ok_or(nom::Err::Error(()))?;
    let mut bytes = Vec::new();
    loop {
        let (after, next) = anychar::<&str, ()>(rest).map_err(|_| nom::Err::Failure(()))?;
        match next {
            '\\' => {
                let (after, escaped) = escape(after).map_err(|_| nom::Err::Failure(()))?;
                bytes.extend(escaped);
                rest = after;
            }
            '\'' => match after.strip_prefix('\'') {
                Some(after) => {
                    bytes.push(b'\'');
                    rest = after;
                }
                None => {
                    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
                    return text.map(|text| (after, text)).ok_or(nom::Err::Failure(()));
                }
            },
            other => {
                bytes.extend(other.encode_utf8(&mut [0; 4]).bytes());
                rest = after;
            }
        }
    }
}

/// What follows a backslash, as bytes.
fn escape(input: &str) -> IResult<&str, Vec<u8>, ()> {
    let hex = |least, most| take_while_m_n(least, most, |c: char| c.is_ascii_hexdigit());
    let octal = take_while_m_n(1, 3, |c: char| c.is_digit(8));
    let point = |digits: &str| {
        let found = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
        found.map(|c| c.to_string().into_bytes())
    };
    alt((
        map_opt(preceded(tag("u"), hex(4, 4)), point),
        map_opt(preceded(tag("U"), hex(8, 8)), point),
        preceded(tag("x"), hex(1, 2)).map_res(|digits| u8::from_str_radix(digits, 16)).map(|byte| vec![byte]),
        // As PostgreSQL does, only the low eight bits count.
        octal.map_res(|digits| u32::from_str_radix(digits, 8)).map(|byte| vec![byte as u8]),
        map_opt(anychar, |c| match c {
            'b' => Some(vec![8]),
            'f' => Some(vec![12]),
            'n' => Some(vec![b'\n']),
            'r' => Some(vec![b'\r']),
            't' => Some(vec![b'\t']),
            'u' | 'U' => None,
            other => Some(other.to_string().into_bytes()),
        }),
    ))
    .parse(input)
}

/// `None` when no dollar quote begins here, `Some(None)` when it does not end.
#[expect(clippy::option_option, reason = "there are three cases")]
fn dollar_quoted(input: &str) -> Option<Option<(&str, &str)>> {
    let after = input.strip_prefix('$')?;
    let length = after.find('$')?;
    let label = &after[..length];
    let is_label =
        label.chars().all(|c| c.is_alphanumeric() || c == '_') && !label.starts_with(|c: char| c.is_numeric());
    if !is_label {
        return None;
    }
    let closing = &input[..length + 2];
    let body = &input[length + 2..];
    Some(body.find(closing).map(|at| (&body[at + closing.len()..], &body[..at])))
}
