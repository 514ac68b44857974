//! Which points violate what: expectations as physical expressions over columns made of the points.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch,
    RecordBatchOptions, StringViewBuilder, TimestampNanosecondArray, UInt64Builder,
};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast;
use plimsoll_engine::{ColumnKind, FieldType, Point, TableSchema, Value};

use super::rules::{About, TableRules};
use crate::lower::Lowering;
use crate::statement::query;
use crate::{Error, Result};

/// The zone of the times that expressions see; texts without a zone are read in it.
const ZONE: &str = "UTC";

/// The expectations of a table, planned over its columns.
#[derive(Debug)]
pub(super) struct Compiled {
    /// What they were planned from.
    pub(super) rules: Arc<TableRules>,
    pub(super) table: Arc<TableSchema>,
    tests: Vec<Expr>,
    /// The columns that some of them read, by position in the table.
    columns: Vec<usize>,
    schema: DFSchemaRef,
}

/// The condition of an expectation over the columns of a table.
///
/// # Errors
/// Whatever is wrong with it; [`Error::Unsupported`] where it is about more than one row, [`Error::Type`] when it is no condition.
pub(super) fn condition(
    expression: &ast::Expr,
    table: &Arc<TableSchema>,
    lowering: &Lowering<'_>,
) -> Result<(Expr, DFSchemaRef)> {
    let plan = lowering.condition(expression, table, of_a_row)?;
    let LogicalPlan::Projection(projection) = &plan else { return Err(about_rows()) };
    let (LogicalPlan::TableScan(_), [expr]) = (&*projection.input, projection.expr.as_slice()) else {
        return Err(about_rows());
    };
    of_a_row(expr)?;
    let data_type = plan.schema().field(0).data_type();
    if !matches!(data_type, DataType::Boolean | DataType::Null) {
        let message = "argument of EXPECT must be a condition, true or false".to_owned();
        let hint = Some("It is like (duration_ms BETWEEN 0 AND 600000).".to_owned());
        return Err(Error::Type { message, position: None, hint });
    }
    Ok((expr.clone().unalias_nested().data, projection.input.schema().clone()))
}

