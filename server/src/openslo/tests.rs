//! Translation of documents and back, without a server.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn read(yaml: &str) -> Translated {
    import(&[("slo.yaml".to_owned(), yaml.to_owned())])
}

fn check(yaml: &str, expected: &Expect) {
    let translated = read(yaml);
    let statements = translated.statements.iter().map(|made| format!("{};\n", made.text));
    let findings = translated.findings.iter().map(|finding| format!("{finding}\n"));
    expected.assert_eq(&statements.chain(findings).collect::<String>());
}

/// What a server would have after the statements.
fn carried_out(translated: &Translated) -> Vec<Existing> {
    let mut existing: Vec<(String, String, Existing)> = Vec::new();
    for made in &translated.statements {
        match made.kind {
            "comment" => {
                let head = made.text.split(" IS '").next().unwrap_or_default().to_lowercase();
                let found = existing
                    .iter_mut()
                    .find(|(kind, name, _)| *name == made.name && head.starts_with(&format!("comment on {kind} ")));
                let text =
                    made.text.split_once(" IS '").map(|(_, text)| text.trim_end_matches('\'').replace("''", "'"));
                if let Some((_, _, existing)) = found {
                    existing.comment = text;
                }
            }
            kind => {
                let is_ratio = made.text.contains(" good") && kind == "kpi";
                let definition = made.text.replace(" OR REPLACE", "");
                existing.push((kind.to_owned(), made.name.clone(), Existing { definition, comment: None, is_ratio }));
            }
        }
    }
    existing.into_iter().map(|(_, _, existing)| existing).collect()
}

/// Exports what an import made and imports that again: the statements are the same.
fn comes_back(yaml: &str) {
    let first = read(yaml);
    let (again, findings) = export(&carried_out(&first), &[]);
    assert_eq!(findings, [], "{again}");
    let second = read(&again);
    let left: Vec<&Finding> = second.findings.iter().filter(|finding| finding.is_left_out).collect();
    assert_eq!(left, [] as [&Finding; 0], "{again}");
    let sorted = |translated: &Translated| {
        let made = translated.statements.iter();
        let mut texts: Vec<String> =
            made.map(|made| made.text.replace("CREATE SERVICE IF NOT EXISTS", "CREATE OR REPLACE SERVICE")).collect();
        texts.sort();
        texts
    };
    assert_eq!(sorted(&second), sorted(&first), "{again}");
}

/// Documents of every kind.
const ALL: &str = r#"
apiVersion: openslo/v1
kind: DataSource
metadata: { name: here }
spec: { type: Plimsoll, connectionDetails: {} }
---
apiVersion: openslo/v1
kind: Service
metadata:
  name: web-shop
  displayName: The shop
  labels: { team: [web, ops] }
  annotations: { plimsoll/tier: "1", plimsoll/owner: ops, example.com/board: "7" }
spec:
  description: Where it's sold
---
apiVersion: openslo/v1
kind: SLI
metadata: { name: orders }
spec:
  ratioMetric:
    counter: false
    bad: { metricSource: { metricSourceRef: here, spec: { query: "SELECT time_bucket('1 min', time) AS time, count(*) AS value FROM failed GROUP BY 1" } } }
    total: { metricSource: { metricSourceRef: here, spec: { query: "SELECT time_bucket('1 min', time) AS time, count(*) AS value FROM orders GROUP BY 1;" } } }
---
apiVersion: openslo/v1
kind: SLI
metadata: { name: latency, annotations: { plimsoll/options: "unit = 'ms', better = 'low'" } }
spec:
  thresholdMetric: { metricSource: { type: sql, spec: { query: "SELECT time, p95 FROM latency", column: p95 } } }
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: { name: OnCall, annotations: { plimsoll/options: "url = 'https://hooks.example.com/1'" } }
spec: { target: slack, description: The channel }
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: { name: fast-burn, displayName: Fast }
spec:
  severity: page
  condition: { kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h, alertAfter: 5m }
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: { name: fast }
spec:
  description: Spent too fast
  alertWhenBreaching: true
  alertWhenResolved: true
  alertWhenNoData: true
  conditions: [ { conditionRef: fast-burn } ]
  notificationTargets: [ { targetRef: OnCall } ]
---
apiVersion: openslo/v1
kind: SLO
metadata: { name: orders-done }
spec:
  service: web-shop
  indicatorRef: orders
  timeWindow: [ { duration: 4w, isRolling: true } ]
  budgetingMethod: Occurrences
  objectives: [ { displayName: Most, target: 0.999 } ]
  alertPolicies: [ { alertPolicyRef: fast } ]
