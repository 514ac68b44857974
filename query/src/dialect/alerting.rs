//! `CREATE ALERT`, `CREATE SINK` and `CREATE ESCALATION POLICY`: what is wrong, who is told, and in which order.

use std::fmt;

use super::cursor::Cursor;
use super::indicator::on_service;
use super::lexer::TokenKind;
use super::statement::Kind;
use super::{Options, Query, SyntaxError, joined, quoted, text_literal};

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

/// An expression of SQL over the columns of a row.
pub(crate) type Expression = Query;

/// An alert: a query that is looked at again and again, and a condition on its rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alert {
    pub(crate) name: String,
    /// The service that it speaks of.
    pub(crate) service: Option<String>,
    pub(crate) query: Query,
    /// The columns that tell instances apart; `None` for all that are neither `time` nor numbers.
    pub(crate) labels: Option<Vec<String>>,
    pub(crate) when: Expression,
    /// For how long it has to be true.
    pub(crate) hold: Option<String>,
    pub(crate) clear: Option<Clear>,
    /// How long it fires on after the condition was last true.
    pub(crate) keep_firing: Option<String>,
    pub(crate) severity: Option<Expression>,
    /// The escalation policy.
    pub(crate) escalate: Option<String>,
    pub(crate) options: Options,
}

/// When an alert is over.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Clear {
    pub(crate) when: Expression,
    /// For how long it has to be true.
    pub(crate) hold: Option<String>,
}

/// Somebody or something that is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sink {
    pub(crate) name: String,
    pub(crate) options: Options,
}

/// Who is told when.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) options: Options,
}

/// A step of a policy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// How long after the incident was opened.
    pub(crate) after: String,
    /// The sinks that are told.
    pub(crate) notify: Vec<String>,
    /// What has to hold then, of the incident.
    pub(crate) when: Option<Expression>,
}

/// Takes text up to one of some words, a sign or the end, outside of parentheses and of `CASE ... END`.
fn take_until(cursor: &mut Cursor<'_>, what: &str, is_end: impl Fn(&Cursor<'_>) -> bool) -> Result<Query> {
    let (mut depth, mut cases) = (0_usize, 0_usize);
    let start = cursor.peek().clone();
    let mut last = None;
    loop {
        let is_outside = depth == 0 && cases == 0;
        if cursor.peek().kind == TokenKind::End || (is_outside && is_end(cursor)) {
            break;
        }
        match &cursor.peek().kind {
            TokenKind::Sign('(' | '[') => depth += 1,
            TokenKind::Sign(')' | ']') if depth == 0 => break,
            TokenKind::Sign(')' | ']') => depth -= 1,
            TokenKind::Word(word) if word == "case" => cases += 1,
            TokenKind::Word(word) if word == "end" => cases = cases.saturating_sub(1),
            _ => {}
        }
        last = Some(cursor.advance());
    }
    match last {
        Some(last) => Ok(Query { text: cursor.between(&start, &last).to_owned(), offset: cursor.offset_of(&start) }),
        None => Err(cursor.unexpected(what, &[])),
    }
}

/// True where a clause of an alert begins that comes behind a condition. A word that is used as a column is none.
fn begins_clause(cursor: &Cursor<'_>) -> bool {
    let is_used = match &cursor.peek_at(1).kind {
        TokenKind::Sign(sign) => *sign != '(',
        TokenKind::Word(word) if word == "not" => {
            ["in", "like", "ilike", "between"].iter().any(|word| cursor.is_word_at(2, word))
        }
        TokenKind::Word(word) => ["is", "in", "like", "ilike", "between", "and", "or"].contains(&word.as_str()),
        _ => false,
    };
    let words = ["for", "clear", "keep", "severity", "escalate", "with"];
    words.iter().any(|word| cursor.is_word(word)) && !is_used
}

impl Alert {
    pub(super) fn parse(name: String, cursor: &mut Cursor<'_>) -> Result<Alert> {
        let service = on_service(cursor)?;
        cursor.expect("as")?;
        if !cursor.is_word("select") && !cursor.is_word("with") && !cursor.is_sign('(') {
            return Err(cursor.unexpected("a query", &["select"]));
        }
        // A query that begins WITH has the word in front, where it begins no clause.
        let begins = cursor.offset_of(cursor.peek());
        let query = take_until(cursor, "a query", |cursor| {
            let is_first = cursor.offset_of(cursor.peek()) == begins;
            let has_labels = cursor.is_word("labels") && cursor.peek_at(1).kind == TokenKind::Sign('(');
            // CLEAR WHEN without a WHEN before it must not pass for an alias and the condition itself.
            let clears = cursor.is_word("clear") && cursor.is_word_at(1, "when");
            !is_first && (cursor.is_word("when") || has_labels || clears)
        })?;
        let mut labels = None;
        if cursor.is_word("labels") {
            cursor.advance();
            labels = Some(cursor.list(|cursor| cursor.name("the name of a column"))?);
        }
        cursor.expect_any(&["when"]).map_err(|error| match error.hint {
            Some(_) => {
                SyntaxError { hint: Some("Expected WHEN and a condition on the rows of the query.".into()), ..error }
            }
            None => error,
        })?;
        let when = condition(cursor)?;
        let hold = span_after(cursor, "for")?;
        let mut alert = Alert {
            name,
            service,
            query,
            labels,
            when,
            hold,
            clear: None,
            keep_firing: None,
            severity: None,
            escalate: None,
            options: Options::default(),
        };
        let mut seen: Vec<&str> = Vec::new();
        let clauses = ["clear", "keep", "severity", "escalate"];
        while let Some(word) = clauses.into_iter().find(|word| cursor.is_word(word)) {
            if seen.contains(&word) {
                return Err(cursor.error(&format!("{} is given twice", word.to_uppercase()), None));
            }
            seen.push(word);
            cursor.advance();
            match word {
                "clear" => {
                    cursor.expect("when")?;
                    let when = condition(cursor)?;
                    alert.clear = Some(Clear { when, hold: span_after(cursor, "for")? });
                }
                "keep" => {
                    cursor.expect("firing")?;
                    cursor.expect("for")?;
                    alert.keep_firing = Some(span(cursor)?);
                }
                "severity" => alert.severity = Some(take_until(cursor, "an expression", begins_clause)?),
                _ => {
                    cursor.expect("to")?;
                    alert.escalate = Some(cursor.name("the name of an escalation policy")?);
                }
            }
        }
        alert.options = Options::parse_with(cursor, Kind::Alert)?;
        cursor.expect_end(&["for", "clear", "keep", "severity", "escalate", "with"])?;
        Ok(alert)
    }

