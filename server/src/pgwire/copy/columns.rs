//! The values of rows, gathered column by column in the types of the table.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, StringViewBuilder, TimestampNanosecondBuilder,
    UInt64Builder,
};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::ScalarValue;

use super::super::columns::Format;
use super::super::parameters::read;
use super::super::sqlstate::{SqlError, code};
use super::super::types::column_oid;
use super::super::zone::Zone;
use super::Record;

/// A batch being filled.
pub(super) struct Columns {
    schema: SchemaRef,
    zone: Zone,
    builders: Vec<Builder>,
    rows: usize,
}

enum Builder {
    Time(TimestampNanosecondBuilder),
    Float(Float64Builder),
    Integer(Int64Builder),
    Unsigned(UInt64Builder),
    Boolean(BooleanBuilder),
    Text(StringViewBuilder),
}

impl Columns {
    pub(super) fn new(schema: &SchemaRef, zone: &Zone) -> Columns {
        let builders = schema.fields().iter().map(|field| Builder::new(field.data_type())).collect();
        Columns { schema: schema.clone(), zone: zone.clone(), builders, rows: 0 }
    }

    /// Columns of a row.
    pub(super) fn len(&self) -> usize {
        self.builders.len()
    }

    /// Rows gathered.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row of as many values as there are columns. An error comes with the number of its column.
    pub(super) fn push(&mut self, record: &Record, is_binary: bool) -> Result<(), Box<(usize, SqlError)>> {
        let format = if is_binary { Format::Binary } else { Format::Text };
        for (nth, builder) in self.builders.iter_mut().enumerate() {
            let Some(bytes) = record.value(nth) else {
                builder.push_null();
                continue;
            };
            let pushed = match is_binary {
                true => builder.push_binary(bytes),
                false => builder.push_text(bytes),
            };
            if !pushed {
                let data_type = self.schema.field(nth).data_type();
                let value = read(Some(bytes), format, column_oid(data_type), data_type, &self.zone);
                value.and_then(|value| builder.push(&value)).map_err(|error| Box::new((nth, error)))?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows gathered, which leaves none.
    pub(super) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let finished = |(builder, field): (&mut Builder, &Arc<datafusion::arrow::datatypes::Field>)| -> ArrayRef {
            match builder {
                Builder::Time(builder) => match field.data_type() {
                    DataType::Timestamp(_, Some(zone)) => Arc::new(builder.finish().with_timezone(zone.clone())),
                    _ => Arc::new(builder.finish()),
                },
                Builder::Float(builder) => Arc::new(builder.finish()),
                Builder::Integer(builder) => Arc::new(builder.finish()),
                Builder::Unsigned(builder) => Arc::new(builder.finish()),
                Builder::Boolean(builder) => Arc::new(builder.finish()),
                Builder::Text(builder) => Arc::new(builder.finish()),
            }
        };
        let columns = self.builders.iter_mut().zip(self.schema.fields()).map(finished).collect();
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

impl Builder {
    fn new(data_type: &DataType) -> Builder {
        match data_type {
            DataType::Timestamp(..) => Builder::Time(TimestampNanosecondBuilder::new()),
            DataType::Float64 => Builder::Float(Float64Builder::new()),
            DataType::Int64 => Builder::Integer(Int64Builder::new()),
            DataType::UInt64 => Builder::Unsigned(UInt64Builder::new()),
            DataType::Boolean => Builder::Boolean(BooleanBuilder::new()),
            _ => Builder::Text(StringViewBuilder::new().with_deduplicate_strings()),
        }
    }

    fn push_null(&mut self) {
        match self {
            Builder::Time(builder) => builder.append_null(),
            Builder::Float(builder) => builder.append_null(),
            Builder::Integer(builder) => builder.append_null(),
            Builder::Unsigned(builder) => builder.append_null(),
            Builder::Boolean(builder) => builder.append_null(),
            Builder::Text(builder) => builder.append_null(),
        }
    }

    /// Takes the plain forms at once; false leaves a value to the general reader.
    fn push_text(&mut self, bytes: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        match self {
            Builder::Integer(builder) => text.parse().map(|value| builder.append_value(value)).is_ok(),
            Builder::Text(builder) => {
                builder.append_value(text);
                true
            }
            Builder::Float(builder) if bytes.iter().all(|b| b.is_ascii_digit() || b"+-.eE".contains(b)) => text
                .parse()
                .ok()
                .filter(|value: &f64| value.is_finite())
                .map(|value| builder.append_value(value))
                .is_some(),
            _ => false,
        }
    }

    /// As [`Builder::push_text`], for the binary forms of the column's own type.
    fn push_binary(&mut self, bytes: &[u8]) -> bool {
        match self {
            Builder::Integer(builder) => {
                bytes.try_into().map(|bytes| builder.append_value(i64::from_be_bytes(bytes))).is_ok()
            }
            Builder::Float(builder) => {
                bytes.try_into().map(|bytes| builder.append_value(f64::from_be_bytes(bytes))).is_ok()
            }
            Builder::Text(builder) => std::str::from_utf8(bytes).map(|text| builder.append_value(text)).is_ok(),
            _ => false,
        }
    }

    fn push(&mut self, value: &ScalarValue) -> Result<(), SqlError> {
        match (self, value) {
            (Builder::Time(builder), ScalarValue::TimestampNanosecond(value, _)) => builder.append_option(*value),
            (Builder::Float(builder), ScalarValue::Float64(value)) => builder.append_option(*value),
            (Builder::Integer(builder), ScalarValue::Int64(value)) => builder.append_option(*value),
            (Builder::Unsigned(builder), ScalarValue::UInt64(value)) => builder.append_option(*value),
            (Builder::Boolean(builder), ScalarValue::Boolean(value)) => builder.append_option(*value),
            (Builder::Text(builder), value) if value.try_as_str().is_some() => {
                builder.append_option(value.try_as_str().flatten());
            }
            (_, value) => {
                let message = format!("a value of type {} is not of the column's type", value.data_type());
                return Err(SqlError::new(code::INTERNAL, message));
            }
        }
        Ok(())
    }
}
