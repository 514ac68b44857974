//! An event for PagerDuty, Events API v2.

use serde_json::{Value, json};

use super::rfc3339;
use crate::notify::story::{Story, cut};

/// What the receiver takes.
const SUMMARY_MAX: usize = 1024;

/// `trigger`, `acknowledge` or `resolve`, under the same key for one incident.
pub(super) fn event(story: Story<'_>, routing_key: &str, at_ns: i64) -> Value {
    let action = match story.verb().as_str() {
        _ if story.is_over() => "resolve",
        "acknowledged" => "acknowledge",
        _ => "trigger",
    };
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": story.correlation(),
    });
    let Some(fields) = event.as_object_mut().filter(|_| action == "trigger") else { return event };
    let summary = story.signal().map_or_else(|| story.title(), |signal| format!("{}. {signal}", story.title()));
    let source = story.text("/service/name").unwrap_or_else(|| story.name());
    let mut signal = story.value("/signal").cloned().unwrap_or_default();
    if let Some(signal) = signal.as_object_mut() {
        // A curve is nothing to read on a telephone.
        signal.remove("points");
    }
    fields.insert("client".to_owned(), json!("Plimsoll"));
    fields.insert(
        "payload".to_owned(),
        json!({
            "summary": cut(&summary, SUMMARY_MAX),
            "source": source,
            "severity": story.severity(),
            "timestamp": rfc3339(at_ns),
            "component": story.text("/signal/kpi"),
            "group": story.text("/service/owner"),
            "class": story.text("/signal/alert"),
            "custom_details": {
                "story": story.lines(),
                "signal": signal,
                "slo": story.value("/slo"),
                "context": story.value("/context"),
            },
        }),
    );
    if let Some(url) = story.text("/incident/url") {
        fields.insert("client_url".to_owned(), json!(url));
        fields.insert("links".to_owned(), json!([{"href": url, "text": story.title()}]));
    }
    event
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::tests::{LATER_NS, OPENED_NS};
    use super::*;
    use crate::notify::story::tests::{later, opened};

    #[test]
    fn an_opened_incident_triggers() {
        let event = event(Story::new(&opened()), "the-routing-key", OPENED_NS);
        expect![[r#"
            {
              "client": "Plimsoll",
              "client_url": "https://plimsoll.example.com/incident/4711",
              "dedup_key": "plimsoll-checkout-4711",
              "event_action": "trigger",
              "links": [
                {
                  "href": "https://plimsoll.example.com/incident/4711",
                  "text": "[P1] checkout_slow: incident 4711 opened"
                }
              ],
              "payload": {
                "class": "checkout_slow",
                "component": "checkout_p95",
                "custom_details": {
                  "context": {
                    "cost_per_minute": 1200,
                    "data_complete_until": "2026-05-01T10:06:00Z",
                    "known_errors": [
                      {
                        "confidence": 0.82,
                        "id": 31,
                        "workaround": "restart <payments> & wait"
                      }
                    ],
                    "lineage": "lineage('checkout_p95')",
                    "maintenance": null,
                    "recent_changes": [
                      {
                        "id": "CHG-88",
                        "minutes_before": 12
                      }
                    ],
                    "similar_incidents": [
                      4502,
                      4388
                    ]
                  },
                  "signal": {
                    "alert": "checkout_slow",
                    "baseline": {
                      "model": "2026-04-28",
                      "override": null,
                      "slot": "FRI 10h"
                    },
                    "expected": 420,
                    "for": "5m",
                    "kpi": "checkout_p95",
                    "lower": 310,
                    "score": 7.4,
                    "since": "2026-05-01T10:02:00Z",
                    "top_dimensions": [
                      {
                        "label": "region=eu",
                        "share": 0.83
                      }
                    ],
                    "unit": "ms",
                    "upper": 610,
                    "value": 2310,
                    "version": 7
                  },
                  "slo": {
                    "budget_remaining": 0.41,
                    "burn_1h": 18.2,
                    "name": "checkout_avail"
                  },
                  "story": [
                    "checkout_p95 is 2310 ms, expected 310 to 610, score 7.4, since 2026-05-01T10:02:00Z",
                    "Service checkout, tier 0, owner payments_team",
                    "Most of it in: region=eu 83 %",
                    "checkout_avail: 41 % of the budget left, burning 18.2 times as fast as allowed",
                    "Failing underneath: payments",
                    "Changed before: CHG-88 (12 min)",
                    "Known errors: 31 (82 %): restart <payments> & wait",
                    "Similar incidents: 4502; 4388",
                    "Costs 1200 a minute",
                    "https://plimsoll.example.com/incident/4711"
                  ]
                },
                "group": "payments_team",
                "severity": "critical",
                "source": "checkout",
                "summary": "[P1] checkout_slow: incident 4711 opened. checkout_p95 is 2310 ms, expected 310 to 610",
                "timestamp": "2026-05-01T10:07:00Z"
              },
              "routing_key": "the-routing-key"
            }"#]]
        .assert_eq(&format!("{event:#}"));
    }

    #[test]
    fn a_resolved_incident_resolves_by_the_same_key() {
        let event = event(Story::new(&later("resolved", "resolved", 4)), "the-routing-key", LATER_NS);
        expect![[r#"
            {
              "dedup_key": "plimsoll-checkout-4711",
              "event_action": "resolve",
              "routing_key": "the-routing-key"
            }"#]]
        .assert_eq(&format!("{event:#}"));
    }

    #[test]
    fn who_acknowledges_here_has_acknowledged_there() {
        let action = |verb: &str, state: &str| {
            event(Story::new(&later(verb, state, 2)), "k", LATER_NS)["event_action"].as_str().map(str::to_owned)
        };
        assert_eq!(action("acknowledged", "acknowledged").as_deref(), Some("acknowledge"));
        assert_eq!(action("priority_changed", "acknowledged").as_deref(), Some("trigger"));
        assert_eq!(action("reopened", "reopened").as_deref(), Some("trigger"));
    }
}
