//! A record in the incident table of ServiceNow (Table API).

use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::{Change, Message, Ticket};
use crate::notify::story::{Story, cut};

/// What the column takes.
const SHORT_DESCRIPTION_MAX: usize = 160;

/// States of the table as it is delivered.
const IN_PROGRESS: &str = "2";
const RESOLVED: &str = "6";

/// The record is known by its `correlation_id`. `table` is the URL of the incident table.
pub(super) fn ticket(story: Story<'_>, table: &Url) -> Ticket {
    let correlation = story.correlation();
    let mut find = table.clone();
    find.query_pairs_mut()
        .append_pair("sysparm_query", &format!("correlation_id={correlation}"))
        .append_pair("sysparm_fields", "sys_id")
        .append_pair("sysparm_limit", "1");
    let change = Change { method: Method::PATCH, tickets: table.clone(), after: None, body: change(story).to_string() };
    let make = Message { method: Method::POST, url: table.clone(), body: record(story, &correlation).to_string() };
    Ticket { find, id_at: "/result/0/sys_id", change: Some(change), make: (!story.is_over()).then_some(make) }
}

fn record(story: Story<'_>, correlation: &str) -> Value {
    json!({
        "short_description": cut(&story.title(), SHORT_DESCRIPTION_MAX),
        "description": story.lines().join("\n"),
        "impact": level(story, "/incident/impact"),
        "urgency": level(story, "/incident/urgency"),
        "correlation_id": correlation,
        "correlation_display": "Plimsoll",
    })
}

fn change(story: Story<'_>) -> Value {
    let told = std::iter::once(story.title()).chain(story.lines()).collect::<Vec<_>>().join("\n");
    if story.is_over() {
        return json!({"state": RESOLVED, "close_code": "Solution provided", "close_notes": told});
    }
    let mut change = json!({
        "impact": level(story, "/incident/impact"),
        "urgency": level(story, "/incident/urgency"),
        "work_notes": told,
    });
    if matches!(story.verb().as_str(), "acknowledged" | "reopened") {
        change["state"] = json!(IN_PROGRESS);
    }
    change
}

/// 1 to 3, as text; the middle where none is given.
fn level(story: Story<'_>, pointer: &str) -> String {
    story.value(pointer).and_then(Value::as_u64).map_or(2, |level| level.clamp(1, 3)).to_string()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::notify::story::tests::{later, opened};

    fn planned(event: &Value) -> (Url, Message, Option<Message>) {
        let table = Url::parse("https://x.service-now.com/api/now/table/incident").expect("a URL");
        let ticket = ticket(Story::new(event), &table);
        (ticket.find, ticket.change.expect("a change").of("46d4"), ticket.make)
    }

    fn shown(message: &Message) -> String {
        let body: Value = serde_json::from_str(&message.body).expect("JSON");
        format!("{} {}\n{body:#}", message.method, message.url)
    }

    #[test]
    fn an_opened_incident_makes_a_record() {
        let (find, _, make) = planned(&opened());
        expect!["https://x.service-now.com/api/now/table/incident?sysparm_query=correlation_id%3Dplimsoll-checkout-4711&sysparm_fields=sys_id&sysparm_limit=1"].assert_eq(find.as_str());
        expect![[r#"
            POST https://x.service-now.com/api/now/table/incident
            {
              "correlation_display": "Plimsoll",
              "correlation_id": "plimsoll-checkout-4711",
              "description": "checkout_p95 is 2310 ms, expected 310 to 610, score 7.4, since 2026-05-01T10:02:00Z\nService checkout, tier 0, owner payments_team\nMost of it in: region=eu 83 %\ncheckout_avail: 41 % of the budget left, burning 18.2 times as fast as allowed\nFailing underneath: payments\nChanged before: CHG-88 (12 min)\nKnown errors: 31 (82 %): restart <payments> & wait\nSimilar incidents: 4502; 4388\nCosts 1200 a minute\nhttps://plimsoll.example.com/incident/4711",
              "impact": "1",
              "short_description": "[P1] checkout_slow: incident 4711 opened",
              "urgency": "1"
            }"#]].assert_eq(&shown(&make.expect("a record")));
    }

    #[test]
    fn a_resolved_incident_resolves_the_record_and_makes_none() {
        let (_, change, make) = planned(&later("resolved", "resolved", 4));
        assert_eq!(make, None);
        expect![[r#"
            PATCH https://x.service-now.com/api/now/table/incident/46d4
            {
              "close_code": "Solution provided",
              "close_notes": "[P1] checkout_slow: incident 4711 resolved\ncheckout_p95 is 2310 ms, expected 310 to 610, score 7.4, since 2026-05-01T10:02:00Z\nService checkout, tier 0, owner payments_team\nMost of it in: region=eu 83 %\ncheckout_avail: 41 % of the budget left, burning 18.2 times as fast as allowed\nFailing underneath: payments\nChanged before: CHG-88 (12 min)\nKnown errors: 31 (82 %): restart <payments> & wait\nSimilar incidents: 4502; 4388\nCosts 1200 a minute\nhttps://plimsoll.example.com/incident/4711",
              "state": "6"
            }"#]].assert_eq(&shown(&change));
    }

    #[test]
    fn who_acknowledges_sets_it_in_progress() {
        let (_, change, make) = planned(&later("acknowledged", "acknowledged", 2));
        assert!(change.body.contains(r#""state":"2""#), "{}", change.body);
        assert!(make.is_some(), "the record may be missing");
    }
}
