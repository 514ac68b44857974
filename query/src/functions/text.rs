//! Values as text, as PostgreSQL writes them: `2024-01-01 00:00:00+00` and `10`, not `2024-01-01T00:00:00Z` and `10.0`.

use std::fmt::Write;
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone, Timelike, Utc};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampNanosecondType};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::no_such_function;

type Result<T> = datafusion::common::Result<T>;

/// Puts [`TextOf`] in the place of casts from timestamps and floats to text.
#[derive(Debug)]
pub(crate) struct TextAsPostgres {
    text: Arc<ScalarUDF>,
}

impl TextAsPostgres {
    pub(crate) fn new() -> TextAsPostgres {
        let signature = Signature::user_defined(Volatility::Immutable);
        TextAsPostgres { text: Arc::new(ScalarUDF::from(TextOf { signature })) }
    }
}

impl FunctionRewrite for TextAsPostgres {
    fn name(&self) -> &'static str {
        "text_as_postgres"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::Cast(cast) if cast.field.data_type().is_string() && is_ours(&cast.expr, schema) => {
                let text = self.text.call(vec![*cast.expr]);
                Ok(Transformed::yes(Expr::Cast(Cast { expr: Box::new(text), ..cast })))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn is_ours(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Timestamp(..) | DataType::Float64))
}

/// The text of a timestamp or a float. Timestamps have all their digits, to the nanosecond.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TextOf {
    signature: Signature,
}

impl ScalarUDFImpl for TextOf {
    fn name(&self) -> &'static str {
        "text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Timestamp(_, zone)] => Ok(vec![DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())]),
            [DataType::Float64] => Ok(vec![DataType::Float64]),
            other => Err(no_such_function(self.name(), other)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [values] = arrays.as_slice() else { return Err(no_such_function(self.name(), &[])) };
        let texts: StringViewArray = match values.data_type() {
            DataType::Timestamp(_, zone) => {
                let zone: Option<Tz> = zone.as_ref().map(|name| name.parse()).transpose()?;
                let times = values.as_primitive::<TimestampNanosecondType>();
                times.iter().map(|ns| ns.map(|ns| timestamp(ns, zone.as_ref()))).collect()
            }
            _ => values.as_primitive::<Float64Type>().iter().map(|value| value.map(float)).collect(),
        };
        let texts: ArrayRef = Arc::new(texts);
        match args.args.as_slice() {
            [ColumnarValue::Scalar(_)] => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&texts, 0)?)),
            _ => Ok(ColumnarValue::Array(texts)),
        }
    }
}

/// `2024-01-01 00:00:00.5+05:30`
fn timestamp(ns: i64, zone: Option<&Tz>) -> String {
    let utc = DateTime::<Utc>::from_timestamp_nanos(ns).naive_utc();
    let Some(zone) = zone else { return wall(utc) };
    let offset = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
    let mut text = wall(utc + chrono::TimeDelta::seconds(offset.into()));
    let (sign, offset) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    let (hours, minutes, seconds) = (offset / 3_600, offset / 60 % 60, offset % 60);
    let written = match (minutes, seconds) {
        (0, 0) => write!(text, "{sign}{hours:02}"),
        (_, 0) => write!(text, "{sign}{hours:02}:{minutes:02}"),
        _ => write!(text, "{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    };
    written.expect("a string takes everything");
    text
}

fn wall(time: NaiveDateTime) -> String {
    let text = time.format("%Y-%m-%d %H:%M:%S").to_string();
    match time.nanosecond() {
        0 => text,
        ns => format!("{text}.{ns:09}").trim_end_matches('0').to_owned(),
    }
}

/// The shortest text that reads back as the same number; an exponent below 1e-4 and from 1e15.
fn float(value: f64) -> String {
    let size = value.abs();
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    if size == 0.0 || value.is_nan() || (1e-4..1e15).contains(&size) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_short() {
        let texts: Vec<_> =
            [1.0, 0.1, -2.5, 0.0001, 0.00001, 1e15, 123_456_789_012_345.0, 1.5e-300, -0.0].map(float).into();
        assert_eq!(texts, ["1", "0.1", "-2.5", "0.0001", "1e-05", "1e+15", "123456789012345", "1.5e-300", "-0"]);
        assert_eq!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(float), ["NaN", "Infinity", "-Infinity"]);
    }

    #[test]
    fn timestamps_have_an_offset() {
        let zone = |name: &str| name.parse::<Tz>().unwrap();
        assert_eq!(timestamp(0, Some(&zone("UTC"))), "1970-01-01 00:00:00+00");
        assert_eq!(timestamp(500_000_001, Some(&zone("Asia/Kolkata"))), "1970-01-01 05:30:00.500000001+05:30");
        assert_eq!(timestamp(-1_000_000, Some(&zone("-08:00"))), "1969-12-31 15:59:59.999-08");
        assert_eq!(timestamp(0, None), "1970-01-01 00:00:00");
    }
}
