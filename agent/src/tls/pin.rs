//! Trusts exactly the servers whose certificate a pinned root has issued itself.

use std::sync::Arc;

use cordon_proto::id::Hash;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerIncompatible, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

/// Why a server is not the collector.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// Another root, or none.
    #[error(
        "the server's root certificate is not the one this endpoint trusts (it shows {shown}, \
         pinned is {pinned}); this is not the collector, or its certificate authority was replaced"
    )]
    Root {
        /// What the server shows.
        shown: String,
        /// What would do.
        pinned: String,
    },
    /// The pinned root is shown, and has not issued the server's certificate.
    #[error("the server's certificate was not issued by the pinned root: {0}")]
    Chain(webpki::Error),
}

/// Validity times that may be stepped over in one chain: two for each certificate in it.
const TIMES_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct Verifier {
    pins: Vec<Hash>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(super) fn new(pins: Vec<Hash>, provider: Arc<CryptoProvider>) -> Self {
        Self { pins, provider }
    }

    /// The root must have issued the server's certificate itself: its intermediates issue those of
    /// endpoints, and no endpoint is a collector.
    fn check(
        &self,
        server: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), PinError> {
        let root = others.iter().find(|der| self.pins.contains(&Hash::of(der)));
        let root = root.ok_or_else(|| PinError::Root {
            shown: others.last().map_or_else(|| "none".to_owned(), |der| Hash::of(der).short()),
            pinned: self.pins.iter().map(Hash::short).collect::<Vec<_>>().join(" or "),
        })?;
        let anchor = webpki::anchor_from_trusted_cert(root).map_err(PinError::Chain)?;
        let server = EndEntityCert::try_from(server).map_err(PinError::Chain)?;
        self.at_any_time(&server, &[anchor], now).map_err(PinError::Chain)
    }

    /// A refusal for the time only is asked again at a time that would do.
    fn at_any_time(
        &self,
        server: &EndEntityCert<'_>,
        anchors: &[TrustAnchor<'_>],
        mut time: UnixTime,
    ) -> Result<(), webpki::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let mut last = webpki::Error::InvalidCertValidity;
        for _ in 0..TIMES_MAX {
            let usage = KeyUsage::server_auth();
            match server.verify_for_usage(algorithms, anchors, &[], time, usage, None, None) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
            if let webpki::Error::CertExpired { not_after: would_do, .. }
            | webpki::Error::CertNotValidYet { not_before: would_do, .. } = &last
            {
                time = *would_do;
            } else {
                break;
            }
        }
        Err(last)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.check(server, others, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) => Err(CertificateError::Other(OtherError(Arc::new(error))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _server: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, server, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
