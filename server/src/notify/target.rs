//! What the options of a sink say.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::email::mailbox;
use super::guard::check_literal;
use super::sign;

const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(5 * 60);
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
const MAX_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// A text that never shows: not in Debug, and [`Target::hide`] takes it out of reasons.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a sink sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The event as it is.
    IncidentV1,
    /// `POST /api/v2/alerts` of Alertmanager.
    Alertmanager,
    /// Events API v2 of PagerDuty.
    PagerDuty,
    /// One text, as Slack and what imitates it take it.
    Slack,
    /// The incident table of ServiceNow.
    ServiceNow,
    /// An issue of Jira.
    Jira,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Format, String> {
        match name.to_ascii_lowercase().as_str() {
            "incident_v1" => Ok(Format::IncidentV1),
            "alertmanager" => Ok(Format::Alertmanager),
            "pagerduty" => Ok(Format::PagerDuty),
            "slack" => Ok(Format::Slack),
            "servicenow" => Ok(Format::ServiceNow),
            "jira" => Ok(Format::Jira),
            _ => Err(format!(
                "format cannot be {name:?}; it is incident_v1, alertmanager, pagerduty, slack, servicenow or jira"
            )),
        }
    }
}

/// How a mail connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// From the first byte (port 465).
    Tls,
    /// After the greeting, or not at all: a server that does not offer it gets nothing (port 587).
    StartTls,
    /// Never (port 25).
    Off,
}

/// The way to a receiver.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Connector {
    /// HTTP.
    Webhook {
        /// Where to; `http` or `https`, without user and password.
        url: Url,
        /// What is sent.
        format: Format,
    },
    /// SMTP.
    Email {
        /// The mail server.
        host: String,
        /// Its port.
        port: u16,
        /// The encryption.
        tls: Encryption,
        /// The sender's address.
        from: String,
        /// The addresses of those who get it; not empty.
        to: Vec<String>,
    },
}

impl fmt::Debug for Connector {
    /// Without path and query of the URL: those of chat hooks are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Connector::Webhook { url, format } => {
                let place = format!("{}://{}/***", url.scheme(), url.host_str().unwrap_or_default());
                f.debug_struct("Webhook").field("url", &place).field("format", format).finish()
            }
            Connector::Email { host, port, tls, from, to } => f
                .debug_struct("Email")
                .field("host", host)
                .field("port", port)
                .field("tls", tls)
                .field("from", from)
                .field("to", to)
                .finish(),
        }
    }
}

/// What the options of a sink say. No secret shows in Debug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The way to the receiver.
    pub(crate) connector: Connector,
    /// Keys for signatures: of the secret, and of the one before it.
    pub(crate) secrets: Vec<Secret>,
    /// Time for one attempt, from the first look-up to the end of the answer.
    pub(crate) timeout: Duration,
    /// How old an event may become before no attempt follows a failed one.
    pub(crate) max_age: Duration,
    /// Whether addresses that are not public may be reached.
    pub(crate) allow_private: bool,
    /// Hosts that may be reached at any address; lower case.
    pub(crate) allow_hosts: Vec<String>,
    /// Headers of every request besides those that the courier sets; names and values can be sent as they are.
    pub(crate) headers: Vec<(String, Secret)>,
    /// A bearer token; the routing key of PagerDuty.
    pub(crate) token: Option<Secret>,
    /// User of HTTP basic authentication or of SMTP.
    pub(crate) username: Option<String>,
    /// The password with it.
    pub(crate) password: Option<Secret>,
    /// The project of Jira.
    pub(crate) project: Option<String>,
}

impl Target {
    /// Reads the options of a sink.
    ///
    /// # Errors
    /// As [`Target::read`].
    pub(crate) fn of(options: &plimsoll_query::SinkOptions) -> Result<Target, String> {
        Target::read(&|name| options.text(name).map(str::to_owned))
    }

