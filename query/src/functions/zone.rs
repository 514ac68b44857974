//! `timezone(zone, time)`, which is what `time AT TIME ZONE zone` means: between instants and what a zone's clocks show.

use std::sync::Arc;

use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, TimestampNanosecondArray};
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampNanosecondType};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::bucket::{from_wall_ns, to_wall_ns};
use super::no_such_function;
use crate::Error;

type Result<T> = datafusion::common::Result<T>;

/// The function; `time_zone` is the session's, in which its instants are labelled.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimeZoneOf {
    signature: Signature,
    time_zone: Arc<str>,
}

impl TimeZoneOf {
    pub(crate) fn new(time_zone: Arc<str>) -> TimeZoneOf {
        TimeZoneOf { signature: Signature::user_defined(Volatility::Immutable), time_zone }
    }
}

impl ScalarUDFImpl for TimeZoneOf {
    fn name(&self) -> &'static str {
        "timezone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        use DataType::{Date32, LargeUtf8, Null, Timestamp, Utf8, Utf8View};
        let [Utf8 | Utf8View | LargeUtf8 | Null, time] = types else {
            return Err(no_such_function(self.name(), types));
        };
        let zone = match time {
            Timestamp(_, None) => None,
            Timestamp(_, Some(_)) | Date32 | Utf8 | Utf8View | LargeUtf8 | Null => Some(self.time_zone.clone()),
            _ => return Err(no_such_function(self.name(), types)),
        };
        Ok(vec![Utf8, Timestamp(TimeUnit::Nanosecond, zone)])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let zone = match types.get(1) {
            Some(DataType::Timestamp(_, None)) => Some(self.time_zone.clone()),
            _ => None,
        };
        Ok(DataType::Timestamp(TimeUnit::Nanosecond, zone))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ColumnarValue::Scalar(ScalarValue::Utf8(zone)), time] = args.args.as_slice() else {
            return Err(invalid("time zone must be a constant".to_owned()));
        };
        let DataType::Timestamp(_, label) = args.return_type() else {
            return Err(no_such_function(self.name(), &[]));
        };
        let times = time.to_array(args.number_rows)?;
        let moved = match zone {
            None => TimestampNanosecondArray::new_null(times.len()),
            Some(name) => {
                let zone: Tz = name.parse().map_err(|_| invalid(format!("time zone \"{name}\" not recognized")))?;
                let times = times.as_primitive::<TimestampNanosecondType>();
                let shift = if label.is_some() { from_wall_ns } else { to_wall_ns };
                times.try_unary(|ns| shift(ns, &zone).ok_or_else(|| invalid("timestamp out of range".to_owned())))?
            }
        };
        let moved: ArrayRef = Arc::new(moved.with_timezone_opt(label.clone()));
        match time {
            ColumnarValue::Scalar(_) if !moved.is_empty() => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&moved, 0)?))
            }
            _ => Ok(ColumnarValue::Array(moved)),
        }
    }
}

fn invalid(message: String) -> DataFusionError {
    DataFusionError::External(Box::new(Error::InvalidParameter { name: "timezone".to_owned(), message }))
}
