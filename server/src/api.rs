//! HTTP beside line protocol: tickets in, changes out, backups made.
//!
//! | endpoint | what it does |
//! |---|---|
//! | `POST /api/v1/incidents` | takes a ticket of a service desk, or an array of them, into `ops.incident`; all or none |
//! | `GET /api/v1/events?channel=` | changes of alerts and incidents as they happen, as server-sent events |
//! | `GET /api/v1/subscribe?query=&snapshot=&min_interval=` | the rows of a query and how they change, likewise |
//! | `POST /api/v1/backup` | `{"to": directory, "base": earlier backup}`: writes a backup on the server's machine |
//!
//! Errors are `{"error": ..., "hint": ...}`. Streams end when the client leaves or the server stops.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use datafusion::arrow::array::RecordBatch;
use futures::{Stream, StreamExt as _};
use plimsoll_engine::Error as EngineError;
use plimsoll_engine::env::Clock;
use plimsoll_query::{Database, Errand, Outcome};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::gate::Caller;

/// Bytes of a request with tickets.
const TICKETS_BYTES_MAX: usize = 4 << 20;

/// Bytes of a request for a backup.
const BACKUP_BYTES_MAX: usize = 64 << 10;

/// Streams that are served at one time.
const STREAMS_MAX: usize = 100;

/// How often a stream on which nothing happens shows that it is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Who is at work when the request does not say.
const ACTOR: &str = "api";

/// Longest name of who is at work.
const ACTOR_BYTES_MAX: usize = 100;

/// What the endpoints work on.
struct Shared {
    database: Database,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
    streams: Arc<Semaphore>,
    /// One backup at a time.
    backups: Semaphore,
}

type App = State<Arc<Shared>>;

/// The endpoints as a router. Its streams end when `stopping` is.
pub(crate) fn router(database: Database, clock: Arc<dyn Clock>, stopping: CancellationToken) -> Router {
    let (streams, backups) = (Arc::new(Semaphore::new(STREAMS_MAX)), Semaphore::new(1));
    let shared = Shared { database, clock, stopping, streams, backups };
    Router::new()
        .route("/api/v1/incidents", post(incidents))
        .route("/api/v1/events", get(events))
        .route("/api/v1/subscribe", get(subscribe))
        .route("/api/v1/backup", post(backup))
        .with_state(Arc::new(shared))
}

/// Why a request was not done.
struct Refused(StatusCode, Value);

impl Refused {
    fn new(status: StatusCode, message: impl std::fmt::Display) -> Refused {
        Refused(status, json!({ "error": message.to_string() }))
    }

    fn of(error: &plimsoll_query::Error) -> Refused {
        let status = match error {
            plimsoll_query::Error::Catalog { .. } | plimsoll_query::Error::Internal(_) => {
                tracing::error!(%error, "a request failed in the server");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            plimsoll_query::Error::Engine(EngineError::Io { .. } | EngineError::Poisoned { .. }) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            plimsoll_query::Error::Engine(EngineError::DiskFull { .. }) => StatusCode::INSUFFICIENT_STORAGE,
            plimsoll_query::Error::Denied { .. } => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        Refused(status, json!({ "error": error.to_string(), "hint": error.hint() }))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused(status, body) = self;
        (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    }
}

async fn incidents(State(shared): App, request: Request) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    let actor = actor(&head.headers, head.extensions.get())?;
    let body = axum::body::to_bytes(body, TICKETS_BYTES_MAX).await.map_err(|_| {
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a request has {TICKETS_BYTES_MAX} bytes at most"))
    })?;
    let body: Value = serde_json::from_slice(&body)
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, format!("the body is no JSON: {error}")))?;
    let (tickets, is_one) = match body {
        Value::Array(tickets) => (tickets, false),
        one => (vec![one], true),
    };
    let now_ns = shared.clock.now_ns();
    let work = tokio::task::spawn_blocking(move || shared.database.take_tickets(&tickets, &actor, now_ns));
    let taken = work.await.map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    let taken = taken.map_err(|error| Refused::of(&error))?;
    let mut told = taken.iter().map(|ticket| {
        json!({
            "id": ticket.id, "external_id": ticket.external_id, "state": ticket.state, "created": ticket.is_new,
        })
    });
    let answer = match (is_one, told.len()) {
        (true, 1) => told.next().unwrap_or_default(),
        _ => Value::Array(told.collect()),
    };
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], answer.to_string()).into_response())
}

