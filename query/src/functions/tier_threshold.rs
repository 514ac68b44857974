//! `tier_threshold(service)`: the anomaly score from which a point counts, by the tier of a service.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Float64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::no_such_function;

type Result<T> = datafusion::common::Result<T>;

/// Its name.
pub(crate) const TIER_THRESHOLD: &str = "tier_threshold";

/// Finds the threshold of a service by its name.
pub(crate) type FindThreshold = Arc<dyn Fn(&str) -> crate::Result<f64> + Send + Sync>;

/// The function over the services that are defined when a statement is planned.
pub(crate) struct TierThreshold {
    find: FindThreshold,
    signature: Signature,
}

impl TierThreshold {
    pub(crate) fn over(find: FindThreshold) -> ScalarUDF {
        ScalarUDF::from(TierThreshold { find, signature: Signature::user_defined(Volatility::Stable) })
    }
}

impl ScalarUDFImpl for TierThreshold {
    fn name(&self) -> &'static str {
        TIER_THRESHOLD
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null] => Ok(vec![DataType::Utf8]),
            _ => Err(no_such_function(self.name(), types)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [names] = arrays.as_slice() else { return Err(no_such_function(self.name(), &[])) };
        let names = names.as_string::<i32>();
        let mut known: Option<(String, f64)> = None;
        let mut found = Vec::with_capacity(names.len());
        for row in 0..names.len() {
            if names.is_null(row) {
                found.push(None);
                continue;
            }
            let name = names.value(row);
            let threshold = match &known {
                Some((last, threshold)) if last == name => *threshold,
                _ => (self.find)(name).map_err(|e| datafusion::error::DataFusionError::External(Box::new(e)))?,
            };
            known = Some((name.to_owned(), threshold));
            found.push(Some(threshold));
        }
        Ok(ColumnarValue::Array(Arc::new(Float64Array::from(found))))
    }
}

impl std::fmt::Debug for TierThreshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TierThreshold").finish_non_exhaustive()
    }
}

impl PartialEq for TierThreshold {
    fn eq(&self, other: &TierThreshold) -> bool {
        Arc::ptr_eq(&self.find, &other.find)
    }
}

impl Eq for TierThreshold {}

impl Hash for TierThreshold {
    fn hash<H: Hasher>(&self, state: &mut H) {
        TIER_THRESHOLD.hash(state);
    }
}
