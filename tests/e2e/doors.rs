//! Whoever knocks on the doors with nonsense, or as somebody else: told so where a sentence can be
//! told, and no harm to those who behave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cordon_agent::identity::{Identity, StateDir};
use cordon_agent::link::dial::{Dialed, Dialer};
use cordon_agent::tls;
use cordon_collector::clock::Clock;
use cordon_packaging::fleet::Fleet;
use cordon_packaging::stage::COLLECTOR;
use cordon_proto::codec;
use cordon_proto::event::agent::Started;
use cordon_proto::event::{Body, Event, Lane, Severity};
use cordon_proto::id::{EndpointId, Hash};
use cordon_proto::limits;
use cordon_proto::message::{
    AgentMessage, CollectorMessage, EnrolAnswer, Hello, RefusalReason, Signed,
};
use cordon_proto::roster::RosterRef;
use cordon_proto::sign::batch::{self, Place};
use cordon_proto::sign::document::{self, Kind};
use cordon_proto::version::{ENROL_PATH, PROTOCOL, PROTOCOL_OLDEST, SESSION_PATH};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::Message;

use crate::scene::{
    DB, PATIENCE, WEB, await_lines, await_some, endpoint_id, fleet_of_one, join, write_lines,
};

/// How long an answer to nonsense may take before it counts as none.
const ANSWER_MAX: Duration = Duration::from_secs(15);

const NONSENSE: [&[u8]; 4] = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\xff\xff\x01\x00\xff\xfb nonsense in the shape of a TLS record",
    &[0xff; 4096],
    b"",
];

pub(crate) fn garbage() -> Result<()> {
    let fleet = fleet_of_one()?;
    let agents: SocketAddr = format!("{}:7443", COLLECTOR.v4).parse()?;
    let namespace = fleet.namespace(DB)?;
    for nonsense in NONSENSE {
        namespace.run(|| hung_up_on(agents, nonsense))??;
        hung_up_on(fleet.people_door(), nonsense)?;
    }
    let anyone = tls::client(vec![pin(&fleet)?], None)?;
    for request in [
        &b"nonsense where a request should be\r\n\r\n"[..],
        b"GET /v1/session HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/v1/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{",
        b"POST /api/v1/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: nonsense\r\n\r\n{",
        b"GET /api/v1/endpoints HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        namespace.run(|| refused_inside(agents, &anyone, request))??;
        refused_inside(fleet.people_door(), &anyone, request)?;
    }
    enrol_nonsense(&fleet)?;
    // Those who behave have noticed nothing.
    fleet.cordon(&["client", "list"])?;
    let lines = write_lines(&fleet, WEB, "after-garbage", 0..20)?;
    await_lines(&fleet, WEB, &lines)?;
    ensure!(fleet.endpoint_json(WEB)?["state"] == "online", "the honest agent is offline");
    Ok(())
}

/// Sends bytes to a door; it must hang up, with or without a word.
fn hung_up_on(door: SocketAddr, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&door, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(bytes)?;
    // Nonsense is all it will get.
    stream.shutdown(std::net::Shutdown::Write)?;
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{door} neither answers nor hangs up")),
    }
}

/// The same inside TLS; an answer must be a refusal.
fn refused_inside(
    door: SocketAddr,
    config: &Arc<rustls::ClientConfig>,
    request: &[u8],
) -> Result<()> {
    let name = ServerName::try_from("localhost")?;
    let connection = rustls::ClientConnection::new(Arc::clone(config), name)?;
    let stream = TcpStream::connect_timeout(&door, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let mut stream = rustls::StreamOwned::new(connection, stream);
    stream.write_all(request)?;
    let mut answer = [0; 512];
    let read = match stream.read(&mut answer) {
        Ok(read) => read,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            bail!("{door} says nothing to {:?}", String::from_utf8_lossy(request))
        }
        // Hung up without a goodbye.
        Err(_) => 0,
    };
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    let refuses = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
    ensure!(refuses, "{door} answers {:?} with {answer}", String::from_utf8_lossy(request));
    Ok(())
}

