//! `BACKTEST ALERT`: what an alert would have done in a time that is over, and whether other settings had done better.

use std::fmt;

use super::cursor::{Cursor, listed};
use super::expression::query_in_parentheses;
use super::lexer::TokenKind;
use super::options::Known;
use super::{Options, Query, SyntaxError, joined, quoted, text_literal};

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

/// What can be swept: a threshold, which is a number, and lengths of time.
const THRESHOLD: &str = "score_threshold";
const PARAMETERS: [&str; 4] = [THRESHOLD, "for_duration", "clear_for", "keep_firing"];

/// A backtest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Backtest {
    pub(crate) alert: String,
    /// An instant or a day, the first that is looked at.
    pub(crate) start: String,
    /// The first that is not.
    pub(crate) end: String,
    /// What had happened indeed: `opened_at` and `resolved_at` of each incident.
    pub(crate) against: Option<Query>,
    /// Parameters and the values that each is tried with: numbers as they were written, lengths of time.
    pub(crate) sweep: Vec<(String, Vec<String>)>,
    pub(crate) options: Options,
}

impl Backtest {
    /// Parses what follows `BACKTEST`.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Backtest> {
        cursor.expect("alert")?;
        let alert = cursor.name("the name of an alert")?;
        cursor.expect("between")?;
        let start = instant(cursor)?;
        cursor.expect("and")?;
        let end = instant(cursor)?;
        let (mut against, mut sweep) = (None, Vec::new());
        let clauses = ["against", "sweep"];
        while let Some(word) = clauses.into_iter().find(|word| cursor.is_word(word)) {
            let is_given = if word == "against" { against.is_some() } else { !sweep.is_empty() };
            if is_given {
                let hint = match word {
                    "against" => "Join queries with UNION ALL.",
                    _ => "All parameters are in one list: SWEEP (a IN (...), b IN (...)).",
                };
                return Err(cursor.error(&format!("{} is given twice", word.to_uppercase()), Some(hint.to_owned())));
            }
            cursor.advance();
            match word {
                "against" => against = Some(query_in_parentheses(cursor)?),
                _ => {
                    let mut seen: Vec<String> = Vec::new();
                    sweep = cursor.list(|cursor| parameter(cursor, &mut seen))?;
                }
            }
        }
        let options = Options::parse_for(cursor, Known::BACKTEST)?;
        if options != Options::default() && clauses.iter().any(|word| cursor.is_word(word)) {
            return Err(cursor.unexpected("the end of the statement, since options come last", &[]));
        }
        cursor.expect_end(&["against", "sweep", "with"])?;
        Ok(Backtest { alert, start, end, against, sweep, options })
    }

    /// The value of an option as text.
    pub(crate) fn option_text(&self, name: &str) -> Option<&str> {
        self.options.text(name)
    }
}

/// Takes an instant, as PostgreSQL writes one.
pub(super) fn instant(cursor: &mut Cursor<'_>) -> Result<String> {
    cursor.quoted_text("an instant or a day in quotes, such as '2026-01-01'")
}

/// Takes `parameter IN (value, ...)`.
fn parameter(cursor: &mut Cursor<'_>, seen: &mut Vec<String>) -> Result<(String, Vec<String>)> {
    let token = cursor.peek().clone();
    let name = cursor.name("what is swept")?;
    if !PARAMETERS.contains(&name.as_str()) {
        let hint = match crate::functions::most_similar(&name, PARAMETERS.into_iter()) {
            Some(near) => format!("Did you mean \"{near}\"?"),
            None => format!("It is {}.", listed(PARAMETERS.iter().map(|parameter| (*parameter).to_owned()))),
        };
        return Err(cursor.error_at(&token, &format!("\"{name}\" cannot be swept"), Some(hint)));
    }
    if seen.contains(&name) {
        let hint = "All its values are in one list.".to_owned();
        return Err(cursor.error_at(&token, &format!("\"{name}\" is given twice"), Some(hint)));
    }
    seen.push(name.clone());
    cursor.expect("in")?;
    let mut values: Vec<String> = Vec::new();
    cursor.list(|cursor| {
        let token = cursor.peek().clone();
        let value = value(cursor, &name)?;
        if values.contains(&value) {
            let hint = "Each value makes combinations of its own.".to_owned();
            return Err(cursor.error_at(&token, &format!("{value} is given twice"), Some(hint)));
        }
        values.push(value);
        Ok(())
    })?;
    Ok((name, values))
}

fn value(cursor: &mut Cursor<'_>, name: &str) -> Result<String> {
    let wrong = |cursor: &Cursor<'_>, hint: &str| {
        Err(cursor.error(&format!("invalid value for \"{name}\""), Some(hint.to_owned())))
    };
    let found = match &cursor.peek().kind {
        TokenKind::Number(digits) if name == THRESHOLD => digits.clone(),
        TokenKind::Text(text) if name != THRESHOLD => text.clone(),
        _ if name == THRESHOLD => return wrong(cursor, "It is a number that is not negative, such as 2.5."),
        _ => return wrong(cursor, "It is a length of time in quotes, such as '5 min'."),
    };
    if name == THRESHOLD && !found.parse().is_ok_and(f64::is_finite) {
        return wrong(cursor, "The number is too large.");
    }
    cursor.advance();
    Ok(found)
}

impl fmt::Display for Backtest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (text_literal(&self.start), text_literal(&self.end));
        write!(f, "BACKTEST ALERT {} BETWEEN {start} AND {end}", quoted(&self.alert))?;
        if let Some(against) = &self.against {
            write!(f, " AGAINST ({})", against.text)?;
        }
        if !self.sweep.is_empty() {
            let parameters = self.sweep.iter().map(|(name, values)| {
                let value = |value: &String| if name == THRESHOLD { value.clone() } else { text_literal(value) };
                format!("{name} IN ({})", joined(values.iter().map(value), ", "))
            });
            write!(f, " SWEEP ({})", joined(parameters, ", "))?;
        }
        write!(f, "{}", self.options)
    }
}
