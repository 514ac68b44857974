//! `estimate_storage(table, retention)`: what a retention would take up, a row for each tier.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use plimsoll_engine::{SchemaError, TierEstimate};

use crate::retention::parse_retention;
use crate::{Database, Error, Result};

/// Name of the function.
pub(crate) const NAME: &str = "estimate_storage";

/// The answer for these arguments.
///
/// # Errors
/// [`Error::UndefinedFunction`] for other arguments, [`Error::UndefinedTable`], [`Error::InvalidOption`].
pub(crate) fn estimate(database: &Database, arguments: &[Expr]) -> Result<Arc<dyn TableProvider>> {
    let [Some(table), Some(retention)] = arguments.iter().map(text).collect::<Vec<_>>()[..] else {
        let hint = Some("Its arguments are the name of a table and the text of a retention.".to_owned());
        return Err(Error::UndefinedFunction { signature: format!("{NAME}()"), position: None, hint });
    };
    let retention = parse_retention(retention).map_err(|misread| Error::InvalidOption {
        message: misread.message,
        position: None,
        hint: Some(misread.hint),
    })?;
    let tiers = match database.engine().estimate_storage(table, &retention) {
        Err(plimsoll_engine::Error::Schema(SchemaError::NoTable(name))) => {
            return Err(Error::UndefinedTable { name, position: None, hint: None });
        }
        other => other?,
    };
    let batch = batch(&tiers).map_err(DataFusionError::from)?;
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}

fn text(argument: &Expr) -> Option<&str> {
    match argument {
        Expr::Literal(
            ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)),
            _,
        ) => Some(text),
        _ => None,
    }
}

fn batch(tiers: &[TierEstimate]) -> datafusion::arrow::error::Result<RecordBatch> {
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let names: Vec<(String, String)> =
        tiers.iter().map(|estimate| (estimate.tier.name(), estimate.tier.keep())).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(names.iter().map(|(name, _)| Some(name)).collect::<StringArray>()),
        Arc::new(names.iter().map(|(_, keep)| Some(keep)).collect::<StringArray>()),
        Arc::new(tiers.iter().map(|tier| Some(count(tier.rows_per_day))).collect::<Int64Array>()),
        Arc::new(tiers.iter().map(|tier| Some(count(tier.bytes_per_day))).collect::<Int64Array>()),
        Arc::new(tiers.iter().map(|tier| tier.bytes.map(count)).collect::<Int64Array>()),
    ];
    let fields = ["tier", "keep"].map(|name| Field::new(name, DataType::Utf8, true)).into_iter();
    let counts = ["rows_per_day", "bytes_per_day", "bytes"].map(|name| Field::new(name, DataType::Int64, true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.chain(counts).collect::<Vec<_>>())), columns)
}
