//! `CREATE SLO` and `CREATE SLA`: what was promised, and to whom.

use std::fmt;

use super::cursor::Cursor;
use super::indicator::on_service;
use super::lexer::TokenKind;
use super::statement::Kind;
use super::{Options, Query, SyntaxError, joined, quoted, text_literal};

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

/// A share in percent, exact: as many hundred-millionths of the whole as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Percent {
    /// Parts of [`Percent::WHOLE`].
    parts: u64,
}

/// An SLO.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slo {
    pub(crate) name: String,
    pub(crate) service: Option<String>,
    pub(crate) objective: Percent,
    pub(crate) window: Window,
    /// The SLOs that it is made of, with their weights; none of one that counts events itself.
    pub(crate) parts: Vec<Part>,
    /// What it counts; of one that is made of others, what that comes to in SQL.
    pub(crate) query: Query,
    pub(crate) options: Options,
}

/// An SLO as a part of another one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) slo: String,
    /// How much it counts beside the others, as it was written.
    pub(crate) weight: String,
}

/// What time an objective is about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Window {
    /// The time before each moment, of this length.
    Rolling(String),
    /// Periods of the calendar, in a time zone.
    Calendar { period: String, zone: Option<String> },
}

/// An SLA.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sla {
    pub(crate) name: String,
    pub(crate) customer: String,
    /// What is reported on at a time, such as `1 month`.
    pub(crate) period: String,
    /// The calendar whose time counts, and whose zone periods begin in.
    pub(crate) calendar: Option<String>,
    pub(crate) targets: Vec<Target>,
    pub(crate) options: Options,
}

/// What an SLO has to reach in each period.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) slo: String,
    pub(crate) at_least: Percent,
}

impl Percent {
    /// A hundred percent.
    pub(crate) const WHOLE: u64 = 100_000_000;

    /// Digits behind the point that a percentage can have.
    const DIGITS: usize = 6;

    /// Hundred-millionths of the whole.
    pub(crate) fn parts(self) -> u64 {
        self.parts
    }

    /// A number of percent as it is written; `None` when it has too many digits or is more than a hundred.
    pub(super) fn read(digits: &str) -> Option<Percent> {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_plain = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
        if !is_plain || fraction.len() > Percent::DIGITS || whole.len() > 3 || whole.is_empty() {
            return None;
        }
        let scaled = format!("{whole}{fraction:0<width$}", width = Percent::DIGITS);
        scaled.parse().ok().filter(|parts| *parts <= Percent::WHOLE).map(|parts| Percent { parts })
    }
}

impl Slo {
    pub(super) fn parse(name: String, cursor: &mut Cursor<'_>) -> Result<Slo> {
        let service = on_service(cursor)?;
        cursor.expect("objective")?;
        let objective = percent(cursor)?;
        if objective.parts == 0 || objective.parts == Percent::WHOLE {
            let hint = "An objective leaves room for some failure: it lies between 0% and 100%.";
            return Err(cursor.error("invalid objective", Some(hint.to_owned())));
        }
        cursor.expect("over")?;
        let window = window(cursor)?;
        cursor.expect("as")?;
        let is_composite = cursor.is_word("composite") && cursor.is_sign_at(1, '(');
        let (parts, query) = match is_composite {
            true => {
                cursor.advance();
                (parts(cursor)?, Query { text: String::new(), offset: 0 })
            }
            false if cursor.is_word("composite") => {
                cursor.advance();
                return Err(cursor.unexpected("the SLOs that it is made of, as in (a WEIGHT 2, b WEIGHT 1)", &[]));
            }
            false => (Vec::new(), Query::parse(cursor)?),
        };
        let options = Options::parse_with(cursor, Kind::Slo)?;
        cursor.expect_end(if is_composite { &["with"] } else { &[] })?;
        let mut slo = Slo { name, service, objective, window, parts, query, options };
        slo.compose();
        Ok(slo)
    }

    /// Says in SQL what an SLO that is made of others counts: slices of time, each as good as the weighted mean of the shares of
    /// those that counted anything in it. To be done again when its options have changed.
    pub(super) fn compose(&mut self) {
        if self.parts.is_empty() {
            return;
        }
        let slice = text_literal(self.options.text("slice").unwrap_or(Slo::SLICE));
        let part = |Part { slo, weight }: &Part| {
            format!(
                "SELECT time_bucket({slice}, time) AS slice, sum(good) AS good, sum(total) AS total, {weight}::float8 AS weight \
                 FROM slo.{} GROUP BY 1",
                quoted(slo)
            )
        };
        let parts: Vec<String> = self.parts.iter().map(part).collect();
        self.query.text = format!(
            "SELECT time_bucket({slice}, slice) AS time, sum(weight * (good / total)) AS good, sum(weight) AS total \
             FROM ({}) AS parts WHERE total > 0 GROUP BY 1",
            parts.join(" UNION ALL ")
        );
    }

    /// The width of a slice when it does not say.
    pub(crate) const SLICE: &str = "1 min";
}

/// Takes the SLOs that one is made of.
fn parts(cursor: &mut Cursor<'_>) -> Result<Vec<Part>> {
    let parts = cursor.list(|cursor| {
        let slo = cursor.name("the name of an SLO")?;
        let weight = match cursor.eat("weight") {
            true => weight(cursor)?,
            false => "1".to_owned(),
        };
        Ok(Part { slo, weight })
    })?;
    let twice = parts.iter().enumerate().find(|(at, part)| parts[..*at].iter().any(|other| other.slo == part.slo));
    match twice {
        Some((_, part)) => Err(cursor.error(&format!("the SLO \"{}\" is a part twice", part.slo), None)),
        None => Ok(parts),
    }
}

