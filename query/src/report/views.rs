//! Views for roles, in the schema `ops`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::catalog::TableProvider;

use super::downtime::seconds_open;
use crate::Result;
use crate::catalog::Definitions;
use crate::dialect::{Definition, Kind, quoted, text_literal};
use crate::lower::Lowering;

/// A view that is built in.
#[derive(Debug)]
pub(crate) struct BuiltInView {
    pub(crate) name: &'static str,
    /// What a row of it is.
    pub(crate) about: &'static str,
    /// Its columns, by name and type.
    columns: &'static [(&'static str, Shape)],
    text: fn(&Definitions) -> String,
}

/// The types that columns of such views have.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Text,
    Integer,
    Float,
    Time,
    Length,
}

use Shape::{Float, Integer, Length, Text, Time};

impl BuiltInView {
    /// Its columns, by name and type.
    pub(crate) fn columns(&self, time_zone: &str) -> Vec<(String, DataType)> {
        let data_type = |shape| match shape {
            Text => DataType::Utf8,
            Integer => DataType::Int64,
            Float => DataType::Float64,
            Time => DataType::Timestamp(TimeUnit::Nanosecond, Some(time_zone.into())),
            Length => DataType::Interval(IntervalUnit::MonthDayNano),
        };
        self.columns.iter().map(|(name, shape)| ((*name).to_owned(), data_type(*shape))).collect()
    }

    /// The query that it stands for.
    pub(crate) fn text(&self, definitions: &Definitions) -> String {
        (self.text)(definitions)
    }
}

/// The relation of a view; `None` where there is none of that name.
///
/// # Errors
/// Whatever has become wrong with the definitions that it reads.
pub(crate) fn source(name: &str, lowering: &Lowering<'_>) -> Option<Result<Arc<dyn TableProvider>>> {
    let view = VIEWS.iter().find(|view| view.name == name)?;
    Some(super::planned(view.name, view.text(lowering.definitions), lowering))
}

