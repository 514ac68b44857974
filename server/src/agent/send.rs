//! Sends batches to the server and says what became of each.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::retry::{Verdict, judge};
use super::spool::compress;
use crate::{Error, Result};

/// Time for one request, from connecting to the end of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for one server and bucket.
#[derive(Debug)]
pub(super) struct Sender {
    client: Client,
    url: Url,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The server has it.
    Done,
    /// Try again, not before `after`.
    Later { after: Option<Duration>, why: String },
    /// The server will not take it, or not all of it: trying again is no use.
    Refused { why: String },
}

impl Sender {
    /// Checks the server's URL.
    pub(super) fn new(to: &str, bucket: &str) -> Result<Sender> {
        let url = write_url(to, bucket).ok_or_else(|| {
            Error::Usage(format!("--to cannot be {to:?}; it has to be a URL such as http://127.0.0.1:8086"))
        })?;
        // Another part of the process may have chosen one before; any will do.
        let _already_chosen = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder().timeout(REQUEST_TIMEOUT).no_proxy().redirect(Policy::none());
        if url.scheme() == "http" {
            // The machine's certificates are not needed, and a bare machine has none.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|e| Error::Internal(format!("cannot set up HTTP: {}", chain(&e))))?;
        Ok(Sender { client, url })
    }

    /// Sends a batch, in halves where the server finds it too large.
    ///
    /// When a part has to wait, the whole batch is sent again later: points that are stored twice are the same points.
    pub(super) async fn deliver(&self, lines: &str) -> Delivery {
        let mut parts = VecDeque::from([lines]);
        let mut refused = None;
        while let Some(part) = parts.pop_front() {
            match self.post(part).await {
                Verdict::Done => {}
                Verdict::Later { after, why } => return Delivery::Later { after, why },
                Verdict::Refused { why } => refused = Some(why),
                Verdict::Split => match halves(part) {
                    Some((first, second)) => {
                        parts.push_front(second);
                        parts.push_front(first);
                    }
                    None => refused = Some("413 one line alone is too large".to_owned()),
                },
            }
        }
        refused.map_or(Delivery::Done, |why| Delivery::Refused { why })
    }

    async fn post(&self, lines: &str) -> Verdict {
        let body = match compress(lines) {
            Ok(body) => body,
            Err(error) => return Verdict::Refused { why: error.to_string() },
        };
        let request = self.client.post(self.url.clone()).body(body);
        let request = request.header(CONTENT_ENCODING, "gzip").header(CONTENT_TYPE, "text/plain; charset=utf-8");
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Verdict::Later { after: None, why: chain(&error) },
        };
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = answer.text().await.unwrap_or_default();
        judge(status, retry_after.as_deref(), &body)
    }
}

fn write_url(to: &str, bucket: &str) -> Option<Url> {
    let mut url = Url::parse(to).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(["api", "v2", "write"]);
    url.query_pairs_mut().append_pair("bucket", bucket).append_pair("precision", "ns");
    Some(url)
}

/// Cuts after the line break nearest to the middle; a single line has no halves.
fn halves(lines: &str) -> Option<(&str, &str)> {
    let text = lines.trim_end_matches('\n');
    let middle = text.len() / 2;
    let before = text.as_bytes()[..middle].iter().rposition(|b| *b == b'\n');
    let at = before.or_else(|| text.as_bytes()[middle..].iter().position(|b| *b == b'\n').map(|at| middle + at))?;
    Some((&text[..=at], &text[at + 1..]))
}

/// An error with its causes: the outermost alone says only "error sending request".
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_checked_and_completed() {
        let url = |to| write_url(to, "my bucket").map(|url| url.to_string());
        let wanted = "http://127.0.0.1:8086/api/v2/write?bucket=my+bucket&precision=ns";
        assert_eq!(url("http://127.0.0.1:8086").as_deref(), Some(wanted));
        assert_eq!(url("http://127.0.0.1:8086/").as_deref(), Some(wanted));
        assert_eq!(
            url("https://h/metrics").as_deref(),
            Some("https://h/metrics/api/v2/write?bucket=my+bucket&precision=ns")
        );
        for wrong in ["127.0.0.1:8086", "localhost:8086", "ftp://h", "", "http://"] {
            assert_eq!(url(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn halves_are_whole_lines() {
        assert_eq!(halves("a\nb\n"), Some(("a\n", "b")));
        assert_eq!(halves("a\nb\nc"), Some(("a\n", "b\nc")));
        assert_eq!(halves("a\nlong line at the end"), Some(("a\n", "long line at the end")));
        assert_eq!(halves("a long line at first\nb"), Some(("a long line at first\n", "b")));
        assert_eq!(halves("alone\n"), None);
        assert_eq!(halves(""), None);
    }
}
