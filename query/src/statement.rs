//! The front door: text becomes statements, each with its own slice of the text and exact error positions.
//!
//! Every token's span is rewritten to line 1 and the column of its character in the whole text, so that each span that
//! comes back, from the parser or from the planner, is a position as PostgreSQL reports it.

use std::ops::Range;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError};

use crate::dialect;
use crate::quality::Action;
use crate::stack::on_deep_stack;
use crate::{Error, Result};

mod bounds;
mod expect;
mod grammar;

use bounds::check_bounds;
use grammar::Grammar;

/// Deepest nesting of queries, parentheses and expressions.
const NESTING_MAX: usize = 64;

/// One parsed statement and where it stands in the text it came from.
#[derive(Debug, Clone)]
pub struct Statement {
    form: Form,
    source: Arc<str>,
    bytes: Range<usize>,
    offset: usize,
    /// What follows of violations of its expectations, by the position of the name of each.
    actions: Arc<expect::Actions>,
}

/// What a statement is parsed as.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// SQL.
    Sql(Arc<ast::Statement>),
    /// A statement of the dialect: definitions, and questions about them.
    Dialect(Arc<dialect::Statement>),
}

impl Statement {
    /// The parsed form of SQL; `None` for a statement of the dialect. Spans in it are on line 1, their columns are positions
    /// in the whole text.
    pub fn ast(&self) -> Option<&ast::Statement> {
        match &self.form {
            Form::Sql(ast) => Some(ast),
            Form::Dialect(_) => None,
        }
    }

    /// A query that stands inside of this statement, as a statement of its own; its positions are those in the whole text.
    #[must_use]
    pub fn with_query(&self, query: Box<ast::Query>) -> Statement {
        Statement { form: Form::Sql(Arc::new(ast::Statement::Query(query))), ..self.clone() }
    }

    /// What follows of a violation of the expectation of a name; `None` for a constraint of another kind.
    pub(crate) fn action_of(&self, name: &ast::Ident) -> Option<Action> {
        let position = span_position(name.span)?;
        self.actions.iter().find(|(at, _)| *at == position).map(|(_, action)| *action)
    }

    pub(crate) fn form(&self) -> &Form {
        &self.form
    }

    /// The command tag of a statement of the dialect, `CREATE KPI` or `SHOW` or `SELECT`; `None` for SQL.
    pub fn dialect_tag(&self) -> Option<&'static str> {
        match &self.form {
            Form::Sql(_) => None,
            Form::Dialect(statement) => Some(statement.tag()),
        }
    }

    /// True for `COPY (SUBSCRIBE ...) TO STDOUT`.
    pub fn is_copied_subscription(&self) -> bool {
        matches!(&self.form, Form::Dialect(statement)
            if matches!(**statement, dialect::Statement::Subscribe { is_copied: true, .. }))
    }

    /// The statement's own text, without the semicolon.
    pub fn text(&self) -> &str {
        &self.source[self.bytes.clone()]
    }

    /// The statement's own text as others may see it: without passwords.
    pub(crate) fn text_shown(&self) -> String {
        match &self.form {
            Form::Dialect(statement) if matches!(**statement, dialect::Statement::Role(_)) => statement.to_string(),
            _ => self.text().to_owned(),
        }
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
    let mut tokens = tokenize(text)?;
    check_bounds(&tokens, text)?;
    expect::take_watermark(&mut tokens);
    let actions = Arc::new(expect::take(&mut tokens, text)?);
    on_deep_stack(|| parse_tokens(tokens, text, &actions))
}

/// The query that a text is.
///
/// # Errors
/// [`Error::Syntax`], and [`Error::Internal`] when the text is something else: whoever asks knows that it is a query.
pub(crate) fn query(text: &str) -> Result<Box<ast::Query>> {
    match parse(text)?.as_slice() {
        [statement] => match statement.ast() {
            Some(ast::Statement::Query(query)) => Ok(query.clone()),
            _ => Err(Error::Internal(format!("no query: {text}"))),
        },
        _ => Err(Error::Internal(format!("no query: {text}"))),
    }
}

