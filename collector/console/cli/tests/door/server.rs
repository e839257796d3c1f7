//! A TLS server on loopback that answers what a test wants, one thread a connection.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use cordon_proto::id::Hash;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// What is wrong with the server's certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Certificate {
    Good,
    Expired,
    NotYet,
    OtherName,
    /// Beside the pinned root, but not issued by it.
    OtherIssuer,
}

/// A request as it came.
pub(crate) struct Request {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// A status and a body.
pub(crate) struct Reply(pub(crate) u16, pub(crate) Value);

/// A running server. Its threads end with the test's process.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) pin: Hash,
    paths: Arc<Mutex<Vec<String>>>,
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

impl Server {
    pub(crate) fn start(
        certificate: Certificate,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (config, pin) = identity(certificate);
        let (config, answer): (_, Arc<Answer>) = (Arc::new(config), Arc::new(answer));
        // The name of loopback may be either address; a client tries both.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let paths = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&paths);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (config, answer) = (Arc::clone(&config), Arc::clone(&answer));
                let seen = Arc::clone(&seen);
                thread::spawn(move || serve(stream.unwrap(), config, answer.as_ref(), &seen));
            }
        });
        Self { address, pin, paths }
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.paths.lock().unwrap().clone()
    }
}

fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn identity(certificate: Certificate) -> (ServerConfig, Hash) {
    let (root, other) = (issuer("root"), issuer("other"));
    let name =
        if certificate == Certificate::OtherName { "elsewhere.example" } else { "localhost" };
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if certificate == Certificate::Expired {
        params.not_after = date_time_ymd(2001, 1, 1);
        params.not_before = date_time_ymd(2000, 1, 1);
    }
    if certificate == Certificate::NotYet {
        params.not_before = date_time_ymd(2999, 1, 1);
    }
    let by = if certificate == Certificate::OtherIssuer { &other } else { &root };
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, by).unwrap();
    let root = root.as_ref().der().clone();
    let pin = Hash::of(&root);
    let chain: Vec<CertificateDer<'static>> = vec![leaf.der().clone(), root];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (config, pin)
}

/// Answers one connection's requests until the other end is gone.
fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    answer: &Answer,
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let connection = ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let request = read(&mut stream)?;
        seen.lock().unwrap().push(request.path.clone());
        let Reply(status, body) = answer(&request);
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all((head + &body).as_bytes()).ok()?;
        stream.get_mut().flush().ok()?;
    }
}

fn read(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut request = Request { path, headers, body: Vec::new() };
    let length = request.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}
