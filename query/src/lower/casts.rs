//! Types that a statement itself gives to its parameters: in `$1::int` the cast is the declaration, as in PostgreSQL.

use std::ops::ControlFlow;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::sql::sqlparser::ast::{
    self, ArrayElemTypeDef, Expr, TimezoneInfo, Value, ValueWithSpan, visit_expressions,
};

use crate::functions::list_of;

/// The types that the client declares, and for the others those of their casts.
pub(crate) fn declared_types(statement: &ast::Statement, of_client: &[Option<DataType>]) -> Vec<Option<DataType>> {
    let mut types = of_client.to_vec();
    let _all_were_seen = visit_expressions(statement, |expr| {
        if let Expr::Cast { expr, data_type, .. } = expr
            && let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = &**expr
            && let Some(number) = name.strip_prefix('$').and_then(|digits| digits.parse::<u16>().ok())
            && let Some(at) = usize::from(number).checked_sub(1)
            && let Some(cast) = arrow_type(data_type)
        {
            types.resize(types.len().max(at + 1), None);
            types[at].get_or_insert(cast);
        }
        ControlFlow::<()>::Continue(())
    });
    types
}

/// The Arrow type of the types that parameters usually have.
fn arrow_type(data_type: &ast::DataType) -> Option<DataType> {
    Some(match data_type {
        ast::DataType::SmallInt(_) | ast::DataType::Int2(_) => DataType::Int16,
        ast::DataType::Int(_) | ast::DataType::Integer(_) | ast::DataType::Int4(_) => DataType::Int32,
        ast::DataType::BigInt(_) | ast::DataType::Int8(_) => DataType::Int64,
        ast::DataType::Real | ast::DataType::Float4 => DataType::Float32,
        ast::DataType::DoublePrecision | ast::DataType::Float8 => DataType::Float64,
        ast::DataType::Boolean | ast::DataType::Bool => DataType::Boolean,
        ast::DataType::Text | ast::DataType::Varchar(_) => DataType::Utf8,
        ast::DataType::Date => DataType::Date32,
        ast::DataType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
        }
        ast::DataType::Array(ArrayElemTypeDef::SquareBracket(of, _)) => list_of(&arrow_type(of)?),
        _ => return None,
    })
}
