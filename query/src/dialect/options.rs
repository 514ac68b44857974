//! `WITH (name = value, ...)`: which options each kind has, and of what type.

use std::fmt;

use super::cursor::{Cursor, listed};
use super::lexer::{Token, TokenKind};
use super::statement::Kind;
use super::{SyntaxError, quoted, text_literal};

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

/// The value of an option.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OptionValue {
    /// A text.
    Text(String),
    /// A number, as it was written.
    Number(String),
    /// True or false.
    Truth(bool),
}

/// Options as they were given, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Options(Vec<(String, OptionValue)>);

/// What values an option takes.
#[derive(Debug, Clone, Copy)]
enum Takes {
    Text,
    /// A text that is never shown again.
    Secret,
    /// An address, of which a user, a password and parameters are not shown again.
    Url,
    /// One of some words.
    Word(&'static [&'static str]),
    /// A length of time, such as `'5 min'`.
    Span,
    /// A number between two.
    Number(f64, f64),
    /// A whole number from 0.
    Whole(u64),
    Truth,
}

/// What options a place takes: their names and types, and who has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    whose: &'static str,
    options: &'static [(&'static str, Takes)],
    /// Those that only ALTER takes, since CREATE has clauses for them.
    clauses: &'static [(&'static str, Takes)],
}

impl Known {
    pub(super) const BACKTEST: Known = Known {
        whose: "A backtest",
        options: &[
            ("max_delay", Takes::Span),
            ("lead", Takes::Span),
            ("score", Takes::Word(&["all", "precision", "recall", "f1"])),
        ],
        clauses: &[],
    };

    pub(super) const SUBSCRIPTION: Known = Known {
        whose: "A subscription",
        options: &[("snapshot", Takes::Truth), ("min_interval", Takes::Span)],
        clauses: &[],
    };

    fn with(kind: Kind) -> Known {
        Known { whose: whose(kind), options: known(kind), clauses: &[] }
    }

    fn altering(kind: Kind) -> Known {
        let clauses: &[(&str, Takes)] = match kind {
            Kind::Service => &[("tier", Takes::Whole(super::service::TIER_MAX as u64)), ("owner", Takes::Text)],
            _ => &[],
        };
        Known { clauses, ..Known::with(kind) }
    }

    fn all(self) -> impl Iterator<Item = (&'static str, Takes)> {
        self.options.iter().chain(self.clauses).copied()
    }
}

/// A kind as a hint speaks of one.
fn whose(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "A service",
        Kind::Calendar => "A calendar",
        Kind::Kpi => "A KPI",
        Kind::Baseline => "A baseline",
        Kind::Slo => "A SLO",
        Kind::Sla => "A SLA",
        Kind::Sink => "A sink",
        Kind::Policy => "An escalation policy",
        Kind::Alert => "An alert",
    }
}

