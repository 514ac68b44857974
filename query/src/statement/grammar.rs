//! PostgreSQL's grammar as the parser library has it, but for some rules: the name of a named argument is an identifier,
//! `ALTER TABLE ... RESET (option, ...)` is a statement, and so are `TABLE name`, and `FETCH` and `MOVE` in all their spellings; an
//! option of a materialized view needs no value.
//!
//! The library would try every function argument as the *expression* before a `=>` first, and again as an argument: twice the
//! work for each level of nested calls, so that a line of text would keep a core busy for hours.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    AlterTable, AlterTableOperation, CreateTableOptions, Expr, FetchDirection, FetchPosition, Ident, LimitClause,
    ObjectName, SetExpr, SqlOption, Statement, TableFactor, Value,
};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// The grammar.
#[derive(Debug)]
pub(super) struct Grammar;

const POSTGRESQL: PostgreSqlDialect = PostgreSqlDialect {};

/// Everything that the library's PostgreSQL differs in from its defaults.
macro_rules! as_postgresql {
    ($(fn $name:ident(&self $(, $argument:ident: $kind:ty)*) -> $result:ty;)*) => {
        impl Dialect for Grammar {
            /// The parser asks for PostgreSQL by type as well.
            fn dialect(&self) -> TypeId {
                TypeId::of::<PostgreSqlDialect>()
            }

            fn supports_named_fn_args_with_expr_name(&self) -> bool {
                false
            }

            fn parse_statement(&self, parser: &mut Parser) -> Option<Result<Statement, ParserError>> {
                parse_reset(parser)
                    .or_else(|| parse_fetch(parser))
                    .or_else(|| parse_table(parser))
                    .or_else(|| parse_materialized(parser))
            }

            $(fn $name(&self $(, $argument: $kind)*) -> $result {
                POSTGRESQL.$name($($argument),*)
            })*
        }
    };
}

as_postgresql! {
    fn identifier_quote_style(&self, identifier: &str) -> Option<char>;
    fn is_delimited_identifier_start(&self, ch: char) -> bool;
    fn is_identifier_start(&self, ch: char) -> bool;
    fn is_identifier_part(&self, ch: char) -> bool;
    fn supports_unicode_string_literal(&self) -> bool;
    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool;
    fn is_custom_operator_part(&self, ch: char) -> bool;
    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>>;
    fn supports_filter_during_aggregation(&self) -> bool;
    fn supports_group_by_expr(&self) -> bool;
    fn prec_value(&self, precedence: Precedence) -> u8;
    fn allow_extract_custom(&self) -> bool;
    fn allow_extract_single_quotes(&self) -> bool;
    fn supports_create_index_with_clause(&self) -> bool;
    fn supports_explain_with_utility_options(&self) -> bool;
    fn supports_listen_notify(&self) -> bool;
    fn supports_factorial_operator(&self) -> bool;
    fn supports_bitwise_shift_operators(&self) -> bool;
    fn supports_comment_on(&self) -> bool;
    fn supports_load_extension(&self) -> bool;
    fn supports_named_fn_args_with_colon_operator(&self) -> bool;
    fn supports_empty_projections(&self) -> bool;
    fn supports_nested_comments(&self) -> bool;
    fn supports_string_escape_constant(&self) -> bool;
    fn supports_numeric_literal_underscores(&self) -> bool;
    fn supports_array_typedef_with_brackets(&self) -> bool;
    fn supports_geometric_types(&self) -> bool;
    fn supports_set_names(&self) -> bool;
    fn supports_alter_column_type_using(&self) -> bool;
    fn supports_notnull_operator(&self) -> bool;
    fn supports_interval_options(&self) -> bool;
    fn supports_insert_table_alias(&self) -> bool;
    fn supports_create_table_like_parenthesized(&self) -> bool;
    fn supports_select_wildcard_with_alias(&self) -> bool;
    fn supports_comma_separated_trim(&self) -> bool;
    fn supports_xml_expressions(&self) -> bool;
    fn supports_comment_optimizer_hint(&self) -> bool;
}