pub(crate) const VIEWS: &[BuiltInView] = &[
    BuiltInView {
        name: "v_frontline",
        about: "what is to be done now: an open incident, the most urgent first",
        columns: &[
            ("id", Integer),
            ("priority", Integer),
            ("service", Text),
            ("title", Text),
            ("state", Text),
            ("assignee", Text),
            ("opened_at", Time),
            ("age", Length),
            ("next_escalation", Time),
            ("next_notify", Text),
            ("budget_remaining", Float),
            ("breach_at", Time),
            ("known_error_id", Integer),
            ("workaround", Text),
        ],
        text: |_| {
            "SELECT i.id, i.priority, i.service, i.title, i.state, i.assignee, i.opened_at, (now() - i.opened_at)::interval AS age, \
             e.due_at AS next_escalation, e.notify AS next_notify, i.budget_remaining, b.breach_at, i.known_error_id, k.workaround \
             FROM ops.incident AS i \
             LEFT JOIN (SELECT incident_id, min(due_at) AS due_at, first(notify, due_at) AS notify FROM ops.escalation \
               WHERE state = 'waiting' GROUP BY incident_id) AS e ON e.incident_id = i.id \
             LEFT JOIN (SELECT service, min(exhausted_at) AS breach_at FROM ops.v_slo GROUP BY service) AS b ON b.service = i.service \
             LEFT JOIN ops.known_error AS k ON k.id = i.known_error_id \
             WHERE i.state NOT IN ('resolved', 'closed') ORDER BY i.priority, i.opened_at, i.id"
                .to_owned()
        },
    },
    BuiltInView {
        name: "v_slo",
        about: "how an SLO stands now",
        columns: &[
            ("service", Text),
            ("slo", Text),
            ("time", Time),
            ("sli", Float),
            ("objective", Float),
            ("budget_remaining", Float),
            ("burn_rate", Float),
            ("status", Text),
            ("exhausted_at", Time),
        ],
        text: slos,
    },
    BuiltInView {
        name: "v_sla",
        about: "what an SLA came to in a period, target by target",
        columns: &[
            ("sla", Text),
            ("customer", Text),
            ("period_start", Time),
            ("period_end", Time),
            ("target", Text),
            ("attained", Float),
            ("required", Float),
            ("status", Text),
            ("coverage", Float),
            ("credit", Float),
        ],
        text: slas,
    },
    BuiltInView {
        name: "v_manager",
        about: "whether a service keeps what was promised, and who must act",
        columns: &[
            ("service", Text),
            ("tier", Integer),
            ("owner", Text),
            ("slos", Integer),
            ("slos_met", Integer),
            ("least_budget", Float),
            ("worst_burn_rate", Float),
            ("open_incidents", Integer),
            ("worst_priority", Integer),
            ("incidents_30d", Integer),
            ("mtta_30d", Length),
            ("mttr_30d", Length),
            ("open_plans", Integer),
            ("plans_overdue", Integer),
            ("open_problems", Integer),
        ],
        text: |_| {
            "SELECT s.name AS service, s.tier, s.owner, COALESCE(o.slos, 0) AS slos, COALESCE(o.slos_met, 0) AS slos_met, o.least_budget, \
             o.worst_burn_rate, COALESCE(i.open_incidents, 0) AS open_incidents, i.worst_priority, \
             COALESCE(h.incidents_30d, 0) AS incidents_30d, h.mtta_30d, h.mttr_30d, COALESCE(p.open_plans, 0) AS open_plans, \
             COALESCE(p.plans_overdue, 0) AS plans_overdue, COALESCE(r.open_problems, 0) AS open_problems \
             FROM ops.service AS s \
             LEFT JOIN (SELECT service, count(*) AS slos, count(*) FILTER (WHERE status IN ('ok', 'burning')) AS slos_met, \
               min(budget_remaining) AS least_budget, max(burn_rate) AS worst_burn_rate FROM ops.v_slo GROUP BY service) AS o \
               ON o.service = s.name \
             LEFT JOIN (SELECT service, count(*) AS open_incidents, min(priority) AS worst_priority FROM ops.incident \
               WHERE state NOT IN ('resolved', 'closed') GROUP BY service) AS i ON i.service = s.name \
             LEFT JOIN (SELECT service, count(*) AS incidents_30d, mtta(opened_at, acknowledged_at) AS mtta_30d, \
               mttr(opened_at, resolved_at) AS mttr_30d FROM ops.incident WHERE opened_at > now() - INTERVAL '30 days' \
               GROUP BY service) AS h ON h.service = s.name \
             LEFT JOIN (SELECT service, count(*) AS open_plans, count(*) FILTER (WHERE due_at < now()) AS plans_overdue \
               FROM ops.action_plan WHERE state = 'open' GROUP BY service) AS p ON p.service = s.name \
             LEFT JOIN (SELECT service, count(*) AS open_problems FROM ops.problem WHERE state NOT IN ('resolved', 'closed') \
               GROUP BY service) AS r ON r.service = s.name ORDER BY s.tier, s.name"
                .to_owned()
        },
    },
    BuiltInView {
        name: "v_exec",
        about: "what a service that does not work has cost in the last 30 days, and in the 30 days before",
        columns: &[
            ("service", Text),
            ("tier", Integer),
            ("minutes_down", Float),
            ("minutes_down_before", Float),
            ("cost", Float),
            ("cost_before", Float),
            ("currency", Text),
            ("trend", Text),
            ("incidents", Integer),
            ("sla_breaches", Integer),
        ],
        text: |_| {
            let minutes = |from: &str, to: &str| {
                let open = seconds_open("i.service", from, to, "i.service IS NOT NULL");
                format!("(SELECT of AS service, seconds / 60 AS minutes FROM ({open}) AS open)")
            };
            let (now, month, before) = ("now()", "now() - INTERVAL '30 days'", "now() - INTERVAL '60 days'");
            format!(
                "SELECT s.name AS service, s.tier, COALESCE(m.minutes, 0) AS minutes_down, COALESCE(e.minutes, 0) AS minutes_down_before, \
                 COALESCE(m.minutes, 0) * s.cost_per_minute::float8 AS cost, COALESCE(e.minutes, 0) * s.cost_per_minute::float8 AS cost_before, \
                 s.currency, CASE WHEN COALESCE(m.minutes, 0) > COALESCE(e.minutes, 0) THEN 'worse' \
                 WHEN COALESCE(m.minutes, 0) < COALESCE(e.minutes, 0) THEN 'better' ELSE 'same' END AS trend, \
                 COALESCE(i.incidents, 0) AS incidents, COALESCE(b.breaches, 0) AS sla_breaches FROM ops.service AS s \
                 LEFT JOIN {} AS m ON m.service = s.name LEFT JOIN {} AS e ON e.service = s.name \
                 LEFT JOIN (SELECT service, count(*) FILTER (WHERE opened_at > {month}) AS incidents \
                 FROM ops.incident GROUP BY service) AS i ON i.service = s.name \
                 LEFT JOIN (SELECT o.service, count(*) AS breaches FROM ops.v_sla AS a JOIN ops.v_slo AS o ON o.slo = a.target \
                 WHERE a.status = 'breach' AND a.period_end > {month} GROUP BY o.service) AS b ON b.service = s.name \
                 ORDER BY cost DESC NULLS LAST, minutes_down DESC, s.name",
                minutes(month, now),
                minutes(before, month)
            )
        },
    },
    BuiltInView {
        name: "service_health",
        about: "all there is to weigh of a service: whether it keeps its promises, what breaks, what that costs",
        columns: &[
            ("service", Text),
            ("tier", Integer),
            ("owner", Text),
            ("slos", Integer),
            ("slos_met", Integer),
            ("least_budget", Float),
            ("sla_breaches", Integer),
            ("incidents_30d", Integer),
            ("minutes_down", Float),
            ("cost", Float),
            ("currency", Text),
            ("trend", Text),
            ("open_plans", Integer),
            ("open_problems", Integer),
            ("dependents", Integer),
        ],
        text: |_| {
            "SELECT m.service, m.tier, m.owner, m.slos, m.slos_met, m.least_budget, e.sla_breaches, m.incidents_30d, e.minutes_down, \
             e.cost, e.currency, e.trend, m.open_plans, m.open_problems, COALESCE(d.dependents, 0) AS dependents \
             FROM ops.v_manager AS m JOIN ops.v_exec AS e ON e.service = m.service \
             LEFT JOIN (SELECT depends_on, count(*) AS dependents FROM ops.service_edge GROUP BY depends_on) AS d \
               ON d.depends_on = m.service ORDER BY m.tier, m.service"
                .to_owned()
        },
    },
    BuiltInView {
        name: "remediation_rank",
        about: "what is best mended first: what comes again and again and costs most",
        columns: &[
            ("service", Text),
            ("key", Text),
            ("problem_id", Integer),
            ("recurrences", Integer),
            ("minutes", Float),
            ("cost", Float),
            ("score", Float),
            ("last_opened_at", Time),
        ],
        text: |_| {
            "SELECT i.service, i.key, i.problem_id, i.recurrences, i.minutes, i.minutes * s.cost_per_minute::float8 AS cost, \
             i.minutes * COALESCE(s.cost_per_minute::float8, 1) * i.recurrences AS score, i.last_opened_at \
             FROM (SELECT service, key, max(problem_id) AS problem_id, count(*) + sum(reopened)::bigint AS recurrences, \
               sum(extract(epoch FROM COALESCE(resolved_at, now()) - opened_at)) / 60 AS minutes, max(opened_at) AS last_opened_at \
               FROM ops.incident GROUP BY service, key) AS i LEFT JOIN ops.service AS s ON s.name = i.service \
             ORDER BY score DESC NULLS LAST, i.key"
                .to_owned()
        },
    },
    BuiltInView {
        name: "v_noise",
        about: "how much of what an alert says is worth hearing",
        columns: &[
            ("alert", Text),
            ("fired", Integer),
            ("suppressed", Integer),
            ("incidents", Integer),
            ("never_taken_up", Integer),
            ("noise_ratio", Float),
        ],
        text: |_| {
            "SELECT e.alert, e.fired, e.suppressed, COALESCE(i.incidents, 0) AS incidents, COALESCE(i.never_taken_up, 0) AS never_taken_up, \
             COALESCE(i.never_taken_up, 0)::float8 / NULLIF(i.incidents, 0) AS noise_ratio \
             FROM (SELECT alert, count(*) FILTER (WHERE event = 'firing') AS fired, count(*) FILTER (WHERE event = 'suppressed') AS suppressed \
               FROM ops.alert_event GROUP BY alert) AS e \
             LEFT JOIN (SELECT alert, count(*) AS incidents, count(*) FILTER (WHERE acknowledged_at IS NULL AND resolved_at IS NOT NULL) \
               AS never_taken_up FROM ops.incident GROUP BY alert) AS i ON i.alert = e.alert ORDER BY noise_ratio DESC NULLS LAST, e.alert"
                .to_owned()
        },
    },
];

