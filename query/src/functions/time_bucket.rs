//! `time_bucket` as TimescaleDB means it, and PostgreSQL's `date_bin`.

use std::sync::Arc;

use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{ArrayRef, AsArray, TimestampNanosecondArray};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit, TimestampNanosecondType};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::bucket::{Width, from_wall_ns, to_wall_ns};
use super::interval::parse_interval;
use super::no_such_function;
use crate::Error;

type Result<T> = datafusion::common::Result<T>;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// Arguments of `time_bucket` when all are given, in order; calls by name are brought to this form.
pub(crate) const TIME_BUCKET_ARGUMENTS: [&str; 5] = ["bucket_width", "ts", "timezone", "origin", "offset"];

/// `time_bucket(width, time [, timezone | origin | offset])` or `time_bucket(width, time, timezone, origin, offset)`: the
/// start of the bucket that holds `time`. Buckets are aligned to 2000-01-03 (2000-01-01 for months) in UTC, or in the
/// time zone given.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimeBucket {
    signature: Signature,
}

impl TimeBucket {
    pub(crate) fn new() -> TimeBucket {
        TimeBucket { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &'static str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let none = || no_such_function(self.name(), types);
        let [width, time, options @ ..] = types else { return Err(none()) };
        let time = timestamp(time).ok_or_else(none)?;
        let mut coerced = vec![interval_or_text(width).ok_or_else(none)?, time.clone()];
        match options {
            [] => {}
            [one] => coerced.push(interval_or_text(one).or_else(|| origin(one, &time)).ok_or_else(none)?),
            [zone, first, rest @ ..] if rest.len() <= 1 => {
                coerced.push(text(zone).ok_or_else(none)?);
                coerced.push(origin(first, &time).ok_or_else(none)?);
                coerced.extend(rest.iter().map(interval_or_text).collect::<Option<Vec<_>>>().ok_or_else(none)?);
            }
            _ => return Err(none()),
        }
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.get(1).cloned().ok_or_else(|| no_such_function(self.name(), types))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [width, time, options @ ..] = args.args.as_slice() else {
            return Err(no_such_function(self.name(), &[]));
        };
        let mut buckets = Buckets { width: None, origin_ns: None, offset_ns: 0, zone: None };
        buckets.width = interval(constant(width, "bucket_width")?)?.map(Width::new).transpose().map_err(external)?;
        match options {
            [] => {}
            [one] => buckets.option(constant(one, "the third argument")?)?,
            [zone, rest @ ..] => {
                buckets.set_zone(constant(zone, "timezone")?)?;
                for value in rest {
                    buckets.option(constant(value, "origin and offset")?)?;
                }
            }
        }
        buckets.apply(time, args.number_rows, args.return_type())
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(ordering_of_time(inputs))
    }
}

/// `date_bin(stride, source, origin)`: the start of the stride-long bin, counted from `origin`, that holds `source`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DateBin {
    signature: Signature,
}

