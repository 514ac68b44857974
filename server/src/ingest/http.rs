//! The HTTP endpoints that InfluxDB's clients know: `/write`, `/api/v2/write`, `/api/v3/write_lp`, `/ping`, `/health`, and as much of
//! `/query` as they send before they write; and the one to which Prometheus sends.
//!
//! | endpoint | stored | some lines refused | too much at once | disk full | after a failed write |
//! |---|---|---|---|---|---|
//! | `POST /write?db=&precision=` | 204 | 400 `{"error": ...}` and `X-Influxdb-Error` | 503 | 507 | 503 |
//! | `POST /api/v2/write?bucket=&precision=` | 204 | 400 `{"code": ..., "message": ...}` | 429 | 507 | 503 |
//! | `POST /api/v1/write` (Prometheus) | 204 | 400 `{"error": ...}` | 503 | 507 | 503 |
//! | `POST /api/v3/write_lp?db=&precision=` | 204 | 400 `{"error": ..., "data": [...]}` | 429 | 507 | 503 |
//!
//! Invariants
//! - Each line takes the right INSERT on its table. Where that is why nothing is stored, the answer is 403.
//! - 204 means that every line is durable. 400 names the lines that are not stored; all others are.
//! - 408, 413, 415 and a broken gzip body store nothing. 429, 5xx may have stored the first batches of a large body and say so;
//!   sending the same body again is harmless, since a point replaces itself.
//! - Nothing here blocks the runtime: bodies are decompressed, parsed and written on blocking threads.

mod answer;
mod body;
mod remote_write;
mod statement;

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use plimsoll_query::Writer;
use serde_json::json;

use crate::gate::Caller;

use super::admission::Admission;
use super::line_protocol::Precision;
use super::{Ingest, Loaded, Loader};

use answer::{Form, Problem, json_response};
use body::Received;
use remote_write::Samples;

/// The version that clients are told: the InfluxDB whose manners these endpoints have, and that it is not one.
const VERSION: &str = "1.8.10-plimsoll";

/// The paths served here, for those who lost their way.
const ENDPOINTS: &str = "POST /write, POST /api/v2/write, POST /api/v3/write_lp, POST /api/v1/write, GET /ping, GET /health, GET or POST /query";

/// What the one database is called where a client asks.
const DATABASE: &str = "plimsoll";

/// Bytes of a form sent to `/query`.
const FORM_BYTES_MAX: usize = 64 << 10;

/// Characters of a refused line that an answer repeats.
const LINE_CHARS_SHOWN_MAX: usize = 160;

/// Refusals that one answer to numbered points lists.
const REFUSED_LISTED_MAX: usize = 20;

/// Bytes of a wrong path that its answer repeats; a path is ASCII.
const PATH_BYTES_SHOWN_MAX: usize = 100;

/// The endpoints as a router, with a 404 that names them for every other path.
pub fn router(state: Ingest) -> Router {
    describe_metrics();
    let admission = Admission::new(&state.limits);
    let loader = Loader::new(state.database.clone());
    let shared = Arc::new(Shared { admission, loader, ingest: state });
    Router::new()
        .route("/write", post(write_v1).fallback(wrong_method))
        .route("/api/v2/write", post(write_v2).fallback(wrong_method))
        .route("/api/v3/write_lp", post(write_v3).fallback(wrong_method))
        .route("/api/v1/write", post(remote_write).fallback(wrong_method))
        .route("/ping", get(ping).fallback(wrong_method))
        .route("/health", get(health).fallback(wrong_method))
        .route("/query", get(query).post(query).fallback(wrong_method))
        .fallback(unknown_path)
        .layer(map_response(name_ourselves))
        .with_state(shared)
}

#[derive(Debug)]
struct Shared {
    ingest: Ingest,
    admission: Admission,
    loader: Loader,
}

type App = State<Arc<Shared>>;

async fn write_v1(State(shared): App, request: Request) -> Response {
    observe("/write", async { answer::written(write(&shared, Form::V1, request).await, Form::V1) }).await
}

