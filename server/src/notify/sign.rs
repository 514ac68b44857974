//! Signatures of the Standard Webhooks convention, version 1 (<https://www.standardwebhooks.com>): HMAC-SHA256 over
//! `id.timestamp.body`, one signature per secret, so that a receiver can change its secret while events arrive.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What marks a secret as base64; any other secret is its own bytes.
const PREFIX: &str = "whsec_";

/// The key that a secret stands for.
///
/// # Errors
/// With the reason, which does not repeat the secret.
pub(super) fn key(secret: &str) -> Result<Vec<u8>, String> {
    let key = match secret.strip_prefix(PREFIX) {
        Some(encoded) => STANDARD
            .decode(encoded.trim())
            .map_err(|_| format!("what follows {PREFIX} in the secret has to be base64, padded with ="))?,
        None => secret.as_bytes().to_vec(),
    };
    if key.is_empty() { Err("the secret is empty".to_owned()) } else { Ok(key) }
}

/// The value of the header `webhook-signature`: `v1,<base64>` for each key, with a blank in between. `id` and
/// `timestamp` (Unix seconds) are those of the headers `webhook-id` and `webhook-timestamp`, `body` exactly what is sent.
pub(super) fn signatures<Key: AsRef<[u8]>>(keys: &[Key], id: &str, timestamp: i64, body: &str) -> String {
    let signature = |key: &Key| {
        // A key of any length is one.
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_ref()).ok()?;
        for part in [id, ".", &timestamp.to_string(), ".", body] {
            mac.update(part.as_bytes());
        }
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    keys.iter().filter_map(signature).collect::<Vec<_>>().join(" ")
}

/// True when one of the signatures of a header was made with a secret: what a receiver checks. `timestamp` is the header as it came.
pub(crate) fn is_signed(secret: &str, id: &str, timestamp: &str, body: &str, header: &str) -> bool {
    let (Ok(key), Ok(timestamp)) = (key(secret), timestamp.parse()) else { return false };
    let wanted = signatures(&[key], id, timestamp, body);
    !wanted.is_empty() && header.split(' ').any(|signature| signature == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the convention and its libraries publish.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn sign(secrets: &[&str], timestamp: i64, body: &str) -> String {
        let keys: Vec<Vec<u8>> = secrets.iter().map(|secret| key(secret).expect("a good secret")).collect();
        signatures(&keys, ID, timestamp, body)
    }

    #[test]
    fn the_published_example_is_signed_as_published() {
        assert_eq!(sign(&[SECRET], 1_614_265_330, BODY), SIGNATURE);
    }

    #[test]
    fn two_secrets_give_two_signatures() {
        let both = sign(&[SECRET, "a second secret"], 1_614_265_330, BODY);
        let (first, second) = both.split_once(' ').expect("two signatures");
        assert_eq!(first, SIGNATURE);
        assert_eq!(second, sign(&["a second secret"], 1_614_265_330, BODY));
        assert_eq!(sign(&[], 1_614_265_330, BODY), "");
    }

    #[test]
    fn time_and_body_are_signed() {
        assert_ne!(sign(&[SECRET], 1_614_265_331, BODY), SIGNATURE);
        assert_ne!(sign(&[SECRET], 1_614_265_330, r#"{"test":2432232314}"#), SIGNATURE);
    }

    #[test]
    fn a_marked_secret_is_decoded_and_others_are_their_bytes() {
        assert_eq!(key("whsec_AAEC"), Ok(vec![0, 1, 2]));
        assert_eq!(key("geheim ü"), Ok("geheim ü".as_bytes().to_vec()));
        assert_eq!(key("a".repeat(200).as_str()).map(|key| key.len()), Ok(200));
        for wrong in ["", "whsec_", "whsec_!!", "whsec_AAE"] {
            let reason = key(wrong).expect_err(wrong);
            assert!(wrong.is_empty() || !reason.contains(&wrong["whsec_".len()..]) || wrong == "whsec_", "{reason}");
        }
    }
}
