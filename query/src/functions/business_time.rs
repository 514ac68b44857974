//! `business_time(start, end, calendar)`: how much of a stretch of time is inside of working hours.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, IntervalMonthDayNanoArray};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit, TimestampNanosecondType};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::no_such_function;
use crate::Error;
use crate::analysis::calendar::Calendar;
use crate::analysis::intervals::Intervals;

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
            [start, end, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null] => {
                match (instant(start), instant(end)) {
                    (Some(start), Some(end)) => Ok(vec![start, end, DataType::Utf8]),
                    _ => Err(no_such_function(self.name(), types)),
                }
            }
            _ => Err(no_such_function(self.name(), types)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Interval(IntervalUnit::MonthDayNano))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [start, end, names] = arrays.as_slice() else { return Err(no_such_function(self.name(), &[])) };
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
                let found =
                    (self.find)(name).map_err(|e: Error| datafusion::error::DataFusionError::External(Box::new(e)))?;
                known = Some((name.to_owned(), found));
            }
            let Some((_, calendar)) = &known else { continue };
            let ns = calendar.business_time_ns(start.value(row), end.value(row), &Intervals::default());
            spent.push(Some(IntervalMonthDayNano::new(0, 0, ns)));
        }
        Ok(ColumnarValue::Array(Arc::new(IntervalMonthDayNanoArray::from(spent))))
    }
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