async fn write_v2(State(shared): App, request: Request) -> Response {
    observe("/api/v2/write", async { answer::written(write(&shared, Form::V2, request).await, Form::V2) }).await
}

async fn write_v3(State(shared): App, request: Request) -> Response {
    observe("/api/v3/write_lp", async { answer::written(write(&shared, Form::V3, request).await, Form::V3) }).await
}

async fn write(shared: &Arc<Shared>, form: Form, request: Request) -> Result<(), Problem> {
    let (head, body) = request.into_parts();
    let precision = match precision(form, &head.uri) {
        Ok(precision) => precision,
        Err(problem) => {
            body::discard(&head.headers, body);
            return Err(problem);
        }
    };
    let writer = writer(shared, &head);
    at_work(shared, &head, body, move |shared, received| write_received(shared, &writer, received, precision)).await
}

/// Prometheus' samples.
async fn remote_write(State(shared): App, request: Request) -> Response {
    observe("/api/v1/write", async { answer::written(write_samples(&shared, request).await, Form::V1) }).await
}

async fn write_samples(shared: &Arc<Shared>, request: Request) -> Result<(), Problem> {
    let (head, body) = request.into_parts();
    if let Err(problem) = remote_write::check_head(&head.headers) {
        body::discard(&head.headers, body);
        return Err(problem);
    }
    let writer = writer(shared, &head);
    at_work(shared, &head, body, move |shared, received| write_received_samples(shared, &writer, received)).await
}

/// Receives a body, and has it written on a blocking thread when it is its turn.
async fn at_work(
    shared: &Arc<Shared>,
    head: &Parts,
    body: Body,
    work: impl FnOnce(&Shared, Received) -> Result<(), Problem> + Send + 'static,
) -> Result<(), Problem> {
    let received = body::receive(&shared.ingest.limits, &shared.admission, &head.headers, body).await?;
    let turn = shared.admission.turn().await?;
    let shared = Arc::clone(shared);
    let working = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(&shared, received)
    });
    working.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a write did not end");
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error"))
    })
}

/// The blocking half of a write.
fn write_received(shared: &Shared, writer: &Writer, received: Received, precision: Precision) -> Result<(), Problem> {
    let text = received.decode(&shared.ingest.limits, &shared.admission)?;
    counter!("plimsoll_ingest_bytes_total").increment(text.bytes.len() as u64);
    let loaded = shared.loader.load_for(writer, &text.bytes, shared.ingest.clock.now_ns(), precision);
    count(&loaded);
    outcome(loaded, |line| original(&text.bytes, line))
}

/// The blocking half of a remote write.
fn write_received_samples(shared: &Shared, writer: &Writer, received: Received) -> Result<(), Problem> {
    let body = received.decode(&shared.ingest.limits, &shared.admission)?;
    counter!("plimsoll_ingest_bytes_total").increment(body.bytes.len() as u64);
    let Samples { points, refused } = remote_write::samples(&body.bytes)?;
    let had_points = !points.is_empty();
    let loaded = shared.loader.load_points(writer, points, shared.ingest.clock.now_ns());
    count(&loaded);
    points_outcome(&loaded, "sample", had_points, refused)
}

