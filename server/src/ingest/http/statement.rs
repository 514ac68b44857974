//! The two InfluxQL statements that clients send before they write.

use nom::branch::alt;
use nom::bytes::complete::{escaped_transform, is_not, tag_no_case, take_while1};
use nom::character::complete::{anychar, char, multispace0, multispace1};
use nom::combinator::{all_consuming, recognize};
use nom::multi::{many0, separated_list1};
use nom::sequence::{delimited, pair, preceded};
use nom::{IResult, Parser};
use serde_json::{Value, json};

/// A statement of `/query`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    /// Done before it is asked: every name leads to the one database.
    CreateDatabase(String),
    ShowDatabases,
}

/// A query that is not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "error parsing query: only CREATE DATABASE and SHOW DATABASES are understood here, not '{0}'; \
     ask in SQL over the PostgreSQL protocol"
)]
pub(super) struct NotUnderstood(String);

/// Parses statements with semicolons between them.
pub(super) fn parse(query: &str) -> Result<Vec<Statement>, NotUnderstood> {
    let separator = recognize(pair(char(';'), many0(preceded(multispace0, char(';')))));
    let statements = separated_list1(separator, delimited(multispace0, statement, multispace0));
    let trailing = many0(alt((char(';'), nom::character::complete::satisfy(char::is_whitespace))));
    match all_consuming((statements, trailing)).parse(query) {
        Ok((_, (statements, _))) => Ok(statements),
        Err(_) => Err(NotUnderstood(query.trim().chars().take(80).collect())),
    }
}

impl Statement {
    /// The statement's entry in the answer's results.
    pub(super) fn answer(&self, id: usize, database: &str) -> Value {
        match self {
            Statement::CreateDatabase(_) => json!({ "statement_id": id }),
            Statement::ShowDatabases => json!({
                "statement_id": id,
                "series": [{ "name": "databases", "columns": ["name"], "values": [[database]] }],
            }),
        }
    }
}

fn statement(input: &str) -> IResult<&str, Statement> {
    let words = |first, second| (tag_no_case(first), multispace1, tag_no_case(second));
    let create = preceded((words("CREATE", "DATABASE"), multispace1), name).map(Statement::CreateDatabase);
    let show = words("SHOW", "DATABASES").map(|_| Statement::ShowDatabases);
    alt((create, show)).parse(input)
}

fn name(input: &str) -> IResult<&str, String> {
    let quoted = delimited(char('"'), escaped_transform(is_not("\\\""), '\\', anychar), char('"'));
    let bare = take_while1(|c: char| c.is_alphanumeric() || "_-.".contains(c)).map(str::to_owned);
    alt((quoted, bare)).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send() {
        let create = |name: &str| Statement::CreateDatabase(name.to_owned());
        assert_eq!(parse("CREATE DATABASE \"tele graf\""), Ok(vec![create("tele graf")]));
        assert_eq!(parse(" create  database db-1.x ; "), Ok(vec![create("db-1.x")]));
        assert_eq!(parse(r#"CREATE DATABASE "a\"b\\c""#), Ok(vec![create(r#"a"b\c"#)]));
        assert_eq!(
            parse("CREATE DATABASE a;; CREATE DATABASE b;SHOW DATABASES;"),
            Ok(vec![create("a"), create("b"), Statement::ShowDatabases])
        );
    }

    #[test]
    fn what_is_not_understood() {
        let others = [
            "",
            ";",
            "CREATE DATABASE",
            "CREATE DATABASE a WITH DURATION 1d",
            "SHOW DATABASES x",
            "SELECT * FROM m",
            "CREATE DATABASE \"a",
        ];
        for query in others {
            assert_eq!(parse(query), Err(NotUnderstood(query.to_owned())));
        }
    }
}
