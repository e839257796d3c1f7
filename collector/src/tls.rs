//! TLS of both doors: 1.3 only, ring, certificates of our own authority.
//!
//! An endpoint's certificate that has expired is accepted here and marked: it may renew, and
//! nothing else. Identity is the registered signing key; a certificate only proves the connection.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cordon_proto::id::{ClientId, EndpointId};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    ServerConnection, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::ca::{CLIENT_PREFIX, Ca, CaError, ServerCertificate};
use crate::clock::Clock;

/// What both ends of a connection derive from its handshake, to bind signatures to it.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-cordon-hello";

/// Its length.
const EXPORTER_BYTES: usize = 32;

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authority has no certificate for us.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The library refuses what it was given.
    #[error("cannot set TLS up: {0}")]
    Setup(#[from] Error),
    /// The root certificate is none.
    #[error("the root certificate cannot be used: {0}")]
    Root(webpki::Error),
}

/// The collector's own certificate; it is exchanged while connections come in.
#[derive(Debug)]
pub struct Identity {
    names: Vec<String>,
    current: RwLock<Arc<CertifiedKey>>,
}

/// Whom a client certificate names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The client whose intermediate issued it.
    pub client: ClientId,
    /// Whether its time is over (or has not come): it may renew, and nothing else.
    pub expired: bool,
}

impl Identity {
    /// Takes the certificate that the authority keeps or makes.
    pub fn new(ca: &Ca, names: &[String], now_secs: u64) -> Result<Self, TlsError> {
        let current = certified(ca.server_certificate(names, now_secs)?)?;
        Ok(Self { names: names.to_vec(), current: RwLock::new(Arc::new(current)) })
    }

    /// Renews the certificate if it is time; connections from now on get the new one.
    pub fn renew(&self, ca: &Ca, now_secs: u64) -> Result<(), TlsError> {
        let current = Arc::new(certified(ca.server_certificate(&self.names, now_secs)?)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// TLS of the agents' door: a certificate of ours is asked for and may be missing.
pub fn agents(
    ca: Arc<Ca>,
    identity: Arc<Identity>,
    clock: Clock,
) -> Result<ServerConfig, TlsError> {
    let anchor = anchor_from_trusted_cert(ca.root()).map_err(TlsError::Root)?.to_owned();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = EndpointVerifier { ca, anchor, provider: Arc::clone(&provider) };
    let builder = ServerConfig::builder_with_details(provider, Arc::new(Time(clock)))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier));
    Ok(without_resumption(builder.with_cert_resolver(identity)))
}

/// TLS of the people's door.
pub fn people(identity: Arc<Identity>, clock: Clock) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_details(provider, Arc::new(Time(clock)))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth();
    let mut config = without_resumption(builder.with_cert_resolver(identity));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// What signatures of this connection are bound to.
pub fn exporter(connection: &ServerConnection) -> Result<Vec<u8>, Error> {
    connection.export_keying_material(vec![0; EXPORTER_BYTES], EXPORTER_LABEL, None)
}

/// Whom the connection's client certificate names; none if it showed none.
#[must_use]
pub fn caller(connection: &ServerConnection, now_secs: u64) -> Option<Caller> {
    read_caller(connection.peer_certificates()?.first()?, now_secs)
}

fn read_caller(certificate: &[u8], now_secs: u64) -> Option<Caller> {
    let (_, read) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let endpoint = read.subject().iter_common_name().next()?.as_str().ok()?.parse().ok()?;
    let issuer = read.issuer().iter_common_name().next()?.as_str().ok()?;
    let client = issuer.strip_prefix(CLIENT_PREFIX)?.parse().ok()?;
    let now = i64::try_from(now_secs).ok()?;
    let validity = read.validity();
    let expired = now < validity.not_before.timestamp() || now > validity.not_after.timestamp();
    Some(Caller { endpoint, client, expired })
}

fn certified(server: ServerCertificate) -> Result<CertifiedKey, TlsError> {
    let provider = rustls::crypto::ring::default_provider();
    let key = PrivateKeyDer::Pkcs8(server.key);
    Ok(CertifiedKey::from_der(server.chain, key, &provider)?)
}

/// Resuming would skip the check of the client's certificate and cost memory per connection.
fn without_resumption(mut config: ServerConfig) -> ServerConfig {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}

#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.wall_secs())))
    }
}

/// Checks that an endpoint's certificate was issued by one of our intermediates.
#[derive(Debug)]
struct EndpointVerifier {
    ca: Arc<Ca>,
    anchor: TrustAnchor<'static>,
    provider: Arc<CryptoProvider>,
}

impl EndpointVerifier {
    fn check(&self, certificate: &CertificateDer<'_>, at: UnixTime) -> Result<(), webpki::Error> {
        let intermediates = self.ca.intermediates();
        let anchors = [self.anchor.clone()];
        let end_entity = EndEntityCert::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let usage = KeyUsage::client_auth();
        let path = end_entity.verify_for_usage(
            algorithms,
            &anchors,
            &intermediates,
            at,
            usage,
            None,
            None,
        );
        path.map(|_| ())
    }
}

impl ClientCertVerifier for EndpointVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let refused = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        if self.check(end_entity, now).is_ok() {
            return Ok(ClientCertVerified::assertion());
        }
        // Everything but the time must be right: it is checked as of its beginning or its end.
        let (_, read) = x509_parser::parse_x509_certificate(end_entity).ok().ok_or_else(refused)?;
        let validity = read.validity();
        for moment in [validity.not_before, validity.not_after] {
            let secs = u64::try_from(moment.timestamp()).unwrap_or_default();
            let at = UnixTime::since_unix_epoch(Duration::from_secs(secs));
            if self.check(end_entity, at).is_ok() {
                return Ok(ClientCertVerified::assertion());
            }
        }
        Err(refused())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
