//! An event as a mail, handed to one mail server (SMTP).
//!
//! The `Message-ID` is that of the event, so that a mail which is handed over twice is seen once; all mails of an
//! incident refer to the same thread.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde_json::Value;

use super::Delivery;
use super::courier::Answer;
use super::guard::{self, NoAddress};
use super::story::Story;
use super::target::{Connector, Encryption, Target};

/// Reads an address, with or without a name before it.
///
/// # Errors
/// With a sentence about it.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|error| format!("{text:?} is no mail address: {error}"))
}

/// Hands the mail over, to one address of the mail server after the other until one can be reached.
pub(super) async fn send(delivery: &Delivery) -> Answer {
    let Connector::Email { host, port, tls, from, to } = &delivery.target.connector else {
        return Answer::Dead { why: "this is no mail sink".to_owned() };
    };
    let mail = match mail(delivery, from, to) {
        Ok(mail) => mail,
        Err(why) => return Answer::Dead { why },
    };
    let addresses = match guard::resolve(host, *port, delivery.target.any_address()).await {
        Ok(addresses) => addresses,
        Err(NoAddress::Refused(refused)) => return Answer::Dead { why: refused.to_string() },
        Err(NoAddress::Unknown(why)) => return Answer::Later { asked: None, why },
    };
    let domain = mailbox(from).map(|from| from.email.domain().to_owned()).unwrap_or_default();
    let mut last = Answer::Later { asked: None, why: format!("{host} has no address") };
    for address in addresses {
        let transport = match transport(&delivery.target, host, address, *tls, &domain) {
            Ok(transport) => transport,
            Err(error) => return Answer::Later { asked: None, why: error.to_string() },
        };
        last = match transport.send(mail.clone()).await {
            Ok(response) => return Answer::Done { status: format!("{} accepted", response.code()) },
            Err(error) if is_unreachable(&error) => Answer::Later { asked: None, why: error.to_string() },
            Err(error) if error.is_permanent() || error.is_client() => return Answer::Dead { why: error.to_string() },
            Err(error) => return Answer::Later { asked: None, why: error.to_string() },
        };
    }
    last
}

fn mail(delivery: &Delivery, from: &str, to: &[String]) -> Result<Message, String> {
    let event: Value = serde_json::from_str(&delivery.body).unwrap_or_default();
    let story = Story::new(&event);
    let from = mailbox(from)?;
    let domain = from.email.domain();
    let id = delivery.event_id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect::<String>();
    let thread = format!("<{}@{domain}>", story.correlation());
    let created = Duration::from_nanos(u64::try_from(delivery.created_ns).unwrap_or(0));
    let mut builder = Message::builder()
        .message_id(Some(format!("<{id}@{domain}>")))
        .in_reply_to(thread.clone())
        .references(thread)
        .date(UNIX_EPOCH + created)
        .subject(story.title())
        // So that nobody's absence answers.
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
        .header(ContentType::TEXT_PLAIN)
        .from(from);
    for address in to {
        builder = builder.to(mailbox(address)?);
    }
    let text = std::iter::once(story.title()).chain(story.lines()).map(|line| line + "\r\n").collect::<String>();
    builder.body(text).map_err(|error| format!("cannot put the mail together: {error}"))
}

