//! One endpoint, one collector, the wire between them, and everything that can go wrong.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use cordon_proto::event::Lane;
use cordon_proto::id::EndpointId;
use cordon_proto::message::{AgentMessage, Hello, LanePosition, Signed};
use cordon_proto::roster::RosterRef;
use cordon_proto::session::{
    AgentEffect, AgentSession, CollectorEffect, CollectorSession, Cursor, Registered,
};
use cordon_proto::sign::batch::Header;
use cordon_proto::sign::chain::{self, Verdict};
use cordon_proto::sign::document::{self, Kind};
use cordon_proto::sign::{SigningKey, batch};

use super::super::random::Random;
use super::log::{Asked, Log};
use super::spool::{Spool, id_of};

/// What may go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The connection breaks; what is under way is lost; the old end may live on for a while.
    pub cuts: bool,
    /// Agent or collector are killed and started again.
    pub crashes: bool,
    /// The spool overflows.
    pub overflow: bool,
    /// The endpoint loses power.
    pub power: bool,
    /// Messages are dropped, repeated and swapped, which TLS forbids and the design survives.
    pub mangle: bool,
}

/// In what the collector's log is not what was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// An event is missing and nothing says so, or never got through.
    Lost(String),
    /// An event is there twice.
    Doubled(String),
    /// The log does not hold together.
    Broken(String),
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Lost(what) | Self::Doubled(what) | Self::Broken(what)) = self;
        f.write_str(what)
    }
}

struct AgentEnd {
    session: AgentSession,
    /// Asked of the spool and not yet answered, one a lane at most.
    fetches: Vec<(Lane, Cursor, usize)>,
}

struct CollectorEnd {
    number: u64,
    session: CollectorSession,
    /// What is still on its way to it.
    inbox: VecDeque<Vec<u8>>,
    /// Whether the agent still listens to it.
    connected: bool,
    /// It waits for older ones to end before it may be told who calls.
    identify: bool,
}

pub(super) struct World {
    random: Random,
    faults: Faults,
    spool: Spool,
    log: Log,
    agent: Option<AgentEnd>,
    to_agent: VecDeque<Vec<u8>>,
    ends: Vec<CollectorEnd>,
    sessions: u64,
    story: Vec<String>,
}

/// The epoch of a message that is a batch.
fn epoch(message: &[u8]) -> Option<u32> {
    let Ok(AgentMessage::Batch(batch)) = AgentMessage::decode(message) else { return None };
    Some(document::peek::<Header>(Kind::Batch, &batch.header).unwrap().epoch)
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[5; 32]).unwrap()
}

