//! System tables: what the database knows of itself, as relations of the schema `sys`.
//!
//! A system table is computed when it is read. Its rows tell of the moment of reading, not of the statement's snapshot.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, RecordBatch, new_empty_array};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session as DataFusionSession, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

mod definitions;
pub(crate) mod estimate;
mod statements;
mod storage;

use crate::session::blocking;
use crate::{Database, Result};

/// The schema that system tables live in.
pub(crate) const SCHEMA: &str = "sys";

/// A system table.
#[derive(Clone, Copy)]
pub struct SystemTable {
    /// The schema that it is in: `sys`, or `ops` for what operations teams ask for.
    pub schema: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What a row of it is.
    pub about: &'static str,
    /// Its columns.
    pub columns: &'static [SystemColumn],
    rows: fn(&Database) -> Result<Vec<Row>>,
}

/// A column of a system table.
#[derive(Debug, Clone, Copy)]
pub struct SystemColumn {
    /// Its name.
    pub name: &'static str,
    /// What it tells.
    pub about: &'static str,
    kind: Kind,
}

/// The types that columns of system tables have.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Integer,
    Boolean,
    Time,
}

/// The values of a row, in the order of the columns.
type Row = Vec<Cell>;

/// One value.
enum Cell {
    Text(Option<String>),
    Integer(Option<i64>),
    Boolean(bool),
    Time(Option<i64>),
}

/// All system tables, by name.
pub fn system_tables() -> impl Iterator<Item = &'static SystemTable> {
    storage::TABLES
        .iter()
        .chain(statements::TABLES)
        .chain(definitions::TABLES)
        .chain(definitions::OPS_TABLES)
        .chain(definitions::DEAD_LETTERS)
}

/// The system table of a name in a schema.
pub(crate) fn find(schema: &str, name: &str) -> Option<&'static SystemTable> {
    system_tables().find(|table| table.schema == schema && table.name == name)
}

impl SystemColumn {
    const fn new(name: &'static str, kind: Kind, about: &'static str) -> SystemColumn {
        SystemColumn { name, about, kind }
    }

    /// Its type; an instant carries the zone given.
    pub fn data_type(&self, time_zone: &Arc<str>) -> DataType {
        match self.kind {
            Kind::Text => DataType::Utf8,
            Kind::Integer => DataType::Int64,
            Kind::Boolean => DataType::Boolean,
            Kind::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some(time_zone.clone())),
        }
    }
}

impl SystemTable {
    fn schema(&self, time_zone: &Arc<str>) -> SchemaRef {
        let field = |column: &SystemColumn| Field::new(column.name, column.data_type(time_zone), true);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    fn read(&self, database: &Database, schema: &SchemaRef, time_zone: &Arc<str>) -> Result<RecordBatch> {
        let rows = (self.rows)(database)?;
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::with_capacity(rows.len()); self.columns.len()];
        for row in rows {
            for (column, cell) in columns.iter_mut().zip(row) {
                column.push(cell.scalar(time_zone).to_array()?);
            }
        }
        let whole = |(column, field): (Vec<ArrayRef>, &Arc<Field>)| match column.is_empty() {
            true => Ok(new_empty_array(field.data_type())),
            false => concat(&column.iter().map(AsRef::as_ref).collect::<Vec<_>>()).map_err(DataFusionError::from),
        };
        let columns = columns.into_iter().zip(schema.fields()).map(whole).collect::<Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?)
    }
}

impl fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemTable").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Cell {
    fn text(text: impl Into<String>) -> Cell {
        Cell::Text(Some(text.into()))
    }

    /// A count; none is above 2^63.
    fn count(count: impl TryInto<i64>) -> Cell {
        Cell::Integer(Some(count.try_into().unwrap_or(i64::MAX)))
    }

    fn scalar(self, time_zone: &Arc<str>) -> ScalarValue {
        match self {
            Cell::Text(text) => ScalarValue::Utf8(text),
            Cell::Integer(number) => ScalarValue::Int64(number),
            Cell::Boolean(yes) => ScalarValue::Boolean(Some(yes)),
            Cell::Time(ns) => ScalarValue::TimestampNanosecond(ns, Some(time_zone.clone())),
        }
    }
}

/// A system table as DataFusion sees it.
#[derive(Debug)]
pub(crate) struct SystemSource {
    table: &'static SystemTable,
    database: Database,
    time_zone: Arc<str>,
    schema: SchemaRef,
}

impl SystemSource {
    pub(crate) fn new(table: &'static SystemTable, database: &Database, time_zone: &Arc<str>) -> SystemSource {
        let schema = table.schema(time_zone);
        SystemSource { table, database: database.clone(), time_zone: time_zone.clone(), schema }
    }
}

#[async_trait]
impl TableProvider for SystemSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn DataFusionSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let (table, database) = (self.table, self.database.clone());
        let (schema, time_zone) = (self.schema.clone(), self.time_zone.clone());
        let read = move || table.read(&database, &schema, &time_zone);
        let batch = blocking(read).await.map_err(|e| DataFusionError::External(Box::new(e)))?;
        MemTable::try_new(self.schema.clone(), vec![vec![batch]])?.scan(state, projection, filters, limit).await
    }
}
