//! The front door: text becomes statements, each with its own slice of the text and exact error positions.
//!
//! Every token's span is rewritten to line 1 and the column of its character in the whole text, so that each span that
//! comes back, from the parser or from the planner, is a position as PostgreSQL reports it.

use std::ops::Range;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError};

use crate::{Error, Result};

/// Deepest nesting of queries, parentheses and expressions.
const NESTING_MAX: usize = 100;

/// Most operators that may follow one another without a comma or a parenthesis: each one nests the expression deeper.
const CHAIN_MAX: usize = 1_000;

/// One parsed statement and where it stands in the text it came from.
#[derive(Debug, Clone)]
pub struct Statement {
    ast: ast::Statement,
    source: Arc<str>,
    bytes: Range<usize>,
    offset: usize,
}

impl Statement {
    /// The parsed form. Spans in it are on line 1, their columns are positions in the whole text.
    pub fn ast(&self) -> &ast::Statement {
        &self.ast
    }

    /// The statement's own text, without the semicolon.
    pub fn text(&self) -> &str {
        &self.source[self.bytes.clone()]
    }

    /// Characters of the whole text before [`Statement::text`].
    pub fn offset(&self) -> usize {
        self.offset
    }
}

/// Splits and parses a text. Empty statements and comments give nothing.
///
/// # Errors
/// [`Error::Syntax`] for the first statement that is not SQL; nothing of the text is returned then.
pub fn parse(text: &str) -> Result<Vec<Statement>> {
    let tokens = tokenize(text)?;
    check_chains(&tokens, text)?;
    let source: Arc<str> = text.into();
    let mut cursor = Cursor::new(text);
    let mut parser =
        Parser::new(&PostgreSqlDialect {}).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(tokens);
    let mut statements = Vec::new();
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        let first = parser.peek_token_ref();
        if first.token == Token::EOF {
            return Ok(statements);
        }
        let start = cursor.advance(first.span.start);
        let offset = position(first.span.start) - 1;
        let ast = parser.parse_statement().map_err(|e| parser_error(&e, &parser, text))?;
        let next = parser.peek_token_ref();
        if !matches!(next.token, Token::EOF | Token::SemiColon) {
            return Err(near(next, text));
        }
        let end = cursor.advance(parser.get_current_token().span.end);
        statements.push(Statement { ast, source: source.clone(), bytes: start..end, offset });
    }
}

/// The 1-based character that a span of a parsed statement begins at.
pub(crate) fn span_position(span: Span) -> Option<usize> {
    (span.start.line != 0).then(|| position(span.start))
}

fn position(location: Location) -> usize {
    usize::try_from(location.column).unwrap_or(usize::MAX)
}

fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>> {
    let dialect = PostgreSqlDialect {};
    let mut lines = Lines::default();
    let mut tokens = Vec::new();
    let flatten = |token: TokenWithSpan| TokenWithSpan { span: lines.flatten(token.span, text), ..token };
    let outcome = Tokenizer::new(&dialect, text).tokenize_with_location_into_buf_with_mapper(&mut tokens, flatten);
    outcome.map_err(|e| tokenizer_error(&e, text))?;
    Ok(tokens)
}

/// Where lines begin, learned as far as it is asked for.
#[derive(Default)]
struct Lines {
    line: u64,
    characters_before: u64,
    bytes_before: usize,
}

impl Lines {
    fn flatten(&mut self, span: Span, text: &str) -> Span {
        let start = self.flatten_one(span.start, text);
        let end = self.flatten_one(span.end, text);
        Span::new(start, end)
    }

    /// Locations must be asked for in ascending order.
    fn flatten_one(&mut self, location: Location, text: &str) -> Location {
        self.line = self.line.max(1);
        while self.line < location.line {
            let rest = &text[self.bytes_before..];
            let length = rest.find('\n').map_or(rest.len(), |at| at + 1);
            self.characters_before += rest[..length].chars().count() as u64;
            self.bytes_before += length;
            self.line += 1;
        }
        Location { line: 1, column: self.characters_before + location.column }
    }
}

