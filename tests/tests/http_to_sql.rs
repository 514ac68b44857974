//! The thinnest column: line protocol over HTTP in, SQL over PostgreSQL's protocol out, through one server in this process.

use std::path::Path;
use std::sync::Arc;

use plimsoll::{Config, Server};
use plimsoll_engine::env::SystemClock;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::harness::http;

/// A server on free ports.
async fn start(data: &Path) -> Server {
    let any_port = "127.0.0.1:0".parse().expect("an address");
    let config = Config { data: data.to_owned(), pg: any_port, http: any_port, ..Config::default() };
    Server::start(&config, Arc::new(SystemClock)).await.expect("the server starts")
}

async fn connect(server: &Server) -> Client {
    let config = format!("host={} port={} user=postgres dbname=postgres", server.pg_addr.ip(), server.pg_addr.port());
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.expect("the server takes connections");
    tokio::spawn(connection);
    client
}

/// Posts from a thread of its own: the helper blocks.
async fn post(server: &Server, path: &'static str, body: &'static str) -> (u16, String) {
    let addr = server.http_addr;
    let answer = tokio::task::spawn_blocking(move || http(addr, "POST", path, body)).await;
    answer.expect("no panic").expect("an answer")
}

/// The rows of a query as text, `NULL` for NULL.
async fn rows(client: &Client, sql: &str) -> Vec<Vec<String>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let row = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL").to_owned()).collect::<Vec<_>>())
        }
        _ => None,
    };
    messages.into_iter().filter_map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_can_be_asked_for_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path()).await;
    let points = "cpu,hostname=a usage=1.5,n=3i 1700000000000000000\n\
                  cpu,hostname=b usage=2.5 1700000001000000000\n\
                  cpu,hostname=a ok=true,note=\"two words\" 1700000000000000000\n";
    assert_eq!(post(&server, "/api/v2/write?bucket=b&precision=ns", points).await.0, 204);
    let ask = "SELECT time, hostname, usage, n, ok, note FROM cpu ORDER BY time";
    let wanted = vec![
        vec!["2023-11-14 22:13:20+00", "a", "1.5", "3", "t", "two words"],
        vec!["2023-11-14 22:13:21+00", "b", "2.5", "NULL", "NULL", "NULL"],
    ];
    assert_eq!(rows(&connect(&server).await, ask).await, wanted);
    server.stop().await.expect("a graceful stop");

    let server = start(dir.path()).await;
    let client = connect(&server).await;
    assert_eq!(rows(&client, ask).await, wanted);
    let counted = client.query("SELECT count(*) FROM cpu WHERE usage > $1", &[&2.0_f64]).await.expect("an answer");
    assert_eq!(counted[0].get::<_, i64>(0), 1);
    drop(client);
    server.stop().await.expect("a graceful stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_not_as_expected_go_where_the_table_says_also_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path()).await;
    // The series is known to the server before its table expects anything.
    assert_eq!(post(&server, "/write?db=b", "m,h=a v=1 1\n").await.0, 204);
    let client = connect(&server).await;
    let expectations = "ALTER TABLE m ADD CONSTRAINT small EXPECT (v < 100) ON VIOLATION QUARANTINE, \
                        ADD CONSTRAINT positive EXPECT (v >= 0) ON VIOLATION FAIL, \
                        ADD CONSTRAINT seldom EXPECT (v <> 13) ON VIOLATION DROP ROW";
    client.batch_execute(expectations).await.expect("expectations");
    let (status, body) = post(&server, "/write?db=b", "m,h=a v=2 2\nm,h=a v=-3 3\nm,h=a v=400 4\nm,h=a v=13 5\n").await;
    assert_eq!(status, 400);
    assert!(body.contains("violates expectation \\\"positive\\\": v >= 0 (line 2) dropped=1"), "{body}");
    let refused = client.batch_execute("INSERT INTO m (time, h, v) VALUES (now(), 'a', -1)").await;
    assert_eq!(refused.expect_err("it is refused").code(), Some(&SqlState::CHECK_VIOLATION));
    drop(client);
    server.stop().await.expect("a graceful stop");

    let server = start(dir.path()).await;
    let client = connect(&server).await;
    assert_eq!(post(&server, "/write?db=b", "m,h=a v=6 6\nm,h=a v=700 7\n").await.0, 204);
    assert_eq!(rows(&client, "SELECT v FROM m ORDER BY time").await, [["1"], ["2"], ["6"]]);
    let aside = rows(&client, "SELECT v, rule, actor FROM quarantine.m ORDER BY time").await;
    assert_eq!(aside, [["400", "small", "line protocol"], ["700", "small", "line protocol"]]);
    let shown = rows(&client, "SHOW CREATE TABLE m").await.concat().concat();
    assert!(shown.contains("CONSTRAINT small EXPECT (v < 100) ON VIOLATION QUARANTINE"), "{shown}");
    let counted = rows(&client, "SELECT rule, violated FROM sys.expectation ORDER BY rule").await;
    assert_eq!(counted, [["positive", "0"], ["seldom", "1"], ["small", "2"]]);
    drop(client);
    server.stop().await.expect("a graceful stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_is_named_and_the_good_ones_are_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path()).await;
    let (status, body) =
        post(&server, "/write?db=b", "t,h=a v=1 1\nnot a point\nt,h=a v=2 2\nt,h=a v=\"text\" 3\n").await;
    assert_eq!(status, 400);
    assert!(body.contains("partial write"), "{body}");
    assert_eq!(rows(&connect(&server).await, "SELECT v FROM t ORDER BY time").await, [["1"], ["2"]]);
    server.stop().await.expect("a graceful stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_make_no_table_with_the_name_of_a_view() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path()).await;
    let client = connect(&server).await;
    client.batch_execute("CREATE VIEW busy AS SELECT 1 AS one").await.expect("made");
    let (status, body) =
        post(&server, "/write?db=d", "room c=21 1000000000\nbusy c=22 1000000000\nroom c=23 2000000000").await;
    assert_eq!(status, 400);
    assert!(body.contains("\\\"busy\\\" is a view: no rows can be written into it"), "{body}");
    assert!(body.contains("line 2"), "{body}");
    assert_eq!(rows(&client, "SELECT c FROM room ORDER BY time").await, [["21"], ["23"]]);
    assert_eq!(rows(&client, "SELECT one FROM busy").await, [["1"]]);
    server.stop().await.expect("a graceful stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_sql_says_where_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path()).await;
    let client = connect(&server).await;
    assert_eq!(post(&server, "/write?db=b", "t,h=a v=1 1\n").await.0, 204);
    for (sql, state) in [("SELEC 1", "42601"), ("SELECT nothing FROM t", "42703"), ("SELECT 1 FROM nothing", "42P01")] {
        let error = client.simple_query(sql).await.expect_err("it is wrong");
        assert_eq!(error.code().map(SqlState::code), Some(state), "{sql}: {error:?}");
    }
    assert_eq!(rows(&client, "SELECT v FROM t").await, [["1"]]);
    drop(client);
    server.stop().await.expect("a graceful stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_in_the_form_of_prometheus() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path()).await;
    assert_eq!(post(&server, "/write?db=b", "t,h=a v=1 1\n").await.0, 204);
    let addr = server.http_addr;
    let page = tokio::task::spawn_blocking(move || http(addr, "GET", "/metrics", "")).await;
    let (status, text) = page.expect("no panic").expect("an answer");
    assert_eq!(status, 200);
    for name in [
        "plimsoll_build_info{",
        "plimsoll_tables ",
        "process_resident_memory_bytes ",
        "plimsoll_maintenance_steps_total ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "no {name} in\n{text}");
    }
    server.stop().await.expect("a graceful stop");
}
