//! Patterns: `LIKE`, `ILIKE`, and PostgreSQL's regular expressions on the `regex` crate.

use super::{
    super::{
        datum::Datum,
        error::{CatalogError, Result},
        types::oid::*,
    },
    Call, Function, f,
};
use regex::{Regex, RegexBuilder};

/// Bytes that one compiled pattern may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

pub(super) static FUNCTIONS: &[Function] = &[
    f("like", &[TEXT, TEXT], BOOL, |call| Ok(Datum::Bool(like(call.text(0), call.text(1), Some('\\'))?))),
    f("like", &[TEXT, TEXT, TEXT], BOOL, |call| Ok(Datum::Bool(like(call.text(0), call.text(1), escape(call)?)?))),
    f("ilike", &[TEXT, TEXT], BOOL, |call| Ok(Datum::Bool(ilike(call, Some('\\'))?))),
    f("ilike", &[TEXT, TEXT, TEXT], BOOL, |call| Ok(Datum::Bool(ilike(call, escape(call)?)?))),
    f("textregexeq", &[TEXT, TEXT], BOOL, |call| matches(call, false)),
    f("texticregexeq", &[TEXT, TEXT], BOOL, |call| matches(call, true)),
    f("regexp_replace", &[TEXT, TEXT, TEXT], TEXT, |call| replace(call, "")),
    f("regexp_replace", &[TEXT, TEXT, TEXT, TEXT], TEXT, |call| replace(call, call.text(3))),
];

fn escape(call: &Call<'_>) -> Result<Option<char>> {
    let mut chars = call.text(2).chars();
    match (chars.next(), chars.next()) {
        (first, None) => Ok(first),
        _ => {
            Err(CatalogError::new("22025", "invalid escape string")
                .hint("Escape string must be empty or one character."))
        }
    }
}

fn ilike(call: &Call<'_>, escape: Option<char>) -> Result<bool> {
    like(&call.text(0).to_lowercase(), &call.text(1).to_lowercase(), escape)
}

enum Step {
    Any,
    One,
    Exactly(char),
}

/// Linear in practice: only the last `%` is ever tried again.
fn like(text: &str, pattern: &str, escape: Option<char>) -> Result<bool> {
    let pattern = steps(pattern, escape)?;
    let text: Vec<char> = text.chars().collect();
    let (mut t, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Step::Any) => {
                retry = Some((t, p));
                p += 1;
            }
            Some(Step::One) => (t, p) = (t + 1, p + 1),
            Some(Step::Exactly(c)) if *c == text[t] => (t, p) = (t + 1, p + 1),
            _ => {
                let Some((from, any)) = retry else { return Ok(false) };
                retry = Some((from + 1, any));
                (t, p) = (from + 1, any + 1);
            }
        }
    }
    Ok(pattern[p..].iter().all(|step| matches!(step, Step::Any)))
}

fn steps(pattern: &str, escape: Option<char>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        steps.push(match c {
            c if Some(c) == escape => match chars.next() {
                Some(c) => Step::Exactly(c),
                None => return Err(CatalogError::new("22025", "LIKE pattern must not end with escape character")),
            },
            '%' => Step::Any,
            '_' => Step::One,
            c => Step::Exactly(c),
        });
    }
    Ok(steps)
}

fn matches(call: &Call<'_>, ignore_case: bool) -> Result<Datum> {
    Ok(Datum::Bool(call.runtime.regex(call.text(1), ignore_case)?.is_match(call.text(0))))
}

fn replace(call: &Call<'_>, flags: &str) -> Result<Datum> {
    let regex = call.runtime.regex(call.text(1), flags.contains('i'))?;
    // `\1` and `\&` name what was matched; `$` is nothing special.
    let mut replacement = String::new();
    let mut chars = call.text(2).chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('&') => replacement.push_str("${0}"),
                Some(digit @ '0'..='9') => replacement.push_str(&format!("${{{digit}}}")),
                Some(other) => replacement.push(other),
                None => replacement.push('\\'),
            },
            '$' => replacement.push_str("$$"),
            c => replacement.push(c),
        }
    }
    let times = if flags.contains('g') { 0 } else { 1 };
    Ok(Datum::from(regex.replacen(call.text(0), times, replacement.as_str()).into_owned()))
}

/// Compiles PostgreSQL's advanced syntax: a dot matches a newline, `\y \m \M` are word boundaries.
pub(crate) fn compile(pattern: &str, ignore_case: bool) -> Result<Regex> {
    let pattern = pattern.strip_prefix("***:").unwrap_or(pattern);
    let mut translated = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            translated.push(c);
            continue;
        }
        match chars.next() {
            Some('y') => translated.push_str("\\b"),
            Some('Y') => translated.push_str("\\B"),
            Some('m') => translated.push_str("\\b{start}"),
            Some('M') => translated.push_str("\\b{end}"),
            Some('Z') => translated.push_str("\\z"),
            // An escaped character that is no class stands for itself.
            Some(c) if !c.is_ascii_alphanumeric() => translated.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            Some(c) => translated.extend(['\\', c]),
            None => translated.push('\\'),
        }
    }
    RegexBuilder::new(&translated)
        .case_insensitive(ignore_case)
        .dot_matches_new_line(true)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
            CatalogError::new("2201B", format!("invalid regular expression: {reason}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_matches_whole_text() {
        let cases =
            [("pg_class", "pg\\_%", true), ("pgxclass", "pg\\_%", false), ("abc", "a_c", true), ("abc", "a", false)];
        for (text, pattern, expected) in cases {
            assert_eq!(like(text, pattern, Some('\\')).unwrap(), expected, "{text} {pattern}");
        }
        assert!(like("a%b", "a/%b", Some('/')).unwrap());
        assert!(like("aaab", "%a%b", Some('\\')).unwrap());
        assert!(like("x", "\\", Some('\\')).is_err());
    }

    #[test]
    fn regexes_are_postgres_flavoured() {
        assert!(compile("^(cpu)$", false).unwrap().is_match("cpu"));
        assert!(!compile("^(cpu)$", false).unwrap().is_match("cpu\n"));
        assert!(compile("\\mcpu\\M", false).unwrap().is_match("a cpu b"));
        assert!(compile("a.b", false).unwrap().is_match("a\nb"));
        assert_eq!(compile("(", false).unwrap_err().sqlstate, "2201B");
    }
}
