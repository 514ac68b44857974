//! What an aggregation answers: the columns, their types, and what has to be read for them.

use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Schema as ArrowSchema, SchemaRef};

use super::{Aggregate, AggregateFunction, AggregateRequest, Bucket, BucketLimit};
use crate::model::{ColumnKind, FieldType, TableSchema};
use crate::{Result, SchemaError};

/// Digits of a sum of integers, as the query layer has them.
pub(super) const SUM_PRECISION: u8 = 30;

/// The shape of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) bucket: Option<Bucket>,
    pub(super) limit: Option<BucketLimit>,
    pub(super) group_tags: Vec<String>,
    pub(super) columns: Vec<Column>,
    schema: SchemaRef,
}

/// One aggregate of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) function: AggregateFunction,
    /// Name and kind of its argument, if it has one.
    pub(super) argument: Option<(String, ColumnKind)>,
}

impl Answer {
    pub(super) fn new(table: &TableSchema, request: &AggregateRequest) -> Result<Answer> {
        let mut fields = Vec::new();
        if request.bucket.is_some() {
            fields.push(ArrowField::new("bucket", ColumnKind::Time.arrow(), false));
        }
        for tag in &request.group_tags {
            match kind_of(table, tag)? {
                ColumnKind::Tag => fields.push(ArrowField::new(tag, ColumnKind::Tag.arrow(), true)),
                other => return Err(wrong_kind(table, tag, other, "tag").into()),
            }
        }
        for predicate in &request.predicates {
            match kind_of(table, &predicate.field)? {
                ColumnKind::Field(_) => {}
                other => return Err(wrong_kind(table, &predicate.field, other, "field").into()),
            }
        }
        let mut columns = Vec::new();
        for aggregate in &request.aggregates {
            let column = column(table, aggregate)?;
            let argument = aggregate.field.as_deref().unwrap_or("*");
            let name = format!("{}({argument})", aggregate.function.name());
            let counts = matches!(aggregate.function, AggregateFunction::CountRows | AggregateFunction::Count);
            fields.push(ArrowField::new(name, column.data_type(), !counts));
            columns.push(column);
        }
        Ok(Answer {
            bucket: request.bucket,
            limit: request.limit,
            group_tags: request.group_tags.clone(),
            columns,
            schema: Arc::new(ArrowSchema::new(fields)),
        })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// True when there is one group, with or without rows.
    pub(super) fn is_single(&self) -> bool {
        self.bucket.is_none() && self.group_tags.is_empty()
    }
}

impl Column {
    fn data_type(&self) -> DataType {
        use AggregateFunction::{Avg, Count, CountRows, First, Last, Max, Min, Sketch, Sum};
        let kind = self.argument.as_ref().map_or(ColumnKind::Time, |(_, kind)| *kind);
        match self.function {
            CountRows | Count => DataType::Int64,
            Avg => DataType::Float64,
            Sketch => DataType::Utf8View,
            Sum if kind == ColumnKind::Field(FieldType::Float) => DataType::Float64,
            Sum => DataType::Decimal128(SUM_PRECISION, 0),
            Min | Max | First | Last => kind.arrow(),
        }
    }
}

/// Checks that a function takes what it is given.
fn column(table: &TableSchema, aggregate: &Aggregate) -> Result<Column> {
    use AggregateFunction::{Avg, Count, CountRows, First, Last, Max, Min, Sketch, Sum};
    let function = aggregate.function;
    let Some(name) = &aggregate.field else {
        // Without an argument every function but the count of rows would be meaningless.
        let column = Column { function: CountRows, argument: None };
        return match function {
            CountRows | Count => Ok(column),
            _ => Err(SchemaError::NoColumn { table: table.name.clone(), column: "*".to_owned() }.into()),
        };
    };
    let kind = kind_of(table, name)?;
    let is_number = matches!(kind, ColumnKind::Field(FieldType::Float | FieldType::Integer | FieldType::Unsigned));
    let fits = match function {
        CountRows => true,
        Sum | Avg | Sketch => is_number,
        Count | Min | Max | First | Last => kind != ColumnKind::Tag,
    };
    if !fits {
        let wanted = if matches!(function, Sum | Avg | Sketch) { "number" } else { "field" };
        return Err(wrong_kind(table, name, kind, wanted).into());
    }
    Ok(Column { function, argument: Some((name.clone(), kind)).filter(|_| function != CountRows) })
}

fn kind_of(table: &TableSchema, name: &str) -> Result<ColumnKind> {
    let missing = || SchemaError::NoColumn { table: table.name.clone(), column: name.to_owned() };
    Ok(table.position(name).map(|at| table.columns[at].kind).ok_or_else(missing)?)
}

fn wrong_kind(table: &TableSchema, column: &str, exists: ColumnKind, wanted: &'static str) -> SchemaError {
    let exists = match exists {
        ColumnKind::Field(kind) => kind.name(),
        other => other.name(),
    };
    SchemaError::ColumnKind { table: table.name.clone(), column: column.to_owned(), exists, wanted }
}
