//! `time_bucket_gapfill` in GROUP BY, with `locf` and `interpolate` around aggregates.
//!
//! ```text
//! Projection: time_bucket_gapfill(...), host, locf(avg(v))
//!   Aggregate: time_bucket_gapfill(...), host, avg(v)
//! ─►
//! Projection: the same, of columns
//!   Projection: the columns of a row, each under the name of what it stands for
//!     Unnest: a row for each bucket
//!       Aggregate: host, gapfill(bucket, avg(v), ...)          rows of a host, with those that were missing
//!         Projection, and HAVING if there is one
//!           Aggregate: time_bucket(...), host, avg(v)
//! ```

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue, UnnestOptions};
use datafusion::functions::core::expr_fn::{get_field, greatest, least};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Projection,
    ScalarUDF, cast, lit,
};

use crate::functions::{Fill, Gap, GapFunction, Method, TimeBucket, column_name, refused};

type Result<T> = datafusion::common::Result<T>;

/// The column that holds the rows of a group.
const ROWS: &str = "gapfill";

/// Puts the rows of missing buckets into a plan that asks for them.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) where one of the functions stands where it cannot.
pub(super) fn lower_gaps(plan: LogicalPlan) -> Result<LogicalPlan> {
    if misplaced(&plan)?.is_none() {
        return Ok(plan);
    }
    let lowered = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Projection(projection) => match grouped(projection)? {
            Some(gapfill) => Ok(Transformed::yes(gapfill.lower(projection)?)),
            None => Ok(Transformed::yes(node.recompute_schema()?)),
        },
        // What was never NULL may be so now.
        _ => Ok(Transformed::yes(node.recompute_schema()?)),
    })?;
    match misplaced(&lowered.data)? {
        None => Ok(lowered.data),
        Some(gap) => Err(gap.misplaced()),
    }
}

/// Any of the functions in a plan.
fn misplaced(plan: &LogicalPlan) -> Result<Option<Gap>> {
    let mut found = None;
    any_expression(plan, |expr| {
        found = found.or(call(expr).map(|(gap, _)| gap));
        found.is_some()
    })?;
    Ok(found)
}

/// True when a test holds for an expression anywhere in a plan. Plans that insert many rows are large, so nothing is copied.
pub(super) fn any_expression(plan: &LogicalPlan, mut test: impl FnMut(&Expr) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        let go_on = |found: bool| if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue };
        node.apply_expressions(|expr| {
            found = found || expr.exists(|inner| Ok(test(inner)))?;
            Ok(go_on(found))
        })?;
        Ok(go_on(found))
    })?;
    Ok(found)
}

