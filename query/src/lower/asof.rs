//! `a ASOF JOIN b MATCH_CONDITION (a.time >= b.time) ON a.host = b.host`: every row of `a`, with the one row of `b` that was the
//! newest at its time, or NULLs.
//!
//! The rows of both are put into one order, and each row of `a` takes the last row of `b` that came before it:
//!
//! ```text
//! Projection: the columns of a and of b
//!   Filter: rows of a
//!     Window: the last row of b so far, PARTITION BY keys ORDER BY time, side
//!       Union: (keys, time, side, columns of a, NULL)          rows of a
//!              (keys, time, side, NULLs, (columns of b))       rows of b
//! ```
//!
//! So it takes a sort, however many rows of `b` there are for each of `a`.

mod narrow;

use std::sync::{Arc, LazyLock};

use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::functions::core::expr_fn::{get_field, named_struct};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, WindowUDF, ident, lit,
};
use datafusion::sql::sqlparser::ast::{Join, JoinConstraint, JoinOperator, TableFactor, TableWithJoins};

pub(super) use narrow::narrow_asof_joins;

use crate::functions::{LastOfOther, refused};

type Result<T> = datafusion::common::Result<T>;

/// The planners of relations that DataFusion does not know.
pub(super) static RELATIONS: LazyLock<[Arc<dyn RelationPlanner>; 1]> = LazyLock::new(|| [Arc::new(AsofJoins)]);

const HINT: &str = "Use a ASOF JOIN b MATCH_CONDITION (a.time >= b.time) ON a.tag = b.tag AND ...";

/// Puts each ASOF JOIN, with all that stands to the left of it, into parentheses of its own.
pub(super) fn nest_asof_joins(from: &mut TableWithJoins) {
    while let Some(at) = from.joins.iter().position(is_asof) {
        let after = from.joins.split_off(at + 1);
        let asof = from.joins.split_off(at);
        let before = std::mem::take(&mut from.joins);
        let left = match before.is_empty() {
            true => from.relation.clone(),
            false => nested(TableWithJoins { relation: from.relation.clone(), joins: before }),
        };
        from.relation = nested(TableWithJoins { relation: left, joins: asof });
        from.joins = after;
    }
}

/// As [`nest_asof_joins`], for what stands in parentheses. True when that is a single ASOF JOIN, as it should be.
pub(super) fn nest_asof_joins_in(factor: &mut TableFactor) -> bool {
    let TableFactor::NestedJoin { table_with_joins, .. } = factor else { return false };
    if let [join] = table_with_joins.joins.as_slice() {
        return is_asof(join);
    }
    nest_asof_joins(table_with_joins);
    false
}

fn is_asof(join: &Join) -> bool {
    matches!(join.join_operator, JoinOperator::AsOf { .. })
}

fn nested(inner: TableWithJoins) -> TableFactor {
    TableFactor::NestedJoin { table_with_joins: Box::new(inner), alias: None }
}

/// Plans what [`nest_asof_joins`] has put into parentheses.
#[derive(Debug)]
struct AsofJoins;

impl RelationPlanner for AsofJoins {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::NestedJoin { table_with_joins, alias } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let [Join { relation: right, join_operator: JoinOperator::AsOf { match_condition, constraint }, .. }] =
            table_with_joins.joins.as_slice()
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let (left, right) = (context.plan(table_with_joins.relation.clone())?, context.plan(right.clone())?);
        let schema = left.schema().join(right.schema())?;
        let matched = context.sql_to_expr(match_condition.clone(), &schema)?;
        let on = match constraint {
            JoinConstraint::On(on) => split_conjunction_owned(context.sql_to_expr(on.clone(), &schema)?),
            JoinConstraint::None => Vec::new(),
            JoinConstraint::Using(_) | JoinConstraint::Natural => {
                return Err(refused("ASOF JOIN with USING or NATURAL is not supported".to_owned(), HINT));
            }
        };
        let plan = AsofJoin::new(left, right, &matched, on)?.plan()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// An ASOF JOIN by its parts.
struct AsofJoin {
    left: Side,
    right: Side,
    /// Whether the newest row is wanted or the oldest one, seen from the left.
    order: Order,
}

/// One of the two relations: its keys and its time.
struct Side {
    plan: LogicalPlan,
    keys: Vec<Expr>,
    time: Expr,
}

#[derive(Clone, Copy)]
struct Order {
    /// Of time.
    ascending: bool,
    /// Of rows with the same time.
    right_first: bool,
}

impl AsofJoin {
    fn new(left: LogicalPlan, right: LogicalPlan, matched: &Expr, on: Vec<Expr>) -> Result<AsofJoin> {
        let (left_schema, right_schema) = (left.schema().clone(), right.schema().clone());
        let sides = |condition: &Expr| sides(condition, &left_schema, &right_schema);
        let no_match = || refused("MATCH_CONDITION has to compare the times of both tables".to_owned(), HINT);
        let (left_time, op, right_time) = sides(matched).ok_or_else(no_match)?;
        let order = match op {
            Operator::GtEq => Order { ascending: true, right_first: true },
            Operator::Gt => Order { ascending: true, right_first: false },
            Operator::LtEq => Order { ascending: false, right_first: true },
            Operator::Lt => Order { ascending: false, right_first: false },
            _ => return Err(no_match()),
        };
        let right_time = right_time.cast_to(&left_time.get_type(&left_schema)?, &right_schema)?;
        let (mut left_keys, mut right_keys) = (Vec::new(), Vec::new());
        for condition in &on {
            let Some((left_key, Operator::Eq, right_key)) = sides(condition) else {
                return Err(refused("ON of an ASOF JOIN has to say which columns are equal".to_owned(), HINT));
            };
            right_keys.push(right_key.cast_to(&left_key.get_type(&left_schema)?, &right_schema)?);
            left_keys.push(left_key);
        }
        Ok(AsofJoin {
            left: Side { plan: left, keys: left_keys, time: left_time },
            right: Side { plan: right, keys: right_keys, time: right_time },
            order,
        })
    }

