//! A table of the schema `ops` as DataFusion sees it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampNanosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session as DataFusionSession, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::{Column, Row, Rows, Table, Type, Value};
use crate::Database;

/// The schema under which statements that change rows read them with their numbers, in a column of this name before all others.
/// No name that is written in a statement has its first character.
pub(crate) const WITH_ID: &str = "\u{1f}ops";

/// A table, with or without the numbers of its rows. Its rows are those of the moment of reading.
#[derive(Debug)]
pub(crate) struct OpsSource {
    table: &'static Table,
    database: Database,
    with_id: bool,
    time_zone: Arc<str>,
    schema: SchemaRef,
}

impl OpsSource {
    pub(crate) fn new(table: &'static Table, with_id: bool, database: &Database, time_zone: &Arc<str>) -> OpsSource {
        let field = |column: &Column| Field::new(column.name, column.data_type.arrow(time_zone), true);
        let id = with_id.then(|| Field::new(WITH_ID, DataType::UInt64, false));
        let fields: Vec<Field> = id.into_iter().chain(table.columns.iter().map(field)).collect();
        let schema = Arc::new(Schema::new(fields));
        OpsSource { table, database: database.clone(), with_id, time_zone: time_zone.clone(), schema }
    }

    fn batch(&self) -> datafusion::arrow::error::Result<RecordBatch> {
        let rows = self.database.ops().rows(self.table);
        let ids = self.with_id.then(|| {
            let ids: datafusion::arrow::array::UInt64Array = rows.keys().map(|id| Some(*id)).collect();
            Arc::new(ids) as ArrayRef
        });
        let columns = self.table.columns.iter().enumerate();
        let columns = columns.map(|(at, column)| array(&rows, at, column.data_type, &self.time_zone));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), ids.into_iter().chain(columns).collect(), &options)
    }
}

/// The values of a column.
fn array(rows: &Rows, at: usize, data_type: Type, time_zone: &Arc<str>) -> ArrayRef {
    let values = || rows.values().map(|row: &Arc<Row>| row.get(at).and_then(Option::as_ref));
    match data_type {
        Type::Text => Arc::new(
            values()
                .map(|value| if let Some(Value::Text(text)) = value { Some(text) } else { None })
                .collect::<StringArray>(),
        ),
        Type::Integer => Arc::new(
            values()
                .map(|value| if let Some(Value::Integer(n)) = value { Some(*n) } else { None })
                .collect::<Int64Array>(),
        ),
        Type::Float => Arc::new(
            values()
                .map(|value| if let Some(Value::Float(n)) = value { Some(*n) } else { None })
                .collect::<Float64Array>(),
        ),
        Type::Boolean => Arc::new(
            values()
                .map(|value| if let Some(Value::Boolean(b)) = value { Some(*b) } else { None })
                .collect::<BooleanArray>(),
        ),
        Type::Time => {
            let times = values().map(|value| if let Some(Value::Time(ns)) = value { Some(*ns) } else { None });
            Arc::new(times.collect::<TimestampNanosecondArray>().with_timezone(time_zone.clone()))
        }
    }
}

#[async_trait]
impl TableProvider for OpsSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn DataFusionSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let batch = self.batch()?;
        MemTable::try_new(self.schema.clone(), vec![vec![batch]])?.scan(state, projection, filters, limit).await
    }
}
