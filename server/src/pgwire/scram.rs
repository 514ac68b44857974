//! SCRAM-SHA-256 (RFC 5802, RFC 7677): the server's part of a log-in, as a decision over messages that somebody else carries.
//!
//! ```text
//! client-first  n,,n=,r=CLIENT
//! server-first  r=CLIENT+SERVER,s=SALT,i=ROUNDS
//! client-final  c=biws,r=CLIENT+SERVER,p=PROOF
//! server-final  v=SIGNATURE
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plimsoll_query::Verifier;

use super::sqlstate::SqlError;

/// The mechanism as it is offered.
pub(super) const MECHANISM: &str = "SCRAM-SHA-256";

/// An exchange after its first message.
pub(super) struct Exchange<'a> {
    verifier: &'a Verifier,
    /// What the client has said of channel binding, which its last message repeats.
    binding: String,
    nonce: String,
    client_first: String,
    server_first: String,
}

impl<'a> Exchange<'a> {
    /// Takes the body of the client's first message, its choice of a mechanism included. `nonce` is the server's own, printable and
    /// never used before.
    ///
    /// # Errors
    /// 08P01 for what is no such message.
    pub(super) fn begin(verifier: &'a Verifier, body: &[u8], nonce: &str) -> Result<Exchange<'a>, SqlError> {
        let (mechanism, first) = initial(body)?;
        if mechanism != MECHANISM {
            return Err(malformed("client selected an invalid SASL authentication mechanism"));
        }
        // `p=` asks for a binding to the channel, which is not offered.
        let (flag, rest) = first.split_once(',').ok_or_else(|| malformed("no channel binding flag"))?;
        if !matches!(flag, "n" | "y") {
            return Err(malformed("channel binding is not offered"));
        }
        let (authorization, bare) = rest.split_once(',').ok_or_else(|| malformed("no attributes"))?;
        if !authorization.is_empty() {
            return Err(malformed("client uses authorization identity, but it is not supported"));
        }
        // The name is that of the startup message; what stands here is passed over, as PostgreSQL does.
        let mut attributes = bare.split(',');
        let _name = attributes.next().filter(|name| name.starts_with("n=")).ok_or_else(|| malformed("no name"))?;
        let client_nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r="));
        let is_printable = |nonce: &&str| !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic());
        let client_nonce = client_nonce.filter(is_printable).ok_or_else(|| malformed("no nonce"))?;
        let nonce = format!("{client_nonce}{nonce}");
        let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(verifier.salt()), verifier.rounds());
        let binding = STANDARD.encode(format!("{flag},,"));
        Ok(Exchange { verifier, binding, nonce, client_first: bare.to_owned(), server_first })
    }

    /// The server's first message.
    pub(super) fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Takes the client's last message. Gives the server's, or `None` when the password is another.
    ///
    /// # Errors
    /// 08P01 for what is no such message.
    pub(super) fn finish(&self, body: &[u8]) -> Result<Option<String>, SqlError> {
        let text = std::str::from_utf8(body).map_err(|_| malformed("not UTF-8"))?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or_else(|| malformed("no proof"))?;
        let mut attributes = without_proof.split(',');
        if attributes.next().and_then(|binding| binding.strip_prefix("c=")) != Some(&self.binding) {
            return Err(malformed("channel binding changed"));
        }
        if attributes.next().and_then(|nonce| nonce.strip_prefix("r=")) != Some(&self.nonce) {
            return Err(malformed("nonce does not match"));
        }
        let proof = STANDARD.decode(proof).map_err(|_| malformed("the proof is not base64"))?;
        let messages = format!("{},{},{without_proof}", self.client_first, self.server_first);
        let signature = self.verifier.check_proof(&messages, &proof);
        Ok(signature.map(|signature| format!("v={}", STANDARD.encode(signature))))
    }
}

