//! What is kept of a password: enough to check it, not enough to log in with (SCRAM-SHA-256, RFC 5802 and 7677).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Rounds for a new password, as PostgreSQL has them.
const ROUNDS: u32 = 4096;

/// Rounds of a verifier that is handed in: more would let one log-in take a core for long.
const ROUNDS_MAX: u32 = 1_000_000;

/// Longest salt of a verifier that is handed in.
const SALT_BYTES_MAX: usize = 256;

/// What the stored form begins with.
const PREFIX: &str = "SCRAM-SHA-256$";

type Key = [u8; 32];

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    rounds: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

impl Verifier {
    /// What to keep of a password, with a salt of its own.
    pub(super) fn new(password: &str) -> Verifier {
        Verifier::salted(password, rand::random::<[u8; 16]>().to_vec(), ROUNDS)
    }

    /// A verifier that no password fits, for names that nobody has: who asks gets the same salt each time, so that the answer does
    /// not tell whether there is such a name. `secret` is the server's own.
    pub(super) fn of_nobody(name: &str, secret: &Key) -> Verifier {
        let salt = mac(secret, &[name.as_bytes()])[..16].to_vec();
        Verifier { rounds: ROUNDS, salt, stored_key: rand::random(), server_key: rand::random() }
    }

    fn salted(password: &str, salt: Vec<u8>, rounds: u32) -> Verifier {
        let salted = salted_password(password, &salt, rounds);
        let stored_key = Sha256::digest(mac(&salted, &[b"Client Key"])).into();
        Verifier { rounds, salt, stored_key, server_key: mac(&salted, &[b"Server Key"]) }
    }

    /// Reads the stored form, `SCRAM-SHA-256$rounds:salt$stored:server`; `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Verifier> {
        let (head, keys) = text.strip_prefix(PREFIX)?.split_once('$')?;
        let (rounds, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let rounds = rounds.parse().ok().filter(|rounds| (1..=ROUNDS_MAX).contains(rounds))?;
        let salt = STANDARD.decode(salt).ok().filter(|salt| (1..=SALT_BYTES_MAX).contains(&salt.len()))?;
        let key = |text: &str| Key::try_from(STANDARD.decode(text).ok()?).ok();
        Some(Verifier { rounds, salt, stored_key: key(stored_key)?, server_key: key(server_key)? })
    }

    /// The form in which it is stored.
    pub(super) fn to_stored(&self) -> String {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        format!("{PREFIX}{}:{salt}${stored}:{server}", self.rounds)
    }

    /// The rounds, for the client to count along.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// The salt, for the client to mix in.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// True when it was made of this password.
    pub fn fits(&self, password: &str) -> bool {
        let other = Verifier::salted(password, self.salt.clone(), self.rounds);
        same(&other.stored_key, &self.stored_key)
    }

    /// Checks a client's proof that it knows the password, over the messages exchanged so far. Gives the server's own signature
    /// when it is right.
    pub fn check_proof(&self, messages: &str, proof: &[u8]) -> Option<[u8; 32]> {
        let signature = mac(&self.stored_key, &[messages.as_bytes()]);
        let proof = Key::try_from(proof).ok()?;
        let client_key: Key = std::array::from_fn(|at| proof[at] ^ signature[at]);
        let is_right = same(&Sha256::digest(client_key).into(), &self.stored_key);
        is_right.then(|| mac(&self.server_key, &[messages.as_bytes()]))
    }
}

/// Passwords that were right, as a keyed hash each, so that they need not be derived again for every request.
pub(crate) struct Proved {
    secret: Key,
    /// By user: the verifier that was met, and the hash of what met it.
    users: Mutex<HashMap<String, (Verifier, Key)>>,
}

impl Default for Proved {
    fn default() -> Proved {
        Proved { secret: rand::random(), users: Mutex::default() }
    }
}

impl Proved {
    /// As [`Verifier::fits`].
    pub(crate) fn fits(&self, user: &str, verifier: &Verifier, password: &str) -> bool {
        let hash = mac(&self.secret, &[password.as_bytes()]);
        let users = || self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users().get(user).is_some_and(|(met, by)| met == verifier && same(by, &hash)) {
            return true;
        }
        let fits = verifier.fits(password);
        if fits {
            // Only users that there are have a password that fits, so this is bounded by their number.
            users().insert(user.to_owned(), (verifier.clone(), hash));
        }
        fits
    }
}

/// Nothing of a secret is shown.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(***)")
    }
}

/// Compares without telling by the time it takes where two keys differ.
fn same(a: &Key, b: &Key) -> bool {
    a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is one");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// PBKDF2 (RFC 8018) with HMAC-SHA-256, of which SCRAM takes one block.
fn salted_password(password: &str, salt: &[u8], rounds: u32) -> Key {
    // As PostgreSQL does, a text that SASLprep refuses counts as it is.
    let prepared = stringprep::saslprep(password).unwrap_or(Cow::Borrowed(password));
    let keyed = Hmac::<Sha256>::new_from_slice(prepared.as_bytes()).expect("a key of any length is one");
    let round = |parts: &[&[u8]]| -> Key {
        let mut mac = keyed.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    };
    let mut last = round(&[salt, &1_u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..rounds {
        last = round(&[&last]);
        sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3: user `user`, password `pencil`.
    #[test]
    fn the_example_of_the_standard_is_accepted() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::salted("pencil", salt, 4096);
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let messages =
            format!("n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}");
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let signature = verifier.check_proof(&messages, &proof).expect("the proof is right");
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(verifier.check_proof(&messages, &[0; 32]), None);
        assert_eq!(verifier.check_proof(&messages, b"short"), None);
    }

    #[test]
    fn the_stored_form_reads_back_and_other_texts_are_none() {
        let verifier = Verifier::new("secret");
        let stored = verifier.to_stored();
        assert_eq!(Verifier::parse(&stored), Some(verifier));
        assert!(Verifier::parse(&stored).unwrap().fits("secret"));
        assert!(!Verifier::parse(&stored).unwrap().fits("Secret"));
        for wrong in
            ["", "secret", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:AA==$AA==:AA==", "SCRAM-SHA-256$4096:AA==$x:y", "md5aa"]
        {
            assert_eq!(Verifier::parse(wrong), None, "{wrong}");
        }
        let endless = stored.replacen("4096", "4000000000", 1);
        assert_eq!(Verifier::parse(&endless), None);
    }

    #[test]
    fn what_was_right_is_right_again_until_the_password_changes() {
        let (proved, first, second) = (Proved::default(), Verifier::new("a"), Verifier::new("b"));
        assert!(proved.fits("u", &first, "a") && proved.fits("u", &first, "a"));
        assert!(!proved.fits("u", &first, "b") && !proved.fits("u", &second, "a"));
        assert!(proved.fits("u", &second, "b") && !proved.fits("v", &first, "b"));
    }

    #[test]
    fn nobody_has_one_salt_for_each_name_and_no_password() {
        let secret = [7; 32];
        let verifier = Verifier::of_nobody("eve", &secret);
        assert_eq!(verifier.salt(), Verifier::of_nobody("eve", &secret).salt());
        assert_ne!(verifier.salt(), Verifier::of_nobody("mallory", &secret).salt());
        assert!(!verifier.fits(""));
    }
}
