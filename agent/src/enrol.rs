//! Joins an endpoint to a client: makes its keys, asks the collector for a certificate, checks the
//! roster that comes with it, and keeps the lot.
//!
//! The same request without a token renews the certificate: the registered signing key is the
//! identity, so that an expired certificate, or none, can always be mended.

use std::time::Duration;

use cordon_proto::codec;
use cordon_proto::id::{ClientId, EndpointId, Hash};
use cordon_proto::message::{EnrolAnswer, EnrolRequest};
use cordon_proto::roster::RosterRef;
use cordon_proto::sign::document::{self, Kind};
use cordon_proto::sign::{SignatureError, SigningKey};
use cordon_proto::token::EnrolmentString;
use cordon_proto::version::ENROL_PATH;
use futures_util::{SinkExt, StreamExt};
use minicbor::bytes::ByteVec;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::identity::{Certificate, Identity, Pins};
use crate::link::dial::{DialError, Dialer};
use crate::link::proxy::ProxyWay;
use crate::roster_keeper::{self, Held, RosterError};
use crate::{machine, tls};

/// How long the collector may take to answer: it counts the token on its disk and signs.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Why an endpoint did not enrol, or did not get a new certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// No key could be made.
    #[error("making the endpoint's keys failed: {0}")]
    Key(#[from] SignatureError),
    /// No TLS key could be made.
    #[error("making the endpoint's TLS key failed: {0}")]
    TlsKey(#[from] rcgen::Error),
    /// The TLS library will not have it so.
    #[error("the TLS settings are impossible: {0}")]
    Tls(rustls::Error),
    /// The collector cannot be reached, or is not the collector.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke.
    #[error("the connection to the collector broke before it answered: {0}")]
    Broken(#[from] Box<Error>),
    /// The collector said nothing.
    #[error("the collector has not answered within {} s", ANSWER_MAX.as_secs())]
    Silent,
    /// The collector said what is no answer.
    #[error("the collector's answer cannot be read (is it another version?): {0}")]
    Garbage(String),
    /// The collector said no.
    #[error("the collector refuses: {0}")]
    Refused(String),
    /// The certificate that was granted is none for this endpoint.
    #[error("the certificate that the collector granted cannot be used: {0}")]
    Certificate(rustls::Error),
    /// The roster that came along cannot be trusted.
    #[error("nothing was kept, because {0}")]
    Roster(#[from] RosterError),
}

/// What the collector grants.
#[derive(Debug)]
struct Granted {
    certificate: Certificate,
    roster: Vec<u8>,
}

/// Enrols with a string from `cordon token create`; the answer is to be stored by the caller.
pub async fn enrol(
    string: &EnrolmentString,
    proxy: Option<ProxyWay>,
) -> Result<(Identity, Held), EnrolError> {
    let signing = SigningKey::generate()?;
    let request = Request {
        signing: &signing,
        client: &string.client,
        endpoint: EndpointId(signing.id().0),
        token: Some(string.secret.clone()),
        pins: vec![string.ca_pin],
    };
    let collectors = string.collectors.clone();
    let granted = request.send(collectors.clone(), proxy, None).await?;
    let least = string.roster_min;
    let held = roster_keeper::verify(&granted.roster, &string.authority, &string.client, least)?;
    let EnrolmentString { authority, recovery, ca_pin: ca, .. } = *string;
    let identity = Identity {
        endpoint: request.endpoint,
        client: string.client.clone(),
        pins: Pins { authority, recovery, ca },
        collectors,
        certificate: granted.certificate,
        first_roster: granted.roster,
        signing,
    };
    Ok((identity, held))
}

/// Asks for a new certificate. `dialer` is the link's; `pins` are the roots trusted now.
pub async fn renew(
    signing: &SigningKey,
    endpoint: EndpointId,
    client: &ClientId,
    pins: Vec<Hash>,
    dialer: Dialer,
) -> Result<Certificate, EnrolError> {
    let request = Request { signing, client, endpoint, token: None, pins };
    let Dialer { collectors, proxy, .. } = dialer.clone();
    Ok(request.send(collectors, proxy, Some(dialer)).await?.certificate)
}

struct Request<'a> {
    signing: &'a SigningKey,
    client: &'a ClientId,
    endpoint: EndpointId,
    token: Option<Vec<u8>>,
    pins: Vec<Hash>,
}

impl Request<'_> {
    /// Sends the request over a connection that shows no certificate, so that it does not matter
    /// whether the one that there is would do.
    async fn send(
        &self,
        collectors: Vec<String>,
        proxy: Option<ProxyWay>,
        like: Option<Dialer>,
    ) -> Result<Granted, EnrolError> {
        let tls = tls::client(self.pins.clone(), None).map_err(EnrolError::Tls)?;
        let (known, prepare) = like.map_or((Vec::new(), None), |like| (like.known, like.prepare));
        let dialer = Dialer { collectors, proxy, known, tls, prepare };
        let (tls_key, csr) = tls_key(self.endpoint)?;
        let request = EnrolRequest {
            signing_key: self.signing.verifying(),
            csr,
            client: self.client.clone(),
            host_name: machine::host_name(),
            machine_id: machine::machine_id(),
            token: self.token.clone(),
        };
        let answer = timeout(ANSWER_MAX * 2, self.exchange(&dialer, &request));
        let answer = answer.await.map_err(|_elapsed| EnrolError::Silent)??;
        self.accept(answer, tls_key.serialize_der())
    }

    async fn exchange(
        &self,
        dialer: &Dialer,
        request: &EnrolRequest,
    ) -> Result<EnrolAnswer, EnrolError> {
        let mut dialed = dialer.dial(ENROL_PATH).await?;
        let bytes = document::sign(Kind::Enrol, request, &dialed.exporter, self.signing);
        dialed.socket.send(Message::binary(bytes)).await.map_err(Box::new)?;
        let answer = timeout(ANSWER_MAX, dialed.socket.next());
        let answer = answer.await.map_err(|_elapsed| EnrolError::Silent)?;
        let answer = answer.unwrap_or(Err(Error::ConnectionClosed)).map_err(Box::new)?;
        let Message::Binary(answer) = answer else {
            return Err(EnrolError::Garbage(format!("it is no binary message: {answer:.100}")));
        };
        let read = codec::decode_lenient(&answer);
        // A goodbye that is not heard takes nothing back of the answer.
        if let Err(error) = dialed.socket.close(None).await {
            tracing::debug!(%error, "the collector was gone before goodbye");
        }
        read.map_err(|error| EnrolError::Garbage(format!("it {error}")))
    }

    fn accept(&self, answer: EnrolAnswer, key: Vec<u8>) -> Result<Granted, EnrolError> {
        let (chain, roster, valid_secs) = match answer {
            EnrolAnswer::Granted { chain, roster, valid_secs } => (chain, roster, valid_secs),
            EnrolAnswer::Refused { sentence } => return Err(EnrolError::Refused(plain(&sentence))),
        };
        let chain = chain.into_iter().map(|der| ByteVec::from(der.bytes)).collect();
        // Endpoint time begins with the enrolment; a renewal's time is put in by its caller.
        let certificate = Certificate { key, chain, granted_secs: 0, valid_secs };
        // Also checks that the certificate is one for the key.
        tls::client(self.pins.clone(), Some(&certificate)).map_err(EnrolError::Certificate)?;
        Ok(Granted { certificate, roster: roster.bytes })
    }
}

/// A new key, and the request to certify it.
fn tls_key(endpoint: EndpointId) -> Result<(KeyPair, Vec<u8>), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, endpoint.to_string());
    let csr = params.serialize_request(&key)?;
    Ok((key, csr.der().to_vec()))
}

/// A collector's sentence goes to a terminal: one line, without control characters.
fn plain(sentence: &str) -> String {
    sentence.chars().filter(|c| !c.is_control()).take(500).collect()
}

/// Whether what a string asks for is what an endpoint already is.
#[must_use]
pub fn is_same(identity: &Identity, string: &EnrolmentString) -> bool {
    identity.client == string.client
        && identity.pins.ca == string.ca_pin
        && identity.pins.authority == string.authority
}

/// The roster that a stored identity began with, for showing.
pub fn first_roster(identity: &Identity) -> Result<Held, RosterError> {
    let (bytes, authority) = (&identity.first_roster, &identity.pins.authority);
    roster_keeper::verify(bytes, authority, &identity.client, RosterRef::default())
}

#[cfg(test)]
mod tests;
