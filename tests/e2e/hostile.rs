//! A collector in the hands of somebody else: it has every key, certificate and record of the real
//! one, speaks its protocol, and sends whatever it is told to. Operators' and authority's keys it
//! has not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use cordon_collector::bus::Bus;
use cordon_collector::ca::Ca;
use cordon_collector::clock::Clock;
use cordon_collector::config::Patience;
use cordon_collector::door::{self, Admission, Stream};
use cordon_collector::store::{Log, LogOptions, SqliteLog, State};
use cordon_collector::tls::{self, Identity};
use cordon_collector::upgrade::{self, Socket};
use cordon_packaging::fleet::Fleet;
use cordon_proto::event::{Event, Lane};
use cordon_proto::id::{CommandId, EndpointId};
use cordon_proto::message::{CollectorMessage, Signed, Welcome};
use cordon_proto::query::Rows;
use cordon_proto::session::{Appended, CollectorEffect, CollectorSession, Registered};
use cordon_proto::sign::batch::{self, Header, Opened};
use cordon_proto::version::PROTOCOL;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio_tungstenite::tungstenite::Message;

/// More than any test sends at once.
const ORDERS_MAX: usize = 64;
const CONNECTIONS_MAX: usize = 64;

/// What it is told to say to one endpoint.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Command(Vec<u8>),
    Roster(Vec<u8>),
    /// A whole message, whatever the protocol thinks of it.
    Say(Vec<u8>),
}

/// What it knows, and how it behaves.
#[derive(Default)]
pub(crate) struct Mind {
    known: BTreeMap<EndpointId, Registered>,
    /// What endpoints signed and it has kept, in order.
    events: Vec<(EndpointId, Event)>,
    /// Headers of batches that it has heard and not kept.
    pub(crate) unkept: Vec<Header>,
    /// How often an endpoint was let in.
    sessions: BTreeMap<EndpointId, u64>,
    /// What it was told as answers.
    pub(crate) rows: Vec<(EndpointId, Rows)>,
    /// Whose archives it was offered or sent.
    pub(crate) pieces: Vec<CommandId>,
    /// Why sessions ended.
    pub(crate) ends: Vec<String>,
    /// Keeps nothing and acknowledges nothing.
    pub(crate) deaf: bool,
    /// Shown in the next welcome in the place of what is stored.
    pub(crate) forged_heads: Option<Vec<Signed>>,
}

impl Mind {
    /// What an endpoint has signed, in order.
    pub(crate) fn events(&self, endpoint: EndpointId) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |(whose, _)| *whose == endpoint).map(|(_, event)| event)
    }

    pub(crate) fn sessions(&self, endpoint: EndpointId) -> u64 {
        self.sessions.get(&endpoint).copied().unwrap_or_default()
    }

    fn keep(&mut self, endpoint: EndpointId, opened: &Opened, header: &[u8]) {
        for bytes in &opened.events {
            if let Ok(event) = batch::read_event(bytes) {
                if let cordon_proto::event::Body::Gap(gap) = &event.body
                    && let (Some(range), Some(known)) = (gap.sealed, self.known.get_mut(&endpoint))
                {
                    known.gaps.push(range);
                }
                self.events.push((endpoint, event));
            }
        }
        if let Some(known) = self.known.get_mut(&endpoint) {
            known.heads.retain(|head| lane_of(head) != Some(opened.header.lane));
            known.heads.push(header.to_vec());
        }
    }
}

fn lane_of(head: &[u8]) -> Option<Lane> {
    use cordon_proto::sign::document::{self, Kind};
    document::peek::<Header>(Kind::Batch, head).ok().map(|header| header.lane)
}

/// The running impostor; it ends when dropped.
pub(crate) struct Hostile {
    orders: broadcast::Sender<(EndpointId, Order)>,
    mind: Arc<Mutex<Mind>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Hostile {
    /// Kills the fleet's collector, takes everything it had, and opens its door again.
    pub(crate) fn take_over(fleet: &mut Fleet, endpoints: &[EndpointId]) -> Result<Self> {
        fleet.kill_collector()?;
        let folder = fleet.folder().join("collector");
        let known = steal(&folder, endpoints)?;
        let mind = Arc::new(Mutex::new(Mind { known, ..Mind::default() }));
        let clock = Clock::system();
        let ca = Arc::new(Ca::open(&folder.join("ca"))?);
        let identity = Identity::new(&ca, &["localhost".to_owned()], clock.wall_secs())?;
        let tls = Arc::new(tls::agents(ca, Arc::new(identity), clock.clone())?);
        let listener = std::net::TcpListener::from(fleet.stage()?.agents_listener()?);
        listener.set_nonblocking(true)?;
        let (stop, stopping) = watch::channel(false);
        let (orders, _) = broadcast::channel(ORDERS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (theirs, heard) = (Arc::clone(&mind), orders.clone());
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                let admission = Admission::new(CONNECTIONS_MAX, CONNECTIONS_MAX);
                let serve = move |stream, _| {
                    let session = Session::new(Arc::clone(&theirs), clock.clone());
                    session.serve(stream, heard.subscribe())
                };
                let patience = Patience::default().handshake;
                door::serve(listener, tls, admission, patience, stopping, serve).await;
            });
        });
        Ok(Self { orders, mind, stop, thread: Some(thread) })
    }

    pub(crate) fn say(&self, to: EndpointId, order: Order) -> Result<()> {
        self.orders.send((to, order)).ok().context("no endpoint listens to the impostor")?;
        Ok(())
    }

    pub(crate) fn mind(&self) -> MutexGuard<'_, Mind> {
        lock(&self.mind)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed; the test fails by what it then waits for in vain.
            drop(thread.join());
        }
    }
}

