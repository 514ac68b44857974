//! Reads intervals as PostgreSQL writes and accepts them: `1 minute`, `60.000s`, `1 day 02:00:00`, `-1 mon`, `PT1H`.

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use crate::{Error, Result};

const NS_PER_SECOND: i128 = 1_000_000_000;
const NS_PER_DAY: i128 = 86_400 * NS_PER_SECOND;
const DAYS_PER_MONTH: i128 = 30;

/// Fractions are carried as billionths of a unit.
const BILLION: i128 = 1_000_000_000;

/// Reads an interval; the three parts keep their own signs.
///
/// # Errors
/// [`Error::InvalidDateTime`].
pub(crate) fn parse_interval(text: &str) -> Result<IntervalMonthDayNano> {
    let invalid = || Error::InvalidDateTime { message: format!("invalid input syntax for type interval: \"{text}\"") };
    read(text.trim()).and_then(Total::finish).ok_or_else(invalid)
}

/// The sum so far; wide enough that no sensible text overflows it.
#[derive(Debug, Default)]
struct Total {
    months: i128,
    days: i128,
    ns: i128,
}

impl Total {
    fn add(&mut self, amount: i128, unit: Unit) -> Option<()> {
        let (whole, rest) = (amount / BILLION, amount % BILLION);
        match unit {
            Unit::Months(n) => {
                let months = whole.checked_mul(n)? + rest * n / BILLION;
                let part = rest * n % BILLION;
                self.months += months;
                self.days += part * DAYS_PER_MONTH / BILLION;
                self.ns += part * DAYS_PER_MONTH % BILLION * NS_PER_DAY / BILLION;
            }
            Unit::Days(n) => {
                self.days += whole.checked_mul(n)? + rest * n / BILLION;
                self.ns += rest * n % BILLION * NS_PER_DAY / BILLION;
            }
            Unit::Ns(n) => self.ns += whole.checked_mul(n)? + rest * n / BILLION,
        }
        Some(())
    }

    fn finish(self) -> Option<IntervalMonthDayNano> {
        let months = i32::try_from(self.months).ok()?;
        let days = i32::try_from(self.days).ok()?;
        Some(IntervalMonthDayNano::new(months, days, i64::try_from(self.ns).ok()?))
    }
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Months(i128),
    Days(i128),
    Ns(i128),
}

fn unit(name: &str) -> Option<Unit> {
    Some(match name.to_ascii_lowercase().as_str() {
        "ns" | "nanosecond" | "nanoseconds" => Unit::Ns(1),
        "us" | "usec" | "usecs" | "microsecond" | "microseconds" | "µs" => Unit::Ns(1_000),
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => Unit::Ns(1_000_000),
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Ns(NS_PER_SECOND),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Ns(60 * NS_PER_SECOND),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Ns(3_600 * NS_PER_SECOND),
        "d" | "day" | "days" => Unit::Days(1),
        "w" | "week" | "weeks" => Unit::Days(7),
        "mon" | "mons" | "month" | "months" => Unit::Months(1),
        "quarter" | "quarters" => Unit::Months(3),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12),
        "decade" | "decades" | "dec" | "decs" => Unit::Months(120),
        "c" | "cent" | "century" | "centuries" => Unit::Months(1_200),
        _ => return None,
    })
}

fn read(text: &str) -> Option<Total> {
    if let Some(iso) = text.strip_prefix('P') {
        return read_iso(iso);
    }
    let mut rest = text.strip_prefix('@').unwrap_or(text).trim();
    let mut ago = false;
    if let Some(before) = rest.strip_suffix("ago").filter(|b| b.ends_with(' ')) {
        (rest, ago) = (before.trim_end(), true);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = Total::default();
    while !rest.is_empty() {
        rest = read_field(rest, &mut total)?.trim_start();
    }
    if ago {
        total = Total { months: -total.months, days: -total.days, ns: -total.ns };
    }
    Some(total)
}

/// Reads `1 day`, `1.5h`, `02:00:00` or a number at the end, which counts seconds. Gives what follows.
fn read_field<'a>(text: &'a str, total: &mut Total) -> Option<&'a str> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | ':'))).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    if number.contains(':') {
        total.ns += clock(number)?;
        return Some(rest);
    }
    let amount = billionths(number)?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !(c.is_alphabetic())).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    match name {
        "" if after.is_empty() => total.add(amount, Unit::Ns(NS_PER_SECOND))?,
        _ => total.add(amount, unit(name)?)?,
    }
    Some(after)
}