/// `TABLE name`, read as `SELECT * FROM name`, with what may follow a query; `None` for any other statement.
fn parse_table(parser: &mut Parser<'_>) -> Option<Result<Statement, ParserError>> {
    if !parser.peek_keyword(Keyword::TABLE) {
        return None;
    }
    let read = |parser: &mut Parser<'_>| {
        parser.next_token();
        let name = parser.parse_object_name(false)?;
        let mut query = match Parser::parse_sql(&POSTGRESQL, "SELECT * FROM t")?.pop() {
            Some(Statement::Query(query)) => query,
            _ => return Err(ParserError::ParserError("a query that is none".to_owned())),
        };
        if let SetExpr::Select(select) = query.body.as_mut()
            && let Some(TableFactor::Table { name: its, .. }) = select.from.first_mut().map(|from| &mut from.relation)
        {
            *its = name;
        }
        query.order_by = parser.parse_optional_order_by()?;
        let (mut limit, mut offset) = (None, None);
        loop {
            match () {
                () if limit.is_none() && parser.parse_keyword(Keyword::LIMIT) => limit = parser.parse_limit()?,
                () if offset.is_none() && parser.parse_keyword(Keyword::OFFSET) => {
                    offset = Some(parser.parse_offset()?);
                }
                () => break,
            }
        }
        if limit.is_some() || offset.is_some() {
            query.limit_clause = Some(LimitClause::LimitOffset { limit, offset, limit_by: Vec::new() });
        }
        Ok(Statement::Query(query))
    };
    Some(read(parser))
}

/// `ALTER TABLE name RESET (option, ...)`, read as `SET (option = NULL, ...)`; `None` for any other statement.
fn parse_reset(parser: &mut Parser<'_>) -> Option<Result<Statement, ParserError>> {
    if !parser.peek_keyword(Keyword::ALTER) {
        return None;
    }
    let start = |parser: &mut Parser<'_>| {
        parser.expect_keywords(&[Keyword::ALTER, Keyword::TABLE])?;
        let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
        let only = parser.parse_keyword(Keyword::ONLY);
        let name = parser.parse_object_name(false)?;
        parser.expect_keyword(Keyword::RESET)?;
        parser.expect_token(&Token::LParen)?;
        Ok((if_exists, only, name))
    };
    let (if_exists, only, name) = parser.try_parse(start).ok()?;
    let options = parser.parse_comma_separated(Parser::parse_identifier);
    let closed = options.and_then(|options| parser.expect_token(&Token::RParen).map(|_| options));
    Some(closed.map(|names| {
        let null = |key: Ident| {
            let value = Value::Null.with_span(key.span);
            SqlOption::KeyValue { key, value: Expr::Value(value) }
        };
        Statement::AlterTable(AlterTable {
            name,
            if_exists,
            only,
            operations: vec![AlterTableOperation::SetOptionsParens { options: names.into_iter().map(null).collect() }],
            location: None,
            on_cluster: None,
            table_type: None,
            end_token: AttachedToken(parser.get_current_token().clone()),
        })
    }))
}

/// `CREATE [OR REPLACE] MATERIALIZED VIEW name [(columns)] [WITH (option [= value], ...)] AS query`, whose options need no value;
/// `None` for any other statement.
fn parse_materialized(parser: &mut Parser<'_>) -> Option<Result<Statement, ParserError>> {
    if !parser.peek_keyword(Keyword::CREATE) {
        return None;
    }
    let start = |parser: &mut Parser<'_>| {
        parser.expect_keyword(Keyword::CREATE)?;
        let or_replace = parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]);
        parser.expect_keywords(&[Keyword::MATERIALIZED, Keyword::VIEW])?;
        Ok(or_replace)
    };
    let or_replace = parser.try_parse(start).ok()?;
    let option = |parser: &mut Parser<'_>| {
        let key = parser.parse_identifier()?;
        let value = match parser.consume_token(&Token::Eq) {
            true => parser.parse_expr()?,
            false => Expr::Value(Value::Boolean(true).with_span(key.span)),
        };
        Ok(SqlOption::KeyValue { key, value })
    };
    let read = |parser: &mut Parser<'_>| {
        let mut view = match Parser::parse_sql(&POSTGRESQL, "CREATE VIEW v AS SELECT 1")?.pop() {
            Some(Statement::CreateView(view)) => view,
            _ => return Err(ParserError::ParserError("a view that is none".to_owned())),
        };
        view.or_replace = or_replace;
        view.materialized = true;
        view.if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        view.name = parser.parse_object_name(false)?;
        if parser.parse_keyword(Keyword::WITH) {
            parser.expect_token(&Token::LParen)?;
            let options = parser.parse_comma_separated(option)?;
            parser.expect_token(&Token::RParen)?;
            view.options = CreateTableOptions::With(options);
        }
        parser.expect_keyword(Keyword::AS)?;
        view.query = parser.parse_query()?;
        Ok(Statement::CreateView(view))
    };
    Some(read(parser))
}

