//! `ALTER BASELINE ... OVERRIDE`: somebody knows better what is normal, for a reason and for a while.

use std::fmt;

use super::cursor::{Cursor, listed};
use super::lexer::TokenKind;
use super::{SyntaxError, joined, quoted, text_literal};

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

/// What can be overridden.
const FIELDS: [&str; 3] = ["lower", "upper", "score_threshold"];

/// An override of a baseline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Override {
    pub(crate) baseline: String,
    /// Of `lower`, `upper` and `score_threshold` those that are set, each a number as it was written.
    pub(crate) set: Vec<(String, String)>,
    /// Dimensions and the values that a row has to have.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) reason: String,
    /// An instant or a day.
    pub(crate) until: String,
}

impl Override {
    pub(super) fn parse(baseline: String, cursor: &mut Cursor<'_>) -> Result<Override> {
        let mut seen: Vec<String> = Vec::new();
        let set = cursor.list(|cursor| field(cursor, &mut seen))?;
        let mut labels: Vec<(String, String)> = Vec::new();
        if cursor.eat("where") {
            loop {
                let token = cursor.peek().clone();
                let name = cursor.name("the name of a dimension")?;
                if labels.iter().any(|(known, _)| *known == name) {
                    return Err(cursor.error_at(&token, &format!("\"{name}\" is given twice"), None));
                }
                cursor.expect_sign('=')?;
                labels.push((name, cursor.quoted_text("a value in quotes")?));
                if !cursor.eat("and") {
                    break;
                }
            }
        }
        cursor.expect_any(&["reason"])?;
        let reason = cursor.quoted_text("a reason in quotes")?;
        cursor.expect_any(&["until"])?;
        let until = cursor.quoted_text("an instant or a day in quotes")?;
        cursor.expect_end(&[])?;
        Ok(Override { baseline, set, labels, reason, until })
    }
}

fn field(cursor: &mut Cursor<'_>, seen: &mut Vec<String>) -> Result<(String, String)> {
    let token = cursor.peek().clone();
    let name = cursor.name("what is overridden")?;
    if !FIELDS.contains(&name.as_str()) {
        let hint = match crate::functions::most_similar(&name, FIELDS.into_iter()) {
            Some(near) => format!("Did you mean \"{near}\"?"),
            None => format!("It is {}.", listed(FIELDS.iter().map(|field| (*field).to_owned()))),
        };
        return Err(cursor.error_at(&token, &format!("\"{name}\" cannot be overridden"), Some(hint)));
    }
    if seen.contains(&name) {
        return Err(cursor.error_at(&token, &format!("\"{name}\" is given twice"), None));
    }
    seen.push(name.clone());
    cursor.expect_sign('=')?;
    let sign = if cursor.eat_sign('-') { "-" } else { "" };
    let TokenKind::Number(digits) = &cursor.peek().kind else { return Err(cursor.unexpected("a number", &[])) };
    let number = format!("{sign}{digits}");
    let is_negative_score = name == "score_threshold" && !sign.is_empty();
    if is_negative_score || !number.parse().is_ok_and(f64::is_finite) {
        let hint = if is_negative_score { "A score is not negative." } else { "The number is too large." };
        return Err(cursor.error(&format!("invalid value for \"{name}\""), Some(hint.to_owned())));
    }
    cursor.advance();
    Ok((name, number))
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.set.iter().map(|(name, number)| format!("{name} = {number}"));
        write!(f, "{} OVERRIDE ({})", quoted(&self.baseline), joined(set, ", "))?;
        if !self.labels.is_empty() {
            let labels = self.labels.iter().map(|(name, value)| format!("{} = {}", quoted(name), text_literal(value)));
            write!(f, " WHERE {}", joined(labels, " AND "))?;
        }
        write!(f, " REASON {} UNTIL {}", text_literal(&self.reason), text_literal(&self.until))
    }
}
