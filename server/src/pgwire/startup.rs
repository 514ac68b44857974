//! What a client says before its first statement: encryption, protocol version, who it is and what it wants set.
//!
//! ```text
//! SSLRequest ─► 'S' and TLS, or 'N'     GSSENCRequest ─► 'N'     CancelRequest ─► no answer, closed
//! StartupMessage ─► log-in ─► [NegotiateProtocolVersion] AuthenticationOk ParameterStatus* BackendKeyData ReadyForQuery
//! ```
//!
//! The server holds one database, and takes it under any name that a client calls it: tools insist on a name, and refusing
//! all but one of them would protect nothing.

use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};

use tokio::io::{AsyncRead, AsyncWrite};

use super::Output;
use super::cancel::Cancel;
use super::settings::{REPORTED, Settings};
use super::sqlstate::{SqlError, code};
use super::wire::{Opening, Reader, WireError, Writer};

/// Newest minor version of protocol 3 that is spoken.
const MINOR_NEWEST: u16 = 2;

/// A client that wants a session.
pub(crate) struct Client {
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) settings: Settings,
    /// Protocol 3.0 or 3.2.
    minor: u16,
    negotiate: Option<NegotiateProtocolVersion>,
}

/// What a client asks for.
pub(crate) enum Asked {
    /// TLS, and it has been told to go on.
    Encryption,
    /// A session, in the name of somebody who has not yet proved who he is.
    Session(Box<Client>),
    /// That another connection stops what it does.
    Cancel { pid: i32, secret: Vec<u8> },
}

/// Talks to a client until it is known what it asks for; `None` when it goes away.
pub(crate) async fn negotiate<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    reader: &mut Reader<R>,
    writer: &mut Writer<W>,
    offers_tls: bool,
) -> Result<Option<Asked>, WireError> {
    // A client may ask for each kind of encryption once.
    for _ in 0..3 {
        match reader.opening().await? {
            None => return Ok(None),
            Some(opening @ (Opening::Ssl | Opening::Gss)) => {
                // What follows in clear would be taken for what was encrypted.
                if reader.has_more() {
                    let message = "received unencrypted data after encryption request";
                    return Err(WireError::Protocol(SqlError::protocol(message)));
                }
                let encrypts = offers_tls && matches!(opening, Opening::Ssl);
                writer.put_byte(if encrypts { b'S' } else { b'N' });
                writer.flush().await?;
                if encrypts {
                    return Ok(Some(Asked::Encryption));
                }
            }
            Some(Opening::Cancel { pid, secret }) => return Ok(Some(Asked::Cancel { pid, secret })),
            Some(Opening::Startup { major, minor, parameters }) => {
                let client = client(major, minor, parameters).map_err(WireError::Protocol)?;
                return Ok(Some(Asked::Session(Box::new(client))));
            }
        }
    }
    Err(WireError::Protocol(SqlError::protocol("too many requests for encryption")))
}

/// Queues the greeting of an accepted client, up to but without `ReadyForQuery`.
pub(crate) fn greet(client: &Client, cancel: &Cancel, writer: &mut Writer<Output>) {
    if let Some(message) = &client.negotiate {
        writer.put(message);
    }
    writer.put(&Authentication::Ok);
    for name in REPORTED {
        let value = client.settings.get(name).unwrap_or_default();
        writer.put(&ParameterStatus::new((*name).to_owned(), value.to_owned()));
    }
    writer.put(&BackendKeyData::new(cancel.pid(), SecretKey::Bytes(cancel.secret().to_vec().into())));
}

impl Client {
    /// Bytes of the secret that the client proves itself with when it cancels: four until protocol 3.2.
    pub(crate) fn secret_bytes(&self) -> usize {
        if self.minor >= 2 { 32 } else { 4 }
    }
}

