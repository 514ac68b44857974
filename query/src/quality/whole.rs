//! Expectations about a table as a whole: `freshness()`, how long ago its newest row is, and `distinct_series()`, how many sets of
//! tags it has, and `completeness()`, how many of those of late have sent a row just now. They are looked at each minute.

use std::ops::ControlFlow;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, FunctionArguments, visit_expressions, visit_expressions_mut,
};
use plimsoll_engine::{ColumnKind, TableSchema};

use super::judge::parsed;
use super::rules::{About, Action};
use crate::dialect::quoted;
use crate::functions::parse_interval;
use crate::lower::{Lowering, folded};
use crate::session::{Session, blocking};
use crate::{Error, Result};

/// The functions, without arguments.
const FRESHNESS: &str = "freshness";
const SERIES: &str = "distinct_series";
const COMPLETENESS: &str = "completeness";

/// Series that sent a row in the longer time are expected to have sent one in the shorter.
const EXPECTED_IN: &str = "1 hour";
const SENT_IN: &str = "5 minutes";

/// How often tables are looked at, in nanoseconds.
const EVERY_NS: i64 = 60_000_000_000;

/// What a table is like.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The age of its newest row in nanoseconds; `None` without rows.
    freshness_ns: Option<i64>,
    series: u64,
    /// The share of its series of the last hour that sent a row in the last five minutes; `None` without any.
    completeness: Option<f64>,
}

/// The name of such a function that an expression is a call of.
fn called(expr: &Expr) -> Option<&'static str> {
    let Expr::Function(function) = expr else { return None };
    let [ast::ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return None };
    let is_bare = matches!(&function.args, FunctionArguments::List(list) if list.args.is_empty());
    [FRESHNESS, SERIES, COMPLETENESS].into_iter().find(|known| is_bare && folded(name) == *known)
}

/// What an expectation is about.
///
/// # Errors
/// [`Error::Unsupported`] for one about the table that does more than warn, and for a watermark that is none.
pub(super) fn about(name: &str, expr: &Expr, action: Action) -> Result<About> {
    if let Some(lateness_ns) = lateness(expr) {
        return Ok(About::Watermark { lateness_ns });
    }
    let asks = visit_expressions(expr, |expr| match called(expr) {
        Some(_) => ControlFlow::Break(()),
        None => ControlFlow::Continue(()),
    });
    match (asks.is_break(), action) {
        (false, _) if name == "watermark" && matches!(expr, Expr::BinaryOp { op: BinaryOperator::Minus, .. }) => {
            let what = format!("the watermark {expr} is not supported");
            let hint = Some("It is WATERMARK FOR time AS time - INTERVAL '2 min'.".to_owned());
            Err(Error::Unsupported { what, position: None, hint })
        }
        (false, _) => Ok(About::Row),
        (true, Action::Warn) => Ok(About::Table),
        (true, _) => {
            let what = format!("expectation \"{name}\" is about the table, and can only WARN");
            Err(Error::Unsupported { what, position: None, hint: None })
        }
    }
}

/// How late `time - INTERVAL '...'` says that rows come, in nanoseconds.
fn lateness(expr: &Expr) -> Option<i64> {
    let Expr::BinaryOp { left, op: BinaryOperator::Minus, right } = expr else { return None };
    let Expr::Identifier(column) = &**left else { return None };
    let text = match &**right {
        Expr::Interval(interval) => match (&*interval.value, &interval.leading_field) {
            (Expr::Value(value), None) => value.value.clone().into_string()?,
            (Expr::Value(value), Some(unit)) => format!("{} {unit}", value.value.clone().into_string()?),
            _ => return None,
        },
        _ => return None,
    };
    let interval = parse_interval(&text).ok()?;
    let days_ns = i64::from(interval.days).checked_mul(86_400_000_000_000)?;
    let ns = days_ns.checked_add(interval.nanoseconds)?;
    (folded(column) == TableSchema::TIME && interval.months == 0 && ns >= 0).then_some(ns)
}

/// Checks that an expectation is a condition once its functions have their values.
///
/// # Errors
/// Whatever is wrong with it; [`Error::Type`] when it is no condition.
pub(super) fn check(expr: &Expr, lowering: &Lowering<'_>) -> Result<()> {
    let text = query_of(expr.clone(), Seen { freshness_ns: Some(0), series: 0, completeness: Some(1.0) });
    let query = crate::statement::query(&text)?;
    let (_, columns) = crate::catalog::plan_query(&query, lowering)?;
    match columns.first().map(|column| &column.data_type) {
        Some(DataType::Boolean | DataType::Null) => Ok(()),
        _ => {
            let message = "argument of EXPECT must be a condition, true or false".to_owned();
            let hint = Some("It is like (freshness() < '5 min').".to_owned());
            Err(Error::Type { message, position: None, hint })
        }
    }
}

