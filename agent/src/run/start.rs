//! Brings the agent up: reads what it is and what it must not forget, opens the spool, and puts up
//! again what stood, before anything is dialled or watched.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cordon_proto::event::agent::Started;
use cordon_proto::event::{Body, Severity};
use cordon_proto::id::{EndpointId, Hash};
use cordon_proto::sign::batch::EpochCause;
use cordon_proto::sign::{SignatureError, SigningKey};
use tokio::sync::{mpsc, watch};

use super::break_glass::WayOut;
use super::budget::Thrift;
use super::collect::Collecting;
use super::respond::Reacting;
use super::{
    ANSWERED, Agent, command, contain, deliver, door, jobs, lookout, query, sensors, upkeep,
};
use crate::action::block::fences::{Blocks, ask};
use crate::action::deed::Tools;
use crate::action::isolate::shell::{Safety, Shell};
use crate::break_glass::kept::{Kept, Opening};
use crate::budget::Holding;
use crate::canary::Canaries;
use crate::clock::{self, Clock, Stamp};
use crate::config::Config;
use crate::containment::Containment;
use crate::endpoint_time::EndpointTime;
use crate::guard::Refusals;
use crate::health::VERSION;
use crate::hold;
use crate::hold::found::made_up;
use crate::identity::{Identity, IdentityError, StateDir, StateDirError};
use crate::kept::{self, Found, GuardMemory, ISOLATION, KeptError, KeptIsolation};
use crate::ledger::{self, Ledger};
use crate::link::Link;
use crate::link::dial::Dialer;
use crate::link::proxy::{ProxyError, ProxyWay};
use crate::machine::Machine;
use crate::nonce::Nonces;
use crate::roster_keeper::{RosterError, RosterKeeper};
use crate::sensor::dns::Names;
use crate::sensor::{REPORTS_MAX, Report};
use crate::spool::{self, Spool, SpoolError, SpoolLimits, keeper};
use crate::tls;

/// Why the agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is not enrolled, or its identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// What it must not forget cannot be used.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// Its roster cannot be used.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// Its spool cannot be opened.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Its key cannot be used.
    #[error(transparent)]
    Key(#[from] SignatureError),
    /// Its certificate cannot be used.
    #[error("the endpoint's certificate cannot be used: {0}; enrol anew with `enroll --force`")]
    Certificate(rustls::Error),
    /// Its proxy settings cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// What was collected cannot be looked at.
    #[error("what was collected and not delivered cannot be read: {0}")]
    Collected(io::Error),
    /// The machine does not say which boot this is.
    #[error("the machine cannot be looked at: {0}")]
    Machine(io::Error),
    /// The operating system gives no event loop.
    #[error("the event loop cannot be made: {0}")]
    Runtime(io::Error),
}

impl Agent {
    pub(super) async fn start(config: Config) -> Result<Self, StartError> {
        let (clock, stamp) = (Clock::start(), clock::stamp());
        let dir = StateDir::open(&config.state_dir)?;
        let lock = hold::take_over(&config, &dir)?;
        let identity = Identity::load(&dir)?;
        let own = dir.inner(&identity.own_dir_name())?;
        let machine = Machine::read().map_err(StartError::Machine)?;
        let (time, mut memory) = remembered(&own, &machine.boot_id, stamp.boot_ns)?;
        let roster = RosterKeeper::open(own.clone(), &identity)?;
        let signing = Arc::new(SigningKey::from_seed(identity.signing.seed())?);
        let mut spool = open_spool(&config, &own, &identity, &machine, stamp)?;
        let found = found(&mut spool, &mut memory)?;
        let (policy, now_secs) = (kept::load_policy(&own)?, time.secs(stamp.boot_ns));
        let reacting = Reacting::resume(&mut spool, policy.as_ref(), &time, now_secs)?;
        let (spool, progress, thread) = keeper::start(spool, clock).map_err(StartError::Runtime)?;
        let way_out = Kept::load(&own)?;
        let open = (config.isolation.mark, door_addresses(&identity, &roster));
        let containment = stood(&dir, &way_out, open, now_secs);
        let link = Link::new(dialer(&config, &identity, &roster)?, clock);
        let (outlet, reports) = mpsc::channel(REPORTS_MAX);
        let findings = outlet.clone();
        let (sensors, thrift) = watching(&config, &dir, outlet, spool.clone());
        let stood = kept::load_ledger(&dir)?;
        let tools = tools(&config, &dir, identity.endpoint, sensors.names(), &stood, findings);
        let known_progress = progress.borrow().clone();
        let mut agent = Self {
            upkeep: upkeep::Upkeep::new(clock.now(), stamp.boot_ns),
            nonces: Nonces::new(&memory.secret),
            policy,
            reacting,
            refusals: Refusals::default(),
            acting: contain::Acting::default(),
            lookout: lookout::Lookout::default(),
            ledger: Ledger::resume(stood, now_secs),
            tools,
            deeds_under_way: 0,
            delivery: deliver::Delivery::default(),
            queries: query::Queries::default(),
            way_out: WayOut::open(way_out),
            collecting: Collecting::open(&own, now_secs)?,
            reached: Vec::new(),
            jobs: jobs::Jobs::default(),
            door: door::Door::open(&config),
            shell: shell(&config),
            spool_thread: Some(thread),
            _lock: lock,
            config,
            clock,
            machine,
            identity,
            signing,
            dir,
            own,
            time,
            memory,
            roster,
            containment,
            spool,
            progress,
            known_progress,
            link,
            sensors,
            canaries: Canaries::default(),
            thrift,
            reports,
        };
        agent.come_up(&found, stamp.time_ns).await;
        Ok(agent)
    }

