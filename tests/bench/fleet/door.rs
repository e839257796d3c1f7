//! The people's door while all this goes on: a person whose console lists endpoints again and again,
//! on one connection that stays, and how long each answer took by the collector's own clock.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cordon_agent::tls;
use cordon_packaging::clock::Stopwatch;
use cordon_packaging::fleet::Fleet;
use cordon_proto::id::Hash;
use cordon_tests::measure::workload;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

/// How long an answer may take before the benchmark gives up.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Between two questions of the person who lists.
const PAUSE: Duration = Duration::from_millis(25);

/// What is listed, in turn: as the console begins, at its largest, filtered, searched.
const LISTS: [&str; 4] = [
    "/endpoints",
    "/endpoints?limit=500&sort=seen&descending=true",
    "/endpoints?state=offline",
    "/endpoints?text=sim-00&limit=50",
];

/// A connection to the people's door with a session.
pub(crate) struct Door {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    token: String,
}

/// An answer, and how long it took.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// By the collector's clock, in milliseconds.
    pub(crate) server_ms: Option<f64>,
    /// As seen here, in milliseconds: with the way, and with this process's own work in between.
    pub(crate) seen_ms: f64,
}

impl Door {
    /// Opens it with the session that `cordon` keeps in a fleet's folder.
    pub(crate) fn open(fleet: &Fleet, pin: Hash) -> Result<Self> {
        let session = std::fs::read(fleet.operator().join("sessions/ann.json"))?;
        let session: Value = serde_json::from_slice(&session)?;
        let token = session["token"].as_str().context("the session has no token")?.to_owned();
        let door: SocketAddr = fleet.people_door();
        let stream = TcpStream::connect(door).with_context(|| format!("connecting to {door}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let name = ServerName::try_from("localhost")?;
        let connection = ClientConnection::new(tls::client(vec![pin], None)?, name)?;
        let stream = BufReader::new(StreamOwned::new(connection, stream));
        Ok(Self { stream, token })
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Answer> {
        self.ask("GET", path, b"")
    }

    /// The JSON that a path answers.
    pub(crate) fn json(&mut self, path: &str) -> Result<Value> {
        let Answer { status, body, .. } = self.get(path)?;
        ensure!(status == 200, "{path} answers {status}: {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Result<Answer> {
        self.ask("POST", path, body.to_string().as_bytes())
    }

    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        let watch = Stopwatch::start();
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = self.read().with_context(|| format!("the answer to {method} {path}"))?;
        answer.seen_ms = watch.elapsed().as_secs_f64() * 1000.0;
        Ok(answer)
    }

    fn read(&mut self) -> Result<Answer> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.context("no status")?;
        let (mut length, mut server_ms) = (0, None);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            let Some((name, value)) = line.split_once(':') else { break };
            match name {
                "content-length" => length = value.trim().parse()?,
                "server-timing" => {
                    let timing = value.split_once("dur=").context("a timing without a length")?;
                    server_ms = Some(timing.1.trim().parse()?);
                }
                "transfer-encoding" => bail!("an answer without a length"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, body, server_ms, seen_ms: 0.0 })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the connection ended");
        Ok(line.trim_end().to_owned())
    }
}

/// One list of endpoints, and how long it took.
pub(crate) struct Listed {
    pub(crate) phase: usize,
    pub(crate) server_ms: f64,
    pub(crate) seen_ms: f64,
}

/// Somebody who lists endpoints the whole time.
pub(crate) struct Person {
    phase: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Listed>>>,
}

impl Person {
    pub(crate) fn start(mut door: Door) -> Result<Self> {
        let (phase, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (now, end) = (Arc::clone(&phase), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("person".to_owned());
        let thread = thread.spawn(move || {
            let mut listed = Vec::new();
            for path in LISTS.iter().cycle() {
                if end.load(Ordering::Relaxed) {
                    break;
                }
                let phase = now.load(Ordering::Relaxed);
                let Answer { status, server_ms, seen_ms, body } = door.get(path)?;
                let said = String::from_utf8_lossy(&body);
                ensure!(status == 200, "{path} answers {status}: {said:.200}");
                let server_ms = server_ms.context("the collector does not tell its time")?;
                listed.push(Listed { phase, server_ms, seen_ms });
                workload::pause(PAUSE);
            }
            Ok(listed)
        })?;
        Ok(Self { phase, stop, thread })
    }

    /// What happens from now on belongs to another phase of the benchmark.
    pub(crate) fn enter(&self, phase: usize) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    /// Everything that was listed.
    pub(crate) fn end(self) -> Result<Vec<Listed>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
