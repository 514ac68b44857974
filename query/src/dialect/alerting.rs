//! `CREATE ALERT`, `CREATE SINK` and `CREATE ESCALATION POLICY`: what is wrong, who is told, and in which order.

use std::fmt;

use super::cursor::Cursor;
use super::expression::{Expression, begins_query, take_until};
use super::indicator::on_service;
use super::lexer::TokenKind;
use super::statement::Kind;
use super::{Options, Query, SyntaxError, joined, quoted, text_literal};

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

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

/// The clauses of an alert behind its query, in whichever order they are written.
const CLAUSES: [&str; 6] = ["labels", "when", "clear", "keep", "severity", "escalate"];

/// What has been read of them.
#[derive(Default)]
struct Clauses {
    labels: Option<Vec<String>>,
    when: Option<Expression>,
    hold: Option<String>,
    clear: Option<Clear>,
    keep_firing: Option<String>,
    severity: Option<Expression>,
    escalate: Option<String>,
}

/// True where a clause begins behind a query. The shape decides, since the words can be aliases.
fn ends_query(cursor: &Cursor<'_>, _is_first: bool) -> bool {
    let next = &cursor.peek_at(1).kind;
    match &cursor.peek().kind {
        TokenKind::Word(word) => match word.as_str() {
            "when" => true,
            "labels" => *next == TokenKind::Sign('('),
            "clear" => cursor.is_word_at(1, "when"),
            "keep" => cursor.is_word_at(1, "firing"),
            "severity" => matches!(next, TokenKind::Text(_)) || cursor.is_word_at(1, "case"),
            "escalate" => cursor.is_word_at(1, "to"),
            _ => false,
        },
        _ => false,
    }
}

/// True where a clause begins behind a condition. At its beginning such a word can also be a column: the shape decides.
fn begins_clause(cursor: &Cursor<'_>, is_first: bool) -> bool {
    let is_clause = ["for", "with"].iter().chain(&CLAUSES).any(|word| cursor.is_word(word));
    let goes_on = match &cursor.peek_at(1).kind {
        TokenKind::End => true,
        TokenKind::Sign(sign) => *sign != '(' || cursor.is_word("labels"),
        TokenKind::Word(word) => match () {
            () if cursor.is_word("clear") => word != "when",
            () if cursor.is_word("keep") => word != "firing",
            () if cursor.is_word("escalate") => word != "to",
            () => {
                let behind_column = ["and", "between", "ilike", "in", "is", "like", "not", "or", "for", "with"];
                behind_column.iter().chain(&CLAUSES).any(|known| known == word)
            }
        },
        _ => false,
    };
    is_clause && !(is_first && goes_on)
}

impl Clauses {
    /// Takes all that come next.
    fn parse(cursor: &mut Cursor<'_>) -> Result<Clauses> {
        let mut clauses = Clauses::default();
        let mut seen: Vec<&str> = Vec::new();
        while let Some(word) = CLAUSES.into_iter().find(|word| cursor.is_word(word)) {
            if seen.contains(&word) {
                let hint = match word {
                    "when" | "clear" => "Join conditions with AND or OR.",
                    "escalate" => "An alert has one escalation policy, whose steps can tell many sinks.",
                    _ => "An alert has each clause once.",
                };
                return Err(cursor.error(&format!("{} is given twice", word.to_uppercase()), Some(hint.to_owned())));
            }
            seen.push(word);
            cursor.advance();
            clauses.take(word, cursor)?;
            if cursor.is_word("for") {
                let hint = match clauses.when {
                    Some(_) => "FOR stands once behind a condition, that of WHEN or of CLEAR WHEN.",
                    None => "FOR stands behind the condition of WHEN.",
                };
                return Err(cursor.error("FOR belongs to no condition here", Some(hint.to_owned())));
            }
        }
        Ok(clauses)
    }

    /// Takes what follows the first word of a clause.
    fn take(&mut self, word: &str, cursor: &mut Cursor<'_>) -> Result<()> {
        match word {
            "labels" => self.labels = Some(cursor.list(|cursor| cursor.name("the name of a column"))?),
            "when" => {
                self.when = Some(condition(cursor)?);
                self.hold = span_after(cursor, "for")?;
            }
            "clear" => {
                cursor.expect("when")?;
                let when = condition(cursor)?;
                self.clear = Some(Clear { when, hold: span_after(cursor, "for")? });
            }
            "keep" => {
                cursor.expect("firing")?;
                cursor.expect("for")?;
                self.keep_firing = Some(span(cursor)?);
            }
            "severity" => self.severity = Some(take_until(cursor, "an expression such as 'critical'", begins_clause)?),
            _ => {
                cursor.expect("to")?;
                self.escalate = Some(cursor.name("the name of an escalation policy")?);
            }
        }
        Ok(())
    }
}

impl Alert {
    pub(super) fn parse(name: String, cursor: &mut Cursor<'_>) -> Result<Alert> {
        let service = on_service(cursor)?;
        cursor.expect("as")?;
        if !begins_query(cursor) {
            return Err(cursor.unexpected("a query", &["select"]));
        }
        let query = take_until(cursor, "a query", ends_query)?;
        let Clauses { labels, when, hold, clear, keep_firing, severity, escalate } = Clauses::parse(cursor)?;
        let Some(when) = when else {
            return Err(cursor.unexpected("WHEN and a condition on the rows of the query", &[]));
        };
        let options = Options::parse_with(cursor, Kind::Alert)?;
        if options != Options::default() && CLAUSES.iter().any(|word| cursor.is_word(word)) {
            return Err(cursor.unexpected("the end of the statement, since options come last", &[]));
        }
        cursor.expect_end(&["labels", "clear", "keep", "severity", "escalate", "with"])?;
        Ok(Alert { name, service, query, labels, when, hold, clear, keep_firing, severity, escalate, options })
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
        // Without its comma a step behind a condition would be a part of it.
        let is_end = |cursor: &Cursor<'_>, _is_first: bool| {
            let at = usize::from(cursor.is_sign(','));
            cursor.is_word_at(at, "after") && (at == 1 || matches!(cursor.peek_at(1).kind, TokenKind::Text(_)))
        };
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
