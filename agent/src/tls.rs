//! TLS as the agent speaks it: version 1.3 only, one pinned root, and no trust in the wall clock.
//!
//! A collector is known by its root certificate's hash and by nothing else: not by its name, since
//! collectors move, and not by the time, since an endpoint's clock may be ten years off.

mod pin;

use std::io;
use std::sync::Arc;

use cordon_proto::id::Hash;
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms, ring,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use rustls::{AlertDescription, CertificateError, ClientConfig, SignatureScheme};

use crate::identity::Certificate;

pub use pin::PinError;

/// The label under which both ends derive what a hello is signed over.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-cordon-hello";

/// How much of it.
pub const EXPORTER_BYTES: usize = 32;

/// The provider, named wherever one is needed, so that a dependency cannot bring another. It has
/// what certificates of a collector's own authority use and nothing else: no RSA, which would be a
/// hundredth of the program and is a door less.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: ring::ALL_CIPHER_SUITES.to_vec(),
        kx_groups: vec![ring::kx_group::X25519, ring::kx_group::SECP256R1],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Ring,
        key_provider: &Ring,
    })
}

static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::ring::ECDSA_P256_SHA256, webpki::ring::ED25519],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[webpki::ring::ECDSA_P256_SHA256]),
        (SignatureScheme::ED25519, &[webpki::ring::ED25519]),
    ],
};

#[derive(Debug)]
struct Ring;

impl SecureRandom for Ring {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        use ::ring::rand::{SecureRandom as _, SystemRandom};
        SystemRandom::new().fill(bytes).map_err(|_unspecified| GetRandomFailed)
    }
}

impl KeyProvider for Ring {
    fn load_private_key(
        &self,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        ring::sign::any_ecdsa_type(&key)
    }
}

/// Settings for connections to a collector with one of these roots; `certificate` is shown to it,
/// and is missing only while enrolling.
pub fn client(
    pins: Vec<Hash>,
    certificate: Option<&Certificate>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let verifier = Arc::new(pin::Verifier::new(pins, provider()));
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let chain = certificate.chain.iter().map(|der| CertificateDer::from(der.to_vec()));
            let key = PrivatePkcs8KeyDer::from(certificate.key.clone());
            builder.with_client_auth_cert(chain.collect(), key.into())?
        }
    };
    Ok(Arc::new(config))
}

/// What went wrong with a connection, for a person.
#[must_use]
pub fn sentence(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => {
            other.0.to_string()
        }
        Some(error) => format!("TLS failed: {error}"),
        None => error.to_string(),
    }
}

/// Whether the other end did not accept the certificate shown to it, or may not have: it ended the
/// connection where it would have said so.
#[must_use]
pub fn certificate_refused(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::AlertReceived(alert)) = inner else {
        let broken = [
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::UnexpectedEof,
        ];
        return broken.contains(&error.kind());
    };
    [
        AlertDescription::BadCertificate,
        AlertDescription::UnsupportedCertificate,
        AlertDescription::CertificateRevoked,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateUnknown,
        AlertDescription::UnknownCA,
        AlertDescription::CertificateRequired,
        AlertDescription::AccessDenied,
        AlertDescription::DecryptError,
    ]
    .contains(alert)
}