/// Turns positions, asked for in ascending order, into byte offsets.
struct Cursor<'a> {
    characters: std::str::CharIndices<'a>,
    next: usize,
    length: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Cursor<'a> {
        Cursor { characters: text.char_indices(), next: 1, length: text.len() }
    }

    fn advance(&mut self, to: Location) -> usize {
        while self.next < position(to) && self.characters.next().is_some() {
            self.next += 1;
        }
        self.characters.clone().next().map_or(self.length, |(byte, _)| byte)
    }
}

/// Operators chain to the left, each a level deeper, in trees that are later walked and freed by recursion: long chains
/// are refused before there is a tree.
fn check_chains(tokens: &[TokenWithSpan], text: &str) -> Result<()> {
    let mut chains = vec![0];
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket => chains.push(0),
            Token::RParen | Token::RBracket if chains.len() > 1 => drop(chains.pop()),
            Token::Comma | Token::SemiColon => *chains.last_mut().expect("one level is always left") = 0,
            other if deepens(other) => {
                let chain = chains.last_mut().expect("one level is always left");
                *chain += 1;
                if *chain > CHAIN_MAX {
                    let hint = Some(format!("An expression may chain {CHAIN_MAX} operators; use IN (...) or VALUES."));
                    return Err(syntax("expression is too long", token, text, hint));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// True for tokens that can put what stands before them one level deeper.
fn deepens(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::IN
                | Keyword::AT
                | Keyword::COLLATE
                | Keyword::UNION
                | Keyword::INTERSECT
                | Keyword::EXCEPT
                | Keyword::JOIN
                | Keyword::OPERATOR
        ),
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
        | Token::Whitespace(_)
        | Token::Period
        | Token::RParen
        | Token::RBracket
        | Token::EOF => false,
        _ => true,
    }
}

fn tokenizer_error(error: &TokenizerError, text: &str) -> Error {
    let at = Lines::default().flatten_one(error.location, text);
    let rest = &text[Cursor::new(text).advance(at)..];
    let what = match rest.chars().next() {
        Some('\'' | 'E' | 'e' | 'U' | 'u' | 'N' | 'n') => "unterminated quoted string",
        Some('"') => "unterminated quoted identifier",
        Some('/') => "unterminated /* comment",
        Some('$') => "unterminated dollar-quoted string",
        None => {
            return Error::Syntax {
                message: "syntax error at end of input".to_owned(),
                position: position(at),
                hint: None,
            };
        }
        _ => "syntax error",
    };
    let shown: String = rest.chars().take(60).collect();
    Error::Syntax { message: format!("{what} at or near \"{shown}\""), position: position(at), hint: None }
}

fn parser_error(error: &ParserError, parser: &Parser<'_>, text: &str) -> Error {
    match error {
        ParserError::RecursionLimitExceeded => {
            let hint = Some(format!("Nesting may be {NESTING_MAX} levels deep."));
            syntax("statement is nested too deeply", parser.peek_token_ref(), text, hint)
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => match offending(message, parser) {
            Some(token) => near(&token, text),
            None => near(parser.peek_token_ref(), text),
        },
    }
}

/// The token that the parser stumbled over. The parser may have stepped back since, and it says where it was only in the
/// text of its message.
fn offending(message: &str, parser: &Parser<'_>) -> Option<TokenWithSpan> {
    let column: u64 = message.rsplit_once(" at Line: 1, Column: ")?.1.parse().ok()?;
    let starts_there = |token: &&TokenWithSpan| token.span.start.column == column && token.span.start.line != 0;
    (0..).map(|at| parser.token_at(at)).take_while(|t| t.token != Token::EOF).find(starts_there).cloned()
}

/// PostgreSQL's message for a token that no rule expects.
fn near(token: &TokenWithSpan, text: &str) -> Error {
    if token.token == Token::EOF {
        let position = text.chars().count() + 1;
        return Error::Syntax { message: "syntax error at end of input".to_owned(), position, hint: None };
    }
    let mut cursor = Cursor::new(text);
    let found = &text[cursor.advance(token.span.start)..cursor.advance(token.span.end)];
    syntax(&format!("syntax error at or near \"{found}\""), token, text, None)
}

fn syntax(message: &str, token: &TokenWithSpan, text: &str, hint: Option<String>) -> Error {
    let end = || text.chars().count() + 1;
    let position = span_position(token.span).unwrap_or_else(end);
    Error::Syntax { message: message.to_owned(), position, hint }
}