/// Refuses what needs more than one row.
fn of_a_row(expr: &Expr) -> Result<()> {
    let mut is_of_a_row = true;
    expr.apply(|part| {
        is_of_a_row &= !matches!(
            part,
            Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::Placeholder(_)
                | Expr::OuterReferenceColumn(..)
        );
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !is_of_a_row {
        return Err(about_rows());
    }
    Ok(())
}

fn about_rows() -> Error {
    let what = "an expectation about more than one row is not supported".to_owned();
    let hint = Some("It is a condition over the columns of a row, without aggregates and sub-queries.".to_owned());
    Error::Unsupported { what, position: None, hint }
}

impl Compiled {
    /// Plans the expectations of a table.
    ///
    /// # Errors
    /// Those of [`condition`].
    pub(super) fn new(rules: &Arc<TableRules>, table: &Arc<TableSchema>, lowering: &Lowering<'_>) -> Result<Compiled> {
        let mut tests = Vec::new();
        let mut columns = Vec::new();
        let mut whole = None;
        for rule in &rules.rules {
            let expression = match rule.about {
                About::Row => parsed(&rule.expression)?,
                // No row violates it.
                About::Table | About::Watermark { .. } => parsed("true")?,
            };
            let (test, schema) = condition(&expression, table, lowering)?;
            for column in test.column_refs() {
                columns.extend(table.position(&column.name).filter(|at| !columns.contains(at)));
            }
            tests.push(test);
            whole = Some(schema);
        }
        let whole = whole.ok_or_else(|| Error::Internal("a table without expectations".to_owned()))?;
        let fields = columns.iter().map(|at| {
            let (qualifier, field) = whole.qualified_field(*at);
            (qualifier.cloned(), field.clone())
        });
        let schema = DFSchema::new_with_metadata(fields.collect(), Default::default())?;
        let (rules, table) = (rules.clone(), table.clone());
        Ok(Compiled { rules, table, tests, columns, schema: Arc::new(schema) })
    }

    /// For each expectation, which of the points violate it. A condition that is NULL is not violated, as a CHECK is not; one
    /// that cannot be computed is.
    ///
    /// # Errors
    /// Those of planning.
    pub(super) fn violations(&self, points: &[Point<'_>], state: &SessionState) -> Result<Vec<Vec<bool>>> {
        let batch = self.batch(points)?;
        let judge = |test: &Expr| {
            let test = state.create_physical_expr(test.clone(), &self.schema)?;
            Ok(violated(test.as_ref(), &batch))
        };
        self.tests.iter().map(judge).collect()
    }

    fn batch(&self, points: &[Point<'_>]) -> Result<RecordBatch> {
        let column = |at: &usize| column(&self.table.columns[*at], points);
        let columns: Vec<ArrayRef> = self.columns.iter().map(column).collect();
        let schema: Arc<Schema> = Arc::new(self.schema.as_arrow().clone());
        let options = RecordBatchOptions::new().with_row_count(Some(points.len()));
        RecordBatch::try_new_with_options(schema, columns, &options).map_err(|e| Error::Internal(e.to_string()))
    }
}

/// The parsed form of an expression that is kept as text.
pub(super) fn parsed(expression: &str) -> Result<ast::Expr> {
    let kept = query(&format!("SELECT ({expression})"))?;
    match *kept.body {
        ast::SetExpr::Select(select) => match select.projection.into_iter().next() {
            Some(ast::SelectItem::UnnamedExpr(ast::Expr::Nested(expr))) => Ok(*expr),
            _ => Err(Error::Internal(format!("no expression: {expression}"))),
        },
        _ => Err(Error::Internal(format!("no expression: {expression}"))),
    }
}

/// Which rows of a batch violate a test. Where the whole cannot be computed, each row is looked at by itself.
fn violated(test: &dyn PhysicalExpr, batch: &RecordBatch) -> Vec<bool> {
    let of = |batch: &RecordBatch| {
        let values = test.evaluate(batch).and_then(|values| values.into_array(batch.num_rows())).ok()?;
        let is_known = matches!(values.data_type(), DataType::Boolean);
        Some(if is_known { broken(values.as_boolean()) } else { vec![false; batch.num_rows()] })
    };
    of(batch).unwrap_or_else(|| {
        let one = |row| of(&batch.slice(row, 1)).and_then(|row| row.first().copied()).unwrap_or(true);
        (0..batch.num_rows()).map(one).collect()
    })
}

fn broken(values: &BooleanArray) -> Vec<bool> {
    (0..values.len()).map(|row| values.is_valid(row) && !values.value(row)).collect()
}

/// The values that points have in a column; NULL for those of another type, which the table will refuse.
fn column(column: &plimsoll_engine::Column, points: &[Point<'_>]) -> ArrayRef {
    macro_rules! fields {
        ($builder:expr, $($value:pat => $kept:expr),+) => {{
            let mut builder = $builder;
            for point in points {
                match point.fields.iter().find(|(name, _)| *name == column.name).map(|(_, value)| value) {
                    $(Some($value) => builder.append_value($kept),)+
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }};
    }
    match column.kind {
        ColumnKind::Time => {
            let times: TimestampNanosecondArray = points.iter().map(|point| Some(point.time_ns)).collect();
            Arc::new(times.with_timezone(ZONE))
        }
        ColumnKind::Tag => {
            let mut builder = StringViewBuilder::with_capacity(points.len());
            for point in points {
                let tag = point.tags.iter().find(|(name, _)| *name == column.name);
                builder.append_option(tag.map(|(_, value)| &**value).filter(|value| !value.is_empty()));
            }
            Arc::new(builder.finish())
        }
        ColumnKind::Field(FieldType::Float) => fields!(Float64Builder::with_capacity(points.len()),
            Value::Float(value) => *value, Value::Integer(value) => *value as f64),
        ColumnKind::Field(FieldType::Integer) => {
            fields!(Int64Builder::with_capacity(points.len()), Value::Integer(value) => *value)
        }
        ColumnKind::Field(FieldType::Unsigned) => {
            fields!(UInt64Builder::with_capacity(points.len()), Value::Unsigned(value) => *value)
        }
        ColumnKind::Field(FieldType::Boolean) => {
            fields!(BooleanBuilder::with_capacity(points.len()), Value::Boolean(value) => *value)
        }
        ColumnKind::Field(FieldType::Text) => {
            fields!(StringViewBuilder::with_capacity(points.len()), Value::Text(value) => value)
        }
    }
}

/// True for a point whose values have the types of the table's columns; the others are the table's to refuse.
pub(super) fn fits(point: &Point<'_>, table: &TableSchema) -> bool {
    let kind = |name: &str| table.position(name).map(|at| table.columns[at].kind);
    let tag = |name: &str| matches!(kind(name), None | Some(ColumnKind::Tag));
    let field = |name: &str, value: &Value<'_>| match kind(name) {
        None => true,
        Some(ColumnKind::Field(FieldType::Float)) => {
            matches!(value, Value::Float(_) | Value::Integer(_))
        }
        Some(ColumnKind::Field(kind)) => kind == value.field_type(),
        Some(ColumnKind::Time | ColumnKind::Tag) => false,
    };
    !point.fields.is_empty()
        && point.tags.iter().all(|(name, _)| tag(name))
        && point.fields.iter().all(|(name, value)| field(name, value))
}
