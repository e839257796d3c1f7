//! The agent's end of a session: greets, sends what the spool has, forgets what is durable.
//!
//! The control lane is served before telemetry, so that a signed gap always arrives before the
//! jump it accounts for. A refusal never wedges a lane: what was refused is sealed again in a new
//! epoch, and a new session goes on with it.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Cursor, GREETING_MAX, SILENCE_MAX, UNKNOWN_MAX};
use crate::collection::{Have, Piece};
use crate::event::Lane;
use crate::limits;
use crate::message::{
    AgentMessage, CollectorMessage, Complaint, LanePosition, MessageError, Refusal, RefusalReason,
    Signed, Welcome,
};
use crate::query::Rows;
use crate::sign::VerifyingKey;
use crate::sign::batch::{Batch, EpochCause, Header};
use crate::sign::document::{self, Kind};
use crate::version;

/// A batch as the spool keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SealedBatch {
    /// Its epoch.
    pub epoch: u32,
    /// Number of its first event.
    pub first: u64,
    /// Number of its last event.
    pub last: u64,
    /// The batch.
    pub batch: Batch,
}

/// What the agent must do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AgentEffect {
    /// Send one binary websocket message.
    Send(Vec<u8>),
    /// The collector has let the agent in.
    Live {
        /// The collector's wall clock, nanoseconds since 1970 UTC.
        time_ns: u64,
    },
    /// Read sealed batches from the spool and answer with [`AgentSession::handle_batches`].
    Fetch {
        /// Of which lane.
        lane: Lane,
        /// After which place.
        after: Cursor,
        /// How many at most.
        batches_max: usize,
        /// How many bytes at most, though always one batch if there is one.
        bytes_max: usize,
    },
    /// Delete what is durable at the collector.
    Forget {
        /// Of which lane.
        lane: Lane,
        /// Up to and including which place.
        upto: Cursor,
    },
    /// Begin a new epoch, and seal again in it every batch after `reseal_after`.
    BeginEpoch {
        /// Of which lane.
        lane: Lane,
        /// The new epoch is above this one, and above every one that the spool knows.
        above: u32,
        /// Why.
        cause: EpochCause,
        /// What comes after this place is taken apart and sealed again; none seals nothing again.
        reseal_after: Option<Cursor>,
    },
    /// A command arrived: for the guard.
    Command(Vec<u8>),
    /// A roster arrived.
    Roster(Vec<u8>),
    /// The next part of an answer may come, by [`AgentSession::handle_rows`], as soon as the network
    /// has room.
    MoreRows,
    /// How far the collector has an archive; the next piece may come, by
    /// [`AgentSession::handle_piece`], as soon as the network has room.
    Have(Have),
    /// End the session; why, for the log.
    Close(String),
}

/// One lane as the session sees it.
#[derive(Debug, Default)]
struct Flow {
    /// The last place sent.
    sent: Cursor,
    /// Sent and not yet acknowledged: place and size.
    in_flight: VecDeque<(Cursor, usize)>,
    fetching: bool,
    /// The spool may have more than was sent.
    more: bool,
    /// More was sealed since the last fetch was asked for.
    sealed_since: bool,
    /// A jump after this place is known, and the control lane was read since.
    jump_allowed: bool,
}

impl Flow {
    fn window(&self) -> Option<(usize, usize)> {
        let bytes: usize = self.in_flight.iter().map(|(_, bytes)| *bytes).sum();
        let batches_left = limits::IN_FLIGHT_BATCHES_MAX.checked_sub(self.in_flight.len())?;
        let bytes_left = limits::IN_FLIGHT_BYTES_MAX.checked_sub(bytes)?;
        (batches_left > 0 && bytes_left > 0).then_some((batches_left, bytes_left))
    }
}

#[derive(Debug, Eq, PartialEq)]
enum Phase {
    Greeting,
    Live,
    Closed,
}

/// The agent's end of one session.
#[derive(Debug)]
pub struct AgentSession {
    phase: Phase,
    key: VerifyingKey,
    sealed: Vec<LanePosition>,
    control: Flow,
    telemetry: Flow,
    started: Duration,
    heard: Duration,
    unknown: u32,
    effects: VecDeque<AgentEffect>,
}

