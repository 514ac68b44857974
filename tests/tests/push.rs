//! What clients are told without asking, and what a service desk tells: LISTEN, SUBSCRIBE, server-sent events, tickets.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, pin_mut};
use plimsoll::{Config, Server};
use plimsoll_engine::env::SystemClock;
use tokio_postgres::{AsyncMessage, Client, NoTls, Notification};

use crate::harness::http;

/// Longest wait for something to be told: far more than it takes.
const PATIENCE: Duration = Duration::from_secs(120);

async fn server() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().expect("a directory");
    let any_port = "127.0.0.1:0".parse().expect("an address");
    let config = Config { data: dir.path().to_owned(), pg: any_port, http: any_port, ..Config::default() };
    let server = Server::start(&config, Arc::new(SystemClock)).await.expect("the server starts");
    (dir, server)
}

/// A client, and what it is notified of.
async fn client(server: &Server) -> (Client, tokio::sync::mpsc::UnboundedReceiver<Notification>) {
    client_of("alice", server).await
}

async fn client_of(user: &str, server: &Server) -> (Client, tokio::sync::mpsc::UnboundedReceiver<Notification>) {
    let address = format!("host={} port={} user={user} dbname=postgres", server.pg_addr.ip(), server.pg_addr.port());
    let (client, mut connection) = tokio_postgres::connect(&address, NoTls).await.expect("a connection");
    let (sender, notifications) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
        pin_mut!(messages);
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message
                && sender.send(notification).is_err()
            {
                return;
            }
        }
    });
    (client, notifications)
}

async fn soon<T>(what: impl Future<Output = Option<T>>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time").expect("there is more")
}

/// An event stream that is read line by line.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(addr: SocketAddr, path: &str) -> Events {
        let mut stream = TcpStream::connect(addr).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").expect("the request goes out");
        let mut events = Events(BufReader::new(stream));
        let mut line = events.line();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        let mut is_stream = false;
        while !line.is_empty() {
            is_stream |= line.to_lowercase() == "content-type: text/event-stream";
            line = events.line();
        }
        assert!(is_stream);
        events
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// The next event: its name and its data.
    fn next(&mut self) -> (String, serde_json::Value) {
        let mut name = String::new();
        loop {
            let line = self.line();
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).expect("JSON"));
            }
        }
    }
}

const ALERT: &str = "CREATE TABLE requests (time timestamptz, region text, ms float8);
    CREATE SERVICE checkout TIER 0 OWNER shop;
    CREATE ALERT too_slow ON SERVICE checkout AS SELECT time_bucket('1 min', time) AS time, region, avg(ms) AS value
      FROM requests GROUP BY 1, 2 WHEN value > 500 SEVERITY 'critical'";