fn pin(fleet: &Fleet) -> Result<Hash> {
    Ok(identity(fleet, WEB)?.pins.ca)
}

fn identity(fleet: &Fleet, name: &str) -> Result<Identity> {
    Ok(Identity::load(&StateDir::open(fleet.agent_state(name))?)?)
}

/// Runs a conversation with the agents' door from an endpoint's namespace.
fn converse<T: Send>(
    fleet: &Fleet,
    name: &str,
    path: &'static str,
    known: Option<&Identity>,
    talk: impl AsyncFnOnce(Dialed) -> Result<T> + Send,
) -> Result<T> {
    let tls = tls::client(vec![pin(fleet)?], known.map(|identity| &identity.certificate))?;
    let collectors = vec![format!("{}:7443", COLLECTOR.v4)];
    let dialer = Dialer { collectors, proxy: None, known: Vec::new(), tls, prepare: None };
    fleet.namespace(name)?.run(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let talk = async { talk(dialer.dial(path).await?).await };
            tokio::time::timeout(PATIENCE, talk).await.context("the door says nothing")?
        })
    })?
}

/// The next binary message; none once the connection has ended.
async fn hear(dialed: &mut Dialed) -> Option<Vec<u8>> {
    loop {
        match dialed.socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return Some(bytes.to_vec()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_),
            )) => {}
        }
    }
}

async fn say(dialed: &mut Dialed, bytes: Vec<u8>) -> Result<()> {
    Ok(dialed.socket.send(Message::Binary(bytes.into())).await?)
}

fn enrol_nonsense(fleet: &Fleet) -> Result<()> {
    let sentence = converse(fleet, DB, ENROL_PATH, None, async |mut dialed: Dialed| {
        say(&mut dialed, vec![0xff; 100]).await?;
        let answer = hear(&mut dialed).await.context("no answer to nonsense")?;
        match codec::decode_strict(&answer)? {
            EnrolAnswer::Refused { sentence } => Ok(sentence),
            EnrolAnswer::Granted { .. } => bail!("nonsense was let in"),
        }
    })?;
    let expected = "the request is not a signed document of this protocol";
    ensure!(sentence.starts_with(expected), "{sentence}");
    converse(fleet, DB, ENROL_PATH, None, async |mut dialed: Dialed| {
        // The other end may hang up before all of it is written.
        drop(say(&mut dialed, vec![0; limits::MESSAGE_BYTES_MAX + 1]).await);
        ensure!(hear(&mut dialed).await.is_none(), "a message over the limit was answered");
        Ok(())
    })
}

pub(crate) fn impostor() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    join(&mut fleet, DB)?;
    let honest = endpoint_id(&fleet, WEB)?;
    // From here on the test has all that this endpoint's agent had.
    fleet.stop_agent(DB)?;
    fleet.wait_for_state(DB, "offline", PATIENCE)?;
    let thief = identity(&fleet, DB)?;

    let sentence = converse(&fleet, DB, SESSION_PATH, Some(&thief), async |mut dialed: Dialed| {
        let hello = Hello { endpoint: honest, ..hello(&thief) };
        greet(&mut dialed, &thief, &hello).await?;
        complaint(&mut dialed).await
    })?;
    ensure!(sentence.contains("and your certificate is that of"), "{sentence}");

    let reason = converse(&fleet, DB, SESSION_PATH, Some(&thief), async |mut dialed: Dialed| {
        greet(&mut dialed, &thief, &hello(&thief)).await?;
        welcomed(&mut dialed).await?;
        let batch = sealed(&thief, honest)?;
        say(&mut dialed, AgentMessage::Batch(batch).encode()).await?;
        refusal(&mut dialed).await
    })?;
    ensure!(reason.0 == RefusalReason::Invalid, "{reason:?}");
    ensure!(reason.1.contains("another endpoint's"), "{reason:?}");

    let reason = converse(&fleet, DB, SESSION_PATH, Some(&thief), async |mut dialed: Dialed| {
        greet(&mut dialed, &thief, &hello(&thief)).await?;
        welcomed(&mut dialed).await?;
        let batch = sealed(&thief, thief.endpoint)?;
        say(&mut dialed, AgentMessage::Batch(batch).encode()).await?;
        refusal(&mut dialed).await
    })?;
    ensure!(reason.0 == RefusalReason::BrokenChain, "{reason:?}");

    let lines = write_lines(&fleet, WEB, "after-impostor", 0..20)?;
    await_lines(&fleet, WEB, &lines)?;
    // Its own agent goes on where it was, as if nobody had spoken for it.
    fleet.start_agent(DB)?;
    let lines = write_lines(&fleet, DB, "itself-again", 0..20)?;
    await_lines(&fleet, DB, &lines)?;
    await_some("it is online", || Ok((fleet.endpoint_json(DB)?["state"] == "online").then_some(())))
}

