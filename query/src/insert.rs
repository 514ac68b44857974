//! `INSERT INTO table [(columns)] VALUES ... | SELECT ...`: rows become points and go through the engine in bounded batches.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, Schema, TimeUnit, TimestampNanosecondType, UInt64Type,
};
use datafusion::common::{Column as ColumnReference, DFSchema, DFSchemaRef};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, Query, SelectItem, SetExpr, Spanned, TableObject, Value, ValueWithSpan};
use plimsoll_engine::{Column, ColumnKind, FieldType, Point, SchemaError, TableSchema};

use crate::ddl::table_name;
use crate::lower::{Lowering, Parameters, dotted, folded, rewrite};
use crate::ops;
use crate::quality::Guard;
use crate::statement::span_position;
use crate::{Error, Result};

/// Points handed to the engine in one write.
const POINTS_PER_WRITE: usize = 4_096;

/// A planned INSERT: the query that gives its rows, in the order and types of the target columns.
#[derive(Debug, Clone)]
pub(crate) struct Insert {
    pub(crate) into: Into,
    pub(crate) rows: LogicalPlan,
}

/// What a statement inserts into.
#[derive(Debug, Clone)]
pub(crate) enum Into {
    /// A table of time series.
    Table(Target),
    /// A table of the schema `ops`.
    Ops(ops::Writer),
}

impl Into {
    /// Names and types of the columns.
    fn columns(&self, time_zone: &Arc<str>) -> Vec<Field> {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        match self {
            Into::Table(target) => {
                target.columns.iter().map(|column| field(&column.name, arrow(column.kind, time_zone))).collect()
            }
            Into::Ops(writer) => {
                let columns = writer.columns.iter().map(|at| &writer.table.columns[*at]);
                columns.map(|column| field(column.name, column.data_type.arrow(time_zone))).collect()
            }
        }
    }

    /// Names and types of the columns as rows of COPY come.
    pub(crate) fn copied(&self, time_zone: &Arc<str>) -> Schema {
        let fields = self.columns(time_zone).into_iter().map(|field| match field.data_type() {
            DataType::Utf8 => field.with_data_type(DataType::Utf8View),
            _ => field,
        });
        Schema::new(fields.collect::<Vec<_>>())
    }

    fn truncate(&mut self, width: usize) {
        match self {
            Into::Table(target) => target.columns.truncate(width),
            Into::Ops(writer) => writer.columns.truncate(width),
        }
    }
}

/// Where rows go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) table: Arc<TableSchema>,
    columns: Vec<Column>,
    /// Who writes.
    actor: Arc<str>,
}

impl Insert {
    /// Plans a statement. `parameters` are completed with what the statement tells of them.
    ///
    /// # Errors
    /// Whatever is wrong with the statement.
    pub(crate) fn plan(insert: &ast::Insert, lowering: &Lowering<'_>, parameters: &mut Parameters) -> Result<Insert> {
        let mut query = source(insert)?.clone();
        let integers = rewrite(&mut query, &lowering.settings.functions)?;
        let mut into = target(insert, lowering)?;
        let width = width(&query, lowering, parameters)?;
        let time_zone = &lowering.settings.time_zone;
        let most = into.columns(time_zone).len();
        into.truncate(fit(most, width, insert.columns.is_empty())?);
        let schema: DFSchemaRef = Arc::new(DFSchema::try_from(Schema::new(into.columns(time_zone)))?);
        suggest(&query, &schema, parameters)?;
        let values = matches!(*query.body, SetExpr::Values(_)).then(|| schema.clone());
        let mut plan = lowering.query(&query, parameters, values.clone())?;
        parameters.infer(&plan, &integers)?;
        if parameters.len() > 0 {
            *parameters = Parameters::from(parameters.clone().finish().as_slice());
            plan = lowering.query(&query, parameters, values)?;
        }
        let rows = lowering.analyze(cast_to_target(plan, &schema)?)?;
        Ok(Insert { into, rows })
    }
}