fn parse_tokens(tokens: Vec<TokenWithSpan>, text: &str, actions: &Arc<expect::Actions>) -> Result<Vec<Statement>> {
    let source: Arc<str> = text.into();
    let mut cursor = Cursor::new(text);
    let mut parser = Parser::new(&Grammar).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(tokens);
    let mut statements = Vec::new();
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        let first = parser.peek_token_ref();
        if first.token == Token::EOF {
            return Ok(statements);
        }
        let start = cursor.advance(first.span.start);
        let offset = position(first.span.start) - 1;
        let (form, end) = match parse_dialect(&mut parser, &text[start..], offset)? {
            Some(statement) => (Form::Dialect(Arc::new(statement)), cursor.advance(last_read(&parser).span.end)),
            None => {
                let ast = parser.parse_statement().map_err(|e| parser_error(&e, &parser, text))?;
                let next = parser.peek_token_ref();
                if !matches!(next.token, Token::EOF | Token::SemiColon) {
                    return Err(near(next, text));
                }
                (Form::Sql(Arc::new(ast)), cursor.advance(last_read(&parser).span.end))
            }
        };
        statements.push(Statement {
            form,
            source: source.clone(),
            bytes: start..end,
            offset,
            actions: actions.clone(),
        });
    }
}

/// A statement of the dialect, if `rest`, which begins at the parser's next token, begins with one; `offset` characters stand
/// before it. The parser is then behind its last token.
fn parse_dialect(parser: &mut Parser<'_>, rest: &str, offset: usize) -> Result<Option<dialect::Statement>> {
    const FIRST: [&str; 14] = [
        "alter",
        "backtest",
        "call",
        "comment",
        "copy",
        "create",
        "drop",
        "evaluate",
        "explain",
        "grant",
        "refresh",
        "revoke",
        "show",
        "subscribe",
    ];
    let Token::Word(first) = &parser.peek_token_ref().token else { return Ok(None) };
    if !FIRST.iter().any(|word| first.value.eq_ignore_ascii_case(word)) {
        return Ok(None);
    }
    let begin = parser.index();
    let mut end = begin;
    while !matches!(parser.token_at(end).token, Token::EOF | Token::SemiColon) {
        end += 1;
    }
    let length = match parser.token_at(end).token {
        Token::SemiColon => {
            let characters = position(parser.token_at(end).span.start) - 1 - offset;
            rest.char_indices().nth(characters).map_or(rest.len(), |(byte, _)| byte)
        }
        _ => rest.len(),
    };
    let syntax = |error: dialect::SyntaxError| Error::Syntax {
        message: error.message,
        position: offset + error.offset + 1,
        hint: error.hint,
    };
    let statement = dialect::parse_statement(&rest[..length]).transpose().map_err(syntax)?;
    if statement.is_some() {
        while parser.index() < end {
            parser.next_token_no_skip();
        }
    }
    Ok(statement)
}

/// The last token that the parser has taken that is not white space.
fn last_read<'a>(parser: &'a Parser<'_>) -> &'a TokenWithSpan {
    let taken = (0..parser.index()).rev().map(|at| parser.token_at(at));
    let mut dark = taken.filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    dark.next().unwrap_or_else(|| parser.get_current_token())
}

/// The 1-based character that a span of a parsed statement begins at.
pub(crate) fn span_position(span: Span) -> Option<usize> {
    (span.start.line != 0).then(|| position(span.start))
}

fn position(location: Location) -> usize {
    usize::try_from(location.column).unwrap_or(usize::MAX)
}

fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>> {
    let mut lines = Lines::default();
    let mut tokens = Vec::new();
    let flatten = |token: TokenWithSpan| TokenWithSpan { span: lines.flatten(token.span, text), ..token };
    let outcome = Tokenizer::new(&Grammar, text).tokenize_with_location_into_buf_with_mapper(&mut tokens, flatten);
    let end = tokens.last().map_or(Location { line: 1, column: 1 }, |token| token.span.end);
    outcome.map_err(|e| tokenizer_error(&e, end, text))?;
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

/// An open comment is noticed at the end of the text, but it begins after the `end` of the last token.
fn tokenizer_error(error: &TokenizerError, end: Location, text: &str) -> Error {
    let mut at = Lines::default().flatten_one(error.location, text);
    let mut rest = &text[Cursor::new(text).advance(at)..];
    if rest.is_empty() {
        at = end;
        rest = &text[Cursor::new(text).advance(at)..];
    }
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

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: &Expect) {
        let shown = match parse(text) {
            Ok(statements) => {
                let show = |s: &Statement| format!("[{}] {}", s.offset(), s.text());
                statements.iter().map(show).collect::<Vec<_>>().join("\n")
            }
            Err(error) => format!("{error} at {}", error.position().unwrap_or(0)),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn statements_know_their_slice() {
        check("SELECT 1", &expect!["[0] SELECT 1"]);
        check(
            " SELECT 'ü;' ; -- done\n;\r\n/* a */ SELECT\n2 ;",
            &expect![[r#"
                [1] SELECT 'ü;'
                [34] SELECT
                2"#]],
        );
    }

    #[test]
    fn nothing_is_no_statement() {
        for text in ["", ";", " ; ;", "-- ping", "/* a /* b */ c */", "\n"] {
            assert!(parse(text).unwrap().is_empty(), "{text:?}");
        }
    }

    #[test]
    fn errors_point_at_the_token() {
        check("SELEC 1", &expect![[r#"syntax error at or near "SELEC" at 1"#]]);
        check("SELECT 1; SELECT * FROM t WHERE;", &expect![[r#"syntax error at or near ";" at 32"#]]);
        check("SELECT 'ü',\n 'é' || 'x' +", &expect!["syntax error at end of input at 26"]);
        check("SELECT 'ü',\n 'é' 'x' +", &expect![[r#"syntax error at or near "+" at 22"#]]);
        check("SELECT 1 2", &expect![[r#"syntax error at or near "2" at 10"#]]);
        check("SELECT \"a b\" \"c\" \"d\"", &expect![[r#"syntax error at or near ""d"" at 18"#]]);
        check("SELECT (1", &expect!["syntax error at end of input at 10"]);
    }

    #[test]
    fn open_quotes_and_comments_are_named() {
        check("SELECT 'abc", &expect![[r#"unterminated quoted string at or near "'abc" at 8"#]]);
        check("SELECT \"abc", &expect![[r#"unterminated quoted identifier at or near ""abc" at 8"#]]);
        check("SELECT 1 /* abc", &expect![[r#"unterminated /* comment at or near "/* abc" at 10"#]]);
        check("SELECT $a$ abc", &expect![[r#"unterminated dollar-quoted string at or near "$a$ abc" at 8"#]]);
    }

    #[test]
    fn named_arguments_take_an_identifier() {
        check("SELECT f(a => 1, b := 2)", &expect!["[0] SELECT f(a => 1, b := 2)"]);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |open: &str, close: &str, n: usize| format!("SELECT {}1{}", open.repeat(n), close.repeat(n));
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        assert!(parse(&nested("(", ")", 60)).is_ok());
        assert!(parse(&nested("abs(", ")", 20)).is_ok());
        for (open, close) in [
            ("(", ")"),
            ("abs(", ")"),
            ("ARRAY[", "]"),
            ("CASE WHEN true THEN ", " END"),
            ("(SELECT ", ")"),
            ("- ", ""),
        ] {
            for n in [1_000, 100_000] {
                refused(&nested(open, close, n));
            }
        }
        assert_eq!(refused(&format!("SELECT 1{}", "+1".repeat(100_000))), "expression is too long");
        assert_eq!(refused(&format!("SELECT 1, 2{}", " UNION SELECT 1, 2".repeat(1_000))), "expression is too long");
        assert_eq!(refused(&format!("SELECT 1::int{}", "[]".repeat(1_000))), "expression is too long");
        assert_eq!(refused("SELECT 1::array<int>"), "syntax error at or near \"<\"");
        assert!(parse(&format!("SELECT 1 WHERE 1 = 1{}", " OR 1 = 2".repeat(200))).is_ok());
        assert!(parse(&format!("SELECT 1 IN (1{})", ", 2".repeat(100_000))).is_ok());
    }
}