/// Who sends a request: who has logged in, or by its header `X-Actor` where nobody has to.
fn actor(headers: &HeaderMap, caller: Option<&Caller>) -> Result<String, Refused> {
    if let Some(Caller(Some(user))) = caller {
        return Ok(user.clone());
    }
    match headers.get("x-actor").map(|name| name.to_str()) {
        None => Ok(ACTOR.to_owned()),
        Some(Ok(name)) if !name.is_empty() && name.len() <= ACTOR_BYTES_MAX => Ok(name.to_owned()),
        Some(_) => {
            let message = format!("the header X-Actor is a name of at most {ACTOR_BYTES_MAX} bytes");
            Err(Refused::new(StatusCode::BAD_REQUEST, message))
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct BackUp {
    /// The directory on the server's machine: new, or empty.
    to: PathBuf,
    /// An earlier backup there; what it has is not copied again.
    base: Option<PathBuf>,
}

/// Makes a backup. A page in a browser cannot ask for it: that cannot send this content type to another server.
async fn backup(State(shared): App, request: Request) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().is_none_or(|kind| !kind.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to be application/json"));
    }
    let body = axum::body::to_bytes(body, BACKUP_BYTES_MAX).await.map_err(|_| {
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a request has {BACKUP_BYTES_MAX} bytes at most"))
    })?;
    let BackUp { to, base } = serde_json::from_slice(&body).map_err(|error| {
        Refused::new(StatusCode::BAD_REQUEST, format!("the body is not what is asked for: {error}"))
    })?;
    if let Some(path) = [Some(&to), base.as_ref()].into_iter().flatten().find(|path| !path.is_absolute()) {
        let message = format!("{}: the server wants a path that begins with /", path.display());
        return Err(Refused::new(StatusCode::BAD_REQUEST, message));
    }
    let Ok(_alone) = shared.backups.try_acquire() else {
        return Err(Refused::new(StatusCode::CONFLICT, "a backup is being made; one is made at a time"));
    };
    let (database, now_ns) = (shared.database.clone(), shared.clock.now_ns());
    let at = to.clone();
    let work = tokio::task::spawn_blocking(move || database.back_up(&to, base.as_deref(), now_ns, &mut |_| {}));
    let made = work.await.map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    let report = made.map_err(|error| Refused::of(&error))?;
    tracing::info!(to = %at.display(), bytes = report.copied_bytes, "a backup was made");
    let damages: Vec<String> = report.damages.iter().map(ToString::to_string).collect();
    let answer = json!({
        "files": report.files, "bytes": report.bytes, "copied_files": report.copied_files,
        "copied_bytes": report.copied_bytes, "last_record": report.lsn, "damages": damages,
    });
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], answer.to_string()).into_response())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    /// `alert` or `incident`, or another that clients send on; all without.
    channel: Option<String>,
}

