//! Aggregates by bucket and tags.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, Value, ValueWithSpan};
use plimsoll_engine::{Aggregate, AggregateFunction, Bucket, ColumnKind, FieldType};

use super::bucket::{self, Found};
use super::explain::shown_call;
use super::names::{OrderKey, expression, group_key, order_key};
use super::output::{Key, Output, sort_options};
use super::scope::{Scope, argument, plain_call};
use super::shape::Shape;
use crate::functions::SUM_OF_INTEGERS;
use crate::lower::item_name;

/// What is aggregated, and how the result is made of it.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) bucket: Option<Bucket>,
    pub(super) tags: Vec<String>,
    pub(super) aggregates: Vec<Aggregate>,
    pub(super) output: Output,
    /// How the result is ordered by bucket first, which lets a limit stop early.
    pub(super) by_bucket: Option<SortOptions>,
}

/// A column of the engine's answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece {
    Bucket,
    Tag(usize),
    Aggregate(usize),
}

impl Groups {
    /// Reads a grouped SELECT.
    pub(super) fn read(shape: &Shape<'_>, scope: &Scope<'_>) -> Option<Groups> {
        let mut reader = Reader { scope, bucket: None, tags: Vec::new(), aggregates: Vec::new() };
        for key in shape.group_by {
            reader.add_key(group_key(key, shape.items, scope)?)?;
        }
        let mut pieces = Vec::new();
        let mut fields = Vec::new();
        for item in shape.items {
            let piece = reader.piece(expression(item)?)?;
            fields.push(reader.field(&item_name(item)?, piece)?);
            pieces.push(piece);
        }
        let mut keys = Vec::new();
        for key in shape.order_by {
            let piece = match order_key(&key.expr, shape.items, scope)? {
                OrderKey::Item(at) => pieces[at],
                OrderKey::Expression(expr) => reader.piece(expr)?,
            };
            keys.push((piece, sort_options(&key.options)));
        }
        if reader.aggregates.is_empty() {
            reader.aggregates.push(Aggregate { function: AggregateFunction::CountRows, field: None });
        }
        let schema = Arc::new(Schema::new(fields));
        Some(reader.finish(&pieces, &keys, schema))
    }
}

struct Reader<'a> {
    scope: &'a Scope<'a>,
    bucket: Option<Found>,
    tags: Vec<String>,
    aggregates: Vec<Aggregate>,
}

