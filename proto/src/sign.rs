//! Keys, signatures, batches and chains: what makes everything stored provable.

pub mod batch;
pub mod chain;
pub mod command;
pub mod document;
mod key;
pub mod merkle;
mod passkey;
mod sealing;

pub use key::{SignatureError, SigningKey, VerifyingKey};
pub use passkey::{
    CREDENTIAL_BYTES_MAX, Ceremony, Passkey, PasskeyAlgorithm, PasskeyError, Registered,
    challenge_of, verify_assertion, verify_passkey, verify_registration,
};
pub use sealing::SealingKey;

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut hash = [0; 32];
    hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}
