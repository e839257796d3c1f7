//! The enrolment string: all that an endpoint needs in order to join, and whom to trust.
//!
//! `cordon1:` and base64url of the CBOR below. It is composed on the operator's machine from his
//! own pins; the collector contributes only the secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::id::{ClientId, Hash, TokenId};
use crate::roster::RosterRef;
use crate::sign::VerifyingKey;

/// What the string begins with; the digit is its version.
pub const PREFIX: &str = "cordon1:";

/// Longest string accepted.
pub const STRING_BYTES_MAX: usize = 4096;

/// Bytes of a token's secret.
pub const SECRET_BYTES: usize = 16;

/// What an enrolment string says.
#[derive(Clone, Eq, PartialEq, Encode, Decode)]
pub struct EnrolmentString {
    /// The agents' door: `host:port`, tried in turn.
    #[n(0)]
    pub collectors: Vec<String>,
    /// SHA-256 of the collector's root certificate.
    #[n(1)]
    pub ca_pin: Hash,
    /// The authority's daily key: signs rosters.
    #[n(2)]
    pub authority: VerifyingKey,
    /// The authority's recovery key: signs only the replacement of either.
    #[n(3)]
    pub recovery: VerifyingKey,
    /// The least roster to accept.
    #[n(4)]
    pub roster_min: RosterRef,
    /// The client to join.
    #[n(5)]
    pub client: ClientId,
    /// The secret that the collector counts.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub secret: Vec<u8>,
    /// When it ends, seconds since 1970 UTC; shown, and enforced by the collector.
    #[n(7)]
    pub expires_secs: u64,
}

impl std::fmt::Debug for EnrolmentString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EnrolmentString({} for client {})", self.id().short(), self.client)
    }
}

/// Why a text is not an enrolment string.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentStringError {
    /// It begins otherwise.
    #[error("an enrolment string begins with '{PREFIX}'; make one with `cordon token create`")]
    Prefix,
    /// Characters are missing or changed.
    #[error("the enrolment string is damaged (was it copied whole?)")]
    Base64,
    /// It decodes to something else.
    #[error("the enrolment string {0}")]
    Codec(#[from] CodecError),
    /// It says nothing usable.
    #[error("the enrolment string {0}")]
    Content(&'static str),
}

impl EnrolmentString {
    /// The token's name: what lists show instead of the secret.
    #[must_use]
    pub fn id(&self) -> TokenId {
        TokenId::of(&self.secret)
    }

    /// The string.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(codec::encode(self)))
    }

    /// Reads the string; white space around it is forgiven.
    pub fn from_text(text: &str) -> Result<Self, EnrolmentStringError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(EnrolmentStringError::Prefix)?;
        codec::bounded(body.as_bytes(), STRING_BYTES_MAX)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).ok().ok_or(EnrolmentStringError::Base64)?;
        let read: Self = codec::decode_strict(&bytes)?;
        if read.collectors.is_empty() {
            return Err(EnrolmentStringError::Content("names no collector"));
        }
        if read.secret.len() != SECRET_BYTES {
            return Err(EnrolmentStringError::Content("has a secret of the wrong length"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::SigningKey;

    #[test]
    fn a_string_reads_back_and_a_damaged_one_says_so() {
        let key = SigningKey::from_seed(&[1; 32]).unwrap().verifying();
        let made = EnrolmentString {
            collectors: vec!["collector.example:7443".to_owned()],
            ca_pin: Hash::of(b"ca"),
            authority: key,
            recovery: key,
            roster_min: RosterRef::default(),
            client: "acme".parse().unwrap(),
            secret: vec![9; SECRET_BYTES],
            expires_secs: 1,
        };
        let text = made.to_text();
        assert_eq!(EnrolmentString::from_text(&format!(" {text}\n")).unwrap(), made);
        for damaged in [&text[1..], &text[..text.len() - 5], "cordon1:", "cordon1:!!"] {
            assert!(EnrolmentString::from_text(damaged).is_err(), "{damaged}");
        }
        assert!(!format!("{made:?}").contains("09"), "secrets do not print");
    }
}
