//! What goes over the wire, message by message.

use std::sync::atomic::Ordering;

use super::raw::{Raw, errors, kinds, tags};
use super::server::PgServer;
use plimsoll::pgwire::PgLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;

#[tokio::test]
async fn encryption_is_declined_and_the_session_goes_on() {
    let server = PgServer::start().await;
    let mut raw = Raw::open(server.addr).await;
    for code in [SSL, GSS] {
        raw.send_untyped(&code.to_be_bytes()).await;
        assert_eq!(raw.stream.read_u8().await.unwrap(), b'N');
    }
    raw.startup(3 << 16, &[("user", "u"), ("options", "-c timezone=Asia/Kolkata")]).await;
    let greeting = raw.until_ready().await;
    assert_eq!(kinds(&greeting), "RSSSSSSSSSSSSSKZ");
    let told: Vec<String> = greeting.iter().filter(|m| m.kind == 'S').map(|m| m.text().replace('\0', "=")).collect();
    assert!(told.contains(&"TimeZone=Asia/Kolkata".to_owned()), "{told:?}");
    assert!(told.contains(&"client_encoding=UTF8".to_owned()), "{told:?}");
    assert!(told[0].starts_with("server_version=15.0 (Plimsoll "), "{told:?}");
}

#[tokio::test]
async fn protocol_3_2_gets_a_long_secret_and_newer_ones_are_negotiated_down() {
    let server = PgServer::start().await;
    for (version, first, secret_bytes) in [(3 << 16, 'R', 4), (3 << 16 | 2, 'R', 32), (3 << 16 | 9999, 'v', 32)] {
        let mut raw = Raw::open(server.addr).await;
        raw.startup(version, &[("user", "u")]).await;
        let greeting = raw.until_ready().await;
        assert_eq!(greeting[0].kind, first);
        let key = greeting.iter().find(|message| message.kind == 'K').unwrap();
        assert_eq!(key.body.len(), 4 + secret_bytes);
    }
    let mut raw = Raw::open(server.addr).await;
    raw.startup(2 << 16, &[("user", "u")]).await;
    assert_eq!(errors(&raw.until_closed().await), ["0A000"]);
}

#[tokio::test]
async fn clients_over_the_limit_are_told() {
    let server = PgServer::start_with(PgLimits { connections_max: 1, ..PgLimits::default() }).await;
    let first = Raw::session(server.addr).await;
    let mut second = Raw::open(server.addr).await;
    second.startup(3 << 16, &[("user", "u")]).await;
    assert_eq!(errors(&second.until_closed().await), ["53300"]);
    drop(first);
}

#[tokio::test]
async fn nothing_to_do_is_an_empty_query() {
    let server = PgServer::start().await;
    let mut raw = Raw::session(server.addr).await;
    for text in ["", ";", "-- ping", " /* nothing */ ;; "] {
        assert_eq!(kinds(&raw.query(text).await), "IZ", "{text:?}");
        raw.parse("", text).await;
        raw.bind("", "").await;
        raw.send('D', b"P\0").await;
        raw.execute("", 0).await;
        assert_eq!(kinds(&raw.sync().await), "12nIZ", "{text:?}");
    }
}

#[tokio::test]
async fn statements_are_answered_one_after_the_other() {
    let server = PgServer::start().await;
    let mut raw = Raw::session(server.addr).await;
    let answer = raw.query("SELECT 1; SET application_name = 'x'; SHOW application_name; SELECT 2 WHERE false").await;
    assert_eq!(kinds(&answer), "TDCCTDCTCSZ");
    assert_eq!(tags(&answer), ["SELECT 1", "SET", "SHOW", "SELECT 0"]);
}