/// The query of an expectation, with values in place of its functions.
fn query_of(mut expr: Expr, seen: Seen) -> String {
    let _always_to_the_end = visit_expressions_mut(&mut expr, |expr| {
        let text = match (called(expr), seen.freshness_ns) {
            (Some(FRESHNESS), Some(ns)) => format!("INTERVAL '{} microseconds'", ns / 1_000),
            (Some(FRESHNESS), None) => "NULL::interval".to_owned(),
            (Some(COMPLETENESS), _) => {
                seen.completeness.map_or("NULL::float8".to_owned(), |share| format!("{share:?}::float8"))
            }
            (Some(_), _) => seen.series.to_string(),
            (None, _) => return ControlFlow::<()>::Continue(()),
        };
        if let Ok(value) = parsed(&text) {
            *expr = value;
        }
        ControlFlow::Continue(())
    });
    format!("SELECT ({expr})")
}

/// True for an expression with a call of such a function in it.
fn asks(expr: &Expr, function: &str) -> bool {
    let asks = visit_expressions(expr, |expr| match called(expr) {
        Some(called) if called == function => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    asks.is_break()
}

/// The share of the series of a table that are expected now and have sent a row.
async fn completeness(table: &str, session: &Session, now_ns: i64) -> Result<Option<f64>> {
    let Some(schema) = session.database().engine().table(table) else { return Ok(None) };
    let tags = schema.columns.iter().filter(|column| column.kind == ColumnKind::Tag).map(|tag| quoted(&tag.name));
    let tags: Vec<String> = tags.collect();
    let by = if tags.is_empty() { String::new() } else { format!("GROUP BY {}", tags.join(", ")) };
    let text = format!(
        "SELECT (count(*) FILTER (WHERE newest > now() - INTERVAL '{SENT_IN}'))::float8 / NULLIF(count(*), 0)::float8 FROM \
         (SELECT max(time) AS newest FROM {} WHERE time > now() - INTERVAL '{EXPECTED_IN}' {by}) AS series WHERE newest IS NOT NULL",
        quoted(table)
    );
    let batches = session.rows_of(&text, now_ns).await?;
    let first = batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| batch.column(0));
    let share = first.map(AsArray::as_primitive::<Float64Type>);
    Ok(share.and_then(|share| share.is_valid(0).then(|| share.value(0))))
}

/// Looks at the tables that something is expected of as a whole, if it is time. A condition that cannot be computed is violated.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn look(session: &Session, now_ns: i64) -> Result<()> {
    let database = session.database().clone();
    let definitions = database.catalog().definitions();
    let expecting: Vec<_> = definitions
        .rules
        .iter()
        .flat_map(|(table, rules)| rules.rules.iter().map(move |rule| (table, rule)))
        .filter(|(_, rule)| rule.about == About::Table)
        .collect();
    if expecting.is_empty() {
        return Ok(());
    }
    {
        let mut looked_ns = database.quality().looked_ns.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Before the first look it is longer ago than any time.
        if now_ns.saturating_sub(*looked_ns) < EVERY_NS {
            return Ok(());
        }
        *looked_ns = now_ns;
    }
    let snapshot = database.engine().snapshot();
    let stats = database.engine().table_stats();
    let mut violations = Vec::new();
    for (table, rule) in expecting {
        let newest_ns = snapshot.extent(table).map(|extent| extent.max_ns);
        let completeness = match asks(&parsed(&rule.expression)?, COMPLETENESS) {
            true => completeness(table, session, now_ns).await?,
            false => None,
        };
        let seen = Seen {
            completeness,
            freshness_ns: newest_ns.map(|newest_ns| now_ns.saturating_sub(newest_ns).max(0)),
            series: stats.iter().find(|stats| stats.name == *table).map_or(0, |stats| stats.series),
        };
        let text = query_of(parsed(&rule.expression)?, seen);
        let answer = session.rows_of(&text, now_ns).await;
        let is_violated = answer.map_or(true, |batches| {
            let first = batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| batch.column(0));
            first.and_then(|column| column.as_boolean_opt()).is_some_and(|value| value.is_valid(0) && !value.value(0))
        });
        let violation = database.quality().tallies.look(table, &rule.name, is_violated, now_ns);
        violations.extend(violation.map(|violation| (table.clone(), violation)));
    }
    if violations.is_empty() {
        return Ok(());
    }
    blocking(move || {
        let mut write = database.engine().begin_internal_write()?;
        for (table, violation) in &violations {
            write.add(&violation.point(table))?;
        }
        write.commit()?;
        Ok(())
    })
    .await
}