async fn events(
    State(shared): App,
    caller: Option<Extension<Caller>>,
    Query(asked): Query<Events>,
) -> Result<Response, Refused> {
    let turn = turn(&shared)?;
    let (notifications, database) = (shared.database.notifications(), shared.database.clone());
    let user = caller.and_then(|Extension(Caller(user))| user);
    let events = futures::stream::unfold(notifications, move |mut notifications| {
        let (database, user) = (database.clone(), user.clone());
        async move {
            let event = match notifications.recv().await {
                Ok(notification) => Some(notification),
                Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => return None,
            };
            // A right may have been taken away since.
            let may = user.is_none_or(|user| database.check_errand(&user, Errand::FollowEvents).is_ok());
            may.then_some((event, notifications))
        }
    });
    let events = events.filter_map(move |notification| {
        let event = match notification {
            Some(notification) if asked.channel.as_ref().is_some_and(|wanted| *wanted != notification.channel) => None,
            Some(notification) => Some(Event::default().event(&notification.channel).data(&notification.payload)),
            None => Some(Event::default().event("lost").data("{}")),
        };
        futures::future::ready(event)
    });
    Ok(stream(events, &shared, turn))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Subscribe {
    query: String,
    snapshot: Option<bool>,
    min_interval: Option<String>,
}

async fn subscribe(
    State(shared): App,
    caller: Option<Extension<Caller>>,
    Query(asked): Query<Subscribe>,
) -> Result<Response, Refused> {
    let turn = turn(&shared)?;
    let mut text = format!("SUBSCRIBE TO ({}\n) WITH (snapshot = {}", asked.query, asked.snapshot.unwrap_or(true));
    if let Some(length) = &asked.min_interval {
        text += &format!(", min_interval = '{}'", length.replace('\'', "''"));
    }
    text.push(')');
    let mut session = shared.database.session();
    session.set_name("http subscribe");
    match caller {
        Some(Extension(Caller(Some(user)))) => {
            session.set_user(&user);
            session.set_role(&user);
        }
        _ => session.set_user(ACTOR),
    }
    let now_ns = shared.clock.now_ns();
    let statements = plimsoll_query::parse(&text).map_err(|error| Refused::of(&error))?;
    let [statement] = statements.as_slice() else {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "a subscription is to one query"));
    };
    let prepared = session.prepare(statement, &[], now_ns).map_err(|error| Refused::of(&error))?;
    let outcome = session.run(&prepared, &[], now_ns).await.map_err(|error| Refused::of(&error))?;
    let Outcome::Rows { stream: batches, .. } = outcome else {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "a subscription is to a query"));
    };
    let mut number = 0_u64;
    let events = batches.flat_map(move |batch| {
        let events: Vec<Event> = match batch.map_err(plimsoll_query::Error::from).and_then(|batch| changes(&batch)) {
            Ok(changes) => changes
                .into_iter()
                .map(|change| {
                    number += 1;
                    Event::default().event("change").id(number.to_string()).data(change.to_string())
                })
                .collect(),
            Err(error) => {
                vec![Event::default().event("error").data(json!({ "error": error.to_string() }).to_string())]
            }
        };
        futures::stream::iter(events)
    });
    Ok(stream(events, &shared, turn))
}

/// The rows of a batch of changes: `{"changed_at": ..., "diff": ..., "row": {...}}`.
fn changes(batch: &RecordBatch) -> plimsoll_query::Result<Vec<Value>> {
    // The query's own columns may be called as ours are: they stand behind.
    let of = |columns: std::ops::Range<usize>| batch.project(&columns.collect::<Vec<_>>());
    let failed = |error| plimsoll_query::Error::from(datafusion::error::DataFusionError::from(error));
    let (ours, theirs) = (of(0..2).map_err(failed)?, of(2..batch.num_columns()).map_err(failed)?);
    let (ours, theirs) = (plimsoll_query::objects(&ours)?, plimsoll_query::objects(&theirs)?);
    let change = |(mut ours, row): (Map<String, Value>, Map<String, Value>)| {
        ours.insert("row".to_owned(), Value::Object(row));
        Value::Object(ours)
    };
    Ok(ours.into_iter().zip(theirs).map(change).collect())
}

/// A place among the streams.
fn turn(shared: &Shared) -> Result<OwnedSemaphorePermit, Refused> {
    Arc::clone(&shared.streams).try_acquire_owned().map_err(|_| {
        let message = format!("{STREAMS_MAX} streams are served at one time, and there are as many");
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, message)
    })
}

/// Events as a response that lasts.
fn stream(
    events: impl Stream<Item = Event> + Send + 'static,
    shared: &Shared,
    turn: OwnedSemaphorePermit,
) -> Response<Body> {
    let stopping = shared.stopping.clone();
    let events = events.take_until(async move { stopping.cancelled().await }).map(move |event| {
        let _in_turn = &turn;
        Ok::<_, Infallible>(event)
    });
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY));
    ([(CACHE_CONTROL, "no-store")], sse).into_response()
}