impl DateBin {
    pub(crate) fn new() -> DateBin {
        DateBin { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for DateBin {
    fn name(&self) -> &'static str {
        "date_bin"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let none = || no_such_function(self.name(), types);
        let [stride, source, start] = types else { return Err(none()) };
        let source = match text(source) {
            Some(_) => timestamp(start).filter(|t| t != &DataType::Utf8),
            None => timestamp(source),
        };
        let source = source.ok_or_else(none)?;
        let start = origin(start, &source).ok_or_else(none)?;
        Ok(vec![interval_or_text(stride).ok_or_else(none)?, source, start])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.get(1).cloned().ok_or_else(|| no_such_function(self.name(), types))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [stride, source, start] = args.args.as_slice() else {
            return Err(no_such_function(self.name(), &[]));
        };
        let width = match interval(constant(stride, "stride")?)? {
            Some(IntervalMonthDayNano { months: 1.., .. }) => {
                let what = "timestamps cannot be binned into intervals containing months or years".to_owned();
                let hint = Some("time_bucket() has buckets of months.".to_owned());
                return Err(external(Error::Unsupported { what, position: None, hint }));
            }
            Some(stride) => {
                Some(Width::new(stride).map_err(|_| invalid("stride", "stride must be greater than zero"))?)
            }
            None => None,
        };
        let origin_ns = match constant(start, "origin")? {
            ScalarValue::TimestampNanosecond(origin_ns, _) => *origin_ns,
            _ => None,
        };
        let buckets = Buckets { width: width.filter(|_| origin_ns.is_some()), origin_ns, offset_ns: 0, zone: None };
        buckets.apply(source, args.number_rows, args.return_type())
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(ordering_of_time(inputs))
    }
}

/// A call with its constants read.
struct Buckets {
    /// None for NULL: every bucket is NULL.
    width: Option<Width>,
    origin_ns: Option<i64>,
    offset_ns: i64,
    zone: Option<Tz>,
}

impl Buckets {
    /// An argument whose type, or for a string its form, says what it is.
    fn option(&mut self, value: &ScalarValue) -> Result<()> {
        match value {
            ScalarValue::TimestampNanosecond(origin_ns, _) => self.origin_ns = *origin_ns,
            ScalarValue::IntervalMonthDayNano(Some(interval)) => self.set_offset(*interval)?,
            ScalarValue::Utf8(Some(text)) => match parse_interval(text) {
                Ok(interval) => self.set_offset(interval)?,
                Err(_) => self.set_zone_or_origin(text)?,
            },
            _ => {}
        }
        Ok(())
    }

    fn set_offset(&mut self, offset: IntervalMonthDayNano) -> Result<()> {
        let ns = i64::from(offset.days).checked_mul(86_400_000_000_000).and_then(|d| d.checked_add(offset.nanoseconds));
        match ns {
            Some(ns) if offset.months == 0 => self.offset_ns = ns,
            _ => return Err(invalid("offset", "bucket offset cannot have months and must fit the range of time")),
        }
        Ok(())
    }

    fn set_zone(&mut self, value: &ScalarValue) -> Result<()> {
        if let ScalarValue::Utf8(Some(name)) = value {
            self.zone = Some(name.parse().map_err(|_| unknown_zone(name))?);
        }
        Ok(())
    }

    fn set_zone_or_origin(&mut self, text: &str) -> Result<()> {
        match text.parse::<Tz>() {
            Ok(zone) => self.zone = Some(zone),
            Err(_) => {
                let origin = ScalarValue::Utf8(Some(text.to_owned()));
                let origin = origin.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())));
                let ScalarValue::TimestampNanosecond(origin_ns, _) = origin.map_err(|_| unknown_zone(text))? else {
                    return Err(unknown_zone(text));
                };
                self.origin_ns = origin_ns;
            }
        }
        Ok(())
    }

    fn apply(&self, time: &ColumnarValue, rows: usize, return_type: &DataType) -> Result<ColumnarValue> {
        let DataType::Timestamp(_, zone) = return_type else {
            return Err(invalid("ts", "time must be a timestamp"));
        };
        let starts: TimestampNanosecondArray = match (self.width, time) {
            (None, _) => TimestampNanosecondArray::new_null(rows),
            (Some(width), time) => {
                let times = time.to_array(rows)?;
                let start = self.starts(width)?;
                times.as_primitive::<TimestampNanosecondType>().try_unary(|ns| start(ns).ok_or_else(out_of_range))?
            }
        };
        let starts: ArrayRef = Arc::new(starts.with_timezone_opt(zone.clone()));
        match time {
            ColumnarValue::Scalar(_) if !starts.is_empty() => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&starts, 0)?))
            }
            _ => Ok(ColumnarValue::Array(starts)),
        }
    }

    /// The function from a time to the start of its bucket.
    fn starts(&self, width: Width) -> Result<impl Fn(i64) -> Option<i64>> {
        let zone = self.zone;
        let origin = match (self.origin_ns, &zone) {
            (Some(origin_ns), Some(zone)) => to_wall_ns(origin_ns, zone),
            (Some(origin_ns), None) => Some(origin_ns),
            (None, _) => Some(width.default_origin_ns()),
        };
        let origin = origin.and_then(|o| o.checked_add(self.offset_ns)).ok_or_else(out_of_range)?;
        Ok(move |time_ns| match &zone {
            None => width.start_ns(time_ns, origin),
            Some(zone) => from_wall_ns(width.start_ns(to_wall_ns(time_ns, zone)?, origin)?, zone),
        })
    }
}

/// A later time is never in an earlier bucket, so buckets are ordered as the times are.
fn ordering_of_time(inputs: &[ExprProperties]) -> SortProperties {
    let constant = |input: &ExprProperties| input.sort_properties == SortProperties::Singleton;
    match inputs {
        [width, time, options @ ..] if constant(width) && options.iter().all(constant) => time.sort_properties,
        _ => SortProperties::Unordered,
    }
}

fn constant<'a>(value: &'a ColumnarValue, name: &str) -> Result<&'a ScalarValue> {
    match value {
        ColumnarValue::Scalar(scalar) => Ok(scalar),
        ColumnarValue::Array(_) => Err(invalid(name, &format!("{name} must be a constant"))),
    }
}

fn interval(value: &ScalarValue) -> Result<Option<IntervalMonthDayNano>> {
    match value {
        ScalarValue::IntervalMonthDayNano(interval) => Ok(*interval),
        ScalarValue::Utf8(Some(text)) => parse_interval(text).map(Some).map_err(external),
        _ => Ok(None),
    }
}

fn interval_or_text(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Interval(_) => Some(INTERVAL),
        other => text(other),
    }
}

fn text(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => Some(DataType::Utf8),
        _ => None,
    }
}

fn timestamp(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(_, zone) => Some(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())),
        DataType::Date32 | DataType::Date64 => Some(DataType::Timestamp(TimeUnit::Nanosecond, None)),
        other => text(other).map(|_| DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))),
    }
}

/// The type of an origin for buckets of `time`.
fn origin(data_type: &DataType, time: &DataType) -> Option<DataType> {
    timestamp(data_type).map(|_| time.clone())
}

fn unknown_zone(name: &str) -> DataFusionError {
    invalid("timezone", &format!("time zone \"{name}\" not recognized"))
}

fn out_of_range() -> DataFusionError {
    external(Error::InvalidDateTime { message: "timestamp out of range".to_owned() })
}

fn invalid(name: &str, message: &str) -> DataFusionError {
    external(Error::InvalidParameter { name: name.to_owned(), message: message.to_owned() })
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