/// `FETCH [direction] [FROM | IN] cursor`, and `MOVE`, which is read as a FETCH into nothing.
fn parse_fetch(parser: &mut Parser<'_>) -> Option<Result<Statement, ParserError>> {
    let Token::Word(word) = &parser.peek_token_ref().token else { return None };
    let moves = word.quote_style.is_none() && word.value.eq_ignore_ascii_case("MOVE");
    if !moves && word.keyword != Keyword::FETCH {
        return None;
    }
    parser.next_token();
    let statement = |parser: &mut Parser<'_>| {
        let direction = fetch_direction(parser)?;
        let preposition = parser.parse_one_of_keywords(&[Keyword::FROM, Keyword::IN]);
        let position = if preposition == Some(Keyword::IN) { FetchPosition::In } else { FetchPosition::From };
        let name = parser.parse_identifier()?;
        Ok(Statement::Fetch { name, direction, position, into: moves.then(|| ObjectName(Vec::new())) })
    };
    Some(statement(parser))
}

fn fetch_direction(parser: &mut Parser<'_>) -> Result<FetchDirection, ParserError> {
    const WORDS: [Keyword; 9] = [
        Keyword::NEXT,
        Keyword::PRIOR,
        Keyword::FIRST,
        Keyword::LAST,
        Keyword::ALL,
        Keyword::ABSOLUTE,
        Keyword::RELATIVE,
        Keyword::FORWARD,
        Keyword::BACKWARD,
    ];
    if matches!(parser.peek_token_ref().token, Token::Number(..)) {
        return Ok(FetchDirection::Count { limit: parser.parse_number_value()? });
    }
    if parser.consume_token(&Token::Minus) {
        return Ok(FetchDirection::Backward { limit: Some(parser.parse_number_value()?) });
    }
    let count = |parser: &mut Parser<'_>| {
        let is_there = matches!(parser.peek_token_ref().token, Token::Number(..));
        if is_there { parser.parse_number_value().map(Some) } else { Ok(None) }
    };
    Ok(match parser.parse_one_of_keywords(&WORDS) {
        Some(Keyword::PRIOR) => FetchDirection::Prior,
        Some(Keyword::FIRST) => FetchDirection::First,
        Some(Keyword::LAST) => FetchDirection::Last,
        Some(Keyword::ALL) => FetchDirection::All,
        Some(Keyword::ABSOLUTE) => {
            let _sign = parser.consume_token(&Token::Minus);
            FetchDirection::Absolute { limit: parser.parse_number_value()? }
        }
        Some(Keyword::RELATIVE) => {
            let _sign = parser.consume_token(&Token::Minus);
            FetchDirection::Relative { limit: parser.parse_number_value()? }
        }
        Some(Keyword::FORWARD) if parser.parse_keyword(Keyword::ALL) => FetchDirection::ForwardAll,
        Some(Keyword::FORWARD) => FetchDirection::Forward { limit: count(parser)? },
        Some(Keyword::BACKWARD) if parser.parse_keyword(Keyword::ALL) => FetchDirection::BackwardAll,
        Some(Keyword::BACKWARD) => FetchDirection::Backward { limit: count(parser)? },
        _ => FetchDirection::Next,
    })
}