---
apiVersion: openslo/v1
kind: SLO
metadata: { name: orders-fast }
spec:
  service: web-shop
  indicatorRef: latency
  timeWindow:
    - duration: 1M
      calendar: { startTime: 2024-01-01 00:00:00, timeZone: Europe/Berlin }
  budgetingMethod: Timeslices
  objectives: [ { op: lte, value: 250, targetPercent: 99.5, timeSliceTarget: 0.95, timeSliceWindow: 5 } ]
---
apiVersion: openslo/v1
kind: SLO
metadata: { name: ready }
spec:
  service: other
  indicator:
    metadata: { name: readiness }
    spec:
      ratioMetric: { rawType: failure, raw: { metricSource: { type: plimsoll, spec: { query: "SELECT time, value FROM unready" } } } }
  timeWindow: [ { duration: 30d, isRolling: true } ]
  budgetingMethod: RatioTimeslices
  objectives: [ { target: 0.95, timeSliceWindow: 1h }, { target: 0.99, timeSliceWindow: 1h } ]
"#;

#[test]
fn every_kind_becomes_statements() {
    check(
        ALL,
        &expect![[r#"
            CREATE OR REPLACE SERVICE web_shop TIER 1 OWNER ops;
            COMMENT ON SERVICE web_shop IS 'Where it''s sold
            openslo: {"annotations":{"example.com/board":"7"},"displayName":"The shop","labels":{"team":["web","ops"]}}';
            CREATE OR REPLACE KPI latency AS SELECT time, p95 AS value FROM (SELECT time, p95 FROM latency) AS q WITH (unit = 'ms', better = 'low');
            CREATE OR REPLACE KPI orders AS SELECT t.time AS time, t.value - coalesce(p.value, 0) AS good, t.value AS total FROM (SELECT time, sum(value) AS value FROM (SELECT time_bucket('1 min', time) AS time, count(*) AS value FROM orders GROUP BY 1) AS q GROUP BY time) AS t LEFT JOIN (SELECT time, sum(value) AS value FROM (SELECT time_bucket('1 min', time) AS time, count(*) AS value FROM failed GROUP BY 1) AS q GROUP BY time) AS p ON p.time = t.time WITH (step = '1 min');
            CREATE OR REPLACE SINK "OnCall" WITH (format = 'slack', url = 'https://hooks.example.com/1');
            COMMENT ON SINK "OnCall" IS 'The channel
            openslo: {"name":"OnCall"}';
            CREATE OR REPLACE SLO orders_done ON SERVICE web_shop OBJECTIVE 99.9% OVER ROLLING '4 weeks' AS SELECT time, good, total FROM kpi.orders;
            COMMENT ON SLO orders_done IS 'openslo: {"objectiveName":"Most"}';
            CREATE OR REPLACE ESCALATION POLICY fast (AFTER '0 min' NOTIFY "OnCall");
            CREATE OR REPLACE ALERT orders_done_fast ON SERVICE web_shop AS SELECT time, long_burn, short_burn FROM slo_burn('orders_done', '1 hour', '1 hour') WHEN long_burn > 14.4 FOR '5 min' SEVERITY 'page' ESCALATE TO fast WITH (dedup_key = 'slo/orders_done', on_missing = 'bad');
            COMMENT ON ALERT orders_done_fast IS 'openslo: {"condition":{"displayName":"Fast","name":"fast-burn"},"policy":{"alertWhenResolved":true,"description":"Spent too fast","name":"fast"}}';
            CREATE OR REPLACE SLO orders_fast ON SERVICE web_shop OBJECTIVE 99.5% OVER '1 month' AT TIME ZONE 'Europe/Berlin' AS SELECT time, CASE WHEN value <= 250 THEN 1 ELSE 0 END AS good, 1 AS total FROM kpi.latency WHERE value IS NOT NULL WITH (budgeting = 'timeslices', slice = '5 min', slice_target = 0.95);
            CREATE SERVICE IF NOT EXISTS other;
            CREATE OR REPLACE KPI readiness ON SERVICE other AS SELECT time, value FROM unready;
            COMMENT ON KPI readiness IS 'openslo: {"rawType":"failure"}';
            CREATE OR REPLACE SLO ready_1 ON SERVICE other OBJECTIVE 95% OVER ROLLING '30 days' AS SELECT time, 1 - value AS good, 1 AS total FROM kpi.readiness WHERE value IS NOT NULL WITH (budgeting = 'ratio_timeslices', slice = '1 hour');
            CREATE OR REPLACE SLO ready_2 ON SERVICE other OBJECTIVE 99% OVER ROLLING '30 days' AS SELECT time, 1 - value AS good, 1 AS total FROM kpi.readiness WHERE value IS NOT NULL WITH (budgeting = 'ratio_timeslices', slice = '1 hour');
            note: slo.yaml:2 (document 1): a DataSource makes nothing: its type tells which queries are SQL
            note: slo.yaml:82 (document 10, spec.service): no file defines the service other: it is made if it is not there
        "#]],
    );
}

#[test]
fn every_kind_comes_back() {
    comes_back(ALL);
}

#[test]
fn definitions_are_exported() {
    let definitions = [
        "CREATE SERVICE shop TIER 0 DEPENDS ON (payments HARD) WITH (currency = 'EUR')",
        "CREATE SLO own ON SERVICE shop OBJECTIVE 99.95% OVER '1 quarter' AS SELECT time, good, total FROM t WITH (min_events = 5)",
        "CREATE SINK desk WITH (url = 'https://example.com', token = '***')",
        "CREATE CALENDAR work AS ('24x7')",
        "CREATE ALERT slow AS SELECT time, value FROM kpi.a WHEN value > 5",
    ];
    let existing = definitions.map(|text| Existing { definition: text.to_owned(), comment: None, is_ratio: false });
    let (yaml, findings) = export(&existing, &[]);
    let findings: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    expect![[r#"
        apiVersion: openslo/v1
        kind: Service
        metadata:
          annotations:
            plimsoll/depends-on: "payments HARD"
            plimsoll/options: "currency = 'EUR'"
            plimsoll/tier: "0"
          name: shop
        spec: {}
        ---
        apiVersion: openslo/v1
        kind: AlertNotificationTarget
        metadata:
          annotations:
            plimsoll/options: "url = 'https://example.com'"
          name: desk
        spec:
          target: webhook
        ---
        apiVersion: openslo/v1
        kind: SLO
        metadata:
          annotations:
            plimsoll/options: "min_events = 5"
          name: own
        spec:
          budgetingMethod: Occurrences
          indicator:
            metadata:
              annotations:
                plimsoll/inline: "true"
              name: own
            spec:
              ratioMetric:
                counter: false
                good:
                  metricSource:
                    spec:
                      column: good
                      query: "SELECT time, good, total FROM t"
                    type: plimsoll
                total:
                  metricSource:
                    spec:
                      column: total
                      query: "SELECT time, good, total FROM t"
                    type: plimsoll
          objectives:
            - targetPercent: 99.95
          service: shop
          timeWindow:
            - calendar:
                startTime: "2024-01-01 00:00:00"
                timeZone: UTC
              duration: "1Q"
              isRolling: false
        note: sink desk: token cannot be read: add it to plimsoll/options before an import
        left out: calendar work: OpenSLO has nothing of the kind
        left out: alert slow: OpenSLO has alerts on a burn rate over one length of time alone
    "#]]
    .assert_eq(&format!("{yaml}{findings}"));
    let statements = read(&yaml).statements;
    assert_eq!(statements[0].text, definitions[0].replace("CREATE", "CREATE OR REPLACE"));
    assert_eq!(statements[2].text, definitions[1].replace("CREATE", "CREATE OR REPLACE"));
}

#[test]
fn what_cannot_be_translated_has_its_place() {
    let slo = |rest: &str| {
        format!(
            "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{ name: a }}\nspec:\n  service: s\n  indicatorRef: k\n  budgetingMethod: Occurrences\n{rest}\n"
        )
    };
    let cases = [
        "a: [1".to_owned(),
        "apiVersion: openslo/v2\nkind: SLO".to_owned(),
        "apiVersion: openslo/v1\nkind: Thing\n".to_owned(),
        "apiVersion: openslo/v1\nkind: Service\nmetadata: { name: a, annotations: { plimsoll/tier: \"0; DROP TABLE t\" } }\nspec: { colour: red }\n".to_owned(),
        "apiVersion: openslo/v1\nkind: SLI\nmetadata: { name: a }\nspec:\n  thresholdMetric:\n    metricSource: { type: Prometheus, spec: { query: up } }\n".to_owned(),
        "apiVersion: openslo/v1\nkind: AlertNotificationTarget\nmetadata: { name: a }\nspec: { target: email }\n".to_owned(),
        slo("  objectives: [ { target: 1.0 } ]"),
        slo("  timeWindow: [ { duration: 5x, isRolling: true } ]\n  objectives: [ { target: 0.9 } ]"),
        slo("  objectives: [ { target: 0.9, indicatorRef: b } ]"),
        slo("  objectives: [ { target: 0.9 } ]\n  alertPolicies: [ { alertPolicyRef: none } ]"),
    ];
    let mut told = String::new();
    for case in cases {
        for finding in read(&case).findings {
            told.push_str(&format!("{finding}\n"));
        }
    }
    expect![[r#"
        left out: slo.yaml:1 (document 1): unclosed bracket '['; no document of this file is read
        left out: slo.yaml:1 (document 1, apiVersion): only openslo/v1 is read
        left out: slo.yaml:2 (document 1, kind): the kind is one of DataSource, Service, SLI, AlertNotificationTarget, AlertCondition, AlertPolicy, SLO
        note: slo.yaml:4 (document 1, spec.colour): OpenSLO has no such field; it is not kept
        left out: slo.yaml:1 (document 1): this is no one statement: CREATE OR REPLACE SERVICE a TIER 0; DROP TABLE t
        left out: slo.yaml:6 (document 1, spec.thresholdMetric.metricSource.spec): a query of type Prometheus is not translatable: types are plimsoll and sql
        left out: slo.yaml:4 (document 1, spec.target): OpenSLO does not say where this target is: annotate it with plimsoll/options: "host = '...', from = '...', to = '...'"
        note: slo.yaml:5 (document 1, spec.service): no file defines the service s: it is made if it is not there
        note: slo.yaml:5 (document 1, spec): no timeWindow: four weeks, rolling
        note: slo.yaml:6 (document 1, spec.indicatorRef): no file defines this SLI: the KPI k has to be there
        left out: slo.yaml:8 (document 1, spec.objectives[0].target): a target leaves room for some failure: it is more than nothing and less than all
        note: slo.yaml:5 (document 1, spec.service): no file defines the service s: it is made if it is not there
        left out: slo.yaml:8 (document 1, spec.timeWindow[0].duration): this has to be a number with m, h, d, w, M, Q or Y, such as 4w
        left out: slo.yaml:8 (document 1, spec.objectives[0].indicatorRef): a composite SLO is not translatable: CREATE SLO ... AS COMPOSITE says it
        note: slo.yaml:5 (document 1, spec.service): no file defines the service s: it is made if it is not there
        note: slo.yaml:5 (document 1, spec): no timeWindow: four weeks, rolling
        note: slo.yaml:6 (document 1, spec.indicatorRef): no file defines this SLI: the KPI k has to be there
        left out: slo.yaml:9 (document 1, spec.alertPolicies[0].alertPolicyRef): no file defines the AlertPolicy none
    "#]].assert_eq(&told);
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,3})?"
}

/// A service, an SLI and an SLO over it.
fn generated() -> impl Strategy<Value = String> {
    let window = prop_oneof![
        (1..60u32).prop_map(|days| format!("[ {{ duration: {days}d, isRolling: true }} ]")),
        Just("[ { duration: 1Q, calendar: { startTime: 2024-01-01 00:00:00, timeZone: Asia/Tokyo } } ]".to_owned()),
        Just("[ { duration: 1w, calendar: { startTime: 2020-01-21 12:30:00, timeZone: UTC } } ]".to_owned()),
    ];
    let objective = (1..999_999u32, 1..60u32, prop_oneof!["lt", "lte", "gt", "gte"], -1000..1000i32);
    let told = prop::option::of("[ -~äß]{1,20}");
    (name(), name(), name(), window, objective, 0..3usize, told).prop_map(
        |(service, sli, slo, window, (millionths, minutes, op, value), method, told)| {
            let method = ["Occurrences", "Timeslices", "RatioTimeslices"][method];
            let told = told.map(|text| format!(", displayName: {}", serde_json::Value::from(text))).unwrap_or_default();
            let slice = match method {
                "Occurrences" => String::new(),
                "Timeslices" => format!(", timeSliceTarget: 0.5, timeSliceWindow: {minutes}m"),
                _ => format!(", timeSliceWindow: {minutes}m"),
            };
            format!(
                "apiVersion: openslo/v1\nkind: Service\nmetadata: {{ name: {service}{told} }}\nspec: {{}}\n---\n\
                 apiVersion: openslo/v1\nkind: SLI\nmetadata: {{ name: {sli}{told} }}\nspec: {{ thresholdMetric: {{ metricSource: \
                 {{ type: sql, spec: {{ query: \"SELECT time, value FROM t\" }} }} }} }}\n---\n\
                 apiVersion: openslo/v1\nkind: SLO\nmetadata: {{ name: {slo} }}\nspec:\n  service: {service}\n  indicatorRef: {sli}\n  \
                 timeWindow: {window}\n  budgetingMethod: {method}\n  \
                 objectives: [ {{ op: {op}, value: {value}, targetPercent: {}{slice} }} ]\n",
                f64::from(millionths) / 10_000.0
            )
        },
    )
}

proptest! {
    #[test]
    fn generated_documents_come_back(yaml in generated()) {
        comes_back(&yaml);
    }
}
