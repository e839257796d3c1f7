//! The collector's end of a session: learns who calls, checks every batch, acknowledges only what
//! is durable.
//!
//! Signatures and chains are verified here; storing, and comparing with what is stored, is asked
//! of the caller, who answers in the order of asking.

use std::collections::VecDeque;
use std::time::Duration;

use super::{GREETING_MAX, PING_PERIOD, SILENCE_MAX, UNKNOWN_MAX};
use crate::collection::{Collected, Have, Piece};
use crate::event::gap::SealedRange;
use crate::event::{Body, Lane};
use crate::id::{ClientId, EndpointId, Hash};
use crate::limits;
use crate::message::{
    Ack, AgentMessage, CollectorMessage, Complaint, Hello, LanePosition, MessageError, Ping,
    Refusal, RefusalReason, Signed, Welcome,
};
use crate::query::{Rows, Summary};
use crate::sign::batch::{self, Batch, Header, Opened};
use crate::sign::chain::{self, Verdict};
use crate::sign::document::{self, Kind};
use crate::sign::{VerifyingKey, sha256};
use crate::version;

/// What the collector knows of an endpoint that calls.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registered {
    /// Whose it is.
    pub client: ClientId,
    /// Its signing key.
    pub key: VerifyingKey,
    /// The last stored signed header of each lane that has one.
    pub heads: Vec<Vec<u8>>,
    /// The gaps it has signed, latest last.
    pub gaps: Vec<SealedRange>,
}

/// What became of a batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Appended {
    /// It is stored, and will survive a power failure.
    Durable,
    /// The very same batch was stored already.
    Same,
    /// Something else stands in its place; the batch was kept as evidence.
    Conflict,
    /// It could not be stored; why, for a person.
    Unavailable(String),
}

/// What the collector must do.
#[derive(Clone, Debug)]
pub enum CollectorEffect {
    /// Look an endpoint up and answer with [`CollectorSession::identified`], after every older
    /// session of the same endpoint and boot has ended and its appends are settled.
    Identify {
        /// Which.
        endpoint: EndpointId,
    },
    /// The endpoint has proved who it is.
    Welcomed(Box<Hello>),
    /// Store a batch if its lane still stands at `after`; answer with
    /// [`CollectorSession::appended`]: [`Appended::Same`] if the lane has moved on because this very
    /// batch was stored.
    Append {
        /// The batch as received.
        batch: Batch,
        /// The batch, verified.
        opened: Opened,
        /// Where the lane must stand.
        after: Option<LanePosition>,
    },
    /// Numbers of this batch are stored already: compare, keep what differs as evidence, and
    /// answer with [`CollectorSession::appended`].
    Duplicate {
        /// The batch as received.
        batch: Batch,
        /// The batch, verified.
        opened: Opened,
    },
    /// A part of an answer, its form and the summary's signature checked: for whoever asked.
    Rows(Rows),
    /// A piece of an archive, its form checked: store it and answer with
    /// [`CollectorSession::send_have`]. Whether anybody asked for it is for the caller to know.
    Piece(Piece),
    /// An archive is offered, and its endpoint signed that; answer as to a piece.
    Offer(Signed, Box<Collected>),
    /// Send one binary websocket message.
    Send(Vec<u8>),
    /// End the session; why, for the log.
    Close(String),
}

enum Phase {
    /// Waiting for the hello.
    Greeting,
    /// Waiting to learn whose key the hello must bear.
    Identifying(Vec<u8>),
    Live(Box<Live>),
    Closed,
}

struct Live {
    endpoint: EndpointId,
    key: VerifyingKey,
    gaps: VecDeque<SealedRange>,
    control: LaneState,
    telemetry: LaneState,
    /// A piece was not answered yet.
    taking: bool,
}

/// Where a lane will stand once everything asked for is stored.
#[derive(Default)]
struct LaneState {
    position: Option<LanePosition>,
    head: Vec<u8>,
    pending: VecDeque<Pending>,
}

struct Pending {
    epoch: u32,
    first: u64,
    last: u64,
}

/// Gaps remembered per session; an agent coalesces consecutive drops, so that more means abuse.
const GAPS_MAX: usize = 4096;

/// Batches that may wait for the store; an agent that keeps to its window never has more.
const PENDING_MAX: usize = 2 * limits::IN_FLIGHT_BATCHES_MAX;