const EXPORTER: &[u8] = b"exporter";
const NOW: Duration = Duration::ZERO;

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self {
            random: Random(seed),
            faults,
            spool: Spool::new(key()),
            log: Log::default(),
            agent: None,
            to_agent: VecDeque::new(),
            ends: vec![],
            sessions: 0,
            story: vec![],
        }
    }

    pub(super) fn story(&self) -> String {
        let from = self.story.len().saturating_sub(60);
        self.story[from..].join("\n")
    }

    fn tell(&mut self, what: String) {
        self.story.push(what);
    }

    pub(super) fn step(&mut self) {
        let Faults { cuts, crashes, overflow, power, mangle } = self.faults;
        match self.random.below(100) {
            0..20 => self.produce(),
            20 if cuts => self.cut(),
            21 if crashes => self.crash_collector(),
            22 if crashes => self.crash_agent(),
            23 if power => {
                self.tell("power lost".to_owned());
                self.crash_agent();
                self.spool.lose_power();
            }
            24..26 if overflow => {
                let count = 1 + self.random.below(4);
                self.tell(format!("overflow {count}"));
                self.spool.overflow(count);
                self.sealed(Lane::Control);
            }
            26..28 if mangle => self.mangle(),
            28..30 => self.spool.sync(),
            _ => self.progress(),
        }
    }

    /// No more faults: everything under way arrives, and everything waiting is sent.
    pub(super) fn calm_down(&mut self) {
        self.faults = Faults::default();
        for _ in 0..20_000 {
            self.progress();
            let idle = self.ends.iter().all(|end| end.inbox.is_empty());
            if self.spool.is_empty() && idle && self.log.asked.is_empty() {
                return;
            }
        }
        self.tell("it never calmed down".to_owned());
    }

    fn produce(&mut self) {
        let lane = if self.random.one_in(4) { Lane::Control } else { Lane::Telemetry };
        let count = 1 + self.random.below(5);
        self.spool.make(lane, count);
        self.sealed(lane);
    }

    fn sealed(&mut self, lane: Lane) {
        if let Some(agent) = &mut self.agent {
            agent.session.handle_sealed(lane);
        }
        self.run_agent();
    }

    fn progress(&mut self) {
        if self.agent.is_none() {
            return self.dial();
        }
        match self.random.below(4) {
            0 => self.answer_fetch(),
            1 => self.settle(),
            2 => self.deliver_to_agent(),
            _ => self.deliver_to_collector(),
        }
    }

    fn dial(&mut self) {
        self.tell("dial".to_owned());
        let hello = Hello {
            protocol: 1,
            protocol_oldest: 1,
            endpoint: EndpointId(key().id().0),
            client: "acme".parse().unwrap(),
            agent_version: String::new(),
            host_name: "web-01".to_owned(),
            os: String::new(),
            kernel: String::new(),
            machine_id: String::new(),
            boot_id: String::new(),
            time_ns: 0,
            roster: RosterRef::default(),
        };
        let bytes = document::sign(Kind::Hello, &hello, EXPORTER, &key());
        let positions = self.spool.positions();
        let session = AgentSession::new(Signed { bytes }, key().verifying(), positions, NOW);
        self.agent = Some(AgentEnd { session, fetches: vec![] });
        self.to_agent.clear();
        self.sessions += 1;
        self.ends.push(CollectorEnd {
            number: self.sessions,
            session: CollectorSession::new(EXPORTER.to_vec(), EndpointId(key().id().0), NOW),
            inbox: VecDeque::new(),
            connected: true,
            identify: false,
        });
        self.run_agent();
    }

    fn run_agent(&mut self) {
        while let Some(effect) = self.agent.as_mut().and_then(|a| a.session.poll_effect()) {
            match effect {
                AgentEffect::Send(bytes) => {
                    if let Some(end) = self.ends.iter_mut().find(|end| end.connected) {
                        end.inbox.push_back(bytes);
                    }
                }
                AgentEffect::Fetch { lane, after, batches_max, .. } => {
                    if let Some(agent) = &mut self.agent {
                        let twice = agent.fetches.iter().any(|fetch| fetch.0 == lane);
                        assert!(!twice, "one fetch a lane at a time");
                        agent.fetches.push((lane, after, batches_max));
                    }
                }
                AgentEffect::Forget { lane, upto } => self.spool.forget(lane, upto),
                AgentEffect::BeginEpoch { lane, above, cause, reseal_after } => {
                    self.tell(format!("{} begins an epoch: {cause:?}", lane.name()));
                    self.spool.begin_epoch(lane, above, cause, reseal_after);
                }
                AgentEffect::Close(why) => {
                    self.tell(format!("agent closes: {why}"));
                    self.hang_up();
                }
                AgentEffect::Live { .. }
                | AgentEffect::Command(_)
                | AgentEffect::Roster(_)
                | AgentEffect::MoreRows
                | AgentEffect::Have(_) => {}
            }
        }
    }

    fn answer_fetch(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        if agent.fetches.is_empty() {
            return;
        }
        let chosen = self.random.below(agent.fetches.len());
        let (lane, after, batches_max) = agent.fetches.remove(chosen);
        let batches = self.spool.after(lane, after, batches_max);
        agent.session.handle_batches(lane, batches);
        self.run_agent();
    }

    fn deliver_to_agent(&mut self) {
        let Some(bytes) = self.to_agent.pop_front() else { return };
        if let Some(agent) = &mut self.agent {
            agent.session.handle_message(&bytes, NOW);
        }
        self.run_agent();
    }

    /// One message arrives at one of the collector's ends, the cut-off ones included.
    fn deliver_to_collector(&mut self) {
        if self.ends.is_empty() {
            return;
        }
        let index = self.random.below(self.ends.len());
        if let Some(bytes) = self.ends[index].inbox.pop_front() {
            self.ends[index].session.handle_message(&bytes, NOW);
        } else if !self.ends[index].connected {
            self.ends.remove(index);
            return;
        }
        self.run_collector(index);
        self.identify();
    }

    /// Who calls is answered only after every older session has ended and its appends are settled.
    fn identify(&mut self) {
        let Some(index) = self.ends.iter().position(|end| end.identify) else { return };
        let number = self.ends[index].number;
        self.ends.retain(|end| end.number >= number);
        while !self.log.asked.is_empty() {
            self.settle();
        }
        let Some(index) = self.ends.iter().position(|end| end.number == number) else { return };
        let key = key().verifying();
        let gaps = self.spool.ranges.clone();
        let stored = |range: &cordon_proto::event::gap::SealedRange| {
            self.log.stored.iter().flat_map(|(_, opened)| &opened.events).any(|bytes| {
                matches!(batch::read_event(bytes).unwrap().body,
                    cordon_proto::event::Body::Gap(gap) if gap.sealed == Some(*range))
            })
        };
        let gaps = gaps.into_iter().filter(stored).collect();
        let heads = self.log.heads();
        let registered = Registered { client: "acme".parse().unwrap(), key, heads, gaps };
        self.ends[index].identify = false;
        self.ends[index].session.identified(Some(registered), 0);
        self.run_collector(index);
    }

    fn run_collector(&mut self, index: usize) {
        while let Some(effect) = self.ends.get_mut(index).and_then(|end| end.session.poll_effect())
        {
            let session = self.ends[index].number;
            match effect {
                CollectorEffect::Identify { .. } => self.ends[index].identify = true,
                CollectorEffect::Welcomed(_)
                | CollectorEffect::Rows(_)
                | CollectorEffect::Piece(_)
                | CollectorEffect::Offer(..) => {}
                CollectorEffect::Append { batch, opened, after } => {
                    let after = Some(after);
                    self.log.asked.push_back(Asked { session, batch, opened, after });
                }
                CollectorEffect::Duplicate { batch, opened } => {
                    self.log.asked.push_back(Asked { session, batch, opened, after: None });
                }
                CollectorEffect::Send(bytes) => {
                    if self.ends[index].connected {
                        self.to_agent.push_back(bytes);
                    }
                }
                CollectorEffect::Close(why) => {
                    self.tell(format!("collector closes {session}: {why}"));
                    let connected = self.ends.remove(index).connected;
                    if connected {
                        // What it said before still arrives.
                        while !self.to_agent.is_empty() {
                            self.deliver_to_agent();
                        }
                        self.hang_up();
                    }
                    return;
                }
            }
        }
    }

    fn settle(&mut self) {
        let Some((session, lane, answer)) = self.log.settle() else { return };
        let Some(index) = self.ends.iter().position(|end| end.number == session) else { return };
        self.ends[index].session.appended(lane, answer);
        self.run_collector(index);
    }

    fn hang_up(&mut self) {
        self.agent = None;
        self.to_agent.clear();
        self.ends.iter_mut().for_each(|end| end.connected = false);
    }

    /// The wire breaks; how much of what was sent still arrives is chance.
    fn cut(&mut self) {
        self.tell("cut".to_owned());
        let keep = self.random.below(4);
        if let Some(end) = self.ends.iter_mut().find(|end| end.connected) {
            end.inbox.truncate(keep);
        }
        self.hang_up();
    }

    fn crash_agent(&mut self) {
        self.tell("agent killed".to_owned());
        self.cut();
    }

    /// What was asked for and not settled is lost with the process.
    fn crash_collector(&mut self) {
        self.tell("collector killed".to_owned());
        self.hang_up();
        self.ends.clear();
        self.log.asked.clear();
    }

    fn mangle(&mut self) {
        let Some(end) = self.ends.iter_mut().find(|end| end.connected) else { return };
        let queue = if self.random.one_in(2) { &mut end.inbox } else { &mut self.to_agent };
        if queue.len() < 2 {
            return;
        }
        let index = self.random.below(queue.len() - 1);
        // Where an epoch ends only TLS keeps a stream whole and in order: nothing else guards it.
        let within = epoch(&queue[index]) == epoch(&queue[index + 1]);
        match self.random.below(3) {
            0 if within => {
                queue.remove(index);
            }
            1 => {
                let again = queue[index].clone();
                queue.insert(index + 1, again);
            }
            _ if within => queue.swap(index, index + 1),
            _ => {}
        }
    }

    /// Compares what is stored with everything that was ever made.
    pub(super) fn judge(&self) -> Result<(), Wrong> {
        if !self.spool.is_empty() {
            return Err(Wrong::Lost("the spool never emptied".to_owned()));
        }
        let mut seen = BTreeSet::new();
        let mut position: [Option<LanePosition>; 2] = [None, None];
        let mut gaps = vec![];
        for (sealed, _) in &self.log.stored {
            let opened = batch::open(sealed, &key().verifying())
                .map_err(|e| Wrong::Broken(e.to_string()))?;
            let lane = usize::from(opened.header.lane == Lane::Telemetry);
            let verdict = chain::judge(position[lane].as_ref(), &opened.header, &gaps);
            if matches!(verdict, Verdict::Stored | Verdict::Broken(_)) {
                let wrong = format!("the log's chain is wrong: {verdict:?} {:?}", opened.header);
                return Err(Wrong::Broken(wrong));
            }
            position[lane] = Some(chain::position(&opened.header, opened.hash));
            for bytes in &opened.events {
                let body = batch::read_event(bytes).map_err(|e| Wrong::Broken(e.to_string()))?.body;
                match (id_of(&body), body) {
                    (Some(id), _) if !seen.insert(id) => {
                        return Err(Wrong::Doubled(format!("{id} is doubled")));
                    }
                    (None, cordon_proto::event::Body::Gap(gap)) => gaps.extend(gap.sealed),
                    _ => {}
                }
            }
        }
        let lost = |id: &&u64| !seen.contains(id) && !self.spool.dropped.contains(id);
        if let Some(id) = self.spool.made.iter().find(lost) {
            return Err(Wrong::Lost(format!("{id} is lost and nothing says so")));
        }
        match self.spool.ranges.iter().find(|range| !gaps.contains(range)) {
            Some(range) => Err(Wrong::Lost(format!("the gap {range:?} never arrived"))),
            None => Ok(()),
        }
    }
}