/// Any of the functions in an expression.
fn contained(expr: &Expr) -> Result<Option<Gap>> {
    let mut found = None;
    expr.apply(|inner| {
        found = found.or(call(inner).map(|(gap, _)| gap));
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// A call of one of the functions.
fn call(expr: &Expr) -> Option<(Gap, &ScalarFunction)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let function = call.func.inner().downcast_ref::<GapFunction>()?;
    Some((function.gap, call))
}

/// A query that groups by `time_bucket_gapfill`.
struct Gapfill<'a> {
    aggregate: &'a Aggregate,
    having: Option<&'a Filter>,
    /// Which of the keys it is.
    key: usize,
    arguments: Arguments,
}

/// The arguments of `time_bucket_gapfill`; those that are left out are NULL.
struct Arguments {
    width: Expr,
    time: Expr,
    start: Expr,
    finish: Expr,
    zone: Expr,
    origin: Expr,
    offset: Expr,
}

/// The query under a projection, if it groups by `time_bucket_gapfill`.
fn grouped(projection: &Projection) -> Result<Option<Gapfill<'_>>> {
    let (aggregate, having) = match projection.input.as_ref() {
        LogicalPlan::Aggregate(aggregate) => (aggregate, None),
        LogicalPlan::Filter(having) => match having.input.as_ref() {
            LogicalPlan::Aggregate(aggregate) => (aggregate, Some(having)),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let is_gapfill = |key: &Expr| call(key).is_some_and(|(gap, _)| gap == Gap::Buckets);
    let Some(key) = aggregate.group_expr.iter().position(is_gapfill) else { return Ok(None) };
    match call(&aggregate.group_expr[key]).map(|(_, call)| call.args.as_slice()) {
        Some([width, time, rest @ ..]) => {
            let arguments = Arguments::new(width, time, rest);
            Ok(Some(Gapfill { aggregate, having, key, arguments }))
        }
        _ => Ok(None),
    }
}

impl Arguments {
    fn new(width: &Expr, time: &Expr, rest: &[Expr]) -> Arguments {
        let null = || lit(ScalarValue::Null);
        let mut arguments = Arguments {
            width: width.clone(),
            time: time.clone(),
            start: null(),
            finish: null(),
            zone: null(),
            origin: null(),
            offset: null(),
        };
        let places: Vec<&mut Expr> = {
            let Arguments { start, finish, zone, origin, offset, .. } = &mut arguments;
            match rest.len() {
                1 => vec![zone],
                2 => vec![start, finish],
                3 => vec![zone, start, finish],
                _ => vec![start, finish, zone, origin, offset],
            }
        };
        for (place, argument) in places.into_iter().zip(rest) {
            *place = argument.clone();
        }
        arguments
    }
}

/// A column of the rows to be filled: what is put in, under which name it comes out, and what stands in gaps.
struct Filled {
    value: Expr,
    name: String,
    method: Method,
}

impl Gapfill<'_> {
    fn lower(&self, projection: &Projection) -> Result<LogicalPlan> {
        let mut filled: Vec<Filled> = Vec::new();
        let aggregates = self.aggregate.schema.fields().len() - self.aggregate.aggr_expr.len();
        for at in aggregates..self.aggregate.schema.fields().len() {
            let column = Column::from(self.aggregate.schema.qualified_field(at));
            let name = column.name.clone();
            filled.push(Filled { value: Expr::Column(column), name, method: Method::Null });
        }
        let outputs = projection.expr.iter().map(|output| self.output(output, &mut filled));
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        let rows = self.rows(self.buckets()?, &filled)?;
        LogicalPlanBuilder::from(rows).project(outputs)?.build()
    }

    /// An item of the SELECT list with columns in the place of `locf` and `interpolate`.
    fn output(&self, output: &Expr, filled: &mut Vec<Filled>) -> Result<Expr> {
        let name = output.schema_name().to_string();
        let replaced = output.clone().transform_down(|inner| {
            let Some((gap, call)) = call(&inner) else { return Ok(Transformed::no(inner)) };
            for argument in &call.args {
                if let Some(nested) = contained(argument)? {
                    return Err(nested.misplaced());
                }
            }
            let name = inner.schema_name().to_string();
            let (value, method) = self.method(gap, &call.args)?;
            if !filled.iter().any(|other| other.name == name) {
                filled.push(Filled { value, name: name.clone(), method });
            }
            Ok(Transformed::new(Expr::Column(Column::from_name(name)), true, TreeNodeRecursion::Jump))
        })?;
        Ok(match (replaced.transformed, replaced.data) {
            (true, alias @ Expr::Alias(_)) | (false, alias) => alias,
            (true, other) => other.alias(name),
        })
    }

    fn method(&self, gap: Gap, arguments: &[Expr]) -> Result<(Expr, Method)> {
        let is = |argument: Option<&Expr>, wanted: &ScalarValue| match argument {
            None => wanted.is_null(),
            Some(Expr::Literal(value, _)) => value == wanted || (wanted.is_null() && value.is_null()),
            Some(_) => false,
        };
        let [value, rest @ ..] = arguments else { return Err(gap.misplaced()) };
        if gap == Gap::Interpolate {
            return Ok((cast(value.clone(), DataType::Float64), Method::Interpolate));
        }
        if !is(rest.first(), &ScalarValue::Null) {
            let what = "the argument prev of locf() is not supported".to_owned();
            return Err(refused(what, "Let the range begin earlier: what comes before it is not looked up."));
        }
        let as_missing = rest.get(1);
        match () {
            () if is(as_missing, &ScalarValue::Boolean(Some(true))) => Ok((value.clone(), Method::LocfOfValues)),
            () if is(as_missing, &ScalarValue::Null) || is(as_missing, &ScalarValue::Boolean(Some(false))) => {
                Ok((value.clone(), Method::Locf))
            }
            () => {
                let what = "treat_null_as_missing has to be true or false".to_owned();
                Err(refused(what, "Use locf(value, treat_null_as_missing => true)."))
            }
        }
    }

    /// The query with `time_bucket` for a key, under the name of the key that it stands for.
    fn buckets(&self) -> Result<LogicalPlan> {
        let Aggregate { input, group_expr, aggr_expr, schema, .. } = self.aggregate;
        let Arguments { width, time, zone, origin, offset, .. } = &self.arguments;
        let mut arguments = vec![width.clone(), time.clone()];
        if [zone, origin, offset].into_iter().any(|option| !is_null(option)) {
            arguments.extend([zone.clone(), origin.clone(), offset.clone()]);
        }
        let mut keys = group_expr.clone();
        keys[self.key] = ScalarUDF::from(TimeBucket::new()).call(arguments);
        let aggregate = Aggregate::try_new(input.clone(), keys, aggr_expr.clone())?;
        let made = Column::from(aggregate.schema.qualified_field(self.key));
        let name = schema.field(self.key).name().clone();
        let columns = (0..schema.fields().len()).map(|at| match at == self.key {
            true => Expr::Column(made.clone()).alias(&name),
            false => Expr::Column(Column::from(schema.qualified_field(at))),
        });
        let columns: Vec<_> = columns.collect();
        let mut plan = LogicalPlanBuilder::from(LogicalPlan::Aggregate(aggregate)).project(columns)?;
        if let Some(having) = self.having {
            plan = plan.filter(having.predicate.clone())?;
        }
        plan.build()
    }

    /// The rows of all groups, with those that were missing.
    fn rows(&self, buckets: LogicalPlan, filled: &[Filled]) -> Result<LogicalPlan> {
        let schema = &self.aggregate.schema;
        let is_key = |at: &usize| *at != self.key;
        let keys: Vec<_> = (0..schema.fields().len() - self.aggregate.aggr_expr.len())
            .filter(is_key)
            .map(|at| Expr::Column(Column::from(schema.qualified_field(at))))
            .collect();
        let bucket = Column::from(schema.qualified_field(self.key));
        let bucket_type = schema.field(self.key).data_type();
        let (start, finish) = self.range(bucket_type)?;
        let Arguments { width, zone, origin, offset, .. } = &self.arguments;
        let origin = if is_null(origin) { origin.clone() } else { cast(origin.clone(), bucket_type.clone()) };
        let mut arguments = vec![Expr::Column(bucket.clone()), start, finish];
        arguments.extend([width.clone(), zone.clone(), origin, offset.clone()]);
        arguments.extend(filled.iter().map(|column| column.value.clone()));
        let fill = Fill::new(filled.iter().map(|column| column.method).collect());
        let fill = AggregateUDF::from(fill).call(arguments).alias(ROWS);
        let unnested = UnnestOptions::new().with_preserve_nulls(false);
        let row = Expr::Column(Column::from_name(ROWS));
        let bucket = get_field(row.clone(), column_name(0)).alias(bucket.name);
        let column = |(at, column): (usize, &Filled)| get_field(row.clone(), column_name(at + 1)).alias(&column.name);
        let columns: Vec<_> = filled.iter().enumerate().map(column).collect();
        LogicalPlanBuilder::from(buckets)
            .aggregate(keys.clone(), vec![fill])?
            .unnest_column_with_options(ROWS, unnested)?
            .project(keys.into_iter().chain([bucket]).chain(columns))?
            .build()
    }

    /// Start and finish: those that are given, or else those that WHERE allows.
    fn range(&self, bucket_type: &DataType) -> Result<(Expr, Expr)> {
        let as_time = |expr: Expr| cast(expr, bucket_type.clone());
        let bounds = self.bounds(bucket_type)?;
        let given = |argument: &Expr| (!is_null(argument)).then(|| as_time(argument.clone()));
        let start = given(&self.arguments.start).or(bounds.start);
        let finish = given(&self.arguments.finish).or(bounds.finish);
        let missing = |end: &str| {
            let what = format!("the {end} of the range of time_bucket_gapfill() is not known");
            refused(what, "Say WHERE time >= ... AND time < ..., or name start and finish.")
        };
        Ok((start.ok_or_else(|| missing("start"))?, finish.ok_or_else(|| missing("finish"))?))
    }

    /// What the filters under the query say of the time.
    fn bounds(&self, bucket_type: &DataType) -> Result<Bounds> {
        let mut bounds = Bounds { start: None, finish: None };
        let mut input = self.aggregate.input.as_ref();
        while let LogicalPlan::Filter(filter) = input {
            for condition in split_conjunction(&filter.predicate) {
                bounds.add(condition, &self.arguments.time, bucket_type)?;
            }
            input = filter.input.as_ref();
        }
        Ok(bounds)
    }
}

/// The first time, and the first after the last.
struct Bounds {
    start: Option<Expr>,
    finish: Option<Expr>,
}

impl Bounds {
    fn add(&mut self, condition: &Expr, time: &Expr, time_type: &DataType) -> Result<()> {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if left.as_ref() == time => {
                self.compare(*op, right, time_type)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if right.as_ref() == time => match op.swap() {
                Some(op) => self.compare(op, left, time_type),
                None => Ok(()),
            },
            Expr::Between(between) if !between.negated && between.expr.as_ref() == time => {
                self.compare(Operator::GtEq, &between.low, time_type)?;
                self.compare(Operator::LtEq, &between.high, time_type)
            }
            _ => Ok(()),
        }
    }

    fn compare(&mut self, op: Operator, bound: &Expr, time_type: &DataType) -> Result<()> {
        if !bound.column_refs().is_empty() {
            return Ok(());
        }
        let bound = cast(bound.clone(), time_type.clone());
        let after = || bound.clone() + lit(ScalarValue::new_interval_mdn(0, 0, 1));
        let (narrower, bound): (&mut Option<Expr>, Expr) = match op {
            Operator::GtEq => (&mut self.start, bound),
            Operator::Gt => (&mut self.start, after()),
            Operator::Lt => (&mut self.finish, bound),
            Operator::LtEq => (&mut self.finish, after()),
            _ => return Ok(()),
        };
        *narrower = Some(match (narrower.take(), op) {
            (None, _) => bound,
            (Some(other), Operator::GtEq | Operator::Gt) => greatest(vec![other, bound]),
            (Some(other), _) => least(vec![other, bound]),
        });
        Ok(())
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}
