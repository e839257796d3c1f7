//! Passkeys (WebAuthn level 3, section 7.2): an assertion as a signature over a document, or as the
//! answer to a challenge where somebody signs in.
//!
//! For a document the challenge is SHA-256 of the COSE Sig_structure, so that the assertion is bound
//! to the document, its kind and its signer; the counter means nothing there and is not looked at.

mod registration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::{Decode, Encode};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::sign::sha256;

pub use registration::{CREDENTIAL_BYTES_MAX, Ceremony, Registered, verify_registration};

/// Longest client data or authenticator data that is read.
const DATA_BYTES_MAX: usize = 8 << 10;

/// The signature algorithm of a passkey, as the roster fixes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum PasskeyAlgorithm {
    /// ECDSA on P-256 with SHA-256 (COSE -7).
    #[n(0)]
    Es256,
    /// Ed25519 (COSE -8).
    #[n(1)]
    EdDsa,
}

/// What travels as the signature's value.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub(crate) struct Assertion {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(crate) authenticator: Vec<u8>,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) client: Vec<u8>,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) signature: Vec<u8>,
}

/// Why an assertion is not a signature by this passkey over these bytes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PasskeyError {
    /// Not an assertion at all.
    #[error("the assertion cannot be read: {0}")]
    Form(&'static str),
    /// Made for something else, or elsewhere.
    #[error("the assertion's {0} is not the one required")]
    Mismatch(&'static str),
    /// Nobody touched the authenticator, or it did not check who did.
    #[error("the authenticator did not verify its user")]
    User,
    /// The signature itself.
    #[error("the assertion's signature does not verify")]
    Signature,
}

/// The members of client data that are checked; others may come and go between browsers.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
}

/// A rostered passkey, as far as verifying needs it.
pub struct Passkey<'a> {
    /// Its algorithm.
    pub algorithm: PasskeyAlgorithm,
    /// Its public key.
    pub public: &'a [u8],
    /// Its relying party.
    pub rp_id: &'a str,
    /// Where it may be used.
    pub origins: &'a [String],
}

impl ClientData {
    fn read(client: &[u8]) -> Result<Self, PasskeyError> {
        let fits = client.len() <= DATA_BYTES_MAX;
        let read = fits.then(|| serde_json::from_slice(client).ok()).flatten();
        let wrong = "the client data is not JSON with the members required";
        read.ok_or(PasskeyError::Form(wrong))
    }
}

/// The challenge that client data names: for looking up, never for believing.
#[must_use]
pub fn challenge_of(client: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(ClientData::read(client).ok()?.challenge).ok()
}

fn check_client(
    client: &ClientData,
    kind: &str,
    challenge: &[u8],
    origins: &[String],
) -> Result<(), PasskeyError> {
    if client.kind != kind {
        return Err(PasskeyError::Mismatch("type"));
    }
    if client.challenge != URL_SAFE_NO_PAD.encode(challenge) {
        return Err(PasskeyError::Mismatch("challenge"));
    }
    if client.cross_origin || !origins.contains(&client.origin) {
        return Err(PasskeyError::Mismatch("origin"));
    }
    Ok(())
}

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 4;

/// Verifies that a passkey signed exactly `signed` at one of its origins, with its user verified.
pub fn verify_passkey(
    key: &Passkey<'_>,
    signed: &[u8],
    assertion: &[u8],
) -> Result<(), PasskeyError> {
    let Ok(assertion) = codec::decode_strict::<Assertion>(assertion) else {
        return Err(PasskeyError::Form("it is not [authenticator data, client data, signature]"));
    };
    let Assertion { authenticator, client, signature } = &assertion;
    verify_assertion(key, &sha256(signed), authenticator, client, signature).map(|_counter| ())
}