/// What to answer where points are numbered, and not lines; `refused` tells of what was no point.
fn points_outcome(loaded: &Loaded, word: &str, had_points: bool, mut refused: Vec<String>) -> Result<(), Problem> {
    if let Some(error) = &loaded.failure {
        return Err(Problem::failed(error, loaded.accepted));
    }
    let is_denied = had_points && loaded.accepted == 0 && loaded.denied == loaded.rejected;
    let all = refused.len() + loaded.rejected;
    refused.extend(loaded.listed.iter().map(|point| format!("{} ({word} {})", point.reason, point.line)));
    refused.truncate(REFUSED_LISTED_MAX);
    if all == 0 {
        return Ok(());
    }
    if all > refused.len() {
        refused.push(format!("and {} more", all - refused.len()));
    }
    let status = if is_denied && loaded.denied > 0 { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
    Err(Problem::new(status, refused.join("\n")))
}

/// A tag as columns can have it: `time` and `value` are taken, and Prometheus' word for such a name is `exported_`.
fn tag_name(name: &str) -> String {
    if matches!(name, "time" | "value") { format!("exported_{name}") } else { name.to_owned() }
}

/// What whoever sends a request may write.
fn writer(shared: &Shared, head: &Parts) -> Writer {
    let caller = head.extensions.get::<Caller>().and_then(|caller| caller.0.as_deref());
    shared.ingest.database.writer(caller)
}

fn count(loaded: &Loaded) {
    counter!("plimsoll_ingest_points_total").increment(loaded.accepted as u64);
    counter!("plimsoll_ingest_rejected_points_total").increment(loaded.rejected as u64);
}

/// What to answer; `original` gives a line as it was written.
fn outcome(loaded: Loaded, original: impl Fn(usize) -> String) -> Result<(), Problem> {
    let Loaded { accepted, rejected, denied, refused, listed, failure } = loaded;
    if let Some(error) = failure {
        return Err(Problem::failed(&error, accepted));
    }
    let Some(message) = refused else { return Ok(()) };
    let status = if accepted == 0 && denied == rejected { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
    let lines = listed.into_iter().map(|line| (line.clone(), original(line.line))).collect();
    Err(Problem::partial(status, message, lines))
}

/// A line of a body, cut to a sane length.
fn original(body: &[u8], line: usize) -> String {
    let line = body.split(|byte| *byte == b'\n').nth(line - 1).unwrap_or_default();
    let text = String::from_utf8_lossy(&line[..line.len().min(4 * LINE_CHARS_SHOWN_MAX)]);
    text.trim_end_matches('\r').chars().take(LINE_CHARS_SHOWN_MAX).collect()
}

/// The unit of a request's timestamps; nanoseconds unless it says otherwise, and guessed where InfluxDB 3 is spoken. As their models
/// do, `/write` and `/api/v3/write_lp` insist on a database.
fn precision(form: Form, uri: &Uri) -> Result<Precision, Problem> {
    let bad = |message: String| Problem::new(StatusCode::BAD_REQUEST, message);
    if form == Form::V3 && parameter(uri, "accept_partial").is_some_and(|word| word == "false") {
        return Err(bad(
            "accept_partial=false is not available: of each request the lines that fit are stored".to_owned()
        ));
    }
    if form != Form::V2 && parameter(uri, "db").is_none_or(|db| db.is_empty()) {
        return Err(bad("database is required".to_owned()));
    }
    let Some(word) = parameter(uri, "precision").filter(|word| !word.is_empty()) else {
        return Ok(if form == Form::V3 { Precision::Auto } else { Precision::default() });
    };
    if form == Form::V3 {
        let use_these =
            || bad(format!("invalid precision \"{word}\": use auto, nanosecond, microsecond, millisecond or second"));
        return precision_v3(&word).ok_or_else(use_these);
    }
    let precision = word.parse::<Precision>().map_err(|error| error.to_string());
    match (form, precision) {
        (Form::V1 | Form::V3, Ok(precision)) => Ok(precision),
        (Form::V1 | Form::V3, Err(error)) => Err(bad(format!("{error}: use ns, us, ms, s, m or h"))),
        (Form::V2, Ok(precision)) if matches!(word.as_str(), "ns" | "us" | "ms" | "s") => Ok(precision),
        (Form::V2, Ok(_)) => Err(bad(format!("invalid precision \"{word}\": use ns, us, ms or s"))),
        (Form::V2, Err(error)) => Err(bad(format!("{error}: use ns, us, ms or s"))),
    }
}

/// InfluxDB 3 has words of its own beside the short ones.
fn precision_v3(word: &str) -> Option<Precision> {
    match word {
        "auto" => Some(Precision::Auto),
        "nanosecond" | "ns" | "n" => Some(Precision::Nanosecond),
        "microsecond" | "us" | "u" => Some(Precision::Microsecond),
        "millisecond" | "ms" => Some(Precision::Millisecond),
        "second" | "s" => Some(Precision::Second),
        _ => None,
    }
}

/// The first value of a query parameter.
fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

async fn ping(uri: Uri) -> Response {
    observe("/ping", async {
        match parameter(&uri, "verbose").as_deref() {
            None | Some("" | "0" | "false") => StatusCode::NO_CONTENT.into_response(),
            Some(_) => json_response(StatusCode::OK, &json!({ "version": VERSION })),
        }
    })
    .await
}

async fn health(State(shared): App) -> Response {
    observe("/health", async {
        let (code, status, message) = match shared.ingest.database.engine().stats().is_read_only {
            false => (StatusCode::OK, "pass", "ready for queries and writes"),
            true => (
                StatusCode::SERVICE_UNAVAILABLE,
                "fail",
                "a write to disk has failed: ready for queries, not for writes",
            ),
        };
        let health = json!({
            "name": "influxdb",
            "message": message,
            "status": status,
            "checks": [],
            "version": VERSION,
            "commit": concat!("v", env!("CARGO_PKG_VERSION")),
        });
        json_response(code, &health)
    })
    .await
}

async fn query(State(shared): App, request: Request) -> Response {
    observe("/query", async {
        answer_query(&shared, request).await.unwrap_or_else(|problem| problem.response(Form::V1))
    })
    .await
}

async fn answer_query(shared: &Shared, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let text = match parameter(&head.uri, "q") {
        Some(text) => text,
        None => body::form_value(&shared.ingest.limits, body, FORM_BYTES_MAX, "q").await?,
    };
    let statements =
        statement::parse(&text).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let results: Vec<_> = statements.iter().enumerate().map(|(id, statement)| statement.answer(id, DATABASE)).collect();
    Ok(json_response(StatusCode::OK, &json!({ "results": results })))
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let message = format!("method not allowed: {method} {}; the endpoints are {ENDPOINTS}", shown(&uri));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, message).response(Form::of_path(uri.path()))
}

async fn unknown_path(uri: Uri) -> Response {
    let message = format!("not found: {}; the endpoints are {ENDPOINTS}", shown(&uri));
    Problem::new(StatusCode::NOT_FOUND, message).response(Form::of_path(uri.path()))
}

/// A path as a message repeats it.
fn shown(uri: &Uri) -> &str {
    uri.path().get(..PATH_BYTES_SHOWN_MAX).unwrap_or(uri.path())
}

/// Clients ask every answer whom they talk to.
async fn name_ourselves(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert("x-influxdb-version", HeaderValue::from_static(VERSION));
    headers.insert("x-influxdb-build", HeaderValue::from_static("OSS"));
    response
}

/// Counts and times a request.
async fn observe(endpoint: &'static str, answer: impl Future<Output = Response>) -> Response {
    let start = Instant::now();
    let response = answer.await;
    let status = response.status().as_str().to_owned();
    counter!("plimsoll_ingest_requests_total", "endpoint" => endpoint, "status" => status).increment(1);
    histogram!("plimsoll_ingest_request_seconds", "endpoint" => endpoint).record(start.elapsed());
    response
}

fn describe_metrics() {
    describe_counter!(
        "plimsoll_ingest_requests_total",
        "Requests to the ingest endpoints, by endpoint and HTTP status."
    );
    describe_counter!("plimsoll_ingest_points_total", "Points stored.");
    describe_counter!("plimsoll_ingest_rejected_points_total", "Lines refused: malformed, or not fitting their table.");
    describe_counter!("plimsoll_ingest_bytes_total", Unit::Bytes, "Line protocol received, after decompression.");
    describe_histogram!("plimsoll_ingest_request_seconds", Unit::Seconds, "Time from a request's head to its answer.");
}

#[cfg(test)]
mod tests;