#[tokio::test]
async fn the_first_error_stops_the_rest() {
    let server = PgServer::start().await;
    let mut raw = Raw::session(server.addr).await;
    let answer = raw.query("SELECT 1; SELECT * FROM missing; SELECT 2").await;
    assert_eq!(kinds(&answer), "TDCEZ");
    assert_eq!(answer[3].field(b'C').as_deref(), Some("42P01"));
    assert_eq!(answer[3].field(b'P').as_deref(), Some("25"));
    let answer = raw.query("SELECT 1; SELEKT 2").await;
    assert_eq!(kinds(&answer), "EZ", "nothing runs of a text that does not parse");
    assert_eq!(kinds(&raw.query("SELECT 1").await), "TDCZ");
}

#[tokio::test]
async fn an_error_lasts_until_sync() {
    let server = PgServer::start().await;
    let mut raw = Raw::session(server.addr).await;
    raw.parse("", "SELECT * FROM missing").await;
    raw.bind("", "").await;
    raw.execute("", 0).await;
    raw.parse("", "SELECT 1").await;
    assert_eq!(kinds(&raw.sync().await), "EZ");
    raw.parse("", "SELECT 1").await;
    raw.bind("", "").await;
    raw.execute("", 0).await;
    assert_eq!(kinds(&raw.sync().await), "12DCZ");
}

#[tokio::test]
async fn flush_answers_before_sync() {
    let server = PgServer::start().await;
    let mut raw = Raw::session(server.addr).await;
    raw.parse("s", "SELECT 1").await;
    raw.send('D', b"Ss\0").await;
    raw.send('H', b"").await;
    let first = [raw.message().await.unwrap(), raw.message().await.unwrap(), raw.message().await.unwrap()];
    assert_eq!(kinds(&first), "1tT");
    assert_eq!(kinds(&raw.sync().await), "Z");
}

#[tokio::test]
async fn a_portal_is_read_in_parts_inside_a_transaction() {
    let server = PgServer::start().await;
    server.write_numbers(5);
    let mut raw = Raw::session(server.addr).await;
    raw.parse("begin", "BEGIN").await;
    raw.bind("", "begin").await;
    raw.execute("", 0).await;
    raw.parse("", "SELECT n FROM numbers ORDER BY n").await;
    raw.bind("c", "").await;
    raw.execute("c", 2).await;
    let answer = raw.sync().await;
    assert_eq!(kinds(&answer), "12C12DDsZ");
    assert_eq!(answer.last().unwrap().body, b"T");
    raw.execute("c", 2).await;
    assert_eq!(kinds(&raw.sync().await), "DDsZ");
    raw.execute("c", 2).await;
    let answer = raw.sync().await;
    assert_eq!((kinds(&answer).as_str(), tags(&answer)), ("DCZ", vec!["SELECT 1".to_owned()]));
    raw.execute("c", 2).await;
    assert_eq!(tags(&raw.sync().await), ["SELECT 0"]);
    assert_eq!(tags(&raw.query("COMMIT").await), ["COMMIT"]);
    raw.execute("c", 2).await;
    assert_eq!(errors(&raw.sync().await), ["34000"]);
}

#[tokio::test]
async fn names_are_kept_and_closed() {
    let server = PgServer::start().await;
    let mut raw = Raw::session(server.addr).await;
    raw.parse("s", "SELECT 1").await;
    raw.parse("s", "SELECT 2").await;
    assert_eq!(errors(&raw.sync().await), ["42P05"]);
    raw.bind("", "s").await;
    raw.execute("", 0).await;
    raw.send('C', b"Ss\0").await;
    raw.bind("", "s").await;
    let answer = raw.sync().await;
    assert_eq!((kinds(&answer).as_str(), errors(&answer)), ("2DC3EZ", vec!["26000".to_owned()]));
    assert_eq!(errors(&raw.query("DEALLOCATE s").await), ["26000"]);
    assert_eq!(tags(&raw.query("DEALLOCATE ALL; DISCARD ALL; UNLISTEN *; CLOSE ALL; RESET ALL").await).len(), 5);
}

