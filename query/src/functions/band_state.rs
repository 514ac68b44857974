//! `band_state(value, lower, upper)` and `band_state(score)`: in a word how unusual something is, as the column `band` of a KPI says it.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::no_such_function;
use crate::analysis::anomaly::{CRITICAL, WARN};

type Result<T> = datafusion::common::Result<T>;

const NAME: &str = "band_state";

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct BandState {
    signature: Signature,
}

impl BandState {
    pub(super) fn new() -> BandState {
        BandState { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for BandState {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let are_numbers = types.iter().all(|data_type| data_type.is_numeric() || data_type.is_null());
        match types.len() {
            1 | 3 if are_numbers => Ok(vec![DataType::Float64; types.len()]),
            _ => Err(no_such_function(NAME, types)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let columns: Vec<_> = arrays.iter().map(AsArray::as_primitive::<Float64Type>).collect();
        let number = |at: usize, row: usize| columns[at].is_valid(row).then(|| columns[at].value(row));
        let rows = arrays.first().map_or(0, Array::len);
        let words = (0..rows).map(|row| match columns.len() {
            1 => by_score(number(0, row)),
            _ => by_band(number(0, row), number(1, row), number(2, row)),
        });
        Ok(ColumnarValue::Array(Arc::new(words.map(Some).collect::<StringArray>())))
    }
}

/// Without a score it is still being learned what is normal.
fn by_score(score: Option<f64>) -> &'static str {
    match score {
        None => "learning",
        Some(score) if score >= CRITICAL => "critical",
        Some(score) if score >= WARN => "warn",
        Some(_) => "normal",
    }
}

/// Beyond the band is `warn`, further from it than it is wide is `critical`.
fn by_band(value: Option<f64>, lower: Option<f64>, upper: Option<f64>) -> &'static str {
    let Some(value) = value.filter(|value| !value.is_nan()) else { return "no_data" };
    let (Some(lower), Some(upper)) = (lower, upper) else { return "learning" };
    let beyond = (lower - value).max(value - upper);
    match () {
        () if beyond <= 0.0 => "normal",
        () if beyond <= upper - lower => "warn",
        () => "critical",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_kpi() {
        assert_eq!([None, Some(1.0), Some(2.5), Some(4.0)].map(by_score), ["learning", "normal", "warn", "critical"]);
        let of = |value| by_band(value, Some(10.0), Some(20.0));
        assert_eq!(
            [None, Some(10.0), Some(21.0), Some(31.0), Some(-1.0)].map(of),
            ["no_data", "normal", "warn", "critical", "critical"]
        );
        assert_eq!(by_band(Some(1.0), None, Some(2.0)), "learning");
    }
}
