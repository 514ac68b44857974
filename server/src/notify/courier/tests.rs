//! Attempts against a receiver that answers as it is told.

use super::*;
use crate::notify::receiver::{Receiver, Reply};

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_777_629_000 * SECOND;
const BODY: &str = r#"{"schema":"incident_v1","event":"incident.opened"}"#;

fn delivery(options: &[(&str, &str)]) -> Delivery {
    let option = |name: &str| options.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Delivery {
        event_id: "01968b2e-6f00-7000-8000-000000000001".to_owned(),
        target: Target::read(&option).expect("good options"),
        body: BODY.to_owned(),
        created_ns: NOW - SECOND,
        attempts: 0,
    }
}

async fn attempt(options: &[(&str, &str)]) -> Outcome {
    Courier::new().expect("HTTP").attempt(&delivery(options), NOW, 1.0).await
}

/// What becomes of an attempt when the receiver gives this reply.
async fn after(reply: Reply) -> Outcome {
    let receiver = Receiver::start([reply]).await;
    attempt(&[("url", &receiver.url("/hook")), ("allow_private", "true"), ("timeout", "200 ms")]).await
}

fn why(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Delivered { status } => status,
        Outcome::Later { why, .. } | Outcome::Dead { why } | Outcome::Gone { why } => why,
    }
}

#[tokio::test]
async fn an_event_arrives_as_it_is_signed_and_under_its_id() {
    let receiver = Receiver::start([Reply::status(200)]).await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let url = receiver.url("/hook?team=a");
    let more = [("secret", secret), ("token", "the-token"), ("headers", "x-team: payments")];
    let outcome = attempt(&[&[("url", url.as_str()), ("allow_private", "true")], &more[..]].concat()).await;
    assert_eq!(outcome, Outcome::Delivered { status: "200 OK".to_owned() });
    let got = receiver.requests().remove(0);
    assert_eq!(got.line, "POST /hook?team=a HTTP/1.1");
    assert_eq!(got.body, BODY);
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.header("x-team"), Some("payments"));
    assert_eq!(got.header("authorization"), Some("Bearer the-token"));
    assert_eq!(got.header("webhook-id"), Some("01968b2e-6f00-7000-8000-000000000001"));
    assert_eq!(got.header("webhook-timestamp"), Some("1777629000"));
    let key = sign::key(secret).expect("a good secret");
    let wanted = sign::signatures(&[key], "01968b2e-6f00-7000-8000-000000000001", 1_777_629_000, BODY);
    assert_eq!(got.header("webhook-signature"), Some(wanted.as_str()));
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let receiver = Receiver::start([Reply::status(204)]).await;
    let outcome = attempt(&[("url", &receiver.url("/")), ("allow_hosts", "127.0.0.1")]).await;
    assert_eq!(outcome, Outcome::Delivered { status: "204 No Content".to_owned() });
    assert_eq!(receiver.requests().remove(0).header("webhook-signature"), None);
}

#[tokio::test]
async fn a_status_decides_what_happens_next() {
    assert_eq!(
        after(Reply::status(500).body("out of\nmemory")).await,
        Outcome::Later { at_ns: NOW + SECOND, why: "500 Internal Server Error out of memory".to_owned() }
    );
    assert_eq!(
        after(Reply::status(429).header("Retry-After", "7")).await,
        Outcome::Later { at_ns: NOW + 7 * SECOND, why: "429 Too Many Requests".to_owned() }
    );
    assert_eq!(
        after(Reply::status(503).header("Retry-After", "Fri, 01 May 2026 09:50:30 GMT")).await,
        Outcome::Later { at_ns: NOW + 30 * SECOND, why: "503 Service Unavailable".to_owned() }
    );
    assert_eq!(
        after(Reply::status(400).body("no such field")).await,
        Outcome::Dead { why: "400 Bad Request no such field".to_owned() }
    );
    assert_eq!(after(Reply::status(410)).await, Outcome::Gone { why: "410 Gone".to_owned() });
}

#[tokio::test]
async fn redirections_are_not_followed() {
    let secret_place = Receiver::start([Reply::status(200)]).await;
    let outcome = after(Reply::status(302).header("Location", &secret_place.url("/admin"))).await;
    assert_eq!(outcome, Outcome::Dead { why: "302 Found".to_owned() });
    assert!(secret_place.requests().is_empty());
}

#[tokio::test]
async fn silence_and_broken_connections_are_tried_again() {
    assert_eq!(
        after(Reply::stall()).await,
        Outcome::Later { at_ns: NOW + SECOND, why: "no answer within 200ms".to_owned() }
    );
    let dropped = after(Reply::drop()).await;
    assert!(matches!(dropped, Outcome::Later { at_ns, .. } if at_ns == NOW + SECOND), "{dropped:?}");
    let nobody = Receiver::start([]).await;
    let url = nobody.url("/hook");
    nobody.stop().await;
    let refused = attempt(&[("url", &url), ("allow_private", "true")]).await;
    assert!(matches!(refused, Outcome::Later { .. }) && why(&refused).contains("refused"), "{refused:?}");
    assert!(!why(&refused).contains("/hook"), "{refused:?}");
}

