//! Prometheus' remote write, version 1: snappy blocks of protobuf (<https://prometheus.io/docs/specs/prw/remote_write_spec/>).
//!
//! | of a series | becomes |
//! |---|---|
//! | the label `__name__` | the table |
//! | every other label | a tag; `time` and `value` become `exported_time` and `exported_value` |
//! | the value of a sample | the field `value` |
//! | a stale marker | nothing |
//!
//! Samples are counted from 1 through the whole request; errors name them.

use std::borrow::Cow;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use plimsoll_engine::{Point, Value};
use prost::Message;

use super::answer::Problem;

/// The NaN by which Prometheus marks the end of a series.
const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

const NS_PER_MS: i64 = 1_000_000;

/// Bytes that the points of one request may take up: a short request can give many samples the same long labels.
const POINT_BYTES_MAX: usize = 256 << 20;

/// Bytes of a point beside its names and tags.
const POINT_BYTES: usize = 128;

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    /// Native histograms, which are not taken.
    #[prost(bytes = "vec", repeated, tag = "4")]
    histograms: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp_ms: i64,
}

/// The samples of a request as numbered points, and why others are none.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) points: Vec<(usize, Point<'static>)>,
    pub(super) refused: Vec<String>,
}

/// Refuses what is not version 1 by its head, so that a sender may fall back to it.
pub(super) fn check_head(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = text(CONTENT_TYPE.as_str()).to_ascii_lowercase();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let is_known = media_type == "application/x-protobuf" && !content_type.contains("write.v2");
    if is_known && !text("x-prometheus-remote-write-version").starts_with('2') {
        return Ok(());
    }
    let message = "remote write of version 1 alone is spoken: application/x-protobuf of prometheus.WriteRequest";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// Reads a decompressed request.
pub(super) fn samples(body: &[u8]) -> Result<Samples, Problem> {
    let request = WriteRequest::decode(body).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, format!("the body is no prometheus.WriteRequest: {error}"))
    })?;
    let mut samples = Samples::default();
    let mut number = 0;
    let mut bytes = 0usize;
    for TimeSeries { labels, samples: values, histograms } in request.timeseries {
        if !histograms.is_empty() {
            samples.refused.push(format!("{}: native histograms are not taken", described(&labels)));
        }
        let Some(series) = series(&labels) else {
            number += values.len();
            samples.refused.push(format!("{}: a series has no __name__ (sample {number})", described(&labels)));
            continue;
        };
        let of_tags = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| name.len() + value.len() + POINT_BYTES;
        let point_bytes = POINT_BYTES + series.table.len() + series.tags.iter().map(of_tags).sum::<usize>();
        bytes = bytes.saturating_add(point_bytes.saturating_mul(values.len()));
        if bytes > POINT_BYTES_MAX {
            let message = "too many samples with too many labels in one request: send fewer at once";
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        for Sample { value, timestamp_ms } in values {
            number += 1;
            if value.to_bits() == STALE_NAN_BITS {
                continue;
            }
            let Some(time_ns) = timestamp_ms.checked_mul(NS_PER_MS) else {
                samples.refused.push(format!("the time {timestamp_ms} ms is out of range (sample {number})"));
                continue;
            };
            let fields = vec![("value".into(), Value::Float(value))];
            samples.points.push((number, Point { fields, time_ns, ..series.clone() }));
        }
    }
    Ok(samples)
}

/// The table and tags of a series; none without a name. A label without a value is none.
fn series(labels: &[Label]) -> Option<Point<'static>> {
    let table = labels.iter().find(|label| label.name == "__name__" && !label.value.is_empty())?.value.clone();
    let tags = labels.iter().filter(|label| label.name != "__name__" && !label.value.is_empty());
    let tags = tags.map(|label| (super::tag_name(&label.name).into(), label.value.clone().into())).collect();
    Some(Point { table: table.into(), tags, fields: Vec::new(), time_ns: 0 })
}

/// Labels as messages show them.
fn described(labels: &[Label]) -> String {
    let labels: Vec<String> = labels.iter().take(4).map(|label| format!("{}={:?}", label.name, label.value)).collect();
    format!("{{{}}}", labels.join(", ")).chars().take(160).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The labels of a series, and its samples: values, and times in milliseconds.
    pub(crate) type Given<'a> = (&'a [(&'a str, &'a str)], &'a [(f64, i64)]);

    /// A compressed request of (labels, samples).
    pub(crate) fn request(series: &[Given<'_>]) -> Vec<u8> {
        let label = |(name, value): &(&str, &str)| Label { name: (*name).to_owned(), value: (*value).to_owned() };
        let sample = |(value, timestamp_ms): &(f64, i64)| Sample { value: *value, timestamp_ms: *timestamp_ms };
        let series = series.iter().map(|(labels, samples)| TimeSeries {
            labels: labels.iter().map(label).collect(),
            samples: samples.iter().map(sample).collect(),
            histograms: Vec::new(),
        });
        let bytes = WriteRequest { timeseries: series.collect() }.encode_to_vec();
        snap::raw::Encoder::new().compress_vec(&bytes).expect("compressed")
    }

    #[test]
    fn labels_become_tags() {
        let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
        let labels = [label("__name__", "up"), label("empty", ""), label("job", "a"), label("value", "v")];
        let series = series(&labels).expect("a name");
        assert_eq!(series.table, "up");
        assert_eq!(series.tags, [("job".into(), "a".into()), ("exported_value".into(), "v".into())]);
    }
}