    async fn come_up(&mut self, found: &spool::Start, since_ns: u64) {
        if found.epochs.iter().any(|(_, cause)| *cause != EpochCause::Enrolled) {
            self.renew_secret();
        }
        self.follow_budget();
        self.look_around();
        self.restore().await;
        self.act_deeds();
        self.resume_reactions();
        self.act_collect();
        let redactor = self.policy.as_ref().map(command::redactor).unwrap_or_default();
        self.sensors.redact_by(redactor);
        let started = Started {
            agent_version: VERSION.to_owned(),
            boot_id: self.machine.boot_id.clone(),
            boot_count: self.time.boot_count(),
            unclean: found.unclean,
        };
        self.tell(Severity::Informational, Body::Lifecycle(started));
        self.keep_way_out();
        self.tell_unsent();
        self.answer_interrupted();
        self.sensors.start(self.clock.now(), since_ns);
        let (endpoint, client) = (self.identity.endpoint.short(), &self.identity.client);
        tracing::info!(endpoint, %client, version = VERSION, "started");
    }

    /// Follows a newer roster: its doors, its pins.
    pub(super) fn follow_roster(&mut self) {
        let made = dialer(&self.config, &self.identity, &self.roster);
        match made {
            Ok(made) => self.link.set_dialer(|dialer| {
                dialer.collectors = made.collectors;
                dialer.tls = made.tls;
            }),
            Err(error) => tracing::error!(%error, "the roster's doors and pins cannot be used"),
        }
    }
}

/// What opening the spool found. Which commands were answered goes to the guard's memory.
fn found(spool: &mut Spool, memory: &mut GuardMemory) -> Result<spool::Start, SpoolError> {
    if let Some((_, answered)) = spool.checkpoints(ANSWERED)?.first() {
        memory.begun.resume_answered(answered);
    }
    Ok(spool.start().clone())
}

/// What stood when the agent last ran; it is let back where the single-use code was typed since.
fn stood(
    dir: &StateDir,
    way_out: &Kept,
    open: (u32, Vec<SocketAddr>),
    endpoint_secs: u64,
) -> Containment {
    let Some(Opening { isolation, .. }) = &way_out.opening else {
        return take_up(dir, open, endpoint_secs);
    };
    let kept = match KeptIsolation::find(dir) {
        Found::Isolation(kept) => Some(*kept),
        Found::Nothing | Found::Unreadable(_) => {
            isolation.as_deref().and_then(|bytes| KeptIsolation::from_bytes(bytes).ok())
        }
    };
    Containment::resume_ending(kept)
}

/// Endpoint time and what the guard keeps. The count of boots is on the disk before any nonce says
/// it, or the next boot would have the same; where the disk does not take it, it goes with whatever
/// it takes of the guard's memory.
fn remembered(
    own: &StateDir,
    boot_id: &str,
    boot_ns: u64,
) -> Result<(EndpointTime, GuardMemory), KeptError> {
    let mut time = kept::load_time(own, boot_id, boot_ns)?;
    let mut memory = GuardMemory::load(own)?;
    memory.boot = Some(time.boot());
    if let Err(error) = kept::write_time(own, &time.keep(boot_ns)) {
        tracing::error!(%error, "endpoint time could not be kept; the nonce secret is renewed");
        memory.renew()?;
    }
    Ok((time, memory))
}

