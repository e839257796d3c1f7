//! Many endpoints in one process: each enrols through the collector's door, then streams what it
//! has over a connection of its own, driven by the very state machine that the agent uses.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cordon_agent::identity::Identity;
use cordon_agent::link::dial::{Dialer, Socket};
use cordon_agent::{clock, enrol, tls};
use cordon_packaging::clock::Stopwatch;
use cordon_proto::event::Lane;
use cordon_proto::message::{Hello, Signed};
use cordon_proto::roster::RosterRef;
use cordon_proto::session::{AgentEffect, AgentSession};
use cordon_proto::sign::document::{self, Kind};
use cordon_proto::token::EnrolmentString;
use cordon_proto::version::{PROTOCOL, PROTOCOL_OLDEST, SESSION_PATH};
use futures_util::future::try_join_all;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::Barrier;
use tokio_tungstenite::tungstenite::Message;

use crate::batches::Stock;

/// How long the collector may be silent before the benchmark gives up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// An endpoint that has enrolled.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) number: u32,
    pub(crate) identity: Identity,
    roster: RosterRef,
}

/// Enrols so many, in the network namespace of the caller.
pub(crate) fn enrol(token: &str, count: u32) -> Result<Vec<Endpoint>> {
    let token = EnrolmentString::from_text(token)?;
    block_on(async {
        let mut endpoints = Vec::new();
        for number in 0..count {
            let enrolled = enrol::enrol(&token, None).await;
            let (identity, held) = enrolled.with_context(|| format!("endpoint {number}"))?;
            endpoints.push(Endpoint { number, identity, roster: held.reference });
        }
        Ok(endpoints)
    })
}

/// Streams everything; how long it took from the moment when all were let in until the last batch
/// was acknowledged.
pub(crate) fn stream(token: &str, endpoints: &[Endpoint], stocks: &[Stock]) -> Result<Duration> {
    let token = EnrolmentString::from_text(token)?;
    block_on(async {
        let all_live = Barrier::new(endpoints.len());
        let each = endpoints.iter().zip(stocks);
        let each = each.map(|(endpoint, stock)| one(&token, endpoint, stock, &all_live));
        let times = try_join_all(each).await?;
        times.into_iter().max().context("there is no endpoint")
    })
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}

async fn one(
    token: &EnrolmentString,
    endpoint: &Endpoint,
    stock: &Stock,
    all_live: &Barrier,
) -> Result<Duration> {
    let Endpoint { number, identity, .. } = endpoint;
    let dialer = Dialer {
        collectors: token.collectors.clone(),
        proxy: None,
        known: Vec::new(),
        tls: tls::client(vec![identity.pins.ca], Some(&identity.certificate))?,
        prepare: None,
    };
    let dialed = dialer.dial(SESSION_PATH).await.with_context(|| format!("endpoint {number}"))?;
    let hello = hello(endpoint);
    let bytes = document::sign(Kind::Hello, &hello, &dialed.exporter, &identity.signing);
    let watch = Stopwatch::start();
    let key = identity.signing.verifying();
    let session = AgentSession::new(Signed { bytes }, key, Vec::new(), watch.elapsed());
    let mut wire = Wire { socket: dialed.socket, session, watch };
    wire.run(stock, all_live).await.with_context(|| format!("endpoint {number}"))
}

fn hello(endpoint: &Endpoint) -> Hello {
    let Endpoint { number, identity, roster } = endpoint;
    Hello {
        protocol: PROTOCOL,
        protocol_oldest: PROTOCOL_OLDEST,
        endpoint: identity.endpoint,
        client: identity.client.clone(),
        agent_version: "benchmark".to_owned(),
        host_name: format!("sim-{number}"),
        os: "Linux".to_owned(),
        kernel: "simulated".to_owned(),
        machine_id: format!("{number:032x}"),
        boot_id: format!("00000000-0000-4000-8000-{number:012x}"),
        time_ns: clock::stamp().time_ns,
        roster: *roster,
    }
}

struct Wire {
    socket: Socket,
    session: AgentSession,
    watch: Stopwatch,
}

impl Wire {
    async fn run(&mut self, stock: &Stock, all_live: &Barrier) -> Result<Duration> {
        let mut streaming = None;
        loop {
            while let Some(effect) = self.session.poll_effect() {
                match effect {
                    AgentEffect::Send(bytes) => {
                        self.socket.feed(Message::Binary(bytes.into())).await?;
                    }
                    AgentEffect::Live { .. } => {
                        all_live.wait().await;
                        streaming = Some(Stopwatch::start());
                    }
                    AgentEffect::Fetch { lane: Lane::Control, .. } => {
                        self.session.handle_batches(Lane::Control, Vec::new());
                    }
                    AgentEffect::Fetch { lane: Lane::Telemetry, after, batches_max, bytes_max } => {
                        let batches = stock.after(after, batches_max, bytes_max);
                        self.session.handle_batches(Lane::Telemetry, batches);
                    }
                    AgentEffect::Forget { lane: Lane::Telemetry, upto } if upto == stock.end() => {
                        let streaming = streaming.context("acknowledged before it began")?;
                        let took = streaming.elapsed();
                        self.socket.close(None).await?;
                        return Ok(took);
                    }
                    AgentEffect::Forget { .. }
                    | AgentEffect::Command(_)
                    | AgentEffect::Roster(_)
                    | AgentEffect::MoreRows
                    | AgentEffect::Have(_) => {}
                    AgentEffect::BeginEpoch { cause, .. } => bail!("a new epoch: {cause:?}"),
                    AgentEffect::Close(why) => bail!("the session ended: {why}"),
                }
            }
            self.socket.flush().await?;
            self.hear().await?;
        }
    }

    async fn hear(&mut self) -> Result<()> {
        let heard = tokio::time::timeout(SILENCE_MAX, self.socket.next()).await;
        let heard = heard.context("the collector is silent")?.context("the connection ended")??;
        ensure!(heard.is_binary(), "the collector sent {heard:?}");
        self.session.handle_message(&heard.into_data(), self.watch.elapsed());
        Ok(())
    }
}
