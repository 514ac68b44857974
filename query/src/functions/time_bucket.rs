//! `time_bucket` as TimescaleDB means it, and PostgreSQL's `date_bin`.

use std::sync::Arc;

use chrono::{DateTime, Months};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, TimestampNanosecondArray};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit, TimestampNanosecondType};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::bucket::{Bucketing, Width};
use super::clocks::Clocks;
use super::interval::parse_interval;
use super::no_such_function;
use crate::Error;

type Result<T> = datafusion::common::Result<T>;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

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
        let width = constant(width, "bucket_width")?;
        let options = options.iter().map(|o| constant(o, "timezone, origin and offset"));
        let bucketing = bucketing(width, &options.collect::<Result<Vec<_>>>()?)?;
        apply(bucketing.as_ref(), time, args.number_rows, args.return_type())
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(ordering_of_time(inputs))
    }

    fn preimage(&self, args: &[Expr], bucket: &Expr, _: &SimplifyContext) -> Result<PreimageResult> {
        let [width, time, options @ ..] = args else { return Ok(PreimageResult::None) };
        let options: Option<Vec<&ScalarValue>> = options.iter().map(Expr::as_literal).collect();
        Ok(match (width.as_literal(), options) {
            (Some(width), Some(options)) => times_of(bucketing(width, &options)?.as_ref(), time, bucket)?,
            _ => PreimageResult::None,
        })
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
        let bins = bins(constant(stride, "stride")?, constant(start, "origin")?)?;
        apply(bins.as_ref(), source, args.number_rows, args.return_type())
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(ordering_of_time(inputs))
    }

    fn preimage(&self, args: &[Expr], bin: &Expr, _: &SimplifyContext) -> Result<PreimageResult> {
        let [stride, source, start] = args else { return Ok(PreimageResult::None) };
        Ok(match (stride.as_literal(), start.as_literal()) {
            (Some(stride), Some(start)) => times_of(bins(stride, start)?.as_ref(), source, bin)?,
            _ => PreimageResult::None,
        })
    }
}

/// The bins of `date_bin`; `None` when its stride or its origin is NULL, and so is every bin.
fn bins(stride: &ScalarValue, origin: &ScalarValue) -> Result<Option<Bucketing>> {
    let width = match interval(stride)? {
        Some(IntervalMonthDayNano { months: 1.., .. }) => {
            let what = "timestamps cannot be binned into intervals containing months or years".to_owned();
            let hint = Some("time_bucket() has buckets of months.".to_owned());
            return Err(external(Error::Unsupported { what, position: None, hint }));
        }
        Some(stride) => Some(Width::new(stride).map_err(|_| invalid("stride", "stride must be greater than zero"))?),
        None => None,
    };
    let origin_ns = match origin {
        ScalarValue::TimestampNanosecond(origin_ns, _) => *origin_ns,
        _ => None,
    };
    Ok(width.zip(origin_ns).map(|(width, origin_ns)| Bucketing::new(width, origin_ns)))
}

/// The times whose bucket begins at an instant, so that a comparison of buckets with it becomes one of times, which the scan
/// can prune by. Where no bucket begins then, the range is empty and lies where the next one begins: every comparison comes out
/// the same, since buckets are ordered as times are.
fn times_of(bucketing: Option<&Bucketing>, time: &Expr, instant: &Expr) -> Result<PreimageResult> {
    let Some(ScalarValue::TimestampNanosecond(Some(instant_ns), zone)) = instant.as_literal() else {
        return Ok(PreimageResult::None);
    };
    let range = bucketing.and_then(|buckets| Some((buckets.start_ns(*instant_ns)?, buckets.end_ns(*instant_ns)?)));
    let Some((start_ns, end_ns)) = range else { return Ok(PreimageResult::None) };
    let begin_ns = if start_ns == *instant_ns { start_ns } else { end_ns };
    let at = |ns: i64| ScalarValue::TimestampNanosecond(Some(ns), zone.clone());
    let interval = Box::new(Interval::try_new(at(begin_ns), at(end_ns))?);
    Ok(PreimageResult::Range { expr: time.clone(), interval })
}

/// The buckets that `time_bucket(width, time, options...)` asks for, from the constants of the call; `None` when the width is
/// NULL, and so is every bucket.
///
/// # Errors
/// [`Error::InvalidParameter`] and [`Error::InvalidDateTime`] when the constants make no buckets.
pub(crate) fn bucketing(width: &ScalarValue, options: &[&ScalarValue]) -> Result<Option<Bucketing>> {
    let width = interval(width)?.map(Width::new).transpose().map_err(external)?;
    let mut read = Options::default();
    match options {
        [one] => read.set(one)?,
        [zone, rest @ ..] => {
            read.set_zone(zone)?;
            rest.iter().try_for_each(|value| read.set(value))?;
        }
        [] => {}
    }
    width.map(|width| read.bucketing(width)).transpose()
}

