//! One agent's connection: drives the session's machine between the socket, the stores and the
//! people's side. A peer that is slow or silent is ended; what it did not get it gets next time.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::collection::{Collected, Have, NotTaken, Piece};
use cordon_proto::event::Lane;
use cordon_proto::id::CommandId;
use cordon_proto::message::{Hello, Signed};
use cordon_proto::session::{CollectorEffect, CollectorSession};
use cordon_proto::sign::batch::{Batch, Opened};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::collections::{self, Sender};
use crate::collector::Collector;
use crate::door::Stream;
use crate::enrol;
use crate::ingest::{self, Source};
use crate::links::{Seat, Word};
use crate::presence::Ended;
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
    /// A piece of evidence on its way to the disk; the session lets no second one come.
    taking: FuturesOrdered<BoxFuture<'static, Have>>,
    /// What happened last is that nothing did.
    timed_out: bool,
}

/// All that can wake a link.
enum Wake {
    Heard(Message),
    Gone(Option<tungstenite::Error>),
    Stored(Stored),
    Taken(Have),
    Word(Word),
    Timeout,
    Stop,
}

/// Why a link ends, and how.
struct End {
    why: String,
    ended: Ended,
}

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
            taking: FuturesOrdered::new(),
            timed_out: false,
        }
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let End { why, ended } = loop {
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
            ingest::note_seen(&self.collector, endpoint, self.collector.clock.wall_ns(), ended)
                .await;
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
            Some(have) = self.taking.next() => Wake::Taken(have),
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
            Wake::Heard(Message::Close(_)) | Wake::Gone(None) => {
                return Err(End { why: "it was closed".to_owned(), ended: Ended::Closed });
            }
            Wake::Heard(Message::Text(_) | Message::Frame(_)) => {
                return Err(end("the agent sent text"));
            }
            Wake::Gone(Some(error)) => return Err(gone(&error)),
            Wake::Stored((lane, outcome)) => {
                self.session.appended(lane, ingest::appended(outcome));
            }
            Wake::Taken(have) => self.session.send_have(have),
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
            Wake::Timeout => {
                self.session.handle_timeout(now);
                self.timed_out = true;
                return Ok(());
            }
            Wake::Stop => return Err(end("the collector is stopping")),
        }
        self.timed_out = false;
        Ok(())
    }

    async fn carry_out(&mut self) -> Result<(), End> {
        let mut sent = false;
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                CollectorEffect::Identify { endpoint } => {
                    let found = ingest::identify(&self.collector, endpoint, &self.caller).await;
                    let registered = found.map_err(|error| end(&error.to_string()))?;
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
                CollectorEffect::Piece(piece) => self.take_piece(piece),
                CollectorEffect::Offer(signed, collected) => self.take_offer(signed, *collected),
                CollectorEffect::Send(bytes) => {
                    sent = true;
                    let message = Message::Binary(bytes.into());
                    in_time(self.socket.feed(message)).await?;
                }
                CollectorEffect::Close(why) => {
                    in_time(self.socket.flush()).await?;
                    let ended = if self.timed_out { Ended::Silent } else { Ended::ByCollector };
                    return Err(End { why, ended });
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
            Err(error) => return Err(end(&error.to_string())),
        }
        Ok(())
    }

    fn take_offer(&mut self, signed: Signed, collected: Collected) {
        let command = collected.command;
        self.take(command, move |collector, from| {
            let asked = collections::asked(&collector.state, from, command);
            match asked {
                Ok(asked) => collector.collections.offer(from, &signed, &collected, asked),
                Err(error) => {
                    tracing::error!(%error, "a command cannot be looked up");
                    not_now(command)
                }
            }
        });
    }

    fn take_piece(&mut self, piece: Piece) {
        let command = piece.command;
        self.take(command, move |collector, from| collector.collections.piece(from, &piece));
    }

    /// Does something with evidence beside the session, which goes on.
    fn take(
        &mut self,
        command: CommandId,
        work: impl FnOnce(&Collector, Sender<'_>) -> Have + Send + 'static,
    ) {
        let (collector, caller) = (Arc::clone(&self.collector), self.caller.clone());
        let taken = tokio::task::spawn_blocking(move || {
            work(&collector, Sender { client: &caller.client, endpoint: caller.endpoint })
        });
        let have = taken.map(move |have| have.unwrap_or_else(|_| not_now(command)));
        self.taking.push_back(have.boxed());
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

fn not_now(command: CommandId) -> Have {
    let sentence = "the collector cannot store it at the moment".to_owned();
    Have { command, bytes: 0, refused: Some(NotTaken { sentence, again: true }) }
}

async fn in_time(send: impl Future<Output = Result<(), tungstenite::Error>>) -> Result<(), End> {
    match timeout(SEND_MAX, send).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(gone(&error)),
        Err(_) => Err(End { why: "the agent takes nothing in".to_owned(), ended: Ended::Silent }),
    }
}

/// The collector ends it.
fn end(why: &str) -> End {
    End { why: why.to_owned(), ended: Ended::ByCollector }
}

/// The connection is gone: the other end closed it, or the kernel gave it up as unanswered.
fn gone(error: &tungstenite::Error) -> End {
    let closed = [
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
        ErrorKind::BrokenPipe,
        ErrorKind::UnexpectedEof,
    ];
    let silent = if let tungstenite::Error::Io(error) = error {
        !closed.contains(&error.kind())
    } else {
        false
    };
    let ended = if silent { Ended::Silent } else { Ended::Closed };
    End { why: error.to_string(), ended }
}
