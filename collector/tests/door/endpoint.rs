//! An endpoint driven by hand: its keys, its certificate, its connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cordon_collector::clock::Clock;
use cordon_proto::codec;
use cordon_proto::event::process::{Exec, ProcessEvent, Tier};
use cordon_proto::event::{Body, Event, Lane, Severity};
use cordon_proto::id::{ClientId, EndpointId, Hash};
use cordon_proto::message::{
    AgentMessage, CollectorMessage, EnrolAnswer, EnrolRequest, Hello, Signed, Welcome,
};
use cordon_proto::roster::RosterRef;
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::batch::{self, Batch, Place};
use cordon_proto::sign::document::{self, Kind};
use futures_util::{SinkExt, StreamExt};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::stage::Stage;

/// How long anything may take before a test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Socket = WebSocketStream<TlsStream<TcpStream>>;

pub(crate) struct Endpoint {
    pub(crate) key: SigningKey,
    pub(crate) client: ClientId,
    pub(crate) machine_id: String,
    pub(crate) boot_id: String,
    pub(crate) roster: RosterRef,
    pub(crate) chain: Vec<Vec<u8>>,
    tls: rcgen::KeyPair,
}

/// A websocket and what signatures on it are bound to.
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) exporter: Vec<u8>,
}

impl Endpoint {
    pub(crate) fn new(seed: u8, client: &ClientId) -> Self {
        Self {
            key: SigningKey::from_seed(&[seed; 32]).unwrap(),
            client: client.clone(),
            machine_id: format!("machine-{seed}"),
            boot_id: "boot-1".to_owned(),
            roster: RosterRef { version: 1, hash: Hash::default() },
            chain: Vec::new(),
            tls: rcgen::KeyPair::generate().unwrap(),
        }
    }

    /// An endpoint that has enrolled with a token of its own.
    pub(crate) async fn enrolled(seed: u8, client: &ClientId, stage: &Stage) -> Self {
        let mut endpoint = Self::new(seed, client);
        let secret = stage.token(&[seed; 16], client, 1, 60);
        match endpoint.enrol(stage, Some(secret)).await {
            EnrolAnswer::Granted { .. } => endpoint,
            EnrolAnswer::Refused { sentence } => panic!("{sentence}"),
        }
    }

    pub(crate) fn id(&self) -> EndpointId {
        EndpointId(self.key.id().0)
    }

    pub(crate) fn request(&self, token: Option<Vec<u8>>) -> EnrolRequest {
        let params = rcgen::CertificateParams::new(vec![]).unwrap();
        EnrolRequest {
            signing_key: self.key.verifying(),
            csr: params.serialize_request(&self.tls).unwrap().der().to_vec(),
            client: self.client.clone(),
            host_name: "web-01".to_owned(),
            machine_id: self.machine_id.clone(),
            token,
        }
    }

    /// Asks for a certificate and keeps it.
    pub(crate) async fn enrol(&mut self, stage: &Stage, token: Option<Vec<u8>>) -> EnrolAnswer {
        let mut connection = self.dial(stage, "/v1/enrol", None).await.unwrap();
        let request = self.request(token);
        let signed = document::sign(Kind::Enrol, &request, &connection.exporter, &self.key);
        let answer: EnrolAnswer = codec::decode_strict(&connection.ask(signed).await).unwrap();
        if let EnrolAnswer::Granted { chain, .. } = &answer {
            self.chain = chain.iter().map(|certificate| certificate.bytes.clone()).collect();
        }
        answer
    }