/// The options of a kind.
fn known(kind: Kind) -> &'static [(&'static str, Takes)] {
    use Takes::{Number, Secret, Span, Text, Truth, Url, Whole, Word};
    match kind {
        Kind::Service => {
            &[("cost_per_minute", Number(0.0, f64::MAX)), ("currency", Text), ("match", Text), ("escalation", Text)]
        }
        Kind::Calendar => &[("holidays", Text), ("period", Text), ("period_anchor", Text)],
        Kind::Kpi => &[
            ("unit", Text),
            ("better", Word(&["low", "high"])),
            ("kind", Word(&["leading", "lagging"])),
            ("steward", Text),
            ("taxonomy", Text),
            ("period", Text),
            ("calendar", Text),
            ("lateness", Span),
            ("idle_after", Span),
            ("on_missing", Word(&["unknown", "hold", "bad", "good", "zero", "interpolate"])),
            ("max_hold", Span),
            ("step", Span),
            ("min_coverage", Number(0.0, 1.0)),
            ("counter_kpi", Text),
            ("contributors", Text),
            ("approval", Word(&["two_person"])),
        ],
        Kind::Baseline => &[
            ("history", Span),
            ("hold", Span),
            ("method", Word(&["auto", "residual", "novelty"])),
            ("band", Number(0.0, 1.0)),
            ("learn_in_maintenance", Truth),
            ("holidays", Text),
            ("max_override", Span),
            ("timezone", Text),
        ],
        Kind::Slo => &[
            ("budgeting", Word(&["occurrences", "timeslices", "ratio_timeslices"])),
            ("slice", Span),
            ("slice_target", Number(0.0, 1.0)),
            ("exclude", Word(&["maintenance"])),
            ("on_missing", Word(&["unknown", "bad", "good"])),
            ("min_events", Number(0.0, 1e15)),
            ("min_coverage", Number(0.0, 1.0)),
            ("lateness", Span),
            ("calendar", Text),
            ("step", Span),
            ("burn_alerts", Text),
            ("approval", Word(&["two_person"])),
        ],
        Kind::Sla => &[
            ("credits", Text),
            ("seal_after", Span),
            ("min_coverage", Number(0.0, 1.0)),
            ("approval", Word(&["two_person"])),
        ],
        Kind::Sink => &[
            ("connector", Word(&["webhook", "email"])),
            ("url", Url),
            ("secret", Secret),
            ("secret_previous", Secret),
            ("token", Secret),
            ("username", Text),
            ("password", Secret),
            ("format", Word(&["incident_v1", "alertmanager", "pagerduty", "slack", "servicenow", "jira"])),
            ("timeout", Span),
            ("max_age", Span),
            ("allow_private", Truth),
            ("allow_hosts", Text),
            ("headers", Secret),
            ("project", Text),
            ("host", Text),
            ("port", Whole(65_535)),
            ("tls", Word(&["starttls", "on", "off"])),
            ("from", Text),
            ("to", Text),
        ],
        Kind::Policy => &[("repeat", Whole(100)), ("ack_timeout", Span), ("calendar", Text)],
        Kind::Alert => &[
            ("ticket", Word(&["incident", "action_plan", "problem", "none"])),
            ("dedup_key", Text),
            ("group_wait", Span),
            ("group_interval", Span),
            ("repeat", Span),
            ("inhibit", Word(&["upstream", "none"])),
            ("correlation_window", Span),
            ("evaluate", Text),
            ("annotations", Text),
            ("on_missing", Word(&["unknown", "hold", "bad", "good"])),
            ("flap_max", Whole(1000)),
            ("max_alert_age", Span),
            ("reopen_window", Span),
            ("assignee", Text),
            ("due", Span),
            ("enabled", Truth),
            ("dry_run", Span),
            ("burn_template", Text),
        ],
    }
}

