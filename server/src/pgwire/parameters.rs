//! Values of `$1`, `$2`, ... as a client sends them: text or binary, to the type that the statement takes.
//!
//! Text is read by the rules of the wanted type. Binary is read by the type that the client declared or was told, and then
//! converted.

use bytes::Buf;
use chrono::{DateTime, NaiveDate, NaiveTime, Timelike as _};
use datafusion::arrow::compute::kernels::cast_utils::{string_to_datetime, string_to_timestamp_nanos};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNanoType, TimeUnit};
use datafusion::common::ScalarValue;

use super::binary;
use super::columns::Format;
use super::sqlstate::{SqlError, code};
use super::text::time::SECOND_US;
use super::types::oid;
use super::zone::Zone;

/// Reads one parameter. `type_oid` is what the client was told, `wanted` what the statement takes.
///
/// # Errors
/// 22P02, 22P03, 22003 or 22007, naming the parameter's type.
pub(crate) fn read(
    bytes: Option<&[u8]>,
    format: Format,
    type_oid: u32,
    wanted: &DataType,
    zone: &Zone,
) -> Result<ScalarValue, SqlError> {
    let Some(bytes) = bytes else { return null(wanted) };
    match format {
        Format::Text => {
            let invalid = |_| SqlError::new(code::NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\"");
            from_text(std::str::from_utf8(bytes).map_err(invalid)?, wanted, zone)
        }
        Format::Binary => from_binary(bytes, type_oid, wanted),
    }
}

fn null(wanted: &DataType) -> Result<ScalarValue, SqlError> {
    ScalarValue::try_from(wanted).map_err(|error| SqlError::new(code::INTERNAL, error.to_string()))
}

fn list(items: &[ScalarValue], of: &DataType) -> ScalarValue {
    ScalarValue::List(ScalarValue::new_list_nullable(items, of))
}

fn from_text(text: &str, wanted: &DataType, zone: &Zone) -> Result<ScalarValue, SqlError> {
    let trimmed = text.trim();
    let value = match wanted {
        DataType::Boolean => boolean(trimmed).map(|value| ScalarValue::Boolean(Some(value))),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => return integer(trimmed, text, wanted),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            return integer(trimmed, text, wanted);
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => float(trimmed).map(ScalarValue::from),
        DataType::Timestamp(_, Some(_)) => timestamptz(trimmed, zone).map(|ns| nanoseconds(ns, true)),
        DataType::Timestamp(_, None) => timestamp(trimmed).map(|ns| nanoseconds(ns, false)),
        DataType::Date32 | DataType::Date64 => date(trimmed).map(|days| ScalarValue::Date32(Some(days))),
        DataType::Time32(_) | DataType::Time64(_) => time(trimmed).map(|us| ScalarValue::Time64Microsecond(Some(us))),
        DataType::Interval(_) => interval(trimmed),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            bytea(trimmed).map(|value| ScalarValue::Binary(Some(value)))
        }
        DataType::List(item) => {
            let items = plimsoll_query::array_items(text)
                .ok_or_else(|| SqlError::new(code::INVALID_TEXT, format!("malformed array literal: \"{text}\"")))?;
            let read = |text: Option<String>| match text {
                Some(text) => from_text(&text, item.data_type(), zone),
                None => null(item.data_type()),
            };
            return Ok(list(&items.into_iter().map(read).collect::<Result<Vec<_>, _>>()?, item.data_type()));
        }
        _ => Some(ScalarValue::Utf8(Some(text.to_owned()))),
    };
    let invalid = || invalid_text(text, wanted);
    convert(value.ok_or_else(invalid)?, wanted).map_err(|_| invalid())
}

fn from_binary(bytes: &[u8], type_oid: u32, wanted: &DataType) -> Result<ScalarValue, SqlError> {
    let wrong =
        || SqlError::new(code::INVALID_BINARY, format!("incorrect binary data format for type {}", type_name(wanted)));
    if let DataType::List(item) = wanted {
        let (element, items) = binary::array(bytes).ok_or_else(wrong)?;
        let read = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => from_binary(bytes, element, item.data_type()),
            None => null(item.data_type()),
        };
        return Ok(list(&items.into_iter().map(read).collect::<Result<Vec<_>, _>>()?, item.data_type()));
    }
    let value = natural(bytes, type_oid).ok_or_else(wrong)?;
    let out_of_range = |_| SqlError::new(code::NUMERIC_RANGE, format!("{} out of range", type_name(wanted)));
    convert(value, wanted).map_err(out_of_range)
}

