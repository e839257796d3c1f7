//! Documents under one signature: COSE_Sign1 (RFC 9052) with Ed25519.
//!
//! Each kind is bound into the signature by its content type, headers are exactly the ones given
//! here, and what is verified are the bytes as received.

use coset::{CborSerializable, CoseSign1, CoseSign1Builder, Header, HeaderBuilder, iana};
use minicbor::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::id::EndpointId;
use crate::limits;
use crate::sign::{SignatureError, SigningKey, VerifyingKey};

/// What a signed document is; a signature over one kind is never one over another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The header of a batch of events.
    Batch,
    /// An agent's first word in a session.
    Hello,
    /// An endpoint's request for a certificate.
    Enrol,
    /// Who may act for a client.
    Roster,
    /// An operator's answer to a sign-in challenge.
    SignIn,
    /// What an endpoint says about the rows it answers a query with.
    Rows,
    /// What an endpoint says about an archive of evidence.
    Collected,
    /// A command; under one or more signatures, see [`super::command`].
    Command,
}

impl Kind {
    /// The content type that is signed with the payload. RFC 9052 wants `type/subtype` with at most
    /// parameters, so the version is one.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Batch => "cordon/batch;v=1",
            Self::Hello => "cordon/hello;v=1",
            Self::Enrol => "cordon/enrol;v=1",
            Self::Roster => "cordon/roster;v=1",
            Self::SignIn => "cordon/sign-in;v=1",
            Self::Rows => "cordon/rows;v=1",
            Self::Collected => "cordon/collected;v=1",
            Self::Command => "cordon/command;v=1",
        }
    }
}

/// Why a signed document was refused.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The bytes are not a COSE message as this protocol writes it.
    #[error("is not a signed document of this protocol: {0}")]
    Form(&'static str),
    /// The signature is not the expected key's.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// What is signed cannot be read.
    #[error("the signed content {0}")]
    Content(#[from] CodecError),
}

/// Signs a document.
#[must_use]
pub fn sign<T: Encode<()>>(kind: Kind, document: &T, context: &[u8], key: &SigningKey) -> Vec<u8> {
    let message = CoseSign1Builder::new()
        .protected(protected(kind))
        .payload(codec::encode(document))
        .create_signature(context, |bytes| key.sign(bytes))
        .build();
    // Only headers that hold what CBOR cannot express would fail here, and ours do not.
    message.to_vec().unwrap_or_default()
}

/// Verifies a document and reads it.
///
/// `context` is signed with the document and travels elsewhere (a TLS exporter, a challenge).
pub fn verify<T>(
    kind: Kind,
    bytes: &[u8],
    context: &[u8],
    key: &VerifyingKey,
) -> Result<T, DocumentError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let message = open(kind, bytes)?;
    message.verify_signature(context, |signature, signed| key.verify(signed, signature))?;
    read(&message)
}

/// Opens a document that an endpoint signed about itself, with its key in it: an endpoint is named by
/// the hash of its key. `named` reads both.
pub fn verify_own<T>(
    kind: Kind,
    bytes: &[u8],
    endpoint: EndpointId,
    named: impl FnOnce(&T) -> (EndpointId, VerifyingKey),
) -> Result<T, DocumentError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let (claimed, key) = named(&peek(kind, bytes)?);
    if claimed != endpoint || EndpointId(key.id().0) != endpoint {
        return Err(DocumentError::Form("it is not the endpoint's own"));
    }
    verify(kind, bytes, b"", &key)
}

/// Reads a document without verifying it: for finding out whose key to verify it with.
pub fn peek<T>(kind: Kind, bytes: &[u8]) -> Result<T, DocumentError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    read(&open(kind, bytes)?)
}

fn read<T>(message: &CoseSign1) -> Result<T, DocumentError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let payload = message.payload.as_deref().ok_or(DocumentError::Form("it has no content"))?;
    Ok(codec::decode_strict(payload)?)
}

fn open(kind: Kind, bytes: &[u8]) -> Result<CoseSign1, DocumentError> {
    codec::bounded(bytes, limits::DOCUMENT_BYTES_MAX)?;
    let message =
        CoseSign1::from_slice(bytes).ok().ok_or(DocumentError::Form("it is not COSE_Sign1"))?;
    if message.protected.header != protected(kind) {
        return Err(DocumentError::Form("its kind or algorithm is not the one expected"));
    }
    if !message.unprotected.is_empty() {
        return Err(DocumentError::Form("it has headers outside the signature"));
    }
    // One document has one form, so that hashes of documents mean something.
    if message.clone().to_vec().ok().as_deref() != Some(bytes) {
        return Err(DocumentError::Form("it is not in deterministic encoding"));
    }
    Ok(message)
}

pub(super) fn protected(kind: Kind) -> Header {
    HeaderBuilder::new()
        .algorithm(iana::Algorithm::EdDSA)
        .content_type(kind.content_type().to_owned())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32]).unwrap()
    }

    #[test]
    fn a_document_reads_back_under_its_key_kind_and_context_only() {
        let bytes = sign(Kind::Hello, &7_u8, b"tls", &key());
        let public = key().verifying();
        let other = SigningKey::from_seed(&[8; 32]).unwrap().verifying();
        assert_eq!(verify::<u8>(Kind::Hello, &bytes, b"tls", &public).unwrap(), 7);
        assert!(verify::<u8>(Kind::Hello, &bytes, b"tls", &other).is_err());
        assert!(verify::<u8>(Kind::Roster, &bytes, b"tls", &public).is_err());
        assert!(verify::<u8>(Kind::Hello, &bytes, b"other", &public).is_err());
    }

    #[test]
    fn any_single_bit_changed_is_refused() {
        let bytes = sign(Kind::Roster, &"content".to_owned(), b"", &key());
        assert!(verify::<String>(Kind::Roster, &bytes, b"", &key().verifying()).is_ok());
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let read = verify::<String>(Kind::Roster, &changed, b"", &key().verifying());
            assert!(read.is_err(), "bit {bit}");
        }
    }
}