/// The SLOs that are defined, each as it stands now.
fn slos(definitions: &Definitions) -> String {
    let one = |object: &Arc<crate::catalog::Object>| {
        let Definition::Slo(slo) = &object.definition else { return None };
        let (name, literal) = (quoted(&slo.name), text_literal(&slo.name));
        let service = slo.service.as_deref().map_or("NULL::text".to_owned(), text_literal);
        Some(format!(
            "SELECT {service} AS service, {literal} AS slo, l.time, l.sli, l.objective, \
             l.budget_remaining, l.burn_rate, l.status, b.exhausted_at \
             FROM (SELECT * FROM slo.{name} ORDER BY time DESC LIMIT 1) AS l CROSS JOIN error_budget({literal}) AS b"
        ))
    };
    let all: Vec<String> = definitions.of_kind(Kind::Slo).filter_map(one).collect();
    match all.is_empty() {
        true => "SELECT NULL::text AS service, NULL::text AS slo, NULL::timestamptz AS time, NULL::float8 AS sli, \
                 NULL::float8 AS objective, NULL::float8 AS budget_remaining, NULL::float8 AS burn_rate, NULL::text AS status, \
                 NULL::timestamptz AS exhausted_at WHERE false"
            .to_owned(),
        false => all.join(" UNION ALL "),
    }
}