fn weight(cursor: &mut Cursor<'_>) -> Result<String> {
    /// The largest weight; sums of thousands stay exact.
    const MOST: f64 = 1_000_000.0;
    let TokenKind::Number(digits) = &cursor.peek().kind else {
        return Err(cursor.unexpected("a weight such as 2 or 0.5", &[]));
    };
    let is_weight = digits.parse::<f64>().is_ok_and(|weight| weight > 0.0 && weight <= MOST);
    if !is_weight {
        let hint = "It is a number above 0, and a million at most.";
        return Err(cursor.error("invalid weight", Some(hint.to_owned())));
    }
    let digits = digits.clone();
    cursor.advance();
    Ok(digits)
}

fn window(cursor: &mut Cursor<'_>) -> Result<Window> {
    if cursor.eat("rolling") {
        return Ok(Window::Rolling(cursor.quoted_text("a length of time such as '30 days'")?));
    }
    if !matches!(cursor.peek().kind, TokenKind::Text(_)) {
        return Err(cursor.unexpected("ROLLING and a length of time, or a period such as '1 month'", &["rolling"]));
    }
    let period = cursor.quoted_text("a period such as '1 month'")?;
    let zone = match cursor.eat("at") {
        true => {
            cursor.expect("time")?;
            cursor.expect("zone")?;
            Some(cursor.quoted_text("the name of a time zone in quotes")?)
        }
        false => None,
    };
    Ok(Window::Calendar { period, zone })
}

impl Sla {
    pub(super) fn parse(name: String, cursor: &mut Cursor<'_>) -> Result<Sla> {
        cursor.expect("for")?;
        cursor.expect("customer")?;
        let customer = cursor.quoted_text("the name of a customer in quotes")?;
        cursor.expect("period")?;
        let period = cursor.quoted_text("a period such as '1 month'")?;
        let calendar = match cursor.eat("calendar") {
            true => Some(cursor.name("the name of a calendar")?),
            false => None,
        };
        if !cursor.is_sign('(') {
            return Err(cursor.unexpected("CALENDAR or the targets, as in (availability >= 99.9%)", &["calendar"]));
        }
        let targets = cursor.list(target)?;
        let twice = targets.iter().enumerate().find(|(at, target)| targets[..*at].iter().any(|t| t.slo == target.slo));
        if let Some((_, target)) = twice {
            return Err(cursor.error(&format!("the SLO \"{}\" is a target twice", target.slo), None));
        }
        let options = Options::parse_with(cursor, Kind::Sla)?;
        cursor.expect_end(&["with"])?;
        Ok(Sla { name, customer, period, calendar, targets, options })
    }
}

fn target(cursor: &mut Cursor<'_>) -> Result<Target> {
    let slo = cursor.name("the name of an SLO")?;
    if !(cursor.eat_sign('>') && cursor.eat_sign('=')) {
        return Err(cursor.unexpected("\">=\" and a percentage", &[]));
    }
    Ok(Target { slo, at_least: percent(cursor)? })
}

fn percent(cursor: &mut Cursor<'_>) -> Result<Percent> {
    let hint = || {
        Some(format!(
            "It is a number from 0 to 100 with at most {} digits behind the point and a %, such as 99.9%.",
            Percent::DIGITS
        ))
    };
    let TokenKind::Number(digits) = &cursor.peek().kind else {
        return Err(cursor.unexpected("a percentage such as 99.9%", &[]));
    };
    let percent = Percent::read(digits).ok_or_else(|| cursor.error("invalid percentage", hint()))?;
    cursor.advance();
    match cursor.eat_sign('%') {
        true => Ok(percent),
        false => Err(cursor.unexpected("\"%\": objectives and targets are percentages", &[])),
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10u64.pow(Percent::DIGITS as u32);
        let fraction = format!("{:0width$}", self.parts % unit, width = Percent::DIGITS);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{}%", self.parts / unit),
            fraction => write!(f, "{}.{fraction}%", self.parts / unit),
        }
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", quoted(&self.name))?;
        if let Some(service) = &self.service {
            write!(f, " ON SERVICE {}", quoted(service))?;
        }
        write!(f, " OBJECTIVE {} OVER {} AS ", self.objective, self.window)?;
        match self.parts.as_slice() {
            [] => f.write_str(&self.query.text)?,
            parts => write!(f, "COMPOSITE ({})", joined(parts, ", "))?,
        }
        write!(f, "{}", self.options)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} WEIGHT {}", quoted(&self.slo), self.weight)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Window::Rolling(length) => write!(f, "ROLLING {}", text_literal(length)),
            Window::Calendar { period, zone: None } => f.write_str(&text_literal(period)),
            Window::Calendar { period, zone: Some(zone) } => {
                write!(f, "{} AT TIME ZONE {}", text_literal(period), text_literal(zone))
            }
        }
    }
}

impl fmt::Display for Sla {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, customer) = (quoted(&self.name), text_literal(&self.customer));
        write!(f, "{name} FOR CUSTOMER {customer} PERIOD {}", text_literal(&self.period))?;
        if let Some(calendar) = &self.calendar {
            write!(f, " CALENDAR {}", quoted(calendar))?;
        }
        write!(f, " ({}){}", joined(&self.targets, ", "), self.options)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} >= {}", quoted(&self.slo), self.at_least)
    }
}
