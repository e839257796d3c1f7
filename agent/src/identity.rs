//! Who this endpoint is and whom it trusts: its keys, its certificate, its pins, kept in one file.
//!
//! One file, so that an identity is replaced whole or not at all. What changes often (the roster,
//! the spool, the records of containments) lives beside it in the state directory.

mod state_dir;

use std::fmt;
use std::path::PathBuf;

use cordon_proto::codec::{self, CodecError};
use cordon_proto::id::{ClientId, EndpointId, Hash};
use cordon_proto::sign::{SignatureError, SigningKey, VerifyingKey};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

pub use state_dir::{StateDir, StateDirError};

/// An enrolled endpoint.
pub struct Identity {
    /// The endpoint's name: the hash of its first signing key.
    pub endpoint: EndpointId,
    /// Signs batches, receipts and hellos.
    pub signing: SigningKey,
    /// Whose endpoint it is.
    pub client: ClientId,
    /// Whom it trusts.
    pub pins: Pins,
    /// The agents' doors as the enrolment string named them: `host:port`.
    pub collectors: Vec<String>,
    /// What it shows on a connection.
    pub certificate: Certificate,
    /// The roster that came with the enrolment, as signed.
    pub first_roster: Vec<u8>,
}

/// Whom an endpoint trusts from its enrolment on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Pins {
    /// The authority's daily key: signs rosters.
    #[n(0)]
    pub authority: VerifyingKey,
    /// The authority's recovery key: signs only the replacement of either.
    #[n(1)]
    pub recovery: VerifyingKey,
    /// SHA-256 of the collector's root certificate.
    #[n(2)]
    pub ca: Hash,
}

/// The endpoint's TLS key and the certificate for it.
#[derive(Clone, Eq, PartialEq, Encode, Decode)]
pub struct Certificate {
    /// The key, PKCS #8 DER.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub key: Vec<u8>,
    /// The endpoint's certificate and its client's intermediate, DER.
    #[n(1)]
    pub chain: Vec<ByteVec>,
    /// Endpoint time when it was granted, in seconds.
    #[n(2)]
    pub granted_secs: u64,
    /// For how long it was granted, in seconds.
    #[n(3)]
    pub valid_secs: u64,
}

impl Certificate {
    /// When to ask for the next one, in endpoint time: at two thirds of its life.
    #[must_use]
    pub fn renew_at_secs(&self) -> u64 {
        self.granted_secs.saturating_add(self.valid_secs / 3 * 2)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain, granted_secs, valid_secs, .. } = self;
        write!(f, "Certificate({} long, from {granted_secs} for {valid_secs})", chain.len())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?} of {})", self.endpoint, self.client)
    }
}

/// The identity as it stands in its file.
#[derive(Encode, Decode)]
struct Stored {
    #[cbor(n(0), with = "minicbor::bytes")]
    seed: Vec<u8>,
    #[n(1)]
    client: ClientId,
    #[n(2)]
    pins: Pins,
    #[n(3)]
    collectors: Vec<String>,
    #[n(4)]
    certificate: Certificate,
    #[cbor(n(5), with = "minicbor::bytes")]
    first_roster: Vec<u8>,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The state directory is not as it must be.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// Nobody has enrolled here yet.
    #[error(
        "this endpoint is not enrolled (there is no {}); run `cordon-agent enroll STRING` with a \
         string from `cordon token create`",
        .0.display()
    )]
    NotEnrolled(PathBuf),
    /// The file is there, and is not what was written.
    #[error(
        "the identity file {} {cause}; restore it, or enrol anew with `cordon-agent enroll --force`",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: CodecError,
    },
    /// The file holds no key.
    #[error("the identity file holds an unusable signing key: {0}")]
    Key(#[from] SignatureError),
}

const FILE: &str = "identity.cbor";

impl Identity {
    /// Reads the identity from the state directory.
    pub fn load(dir: &StateDir) -> Result<Self, IdentityError> {
        let path = dir.path(FILE);
        let bytes =
            dir.read_secret(FILE)?.ok_or_else(|| IdentityError::NotEnrolled(path.clone()))?;
        let stored: Stored =
            codec::decode_strict(&bytes).map_err(|cause| IdentityError::Damaged { path, cause })?;
        let Stored { seed, client, pins, collectors, certificate, first_roster } = stored;
        let signing = SigningKey::from_seed(&Zeroizing::new(seed))?;
        let endpoint = EndpointId(signing.id().0);
        Ok(Self { endpoint, signing, client, pins, collectors, certificate, first_roster })
    }

    /// Writes the identity to the state directory, in place of any other.
    pub fn store(&self, dir: &StateDir) -> Result<(), StateDirError> {
        let stored = Stored {
            seed: self.signing.seed().to_vec(),
            client: self.client.clone(),
            pins: self.pins,
            collectors: self.collectors.clone(),
            certificate: self.certificate.clone(),
            first_roster: self.first_roster.clone(),
        };
        dir.write(FILE, &codec::encode(&stored))
    }

    /// The name of what belongs to this identity alone and must not outlive it: its spool, its
    /// nonces, its count of time.
    #[must_use]
    pub fn own_dir_name(&self) -> String {
        format!("endpoint-{}", self.endpoint.short())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Identity {
        let signing = SigningKey::from_seed(&[5; 32]).unwrap();
        let authority = SigningKey::from_seed(&[1; 32]).unwrap().verifying();
        Identity {
            endpoint: EndpointId(signing.id().0),
            signing,
            client: "acme".parse().unwrap(),
            pins: Pins { authority, recovery: authority, ca: Hash::of(b"ca") },
            collectors: vec!["collector.example:7443".to_owned()],
            certificate: Certificate {
                key: vec![1],
                chain: vec![vec![2].into()],
                granted_secs: 100,
                valid_secs: 300,
            },
            first_roster: vec![3],
        }
    }

    #[test]
    fn an_identity_reads_back_as_it_was_stored() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path().join("state")).unwrap();
        assert!(matches!(Identity::load(&dir), Err(IdentityError::NotEnrolled(_))));
        let stored = sample();
        stored.store(&dir).unwrap();
        let read = Identity::load(&dir).unwrap();
        assert_eq!(read.endpoint, stored.endpoint);
        assert_eq!(read.signing.seed(), stored.signing.seed());
        assert_eq!((read.pins, read.client), (stored.pins, stored.client));
        assert_eq!(read.certificate, stored.certificate);
        assert_eq!(read.certificate.renew_at_secs(), 300);
    }

    #[test]
    fn a_damaged_identity_says_what_can_be_done() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path().join("state")).unwrap();
        dir.write(FILE, b"\x01").unwrap();
        let said = Identity::load(&dir).unwrap_err().to_string();
        assert!(said.contains("enroll --force"), "{said}");
    }

    #[test]
    fn secrets_do_not_print() {
        let printed = format!("{:?} {:?}", sample(), sample().certificate);
        assert!(!printed.contains("5, 5") && !printed.contains("[1]"), "{printed}");
    }
}
