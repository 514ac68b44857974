//! The endpoints as clients meet them: over a socket.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use datafusion::arrow::util::display::array_value_to_string;
use expect_test::{Expect, expect};
use flate2::Compression;
use flate2::write::GzEncoder;
use plimsoll_engine::env::Clock;
use plimsoll_engine::{Engine, Error, Options, ScanRequest, TimeRange};
use plimsoll_query::{Database, DatabaseOptions};
use reqwest::Response;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::super::{Ingest, IngestLimits};
use super::*;

const NOW_NS: i64 = 1_700_000_000_123_456_789;

#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now_ns(&self) -> i64 {
        NOW_NS
    }
}

/// A server on a port of its own.
struct Server {
    address: SocketAddr,
    engine: Arc<Engine>,
    client: reqwest::Client,
    _dir: TempDir,
}

impl Server {
    async fn start() -> Server {
        Server::start_with(IngestLimits::default(), Arc::new(FixedClock)).await
    }

    async fn start_with(limits: IngestLimits, clock: Arc<dyn Clock>) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let engine = Arc::new(Engine::open(dir.path(), Options::default()).unwrap());
        let database = Database::new(Arc::clone(&engine), &DatabaseOptions::default()).unwrap();
        let app = router(Ingest { database, clock, limits });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        // Another test may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Server { address, engine, client: reqwest::Client::new(), _dir: dir }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Response {
        self.client.post(self.url(path)).body(body.into()).send().await.unwrap()
    }

    async fn post_encoded(&self, path: &str, encoding: &str, body: impl Into<Vec<u8>>) -> Response {
        let request = self.client.post(self.url(path)).header("content-encoding", encoding);
        request.body(body.into()).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// Sends bytes as they are, and gives all that comes until the server closes.
    async fn raw(&self, request: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Sends the beginning of a request and goes away.
    async fn raw_cut(&self, request: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// A table's rows, each as `column=value` pairs of what is not NULL.
    fn rows(&self, table: &str) -> Vec<String> {
        let Some(schema) = self.engine.table(table) else {
            return Vec::new();
        };
        let request = ScanRequest::new(table, schema.columns.iter().map(|column| column.name.as_str()));
        let parts = self.engine.snapshot().scan(&request).unwrap();
        let mut rows = Vec::new();
        for batch in parts.into_iter().flatten() {
            let batch = batch.unwrap();
            let schema = batch.schema();
            for row in 0..batch.num_rows() {
                let present = schema.fields().iter().zip(batch.columns());
                let present = present.filter(|(_, array)| !array.is_null(row));
                let cells =
                    present.map(|(f, array)| format!("{}={}", f.name(), array_value_to_string(array, row).unwrap()));
                rows.push(cells.collect::<Vec<_>>().join(" "));
            }
        }
        rows.sort();
        rows
    }
}

/// Status, the headers that clients look at, and body.
async fn describe(response: Response) -> String {
    let mut out = format!("{}\n", response.status().as_u16());
    for name in [
        "x-influxdb-version",
        "x-influxdb-build",
        "x-influxdb-error",
        "retry-after",
        "allow",
        "accept-encoding",
        "content-type",
    ] {
        if let Some(value) = response.headers().get(name) {
            out.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
    }
    out + &response.text().await.unwrap()
}

async fn check(response: Response, expected: Expect) {
    expected.assert_eq(&describe(response).await);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_write_is_stored() {
    let server = Server::start().await;
    check(
        server.post("/write?db=x", "cpu,host=a usage=1.5,idle=3i 5\ncpu,host=b usage=2").await,
        expect![[r#"
        204
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
    "#]],
    )
    .await;
    expect![[r#"
        time=1970-01-01T00:00:00.000000005Z host=a usage=1.5 idle=3
        time=2023-11-14T22:13:20.123456789Z host=b usage=2.0"#]]
    .assert_eq(&server.rows("cpu").join("\n"));
    check(
        server.post("/api/v2/write?org=&bucket=b", "mem,host=a free=7u 6").await,
        expect![[r#"
        204
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
    "#]],
    )
    .await;
    expect!["time=1970-01-01T00:00:00.000000006Z host=a free=7"].assert_eq(&server.rows("mem").join("\n"));
}

#[tokio::test]
async fn every_name_and_every_key_is_accepted() {
    let server = Server::start().await;
    let paths = [
        "/write?db=any&rp=autogen&consistency=one&u=me&p=secret",
        "/write?precision=ns&db=other%20name",
        "/api/v2/write?org=default&bucket=any/autogen&precision=ns",
        "/api/v2/write",
    ];
    for (n, path) in paths.iter().enumerate() {
        let request = server.client.post(server.url(path)).header("authorization", "Token anything");
        let response = request.header("content-type", "application/octet-stream").body(format!("m f=1 {n}"));
        assert_eq!(response.send().await.unwrap().status(), 204, "{path}");
    }
    assert_eq!(server.rows("m").len(), paths.len());
}

#[tokio::test]
async fn precisions() {
    let server = Server::start().await;
    let (minute, hour) = (60_000_000_000, 3_600_000_000_000);
    let small = [("n", 1), ("ns", 1), ("u", 1_000), ("us", 1_000), ("%C2%B5", 1_000), ("ms", 1_000_000)];
    let large = [("s", 1_000_000_000), ("m", minute), ("h", hour), ("", 1)];
    for (n, (word, unit_ns)) in small.into_iter().chain(large).enumerate() {
        let table = format!("m{n}");
        let response = server.post(&format!("/write?db=x&precision={word}"), format!("{table} f=1 -2")).await;
        assert_eq!(response.status(), 204, "{word}");
        let time = TimeRange { min_ns: -2 * unit_ns, max_ns: -2 * unit_ns };
        let request = ScanRequest { time, ..ScanRequest::new(table, ["f"]) };
        let parts = server.engine.snapshot().scan(&request).unwrap();
        let rows: usize = parts.into_iter().flatten().map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(rows, 1, "{word}");
    }
    for word in ["ns", "us", "ms", "s", ""] {
        assert_eq!(server.post(&format!("/api/v2/write?precision={word}"), "m f=1 1").await.status(), 204, "{word}");
    }
    check(
        server.post("/write?db=x&precision=d", "m f=1 1").await,
        expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: invalid precision "d": use ns, us, ms, s, m or h
        content-type: application/json
        {"error":"invalid precision \"d\": use ns, us, ms, s, m or h"}
    "#]],
    )
    .await;
    check(
        server.post("/api/v2/write?precision=h", "m f=1 1").await,
        expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"code":"invalid","message":"invalid precision \"h\": use ns, us, ms or s"}
    "#]],
    )
    .await;
    check(
        server.post("/api/v2/write?precision=fortnight", "m f=1 1").await,
        expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"code":"invalid","message":"invalid precision \"fortnight\": use ns, us, ms or s"}
    "#]],
    )
    .await;
    check(server.post("/write?db=x&precision=h", "m f=1 99999999999999").await, expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: unable to parse 'm f=1 99999999999999': bad timestamp: 99999999999999: time outside range -9223372036854775808 - 9223372036854775807 ns (line 1, column 7)
        content-type: application/json
        {"error":"unable to parse 'm f=1 99999999999999': bad timestamp: 99999999999999: time outside range -9223372036854775808 - 9223372036854775807 ns (line 1, column 7)"}
    "#]]).await;
}

#[tokio::test]
async fn partial_writes() {
    let server = Server::start().await;
    let body = "cpu f=1 1\nbad line\ncpu f=2 2\n\ncpu f=3 x\n";
    check(server.post("/write?db=x", body).await, expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: partial write: unable to parse 'bad line': invalid field format (line 2, column 9) unable to parse 'cpu f=3 x': bad timestamp (line 5, column 9) dropped=0
        content-type: application/json
        {"error":"partial write: unable to parse 'bad line': invalid field format (line 2, column 9)\nunable to parse 'cpu f=3 x': bad timestamp (line 5, column 9) dropped=0"}
    "#]]).await;
    check(server.post("/api/v2/write?bucket=x", body).await, expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"code":"invalid","message":"partial write: unable to parse 'bad line': invalid field format (line 2, column 9)\nunable to parse 'cpu f=3 x': bad timestamp (line 5, column 9) dropped=0"}
    "#]]).await;
    assert_eq!(server.rows("cpu").len(), 2);
    check(server.post("/write?db=x", "cpu f=\"text\" 3\ncpu f=4 4").await, expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: partial write: field type conflict: input field "f" on measurement "cpu" is type string, already exists as type float (line 1) dropped=1
        content-type: application/json
        {"error":"partial write: field type conflict: input field \"f\" on measurement \"cpu\" is type string, already exists as type float (line 1) dropped=1"}
    "#]]).await;
    assert_eq!(server.rows("cpu").len(), 3);
    check(server.post("/write?db=x", "cpu f=1 5\ncpu f=é 6\ncpu f=t 7").await, expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: partial write: unable to parse 'cpu f=? 6': invalid boolean (line 2, column 7) field type conflict: input field "f" on measurement "cpu" is type boolean, already exists as type float (line 3) dropped=1
        content-type: application/json
        {"error":"partial write: unable to parse 'cpu f=é 6': invalid boolean (line 2, column 7)\nfield type conflict: input field \"f\" on measurement \"cpu\" is type boolean, already exists as type float (line 3) dropped=1"}
    "#]]).await;
    check(
        server.post("/write?db=x", "m f=1x").await,
        expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: unable to parse 'm f=1x': invalid number (line 1, column 5)
        content-type: application/json
        {"error":"unable to parse 'm f=1x': invalid number (line 1, column 5)"}
    "#]],
    )
    .await;
    check(
        server.post("/api/v2/write", "m f=1x").await,
        expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"code":"invalid","message":"unable to parse 'm f=1x': invalid number (line 1, column 5)"}
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_long_message_is_cut_in_its_header_only() {
    let server = Server::start().await;
    let response = server.post("/write?db=x", format!("{}\n", "x".repeat(200)).repeat(20)).await;
    assert_eq!(response.headers()["x-influxdb-error"].len(), 1024);
    assert!(response.text().await.unwrap().len() > 3_000);
}

#[tokio::test]
async fn v1_asks_for_a_database() {
    let server = Server::start().await;
    check(
        server.post("/write", "m f=1").await,
        expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: database is required
        content-type: application/json
        {"error":"database is required"}
    "#]],
    )
    .await;
    assert_eq!(server.post("/write?db=", "m f=1").await.status(), 400);
}

#[tokio::test]
async fn bodies_without_points() {
    let server = Server::start().await;
    for body in ["", "\n\r\n", "# a comment\n"] {
        assert_eq!(server.post("/write?db=x", body).await.status(), 204);
        assert_eq!(server.post_encoded("/api/v2/write", "gzip", gzip(body)).await.status(), 204);
    }
    assert!(
        server
            .raw(b"POST /write?db=x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 204")
    );
}

#[tokio::test]
async fn encodings() {
    let server = Server::start().await;
    assert_eq!(server.post_encoded("/write?db=x", "gzip", gzip("m f=1 1")).await.status(), 204);
    assert_eq!(
        server.post_encoded("/write?db=x", "GZIP", [gzip("m f=1 2\n"), gzip("m f=1 3")].concat()).await.status(),
        204
    );
    assert_eq!(server.post_encoded("/write?db=x", "identity", "m f=1 4").await.status(), 204);
    assert_eq!(server.rows("m").len(), 4);

    check(
        server.post_encoded("/write?db=x", "gzip", "m f=1 5").await,
        expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: broken gzip body: unexpected end of file
        content-type: application/json
        {"error":"broken gzip body: unexpected end of file"}
    "#]],
    )
    .await;
    let whole = gzip("m f=1 5\nm f=1 6");
    check(
        server.post_encoded("/api/v2/write", "gzip", &whole[..whole.len() - 9]).await,
        expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"code":"invalid","message":"broken gzip body: incomplete deflate stream"}
    "#]],
    )
    .await;
    let mut flipped = whole.clone();
    let checksum = flipped.len() - 8;
    flipped[checksum] ^= 1;
    check(
        server.post_encoded("/api/v2/write", "gzip", flipped).await,
        expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"code":"invalid","message":"broken gzip body: corrupt gzip stream does not have a matching checksum"}
    "#]],
    )
    .await;
    assert_eq!(server.post_encoded("/write?db=x", "gzip", "").await.status(), 400);
    check(
        server.post_encoded("/write?db=x", "deflate", "m f=1 5").await,
        expect![[r#"
        415
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: unsupported content encoding "deflate": use gzip or none
        accept-encoding: gzip, identity
        content-type: application/json
        {"error":"unsupported content encoding \"deflate\": use gzip or none"}
    "#]],
    )
    .await;
    check(
        server.post_encoded("/api/v2/write", "gzip, gzip", "m f=1 5").await,
        expect![[r#"
        415
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        accept-encoding: gzip, identity
        content-type: application/json
        {"code":"invalid","message":"unsupported content encoding \"gzip, gzip\": use gzip or none"}
    "#]],
    )
    .await;
    assert_eq!(server.rows("m").len(), 4);
}

#[tokio::test]
async fn chunked_bodies() {
    let server = Server::start().await;
    let request = b"POST /write?db=x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
        3\r\nm f\r\n6;ext=1\r\n=1 1\nm\r\n1\r\n \r\nb\r\nf=2 2\nm f=3\r\n0\r\n\r\n";
    assert!(server.raw(request).await.starts_with("HTTP/1.1 204 No Content\r\n"));
    assert_eq!(server.rows("m").len(), 3);

    let broken = b"POST /write?db=x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nn f=1 1\r\nzz\r\n";
    assert!(!server.raw_cut(broken).await.contains(" 204 "));
    let cut = b"POST /write?db=x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nn f=1 1\n";
    assert!(!server.raw_cut(cut).await.contains(" 204 "));
    assert!(server.rows("n").is_empty());
}

fn small() -> IngestLimits {
    IngestLimits { body_bytes_max: 100, decompressed_bytes_max: 100, in_flight_bytes_max: 0, ..IngestLimits::default() }
}

#[tokio::test]
async fn too_large_bodies() {
    let server = Server::start_with(small(), Arc::new(FixedClock)).await;
    let line = |length: usize| format!("m f=1 1{}", " ".repeat(length - 7));
    assert_eq!(server.post("/write?db=x", line(100)).await.status(), 204);
    check(
        server.post("/write?db=x", line(101)).await,
        expect![[r#"
        413
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: request too large: a body may have 100 bytes
        content-type: application/json
        {"error":"request too large: a body may have 100 bytes"}
    "#]],
    )
    .await;
    check(
        server.post("/api/v2/write", line(101)).await,
        expect![[r#"
        413
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"code":"request too large","message":"request too large: a body may have 100 bytes"}
    "#]],
    )
    .await;
    assert_eq!(server.post_encoded("/write?db=x", "gzip", gzip(&line(100))).await.status(), 204);
    check(
        server.post_encoded("/write?db=x", "gzip", gzip(&line(101))).await,
        expect![[r#"
        413
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: request too large: a body may have 100 bytes
        content-type: application/json
        {"error":"request too large: a body may have 100 bytes"}
    "#]],
    )
    .await;
    check(
        server.post_encoded("/write?db=x", "gzip", gzip(&line(10_000_000))[..100].to_vec()).await,
        expect![[r#"
        413
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: request too large: a body may have 100 bytes
        content-type: application/json
        {"error":"request too large: a body may have 100 bytes"}
    "#]],
    )
    .await;

    // Known from the head alone: the body never comes, and a client that asks first is not told to send it.
    let head = b"POST /write?db=x HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000000\r\nExpect: 100-continue\r\n\r\n";
    assert!(server.raw(head).await.starts_with("HTTP/1.1 413 "));
    let chunked =
        format!("POST /write?db=x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n{}\r\n", line(101));
    assert!(server.raw(chunked.as_bytes()).await.starts_with("HTTP/1.1 413 "));
}

/// A client that sends all before it reads must still get its answer.
#[tokio::test]
async fn a_refused_body_is_read_to_its_end() {
    let server = Server::start_with(small(), Arc::new(FixedClock)).await;
    let mut request =
        b"POST /write?db=x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 20000000\r\n\r\n".to_vec();
    request.resize(request.len() + 20_000_000, b'x');
    assert!(server.raw(&request).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn slow_bodies() {
    let limits = IngestLimits { receive_max: Duration::ZERO, ..IngestLimits::default() };
    let server = Server::start_with(limits, Arc::new(FixedClock)).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"POST /write?db=x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nm f=").await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

/// A clock that holds up whoever asks for the time until it is let go.
#[derive(Debug)]
struct GateClock {
    entered: UnboundedSender<()>,
    leave: Mutex<Receiver<()>>,
}

impl Clock for GateClock {
    fn now_ns(&self) -> i64 {
        self.entered.send(()).unwrap();
        self.leave.lock().unwrap().recv().unwrap();
        NOW_NS
    }
}

async fn gated(limits: IngestLimits) -> (Server, UnboundedReceiver<()>, Sender<()>) {
    let (entered, has_entered) = unbounded_channel();
    let (may_leave, leave) = channel();
    let clock = GateClock { entered, leave: Mutex::new(leave) };
    (Server::start_with(limits, Arc::new(clock)).await, has_entered, may_leave)
}

#[tokio::test]
async fn too_many_requests() {
    let limits = IngestLimits { requests_max: 1, ..IngestLimits::default() };
    let (server, mut has_entered, may_leave) = gated(limits).await;
    let (first, ()) = tokio::join!(server.post("/write?db=x", "m f=1 1"), async {
        has_entered.recv().await.unwrap();
        check(
            server.post("/write?db=x", "m f=1 2").await,
            expect![[r#"
            503
            x-influxdb-version: 1.8.10-plimsoll
            x-influxdb-build: OSS
            x-influxdb-error: too many requests at once, limit 1
            retry-after: 1
            content-type: application/json
            {"error":"too many requests at once, limit 1"}
        "#]],
        )
        .await;
        check(
            server.post("/api/v2/write", "m f=1 2").await,
            expect![[r#"
            429
            x-influxdb-version: 1.8.10-plimsoll
            x-influxdb-build: OSS
            retry-after: 1
            content-type: application/json
            {"code":"too many requests","message":"too many requests at once, limit 1"}
        "#]],
        )
        .await;
        may_leave.send(()).unwrap();
    });
    assert_eq!(first.status(), 204);
    may_leave.send(()).unwrap();
    assert_eq!(server.post("/write?db=x", "m f=1 2").await.status(), 204);
}

#[tokio::test]
async fn too_many_bytes() {
    let (server, mut has_entered, may_leave) = gated(small()).await;
    let body = "m f=1 1\n".repeat(12);
    let (first, second, ()) =
        tokio::join!(server.post("/write?db=x", body.clone()), server.post("/write?db=x", body.clone()), async {
            has_entered.recv().await.unwrap();
            has_entered.recv().await.unwrap();
            check(
                server.post("/write?db=x", body.clone()).await,
                expect![[r#"
            503
            x-influxdb-version: 1.8.10-plimsoll
            x-influxdb-build: OSS
            x-influxdb-error: too many bytes in flight, limit 200
            retry-after: 1
            content-type: application/json
            {"error":"too many bytes in flight, limit 200"}
        "#]],
            )
            .await;
            may_leave.send(()).unwrap();
            may_leave.send(()).unwrap();
        });
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (204, 204));
}

#[tokio::test]
async fn what_the_engine_cannot_take() {
    let errors = [
        Error::Busy { what: "memtable", held_bytes: 9, limit_bytes: 8 },
        Error::DiskFull { path: PathBuf::from("data/wal") },
        Error::Poisoned { cause: "sync failed".to_owned() },
        Error::Limit { what: "number of series", found: 2, limit: 1 },
        Error::Corrupt { path: PathBuf::from("data/wal"), offset: 8, what: "checksum mismatch".to_owned() },
    ];
    let mut out = String::new();
    for (accepted, error) in errors.into_iter().map(plimsoll_query::Error::from).enumerate() {
        for form in [Form::V1, Form::V2] {
            let response = Problem::failed(&error, accepted).response(form);
            out.push_str(&format!("{} retry-after {:?}\n", response.status(), response.headers().get("retry-after")));
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            out.push_str(std::str::from_utf8(&body).unwrap());
        }
    }
    expect![[r#"
        503 Service Unavailable retry-after Some("1")
        {"error":"busy: memtable holds 9 bytes, limit 8"}
        429 Too Many Requests retry-after Some("1")
        {"code":"too many requests","message":"busy: memtable holds 9 bytes, limit 8"}
        507 Insufficient Storage retry-after Some("30")
        {"error":"disk full: data/wal (1 point of this request is stored)"}
        507 Insufficient Storage retry-after Some("30")
        {"code":"unavailable","message":"disk full: data/wal (1 point of this request is stored)"}
        503 Service Unavailable retry-after Some("30")
        {"error":"writes are refused since sync failed; restart to recover (2 points of this request are stored)"}
        503 Service Unavailable retry-after Some("30")
        {"code":"unavailable","message":"writes are refused since sync failed; restart to recover (2 points of this request are stored)"}
        400 Bad Request retry-after None
        {"error":"number of series is 2, limit 1 (3 points of this request are stored)"}
        400 Bad Request retry-after None
        {"code":"invalid","message":"number of series is 2, limit 1 (3 points of this request are stored)"}
        500 Internal Server Error retry-after None
        {"error":"data/wal: checksum mismatch at 8 (4 points of this request are stored)"}
        500 Internal Server Error retry-after None
        {"code":"internal error","message":"data/wal: checksum mismatch at 8 (4 points of this request are stored)"}
    "#]].assert_eq(&out);
}

#[tokio::test]
async fn ping() {
    let server = Server::start().await;
    check(
        server.get("/ping").await,
        expect![[r#"
        204
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
    "#]],
    )
    .await;
    check(
        server.get("/ping?verbose=true").await,
        expect![[r#"
        200
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"version":"1.8.10-plimsoll"}
    "#]],
    )
    .await;
    check(
        server.client.head(server.url("/ping")).send().await.unwrap(),
        expect![[r#"
        204
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
    "#]],
    )
    .await;
}

#[tokio::test]
async fn health() {
    let server = Server::start().await;
    check(server.get("/health").await, expect![[r#"
        200
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"checks":[],"commit":"v0.1.0","message":"ready for queries and writes","name":"influxdb","status":"pass","version":"1.8.10-plimsoll"}
    "#]]).await;
}

#[tokio::test]
async fn query() {
    let server = Server::start().await;
    let form = "application/x-www-form-urlencoded";
    let send =
        |body: &'static str| server.client.post(server.url("/query")).header("content-type", form).body(body).send();
    check(
        send("q=CREATE+DATABASE+%22x%22").await.unwrap(),
        expect![[r#"
        200
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"results":[{"statement_id":0}]}
    "#]],
    )
    .await;
    check(
        server.post("/query?q=CREATE+DATABASE+%22x%22", "").await,
        expect![[r#"
        200
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"results":[{"statement_id":0}]}
    "#]],
    )
    .await;
    check(
        server.get("/query?db=x&q=SHOW%20DATABASES").await,
        expect![[r#"
        200
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"results":[{"series":[{"columns":["name"],"name":"databases","values":[["plimsoll"]]}],"statement_id":0}]}
    "#]],
    )
    .await;
    check(server.get("/query?q=SELECT+*+FROM+cpu").await, expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: error parsing query: only CREATE DATABASE and SHOW DATABASES are understood here, not 'SELECT * FROM cpu'; ask in SQL over the PostgreSQL protocol
        content-type: application/json
        {"error":"error parsing query: only CREATE DATABASE and SHOW DATABASES are understood here, not 'SELECT * FROM cpu'; ask in SQL over the PostgreSQL protocol"}
    "#]]).await;
    check(
        server.get("/query").await,
        expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: missing required parameter "q"
        content-type: application/json
        {"error":"missing required parameter \"q\""}
    "#]],
    )
    .await;
    check(
        server.post("/query", "q=".to_owned() + &"x".repeat(70_000)).await,
        expect![[r#"
        413
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: request too large: a body may have 65536 bytes
        content-type: application/json
        {"error":"request too large: a body may have 65536 bytes"}
    "#]],
    )
    .await;
}

#[tokio::test]
async fn wrong_methods_and_paths() {
    let server = Server::start().await;
    check(server.get("/write?db=x").await, expect![[r#"
        405
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: method not allowed: GET /write; the endpoints are POST /write, POST /api/v2/write, POST /api/v3/write_lp, POST /api/v1/write, GET /ping, GET /health, GET or POST /query
        allow: POST
        content-type: application/json
        {"error":"method not allowed: GET /write; the endpoints are POST /write, POST /api/v2/write, POST /api/v3/write_lp, POST /api/v1/write, GET /ping, GET /health, GET or POST /query"}
    "#]]).await;
    check(server.get("/api/v2/write").await, expect![[r#"
        405
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        allow: POST
        content-type: application/json
        {"code":"method not allowed","message":"method not allowed: GET /api/v2/write; the endpoints are POST /write, POST /api/v2/write, POST /api/v3/write_lp, POST /api/v1/write, GET /ping, GET /health, GET or POST /query"}
    "#]]).await;
    check(server.post("/ping", "").await, expect![[r#"
        405
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: method not allowed: POST /ping; the endpoints are POST /write, POST /api/v2/write, POST /api/v3/write_lp, POST /api/v1/write, GET /ping, GET /health, GET or POST /query
        allow: GET,HEAD
        content-type: application/json
        {"error":"method not allowed: POST /ping; the endpoints are POST /write, POST /api/v2/write, POST /api/v3/write_lp, POST /api/v1/write, GET /ping, GET /health, GET or POST /query"}
    "#]]).await;
    check(server.get("/wriet").await, expect![[r#"
        404
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: not found: /wriet; the endpoints are POST /write, POST /api/v2/write, POST /api/v3/write_lp, POST /api/v1/write, GET /ping, GET /health, GET or POST /query
        content-type: application/json
        {"error":"not found: /wriet; the endpoints are POST /write, POST /api/v2/write, POST /api/v3/write_lp, POST /api/v1/write, GET /ping, GET /health, GET or POST /query"}
    "#]]).await;
    check(server.post("/api/v2/query", "").await, expect![[r#"
        404
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"code":"not found","message":"not found: /api/v2/query; the endpoints are POST /write, POST /api/v2/write, POST /api/v3/write_lp, POST /api/v1/write, GET /ping, GET /health, GET or POST /query"}
    "#]]).await;
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Server::start().await;
    let one = "POST /write?db=x HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nm f=1 1";
    let bad = "POST /write?db=x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nbad";
    let last = "GET /ping HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = server.raw([one, bad, one, last].concat().as_bytes()).await;
    let status: Vec<_> =
        answer.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")).map(|line| &line[..3]).collect();
    assert_eq!(status, ["204", "400", "204", "204"]);
}

#[tokio::test]
async fn v3_writes() {
    let server = Server::start().await;
    assert_eq!(server.post("/api/v3/write_lp?db=x", "m f=1 1700000000\nm f=2 1700000001000000000").await.status(), 204);
    assert_eq!(server.post("/api/v3/write_lp?db=x&precision=millisecond&no_sync=true", "m f=3 5").await.status(), 204);
    assert_eq!(server.rows("m").len(), 3);
    check(
        server.post("/api/v3/write_lp?db=x", "bad line\r\nm f=4 9\nm f=t 10").await,
        expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        content-type: application/json
        {"data":[{"error_message":"unable to parse 'bad line': invalid field format","line_number":1,"original_line":"bad line"},{"error_message":"field type conflict: input field \"f\" on measurement \"m\" is type boolean, already exists as type float","line_number":3,"original_line":"m f=t 10"}],"error":"partial write of line protocol occurred"}
    "#]],
    )
    .await;
    assert_eq!(server.rows("m").len(), 4);
    for (query, message) in [
        ("", "database is required"),
        ("?db=x&precision=hour", "invalid precision"),
        ("?db=x&accept_partial=false", "accept_partial=false is not available"),
    ] {
        let answer = server.post(&format!("/api/v3/write_lp{query}"), "m f=1 1").await;
        assert_eq!(answer.status(), 400);
        assert!(answer.text().await.unwrap().contains(message), "{query}");
    }
}

/// Sends what Prometheus sends.
async fn remote_write(server: &Server, body: Vec<u8>, headers: &[(&'static str, &str)]) -> Response {
    let mut request = server.client.post(server.url("/api/v1/write")).body(body);
    let usual = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    for (name, value) in usual.iter().filter(|(name, _)| headers.iter().all(|(other, _)| other != name)).chain(headers)
    {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn prometheus_samples_are_stored() {
    let server = Server::start().await;
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let body = remote_write::tests::request(&[
        (&[("__name__", "up"), ("instance", "a:9100"), ("job", "node")], &[(1.0, 1_000), (0.0, 2_000), (stale, 3_000)]),
        (&[("__name__", "http:rate"), ("time", "t")], &[(0.5, 1_000)]),
    ]);
    assert_eq!(remote_write(&server, body, &[]).await.status(), 204);
    assert_eq!((server.rows("up").len(), server.rows("http:rate").len()), (2, 1));
    let body = remote_write::tests::request(&[
        (&[("job", "no name")], &[(1.0, 1)]),
        (&[("__name__", "up"), ("instance", "b"), ("job", "node")], &[(1.0, i64::MAX), (1.0, 4_000)]),
    ]);
    check(
        remote_write(&server, body, &[]).await,
        expect![[r#"
        400
        x-influxdb-version: 1.8.10-plimsoll
        x-influxdb-build: OSS
        x-influxdb-error: {job="no name"}: a series has no __name__ (sample 1) the time 9223372036854775807 ms is out of range (sample 2)
        content-type: application/json
        {"error":"{job=\"no name\"}: a series has no __name__ (sample 1)\nthe time 9223372036854775807 ms is out of range (sample 2)"}
    "#]],
    )
    .await;
    assert_eq!(server.rows("up").len(), 3);
}

#[tokio::test]
async fn short_requests_of_long_labels_are_too_large() {
    let server = Server::start().await;
    let samples = [(1.0, 1); 5_000];
    let body = remote_write::tests::request(&[(&[("__name__", "up"), ("job", &"x".repeat(100_000))], &samples)]);
    assert!(body.len() < 1 << 20);
    assert_eq!(remote_write(&server, body, &[]).await.status(), 413);
}

#[tokio::test]
async fn remote_writes_that_are_none() {
    let server = Server::start().await;
    let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let good = remote_write::tests::request(&[]);
    for (body, headers, status) in [
        (good.clone(), vec![("content-type", v2)], 415),
        (good.clone(), vec![("x-prometheus-remote-write-version", "2.0.0")], 415),
        (good.clone(), vec![("content-type", "text/plain")], 415),
        (good, vec![], 204),
        (b"\xff\xff\xff\xff\x0f".to_vec(), vec![], 413),
        (b"\x05broken".to_vec(), vec![], 400),
        (b"no protobuf".to_vec(), vec![("content-encoding", "identity")], 400),
    ] {
        assert_eq!(remote_write(&server, body.clone(), &headers).await.status(), status, "{body:?} {headers:?}");
    }
}