    fn plan(self) -> Result<LogicalPlan> {
        let (left_schema, right_schema) = (self.left.plan.schema().clone(), self.right.plan.schema().clone());
        let keys: Vec<Expr> = (0..self.left.keys.len()).map(|at| ident(key_name(at))).collect();
        let Order { ascending, right_first } = self.order;
        let right_side = i64::from(!right_first);
        let is_right = || ident(SIDE).eq(lit(right_side));
        let last = WindowUDF::from(LastOfOther::new());
        let last = Arc::new(last).call(vec![is_right(), ident(TIME), ident(OTHER)]);
        let order = vec![ident(TIME).sort(ascending, false), ident(SIDE).sort(true, false)];
        let last = last.partition_by(keys).order_by(order).build()?;
        let matched = Expr::Column(Column::from_name(last.schema_name().to_string()));
        // A column that is a key is given as that, so that conditions on it reach the scans of both relations.
        let left_keys = self.left.keys.clone();
        let of_left = left_schema.iter().enumerate().map(|(at, (qualifier, field))| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            let name = left_keys.iter().position(|key| *key == column).map_or_else(|| column_name(at), key_name);
            ident(name).alias_qualified(qualifier.cloned(), field.name())
        });
        let of_right = right_schema.iter().enumerate().map(|(at, (qualifier, field))| {
            get_field(matched.clone(), column_name(at)).alias_qualified(qualifier.cloned(), field.name())
        });
        let columns: Vec<Expr> = of_left.chain(of_right).collect();
        let rows = self.rows(&left_schema, &right_schema, right_side)?;
        let plan = LogicalPlanBuilder::from(rows).window([last])?.filter(is_right().is_false())?;
        plan.project(columns)?.build()
    }

    /// The rows of both relations, in columns that both have.
    fn rows(self, left_schema: &DFSchema, right_schema: &DFSchema, right_side: i64) -> Result<LogicalPlan> {
        let columns = |schema: &DFSchema| -> Vec<Expr> { schema.columns().into_iter().map(Expr::Column).collect() };
        let named = |(at, column): (usize, Expr)| [lit(column_name(at)), column];
        let other = named_struct(columns(right_schema).into_iter().enumerate().flat_map(named).collect());
        let no_other = lit(ScalarValue::try_from(&other.get_type(right_schema)?)?);
        let nulls = left_schema.fields().iter().map(|field| Ok(lit(ScalarValue::try_from(field.data_type())?)));
        let nulls = nulls.collect::<Result<Vec<_>>>()?;
        let there = self.right.keys.iter().chain([&self.right.time]).map(|expr| expr.clone().is_not_null());
        let there = conjunction(there.collect::<Vec<_>>());
        let left = self.left.project(1 - right_side, columns(left_schema), no_other, None)?;
        let right = self.right.project(right_side, nulls, other, there)?;
        LogicalPlanBuilder::from(left).union(right)?.build()
    }
}

impl Side {
    /// The rows for which `there` holds, as keys, time, side, the columns of the left and a row of the right.
    fn project(self, side: i64, columns: Vec<Expr>, other: Expr, there: Option<Expr>) -> Result<LogicalPlan> {
        let keys = self.keys.into_iter().enumerate().map(|(at, key)| key.alias(key_name(at)));
        let columns = columns.into_iter().enumerate().map(|(at, column)| column.alias(column_name(at)));
        let rest = [self.time.alias(TIME), lit(side).alias(SIDE), other.alias(OTHER)];
        let mut plan = LogicalPlanBuilder::from(self.plan);
        if let Some(there) = there {
            plan = plan.filter(there)?;
        }
        plan.project(keys.chain(rest).chain(columns).collect::<Vec<_>>())?.build()
    }
}

const TIME: &str = "asof_time";
const SIDE: &str = "asof_side";
const OTHER: &str = "asof_other";

fn key_name(at: usize) -> String {
    format!("asof_key{at}")
}

fn column_name(at: usize) -> String {
    format!("c{at}")
}

/// A comparison of something of the left with something of the right, turned to that order.
fn sides(condition: &Expr, left: &DFSchema, right: &DFSchema) -> Option<(Expr, Operator, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left: a, op, right: b }) = condition else { return None };
    let is_of = |expr: &Expr, schema: &DFSchema| {
        let columns = expr.column_refs();
        !columns.is_empty() && columns.into_iter().all(|column| schema.is_column_from_schema(column))
    };
    match () {
        () if is_of(a, left) && is_of(b, right) => Some(((**a).clone(), *op, (**b).clone())),
        () if is_of(b, left) && is_of(a, right) => Some(((**b).clone(), op.swap()?, (**a).clone())),
        () => None,
    }
}
