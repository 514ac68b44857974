//! The text of a retention: `raw 14 days, 1 min 90 days, 1 hour 3 years`, or `30 days` for raw data alone.
//!
//! ```text
//! retention := keep | tier { ',' tier }
//! tier      := ( 'raw' | width ) keep
//! width     := number unit
//! keep      := interval | 'forever'
//! ```

use datafusion::arrow::datatypes::IntervalMonthDayNano;
use plimsoll_engine::{Retention, SchemaError, Tier};

use crate::functions::parse_interval;

const DAY_NS: i128 = 86_400_000_000_000;

/// Why a text is no retention, and where: a byte offset.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Misread {
    pub(crate) at: usize,
    pub(crate) message: String,
    pub(crate) hint: String,
}

const EXAMPLE: &str =
    "A retention is like 'raw 14 days, 1 min 90 days, 1 hour 3 years', or '30 days' for raw data only.";
const ORDER: &str = "Tiers go from raw data to ever coarser widths; each divides a day, is a multiple of the one before, and is kept longer.";

/// Reads the text of a retention.
///
/// # Errors
/// What does not fit, with its place and a hint.
pub(crate) fn parse_retention(text: &str) -> Result<Retention, Misread> {
    let pieces = pieces(text);
    let tiers = match pieces.as_slice() {
        [(at, piece)] if is_keep_alone(piece) => vec![Tier { width_ns: None, keep_ns: keep(piece, *at)? }],
        _ => pieces.iter().map(|(at, piece)| tier(piece, *at)).collect::<Result<_, _>>()?,
    };
    Retention::new(tiers).map_err(|error| match error {
        SchemaError::Retention { tier, why } => Misread {
            at: pieces.get(tier).map_or(0, |(at, _)| *at),
            message: format!("invalid retention: {why}"),
            hint: ORDER.to_owned(),
        },
        other => Misread { at: 0, message: other.to_string(), hint: EXAMPLE.to_owned() },
    })
}

/// The parts between commas, trimmed, with their offsets.
fn pieces(text: &str) -> Vec<(usize, &str)> {
    let mut at = 0;
    let mut pieces = Vec::new();
    for part in text.split(',') {
        pieces.push((at + part.len() - part.trim_start().len(), part.trim()));
        at += part.len() + 1;
    }
    pieces
}

/// True for a text that says only how long: one number with its unit, an ISO interval, or `forever`.
fn is_keep_alone(text: &str) -> bool {
    match split_pair(text) {
        Some((_, rest)) => rest.is_empty(),
        None => !is_raw(text),
    }
}

fn is_raw(text: &str) -> bool {
    text.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("raw"))
}

fn tier(text: &str, at: usize) -> Result<Tier, Misread> {
    let invalid =
        |at: usize, what: &str| Misread { at, message: format!("invalid retention: {what}"), hint: EXAMPLE.to_owned() };
    let (width_ns, rest) = match split_pair(text) {
        _ if text.is_empty() => return Err(invalid(at, "a tier is missing")),
        _ if is_raw(text) => (None, text[3..].trim_start()),
        Some((width, rest)) => (Some(duration(width, at)?), rest),
        None => return Err(invalid(at, &format!("\"{text}\" does not begin with raw or a width"))),
    };
    let rest_at = at + text.len() - rest.len();
    if rest.is_empty() {
        return Err(invalid(rest_at, &format!("\"{text}\" does not say how long it is kept")));
    }
    Ok(Tier { width_ns, keep_ns: keep(rest, rest_at)? })
}

fn keep(text: &str, at: usize) -> Result<Option<i64>, Misread> {
    if text.eq_ignore_ascii_case("forever") { Ok(None) } else { duration(text, at).map(Some) }
}

/// `1 min` or `1min`, and what follows.
fn split_pair(text: &str) -> Option<(&str, &str)> {
    let after_number = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if after_number.len() == text.len() {
        return None;
    }
    let after = after_number.trim_start().trim_start_matches(char::is_alphabetic);
    Some((text[..text.len() - after.len()].trim_end(), after.trim_start()))
}

/// A length of time; a month is 30 days and a year 365.25, as in PostgreSQL's `extract(epoch from interval)`.
fn duration(text: &str, at: usize) -> Result<i64, Misread> {
    let invalid = |message| Misread { at, message, hint: EXAMPLE.to_owned() };
    let interval = parse_interval(text).map_err(|error| invalid(error.to_string()))?;
    let IntervalMonthDayNano { months, days, nanoseconds } = interval;
    let years_ns = i128::from(months / 12) * (DAY_NS * 1461 / 4);
    let total = years_ns + (i128::from(months % 12) * 30 + i128::from(days)) * DAY_NS + i128::from(nanoseconds);
    i64::try_from(total).map_err(|_| invalid(format!("interval out of range: \"{text}\"")))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: &Expect) {
        let shown = match parse_retention(text) {
            Ok(retention) => retention.to_string(),
            Err(Misread { at, message, .. }) => format!("{message} at {at}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn tiers_are_read() {
        check("raw 14 days, 1 min 90 days, 1 hour 3 years", &expect!["raw 14 days, 1 min 90 days, 1 hour 3 years"]);
        check(
            " RAW 1 week ,5min 1 year 6 months,1h forever",
            &expect!["raw 7 days, 5 min 13086 hours, 1 hour forever"],
        );
        check("30 days", &expect!["raw 30 days"]);
        check("raw 12h", &expect!["raw 12 hours"]);
        check("P14D", &expect!["raw 14 days"]);
        check("forever", &expect!["raw forever"]);
    }

    #[test]
    fn what_does_not_fit_is_pointed_at() {
        check("", &expect![[r#"invalid input syntax for type interval: "" at 0"#]]);
        check("soon", &expect![[r#"invalid input syntax for type interval: "soon" at 0"#]]);
        check("raw", &expect![[r#"invalid retention: "raw" does not say how long it is kept at 3"#]]);
        check("raw 1 day, ", &expect!["invalid retention: a tier is missing at 11"]);
        check(
            "raw 1 day, hourly 2 days",
            &expect![[r#"invalid retention: "hourly 2 days" does not begin with raw or a width at 11"#]],
        );
        check("raw 1 day, 1 hour 2 dogs", &expect![[r#"invalid input syntax for type interval: "2 dogs" at 18"#]]);
        check("1 min 2 days", &expect!["invalid retention: the first tier is raw data at 0"]);
        check(
            "raw 2 days, 1 hour 1 day",
            &expect!["invalid retention: 1 day is not longer than the finer tier's 2 days at 12"],
        );
    }
}
