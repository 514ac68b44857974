//! Receiving a body: bounded in size, time and memory, and decompressed if need be.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use flate2::bufread::MultiGzDecoder;
use futures::StreamExt;

use super::super::IngestLimits;
use super::super::admission::{Admission, Held};
use super::answer::Problem;

/// How long the rest of a refused body is read, so that a client that is still sending lives to see the answer.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Bytes that are decompressed at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Bytes reserved ahead because a client says so.
const RESERVE_BYTES_MAX: usize = 4 << 20;

/// A body as it was sent, whole.
#[derive(Debug)]
pub(super) struct Received {
    bytes: Vec<u8>,
    held: Held,
    encoding: Encoding,
}

/// A body as it was meant.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    _held: Held,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    /// A block of snappy, as Prometheus sends it.
    Snappy,
}

/// Takes in a body, or refuses it as soon as it is known not to fit.
pub(super) async fn receive(
    limits: &IngestLimits,
    admission: &Admission,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, Problem> {
    let (encoding, bytes_max) = match check_head(limits, admission, headers) {
        Ok(checked) => checked,
        Err(problem) => {
            discard(headers, body);
            return Err(problem);
        }
    };
    let mut held = admission.held();
    let mut bytes = Vec::with_capacity(content_length(headers).unwrap_or(0).min(RESERVE_BYTES_MAX));
    let mut stream = body.into_data_stream();
    let taking = take_all(&mut stream, &mut bytes, bytes_max, &mut held);
    let taken = tokio::time::timeout(limits.receive_max, taking).await;
    match taken.unwrap_or_else(|_| Err(too_slow(limits))) {
        Ok(()) => Ok(Received { bytes, held, encoding }),
        Err(problem) => {
            linger(stream);
            Err(problem)
        }
    }
}

/// Reads on for a while after a request is refused by its head alone.
pub(super) fn discard(headers: &HeaderMap, body: Body) {
    // A client that expects a "continue" has sent nothing yet and must not be asked to.
    if !headers.contains_key(EXPECT) {
        linger(body.into_data_stream());
    }
}

/// One value of a form, sent as a body.
pub(super) async fn form_value(
    limits: &IngestLimits,
    body: Body,
    bytes_max: usize,
    name: &str,
) -> Result<String, Problem> {
    let reading = tokio::time::timeout(limits.receive_max, axum::body::to_bytes(body, bytes_max));
    let form = reading.await.map_err(|_| too_slow(limits))?.map_err(|_| Problem::too_large(bytes_max))?;
    let value = form_urlencoded::parse(&form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    value.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, format!("missing required parameter \"{name}\"")))
}

impl Received {
    /// Decompresses. Blocks the thread.
    pub(super) fn decode(self, limits: &IngestLimits, admission: &Admission) -> Result<Text, Problem> {
        match self.encoding {
            Encoding::Identity => Ok(Text { bytes: self.bytes, _held: self.held }),
            Encoding::Gzip => gunzip(&self.bytes, limits.decompressed_bytes_max, admission.held()),
            Encoding::Snappy => unsnap(&self.bytes, limits.decompressed_bytes_max, admission.held()),
        }
    }
}

fn check_head(limits: &IngestLimits, admission: &Admission, headers: &HeaderMap) -> Result<(Encoding, usize), Problem> {
    let encoding = encoding(headers)?;
    let bytes_max = match encoding {
        Encoding::Identity => limits.body_bytes_max.min(limits.decompressed_bytes_max),
        Encoding::Gzip | Encoding::Snappy => limits.body_bytes_max,
    };
    if content_length(headers).is_some_and(|length| length > bytes_max) {
        return Err(Problem::too_large(bytes_max));
    }
    admission.check()?;
    Ok((encoding, bytes_max))
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let Some(value) = headers.get(CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    match value.as_bytes().to_ascii_lowercase().as_slice() {
        b"" | b"identity" => Ok(Encoding::Identity),
        b"gzip" | b"x-gzip" => Ok(Encoding::Gzip),
        b"snappy" => Ok(Encoding::Snappy),
        other => {
            let other: String = String::from_utf8_lossy(other).chars().take(40).collect();
            let message = format!("unsupported content encoding \"{other}\": use gzip or none");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse::<u64>().ok()?;
    Some(usize::try_from(length).unwrap_or(usize::MAX))
}

async fn take_all(
    stream: &mut BodyDataStream,
    bytes: &mut Vec<u8>,
    bytes_max: usize,
    held: &mut Held,
) -> Result<(), Problem> {
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, format!("the body did not arrive whole: {error}"))
        })?;
        if piece.len() > bytes_max - bytes.len() {
            return Err(Problem::too_large(bytes_max));
        }
        held.grow(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(())
}

fn gunzip(compressed: &[u8], bytes_max: usize, mut held: Held) -> Result<Text, Problem> {
    let mut decoder = MultiGzDecoder::new(compressed);
    let mut bytes = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = decoder
            .read(&mut piece)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("broken gzip body: {error}")))?;
        if length == 0 {
            return Ok(Text { bytes, _held: held });
        }
        if length > bytes_max - bytes.len() {
            return Err(Problem::too_large(bytes_max));
        }
        held.grow(length)?;
        bytes.extend_from_slice(&piece[..length]);
    }
}

fn unsnap(compressed: &[u8], bytes_max: usize, mut held: Held) -> Result<Text, Problem> {
    let broken = |error| Problem::new(StatusCode::BAD_REQUEST, format!("broken snappy body: {error}"));
    // The block says how long it gets, before anything is reserved for it.
    let length = snap::raw::decompress_len(compressed).map_err(broken)?;
    if length > bytes_max {
        return Err(Problem::too_large(bytes_max));
    }
    held.grow(length)?;
    let bytes = snap::raw::Decoder::new().decompress_vec(compressed).map_err(broken)?;
    Ok(Text { bytes, _held: held })
}

fn too_slow(limits: &IngestLimits) -> Problem {
    let seconds = limits.receive_max.as_secs_f64();
    Problem::new(StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {seconds} s"))
}

/// Reads what still comes and forgets it. Closing the connection at once would reset it under a client that is still sending,
/// and with it the answer would be lost.
fn linger(mut stream: BodyDataStream) {
    let reading = async move { while let Some(Ok(_)) = stream.next().await {} };
    tokio::spawn(tokio::time::timeout(LINGER_MAX, reading));
}
