//! A collector's door on the loopback for tests: its certificates, and one connection at a time.

use std::net::SocketAddr;
use std::sync::Arc;

use cordon_proto::id::{EndpointId, Hash};
use minicbor::bytes::ByteVec;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::identity::Certificate;
use crate::tls;

pub(crate) type Accepted = WebSocketStream<TlsStream<TcpStream>>;

/// A certificate authority as a collector has it.
pub(crate) struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    /// Issues endpoints' certificates.
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = named("root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, key()).unwrap();
        let mut params = named("acme");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let intermediate = CertifiedIssuer::signed_by(params, key(), &root).unwrap();
        Self { root, intermediate }
    }

    fn root_der(&self) -> CertificateDer<'static> {
        self.root.as_ref().der().clone()
    }

    pub(crate) fn pin(&self) -> Hash {
        Hash::of(&self.root_der())
    }

    /// Settings of a door whose certificate is good in these years.
    pub(crate) fn door(&self, years: (i32, i32), ask_certificate: bool) -> Arc<ServerConfig> {
        let mut params = named("collector");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = key();
        let leaf = params.signed_by(&key, &self.root).unwrap();
        self.config(vec![leaf.der().clone(), self.root_der()], &key, ask_certificate)
    }

    /// Settings of a door that shows an endpoint's certificate as if it were the collector's.
    pub(crate) fn endpoint_as_door(&self) -> Arc<ServerConfig> {
        let key = key();
        let leaf = named("collector").signed_by(&key, &self.intermediate).unwrap();
        let intermediate = self.intermediate.as_ref().der().clone();
        self.config(vec![leaf.der().clone(), intermediate, self.root_der()], &key, false)
    }

    fn config(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &KeyPair,
        ask_certificate: bool,
    ) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap();
        let builder = if ask_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(self.root_der()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider());
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Arc::new(builder.with_single_cert(chain, key.into()).unwrap())
    }

    /// The chain that answers a request for a certificate.
    pub(crate) fn grant(&self, csr: &[u8]) -> Vec<Vec<u8>> {
        let csr = CertificateSigningRequestDer::from(csr);
        let request = CertificateSigningRequestParams::from_der(&csr).unwrap();
        let leaf = request.signed_by(&self.intermediate).unwrap();
        vec![leaf.der().to_vec(), self.intermediate.as_ref().der().to_vec()]
    }

    /// A certificate of an endpoint.
    pub(crate) fn endpoint(&self, endpoint: EndpointId) -> Certificate {
        let key = key();
        let mut params = named(&endpoint.to_string());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(&key, &self.intermediate).unwrap();
        let chain = [leaf.der(), self.intermediate.as_ref().der()];
        let chain = chain.map(|der| ByteVec::from(der.to_vec())).to_vec();
        Certificate { key: key.serialize_der(), chain, granted_secs: 0, valid_secs: 3600 }
    }
}

/// A listener on the loopback and its address as text.
pub(crate) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Takes one connection as far as the websocket; answers it with its path and exporter.
pub(crate) async fn accept(
    listener: &TcpListener,
    config: Arc<ServerConfig>,
) -> std::io::Result<(Accepted, String, [u8; 32])> {
    let (stream, _) = listener.accept().await?;
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let exporter = stream.get_ref().1.export_keying_material([0; 32], tls::EXPORTER_LABEL, None);
    let exporter = exporter.unwrap();
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the library wants the callback so")]
    let look = |request: &Request, mut response: Response| {
        request.uri().path().clone_into(&mut path);
        if let Some(protocol) = request.headers().get("sec-websocket-protocol") {
            response.headers_mut().insert("sec-websocket-protocol", protocol.clone());
        }
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap();
    Ok((socket, path, exporter))
}
