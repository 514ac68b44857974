//! SQL inside of a statement, kept as it was written: where a query or an expression ends.

use super::cursor::Cursor;
use super::lexer::{Token, TokenKind};
use super::{Query, SyntaxError};

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

/// An expression of SQL over the columns of a row.
pub(crate) type Expression = Query;

/// Words of SQL that something has to follow: the next word is a name, whatever it says.
const OPENING: [&str; 22] = [
    "and", "as", "between", "by", "distinct", "from", "having", "ilike", "in", "is", "join", "like", "limit", "not",
    "offset", "on", "or", "select", "union", "using", "where", "with",
];

/// Takes text up to where `is_end` says so, to a parenthesis that it did not open, or to the end of the statement.
///
/// `is_end` is asked outside of parentheses and of `CASE ... END`, and only where SQL needs no operand: `t.when` and
/// `x > severity` go on. It is told whether nothing has been taken so far.
///
/// # Errors
/// When nothing is there; `what` says what should be.
pub(super) fn take_until(
    cursor: &mut Cursor<'_>,
    what: &str,
    is_end: impl Fn(&Cursor<'_>, bool) -> bool,
) -> Result<Query> {
    let (mut depth, mut cases) = (0_usize, 0_usize);
    let start = cursor.peek().clone();
    let mut last: Option<Token> = None;
    let mut needs_operand = false;
    loop {
        let may_end = depth == 0 && cases == 0 && !needs_operand;
        if cursor.peek().kind == TokenKind::End || (may_end && is_end(cursor, last.is_none())) {
            break;
        }
        let is_name = last.as_ref().is_some_and(announces_name);
        match &cursor.peek().kind {
            TokenKind::Sign('(' | '[') => depth += 1,
            TokenKind::Sign(')' | ']') if depth == 0 => break,
            TokenKind::Sign(')' | ']') => depth -= 1,
            TokenKind::Word(word) if word == "case" && !is_name => cases += 1,
            TokenKind::Word(word) if word == "end" && !is_name => cases = cases.saturating_sub(1),
            _ => {}
        }
        let token = cursor.advance();
        needs_operand = !is_name && opens(&token);
        last = Some(token);
    }
    match last {
        Some(_) if depth > 0 => Err(cursor.unexpected("\")\"", &[])),
        Some(_) if cases > 0 => Err(cursor.unexpected("the END of a CASE", &[])),
        Some(last) => Ok(Query { text: cursor.between(&start, &last).to_owned(), offset: cursor.offset_of(&start) }),
        None => Err(cursor.unexpected(what, &[])),
    }
}

/// True for what only a name can follow: the dot of a qualified one, and `AS`.
fn announces_name(token: &Token) -> bool {
    match &token.kind {
        TokenKind::Sign(sign) => *sign == '.',
        TokenKind::Word(word) => word == "as",
        _ => false,
    }
}

/// True for what an operand has to follow.
fn opens(token: &Token) -> bool {
    match &token.kind {
        TokenKind::Word(word) => OPENING.contains(&word.as_str()),
        TokenKind::Sign(sign) => !matches!(sign, ')' | ']'),
        TokenKind::Name(_) | TokenKind::Text(_) | TokenKind::Number(_) | TokenKind::End => false,
    }
}

/// Takes a query in parentheses; they are no part of it.
///
/// # Errors
/// When something else comes next, or the parentheses do not match.
pub(super) fn query_in_parentheses(cursor: &mut Cursor<'_>) -> Result<Query> {
    if !cursor.eat_sign('(') {
        return Err(cursor.unexpected("a query in parentheses, such as (SELECT ...)", &[]));
    }
    if !begins_query(cursor) {
        return Err(cursor.unexpected("a query", &["select"]));
    }
    let query = take_until(cursor, "a query", |_, _| false)?;
    cursor.expect_sign(')')?;
    Ok(query)
}

/// True where a query comes next.
pub(super) fn begins_query(cursor: &Cursor<'_>) -> bool {
    cursor.is_word("select") || cursor.is_word("with") || cursor.is_sign('(')
}