    /// The value of an option as text.
    pub(crate) fn option_text(&self, name: &str) -> Option<&str> {
        self.options.text(name)
    }
}

fn condition(cursor: &mut Cursor<'_>) -> Result<Expression> {
    take_until(cursor, "a condition such as value > 5", begins_clause)
}

/// Takes a length of time behind a word, if the word comes next.
fn span_after(cursor: &mut Cursor<'_>, word: &str) -> Result<Option<String>> {
    if cursor.eat(word) { span(cursor).map(Some) } else { Ok(None) }
}

fn span(cursor: &mut Cursor<'_>) -> Result<String> {
    cursor.quoted_text("a length of time such as '5 min'")
}

impl Sink {
    pub(super) fn parse(name: String, cursor: &mut Cursor<'_>) -> Result<Sink> {
        let options = Options::parse_with(cursor, Kind::Sink)?;
        cursor.expect_end(&["with"])?;
        Ok(Sink { name, options })
    }
}

impl Policy {
    pub(super) fn parse(name: String, cursor: &mut Cursor<'_>) -> Result<Policy> {
        cursor.expect_sign('(')?;
        let mut steps = vec![Step::parse(cursor)?];
        loop {
            match () {
                () if cursor.eat_sign(',') => steps.push(Step::parse(cursor)?),
                () if cursor.eat_sign(')') => break,
                () => return Err(cursor.unexpected("\",\" or \")\"", &[])),
            }
        }
        let options = Options::parse_with(cursor, Kind::Policy)?;
        cursor.expect_end(&["with"])?;
        Ok(Policy { name, steps, options })
    }
}

impl Step {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Step> {
        cursor.expect("after")?;
        let after = span(cursor)?;
        cursor.expect("notify")?;
        let mut notify = vec![cursor.name("the name of a sink")?];
        while cursor.is_sign(',') && !cursor.is_word_at(1, "after") {
            cursor.advance();
            notify.push(cursor.name("the name of a sink")?);
        }
        let is_end = |cursor: &Cursor<'_>| cursor.is_sign(',') && cursor.is_word_at(1, "after");
        let when = match cursor.eat("when") {
            true => Some(take_until(cursor, "a condition such as NOT acknowledged", is_end)?),
            false => None,
        };
        Ok(Step { after, notify, when })
    }
}

/// All but the words before.
impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(&self.name))?;
        if let Some(service) = &self.service {
            write!(f, " ON SERVICE {}", quoted(service))?;
        }
        write!(f, " AS {}", self.query.text)?;
        if let Some(labels) = &self.labels {
            write!(f, " LABELS ({})", joined(labels.iter().map(|label| quoted(label)), ", "))?;
        }
        write!(f, " WHEN {}", self.when.text)?;
        let hold = |f: &mut fmt::Formatter<'_>, span: &Option<String>| match span {
            Some(span) => write!(f, " FOR {}", text_literal(span)),
            None => Ok(()),
        };
        hold(f, &self.hold)?;
        if let Some(clear) = &self.clear {
            write!(f, " CLEAR WHEN {}", clear.when.text)?;
            hold(f, &clear.hold)?;
        }
        if let Some(span) = &self.keep_firing {
            write!(f, " KEEP FIRING FOR {}", text_literal(span))?;
        }
        if let Some(severity) = &self.severity {
            write!(f, " SEVERITY {}", severity.text)?;
        }
        if let Some(policy) = &self.escalate {
            write!(f, " ESCALATE TO {}", quoted(policy))?;
        }
        write!(f, "{}", self.options)
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", quoted(&self.name), self.options)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}){}", quoted(&self.name), joined(&self.steps, ", "), self.options)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sinks = joined(self.notify.iter().map(|sink| quoted(sink)), ", ");
        write!(f, "AFTER {} NOTIFY {sinks}", text_literal(&self.after))?;
        match &self.when {
            Some(when) => write!(f, " WHEN {}", when.text),
            None => Ok(()),
        }
    }
}
