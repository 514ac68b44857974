//! `plimsoll openslo` against a running server: what is imported is there, is exported, and comes back the same.

use std::fs;

use tokio_postgres::NoTls;

use crate::harness::{Running, run, said};

const YAML: &str = r#"
apiVersion: openslo/v1
kind: Service
metadata: { name: web-shop, displayName: The shop }
spec: { description: Where it's sold }
---
apiVersion: openslo/v1
kind: SLI
metadata: { name: orders, annotations: { plimsoll/service: web_shop } }
spec:
  ratioMetric:
    good: { metricSource: { type: plimsoll, spec: { query: "SELECT time_bucket('1 min', time) AS time, count(*) AS value FROM orders WHERE ok GROUP BY 1" } } }
    total: { metricSource: { type: plimsoll, spec: { query: "SELECT time_bucket('1 min', time) AS time, count(*) AS value FROM orders GROUP BY 1" } } }
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: { name: oncall, annotations: { plimsoll/options: "url = 'https://hooks.example.com/1'" } }
spec: { target: slack }
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: { name: fast }
spec:
  alertWhenBreaching: true
  conditions:
    - kind: AlertCondition
      metadata: { name: fast-burn }
      spec: { severity: page, condition: { kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h, alertAfter: 5m } }
  notificationTargets: [ { targetRef: oncall } ]
---
apiVersion: openslo/v1
kind: SLO
metadata: { name: orders-done }
spec:
  service: web-shop
  indicatorRef: orders
  timeWindow: [ { duration: 4w, isRolling: true } ]
  budgetingMethod: Occurrences
  objectives: [ { target: 0.5 } ]
  alertPolicies: [ { alertPolicyRef: fast } ]
"#;

const FOREIGN: &str = r#"
apiVersion: openslo/v1
kind: SLI
metadata: { name: foreign }
spec: { thresholdMetric: { metricSource: { type: Prometheus, spec: { query: up } } } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objectives_are_imported_and_come_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_str().expect("the path is text").to_owned();
    fs::write(path("slo.yaml"), YAML).expect("a file");
    fs::write(path("foreign.yaml"), FOREIGN).expect("a file");
    let (data, any) = (path("data"), "127.0.0.1:0");
    let mut running = Running::start(&["serve", "--data", &data, "--pg", any, "--http", any]);
    let (pg, _) = running.addresses();
    let server = format!("postgresql://postgres@{pg}/postgres");
    let (client, connection) = tokio_postgres::connect(&server, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let table = "CREATE TABLE orders (time timestamptz, ok boolean); \
                 INSERT INTO orders VALUES ('2026-10-05 08:00Z', true), ('2026-10-05 08:00:01Z', false), ('2026-10-05 08:01Z', true)";
    client.batch_execute(table).await.expect("a table");
    let openslo = |arguments: &[&str]| run(&[&["openslo"], arguments, &["--server", &server]].concat());

    let output = openslo(&["import", &path("slo.yaml"), &path("foreign.yaml")]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("foreign.yaml:5 (document 1, spec.thresholdMetric.metricSource.spec)"),
        "{}",
        said(&output)
    );
    let output = openslo(&["import", &path("slo.yaml"), "--dry-run"]);
    assert!(said(&output).contains("6 made, 0 replaced, 0 left out, 0 failed; a dry run"), "{}", said(&output));
    let output = openslo(&["import", &path("slo.yaml"), &path("foreign.yaml"), "--skip"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("6 made, 0 replaced, 1 left out, 0 failed"), "{}", said(&output));

    let row =
        client.query_one("SELECT good::float8, total::float8 FROM slo.orders_done ORDER BY time LIMIT 1", &[]).await;
    let row = row.expect("a row");
    assert_eq!((row.get::<_, f64>(0), row.get::<_, f64>(1)), (1.0, 2.0));

    let query = "SELECT kind, name, definition, comment FROM sys.objects ORDER BY kind, name";
    let before = client.simple_query(query).await.expect("rows");
    let output = openslo(&["export", "--out", &path("again.yaml")]);
    assert!(output.status.success(), "{}", said(&output));
    let output = openslo(&["import", &path("again.yaml")]);
    assert!(said(&output).contains("0 made, 6 replaced, 0 left out, 0 failed"), "{}", said(&output));
    assert_eq!(format!("{:?}", client.simple_query(query).await.expect("rows")), format!("{before:?}"));
}
