//! What receivers want to be sent for an event. Pure: nothing here sends.
//!
//! An event that lacks a field, or is no JSON at all, still gives a message: a poor page is better than none.

use chrono::{DateTime, SecondsFormat};
use reqwest::{Method, Url};
use serde_json::Value;

use super::story::Story;
use super::target::{Format, Secret, Target};

mod alertmanager;
mod jira;
mod pagerduty;
mod servicenow;
mod slack;

/// A request to be sent; the body is JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) body: String,
}

/// A request about a ticket that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    method: Method,
    /// Where the tickets are; the id of the ticket follows, then `after`.
    tickets: Url,
    after: Option<&'static str>,
    body: String,
}

impl Change {
    /// The request, once the id is known. An id is one part of a path, whatever the receiver sent for one.
    pub(super) fn of(self, id: &str) -> Message {
        let parts = std::iter::once(id).chain(self.after);
        Message { method: self.method, url: under(&self.tickets, parts), body: self.body }
    }
}

/// What to send for one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// One request.
    Send(Message),
    /// A search before the request.
    Ticket(Box<Ticket>),
    /// Nothing: a receiver of incidents has no place for it. With the reason.
    Never(String),
}

/// For a receiver that numbers its tickets itself, and would make a second one for the same event: look for the ticket
/// first, then change it or make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Answers with JSON.
    pub(super) find: Url,
    /// JSON pointer to the id in that answer; nothing is there when there is no ticket.
    pub(super) id_at: &'static str,
    /// With a ticket; `None`: there is nothing to do.
    pub(super) change: Option<Change>,
    /// Without one; `None`: there is nothing to do.
    pub(super) make: Option<Message>,
}

/// The requests for an event. `body` is `incident_v1` or `report_v1` as text, `at_ns` when the event happened, in nanoseconds UTC.
pub(super) fn plan(target: &Target, url: &Url, format: Format, body: &str, at_ns: i64) -> Plan {
    let event: Value = serde_json::from_str(body).unwrap_or_default();
    let story = Story::new(&event);
    let post = |url: Url, body: Value| Plan::Send(Message { method: Method::POST, url, body: body.to_string() });
    match format {
        Format::Alertmanager | Format::PagerDuty | Format::ServiceNow | Format::Jira if story.report().is_some() => {
            Plan::Never(
                "a report goes to a sink of the format incident_v1 or slack, or of the connector email".to_owned(),
            )
        }
        Format::IncidentV1 => Plan::Send(Message { method: Method::POST, url: url.clone(), body: body.to_owned() }),
        Format::Alertmanager => post(below(url, "api/v2/alerts"), alertmanager::alerts(story, at_ns)),
        Format::PagerDuty => {
            let key = target.token.as_ref().map(Secret::expose).unwrap_or_default();
            post(url.clone(), pagerduty::event(story, key, at_ns))
        }
        Format::Slack => post(url.clone(), slack::text(story)),
        Format::ServiceNow => Plan::Ticket(Box::new(servicenow::ticket(story, &below(url, "api/now/table/incident")))),
        Format::Jira => Plan::Ticket(Box::new(jira::ticket(story, url, target.project.as_deref().unwrap_or_default()))),
    }
}

/// A path below a URL, unless the URL already ends with it.
fn below(url: &Url, path: &str) -> Url {
    if url.path().trim_end_matches('/').ends_with(path) { url.clone() } else { under(url, path.split('/')) }
}

fn under<'a>(url: &Url, parts: impl IntoIterator<Item = &'a str>) -> Url {
    let mut url = url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(parts);
    }
    url
}

/// Such as `2026-05-01T10:07:00Z`.
fn rfc3339(at_ns: i64) -> String {
    DateTime::from_timestamp_nanos(at_ns).to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::story::tests::{any_event, opened};
    use super::*;

    /// 2026-05-01T10:07:00Z, and a quarter of an hour later.
    pub(super) const OPENED_NS: i64 = 1_777_630_020_000_000_000;
    pub(super) const LATER_NS: i64 = OPENED_NS + 900_000_000_000;

    fn target(format: &str) -> Target {
        let options =
            [("format", format), ("url", "https://desk.example.com/base/"), ("token", "the-token"), ("project", "OPS")];
        let option = |name: &str| options.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Target::read(&option).expect("good options")
    }

    fn url() -> Url {
        Url::parse("https://desk.example.com/base/").expect("a URL")
    }

    fn sent(format: Format, name: &str) -> Message {
        match plan(&target(name), &url(), format, &opened().to_string(), OPENED_NS) {
            Plan::Send(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_format_has_its_place() {
        let place = |format, name| sent(format, name).url.to_string();
        assert_eq!(place(Format::IncidentV1, "incident_v1"), "https://desk.example.com/base/");
        assert_eq!(place(Format::Alertmanager, "alertmanager"), "https://desk.example.com/base/api/v2/alerts");
        assert_eq!(place(Format::PagerDuty, "pagerduty"), "https://desk.example.com/base/");
        let whole = Url::parse("https://a.example.com/api/v2/alerts").expect("a URL");
        assert_eq!(below(&whole, "api/v2/alerts"), whole);
    }

    #[test]
    fn an_event_that_goes_out_as_it_is_keeps_every_byte() {
        let odd = r#"{ "event" :"incident.opened" }"#;
        let Plan::Send(message) = plan(&target("incident_v1"), &url(), Format::IncidentV1, odd, 0) else {
            panic!("one request")
        };
        assert_eq!(message.body, odd);
    }

    #[test]
    fn a_report_goes_where_there_is_a_place_for_it() {
        let report = r#"{"schema": "report_v1", "report": "monthly", "rows": [{"cost": 1}]}"#;
        let plan = |name: &str| plan(&target(name), &url(), name.parse().expect("a format"), report, 0);
        assert!(matches!(plan("incident_v1"), Plan::Send(message) if message.body == report));
        assert!(matches!(plan("slack"), Plan::Send(message) if message.body.contains("cost: 1")));
        for name in ["alertmanager", "pagerduty", "servicenow", "jira"] {
            assert!(matches!(plan(name), Plan::Never(_)), "{name}");
        }
    }

    #[test]
    fn an_id_is_one_part_of_a_path() {
        let change = Change { method: Method::PUT, tickets: url(), after: Some("comment"), body: String::new() };
        let message = change.of("../../admin?x=1");
        assert_eq!(message.url.as_str(), "https://desk.example.com/base/..%2F..%2Fadmin%3Fx=1/comment");
    }

    proptest! {
        #[test]
        fn any_event_gives_a_message_in_every_format(event in any_event(), at_ns: i64) {
            for name in ["incident_v1", "alertmanager", "pagerduty", "slack", "servicenow", "jira"] {
                let format = name.parse().expect("a format");
                let bodies = match plan(&target(name), &url(), format, &event.to_string(), at_ns) {
                    Plan::Send(message) => vec![message.body],
                    Plan::Ticket(ticket) => {
                        let change = ticket.change.map(|change| change.of("1").body);
                        change.into_iter().chain(ticket.make.map(|make| make.body)).collect()
                    }
                    Plan::Never(_) => Vec::new(),
                };
                for body in bodies {
                    prop_assert!(serde_json::from_str::<Value>(&body).is_ok());
                }
            }
        }
    }
}