/// The options of a call.
#[derive(Default)]
struct Options {
    origin_ns: Option<i64>,
    offset: Option<IntervalMonthDayNano>,
    clocks: Option<Arc<Clocks>>,
}

impl Options {
    /// An argument whose type, or for a string its form, says what it is.
    fn set(&mut self, value: &ScalarValue) -> Result<()> {
        match value {
            ScalarValue::TimestampNanosecond(origin_ns, _) => self.origin_ns = *origin_ns,
            ScalarValue::IntervalMonthDayNano(offset) => self.offset = *offset,
            ScalarValue::Utf8(Some(text)) => match parse_interval(text) {
                Ok(offset) => self.offset = Some(offset),
                Err(_) => self.set_zone_or_origin(text)?,
            },
            _ => {}
        }
        Ok(())
    }

    fn set_zone(&mut self, value: &ScalarValue) -> Result<()> {
        if let ScalarValue::Utf8(Some(name)) = value {
            self.clocks = Some(Clocks::of(name).map_err(|()| unknown_zone(name))?);
        }
        Ok(())
    }

    fn set_zone_or_origin(&mut self, text: &str) -> Result<()> {
        match Clocks::of(text) {
            Ok(clocks) => self.clocks = Some(clocks),
            Err(()) => {
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

    fn bucketing(&self, width: Width) -> Result<Bucketing> {
        let origin = match (self.origin_ns, &self.clocks) {
            (Some(origin_ns), Some(clocks)) => clocks.shown_ns(origin_ns),
            (Some(origin_ns), None) => Some(origin_ns),
            (None, _) => Some(width.default_origin_ns()),
        };
        let mut origin = origin.ok_or_else(out_of_range)?;
        if let Some(offset) = self.offset {
            origin = moved(origin, offset, width)?;
        }
        match &self.clocks {
            None => Ok(Bucketing::new(width, origin)),
            Some(clocks) => Bucketing::in_zone(width, origin, clocks.clone()).ok_or_else(out_of_range),
        }
    }
}

/// An origin moved by the offset of its buckets.
fn moved(origin_ns: i64, offset: IntervalMonthDayNano, width: Width) -> Result<i64> {
    let IntervalMonthDayNano { months, days, nanoseconds } = offset;
    let origin_ns = match (months, width) {
        (0, _) => Some(origin_ns),
        (_, Width::Fixed(_)) => {
            return Err(invalid("offset", "bucket offset can have months only when the bucket width has"));
        }
        (_, Width::Months(_)) => {
            let origin = DateTime::from_timestamp_nanos(origin_ns);
            let months = Months::new(months.unsigned_abs());
            let origin = match offset.months {
                0.. => origin.checked_add_months(months),
                _ => origin.checked_sub_months(months),
            };
            origin.and_then(|origin| origin.timestamp_nanos_opt())
        }
    };
    let day_ns = i64::from(days).checked_mul(86_400_000_000_000).and_then(|ns| ns.checked_add(nanoseconds));
    origin_ns.zip(day_ns).and_then(|(origin, ns)| origin.checked_add(ns)).ok_or_else(out_of_range)
}

/// The starts of the buckets that hold the times.
fn apply(
    bucketing: Option<&Bucketing>,
    time: &ColumnarValue,
    rows: usize,
    return_type: &DataType,
) -> Result<ColumnarValue> {
    let DataType::Timestamp(_, zone) = return_type else {
        return Err(invalid("ts", "time must be a timestamp"));
    };
    let starts = match bucketing {
        None => TimestampNanosecondArray::new_null(rows),
        Some(bucketing) => starts_of(bucketing, time.to_array(rows)?.as_primitive::<TimestampNanosecondType>())?,
    };
    let starts: ArrayRef = Arc::new(starts.with_timezone_opt(zone.clone()));
    match time {
        ColumnarValue::Scalar(_) if !starts.is_empty() => {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&starts, 0)?))
        }
        _ => Ok(ColumnarValue::Array(starts)),
    }
}

fn starts_of(bucketing: &Bucketing, times: &TimestampNanosecondArray) -> Result<TimestampNanosecondArray> {
    let mut cursor = bucketing.cursor();
    let mut starts = Vec::with_capacity(times.len());
    for (row, &time) in times.values().iter().enumerate() {
        // What stands under a NULL means nothing, and may be out of range.
        let start = if times.is_valid(row) { cursor.start_ns(time).ok_or_else(out_of_range)? } else { 0 };
        starts.push(start);
    }
    Ok(TimestampNanosecondArray::new(starts.into(), times.nulls().cloned()))
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