impl Target {
    /// Some columns of a table, by their positions.
    pub(crate) fn new(table: &Arc<TableSchema>, positions: &[usize], actor: &Arc<str>) -> Target {
        let columns = positions.iter().map(|at| table.columns[*at].clone()).collect();
        Target { table: table.clone(), columns, actor: actor.clone() }
    }

    pub(crate) fn table(&self) -> &TableSchema {
        &self.table
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Stores the rows of a batch, which follows `first_row` others. All of them are checked before any is written. Gives how many
    /// are stored: those that an expectation leaves out are not.
    ///
    /// # Errors
    /// [`Error::NotNull`] for a row without a time, [`Error::Expectation`], [`Error::Engine`] for what the engine refuses.
    pub(crate) fn write(&self, guard: &Guard, batch: &RecordBatch, first_row: u64) -> Result<u64> {
        self.check(guard, batch, first_row)?;
        let is_watched = guard.watches(&self.table.name);
        let cells = self.cells(batch);
        let mut stored = 0;
        for start in (0..batch.num_rows()).step_by(POINTS_PER_WRITE) {
            let end = batch.num_rows().min(start + POINTS_PER_WRITE);
            let mut points: Vec<Point<'_>> = (start..end).map(|row| self.point(&cells, row)).collect();
            if is_watched {
                let admitted = guard.admit(&self.table.name, points, &self.actor)?;
                if let Some((at, refusal)) = admitted.refused.into_iter().next() {
                    return Err(refusal.of_row(first_row + (start + at) as u64));
                }
                points = admitted.kept.into_iter().map(|(_, point)| point).collect();
            }
            let written = guard.engine().write(&points)?;
            stored += written.accepted as u64;
            if let Some(first) = written.rejected.into_iter().next() {
                return Err(first.error.into());
            }
        }
        Ok(stored)
    }

    /// The rows of a batch as points.
    pub(crate) fn points<'a>(&'a self, batch: &'a RecordBatch) -> Vec<Point<'a>> {
        let cells = self.cells(batch);
        (0..batch.num_rows()).map(|row| self.point(&cells, row)).collect()
    }

    fn cells<'a>(&self, batch: &'a RecordBatch) -> Vec<Cells<'a>> {
        self.columns.iter().zip(batch.columns()).map(|(column, array)| Cells::new(column, array)).collect()
    }

    /// Refuses a batch, which follows `first_row` others, with a row that cannot be stored or violates an expectation that refuses
    /// rows.
    ///
    /// # Errors
    /// [`Error::NotNull`], [`Error::Expectation`], [`Error::Engine`].
    pub(crate) fn check(&self, guard: &Guard, batch: &RecordBatch, first_row: u64) -> Result<()> {
        self.check_complete(batch)?;
        if guard.may_refuse(&self.table.name)
            && let Some((at, refusal)) = guard.first_refused(&self.table.name, &self.points(batch))?
        {
            return Err(refusal.of_row(first_row + at as u64));
        }
        Ok(())
    }

    fn check_complete(&self, batch: &RecordBatch) -> Result<()> {
        let time = self.columns.iter().position(|c| c.kind == ColumnKind::Time);
        if batch.num_rows() > 0 && time.is_none_or(|at| batch.column(at).null_count() > 0) {
            return Err(Error::NotNull { column: TableSchema::TIME.to_owned(), table: self.table.name.clone() });
        }
        let fields =
            || self.columns.iter().zip(batch.columns()).filter(|(c, _)| matches!(c.kind, ColumnKind::Field(_)));
        if (0..batch.num_rows()).any(|row| fields().all(|(_, array)| array.is_null(row))) {
            return Err(Error::Engine(SchemaError::NoField(self.table.name.clone()).into()));
        }
        Ok(())
    }

    fn point<'a>(&'a self, cells: &[Cells<'a>], row: usize) -> Point<'a> {
        let mut point =
            Point { table: Cow::Borrowed(&self.table.name), tags: Vec::new(), fields: Vec::new(), time_ns: 0 };
        for (column, cells) in self.columns.iter().zip(cells) {
            let name = || Cow::Borrowed(column.name.as_str());
            if cells.is_null(row) {
                continue;
            }
            match cells {
                Cells::Time(values) => point.time_ns = values.value(row),
                Cells::Tag(values) => point.tags.push((name(), Cow::Borrowed(values.value(row)))),
                field => point.fields.extend(field.value(row).map(|value| (name(), value))),
            }
        }
        point
    }
}