fn client(major: u16, minor: u16, parameters: Vec<(String, String)>) -> Result<Client, SqlError> {
    if major != 3 {
        let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{MINOR_NEWEST}");
        return Err(SqlError::fatal(code::FEATURE_NOT_SUPPORTED, message));
    }
    let mut user = String::new();
    let mut database = String::new();
    let mut settings = Settings::default();
    let mut unknown_options = Vec::new();
    for (name, value) in parameters {
        match name.as_str() {
            "user" => user = value,
            "database" => database = value,
            "options" => set_options(&mut settings, &value)?,
            "replication" => refuse_replication(&value)?,
            _ if name.starts_with("_pq_.") => unknown_options.push(name),
            _ => settings.set_initial(&name, &value).map_err(fatal)?,
        }
    }
    if user.is_empty() {
        return Err(SqlError::fatal(
            code::INVALID_AUTHORIZATION,
            "no PostgreSQL user name specified in startup packet",
        ));
    }
    if database.is_empty() {
        database.clone_from(&user);
    }
    settings.force("session_authorization", user.clone());
    // There is no 3.1.
    let spoken = if minor >= MINOR_NEWEST { MINOR_NEWEST } else { 0 };
    let negotiate = (spoken != minor || !unknown_options.is_empty()).then(|| {
        let version = i32::from(major) << 16 | i32::from(spoken);
        NegotiateProtocolVersion::new(version, unknown_options)
    });
    Ok(Client { user, database, settings, minor: spoken, negotiate })
}

fn fatal(error: SqlError) -> SqlError {
    SqlError { severity: super::sqlstate::Severity::Fatal, ..error }
}

fn refuse_replication(value: &str) -> Result<(), SqlError> {
    match value {
        "false" | "off" | "no" | "0" => Ok(()),
        _ => Err(SqlError::fatal(code::FEATURE_NOT_SUPPORTED, "replication connections are not supported")),
    }
}

/// Reads `options`, the command line of a PostgreSQL server: `-c name=value` and `--name=value`.
fn set_options(settings: &mut Settings, options: &str) -> Result<(), SqlError> {
    let wrong = |word: &str| {
        let message = format!("invalid command-line argument for server process: {word}");
        SqlError::fatal(code::SYNTAX_ERROR, message)
    };
    let mut words = split_options(options).into_iter();
    while let Some(word) = words.next() {
        let assignment = match (word.as_str(), word.strip_prefix("--"), word.strip_prefix("-c")) {
            ("-c", ..) => words.next().ok_or_else(|| wrong(&word))?,
            (_, Some(long), _) => long.to_owned(),
            (_, _, Some(short)) => short.to_owned(),
            _ => return Err(wrong(&word)),
        };
        let (name, value) = assignment.split_once('=').ok_or_else(|| wrong(&assignment))?;
        settings.set_initial(&name.replace('-', "_"), value).map_err(fatal)?;
    }
    Ok(())
}

/// Words between blanks; a backslash keeps the next character as it is.
fn split_options(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = options.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => word.extend(characters.next()),
            c if c.is_ascii_whitespace() => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(minor: u16, parameters: &[(&str, &str)]) -> Result<Client, SqlError> {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        client(3, minor, parameters.collect())
    }

    #[test]
    fn options_and_keys_are_settings() {
        let options = r"-c timezone=Asia/Kolkata -cstatement_timeout=5s --application-name=a\ b";
        let client = of(0, &[("user", "u"), ("options", options), ("datestyle", "ISO"), ("my.key", "1")]).unwrap();
        let get = |name| client.settings.get(name);
        assert_eq!(get("TimeZone"), Some("Asia/Kolkata"));
        assert_eq!(get("statement_timeout"), Some("5s"));
        assert_eq!(get("application_name"), Some("a b"));
        assert_eq!(get("my.key"), Some("1"));
        assert_eq!(get("session_authorization"), Some("u"));
        assert_eq!(client.database, "u");
    }

    #[test]
    fn versions_are_negotiated() {
        let version = |minor| of(minor, &[("user", "u")]).unwrap();
        assert!(version(0).negotiate.is_none() && version(0).secret_bytes() == 4);
        assert!(version(2).negotiate.is_none() && version(2).secret_bytes() == 32);
        assert_eq!(version(9999).negotiate.unwrap().newest_minor_protocol, 3 << 16 | 2);
        assert_eq!(version(1).negotiate.unwrap().newest_minor_protocol, 3 << 16);
        let negotiate = of(0, &[("user", "u"), ("_pq_.x", "1")]).unwrap().negotiate.unwrap();
        assert_eq!(negotiate.unsupported_options, ["_pq_.x"]);
        assert_eq!(client(2, 0, Vec::new()).err().map(|error| error.code), Some("0A000"));
    }

    #[test]
    fn what_cannot_be_is_fatal() {
        for parameters in [&[][..], &[("user", "u"), ("nonsense", "1")], &[("user", "u"), ("replication", "true")]] {
            let error = of(0, parameters).err().unwrap();
            assert_eq!(error.severity, super::super::sqlstate::Severity::Fatal);
        }
    }
}
