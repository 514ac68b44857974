//! `CALL name(argument, name => argument, ...)`: something that is done once, by its name.

use std::fmt;

use super::cursor::Cursor;
use super::lexer::TokenKind;
use super::{SyntaxError, joined, quoted, text_literal};

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// Characters of the statement before the name.
    pub(crate) offset: usize,
    pub(crate) arguments: Vec<Argument>,
}

/// An argument, by its place or by its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Argument {
    pub(crate) name: Option<String>,
    pub(crate) value: Literal,
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    Number(String),
    Truth(bool),
    Null,
}

impl Call {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Call> {
        let offset = cursor.offset_of(cursor.peek());
        let name = cursor.name("the name of a procedure")?;
        let mut arguments = Vec::new();
        if cursor.is_sign('(') && cursor.peek_at(1).kind == TokenKind::Sign(')') {
            cursor.advance();
            cursor.advance();
        } else {
            arguments = cursor.list(argument)?;
        }
        cursor.expect_end(&[])?;
        Ok(Call { name, offset, arguments })
    }
}

fn argument(cursor: &mut Cursor<'_>) -> Result<Argument> {
    let is_named = cursor.peek_at(1).kind == TokenKind::Sign('=') && cursor.peek_at(2).kind == TokenKind::Sign('>');
    let mut name = None;
    if is_named {
        name = Some(cursor.name("the name of an argument")?);
        cursor.advance();
        cursor.advance();
    }
    let is_negative = cursor.eat_sign('-');
    let value = match &cursor.peek().kind {
        TokenKind::Number(digits) if is_negative => Literal::Number(format!("-{digits}")),
        TokenKind::Number(digits) => Literal::Number(digits.clone()),
        TokenKind::Text(text) if !is_negative => Literal::Text(text.clone()),
        TokenKind::Word(word) if !is_negative && word == "null" => Literal::Null,
        TokenKind::Word(word) if !is_negative && (word == "true" || word == "false") => Literal::Truth(word == "true"),
        _ => return Err(cursor.unexpected("a text in quotes, a number, true, false or NULL", &[])),
    };
    cursor.advance();
    Ok(Argument { name, value })
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CALL {}({})", quoted(&self.name), joined(&self.arguments, ", "))
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{} => ", quoted(name))?;
        }
        match &self.value {
            Literal::Text(text) => f.write_str(&text_literal(text)),
            Literal::Number(digits) => f.write_str(digits),
            Literal::Truth(truth) => write!(f, "{truth}"),
            Literal::Null => f.write_str("NULL"),
        }
    }
}
