//! One simulated agent: the real link, session, guard and signatures, without a machine to watch.
//! It reports its health as often as a real one, and answers commands with signed receipts.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cordon_agent::guard::{Accepted, Own, judge};
use cordon_agent::identity::Identity;
use cordon_agent::link::dial::Dialer;
use cordon_agent::link::{Link, LinkEvent};
use cordon_agent::nonce::{Moment, Nonces};
use cordon_agent::roster_keeper::Held;
use cordon_agent::{clock, tls};
use cordon_proto::codec;
use cordon_proto::event::receipt::Outcome;
use cordon_proto::event::{Body, Health, Lane, Observation, SensorHealth, SensorState, Severity};
use cordon_proto::event::{Receipt, process::Tier};
use cordon_proto::id::Hash;
use cordon_proto::limits::HEALTH_PERIOD_SECS;
use cordon_proto::message::{Hello, LanePosition};
use cordon_proto::session::{AgentEffect, Cursor, SealedBatch};
use cordon_proto::sign::batch::{self, EpochCause, Place};
use cordon_proto::version::{PROTOCOL, PROTOCOL_OLDEST};
use tokio::time::{Instant, MissedTickBehavior};

use super::{Counts, Orders};

/// The sensors that a real agent on Linux lists in its health.
const SENSORS: [&str; 10] =
    ["process", "network", "dns", "file", "log", "disk", "login", "device", "inventory", "canary"];

/// Time that passes for the endpoints before the benchmark begins: their nonces are not the first.
const LIVED_SECS: u64 = 3600;

/// An endpoint that has enrolled, and what its spool would hold.
pub(super) struct Agent {
    number: u32,
    identity: Identity,
    roster: Rc<Held>,
    clock: clock::Clock,
    nonces: Nonces,
    accepted: Accepted,
    /// Sealed and not yet acknowledged.
    waiting: VecDeque<SealedBatch>,
    last: u64,
    head: Hash,
    policy_version: u64,
    /// The event that is its answer to the last command.
    answer: Option<u64>,
    live: bool,
    obeyed: Orders,
}

impl Agent {
    pub(super) fn new(number: u32, identity: Identity, roster: Rc<Held>) -> Self {
        // Whoever knows the endpoint could make them; here nobody tries.
        let nonces = Nonces::new(&Hash::of(&identity.endpoint.0).0);
        Self {
            number,
            identity,
            roster,
            clock: clock::Clock::start(),
            nonces,
            accepted: Accepted::default(),
            waiting: VecDeque::new(),
            last: 0,
            head: Hash::default(),
            policy_version: 0,
            answer: None,
            live: false,
            obeyed: Orders::default(),
        }
    }

    /// Lives until told to stop. An error is a fault of the collector's, or of this benchmark.
    pub(super) async fn live(
        mut self,
        mut orders: tokio::sync::watch::Receiver<Orders>,
        counts: &Counts,
    ) -> Result<()> {
        let dialer = Dialer {
            collectors: self.identity.collectors.clone(),
            proxy: None,
            known: Vec::new(),
            tls: tls::client(vec![self.identity.pins.ca], Some(&self.identity.certificate))?,
            prepare: None,
        };
        let mut link = Link::new(dialer, self.clock);
        let period = Duration::from_secs(HEALTH_PERIOD_SECS);
        // Agents that started at different times report at different times.
        let phase = period.mul_f64(f64::from(self.number % 997) / 997.0);
        let mut health = tokio::time::interval_at(Instant::now() + phase, period);
        health.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.report(&mut link)?;
        loop {
            tokio::select! {
                event = link.next() => self
                    .handle(event, &mut link, counts)
                    .with_context(|| format!("simulated endpoint {}", self.number))?,
                _ = health.tick() => self.report(&mut link)?,
                changed = orders.changed() => {
                    let now = *orders.borrow_and_update();
                    if changed.is_err() || now.stop {
                        return Ok(());
                    }
                    if now.cuts != self.obeyed.cuts {
                        self.obeyed = now;
                        link.give_up("cut by the benchmark".to_owned());
                    }
                }
            }
        }
    }

