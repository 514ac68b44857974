//! The plainest engine there can be: a map in memory. The oracle that the real one is tested against.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringViewBuilder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampNanosecondArray};
use arrow_schema::Schema as ArrowSchema;

use crate::model::{Column, ColumnKind, FieldType, Point, TableId, TableSchema, TimeRange, Value, check_name};
use crate::scan::{FieldPredicate, ScanOrder, ScanRequest, TagMatcher, TagTest};
use crate::{Error, Result, SchemaError};
use crate::{Rejected, Written};

type Tags = BTreeMap<String, String>;
type Fields = BTreeMap<String, Value<'static>>;

/// Tables as maps from series and time to fields.
#[derive(Debug, Clone, Default)]
pub struct Naive {
    tables: BTreeMap<String, Table>,
    next_table: u32,
}

#[derive(Debug, Clone)]
struct Table {
    schema: Arc<TableSchema>,
    rows: BTreeMap<(Tags, i64), Fields>,
}

impl Naive {
    /// Stores points one after the other.
    pub fn write(&mut self, points: &[Point<'_>]) -> Written {
        let mut written = Written::default();
        for (at, point) in points.iter().enumerate() {
            match self.write_one(point) {
                Ok(()) => written.accepted += 1,
                Err(error) => written.rejected.push(Rejected { point: at, error: error.into() }),
            }
        }
        written
    }

    fn write_one(&mut self, point: &Point<'_>) -> Result<(), SchemaError> {
        let mut schema = match self.tables.get(&*point.table) {
            Some(table) => (*table.schema).clone(),
            None => new_schema(self.next_table, &point.table)?,
        };
        let mut seen = BTreeSet::new();
        let mut tags = Tags::new();
        for (name, value) in &point.tags {
            if value.is_empty() {
                refuse_twice(name, &mut seen)?;
                continue;
            }
            add_column(&mut schema, name, ColumnKind::Tag, &mut seen)?;
            tags.insert(name.to_string(), value.to_string());
        }
        let mut fields = Fields::new();
        for (name, value) in &point.fields {
            add_column(&mut schema, name, ColumnKind::Field(value.field_type()), &mut seen)?;
            let stored = schema.columns[schema.position(name).expect("just added")].kind;
            let value = match (value, stored) {
                (Value::Integer(v), ColumnKind::Field(FieldType::Float)) => Value::Float(*v as f64),
                (Value::Text(v), _) => Value::Text(Cow::Owned(v.to_string())),
                (Value::Float(v), _) => Value::Float(*v),
                (Value::Integer(v), _) => Value::Integer(*v),
                (Value::Unsigned(v), _) => Value::Unsigned(*v),
                (Value::Boolean(v), _) => Value::Boolean(*v),
            };
            fields.insert(name.to_string(), value);
        }
        if fields.is_empty() {
            return Err(SchemaError::NoField(point.table.to_string()));
        }
        if schema.id.0 == self.next_table {
            self.next_table += 1;
        }
        let table = self
            .tables
            .entry(point.table.to_string())
            .or_insert_with(|| Table { schema: Arc::new(schema.clone()), rows: BTreeMap::new() });
        table.schema = Arc::new(schema);
        table.rows.entry((tags, point.time_ns)).or_default().extend(fields);
        Ok(())
    }

    /// Creates a table.
    ///
    /// # Errors
    /// As [`crate::Engine::create_table`].
    pub fn create_table(&mut self, name: &str, columns: &[Column]) -> Result<()> {
        if self.tables.contains_key(name) {
            return Err(SchemaError::TableExists(name.to_owned()).into());
        }
        let mut schema = new_schema(self.next_table, name)?;
        let mut seen = BTreeSet::new();
        for column in columns {
            add_column(&mut schema, &column.name, column.kind, &mut seen)?;
        }
        self.next_table += 1;
        self.tables.insert(name.to_owned(), Table { schema: Arc::new(schema), rows: BTreeMap::new() });
        Ok(())
    }

    /// Adds columns to a table.
    ///
    /// # Errors
    /// As [`crate::Engine::add_columns`].
    pub fn add_columns(&mut self, name: &str, columns: &[Column]) -> Result<()> {
        let table = self.tables.get_mut(name).ok_or_else(|| SchemaError::NoTable(name.to_owned()))?;
        let mut schema = (*table.schema).clone();
        for column in columns {
            if schema.position(&column.name).is_some() {
                return Err(SchemaError::Duplicate(column.name.clone()).into());
            }
            add_column(&mut schema, &column.name, column.kind, &mut BTreeSet::new())?;
        }
        table.schema = Arc::new(schema);
        Ok(())
    }

    /// Removes a table.
    ///
    /// # Errors
    /// [`SchemaError::NoTable`].
    pub fn drop_table(&mut self, name: &str) -> Result<()> {
        self.tables.remove(name).map(drop).ok_or_else(|| Error::from(SchemaError::NoTable(name.to_owned())))
    }

    /// Deletes the points that pass all tests, and says how many there were.
    ///
    /// # Errors
    /// As [`crate::Engine::delete`].
    pub fn delete(
        &mut self,
        table: &str,
        time: TimeRange,
        tags: &[TagMatcher],
        predicates: &[FieldPredicate],
    ) -> Result<u64> {
        let table = self.tables.get_mut(table).ok_or_else(|| SchemaError::NoTable(table.to_owned()))?;
        let is_field = |name: &str| {
            let column = table.schema.position(name).map(|at| table.schema.columns[at].kind);
            matches!(column, Some(ColumnKind::Field(_)))
        };
        if let Some(predicate) = predicates.iter().find(|p| !is_field(&p.field)) {
            let (table, column) = (table.schema.name.clone(), predicate.field.clone());
            return Err(SchemaError::NoColumn { table, column }.into());
        }
        let mut kept = BTreeMap::new();
        let before = table.rows.len();
        for ((series, time_ns), fields) in std::mem::take(&mut table.rows) {
            let mut passes = time.contains(time_ns);
            for matcher in tags {
                passes &= matches(series.get(&matcher.tag).map(String::as_str), &matcher.test)?;
            }
            passes &= predicates.iter().all(|p| p.test.holds(fields.get(&p.field)));
            if !passes {
                kept.insert((series, time_ns), fields);
            }
        }
        table.rows = kept;
        Ok((before - table.rows.len()) as u64)
    }

    /// The tables, by name.
    pub fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.tables.values().map(|t| t.schema.clone()).collect()
    }