/// A connection to a checked address, whose certificate is still that of the name.
fn transport(
    target: &Target,
    host: &str,
    address: SocketAddr,
    tls: Encryption,
    domain: &str,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, Error> {
    let tls = match tls {
        Encryption::Off => Tls::None,
        Encryption::StartTls => Tls::Required(TlsParameters::new(host.to_owned())?),
        Encryption::Tls => Tls::Wrapper(TlsParameters::new(host.to_owned())?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
        .port(address.port())
        .tls(tls)
        .hello_name(ClientId::Domain(domain.to_owned()))
        .timeout(Some(target.timeout));
    if let (Some(username), Some(password)) = (&target.username, &target.password) {
        builder = builder.credentials(Credentials::new(username.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
}

/// Whether not a word was spoken: only then another address is no second mail.
fn is_unreachable(error: &Error) -> bool {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let mut kinds = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.any(|kind| {
        matches!(
            kind,
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::AddrNotAvailable
        )
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use expect_test::expect;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::story::tests::{later, opened};
    use super::super::{Courier, Outcome};
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const NOW: i64 = 1_777_630_020 * SECOND;

    /// A mail server on a free port: keeps what it is told, and answers `RCPT` with `rcpt`.
    async fn mail_server(rcpt: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _gone = talk(stream, rcpt, &lines).await;
            }
        });
        (port, heard)
    }

    async fn talk(stream: TcpStream, rcpt: &str, heard: &Mutex<Vec<String>>) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut data = false;
        stream.write_all(b"220 test\r\n").await?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_owned();
            heard.lock().expect("no panic").push(line.clone());
            let word = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let reply = match word.as_str() {
                "." if data => {
                    data = false;
                    "250 queued"
                }
                _ if data => continue,
                "EHLO" => "250-test\r\n250 AUTH PLAIN",
                "AUTH" => "235 welcome",
                "RCPT" => rcpt,
                "DATA" => {
                    data = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
    }

    fn delivery(port: u16, event: &Value, options: &[(&str, &str)]) -> Delivery {
        let port = port.to_string();
        let usual = [
            ("connector", "email"),
            ("host", "127.0.0.1"),
            ("port", port.as_str()),
            ("tls", "off"),
            ("allow_private", "true"),
            ("from", "Plimsoll <plimsoll@example.com>"),
            ("to", "a@example.com, B <b@example.com>"),
            ("timeout", "2 s"),
        ];
        let option = |name: &str| {
            options.iter().chain(&usual).find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Delivery {
            event_id: event["event_id"].as_str().unwrap_or_default().to_owned(),
            target: Target::read(&option).expect("good options"),
            body: event.to_string(),
            created_ns: NOW - SECOND,
            attempts: 0,
        }
    }

    async fn attempt(delivery: &Delivery) -> Outcome {
        Courier::new().expect("HTTP").attempt(delivery, NOW, 1.0).await
    }

    #[tokio::test]
    async fn a_mail_tells_the_story() {
        let (port, heard) = mail_server("250 ok").await;
        let options = [("username", "bot"), ("password", "pw")];
        let outcome = attempt(&delivery(port, &opened(), &options)).await;
        assert_eq!(outcome, Outcome::Delivered { status: "250 accepted".to_owned() });
        expect![[r#"
            EHLO example.com
            AUTH PLAIN AGJvdABwdw==
            MAIL FROM:<plimsoll@example.com>
            RCPT TO:<a@example.com>
            RCPT TO:<b@example.com>
            DATA
            Message-ID: <01968b2e-6f00-7000-8000-000000000001@example.com>
            In-Reply-To: <plimsoll-checkout-4711@example.com>
            References: <plimsoll-checkout-4711@example.com>
            Date: Fri, 01 May 2026 10:06:59 +0000
            Subject: [P1] checkout_slow: incident 4711 opened
            Auto-Submitted: auto-generated
            Content-Type: text/plain; charset=utf-8
            From: Plimsoll <plimsoll@example.com>
            To: a@example.com, B <b@example.com>
            Content-Transfer-Encoding: quoted-printable

            [P1] checkout_slow: incident 4711 opened
            checkout_p95 is 2310 ms, expected 310 to 610, score 7.4, since 2026-05-01T1=
            0:02:00Z
            Service checkout, tier 0, owner payments_team
            Most of it in: region=3Deu 83 %
            checkout_avail: 41 % of the budget left, burning 18.2 times as fast as allo=
            wed
            Failing underneath: payments
            Changed before: CHG-88 (12 min)
            Known errors: 31 (82 %): restart <payments> & wait
            Similar incidents: 4502; 4388
            Costs 1200 a minute
            https://plimsoll.example.com/incident/4711

            .
            QUIT"#]]
        .assert_eq(&heard.lock().expect("no panic").join("\n"));
    }

    #[tokio::test]
    async fn all_mails_of_an_incident_are_one_thread() {
        let (port, heard) = mail_server("250 ok").await;
        attempt(&delivery(port, &opened(), &[])).await;
        attempt(&delivery(port, &later("resolved", "resolved", 4), &[])).await;
        let heard = heard.lock().expect("no panic");
        let lines = |name: &str| heard.iter().filter(|line| line.starts_with(name)).cloned().collect::<Vec<_>>();
        let ids = lines("Message-ID: ");
        assert_eq!(ids.len(), 2);
        assert_ne!(ids.first(), ids.last());
        assert_eq!(lines("References: "), ["References: <plimsoll-checkout-4711@example.com>"; 2]);
    }

    #[tokio::test]
    async fn a_mail_server_decides_what_happens_next() {
        let (port, _) = mail_server("550 5.1.1 no such user").await;
        let dead = attempt(&delivery(port, &opened(), &[])).await;
        assert!(matches!(&dead, Outcome::Dead { why } if why.contains("no such user")), "{dead:?}");
        let (port, _) = mail_server("451 4.7.1 try later").await;
        let later = attempt(&delivery(port, &opened(), &[])).await;
        assert!(matches!(&later, Outcome::Later { at_ns, why } if *at_ns == NOW + SECOND && why.contains("try later")));
    }

    #[tokio::test]
    async fn a_server_without_encryption_gets_nothing_where_it_is_wanted() {
        let (port, heard) = mail_server("250 ok").await;
        let options = [("tls", "starttls"), ("username", "bot"), ("password", "pw")];
        let outcome = attempt(&delivery(port, &opened(), &options)).await;
        assert!(!matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
        let heard = heard.lock().expect("no panic");
        assert!(!heard.iter().any(|line| line.starts_with("AUTH") || line.starts_with("DATA")), "{heard:?}");
    }

    #[tokio::test]
    async fn silence_and_closed_ports_are_tried_again() {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = silent.local_addr().expect("an address").port();
        let outcome = attempt(&delivery(port, &opened(), &[("timeout", "100 ms")])).await;
        assert!(matches!(outcome, Outcome::Later { .. }), "{outcome:?}");
        drop(silent);
        let outcome = attempt(&delivery(port, &opened(), &[])).await;
        assert!(matches!(&outcome, Outcome::Later { why, .. } if why.contains("refused")), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_private_mail_server_is_not_reached() {
        let (port, heard) = mail_server("250 ok").await;
        let mut delivery = delivery(port, &opened(), &[]);
        delivery.target.allow_private = false;
        assert!(matches!(attempt(&delivery).await, Outcome::Dead { why } if why.contains("is a loopback address")));
        assert!(heard.lock().expect("no panic").is_empty());
    }
}
