//! What a client is told when a request fails, in the form that it knows.

use axum::http::header::{ACCEPT_ENCODING, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use plimsoll_engine::Error;
use serde_json::{Value, json};

use super::super::RefusedLine;
use super::super::admission::Full;

/// Bytes of a message that the header `X-Influxdb-Error` repeats; the body has all of it.
const HEADER_BYTES_MAX: usize = 1024;

/// Seconds after which a client may try again: when there was too much at once, and when somebody has to help.
const RETRY_SOON_S: &str = "1";
const RETRY_LATER_S: &str = "30";

/// Whose manners an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// InfluxDB 1: `{"error": ...}`, repeated in a header.
    V1,
    /// InfluxDB 2: `{"code": ..., "message": ...}`.
    V2,
    /// InfluxDB 3: `{"error": ..., "data": [...]}`, a line each.
    V3,
}

impl Form {
    pub(super) fn of_path(path: &str) -> Form {
        match path {
            _ if path.starts_with("/api/v2") => Form::V2,
            _ if path.starts_with("/api/v3") => Form::V3,
            _ => Form::V1,
        }
    }
}

/// Why a request was not, or not wholly, done.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    message: String,
    /// The lines that it is about.
    lines: Vec<(RefusedLine, String)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Problem {
        Problem { status, message: message.into(), lines: Vec::new() }
    }

    pub(super) fn too_large(bytes_max: usize) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("request too large: a body may have {bytes_max} bytes"))
    }

    /// The engine could not take a batch, after it had taken `accepted` points of the request.
    pub(super) fn failed(error: &plimsoll_query::Error, accepted: usize) -> Problem {
        let status = match error {
            plimsoll_query::Error::Engine(Error::Busy { .. }) => StatusCode::TOO_MANY_REQUESTS,
            plimsoll_query::Error::Engine(Error::DiskFull { .. }) => StatusCode::INSUFFICIENT_STORAGE,
            plimsoll_query::Error::Engine(Error::Poisoned { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            plimsoll_query::Error::Engine(Error::Schema(_) | Error::Limit { .. }) => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::error!(%error, "a write failed");
        }
        let message = match accepted {
            0 => error.to_string(),
            1 => format!("{error} (1 point of this request is stored)"),
            _ => format!("{error} ({accepted} points of this request are stored)"),
        };
        Problem::new(status, message)
    }

    /// Some lines are not stored, each given as it was written; all others are.
    pub(super) fn partial(status: StatusCode, message: String, lines: Vec<(RefusedLine, String)>) -> Problem {
        Problem { status, message, lines }
    }

    pub(super) fn response(self, form: Form) -> Response {
        let is_busy = self.status == StatusCode::TOO_MANY_REQUESTS;
        // InfluxDB 1 never says 429, and its clients drop what is answered with a 4xx. What is answered with a 5xx they send again.
        let status = if is_busy && form == Form::V1 { StatusCode::SERVICE_UNAVAILABLE } else { self.status };
        let body = match form {
            Form::V1 => json!({ "error": self.message }),
            Form::V2 => json!({ "code": code(self.status), "message": self.message }),
            Form::V3 if self.lines.is_empty() => json!({ "error": self.message }),
            Form::V3 => {
                let lines: Vec<Value> = self.lines.iter().map(refused_line).collect();
                json!({ "error": "partial write of line protocol occurred", "data": lines })
            }
        };
        let mut response = json_response(status, &body);
        let headers = response.headers_mut();
        if form == Form::V1 {
            headers.insert("x-influxdb-error", header_text(&self.message));
        }
        match status {
            _ if is_busy => headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SOON_S)),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_LATER_S))
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity"))
            }
            _ => None,
        };
        response
    }
}

impl From<Full> for Problem {
    fn from(full: Full) -> Problem {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, full.to_string())
    }
}

/// The answer to a write.
pub(super) fn written(result: Result<(), Problem>, form: Form) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => problem.response(form),
    }
}

pub(super) fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [("content-type", "application/json")], format!("{body}\n")).into_response()
}

/// A refused line as InfluxDB 3 tells it.
fn refused_line((line, original): &(RefusedLine, String)) -> Value {
    json!({ "error_message": line.reason, "line_number": line.line, "original_line": original })
}

/// InfluxDB 2's word for a status.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "not found",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::METHOD_NOT_ALLOWED => "method not allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "request too large",
        StatusCode::TOO_MANY_REQUESTS => "too many requests",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => "unavailable",
        status if status.is_server_error() => "internal error",
        _ => "invalid",
    }
}

/// A message as a header can hold it: one line of ASCII, not too long.
fn header_text(message: &str) -> HeaderValue {
    let plain = |c: char| match c {
        ' '..='~' => c,
        '\n' | '\r' | '\t' => ' ',
        _ => '?',
    };
    let text: String = message.chars().take(HEADER_BYTES_MAX).map(plain).collect();
    HeaderValue::from_str(&text).expect("printable ASCII is a header value")
}