    /// One table.
    pub fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        self.tables.get(name).map(|t| t.schema.clone())
    }

    /// All rows that a scan asks for, ordered by (tags, time) or as asked for by time. A limit holds for all of them together.
    ///
    /// # Errors
    /// As [`crate::Snapshot::scan`].
    pub fn read(&self, schema: &TableSchema, request: &ScanRequest) -> Result<RecordBatch> {
        let table = &self.tables[&schema.name];
        let mut rows = Vec::new();
        for ((tags, time_ns), fields) in &table.rows {
            let mut wanted = request.time.contains(*time_ns);
            for matcher in &request.tags {
                wanted &= matches(tags.get(&matcher.tag).map(String::as_str), &matcher.test)?;
            }
            for predicate in &request.predicates {
                wanted &= predicate.test.holds(fields.get(&predicate.field));
            }
            if wanted {
                rows.push((tags, *time_ns, fields));
            }
        }
        match request.order {
            ScanOrder::Unordered | ScanOrder::SeriesTime => {}
            ScanOrder::Time => rows.sort_by_key(|row| row.1),
            ScanOrder::TimeDescending => rows.sort_by_key(|row| Reverse(row.1)),
        }
        rows.truncate(request.limit.unwrap_or(usize::MAX));
        let mut arrays = Vec::new();
        let mut arrow_fields = Vec::new();
        for name in &request.columns {
            let position = schema
                .position(name)
                .ok_or_else(|| SchemaError::NoColumn { table: schema.name.clone(), column: name.clone() })?;
            arrow_fields.push(schema.arrow().field(position).clone());
            arrays.push(array(&schema.columns[position], &rows));
        }
        for FieldPredicate { field, .. } in &request.predicates {
            let (table, column) = (schema.name.clone(), field.clone());
            match schema.position(field).map(|at| schema.columns[at].kind) {
                Some(ColumnKind::Field(_)) => {}
                Some(kind) => {
                    let exists = kind.name();
                    return Err(SchemaError::ColumnKind { table, column, exists, wanted: "field" }.into());
                }
                None => return Err(SchemaError::NoColumn { table, column }.into()),
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(Arc::new(ArrowSchema::new(arrow_fields)), arrays, &options);
        Ok(batch.expect("arrays are built to the schema"))
    }
}

fn new_schema(id: u32, name: &str) -> Result<TableSchema, SchemaError> {
    check_name(name)?;
    let time = Column { name: TableSchema::TIME.to_owned(), kind: ColumnKind::Time };
    Ok(TableSchema { id: TableId(id), name: name.to_owned(), columns: vec![time] })
}

fn add_column<'a>(
    schema: &mut TableSchema,
    name: &'a str,
    kind: ColumnKind,
    seen: &mut BTreeSet<&'a str>,
) -> Result<(), SchemaError> {
    check_name(name)?;
    refuse_twice(name, seen)?;
    let Some(position) = schema.position(name) else {
        schema.columns.push(Column { name: name.to_owned(), kind });
        return Ok(());
    };
    match (schema.columns[position].kind, kind) {
        (exists, wanted) if exists == wanted => Ok(()),
        (ColumnKind::Field(FieldType::Float), ColumnKind::Field(FieldType::Integer)) => Ok(()),
        (ColumnKind::Field(expected), ColumnKind::Field(found)) => Err(SchemaError::FieldType {
            table: schema.name.clone(),
            field: name.to_owned(),
            found: found.name(),
            expected: expected.name(),
        }),
        (exists, wanted) => Err(SchemaError::ColumnKind {
            table: schema.name.clone(),
            column: name.to_owned(),
            exists: exists.name(),
            wanted: wanted.name(),
        }),
    }
}