    /// Reads the options of `CREATE SINK`; `option` gives the text of one, by name.
    ///
    /// # Errors
    /// With a sentence that names the option; no secret is repeated.
    pub(crate) fn read(option: &dyn Fn(&str) -> Option<String>) -> Result<Target, String> {
        let secrets = ["secret", "secret_previous"].into_iter().filter_map(option).collect::<Vec<_>>();
        for secret in &secrets {
            sign::key(secret)?;
        }
        let connector = option("connector").unwrap_or_else(|| "webhook".to_owned());
        let connector = match connector.to_ascii_lowercase().as_str() {
            "webhook" => webhook(option)?,
            "email" => email(option)?,
            _ => return Err(format!("connector cannot be {connector:?}; it is webhook or email")),
        };
        let target = Target {
            connector,
            secrets: secrets.into_iter().map(Secret).collect(),
            timeout: duration(option, "timeout", TIMEOUT, TIMEOUT_MAX)?,
            max_age: duration(option, "max_age", MAX_AGE, MAX_AGE_MAX)?,
            allow_private: option("allow_private").map_or(Ok(false), |text| flag("allow_private", &text))?,
            allow_hosts: option("allow_hosts").map(|text| list(&text.to_lowercase())).unwrap_or_default(),
            headers: option("headers").map_or(Ok(Vec::new()), |text| headers(&text))?,
            token: option("token").map(Secret),
            username: option("username"),
            password: option("password").map(Secret),
            project: option("project"),
        };
        target.check()?;
        Ok(target)
    }

    fn check(&self) -> Result<(), String> {
        if self.username.is_some() != self.password.is_some() {
            return Err("username and password go together".to_owned());
        }
        match &self.connector {
            Connector::Webhook { format: Format::PagerDuty, .. } if self.token.is_none() => {
                return Err("format pagerduty needs token, the routing key of the service".to_owned());
            }
            Connector::Webhook { format: Format::Jira, .. } if self.project.is_none() => {
                return Err("format jira needs project, the key of a project".to_owned());
            }
            Connector::Webhook { .. } if self.username.is_some() && self.token.is_some() => {
                return Err("token and username exclude each other".to_owned());
            }
            Connector::Email { tls: Encryption::Off, .. } if self.password.is_some() && !self.allow_private => {
                return Err("a password needs tls on the way to a mail server outside".to_owned());
            }
            _ => {}
        }
        // A name is checked when it is used; an address can be told at once.
        if self.any_address() { Ok(()) } else { check_literal(self.host()).map_err(|refused| refused.to_string()) }
    }

    /// The host, as the URL has it.
    pub(super) fn host(&self) -> &str {
        match &self.connector {
            Connector::Webhook { url, .. } => url.host_str().unwrap_or_default(),
            Connector::Email { host, .. } => host,
        }
    }

    /// Whether the host may be reached at any address.
    pub(super) fn any_address(&self) -> bool {
        let host = self.host().trim_matches(['[', ']']);
        self.allow_private || self.allow_hosts.iter().any(|allowed| allowed.trim_matches(['[', ']']) == host)
    }

    /// A text on one line and not long, without control characters and without any secret of the sink.
    pub(super) fn hide(&self, text: &str) -> String {
        const LONGEST: usize = 200;
        // A short value is an ordinary word.
        let headers = self.headers.iter().map(|(_, value)| value).filter(|value| value.expose().len() >= 8);
        let secrets = self.secrets.iter().chain(&self.token).chain(&self.password).chain(headers).map(Secret::expose);
        let (path, query) = match &self.connector {
            Connector::Webhook { url, .. } => (url.path(), url.query().unwrap_or_default()),
            Connector::Email { .. } => ("", ""),
        };
        // As basic authentication sends them.
        let both = self.username.as_ref().zip(self.password.as_ref());
        let both = both.map(|(name, password)| STANDARD.encode(format!("{name}:{}", password.expose())));
        let parameters = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let text = secrets
            .chain(both.as_deref())
            .chain(parameters.filter(|value| value.len() >= 8))
            // Receivers like to repeat the path, and that of a chat hook is its key.
            .chain((path.len() > 1).then_some(path))
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
        let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        let line = words.collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(LONGEST) {
            Some((cut, _)) => format!("{}…", &line[..cut]),
            None => line,
        }
    }
}

fn webhook(option: &dyn Fn(&str) -> Option<String>) -> Result<Connector, String> {
    let format = option("format").map_or(Ok(Format::IncidentV1), |name| name.parse())?;
    let url = option("url").or_else(|| (format == Format::PagerDuty).then(|| PAGERDUTY.to_owned()));
    let url = url.ok_or("a webhook needs url, such as https://example.com/hook")?;
    // The URL may hold a secret, so it is not repeated.
    let url = Url::parse(url.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or("url has to be a whole one, with http or https, such as https://example.com/hook")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("url cannot hold a user or a password; username and password are options of their own".to_owned());
    }
    Ok(Connector::Webhook { url, format })
}

