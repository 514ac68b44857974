//! Rows in quarantine: an internal table for each table, read as `quarantine.TABLE`, and how rows leave it.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError};

use datafusion::arrow::array::{BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::catalog::view::ViewTable;
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableSource, cast, lit, try_cast};
use datafusion::sql::sqlparser::ast::{ObjectName, ObjectNamePart, Spanned};
use plimsoll_engine::{
    ColumnKind, Engine, FieldType, Point, ScanRequest, SchemaError, TableSchema, TagMatcher, TagTest, Value,
};

use crate::insert::Target;
use crate::lower::{Lowering, folded};
use crate::source::SnapshotTable;
use crate::statement::span_position;
use crate::{Database, Error, Result};

/// The schema that quarantined rows are read in.
pub(crate) const SCHEMA: &str = "quarantine";

/// Columns of the internal table beside those of its rows: no line of a client is likely to have them.
const RULE: &str = "\u{1}rule";
const AT: &str = "\u{1}at";
const ACTOR: &str = "\u{1}actor";

/// Those columns, and what they are called in `quarantine.TABLE`.
const SHOWN: [(&str, &str); 3] = [(RULE, "rule"), (AT, "at"), (ACTOR, "actor")];

/// The internal table of the rows of a table.
fn store_name(table: &str) -> String {
    TableSchema::internal_name(&format!("{SCHEMA}.{table}"))
}

/// What a column is called there: by its own name, unless the table has a column of that name.
fn shown(name: &str, store: &TableSchema, table: Option<&TableSchema>) -> String {
    let Some((_, shown)) = SHOWN.into_iter().find(|(own, _)| *own == name) else { return name.to_owned() };
    let is_taken = store.position(shown).is_some() || table.is_some_and(|table| table.position(shown).is_some());
    if is_taken { format!("{SCHEMA}_{shown}") } else { shown.to_owned() }
}

/// Makes room for the quarantined rows of a table, if there is none yet.
///
/// # Errors
/// Those of the engine.
pub(super) fn prepare(table: &str, engine: &Engine) -> Result<()> {
    let column = |name: &str, kind| plimsoll_engine::Column { name: name.to_owned(), kind };
    let columns = [
        column(RULE, ColumnKind::Tag),
        column(AT, ColumnKind::Field(FieldType::Integer)),
        column(ACTOR, ColumnKind::Field(FieldType::Text)),
    ];
    match engine.create_table(&store_name(table), &columns) {
        Err(plimsoll_engine::Error::Schema(SchemaError::TableExists(_))) => Ok(()),
        other => Ok(other?),
    }
}

/// Removes the quarantined rows of a table.
///
/// # Errors
/// Those of the engine.
pub(super) fn discard(table: &str, engine: &Engine) -> Result<()> {
    match engine.drop_table(&store_name(table)) {
        Err(plimsoll_engine::Error::Schema(SchemaError::NoTable(_))) => Ok(()),
        other => Ok(other?),
    }
}

/// A point as it goes into quarantine.
pub(super) fn aside<'a>(table: &str, rule: &'a str, point: &'a Point<'_>, actor: &'a str, now_ns: i64) -> Point<'a> {
    let borrowed = |text: &'a str| Cow::Borrowed(text);
    let tags = point.tags.iter().map(|(name, value)| (borrowed(name), borrowed(value)));
    let fields = point.fields.iter().map(|(name, value)| {
        let value = match value {
            Value::Text(text) => Value::Text(borrowed(text)),
            Value::Float(value) => Value::Float(*value),
            Value::Integer(value) => Value::Integer(*value),
            Value::Unsigned(value) => Value::Unsigned(*value),
            Value::Boolean(value) => Value::Boolean(*value),
        };
        (borrowed(name), value)
    });
    let of_ours = [(borrowed(AT), Value::Integer(now_ns)), (borrowed(ACTOR), Value::Text(borrowed(actor)))];
    Point {
        table: Cow::Owned(store_name(table)),
        tags: tags.chain([(borrowed(RULE), borrowed(rule))]).collect(),
        fields: fields.chain(of_ours).collect(),
        time_ns: point.time_ns,
    }
}

fn undefined(table: &str, position: Option<usize>) -> Error {
    let hint = "Rows are kept there for tables with CONSTRAINT name EXPECT (condition) ON VIOLATION QUARANTINE.";
    Error::UndefinedTable { name: format!("{SCHEMA}.{table}"), position, hint: Some(hint.to_owned()) }
}

