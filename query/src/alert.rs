//! Alerts: what is done about what is wrong.
//!
//! ```text
//!  tick(now) ─► due: which alerts have complete buckets ─► evaluate: rows of each bucket, WHEN true or not
//!                                                               │
//!            machine, for each instance: pending, firing, ... ◄─┘
//!                 │ steps
//!                 ▼
//!   one transaction: state, events ─► suppression ─► incident ─► escalation ─► outbox (sys.delivery) ─► server
//! ```
//!
//! Time comes in as an argument and nothing is sent from here: the same code runs under a clock, in tests with virtual time, and
//! in a program that embeds the database. Whoever runs it calls [`Database::tick`] and delivers what [`Database::deliveries`] gives.
//!
//! Invariants
//! - A bucket is looked at once, when it is complete; its steps and all that follows of them are durable together.
//! - What stops notifications never stops evaluation, and a state that is over is over, suppressed or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;

use crate::analysis::duration::Span;
use crate::catalog::{Definitions, Object};
use crate::dialect::{Alert, Definition, Kind};
use crate::{Database, Error, Result};

mod backtest;
mod calls;
mod escalation;
mod evaluate;
mod explain;
mod incident;
mod internal;
mod known_error;
pub(crate) mod machine;
mod outbox;
mod priority;
mod replay;
mod run;
mod schedule;
mod story;
mod suppress;
mod threshold;
mod watermark;

pub(crate) use backtest::{dry_run, dry_run_notice, relation as backtest};
pub(crate) use calls::Procedure;
pub(crate) use escalation::check as check_policy;
pub(crate) use evaluate::check;
pub(crate) use explain::relation as explain;
pub(crate) use known_error::{KnownError, Seen, like};
pub use outbox::{Delivery, Settled, SinkOptions};
pub(crate) use run::Alerts;
pub use run::Tick;
pub(crate) use watermark::Watermarks;

use machine::{Instance, Missing, Rule};

/// Who is at work when nobody is.
pub(crate) const ACTOR: &str = "plimsoll";

/// The dimensions of an instance, by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// The instances of an alert that are more than inactive, or were.
pub(crate) type Instances = BTreeMap<Labels, Tracked>;

/// An instance, and what there is to say of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tracked {
    pub(crate) instance: Instance,
    /// Numbers of the last row for which the condition was true, or of the last one.
    pub(crate) values: BTreeMap<String, f64>,
    pub(crate) severity: Option<String>,
    pub(crate) incident_id: Option<i64>,
    pub(crate) suppressed_by: Option<String>,
    /// Its row in `ops.alert`.
    pub(crate) number: Option<u64>,
}

/// An alert with its options read.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) object: Arc<Object>,
    pub(crate) rule: Rule,
    /// The tier of its service; the least without one.
    pub(crate) tier: u8,
    pub(crate) ticket: Ticket,
    /// How often it is evaluated; 0 for each complete bucket.
    pub(crate) every_ns: i64,
    /// How much later than their time rows may come.
    pub(crate) lateness_ns: i64,
    /// How long a source may be silent before the clock counts instead of its rows.
    pub(crate) idle_ns: i64,
    pub(crate) group_wait_ns: i64,
    pub(crate) group_interval_ns: i64,
    pub(crate) repeat_ns: i64,
    pub(crate) reopen_ns: i64,
    pub(crate) correlation_ns: i64,
    /// Older changes open no incident.
    pub(crate) age_max_ns: i64,
    pub(crate) inhibited: bool,
    /// The KPI whose relation it reads.
    pub(crate) kpi: Option<String>,
}

/// What an alert opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ticket {
    Incident,
    ActionPlan,
    Problem,
    None,
}

impl Watch {
    /// Reads an alert.
    ///
    /// # Errors
    /// [`Error::Definition`], KP003 for a length of time that is none.
    pub(crate) fn new(object: &Arc<Object>, definitions: &Definitions) -> Result<Watch> {
        let alert = of(object)?;
        let span = |name: &str, default: &str| span_ns(name, alert.option_text(name).unwrap_or(default));
        let clause = |name: &str, text: &Option<String>| match text {
            Some(text) => span_ns(name, text),
            None => Ok(0),
        };
        let kpi = crate::relation::kpi_of(&alert.query.text);
        let step_ns = crate::relation::step_of(&alert.query.text, definitions).unwrap_or(0);
        let kpi_option = |name: &str| {
            let object = definitions.find(Kind::Kpi, kpi.as_deref()?)?;
            object.definition.option_text(name).map(str::to_owned)
        };
        let on_missing = alert.option_text("on_missing").map(str::to_owned).or_else(|| kpi_option("on_missing"));
        let idle_ns =
            kpi_option("idle_after").map_or(Ok((2 * step_ns).max(MINUTE_NS)), |t| span_ns("idle_after", &t))?;
        let lateness_ns = kpi_option("lateness").map_or(Ok(0), |text| span_ns("lateness", &text))?;
        let service = alert.service.as_deref().and_then(|name| definitions.find(Kind::Service, name));
        let tier = service.map_or(crate::dialect::TIER_MAX, |object| match &object.definition {
            Definition::Service(service) => service.tier,
            _ => crate::dialect::TIER_MAX,
        });
        let clear_hold = alert.clear.as_ref().and_then(|clear| clear.hold.clone());
        let flap_max = alert.option_text("flap_max").and_then(|text| text.parse().ok()).unwrap_or(FLAP_MAX);
        let every_ns = match alert.option_text("evaluate") {
            // Functions tell of months; without buckets there would be something new at each look.
            None | Some("on_watermark") if step_ns == 0 && asks_functions(&alert.query.text) => MINUTE_NS,
            None | Some("on_watermark") => 0,
            Some(text) => span_ns("evaluate", text)?,
        };
        Ok(Watch {
            object: object.clone(),
            rule: Rule {
                step_ns,
                hold_ns: clause("FOR", &alert.hold)?,
                clear_hold_ns: clause("FOR", &clear_hold)?,
                keep_firing_ns: clause("KEEP FIRING FOR", &alert.keep_firing)?,
                flap_max,
                on_missing: match on_missing.as_deref() {
                    Some("hold") => Missing::Hold,
                    Some("bad") => Missing::Bad,
                    Some("good") => Missing::Good,
                    _ => Missing::Unknown,
                },
            },
            tier,
            ticket: match alert.option_text("ticket") {
                Some("action_plan") => Ticket::ActionPlan,
                Some("problem") => Ticket::Problem,
                Some("none") => Ticket::None,
                _ => Ticket::Incident,
            },
            every_ns,
            lateness_ns,
            idle_ns,
            group_wait_ns: span("group_wait", "0 s")?,
            group_interval_ns: span("group_interval", "5 min")?,
            repeat_ns: span("repeat", "4 hours")?,
            reopen_ns: span("reopen_window", "30 min")?,
            correlation_ns: span("correlation_window", "5 min")?,
            age_max_ns: span("max_alert_age", "1 hour")?,
            inhibited: alert.option_text("inhibit") == Some("upstream"),
            kpi,
        })
    }

