//! One agent's connection: drives the session's machine between the socket, the stores and the
//! people's side. A peer that is slow or silent is ended; what it did not get it gets next time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::event::Lane;
use cordon_proto::message::Hello;
use cordon_proto::session::{CollectorEffect, CollectorSession};
use cordon_proto::sign::batch::{Batch, Opened};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::collector::Collector;
use crate::door::Stream;
use crate::enrol;
use crate::ingest::{self, Source};
use crate::links::{Seat, Word};
use crate::store::{Expected, Incoming, LogError, Outcome};
use crate::tls::{self, Caller};
use crate::upgrade::{self, Path, Socket};

/// How long a peer may take to accept what it is sent.
const SEND_MAX: Duration = Duration::from_secs(30);

/// How long to wait for the other end of a goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// Serves one connection of the agents' door.
pub async fn serve(
    collector: Arc<Collector>,
    stream: Stream,
    address: SocketAddr,
    stop: watch::Receiver<bool>,
) {
    let connection = stream.get_ref().1;
    let caller = tls::caller(connection, collector.clock.wall_secs());
    let Ok(exporter) = tls::exporter(connection) else { return };
    match (upgrade::upgrade(stream, caller.as_ref()).await, caller) {
        (Some((Path::Enrol, socket)), _) => enrol::serve(collector, exporter, socket).await,
        (Some((Path::Session, socket)), Some(caller)) => {
            Link::new(collector, socket, exporter, caller, address).run(stop).await;
        }
        (Some((Path::Session, _)) | None, _) => (),
    }
}

type Stored = (Lane, Result<Outcome, LogError>);

struct Link {
    collector: Arc<Collector>,
    socket: Socket,
    session: CollectorSession,
    caller: Caller,
    address: SocketAddr,
    source: Option<Source>,
    seat: Option<Seat>,
    storing: FuturesOrdered<BoxFuture<'static, Stored>>,
    written: Vec<oneshot::Sender<()>>,
}

/// All that can wake a link.
enum Wake {
    Heard(Message),
    Gone(Option<tungstenite::Error>),
    Stored(Stored),
    Word(Word),
    Timeout,
    Stop,
}

/// Why a link ends.
struct End(String);