#[tokio::test]
async fn transactions_tell_where_they_stand() {
    let server = PgServer::start().await;
    let mut raw = Raw::session(server.addr).await;
    for (text, shown, status) in [
        ("BEGIN", "C", b"T"),
        ("BEGIN", "NC", b"T"),
        ("SAVEPOINT a", "C", b"T"),
        ("SELECT * FROM missing", "E", b"E"),
        ("SELECT 1", "E", b"E"),
        ("ROLLBACK TO a", "C", b"T"),
        ("SELECT 1", "TDC", b"T"),
        ("RELEASE a", "C", b"T"),
        ("ROLLBACK TO a", "E", b"E"),
        ("COMMIT", "C", b"I"),
        ("COMMIT", "NC", b"I"),
        ("SAVEPOINT a", "E", b"I"),
    ] {
        let answer = raw.query(text).await;
        assert_eq!(kinds(&answer), format!("{shown}Z"), "{text}: {answer:?}");
        assert_eq!(answer.last().unwrap().body, status, "{text}");
    }
    raw.query("BEGIN; SELECT * FROM missing").await;
    assert_eq!(errors(&raw.query("SELECT 1").await), ["25P02"]);
    assert_eq!(tags(&raw.query("COMMIT").await), ["ROLLBACK"]);
}

#[tokio::test]
async fn bytes_that_are_no_message_end_the_connection_and_no_other() {
    let server = PgServer::start().await;
    let mut bystander = Raw::session(server.addr).await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0, 0, 0, 4, 0, 0, 0, 0]] {
        let mut raw = Raw::open(server.addr).await;
        raw.stream.write_all(bytes).await.unwrap();
        raw.stream.shutdown().await.unwrap();
        raw.until_closed().await;
    }
    for (kind, body) in [('!', &b""[..]), ('Q', b"no end"), ('B', b"\0\0\xff\xff"), ('P', b"")] {
        let mut raw = Raw::session(server.addr).await;
        raw.send(kind, body).await;
        assert_eq!(errors(&raw.until_closed().await), ["08P01"], "{kind}");
    }
    let mut raw = Raw::session(server.addr).await;
    raw.send('Q', b"SELECT '\xff'\0").await;
    assert_eq!(errors(&raw.until_ready().await), ["22021"]);
    assert_eq!(kinds(&raw.query("SELECT 1").await), "TDCZ");
    assert_eq!(kinds(&bystander.query("SELECT 1").await), "TDCZ");
}

#[tokio::test]
async fn a_panic_fails_its_statement_and_nothing_else() {
    let server = PgServer::start().await;
    let mut raw = Raw::session(server.addr).await;
    let mut bystander = Raw::session(server.addr).await;
    server.clock.broken.store(true, Ordering::Relaxed);
    assert_eq!(errors(&raw.query("SELECT now()").await), ["XX000"]);
    raw.parse("", "SELECT now()").await;
    raw.bind("", "").await;
    assert_eq!(errors(&raw.sync().await), ["XX000"]);
    server.clock.broken.store(false, Ordering::Relaxed);
    assert_eq!(kinds(&raw.query("SELECT now()").await), "TDCZ");
    assert_eq!(kinds(&bystander.query("SELECT now()").await), "TDCZ");
}

#[tokio::test]
async fn a_message_over_the_limit_is_named() {
    let server = PgServer::start_with(PgLimits { message_bytes_max: 1000, ..PgLimits::default() }).await;
    let mut raw = Raw::session(server.addr).await;
    raw.send('Q', &[b' '; 1000]).await;
    assert_eq!(errors(&raw.until_closed().await), ["54000"]);
}

#[tokio::test]
async fn a_cancel_request_gets_no_answer() {
    let server = PgServer::start().await;
    let mut raw = Raw::open(server.addr).await;
    raw.send_untyped(&[CANCEL.to_be_bytes(), 1u32.to_be_bytes(), 7u32.to_be_bytes()].concat()).await;
    assert_eq!(raw.until_closed().await, []);
}