/// The value in the type that it was sent in.
fn natural(bytes: &[u8], type_oid: u32) -> Option<ScalarValue> {
    Some(match type_oid {
        oid::BOOL => ScalarValue::Boolean(Some(fixed::<1>(bytes)?[0] != 0)),
        oid::INT2 => ScalarValue::Int16(Some(i16::from_be_bytes(fixed(bytes)?))),
        oid::INT4 => ScalarValue::Int32(Some(i32::from_be_bytes(fixed(bytes)?))),
        oid::INT8 => ScalarValue::Int64(Some(i64::from_be_bytes(fixed(bytes)?))),
        oid::OID => ScalarValue::UInt32(Some(u32::from_be_bytes(fixed(bytes)?))),
        oid::FLOAT4 => ScalarValue::Float32(Some(f32::from_be_bytes(fixed(bytes)?))),
        oid::FLOAT8 => ScalarValue::Float64(Some(f64::from_be_bytes(fixed(bytes)?))),
        oid::NUMERIC => ScalarValue::Utf8(Some(binary::numeric(bytes)?)),
        oid::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        oid::DATE => ScalarValue::Date32(Some(binary::since_1970_days(i32::from_be_bytes(fixed(bytes)?))?)),
        oid::TIME => ScalarValue::Time64Microsecond(Some(i64::from_be_bytes(fixed(bytes)?))),
        oid::TIMESTAMP | oid::TIMESTAMPTZ => {
            let us = binary::since_1970_us(i64::from_be_bytes(fixed(bytes)?))?;
            nanoseconds(us.checked_mul(1000)?, type_oid == oid::TIMESTAMPTZ)
        }
        oid::INTERVAL => {
            let mut parts = &fixed::<16>(bytes)?[..];
            let (us, days, months) = (parts.get_i64(), parts.get_i32(), parts.get_i32());
            let value = IntervalMonthDayNanoType::make_value(months, days, us.checked_mul(1000)?);
            ScalarValue::IntervalMonthDayNano(Some(value))
        }
        oid::UUID => ScalarValue::Utf8(Some(uuid(fixed(bytes)?))),
        _ => ScalarValue::Utf8(Some(std::str::from_utf8(bytes).ok()?.to_owned())),
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn convert(value: ScalarValue, wanted: &DataType) -> Result<ScalarValue, String> {
    if value.data_type() == *wanted {
        return Ok(value);
    }
    let converted = value.cast_to(wanted).map_err(|error| error.to_string())?;
    if converted.is_null() { Err("out of range".to_owned()) } else { Ok(converted) }
}

fn nanoseconds(ns: i64, with_zone: bool) -> ScalarValue {
    ScalarValue::TimestampNanosecond(Some(ns), with_zone.then(|| "UTC".into()))
}

fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if text == "1" || begins("true", 1) || begins("yes", 1) || begins("on", 2) {
        return Some(true);
    }
    (text == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2)).then_some(false)
}

fn integer(trimmed: &str, text: &str, wanted: &DataType) -> Result<ScalarValue, SqlError> {
    let out_of_range = || {
        let message = format!("value \"{text}\" is out of range for type {}", type_name(wanted));
        SqlError::new(code::NUMERIC_RANGE, message)
    };
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid_text(text, wanted));
    }
    let value = match trimmed.parse::<i64>() {
        Ok(value) => ScalarValue::Int64(Some(value)),
        Err(_) => ScalarValue::UInt64(Some(trimmed.parse().map_err(|_| out_of_range())?)),
    };
    convert(value, wanted).map_err(|_| out_of_range())
}

fn float(text: &str) -> Option<f64> {
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    // Rust reads some words that PostgreSQL does not.
    if number.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let known = ["nan", "inf", "infinity"].iter().any(|word| number.eq_ignore_ascii_case(word));
        return known.then(|| text.parse().ok()).flatten();
    }
    text.parse().ok()
}

/// Nanoseconds since the Unix epoch. A text without an offset is in the session's zone.
fn timestamptz(text: &str, zone: &Zone) -> Option<i64> {
    let time = match zone {
        Zone::Named(zone) => string_to_datetime(zone, text).ok()?.timestamp_nanos_opt(),
        Zone::Fixed { east_s, .. } => {
            let zone = chrono::FixedOffset::east_opt(*east_s)?;
            string_to_datetime(&zone, text).ok()?.timestamp_nanos_opt()
        }
    };
    time.or_else(|| string_to_timestamp_nanos(text).ok())
}

/// An offset in the text is read over, as PostgreSQL does for this type.
fn timestamp(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return time.naive_local().and_utc().timestamp_nanos_opt();
    }
    string_to_datetime(&chrono::Utc, text).ok()?.timestamp_nanos_opt()
}