impl Link {
    fn new(
        collector: Arc<Collector>,
        socket: Socket,
        exporter: Vec<u8>,
        caller: Caller,
        address: SocketAddr,
    ) -> Self {
        let session = CollectorSession::new(exporter, caller.endpoint, collector.clock.now());
        Self {
            collector,
            socket,
            session,
            caller,
            address,
            source: None,
            seat: None,
            storing: FuturesOrdered::new(),
            written: Vec::new(),
        }
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let End(why) = loop {
            if let Err(end) = self.carry_out().await {
                break end;
            }
            let wake = self.wait(&mut stop).await;
            if let Err(end) = self.handle(wake) {
                break end;
            }
        };
        let endpoint = self.caller.endpoint;
        tracing::info!(endpoint = %endpoint.short(), address = %self.address, why, "session ended");
        if self.seat.take().is_some() {
            if !self.collector.links.is_online(endpoint) {
                self.collector.answers.handle_gone(endpoint);
            }
            ingest::note_seen(&self.collector, endpoint, self.collector.clock.wall_ns()).await;
        }
        let goodbye = async {
            self.socket.close(None).await.ok();
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        timeout(GOODBYE_MAX, goodbye).await.ok();
    }

    async fn wait(&mut self, stop: &mut watch::Receiver<bool>) -> Wake {
        let now = self.collector.clock.now();
        let left = self.session.poll_timeout().map(|at| at.saturating_sub(now));
        let sleep = tokio::time::sleep(left.unwrap_or(Duration::MAX / 4));
        let word = async {
            match &mut self.seat {
                Some(seat) => seat.words.recv().await,
                None => None,
            }
        };
        tokio::select! {
            Some(stored) = self.storing.next() => Wake::Stored(stored),
            Some(word) = word => Wake::Word(word),
            heard = self.socket.next() => match heard {
                Some(Ok(message)) => Wake::Heard(message),
                Some(Err(error)) => Wake::Gone(Some(error)),
                None => Wake::Gone(None),
            },
            () = sleep => Wake::Timeout,
            _ = stop.wait_for(|stop| *stop) => Wake::Stop,
        }
    }

    fn handle(&mut self, wake: Wake) -> Result<(), End> {
        let now = self.collector.clock.now();
        match wake {
            Wake::Heard(Message::Binary(bytes)) => self.session.handle_message(&bytes, now),
            // Answered by the library; the protocol has a ping of its own.
            Wake::Heard(Message::Ping(_) | Message::Pong(_)) => (),
            Wake::Heard(Message::Close(_)) | Wake::Gone(None) => return Err(end("it was closed")),
            Wake::Heard(Message::Text(_) | Message::Frame(_)) => {
                return Err(end("the agent sent text"));
            }
            Wake::Gone(Some(error)) => return Err(End(error.to_string())),
            Wake::Stored((lane, outcome)) => {
                self.session.appended(lane, ingest::appended(outcome));
            }
            Wake::Word(Word::Command(bytes, written)) => {
                if self.session.send_command(bytes.to_vec()) {
                    self.written.push(written);
                }
            }
            Wake::Word(Word::Roster(bytes, written)) => {
                if self.session.send_roster(bytes.to_vec()) {
                    self.written.push(written);
                }
            }
            Wake::Word(Word::End(why)) => return Err(end(why)),
            Wake::Timeout => self.session.handle_timeout(now),
            Wake::Stop => return Err(end("the collector is stopping")),
        }
        Ok(())
    }

    async fn carry_out(&mut self) -> Result<(), End> {
        let mut sent = false;
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                CollectorEffect::Identify { endpoint } => {
                    let found = ingest::identify(&self.collector, endpoint, &self.caller).await;
                    let registered = found.map_err(|error| End(error.to_string()))?;
                    self.session.identified(registered, self.collector.clock.wall_ns());
                }
                CollectorEffect::Welcomed(hello) => self.welcomed(*hello).await?,
                CollectorEffect::Append { batch, opened, after } => {
                    self.store(batch, opened, Expected::After(after)).await;
                }
                CollectorEffect::Duplicate { batch, opened } => {
                    self.store(batch, opened, Expected::Stored).await;
                }
                CollectorEffect::Rows(rows) => {
                    self.collector.answers.handle_rows(self.caller.endpoint, &rows);
                }
                CollectorEffect::Send(bytes) => {
                    sent = true;
                    let message = Message::Binary(bytes.into());
                    in_time(self.socket.feed(message)).await?;
                }
                CollectorEffect::Close(why) => {
                    in_time(self.socket.flush()).await?;
                    return Err(End(why));
                }
            }
        }
        if sent {
            in_time(self.socket.flush()).await?;
            // Whoever waited for it to be written may be gone.
            for written in self.written.drain(..) {
                written.send(()).ok();
            }
        }
        Ok(())
    }

    async fn welcomed(&mut self, hello: Hello) -> Result<(), End> {
        let now_ns = self.collector.clock.wall_ns();
        let clock_offset_ns = ingest::clock_offset_ns(hello.time_ns, now_ns);
        let hello = Arc::new(hello);
        let client = self.caller.client.clone();
        let host_name = hello.host_name.as_str().into();
        self.source = Some(Source { client: client.clone(), host_name, clock_offset_ns });
        let seat = self.collector.links.take_seat(&client, Arc::clone(&hello), now_ns);
        let noted = ingest::note_hello(&self.collector, &hello, clock_offset_ns, &seat).await;
        self.seat = Some(seat);
        let endpoint = hello.endpoint.short();
        tracing::info!(%endpoint, address = %self.address, "session began");
        match noted {
            Ok(Some(newer)) => {
                self.session.send_roster(newer);
            }
            Ok(None) => (),
            Err(error) => return Err(End(error.to_string())),
        }
        Ok(())
    }

    /// Queues a batch for the log. While the log's queue is full this link reads nothing more, and
    /// the agent feels it.
    async fn store(&mut self, batch: Batch, opened: Opened, expected: Expected) {
        let Some(Source { client, host_name, clock_offset_ns }) = self.source.clone() else {
            return;
        };
        let lane = opened.header.lane;
        let received_ns = self.collector.clock.wall_ns();
        let incoming =
            Incoming { client, host_name, received_ns, clock_offset_ns, batch, opened, expected };
        let answer = self.collector.log.append(incoming).await;
        let stored = answer.map(move |answer| {
            let ended = || LogError::Unavailable("the log's writer has ended".to_owned());
            (lane, answer.unwrap_or_else(|_| Err(ended())))
        });
        self.storing.push_back(stored.boxed());
    }
}

async fn in_time(send: impl Future<Output = Result<(), tungstenite::Error>>) -> Result<(), End> {
    match timeout(SEND_MAX, send).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(End(error.to_string())),
        Err(_) => Err(end("the agent takes nothing in")),
    }
}

fn end(why: &str) -> End {
    End(why.to_owned())
}