/// `quarantine.TABLE`: the columns of the table, then which expectation, when and by whom.
///
/// # Errors
/// [`Error::UndefinedTable`].
pub(crate) fn quarantine(name: &str, lowering: &Lowering<'_>) -> Result<Arc<dyn TableSource>> {
    let store = lowering.snapshot.table(&store_name(name)).ok_or_else(|| undefined(name, None))?;
    let table = lowering.snapshot.table(name);
    let zone = &lowering.settings.time_zone;
    let source = provider_as_source(Arc::new(SnapshotTable::new(store.clone(), zone)));
    let rows = LogicalPlanBuilder::scan(name, source, None)?;
    let stored = |name: &str| -> Result<Expr> {
        Ok(Expr::Column(Column::from(rows.schema().qualified_field_with_unqualified_name(name)?)))
    };
    let mut columns = Vec::new();
    for column in table.iter().flat_map(|table| &table.columns) {
        let kind = store.position(&column.name).map(|at| store.columns[at].kind);
        let value = match kind {
            Some(kind) if kind == column.kind => stored(&column.name)?,
            Some(_) => try_cast(stored(&column.name)?, column.kind.arrow()),
            None => cast(lit(ScalarValue::Null), column.kind.arrow()),
        };
        columns.push(value.alias(&column.name));
    }
    let is_new = |column: &&plimsoll_engine::Column| {
        !SHOWN.iter().any(|(own, _)| *own == column.name)
            && table.as_ref().is_none_or(|table| table.position(&column.name).is_none())
    };
    for column in store.columns.iter().filter(is_new) {
        columns.push(stored(&column.name)?.alias(&column.name));
    }
    for (own, _) in SHOWN {
        let value = match own {
            AT => cast(stored(own)?, ColumnKind::Time.arrow()),
            _ => stored(own)?,
        };
        let value = if own == AT { cast(value, instant(zone)) } else { value };
        columns.push(value.alias(shown(own, &store, table.as_deref())));
    }
    Ok(provider_as_source(Arc::new(ViewTable::new(rows.project(columns)?.build()?, None))))
}

fn instant(zone: &Arc<str>) -> datafusion::arrow::datatypes::DataType {
    use datafusion::arrow::datatypes::{DataType, TimeUnit};
    DataType::Timestamp(TimeUnit::Nanosecond, Some(zone.clone()))
}

/// A table, and names of columns: in a relation and in the table.
type Columns = (Arc<TableSchema>, Vec<(String, String)>);

/// What `DELETE FROM quarantine.TABLE` deletes from, and for each of the columns that name a row what it is called in the
/// relation and in the table; `None` for another schema.
///
/// # Errors
/// [`Error::UndefinedTable`].
pub(crate) fn delete_target(name: &ObjectName, lowering: &Lowering<'_>) -> Result<Option<Columns>> {
    let [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(table)] = name.0.as_slice() else {
        return Ok(None);
    };
    if folded(schema) != SCHEMA {
        return Ok(None);
    }
    let name_of = folded(table);
    let missing = || undefined(&name_of, span_position(name.span()));
    let store = lowering.snapshot.table(&store_name(&name_of)).ok_or_else(missing)?;
    let table = lowering.snapshot.table(&name_of);
    let keys = store.columns.iter().filter(|column| !matches!(column.kind, ColumnKind::Field(_)));
    let keys = keys.map(|column| (shown(&column.name, &store, table.as_deref()), column.name.clone())).collect();
    Ok(Some((store, keys)))
}

impl Database {
    /// Moves the rows that an expectation has put into quarantine back to their table. Says how many there were.
    ///
    /// # Errors
    /// [`Error::UndefinedTable`]; those of the engine for rows that do not fit the table any more, which stay where they are.
    pub(crate) fn release(&self, table: &str, rule: &str) -> Result<u64> {
        let engine = self.engine();
        let store = engine.table(&store_name(table)).ok_or_else(|| undefined(table, None))?;
        let _no_row_comes = self.quality().moving.write().unwrap_or_else(PoisonError::into_inner);
        let is_own = |at: &usize| !SHOWN.iter().any(|(own, _)| *own == store.columns[*at].name);
        let own: Vec<usize> = (0..store.columns.len()).filter(is_own).collect();
        let target = Target::new(&store, &own, &"".into());
        let keys: Vec<usize> =
            (0..store.columns.len()).filter(|at| !matches!(store.columns[*at].kind, ColumnKind::Field(_))).collect();
        let request = ScanRequest {
            tags: vec![of_rule(rule)],
            ..ScanRequest::new(store.name.as_str(), store.columns.iter().map(|column| column.name.as_str()))
        };
        let (mut released, mut first_error) = (0, None);
        for part in engine.snapshot().scan(&request)? {
            for batch in part {
                let batch = batch?;
                let rows = batch.project(&own).map_err(DataFusionError::from)?;
                let mut points = target.points(&rows);
                points.iter_mut().for_each(|point| point.table = Cow::Borrowed(table));
                let written = engine.write(&points)?;
                let mut is_back = vec![true; batch.num_rows()];
                for rejected in written.rejected {
                    is_back[rejected.point] = false;
                    first_error.get_or_insert(rejected.error);
                }
                let keys: RecordBatch = batch.project(&keys).map_err(DataFusionError::from)?;
                let back = filter_record_batch(&keys, &BooleanArray::from(is_back)).map_err(DataFusionError::from)?;
                released += engine.delete_points(&store.name, &[back])?;
            }
        }
        match first_error {
            Some(error) => Err(error.into()),
            None => {
                self.quality().tallies.absolve(table, rule, engine)?;
                Ok(released)
            }
        }
    }

    /// Deletes quarantined rows of a table, those of one expectation or all. Says how many there were.
    ///
    /// # Errors
    /// [`Error::UndefinedTable`], and those of the engine.
    pub(crate) fn purge_quarantine(&self, table: &str, rule: Option<&str>) -> Result<u64> {
        let engine = self.engine();
        let store = engine.table(&store_name(table)).ok_or_else(|| undefined(table, None))?;
        let tests: Vec<TagMatcher> = rule.map(of_rule).into_iter().collect();
        Ok(engine.delete(&store.name, plimsoll_engine::TimeRange::ALL, &tests, &[])?)
    }
}

fn of_rule(rule: &str) -> TagMatcher {
    TagMatcher { tag: RULE.to_owned(), test: TagTest::Equals(rule.to_owned()) }
}