    /// Opens a websocket, showing the certificate if there is one.
    pub(crate) async fn dial(
        &self,
        stage: &Stage,
        path: &str,
        subprotocol: Option<&'static str>,
    ) -> Result<Connection, tungstenite::Error> {
        let stream = self.tls(stage, stage.agents).await?;
        let exporter = vec![0; 32];
        let (_, tls) = stream.get_ref();
        let label = b"EXPORTER-cordon-hello";
        let exporter = tls.export_keying_material(exporter, label, None).unwrap();
        let mut request = format!("wss://localhost{path}").into_client_request()?;
        if let Some(name) = subprotocol {
            let name = HeaderValue::from_static(name);
            request.headers_mut().insert("Sec-WebSocket-Protocol", name);
        }
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Connection { socket, exporter })
    }

    pub(crate) async fn tls(
        &self,
        stage: &Stage,
        address: SocketAddr,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.tls_over(stage, TcpStream::connect(address).await?).await
    }

    /// Greets over a connection that stands.
    pub(crate) async fn tls_over(
        &self,
        stage: &Stage,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(stage.collector.ca.root().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let time = Arc::new(Time(stage.clock.clone()));
        let builder = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let config = if self.chain.is_empty() {
            builder.with_no_client_auth()
        } else {
            let chain = self.chain.iter().cloned().map(CertificateDer::from).collect();
            let key = PrivateKeyDer::try_from(self.tls.serialize_der()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        };
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    pub(crate) fn hello(&self, stage: &Stage) -> Hello {
        Hello {
            protocol: 1,
            protocol_oldest: 1,
            endpoint: self.id(),
            client: self.client.clone(),
            agent_version: "0.1.0".to_owned(),
            host_name: "web-01".to_owned(),
            os: "Debian 13".to_owned(),
            kernel: "6.18".to_owned(),
            machine_id: self.machine_id.clone(),
            boot_id: self.boot_id.clone(),
            time_ns: stage.clock.wall_ns() + 5_000,
            roster: self.roster,
        }
    }

    /// Opens a session and says hello.
    pub(crate) async fn session(&self, stage: &Stage) -> (Connection, Welcome) {
        let mut connection = self.dial(stage, "/v1/session", Some("cordon.v1")).await.unwrap();
        let hello = self.hello(stage);
        match connection.greet(&hello, &self.key).await {
            CollectorMessage::Welcome(welcome) => (connection, welcome),
            other => panic!("{other:?}"),
        }
    }

    /// The first batch of a lane's epoch, or the one after `previous`.
    pub(crate) fn seal(&self, lane: Lane, first: u64, previous: Hash, count: u64) -> (Batch, Hash) {
        let exec = Exec { image: Some("/usr/bin/true".into()), ..Exec::new(Tier::Bpf, 7) };
        let body = Body::Process(ProcessEvent::Exec(Box::new(exec)));
        let events: Vec<Vec<u8>> = (first..first + count)
            .map(|seq| {
                let severity = Severity::Informational;
                codec::encode(&Event {
                    seq,
                    time_ns: seq,
                    boot_ns: 0,
                    severity,
                    body: body.clone(),
                })
            })
            .collect();
        let endpoint = self.id();
        let place = Place { endpoint, lane, epoch: 1, first, previous, cause: None };
        batch::seal(place, &events, 1, &self.key).unwrap()
    }
}

impl Connection {
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::Binary(bytes.into())).await.unwrap();
    }

    /// The next binary message; none once the connection has ended.
    pub(crate) async fn hear(&mut self) -> Option<Vec<u8>> {
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.next()).await.unwrap() {
                Some(Ok(Message::Binary(bytes))) => return Some(bytes.to_vec()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub(crate) async fn ask(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        self.send(bytes).await;
        self.hear().await.unwrap()
    }

    pub(crate) async fn message(&mut self) -> Option<CollectorMessage> {
        self.hear().await.map(|bytes| CollectorMessage::decode(&bytes).unwrap())
    }

    pub(crate) async fn greet(&mut self, hello: &Hello, key: &SigningKey) -> CollectorMessage {
        let bytes = document::sign(Kind::Hello, hello, &self.exporter, key);
        self.send(AgentMessage::Hello(Signed { bytes }).encode()).await;
        self.message().await.unwrap()
    }

    pub(crate) async fn batch(&mut self, batch: Batch) -> CollectorMessage {
        self.send(AgentMessage::Batch(batch).encode()).await;
        self.message().await.unwrap()
    }
}

#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.wall_secs())))
    }
}