impl AgentSession {
    /// Begins a session by saying hello.
    ///
    /// `key` is the endpoint's own: stored heads that the collector shows must bear its signature.
    /// `sealed` is the last batch that the spool has sealed, per lane.
    #[must_use]
    pub fn new(hello: Signed, key: VerifyingKey, sealed: Vec<LanePosition>, now: Duration) -> Self {
        let send = AgentEffect::Send(AgentMessage::Hello(hello).encode());
        Self {
            phase: Phase::Greeting,
            key,
            sealed,
            control: Flow::default(),
            telemetry: Flow::default(),
            started: now,
            heard: now,
            unknown: 0,
            effects: VecDeque::from([send]),
        }
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<AgentEffect> {
        self.effects.pop_front()
    }

    /// When [`Self::handle_timeout`] must be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            Phase::Greeting => Some(self.started.saturating_add(GREETING_MAX)),
            Phase::Live => Some(self.heard.saturating_add(SILENCE_MAX)),
            Phase::Closed => None,
        }
    }

    /// Ends a session in which nothing was heard for too long.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.close("the collector has not been heard from for too long".to_owned());
        }
    }

    /// Takes in one websocket message.
    pub fn handle_message(&mut self, bytes: &[u8], now: Duration) {
        if self.phase == Phase::Closed {
            return;
        }
        self.heard = now;
        let message = match CollectorMessage::decode(bytes) {
            Ok(message) => message,
            Err(MessageError::UnknownKind(kind)) => return self.complain(kind),
            Err(error) => return self.close(format!("the collector sent what is none: {error}")),
        };
        match (&self.phase, message) {
            (Phase::Greeting, CollectorMessage::Welcome(welcome)) => self.welcomed(&welcome),
            (_, CollectorMessage::Ping(ping)) => self.send(&AgentMessage::Pong(ping)),
            (_, CollectorMessage::Complaint(complaint)) => {
                if complaint.fatal {
                    self.close(format!("the collector ends it: {}", complaint.sentence));
                }
            }
            (Phase::Live, CollectorMessage::Ack(ack)) => {
                self.acknowledged(ack.lane, Cursor { epoch: ack.epoch, last: ack.last });
            }
            (Phase::Live, CollectorMessage::Refusal(refusal)) => self.refused(refusal),
            (Phase::Live, CollectorMessage::Command(signed)) => {
                self.effects.push_back(AgentEffect::Command(signed.bytes));
            }
            (Phase::Live, CollectorMessage::Roster(signed)) => {
                self.effects.push_back(AgentEffect::Roster(signed.bytes));
            }
            (Phase::Live, CollectorMessage::Have(have)) => {
                self.effects.push_back(AgentEffect::Have(have));
            }
            (Phase::Greeting | Phase::Live | Phase::Closed, _) => {
                self.close("the collector spoke out of turn".to_owned());
            }
        }
    }

    /// The spool has sealed more of a lane.
    pub fn handle_sealed(&mut self, lane: Lane) {
        let flow = self.flow(lane);
        flow.more = true;
        flow.sealed_since = true;
        self.pump();
    }

    /// The spool's answer to [`AgentEffect::Fetch`]; nothing if it has nothing after that place.
    pub fn handle_batches(&mut self, lane: Lane, batches: Vec<SealedBatch>) {
        let flow = self.flow(lane);
        flow.fetching = false;
        if batches.is_empty() {
            flow.more = flow.sealed_since;
        }
        for sealed in batches {
            if !self.send_batch(lane, sealed) {
                break;
            }
        }
        self.pump();
    }

    /// Sends a part of an answer; false if the session is not live, and the answer is lost.
    ///
    /// Rows have no window of their own: who drives the session answers [`AgentEffect::MoreRows`]
    /// only when what was sent before has gone out, so that they never wait in numbers.
    pub fn handle_rows(&mut self, rows: Rows) -> bool {
        let live = self.phase == Phase::Live;
        if live {
            let is_last = rows.last.is_some();
            self.send(&AgentMessage::Rows(rows));
            if !is_last {
                self.effects.push_back(AgentEffect::MoreRows);
            }
        }
        live
    }

    /// Sends a piece of an archive, or the offer of it; false if the session is not live. The next
    /// one may come with the [`AgentEffect::Have`] that answers it.
    pub fn handle_piece(&mut self, piece: Piece) -> bool {
        let live = self.phase == Phase::Live;
        if live {
            self.send(&AgentMessage::Piece(piece));
        }
        live
    }

    /// Sends a batch unless a jump before it wants the control lane read first.
    fn send_batch(&mut self, lane: Lane, sealed: SealedBatch) -> bool {
        let flow = self.flow(lane);
        let place = Cursor { epoch: sealed.epoch, last: sealed.last };
        if place <= flow.sent {
            return true;
        }
        let follows = sealed.epoch == flow.sent.epoch
            && sealed.first == flow.sent.last.saturating_add(1)
            || sealed.epoch > flow.sent.epoch && sealed.first == 1;
        if !follows && lane == Lane::Telemetry && !flow.jump_allowed {
            flow.jump_allowed = true;
            self.control.more = true;
            self.control.sealed_since = true;
            return false;
        }
        flow.jump_allowed = false;
        let message = AgentMessage::Batch(sealed.batch).encode();
        flow.sent = place;
        flow.in_flight.push_back((place, message.len()));
        self.effects.push_back(AgentEffect::Send(message));
        true
    }

    fn welcomed(&mut self, welcome: &Welcome) {
        let oldest = version::PROTOCOL_OLDEST;
        if welcome.protocol > version::PROTOCOL || welcome.protocol < oldest {
            return self.close(format!(
                "the collector speaks protocol {}; this agent speaks {oldest} to {}",
                welcome.protocol,
                version::PROTOCOL
            ));
        }
        for head in &welcome.heads {
            let read = document::verify::<Header>(Kind::Batch, &head.bytes, b"", &self.key);
            let Ok(header) = read else {
                return self.close(
                    "the collector shows a stored batch that this endpoint has not signed"
                        .to_owned(),
                );
            };
            self.resume_after(&header);
        }
        self.phase = Phase::Live;
        self.effects.push_back(AgentEffect::Live { time_ns: welcome.time_ns });
        for lane in Lane::ALL {
            self.flow(lane).more = true;
        }
        self.pump();
    }

    /// Goes on after what the collector has stored of a lane.
    fn resume_after(&mut self, header: &Header) {
        let lane = header.lane;
        let stored = Cursor::after(header);
        let sealed = self.sealed.iter().find(|position| position.lane == lane);
        let sealed = sealed.map(|p| Cursor { epoch: p.epoch, last: p.last }).unwrap_or_default();
        if stored <= sealed {
            self.flow(lane).sent = stored;
            self.effects.push_back(AgentEffect::Forget { lane, upto: stored });
            return;
        }
        // The collector knows batches of ours that the spool does not: it was rolled back. What it
        // still holds is sent again (the collector drops what it has), and numbers are never used
        // a second time.
        self.effects.push_back(AgentEffect::BeginEpoch {
            lane,
            above: stored.epoch,
            cause: EpochCause::RolledBack,
            reseal_after: None,
        });
    }

    fn acknowledged(&mut self, lane: Lane, upto: Cursor) {
        // One acknowledgement a batch, in order: one that is passed over would be forgotten unstored.
        if self.flow(lane).in_flight.pop_front().map(|(place, _)| place) != Some(upto) {
            return self.close("the collector acknowledges out of turn".to_owned());
        }
        self.effects.push_back(AgentEffect::Forget { lane, upto });
        self.pump();
    }

    /// A refusal ends the session. Unless it was only for want of room, the batches that were not
    /// taken are sealed again in a new epoch first, so that the next session can go on.
    fn refused(&mut self, refusal: Refusal) {
        let Refusal { lane, epoch, first, reason, sentence, stored } = refusal;
        let before = Cursor { epoch, last: first.saturating_sub(1) };
        let stored = stored.and_then(|head| self.own_place(lane, &head)).unwrap_or_default();
        let reseal_after = match reason {
            RefusalReason::Unavailable => None,
            // A batch that could not be read has no numbers: the spool finds the damage itself.
            RefusalReason::Invalid if epoch == 0 => None,
            RefusalReason::BrokenChain => Some(stored.min(before)),
            RefusalReason::Invalid | RefusalReason::Conflict => Some(before),
        };
        if let Some(reseal_after) = reseal_after {
            self.effects.push_back(AgentEffect::BeginEpoch {
                lane,
                above: epoch.max(stored.epoch),
                cause: EpochCause::Refused,
                reseal_after: Some(reseal_after),
            });
        }
        self.close(format!("the collector refused a batch: {sentence}"));
    }

    /// The place of a head that the collector shows, if this endpoint signed it.
    fn own_place(&self, lane: Lane, head: &Signed) -> Option<Cursor> {
        let header: Header = document::verify(Kind::Batch, &head.bytes, b"", &self.key).ok()?;
        (header.lane == lane).then(|| Cursor::after(&header))
    }

    /// Asks the spool for what may be sent now.
    fn pump(&mut self) {
        if self.phase != Phase::Live {
            return;
        }
        for lane in Lane::ALL {
            let flow = self.flow(lane);
            if flow.fetching {
                return;
            }
            if !flow.more {
                continue;
            }
            let Some((batches_max, bytes_max)) = flow.window() else { return };
            flow.fetching = true;
            flow.sealed_since = false;
            let after = flow.sent;
            self.effects.push_back(AgentEffect::Fetch { lane, after, batches_max, bytes_max });
            return;
        }
    }

    fn complain(&mut self, kind: u64) {
        self.unknown = self.unknown.saturating_add(1);
        if self.unknown > UNKNOWN_MAX {
            return self.close("the collector keeps sending messages of unknown kinds".to_owned());
        }
        let sentence = MessageError::UnknownKind(kind).to_string();
        self.send(&AgentMessage::Complaint(Complaint { sentence, fatal: false }));
    }

    fn send(&mut self, message: &AgentMessage) {
        self.effects.push_back(AgentEffect::Send(message.encode()));
    }

    fn close(&mut self, why: String) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.effects.push_back(AgentEffect::Close(why));
        }
    }

    fn flow(&mut self, lane: Lane) -> &mut Flow {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Telemetry => &mut self.telemetry,
        }
    }
}
