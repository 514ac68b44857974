//! An alert from the rows to a receiver that is not always there, through one server in this process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use plimsoll::{Config, Server};
use plimsoll_engine::env::SystemClock;
use tokio_postgres::NoTls;

/// Longest wait for a request: far more than one takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a receiver was sent.
struct Request {
    head: String,
    body: serde_json::Value,
}

impl Request {
    fn header(&self, name: &str) -> String {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        found.next().unwrap_or_default().to_owned()
    }
}

/// A receiver on a free port that gives these answers, one after the other, and the last one from then on.
fn receiver(answers: &'static [&'static str]) -> (u16, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for (at, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
            let request = Request { head, body: serde_json::Value::Null };
            let length = request.header("content-length").parse().unwrap_or(0);
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("the whole body");
            let body = serde_json::from_slice(&body).expect("JSON");
            let answer = answers[at.min(answers.len() - 1)];
            let text = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(text.as_bytes()).expect("the answer goes out");
            if sender.send(Request { body, ..request }).is_err() {
                return;
            }
        }
    });
    (port, requests)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_fails_at_first_is_told_the_whole_story_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let any_port = "127.0.0.1:0".parse().expect("an address");
    let config = Config { data: dir.path().to_owned(), pg: any_port, http: any_port, ..Config::default() };
    let server = Server::start(&config, Arc::new(SystemClock)).await.expect("the server starts");
    let address = format!("host={} port={} user=alice dbname=postgres", server.pg_addr.ip(), server.pg_addr.port());
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let (port, requests) = receiver(&["503 Service Unavailable\r\nretry-after: 0", "204 No Content"]);
    let definitions = format!(
        "CREATE TABLE requests (time timestamptz, region text, ms float8);
         CREATE SERVICE checkout TIER 0 OWNER shop;
         CREATE KPI slow ON SERVICE checkout AS SELECT time_bucket('1 min', time) AS time, region, avg(ms) AS value
           FROM requests GROUP BY 1, 2 WITH (unit = 'ms');
         CREATE SINK pager WITH (url = 'http://127.0.0.1:{port}/hook', secret = 'quiet', allow_private = true);
         CREATE ESCALATION POLICY oncall (AFTER '0 min' NOTIFY pager);
         INSERT INTO ops.change (id, service, kind, starts_at)
           VALUES ('CHG-88', 'checkout', 'deployment', now() - interval '20 min');
         INSERT INTO ops.known_error (title, signature, workaround)
           VALUES ('pool exhausted', '{{\"alert\": \"too_slow\"}}', 'restart the pool');
         CREATE ALERT too_slow ON SERVICE checkout AS SELECT time, region, value FROM kpi.slow WHEN value > 500
           SEVERITY 'critical' ESCALATE TO oncall;
         INSERT INTO requests VALUES (now() - interval '3 min', 'eu', 100), (now() - interval '2 min', 'eu', 900),
           (now(), 'eu', 900)"
    );
    client.batch_execute(&definitions).await.expect("all of it is defined");
    let next = || requests.recv_timeout(PATIENCE).expect("a request");
    let (first, second) = (next(), next());
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert!(second.header("webhook-signature").starts_with("v1,"), "{}", second.head);
    let told = &second.body;
    assert_eq!(told["event"], "incident.opened");
    assert_eq!(told["sequence"], 1);
    assert_eq!(told["incident"]["priority"], 1);
    assert_eq!(told["service"]["owner"], "shop");
    assert_eq!(told["signal"]["value"], 900.0);
    assert_eq!(told["signal"]["unit"], "ms");
    assert_eq!(told["signal"]["top_dimensions"][0]["label"], "region=eu");
    assert_eq!(told["context"]["recent_changes"][0]["id"], "CHG-88");
    assert_eq!(told["context"]["known_errors"][0]["workaround"], "restart the pool");
    assert!(told["signal"]["points"].as_array().is_some_and(|points| !points.is_empty()), "{told}");

    client.batch_execute("CALL acknowledge(1, note => 'on it')").await.expect("it is taken up");
    let third = next();
    assert_eq!(
        (third.body["event"].as_str(), third.body["sequence"].as_i64()),
        (Some("incident.acknowledged"), Some(2))
    );
    assert_eq!(third.body["incident"]["assignee"], "alice");
    client.batch_execute("CALL resolve(1, 'pool restarted')").await.expect("it is resolved");
    let fourth = next();
    assert_eq!((fourth.body["event"].as_str(), fourth.body["sequence"].as_i64()), (Some("incident.resolved"), Some(3)));
    let refused = client.batch_execute("CALL close(1)").await.expect_err("a priority 1 needs a review");
    assert_eq!(refused.code(), Some(&tokio_postgres::error::SqlState::CHECK_VIOLATION));
    client
        .batch_execute("INSERT INTO ops.review (incident_id, summary) VALUES (1, 'pool too small'); CALL close(1)")
        .await
        .expect("it is closed after a review");
    assert_eq!(next().body["event"], "incident.closed");
    server.stop().await.expect("a graceful stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_no_event_could_reach_is_refused_when_it_is_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let any_port = "127.0.0.1:0".parse().expect("an address");
    let config = Config { data: dir.path().to_owned(), pg: any_port, http: any_port, ..Config::default() };
    let server = Server::start(&config, Arc::new(SystemClock)).await.expect("the server starts");
    let address = format!("host={} port={} user=alice dbname=postgres", server.pg_addr.ip(), server.pg_addr.port());
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    for (options, told) in [
        ("url = 'https://example.org', timeout = '10 min'", "at most 300 s"),
        ("url = 'https://example.org', secret = 'whsec_...'", "has to be base64"),
        ("url = 'https://example.org', format = 'jira', username = 'a', password = 'b'", "needs project"),
        ("url = 'http://10.0.0.1/hook'", "allow_private"),
        ("url = 'https://user:word@example.org'", "cannot hold a user"),
        ("url = 'https://example.org', username = 'a'", "go together"),
    ] {
        let refused = client.batch_execute(&format!("CREATE SINK s WITH ({options})")).await.expect_err(options);
        let refused = refused.as_db_error().expect("of the server");
        assert_eq!(refused.code().code(), "KP003", "{options}");
        assert!(refused.message().contains(told), "{options}: {}", refused.message());
    }
    client.batch_execute("CREATE SINK s WITH (url = 'https://example.org')").await.expect("a good one");
    client.batch_execute("ALTER SINK s SET (timeout = '1 hour')").await.expect_err("too long");
    server.stop().await.expect("a graceful stop");
}
