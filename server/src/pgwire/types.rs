//! Which PostgreSQL type stands for which Arrow type, on the way out (columns) and on the way in (parameters).
//!
//! Only types that every PostgreSQL has are used, since clients look unknown ones up.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// Object ids of the types, as `pg_type` has them.
pub(crate) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const NAME: u32 = 19;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const OID: u32 = 26;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const UNKNOWN: u32 = 705;
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIME: u32 = 1083;
    pub(crate) const TIMESTAMP: u32 = 1114;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const INTERVAL: u32 = 1186;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const UUID: u32 = 2950;
}

/// The type in which a column of this Arrow type is shown. What PostgreSQL has no type for is shown as text.
pub(crate) fn column_oid(data_type: &DataType) -> u32 {
    match data_type {
        DataType::Boolean => oid::BOOL,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => oid::INT2,
        DataType::UInt16 | DataType::Int32 => oid::INT4,
        DataType::UInt32 | DataType::Int64 => oid::INT8,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => oid::NUMERIC,
        DataType::Float16 | DataType::Float32 => oid::FLOAT4,
        DataType::Float64 => oid::FLOAT8,
        DataType::Timestamp(_, Some(_)) => oid::TIMESTAMPTZ,
        DataType::Timestamp(_, None) => oid::TIMESTAMP,
        DataType::Date32 | DataType::Date64 => oid::DATE,
        DataType::Time32(_) | DataType::Time64(_) => oid::TIME,
        DataType::Interval(_) | DataType::Duration(_) => oid::INTERVAL,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => oid::BYTEA,
        DataType::Dictionary(_, values) => column_oid(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            array_oid(innermost_oid(item.data_type()))
        }
        _ => oid::TEXT,
    }
}

/// The type of the elements of a list of lists of ...: PostgreSQL's arrays have one type for any number of dimensions.
pub(crate) fn innermost_oid(item: &DataType) -> u32 {
    match item {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            innermost_oid(item.data_type())
        }
        other => column_oid(other),
    }
}

/// Types, and those of their arrays.
const ARRAYS: [(u32, u32); 17] = [
    (oid::BOOL, 1000),
    (oid::BYTEA, 1001),
    (oid::INT2, 1005),
    (oid::INT4, 1007),
    (oid::INT8, 1016),
    (oid::TEXT, 1009),
    (oid::FLOAT4, 1021),
    (oid::FLOAT8, 1022),
    (oid::TIMESTAMP, 1115),
    (oid::DATE, 1182),
    (oid::TIME, 1183),
    (oid::TIMESTAMPTZ, 1185),
    (oid::INTERVAL, 1187),
    (oid::NUMERIC, 1231),
    (oid::BPCHAR, 1014),
    (oid::VARCHAR, 1015),
    (oid::UUID, 2951),
];

fn array_oid(element: u32) -> u32 {
    ARRAYS.iter().find(|(of, _)| *of == element).map_or(1009, |(_, array)| *array)
}

/// The type of the elements of an array.
fn element_oid(array: u32) -> Option<u32> {
    ARRAYS.iter().find(|(_, known)| *known == array).map(|(of, _)| *of)
}

/// Bytes of a value of the type; -1 where they vary.
pub(crate) fn size_bytes(type_oid: u32) -> i16 {
    match type_oid {
        oid::BOOL | 18 => 1,
        oid::INT2 => 2,
        oid::INT4 | oid::OID | oid::FLOAT4 | oid::DATE => 4,
        oid::INT8 | oid::FLOAT8 | oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ => 8,
        oid::INTERVAL | oid::UUID => 16,
        oid::NAME => 64,
        oid::UNKNOWN => -2,
        _ => -1,
    }
}

/// The Arrow type of a parameter that a client declares; `None` leaves it to be inferred.
pub(crate) fn parameter_type(type_oid: u32) -> Result<Option<DataType>, u32> {
    Ok(Some(match type_oid {
        0 | oid::UNKNOWN => return Ok(None),
        oid::BOOL => DataType::Boolean,
        oid::INT2 => DataType::Int16,
        oid::INT4 => DataType::Int32,
        oid::INT8 | oid::OID => DataType::Int64,
        oid::FLOAT4 => DataType::Float32,
        oid::FLOAT8 => DataType::Float64,
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::UUID => DataType::Utf8,
        oid::BYTEA => DataType::Binary,
        oid::DATE => DataType::Date32,
        oid::TIME => DataType::Time64(TimeUnit::Microsecond),
        oid::TIMESTAMP => DataType::Timestamp(TimeUnit::Nanosecond, None),
        oid::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        oid::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        // The scale of a numeric is known only with its value; a float compares with every number there is.
        oid::NUMERIC => DataType::Float64,
        other => match element_oid(other) {
            Some(element) => match parameter_type(element)? {
                Some(item) => DataType::List(Arc::new(Field::new_list_field(item, true))),
                None => return Ok(None),
            },
            None => return Err(other),
        },
    }))
}

/// The type that a client is told for a parameter that was inferred.
pub(crate) fn parameter_oid(data_type: &DataType) -> u32 {
    match data_type {
        // A client has no unsigned type at hand to send; its integers have to do.
        DataType::UInt64 => oid::INT8,
        other => column_oid(other),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::Field;

    use super::*;

    #[test]
    fn columns() {
        let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8View));
        let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
        for (data_type, type_oid) in [
            (DataType::Float64, 701),
            (DataType::UInt64, 1700),
            (DataType::Null, 25),
            (text, 25),
            (DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), 1184),
            (DataType::Timestamp(TimeUnit::Second, None), 1114),
            (DataType::Duration(TimeUnit::Nanosecond), 1186),
            (list(DataType::Int64), 1016),
            (list(list(DataType::Utf8)), 1009),
        ] {
            assert_eq!(column_oid(&data_type), type_oid, "{data_type}");
        }
    }

    #[test]
    fn a_declared_parameter_comes_back_with_a_type_of_its_family() {
        for type_oid in [16, 17, 20, 21, 23, 25, 700, 701, 1082, 1083, 1114, 1184, 1186] {
            let data_type = parameter_type(type_oid).unwrap().unwrap();
            assert_eq!(parameter_oid(&data_type), type_oid);
        }
        assert_eq!(parameter_type(0), Ok(None));
        assert_eq!(parameter_type(3802), Err(3802));
    }
}
