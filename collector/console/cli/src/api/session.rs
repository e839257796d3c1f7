//! Signing in: a challenge from the collector, answered with the operator's key, for a short session.
//!
//! The answer is bound to the pinned root, so that an answer lured out by another server is void.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::id::{Hash, KeyId};
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::document::{self, Kind};
use minicbor::bytes::ByteVec;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::clock;
use crate::file::{self, FileError};
use crate::moment::SECOND_NS;

/// The longest session file that is read.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// A session that ends sooner than this is not begun with.
const LEFT_SECS_MIN: u64 = 5;

/// Bytes of a challenge.
const CHALLENGE_BYTES: usize = 32;

/// A session as the collector granted it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    /// What every request carries.
    pub token: Zeroizing<String>,
    /// Who the collector says we are.
    pub operator: String,
    key: KeyId,
    ends_ns: u64,
}

#[derive(Deserialize)]
struct Granted {
    token: Zeroizing<String>,
    operator: String,
    expires_secs: u64,
}

#[derive(Deserialize)]
struct Challenge {
    challenge: String,
}

/// What is wrong with a challenge.
#[derive(Debug, thiserror::Error)]
pub enum ChallengeError {
    /// Not of the shape expected.
    #[error("the challenge cannot be read")]
    Form(#[from] serde_json::Error),
    /// Not the bytes expected: nothing else is ever signed.
    #[error("the challenge is not {CHALLENGE_BYTES} bytes of base64url")]
    Bytes,
}

/// Reads the collector's challenge.
pub fn challenge(answer: &Value) -> Result<[u8; CHALLENGE_BYTES], ChallengeError> {
    let Challenge { challenge } = Challenge::deserialize(answer)?;
    let bytes = URL_SAFE_NO_PAD.decode(challenge).ok().ok_or(ChallengeError::Bytes)?;
    bytes.try_into().ok().ok_or(ChallengeError::Bytes)
}

/// The answer to a challenge: good for one sign-in at the collector with the pinned root.
#[must_use]
pub fn answer(challenge: &[u8; CHALLENGE_BYTES], pin: Hash, key: &SigningKey) -> Value {
    let challenge = ByteVec::from(challenge.to_vec());
    let signed = document::sign(Kind::SignIn, &challenge, &pin.0, key);
    json!({ "key": key.id(), "answer": URL_SAFE_NO_PAD.encode(signed) })
}

impl Session {
    /// Reads what the collector grants.
    pub fn granted(answer: Value, key: KeyId, now_ns: u64) -> Result<Self, serde_json::Error> {
        let Granted { token, operator, expires_secs } = serde_json::from_value(answer)?;
        let ends_ns = now_ns.saturating_add(expires_secs.saturating_mul(SECOND_NS));
        Ok(Self { token, operator, key, ends_ns })
    }
}

/// Where the session of one profile is kept between two runs.
#[derive(Clone, Debug)]
pub struct SessionStore {
    path: PathBuf,
}

impl SessionStore {
    /// Keeps the session in this file, readable by its owner alone.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The session kept, if it is this key's and still good; anything else is as good as none.
    #[must_use]
    pub fn load(&self, key: KeyId) -> Option<Session> {
        let bytes = Zeroizing::new(file::read(&self.path, FILE_BYTES_MAX).ok().flatten()?);
        file::check_closed(&self.path).ok()?;
        let session: Session = serde_json::from_slice(&bytes).ok()?;
        let least_ns = clock::now_ns().saturating_add(LEFT_SECS_MIN * SECOND_NS);
        (session.key == key && session.ends_ns > least_ns).then_some(session)
    }

    /// Keeps a session for the next run.
    pub fn save(&self, session: &Session) -> Result<(), FileError> {
        // Only strings and numbers are written; that cannot fail.
        let bytes = Zeroizing::new(serde_json::to_vec(session).unwrap_or_default());
        file::replace(&self.path, &bytes, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[3; 32]).unwrap()
    }

    #[test]
    fn an_answer_is_good_for_the_pinned_collector_only() {
        let answer = answer(&[9; 32], Hash::of(b"root"), &key());
        let signed = URL_SAFE_NO_PAD.decode(answer["answer"].as_str().unwrap()).unwrap();
        let read = |pin: Hash| {
            document::verify::<ByteVec>(Kind::SignIn, &signed, &pin.0, &key().verifying())
        };
        assert_eq!(read(Hash::of(b"root")).unwrap().as_slice(), &[9; 32]);
        assert!(read(Hash::of(b"other root")).is_err());
    }

    #[test]
    fn nothing_but_a_challenge_is_signed() {
        for wrong in ["", "AAAA", "!!"] {
            assert!(challenge(&json!({ "challenge": wrong })).is_err(), "{wrong}");
        }
        let good = json!({ "challenge": URL_SAFE_NO_PAD.encode([9; 32]), "expires_secs": 60 });
        assert_eq!(challenge(&good).unwrap(), [9; 32]);
    }

    #[test]
    fn a_session_is_kept_for_its_key_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let store = SessionStore::at(dir.path().join("sessions/acme.json"));
        let granted = |secs: u64| {
            let answer = json!({ "token": "t", "operator": "ann", "expires_secs": secs });
            Session::granted(answer, key().id(), clock::now_ns()).unwrap()
        };
        assert!(store.load(key().id()).is_none());
        store.save(&granted(600)).unwrap();
        assert_eq!(store.load(key().id()).unwrap().operator, "ann");
        assert!(store.load(KeyId::of(b"other")).is_none());
        store.save(&granted(1)).unwrap();
        assert!(store.load(key().id()).is_none());
    }
}
