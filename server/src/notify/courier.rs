//! One attempt to deliver one event.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, Url};
use serde_json::Value;

use super::format::{Message, Plan, Ticket, plan};
use super::guard::{PublicOnly, check_literal, refusal};
use super::retry::{self, Verdict, judge};
use super::target::{Connector, Format, Secret, Target};
use super::{Delivery, Outcome, email, sign};

/// How much of an answer is read.
const ANSWER_MAX: usize = 64 * 1024;

/// How long a connection that nobody uses stays open.
const IDLE: Duration = Duration::from_secs(30);

/// Sends events; holds the HTTP clients with their open connections.
#[derive(Debug)]
pub(crate) struct Courier {
    /// Connects to public addresses only.
    public: Client,
    /// Connects to any address.
    any: Client,
}

/// What an attempt came to, before the schedule has its say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Done { status: String },
    Later { asked: Option<Duration>, why: String },
    Dead { why: String },
    Gone { why: String },
}

impl Courier {
    /// Sets up HTTP; connects to nothing.
    ///
    /// # Errors
    /// With the reason of the TLS library.
    pub(crate) fn new() -> Result<Courier, String> {
        // Another part of the process may have chosen one before; any will do.
        let _already_chosen = rustls::crypto::ring::default_provider().install_default();
        Ok(Courier { public: client(|builder| builder.dns_resolver(PublicOnly))?, any: client(|builder| builder)? })
    }

    /// Makes one attempt, also for an event that has grown too old: each gets at least one. `now_ns` is the time of the
    /// attempt in nanoseconds UTC; `random`, from 0 to 1, spreads the retries.
    pub(crate) async fn attempt(&self, delivery: &Delivery, now_ns: i64, random: f64) -> Outcome {
        let target = &delivery.target;
        let sending = async {
            match &target.connector {
                Connector::Webhook { url, format } => self.webhook(delivery, url, *format, now_ns).await,
                Connector::Email { .. } => email::send(delivery).await,
            }
        };
        let answer = tokio::time::timeout(target.timeout, sending)
            .await
            .unwrap_or_else(|_| Answer::Later { asked: None, why: format!("no answer within {:?}", target.timeout) });
        settle(answer, delivery, now_ns, random)
    }

    async fn webhook(&self, delivery: &Delivery, url: &Url, format: Format, now_ns: i64) -> Answer {
        match plan(&delivery.target, url, format, &delivery.body, delivery.created_ns) {
            Plan::Send(message) => self.send(delivery, message, now_ns).await,
            Plan::Never(why) => Answer::Dead { why },
            Plan::Ticket(ticket) => {
                let Ticket { find, id_at, change, make } = *ticket;
                let message = match self.look_up(&delivery.target, find, id_at, now_ns).await {
                    Ok(Some(id)) => change.map(|change| change.of(&id)),
                    Ok(None) => make,
                    Err(answer) => return answer,
                };
                match message {
                    Some(message) => self.send(delivery, message, now_ns).await,
                    None => Answer::Done { status: "nothing to do".to_owned() },
                }
            }
        }
    }

    /// Looks for a ticket; its id, if there is one.
    async fn look_up(&self, target: &Target, find: Url, id_at: &str, now_ns: i64) -> Result<Option<String>, Answer> {
        let request = authorize(self.client(target, &find)?.get(find), target).header(ACCEPT, "application/json");
        let response = request.send().await.map_err(failure)?;
        if judge(response.status().as_u16()) != Verdict::Done {
            return Err(match judge_response(response, target, now_ns).await {
                // Of a search that is gone nothing follows for the sink.
                Answer::Gone { why } | Answer::Dead { why } => Answer::Dead { why: format!("search: {why}") },
                Answer::Later { asked, why } => Answer::Later { asked, why: format!("search: {why}") },
                done @ Answer::Done { .. } => done,
            });
        }
        let found: Value = serde_json::from_slice(&read(response).await)
            .map_err(|_| Answer::Dead { why: "search: the answer is not JSON".to_owned() })?;
        Ok(match found.pointer(id_at) {
            Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
            Some(Value::Number(id)) => Some(id.to_string()),
            _ => None,
        })
    }