fn hello(thief: &Identity) -> Hello {
    Hello {
        protocol: PROTOCOL,
        protocol_oldest: PROTOCOL_OLDEST,
        endpoint: thief.endpoint,
        client: thief.client.clone(),
        agent_version: "0".to_owned(),
        host_name: DB.to_owned(),
        os: "e2e".to_owned(),
        kernel: "e2e".to_owned(),
        machine_id: "e2e".to_owned(),
        boot_id: "e2e".to_owned(),
        time_ns: Clock::system().wall_ns(),
        roster: RosterRef::default(),
    }
}

async fn greet(dialed: &mut Dialed, thief: &Identity, hello: &Hello) -> Result<()> {
    let bytes = document::sign(Kind::Hello, hello, &dialed.exporter, &thief.signing);
    say(dialed, AgentMessage::Hello(Signed { bytes }).encode()).await
}

/// A batch far ahead of anything that its lane has stored.
fn sealed(thief: &Identity, endpoint: EndpointId) -> Result<batch::Batch> {
    let seq = 1 << 40;
    let body = Body::Lifecycle(Started {
        agent_version: "0".to_owned(),
        boot_id: "e2e".to_owned(),
        boot_count: 1,
        unclean: false,
    });
    let event = Event { seq, time_ns: 1, boot_ns: 1, severity: Severity::Informational, body };
    let previous = Hash::of(b"nothing");
    let place =
        Place { endpoint, lane: Lane::Control, epoch: 1, first: seq, previous, cause: None };
    Ok(batch::seal(place, &[codec::encode(&event)], 1, &thief.signing)?.0)
}

async fn next(dialed: &mut Dialed) -> Result<CollectorMessage> {
    let bytes = hear(dialed).await.context("the collector hung up without a word")?;
    Ok(CollectorMessage::decode(&bytes)?)
}

async fn welcomed(dialed: &mut Dialed) -> Result<()> {
    let answer = next(dialed).await?;
    ensure!(matches!(answer, CollectorMessage::Welcome(_)), "not welcomed: {answer:?}");
    Ok(())
}

async fn complaint(dialed: &mut Dialed) -> Result<String> {
    let answer = next(dialed).await?;
    let CollectorMessage::Complaint(complaint) = answer else { bail!("no complaint: {answer:?}") };
    Ok(complaint.sentence)
}

/// The refusal of a batch; a roster may come before it.
async fn refusal(dialed: &mut Dialed) -> Result<(RefusalReason, String)> {
    loop {
        let answer = next(dialed).await?;
        if let CollectorMessage::Refusal(refusal) = answer {
            return Ok((refusal.reason, refusal.sentence));
        }
        let harmless = matches!(answer, CollectorMessage::Roster(_) | CollectorMessage::Ping(_));
        ensure!(harmless, "not refused: {answer:?}");
    }
}
