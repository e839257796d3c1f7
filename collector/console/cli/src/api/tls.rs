//! TLS that trusts exactly one root: the one whose certificate has the pinned hash.
//!
//! The root must be among the certificates presented; the chain to it, the server's name and the
//! validity are then checked as usual, with that root as the only one.

use std::sync::Arc;

use cordon_proto::id::Hash;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};

/// The server presented other certificates than the pinned one.
#[derive(Debug, thiserror::Error)]
#[error("none of the {} certificates presented is the pinned root {}", presented.len(), pinned.short())]
pub(super) struct PinMismatch {
    /// SHA-256 of each certificate presented, the server's own first.
    pub(super) presented: Vec<Hash>,
    /// SHA-256 of the root that was expected.
    pub(super) pinned: Hash,
}

/// Settings for a client that talks to the pinned collector and to nobody else.
pub(super) fn pinned(pin: Hash) -> Result<ClientConfig, Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier = Arc::new(PinnedRoot { pin, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

#[derive(Debug)]
struct PinnedRoot {
    pin: Hash,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedRoot {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(root) = intermediates.iter().find(|der| Hash::of(der) == self.pin) else {
            let presented = std::iter::once(end_entity).chain(intermediates);
            let presented = presented.map(|der| Hash::of(der)).collect();
            let mismatch = PinMismatch { presented, pinned: self.pin };
            return Err(CertificateError::Other(OtherError(Arc::new(mismatch))).into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let provider = Arc::clone(&self.provider);
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
