//! What definitions compute, as relations: `kpi.NAME`, `slo.NAME`, `sla.NAME`, and functions that ask of them.
//!
//! ```text
//! definition ─► plan of its query ─► kpi      the query's columns and more, a plan like any view
//!                                    baseline the KPI's rows in order, scored one after the other    ┐ computed in whole
//!                                    slo      sums over windows, exact                                ├ when they are read
//!                                    sla      the SLOs of each reporting period                       ┘ (`Computed`)
//! ```

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{LogicalPlan, TableSource};
use datafusion::sql::sqlparser::ast;

mod baseline;
mod computed;
mod filled;
mod functions;
mod gaps;
mod kpi;
mod promise;
mod sla;
mod slo;
mod slot;
mod step;

pub(crate) use baseline::{Course, FIELDS as VERDICT, Models, Scoring, in_order, settings as baseline_settings};
pub(crate) use computed::{Computed, external, narrowed, session_state};
pub(crate) use functions::{
    SCALARS, asks_of, check_may_ask, evaluation, function, is_function, reader_of, reads_as_asked,
};
pub(crate) use kpi::{Measure, Shape, TIME, dimensions, known, share};
pub(crate) use promise::{calendar_of, check_slo, periods_of};
pub(crate) use sla::{due as sealing, period_start};
pub(crate) use slot::slot;
pub(crate) use step::{known_step_ns as known_step_of, step_ns as step_ns_of, step_of};

use crate::catalog::{Definitions, Object, plan_query};
use crate::dialect::{Baseline, Definition, Kind, Kpi, Query};
use crate::lower::Lowering;
use crate::{Error, OutputColumn, Result};

/// The relation that an object is read as.
///
/// # Errors
/// [`Error::UndefinedTable`] where there is none, and whatever has become wrong with its query.
pub(crate) fn source(lowering: &Lowering<'_>, kind: Kind, name: &str) -> Result<Arc<dyn TableSource>> {
    let missing = || Error::UndefinedTable { name: format!("{}.{name}", kind.word()), position: None, hint: None };
    let object = lowering.definitions.find(kind, name).ok_or_else(missing)?;
    match &object.definition {
        Definition::Kpi(kpi) => {
            let (live, shape) = kpi::live(object, kpi, lowering)?;
            let plan = crate::maintained::read(object, live.clone(), &shape, lowering)?;
            let rows = match baseline_of(name, lowering.definitions) {
                Some((its, baseline)) => {
                    let scoring = Arc::new(Scoring::new(&live, &shape, kpi, baseline, lowering)?);
                    let whole = baseline::relation(plan, &shape, kpi, &scoring)?;
                    let kept = crate::maintained::scored(object, its.version, live, &shape, whole, scoring, lowering);
                    provider_as_source(kept)
                }
                None => provider_as_source(Arc::new(ViewTable::new(plan, Some(object.text())))),
            };
            let rows = crate::quality::marked(object, kpi, rows, lowering)?;
            filled::filled(object, kpi, &shape, rows, lowering)
        }
        Definition::Slo(slo) => Ok(computed(slo::relation(object, slo, lowering)?)),
        Definition::Sla(sla) => Ok(computed(sla::relation(object, sla, sla::Asked::default(), lowering)?)),
        _ => Err(missing()),
    }
}

/// The columns of the relation that an object is read as, without those that a baseline adds; none where it is no relation.
///
/// # Errors
/// Whatever is wrong with its query.
pub(crate) fn columns(object: &Object, lowering: &Lowering<'_>) -> Result<Vec<(String, DataType)>> {
    let schema = match &object.definition {
        Definition::Kpi(kpi) => kpi::plan(object, kpi, lowering)?.0.schema().inner().clone(),
        Definition::Slo(slo) => slo::relation(object, slo, lowering)?.schema(),
        Definition::Sla(sla) => sla::relation(object, sla, sla::Asked::default(), lowering)?.schema(),
        _ => return Ok(Vec::new()),
    };
    Ok(schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect())
}

/// True for a KPI that has a baseline.
pub(crate) fn has_baseline(name: &str, kind: Kind, definitions: &Definitions) -> bool {
    kind == Kind::Kpi && baseline::of(name, definitions).is_some()
}

