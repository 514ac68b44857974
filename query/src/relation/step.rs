//! The width of a KPI's buckets, read from its query.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, SelectItem, SetExpr, Value, visit_expressions,
};

use crate::analysis::duration::Span;
use crate::catalog::Definitions;
use crate::dialect::{Definition, Kind, Kpi, Slo};
use crate::lower::{folded, item_name};
use crate::{Error, Result};

use super::kpi::TIME;

/// The width of a KPI's buckets in nanoseconds: its option `step`, or the first argument of the `time_bucket`, `date_bin` or
/// `date_trunc` that its column `time` is, or that of the KPI that it reads. `None` when none of them tells, and for months.
pub(crate) fn step_ns(kpi: &Kpi, definitions: &Definitions) -> Option<i64> {
    step_within(kpi, definitions, 0)
}

/// The same for what cannot do without.
///
/// # Errors
/// [`Error::Definition`], KP007 when it is not known.
pub(crate) fn known_step_ns(kpi: &Kpi, definitions: &Definitions) -> Result<i64> {
    step_ns(kpi, definitions).ok_or_else(|| {
        Error::definition("KP007", format!("the width of the buckets of KPI \"{}\" is not known", kpi.name))
            .hinted("Give the KPI WITH (step = '1 min'), or a time_bucket of fixed width as its time.")
    })
}

/// Deepest chain of KPIs that is followed.
const DEPTH_MAX: usize = 16;

fn step_within(kpi: &Kpi, definitions: &Definitions, depth: usize) -> Option<i64> {
    if let Some(text) = kpi.option_text("step") {
        return Span::parse(text).ok()?.fixed_ns();
    }
    step_of_query(&kpi.query.text, definitions, depth)
}

/// The width of the buckets that a query gives, likewise.
pub(crate) fn step_of(text: &str, definitions: &Definitions) -> Option<i64> {
    step_of_query(text, definitions, 0)
}

fn step_of_query(text: &str, definitions: &Definitions, depth: usize) -> Option<i64> {
    let statements = crate::parse(text).ok()?;
    let Some(ast::Statement::Query(query)) = statements.first()?.ast() else { return None };
    let SetExpr::Select(select) = &*query.body else { return None };
    let time = select.projection.iter().find(|item| item_name(item).as_deref() == Some(TIME))?;
    let (SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr)) = time else { return None };
    let mut width = None;
    let _all_were_seen = visit_expressions(expr, |expr| match bucket_width(expr) {
        Some(found) => {
            width = Some(found);
            ControlFlow::Break(())
        }
        None => ControlFlow::Continue(()),
    });
    if width.is_some() || depth >= DEPTH_MAX {
        return width;
    }
    crate::catalog::relations(query).into_iter().find_map(|read| match read {
        crate::catalog::Reference::Object(Kind::Kpi, name) => match &definitions.find(Kind::Kpi, &name)?.definition {
            Definition::Kpi(inner) => step_within(inner, definitions, depth + 1),
            _ => None,
        },
        crate::catalog::Reference::Object(Kind::Slo, name) => match &definitions.find(Kind::Slo, &name)?.definition {
            Definition::Slo(inner) => match (inner.options.text("step"), inner.options.text("budgeting")) {
                (Some(text), _) => Span::parse(text).ok()?.fixed_ns(),
                (None, Some("timeslices" | "ratio_timeslices")) => {
                    Span::parse(inner.options.text("slice").unwrap_or(Slo::SLICE)).ok()?.fixed_ns()
                }
                _ => step_of_query(&inner.query.text, definitions, depth + 1),
            },
            _ => None,
        },
        _ => None,
    })
}

/// The width that a call cuts time into.
fn bucket_width(expr: &Expr) -> Option<i64> {
    let Expr::Function(function) = expr else { return None };
    let name = function.name.0.last()?.as_ident().map(folded)?;
    let FunctionArguments::List(arguments) = &function.args else { return None };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(first)) = arguments.args.first()? else { return None };
    let text = text_of(first)?;
    match name.as_str() {
        "time_bucket" | "date_bin" | "time_bucket_gapfill" => Span::parse(&text).ok()?.fixed_ns(),
        "date_trunc" => Span::parse(&format!("1 {text}")).ok()?.fixed_ns(),
        _ => None,
    }
}

fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        Expr::Interval(interval) => {
            let text = text_of(&interval.value)?;
            Some(match &interval.leading_field {
                Some(unit) => format!("{text} {}", unit.to_string().to_lowercase()),
                None => text,
            })
        }
        Expr::Cast { expr, .. } | Expr::Nested(expr) => text_of(expr),
        _ => None,
    }
}