    pub(crate) fn alert(&self) -> &Alert {
        match &self.object.definition {
            Definition::Alert(alert) => alert,
            _ => unreachable!("it was read as one"),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.object.name
    }

    pub(crate) fn service(&self) -> Option<&str> {
        self.alert().service.as_deref()
    }

    /// False for an alert that is switched off, or that has had a dry run and was not armed since.
    pub(crate) fn is_enabled(&self) -> bool {
        self.alert().option_text("enabled") != Some("false") && self.alert().option_text(DRY_RUN).is_none()
    }

    /// What instances share an incident: the option `dedup_key`, with `{alert}`, `{service}`, `{kpi}` and dimensions in it; the
    /// alert's name without.
    pub(crate) fn key(&self, labels: &Labels) -> String {
        let Some(pattern) = self.alert().option_text("dedup_key") else { return self.name().to_owned() };
        // A dimension of the same name says more than the definition does.
        let named =
            labels.iter().fold(pattern.to_owned(), |key, (name, value)| key.replace(&format!("{{{name}}}"), value));
        let key = named.replace("{alert}", self.name());
        let key = key.replace("{service}", self.service().unwrap_or_default());
        key.replace("{kpi}", self.kpi.as_deref().unwrap_or_default())
    }
}

/// The option of an alert that only shows what it would have done, and over which time.
pub(crate) const DRY_RUN: &str = "dry_run";

/// How often an instance may begin to fire within an hour when the alert does not say.
const FLAP_MAX: usize = 6;

const MINUTE_NS: i64 = 60_000_000_000;

/// A length of time in nanoseconds; months count 30 days.
fn span_ns(name: &str, text: &str) -> Result<i64> {
    let refused = |why: String| Error::definition("KP003", format!("\"{name}\": {why}"));
    // At once is a length of time here, in any unit.
    if let Some(unit) = text.trim().strip_prefix('0')
        && (unit.trim().is_empty() || Span::parse(&format!("1{unit}")).is_ok())
    {
        return Ok(0);
    }
    let span = Span::parse(text).map_err(refused)?;
    match span.about_ns() {
        Some(ns) if ns >= 0 => Ok(ns),
        _ => Err(refused(format!("'{text}' is no length of time"))),
    }
}

fn asks_functions(text: &str) -> bool {
    let statements = crate::parse(text).unwrap_or_default();
    let query = statements.first().and_then(|statement| match statement.ast() {
        Some(ast::Statement::Query(query)) => Some(query),
        _ => None,
    });
    query.is_some_and(|query| crate::catalog::asks_functions(query))
}

fn of(object: &Object) -> Result<&Alert> {
    match &object.definition {
        Definition::Alert(alert) => Ok(alert),
        _ => Err(Error::Internal("an alert that is none".to_owned())),
    }
}

/// The session in which alerts are evaluated.
pub(crate) fn session(database: &Database) -> crate::Session {
    let mut session = database.session();
    session.set_name("alerts");
    session.set_user(ACTOR);
    session
}

/// The anomaly score from which a point of a service counts.
///
/// # Errors
/// [`Error::UndefinedObject`], and KP003 when there is no policy for its tier.
pub(crate) fn tier_threshold(service: &str, definitions: &Definitions, database: &Database) -> Result<f64> {
    let Definition::Service(found) = &definitions.get(Kind::Service, service)?.definition else {
        return Err(Error::Internal("a service that is none".to_owned()));
    };
    let table = crate::ops::incident::built_in("tier_policy")?;
    let held = database.ops().held(table);
    let policy = held.find(&["tier"], &[crate::ops::Value::Integer(i64::from(found.tier))]);
    let score = policy.and_then(|(_, row)| crate::ops::Named::new(table, row).number("score"));
    score.ok_or_else(|| {
        let what = format!("there is no policy for tier {}, which is that of service \"{service}\"", found.tier);
        Error::definition("KP003", what).hinted("INSERT INTO ops.tier_policy has one.")
    })
}