    async fn send(&self, delivery: &Delivery, message: Message, now_ns: i64) -> Answer {
        let Message { method, url, body } = message;
        let target = &delivery.target;
        let timestamp = now_ns.div_euclid(1_000_000_000);
        let request = match self.client(target, &url) {
            Ok(client) => client.request(method, url),
            Err(answer) => return answer,
        };
        let mut request = request
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &delivery.event_id)
            .header("webhook-timestamp", timestamp);
        let keys: Vec<Vec<u8>> = target.secrets.iter().filter_map(|secret| sign::key(secret.expose()).ok()).collect();
        if !keys.is_empty() {
            request =
                request.header("webhook-signature", sign::signatures(&keys, &delivery.event_id, timestamp, &body));
        }
        match authorize(request, target).body(body).send().await {
            Ok(response) => judge_response(response, target, now_ns).await,
            Err(error) => failure(error),
        }
    }

    /// The client for a URL; an address in place of a name never gets to the resolver, so it is checked here.
    fn client(&self, target: &Target, url: &Url) -> Result<&Client, Answer> {
        if target.any_address() {
            return Ok(&self.any);
        }
        match check_literal(url.host_str().unwrap_or_default()) {
            Ok(()) => Ok(&self.public),
            Err(refused) => Err(Answer::Dead { why: refused.to_string() }),
        }
    }
}

fn client(with: impl Fn(ClientBuilder) -> ClientBuilder) -> Result<Client, String> {
    let builder = || {
        let agent = concat!("plimsoll/", env!("CARGO_PKG_VERSION"));
        let builder = Client::builder().no_proxy().redirect(Policy::none()).referer(false).user_agent(agent);
        with(builder.pool_idle_timeout(IDLE))
    };
    // A bare machine has no certificates; plain HTTP works there all the same.
    let client = builder().build().or_else(|_| builder().tls_certs_only([]).build());
    client.map_err(|error| format!("cannot set up HTTP: {}", chain(&error)))
}

fn authorize(request: RequestBuilder, target: &Target) -> RequestBuilder {
    let own = target.headers.iter();
    let request = own.fold(request, |request, (name, value)| request.header(name, value.expose()));
    if let Some(username) = &target.username {
        return request.basic_auth(username, target.password.as_ref().map(Secret::expose));
    }
    match (&target.token, &target.connector) {
        // There the token stands in the body.
        (_, Connector::Webhook { format: Format::PagerDuty, .. }) | (None, _) => request,
        (Some(token), _) => request.bearer_auth(token.expose()),
    }
}

async fn judge_response(response: Response, target: &Target, now_ns: i64) -> Answer {
    let status = response.status();
    let verdict = judge(status.as_u16());
    if verdict == Verdict::Done {
        // The status says it all; whoever sends a body without end is not listened to.
        return Answer::Done { status: status.to_string() };
    }
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let asked = asked.and_then(|header| retry::retry_after(header, now_ns));
    // The reason is worth some of the time, but not the status that came with it.
    let body = tokio::time::timeout(target.timeout / 4, read(response)).await.unwrap_or_default();
    let why = format!("{status} {}", String::from_utf8_lossy(&body));
    match verdict {
        Verdict::Later => Answer::Later { asked, why },
        Verdict::Gone => Answer::Gone { why },
        Verdict::Done | Verdict::Dead => Answer::Dead { why },
    }
}

/// The beginning of a body: up to [`ANSWER_MAX`] bytes, or what came before the connection broke.
async fn read(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ANSWER_MAX - body.len();
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if body.len() >= ANSWER_MAX {
            break;
        }
    }
    body
}

fn failure(error: reqwest::Error) -> Answer {
    match refusal(&error) {
        Some(refused) => Answer::Dead { why: refused.to_string() },
        // What cannot even be put together, such as a token with a line break, will not get better.
        None if error.is_builder() => Answer::Dead { why: chain(&error.without_url()) },
        None => Answer::Later { asked: None, why: chain(&error.without_url()) },
    }
}

/// An error with its causes: the outermost alone says only "error sending request".
fn chain(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn settle(answer: Answer, delivery: &Delivery, now_ns: i64, random: f64) -> Outcome {
    let Delivery { target, attempts, created_ns, .. } = delivery;
    match answer {
        Answer::Done { status } => Outcome::Delivered { status: target.hide(&status) },
        Answer::Dead { why } => Outcome::Dead { why: target.hide(&why) },
        Answer::Gone { why } => Outcome::Gone { why: target.hide(&why) },
        Answer::Later { asked, why } => {
            let made = attempts.saturating_add(1);
            let deadline_ns = retry::deadline_ns(*created_ns, target.max_age);
            match retry::next_attempt_ns(made, asked, now_ns, deadline_ns, random) {
                Some(at_ns) => Outcome::Later { at_ns, why: target.hide(&why) },
                None => Outcome::Dead { why: format!("{}; attempt {made} was the last", target.hide(&why)) },
            }
        }
    }
}

#[cfg(test)]
mod tests;