fn date(text: &str) -> Option<i32> {
    let day = match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(day) => day,
        Err(_) => string_to_datetime(&chrono::Utc, text).ok()?.date_naive(),
    };
    i32::try_from(day.signed_duration_since(NaiveDate::from_ymd_opt(1970, 1, 1)?).num_days()).ok()
}

fn time(text: &str) -> Option<i64> {
    let time = ["%H:%M:%S%.f", "%H:%M"].iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok())?;
    Some(i64::from(time.num_seconds_from_midnight()) * SECOND_US + i64::from(time.nanosecond()) / 1000)
}

/// Spellings of a unit of an interval, and its months, days and nanoseconds.
type IntervalUnitOf = (&'static [&'static str], (f64, f64, f64));

/// The units of an interval.
const INTERVAL_UNITS: &[IntervalUnitOf] = &[
    (&["year", "years", "y", "yr", "yrs"], (12.0, 0.0, 0.0)),
    (&["month", "months", "mon", "mons"], (1.0, 0.0, 0.0)),
    (&["week", "weeks", "w"], (0.0, 7.0, 0.0)),
    (&["day", "days", "d"], (0.0, 1.0, 0.0)),
    (&["hour", "hours", "h", "hr", "hrs"], (0.0, 0.0, 3600e9)),
    (&["minute", "minutes", "min", "mins", "m"], (0.0, 0.0, 60e9)),
    (&["second", "seconds", "sec", "secs", "s"], (0.0, 0.0, 1e9)),
    (&["millisecond", "milliseconds", "ms"], (0.0, 0.0, 1e6)),
    (&["microsecond", "microseconds", "us"], (0.0, 0.0, 1e3)),
];

/// Reads `1 day 02:03:04.5`, `1 year -2 mons`, `3h`, with an `ago` that turns it around. Fractions belong to clocks and to
/// units of a week and less.
fn interval(text: &str) -> Option<ScalarValue> {
    let text = text.to_ascii_lowercase().replace(',', " ");
    let (text, sign) = match text.strip_suffix("ago") {
        Some(before) => (before, -1.0),
        None => (text.as_str(), 1.0),
    };
    let (mut months, mut days, mut ns) = (0.0, 0.0, 0.0);
    let mut words = text.split_ascii_whitespace().peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        if word.contains(':') {
            ns += clock_ns(word)?;
            continue;
        }
        let unit_at = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
        let (number, unit) = word.split_at(unit_at);
        let number: f64 = number.parse().ok()?;
        let unit = match unit {
            "" => words.next().unwrap_or("seconds"),
            unit => unit,
        };
        let (_, (unit_months, unit_days, unit_ns)) = INTERVAL_UNITS.iter().find(|(names, _)| names.contains(&unit))?;
        months += number * unit_months;
        let part_days = number * unit_days;
        days += part_days.trunc();
        ns += number * unit_ns + part_days.fract() * 86_400e9;
    }
    let whole = |value: f64, max: f64| (value.is_finite() && value.abs() <= max).then_some(value * sign);
    let (months, days, ns) = (whole(months, 2e9)?, whole(days, 2e9)?, whole(ns, 9e18)?);
    if months.fract() != 0.0 {
        return None;
    }
    let value = IntervalMonthDayNanoType::make_value(months as i32, days as i32, ns.round() as i64);
    Some(ScalarValue::IntervalMonthDayNano(Some(value)))
}

/// Nanoseconds of `[+-]hh:mm[:ss[.fraction]]`.
fn clock_ns(text: &str) -> Option<f64> {
    let (sign, clock) = match text.strip_prefix('-') {
        Some(clock) => (-1.0, clock),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = clock.splitn(3, ':');
    let hours: u32 = parts.next()?.parse().ok()?;
    let minutes: u32 = parts.next()?.parse().ok().filter(|minutes| *minutes < 60)?;
    let seconds: f64 = parts.next().unwrap_or("0").parse().ok().filter(|seconds| (0.0..60.0).contains(seconds))?;
    Some(sign * (f64::from(hours) * 3600e9 + f64::from(minutes) * 60e9 + (seconds * 1e9).round()))
}

fn bytea(text: &str) -> Option<Vec<u8>> {
    let Some(digits) = text.strip_prefix("\\x") else { return escaped_bytea(text) };
    let digits: Vec<u32> = digits.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

/// The older form: `\\` and `\nnn` in octal.
fn escaped_bytea(text: &str) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        match bytes.next()? {
            b'\\' => value.push(b'\\'),
            high => {
                let octal = |digit: u8| (b'0'..=b'7').contains(&digit).then(|| u32::from(digit - b'0'));
                let number = octal(high)? * 64 + octal(bytes.next()?)? * 8 + octal(bytes.next()?)?;
                value.push(u8::try_from(number).ok()?);
            }
        }
    }
    Some(value)
}