/// The SLAs that are defined, with all their periods.
fn slas(definitions: &Definitions) -> String {
    let one = |object: &Arc<crate::catalog::Object>| {
        let Definition::Sla(sla) = &object.definition else { return None };
        let customer = text_literal(&sla.customer);
        Some(format!(
            "SELECT {} AS sla, {customer} AS customer, period_start, period_end, target, attained, required, status, coverage, credit \
             FROM sla.{}",
            text_literal(&sla.name),
            quoted(&sla.name)
        ))
    };
    let all: Vec<String> = definitions.of_kind(Kind::Sla).filter_map(one).collect();
    match all.is_empty() {
        true => "SELECT NULL::text AS sla, NULL::text AS customer, NULL::timestamptz AS period_start, \
                 NULL::timestamptz AS period_end, NULL::text AS target, NULL::float8 AS attained, NULL::float8 AS required, \
                 NULL::text AS status, NULL::float8 AS coverage, NULL::float8 AS credit WHERE false"
            .to_owned(),
        false => all.join(" UNION ALL "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_views_are_those_that_their_queries_give() {
        let dir = tempfile::tempdir().unwrap();
        let engine = plimsoll_engine::Engine::open(dir.path(), plimsoll_engine::Options::default()).unwrap();
        let database = crate::Database::new(Arc::new(engine), &crate::DatabaseOptions::default()).unwrap();
        let session = database.session();
        for view in VIEWS {
            let statement = &crate::parse(&format!("SELECT * FROM ops.{}", view.name)).unwrap()[0];
            let prepared = session.prepare(statement, &[], 0).unwrap();
            // To a client both are text.
            let shown = |data_type: &DataType| match data_type {
                DataType::Utf8View => DataType::Utf8,
                other => other.clone(),
            };
            let columns = prepared.columns().iter();
            let given: Vec<_> = columns.map(|column| (column.name.clone(), shown(&column.data_type))).collect();
            assert_eq!(given, view.columns("UTC"), "{}", view.name);
        }
    }
}
