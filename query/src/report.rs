//! What is asked after the number: whose turn it is, whether the promise was kept, what comes again and what it costs.
//!
//! All of it is SQL over `ops.*`, `slo.*` and `sla.*`: views with texts of ours, and functions whose arguments are put into such
//! texts. What SQL cannot say, since it depends on what is defined, is said when the text is made.

use std::sync::Arc;

use datafusion::catalog::TableProvider;

use crate::Result;
use crate::dialect::Query;
use crate::lower::Lowering;
use crate::relation::{Computed, plan_text};

mod conflict;
mod downtime;
mod functions;
mod known_error;
mod periods;

mod seal;
mod signal;
mod snapshot;
mod study;
mod views;

pub(crate) use conflict::{attribution, counter_conflict};
pub(crate) use functions::{chronic, incident_report, packet};
pub(crate) use known_error::matches;
pub(crate) use periods::{breaches, contract};
pub(crate) use seal::take as seal;
pub(crate) use signal::{aliasing, decommission, significant};
pub(crate) use snapshot::take as keep;
pub(crate) use study::{
    backtest_baseline, baseline_explain, benchmark, change_impact, downtime_cost, kpi_conflict, suggest_target,
};
pub(crate) use views::{VIEWS, source};

/// What a text of SQL gives, in its order.
///
/// # Errors
/// Whatever has become wrong with the definitions that it reads.
fn planned(name: &str, text: String, lowering: &Lowering<'_>) -> Result<Arc<dyn TableProvider>> {
    let (plan, _) = plan_text(&Query { text, offset: 0 }, lowering)?;
    Ok(Arc::new(Computed::ordered(name, lowering.analyze(plan)?)))
}