const SLOW: &str =
    "INSERT INTO requests VALUES (now() - interval '3 min', 'eu', 100), (now() - interval '2 min', 'eu', 900),
    (now(), 'eu', 900)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_hear_what_others_send_and_what_alerts_do() {
    let (_dir, server) = server().await;
    let (listener, mut heard) = client(&server).await;
    let (other, mut nothing) = client(&server).await;
    listener.batch_execute("LISTEN jobs; LISTEN alert; LISTEN incident").await.expect("it listens");
    other.batch_execute("LISTEN elsewhere; NOTIFY jobs, 'it''s done'; NOTIFY elsewhere").await.expect("it is sent");
    let told = soon(heard.recv()).await;
    assert_eq!((told.channel(), told.payload()), ("jobs", "it's done"));
    assert_ne!(told.process_id(), 0);
    assert_eq!(soon(nothing.recv()).await.channel(), "elsewhere");
    listener.batch_execute("NOTIFY jobs, 'to myself'").await.expect("it is sent");
    assert_eq!(soon(heard.recv()).await.payload(), "to myself");
    other.batch_execute("SELECT pg_notify('jobs', 'by a function')").await.expect("it is sent");
    assert_eq!(soon(heard.recv()).await.payload(), "by a function");
    let channels = listener.query("SELECT pg_listening_channels()", &[]).await.expect("channels");
    let channels: Vec<String> = channels.iter().map(|row| row.get(0)).collect();
    assert_eq!(channels, ["alert", "incident", "jobs"]);
    let long = "x".repeat(8000);
    let refused = other.batch_execute(&format!("NOTIFY jobs, '{long}'")).await.expect_err("too long");
    assert_eq!(refused.code(), Some(&tokio_postgres::error::SqlState::INVALID_PARAMETER_VALUE));

    other.batch_execute(ALERT).await.expect("all of it is defined");
    other.batch_execute(SLOW).await.expect("rows");
    let (mut alerts, mut incidents) = (Vec::new(), Vec::new());
    while alerts.len() < 2 || incidents.is_empty() {
        let told = soon(heard.recv()).await;
        let payload: serde_json::Value = serde_json::from_str(told.payload()).expect("JSON");
        match told.channel() {
            "alert" => alerts.push(payload),
            "incident" => incidents.push(payload),
            other => panic!("{other}"),
        }
    }
    assert_eq!(alerts[0]["alert"], "too_slow");
    assert_eq!(alerts[0]["event"], "firing");
    assert_eq!(alerts[0]["labels"]["region"], "eu");
    assert_eq!((&alerts[1]["event"], &alerts[1]["incident_id"]), (&"opened".into(), &1.into()));
    assert_eq!((&incidents[0]["event"], &incidents[0]["incident_id"]), (&"opened".into(), &1.into()));

    listener.batch_execute("UNLISTEN *").await.expect("no more");
    other.batch_execute("NOTIFY jobs, 'unheard'; CALL acknowledge(1)").await.expect("it is sent");
    listener.batch_execute("LISTEN last; NOTIFY last").await.expect("it is sent");
    assert_eq!(soon(heard.recv()).await.channel(), "last");
    server.stop().await.expect("a graceful stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_gives_the_rows_and_then_how_they_change() {
    let (_dir, server) = server().await;
    let (writer, _) = client(&server).await;
    let (reader, _) = client(&server).await;
    writer
        .batch_execute("INSERT INTO ops.change (id, service) VALUES ('a', 'checkout'), ('b', 'checkout')")
        .await
        .expect("rows");
    let text = "SUBSCRIBE TO (SELECT id, kind FROM ops.change ORDER BY id) WITH (min_interval = '100 ms')";
    let rows = reader.query_raw(text, std::iter::empty::<&str>()).await.expect("it begins");
    pin_mut!(rows);
    let names = |row: &tokio_postgres::Row| {
        let names: Vec<String> = row.columns().iter().map(|column| column.name().to_owned()).collect();
        names.join(" ")
    };
    let mut next = async || {
        let row = soon(rows.next()).await.expect("a row");
        assert_eq!(names(&row), "changed_at diff id kind");
        (row.get::<_, i16>(1), row.get::<_, String>(2), row.get::<_, Option<String>>(3))
    };
    assert_eq!(next().await, (1, "a".to_owned(), None));
    assert_eq!(next().await, (1, "b".to_owned(), None));
    writer.batch_execute("UPDATE ops.change SET kind = 'deployment' WHERE id = 'a'").await.expect("a change");
    assert_eq!(next().await, (-1, "a".to_owned(), None));
    assert_eq!(next().await, (1, "a".to_owned(), Some("deployment".to_owned())));
    writer.batch_execute("DELETE FROM ops.change WHERE id = 'b'").await.expect("a change");
    assert_eq!(next().await, (-1, "b".to_owned(), None));
    reader.cancel_token().cancel_query(NoTls).await.expect("it is asked to stop");
    let stopped = soon(rows.next()).await.expect_err("it is stopped");
    assert_eq!(stopped.code(), Some(&tokio_postgres::error::SqlState::QUERY_CANCELED));
    let wrong = reader.batch_execute("SUBSCRIBE TO (SELECT x FROM nowhere)").await.expect_err("no such table");
    assert_eq!(wrong.code(), Some(&tokio_postgres::error::SqlState::UNDEFINED_TABLE));
    server.stop().await.expect("a graceful stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_subscription_gives_lines_as_they_come() {
    let (_dir, server) = server().await;
    let (writer, _) = client(&server).await;
    let (reader, _) = client(&server).await;
    writer.batch_execute("INSERT INTO ops.change (id, service) VALUES ('a', 'checkout')").await.expect("a row");
    let text = "COPY (SUBSCRIBE TO (SELECT id, kind FROM ops.change) WITH (min_interval = '100 ms')) TO STDOUT";
    let lines = reader.copy_out(text).await.expect("it begins");
    pin_mut!(lines);
    let mut next = async || {
        let line = soon(lines.next()).await.expect("a line");
        let line = String::from_utf8(line.to_vec()).expect("text");
        let (_changed_at, rest) = line.trim_end().split_once('\t').expect("columns");
        rest.to_owned()
    };
    assert_eq!(next().await, "1\ta\t\\N");
    writer.batch_execute("UPDATE ops.change SET kind = 'deployment'").await.expect("a change");
    assert_eq!(next().await, "-1\ta\t\\N");
    assert_eq!(next().await, "1\ta\tdeployment");
    reader.cancel_token().cancel_query(NoTls).await.expect("it is asked to stop");
    let stopped = soon(lines.next()).await.expect_err("it is stopped");
    assert_eq!(stopped.code(), Some(&tokio_postgres::error::SqlState::QUERY_CANCELED));
    let wrong = reader.batch_execute("COPY (SUBSCRIBE TO (SELECT 1) TO STDOUT").await.expect_err("no parenthesis");
    assert_eq!(wrong.code(), Some(&tokio_postgres::error::SqlState::SYNTAX_ERROR));
    server.stop().await.expect("a graceful stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_streams_tell_of_alerts_and_of_queries() {
    let (_dir, server) = server().await;
    let (writer, _) = client(&server).await;
    let addr = server.http_addr;
    let opened = tokio::task::spawn_blocking(move || {
        let events = Events::open(addr, "/api/v1/events?channel=incident");
        let query = "query=SELECT%20id%2C%20state%20FROM%20ops.incident&snapshot=false&min_interval=100%20ms";
        (events, Events::open(addr, &format!("/api/v1/subscribe?{query}")))
    });
    let (mut events, mut subscription) = opened.await.expect("both are open");
    writer.batch_execute(ALERT).await.expect("all of it is defined");
    writer.batch_execute(SLOW).await.expect("rows");
    let told = tokio::task::spawn_blocking(move || (events.next(), subscription.next(), (events, subscription)));
    let ((event, incident), (change, row), open) = told.await.expect("both are told");
    assert_eq!((event.as_str(), &incident["event"]), ("incident", &"opened".into()));
    assert_eq!(change, "change");
    assert_eq!((&row["diff"], &row["row"]["id"], &row["row"]["state"]), (&1.into(), &1.into(), &"new".into()));
    let (status, body) =
        http(addr, "GET", "/api/v1/subscribe?query=SELECT%20x%20FROM%20nowhere", "").expect("an answer");
    assert_eq!(status, 400);
    assert!(body.contains("nowhere"), "{body}");
    let (status, body) = http(addr, "GET", "/api/v1/subscribe?query=SELECT%201)%20WITH%20(x", "").expect("an answer");
    assert_eq!(status, 400, "{body}");
    // Open streams do not hold the stop up.
    server.stop().await.expect("a graceful stop");
    drop(open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_of_a_service_desk_become_incidents_and_stay_up_to_date() {
    let (_dir, server) = server().await;
    let (client, _) = client(&server).await;
    let addr = server.http_addr;
    let post = |body: &str| {
        let (status, body) = http(addr, "POST", "/api/v1/incidents", body).expect("an answer");
        (status, serde_json::from_str::<serde_json::Value>(&body).expect("JSON"))
    };
    let (status, taken) = post(
        r#"[{"external_id": "INC1", "title": "checkout is down", "service": "checkout", "priority": 1,
             "opened_at": "2026-05-01T10:07:00Z"},
            {"external_id": "INC2", "title": "a colour", "state": "new"}]"#,
    );
    assert_eq!(status, 200, "{taken}");
    let known: BTreeMap<&str, bool> = taken
        .as_array()
        .expect("an array")
        .iter()
        .map(|ticket| (ticket["external_id"].as_str().expect("a name"), ticket["created"].as_bool().expect("a truth")))
        .collect();
    assert_eq!(known, BTreeMap::from([("INC1", true), ("INC2", true)]));

    let (status, taken) =
        post(r#"{"external_id": "INC1", "state": "resolved", "resolved_at": "2026-05-01T11:00:00+00:00"}"#);
    assert_eq!((status, &taken["created"], &taken["state"]), (200, &false.into(), &"resolved".into()));
    let row = client
        .query_one(
            "SELECT title, state, resolved_at::text, opened_at::text FROM ops.incident WHERE external_id = 'INC1'",
            &[],
        )
        .await
        .expect("the incident");
    let text = |at: usize| row.get::<_, String>(at);
    assert_eq!((text(0), text(1)), ("checkout is down".to_owned(), "resolved".to_owned()));
    assert_eq!((text(2), text(3)), ("2026-05-01 11:00:00+00".to_owned(), "2026-05-01 10:07:00+00".to_owned()));
    let events = client
        .query_one("SELECT count(*) FROM ops.incident_event WHERE event = 'resolved' AND actor = 'api'", &[])
        .await
        .expect("a count");
    assert_eq!(events.get::<_, i64>(0), 1);

    // What is wrong is said where it is, and nothing is half done.
    for (body, wanted) in [
        (r#"[{"external_id": "INC3"}, {"external_id": "INC4", "state": "lost"}]"#, "ticket 1"),
        (r#"{"title": "nameless"}"#, "external_id"),
        (r#"{"external_id": "INC5", "titel": "x"}"#, "did you mean \\\"title\\\""),
        (r#"{"external_id": "INC5", "priority": "high"}"#, "is not a whole number"),
        (r#"{"external_id": "INC5", "opened_at": "yesterday"}"#, "2026-05-01T10:07:00Z"),
        ("[1]", "a ticket is an object"),
        ("{", "no JSON"),
    ] {
        let (status, answer) = post(body);
        assert_eq!(status, 400, "{answer}");
        assert!(answer.to_string().contains(wanted), "{wanted}: {answer}");
    }
    let count = client.query_one("SELECT count(*) FROM ops.incident", &[]).await.expect("a count");
    assert_eq!(count.get::<_, i64>(0), 2);
    server.stop().await.expect("a graceful stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_listen_no_longer_hears_nothing() {
    let (_dir, server) = server().await;
    let (alice, _) = client(&server).await;
    alice.batch_execute("CREATE USER alice SUPERUSER; CREATE USER bob; GRANT viewer TO bob").await.expect("made");
    let (bob, mut heard) = client_of("bob", &server).await;
    bob.batch_execute("LISTEN jobs").await.expect("he may");
    alice.batch_execute("NOTIFY jobs, 'one'").await.expect("sent");
    assert_eq!(soon(heard.recv()).await.payload(), "one");
    alice.batch_execute("REVOKE viewer FROM bob; NOTIFY jobs, 'two'").await.expect("sent");
    assert!(bob.batch_execute("LISTEN jobs").await.is_err());
    while !bob.query("SELECT pg_listening_channels()", &[]).await.expect("channels").is_empty() {}
    alice.batch_execute("GRANT viewer TO bob").await.expect("granted");
    bob.batch_execute("LISTEN jobs").await.expect("he may again");
    alice.batch_execute("NOTIFY jobs, 'three'").await.expect("sent");
    assert_eq!(soon(heard.recv()).await.payload(), "three");
    server.stop().await.expect("a graceful stop");
}