impl Reader<'_> {
    fn add_key(&mut self, key: &Expr) -> Option<()> {
        if let Some((_, column)) = self.scope.column(key) {
            (column.kind == ColumnKind::Tag).then_some(())?;
            if !self.tags.contains(&column.name) {
                self.tags.push(column.name.clone());
            }
            return Some(());
        }
        let found = bucket::read(key, self.scope)?;
        (*self.bucket.get_or_insert(found) == found).then_some(())
    }

    fn piece(&mut self, expr: &Expr) -> Option<Piece> {
        if let Expr::Nested(inner) = expr {
            return self.piece(inner);
        }
        if let Some((_, column)) = self.scope.column(expr) {
            return self.tags.iter().position(|tag| *tag == column.name).map(Piece::Tag);
        }
        if self.bucket.is_some() && bucket::read(expr, self.scope) == self.bucket {
            return Some(Piece::Bucket);
        }
        let aggregate = self.aggregate(expr)?;
        let known = self.aggregates.iter().position(|known| *known == aggregate);
        Some(Piece::Aggregate(known.unwrap_or_else(|| {
            self.aggregates.push(aggregate);
            self.aggregates.len() - 1
        })))
    }

    fn aggregate(&self, expr: &Expr) -> Option<Aggregate> {
        let Expr::Function(call) = expr else { return None };
        let (name, args) = plain_call(call)?;
        let of = |function, field: &str| Some(Aggregate { function, field: Some(field.to_owned()) });
        match (name.as_str(), args) {
            ("count", [arg]) if counts_rows(arg) => {
                Some(Aggregate { function: AggregateFunction::CountRows, field: None })
            }
            ("count", [arg]) => of(AggregateFunction::Count, self.field_of(arg, |_| true)?),
            ("sum", [arg]) => of(AggregateFunction::Sum, self.field_of(arg, is_number)?),
            ("avg", [arg]) => of(AggregateFunction::Avg, self.field_of(arg, is_number)?),
            ("min", [arg]) => of(AggregateFunction::Min, self.ordered(arg)?),
            ("max", [arg]) => of(AggregateFunction::Max, self.ordered(arg)?),
            ("first", [arg, time]) if self.scope.is_time(argument(time)?) => {
                of(AggregateFunction::First, self.field_of(arg, |_| true)?)
            }
            ("last", [arg, time]) if self.scope.is_time(argument(time)?) => {
                of(AggregateFunction::Last, self.field_of(arg, |_| true)?)
            }
            _ => None,
        }
    }

    /// The field that an argument is, if its type will do.
    fn field_of(&self, arg: &FunctionArg, will_do: impl Fn(FieldType) -> bool) -> Option<&str> {
        let (_, column) = self.scope.column(argument(arg)?)?;
        match column.kind {
            ColumnKind::Field(kind) if will_do(kind) => Some(&column.name),
            _ => None,
        }
    }

    /// The number field that an argument is, or the time.
    fn ordered(&self, arg: &FunctionArg) -> Option<&str> {
        let (_, column) = self.scope.column(argument(arg)?)?;
        match column.kind {
            ColumnKind::Time => Some(&column.name),
            _ => self.field_of(arg, is_number),
        }
    }

    /// A column of the result, as the planner describes it.
    fn field(&self, name: &str, piece: Piece) -> Option<Field> {
        let (data_type, nullable) = match piece {
            Piece::Bucket => (self.scope.time_type(), self.bucket.is_some_and(|found| found.is_nullable())),
            Piece::Tag(_) => (ColumnKind::Tag.arrow(), true),
            Piece::Aggregate(at) => self.aggregate_type(&self.aggregates[at])?,
        };
        Some(Field::new(name, data_type, nullable))
    }

    fn aggregate_type(&self, aggregate: &Aggregate) -> Option<(DataType, bool)> {
        let column = aggregate.field.as_ref().and_then(|field| self.scope.table.position(field));
        let kind = column.map(|at| self.scope.table.columns[at].kind);
        Some(match (aggregate.function, kind) {
            (AggregateFunction::CountRows | AggregateFunction::Count, _) => (DataType::Int64, false),
            (AggregateFunction::Avg, _) => (DataType::Float64, true),
            (AggregateFunction::Sum, Some(ColumnKind::Field(FieldType::Float))) => (DataType::Float64, true),
            (AggregateFunction::Sum, _) => (SUM_OF_INTEGERS, true),
            (_, Some(ColumnKind::Time)) => (self.scope.time_type(), true),
            (_, kind) => (kind?.arrow(), true),
        })
    }

    fn finish(self, pieces: &[Piece], keys: &[(Piece, SortOptions)], schema: Arc<Schema>) -> Groups {
        let first_tag = usize::from(self.bucket.is_some());
        let place = |piece: &Piece| match piece {
            Piece::Bucket => 0,
            Piece::Tag(nth) => first_tag + nth,
            Piece::Aggregate(nth) => first_tag + self.tags.len() + nth,
        };
        let columns = pieces.iter().map(place).collect();
        let by_bucket = keys.first().filter(|(piece, _)| *piece == Piece::Bucket).map(|(_, options)| *options);
        let name = |piece: &Piece| match piece {
            Piece::Bucket => "bucket".to_owned(),
            Piece::Tag(nth) => self.tags[*nth].clone(),
            Piece::Aggregate(nth) => shown_call(&self.aggregates[*nth]),
        };
        let key =
            |(piece, options): &(Piece, SortOptions)| Key { at: place(piece), options: *options, name: name(piece) };
        let keys: Vec<_> = keys.iter().map(key).collect();
        let output = Output { columns, keys: beyond_given_order(keys, first_tag + self.tags.len()), schema };
        Groups {
            bucket: self.bucket.map(|found| found.bucket),
            tags: self.tags,
            aggregates: self.aggregates,
            output,
            by_bucket,
        }
    }
}

/// The engine orders by bucket and tags, ascending, NULL last: then nothing is left to sort by.
fn beyond_given_order(keys: Vec<Key>, group_columns: usize) -> Vec<Key> {
    let given = SortOptions { descending: false, nulls_first: false };
    let in_order = keys.iter().enumerate().all(|(nth, key)| nth == key.at && key.options == given);
    if in_order && keys.len() <= group_columns { Vec::new() } else { keys }
}

/// `count(*)`, or `count(1)`, which is the same.
fn counts_rows(arg: &FunctionArg) -> bool {
    let FunctionArg::Unnamed(arg) = arg else { return false };
    match arg {
        FunctionArgExpr::Expr(expr) => matches!(expr, Expr::Value(ValueWithSpan { value: Value::Number(..), .. })),
        other => matches!(other, FunctionArgExpr::Wildcard),
    }
}

fn is_number(kind: FieldType) -> bool {
    matches!(kind, FieldType::Float | FieldType::Integer | FieldType::Unsigned)
}
