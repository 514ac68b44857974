//! Time: the clock the statement was given, shown in the session's zone.

use super::{
    super::{
        Context,
        datum::Datum,
        decimal::Decimal,
        error::{CatalogError, Result},
        types::oid::*,
    },
    Call, Function, f,
};
use chrono::{DateTime, Datelike, Offset, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

pub(super) static FUNCTIONS: &[Function] = &[
    f("now", &[], TIMESTAMPTZ, now),
    f("current_timestamp", &[], TIMESTAMPTZ, now),
    f("transaction_timestamp", &[], TIMESTAMPTZ, now),
    f("statement_timestamp", &[], TIMESTAMPTZ, now),
    f("clock_timestamp", &[], TIMESTAMPTZ, now),
    f("to_timestamp", &[FLOAT8], TIMESTAMPTZ, from_epoch),
    f("extract", &[TEXT, TIMESTAMPTZ], NUMERIC, extract),
    f("extract", &[TEXT, TIMESTAMP], NUMERIC, extract),
    f("timezone", &[TEXT, TIMESTAMPTZ], TIMESTAMP, at_zone),
    f("timezone", &[TEXT, TIMESTAMP], TIMESTAMPTZ, from_zone),
    f("date_part", &[TEXT, TIMESTAMPTZ], FLOAT8, |call| {
        Ok(match extract(call)? {
            Datum::Numeric(value) => Datum::Float(value.as_f64()),
            other => other,
        })
    }),
];

fn now(call: &Call<'_>) -> Result<Datum> {
    Ok(instant(call.runtime.context, call.runtime.context.now_ns.div_euclid(1000)))
}

/// A `timestamptz` that shows in the session's time zone.
pub(crate) fn instant(context: &Context<'_>, micros: i64) -> Datum {
    Datum::Time(micros, offset_s(context, micros))
}

/// The session's offset from UTC at that time (s).
fn offset_s(context: &Context<'_>, micros: i64) -> i32 {
    let zone = (context.settings)("timezone").and_then(|name| name.parse::<Tz>().ok());
    zone.map_or(0, |zone| zone_offset_s(zone, micros))
}

fn zone_offset_s(zone: Tz, micros: i64) -> i32 {
    let at = DateTime::from_timestamp_micros(micros);
    at.map_or(0, |at| zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc())
}

fn zone(call: &Call<'_>) -> Result<Tz> {
    let name = call.text(0);
    name.parse().map_err(|_| CatalogError::new("22023", format!("time zone \"{name}\" not recognized")))
}

/// `timestamptz AT TIME ZONE zone`: what the clocks show there.
fn at_zone(call: &Call<'_>) -> Result<Datum> {
    let Datum::Time(micros, _) = call.values[1] else { return Ok(Datum::Null) };
    Ok(Datum::Time(micros + i64::from(zone_offset_s(zone(call)?, micros)) * 1_000_000, 0))
}

/// `timestamp AT TIME ZONE zone`: the instant when the clocks show that there.
fn from_zone(call: &Call<'_>) -> Result<Datum> {
    let Datum::Time(local, _) = call.values[1] else { return Ok(Datum::Null) };
    let offset_s = zone_offset_s(zone(call)?, local);
    Ok(instant(call.runtime.context, local - i64::from(offset_s) * 1_000_000))
}

fn from_epoch(call: &Call<'_>) -> Result<Datum> {
    match call.values[0] {
        Datum::Float(seconds) if seconds.abs() < 9e12 => {
            Ok(instant(call.runtime.context, (seconds * 1e6).round() as i64))
        }
        _ => Err(CatalogError::new("22008", "timestamp out of range")),
    }
}

fn extract(call: &Call<'_>) -> Result<Datum> {
    let Datum::Time(micros, offset_s) = call.values[1] else { return Ok(Datum::Null) };
    let field = call.text(0).to_ascii_lowercase();
    if field == "epoch" {
        let seconds = Decimal::from(micros).checked_mul("0.000001".parse().unwrap_or_else(|()| Decimal::from(0)))?;
        return Ok(Datum::Numeric(seconds));
    }
    let out_of_range = || CatalogError::new("22008", "timestamp out of range");
    let local: DateTime<Utc> =
        DateTime::from_timestamp_micros(micros + i64::from(offset_s) * 1_000_000).ok_or_else(out_of_range)?;
    let value = match field.as_str() {
        "year" => i64::from(local.year()),
        "month" => local.month().into(),
        "day" => local.day().into(),
        "hour" => local.hour().into(),
        "minute" => local.minute().into(),
        "second" => local.second().into(),
        "dow" => local.weekday().num_days_from_sunday().into(),
        "doy" => local.ordinal().into(),
        other => {
            return Err(CatalogError::new(
                "22023",
                format!("unit \"{other}\" not recognized for type timestamp with time zone"),
            ));
        }
    };
    Ok(Datum::Numeric(Decimal::from(value)))
}
