//! The dashboard of `docs/grafana-agent.json`: its queries, with the macros as Grafana writes them, over tables as the agent
//! fills them.

use regex::Regex;
use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;

use super::server::PgServer;

const DASHBOARD: &str = include_str!("../../../docs/grafana-agent.json");

/// Two hosts, three samples each, as the agent's tables have them.
const SAMPLE: &str = "
    CREATE TABLE cpu (time timestamptz, hostname text, cpu text, usage_user float8, usage_idle float8);
    CREATE TABLE mem (time timestamptz, hostname text, used bigint, used_percent float8, available_percent float8);
    CREATE TABLE swap (time timestamptz, hostname text, used bigint, used_percent float8);
    CREATE TABLE disk (time timestamptz, hostname text, path text, device text, fstype text, used bigint, used_percent float8);
    CREATE TABLE net (time timestamptz, hostname text, interface text, bytes_sent bigint, bytes_recv bigint);
    CREATE TABLE system (time timestamptz, hostname text, load1 float8, n_cpus bigint, uptime bigint);
    CREATE TABLE processes (time timestamptz, hostname text, running bigint, blocked bigint)";

fn inserts() -> String {
    let mut text = String::new();
    for host in ["a", "b"] {
        for minute in 0..3 {
            let at = format!("'2024-01-01 00:0{minute}:00Z', '{host}'");
            let bytes = minute * 6000;
            text += &format!(
                "INSERT INTO cpu VALUES ({at}, 'cpu-total', 5, 9{minute}); INSERT INTO cpu VALUES ({at}, 'cpu0', 5, 0);
                 INSERT INTO mem VALUES ({at}, 1, 40, 60); INSERT INTO swap VALUES ({at}, 0, 0);
                 INSERT INTO disk VALUES ({at}, '/', 'sda1', 'ext4', 1, 7{minute});
                 INSERT INTO net VALUES ({at}, 'eth0', {bytes}, {bytes}); INSERT INTO processes VALUES ({at}, 2, 0);
                 INSERT INTO system VALUES ({at}, 0.5, 4, {minute}0);"
            );
        }
    }
    text
}

/// Every query of the dashboard: panels, variables, annotations.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut queries = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            queries.push((format!("{} ({})", text(&panel["title"]), text(&target["format"])), text(&target["rawSql"])));
        }
    }
    for variable in list(&dashboard["templating"]["list"]) {
        queries.push((text(&variable["name"]), text(&variable["query"])));
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        queries.push((text(&annotation["name"]), text(&annotation["rawQuery"])));
    }
    queries
}

/// The macros as Grafana writes them, with its switch for TimescaleDB on or off.
fn expanded(query: &str, timescale: bool) -> String {
    let replace =
        |pattern: &str, with: &str, text: &str| Regex::new(pattern).unwrap().replace_all(text, with).into_owned();
    let group = if timescale {
        r#"time_bucket('60.000s',$1) AS "time""#
    } else {
        r#"floor(extract(epoch from $1)/60)*60 AS "time""#
    };
    let text = replace(r"\$__interval_ms", "60000", query);
    let text = replace(r"\$__timeGroupAlias\((\w+), \$__interval\)", group, &text);
    let filter = "$1 BETWEEN '2023-12-31T23:00:00.123Z' AND '2024-01-01T06:00:00Z'";
    let text = replace(r"\$__timeFilter\((\w+)\)", filter, &text);
    text.replace("$hostname", "'a','b'")
}

#[tokio::test]
async fn the_dashboard_shows_what_the_agent_writes() {
    let server = PgServer::start().await;
    let client = server.connect().await;
    client.batch_execute(SAMPLE).await.unwrap();
    client.batch_execute(&inserts()).await.unwrap();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let queries = queries(&dashboard);
    assert!(queries.len() >= 12, "{queries:?}");
    for (what, query) in &queries {
        for timescale in [true, false] {
            let text = expanded(query, timescale);
            assert!(!text.contains('$'), "{what}: {text}");
            let messages = client.simple_query(&text).await.unwrap_or_else(|error| panic!("{what}: {text}: {error:?}"));
            let rows: Vec<_> = messages
                .iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row),
                    _ => None,
                })
                .collect();
            assert!(!rows.is_empty(), "{what}: {text}");
            if what.contains("(time_series)") {
                let times: Vec<&str> = rows.iter().map(|row| row.get("time").expect("a time")).collect();
                assert!(times.is_sorted(), "{what}: {times:?}");
                assert_eq!(times[0].contains(':'), timescale, "{what}: {times:?}");
                assert_eq!(rows.len(), 6, "{what}: two hosts, three minutes");
            }
        }
    }
}
