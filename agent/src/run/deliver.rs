//! Between the sensors, the spool and the link: samples go in, batches go out, in order.

use std::collections::VecDeque;

use cordon_proto::event::{Lane, SensorState};
use cordon_proto::message::{Hello, LanePosition};
use cordon_proto::session::{AgentEffect, Cursor, SealedBatch};
use cordon_proto::sign::batch::EpochCause;
use cordon_proto::version::{PROTOCOL, PROTOCOL_OLDEST};

use super::Agent;
use super::jobs::Done;
use crate::clock;
use crate::health::VERSION;
use crate::kept::GUARD;
use crate::link::LinkEvent;
use crate::machine;
use crate::nonce::Nonces;
use crate::sensor::{Report, Sample};
use crate::spool::SpoolError;

/// What the agent has to say for itself and the spool has not taken yet. Receipts and health come
/// a few a minute; a spool that is stuck for so long that this fills has lost its disk.
const WAITING_MAX: usize = 1024;

/// What is under way to the spool.
#[derive(Default)]
pub(super) struct Delivery {
    waiting: VecDeque<Sample>,
    delivering: bool,
    asked: VecDeque<(u64, Ask)>,
    asking: bool,
    /// Up to where the collector has the control lane.
    pub(super) heard: Cursor,
    /// Counts connections, so that an answer to an earlier session is not given to a later one.
    session: u64,
}

impl Delivery {
    /// Which connection this is.
    pub(super) fn session(&self) -> u64 {
        self.session
    }

    /// Whether the next sample of a sensor may come: sensors wait while the spool is behind.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.delivering
    }
}

/// What a session asks of the spool.
enum Ask {
    Positions,
    Effect(AgentEffect),
}

/// The spool's answer to it.
pub(super) enum Spooled {
    Positions(u64, Vec<LanePosition>),
    Batches(u64, Lane, Vec<SealedBatch>),
    Done,
    Failed(SpoolError),
}

impl Agent {
    pub(super) fn report(&mut self, name: &'static str, mut report: Report) {
        if let Report::Sample(sample) = &mut report
            && self.canaries.take(name, sample)
        {
            self.sensors.note(name, &Report::Proved, self.clock.now(), clock::stamp().time_ns);
            if sample.is_empty() {
                return;
            }
        }
        let missed = self.sensors.note(name, &report, self.clock.now(), clock::stamp().time_ns);
        missed.into_iter().for_each(|sample| self.deliver(sample));
        match report {
            Report::Sample(mut sample) => {
                self.sensors.redactor().sample(&mut sample);
                // What is compared is what is signed; what a budget sheds is seen all the same.
                self.respond(&sample);
                self.thrift.take(&mut sample, clock::stamp().time_ns);
                if !sample.is_empty() {
                    self.deliver(sample);
                }
            }
            Report::Proved => {}
            Report::Condition(condition) => {
                self.upkeep.hasten_health(self.clock.now());
                let reason = condition.reason.as_deref().unwrap_or_default();
                match condition.state {
                    SensorState::Running | SensorState::Off => {
                        tracing::info!(sensor = name, state = ?condition.state, reason, "sensor");
                    }
                    SensorState::Degraded | SensorState::Blind | SensorState::Stalled => {
                        tracing::warn!(sensor = name, state = ?condition.state, reason, "sensor");
                    }
                }
            }
        }
    }

    pub(super) fn deliver(&mut self, sample: Sample) {
        if self.delivery.waiting.len() >= WAITING_MAX {
            tracing::error!("the spool takes nothing; what the agent has to say is dropped");
            self.upkeep.dropped(&sample);
            return;
        }
        self.delivery.waiting.push_back(sample);
        self.deliver_next();
    }

    pub(super) fn delivered(&mut self) {
        self.delivery.delivering = false;
        self.deliver_next();
        self.write_reactions();
    }

    fn deliver_next(&mut self) {
        if self.delivery.delivering {
            return;
        }
        while let Some(sample) = self.delivery.waiting.pop_front() {
            if let Err(sample) = self.spool.try_append(sample) {
                self.deliver_later(*sample);
                return;
            }
        }
    }

