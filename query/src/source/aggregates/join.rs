//! Aggregates as the engine is asked for them, and how its answers of finer groups are joined.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::logical_expr::expr::{AggregateFunction as Call, AggregateFunctionParams};
use datafusion::logical_expr::{AggregateUDF, Expr, cast, lit};
use plimsoll_engine::{Aggregate, AggregateFunction, ColumnKind, FieldType, TableSchema};

use crate::functions::{ApproxPercentile, End, FirstLast, greatest_float, least_float};

/// The aggregates of a plan, one after the other.
#[derive(Debug)]
pub(super) struct Joins<'a> {
    table: &'a TableSchema,
    /// Sketches of raw rows are quicker made row by row, so they are asked for only where rollups have them.
    with_sketches: bool,
    asked: Vec<Aggregate>,
    joins: Vec<Join>,
}

/// How one aggregate is made of the engine's, which are named by their place.
#[derive(Debug)]
enum Join {
    Sum(usize),
    Average { sum: usize, count: usize },
    Least { at: usize, is_float: bool },
    Greatest { at: usize, is_float: bool },
    Earliest { value: usize, time: usize },
    Latest { value: usize, time: usize },
    Percentile { fraction: ScalarValue, sketch: usize },
}

/// A value of the result, over the calls that join.
#[derive(Debug)]
pub(super) enum Output {
    Call(usize),
    Quotient(usize, usize),
}

impl Output {
    pub(super) fn value(&self, call: impl Fn(usize) -> Expr) -> Expr {
        match self {
            Output::Call(at) => call(*at),
            // As in the engine, a mean is never -0.0.
            Output::Quotient(sum, count) => {
                (cast(call(*sum), DataType::Float64) + lit(0.0)) / cast(call(*count), DataType::Float64)
            }
        }
    }
}