/// The baseline of a KPI, and its object.
pub(crate) fn baseline_of<'a>(kpi: &str, definitions: &'a Definitions) -> Option<(&'a Object, &'a Baseline)> {
    let baseline = baseline::of(kpi, definitions)?;
    Some((definitions.find(Kind::Baseline, &baseline.name)?.as_ref(), baseline))
}

/// The columns that a baseline adds to its KPI's.
pub(crate) fn baseline_columns() -> Vec<(String, DataType)> {
    baseline::FIELDS.iter().map(|(name, data_type)| ((*name).to_owned(), data_type.clone())).collect()
}

/// The plans that a computed relation reads.
pub(crate) fn inputs(source: &Arc<dyn TableSource>) -> Vec<LogicalPlan> {
    let Ok(provider) = source_as_provider(source) else { return Vec::new() };
    let any: &dyn std::any::Any = provider.as_ref();
    let computed = any.downcast_ref::<Computed>().map(|computed| computed.inputs().to_vec());
    computed.or_else(|| Some(vec![crate::maintained::live(any)?.clone()])).unwrap_or_default()
}

/// The KPI whose relation a query reads first.
pub(crate) fn kpi_of(text: &str) -> Option<String> {
    let statements = crate::parse(text).ok()?;
    let Some(ast::Statement::Query(query)) = statements.first()?.ast() else { return None };
    crate::catalog::relations(query).into_iter().find_map(|read| match read {
        crate::catalog::Reference::Object(Kind::Kpi, name) => Some(name),
        _ => None,
    })
}

/// Checks what a KPI means beyond its query.
///
/// # Errors
/// [`Error::Definition`], KP003 for options that mean nothing, KP007 where the width of buckets has to be known and is not.
pub(crate) fn check_kpi(object: &Object, kpi: &Kpi, lowering: &Lowering<'_>) -> Result<()> {
    let (_, shape) = kpi::plan(object, kpi, lowering)?;
    filled::check(kpi, &shape, lowering)?;
    if let Some(text) = kpi.option_text("contributors") {
        contributors(text)?;
    }
    if kpi.option_text("counter_kpi") == Some(kpi.name.as_str()) {
        return Err(Error::definition("KP003", "a KPI does not counter itself"));
    }
    Ok(())
}

/// Services and their weights, from the option `contributors`.
///
/// # Errors
/// [`Error::Definition`], KP003.
pub(crate) fn contributors(text: &str) -> Result<std::collections::BTreeMap<String, f64>> {
    let refused = |why: String| {
        Error::definition("KP003", format!("option \"contributors\": {why}"))
            .hinted("It is JSON of services and their weights, such as '{\"payments\": 2, \"cart\": 1}'.")
    };
    let weights: std::collections::BTreeMap<String, f64> =
        serde_json::from_str(text).map_err(|why| refused(why.to_string()))?;
    match weights.iter().find(|(_, weight)| **weight <= 0.0) {
        Some((name, weight)) => Err(refused(format!("the weight {weight} of \"{name}\" is not above 0"))),
        None if weights.is_empty() => Err(refused("it names no service".to_owned())),
        None => Ok(weights),
    }
}

/// Plans the query of an alert, to see that it still can be.
///
/// # Errors
/// Whatever is wrong with it.
pub(crate) fn check_query(query: &Query, lowering: &Lowering<'_>) -> Result<()> {
    plan_text(query, lowering).map(|_| ())
}

fn computed(relation: Computed) -> Arc<dyn TableSource> {
    provider_as_source(Arc::new(relation))
}

/// Plans the query of a definition. Positions in errors count along the statement that defines it.
pub(crate) fn plan_text(query: &Query, lowering: &Lowering<'_>) -> Result<(LogicalPlan, Vec<OutputColumn>)> {
    let planned = || {
        let statements = crate::parse(&query.text)?;
        match statements.as_slice() {
            [statement] => match statement.ast() {
                Some(ast::Statement::Query(parsed)) => {
                    plan_query(parsed, lowering).map_err(|error| crate::lower::locate(error, &**parsed))
                }
                _ => Err(Error::definition("KP001", "a definition is made AS SELECT ...")),
            },
            _ => Err(Error::definition("KP001", "a definition has one query")),
        }
    };
    planned().map_err(|error| error.shifted(query.offset))
}