    fn handle(&mut self, event: LinkEvent, link: &mut Link, counts: &Counts) -> Result<()> {
        match event {
            LinkEvent::Connected => {
                let sealed = self.stands().into_iter().collect();
                link.greet(&self.hello(), &self.identity.signing, sealed);
            }
            LinkEvent::Down { certificate_refused, why, .. } => {
                if certificate_refused && self.live {
                    bail!("its certificate is refused: {why}");
                }
                if std::mem::take(&mut self.live) {
                    counts.ended();
                } else {
                    counts.failed_dial(why);
                }
            }
            LinkEvent::Effect(effect) => self.carry_out(effect, link, counts)?,
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: AgentEffect, link: &mut Link, counts: &Counts) -> Result<()> {
        match effect {
            AgentEffect::Live { .. } => {
                self.live = true;
                counts.begun();
            }
            AgentEffect::Fetch { lane: Lane::Telemetry, .. } => {
                link.handle_batches(Lane::Telemetry, Vec::new());
            }
            AgentEffect::Fetch { lane: Lane::Control, after, batches_max, .. } => {
                let wanted = self.waiting.iter().filter(|sealed| place(sealed) > after);
                link.handle_batches(Lane::Control, wanted.take(batches_max).cloned().collect());
            }
            AgentEffect::Forget { lane: Lane::Control, upto } => {
                self.waiting.retain(|sealed| place(sealed) > upto);
                if self.answer.take_if(|answer| *answer <= upto.last).is_some() {
                    counts.answered();
                }
            }
            AgentEffect::Command(bytes) => {
                self.command(&bytes, link)?;
                counts.commanded();
            }
            AgentEffect::Forget { lane: Lane::Telemetry, .. }
            | AgentEffect::Roster(_)
            | AgentEffect::MoreRows
            | AgentEffect::Have(_) => {}
            AgentEffect::BeginEpoch { cause, .. } => bail!("it must begin a new epoch: {cause:?}"),
            AgentEffect::Send(_) | AgentEffect::Close(_) => bail!("the link keeps these"),
        }
        Ok(())
    }

    /// Judges a command as an endpoint does, obeys it, and says so.
    fn command(&mut self, bytes: &[u8], link: &mut Link) -> Result<()> {
        let (moment, host_name) = (self.moment(), host_name(self.number));
        let stale = |nonce: &_, age_max_secs, queued| {
            let fresh = self.nonces.check(nonce, age_max_secs, queued, moment);
            fresh.err().map(|stale| stale.to_string())
        };
        let own = Own {
            endpoint: self.identity.endpoint,
            host_name: &host_name,
            client: &self.identity.client,
            roster: &self.roster,
            policy: None,
            endpoint_secs: moment.endpoint_secs,
            stale: &stale,
            accepted: &self.accepted,
        };
        let may = match judge(bytes, &own) {
            Ok(may) => may,
            Err(refusal) => bail!("the guard refuses: {}", refusal.reason),
        };
        self.accepted.forget(moment.endpoint_secs);
        self.accepted.note(may.command.id, may.forget_secs);
        self.policy_version += 1;
        let outcomes = [
            Outcome::Accepted { signers: may.signers.clone() },
            Outcome::Applied { change_us: 1, until_secs: None, stood_already: false },
        ];
        let receipts = outcomes.map(|outcome| {
            Body::Receipt(Box::new(Receipt {
                command: Some(may.command.id),
                command_hash: may.hash,
                action: Some(may.command.action.kind()),
                endpoint_secs: moment.endpoint_secs,
                outcome,
                repeated: 0,
            }))
        });
        self.seal(receipts.into(), link)?;
        self.answer = Some(self.last);
        Ok(())
    }

    fn report(&mut self, link: &mut Link) -> Result<()> {
        let now = self.moment();
        let sensor = |name: &&str| SensorHealth {
            name: (*name).to_owned(),
            state: SensorState::Running,
            reason: None,
            tier: (*name == "process").then_some(Tier::Bpf),
            seen: now.endpoint_secs * 3,
            dropped: 0,
            proved_secs: Some(20),
            dropped_why: None,
        };
        let health = Health {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            endpoint_secs: now.endpoint_secs,
            nonce: self.nonces.current(now),
            roster: self.roster.reference,
            policy_version: self.policy_version,
            cpu_us: now.endpoint_secs * 900,
            rss_bytes: 11 << 20,
            uptime_secs: now.endpoint_secs,
            lanes: Vec::new(),
            sensors: SENSORS.iter().map(sensor).collect(),
            dropped: Vec::new(),
            containments: Vec::new(),
            given_up: None,
            budget: None,
            sent_bytes: Some(now.endpoint_secs * 100),
        };
        self.seal(vec![Body::Health(Box::new(health))], link)
    }

    fn seal(&mut self, bodies: Vec<Body>, link: &mut Link) -> Result<()> {
        let clock::Stamp { time_ns, boot_ns } = clock::stamp();
        let severity = Severity::Informational;
        let first = self.last + 1;
        let numbered = (first..).zip(bodies);
        let events: Vec<Vec<u8>> = numbered
            .map(|(seq, body)| {
                codec::encode(&Observation { time_ns, boot_ns, severity, body }.at(seq))
            })
            .collect();
        self.last += u64::try_from(events.len())?;
        let place = Place {
            endpoint: self.identity.endpoint,
            lane: Lane::Control,
            epoch: 1,
            first,
            previous: self.head,
            cause: (first == 1).then_some(EpochCause::Enrolled),
        };
        let (batch, head) = batch::seal(place, &events, time_ns, &self.identity.signing)?;
        self.head = head;
        self.waiting.push_back(SealedBatch { epoch: 1, first, last: self.last, batch });
        link.handle_sealed(Lane::Control);
        Ok(())
    }

    fn stands(&self) -> Option<LanePosition> {
        let (last, head) = (self.last, self.head);
        (last > 0).then_some(LanePosition { lane: Lane::Control, epoch: 1, last, head })
    }

    fn moment(&self) -> Moment {
        Moment { boot_count: 1, endpoint_secs: LIVED_SECS + self.clock.now().as_secs() }
    }

    fn hello(&self) -> Hello {
        let Self { number, identity, roster, .. } = self;
        Hello {
            protocol: PROTOCOL,
            protocol_oldest: PROTOCOL_OLDEST,
            endpoint: identity.endpoint,
            client: identity.client.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            host_name: host_name(*number),
            os: "Debian GNU/Linux 13 (trixie)".to_owned(),
            kernel: "6.12.48+deb13-amd64".to_owned(),
            machine_id: format!("{number:032x}"),
            boot_id: format!("00000000-0000-4000-8000-{number:012x}"),
            time_ns: clock::stamp().time_ns,
            roster: roster.reference,
        }
    }
}

/// What a simulated endpoint is called.
fn host_name(number: u32) -> String {
    format!("sim-{number:05}")
}

fn place(sealed: &SealedBatch) -> Cursor {
    Cursor { epoch: sealed.epoch, last: sealed.last }
}
