//! `business_time(start, end, calendar [, pause])`: how much of a stretch of time is inside of working hours and of no pause. Pauses
//! are a text as PostgreSQL writes a `tstzmultirange`, such as `{[2026-03-02 09:00+00,2026-03-02 10:00+00)}`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, IntervalMonthDayNanoArray};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit, TimestampNanosecondType};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::no_such_function;
use crate::Error;
use crate::analysis::calendar::Calendar;
use crate::analysis::intervals::Intervals;
use crate::relation::external;

type Result<T> = datafusion::common::Result<T>;

/// Its name.
pub(crate) const BUSINESS_TIME: &str = "business_time";

/// Finds a calendar by its name, with its holidays.
pub(crate) type Find = Arc<dyn Fn(&str) -> crate::Result<Calendar> + Send + Sync>;

/// The function over the calendars that are defined when a statement is planned.
pub(crate) struct BusinessTime {
    find: Find,
    signature: Signature,
}

impl BusinessTime {
    pub(crate) fn over(find: Find) -> ScalarUDF {
        ScalarUDF::from(BusinessTime { find, signature: Signature::user_defined(Volatility::Stable) })
    }
}

impl ScalarUDFImpl for BusinessTime {
    fn name(&self) -> &'static str {
        BUSINESS_TIME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let instant = |data_type: &DataType| match data_type {
            DataType::Timestamp(_, zone) => Some(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())),
            DataType::Utf8 | DataType::Utf8View | DataType::Null => {
                Some(DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())))
            }
            _ => None,
        };
        match types {
            [start, end, texts @ ..] if matches!(texts.len(), 1 | 2) && texts.iter().all(is_text) => {
                match (instant(start), instant(end)) {
                    (Some(start), Some(end)) => {
                        Ok([start, end].into_iter().chain(texts.iter().map(|_| DataType::Utf8)).collect())
                    }
                    _ => Err(no_such_function(self.name(), types)),
                }
            }
            _ => Err(no_such_function(self.name(), types)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Interval(IntervalUnit::MonthDayNano))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (start, end, names, pauses) = match arrays.as_slice() {
            [start, end, names] => (start, end, names, None),
            [start, end, names, pauses] => (start, end, names, Some(pauses.as_string::<i32>())),
            _ => return Err(no_such_function(self.name(), &[])),
        };
        let (start, end) =
            (start.as_primitive::<TimestampNanosecondType>(), end.as_primitive::<TimestampNanosecondType>());
        let names = names.as_string::<i32>();
        let mut known: Option<(String, Calendar)> = None;
        let mut spent = Vec::with_capacity(start.len());
        for row in 0..start.len() {
            if start.is_null(row) || end.is_null(row) || names.is_null(row) {
                spent.push(None);
                continue;
            }
            let name = names.value(row);
            if known.as_ref().is_none_or(|(last, _)| last != name) {
                let found = (self.find)(name).map_err(external)?;
                known = Some((name.to_owned(), found));
            }
            let Some((_, calendar)) = &known else { continue };
            let paused = match pauses.filter(|pauses| pauses.is_valid(row)) {
                Some(pauses) => ranges(pauses.value(row), start.value(row), end.value(row)).map_err(external)?,
                None => Intervals::default(),
            };
            let ns = calendar.business_time_ns(start.value(row), end.value(row), &paused);
            spent.push(Some(IntervalMonthDayNano::new(0, 0, ns)));
        }
        Ok(ColumnarValue::Array(Arc::new(IntervalMonthDayNanoArray::from(spent))))
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null)
}

/// Reads a `tstzmultirange`, or one range; an open side reaches to the bound given.
///
/// # Errors
/// [`Error::InvalidDateTime`].
fn ranges(text: &str, start_ns: i64, end_ns: i64) -> crate::Result<Intervals> {
    let wrong = || Error::InvalidDateTime { message: format!("malformed multirange literal: \"{text}\"") };
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(trimmed).trim();
    let mut all = Vec::new();
    let mut rest = inner;
    while !rest.is_empty() {
        let (range, after) =
            rest.strip_prefix(['[', '(']).and_then(|rest| rest.split_once([')', ']'])).ok_or_else(wrong)?;
        let (from, to) = range.split_once(',').ok_or_else(wrong)?;
        let bound = |text: &str, open_ns: i64| match text.trim().trim_matches('"') {
            "" => Ok(open_ns),
            text => {
                let text = ScalarValue::Utf8(Some(text.to_owned()));
                crate::lower::instant(&text, &"UTC".into()).ok().flatten().ok_or_else(wrong)
            }
        };
        all.push((bound(from, start_ns)?, bound(to, end_ns)?));
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    Ok(Intervals::new(all.into_iter().filter(|(from, to)| from < to)))
}

impl std::fmt::Debug for BusinessTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BusinessTime").finish_non_exhaustive()
    }
}

impl PartialEq for BusinessTime {
    fn eq(&self, other: &BusinessTime) -> bool {
        Arc::ptr_eq(&self.find, &other.find)
    }
}

impl Eq for BusinessTime {}

impl Hash for BusinessTime {
    fn hash<H: Hasher>(&self, state: &mut H) {
        BUSINESS_TIME.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_read_as_postgresql_writes_them() {
        let read = |text| ranges(text, 0, 10_000_000_000).map(|ranges| ranges.iter().collect::<Vec<_>>());
        assert_eq!(read("{}").unwrap(), []);
        let two = "{[\"1970-01-01 00:00:01+00\",\"1970-01-01 00:00:02+00\"),[1970-01-01T00:00:05Z,)}";
        assert_eq!(read(two).unwrap(), [(1_000_000_000, 2_000_000_000), (5_000_000_000, 10_000_000_000)]);
        assert_eq!(read("(,1970-01-01 00:00:03+00]").unwrap(), [(0, 3_000_000_000)]);
        for wrong in ["{", "[1970-01-01]", "{[yesterday,)}", "x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
