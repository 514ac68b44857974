//! What ends a running statement: a cancel request, the client's leaving, a timeout, the server's stop.

use std::time::Duration;

use super::raw::{Raw, errors, kinds};
use super::server::{PgServer, said, text_rows};
use plimsoll::pgwire::PgLimits;
use tokio::io::AsyncReadExt;
use tokio_postgres::NoTls;

/// Rows without end, as far as a test is concerned.
const ENDLESS: &str = "SELECT a.n, b.n FROM numbers a, numbers b";

/// One row after a long time.
const SLOW: &str = "SELECT sum(a.n * b.n) FROM numbers a, numbers b";

const NUMBERS: i64 = 30_000;

async fn with_numbers(limits: PgLimits) -> PgServer {
    let server = PgServer::start_with(limits).await;
    server.write_numbers(NUMBERS);
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_request_stops_what_runs() {
    let server = with_numbers(PgLimits::default()).await;
    let client = server.connect().await;
    let token = client.cancel_token();
    for query in [SLOW, ENDLESS] {
        let canceled = async {
            // The request may come before the statement has begun; then it is for nothing, and is sent again.
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            loop {
                tick.tick().await;
                token.cancel_query(NoTls).await.unwrap();
            }
        };
        let error = tokio::select! {
            outcome = client.simple_query(query) => outcome.map(drop).unwrap_err(),
            () = canceled => unreachable!(),
        };
        let message = "canceling statement due to user request".to_owned();
        assert_eq!(said(&error), ("57014".to_owned(), message, None));
    }
    assert_eq!(text_rows(&client, "SELECT count(*) FROM numbers").await, ["30000"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_stops_what_runs() {
    let server = with_numbers(PgLimits::default()).await;
    let client = server.connect_with("options='-c statement_timeout=50ms'").await;
    for query in [SLOW, ENDLESS] {
        let error = client.simple_query(query).await.map(drop).unwrap_err();
        assert_eq!(said(&error).1, "canceling statement due to statement timeout");
    }
    assert_eq!(text_rows(&client, "SET statement_timeout = 0; SELECT count(*) FROM numbers").await, ["30000"]);
}

#[tokio::test]
async fn waiting_is_stopped_as_work_is() {
    let server = PgServer::start().await;
    let client = server.connect_with("options='-c statement_timeout=50ms'").await;
    let error = client.simple_query("SELECT pg_sleep(600)").await.map(drop).unwrap_err();
    assert_eq!(said(&error).1, "canceling statement due to statement timeout");
    assert_eq!(text_rows(&client, "SELECT pg_sleep(0.001), '{1,2}'::int[]").await, ["|{1,2}"]);
}

/// A place for one client only: it is free again when the statement of the client before is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_takes_its_statement_with_it() {
    let server = with_numbers(PgLimits { connections_max: 1, ..PgLimits::default() }).await;
    for query in [SLOW, ENDLESS] {
        let mut raw = session_when_free(&server).await;
        raw.send('Q', &[query.as_bytes(), b"\0"].concat()).await;
        if query == ENDLESS {
            raw.stream.read_u8().await.unwrap();
        }
        drop(raw);
    }
    session_when_free(&server).await;
}

async fn session_when_free(server: &PgServer) -> Raw {
    loop {
        let mut raw = Raw::open(server.addr).await;
        raw.startup(3 << 16, &[("user", "u")]).await;
        let greeting = raw.until_ready().await;
        if errors(&greeting).is_empty() {
            return raw;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_stops_in_order() {
    let grace = Duration::from_millis(50);
    let mut server = with_numbers(PgLimits { grace, ..PgLimits::default() }).await;
    let mut idle = Raw::session(server.addr).await;
    let mut busy = Raw::session(server.addr).await;
    busy.send('Q', &[SLOW.as_bytes(), b"\0"].concat()).await;
    assert_eq!(busy.message().await.unwrap().kind, 'T', "the statement runs");
    server.shutdown.cancel();
    let told = idle.until_closed().await;
    assert_eq!((kinds(&told).as_str(), errors(&told)), ("E", vec!["57P01".to_owned()]));
    assert_eq!(errors(&busy.until_closed().await), ["57P01"]);
    (&mut server.served).await.unwrap().unwrap();
}

/// The client reads nothing: the statement waits, and memory does not grow with the result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_never_held_whole() {
    let server = with_numbers(PgLimits::default()).await;
    let mut raw = Raw::session(server.addr).await;
    raw.send('Q', &[ENDLESS.as_bytes(), b"\0"].concat()).await;
    let (mut read, mut resident_before) = (0, 0);
    while read < 64 << 20 {
        let message = raw.message().await.unwrap();
        assert!(matches!(message.kind, 'T' | 'D'), "{}", message.text());
        read += message.body.len();
        if resident_before == 0 && read > 8 << 20 {
            resident_before = resident_bytes();
        }
    }
    let grown = resident_bytes().saturating_sub(resident_before);
    assert!(grown < 48 << 20, "{grown} bytes more after {read} bytes of rows");
}

/// Bytes of memory that the process holds, from `/proc`.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}
