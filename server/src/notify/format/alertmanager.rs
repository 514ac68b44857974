//! Alerts for Alertmanager, `POST /api/v2/alerts`.
//!
//! Alertmanager tells alerts apart by their labels, and forgets a firing one that is not sent again within minutes. So an
//! alert says itself when it would end, and whoever changes a label, as a new priority does, ends the alert with the old.

use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::rfc3339;
use crate::notify::story::Story;

/// How long an alert fires when nothing more is heard of it.
const LONGEST_NS: i64 = 7 * 24 * 3600 * 1_000_000_000;

/// The alert of the event, and the ends of those that it follows.
pub(super) fn alerts(story: Story<'_>, at_ns: i64) -> Value {
    let current = story.severity();
    let mut alerts = Vec::new();
    if !story.is_over() {
        alerts.push(alert(story, current, at_ns, at_ns.saturating_add(LONGEST_NS)));
    }
    if story.verb() != "opened" {
        let others = ["critical", "error", "warning", "info"].into_iter();
        let others = others.filter(|severity| story.is_over() || *severity != current);
        alerts.extend(others.map(|severity| alert(story, severity, at_ns, at_ns)));
    }
    Value::from(alerts)
}

fn alert(story: Story<'_>, severity: &str, at_ns: i64, ends_ns: i64) -> Value {
    let mut labels = Map::new();
    for (label, pointer) in [("service", "/service/name"), ("incident", "/incident/id")] {
        labels.extend(story.text(pointer).map(|text| (label.to_owned(), Value::from(text))));
    }
    labels.insert("alertname".to_owned(), Value::from(story.name()));
    labels.insert("severity".to_owned(), Value::from(severity));
    // A start after the end would be refused.
    let opened = story.text("/incident/opened_at").and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
    let opened_ns = opened.and_then(|time| time.timestamp_nanos_opt()).map_or(at_ns, |opened_ns| opened_ns.min(at_ns));
    let mut alert = json!({
        "labels": labels,
        "annotations": {"summary": story.title(), "description": story.lines().join("\n")},
        "startsAt": rfc3339(opened_ns),
        "endsAt": rfc3339(ends_ns),
    });
    if let (Some(url), Some(alert)) = (story.text("/incident/url"), alert.as_object_mut()) {
        alert.insert("generatorURL".to_owned(), Value::from(url));
    }
    alert
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::tests::{LATER_NS, OPENED_NS};
    use super::*;
    use crate::notify::story::tests::{later, opened};

    fn shown(event: &Value, at_ns: i64) -> String {
        format!("{:#}", alerts(Story::new(event), at_ns))
    }

    #[test]
    fn an_opened_incident_fires() {
        expect![[r#"
            [
              {
                "annotations": {
                  "description": "checkout_p95 is 2310 ms, expected 310 to 610, score 7.4, since 2026-05-01T10:02:00Z\nService checkout, tier 0, owner payments_team\nMost of it in: region=eu 83 %\ncheckout_avail: 41 % of the budget left, burning 18.2 times as fast as allowed\nFailing underneath: payments\nChanged before: CHG-88 (12 min)\nKnown errors: 31 (82 %): restart <payments> & wait\nSimilar incidents: 4502; 4388\nCosts 1200 a minute\nhttps://plimsoll.example.com/incident/4711",
                  "summary": "[P1] checkout_slow: incident 4711 opened"
                },
                "endsAt": "2026-05-08T10:07:00Z",
                "generatorURL": "https://plimsoll.example.com/incident/4711",
                "labels": {
                  "alertname": "checkout_slow",
                  "incident": "4711",
                  "service": "checkout",
                  "severity": "critical"
                },
                "startsAt": "2026-05-01T10:07:00Z"
              }
            ]"#]].assert_eq(&shown(&opened(), OPENED_NS));
    }

    #[test]
    fn a_resolved_incident_ends_at_every_severity() {
        let alerts = alerts(Story::new(&later("resolved", "resolved", 4)), LATER_NS);
        let ends: Vec<String> = alerts
            .as_array()
            .expect("alerts")
            .iter()
            .map(|a| format!("{} {}", a["labels"]["severity"], a["endsAt"]))
            .collect();
        expect![[r#"
            "critical" "2026-05-01T10:22:00Z"
            "error" "2026-05-01T10:22:00Z"
            "warning" "2026-05-01T10:22:00Z"
            "info" "2026-05-01T10:22:00Z""#]]
        .assert_eq(&ends.join("\n"));
    }

    #[test]
    fn a_new_priority_ends_the_alerts_of_the_others() {
        let mut event = later("priority_changed", "acknowledged", 3);
        event["incident"]["priority"] = json!(2);
        let alerts = alerts(Story::new(&event), LATER_NS);
        let ends: Vec<String> = alerts
            .as_array()
            .expect("alerts")
            .iter()
            .map(|a| format!("{} {}", a["labels"]["severity"], a["endsAt"]))
            .collect();
        expect![[r#"
            "error" "2026-05-08T10:22:00Z"
            "critical" "2026-05-01T10:22:00Z"
            "warning" "2026-05-01T10:22:00Z"
            "info" "2026-05-01T10:22:00Z""#]]
        .assert_eq(&ends.join("\n"));
    }
}
