//! The agent against a real HTTP receiver: order, retries, halves, and what is kept for the next run.

use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use flate2::read::GzDecoder;
use plimsoll_engine::env::SystemClock;
use tokio::net::TcpListener;

use super::*;

/// Answers in the order given (then always 204) and keeps the bodies that it took.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<Vec<u16>>,
    taken: Mutex<Vec<String>>,
    lines_max: usize,
}

async fn take(State(script): State<Arc<Script>>, body: Bytes) -> StatusCode {
    let mut lines = String::new();
    GzDecoder::new(&body[..]).read_to_string(&mut lines).expect("the agent sends gzip");
    if lines.lines().count() > script.lines_max {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    let mut answers = script.answers.lock().expect("not poisoned");
    let status = if answers.is_empty() { 204 } else { answers.remove(0) };
    if status == 204 {
        script.taken.lock().expect("not poisoned").push(lines);
    }
    StatusCode::from_u16(status).expect("a status")
}

async fn receiver(answers: &[u16], lines_max: usize) -> (String, Arc<Script>) {
    let script = Arc::new(Script { answers: Mutex::new(answers.to_vec()), lines_max, ..Script::default() });
    let router = Router::new().route("/api/v2/write", post(take)).with_state(Arc::clone(&script));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, script)
}

fn buffer(dir: &std::path::Path, batches: &[&str]) -> Buffer {
    let mut spool = Spool::open(dir, 1 << 20).expect("opens");
    for lines in batches {
        spool.push(lines).expect("stored");
    }
    Buffer { spool: Mutex::new(spool), filled: Notify::new() }
}

/// Sends until `count` batches are delivered.
async fn deliver(sender: &Sender, buffer: &Buffer, count: u64) {
    let quick = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(2) };
    let delivered = watch::Sender::new(0);
    let mut seen = delivered.subscribe();
    tokio::select! {
        () = send_loop(sender, buffer, quick, &delivered) => {}
        result = seen.wait_for(|n| *n == count) => { result.expect("the sender lives"); }
    }
}

#[tokio::test]
async fn batches_are_retried_in_order_and_bad_ones_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let (url, script) = receiver(&[503, 429, 204, 400, 500], 10).await;
    let buffer = buffer(dir.path(), &["a 1", "refused 2", "c 3", "d 4"]);
    deliver(&Sender::new(&url, "b").expect("a URL"), &buffer, 3).await;
    assert_eq!(*script.taken.lock().expect("not poisoned"), ["a 1", "c 3", "d 4"]);
}

#[tokio::test]
async fn a_batch_that_is_too_large_arrives_in_parts() {
    let dir = tempfile::tempdir().expect("a directory");
    let (url, script) = receiver(&[], 2).await;
    let buffer = buffer(dir.path(), &["a 1\nb 2\nc 3\nd 4\ne 5\n"]);
    deliver(&Sender::new(&url, "b").expect("a URL"), &buffer, 1).await;
    let taken = script.taken.lock().expect("not poisoned");
    assert!(taken.len() >= 3);
    let lines: Vec<&str> = taken.iter().flat_map(|part| part.lines()).collect();
    assert_eq!(lines, ["a 1", "b 2", "c 3", "d 4", "e 5"]);
}

#[tokio::test]
async fn nothing_is_lost_while_the_server_is_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let gone = format!("http://{}", nobody.local_addr().expect("bound"));
    drop(nobody);
    let away = buffer(dir.path(), &["a 1", "b 2"]);
    let outcome = Sender::new(&gone, "b").expect("a URL").deliver("a 1").await;
    assert!(matches!(outcome, Delivery::Later { .. }), "{outcome:?}");
    drop(away);
    let (url, script) = receiver(&[], 10).await;
    deliver(&Sender::new(&url, "b").expect("a URL"), &buffer(dir.path(), &[]), 2).await;
    assert_eq!(*script.taken.lock().expect("not poisoned"), ["a 1", "b 2"]);
}

#[tokio::test]
async fn a_running_agent_delivers_samples_of_this_host() {
    let dir = tempfile::tempdir().expect("a directory");
    let (url, script) = receiver(&[], 10_000).await;
    let agent = Agent::new(&AgentConfig {
        to: url,
        bucket: "b".to_owned(),
        interval: Duration::from_millis(20),
        buffer: dir.path().join("buffer"),
        buffer_limit_bytes: 1 << 20,
        hostname: Some("h".to_owned()),
    });
    let agent = agent.expect("a valid configuration");
    let (mut delivered, stop) = (agent.delivered(), CancellationToken::new());
    let running = tokio::spawn(agent.run(Arc::new(SystemClock), stop.clone()));
    delivered.wait_for(|count| *count >= 2).await.expect("the agent lives");
    stop.cancel();
    running.await.expect("no panic");
    let taken = script.taken.lock().expect("not poisoned");
    assert!(taken.iter().all(|lines| lines.contains("\nmem,hostname=h ") || lines.starts_with("mem,hostname=h ")));
}

#[test]
fn samples_of_all_hosts_share_their_timestamps() {
    assert_eq!(next_tick(0, Duration::from_nanos(10)), 10);
    assert_eq!(next_tick(9, Duration::from_nanos(10)), 10);
    assert_eq!(next_tick(10, Duration::from_nanos(10)), 20);
    assert_eq!(next_tick(-1, Duration::from_nanos(10)), 0);
    assert_eq!(next_tick(i64::MAX, Duration::from_secs(1)), i64::MAX);
}
