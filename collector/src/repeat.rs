//! Requests that come twice: an idempotency key is read, and an answer is sealed until it is asked
//! for again. Pure, but for the random nonce.
//!
//! The answer is sealed by what the asker signed in with, of which the collector keeps a hash only:
//! whoever reads the database finds no token in it.

use cordon_proto::id::Hash;
use cordon_proto::sign::sha256;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

/// Longest key.
const KEY_BYTES_MAX: usize = 64;

/// How long an answer is kept.
pub const KEPT_SECS: u64 = 24 * 3600;

/// Answers kept of one session or token, and in all.
pub const SCOPE_MAX: u64 = 1000;
pub const ALL_MAX: u64 = 20_000;

/// Longest answer kept.
pub const ANSWER_BYTES_MAX: usize = 256 << 10;

/// A header that is no idempotency key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`Idempotency-Key` is 1 to {KEY_BYTES_MAX} printable characters in double quotes, best a random \
     UUID"
)]
pub struct KeyError;

/// One request that may come again.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// Whose: hash of what the asker signed in with.
    pub scope: Hash,
    /// Hash of the key.
    pub key: Hash,
    /// Hash of the request.
    pub request: Hash,
    secret: [u8; 32],
}

impl Repeat {
    /// Reads the key; `credential` is what the asker signed in with, `parts` what the request is.
    pub fn new(header: &[u8], credential: &[u8], parts: &[&[u8]]) -> Result<Self, KeyError> {
        let key = header.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        let key = key.ok_or(KeyError)?;
        let fits = |byte: &u8| (0x20..0x7f).contains(byte) && *byte != b'"' && *byte != b'\\';
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.iter().all(fits) {
            return Err(KeyError);
        }
        Ok(Self {
            scope: hash(&[b"cordon/repeat/scope", credential]),
            key: hash(&[b"cordon/repeat/key", key]),
            request: hash(parts),
            secret: hash(&[b"cordon/repeat/seal", credential, key]).0,
        })
    }

    /// Seals an answer; none if the system gives no random numbers.
    #[must_use]
    pub fn seal(&self, answer: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = answer.to_vec();
        let (aad, number) = (Aad::from(self.request.0), Nonce::assume_unique_for_key(nonce));
        self.sealing_key()?.seal_in_place_append_tag(number, aad, &mut sealed).ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// Opens it again.
    #[must_use]
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let (mut answer, nonce) = (sealed.to_vec(), Nonce::assume_unique_for_key(*nonce));
        let aad = Aad::from(self.request.0);
        let opened = self.sealing_key()?.open_in_place(nonce, aad, &mut answer).ok()?;
        Some(opened.to_vec())
    }

    fn sealing_key(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.secret).ok().map(LessSafeKey::new)
    }
}

/// A hash over parts whose borders count.
fn hash(parts: &[&[u8]]) -> Hash {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&sha256(part));
    }
    Hash::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeat(header: &str, credential: &str, request: &str) -> Result<Repeat, KeyError> {
        Repeat::new(header.as_bytes(), credential.as_bytes(), &[request.as_bytes()])
    }

    #[test]
    fn a_key_is_printable_and_in_quotes() {
        for (header, good) in [
            ("\"0198f6a0\"", true),
            (&format!("\"{}\"", "k".repeat(64)), true),
            (&format!("\"{}\"", "k".repeat(65)), false),
            ("\"\"", false),
            ("\"", false),
            ("bare", false),
            ("\"a\nb\"", false),
            ("\"a\"b\"", false),
        ] {
            assert_eq!(repeat(header, "c", "r").is_ok(), good, "{header:?}");
        }
    }

    #[test]
    fn only_the_same_asker_with_the_same_key_and_request_opens_the_answer() {
        let first = repeat("\"k\"", "token", "POST /x").unwrap();
        let sealed = first.seal(b"the secret").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(first.open(&sealed).as_deref(), Some(b"the secret".as_slice()));
        for other in [
            ("\"k\"", "other", "POST /x"),
            ("\"l\"", "token", "POST /x"),
            ("\"k\"", "token", "POST /y"),
        ] {
            assert_eq!(repeat(other.0, other.1, other.2).unwrap().open(&sealed), None);
        }
        assert_eq!(first.open(b"short"), None);
    }
}