fn refuse_twice<'a>(name: &'a str, seen: &mut BTreeSet<&'a str>) -> Result<(), SchemaError> {
    if seen.insert(name) { Ok(()) } else { Err(SchemaError::Duplicate(name.to_owned())) }
}

fn matches(value: Option<&str>, test: &TagTest) -> Result<bool> {
    Ok(match (value, test) {
        (value, TagTest::IsNull) => value.is_none(),
        (None, _) => false,
        (Some(v), TagTest::Equals(wanted)) => v == wanted,
        (Some(v), TagTest::NotEquals(other)) => v != other,
        (Some(v), TagTest::In(list)) => list.iter().any(|w| w == v),
        (Some(v), TagTest::NotIn(list)) => list.iter().all(|w| w != v),
        (Some(v), TagTest::Prefix(prefix)) => v.starts_with(prefix.as_str()),
        (Some(v), TagTest::Regex(pattern)) => {
            let regex = regex::RegexBuilder::new(pattern).dot_matches_new_line(true).build();
            regex.map_err(|e| Error::Pattern(e.to_string()))?.is_match(v)
        }
        (Some(_), TagTest::IsNotNull) => true,
    })
}

fn array(column: &Column, rows: &[(&Tags, i64, &Fields)]) -> ArrayRef {
    macro_rules! collect {
        ($builder:ty, $variant:path) => {{
            let mut builder = <$builder>::new();
            for (_, _, fields) in rows {
                match fields.get(&column.name) {
                    Some($variant(v)) => builder.append_value(v.clone()),
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    match column.kind {
        ColumnKind::Time => {
            let times = TimestampNanosecondArray::from_iter_values(rows.iter().map(|r| r.1));
            Arc::new(times.with_timezone("UTC"))
        }
        ColumnKind::Tag => {
            let mut builder = StringViewBuilder::new();
            for (tags, _, _) in rows {
                builder.append_option(tags.get(&column.name));
            }
            Arc::new(builder.finish())
        }
        ColumnKind::Field(FieldType::Float) => collect!(Float64Builder, Value::Float),
        ColumnKind::Field(FieldType::Integer) => collect!(Int64Builder, Value::Integer),
        ColumnKind::Field(FieldType::Unsigned) => collect!(UInt64Builder, Value::Unsigned),
        ColumnKind::Field(FieldType::Boolean) => collect!(BooleanBuilder, Value::Boolean),
        ColumnKind::Field(FieldType::Text) => collect!(StringViewBuilder, Value::Text),
    }
}