/// What the real collector knew of these endpoints.
fn steal(folder: &Path, endpoints: &[EndpointId]) -> Result<BTreeMap<EndpointId, Registered>> {
    let state = State::open(&folder.join("state.db"))?;
    let (log, _writer) =
        SqliteLog::open(&folder.join("log.db"), LogOptions::default(), Bus::default())?;
    let mut known = BTreeMap::new();
    for id in endpoints {
        let endpoint = state.endpoint(*id)?.context("the collector does not know the endpoint")?;
        let heads = log.heads(*id)?.into_iter().map(|head| head.header).collect();
        let gaps = log.gaps(*id)?;
        let cordon_collector::store::Endpoint { client, key, .. } = endpoint;
        known.insert(*id, Registered { client, key, heads, gaps });
    }
    Ok(known)
}

fn lock(mind: &Mutex<Mind>) -> MutexGuard<'_, Mind> {
    mind.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection.
struct Session {
    mind: Arc<Mutex<Mind>>,
    clock: Clock,
}

impl Session {
    fn new(mind: Arc<Mutex<Mind>>, clock: Clock) -> Self {
        Self { mind, clock }
    }

    async fn serve(self, stream: Stream, mut orders: broadcast::Receiver<(EndpointId, Order)>) {
        let connection = stream.get_ref().1;
        let caller = tls::caller(connection, self.clock.wall_secs());
        let exporter = tls::exporter(connection);
        let (Some(caller), Ok(exporter)) = (caller, exporter) else { return };
        let Some((_, mut socket)) = upgrade::upgrade(stream, Some(&caller)).await else { return };
        let endpoint = caller.endpoint;
        let mut session = CollectorSession::new(exporter, endpoint, self.clock.now());
        let why = loop {
            if let Err(why) = self.carry_out(endpoint, &mut session, &mut socket).await {
                break why;
            }
            let wait = session.poll_timeout().map(|at| at.saturating_sub(self.clock.now()));
            tokio::select! {
                heard = socket.next() => match heard {
                    Some(Ok(Message::Binary(bytes))) => {
                        session.handle_message(&bytes, self.clock.now());
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => break format!("{other:?}"),
                },
                Ok((to, order)) = orders.recv() => {
                    if to == endpoint
                        && let Err(why) = obey(order, &mut session, &mut socket).await
                    {
                        break why;
                    }
                }
                () = tokio::time::sleep(wait.unwrap_or(Duration::MAX / 4)) => {
                    session.handle_timeout(self.clock.now());
                }
            }
        };
        lock(&self.mind).ends.push(why);
    }

    async fn carry_out(
        &self,
        endpoint: EndpointId,
        session: &mut CollectorSession,
        socket: &mut Socket,
    ) -> Result<(), String> {
        while let Some(effect) = session.poll_effect() {
            match effect {
                CollectorEffect::Identify { .. } => {
                    let forged = lock(&self.mind).forged_heads.take();
                    if let Some(heads) = forged {
                        let time_ns = self.clock.wall_ns();
                        let welcome = Welcome { protocol: PROTOCOL, time_ns, heads };
                        send(socket, CollectorMessage::Welcome(welcome).encode()).await?;
                        continue;
                    }
                    let known = lock(&self.mind).known.get(&endpoint).cloned();
                    session.identified(known, self.clock.wall_ns());
                }
                CollectorEffect::Welcomed(_) => {
                    *lock(&self.mind).sessions.entry(endpoint).or_default() += 1;
                }
                CollectorEffect::Append { batch, opened, .. } => {
                    let mut mind = lock(&self.mind);
                    if mind.deaf {
                        mind.unkept.push(opened.header);
                    } else {
                        mind.keep(endpoint, &opened, &batch.header);
                        session.appended(opened.header.lane, Appended::Durable);
                    }
                }
                CollectorEffect::Duplicate { opened, .. } => {
                    session.appended(opened.header.lane, Appended::Same);
                }
                CollectorEffect::Rows(rows) => lock(&self.mind).rows.push((endpoint, rows)),
                CollectorEffect::Piece(piece) => lock(&self.mind).pieces.push(piece.command),
                CollectorEffect::Offer(_, collected) => {
                    lock(&self.mind).pieces.push(collected.command);
                }
                CollectorEffect::Send(bytes) => send(socket, bytes).await?,
                CollectorEffect::Close(why) => return Err(why),
            }
        }
        Ok(())
    }
}

async fn obey(
    order: Order,
    session: &mut CollectorSession,
    socket: &mut Socket,
) -> Result<(), String> {
    match order {
        Order::Command(bytes) => {
            session.send_command(bytes);
            Ok(())
        }
        Order::Roster(bytes) => {
            session.send_roster(bytes);
            Ok(())
        }
        Order::Say(bytes) => send(socket, bytes).await,
    }
}

async fn send(socket: &mut Socket, bytes: Vec<u8>) -> Result<(), String> {
    socket.send(Message::Binary(bytes.into())).await.map_err(|error| error.to_string())
}
