//! Rows of a record batch as `DataRow` messages, straight into the buffer that goes out.
//!
//! The type of each column is looked at once per batch. A value is written behind a length that is filled in afterwards.

mod array;
mod quick;

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal32Array, Decimal64Array, Decimal128Array, Decimal256Array,
    FixedSizeListArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, IntervalDayTimeArray,
    IntervalMonthDayNanoArray, IntervalYearMonthArray, LargeListArray, ListArray, RecordBatch, UInt64Array,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::text::time;
use super::types::{column_oid, innermost_oid, oid};
use super::zone::Zone;
use super::{binary, text};

/// How a value is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    /// As a reader would type it.
    #[default]
    Text,
    /// As the server of PostgreSQL holds it, big endian.
    Binary,
}

/// Tag of a `DataRow` message.
const DATA_ROW: u8 = b'D';

/// Writes the rows of one batch.
pub(crate) struct RowEncoder<'a> {
    columns: Vec<(Column, Format)>,
    rows: usize,
    zone: &'a Zone,
}

impl<'a> RowEncoder<'a> {
    /// `formats` has one entry per column of the batch.
    ///
    /// # Errors
    /// A sentence, when a column is of a type that has no form here.
    pub(crate) fn new(batch: &RecordBatch, formats: &[Format], zone: &'a Zone) -> Result<RowEncoder<'a>, String> {
        let columns = batch.columns().iter().zip(formats);
        let columns =
            columns.map(|(array, format)| Ok((Column::new(array)?, *format))).collect::<Result<_, String>>()?;
        Ok(RowEncoder { columns, rows: batch.num_rows(), zone })
    }

    /// Appends one row as a whole message.
    pub(crate) fn put_row(&self, row: usize, out: &mut BytesMut) {
        out.put_u8(DATA_ROW);
        put_sized(out, |out| {
            out.put_u16(self.columns.len() as u16);
            for (column, format) in &self.columns {
                column.put_field(row, *format, self.zone, out);
            }
        });
    }
}

/// Writes something behind its size, which counts its own four bytes, as messages do.
pub(crate) fn put_sized(out: &mut BytesMut, put: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    put(out);
    let size = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// Writes a value behind its length, which does not count itself, as fields do.
pub(crate) fn put_value(out: &mut BytesMut, put: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    put(out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Writes NULL in place of a value.
pub(crate) fn put_null(out: &mut BytesMut) {
    out.put_i32(-1);
}

/// One column, with its type known.
struct Column {
    nulls: Option<NullBuffer>,
    values: Values,
}

/// The arrays are shared, not copied.
enum Values {
    Null,
    Bool(BooleanArray),
    Int16(Int16Array),
    Int32(Int32Array),
    Int64(Int64Array),
    UInt64(UInt64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    Decimal32(Decimal32Array),
    Decimal64(Decimal64Array),
    Decimal128(Decimal128Array),
    Decimal256(Decimal256Array),
    Utf8(datafusion::arrow::array::StringArray),
    LargeUtf8(datafusion::arrow::array::LargeStringArray),
    Utf8View(datafusion::arrow::array::StringViewArray),
    Binary(datafusion::arrow::array::BinaryArray),
    LargeBinary(datafusion::arrow::array::LargeBinaryArray),
    BinaryView(datafusion::arrow::array::BinaryViewArray),
    FixedSizeBinary(datafusion::arrow::array::FixedSizeBinaryArray),
    /// Values in units of `unit`, since the Unix epoch or of a duration.
    Timestamp(Int64Array, TimeUnit),
    Timestamptz(Int64Array, TimeUnit),
    Duration(Int64Array, TimeUnit),
    /// Days since 1970-01-01.
    Date(Int32Array),
    /// Microseconds since midnight.
    Time(Int64Array, TimeUnit),
    Months(IntervalYearMonthArray),
    DayTime(IntervalDayTimeArray),
    MonthDayNano(IntervalMonthDayNanoArray),
    Dictionary(Vec<usize>, Box<Column>),
    List(Lists, Box<Column>, u32),
    /// A type without a counterpart, as Arrow prints it.
    Other(ArrayRef),
}

/// Where the elements of each list lie.
enum Lists {
    List(ListArray),
    Large(LargeListArray),
    Fixed(FixedSizeListArray),
}

impl Lists {
    fn range(&self, row: usize) -> std::ops::Range<usize> {
        match self {
            Lists::List(array) => array.value_offsets()[row] as usize..array.value_offsets()[row + 1] as usize,
            Lists::Large(array) => array.value_offsets()[row] as usize..array.value_offsets()[row + 1] as usize,
            Lists::Fixed(array) => array.value_offset(row) as usize..array.value_offset(row + 1) as usize,
        }
    }
}

impl Column {
    fn new(array: &ArrayRef) -> Result<Column, String> {
        Ok(Column { nulls: array.logical_nulls(), values: Values::new(array)? })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    fn put_field(&self, row: usize, format: Format, zone: &Zone, out: &mut BytesMut) {
        if self.is_null(row) {
            put_null(out);
        } else {
            put_value(out, |out| match format {
                Format::Text => self.put_text(row, zone, out),
                Format::Binary => self.put_binary(row, zone, out),
            });
        }
    }

    fn put_text(&self, row: usize, zone: &Zone, out: &mut BytesMut) {
        match &self.values {
            Values::Null => {}
            Values::Bool(array) => out.put_u8(if array.value(row) { b't' } else { b'f' }),
            Values::Int16(array) => text::put_display(array.value(row), out),
            Values::Int32(array) => text::put_display(array.value(row), out),
            Values::Int64(array) => text::put_display(array.value(row), out),
            Values::UInt64(array) => text::put_display(array.value(row), out),
            Values::Float32(array) => text::float::put_f32(array.value(row), out),
            Values::Float64(array) => text::float::put_f64(array.value(row), out),
            Values::Decimal32(array) => out.put_slice(array.value_as_string(row).as_bytes()),
            Values::Decimal64(array) => out.put_slice(array.value_as_string(row).as_bytes()),
            Values::Decimal128(array) => out.put_slice(array.value_as_string(row).as_bytes()),
            Values::Decimal256(array) => out.put_slice(array.value_as_string(row).as_bytes()),
            Values::Binary(array) => text::put_bytea(array.value(row), out),
            Values::LargeBinary(array) => text::put_bytea(array.value(row), out),
            Values::BinaryView(array) => text::put_bytea(array.value(row), out),
            Values::FixedSizeBinary(array) => text::put_bytea(array.value(row), out),
            Values::Timestamp(array, unit) => time::put_timestamp(to_us(array.value(row), *unit), out),
            Values::Timestamptz(array, unit) => time::put_timestamptz(to_us(array.value(row), *unit), zone, out),
            Values::Date(array) => time::put_date(array.value(row).into(), out),
            Values::Time(array, unit) => time::put_time(to_us(array.value(row), *unit), out),
            Values::Months(_) | Values::DayTime(_) | Values::MonthDayNano(_) | Values::Duration(..) => {
                let (months, days, us) = self.interval(row);
                time::put_interval(months, days, us, out);
            }
            Values::Dictionary(keys, values) => values.put_text(keys[row], zone, out),
            Values::List(lists, elements, _) => elements.put_array_text(lists.range(row), zone, out),
            _ => self.put_string(row, out),
        }
    }

    fn put_binary(&self, row: usize, zone: &Zone, out: &mut BytesMut) {
        match &self.values {
            Values::Null => {}
            Values::Bool(array) => out.put_u8(array.value(row).into()),
            Values::Int16(array) => out.put_i16(array.value(row)),
            Values::Int32(array) => out.put_i32(array.value(row)),
            Values::Int64(array) => out.put_i64(array.value(row)),
            Values::Float32(array) => out.put_f32(array.value(row)),
            Values::Float64(array) => out.put_f64(array.value(row)),
            Values::UInt64(array) => binary::put_numeric(&array.value(row).to_string(), out),
            Values::Decimal32(array) => binary::put_numeric(&array.value_as_string(row), out),
            Values::Decimal64(array) => binary::put_numeric(&array.value_as_string(row), out),
            Values::Decimal128(array) => binary::put_numeric(&array.value_as_string(row), out),
            Values::Decimal256(array) => binary::put_numeric(&array.value_as_string(row), out),
            Values::Binary(array) => out.put_slice(array.value(row)),
            Values::LargeBinary(array) => out.put_slice(array.value(row)),
            Values::BinaryView(array) => out.put_slice(array.value(row)),
            Values::FixedSizeBinary(array) => out.put_slice(array.value(row)),
            Values::Timestamp(array, unit) | Values::Timestamptz(array, unit) => {
                out.put_i64(binary::since_2000_us(to_us(array.value(row), *unit)));
            }
            Values::Date(array) => out.put_i32(binary::since_2000_days(array.value(row))),
            Values::Time(array, unit) => out.put_i64(to_us(array.value(row), *unit)),
            Values::Months(_) | Values::DayTime(_) | Values::MonthDayNano(_) | Values::Duration(..) => {
                let (months, days, us) = self.interval(row);
                out.put_i64(us);
                out.put_i32(days);
                out.put_i32(months);
            }
            Values::Dictionary(keys, values) => values.put_binary(keys[row], zone, out),
            Values::List(lists, elements, element_oid) => {
                elements.put_array_binary(lists.range(row), *element_oid, zone, out);
            }
            _ => self.put_string(row, out),
        }
    }

    /// Text is the same in both formats.
    fn put_string(&self, row: usize, out: &mut BytesMut) {
        match &self.values {
            Values::Utf8(array) => out.put_slice(array.value(row).as_bytes()),
            Values::LargeUtf8(array) => out.put_slice(array.value(row).as_bytes()),
            Values::Utf8View(array) => out.put_slice(array.value(row).as_bytes()),
            Values::Other(array) => {
                let options = FormatOptions::default();
                if let Ok(formatter) = ArrayFormatter::try_new(array, &options) {
                    text::put_display(formatter.value(row), out);
                }
            }
            _ => {}
        }
    }

    fn interval(&self, row: usize) -> (i32, i32, i64) {
        match &self.values {
            Values::Months(array) => (array.value(row), 0, 0),
            Values::DayTime(array) => {
                let value = array.value(row);
                (0, value.days, i64::from(value.milliseconds) * 1000)
            }
            Values::MonthDayNano(array) => {
                let value = array.value(row);
                (value.months, value.days, time::round_to_us(value.nanoseconds))
            }
            // The difference of two timestamps: PostgreSQL counts whole days apart.
            Values::Duration(array, unit) => {
                let us = to_us(array.value(row), *unit);
                (0, i32::try_from(us / time::DAY_US).unwrap_or(i32::MAX), us % time::DAY_US)
            }
            _ => (0, 0, 0),
        }
    }
}

impl Values {
    fn new(array: &ArrayRef) -> Result<Values, String> {
        Ok(match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Bool(array.as_boolean().clone()),
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => {
                Values::Int16(to(array, &DataType::Int16)?.as_primitive().clone())
            }
            DataType::UInt16 | DataType::Int32 => Values::Int32(to(array, &DataType::Int32)?.as_primitive().clone()),
            DataType::UInt32 | DataType::Int64 => Values::Int64(to(array, &DataType::Int64)?.as_primitive().clone()),
            DataType::UInt64 => Values::UInt64(array.as_primitive().clone()),
            DataType::Float16 | DataType::Float32 => {
                Values::Float32(to(array, &DataType::Float32)?.as_primitive().clone())
            }
            DataType::Float64 => Values::Float64(array.as_primitive().clone()),
            DataType::Decimal32(..) => Values::Decimal32(array.as_primitive().clone()),
            DataType::Decimal64(..) => Values::Decimal64(array.as_primitive().clone()),
            DataType::Decimal128(..) => Values::Decimal128(array.as_primitive().clone()),
            DataType::Decimal256(..) => Values::Decimal256(array.as_primitive().clone()),
            DataType::Utf8 => Values::Utf8(array.as_string().clone()),
            DataType::LargeUtf8 => Values::LargeUtf8(array.as_string().clone()),
            DataType::Utf8View => Values::Utf8View(array.as_string_view().clone()),
            DataType::Binary => Values::Binary(array.as_binary().clone()),
            DataType::LargeBinary => Values::LargeBinary(array.as_binary().clone()),
            DataType::BinaryView => Values::BinaryView(array.as_binary_view().clone()),
            DataType::FixedSizeBinary(_) => Values::FixedSizeBinary(array.as_fixed_size_binary().clone()),
            DataType::Timestamp(unit, None) => Values::Timestamp(int64(array)?, *unit),
            DataType::Timestamp(unit, Some(_)) => Values::Timestamptz(int64(array)?, *unit),
            DataType::Duration(unit) => Values::Duration(int64(array)?, *unit),
            DataType::Date32 | DataType::Date64 => {
                let days = to(&to(array, &DataType::Date32)?, &DataType::Int32)?;
                Values::Date(days.as_primitive().clone())
            }
            DataType::Time32(unit) => {
                Values::Time(to(&to(array, &DataType::Int32)?, &DataType::Int64)?.as_primitive().clone(), *unit)
            }
            DataType::Time64(unit) => Values::Time(int64(array)?, *unit),
            DataType::Interval(IntervalUnit::YearMonth) => Values::Months(array.as_primitive().clone()),
            DataType::Interval(IntervalUnit::DayTime) => Values::DayTime(array.as_primitive().clone()),
            DataType::Interval(IntervalUnit::MonthDayNano) => Values::MonthDayNano(array.as_primitive().clone()),
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                if dictionary.values().is_empty() {
                    return Ok(Values::Null);
                }
                Values::Dictionary(dictionary.normalized_keys(), Box::new(Column::new(dictionary.values())?))
            }
            DataType::List(item) => {
                let lists = array.as_list::<i32>().clone();
                let elements = Box::new(Column::new(lists.values())?);
                Values::List(Lists::List(lists), elements, innermost_oid(item.data_type()))
            }
            DataType::LargeList(item) => {
                let lists = array.as_list::<i64>().clone();
                let elements = Box::new(Column::new(lists.values())?);
                Values::List(Lists::Large(lists), elements, innermost_oid(item.data_type()))
            }
            DataType::FixedSizeList(item, _) => {
                let lists = array.as_fixed_size_list().clone();
                let elements = Box::new(Column::new(lists.values())?);
                Values::List(Lists::Fixed(lists), elements, innermost_oid(item.data_type()))
            }
            other => {
                debug_assert_eq!(column_oid(other), oid::TEXT, "what is not listed here is shown as text");
                Values::Other(array.clone())
            }
        })
    }
}

fn to(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, String> {
    cast(array, data_type).map_err(|e| e.to_string())
}

fn int64(array: &ArrayRef) -> Result<Int64Array, String> {
    Ok(to(array, &DataType::Int64)?.as_primitive().clone())
}

/// Microseconds of a value in `unit`. What does not fit ends as `infinity`.
fn to_us(value: i64, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => value.saturating_mul(time::SECOND_US),
        TimeUnit::Millisecond => value.saturating_mul(1000),
        TimeUnit::Microsecond => value,
        TimeUnit::Nanosecond => time::round_to_us(value),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        BinaryArray, Date32Array, DictionaryArray, IntervalMonthDayNanoArray, StringArray, Time64NanosecondArray,
        TimestampNanosecondArray,
    };
    use datafusion::arrow::datatypes::{Int32Type, Int64Type, IntervalMonthDayNanoType};

    use super::*;

    /// The first field of each row, `None` for NULL.
    fn fields(array: ArrayRef, format: Format) -> Vec<Option<Vec<u8>>> {
        let batch = RecordBatch::try_from_iter([("c", array)]).unwrap();
        let zone = Zone::default();
        let encoder = RowEncoder::new(&batch, &[format], &zone).unwrap();
        let field = |row| {
            let mut out = BytesMut::new();
            encoder.put_row(row, &mut out);
            assert_eq!(out[0], b'D');
            assert_eq!(out[1..5], (out.len() as u32 - 1).to_be_bytes());
            assert_eq!(out[5..7], [0, 1]);
            let length = i32::from_be_bytes(out[7..11].try_into().unwrap());
            usize::try_from(length).ok().map(|length| {
                assert_eq!(out.len(), 11 + length);
                out[11..].to_vec()
            })
        };
        (0..batch.num_rows()).map(field).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Checks the first value's text and binary form against what PostgreSQL 15 sent.
    fn check(array: impl Array + 'static, text: &str, binary: &str) {
        let array: ArrayRef = Arc::new(array);
        let text_field = fields(array.clone(), Format::Text)[0].clone().unwrap();
        assert_eq!(String::from_utf8(text_field).unwrap(), text);
        assert_eq!(hex(fields(array, Format::Binary)[0].as_ref().unwrap()), binary, "{text}");
    }

    #[test]
    fn values_as_postgresql_15() {
        check(BooleanArray::from(vec![true]), "t", "01");
        check(Float64Array::from(vec![1.5]), "1.5", "3ff8000000000000");
        check(UInt64Array::from(vec![10_000]), "10000", "00010001000000000001");
        let decimal = Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 2).unwrap();
        check(decimal, "123.45", "0002000000000002007b1194");
        check(BinaryArray::from(vec![&b"\xde\xad"[..]]), "\\xdead", "dead");
        check(Date32Array::from(vec![19_782]), "2024-02-29", "00002279");
        check(Time64NanosecondArray::from(vec![7_384_500_000_000]), "02:03:04.5", "00000001b8268720");
        let time = TimestampNanosecondArray::from(vec![1_704_067_200_500_000_000]).with_timezone("UTC");
        check(time, "2024-01-01 00:00:00.5+00", "0002b0d5d4f0e120");
        let interval = IntervalMonthDayNanoType::make_value(1, 2, 3_500_000_000);
        let interval = IntervalMonthDayNanoArray::from(vec![interval]);
        check(interval, "1 mon 2 days 00:00:03.5", "00000000003567e00000000200000001");
    }

    #[test]
    fn arrays_as_postgresql_15() {
        let numbers = [Some(vec![Some(1), None, Some(3)])];
        let header = "0000000100000001000000140000000300000001";
        let items = "000000080000000000000001ffffffff000000080000000000000003";
        let binary = format!("{header}{items}");
        check(ListArray::from_iter_primitive::<Int64Type, _, _>(numbers.clone()), "{1,NULL,3}", &binary);
        check(LargeListArray::from_iter_primitive::<Int64Type, _, _>(numbers), "{1,NULL,3}", &binary);
        let none = [Some(Vec::<Option<i64>>::new())];
        check(ListArray::from_iter_primitive::<Int64Type, _, _>(none), "{}", "000000000000000000000014");
    }

    #[test]
    fn nested_arrays_are_dimensions() {
        let texts = StringArray::from(vec![Some("a"), Some("b c"), Some("c"), None]);
        let item = |data_type| Arc::new(datafusion::arrow::datatypes::Field::new("item", data_type, true));
        let inner = FixedSizeListArray::new(item(DataType::Utf8), 2, Arc::new(texts), None);
        let outer = FixedSizeListArray::new(item(inner.data_type().clone()), 2, Arc::new(inner), None);
        let binary = "00000002000000010000001900000002000000010000000200000001\
                      0000000161000000036220630000000163ffffffff";
        check(outer, r#"{{a,"b c"},{c,NULL}}"#, binary);
    }

    #[test]
    fn null_has_no_value_in_any_type() {
        let dictionary: DictionaryArray<Int32Type> = vec![Some("x"), None].into_iter().collect();
        let arrays: [ArrayRef; 3] = [
            Arc::new(dictionary),
            Arc::new(Int64Array::from(vec![Some(1), None])),
            Arc::new(datafusion::arrow::array::NullArray::new(2)),
        ];
        for array in arrays {
            for format in [Format::Text, Format::Binary] {
                assert_eq!(fields(array.clone(), format)[1], None);
            }
        }
    }
}