impl<'a> Joins<'a> {
    pub(super) fn new(table: &'a TableSchema, with_sketches: bool) -> Joins<'a> {
        Joins { table, with_sketches, asked: Vec::new(), joins: Vec::new() }
    }

    /// What the engine is asked for; without anything, whether there are rows.
    pub(super) fn asked(&self) -> Vec<Aggregate> {
        match self.asked.is_empty() {
            true => vec![Aggregate { function: AggregateFunction::CountRows, field: None }],
            false => self.asked.clone(),
        }
    }

    /// Reads an aggregate over the columns of the table; `None` when the engine has nothing that says the same.
    pub(super) fn add(&mut self, call: &Expr) -> Option<()> {
        let Expr::AggregateFunction(Call { func, params }) = call else { return None };
        let AggregateFunctionParams { args, distinct: false, filter: None, order_by, null_treatment: None } = params
        else {
            return None;
        };
        let join = match (func.name(), args.as_slice(), order_by.as_slice()) {
            ("count", [Expr::Literal(value, _)], []) if !value.is_null() => {
                Join::Sum(self.place(AggregateFunction::CountRows, None))
            }
            ("count", [arg], []) => match self.column(arg)? {
                (_, ColumnKind::Time) => Join::Sum(self.place(AggregateFunction::CountRows, None)),
                (name, ColumnKind::Field(_)) => Join::Sum(self.place(AggregateFunction::Count, Some(name))),
                _ => return None,
            },
            ("sum", [arg], []) => Join::Sum(self.number(AggregateFunction::Sum, arg)?),
            ("avg", [arg], []) => Join::Average {
                sum: self.number(AggregateFunction::Sum, arg)?,
                count: self.number(AggregateFunction::Count, arg)?,
            },
            ("min", [arg], []) => {
                let (at, is_float) = self.ordered(AggregateFunction::Min, arg)?;
                Join::Least { at, is_float }
            }
            ("max", [arg], []) => {
                let (at, is_float) = self.ordered(AggregateFunction::Max, arg)?;
                Join::Greatest { at, is_float }
            }
            ("first" | "first_value", ..) => Join::Earliest {
                value: self.by_time(AggregateFunction::First, params)?,
                time: self.place(AggregateFunction::Min, Some(TableSchema::TIME)),
            },
            ("last" | "last_value", ..) => Join::Latest {
                value: self.by_time(AggregateFunction::Last, params)?,
                time: self.place(AggregateFunction::Max, Some(TableSchema::TIME)),
            },
            ("approx_percentile", [Expr::Literal(fraction, _), arg], []) if self.with_sketches => {
                let sketch = self.number(AggregateFunction::Sketch, arg)?;
                Join::Percentile { fraction: fraction.clone(), sketch }
            }
            _ => return None,
        };
        self.joins.push(join);
        Some(())
    }

    /// The calls that join the engine's answers, and the results over them.
    pub(super) fn over_answer(&self, column: impl Fn(usize) -> Expr) -> (Vec<Expr>, Vec<Output>) {
        let mut calls: Vec<Expr> = Vec::new();
        let mut call = |expr: Expr| {
            let name = format!("joined {}", calls.len());
            calls.push(expr.alias(name));
            calls.len() - 1
        };
        let by_time = |end, value: usize, time: usize| {
            Arc::new(AggregateUDF::from(FirstLast::new(end))).call(vec![column(value), column(time)])
        };
        let output = |join: &Join| match join {
            Join::Sum(at) => Output::Call(call(sum(column(*at)))),
            Join::Average { sum: total, count } => {
                let total = call(sum(column(*total)));
                Output::Quotient(total, call(sum(column(*count))))
            }
            Join::Least { at, is_float: true } => Output::Call(call(least_float().call(vec![column(*at)]))),
            Join::Least { at, is_float: false } => Output::Call(call(min(column(*at)))),
            Join::Greatest { at, is_float: true } => Output::Call(call(greatest_float().call(vec![column(*at)]))),
            Join::Greatest { at, is_float: false } => Output::Call(call(max(column(*at)))),
            Join::Earliest { value, time } => Output::Call(call(by_time(End::First, *value, *time))),
            Join::Latest { value, time } => Output::Call(call(by_time(End::Last, *value, *time))),
            Join::Percentile { fraction, sketch } => {
                let percentile = AggregateUDF::from(ApproxPercentile::of_sketches());
                let sketch = cast(column(*sketch), DataType::Utf8);
                Output::Call(call(percentile.call(vec![lit(fraction.clone()), sketch])))
            }
        };
        let outputs = self.joins.iter().map(output).collect();
        (calls, outputs)
    }

    fn place(&mut self, function: AggregateFunction, field: Option<&str>) -> usize {
        let aggregate = Aggregate { function, field: field.map(str::to_owned) };
        self.asked.iter().position(|known| *known == aggregate).unwrap_or_else(|| {
            self.asked.push(aggregate);
            self.asked.len() - 1
        })
    }

    /// The column that an argument is, be it under the cast that sums of integers and percentiles have.
    fn column(&self, arg: &Expr) -> Option<(&'a str, ColumnKind)> {
        let name = match arg {
            Expr::Column(column) => &column.name,
            _ => return None,
        };
        let column = &self.table.columns[self.table.position(name)?];
        Some((&column.name, column.kind))
    }

    fn number(&mut self, function: AggregateFunction, arg: &Expr) -> Option<usize> {
        let arg = match arg {
            Expr::Cast(widened) if widens(widened.field.data_type()) => &widened.expr,
            other => other,
        };
        match self.column(arg)? {
            (name, ColumnKind::Field(FieldType::Float | FieldType::Integer | FieldType::Unsigned)) => {
                Some(self.place(function, Some(name)))
            }
            _ => None,
        }
    }

    /// A number or the time; whether it is a float.
    fn ordered(&mut self, function: AggregateFunction, arg: &Expr) -> Option<(usize, bool)> {
        match self.column(arg)? {
            (name, ColumnKind::Field(kind @ (FieldType::Float | FieldType::Integer | FieldType::Unsigned))) => {
                Some((self.place(function, Some(name)), kind == FieldType::Float))
            }
            (name, ColumnKind::Time) => Some((self.place(function, Some(name)), false)),
            _ => None,
        }
    }

    /// `first(field, time)`, or what that is simplified to: `first_value(field ORDER BY time)`.
    fn by_time(&mut self, function: AggregateFunction, params: &AggregateFunctionParams) -> Option<usize> {
        let is_time = |expr: &Expr| matches!(self.column(expr), Some((_, ColumnKind::Time)));
        let value = match (params.args.as_slice(), params.order_by.as_slice()) {
            ([value, time], []) if is_time(time) => value,
            ([value], [order]) if order.asc && is_time(&order.expr) => value,
            _ => return None,
        };
        match self.column(value)? {
            (name, ColumnKind::Field(_)) => Some(self.place(function, Some(name))),
            _ => None,
        }
    }
}

/// True for the types that arguments are cast to so that nothing is lost: sums of integers, percentiles.
fn widens(to: &DataType) -> bool {
    matches!(to, DataType::Decimal128(20, 0) | DataType::Float64)
}