/// The collector's end of one session.
pub struct CollectorSession {
    phase: Phase,
    exporter: Vec<u8>,
    certificate: EndpointId,
    started: Duration,
    heard: Duration,
    pinged: Duration,
    ping_number: u64,
    unknown: u32,
    effects: VecDeque<CollectorEffect>,
}

impl CollectorSession {
    /// A session on a connection whose client certificate names `certificate`.
    #[must_use]
    pub fn new(exporter: Vec<u8>, certificate: EndpointId, now: Duration) -> Self {
        Self {
            phase: Phase::Greeting,
            exporter,
            certificate,
            started: now,
            heard: now,
            pinged: now,
            ping_number: 0,
            unknown: 0,
            effects: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<CollectorEffect> {
        self.effects.pop_front()
    }

    /// When [`Self::handle_timeout`] must be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            Phase::Greeting | Phase::Identifying(_) => {
                Some(self.started.saturating_add(GREETING_MAX))
            }
            Phase::Live(_) => {
                let ping = self.pinged.saturating_add(PING_PERIOD);
                Some(ping.min(self.heard.saturating_add(SILENCE_MAX)))
            }
            Phase::Closed => None,
        }
    }

    /// Pings, or ends a session in which nothing was heard for too long.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        let live = matches!(self.phase, Phase::Live(_));
        if !live || self.heard.saturating_add(SILENCE_MAX) <= now {
            return self.close("the agent has not been heard from for too long".to_owned());
        }
        self.pinged = now;
        self.ping_number = self.ping_number.saturating_add(1);
        self.send(&CollectorMessage::Ping(Ping { number: self.ping_number }));
    }

    /// Takes in one websocket message.
    pub fn handle_message(&mut self, bytes: &[u8], now: Duration) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.heard = now;
        let message = match AgentMessage::decode(bytes) {
            Ok(message) => message,
            Err(error @ MessageError::UnknownKind(_)) => return self.complain(&error),
            Err(error) => return self.refuse_session(format!("your message is none: {error}")),
        };
        match (&self.phase, message) {
            (Phase::Greeting, AgentMessage::Hello(hello)) => self.greeted(hello.bytes),
            (Phase::Live(_), AgentMessage::Batch(batch)) => self.batch(batch),
            (Phase::Live(_), AgentMessage::Rows(rows)) => self.rows(rows),
            (Phase::Live(_), AgentMessage::Piece(piece)) => self.piece(piece),
            (_, AgentMessage::Pong(_)) => {}
            (_, AgentMessage::Complaint(complaint)) => {
                if complaint.fatal {
                    self.close(format!("the agent ends it: {}", complaint.sentence));
                }
            }
            (
                _,
                AgentMessage::Hello(_)
                | AgentMessage::Batch(_)
                | AgentMessage::Rows(_)
                | AgentMessage::Piece(_),
            ) => {
                self.refuse_session("you spoke out of turn".to_owned());
            }
        }
    }

    fn greeted(&mut self, hello: Vec<u8>) {
        let read: Hello = match document::peek(Kind::Hello, &hello) {
            Ok(read) => read,
            Err(error) => return self.refuse_session(format!("your hello {error}")),
        };
        if read.endpoint != self.certificate {
            return self.refuse_session(format!(
                "you say that you are endpoint {}, and your certificate is that of {}",
                read.endpoint.short(),
                self.certificate.short()
            ));
        }
        self.phase = Phase::Identifying(hello);
        self.effects.push_back(CollectorEffect::Identify { endpoint: read.endpoint });
    }

    /// The answer to [`CollectorEffect::Identify`], with the collector's wall clock.
    pub fn identified(&mut self, registered: Option<Registered>, time_ns: u64) {
        let Phase::Identifying(hello) = std::mem::replace(&mut self.phase, Phase::Greeting) else {
            return;
        };
        let Some(registered) = registered else {
            return self.refuse_session("this endpoint is not registered; enrol it again".into());
        };
        let Registered { client, key, heads, gaps } = registered;
        let hello: Hello = match document::verify(Kind::Hello, &hello, &self.exporter, &key) {
            Ok(hello) => hello,
            Err(error) => return self.refuse_session(format!("your hello: {error}")),
        };
        if hello.client != client {
            return self.refuse_session(format!("this endpoint belongs to client {client}"));
        }
        if hello.protocol < version::PROTOCOL_OLDEST || hello.protocol_oldest > version::PROTOCOL {
            return self.refuse_session(format!(
                "you speak protocols {} to {}, and this collector {} to {}",
                hello.protocol_oldest,
                hello.protocol,
                version::PROTOCOL_OLDEST,
                version::PROTOCOL
            ));
        }
        let mut live = Live {
            endpoint: hello.endpoint,
            key,
            gaps: gaps.into(),
            control: LaneState::default(),
            telemetry: LaneState::default(),
            taking: false,
        };
        for head in &heads {
            if let Ok(header) = document::peek::<Header>(Kind::Batch, head) {
                let lane = live.lane(header.lane);
                lane.position = Some(chain::position(&header, Hash(sha256(head))));
                lane.head.clone_from(head);
            }
        }
        let heads = heads.into_iter().map(|bytes| Signed { bytes }).collect();
        let protocol = hello.protocol.min(version::PROTOCOL);
        self.phase = Phase::Live(Box::new(live));
        self.effects.push_back(CollectorEffect::Welcomed(Box::new(hello)));
        self.send(&CollectorMessage::Welcome(Welcome { protocol, time_ns, heads }));
    }

    fn batch(&mut self, batch: Batch) {
        let Phase::Live(live) = &mut self.phase else { return };
        let opened = match batch::open(&batch, &live.key) {
            Ok(opened) if opened.header.endpoint == live.endpoint => opened,
            Ok(_) => return self.refuse_invalid(&batch, "the batch is another endpoint's".into()),
            Err(error) => return self.refuse_invalid(&batch, error.to_string()),
        };
        let header = &opened.header;
        let gaps = live.gaps.make_contiguous();
        let lane = match header.lane {
            Lane::Control => &mut live.control,
            Lane::Telemetry => &mut live.telemetry,
        };
        if lane.pending.len() >= PENDING_MAX {
            return self.refuse_session("you send more than your window allows".to_owned());
        }
        let verdict = chain::judge(lane.position.as_ref(), header, gaps);
        let append = match verdict {
            Verdict::Next | Verdict::NextAfterGap | Verdict::NewEpoch => true,
            Verdict::Stored => false,
            Verdict::Broken(sentence) => {
                let stored = (!lane.head.is_empty()).then(|| Signed { bytes: lane.head.clone() });
                let refusal = Refusal {
                    lane: header.lane,
                    epoch: header.epoch,
                    first: header.first,
                    reason: RefusalReason::BrokenChain,
                    sentence: sentence.to_owned(),
                    stored,
                };
                return self.refuse(refusal);
            }
        };
        let (epoch, first, last) = (header.epoch, header.first, header.last());
        lane.pending.push_back(Pending { epoch, first, last });
        let effect = if append {
            let after = lane.position.replace(chain::position(header, opened.hash));
            lane.head.clone_from(&batch.header);
            note_gaps(&mut live.gaps, &opened);
            CollectorEffect::Append { batch, opened, after }
        } else {
            CollectorEffect::Duplicate { batch, opened }
        };
        self.effects.push_back(effect);
    }

    /// Whether somebody asked for these rows is for the reader of the effect to know.
    fn rows(&mut self, rows: Rows) {
        let Phase::Live(live) = &self.phase else { return };
        if let Err(error) = rows.check_form() {
            return self.refuse_session(format!("in what you sent as rows, {error}"));
        }
        let summary = rows.last.as_ref().map(|last| Summary::verify(last, live.endpoint));
        match summary {
            Some(Err(error)) => {
                self.refuse_session(format!("in what you sent as rows, the summary {error}"));
            }
            Some(Ok(summary)) if summary.command != rows.command => {
                self.refuse_session("you sent one answer's summary with another's rows".to_owned());
            }
            Some(Ok(_)) | None => self.effects.push_back(CollectorEffect::Rows(rows)),
        }
    }

    /// One piece at a time, so that an endpoint that sends many costs no more than one.
    fn piece(&mut self, piece: Piece) {
        let Phase::Live(live) = &mut self.phase else { return };
        if let Err(error) = piece.check_form() {
            return self.refuse_session(format!("in what you sent as a piece, {error}"));
        }
        if std::mem::replace(&mut live.taking, true) {
            let why = "you sent a piece before the one before it was answered";
            return self.refuse_session(why.to_owned());
        }
        let Some(offer) = piece.offer else {
            return self.effects.push_back(CollectorEffect::Piece(piece));
        };
        match Collected::verify(&offer, live.endpoint) {
            Ok(collected) if collected.command == piece.command => {
                self.effects.push_back(CollectorEffect::Offer(offer, Box::new(collected)));
            }
            Ok(_) => {
                self.refuse_session("you offered one archive under another's command".to_owned());
            }
            Err(error) => self.refuse_session(format!("what you offered {error}")),
        }
    }

    /// The answer to [`CollectorEffect::Piece`] or [`CollectorEffect::Offer`].
    pub fn send_have(&mut self, have: Have) {
        if let Phase::Live(live) = &mut self.phase {
            live.taking = false;
            self.send(&CollectorMessage::Have(have));
        }
    }

    /// The answer to [`CollectorEffect::Append`] or [`CollectorEffect::Duplicate`], in order of
    /// asking within a lane.
    pub fn appended(&mut self, lane: Lane, answer: Appended) {
        let Phase::Live(live) = &mut self.phase else { return };
        let Some(pending) = live.lane(lane).pending.pop_front() else { return };
        let Pending { epoch, first, last } = pending;
        let refusal =
            |reason, sentence| Refusal { lane, epoch, first, reason, sentence, stored: None };
        match answer {
            Appended::Durable | Appended::Same => {
                self.send(&CollectorMessage::Ack(Ack { lane, epoch, last }));
            }
            Appended::Conflict => {
                let sentence = "other content is stored under these numbers".to_owned();
                self.refuse(refusal(RefusalReason::Conflict, sentence));
            }
            Appended::Unavailable(sentence) => {
                self.refuse(refusal(RefusalReason::Unavailable, sentence));
            }
        }
    }

    /// Sends a command on; false if the session is not live.
    pub fn send_command(&mut self, bytes: Vec<u8>) -> bool {
        self.send_live(&CollectorMessage::Command(Signed { bytes }))
    }

    /// Sends a roster on; false if the session is not live.
    pub fn send_roster(&mut self, bytes: Vec<u8>) -> bool {
        self.send_live(&CollectorMessage::Roster(Signed { bytes }))
    }

    fn send_live(&mut self, message: &CollectorMessage) -> bool {
        let live = matches!(self.phase, Phase::Live(_));
        if live {
            self.send(message);
        }
        live
    }

    fn refuse_invalid(&mut self, batch: &Batch, sentence: String) {
        let header = document::peek::<Header>(Kind::Batch, &batch.header);
        let (lane, epoch, first) =
            header.map_or((Lane::Telemetry, 0, 0), |h| (h.lane, h.epoch, h.first));
        let reason = RefusalReason::Invalid;
        self.refuse(Refusal { lane, epoch, first, reason, sentence, stored: None });
    }

    /// Refuses a batch and ends the session. What the agent has under way behind it must not be
    /// taken: the agent seals it again, and only a new session knows where the lanes then stand.
    fn refuse(&mut self, refusal: Refusal) {
        let why = format!("refused a batch: {}", refusal.sentence);
        self.send(&CollectorMessage::Refusal(refusal));
        self.close(why);
    }

    fn complain(&mut self, error: &MessageError) {
        self.unknown = self.unknown.saturating_add(1);
        if self.unknown > UNKNOWN_MAX {
            return self.refuse_session("you keep sending messages of unknown kinds".to_owned());
        }
        let complaint = Complaint { sentence: error.to_string(), fatal: false };
        self.send(&CollectorMessage::Complaint(complaint));
    }

    fn refuse_session(&mut self, sentence: String) {
        let complaint = Complaint { sentence: sentence.clone(), fatal: true };
        self.send(&CollectorMessage::Complaint(complaint));
        self.close(sentence);
    }

    fn send(&mut self, message: &CollectorMessage) {
        self.effects.push_back(CollectorEffect::Send(message.encode()));
    }

    fn close(&mut self, why: String) {
        if !matches!(self.phase, Phase::Closed) {
            self.phase = Phase::Closed;
            self.effects.push_back(CollectorEffect::Close(why));
        }
    }
}

impl Live {
    fn lane(&mut self, lane: Lane) -> &mut LaneState {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Telemetry => &mut self.telemetry,
        }
    }
}

/// Remembers the gaps that a control batch signs, for the jumps they explain.
fn note_gaps(gaps: &mut VecDeque<SealedRange>, opened: &Opened) {
    if opened.header.lane != Lane::Control {
        return;
    }
    for event in opened.events.iter().filter_map(|bytes| batch::read_event(bytes).ok()) {
        if let Body::Gap(gap) = event.body
            && let Some(range) = gap.sealed
        {
            if gaps.len() >= GAPS_MAX {
                gaps.pop_front();
            }
            gaps.push_back(range);
        }
    }
}
