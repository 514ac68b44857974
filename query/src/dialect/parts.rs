//! What a definition is made of, for those outside who translate it into another language.

use super::{Definition, Options, Statement, Window, parse_statement};

/// The parts of a definition, each as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// What it defines, in lower case: `service`, `kpi`, `slo`, `escalation policy` and so on.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The service it is on.
    pub service: Option<String>,
    /// Of a service: from 0, the most important, to 3.
    pub tier: Option<u8>,
    /// Of a service: who answers for it.
    pub owner: Option<String>,
    /// Of a service: what it uses, and whether it cannot work without.
    pub depends: Vec<(String, bool)>,
    /// Of an SLO: its objective in percent, without the sign.
    pub objective: Option<String>,
    /// Of an SLO: what time it is about.
    pub over: Option<Over>,
    /// The query.
    pub query: Option<String>,
    /// Of an alert: the condition.
    pub when: Option<String>,
    /// Of an alert: for how long the condition has to hold.
    pub hold: Option<String>,
    /// Of an alert: the expression of its severity.
    pub severity: Option<String>,
    /// Of an alert: its escalation policy.
    pub escalate: Option<String>,
    /// Of an alert: whether it has clauses that are none of the above.
    pub has_more: bool,
    /// Of an escalation policy: after how long which sinks are told.
    pub steps: Vec<(String, Vec<String>)>,
    /// Options with their values as they stand in a statement, such as `'5 min'` or `true`.
    pub options: Vec<(String, String)>,
}

/// What time an objective is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// The time before each moment, of this length.
    Rolling(String),
    /// Periods of the calendar, in a time zone.
    Calendar(String, Option<String>),
}

/// Takes a `CREATE` statement of the dialect to pieces; `None` for any other text.
pub fn parts(text: &str) -> Option<Parts> {
    let Some(Ok(Statement::Create { object, .. })) = parse_statement(text) else { return None };
    let base = Parts {
        kind: object.kind().word(),
        name: object.name().to_owned(),
        query: object.query().map(|query| query.text.clone()),
        ..Parts::default()
    };
    let written = |options: &Options| options.written();
    Some(match *object {
        Definition::Service(service) => Parts {
            tier: Some(service.tier),
            owner: service.owner,
            depends: service.depends.into_iter().map(|used| (used.service, used.is_hard)).collect(),
            options: written(&service.options),
            ..base
        },
        Definition::Kpi(kpi) => Parts { service: kpi.service, options: written(&kpi.options), ..base },
        Definition::Slo(slo) => Parts {
            service: slo.service,
            objective: Some(slo.objective.to_string().trim_end_matches('%').to_owned()),
            over: Some(match slo.window {
                Window::Rolling(length) => Over::Rolling(length),
                Window::Calendar { period, zone } => Over::Calendar(period, zone),
            }),
            options: written(&slo.options),
            ..base
        },
        Definition::Sink(sink) => Parts { options: written(&sink.options), ..base },
        Definition::Policy(policy) => Parts {
            has_more: policy.steps.iter().any(|step| step.when.is_some()),
            steps: policy.steps.into_iter().map(|step| (step.after, step.notify)).collect(),
            options: written(&policy.options),
            ..base
        },
        Definition::Alert(alert) => Parts {
            service: alert.service,
            when: Some(alert.when.text),
            hold: alert.hold,
            severity: alert.severity.map(|severity| severity.text),
            escalate: alert.escalate,
            has_more: alert.labels.is_some() || alert.clear.is_some() || alert.keep_firing.is_some(),
            options: written(&alert.options),
            ..base
        },
        Definition::Calendar(_) | Definition::Baseline(_) | Definition::Sla(_) => base,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_slo_is_taken_to_pieces() {
        let slo = "CREATE SLO a ON SERVICE s OBJECTIVE 99.90% OVER '1 month' AT TIME ZONE 'Europe/Berlin' \
                   AS SELECT time, good, total FROM kpi.k WITH (min_events = 10, exclude = maintenance)";
        let parts = parts(slo).expect("an SLO");
        assert_eq!((parts.kind, parts.name.as_str(), parts.objective.as_deref()), ("slo", "a", Some("99.9")));
        assert_eq!(parts.over, Some(Over::Calendar("1 month".into(), Some("Europe/Berlin".into()))));
        assert_eq!(parts.query.as_deref(), Some("SELECT time, good, total FROM kpi.k"));
        let options = [("min_events", "10"), ("exclude", "'maintenance'")];
        assert_eq!(parts.options, options.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_defines_nothing_has_no_parts() {
        for text in ["SELECT 1", "DROP SLO a", "CREATE SLO a", ""] {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}
