//! What is read from options, and what is refused.

use super::*;

fn read(options: &[(&str, &str)]) -> Result<Target, String> {
    Target::read(&|name| options.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
}

fn wrong(options: &[(&str, &str)]) -> String {
    read(options).expect_err("this has to be refused")
}

const URL: (&str, &str) = ("url", "https://hooks.example.com/T0/B0/hidden-path");

#[test]
fn a_url_is_enough() {
    let target = read(&[URL]).expect("a webhook");
    assert!(matches!(target.connector, Connector::Webhook { format: Format::IncidentV1, .. }));
    assert_eq!((target.timeout, target.max_age), (Duration::from_secs(10), Duration::from_secs(86_400)));
    assert!(target.secrets.is_empty() && !target.any_address());
}

#[test]
fn secrets_do_not_show() {
    let target = read(&[
        URL,
        ("secret", "first-secret"),
        ("secret_previous", "second-secret"),
        ("username", "bot"),
        ("password", "the-password"),
    ]);
    let target = target.expect("a webhook");
    let shown = format!("{target:?}");
    for secret in ["first-secret", "second-secret", "the-password", "hidden-path"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert_eq!(target.hide("got\r\n first-secret\u{1b}[2J and  the-password"), "got *** [2J and ***");
    assert_eq!(target.hide("Cannot POST /T0/B0/hidden-path"), "Cannot POST ***");
    assert_eq!(target.hide(&"long ".repeat(100)).chars().count(), 201);
}

#[test]
fn mail_has_a_server_a_sender_and_receivers() {
    let target = read(&[
        ("connector", "email"),
        ("host", "mail.example.com"),
        ("from", "plimsoll@example.com"),
        ("to", "a@example.com, b@example.com"),
    ]);
    let to = vec!["a@example.com".to_owned(), "b@example.com".to_owned()];
    assert_eq!(
        target.expect("a mail sink").connector,
        Connector::Email {
            host: "mail.example.com".to_owned(),
            port: 587,
            tls: Encryption::StartTls,
            from: "plimsoll@example.com".to_owned(),
            to
        }
    );
}

#[test]
fn durations_are_a_number_and_a_unit() {
    let timeout = |text| read(&[URL, ("timeout", text)]).map(|target| target.timeout);
    for (text, wanted) in [("10 s", 10_000), ("250ms", 250), (" 2 min ", 120_000), ("1 minute", 60_000)] {
        assert_eq!(timeout(text), Ok(Duration::from_millis(wanted)), "{text}");
    }
    assert_eq!(
        read(&[URL, ("max_age", "1 day 24hours")]).map(|target| target.max_age),
        Ok(Duration::from_secs(2 * 86_400))
    );
    for text in
        ["", "10", "s", "-1 s", "1.5 s", "10 years", "0 s", "1 hour", "99999999999999999999 s", "1 s 5", "１０ s"]
    {
        assert!(timeout(text).is_err_and(|why| why.starts_with("timeout cannot be")), "{text}");
    }
}

#[test]
fn what_cannot_be_sent_to_is_refused_at_once() {
    assert_eq!(wrong(&[]), "a webhook needs url, such as https://example.com/hook");
    for url in ["", "example.com", "ftp://example.com", "file:///etc/passwd", "http://"] {
        assert!(wrong(&[("url", url)]).starts_with("url has to be"), "{url}");
    }
    assert!(wrong(&[("url", "https://me:pw@example.com")]).starts_with("url cannot hold a user"));
    for url in ["http://127.0.0.1:9099/hook", "http://2130706433/", "http://0x7f.1/", "http://[::ffff:7f00:1]/"] {
        assert!(wrong(&[("url", url)]).contains("is a loopback address"), "{url}");
    }
    let local = ("url", "http://127.0.0.1:9099/hook");
    assert!(read(&[local, ("allow_private", "true")]).is_ok());
    assert!(read(&[local, ("allow_hosts", "other.example.com, 127.0.0.1")]).is_ok());
    assert!(read(&[local, ("allow_hosts", "127.0.0.2")]).is_err());
}

#[test]
fn headers_of_ones_own_are_pairs() {
    let target = read(&[URL, ("headers", " X-Team: payments ;x-key:  0f8e:7d6c\n")]).expect("a webhook");
    let pairs: Vec<(&str, &str)> = target.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(pairs, [("x-team", "payments"), ("x-key", "0f8e:7d6c")]);
    assert_eq!(target.hide("bad key 0f8e:7d6c for payments"), "bad key *** for ***");
    for text in ["x-team", ": x", "x team: y", "host: inside", "Webhook-Id: 1", "x: \u{7}"] {
        assert!(wrong(&[URL, ("headers", text)]).starts_with("headers "), "{text}");
    }
}

#[test]
fn options_that_belong_together_are_asked_for() {
    assert_eq!(wrong(&[("connector", "pigeon")]), "connector cannot be \"pigeon\"; it is webhook or email");
    assert!(wrong(&[URL, ("format", "xml")]).starts_with("format cannot be \"xml\""));
    assert!(wrong(&[("format", "pagerduty")]).contains("needs token"));
    assert!(read(&[("format", "pagerduty"), ("token", "key")]).is_ok());
    assert!(wrong(&[URL, ("format", "jira")]).contains("needs project"));
    assert_eq!(wrong(&[URL, ("username", "bot")]), "username and password go together");
    assert!(wrong(&[URL, ("secret", "whsec_!")]).contains("base64"));
    assert!(wrong(&[("connector", "email"), ("host", "h")]).contains("needs to"));
    let mail = [("connector", "email"), ("host", "h"), ("from", "a@b"), ("to", "c@d")];
    assert!(wrong(&[&mail[..], &[("port", "0")]].concat()).starts_with("port cannot be"));
    assert!(wrong(&[&mail[..], &[("tls", "maybe")]].concat()).starts_with("tls cannot be"));
    assert!(wrong(&[("from", "nobody"), mail[0], mail[1], mail[3]]).contains("is no mail address"));
    let login = [("username", "bot"), ("password", "pw"), ("tls", "off")];
    assert!(wrong(&[&mail[..], &login].concat()).contains("needs tls"));
    assert!(wrong(&[&mail[..3], &[("to", " , ")]].concat()).contains("names nobody"));
}