impl Options {
    /// The value of an option as text, however it was written.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| match value {
            OptionValue::Text(text) | OptionValue::Number(text) => text.as_str(),
            OptionValue::Truth(true) => "true",
            OptionValue::Truth(false) => "false",
        })
    }

    /// The options with their values as they stand in a statement.
    pub(super) fn written(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
    }

    /// Hides the values that are not to be shown.
    pub(super) fn mask(&mut self, kind: Kind) {
        let takes = |name: &str| known(kind).iter().find(|(known, _)| *known == name).map(|(_, takes)| *takes);
        // Where the receiver is told from others by its path alone, the path is the password.
        let is_path_secret = self.text("format") == Some("slack");
        for (name, value) in &mut self.0 {
            match (takes(name), &*value) {
                (Some(Takes::Secret), _) => *value = OptionValue::Text("***".to_owned()),
                (Some(Takes::Url), OptionValue::Text(url)) => {
                    *value = OptionValue::Text(masked_url(url, is_path_secret));
                }
                _ => {}
            }
        }
    }

    /// Takes an option out.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        match self.0.remove(at).1 {
            OptionValue::Text(text) | OptionValue::Number(text) => Some(text),
            OptionValue::Truth(truth) => Some(truth.to_string()),
        }
    }

    /// Sets some options and takes others away; those set come in their old place, new ones last.
    pub(crate) fn change(&mut self, set: &Options, reset: &[String]) {
        self.0.retain(|(name, _)| !reset.contains(name));
        for (name, value) in &set.0 {
            match self.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, old)) => *old = value.clone(),
                None => self.0.push((name.clone(), value.clone())),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn given(options: Vec<(String, OptionValue)>) -> Options {
        Options(options)
    }

    /// Parses ` WITH (...)` if it comes next.
    pub(super) fn parse_with(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Options> {
        Options::parse_for(cursor, Known::with(kind))
    }

    /// Parses ` WITH (...)` of what is no definition, if it comes next.
    pub(super) fn parse_for(cursor: &mut Cursor<'_>, known: Known) -> Result<Options> {
        match cursor.eat("with") {
            true => Options::parse(cursor, known),
            false => Ok(Options::default()),
        }
    }

    /// Parses the `(name = value, ...)` of ALTER.
    pub(super) fn parse_set(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Options> {
        Options::parse(cursor, Known::altering(kind))
    }

    fn parse(cursor: &mut Cursor<'_>, known: Known) -> Result<Options> {
        let mut seen: Vec<String> = Vec::new();
        let options = cursor.list(|cursor| {
            let (name, takes) = option_name(cursor, known, &mut seen)?;
            cursor.expect_sign('=')?;
            Ok((name.clone(), value(cursor, &name, takes)?))
        })?;
        Ok(Options(options))
    }

    /// Parses the `(name, ...)` of ALTER.
    pub(super) fn parse_reset(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Vec<String>> {
        let mut seen = Vec::new();
        cursor.list(|cursor| Ok(option_name(cursor, Known::altering(kind), &mut seen)?.0))
    }
}

fn option_name(cursor: &mut Cursor<'_>, known: Known, seen: &mut Vec<String>) -> Result<(String, Takes)> {
    let token = cursor.peek().clone();
    let name = cursor.name("the name of an option")?;
    let Some((_, takes)) = known.all().find(|(known, _)| *known == name) else {
        let names = || known.all().map(|(name, _)| name);
        let hint = match crate::functions::most_similar(&name, names()) {
            Some(near) => format!("Did you mean \"{near}\"?"),
            None => {
                let names = listed(names().map(str::to_owned)).replace(" or ", " and ");
                format!("{} has the options {names}.", known.whose)
            }
        };
        return Err(cursor.error_at(&token, &format!("unrecognized option \"{name}\""), Some(hint)));
    };
    if seen.contains(&name) {
        return Err(cursor.error_at(&token, &format!("option \"{name}\" is given twice"), None));
    }
    seen.push(name.clone());
    Ok((name, takes))
}

fn value(cursor: &mut Cursor<'_>, name: &str, takes: Takes) -> Result<OptionValue> {
    let token = cursor.peek().clone();
    let wrong = |cursor: &Cursor<'_>, hint: String| {
        Err(cursor.error_at(&token, &format!("invalid value for option \"{name}\""), Some(hint)))
    };
    match takes {
        Takes::Text | Takes::Secret | Takes::Url | Takes::Span => match word_or_text(cursor) {
            Some(text) => Ok(OptionValue::Text(text)),
            None if matches!(takes, Takes::Span) => wrong(cursor, "It is a length of time such as '5 min'.".into()),
            None => wrong(cursor, "It is a text in quotes.".into()),
        },
        Takes::Word(words) => match word_or_text(cursor).map(|word| word.to_lowercase()) {
            Some(word) if words.contains(&word.as_str()) => Ok(OptionValue::Text(word)),
            _ => wrong(cursor, format!("It is {}.", listed(words.iter().map(|word| format!("'{word}'"))))),
        },
        Takes::Number(least, most) => {
            let sign = if cursor.eat_sign('-') { "-" } else { "" };
            let found = match &cursor.peek().kind {
                TokenKind::Number(digits) => Some(format!("{sign}{digits}")),
                _ => None,
            };
            match found.filter(|digits| digits.parse().is_ok_and(|number: f64| (least..=most).contains(&number))) {
                Some(digits) => {
                    cursor.advance();
                    Ok(OptionValue::Number(digits))
                }
                None if most >= 1e15 => wrong(cursor, "It is a number that is not negative.".into()),
                None => wrong(cursor, format!("It is a number from {least} to {most}.")),
            }
        }
        Takes::Whole(most) => match &cursor.peek().kind {
            TokenKind::Number(digits) if digits.parse().is_ok_and(|number: u64| number <= most) => {
                let digits = digits.clone();
                cursor.advance();
                Ok(OptionValue::Number(digits))
            }
            _ => wrong(cursor, format!("It is a whole number from 0 to {most}.")),
        },
        Takes::Truth => {
            let word = word_or_text(cursor).map(|word| word.to_lowercase());
            match word.as_deref() {
                Some("true" | "on" | "yes") => Ok(OptionValue::Truth(true)),
                Some("false" | "off" | "no") => Ok(OptionValue::Truth(false)),
                _ => wrong(cursor, "It is true or false.".into()),
            }
        }
    }
}

fn word_or_text(cursor: &mut Cursor<'_>) -> Option<String> {
    let text = match &cursor.peek().kind {
        TokenKind::Text(text) | TokenKind::Word(text) | TokenKind::Name(text) => text.clone(),
        _ => return None,
    };
    cursor.advance();
    Some(text)
}

/// Where a `WITH (` of options begins in what is left of a statement: the last one outside of all parentheses.
pub(super) fn options_at(cursor: &Cursor<'_>) -> Option<Token> {
    let mut depth = 0usize;
    let mut found = None;
    for ahead in 0.. {
        let token = cursor.peek_at(ahead);
        match token.kind {
            TokenKind::End => return found,
            TokenKind::Sign('(' | '[') => depth += 1,
            TokenKind::Sign(')' | ']') => depth = depth.saturating_sub(1),
            // `WITH (` begins options; a common table expression has a name between.
            TokenKind::Word(ref word)
                if word == "with"
                    && depth == 0
                    && ahead > 0
                    && cursor.peek_at(ahead + 1).kind == TokenKind::Sign('(') =>
            {
                found = Some(token.clone());
            }
            _ => {}
        }
    }
    found
}

impl fmt::Display for Options {
    /// With a blank before, so that none print nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let option = |(name, value): &(String, OptionValue)| format!("{} = {value}", quoted(name));
        write!(f, " WITH ({})", self.0.iter().map(option).collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::Text(text) => f.write_str(&text_literal(text)),
            OptionValue::Number(digits) => f.write_str(digits),
            OptionValue::Truth(truth) => write!(f, "{truth}"),
        }
    }
}

/// An address without what lets people in: user and password, parameters, and the path where it is a password.
fn masked_url(url: &str, hides_path: bool) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or_else(|| authority.to_owned(), |(_, host)| format!("***@{host}"));
    let path = after.split(['?', '#']).next().unwrap_or_default();
    let shown = match (hides_path && path.len() > 1, path.len() < after.len()) {
        (true, _) => "/***".to_owned(),
        (false, true) => format!("{path}?***"),
        (false, false) => path.to_owned(),
    };
    format!("{scheme}://{host}{shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_lets_people_in() {
        let shown = |url| masked_url(url, false);
        assert_eq!(shown("https://desk.example.com/hook"), "https://desk.example.com/hook");
        assert_eq!(shown("https://bob:pass@desk.example.com:8443"), "https://***@desk.example.com:8443");
        assert_eq!(shown("https://desk.example.com/hook?token=abc#d"), "https://desk.example.com/hook?***");
        assert_eq!(shown("http://desk?key=a/b@c"), "http://desk?***");
        assert_eq!(masked_url("https://hooks.example.com/services/T0/B0/xyz", true), "https://hooks.example.com/***");
        assert_eq!(shown("nonsense"), "nonsense");
    }
}
