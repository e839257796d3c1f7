//! Commands under one or more signatures: COSE_Sign (RFC 9052).
//!
//! The first operator signs; others add theirs to the same bytes. Each signature names its key by
//! id inside what it signs.

use coset::iana::{self, EnumI64};
use coset::{
    Algorithm, CborSerializable, CoseSign, CoseSignBuilder, CoseSignature, CoseSignatureBuilder,
    Header, HeaderBuilder, RegisteredLabelWithPrivate,
};

use super::document::{DocumentError, Kind};
use crate::codec;
use crate::command::Command;
use crate::id::KeyId;
use crate::limits;
use crate::roster::{Operator, OperatorKey, Roster};
use crate::sign::{Passkey, SigningKey, verify_passkey};

/// The private COSE algorithm of a passkey's assertion.
pub const PASSKEY_ALGORITHM: i64 = -65_600;

/// A command as it travels, its form checked and none of its signatures.
#[derive(Clone, Debug)]
pub struct SignedCommand {
    message: CoseSign,
    command: Command,
}

/// Why signatures under a command do not count.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The roster has no such key.
    #[error("key {} is not in roster version {version}", key.short())]
    Unknown {
        /// The key.
        key: KeyId,
        /// The roster that was looked at.
        version: u64,
    },
    /// The signature is not that key's over this command.
    #[error("the signature of {operator} with key {} does not verify", key.short())]
    Wrong {
        /// Whose key it is.
        operator: String,
        /// The key.
        key: KeyId,
    },
}

impl SignedCommand {
    /// A command that nobody has signed yet.
    #[must_use]
    pub fn unsigned(command: Command) -> Self {
        let message = CoseSignBuilder::new()
            .protected(body_header())
            .payload(codec::encode(&command))
            .build();
        Self { message, command }
    }

    /// Signs a command as its first signer.
    #[must_use]
    pub fn sign(command: Command, key: &SigningKey) -> Self {
        let mut signed = Self::unsigned(command);
        signed.add(key);
        signed
    }

    /// The command's own bytes, which every signature is over.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.message.payload.as_deref().unwrap_or_default()
    }

    /// Adds one operator's signature to those that stand.
    pub fn add(&mut self, key: &SigningKey) {
        let mut signature =
            CoseSignatureBuilder::new().protected(signer_header(false, key.id())).build();
        signature.signature = key.sign(&self.to_be_signed(&signature));
        self.message.signatures.push(signature);
    }

    /// Adds a passkey's assertion to those that stand. Whether it is one shows when it is verified.
    pub fn add_passkey(&mut self, key: KeyId, assertion: Vec<u8>) {
        let signature = CoseSignatureBuilder::new()
            .protected(signer_header(true, key))
            .signature(assertion)
            .build();
        self.message.signatures.push(signature);
    }

    /// Reads a command; refuses what is not exactly one. Signatures are not verified here.
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        codec::bounded(bytes, limits::DOCUMENT_BYTES_MAX)?;
        let message =
            CoseSign::from_slice(bytes).ok().ok_or(DocumentError::Form("it is not COSE_Sign"))?;
        if message.protected.header != body_header() || !message.unprotected.is_empty() {
            return Err(DocumentError::Form("its headers are not those of a command"));
        }
        if message.signatures.is_empty() || message.signatures.len() > limits::SIGNATURES_MAX {
            return Err(DocumentError::Form("it has no signature, or too many"));
        }
        for signature in &message.signatures {
            if signer(signature).is_none() || !signature.unprotected.is_empty() {
                return Err(DocumentError::Form("a signature's headers are not as they must be"));
            }
        }
        if message.clone().to_vec().ok().as_deref() != Some(bytes) {
            return Err(DocumentError::Form("it is not in deterministic encoding"));
        }
        let payload = message.payload.as_deref().ok_or(DocumentError::Form("it has no content"))?;
        let command = codec::decode_strict(payload)?;
        Ok(Self { message, command })
    }

    /// The bytes that travel.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.message.clone().to_vec().unwrap_or_default()
    }

    /// What is asked for. It counts for nothing before [`Self::signers`] and the roster agree.
    #[must_use]
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// The keys that claim to have signed.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> {
        self.message.signatures.iter().filter_map(|signature| signer(signature).map(|s| s.1))
    }

    /// Joins the signatures of another copy of the same command; false if it is another command.
    pub fn merge(&mut self, other: Self) -> bool {
        if self.message.payload != other.message.payload {
            return false;
        }
        for signature in other.message.signatures {
            if !self.message.signatures.iter().any(|s| signer(s) == signer(&signature)) {
                self.message.signatures.push(signature);
            }
        }
        self.message.signatures.len() <= limits::SIGNATURES_MAX
    }

    /// Verifies every signature against the roster; all must be good. Answers whose they are.
    pub fn signers<'r>(&self, roster: &'r Roster) -> Result<Vec<&'r Operator>, SignerError> {
        self.message.signatures.iter().map(|signature| self.signer(signature, roster)).collect()
    }

    fn signer<'r>(
        &self,
        signature: &CoseSignature,
        roster: &'r Roster,
    ) -> Result<&'r Operator, SignerError> {
        let (passkey, id) = signer(signature).unwrap_or((false, KeyId::default()));
        let Some((operator, key)) = roster.key(id) else {
            return Err(SignerError::Unknown { key: id, version: roster.version });
        };
        let signed = self.to_be_signed(signature);
        let verified = match (passkey, key) {
            (false, OperatorKey::File(key)) => key.verify(&signed, &signature.signature).is_ok(),
            (true, OperatorKey::Passkey { algorithm, public, rp_id, origins }) => {
                let key = Passkey { algorithm: *algorithm, public, rp_id, origins };
                verify_passkey(&key, &signed, &signature.signature).is_ok()
            }
            (false, OperatorKey::Passkey { .. }) | (true, OperatorKey::File(_)) => false,
        };
        if verified {
            Ok(operator)
        } else {
            Err(SignerError::Wrong { operator: operator.id.to_string(), key: id })
        }
    }

    /// The Sig_structure of one signature.
    fn to_be_signed(&self, signature: &CoseSignature) -> Vec<u8> {
        coset::sig_structure_data(
            coset::SignatureContext::CoseSignature,
            self.message.protected.clone(),
            Some(signature.protected.clone()),
            &[],
            self.payload(),
        )
    }
}

fn body_header() -> Header {
    HeaderBuilder::new().content_type(Kind::Command.content_type().to_owned()).build()
}

fn signer_header(passkey: bool, key: KeyId) -> Header {
    let mut header =
        HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).key_id(key.0.to_vec()).build();
    if passkey {
        header.alg = Some(RegisteredLabelWithPrivate::PrivateUse(PASSKEY_ALGORITHM));
    }
    header
}

/// Whether a signature is a passkey's, and its key; none if its headers are not as they must be.
fn signer(signature: &CoseSignature) -> Option<(bool, KeyId)> {
    let header = &signature.protected.header;
    let key = KeyId(<[u8; 32]>::try_from(header.key_id.as_slice()).ok()?);
    let passkey = match header.alg.as_ref()? {
        Algorithm::PrivateUse(number) if *number == PASSKEY_ALGORITHM => true,
        Algorithm::Assigned(algorithm) if algorithm.to_i64() == iana::Algorithm::EdDSA.to_i64() => {
            false
        }
        Algorithm::Assigned(_) | Algorithm::PrivateUse(_) | Algorithm::Text(_) => return None,
    };
    (*header == signer_header(passkey, key)).then_some((passkey, key))
}
