//! Cursors of SQL: `DECLARE`, `FETCH`, `MOVE`. A cursor is a portal by the name it was given; it reads forward only.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Declare, FetchDirection, Ident, Statement, Value, ValueWithSpan};

use super::sqlstate::{SqlError, code};
use super::statement::Planned;

/// A cursor to be made.
#[derive(Debug)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    /// It outlives its transaction.
    pub(crate) hold: bool,
    pub(crate) query: Arc<Planned>,
}

/// Rows to be taken from a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub(crate) cursor: String,
    /// Most rows to take; all that are left is `u64::MAX`.
    pub(crate) rows: u64,
    /// MOVE: they are passed over.
    pub(crate) moves: bool,
}

impl Fetch {
    /// What a statement takes from a cursor; `None` when it is another statement.
    ///
    /// # Errors
    /// 55000 for any way but forward.
    pub(crate) fn of(statement: &Statement) -> Result<Option<Fetch>, SqlError> {
        let Statement::Fetch { name, direction, into, .. } = statement else { return Ok(None) };
        let rows = match direction {
            FetchDirection::Next | FetchDirection::Forward { limit: None } => Some(1),
            FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => count(limit),
            FetchDirection::All | FetchDirection::ForwardAll => Some(u64::MAX),
            _ => None,
        };
        let rows = rows.filter(|rows| *rows > 0).ok_or_else(forward_only)?;
        Ok(Some(Fetch { cursor: folded(name), rows, moves: into.is_some() }))
    }

    /// The command tag for a number of rows.
    pub(crate) fn tag(&self, rows: u64) -> String {
        format!("{} {rows}", if self.moves { "MOVE" } else { "FETCH" })
    }
}

/// The name of a cursor to be made and whether it is held.
///
/// # Errors
/// 0A000 for cursors that go backward or give binary values.
pub(crate) fn declared(declare: &Declare) -> Result<(String, bool), SqlError> {
    let [name] = declare.names.as_slice() else {
        return Err(SqlError::new(code::SYNTAX_ERROR, "a cursor has one name"));
    };
    if declare.binary == Some(true) {
        return Err(SqlError::unsupported("BINARY cursors are not supported"));
    }
    if declare.scroll == Some(true) {
        return Err(SqlError::unsupported("SCROLL cursors are not supported").with_hint("Cursors read forward."));
    }
    Ok((folded(name), declare.hold == Some(true)))
}

/// A cursor that is not there.
pub(crate) fn no_cursor(name: &str) -> SqlError {
    SqlError::new(code::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
}

fn forward_only() -> SqlError {
    SqlError::new(code::OBJECT_NOT_IN_STATE, "cursor can only scan forward")
}

fn count(limit: &ValueWithSpan) -> Option<u64> {
    match &limit.value {
        Value::Number(number, _) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// Unquoted names fold to lower case.
fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_fetch_and_move() {
        for (text, rows, moves) in [
            ("FETCH c", 1, false),
            ("FETCH NEXT FROM c", 1, false),
            ("FETCH FORWARD 50 FROM \"c\"", 50, false),
            ("fetch 100 in \"c\"", 100, false),
            ("FETCH ALL C", u64::MAX, false),
            ("FETCH FORWARD ALL IN c", u64::MAX, false),
            ("FETCH FORWARD c", 1, false),
            ("MOVE 3 FROM c", 3, true),
            ("move all in c", u64::MAX, true),
        ] {
            let statements = plimsoll_query::parse(text).unwrap();
            let fetch = Fetch::of(statements[0].ast().unwrap()).unwrap().unwrap();
            assert_eq!(fetch, Fetch { cursor: "c".to_owned(), rows, moves }, "{text}");
        }
        for text in ["FETCH PRIOR FROM c", "FETCH -1 FROM c", "FETCH BACKWARD ALL c", "MOVE ABSOLUTE -2 c", "FETCH 0 c"]
        {
            let statements = plimsoll_query::parse(text).unwrap();
            assert!(Fetch::of(statements[0].ast().unwrap()).is_err(), "{text}");
        }
    }
}