/// `[-]hh:mm[:ss[.fff]]` in nanoseconds.
fn clock(text: &str) -> Option<i128> {
    let (negative, text) = sign(text);
    let mut fields = text.split(':');
    let hours: i128 = digits(fields.next()?)?;
    let minutes: i128 = digits(fields.next()?)?;
    let seconds = fields.next().map_or(Some(0), billionths)?;
    if fields.next().is_some() || minutes > 59 || !(0..60 * BILLION).contains(&seconds) {
        return None;
    }
    let ns = (hours * 3_600 + minutes * 60) * NS_PER_SECOND + seconds;
    Some(if negative { -ns } else { ns })
}

/// ISO 8601 after the `P`: `1Y2M3DT4H5M6S`.
fn read_iso(text: &str) -> Option<Total> {
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let mut total = Total::default();
    for (mut rest, in_time) in [(date, false), (time, true)] {
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let amount = billionths(&rest[..end])?;
            let unit = match (&rest[end..=end], in_time) {
                ("Y", false) => Unit::Months(12),
                ("M", false) => Unit::Months(1),
                ("W", false) => Unit::Days(7),
                ("D", false) => Unit::Days(1),
                ("H", true) => Unit::Ns(3_600 * NS_PER_SECOND),
                ("M", true) => Unit::Ns(60 * NS_PER_SECOND),
                ("S", true) => Unit::Ns(NS_PER_SECOND),
                _ => return None,
            };
            total.add(amount, unit)?;
            rest = &rest[end + 1..];
        }
    }
    Some(total)
}

/// A decimal number as billionths; further digits are dropped.
fn billionths(text: &str) -> Option<i128> {
    let (negative, text) = sign(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { digits(whole)? };
    let mut part = 0;
    for place in 0..9 {
        let digit =
            fraction.as_bytes().get(place).map_or(Some(0), |b| b.is_ascii_digit().then(|| i128::from(b - b'0')))?;
        part = part * 10 + digit;
    }
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value = whole * BILLION + part;
    Some(if negative { -value } else { value })
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// At most 18 digits, so that no product of it overflows.
fn digits(text: &str) -> Option<i128> {
    if text.is_empty() || text.len() > 18 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: &Expect) {
        let shown = match parse_interval(text) {
            Ok(i) => format!("{} months {} days {} ns", i.months, i.days, i.nanoseconds),
            Err(e) => e.to_string(),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn units_long_short_and_glued() {
        for text in
            ["1 minute", "1 min", "1m", "60s", "60.000s", "60", "00:01:00", "00:01", "PT1M", "60000 ms", "@ 1 min"]
        {
            check(text, &expect!["0 months 0 days 60000000000 ns"]);
        }
    }

    #[test]
    fn parts_keep_their_signs() {
        check("1 day 02:00:00", &expect!["0 months 1 days 7200000000000 ns"]);
        check("1 day -00:00:01.5", &expect!["0 months 1 days -1500000000 ns"]);
        check("1 year 2 mons 3 days 4h", &expect!["14 months 3 days 14400000000000 ns"]);
        check("1 hour ago", &expect!["0 months 0 days -3600000000000 ns"]);
        check("-1 mon", &expect!["-1 months 0 days 0 ns"]);
        check("P1Y2M3DT4H", &expect!["14 months 3 days 14400000000000 ns"]);
    }

    #[test]
    fn fractions_flow_down() {
        check("1.5 days", &expect!["0 months 1 days 43200000000000 ns"]);
        check("0.5 month", &expect!["0 months 15 days 0 ns"]);
        check("1.5 weeks", &expect!["0 months 10 days 43200000000000 ns"]);
        check("-0.5s", &expect!["0 months 0 days -500000000 ns"]);
        check(".5 s", &expect!["0 months 0 days 500000000 ns"]);
    }

    #[test]
    fn other_text_is_refused() {
        check("", &expect![[r#"invalid input syntax for type interval: """#]]);
        check("1 fortnight", &expect![[r#"invalid input syntax for type interval: "1 fortnight""#]]);
        check("1 day 2", &expect!["0 months 1 days 2000000000 ns"]);
        check(
            "99999999999999999999 s",
            &expect![[r#"invalid input syntax for type interval: "99999999999999999999 s""#]],
        );
        check("1:99", &expect![[r#"invalid input syntax for type interval: "1:99""#]]);
        check("1-2-3 d", &expect![[r#"invalid input syntax for type interval: "1-2-3 d""#]]);
        check("ago", &expect![[r#"invalid input syntax for type interval: "ago""#]]);
        check("P", &expect![[r#"invalid input syntax for type interval: "P""#]]);
    }
}