/// The mechanism and the first message in a `SASLInitialResponse`.
fn initial(body: &[u8]) -> Result<(&str, &str), SqlError> {
    let end = body.iter().position(|byte| *byte == 0).ok_or_else(|| malformed("no mechanism"))?;
    let mechanism = std::str::from_utf8(&body[..end]).map_err(|_| malformed("not UTF-8"))?;
    let rest = &body[end + 1..];
    let (length, first) = rest.split_first_chunk::<4>().ok_or_else(|| malformed("no initial response"))?;
    if usize::try_from(u32::from_be_bytes(*length)) != Ok(first.len()) {
        return Err(malformed("wrong length of the initial response"));
    }
    Ok((mechanism, std::str::from_utf8(first).map_err(|_| malformed("not UTF-8"))?))
}

fn malformed(what: &str) -> SqlError {
    SqlError::protocol("malformed SCRAM message").with_detail(what)
}

#[cfg(test)]
mod tests {
    use plimsoll_query::Login;
    use proptest::prelude::*;

    use super::*;

    /// A verifier that no password fits.
    fn verifier() -> Verifier {
        let dir = tempfile::tempdir().unwrap();
        let session = plimsoll_query::Session::open(dir.path()).unwrap();
        session.execute("CREATE USER root SUPERUSER PASSWORD 'x'", 0).unwrap();
        match session.database().login("nobody") {
            Login::Password(verifier) => verifier,
            other => panic!("{other:?}"),
        }
    }

    fn first(mechanism: &str, text: &str) -> Vec<u8> {
        [mechanism.as_bytes(), b"\0", &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
    }

    #[test]
    fn what_is_not_the_protocol_is_refused() {
        let verifier = verifier();
        for (mechanism, text) in [
            ("SCRAM-SHA-1", "n,,n=,r=abc"),
            (MECHANISM, ""),
            (MECHANISM, "p=tls-server-end-point,,n=,r=abc"),
            (MECHANISM, "n,a=root,n=,r=abc"),
            (MECHANISM, "n,,n="),
            (MECHANISM, "n,,n=,r="),
            (MECHANISM, "n,,n=,r=a b"),
        ] {
            let refused = Exchange::begin(&verifier, &first(mechanism, text), "S").err();
            assert_eq!(refused.map(|error| error.code), Some("08P01"), "{text}");
        }
        let exchange = Exchange::begin(&verifier, &first(MECHANISM, "y,,n=x,r=C"), "S").unwrap();
        assert!(exchange.server_first().starts_with("r=CS,s="));
        let wrong = format!("c=eSws,r=CS,p={}", STANDARD.encode([0; 32]));
        assert_eq!(exchange.finish(wrong.as_bytes()), Ok(None));
        for text in ["", "c=biws,r=CS,p=AAAA", "c=eSws,r=CX,p=AAAA", "c=eSws,r=CS", "c=eSws,r=CS,p=!"] {
            assert_eq!(exchange.finish(text.as_bytes()).unwrap_err().code, "08P01", "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_message_is_safe(
            mut body in prop::collection::vec(any::<u8>(), 0..60), text in "[nyp,=rc a-c]{0,20}", length in any::<u32>()
        ) {
            let verifier = nobody();
            let _ = Exchange::begin(&verifier, &body, "S");
            let _ = Exchange::begin(&verifier, &first(MECHANISM, &text), "S");
            body.splice(0..0, [MECHANISM.as_bytes(), b"\0", &length.to_be_bytes()].concat());
            let _ = Exchange::begin(&verifier, &body, "S");
            let exchange = Exchange::begin(&verifier, &first(MECHANISM, "n,,n=,r=C"), "S").unwrap();
            let _ = exchange.finish(&body);
            let _ = exchange.finish(text.as_bytes());
        }
    }

    fn nobody() -> Verifier {
        static NOBODY: std::sync::OnceLock<Verifier> = std::sync::OnceLock::new();
        NOBODY.get_or_init(verifier).clone()
    }
}