#[tokio::test]
async fn a_body_without_end_is_cut() {
    let delivered = after(Reply::status(200).endless()).await;
    assert_eq!(delivered, Outcome::Delivered { status: "200 OK".to_owned() });
    let dead = after(Reply::status(400).endless()).await;
    assert!(matches!(dead, Outcome::Dead { .. }) && why(&dead).chars().count() <= 201, "{dead:?}");
    let stalled = after(Reply::status(410).stalled_body()).await;
    assert_eq!(stalled, Outcome::Gone { why: "410 Gone".to_owned() });
}

#[tokio::test]
async fn private_places_are_not_reached() {
    let receiver = Receiver::start([Reply::status(200)]).await;
    let outcome = attempt(&[("url", &receiver.url("/hook").replace("127.0.0.1", "localhost"))]).await;
    assert!(matches!(outcome, Outcome::Dead { .. }), "{outcome:?}");
    assert!(why(&outcome).starts_with("localhost (") && why(&outcome).contains("loopback"), "{outcome:?}");

    let mut literal = delivery(&[("url", &receiver.url("/hook")), ("allow_private", "true")]);
    literal.target.allow_private = false;
    let outcome = Courier::new().expect("HTTP").attempt(&literal, NOW, 1.0).await;
    assert!(why(&outcome).starts_with("127.0.0.1 is a loopback address"), "{outcome:?}");
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn an_old_event_gets_one_attempt_and_no_more() {
    let receiver = Receiver::start([Reply::status(503), Reply::status(200)]).await;
    let mut old = delivery(&[("url", &receiver.url("/hook")), ("allow_private", "true"), ("max_age", "1 hour")]);
    old.created_ns = NOW - 2 * 3600 * SECOND;
    old.attempts = 8;
    let courier = Courier::new().expect("HTTP");
    let first = courier.attempt(&old, NOW, 1.0).await;
    assert_eq!(first, Outcome::Dead { why: "503 Service Unavailable; attempt 9 was the last".to_owned() });
    let again = courier.attempt(&old, NOW, 1.0).await;
    assert_eq!(again, Outcome::Delivered { status: "200 OK".to_owned() }, "a dead letter that is sent again");
}

#[tokio::test]
async fn a_ticket_is_looked_for_and_then_made_or_changed() {
    let none = Reply::status(200).body(r#"{"result":[]}"#);
    let one = Reply::status(200).body(r#"{"result":[{"sys_id":"46d4"}]}"#);
    let receiver = Receiver::start([none, Reply::status(201), one, Reply::status(200)]).await;
    let url = receiver.url("/");
    let mut event = delivery(&[
        ("url", &url),
        ("format", "servicenow"),
        ("allow_private", "true"),
        ("username", "bot"),
        ("password", "pw"),
    ]);
    event.body = r#"{"event":"incident.opened","incident":{"id":4711,"key":"checkout"}}"#.to_owned();
    let courier = Courier::new().expect("HTTP");
    let first = courier.attempt(&event, NOW, 1.0).await;
    assert_eq!(first, Outcome::Delivered { status: "201 Created".to_owned() });
    let again = courier.attempt(&event, NOW, 1.0).await;
    assert_eq!(again, Outcome::Delivered { status: "200 OK".to_owned() });
    let requests = receiver.requests();
    let lines: Vec<&str> = requests.iter().map(|request| request.line.as_str()).collect();
    let find = "GET /api/now/table/incident?sysparm_query=correlation_id%3Dplimsoll-checkout-4711\
        &sysparm_fields=sys_id&sysparm_limit=1 HTTP/1.1";
    let make = "POST /api/now/table/incident HTTP/1.1";
    let change = "PATCH /api/now/table/incident/46d4 HTTP/1.1";
    assert_eq!(lines, [find, make, find, change]);
    assert!(requests.iter().all(|request| request.header("authorization") == Some("Basic Ym90OnB3")));
}

#[tokio::test]
async fn a_search_that_fails_makes_no_ticket() {
    for (reply, wanted) in [
        (Reply::status(410), Outcome::Dead { why: "search: 410 Gone".to_owned() }),
        (Reply::status(200).body("<html>"), Outcome::Dead { why: "search: the answer is not JSON".to_owned() }),
        (Reply::status(502), Outcome::Later { at_ns: NOW + SECOND, why: "search: 502 Bad Gateway".to_owned() }),
    ] {
        let receiver = Receiver::start([reply]).await;
        let url = receiver.url("/");
        let outcome =
            attempt(&[("url", &url), ("format", "jira"), ("project", "OPS"), ("allow_private", "true")]).await;
        assert_eq!(outcome, wanted);
        assert_eq!(receiver.requests().len(), 1);
    }
}

#[tokio::test]
async fn reasons_hide_secrets() {
    let receiver = Receiver::start([Reply::status(401).body("wrong token: the-token")]).await;
    let outcome = attempt(&[("url", &receiver.url("/hook")), ("allow_private", "true"), ("token", "the-token")]).await;
    assert_eq!(outcome, Outcome::Dead { why: "401 Unauthorized wrong token: ***".to_owned() });
}
