//! An issue of Jira (REST API version 2, for Cloud and Data Center).
//!
//! Which steps an issue goes through is the project's own affair: later events become comments.

use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::{Change, Message, Ticket, below, under};
use crate::notify::story::{Story, cut};

/// What the field takes.
const SUMMARY_MAX: usize = 254;

/// The issue is known by a label. `base` is the URL of Jira, `project` the key of a project.
pub(super) fn ticket(story: Story<'_>, base: &Url, project: &str) -> Ticket {
    let issues = below(base, "rest/api/2/issue");
    let correlation = story.correlation();
    let mut find = under(&issues, []);
    // The Cloud has taken away the search that Data Center has.
    let search: &[&str] = if base.host_str().is_some_and(|host| host.ends_with(".atlassian.net")) {
        &["search", "jql"]
    } else {
        &["search"]
    };
    if let Ok(mut path) = find.path_segments_mut() {
        path.pop_if_empty().pop().extend(search);
    }
    let project_text = project.replace('\\', "\\\\").replace('"', "\\\"");
    find.query_pairs_mut()
        .append_pair("jql", &format!("project = \"{project_text}\" AND labels = \"{correlation}\""))
        .append_pair("fields", "key")
        .append_pair("maxResults", "1");
    let told = std::iter::once(story.title()).chain(story.lines()).collect::<Vec<_>>().join("\n");
    // The issue that the first event made tells the story already.
    let change = (story.verb() != "opened").then(|| Change {
        method: Method::POST,
        tickets: issues.clone(),
        after: Some("comment"),
        body: json!({ "body": told }).to_string(),
    });
    let make = (!story.is_over()).then(|| Message {
        method: Method::POST,
        url: issues.clone(),
        body: issue(story, project, &correlation).to_string(),
    });
    Ticket { find, id_at: "/issues/0/id", change, make }
}

fn issue(story: Story<'_>, project: &str, correlation: &str) -> Value {
    json!({"fields": {
        "project": {"key": project},
        "issuetype": {"name": "Task"},
        "summary": cut(&story.title(), SUMMARY_MAX),
        "description": story.lines().join("\n"),
        "labels": ["plimsoll", correlation, format!("p{}", story.priority())],
    }})
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::notify::story::tests::{later, opened};

    fn planned(event: &Value, base: &str) -> (Url, Option<Message>, Option<Message>) {
        let ticket = ticket(Story::new(event), &Url::parse(base).expect("a URL"), "OPS");
        (ticket.find, ticket.change.map(|change| change.of("10001")), ticket.make)
    }

    fn shown(message: &Message) -> String {
        let body: Value = serde_json::from_str(&message.body).expect("JSON");
        format!("{} {}\n{body:#}", message.method, message.url)
    }

    #[test]
    fn an_opened_incident_makes_an_issue() {
        let (find, change, make) = planned(&opened(), "https://jira.example.com/jira");
        assert_eq!(change, None, "an attempt before has made it");
        expect!["https://jira.example.com/jira/rest/api/2/search?jql=project+%3D+%22OPS%22+AND+labels+%3D+%22plimsoll-checkout-4711%22&fields=key&maxResults=1"].assert_eq(find.as_str());
        expect![[r#"
            POST https://jira.example.com/jira/rest/api/2/issue
            {
              "fields": {
                "description": "checkout_p95 is 2310 ms, expected 310 to 610, score 7.4, since 2026-05-01T10:02:00Z\nService checkout, tier 0, owner payments_team\nMost of it in: region=eu 83 %\ncheckout_avail: 41 % of the budget left, burning 18.2 times as fast as allowed\nFailing underneath: payments\nChanged before: CHG-88 (12 min)\nKnown errors: 31 (82 %): restart <payments> & wait\nSimilar incidents: 4502; 4388\nCosts 1200 a minute\nhttps://plimsoll.example.com/incident/4711",
                "issuetype": {
                  "name": "Task"
                },
                "labels": [
                  "plimsoll",
                  "plimsoll-checkout-4711",
                  "p1"
                ],
                "project": {
                  "key": "OPS"
                },
                "summary": "[P1] checkout_slow: incident 4711 opened"
              }
            }"#]].assert_eq(&shown(&make.expect("an issue")));
    }

    #[test]
    fn a_resolved_incident_is_a_comment_and_makes_no_issue() {
        let (_, change, make) = planned(&later("resolved", "resolved", 4), "https://jira.example.com/");
        assert_eq!(make, None);
        expect![[r#"
            POST https://jira.example.com/rest/api/2/issue/10001/comment
            {
              "body": "[P1] checkout_slow: incident 4711 resolved\ncheckout_p95 is 2310 ms, expected 310 to 610, score 7.4, since 2026-05-01T10:02:00Z\nService checkout, tier 0, owner payments_team\nMost of it in: region=eu 83 %\ncheckout_avail: 41 % of the budget left, burning 18.2 times as fast as allowed\nFailing underneath: payments\nChanged before: CHG-88 (12 min)\nKnown errors: 31 (82 %): restart <payments> & wait\nSimilar incidents: 4502; 4388\nCosts 1200 a minute\nhttps://plimsoll.example.com/incident/4711"
            }"#]].assert_eq(&shown(&change.expect("a comment")));
    }

    #[test]
    fn the_cloud_is_searched_in_its_own_way() {
        let (find, ..) = planned(&opened(), "https://team.atlassian.net");
        assert_eq!(find.path(), "/rest/api/2/search/jql");
    }
}