fn email(option: &dyn Fn(&str) -> Option<String>) -> Result<Connector, String> {
    let needed = |name: &str, what: &str| option(name).ok_or_else(|| format!("connector email needs {name}, {what}"));
    let tls = option("tls").map_or(Ok(Encryption::StartTls), |text| match text.to_ascii_lowercase().as_str() {
        "on" | "true" => Ok(Encryption::Tls),
        "starttls" => Ok(Encryption::StartTls),
        "off" | "false" => Ok(Encryption::Off),
        _ => Err(format!("tls cannot be {text:?}; it is on, starttls or off")),
    })?;
    let usual = match tls {
        Encryption::Tls => 465,
        Encryption::StartTls => 587,
        Encryption::Off => 25,
    };
    let port = option("port").map_or(Ok(usual), |text| match text.trim().parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("port cannot be {text:?}; it is a number from 1 to 65535")),
    })?;
    let to = list(&needed("to", "one or more addresses with commas in between")?);
    if to.is_empty() {
        return Err("to names nobody".to_owned());
    }
    let from = needed("from", "the sender's address")?;
    for address in to.iter().chain([&from]) {
        mailbox(address)?;
    }
    let host = needed("host", "the mail server")?.trim().to_lowercase();
    Ok(Connector::Email { host, port, tls, from, to })
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// `name: value` with semicolons or line breaks in between.
fn headers(text: &str) -> Result<Vec<(String, Secret)>, String> {
    const SET_HERE: [&str; 6] =
        ["connection", "content-length", "content-type", "host", "transfer-encoding", "upgrade"];
    let pairs = text.split([';', '\n', '\r']).map(str::trim).filter(|pair| !pair.is_empty());
    let header = |pair: &str| {
        // The value may be a secret, so it is not repeated.
        let (name, value) =
            pair.split_once(':').ok_or("headers has to be such as 'x-team: payments; x-stage: live'")?;
        let name = name.trim().to_ascii_lowercase();
        let is_good = HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value.trim()).is_ok();
        if !is_good {
            return Err(format!(
                "headers has {name:?}, which is no name of a header or has a value that cannot be sent"
            ));
        }
        if SET_HERE.contains(&name.as_str()) || name.starts_with("webhook-") {
            return Err(format!("headers cannot set {name}, which every request has already"));
        }
        Ok((name, Secret(value.trim().to_owned())))
    };
    pairs.map(header).collect()
}

fn flag(name: &str, text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" => Ok(true),
        "false" | "off" => Ok(false),
        _ => Err(format!("{name} cannot be {text:?}; it is true or false")),
    }
}

/// Whole numbers with units, such as `10 s` or `1 hour 30 min`.
fn duration(
    option: &dyn Fn(&str) -> Option<String>,
    name: &str,
    usual: Duration,
    longest: Duration,
) -> Result<Duration, String> {
    let Some(text) = option(name) else { return Ok(usual) };
    let read = |text: &str| {
        let mut rest = text.trim();
        let mut sum = 0u64;
        while !rest.is_empty() {
            let (count, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
            let after = after.trim_start();
            let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let milliseconds = match unit.to_ascii_lowercase().as_str() {
                "ms" => 1,
                "s" | "sec" | "secs" | "second" | "seconds" => 1000,
                "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
                "h" | "hour" | "hours" => 3_600_000,
                "d" | "day" | "days" => 86_400_000,
                _ => return None,
            };
            sum = sum.checked_add(count.parse::<u64>().ok()?.checked_mul(milliseconds)?)?;
            rest = after.trim_start();
        }
        Some(Duration::from_millis(sum)).filter(|_| !text.trim().is_empty())
    };
    match read(&text) {
        None => {
            Err(format!("{name} cannot be {text:?}; it is a number and a unit, such as '10 s', '5 min', '24 hours'"))
        }
        Some(value) if value.is_zero() || value > longest => {
            Err(format!("{name} cannot be {text:?}; it is more than nothing and at most {} s", longest.as_secs()))
        }
        Some(value) => Ok(value),
    }
}

#[cfg(test)]
mod tests;
