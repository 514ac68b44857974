//! Who sends an HTTP request, and whether he may: checked before a handler sees it, against the roles of SQL.
//!
//! | endpoint | takes |
//! |---|---|
//! | `/write`, `/api/v2/write`, `/api/v3/write_lp` | INSERT on the table of each line: checked where lines are read |
//! | `/api/v1/incidents` | INSERT and UPDATE on `ops.incident` |
//! | `/api/v1/events` | SUBSCRIBE |
//! | `/api/v1/subscribe` | SUBSCRIBE, and SELECT on what the query reads: checked by the query layer |
//! | `/api/v1/backup` | a superuser |
//! | `/query` | a log-in |
//! | `/ping`, `/health`, `/metrics` | nothing |
//!
//! Name and password come as `Authorization: Basic`, as `Authorization: Token name:password` or `Bearer name:password`, or as the
//! parameters `u` and `p`, as InfluxDB's clients send them. While no role has a password, this machine is trusted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plimsoll_engine::env::Clock;
use plimsoll_query::{Database, Errand};
use serde_json::json;

use crate::throttle::Throttle;

/// What requests are checked against.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) database: Database,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Who sends a request; nobody in particular while everybody is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) Option<String>);

/// A name and the password that is to prove it.
#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: String,
    password: String,
}

/// What a request has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    LogIn,
    Right(Errand),
}

/// What a path takes.
fn takes(path: &str) -> Takes {
    match path {
        "/api/v1/incidents" => Takes::Right(Errand::EnterTickets),
        "/api/v1/events" => Takes::Right(Errand::FollowEvents),
        "/api/v1/backup" => Takes::Right(Errand::BackUp),
        "/ping" | "/health" | "/metrics" => Takes::Nothing,
        _ => Takes::LogIn,
    }
}

/// The middleware: hands a request on with its [`Caller`], or answers it.
pub(crate) async fn guard(
    State(gate): State<Gate>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let takes = takes(request.uri().path());
    let credentials = credentials(request.headers(), request.uri());
    match gate.let_in(takes, credentials, from.ip().to_canonical()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => refusal.response(request.uri().path()),
    }
}

/// Why a request is not handed on.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// Nobody has logged in, or with a wrong password.
    Unknown,
    /// Nobody from there is let in.
    NotFromThere,
    /// Whoever it is, he may not.
    Denied(String),
    /// Too many failed log-ins: the seconds to wait.
    TooEarly(u64),
}

impl Gate {
    async fn let_in(&self, takes: Takes, credentials: Option<Credentials>, from: IpAddr) -> Result<Caller, Refusal> {
        if takes == Takes::Nothing {
            return Ok(Caller(None));
        }
        if !self.database.has_passwords() {
            return if from.is_loopback() { Ok(Caller(None)) } else { Err(Refusal::NotFromThere) };
        }
        let Some(Credentials { user, password }) = credentials else { return Err(Refusal::Unknown) };
        self.throttle.check(from, self.clock.now_ns()).map_err(Refusal::TooEarly)?;
        let (database, name) = (self.database.clone(), user.clone());
        // Checking a password takes a core for some milliseconds.
        let checked = tokio::task::spawn_blocking(move || database.is_password_of(&name, &password)).await;
        if !checked.unwrap_or(false) {
            self.throttle.failed(from, self.clock.now_ns());
            tracing::warn!(user, %from, "a log-in failed: wrong user or password");
            return Err(Refusal::Unknown);
        }
        self.throttle.succeeded(from);
        if let Takes::Right(errand) = takes {
            self.database.check_errand(&user, errand).map_err(|error| Refusal::Denied(error.to_string()))?;
        }
        Ok(Caller(Some(user)))
    }
}

impl Refusal {
    /// The answer in the form that clients of a path know.
    fn response(self, path: &str) -> Response {
        let (status, word, message) = match &self {
            Refusal::Unknown => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "authorization failed: a user and its password are needed".to_owned(),
            ),
            Refusal::NotFromThere => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "no user has a password, so only the machine of the server is trusted".to_owned(),
            ),
            Refusal::Denied(message) => (StatusCode::FORBIDDEN, "forbidden", message.clone()),
            Refusal::TooEarly(seconds) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests",
                format!("too many failed log-ins from this address; try again in {seconds} s"),
            ),
        };
        let body = match path.starts_with("/api/v2") {
            true => json!({ "code": word, "message": message }),
            false => json!({ "error": message }),
        };
        let mut response = (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response();
        let headers = response.headers_mut();
        match self {
            Refusal::Unknown => {
                headers.insert(WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Basic realm=\"plimsoll\""));
            }
            Refusal::TooEarly(seconds) => {
                headers.insert(RETRY_AFTER, seconds.into());
            }
            Refusal::NotFromThere | Refusal::Denied(_) => {}
        }
        response
    }
}

/// The name and password that a request brings; the header comes before the parameters.
fn credentials(headers: &HeaderMap, uri: &Uri) -> Option<Credentials> {
    if let Some(header) = headers.get(AUTHORIZATION) {
        let (scheme, value) = header.to_str().ok()?.trim().split_once(' ')?;
        let pair = match scheme.to_ascii_lowercase().as_str() {
            "basic" => String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?,
            "token" | "bearer" => value.trim().to_owned(),
            _ => return None,
        };
        let (user, password) = pair.split_once(':')?;
        return Some(Credentials { user: user.to_owned(), password: password.to_owned() });
    }
    let pairs = || form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let value = |name: &str| pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    Some(Credentials { user: value("u")?, password: value("p")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought(header: Option<&str>, uri: &str) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, header.parse().unwrap());
        }
        credentials(&headers, &uri.parse().unwrap()).map(|found| (found.user, found.password))
    }

    #[test]
    fn a_name_and_a_password_come_in_every_form_that_clients_send() {
        let wanted = Some(("bob".to_owned(), "a:b c".to_owned()));
        assert_eq!(brought(Some("Basic Ym9iOmE6YiBj"), "/write"), wanted);
        assert_eq!(brought(Some("Token bob:a:b c"), "/write"), wanted);
        assert_eq!(brought(Some("bearer bob:a:b c"), "/write"), wanted);
        assert_eq!(brought(None, "/write?db=d&u=bob&p=a%3Ab+c"), wanted);
        for header in ["", "Basic", "Basic !", "Basic Ym9i", "Token bob", "Digest bob:x"] {
            assert_eq!(brought(Some(header), "/write?u=eve&p=x"), None, "{header}");
        }
        assert_eq!(brought(None, "/write?u=bob"), None);
    }

    #[test]
    fn every_path_that_is_not_known_to_be_open_takes_a_log_in() {
        for path in ["/ping", "/health", "/metrics"] {
            assert_eq!(takes(path), Takes::Nothing);
        }
        for path in ["/", "/query", "/api/v1/subscribe", "/ping/", "/WRITE"] {
            assert_eq!(takes(path), Takes::LogIn, "{path}");
        }
        assert_eq!(takes("/api/v2/write"), Takes::LogIn);
        assert_eq!(takes("/api/v1/backup"), Takes::Right(Errand::BackUp));
    }
}