/// Verifies that a passkey answered a challenge at one of its origins, with its user verified.
/// Answers how often the authenticator says it was used; 0 where it does not count.
pub fn verify_assertion(
    key: &Passkey<'_>,
    challenge: &[u8],
    authenticator: &[u8],
    client: &[u8],
    signature: &[u8],
) -> Result<u32, PasskeyError> {
    check_client(&ClientData::read(client)?, "webauthn.get", challenge, key.origins)?;
    if authenticator.len() > DATA_BYTES_MAX {
        return Err(PasskeyError::Form("the authenticator data is too long"));
    }
    let short = || PasskeyError::Form("the authenticator data is too short");
    let (rp_hash, rest) = authenticator.split_first_chunk::<32>().ok_or_else(short)?;
    let (flags, rest) = rest.split_first().ok_or_else(short)?;
    let counter = rest.first_chunk::<4>().ok_or_else(short)?;
    if *rp_hash != sha256(key.rp_id.as_bytes()) {
        return Err(PasskeyError::Mismatch("relying party"));
    }
    if flags & USER_PRESENT == 0 || flags & USER_VERIFIED == 0 {
        return Err(PasskeyError::User);
    }
    let mut over = authenticator.to_vec();
    over.extend_from_slice(&sha256(client));
    let verified = match key.algorithm {
        PasskeyAlgorithm::Es256 => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public).verify(&over, signature)
        }
        PasskeyAlgorithm::EdDsa => {
            UnparsedPublicKey::new(&ED25519, key.public).verify(&over, signature)
        }
    };
    verified.map_err(|ring::error::Unspecified| PasskeyError::Signature)?;
    Ok(u32::from_be_bytes(*counter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::SigningKey;

    struct Made {
        rp_id: &'static str,
        origin: &'static str,
        kind: &'static str,
        cross_origin: bool,
        flags: u8,
        signed: &'static [u8],
    }

    const GOOD: Made = Made {
        rp_id: "localhost",
        origin: "https://localhost:9443",
        kind: "webauthn.get",
        cross_origin: false,
        flags: USER_PRESENT | USER_VERIFIED,
        signed: b"document",
    };

    /// An assertion as an authenticator would make it, over `document`.
    #[track_caller]
    fn check(made: &Made, says: Result<(), PasskeyError>) {
        let pair = SigningKey::from_seed(&[3; 32]).unwrap();
        let client = serde_json::json!({
            "type": made.kind,
            "challenge": URL_SAFE_NO_PAD.encode(sha256(made.signed)),
            "origin": made.origin,
            "crossOrigin": made.cross_origin,
            "added_by_a_newer_browser": true,
        });
        let client = serde_json::to_vec(&client).unwrap();
        let mut authenticator = sha256(made.rp_id.as_bytes()).to_vec();
        authenticator.extend_from_slice(&[made.flags, 0, 0, 0, 0]);
        let mut over = authenticator.clone();
        over.extend_from_slice(&sha256(&client));
        let assertion = Assertion { authenticator, client, signature: pair.sign(&over) };
        let origins = ["https://localhost:9443".to_owned()];
        let key = Passkey {
            algorithm: PasskeyAlgorithm::EdDsa,
            public: &pair.verifying().0,
            rp_id: "localhost",
            origins: &origins,
        };
        assert_eq!(verify_passkey(&key, b"document", &codec::encode(&assertion)), says);
    }

    #[test]
    fn an_assertion_counts_only_for_its_document_origin_party_and_verified_user() {
        check(&GOOD, Ok(()));
        check(&Made { signed: b"another", ..GOOD }, Err(PasskeyError::Mismatch("challenge")));
        check(&Made { rp_id: "evil", ..GOOD }, Err(PasskeyError::Mismatch("relying party")));
        check(&Made { origin: "https://evil", ..GOOD }, Err(PasskeyError::Mismatch("origin")));
        check(&Made { cross_origin: true, ..GOOD }, Err(PasskeyError::Mismatch("origin")));
        check(&Made { kind: "webauthn.create", ..GOOD }, Err(PasskeyError::Mismatch("type")));
        check(&Made { flags: USER_PRESENT, ..GOOD }, Err(PasskeyError::User));
        check(&Made { flags: USER_VERIFIED, ..GOOD }, Err(PasskeyError::User));
    }
}