    /// The spool is behind: whoever has more to say waits with this.
    fn deliver_later(&mut self, sample: Sample) {
        self.delivery.delivering = true;
        let spool = self.spool.clone();
        self.jobs.push(async move {
            if let Err(error) = spool.append(sample).await {
                tracing::error!(%error, "the spool takes nothing");
            }
            Done::Delivered
        });
    }

    pub(super) fn note_progress(&mut self) {
        let now = self.progress.borrow_and_update().clone();
        for lane in Lane::ALL {
            if now.end(lane) != self.known_progress.end(lane) {
                self.link.handle_sealed(lane);
            }
        }
        if now.times_lost != self.known_progress.times_lost {
            self.renew_secret();
            self.keep_reactions();
        }
        self.known_progress = now;
    }

    pub(super) fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Connected => {
                self.delivery.session += 1;
                self.lose_queries();
                self.collecting.orders.handle_down();
                self.delivery.asked.retain(|(_, ask)| is_lasting(ask));
                self.ask(Ask::Positions);
            }
            LinkEvent::Effect(AgentEffect::Live { time_ns }) => self.live(time_ns),
            LinkEvent::Effect(AgentEffect::Command(bytes)) => drop(self.command(&bytes)),
            LinkEvent::Effect(AgentEffect::Roster(bytes)) => self.take_roster(&bytes),
            LinkEvent::Effect(AgentEffect::MoreRows) => self.more_rows(),
            LinkEvent::Effect(AgentEffect::Have(have)) => self.have(&have),
            LinkEvent::Effect(effect) => {
                if let AgentEffect::Forget { lane: Lane::Control, upto } = &effect {
                    self.delivery.heard = *upto;
                }
                self.ask_in_time(effect);
            }
            LinkEvent::Down { why, wait, certificate_refused } => {
                let wait_secs = wait.as_secs();
                tracing::warn!(why, wait_secs, "no connection to the collector");
                self.lose_queries();
                self.collecting.orders.handle_down();
                if certificate_refused {
                    self.renew_certificate();
                }
            }
        }
    }

    fn live(&mut self, time_ns: u64) {
        let offset_ms = (i128::from(clock::stamp().time_ns) - i128::from(time_ns)) / 1_000_000;
        let offset_ms = i64::try_from(offset_ms).unwrap_or(i64::MAX);
        tracing::info!(offset_ms, "connected to the collector");
        if let Some(peer) = self.link.peer() {
            self.reached.retain(|known| *known != peer);
            self.reached.insert(0, peer);
            self.reached.truncate(crate::containment::COLLECTORS_MAX);
        }
        self.collecting.orders.handle_live();
        self.act_collect();
    }

    pub(super) fn ask_effect(&mut self, effect: AgentEffect) {
        self.ask(Ask::Effect(effect));
    }

    fn ask(&mut self, ask: Ask) {
        self.delivery.asked.push_back((self.delivery.session, ask));
        self.ask_next();
    }

    fn ask_next(&mut self) {
        if self.delivery.asking {
            return;
        }
        let Some((session, ask)) = self.delivery.asked.pop_front() else { return };
        self.delivery.asking = true;
        if let Ask::Effect(AgentEffect::Fetch { lane, after, batches_max, bytes_max }) = ask
            && let Some(known) = self.fetch_known(lane, after, batches_max, bytes_max)
        {
            return self.spooled(Spooled::Batches(session, lane, known));
        }
        if let Ask::Effect(AgentEffect::Forget { lane, upto }) = ask {
            self.spool.forget(lane, upto);
            return self.spooled(Spooled::Done);
        }
        if let Ask::Effect(AgentEffect::BeginEpoch { lane, cause, .. }) = &ask {
            tracing::warn!(lane = lane.name(), ?cause, "a new epoch begins");
            if *cause == EpochCause::RolledBack {
                self.renew_secret();
                self.renew_way_out();
            }
        }
        let spool = self.spool.clone();
        self.jobs.push(async move {
            let answer = match ask {
                Ask::Positions => {
                    let positions = spool.positions().await;
                    positions.map(|found| Spooled::Positions(session, found.to_vec()))
                }
                Ask::Effect(AgentEffect::Fetch { lane, after, batches_max, bytes_max }) => {
                    let batches = spool.fetch(lane, after, batches_max, bytes_max).await;
                    batches.map(|found| Spooled::Batches(session, lane, found))
                }
                Ask::Effect(AgentEffect::BeginEpoch { lane, above, cause, reseal_after }) => {
                    let begun = spool.begin_epoch(lane, above, cause, reseal_after).await;
                    begun.map(|()| Spooled::Done)
                }
                Ask::Effect(
                    AgentEffect::Send(_)
                    | AgentEffect::Forget { .. }
                    | AgentEffect::Close(_)
                    | AgentEffect::Live { .. }
                    | AgentEffect::Command(_)
                    | AgentEffect::Roster(_)
                    | AgentEffect::MoreRows
                    | AgentEffect::Have(_),
                ) => Ok(Spooled::Done),
            };
            Done::Spooled(answer.unwrap_or_else(Spooled::Failed))
        });
    }

    /// What the spool's thread need not be asked for: batches that were sealed just now, and that
    /// there is nothing after the last that was sealed. Each batch is followed by such a question.
    fn fetch_known(
        &self,
        lane: Lane,
        after: Cursor,
        batches_max: usize,
        bytes_max: usize,
    ) -> Option<Vec<SealedBatch>> {
        // More than this says can only be there if a newer value is on its way, which wakes.
        if self.progress.borrow().end(lane) == after {
            return Some(Vec::new());
        }
        self.spool.fetch_fresh(lane, after, batches_max, bytes_max)
    }

    pub(super) fn spooled(&mut self, answer: Spooled) {
        self.delivery.asking = false;
        let now = self.delivery.session;
        match answer {
            Spooled::Positions(session, positions) if session == now => self.greet(positions),
            Spooled::Batches(session, lane, batches) if session == now => {
                let sizes =
                    batches.iter().map(|one| one.batch.header.len() + one.batch.events.len());
                self.thrift.sent(sizes.sum(), self.clock.now());
                // A gap must be known before the jump that it explains.
                self.note_progress();
                self.link.handle_batches(lane, batches);
            }
            Spooled::Positions(..) | Spooled::Batches(..) | Spooled::Done => {}
            Spooled::Failed(error) => {
                // The session cannot go on without its spool; the next one asks again.
                tracing::error!(%error, "the spool cannot serve the session");
                self.link.give_up(error.to_string());
            }
        }
        self.ask_next();
    }

    fn greet(&mut self, positions: Vec<LanePosition>) {
        let hello = Hello {
            protocol: PROTOCOL,
            protocol_oldest: PROTOCOL_OLDEST,
            endpoint: self.identity.endpoint,
            client: self.identity.client.clone(),
            agent_version: VERSION.to_owned(),
            host_name: machine::host_name(),
            os: self.machine.os.clone(),
            kernel: self.machine.kernel.clone(),
            machine_id: self.machine.machine_id.clone(),
            boot_id: self.machine.boot_id.clone(),
            time_ns: clock::stamp().time_ns,
            roster: self.roster.held().reference,
        };
        self.link.greet(&hello, &self.signing, positions);
    }

    /// Makes every nonce published so far void: a copy of this machine, or a time that comes
    /// twice, may have brought them back.
    pub(super) fn renew_secret(&mut self) {
        let renewed = self.memory.renew().and_then(|()| {
            // In memory at once, so that it holds though the disk may not take it.
            self.nonces = Nonces::new(&self.memory.secret);
            Ok(self.memory.to_write().write(|bytes| self.own.write(GUARD, bytes))?)
        });
        match renewed {
            Ok(()) => tracing::warn!("the nonce secret was renewed"),
            Err(error) => tracing::error!(%error, "the nonce secret could not be kept"),
        }
    }
}

/// Whether what was asked counts though its session has ended.
fn is_lasting(ask: &Ask) -> bool {
    matches!(ask, Ask::Effect(AgentEffect::Forget { .. } | AgentEffect::BeginEpoch { .. }))
}
