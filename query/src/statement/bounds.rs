//! Bounds on a text that hold before there is a tree: the parser and everything after it walk trees by recursion, and not
//! all of the parser counts how deep it is.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{near, syntax};
use crate::Result;

/// Most operators that may follow one another without a comma or a bracket: each one nests the expression deeper.
const CHAIN_MAX: usize = 250;

/// A subscript counts as this many operators: as part of a type it nests more than the tree.
const SUBSCRIPT_WEIGHT: usize = 10;

/// Most parentheses and brackets that may be open at one place.
const BRACKETS_MAX: usize = 100;

/// How deep the tree can be that is read between two brackets.
#[derive(Default)]
struct Level {
    /// UNION and its like, which go on after a comma.
    sets: usize,
    /// AND and OR since the last comma.
    logical: usize,
    /// Operators that bind tighter, since the last AND or OR.
    tight: usize,
}

impl Level {
    fn read(&mut self, token: &Token) {
        match binds(token) {
            None if matches!(token, Token::Comma) => *self = Level { sets: self.sets, ..Level::default() },
            None if matches!(token, Token::SemiColon) => *self = Level::default(),
            None => {}
            Some(Binds::Sets) => *self = Level { sets: self.sets + 1, ..Level::default() },
            Some(Binds::Logical) => *self = Level { logical: self.logical + 1, tight: 0, ..*self },
            Some(Binds::Tight) => self.tight += 1,
        }
    }

    fn depth(&self) -> usize {
        self.sets + self.logical + self.tight
    }
}

/// Refuses texts whose trees could be too deep.
///
/// # Errors
/// [`crate::Error::Syntax`] at the token that is too much.
pub(super) fn check_bounds(tokens: &[TokenWithSpan], text: &str) -> Result<()> {
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    let mut before = &Token::EOF;
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket if outer.len() >= BRACKETS_MAX => {
                let hint = Some(format!("At most {BRACKETS_MAX} brackets may be open."));
                return Err(syntax("statement is nested too deeply", token, text, hint));
            }
            Token::LParen => outer.push(std::mem::take(&mut level)),
            Token::LBracket => {
                level.tight += SUBSCRIPT_WEIGHT;
                outer.push(std::mem::take(&mut level));
            }
            Token::RParen | Token::RBracket => level = outer.pop().unwrap_or(level),
            // Types with angle brackets are not PostgreSQL's, and the parser reads them without counting.
            Token::Lt if is_array(before) => return Err(near(token, text)),
            other => level.read(other),
        }
        if level.depth() > CHAIN_MAX {
            let hint = Some(format!("An expression may chain {CHAIN_MAX} operators; use IN (...) or VALUES."));
            return Err(syntax("expression is too long", token, text, hint));
        }
        before = &token.token;
    }
    Ok(())
}

fn is_array(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.keyword == Keyword::ARRAY && word.quote_style.is_none())
}

/// Tokens that put what stands before them one level deeper, by how tight they bind.
enum Binds {
    Sets,
    Logical,
    Tight,
}

fn binds(token: &Token) -> Option<Binds> {
    match token {
        Token::Word(word) => match word.keyword {
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::JOIN => Some(Binds::Sets),
            Keyword::AND | Keyword::OR => Some(Binds::Logical),
            Keyword::NOT
            | Keyword::IS
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::SIMILAR
            | Keyword::BETWEEN
            | Keyword::IN
            | Keyword::AT
            | Keyword::COLLATE
            | Keyword::OPERATOR => Some(Binds::Tight),
            _ => None,
        },
        Token::Number(..)
        | Token::Char(_)
        | Token::SingleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::SingleQuotedByteStringLiteral(_)
        | Token::Placeholder(_)
        | Token::Period
        | Token::Comma
        | Token::SemiColon
        | Token::EOF => None,
        _ => Some(Binds::Tight),
    }
}
