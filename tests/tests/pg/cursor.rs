//! Cursors of SQL and `COPY ... TO STDOUT`, message by message and through a driver.

use futures::TryStreamExt as _;

use super::raw::{Message, Raw, errors, kinds, tags};
use super::server::PgServer;

/// The values of the first column of rows that came as text.
fn firsts(messages: &[Message]) -> Vec<String> {
    let first = |body: &[u8]| {
        let length = u32::from_be_bytes(body[2..6].try_into().unwrap()) as usize;
        String::from_utf8_lossy(&body[6..6 + length]).into_owned()
    };
    messages.iter().filter(|message| message.kind == 'D').map(|message| first(&message.body)).collect()
}

async fn ten_numbers() -> (PgServer, Raw) {
    let server = PgServer::start().await;
    server.write_numbers(10);
    let raw = Raw::session(server.addr).await;
    (server, raw)
}

#[tokio::test]
async fn a_cursor_is_read_in_parts() {
    let (_server, mut raw) = ten_numbers().await;
    let said = raw.query("BEGIN; DECLARE \"C\" NO SCROLL CURSOR FOR SELECT n FROM numbers ORDER BY n").await;
    assert_eq!(tags(&said), ["BEGIN", "DECLARE CURSOR"]);
    let said = raw
        .query("FETCH 3 FROM \"C\"; MOVE FORWARD 2 IN \"C\"; FETCH \"C\"; FETCH ALL FROM \"C\"; FETCH NEXT FROM \"C\"")
        .await;
    assert_eq!(firsts(&said), ["0", "1", "2", "5", "6", "7", "8", "9"]);
    assert_eq!(tags(&said), ["FETCH 3", "MOVE 2", "FETCH 1", "FETCH 4", "FETCH 0"]);
    let said = raw.query("CLOSE \"C\"; COMMIT").await;
    assert_eq!(tags(&said), ["CLOSE CURSOR", "COMMIT"]);
    assert_eq!(errors(&raw.query("FETCH \"C\"").await), ["34000"]);
}

#[tokio::test]
async fn a_cursor_sees_what_was_there_when_it_was_declared() {
    let (server, mut raw) = ten_numbers().await;
    raw.query("BEGIN; DECLARE c CURSOR FOR SELECT count(*) FROM numbers").await;
    server.write_numbers(20);
    assert_eq!(firsts(&raw.query("FETCH c; SELECT count(*) FROM numbers").await), ["10", "20"]);
}

#[tokio::test]
async fn how_long_cursors_live() {
    let (_server, mut raw) = ten_numbers().await;
    assert_eq!(errors(&raw.query("DECLARE c CURSOR FOR SELECT 1").await), ["25P01"]);
    let held = "CURSOR WITH HOLD FOR SELECT n FROM numbers ORDER BY n";
    raw.query(&format!("BEGIN; DECLARE a {held}; DECLARE b CURSOR FOR SELECT 1; FETCH 2 FROM a; COMMIT")).await;
    assert_eq!(errors(&raw.query("FETCH b").await), ["34000"]);
    assert_eq!(firsts(&raw.query("FETCH a").await), ["2"]);
    assert_eq!(errors(&raw.query(&format!("DECLARE a {held}")).await), ["42P03"]);
    assert_eq!(firsts(&raw.query(&format!("CLOSE ALL; DECLARE a {held}; FETCH a")).await), ["0"]);
    raw.query(&format!("BEGIN; DECLARE gone {held}; ROLLBACK")).await;
    assert_eq!(errors(&raw.query("FETCH gone").await), ["34000"]);
    assert_eq!(errors(&raw.query("FETCH PRIOR FROM a").await), ["55000"]);
    assert_eq!(tags(&raw.query("FETCH 1 FROM a").await), ["FETCH 1"], "an error outside of a transaction leaves it");
    raw.query("DISCARD ALL").await;
    assert_eq!(errors(&raw.query("FETCH a").await), ["34000"]);
}