/// The sensors, and what holds them back when the budget runs out.
fn watching(
    config: &Config,
    dir: &StateDir,
    outlet: mpsc::Sender<(&'static str, Report)>,
    spool: keeper::SpoolHandle,
) -> (sensors::Sensors, Thrift) {
    let (brake, braked) = watch::channel(Duration::ZERO);
    let (watched, canaries) = (config.watched(), dir.path(super::canary::LOG));
    let sensors = sensors::Sensors::new(watched, &canaries, outlet, spool, braked);
    let own = Holding { limits: config.budget, spool_bytes: config.spool.bytes_max };
    (sensors, Thrift::new(own, brake))
}

/// The isolation that stood. One whose record nobody can read is held for an hour, as the
/// supervisor would: its wall may stand, and somebody must take it down.
fn take_up(dir: &StateDir, open: (u32, Vec<SocketAddr>), endpoint_secs: u64) -> Containment {
    let reason = match KeptIsolation::find(dir) {
        Found::Nothing => return Containment::resume(None, endpoint_secs),
        Found::Isolation(kept) => return Containment::resume(Some(*kept), endpoint_secs),
        Found::Unreadable(reason) => reason,
    };
    tracing::error!(reason, "the record of an isolation cannot be read; it is held for an hour");
    let kept = made_up(open, endpoint_secs);
    let bytes = kept.to_bytes().unwrap_or_default();
    let mut containment = Containment::resume(Some(kept), endpoint_secs);
    let saved = dir.write(ISOLATION, &bytes).map_err(|error| error.to_string());
    containment.handle_made_up(saved);
    containment
}

/// The collectors' addresses that need no name service.
fn door_addresses(identity: &Identity, roster: &RosterKeeper) -> Vec<SocketAddr> {
    let doors = roster.held().roster.collectors.iter().chain(&identity.collectors);
    doors.filter_map(|door| door.parse().ok()).collect()
}

fn shell(config: &Config) -> Arc<Mutex<Shell>> {
    let safety = Safety {
        outside_initial_netns_only: config.lab,
        plain_tables: !config.isolation.own_tables,
    };
    Arc::new(Mutex::new(Shell::new(safety, config.state_dir.clone())))
}

/// What deeds share. What is blocked is taken up as one, before any deed is seen to.
fn tools(
    config: &Config,
    dir: &StateDir,
    endpoint: EndpointId,
    names: Names,
    stood: &ledger::Kept,
    findings: mpsc::Sender<(&'static str, Report)>,
) -> Arc<Tools> {
    let blocks = Blocks::resume(dir.clone(), config.lab, names, ask, stood);
    let tools = Tools::new(dir.clone(), config.lab);
    tools.warden.connect(findings);
    Arc::new(Tools { endpoint, blocks, ..tools })
}

fn open_spool(
    config: &Config,
    own: &StateDir,
    identity: &Identity,
    machine: &Machine,
    stamp: Stamp,
) -> Result<Spool, StartError> {
    let key = SigningKey::from_seed(identity.signing.seed())?;
    let signer = spool::Identity { endpoint: identity.endpoint, key };
    let limits = SpoolLimits::of(config.spool.bytes_max);
    Ok(Spool::open(&own.path("spool.db"), signer, limits, &machine.boot_id, stamp)?)
}

/// The ways to the collector: those of the roster, or those of the enrolment where it names none.
pub(crate) fn dialer(
    config: &Config,
    identity: &Identity,
    roster: &RosterKeeper,
) -> Result<Dialer, StartError> {
    let roster = &roster.held().roster;
    let collectors = if roster.collectors.is_empty() {
        identity.collectors.clone()
    } else {
        roster.collectors.clone()
    };
    let tls = tls::client(pins(identity, &roster.ca_pins), Some(&identity.certificate));
    let tls = tls.map_err(StartError::Certificate)?;
    let proxy = ProxyWay::from_config(&config.proxy)?;
    Ok(Dialer { collectors, proxy, known: Vec::new(), tls, prepare: None })
}

/// The roots trusted: those of the roster, or the one of the enrolment where it names none.
pub(super) fn pins(identity: &Identity, roster: &[Hash]) -> Vec<Hash> {
    if roster.is_empty() { vec![identity.pins.ca] } else { roster.to_vec() }
}