/// The values of one column, by what the column is.
enum Cells<'a> {
    Time(&'a datafusion::arrow::array::TimestampNanosecondArray),
    Tag(&'a datafusion::arrow::array::StringViewArray),
    Float(&'a datafusion::arrow::array::Float64Array),
    Integer(&'a datafusion::arrow::array::Int64Array),
    Unsigned(&'a datafusion::arrow::array::UInt64Array),
    Boolean(&'a datafusion::arrow::array::BooleanArray),
    Text(&'a datafusion::arrow::array::StringViewArray),
}

impl<'a> Cells<'a> {
    /// The plan has cast every column to the type that its kind names.
    fn new(column: &Column, array: &'a ArrayRef) -> Cells<'a> {
        match column.kind {
            ColumnKind::Time => Cells::Time(array.as_primitive::<TimestampNanosecondType>()),
            ColumnKind::Tag => Cells::Tag(array.as_string_view()),
            ColumnKind::Field(FieldType::Float) => Cells::Float(array.as_primitive::<Float64Type>()),
            ColumnKind::Field(FieldType::Integer) => Cells::Integer(array.as_primitive::<Int64Type>()),
            ColumnKind::Field(FieldType::Unsigned) => Cells::Unsigned(array.as_primitive::<UInt64Type>()),
            ColumnKind::Field(FieldType::Boolean) => Cells::Boolean(array.as_boolean()),
            ColumnKind::Field(FieldType::Text) => Cells::Text(array.as_string_view()),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Cells::Time(values) => values.is_null(row),
            Cells::Tag(values) | Cells::Text(values) => values.is_null(row),
            Cells::Float(values) => values.is_null(row),
            Cells::Integer(values) => values.is_null(row),
            Cells::Unsigned(values) => values.is_null(row),
            Cells::Boolean(values) => values.is_null(row),
        }
    }

    /// The value of a field.
    fn value(&self, row: usize) -> Option<plimsoll_engine::Value<'a>> {
        use plimsoll_engine::Value;
        Some(match self {
            Cells::Time(_) | Cells::Tag(_) => return None,
            Cells::Float(values) => Value::Float(values.value(row)),
            Cells::Integer(values) => Value::Integer(values.value(row)),
            Cells::Unsigned(values) => Value::Unsigned(values.value(row)),
            Cells::Boolean(values) => Value::Boolean(values.value(row)),
            Cells::Text(values) => Value::Text(Cow::Borrowed(values.value(row))),
        })
    }
}

fn source(insert: &ast::Insert) -> Result<&Query> {
    let refused = [
        (insert.returning.is_some(), "INSERT ... RETURNING", "Read the rows back with SELECT."),
        (
            insert.overwrite || insert.replace_into || insert.or.is_some() || insert.ignore,
            "this form of INSERT",
            "Use INSERT INTO.",
        ),
        (
            !insert.assignments.is_empty() || insert.partitioned.is_some(),
            "this form of INSERT",
            "Use INSERT INTO ... VALUES.",
        ),
    ];
    if let Some((_, what, hint)) = refused.into_iter().find(|(given, ..)| *given) {
        let what = format!("{what} is not supported");
        return Err(Error::Unsupported { what, position: None, hint: Some(hint.to_owned()) });
    }
    insert.source.as_deref().ok_or_else(|| Error::Unsupported {
        what: "INSERT ... DEFAULT VALUES is not supported".to_owned(),
        position: None,
        hint: Some("Give at least a time and one field.".to_owned()),
    })
}

/// The table and the columns that the statement names, or all of them.
fn target(insert: &ast::Insert, lowering: &Lowering<'_>) -> Result<Into> {
    if let TableObject::TableName(name) = &insert.table
        && let Some(table) = ops::named(name)?
    {
        let mut columns = Vec::new();
        for name in &insert.columns {
            let at = ops::column_of(table, name)?;
            if columns.contains(&at) {
                return Err(twice(table.columns[at].name, span_position(name.span())));
            }
            columns.push(at);
        }
        if columns.is_empty() {
            columns = (0..table.columns.len()).collect();
        }
        let conflict = conflict(insert, table)?;
        return Ok(Into::Ops(ops::Writer { table, columns, conflict, actor: lowering.actor.clone() }));
    }
    if insert.on.is_some() {
        let what = "INSERT ... ON CONFLICT is not supported".to_owned();
        let hint = Some("A row of the same tags and time is merged field by field anyway.".to_owned());
        return Err(Error::Unsupported { what, position: None, hint });
    }
    let (table, columns) = target_columns(insert, lowering)?;
    Ok(Into::Table(Target { table, columns, actor: lowering.actor.clone() }))
}

/// `ON CONFLICT (key) DO UPDATE SET column = EXCLUDED.column, ...` and `DO NOTHING`.
fn conflict(insert: &ast::Insert, table: &'static ops::Table) -> Result<Option<ops::Conflict>> {
    let unsupported = || Error::Unsupported {
        what: "this form of ON CONFLICT is not supported".to_owned(),
        position: None,
        hint: Some("ON CONFLICT (key) DO NOTHING is, and DO UPDATE SET column = EXCLUDED.column, ...".to_owned()),
    };
    let on = match &insert.on {
        None => return Ok(None),
        Some(ast::OnInsert::OnConflict(on)) => on,
        Some(_) => return Err(unsupported()),
    };
    let position = |ident: &ast::Ident| ops::column_of(table, &ast::ObjectName::from(vec![ident.clone()]));
    let key = match &on.conflict_target {
        None => Vec::new(),
        Some(ast::ConflictTarget::Columns(columns)) => columns.iter().map(position).collect::<Result<Vec<_>>>()?,
        Some(_) => return Err(unsupported()),
    };
    let names: Vec<&str> = key.iter().map(|at| table.columns[*at].name).collect();
    if !key.is_empty() && !table.unique.contains(&names.as_slice()) {
        let message = "there is no unique constraint matching the ON CONFLICT specification".to_owned();
        return Err(Error::Type { message, position: None, hint: None });
    }
    let ast::OnConflictAction::DoUpdate(update) = &on.action else {
        return Ok(Some(ops::Conflict { key, set: Vec::new() }));
    };
    if update.selection.is_some() || key.is_empty() {
        return Err(unsupported());
    }
    let mut set = Vec::new();
    for assignment in &update.assignments {
        let ast::AssignmentTarget::ColumnName(name) = &assignment.target else { return Err(unsupported()) };
        let at = ops::column_of(table, name)?;
        match &assignment.value {
            ast::Expr::CompoundIdentifier(parts)
                if matches!(parts.as_slice(), [of, column]
                    if folded(of) == "excluded" && folded(column) == table.columns[at].name) =>
            {
                set.push(at);
            }
            _ => return Err(unsupported()),
        }
    }
    Ok(Some(ops::Conflict { key, set }))
}

fn twice(column: &str, position: Option<usize>) -> Error {
    let message = format!("column \"{column}\" specified more than once");
    Error::Syntax { message, position: position.unwrap_or(1), hint: None }
}

fn target_columns(insert: &ast::Insert, lowering: &Lowering<'_>) -> Result<(Arc<TableSchema>, Vec<Column>)> {
    let TableObject::TableName(name) = &insert.table else {
        let what = "INSERT INTO a function is not supported".to_owned();
        return Err(Error::Unsupported { what, position: None, hint: None });
    };
    let missing = || Error::UndefinedTable { name: dotted(name), position: span_position(name.span()), hint: None };
    let table = lowering.snapshot.table(&table_name(name)?).ok_or_else(missing)?;
    if insert.columns.is_empty() {
        return Ok((table.clone(), table.columns.clone()));
    }
    let mut columns: Vec<Column> = Vec::new();
    for name in &insert.columns {
        let position = span_position(name.span());
        let ident = name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default();
        let Some(at) = table.position(&ident) else {
            return Err(Error::UndefinedColumn { name: ident, position, hint: None });
        };
        if columns.iter().any(|c| c.name == ident) {
            return Err(twice(&ident, position));
        }
        columns.push(table.columns[at].clone());
    }
    Ok((table, columns))
}

/// Number of columns that the source gives.
fn width(query: &Query, lowering: &Lowering<'_>, parameters: &Parameters) -> Result<usize> {
    match &*query.body {
        SetExpr::Values(values) => Ok(values.rows.iter().map(|row| row.content.len()).max().unwrap_or(0)),
        _ => Ok(lowering.query(query, parameters, None)?.schema().fields().len()),
    }
}

/// As in PostgreSQL, columns that are not named may be fewer than the table's.
fn fit(columns: usize, width: usize, unnamed: bool) -> Result<usize> {
    let message = match width.cmp(&columns) {
        std::cmp::Ordering::Greater => "INSERT has more expressions than target columns",
        std::cmp::Ordering::Less if !unnamed => "INSERT has more target columns than expressions",
        _ => return Ok(width),
    };
    Err(Error::Syntax { message: message.to_owned(), position: 1, hint: None })
}

/// The types that rows are cast to. Nothing is NOT NULL here: rows are checked when they are written.
pub(crate) fn target_schema(columns: &[Column], time_zone: &Arc<str>) -> Result<DFSchemaRef> {
    let fields: Vec<_> = columns.iter().map(|c| Field::new(&c.name, arrow(c.kind, time_zone), true)).collect();
    Ok(Arc::new(DFSchema::try_from(Schema::new(fields))?))
}

fn arrow(kind: ColumnKind, time_zone: &Arc<str>) -> DataType {
    match kind {
        ColumnKind::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some(time_zone.clone())),
        other => other.arrow(),
    }
}

/// A parameter that stands for a whole column value has the type of the column.
fn suggest(query: &Query, schema: &DFSchema, parameters: &mut Parameters) -> Result<()> {
    let mut suggest_row = |row: &mut dyn Iterator<Item = &ast::Expr>| -> Result<()> {
        for (expr, field) in row.zip(schema.fields()) {
            if matches!(field.data_type(), DataType::Timestamp(..)) && is_number(expr) {
                return Err(no_time(field.name(), span_position(expr.span())));
            }
            if let ast::Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = expr {
                parameters.suggest(name, field.data_type())?;
            }
        }
        Ok(())
    };
    match &*query.body {
        SetExpr::Values(values) => values.rows.iter().try_for_each(|row| suggest_row(&mut row.content.iter())),
        SetExpr::Select(select) => {
            let null = ast::Expr::Value(Value::Null.with_empty_span());
            let exprs: Vec<&ast::Expr> = select
                .projection
                .iter()
                .take_while(|item| !matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)))
                .map(|item| match item {
                    SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
                    _ => &null,
                })
                .collect();
            suggest_row(&mut exprs.into_iter())
        }
        _ => Ok(()),
    }
}

/// A number is no point in time, whatever it counts.
fn no_time(column: &str, position: Option<usize>) -> Error {
    let message = format!("column \"{column}\" is of type timestamp with time zone but expression is of type numeric");
    let hint = Some("to_timestamp() reads seconds since 1970.".to_owned());
    Error::Type { message, position, hint }
}

fn is_number(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Value(ValueWithSpan { value: Value::Number(..), .. }) => true,
        ast::Expr::UnaryOp { expr, .. } | ast::Expr::Nested(expr) => is_number(expr),
        _ => false,
    }
}

fn cast_to_target(source: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    let mut exprs = Vec::new();
    for (at, field) in schema.fields().iter().enumerate() {
        let column = Expr::Column(ColumnReference::from(source.schema().qualified_field(at)));
        let given = source.schema().field(at).data_type();
        if matches!(field.data_type(), DataType::Timestamp(..)) && given.is_numeric() {
            return Err(no_time(field.name(), None));
        }
        exprs.push(column.cast_to(field.data_type(), source.schema())?.alias(field.name()));
    }
    Ok(LogicalPlanBuilder::from(source).project(exprs)?.build()?)
}