#[tokio::test]
async fn the_extended_protocol_knows_cursors() {
    let (_server, mut raw) = ten_numbers().await;
    raw.query("BEGIN").await;
    raw.parse("", "DECLARE c CURSOR FOR SELECT n FROM numbers ORDER BY n").await;
    raw.bind("", "").await;
    raw.execute("", 0).await;
    assert_eq!(kinds(&raw.sync().await), "12CZ");
    raw.send('D', b"Pc\0").await;
    assert_eq!(kinds(&raw.sync().await), "TZ", "a cursor is a portal");
    raw.parse("", "FETCH 5 FROM c").await;
    raw.bind("", "").await;
    raw.execute("", 2).await;
    raw.execute("", 0).await;
    let said = raw.sync().await;
    assert_eq!((kinds(&said).as_str(), firsts(&said).len()), ("12DDsDDDCZ", 5));
    assert_eq!(tags(&said), ["FETCH 5"]);
    // The catalogue's rows are read in the same way.
    let said = raw.query("DECLARE k CURSOR FOR SELECT nspname FROM pg_namespace ORDER BY 1; FETCH 1 IN k").await;
    assert_eq!(firsts(&said), ["information_schema"]);
}

/// All that a copy sends.
async fn copied(server: &PgServer, statement: &str) -> Vec<u8> {
    let client = server.connect().await;
    let stream = client.copy_out(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    stream.try_fold(Vec::new(), |all, piece| async move { Ok([all, piece.to_vec()].concat()) }).await.unwrap()
}

#[tokio::test]
async fn rows_leave_as_text_and_csv() {
    let server = PgServer::start().await;
    let client = server.connect().await;
    client
        .batch_execute(
            "CREATE TABLE t (time timestamptz, host text, note text, v float8, PRIMARY KEY (time, host));
             INSERT INTO t VALUES ('2024-01-01 00:00Z', 'a', E'x\\ty\\\\', 1.5), ('2024-01-02 00:00Z', 'b,\"', '', NULL)",
        )
        .await
        .unwrap();
    for (statement, expected) in [
        ("COPY t TO STDOUT", "2024-01-01 00:00:00+00\ta\tx\\ty\\\\\t1.5\n2024-01-02 00:00:00+00\tb,\"\t\t\\N\n"),
        ("COPY t (host, v) TO STDOUT WITH (FORMAT csv, HEADER, NULL 'none')", "host,v\na,1.5\n\"b,\"\"\",none\n"),
        ("COPY (SELECT v, host FROM t ORDER BY time DESC) TO STDOUT (DELIMITER '|')", "\\N|b,\"\n1.5|a\n"),
        ("COPY (SELECT count(*) AS \"a,b\" FROM t) TO STDOUT CSV HEADER", "\"a,b\"\n2\n"),
        ("COPY (SELECT '' AS a, NULL AS b) TO STDOUT CSV", "\"\",\n"),
        ("COPY (SELECT nspname FROM pg_namespace WHERE nspname = 'public') TO STDOUT", "public\n"),
    ] {
        assert_eq!(String::from_utf8(copied(&server, statement).await).unwrap(), expected, "{statement}");
    }
}

#[tokio::test]
async fn rows_leave_and_come_back_in_the_binary_form() {
    let server = PgServer::with_cpu().await;
    let bytes = copied(&server, "COPY cpu TO STDOUT (FORMAT binary)").await;
    assert!(bytes.starts_with(b"PGCOPY\n\xff\r\n\0") && bytes.ends_with(b"\xff\xff"));
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE other (time timestamptz, host text, cores bigint, usage float8)").await.unwrap();
    let columns = "(time, host, usage, cores)";
    let bytes = copied(&server, &format!("COPY cpu {columns} TO STDOUT BINARY")).await;
    let sink = client.copy_in::<_, bytes::Bytes>(&format!("COPY other {columns} FROM STDIN BINARY")).await.unwrap();
    let mut sink = std::pin::pin!(sink);
    futures::SinkExt::send(&mut sink, bytes.into()).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), 6);
    let all = |table: &str| format!("COPY (SELECT time, host, usage, cores FROM {table} ORDER BY 1, 2) TO STDOUT");
    assert_eq!(copied(&server, &all("other")).await, copied(&server, &all("cpu")).await);
}

#[tokio::test]
async fn a_copy_that_cannot_be_is_refused() {
    let (_server, mut raw) = ten_numbers().await;
    for (statement, code) in [
        ("COPY numbers TO 'numbers.txt'", "0A000"),
        ("COPY nowhere TO STDOUT", "42P01"),
        ("COPY numbers (m) TO STDOUT", "42703"),
        ("COPY numbers TO STDOUT (FORMAT xml)", "22023"),
    ] {
        assert_eq!(errors(&raw.query(statement).await), [code], "{statement}");
    }
    let said = raw.query("COPY numbers (n) TO STDOUT; SELECT 1").await;
    assert_eq!(kinds(&said), format!("H{}cCTDCZ", "d".repeat(10)));
    assert_eq!(tags(&said)[0], "COPY 10");
}
