//! Functions of arrays that hold a series, one value for each step: `series_period_detect(values)` gives after how many values it
//! repeats itself, `series_decompose_anomalies(values)` for each value how unusual it is after those before it.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Builder, Int64Builder, ListBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::no_such_function;
use crate::analysis::anomaly::{Method, Season, Settings, score_series};
use crate::analysis::robust::period;

type Result<T> = datafusion::common::Result<T>;

const DAY_NS: i64 = 86_400_000_000_000;

/// The share of values that a band holds, as everywhere where nothing else is said.
const BAND: f64 = 0.99;

/// What is told of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Told {
    Period,
    Scores,
}

/// Both functions.
pub(super) fn scalars() -> impl Iterator<Item = ScalarUDF> {
    let signature = || Signature::user_defined(Volatility::Immutable);
    [Told::Period, Told::Scores].into_iter().map(move |told| ScalarUDF::from(Series { told, signature: signature() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Series {
    told: Told,
    signature: Signature,
}

impl ScalarUDFImpl for Series {
    fn name(&self) -> &'static str {
        match self.told {
            Told::Period => "series_period_detect",
            Told::Scores => "series_decompose_anomalies",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)]
                if item.data_type().is_numeric() || item.data_type().is_null() =>
            {
                Ok(vec![DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)))])
            }
            _ => Err(no_such_function(self.name(), types)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(match self.told {
            Told::Period => DataType::Int64,
            Told::Scores => DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true))),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [lists] = arrays.as_slice() else { return Err(no_such_function(self.name(), &[])) };
        let lists = lists.as_list::<i32>();
        // A value that is missing is none that is usual.
        let values = |list: &ArrayRef| -> Vec<f64> {
            list.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect()
        };
        let answer: ArrayRef = match self.told {
            Told::Period => {
                let mut periods = Int64Builder::with_capacity(lists.len());
                for list in lists.iter() {
                    let rows = list.and_then(|list| repeats(&values(&list)));
                    periods.append_option(rows.and_then(|rows| i64::try_from(rows).ok()));
                }
                Arc::new(periods.finish())
            }
            Told::Scores => {
                let mut scores = ListBuilder::new(Float64Builder::new());
                for list in lists.iter() {
                    match &list {
                        Some(list) => scores.append_value(scored(&values(list))),
                        None => scores.append_null(),
                    }
                }
                Arc::new(scores.finish())
            }
        };
        Ok(ColumnarValue::Array(answer))
    }
}

/// After how many values a series repeats itself.
fn repeats(values: &[f64]) -> Option<usize> {
    let known: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    period(&known)
}

/// The score of each value; a season is taken for a day.
fn scored(values: &[f64]) -> Vec<Option<f64>> {
    let rows = repeats(values).and_then(|rows| i64::try_from(rows).ok()).filter(|rows| *rows > 1);
    let step_ns = rows.map_or(60_000_000_000, |rows| DAY_NS / rows);
    let settings = Settings {
        seasons: rows.map(|_| Season::HourOfDay).into_iter().collect(),
        step_ns,
        history_ns: i64::MAX / 4,
        hold_ns: 0,
        method: Method::Auto,
        band: BAND,
        zone: chrono_tz::UTC,
    };
    let times: Vec<i64> = (0_i64..).take(values.len()).map(|at| at.saturating_mul(step_ns)).collect();
    score_series(&times, values, &settings).into_iter().map(|verdict| verdict.score).collect()
}