fn uuid(bytes: [u8; 16]) -> String {
    let number = u128::from_be_bytes(bytes);
    let part = |from: u32, bits: u32| (number >> from) & ((1 << bits) - 1);
    format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", part(96, 32), part(80, 16), part(64, 16), part(48, 16), part(0, 48))
}

fn invalid_text(text: &str, wanted: &DataType) -> SqlError {
    let code = match wanted {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => {
            code::INVALID_DATETIME
        }
        DataType::Interval(_) => code::INVALID_DATETIME,
        _ => code::INVALID_TEXT,
    };
    SqlError::new(code, format!("invalid input syntax for type {}: \"{text}\"", type_name(wanted)))
}

/// SQL's name of the type that stands for an Arrow type.
fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint",
        DataType::UInt16 | DataType::Int32 => "integer",
        DataType::UInt32 | DataType::Int64 => "bigint",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond) => {
            "time without time zone"
        }
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea",
        DataType::UInt64 | DataType::Decimal128(..) | DataType::Decimal256(..) => "numeric",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::IntervalUnit;
    use proptest::prelude::*;

    use super::*;

    fn utc() -> DataType {
        DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
    }

    fn text_in(text: &str, wanted: &DataType, zone: &str) -> Result<ScalarValue, &'static str> {
        let zone = Zone::parse(zone).unwrap();
        read(Some(text.as_bytes()), Format::Text, 0, wanted, &zone).map_err(|error| error.code)
    }

    fn text(text: &str, wanted: &DataType) -> Result<ScalarValue, &'static str> {
        text_in(text, wanted, "UTC")
    }

    /// What drivers send for times: JDBC, node, psycopg, Grafana.
    #[test]
    fn timestamps() {
        for (sent, ns) in [
            ("2024-01-01 00:00:00+00", 1_704_067_200_000_000_000),
            ("2024-01-01T00:00:00.000+00:00", 1_704_067_200_000_000_000),
            ("2024-01-01T00:00:00Z", 1_704_067_200_000_000_000),
            ("2024-01-01T00:00:00.123456789Z", 1_704_067_200_123_456_789),
            ("2024-01-01 00:00:00.123456 +05:30", 1_704_047_400_123_456_000),
            ("2024-01-01 00:00:00.123456+05:30", 1_704_047_400_123_456_000),
            ("2024-01-01 00:00:00", 1_704_067_200_000_000_000),
            ("2024-01-01", 1_704_067_200_000_000_000),
        ] {
            assert_eq!(text(sent, &utc()), Ok(nanoseconds(ns, true)), "{sent}");
        }
        let berlin = text_in("2024-01-01 01:00:00", &utc(), "Europe/Berlin");
        assert_eq!(berlin, Ok(nanoseconds(1_704_067_200_000_000_000, true)));
        let plain = DataType::Timestamp(TimeUnit::Nanosecond, None);
        assert_eq!(text("2024-01-01T00:00:00+05:00", &plain), Ok(nanoseconds(1_704_067_200_000_000_000, false)));
        assert_eq!(text("yesterday-ish", &utc()), Err("22007"));
    }

    #[test]
    fn texts() {
        assert_eq!(text(" 12 ", &DataType::Int32), Ok(ScalarValue::Int32(Some(12))));
        assert_eq!(text("3000000000", &DataType::Int32), Err("22003"));
        assert_eq!(text("1.5", &DataType::Int32), Err("22P02"));
        assert_eq!(text("18446744073709551615", &DataType::UInt64), Ok(ScalarValue::UInt64(Some(u64::MAX))));
        assert_eq!(text("-1", &DataType::UInt64), Err("22003"));
        assert_eq!(text("-Infinity", &DataType::Float64), Ok(ScalarValue::Float64(Some(f64::NEG_INFINITY))));
        assert_eq!(text("1e3", &DataType::Float32), Ok(ScalarValue::Float32(Some(1000.0))));
        assert_eq!(text("x", &DataType::Float64), Err("22P02"));
        assert_eq!(text("yes", &DataType::Boolean), Ok(ScalarValue::Boolean(Some(true))));
        assert_eq!(text("o", &DataType::Boolean), Err("22P02"));
        assert_eq!(text(" a ", &DataType::Utf8View), Ok(ScalarValue::Utf8View(Some(" a ".to_owned()))));
        assert_eq!(text("12.345", &DataType::Decimal128(10, 2)), Ok(ScalarValue::Decimal128(Some(1235), 10, 2)));
        assert_eq!(text("\\xdeAD", &DataType::Binary), Ok(ScalarValue::Binary(Some(vec![0xde, 0xad]))));
        assert_eq!(text("a\\\\\\001", &DataType::Binary), Ok(ScalarValue::Binary(Some(b"a\\\x01".to_vec()))));
        assert_eq!(text("1970-01-02", &DataType::Date32), Ok(ScalarValue::Date32(Some(1))));
        let time = DataType::Time64(TimeUnit::Microsecond);
        assert_eq!(text("02:03:04.5", &time), Ok(ScalarValue::Time64Microsecond(Some(7_384_500_000))));
    }

    #[test]
    fn intervals() {
        const HOUR_NS: i64 = 3_600_000_000_000;
        for (sent, months, days, ns) in [
            ("1 day 02:03:04.5", 0, 1, 2 * HOUR_NS + 184_500_000_000),
            ("1 day, 2:03:04", 0, 1, 2 * HOUR_NS + 184_000_000_000),
            ("-1 year 2 mons -3 days +04:05:06.000001", -10, -3, 4 * HOUR_NS + 306_000_001_000),
            ("1h", 0, 0, HOUR_NS),
            ("90", 0, 0, 90_000_000_000),
            ("2 weeks ago", 0, -14, 0),
            ("1.5 days", 0, 1, 12 * HOUR_NS),
            ("-00:30", 0, 0, -HOUR_NS / 2),
        ] {
            let value = IntervalMonthDayNanoType::make_value(months, days, ns);
            let read = text(sent, &DataType::Interval(IntervalUnit::MonthDayNano));
            assert_eq!(read, Ok(ScalarValue::IntervalMonthDayNano(Some(value))), "{sent}");
        }
        for sent in ["", "soon", "1 fortnight", "1:99", "day", "1e400 s"] {
            assert_eq!(text(sent, &DataType::Interval(IntervalUnit::MonthDayNano)), Err("22007"), "{sent}");
        }
    }

    #[test]
    fn binaries() {
        let read = |bytes: &[u8], type_oid, wanted: &DataType| {
            read(Some(bytes), Format::Binary, type_oid, wanted, &Zone::default()).map_err(|error| error.code)
        };
        assert_eq!(read(&5i64.to_be_bytes(), oid::INT8, &DataType::UInt64), Ok(ScalarValue::UInt64(Some(5))));
        assert_eq!(read(&(-5i64).to_be_bytes(), oid::INT8, &DataType::UInt64), Err("22003"));
        assert_eq!(read(&[1], oid::INT8, &DataType::Int64), Err("22P03"));
        assert_eq!(read(&[1], oid::BOOL, &DataType::Boolean), Ok(ScalarValue::Boolean(Some(true))));
        assert_eq!(read(&0i64.to_be_bytes(), oid::TIMESTAMPTZ, &utc()), Ok(nanoseconds(946_684_800_000_000_000, true)));
        assert_eq!(read(&i64::MAX.to_be_bytes(), oid::TIMESTAMPTZ, &utc()), Err("22P03"));
        let numeric = [0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
        assert_eq!(read(&numeric, oid::NUMERIC, &DataType::Float64), Ok(ScalarValue::Float64(Some(7.0))));
        let id = *b"\x12\x34\x56\x78\x9a\xbc\xde\xf0\x12\x34\x56\x78\x9a\xbc\xde\xf0";
        let shown = "12345678-9abc-def0-1234-56789abcdef0".to_owned();
        assert_eq!(read(&id, oid::UUID, &DataType::Utf8), Ok(ScalarValue::Utf8(Some(shown))));
    }

    #[test]
    fn null_has_the_wanted_type() {
        let null = read(None, Format::Text, 0, &DataType::Int64, &Zone::default());
        assert_eq!(null, Ok(ScalarValue::Int64(None)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            type_oid in prop::sample::select(vec![16u32, 17, 20, 21, 23, 25, 26, 700, 701, 1082, 1083, 1114, 1184, 1186, 1700, 2950]),
            wanted in prop::sample::select(vec![DataType::Int64, DataType::Float64, DataType::Utf8, utc(), DataType::Boolean]),
        ) {
            let _ = read(Some(&bytes), Format::Binary, type_oid, &wanted, &Zone::default());
            let _ = read(Some(&bytes), Format::Text, type_oid, &wanted, &Zone::default());
        }
    }
}
